/* SPDX-License-Identifier: Apache-2.0
 *
 * Book-keeping of buckets, with one rank. That ranks agree on their order is in test_backend_mpi.c.
 */
#include <glib.h>
#include <string.h>

#include "collectives/coll.h"

typedef struct {
    coll_comm *comm;
    coll_buckets *buckets;
    float *data;
} Fixture;

static void fixture_init(Fixture *fixture, size_t count, size_t bucket_bytes)
{
    const coll_options options = {.backend = "single"};

    fixture->data = g_new0(float, count + 1);
    g_assert_cmpint(coll_init(&options, &fixture->comm), ==, COLL_OK);
    g_assert_cmpint(
        coll_buckets_new(fixture->comm, fixture->data, count, bucket_bytes, &fixture->buckets), ==,
        COLL_OK);
}

static void fixture_clear(Fixture *fixture)
{
    coll_buckets_free(fixture->buckets);
    g_assert_cmpint(coll_close(fixture->comm), ==, COLL_OK);
    g_free(fixture->data);
}

static void check_refused(Fixture *fixture, int rc, const char *words)
{
    g_assert_cmpint(rc, ==, COLL_EINVAL);
    g_assert_cmpstr(coll_last_error(fixture->comm), ==, words);
}

static void test_states(void)
{
    Fixture f;

    fixture_init(&f, 10, 0);
    check_refused(&f, coll_buckets_ready(f.buckets, 0, 1), "buckets: ready before begin");
    check_refused(&f, coll_buckets_finish(f.buckets, NULL), "buckets: finish before begin");
    g_assert_cmpint(coll_buckets_begin(f.buckets, 1), ==, COLL_OK);
    check_refused(&f, coll_buckets_begin(f.buckets, 1),
                  "buckets: begin before the finish of the step before");
    g_assert_cmpint(coll_buckets_ready(f.buckets, 0, 10), ==, COLL_OK);
    g_assert_cmpint(coll_buckets_finish(f.buckets, NULL), ==, COLL_OK);
    check_refused(&f, coll_buckets_finish(f.buckets, NULL), "buckets: finish before begin");
    fixture_clear(&f);
    coll_buckets_free(NULL);
}

static void test_each_element_once(void)
{
    Fixture f;

    fixture_init(&f, 5000, 4096);
    g_assert_cmpint(coll_buckets_begin(f.buckets, 1), ==, COLL_OK);
    g_assert_cmpint(coll_buckets_ready(f.buckets, 1000, 100), ==, COLL_OK);
    g_assert_cmpint(coll_buckets_ready(f.buckets, 3000, 0), ==, COLL_OK);
    check_refused(&f, coll_buckets_ready(f.buckets, 1000, 100),
                  "buckets: elements in 1000..1099 were reported before");
    check_refused(&f, coll_buckets_ready(f.buckets, 1099, 1),
                  "buckets: elements in 1099..1099 were reported before");
    check_refused(&f, coll_buckets_ready(f.buckets, 0, 5000),
                  "buckets: elements in 0..4999 were reported before");
    check_refused(&f, coll_buckets_ready(f.buckets, 4000, 1001),
                  "buckets: 1001 elements at 4000 of 5000");
    g_assert_cmpint(coll_buckets_ready(f.buckets, G_MAXSIZE, 2), ==, COLL_EINVAL);
    g_assert_cmpint(coll_buckets_ready(f.buckets, 0, 1000), ==, COLL_OK);
    check_refused(&f, coll_buckets_finish(f.buckets, NULL),
                  "buckets: element 1100 was not reported");
    g_assert_cmpint(coll_buckets_ready(f.buckets, 1100, 3900), ==, COLL_OK);
    g_assert_cmpint(coll_buckets_finish(f.buckets, NULL), ==, COLL_OK);
    fixture_clear(&f);
}

