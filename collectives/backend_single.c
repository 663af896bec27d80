/* SPDX-License-Identifier: Apache-2.0
 *
 * The backend of a program that runs alone: one rank, every collective is a copy at most.
 */
#include <math.h>
#include <string.h>

#include "collectives/backend.h"

static int single_open(coll_comm *comm, char words[COLL_WORDS_SIZE])
{
    (void)words;
    comm->rank = 0;
    comm->size = 1;
    comm->local_rank = 0;
    comm->local_size = 1;
    return COLL_OK;
}

static void single_close(coll_comm *comm)
{
    (void)comm;
}

static int single_advance(coll_comm *comm, coll_request *request)
{
    const CollCall *call = &request->call;
    size_t bytes = call->count * coll_type_size(call->type);

    (void)comm;
    if (call->kind == COLL_CALL_MEAN && !(call->weight > 0 && isfinite(call->weight)))
        return coll_words_set(request->words, COLL_EINVAL, "mean: the weight of rank 0 is %g",
                              call->weight);
    if (bytes > 0 && call->recv && call->send != call->recv)
        memcpy(call->recv, call->send, bytes);
    return COLL_ADVANCE_DONE;
}

static int single_peer(const coll_comm *comm)
{
    (void)comm;
    return -1;
}

const CollBackend coll_backend_single = {
    .name = "single",
    .open = single_open,
    .close = single_close,
    .advance = single_advance,
    .peer = single_peer,
};
