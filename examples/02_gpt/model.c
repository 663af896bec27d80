/* SPDX-License-Identifier: Apache-2.0
 *
 * The forward and backward pass, as a list of operator calls on one arena of activations.
 *
 * Forward keeps what backward needs: per layer the normalised inputs, qkv, the attention's output
 * and log-sums, the MLP before and after GELU, and the residual stream before each half. Backward
 * walks the list in reverse with one gradient of the stream (`dstream`) and two scratch buffers,
 * and tells each layer's range of gradients when it is final, so that it can travel while the next
 * layer is computed. wte comes last: it collects from the head first and from the embedding at the
 * end.
 */
#include "model.h"

#include <stdlib.h>
#include <string.h>

#define LOGITS_MAX ((size_t)4 << 20) /* floats of the head's block of logits */

/* Activations of one layer: stream_in (N, C) is the output of the layer before. */
typedef struct {
    float *norm1, *stats1; /* (N, C), (N, 2) */
    float *qkv;            /* (N, 3, C) */
    float *lse;            /* (B, NH, T) */
    float *attention;      /* (N, C) */
    float *middle;         /* (N, C): the stream after attention */
    float *norm2, *stats2;
    float *pre, *act; /* (N, 4 C): before and after GELU */
    float *out;       /* (N, C): the stream after the MLP */
} Layer;

struct Model {
    Params params;
    Ops *ops;
    float *weights, *gradients;
    float *arena;
    size_t arena_count;
    Layer *layers;
    float *embedded;         /* (N, C) */
    float *norm_f, *stats_f; /* (N, C), (N, 2) */
    float *losses;           /* (N) */
    float *logits;           /* (logits_rows, V) */
    size_t logits_rows;
    float *dstream, *dnorm; /* (N, C) */
    float *dwide;           /* (N, 4 C): of pre, then of qkv */
};

/* ---- life ---- */

/* Cuts the arena. With arena NULL it only counts. */
static float *arena_take(Model *model, size_t count)
{
    float *data = model->arena ? model->arena + model->arena_count : NULL;

    model->arena_count += (count + 15) & ~(size_t)15;
    return data;
}

static void layer_lay_out(Model *model, Layer *layer, size_t rows)
{
    size_t c = (size_t)model->params.config.channels;

    layer->norm1 = arena_take(model, rows * c);
    layer->stats1 = arena_take(model, rows * 2);
    layer->qkv = arena_take(model, rows * 3 * c);
    layer->lse = arena_take(model, rows * (size_t)model->params.config.heads);
    layer->attention = arena_take(model, rows * c);
    layer->middle = arena_take(model, rows * c);
    layer->norm2 = arena_take(model, rows * c);
    layer->stats2 = arena_take(model, rows * 2);
    layer->pre = arena_take(model, rows * 4 * c);
    layer->act = arena_take(model, rows * 4 * c);
    layer->out = arena_take(model, rows * c);
}

static void model_lay_out(Model *model, size_t rows)
{
    size_t c = (size_t)model->params.config.channels;
    size_t vocab = (size_t)model->params.config.vocab;

    model->arena_count = 0;
    model->embedded = arena_take(model, rows * c);
    for (int layer = 0; layer < model->params.config.layers; layer++)
        layer_lay_out(model, &model->layers[layer], rows);
    model->norm_f = arena_take(model, rows * c);
    model->stats_f = arena_take(model, rows * 2);
    model->losses = arena_take(model, rows);
    model->dstream = arena_take(model, rows * c);
    model->dnorm = arena_take(model, rows * c);
    model->dwide = arena_take(model, rows * 4 * c);
    model->logits_rows = LOGITS_MAX / vocab < 128 ? 128 : LOGITS_MAX / vocab;
    if (model->logits_rows > rows)
        model->logits_rows = rows;
    model->logits = arena_take(model, model->logits_rows * vocab);
}

/* The activations as floats, in floating point so that no size overflows before it is refused. */
static double arena_estimate(const GptConfig *config, size_t sequences)
{
    double rows = (double)sequences * config->context;

    return rows * ((config->layers * 17.0 + 9.0) * config->channels +
                   config->layers * (double)config->heads);
}

