/* SPDX-License-Identifier: Apache-2.0
 *
 * Where `drover run` writes: the job's output (standard output) scrolls above a few live lines at
 * the bottom of the terminal (standard error). Without a terminal there are no live lines.
 */
#ifndef CLI_SCREEN_H
#define CLI_SCREEN_H

#include "runner/cli/cli.h"

typedef struct Screen Screen;

/* One at a time. Live: hides the cursor with the first frame, and shows it again in every end but
 * SIGKILL: screen_free(), Ctrl-Z, a crash. */
Screen *screen_new(const Cli *cli);
void screen_free(Screen *screen);

/* Asked of the terminal each time, so a resize needs no signal. */
void screen_get_size(const Screen *screen, int *columns, int *rows);
/* Both outputs are one terminal: skipping old output is a favour there, and a loss in a file. */
bool screen_is_shared(const Screen *screen);
/* False while a reader does not keep up: then add no lines, nothing is lost in the
 * logs they come from. */
bool screen_is_ready(const Screen *screen);
/* A line of output under `label`. `text` is clean. */
void screen_add(Screen *screen, const char *label, int label_colour, const char *text);
/* A line of output as it is. */
void screen_add_raw(Screen *screen, const char *text);
/* A line of drover's own, to standard error. */
void screen_say(Screen *screen, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* Writes what was added and draws `lines` (char *, UTF-8, no wider than the terminal, may hold SGR
 * sequences; NULL: none). Does not wait for a reader that is not ready. */
void screen_show(Screen *screen, const GPtrArray *lines);
/* Writes what was added, however long the reader takes. */
void screen_drain(Screen *screen);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Screen, screen_free)

#endif
