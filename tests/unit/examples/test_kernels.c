/* SPDX-License-Identifier: Apache-2.0
 *
 * Every instruction set's kernels that this CPU runs, against the formulas in double precision.
 */
#include "kernels.h"

#include <float.h>
#include <glib.h>
#include <math.h>

#define COUNT 1037 /* divides no vector width */

static void each_kernels(void (*check)(const Kernels *kernels))
{
    check(&kernels_baseline);
#ifdef KERNELS_X86_64
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        check(&kernels_x86_64_v3);
    if (kernels_select() == &kernels_x86_64_v4)
        check(&kernels_x86_64_v4);
    else
        g_test_message("no AVX-512 here: that table is not checked");
#endif
}

static void fill(float *data, size_t count, double least, double most)
{
    for (size_t i = 0; i < count; i++)
        data[i] = (float)g_test_rand_double_range(least, most);
}

static double gelu(double x)
{
    return 0.5 * x * (1 + tanh(sqrt(2 / G_PI) * (x + 0.044715 * x * x * x)));
}

static double gelu_slope(double x)
{
    return (gelu(x + 1e-5) - gelu(x - 1e-5)) / 2e-5;
}

static void check_exp(const Kernels *kernels)
{
    static const float edges[] = {0.0F, -0.0F, 1e-30F, -87.0F, 88.0F, 0.34657F, -0.34658F};
    float x[200], y[200];
    double worst = 0;

    for (int round = 0; round < 500; round++) {
        fill(x, 200, -87, 88);
        for (size_t i = 0; i < G_N_ELEMENTS(edges); i++)
            x[i] = edges[i];
        kernels->exp_row(y, x, 200);
        for (size_t i = 0; i < 200; i++)
            worst = fmax(worst, fabs(y[i] / exp((double)x[i]) - 1));
    }
    g_test_message("%s: exp is off by %.3g at most", kernels->name, worst);
    g_assert_cmpfloat(worst, <, 2e-7);
    x[0] = -INFINITY;
    x[1] = INFINITY;
    x[2] = -1e30F;
    kernels->exp_row(y, x, 3);
    g_assert_cmpfloat(y[0], <, 1e-37);
    g_assert_true(isfinite(y[1]) && y[1] > 1e38F);
    g_assert_cmpfloat(y[2], <, 1e-37);
}

static void check_gelu(const Kernels *kernels)
{
    float bias[COUNT], pre[COUNT], y[COUNT], slope[COUNT];

    fill(pre, COUNT, -12, 12);
    fill(bias, COUNT, -1, 1);
    pre[0] = bias[0] = 0;
    pre[1] = 1e18F;
    pre[2] = -1e18F;
    for (size_t i = 0; i < COUNT; i++)
        slope[i] = 1;
    kernels->gelu_row(y, pre, bias, COUNT);
    kernels->gelu_grad_row(slope, pre, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        double x = pre[i];

        g_assert_true(isfinite(y[i]) && isfinite(slope[i]));
        if (fabs(x) > 100)
            continue;
        g_assert_cmpfloat_with_epsilon(y[i], gelu(x), 1e-6 * fmax(1, fabs(x)));
        g_assert_cmpfloat_with_epsilon(slope[i], gelu_slope(x), 1e-5);
    }
    g_assert_cmpfloat_with_epsilon(y[1], 1e18F, 1e12);
    g_assert_cmpfloat_with_epsilon(y[2], 0, 1e-6);
}

static void check_softmax(const Kernels *kernels)
{
    for (size_t n = 1; n < 70; n++) {
        float s[70], before[70], sum;
        double top = -INFINITY, total = 0;
        float max;

        fill(before, n, -50, 50);
        memcpy(s, before, sizeof(s));
        max = kernels->softmax_row(s, n, 0.7F, &sum);
        for (size_t i = 0; i < n; i++)
            top = fmax(top, 0.7F * (double)before[i]);
        for (size_t i = 0; i < n; i++)
            total += exp(0.7F * (double)before[i] - top);
        g_assert_cmpfloat_with_epsilon(max, top, 1e-5);
        g_assert_cmpfloat_with_epsilon(sum, total, 1e-5 * total);
        for (size_t i = 0; i < n; i++)
            g_assert_cmpfloat_with_epsilon(s[i], exp(0.7F * (double)before[i] - top), 1e-5);
    }
}

/* The loss, and its gradient by the definition: weight * (softmax - onehot). */
static void check_cross_entropy(const Kernels *kernels)
{
    float logits[COUNT], before[COUNT];
    double total = 0, sum = 0;
    float loss;

    fill(before, COUNT, -8, 8);
    before[5] = 90; /* far above the rest: no overflow */
    memcpy(logits, before, sizeof(logits));
    loss = kernels->cross_entropy_row(logits, COUNT, 17, 0.25F);
    for (size_t i = 0; i < COUNT; i++)
        total += exp((double)before[i] - 90);
    g_assert_cmpfloat_with_epsilon(loss, 90 + log(total) - (double)before[17], 1e-4);
    for (size_t i = 0; i < COUNT; i++) {
        double wanted = 0.25 * (exp((double)before[i] - 90) / total - (i == 17));

        g_assert_cmpfloat_with_epsilon(logits[i], wanted, 1e-6);
        sum += logits[i];
    }
    g_assert_cmpfloat_with_epsilon(sum, 0, 1e-5);
}

