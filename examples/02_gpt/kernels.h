/* SPDX-License-Identifier: Apache-2.0
 *
 * The inner loops that are not matrix products: one thread, one row or range at a time.
 *
 * kernels.c is compiled once per instruction set (baseline, x86-64-v3 with AVX2, x86-64-v4 with
 * AVX-512); each object exports one table and kernels_select() takes the best one this CPU runs. So
 * the default build is as fast as one made for the machine.
 */
#ifndef GPT_KERNELS_H
#define GPT_KERNELS_H

#include "ops.h"

#include <stddef.h>
#include <stdint.h>

/* The gradient of layer normalisation for one row. */
typedef struct {
    const float *x, *dy, *weight;
    float mean, rstd;
    float *dx;              /* added to */
    float *dweight, *dbias; /* added to */
} LayernormGradRow;

typedef struct {
    const char *name; /* "AVX-512", "AVX2", "baseline" */
    /* y[i] = exp(x[i]); relative error below 2e-7 for x in [-87, 88], clamped outside. */
    void (*exp_row)(float *y, const float *x, size_t n);
    /* pre += bias; y = gelu(pre), tanh form. */
    void (*gelu_row)(float *y, float *pre, const float *bias, size_t n);
    /* dx *= gelu'(pre) */
    void (*gelu_grad_row)(float *dx, const float *pre, size_t n);
    /* s = exp(scale * s - max(scale * s)); gives the max, the sum through *sum. */
    float (*softmax_row)(float *s, size_t n, float scale, float *sum);
    /* s = exp(scale * s - lse); dp = scale * s * (dp - delta), with the new s. */
    void (*softmax_grad_row)(float *s, float *dp, size_t n, const float scale_lse_delta[3]);
    /* Gives -log(softmax(logits)[target]) and leaves weight * (softmax(logits) - onehot(target)).
     */
    float (*cross_entropy_row)(float *logits, size_t n, size_t target, float weight);
    /* y = (x - mean) * rstd * weight + bias; gives mean and rstd through stats[2]. */
    void (*layernorm_row)(float *y, const float *x, const float *weight_bias[2], float stats[2],
                          size_t n);
    void (*layernorm_grad_row)(const LayernormGradRow *row, size_t n);
    float (*dot_row)(const float *a, const float *b, size_t n);
    void (*add_row)(float *y, const float *x, size_t n);                 /* y += x */
    void (*scale_row)(float *y, float scale, size_t n);                  /* y *= scale */
    void (*sum_row)(float *y, const float *a, const float *b, size_t n); /* y = a + b */
    double (*sum_squares)(const float *x, size_t n);
    /* p, m, v are updated from g. */
    void (*adamw)(float *pmv[3], const float *g, size_t n, const OpsAdamw *step);
    /* CRC-32C (RFC 3720, appendix B.4) of `n` more bytes; start with 0. */
    uint32_t (*crc32c)(uint32_t crc, const void *data, size_t n);
} Kernels;

extern const Kernels kernels_baseline;
#ifdef KERNELS_X86_64
extern const Kernels kernels_x86_64_v3;
extern const Kernels kernels_x86_64_v4;
#endif

/* Levels, each with what the ones below it have. */
enum { KERNELS_BASELINE, KERNELS_X86_64_V3, KERNELS_X86_64_V4 };

int kernels_best(void);                /* the highest level that this CPU runs */
const Kernels *kernels_get(int level); /* not above kernels_best() */
const Kernels *kernels_select(void);   /* those of the best level */

#endif
