/* SPDX-License-Identifier: Apache-2.0
 *
 * Follows the logs of one attempt as they grow: all NAME.log files of its folder. What has not been
 * read yet stays in the files, so a slow reader costs no memory.
 */
#ifndef CLI_FOLLOW_H
#define CLI_FOLLOW_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Follow Follow;

typedef struct {
    const char *source; /* "rank 0", "setup": the name of the file in words */
    int rank;           /* -1: not the log of a rank */
    const char *text;   /* clean for a terminal, without newline */
    bool notice;        /* said by the follower, not by the job */
} FollowLine;

/* `line` is borrowed for the call. */
typedef void (*FollowFunc)(const FollowLine *line, void *user_data);

typedef struct {
    const char *dir; /* need not be there yet */
    int rank;        /* just this one; -1: all sources */
    bool unicode;    /* what the reader's terminal can show */
} FollowConfig;

Follow *follow_new(const FollowConfig *config, FollowFunc func, void *user_data);
/* Looks for new files and reads at most `bytes_each` of each file; whole lines only, a line without
 * its end is cut at 8 KiB. Returns the bytes read: 0 when nothing has been added. */
size_t follow_read(Follow *follow, size_t bytes_each);
/* Tells the last lines that have no newline. */
void follow_finish(Follow *follow);
/* Goes to the last `lines` lines of each file that is there. */
void follow_tail(Follow *follow, int64_t lines);
/* Where more than `bytes` of a file are unread, goes on `bytes` before its end, with a notice. */
void follow_skip(Follow *follow, int64_t bytes);
void follow_free(Follow *follow);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Follow, follow_free)

#endif
