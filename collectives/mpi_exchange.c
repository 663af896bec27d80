/* SPDX-License-Identifier: Apache-2.0
 *
 * Every call begins with a hello: an all-gather of one record per rank by dissemination, in
 * ceil(log2(size)) rounds (Bruck et al., "Efficient Algorithms for All-to-All Communications in
 * Multiport Message-Passing Systems", 1997). In a round with n records here, a rank sends what is
 * missing there to rank - n and receives from rank + n.
 *
 * The hello is the barrier; it carries the weights of a mean, so that every rank judges all weights
 * alike before any data is touched; it carries the addresses for the direct path; and it carries
 * the data itself when there is little of it, so that a small call is this one exchange.
 *
 * Each message begins with an MpiHead. A rank whose neighbour calls something else does not stop:
 * it finishes its rounds sending heads that say so, and so all ranks come to the same error.
 */
#include <stdlib.h>
#include <string.h>

#include "collectives/mpi.h"

/* What Open MPI sends at once between ranks of a machine, without asking the receiver first, is
 * 4096 bytes with its own header (btl_vader_eager_limit). */
enum { EAGER_BYTES = 4000, INLINE_LEAST = 256 };

/* From one record to the next: each begins aligned. */
static size_t exchange_record_bytes(const MpiState *state)
{
    size_t align = _Alignof(MpiRecord);

    return sizeof(MpiRecord) + (state->inline_bytes + align - 1) / align * align;
}

/* What travels inside is bounded such that the largest message of a hello, half of all records, is
 * still sent at once. */
int coll_mpi_exchange_alloc(coll_comm *comm)
{
    MpiState *state = comm->state;
    size_t size = (size_t)comm->size, most_records = (size + 1) / 2, bytes;

    bytes = (EAGER_BYTES - sizeof(MpiHead)) / most_records;
    state->inline_max = INLINE_LEAST;
    if (bytes > sizeof(MpiRecord) + INLINE_LEAST)
        state->inline_max = bytes - sizeof(MpiRecord);
    state->inline_max -= state->inline_max % _Alignof(MpiRecord);
    bytes = sizeof(MpiHead) + size * (sizeof(MpiRecord) + state->inline_max);
    state->out = calloc(1, bytes);
    state->in = calloc(1, bytes);
    return state->out && state->in ? COLL_OK : COLL_ENOMEM;
}

void coll_mpi_exchange_free(MpiState *state)
{
    free(state->out);
    free(state->in);
}

const MpiRecord *coll_mpi_record(const coll_comm *comm, int rank)
{
    const MpiState *state = comm->state;
    size_t index = (size_t)((rank - comm->rank + comm->size) % comm->size);

    return (const MpiRecord *)(state->out + sizeof(MpiHead) + index * exchange_record_bytes(state));
}

/* ---- rounds ---- */

static void exchange_begin(coll_comm *comm, const CollCall *call, int error)
{
    MpiState *state = comm->state;
    MpiHead head = {.kind = (int32_t)call->kind,
                    .type = (int32_t)call->type,
                    .op = (int32_t)call->op,
                    .root = call->root,
                    .count = call->count,
                    .error = error,
                    .bad_rank = comm->rank};

    memcpy(state->out, &head, sizeof head);
    state->records = 1;
    state->step = 0;
}

static size_t exchange_missing(const coll_comm *comm)
{
    const MpiState *state = comm->state;
    size_t missing = (size_t)comm->size - state->records;

    return missing < state->records ? missing : state->records;
}

static int exchange_post(coll_comm *comm, coll_request *request)
{
    MpiState *state = comm->state;
    MpiHead *head = (MpiHead *)state->out;
    size_t bytes = exchange_missing(comm) * exchange_record_bytes(state);
    size_t room = sizeof *head + (size_t)comm->size * (sizeof(MpiRecord) + state->inline_max);
    int distance = (int)state->records;
    int rc = coll_mpi_receive(comm, request, state->in, room, (comm->rank + distance) % comm->size);

    if (rc != COLL_OK)
        return rc;
    rc = coll_mpi_send(comm, request, state->out,
                       sizeof *head + (head->error == COLL_OK ? bytes : 0),
                       (comm->rank - distance + comm->size) % comm->size);
    return rc == COLL_OK ? COLL_ADVANCE_MOVED : rc;
}

