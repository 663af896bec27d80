/* SPDX-License-Identifier: Apache-2.0
 *
 * Several ranks: run by mpirun with 1 to 8 of them. Inputs are such that every order of summation
 * gives the exact result, so results are compared for equality. With the argument "program-mpi" the
 * program initialises MPI itself, without threads, as many do.
 */
#include <glib.h>
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/mpi.h"

/* 0, 1, below and above the ranks, primes, around what travels in a hello, several slices */
static const size_t COUNTS[] = {0, 1, 2, 3, 7, 8, 127, 1021, 2048, 2049, 4099, 65537, 300007};

static coll_comm *open_comm(int64_t timeout_ms)
{
    char words[256] = "";
    const coll_options options = {
        .backend = "mpi", .timeout_ms = timeout_ms, .words = words, .words_size = sizeof words};
    coll_comm *comm = NULL;
    int rc = coll_init(&options, &comm);

    g_assert_cmpstr(words, ==, "");
    g_assert_cmpint(rc, ==, COLL_OK);
    return comm;
}

/* ---- exactly known data ---- */

static double value(int rank, size_t i)
{
    return (double)((i * 31 + (size_t)rank * 17) % 23);
}

static void put(void *data, coll_type type, size_t i, double x)
{
    switch (type) {
    case COLL_U8:
        ((uint8_t *)data)[i] = (uint8_t)x;
        break;
    case COLL_I32:
        ((int32_t *)data)[i] = (int32_t)x - 11;
        break;
    case COLL_I64:
        ((int64_t *)data)[i] = ((int64_t)x - 11) * ((int64_t)1 << 55);
        break;
    case COLL_F32:
        ((float *)data)[i] = (float)(x - 11) * 0.25f;
        break;
    case COLL_F64:
        ((double *)data)[i] = (x - 11) * 0.125;
        break;
    }
}

static void *fill(coll_type type, size_t n, int rank)
{
    char *data = g_malloc0(n * coll_type_size(type) + 8);

    for (size_t i = 0; i < n; i++)
        put(data, type, i, value(rank, i));
    memset(data + n * coll_type_size(type), 0x5A, 8); /* seen when a call writes past the end */
    return data;
}

/* What the reduction gives, in long double (exact for all of the above); i64 wraps around. */
static void expect(void *data, coll_type type, coll_op op, size_t i, int size)
{
    double x = value(0, i);
    int64_t wide = (int64_t)x - 11;

    for (int r = 1; r < size; r++) {
        double y = value(r, i);

        wide += (int64_t)y - 11;
        if (op == COLL_MIN)
            x = MIN(x, y);
        else if (op == COLL_MAX)
            x = MAX(x, y);
        else
            x += y;
    }
    if (op != COLL_SUM || type == COLL_U8)
        put(data, type, i, x);
    else if (type == COLL_I32)
        ((int32_t *)data)[i] = (int32_t)wide;
    else if (type == COLL_I64)
        ((int64_t *)data)[i] = (int64_t)((uint64_t)wide << 55);
    else if (type == COLL_F32)
        ((float *)data)[i] = (float)wide * 0.25f;
    else
        ((double *)data)[i] = (double)wide * 0.125;
}

static void *expect_all(coll_type type, coll_op op, size_t n, int size)
{
    char *data = g_malloc0(n * coll_type_size(type) + 8);

    for (size_t i = 0; i < n; i++)
        expect(data, type, op, i, size);
    memset(data + n * coll_type_size(type), 0x5A, 8);
    return data;
}

static bool same(const void *a, const void *b, size_t bytes)
{
    return memcmp(a, b, bytes) == 0;
}

/* ---- the collectives ---- */

static void test_facts(gconstpointer data)
{
    coll_comm *comm = *(coll_comm *const *)data;
    int rank, size;

    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    g_assert_cmpint(coll_rank(comm), ==, rank);
    g_assert_cmpint(coll_size(comm), ==, size);
    g_assert_cmpint(coll_local_rank(comm), ==, rank);
    g_assert_cmpint(coll_local_size(comm), ==, size);
    g_assert_cmpstr(coll_backend(comm), ==, "mpi");
    g_assert_cmpint(coll_barrier(comm), ==, COLL_OK);
}

