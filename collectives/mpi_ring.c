/* SPDX-License-Identifier: Apache-2.0
 *
 * Large calls by messages, between nodes or where ranks cannot reach each other's memory.
 *
 * A call is cut into slices, so that a message is at most block_bytes (an int's worth is no limit
 * then) and what arrives is still in the cache when it is reduced. A slice of a reduction is a ring
 * of size - 1 steps: block b starts as what rank b + 1 has and collects, rank after rank, what the
 * others have, that of rank b last. A slice of a gather is a ring in which finished blocks travel
 * on. Each element is thus reduced once, on one rank, in one order. A broadcast goes down a
 * binomial tree.
 *
 * (Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations",
 * 2009.)
 *
 * Blocks of a slice: of an all-reduce, the slice cut into `size` parts; of a gather or scatter, the
 * same slice of each rank's block.
 */
#include <string.h>

#include "collectives/mpi.h"

typedef struct {
    size_t first; /* element */
    size_t count;
} Block;

static int ring_reduce(coll_comm *comm, coll_request *request);
static int ring_gather(coll_comm *comm, coll_request *request);
static int ring_tree(coll_comm *comm, coll_request *request);

static bool ring_has_rank_blocks(const CollCall *call)
{
    return call->kind == COLL_CALL_ALL_GATHER || call->kind == COLL_CALL_REDUCE_SCATTER;
}

static Block ring_block(const coll_comm *comm, const CollCall *call, int block)
{
    const MpiState *state = comm->state;
    size_t size = (size_t)comm->size, b = (size_t)((block % comm->size + comm->size) % comm->size);
    size_t low, high;

    if (ring_has_rank_blocks(call))
        return (Block){b * call->count + state->slice_first, state->slice_count};
    low = state->slice_count * b / size;
    high = state->slice_count * (b + 1) / size;
    return (Block){state->slice_first + low, high - low};
}

static const char *ring_send_at(const CollCall *call, size_t element)
{
    return (const char *)call->send + element * coll_type_size(call->type);
}

static CollPart ring_part(const coll_comm *comm, const CollCall *call, Block block)
{
    const MpiState *state = comm->state;

    return (CollPart){ring_send_at(call, block.first), state->factors[comm->rank]};
}

static char *ring_recv_at(const CollCall *call, size_t element)
{
    return (char *)call->recv + element * coll_type_size(call->type);
}

/* ---- slices ---- */

static MpiStage ring_first_stage(const CollCall *call)
{
    switch (call->kind) {
    case COLL_CALL_BROADCAST:
        return ring_tree;
    case COLL_CALL_ALL_GATHER:
        return ring_gather;
    default:
        return ring_reduce;
    }
}

/* Goes to the slice that begins at element `first`. */
static int ring_begin_slice(coll_comm *comm, coll_request *request, size_t first)
{
    MpiState *state = comm->state;
    const CollCall *call = &request->call;
    size_t room = state->block_bytes / coll_type_size(call->type);

    if (first == call->count)
        return COLL_ADVANCE_DONE;
    if (call->kind == COLL_CALL_ALL_REDUCE || call->kind == COLL_CALL_MEAN)
        room *= (size_t)comm->size;
    state->slice_first = first;
    state->slice_count = call->count - first < room ? call->count - first : room;
    state->step = 0;
    state->stage = ring_first_stage(call);
    return COLL_ADVANCE_MOVED;
}

static int ring_end_slice(coll_comm *comm, coll_request *request)
{
    const MpiState *state = comm->state;

    return ring_begin_slice(comm, request, state->slice_first + state->slice_count);
}

int coll_mpi_ring(coll_comm *comm, coll_request *request)
{
    const CollCall *call = &request->call;
    size_t bytes = call->count * coll_type_size(call->type);
    char *own = (char *)call->recv + (size_t)comm->rank * bytes;

    if (call->kind == COLL_CALL_ALL_GATHER && own != call->send)
        memcpy(own, call->send, bytes);
    return ring_begin_slice(comm, request, 0);
}

/* ---- one step to the right ---- */

