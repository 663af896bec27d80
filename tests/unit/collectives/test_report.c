/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines as the launcher reads them, and all the ways in which there is no launcher.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collectives/coll.h"

static void announce(int fd)
{
    g_autofree char *text = g_strdup_printf("%d", fd);

    g_setenv("DROVER_PROGRESS_FD", text, TRUE);
}

static void open_pipe(int fds[2])
{
    g_assert_cmpint(pipe(fds), ==, 0);
    g_assert_cmpint(fcntl(fds[0], F_SETFL, O_NONBLOCK), ==, 0);
    announce(fds[1]);
}

static void close_pipe(int fds[2])
{
    close(fds[0]);
    close(fds[1]);
    g_unsetenv("DROVER_PROGRESS_FD");
}

/* All that is in the pipe, at most `size` - 1 bytes. */
static char *read_all(int fd)
{
    GString *all = g_string_new(NULL);
    char buffer[4096];
    ssize_t n;

    while ((n = read(fd, buffer, sizeof buffer)) > 0)
        g_string_append_len(all, buffer, n);
    return g_string_free(all, FALSE);
}

static void expect_text(int fd, const char *wanted)
{
    g_autofree char *text = read_all(fd);

    g_assert_cmpstr(text, ==, wanted);
}

static void test_lines(void)
{
    coll_progress progress = {.step = 3,
                              .steps = 100,
                              .loss = 4.125,
                              .val_loss = 4.5,
                              .tokens_per_s = 1800.5,
                              .share = 0.5};
    int fds[2];

    open_pipe(fds);
    coll_report_progress(&progress);
    expect_text(fds[0], "{\"event\":\"progress\",\"step\":3,\"steps\":100,\"loss\":4.125,"
                        "\"val_loss\":4.5,\"tokens_per_s\":1800.5,\"share\":0.5}\n");
    progress = (coll_progress){
        .step = -1, .steps = 0, .loss = NAN, .val_loss = INFINITY, .tokens_per_s = 0, .share = NAN};
    coll_report_progress(&progress);
    expect_text(fds[0], "{\"event\":\"progress\",\"step\":-1}\n");
    coll_report_progress(NULL);
    coll_report_checkpoint(20, "/job/checkpoints/step-20");
    expect_text(fds[0],
                "{\"event\":\"checkpoint\",\"step\":20,\"path\":\"/job/checkpoints/step-20\"}\n");
    coll_report_note("resumed from step 20");
    expect_text(fds[0], "{\"event\":\"note\",\"text\":\"resumed from step 20\"}\n");
    close_pipe(fds);
}

static void test_escapes(void)
{
    const char *const broken[] = {"\xFF", "\xC0\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80",
                                  "\xE2\x82"};
    int fds[2];

    open_pipe(fds);
    coll_report_note("a\"b\\c\nd\x01\x7F é € 😀");
    expect_text(fds[0], "{\"event\":\"note\",\"text\":"
                        "\"a\\\"b\\\\c\\u000ad\\u0001\\u007f é € 😀\"}\n");
    for (size_t i = 0; i < G_N_ELEMENTS(broken); i++) {
        g_autofree char *text = NULL;

        coll_report_note(broken[i]);
        text = read_all(fds[0]);
        g_assert_true(g_str_has_prefix(text, "{\"event\":\"note\",\"text\":\"\\ufffd"));
        g_assert_true(g_utf8_validate(text, -1, NULL));
    }
    close_pipe(fds);
}

static void test_locale(void)
{
    const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "ru_RU.UTF-8"};
    const coll_progress progress = {.step = 1, .loss = 0.5, .val_loss = NAN, .share = NAN};
    const char *found = NULL;
    char text[8];
    int fds[2];

    for (size_t i = 0; i < G_N_ELEMENTS(names) && !found; i++)
        found = setlocale(LC_ALL, names[i]);
    if (!found) {
        g_test_skip("no locale with a decimal comma is installed here");
        return;
    }
    open_pipe(fds);
    coll_report_progress(&progress);
    expect_text(fds[0], "{\"event\":\"progress\",\"step\":1,\"loss\":0.5}\n");
    g_snprintf(text, sizeof text, "%.1f", 0.5);
    g_assert_cmpstr(text, ==, "0,5"); /* the program's own locale is as it was */
    close_pipe(fds);
    setlocale(LC_ALL, "C");
}

/* Notes are cut, at a character, to what one write puts into a pipe whole; a cut path would be a
 * lie. */
static void test_long(void)
{
    g_autoptr(GString) words = g_string_new(NULL);
    g_autofree char *text = NULL;
    int fds[2];

    while (words->len < 2 * PIPE_BUF)
        g_string_append(words, "€");
    open_pipe(fds);
    coll_report_note(words->str);
    text = read_all(fds[0]);
    g_assert_cmpuint(strlen(text), <=, PIPE_BUF);
    g_assert_cmpuint(strlen(text), >, PIPE_BUF - 20);
    g_assert_true(g_str_has_suffix(text, "€\"}\n"));
    g_assert_true(g_utf8_validate(text, -1, NULL));
    coll_report_checkpoint(1, words->str);
    expect_text(fds[0], "");
    close_pipe(fds);
}