static bool exchange_is_same(const MpiHead *a, const MpiHead *b)
{
    return a->kind == b->kind && a->type == b->type && a->op == b->op && a->root == b->root &&
           a->count == b->count;
}

/* Takes in what rank + records sent. */
static void exchange_take(coll_comm *comm)
{
    MpiState *state = comm->state;
    MpiHead *mine = (MpiHead *)state->out;
    const MpiHead *theirs = (const MpiHead *)state->in;
    size_t missing = exchange_missing(comm), bytes = exchange_record_bytes(state);
    char *place = state->out + sizeof *mine + state->records * bytes;
    int sender = (comm->rank + (int)state->records) % comm->size;

    state->records += missing;
    if (mine->error != COLL_OK)
        return;
    if (theirs->error != COLL_OK) {
        mine->error = theirs->error;
        mine->bad_rank = theirs->bad_rank;
    } else if (!exchange_is_same(mine, theirs)) {
        mine->error = COLL_EMISMATCH;
        mine->bad_rank = sender;
    } else {
        memcpy(place, state->in + sizeof *mine, missing * bytes);
    }
}

/* One look at a running exchange: COLL_ADVANCE_DONE when all records are here. */
static int exchange_step(coll_comm *comm, coll_request *request)
{
    MpiState *state = comm->state;

    if (state->step > 0)
        exchange_take(comm);
    state->step++;
    if (state->records < (size_t)comm->size)
        return exchange_post(comm, request);
    return COLL_ADVANCE_DONE;
}

static int exchange_judge(const coll_comm *comm, coll_request *request)
{
    const MpiState *state = comm->state;
    const MpiHead *head = (const MpiHead *)state->out;
    const char *name = coll_call_name(request->call.kind);

    if (head->error == COLL_OK)
        return COLL_OK;
    if (head->error == COLL_EMISMATCH)
        return coll_words_set(request->words, COLL_EMISMATCH,
                              "%s: rank %d calls something else, or with another count, type, "
                              "operation or root",
                              name, head->bad_rank);
    if (head->bad_rank == comm->rank) /* has its own words */
        return head->error;
    return coll_words_set(request->words, head->error, "%s: failed on rank %d", name,
                          head->bad_rank);
}

/* ---- hello ---- */

/* A rank that only receives, or has no samples, may have anything in its buffer. */
static bool hello_has_data(const coll_comm *comm, const CollCall *call)
{
    if (call->kind == COLL_CALL_BROADCAST)
        return comm->rank == call->root;
    return call->kind != COLL_CALL_MEAN || call->weight > 0;
}

static void hello_begin(coll_comm *comm, const CollCall *call)
{
    MpiState *state = comm->state;
    size_t bytes = call->kind == COLL_CALL_BARRIER ? 0 : call->count * coll_type_size(call->type);
    size_t blocks = call->kind == COLL_CALL_REDUCE_SCATTER ? (size_t)comm->size : 1;
    MpiRecord record = {.weight = call->weight,
                        .send = (uint64_t)(uintptr_t)call->send,
                        .recv = (uint64_t)(uintptr_t)call->recv};
    char *at = state->out + sizeof(MpiHead);

    state->inline_bytes = bytes <= state->inline_max / blocks ? blocks * bytes : 0;
    exchange_begin(comm, call, COLL_OK);
    memcpy(at, &record, sizeof record);
    if (state->inline_bytes > 0 && hello_has_data(comm, call))
        memcpy(at + sizeof record, call->send, state->inline_bytes);
}

/* The elements that came with the record of `rank`. */
static const char *hello_data(const coll_comm *comm, int rank)
{
    return (const char *)(coll_mpi_record(comm, rank) + 1);
}

