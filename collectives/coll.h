/* SPDX-License-Identifier: Apache-2.0
 *
 * coll: collective communication for training programs.
 *
 * The public C API. A program includes this header, links `collectives` (and MPI where the build
 * has it) and nothing else of drover. It runs alone, under mpirun, under Slurm and under drover:
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
    COLL_EINVAL = -1, /* an argument is out of its range */
    COLL_ENOMEM = -2,
    COLL_EBACKEND = -3,     /* MPI, NCCL or a socket said no; coll_last_error() has its words */
    COLL_EPEER = -4,        /* a rank is gone or did not answer in time */
    COLL_EUNSUPPORTED = -5, /* this backend cannot do this */
    COLL_EMISMATCH = -6     /* ranks disagree on what they call */
} coll_error;

typedef enum { COLL_U8, COLL_I32, COLL_I64, COLL_F32, COLL_F64 } coll_type;

typedef enum { COLL_SUM, COLL_MIN, COLL_MAX } coll_op;

typedef struct coll_comm coll_comm;
typedef struct coll_request coll_request;
typedef struct coll_buckets coll_buckets;

/* Zeroed means: all from the environment. */
typedef struct {
    const char *backend; /* "mpi", "single"; NULL: $DROVER_COLL, else mpi when started by mpirun
                            (or srun with PMI), else single. Where WORLD_SIZE or
                            SLURM_STEP_NUM_TASKS says that there are more ranks but MPI did not
                            start them, COLL_EINVAL */
    int64_t timeout_ms;  /* longest silence of a peer before COLL_EPEER; 0: as
                            $DROVER_COLL_TIMEOUT_MS says, else no limit */
    char *words;         /* where coll_init() writes what went wrong; NULL: nowhere */
    size_t words_size;   /* bytes at `words`, with the closing NUL */
} coll_options;

size_t coll_type_size(coll_type type);
const char *coll_strerror(int error);

/* ---- communicator ---- */

/* Waits for all ranks. `options` may be NULL. On failure *comm is untouched. MPI is initialised
 * unless the program has done so, and then finalised by the coll_close() of the communicator that
 * initialised it: close that one last, and only at the end of the program, as MPI starts once a
 * process. */
int coll_init(const coll_options *options, coll_comm **comm);
/* All ranks close, after the same calls. It does not wait for requests: some in flight are
 * COLL_EINVAL, and comm stays open. NULL is fine. */
int coll_close(coll_comm *comm);
int coll_rank(const coll_comm *comm);
int coll_size(const coll_comm *comm);
int coll_local_rank(const coll_comm *comm); /* among the ranks of this node */
int coll_local_size(const coll_comm *comm);
const char *coll_backend(const coll_comm *comm);
/* Words on the last failure of `comm`, "" when there was none. Owned by comm. */
const char *coll_last_error(const coll_comm *comm);

/* ---- collectives; `count` is in elements ----
 *
 * send and recv may be the same memory only as each call says ("in place"); any other overlap is
 * COLL_EINVAL. After COLL_EINVAL and COLL_EMISMATCH the buffers are as before; after any other
 * error their content is unspecified. After COLL_EPEER, COLL_EBACKEND and COLL_EMISMATCH the
 * communicator is done for: later calls fail at once with the same code, coll_close() does not wait
 * for anybody, and the buffers of what was in flight must stay valid until the process ends.
 *
 * COLL_SUM follows IEEE 754 and wraps around for integers; COLL_MIN and COLL_MAX give NaN where any
 * rank has NaN. */

int coll_barrier(coll_comm *comm);
int coll_broadcast(coll_comm *comm, void *data, size_t count, coll_type type, int root);
/* recv[i] = op over ranks of send[i]. In place: send == recv. */
int coll_all_reduce(coll_comm *comm, const void *send, void *recv, size_t count, coll_type type,
                    coll_op op);
