/* SPDX-License-Identifier: Apache-2.0
 *
 * Any line that a job writes: what is shown of it is UTF-8 that only shows characters, the same
 * when cleaned once more, and cut it fits.
 */
#include "runner/cli/text.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_cut(const char *text)
{
    for (int width = 0; width < 12; width++) {
        g_autofree char *cut = text_cut(text, width, true);

        g_assert_true(g_utf8_validate(cut, -1, NULL));
        g_assert_cmpint(text_get_width(cut), <=, width);
    }
}

static void check_line(const char *data, size_t size, bool unicode)
{
    g_autoptr(GString) once = g_string_new(NULL), twice = g_string_new(NULL);

    text_append_clean(once, data, size, unicode);
    g_assert_true(g_utf8_validate(once->str, (gssize)once->len, NULL));
    g_assert_true(unicode || g_str_is_ascii(once->str));
    for (size_t i = 0; i < once->len; i++) {
        unsigned char c = (unsigned char)once->str[i];

        g_assert_true(c == '\t' || (c >= 0x20 && c != 0x7f));
        /* C1 controls: U+0080 to U+009F */
        g_assert_false(c == 0xc2 && (unsigned char)once->str[i + 1] < 0xa0);
    }
    text_append_clean(twice, once->str, once->len, unicode);
    g_assert_cmpstr(once->str, ==, twice->str);
    check_cut(once->str);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_line((const char *)data, size, true);
    check_line((const char *)data, size, false);
    return 0;
}
