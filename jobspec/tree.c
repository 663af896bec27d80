/* SPDX-License-Identifier: Apache-2.0
 *
 * libyaml's events become a tree. libyaml itself is a scanner with a stack on the heap; what needs
 * bounds is what it lets through:
 *
 *   bytes       refused before libyaml sees them: past the size limit, not UTF-8, control
 * characters, and the three characters that libyaml counts as line breaks but YAML 1.2 and every
 *               editor do not
 *   directives  looked up one by one in libyaml, quadratic in their number: at most 8 lines begin
 * with % depth       a stack of `limits.depth` open containers nodes       each node counts once,
 * an alias as all that its anchor stands for; the tree shares the anchor's nodes, so that memory is
 * bounded by the bytes and time by the budget
 *
 * Nodes live in blocks that are freed together. A syntax error closes the open containers, and what
 * was read is still checked, so that one pass shows the errors in front of it as well.
 */
#include "jobspec/tree.h"

#include <string.h>
#include <yaml.h>

#define BLOCK_BYTES    ((size_t)16384)
#define DIRECTIVES_MAX 8
#define TAG_MESSAGE    "tags ('!') are not used in job files; remove it"

struct Tree {
    yaml_parser_t parser;
    JobSpecLimits limits;
    Diags *diags;
    GPtrArray *blocks; /* memory of nodes and texts */
    char *block;
    size_t block_used;
    size_t block_size;
    GHashTable *anchors; /* name -> TreeNode, NULL value while it is open; of one document */
    GPtrArray *open;     /* TreeOpen: containers being read, outermost first */
    size_t nodes;
    bool failed;
    bool over_limit;
    bool ended;
};

/* A container being read. */
typedef struct {
    TreeNode *node;
    TreeEntry *last;
    const TreeNode *key; /* of the value that comes next */
    GHashTable *keys;    /* text -> NULL, of a map */
    char *anchor;
} TreeOpen;

static void open_free(TreeOpen *open)
{
    g_clear_pointer(&open->keys, g_hash_table_unref);
    g_free(open->anchor);
    g_free(open);
}

static void *tree_alloc(Tree *tree, size_t size)
{
    size = (size + 15) & ~(size_t)15;
    if (tree->block_used + size > tree->block_size) {
        tree->block_size = MAX(BLOCK_BYTES, size);
        tree->block_used = 0;
        tree->block = g_malloc(tree->block_size);
        g_ptr_array_add(tree->blocks, tree->block);
    }
    tree->block_used += size;
    return memset(tree->block + tree->block_used - size, 0, size);
}

/* ---- bytes ---- */

static void position_advance(JobSpecPosition *at, const char *p)
{
    if (*p == '\n' || (*p == '\r' && p[1] != '\n'))
        *at = (JobSpecPosition){at->line + 1, 1, 1};
    else if (*p != '\r')
        at->column++;
}

static JobSpecPosition position_of(const char *data, size_t size, size_t offset)
{
    JobSpecPosition at = {1, 1, 1};

    for (const char *p = data; p < data + MIN(offset, size); p = diag_next_char(p))
        position_advance(&at, p);
    return at;
}

/* The first byte that may not be in a job file, and why; `size` if all is well. */
static size_t bytes_scan(const char *data, size_t size, const char **reason)
{
    const char *end_valid;
    size_t i;

    for (i = 0; i < size; i++) {
        unsigned char c = (unsigned char)data[i];

        if (c == 0)
            *reason = "a NUL byte is not text";
        else if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f)
            *reason = "a control character is not text (write it as an escape in double quotes)";
        else
            continue;
        break;
    }
    if (!g_utf8_validate(data, (gssize)i, &end_valid)) {
        *reason = "not UTF-8";
        return (size_t)(end_valid - data);
    }
    for (size_t k = 0; k + 1 < i; k++) {
        const unsigned char *c = (const unsigned char *)data + k;

        if (c[0] == 0xc2 && c[1] < 0xa0) {
            *reason = "a control character is not text";
            return k;
        }
        if (c[0] == 0xe2 && c[1] == 0x80 && k + 2 < i && (c[2] == 0xa8 || c[2] == 0xa9)) {
            *reason = "a Unicode line separator is not a line break here (remove it)";
            return k;
        }
    }
    return i;
}

static bool bytes_check_directives(const char *data, size_t size, Diags *diags)
{
    size_t directives = 0;

    for (size_t i = 0; i < size; i++) {
        if (data[i] == '%' && (i == 0 || data[i - 1] == '\n' || data[i - 1] == '\r') &&
            ++directives > DIRECTIVES_MAX) {
            JobSpecPosition at = position_of(data, size, i);

            diag_add(diags, DIAG_LIMIT, &at, "more than %d lines begin with '%%' (directives)",
                     DIRECTIVES_MAX);
            return false;
        }
    }
    return true;
}

