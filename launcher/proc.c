/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/proc.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    pid_t pid;
    pid_t parent;
} ProcEntry;

struct ProcTable {
    GArray *entries; /* ProcEntry */
};

/* proc(5): "PID (COMM) STATE PPID ...", where COMM may hold anything, even ")". */
static bool proc_read_parent(const char *pid, pid_t *parent)
{
    g_autofree char *path = g_strdup_printf("/proc/%s/stat", pid);
    g_autofree char *text = NULL;
    const char *end;
    int value;

    if (!g_file_get_contents(path, &text, NULL, NULL)) /* it has just ended */
        return false;
    end = strrchr(text, ')');
    if (!end || sscanf(end + 1, " %*c %d", &value) != 1)
        return false;
    *parent = value;
    return true;
}

ProcTable *proc_table_new(void)
{
    ProcTable *table = g_new(ProcTable, 1);
    g_autoptr(GDir) dir = g_dir_open("/proc", 0, NULL);
    const char *name;

    table->entries = g_array_new(FALSE, FALSE, sizeof(ProcEntry));
    while (dir && (name = g_dir_read_name(dir))) {
        ProcEntry entry;
        gint64 pid;

        if (!g_ascii_string_to_signed(name, 10, 1, G_MAXINT, &pid, NULL) ||
            !proc_read_parent(name, &entry.parent))
            continue;
        entry.pid = (pid_t)pid;
        g_array_append_val(table->entries, entry);
    }
    return table;
}

void proc_table_free(ProcTable *table)
{
    if (!table)
        return;
    g_array_unref(table->entries);
    g_free(table);
}

GArray *proc_list_descendants(const ProcTable *table, pid_t ancestor)
{
    const GArray *all = table->entries;
    g_autoptr(GHashTable) inside = g_hash_table_new(NULL, NULL);
    GArray *found = g_array_new(FALSE, FALSE, sizeof(pid_t));
    guint before;

    g_hash_table_add(inside, GINT_TO_POINTER(ancestor));
    do { /* pids wrap around, so a child may stand before its parent */
        before = found->len;
        for (guint i = 0; i < all->len; i++) {
            const ProcEntry *entry = &g_array_index(all, ProcEntry, i);

            if (g_hash_table_contains(inside, GINT_TO_POINTER(entry->parent)) &&
                g_hash_table_add(inside, GINT_TO_POINTER(entry->pid)))
                g_array_append_val(found, entry->pid);
        }
    } while (found->len > before);
    return found;
}

static guint64 status_mask(const char *status, const char *name)
{
    const char *line = strstr(status, name);

    return line ? g_ascii_strtoull(line + strlen(name), NULL, 16) : 0;
}

/* Does the process catch the signal, or block it to take it with sigwait or a signalfd? A mask with
 * SIGCHLD in it is no such sign: shells and the C library block everything for a moment. */
static bool proc_handles(pid_t pid, int signal)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/status", pid);
    g_autofree char *text = NULL;
    guint64 one = 1, blocked;

    if (!g_file_get_contents(path, &text, NULL, NULL))
        return false;
    blocked = status_mask(text, "\nSigBlk:");
    if (blocked & (one << (SIGCHLD - 1)))
        blocked = 0;
    return ((blocked | status_mask(text, "\nSigCgt:")) & (one << (signal - 1))) != 0;
}

/* How many got it. */
static guint proc_signal_handlers(const GArray *pids, int signal)
{
    guint count = 0;

    for (guint i = 0; i < pids->len; i++) {
        pid_t pid = g_array_index(pids, pid_t, i);

        if (proc_handles(pid, signal) && kill(pid, signal) == 0)
            count++;
    }
    return count;
}

void proc_request_end(const ProcTable *table, pid_t ancestor, int signal)
{
    g_autoptr(GArray) pids = proc_list_descendants(table, ancestor);

    if (signal && proc_signal_handlers(pids, signal) > 0)
        return;
    if (proc_signal_handlers(pids, SIGTERM) > 0)
        return;
    for (guint i = 0; i < pids->len; i++)
        kill(g_array_index(pids, pid_t, i), SIGTERM);
}
