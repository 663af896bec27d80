/* SPDX-License-Identifier: Apache-2.0
 *
 * The operators on CPU cores.
 *
 * Work is cut into tiles that do not depend on the number of threads, and OpenMP deals the tiles
 * out; each tile's matrix product is one CBLAS call of one thread. (A CBLAS that threads by itself,
 * as OpenBLAS does, stays serial inside a parallel region.) So what follows a product, bias, GELU,
 * residual, softmax, is done by the same thread on a tile that is still in its cache, and there is
 * one barrier per operator. Sums over rows go through per-tile partial sums added in order: bits
 * are the same whoever computed which tile.
 */
#include "kernels.h"
#include "ops.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifdef _OPENMP
#include <omp.h>
#endif

#define TILE_ROWS_LEAST 64 /* rows of a product's tile */
#define TILE_ROWS_MOST  512
#define TILE_COLS       384 /* columns of a weight gradient's tile */
#define TILE_WORDS      128 /* rows of wte's gradient */
#define ATTENTION_ROWS  64  /* query rows of a block of scores */
#define NORM_ROWS       128 /* rows whose weight gradients share a partial sum */
#define FLAT_TILE       16384
#define HUGE_PAGE_BYTES ((size_t)2 << 20)

struct Ops {
    int level;
    const Kernels *kernels;
    int threads;
    OpsLimits limits;
    float *attention; /* per thread: scores and their gradients, 2 x (ATTENTION_ROWS, T) */
    size_t attention_count;
    float *partial; /* (ceil(N / NORM_ROWS), 2, C) */
    size_t partial_count;
};

static size_t tiles_of(size_t n, size_t tile)
{
    return (n + tile - 1) / tile;
}

static size_t tile_end(size_t begin, size_t tile, size_t n)
{
    return n - begin < tile ? n : begin + tile;
}

/* Rows of a tile of a product over `rows`: two tiles a thread where there are enough. Large ones
 * pack the weights less often, small ones share out evenly; a row's result does not depend on it.
 */
static size_t tile_rows(const Ops *ops, size_t rows)
{
    size_t tile = rows / (2 * (size_t)ops->threads);

    tile = tiles_of(tile, TILE_ROWS_LEAST) * TILE_ROWS_LEAST;
    if (tile < TILE_ROWS_LEAST)
        return TILE_ROWS_LEAST;
    return tile < TILE_ROWS_MOST ? tile : TILE_ROWS_MOST;
}

static int thread_index(void)
{
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}

/* ---- life ---- */

static size_t pages_bytes(size_t count)
{
    size_t bytes = (count ? count : 1) * sizeof(float);

    return (bytes + HUGE_PAGE_BYTES - 1) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
}

float *ops_alloc(size_t count)
{
    void *data;

    if (count > SIZE_MAX / sizeof(float) / 2)
        return NULL;
    data =
        mmap(NULL, pages_bytes(count), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED)
        return NULL;
    madvise(data, pages_bytes(count), MADV_HUGEPAGE);
    return data;
}

void ops_release(float *data, size_t count)
{
    if (data)
        munmap(data, pages_bytes(count));
}

int ops_new(const OpsLimits *limits, Ops **ops, Fault *fault)
{
    Ops *made = calloc(1, sizeof(*made));

    if (!made)
        return fault_set(fault, "no memory for the operators");
    made->level = kernels_best();
    made->kernels = kernels_get(made->level);
    made->limits = *limits;
    made->threads = limits->threads;
#ifdef _OPENMP
    if (made->threads <= 0)
        made->threads = omp_get_max_threads();
#else
    made->threads = 1;
#endif
    if (made->threads > OPS_THREADS_MAX)
        made->threads = OPS_THREADS_MAX;
#ifdef _OPENMP
    omp_set_num_threads(made->threads); /* a CBLAS on OpenMP takes this as its own limit */
#endif
    made->attention_count = (size_t)made->threads * 2 * ATTENTION_ROWS * limits->positions;
    made->partial_count = tiles_of(limits->rows, NORM_ROWS) * 2 * limits->channels;
    made->attention = ops_alloc(made->attention_count);
    made->partial = ops_alloc(made->partial_count);
    if (!made->attention || !made->partial) {
        ops_free(made);
        return fault_set(fault, "no memory for the operators");
    }
    *ops = made;
    return 0;
}

