/* SPDX-License-Identifier: Apache-2.0 */
#include <glib.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "collectives/coll.h"

static void check_shares(const double *speed, size_t ranks, size_t total, size_t least,
                         const size_t *wanted)
{
    g_autofree size_t *shares = g_new0(size_t, ranks);

    g_assert_cmpint(coll_shares(ranks, speed, total, least, shares), ==, COLL_OK);
    for (size_t r = 0; r < ranks; r++)
        g_assert_cmpuint(shares[r], ==, wanted[r]);
}

static void test_even(void)
{
    check_shares(NULL, 3, 10, 0, (size_t[]){4, 3, 3});
    check_shares(NULL, 3, 9, 0, (size_t[]){3, 3, 3});
    check_shares(NULL, 4, 2, 0, (size_t[]){1, 1, 0, 0});
    check_shares(NULL, 1, 7, 0, (size_t[]){7});
    check_shares(NULL, 2, 0, 0, (size_t[]){0, 0});
    check_shares((double[]){5, 5, 5}, 3, 10, 0, (size_t[]){4, 3, 3});
}

/* Quotas 4.6, 3.4, 2.0: the one left over goes to the largest fraction. */
static void test_largest_remainder(void)
{
    check_shares((double[]){4.6, 3.4, 2.0}, 3, 10, 0, (size_t[]){5, 3, 2});
    check_shares((double[]){3.4, 4.6, 2.0}, 3, 10, 0, (size_t[]){3, 5, 2});
    check_shares((double[]){1, 2}, 2, 9, 0, (size_t[]){3, 6});
    check_shares((double[]){1, 4}, 2, 10, 0, (size_t[]){2, 8});
}

/* Whoever would fall below `least` gets it; the rest is shared among the others by their speed. */
static void test_least(void)
{
    check_shares((double[]){1, 10, 10}, 3, 42, 6, (size_t[]){6, 18, 18});
    check_shares((double[]){1, 1000}, 2, 8, 1, (size_t[]){1, 7});
    /* raising the first lowers the second below, too */
    check_shares((double[]){1, 5, 14}, 3, 20, 5, (size_t[]){5, 5, 10});
    check_shares((double[]){9, 1, 1}, 3, 6, 2, (size_t[]){2, 2, 2});
}

static void test_extremes(void)
{
    check_shares((double[]){1.7e308, 1.7e308}, 2, 8, 0, (size_t[]){4, 4});
    check_shares((double[]){4.9e-324, 1.7e308}, 2, 8, 1, (size_t[]){1, 7});
    check_shares((double[]){1, 1}, 2, (size_t)1 << 53, 0,
                 (size_t[]){(size_t)1 << 52, (size_t)1 << 52});
}

static void test_refuses(void)
{
    size_t shares[2] = {77, 77};

    g_assert_cmpint(coll_shares(0, NULL, 1, 0, shares), ==, COLL_EINVAL);
    g_assert_cmpint(coll_shares(2, NULL, 1, 1, shares), ==, COLL_EINVAL);
    g_assert_cmpint(coll_shares(2, NULL, 1, SIZE_MAX, shares), ==, COLL_EINVAL);
    g_assert_cmpint(coll_shares(2, NULL, ((size_t)1 << 53) + 1, 0, shares), ==, COLL_EINVAL);
    g_assert_cmpint(coll_shares(2, (double[]){1, 0}, 8, 0, shares), ==, COLL_EINVAL);
    g_assert_cmpint(coll_shares(2, (double[]){1, -1}, 8, 0, shares), ==, COLL_EINVAL);
    g_assert_cmpint(coll_shares(2, (double[]){1, NAN}, 8, 0, shares), ==, COLL_EINVAL);
    g_assert_cmpint(coll_shares(2, (double[]){1, INFINITY}, 8, 0, shares), ==, COLL_EINVAL);
    g_assert_cmpint(coll_shares(2, NULL, 8, 0, NULL), ==, COLL_EINVAL);
    g_assert_cmpuint(shares[0], ==, 77);
    g_assert_cmpuint(shares[1], ==, 77);
}

/* Sums to the total, keeps `least`, and nobody above it is a whole sample or more off its quota. */
static void check_random(GRand *rand)
{
    size_t ranks = (size_t)g_rand_int_range(rand, 1, 17), given = 0, open_total;
    size_t least = (size_t)g_rand_int_range(rand, 0, 5);
    size_t total = ranks * least + (size_t)g_rand_int_range(rand, 0, 100000);
    g_autofree double *speed = g_new(double, ranks);
    g_autofree size_t *shares = g_new(size_t, ranks);
    double sum = 0;

    for (size_t r = 0; r < ranks; r++)
        speed[r] = exp(g_rand_double_range(rand, -12, 12));
    g_assert_cmpint(coll_shares(ranks, speed, total, least, shares), ==, COLL_OK);
    open_total = total;
    for (size_t r = 0; r < ranks; r++) {
        g_assert_cmpuint(shares[r], >=, least);
        given += shares[r];
        if (shares[r] == least)
            open_total -= least;
        else
            sum += speed[r];
    }
    g_assert_cmpuint(given, ==, total);
    for (size_t r = 0; r < ranks; r++)
        if (shares[r] > least + 1)
            g_assert_cmpfloat(fabs((double)shares[r] - (double)open_total * speed[r] / sum), <,
                              1.0 + (double)ranks);
}

static void test_random(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed((guint32)g_test_rand_int());

    for (int i = 0; i < 20000; i++)
        check_random(rand);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/shares/even", test_even);
    g_test_add_func("/shares/largest_remainder", test_largest_remainder);
    g_test_add_func("/shares/least", test_least);
    g_test_add_func("/shares/extremes", test_extremes);
    g_test_add_func("/shares/refuses", test_refuses);
    g_test_add_func("/shares/random", test_random);
    return g_test_run();
}
