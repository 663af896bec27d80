/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/reduce.h"

#include <float.h>
#include <glib.h>
#include <math.h>
#include <string.h>

static CollReduction reduction_of(coll_type type, coll_op op)
{
    const CollCall call = {.kind = COLL_CALL_ALL_REDUCE, .type = type, .op = op};

    return coll_reduction_from_call(&call);
}

static void next(coll_type type, coll_op op, void *partial, const void *data, size_t n)
{
    CollReduction reduction = reduction_of(type, op);

    coll_reduce_next(&reduction, partial, partial, (CollPart){data, 0}, n);
    coll_reduce_last(&reduction, partial, n);
}

static void test_integers(void)
{
    uint8_t u8[3] = {250, 3, 7};
    int32_t i32[2] = {G_MAXINT32, -5};
    int64_t i64[2] = {G_MININT64, 9};

    next(COLL_U8, COLL_SUM, u8, (uint8_t[]){10, 4, 7}, 3);
    g_assert_true(memcmp(u8, ((uint8_t[]){4, 7, 14}), 3) == 0); /* wraps around */
    next(COLL_U8, COLL_MIN, u8, (uint8_t[]){200, 2, 14}, 3);
    g_assert_true(memcmp(u8, ((uint8_t[]){4, 2, 14}), 3) == 0);
    next(COLL_I32, COLL_SUM, i32, (int32_t[]){1, -5}, 2);
    g_assert_cmpint(i32[0], ==, G_MININT32);
    g_assert_cmpint(i32[1], ==, -10);
    next(COLL_I32, COLL_MAX, i32, (int32_t[]){-1, -11}, 2);
    g_assert_cmpint(i32[0], ==, -1);
    g_assert_cmpint(i32[1], ==, -10);
    next(COLL_I64, COLL_SUM, i64, (int64_t[]){-1, 1}, 2);
    g_assert_cmpint(i64[0], ==, G_MAXINT64);
    g_assert_cmpint(i64[1], ==, 10);
}

static void check_nan(coll_op op, double a, double b)
{
    float f32 = (float)a, f32_other = (float)b;
    double f64 = a;

    next(COLL_F32, op, &f32, &f32_other, 1);
    next(COLL_F64, op, &f64, &b, 1);
    g_assert_true(isnan(f32));
    g_assert_true(isnan(f64));
}

static void test_nan_wins(void)
{
    for (int op = COLL_SUM; op <= COLL_MAX; op++) {
        check_nan((coll_op)op, NAN, 1);
        check_nan((coll_op)op, 1, NAN);
        check_nan((coll_op)op, NAN, NAN);
        check_nan((coll_op)op, INFINITY, NAN);
    }
    check_nan(COLL_SUM, INFINITY, -INFINITY);
}

static void test_mean(void)
{
    CollReduction reduction = reduction_of(COLL_F32, COLL_SUM);
    const float a[2] = {2, FLT_MAX}, b[2] = {5, FLT_MAX};
    const double weights[2] = {1, 3};
    double factors[2];
    float sum[2];

    reduction.mean = true;
    g_assert_cmpint(coll_reduction_set_weights(&reduction, weights, 2, factors), ==, -1);
    coll_reduce_first(&reduction, sum, (CollPart){a, factors[0]}, 2);
    coll_reduce_next(&reduction, sum, sum, (CollPart){b, factors[1]}, 2);
    coll_reduce_last(&reduction, sum, 2);
    g_assert_cmpfloat(sum[0], ==, 4.25f);
    g_assert_cmpfloat(sum[1], ==, FLT_MAX);
}

/* A rank without samples may have anything in its buffer, even none. */
static void test_weight_zero_is_not_read(void)
{
    CollReduction reduction = reduction_of(COLL_F32, COLL_SUM);
    float sum[2] = {1, 2}, copy[2] = {0, 0};

    reduction.mean = true;
    coll_reduce_next(&reduction, copy, sum, (CollPart){NULL, 0}, 2);
    g_assert_true(memcmp(copy, sum, sizeof copy) == 0);
    coll_reduce_first(&reduction, sum, (CollPart){NULL, 0}, 2);
    g_assert_cmpfloat(sum[0], ==, 0);
    g_assert_cmpfloat(sum[1], ==, 0);
}

static int try_weights(double a, double b, double c)
{
    CollReduction reduction = reduction_of(COLL_F32, COLL_SUM);
    const double weights[3] = {a, b, c};
    double factors[3];

    return coll_reduction_set_weights(&reduction, weights, 3, factors);
}

static void test_weights(void)
{
    g_assert_cmpint(try_weights(0, 0, 1), ==, -1);
    g_assert_cmpint(try_weights(0, 0, 0), ==, 3);
    g_assert_cmpint(try_weights(1, -1, 1), ==, 1);
    g_assert_cmpint(try_weights(NAN, 1, 1), ==, 0);
    g_assert_cmpint(try_weights(1, 1, INFINITY), ==, 2);
    g_assert_cmpint(try_weights(1.7e308, 1.7e308, 1.7e308), ==, -1);
    g_assert_cmpint(try_weights(4.9e-324, 0, 4.9e-324), ==, -1);
}

/* Factors are weights over one power of two, and the divisor their sum, in [0.5, 1). */
static void test_factors(void)
{
    CollReduction reduction = reduction_of(COLL_F32, COLL_SUM);
    double weights[3] = {5, 16777215, 12}, factors[3];

    g_assert_cmpint(coll_reduction_set_weights(&reduction, weights, 3, factors), ==, -1);
    g_assert_cmpfloat(factors[0] * 33554432, ==, 5);
    g_assert_cmpfloat(factors[1] * 33554432, ==, 16777215);
    g_assert_cmpfloat(factors[2] * 33554432, ==, 12);
    g_assert_cmpfloat(reduction.divisor, ==, (float)(16777232.0 / 33554432));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/reduce/integers", test_integers);
    g_test_add_func("/reduce/nan_wins", test_nan_wins);
    g_test_add_func("/reduce/mean", test_mean);
    g_test_add_func("/reduce/weight_zero_is_not_read", test_weight_zero_is_not_read);
    g_test_add_func("/reduce/weights", test_weights);
    g_test_add_func("/reduce/factors", test_factors);
    return g_test_run();
}
