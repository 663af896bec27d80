/* SPDX-License-Identifier: Apache-2.0
 *
 * The keeper stands between the launcher and the command (mpirun, or the shell of `setup`):
 *
 *     drover launch ──lifeline──> keeper ── command ── ... ── whatever they start
 *
 * It ends when the command ends or when the lifeline, a pipe whose other end only the launcher has,
 * closes: then it kills everything below it, reaps until no child is left, and only then exits. The
 * locks it inherited are therefore held until the last process is gone. "Everything below" is made
 * certain by the kernel in the first of these ways that it allows:
 *
 *   1. root: the keeper is init of a PID namespace, with a mount namespace for a fresh /proc
 *   2. others: the same inside a user namespace that maps the user to the same user. (Programs that
 *      are set-uid to another user do not gain their rights there.)
 *   3. neither allowed (a container's seccomp filter, a hardened kernel): the keeper is the
 *      subreaper of its descendants, finds them in /proc and kills until it has no child left. What
 *      detaches itself becomes its child, so when none is left, nothing is
 *
 * What is left after kill -9 of
 *
 *   drover run     the launcher reads end of file and closes the lifeline: nothing
 *   drover launch  the lifeline closes: nothing
 *   both, or pkill drover: the same, for the keeper carries another name (comm): nothing
 *   the keeper     1, 2: the kernel kills the namespace: nothing
 *                  3: its children become the launcher's, a subreaper too, which kills: nothing
 *   keeper and launcher together
 *                  1, 2: nothing
 *                  3: what has not left the chain of parents dies with it (PR_SET_PDEATHSIG:
 *                  mpirun, then `drover rank`, then the rank); what had detached itself survives.
 *                  This is the one hole.
 *
 * Files: Open MPI's session files and shared memory go to `scratch`. In 1 and 2 that is a tmpfs
 * which only the mount namespace has, so it is gone when the namespace is. In 3 it is a symbolic
 * link to a folder in /dev/shm, which is removed after the last process; only the hole leaves it.
 */
#include "launcher/keeper.h"

#include "launcher/plan.h"
#include "launcher/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEEPER_SWEEP_MS 1

typedef enum { KEEPER_ROOT, KEEPER_USER, KEEPER_SUBREAPER, KEEPER_MODES } KeeperMode;

static const unsigned long keeper_namespaces[KEEPER_MODES] = {
    [KEEPER_ROOT] = CLONE_NEWPID | CLONE_NEWNS,
    [KEEPER_USER] = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUSER,
    [KEEPER_SUBREAPER] = 0,
};

/* ---- in the keeper ---- */

static bool keeper_write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        close(fd);
    return ok;
}

/* user_namespaces(7): one's own ids may be mapped once setgroups is given up. */
static bool keeper_map_user(uid_t uid, gid_t gid)
{
    g_autofree char *uid_map = g_strdup_printf("%u %u 1", uid, uid);
    g_autofree char *gid_map = g_strdup_printf("%u %u 1", gid, gid);

    return keeper_write_file("/proc/self/setgroups", "deny") &&
           keeper_write_file("/proc/self/gid_map", gid_map) &&
           keeper_write_file("/proc/self/uid_map", uid_map);
}

static bool keeper_mount(const char *scratch)
{
    const unsigned long flags = MS_NOSUID | MS_NODEV;

    if (mount("none", "/", NULL, MS_REC | MS_SLAVE, NULL) != 0 ||
        mount("proc", "/proc", "proc", flags | MS_NOEXEC, NULL) != 0)
        return false;
    return !scratch || mount("drover", scratch, "tmpfs", flags, "mode=0700") == 0;
}

/* Turns the empty folder `scratch` into a link to memory; where that fails the folder itself
 * serves. */
static void keeper_link_scratch(const char *scratch)
{
    char memory[] = "/dev/shm/drover-XXXXXX";

    if (!mkdtemp(memory))
        return;
    if (rmdir(scratch) != 0 || symlink(memory, scratch) != 0)
        rmdir(memory);
}

static int keeper_remove_entry(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
    (void)info;
    (void)type;
    (void)ftw;
    remove(path);
    return 0;
}

