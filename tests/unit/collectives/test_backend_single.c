/* SPDX-License-Identifier: Apache-2.0
 *
 * One rank alone: what a program sees that was started without mpirun.
 */
#include <glib.h>
#include <math.h>
#include <string.h>

#include "collectives/coll.h"

static coll_comm *open_single(void)
{
    const coll_options options = {.backend = "single"};
    coll_comm *comm = NULL;

    g_assert_cmpint(coll_init(&options, &comm), ==, COLL_OK);
    return comm;
}

static void test_facts(void)
{
    coll_comm *comm = open_single();

    g_assert_cmpint(coll_rank(comm), ==, 0);
    g_assert_cmpint(coll_size(comm), ==, 1);
    g_assert_cmpint(coll_local_rank(comm), ==, 0);
    g_assert_cmpint(coll_local_size(comm), ==, 1);
    g_assert_cmpstr(coll_backend(comm), ==, "single");
    g_assert_cmpstr(coll_last_error(comm), ==, "");
    g_assert_cmpint(coll_close(comm), ==, COLL_OK);
}

static void test_copies(void)
{
    coll_comm *comm = open_single();
    const int32_t send[3] = {7, -8, 9};
    int32_t recv[3];

    g_assert_cmpint(coll_barrier(comm), ==, COLL_OK);
    memset(recv, 0, sizeof recv);
    g_assert_cmpint(coll_all_reduce(comm, send, recv, 3, COLL_I32, COLL_SUM), ==, COLL_OK);
    g_assert_true(memcmp(send, recv, sizeof send) == 0);
    memset(recv, 0, sizeof recv);
    g_assert_cmpint(coll_all_gather(comm, send, recv, 3, COLL_I32), ==, COLL_OK);
    g_assert_true(memcmp(send, recv, sizeof send) == 0);
    memset(recv, 0, sizeof recv);
    g_assert_cmpint(coll_reduce_scatter(comm, send, recv, 3, COLL_I32, COLL_MAX), ==, COLL_OK);
    g_assert_true(memcmp(send, recv, sizeof send) == 0);
    g_assert_cmpint(coll_broadcast(comm, recv, 3, COLL_I32, 0), ==, COLL_OK);
    g_assert_true(memcmp(send, recv, sizeof send) == 0);
    g_assert_cmpint(coll_all_reduce(comm, recv, recv, 3, COLL_I32, COLL_MIN), ==, COLL_OK);
    g_assert_true(memcmp(send, recv, sizeof send) == 0);
    coll_close(comm);
}

static void test_mean_leaves_data(void)
{
    coll_comm *comm = open_single();
    float data[2] = {0.1f, -3.0e38f};

    g_assert_cmpint(coll_all_reduce_mean(comm, data, 2, 3), ==, COLL_OK);
    g_assert_cmpfloat(data[0], ==, 0.1f);
    g_assert_cmpfloat(data[1], ==, -3.0e38f);
    coll_close(comm);
}

static void test_mean_refuses_weights(void)
{
    const double weights[] = {0, -1, NAN, INFINITY};
    coll_comm *comm = open_single();
    float data = 5;

    for (size_t i = 0; i < G_N_ELEMENTS(weights); i++) {
        g_assert_cmpint(coll_all_reduce_mean(comm, &data, 1, weights[i]), ==, COLL_EINVAL);
        g_assert_nonnull(strstr(coll_last_error(comm), "weight of rank 0"));
        g_assert_cmpfloat(data, ==, 5);
    }
    g_assert_cmpint(coll_all_reduce_mean(comm, &data, 1, 1), ==, COLL_OK);
    coll_close(comm);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/backend_single/facts", test_facts);
    g_test_add_func("/backend_single/copies", test_copies);
    g_test_add_func("/backend_single/mean_leaves_data", test_mean_leaves_data);
    g_test_add_func("/backend_single/mean_refuses_weights", test_mean_refuses_weights);
    return g_test_run();
}
