/* SPDX-License-Identifier: Apache-2.0
 *
 * What is counted for a device and a vendor, from batches and dead letters made by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "devices.h"

static struct batch_builder *builder;

static void add(const char *vendor, const char *device, uint64_t seq, int64_t ts_ms,
                int64_t received_ms, uint32_t flags)
{
    struct batch_row row = {
        .vendor = bytes_text(vendor),
        .device = bytes_text(device),
        .metric = bytes_text("volume.total"),
        .unit = bytes_text("m3"),
        .ts_ms = ts_ms,
        .has_value = true,
        .quality = flags & FLAG_BAD_FIELD ? QUALITY_BAD : QUALITY_GOOD,
        .time_source = ts_ms == received_ms ? TIME_RECEIVED : TIME_DEVICE,
        .flags = flags,
        .seq = seq,
        .received_ms = received_ms,
    };
    batch_builder_add(builder, &row);
}

static struct batch *batch_made(void)
{
    struct batch *batch = batch_builder_finish(builder);
    batch_builder_free(builder);
    builder = NULL;
    return batch;
}

static void text_of_device(void *arg, const struct device_report *report)
{
    buffer_printf(arg, "%s/%s m%d r%d bad%d clock%d late%d mean%d max%d; ", report->vendor,
                  report->device, (int)report->messages, (int)report->readings, (int)report->bad,
                  (int)report->clock, (int)report->late,
                  (int)(report->timed ? report->late_sum_ms / (int64_t)report->timed : 0),
                  (int)report->late_max_ms);
}

static void text_of_vendor(void *arg, const struct vendor_report *report)
{
    buffer_printf(arg, "%s %d silent%d r%d dead%d; ", report->vendor, (int)report->devices,
                  (int)report->silent, (int)report->sum.readings, (int)report->dead);
}

static void text_of_reason(void *arg, const struct reason_report *report)
{
    buffer_printf(arg, "%s %s %s %d; ", report->vendor, report->stage, report->reason,
                  (int)report->count);
}

static void assert_text(struct buffer *text, const char *wanted)
{
    buffer_u8(text, '\0');
    assert_string_equal((const char *)text->data, wanted);
    buffer_fini(text);
    *text = (struct buffer){0};
}

static void letter(struct devices *devices, const char *vendor, const char *reason)
{
    struct deadletter dead = {.message = {.vendor = bytes_text(vendor), .received_ms = 5000},
                              .stage = STAGE_DECODE,
                              .reason = bytes_text(reason)};
    devices_add_letter(devices, &dead, INT64_MIN, INT64_MAX);
}

static void each_device_has_its_counts(void **state)
{
    (void)state;
    struct devices *devices = devices_new();
    struct buffer text = {0};
    builder = batch_builder_new();
    add("b", "7", 1, 1000, 3000, 0);
    add("b", "7", 1, 1000, 3000, FLAG_BAD_FIELD);
    add("a", "7", 2, 2000, 3000, FLAG_LATE);     /* the same name at another vendor */
    add("b", "7", 3, 3000, 3000, 0);             /* the receive time: not late */
    add("b", "7", 4, 9999999, 4000, FLAG_CLOCK); /* not believed: not late */
    add("b", "6", 5, 0, 4000, FLAG_DUPLICATE | FLAG_RESET);
    struct batch *batch = batch_made();
    devices_add(devices, batch, INT64_MIN, INT64_MAX);
    devices_each(devices, text_of_device, &text);
    assert_text(&text, "a/7 m1 r1 bad0 clock0 late1 mean1000 max1000; "
                       "b/6 m1 r1 bad0 clock0 late0 mean4000 max4000; "
                       "b/7 m3 r4 bad1 clock1 late0 mean2000 max2000; ");
    batch_release(batch);
    devices_free(devices);
}

static void a_vendor_has_its_silent_devices_and_dead_letters(void **state)
{
    (void)state;
    struct devices *devices = devices_new();
    struct buffer text = {0};
    builder = batch_builder_new();
    add("a", "1", 1, 0, 1000, 0);
    add("a", "2", 2, 0, 9000, 0);
    add("b", "1", 3, 0, 9000, 0);
    struct batch *batch = batch_made();
    devices_add(devices, batch, INT64_MIN, INT64_MAX);
    letter(devices, "a", "checksum");
    letter(devices, "a", "too_short");
    letter(devices, "a", "checksum");
    letter(devices, "dead-only", "bad_json");
    letter(devices, "dead-only", "bad_utf8");
    devices_vendors(devices, 5000, text_of_vendor, &text);
    assert_text(&text,
                "a 2 silent1 r2 dead3; b 1 silent0 r1 dead0; dead-only 0 silent0 r0 dead2; ");
    devices_reasons(devices, text_of_reason, &text);
    assert_text(&text, "a decode checksum 2; a decode too_short 1; "
                       "dead-only decode bad_json 1; dead-only decode bad_utf8 1; ");
    batch_release(batch);
    devices_free(devices);
}

static void only_the_time_and_the_vendor_asked_for_count(void **state)
{
    (void)state;
    struct devices *devices = devices_new();
    struct buffer text = {0};
    builder = batch_builder_new();
    add("a", "1", 1, 0, 999, 0);
    add("a", "1", 2, 0, 1000, 0);
    add("a", "1", 3, 0, 1999, 0);
    add("a", "1", 4, 0, 2000, 0);
    add("b", "1", 5, 0, 1500, 0);
    struct batch *batch = batch_made();
    devices_only(devices, "a");
    devices_add(devices, batch, 1000, 2000);
    letter(devices, "b", "checksum");
    devices_each(devices, text_of_device, &text);
    assert_text(&text, "a/1 m2 r2 bad0 clock0 late0 mean1499 max1999; ");
    devices_vendors(devices, 0, text_of_vendor, &text);
    assert_text(&text, "a 1 silent0 r2 dead0; ");
    batch_release(batch);
    devices_free(devices);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_device_has_its_counts),
        cmocka_unit_test(a_vendor_has_its_silent_devices_and_dead_letters),
        cmocka_unit_test(only_the_time_and_the_vendor_asked_for_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
