/* SPDX-License-Identifier: Apache-2.0
 *
 * The flags of gpt_train: one table makes the parser, the checks and --help.
 */
#ifndef GPT_OPTIONS_H
#define GPT_OPTIONS_H

#include "fault.h"
#include "params.h"

#include <stdio.h>

#define OPTIONS_FILES_MAX 256

typedef struct {
    const char *files[OPTIONS_FILES_MAX]; /* --data; none: fortunes */
    int64_t files_count;
    const char *tokens; /* --tokens; NULL: text */
    const char *init;
    const char *resume; /* NULL or "": no checkpoints */
    int64_t layers, heads, channels, context, vocab;
    int64_t batch, micro_batch, steps, warmup;
    double rate, decay, clip;
    int64_t seed;
    int64_t eval_every, eval_windows;
    int64_t checkpoint_steps; /* 0: not by steps */
    double checkpoint_s;      /* 0: not by time */
    int64_t keep;
    int64_t sample;
    double temperature;
    int64_t threads;
    bool balance; /* shares follow speed */
    bool quiet, help;
} Options;

/* Flags over environment over defaults. -1 with words for the user on anything it does not take. */
int options_parse(Options *options, int argc, char **argv, Fault *fault);
void options_help(FILE *out);
GptConfig options_get_model(const Options *options);

#endif
