/* SPDX-License-Identifier: Apache-2.0
 *
 * Both ends of the pipes between the runner and `drover launch`.
 *
 *   stdin   the plan as one line, then the lines "stop" and "kill". Its end means that the runner
 *           is gone: everything is killed
 *   stdout  events. The keeper holds a copy of it, so its end means that nothing runs any more
 *
 * The launcher is in a session of its own: the terminal's Ctrl-C is the runner's to understand.
 */
#include "launcher/launch.h"

#include "launcher/attempt.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINE_MAX_PLAN    (64 << 20)
#define LINE_MAX_COMMAND 64
#define LINE_MAX_EVENT   (1 << 20)

/* ---- lines out of a descriptor ---- */

typedef struct {
    int fd;
    GString *data;
} LineReader;

/* Reads once. 1: something came, 0: nothing there, -1: the end. */
static int lines_fill(LineReader *lines)
{
    char data[65536];
    ssize_t size = read(lines->fd, data, sizeof data);

    if (size > 0)
        g_string_append_len(lines->data, data, size);
    else if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    return size > 0 ? 1 : -1;
}

/* The next whole line without its newline, or NULL. */
static char *lines_next(LineReader *lines)
{
    const char *newline = memchr(lines->data->str, '\n', lines->data->len);
    char *line;

    if (!newline)
        return NULL;
    line = g_strndup(lines->data->str, (gsize)(newline - lines->data->str));
    g_string_erase(lines->data, 0, newline - lines->data->str + 1);
    return line;
}

/* ---- `drover launch` ---- */

typedef struct {
    Attempt *attempt;
    LineReader lines;
} LaunchServer;

/* Obeys the whole lines at hand. */
static void server_obey(LaunchServer *server)
{
    for (char *line; (line = lines_next(&server->lines)); g_free(line)) {
        if (strcmp(line, "stop") == 0)
            attempt_stop(server->attempt, ATTEMPT_STOP_REQUESTED);
        else if (strcmp(line, "kill") == 0)
            attempt_stop(server->attempt, ATTEMPT_STOP_KILL);
    }
}

static gboolean server_command(int fd, GIOCondition condition, void *user_data)
{
    LaunchServer *server = user_data;
    bool end = lines_fill(&server->lines) < 0;

    (void)fd;
    (void)condition;
    server_obey(server);
    if (!end && server->lines.data->len <= LINE_MAX_COMMAND)
        return G_SOURCE_CONTINUE;
    attempt_stop(server->attempt, ATTEMPT_STOP_KILL);
    return G_SOURCE_REMOVE;
}

static gboolean server_signal(int fd, GIOCondition condition, void *user_data)
{
    LaunchServer *server = user_data;
    struct signalfd_siginfo info;

    (void)condition;
    if (read(fd, &info, sizeof info) == sizeof info)
        attempt_stop(server->attempt, ATTEMPT_STOP_REQUESTED);
    return G_SOURCE_CONTINUE;
}

/* The plan from the first line, or NULL after words on standard error. */
static Plan *server_read_plan(LineReader *lines)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *line = NULL;
    json_error_t why;
    json_t *json;
    Plan *plan;

    while (!(line = lines_next(lines)))
        if (lines->data->len > LINE_MAX_PLAN || lines_fill(lines) < 0) {
            fprintf(stderr, "drover launch: no plan on standard input; the runner starts this\n");
            return NULL;
        }
    json = json_loads(line, JSON_REJECT_DUPLICATES, &why);
    plan = json ? plan_from_json(json, &error) : NULL;
    if (!plan)
        fprintf(stderr, "drover launch: the plan: %s\n", error ? error->message : why.text);
    json_decref(json);
    return plan;
}

static void server_run(const Plan *plan, const char *program, LineReader *lines, int signals)
{
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    EventOut *out = event_out_new(STDOUT_FILENO);
    LaunchServer server = {.attempt = attempt_new(plan, &backend_local, program, out, loop),
                           .lines = *lines};

    g_unix_set_fd_nonblocking(STDIN_FILENO, TRUE, NULL);
    g_unix_fd_add(STDIN_FILENO, G_IO_IN | G_IO_HUP, server_command, &server);
    g_unix_fd_add(signals, G_IO_IN, server_signal, &server);
    attempt_begin(server.attempt);
    server_obey(&server); /* what came along with the plan */
    if (!attempt_is_done(server.attempt))
        g_main_loop_run(loop);
    event_out_drain(out);
    attempt_free(server.attempt);
    event_out_free(out);
}

int launch_main(void)
{
    LineReader lines = {.fd = STDIN_FILENO, .data = g_string_new(NULL)};
    g_autofree char *program = g_file_read_link("/proc/self/exe", NULL);
    g_autoptr(Plan) plan = NULL;
    sigset_t asked;
    int signals;

    setsid();
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&asked);
    sigaddset(&asked, SIGTERM);
    sigaddset(&asked, SIGINT);
    sigaddset(&asked, SIGHUP);
    sigprocmask(SIG_BLOCK, &asked, NULL);
    signals = signalfd(-1, &asked, SFD_CLOEXEC | SFD_NONBLOCK);
    /* What the runner gave us to hold, we and the keeper hold, and nobody else. */
    close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
    plan = server_read_plan(&lines);
    if (plan && program && signals >= 0)
        server_run(plan, program, &lines, signals);
    g_string_free(lines.data, TRUE);
    return plan ? 0 : 2;
}

/* ---- the runner's side ---- */

