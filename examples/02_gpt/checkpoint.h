/* SPDX-License-Identifier: Apache-2.0
 *
 * Checkpoints: one folder a step, DIR/step-00000100, that holds
 *
 *     model.safetensors, config.json    what transformers.GPT2LMHeadModel.from_pretrained() reads
 *     optimizer.safetensors             AdamW's moments, m.NAME and v.NAME
 *     trainer.json                      step, seed, sizes and CRC-32C of the files above, its own
 *
 * and DIR/latest, a link to the newest. A folder has its name only when it is whole and on the
 * disk, so a crash at any moment leaves the one before. They are unsharded: any number of ranks
 * resumes.
 */
#ifndef GPT_CHECKPOINT_H
#define GPT_CHECKPOINT_H

#include "fault.h"
#include "params.h"

#define CHECKPOINT_PATH_MAX 4096

typedef struct {
    int64_t step;           /* steps done */
    int64_t samples;        /* sequences seen in them */
    int64_t seed;           /* of the data's order */
    float *weights, *m, *v; /* params->count each; borrowed */
} CheckpointState;

typedef struct {
    const char *dir;                /* made if it is not there */
    int keep;                       /* newest ones that stay, at least 1 */
    char path[CHECKPOINT_PATH_MAX]; /* set by checkpoint_save: of the new one */
} CheckpointPlace;

/* Makes the folder DIR/step-N durable, then removes all but the newest `keep`. */
int checkpoint_save(CheckpointPlace *place, const Params *params, const CheckpointState *state,
                    Fault *fault);

/* Loads the newest whole checkpoint: 1, or 0 when the folder has none. A damaged one is passed
 * over, told to `note`. Only damaged ones, or one of another model or kind, is an error (-1). */
typedef struct {
    void (*note)(void *user_data, const char *words); /* may be NULL */
    void *user_data;
} CheckpointNotes;

int checkpoint_load(const char *dir, const Params *params, CheckpointState *state,
                    const CheckpointNotes *notes, Fault *fault);

#endif
