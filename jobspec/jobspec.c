/* SPDX-License-Identifier: Apache-2.0
 *
 * From bytes to jobs: each YAML document is read into one record for each combination of its
 * matrix. Only the first one speaks: the others repeat it with other values, and whatever is wrong
 * with them was wrong with it. Last, the documents are checked against each other.
 *
 * What one file may cost is bounded by JobSpecLimits, and what all its jobs are kept in by
 * JOBS_BYTES_MAX: a matrix multiplies the texts and lists of its document.
 */
#include "jobspec/jobspec.h"
#include "jobspec/check.h"
#include "jobspec/depend.h"
#include "jobspec/emit.h"
#include "jobspec/group.h"
#include "jobspec/record.h"

#include <errno.h>
#include <string.h>

#define JOBS_BYTES_MAX   ((size_t)64 << 20)
#define STORED_BYTES_MAX ((size_t)16 << 20)
#define NAME_BYTES_MAX   63
#define DOCUMENT_PATH    "" /* in JobSpec.set_fields: where the document starts */

static const JobSpecLimits default_limits = {
    .file_bytes = (size_t)1 << 20, .depth = 32, .nodes = 100000, .diagnostics = 100, .jobs = 1000};

typedef struct {
    JobSpecFile *file;
    JobSpecLimits limits;
    Diags diags;
    ValueReader reader;
    GPtrArray *documents; /* Document * */
    size_t jobs_left;
    size_t bytes_left;
} Parse;

GQuark jobspec_domain(void)
{
    return g_quark_from_static_string("jobspec");
}

void jobspec_free(JobSpec *job)
{
    if (!job)
        return;
    record_clear(RECORD_SPEC, job);
    g_clear_pointer(&job->set_fields, g_hash_table_unref);
    g_free(job);
}

bool jobspec_is_set(const JobSpec *job, const char *path)
{
    return g_hash_table_contains(job->set_fields, path);
}

/* ---- one document ---- */

static const JobSpecPosition *name_position(const TreeNode *root)
{
    const TreeNode *name = tree_find(root, "name");

    return name ? &name->position : &root->position;
}

/* The name of one combination's job. */
static void job_name(Parse *parse, JobSpec *job, const TreeNode *root)
{
    const Matrix *matrix = parse->reader.matrix;
    const JobSpecPosition *at;
    char *name;

    if (job->matrix_group) {
        at = check_position(job, "matrix_group", &root->position);
        if (!matrix || matrix->combinations > 1)
            diag_add(&parse->diags, DIAG_CONTRADICTION, at,
                     "matrix_group: it stands beside a matrix of one combination only");
        return;
    }
    if (!matrix || !job->name)
        return;
    name = g_strdup_printf("%s-%zu", job->name, parse->reader.combination + 1);
    if (strlen(name) > NAME_BYTES_MAX) {
        diag_add(&parse->diags, DIAG_RANGE, name_position(root),
                 "name: with the number of its combination, '%s', "
                 "longer than %d characters",
                 name, NAME_BYTES_MAX);
    }
    job->matrix_group = job->name;
    job->name = name;
}

static JobSpec *job_read(Parse *parse, const TreeNode *root, GHashTable *positions)
{
    JobSpec *job = g_new0(JobSpec, 1);

    record_init(RECORD_SPEC, job);
    job->set_fields = g_hash_table_ref(positions);
    group_read(&parse->reader, NULL, root, job);
    if (!jobspec_is_set(job, "where.same"))
        job->where.same = record_default_same(job);
    return job;
}

static void matrix_check_used(Parse *parse, const Matrix *matrix)
{
    for (guint i = 0; i < matrix->axes->len; i++) {
        const MatrixAxis *axis = g_ptr_array_index(matrix->axes, i);

        if (!axis->used)
            diag_add(&parse->diags, DIAG_NO_EFFECT, &axis->position,
                     "matrix.%s: ${{ matrix.%s }} is used nowhere, so its jobs are alike",
                     axis->name, axis->name);
    }
}

