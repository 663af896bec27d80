/* SPDX-License-Identifier: Apache-2.0
 *
 * What `drover rank` tells the launcher, as whole packets over a Unix socket (SOCK_SEQPACKET) in
 * the attempt's folder. The sender's pid comes with each packet from the kernel (SCM_CREDENTIALS),
 * in the receiver's PID namespace; RANK_LINK_HELLO carries the read end of the rank's progress
 * pipe.
 */
#ifndef LAUNCHER_RANK_LINK_H
#define LAUNCHER_RANK_LINK_H

#include "launcher/plan.h"

#include <stdint.h>

/* In the attempt's folder. Both sides go there first, since the path of a socket must be short. */
#define RANK_LINK_SOCKET "launch.sock"
#define RANK_LINK_PLAN   "plan.json"

/* Names a variable with names, divided by commas, of variables that are for the engine and not for
 * the program. */
#define RANK_ENGINE_ONLY "DROVER_ENGINE_ONLY"

typedef enum {
    RANK_LINK_HELLO = 1,      /* from the rank's process itself, before it becomes the program */
    RANK_LINK_EXIT = 2,       /* it has ended */
    RANK_LINK_ENGINE_END = 3, /* the engine wants this rank to end */
} RankLinkType;

typedef struct {
    uint32_t type;
    int32_t rank;
    int32_t code;   /* of RANK_LINK_EXIT */
    int32_t signal; /* of RANK_LINK_EXIT; 0: it exited */
} RankLinkMessage;

/* This process's environment, less what is the engine's, plus what the plan sets for `rank` (NULL:
 * what is common). The caller frees it with g_strfreev. */
char **rank_environment(const Plan *plan, const PlanRank *rank);

#endif
