/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a job file: an answer, sorted and printable; and what is accepted comes back from
 * its canonical form with the same digest.
 */
#include "jobspec/jobspec.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(const JobSpec *job)
{
    json_t *json = jobspec_to_json(job);
    char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
    g_autoptr(GError) error = NULL;
    g_autoptr(JobSpec) again = jobspec_from_json(text, strlen(text), &error);
    g_autofree char *digest = jobspec_digest(job), *digest_again = NULL;

    if (!again)
        g_error("%s: %s", error->message, text);
    digest_again = jobspec_digest(again);
    g_assert_cmpstr(digest, ==, digest_again);
    free(text);
    json_decref(json);
}

/* Every line that is shown is UTF-8 without characters that steer a terminal. */
static void check_print(const JobSpecFile *file)
{
    char *shown = NULL;
    size_t shown_size;
    FILE *out = open_memstream(&shown, &shown_size);

    jobspec_file_print(file, out, false);
    fclose(out);
    g_assert_true(g_utf8_validate(shown, (gssize)shown_size, NULL));
    for (size_t i = 0; i < shown_size; i++)
        g_assert_true(shown[i] == '\n' || (unsigned char)shown[i] >= 0x20);
    free(shown);
}

static void check_sorted(const JobSpecFile *file)
{
    for (guint i = 1; i < file->diagnostics->len; i++) {
        const JobSpecDiagnostic *a = g_ptr_array_index(file->diagnostics, i - 1);
        const JobSpecDiagnostic *b = g_ptr_array_index(file->diagnostics, i);

        g_assert_true(
            a->position.line < b->position.line ||
            (a->position.line == b->position.line && a->position.column <= b->position.column));
        g_assert_cmpuint(b->position.length, >, 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const JobSpecLimits limits = {
        .file_bytes = 65536, .nodes = 5000, .diagnostics = 20, .jobs = 20};
    g_autoptr(JobSpecFile) file = jobspec_file_parse("job.yaml", (const char *)data, size, &limits);
    json_t *json = jobspec_file_to_json(file);

    g_assert_nonnull(json);
    g_assert_true(file->jobs->len + file->diagnostics->len > 0);
    check_sorted(file);
    check_print(file);
    for (guint i = 0; i < file->jobs->len; i++)
        check_round_trip(g_ptr_array_index(file->jobs, i));
    json_decref(json);
    return 0;
}
