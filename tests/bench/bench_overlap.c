/* SPDX-License-Identifier: Apache-2.0
 *
 * How much of a gradient's reduction hides behind the computation that fills it:
 *
 *     mpirun -n 2 --bind-to core build/bench/bench_overlap            progress by the library's
 * thread mpirun -n 2 --bind-to core build/bench/bench_overlap no-thread  progress inside calls
 * alone
 *
 * A step is PIECES pieces of arithmetic, each followed by its part of a gradient of 10.6 million
 * floats: alone (`compute`), its reduction alone (`reduce`), one after the other (`after`), with
 * coll_buckets
 * (`buckets`), and what of the latter coll_buckets_finish had to wait (`waited`). Medians, taken in
 * turns. Copies and sums need the rank's core and cannot hide on a rank that has one, waiting can.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "collectives/coll.h"

enum { COUNT = 10600000, PIECES = 53, PIECE = COUNT / PIECES, ROUNDS = 9, LOOPS = 40000 };

typedef struct {
    coll_comm *comm;
    coll_buckets *buckets;
    float *grad;
    float work[1024];
    double waited_s;
} Bench;

typedef int (*BenchStep)(Bench *bench);

/* Never inlined: the same code in every kind of step. */
__attribute__((noinline)) static void bench_compute_piece(Bench *bench)
{
    for (int loop = 0; loop < LOOPS; loop++)
        for (int i = 0; i < 1024; i++)
            bench->work[i] = bench->work[i] * 0.999f + 0.001f;
}

static int bench_compute(Bench *bench)
{
    for (int piece = 0; piece < PIECES; piece++)
        bench_compute_piece(bench);
    return COLL_OK;
}

static int bench_reduce(Bench *bench)
{
    return coll_all_reduce_mean(bench->comm, bench->grad, COUNT, 1);
}

static int bench_after(Bench *bench)
{
    bench_compute(bench);
    return bench_reduce(bench);
}

static int bench_buckets(Bench *bench)
{
    int rc = coll_buckets_begin(bench->buckets, 1);
    double waited_s = 0;

    for (int piece = PIECES - 1; rc == COLL_OK && piece >= 0; piece--) {
        bench_compute_piece(bench);
        rc = coll_buckets_ready(bench->buckets, (size_t)piece * PIECE, PIECE);
    }
    if (rc == COLL_OK)
        rc = coll_buckets_finish(bench->buckets, &waited_s);
    bench->waited_s = waited_s;
    return rc;
}

static int bench_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

typedef struct {
    double wall_s; /* of the slowest rank */
    double cpu_s;  /* of this rank, all threads */
} Cost;

static double bench_cpu_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static Cost bench_once(Bench *bench, BenchStep step)
{
    double started, wall, cpu;
    Cost cost;

    MPI_Barrier(MPI_COMM_WORLD);
    cpu = bench_cpu_s();
    started = MPI_Wtime();
    if (step(bench) != COLL_OK)
        MPI_Abort(MPI_COMM_WORLD, 1);
    wall = MPI_Wtime() - started;
    cost.cpu_s = bench_cpu_s() - cpu;
    MPI_Allreduce(&wall, &cost.wall_s, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return cost;
}

static double bench_median_ms(double *seconds)
{
    qsort(seconds, ROUNDS, sizeof *seconds, bench_compare);
    return seconds[ROUNDS / 2] * 1e3;
}

static void bench_report(Bench *bench)
{
    static const struct {
        const char *name;
        BenchStep step;
    } steps[] = {{"compute", bench_compute},
                 {"reduce", bench_reduce},
                 {"after", bench_after},
                 {"buckets", bench_buckets}};
    double wall[4][ROUNDS], cpu[4][ROUNDS], waited[ROUNDS];

    for (int round = -1; round < ROUNDS; round++) {
        for (int s = 0; s < 4; s++) {
            Cost cost = bench_once(bench, steps[s].step);

            if (round < 0)
                continue;
            wall[s][round] = cost.wall_s;
            cpu[s][round] = cost.cpu_s;
            waited[round] = bench->waited_s;
        }
    }
    if (coll_rank(bench->comm) != 0)
        return;
    printf("%-10s %10s %10s\n", "ms a step", "wall", "CPU");
    for (int s = 0; s < 4; s++)
        printf("%-10s %10.1f %10.1f\n", steps[s].name, bench_median_ms(wall[s]),
               bench_median_ms(cpu[s]));
    printf("%-10s %10.1f\n", "waited", bench_median_ms(waited));
}

int main(int argc, char **argv)
{
    Bench bench = {.grad = calloc(COUNT, sizeof(float))};
    bool no_thread = argc > 1 && strcmp(argv[1], "no-thread") == 0;
    int rc;

    if (no_thread)
        MPI_Init(&argc, &argv);
    rc = bench.grad ? coll_init(NULL, &bench.comm) : COLL_ENOMEM;
    if (rc == COLL_OK)
        rc = coll_buckets_new(bench.comm, bench.grad, COUNT, 0, &bench.buckets);
    if (rc != COLL_OK) {
        fprintf(stderr, "bench_overlap: %s\n", coll_strerror(rc));
        return 1;
    }
    bench_report(&bench);
    coll_buckets_free(bench.buckets);
    coll_close(bench.comm);
    free(bench.grad);
    if (no_thread)
        MPI_Finalize();
    return 0;
}
