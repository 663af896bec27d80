/* SPDX-License-Identifier: Apache-2.0 */
#include "jobspec/accelerator.h"
#include "jobspec/record.h"

static void assert_parses(const char *text, const char *model, int64_t memory_bytes, int64_t count,
                          const char *canonical)
{
    g_autofree char *reason = NULL, *again = NULL;
    JobSpecAccelerator *accelerator = accelerator_parse(text, &reason);

    if (!accelerator)
        g_error("'%s' %s", text, reason);
    g_assert_cmpstr(accelerator->model, ==, model);
    g_assert_cmpint(accelerator->memory_bytes, ==, memory_bytes);
    g_assert_cmpint(accelerator->count, ==, count);
    again = accelerator_format(accelerator);
    g_assert_cmpstr(again, ==, canonical);
    record_free_accelerator(accelerator);
}

static void assert_refuses(const char *text, const char *expected)
{
    g_autofree char *reason = NULL;

    g_assert_null(accelerator_parse(text, &reason));
    g_assert_cmpstr(reason, ==, expected);
}

static void test_good(void)
{
    const int64_t gib = INT64_C(1) << 30;

    assert_parses("H100", "H100", 0, 1, "H100:1");
    assert_parses("H100:8", "H100", 0, 8, "H100:8");
    assert_parses("RTX4090-24GiB:2", "RTX4090", 24 * gib, 2, "RTX4090-24GiB:2");
    assert_parses("A100-80GB", "A100", INT64_C(80000000000), 1, "A100-80GB:1");
    assert_parses("A100-SXM4", "A100-SXM4", 0, 1, "A100-SXM4:1");
    assert_parses("A100-SXM4-80GiB:4", "A100-SXM4", 80 * gib, 4, "A100-SXM4-80GiB:4");
    assert_parses("cpu", "cpu", 0, 1, "cpu:1");
    assert_parses("CPU:1", "cpu", 0, 1, "cpu:1");
}

static void test_bad(void)
{
    assert_refuses("RTX-4090", "has a memory size without unit: '4090' (is it part of the name, "
                               "'RTX4090'?)");
    assert_refuses("A100-80G", "has a memory size '80G' that is not a size (try '80GiB')");
    assert_refuses("A100-0GiB", "asks for no memory");
    assert_refuses("H100:0", "has no count of 1 to 1024 behind its ':'");
    assert_refuses("H100:", "has no count of 1 to 1024 behind its ':'");
    assert_refuses("H100:1025", "has no count of 1 to 1024 behind its ':'");
    assert_refuses("H100:-1", "has no count of 1 to 1024 behind its ':'");
    assert_refuses("H100:99999999999999999999", "has no count of 1 to 1024 behind its ':'");
    assert_refuses("", "is not an accelerator, NAME[-MEM][:COUNT] (try 'RTX4090:2')");
    assert_refuses("H 100", "is not an accelerator, NAME[-MEM][:COUNT] (try 'RTX4090:2')");
    assert_refuses("H100:1:2", "is not an accelerator, NAME[-MEM][:COUNT] (try 'RTX4090:2')");
    assert_refuses("-24GiB", "is not an accelerator, NAME[-MEM][:COUNT] (try 'RTX4090:2')");
    assert_refuses("cpu:2", "asks for several: the CPU of a node is one device");
    assert_refuses("cpu-8GiB", "asks for memory of a CPU: that is resources.memory");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/jobspec/accelerator/good", test_good);
    g_test_add_func("/jobspec/accelerator/bad", test_bad);
    return g_test_run();
}
