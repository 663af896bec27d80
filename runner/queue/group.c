/* SPDX-License-Identifier: Apache-2.0
 *
 * The scheduler of one `drover run`. It looks at all pending jobs, the most urgent first, whenever
 * something may have changed: a job of its own did, or (five times a second) another process wrote
 * to the store. For each it asks in this order:
 *
 *   dependencies   can they still come true?   never: cancelled; not yet: waits
 *   max_parallel   is a slot left?             no: waits
 *   devices        do free ones fit?           run_try_start() decides; leased ones: waits, for
 *                                              start_within at most
 *
 * A job that waits for devices does not keep a less urgent one from devices that it could not use.
 */
#include "runner/queue/group.h"

#include "runner/queue/bill.h"
#include "runner/queue/run.h"
#include "runner/queue/run_priv.h"

#include <inttypes.h>
#include <sys/resource.h>
#include <unistd.h>

#define TICK_MS          200
#define RECOVER_EVERY_MS 1000
#define LOCKS_SPARE      256 /* descriptors besides those of the locks */

typedef struct {
    Run *run;
    bool out;                 /* stopped by hand: not started again */
    int64_t ready_at_mono_ms; /* since when nothing but devices keeps it waiting; -1: it does not */
} Member;

/* A job of the same file that a resumed one may depend on, and that is not ours. */
typedef struct {
    Job *job;
    JobSpec *spec;
} Other;

struct Group {
    const GroupConfig *config;
    GroupFuncs funcs;
    RunFuncs run_funcs;
    void *user_data;
    char *name;
    GPtrArray *members; /* Member *, by id */
    GPtrArray *others;  /* Other *: as of the last change of the store */
    GError *error;      /* the store failed */
    guint tick_source;
    guint schedule_source;
    int64_t recovered_at_mono_ms;
    bool started;
    bool stopping;
    bool done;
};

static void member_free(Member *member)
{
    run_free(member->run);
    g_free(member);
}

static void other_free(Other *other)
{
    job_free(other->job);
    jobspec_free(other->spec);
    g_free(other);
}

static const Job *job_of(const Member *member)
{
    return run_get_job(member->run);
}

/* ---- what the runs tell ---- */

static gboolean on_schedule(gpointer user_data);

/* Not as an idle source: a job that reports without a pause would starve it. */
static void wake(Group *group)
{
    if (group->started && !group->done && !group->schedule_source)
        group->schedule_source = g_idle_add_full(G_PRIORITY_DEFAULT, on_schedule, group, NULL);
}

static void on_changed(Run *run, void *user_data)
{
    Group *group = user_data;

    if (group->funcs.changed)
        group->funcs.changed(run_get_job(run), group->user_data);
    wake(group);
}

static void on_event(Run *run, const json_t *event, void *user_data)
{
    Group *group = user_data;

    if (group->funcs.event)
        group->funcs.event(run_get_job(run), event, group->user_data);
}

/* What cannot be written down is not done: all is killed. */
static void on_broken(Run *run, const GError *error, void *user_data)
{
    Group *group = user_data;

    (void)run;
    if (!group->error)
        group->error = g_error_copy(error);
    for (guint i = 0; i < group->members->len; i++) {
        Member *member = g_ptr_array_index(group->members, i);

        member->out = true;
        run_stop(member->run, GROUP_STOP_INTERRUPT, true);
    }
    wake(group);
}

Group *group_new(const GroupConfig *config, const GroupFuncs *funcs, void *user_data)
{
    Group *group = g_new0(Group, 1);

    group->config = config;
    if (funcs)
        group->funcs = *funcs;
    group->run_funcs = (RunFuncs){.changed = on_changed, .event = on_event, .broken = on_broken};
    group->user_data = user_data;
    group->name =
        g_strdup_printf("%" PRIx64 "-%x", (uint64_t)g_get_real_time(), (unsigned)getpid());
    group->members = g_ptr_array_new_with_free_func((GDestroyNotify)member_free);
    group->others = g_ptr_array_new_with_free_func((GDestroyNotify)other_free);
    return group;
}

