/* SPDX-License-Identifier: Apache-2.0
 *
 * How the global batch is shared among ranks of unequal speed. Pure: every rank feeds in the same
 * measurements and comes to the same shares.
 */
#ifndef GPT_BALANCE_H
#define GPT_BALANCE_H

#include "fault.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct Balance Balance;

/* Starts even. `follow` false: stays even. */
int balance_new(size_t ranks, size_t batch, bool follow, Balance **balance, Fault *fault);
void balance_free(Balance *balance);                           /* NULL is fine */
size_t balance_get_share(const Balance *balance, size_t rank); /* sequences */
size_t balance_get_first(const Balance *balance, size_t rank); /* of its sequences in the batch */
/* seconds[rank]: what its share took in this step. True when the shares changed. */
bool balance_update(Balance *balance, const double *seconds);

#endif
