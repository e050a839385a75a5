/* SPDX-License-Identifier: Apache-2.0
 *
 * Draw follows a daily profile with a morning and an evening peak; half of all quarter hours at a
 * household draw nothing (as in measured household data), a few meters leak without pause. Pressure
 * falls with the draw of the whole district, batteries drain over years. Separate from payload.c:
 * what a meter does, not how its maker writes it. One thread for one meter.
 */
#include "sim/meter.h"

#include <math.h>
#include <stdio.h>

#include "base/clock.h"
#include "sim/random.h"

/* Share of the mean draw by local hour; the mean is 1. */
static const float profile[24] = {
    0.25F, 0.18F, 0.15F, 0.15F, 0.22F, 0.55F, 1.35F, 2.05F, 1.75F, 1.30F, 1.10F, 1.10F,
    1.25F, 1.10F, 0.90F, 0.90F, 1.00F, 1.35F, 1.80F, 2.00F, 1.70F, 1.25F, 0.80F, 0.45F,
};

static double profile_at(int64_t local_ms)
{
    double hour = (double)(local_ms % 86400000) / 3600000;
    int before = (int)hour;
    double part = hour - before;
    return profile[before] * (1 - part) + profile[(before + 1) % 24] * part;
}

static int month_of(int64_t ts_ms)
{
    int year, month, day;
    clock_civil_from_days((ts_ms + METER_ZONE_MS) / 86400000, &year, &month, &day);
    return year * 12 + month;
}

void meter_init(struct meter *meter, uint64_t index, uint64_t seed, int64_t begin_ms)
{
    uint64_t random = seed * 0x2545f4914f6cdd1dULL + index;
    random_next(&random);
    double size = exp(random_normal(&random) * 0.7);
    double age_years = random_unit(&random) * 8;
    *meter = (struct meter){
        .number = 20000000000000ULL + index * 7919 % 1000000000000ULL,
        .last_ms = begin_ms,
        .demand_lph = (float)(14 * size),
        .leak_lph = random_unit(&random) < 0.02 ? (float)(2 + 20 * random_unit(&random)) : 0,
        .pressure_kpa = (float)(280 + 140 * random_unit(&random)),
        .battery_mv = (float)(3650 - 45 * age_years),
        .rssi_dbm = (float)(-112 + 40 * random_unit(&random)),
        .month = (int16_t)(month_of(begin_ms) % INT16_MAX),
    };
    meter->litres = (int64_t)(meter->demand_lph * age_years * 8766);
    meter->settlement_litres = meter->litres - (int64_t)(meter->demand_lph * 300);
    if (meter->settlement_litres < 0)
        meter->settlement_litres = 0;
    meter->random = random;
}

/* Litres an hour over the time since the last sample. */
static double draw(struct meter *meter, double share, int64_t span_ms)
{
    /* Short spans draw seldom and then much, long ones always: the mean stays. */
    double often = 0.62 * share * sqrt((double)span_ms / 900000);
    if (often > 0.95)
        often = 0.95;
    double lph = 0;
    if (random_unit(&meter->random) < often)
        lph = meter->demand_lph * share / often * exp(random_normal(&meter->random) * 0.5 - 0.125);
    return lph + meter->leak_lph;
}

static void grow(struct meter *meter, double lph, int64_t ts_ms)
{
    double litres = meter->litres_part + lph * (double)(ts_ms - meter->last_ms) / 3600000;
    int month = month_of(ts_ms) % INT16_MAX;
    if (month != meter->month) {
        meter->settlement_litres = meter->litres;
        meter->month = (int16_t)month;
    }
    meter->litres += (int64_t)litres;
    meter->litres_part = litres - (double)(int64_t)litres;
    meter->last_ms = ts_ms;
}

void meter_sample(struct meter *meter, int64_t ts_ms, struct meter_sample *out)
{
    int64_t local_ms = ts_ms + METER_ZONE_MS;
    double share = profile_at(local_ms);
    double days = (double)(ts_ms - meter->last_ms) / 86400000;
    double lph = draw(meter, share, ts_ms - meter->last_ms);
    grow(meter, lph, ts_ms);
    meter->battery_mv -= (float)(0.12 * days);
    double season = cos((double)(local_ms / 86400000 % 365 - 200) * 6.2831853 / 365);
    double pressure = meter->pressure_kpa - 38 * (share - 1) - lph * 0.02;
    *out = (struct meter_sample){
        .number = meter->number,
        .ts_ms = ts_ms,
        .litres = meter->litres,
        .settlement_litres = meter->settlement_litres,
        .flow_lph = (int64_t)lph,
        .pressure_kpa = (int)(pressure + 2 * random_normal(&meter->random)),
        .temperature_dc = (int)(140 + 60 * season + 6 * share + 3 * random_normal(&meter->random)),
        .battery_cv = (int)((meter->battery_mv + 4 * random_normal(&meter->random)) / 10),
        .rssi_dbm = (int)(meter->rssi_dbm + 3 * random_normal(&meter->random)),
        .battery_low = meter->battery_mv < 3300,
        .clock_skewed = meter->skewed,
    };
}

void meter_reset(struct meter *meter)
{
    meter->litres = 0;
    meter->settlement_litres = 0;
    meter->litres_part = 0;
}

const char *meter_device(uint64_t number, char out[METER_DEVICE_SIZE])
{
    snprintf(out, METER_DEVICE_SIZE, "%014llu", (unsigned long long)(number % 100000000000000ULL));
    return out;
}
