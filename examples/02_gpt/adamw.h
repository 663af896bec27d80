/* SPDX-License-Identifier: Apache-2.0
 *
 * AdamW over the flat parameters, and the learning rate's schedule.
 */
#ifndef GPT_ADAMW_H
#define GPT_ADAMW_H

#include "model.h"

#define ADAMW_BETA1   0.9
#define ADAMW_BETA2   0.95
#define ADAMW_EPSILON 1e-8

typedef struct {
    float *m, *v; /* first and second moment, as many as there are parameters */
    size_t count;
} Adamw;

typedef struct {
    int64_t step; /* the one being done, from 1 */
    double rate;
    double decay;     /* on tensors of two dimensions only: not on biases and norms */
    double grad_norm; /* of the whole gradient */
    double clip;      /* scale the gradient down to this norm; 0: never */
} AdamwStep;

int adamw_init(Adamw *adamw, size_t count, Fault *fault);
void adamw_clear(Adamw *adamw);
void adamw_update(Adamw *adamw, Model *model, const AdamwStep *step);

/* Linear warm-up to `peak` in `warmup` steps, then half a cosine down to a tenth of it at `steps`
 * (Loshchilov and Hutter, arXiv:1608.03983, section 3). `step` counts from 1. */
double adamw_rate(double peak, int64_t warmup, int64_t steps, int64_t step);

#endif
