/* SPDX-License-Identifier: Apache-2.0 */
#include "sample.h"

#include "adamw.h"

#include <glib.h>
#include <math.h>

static const GptConfig tiny = {.layers = 1, .heads = 2, .channels = 16, .context = 8, .vocab = 7};

/* Trains on 0 1 2 3 4 5 6 0 1 ...: what follows is certain. */
static Model *counting_model(void)
{
    guint16 tokens[7 * 9];
    Model *model = NULL;
    Adamw adamw;

    g_assert_cmpint(model_new(&tiny, 7, 2, &model, NULL), ==, 0);
    g_assert_cmpint(adamw_init(&adamw, model_get_params(model)->count, NULL), ==, 0);
    params_start(model_get_params(model), model_get_weights(model), 1);
    for (guint i = 0; i < G_N_ELEMENTS(tokens); i++)
        tokens[i] = (guint16)((i / 9 + i % 9) % 7);
    for (int step = 1; step <= 200; step++) {
        ModelBatch batch = {.tokens = tokens, .sequences = 7, .weight = 1.0F / 56};
        AdamwStep update = {.step = step, .rate = 1e-2};

        model_train(model, &batch);
        adamw_update(&adamw, model, &update);
    }
    g_assert_cmpfloat(model_loss(model, tokens, 7) / 56, <, 0.05);
    adamw_clear(&adamw);
    return model;
}

/* Far past the context: the window slides. */
static void test_goes_on_as_it_learned(void)
{
    Model *model = counting_model();
    SampleOptions options = {.count = 50, .temperature = 0, .seed = 1};
    guint16 tokens[50];

    g_assert_cmpint(sample_draw(model, &options, 3, tokens, NULL), ==, 0);
    for (guint i = 0; i < 8; i++)
        g_assert_cmpuint(tokens[i], ==, (4 + i) % 7);
    for (guint i = 1; i < 50; i++)
        g_assert_cmpuint(tokens[i], <, 7);
    model_free(model);
}

static void test_temperature_and_seed(void)
{
    Model *model = NULL;
    SampleOptions options = {.count = 300, .temperature = 1, .seed = 4};
    guint16 a[300], b[300];
    guint counts[7] = {0};

    g_assert_cmpint(model_new(&tiny, 1, 1, &model, NULL), ==, 0);
    params_start(model_get_params(model), model_get_weights(model), 1); /* nearly even */
    g_assert_cmpint(sample_draw(model, &options, 0, a, NULL), ==, 0);
    g_assert_cmpint(sample_draw(model, &options, 0, b, NULL), ==, 0);
    g_assert_true(memcmp(a, b, sizeof(a)) == 0);
    options.seed++;
    g_assert_cmpint(sample_draw(model, &options, 0, b, NULL), ==, 0);
    g_assert_true(memcmp(a, b, sizeof(a)) != 0);
    for (guint i = 0; i < 300; i++)
        counts[a[i]]++;
    for (guint i = 0; i < 7; i++)
        g_assert_cmpuint(counts[i], >, 10);
    model_free(model);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/gpt/sample/goes_on_as_it_learned", test_goes_on_as_it_learned);
    g_test_add_func("/gpt/sample/temperature_and_seed", test_temperature_and_seed);
    return g_test_run();
}
