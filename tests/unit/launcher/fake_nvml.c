/* SPDX-License-Identifier: Apache-2.0
 *
 * Stands in for libnvidia-ml.so.1. FAKE_NVML lists the devices, "NAME|VIRTUALIZATION|MIG" divided
 * by
 * ';' ("" is a driver without a GPU); without it nvmlInit_v2 fails. The device "broken" has no
 * name.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    unsigned long long total, free, used;
} FakeMemory;

int nvmlInit_v2(void);
int nvmlShutdown(void);
const char *nvmlErrorString(int rc);
int nvmlDeviceGetCount_v2(unsigned *count);
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device);
int nvmlDeviceGetName(void *device, char *name, unsigned size);
int nvmlDeviceGetUUID(void *device, char *uuid, unsigned size);
int nvmlDeviceGetMemoryInfo(void *device, FakeMemory *memory);
int nvmlDeviceGetVirtualizationMode(void *device, int *mode);
int nvmlDeviceGetMigMode(void *device, unsigned *current, unsigned *pending);

/* Field `field` of device `index` into `out`; false beyond the last device. */
static int field_get(size_t index, size_t field, char *out, size_t size)
{
    const char *at = getenv("FAKE_NVML");

    for (size_t i = 0; at && *at && i < index; i++) {
        at = strchr(at, ';');
        at = at ? at + 1 : "";
    }
    if (!at || !*at)
        return 0;
    for (size_t i = 0; i < field; i++)
        at += strcspn(at, "|;") + 1;
    snprintf(out, size, "%.*s", (int)strcspn(at, "|;"), at);
    return 1;
}

static size_t index_of(const void *device)
{
    return (size_t)(uintptr_t)device - 1;
}

static int number_get(const void *device, size_t field)
{
    char text[16] = "0";

    field_get(index_of(device), field, text, sizeof text);
    return atoi(text);
}

int nvmlInit_v2(void)
{
    return getenv("FAKE_NVML") ? 0 : 9;
}

int nvmlShutdown(void)
{
    return 0;
}

const char *nvmlErrorString(int rc)
{
    return rc == 9 ? "Driver Not Loaded" : "Unknown Error";
}

int nvmlDeviceGetCount_v2(unsigned *count)
{
    char name[64];

    for (*count = 0; field_get(*count, 0, name, sizeof name); ++*count)
        ;
    return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device)
{
    *device = (void *)(uintptr_t)(index + 1);
    return 0;
}

int nvmlDeviceGetName(void *device, char *name, unsigned size)
{
    field_get(index_of(device), 0, name, size);
    return strcmp(name, "broken") == 0 ? 999 : 0;
}

int nvmlDeviceGetUUID(void *device, char *uuid, unsigned size)
{
    snprintf(uuid, size, "GPU-%08zu", index_of(device));
    return 0;
}

int nvmlDeviceGetMemoryInfo(void *device, FakeMemory *memory)
{
    (void)device;
    memory->total = 24ULL << 30;
    return 0;
}

int nvmlDeviceGetVirtualizationMode(void *device, int *mode)
{
    *mode = number_get(device, 1);
    return 0;
}

int nvmlDeviceGetMigMode(void *device, unsigned *current, unsigned *pending)
{
    *current = *pending = (unsigned)number_get(device, 2);
    return 0;
}