static int ring_shift(coll_request *request, const void *send, size_t send_count, void *recv,
                      size_t recv_count)
{
    coll_comm *comm = request->comm;
    size_t element = coll_type_size(request->call.type);
    int left = (comm->rank + comm->size - 1) % comm->size;
    int right = (comm->rank + 1) % comm->size;
    int rc = coll_mpi_receive(comm, request, recv, recv_count * element, left);

    if (rc == COLL_OK)
        rc = coll_mpi_send(comm, request, send, send_count * element, right);
    return rc == COLL_OK ? COLL_ADVANCE_MOVED : rc;
}

/* Step s sends block rank - 1 - s, with everybody's part so far, and receives block rank - 2 - s
 * into scratch[(s + 1) % 2]. */
static void ring_reduce_take(coll_comm *comm, const CollCall *call, int s)
{
    MpiState *state = comm->state;
    Block block = ring_block(comm, call, comm->rank - 2 - s);
    char *partial = state->scratch[(s + 1) % 2];
    bool last = s == comm->size - 2;
    char *into = partial;

    if (last)
        into = ring_recv_at(call, ring_has_rank_blocks(call) ? state->slice_first : block.first);
    coll_reduce_next(&state->reduction, into, partial, ring_part(comm, call, block), block.count);
    if (last)
        coll_reduce_last(&state->reduction, into, block.count);
}

static int ring_reduce(coll_comm *comm, coll_request *request)
{
    MpiState *state = comm->state;
    const CollCall *call = &request->call;
    int s = (int)state->step++;
    Block out = ring_block(comm, call, comm->rank - 1 - s);
    Block in = ring_block(comm, call, comm->rank - 2 - s);
    const void *send = state->scratch[s % 2];

    if (s > 0)
        ring_reduce_take(comm, call, s - 1);
    if (s == comm->size - 1) {
        if (call->kind == COLL_CALL_REDUCE_SCATTER)
            return ring_end_slice(comm, request);
        state->step = 0;
        state->stage = ring_gather;
        return COLL_ADVANCE_MOVED;
    }
    if (s == 0 && !state->reduction.mean)
        send = ring_send_at(call, out.first);
    else if (s == 0)
        coll_reduce_first(&state->reduction, state->scratch[0], ring_part(comm, call, out),
                          out.count);
    return ring_shift(request, send, out.count, state->scratch[(s + 1) % 2], in.count);
}

/* Step s sends the finished block rank - s and receives block rank - 1 - s. */
static int ring_gather(coll_comm *comm, coll_request *request)
{
    MpiState *state = comm->state;
    const CollCall *call = &request->call;
    int s = (int)state->step++;
    Block out = ring_block(comm, call, comm->rank - s);
    Block in = ring_block(comm, call, comm->rank - 1 - s);

    if (s == comm->size - 1)
        return ring_end_slice(comm, request);
    return ring_shift(request, ring_recv_at(call, out.first), out.count,
                      ring_recv_at(call, in.first), in.count);
}

/* ---- tree ----
 *
 * Ranks are counted from the root. The parent of v is v without its lowest set bit; the children of
 * v are v + m for every power of two m below that bit (the root's is the first above all ranks). */
static int ring_tree(coll_comm *comm, coll_request *request)
{
    MpiState *state = comm->state;
    const CollCall *call = &request->call;
    int v = (comm->rank - call->root + comm->size) % comm->size;
    size_t bytes = state->slice_count * coll_type_size(call->type);
    char *data = ring_recv_at(call, state->slice_first);
    int low = v & -v, rc = COLL_OK;

    state->step++;
    if (state->step == 1 && v != 0) {
        rc = coll_mpi_receive(comm, request, data, bytes, (v - low + call->root) % comm->size);
    } else if (state->step <= 2) {
        state->step = 2;
        for (int m = 1; rc == COLL_OK && m < comm->size && (v == 0 || m < low); m *= 2)
            if (v + m < comm->size)
                rc = coll_mpi_send(comm, request, data, bytes, (v + m + call->root) % comm->size);
    } else {
        return ring_end_slice(comm, request);
    }
    return rc == COLL_OK ? COLL_ADVANCE_MOVED : rc;
}