/* Each way of large calls is really the one under test, where the machine allows it. */
static void test_path(gconstpointer data)
{
    const coll_comm *comm = *(coll_comm *const *)data;
    const MpiState *state = comm->state;
    const char *wanted = g_getenv("DROVER_COLL_DIRECT");

    if (comm->size == 1 || g_strcmp0(wanted, "0") == 0)
        g_assert_false(state->direct);
    else if (!state->direct)
        g_test_skip("ranks may not reach each other's memory here");
}

static void check_all_reduce(coll_comm *comm, coll_type type, coll_op op, size_t n)
{
    size_t bytes = n * coll_type_size(type) + 8;
    g_autofree char *send = fill(type, n, coll_rank(comm));
    g_autofree char *recv = g_malloc0(bytes);
    g_autofree char *wanted = expect_all(type, op, n, coll_size(comm));

    memset(recv + bytes - 8, 0x5A, 8);
    g_assert_cmpint(coll_all_reduce(comm, send, recv, n, type, op), ==, COLL_OK);
    g_assert_true(same(recv, wanted, bytes));
    g_assert_cmpint(coll_all_reduce(comm, send, send, n, type, op), ==, COLL_OK);
    g_assert_true(same(send, wanted, bytes));
}

static void test_all_reduce(gconstpointer data)
{
    coll_comm *comm = *(coll_comm *const *)data;

    for (size_t c = 0; c < G_N_ELEMENTS(COUNTS); c++)
        for (int type = COLL_U8; type <= COLL_F64; type++)
            for (int op = COLL_SUM; op <= COLL_MAX; op++)
                if (COUNTS[c] < 100000 || op == type % 3)
                    check_all_reduce(comm, (coll_type)type, (coll_op)op, COUNTS[c]);
    check_all_reduce(comm, COLL_F32, COLL_SUM, 3000017);
}

static void check_reduce_scatter(coll_comm *comm, coll_type type, coll_op op, size_t n)
{
    size_t element = coll_type_size(type), rank = (size_t)coll_rank(comm);
    size_t size = (size_t)coll_size(comm);
    g_autofree char *send = fill(type, n * size, coll_rank(comm));
    g_autofree char *recv = g_malloc0(n * element + 8);
    g_autofree char *wanted = expect_all(type, op, n * size, coll_size(comm));

    g_assert_cmpint(coll_reduce_scatter(comm, send, recv, n, type, op), ==, COLL_OK);
    g_assert_true(same(recv, wanted + rank * n * element, n * element));
    g_assert_cmpint(coll_reduce_scatter(comm, send, send + rank * n * element, n, type, op), ==,
                    COLL_OK);
    g_assert_true(same(send + rank * n * element, recv, n * element));
}

static void test_reduce_scatter(gconstpointer data)
{
    coll_comm *comm = *(coll_comm *const *)data;

    for (size_t c = 0; c < G_N_ELEMENTS(COUNTS); c++) {
        check_reduce_scatter(comm, COLL_F32, COLL_SUM, COUNTS[c]);
        check_reduce_scatter(comm, COLL_I64, COLL_MIN, COUNTS[c]);
        check_reduce_scatter(comm, COLL_U8, COLL_MAX, COUNTS[c]);
    }
}

static void check_all_gather(coll_comm *comm, coll_type type, size_t n)
{
    size_t bytes = n * coll_type_size(type), rank = (size_t)coll_rank(comm);
    g_autofree char *send = fill(type, n, coll_rank(comm));
    g_autofree char *recv = g_malloc0(bytes * (size_t)coll_size(comm) + 8);

    g_assert_cmpint(coll_all_gather(comm, send, recv, n, type), ==, COLL_OK);
    for (int pass = 0; pass < 2; pass++) {
        for (int r = 0; r < coll_size(comm); r++) {
            g_autofree char *theirs = fill(type, n, r);

            g_assert_true(same(recv + (size_t)r * bytes, theirs, bytes));
        }
        memset(recv, 0, bytes * rank);
        memset(recv + bytes * (rank + 1), 0, bytes * (size_t)(coll_size(comm) - 1 - (int)rank));
        g_assert_cmpint(coll_all_gather(comm, recv + rank * bytes, recv, n, type), ==, COLL_OK);
    }
}

