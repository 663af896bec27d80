/* SPDX-License-Identifier: Apache-2.0 */
#include "sample.h"

#include "random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint16_t pick_top(const float *logits, size_t vocab)
{
    size_t top = 0;

    for (size_t i = 1; i < vocab; i++) {
        if (logits[i] > logits[top])
            top = i;
    }
    return (uint16_t)top;
}

/* By the inverse of the cumulative distribution at `unit`. */
static uint16_t pick(const float *logits, size_t vocab, double temperature, double unit)
{
    size_t top = pick_top(logits, vocab);
    double sum = 0.0, passed = 0.0;

    if (temperature <= 0.0)
        return (uint16_t)top;
    for (size_t i = 0; i < vocab; i++)
        sum += exp(((double)logits[i] - (double)logits[top]) / temperature);
    for (size_t i = 0; i < vocab; i++) {
        passed += exp(((double)logits[i] - (double)logits[top]) / temperature);
        if (passed > unit * sum)
            return (uint16_t)i;
    }
    return (uint16_t)top;
}

int sample_draw(Model *model, const SampleOptions *options, uint16_t first, uint16_t *tokens,
                Fault *fault)
{
    const GptConfig *config = &model_get_params(model)->config;
    size_t vocab = (size_t)config->vocab, context = (size_t)config->context, used = 1;
    float *logits = malloc(vocab * sizeof(*logits));
    uint16_t *window = malloc(context * sizeof(*window));

    if (!logits || !window) {
        free(logits);
        free(window);
        return fault_set(fault, "no memory to draw a sample");
    }
    window[0] = first;
    for (size_t i = 0; i < options->count; i++) {
        model_logits(model, window, used, logits);
        tokens[i] =
            pick(logits, vocab, options->temperature, random_unit(random_at(options->seed, i)));
        if (used == context)
            memmove(window, window + 1, --used * sizeof(*window));
        window[used++] = tokens[i];
    }
    free(logits);
    free(window);
    return 0;
}
