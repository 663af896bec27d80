/* SPDX-License-Identifier: Apache-2.0
 *
 * Collecting diagnostics of one file: bounded in number and size, safe to print.
 */
#ifndef JOBSPEC_DIAG_H
#define JOBSPEC_DIAG_H

#include "jobspec/jobspec.h"

/* The numbers are stable: scripts match on them. README.md has the table. */
typedef enum {
    DIAG_UNREADABLE = 100,
    DIAG_SYNTAX = 101,
    DIAG_UNKNOWN_FIELD = 102,
    DIAG_DUPLICATE = 103,
    DIAG_MISSING = 104,
    DIAG_TYPE = 105,
    DIAG_VALUE = 106,
    DIAG_UNIT = 107,
    DIAG_RANGE = 108,
    DIAG_LIMIT = 109,
    DIAG_ENCODING = 110,
    DIAG_YAML_FEATURE = 111,
    DIAG_CONTRADICTION = 112,
    DIAG_RESERVED = 113,
    DIAG_MATRIX = 114,
    DIAG_JOB_NAME = 115,
    DIAG_DEPENDENCY = 116,
    DIAG_EMPTY = 117,
    DIAG_REFUSED = 118,
    DIAG_UNFIT = 119,
    DIAG_NO_EFFECT = 201,
    DIAG_RISKY = 202
} DiagCode;

typedef struct {
    JobSpecFile *file;
    size_t limit;
    bool muted;    /* a pass that repeats an earlier one: its diagnostics are known already */
    size_t errors; /* so far, kept or not */
} Diags;

/* Errors have codes from 100, warnings from 200. */
void diag_add(Diags *diags, DiagCode code, const JobSpecPosition *at, const char *format, ...)
    G_GNUC_PRINTF(4, 5);
size_t diag_count_errors(const JobSpecFile *file);
/* By position. */
void diag_sort(JobSpecFile *file);
void diag_free(JobSpecDiagnostic *diagnostic);

/* "error", "warning" */
const char *diag_get_severity(const JobSpecDiagnostic *diagnostic);
/* "E102", "W201". Free with g_free. */
char *diag_format_code(const JobSpecDiagnostic *diagnostic);

/* In single quotes, cut at 60 code points, control characters escaped. Free with g_free. */
char *diag_quote(const char *text);
/* Appends `text` with everything that could steer a terminal (control characters, direction
 * overrides, bytes that are not UTF-8) written as \xNN or \uNNNN. */
void diag_escape(GString *out, const char *text, size_t size);

/* The next character of UTF-8 text; as g_utf8_next_char, which casts the const away. */
static inline const char *diag_next_char(const char *text)
{
    return text + g_utf8_skip[(unsigned char)*text];
}

/* The candidate that `word` was probably meant to be; NULL if none is close. */
const char *diag_suggest(const char *word, const char *const *candidates, size_t count);

#endif
