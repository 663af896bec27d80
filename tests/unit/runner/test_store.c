/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include "runner/queue/bill.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void reopen(StoreFixture *fixture)
{
    store_close(fixture->store);
    fixture->store = fixture_open(fixture->dir);
}

static void assert_mode(const char *dir, const char *name, mode_t mode)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);
    struct stat status;

    g_assert_cmpint(stat(path, &status), ==, 0);
    g_assert_cmpint(status.st_mode & 07777, ==, mode);
}

/* ---- the folder ---- */

static void test_private(StoreFixture *fixture, gconstpointer data)
{
    g_autofree char *deep = g_build_filename(fixture->dir, "a", "b", NULL);
    Store *store = fixture_open(deep);
    JobId id = fixture_add(store, "");
    g_autofree char *attempt = store_get_attempt_dir(store, id, 1);

    (void)data;
    assert_mode(deep, ".", 0700);
    assert_mode(deep, "drover.db", 0600);
    assert_mode(deep, "drover.db-wal", 0600);
    assert_mode(deep, "jobs/1", 0700);
    assert_mode(attempt, ".", 0700);
    store_close(store);
}

static void assert_refused(const char *dir, StoreError code, const char *words)
{
    g_autoptr(GError) error = NULL;
    Store *store = store_open(dir, &error);

    g_assert_null(store);
    g_assert_error(error, STORE_ERROR, (gint)code);
    if (!strstr(error->message, words))
        g_error("'%s' is not in: %s", words, error->message);
}

static void test_refuses_open_folder(StoreFixture *fixture, gconstpointer data)
{
    (void)data;
    g_clear_pointer(&fixture->store, store_close);
    g_assert_cmpint(chmod(fixture->dir, 0770), ==, 0);
    assert_refused(fixture->dir, STORE_ERROR_DENIED, "run: chmod 700 '");
    g_assert_cmpint(chmod(fixture->dir, 0702), ==, 0);
    assert_refused(fixture->dir, STORE_ERROR_DENIED, "others may write to it (mode 0702)");
    g_assert_cmpint(chmod(fixture->dir, 0755), ==, 0);
    fixture->store = fixture_open(fixture->dir);
}

static void test_refuses_foreign_folder(StoreFixture *fixture, gconstpointer data)
{
    (void)data;
    if (geteuid() == 0) {
        g_clear_pointer(&fixture->store, store_close);
        g_assert_cmpint(chown(fixture->dir, 12345, 12345), ==, 0);
        assert_refused(fixture->dir, STORE_ERROR_DENIED, "belongs to user 12345");
        g_assert_cmpint(chown(fixture->dir, 0, 0), ==, 0);
    } else {
        assert_refused("/", STORE_ERROR_DENIED, "belongs to user 0");
    }
}

static void test_refuses_no_folder(StoreFixture *fixture, gconstpointer data)
{
    g_autofree char *file = g_build_filename(fixture->dir, "drover.db", NULL);
    g_autofree char *below = g_build_filename(file, "x", NULL);

    (void)data;
    assert_refused(file, STORE_ERROR_DENIED, "drover.db");
    assert_refused(below, STORE_ERROR_DENIED, "cannot create the folder");
}

static void test_refuses_link(StoreFixture *fixture, gconstpointer data)
{
    g_autofree char *dir = fixture_make_dir();
    g_autofree char *link = g_build_filename(dir, "drover.db", NULL);

    (void)data;
    g_assert_cmpint(symlink("/etc/hostname", link), ==, 0);
    assert_refused(dir, STORE_ERROR_DENIED, "drover.db");
    fixture_remove_dir(g_steal_pointer(&dir));
    (void)fixture;
}

static void write_db(const char *dir, const char *bytes, size_t size)
{
    g_autofree char *path = g_build_filename(dir, "drover.db", NULL);

    g_assert_true(g_file_set_contents(path, bytes, (gssize)size, NULL));
}

