/* SPDX-License-Identifier: Apache-2.0
 *
 * GPT-2 (Radford et al., 2019): loss, gradients, logits. Pre-norm blocks, learned positions, tanh
 * GELU, head tied to the token embedding, no dropout.
 */
#ifndef GPT_MODEL_H
#define GPT_MODEL_H

#include "fault.h"
#include "ops.h"
#include "params.h"

typedef struct Model Model;

/* `sequences`: the most that one call will be given. All memory of the step is taken here.
 * `threads` 0: as many as OpenMP gives. */
int model_new(const GptConfig *config, size_t sequences, int threads, Model **model, Fault *fault);
void model_free(Model *model); /* NULL is fine */

const Params *model_get_params(const Model *model);
Ops *model_get_ops(Model *model);
float *model_get_weights(Model *model);   /* params->count floats */
float *model_get_gradients(Model *model); /* as many */

/* `sequences` windows of T + 1 tokens, each below vocab. Gradients are set (or added to, with
 * `accumulate`) to `weight` times the gradient of the sum of the N losses. `ready` (may be NULL) is
 * told each range of the gradients, once, as soon as it is final. */
typedef struct {
    const uint16_t *tokens;
    size_t sequences;
    float weight;
    bool accumulate;
    void (*ready)(void *user_data, size_t first, size_t count);
    void *user_data;
} ModelBatch;

/* Gives the sum of the N losses, in nats. */
double model_train(Model *model, const ModelBatch *batch);
double model_loss(Model *model, const uint16_t *tokens, size_t sequences);
/* logits (V) of what follows tokens[0 .. count), 1 <= count <= T. */
void model_logits(Model *model, const uint16_t *tokens, size_t count, float *logits);

/* Floating point operations of the matrix products of one sequence's forward and backward pass. */
double model_flops(const GptConfig *config);

#endif
