/* SPDX-License-Identifier: Apache-2.0
 *
 * The state folder, the schema and the locks.
 *
 * The folder is private: it holds the output and the checkpoints of a renter, and whoever may write
 * to it can change bills. So a folder of somebody else, or one that others may write to, is
 * refused.
 *
 * A job is owned while some process holds the write lock on STATE/jobs/ID/lock: an open-file-
 * description lock (fcntl(2), F_OFD_SETLK), which belongs to the descriptor, is inherited by
 * `drover launch`, and ends with the last process that has it, however that dies. Asking who holds
 * it (F_OFD_GETLK) takes nothing, so a question never makes somebody's lock attempt fail.
 */
#include "runner/queue/store_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUSY_MS        10000
#define DYING_WAIT_US  (15 * G_USEC_PER_SEC)
#define APPLICATION_ID 0x64726f76 /* "drov" */

G_DEFINE_QUARK(drover - store - error, store_error)

/* The tables as of each version: a store is brought up from the version it has. */
static const char *const migrations[] = {
    /* jobs: the spec, and the fold of the events beside it. */
    "CREATE TABLE jobs ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  name TEXT NOT NULL,"
    "  run_group TEXT NOT NULL,"
    "  spec TEXT NOT NULL,"
    "  base_dir TEXT NOT NULL,"
    "  state TEXT NOT NULL,"
    "  reason TEXT,"
    "  cause TEXT,"
    "  attempts INTEGER NOT NULL CHECK (attempts >= 0),"
    "  retries INTEGER NOT NULL CHECK (retries >= 0),"
    "  retry_at_ms INTEGER NOT NULL,"
    "  created_at_ms INTEGER NOT NULL,"
    "  started_at_ms INTEGER NOT NULL,"
    "  ended_at_ms INTEGER NOT NULL,"
    "  exit_code INTEGER NOT NULL,"
    "  step INTEGER NOT NULL,"
    "  steps INTEGER NOT NULL,"
    "  loss REAL,"
    "  val_loss REAL,"
    "  tokens_per_s REAL NOT NULL,"
    "  checkpoint_step INTEGER NOT NULL,"
    "  checkpoint_at_ms INTEGER NOT NULL,"
    "  setup_done INTEGER NOT NULL,"
    "  cancel_requested INTEGER NOT NULL,"
    "  cancel_now INTEGER NOT NULL"
    ") STRICT;"
    "CREATE INDEX jobs_by_name ON jobs (name, id);"
    "CREATE INDEX jobs_by_group ON jobs (run_group, id);"
    "CREATE INDEX jobs_by_state ON jobs (state);"

    "CREATE TABLE events ("
    "  seq INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  job INTEGER NOT NULL REFERENCES jobs (id),"
    "  attempt INTEGER NOT NULL,"
    "  at_ms INTEGER NOT NULL,"
    "  type TEXT NOT NULL,"
    "  body TEXT NOT NULL"
    ") STRICT;"
    "CREATE INDEX events_by_job ON events (job, seq);"
    "CREATE TRIGGER events_stay BEFORE UPDATE ON events"
    "  BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;"
    "CREATE TRIGGER events_remain BEFORE DELETE ON events"
    "  BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;"

    /* leases_held is the rule that a device is held once, whoever asks. */
    "CREATE TABLE leases ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  job INTEGER NOT NULL REFERENCES jobs (id),"
    "  attempt INTEGER NOT NULL CHECK (attempt > 0),"
    "  supplier TEXT NOT NULL,"
    "  node TEXT NOT NULL,"
    "  device TEXT NOT NULL,"
    "  model TEXT NOT NULL,"
    "  price_usd_micro INTEGER NOT NULL CHECK (price_usd_micro >= 0),"
    "  io_usd_micro INTEGER NOT NULL CHECK (io_usd_micro > 0),"
    "  granted_at_ms INTEGER NOT NULL,"
    "  used_ms INTEGER NOT NULL CHECK (used_ms >= 0),"
    "  released INTEGER NOT NULL CHECK (released IN (0, 1)),"
    "  posted INTEGER NOT NULL CHECK (posted IN (0, 1) AND posted <= released),"
    "  UNIQUE (job, attempt, node, device)"
    ") STRICT;"
    "CREATE UNIQUE INDEX leases_held ON leases (node, device) WHERE released = 0;"
    "CREATE INDEX leases_by_device ON leases (node, device, granted_at_ms);"
    "CREATE INDEX leases_unposted ON leases (job) WHERE released = 1 AND posted = 0;",
};

static bool read_pragma(Db *db, const char *sql, int64_t *value, GError **error)
{
    g_autoptr(DbQuery) query = db_query(db, sql, error);

    if (!query || db_step(db, query, error) != DB_ROW)
        return false;
    *value = sqlite3_column_int64(query, 0);
    return true;
}

