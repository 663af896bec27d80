/* SPDX-License-Identifier: Apache-2.0
 *
 * The text as tokens, divided into training and validation.
 *
 * The tokens are cut into chunks, every tenth goes to validation; each part reads as one stream. A
 * sample is a window of T + 1 tokens of the training stream, and where it starts is decided by
 * (seed, step, index in the global batch) alone: any number of ranks sees the same batches.
 */
#ifndef GPT_DATA_H
#define GPT_DATA_H

#include "fault.h"

#include <stddef.h>
#include <stdint.h>

#define DATA_FORTUNES "/usr/share/games/fortunes"

typedef struct {
    uint16_t *tokens;
    size_t count;
    size_t chunk;       /* tokens */
    size_t chunks;      /* of validation */
    size_t train_count; /* tokens of the training stream */
    size_t val_count;
    uint32_t digest;
} Data;

/* Bytes of `files`, one after the other, are the tokens (vocab 256). */
int data_load_text(Data *data, const char *const *files, size_t count, Fault *fault);
/* The text files of Debian's package `fortunes`, by name. */
int data_load_fortunes(Data *data, const char *folder, Fault *fault);
/* A file of little-endian uint16, each below `vocab`. */
int data_load_tokens(Data *data, const char *path, int vocab, Fault *fault);
void data_clear(Data *data);
/* Are both streams long enough for windows of `window` tokens? */
int data_check(const Data *data, size_t window, Fault *fault);

typedef struct {
    uint64_t seed;
    int64_t step;
    size_t sample; /* in the global batch */
} DataIndex;

void data_get_train(const Data *data, DataIndex index, uint16_t *window, size_t count);
/* Window `index` of `windows`, spread evenly over the validation stream. */
void data_get_val(const Data *data, size_t index, size_t windows, uint16_t *window, size_t count);

#endif
