/* SPDX-License-Identifier: Apache-2.0
 *
 * The model against a second one written here in double precision, with scalar loops from the
 * definition: same loss, and every gradient against that one's finite differences.
 */
#include "model.h"

#include <glib.h>
#include <math.h>

static const GptConfig tiny = {.layers = 2, .heads = 2, .channels = 8, .context = 6, .vocab = 11};

/* ---- the other model ---- */

typedef struct {
    const Params *params;
    const double *w;
} Naive;

static const double *tensor(const Naive *naive, const Param *param)
{
    return naive->w + param->offset;
}

static void naive_norm(const Naive *naive, double *y, const double *x, const Param *weight)
{
    size_t c = weight->count;
    double mean = 0, variance = 0;

    for (size_t i = 0; i < c; i++)
        mean += x[i] / (double)c;
    for (size_t i = 0; i < c; i++)
        variance += (x[i] - mean) * (x[i] - mean) / (double)c;
    for (size_t i = 0; i < c; i++)
        y[i] = (x[i] - mean) / sqrt(variance + 1e-5) * tensor(naive, weight)[i] +
               tensor(naive, weight + 1)[i];
}

static void naive_linear(const Naive *naive, double *y, const double *x, const Param *weight)
{
    size_t in = weight->shape[0], out = weight->shape[1];

    for (size_t o = 0; o < out; o++) {
        y[o] = tensor(naive, weight + 1)[o];
        for (size_t i = 0; i < in; i++)
            y[o] += x[i] * tensor(naive, weight)[i * out + o];
    }
}

/* One head's output at position t from qkv (T, 3 C). */
static void naive_head(const Naive *naive, double *y, const double *qkv, size_t t, size_t head)
{
    size_t c = (size_t)naive->params->config.channels;
    size_t size = c / (size_t)naive->params->config.heads, at = head * size;
    double sum = 0;

    memset(y + at, 0, size * sizeof(*y));
    for (size_t k = 0; k <= t; k++) {
        double score = 0, weight;

        for (size_t i = at; i < at + size; i++)
            score += qkv[t * 3 * c + i] * qkv[k * 3 * c + c + i];
        weight = exp(score / sqrt((double)size));
        sum += weight;
        for (size_t i = at; i < at + size; i++)
            y[i] += weight * qkv[k * 3 * c + 2 * c + i];
    }
    for (size_t i = at; i < at + size; i++)
        y[i] /= sum;
}

static void naive_layer(const Naive *naive, double *x, size_t positions, int layer)
{
    const Params *p = naive->params;
    size_t c = (size_t)p->config.channels;
    g_autofree double *qkv = g_new(double, positions * 3 * c);
    g_autofree double *wide = g_new(double, 4 * c);
    g_autofree double *y = g_new(double, c);
    g_autofree double *z = g_new(double, c);

    for (size_t t = 0; t < positions; t++) {
        naive_norm(naive, y, x + t * c, params_layer(p, layer, PARAM_LN1_WEIGHT));
        naive_linear(naive, qkv + t * 3 * c, y, params_layer(p, layer, PARAM_QKV_WEIGHT));
    }
    for (size_t t = 0; t < positions; t++) {
        for (size_t head = 0; head < (size_t)p->config.heads; head++)
            naive_head(naive, y, qkv, t, head);
        naive_linear(naive, z, y, params_layer(p, layer, PARAM_PROJ_WEIGHT));
        for (size_t i = 0; i < c; i++)
            x[t * c + i] += z[i];
        naive_norm(naive, y, x + t * c, params_layer(p, layer, PARAM_LN2_WEIGHT));
        naive_linear(naive, wide, y, params_layer(p, layer, PARAM_FC_WEIGHT));
        for (size_t i = 0; i < 4 * c; i++)
            wide[i] *=
                0.5 *
                (1 + tanh(sqrt(2 / G_PI) * (wide[i] + 0.044715 * wide[i] * wide[i] * wide[i])));
        naive_linear(naive, z, wide, params_layer(p, layer, PARAM_FCPROJ_WEIGHT));
        for (size_t i = 0; i < c; i++)
            x[t * c + i] += z[i];
    }
}

