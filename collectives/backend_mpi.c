/* SPDX-License-Identifier: Apache-2.0
 *
 * The backend over MPI, for ranks on CPUs: opening and closing, messages, and the driver of the
 * stages.
 *
 * Only point-to-point messages of MPI are used, never its reductions. MPI_Allreduce promises the
 * same result on all ranks only as advice to implementors (MPI 3.1, 5.9.1), it cannot be given a
 * time limit, and its non-blocking form moves only while somebody is inside MPI anyway. Here each
 * element is reduced on one rank, in one order, and then copied (or, when small, on every rank in
 * rank order).
 *
 * All messages have one tag on a communicator of our own: a call is under way at a time, and MPI
 * keeps messages between two ranks in order.
 *
 * A thread of request.c may advance the calls only under MPI_THREAD_MULTIPLE, for the program may
 * call MPI as well. With less, asynchronous calls move inside coll_test, coll_buckets_ready and
 * coll_wait.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/mpi.h"

enum { MPI_TAG = 1, BLOCK_BYTES = 1 << 20 };

/* ---- errors ---- */

static int mpi_fail(char words[COLL_WORDS_SIZE], int code, const char *what)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int size;

    if (MPI_Error_string(code, text, &size) != MPI_SUCCESS)
        snprintf(text, sizeof text, "MPI error %d", code);
    return coll_words_set(words, COLL_EBACKEND, "%s: %s", what, text);
}

/* ---- messages ---- */

static int mpi_post(MpiState *state, coll_request *request, int peer, int code)
{
    char what[64];

    if (code != MPI_SUCCESS) {
        snprintf(what, sizeof what, "%s, rank %d", coll_call_name(request->call.kind), peer);
        return mpi_fail(request->words, code, what);
    }
    state->pending_peer[state->pending_size++] = peer;
    return COLL_OK;
}

int coll_mpi_send(coll_comm *comm, coll_request *request, const void *data, size_t bytes, int peer)
{
    MpiState *state = comm->state;

    return mpi_post(state, request, peer,
                    MPI_Isend(data, (int)bytes, MPI_BYTE, peer, MPI_TAG, state->mpi,
                              &state->pending[state->pending_size]));
}

int coll_mpi_receive(coll_comm *comm, coll_request *request, void *data, size_t bytes, int peer)
{
    MpiState *state = comm->state;

    return mpi_post(state, request, peer,
                    MPI_Irecv(data, (int)bytes, MPI_BYTE, peer, MPI_TAG, state->mpi,
                              &state->pending[state->pending_size]));
}

/* One message is done: takes it off the list. */
static int mpi_complete(MpiState *state, coll_request *request, int index, MPI_Status *status,
                        int code)
{
    int peer = state->pending_peer[index], last = --state->pending_size, class = code;
    char what[64];

    state->pending[index] = state->pending[last];
    state->pending_peer[index] = state->pending_peer[last];
    if (code == MPI_SUCCESS) {
        MPI_Get_count(status, MPI_BYTE, &state->received_bytes);
        return COLL_OK;
    }
    snprintf(what, sizeof what, "%s, rank %d", coll_call_name(request->call.kind), peer);
    MPI_Error_class(code, &class);
    if (class == MPI_ERR_TRUNCATE)
        return coll_words_set(request->words, COLL_EMISMATCH,
                              "%s sent more than this rank's call has", what);
    return mpi_fail(request->words, code, what);
}

/* Tests what is pending: COLL_ADVANCE_DONE when nothing is any more. */
static int mpi_test(MpiState *state, coll_request *request)
{
    int moved = COLL_ADVANCE_IDLE;

    for (int i = state->pending_size - 1; i >= 0; i--) {
        MPI_Status status;
        int done = 0;
        int code = MPI_Test(&state->pending[i], &done, &status);

        if (code != MPI_SUCCESS || done) {
            int rc = mpi_complete(state, request, i, &status, code);

            if (rc != COLL_OK)
                return rc;
            moved = COLL_ADVANCE_MOVED;
        }
    }
    return state->pending_size == 0 ? COLL_ADVANCE_DONE : moved;
}

static int mpi_advance(coll_comm *comm, coll_request *request)
{
    MpiState *state = comm->state;
    int rc = COLL_ADVANCE_DONE;

    if (comm->size == 1)
        return coll_backend_single.advance(comm, request);
    if (!state->stage) {
        state->stage = coll_mpi_hello;
        state->step = 0;
    } else if (state->pending_size > 0) {
        rc = mpi_test(state, request);
    }
    if (rc == COLL_ADVANCE_DONE)
        rc = state->stage(comm, request);
    if (rc == COLL_ADVANCE_DONE || rc == COLL_EINVAL)
        state->stage = NULL;
    return rc;
}

