/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines for the launcher. A line is built in memory and written by one write of at most PIPE_BUF
 * bytes, which the kernel does whole or not at all, so that lines of several ranks on one pipe
 * never mix.
 *
 * Nothing is remembered between calls: the environment and the descriptor are looked at each time,
 * a few microseconds a step. The descriptor is made non-blocking (it exists for this alone),
 * SIGPIPE is held back in this thread for the time of the write, and errno is left as it was.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "collectives/coll.h"

typedef struct {
    char text[PIPE_BUF];
    size_t size;
    bool full; /* something did not fit: the line must not be written */
} Line;

/* ---- building a line ---- */

static void line_add(Line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void line_add(Line *line, const char *format, ...)
{
    size_t room = sizeof line->text - line->size;
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(line->text + line->size, room, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= room)
        line->full = true;
    else
        line->size += (size_t)n;
}

static void line_add_number(Line *line, const char *name, double value)
{
    if (isfinite(value))
        line_add(line, ",\"%s\":%.9g", name, value);
}

/* Bytes of the UTF-8 character at `text`, 0 where there is none (RFC 3629: no overlong forms, no
 * surrogates, nothing above U+10FFFF). */
static size_t report_utf8_size(const unsigned char *text)
{
    static const struct {
        unsigned char lead_low, lead_high, next_low, next_high;
        size_t size;
    } forms[] = {
        {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3}, {0xE1, 0xEC, 0x80, 0xBF, 3},
        {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3}, {0xF0, 0xF0, 0x90, 0xBF, 4},
        {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
    };

    if (*text < 0x80)
        return 1;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (*text < forms[i].lead_low || *text > forms[i].lead_high)
            continue;
        if (text[1] < forms[i].next_low || text[1] > forms[i].next_high)
            return 0;
        for (size_t k = 2; k < forms[i].size; k++)
            if (text[k] < 0x80 || text[k] > 0xBF)
                return 0;
        return forms[i].size;
    }
    return 0;
}

/* Adds `text` as the inside of a JSON string, as much of it as leaves `reserve` bytes; true: all.
 */
static bool line_add_text(Line *line, const char *text, size_t reserve)
{
    const unsigned char *at = (const unsigned char *)text;

    while (*at) {
        size_t size = report_utf8_size(at);

        if (line->size + 6 + reserve >= sizeof line->text)
            return false;
        if (size == 0) {
            line_add(line, "\\ufffd");
            size = 1;
        } else if (*at < 0x20 || *at == 0x7F) {
            line_add(line, "\\u%04x", *at);
        } else if (*at == '"' || *at == '\\') {
            line_add(line, "\\%c", *at);
        } else {
            line_add(line, "%.*s", (int)size, (const char *)at);
        }
        at += size;
    }
    return true;
}

/* ---- writing it ---- */

/* The descriptor, made non-blocking, or -1 where there is none that is surely the launcher's. */
static int report_get_fd(void)
{
    const char *text = getenv("DROVER_PROGRESS_FD");
    struct stat status;
    unsigned long long inode;
    char *end;
    long fd;
    int flags;

    if (!text || *text < '0' || *text > '9')
        return -1;
    errno = 0;
    fd = strtol(text, &end, 10);
    if (errno || fd > INT_MAX || fstat((int)fd, &status) != 0)
        return -1;
    if (!S_ISFIFO(status.st_mode) && !S_ISSOCK(status.st_mode))
        return -1;
    if (*end == ':') {
        inode = strtoull(end + 1, &end, 10);
        if (errno || inode != status.st_ino)
            return -1;
    }
    flags = fcntl((int)fd, F_GETFL);
    if (*end || flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
        return -1;
    if (!(flags & O_NONBLOCK) && fcntl((int)fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return -1;
    return (int)fd;
}

/* SIGPIPE caused by our write is taken back before the mask is restored; one that was pending
 * before is the program's and stays. */
static void report_write(int fd, const Line *line)
{
    const struct timespec at_once = {0};
    sigset_t pipe_set, old_set, pending;
    ssize_t written;
    bool was_pending;

    sigemptyset(&pipe_set);
    sigaddset(&pipe_set, SIGPIPE);
    if (pthread_sigmask(SIG_BLOCK, &pipe_set, &old_set) != 0)
        return;
    was_pending = sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1;
    do
        written = write(fd, line->text, line->size);
    while (written < 0 && errno == EINTR);
    if (written < 0 && errno == EPIPE && !was_pending)
        while (sigtimedwait(&pipe_set, NULL, &at_once) < 0 && errno == EINTR)
            ;
    pthread_sigmask(SIG_SETMASK, &old_set, NULL);
}

static void report_send(Line *line)
{
    int fd;

    line_add(line, "}\n");
    if (line->full)
        return;
    fd = report_get_fd();
    if (fd >= 0)
        report_write(fd, line);
}

void coll_report_progress(const coll_progress *progress)
{
    int old_errno = errno;
    locale_t numbers, old;
    Line line = {.size = 0};

    if (!progress || !getenv("DROVER_PROGRESS_FD"))
        return;
    numbers = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    if (numbers) {
        old = uselocale(numbers);
        line_add(&line, "{\"event\":\"progress\",\"step\":%lld", (long long)progress->step);
        if (progress->steps > 0)
            line_add(&line, ",\"steps\":%lld", (long long)progress->steps);
        line_add_number(&line, "loss", progress->loss);
        line_add_number(&line, "val_loss", progress->val_loss);
        if (progress->tokens_per_s > 0)
            line_add_number(&line, "tokens_per_s", progress->tokens_per_s);
        line_add_number(&line, "share", progress->share);
        uselocale(old);
        freelocale(numbers);
        report_send(&line);
    }
    errno = old_errno;
}

void coll_report_checkpoint(int64_t step, const char *path)
{
    int old_errno = errno;
    Line line = {.size = 0};

    if (!path)
        return;
    line_add(&line, "{\"event\":\"checkpoint\",\"step\":%lld,\"path\":\"", (long long)step);
    if (line_add_text(&line, path, 4)) {
        line_add(&line, "\"");
        report_send(&line);
    }
    errno = old_errno;
}

void coll_report_note(const char *words)
{
    int old_errno = errno;
    Line line = {.size = 0};

    if (!words)
        return;
    line_add(&line, "{\"event\":\"note\",\"text\":\"");
    line_add_text(&line, words, 4);
    line_add(&line, "\"");
    report_send(&line);
    errno = old_errno;
}
