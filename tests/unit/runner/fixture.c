/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <glib/gstdio.h>
#include <string.h>

char *fixture_make_dir(void)
{
    g_autoptr(GError) error = NULL;
    char *dir = g_dir_make_tmp("drover-test-XXXXXX", &error);

    g_assert_no_error(error);
    return dir;
}

static void remove_tree(const char *path)
{
    if (g_file_test(path, G_FILE_TEST_IS_DIR) && !g_file_test(path, G_FILE_TEST_IS_SYMLINK)) {
        g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
        const char *name;

        while (dir && (name = g_dir_read_name(dir))) {
            g_autofree char *child = g_build_filename(path, name, NULL);

            remove_tree(child);
        }
    }
    g_remove(path);
}

void fixture_remove_dir(char *dir)
{
    remove_tree(dir);
    g_free(dir);
}

Store *fixture_open(const char *dir)
{
    g_autoptr(GError) error = NULL;
    Store *store = store_open(dir, &error);

    g_assert_no_error(error);
    g_assert_nonnull(store);
    return store;
}

GPtrArray *fixture_specs(const char *yaml)
{
    g_autoptr(JobSpecFile) file = jobspec_file_parse("test.yaml", yaml, strlen(yaml), NULL);

    if (jobspec_file_has_errors(file)) {
        jobspec_file_print(file, stderr, false);
        g_error("the test's own job file has errors");
    }
    return g_ptr_array_ref(file->jobs);
}

JobSpec *fixture_spec(const char *yaml)
{
    GString *text = g_string_new("version: 1\n");
    g_autoptr(GPtrArray) specs = NULL;
    g_autofree char *whole = NULL;
    json_t *json;
    char *canonical;
    JobSpec *spec;

    if (!strstr(yaml, "name:"))
        g_string_append(text, "name: t\n");
    if (!strstr(yaml, "run:"))
        g_string_append(text, "run: 'true'\n");
    g_string_append(text, yaml);
    whole = g_string_free(text, false);
    specs = fixture_specs(whole);
    g_assert_cmpuint(specs->len, ==, 1);
    /* A copy that outlives the file, the way the store makes it. */
    json = jobspec_to_json(g_ptr_array_index(specs, 0));
    canonical = json_dumps(json, JSON_COMPACT);
    spec = jobspec_from_json(canonical, strlen(canonical), NULL);
    g_assert_nonnull(spec);
    free(canonical);
    json_decref(json);
    return spec;
}

int64_t fixture_now_ms(void)
{
    static int64_t now = 1700000000000;

    return now += 1000;
}

JobId fixture_add(Store *store, const char *yaml)
{
    g_autoptr(JobSpec) spec = fixture_spec(yaml);
    g_autoptr(GError) error = NULL;
    JobNew new_job = {.spec = spec, .group = "g", .base_dir = "/", .at_ms = fixture_now_ms()};
    JobId id = {0};

    g_assert_true(store_add_job(store, &new_job, &id, &error));
    g_assert_no_error(error);
    return id;
}

void fixture_append(Store *store, JobId job, int attempt, const char *type, const char *body)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Event) event = g_new0(Event, 1);

    event->job = job;
    event->attempt = attempt;
    event->at_ms = fixture_now_ms();
    event->type = g_strdup(type);
    event->body = body ? json_loads(body, 0, NULL) : NULL;
    g_assert_true(!body || event->body);
    store_append(store, event, &error);
    g_assert_no_error(error);
}

void fixture_begin(Store *store, JobId job, int attempt, const char *device)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *copy = g_strdup(device);
    Lease lease = {.job = job,
                   .attempt = attempt,
                   .supplier = (char[]){"local"},
                   .node = (char[]){"n"},
                   .device = copy,
                   .model = (char[]){"H100"},
                   .price_usd_micro = 3600000,
                   .io_usd_micro = 150000,
                   .granted_at_ms = fixture_now_ms()};
    g_autoptr(DbTx) tx = db_begin(store->db, true, &error);

    g_assert_nonnull(tx);
    g_assert_true(store_grant_lease(store, &lease, &error));
    fixture_append(store, job, attempt, "attempt", NULL);
    g_assert_true(db_commit(tx, &error));
}

void fixture_end(Store *store, JobId job, int attempt, const char *type, int64_t used_ms)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Event) event = g_new0(Event, 1);

    event->job = job;
    event->attempt = attempt;
    event->at_ms = fixture_now_ms();
    event->type = g_strdup(type);
    if (g_str_equal(type, "retrying"))
        event->body = json_pack("{s:I}", "retry_at_ms", (json_int_t)event->at_ms + 10000);
    store_end_attempt(store, event, used_ms, &error);
    g_assert_no_error(error);
}

Job *fixture_job(Store *store, JobId id)
{
    g_autoptr(GError) error = NULL;
    Job *job = store_get_job(store, id, &error);

    g_assert_no_error(error);
    return job;
}

void fixture_check(Store *store)
{
    g_autoptr(GError) error = NULL;

    store_check(store, &error);
    g_assert_no_error(error);
}

static Device *new_device(const char *model, int index)
{
    Device *device = g_new0(Device, 1);

    device->id = index < 0 ? g_strdup("cpu") : g_strdup_printf("GPU-%d", index);
    device->model = g_strdup(model);
    device->memory_bytes = INT64_C(24) << 30;
    device->index = index;
    return device;
}

static void free_device(gpointer data)
{
    Device *device = data;

    g_free(device->id);
    g_free(device->model);
    g_free(device);
}

Node *fixture_node(const char *model, int gpus)
{
    Node *node = g_new0(Node, 1);

    node->name = g_strdup("n");
    node->address = g_strdup("127.0.0.1");
    node->cpus = g_array_new(false, false, sizeof(int));
    for (int i = 0; i < 8; i++)
        g_array_append_val(node->cpus, i);
    node->memory_bytes = INT64_C(32) << 30;
    node->disk_bytes = INT64_C(100) << 30;
    node->devices = g_ptr_array_new_with_free_func(free_device);
    for (int i = 0; model && i < gpus; i++)
        g_ptr_array_add(node->devices, new_device(model, i));
    if (!model) {
        g_ptr_array_add(node->devices, new_device("cpu", -1));
        node->note = g_strdup("no GPU driver is loaded");
    }
    return node;
}

void fixture_set_up(StoreFixture *fixture, gconstpointer data)
{
    (void)data;
    fixture->dir = fixture_make_dir();
    fixture->store = fixture_open(fixture->dir);
}

void fixture_tear_down(StoreFixture *fixture, gconstpointer data)
{
    (void)data;
    if (fixture->store)
        fixture_check(fixture->store);
    store_close(fixture->store);
    fixture_remove_dir(fixture->dir);
}