int model_new(const GptConfig *config, size_t sequences, int threads, Model **model, Fault *fault)
{
    size_t rows = sequences * (size_t)config->context;
    OpsLimits limits = {.threads = threads,
                        .rows = rows,
                        .positions = (size_t)config->context,
                        .channels = (size_t)config->channels};
    Model *made;

    if (params_check(config, fault))
        return -1;
    if (sequences < 1 || arena_estimate(config, sequences) > 0x1p44)
        return fault_set(fault, "a batch of %zu sequences of this model does not fit in memory",
                         sequences);
    made = calloc(1, sizeof(*made));
    if (!made)
        return fault_set(fault, "no memory for the model");
    made->layers = calloc((size_t)config->layers, sizeof(*made->layers));
    if (!made->layers || params_init(&made->params, config, fault) ||
        ops_new(&limits, &made->ops, fault)) {
        model_free(made);
        return fault_prefix(fault, "model: ");
    }
    model_lay_out(made, rows);
    made->arena = ops_alloc(made->arena_count);
    made->weights = ops_alloc(made->params.count);
    made->gradients = ops_alloc(made->params.count);
    if (!made->arena || !made->weights || !made->gradients) {
        fault_set(fault, "no memory for the model: it needs %.1f GiB",
                  (double)(made->arena_count + 2 * made->params.count) * sizeof(float) / 0x1p30);
        model_free(made);
        return -1;
    }
    model_lay_out(made, rows);
    *model = made;
    return 0;
}

void model_free(Model *model)
{
    if (!model)
        return;
    ops_release(model->arena, model->arena_count);
    ops_release(model->weights, model->params.count);
    ops_release(model->gradients, model->params.count);
    ops_free(model->ops);
    params_clear(&model->params);
    free(model->layers);
    free(model);
}

const Params *model_get_params(const Model *model)
{
    return &model->params;
}

Ops *model_get_ops(Model *model)
{
    return model->ops;
}

float *model_get_weights(Model *model)
{
    return model->weights;
}

float *model_get_gradients(Model *model)
{
    return model->gradients;
}

/* ---- descriptions of operators, the same for both directions ---- */

static size_t channels_of(const Model *model)
{
    return (size_t)model->params.config.channels;
}

static float *at(float *base, const Param *param)
{
    return base + param->offset;
}

static OpsEmbed embed_of(const Model *model, float *base, const uint16_t *tokens, size_t sequences)
{
    return (OpsEmbed){.tokens = tokens,
                      .sequences = sequences,
                      .positions = (size_t)model->params.config.context,
                      .channels = channels_of(model),
                      .wte = at(base, &model->params.list[PARAM_WTE]),
                      .wpe = at(base, &model->params.list[PARAM_WPE])};
}

/* `weight` is the norm's weight; its bias follows it in the list. */
static OpsLayernorm norm_of(const Model *model, const Param *weight, size_t rows)
{
    return (OpsLayernorm){.rows = rows,
                          .channels = channels_of(model),
                          .weight = at(model->weights, weight),
                          .bias = at(model->weights, weight + 1),
                          .dweight = at(model->gradients, weight),
                          .dbias = at(model->gradients, weight + 1)};
}

static OpsLinear linear_of(const Model *model, const Param *weight, size_t rows)
{
    return (OpsLinear){.rows = rows,
                       .in = weight->shape[0],
                       .out = weight->shape[1],
                       .weight = at(model->weights, weight),
                       .bias = at(model->weights, weight + 1)};
}

static OpsLinearGrad linear_grad_of(const Model *model, const Param *weight, size_t rows)
{
    return (OpsLinearGrad){.rows = rows,
                           .in = weight->shape[0],
                           .out = weight->shape[1],
                           .weight = at(model->weights, weight),
                           .dweight = at(model->gradients, weight),
                           .dbias = at(model->gradients, weight + 1)};
}

static OpsAttention attention_of(const Model *model, const Layer *layer, size_t rows)
{
    size_t positions = (size_t)model->params.config.context;

    return (OpsAttention){.sequences = rows / positions,
                          .positions = positions,
                          .channels = channels_of(model),
                          .heads = (size_t)model->params.config.heads,
                          .qkv = layer->qkv,
                          .out = layer->attention,
                          .lse = layer->lse};
}

static OpsHead head_of(const Model *model, const uint16_t *tokens, size_t sequences)
{
    return (OpsHead){.tokens = tokens,
                     .sequences = sequences,
                     .positions = (size_t)model->params.config.context,
                     .channels = channels_of(model),
                     .vocab = (size_t)model->params.config.vocab,
                     .x = model->norm_f,
                     .wte = at(model->weights, &model->params.list[PARAM_WTE]),
                     .logits = model->logits,
                     .logits_rows = model->logits_rows,
                     .losses = model->losses};
}

