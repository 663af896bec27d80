/* SPDX-License-Identifier: Apache-2.0
 *
 * Element-wise kernels, written as plain loops that the compiler vectorises (`omp simd`); compiled
 * once per instruction set with KERNELS_TABLE naming the table (kernels.h).
 *
 * exp: x = n ln 2 + r with |r| <= ln 2 / 2, n by the rounding trick of adding 1.5 * 2^23, ln 2 in
 * two parts (Cody and Waite), e^r as the Taylor polynomial of degree 7, whose remainder r^8/8! is
 * below 6e-9, and 2^n by adding n to the exponent bits. GELU is the tanh form of GPT-2 (Hendrycks
 * and Gimpel, 2016, arXiv:1606.08415, section 2), with 0.5 (1 + tanh u) = 1 / (1 + e^(-2u)).
 *
 * Sums run in the lanes the compiler chooses: the last bits differ between instruction sets, not
 * between runs.
 */
#include "kernels.h"

#include <math.h>
#include <string.h>

#define GELU_ALPHA        1.5957691216057308F /* 2 sqrt(2 / pi) */
#define GELU_CUBIC        0.044715F
#define LAYERNORM_EPSILON 1e-5F

static inline float exp_one(float x)
{
    const float round = 12582912.0F;
    float shifted, n, r, p;
    uint32_t power, bits;

    x = x < -87.0F ? -87.0F : x;
    x = x > 88.0F ? 88.0F : x;
    shifted = x * 1.44269504088896341F + round;
    n = shifted - round;
    r = x - n * 0.693359375F;
    r = r + n * 2.12194440e-4F;
    p = 1.0F / 5040.0F;
    p = p * r + 1.0F / 720.0F;
    p = p * r + 1.0F / 120.0F;
    p = p * r + 1.0F / 24.0F;
    p = p * r + 1.0F / 6.0F;
    p = p * r + 0.5F;
    p = p * r + 1.0F;
    p = p * r + 1.0F;
    memcpy(&power, &shifted, sizeof(power));
    memcpy(&bits, &p, sizeof(bits));
    bits += power << 23;
    memcpy(&p, &bits, sizeof(p));
    return p;
}

static void exp_row(float *y, const float *x, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        y[i] = exp_one(x[i]);
}

static void gelu_row(float *restrict y, float *restrict pre, const float *restrict bias, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        float x = pre[i] + bias[i];
        float u = GELU_ALPHA * x * (1.0F + GELU_CUBIC * x * x);

        pre[i] = x;
        y[i] = x / (1.0F + exp_one(-u));
    }
}

static void gelu_grad_row(float *restrict dx, const float *restrict pre, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        float x = pre[i];
        float u = GELU_ALPHA * x * (1.0F + GELU_CUBIC * x * x);
        float s = 1.0F / (1.0F + exp_one(-u));
        float du = GELU_ALPHA * (1.0F + 3.0F * GELU_CUBIC * x * x);

        dx[i] *= s + x * s * (1.0F - s) * du;
    }
}

/* Lanes by hand: a maximum as an `omp simd` reduction stays scalar in clang without -ffast-math. */
static float max_of(const float *x, size_t n)
{
    float lanes[16];
    float top = x[0];
    size_t i = 0;

    for (size_t j = 0; j < 16; j++)
        lanes[j] = top;
    for (; i + 16 <= n; i += 16) {
#pragma omp simd
        for (size_t j = 0; j < 16; j++)
            lanes[j] = x[i + j] > lanes[j] ? x[i + j] : lanes[j];
    }
    for (; i < n; i++)
        top = x[i] > top ? x[i] : top;
    for (size_t j = 0; j < 16; j++)
        top = lanes[j] > top ? lanes[j] : top;
    return top;
}

static float softmax_row(float *s, size_t n, float scale, float *sum)
{
    float top = scale * max_of(s, n);
    float total = 0.0F;

#pragma omp simd reduction(+ : total)
    for (size_t i = 0; i < n; i++) {
        float e = exp_one(scale * s[i] - top);

        s[i] = e;
        total += e;
    }
    *sum = total;
    return top;
}

static void softmax_grad_row(float *restrict s, float *restrict dp, size_t n,
                             const float scale_lse_delta[3])
{
    float scale = scale_lse_delta[0];
    float lse = scale_lse_delta[1];
    float delta = scale_lse_delta[2];

#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        float p = exp_one(scale * s[i] - lse);

        s[i] = p;
        dp[i] = scale * p * (dp[i] - delta);
    }
}

static float cross_entropy_row(float *logits, size_t n, size_t target, float weight)
{
    float picked = logits[target];
    float sum;
    float top = softmax_row(logits, n, 1.0F, &sum);
    float factor = weight / sum;

#pragma omp simd
    for (size_t i = 0; i < n; i++)
        logits[i] *= factor;
    logits[target] -= weight;
    return top + logf(sum) - picked;
}

