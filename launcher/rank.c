/* SPDX-License-Identifier: Apache-2.0
 *
 * `drover rank ATTEMPT_DIR`: what the engine starts for each rank. It becomes two processes:
 *
 *     mpirun ── drover rank ── the rank: /bin/sh -c RUN (own process group)
 *
 * The lower one binds itself to the rank's cores, opens its log, sets the environment, says hello
 * to the launcher and becomes the shell. The upper one waits and tells the launcher exactly how the
 * rank ended. To the engine it always exits with 0: an engine that hears of a failure kills the
 * other ranks, maybe in the middle of a checkpoint, and that is the launcher's decision. For the
 * same reason the engine's signal is passed on as a wish (RANK_LINK_ENGINE_END) and reaches nobody
 * else, since the rank has a process group of its own.
 *
 * It is the subreaper of the rank, so that what the rank detaches stays below it and can be asked
 * to end with it. What refuses is the keeper's to kill.
 */
#include "launcher/launch.h"
#include "launcher/rank_link.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define RANK_PROGRESS_FD 3   /* one digit, so that a shell can write to it: echo ... >&3 */
#define RANK_EXIT_CANNOT 126 /* as a shell says "found, but cannot be run" */

typedef struct {
    const Plan *plan;
    const PlanRank *rank;
    int link; /* socket to the launcher */
} RankShim;

static void rank_send(const RankShim *shim, RankLinkMessage message, int fd)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {&message, sizeof message};
    struct msghdr packet = {.msg_iov = &part, .msg_iovlen = 1};

    message.rank = shim->rank->rank;
    if (fd >= 0) {
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
        packet.msg_control = &control;
        packet.msg_controllen = sizeof control.bytes;
    }
    while (sendmsg(shim->link, &packet, MSG_NOSIGNAL) < 0 && errno == EINTR)
        ; /* any other failure: the launcher is gone, and the keeper is about to end us */
}

/* ---- the rank itself, between fork and exec; failures go to the rank's log ---- */

static void rank_give_up(const char *what, const char *name)
{
    dprintf(2, "drover: %s %s: %s\n", what, name, g_strerror(errno));
    _exit(RANK_EXIT_CANNOT);
}