void ops_free(Ops *ops)
{
    if (!ops)
        return;
    ops_release(ops->attention, ops->attention_count);
    ops_release(ops->partial, ops->partial_count);
    free(ops);
}

int ops_get_threads(const Ops *ops)
{
    return ops->threads;
}

int ops_get_level(const Ops *ops)
{
    return ops->level;
}

void ops_lower_level(Ops *ops, int level)
{
    if (level >= ops->level)
        return;
    ops->level = level;
    ops->kernels = kernels_get(level);
}

const char *ops_get_kernels(const Ops *ops)
{
    return ops->kernels->name;
}

/* ---- products ---- */

typedef struct {
    const float *data;
    size_t stride; /* floats from a row to the next */
    bool transposed;
} Matrix;

typedef struct {
    size_t m, n, k;
    float beta;
    float *c;
    size_t stride;
} Product;

/* c (m, n) = a (m, k) b (k, n) + beta c */
static void multiply(const Product *p, Matrix a, Matrix b)
{
    cblas_sgemm(CblasRowMajor, a.transposed ? CblasTrans : CblasNoTrans,
                b.transposed ? CblasTrans : CblasNoTrans, (int)p->m, (int)p->n, (int)p->k, 1.0F,
                a.data, (int)a.stride, b.data, (int)b.stride, p->beta, p->c, (int)p->stride);
}

/* ---- embedding ---- */

void ops_embed(Ops *ops, float *x, const OpsEmbed *embed)
{
    size_t t_count = embed->positions, c = embed->channels, rows = embed->sequences * t_count;

#pragma omp parallel for num_threads(ops->threads) schedule(static)
    for (size_t row = 0; row < rows; row++) {
        size_t sequence = row / t_count, t = row % t_count;
        size_t token = embed->tokens[sequence * (t_count + 1) + t];

        ops->kernels->sum_row(x + row * c, embed->wte + token * c, embed->wpe + t * c, c);
    }
}

/* Threads share out columns, because rows meet in the same token. */
void ops_embed_grad(Ops *ops, const float *dx, const OpsEmbed *embed)
{
    size_t t_count = embed->positions, c = embed->channels, rows = embed->sequences * t_count;
    size_t width = 64, tiles = tiles_of(c, width);

#pragma omp parallel for num_threads(ops->threads) schedule(static)
    for (size_t tile = 0; tile < tiles; tile++) {
        size_t begin = tile * width, count = tile_end(begin, width, c) - begin;

        for (size_t row = 0; row < rows; row++) {
            size_t sequence = row / t_count, t = row % t_count;
            size_t token = embed->tokens[sequence * (t_count + 1) + t];

            ops->kernels->add_row(embed->wte + token * c + begin, dx + row * c + begin, count);
            ops->kernels->add_row(embed->wpe + t * c + begin, dx + row * c + begin, count);
        }
    }
}

/* ---- layer normalisation ---- */

void ops_layernorm(Ops *ops, float *y, const OpsLayernorm *norm)
{
    size_t c = norm->channels;
    const float *weight_bias[2] = {norm->weight, norm->bias};

#pragma omp parallel for num_threads(ops->threads) schedule(static)
    for (size_t row = 0; row < norm->rows; row++)
        ops->kernels->layernorm_row(y + row * c, norm->x + row * c, weight_bias,
                                    norm->stats + 2 * row, c);
}

static void layernorm_grad_tile(Ops *ops, float *dx, const float *dy, const OpsLayernorm *norm,
                                size_t tile)
{
    size_t c = norm->channels, end = tile_end(tile * NORM_ROWS, NORM_ROWS, norm->rows);
    float *partial = ops->partial + tile * 2 * c;

    memset(partial, 0, 2 * c * sizeof(*partial));
    for (size_t row = tile * NORM_ROWS; row < end; row++) {
        LayernormGradRow grad = {.x = norm->x + row * c,
                                 .dy = dy + row * c,
                                 .weight = norm->weight,
                                 .mean = norm->stats[2 * row],
                                 .rstd = norm->stats[2 * row + 1],
                                 .dx = dx + row * c,
                                 .dweight = partial,
                                 .dbias = partial + c};

        ops->kernels->layernorm_grad_row(&grad, c);
    }
}