static void test_refuses_bad_file(StoreFixture *fixture, gconstpointer data)
{
    g_autofree char *dir = fixture_make_dir();
    g_autofree char *path = g_build_filename(dir, "drover.db", NULL);
    g_autofree char *junk = g_strnfill(5000, 'x');
    sqlite3 *db;

    (void)data;
    (void)fixture;
    write_db(dir, junk, 5000);
    assert_refused(dir, STORE_ERROR_CORRUPT, "not a database");
    write_db(dir, "", 0);
    store_close(fixture_open(dir));
    /* A database of somebody else. */
    write_db(dir, "", 0);
    g_assert_cmpint(sqlite3_open(path, &db), ==, SQLITE_OK);
    sqlite3_exec(db, "PRAGMA application_id = 7; CREATE TABLE t (a)", NULL, NULL, NULL);
    sqlite3_close(db);
    assert_refused(dir, STORE_ERROR_CORRUPT, "not a store of drover");
    /* A store from the future. */
    write_db(dir, "", 0);
    store_close(fixture_open(dir));
    g_assert_cmpint(sqlite3_open(path, &db), ==, SQLITE_OK);
    sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL);
    sqlite3_close(db);
    assert_refused(dir, STORE_ERROR_CORRUPT, "written by a newer drover (schema 99");
    fixture_remove_dir(g_steal_pointer(&dir));
}