static double naive_row_loss(const Naive *naive, const double *x, size_t target)
{
    size_t c = (size_t)naive->params->config.channels, vocab = (size_t)naive->params->config.vocab;
    const double *wte = tensor(naive, &naive->params->list[PARAM_WTE]);
    g_autofree double *y = g_new(double, c);
    double sum = 0, picked = 0;

    naive_norm(naive, y, x, params_final(naive->params, false));
    for (size_t v = 0; v < vocab; v++) {
        double logit = 0;

        for (size_t i = 0; i < c; i++)
            logit += y[i] * wte[v * c + i];
        sum += exp(logit);
        picked = v == target ? logit : picked;
    }
    return log(sum) - picked;
}

static double naive_loss(const Naive *naive, const guint16 *tokens, size_t sequences)
{
    const Params *p = naive->params;
    size_t c = (size_t)p->config.channels, positions = (size_t)p->config.context;
    g_autofree double *x = g_new(double, positions *c);
    double sum = 0;

    for (size_t b = 0; b < sequences; b++, tokens += positions + 1) {
        for (size_t t = 0; t < positions; t++)
            for (size_t i = 0; i < c; i++)
                x[t * c + i] = tensor(naive, &p->list[PARAM_WTE])[tokens[t] * c + i] +
                               tensor(naive, &p->list[PARAM_WPE])[t * c + i];
        for (int layer = 0; layer < p->config.layers; layer++)
            naive_layer(naive, x, positions, layer);
        for (size_t t = 0; t < positions; t++)
            sum += naive_row_loss(naive, x + t * c, tokens[t + 1]);
    }
    return sum;
}

/* ---- fixtures ---- */

/* Every parameter is far from zero and one, so that each matters. */
static Model *model_make(const GptConfig *config, size_t sequences, int threads)
{
    Fault fault = {0};
    Model *model = NULL;

    g_assert_cmpint(model_new(config, sequences, threads, &model, &fault), ==, 0);
    g_random_set_seed(5);
    for (size_t i = 0; i < model_get_params(model)->count; i++)
        model_get_weights(model)[i] = (float)g_random_double_range(-0.6, 0.6);
    return model;
}

static guint16 *tokens_make(const GptConfig *config, size_t sequences)
{
    size_t count = sequences * ((size_t)config->context + 1);
    guint16 *tokens = g_new(guint16, count);

    for (size_t i = 0; i < count; i++)
        tokens[i] = (guint16)g_random_int_range(0, config->vocab);
    return tokens;
}

static double *weights_double(Model *model)
{
    size_t count = model_get_params(model)->count;
    double *w = g_new(double, count);

    for (size_t i = 0; i < count; i++)
        w[i] = model_get_weights(model)[i];
    return w;
}

/* ---- tests ---- */

static void test_finite_differences(void)
{
    const size_t sequences = 3;
    Model *model = model_make(&tiny, sequences, 2);
    const Params *params = model_get_params(model);
    g_autofree guint16 *tokens = tokens_make(&tiny, sequences);
    g_autofree double *w = weights_double(model);
    Naive naive = {params, w};
    ModelBatch batch = {.tokens = tokens, .sequences = sequences, .weight = 1};
    double loss = model_train(model, &batch);

    g_assert_cmpfloat_with_epsilon(loss, naive_loss(&naive, tokens, sequences), 1e-4);
    for (size_t k = 0; k < params->list_count; k++) {
        const Param *param = &params->list[k];
        double largest = 0, worst = 0;

        for (size_t i = param->offset; i < param->offset + param->count; i++) {
            const double eps = 1e-5, kept = w[i];
            double up, slope;

            w[i] = kept + eps;
            up = naive_loss(&naive, tokens, sequences);
            w[i] = kept - eps;
            slope = (up - naive_loss(&naive, tokens, sequences)) / (2 * eps);
            w[i] = kept;
            largest = fmax(largest, fabs(slope));
            worst = fmax(worst, fabs((double)model_get_gradients(model)[i] - slope));
        }
        g_test_message("%s: off by %.2g of %.2g", param->name, worst, largest);
        g_assert_cmpfloat(largest, >, 1e-3); /* it has a gradient at all */
        g_assert_cmpfloat(worst, <, 1e-4 * fmax(largest, 0.1));
    }
    model_free(model);
}

