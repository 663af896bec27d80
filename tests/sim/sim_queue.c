/* SPDX-License-Identifier: Apache-2.0
 *
 * Several drovers on one store, in a random order of steps, with crashes at any of them: in the
 * middle of a transaction, with a lease held, with a full disk, with a wall clock that jumps. A
 * model says after each step what must be true, and store_check() what must always be.
 *
 *     sim_queue [SEED]     without one it takes a new seed; it prints it, and the same seed replays
 */
#include "runner/queue/bill.h"
#include "runner/queue/store_priv.h"

#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ACTORS = 3, DEVICES = 2, JOBS_MOST = 25, ROUNDS = 15, STEPS = 150 };

typedef struct {
    JobId id;
    JobState state;
    int attempts;
    int64_t used_ended_ms; /* of attempts that have ended */
    int64_t used_now_ms;   /* beaten of the one that has not */
    int device;            /* held; -1: none */
    int owner;             /* actor; -1: none */
    bool cancel;
} Model;

typedef struct {
    Store *store;
    int locks[JOBS_MOST]; /* of the job of that index; -1: not ours */
} Actor;

typedef struct {
    GRand *rand;
    char *dir;
    Store *checker;
    Actor actors[ACTORS];
    Model jobs[JOBS_MOST];
    int jobs_count;
    int64_t wall_ms;
    JobSpec *spec;
    int step;
} Sim;

static int pick(Sim *sim, int most)
{
    return g_rand_int_range(sim->rand, 0, most);
}

static int64_t tick(Sim *sim)
{
    /* Sometimes the clock is set: back or on, by up to an hour. */
    if (pick(sim, 20) == 0)
        sim->wall_ms += g_rand_int_range(sim->rand, -3600000, 3600000);
    return sim->wall_ms += pick(sim, 1000);
}

static void must(bool ok, const GError *error, const char *what)
{
    if (!ok)
        g_error("%s: %s", what, error ? error->message : "no");
}

static void open_actor(Sim *sim, int a)
{
    g_autoptr(GError) error = NULL;
    Actor *actor = &sim->actors[a];

    actor->store = store_open(sim->dir, &error);
    must(actor->store, error, "store_open");
    for (int i = 0; i < JOBS_MOST; i++)
        actor->locks[i] = -1;
}

/* ---- the steps: each changes store and model alike ---- */

static bool append(Actor *actor, Model *job, const char *type, int attempt, GError **error)
{
    Job at = {.id = job->id, .attempts = attempt};
    json_t *body = g_str_equal(type, "retrying") ? json_pack("{s:i}", "retry_at_ms", 1) : NULL;
    g_autoptr(Event) event = event_new(&at, type, 1, body);

    return store_append(actor->store, event, error);
}

static void step_add(Sim *sim, Actor *actor)
{
    g_autoptr(GError) error = NULL;
    JobNew new_job = {.spec = sim->spec, .group = "g", .base_dir = "/", .at_ms = tick(sim)};
    Model *job = &sim->jobs[sim->jobs_count];

    if (sim->jobs_count == JOBS_MOST)
        return;
    *job = (Model){.state = JOB_PENDING, .device = -1, .owner = -1};
    must(store_add_job(actor->store, &new_job, &job->id, &error), error, "store_add_job");
    sim->jobs_count++;
}

static void step_take(Sim *sim, int a, int j)
{
    g_autoptr(GError) error = NULL;
    Model *job = &sim->jobs[j];
    int fd = -1;
    bool taken = store_lock_job(sim->actors[a].store, job->id, &fd, &error);

    g_assert_true(taken == (job->owner < 0));
    if (!taken) {
        g_assert_error(error, STORE_ERROR, STORE_ERROR_BUSY);
        return;
    }
    if (job->state != JOB_PENDING || job->cancel) {
        close(fd); /* a runner takes only what waits */
        return;
    }
    sim->actors[a].locks[j] = fd;
    job->owner = a;
}

static bool is_device_held(const Sim *sim, int device)
{
    for (int i = 0; i < sim->jobs_count; i++) {
        if (sim->jobs[i].device == device)
            return true;
    }
    return false;
}

