/* SPDX-License-Identifier: Apache-2.0
 *
 * What a job would get and cost on a node, before it is accepted.
 */
#ifndef CLI_QUOTE_H
#define CLI_QUOTE_H

#include "runner/queue/match.h"

typedef struct {
    Match *match;
    MoneyAsset asset;
    int64_t price_usd_micro; /* of all its devices, per hour */
    int64_t per_hour;        /* base units of the asset, fees included */
    int64_t at_most;         /* ... for max_duration and the grace */
    int64_t fee_bp;          /* of the fees in both */
} Quote;

/* All devices of the node count as free. A job that fits nowhere has no amounts. */
Quote *quote_new(const JobSpec *spec, const Node *node, const PriceList *prices, GError **error);
/* One line: "RTX4090 x 2 at 0.44 USD an hour each: with 2.00 % fee 0.8976 USDC per hour, at most
 * ..." */
char *quote_format(const Quote *quote, const JobSpec *spec);
json_t *quote_to_json(const Quote *quote, const JobSpec *spec);
void quote_free(Quote *quote);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Quote, quote_free)

#endif