static void test_all_gather(gconstpointer data)
{
    coll_comm *comm = *(coll_comm *const *)data;

    for (size_t c = 0; c < G_N_ELEMENTS(COUNTS); c++) {
        check_all_gather(comm, COLL_U8, COUNTS[c]);
        check_all_gather(comm, COLL_F64, COUNTS[c]);
    }
}

static void test_broadcast(gconstpointer data)
{
    coll_comm *comm = *(coll_comm *const *)data;

    for (size_t c = 0; c < G_N_ELEMENTS(COUNTS); c++) {
        for (int root = 0; root < coll_size(comm); root++) {
            size_t bytes = COUNTS[c] * 4 + 8;
            g_autofree char *buffer = fill(COLL_I32, COUNTS[c], coll_rank(comm));
            g_autofree char *wanted = fill(COLL_I32, COUNTS[c], root);

            g_assert_cmpint(coll_broadcast(comm, buffer, COUNTS[c], COLL_I32, root), ==, COLL_OK);
            g_assert_true(same(buffer, wanted, bytes));
        }
    }
}

/* ---- floating point ---- */

/* Numbers whose sum depends on the order: all ranks must still end with the same bits. */
static void test_same_bits(gconstpointer data)
{
    coll_comm *comm = *(coll_comm *const *)data;
    const size_t counts[] = {1, 1000, 3001, 700001};

    for (size_t c = 0; c < G_N_ELEMENTS(counts); c++) {
        size_t n = counts[c];
        g_autofree float *sum = g_new(float, n);
        g_autofree float *first = g_new(float, n);
        g_autoptr(GRand) rand = g_rand_new_with_seed((guint32)coll_rank(comm) * 7919 + 1);

        for (int mean = 0; mean < 2; mean++) {
            for (size_t i = 0; i < n; i++)
                sum[i] =
                    (float)ldexp(g_rand_double_range(rand, -1, 1), g_rand_int_range(rand, -20, 20));
            if (mean)
                coll_all_reduce_mean(comm, sum, n, 0.1 + coll_rank(comm));
            else
                coll_all_reduce(comm, sum, sum, n, COLL_F32, COLL_SUM);
            memcpy(first, sum, n * sizeof *sum);
            g_assert_cmpint(coll_broadcast(comm, first, n, COLL_F32, 0), ==, COLL_OK);
            g_assert_true(same(sum, first, n * sizeof *sum));
        }
    }
}

static void test_not_a_number(gconstpointer data)
{
    coll_comm *comm = *(coll_comm *const *)data;
    int odd = coll_size(comm) / 2;
    const size_t counts[] = {5, 100003};

    for (size_t c = 0; c < G_N_ELEMENTS(counts); c++) {
        for (int op = COLL_SUM; op <= COLL_MAX; op++) {
            size_t n = counts[c];
            g_autofree float *x = g_new0(float, n);

            if (coll_rank(comm) == odd)
                x[n / 2] = NAN;
            x[n - 1] = INFINITY;
            g_assert_cmpint(coll_all_reduce(comm, x, x, n, COLL_F32, (coll_op)op), ==, COLL_OK);
            g_assert_true(isnan(x[n / 2]));
            g_assert_true(isinf(x[n - 1]));
            g_assert_cmpfloat(x[0], ==, 0);
        }
    }
}

/* ---- weighted mean ---- */