static void keeper_unlink_scratch(const char *scratch)
{
    char target[64];
    ssize_t length = readlink(scratch, target, sizeof target - 1);

    if (length > 0) {
        target[length] = '\0';
        nftw(target, keeper_remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
        unlink(scratch);
    } else {
        nftw(scratch, keeper_remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    }
}

static int keeper_status(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Reaps what can be reaped; `*status` is set when `child` was among it. False: no child is left. */
static bool keeper_reap(pid_t child, int *status)
{
    for (;;) {
        int reaped_status;
        pid_t reaped = waitpid(-1, &reaped_status, WNOHANG);

        if (reaped > 0 && reaped == child)
            *status = keeper_status(reaped_status);
        if (reaped == 0)
            return true;
        if (reaped < 0 && errno != EINTR)
            return false;
    }
}

static void keeper_kill_below(KeeperMode mode)
{
    int ignored;

    while (keeper_reap(-1, &ignored)) {
        if (mode != KEEPER_SUBREAPER) {
            kill(-1, SIGKILL); /* of the namespace, all but init */
        } else {
            g_autoptr(ProcTable) table = proc_table_new();
            g_autoptr(GArray) pids = proc_list_descendants(table, getpid());

            for (guint i = 0; i < pids->len; i++)
                kill(g_array_index(pids, pid_t, i), SIGKILL);
        }
        poll(NULL, 0, KEEPER_SWEEP_MS);
    }
}

/* Afterwards nothing runs below this process, and nothing of it is left. */
static void keeper_clear(KeeperMode mode, const char *scratch)
{
    keeper_kill_below(mode);
    if (mode == KEEPER_SUBREAPER && scratch)
        keeper_unlink_scratch(scratch);
}

/* The command itself; does not return. */
static void keeper_exec(const KeeperCommand *command, pid_t keeper)
{
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != keeper) /* it ended before that call */
        _exit(127);
    for (int signal = 1; signal < NSIG; signal++)
        sigaction(signal, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (dup2(command->output_fd, 1) < 0 || dup2(command->output_fd, 2) < 0)
        _exit(127);
    if (chdir(command->dir) != 0) {
        dprintf(2, "drover: cannot enter %s: %s\n", command->dir, g_strerror(errno));
        _exit(126);
    }
    /* execve's prototype lacks the const that its argument arrays are left with */
    execve(command->argv[0], (char *const *)(uintptr_t)command->argv,
           (char *const *)(uintptr_t)command->env);
    dprintf(2, "drover: cannot run %s: %s\n", command->argv[0], g_strerror(errno));
    _exit(127);
}

static bool keeper_confine(KeeperMode mode, const KeeperCommand *command, uid_t uid, gid_t gid)
{
    if (mode == KEEPER_SUBREAPER) {
        if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
            return false;
        if (command->scratch)
            keeper_link_scratch(command->scratch);
        return true;
    }
    return (mode == KEEPER_ROOT || keeper_map_user(uid, gid)) && keeper_mount(command->scratch);
}

/* Until the command has ended (its status) or the lifeline has (128 + SIGKILL). */
static int keeper_watch(pid_t child, int lifeline, int signals)
{
    struct pollfd fds[] = {{.fd = signals, .events = POLLIN}, {.fd = lifeline, .events = POLLIN}};
    int status = -1;

    for (;;) {
        struct signalfd_siginfo info;

        keeper_reap(child, &status);
        if (status >= 0)
            return status;
        if (poll(fds, G_N_ELEMENTS(fds), -1) < 0 && errno != EINTR)
            return 128 + SIGKILL;
        if (fds[1].revents)
            return 128 + SIGKILL;
        if (fds[0].revents && read(signals, &info, sizeof info) < 0 && errno != EINTR)
            return 128 + SIGKILL;
    }
}

typedef struct {
    KeeperMode mode;
    uid_t uid; /* as they were before the namespace */
    gid_t gid;
    int lifeline; /* read end */
    int ready;    /* one byte when the command is on its way; closed without: this mode failed */
} KeeperSetUp;

/* The life of the keeper; does not return. */
static void keeper_live(const KeeperSetUp *set_up, const KeeperCommand *command)
{
    sigset_t all, child_only;
    pid_t child, self = getpid();
    int null, signals, status;

    prctl(PR_SET_NAME, "job-keeper");
    null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    sigemptyset(&child_only);
    sigaddset(&child_only, SIGCHLD);
    signals = signalfd(-1, &child_only, SFD_CLOEXEC);
    /* descriptor 0 was the runner's pipe */
    if (null < 0 || dup2(null, 0) < 0 || signals < 0 ||
        !keeper_confine(set_up->mode, command, set_up->uid, set_up->gid))
        _exit(1);
    child = fork();
    if (child == 0)
        keeper_exec(command, self);
    if (child < 0 || write(set_up->ready, "k", 1) != 1)
        _exit(1);
    close(set_up->ready);
    status = keeper_watch(child, set_up->lifeline, signals);
    keeper_clear(set_up->mode, command->scratch);
    _exit(status);
}

/* ---- in the launcher ---- */

static void keeper_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* One try; false with errno where this mode is not to be had. The new process is a copy of this
 * one, as after fork(), which is why there must be no other thread. */
static bool keeper_try(Keeper *keeper, KeeperMode mode, const KeeperCommand *command)
{
    KeeperSetUp set_up = {.mode = mode, .uid = getuid(), .gid = getgid()};
    int lifeline[2], ready[2];
    char byte;

    if (pipe2(lifeline, O_CLOEXEC) != 0)
        return false;
    if (pipe2(ready, O_CLOEXEC) != 0) {
        close(lifeline[0]);
        close(lifeline[1]);
        return false;
    }
    if (mode == KEEPER_SUBREAPER)
        prctl(PR_SET_CHILD_SUBREAPER, 1); /* of this process: for what a killed keeper leaves */
    keeper->pid = (pid_t)syscall(SYS_clone, keeper_namespaces[mode] | SIGCHLD, NULL, NULL, NULL, 0);
    if (keeper->pid == 0) {
        close(lifeline[1]);
        close(ready[0]);
        set_up.lifeline = lifeline[0];
        set_up.ready = ready[1];
        keeper_live(&set_up, command);
    }
    int saved = errno;

    close(lifeline[0]);
    close(ready[1]);
    if (keeper->pid > 0 && read(ready[0], &byte, 1) != 1) {
        waitpid(keeper->pid, NULL, 0);
        keeper->pid = -1;
        saved = EPERM;
    }
    close(ready[0]);
    keeper->lifeline = lifeline[1];
    keeper->isolated = mode != KEEPER_SUBREAPER;
    if (keeper->pid < 0) {
        keeper->pid = 0;
        keeper_close(&keeper->lifeline);
    }
    errno = saved;
    return keeper->pid > 0;
}

bool keeper_start(Keeper *keeper, const KeeperCommand *command, GError **error)
{
    Keeper started = {.pidfd = -1, .lifeline = -1};
    KeeperMode mode = geteuid() == 0 ? KEEPER_ROOT : KEEPER_USER;

    while (mode < KEEPER_MODES && !keeper_try(&started, mode, command))
        mode++;
    if (started.pid <= 0 || (started.pidfd = pidfd_open(started.pid, 0)) < 0) {
        g_set_error(error, LAUNCHER_ERROR, LAUNCHER_ERROR_SYSTEM, "cannot start a process: %s",
                    g_strerror(errno));
        keeper_close(&started.lifeline);
        return false;
    }
    started.scratch = g_strdup(command->scratch);
    *keeper = started;
    return true;
}

void keeper_kill(Keeper *keeper)
{
    keeper_close(&keeper->lifeline);
}

int keeper_wait(Keeper *keeper)
{
    int status = 0;

    while (waitpid(keeper->pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!keeper->isolated) /* nothing to do, unless the keeper was killed */
        keeper_clear(KEEPER_SUBREAPER, keeper->scratch);
    g_clear_pointer(&keeper->scratch, g_free);
    keeper_close(&keeper->lifeline);
    keeper_close(&keeper->pidfd);
    keeper->pid = 0;
    return keeper_status(status);
}
