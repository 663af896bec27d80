/* SPDX-License-Identifier: Apache-2.0 */
#include "watch.h"

#include <string.h>

#define DEADLINE_MS 60000
#define BEAT_MS     20

static gboolean on_deadline(gpointer user_data)
{
    (void)user_data;
    g_error("the group did not come to an end in time");
    return G_SOURCE_REMOVE;
}

void watch_set_up(Fixture *fixture, gconstpointer data)
{
    (void)data;
    fixture->dir = fixture_make_dir();
    fixture->store = fixture_open(fixture->dir);
    fixture->node = fixture_node("H100", 1);
    fixture->prices = price_list_load(NULL, NULL);
    fixture->program = g_build_filename(TEST_BUILD_DIR, "tests", "fake_launch", NULL);
    fixture->config = (GroupConfig){.store = fixture->store,
                                    .node = fixture->node,
                                    .prices = fixture->prices,
                                    .program = fixture->program,
                                    .heartbeat_ms = BEAT_MS};
    fixture->deadline = g_timeout_add(DEADLINE_MS, on_deadline, NULL);
}

void watch_clear(Watch *watch)
{
    g_clear_pointer(&watch->group, group_free);
    if (watch->log)
        g_string_free(watch->log, true);
    g_clear_error(&watch->error);
    *watch = (Watch){0};
}

void watch_tear_down(Fixture *fixture, gconstpointer data)
{
    (void)data;
    watch_clear(&fixture->watch);
    watch_clear(&fixture->other);
    fixture_check(fixture->store);
    g_source_remove(fixture->deadline);
    store_close(fixture->store);
    node_free(fixture->node);
    price_list_free(fixture->prices);
    g_free(fixture->program);
    fixture_remove_dir(fixture->dir);
}

static void on_changed(const Job *job, void *user_data)
{
    Watch *watch = user_data;
    g_autofree char *words = g_strdup_printf("%s:%s", job->name, job_state_name(job->state));
    const char *last = strrchr(watch->log->str, ' ');
    int active = 0;

    if (g_strcmp0(last ? last + 1 : watch->log->str, words) != 0)
        g_string_append_printf(watch->log, "%s%s", watch->log->len ? " " : "", words);
    if (watch->group) {
        g_autoptr(GPtrArray) jobs = group_get_jobs(watch->group);

        for (guint i = 0; i < jobs->len; i++)
            active += job_state_is_active(((Job *)g_ptr_array_index(jobs, i))->state);
    }
    watch->active_most = MAX(watch->active_most, active);
    if (watch->act && g_strcmp0(watch->act_on, job_state_name(job->state)) == 0) {
        void (*act)(Fixture * fixture) = watch->act;

        watch->act = NULL;
        act(watch->fixture);
    }
}

static void on_done(const GError *error, void *user_data)
{
    Watch *watch = user_data;

    g_assert_false(watch->done);
    watch->done = true;
    watch->error = error ? g_error_copy(error) : NULL;
}

static const GroupFuncs funcs = {.changed = on_changed, .done = on_done};

void watch_open(Fixture *fixture, Watch *watch)
{
    watch->fixture = fixture;
    watch->log = g_string_new(NULL);
    watch->group = group_new(&fixture->config, &funcs, watch);
}

void watch_add(Watch *watch, const char *yaml)
{
    g_autoptr(GPtrArray) specs = fixture_specs(yaml);
    g_autoptr(GError) error = NULL;

    group_add_jobs(watch->group, specs, "/", &error);
    g_assert_no_error(error);
}

void watch_finish(Watch *watch)
{
    while (!watch->done)
        g_main_context_iteration(NULL, true);
}

/* Runs the jobs of `yaml` to the end. */
void watch_run(Fixture *fixture, const char *yaml)
{
    watch_open(fixture, &fixture->watch);
    watch_add(&fixture->watch, yaml);
    group_start(fixture->watch.group);
    watch_finish(&fixture->watch);
}

char *watch_job_file(const char *run, const char *more)
{
    return g_strdup_printf("version: 1\nname: t\nrun: '%s'\n%s", run, more);
}

void watch_run_one(Fixture *fixture, const char *words, const char *more)
{
    g_autofree char *yaml = watch_job_file(words, more);

    watch_run(fixture, yaml);
}

void watch_resume(Fixture *fixture, JobId id)
{
    g_autoptr(GError) error = NULL;

    watch_clear(&fixture->watch);
    watch_open(fixture, &fixture->watch);
    group_resume_job(fixture->watch.group, id, &error);
    g_assert_no_error(error);
    group_start(fixture->watch.group);
    watch_finish(&fixture->watch);
}

const JobId watch_first = {1};

Job *watch_first_job(Fixture *fixture)
{
    return fixture_job(fixture->store, watch_first);
}

int64_t watch_used_ms(Fixture *fixture, JobId id)
{
    g_autoptr(GPtrArray) leases = store_list_leases(fixture->store, id, NULL);
    int64_t used = 0;

    for (guint i = 0; i < leases->len; i++)
        used += ((Lease *)g_ptr_array_index(leases, i))->used_ms;
    return used;
}

guint watch_count_events(Fixture *fixture, JobId id, const char *type)
{
    g_autoptr(GPtrArray) events = store_list_events(fixture->store, id, 0, NULL);
    guint count = 0;

    for (guint i = 0; i < events->len; i++)
        count += g_str_equal(((Event *)g_ptr_array_index(events, i))->type, type);
    return count;
}

void watch_assert_has(const char *text, const char *part)
{
    if (!text || !strstr(text, part))
        g_error("'%s' is not in: %s", part, text ? text : "(nothing)");
}

void watch_assert_ended(Fixture *fixture, JobState state, const char *cause, const char *reason)
{
    g_autoptr(Job) job = watch_first_job(fixture);

    g_assert_cmpstr(job_state_name(job->state), ==, job_state_name(state));
    g_assert_cmpstr(job->cause, ==, cause);
    if (reason)
        watch_assert_has(job->reason, reason);
}
