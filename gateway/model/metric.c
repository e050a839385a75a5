/* SPDX-License-Identifier: Apache-2.0
 *
 * The vocabulary of metrics. Separate because its table is the one place where a metric's unit,
 * behaviour and plausible range are decided. Built by the main thread, then read by any.
 *
 * Ranges are what physics or the instrument allows, not what is good water: a value outside them
 * is a broken sensor or a wrong unit. Pressures are gauge pressures; 25 MPa is beyond any water
 * main, and a pump's suction side cannot fall below a full vacuum of 101.325 kPa.
 */
#include "model/metric.h"

#include <stdlib.h>
#include <xxhash.h>

#include "model/unit.h"

#define ROW(n, u, k, h)                                                                            \
    {                                                                                              \
        .name = (n), .unit = (u), .kind = (k), .help = (h)                                         \
    }
#define EVENT(n, u, k, top, h)                                                                     \
    {                                                                                              \
        .name = (n), .unit = (u), .kind = (k), .event = true, .has_range = true, .min = {0, 0},    \
        .max = {(top), 0}, .help = (h)                                                             \
    }
#define RANGE(n, u, k, low, high, h)                                                               \
    {                                                                                              \
        .name = (n), .unit = (u), .kind = (k), .has_range = true, .min = {(low), 0},               \
        .max = {(high), 0}, .help = (h)                                                            \
    }

/* 10^9 m3 is what passes a DN 3000 main in a century; meters with 8 BCD digits end at 10^6. */
enum { VOLUME_MAX = 1000000000, FLOW_MAX = 1000000 };

static const struct metric fixed[] = {
    RANGE("volume.total", "m3", METRIC_COUNTER, 0, VOLUME_MAX, "Water passed forward since ever"),
    RANGE("volume.reverse", "m3", METRIC_COUNTER, 0, VOLUME_MAX, "Water passed backward"),
    RANGE("volume.net", "m3", METRIC_GAUGE, -VOLUME_MAX, VOLUME_MAX, "Forward less backward"),
    RANGE("volume.settlement", "m3", METRIC_GAUGE, 0, VOLUME_MAX,
          "The counter at the last settlement day"),
    RANGE("flow", "m3/h", METRIC_GAUGE, -FLOW_MAX, FLOW_MAX, "Flow now, negative when reversed"),
    RANGE("velocity", "m/s", METRIC_GAUGE, -30, 30, "Velocity in the pipe"),
    RANGE("pressure", "kPa", METRIC_GAUGE, -102, 25000, "Gauge pressure"),
    RANGE("level", "m", METRIC_GAUGE, -1000, 9000, "Water level above the sensor's datum"),
    RANGE("rain", "mm", METRIC_GAUGE, 0, 3000, "Rainfall of the reporting interval"),
    RANGE("temperature.water", "degC", METRIC_GAUGE, -20, 150, "Water temperature"),
    RANGE("temperature.ambient", "degC", METRIC_GAUGE, -90, 90, "Temperature around the device"),
    RANGE("temperature.supply", "degC", METRIC_GAUGE, -20, 250, "Heat meter, supply side"),
    RANGE("temperature.return", "degC", METRIC_GAUGE, -20, 250, "Heat meter, return side"),
    RANGE("humidity", "%", METRIC_GAUGE, 0, 100, "Relative humidity in the cabinet"),

    RANGE("turbidity", "NTU", METRIC_GAUGE, 0, 10000, "Turbidity"),
    RANGE("chlorine.free", "mg/L", METRIC_GAUGE, 0, 1000, "Free chlorine"),
    RANGE("chlorine.total", "mg/L", METRIC_GAUGE, 0, 1000, "Total chlorine"),
    RANGE("ph", "", METRIC_GAUGE, 0, 14, "pH"),
    RANGE("conductivity", "uS/cm", METRIC_GAUGE, 0, 1000000, "Electrical conductivity"),
    RANGE("oxygen.dissolved", "mg/L", METRIC_GAUGE, 0, 60, "Dissolved oxygen"),
    RANGE("orp", "mV", METRIC_GAUGE, -2000, 2000, "Oxidation-reduction potential"),
    RANGE("cod", "mg/L", METRIC_GAUGE, 0, 1000000, "Chemical oxygen demand"),
    RANGE("nh3n", "mg/L", METRIC_GAUGE, 0, 100000, "Ammonia nitrogen"),
    RANGE("tp", "mg/L", METRIC_GAUGE, 0, 100000, "Total phosphorus"),
    RANGE("tn", "mg/L", METRIC_GAUGE, 0, 100000, "Total nitrogen"),
    RANGE("toc", "mg/L", METRIC_GAUGE, 0, 100000, "Total organic carbon"),
    RANGE("tss", "mg/L", METRIC_GAUGE, 0, 1000000, "Suspended solids"),
    RANGE("tds", "mg/L", METRIC_GAUGE, 0, 1000000, "Dissolved solids"),

    /* Every unit of energy that meters use is a finite decimal of a GJ; of a kWh it is not. */
    ROW("energy.heat", "GJ", METRIC_COUNTER, "Heat delivered"),
    ROW("energy.cool", "GJ", METRIC_COUNTER, "Cold delivered"),
    ROW("energy.electric", "kWh", METRIC_COUNTER, "Electricity used"),
    ROW("power", "kW", METRIC_GAUGE, "Power, electrical or of heat"),
    ROW("power.reactive", "kvar", METRIC_GAUGE, "Reactive power"),
    RANGE("power.factor", "", METRIC_GAUGE, -1, 1, "Power factor"),
    RANGE("voltage", "V", METRIC_GAUGE, -1000000, 1000000, "Supply voltage of a pump"),
    ROW("current", "A", METRIC_GAUGE, "Current of a pump"),
    RANGE("frequency", "Hz", METRIC_GAUGE, 0, 1000, "Supply or drive frequency"),
    RANGE("speed", "rpm", METRIC_GAUGE, -100000, 100000, "Speed of a pump"),
    RANGE("time.operating", "h", METRIC_COUNTER, 0, 10000000, "Hours in operation"),

    RANGE("battery.voltage", "V", METRIC_GAUGE, 0, 100, "Battery voltage"),
    RANGE("battery.percent", "%", METRIC_GAUGE, 0, 100, "Battery charge"),
    RANGE("signal.rssi", "dBm", METRIC_GAUGE, -200, 30, "Received signal strength"),
    RANGE("signal.snr", "dB", METRIC_GAUGE, -60, 100, "Signal to noise"),

    EVENT("valve.state", "", METRIC_STATE, 2, "0 closed, 1 open, 2 fault"),
    RANGE("valve.position", "%", METRIC_GAUGE, 0, 100, "0 closed, 100 open"),
    EVENT("pump.state", "", METRIC_STATE, 2, "0 stopped, 1 running, 2 fault"),
    EVENT("door.state", "", METRIC_STATE, 1, "0 closed, 1 open"),
    EVENT("alarm.*", "", METRIC_ALARM, 1, "Any alarm: 0 or 1"),
};