static bool check_version(Db *db, int64_t *version, GError **error)
{
    int64_t application;

    if (!read_pragma(db, "PRAGMA application_id", &application, error) ||
        !read_pragma(db, "PRAGMA user_version", version, error))
        return false;
    if (application != APPLICATION_ID && (application != 0 || *version != 0)) {
        g_set_error(error, STORE_ERROR, STORE_ERROR_CORRUPT,
                    "%s: this database is not a store of drover; move it away, or set "
                    "DROVER_STATE_DIR to another folder",
                    db_get_path(db));
        return false;
    }
    if (*version > (int64_t)G_N_ELEMENTS(migrations)) {
        g_set_error(error, STORE_ERROR, STORE_ERROR_CORRUPT,
                    "%s: written by a newer drover (schema %" PRId64
                    ", this one knows %zu); update "
                    "drover, or set DROVER_STATE_DIR to another folder",
                    db_get_path(db), *version, G_N_ELEMENTS(migrations));
        return false;
    }
    return true;
}

/* The ledger makes its own tables; that it does so in here keeps two first openers from meeting. */
static bool migrate(Db *db, GError **error)
{
    g_autoptr(DbTx) tx = NULL;
    g_autoptr(Ledger) ledger = NULL;
    int64_t version;

    if (!check_version(db, &version, error))
        return false;
    if (version == (int64_t)G_N_ELEMENTS(migrations))
        return true;
    /* Another process may migrate at the same time: the version counts again inside. */
    tx = db_begin(db, true, error);
    if (!tx || !check_version(db, &version, error))
        return false;
    for (size_t i = (size_t)version; i < G_N_ELEMENTS(migrations); i++) {
        g_autofree char *mark = g_strdup_printf(
            "PRAGMA application_id = %d; PRAGMA user_version = %zu", APPLICATION_ID, i + 1);

        if (!db_run(db, migrations[i], error) || !db_run(db, mark, error))
            return false;
    }
    ledger = ledger_open(db_get_handle(db), error);
    return ledger && db_commit(tx, error);
}

static char *state_dir(const char *dir)
{
    const char *own = g_getenv("DROVER_STATE_DIR");
    const char *state_home = g_getenv("XDG_STATE_HOME");

    if (!dir && own && *own)
        dir = own;
    if (dir)
        return g_canonicalize_filename(dir, NULL);
    /* The XDG base directory specification has relative paths ignored. */
    if (state_home && g_path_is_absolute(state_home))
        return g_build_filename(state_home, "drover", NULL);
    return g_build_filename(g_get_home_dir(), ".local", "state", "drover", NULL);
}

static bool make_dir(const char *path, GError **error)
{
    int saved;

    if (g_mkdir_with_parents(path, 0700) == 0)
        return true;
    saved = errno;
    g_set_error(error, STORE_ERROR,
                saved == ENOSPC || saved == EDQUOT ? STORE_ERROR_FULL : STORE_ERROR_DENIED,
                "%s: cannot create the folder: %s; set DROVER_STATE_DIR to one you may write to",
                path, g_strerror(saved));
    return false;
}

static bool check_dir(const char *path, GError **error)
{
    struct stat status;

    if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode)) {
        g_set_error(error, STORE_ERROR, STORE_ERROR_DENIED, "%s: not a folder", path);
        return false;
    }
    if (status.st_uid != geteuid()) {
        g_set_error(
            error, STORE_ERROR, STORE_ERROR_DENIED,
            "%s: belongs to user %u, and you are user %u; set DROVER_STATE_DIR to a folder of "
            "your own",
            path, (unsigned)status.st_uid, (unsigned)geteuid());
        return false;
    }
    if (status.st_mode & (S_IWGRP | S_IWOTH)) {
        g_set_error(error, STORE_ERROR, STORE_ERROR_DENIED,
                    "%s: others may write to it (mode %04o); run: chmod 700 '%s'", path,
                    (unsigned)(status.st_mode & 07777), path);
        return false;
    }
    return true;
}

Store *store_open(const char *dir, GError **error)
{
    g_autoptr(Store) store = g_new0(Store, 1);
    g_autofree char *path = NULL;

    store->dir = state_dir(dir);
    if (!make_dir(store->dir, error) || !check_dir(store->dir, error))
        return NULL;
    path = g_build_filename(store->dir, "drover.db", NULL);
    store->db = db_open(path, BUSY_MS, error);
    if (!store->db || !migrate(store->db, error))
        return NULL;
    store->ledger = ledger_open(db_get_handle(store->db), error);
    if (!store->ledger)
        return NULL;
    return g_steal_pointer(&store);
}

