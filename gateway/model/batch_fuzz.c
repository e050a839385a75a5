/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzz target for batch_decode: whatever is taken must be usable, and must come back the same after
 * another round through bytes.
 */
#include "model/batch.h"
#include "model/batch_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct batch *batch = NULL, *again = NULL;
    struct err err;
    if (batch_decode(bytes_of(data, size), &batch, &err) != 0)
        return 0;
    struct buffer out = {0}, second = {0};
    for (uint32_t i = 0; i < batch->count; i++)
        batch_row_json(batch, i, "0", &out);
    buffer_clear(&out);
    batch_encode(batch, &out);
    gw_assert(batch_decode(buffer_bytes(&out), &again, &err) == 0);
    batch_encode(again, &second);
    gw_assert(bytes_equal(buffer_bytes(&out), buffer_bytes(&second)));
    buffer_fini(&out);
    buffer_fini(&second);
    batch_release(again);
    batch_release(batch);
    return 0;
}