static void check_mean(coll_comm *comm, size_t n, double unit)
{
    int size = coll_size(comm), rank = coll_rank(comm);
    g_autofree float *x = g_new(float, n + 1);
    double total = 0;

    for (int r = 0; r < size; r++)
        total += r + 1;
    for (size_t i = 0; i < n; i++)
        x[i] = (float)((i * 7 + (size_t)rank) % 64);
    g_assert_cmpint(coll_all_reduce_mean(comm, x, n, (rank + 1) * unit), ==, COLL_OK);
    for (size_t i = 0; i < n; i++) {
        double sum = 0;

        for (int r = 0; r < size; r++)
            sum += (r + 1) * (double)((i * 7 + (size_t)r) % 64);
        /* products and sums are exact: one rounding, of the division */
        g_assert_cmpfloat(x[i], ==, (float)sum / (float)total);
    }
}

static void test_mean(gconstpointer data)
{
    coll_comm *comm = *(coll_comm *const *)data;

    for (size_t c = 0; c < G_N_ELEMENTS(COUNTS); c++)
        check_mean(comm, COUNTS[c], 1);
    check_mean(comm, 1000, ldexp(1, 1000)); /* the sum of weights is no double */
    check_mean(comm, 100003, ldexp(1, -1000));
}

/* A rank with weight 0 has no samples: what its buffer holds does not matter. */
static void test_mean_ignores_idle(gconstpointer data)
{
    coll_comm *comm = *(coll_comm *const *)data;
    const size_t counts[] = {3, 100003};
    int busy = coll_size(comm) - 1;

    for (size_t c = 0; c < G_N_ELEMENTS(counts); c++) {
        size_t n = counts[c];
        g_autofree float *x = g_new(float, n);

        for (size_t i = 0; i < n; i++)
            x[i] = coll_rank(comm) == busy ? (float)i + 0.1f : NAN;
        g_assert_cmpint(coll_all_reduce_mean(comm, x, n, coll_rank(comm) == busy ? 3 : 0), ==,
                        COLL_OK);
        for (size_t i = 0; i < n; i++)
            g_assert_cmpfloat_with_epsilon(x[i], (float)i + 0.1f, (float)i * 2e-7 + 1e-7);
    }
}

static void test_mean_refuses_weights(gconstpointer data)
{
    coll_comm *comm = *(coll_comm *const *)data;
    const double bad[] = {-1, NAN, INFINITY, 0};
    const size_t counts[] = {0, 3, 100003};
    int last = coll_size(comm) - 1;

    for (size_t b = 0; b < G_N_ELEMENTS(bad); b++) {
        for (size_t c = 0; c < G_N_ELEMENTS(counts); c++) {
            g_autofree float *x = g_new0(float, counts[c] + 1);
            double weight = coll_rank(comm) == last || bad[b] == 0 ? bad[b] : 1;

            x[0] = 42;
            g_assert_cmpint(coll_all_reduce_mean(comm, x, counts[c], weight), ==, COLL_EINVAL);
            g_assert_nonnull(strstr(coll_last_error(comm), "weight of"));
            g_assert_cmpfloat(x[0], ==, 42);
        }
    }
    g_assert_cmpint(coll_barrier(comm), ==, COLL_OK);
}

static void test_mean_does_not_overflow(gconstpointer data)
{
    coll_comm *comm = *(coll_comm *const *)data;
    float x[2] = {3.2e38f, -3.2e38f};

    g_assert_cmpint(coll_all_reduce_mean(comm, x, 2, 1000 + coll_rank(comm)), ==, COLL_OK);
    g_assert_cmpfloat_with_epsilon(x[0] / 3.2e38f, 1, 1e-6);
    g_assert_cmpfloat_with_epsilon(x[1] / 3.2e38f, -1, 1e-6);
}

/* ---- asynchronous ---- */

