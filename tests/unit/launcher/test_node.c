/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/node_probe.h"
#include "launcher/nvml.h"
#include "launcher/plan.h"

#include <glib/gstdio.h>
#include <sched.h>
#include <string.h>

#define NVML TEST_BUILD_DIR "/tests/libfake_nvml.so"

static Node *probe(const char *root, const char *gpus)
{
    const NodeSources sources = {root, gpus ? NVML : "libdrover-none.so", "/tmp"};
    g_autoptr(GError) error = NULL;

    if (gpus)
        g_setenv("FAKE_NVML", gpus, TRUE);
    Node *node = node_probe_from(&sources, &error);

    g_assert_no_error(error);
    return node;
}

static const Device *device_at(const Node *node, guint index)
{
    g_assert_cmpuint(node->devices->len, >, index);
    return node->devices->pdata[index];
}

static void test_this_machine(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Node) node = node_probe("/tmp", &error);
    cpu_set_t set;

    g_assert_no_error(error);
    g_assert_cmpstr(node->address, ==, "127.0.0.1");
    g_assert_cmpuint(strlen(node->name), >, 0);
    g_assert_cmpint(node->memory_bytes, >, 0);
    g_assert_cmpint(node->disk_bytes, >, 0);
    g_assert_cmpuint(node->devices->len, >=, 1);
    g_assert_cmpint(sched_getaffinity(0, sizeof set, &set), ==, 0);
    g_assert_cmpuint(node->cpus->len, >=, 1);
    for (guint i = 0; i < node->cpus->len; i++)
        g_assert_true(CPU_ISSET((size_t)g_array_index(node->cpus, int, i), &set));
}

static void test_affinity(void)
{
    cpu_set_t old, one;

    g_assert_cmpint(sched_getaffinity(0, sizeof old, &old), ==, 0);
    size_t last = CPU_SETSIZE - 1;

    while (!CPU_ISSET(last, &old))
        last--;
    CPU_ZERO(&one);
    CPU_SET(last, &one);
    g_assert_cmpint(sched_setaffinity(0, sizeof one, &one), ==, 0);
    g_autoptr(Node) node = probe("", NULL);

    g_assert_cmpint(sched_setaffinity(0, sizeof old, &old), ==, 0);
    g_assert_cmpuint(node->cpus->len, ==, 1);
    g_assert_cmpint(g_array_index(node->cpus, int, 0), ==, (int)last);
}

static void write_file(const char *root, const char *path, const char *text)
{
    g_autofree char *full = g_strconcat(root, path, NULL);
    g_autofree char *dir = g_path_get_dirname(full);

    g_assert_cmpint(g_mkdir_with_parents(dir, 0700), ==, 0);
    g_assert_true(g_file_set_contents(full, text, -1, NULL));
}

static void remove_tree(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);

        if (g_file_test(child, G_FILE_TEST_IS_DIR))
            remove_tree(child);
        else
            g_unlink(child);
    }
    g_rmdir(path);
}

