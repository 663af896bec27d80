/* SPDX-License-Identifier: Apache-2.0
 *
 * A rank is absent, running, then gone; `drover rank` moves it on with RANK_LINK_HELLO and
 * RANK_LINK_EXIT, each once and only in that order. Anything else that comes over the socket (the
 * program of the rank could open it too, being the same user) is dropped: a wrong size, another
 * user, a rank out of range or already there, a hello without a pipe. Only for a rank that
 * has not started could another one of the same job speak.
 *
 * A progress pipe is read READ_SIZE bytes at a time; a rank that fills that is left alone for a
 * while, its pipe fills, and its further lines are lost on its own side. So a flood costs the
 * launcher a bounded rate of work.
 */
#include "launcher/rank_watch.h"

#include "launcher/plan_check.h"
#include "launcher/proc.h"
#include "launcher/progress.h"
#include "launcher/rank_link.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define READ_SIZE     16384
#define READ_LAST_MAX (1 << 20) /* bytes read from a rank that has ended: a pipe's largest size */

typedef enum { RANK_ABSENT, RANK_RUNNING, RANK_GONE } RankState;

typedef struct {
    RankWatch *watch;
    int number;
    RankState state;
    pid_t shim; /* `drover rank`; everything of the rank is below it */
    int progress_fd;
    guint progress_source; /* 0: closed, or left alone until the timer */
    guint timer;           /* 0: nothing is held back */
    ProgressReader *reader;
} WatchedRank;

typedef struct {
    RankWatch *watch;
    int fd;
    guint source;
    pid_t peer;
} RankConnection;

struct RankWatch {
    const RankWatchFuncs *funcs;
    void *user_data;
    int listen_fd;
    guint listen_source;
    GPtrArray *connections; /* RankConnection * */
    WatchedRank *ranks;
    int ranks_count;
};

static int64_t now_ms(void)
{
    return g_get_monotonic_time() / 1000;
}

static void source_clear(guint *source)
{
    if (*source)
        g_source_remove(*source);
    *source = 0;
}

/* ---- progress ---- */

static void rank_report(json_t *event, void *user_data)
{
    const WatchedRank *rank = user_data;

    rank->watch->funcs->report(event, rank->watch->user_data);
}

static void rank_close_progress(WatchedRank *rank)
{
    source_clear(&rank->progress_source);
    source_clear(&rank->timer);
    if (rank->progress_fd >= 0)
        close(rank->progress_fd);
    rank->progress_fd = -1;
    if (rank->reader)
        progress_reader_flush(rank->reader, now_ms(), true);
    g_clear_pointer(&rank->reader, progress_reader_free);
}

/* One read. How many bytes; 0: none there now, -1: there will be no more. */
static ssize_t rank_read_progress(WatchedRank *rank)
{
    char data[READ_SIZE];
    ssize_t size = read(rank->progress_fd, data, sizeof data);

    if (size > 0)
        progress_reader_feed(rank->reader, data, (size_t)size, now_ms());
    else if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    return size > 0 ? size : -1;
}

static gboolean rank_progress_ready(int fd, GIOCondition condition, void *user_data);

static gboolean rank_timer(void *user_data)
{
    WatchedRank *rank = user_data;
    bool held = progress_reader_flush(rank->reader, now_ms(), false);

    if (!rank->progress_source)
        rank->progress_source =
            g_unix_fd_add(rank->progress_fd, G_IO_IN | G_IO_HUP, rank_progress_ready, rank);
    if (held)
        return G_SOURCE_CONTINUE;
    rank->timer = 0;
    return G_SOURCE_REMOVE;
}

static gboolean rank_progress_ready(int fd, GIOCondition condition, void *user_data)
{
    WatchedRank *rank = user_data;
    ssize_t size = rank_read_progress(rank);

    (void)fd;
    (void)condition;
    if (size < 0) {
        rank->progress_source = 0;
        rank_close_progress(rank);
        return G_SOURCE_REMOVE;
    }
    if (!rank->timer && (progress_reader_flush(rank->reader, now_ms(), false) || size == READ_SIZE))
        rank->timer = g_timeout_add(PROGRESS_PERIOD_MS, rank_timer, rank);
    if (size == READ_SIZE) {
        rank->progress_source = 0; /* the timer puts it back */
        return G_SOURCE_REMOVE;
    }
    return G_SOURCE_CONTINUE;
}

/* ---- the life of a rank ---- */

