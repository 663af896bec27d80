/* SPDX-License-Identifier: Apache-2.0
 *
 * Canonical values: what value_read would read into the same record.
 */
#ifndef JOBSPEC_EMIT_H
#define JOBSPEC_EMIT_H

#include "jobspec/field.h"

/* The value of `field` in its record; `null` where nothing is asked for. */
json_t *emit_value(const Field *field, const void *record);
/* All children of `group` (NULL: the whole job). */
json_t *emit_group(const Field *group, const void *record);
/* The field's default, as emit_value writes it. */
json_t *emit_preset(const Field *field);
/* Is the field what it would be if its author had not written it? */
bool emit_is_default(const JobSpec *spec, const Field *field);

#endif