static bool bytes_check(const char *data, size_t size, const JobSpecLimits *limits, Diags *diags)
{
    const JobSpecPosition start = {1, 1, 1};
    const char *reason = NULL;
    JobSpecPosition at;
    size_t bad;

    if (size > limits->file_bytes) {
        diag_add(diags, DIAG_LIMIT, &start,
                 "the file is larger than %zu bytes, the most that is read", limits->file_bytes);
        return false;
    }
    if (size >= 2 && (memcmp(data, "\xff\xfe", 2) == 0 || memcmp(data, "\xfe\xff", 2) == 0)) {
        diag_add(diags, DIAG_ENCODING, &start, "the file is UTF-16; save it as UTF-8");
        return false;
    }
    bad = bytes_scan(data, size, &reason);
    if (bad < size) {
        at = position_of(data, size, bad);
        diag_add(diags, DIAG_ENCODING, &at, "byte 0x%02x: %s", (unsigned char)data[bad], reason);
        return false;
    }
    return bytes_check_directives(data, size, diags);
}

/* ---- events ---- */

Tree *tree_new(const char *data, size_t size, const JobSpecLimits *limits, Diags *diags)
{
    Tree *tree = g_new0(Tree, 1);

    tree->limits = *limits;
    tree->diags = diags;
    tree->blocks = g_ptr_array_new_with_free_func(g_free);
    tree->anchors = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    tree->open = g_ptr_array_new_with_free_func((GDestroyNotify)open_free);
    if (!yaml_parser_initialize(&tree->parser))
        g_error("out of memory");
    if (size >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0) {
        data += 3;
        size -= 3;
    }
    tree->ended = !bytes_check(data, size, limits, diags);
    yaml_parser_set_encoding(&tree->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&tree->parser, (const unsigned char *)data, size);
    return tree;
}

void tree_free(Tree *tree)
{
    if (!tree)
        return;
    yaml_parser_delete(&tree->parser);
    g_ptr_array_unref(tree->blocks);
    g_ptr_array_unref(tree->open);
    g_hash_table_unref(tree->anchors);
    g_free(tree);
}

static JobSpecPosition event_position(const yaml_event_t *event)
{
    const yaml_mark_t *start = &event->start_mark, *end = &event->end_mark;
    bool one_line = start->line == end->line && end->column > start->column;
    bool container =
        event->type == YAML_SEQUENCE_START_EVENT || event->type == YAML_MAPPING_START_EVENT;

    return (JobSpecPosition){start->line + 1, start->column + 1,
                             one_line && !container ? end->column - start->column : 1};
}

static void tree_fail(Tree *tree, DiagCode code, const JobSpecPosition *at, const char *message)
{
    diag_add(tree->diags, code, at, "%s", message);
    tree->failed = tree->ended = true;
    tree->over_limit = code == DIAG_LIMIT;
}

/* Spends `count` of the node budget. */
static bool tree_spend(Tree *tree, const JobSpecPosition *at, size_t count)
{
    g_autofree char *message = NULL;

    if (count <= tree->limits.nodes - MIN(tree->nodes, tree->limits.nodes)) {
        tree->nodes += count;
        return true;
    }
    message = g_strdup_printf("more than %zu values, aliases expanded, the most that is read",
                              tree->limits.nodes);
    tree_fail(tree, DIAG_LIMIT, at, message);
    return false;
}

static TreeNode *node_new(Tree *tree, TreeKind kind, const JobSpecPosition *at)
{
    TreeNode *node = tree_alloc(tree, sizeof *node);

    node->kind = kind;
    node->position = *at;
    node->expanded = 1;
    return node;
}

static TreeNode *scalar_new(Tree *tree, const char *text, size_t size, const JobSpecPosition *at)
{
    TreeNode *node = node_new(tree, TREE_SCALAR, at);
    char *copy = tree_alloc(tree, size + 1);

    memcpy(copy, text, size);
    node->text = copy;
    return node;
}

/* A key seen twice is told at its second place and left out with its value. */
static bool open_take_key(Tree *tree, TreeOpen *open, const TreeNode *key)
{
    if (strcmp(key->text, "<<") == 0 && key->plain) {
        diag_add(tree->diags, DIAG_YAML_FEATURE, &key->position,
                 "merge keys ('<<') are not part of YAML 1.2; write the fields out");
        return false;
    }
    if (!open->keys)
        open->keys = g_hash_table_new(g_str_hash, g_str_equal);
    if (!g_hash_table_add(open->keys, (gpointer)(uintptr_t)key->text)) {
        g_autofree char *quoted = diag_quote(key->text);

        diag_add(tree->diags, DIAG_DUPLICATE, &key->position, "%s is written twice in this mapping",
                 quoted);
        return false;
    }
    return true;
}