static void rank_start(WatchedRank *rank, pid_t shim, pid_t pid, int progress_fd)
{
    const RankWatch *watch = rank->watch;

    rank->state = RANK_RUNNING;
    rank->shim = shim;
    rank->progress_fd = progress_fd;
    rank->reader = progress_reader_new(rank->number, rank_report, rank);
    rank->progress_source =
        g_unix_fd_add(progress_fd, G_IO_IN | G_IO_HUP, rank_progress_ready, rank);
    watch->funcs->started(rank->number, pid, watch->user_data);
}

static void rank_end(WatchedRank *rank, int code, int signal)
{
    const RankWatch *watch = rank->watch;
    ssize_t total = 0, size;

    while (rank->progress_fd >= 0 && total < READ_LAST_MAX && (size = rank_read_progress(rank)) > 0)
        total += size;
    rank_close_progress(rank);
    rank->state = RANK_GONE;
    watch->funcs->exited(rank->number, code, signal, watch->user_data);
}

/* ---- connections ---- */

typedef struct {
    RankLinkMessage message;
    pid_t pid; /* of the sender */
    int fd;    /* -1: none came along */
} Packet;

/* One descriptor may come; the padding that `control` needs makes the kernel deliver a second one
 * where that was sent, and it is ours to close. */
static void packet_take_descriptors(Packet *packet, const struct cmsghdr *rights)
{
    size_t count = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);

    for (size_t i = 0; i < count; i++) {
        int fd;

        memcpy(&fd, CMSG_DATA(rights) + i * sizeof fd, sizeof fd);
        if (packet->fd < 0)
            packet->fd = fd;
        else
            close(fd);
    }
}