/* Sizes past every tile, and those of one. */
static void test_loss_of_many_sizes(void)
{
    static const GptConfig configs[] = {{1, 1, 1, 1, 1},     {1, 1, 3, 2, 2},    {1, 3, 12, 65, 5},
                                        {2, 1, 20, 129, 40}, {1, 2, 6, 64, 300}, {3, 5, 5, 63, 7}};

    for (size_t k = 0; k < G_N_ELEMENTS(configs); k++) {
        for (size_t sequences = 1; sequences <= 5; sequences += 4) {
            Model *model = model_make(&configs[k], sequences, 3);
            g_autofree guint16 *tokens = tokens_make(&configs[k], sequences);
            g_autofree double *w = weights_double(model);
            Naive naive = {model_get_params(model), w};
            double wanted = naive_loss(&naive, tokens, sequences);
            ModelBatch batch = {.tokens = tokens, .sequences = sequences, .weight = 1};

            g_assert_cmpfloat_with_epsilon(model_loss(model, tokens, sequences), wanted,
                                           1e-5 * wanted + 1e-5);
            g_assert_cmpfloat_with_epsilon(model_train(model, &batch), wanted,
                                           1e-5 * wanted + 1e-5);
            model_free(model);
        }
    }
}

static void assert_same(const float *a, const float *b, size_t count, double tolerance)
{
    for (size_t i = 0; i < count; i++)
        g_assert_cmpfloat_with_epsilon(a[i], b[i], tolerance);
}

/* A batch in parts gives the gradient of the whole; a batch of nothing gives zeros. */
static void test_accumulate(void)
{
    Model *model = model_make(&tiny, 5, 2);
    size_t count = model_get_params(model)->count, window = (size_t)tiny.context + 1;
    g_autofree guint16 *tokens = tokens_make(&tiny, 5);
    g_autofree float *whole = NULL;
    ModelBatch batch = {.tokens = tokens, .sequences = 5, .weight = 0.1F};
    double loss = model_train(model, &batch);

    whole = g_memdup2(model_get_gradients(model), count * sizeof(float));
    batch.sequences = 2;
    loss -= model_train(model, &batch);
    batch = (ModelBatch){
        .tokens = tokens + 2 * window, .sequences = 3, .weight = 0.1F, .accumulate = true};
    loss -= model_train(model, &batch);
    g_assert_cmpfloat_with_epsilon(loss, 0, 1e-4);
    assert_same(model_get_gradients(model), whole, count, 1e-5);
    batch = (ModelBatch){.tokens = tokens, .sequences = 0};
    g_assert_cmpfloat(model_train(model, &batch), ==, 0);
    for (size_t i = 0; i < count; i++)
        g_assert_cmpfloat(model_get_gradients(model)[i], ==, 0);
    model_free(model);
}

static void count_ready(void *user_data, size_t first, size_t count)
{
    for (size_t i = first; i < first + count; i++)
        ((guint8 *)user_data)[i]++;
}

static void test_every_gradient_is_told_once(void)
{
    Model *model = model_make(&tiny, 1, 1);
    size_t count = model_get_params(model)->count;
    g_autofree guint16 *tokens = tokens_make(&tiny, 1);
    g_autofree guint8 *told = g_new0(guint8, count);
    ModelBatch batch = {
        .tokens = tokens, .sequences = 1, .weight = 1, .ready = count_ready, .user_data = told};

    model_train(model, &batch);
    for (size_t i = 0; i < count; i++)
        g_assert_cmpint(told[i], ==, 1);
    model_free(model);
}

/* Results do not depend on the number of threads. */
static void test_threads(void)
{
    const GptConfig config = {.layers = 2, .heads = 4, .channels = 64, .context = 70, .vocab = 90};
    g_autofree float *first = NULL;
    double loss = 0;

    for (int threads = 1; threads <= 4; threads++) {
        Model *model = model_make(&config, 4, threads);
        size_t count = model_get_params(model)->count;
        g_autofree guint16 *tokens = tokens_make(&config, 4);
        ModelBatch batch = {.tokens = tokens, .sequences = 4, .weight = 0.01F};
        double now = model_train(model, &batch);

        if (threads == 1) {
            first = g_memdup2(model_get_gradients(model), count * sizeof(float));
            loss = now;
        }
        g_assert_cmpfloat_with_epsilon(now, loss, 1e-3);
        assert_same(model_get_gradients(model), first, count, 2e-5);
        model_free(model);
    }
}