/* The first combination, with all that is to be said about the document. */
static void document_read_first(Parse *parse, Document *document, const TreeNode *root,
                                GHashTable *positions)
{
    const TreeNode *depends = tree_find(root, "depends_on");
    JobSpec *job = job_read(parse, root, positions);

    g_ptr_array_add(document->jobs, job);
    document->name = g_strdup(job->name);
    document->name_position = *name_position(root);
    for (const TreeEntry *e = depends ? depends->entries : NULL; e; e = e->next) {
        const TreeNode *name = tree_find(e->value, "job");

        g_array_append_vals(document->depends_positions, &(name ? name : e->value)->position, 1);
    }
    if (parse->reader.matrix && !job->matrix_group)
        matrix_check_used(parse, parse->reader.matrix);
    job_name(parse, job, root);
    if (parse->reader.whole)
        check_job(&parse->diags, job, parse->reader.failed, &root->position);
}

static void document_read(Parse *parse, const TreeNode *root, size_t errors_before)
{
    g_autoptr(GHashTable) positions = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
    g_autoptr(GHashTable) failed = g_hash_table_new(g_str_hash, g_str_equal);
    const TreeNode *node = tree_find(root, "matrix");
    g_autoptr(Matrix) matrix = node ? matrix_new(node, parse->jobs_left, &parse->diags) : NULL;
    size_t combinations = matrix ? matrix->combinations : 1;
    Document *document = depend_new_document();

    g_ptr_array_add(parse->documents, document);
    g_hash_table_insert(positions, (gpointer)(uintptr_t)DOCUMENT_PATH,
                        g_memdup2(&root->position, sizeof root->position));
    parse->reader.matrix = matrix;
    parse->reader.matrix_broken = node && !matrix;
    parse->reader.combination = 0;
    parse->reader.positions = positions;
    parse->reader.failed = failed;
    document_read_first(parse, document, root, positions);
    parse->reader.positions = parse->reader.failed = NULL;
    for (size_t i = 1; i < combinations && parse->diags.errors == errors_before; i++) {
        JobSpec *job;

        parse->reader.combination = i;
        job = job_read(parse, root, positions);
        g_ptr_array_add(document->jobs, job);
        job_name(parse, job, root);
    }
    parse->reader.matrix = NULL;
    document->broken = parse->diags.errors != errors_before;
    if (!document->broken)
        parse->jobs_left -= combinations;
}

/* ---- the file ---- */

static bool is_empty(const TreeNode *root)
{
    return root->kind == TREE_SCALAR && root->plain && *root->text == '\0';
}

static void documents_read(Parse *parse, const char *data, size_t size)
{
    g_autoptr(Tree) tree = tree_new(data, size, &parse->limits, &parse->diags);
    const JobSpecPosition start = {1, 1, 1};
    const TreeNode *root;
    size_t errors = parse->diags.errors;

    while ((root = tree_read(tree, &parse->reader.whole))) {
        if (!is_empty(root) &&
            (parse->jobs_left == 0 || parse->documents->len >= parse->limits.jobs)) {
            diag_add(&parse->diags, DIAG_LIMIT, &root->position, "more than %zu jobs in the file",
                     parse->limits.jobs);
            return;
        }
        if (!is_empty(root))
            document_read(parse, root, errors);
        errors = parse->diags.errors;
    }
    if (parse->documents->len == 0 && errors == parse->diags.errors && errors == 0)
        diag_add(&parse->diags, DIAG_EMPTY, &start,
                 "no job in this file (a job begins with 'version: 1')");
}

static void jobs_collect(Parse *parse)
{
    for (guint i = 0; i < parse->documents->len; i++) {
        Document *document = g_ptr_array_index(parse->documents, i);

        while (!document->broken && document->jobs->len > 0)
            g_ptr_array_add(parse->file->jobs, g_ptr_array_steal_index(document->jobs, 0));
    }
}

static JobSpecFile *file_new(const char *name, const char *data, size_t size)
{
    JobSpecFile *file = g_new0(JobSpecFile, 1);

    file->name = g_strdup(name);
    file->jobs = g_ptr_array_new_with_free_func((GDestroyNotify)jobspec_free);
    file->diagnostics = g_ptr_array_new_with_free_func((GDestroyNotify)diag_free);
    file->text = g_bytes_new(data, size);
    return file;
}

