/* SPDX-License-Identifier: Apache-2.0
 *
 * The states of an attempt:
 *
 *     idle ──> setup ──> starting ──> running ──────────> ending ──> done
 *                │          │            ├─> stopping ──────^
 *                │          │            └─> failing ───────┤
 *                ├──> stopping ─────────────────────────────┤
 *                └──────────┴───────────────────────────────┘
 *
 *     stopping   asked to end: signal, grace, kill
 *     failing    a rank failed: the others get SIGTERM and FAIL_GRACE_MS
 *     ending     killed; from `starting` at once, for there is nothing to save
 *
 * Every state may also go to done directly: by itself the keeper ends, or there is none yet.
 *
 * One keeper runs at a time: that of `setup`, then that of the engine. `ending` begins with
 * keeper_kill() and lasts until the keeper, and with it every process, is gone; so what "done"
 * says, that nothing runs any more, is true when it is said. What ended the attempt is settled by
 * the first cause and not changed by what follows from it.
 *
 * The engine's own exit decides nothing while ranks report theirs: when the last rank has ended we
 * do not wait for mpirun to notice. Only an engine that ends before its ranks is a failure of the
 * start.
 *
 * Files in the attempt's folder: plan.json, launch.sock, rank-N.log, setup.log, engine.log (what
 * mpirun says), engine/ (its session, see keeper.c). They are made before what uses them is
 * started, and a crash leaves at most the socket, the plan and an empty folder, which the next
 * attempt in the same folder replaces.
 */
#include "launcher/attempt.h"

#include "launcher/keeper.h"
#include "launcher/proc.h"
#include "launcher/rank_link.h"
#include "launcher/rank_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define FAIL_GRACE_MS   2000 /* of the other ranks after one has failed */
#define ENGINE_GRACE_MS 500  /* for a rank's own failure to arrive when the engine tells of one */
#define FILES_PER_RANK  10
#define FILES_BESIDE    100
#define TAIL_BYTES      600 /* of engine.log in a message */

#define ENGINE_LOG "engine.log"
#define SETUP_LOG  "setup.log"
#define SCRATCH    "engine"

typedef enum {
    PHASE_IDLE,
    PHASE_SETUP,
    PHASE_STARTING,
    PHASE_RUNNING,
    PHASE_STOPPING,
    PHASE_FAILING,
    PHASE_ENDING,
    PHASE_DONE,
    PHASES
} Phase;

#define TO(phase) (1U << (phase))

static const unsigned attempt_moves[PHASES] = {
    [PHASE_IDLE] = TO(PHASE_SETUP) | TO(PHASE_STARTING) | TO(PHASE_DONE),
    [PHASE_SETUP] = TO(PHASE_STARTING) | TO(PHASE_STOPPING) | TO(PHASE_ENDING) | TO(PHASE_DONE),
    [PHASE_STARTING] = TO(PHASE_RUNNING) | TO(PHASE_ENDING) | TO(PHASE_DONE),
    [PHASE_RUNNING] = TO(PHASE_STOPPING) | TO(PHASE_FAILING) | TO(PHASE_ENDING) | TO(PHASE_DONE),
    [PHASE_STOPPING] = TO(PHASE_ENDING) | TO(PHASE_DONE),
    [PHASE_FAILING] = TO(PHASE_ENDING) | TO(PHASE_DONE),
    [PHASE_ENDING] = TO(PHASE_DONE),
};

struct Attempt {
    const Plan *plan;
    const Backend *backend;
    const char *program;
    EventOut *out;
    GMainLoop *loop;
    Phase phase;
    Keeper keeper; /* pid 0: none runs */
    guint keeper_source;
    RankWatch *ranks; /* NULL until the engine is started */
    int world_size;
    int started;
    int exited;
    int first_code;     /* of the first rank that did not end with 0; 0: none */
    guint timers[3];    /* start_within, max_duration, and the grace of the phase */
    const char *reason; /* what ended the attempt; NULL: nothing yet */
    int code;           /* -1: the first rank's that did not end with 0 */
    char *message;
};

enum { TIMER_START, TIMER_DURATION, TIMER_GRACE };

static void attempt_move(Attempt *attempt, Phase phase)
{
    g_assert(attempt_moves[attempt->phase] & TO(phase));
    attempt->phase = phase;
}

static void attempt_settle(Attempt *attempt, const char *reason, int code, const char *format, ...)
    G_GNUC_PRINTF(4, 5);