void group_free(Group *group)
{
    if (!group)
        return;
    g_clear_handle_id(&group->tick_source, g_source_remove);
    g_clear_handle_id(&group->schedule_source, g_source_remove);
    g_ptr_array_unref(group->members);
    g_ptr_array_unref(group->others);
    g_clear_error(&group->error);
    g_free(group->name);
    g_free(group);
}

const char *group_get_name(const Group *group)
{
    return group->name;
}

GPtrArray *group_get_jobs(const Group *group)
{
    GPtrArray *jobs = g_ptr_array_new();

    for (guint i = 0; i < group->members->len; i++) {
        const Member *member = g_ptr_array_index(group->members, i);

        g_ptr_array_add(jobs, (gpointer)(uintptr_t)job_of(member));
    }
    return jobs;
}

static Member *find_member(const Group *group, JobId id)
{
    for (guint i = 0; i < group->members->len; i++) {
        Member *member = g_ptr_array_index(group->members, i);

        if (job_of(member)->id.value == id.value)
            return member;
    }
    return NULL;
}

Invoice *group_get_invoice(Group *group, JobId id, GError **error)
{
    const Member *member = find_member(group, id);

    return member ? run_get_invoice(member->run, error)
                  : bill_build(group->config->store, id, error);
}

/* ---- taking jobs in ---- */

