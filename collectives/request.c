/* SPDX-License-Identifier: Apache-2.0
 *
 * The queue of a communicator and who advances it.
 *
 *     start ──> last ... first ──(backend->advance)──> done ──> wait
 *
 * Calls run strictly one after the other, in the order they were started, so that ranks that start
 * the same calls run the same calls. Whoever waits advances the queue; while nobody waits and a
 * started call is open, a thread of ours does, if the backend allows one (comm->background). The
 * thread exists from the first started call on. It works as long as something moves and sleeps
 * POLL_NS when nothing does: a rank often has one core, and a thread that spins there would halve
 * the speed of what it is meant to hide behind.
 *
 * Silence is counted here for all backends: only time in which we looked and nothing moved, at most
 * SILENCE_STEP_NS per look, so that a program that computes for minutes between two looks does not
 * blame its peers. A failure other than COLL_EINVAL (on which all ranks agree) leaves ranks at
 * different places: the communicator is broken from then on and everything queued fails alike.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "collectives/backend.h"

enum {
    POLL_NS = 500 * 1000,
    SILENCE_STEP_NS = 50 * 1000 * 1000,
    /* Looks of a waiting caller before it offers its core to others: about 1 ms, for who yields to
     * strangers gets the core back milliseconds later. Ranks that share cores do not suffer from
     * it: Open MPI, told by mpirun, yields within each look. */
    SPINS = 20000,
    YIELDS = 2000, /* and more of them before it sleeps in between */
    NAP_NS = 50 * 1000
};

int64_t coll_clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- queue; all with the lock held ---- */

static void request_finish_first(coll_comm *comm, int result)
{
    coll_request *request = comm->first;

    request->result = result;
    request->done = true;
    comm->first = request->next;
    if (!comm->first)
        comm->last = NULL;
    comm->polled_ns = 0;
    comm->silent_ns = 0;
}

static void request_break(coll_comm *comm, int error)
{
    char words[COLL_WORDS_SIZE];

    memcpy(words, comm->first->words, sizeof words);
    comm->broken = error;
    request_finish_first(comm, error);
    while (comm->first) {
        memcpy(comm->first->words, words, sizeof words);
        request_finish_first(comm, error);
    }
}

/* COLL_OK or COLL_EPEER after a look at which nothing moved. */
static int request_count_silence(coll_comm *comm)
{
    coll_request *request = comm->first;
    int64_t now, gap;
    int peer;

    if (comm->timeout_ms == 0)
        return COLL_OK;
    now = coll_clock_ns();
    if (comm->polled_ns != 0) {
        gap = now - comm->polled_ns;
        comm->silent_ns += gap < SILENCE_STEP_NS ? gap : SILENCE_STEP_NS;
    }
    comm->polled_ns = now;
    if (comm->silent_ns / 1000000 < comm->timeout_ms)
        return COLL_OK;
    peer = comm->backend->peer(comm);
    if (peer < 0)
        return coll_words_set(request->words, COLL_EPEER, "%s: no rank answered within %lld ms",
                              coll_call_name(request->call.kind), (long long)comm->timeout_ms);
    return coll_words_set(request->words, COLL_EPEER, "%s: rank %d did not answer within %lld ms",
                          coll_call_name(request->call.kind), peer, (long long)comm->timeout_ms);
}

/* True when something moved. */
static bool request_advance(coll_comm *comm)
{
    int rc;

    if (!comm->first)
        return false;
    rc = comm->backend->advance(comm, comm->first);
    if (rc == COLL_ADVANCE_IDLE)
        rc = request_count_silence(comm);
    else
        comm->polled_ns = comm->silent_ns = 0;
    if (rc == COLL_ADVANCE_DONE)
        request_finish_first(comm, COLL_OK);
    else if (rc == COLL_EINVAL)
        request_finish_first(comm, rc);
    else if (rc < 0)
        request_break(comm, rc);
    return rc != COLL_ADVANCE_IDLE;
}

static void request_append(coll_comm *comm, coll_request *request)
{
    if (comm->last)
        comm->last->next = request;
    else
        comm->first = request;
    comm->last = request;
}

/* ---- thread ---- */

static void request_sleep(coll_comm *comm)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += POLL_NS;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_cond_timedwait(&comm->wake, &comm->lock, &until);
}

static void *request_thread(void *data)
{
    coll_comm *comm = data;

    pthread_mutex_lock(&comm->lock);
    while (!comm->thread_quit) {
        if (!comm->first || comm->waiting > 0) {
            pthread_cond_wait(&comm->wake, &comm->lock);
        } else if (request_advance(comm)) {
            pthread_mutex_unlock(&comm->lock);
            pthread_mutex_lock(&comm->lock);
        } else {
            request_sleep(comm);
        }
    }
    pthread_mutex_unlock(&comm->lock);
    return NULL;
}

