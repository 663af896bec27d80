/* SPDX-License-Identifier: Apache-2.0
 *
 * The training of one rank, from the first weights or the last checkpoint to the sample at the end.
 */
#ifndef GPT_TRAIN_H
#define GPT_TRAIN_H

#include "collectives/coll.h"
#include "fault.h"
#include "options.h"

#include <stdio.h>

/* Lines for people go to `out`, from rank 0. 0 also when the launcher asked to stop: then the
 * checkpoint is written. */
int train_run(const Options *options, coll_comm *comm, FILE *out, Fault *fault);

#endif