static void limits_fill(JobSpecLimits *limits, const JobSpecLimits *wanted)
{
    *limits = wanted ? *wanted : default_limits;
    if (limits->file_bytes == 0)
        limits->file_bytes = default_limits.file_bytes;
    if (limits->depth == 0)
        limits->depth = default_limits.depth;
    if (limits->nodes == 0)
        limits->nodes = default_limits.nodes;
    if (limits->diagnostics == 0)
        limits->diagnostics = default_limits.diagnostics;
    if (limits->jobs == 0)
        limits->jobs = default_limits.jobs;
}

/* `alone`: one job out of a file, whose dependencies are elsewhere. */
static JobSpecFile *file_parse(const char *name, const char *data, size_t size,
                               const JobSpecLimits *limits, bool alone)
{
    Parse parse = {0};

    limits_fill(&parse.limits, limits);
    /* of a file that is too large nothing is kept but its beginning, for the message */
    parse.file = file_new(name, data, MIN(size, parse.limits.file_bytes));
    parse.diags = (Diags){.file = parse.file, .limit = parse.limits.diagnostics};
    parse.documents = g_ptr_array_new_with_free_func((GDestroyNotify)depend_free_document);
    parse.jobs_left = parse.limits.jobs;
    parse.bytes_left = JOBS_BYTES_MAX;
    parse.reader = (ValueReader){.diags = &parse.diags,
                                 .patterns = value_patterns_new(),
                                 .source = data,
                                 .source_size = size,
                                 .bytes_left = &parse.bytes_left};
    documents_read(&parse, data, size);
    if (!alone)
        depend_resolve(parse.documents, parse.limits.nodes, &parse.diags);
    jobs_collect(&parse);
    value_patterns_free(parse.reader.patterns);
    g_ptr_array_unref(parse.documents);
    diag_sort(parse.file);
    return parse.file;
}

JobSpecFile *jobspec_file_parse(const char *name, const char *data, size_t size,
                                const JobSpecLimits *limits)
{
    return file_parse(name, data ? data : "", size, limits, false);
}

static JobSpecFile *file_fail(const char *name, const char *reason)
{
    JobSpecFile *file = file_new(name, "", 0);
    Diags diags = {.file = file, .limit = 1};
    const JobSpecPosition start = {1, 1, 1};

    diag_add(&diags, DIAG_UNREADABLE, &start, "cannot be read: %s", reason);
    return file;
}

JobSpecFile *jobspec_file_load(const char *path, const JobSpecLimits *limits)
{
    bool standard = strcmp(path, "-") == 0;
    const char *name = standard ? "standard input" : path;
    FILE *in = standard ? stdin : fopen(path, "rbe");
    g_autofree char *data = NULL;
    JobSpecLimits bounds;
    JobSpecFile *file;
    size_t size;
    int error;

    limits_fill(&bounds, limits);
    if (!in)
        return file_fail(name, g_strerror(errno));
    data = g_malloc(bounds.file_bytes + 1);
    errno = 0;
    size = fread(data, 1, bounds.file_bytes + 1, in);
    error = ferror(in) ? errno : 0;
    if (!standard)
        fclose(in);
    file =
        error ? file_fail(name, g_strerror(error)) : jobspec_file_parse(name, data, size, limits);
    return file;
}

void jobspec_file_free(JobSpecFile *file)
{
    if (!file)
        return;
    g_free(file->name);
    g_ptr_array_unref(file->jobs);
    g_ptr_array_unref(file->diagnostics);
    g_bytes_unref(file->text);
    g_free(file);
}

bool jobspec_file_has_errors(const JobSpecFile *file)
{
    return diag_count_errors(file) > 0;
}

/* ---- errors found by others ---- */

static void file_add_error(JobSpecFile *file, const JobSpec *job, const char *path, DiagCode code,
                           const char *message)
{
    const JobSpecPosition start = {1, 1, 1};
    const JobSpecPosition *document = check_position(job, DOCUMENT_PATH, &start);
    Diags diags = {.file = file, .limit = MAX(default_limits.diagnostics, file->diagnostics->len)};

    diag_add(&diags, code, check_position(job, path, document), "%s", message);
    diag_sort(file);
}