static void test_full_pipe_loses_lines(void)
{
    g_auto(GStrv) lines = NULL;
    g_autofree char *text = NULL;
    size_t lines_size;
    int fds[2];

    open_pipe(fds);
    errno = 0;
    for (int i = 0; i < 10000;
         i++) /* 64 KiB hold fewer; a blocking write would end the test here */
        coll_report_note("0123456789012345678901234567890123456789");
    g_assert_cmpint(errno, ==, 0);
    text = read_all(fds[0]);
    lines = g_strsplit(text, "\n", -1);
    lines_size = g_strv_length(lines);
    g_assert_cmpuint(lines_size, >, 100);
    g_assert_cmpuint(lines_size, <, 10000);
    for (size_t i = 0; i + 1 < lines_size; i++)
        g_assert_true(g_str_has_suffix(lines[i], "\"}"));
    close_pipe(fds);
}

/* The launcher is gone: no SIGPIPE, whose default ends the process, and none left pending. */
static void test_reader_gone(void)
{
    sigset_t pending;
    int fds[2];

    open_pipe(fds);
    close(fds[0]);
    coll_report_note("anybody there?");
    g_assert_cmpint(sigpending(&pending), ==, 0);
    g_assert_false(sigismember(&pending, SIGPIPE));
    close(fds[1]);
    coll_report_note("anybody there?");
    g_unsetenv("DROVER_PROGRESS_FD");
    coll_report_note("anybody there?");
}

static void test_socket(void)
{
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
    announce(fds[1]);
    coll_report_note("x");
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    expect_text(fds[0], "{\"event\":\"note\",\"text\":\"x\"}\n");
    close(fds[0]);
    coll_report_note("x");
    close(fds[1]);
    g_unsetenv("DROVER_PROGRESS_FD");
}

/* The number may be left over from a program that closed the descriptor, and be a file by now. */
static void test_leaves_files_alone(void)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("drover-XXXXXX", &path, NULL);
    struct stat status;

    announce(fd);
    coll_report_note("x");
    g_assert_cmpint(fstat(fd, &status), ==, 0);
    g_assert_cmpint(status.st_size, ==, 0);
    g_assert_cmpint(fcntl(fd, F_GETFL) & O_NONBLOCK, ==, 0);
    close(fd);
    unlink(path);
    g_unsetenv("DROVER_PROGRESS_FD");
}

static void check_variable(int read_fd, const char *format, unsigned long long a, bool written)
{
    g_autofree char *text = g_strdup_printf("%d%s", (int)a, format);
    g_autofree char *line = NULL;

    g_setenv("DROVER_PROGRESS_FD", text, TRUE);
    coll_report_note("x");
    line = read_all(read_fd);
    g_assert_cmpint(*line != '\0', ==, written);
}

/* With the inode, a pipe of the program's own is told from the launcher's. */
static void test_variable(void)
{
    struct stat status;
    int fds[2];
    g_autofree char *same = NULL, *other = NULL;

    open_pipe(fds);
    g_assert_cmpint(fstat(fds[1], &status), ==, 0);
    same = g_strdup_printf(":%llu", (unsigned long long)status.st_ino);
    other = g_strdup_printf(":%llu", (unsigned long long)status.st_ino + 1);
    check_variable(fds[0], same, (unsigned)fds[1], true);
    check_variable(fds[0], other, (unsigned)fds[1], false);
    check_variable(fds[0], ":", (unsigned)fds[1], false);
    check_variable(fds[0], "x", (unsigned)fds[1], false);
    check_variable(fds[0], "", (unsigned)fds[0], false); /* the reading end */
    check_variable(fds[0], "", 1000000, false);
    for (size_t i = 0; i < 4; i++) {
        const char *const bad[] = {"", "-1", "99999999999999999999", " 1"};

        g_setenv("DROVER_PROGRESS_FD", bad[i], TRUE);
        coll_report_note("x");
        expect_text(fds[0], "");
    }
    close_pipe(fds);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/report/lines", test_lines);
    g_test_add_func("/report/escapes", test_escapes);
    g_test_add_func("/report/locale", test_locale);
    g_test_add_func("/report/long", test_long);
    g_test_add_func("/report/full_pipe_loses_lines", test_full_pipe_loses_lines);
    g_test_add_func("/report/reader_gone", test_reader_gone);
    g_test_add_func("/report/socket", test_socket);
    g_test_add_func("/report/leaves_files_alone", test_leaves_files_alone);
    g_test_add_func("/report/variable", test_variable);
    return g_test_run();
}