static bool write_begin(Sim *sim, Actor *actor, Model *job, int device, GError **error)
{
    g_autofree char *name = g_strdup_printf("GPU-%d", device);
    Lease lease = {.job = job->id,
                   .attempt = job->attempts + 1,
                   .supplier = (char[]){"local"},
                   .node = (char[]){"n"},
                   .device = name,
                   .model = (char[]){"H100"},
                   .price_usd_micro = 2200000,
                   .io_usd_micro = 150000,
                   .granted_at_ms = tick(sim)};
    g_autoptr(DbTx) tx = db_begin(actor->store->db, true, error);

    return tx && store_grant_lease(actor->store, &lease, error) &&
           append(actor, job, "attempt", job->attempts + 1, error) && db_commit(tx, error);
}

static void step_begin(Sim *sim, Actor *actor, Model *job)
{
    g_autoptr(GError) error = NULL;
    int device = pick(sim, DEVICES);
    bool held = is_device_held(sim, device);

    if (write_begin(sim, actor, job, device, &error)) {
        g_assert_false(held);
        job->state = JOB_STARTING;
        job->attempts++;
        job->used_now_ms = 0;
        job->device = device;
    } else {
        g_assert_true(held);
        g_assert_error(error, STORE_ERROR, STORE_ERROR_BUSY);
    }
}

static void step_work(Sim *sim, Actor *actor, Model *job)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(DbTx) tx = db_begin(actor->store->db, false, &error);
    int64_t used = job->used_now_ms + pick(sim, 3000);

    must(tx, error, "db_begin");
    if (job->state == JOB_STARTING)
        must(append(actor, job, "running", job->attempts, &error), error, "running");
    must(append(actor, job, "progress", job->attempts, &error), error, "progress");
    must(store_beat_leases(actor->store, job->id, used, &error), error, "beat");
    must(db_commit(tx, &error), error, "commit");
    job->state = JOB_RUNNING;
    job->used_now_ms = used;
}

static void close_attempt(Model *job, JobState state, int64_t used_ms)
{
    job->state = state;
    job->used_ended_ms += used_ms;
    job->used_now_ms = 0;
    job->device = -1;
}

static void step_end(Sim *sim, Actor *actor, Model *job)
{
    static const struct {
        const char *type;
        JobState state;
    } ends[] = {{"succeeded", JOB_SUCCEEDED},
                {"failed", JOB_FAILED},
                {"retrying", JOB_RETRYING},
                {"interrupted", JOB_PENDING}};
    int end = pick(sim, 4);
    g_autoptr(GError) error = NULL;
    Job at = {.id = job->id, .attempts = job->attempts};
    int64_t used = job->used_now_ms + pick(sim, 1000);
    json_t *body = end == 2 ? json_pack("{s:i}", "retry_at_ms", 1) : NULL;
    g_autoptr(Event) event = event_new(&at, ends[end].type, tick(sim), body);

    must(store_end_attempt(actor->store, event, used, &error), error, ends[end].type);
    close_attempt(job, ends[end].state, used);
}

static void release_lock(Sim *sim, int a, int j)
{
    close(sim->actors[a].locks[j]);
    sim->actors[a].locks[j] = -1;
    sim->jobs[j].owner = -1;
}

/* What the owner of a job does next with it. */
static void step_own(Sim *sim, int a, int j)
{
    Actor *actor = &sim->actors[a];
    Model *job = &sim->jobs[j];
    g_autoptr(GError) error = NULL;

    if (job->state == JOB_PENDING && !job->cancel) {
        step_begin(sim, actor, job);
    } else if (job->state == JOB_RETRYING) {
        must(append(actor, job, "queued", job->attempts, &error), error, "queued");
        job->state = JOB_PENDING;
    } else if (job_state_is_ended(job->state) || job->state == JOB_PENDING) {
        release_lock(sim, a, j);
    } else if (pick(sim, 3) > 0) {
        step_work(sim, actor, job);
    } else {
        step_end(sim, actor, job);
    }
}

