/* SPDX-License-Identifier: Apache-2.0
 *
 * A rank's hello brings a descriptor that the launcher will read from: one that is no pipe, or that
 * would let a read wait for ever, must not hold up the launcher.
 */
#include "launcher/rank_link.h"
#include "launcher/rank_watch.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define DEADLINE_S 30

typedef struct {
    int started;
    int exited;
    int reports;
} Seen;

static void on_started(int rank G_GNUC_UNUSED, pid_t pid G_GNUC_UNUSED, void *user_data)
{
    ((Seen *)user_data)->started++;
}

static void on_exited(int rank G_GNUC_UNUSED, int code G_GNUC_UNUSED, int signal, void *user_data)
{
    g_assert_cmpint(signal, ==, SIGKILL);
    ((Seen *)user_data)->exited++;
}

static void on_engine_end(void *user_data G_GNUC_UNUSED)
{
}

static void on_report(json_t *event, void *user_data)
{
    json_decref(event);
    ((Seen *)user_data)->reports++;
}

static const RankWatchFuncs funcs = {on_started, on_exited, on_engine_end, on_report};

/* Says hello as rank 0 with `fd`, and hangs up. */
static void say_hello(int fd)
{
    RankLinkMessage hello = {.type = RANK_LINK_HELLO};
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = RANK_LINK_SOCKET};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.header = {.cmsg_level = SOL_SOCKET,
                            .cmsg_type = SCM_RIGHTS,
                            .cmsg_len = CMSG_LEN(sizeof fd)}};
    struct iovec part = {&hello, sizeof hello};
    struct msghdr packet = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = CMSG_SPACE(sizeof fd)};
    int link = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    g_assert_cmpint(connect(link, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_cmpint(sendmsg(link, &packet, 0), ==, sizeof hello);
    close(link);
}

/* What the launcher saw of a rank that came with `fd`. */
static Seen meet(int fd)
{
    Seen seen = {0};
    g_autoptr(GError) error = NULL;
    RankWatch *watch = rank_watch_new(1, &funcs, &seen, &error);

    g_assert_no_error(error);
    say_hello(fd);
    alarm(DEADLINE_S); /* a read that waits is the failure this is about */
    while (g_main_context_iteration(NULL, FALSE))
        ;
    rank_watch_finish(watch);
    alarm(0);
    rank_watch_free(watch);
    g_unlink(RANK_LINK_SOCKET);
    close(fd);
    return seen;
}

static void test_pipe(void)
{
    static const char line[] = "{\"event\":\"note\",\"text\":\"a\"}\n";
    int ends[2];
    Seen seen;

    g_assert_cmpint(pipe2(ends, O_CLOEXEC | O_NONBLOCK), ==, 0);
    g_assert_cmpint(write(ends[1], line, strlen(line)), ==, (gint64)strlen(line));
    seen = meet(ends[0]);
    close(ends[1]);
    g_assert_cmpint(seen.started, ==, 1);
    g_assert_cmpint(seen.reports, ==, 1);
    g_assert_cmpint(seen.exited, ==, 1);
}

/* Open for both directions it never ends, and without O_NONBLOCK a read waits. */
static void test_pipe_that_waits(void)
{
    Seen seen;

    g_assert_cmpint(mkfifo("fifo", 0600), ==, 0);
    seen = meet(open("fifo", O_RDWR | O_CLOEXEC));
    g_assert_cmpint(seen.started, ==, 1);
    g_assert_cmpint(seen.exited, ==, 1);
    g_unlink("fifo");
}

static void test_no_pipe(void)
{
    Seen zero = meet(open("/dev/zero", O_RDONLY | O_CLOEXEC));
    Seen folder = meet(open(".", O_RDONLY | O_CLOEXEC));
    Seen file = meet(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));

    g_assert_cmpint(zero.started + folder.started + file.started, ==, 0);
}

int main(int argc, char **argv)
{
    g_autofree char *dir = g_dir_make_tmp("rank_watch.XXXXXX", NULL);
    int status;

    g_test_init(&argc, &argv, NULL);
    g_assert_cmpint(g_chdir(dir), ==, 0);
    g_test_add_func("/rank_watch/pipe", test_pipe);
    g_test_add_func("/rank_watch/pipe-that-waits", test_pipe_that_waits);
    g_test_add_func("/rank_watch/no-pipe", test_no_pipe);
    status = g_test_run();
    g_rmdir(dir);
    return status;
}