/* Bytes in the middle turned over: an error, never a crash or a silent answer. */
static void test_damage_is_told(StoreFixture *fixture, gconstpointer data)
{
    g_autofree char *dir = fixture_make_dir();
    g_autofree char *path = g_build_filename(dir, "drover.db", NULL);
    g_autoptr(GError) error = NULL;
    Store *store = fixture_open(dir);
    char *bytes;
    size_t size;

    (void)data;
    (void)fixture;
    for (int i = 0; i < 50; i++)
        fixture_add(store, "");
    sqlite3_exec(store_get_db(store), "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);
    store_close(store);
    g_assert_true(g_file_get_contents(path, &bytes, &size, NULL));
    for (size_t i = 4096; i < size; i++)
        bytes[i] = (char)(bytes[i] ^ 0x5a);
    write_db(dir, bytes, size);
    g_free(bytes);
    store = store_open(dir, &error);
    if (store) {
        g_autoptr(GPtrArray) jobs = store_list_jobs(store, NULL, &error);

        g_assert_null(jobs);
        store_close(store);
    }
    g_assert_nonnull(error);
    g_assert_true(error->code == STORE_ERROR_CORRUPT || error->domain == BILLING_ERROR);
    fixture_remove_dir(g_steal_pointer(&dir));
}

/* ---- two processes ---- */

static void test_two_openers(StoreFixture *fixture, gconstpointer data)
{
    Store *other = fixture_open(fixture->dir);
    JobId id = fixture_add(fixture->store, "name: a");
    g_autoptr(Job) seen = fixture_job(other, id);

    (void)data;
    g_assert_cmpstr(seen->name, ==, "a");
    g_assert_true(store_has_changed(other));
    g_assert_false(store_has_changed(other));
    fixture_append(fixture->store, id, 0, "waiting", "{\"reason\":\"r\"}");
    g_assert_true(store_has_changed(other));
    store_close(other);
}

/* Many processes open a new store at one moment and each adds a job. */
static void test_open_storm(StoreFixture *fixture, gconstpointer data)
{
    enum { PROCESSES = 8 };
    g_autofree char *dir = g_build_filename(fixture->dir, "new", NULL);
    g_autoptr(GPtrArray) jobs = NULL;
    Store *store;

    (void)data;
    for (int i = 0; i < PROCESSES; i++) {
        if (fork() == 0) {
            Store *mine = fixture_open(dir);

            fixture_add(mine, "");
            store_close(mine);
            _exit(0);
        }
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status;

        g_assert_cmpint(wait(&status), >, 0);
        g_assert_cmpint(status, ==, 0);
    }
    store = fixture_open(dir);
    jobs = store_list_jobs(store, NULL, NULL);
    g_assert_cmpuint(jobs->len, ==, PROCESSES);
    store_close(store);
}

static void test_locks(StoreFixture *fixture, gconstpointer data)
{
    JobId id = fixture_add(fixture->store, "");
    g_autoptr(GError) error = NULL;
    int first;
    int second = -7;
    int copy;

    (void)data;
    g_assert_false(store_is_locked(fixture->store, id));
    g_assert_true(store_lock_job(fixture->store, id, &first, NULL));
    g_assert_true(fcntl(first, F_GETFD) & FD_CLOEXEC);
    g_assert_true(store_is_locked(fixture->store, id));
    g_assert_false(store_lock_job(fixture->store, id, &second, &error));
    g_assert_error(error, STORE_ERROR, STORE_ERROR_BUSY);
    g_assert_nonnull(strstr(error->message, "another drover process (pid "));
    g_assert_cmpint(second, ==, -7);
    /* An inherited descriptor holds on to it. */
    copy = dup(first);
    close(first);
    g_assert_true(store_is_locked(fixture->store, id));
    close(copy);
    g_assert_false(store_is_locked(fixture->store, id));
}

/* Asking does not disturb taking. */
static void test_asking_takes_nothing(StoreFixture *fixture, gconstpointer data)
{
    JobId id = fixture_add(fixture->store, "");
    int fd;

    (void)data;
    for (int i = 0; i < 100; i++) {
        g_assert_false(store_is_locked(fixture->store, id));
        g_assert_true(store_lock_job(fixture->store, id, &fd, NULL));
        g_assert_true(store_is_locked(fixture->store, id));
        close(fd);
    }
}

/* ---- jobs and events ---- */

static void test_find(StoreFixture *fixture, gconstpointer data)
{
    JobId a = fixture_add(fixture->store, "name: a");
    JobId b = fixture_add(fixture->store, "name: b");
    JobId a_again = fixture_add(fixture->store, "name: a");
    JobId digits = fixture_add(fixture->store, "name: '2'");
    static const char *const none[] = {
        "", "c", "99", "0", "-1", "1x", "18446744073709551616", "a' OR 1", "9223372036854775807"};
    JobId found;

    (void)data;
    g_assert_true(store_find_job(fixture->store, "1", &found, NULL));
    g_assert_cmpint(found.value, ==, a.value);
    g_assert_true(store_find_job(fixture->store, "a", &found, NULL));
    g_assert_cmpint(found.value, ==, a_again.value);
    g_assert_true(store_find_job(fixture->store, "2", &found, NULL));
    g_assert_cmpint(found.value, ==, b.value);
    g_assert_cmpint(digits.value, ==, 4);
    for (size_t i = 0; i < G_N_ELEMENTS(none); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_false(store_find_job(fixture->store, none[i], &found, &error));
        g_assert_error(error, STORE_ERROR, STORE_ERROR_NOT_FOUND);
        g_assert_nonnull(strstr(error->message, "drover list"));
    }
}

static void test_spec_survives(StoreFixture *fixture, gconstpointer data)
{
    JobId id = fixture_add(fixture->store, "name: a\nrun: 'echo \"ä\\n\"'\nenvs: {K: \"v'v\"}");
    g_autofree char *base_dir = NULL;
    g_autoptr(JobSpec) spec = NULL;

    (void)data;
    reopen(fixture);
    spec = store_get_spec(fixture->store, id, &base_dir, NULL);
    g_assert_cmpstr(base_dir, ==, "/");
    g_assert_cmpstr(spec->run, ==, "echo \"ä\\n\"");
    g_assert_cmpstr(((JobSpecPair *)g_ptr_array_index(spec->envs, 0))->value, ==, "v'v");
}

/* All that a job tells after a full life, read back by another opener. */
static void test_life(StoreFixture *fixture, gconstpointer data)
{
    Store *store = fixture->store;
    JobId id = fixture_add(store, "");
    g_autoptr(GPtrArray) events = NULL;
    g_autoptr(GPtrArray) leases = NULL;
    g_autoptr(GArray) losses = NULL;
    g_autoptr(Job) job = NULL;
    const Lease *lease;

    (void)data;
    fixture_begin(store, id, 1, "d");
    fixture_append(store, id, 1, "setup_done", "{\"status\":0}");
    fixture_append(store, id, 1, "started", NULL);
    fixture_append(store, id, 1, "running", NULL);
    fixture_append(store, id, 1, "progress", "{\"step\":1,\"steps\":9,\"loss\":4.5}");
    fixture_append(store, id, 1, "progress", "{\"step\":2,\"loss\":4,\"val_loss\":4.25}");
    fixture_append(store, id, 1, "progress", "{\"step\":3,\"tokens_per_s\":10.5,\"loss\":\"no\"}");
    fixture_append(store, id, 1, "checkpoint", "{\"step\":2,\"path\":\"p\"}");
    fixture_end(store, id, 1, "succeeded", 5000);
    reopen(fixture);
    job = fixture_job(fixture->store, id);
    g_assert_cmpint(job->state, ==, JOB_SUCCEEDED);
    g_assert_cmpint(job->attempts, ==, 1);
    g_assert_true(job->setup_done);
    g_assert_cmpint(job->step, ==, 3);
    g_assert_cmpint(job->steps, ==, 9);
    g_assert_cmpfloat(job->loss, ==, 4.0);
    g_assert_cmpfloat(job->val_loss, ==, 4.25);
    g_assert_cmpfloat(job->tokens_per_s, ==, 10.5);
    g_assert_cmpint(job->checkpoint_step, ==, 2);
    g_assert_cmpint(job->started_at_ms, >, job->created_at_ms);
    g_assert_cmpint(job->ended_at_ms, >, job->started_at_ms);
    events = store_list_events(fixture->store, id, 0, NULL);
    g_assert_cmpuint(events->len, ==, 10);
    g_assert_cmpstr(((Event *)g_ptr_array_index(events, 0))->type, ==, "accepted");
    losses = store_list_losses(fixture->store, id, 5, NULL);
    g_assert_cmpuint(losses->len, ==, 3);
    g_assert_cmpfloat(g_array_index(losses, double, 0), ==, 4.5);
    leases = store_list_leases(fixture->store, id, NULL);
    g_assert_cmpuint(leases->len, ==, 1);
    lease = g_ptr_array_index(leases, 0);
    g_assert_cmpint(lease->used_ms, ==, 5000);
    g_assert_true(lease->released);
}

static void assert_not_appended(Store *store, JobId id, int attempt, const char *type)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *copy = g_strdup(type);
    Event event = {.job = id, .attempt = attempt, .at_ms = 5, .type = copy};

    g_assert_false(store_append(store, &event, &error));
    g_assert_error(error, STORE_ERROR, STORE_ERROR_STATE);
}