static void rank_open_log(int rank)
{
    g_autofree char *name = g_strdup_printf("rank-%d.log", rank);
    int fd = open(name, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    if (fd < 0 || null < 0 || dup2(null, 0) < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
        rank_give_up("cannot open the log", name);
}

static void rank_bind(const GArray *cpus)
{
    int last = cpus->len ? g_array_index(cpus, int, cpus->len - 1) : -1;
    size_t size = CPU_ALLOC_SIZE((size_t)last + 1);
    g_autofree cpu_set_t *set = g_malloc0(size);

    for (guint i = 0; i < cpus->len; i++)
        CPU_SET_S((size_t)g_array_index(cpus, int, i), size, set);
    if (cpus->len > 0 && sched_setaffinity(0, size, set) != 0)
        rank_give_up("cannot bind to the cores of", "the plan");
}

static char **env_apply(char **env, const GPtrArray *entries)
{
    for (guint i = 0; i < entries->len; i++) {
        g_auto(GStrv) pair = g_strsplit(entries->pdata[i], "=", 2);

        env = g_environ_setenv(env, pair[0], pair[1], TRUE);
    }
    return env;
}

char **rank_environment(const Plan *plan, const PlanRank *rank)
{
    char **env = g_get_environ();
    const char *engine_only = g_environ_getenv(env, RANK_ENGINE_ONLY);
    g_auto(GStrv) drop = g_strsplit(engine_only ? engine_only : "", ",", 0);

    for (char **name = drop; *name; name++)
        env = g_environ_unsetenv(env, *name);
    env = g_environ_unsetenv(env, RANK_ENGINE_ONLY);
    env = env_apply(env, plan->env);
    if (rank)
        env = env_apply(env, rank->env);
    if (plan->path_prefix) {
        const char *path = g_environ_getenv(env, "PATH");
        g_autofree char *joined =
            path ? g_strconcat(plan->path_prefix, ":", path, NULL) : g_strdup(plan->path_prefix);

        env = g_environ_setenv(env, "PATH", joined, TRUE);
    }
    return env;
}

/* Says hello with the read end of the progress pipe; the write end becomes RANK_PROGRESS_FD. The
 * link has then done its work in this process, and may have had that very number. */
static void rank_say_hello(const RankShim *shim)
{
    int ends[2];

    /* Non-blocking at both ends: neither a rank waits for the launcher nor the other way round. */
    if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0)
        rank_give_up("cannot make", "the progress pipe");
    rank_send(shim, (RankLinkMessage){.type = RANK_LINK_HELLO}, ends[0]);
    if (ends[1] == RANK_PROGRESS_FD ? fcntl(ends[1], F_SETFD, 0) != 0
                                    : dup2(ends[1], RANK_PROGRESS_FD) < 0)
        rank_give_up("cannot make", "the progress pipe");
}

static void rank_become(const RankShim *shim, pid_t parent)
{
    const Plan *plan = shim->plan;
    sigset_t none;
    char **env;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(RANK_EXIT_CANNOT);
    setpgid(0, 0);
    rank_open_log(shim->rank->rank);

    rank_say_hello(shim);
    rank_bind(shim->rank->cpus);
    env = rank_environment(plan, shim->rank);
    env = g_environ_setenv(env, "DROVER_PROGRESS_FD", G_STRINGIFY(RANK_PROGRESS_FD), TRUE);
    env = g_environ_setenv(env, "PWD", plan->workdir, TRUE);
    if (chdir(plan->workdir) != 0)
        rank_give_up("cannot enter workdir", plan->workdir);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execle("/bin/sh", "sh", "-c", plan->run, NULL, env);
    rank_give_up("cannot run", "/bin/sh");
}

/* ---- the one that waits ---- */

/* Until the rank has ended; its wait status. mpirun begins to end a rank with SIGCONT. */
static int rank_wait(const RankShim *shim, pid_t child, const sigset_t *all)
{
    const pid_t engine = getppid();

    for (;;) {
        int status, signal;
        siginfo_t info;
        pid_t reaped;

        while ((reaped = waitpid(-1, &status, WNOHANG)) > 0)
            if (reaped == child)
                return status;
        signal = sigwaitinfo(all, &info);
        if ((signal == SIGCONT || signal == SIGTERM) && info.si_pid == engine)
            rank_send(shim, (RankLinkMessage){.type = RANK_LINK_ENGINE_END}, -1);
    }
}

static int rank_run(const RankShim *shim)
{
    RankLinkMessage message = {.type = RANK_LINK_EXIT};
    sigset_t all;
    pid_t self = getpid(), child;
    int status;

    prctl(PR_SET_PDEATHSIG, SIGKILL); /* of mpirun */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    for (int signal = 1; signal < NSIG; signal++)
        sigaction(signal, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    child = fork();
    if (child == 0)
        rank_become(shim, self);
    if (child < 0) {
        fprintf(stderr, "drover rank: cannot start a process: %s\n", g_strerror(errno));
        return 1;
    }
    status = rank_wait(shim, child, &all);
    if (WIFSIGNALED(status))
        message.signal = WTERMSIG(status);
    else
        message.code = WEXITSTATUS(status);
    rank_send(shim, message, -1);
    return 0;
}

static int rank_connect(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = RANK_LINK_SOCKET};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static const PlanRank *rank_find(const Plan *plan, const char *number)
{
    gint64 wanted;

    if (!number || !g_ascii_string_to_signed(number, 10, 0, G_MAXINT, &wanted, NULL))
        return NULL;
    for (guint i = 0; i < plan->islands->len; i++) {
        const PlanIsland *island = plan->islands->pdata[i];

        for (guint h = 0; h < island->hosts->len; h++) {
            const PlanHost *host = island->hosts->pdata[h];

            for (guint r = 0; r < host->ranks->len; r++) {
                const PlanRank *rank = host->ranks->pdata[r];

                if (rank->rank == wanted)
                    return rank;
            }
        }
    }
    return NULL;
}

int rank_main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Plan) plan = NULL;
    json_error_t why;
    json_t *json;
    RankShim shim = {.link = -1};

    if (argc != 2 || chdir(argv[1]) != 0) {
        fprintf(stderr, "drover rank: needs the folder of an attempt; the launcher starts this\n");
        return 2;
    }
    json = json_load_file(RANK_LINK_PLAN, 0, &why);
    plan = json ? plan_from_json(json, &error) : NULL;
    json_decref(json);
    if (!plan) {
        fprintf(stderr, "drover rank: " RANK_LINK_PLAN ": %s\n", error ? error->message : why.text);
        return 1;
    }
    shim.plan = plan;
    shim.rank = rank_find(plan, g_getenv("OMPI_COMM_WORLD_RANK"));
    shim.link = rank_connect();
    if (!shim.rank || shim.link < 0) {
        fprintf(stderr, "drover rank: %s\n",
                shim.rank ? "the launcher does not answer" : "mpirun gave no rank of the plan");
        return 1;
    }
    return rank_run(&shim);
}