/* Reduces elements [first, first + count) of the records in rank order. */
static void hello_reduce(coll_comm *comm, const CollCall *call, size_t first)
{
    MpiState *state = comm->state;
    const CollReduction *reduction = &state->reduction;
    void *recv = call->recv;

    for (int r = 0; r < comm->size; r++) {
        CollPart part = {hello_data(comm, r) + first * coll_type_size(call->type),
                         state->factors[r]};

        if (r == 0)
            coll_reduce_first(reduction, recv, part, call->count);
        else
            coll_reduce_next(reduction, recv, recv, part, call->count);
    }
    coll_reduce_last(reduction, recv, call->count);
}

static void hello_deliver(coll_comm *comm, const CollCall *call)
{
    size_t bytes = call->count * coll_type_size(call->type);

    switch (call->kind) {
    case COLL_CALL_BARRIER:
        break;
    case COLL_CALL_BROADCAST:
        memcpy(call->recv, hello_data(comm, call->root), bytes);
        break;
    case COLL_CALL_ALL_GATHER:
        for (int r = 0; r < comm->size; r++)
            memcpy((char *)call->recv + (size_t)r * bytes, hello_data(comm, r), bytes);
        break;
    case COLL_CALL_REDUCE_SCATTER:
        hello_reduce(comm, call, (size_t)comm->rank * call->count);
        break;
    case COLL_CALL_ALL_REDUCE:
    case COLL_CALL_MEAN:
        hello_reduce(comm, call, 0);
        break;
    }
}

static int hello_set_weights(coll_comm *comm, coll_request *request)
{
    MpiState *state = comm->state;
    int bad;

    for (int r = 0; r < comm->size; r++)
        state->factors[r] = coll_mpi_record(comm, r)->weight;
    bad = coll_reduction_set_weights(&state->reduction, state->factors, comm->size, state->factors);
    if (bad < 0)
        return COLL_OK;
    if (bad == comm->size)
        return coll_words_set(request->words, COLL_EINVAL, "mean: the weight of every rank is 0");
    return coll_words_set(request->words, COLL_EINVAL, "mean: the weight of rank %d is %g", bad,
                          state->factors[bad]);
}

int coll_mpi_hello(coll_comm *comm, coll_request *request)
{
    MpiState *state = comm->state;
    const CollCall *call = &request->call;
    int rc;

    if (state->step == 0)
        hello_begin(comm, call);
    rc = exchange_step(comm, request);
    if (rc != COLL_ADVANCE_DONE)
        return rc;
    rc = exchange_judge(comm, request);
    state->reduction = coll_reduction_from_call(call);
    if (rc == COLL_OK && call->kind == COLL_CALL_MEAN)
        rc = hello_set_weights(comm, request);
    if (rc != COLL_OK)
        return rc;
    if (call->kind == COLL_CALL_BARRIER || call->count == 0)
        return COLL_ADVANCE_DONE;
    if (state->inline_bytes > 0) {
        hello_deliver(comm, call);
        return COLL_ADVANCE_DONE;
    }
    state->step = 0;
    state->stage = coll_mpi_ring;
    if (state->direct && call->count * coll_type_size(call->type) >= COLL_MPI_DIRECT_LEAST)
        state->stage = coll_mpi_direct;
    return COLL_ADVANCE_MOVED;
}

/* ---- goodbye ---- */

static int goodbye_stage(coll_comm *comm, coll_request *request)
{
    int rc = exchange_step(comm, request);

    if (rc != COLL_ADVANCE_DONE)
        return rc;
    rc = exchange_judge(comm, request);
    return rc == COLL_OK ? COLL_ADVANCE_DONE : rc;
}

int coll_mpi_goodbye(coll_comm *comm, coll_request *request, int error)
{
    MpiState *state = comm->state;

    state->inline_bytes = 0;
    exchange_begin(comm, &request->call, error);
    state->stage = goodbye_stage;
    return COLL_ADVANCE_MOVED;
}
