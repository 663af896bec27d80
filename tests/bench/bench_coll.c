/* SPDX-License-Identifier: Apache-2.0
 *
 * All-reduce of floats beside MPI_Allreduce, in turns in the same run:
 *
 *     mpirun -n 2 --bind-to core build/bench/bench_coll
 *
 * `limit` is what memory alone would take: the time in which this machine, all ranks at once,
 * copies the bytes that an all-reduce cannot avoid (each rank reads its own buffer once and writes
 * it once).
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/coll.h"

enum { LARGEST = 64 << 20, SMALLEST = 1 << 10, ROUNDS_MOST = 201, ROUNDS_LEAST = 15 };

typedef struct {
    coll_comm *comm;
    float *send;
    float *recv;
} Bench;

typedef void (*BenchFunc)(Bench *bench, size_t count);

static void bench_coll(Bench *bench, size_t count)
{
    if (coll_all_reduce(bench->comm, bench->send, bench->recv, count, COLL_F32, COLL_SUM) !=
        COLL_OK)
        MPI_Abort(MPI_COMM_WORLD, 1);
}

static void bench_mpi(Bench *bench, size_t count)
{
    MPI_Allreduce(bench->send, bench->recv, (int)count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
}

static void bench_copy(Bench *bench, size_t count)
{
    memcpy(bench->recv, bench->send, count * sizeof *bench->send);
}

static double bench_once(Bench *bench, BenchFunc func, size_t count)
{
    double started, seconds, slowest;

    MPI_Barrier(MPI_COMM_WORLD);
    started = MPI_Wtime();
    func(bench, count);
    seconds = MPI_Wtime() - started;
    MPI_Allreduce(&seconds, &slowest, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return slowest;
}

static int bench_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double bench_median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, bench_compare);
    return values[n / 2];
}

static void bench_size(Bench *bench, size_t bytes)
{
    static const BenchFunc funcs[3] = {bench_coll, bench_mpi, bench_copy};
    double seconds[3][ROUNDS_MOST], medians[3];
    size_t count = bytes / sizeof(float);
    int rounds = bytes > 1 << 20 ? ROUNDS_LEAST : ROUNDS_MOST;

    for (int round = -2; round < rounds; round++) {
        for (int f = 0; f < 3; f++) {
            double once = bench_once(bench, funcs[f], count);

            if (round >= 0)
                seconds[f][round] = once;
        }
    }
    for (int f = 0; f < 3; f++)
        medians[f] = bench_median(seconds[f], rounds);
    if (coll_rank(bench->comm) == 0)
        printf("%10zu %12.1f %12.1f %8.2f %12.1f\n", bytes, medians[0] * 1e6, medians[1] * 1e6,
               medians[0] / medians[1], medians[2] * 1e6);
}

int main(void)
{
    Bench bench = {.send = calloc(1, LARGEST), .recv = calloc(1, LARGEST)};
    int rc = bench.send && bench.recv ? coll_init(NULL, &bench.comm) : COLL_ENOMEM;

    if (rc != COLL_OK) {
        fprintf(stderr, "bench_coll: %s\n", coll_strerror(rc));
        return 1;
    }
    for (size_t i = 0; i < LARGEST / sizeof(float); i++)
        bench.send[i] = (float)i;
    if (coll_rank(bench.comm) == 0)
        printf("all-reduce, %d ranks, median of each\n%10s %12s %12s %8s %12s\n",
               coll_size(bench.comm), "bytes", "coll us", "MPI us", "ratio", "limit us");
    for (size_t bytes = SMALLEST; bytes <= LARGEST; bytes *= 4)
        bench_size(&bench, bytes);
    free(bench.send);
    free(bench.recv);
    return coll_close(bench.comm) == COLL_OK ? 0 : 1;
}
