/* SPDX-License-Identifier: Apache-2.0
 *
 * YAML documents as trees whose every node knows its place. Bounded in depth and in nodes, aliases
 * counted as what they expand to.
 */
#ifndef JOBSPEC_TREE_H
#define JOBSPEC_TREE_H

#include "jobspec/diag.h"

typedef enum { TREE_SCALAR, TREE_LIST, TREE_MAP } TreeKind;

typedef struct TreeNode TreeNode;
typedef struct TreeEntry TreeEntry;

/* One element of a list (key NULL) or one field of a map. */
struct TreeEntry {
    const TreeNode *key; /* a scalar */
    const TreeNode *value;
    TreeEntry *next;
};

struct TreeNode {
    TreeKind kind;
    bool plain;       /* a scalar without quotes: the core schema says what it is */
    const char *text; /* of a scalar: UTF-8 without NUL */
    TreeEntry *entries;
    size_t entries_count;
    size_t expanded; /* nodes it stands for, itself and through aliases */
    JobSpecPosition position;
};

typedef struct Tree Tree;

/* Checks encoding and size first. `data` is borrowed until tree_free. */
Tree *tree_new(const char *data, size_t size, const JobSpecLimits *limits, Diags *diags);
/* The next document's root, owned by the tree; NULL at the end. `*whole` is false for what could be
 * read in front of a syntax error; there is no next document then. */
const TreeNode *tree_read(Tree *tree, bool *whole);
void tree_free(Tree *tree);

/* NULL: no such key, or not a map. */
const TreeNode *tree_find(const TreeNode *map, const char *key);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Tree, tree_free)

#endif
