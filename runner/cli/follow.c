/* SPDX-License-Identifier: Apache-2.0
 *
 * One Source per file, kept in the order of the ranks, other files first (a set-up comes before the
 * ranks). Files are read with pread at our own offset: nothing is shared with the writer. The only
 * buffer that lives between calls is the unfinished last line of each file, at most LINE_MAX_BYTES.
 */
#include "runner/cli/follow.h"

#include "runner/cli/format.h"
#include "runner/cli/text.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_MAX_BYTES 8192
#define CHUNK_BYTES    65536

typedef struct {
    char *name; /* "rank-0" */
    char *label;
    int rank;
    int fd;
    int64_t offset;
    GString *rest; /* read, but its newline has not come */
} Source;

struct Follow {
    char *dir;
    int only_rank;
    bool unicode;
    FollowFunc func;
    void *user_data;
    GPtrArray *sources; /* Source * */
    GString *clean;     /* the line being told */
    char *chunk;
};

static void source_free(void *data)
{
    Source *source = data;

    close(source->fd);
    g_free(source->name);
    g_free(source->label);
    g_string_free(source->rest, TRUE);
    g_free(source);
}

Follow *follow_new(const FollowConfig *config, FollowFunc func, void *user_data)
{
    Follow *follow = g_new0(Follow, 1);

    follow->dir = g_strdup(config->dir);
    follow->only_rank = config->rank;
    follow->unicode = config->unicode;
    follow->func = func;
    follow->user_data = user_data;
    follow->sources = g_ptr_array_new_with_free_func(source_free);
    follow->clean = g_string_new(NULL);
    follow->chunk = g_malloc(CHUNK_BYTES);
    return follow;
}

void follow_free(Follow *follow)
{
    if (!follow)
        return;
    g_free(follow->dir);
    g_ptr_array_unref(follow->sources);
    g_string_free(follow->clean, TRUE);
    g_free(follow->chunk);
    g_free(follow);
}

static void line_tell(Follow *follow, const Source *source, const char *data, size_t length)
{
    FollowLine line = {.source = source->label, .rank = source->rank};

    g_string_truncate(follow->clean, 0);
    text_append_clean(follow->clean, data, length, follow->unicode);
    line.text = follow->clean->str;
    follow->func(&line, follow->user_data);
}

static int source_compare(const void *a, const void *b)
{
    const Source *left = *(Source *const *)a, *right = *(Source *const *)b;

    if (left->rank != right->rank)
        return left->rank < right->rank ? -1 : 1;
    return strcmp(left->name, right->name);
}

static bool source_is_known(const Follow *follow, const char *name, size_t length)
{
    for (guint i = 0; i < follow->sources->len; i++) {
        const Source *source = g_ptr_array_index(follow->sources, i);

        if (strlen(source->name) == length && memcmp(source->name, name, length) == 0)
            return true;
    }
    return false;
}

/* The rank in "rank-12"; -1 for any other name. */
static int rank_parse(const char *name)
{
    gint64 rank;

    if (g_str_has_prefix(name, "rank-") &&
        g_ascii_string_to_signed(name + 5, 10, 0, G_MAXINT, &rank, NULL))
        return (int)rank;
    return -1;
}

/* Opens `file` of the folder where it is a log not yet known. */
static bool source_add(Follow *follow, const char *file)
{
    g_autofree char *path = NULL, *name = NULL;
    size_t length = strlen(file);
    Source *source;
    int fd, rank;

    if (!g_str_has_suffix(file, ".log") || source_is_known(follow, file, length - 4))
        return false;
    name = g_strndup(file, length - 4);
    rank = rank_parse(name);
    if (follow->only_rank >= 0 && rank != follow->only_rank)
        return false;
    path = g_build_filename(follow->dir, file, NULL);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return false;
    source = g_new0(Source, 1);
    source->fd = fd;
    source->rank = rank;
    source->label = rank >= 0 ? g_strdup_printf("rank %d", rank) : g_strdup(name);
    source->name = g_steal_pointer(&name);
    source->rest = g_string_new(NULL);
    g_ptr_array_add(follow->sources, source);
    return true;
}

static void sources_scan(Follow *follow)
{
    g_autoptr(GDir) dir = g_dir_open(follow->dir, 0, NULL);
    bool added = false;
    const char *file;

    if (!dir)
        return;
    while ((file = g_dir_read_name(dir)))
        added = source_add(follow, file) || added;
    if (added)
        g_ptr_array_sort(follow->sources, source_compare);
}

