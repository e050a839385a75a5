/* SPDX-License-Identifier: Apache-2.0
 *
 * Whatever stands in a replay's file is a job or is refused; a job that is written again reads as
 * the same text.
 */
#include <stddef.h>
#include <stdint.h>

#include "replay_job.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct replay_job job, again;
    struct buffer first = {0}, second = {0};
    struct err err;
    if (replay_job_decode(bytes_of(data, size), &job, &err) == 0) {
        replay_job_encode(&job, &first);
        gw_assert(replay_job_decode(buffer_bytes(&first), &again, &err) == 0);
        replay_job_encode(&again, &second);
        gw_assert(bytes_equal(buffer_bytes(&first), buffer_bytes(&second)));
        replay_job_fini(&again);
        replay_job_fini(&job);
    }
    buffer_fini(&first);
    buffer_fini(&second);
    return 0;
}
