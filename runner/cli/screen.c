/* SPDX-License-Identifier: Apache-2.0
 *
 * The live lines ("frame") are drawn below the cursor and the cursor goes back to their first cell.
 * So erasing them is always "from here to the end of the screen", whatever a resize has made of
 * them in between, and a signal handler can do it without knowing anything. One frame with the
 * output above it is one write: no flicker.
 *
 * Output waits in `out` while its reader is slow, and what a terminal did not take of the last
 * write in `write`; it is bounded because screen_is_ready() then tells the caller to leave the rest
 * in the log files. A write never blocks: a pipe takes PIPE_BYTES when it polls writable, and a
 * terminal, which may take less, is written through a descriptor of our own that is non-blocking.
 * (On the one we got, O_NONBLOCK would be the shell's too.)
 */
#include "runner/cli/screen.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define PENDING_BYTES 65536
#define PIPE_BYTES    4096 /* what a pipe that polls writable takes without blocking */
#define CRAMPED_MS    10   /* a terminal may poll writable without room for a whole line end */

#define ERASE       "\r\x1b[J"
#define CURSOR_HIDE "\x1b[?25l"
#define CURSOR_SHOW "\x1b[?25h"

static const int crash_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

struct Screen {
    bool live;
    bool colour;
    bool shared; /* output and frame are on one terminal */
    int out_fd, frame_fd;
    bool out_dead, frame_dead; /* nobody reads it any more */
    GString *out;              /* output not yet written */
    GString *above;            /* drover's own lines, to go above the frame */
    GString *frame;            /* as last drawn */
    GString *write;            /* on its way to a live terminal */
};

static void terminal_restore(void)
{
    static const char text[] = ERASE CURSOR_SHOW;
    ssize_t ignored = write(STDERR_FILENO, text, sizeof text - 1);

    (void)ignored;
}

/* Ctrl-Z: a clean line for the shell. The next frame is drawn where the cursor then is. */
static void stop_handle(int signal_number G_GNUC_UNUSED)
{
    int saved = errno;

    terminal_restore();
    raise(SIGSTOP);
    errno = saved;
}

static void crash_handle(int signal_number)
{
    terminal_restore();
    raise(signal_number); /* SA_RESETHAND: ends the process as it would have */
}

static void handlers_set(bool on)
{
    struct sigaction action = {.sa_handler = on ? stop_handle : SIG_DFL, .sa_flags = SA_RESTART};
    struct sigaction old;

    sigaction(SIGTSTP, NULL, &old);
    if (old.sa_handler != SIG_IGN)
        sigaction(SIGTSTP, &action, NULL);
    action.sa_flags = (int)(SA_RESETHAND | SA_NODEFER);
    for (size_t i = 0; i < G_N_ELEMENTS(crash_signals); i++) {
        sigaction(crash_signals[i], NULL, &old);
        action.sa_handler = on ? crash_handle : SIG_DFL;
        if (old.sa_handler == (on ? SIG_DFL : crash_handle)) /* leaves a sanitizer's alone */
            sigaction(crash_signals[i], &action, NULL);
    }
}

static bool is_same_terminal(void)
{
    struct stat out, err;

    return isatty(STDOUT_FILENO) && isatty(STDERR_FILENO) && fstat(STDOUT_FILENO, &out) == 0 &&
           fstat(STDERR_FILENO, &err) == 0 && out.st_rdev == err.st_rdev;
}

/* `fd` itself, or the same terminal once more, to be closed by terminal_close(). */
static int terminal_open(int fd)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    int own = isatty(fd) ? open(path, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC) : -1;

    return own >= 0 ? own : fd;
}

static void terminal_close(int own, int fd)
{
    if (own != fd)
        close(own);
}

Screen *screen_new(const Cli *cli)
{
    Screen *screen = g_new0(Screen, 1);

    screen->live = cli->tty;
    screen->colour = cli->colour;
    screen->shared = is_same_terminal();
    screen->out_fd = terminal_open(STDOUT_FILENO);
    screen->frame_fd = terminal_open(STDERR_FILENO);
    screen->out = g_string_new(NULL);
    screen->above = g_string_new(NULL);
    screen->frame = g_string_new(NULL);
    screen->write = g_string_new(NULL);
    if (screen->live)
        handlers_set(true);
    return screen;
}

void screen_free(Screen *screen)
{
    if (!screen)
        return;
    screen_drain(screen);
    if (screen->live) {
        if (!screen->frame_dead)
            terminal_restore();
        handlers_set(false);
    }
    terminal_close(screen->out_fd, STDOUT_FILENO);
    terminal_close(screen->frame_fd, STDERR_FILENO);
    g_string_free(screen->out, TRUE);
    g_string_free(screen->above, TRUE);
    g_string_free(screen->frame, TRUE);
    g_string_free(screen->write, TRUE);
    g_free(screen);
}

void screen_get_size(const Screen *screen, int *columns, int *rows)
{
    struct winsize size = {0};
    bool known = screen->live && ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0;

    *columns = known && size.ws_col ? size.ws_col : 80;
    *rows = known && size.ws_row ? size.ws_row : 24;
}

