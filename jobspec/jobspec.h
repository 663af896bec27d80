/* SPDX-License-Identifier: Apache-2.0
 *
 * The job file: YAML text in, checked JobSpecs and diagnostics out.
 *
 *     JobSpecFile *file = jobspec_file_parse("job.yaml", text, size, NULL);
 *     if (jobspec_file_has_errors(file)) -> jobspec_file_print(file, ...), exit 2
 *     for each of file->jobs -> a JobSpec, every field filled in (defaults included)
 *
 * Parsing never fails as a call: whatever the bytes are, the answer is a JobSpecFile with jobs,
 * diagnostics or both. Time and memory are bounded by JobSpecLimits. All strings are valid UTF-8.
 */
#ifndef JOBSPEC_JOBSPEC_H
#define JOBSPEC_JOBSPEC_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Both ends in. No upper end is INT64_MAX. No range asked for: min 0, max INT64_MAX. */
typedef struct {
    int64_t min;
    int64_t max;
} JobSpecRange;

typedef enum { JOBSPEC_SAME_NONE, JOBSPEC_SAME_REGION, JOBSPEC_SAME_SITE } JobSpecSame;
typedef enum { JOBSPEC_SPOT_NEVER, JOBSPEC_SPOT_AUTO, JOBSPEC_SPOT_ONLY } JobSpecSpot;
typedef enum {
    JOBSPEC_LAUNCH_MPI,
    JOBSPEC_LAUNCH_TORCHRUN,
    JOBSPEC_LAUNCH_SHELL
} JobSpecLaunchType;
typedef enum { JOBSPEC_BALANCE_AUTO, JOBSPEC_BALANCE_EVEN } JobSpecBalance;
typedef enum { JOBSPEC_SYNC_STEP, JOBSPEC_SYNC_LOCAL } JobSpecSync;
typedef enum {
    JOBSPEC_COMPRESS_NONE,
    JOBSPEC_COMPRESS_BF16,
    JOBSPEC_COMPRESS_INT8,
    JOBSPEC_COMPRESS_INT4
} JobSpecCompress;
typedef enum { JOBSPEC_ASSET_USDC, JOBSPEC_ASSET_IO } JobSpecAsset;

/* Bits of JobSpec.retry_on and of what an attempt can fail with. */
typedef enum {
    JOBSPEC_RETRY_SUPPLIER_LOST = 1 << 0,
    JOBSPEC_RETRY_PREEMPTED = 1 << 1,
    JOBSPEC_RETRY_PREFLIGHT = 1 << 2,
    JOBSPEC_RETRY_NONZERO_EXIT = 1 << 3
} JobSpecRetryOn;

/* One entry of `accelerators`: RTX4090-24GiB:2 is {"RTX4090", 24 GiB, 2}. */
typedef struct {
    char *model;
    int64_t memory_bytes; /* 0: any */
    int64_t count;
} JobSpecAccelerator;

/* What one node must have, and how many such nodes. */
typedef struct {
    JobSpecRange num_nodes;
    GPtrArray *accelerators; /* JobSpecAccelerator *; empty: whatever device is there */
    bool accelerators_mixed; /* written as a list: one entry per node in turn */
    JobSpecRange cpus;
    JobSpecRange memory_bytes;
    JobSpecRange disk_bytes;
    int64_t max_price_usd_micro; /* per GPU-hour; INT64_MAX: no limit */
} JobSpecResources;

typedef struct {
    char *job;  /* name of another job of the same file, after matrix expansion */
    char *when; /* "succeeded" | "failed" | "ended" */
} JobSpecDependency;

typedef struct {
    char *key;
    char *value;
} JobSpecPair;

typedef struct {
    int64_t version;    /* of the job file's format: 1 */
    char *name;         /* unique in the file after matrix expansion: NAME or NAME-K */
    char *image;        /* "host" | "oci:PATH" | "docker:REF" */
    char *workdir;      /* as written; relative to the folder of the job file */
    GPtrArray *envs;    /* JobSpecPair *, sorted by key */
    GPtrArray *secrets; /* char * */

    /* One entry per element of any_of (merged over the common fields), or just one. Never empty. */
    GPtrArray *resources; /* JobSpecResources * */

    struct {
        GPtrArray *location; /* char *, lower case */
        JobSpecSame same;
        bool green;
        GPtrArray *compliance;      /* char *, all of */
        GPtrArray *tier;            /* char *, any of; empty: all */
        int64_t proof_max_age_ms;   /* INT64_MAX: any */
        int64_t reliability_ppm;    /* 0.97 is 970000; 0: any */
        JobSpecRange bandwidth_bps; /* bits per second */
        JobSpecRange latency_us;
    } where;

    JobSpecSpot spot;
    char *setup; /* NULL: none */
    char *run;

    struct {
        JobSpecLaunchType type;
        int64_t procs_per_node; /* > 0 a number; else one of the two below */
    } launch;

    struct {
        int64_t allreduce_bytes_per_s; /* 0: no preflight */
        int64_t timeout_ms;
    } preflight;

    struct {
        JobSpecBalance balance;
        JobSpecSync sync;
        int64_t every;
        JobSpecCompress compress;
    } train;

    struct {
        char *path; /* NULL: the job has a folder of its own; relative: inside its directory */
        int64_t every_ms; /* 0: the program decides */
        int64_t keep;
        int signal; /* number of the signal, 0: none */
        int64_t grace_ms;
    } checkpoint;

    struct {
        unsigned on; /* JobSpecRetryOn bits */
        int64_t max;
        JobSpecRange backoff_ms;
    } retry;

    struct {
        int64_t max_duration_ms;
        int64_t max_cost_usd_micro; /* INT64_MAX: none */
        int64_t start_within_ms;    /* INT64_MAX: none */
        int64_t idle_gpu_below_ppm; /* 0: no check */
        int64_t idle_gpu_for_ms;
    } limits;

    struct {
        JobSpecAsset asset;
        char *account;
    } payment;

    int64_t priority;
    GPtrArray *depends_on; /* JobSpecDependency * */
    GPtrArray *matrix;     /* JobSpecPair *: this job's combination, empty outside a matrix */
    char *matrix_group;    /* `name` as written, for max_parallel; NULL outside a matrix */
    int64_t max_parallel;  /* INT64_MAX: no limit */
    GArray *ports;         /* int64_t */

    /* Dotted paths written in the file ("where.location") -> JobSpecPosition *; "" is where the
     * document starts. Shared by the jobs of a matrix: not to be changed. */
    GHashTable *set_fields;
} JobSpec;

