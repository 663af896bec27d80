/* SPDX-License-Identifier: Apache-2.0
 *
 * Large calls among ranks of one machine that may reach into each other's memory
 * (process_vm_readv(2), process_vm_writev(2): same user, ptrace access, one PID namespace; found
 * out at opening).
 *
 * The hello has told all addresses. In a reduction, rank r owns the r-th part of the elements:
 * piece by piece, small enough for the second-level cache, it reads the piece of every rank,
 * reduces in rank order and writes the result to every rank. A part of memory is thus touched by
 * its owner alone, and a rank only moves its own call: nobody waits for anybody until the goodbye,
 * which keeps a rank from leaving (and freeing its buffers) while others still reach into it.
 * Gather and broadcast read what they need from where it is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "collectives/mpi.h"

enum { PIECE_BYTES = 128 << 10 };

/* ---- memory of peers ---- */

typedef ssize_t (*CopyFunc)(pid_t, const struct iovec *, unsigned long, const struct iovec *,
                            unsigned long, unsigned long);

/* 0 or errno. The kernel copies up to 2 GiB at once and may stop at any page. */
static int direct_copy(CopyFunc copy, pid_t pid, char *here, uint64_t there, size_t bytes)
{
    while (bytes > 0) {
        struct iovec local = {.iov_base = here, .iov_len = bytes};
        struct iovec remote = {.iov_base = (void *)(uintptr_t)there, .iov_len = bytes};
        ssize_t copied = copy(pid, &local, 1, &remote, 1, 0);

        if (copied <= 0)
            return copied < 0 ? errno : EFAULT;
        here += copied;
        there += (uint64_t)copied;
        bytes -= (size_t)copied;
    }
    return 0;
}

static int direct_fail(coll_request *request, int peer, int code)
{
    return coll_words_set(request->words, code == ESRCH ? COLL_EPEER : COLL_EBACKEND,
                          "%s: memory of rank %d: %s", coll_call_name(request->call.kind), peer,
                          code == ESRCH ? "the process is gone" : strerror(code));
}

/* `offset` is in bytes from the send buffer of `peer`. */
static int direct_read(coll_request *request, int peer, void *into, size_t offset, size_t bytes)
{
    const MpiState *state = request->comm->state;
    int code = direct_copy(process_vm_readv, state->pids[peer], into,
                           coll_mpi_record(request->comm, peer)->send + offset, bytes);

    return code == 0 ? COLL_OK : direct_fail(request, peer, code);
}

/* `offset` is in bytes from the recv buffer of `peer`. */
static int direct_write(coll_request *request, int peer, void *from, size_t offset, size_t bytes)
{
    const MpiState *state = request->comm->state;
    int code = direct_copy(process_vm_writev, state->pids[peer], from,
                           coll_mpi_record(request->comm, peer)->recv + offset, bytes);

    return code == 0 ? COLL_OK : direct_fail(request, peer, code);
}

/* ---- reduction ---- */

/* Reduces the `count` elements at element `first` of every send into `recv`. What is summed so far
 * is in scratch[0] (or still where rank 0 has it, when that is us), what a peer adds is in
 * scratch[1]. */
static int direct_reduce_piece(coll_comm *comm, coll_request *request, size_t first, size_t count,
                               char *recv)
{
    MpiState *state = comm->state;
    size_t element = coll_type_size(request->call.type);
    const char *own = (const char *)request->call.send + first * element;
    const void *partial = comm->rank == 0 && !state->reduction.mean ? own : state->scratch[0];

    for (int r = 0; r < comm->size; r++) {
        CollPart part = {own, state->factors[r]};

        if (r != comm->rank && (!state->reduction.mean || part.factor > 0)) {
            char *into = state->scratch[r == 0 ? 0 : 1];
            int rc = direct_read(request, r, into, first * element, count * element);

            if (rc != COLL_OK)
                return rc;
            part.data = into;
        }
        if (r > 0) {
            void *sum = r == comm->size - 1 ? recv : state->scratch[0];

            coll_reduce_next(&state->reduction, sum, partial, part, count);
            partial = sum;
        } else if (partial != own) {
            coll_reduce_first(&state->reduction, state->scratch[0], part, count);
        }
    }
    coll_reduce_last(&state->reduction, recv, count);
    return COLL_OK;
}

/* The first element that `rank` owns. */
static size_t direct_part(const coll_comm *comm, const CollCall *call, int rank)
{
    size_t size = (size_t)comm->size, r = (size_t)rank;

    if (call->kind == COLL_CALL_REDUCE_SCATTER)
        return r * call->count;
    return call->count / size * r + (call->count % size < r ? call->count % size : r);
}

