/* SPDX-License-Identifier: Apache-2.0
 *
 * The parameters of a GPT-2 of a given size: names, shapes and places in one flat buffer. Names,
 * shapes and layouts are those of Hugging Face's GPT-2, so the buffer is what a checkpoint holds.
 */
#ifndef GPT_PARAMS_H
#define GPT_PARAMS_H

#include "fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    int layers, heads, channels;
    int context; /* T: positions of a sequence */
    int vocab;
} GptConfig;

/* Tensors outside the layers, then those of a layer, in the order of the flat buffer. */
enum { PARAM_WTE, PARAM_WPE, PARAM_OUTER };
enum {
    PARAM_LN1_WEIGHT,
    PARAM_LN1_BIAS,
    PARAM_QKV_WEIGHT,
    PARAM_QKV_BIAS,
    PARAM_PROJ_WEIGHT,
    PARAM_PROJ_BIAS,
    PARAM_LN2_WEIGHT,
    PARAM_LN2_BIAS,
    PARAM_FC_WEIGHT,
    PARAM_FC_BIAS,
    PARAM_FCPROJ_WEIGHT,
    PARAM_FCPROJ_BIAS,
    PARAM_PER_LAYER
};

typedef struct {
    char name[48];
    size_t offset, count; /* floats */
    size_t shape[2];
    size_t dims; /* 1 or 2; weight decay is for 2 */
} Param;

typedef struct {
    GptConfig config;
    Param *list; /* wte, wpe, the layers', ln_f.weight, ln_f.bias */
    size_t list_count;
    size_t count; /* floats in all */
} Params;

/* Limits of each number, heads divide channels. */
int params_check(const GptConfig *config, Fault *fault);
int params_init(Params *params, const GptConfig *config, Fault *fault);
void params_clear(Params *params);
const Param *params_layer(const Params *params, int layer, int which);
const Param *params_final(const Params *params, bool bias); /* ln_f */
/* GPT-2's start: N(0, 0.02), the projections into the residual stream N(0, 0.02 / sqrt(2 layers)),
 * biases 0, layer norms 1 (Radford et al. 2019, section 2.3). Decided by `seed` alone. */
void params_start(const Params *params, float *data, uint64_t seed);

#endif