struct Launch {
    GPid pid;
    LaunchEventFunc func;
    void *user_data;
    int in;           /* commands: a socket, so that writing to a dead launcher is no SIGPIPE */
    GString *to_send; /* the plan and commands not yet written */
    guint in_source;
    LineReader events; /* fd -1: ended */
    guint out_source;
    guint child_source;
    bool done;
    bool stopping;
};

static void launch_close_in(Launch *launch)
{
    if (launch->in_source)
        g_source_remove(launch->in_source);
    launch->in_source = 0;
    close(launch->in);
}

/* Sends what can be sent; true: something is left. A launcher that is gone is noticed at the end of
 * its events. */
static bool launch_flush(Launch *launch)
{
    ssize_t sent =
        send(launch->in, launch->to_send->str, launch->to_send->len, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (sent < 0 && errno != EAGAIN && errno != EINTR)
        g_string_truncate(launch->to_send, 0);
    else if (sent > 0)
        g_string_erase(launch->to_send, 0, sent);
    return launch->to_send->len > 0;
}

static gboolean launch_writable(int fd, GIOCondition condition, void *user_data)
{
    Launch *launch = user_data;

    (void)fd;
    (void)condition;
    if (launch_flush(launch))
        return G_SOURCE_CONTINUE;
    launch->in_source = 0;
    return G_SOURCE_REMOVE;
}

static void launch_send(Launch *launch, const char *line)
{
    g_string_append(launch->to_send, line);
    g_string_append_c(launch->to_send, '\n');
    if (!launch->in_source && launch_flush(launch))
        launch->in_source = g_unix_fd_add(launch->in, G_IO_OUT, launch_writable, launch);
}

static void launch_take_line(Launch *launch, const char *line)
{
    json_t *event = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    const char *name = json_string_value(json_object_get(event, "event"));

    if (name && !launch->done) {
        launch->done = strcmp(name, "done") == 0;
        launch->func(event, launch->user_data);
    }
    json_decref(event);
}

static void launch_close_out(Launch *launch)
{
    if (launch->out_source)
        g_source_remove(launch->out_source);
    launch->out_source = 0;
    if (launch->events.fd >= 0)
        close(launch->events.fd);
    launch->events.fd = -1;
}

static gboolean launch_read(int fd, GIOCondition condition, void *user_data)
{
    Launch *launch = user_data;
    bool end = lines_fill(&launch->events) < 0;

    (void)fd;
    (void)condition;
    for (char *line; (line = lines_next(&launch->events)); g_free(line))
        launch_take_line(launch, line);
    if (!end && launch->events.data->len <= LINE_MAX_EVENT)
        return G_SOURCE_CONTINUE;
    launch->out_source = 0;
    launch_close_out(launch);
    if (!launch->done) {
        launch->done = true;
        launch->func(NULL, launch->user_data);
    }
    return G_SOURCE_REMOVE;
}

static void launch_child_ended(GPid pid, int status, void *user_data)
{
    Launch *launch = user_data;

    (void)pid;
    (void)status;
    launch->child_source = 0;
    launch->pid = 0;
}

static bool launch_check_secrets(const Plan *plan, GError **error)
{
    for (guint i = 0; i < plan->secrets->len; i++) {
        const char *name = plan->secrets->pdata[i];

        if (g_getenv(name))
            continue;
        g_set_error(error, LAUNCHER_ERROR, LAUNCHER_ERROR_PLAN,
                    "secrets: %s is not in the environment (try 'export %s=...')", name, name);
        return false;
    }
    return true;
}

Launch *launch_start(const char *program, const Plan *plan, int keep_fd, LaunchEventFunc func,
                     void *user_data, GError **error)
{
    const char *const argv[] = {program, "launch", NULL};
    const int kept_at = 3;
    GPid pid;
    int in[2], out;
    bool ok;

    if (!launch_check_secrets(plan, error))
        return NULL;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) != 0) {
        g_set_error(error, LAUNCHER_ERROR, LAUNCHER_ERROR_SYSTEM, "cannot make a socket: %s",
                    g_strerror(errno));
        return NULL;
    }
    ok = g_spawn_async_with_pipes_and_fds(NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL,
                                          in[1], -1, -1, &keep_fd, &kept_at, keep_fd >= 0, &pid,
                                          NULL, &out, NULL, error);
    close(in[1]);
    if (!ok) {
        close(in[0]);
        return NULL;
    }

    Launch *launch = g_new0(Launch, 1);
    json_t *json = plan_to_json(plan);
    char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);

    launch->pid = pid;
    launch->func = func;
    launch->user_data = user_data;
    launch->in = in[0];
    launch->to_send = g_string_new(NULL);
    launch->events = (LineReader){.fd = out, .data = g_string_new(NULL)};
    g_unix_set_fd_nonblocking(out, TRUE, NULL);
    launch->out_source = g_unix_fd_add(out, G_IO_IN | G_IO_HUP, launch_read, launch);
    launch->child_source = g_child_watch_add(pid, launch_child_ended, launch);
    launch_send(launch, text);
    free(text);
    json_decref(json);
    return launch;
}

void launch_stop(Launch *launch, bool now)
{
    if (launch->stopping && !now)
        return;
    launch->stopping = true;
    launch_send(launch, now ? "kill" : "stop");
}

void launch_free(Launch *launch)
{
    if (!launch)
        return;
    launch_close_in(launch); /* has all killed, if there still is something */
    launch_close_out(launch);
    if (launch->child_source)
        g_source_remove(launch->child_source);
    while (launch->pid && waitpid(launch->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    g_string_free(launch->to_send, TRUE);
    g_string_free(launch->events.data, TRUE);
    g_free(launch);
}
