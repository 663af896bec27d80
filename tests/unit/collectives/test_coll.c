/* SPDX-License-Identifier: Apache-2.0
 *
 * The front: how a backend is chosen, and that no nonsense reaches it.
 */
#include "collectives/coll.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

static coll_comm *const UNTOUCHED = (coll_comm *)0x10;

static void clear_environment(void)
{
    const char *const names[] = {"DROVER_COLL",
                                 "DROVER_COLL_TIMEOUT_MS",
                                 "OMPI_COMM_WORLD_SIZE",
                                 "PMIX_RANK",
                                 "PMI_RANK",
                                 "PMI_FD",
                                 "WORLD_SIZE",
                                 "SLURM_STEP_NUM_TASKS"};

    for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
        g_unsetenv(names[i]);
}

static coll_comm *open_default(void)
{
    coll_comm *comm = NULL;

    clear_environment();
    g_assert_cmpint(coll_init(NULL, &comm), ==, COLL_OK);
    return comm;
}

static void check_refused(const char *backend, int64_t timeout_ms, const char *words_wanted)
{
    char words[256] = "";
    const coll_options options = {
        .backend = backend, .timeout_ms = timeout_ms, .words = words, .words_size = sizeof words};
    coll_comm *comm = UNTOUCHED;

    g_assert_cmpint(coll_init(&options, &comm), ==, COLL_EINVAL);
    g_assert_true(comm == UNTOUCHED);
    g_assert_nonnull(strstr(words, words_wanted));
}

static void test_alone_is_single(void)
{
    coll_comm *comm = open_default();

    g_assert_cmpstr(coll_backend(comm), ==, "single");
    g_assert_cmpint(coll_close(comm), ==, COLL_OK);
    g_assert_cmpint(coll_close(NULL), ==, COLL_OK);
}

static void test_environment_chooses(void)
{
    coll_comm *comm = NULL;

    clear_environment();
    g_setenv("OMPI_COMM_WORLD_SIZE", "2", TRUE);
    g_setenv("DROVER_COLL", "single", TRUE); /* goes before what mpirun left */
    g_assert_cmpint(coll_init(NULL, &comm), ==, COLL_OK);
    g_assert_cmpstr(coll_backend(comm), ==, "single");
    coll_close(comm);
    g_setenv("DROVER_COLL", "smoke-signals", TRUE);
    check_refused(NULL, 0, "no backend 'smoke-signals' (try mpi or single)");
    clear_environment();
}

/* torchrun or srun without MPI: each of the ranks would train alone, unnoticed. */
static void test_several_must_not_be_alone(void)
{
    coll_comm *comm = NULL;

    clear_environment();
    g_setenv("WORLD_SIZE", "2", TRUE);
    check_refused(NULL, 0, "WORLD_SIZE is 2, but this process was not started by mpirun");
    g_setenv("DROVER_COLL", "single", TRUE);
    g_assert_cmpint(coll_init(NULL, &comm), ==, COLL_OK);
    coll_close(comm);
    clear_environment();
    g_setenv("SLURM_STEP_NUM_TASKS", "8", TRUE);
    check_refused(NULL, 0, "SLURM_STEP_NUM_TASKS is 8");
    g_setenv("SLURM_STEP_NUM_TASKS", "1", TRUE);
    g_assert_cmpint(coll_init(NULL, &comm), ==, COLL_OK);
    coll_close(comm);
    clear_environment();
}

static void test_refuses_options(void)
{
    clear_environment();
    check_refused("carrier-pigeon", 0, "no backend 'carrier-pigeon'");
    check_refused("single", -1, "timeout_ms is -1");
    g_setenv("DROVER_COLL_TIMEOUT_MS", "5s", TRUE);
    check_refused("single", 0, "DROVER_COLL_TIMEOUT_MS='5s'");
    g_setenv("DROVER_COLL_TIMEOUT_MS", "99999999999999999999", TRUE);
    check_refused("single", 0, "DROVER_COLL_TIMEOUT_MS");
    g_assert_cmpint(coll_init(NULL, NULL), ==, COLL_EINVAL);
    clear_environment();
}

/* Words are cut to the caller's memory, never past it. */
static void test_words_fit(void)
{
    char words[8] = "abcdefg";
    const coll_options options = {.backend = "nothing", .words = words, .words_size = 4};
    coll_comm *comm = NULL;

    g_assert_cmpint(coll_init(&options, &comm), ==, COLL_EINVAL);
    g_assert_cmpuint(strlen(words), ==, 3);
    g_assert_cmpint(words[4], ==, 'e');
}

