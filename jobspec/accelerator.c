/* SPDX-License-Identifier: Apache-2.0
 *
 * A name may itself hold dashes ("A100-SXM4"), so what follows the last dash is memory exactly when
 * it begins with a digit and is a size. Digits that are no size are refused and not taken as part
 * of the name: "RTX-4090" would else never match a device.
 */
#include "jobspec/accelerator.h"
#include "jobspec/record.h"
#include "jobspec/scalar.h"

#include <string.h>

#define COUNT_MAX      1024
#define NAME_MAX_BYTES 63

static bool is_name(const char *text)
{
    size_t size = strlen(text);

    if (size == 0 || size > NAME_MAX_BYTES || !g_ascii_isalnum(*text) || text[size - 1] == '-')
        return false;
    for (; *text; text++)
        if (!g_ascii_isalnum(*text) && !strchr("._-", *text))
            return false;
    return true;
}

static char *size_explain(ScalarResult result, const char *name, const char *text)
{
    g_autofree char *reason = scalar_explain(result, text, SCALAR_SIZE);

    if (result == SCALAR_NO_UNIT)
        return g_strdup_printf("has a memory size without unit: '%s' (is it part of the name, "
                               "'%s%s'?)",
                               text, name, text);
    return g_strdup_printf("has a memory size '%s' that %s", text, reason);
}

/* Takes "-MEM" off the end of `name`. */
static bool memory_take(char *name, int64_t *memory_bytes, char **reason)
{
    char *dash = strrchr(name, '-');
    ScalarResult result;

    if (!dash || !g_ascii_isdigit(dash[1]))
        return true;
    *dash = '\0';
    result = scalar_parse_quantity(dash + 1, SCALAR_SIZE, memory_bytes);
    if (result == SCALAR_OK && *memory_bytes > 0)
        return true;
    *reason =
        result == SCALAR_OK ? g_strdup("asks for no memory") : size_explain(result, name, dash + 1);
    return false;
}

JobSpecAccelerator *accelerator_parse(const char *text, char **reason)
{
    g_autofree char *name = g_strdup(text);
    char *colon = strrchr(name, ':');
    int64_t count = 1, memory_bytes = 0;
    JobSpecAccelerator *accelerator;

    *reason = NULL;
    if (colon) {
        *colon = '\0';
        if (scalar_parse_quantity(colon + 1, SCALAR_COUNT, &count) != SCALAR_OK || count < 1 ||
            count > COUNT_MAX) {
            *reason = g_strdup_printf("has no count of 1 to %d behind its ':'", COUNT_MAX);
            return NULL;
        }
    }
    if (!memory_take(name, &memory_bytes, reason))
        return NULL;
    if (!is_name(name)) {
        *reason = g_strdup("is not an accelerator, NAME[-MEM][:COUNT] (try 'RTX4090:2')");
        return NULL;
    }
    if (g_ascii_strcasecmp(name, "cpu") == 0 && (count > 1 || memory_bytes > 0)) {
        *reason = g_strdup(count > 1 ? "asks for several: the CPU of a node is one device"
                                     : "asks for memory of a CPU: that is resources.memory");
        return NULL;
    }
    accelerator = g_new0(JobSpecAccelerator, 1);
    accelerator->model =
        g_ascii_strcasecmp(name, "cpu") == 0 ? g_strdup("cpu") : g_steal_pointer(&name);
    accelerator->memory_bytes = memory_bytes;
    accelerator->count = count;
    return accelerator;
}

char *accelerator_format(const JobSpecAccelerator *accelerator)
{
    g_autofree char *memory = NULL;

    if (accelerator->memory_bytes > 0)
        memory = scalar_format_quantity(accelerator->memory_bytes, SCALAR_SIZE);
    return g_strdup_printf("%s%s%s:%" G_GINT64_FORMAT, accelerator->model, memory ? "-" : "",
                           memory ? memory : "", accelerator->count);
}