static void open_append(Tree *tree, TreeOpen *open, const TreeNode *key, const TreeNode *value)
{
    TreeEntry *entry = tree_alloc(tree, sizeof *entry);

    entry->key = key;
    entry->value = value;
    if (open->last)
        open->last->next = entry;
    else
        open->node->entries = entry;
    open->last = entry;
    open->node->entries_count++;
}

/* Puts a finished node into the innermost open container; true if it is the document's root. */
static bool tree_place(Tree *tree, const TreeNode *node)
{
    TreeOpen *open;

    if (tree->open->len == 0)
        return true;
    open = g_ptr_array_index(tree->open, tree->open->len - 1);
    open->node->expanded += node->expanded;
    if (open->node->kind == TREE_LIST) {
        open_append(tree, open, NULL, node);
    } else if (open->key) {
        if (open_take_key(tree, open, open->key))
            open_append(tree, open, open->key, node);
        open->key = NULL;
    } else if (node->kind == TREE_SCALAR) {
        open->key = node;
    } else {
        tree_fail(tree, DIAG_YAML_FEATURE, &node->position,
                  "a key must be a name, not a list or a mapping");
    }
    return false;
}

static bool tree_read_scalar(Tree *tree, const yaml_event_t *event, const TreeNode **root)
{
    JobSpecPosition at = event_position(event);
    const char *text = (const char *)event->data.scalar.value;
    const char *anchor = (const char *)event->data.scalar.anchor;
    size_t size = event->data.scalar.length;
    TreeNode *node;

    if (event->data.scalar.tag)
        diag_add(tree->diags, DIAG_YAML_FEATURE, &at, TAG_MESSAGE);
    if (memchr(text, '\0', size)) {
        diag_add(tree->diags, DIAG_ENCODING, &at, "the text holds a NUL character");
        text = "\xef\xbf\xbd"; /* U+FFFD in its place, so that no other error hides this one */
        size = strlen(text);
    }
    if (!tree_spend(tree, &at, 1))
        return false;
    node = scalar_new(tree, text, size, &at);
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (anchor)
        g_hash_table_insert(tree->anchors, g_strdup(anchor), node);
    if (tree_place(tree, node))
        *root = node;
    return !tree->failed;
}

static bool tree_read_start(Tree *tree, const yaml_event_t *event)
{
    bool map = event->type == YAML_MAPPING_START_EVENT;
    const yaml_char_t *tag = map ? event->data.mapping_start.tag : event->data.sequence_start.tag;
    const yaml_char_t *anchor =
        map ? event->data.mapping_start.anchor : event->data.sequence_start.anchor;
    JobSpecPosition at = event_position(event);
    g_autofree char *message = NULL;
    TreeOpen *open;

    if (tag)
        diag_add(tree->diags, DIAG_YAML_FEATURE, &at, TAG_MESSAGE);
    if (tree->open->len >= tree->limits.depth) {
        message =
            g_strdup_printf("nested deeper than %zu, the most that is read", tree->limits.depth);
        tree_fail(tree, DIAG_LIMIT, &at, message);
        return false;
    }
    if (!tree_spend(tree, &at, 1))
        return false;
    open = g_new0(TreeOpen, 1);
    open->node = node_new(tree, map ? TREE_MAP : TREE_LIST, &at);
    open->anchor = g_strdup((const char *)anchor);
    if (anchor)
        g_hash_table_insert(tree->anchors, g_strdup((const char *)anchor), NULL);
    g_ptr_array_add(tree->open, open);
    return true;
}

static bool tree_read_end(Tree *tree, const TreeNode **root)
{
    TreeOpen *open = g_ptr_array_steal_index(tree->open, tree->open->len - 1);
    const TreeNode *node = open->node;

    if (open->anchor)
        g_hash_table_insert(tree->anchors, g_strdup(open->anchor), open->node);
    open_free(open);
    if (tree_place(tree, node))
        *root = node;
    return !tree->failed;
}