static void step_cancel(Sim *sim, Actor *actor, Model *job)
{
    g_autoptr(GError) error = NULL;

    must(store_cancel_job(actor->store, job->id, pick(sim, 2), tick(sim), NULL, &error), error,
         "store_cancel_job");
    if (job_state_is_ended(job->state))
        return;
    if (job->owner >= 0)
        job->cancel = true;
    else
        close_attempt(job, JOB_CANCELLED, job->used_now_ms);
}

static void step_recover(Sim *sim, Actor *actor)
{
    g_autoptr(GError) error = NULL;

    must(store_recover(actor->store, tick(sim), &error), error, "store_recover");
    for (int i = 0; i < sim->jobs_count; i++) {
        Model *job = &sim->jobs[i];

        if (job->owner >= 0 || job_state_is_ended(job->state))
            continue;
        if (job_state_is_active(job->state) || job->cancel)
            close_attempt(job, job->cancel ? JOB_CANCELLED : JOB_PENDING, job->used_now_ms);
    }
}

/* Dies with all it holds; maybe inside a transaction, of which nothing may be left. */
static void step_crash(Sim *sim, int a)
{
    Actor *actor = &sim->actors[a];
    g_autoptr(GError) error = NULL;
    DbTx *tx = NULL;

    if (pick(sim, 2) && sim->jobs_count > 0) {
        Model *job = &sim->jobs[pick(sim, sim->jobs_count)];
        JobNew new_job = {.spec = sim->spec, .group = "g", .base_dir = "/", .at_ms = 1};
        JobId lost;

        tx = db_begin(actor->store->db, true, &error);
        must(tx, error, "db_begin");
        must(store_add_job(actor->store, &new_job, &lost, &error), error, "store_add_job");
        must(store_beat_leases(actor->store, job->id, 1000000, &error), error, "beat");
    }
    db_tx_free(tx); /* what SQLite does with an open transaction of a process that is gone */
    store_close(actor->store);
    for (int j = 0; j < sim->jobs_count; j++) {
        if (actor->locks[j] >= 0)
            release_lock(sim, a, j);
    }
    open_actor(sim, a);
}

/* No page more: the step fails as a whole and says why. */
static void step_full_disk(Sim *sim, Actor *actor)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *long_name = g_strnfill(300000, 'x');
    JobNew new_job = {.spec = sim->spec, .group = long_name, .base_dir = "/", .at_ms = 1};
    sqlite3 *db = store_get_db(actor->store);
    JobId lost;

    sqlite3_exec(db, "PRAGMA max_page_count = 1", NULL, NULL, NULL);
    g_assert_false(store_add_job(actor->store, &new_job, &lost, &error));
    g_assert_error(error, STORE_ERROR, STORE_ERROR_FULL);
    sqlite3_exec(db, "PRAGMA max_page_count = 1073741823", NULL, NULL, NULL);
}

static void step(Sim *sim)
{
    int a = pick(sim, ACTORS);
    Actor *actor = &sim->actors[a];
    int what = pick(sim, 100);
    int j = sim->jobs_count ? pick(sim, sim->jobs_count) : -1;

    if (j < 0 || what < 8)
        step_add(sim, actor);
    else if (what < 12)
        step_crash(sim, a);
    else if (what < 16)
        step_recover(sim, actor);
    else if (what < 18)
        step_cancel(sim, actor, &sim->jobs[j]);
    else if (what < 19)
        step_full_disk(sim, actor);
    else if (sim->jobs[j].owner >= 0)
        step_own(sim, sim->jobs[j].owner, j);
    else
        step_take(sim, a, j);
}

/* ---- what must be true ---- */

