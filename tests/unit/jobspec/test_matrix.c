/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/jobspec/spec.h"

static const JobSpec *job_at(const JobSpecFile *file, guint index)
{
    return g_ptr_array_index(file->jobs, index);
}

/* The last name varies fastest, values are what was written, and each job knows its combination. */
static void test_expansion(void)
{
    g_autoptr(JobSpecFile) file =
        spec_parse("version: 1\nname: sweep\nrun: ./t ${{ matrix.lr }} ${{matrix.seed}}\n"
                   "envs: {LR: '${{ matrix.lr }}', HALF: 'x${{  matrix.seed  }}y'}\n"
                   "setup: make S=${{ matrix.seed }}\nmatrix: {lr: [1e-4, 3e-4], seed: 1..3}\n"
                   "max_parallel: 2\n");
    static const char *const runs[] = {"./t 1e-4 1", "./t 1e-4 2", "./t 1e-4 3",
                                       "./t 3e-4 1", "./t 3e-4 2", "./t 3e-4 3"};

    g_assert_cmpuint(file->diagnostics->len, ==, 0);
    g_assert_cmpuint(file->jobs->len, ==, 6);
    for (guint i = 0; i < 6; i++) {
        const JobSpec *job = job_at(file, i);
        g_autofree char *name = g_strdup_printf("sweep-%u", i + 1);

        g_assert_cmpstr(job->name, ==, name);
        g_assert_cmpstr(job->matrix_group, ==, "sweep");
        g_assert_cmpint(job->max_parallel, ==, 2);
        g_assert_cmpstr(job->run, ==, runs[i]);
    }
    g_assert_cmpstr(job_at(file, 3)->setup, ==, "make S=1");
    g_assert_cmpstr(((JobSpecPair *)g_ptr_array_index(job_at(file, 5)->envs, 0))->value, ==, "x3y");
    g_assert_cmpstr(((JobSpecPair *)g_ptr_array_index(job_at(file, 5)->envs, 1))->value, ==,
                    "3e-4");
    g_assert_cmpstr(((JobSpecPair *)g_ptr_array_index(job_at(file, 5)->matrix, 0))->key, ==, "lr");
    g_assert_cmpstr(((JobSpecPair *)g_ptr_array_index(job_at(file, 5)->matrix, 1))->value, ==, "3");
}

static void test_values_keep_their_text(void)
{
    g_autoptr(JobSpecFile) file = spec_parse(
        "version: 1\nname: a\nrun: ${{ matrix.v }}\nmatrix: {v: [010, 1.50, no, true, '']}\n");
    static const char *const runs[] = {"010", "1.50", "no", "true", ""};

    g_assert_cmpuint(file->jobs->len, ==, 5);
    for (guint i = 0; i < 5; i++)
        g_assert_cmpstr(job_at(file, i)->run, ==, runs[i]);
}

static void test_unknown_reference(void)
{
    spec_assert(
        "setup: echo ${{ matrix.sed }}\nenvs: {A: '${{ matrix.seed }}'}\nmatrix: {seed: [1]}\n",
        "4:13+3 E114 setup: 'matrix.sed' is not in the matrix; did you mean 'matrix.seed'?\n");
    spec_assert("setup: echo ${{ matrix.a }}\n",
                "4:13+3 E114 setup: 'matrix.a': the job has no matrix\n");
    spec_assert(
        "setup: ${{ github.sha }}\n",
        "4:8+3 E114 setup: 'github.sha' is not known; only matrix.NAME can stand in ${{ }}\n");
    spec_assert("setup: ${{ matrix.a\nmatrix: {a: [1]}\n",
                "4:8+3 E114 setup: '${{' has no '}}'\n"
                "5:10+1 W201 matrix.a: ${{ matrix.a }} is used nowhere, so its jobs are alike\n");
}

/* The place is the reference's own, also inside a block of many lines. */
static void test_position_in_block(void)
{
    spec_assert("setup: |\n  make\n  echo ${{ matrix.a }}\n  echo \xc3\xa9 ${{ matrix.b }}\n"
                "matrix: {a: [1]}\n",
                "7:10+3 E114 setup: 'matrix.b' is not in the matrix\n");
}

static void test_only_where_it_is_replaced(void)
{
    spec_assert("workdir: x/${{ matrix.a }}\nmatrix: {a: [1]}\n",
                "4:10+17 E114 workdir: '${{' is replaced in run, setup and envs only\n"
                "5:10+1 W201 matrix.a: ${{ matrix.a }} is used nowhere, so its jobs are alike\n");
}

