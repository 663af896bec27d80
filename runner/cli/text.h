/* SPDX-License-Identifier: Apache-2.0
 *
 * Foreign text made fit for a terminal.
 */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

/* Appends one line (without its newline) so that it can do nothing to a terminal but show
 * characters: escape sequences and control characters are dropped, tabs stay, what a carriage
 * return would have overwritten is left out, bytes that are no UTF-8 become U+FFFD. An ASCII
 * terminal (`unicode` false) gets '?' for what it cannot show. */
void text_append_clean(GString *out, const char *data, size_t length, bool unicode);
/* Cells that UTF-8 text takes on a terminal. */
int text_get_width(const char *text);
/* At most `width` cells of it, the last one an ellipsis where something is cut. */
char *text_cut(const char *text, int width, bool unicode);

#endif
