/* SPDX-License-Identifier: Apache-2.0
 *
 * Which devices of a node a job gets, or in words why none: pure, same input, same answer.
 *
 * The entries of spec->resources are tried in order; the first that fits free devices wins. A
 * resource is what the job may use of a node: the node must have the lower end; more than the upper
 * end is no fault of a node (of its cores the job then gets the upper end).
 */
#ifndef QUEUE_MATCH_H
#define QUEUE_MATCH_H

#include "billing/billing.h"
#include "jobspec/jobspec.h"
#include "launcher/node.h"

typedef enum {
    MATCH_FITS, /* devices are chosen */
    MATCH_BUSY, /* an entry fits, but its devices are leased: wait */
    MATCH_NONE  /* no entry will ever fit this node */
} MatchResult;

typedef struct {
    const Device *device;    /* borrowed from the node */
    int64_t price_usd_micro; /* per hour */
} MatchDevice;

typedef struct {
    MatchResult result;
    size_t entry;       /* FITS: index into spec->resources */
    GArray *devices;    /* FITS: MatchDevice, in the order of the node */
    int64_t cpus;       /* FITS: cores the job gets, the first of node->cpus */
    GPtrArray *reasons; /* char *: why each entry before the chosen one does not fit, in their
                         * order, each with the field, what is there and the mend */
} Match;

/* `busy`: the set of device ids (char *) that are leased; NULL: all free. Never fails. */
Match *match_find(const JobSpec *spec, const Node *node, const PriceList *prices, GHashTable *busy);
/* "RTX4090 x 2 at 0.44 USD an hour each" / the reasons, one a line: for quotes and refusals. */
char *match_describe(const Match *match);
void match_free(Match *match);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Match, match_free)

#endif
