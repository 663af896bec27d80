/* SPDX-License-Identifier: Apache-2.0 */
#include "params.h"

#include "random.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PI 3.14159265358979323846

int params_check(const GptConfig *config, Fault *fault)
{
    const struct {
        const char *name;
        int value, most;
    } limits[] = {{"layers", config->layers, 1000},
                  {"heads", config->heads, 4096},
                  {"channels", config->channels, 65536},
                  {"context", config->context, 65536},
                  {"vocab", config->vocab, 65536}};

    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        if (limits[i].value < 1 || limits[i].value > limits[i].most)
            return fault_set(fault, "%s is %d, must be 1 to %d", limits[i].name, limits[i].value,
                             limits[i].most);
    }
    if (config->channels % config->heads)
        return fault_set(fault, "heads (%d) do not divide channels (%d)", config->heads,
                         config->channels);
    return 0;
}

static void param_add(Params *params, size_t rows, size_t columns, const char *name)
{
    Param *param = &params->list[params->list_count++];

    snprintf(param->name, sizeof(param->name), "%s", name);
    param->offset = params->count;
    param->dims = rows ? 2 : 1;
    param->shape[0] = rows ? rows : columns;
    param->shape[1] = rows ? columns : 1;
    param->count = param->shape[0] * param->shape[1];
    params->count += param->count;
}

static void layer_add(Params *params, int layer)
{
    size_t c = (size_t)params->config.channels;
    const struct {
        const char *name;
        size_t rows, columns; /* rows 0: a vector */
    } tensors[PARAM_PER_LAYER] = {{"ln_1.weight", 0, c},
                                  {"ln_1.bias", 0, c},
                                  {"attn.c_attn.weight", c, 3 * c},
                                  {"attn.c_attn.bias", 0, 3 * c},
                                  {"attn.c_proj.weight", c, c},
                                  {"attn.c_proj.bias", 0, c},
                                  {"ln_2.weight", 0, c},
                                  {"ln_2.bias", 0, c},
                                  {"mlp.c_fc.weight", c, 4 * c},
                                  {"mlp.c_fc.bias", 0, 4 * c},
                                  {"mlp.c_proj.weight", 4 * c, c},
                                  {"mlp.c_proj.bias", 0, c}};
    char name[sizeof(params->list->name)];

    for (size_t i = 0; i < PARAM_PER_LAYER; i++) {
        snprintf(name, sizeof(name), "h.%d.%s", layer, tensors[i].name);
        param_add(params, tensors[i].rows, tensors[i].columns, name);
    }
}

int params_init(Params *params, const GptConfig *config, Fault *fault)
{
    size_t c = (size_t)config->channels;

    if (params_check(config, fault))
        return -1;
    memset(params, 0, sizeof(*params));
    params->config = *config;
    params->list =
        calloc(PARAM_OUTER + (size_t)config->layers * PARAM_PER_LAYER + 2, sizeof(*params->list));
    if (!params->list)
        return fault_set(fault, "no memory for the table of parameters");
    param_add(params, (size_t)config->vocab, c, "wte.weight");
    param_add(params, (size_t)config->context, c, "wpe.weight");
    for (int layer = 0; layer < config->layers; layer++)
        layer_add(params, layer);
    param_add(params, 0, c, "ln_f.weight");
    param_add(params, 0, c, "ln_f.bias");
    return 0;
}

void params_clear(Params *params)
{
    free(params->list);
    memset(params, 0, sizeof(*params));
}

const Param *params_layer(const Params *params, int layer, int which)
{
    return &params->list[PARAM_OUTER + (size_t)layer * PARAM_PER_LAYER + (size_t)which];
}

const Param *params_final(const Params *params, bool bias)
{
    return &params->list[params->list_count - (bias ? 1 : 2)];
}

/* Box and Muller (1958): two uniform numbers make two normal ones. */
static void fill_normal(float *data, size_t count, double deviation, uint64_t key)
{
    for (size_t i = 0; i < count; i += 2) {
        double radius = deviation * sqrt(-2.0 * log(1.0 - random_unit(random_at(key, i))));
        double angle = 2.0 * PI * random_unit(random_at(key, i + 1));

        data[i] = (float)(radius * cos(angle));
        if (i + 1 < count)
            data[i + 1] = (float)(radius * sin(angle));
    }
}

void params_start(const Params *params, float *data, uint64_t seed)
{
    double residual = 0.02 / sqrt(2.0 * params->config.layers);

    for (size_t i = 0; i < params->list_count; i++) {
        const Param *param = &params->list[i];
        bool into_residual = strstr(param->name, "c_proj.weight") != NULL;
        bool norm = strstr(param->name, "ln_") && strstr(param->name, "weight");

        if (param->dims == 2)
            fill_normal(data + param->offset, param->count, into_residual ? residual : 0.02,
                        random_at(seed, i));
        else
            for (size_t k = 0; k < param->count; k++)
                data[param->offset + k] = norm ? 1.0F : 0.0F;
    }
}
