/* SPDX-License-Identifier: Apache-2.0 */
#include "adamw.h"

#include <math.h>

#define PI          3.14159265358979323846
#define RATE_AT_END 0.1 /* of the peak */

int adamw_init(Adamw *adamw, size_t count, Fault *fault)
{
    *adamw = (Adamw){.m = ops_alloc(count), .v = ops_alloc(count), .count = count};
    if (adamw->m && adamw->v)
        return 0;
    adamw_clear(adamw);
    return fault_set(fault, "no memory for the optimizer: it needs %.1f GiB",
                     2.0 * (double)count * sizeof(float) / 0x1p30);
}

void adamw_clear(Adamw *adamw)
{
    ops_release(adamw->m, adamw->count);
    ops_release(adamw->v, adamw->count);
    *adamw = (Adamw){0};
}

void adamw_update(Adamw *adamw, Model *model, const AdamwStep *step)
{
    const Params *params = model_get_params(model);
    double scale =
        step->clip > 0 && step->grad_norm > step->clip ? step->clip / step->grad_norm : 1;
    OpsAdamw update = {.rate = (float)step->rate,
                       .beta1 = (float)ADAMW_BETA1,
                       .beta2 = (float)ADAMW_BETA2,
                       .epsilon = (float)ADAMW_EPSILON,
                       .correction1 = (float)(1.0 / (1.0 - pow(ADAMW_BETA1, (double)step->step))),
                       .correction2 = (float)(1.0 / (1.0 - pow(ADAMW_BETA2, (double)step->step))),
                       .scale = (float)scale};

    for (size_t i = 0; i < params->list_count; i++) {
        const Param *param = &params->list[i];
        float *const pmv[3] = {model_get_weights(model) + param->offset, adamw->m + param->offset,
                               adamw->v + param->offset};

        update.decay = param->dims == 2 ? (float)step->decay : 0.0F;
        ops_adamw(model_get_ops(model), pmv, model_get_gradients(model) + param->offset,
                  param->count, &update);
    }
}

double adamw_rate(double peak, int64_t warmup, int64_t steps, int64_t step)
{
    double done;

    if (step <= warmup)
        return peak * (double)step / (double)warmup;
    if (step >= steps || steps <= warmup)
        return peak * RATE_AT_END;
    done = (double)(step - warmup) / (double)(steps - warmup);
    return peak * (RATE_AT_END + (1.0 - RATE_AT_END) * 0.5 * (1.0 + cos(PI * done)));
}