void ops_layernorm_grad(Ops *ops, float *dx, const float *dy, const OpsLayernorm *norm)
{
    size_t c = norm->channels, tiles = tiles_of(norm->rows, NORM_ROWS);

#pragma omp parallel for num_threads(ops->threads) schedule(static)
    for (size_t tile = 0; tile < tiles; tile++)
        layernorm_grad_tile(ops, dx, dy, norm, tile);
    if (!norm->accumulate) {
        memset(norm->dweight, 0, c * sizeof(float));
        memset(norm->dbias, 0, c * sizeof(float));
    }
    for (size_t tile = 0; tile < tiles; tile++) {
        ops->kernels->add_row(norm->dweight, ops->partial + tile * 2 * c, c);
        ops->kernels->add_row(norm->dbias, ops->partial + (tile * 2 + 1) * c, c);
    }
}

/* ---- linear layers ---- */

static void linear_tile(Ops *ops, float *y, const OpsLinear *linear, size_t begin, size_t end)
{
    size_t out = linear->out;
    Product product = {.m = end - begin, .n = out, .k = linear->in, .stride = out};

    if (linear->pre) {
        product.c = linear->pre + begin * out;
    } else {
        product.c = y + begin * out;
        product.beta = 1.0F;
        for (size_t row = begin; row < end; row++) {
            if (linear->residual)
                ops->kernels->sum_row(y + row * out, linear->residual + row * out, linear->bias,
                                      out);
            else
                memcpy(y + row * out, linear->bias, out * sizeof(*y));
        }
    }
    multiply(&product, (Matrix){linear->x + begin * linear->in, linear->in, false},
             (Matrix){linear->weight, out, false});
    for (size_t row = begin; linear->pre && row < end; row++)
        ops->kernels->gelu_row(y + row * out, linear->pre + row * out, linear->bias, out);
}

void ops_linear(Ops *ops, float *y, const OpsLinear *linear)
{
    size_t height = tile_rows(ops, linear->rows), tiles = tiles_of(linear->rows, height);

#pragma omp parallel for num_threads(ops->threads) schedule(dynamic)
    for (size_t tile = 0; tile < tiles; tile++)
        linear_tile(ops, y, linear, tile * height, tile_end(tile * height, height, linear->rows));
}

/* One tile of dweight, and with the first row of tiles that part of dbias. */
static void linear_grad_weight(Ops *ops, const OpsLinearGrad *grad, size_t tile)
{
    size_t across = tiles_of(grad->out, TILE_COLS);
    size_t row = tile / across * TILE_COLS, col = tile % across * TILE_COLS;
    size_t width = tile_end(col, TILE_COLS, grad->out) - col;
    Product product = {.m = tile_end(row, TILE_COLS, grad->in) - row,
                       .n = width,
                       .k = grad->rows,
                       .beta = grad->accumulate ? 1.0F : 0.0F,
                       .c = grad->dweight + row * grad->out + col,
                       .stride = grad->out};

    multiply(&product, (Matrix){grad->x + row, grad->in, true},
             (Matrix){grad->dy + col, grad->out, false});
    if (row)
        return;
    if (!grad->accumulate)
        memset(grad->dbias + col, 0, width * sizeof(float));
    for (size_t n = 0; n < grad->rows; n++)
        ops->kernels->add_row(grad->dbias + col, grad->dy + n * grad->out + col, width);
}

static void linear_grad_input(Ops *ops, const OpsLinearGrad *grad, size_t begin, size_t end)
{
    size_t in = grad->in;
    Product product = {
        .m = end - begin, .n = in, .k = grad->out, .c = grad->dx + begin * in, .stride = in};

    multiply(&product, (Matrix){grad->dy + begin * grad->out, grad->out, false},
             (Matrix){grad->weight, grad->out, true});
    if (grad->pre)
        ops->kernels->gelu_grad_row(product.c, grad->pre + begin * in, (end - begin) * in);
}

