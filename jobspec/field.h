/* SPDX-License-Identifier: Apache-2.0
 *
 * The one table of fields. Parsing, defaults, checks, errors, canonical JSON, JSON Schema, `spec
 * explain` and drover-job(5) are loops over it; there is no second list of fields.
 */
#ifndef JOBSPEC_FIELD_H
#define JOBSPEC_FIELD_H

#include "jobspec/scalar.h"

typedef enum {
    FIELD_GROUP,        /* a mapping of the fields whose paths begin with this one's */
    FIELD_RESOURCES,    /* a group that fills a JobSpecResources */
    FIELD_ANY_OF,       /* a list of such mappings, each over the fields beside it */
    FIELD_STRING,       /* char *; one of `words` where there are any */
    FIELD_BOOL,         /* bool */
    FIELD_ENUM,         /* int: the value of one word */
    FIELD_INT,          /* int64_t */
    FIELD_INT_OR_WORD,  /* int64_t: a number, or the value of a word */
    FIELD_QUANTITY,     /* int64_t in the base of `unit` */
    FIELD_RANGE,        /* JobSpecRange in the base of `unit` */
    FIELD_WORDS,        /* GPtrArray of char * */
    FIELD_FLAGS,        /* unsigned: the values of a list of words, or-ed */
    FIELD_PORTS,        /* GArray of int64_t */
    FIELD_ENVS,         /* GPtrArray of JobSpecPair, sorted by key */
    FIELD_MATRIX,       /* GPtrArray of JobSpecPair: the combination, sorted by key */
    FIELD_ACCELERATORS, /* GPtrArray of JobSpecAccelerator */
    FIELD_DEPENDS,      /* GPtrArray of JobSpecDependency: a list of groups */
    FIELD_TYPES
} FieldType;

typedef enum {
    FIELD_REQUIRED = 1 << 0,
    FIELD_SUBSTITUTED = 1 << 1, /* ${{ matrix.NAME }} is replaced */
    FIELD_LOWER = 1 << 2,       /* entries are kept in lower case */
    FIELD_CLOSED = 1 << 3,      /* a range that needs both ends */
    FIELD_COUNTRIES = 1 << 4    /* two-letter entries are ISO 3166 codes */
} FieldFlags;

/* The struct that a field's value lives in. */
typedef enum { RECORD_SPEC, RECORD_RESOURCES, RECORD_DEPENDENCY } FieldRecord;

#define FIELD_TEXT_BYTES_MAX \
    100000                     /* of an argument or variable; Linux: 131,071 (MAX_ARG_STRLEN) */
#define FIELD_ENTRIES_MAX 1000 /* of a list */

typedef struct {
    const char *text;
    int value;
    const char *help;
} FieldWord;

typedef struct {
    const char *path; /* dotted: "limits.idle_gpu.below" */
    FieldType type;
    unsigned flags;
    FieldRecord record;
    size_t offset; /* into the record */
    ScalarUnit unit;
    const char *preset;      /* the default, as one would write it; NULL: none, written `null` */
    int64_t none;            /* what `null` means for a number */
    int64_t min, max;        /* of a number in base units; bytes of a string; entries of a list */
    const FieldWord *words;  /* ended by a NULL text */
    const char *pattern;     /* of a string, or of each entry or key */
    const char *reserved;    /* names that match it are drover's own and refused */
    const char *noun;        /* what the pattern describes: "a job name" */
    const char *preset_note; /* a default that depends on other fields, in words */
    const char *example;     /* a value, as one would write it */
    const char *help;        /* sentences */
} Field;

const Field *field_table(size_t *count);
/* By dotted path; NULL: none. */
const Field *field_find(const char *path);
/* The next child of `group` (NULL: of the whole file) after `previous` (NULL: the first one). */
const Field *field_next_child(const Field *group, const Field *previous);
const Field *field_find_child(const Field *group, const char *name);
/* The last part of the path. */
const char *field_get_name(const Field *field);
bool field_is_group(const Field *field);
/* "a size", "'never', 'auto' or 'only'", "a list of ports". Free with g_free. */
char *field_describe(const Field *field);
/* Is `path` this field or inside it? */
bool field_path_covers(const char *path, const char *inner);
const FieldWord *field_find_word(const Field *field, const char *text);
/* "'never', 'auto' or 'only'". Free with g_free. */
char *field_list_words(const Field *field);
/* Where the value is in its record. */
void *field_slot(const Field *field, void *record);
const void *field_peek(const Field *field, const void *record);

#endif
