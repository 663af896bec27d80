/* SPDX-License-Identifier: Apache-2.0
 *
 * A safetensors file from anyone: header and data as safetensors_open() finds them, without the
 * disk.
 */
#include "safetensors.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was accepted tiles the data and may be walked. */
static void tensors_walk(const Safetensors *tensors, uint64_t data_size)
{
    uint64_t at = 0;

    for (size_t i = 0; i < safetensors_get_count(tensors); i++) {
        const SafetensorsEntry *entry = safetensors_get(tensors, i);

        if (entry->begin != at || entry->end < at || entry->end > data_size ||
            !safetensors_find(tensors, entry->name))
            abort();
        at = entry->end;
    }
    if (at != data_size)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Safetensors *tensors = NULL;
    uint64_t header_size = 0;
    Fault fault;

    if (size < 8)
        return 0;
    memcpy(&header_size, data, sizeof(header_size));
    if (header_size > size - 8)
        header_size = size - 8;
    if (!safetensors_parse((const char *)data + 8, (size_t)header_size, size - 8 - header_size,
                           &tensors, &fault))
        tensors_walk(tensors, size - 8 - header_size);
    safetensors_close(tensors);
    return 0;
}
