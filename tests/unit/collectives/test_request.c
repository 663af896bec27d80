/* SPDX-License-Identifier: Apache-2.0
 *
 * The queue over a backend made for it, whose calls end when the test says so.
 */
#include <glib.h>
#include <stdatomic.h>
#include <string.h>

#include "collectives/backend.h"

/* A call moves once per unit of `fuel`, and ends with `result` after `length` moves. */
typedef struct {
    atomic_int fuel;
    atomic_int looks;
    int length;
    int moved;
    int result;
    char log[64]; /* first byte of the send buffer of each call that ended */
    GThread *advanced_by;
} Fake;

static int fake_advance(coll_comm *comm, coll_request *request)
{
    Fake *fake = comm->state;

    fake->advanced_by = g_thread_self();
    atomic_fetch_add(&fake->looks, 1);
    if (atomic_load(&fake->fuel) == 0)
        return COLL_ADVANCE_IDLE;
    atomic_fetch_sub(&fake->fuel, 1);
    if (++fake->moved < fake->length)
        return COLL_ADVANCE_MOVED;
    fake->moved = 0;
    strncat(fake->log, request->call.send, 1);
    if (fake->result != COLL_OK)
        return coll_words_set(request->words, fake->result, "the fake says %d", fake->result);
    return COLL_ADVANCE_DONE;
}

static int fake_peer(const coll_comm *comm)
{
    return comm->size - 1;
}

static void fake_close(coll_comm *comm)
{
    (void)comm;
}

static const CollBackend fake_backend = {
    .name = "fake", .close = fake_close, .advance = fake_advance, .peer = fake_peer};

static coll_comm *fake_open(Fake *fake, int length, bool background)
{
    coll_comm *comm = g_malloc0(sizeof *comm);

    *fake = (Fake){.length = length};
    comm->backend = &fake_backend;
    comm->state = fake;
    comm->size = 4;
    comm->background = background;
    g_assert_cmpint(coll_request_open(comm), ==, COLL_OK);
    return comm;
}

static coll_request *start(coll_comm *comm, const char *name)
{
    const CollCall call = {.kind = COLL_CALL_ALL_REDUCE, .send = name};
    coll_request *request = NULL;

    g_assert_cmpint(coll_request_start(comm, &call, &request), ==, COLL_OK);
    return request;
}

static void test_order(void)
{
    Fake fake;
    coll_comm *comm = fake_open(&fake, 3, false);
    coll_request *a = start(comm, "a"), *b = start(comm, "b"), *c = start(comm, "c");
    const CollCall call = {.send = "d"};

    g_assert_cmpint(coll_test(c), ==, 0);
    atomic_store(&fake.fuel, 5);
    g_assert_cmpint(coll_test(b), ==, 0); /* two thirds of b */
    g_assert_cmpint(coll_test(a), ==, 1);
    atomic_store(&fake.fuel, 100);
    g_assert_cmpint(coll_request_run(comm, &call), ==, COLL_OK); /* after all of them */
    g_assert_cmpstr(fake.log, ==, "abcd");
    g_assert_cmpint(coll_test(c), ==, 1);
    g_assert_cmpint(coll_wait(c), ==, COLL_OK);
    g_assert_cmpint(coll_wait(a), ==, COLL_OK);
    g_assert_cmpint(coll_close(comm), ==, COLL_EINVAL);
    g_assert_cmpint(coll_wait(b), ==, COLL_OK);
    g_assert_cmpint(coll_close(comm), ==, COLL_OK);
}

/* Nobody tests, nobody waits: the library's thread carries the call through. */
static void test_background(void)
{
    Fake fake;
    coll_comm *comm = fake_open(&fake, 1000, true);
    coll_request *request = start(comm, "a");
    gint64 deadline = g_get_monotonic_time() + 30 * G_TIME_SPAN_SECOND;

    atomic_store(&fake.fuel, 1000);
    while (atomic_load(&fake.fuel) > 0 && g_get_monotonic_time() < deadline)
        g_thread_yield();
    g_assert_cmpint(coll_test(request), ==, 1);
    g_assert_true(fake.advanced_by != g_thread_self());
    g_assert_cmpint(coll_wait(request), ==, COLL_OK);
    g_assert_cmpint(coll_close(comm), ==, COLL_OK);
}

/* Who waits advances: a blocking call starts no thread, which would only compete for the core. */
static void test_blocking_needs_no_thread(void)
{
    Fake fake;
    coll_comm *comm = fake_open(&fake, 1, true);
    float x = 0;

    comm->timeout_ms = 5; /* looks in vain for as long */
    g_assert_cmpint(coll_all_reduce(comm, &x, &x, 1, COLL_F32, COLL_SUM), ==, COLL_EPEER);
    g_assert_false(comm->thread_started);
    g_assert_true(fake.advanced_by == g_thread_self());
    g_assert_cmpint(coll_close(comm), ==, COLL_OK);
}

