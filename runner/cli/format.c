/* SPDX-License-Identifier: Apache-2.0 */
#include "runner/cli/format.h"

#include <math.h>
#include <stdio.h>

#define SECOND_MS 1000
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (INT64_C(24) * HOUR_MS)

char *format_duration(int64_t ms)
{
    ms = MAX(ms, 0);
    if (ms < 10 * SECOND_MS)
        return g_strdup_printf("%" G_GINT64_FORMAT ".%" G_GINT64_FORMAT "s", ms / SECOND_MS,
                               ms % SECOND_MS / 100);
    if (ms < MINUTE_MS)
        return g_strdup_printf("%" G_GINT64_FORMAT "s", ms / SECOND_MS);
    if (ms < HOUR_MS)
        return g_strdup_printf("%" G_GINT64_FORMAT "m%02" G_GINT64_FORMAT "s", ms / MINUTE_MS,
                               ms % MINUTE_MS / SECOND_MS);
    if (ms < DAY_MS)
        return g_strdup_printf("%" G_GINT64_FORMAT "h%02" G_GINT64_FORMAT "m", ms / HOUR_MS,
                               ms % HOUR_MS / MINUTE_MS);
    return g_strdup_printf("%" G_GINT64_FORMAT "d%02" G_GINT64_FORMAT "h", ms / DAY_MS,
                           ms % DAY_MS / HOUR_MS);
}

char *format_age(int64_t ms)
{
    ms = MAX(ms, 0);
    if (ms < MINUTE_MS)
        return g_strdup_printf("%" G_GINT64_FORMAT "s", ms / SECOND_MS);
    if (ms < HOUR_MS)
        return g_strdup_printf("%" G_GINT64_FORMAT "m", ms / MINUTE_MS);
    if (ms < DAY_MS)
        return g_strdup_printf("%" G_GINT64_FORMAT "h", ms / HOUR_MS);
    return g_strdup_printf("%" G_GINT64_FORMAT "d", ms / DAY_MS);
}

char *format_count(double value)
{
    static const char *const letters[] = {"", "k", "M", "G", "T", "P"};
    size_t i = 0;

    if (!isfinite(value) || value < 0)
        return g_strdup("?");
    /* 999.5 would be printed as 1000 */
    while (value >= 999.5 && i + 1 < G_N_ELEMENTS(letters)) {
        value /= 1000;
        i++;
    }
    if (i == 0)
        return g_strdup_printf(value < 9.95 ? "%.1f" : "%.0f", value);
    return g_strdup_printf(value < 9.995   ? "%.2f%s"
                           : value < 99.95 ? "%.1f%s"
                                           : "%.0f%s",
                           value, letters[i]);
}

char *format_bytes(int64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)MAX(bytes, 0) / 1024;
    size_t i = 0;

    if (bytes < 1024)
        return g_strdup_printf("%" G_GINT64_FORMAT " B", MAX(bytes, 0));
    while (value >= 1023.95 && i + 1 < G_N_ELEMENTS(units)) {
        value /= 1024;
        i++;
    }
    return g_strdup_printf("%.1f %s", value, units[i]);
}

char *format_loss(double value)
{
    if (isnan(value))
        return g_strdup("nan");
    if (isinf(value))
        return g_strdup(value > 0 ? "inf" : "-inf");
    if (fabs(value) >= 1e5 || (value != 0 && fabs(value) < 1e-3))
        return g_strdup_printf("%.3e", value);
    return g_strdup_printf(fabs(value) >= 100 ? "%.1f" : "%.4f", value);
}

int format_percent(int64_t done, int64_t total)
{
    if (total <= 0 || done <= 0)
        return 0;
    if (done >= total)
        return 100;
    return (int)((__int128)done * 100 / total);
}

int64_t format_eta_ms(int64_t elapsed_ms, int64_t done, int64_t left)
{
    __int128 eta;

    if (elapsed_ms <= 0 || done <= 0 || left < 0)
        return -1;
    eta = (__int128)elapsed_ms * left / done;
    return eta > INT64_MAX ? -1 : (int64_t)eta;
}

char *format_bar(int64_t done, int64_t total, int width, bool unicode)
{
    static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    GString *bar = g_string_new(NULL);
    int cells = MAX(width, 0) * 8, full = 0;

    if (total > 0 && done > 0)
        full = done >= total ? cells : (int)((__int128)cells * done / total);
    for (int i = 0; i < MAX(width, 0); i++) {
        int here = CLAMP(full - i * 8, 0, 8);

        if (!unicode)
            g_string_append_c(bar, here == 8 ? '#' : '-');
        else
            g_string_append(bar, here == 8 ? "█" : here ? eighths[here] : "░");
    }
    return g_string_free(bar, FALSE);
}

/* Mean of the finite values of a stretch; NAN for a gap, INFINITY where one is not finite but
 * large. */
static double stretch_get(const double *values, size_t first, size_t end)
{
    double sum = 0;
    size_t finite = 0;
    bool infinite = false;

    for (size_t i = first; i < end; i++) {
        if (isfinite(values[i])) {
            sum += values[i];
            finite++;
        } else if (isinf(values[i]) && values[i] > 0) {
            infinite = true;
        }
    }
    if (finite)
        return sum / (double)finite;
    return infinite ? INFINITY : NAN;
}

char *format_sparkline(const double *values, size_t count, int width, bool unicode)
{
    static const char *const blocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    static const char *const ascii[] = {"_", ".", ",", "-", "=", "+", "*", "#"};
    size_t cells = MIN(count, (size_t)MAX(width, 0));
    g_autofree double *means = g_new(double, cells + 1);
    double least = INFINITY, most = -INFINITY;
    GString *line = g_string_new(NULL);

    for (size_t i = 0; i < cells; i++) {
        means[i] = stretch_get(values, count * i / cells, count * (i + 1) / cells);
        if (isfinite(means[i])) {
            least = fmin(least, means[i]);
            most = fmax(most, means[i]);
        }
    }
    for (size_t i = 0; i < cells; i++) {
        double range =
            most / 2 - least / 2; /* halves: the difference of two finite ones may not be */
        int level = 0;

        if (isnan(means[i])) {
            g_string_append_c(line, ' ');
            continue;
        }
        if (isinf(means[i]))
            level = 7;
        else if (range > 0)
            level = (int)lround((means[i] / 2 - least / 2) / range * 7);
        g_string_append(line, unicode ? blocks[level] : ascii[level]);
    }
    return g_string_free(line, FALSE);
}
