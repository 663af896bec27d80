/* SPDX-License-Identifier: Apache-2.0
 *
 * One batch through the trainer's model, for a reference to look at:
 *
 *     gpt_probe WEIGHTS TOKENS OUT LAYERS HEADS CHANNELS CONTEXT VOCAB SEQUENCES STEPS
 *
 * WEIGHTS is a safetensors file, TOKENS SEQUENCES windows of CONTEXT + 1 uint16. Prints the mean
 * loss before each of STEPS AdamW steps on that batch (rate 1e-3, decay 0.1, clipped to norm 1);
 * writes the gradients of each to OUT.gradients.STEP and OUT.weights after the last.
 */
#include "adamw.h"
#include "data.h"
#include "weights.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct {
    const char *weights, *tokens, *out;
    GptConfig config;
    size_t sequences;
    int steps;
} Probe;

static int gradients_save(const Probe *probe, Model *model, int step, Fault *fault)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s.gradients.%d", probe->out, step);
    return weights_save(path, model_get_params(model), model_get_gradients(model), fault);
}

static int probe_run(const Probe *probe, Model *model, Adamw *adamw, const Data *data, Fault *fault)
{
    double tokens = (double)probe->sequences * probe->config.context;
    ModelBatch batch = {
        .tokens = data->tokens, .sequences = probe->sequences, .weight = (float)(1.0 / tokens)};
    char path[4096];

    for (int i = 1; i <= probe->steps; i++) {
        AdamwStep step = {.step = i, .rate = 1e-3, .decay = 0.1, .clip = 1.0};

        printf("%.9g\n", model_train(model, &batch) / tokens);
        if (gradients_save(probe, model, i, fault))
            return -1;
        step.grad_norm =
            sqrt(ops_sum_squares(model_get_ops(model), model_get_gradients(model), adamw->count));
        adamw_update(adamw, model, &step);
    }
    snprintf(path, sizeof(path), "%s.weights", probe->out);
    return weights_save(path, model_get_params(model), model_get_weights(model), fault);
}

int main(int argc, char **argv)
{
    Fault fault = {0};
    Model *model = NULL;
    Adamw adamw = {0};
    Data data = {0};
    Probe probe;
    int rc;

    if (argc != 11)
        return 2;
    probe = (Probe){.weights = argv[1],
                    .tokens = argv[2],
                    .out = argv[3],
                    .config = {.layers = atoi(argv[4]),
                               .heads = atoi(argv[5]),
                               .channels = atoi(argv[6]),
                               .context = atoi(argv[7]),
                               .vocab = atoi(argv[8])},
                    .sequences = (size_t)atoi(argv[9]),
                    .steps = atoi(argv[10])};
    rc = model_new(&probe.config, probe.sequences, 0, &model, &fault);
    if (!rc)
        rc = data_load_tokens(&data, probe.tokens, probe.config.vocab, &fault);
    if (!rc)
        rc = weights_load(probe.weights, "", model_get_params(model), model_get_weights(model),
                          &fault);
    if (!rc)
        rc = adamw_init(&adamw, model_get_params(model)->count, &fault);
    if (!rc)
        rc = probe_run(&probe, model, &adamw, &data, &fault);
    if (rc)
        fprintf(stderr, "gpt_probe: %s\n", fault.words);
    adamw_clear(&adamw);
    data_clear(&data);
    model_free(model);
    return rc ? 1 : 0;
}
