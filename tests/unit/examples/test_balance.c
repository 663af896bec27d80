/* SPDX-License-Identifier: Apache-2.0 */
#include "balance.h"

#include <glib.h>

static Balance *balance_make(size_t ranks, size_t batch, bool follow)
{
    Balance *balance = NULL;
    Fault fault = {0};

    g_assert_cmpint(balance_new(ranks, batch, follow, &balance, &fault), ==, 0);
    return balance;
}

static void assert_whole(const Balance *balance, size_t ranks, size_t batch)
{
    size_t sum = 0;

    for (size_t i = 0; i < ranks; i++) {
        g_assert_cmpuint(balance_get_first(balance, i), ==, sum);
        sum += balance_get_share(balance, i);
    }
    g_assert_cmpuint(sum, ==, batch);
}

/* A step on ranks of these speeds, in sequences a second, with up to `noise` of error. */
static bool step(Balance *balance, size_t ranks, const double *speed, double noise)
{
    double seconds[8];

    for (size_t i = 0; i < ranks; i++)
        seconds[i] = (double)balance_get_share(balance, i) / speed[i] *
                     g_test_rand_double_range(1 - noise, 1 + noise + 1e-9);
    return balance_update(balance, seconds);
}

static void test_even_stays_even(void)
{
    const double speed[] = {1, 9, 1};
    Balance *balance = balance_make(3, 8, false);

    for (int i = 0; i < 50; i++)
        g_assert_false(step(balance, 3, speed, 0));
    g_assert_cmpuint(balance_get_share(balance, 0), ==, 3);
    g_assert_cmpuint(balance_get_share(balance, 1), ==, 3);
    g_assert_cmpuint(balance_get_share(balance, 2), ==, 2);
    balance_free(balance);
    balance_free(NULL);
}

static void test_follows_speed(void)
{
    const double speed[] = {10, 30};
    Balance *balance = balance_make(2, 32, true);
    int steps = 0;

    while (balance_get_share(balance, 0) != 8 && steps < 20) {
        step(balance, 2, speed, 0);
        assert_whole(balance, 2, 32);
        steps++;
    }
    g_assert_cmpint(steps, <=, 4);
    for (int i = 0; i < 100; i++) /* and there it stays */
        g_assert_false(step(balance, 2, speed, 0.02));
    balance_free(balance);
}

static void test_noise_moves_nothing(void)
{
    const double speed[] = {10, 10, 10, 10};
    Balance *balance = balance_make(4, 16, true);

    for (int i = 0; i < 500; i++)
        g_assert_false(step(balance, 4, speed, 0.1));
    balance_free(balance);
}

/* A rank that becomes four times slower loses share within a few steps, and gets it back. */
static void test_slowdown(void)
{
    double speed[] = {10, 10};
    Balance *balance = balance_make(2, 20, true);

    for (int i = 0; i < 10; i++)
        step(balance, 2, speed, 0.02);
    g_assert_cmpuint(balance_get_share(balance, 1), ==, 10);
    speed[1] = 2.5;
    for (int i = 0; i < 10; i++)
        step(balance, 2, speed, 0.02);
    g_assert_cmpuint(balance_get_share(balance, 1), <=, 5);
    g_assert_cmpuint(balance_get_share(balance, 1), >=, 3);
    speed[1] = 10;
    for (int i = 0; i < 20; i++)
        step(balance, 2, speed, 0.02);
    g_assert_cmpuint(balance_get_share(balance, 1), >=, 9);
    balance_free(balance);
}

static void test_odd_measurements(void)
{
    const double bad[][2] = {{0, 1}, {-1, 1}, {1, 0.0 / 1}, {__builtin_nan(""), 1}};
    const double extreme[] = {1e9, 1e-9};
    Balance *balance = balance_make(2, 8, true);

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
        g_assert_false(balance_update(balance, bad[i]));
    for (int i = 0; i < 20; i++) {
        step(balance, 2, extreme, 0);
        assert_whole(balance, 2, 8);
        g_assert_cmpuint(balance_get_share(balance, 1), >=, 1); /* still measured */
    }
    balance_free(balance);
    balance = balance_make(5, 3, true); /* fewer sequences than ranks */
    assert_whole(balance, 5, 3);
    g_assert_cmpuint(balance_get_share(balance, 4), ==, 0);
    balance_free(balance);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/gpt/balance/even_stays_even", test_even_stays_even);
    g_test_add_func("/gpt/balance/follows_speed", test_follows_speed);
    g_test_add_func("/gpt/balance/noise_moves_nothing", test_noise_moves_nothing);
    g_test_add_func("/gpt/balance/slowdown", test_slowdown);
    g_test_add_func("/gpt/balance/odd_measurements", test_odd_measurements);
    return g_test_run();
}
