/* SPDX-License-Identifier: Apache-2.0
 *
 * The front of the library: opens a communicator and checks arguments. What passes here is a
 * CollCall that a backend can run without looking for nonsense.
 */
#include "collectives/coll.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/backend.h"

size_t coll_type_size(coll_type type)
{
    switch (type) {
    case COLL_U8:
        return 1;
    case COLL_I32:
    case COLL_F32:
        return 4;
    case COLL_I64:
    case COLL_F64:
        return 8;
    }
    return 0;
}

const char *coll_strerror(int error)
{
    switch (error) {
    case COLL_OK:
        return "success";
    case COLL_EINVAL:
        return "an argument is out of its range";
    case COLL_ENOMEM:
        return "out of memory";
    case COLL_EBACKEND:
        return "the layer below failed";
    case COLL_EPEER:
        return "a rank is gone or did not answer in time";
    case COLL_EUNSUPPORTED:
        return "not supported by this backend";
    case COLL_EMISMATCH:
        return "ranks disagree on what they call";
    default:
        return "unknown error";
    }
}

int coll_words_set(char words[COLL_WORDS_SIZE], int error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(words, COLL_WORDS_SIZE, format, args);
    va_end(args);
    return error;
}

const char *coll_call_name(CollKind kind)
{
    static const char *const names[] = {
        [COLL_CALL_BARRIER] = "barrier",       [COLL_CALL_BROADCAST] = "broadcast",
        [COLL_CALL_ALL_REDUCE] = "all-reduce", [COLL_CALL_MEAN] = "mean",
        [COLL_CALL_ALL_GATHER] = "all-gather", [COLL_CALL_REDUCE_SCATTER] = "reduce-scatter",
    };

    return names[kind];
}

/* ---- communicator ---- */

/* Set by mpirun, by Slurm's and others' PMI: the program is one rank of several. */
static bool coll_started_by_mpi(void)
{
    static const char *const marks[] = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_FD"};

    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (getenv(marks[i]))
            return true;
    return false;
}

/* Several processes that each believe to be alone would train apart and nobody would notice. */
static int coll_check_alone(char words[COLL_WORDS_SIZE])
{
    static const char *const marks[] = {"WORLD_SIZE", "SLURM_STEP_NUM_TASKS"};

    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        const char *text = getenv(marks[i]);

        if (text && strtol(text, NULL, 10) > 1)
            return coll_words_set(words, COLL_EINVAL,
                                  "%s is %.16s, but this process was not started by mpirun or srun "
                                  "--mpi (start it so, or set DROVER_COLL=single)",
                                  marks[i], text);
    }
    return COLL_OK;
}

static int coll_backend_choose(const char *name, const CollBackend **backend,
                               char words[COLL_WORDS_SIZE])
{
    const char *wanted = name;

    if (!wanted || !*wanted)
        wanted = getenv("DROVER_COLL");
    if (!wanted || !*wanted) {
        wanted = coll_started_by_mpi() ? "mpi" : "single";
        if (strcmp(wanted, "single") == 0 && coll_check_alone(words) != COLL_OK)
            return COLL_EINVAL;
    }
    if (strcmp(wanted, "single") == 0) {
        *backend = &coll_backend_single;
        return COLL_OK;
    }
    if (strcmp(wanted, "mpi") != 0)
        return coll_words_set(words, COLL_EINVAL, "no backend '%.64s' (try mpi or single)", wanted);
#ifdef COLL_WITH_MPI
    *backend = &coll_backend_mpi;
    return COLL_OK;
#else
    return coll_words_set(words, COLL_EUNSUPPORTED,
                          "this build of collectives has no MPI (install libopenmpi-dev and build "
                          "again, or set DROVER_COLL=single)");
#endif
}

static int coll_timeout_choose(int64_t wanted, int64_t *timeout_ms, char words[COLL_WORDS_SIZE])
{
    const char *text = getenv("DROVER_COLL_TIMEOUT_MS");
    long long value;
    char *end;

    if (wanted < 0)
        return coll_words_set(words, COLL_EINVAL, "timeout_ms is %lld", (long long)wanted);
    *timeout_ms = wanted;
    if (wanted > 0 || !text || !*text)
        return COLL_OK;
    errno = 0;
    value = strtoll(text, &end, 10);
    if (errno || *end || value < 0)
        return coll_words_set(words, COLL_EINVAL,
                              "DROVER_COLL_TIMEOUT_MS='%.32s' is not a number of milliseconds",
                              text);
    *timeout_ms = value;
    return COLL_OK;
}