static void layernorm_row(float *restrict y, const float *restrict x, const float *weight_bias[2],
                          float stats[2], size_t n)
{
    const float *restrict weight = weight_bias[0];
    const float *restrict bias = weight_bias[1];
    float sum = 0.0F, squares = 0.0F;
    float mean, rstd;

#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    mean = sum / (float)n;
#pragma omp simd reduction(+ : squares)
    for (size_t i = 0; i < n; i++)
        squares += (x[i] - mean) * (x[i] - mean);
    rstd = 1.0F / sqrtf(squares / (float)n + LAYERNORM_EPSILON);
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        y[i] = (x[i] - mean) * rstd * weight[i] + bias[i];
    stats[0] = mean;
    stats[1] = rstd;
}

static void layernorm_grad_row(const LayernormGradRow *row, size_t n)
{
    const float *restrict x = row->x;
    const float *restrict dy = row->dy;
    const float *restrict weight = row->weight;
    float *restrict dx = row->dx;
    float *restrict dweight = row->dweight;
    float *restrict dbias = row->dbias;
    float mean = row->mean, rstd = row->rstd;
    float sum = 0.0F, product = 0.0F;

#pragma omp simd reduction(+ : sum, product)
    for (size_t i = 0; i < n; i++) {
        float normal = (x[i] - mean) * rstd;
        float g = dy[i] * weight[i];

        sum += g;
        product += g * normal;
    }
    sum /= (float)n;
    product /= (float)n;
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        float normal = (x[i] - mean) * rstd;

        dweight[i] += dy[i] * normal;
        dbias[i] += dy[i];
        dx[i] += rstd * (dy[i] * weight[i] - sum - normal * product);
    }
}

static float dot_row(const float *a, const float *b, size_t n)
{
    float sum = 0.0F;

#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static void add_row(float *restrict y, const float *restrict x, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

static void scale_row(float *y, float scale, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        y[i] *= scale;
}

static void sum_row(float *restrict y, const float *restrict a, const float *restrict b, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}

static double sum_squares(const float *x, size_t n)
{
    double total = 0.0;

    for (size_t at = 0; at < n; at += 1024) {
        size_t end = n - at < 1024 ? n : at + 1024;
        float part = 0.0F;

#pragma omp simd reduction(+ : part)
        for (size_t i = at; i < end; i++)
            part += x[i] * x[i];
        total += (double)part;
    }
    return total;
}

/* Loshchilov and Hutter, "Decoupled weight decay regularization" (arXiv:1711.05101), algorithm 2.
 */
static void adamw(float *pmv[3], const float *g, size_t n, const OpsAdamw *step)
{
    float *restrict p = pmv[0];
    float *restrict m = pmv[1];
    float *restrict v = pmv[2];
    const OpsAdamw s = *step;
    float keep = 1.0F - s.rate * s.decay;
    float rate = s.rate * s.correction1;

#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        float grad = g[i] * s.scale;
        float first = s.beta1 * m[i] + (1.0F - s.beta1) * grad;
        float second = s.beta2 * v[i] + (1.0F - s.beta2) * grad * grad;

        m[i] = first;
        v[i] = second;
        p[i] = p[i] * keep - rate * first / (sqrtf(second * s.correction2) + s.epsilon);
    }
}

#ifdef __SSE4_2__
static uint32_t crc32c(uint32_t crc, const void *data, size_t n)
{
    const uint8_t *at = data;
    uint64_t state = (uint32_t)~crc;
    uint64_t word;

    for (; n >= sizeof(word); n -= sizeof(word), at += sizeof(word)) {
        memcpy(&word, at, sizeof(word));
        state = __builtin_ia32_crc32di(state, word);
    }
    for (; n; n--, at++)
        state = __builtin_ia32_crc32qi((uint32_t)state, *at);
    return ~(uint32_t)state;
}
#else
static uint32_t crc32c(uint32_t crc, const void *data, size_t n)
{
    /* The reversed polynomial 0x82f63b78 applied to four bits at a time. */
    static const uint32_t nibbles[16] = {0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
                                         0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
                                         0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
                                         0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};
    const uint8_t *at = data;

    crc = ~crc;
    for (; n; n--, at++) {
        crc ^= *at;
        crc = (crc >> 4) ^ nibbles[crc & 15];
        crc = (crc >> 4) ^ nibbles[crc & 15];
    }
    return ~crc;
}
#endif

const Kernels KERNELS_TABLE = {
    .name = KERNELS_NAME,
    .exp_row = exp_row,
    .gelu_row = gelu_row,
    .gelu_grad_row = gelu_grad_row,
    .softmax_row = softmax_row,
    .softmax_grad_row = softmax_grad_row,
    .cross_entropy_row = cross_entropy_row,
    .layernorm_row = layernorm_row,
    .layernorm_grad_row = layernorm_grad_row,
    .dot_row = dot_row,
    .add_row = add_row,
    .scale_row = scale_row,
    .sum_row = sum_row,
    .sum_squares = sum_squares,
    .adamw = adamw,
    .crc32c = crc32c,
};
