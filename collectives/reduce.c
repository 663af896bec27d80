/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/reduce.h"

#include <math.h>
#include <string.h>

/* Sums wrap around in the unsigned type of the same width. NaN: `a < b` is false when either is
 * NaN, so b is taken, and `a != a` takes a: the result is NaN when one of them is. */
#define REDUCE_KERNELS(name, T, U)                                                         \
    static void name##_sum(T *dst, const T *a, const T *b, size_t n)                       \
    {                                                                                      \
        for (size_t i = 0; i < n; i++)                                                     \
            dst[i] = (T)((U)a[i] + (U)b[i]);                                               \
    }                                                                                      \
    static void name##_min(T *dst, const T *a, const T *b, size_t n)                       \
    {                                                                                      \
        for (size_t i = 0; i < n; i++)                                                     \
            dst[i] = a[i] < b[i] || a[i] != a[i] ? a[i] : b[i];                            \
    }                                                                                      \
    static void name##_max(T *dst, const T *a, const T *b, size_t n)                       \
    {                                                                                      \
        for (size_t i = 0; i < n; i++)                                                     \
            dst[i] = a[i] > b[i] || a[i] != a[i] ? a[i] : b[i];                            \
    }                                                                                      \
    static void name##_next(coll_op op, void *dst, const void *a, const void *b, size_t n) \
    {                                                                                      \
        switch (op) {                                                                      \
        case COLL_SUM:                                                                     \
            name##_sum(dst, a, b, n);                                                      \
            break;                                                                         \
        case COLL_MIN:                                                                     \
            name##_min(dst, a, b, n);                                                      \
            break;                                                                         \
        case COLL_MAX:                                                                     \
            name##_max(dst, a, b, n);                                                      \
            break;                                                                         \
        }                                                                                  \
    }

REDUCE_KERNELS(u8, uint8_t, uint8_t)
REDUCE_KERNELS(i32, int32_t, uint32_t)
REDUCE_KERNELS(i64, int64_t, uint64_t)
REDUCE_KERNELS(f32, float, float)
REDUCE_KERNELS(f64, double, double)

static void mean_first(float *dst, const float *src, float factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = factor * src[i];
}

static void mean_next(float *dst, const float *partial, const float *src, float factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = partial[i] + factor * src[i];
}

static void mean_last(float *dst, float divisor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] /= divisor;
}

CollReduction coll_reduction_from_call(const CollCall *call)
{
    return (CollReduction){
        .type = call->type, .op = call->op, .mean = call->kind == COLL_CALL_MEAN, .divisor = 1};
}

int coll_reduction_set_weights(CollReduction *reduction, const double *weights, int size,
                               double *factors)
{
    double greatest = 0, sum = 0, rest;
    int exponent, sum_exponent;

    for (int r = 0; r < size; r++) {
        if (!(weights[r] >= 0) || !isfinite(weights[r]))
            return r;
        greatest = weights[r] > greatest ? weights[r] : greatest;
    }
    if (greatest <= 0)
        return size;
    frexp(greatest, &exponent);
    for (int r = 0; r < size; r++)
        sum += ldexp(weights[r], -exponent);
    rest = frexp(sum, &sum_exponent);
    for (int r = 0; r < size; r++)
        factors[r] = ldexp(weights[r], -(exponent + sum_exponent));
    reduction->divisor = (float)rest;
    return -1;
}

void coll_reduce_first(const CollReduction *reduction, void *dst, CollPart part, size_t n)
{
    size_t bytes = n * coll_type_size(reduction->type);

    if (reduction->mean && part.factor == 0)
        memset(dst, 0, bytes);
    else if (reduction->mean)
        mean_first(dst, part.data, (float)part.factor, n);
    else if (bytes > 0 && dst != part.data)
        memcpy(dst, part.data, bytes);
}

void coll_reduce_next(const CollReduction *reduction, void *dst, const void *partial, CollPart part,
                      size_t n)
{
    if (reduction->mean && part.factor == 0) {
        if (dst != partial)
            memcpy(dst, partial, n * sizeof(float));
        return;
    }
    if (reduction->mean) {
        mean_next(dst, partial, part.data, (float)part.factor, n);
        return;
    }
    switch (reduction->type) {
    case COLL_U8:
        u8_next(reduction->op, dst, partial, part.data, n);
        break;
    case COLL_I32:
        i32_next(reduction->op, dst, partial, part.data, n);
        break;
    case COLL_I64:
        i64_next(reduction->op, dst, partial, part.data, n);
        break;
    case COLL_F32:
        f32_next(reduction->op, dst, partial, part.data, n);
        break;
    case COLL_F64:
        f64_next(reduction->op, dst, partial, part.data, n);
        break;
    }
}

void coll_reduce_last(const CollReduction *reduction, void *dst, size_t n)
{
    if (reduction->mean && reduction->divisor != 1)
        mean_last(dst, reduction->divisor, n);
}
