/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers as people like to read them. Pure; every result is a new string.
 */
#ifndef CLI_FORMAT_H
#define CLI_FORMAT_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "0.4s", "42s", "3m05s", "2h05m", "3d04h": two units at most. Negative counts as 0. */
char *format_duration(int64_t ms);
/* The same with one unit: "42s", "3m", "2h", "3d". */
char *format_age(int64_t ms);
/* "950", "18.2k", "1.25M", "3.1G": at most four characters and a letter. */
char *format_count(double value);
/* "512 B", "1.5 KiB", "32.0 GiB". */
char *format_bytes(int64_t bytes);
/* Loss: four significant places, "nan" and "inf" included. */
char *format_loss(double value);
/* 0..100; full only when all is done. `total` <= 0: 0. */
int format_percent(int64_t done, int64_t total);
/* Time left at the mean speed of `done` steps in `elapsed_ms`; -1: cannot be told. */
int64_t format_eta_ms(int64_t elapsed_ms, int64_t done, int64_t left);

/* `width` cells of bar. ASCII where not `unicode`. */
char *format_bar(int64_t done, int64_t total, int width, bool unicode);
/* At most `width` cells; longer series are averaged down, shorter ones stay short. Scaled from the
 * least to the largest finite value; a gap is a space, +inf the top. "" where there is nothing. */
char *format_sparkline(const double *values, size_t count, int width, bool unicode);

#endif