/* ---- forward ---- */

static const float *stream_into(const Model *model, int layer)
{
    return layer ? model->layers[layer - 1].out : model->embedded;
}

static void layer_forward(Model *model, int index, size_t rows)
{
    const Params *params = &model->params;
    const Layer *layer = &model->layers[index];
    OpsLayernorm norm1 = norm_of(model, params_layer(params, index, PARAM_LN1_WEIGHT), rows);
    OpsLinear qkv = linear_of(model, params_layer(params, index, PARAM_QKV_WEIGHT), rows);
    OpsAttention attention = attention_of(model, layer, rows);
    OpsLinear proj = linear_of(model, params_layer(params, index, PARAM_PROJ_WEIGHT), rows);
    OpsLayernorm norm2 = norm_of(model, params_layer(params, index, PARAM_LN2_WEIGHT), rows);
    OpsLinear fc = linear_of(model, params_layer(params, index, PARAM_FC_WEIGHT), rows);
    OpsLinear fcproj = linear_of(model, params_layer(params, index, PARAM_FCPROJ_WEIGHT), rows);

    norm1.x = stream_into(model, index);
    norm1.stats = layer->stats1;
    ops_layernorm(model->ops, layer->norm1, &norm1);
    qkv.x = layer->norm1;
    ops_linear(model->ops, layer->qkv, &qkv);
    ops_attention(model->ops, &attention);
    proj.x = layer->attention;
    proj.residual = norm1.x;
    ops_linear(model->ops, layer->middle, &proj);
    norm2.x = layer->middle;
    norm2.stats = layer->stats2;
    ops_layernorm(model->ops, layer->norm2, &norm2);
    fc.x = layer->norm2;
    fc.pre = layer->pre;
    ops_linear(model->ops, layer->act, &fc);
    fcproj.x = layer->act;
    fcproj.residual = layer->middle;
    ops_linear(model->ops, layer->out, &fcproj);
}

static void model_forward(Model *model, const uint16_t *tokens, size_t sequences)
{
    size_t rows = sequences * (size_t)model->params.config.context;
    OpsEmbed embed = embed_of(model, model->weights, tokens, sequences);
    OpsLayernorm norm = norm_of(model, params_final(&model->params, false), rows);

    ops_embed(model->ops, model->embedded, &embed);
    for (int layer = 0; layer < model->params.config.layers; layer++)
        layer_forward(model, layer, rows);
    norm.x = stream_into(model, model->params.config.layers);
    norm.stats = model->stats_f;
    ops_layernorm(model->ops, model->norm_f, &norm);
}

/* ---- backward ---- */

static void tell_ready(const ModelBatch *batch, const Param *first, const Param *last)
{
    if (batch->ready)
        batch->ready(batch->user_data, first->offset, last->offset + last->count - first->offset);
}

static void mlp_backward(Model *model, int index, size_t rows, bool accumulate)
{
    const Params *params = &model->params;
    const Layer *layer = &model->layers[index];
    OpsLinearGrad fcproj =
        linear_grad_of(model, params_layer(params, index, PARAM_FCPROJ_WEIGHT), rows);
    OpsLinearGrad fc = linear_grad_of(model, params_layer(params, index, PARAM_FC_WEIGHT), rows);
    OpsLayernorm norm = norm_of(model, params_layer(params, index, PARAM_LN2_WEIGHT), rows);

    fcproj.x = layer->act;
    fcproj.pre = layer->pre;
    fcproj.dy = model->dstream;
    fcproj.dx = model->dwide;
    fcproj.accumulate = accumulate;
    ops_linear_grad(model->ops, &fcproj);
    fc.x = layer->norm2;
    fc.dy = model->dwide;
    fc.dx = model->dnorm;
    fc.accumulate = accumulate;
    ops_linear_grad(model->ops, &fc);
    norm.x = layer->middle;
    norm.stats = layer->stats2;
    norm.accumulate = accumulate;
    ops_layernorm_grad(model->ops, model->dstream, model->dnorm, &norm);
}

