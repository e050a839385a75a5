/* SPDX-License-Identifier: Apache-2.0
 *
 * A model against the replays: whatever was configured, sent and restarted before, a store ends with
 * what the present configuration yields.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/replay_kit.h"

enum { METERS = 4, STEPS = 60 };

#define OPTIONS(device, field)                                                                     \
    "      device: " device "\n"                                                                   \
    "      time: {path: t, format: epoch_ms}\n"                                                    \
    "      fields:\n"                                                                              \
    "        " field "\n"

static const struct {
    const char *options, *device, *metric;
    double factor;
} configs[] = {
    {OPTIONS("id", "volume.total: {path: v, unit: m3}"), "m", "volume.total", 1},
    {OPTIONS("id", "volume.total: {path: v, unit: L}"), "m", "volume.total", 0.001},
    {OPTIONS("serial", "volume.total: {path: v, unit: L}"), "s", "volume.total", 0.001},
    {OPTIONS("serial", "volume.reverse: {path: v, unit: L}"), "s", "volume.reverse", 0.001},
    {OPTIONS("id", "pressure: {path: p, unit: kPa, required: true}"), NULL, NULL, 0}, /* nothing */
};

/* Meter i in round r: a counter of r * 1000 + i, at 1000 * r. */
static void publish_round(struct replay_kit *kit, int round)
{
    for (int meter = 0; meter < METERS; meter++) {
        char text[160];
        snprintf(text, sizeof text, "{\"id\":\"m%d\",\"serial\":\"s%d\",\"t\":%d,\"v\":%d}", meter,
                 meter, 1000 * round, round * 1000 + meter);
        rkit_publish(kit, "m/acme", text);
    }
}

static void replay(struct replay_kit *kit, enum replay_source source)
{
    struct replay_request request = rkit_request(source);
    rkit_replay(kit, &request);
}

/* One thing that an operator or a meter does. */
static void step(struct replay_kit *kit, int *rounds)
{
    char name[8];
    struct replay_request request = rkit_request(rand() % 3   ? REPLAY_AGAIN
                                                 : rand() % 2 ? REPLAY_READINGS
                                                              : REPLAY_LETTERS);
    switch (rand() % 6) {
    case 0: rkit_config(kit, configs[(size_t)rand() % array_count(configs)].options); return;
    case 1: rkit_restart(kit, 0); return;
    case 2:
        publish_round(kit, ++*rounds);
        rkit_decode(kit);
        replay(kit, REPLAY_READINGS); /* as a lane would */
        return;
    default: break;
    }
    snprintf(name, sizeof name, "%c%d", rand() % 2 ? 'm' : 's', rand() % METERS);
    if (rand() % 2)
        request.device = name;
    rkit_replay(kit, &request);
}

static void check(struct replay_kit *kit, size_t config, int rounds)
{
    const char *device = configs[config].device;
    assert_int_equal(rkit_cells(&kit->sink), device ? METERS * rounds : 0);
    for (int i = 0; device && i < METERS * rounds; i++) {
        char key[80], value[40];
        int round = 1 + i / METERS, meter = i % METERS;
        snprintf(key, sizeof key, "acme/%s%d %s %d", device, meter, configs[config].metric,
                 1000 * round);
        snprintf(value, sizeof value, "%.10g m3 good",
                 (round * 1000 + meter) * configs[config].factor);
        assert_int_equal(strncmp(rkit_cell(&kit->sink, key), value, strlen(value)), 0);
    }
}

static void any_history_ends_with_the_present_decoding(void **state)
{
    struct replay_kit *kit = *state;
    int rounds = 0;
    srand(7);
    rkit_config(kit, configs[0].options);
    for (int i = 0; i < STEPS; i++)
        step(kit, &rounds);
    assert_true(rounds > 3);
    for (size_t config = 0; config < array_count(configs); config++) {
        rkit_config(kit, configs[config].options);
        replay(kit, REPLAY_AGAIN);
        check(kit, config, rounds);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(any_history_ends_with_the_present_decoding,
                                        replay_kit_setup, replay_kit_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