static void test_strings(void)
{
    for (int error = COLL_EMISMATCH; error <= COLL_OK; error++)
        g_assert_cmpstr(coll_strerror(error), !=, "unknown error");
    g_assert_cmpstr(coll_strerror(-1000), ==, "unknown error");
    g_assert_cmpuint(coll_type_size(COLL_U8), ==, 1);
    g_assert_cmpuint(coll_type_size(COLL_I32), ==, sizeof(int32_t));
    g_assert_cmpuint(coll_type_size(COLL_I64), ==, sizeof(int64_t));
    g_assert_cmpuint(coll_type_size(COLL_F32), ==, sizeof(float));
    g_assert_cmpuint(coll_type_size(COLL_F64), ==, sizeof(double));
    g_assert_cmpuint(coll_type_size((coll_type)99), ==, 0);
}

static void check_last_error(coll_comm *comm, int rc, const char *words)
{
    g_assert_cmpint(rc, ==, COLL_EINVAL);
    g_assert_nonnull(strstr(coll_last_error(comm), words));
}

static void test_refuses_arguments(void)
{
    coll_comm *comm = open_default();
    float x[8] = {0};
    size_t huge = SIZE_MAX / 2;

    check_last_error(comm, coll_broadcast(comm, x, 1, COLL_F32, 1), "root 1 of 1 ranks");
    check_last_error(comm, coll_broadcast(comm, x, 1, COLL_F32, -1), "root -1");
    check_last_error(comm, coll_broadcast(comm, x, 1, (coll_type)7, 0), "no type 7");
    check_last_error(comm, coll_all_reduce(comm, x, x, 1, COLL_F32, (coll_op)9), "no operation 9");
    check_last_error(comm, coll_all_reduce(comm, NULL, x, 1, COLL_F32, COLL_SUM), "no buffer");
    check_last_error(comm, coll_all_reduce(comm, x, NULL, 1, COLL_F32, COLL_SUM), "no buffer");
    check_last_error(comm, coll_all_reduce(comm, x, x, huge, COLL_F32, COLL_SUM),
                     "more than memory");
    check_last_error(comm, coll_all_gather(comm, x, x, huge, COLL_F64), "more than memory");
    check_last_error(comm, coll_all_reduce_mean(comm, NULL, 3, 1), "no buffer");
    g_assert_cmpint(coll_all_reduce(NULL, x, x, 1, COLL_F32, COLL_SUM), ==, COLL_EINVAL);
    g_assert_cmpint(coll_barrier(NULL), ==, COLL_EINVAL);
    g_assert_cmpint(coll_all_reduce(comm, NULL, NULL, 0, COLL_F32, COLL_SUM), ==, COLL_OK);
    coll_close(comm);
}

static void test_refuses_overlap(void)
{
    coll_comm *comm = open_default();
    float x[8] = {0};

    check_last_error(comm, coll_all_reduce(comm, x, x + 1, 4, COLL_F32, COLL_SUM), "overlap");
    check_last_error(comm, coll_all_gather(comm, x + 1, x, 4, COLL_F32), "overlap");
    check_last_error(comm, coll_reduce_scatter(comm, x, x + 3, 4, COLL_F32, COLL_SUM), "overlap");
    g_assert_cmpint(coll_all_reduce(comm, x, x + 4, 4, COLL_F32, COLL_SUM), ==, COLL_OK);
    g_assert_cmpint(coll_all_gather(comm, x, x, 8, COLL_F32), ==, COLL_OK);
    g_assert_cmpint(coll_reduce_scatter(comm, x, x, 8, COLL_F32, COLL_SUM), ==, COLL_OK);
    coll_close(comm);
}

static void test_close_needs_waits(void)
{
    coll_comm *comm = open_default();
    coll_request *request = NULL;
    float x = 3;

    g_assert_cmpint(coll_all_reduce_start(comm, &x, &x, 1, COLL_F32, COLL_SUM, &request), ==,
                    COLL_OK);
    check_last_error(comm, coll_close(comm), "1 requests were started and not waited for");
    g_assert_cmpint(coll_test(request), ==, 1);
    g_assert_cmpint(coll_test(NULL), ==, COLL_EINVAL);
    g_assert_cmpint(coll_wait(request), ==, COLL_OK);
    g_assert_cmpint(coll_wait(NULL), ==, COLL_OK);
    g_assert_cmpint(coll_close(comm), ==, COLL_OK);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/coll/alone_is_single", test_alone_is_single);
    g_test_add_func("/coll/environment_chooses", test_environment_chooses);
    g_test_add_func("/coll/several_must_not_be_alone", test_several_must_not_be_alone);
    g_test_add_func("/coll/refuses_options", test_refuses_options);
    g_test_add_func("/coll/words_fit", test_words_fit);
    g_test_add_func("/coll/strings", test_strings);
    g_test_add_func("/coll/refuses_arguments", test_refuses_arguments);
    g_test_add_func("/coll/refuses_overlap", test_refuses_overlap);
    g_test_add_func("/coll/close_needs_waits", test_close_needs_waits);
    return g_test_run();
}