/* data[i] = sum_r(weight_r * data_r[i]) / sum_r(weight_r). `weight` is this rank's number of
 * samples, >= 0 and finite; a rank may have 0 (its data is then not read, only written), not all. A
 * weight that is none on any rank, or all 0, is COLL_EINVAL on every rank. This is how unequal
 * shares of a batch give the gradient of the even split, to rounding: weights that are whole
 * numbers below 2^24 are exact, products and sums round as floats, and no partial sum overflows. */
int coll_all_reduce_mean(coll_comm *comm, float *data, size_t count, double weight);
/* recv holds size * count elements, rank r's at r * count. In place: send is recv + rank * count.
 */
int coll_all_gather(coll_comm *comm, const void *send, void *recv, size_t count, coll_type type);
/* send holds size * count elements; recv gets this rank's reduced count, elements rank * count and
 * on. In place: recv is send + rank * count. */
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
 * Pieces may become ready in any order, on each rank in another; each element exactly once a step
 * (twice, or out of range, is COLL_EINVAL and counts for nothing; finish with one missing likewise,
 * and the step goes on). Buckets travel in one order on all ranks: from the end of the buffer to
 * its start in the first step, then as they became full on rank 0 in that step. Between begin and
 * finish no other collective may be called on the communicator. */
int coll_buckets_new(coll_comm *comm, float *data, size_t count, size_t bucket_bytes,
                     coll_buckets **buckets); /* bucket_bytes 0: a default fit for the backend */
int coll_buckets_begin(coll_buckets *buckets, double weight);
int coll_buckets_ready(coll_buckets *buckets, size_t first, size_t count);
/* *wait_s (may be NULL): seconds this call had to wait, the part of communication not hidden. */
int coll_buckets_finish(coll_buckets *buckets, double *wait_s);
/* Waits for what is in flight. NULL is fine. */
void coll_buckets_free(coll_buckets *buckets);

/* ---- a batch shared among unequal ranks ----
 *
 * Split `total` (up to 2^53) samples by `speed` (one positive number per rank; NULL: even): largest
 * remainder, ties to the lower rank. Ranks whose part would be below `least` get `least`, the
 * others share the rest. shares[] gets `ranks` numbers that sum to total. Pure: same input, same
 * answer on every rank. COLL_EINVAL leaves shares[] untouched. */
int coll_shares(size_t ranks, const double *speed, size_t total, size_t least, size_t *shares);

/* ---- telling the launcher (all are no-ops outside drover; never fail the training) ----
 *
 * One JSON line per call on the pipe or socket in $DROVER_PROGRESS_FD, written whole or not at all
 * and never blocking: a launcher that does not read loses lines, not training time. The variable is
 * "FD" or "FD:INODE"; a descriptor that is neither pipe nor socket, or has another inode, is left
 * alone, so a value inherited across a program that closed the descriptor harms no file. Any
 * thread. */
typedef struct {
    int64_t step;        /* steps done */
    int64_t steps;       /* steps in all, 0: unknown */
    double loss;         /* NAN: none */
    double val_loss;     /* NAN: none */
    double tokens_per_s; /* of all ranks, 0: unknown */
    double share;        /* this rank's part of the batch, 0..1; NAN: unknown */
} coll_progress;

void coll_report_progress(const coll_progress *progress);
/* After the checkpoint is durable under its final name. A path too long for a line is not told. */
void coll_report_checkpoint(int64_t step, const char *path);
/* Short free words for the log of the job ("resumed from step 40"); cut to what fits a line. */
void coll_report_note(const char *words);

/* Becomes true when the launcher asked for a checkpoint and an end: by the signal whose number is
 * in $DROVER_CHECKPOINT_SIGNAL, or by SIGTERM. The handlers are set by the first call, so call it
 * once early; a handler that the program had set before is called as well.
 *
 * Ranks see the signal at different steps. So that all end at the same one, agree once a step:
 *
 *     uint8_t stop = coll_stop_requested();
 *     coll_all_reduce(comm, &stop, &stop, 1, COLL_U8, COLL_MAX);
 *     if (stop) { write the checkpoint; break; }
 */
bool coll_stop_requested(void);

#ifdef __cplusplus
}
#endif

#endif