/* Every level computes the same, and none goes up again. */
static void test_levels(void)
{
    Model *model = model_make(&tiny, 2, 1);
    size_t count = model_get_params(model)->count;
    g_autofree guint16 *tokens = tokens_make(&tiny, 2);
    g_autofree float *first = NULL;
    ModelBatch batch = {.tokens = tokens, .sequences = 2, .weight = 1};

    model_train(model, &batch);
    first = g_memdup2(model_get_gradients(model), count * sizeof(float));
    for (int level = ops_get_level(model_get_ops(model)); level >= 0; level--) {
        ops_lower_level(model_get_ops(model), level);
        ops_lower_level(model_get_ops(model), level + 1);
        g_assert_cmpint(ops_get_level(model_get_ops(model)), ==, level);
        model_train(model, &batch);
        assert_same(model_get_gradients(model), first, count, 1e-5);
    }
    g_assert_cmpstr(ops_get_kernels(model_get_ops(model)), ==, "baseline");
    model_free(model);
}

/* What comes later does not change what was predicted. */
static void test_logits_are_causal(void)
{
    Model *model = model_make(&tiny, 1, 2);
    g_autofree guint16 *tokens = tokens_make(&tiny, 1);
    float three[11], again[11], loss;
    double sum = 0;

    model_logits(model, tokens, 3, three);
    tokens[3] = (guint16)((tokens[3] + 1) % 11);
    model_logits(model, tokens, 4, again);
    model_logits(model, tokens, 3, again);
    assert_same(three, again, 11, 1e-6);
    for (size_t i = 0; i < 11; i++)
        sum += exp((double)three[i]);
    loss = (float)(log(sum) - (double)three[tokens[3]]);
    g_assert_true(isfinite(loss));
    tokens[2] = (guint16)((tokens[2] + 1) % 11);
    model_logits(model, tokens, 3, again);
    g_assert_cmpfloat(fabsf(again[0] - three[0]), >, 1e-6F);
    model_free(model);
}

static void test_refusals(void)
{
    static const GptConfig wrong[] = {{0, 1, 8, 4, 4}, {1, 3, 8, 4, 4},     {1, 1, -8, 4, 4},
                                      {1, 1, 8, 0, 4}, {1, 1, 8, 4, 65537}, {1001, 1, 8, 4, 4},
                                      {1, 0, 8, 4, 4}, {1, 1, 65537, 4, 4}};
    static const GptConfig huge = {1000, 1, 65536, 65536, 65536};
    Model *model = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        Fault fault = {0};

        g_assert_cmpint(model_new(&wrong[i], 1, 1, &model, &fault), ==, -1);
        g_assert_cmpstr(fault.words, !=, "");
    }
    for (size_t sequences = 1; sequences && sequences < G_MAXSIZE / 4; sequences *= 1024) {
        Fault fault = {0};

        g_assert_cmpint(model_new(&huge, sequences, 1, &model, &fault), ==, -1);
        g_assert_nonnull(strstr(fault.words, "memory"));
    }
    g_assert_null(model);
    model_free(NULL);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/gpt/model/finite_differences", test_finite_differences);
    g_test_add_func("/gpt/model/loss_of_many_sizes", test_loss_of_many_sizes);
    g_test_add_func("/gpt/model/accumulate", test_accumulate);
    g_test_add_func("/gpt/model/every_gradient_is_told_once", test_every_gradient_is_told_once);
    g_test_add_func("/gpt/model/threads", test_threads);
    g_test_add_func("/gpt/model/levels", test_levels);
    g_test_add_func("/gpt/model/logits_are_causal", test_logits_are_causal);
    g_test_add_func("/gpt/model/refusals", test_refusals);
    return g_test_run();
}
