/* SPDX-License-Identifier: Apache-2.0
 *
 * The launcher's end of all ranks: their hello, their end and what they report.
 */
#ifndef LAUNCHER_RANK_WATCH_H
#define LAUNCHER_RANK_WATCH_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

typedef struct RankWatch RankWatch;

typedef struct {
    void (*started)(int rank, pid_t pid, void *user_data);
    /* Once per rank, after all its reports. `signal` 0: it exited with `code`. */
    void (*exited)(int rank, int code, int signal, void *user_data);
    void (*engine_end)(void *user_data);            /* the engine wants the ranks to end */
    void (*report)(json_t *event, void *user_data); /* given away */
} RankWatchFuncs;

/* Listens in the working directory, which is the attempt's folder. `funcs` must outlive the watch.
 */
RankWatch *rank_watch_new(int ranks, const RankWatchFuncs *funcs, void *user_data, GError **error);
/* proc_request_end() for every rank that runs. */
void rank_watch_request_end(const RankWatch *watch, int signal);
/* No process of the attempt is left: reads what they sent last. A rank that started and did not
 * tell its end was killed: SIGKILL. */
void rank_watch_finish(RankWatch *watch);
void rank_watch_free(RankWatch *watch);

#endif
