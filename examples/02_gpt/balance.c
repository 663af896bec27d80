/* SPDX-License-Identifier: Apache-2.0
 *
 * A damped controller. Speed of a rank (sequences a second) is smoothed over steps; from the
 * smoothed speeds come the shares that would end together (largest remainder, coll_shares). They
 * are taken only when the step they predict is shorter by GAIN than that of the present shares, and
 * not before the speeds have been seen for SETTLE steps with the present ones. So noise moves
 * nothing, and a rank that slows down loses share a few steps later.
 */
#include "balance.h"

#include "collectives/coll.h"

#include <stdlib.h>

#define DAMPING 0.4  /* weight of the new measurement */
#define GAIN    0.05 /* of the step's time */
#define SETTLE  3    /* steps */

struct Balance {
    size_t ranks, batch, least;
    bool follow;
    int seen; /* steps since the shares changed */
    double *speed;
    size_t *shares, *wanted;
};

int balance_new(size_t ranks, size_t batch, bool follow, Balance **balance, Fault *fault)
{
    Balance *made = calloc(1, sizeof(*made));

    if (!made)
        return fault_set(fault, "no memory for the shares");
    made->ranks = ranks;
    made->batch = batch;
    made->least = batch >= ranks ? 1 : 0;
    made->follow = follow && ranks > 1 && batch > ranks;
    made->speed = calloc(ranks, sizeof(*made->speed));
    made->shares = calloc(ranks, sizeof(*made->shares));
    made->wanted = calloc(ranks, sizeof(*made->wanted));
    if (!made->speed || !made->shares || !made->wanted ||
        coll_shares(ranks, NULL, batch, made->least, made->shares)) {
        balance_free(made);
        return fault_set(fault, "cannot share %zu sequences among %zu ranks", batch, ranks);
    }
    *balance = made;
    return 0;
}

void balance_free(Balance *balance)
{
    if (!balance)
        return;
    free(balance->speed);
    free(balance->shares);
    free(balance->wanted);
    free(balance);
}

size_t balance_get_share(const Balance *balance, size_t rank)
{
    return balance->shares[rank];
}

size_t balance_get_first(const Balance *balance, size_t rank)
{
    size_t first = 0;

    for (size_t i = 0; i < rank; i++)
        first += balance->shares[i];
    return first;
}

/* The slowest rank makes the step. */
static double predict(const Balance *balance, const size_t *shares)
{
    double longest = 0.0;

    for (size_t i = 0; i < balance->ranks; i++) {
        double seconds = (double)shares[i] / balance->speed[i];

        if (seconds > longest)
            longest = seconds;
    }
    return longest;
}

bool balance_update(Balance *balance, const double *seconds)
{
    if (!balance->follow)
        return false;
    for (size_t i = 0; i < balance->ranks; i++) {
        double speed;

        if (!(seconds[i] > 0.0))
            return false;
        speed = (double)balance->shares[i] / seconds[i];
        balance->speed[i] = balance->speed[i] > 0.0
                                ? balance->speed[i] + DAMPING * (speed - balance->speed[i])
                                : speed;
    }
    if (++balance->seen < SETTLE)
        return false;
    if (coll_shares(balance->ranks, balance->speed, balance->batch, balance->least,
                    balance->wanted) ||
        predict(balance, balance->wanted) > (1.0 - GAIN) * predict(balance, balance->shares))
        return false;
    for (size_t i = 0; i < balance->ranks; i++)
        balance->shares[i] = balance->wanted[i];
    balance->seen = 0;
    return true;
}
