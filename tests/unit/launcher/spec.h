/* SPDX-License-Identifier: Apache-2.0
 *
 * JobSpecs made by hand, so that these tests do not depend on the parser.
 */
#ifndef TESTS_LAUNCHER_SPEC_H
#define TESTS_LAUNCHER_SPEC_H

#include "jobspec/jobspec.h"

static inline void spec_pair_free(void *pointer)
{
    JobSpecPair *pair = pointer;

    g_free(pair->key);
    g_free(pair->value);
    g_free(pair);
}

typedef JobSpec TestSpec;

/* What the launcher reads of a JobSpec, at its defaults. */
static inline TestSpec *spec_make(const char *run)
{
    TestSpec *spec = g_new0(JobSpec, 1);

    spec->run = g_strdup(run);
    spec->envs = g_ptr_array_new_with_free_func(spec_pair_free);
    spec->secrets = g_ptr_array_new_with_free_func(g_free);
    spec->launch.procs_per_node = JOBSPEC_PROCS_GPU;
    spec->train.every = 64;
    spec->checkpoint.grace_ms = 60000;
    spec->limits.start_within_ms = INT64_MAX;
    return spec;
}

static inline void spec_add_env(TestSpec *spec, const char *key, const char *value)
{
    JobSpecPair *pair = g_new(JobSpecPair, 1);

    pair->key = g_strdup(key);
    pair->value = g_strdup(value);
    g_ptr_array_add(spec->envs, pair);
}

static inline void spec_drop(TestSpec *spec)
{
    g_ptr_array_unref(spec->envs);
    g_ptr_array_unref(spec->secrets);
    g_free(spec->checkpoint.path);
    g_free(spec->setup);
    g_free(spec->run);
    g_free(spec);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(TestSpec, spec_drop)

#endif