static void attempt_settle(Attempt *attempt, const char *reason, int code, const char *format, ...)
{
    va_list args;

    if (attempt->reason)
        return;
    attempt->reason = reason;
    attempt->code = code;
    va_start(args, format);
    attempt->message = g_strdup_vprintf(format, args);
    va_end(args);
}

/* ---- timers ---- */

static void attempt_clear_timer(Attempt *attempt, int timer)
{
    if (attempt->timers[timer])
        g_source_remove(attempt->timers[timer]);
    attempt->timers[timer] = 0;
}

/* By its ready time, since the interval of a timeout ends at 49 days. INT64_MAX: never. */
static void attempt_set_timer(Attempt *attempt, int timer, int64_t ms, GSourceFunc func)
{
    const int64_t now_us = g_get_monotonic_time();
    g_autoptr(GSource) source = NULL;

    attempt_clear_timer(attempt, timer);
    if (ms > (INT64_MAX - now_us) / 1000)
        return;
    source = g_timeout_source_new(0);
    g_source_set_ready_time(source, now_us + ms * 1000);
    g_source_set_callback(source, func, attempt, NULL);
    attempt->timers[timer] = g_source_attach(source, NULL);
}

/* ---- the end ---- */

static void attempt_finish(Attempt *attempt)
{
    int code = attempt->code >= 0 ? attempt->code : attempt->first_code;

    attempt_move(attempt, PHASE_DONE);
    for (int i = 0; i < (int)G_N_ELEMENTS(attempt->timers); i++)
        attempt_clear_timer(attempt, i);
    g_clear_pointer(&attempt->ranks, rank_watch_free);
    g_rmdir(SCRATCH);
    event_out_send(attempt->out,
                   json_pack("{s:s, s:s, s:i, s:s}", "event", "done", "reason", attempt->reason,
                             "code", code, "message", attempt->message));
    g_main_loop_quit(attempt->loop);
}

static void attempt_end(Attempt *attempt)
{
    if (attempt->phase >= PHASE_ENDING)
        return;
    attempt_move(attempt, PHASE_ENDING);
    attempt_clear_timer(attempt, TIMER_GRACE);
    keeper_kill(&attempt->keeper);
}

/* ": " and the end of a log in one line, for a message; "" where there is nothing to say. */
static char *log_tail(const char *name)
{
    char bytes[TAIL_BYTES + 1] = "";
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    GString *tail = g_string_new(NULL);
    g_auto(GStrv) lines = NULL;
    ssize_t size = 0;

    if (fd >= 0) {
        if (lseek(fd, -TAIL_BYTES, SEEK_END) < 0)
            lseek(fd, 0, SEEK_SET);
        size = read(fd, bytes, TAIL_BYTES);
        close(fd);
    }
    for (ssize_t i = 0; i < size; i++)
        if (bytes[i] == '\0')
            bytes[i] = '\n';
    lines = g_strsplit(bytes, "\n", 0);
    for (char **line = lines; *line; line++) {
        g_autofree char *clean = g_strstrip(event_clean_text(*line, TAIL_BYTES));

        if (strspn(clean, "-") != strlen(clean)) /* mpirun draws rules */
            g_string_append_printf(tail, "%s%s", tail->len ? " " : ": ", clean);
    }
    return g_string_free(tail, FALSE);
}

/* ---- asking processes to end ---- */

static gboolean grace_over(void *user_data)
{
    Attempt *attempt = user_data;

    attempt->timers[TIMER_GRACE] = 0;
    attempt_end(attempt);
    return G_SOURCE_REMOVE;
}

static void attempt_request_end(Attempt *attempt, Phase phase, int signal, int64_t grace_ms)
{
    bool setup = attempt->phase == PHASE_SETUP;

    attempt_move(attempt, phase);
    attempt_set_timer(attempt, TIMER_GRACE, grace_ms, grace_over);
    if (setup) {
        g_autoptr(ProcTable) table = proc_table_new();

        proc_request_end(table, attempt->keeper.pid, 0);
    } else {
        rank_watch_request_end(attempt->ranks, signal);
    }
}

static void attempt_fail(Attempt *attempt)
{
    if (attempt->phase == PHASE_STARTING)
        attempt_end(attempt); /* as in attempt_stop() */
    else if (attempt->phase == PHASE_RUNNING)
        attempt_request_end(attempt, PHASE_FAILING, 0, FAIL_GRACE_MS);
}

