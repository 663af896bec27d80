/* SPDX-License-Identifier: Apache-2.0
 *
 * Mappings of fields, and the lists of such mappings.
 */
#ifndef JOBSPEC_GROUP_H
#define JOBSPEC_GROUP_H

#include "jobspec/value.h"

/* The children of `group` (NULL: the whole file). False if anything was wrong: the record is then
 * of no use but to be freed. */
bool group_read(ValueReader *reader, const Field *group, const TreeNode *node, void *record);
bool group_read_resources(ValueReader *reader, const Field *field, const TreeNode *node,
                          void *record);
bool group_read_any_of(ValueReader *reader, const Field *field, const TreeNode *node, void *record);
bool group_read_depends(ValueReader *reader, const Field *field, const TreeNode *node,
                        void *record);

#endif