static int mpi_peer(const coll_comm *comm)
{
    const MpiState *state = comm->state;

    return state->pending_size > 0 ? state->pending_peer[state->pending_size - 1] : -1;
}

/* ---- opening ---- */

static int mpi_start(MpiState *state, char words[COLL_WORDS_SIZE], int *threads)
{
    int started = 0, ended = 0, code;

    MPI_Finalized(&ended);
    if (ended)
        return coll_words_set(words, COLL_EBACKEND, "MPI was finalised: it starts once a process");
    MPI_Initialized(&started);
    if (started) {
        MPI_Query_thread(threads);
        return COLL_OK;
    }
    code = MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, threads);
    if (code != MPI_SUCCESS)
        return mpi_fail(words, code, "MPI_Init_thread");
    state->owns_mpi = true;
    return COLL_OK;
}

static int mpi_find_local(coll_comm *comm, char words[COLL_WORDS_SIZE])
{
    MpiState *state = comm->state;
    MPI_Comm local;
    int code =
        MPI_Comm_split_type(state->mpi, MPI_COMM_TYPE_SHARED, comm->rank, MPI_INFO_NULL, &local);

    if (code != MPI_SUCCESS)
        return mpi_fail(words, code, "MPI_Comm_split_type");
    MPI_Comm_rank(local, &comm->local_rank);
    MPI_Comm_size(local, &comm->local_size);
    MPI_Comm_free(&local);
    return COLL_OK;
}

/* A communicator of our own whose errors come back to us. The program's error handler of
 * MPI_COMM_WORLD is put back. */
static int mpi_dup(coll_comm *comm, char words[COLL_WORDS_SIZE])
{
    MpiState *state = comm->state;
    MPI_Errhandler program;
    int code;

    MPI_Comm_get_errhandler(MPI_COMM_WORLD, &program);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    code = MPI_Comm_dup(MPI_COMM_WORLD, &state->mpi);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, program);
    MPI_Errhandler_free(&program);
    if (code != MPI_SUCCESS)
        return mpi_fail(words, code, "MPI_Comm_dup");
    MPI_Comm_set_errhandler(state->mpi, MPI_ERRORS_RETURN);
    MPI_Comm_rank(state->mpi, &comm->rank);
    MPI_Comm_size(state->mpi, &comm->size);
    return COLL_OK;
}

static int mpi_alloc(coll_comm *comm)
{
    MpiState *state = comm->state;
    size_t size = (size_t)comm->size;

    state->block_bytes = BLOCK_BYTES;
    for (int i = 0; i < 2; i++) {
        state->scratch[i] = aligned_alloc(4096, state->block_bytes);
        if (!state->scratch[i])
            return COLL_ENOMEM;
    }
    state->factors = calloc(size, sizeof *state->factors);
    return state->factors ? coll_mpi_exchange_alloc(comm) : COLL_ENOMEM;
}

static void mpi_free(MpiState *state)
{
    free(state->scratch[0]);
    free(state->scratch[1]);
    free(state->factors);
    free(state->pids);
    coll_mpi_exchange_free(state);
    free(state);
}

/* A broken communicator may have messages under way into our memory, and peers that never come to
 * MPI_Finalize: everything is left to the end of the process. */
static void mpi_close(coll_comm *comm)
{
    MpiState *state = comm->state;

    if (comm->broken)
        return;
    if (state->mpi != MPI_COMM_NULL)
        MPI_Comm_free(&state->mpi);
    if (state->owns_mpi)
        MPI_Finalize();
    mpi_free(state);
}

static int mpi_open(coll_comm *comm, char words[COLL_WORDS_SIZE])
{
    MpiState *state = calloc(1, sizeof *state);
    int threads = MPI_THREAD_SINGLE, rc;

    if (!state)
        return COLL_ENOMEM;
    state->mpi = MPI_COMM_NULL;
    rc = mpi_start(state, words, &threads);
    if (rc != COLL_OK) {
        free(state);
        return rc;
    }
    comm->state = state;
    rc = mpi_dup(comm, words);
    if (rc == COLL_OK)
        rc = mpi_find_local(comm, words);
    if (rc == COLL_OK)
        rc = mpi_alloc(comm);
    if (rc == COLL_OK)
        rc = coll_mpi_direct_open(comm, words);
    comm->background = threads == MPI_THREAD_MULTIPLE && comm->size > 1;
    if (rc != COLL_OK)
        mpi_close(comm);
    return rc;
}

const CollBackend coll_backend_mpi = {
    .name = "mpi",
    .open = mpi_open,
    .close = mpi_close,
    .advance = mpi_advance,
    .peer = mpi_peer,
};
