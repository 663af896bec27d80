/* SPDX-License-Identifier: Apache-2.0
 *
 * Arithmetic of reductions. A result is built as first, next, next, ..., last; each takes `n`
 * elements. Nothing here contracts a product and a sum into one rounding, so the same order gives
 * the same bits with every compiler and instruction set.
 */
#ifndef COLLECTIVES_REDUCE_H
#define COLLECTIVES_REDUCE_H

#include <stddef.h>

#include "collectives/backend.h"

/* How ranks are combined. For a mean, rank r's floats are multiplied by its factor, added, and the
 * sum is divided: see coll_reduction_set_weights(). */
typedef struct {
    coll_type type;
    coll_op op;
    bool mean;
    float divisor; /* of a mean */
} CollReduction;

CollReduction coll_reduction_from_call(const CollCall *call);

/* Turns weights into factors and the divisor, such that sum(factor * x) / divisor is the weighted
 * mean and no partial sum exceeds the largest |x|: factor_r = weight_r / 2^e, divisor = sum / 2^e,
 * with e so that the divisor is in [0.5, 1). Summed in rank order in double. Returns -1, or the
 * first rank whose weight is negative or not finite, or `size` when all are 0. In place: factors
 * may be weights. */
int coll_reduction_set_weights(CollReduction *reduction, const double *weights, int size,
                               double *factors);

/* What one rank brings in. `factor` counts for a mean only; when it is 0 the data is not read. */
typedef struct {
    const void *data;
    double factor;
} CollPart;

void coll_reduce_first(const CollReduction *reduction, void *dst, CollPart part, size_t n);
/* dst = partial (op) part; dst may be partial or the part's data. */
void coll_reduce_next(const CollReduction *reduction, void *dst, const void *partial, CollPart part,
                      size_t n);
void coll_reduce_last(const CollReduction *reduction, void *dst, size_t n);

#endif
