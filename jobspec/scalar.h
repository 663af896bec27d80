/* SPDX-License-Identifier: Apache-2.0
 *
 * The text of one YAML scalar, read as what it means: pure functions without positions, messages
 * about fields, or state. A number with its unit becomes an int64_t in the unit's base (bytes, ms,
 * ppm...).
 */
#ifndef JOBSPEC_SCALAR_H
#define JOBSPEC_SCALAR_H

#include "jobspec/jobspec.h"

typedef enum { SCALAR_NULL, SCALAR_BOOL, SCALAR_INT, SCALAR_FLOAT, SCALAR_STRING } ScalarKind;

typedef enum {
    SCALAR_COUNT,    /* 8: a plain whole number */
    SCALAR_SIZE,     /* 32GiB: bytes */
    SCALAR_DURATION, /* 15m: ms */
    SCALAR_LATENCY,  /* 5ms: us */
    SCALAR_BITRATE,  /* 1Gbps: bits per second */
    SCALAR_BYTERATE, /* 100MB/s: bytes per second */
    SCALAR_MONEY,    /* 2.20: millionths */
    SCALAR_FRACTION, /* 0.97: millionths */
    SCALAR_PERCENT,  /* 10%: millionths of one */
    SCALAR_UNITS
} ScalarUnit;

typedef enum {
    SCALAR_OK,
    SCALAR_MALFORMED,
    SCALAR_NO_UNIT,
    SCALAR_NEGATIVE,
    SCALAR_TOO_LARGE,
    SCALAR_TOO_FINE, /* does not come out whole in the base unit */
    SCALAR_REVERSED  /* the range's lower end is above its upper end */
} ScalarResult;

/* The kind of an unquoted scalar (YAML 1.2.2 section 10.3.2, core schema). */
ScalarKind scalar_resolve(const char *text);
/* A whole number of the core schema: decimal, 0o octal, 0x hexadecimal; may be negative. */
ScalarResult scalar_parse_int(const char *text, int64_t *out);
/* At least 0 and below INT64_MAX. `*out` is untouched unless SCALAR_OK; so below. */
ScalarResult scalar_parse_quantity(const char *text, ScalarUnit unit, int64_t *out);
/* N, N+, N-, A..B; units on both ends. */
ScalarResult scalar_parse_range(const char *text, ScalarUnit unit, JobSpecRange *out);

/* The shortest text that parses to the same. Free with g_free. */
char *scalar_format_quantity(int64_t value, ScalarUnit unit);
/* `range` must ask for something: min > 0 or max < INT64_MAX. */
char *scalar_format_range(JobSpecRange range, ScalarUnit unit);

/* What is wrong, to follow the quoted text: "is not a size (try '16GiB')". */
char *scalar_explain(ScalarResult result, const char *text, ScalarUnit unit);
/* "a size" */
const char *scalar_get_noun(ScalarUnit unit);
/* "B, kB, ... or PiB"; NULL for units written without a suffix. */
char *scalar_list_suffixes(ScalarUnit unit);
/* A regular expression for the texts of a quantity, without anchors or groups to count. */
char *scalar_get_pattern(ScalarUnit unit);
/* Is a bare JSON number a way to write it? */
bool scalar_is_bare(ScalarUnit unit);

#endif
