/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/launcher/run.h"

#include "launcher/rank_link.h"

#include <fcntl.h>
#include <ftw.h>
#include <glib-unix.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void on_event(const json_t *event, void *user_data)
{
    Run *run = user_data;
    const char *name = run_string(event, "event");

    if (event)
        g_ptr_array_add(run->events, json_deep_copy(event));
    if (!event || g_strcmp0(name, "done") == 0)
        run->ended = true;
    if (run->loop && (run->ended || g_strcmp0(name, run->until) == 0))
        g_main_loop_quit(run->loop);
}

static PlanRank *rank_make(int number, int ranks, int cpus)
{
    PlanRank *rank = g_new0(PlanRank, 1);

    rank->rank = rank->local_rank = number;
    rank->cpus = g_array_new(FALSE, FALSE, sizeof(int));
    for (int cpu = 0; ranks <= cpus && cpu < cpus; cpu++)
        if (cpu % ranks == number)
            g_array_append_val(rank->cpus, cpu);
    rank->devices = g_ptr_array_new_with_free_func(g_free);
    rank->env = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(rank->env, g_strdup_printf("LOCAL_RANK=%d", number));
    g_ptr_array_add(rank->env, g_strdup_printf("RANK=%d", number));
    return rank;
}

static Run *run_new_in(char *dir, const char *command, int ranks, int cpus)
{
    Run *run = g_new0(Run, 1);
    Plan *plan = run->plan = g_new0(Plan, 1);
    PlanIsland *island = g_new0(PlanIsland, 1);
    PlanHost *host = g_new0(PlanHost, 1);

    run->dir = dir;
    run->attempt_dir = g_build_filename(run->dir, "attempt-1", NULL);
    run->events = g_ptr_array_new_with_free_func((GDestroyNotify)json_decref);
    plan->job = g_strdup("1");
    plan->attempt = 1;
    plan->run = g_strdup(command);
    plan->workdir = g_strdup(run->dir);
    plan->attempt_dir = g_strdup(run->attempt_dir);
    plan->checkpoint_dir = g_build_filename(run->dir, "checkpoints", NULL);
    plan->grace_ms = 30000;
    plan->max_duration_ms = INT64_MAX;
    plan->start_within_ms = INT64_MAX;
    plan->env = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(plan->env, g_strdup("TEST_COMMON=common value"));
    g_ptr_array_add(plan->env, g_strdup_printf("TEST_DIR=%s", dir));
    plan->secrets = g_ptr_array_new_with_free_func(g_free);
    plan->islands = g_ptr_array_new();
    g_ptr_array_add(plan->islands, island);
    island->hosts = g_ptr_array_new();
    g_ptr_array_add(island->hosts, host);
    host->node = g_strdup("box");
    host->address = g_strdup("127.0.0.1");
    host->ranks = g_ptr_array_new();
    for (int i = 0; i < ranks; i++)
        g_ptr_array_add(host->ranks, rank_make(i, ranks, cpus));

    /* The checked copy is what a runner would have; it frees its parts. */
    json_t *json = plan_to_json(plan);
    g_autoptr(GError) error = NULL;

    run->plan = plan_from_json(json, &error);
    g_assert_no_error(error);
    json_decref(json);
    for (int i = 0; i < ranks; i++) {
        PlanRank *rank = host->ranks->pdata[i];

        g_array_unref(rank->cpus);
        g_ptr_array_unref(rank->devices);
        g_ptr_array_unref(rank->env);
        g_free(rank);
    }
    g_ptr_array_unref(host->ranks);
    g_free(host->node);
    g_free(host->address);
    g_free(host);
    g_ptr_array_unref(island->hosts);
    g_free(island);
    plan_free(plan);
    return run;
}

Run *run_new(const char *command, int ranks, int cpus)
{
    return run_new_in(g_dir_make_tmp("drover-launch-XXXXXX", NULL), command, ranks, cpus);
}

static void start_keeping(Run *run, int keep_fd)
{
    g_autofree char *program = g_file_read_link("/proc/self/exe", NULL);
    g_autoptr(GError) error = NULL;

    run->launch = launch_start(program, run->plan, keep_fd, on_event, run, &error);
    g_assert_no_error(error);
}

