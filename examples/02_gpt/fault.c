/* SPDX-License-Identifier: Apache-2.0 */
#include "fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int fault_set(Fault *fault, const char *format, ...)
{
    va_list args;

    if (!fault)
        return -1;
    va_start(args, format);
    vsnprintf(fault->words, sizeof(fault->words), format, args);
    va_end(args);
    return -1;
}

int fault_prefix(Fault *fault, const char *format, ...)
{
    char old[sizeof(fault->words)];
    va_list args;
    size_t used;

    if (!fault)
        return -1;
    memcpy(old, fault->words, sizeof(old));
    va_start(args, format);
    vsnprintf(fault->words, sizeof(fault->words), format, args);
    va_end(args);
    used = strlen(fault->words);
    snprintf(fault->words + used, sizeof(fault->words) - used, "%s", old);
    return -1;
}