void attempt_stop(Attempt *attempt, AttemptStop stop)
{
    static const char *const reasons[] = {"requested", "deadline", "killed"};
    bool again = attempt->phase == PHASE_STOPPING;

    if (attempt->phase == PHASE_IDLE || attempt->phase >= PHASE_ENDING)
        return;
    if (stop == ATTEMPT_STOP_DEADLINE)
        attempt_settle(attempt, reasons[stop], -1, "it ran for limits.max_duration");
    else
        attempt_settle(attempt, reasons[stop], -1, "it was asked to end");
    if (stop == ATTEMPT_STOP_KILL || (again && stop == ATTEMPT_STOP_REQUESTED)) {
        if (again) {
            attempt->reason = reasons[ATTEMPT_STOP_KILL];
            g_free(attempt->message);
            attempt->message = g_strdup("it was killed before the end of its grace");
        }
        attempt_end(attempt);
        return;
    }
    if (again || attempt->phase == PHASE_FAILING)
        return;
    event_out_send(attempt->out,
                   json_pack("{s:s, s:s}", "event", "stopping", "reason", reasons[stop]));
    if (attempt->phase == PHASE_STARTING)
        attempt_end(
            attempt); /* there is nothing to save, and the late ones would miss the signal */
    else
        attempt_request_end(attempt, PHASE_STOPPING, attempt->plan->checkpoint_signal,
                            attempt->plan->grace_ms);
}

/* ---- ranks ---- */

static void on_rank_started(int rank, pid_t pid, void *user_data)
{
    Attempt *attempt = user_data;

    if (attempt->started++ == 0)
        event_out_send(attempt->out, json_pack("{s:s}", "event", "started"));
    event_out_send(attempt->out, json_pack("{s:s, s:i, s:I}", "event", "rank_started", "rank", rank,
                                           "pid", (json_int_t)pid));
    if (attempt->started < attempt->world_size || attempt->phase != PHASE_STARTING)
        return;
    attempt_clear_timer(attempt, TIMER_START);
    attempt_move(attempt, PHASE_RUNNING);
    event_out_send(attempt->out, json_pack("{s:s}", "event", "running"));
}

static void on_rank_exited(int rank, int code, int signal, void *user_data)
{
    Attempt *attempt = user_data;
    bool own = attempt->phase == PHASE_STARTING || attempt->phase == PHASE_RUNNING;

    attempt->exited++;
    event_out_send(attempt->out, json_pack("{s:s, s:i, s:i, s:i}", "event", "rank_exit", "rank",
                                           rank, "code", code, "signal", signal));
    if (attempt->first_code == 0)
        attempt->first_code = signal ? 128 + signal : code;
    if (own && signal)
        attempt_settle(attempt, "failed", 128 + signal, "rank %d was ended by signal %d (%s)", rank,
                       signal, g_strsignal(signal));
    else if (own && code)
        attempt_settle(attempt, "failed", code, "rank %d exited with %d", rank, code);
    if (code || signal)
        attempt_fail(attempt);
    if (attempt->exited == attempt->world_size) {
        attempt_settle(attempt, "succeeded", 0, "all ranks ended well");
        attempt_end(attempt);
    }
}

static gboolean engine_grace_over(void *user_data)
{
    Attempt *attempt = user_data;

    attempt->timers[TIMER_GRACE] = 0;
    if (!attempt->reason) {
        g_autofree char *tail = log_tail(ENGINE_LOG);

        attempt_settle(attempt, "failed", 1, "Open MPI ended the job%s", tail);
    }
    attempt_fail(attempt);
    return G_SOURCE_REMOVE;
}

/* MPI_Abort, or a rank that ended without MPI_Finalize. In the latter case, and mostly in the
 * former, the rank's own end says more, and it is on its way. */
static void on_engine_end(void *user_data)
{
    Attempt *attempt = user_data;

    if ((attempt->phase == PHASE_STARTING || attempt->phase == PHASE_RUNNING) &&
        !attempt->timers[TIMER_GRACE])
        attempt_set_timer(attempt, TIMER_GRACE, ENGINE_GRACE_MS, engine_grace_over);
}

static void on_rank_report(json_t *event, void *user_data)
{
    event_out_send(((Attempt *)user_data)->out, event);
}

static const RankWatchFuncs attempt_rank_funcs = {
    .started = on_rank_started,
    .exited = on_rank_exited,
    .engine_end = on_engine_end,
    .report = on_rank_report,
};