static void test_cgroup(const void *version)
{
    g_autofree char *root = g_dir_make_tmp("drover-node-XXXXXX", NULL);

    write_file(root, "/proc/meminfo", "MemFree: 1 kB\nMemTotal:       4096 kB\n");
    if (strcmp(version, "v2") == 0) {
        write_file(root, "/proc/self/cgroup", "0::/job/step\n");
        write_file(root, "/sys/fs/cgroup/job/step/cpu.max", "max 100000\n");
        write_file(root, "/sys/fs/cgroup/job/step/memory.max", "max\n");
        write_file(root, "/sys/fs/cgroup/job/cpu.max", "50000 100000\n");
        write_file(root, "/sys/fs/cgroup/job/memory.max", "1048576\n");
    } else {
        write_file(root, "/proc/self/cgroup", "4:memory:/job\n3:cpu,cpuacct:/job\n1:name=x:/y\n");
        write_file(root, "/sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "50000\n");
        write_file(root, "/sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n");
        write_file(root, "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
        write_file(root, "/sys/fs/cgroup/memory/memory.limit_in_bytes", "1048576\n");
    }
    g_autoptr(Node) node = probe(root, NULL);

    g_assert_cmpuint(node->cpus->len, ==, 1); /* half a core is one core */
    g_assert_cmpint(node->memory_bytes, ==, 1048576);
    remove_tree(root);
}

static void test_cgroup_nonsense(void)
{
    g_autofree char *root = g_dir_make_tmp("drover-node-XXXXXX", NULL);

    write_file(root, "/proc/meminfo", "MemTotal: 99999999999999999999 kB\n");
    write_file(root, "/proc/self/cgroup", "0::relative\n:::\n0::/a//b\n\n");
    write_file(root, "/sys/fs/cgroup/cpu.max", "-5 0\n");
    write_file(root, "/sys/fs/cgroup/memory.max", "999999999999999999999999\n");
    g_autoptr(Node) node = probe(root, NULL);

    g_assert_cmpuint(node->cpus->len, >=, 1);
    g_assert_cmpint(node->memory_bytes, ==, INT64_MAX);
    remove_tree(root);
}

static void test_no_gpu(void)
{
    g_autoptr(Node) node = probe("", NULL);

    g_assert_cmpstr(device_at(node, 0)->model, ==, "cpu");
    g_assert_cmpstr(device_at(node, 0)->id, ==, "cpu");
    g_assert_cmpint(device_at(node, 0)->index, ==, -1);
    g_assert_cmpint(device_at(node, 0)->memory_bytes, ==, node->memory_bytes);
    g_assert_nonnull(strstr(node->note, "no NVIDIA driver"));
}

static void test_gpus(void)
{
    g_autoptr(Node) node =
        probe("", "NVIDIA GeForce RTX 4090|0|0;NVIDIA A40-8Q|2|0;NVIDIA H100 80GB HBM3|1|0;"
                  "NVIDIA A100-SXM4-80GB|0|1;broken|0|0");

    g_assert_cmpuint(node->devices->len, ==, 2);
    g_assert_cmpstr(device_at(node, 0)->model, ==, "RTX4090");
    g_assert_cmpstr(device_at(node, 0)->id, ==, "GPU-00000000");
    g_assert_cmpint(device_at(node, 0)->memory_bytes, ==, INT64_C(24) << 30);
    g_assert_cmpstr(device_at(node, 1)->model, ==, "H100");
    g_assert_cmpint(device_at(node, 1)->index, ==, 2);
    g_assert_nonnull(strstr(node->note, "GPU 1 left out: it is a virtual GPU"));
    g_assert_nonnull(strstr(node->note, "GPU 3 left out: it is partitioned (MIG)"));
    g_assert_nonnull(strstr(node->note, "GPU 4 left out: Unknown Error"));
}

static void test_only_virtual(void)
{
    g_autoptr(Node) node = probe("", "GRID T4-16Q|2|0");

    g_assert_cmpstr(device_at(node, 0)->model, ==, "cpu");
    g_assert_nonnull(strstr(node->note, "virtual GPU"));
}

static void test_driver_without_gpu(void)
{
    g_autoptr(Node) node = probe("", "");

    g_assert_cmpstr(device_at(node, 0)->model, ==, "cpu");
    g_assert_cmpstr(node->note, ==, "the NVIDIA driver lists no GPU");

    const NodeSources sources = {"", NVML, "/tmp"};

    g_unsetenv("FAKE_NVML");
    g_autoptr(Node) down = node_probe_from(&sources, NULL);

    g_assert_cmpstr(down->note, ==, "Driver Not Loaded");
}

static void test_models(void)
{
    static const char *const table[][2] = {
        {"NVIDIA GeForce RTX 4090", "RTX4090"},
        {"NVIDIA GeForce RTX 4090 Laptop GPU", "RTX4090Laptop"},
        {"NVIDIA GeForce RTX 3080 Ti", "RTX3080Ti"},
        {"NVIDIA H100 80GB HBM3", "H100"},
        {"NVIDIA H100 PCIe", "H100"},
        {"NVIDIA H200 NVL", "H200"},
        {"NVIDIA A100-SXM4-80GB", "A100"},
        {"Tesla V100-SXM2-16GB", "V100"},
        {"Tesla T4", "T4"},
        {"NVIDIA L40S", "L40S"},
        {"NVIDIA RTX A6000", "RTXA6000"},
        {"NVIDIA RTX 6000 Ada Generation", "RTX6000Ada"},
        {"NVIDIA GH200 480GB", "GH200"},
        {"", "unknown"},
        {"\xff\xfe !", "unknown"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        g_autofree char *model = nvml_model_from_name(table[i][0]);

        g_assert_cmpstr(model, ==, table[i][1]);
    }
}

static void test_json(void)
{
    g_autoptr(Node) node = probe("", "NVIDIA GeForce RTX 4090|0|0");
    json_t *json = node_to_json(node);
    const json_t *device = json_array_get(json_object_get(json, "devices"), 0);

    g_assert_cmpstr(json_string_value(json_object_get(device, "model")), ==, "RTX4090");
    g_assert_cmpuint(json_array_size(json_object_get(json, "cpus")), ==, node->cpus->len);
    g_assert_true(json_is_null(json_object_get(json, "note")));
    json_decref(json);
}

static void test_bad_dir(void)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(node_probe("/nonexistent/dir", &error));
    g_assert_error(error, LAUNCHER_ERROR, LAUNCHER_ERROR_SYSTEM);
    g_assert_nonnull(strstr(error->message, "/nonexistent/dir"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/node/this_machine", test_this_machine);
    g_test_add_func("/node/affinity", test_affinity);
    g_test_add_data_func("/node/cgroup_v2", "v2", test_cgroup);
    g_test_add_data_func("/node/cgroup_v1", "v1", test_cgroup);
    g_test_add_func("/node/cgroup_nonsense", test_cgroup_nonsense);
    g_test_add_func("/node/no_gpu", test_no_gpu);
    g_test_add_func("/node/gpus", test_gpus);
    g_test_add_func("/node/only_virtual", test_only_virtual);
    g_test_add_func("/node/driver_without_gpu", test_driver_without_gpu);
    g_test_add_func("/node/models", test_models);
    g_test_add_func("/node/json", test_json);
    g_test_add_func("/node/bad_dir", test_bad_dir);
    return g_test_run();
}