static void check_layernorm(const Kernels *kernels)
{
    float x[COUNT], y[COUNT], weight[COUNT], bias[COUNT], stats[2];
    const float *weight_bias[2] = {weight, bias};
    double mean = 0, variance = 0;

    fill(x, COUNT, 99, 101); /* far from zero: two passes are needed */
    fill(weight, COUNT, -2, 2);
    fill(bias, COUNT, -2, 2);
    kernels->layernorm_row(y, x, weight_bias, stats, COUNT);
    for (size_t i = 0; i < COUNT; i++)
        mean += (double)x[i] / COUNT;
    for (size_t i = 0; i < COUNT; i++)
        variance += ((double)x[i] - mean) * ((double)x[i] - mean) / COUNT;
    /* What COUNT additions may round off at most, in any order; y is held against the mean that the
     * kernel found, so that this bound does not hide an error of the variance. */
    g_assert_cmpfloat_with_epsilon(stats[0], mean, COUNT * (double)FLT_EPSILON / 2 * 101);
    g_assert_cmpfloat_with_epsilon(stats[1], 1 / sqrt(variance + 1e-5), 1e-4);
    for (size_t i = 0; i < COUNT; i++)
        g_assert_cmpfloat_with_epsilon(y[i],
                                       ((double)x[i] - (double)stats[0]) / sqrt(variance + 1e-5) *
                                               (double)weight[i] +
                                           (double)bias[i],
                                       1e-3);
}

static void check_sums(const Kernels *kernels)
{
    static float data[5000];
    float a[COUNT], b[COUNT], c[COUNT];
    double squares = 0, dot = 0;

    fill(data, 5000, -3, 3);
    for (size_t i = 0; i < 5000; i++)
        squares += (double)data[i] * (double)data[i];
    g_assert_cmpfloat_with_epsilon(kernels->sum_squares(data, 5000), squares, 1e-5 * squares);
    g_assert_cmpfloat(kernels->sum_squares(data, 0), ==, 0);
    fill(a, COUNT, -1, 1);
    fill(b, COUNT, -1, 1);
    for (size_t i = 0; i < COUNT; i++)
        dot += (double)a[i] * (double)b[i];
    g_assert_cmpfloat_with_epsilon(kernels->dot_row(a, b, COUNT), dot, 1e-4);
    kernels->sum_row(c, a, b, COUNT);
    kernels->add_row(c, b, COUNT);
    kernels->scale_row(c, 2, COUNT);
    for (size_t i = 0; i < COUNT; i++)
        g_assert_cmpfloat_with_epsilon(c[i], 2 * (a[i] + 2 * b[i]), 1e-5);
}

/* Check values: RFC 3720, appendix B.4, and the usual one of CRC catalogues for "123456789". */
static void check_crc(const Kernels *kernels)
{
    guint8 bytes[32];
    guint32 whole;

    g_assert_cmphex(kernels->crc32c(0, "123456789", 9), ==, 0xe3069283);
    g_assert_cmphex(kernels->crc32c(0, "", 0), ==, 0);
    memset(bytes, 0, sizeof(bytes));
    g_assert_cmphex(kernels->crc32c(0, bytes, 32), ==, 0x8a9136aa);
    memset(bytes, 0xff, sizeof(bytes));
    g_assert_cmphex(kernels->crc32c(0, bytes, 32), ==, 0x62a8ab43);
    for (guint i = 0; i < 32; i++)
        bytes[i] = (guint8)i;
    whole = kernels->crc32c(0, bytes, 32);
    g_assert_cmphex(whole, ==, 0x46dd794e);
    for (size_t cut = 0; cut <= 32; cut++)
        g_assert_cmphex(kernels->crc32c(kernels->crc32c(0, bytes, cut), bytes + cut, 32 - cut), ==,
                        whole);
}

static void test_exp(void)
{
    each_kernels(check_exp);
}

static void test_gelu(void)
{
    each_kernels(check_gelu);
}

static void test_softmax(void)
{
    each_kernels(check_softmax);
}

static void test_cross_entropy(void)
{
    each_kernels(check_cross_entropy);
}

static void test_layernorm(void)
{
    each_kernels(check_layernorm);
}

static void test_sums(void)
{
    each_kernels(check_sums);
}

static void test_crc(void)
{
    each_kernels(check_crc);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/gpt/kernels/exp", test_exp);
    g_test_add_func("/gpt/kernels/gelu", test_gelu);
    g_test_add_func("/gpt/kernels/softmax", test_softmax);
    g_test_add_func("/gpt/kernels/cross_entropy", test_cross_entropy);
    g_test_add_func("/gpt/kernels/layernorm", test_layernorm);
    g_test_add_func("/gpt/kernels/sums", test_sums);
    g_test_add_func("/gpt/kernels/crc32c", test_crc);
    return g_test_run();
}
