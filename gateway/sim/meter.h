/* SPDX-License-Identifier: Apache-2.0
 *
 * A simulated water meter: what a household or a small firm draws over a day, counted, with the
 * pressure, temperature, battery and radio that go with it. The same seed and times give the same
 * samples. One thread for one meter.
 */
#ifndef TIDEGATE_SIM_METER_H
#define TIDEGATE_SIM_METER_H

#include <stdbool.h>
#include <stdint.h>

/* Meters stand in this zone (China has one, without daylight saving). */
enum { METER_ZONE_MS = 8 * 3600 * 1000 };

struct meter {
    uint64_t random;
    uint64_t number;           /* 14 digits, printed on the meter */
    int64_t litres;            /* total, only grows but for meter_reset */
    int64_t settlement_litres; /* total when the month began */
    int64_t last_ms;
    double litres_part; /* the part below one litre */
    float demand_lph;   /* mean draw over a day */
    float leak_lph;     /* draws day and night; 0 for most */
    float pressure_kpa; /* static pressure at its height */
    float battery_mv;
    float rssi_dbm;
    int16_t month;
    bool skewed; /* its clock is eight hours off */
};

struct meter_sample {
    uint64_t number;
    int64_t ts_ms;
    int64_t litres;
    int64_t settlement_litres;
    int64_t flow_lph;
    int pressure_kpa;
    int temperature_dc; /* tenths of a degree */
    int battery_cv;     /* hundredths of a volt */
    int rssi_dbm;
    bool battery_low;
    bool clock_skewed;
};

enum { METER_DEVICE_SIZE = 15 };

/* begin_ms: the time before its first sample. */
void meter_init(struct meter *meter, uint64_t index, uint64_t seed, int64_t begin_ms);
/* Live on to ts_ms and read. Times must not go back. */
void meter_sample(struct meter *meter, int64_t ts_ms, struct meter_sample *out);
/* The counter begins again at zero: replaced, or lost its memory. */
void meter_reset(struct meter *meter);
const char *meter_device(uint64_t number, char out[METER_DEVICE_SIZE]);

#endif