/* 1: got one, 0: none there, -1: no more from this connection, which an odd packet ends, too. */
static int packet_receive(int connection, Packet *packet)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
    } control;
    struct iovec part = {&packet->message, sizeof packet->message};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof control.bytes};
    ssize_t size = recvmsg(connection, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    packet->pid = 0;
    packet->fd = -1;
    if (size < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    /* an empty packet looks like the end, and may bring descriptors all the same */
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); c; c = CMSG_NXTHDR(&header, c)) {
        struct ucred sender;

        if (c->cmsg_level != SOL_SOCKET)
            continue;
        if (c->cmsg_type == SCM_RIGHTS) {
            packet_take_descriptors(packet, c);
        } else if (c->cmsg_type == SCM_CREDENTIALS) {
            memcpy(&sender, CMSG_DATA(c), sizeof sender);
            packet->pid = sender.pid;
        }
    }
    if (size == sizeof packet->message && !(header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
        return 1;
    if (packet->fd >= 0)
        close(packet->fd);
    return -1;
}

/* The pipe behind `sent`, opened anew: the sender shares the description it sent and could make
 * reads from it wait. -1: it is no pipe. */
static int progress_open(int sent)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", sent);
    struct stat facts;

    if (fstat(sent, &facts) != 0 || !S_ISFIFO(facts.st_mode))
        return -1;
    return open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

static void packet_apply(const RankConnection *connection, Packet *packet)
{
    RankWatch *watch = connection->watch;
    const RankLinkMessage *message = &packet->message;
    bool known = message->rank >= 0 && message->rank < watch->ranks_count;
    WatchedRank *rank = known ? &watch->ranks[message->rank] : NULL;
    int progress_fd = -1;

    if (rank && message->type == RANK_LINK_HELLO && rank->state == RANK_ABSENT && packet->fd >= 0 &&
        (progress_fd = progress_open(packet->fd)) >= 0)
        rank_start(rank, connection->peer, packet->pid, progress_fd);
    else if (rank && message->type == RANK_LINK_EXIT && rank->state == RANK_RUNNING &&
             rank->shim == connection->peer)
        rank_end(rank, message->code, message->signal);
    else if (rank && message->type == RANK_LINK_ENGINE_END && rank->shim == connection->peer)
        watch->funcs->engine_end(watch->user_data);
    if (packet->fd >= 0)
        close(packet->fd);
}

/* Everything that is there. False: the connection has ended, and with it its rank, which was killed
 * if it has not told its end. */
static bool connection_read(const RankConnection *connection)
{
    RankWatch *watch = connection->watch;
    Packet packet;
    int rc;

    while ((rc = packet_receive(connection->fd, &packet)) > 0)
        packet_apply(connection, &packet);
    for (int i = 0; rc < 0 && i < watch->ranks_count; i++)
        if (watch->ranks[i].state == RANK_RUNNING && watch->ranks[i].shim == connection->peer)
            rank_end(&watch->ranks[i], 0, SIGKILL);
    return rc == 0;
}

static void connection_free(void *pointer)
{
    RankConnection *connection = pointer;

    source_clear(&connection->source);
    close(connection->fd);
    g_free(connection);
}

static gboolean connection_ready(int fd, GIOCondition condition, void *user_data)
{
    RankConnection *connection = user_data;

    (void)fd;
    (void)condition;
    if (connection_read(connection))
        return G_SOURCE_CONTINUE;
    connection->source = 0;
    g_ptr_array_remove_fast(connection->watch->connections, connection);
    return G_SOURCE_REMOVE;
}

static gboolean watch_accept(int fd, GIOCondition condition, void *user_data)
{
    RankWatch *watch = user_data;
    int accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    struct ucred peer;
    socklen_t size = sizeof peer;
    RankConnection *connection;

    (void)condition;
    if (accepted < 0)
        return G_SOURCE_CONTINUE;
    if (getsockopt(accepted, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.uid != getuid() ||
        watch->connections->len > (guint)watch->ranks_count * 2) {
        close(accepted);
        return G_SOURCE_CONTINUE;
    }
    connection = g_new0(RankConnection, 1);
    connection->watch = watch;
    connection->fd = accepted;
    connection->peer = peer.pid;
    connection->source = g_unix_fd_add(accepted, G_IO_IN | G_IO_HUP, connection_ready, connection);
    g_ptr_array_add(watch->connections, connection);
    return G_SOURCE_CONTINUE;
}

/* ---- the watch ---- */

static int watch_listen(GError **error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = RANK_LINK_SOCKET};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int yes = 1;

    unlink(RANK_LINK_SOCKET);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes) == 0 &&
        bind(fd, (const struct sockaddr *)&address, sizeof address) == 0 &&
        listen(fd, SOMAXCONN) == 0)
        return fd;
    g_set_error(error, LAUNCHER_ERROR, LAUNCHER_ERROR_SYSTEM,
                "cannot listen for ranks in the attempt's folder: %s", g_strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

RankWatch *rank_watch_new(int ranks, const RankWatchFuncs *funcs, void *user_data, GError **error)
{
    int fd = watch_listen(error);
    RankWatch *watch;

    if (fd < 0)
        return NULL;
    watch = g_new0(RankWatch, 1);
    watch->funcs = funcs;
    watch->user_data = user_data;
    watch->listen_fd = fd;
    watch->listen_source = g_unix_fd_add(fd, G_IO_IN, watch_accept, watch);
    watch->connections = g_ptr_array_new_with_free_func(connection_free);
    watch->ranks = g_new0(WatchedRank, (gsize)ranks);
    watch->ranks_count = ranks;
    for (int i = 0; i < ranks; i++)
        watch->ranks[i] = (WatchedRank){.watch = watch, .number = i, .progress_fd = -1};
    return watch;
}

void rank_watch_request_end(const RankWatch *watch, int signal)
{
    g_autoptr(ProcTable) table = proc_table_new();

    for (int i = 0; i < watch->ranks_count; i++)
        if (watch->ranks[i].state == RANK_RUNNING)
            proc_request_end(table, watch->ranks[i].shim, signal);
}

void rank_watch_finish(RankWatch *watch)
{
    /* Connections nobody has accepted yet are among what is left. */
    for (guint before = G_MAXUINT; before != watch->connections->len;) {
        before = watch->connections->len;
        watch_accept(watch->listen_fd, G_IO_IN, watch);
    }
    for (guint i = 0; i < watch->connections->len; i++)
        connection_read(watch->connections->pdata[i]);
    for (int i = 0; i < watch->ranks_count; i++)
        if (watch->ranks[i].state == RANK_RUNNING)
            rank_end(&watch->ranks[i], 0, SIGKILL);
}

void rank_watch_free(RankWatch *watch)
{
    if (!watch)
        return;
    source_clear(&watch->listen_source);
    close(watch->listen_fd);
    unlink(RANK_LINK_SOCKET);
    g_ptr_array_unref(watch->connections);
    for (int i = 0; i < watch->ranks_count; i++)
        rank_close_progress(&watch->ranks[i]);
    g_free(watch->ranks);
    g_free(watch);
}
