/* SPDX-License-Identifier: Apache-2.0
 *
 * safetensors: see the header for the format and for what is checked.
 *
 * The reader parses the header into a table of entries and keeps the descriptor; tensors are read
 * by pread on demand, so a file of any size costs the memory of its header. jansson parses the JSON
 * strictly: duplicates, trailing bytes, bad UTF-8 and NULs in names are refused.
 */
#include "safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct Safetensors {
    int fd; /* -1: parsed from memory */
    uint64_t data_start;
    SafetensorsEntry *entries; /* sorted by begin */
    size_t count;
};

/* ---- reading ---- */

static SafetensorsType type_parse(const char *words, uint64_t *size)
{
    static const struct {
        const char *words;
        SafetensorsType type;
        uint64_t size;
    } types[] = {
        {"F32", SAFETENSORS_F32, 4},   {"F16", SAFETENSORS_F16, 2},   {"BF16", SAFETENSORS_BF16, 2},
        {"F64", SAFETENSORS_OTHER, 8}, {"I64", SAFETENSORS_OTHER, 8}, {"U64", SAFETENSORS_OTHER, 8},
        {"I32", SAFETENSORS_OTHER, 4}, {"U32", SAFETENSORS_OTHER, 4}, {"I16", SAFETENSORS_OTHER, 2},
        {"U16", SAFETENSORS_OTHER, 2}, {"I8", SAFETENSORS_OTHER, 1},  {"U8", SAFETENSORS_OTHER, 1},
        {"BOOL", SAFETENSORS_OTHER, 1}};

    *size = 0;
    for (size_t i = 0; words && i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcmp(words, types[i].words) == 0) {
            *size = types[i].size;
            return types[i].type;
        }
    }
    return SAFETENSORS_OTHER;
}

static bool number_parse(const json_t *value, uint64_t *number)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *number = (uint64_t)json_integer_value(value);
    return true;
}

static int entry_parse(const char *name, const json_t *value, SafetensorsEntry *entry, Fault *fault)
{
    const json_t *type = json_object_get(value, "dtype");
    const json_t *shape = json_object_get(value, "shape");
    const json_t *offsets = json_object_get(value, "data_offsets");
    uint64_t bytes;

    if (strlen(name) > SAFETENSORS_NAME_MAX)
        return fault_set(fault, "a tensor's name is longer than %d bytes", SAFETENSORS_NAME_MAX);
    memset(entry, 0, sizeof(*entry));
    strcpy(entry->name, name);
    entry->type = type_parse(json_string_value(type), &bytes);
    if (!bytes)
        return fault_set(fault, "tensor '%s': dtype is missing or unknown", name);
    entry->dims = json_array_size(shape);
    if (!json_is_array(shape) || entry->dims > SAFETENSORS_DIMS_MAX)
        return fault_set(fault, "tensor '%s': shape is not a list of at most %d numbers", name,
                         SAFETENSORS_DIMS_MAX);
    for (size_t i = 0; i < entry->dims; i++) {
        if (!number_parse(json_array_get(shape, i), &entry->shape[i]))
            return fault_set(fault, "tensor '%s': shape has something that is no size", name);
        if (__builtin_mul_overflow(bytes, entry->shape[i], &bytes))
            return fault_set(fault, "tensor '%s': shape overflows", name);
    }
    if (json_array_size(offsets) != 2 || !number_parse(json_array_get(offsets, 0), &entry->begin) ||
        !number_parse(json_array_get(offsets, 1), &entry->end))
        return fault_set(fault, "tensor '%s': data_offsets are not two numbers", name);
    if (entry->begin > entry->end || entry->end - entry->begin != bytes)
        return fault_set(fault,
                         "tensor '%s': data_offsets span %" PRIu64 " to %" PRIu64
                         ", its shape needs %" PRIu64 " bytes",
                         name, entry->begin, entry->end, bytes);
    return 0;
}

