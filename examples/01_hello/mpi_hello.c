/* SPDX-License-Identifier: Apache-2.0
 *
 * Any MPI program runs under drover as it is: this one knows nothing of it. Every rank says where
 * it is; then all ranks add up their numbers, and each checks the sum.
 */
#include <mpi.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    char host[MPI_MAX_PROCESSOR_NAME];
    int rank, size, length, sum;

    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Get_processor_name(host, &length);
    printf("hello from rank %d of %d on %s\n", rank, size, host);
    fflush(stdout);

    MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    if (rank == 0)
        printf("the ranks add up to %d\n", sum);
    MPI_Finalize();
    return sum == size * (size - 1) / 2 ? 0 : 1;
}