void store_close(Store *store)
{
    if (!store)
        return;
    g_clear_pointer(&store->ledger, ledger_close);
    db_close(store->db);
    g_free(store->dir);
    g_free(store);
}

sqlite3 *store_get_db(Store *store)
{
    return db_get_handle(store->db);
}

Ledger *store_get_ledger(Store *store)
{
    return store->ledger;
}

const char *store_get_dir(const Store *store)
{
    return store->dir;
}

bool store_has_changed(Store *store)
{
    g_autoptr(DbQuery) query = db_query(store->db, "PRAGMA data_version", NULL);
    int64_t version;

    if (!query || db_step(store->db, query, NULL) != DB_ROW)
        return true;
    version = sqlite3_column_int64(query, 0);
    if (version == store->data_version)
        return false;
    store->data_version = version;
    return true;
}

char *store_get_job_dir(const Store *store, JobId job)
{
    g_autofree char *id = g_strdup_printf("%" PRId64, job.value);
    char *path = g_build_filename(store->dir, "jobs", id, NULL);

    g_mkdir_with_parents(path, 0700);
    return path;
}

char *store_get_attempt_dir(const Store *store, JobId job, int attempt)
{
    g_autofree char *job_dir = store_get_job_dir(store, job);
    g_autofree char *name = g_strdup_printf("attempt-%d", attempt);
    char *path = g_build_filename(job_dir, name, NULL);

    g_mkdir_with_parents(path, 0700);
    return path;
}

static char *lock_path(const Store *store, JobId job)
{
    g_autofree char *id = g_strdup_printf("%" PRId64, job.value);

    return g_build_filename(store->dir, "jobs", id, "lock", NULL);
}

typedef enum { LOCK_TAKEN, LOCK_HELD, LOCK_FAILED } LockTry;

static LockTry try_lock(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return LOCK_TAKEN;
    return errno == EAGAIN || errno == EACCES ? LOCK_HELD : LOCK_FAILED;
}

/* The process that took the lock, as it wrote down in the file; 0: unknown. */
static pid_t read_owner(int fd)
{
    char text[24] = "";
    ssize_t size = pread(fd, text, sizeof text - 1, 0);
    gint64 pid = size > 0 ? g_ascii_strtoll(text, NULL, 10) : 0;

    return pid > 0 && pid <= G_MAXINT ? (pid_t)pid : 0;
}

static void write_owner(int fd)
{
    g_autofree char *text = g_strdup_printf("%d\n", (int)getpid());

    /* For messages and for the wait below only, so a full disk does no harm. */
    if (ftruncate(fd, 0) == 0 && pwrite(fd, text, strlen(text), 0) < 0)
        g_debug("lock file: %s", g_strerror(errno));
}

/* A lock whose taker is dead is still held by a `drover launch` that is killing its ranks: soon
 * over. */
static LockTry wait_lock(int fd, pid_t *owner)
{
    int64_t give_up = g_get_monotonic_time() + DYING_WAIT_US;
    LockTry got;

    while ((got = try_lock(fd)) == LOCK_HELD) {
        *owner = read_owner(fd);
        if (*owner == 0 || kill(*owner, 0) == 0 || errno != ESRCH ||
            g_get_monotonic_time() > give_up)
            break;
        g_usleep(5000);
    }
    return got;
}

bool store_lock_job(Store *store, JobId job, int *fd, GError **error)
{
    g_autofree char *dir = store_get_job_dir(store, job);
    g_autofree char *path = g_build_filename(dir, "lock", NULL);
    int opened = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    pid_t owner = 0;
    LockTry got = opened >= 0 ? wait_lock(opened, &owner) : LOCK_FAILED;

    if (got == LOCK_TAKEN) {
        write_owner(opened);
        *fd = opened;
        return true;
    }
    if (got == LOCK_HELD) {
        g_autofree char *pid = owner ? g_strdup_printf(" (pid %d)", (int)owner) : g_strdup("");

        g_set_error(error, STORE_ERROR, STORE_ERROR_BUSY,
                    "job %" PRId64 " is run by another drover process%s; `drover show %" PRId64
                    "` tells how far it is",
                    job.value, pid, job.value);
    } else {
        g_set_error(error, STORE_ERROR, STORE_ERROR_SYSTEM, "%s: cannot lock: %s", path,
                    g_strerror(errno));
    }
    if (opened >= 0)
        close(opened);
    return false;
}

bool store_is_locked(const Store *store, JobId job)
{
    g_autofree char *path = lock_path(store, job);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    bool locked;

    /* No file: nobody ever locked it. Any other failure (no descriptors left): assume an owner,
     * since that changes nothing. */
    if (fd < 0)
        return errno != ENOENT;
    locked = fcntl(fd, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
    close(fd);
    return locked;
}