void ops_linear_grad(Ops *ops, const OpsLinearGrad *grad)
{
    size_t weights = tiles_of(grad->in, TILE_COLS) * tiles_of(grad->out, TILE_COLS);
    size_t height = tile_rows(ops, grad->rows);
    size_t tiles = weights + tiles_of(grad->rows, height);

#pragma omp parallel for num_threads(ops->threads) schedule(dynamic)
    for (size_t tile = 0; tile < tiles; tile++) {
        size_t begin = (tile - weights) * height;

        if (tile < weights)
            linear_grad_weight(ops, grad, tile);
        else
            linear_grad_input(ops, grad, begin, tile_end(begin, height, grad->rows));
    }
}

/* ---- attention ---- */

/* One head of one sequence. */
typedef struct {
    const float *q, *k, *v; /* (T, C / NH), rows 3 C apart */
    float *out;             /* (T, C / NH), rows C apart */
    float *lse;             /* (T) */
    size_t positions, channels, size;
    float scale;
    float *scores, *grads; /* (ATTENTION_ROWS, T) each */
} Head;

static Head head_of(Ops *ops, const OpsAttention *attention, size_t index)
{
    size_t c = attention->channels, t = attention->positions, size = c / attention->heads;
    size_t sequence = index / attention->heads, head = index % attention->heads;
    const float *qkv = attention->qkv + sequence * t * 3 * c + head * size;
    float *scratch =
        ops->attention + (size_t)thread_index() * 2 * ATTENTION_ROWS * ops->limits.positions;

    return (Head){.q = qkv,
                  .k = qkv + c,
                  .v = qkv + 2 * c,
                  .out = attention->out + sequence * t * c + head * size,
                  .lse = attention->lse + index * t,
                  .positions = t,
                  .channels = c,
                  .size = size,
                  .scale = 1.0F / sqrtf((float)size),
                  .scores = scratch,
                  .grads = scratch + ATTENTION_ROWS * ops->limits.positions};
}

/* scores (rows, keys) = q k^T for query rows [begin, keys): all keys that any of them may see. */
static void scores_compute(const Head *head, size_t begin, size_t keys)
{
    size_t stride = 3 * head->channels;
    Product product = {
        .m = keys - begin, .n = keys, .k = head->size, .c = head->scores, .stride = keys};

    multiply(&product, (Matrix){head->q + begin * stride, stride, false},
             (Matrix){head->k, stride, true});
}

static void attention_block(const Kernels *kernels, const Head *head, size_t begin)
{
    size_t keys = tile_end(begin, ATTENTION_ROWS, head->positions), rows = keys - begin;
    float sums[ATTENTION_ROWS];
    Product product = {.m = rows,
                       .n = head->size,
                       .k = keys,
                       .c = head->out + begin * head->channels,
                       .stride = head->channels};

    scores_compute(head, begin, keys);
    for (size_t row = 0; row < rows; row++) {
        float *scores = head->scores + row * keys;
        size_t visible = begin + row + 1;
        float top = kernels->softmax_row(scores, visible, head->scale, &sums[row]);

        head->lse[begin + row] = top + logf(sums[row]);
        memset(scores + visible, 0, (keys - visible) * sizeof(*scores));
    }
    multiply(&product, (Matrix){head->scores, keys, false},
             (Matrix){head->v, 3 * head->channels, false});
    for (size_t row = 0; row < rows; row++)
        kernels->scale_row(product.c + row * head->channels, 1.0F / sums[row], head->size);
}

void ops_attention(Ops *ops, const OpsAttention *attention)
{
    size_t heads = attention->sequences * attention->heads;

#pragma omp parallel for num_threads(ops->threads) schedule(dynamic)
    for (size_t index = 0; index < heads; index++) {
        Head head = head_of(ops, attention, index);

        for (size_t begin = 0; begin < head.positions; begin += ATTENTION_ROWS)
            attention_block(ops->kernels, &head, begin);
    }
}

