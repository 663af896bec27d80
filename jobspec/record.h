/* SPDX-License-Identifier: Apache-2.0
 *
 * The life of the structs that fields live in: loops over the table by field type.
 */
#ifndef JOBSPEC_RECORD_H
#define JOBSPEC_RECORD_H

#include "jobspec/field.h"

/* Every field of a zeroed record gets its default. */
void record_init(FieldRecord kind, void *record);
/* Frees what the fields own. */
void record_clear(FieldRecord kind, void *record);
/* One field gets its default, or what `null` means: nothing asked for. */
void record_preset(const Field *field, void *record);
void record_empty(const Field *field, void *record);
/* Frees what one field owns. */
void record_drop(const Field *field, void *record);

/* where.same if its author does not say: nodes of one job belong together. */
JobSpecSame record_default_same(const JobSpec *spec);
int64_t record_get_nodes_max(const JobSpec *spec);

JobSpecResources *record_new_resources(void);
void record_free_resources(JobSpecResources *resources);
void record_free_dependency(JobSpecDependency *dependency);
void record_free_accelerator(JobSpecAccelerator *accelerator);
JobSpecPair *record_new_pair(const char *key, const char *value);
void record_free_pair(JobSpecPair *pair);
/* Two JobSpecPairs of a GPtrArray, by key. */
int record_compare_pairs(gconstpointer a, gconstpointer b);

#endif
