/* SPDX-License-Identifier: Apache-2.0
 *
 * Death of the owner at any moment, and cancelling from elsewhere. The owners are real processes,
 * killed with SIGKILL; what they had been told was done must be there afterwards.
 */
#include "fixture.h"
#include "runner/queue/bill.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void recover(Store *store)
{
    g_autoptr(GError) error = NULL;

    store_recover(store, fixture_now_ms(), &error);
    g_assert_no_error(error);
}

static int64_t used_of(Store *store, JobId id)
{
    g_autoptr(GPtrArray) leases = store_list_leases(store, id, NULL);
    int64_t used = 0;

    for (guint i = 0; i < leases->len; i++)
        used += ((Lease *)g_ptr_array_index(leases, i))->used_ms;
    return used;
}

static int64_t balance_of(Store *store)
{
    int64_t balance;

    g_assert_true(ledger_get_balance(store->ledger, "renter/default", MONEY_USDC, &balance, NULL));
    return balance;
}

/* ---- one owner ---- */

typedef struct {
    pid_t pid;
    int said; /* a byte a step */
} Owner;

/* A process that owns the job and has an attempt with one lease at 7,000 ms. */
static Owner start_owner(const char *dir, JobId id)
{
    int said[2];
    Owner owner;

    g_assert_cmpint(pipe(said), ==, 0);
    owner.pid = fork();
    owner.said = said[0];
    if (owner.pid == 0) {
        Store *mine = fixture_open(dir);
        int fd;

        g_assert_true(store_lock_job(mine, id, &fd, NULL));
        fixture_begin(mine, id, 1, "d");
        fixture_append(mine, id, 1, "running", NULL);
        g_assert_true(store_beat_leases(mine, id, 7000, NULL));
        g_assert_cmpint(write(said[1], "x", 1), ==, 1);
        for (;;)
            pause();
    }
    close(said[1]);
    return owner;
}

static void wait_owner(const Owner *owner)
{
    char byte;

    g_assert_cmpint(read(owner->said, &byte, 1), ==, 1);
}

static void kill_owner(const Owner *owner)
{
    g_assert_cmpint(kill(owner->pid, SIGKILL), ==, 0);
    g_assert_cmpint(waitpid(owner->pid, NULL, 0), ==, owner->pid);
    close(owner->said);
}

static void test_owner_dies(StoreFixture *fixture, gconstpointer data)
{
    JobId id = fixture_add(fixture->store, "");
    Owner owner = start_owner(fixture->dir, id);
    g_autoptr(Job) before = NULL;
    g_autoptr(Job) after = NULL;
    g_autoptr(Job) again = NULL;
    g_autoptr(GPtrArray) events = NULL;
    int64_t paid;

    (void)data;
    wait_owner(&owner);
    recover(fixture->store);
    before = fixture_job(fixture->store, id);
    g_assert_cmpint(before->state, ==, JOB_RUNNING);
    g_assert_true(before->owned);
    kill_owner(&owner);
    recover(fixture->store);
    after = fixture_job(fixture->store, id);
    g_assert_cmpint(after->state, ==, JOB_PENDING);
    g_assert_false(after->owned);
    g_assert_cmpstr(after->cause, ==, "interrupted");
    g_assert_nonnull(strstr(after->reason, "drover run --resume 1"));
    g_assert_cmpint(used_of(fixture->store, id), ==, 7000);
    paid = balance_of(fixture->store);
    g_assert_cmpint(paid, !=, 0);
    fixture_check(fixture->store);
    for (int i = 0; i < 3; i++)
        recover(fixture->store);
    again = fixture_job(fixture->store, id);
    g_assert_true(job_is_equal(after, again));
    g_assert_cmpint(balance_of(fixture->store), ==, paid);
    events = store_list_events(fixture->store, id, 0, NULL);
    g_assert_cmpuint(events->len, ==, 4);
    fixture_check(fixture->store);
}