/* Every order and size of pieces, against a table of what was reported. */
static void test_random_pieces(void)
{
    enum { COUNT = 9001 };
    g_autoptr(GRand) rand = g_rand_new_with_seed((guint32)g_test_rand_int());
    Fixture f;

    fixture_init(&f, COUNT, 4096);
    for (int step = 0; step < 20; step++) {
        g_autofree char *seen = g_malloc0(COUNT);
        size_t left = COUNT;

        g_assert_cmpint(coll_buckets_begin(f.buckets, 1), ==, COLL_OK);
        while (left > 0) {
            size_t first = (size_t)g_rand_int_range(rand, 0, COUNT), end = first;
            size_t most = (size_t)g_rand_int_range(rand, 1, 900);

            while (end < COUNT && end - first < most && !seen[end])
                end++;
            if (end < COUNT && end - first < most)
                g_assert_cmpint(coll_buckets_ready(f.buckets, first, end - first + 1), ==,
                                COLL_EINVAL);
            g_assert_cmpint(coll_buckets_ready(f.buckets, first, end - first), ==, COLL_OK);
            memset(seen + first, 1, end - first);
            left -= end - first;
            if (left > 0)
                g_assert_cmpint(coll_buckets_finish(f.buckets, NULL), ==, COLL_EINVAL);
        }
        g_assert_cmpint(coll_buckets_finish(f.buckets, NULL), ==, COLL_OK);
    }
    fixture_clear(&f);
}

static void test_empty(void)
{
    Fixture f;

    fixture_init(&f, 0, 0);
    for (int step = 0; step < 2; step++) {
        g_assert_cmpint(coll_buckets_begin(f.buckets, 1), ==, COLL_OK);
        g_assert_cmpint(coll_buckets_ready(f.buckets, 0, 0), ==, COLL_OK);
        check_refused(&f, coll_buckets_ready(f.buckets, 0, 1), "buckets: 1 elements at 0 of 0");
        g_assert_cmpint(coll_buckets_finish(f.buckets, NULL), ==, COLL_OK);
    }
    fixture_clear(&f);
}

static void test_bad_weight(void)
{
    Fixture f;

    fixture_init(&f, 4, 0);
    f.data[0] = 5;
    g_assert_cmpint(coll_buckets_begin(f.buckets, -1), ==, COLL_OK);
    g_assert_cmpint(coll_buckets_ready(f.buckets, 0, 4), ==, COLL_OK);
    g_assert_cmpint(coll_buckets_finish(f.buckets, NULL), ==, COLL_EINVAL);
    g_assert_nonnull(strstr(coll_last_error(f.comm), "weight"));
    g_assert_cmpfloat(f.data[0], ==, 5);
    g_assert_cmpint(coll_buckets_begin(f.buckets, 1), ==, COLL_OK); /* the next step is a new one */
    g_assert_cmpint(coll_buckets_ready(f.buckets, 0, 4), ==, COLL_OK);
    g_assert_cmpint(coll_buckets_finish(f.buckets, NULL), ==, COLL_OK);
    fixture_clear(&f);
}

static void test_refuses_to_make(void)
{
    Fixture f;
    coll_buckets *none = NULL;
    float x = 0;

    fixture_init(&f, 1, 0);
    g_assert_cmpint(coll_buckets_new(NULL, &x, 1, 0, &none), ==, COLL_EINVAL);
    g_assert_cmpint(coll_buckets_new(f.comm, NULL, 1, 0, &none), ==, COLL_EINVAL);
    g_assert_cmpint(coll_buckets_new(f.comm, &x, G_MAXSIZE, 0, &none), ==, COLL_EINVAL);
    g_assert_cmpint(coll_buckets_new(f.comm, &x, 1, 0, NULL), ==, COLL_EINVAL);
    g_assert_null(none);
    fixture_clear(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/buckets/states", test_states);
    g_test_add_func("/buckets/each_element_once", test_each_element_once);
    g_test_add_func("/buckets/random_pieces", test_random_pieces);
    g_test_add_func("/buckets/empty", test_empty);
    g_test_add_func("/buckets/bad_weight", test_bad_weight);
    g_test_add_func("/buckets/refuses_to_make", test_refuses_to_make);
    return g_test_run();
}