/* A lock is an open file for each job, and a matrix has up to 1,000. */
static void raise_file_limit(guint locks)
{
    struct rlimit limit;
    rlim_t needed = (rlim_t)locks + LOCKS_SPARE;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < needed) {
        limit.rlim_cur = MIN(needed, limit.rlim_max);
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Takes the lock, also on failure. */
static bool insert_member(Group *group, JobId id, int lock_fd, GError **error)
{
    Member *member = g_new0(Member, 1);

    member->run = run_new(group->config, id, lock_fd, &group->run_funcs, group);
    member->ready_at_mono_ms = -1;
    if (!run_load(member->run, error)) {
        member_free(member);
        return false;
    }
    g_ptr_array_add(group->members, member);
    return true;
}

static gint compare_ids(gconstpointer a, gconstpointer b)
{
    int64_t left = job_of(*(Member *const *)a)->id.value;
    int64_t right = job_of(*(Member *const *)b)->id.value;

    return (left > right) - (left < right);
}

static void show_members(Group *group, guint first)
{
    for (guint i = first; i < group->members->len; i++)
        on_changed(((Member *)g_ptr_array_index(group->members, i))->run, group);
    g_ptr_array_sort(group->members, compare_ids);
}

static bool add_all(Group *group, GPtrArray *specs, const char *base_dir, GError **error)
{
    Store *store = group->config->store;
    g_autoptr(DbTx) tx = db_begin(store->db, true, error);

    if (!tx)
        return false;
    /* Locked before anybody can see them: no job of ours is ever without an owner. */
    for (guint i = 0; i < specs->len; i++) {
        JobNew new_job = {.spec = g_ptr_array_index(specs, i),
                          .group = group->name,
                          .base_dir = base_dir,
                          .at_ms = run_wall_ms()};
        JobId id;
        int fd;

        if (!store_add_job(store, &new_job, &id, error) || !store_lock_job(store, id, &fd, error))
            return false;
        if (!insert_member(group, id, fd, error))
            return false;
    }
    return db_commit(tx, error);
}

bool group_add_jobs(Group *group, GPtrArray *specs, const char *base_dir, GError **error)
{
    guint first = group->members->len;

    raise_file_limit(first + specs->len);
    if (!add_all(group, specs, base_dir, error)) {
        g_ptr_array_set_size(group->members, (gint)first);
        return false;
    }
    show_members(group, first);
    return true;
}

/* Locks a job and puts it back to pending where it has ended without success. */
static bool take_over(Group *group, JobId id, int *fd, GError **error)
{
    Store *store = group->config->store;
    g_autoptr(Job) job = NULL;
    g_autoptr(Event) resumed = NULL;

    if (!store_lock_job(store, id, fd, error))
        return false;
    job = store_load_job(store, id, error);
    if (job && job->state == JOB_SUCCEEDED) {
        g_set_error(error, STORE_ERROR, STORE_ERROR_STATE,
                    "job %" PRId64 " has succeeded: there is nothing to resume", id.value);
    } else if (job && job_state_is_active(job->state)) {
        g_set_error(error, STORE_ERROR, STORE_ERROR_BUSY,
                    "job %" PRId64 " was given up a moment ago; try again", id.value);
    } else if (job) {
        resumed = event_new(job, "resumed", run_wall_ms(), NULL);
        if (store_append(store, resumed, error))
            return true;
    }
    close(*fd);
    return false;
}

static bool is_named(const JobSpec *spec, const char *name)
{
    return g_str_equal(spec->name, name) ||
           (spec->matrix_group && g_str_equal(spec->matrix_group, name));
}

static bool take(Group *group, JobId id, GError **error)
{
    Store *store = group->config->store;
    int fd;

    /* A killed launcher may still hold the lock of an attempt that is not closed yet: wait for it.
     */
    if (!store_lock_job(store, id, &fd, error))
        return false;
    close(fd);
    if (!store_recover(store, run_wall_ms(), error) || !take_over(group, id, &fd, error))
        return false;
    return insert_member(group, id, fd, error);
}

/* Of the jobs of the same file: those that `spec` waits for, that have not ended and nobody runs.
 */
static bool take_dependencies(Group *group, const JobSpec *spec, GError **error)
{
    for (guint i = 0; i < spec->depends_on->len; i++) {
        const JobSpecDependency *dependency = g_ptr_array_index(spec->depends_on, i);

        for (guint j = 0; j < group->others->len; j++) {
            const Other *other = g_ptr_array_index(group->others, j);

            if (is_named(other->spec, dependency->job) && !job_state_is_ended(other->job->state) &&
                !other->job->owned && !find_member(group, other->job->id) &&
                !take(group, other->job->id, error))
                return false;
        }
    }
    return true;
}

static bool know_others(Group *group, JobId id, GError **error)
{
    Store *store = group->config->store;
    g_autoptr(Job) job = store_get_job(store, id, error);
    g_autoptr(GPtrArray) jobs = job ? store_list_jobs(store, job->group, error) : NULL;

    if (!jobs)
        return false;
    for (guint i = 0; i < jobs->len; i++) {
        const Job *known = g_ptr_array_index(jobs, i);
        JobSpec *spec = store_get_spec(store, known->id, NULL, error);
        Other *other;

        if (!spec)
            return false;
        other = g_new0(Other, 1);
        other->job = job_copy(known);
        other->spec = spec;
        g_ptr_array_add(group->others, other);
    }
    g_free(group->name);
    group->name = g_strdup(job->group);
    return true;
}

bool group_resume_job(Group *group, JobId id, GError **error)
{
    guint first = group->members->len;

    if (!know_others(group, id, error) || !take(group, id, error))
        return false;
    /* The list grows while it is walked: dependencies have dependencies. */
    for (guint i = first; i < group->members->len; i++) {
        const Member *member = g_ptr_array_index(group->members, i);

        if (!take_dependencies(group, run_get_spec(member->run), error)) {
            g_ptr_array_set_size(group->members, (gint)first);
            return false;
        }
    }
    for (guint i = group->others->len; i > 0; i--) {
        const Other *other = g_ptr_array_index(group->others, i - 1);

        if (find_member(group, other->job->id))
            g_ptr_array_remove_index(group->others, i - 1);
    }
    show_members(group, first);
    return true;
}

/* ---- what may start ---- */

/* In the order of how bad it is. */
typedef enum { WHEN_MET, WHEN_OPEN, WHEN_NEVER } When;

/* The worst so far of the dependencies of one job, and it in words. */
typedef struct {
    const JobSpec *spec;
    When when;
    char *reason;
} Wait;

static When check_when(const char *when, JobState state)
{
    if (!job_state_is_ended(state))
        return WHEN_OPEN;
    if (g_str_equal(when, "ended") || g_str_equal(when, job_state_name(state)))
        return WHEN_MET;
    return WHEN_NEVER;
}

/* A dependency on the name of a matrix is one on each of its jobs. */
static void wait_for(Wait *wait, const Job *on, const JobSpec *on_spec)
{
    for (guint i = 0; i < wait->spec->depends_on->len; i++) {
        const JobSpecDependency *dependency = g_ptr_array_index(wait->spec->depends_on, i);
        When when = check_when(dependency->when, on->state);
        bool never = when == WHEN_NEVER;

        if (!is_named(on_spec, dependency->job) || when <= wait->when)
            continue;
        wait->when = when;
        g_free(wait->reason);
        wait->reason = g_strdup_printf("%s '%s' (job %" PRId64 ") to have %s%s%s",
                                       never ? "depends on" : "waits for", on->name, on->id.value,
                                       dependency->when, never ? "; it is " : "",
                                       never ? job_state_name(on->state) : "");
    }
}

static Wait check_dependencies(const Group *group, const Member *member)
{
    Wait wait = {.spec = run_get_spec(member->run)};

    if (wait.spec->depends_on->len == 0)
        return wait;
    for (guint i = 0; i < group->members->len; i++) {
        const Member *on = g_ptr_array_index(group->members, i);

        wait_for(&wait, job_of(on), run_get_spec(on->run));
    }
    for (guint i = 0; i < group->others->len; i++) {
        const Other *on = g_ptr_array_index(group->others, i);

        wait_for(&wait, on->job, on->spec);
    }
    return wait;
}

/* Jobs of the matrix that hold a slot: at work, or about to try again. */
static int64_t count_parallel(const Group *group, const char *matrix_group)
{
    int64_t count = 0;

    for (guint i = 0; i < group->members->len; i++) {
        const Member *member = g_ptr_array_index(group->members, i);

        count += job_state_is_active(job_of(member)->state) &&
                 g_strcmp0(run_get_spec(member->run)->matrix_group, matrix_group) == 0;
    }
    return count;
}

/* Each wait for devices counts by itself: a retry begins a new one. */
static void keep_start_within(Member *member)
{
    int64_t within = run_get_spec(member->run)->limits.start_within_ms;
    g_autofree char *reason = NULL;

    if (job_of(member)->state != JOB_PENDING) {
        member->ready_at_mono_ms = -1;
        return;
    }
    if (member->ready_at_mono_ms < 0)
        member->ready_at_mono_ms = run_mono_ms();
    if (within == G_MAXINT64 || run_mono_ms() - member->ready_at_mono_ms < within)
        return;
    reason =
        g_strdup_printf("limits.start_within: not started after %.3g s: %s", (double)within / 1000,
                        job_of(member)->reason ? job_of(member)->reason : "no device");
    run_end(member->run, "failed", "start_within", reason);
}

static void schedule_member(Group *group, Member *member)
{
    const JobSpec *spec = run_get_spec(member->run);
    Wait wait = check_dependencies(group, member);
    g_autofree char *reason = wait.reason;

    if (wait.when == WHEN_NEVER) {
        run_end(member->run, "cancelled", "dependency", reason);
    } else if (wait.when == WHEN_OPEN) {
        run_wait(member->run, "dependency", reason);
    } else if (spec->matrix_group &&
               count_parallel(group, spec->matrix_group) >= spec->max_parallel) {
        g_free(reason);
        reason = g_strdup_printf("max_parallel: %" PRId64 " jobs of '%s' are running",
                                 spec->max_parallel, spec->matrix_group);
        run_wait(member->run, "max_parallel", reason);
    } else {
        run_try_start(member->run);
        keep_start_within(member);
    }
}

static gint compare_urgency(gconstpointer a, gconstpointer b)
{
    const Member *left = *(Member *const *)a;
    const Member *right = *(Member *const *)b;
    int64_t left_priority = run_get_spec(left->run)->priority;
    int64_t right_priority = run_get_spec(right->run)->priority;

    if (left_priority != right_priority)
        return left_priority > right_priority ? -1 : 1;
    return compare_ids(a, b);
}

static bool is_finished(const Group *group)
{
    for (guint i = 0; i < group->members->len; i++) {
        const Member *member = g_ptr_array_index(group->members, i);

        if (!run_is_at_rest(member->run))
            return false;
        if (!job_state_is_ended(job_of(member)->state) && !member->out && !group->error)
            return false;
    }
    return true;
}

static gboolean on_schedule(gpointer user_data)
{
    Group *group = user_data;
    g_autoptr(GPtrArray) pending = g_ptr_array_new();

    group->schedule_source = 0;
    for (guint i = 0; i < group->members->len; i++) {
        Member *member = g_ptr_array_index(group->members, i);

        /* Interrupted by a signal that was not ours: resumed by hand, like after Ctrl-C. */
        if (job_of(member)->state == JOB_PENDING &&
            g_strcmp0(job_of(member)->cause, "interrupted") == 0)
            member->out = true;
        if (job_of(member)->state == JOB_PENDING && !member->out && !group->error)
            g_ptr_array_add(pending, member);
    }
    g_ptr_array_sort(pending, compare_urgency);
    for (guint i = 0; i < pending->len; i++)
        schedule_member(group, g_ptr_array_index(pending, i));
    if (!group->done && is_finished(group)) {
        group->done = true;
        g_clear_handle_id(&group->schedule_source, g_source_remove);
        g_clear_handle_id(&group->tick_source, g_source_remove);
        if (group->funcs.done)
            group->funcs.done(group->error, group->user_data);
    }
    return G_SOURCE_REMOVE;
}

/* ---- other processes ---- */

static void refresh(Group *group)
{
    for (guint i = 0; i < group->members->len; i++)
        run_refresh(((Member *)g_ptr_array_index(group->members, i))->run);
    for (guint i = 0; i < group->others->len; i++) {
        Other *other = g_ptr_array_index(group->others, i);
        Job *job = store_get_job(group->config->store, other->job->id, NULL);

        if (job) {
            job_free(other->job);
            other->job = job;
        }
    }
}

static bool has_waiting(const Group *group)
{
    for (guint i = 0; i < group->members->len; i++) {
        const Member *member = g_ptr_array_index(group->members, i);

        if (job_of(member)->state == JOB_PENDING && !member->out)
            return true;
    }
    return false;
}

/* Devices may be leased by a drover that has died: nobody tells, so somebody looks. A failure shows
 * itself at the next write of our own. */
static void recover_others(Group *group)
{
    int64_t now = run_mono_ms();

    if (now - group->recovered_at_mono_ms < RECOVER_EVERY_MS)
        return;
    group->recovered_at_mono_ms = now;
    store_recover(group->config->store, run_wall_ms(), NULL);
    wake(group);
}

static gboolean on_tick(gpointer user_data)
{
    Group *group = user_data;

    if (store_has_changed(group->config->store)) {
        refresh(group);
        wake(group);
    }
    if (has_waiting(group))
        recover_others(group);
    return G_SOURCE_CONTINUE;
}

void group_start(Group *group)
{
    group->started = true;
    store_has_changed(group->config->store);
    group->tick_source = g_timeout_add(TICK_MS, on_tick, group);
    refresh(group);
    wake(group);
}

void group_stop(Group *group, GroupStop how)
{
    bool again = group->stopping;

    group->stopping = true;
    for (guint i = 0; i < group->members->len; i++) {
        Member *member = g_ptr_array_index(group->members, i);

        member->out = true;
        run_stop(member->run, how, again);
    }
    wake(group);
}
