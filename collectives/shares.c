/* SPDX-License-Identifier: Apache-2.0
 *
 * Splits a number of samples among ranks of unequal speed.
 *
 * First the ranks whose proportional part is below `least` are set to it; that leaves less for the
 * others, so it is repeated until no rank falls below. Then the largest remainder method
 * (Hamilton): everyone gets its part rounded down, and what is left goes, one each, to the largest
 * fractions. Speeds are divided by the greatest one, so that their sum cannot overflow. A quota is
 * a double below 2^53, so rounding can put the parts at most a few samples above the total; these
 * are taken back from the smallest fractions.
 */
#include <math.h>
#include <stdint.h>

#include "collectives/coll.h"

static const size_t SHARE_OPEN = SIZE_MAX; /* in shares[]: not yet decided */

static bool shares_check(size_t ranks, const double *speed, size_t total, size_t least)
{
    size_t floor;

    if (ranks == 0 || total > (size_t)1 << 53 || __builtin_mul_overflow(ranks, least, &floor) ||
        floor > total)
        return false;
    for (size_t r = 0; speed && r < ranks; r++)
        if (!(speed[r] > 0) || !isfinite(speed[r]))
            return false;
    return true;
}

typedef struct {
    const double *speed; /* NULL: all alike */
    double greatest;
    double sum;   /* of the undecided ranks, in units of the greatest */
    double total; /* what they share */
} Split;

static double shares_speed(const Split *split, size_t rank)
{
    return split->speed ? split->speed[rank] / split->greatest : 1;
}

static double shares_quota(const Split *split, size_t rank)
{
    return split->sum > 0 ? split->total * (shares_speed(split, rank) / split->sum) : 0;
}

/* Sums up who is undecided, then sets ranks below `least`; true when it set any. */
static bool shares_raise(Split *split, size_t ranks, size_t total, size_t least, size_t *shares)
{
    bool raised = false;

    split->sum = 0;
    for (size_t r = 0; r < ranks; r++) {
        if (shares[r] == SHARE_OPEN)
            split->sum += shares_speed(split, r);
        else
            total -= least;
    }
    split->total = (double)total;
    for (size_t r = 0; r < ranks; r++) {
        if (shares[r] == SHARE_OPEN && shares_quota(split, r) < (double)least) {
            shares[r] = least;
            raised = true;
        }
    }
    return raised;
}

/* The rank whose share lags (direction +1) or leads (-1) its quota most; ties to the lower rank.
 * Ranks raised to `least` have a quota below it, so they lag less than any other and are never
 * lowered. */
static size_t shares_find(const Split *split, size_t ranks, size_t least, const size_t *shares,
                          int direction)
{
    size_t found = 0;
    double most = -INFINITY;

    for (size_t r = 0; r < ranks; r++) {
        double lag = direction * (shares_quota(split, r) - (double)shares[r]);

        if (lag > most && (direction > 0 || shares[r] > least)) {
            most = lag;
            found = r;
        }
    }
    return found;
}

int coll_shares(size_t ranks, const double *speed, size_t total, size_t least, size_t *shares)
{
    Split split = {.speed = speed, .greatest = 1};
    size_t given = 0;

    if (!shares || !shares_check(ranks, speed, total, least))
        return COLL_EINVAL;
    for (size_t r = 0; r < ranks; r++) {
        shares[r] = SHARE_OPEN;
        if (speed && (r == 0 || speed[r] > split.greatest))
            split.greatest = speed[r];
    }
    while (shares_raise(&split, ranks, total, least, shares))
        ;
    for (size_t r = 0; r < ranks; r++) {
        if (shares[r] == SHARE_OPEN)
            shares[r] = (size_t)shares_quota(&split, r);
        given += shares[r];
    }
    for (; given < total; given++)
        shares[shares_find(&split, ranks, least, shares, 1)]++;
    for (; given > total; given--)
        shares[shares_find(&split, ranks, least, shares, -1)]--;
    return COLL_OK;
}