static void test_bad_values(void)
{
    spec_assert(
        "matrix: {a: 5}\n",
        "4:13+1 E106 matrix.a: '5' is not a list of values or a range of whole numbers (try "
        "'[5]')\n");
    spec_assert(
        "matrix: {a: -1..1}\n",
        "4:13+5 E106 matrix.a: '-1..1' is not a list of values or a range of whole numbers (try "
        "'1..3')\n");
    spec_assert("matrix: {a: 3..1}\n",
                "4:13+4 E106 matrix.a: '3..1' has its lower end above its upper end\n");
    spec_assert("matrix: {a: []}\n", "4:13+1 E106 matrix.a: the list is empty\n");
    spec_assert("matrix: {a: [1, [2], null, 1]}\n",
                "4:17+1 E105 matrix.a: a value must be text or a number\n"
                "4:22+4 E105 matrix.a: a value must be text or a number\n"
                "4:28+1 E103 matrix.a: '1' is there twice\n");
    spec_assert("matrix: {a: {b: c}}\n",
                "4:13+1 E105 matrix.a: a mapping is not a list of values\n");
    spec_assert("matrix: {a: ['${{ matrix.b }}']}\n",
                "4:14+17 E114 matrix.a: a value cannot hold another '${{'\n");
    spec_assert("matrix: {}\n",
                "4:9+1 E106 matrix: empty (try '{lr: [1e-4, 3e-4], seed: 1..3}')\n");
    spec_assert("matrix: [1]\n", "4:9+1 E105 matrix: a list is not a mapping of names to lists of "
                                 "values (try '{lr: [1e-4, 3e-4], seed: 1..3}')\n");
    spec_assert_has("matrix: {9a: [1]}\n", "4:10+2 E106 matrix: '9a' is not a name");
}

static void test_size(void)
{
    spec_assert("setup: ${{matrix.a}}${{matrix.b}}\nmatrix: {a: 1..40, b: 1..25}\n", "");
    spec_assert("matrix: {a: 1..77, b: 1..13}\n",
                "4:9+1 E109 matrix: more combinations than the file may have jobs (1000 more)\n");
    spec_assert("matrix: {a: 0..9223372036854775806}\n",
                "4:13+22 E109 matrix.a: '0..9223372036854775806' are more values than the file may "
                "have jobs (1000 more)\n");
    spec_assert_has("matrix: {a: 0..9223372036854775807}\n", "4:13+22 E106 matrix.a");
}

/* Jobs are counted over the whole file. */
static void test_jobs_of_the_file(void)
{
    g_autoptr(JobSpecFile) file =
        spec_parse("version: 1\nname: a\nrun: ${{ matrix.x }}\nmatrix: {x: 1..600}\n---\n"
                   "version: 1\nname: b\nrun: ${{ matrix.x }}\nmatrix: {x: 1..600}\n");
    g_autofree char *found = spec_describe(file);

    g_assert_cmpstr(
        found, ==,
        "9:13+6 E109 matrix.x: '1..600' are more values than the file may have jobs (400 more)\n");
    g_assert_cmpuint(file->jobs->len, ==, 600);
}

/* A matrix multiplies texts; what all jobs keep is bounded. */
static void test_memory(void)
{
    g_autofree char *pad = g_strnfill(99000, 'z');
    g_autofree char *value = g_strnfill(60000, 'y');
    g_autoptr(GString) references = g_string_new(NULL);
    g_autofree char *many = NULL, *long_text = NULL;

    many = g_strdup_printf("setup: %s\nenvs: {A: '%s'}\nmatrix: {x: 1..1000}\n", pad, pad);
    spec_assert_has(many, "the jobs of the file take too much memory\n");
    for (int i = 0; i < 6000; i++)
        g_string_append(references, "${{matrix.x}}");
    long_text = g_strdup_printf("setup: %s\nmatrix: {x: [%s]}\n", references->str, value);
    spec_assert_has(long_text, "E114 setup: longer than 100000 bytes with its values\n");
}

static void test_names(void)
{
    g_autofree char *name = g_strnfill(62, 'n');
    g_autofree char *text =
        g_strdup_printf("version: 1\nname: %s\nrun: ${{ matrix.x }}\nmatrix: {x: [1]}\n", name);
    g_autoptr(JobSpecFile) file = spec_parse(text);
    g_autofree char *found = spec_describe(file);

    g_assert_true(g_str_has_prefix(found, "2:7+62 E108 name: with the number of its combination"));
    spec_assert("matrix_group: g\n",
                "4:1+12 E112 matrix_group: it stands beside a matrix of one combination only\n");
    /* a matrix with errors does not make its references wrong, too */
    spec_assert("setup: ${{ matrix.a }}\nmatrix: {a: []}\n",
                "5:13+1 E106 matrix.a: the list is empty\n");
    spec_assert("matrix_group: g\nsetup: ${{ matrix.x }}\nmatrix: {x: [1, 2]}\n",
                "4:1+12 E112 matrix_group: it stands beside a matrix of one combination only\n");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/jobspec/matrix/expansion", test_expansion);
    g_test_add_func("/jobspec/matrix/text", test_values_keep_their_text);
    g_test_add_func("/jobspec/matrix/unknown", test_unknown_reference);
    g_test_add_func("/jobspec/matrix/position", test_position_in_block);
    g_test_add_func("/jobspec/matrix/where", test_only_where_it_is_replaced);
    g_test_add_func("/jobspec/matrix/bad", test_bad_values);
    g_test_add_func("/jobspec/matrix/size", test_size);
    g_test_add_func("/jobspec/matrix/file", test_jobs_of_the_file);
    g_test_add_func("/jobspec/matrix/memory", test_memory);
    g_test_add_func("/jobspec/matrix/names", test_names);
    return g_test_run();
}
