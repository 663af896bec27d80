/* SPDX-License-Identifier: Apache-2.0
 *
 * Text from the model, one token after the other.
 */
#ifndef GPT_SAMPLE_H
#define GPT_SAMPLE_H

#include "model.h"

typedef struct {
    size_t count;       /* tokens to draw */
    double temperature; /* 0: always the most likely one */
    uint64_t seed;
} SampleOptions;

/* Draws options->count tokens that follow `first`. The context is the last T tokens. */
int sample_draw(Model *model, const SampleOptions *options, uint16_t first, uint16_t *tokens,
                Fault *fault);

#endif
