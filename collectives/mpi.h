/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside of the MPI backend. A call under way is a chain of stages; a stage is a function that is
 * called whenever no message is pending, does its arithmetic and posts the next messages, so
 * nothing ever blocks:
 *
 *     hello ─┬─ (barrier, and what fits into the hello) ────────────────────> done
 *            ├─ direct: read and write the peers' memory ── goodbye ────────> done
 *            └─ ring: slice by slice, reduce and gather, or a tree ─────────> done
 */
#ifndef COLLECTIVES_MPI_H
#define COLLECTIVES_MPI_H

#include <mpi.h>
#include <sys/types.h>

#include "collectives/backend.h"
#include "collectives/reduce.h"

enum {
    MPI_PENDING_MAX = 34,           /* a rank of the tree sends to at most 31 */
    COLL_MPI_DIRECT_LEAST = 8 << 10 /* bytes from which system calls beat messages */
};

/* What is the same on all ranks in a call, and how it goes. Travels as bytes: ranks share a machine
 * type. */
typedef struct {
    int32_t kind;
    int32_t type;
    int32_t op;
    int32_t root;
    uint64_t count;
    int32_t error;    /* COLL_OK, or what went wrong on bad_rank */
    int32_t bad_rank; /* or on the way to it */
} MpiHead;

/* One rank's part of a hello; its elements follow when the call is small. */
typedef struct {
    double weight;
    uint64_t send; /* addresses in the memory of the rank */
    uint64_t recv;
} MpiRecord;

typedef struct MpiState MpiState;
typedef int (*MpiStage)(coll_comm *comm, coll_request *request);

struct MpiState {
    MPI_Comm mpi;
    bool owns_mpi; /* we initialised it */
    bool direct;   /* all ranks can reach each other's memory */
    pid_t *pids;   /* of all ranks, when direct */

    /* messages on their way */
    MPI_Request pending[MPI_PENDING_MAX];
    int pending_peer[MPI_PENDING_MAX];
    int pending_size;
    int received_bytes; /* of the last message received */

    /* call under way */
    MpiStage stage; /* NULL: none */
    CollReduction reduction;
    double *factors; /* of all ranks */
    size_t step;

    /* exchange: hello and goodbye */
    size_t inline_max;   /* bytes of a call that travels in the hello */
    size_t inline_bytes; /* of this one, 0: it does not */
    size_t records;      /* how many are in out */
    char *out;           /* MpiHead, records; record i is of rank (rank + i) % size */
    char *in;

    /* slices of ring and tree, pieces of direct */
    size_t block_bytes; /* most bytes of one message */
    char *scratch[2];   /* block_bytes each */
    size_t slice_first;
    size_t slice_count;
};

/* backend_mpi.c: messages; negative on failure, with words. */
int coll_mpi_send(coll_comm *comm, coll_request *request, const void *data, size_t bytes, int peer);
int coll_mpi_receive(coll_comm *comm, coll_request *request, void *data, size_t bytes, int peer);

/* mpi_exchange.c */
int coll_mpi_exchange_alloc(coll_comm *comm);
void coll_mpi_exchange_free(MpiState *state);
int coll_mpi_hello(coll_comm *comm, coll_request *request);
/* The end of a call in which ranks reach into each other: nobody leaves before all are through.
 * `error` is how it went on this rank; every rank then fails with it. */
int coll_mpi_goodbye(coll_comm *comm, coll_request *request, int error);
const MpiRecord *coll_mpi_record(const coll_comm *comm, int rank);

/* mpi_ring.c, mpi_direct.c: first stage of the body of a call too large for the hello. */
int coll_mpi_ring(coll_comm *comm, coll_request *request);
int coll_mpi_direct(coll_comm *comm, coll_request *request);
/* Finds out, together with all ranks, whether they reach each other's memory. */
int coll_mpi_direct_open(coll_comm *comm, char words[COLL_WORDS_SIZE]);

#endif
