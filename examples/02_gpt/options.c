/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef enum { KIND_FILES, KIND_WORDS, KIND_WHOLE, KIND_REAL, KIND_EVERY, KIND_FLAG } Kind;

typedef struct {
    const char *name, *value, *help;
    Kind kind;
    size_t place;
    double least, most;
} Flag;

#define PLACE(member) offsetof(Options, member)
#define MILLION       1000000.0

static const Flag flags[] = {
    {"data", "FILE",
     "text to learn, bytes are tokens; may be given often\n"
     "(default: Debian's fortunes, /usr/share/games/fortunes)",
     KIND_FILES, PLACE(files), 0, 0},
    {"tokens", "FILE", "little-endian uint16 tokens instead of text", KIND_WORDS, PLACE(tokens), 0,
     0},
    {"vocab", "N", "tokens are below N (256)", KIND_WHOLE, PLACE(vocab), 1, 65536},
    {"layers", "N", "(6)", KIND_WHOLE, PLACE(layers), 1, 1000},
    {"heads", "N", "attention heads, must divide channels (6)", KIND_WHOLE, PLACE(heads), 1, 4096},
    {"channels", "N", "width of the model (384)", KIND_WHOLE, PLACE(channels), 1, 65536},
    {"context", "N", "tokens in a sequence (256)", KIND_WHOLE, PLACE(context), 1, 65536},
    {"batch", "N", "sequences in a step, of all ranks together (8)", KIND_WHOLE, PLACE(batch), 1,
     MILLION},
    {"micro-batch", "N",
     "most sequences that a rank computes at once; a larger share\n"
     "is accumulated (0: all of its share)",
     KIND_WHOLE, PLACE(micro_batch), 0, MILLION},
    {"steps", "N", "(200)", KIND_WHOLE, PLACE(steps), 0, 1e15},
    {"lr", "X", "learning rate after the warm-up; falls to a tenth by a cosine (1e-3)", KIND_REAL,
     PLACE(rate), 0, 10},
    {"warmup", "N", "steps until the full learning rate (20)", KIND_WHOLE, PLACE(warmup), 0, 1e15},
    {"weight-decay", "X", "AdamW's, not on biases and layer norms (0.1)", KIND_REAL, PLACE(decay),
     0, 10},
    {"clip", "X", "largest norm of the gradient, 0: any (1.0)", KIND_REAL, PLACE(clip), 0, 1e9},
    {"seed", "N", "of first weights and data order (1)", KIND_WHOLE, PLACE(seed), 0, 1e15},
    {"eval-every", "N", "steps between validations, 0: at the end only (50)", KIND_WHOLE,
     PLACE(eval_every), 0, 1e15},
    {"eval-windows", "N", "sequences of a validation (32)", KIND_WHOLE, PLACE(eval_windows), 1,
     MILLION},
    {"resume", "DIR",
     "write checkpoints here; go on from the newest one there\n"
     "(default: $DROVER_CHECKPOINT_DIR, else none)",
     KIND_WORDS, PLACE(resume), 0, 0},
    {"checkpoint-every", "N|TIME",
     "steps, or a time as 90s, 15m, 1h; 0: at the end only\n"
     "(default: $DROVER_CHECKPOINT_EVERY_S seconds, else 15m)",
     KIND_EVERY, 0, 0, 0},
    {"keep", "N", "newest checkpoints kept (default: $DROVER_CHECKPOINT_KEEP, else 3)", KIND_WHOLE,
     PLACE(keep), 1, MILLION},
    {"init", "FILE", "start from GPT-2 weights in safetensors, Hugging Face's names", KIND_WORDS,
     PLACE(init), 0, 0},
    {"sample", "N", "tokens to write at the end (0)", KIND_WHOLE, PLACE(sample), 0, MILLION},
    {"temperature", "X", "of the sample, 0: always the likeliest token (0.8)", KIND_REAL,
     PLACE(temperature), 0, 100},
    {"threads", "N", "of a rank (default: $OMP_NUM_THREADS, else its part of the cores)",
     KIND_WHOLE, PLACE(threads), 0, 1024},
    {"quiet", NULL, "no line but errors and the sample", KIND_FLAG, PLACE(quiet), 0, 0},
    {"help", NULL, "this text", KIND_FLAG, PLACE(help), 0, 0},
};
#define FLAGS_COUNT (sizeof(flags) / sizeof(flags[0]))