static int coll_open(const coll_options *options, coll_comm *comm, char words[COLL_WORDS_SIZE])
{
    int rc = coll_backend_choose(options->backend, &comm->backend, words);

    if (rc == COLL_OK)
        rc = coll_timeout_choose(options->timeout_ms, &comm->timeout_ms, words);
    if (rc == COLL_OK)
        rc = coll_request_open(comm);
    if (rc != COLL_OK)
        return rc;
    rc = comm->backend->open(comm, words);
    if (rc != COLL_OK)
        coll_request_close(comm);
    return rc;
}

int coll_init(const coll_options *options, coll_comm **comm)
{
    static const coll_options defaults;
    char words[COLL_WORDS_SIZE] = "";
    coll_comm *opened;
    int rc;

    if (!options)
        options = &defaults;
    if (!comm)
        return COLL_EINVAL;
    opened = calloc(1, sizeof *opened);
    if (!opened)
        return COLL_ENOMEM;
    rc = coll_open(options, opened, words);
    if (options->words && options->words_size > 0)
        snprintf(options->words, options->words_size, "%s", words);
    if (rc != COLL_OK) {
        free(opened);
        return rc;
    }
    *comm = opened;
    return COLL_OK;
}

int coll_close(coll_comm *comm)
{
    if (!comm)
        return COLL_OK;
    if (comm->requests > 0)
        return coll_words_set(comm->error, COLL_EINVAL,
                              "close: %zu requests were started and not waited for",
                              comm->requests);
    coll_request_close(comm);
    comm->backend->close(comm);
    free(comm);
    return COLL_OK;
}

int coll_rank(const coll_comm *comm)
{
    return comm->rank;
}

int coll_size(const coll_comm *comm)
{
    return comm->size;
}

int coll_local_rank(const coll_comm *comm)
{
    return comm->local_rank;
}

int coll_local_size(const coll_comm *comm)
{
    return comm->local_size;
}

const char *coll_backend(const coll_comm *comm)
{
    return comm->backend->name;
}

const char *coll_last_error(const coll_comm *comm)
{
    return comm->error;
}

/* ---- argument checks ---- */

/* Bytes of `blocks` blocks of count elements; false where that does not fit an address space. */
static bool coll_bytes(size_t count, coll_type type, size_t blocks, size_t *bytes)
{
    size_t block;

    return coll_type_size(type) > 0 &&
           !__builtin_mul_overflow(count, coll_type_size(type), &block) &&
           !__builtin_mul_overflow(block, blocks, bytes) && *bytes <= PTRDIFF_MAX;
}

static bool coll_overlap(const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
    uintptr_t x = (uintptr_t)a, y = (uintptr_t)b;

    return a_bytes > 0 && b_bytes > 0 && x < y + b_bytes && y < x + a_bytes;
}

static int coll_check_type(coll_comm *comm, const CollCall *call)
{
    if (coll_type_size(call->type) == 0)
        return coll_words_set(comm->error, COLL_EINVAL, "%s: no type %d",
                              coll_call_name(call->kind), (int)call->type);
    if (call->op != COLL_SUM && call->op != COLL_MIN && call->op != COLL_MAX)
        return coll_words_set(comm->error, COLL_EINVAL, "%s: no operation %d",
                              coll_call_name(call->kind), (int)call->op);
    if (call->root < 0 || call->root >= comm->size)
        return coll_words_set(comm->error, COLL_EINVAL, "%s: root %d of %d ranks",
                              coll_call_name(call->kind), call->root, comm->size);
    return COLL_OK;
}

/* The checks that every call shares: `send_blocks` blocks of count elements are at send,
 * `recv_blocks` at recv, and they may share memory only when `in_place`, in the way of the call. */
