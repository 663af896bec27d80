/* SPDX-License-Identifier: Apache-2.0
 *
 * Facts about this machine, as a process inside it may use them: the scheduler's affinity mask and
 * the limits of its control groups, not what the hardware has. Everything is one read of a small
 * file, so a probe takes well under 2 ms without a GPU.
 *
 * A CPU quota ("2.5 cores out of 64") says how many cores, not which. The kernel would let us bind
 * to any; several containers on one host that all took the lowest would fight over them, so the run
 * of cores we take starts at a place derived from the host name, which is random in a container.
 */
#include "launcher/node.h"
#include "launcher/node_probe.h"
#include "launcher/nvml.h"
#include "launcher/plan.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define NODE_CPUS_MAX 65536 /* size of the largest affinity mask we ask for */

static void device_free(void *pointer)
{
    Device *device = pointer;

    g_free(device->id);
    g_free(device->model);
    g_free(device);
}

/* ---- control groups (Documentation/admin-guide/cgroup-v2.rst and cgroup-v1 of the kernel) ---- */

typedef struct {
    double cores;         /* quota; 0: none */
    int64_t memory_bytes; /* INT64_MAX: none */
} NodeLimits;

static char *node_read(const char *root, const char *path)
{
    g_autofree char *full = g_strconcat(root, path, NULL);
    char *text = NULL;

    if (!g_file_get_contents(full, &text, NULL, NULL))
        return NULL;
    return g_strstrip(text);
}

static void node_limit_cores(NodeLimits *limits, double quota, double period)
{
    if (quota <= 0 || period <= 0)
        return;
    if (limits->cores <= 0 || quota / period < limits->cores)
        limits->cores = quota / period;
}

/* A number, or "max" or nonsense: no limit. */
static int64_t node_number(const char *text)
{
    gint64 value = 0;

    if (!text || !g_ascii_string_to_signed(text, 10, 1, INT64_MAX, &value, NULL))
        return INT64_MAX;
    return value;
}

/* One directory of a version 2 tree: "cpu.max" holds "QUOTA PERIOD" in microseconds. */
static void node_read_v2(const char *root, const char *dir, NodeLimits *limits)
{
    g_autofree char *cpu_path = g_strconcat(dir, "/cpu.max", NULL);
    g_autofree char *memory_path = g_strconcat(dir, "/memory.max", NULL);
    g_autofree char *cpu = node_read(root, cpu_path);
    g_autofree char *memory = node_read(root, memory_path);
    g_auto(GStrv) words = g_strsplit(cpu ? cpu : "", " ", 2);

    if (words[0] && words[1] && strcmp(words[0], "max") != 0)
        node_limit_cores(limits, g_ascii_strtod(words[0], NULL), g_ascii_strtod(words[1], NULL));
    limits->memory_bytes = MIN(limits->memory_bytes, node_number(memory));
}

static void node_read_v1(const char *root, const char *dir, NodeLimits *limits)
{
    static const char *const names[] = {"/cpu.cfs_quota_us", "/cpu.cfs_period_us",
                                        "/memory.limit_in_bytes"};
    int64_t values[G_N_ELEMENTS(names)];

    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_strconcat(dir, names[i], NULL);
        g_autofree char *text = node_read(root, path);

        values[i] = node_number(text);
    }
    if (values[0] != INT64_MAX && values[1] != INT64_MAX)
        node_limit_cores(limits, (double)values[0], (double)values[1]);
    limits->memory_bytes = MIN(limits->memory_bytes, values[2]);
}

/* A limit of any group on the way to the root holds for us as well. `mount` is where the tree is
 * seen; inside a container without a cgroup namespace `group` may not exist there, and then only
 * the mount's own top, which is the container's group, does. */
static void node_walk_groups(const char *root, const char *mount, const char *group, bool v2,
                             NodeLimits *limits)
{
    g_autofree char *path = g_strdup(group);

    for (;;) {
        g_autofree char *dir = g_strconcat(mount, strcmp(path, "/") == 0 ? "" : path, NULL);
        char *slash = strrchr(path, '/');

        if (v2)
            node_read_v2(root, dir, limits);
        else
            node_read_v1(root, dir, limits);
        if (!slash || strcmp(path, "/") == 0 || *path == '\0')
            return;
        *(slash == path ? slash + 1 : slash) = '\0';
    }
}

static NodeLimits node_read_limits(const char *root)
{
    NodeLimits limits = {0, INT64_MAX};
    g_autofree char *text = node_read(root, "/proc/self/cgroup");
    g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", 0);

    for (char **line = lines; *line; line++) {
        g_auto(GStrv) fields = g_strsplit(*line, ":", 3); /* id:controllers:path */

        if (g_strv_length(fields) != 3 || fields[2][0] != '/')
            continue;
        if (fields[1][0] == '\0') {
            node_walk_groups(root, "/sys/fs/cgroup", fields[2], true, &limits);
            continue;
        }
        g_auto(GStrv) controllers = g_strsplit(fields[1], ",", 0);

        for (char **name = controllers; *name; name++) {
            if (strcmp(*name, "cpu") != 0 && strcmp(*name, "memory") != 0)
                continue;
            g_autofree char *mount = g_strconcat("/sys/fs/cgroup/", *name, NULL);

            node_walk_groups(root, mount, fields[2], false, &limits);
        }
    }
    return limits;
}