void run_start(Run *run)
{
    start_keeping(run, -1);
}

static gboolean too_late(void *user_data)
{
    const Run *run = user_data;

    for (guint i = 0; i < run->events->len; i++) {
        char *text = json_dumps(run->events->pdata[i], JSON_COMPACT);

        g_printerr("%s\n", text);
        free(text);
    }
    g_error("no '%s' within %d s", run->until ? run->until : "done", RUN_DEADLINE_S);
    return G_SOURCE_REMOVE;
}

const json_t *run_wait(Run *run, const char *event)
{
    guint timer = g_timeout_add_seconds(RUN_DEADLINE_S, too_late, run);

    run->until = event;
    if (!run->ended) {
        run->loop = g_main_loop_new(NULL, FALSE);
        g_main_loop_run(run->loop);
        g_clear_pointer(&run->loop, g_main_loop_unref);
    }
    g_source_remove(timer);
    return run->events->len ? run->events->pdata[run->events->len - 1] : NULL;
}

const json_t *run_find(const Run *run, const char *event, guint index)
{
    for (guint i = 0; i < run->events->len; i++)
        if (g_strcmp0(run_string(run->events->pdata[i], "event"), event) == 0 && index-- == 0)
            return run->events->pdata[i];
    return NULL;
}

const json_t *run_find_rank(const Run *run, const char *event, int rank)
{
    const json_t *found;

    for (guint i = 0; (found = run_find(run, event, i)); i++)
        if (run_integer(found, "rank") == rank)
            return found;
    return NULL;
}

int run_integer(const json_t *event, const char *member)
{
    return (int)json_integer_value(json_object_get(event, member));
}

const char *run_string(const json_t *event, const char *member)
{
    return json_string_value(json_object_get(event, member));
}

char *run_read(const Run *run, const char *file)
{
    g_autofree char *path = g_build_filename(run->dir, file, NULL);
    char *text = NULL;

    g_file_get_contents(path, &text, NULL, NULL);
    return text;
}

char *run_wait_file(const Run *run, const char *file)
{
    for (int i = 0; i < RUN_DEADLINE_S * 100; i++) {
        char *text = run_read(run, file);

        if (text && *text)
            return text;
        g_free(text);
        g_usleep(10000);
        g_main_context_iteration(NULL, FALSE);
    }
    g_error("no '%s' within %d s", file, RUN_DEADLINE_S);
    return NULL;
}

static bool file_has(const char *pid, const char *name, const char *text)
{
    g_autofree char *path = g_build_filename("/proc", pid, name, NULL);
    g_autofree char *data = NULL;
    gsize size;

    return g_file_get_contents(path, &data, &size, NULL) &&
           memmem(data, size, text, strlen(text)) != NULL;
}

