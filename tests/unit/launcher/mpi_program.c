/* SPDX-License-Identifier: Apache-2.0
 *
 * MPI programs that behave and misbehave, by the word on the command line. "ready-RANK" appears in
 * the working directory when rank RANK is past MPI_Init.
 */
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define COUNT (1 << 18) /* 1 MiB: large enough for every path through shared memory */

static volatile sig_atomic_t asked; /* a handler has nowhere else to write */

static void on_signal(int number)
{
    (void)number;
    asked = 1;
}

static void write_file(const char *kind, int rank)
{
    char name[64];
    FILE *file;

    snprintf(name, sizeof name, "%s-%d", kind, rank);
    file = fopen(name, "w");
    if (file) {
        fputs("r\n", file);
        fclose(file);
    }
}

static int sum(int rank, int size)
{
    int *mine = malloc(COUNT * sizeof *mine), *all = malloc(COUNT * sizeof *all);
    int wrong = !mine || !all;

    for (int i = 0; !wrong && i < COUNT; i++)
        mine[i] = rank + i;
    if (!wrong)
        MPI_Allreduce(mine, all, COUNT, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    for (int i = 0; !wrong && i < COUNT; i++)
        wrong = all[i] != size * (size - 1) / 2 + size * i;
    if (!wrong && rank == 0)
        puts("sum is right");
    free(mine);
    free(all);
    return wrong;
}

static void stubborn(int rank, int size)
{
    for (int number = 1; number < 32; number++)
        if (number != SIGSEGV && number != SIGBUS && number != SIGCHLD)
            signal(number, SIG_IGN);
    sum(rank, size);
    write_file("ready", rank);
    for (;;)
        sleep(1);
}

/* Both end MPI when asked; rank 0 then takes its time to save. */
static void save(int rank)
{
    const struct timespec nap = {.tv_nsec = 10000000}, long_nap = {.tv_nsec = 500000000};

    signal(SIGUSR1, on_signal);
    write_file("ready", rank);
    while (!asked)
        nanosleep(&nap, NULL);
    MPI_Finalize();
    if (rank == 0) {
        nanosleep(&long_nap, NULL);
        write_file("saved", rank);
    }
    exit(0);
}

int main(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "sum";
    int rank, size, rc = 0;

    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Barrier(MPI_COMM_WORLD);
    if (strcmp(word, "stubborn") == 0)
        stubborn(rank, size);
    if (strcmp(word, "save") == 0)
        save(rank);
    if (strcmp(word, "abort") == 0 && rank == 1)
        MPI_Abort(MPI_COMM_WORLD, 3);
    if (strcmp(word, "leave") == 0 && rank == 1)
        _exit(0);
    if (strcmp(word, "sum") == 0)
        rc = sum(rank, size);
    else
        MPI_Barrier(MPI_COMM_WORLD); /* for a rank that does not come */
    MPI_Finalize();
    return rc;
}
