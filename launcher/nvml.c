/* SPDX-License-Identifier: Apache-2.0
 *
 * NVML by hand: the library belongs to the driver, is not on a machine without one and its header
 * is not in Debian main, so the few calls we need are declared here as the NVML API Reference Guide
 * has them (docs.nvidia.com/deploy/nvml-api; names with _v2 are the current ABI of the call).
 *
 * Only whole, physical GPUs count. A vGPU (virtualization mode VGPU) is never eligible, and a GPU
 * cut up by MIG is several smaller devices under one roof, which no job file can name; both are
 * left out and the note says so.
 */
#include "launcher/nvml.h"

#include <dlfcn.h>
#include <string.h>

#define NVML_NAME_SIZE 96 /* NVML_DEVICE_NAME_V2_BUFFER_SIZE */
#define NVML_UUID_SIZE 96 /* NVML_DEVICE_UUID_V2_BUFFER_SIZE */
#define NVML_GPUS_MAX  256

typedef enum { NVML_SUCCESS = 0, NVML_ERROR_NOT_SUPPORTED = 3 } NvmlReturn;
typedef enum { NVML_VIRTUALIZATION_VGPU = 2 } NvmlVirtualization;
typedef struct NvmlDevice NvmlDevice;

typedef struct {
    unsigned long long total;
    unsigned long long free;
    unsigned long long used;
} NvmlMemory;

typedef struct {
    NvmlReturn (*init)(void);
    NvmlReturn (*shutdown)(void);
    const char *(*error_string)(NvmlReturn);
    NvmlReturn (*get_count)(unsigned *);
    NvmlReturn (*get_handle)(unsigned, NvmlDevice **);
    NvmlReturn (*get_name)(NvmlDevice *, char *, unsigned);
    NvmlReturn (*get_uuid)(NvmlDevice *, char *, unsigned);
    NvmlReturn (*get_memory)(NvmlDevice *, NvmlMemory *);
    NvmlReturn (*get_virtualization)(NvmlDevice *, int *);
    NvmlReturn (*get_mig_mode)(NvmlDevice *, unsigned *, unsigned *); /* NULL in old drivers */
} Nvml;

static bool nvml_bind(void *handle, Nvml *nvml)
{
    const struct {
        const char *symbol;
        void *slot;
        bool optional;
    } table[] = {
        {"nvmlInit_v2", &nvml->init, false},
        {"nvmlShutdown", &nvml->shutdown, false},
        {"nvmlErrorString", &nvml->error_string, false},
        {"nvmlDeviceGetCount_v2", &nvml->get_count, false},
        {"nvmlDeviceGetHandleByIndex_v2", &nvml->get_handle, false},
        {"nvmlDeviceGetName", &nvml->get_name, false},
        {"nvmlDeviceGetUUID", &nvml->get_uuid, false},
        {"nvmlDeviceGetMemoryInfo", &nvml->get_memory, false},
        {"nvmlDeviceGetVirtualizationMode", &nvml->get_virtualization, false},
        {"nvmlDeviceGetMigMode", &nvml->get_mig_mode, true},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        void *symbol = dlsym(handle, table[i].symbol);

        if (!symbol && !table[i].optional)
            return false;
        memcpy(table[i].slot, &symbol,
               sizeof symbol); /* ISO C has no cast from object to function */
    }
    return true;
}

/* Words that say who made the chip, how it is mounted or how much memory it has. */
static bool nvml_word_is_noise(const char *word)
{
    static const char *const noise[] = {"nvidia", "geforce", "tesla",      "quadro", "graphics",
                                        "gpu",    "device",  "generation", "pcie",   "nvl"};
    size_t length = strlen(word);

    for (size_t i = 0; i < G_N_ELEMENTS(noise); i++)
        if (g_ascii_strcasecmp(word, noise[i]) == 0)
            return true;
    if (g_ascii_strncasecmp(word, "sxm", 3) == 0 || g_ascii_strncasecmp(word, "hbm", 3) == 0)
        return true;
    return length > 2 && g_ascii_isdigit(word[0]) &&
           g_ascii_strcasecmp(word + length - 2, "GB") == 0;
}