/* ---- the engine and setup ---- */

static gboolean on_keeper_ended(int fd, GIOCondition condition, void *user_data);

/* Runs `argv` under a keeper with its output in the file `log`. */
static bool attempt_run(Attempt *attempt, KeeperCommand command, const char *log, GError **error)
{
    int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool ok;

    if (fd < 0) {
        g_set_error(error, LAUNCHER_ERROR, LAUNCHER_ERROR_SYSTEM, "cannot write %s/%s: %s",
                    attempt->plan->attempt_dir, log, g_strerror(errno));
        return false;
    }
    command.output_fd = fd;
    ok = keeper_start(&attempt->keeper, &command, error);
    close(fd);
    if (ok)
        attempt->keeper_source =
            g_unix_fd_add(attempt->keeper.pidfd, G_IO_IN, on_keeper_ended, attempt);
    return ok;
}

static bool attempt_run_setup(Attempt *attempt, GError **error)
{
    const char *const argv[] = {"/bin/sh", "-c", attempt->plan->setup, NULL};
    g_auto(GStrv) env = rank_environment(attempt->plan, NULL);
    const KeeperCommand command = {
        .argv = argv, .env = (const char *const *)env, .dir = attempt->plan->workdir};

    event_out_send(attempt->out, json_pack("{s:s}", "event", "setup"));
    attempt_move(attempt, PHASE_SETUP);
    return attempt_run(attempt, command, SETUP_LOG, error);
}

static bool attempt_run_engine(Attempt *attempt, GError **error)
{
    const Plan *plan = attempt->plan;
    g_autofree char *scratch = g_build_filename(plan->attempt_dir, SCRATCH, NULL);
    g_auto(GStrv) argv = NULL;
    g_auto(GStrv) env = NULL;

    attempt_move(attempt, PHASE_STARTING);
    g_unlink(SCRATCH);
    if (g_mkdir(SCRATCH, 0700) != 0 && errno != EEXIST) {
        g_set_error(error, LAUNCHER_ERROR, LAUNCHER_ERROR_SYSTEM, "cannot make %s: %s", scratch,
                    g_strerror(errno));
        return false;
    }
    if (!attempt->backend->make_command(plan, attempt->program, scratch, &argv, &env, error))
        return false;
    attempt->ranks = rank_watch_new(attempt->world_size, &attempt_rank_funcs, attempt, error);

    const KeeperCommand command = {.argv = (const char *const *)argv,
                                   .env = (const char *const *)env,
                                   .dir = plan->attempt_dir,
                                   .scratch = scratch};

    return attempt->ranks && attempt_run(attempt, command, ENGINE_LOG, error);
}

/* A rank costs descriptors here (socket, pipe) and in mpirun, which inherits the limit. */
static bool attempt_raise_files(const Attempt *attempt, GError **error)
{
    struct rlimit files;
    rlim_t need = (rlim_t)attempt->world_size * FILES_PER_RANK + FILES_BESIDE;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= need)
        return true;
    if (files.rlim_max >= need) {
        files.rlim_cur = need;
        if (setrlimit(RLIMIT_NOFILE, &files) == 0)
            return true;
    }
    g_set_error(error, LAUNCHER_ERROR, LAUNCHER_ERROR_SYSTEM,
                "%d ranks need %" G_GUINT64_FORMAT " open files (try 'ulimit -Hn %" G_GUINT64_FORMAT
                "' as root)",
                attempt->world_size, (guint64)need, (guint64)need);
    return false;
}

static void attempt_give_up(Attempt *attempt, const GError *error)
{
    bool missing = g_error_matches(error, LAUNCHER_ERROR, LAUNCHER_ERROR_MISSING);

    attempt_settle(attempt, missing ? "missing" : "start", 1, "%s", error->message);
    attempt_finish(attempt);
}

static void setup_ended(Attempt *attempt, int status)
{
    g_autoptr(GError) error = NULL;

    event_out_send(attempt->out, json_pack("{s:s, s:i}", "event", "setup_done", "status", status));
    if (attempt->phase == PHASE_SETUP && status == 0) {
        if (!attempt_run_engine(attempt, &error))
            attempt_give_up(attempt, error);
        return;
    }
    if (!attempt->reason) {
        g_autofree char *tail = log_tail(SETUP_LOG);

        attempt_settle(attempt, "setup", status, "setup ended with %d%s", status, tail);
    }
    attempt_finish(attempt);
}

