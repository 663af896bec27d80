/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/jobspec/spec.h"

/* A document of three lines, and its depends_on on the fourth. */
static void job_append(GString *text, const char *name, const char *depends)
{
    g_string_append_printf(text, "---\nversion: 1\nname: %s\nrun: x\ndepends_on: [%s]\n", name,
                           depends);
}

static void assert_file(const GString *text, const char *expected)
{
    g_autoptr(JobSpecFile) file = spec_parse(text->str);
    g_autofree char *found = spec_describe(file);

    g_assert_cmpstr(found, ==, expected);
}

static void test_good(void)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(JobSpecFile) file = NULL;
    const JobSpec *job;

    job_append(text, "train", "{job: prep}, {job: fetch, when: ended}"); /* later ones, too */
    job_append(text, "prep", "{job: fetch, when: failed}");
    job_append(text, "fetch", "");
    file = spec_parse(text->str);
    g_assert_cmpuint(file->diagnostics->len, ==, 0);
    job = g_ptr_array_index(file->jobs, 0);
    g_assert_cmpuint(job->depends_on->len, ==, 2);
    g_assert_cmpstr(((JobSpecDependency *)g_ptr_array_index(job->depends_on, 0))->when, ==,
                    "succeeded");
    g_assert_cmpstr(((JobSpecDependency *)g_ptr_array_index(job->depends_on, 1))->job, ==, "fetch");
    g_assert_cmpstr(((JobSpecDependency *)g_ptr_array_index(job->depends_on, 1))->when, ==,
                    "ended");
}

static void test_unknown(void)
{
    g_autoptr(GString) text = g_string_new(NULL);

    job_append(text, "train", "{job: perp}, {job: zzz}");
    job_append(text, "prep", "");
    assert_file(text,
                "5:20+4 E116 depends_on.job: no job 'perp' in this file; did you mean 'prep'?\n"
                "5:33+3 E116 depends_on.job: no job 'zzz' in this file\n");
}

static void test_fields(void)
{
    spec_assert(
        "depends_on: [{jb: x}, {when: later}, b, {job: c, when: failed, x: 1}]\n",
        "4:14+1 E104 'depends_on.job' is missing (try 'job: prep')\n"
        "4:15+2 E102 unknown field 'jb'; did you mean 'job'?\n"
        "4:23+1 E104 'depends_on.job' is missing (try 'job: prep')\n"
        "4:30+5 E106 depends_on.when: unknown word 'later'; it is 'succeeded', 'failed' or "
        "'ended'\n"
        "4:38+1 E105 depends_on: 'b' is not a mapping (try '[{job: prep, when: succeeded}]')\n"
        "4:47+1 E116 depends_on.job: no job 'c' in this file\n"
        "4:64+1 E102 unknown field 'x' (see 'drover spec explain depends_on')\n");
}

static void test_cycles(void)
{
    g_autoptr(GString) text = g_string_new(NULL);

    job_append(text, "a", "{job: a}");
    job_append(text, "b", "{job: c}");
    job_append(text, "c", "{job: d}");
    job_append(text, "d", "{job: b}");
    job_append(text, "e", "{job: d}"); /* behind the cycle, not in it */
    assert_file(text, "5:20+1 E116 depends_on.job: 'a' depends on itself\n"
                      "8:7+1 E116 depends_on: a cycle: b -> c -> d -> b\n");
}

/* A chain as long as a file allows is no recursion, and a ring of them is shown in short. */
static void test_long_ring(void)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(JobSpecFile) file = NULL;
    g_autofree char *found = NULL;

    for (int i = 0; i < 1000; i++) {
        g_autofree char *name = g_strdup_printf("j%d", i);
        g_autofree char *depends = g_strdup_printf("{job: j%d}", (i + 1) % 1000);

        job_append(text, name, depends);
    }
    file = spec_parse(text->str);
    found = spec_describe(file);
    g_assert_cmpstr(
        found, ==,
        "3:7+2 E116 depends_on: a cycle: j0 -> j1 -> j2 -> j3 -> j4 -> j5 -> j6 -> j7 -> j8 "
        "-> j9 -> j10 -> j11 -> j12 -> ... (1000 jobs)\n");
}