void options_help(FILE *out)
{
    fputs("Usage: [mpirun -n RANKS] gpt_train [FLAG...]\n"
          "Train a GPT-2 on text. Several ranks share each batch; any number of them gives the\n"
          "same result.\n\n",
          out);
    for (size_t i = 0; i < FLAGS_COUNT; i++) {
        const char *line = flags[i].help;
        char left[64];

        snprintf(left, sizeof(left), "  --%s%s%s", flags[i].name, flags[i].value ? " " : "",
                 flags[i].value ? flags[i].value : "");
        while (line) {
            const char *end = strchr(line, '\n');

            fprintf(out, "%-27s %.*s\n", left, end ? (int)(end - line) : (int)strlen(line), line);
            left[0] = '\0';
            line = end ? end + 1 : NULL;
        }
    }
    fputs(
        "\nEnvironment: DROVER_CHECKPOINT_DIR, DROVER_CHECKPOINT_EVERY_S, DROVER_CHECKPOINT_KEEP,\n"
        "DROVER_TRAIN_BALANCE (auto: shares follow each rank's speed; even), OMP_NUM_THREADS.\n"
        "SIGTERM and signal number $DROVER_CHECKPOINT_SIGNAL: checkpoint, then end with status 0.\n"
        "Exit status: 0 done or stopped on request, 1 failed, 2 bad flags.\n",
        out);
}

/* ---- values ---- */

static int real_parse(const char *name, const char *words, const Flag *flag, double *value,
                      Fault *fault)
{
    char *end;

    errno = 0;
    *value = strtod(words, &end);
    if (end == words || *end || errno == ERANGE || !isfinite(*value))
        return fault_set(fault, "%s: '%s' is not a number", name, words);
    if (*value < flag->least || *value > flag->most)
        return fault_set(fault, "%s: %s is out of range (%g to %g)", name, words, flag->least,
                         flag->most);
    return 0;
}

static int whole_parse(const char *name, const char *words, const Flag *flag, int64_t *value,
                       Fault *fault)
{
    char *end;

    errno = 0;
    *value = strtoll(words, &end, 10);
    if (end == words || *end)
        return fault_set(fault, "%s: '%s' is not a whole number", name, words);
    if (errno == ERANGE || (double)*value < flag->least || (double)*value > flag->most)
        return fault_set(fault, "%s: %s is out of range (%.0f to %.0f)", name, words, flag->least,
                         flag->most);
    return 0;
}

/* "40" is steps, "90s", "15m", "1h" are time. */
static int every_parse(const char *name, const char *words, Options *options, Fault *fault)
{
    static const struct {
        char suffix;
        double seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}};
    char *end;
    double value = strtod(words, &end);

    if (end == words || !isfinite(value) || value < 0 || value > 1e15)
        return fault_set(fault, "%s: '%s' is neither steps nor a time (try 100, 90s or 15m)", name,
                         words);
    options->checkpoint_steps = 0;
    options->checkpoint_s = 0;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (end[0] == units[i].suffix && !end[1]) {
            options->checkpoint_s = value * units[i].seconds;
            return 0;
        }
    }
    if (*end || value != floor(value))
        return fault_set(fault, "%s: '%s' is neither steps nor a time (try 100, 90s or 15m)", name,
                         words);
    options->checkpoint_steps = (int64_t)value;
    return 0;
}

static int value_set(Options *options, const Flag *flag, const char *words, Fault *fault)
{
    char name[64];
    char *place = (char *)options + flag->place;

    snprintf(name, sizeof(name), "--%s", flag->name);
    if (!*words && flag->kind <= KIND_WORDS && flag->place != PLACE(resume))
        return fault_set(fault, "%s: the name is empty", name);
    switch (flag->kind) {
    case KIND_FILES:
        if (options->files_count == OPTIONS_FILES_MAX)
            return fault_set(fault, "%s: more than %d files", name, OPTIONS_FILES_MAX);
        options->files[options->files_count++] = words;
        return 0;
    case KIND_WORDS:
        *(const char **)(void *)place = words;
        return 0;
    case KIND_WHOLE:
        return whole_parse(name, words, flag, (int64_t *)(void *)place, fault);
    case KIND_REAL:
        return real_parse(name, words, flag, (double *)(void *)place, fault);
    case KIND_EVERY:
        return every_parse(name, words, options, fault);
    case KIND_FLAG:
        *(bool *)place = true;
        return 0;
    }
    return fault_set(fault, "%s: unknown kind", name);
}