static void test_forbidden_moves(StoreFixture *fixture, gconstpointer data)
{
    Store *store = fixture->store;
    JobId id = fixture_add(store, "");
    g_autoptr(GPtrArray) events = NULL;

    (void)data;
    assert_not_appended(store, id, 0, "running");
    assert_not_appended(store, id, 0, "accepted");
    assert_not_appended(store, id, 2, "attempt"); /* not the next */
    assert_not_appended(store, id, 0, "attempt");
    assert_not_appended(store, id, 0, "succeeded");
    assert_not_appended(store, id, 0, "'; DROP TABLE jobs; --");
    fixture_append(store, id, 1, "attempt", NULL);
    assert_not_appended(store, id, 2, "running");  /* of an attempt that is none */
    assert_not_appended(store, id, 1, "retrying"); /* says not until when */
    fixture_append(store, id, 1, "failed", NULL);
    assert_not_appended(store, id, 1, "progress");
    assert_not_appended(store, id, 1, "failed");
    events = store_list_events(store, id, 0, NULL);
    g_assert_cmpuint(events->len, ==, 3);
}

static void test_events_stay(StoreFixture *fixture, gconstpointer data)
{
    sqlite3 *db = store_get_db(fixture->store);

    (void)data;
    fixture_add(fixture->store, "");
    g_assert_cmpint(sqlite3_exec(db, "DELETE FROM events", NULL, NULL, NULL), ==,
                    SQLITE_CONSTRAINT_TRIGGER);
    g_assert_cmpint(sqlite3_exec(db, "UPDATE events SET type = 'x'", NULL, NULL, NULL), ==,
                    SQLITE_CONSTRAINT_TRIGGER);
}