static void test_names_used_twice(void)
{
    g_autoptr(GString) text = g_string_new(NULL);

    job_append(text, "a", "");
    job_append(text, "a", "");
    g_string_append(text, "---\nversion: 1\nname: m\nrun: ${{ matrix.x }}\nmatrix: {x: [1, 2]}\n");
    job_append(text, "m-2", "");
    assert_file(text, "8:7+1 E115 name: another job of this file is called 'a'\n"
                      "18:7+3 E115 name: another job of this file is called 'm-2'\n");
}

/* The name of a matrix is all of its jobs; one of them can be named, too. */
static void test_matrix(void)
{
    g_autoptr(GString) text =
        g_string_new("---\nversion: 1\nname: m\nrun: ${{ matrix.x }}\nmatrix: {x: 1..3}\n");
    g_autoptr(JobSpecFile) file = NULL;
    const JobSpec *all, *one;

    job_append(text, "all", "{job: m, when: ended}");
    job_append(text, "one", "{job: m-2}");
    file = spec_parse(text->str);
    g_assert_cmpuint(file->diagnostics->len, ==, 0);
    all = g_ptr_array_index(file->jobs, 3);
    one = g_ptr_array_index(file->jobs, 4);
    g_assert_cmpuint(all->depends_on->len, ==, 3);
    g_assert_cmpstr(((JobSpecDependency *)g_ptr_array_index(all->depends_on, 2))->job, ==, "m-3");
    g_assert_cmpstr(((JobSpecDependency *)g_ptr_array_index(all->depends_on, 2))->when, ==,
                    "ended");
    g_assert_cmpuint(one->depends_on->len, ==, 1);
}

static void test_repeats(void)
{
    g_autoptr(GString) text =
        g_string_new("---\nversion: 1\nname: m\nrun: ${{ matrix.x }}\nmatrix: {x: 1..3}\n");

    job_append(text, "a", "{job: m}, {job: m-1}");
    assert_file(text, "10:30+3 E103 depends_on: 'm-1' is there twice\n");
}

/* 500 jobs that each wait for 500 are not kept. */
static void test_too_many(void)
{
    g_autoptr(GString) text = g_string_new(
        "version: 1\nname: m\nrun: ${{ matrix.x }}\nmatrix: {x: 1..500}\n---\nversion: 1\nname: n\n"
        "run: ${{ matrix.x }}\nmatrix: {x: 1..500}\ndepends_on: [{job: m}]\n");

    assert_file(text,
                "10:20+1 E109 depends_on: too many dependencies among the jobs of this file\n");
}

/* A job with errors of its own still has a name to wait for, and what it waits for is checked. */
static void test_beside_other_errors(void)
{
    g_autoptr(GString) text = g_string_new(NULL);

    job_append(text, "a", "{job: b}");
    job_append(text, "b", "{job: nobody}");
    g_string_append(text, "spott: x\n");
    assert_file(text, "10:20+6 E116 depends_on.job: no job 'nobody' in this file\n"
                      "11:1+5 E102 unknown field 'spott'; did you mean 'spot'?\n");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/jobspec/depend/good", test_good);
    g_test_add_func("/jobspec/depend/unknown", test_unknown);
    g_test_add_func("/jobspec/depend/fields", test_fields);
    g_test_add_func("/jobspec/depend/cycles", test_cycles);
    g_test_add_func("/jobspec/depend/long-ring", test_long_ring);
    g_test_add_func("/jobspec/depend/names", test_names_used_twice);
    g_test_add_func("/jobspec/depend/matrix", test_matrix);
    g_test_add_func("/jobspec/depend/repeats", test_repeats);
    g_test_add_func("/jobspec/depend/too-many", test_too_many);
    g_test_add_func("/jobspec/depend/other-errors", test_beside_other_errors);
    return g_test_run();
}