struct entry {
    struct metric metric;
    uint32_t name_size;
    bool owned; /* strings were copied */
};

struct vocabulary {
    struct entry *entries;
    size_t count;
    size_t capacity;
    uint32_t *slots; /* index into entries + 1; linear probing */
    size_t slot_count;
};

/* ---- the index ---- */

static size_t slot_of(const struct vocabulary *vocabulary, struct bytes name)
{
    return (size_t)XXH3_64bits(name.data, name.size) & (vocabulary->slot_count - 1);
}

static const struct metric *lookup(const struct vocabulary *vocabulary, struct bytes name)
{
    for (size_t slot = slot_of(vocabulary, name); vocabulary->slots[slot];
         slot = (slot + 1) & (vocabulary->slot_count - 1)) {
        const struct entry *entry = &vocabulary->entries[vocabulary->slots[slot] - 1];
        if (entry->name_size == name.size && memcmp(entry->metric.name, name.data, name.size) == 0)
            return &entry->metric;
    }
    return NULL;
}

static void index_entry(struct vocabulary *vocabulary, size_t index)
{
    const struct entry *entry = &vocabulary->entries[index];
    size_t slot = slot_of(vocabulary, bytes_of(entry->metric.name, entry->name_size));
    while (vocabulary->slots[slot])
        slot = (slot + 1) & (vocabulary->slot_count - 1);
    vocabulary->slots[slot] = (uint32_t)index + 1;
}

/* At most half of the slots are used, so a search for what is not there ends soon. */
static void insert(struct vocabulary *vocabulary, const struct metric *metric, bool owned)
{
    if (vocabulary->count == vocabulary->capacity) {
        vocabulary->capacity = vocabulary->capacity ? vocabulary->capacity * 2 : 128;
        vocabulary->entries =
            mem_realloc(vocabulary->entries, vocabulary->capacity * sizeof *vocabulary->entries);
        vocabulary->slot_count = vocabulary->capacity * 2;
        free(vocabulary->slots);
        vocabulary->slots = mem_zalloc(vocabulary->slot_count * sizeof *vocabulary->slots);
        for (size_t i = 0; i < vocabulary->count; i++)
            index_entry(vocabulary, i);
    }
    vocabulary->entries[vocabulary->count] =
        (struct entry){*metric, (uint32_t)strlen(metric->name), owned};
    index_entry(vocabulary, vocabulary->count++);
}

struct vocabulary *vocabulary_new(void)
{
    struct vocabulary *vocabulary = mem_zalloc(sizeof *vocabulary);
    for (size_t i = 0; i < array_count(fixed); i++)
        insert(vocabulary, &fixed[i], false);
    return vocabulary;
}