int coll_request_open(coll_comm *comm)
{
    pthread_condattr_t attr;
    int rc;

    if (pthread_condattr_init(&attr) != 0)
        return COLL_ENOMEM;
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    rc = pthread_cond_init(&comm->wake, &attr);
    pthread_condattr_destroy(&attr);
    if (rc != 0)
        return COLL_ENOMEM;
    if (pthread_mutex_init(&comm->lock, NULL) != 0) {
        pthread_cond_destroy(&comm->wake);
        return COLL_ENOMEM;
    }
    return COLL_OK;
}

void coll_request_close(coll_comm *comm)
{
    if (comm->thread_started) {
        pthread_mutex_lock(&comm->lock);
        comm->thread_quit = true;
        pthread_cond_signal(&comm->wake);
        pthread_mutex_unlock(&comm->lock);
        pthread_join(comm->thread, NULL);
    }
    pthread_cond_destroy(&comm->wake);
    pthread_mutex_destroy(&comm->lock);
}

/* Wakes the thread, made on first use. Without one the call moves when it is tested or waited for,
 * so a thread that cannot be made costs overlap, not correctness. Lock held. */
static void request_kick(coll_comm *comm)
{
    sigset_t all, old;

    if (!comm->background || !comm->first)
        return;
    if (comm->thread_started) {
        pthread_cond_signal(&comm->wake);
        return;
    }
    sigfillset(&all); /* signals are for the program's own threads */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    comm->thread_started = pthread_create(&comm->thread, NULL, request_thread, comm) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* ---- start, test, wait ---- */

static int request_begin(coll_comm *comm, coll_request *request, const CollCall *call)
{
    if (comm->broken)
        return comm->broken;
    request->comm = comm;
    request->call = *call;
    request_append(comm, request);
    comm->requests++;
    return COLL_OK;
}

int coll_request_start(coll_comm *comm, const CollCall *call, coll_request **request)
{
    coll_request *started = calloc(1, sizeof *started);
    int rc;

    if (!started)
        return coll_words_set(comm->error, COLL_ENOMEM, "%s: out of memory",
                              coll_call_name(call->kind));
    pthread_mutex_lock(&comm->lock);
    rc = request_begin(comm, started, call);
    if (rc == COLL_OK) {
        while (request_advance(comm))
            ;
        request_kick(comm);
    }
    pthread_mutex_unlock(&comm->lock);
    if (rc != COLL_OK) {
        free(started);
        return rc;
    }
    *request = started;
    return COLL_OK;
}

int coll_test(coll_request *request)
{
    coll_comm *comm;
    int rc;

    if (!request)
        return COLL_EINVAL;
    comm = request->comm;
    pthread_mutex_lock(&comm->lock);
    while (!request->done && request_advance(comm))
        ;
    rc = request->done ? request->result : COLL_ADVANCE_IDLE;
    if (request->done && rc == COLL_OK)
        rc = 1;
    pthread_mutex_unlock(&comm->lock);
    return rc;
}

static void request_pause(unsigned looks)
{
    const struct timespec nap = {.tv_nsec = NAP_NS};

    if (looks > SPINS + YIELDS)
        nanosleep(&nap, NULL);
    else if (looks > SPINS)
        sched_yield();
}

static int request_wait(coll_request *request)
{
    coll_comm *comm = request->comm;
    unsigned looks = 0;

    pthread_mutex_lock(&comm->lock);
    comm->waiting++;
    while (!request->done) {
        if (request_advance(comm)) {
            looks = 0;
            continue;
        }
        pthread_mutex_unlock(&comm->lock);
        request_pause(looks++);
        pthread_mutex_lock(&comm->lock);
    }
    comm->waiting--;
    comm->requests--;
    if (request->result != COLL_OK)
        memcpy(comm->error, request->words, sizeof comm->error);
    if (comm->thread_started && comm->first)
        pthread_cond_signal(&comm->wake);
    pthread_mutex_unlock(&comm->lock);
    return request->result;
}

int coll_wait(coll_request *request)
{
    int rc;

    if (!request)
        return COLL_OK;
    rc = request_wait(request);
    free(request);
    return rc;
}

int coll_request_run(coll_comm *comm, const CollCall *call)
{
    coll_request request = {.done = false};
    int rc;

    pthread_mutex_lock(&comm->lock);
    rc = request_begin(comm, &request, call);
    pthread_mutex_unlock(&comm->lock);
    return rc == COLL_OK ? request_wait(&request) : rc;
}