/* ---- environment ---- */

static int environment_read(Options *options, Fault *fault)
{
    const char *every = getenv("DROVER_CHECKPOINT_EVERY_S");
    const char *keep = getenv("DROVER_CHECKPOINT_KEEP");
    const char *balance = getenv("DROVER_TRAIN_BALANCE");
    const Flag whole = {.least = 1, .most = MILLION}, real = {.least = 0, .most = 1e15};

    options->resume = getenv("DROVER_CHECKPOINT_DIR");
    if (every && *every &&
        real_parse("DROVER_CHECKPOINT_EVERY_S", every, &real, &options->checkpoint_s, fault))
        return -1;
    if (keep && *keep && whole_parse("DROVER_CHECKPOINT_KEEP", keep, &whole, &options->keep, fault))
        return -1;
    if (!balance || !*balance || strcmp(balance, "even") == 0)
        return 0;
    if (strcmp(balance, "auto") != 0)
        return fault_set(fault, "DROVER_TRAIN_BALANCE: '%s' is neither auto nor even", balance);
    options->balance = true;
    return 0;
}

/* ---- the command line ---- */

static const Flag *flag_find(const char *words, size_t size)
{
    for (size_t i = 0; i < FLAGS_COUNT; i++) {
        if (strlen(flags[i].name) == size && strncmp(flags[i].name, words, size) == 0)
            return &flags[i];
    }
    return NULL;
}

/* `--name value`, `--name=value`; *at is moved past what was used. */
static int argument_read(Options *options, int argc, char **argv, int *at, Fault *fault)
{
    const char *words = argv[*at];
    const char *equals = strchr(words, '=');
    const Flag *flag = NULL;

    if (strncmp(words, "--", 2) == 0)
        flag = flag_find(words + 2, equals ? (size_t)(equals - words) - 2 : strlen(words) - 2);
    if (strcmp(words, "-h") == 0)
        flag = flag_find("help", 4);
    if (!flag)
        return fault_set(fault, "unknown argument '%s' (--help lists the flags)", words);
    ++*at;
    if (flag->kind == KIND_FLAG)
        return equals ? fault_set(fault, "--%s takes no value", flag->name)
                      : value_set(options, flag, "", fault);
    if (equals)
        return value_set(options, flag, equals + 1, fault);
    if (*at == argc)
        return fault_set(fault, "--%s needs a value (%s)", flag->name, flag->value);
    return value_set(options, flag, argv[(*at)++], fault);
}

int options_parse(Options *options, int argc, char **argv, Fault *fault)
{
    GptConfig config;

    *options = (Options){.layers = 6,
                         .heads = 6,
                         .channels = 384,
                         .context = 256,
                         .vocab = 256,
                         .batch = 8,
                         .steps = 200,
                         .warmup = 20,
                         .rate = 1e-3,
                         .decay = 0.1,
                         .clip = 1.0,
                         .seed = 1,
                         .eval_every = 50,
                         .eval_windows = 32,
                         .checkpoint_s = 900,
                         .keep = 3,
                         .temperature = 0.8};
    if (environment_read(options, fault))
        return -1;
    for (int at = 1; at < argc;) {
        if (argument_read(options, argc, argv, &at, fault))
            return -1;
    }
    config = options_get_model(options);
    if (options->tokens && options->files_count)
        return fault_set(fault, "--data and --tokens exclude each other");
    if (!options->tokens && options->vocab != 256)
        return fault_set(fault, "--vocab is for --tokens; text has bytes, 256 of them");
    return params_check(&config, fault);
}

GptConfig options_get_model(const Options *options)
{
    return (GptConfig){.layers = (int)options->layers,
                       .heads = (int)options->heads,
                       .channels = (int)options->channels,
                       .context = (int)options->context,
                       .vocab = (int)options->vocab};
}