static int entry_compare(const void *a, const void *b)
{
    const SafetensorsEntry *x = a, *y = b;

    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

/* The tensors must tile [0, data_size). */
static int cover_check(const Safetensors *tensors, uint64_t data_size, Fault *fault)
{
    uint64_t at = 0;

    for (size_t i = 0; i < tensors->count; i++) {
        const SafetensorsEntry *entry = &tensors->entries[i];

        if (entry->begin != at)
            return fault_set(fault,
                             "tensor '%s' begins at byte %" PRIu64 " where %" PRIu64
                             " is next: a gap or an overlap",
                             entry->name, entry->begin, at);
        at = entry->end;
    }
    if (at != data_size)
        return fault_set(fault,
                         "the tensors end at byte %" PRIu64 " of the data, the file at %" PRIu64
                         ": it is truncated or has something behind",
                         at, data_size);
    return 0;
}

static int table_parse(const json_t *root, Safetensors *tensors, Fault *fault)
{
    const char *name;
    json_t *value;

    if (!json_is_object(root))
        return fault_set(fault, "the header is not a JSON object");
    if (json_object_size(root) > SAFETENSORS_TENSORS_MAX)
        return fault_set(fault, "the header has more than %u tensors", SAFETENSORS_TENSORS_MAX);
    tensors->entries = calloc(json_object_size(root) + 1, sizeof(*tensors->entries));
    if (!tensors->entries)
        return fault_set(fault, "no memory for the table of tensors");
    /* jansson wants a mutable object to walk it; nothing is changed. */
    for (void *it = json_object_iter((json_t *)(uintptr_t)root); it;
         it = json_object_iter_next((json_t *)(uintptr_t)root, it)) {
        name = json_object_iter_key(it);
        value = json_object_iter_value(it);
        if (strcmp(name, "__metadata__") == 0)
            continue;
        if (entry_parse(name, value, &tensors->entries[tensors->count], fault))
            return -1;
        tensors->count++;
    }
    qsort(tensors->entries, tensors->count, sizeof(*tensors->entries), entry_compare);
    return 0;
}

int safetensors_parse(const char *header, size_t header_size, uint64_t data_size,
                      Safetensors **tensors, Fault *fault)
{
    json_error_t error;
    Safetensors *made;
    json_t *root;
    int rc;

    if (header_size > SAFETENSORS_HEADER_MAX)
        return fault_set(fault, "the header has %zu bytes, more than %u", header_size,
                         SAFETENSORS_HEADER_MAX);
    root = json_loadb(header, header_size, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        return fault_set(fault, "the header is not JSON: %s", error.text);
    made = calloc(1, sizeof(*made));
    if (!made) {
        json_decref(root);
        return fault_set(fault, "no memory for the header");
    }
    made->fd = -1;
    rc = table_parse(root, made, fault);
    json_decref(root);
    if (rc || cover_check(made, data_size, fault)) {
        safetensors_close(made);
        return -1;
    }
    *tensors = made;
    return 0;
}

static int bytes_read(int fd, void *data, size_t size, uint64_t offset, Fault *fault)
{
    char *at = data;

    while (size) {
        ssize_t got = pread(fd, at, size, (off_t)offset);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fault_set(fault, "cannot read: %s", strerror(errno));
        if (got == 0)
            return fault_set(fault, "the file ends early: it is truncated");
        at += got;
        size -= (size_t)got;
        offset += (uint64_t)got;
    }
    return 0;
}

static int header_load(int fd, Safetensors **tensors, Fault *fault)
{
    uint8_t prefix[8];
    uint64_t header_size = 0, file_size;
    struct stat info;
    char *header;
    int rc;

    if (fstat(fd, &info))
        return fault_set(fault, "cannot look at it: %s", strerror(errno));
    if (!S_ISREG(info.st_mode))
        return fault_set(fault, "not a plain file");
    file_size = (uint64_t)info.st_size;
    if (file_size < sizeof(prefix))
        return fault_set(fault, "only %" PRIu64 " bytes: not a safetensors file", file_size);
    if (bytes_read(fd, prefix, sizeof(prefix), 0, fault))
        return -1;
    for (size_t i = 0; i < sizeof(prefix); i++)
        header_size |= (uint64_t)prefix[i] << (8 * i);
    if (header_size > SAFETENSORS_HEADER_MAX || header_size > file_size - sizeof(prefix))
        return fault_set(
            fault, "its header claims %" PRIu64 " bytes: not a safetensors file, or truncated",
            header_size);
    header = malloc((size_t)header_size + 1);
    if (!header)
        return fault_set(fault, "no memory for the header");
    rc = bytes_read(fd, header, (size_t)header_size, sizeof(prefix), fault);
    if (!rc)
        rc = safetensors_parse(header, (size_t)header_size,
                               file_size - sizeof(prefix) - header_size, tensors, fault);
    if (!rc)
        (*tensors)->data_start = sizeof(prefix) + header_size;
    free(header);
    return rc;
}

int safetensors_open(const char *path, Safetensors **tensors, Fault *fault)
{
    Safetensors *made = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return fault_set(fault, "%s: cannot open: %s", path, strerror(errno));
    if (header_load(fd, &made, fault)) {
        close(fd);
        return fault_prefix(fault, "%s: ", path);
    }
    made->fd = fd;
    *tensors = made;
    return 0;
}

void safetensors_close(Safetensors *tensors)
{
    if (!tensors)
        return;
    if (tensors->fd >= 0)
        close(tensors->fd);
    free(tensors->entries);
    free(tensors);
}

size_t safetensors_get_count(const Safetensors *tensors)
{
    return tensors->count;
}

const SafetensorsEntry *safetensors_get(const Safetensors *tensors, size_t index)
{
    return index < tensors->count ? &tensors->entries[index] : NULL;
}

const SafetensorsEntry *safetensors_find(const Safetensors *tensors, const char *name)
{
    for (size_t i = 0; i < tensors->count; i++) {
        if (strcmp(tensors->entries[i].name, name) == 0)
            return &tensors->entries[i];
    }
    return NULL;
}

static float half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000U) << 16;
    uint32_t exponent = (half >> 10) & 31U, fraction = half & 1023U;
    uint32_t bits;
    float value;

    if (exponent == 0) { /* zero or subnormal: fraction * 2^-24 */
        value = (float)fraction * 5.9604644775390625e-8F;
        return sign ? -value : value;
    }
    bits = sign | (exponent == 31 ? 0x7f800000U : (exponent + 112) << 23) | fraction << 13;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* Widens `count` stored values, which lie at the end of `data`, to floats in place: the reader's
 * place is never behind the writer's. */
static void widen(float *data, size_t count, SafetensorsType type)
{
    const uint8_t *stored = (const uint8_t *)data + count * sizeof(uint16_t);

    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        uint32_t bits;

        memcpy(&half, stored + i * sizeof(half), sizeof(half));
        if (type == SAFETENSORS_F16) {
            data[i] = half_to_float(half);
        } else {
            bits = (uint32_t)half << 16;
            memcpy(&data[i], &bits, sizeof(bits));
        }
    }
}