/* From the block's dout: the probabilities again into scores, the gradient of the unscaled scores
 * into grads. */
static void scores_grad(const Kernels *kernels, const Head *head, const float *dout, size_t begin)
{
    size_t keys = tile_end(begin, ATTENTION_ROWS, head->positions), rows = keys - begin;
    Product product = {.m = rows, .n = keys, .k = head->size, .c = head->grads, .stride = keys};

    scores_compute(head, begin, keys);
    multiply(&product, (Matrix){dout, head->channels, false},
             (Matrix){head->v, 3 * head->channels, true});
    for (size_t row = 0; row < rows; row++) {
        size_t visible = begin + row + 1, at = row * keys;
        float delta = kernels->dot_row(dout + row * head->channels,
                                       head->out + (begin + row) * head->channels, head->size);
        const float scale_lse_delta[3] = {head->scale, head->lse[begin + row], delta};

        kernels->softmax_grad_row(head->scores + at, head->grads + at, visible, scale_lse_delta);
        memset(head->scores + at + visible, 0, (keys - visible) * sizeof(float));
        memset(head->grads + at + visible, 0, (keys - visible) * sizeof(float));
    }
}

/* dq of the block's rows; dk and dv of all its keys, set by the last block, added to by the others:
 * blocks go from the last, which sees every key, to the first. */
static void attention_grad_block(const Kernels *kernels, const Head *head, float *dq,
                                 const float *dout, size_t begin)
{
    size_t keys = tile_end(begin, ATTENTION_ROWS, head->positions), rows = keys - begin;
    size_t stride = 3 * head->channels;
    const float *dout_block = dout + begin * head->channels;
    Product product = {
        .m = rows, .n = head->size, .k = keys, .c = dq + begin * stride, .stride = stride};

    scores_grad(kernels, head, dout_block, begin);
    multiply(&product, (Matrix){head->grads, keys, false}, (Matrix){head->k, stride, false});
    product.m = keys;
    product.k = rows;
    product.beta = keys == head->positions ? 0.0F : 1.0F;
    product.c = dq + head->channels;
    multiply(&product, (Matrix){head->grads, keys, true},
             (Matrix){head->q + begin * stride, stride, false});
    product.c = dq + 2 * head->channels;
    multiply(&product, (Matrix){head->scores, keys, true},
             (Matrix){dout_block, head->channels, false});
}

void ops_attention_grad(Ops *ops, float *dqkv, const float *dout, const OpsAttention *attention)
{
    size_t heads = attention->sequences * attention->heads;

#pragma omp parallel for num_threads(ops->threads) schedule(dynamic)
    for (size_t index = 0; index < heads; index++) {
        Head head = head_of(ops, attention, index);
        float *dq = dqkv + (head.q - attention->qkv);
        const float *dhead = dout + (head.out - attention->out);

        for (size_t left = tiles_of(head.positions, ATTENTION_ROWS); left > 0; left--)
            attention_grad_block(ops->kernels, &head, dq, dhead, (left - 1) * ATTENTION_ROWS);
    }
}

/* ---- head and loss ---- */

/* Rows [begin, end) of the block at `base`: logits, losses, and where wanted dx. */
static void head_tile(Ops *ops, const OpsHead *head, size_t base, size_t begin, size_t end)
{
    size_t c = head->channels, v = head->vocab, t_count = head->positions;
    float *logits = head->logits + (begin - base) * v;
    Product forward = {.m = end - begin, .n = v, .k = c, .c = logits, .stride = v};
    Product backward = {.m = end - begin, .n = c, .k = v, .stride = c};

    multiply(&forward, (Matrix){head->x + begin * c, c, false}, (Matrix){head->wte, c, true});
    for (size_t row = begin; row < end; row++) {
        size_t target = head->tokens[row / t_count * (t_count + 1) + row % t_count + 1];

        head->losses[row] =
            ops->kernels->cross_entropy_row(logits + (row - begin) * v, v, target, head->weight);
    }
    if (!head->dx)
        return;
    backward.c = head->dx + begin * c;
    multiply(&backward, (Matrix){logits, v, false}, (Matrix){head->wte, c, false});
}

