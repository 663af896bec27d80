/* SPDX-License-Identifier: Apache-2.0 */
#include "adamw.h"

#include <glib.h>
#include <math.h>

static const GptConfig tiny = {.layers = 1, .heads = 1, .channels = 4, .context = 4, .vocab = 5};

/* Three updates of every parameter by the formulas, in double precision; decay is not on vectors.
 */
static void test_update(void)
{
    Fault fault = {0};
    Model *model = NULL;
    Adamw adamw;
    const Params *params;
    g_autofree double *p = NULL, *m = NULL, *v = NULL;

    g_assert_cmpint(model_new(&tiny, 1, 2, &model, &fault), ==, 0);
    params = model_get_params(model);
    g_assert_cmpint(adamw_init(&adamw, params->count, &fault), ==, 0);
    params_start(params, model_get_weights(model), 1);
    p = g_new(double, params->count);
    m = g_new0(double, params->count);
    v = g_new0(double, params->count);
    for (size_t i = 0; i < params->count; i++)
        p[i] = model_get_weights(model)[i];
    for (int step = 1; step <= 3; step++) {
        AdamwStep update = {.step = step, .rate = 0.01, .decay = 0.5, .grad_norm = 8, .clip = 2};

        for (size_t i = 0; i < params->count; i++)
            model_get_gradients(model)[i] = (float)g_test_rand_double_range(-1, 1);
        adamw_update(&adamw, model, &update);
        for (size_t k = 0; k < params->list_count; k++) {
            const Param *param = &params->list[k];

            for (size_t i = param->offset; i < param->offset + param->count; i++) {
                double g = (double)model_get_gradients(model)[i] * 2 / 8;

                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.95 * v[i] + 0.05 * g * g;
                p[i] -= 0.01 * (param->dims == 2 ? 0.5 : 0.0) * p[i];
                p[i] -= 0.01 * m[i] / (1 - pow(0.9, step)) /
                        (sqrt(v[i] / (1 - pow(0.95, step))) + 1e-8);
                g_assert_cmpfloat_with_epsilon(model_get_weights(model)[i], p[i], 2e-6);
            }
        }
    }
    adamw_clear(&adamw);
    model_free(model);
}

static void test_rate(void)
{
    double before = 1;

    g_assert_cmpfloat_with_epsilon(adamw_rate(1, 10, 100, 1), 0.1, 1e-12);
    g_assert_cmpfloat_with_epsilon(adamw_rate(1, 10, 100, 10), 1, 1e-12);
    g_assert_cmpfloat_with_epsilon(adamw_rate(1, 10, 100, 55), 0.55, 1e-12);
    g_assert_cmpfloat_with_epsilon(adamw_rate(2, 10, 100, 100), 0.2, 1e-12);
    g_assert_cmpfloat_with_epsilon(adamw_rate(2, 0, 100, 100), 0.2, 1e-12);
    g_assert_cmpfloat_with_epsilon(adamw_rate(1, 0, 0, 1), 0.1, 1e-12);
    g_assert_cmpfloat_with_epsilon(adamw_rate(1, 10, 5, 5), 0.5, 1e-12);
    g_assert_cmpfloat_with_epsilon(adamw_rate(1, 10, 100, G_MAXINT64), 0.1, 1e-12);
    for (int step = 10; step < 100; step++) {
        g_assert_cmpfloat(adamw_rate(1, 10, 100, step), <=, before);
        before = adamw_rate(1, 10, 100, step);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/gpt/adamw/update", test_update);
    g_test_add_func("/gpt/adamw/rate", test_rate);
    return g_test_run();
}
