/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes that a rank writes on DROVER_PROGRESS_FD, made into events. The bytes are not trusted;
 * which rank they are from is known from elsewhere.
 */
#ifndef LAUNCHER_PROGRESS_H
#define LAUNCHER_PROGRESS_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define PROGRESS_LINE_MAX 4096 /* PIPE_BUF on Linux: what a rank can write whole */

/* `event` is given away. */
typedef void (*ProgressFunc)(json_t *event, void *user_data);

typedef struct ProgressReader ProgressReader;

ProgressReader *progress_reader_new(int rank, ProgressFunc func, void *user_data);
/* Takes any bytes; `now_ms` is of a monotonic clock. */
void progress_reader_feed(ProgressReader *reader, const char *data, size_t size, int64_t now_ms);
/* Passes on what was held back and may go now; `end`: all of it, there will be no more bytes. True:
 * something is still held back, so call again after PROGRESS_PERIOD_MS. */
bool progress_reader_flush(ProgressReader *reader, int64_t now_ms, bool end);
void progress_reader_free(ProgressReader *reader);

#define PROGRESS_PERIOD_MS 100

/* The event in one line (without its newline), with "rank" in it; NULL: it is not one. */
json_t *progress_parse(const char *line, size_t size, int rank);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ProgressReader, progress_reader_free)

#endif