static bool tree_read_alias(Tree *tree, const yaml_event_t *event, const TreeNode **root)
{
    const char *name = (const char *)event->data.alias.anchor;
    JobSpecPosition at = event_position(event);
    g_autofree char *quoted = diag_quote(name);
    g_autofree char *message = NULL;
    gpointer found = NULL;
    const TreeNode *node;

    if (!g_hash_table_lookup_extended(tree->anchors, name, NULL, &found))
        message = g_strdup_printf("no anchor of the name %s stands before this alias", quoted);
    else if (!found)
        message = g_strdup_printf("the alias %s is inside its own anchor", quoted);
    if (message) {
        tree_fail(tree, DIAG_YAML_FEATURE, &at, message);
        return false;
    }
    node = found;
    if (!tree_spend(tree, &at, node->expanded))
        return false;
    if (tree_place(tree, node))
        *root = node;
    return !tree->failed;
}

/* What an author can do about libyaml's commonest complaints. */
static const char *syntax_mend(const char *problem)
{
    static const struct {
        const char *problem, *mend;
    } mends[] = {
        {"found a tab character", "indent with spaces"},
        {"found character that cannot start any token",
         "indent with spaces, put '@' or '`' in quotes"},
        {"mapping values are not allowed", "put a value that holds ': ' in quotes"},
        {"could not find expected ':'", "write 'key: value'"},
        {"did not find expected key", "indent the keys of a mapping alike"},
        {"did not find expected '-' indicator", "indent the entries of a list alike"},
        {"did not find expected ',' or", "close the bracket"},
        {"found unexpected end of stream", "close the quotes"},
        {"found unknown escape character", "double the backslash, or use single quotes"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(mends); i++)
        if (g_str_has_prefix(problem, mends[i].problem))
            return mends[i].mend;
    return NULL;
}

static void tree_fail_syntax(Tree *tree)
{
    const yaml_parser_t *parser = &tree->parser;
    JobSpecPosition at = {parser->problem_mark.line + 1, parser->problem_mark.column + 1, 1};
    bool context = parser->context && parser->context_mark.line != parser->problem_mark.line;
    const char *problem = parser->problem ? parser->problem : "cannot be read";
    const char *mend = syntax_mend(problem);
    g_autofree char *began = context
                                 ? g_strdup_printf(" %s that began on line %zu", parser->context,
                                                   parser->context_mark.line + 1)
                                 : NULL;

    if (parser->error == YAML_MEMORY_ERROR)
        g_error("out of memory");
    diag_add(tree->diags, DIAG_SYNTAX, &at, "YAML: %s%s%s%s%s", problem, began ? began : "",
             mend ? " (" : "", mend ? mend : "", mend ? ")" : "");
    tree->failed = tree->ended = true;
}

/* After an error: closes what is open, so that what was read is a tree. */
static void tree_close_all(Tree *tree, const TreeNode **root)
{
    while (tree->open->len > 0) {
        TreeOpen *open = g_ptr_array_steal_index(tree->open, tree->open->len - 1);
        TreeOpen *parent =
            tree->open->len ? g_ptr_array_index(tree->open, tree->open->len - 1) : NULL;

        if (!parent)
            *root = open->node;
        else if (parent->node->kind == TREE_LIST)
            open_append(tree, parent, NULL, open->node);
        else if (parent->key && open_take_key(tree, parent, parent->key))
            open_append(tree, parent, parent->key, open->node);
        open_free(open);
    }
}

static bool tree_take_event(Tree *tree, const yaml_event_t *event, const TreeNode **root)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return tree_read_scalar(tree, event, root);
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        return tree_read_start(tree, event);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return tree_read_end(tree, root);
    case YAML_ALIAS_EVENT:
        return tree_read_alias(tree, event, root);
    case YAML_DOCUMENT_END_EVENT:
        return false;
    case YAML_STREAM_END_EVENT:
        tree->ended = true;
        return false;
    default:
        return true;
    }
}

const TreeNode *tree_read(Tree *tree, bool *whole)
{
    const TreeNode *root = NULL;
    bool more = !tree->ended;

    g_hash_table_remove_all(tree->anchors);
    while (more) {
        yaml_event_t event;

        if (!yaml_parser_parse(&tree->parser, &event)) {
            tree_fail_syntax(tree);
            break;
        }
        more = tree_take_event(tree, &event, &root);
        yaml_event_delete(&event);
    }
    if (tree->failed)
        tree_close_all(tree, &root);
    *whole = !tree->failed;
    return tree->over_limit ? NULL : root;
}

const TreeNode *tree_find(const TreeNode *map, const char *key)
{
    if (map->kind != TREE_MAP)
        return NULL;
    for (const TreeEntry *entry = map->entries; entry; entry = entry->next)
        if (strcmp(entry->key->text, key) == 0)
            return entry->value;
    return NULL;
}
