/* SPDX-License-Identifier: Apache-2.0
 *
 * What plan.c and plan_json.c share: bounds, the parts of a plan and the form of a variable's name.
 */
#ifndef LAUNCHER_PLAN_CHECK_H
#define LAUNCHER_PLAN_CHECK_H

#include "launcher/plan.h"

#define PLAN_RANKS_MAX 4096
#define PLAN_CPU_MAX   65535

/* [A-Za-z_][A-Za-z0-9_]*, `size` bytes long. */
bool plan_key_is_valid(const char *key, size_t size);

void plan_rank_free(PlanRank *rank);
void plan_host_free(PlanHost *host);
void plan_island_free(PlanIsland *island);

#endif