/* Tells the whole lines of `data`, keeps the rest. */
static void source_take(Follow *follow, Source *source, const char *data, size_t length)
{
    while (length) {
        const char *newline = memchr(data, '\n', length);
        size_t take = newline ? (size_t)(newline - data) : length;

        if (newline && source->rest->len == 0 && take <= LINE_MAX_BYTES) {
            line_tell(follow, source, data, take);
        } else {
            take = MIN(take, LINE_MAX_BYTES - source->rest->len);
            g_string_append_len(source->rest, data, (gssize)take);
            if ((newline && data + take == newline) || source->rest->len == LINE_MAX_BYTES) {
                line_tell(follow, source, source->rest->str, source->rest->len);
                g_string_truncate(source->rest, 0);
            }
        }
        if (newline && data + take == newline)
            take++;
        data += take;
        length -= take;
    }
}

static size_t source_read(Follow *follow, Source *source, size_t bytes)
{
    size_t total = 0;

    while (total < bytes) {
        size_t want = MIN(bytes - total, CHUNK_BYTES);
        ssize_t got = pread(source->fd, follow->chunk, want, source->offset);

        if (got <= 0)
            break;
        source->offset += got;
        total += (size_t)got;
        source_take(follow, source, follow->chunk, (size_t)got);
    }
    return total;
}

size_t follow_read(Follow *follow, size_t bytes_each)
{
    size_t total = 0;

    sources_scan(follow);
    for (guint i = 0; i < follow->sources->len; i++)
        total += source_read(follow, g_ptr_array_index(follow->sources, i), bytes_each);
    return total;
}

void follow_finish(Follow *follow)
{
    for (guint i = 0; i < follow->sources->len; i++) {
        Source *source = g_ptr_array_index(follow->sources, i);

        if (source->rest->len)
            line_tell(follow, source, source->rest->str, source->rest->len);
        g_string_truncate(source->rest, 0);
    }
}

static int64_t source_get_size(const Source *source)
{
    struct stat status;

    return fstat(source->fd, &status) == 0 && S_ISREG(status.st_mode) ? status.st_size : 0;
}

/* Where the last `lines` lines begin: newlines counted backwards, the last byte not among them. */
static int64_t tail_find(Follow *follow, const Source *source, int64_t lines)
{
    int64_t end = source_get_size(source), at = end;

    if (lines <= 0)
        return end;
    while (at > 0) {
        int64_t first = MAX(at - CHUNK_BYTES, 0);
        ssize_t got = pread(source->fd, follow->chunk, (size_t)(at - first), first);

        if (got != at - first)
            return end;
        for (int64_t i = got - 1; i >= 0; i--) {
            if (follow->chunk[i] == '\n' && first + i != end - 1 && --lines == 0)
                return first + i + 1;
        }
        at = first;
    }
    return 0;
}

void follow_tail(Follow *follow, int64_t lines)
{
    sources_scan(follow);
    for (guint i = 0; i < follow->sources->len; i++) {
        Source *source = g_ptr_array_index(follow->sources, i);

        source->offset = tail_find(follow, source, lines);
    }
}

/* The byte after the first newline at or after `offset`, looked for in one chunk. */
static int64_t line_start_find(Follow *follow, const Source *source, int64_t offset)
{
    ssize_t got = pread(source->fd, follow->chunk, CHUNK_BYTES, offset);
    const char *newline = got > 0 ? memchr(follow->chunk, '\n', (size_t)got) : NULL;

    return newline ? offset + (newline - follow->chunk) + 1 : offset;
}

void follow_skip(Follow *follow, int64_t bytes)
{
    for (guint i = 0; i < follow->sources->len; i++) {
        Source *source = g_ptr_array_index(follow->sources, i);
        int64_t size = source_get_size(source), target;
        g_autofree char *amount = NULL, *text = NULL;
        FollowLine line = {.source = source->label, .rank = source->rank, .notice = true};

        if (size - source->offset <= bytes)
            continue;
        target = line_start_find(follow, source, size - bytes);
        amount = format_bytes(target - source->offset);
        text = g_strdup_printf("%s not shown; all of it is in %s/%s.log", amount, follow->dir,
                               source->name);
        source->offset = target;
        g_string_truncate(source->rest, 0);
        line.text = text;
        follow->func(&line, follow->user_data);
    }
}