/* The check finds what somebody changed by hand. */
static void test_check_finds(StoreFixture *fixture, gconstpointer data)
{
    static const char *const spoils[] = {
        "UPDATE jobs SET step = 7",
        "UPDATE jobs SET state = 'failed', ended_at_ms = 1",
        "UPDATE jobs SET state = 'odd'",
        /* The same device a moment after its last lease began. */
        ("INSERT INTO leases SELECT 9, job, 7, supplier, node, device, model, price_usd_micro, "
         "io_usd_micro, granted_at_ms + 10, 5, 1, 1 FROM leases"),
        "UPDATE leases SET posted = 0",
        "UPDATE leases SET released = 0, posted = 0",
    };
    sqlite3 *db = store_get_db(fixture->store);
    JobId id = fixture_add(fixture->store, "");

    (void)data;
    fixture_begin(fixture->store, id, 1, "d");
    fixture_end(fixture->store, id, 1, "succeeded", 5000);
    for (size_t i = 0; i < G_N_ELEMENTS(spoils); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_cmpint(sqlite3_exec(db, "BEGIN", NULL, NULL, NULL), ==, SQLITE_OK);
        g_assert_cmpint(sqlite3_exec(db, spoils[i], NULL, NULL, NULL), ==, SQLITE_OK);
        g_assert_false(store_check(fixture->store, &error));
        g_assert_error(error, STORE_ERROR, STORE_ERROR_CORRUPT);
        g_assert_cmpint(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), ==, SQLITE_OK);
    }
}

/* ---- leases ---- */

static bool try_grant(Store *store, JobId id, int attempt, int64_t at_ms, GError **error)
{
    Lease lease = {.job = id,
                   .attempt = attempt,
                   .supplier = (char[]){"s"},
                   .node = (char[]){"n"},
                   .device = (char[]){"d"},
                   .model = (char[]){"m"},
                   .price_usd_micro = 1,
                   .io_usd_micro = 1,
                   .granted_at_ms = at_ms};

    return store_grant_lease(store, &lease, error);
}

static void test_device_is_held_once(StoreFixture *fixture, gconstpointer data)
{
    JobId a = fixture_add(fixture->store, "");
    JobId b = fixture_add(fixture->store, "");
    g_autoptr(GError) error = NULL;
    g_autoptr(GHashTable) busy = NULL;
    g_autoptr(GHashTable) after = NULL;

    (void)data;
    fixture_begin(fixture->store, a, 1, "d");
    g_assert_false(try_grant(fixture->store, b, 1, 5, &error));
    g_assert_error(error, STORE_ERROR, STORE_ERROR_BUSY);
    busy = store_list_busy(fixture->store, "n", NULL);
    g_assert_true(g_hash_table_contains(busy, "d"));
    fixture_end(fixture->store, a, 1, "failed", 10);
    after = store_list_busy(fixture->store, "n", NULL);
    g_assert_cmpuint(g_hash_table_size(after), ==, 0);
    fixture_begin(fixture->store, b, 1, "d");
    fixture_end(fixture->store, b, 1, "failed", 10);
}