static void test_requests(gconstpointer data)
{
    enum { REQUESTS = 9 };
    coll_comm *comm = *(coll_comm *const *)data;
    coll_request *requests[REQUESTS];
    void *buffers[REQUESTS];

    for (size_t k = 0; k < REQUESTS; k++) {
        buffers[k] = fill(COLL_F32, k * 30011, coll_rank(comm));
        g_assert_cmpint(coll_all_reduce_start(comm, buffers[k], buffers[k], k * 30011, COLL_F32,
                                              COLL_SUM, &requests[k]),
                        ==, COLL_OK);
    }
    g_assert_cmpint(coll_close(comm), ==, COLL_EINVAL);
    g_assert_cmpint(coll_barrier(comm), ==, COLL_OK); /* behind them in the queue */
    for (size_t k = REQUESTS; k-- > 0;) {
        g_autofree void *wanted = expect_all(COLL_F32, COLL_SUM, k * 30011, coll_size(comm));

        g_assert_cmpint(coll_test(requests[k]), ==, 1);
        g_assert_cmpint(coll_wait(requests[k]), ==, COLL_OK);
        g_assert_true(same(buffers[k], wanted, k * 30011 * 4));
        g_free(buffers[k]);
    }
}

/* coll_test alone finishes a request. */
static void test_polling(gconstpointer data)
{
    coll_comm *comm = *(coll_comm *const *)data;
    g_autofree float *x = fill(COLL_F32, 500009, coll_rank(comm));
    g_autofree void *wanted = expect_all(COLL_F32, COLL_SUM, 500009, coll_size(comm));
    coll_request *request;
    int rc;

    g_assert_cmpint(coll_all_reduce_start(comm, x, x, 500009, COLL_F32, COLL_SUM, &request), ==,
                    COLL_OK);
    while ((rc = coll_test(request)) == 0)
        g_thread_yield();
    g_assert_cmpint(rc, ==, 1);
    g_assert_cmpint(coll_wait(request), ==, COLL_OK);
    g_assert_true(same(x, wanted, 500009 * 4));
}

/* Each rank reports its pieces in an order of its own, over several steps. */
static void test_buckets(gconstpointer data)
{
    enum { COUNT = 100003, PIECE = 977 };
    coll_comm *comm = *(coll_comm *const *)data;
    g_autofree float *grad = g_new(float, COUNT);
    g_autoptr(GRand) rand = g_rand_new_with_seed((guint32)coll_rank(comm));
    coll_buckets *buckets;
    double wait_s = -1;

    g_assert_cmpint(coll_buckets_new(comm, grad, COUNT, 32768, &buckets), ==, COLL_OK);
    for (int step = 0; step < 4; step++) {
        size_t pieces = (COUNT + PIECE - 1) / PIECE;
        g_autofree size_t *order = g_new(size_t, pieces);
        double sum = 0;

        for (size_t i = 0; i < pieces; i++) {
            size_t j = (size_t)g_rand_int_range(rand, 0, (gint32)i + 1);

            order[i] = order[j];
            order[j] = i;
        }
        g_assert_cmpint(coll_buckets_begin(buckets, coll_rank(comm) + 1), ==, COLL_OK);
        for (size_t k = 0; k < pieces; k++) {
            size_t first = order[k] * PIECE, n = MIN(PIECE, COUNT - first);

            for (size_t i = first; i < first + n; i++)
                grad[i] = (float)(coll_rank(comm) * 2 + step);
            g_assert_cmpint(coll_buckets_ready(buckets, first, n), ==, COLL_OK);
        }
        g_assert_cmpint(coll_buckets_finish(buckets, &wait_s), ==, COLL_OK);
        g_assert_cmpfloat(wait_s, >=, 0);
        for (int r = 0; r < coll_size(comm); r++)
            sum += (r + 1) * (double)(r * 2 + step);
        sum /= (double)coll_size(comm) * (coll_size(comm) + 1) / 2;
        for (size_t i = 0; i < COUNT; i++)
            g_assert_cmpfloat(grad[i], ==, (float)sum);
    }
    coll_buckets_free(buckets);
}

/* ---- failures; each on a communicator of its own, which stays broken ---- */