/* A job nobody has begun stays pending, and says that nobody runs it. */
static void test_pending_without_owner(StoreFixture *fixture, gconstpointer data)
{
    JobId id = fixture_add(fixture->store, "");
    g_autoptr(Job) job = NULL;
    g_autoptr(Job) owned = NULL;
    int fd;

    (void)data;
    recover(fixture->store);
    job = fixture_job(fixture->store, id);
    g_assert_cmpint(job->state, ==, JOB_PENDING);
    g_assert_nonnull(strstr(job->reason, "no drover process runs it"));
    g_assert_true(store_lock_job(fixture->store, id, &fd, NULL));
    owned = fixture_job(fixture->store, id);
    g_assert_null(owned->reason);
    close(fd);
}

/* ---- cancelling ---- */

static void cancel(Store *store, JobId id, bool now, Job **job)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(store_cancel_job(store, id, now, fixture_now_ms(), job, &error));
    g_assert_no_error(error);
}

static void test_cancel_pending(StoreFixture *fixture, gconstpointer data)
{
    JobId id = fixture_add(fixture->store, "");
    g_autoptr(Job) job = NULL;
    g_autoptr(Job) again = NULL;

    (void)data;
    cancel(fixture->store, id, false, &job);
    g_assert_cmpint(job->state, ==, JOB_CANCELLED);
    cancel(fixture->store, id, true, &again);
    g_assert_true(job_is_equal(job, again));
    fixture_check(fixture->store);
}

static void test_cancel_owned(StoreFixture *fixture, gconstpointer data)
{
    JobId id = fixture_add(fixture->store, "");
    Owner owner = start_owner(fixture->dir, id);
    g_autoptr(Job) asked = NULL;
    g_autoptr(Job) asked_now = NULL;
    g_autoptr(Job) gone = NULL;
    g_autoptr(GPtrArray) events = NULL;

    (void)data;
    wait_owner(&owner);
    cancel(fixture->store, id, false, &asked);
    g_assert_cmpint(asked->state, ==, JOB_RUNNING);
    g_assert_true(asked->cancel_requested);
    g_assert_false(asked->cancel_now);
    cancel(fixture->store, id, false, NULL);
    cancel(fixture->store, id, true, &asked_now);
    g_assert_true(asked_now->cancel_now);
    cancel(fixture->store, id, true, NULL);
    events = store_list_events(fixture->store, id, 0, NULL);
    g_assert_cmpuint(events->len, ==, 5); /* two requests, not four */
    /* The owner dies before it obeys: what was asked for still comes true. */
    kill_owner(&owner);
    recover(fixture->store);
    gone = fixture_job(fixture->store, id);
    g_assert_cmpint(gone->state, ==, JOB_CANCELLED);
    g_assert_cmpint(used_of(fixture->store, id), ==, 7000);
    fixture_check(fixture->store);
}

static void test_cancel_ownerless(StoreFixture *fixture, gconstpointer data)
{
    JobId id = fixture_add(fixture->store, "");
    Owner owner = start_owner(fixture->dir, id);
    g_autoptr(Job) job = NULL;

    (void)data;
    wait_owner(&owner);
    kill_owner(&owner);
    cancel(fixture->store, id, false, &job);
    g_assert_cmpint(job->state, ==, JOB_CANCELLED);
    g_assert_cmpint(used_of(fixture->store, id), ==, 7000);
    fixture_check(fixture->store);
}

static void test_cancel_what_is_not_there(StoreFixture *fixture, gconstpointer data)
{
    JobId none = {77};
    g_autoptr(GError) error = NULL;

    (void)data;
    g_assert_false(store_cancel_job(fixture->store, none, false, 1, NULL, &error));
    g_assert_error(error, STORE_ERROR, STORE_ERROR_NOT_FOUND);
}

/* ---- a bill that cannot be posted ---- */