/* The wall clock goes back an hour between two leases: they still follow each other. */
static void test_clock_goes_back(StoreFixture *fixture, gconstpointer data)
{
    JobId a = fixture_add(fixture->store, "");
    g_autoptr(GPtrArray) leases = NULL;
    const Lease *first;
    const Lease *second;

    (void)data;
    fixture_begin(fixture->store, a, 1, "d");
    fixture_end(fixture->store, a, 1, "retrying", 60000);
    fixture_append(fixture->store, a, 1, "queued", NULL);
    g_assert_true(try_grant(fixture->store, a, 2, 1000, NULL));
    fixture_append(fixture->store, a, 2, "attempt", NULL);
    fixture_end(fixture->store, a, 2, "succeeded", 10);
    leases = store_list_leases(fixture->store, a, NULL);
    first = g_ptr_array_index(leases, 0);
    second = g_ptr_array_index(leases, 1);
    g_assert_cmpint(second->granted_at_ms, ==, first->granted_at_ms + first->used_ms);
}

static void test_used_time_only_grows(StoreFixture *fixture, gconstpointer data)
{
    JobId a = fixture_add(fixture->store, "");
    g_autoptr(GPtrArray) leases = NULL;

    (void)data;
    fixture_begin(fixture->store, a, 1, "d");
    g_assert_true(store_beat_leases(fixture->store, a, 5000, NULL));
    g_assert_true(store_beat_leases(fixture->store, a, 4000, NULL));
    fixture_end(fixture->store, a, 1, "failed", 4500);
    g_assert_true(store_beat_leases(fixture->store, a, 9000, NULL)); /* released: too late */
    leases = store_list_leases(fixture->store, a, NULL);
    g_assert_cmpint(((Lease *)g_ptr_array_index(leases, 0))->used_ms, ==, 5000);
}

/* ---- failures of the disk ---- */

static void test_disk_full(StoreFixture *fixture, gconstpointer data)
{
    sqlite3 *db = store_get_db(fixture->store);
    JobId id = fixture_add(fixture->store, "");
    g_autofree char *body = g_strdup_printf("{\"reason\":\"%0*d\"}", 200000, 1);
    g_autoptr(GError) error = NULL;
    g_autoptr(Event) event = g_new0(Event, 1);
    g_autoptr(GPtrArray) events = NULL;

    (void)data;
    g_assert_cmpint(sqlite3_exec(db, "PRAGMA max_page_count = 1", NULL, NULL, NULL), ==, SQLITE_OK);
    event->job = id;
    event->type = g_strdup("waiting");
    event->body = json_loads(body, 0, NULL);
    g_assert_false(store_append(fixture->store, event, &error));
    g_assert_error(error, STORE_ERROR, STORE_ERROR_FULL);
    g_assert_nonnull(strstr(error->message, "free some space"));
    sqlite3_exec(db, "PRAGMA max_page_count = 1000000", NULL, NULL, NULL);
    events = store_list_events(fixture->store, id, 0, NULL);
    g_assert_cmpuint(events->len, ==, 1);
    fixture_append(fixture->store, id, 0, "waiting", "{\"reason\":\"r\"}");
}

/* ---- every write, stopped at each of its instructions ---- */

typedef struct {
    int countdown; /* < 0: never */
} Fuse;

static int on_instruction(void *data)
{
    Fuse *fuse = data;

    return fuse->countdown >= 0 && fuse->countdown-- == 0;
}

typedef struct {
    const char *name;
    bool (*write)(Store *store, JobId id, GError **error);
    JobState before; /* of the job that is written to */
    JobState after;
} Write;

static bool write_beat(Store *store, JobId id, GError **error)
{
    return store_beat_leases(store, id, 4000, error);
}

static bool write_running(Store *store, JobId id, GError **error)
{
    Job at = {.id = id, .attempts = 1};
    g_autoptr(Event) event = event_new(&at, "running", 1, NULL);

    return store_append(store, event, error);
}

static bool write_end(Store *store, JobId id, GError **error)
{
    Job at = {.id = id, .attempts = 1};
    g_autoptr(Event) event = event_new(&at, "succeeded", 1, NULL);

    return store_end_attempt(store, event, 5000, error);
}

