/* SPDX-License-Identifier: Apache-2.0 */
#include "data.h"

#include "kernels.h"
#include "random.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_MAX 4096
#define GROUP     10 /* chunks, the last of them for validation */
#define BYTES_MAX ((uint64_t)1 << 40)

/* ---- reading ---- */

static int bytes_read(int fd, uint8_t *bytes, size_t size, Fault *fault)
{
    size_t done = 0;

    while (done < size) {
        ssize_t got = read(fd, bytes + done, size - done);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fault_set(fault, "cannot read: %s", strerror(errno));
        if (got == 0)
            return fault_set(fault, "it became shorter while it was read");
        done += (size_t)got;
    }
    return 0;
}

static int plain_file_load(int fd, uint8_t **bytes, size_t *size, Fault *fault)
{
    struct stat info;

    if (fstat(fd, &info))
        return fault_set(fault, "cannot look at it: %s", strerror(errno));
    if (!S_ISREG(info.st_mode))
        return fault_set(fault, "not a plain file");
    if ((uint64_t)info.st_size > BYTES_MAX)
        return fault_set(fault, "too large: %" PRId64 " bytes", (int64_t)info.st_size);
    *size = (size_t)info.st_size;
    *bytes = malloc(*size + 1);
    if (!*bytes)
        return fault_set(fault, "no memory for its %zu bytes", *size);
    if (bytes_read(fd, *bytes, *size, fault)) {
        free(*bytes);
        return -1;
    }
    return 0;
}

static int file_load(const char *path, uint8_t **bytes, size_t *size, Fault *fault)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int rc;

    if (fd < 0)
        return fault_set(fault, "%s: cannot open: %s", path, strerror(errno));
    rc = plain_file_load(fd, bytes, size, fault);
    close(fd);
    return rc ? fault_prefix(fault, "%s: ", path) : 0;
}

static int tokens_append(Data *data, const uint8_t *bytes, size_t size, Fault *fault)
{
    uint16_t *grown = realloc(data->tokens, (data->count + size + 1) * sizeof(*grown));

    if (!grown)
        return fault_set(fault, "no memory for %zu tokens", data->count + size);
    for (size_t i = 0; i < size; i++)
        grown[data->count + i] = bytes[i];
    data->tokens = grown;
    data->count += size;
    return 0;
}

/* ---- division into streams ---- */

static void data_divide(Data *data)
{
    data->chunk = data->count / GROUP < CHUNK_MAX ? data->count / GROUP : CHUNK_MAX;
    data->chunks = data->chunk ? data->count / (data->chunk * GROUP) : 0;
    data->val_count = data->chunks * data->chunk;
    data->train_count = data->count - data->val_count;
    data->digest = kernels_select()->crc32c(0, data->tokens, data->count * sizeof(*data->tokens));
}

/* Token `at` of the training stream is this one of the file: the stream skips every tenth chunk,
 * and has what is left behind the last full group. */
static size_t train_place(const Data *data, size_t at)
{
    size_t groups = at / (data->chunk * (GROUP - 1));

    return at + (groups < data->chunks ? groups : data->chunks) * data->chunk;
}

static size_t val_place(const Data *data, size_t at)
{
    return (at / data->chunk * GROUP + GROUP - 1) * data->chunk + at % data->chunk;
}

int data_check(const Data *data, size_t window, Fault *fault)
{
    if (data->val_count >= window && data->train_count >= window)
        return 0;
    return fault_set(
        fault,
        "the text has %zu tokens; windows of %zu need at least %zu (give more text, or "
        "a smaller --context)",
        data->count, window, window * GROUP);
}

void data_get_train(const Data *data, DataIndex index, uint16_t *window, size_t count)
{
    uint64_t key = random_at(index.seed, (uint64_t)index.step);
    size_t start = random_at(key, index.sample) % (data->train_count - count + 1);

    for (size_t i = 0; i < count; i++)
        window[i] = data->tokens[train_place(data, start + i)];
}

void data_get_val(const Data *data, size_t index, size_t windows, uint16_t *window, size_t count)
{
    size_t room = data->val_count - count;
    size_t start = windows > 1 ? (size_t)((double)room * (double)index / (double)(windows - 1)) : 0;

    for (size_t i = 0; i < count; i++)
        window[i] = data->tokens[val_place(data, start + i)];
}

/* ---- sources ---- */

int data_load_text(Data *data, const char *const *files, size_t count, Fault *fault)
{
    *data = (Data){0};
    for (size_t i = 0; i < count; i++) {
        uint8_t *bytes;
        size_t size;
        int rc = file_load(files[i], &bytes, &size, fault);

        if (!rc) {
            rc = tokens_append(data, bytes, size, fault);
            free(bytes);
        }
        if (rc) {
            data_clear(data);
            return -1;
        }
    }
    if (!data->count)
        return fault_set(fault, "%s: no text in it", count ? files[0] : "no file");
    data_divide(data);
    return 0;
}

/* `fortune` keeps an index NAME.dat and a link NAME.u8 beside each text. */
static int is_text(const struct dirent *entry)
{
    return !strchr(entry->d_name, '.');
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static char *path_join(const char *folder, const char *name)
{
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = malloc(size);

    if (path) {
        strcpy(path, folder);
        strcat(path, "/");
        strcat(path, name);
    }
    return path;
}

int data_load_fortunes(Data *data, const char *folder, Fault *fault)
{
    struct dirent **entries = NULL;
    int found = scandir(folder, &entries, is_text, by_name);
    size_t count = found > 0 ? (size_t)found : 0, made = 0;
    char **paths = calloc(count + 1, sizeof(*paths));
    int rc = -1;

    for (; paths && made < count; made++) {
        paths[made] = path_join(folder, entries[made]->d_name);
        if (!paths[made])
            break;
    }
    if (!count)
        fault_set(fault,
                  "%s: no text there; install it (apt-get install fortunes) or give a text "
                  "file (--data FILE)",
                  folder);
    else if (made < count)
        fault_set(fault, "no memory for the list of files");
    else
        rc = data_load_text(data, (const char *const *)paths, count, fault);
    for (size_t i = 0; i < count; i++) {
        free(entries[i]);
        if (paths)
            free(paths[i]);
    }
    free(entries);
    free(paths);
    return rc;
}

static int tokens_check(const char *path, const Data *data, int vocab, Fault *fault)
{
    for (size_t i = 0; i < data->count; i++) {
        if (data->tokens[i] >= vocab)
            return fault_set(fault,
                             "%s: token %u at position %zu is not below the vocabulary's %d "
                             "(--vocab)",
                             path, data->tokens[i], i, vocab);
    }
    return 0;
}

int data_load_tokens(Data *data, const char *path, int vocab, Fault *fault)
{
    uint8_t *bytes;
    size_t size;

    *data = (Data){0};
    if (file_load(path, &bytes, &size, fault))
        return -1;
    if (!size || size % sizeof(uint16_t)) {
        free(bytes);
        return fault_set(fault, "%s: %zu bytes are not a list of uint16", path, size);
    }
    data->count = size / sizeof(uint16_t);
    data->tokens = malloc(size);
    for (size_t i = 0; data->tokens && i < data->count; i++)
        data->tokens[i] = (uint16_t)(bytes[2 * i] | bytes[2 * i + 1] << 8);
    free(bytes);
    if (!data->tokens)
        return fault_set(fault, "no memory for %zu tokens", data->count);
    if (tokens_check(path, data, vocab, fault)) {
        data_clear(data);
        return -1;
    }
    data_divide(data);
    return 0;
}

void data_clear(Data *data)
{
    free(data->tokens);
    *data = (Data){0};
}