static int direct_reduce(coll_comm *comm, coll_request *request)
{
    MpiState *state = comm->state;
    const CollCall *call = &request->call;
    size_t element = coll_type_size(call->type), most = PIECE_BYTES / element;
    size_t part = direct_part(comm, call, comm->rank),
           end = direct_part(comm, call, comm->rank + 1);
    bool scatter = call->kind == COLL_CALL_REDUCE_SCATTER;
    size_t first = part + state->step * most;
    size_t count = end - first < most ? end - first : most;
    size_t recv_offset = (scatter ? first - part : first) * element;
    char *recv = (char *)call->recv + recv_offset;
    int rc;

    if (first >= end)
        return coll_mpi_goodbye(comm, request, COLL_OK);
    state->step++;
    rc = direct_reduce_piece(comm, request, first, count, recv);
    for (int r = 0; rc == COLL_OK && !scatter && r < comm->size; r++)
        if (r != comm->rank)
            rc = direct_write(request, r, recv, recv_offset, count * element);
    return rc == COLL_OK ? COLL_ADVANCE_MOVED : coll_mpi_goodbye(comm, request, rc);
}

/* ---- gather and broadcast ---- */

/* Step s copies from the rank s to the right, so that ranks do not all read from the same one. */
static int direct_gather(coll_comm *comm, coll_request *request)
{
    MpiState *state = comm->state;
    const CollCall *call = &request->call;
    size_t bytes = call->count * coll_type_size(call->type);
    int s = (int)state->step++, peer = (comm->rank + s) % comm->size, rc = COLL_OK;
    char *into = (char *)call->recv + (size_t)peer * bytes;

    if (s == comm->size)
        return coll_mpi_goodbye(comm, request, COLL_OK);
    if (peer != comm->rank)
        rc = direct_read(request, peer, into, 0, bytes);
    else if (into != call->send)
        memcpy(into, call->send, bytes);
    return rc == COLL_OK ? COLL_ADVANCE_MOVED : coll_mpi_goodbye(comm, request, rc);
}

static int direct_broadcast(coll_comm *comm, coll_request *request)
{
    const CollCall *call = &request->call;
    int rc = COLL_OK;

    if (comm->rank != call->root)
        rc = direct_read(request, call->root, call->recv, 0,
                         call->count * coll_type_size(call->type));
    return coll_mpi_goodbye(comm, request, rc);
}

int coll_mpi_direct(coll_comm *comm, coll_request *request)
{
    switch (request->call.kind) {
    case COLL_CALL_BROADCAST:
        return direct_broadcast(comm, request);
    case COLL_CALL_ALL_GATHER:
        return direct_gather(comm, request);
    default:
        return direct_reduce(comm, request);
    }
}

/* ---- opening ---- */

typedef struct {
    int64_t pid;
    uint64_t address; /* of `proof` on that rank */
    uint64_t proof;   /* what a reader must find there, unlike on any other rank */
} Door;

static bool direct_reaches(const Door *door)
{
    uint64_t found = 0;

    return direct_copy(process_vm_readv, (pid_t)door->pid, (char *)&found, door->address,
                       sizeof found) == 0 &&
           found == door->proof;
}

/* $DROVER_COLL_DIRECT=0 turns it off; all ranks must agree, so it is one of the reasons of a rank.
 */
static bool direct_is_wanted(const coll_comm *comm)
{
    const char *text = getenv("DROVER_COLL_DIRECT");

    return comm->size > 1 && comm->local_size == comm->size && !(text && strcmp(text, "0") == 0);
}

static int direct_try(coll_comm *comm, Door *doors)
{
    MpiState *state = comm->state;
    uint64_t proof = (uint64_t)coll_clock_ns() * 4096 + (uint64_t)comm->rank;
    Door own = {.pid = getpid(), .address = (uint64_t)(uintptr_t)&proof, .proof = proof};
    int reaches = direct_is_wanted(comm), all = 0;
    int code = MPI_Allgather(&own, sizeof own, MPI_BYTE, doors, sizeof own, MPI_BYTE, state->mpi);

    for (int r = 0; code == MPI_SUCCESS && r < comm->size; r++) {
        reaches = reaches && direct_reaches(&doors[r]);
        state->pids[r] = (pid_t)doors[r].pid;
    }
    if (code == MPI_SUCCESS)
        code = MPI_Allreduce(&reaches, &all, 1, MPI_INT, MPI_MIN, state->mpi);
    state->direct = all != 0;
    return code;
}

int coll_mpi_direct_open(coll_comm *comm, char words[COLL_WORDS_SIZE])
{
    MpiState *state = comm->state;
    size_t size = (size_t)comm->size;
    Door *doors = calloc(size, sizeof *doors);
    int code;

    state->pids = calloc(size, sizeof *state->pids);
    if (!doors || !state->pids) {
        free(doors);
        return COLL_ENOMEM;
    }
    code = direct_try(comm, doors);
    free(doors);
    if (code != MPI_SUCCESS)
        return coll_words_set(words, COLL_EBACKEND, "opening: MPI error %d", code);
    return COLL_OK;
}
