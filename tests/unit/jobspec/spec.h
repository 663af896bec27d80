/* SPDX-License-Identifier: Apache-2.0
 *
 * Job files for tests: text in, what the author would see out.
 */
#ifndef TESTS_JOBSPEC_SPEC_H
#define TESTS_JOBSPEC_SPEC_H

#include "jobspec/jobspec.h"

#include <string.h>

#define SPEC_HEAD "version: 1\nname: a\nrun: x\n"

static inline JobSpecFile *spec_parse(const char *text)
{
    return jobspec_file_parse("job.yaml", text, strlen(text), NULL);
}

/* The first three lines every job needs, then `more` from line 4 on. */
static inline JobSpecFile *spec_parse_more(const char *more)
{
    g_autofree char *text = g_strconcat(SPEC_HEAD, more, NULL);

    return spec_parse(text);
}

/* All diagnostics, a line each: "4:1 E102 unknown field ...". Free with g_free. */
static inline char *spec_describe(const JobSpecFile *file)
{
    GString *out = g_string_new(NULL);

    for (guint i = 0; i < file->diagnostics->len; i++) {
        const JobSpecDiagnostic *d = g_ptr_array_index(file->diagnostics, i);

        g_string_append_printf(out, "%zu:%zu+%zu %c%u %s\n", d->position.line, d->position.column,
                               d->position.length, "EWN"[d->severity], d -> code, d -> message);
    }
    return g_string_free(out, FALSE);
}

/* `more` after the three lines gives exactly these diagnostics. */
static inline void spec_assert(const char *more, const char *expected)
{
    g_autoptr(JobSpecFile) file = spec_parse_more(more);
    g_autofree char *found = spec_describe(file);

    g_assert_cmpstr(found, ==, expected);
}

/* ... gives a diagnostic whose description begins or goes on like this, whatever else. */
static inline void spec_assert_has(const char *more, const char *expected)
{
    g_autoptr(JobSpecFile) file = spec_parse_more(more);
    g_autofree char *found = spec_describe(file);

    if (!strstr(found, expected))
        g_error("'%s' gives\n%swithout\n%s", more, found, expected);
}

/* The only job of a file without errors; free the file. */
static inline const JobSpec *spec_only_job(const JobSpecFile *file)
{
    g_autofree char *found = spec_describe(file);

    if (jobspec_file_has_errors(file))
        g_error("unexpected errors:\n%s", found);
    g_assert_cmpuint(file->jobs->len, ==, 1);
    return g_ptr_array_index(file->jobs, 0);
}

#endif