/* Rows [begin, end) of dwte, from `rows` rows of the block of logits' gradients at `base`. */
static void head_grad_tile(const OpsHead *head, size_t base, size_t rows, size_t begin, size_t end)
{
    size_t c = head->channels, v = head->vocab;
    Product product = {.m = end - begin,
                       .n = c,
                       .k = rows,
                       .beta = base || head->accumulate ? 1.0F : 0.0F,
                       .c = head->dwte + begin * c,
                       .stride = c};

    multiply(&product, (Matrix){head->logits + begin, v, true},
             (Matrix){head->x + base * c, c, false});
}

double ops_head(Ops *ops, const OpsHead *head)
{
    size_t rows = head->sequences * head->positions;
    size_t words = tiles_of(head->vocab, TILE_WORDS);
    double sum = 0.0;

    for (size_t base = 0; base < rows; base += head->logits_rows) {
        size_t block = tile_end(base, head->logits_rows, rows);
        size_t height = tile_rows(ops, block - base), tiles = tiles_of(block - base, height);

#pragma omp parallel num_threads(ops->threads)
        {
#pragma omp for schedule(dynamic)
            for (size_t tile = 0; tile < tiles; tile++) {
                size_t begin = base + tile * height;

                head_tile(ops, head, base, begin, tile_end(begin, height, block));
            }
            if (head->dwte) {
#pragma omp for schedule(dynamic)
                for (size_t tile = 0; tile < words; tile++) {
                    size_t begin = tile * TILE_WORDS;

                    head_grad_tile(head, base, block - base, begin,
                                   tile_end(begin, TILE_WORDS, head->vocab));
                }
            }
        }
    }
    for (size_t row = 0; row < rows; row++)
        sum += (double)head->losses[row];
    return sum;
}

void ops_head_logits(Ops *ops, float *logits, const float *row, const OpsHead *head)
{
    size_t c = head->channels;

#pragma omp parallel for num_threads(ops->threads) schedule(static)
    for (size_t token = 0; token < head->vocab; token++)
        logits[token] = ops->kernels->dot_row(row, head->wte + token * c, c);
}

/* ---- flat ---- */

double ops_sum_squares(Ops *ops, const float *data, size_t count)
{
    size_t tiles = tiles_of(count, FLAT_TILE * 64);
    double total = 0.0;

    for (size_t tile = 0; tile < tiles; tile++) {
        size_t first = tile * FLAT_TILE * 64, end = tile_end(first, FLAT_TILE * 64, count);
        double parts[64] = {0};

#pragma omp parallel for num_threads(ops->threads) schedule(static)
        for (size_t part = 0; part < 64; part++) {
            size_t begin = first + part * FLAT_TILE;

            if (begin < end)
                parts[part] = ops->kernels->sum_squares(data + begin,
                                                        tile_end(begin, FLAT_TILE, end) - begin);
        }
        for (size_t part = 0; part < 64; part++)
            total += parts[part];
    }
    return total;
}

void ops_adamw(Ops *ops, float *const pmv[3], const float *g, size_t count, const OpsAdamw *step)
{
    size_t tiles = tiles_of(count, FLAT_TILE);

#pragma omp parallel for num_threads(ops->threads) schedule(static)
    for (size_t tile = 0; tile < tiles; tile++) {
        size_t begin = tile * FLAT_TILE;
        float *part[3] = {pmv[0] + begin, pmv[1] + begin, pmv[2] + begin};

        ops->kernels->adamw(part, g + begin, tile_end(begin, FLAT_TILE, count) - begin, step);
    }
}

void ops_set_zero(Ops *ops, float *data, size_t count)
{
    size_t tiles = tiles_of(count, FLAT_TILE);

    (void)ops; /* only the pragma names it */
#pragma omp parallel for num_threads(ops->threads) schedule(static)
    for (size_t tile = 0; tile < tiles; tile++) {
        size_t begin = tile * FLAT_TILE;

        memset(data + begin, 0, (tile_end(begin, FLAT_TILE, count) - begin) * sizeof(*data));
    }
}