int safetensors_read(const Safetensors *tensors, const SafetensorsEntry *entry, float *data,
                     size_t count, Fault *fault)
{
    size_t size = entry->type == SAFETENSORS_F32 ? sizeof(float) : sizeof(uint16_t);
    char *at = (char *)data + count * (sizeof(float) - size);

    if (entry->type == SAFETENSORS_OTHER)
        return fault_set(fault,
                         "tensor '%s' is not of a floating type this program reads "
                         "(F32, F16, BF16)",
                         entry->name);
    if (count > (entry->end - entry->begin) / size)
        return fault_set(fault, "tensor '%s' has fewer than %zu values", entry->name, count);
    if (tensors->fd < 0 ||
        bytes_read(tensors->fd, at, count * size, tensors->data_start + entry->begin, fault))
        return fault_prefix(fault, "tensor '%s': ", entry->name);
    if (size != sizeof(float))
        widen(data, count, entry->type);
    return 0;
}

/* ---- writing ---- */

static json_t *header_build(const SafetensorsTensor *tensors, size_t count)
{
    json_t *root = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    uint64_t at = 0;

    for (size_t i = 0; root && i < count; i++) {
        json_t *shape = json_array();
        uint64_t values = 1;
        json_t *entry;

        for (size_t d = 0; d < tensors[i].dims; d++) {
            json_array_append_new(shape, json_integer((json_int_t)tensors[i].shape[d]));
            values *= tensors[i].shape[d];
        }
        entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", "F32", "shape", shape, "data_offsets",
                          (json_int_t)at, (json_int_t)(at + values * sizeof(float)));
        at += values * sizeof(float);
        if (json_object_set_new(root, tensors[i].name, entry)) {
            json_decref(root);
            root = NULL;
        }
    }
    return root;
}

static int bytes_write(int fd, const void *data, size_t size, Fault *fault)
{
    const char *at = data;

    while (size) {
        ssize_t done = write(fd, at, size);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return fault_set(fault, "cannot write: %s", strerror(errno));
        at += done;
        size -= (size_t)done;
    }
    return 0;
}

/* The header is padded with blanks so that the data is aligned to 8 bytes. */
static int header_write(int fd, const SafetensorsTensor *tensors, size_t count, Fault *fault)
{
    json_t *root = header_build(tensors, count);
    char *words = root ? json_dumps(root, JSON_COMPACT) : NULL;
    size_t size = words ? strlen(words) : 0;
    size_t padded = (size + 7) & ~(size_t)7;
    uint8_t prefix[8];
    int rc;

    json_decref(root);
    if (!words)
        return fault_set(fault, "no memory for the header");
    for (size_t i = 0; i < sizeof(prefix); i++)
        prefix[i] = (uint8_t)((uint64_t)padded >> (8 * i));
    rc = bytes_write(fd, prefix, sizeof(prefix), fault);
    if (!rc)
        rc = bytes_write(fd, words, size, fault);
    if (!rc)
        rc = bytes_write(fd, "       ", padded - size, fault);
    free(words);
    return rc;
}

int safetensors_write(const char *path, const SafetensorsTensor *tensors, size_t count,
                      Fault *fault)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    int rc;

    if (fd < 0)
        return fault_set(fault, "%s: cannot create: %s", path, strerror(errno));
    rc = header_write(fd, tensors, count, fault);
    for (size_t i = 0; !rc && i < count; i++) {
        size_t values = 1;

        for (size_t d = 0; d < tensors[i].dims; d++)
            values *= (size_t)tensors[i].shape[d];
        rc = bytes_write(fd, tensors[i].data, values * sizeof(float), fault);
    }
    if (!rc && fsync(fd))
        rc = fault_set(fault, "cannot sync: %s", strerror(errno));
    if (close(fd) && !rc)
        rc = fault_set(fault, "cannot close: %s", strerror(errno));
    return rc ? fault_prefix(fault, "%s: ", path) : 0;
}
