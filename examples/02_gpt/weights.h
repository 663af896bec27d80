/* SPDX-License-Identifier: Apache-2.0
 *
 * Parameters to and from safetensors files with the names of Hugging Face's GPT-2.
 */
#ifndef GPT_WEIGHTS_H
#define GPT_WEIGHTS_H

#include "fault.h"
#include "params.h"

/* Writes `data` (params->count floats, laid out as the parameters) under the parameters' names. */
int weights_save(const char *path, const Params *params, const float *data, Fault *fault);
/* Writes two sets of them, named `m.NAME` and `v.NAME`. */
int weights_save_pair(const char *path, const Params *params, const float *m, const float *v,
                      Fault *fault);
/* Reads each parameter `PREFIX` + its name. Every one must be there in its shape; what else is in
 * the file is ignored. A wpe of more positions than the model's gives its first ones. The names may
 * have "transformer." in front. */
int weights_load(const char *path, const char *prefix, const Params *params, float *data,
                 Fault *fault);

#endif