static void entry_fini(struct entry *entry)
{
    if (!entry->owned)
        return;
    free((void *)(uintptr_t)entry->metric.name);
    free((void *)(uintptr_t)entry->metric.unit);
    free((void *)(uintptr_t)entry->metric.help);
}

void vocabulary_free(struct vocabulary *vocabulary)
{
    if (vocabulary == NULL)
        return;
    for (size_t i = 0; i < vocabulary->count; i++)
        entry_fini(&vocabulary->entries[i]);
    free(vocabulary->entries);
    free(vocabulary->slots);
    free(vocabulary);
}

/* ---- additions ---- */

enum { NAME_SIZE_MAX = 64 };

static bool name_is_good(const char *name)
{
    size_t size = strlen(name);
    if (size == 0 || size > NAME_SIZE_MAX || name[0] < 'a' || name[0] > 'z')
        return false;
    for (size_t i = 0; i < size; i++) {
        char c = name[i];
        bool wildcard = c == '*' && i + 1 == size && name[i - 1] == '.';
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_' && c != '.' &&
            c != '-' && !wildcard)
            return false;
    }
    return true;
}

static bool unit_is_known(const struct vocabulary *vocabulary, const char *unit)
{
    if (*unit == '\0' || unit_canonical(bytes_text(unit)).size)
        return true;
    for (size_t i = 0; i < vocabulary->count; i++)
        if (strcmp(vocabulary->entries[i].metric.unit, unit) == 0)
            return true;
    return false;
}

int vocabulary_add(struct vocabulary *vocabulary, const struct metric *metric, struct err *err)
{
    const char *unit = metric->unit ? metric->unit : "";
    if (metric->name == NULL || !name_is_good(metric->name))
        return err_set(err, GW_EINVAL,
                       "metric \"%.80s\": a name is a-z, 0-9, '.', '_' or '-', begins with a "
                       "letter and has at most %d characters",
                       metric->name ? metric->name : "", NAME_SIZE_MAX);
    if (lookup(vocabulary, bytes_text(metric->name)))
        return err_set(err, GW_EEXIST, "metric \"%s\" is in the vocabulary already", metric->name);
    if (!unit_is_known(vocabulary, unit))
        return err_set(err, GW_EINVAL, "metric \"%s\": unit \"%.80s\" is not known", metric->name,
                       unit);
    if (metric->has_range && decimal_compare(metric->min, metric->max) > 0)
        return err_set(err, GW_EINVAL, "metric \"%s\": min is greater than max", metric->name);
    struct bytes canonical = unit_canonical(bytes_text(unit));
    struct metric copy = *metric;
    copy.name = mem_strdup(metric->name);
    copy.unit = canonical.size ? bytes_strdup(canonical) : mem_strdup(unit);
    copy.help = mem_strdup(metric->help ? metric->help : "");
    insert(vocabulary, &copy, true);
    return 0;
}

/* ---- search ---- */

/* Takes ".2" and higher off the end; false when there is none. */
static bool strip_number(struct bytes *name)
{
    size_t digits = 0;
    while (digits < name->size && digits < 4 && name->data[name->size - 1 - digits] >= '0' &&
           name->data[name->size - 1 - digits] <= '9')
        digits++;
    if (digits == 0 || digits > 3 || digits + 1 >= name->size ||
        name->data[name->size - digits - 1] != '.')
        return false;
    const uint8_t *first = name->data + name->size - digits;
    if (*first == '0' || (digits == 1 && *first == '1'))
        return false;
    name->size -= digits + 1;
    return true;
}

/* `alarm.tank.high` matches `alarm.tank.*` before `alarm.*`. */
static const struct metric *lookup_wildcard(const struct vocabulary *vocabulary, struct bytes name)
{
    char pattern[NAME_SIZE_MAX + 2];
    for (size_t dot = name.size; dot-- > 0;) {
        if (name.data[dot] != '.' || dot + 1 == name.size || dot + 2 > NAME_SIZE_MAX)
            continue;
        memcpy(pattern, name.data, dot + 1);
        pattern[dot + 1] = '*';
        const struct metric *metric = lookup(vocabulary, bytes_of(pattern, dot + 2));
        if (metric)
            return metric;
    }
    return NULL;
}

const struct metric *vocabulary_find(const struct vocabulary *vocabulary, struct bytes name)
{
    const struct metric *metric = lookup(vocabulary, name);
    struct bytes base = name;
    /* A name longer than any entry and its number is not searched for, however many dots. */
    if (metric || name.size > NAME_SIZE_MAX + 4)
        return metric;
    if (strip_number(&base))
        metric = lookup(vocabulary, base);
    return metric ? metric : lookup_wildcard(vocabulary, name);
}

const struct metric *vocabulary_at(const struct vocabulary *vocabulary, size_t index)
{
    return index < vocabulary->count ? &vocabulary->entries[index].metric : NULL;
}