static void test_unpostable_bill(StoreFixture *fixture, gconstpointer data)
{
    JobId bad = fixture_add(fixture->store, "name: bad");
    JobId good = fixture_add(fixture->store, "name: good");
    sqlite3 *db = store_get_db(fixture->store);
    g_autoptr(GError) error = NULL;
    g_autoptr(Job) job = NULL;

    (void)data;
    fixture_begin(fixture->store, bad, 1, "d");
    sqlite3_exec(db, "UPDATE leases SET price_usd_micro = 9000000000000000000", NULL, NULL, NULL);
    fixture_end(fixture->store, bad, 1, "succeeded", G_MAXINT64 / 2);
    job = fixture_job(fixture->store, bad);
    g_assert_cmpint(job->state, ==, JOB_SUCCEEDED);
    fixture_begin(fixture->store, good, 1, "e");
    fixture_end(fixture->store, good, 1, "succeeded", 1000);
    sqlite3_exec(db, "UPDATE leases SET posted = 0", NULL, NULL, NULL);
    g_assert_false(store_recover(fixture->store, 1, &error));
    g_assert_nonnull(strstr(error->message, "bill of job 1: "));
    g_assert_cmpint(balance_of(fixture->store), !=, 0); /* the good one's */
    /* Once it can be posted, it is. */
    sqlite3_exec(db, "UPDATE leases SET price_usd_micro = 0", NULL, NULL, NULL);
    sqlite3_exec(db, "UPDATE leases SET used_ms = 5 WHERE job = 1", NULL, NULL, NULL);
    recover(fixture->store);
}

/* ---- SIGKILL at random moments ---- */

/* What the victim says after each step that the store has told it is done. */
typedef struct {
    char what; /* 'a'dded, 'b'eat, 'e'nded */
    int64_t job;
    int64_t used_ms;
} Said;

static void say(int fd, char what, JobId job, int64_t used_ms)
{
    Said said = {.what = what, .job = job.value, .used_ms = used_ms};

    g_assert_cmpint(write(fd, &said, sizeof said), ==, sizeof said);
}

static void live_one_attempt(Store *store, JobId id, GRand *rand, int fd)
{
    g_autoptr(Job) job = fixture_job(store, id);
    int attempt = job->attempts + 1;
    int64_t used = 0;

    fixture_begin(store, id, attempt, "d");
    fixture_append(store, id, attempt, "running", NULL);
    for (int beats = g_rand_int_range(rand, 0, 5); beats > 0; beats--) {
        used += g_rand_int_range(rand, 1, 2000);
        g_assert_true(store_beat_leases(store, id, used, NULL));
        fixture_append(store, id, attempt, "progress", "{\"step\":1}");
        say(fd, 'b', id, used);
    }
    used += g_rand_int_range(rand, 0, 1000);
    if (g_rand_boolean(rand)) {
        fixture_end(store, id, attempt, "succeeded", used);
    } else {
        fixture_end(store, id, attempt, "retrying", used);
        fixture_append(store, id, attempt, "queued", NULL);
    }
    say(fd, 'e', id, used);
}

static void be_victim(const char *dir, guint32 seed, int fd)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    Store *store = fixture_open(dir);

    for (;;) {
        JobId id = fixture_add(store, "");
        int lock;

        say(fd, 'a', id, 0);
        g_assert_true(store_lock_job(store, id, &lock, NULL));
        for (int attempts = 0; attempts < 3; attempts++) {
            g_autoptr(Job) job = fixture_job(store, id);

            if (job->state == JOB_PENDING)
                live_one_attempt(store, id, rand, fd);
        }
        close(lock);
    }
}

/* Per job: how often an attempt ended for sure, and the time known for sure. */
typedef struct {
    int64_t ended_ms;
    int64_t beat_ms; /* of the attempt that had not ended */
} Known;