guint run_count_processes(const char *dir)
{
    g_autoptr(GDir) proc = g_dir_open("/proc", 0, NULL);
    const char *pid;
    guint count = 0;

    while ((pid = g_dir_read_name(proc)))
        if (g_ascii_isdigit(*pid) && atoi(pid) != getpid() &&
            (file_has(pid, "environ", dir) || file_has(pid, "cmdline", dir)))
            count++;
    return count;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
    (void)info;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void run_drop(Run *run)
{
    launch_free(run->launch);
    plan_free(run->plan);
    g_ptr_array_unref(run->events);
    g_free(run->attempt_dir);
    g_free(run->dir);
    g_free(run);
}

void run_free(Run *run)
{
    if (!run)
        return;
    g_clear_pointer(&run->launch, launch_free);
    nftw(run->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    run_drop(run);
}

/* ---- as a program ---- */

static bool write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    bool ok = file && fputs(text, file) >= 0;

    return file && fclose(file) == 0 && ok;
}

/* Into a user namespace in which no further one, and no PID namespace, can be made. */
static bool confine(void)
{
    g_autofree char *uid_map = g_strdup_printf("%u %u 1", getuid(), getuid());
    g_autofree char *gid_map = g_strdup_printf("%u %u 1", getgid(), getgid());

    return unshare(CLONE_NEWUSER) == 0 && write_text("/proc/self/setgroups", "deny") &&
           write_text("/proc/self/uid_map", uid_map) && write_text("/proc/self/gid_map", gid_map) &&
           write_text("/proc/sys/user/max_pid_namespaces", "0") &&
           write_text("/proc/sys/user/max_user_namespaces", "0");
}

static int run_as_program(int argc, char **argv)
{
    g_assert_cmpint(argc, >=, 5);
    if (argc > 5 && !confine())
        return RUN_EXIT_NOT_CONFINED;

    Run *run = run_new_in(g_strdup(argv[2]), argv[3], atoi(argv[4]), 2);
    g_autofree char *path = g_build_filename(run->dir, "events", NULL);
    g_autofree char *lock_path = g_build_filename(run->dir, "lock", NULL);
    int lock = open(lock_path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    FILE *events;
    guint written = 0;

    g_assert_cmpint(flock(lock, LOCK_EX | LOCK_NB), ==, 0);
    start_keeping(run, lock);
    events = fopen(path, "w");
    while (!run->ended) {
        g_main_context_iteration(NULL, TRUE);
        for (; written < run->events->len; written++) {
            json_dumpf(run->events->pdata[written], events, JSON_COMPACT);
            fputc('\n', events);
        }
        fflush(events);
    }
    fclose(events);
    run_drop(run);
    return 0;
}

/* With `passed_fd` twice, where it is one. */
static void rogue_send(const void *data, size_t size, int passed_fd)
{
    const int passed[] = {passed_fd, passed_fd};
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = RANK_LINK_SOCKET};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof passed)];
    } control = {.header = {.cmsg_level = SOL_SOCKET,
                            .cmsg_type = SCM_RIGHTS,
                            .cmsg_len = CMSG_LEN(sizeof passed)}};
    struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    struct msghdr packet = {.msg_iov = &part, .msg_iovlen = 1};

    memcpy(CMSG_DATA(&control.header), passed, sizeof passed);
    if (passed_fd >= 0) {
        packet.msg_control = &control;
        packet.msg_controllen = sizeof control.bytes;
    }
    g_assert_cmpint(connect(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_cmpint(sendmsg(fd, &packet, MSG_NOSIGNAL), ==, (ssize_t)size);
    close(fd);
}

/* A rank that tells the launcher what is not its to tell, and gives it what it must not keep. */
static int run_as_rogue(void)
{
    const RankLinkMessage messages[] = {
        {.type = RANK_LINK_EXIT, .rank = 0, .code = 99},
        {.type = RANK_LINK_EXIT, .rank = 1, .code = 99},
        {.type = RANK_LINK_HELLO, .rank = 0},
        {.type = RANK_LINK_HELLO, .rank = 1},
        {.type = RANK_LINK_HELLO, .rank = -1},
        {.type = RANK_LINK_HELLO, .rank = G_MAXINT},
        {.type = RANK_LINK_ENGINE_END, .rank = 1},
        {.type = G_MAXUINT32, .rank = G_MININT},
    };
    g_autofree char *junk = g_strnfill(100000, 'x');
    char byte;
    int ends[2];

    if (chdir("attempt-1") != 0 || !g_unix_open_pipe(ends, FD_CLOEXEC, NULL))
        return 1;
    for (size_t i = 0; i < G_N_ELEMENTS(messages); i++) {
        rogue_send(&messages[i], sizeof messages[i], -1);
        rogue_send(&messages[i], sizeof messages[i], ends[1]);
    }
    for (size_t size = 0; size < 100000; size = size * 3 + 1)
        rogue_send(junk, size, ends[1]);
    close(ends[1]);
    alarm(RUN_DEADLINE_S / 2);
    return read(ends[0], &byte, 1) == 0 ? 0 : 1; /* the end: nobody holds the other end any more */
}

int run_main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "rogue") == 0)
        return run_as_rogue();
    if (argc > 1 && strcmp(argv[1], "launch") == 0)
        return launch_main();
    if (argc > 1 && strcmp(argv[1], "rank") == 0)
        return rank_main(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "run") == 0)
        return run_as_program(argc, argv);
    return -1;
}
