/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading and writing safetensors files (https://github.com/huggingface/safetensors, "Format"):
 * 8 bytes little-endian header size N, N bytes of JSON, then the tensors' bytes.
 *
 * The reader treats a file as hostile: every size, offset and product is checked against the file
 * before it is used, tensors must cover the data without gap or overlap, memory is bounded by
 * SAFETENSORS_HEADER_MAX and SAFETENSORS_TENSORS_MAX.
 */
#ifndef GPT_SAFETENSORS_H
#define GPT_SAFETENSORS_H

#include "fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SAFETENSORS_HEADER_MAX  (16U << 20) /* bytes */
#define SAFETENSORS_TENSORS_MAX 65536U
#define SAFETENSORS_DIMS_MAX    8
#define SAFETENSORS_NAME_MAX    127

typedef enum {
    SAFETENSORS_F32,
    SAFETENSORS_F16,
    SAFETENSORS_BF16,
    SAFETENSORS_OTHER
} SafetensorsType;

typedef struct {
    char name[SAFETENSORS_NAME_MAX + 1];
    SafetensorsType type;
    uint64_t shape[SAFETENSORS_DIMS_MAX];
    size_t dims;
    uint64_t begin, end; /* bytes, from the start of the data */
} SafetensorsEntry;

typedef struct Safetensors Safetensors;

/* Parses `header_size` bytes of JSON for a file with `data_size` bytes of data behind them. */
int safetensors_parse(const char *header, size_t header_size, uint64_t data_size,
                      Safetensors **tensors, Fault *fault);
int safetensors_open(const char *path, Safetensors **tensors, Fault *fault);
void safetensors_close(Safetensors *tensors); /* NULL is fine */
size_t safetensors_get_count(const Safetensors *tensors);
const SafetensorsEntry *safetensors_get(const Safetensors *tensors, size_t index);
const SafetensorsEntry *safetensors_find(const Safetensors *tensors, const char *name);
/* Reads the first `count` elements as floats, whatever of F32, F16, BF16 is stored. */
int safetensors_read(const Safetensors *tensors, const SafetensorsEntry *entry, float *data,
                     size_t count, Fault *fault);

/* What is written: fp32, in the order given. */
typedef struct {
    const char *name;
    const float *data;
    uint64_t shape[SAFETENSORS_DIMS_MAX];
    size_t dims;
} SafetensorsTensor;

/* Writes a new file and syncs it to the disk. Its metadata is {"format": "pt"}. */
int safetensors_write(const char *path, const SafetensorsTensor *tensors, size_t count,
                      Fault *fault);

#endif
