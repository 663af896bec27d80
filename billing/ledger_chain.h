/* SPDX-License-Identifier: Apache-2.0
 *
 * The byte form of a posting and its hash. Private to the folder.
 */
#ifndef BILLING_LEDGER_CHAIN_H
#define BILLING_LEDGER_CHAIN_H

#include "billing/billing.h"

#define LEDGER_HASH_SIZE 32

/* A posting in its place: `posting.legs` in the order of ledger_chain_compare_legs(). */
typedef struct {
    Posting posting;
    int64_t seq;     /* from 1 */
    const char *job; /* "": about no job */
} ChainPosting;

/* By account, asset, amount: a total order, so a posting has one byte form. */
int ledger_chain_compare_legs(const void *a, const void *b);
/* hash = SHA-256(byte form of `chained` after the posting whose hash is `previous`). */
void ledger_chain_hash(const uint8_t previous[LEDGER_HASH_SIZE], const ChainPosting *chained,
                       uint8_t hash[LEDGER_HASH_SIZE]);

#endif