static void check_job(Sim *sim, const Model *model)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Job) job = store_get_job(sim->checker, model->id, &error);
    g_autoptr(GPtrArray) leases = store_list_leases(sim->checker, model->id, &error);
    int64_t used = 0;
    int held = 0;

    must(job && leases, error, "read");
    for (guint i = 0; i < leases->len; i++) {
        const Lease *lease = g_ptr_array_index(leases, i);

        used += lease->used_ms;
        held += !lease->released;
    }
    if (job->state != model->state || job->attempts != model->attempts ||
        job->owned != (model->owner >= 0 && !job_state_is_ended(model->state)) ||
        used != model->used_ended_ms + model->used_now_ms || held != (model->device >= 0))
        g_error("step %d: job %d: store %s, %d attempts, %d ms, %d held; model %s, %d, %d, %d",
                sim->step, (int)model->id.value, job_state_name(job->state), job->attempts,
                (int)used, held, job_state_name(model->state), model->attempts,
                (int)(model->used_ended_ms + model->used_now_ms), model->device >= 0);
}

static void check_ledger(Sim *sim)
{
    g_autoptr(GError) error = NULL;
    int64_t balance = 0;
    int64_t total = 0;

    for (int i = 0; i < sim->jobs_count; i++) {
        g_autoptr(Invoice) invoice = bill_build(sim->checker, sim->jobs[i].id, &error);

        must(invoice, error, "bill_build");
        if (sim->jobs[i].device < 0)
            total += invoice->total;
    }
    must(ledger_get_balance(store_get_ledger(sim->checker), "renter/default", MONEY_USDC, &balance,
                            &error),
         error, "balance");
    for (int i = 0; i < sim->jobs_count; i++) {
        if (sim->jobs[i].device >= 0)
            return; /* what its earlier attempts cost is posted, what the invoice says is more */
    }
    g_assert_cmpint(ABS(balance), ==, total);
}

static void check(Sim *sim)
{
    g_autoptr(GError) error = NULL;

    must(store_check(sim->checker, &error), error, "store_check");
    for (int i = 0; i < sim->jobs_count; i++)
        check_job(sim, &sim->jobs[i]);
    check_ledger(sim);
}

/* ---- rounds ---- */

static void remove_tree(const char *path)
{
    GDir *dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);

        remove_tree(child);
    }
    if (dir)
        g_dir_close(dir);
    g_remove(path);
}

static JobSpec *make_spec(void)
{
    static const char text[] = "version: 1\nname: t\nrun: 'true'\n";
    g_autoptr(JobSpecFile) file = jobspec_file_parse("sim.yaml", text, strlen(text), NULL);
    json_t *json = jobspec_to_json(g_ptr_array_index(file->jobs, 0));
    char *canonical = json_dumps(json, JSON_COMPACT);
    JobSpec *spec = jobspec_from_json(canonical, strlen(canonical), NULL);

    free(canonical);
    json_decref(json);
    return spec;
}

static void play_round(GRand *rand, JobSpec *spec)
{
    g_autoptr(GError) error = NULL;
    Sim sim = {.rand = rand, .wall_ms = 1700000000000, .spec = spec};

    sim.dir = g_dir_make_tmp("drover-sim-XXXXXX", &error);
    must(sim.dir, error, "folder");
    sim.checker = store_open(sim.dir, &error);
    must(sim.checker, error, "store_open");
    for (int a = 0; a < ACTORS; a++)
        open_actor(&sim, a);
    for (sim.step = 0; sim.step < STEPS; sim.step++) {
        step(&sim);
        check(&sim);
    }
    for (int a = 0; a < ACTORS; a++) {
        step_crash(&sim, a);
        step_recover(&sim, &sim.actors[a]);
        check(&sim);
    }
    for (int a = 0; a < ACTORS; a++)
        store_close(sim.actors[a].store);
    store_close(sim.checker);
    remove_tree(sim.dir);
    g_free(sim.dir);
}

int main(int argc, char **argv)
{
    guint32 seed = argc > 1 ? (guint32)strtoul(argv[1], NULL, 0) : g_random_int();
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    g_autoptr(JobSpec) spec = make_spec();

    printf("sim_queue: seed %u\n", seed);
    fflush(stdout);
    for (int i = 0; i < ROUNDS; i++)
        play_round(rand, spec);
    printf("sim_queue: %d rounds of %d steps hold\n", ROUNDS, STEPS);
    return 0;
}