static bool write_cancel(Store *store, JobId id, GError **error)
{
    return store_cancel_job(store, id, false, 1, NULL, error);
}

static bool write_recover(Store *store, JobId id, GError **error)
{
    (void)id;
    return store_recover(store, 1, error);
}

static const Write writes[] = {
    {"beat", write_beat, JOB_STARTING, JOB_STARTING},
    {"running", write_running, JOB_STARTING, JOB_RUNNING},
    {"end", write_end, JOB_STARTING, JOB_SUCCEEDED},
    {"cancel", write_cancel, JOB_STARTING, JOB_CANCELLED},
    {"recover", write_recover, JOB_STARTING, JOB_PENDING},
};

/* Either all of it is there or nothing; what is only not posted yet, recovery posts. */
static void assert_all_or_nothing(Store *store, JobId id, const Write *write, bool done)
{
    g_autoptr(Job) job = store_load_job(store, id, NULL);
    JobState expected = done ? write->after : write->before;

    if (job->state != expected)
        g_error("%s: %s, not %s", write->name, job_state_name(job->state),
                job_state_name(expected));
    if (done && write->after != JOB_STARTING && write->after != JOB_RUNNING)
        g_assert_true(store_recover(store, 2, NULL));
    fixture_check(store);
}

static void stop_everywhere(Store *store, const Write *write)
{
    sqlite3 *db = store_get_db(store);
    int stopped = 0;

    for (int at = 0;; at += 1 + at / 40) {
        JobId id = fixture_add(store, "");
        g_autoptr(GError) error = NULL;
        Fuse fuse = {.countdown = at};
        bool done;

        fixture_begin(store, id, 1, "d");
        sqlite3_progress_handler(db, 1, on_instruction, &fuse);
        done = write->write(store, id, &error);
        sqlite3_progress_handler(db, 0, NULL, NULL);
        g_assert_true(done == (error == NULL));
        assert_all_or_nothing(store, id, write, done);
        {
            g_autoptr(Job) job = store_load_job(store, id, NULL);

            if (!job_state_is_ended(job->state))
                fixture_end(store, id, 1, "cancelled", 6000);
        }
        if (fuse.countdown >= 0)
            break;
        stopped += !done;
    }
    g_assert_cmpint(stopped, >, 5);
}

static void test_stopped_anywhere(StoreFixture *fixture, gconstpointer data)
{
    (void)data;
    for (size_t i = 0; i < G_N_ELEMENTS(writes); i++)
        stop_everywhere(fixture->store, &writes[i]);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(StoreFixture *fixture, gconstpointer data);
    } tests[] = {
        {"private", test_private},
        {"refuses-open-folder", test_refuses_open_folder},
        {"refuses-foreign-folder", test_refuses_foreign_folder},
        {"refuses-no-folder", test_refuses_no_folder},
        {"refuses-link", test_refuses_link},
        {"refuses-bad-file", test_refuses_bad_file},
        {"damage-is-told", test_damage_is_told},
        {"two-openers", test_two_openers},
        {"open-storm", test_open_storm},
        {"locks", test_locks},
        {"asking-takes-nothing", test_asking_takes_nothing},
        {"find", test_find},
        {"spec-survives", test_spec_survives},
        {"life", test_life},
        {"forbidden-moves", test_forbidden_moves},
        {"events-stay", test_events_stay},
        {"check-finds", test_check_finds},
        {"device-is-held-once", test_device_is_held_once},
        {"clock-goes-back", test_clock_goes_back},
        {"used-time-only-grows", test_used_time_only_grows},
        {"disk-full", test_disk_full},
        {"stopped-anywhere", test_stopped_anywhere},
    };

    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strdup_printf("/store/%s", tests[i].name);

        g_test_add(path, StoreFixture, NULL, fixture_set_up, tests[i].run, fixture_tear_down);
    }
    return g_test_run();
}
