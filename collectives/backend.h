/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside of the library: what a communicator is made of and what a backend has to do.
 *
 * A collective is a CollCall. request.c keeps the calls of a communicator in a queue, one at a time
 * is under way, and the backend advances it without ever blocking. Everything here is used with the
 * lock of the communicator held, so a backend sees one thread at a time.
 */
#ifndef COLLECTIVES_BACKEND_H
#define COLLECTIVES_BACKEND_H

#include <pthread.h>

#include "collectives/coll.h"

typedef enum {
    COLL_CALL_BARRIER,
    COLL_CALL_BROADCAST,
    COLL_CALL_ALL_REDUCE,
    COLL_CALL_MEAN,
    COLL_CALL_ALL_GATHER,
    COLL_CALL_REDUCE_SCATTER
} CollKind;

typedef struct {
    CollKind kind;
    coll_type type;
    coll_op op;
    int root;
    size_t count; /* elements, of one rank's block for all-gather and reduce-scatter */
    const void *send;
    void *recv;
    double weight; /* of COLL_CALL_MEAN; any value: the backend tells all ranks of a bad one */
} CollCall;

enum { COLL_WORDS_SIZE = 256 };

struct coll_request {
    coll_comm *comm;
    CollCall call;
    bool done;
    int result; /* once done */
    char words[COLL_WORDS_SIZE];
    coll_request *next;
};

typedef struct {
    const char *name;
    /* Fills rank, size, local_rank, local_size, background and state of `comm`; `words` as
     * coll_words_set() writes them. On failure nothing is left behind. */
    int (*open)(coll_comm *comm, char words[COLL_WORDS_SIZE]);
    /* Never waits for a peer when comm->broken. */
    void (*close)(coll_comm *comm);
    /* Moves `request`, the only one under way, as far as possible without waiting. 1: it is
     * complete, 0: not yet and nothing moved, 2: not yet but something moved, negative: failed,
     * with words. */
    int (*advance)(coll_comm *comm, coll_request *request);
    /* The rank that the call under way waits for, -1: none in particular. */
    int (*peer)(const coll_comm *comm);
} CollBackend;

enum { COLL_ADVANCE_IDLE = 0, COLL_ADVANCE_DONE = 1, COLL_ADVANCE_MOVED = 2 };

struct coll_comm {
    const CollBackend *backend;
    void *state; /* of the backend */
    int rank;
    int size;
    int local_rank;
    int local_size;
    int64_t timeout_ms;
    bool background; /* the backend may be advanced by a thread of ours */
    int broken;      /* the error after which nothing goes any more, or 0 */
    char error[COLL_WORDS_SIZE];

    /* queue and thread: request.c */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    bool thread_started;
    bool thread_quit;
    int waiting; /* callers inside coll_wait(), who advance the queue themselves */
    coll_request *first;
    coll_request *last;
    size_t requests;   /* started and not yet waited for */
    int64_t polled_ns; /* when the call under way was last found idle, 0: it was not */
    int64_t silent_ns; /* how long the peers have been seen silent since */
};

extern const CollBackend coll_backend_single;
extern const CollBackend coll_backend_mpi; /* in builds with MPI */

/* Printf into `words`, cut to fit; gives `error` back, so that `return coll_words_set(...)` reads
 * well. */
int coll_words_set(char words[COLL_WORDS_SIZE], int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
const char *coll_call_name(CollKind kind);
int64_t coll_clock_ns(void); /* monotonic */

/* request.c */
int coll_request_open(coll_comm *comm);
void coll_request_close(coll_comm *comm);
int coll_request_start(coll_comm *comm, const CollCall *call, coll_request **request);
/* Start and wait. */
int coll_request_run(coll_comm *comm, const CollCall *call);

#endif