void jobspec_file_add_error(JobSpecFile *file, const JobSpec *job, const char *path,
                            const char *format, ...)
{
    g_autofree char *message = NULL;
    va_list args;

    va_start(args, format);
    message = g_strdup_vprintf(format, args);
    va_end(args);
    file_add_error(file, job, path, DIAG_UNFIT, message);
}

void jobspec_file_refuse(JobSpecFile *file, const JobSpec *job, const char *backend,
                         const JobSpecRefusal *refusals, size_t refusals_count)
{
    size_t count;
    const Field *table = field_table(&count);

    for (size_t i = 0; i < refusals_count; i++) {
        const JobSpecRefusal *refusal = &refusals[i];

        g_assert(field_find(refusal->path)); /* a backend that refuses what does not exist */
        for (size_t k = 0; k < count; k++) {
            const Field *field = &table[k];
            g_autofree char *message = NULL;

            if (!field_path_covers(refusal->path, field->path) || field_is_group(field) ||
                !jobspec_is_set(job, field->path) || emit_is_default(job, field))
                continue;
            message = g_strdup_printf("backend '%s' cannot honour '%s': %s", backend, field->path,
                                      refusal->reason);
            file_add_error(file, job, field->path, DIAG_REFUSED, message);
        }
    }
}

/* ---- canonical JSON ---- */

json_t *jobspec_to_json(const JobSpec *job)
{
    return emit_group(NULL, job);
}

char *jobspec_digest(const JobSpec *job)
{
    json_t *json = jobspec_to_json(job);
    char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
    char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);

    free(text);
    json_decref(json);
    return digest;
}

JobSpec *jobspec_from_json(const char *json, size_t size, GError **error)
{
    const JobSpecLimits limits = {.file_bytes = STORED_BYTES_MAX};
    g_autoptr(JobSpecFile) file = file_parse("stored job", json, size, &limits, true);

    for (guint i = 0; i < file->diagnostics->len; i++) {
        const JobSpecDiagnostic *diagnostic = g_ptr_array_index(file->diagnostics, i);

        if (diagnostic->severity != JOBSPEC_ERROR)
            continue;
        g_set_error(error, JOBSPEC_DOMAIN, JOBSPEC_FAIL_INVALID, "stored job: %s (column %zu)",
                    diagnostic->message, diagnostic->position.column);
        return NULL;
    }
    if (file->jobs->len != 1) {
        g_set_error(error, JOBSPEC_DOMAIN, JOBSPEC_FAIL_INVALID, "stored job: %u jobs, not one",
                    file->jobs->len);
        return NULL;
    }
    return g_ptr_array_steal_index(file->jobs, 0);
}

static json_t *diagnostic_to_json(const JobSpecDiagnostic *diagnostic)
{
    g_autofree char *code = diag_format_code(diagnostic);
    const JobSpecPosition *at = &diagnostic->position;

    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:s}", "severity", diag_get_severity(diagnostic),
                     "code", code, "line", (json_int_t)at->line, "column", (json_int_t)at->column,
                     "length", (json_int_t)at->length, "message", diagnostic->message);
}

json_t *jobspec_file_to_json(const JobSpecFile *file)
{
    json_t *diagnostics = json_array(), *jobs = json_array();

    for (guint i = 0; i < file->diagnostics->len; i++)
        json_array_append_new(diagnostics,
                              diagnostic_to_json(g_ptr_array_index(file->diagnostics, i)));
    for (guint i = 0; i < file->jobs->len; i++)
        json_array_append_new(jobs, jobspec_to_json(g_ptr_array_index(file->jobs, i)));
    return json_pack("{s:s, s:b, s:o, s:I, s:o}", "file", file->name, "ok",
                     !jobspec_file_has_errors(file), "diagnostics", diagnostics,
                     "diagnostics_dropped", (json_int_t)file->diagnostics_dropped, "jobs", jobs);
}