static int coll_check(coll_comm *comm, const CollCall *call, size_t send_blocks, size_t recv_blocks,
                      bool in_place)
{
    const char *name = coll_call_name(call->kind);
    size_t send_bytes, recv_bytes;
    int rc = coll_check_type(comm, call);

    if (rc != COLL_OK)
        return rc;
    if (!coll_bytes(call->count, call->type, send_blocks, &send_bytes) ||
        !coll_bytes(call->count, call->type, recv_blocks, &recv_bytes))
        return coll_words_set(comm->error, COLL_EINVAL, "%s: %zu elements are more than memory",
                              name, call->count);
    if (call->count > 0 && (!call->send || !call->recv))
        return coll_words_set(comm->error, COLL_EINVAL, "%s: no buffer", name);
    if (!in_place && coll_overlap(call->send, send_bytes, call->recv, recv_bytes))
        return coll_words_set(comm->error, COLL_EINVAL, "%s: send and recv overlap", name);
    return COLL_OK;
}

/* The address of block `rank` in `buffer`, without computing with NULL. */
static const void *coll_block(const coll_comm *comm, const void *buffer, const CollCall *call)
{
    size_t offset;

    if (!buffer || !coll_bytes(call->count, call->type, (size_t)comm->rank, &offset))
        return buffer;
    return (const char *)buffer + offset;
}

/* ---- collectives ---- */

int coll_barrier(coll_comm *comm)
{
    CollCall call = {.kind = COLL_CALL_BARRIER};

    if (!comm)
        return COLL_EINVAL;
    return coll_request_run(comm, &call);
}

int coll_broadcast(coll_comm *comm, void *data, size_t count, coll_type type, int root)
{
    CollCall call = {.kind = COLL_CALL_BROADCAST,
                     .type = type,
                     .root = root,
                     .count = count,
                     .send = data,
                     .recv = data};
    int rc = comm ? coll_check(comm, &call, 1, 1, true) : COLL_EINVAL;

    return rc == COLL_OK ? coll_request_run(comm, &call) : rc;
}

static CollCall coll_all_reduce_call(const void *send, void *recv, size_t count, coll_type type,
                                     coll_op op)
{
    return (CollCall){.kind = COLL_CALL_ALL_REDUCE,
                      .type = type,
                      .op = op,
                      .count = count,
                      .send = send,
                      .recv = recv};
}

int coll_all_reduce_start(coll_comm *comm, const void *send, void *recv, size_t count,
                          coll_type type, coll_op op, coll_request **request)
{
    CollCall call = coll_all_reduce_call(send, recv, count, type, op);
    int rc = comm && request ? coll_check(comm, &call, 1, 1, send == recv) : COLL_EINVAL;

    return rc == COLL_OK ? coll_request_start(comm, &call, request) : rc;
}

int coll_all_reduce(coll_comm *comm, const void *send, void *recv, size_t count, coll_type type,
                    coll_op op)
{
    CollCall call = coll_all_reduce_call(send, recv, count, type, op);
    int rc = comm ? coll_check(comm, &call, 1, 1, send == recv) : COLL_EINVAL;

    return rc == COLL_OK ? coll_request_run(comm, &call) : rc;
}

int coll_all_reduce_mean(coll_comm *comm, float *data, size_t count, double weight)
{
    CollCall call = {.kind = COLL_CALL_MEAN,
                     .type = COLL_F32,
                     .count = count,
                     .send = data,
                     .recv = data,
                     .weight = weight};
    int rc = comm ? coll_check(comm, &call, 1, 1, true) : COLL_EINVAL;

    return rc == COLL_OK ? coll_request_run(comm, &call) : rc;
}

int coll_all_gather(coll_comm *comm, const void *send, void *recv, size_t count, coll_type type)
{
    CollCall call = {
        .kind = COLL_CALL_ALL_GATHER, .type = type, .count = count, .send = send, .recv = recv};
    int rc = COLL_EINVAL;

    if (comm)
        rc = coll_check(comm, &call, 1, (size_t)comm->size, send == coll_block(comm, recv, &call));
    return rc == COLL_OK ? coll_request_run(comm, &call) : rc;
}

int coll_reduce_scatter(coll_comm *comm, const void *send, void *recv, size_t count, coll_type type,
                        coll_op op)
{
    CollCall call = {.kind = COLL_CALL_REDUCE_SCATTER,
                     .type = type,
                     .op = op,
                     .count = count,
                     .send = send,
                     .recv = recv};
    int rc = COLL_EINVAL;

    if (comm)
        rc = coll_check(comm, &call, (size_t)comm->size, 1, recv == coll_block(comm, send, &call));
    return rc == COLL_OK ? coll_request_run(comm, &call) : rc;
}