#define JOBSPEC_PROCS_GPU      0  /* one rank a device */
#define JOBSPEC_PROCS_CPU_CORE -1 /* one rank a core */

typedef struct {
    size_t line;   /* from 1 */
    size_t column; /* from 1, in code points */
    size_t length; /* in code points, at least 1; for the underline */
} JobSpecPosition;

typedef enum { JOBSPEC_ERROR, JOBSPEC_WARNING, JOBSPEC_NOTE } JobSpecSeverity;

typedef struct {
    JobSpecSeverity severity;
    unsigned code; /* the 102 of error[E102]; table in jobspec/README.md */
    JobSpecPosition position;
    char *message;
} JobSpecDiagnostic;

typedef struct {
    size_t file_bytes;  /* default 1 MiB */
    size_t depth;       /* nesting, default 32 */
    size_t nodes;       /* after alias expansion, default 100,000 */
    size_t diagnostics; /* kept and printed; the rest is counted. Default 100 */
    size_t jobs;        /* after matrix expansion, default 1,000 */
} JobSpecLimits;

typedef struct JobSpecFile JobSpecFile;

struct JobSpecFile {
    char *name;
    GPtrArray *jobs;            /* JobSpec *; those of a document with errors are left out */
    GPtrArray *diagnostics;     /* JobSpecDiagnostic *, sorted by position */
    size_t diagnostics_dropped; /* beyond the limit */
    GBytes *text;               /* for the line under a diagnostic */
};

/* `data` is borrowed for the call. `name` is for messages only. NULL limits: the defaults. */
JobSpecFile *jobspec_file_parse(const char *name, const char *data, size_t size,
                                const JobSpecLimits *limits);
/* Reads at most the size limit (a device or a pipe that never ends is an error, not a hang in
 * memory); "-" is standard input. A file that cannot be read is a diagnostic. */
JobSpecFile *jobspec_file_load(const char *path, const JobSpecLimits *limits);
void jobspec_file_free(JobSpecFile *file);
bool jobspec_file_has_errors(const JobSpecFile *file);
/* The compiler-style text with source line and underline; colours where `colour`. */
void jobspec_file_print(const JobSpecFile *file, FILE *out, bool colour);
/* {"file", "ok", "diagnostics": [{severity, code, line, column, length, message}],
 * "diagnostics_dropped", "jobs": canonical JSON of each} */
json_t *jobspec_file_to_json(const JobSpecFile *file);

/* A feature that a backend cannot honour. `path` is a dotted field path; `reason` completes the
 * sentence "backend 'local' cannot honour 'where.location': ...". */
typedef struct {
    const char *path;
    const char *reason;
} JobSpecRefusal;

/* Adds an error at the field's place for each refused field that the job's author wrote with a
 * value other than its default. A group ("where") stands for all fields in it. */
void jobspec_file_refuse(JobSpecFile *file, const JobSpec *job, const char *backend,
                         const JobSpecRefusal *refusals, size_t refusals_count);
/* Adds an error at the place of `path` (or the document's start where it was not written). */
void jobspec_file_add_error(JobSpecFile *file, const JobSpec *job, const char *path,
                            const char *format, ...) G_GNUC_PRINTF(4, 5);
bool jobspec_is_set(const JobSpec *job, const char *path);

/* Canonical JSON of one job: all fields, defaults included, after matrix expansion; alternatives
 * are merged and written as any_of. What is not asked for is null. It is itself a job file: parsing
 * it gives an equal JobSpec with the same digest (where it depends on others: beside theirs). */
json_t *jobspec_to_json(const JobSpec *job);
/* SHA-256 over the canonical JSON's compact bytes, in lower-case hex. */
char *jobspec_digest(const JobSpec *job);
/* From canonical JSON, as the store keeps it; the jobs that it depends on need not be there. */
JobSpec *jobspec_from_json(const char *json, size_t size, GError **error);
void jobspec_free(JobSpec *job);

/* JSON Schema 2020-12 of a job file document. */
json_t *jobspec_schema(void);
/* Help for one dotted path ("checkpoint.every"), or NULL with an error that suggests a name. `path`
 * "" lists all fields. */
char *jobspec_explain(const char *path, GError **error);
/* drover-job(5), in mdoc, from the table of fields. */
char *jobspec_man(void);

#define JOBSPEC_DOMAIN jobspec_domain()
GQuark jobspec_domain(void);
typedef enum { JOBSPEC_FAIL_INVALID, JOBSPEC_FAIL_UNKNOWN_FIELD } JobSpecFail;

G_DEFINE_AUTOPTR_CLEANUP_FUNC(JobSpecFile, jobspec_file_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(JobSpec, jobspec_free)

#endif