static void engine_ended(Attempt *attempt, int status)
{
    rank_watch_finish(attempt->ranks);
    if (!attempt->reason) { /* not all ranks have told their end */
        g_autofree char *tail = log_tail(ENGINE_LOG);

        attempt_settle(attempt, attempt->started < attempt->world_size ? "start" : "failed",
                       status ? status : 1, "Open MPI's mpirun ended with %d%s", status, tail);
    }
    attempt_finish(attempt);
}

static gboolean on_keeper_ended(int fd, GIOCondition condition, void *user_data)
{
    Attempt *attempt = user_data;
    int status = keeper_wait(&attempt->keeper);

    (void)fd;
    (void)condition;
    attempt->keeper_source = 0;
    if (attempt->ranks)
        engine_ended(attempt, status);
    else
        setup_ended(attempt, status);
    return G_SOURCE_REMOVE;
}

static gboolean on_start_too_late(void *user_data)
{
    Attempt *attempt = user_data;

    attempt->timers[TIMER_START] = 0;
    if (attempt->phase != PHASE_SETUP && attempt->phase != PHASE_STARTING)
        return G_SOURCE_REMOVE;
    attempt_settle(attempt, "start", 1, "limits.start_within: %d of %d ranks had started in time",
                   attempt->started, attempt->world_size);
    attempt_end(attempt);
    return G_SOURCE_REMOVE;
}

static gboolean on_max_duration(void *user_data)
{
    Attempt *attempt = user_data;

    attempt->timers[TIMER_DURATION] = 0;
    attempt_stop(attempt, ATTEMPT_STOP_DEADLINE);
    return G_SOURCE_REMOVE;
}

/* ---- begin ---- */

static bool attempt_write_plan(const Attempt *attempt, GError **error)
{
    json_t *json = plan_to_json(attempt->plan);
    char *text = json_dumps(json, JSON_INDENT(2) | JSON_SORT_KEYS);
    bool ok =
        g_file_set_contents_full(RANK_LINK_PLAN, text, -1, G_FILE_SET_CONTENTS_NONE, 0600, error);

    free(text);
    json_decref(json);
    return ok;
}

Attempt *attempt_new(const Plan *plan, const Backend *backend, const char *program, EventOut *out,
                     GMainLoop *loop)
{
    Attempt *attempt = g_new0(Attempt, 1);

    attempt->plan = plan;
    attempt->backend = backend;
    attempt->program = program;
    attempt->out = out;
    attempt->loop = loop;
    attempt->keeper = (Keeper){.pidfd = -1, .lifeline = -1};
    attempt->world_size = plan_get_world_size(plan);
    return attempt;
}

void attempt_begin(Attempt *attempt)
{
    const Plan *plan = attempt->plan;
    g_autoptr(GError) error = NULL;

    if (g_mkdir_with_parents(plan->checkpoint_dir, 0700) != 0 ||
        g_mkdir_with_parents(plan->attempt_dir, 0700) != 0 || chdir(plan->attempt_dir) != 0)
        g_set_error(&error, LAUNCHER_ERROR, LAUNCHER_ERROR_SYSTEM,
                    "cannot make the folders %s and %s: %s", plan->checkpoint_dir,
                    plan->attempt_dir, g_strerror(errno));
    attempt_set_timer(attempt, TIMER_START, plan->start_within_ms, on_start_too_late);
    attempt_set_timer(attempt, TIMER_DURATION, plan->max_duration_ms, on_max_duration);
    if (error || !attempt_raise_files(attempt, &error) || !attempt_write_plan(attempt, &error) ||
        !(plan->setup ? attempt_run_setup(attempt, &error) : attempt_run_engine(attempt, &error)))
        attempt_give_up(attempt, error);
}

bool attempt_is_done(const Attempt *attempt)
{
    return attempt->phase == PHASE_DONE;
}

void attempt_free(Attempt *attempt)
{
    if (!attempt)
        return;
    for (int i = 0; i < (int)G_N_ELEMENTS(attempt->timers); i++)
        attempt_clear_timer(attempt, i);
    if (attempt->keeper_source)
        g_source_remove(attempt->keeper_source);
    if (attempt->keeper.pid) {
        keeper_kill(&attempt->keeper);
        keeper_wait(&attempt->keeper);
    }
    rank_watch_free(attempt->ranks);
    g_free(attempt->message);
    g_free(attempt);
}
