/* SPDX-License-Identifier: Apache-2.0
 *
 * The operators of GPT-2's training step. ops_cpu.c computes them with CBLAS, OpenMP and kernels.h.
 *
 * Shapes are written (rows, columns), row-major; B sequences, T positions, N = B * T rows, C
 * channels, NH heads of C / NH, V tokens of vocabulary. Weights of linear layers are (in, out), as
 * Hugging Face stores GPT-2's, so y = x W + b and nothing is ever transposed.
 *
 * No operator allocates; results do not depend on the number of threads beyond what the CBLAS does
 * for the tile it is given. One caller at a time per Ops.
 */
#ifndef GPT_OPS_H
#define GPT_OPS_H

#include "fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OPS_THREADS_MAX 1024

typedef struct Ops Ops;

/* What one Ops must be able to do: the largest sizes it will be called with. */
typedef struct {
    int threads;      /* 0: as many as OpenMP gives (OMP_NUM_THREADS, affinity) */
    size_t rows;      /* N */
    size_t positions; /* T */
    size_t channels;  /* C */
} OpsLimits;

int ops_new(const OpsLimits *limits, Ops **ops, Fault *fault);
void ops_free(Ops *ops); /* NULL is fine */
int ops_get_threads(const Ops *ops);
/* Levels of instruction sets (kernels.h). Ranks that use the same one get the same bits from
 * ops_adamw() and ops_sum_squares(). An Ops starts with the best one; it can only go down. */
int ops_get_level(const Ops *ops);
void ops_lower_level(Ops *ops, int level);
const char *ops_get_kernels(const Ops *ops); /* "AVX-512", ... */

/* Zeroed floats on pages of their own (large ones where the kernel has them). */
float *ops_alloc(size_t count);
void ops_release(float *data, size_t count);

/* x (B * T, C) = wte[token] + wpe[position]. Windows are T + 1 tokens long, inputs are the first T.
 */
typedef struct {
    const uint16_t *tokens; /* (B, T + 1) */
    size_t sequences, positions, channels;
    float *wte, *wpe; /* (V, C), (T, C): weights forward, gradients backward */
} OpsEmbed;

void ops_embed(Ops *ops, float *x, const OpsEmbed *embed);
/* Adds to embed->wte and embed->wpe. */
void ops_embed_grad(Ops *ops, const float *dx, const OpsEmbed *embed);

/* y = (x - mean) * rstd * weight + bias, mean and rstd (N, 2) over the C of each row. */
typedef struct {
    size_t rows, channels;
    const float *x, *weight, *bias;
    float *stats;
    bool accumulate; /* backward: add to dweight and dbias instead of setting them */
    float *dweight, *dbias;
} OpsLayernorm;

void ops_layernorm(Ops *ops, float *y, const OpsLayernorm *norm);
/* dx += what dy (N, C) sends back: dx is the stream past the residual connection. */
void ops_layernorm_grad(Ops *ops, float *dx, const float *dy, const OpsLayernorm *norm);

/* y (N, out) = x (N, in) W + b, then one of:
 *   residual: y += residual (N, out)
 *   pre:      pre = y, y = gelu(pre), both (N, out) */
typedef struct {
    size_t rows, in, out;
    const float *x, *weight, *bias;
    const float *residual; /* or NULL */
    float *pre;            /* or NULL */
} OpsLinear;

void ops_linear(Ops *ops, float *y, const OpsLinear *linear);

/* From dy (N, out): dx (N, in) = dy W^T, times gelu'(pre) where pre (N, in) is given;
 * dweight = x^T dy, dbias = column sums of dy. */
typedef struct {
    size_t rows, in, out;
    const float *x, *weight, *dy;
    const float *pre; /* or NULL */
    bool accumulate;  /* add to dweight and dbias instead of setting them */
    float *dx, *dweight, *dbias;
} OpsLinearGrad;

void ops_linear_grad(Ops *ops, const OpsLinearGrad *grad);

/* Causal self-attention of each head over qkv (B, T, 3, NH, C / NH). The T x T scores exist one
 * block of rows at a time; kept is lse (B, NH, T), the log of each row's sum of exponentials, from
 * which the backward pass computes the block again (Dao et al., arXiv:2205.14135, section 3.1 and
 * appendix B). */
typedef struct {
    size_t sequences, positions, channels, heads;
    const float *qkv;
    float *out; /* (B, T, C) */
    float *lse;
} OpsAttention;

void ops_attention(Ops *ops, const OpsAttention *attention);
/* dqkv is set from dout (B, T, C). */
void ops_attention_grad(Ops *ops, float *dqkv, const float *dout, const OpsAttention *attention);

/* The head, tied to wte (V, C), fused with its loss: logits = x wte^T never exist but for a block
 * of rows. The loss of a row is -log softmax(logits)[target]. Windows as for ops_embed; targets are
 * the last T. */
typedef struct {
    const uint16_t *tokens; /* (B, T + 1) */
    size_t sequences, positions, channels, vocab;
    const float *x, *wte;
    float *logits;      /* scratch, (logits_rows, V) */
    size_t logits_rows; /* >= 1 */
    float *losses;      /* scratch, (N) */
    float weight;       /* of each row's loss in the gradient */
    bool accumulate;    /* add to dwte instead of setting it */
    float *dx, *dwte;   /* (N, C), (V, C); both NULL: loss only */
} OpsHead;

/* Gives the sum of the rows' losses. */
double ops_head(Ops *ops, const OpsHead *head);
/* logits (V) = row (C) wte^T */
void ops_head_logits(Ops *ops, float *logits, const float *row, const OpsHead *head);

/* One AdamW update of a range; `rate` already has the schedule in it. */
typedef struct {
    float rate;
    float beta1, beta2;
    float epsilon;
    float decay;                    /* decoupled weight decay, 0 where none */
    float correction1, correction2; /* 1 / (1 - beta^step) */
    float scale;                    /* the gradient is multiplied by this first (clipping) */
} OpsAdamw;

/* p, m and v, `count` values each, are updated from g. */
void ops_adamw(Ops *ops, float *const pmv[3], const float *g, size_t count, const OpsAdamw *step);
double ops_sum_squares(Ops *ops, const float *data, size_t count);
void ops_set_zero(Ops *ops, float *data, size_t count);

#endif