static void learn(GHashTable *known, const Said *said)
{
    Known *entry = g_hash_table_lookup(known, &said->job);

    if (said->what == 'a') {
        int64_t *key = g_memdup2(&said->job, sizeof said->job);

        g_assert_null(entry);
        g_hash_table_insert(known, key, g_new0(Known, 1));
    } else if (said->what == 'b') {
        entry->beat_ms = said->used_ms;
    } else {
        entry->ended_ms += said->used_ms;
        entry->beat_ms = 0;
    }
}

static void check_known(Store *store, GHashTable *known)
{
    GHashTableIter iter;
    gpointer key;
    gpointer value;

    g_hash_table_iter_init(&iter, known);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        JobId id = {*(int64_t *)key};
        const Known *entry = value;
        g_autoptr(Job) job = fixture_job(store, id);

        g_assert_true(job->state == JOB_PENDING || job->state == JOB_SUCCEEDED);
        /* At most the one step that was done and not yet said is more than what is known. */
        g_assert_cmpint(used_of(store, id), >=, entry->ended_ms + entry->beat_ms);
        g_assert_cmpint(used_of(store, id), <=, entry->ended_ms + entry->beat_ms + 3000);
    }
}

/* The ledger says what the invoices of all jobs say. */
static void check_ledger(Store *store)
{
    g_autoptr(GPtrArray) jobs = store_list_jobs(store, NULL, NULL);
    int64_t total = 0;

    for (guint i = 0; i < jobs->len; i++) {
        g_autoptr(Invoice) invoice =
            bill_build(store, ((Job *)g_ptr_array_index(jobs, i))->id, NULL);

        g_assert_true(invoice->final);
        total += invoice->total;
    }
    g_assert_cmpint(ABS(balance_of(store)), ==, total);
}

static void kill_once(StoreFixture *fixture, GHashTable *known, GRand *rand)
{
    guint32 seed = g_rand_int(rand);
    gint64 until = g_get_monotonic_time() + g_rand_int_range(rand, 0, 30000);
    int pipe_fds[2];
    pid_t pid;
    Said said;

    g_assert_cmpint(pipe(pipe_fds), ==, 0);
    pid = fork();
    if (pid == 0) {
        close(pipe_fds[0]);
        be_victim(fixture->dir, seed, pipe_fds[1]);
    }
    close(pipe_fds[1]);
    while (g_get_monotonic_time() < until)
        g_usleep(500);
    g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
    g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
    while (read(pipe_fds[0], &said, sizeof said) == sizeof said)
        learn(known, &said);
    close(pipe_fds[0]);
    recover(fixture->store);
    fixture_check(fixture->store);
    check_known(fixture->store, known);
}

static void test_kill_anywhere(StoreFixture *fixture, gconstpointer data)
{
    enum { KILLS = 100 };
    guint32 seed = g_test_rand_int() < 0 ? 1 : (guint32)g_test_rand_int();
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    g_autoptr(GHashTable) known =
        g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);

    (void)data;
    for (int i = 0; i < KILLS; i++)
        kill_once(fixture, known, rand);
    check_ledger(fixture->store);
    g_assert_cmpuint(g_hash_table_size(known), >, 0);
    g_test_message("%d kills, %u jobs", KILLS, g_hash_table_size(known));
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(StoreFixture *fixture, gconstpointer data);
    } tests[] = {
        {"owner-dies", test_owner_dies},
        {"pending-without-owner", test_pending_without_owner},
        {"cancel-pending", test_cancel_pending},
        {"cancel-owned", test_cancel_owned},
        {"cancel-ownerless", test_cancel_ownerless},
        {"cancel-what-is-not-there", test_cancel_what_is_not_there},
        {"unpostable-bill", test_unpostable_bill},
        {"kill-anywhere", test_kill_anywhere},
    };

    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strdup_printf("/recover/%s", tests[i].name);

        g_test_add(path, StoreFixture, NULL, fixture_set_up, tests[i].run, fixture_tear_down);
    }
    return g_test_run();
}