/* ---- the facts ---- */

static GArray *node_list_cpus(const char *name, double quota, GError **error)
{
    g_autofree cpu_set_t *set = NULL;
    g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(int));
    size_t bits = 1024, bytes;

    for (;; bits *= 4) { /* EINVAL: the kernel's mask is larger than ours */
        bytes = CPU_ALLOC_SIZE(bits);
        g_free(set);
        set = g_malloc0(bytes);
        if (sched_getaffinity(0, bytes, set) == 0)
            break;
        if (errno != EINVAL || bits >= NODE_CPUS_MAX) {
            g_set_error(error, LAUNCHER_ERROR, LAUNCHER_ERROR_SYSTEM,
                        "cannot read the cores this process may use: %s", g_strerror(errno));
            return NULL;
        }
    }
    for (size_t bit = 0; bit < bits; bit++) {
        int cpu = (int)bit;

        if (CPU_ISSET_S(bit, bytes, set))
            g_array_append_val(all, cpu);
    }

    guint count = all->len;

    if (quota > 0 && quota < count)
        count = MAX(1, (guint)quota + ((double)(guint)quota < quota));

    guint start = count < all->len ? g_str_hash(name) % (all->len - count + 1) : 0;
    GArray *cpus = g_array_sized_new(FALSE, FALSE, sizeof(int), count);

    g_array_append_vals(cpus, &g_array_index(all, int, start), count);
    return cpus;
}

static int64_t node_read_memory(const char *root)
{
    g_autofree char *text = node_read(root, "/proc/meminfo");
    const char *line = text ? strstr(text, "MemTotal:") : NULL;
    guint64 kib = line ? g_ascii_strtoull(line + strlen("MemTotal:"), NULL, 10) : 0;

    return kib > INT64_MAX / 1024 ? INT64_MAX : (int64_t)kib * 1024;
}

static bool node_read_disk(const char *dir, int64_t *bytes, GError **error)
{
    struct statvfs fs;

    if (statvfs(dir, &fs) != 0) {
        g_set_error(error, LAUNCHER_ERROR, LAUNCHER_ERROR_SYSTEM,
                    "cannot read the free space of '%s': %s", dir, g_strerror(errno));
        return false;
    }
    if (__builtin_mul_overflow(fs.f_bavail, fs.f_frsize, bytes))
        *bytes = INT64_MAX;
    return true;
}

static char *node_read_name(void)
{
    char name[256] = "";

    if (gethostname(name, sizeof name - 1) != 0 || name[0] == '\0')
        return g_strdup("localhost");
    return g_utf8_make_valid(name, -1);
}

Node *node_probe_from(const NodeSources *sources, GError **error)
{
    g_autoptr(Node) node = g_new0(Node, 1);
    NodeLimits limits = node_read_limits(sources->root);

    node->name = node_read_name();
    node->address = g_strdup("127.0.0.1");
    node->cpus = node_list_cpus(node->name, limits.cores, error);
    if (!node->cpus || !node_read_disk(sources->probe_dir, &node->disk_bytes, error))
        return NULL;
    node->memory_bytes = MIN(node_read_memory(sources->root), limits.memory_bytes);
    node->devices = g_ptr_array_new_with_free_func(device_free);
    nvml_list_devices(sources->nvml_library, node->devices, &node->note);
    if (node->devices->len == 0) {
        Device *cpu = g_new0(Device, 1);

        cpu->id = g_strdup("cpu");
        cpu->model = g_strdup("cpu");
        cpu->memory_bytes = node->memory_bytes;
        cpu->index = -1;
        g_ptr_array_add(node->devices, cpu);
    }
    return g_steal_pointer(&node);
}

Node *node_probe(const char *probe_dir, GError **error)
{
    const NodeSources sources = {"", "libnvidia-ml.so.1", probe_dir};

    return node_probe_from(&sources, error);
}

json_t *node_to_json(const Node *node)
{
    json_t *cpus = json_array();
    json_t *devices = json_array();

    for (guint i = 0; i < node->cpus->len; i++)
        json_array_append_new(cpus, json_integer(g_array_index(node->cpus, int, i)));
    for (guint i = 0; i < node->devices->len; i++) {
        const Device *device = node->devices->pdata[i];

        json_array_append_new(devices,
                              json_pack("{s:s, s:I, s:I, s:s}", "id", device->id, "index",
                                        (json_int_t)device->index, "memory_bytes",
                                        (json_int_t)device->memory_bytes, "model", device->model));
    }
    return json_pack("{s:s, s:o, s:o, s:I, s:I, s:s, s:s?}", "address", node->address, "cpus", cpus,
                     "devices", devices, "disk_bytes", (json_int_t)node->disk_bytes, "memory_bytes",
                     (json_int_t)node->memory_bytes, "name", node->name, "note", node->note);
}

void node_free(Node *node)
{
    if (!node)
        return;
    g_free(node->name);
    g_free(node->address);
    g_clear_pointer(&node->cpus, g_array_unref);
    g_clear_pointer(&node->devices, g_ptr_array_unref);
    g_free(node->note);
    g_free(node);
}
