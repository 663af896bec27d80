/* SPDX-License-Identifier: Apache-2.0 */
#include "runner/cli/text.h"

#include <string.h>

static void clean(const char *data, size_t length, bool unicode, const char *expected)
{
    g_autoptr(GString) out = g_string_new(NULL);

    text_append_clean(out, data, length, unicode);
    g_assert_cmpstr(out->str, ==, expected);
    g_assert_cmpuint(out->len, ==, strlen(expected)); /* no NUL inside */
}

#define CLEAN(data, expected) clean(data, sizeof(data) - 1, true, expected)

static void test_plain_text_stays(void)
{
    CLEAN("", "");
    CLEAN("step 1\tloss 4.1", "step 1\tloss 4.1");
    CLEAN("naïve 漢字 🙂", "naïve 漢字 🙂");
}

static void test_escape_sequences_go(void)
{
    CLEAN("\x1b[31mred\x1b[0m", "red");
    CLEAN("\x1b[2J\x1b[1;1Hgone", "gone");
    CLEAN("\x1b]0;title\x07text", "text");
    CLEAN("\x1b]52;c;aGVsbG8=\x1b\\text", "text");
    CLEAN("\x1bP1;2|payload\x1b\\text", "text");
    CLEAN("\x1b_command\x1b\\text", "text");
    CLEAN("\x1b(0lqqk\x1b(B", "lqqk");
    CLEAN("\x1b"
          "c"
          "reset",
          "reset");
    CLEAN("a\xc2\x9b"
          "31mb",
          "a31mb"); /* C1 CSI in UTF-8: the introducer is gone */
    CLEAN("a\x9b"
          "31mb",
          "a\xef\xbf\xbd"
          "31mb");
}

static void test_unfinished_sequences_end_with_the_line(void)
{
    CLEAN("a\x1b", "a");
    CLEAN("a\x1b[", "a");
    CLEAN("a\x1b[31", "a");
    CLEAN("a\x1b]0;title", "a");
    CLEAN("a\x1b]0;title\x1b", "a");
    CLEAN("a\x1b(", "a");
    CLEAN("a\xe6\xbc", "a\xef\xbf\xbd\xef\xbf\xbd");
}

static void test_controls_go(void)
{
    CLEAN("a\0b\x07\x08\x0b\x0c\x0e\x7f"
          "c",
          "abc");
    CLEAN("safe\xe2\x80\xaetxt.exe", "safetxt.exe"); /* right-to-left override */
    CLEAN("a\xe2\x81\xa6"
          "b\xe2\x80\xa8"
          "c",
          "abc");
}

static void test_bad_utf8_shows(void)
{
    CLEAN("\xff\xfe", "\xef\xbf\xbd\xef\xbf\xbd");
    CLEAN("\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd");                 /* overlong */
    CLEAN("\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"); /* surrogate */
    clean("n\xc3\xa4h \xff", 6, false, "n?h ?");
}

static void test_carriage_returns_overwrite(void)
{
    CLEAN("dos\r", "dos");
    CLEAN("10%\r20%\r30%", "30%");
    CLEAN("10%\r20%\r", "20%");
    CLEAN("\r", "");
}

static void cut(const char *text, int width, bool unicode, const char *expected)
{
    g_autofree char *got = text_cut(text, width, unicode);

    g_assert_cmpstr(got, ==, expected);
    g_assert_cmpint(text_get_width(got), <=, MAX(width, 0));
}

static void test_width_and_cut(void)
{
    g_assert_cmpint(text_get_width("abc"), ==, 3);
    g_assert_cmpint(text_get_width("漢字"), ==, 4);
    g_assert_cmpint(text_get_width("e\xcc\x81"), ==, 1); /* combining */
    cut("abc", 3, true, "abc");
    cut("abcd", 3, true, "ab…");
    cut("abcd", 3, false, "ab~");
    cut("漢字", 3, true, "漢…");
    cut("漢字", 2, true, "…");
    cut("abc", 0, true, "");
    cut("abc", -1, true, "");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cli/text/plain", test_plain_text_stays);
    g_test_add_func("/cli/text/escape", test_escape_sequences_go);
    g_test_add_func("/cli/text/unfinished", test_unfinished_sequences_end_with_the_line);
    g_test_add_func("/cli/text/controls", test_controls_go);
    g_test_add_func("/cli/text/utf8", test_bad_utf8_shows);
    g_test_add_func("/cli/text/return", test_carriage_returns_overwrite);
    g_test_add_func("/cli/text/width", test_width_and_cut);
    return g_test_run();
}