/* The thread does not spin where nothing moves: twenty looks take it at least ten of its naps. */
static void test_background_sleeps(void)
{
    Fake fake;
    coll_comm *comm = fake_open(&fake, 1, true);
    coll_request *request = start(comm, "a");
    gint64 started = g_get_monotonic_time();

    while (atomic_load(&fake.looks) < 20)
        g_thread_yield();
    g_assert_cmpint(g_get_monotonic_time() - started, >=, 10 * 500);
    atomic_store(&fake.fuel, 1);
    g_assert_cmpint(coll_wait(request), ==, COLL_OK);
    g_assert_cmpint(coll_close(comm), ==, COLL_OK);
}

static void test_refusal_breaks_nothing(void)
{
    Fake fake;
    coll_comm *comm = fake_open(&fake, 1, false);
    coll_request *a = start(comm, "a"), *b = start(comm, "b");

    fake.result = COLL_EINVAL;
    atomic_store(&fake.fuel, 1);
    g_assert_cmpint(coll_test(a), ==, COLL_EINVAL);
    fake.result = COLL_OK;
    atomic_store(&fake.fuel, 1);
    g_assert_cmpint(coll_wait(b), ==, COLL_OK);
    g_assert_cmpstr(coll_last_error(comm), ==, "");
    g_assert_cmpint(coll_wait(a), ==, COLL_EINVAL);
    g_assert_cmpstr(coll_last_error(comm), ==, "the fake says -1");
    g_assert_cmpint(coll_close(comm), ==, COLL_OK);
}

static void test_failure_breaks_all(void)
{
    Fake fake;
    coll_comm *comm = fake_open(&fake, 1, false);
    coll_request *a = start(comm, "a"), *b = start(comm, "b"), *none = NULL;
    const CollCall call = {.send = "c"};

    fake.result = COLL_EBACKEND;
    atomic_store(&fake.fuel, 100);
    g_assert_cmpint(coll_wait(b), ==, COLL_EBACKEND);
    g_assert_cmpstr(fake.log, ==, "a"); /* b never ran */
    g_assert_cmpint(coll_wait(a), ==, COLL_EBACKEND);
    g_assert_cmpstr(coll_last_error(comm), ==, "the fake says -3");
    g_assert_cmpint(coll_request_run(comm, &call), ==, COLL_EBACKEND);
    g_assert_cmpint(coll_request_start(comm, &call, &none), ==, COLL_EBACKEND);
    g_assert_null(none);
    g_assert_cmpstr(coll_last_error(comm), ==, "the fake says -3");
    g_assert_cmpint(coll_close(comm), ==, COLL_OK);
}

static void test_silence(void)
{
    Fake fake;
    coll_comm *comm = fake_open(&fake, 1, false);
    const CollCall call = {.kind = COLL_CALL_MEAN, .send = "a"};

    comm->timeout_ms = 60;
    g_assert_cmpint(coll_request_run(comm, &call), ==, COLL_EPEER);
    g_assert_cmpstr(coll_last_error(comm), ==, "mean: rank 3 did not answer within 60 ms");
    g_assert_cmpint(comm->broken, ==, COLL_EPEER);
    g_assert_cmpint(coll_close(comm), ==, COLL_OK);
}

/* A program that computed for hours between two looks must not blame its peers for it. */
static void test_silence_needs_looks(void)
{
    Fake fake;
    coll_comm *comm = fake_open(&fake, 1, false);
    coll_request *request = start(comm, "a");

    comm->timeout_ms = 1000;
    g_assert_cmpint(coll_test(request), ==, 0);
    comm->polled_ns -= (int64_t)3600 * 1000000000;
    g_assert_cmpint(coll_test(request), ==, 0);
    atomic_store(&fake.fuel, 1);
    g_assert_cmpint(coll_wait(request), ==, COLL_OK);
    g_assert_cmpint(coll_close(comm), ==, COLL_OK);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/request/order", test_order);
    g_test_add_func("/request/background", test_background);
    g_test_add_func("/request/blocking_needs_no_thread", test_blocking_needs_no_thread);
    g_test_add_func("/request/background_sleeps", test_background_sleeps);
    g_test_add_func("/request/refusal_breaks_nothing", test_refusal_breaks_nothing);
    g_test_add_func("/request/failure_breaks_all", test_failure_breaks_all);
    g_test_add_func("/request/silence", test_silence);
    g_test_add_func("/request/silence_needs_looks", test_silence_needs_looks);
    return g_test_run();
}