static void check_broken(coll_comm *comm, int error)
{
    float x = 1;

    g_assert_cmpint(coll_barrier(comm), ==, error);
    g_assert_cmpint(coll_all_reduce_mean(comm, &x, 1, 1), ==, error);
    g_assert_cmpstr(coll_last_error(comm), !=, "");
    MPI_Barrier(MPI_COMM_WORLD);
    g_assert_cmpint(coll_close(comm), ==, COLL_OK);
}

static void test_mismatch(gconstpointer data)
{
    const size_t others[] = {4, 100, 100000};
    float *x = g_new0(float, 100000);

    (void)data;
    for (size_t i = 0; i < G_N_ELEMENTS(others); i++) {
        coll_comm *comm = open_comm(20000);
        size_t n = coll_rank(comm) == coll_size(comm) / 2 ? others[i] : 5;

        if (coll_size(comm) == 1) {
            coll_close(comm);
            continue;
        }
        g_assert_cmpint(coll_all_reduce(comm, x, x, n, COLL_F32, COLL_SUM), ==, COLL_EMISMATCH);
        g_assert_nonnull(strstr(coll_last_error(comm), "all-reduce: rank "));
        check_broken(comm, COLL_EMISMATCH);
    }
    g_free(x);
}

/* The last rank says nothing until the others have given it up. The buffers are left to the end of
 * the process, as coll.h asks. */
static void test_silent_peer(gconstpointer data)
{
    const size_t counts[] = {5, 100000};

    (void)data;
    for (size_t i = 0; i < G_N_ELEMENTS(counts); i++) {
        coll_comm *comm = open_comm(200);
        float *x = g_new0(float, counts[i]);

        if (coll_rank(comm) < coll_size(comm) - 1) {
            g_assert_cmpint(coll_all_reduce(comm, x, x, counts[i], COLL_F32, COLL_SUM), ==,
                            COLL_EPEER);
            g_assert_nonnull(strstr(coll_last_error(comm), "did not answer within 200 ms"));
            check_broken(comm, COLL_EPEER);
        } else {
            MPI_Barrier(MPI_COMM_WORLD);
        }
    }
}

static void test_program_mpi(gconstpointer data)
{
    int rank, size, sum = 0;

    (void)data;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    g_assert_cmpint(sum, ==, size * (size - 1) / 2);
}

static void add_tests(coll_comm **comm)
{
    const struct {
        const char *path;
        GTestDataFunc func;
    } tests[] = {
        {"facts", test_facts},
        {"path", test_path},
        {"all_reduce", test_all_reduce},
        {"reduce_scatter", test_reduce_scatter},
        {"all_gather", test_all_gather},
        {"broadcast", test_broadcast},
        {"same_bits", test_same_bits},
        {"not_a_number", test_not_a_number},
        {"mean", test_mean},
        {"mean_ignores_idle", test_mean_ignores_idle},
        {"mean_refuses_weights", test_mean_refuses_weights},
        {"mean_does_not_overflow", test_mean_does_not_overflow},
        {"requests", test_requests},
        {"polling", test_polling},
        {"buckets", test_buckets},
        {"mismatch", test_mismatch},
        {"silent_peer", test_silent_peer},
        {"program_mpi", test_program_mpi},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strdup_printf("/backend_mpi/%s", tests[i].path);

        g_test_add_data_func(path, comm, tests[i].func);
    }
}

int main(int argc, char **argv)
{
    bool program_mpi;
    int finalized = 0, result;
    coll_comm *comm;

    g_test_init(&argc, &argv, NULL);
    program_mpi = argc > 1 && strcmp(argv[1], "program-mpi") == 0;
    if (program_mpi)
        MPI_Init(NULL, NULL);
    comm = open_comm(60000);
    if (coll_rank(comm) != 0)
        g_assert_nonnull(freopen("/dev/null", "w", stdout)); /* one report is enough */
    add_tests(&comm);
    result = g_test_run();
    g_assert_cmpint(coll_close(comm), ==, COLL_OK);
    MPI_Finalized(&finalized);
    g_assert_cmpint(finalized, ==, !program_mpi);
    if (program_mpi)
        MPI_Finalize();
    return result;
}
