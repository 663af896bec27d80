/* SPDX-License-Identifier: Apache-2.0 */
#include "runner/cli/jobs.h"

#include <math.h>
#include <stdlib.h>

static void expect(char *got, const char *expected)
{
    g_assert_cmpstr(got, ==, expected);
    g_free(got);
}

static void test_usd_has_cents_at_least(void)
{
    expect(jobs_format_usd(0), "0.00 USD");
    expect(jobs_format_usd(440000), "0.44 USD");
    expect(jobs_format_usd(2000000), "2.00 USD");
    expect(jobs_format_usd(1), "0.000001 USD");
    expect(jobs_format_usd(-1500000), "-1.50 USD");
    expect(jobs_format_usd(INT64_MAX), "9223372036854.775807 USD");
}

static void test_amounts_come_twice(void)
{
    json_t *json = json_object();

    jobs_set_amount(json, "cost", MONEY_IO, 123456789);
    g_assert_cmpstr(json_string_value(json_object_get(json, "cost")), ==, "1.23456789");
    g_assert_cmpint(json_integer_value(json_object_get(json, "cost_units")), ==, 123456789);
    json_decref(json);
}

static void test_what_has_not_happened_is_null(void)
{
    static const char *const nulls[] = {
        "reason", "cause", "started_at_ms", "ended_at_ms",  "exit_code",      "step",
        "steps",  "loss",  "val_loss",      "tokens_per_s", "checkpoint_step"};
    char name[] = "new";
    Job job = {.id = {7},
               .name = name,
               .state = JOB_PENDING,
               .created_at_ms = 1,
               .exit_code = -1,
               .loss = NAN,
               .val_loss = INFINITY,
               .checkpoint_step = -1};
    json_t *json = jobs_to_json(&job);

    for (size_t i = 0; i < G_N_ELEMENTS(nulls); i++)
        g_assert_true(json_is_null(json_object_get(json, nulls[i])));
    g_assert_cmpint(json_integer_value(json_object_get(json, "job")), ==, 7);
    g_assert_cmpstr(json_string_value(json_object_get(json, "state")), ==, "pending");
    g_assert_null(jobs_format_progress(&job));
    json_decref(json);
}

static void test_progress(void)
{
    Job job = {.step = 41, .steps = 100};

    expect(jobs_format_progress(&job), "41 %");
    job.steps = 0;
    expect(jobs_format_progress(&job), "step 41");
}

/* Attempt 1 on two devices for 2 s, attempt 2 on two models for 70 s and a bit less. */
static void test_ran_is_the_time_of_the_attempts(void)
{
    InvoiceLine lines[] = {{.attempt = 1, .devices = 2, .gpu_ms = 4000},
                           {.attempt = 2, .devices = 1, .gpu_ms = 70000},
                           {.attempt = 2, .devices = 3, .gpu_ms = 209997}};
    g_autoptr(GPtrArray) array = g_ptr_array_new();
    Invoice invoice = {.lines = array};

    g_assert_null(jobs_format_ran(&invoice));
    for (size_t i = 0; i < G_N_ELEMENTS(lines); i++)
        g_ptr_array_add(array, &lines[i]);
    expect(jobs_format_ran(&invoice), "1m12s");
    lines[2].gpu_ms = 210000; /* as long: still once */
    expect(jobs_format_ran(&invoice), "1m12s");
}

static void test_the_folder_of_a_job_file(void)
{
    g_autofree char *here = g_get_current_dir();
    g_autofree char *parent = g_path_get_dirname(here);

    expect(jobs_get_base_dir("/a/b/job.yaml"), "/a/b");
    expect(jobs_get_base_dir("/a/./b/../job.yaml"), "/a");
    expect(jobs_get_base_dir("job.yaml"), here);
    expect(jobs_get_base_dir("../job.yaml"), parent);
    expect(jobs_get_base_dir("-"), here);
}

static void test_invoices_in_ascii(void)
{
    MeterLease lease = {.id = "1",
                        .job = "7",
                        .attempt = 1,
                        .supplier = "local",
                        .node = "n",
                        .device = "cpu",
                        .model = "cpu",
                        .price_usd_micro = 40000,
                        .io_usd_micro = 150000,
                        .used_ms = 3600000,
                        .released = true};
    g_autoptr(GError) error = NULL;
    g_autoptr(Invoice) invoice = invoice_build("7", "new", MONEY_USDC, &lease, 1, &error);
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    g_assert_no_error(error);
    jobs_print_invoice(invoice, out, false);
    fclose(out);
    g_assert_true(g_str_is_ascii(text));
    g_assert_nonnull(g_strstr_len(text, -1, "0.040800"));
    free(text);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cli/jobs/usd", test_usd_has_cents_at_least);
    g_test_add_func("/cli/jobs/amounts", test_amounts_come_twice);
    g_test_add_func("/cli/jobs/nulls", test_what_has_not_happened_is_null);
    g_test_add_func("/cli/jobs/progress", test_progress);
    g_test_add_func("/cli/jobs/ran", test_ran_is_the_time_of_the_attempts);
    g_test_add_func("/cli/jobs/folder", test_the_folder_of_a_job_file);
    g_test_add_func("/cli/jobs/ascii", test_invoices_in_ascii);
    return g_test_run();
}