char *nvml_model_from_name(const char *name)
{
    g_auto(GStrv) words = g_strsplit_set(name, " -/", 0);
    GString *model = g_string_new(NULL);

    for (char **word = words; *word; word++) {
        if (nvml_word_is_noise(*word))
            continue;
        for (const char *c = *word; *c; c++)
            if (g_ascii_isalnum(*c))
                g_string_append_c(model, *c);
    }
    if (model->len == 0)
        g_string_append(model, "unknown");
    return g_string_free(model, FALSE);
}

static void nvml_add_note(char **note, const char *words)
{
    char *joined = *note ? g_strdup_printf("%s; %s", *note, words) : g_strdup(words);

    g_free(*note);
    *note = joined;
}

static void nvml_skip(char **note, unsigned index, const char *why)
{
    g_autofree char *words = g_strdup_printf("GPU %u left out: %s", index, why);

    nvml_add_note(note, words);
}

static void nvml_add_device(const Nvml *nvml, unsigned index, GPtrArray *devices, char **note)
{
    NvmlDevice *handle = NULL;
    NvmlMemory memory = {0};
    char name[NVML_NAME_SIZE] = "";
    char uuid[NVML_UUID_SIZE] = "";
    int virtualization = 0;
    unsigned mig = 0, mig_pending = 0;
    NvmlReturn rc = nvml->get_handle(index, &handle);

    if (rc == NVML_SUCCESS)
        rc = nvml->get_name(handle, name, sizeof name);
    if (rc == NVML_SUCCESS)
        rc = nvml->get_uuid(handle, uuid, sizeof uuid);
    if (rc == NVML_SUCCESS)
        rc = nvml->get_memory(handle, &memory);
    if (rc == NVML_SUCCESS) {
        rc = nvml->get_virtualization(handle, &virtualization);
        if (rc == NVML_ERROR_NOT_SUPPORTED) /* a device that cannot be virtual */
            rc = NVML_SUCCESS;
    }
    if (rc != NVML_SUCCESS) {
        nvml_skip(note, index, nvml->error_string(rc));
        return;
    }
    if (virtualization == NVML_VIRTUALIZATION_VGPU) {
        nvml_skip(note, index, "it is a virtual GPU, which is never eligible");
        return;
    }
    if (nvml->get_mig_mode && nvml->get_mig_mode(handle, &mig, &mig_pending) == NVML_SUCCESS &&
        mig) {
        nvml_skip(note, index, "it is partitioned (MIG); switch MIG off to use it whole");
        return;
    }
    name[sizeof name - 1] = '\0';
    uuid[sizeof uuid - 1] = '\0';

    Device *device = g_new0(Device, 1);

    device->id = g_strdup(uuid);
    device->model = nvml_model_from_name(name);
    device->memory_bytes = memory.total > INT64_MAX ? INT64_MAX : (int64_t)memory.total;
    device->index = (int)index;
    g_ptr_array_add(devices, device);
}

static void nvml_list(const Nvml *nvml, GPtrArray *devices, char **note)
{
    unsigned count = 0;
    NvmlReturn rc = nvml->init();

    if (rc != NVML_SUCCESS) {
        nvml_add_note(note, nvml->error_string(rc));
        return;
    }
    rc = nvml->get_count(&count);
    if (rc != NVML_SUCCESS)
        nvml_add_note(note, nvml->error_string(rc));
    else if (count == 0)
        nvml_add_note(note, "the NVIDIA driver lists no GPU");
    for (unsigned i = 0; i < MIN(count, NVML_GPUS_MAX); i++)
        nvml_add_device(nvml, i, devices, note);
    nvml->shutdown();
}

void nvml_list_devices(const char *library, GPtrArray *devices, char **note)
{
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    Nvml nvml = {0};

    *note = NULL;
    if (!handle) {
        nvml_add_note(note, "no NVIDIA driver (libnvidia-ml.so.1 is not installed)");
        return;
    }
    if (nvml_bind(handle, &nvml))
        nvml_list(&nvml, devices, note);
    else
        nvml_add_note(note, "the NVIDIA driver is too old (libnvidia-ml.so.1 lacks calls)");
    dlclose(handle);
}