static void attention_backward(Model *model, int index, size_t rows, bool accumulate)
{
    const Params *params = &model->params;
    const Layer *layer = &model->layers[index];
    OpsAttention attention = attention_of(model, layer, rows);
    OpsLinearGrad proj =
        linear_grad_of(model, params_layer(params, index, PARAM_PROJ_WEIGHT), rows);
    OpsLinearGrad qkv = linear_grad_of(model, params_layer(params, index, PARAM_QKV_WEIGHT), rows);
    OpsLayernorm norm = norm_of(model, params_layer(params, index, PARAM_LN1_WEIGHT), rows);

    proj.x = layer->attention;
    proj.dy = model->dstream;
    proj.dx = model->dnorm;
    proj.accumulate = accumulate;
    ops_linear_grad(model->ops, &proj);
    ops_attention_grad(model->ops, model->dwide, model->dnorm, &attention);
    qkv.x = layer->norm1;
    qkv.dy = model->dwide;
    qkv.dx = model->dnorm;
    qkv.accumulate = accumulate;
    ops_linear_grad(model->ops, &qkv);
    norm.x = stream_into(model, index);
    norm.stats = layer->stats1;
    norm.accumulate = accumulate;
    ops_layernorm_grad(model->ops, model->dstream, model->dnorm, &norm);
}

static double head_backward(Model *model, const ModelBatch *batch)
{
    size_t rows = batch->sequences * (size_t)model->params.config.context;
    OpsHead head = head_of(model, batch->tokens, batch->sequences);
    OpsLayernorm norm = norm_of(model, params_final(&model->params, false), rows);
    double loss;

    head.weight = batch->weight;
    head.accumulate = batch->accumulate;
    head.dx = model->dnorm;
    head.dwte = at(model->gradients, &model->params.list[PARAM_WTE]);
    loss = ops_head(model->ops, &head);
    ops_set_zero(model->ops, model->dstream, rows * channels_of(model));
    norm.x = stream_into(model, model->params.config.layers);
    norm.stats = model->stats_f;
    norm.accumulate = batch->accumulate;
    ops_layernorm_grad(model->ops, model->dstream, model->dnorm, &norm);
    return loss;
}

/* With no sequence the gradients are zero, told in the same order as others tell theirs. */
double model_train(Model *model, const ModelBatch *batch)
{
    const Params *params = &model->params;
    const Param *wpe = &params->list[PARAM_WPE];
    size_t rows = batch->sequences * (size_t)params->config.context;
    OpsEmbed embed = embed_of(model, model->gradients, batch->tokens, batch->sequences);
    double loss = 0.0;

    if (rows) {
        model_forward(model, batch->tokens, batch->sequences);
        loss = head_backward(model, batch);
    } else if (!batch->accumulate) {
        ops_set_zero(model->ops, model->gradients, params->count);
    }
    tell_ready(batch, params_final(params, false), params_final(params, true));
    for (int layer = params->config.layers - 1; layer >= 0; layer--) {
        if (rows) {
            mlp_backward(model, layer, rows, batch->accumulate);
            attention_backward(model, layer, rows, batch->accumulate);
        }
        tell_ready(batch, params_layer(params, layer, 0),
                   params_layer(params, layer, PARAM_PER_LAYER - 1));
    }
    if (!batch->accumulate)
        ops_set_zero(model->ops, at(model->gradients, wpe), wpe->count);
    ops_embed_grad(model->ops, model->dstream, &embed);
    tell_ready(batch, &params->list[PARAM_WTE], wpe);
    return loss;
}

double model_loss(Model *model, const uint16_t *tokens, size_t sequences)
{
    OpsHead head = head_of(model, tokens, sequences);

    model_forward(model, tokens, sequences);
    return ops_head(model->ops, &head);
}

/* Causal: what stands behind the last token does not matter, so the window is filled with zeros. */
void model_logits(Model *model, const uint16_t *tokens, size_t count, float *logits)
{
    OpsHead head = head_of(model, tokens, 1);
    uint16_t *window = (uint16_t *)(void *)model->dwide; /* (T + 1), idle while not training */

    memset(window, 0, (head.positions + 1) * sizeof(*window));
    memcpy(window, tokens, count * sizeof(*window));
    model_forward(model, window, 1);
    ops_head_logits(model->ops, logits, model->norm_f + (count - 1) * head.channels, &head);
}

double model_flops(const GptConfig *config)
{
    double t = config->context, c = config->channels;
    double linear = config->layers * 12.0 * c * c + config->vocab * c;
    double attention = config->layers * t * c; /* causal: half of the T x T pairs, q k and p v */

    return 6.0 * t * (linear + attention);
}
