/* SPDX-License-Identifier: Apache-2.0 */
#include "weights.h"

#include "safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    SafetensorsTensor *tensors;
    char (*names)[SAFETENSORS_NAME_MAX + 1];
    size_t count;
} List;

static int list_init(List *list, size_t most, Fault *fault)
{
    *list = (List){.tensors = calloc(most, sizeof(*list->tensors)),
                   .names = calloc(most, sizeof(*list->names))};
    if (list->tensors && list->names)
        return 0;
    free(list->tensors);
    free(list->names);
    return fault_set(fault, "no memory for the list of tensors");
}

static void list_clear(List *list)
{
    free(list->tensors);
    free(list->names);
}

static void list_add(List *list, const Params *params, const float *data, const char *prefix)
{
    for (size_t i = 0; i < params->list_count; i++) {
        const Param *param = &params->list[i];
        char *name = list->names[list->count];

        snprintf(name, sizeof(list->names[0]), "%s%s", prefix, param->name);
        list->tensors[list->count++] =
            (SafetensorsTensor){.name = name,
                                .data = data + param->offset,
                                .shape = {param->shape[0], param->shape[1]},
                                .dims = param->dims};
    }
}

int weights_save(const char *path, const Params *params, const float *data, Fault *fault)
{
    List list;
    int rc;

    if (list_init(&list, params->list_count, fault))
        return -1;
    list_add(&list, params, data, "");
    rc = safetensors_write(path, list.tensors, list.count, fault);
    list_clear(&list);
    return rc;
}

int weights_save_pair(const char *path, const Params *params, const float *m, const float *v,
                      Fault *fault)
{
    List list;
    int rc;

    if (list_init(&list, 2 * params->list_count, fault))
        return -1;
    list_add(&list, params, m, "m.");
    list_add(&list, params, v, "v.");
    rc = safetensors_write(path, list.tensors, list.count, fault);
    list_clear(&list);
    return rc;
}

static const SafetensorsEntry *entry_find(const Safetensors *tensors, const char *prefix,
                                          const char *name)
{
    char full[SAFETENSORS_NAME_MAX + 1];
    const SafetensorsEntry *entry;

    snprintf(full, sizeof(full), "%s%s", prefix, name);
    entry = safetensors_find(tensors, full);
    if (entry)
        return entry;
    snprintf(full, sizeof(full), "transformer.%s%s", prefix, name);
    return safetensors_find(tensors, full);
}

static int shape_check(const SafetensorsEntry *entry, const Param *param, Fault *fault)
{
    bool longer = strcmp(param->name, "wpe.weight") == 0;
    bool same = entry->dims == param->dims;

    for (size_t i = 0; same && i < param->dims; i++)
        same = entry->shape[i] == param->shape[i] ||
               (longer && i == 0 && entry->shape[i] > param->shape[i]);
    if (same)
        return 0;
    return fault_set(fault,
                     "%s has %zu dimensions (%" PRIu64 ", %" PRIu64
                     "), the model wants (%zu, %zu): give the file's --layers, --heads, "
                     "--channels, --context and --vocab",
                     entry->name, entry->dims, entry->shape[0], entry->shape[1], param->shape[0],
                     param->shape[1]);
}

static int param_load(const Safetensors *tensors, const char *prefix, const Param *param,
                      float *data, Fault *fault)
{
    const SafetensorsEntry *entry = entry_find(tensors, prefix, param->name);

    if (!entry)
        return fault_set(fault, "no tensor '%s%s' (more --layers than the file has?)", prefix,
                         param->name);
    if (shape_check(entry, param, fault))
        return -1;
    return safetensors_read(tensors, entry, data + param->offset, param->count, fault);
}

int weights_load(const char *path, const char *prefix, const Params *params, float *data,
                 Fault *fault)
{
    Safetensors *tensors;
    int rc = safetensors_open(path, &tensors, fault);

    if (rc)
        return rc;
    for (size_t i = 0; !rc && i < params->list_count; i++)
        rc = param_load(tensors, prefix, &params->list[i], data, fault);
    safetensors_close(tensors);
    return rc ? fault_prefix(fault, "%s: ", path) : 0;
}
