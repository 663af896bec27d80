/* SPDX-License-Identifier: Apache-2.0
 *
 * coll: collective communication for training programs.
 *
 * The public C API. A program includes this header, links `collectives` (and MPI where the build has
 * it) and nothing else of drover. It runs alone, under mpirun, under Slurm and under drover:
 *
 *     coll_comm *comm;
 *     int rc = coll_init(NULL, &comm);              // backend and ranks from the environment
 *     rc = coll_all_reduce_mean(comm, grad, n, samples);
 *     coll_close(comm);
 *
 * Results: every call gives 0 or a negative coll_error; coll_strerror() says it, coll_last_error()
 * adds which peer and which underlying code. No call exits, aborts or prints.
 * Order: all ranks call the same collectives in the same order with the same count and type.
 * Threads: one thread at a time per coll_comm, but progress of an asynchronous call is made by the
 * library. Buffers are borrowed: until the call returns, or until coll_wait() for a started one.
 * Bits: the result of a reduction is the same, bit for bit, on every rank.
 */
#ifndef COLL_H
#define COLL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define COLL_VERSION_MAJOR 0
#define COLL_VERSION_MINOR 1

typedef enum {
    COLL_OK = 0,
    COLL_EINVAL = -1,      /* an argument is out of its range */
    COLL_ENOMEM = -2,
    COLL_EBACKEND = -3,    /* MPI, NCCL or a socket said no; coll_last_error() has its words */
    COLL_EPEER = -4,       /* a rank is gone or did not answer in time */
    COLL_EUNSUPPORTED = -5, /* this backend cannot do this */
    COLL_EMISMATCH = -6     /* ranks disagree on what they call (only found where checked) */
} coll_error;

typedef enum {
    COLL_U8,
    COLL_I32,
    COLL_I64,
    COLL_F32,
    COLL_F64
} coll_type;

typedef enum { COLL_SUM, COLL_MIN, COLL_MAX } coll_op;

typedef struct coll_comm coll_comm;
typedef struct coll_request coll_request;
typedef struct coll_buckets coll_buckets;

/* Zeroed means: all from the environment. */
typedef struct {
    const char *backend; /* "mpi", "single"; NULL: $DROVER_COLL, else mpi when started by mpirun
                            (or srun with PMI), else single */
    int64_t timeout_ms;  /* longest silence of a peer before COLL_EPEER; 0: no limit */
} coll_options;

size_t coll_type_size(coll_type type);
const char *coll_strerror(int error);

/* ---- communicator ---- */

/* `options` may be NULL. On failure *comm is untouched. */
int coll_init(const coll_options *options, coll_comm **comm);
/* Waits for nothing: requests still in flight are an error (COLL_EINVAL) and comm stays open.
 * NULL is fine. */
int coll_close(coll_comm *comm);
int coll_rank(const coll_comm *comm);
int coll_size(const coll_comm *comm);
int coll_local_rank(const coll_comm *comm); /* among the ranks of this node */
int coll_local_size(const coll_comm *comm);
const char *coll_backend(const coll_comm *comm);
/* Words on the last failure of `comm`, "" when there was none. Owned by comm. */
const char *coll_last_error(const coll_comm *comm);

/* ---- collectives; `count` is in elements; send == recv is in place everywhere ---- */

int coll_barrier(coll_comm *comm);
int coll_broadcast(coll_comm *comm, void *data, size_t count, coll_type type, int root);
/* recv[i] = op over ranks of send[i]. */
int coll_all_reduce(coll_comm *comm, const void *send, void *recv, size_t count, coll_type type,
                    coll_op op);
/* data[i] = sum_r(weight_r * data_r[i]) / sum_r(weight_r). `weight` is this rank's number of samples,
 * >= 0 and finite; a rank may have 0, not all. This is how unequal shares of a batch give the gradient
 * of the even split. */
int coll_all_reduce_mean(coll_comm *comm, float *data, size_t count, double weight);
/* recv holds size * count elements, rank r's at r * count. In place: send is recv + rank * count. */
int coll_all_gather(coll_comm *comm, const void *send, void *recv, size_t count, coll_type type);
/* send holds size * count elements; recv gets this rank's reduced count. */
int coll_reduce_scatter(coll_comm *comm, const void *send, void *recv, size_t count, coll_type type,
                        coll_op op);

/* ---- asynchronous: started here, advanced by the library, ended by coll_wait ---- */

int coll_all_reduce_start(coll_comm *comm, const void *send, void *recv, size_t count,
                          coll_type type, coll_op op, coll_request **request);
/* 1: done (and the next coll_wait returns at once), 0: not yet, negative: error. Makes progress. */
int coll_test(coll_request *request);
/* Frees the request, whatever it returns. NULL is fine. */
int coll_wait(coll_request *request);

/* ---- gradient buckets: the weighted mean of one large buffer, reduced piece by piece while the
 *      backward pass still fills the rest ----
 *
 *     coll_buckets_new(comm, grad, n, 0, &buckets);            once
 *     coll_buckets_begin(buckets, samples);                    each step
 *     backward: ... coll_buckets_ready(buckets, first, count); as each layer's gradient is final
 *     coll_buckets_finish(buckets, &wait_s);                   all of grad is the weighted mean
 *
 * Pieces may become ready in any order, but every rank must report them in the same order; each
 * element exactly once a step. */
int coll_buckets_new(coll_comm *comm, float *data, size_t count, size_t bucket_bytes,
                     coll_buckets **buckets); /* bucket_bytes 0: a default fit for the backend */
int coll_buckets_begin(coll_buckets *buckets, double weight);
int coll_buckets_ready(coll_buckets *buckets, size_t first, size_t count);
/* *wait_s (may be NULL): seconds this call had to wait, the part of communication not hidden. */
int coll_buckets_finish(coll_buckets *buckets, double *wait_s);
void coll_buckets_free(coll_buckets *buckets);

/* ---- a batch shared among unequal ranks ----
 *
 * Split `total` samples by `speed` (one positive number per rank; NULL: even): largest remainder, ties
 * to the lower rank, every rank at least `least`. shares[] gets coll_size() numbers that sum to total.
 * Pure: same input, same answer on every rank. */
int coll_shares(size_t ranks, const double *speed, size_t total, size_t least, size_t *shares);

/* ---- telling the launcher (all are no-ops outside drover; never fail the training) ----
 *
 * One JSON line per call on the descriptor in $DROVER_PROGRESS_FD, written whole or not at all and
 * never blocking: a launcher that does not read loses lines, not training time. */
typedef struct {
    int64_t step;       /* steps done */
    int64_t steps;      /* steps in all, 0: unknown */
    double loss;        /* NAN: none */
    double val_loss;    /* NAN: none */
    double tokens_per_s; /* of all ranks, 0: unknown */
    double share;       /* this rank's part of the batch, 0..1; NAN: unknown */
} coll_progress;

void coll_report_progress(const coll_progress *progress);
/* After the checkpoint is durable under its final name. */
void coll_report_checkpoint(int64_t step, const char *path);
/* Short free words for the log of the job ("resumed from step 40"). */
void coll_report_note(const char *words);
/* Becomes true when the launcher asked for a checkpoint and an end (checkpoint.signal, SIGTERM); the
 * handlers are set by the first call, so call it once early. Async-signal-safe inside. */
bool coll_stop_requested(void);

#ifdef __cplusplus
}
#endif

#endif