bool screen_is_shared(const Screen *screen)
{
    return screen->live && screen->shared;
}

bool screen_is_ready(const Screen *screen)
{
    return screen->out->len + screen->above->len < PENDING_BYTES;
}

void screen_add(Screen *screen, const char *label, int label_colour, const char *text)
{
    if (screen->out_dead)
        return;
    if (screen->colour && screen->shared)
        g_string_append_printf(screen->out, "\x1b[%dm[%s]\x1b[0m ", label_colour, label);
    else
        g_string_append_printf(screen->out, "[%s] ", label);
    g_string_append(screen->out, text);
    g_string_append(screen->out, "\n");
}

void screen_add_raw(Screen *screen, const char *text)
{
    if (!screen->out_dead)
        g_string_append_printf(screen->out, "%s\n", text);
}

void screen_say(Screen *screen, const char *format, ...)
{
    GString *to = screen_is_shared(screen) ? screen->out : screen->above;
    va_list list;

    va_start(list, format);
    g_string_append_vprintf(to, format, list);
    va_end(list);
    g_string_append_c(to, '\n');
}

static bool fd_is_writable(int fd, bool wait)
{
    struct pollfd out = {.fd = fd, .events = POLLOUT};

    return poll(&out, 1, wait ? -1 : 0) > 0 || wait;
}

/* One write: how many bytes `fd` took; 0: none now, -1: the other end is gone. */
static ssize_t fd_write(int fd, const char *data, size_t length)
{
    bool ours = fd > STDERR_FILENO; /* and so non-blocking */
    ssize_t written = write(fd, data, ours ? length : MIN(length, PIPE_BYTES));

    if (written < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    return written;
}

/* As much of `text` as the reader of `fd` takes now, or with `wait` all of it; the rest stays. */
static void text_pump(int fd, GString *text, bool *dead, bool wait)
{
    size_t done = 0;

    while (!*dead && done < text->len && fd_is_writable(fd, wait)) {
        ssize_t written = fd_write(fd, text->str + done, text->len - done);

        *dead = written < 0;
        done += (size_t)MAX(written, 0);
        if (written == 0 && !wait)
            break;
        if (written == 0)
            poll(NULL, 0, CRAMPED_MS);
    }
    g_string_erase(text, 0, *dead ? -1 : (gssize)done);
}

/* Newlines alone do not return the carriage where a program has made the terminal raw. */
static void lines_append(GString *to, const GString *lines)
{
    const char *at = lines->str, *end = lines->str + lines->len;

    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline ? newline : end;

        g_string_append_len(to, at, stop - at);
        g_string_append(to, "\r\n");
        at = stop + 1;
    }
}

static void frame_append(GString *to, const GPtrArray *lines)
{
    for (guint i = 0; i < lines->len; i++)
        g_string_append_printf(to, "%s%s\x1b[K", i ? "\r\n" : "",
                               (const char *)g_ptr_array_index(lines, i));
    g_string_append(to, "\x1b[J\r");
    if (lines->len > 1)
        g_string_append_printf(to, "\x1b[%uA", lines->len - 1);
}

static void frame_compose(Screen *screen, const GPtrArray *lines)
{
    bool above = screen->above->len || (screen->shared && screen->out->len);

    if (lines)
        frame_append(screen->write, lines);
    if (!above && g_string_equal(screen->write, screen->frame)) {
        g_string_truncate(screen->write, 0);
        return;
    }
    g_string_assign(screen->frame, screen->write->str);
    g_string_assign(screen->write, above || !lines ? CURSOR_HIDE ERASE : CURSOR_HIDE "\r");
    lines_append(screen->write, screen->above);
    if (screen->shared) {
        lines_append(screen->write, screen->out);
        g_string_truncate(screen->out, 0);
    }
    g_string_truncate(screen->above, 0);
    g_string_append_len(screen->write, screen->frame->str, (gssize)screen->frame->len);
}

/* A new frame only when the last one is on the terminal as a whole. */
static void frame_show(Screen *screen, const GPtrArray *lines, bool wait)
{
    text_pump(screen->frame_fd, screen->write, &screen->frame_dead, wait);
    if (screen->frame_dead || screen->write->len)
        return;
    frame_compose(screen, lines);
    text_pump(screen->frame_fd, screen->write, &screen->frame_dead, wait);
}

static void all_show(Screen *screen, const GPtrArray *lines, bool wait)
{
    if (!screen_is_shared(screen))
        text_pump(screen->out_fd, screen->out, &screen->out_dead, wait);
    if (screen->live)
        frame_show(screen, lines, wait);
    else
        text_pump(screen->frame_fd, screen->above, &screen->frame_dead, wait);
}

void screen_show(Screen *screen, const GPtrArray *lines)
{
    all_show(screen, lines, false);
}

void screen_drain(Screen *screen)
{
    all_show(screen, NULL, true);
}
