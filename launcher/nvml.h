/* SPDX-License-Identifier: Apache-2.0
 *
 * The GPUs that NVML knows, read through dlopen: a machine without the driver is a normal machine.
 */
#ifndef LAUNCHER_NVML_H
#define LAUNCHER_NVML_H

#include "launcher/node.h"

/* Appends one Device per usable GPU to `devices`, in NVML's order. `library` is the name or path of
 * the shared object. `*note` (the caller frees) becomes words on what was left out and why, or
 * NULL. */
void nvml_list_devices(const char *library, GPtrArray *devices, char **note);
/* "NVIDIA GeForce RTX 4090" -> "RTX4090": maker, memory and form factor dropped, words joined. */
char *nvml_model_from_name(const char *name);

#endif
