/* SPDX-License-Identifier: Apache-2.0
 *
 * Each test has its own folder. Damage is done to files as a disk or a crash would do it; the kill
 * test ends a saving process at random moments.
 */
#include "checkpoint.h"
#include "weights.h"

#include <glib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static const GptConfig tiny = {.layers = 2, .heads = 2, .channels = 8, .context = 6, .vocab = 11};

typedef struct {
    char *dir;
    Params params;
    float *weights, *m, *v;
    guint notes;
} Fixture;

static void fixture_init(Fixture *fixture, gconstpointer data)
{
    (void)data;
    fixture->dir = g_dir_make_tmp("checkpoint-XXXXXX", NULL);
    g_assert_cmpint(params_init(&fixture->params, &tiny, NULL), ==, 0);
    fixture->weights = g_new0(float, fixture->params.count);
    fixture->m = g_new0(float, fixture->params.count);
    fixture->v = g_new0(float, fixture->params.count);
}

static void tree_remove(const char *path)
{
    GDir *dir = g_file_test(path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open(path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *inside = g_build_filename(path, name, NULL);

        tree_remove(inside);
    }
    if (dir)
        g_dir_close(dir);
    g_remove(path);
}

static void fixture_clear(Fixture *fixture, gconstpointer data)
{
    (void)data;
    tree_remove(fixture->dir);
    g_free(fixture->dir);
    params_clear(&fixture->params);
    g_free(fixture->weights);
    g_free(fixture->m);
    g_free(fixture->v);
}

static CheckpointState state_of(Fixture *fixture)
{
    return (CheckpointState){.weights = fixture->weights, .m = fixture->m, .v = fixture->v};
}

/* Every number of the checkpoint of a step follows from the step. */
static int save(Fixture *fixture, gint64 step, int keep, Fault *fault)
{
    CheckpointPlace place = {.dir = fixture->dir, .keep = keep};
    CheckpointState state = state_of(fixture);

    for (size_t i = 0; i < fixture->params.count; i++) {
        fixture->weights[i] = (float)(step * 1000 + (gint64)i);
        fixture->m[i] = (float)(step * 2000 + (gint64)i);
        fixture->v[i] = (float)(step * 3000 + (gint64)i);
    }
    state.step = step;
    state.samples = step * 8;
    state.seed = 77;
    return checkpoint_save(&place, &fixture->params, &state, fault);
}

static void count_note(void *user_data, const char *words)
{
    Fixture *fixture = user_data;

    g_assert_nonnull(strstr(words, "passing over checkpoint step-"));
    fixture->notes++;
}

/* The step that was loaded, checked in every number; 0: none, -1: error. */
static gint64 load(Fixture *fixture, Fault *fault)
{
    CheckpointNotes notes = {count_note, fixture};
    CheckpointState state = state_of(fixture);
    int rc;

    fixture->notes = 0;
    rc = checkpoint_load(fixture->dir, &fixture->params, &state, &notes, fault);
    if (rc <= 0)
        return rc;
    g_assert_cmpint(state.samples, ==, state.step * 8);
    g_assert_cmpint(state.seed, ==, 77);
    for (size_t i = 0; i < fixture->params.count; i++) {
        g_assert_cmpfloat(fixture->weights[i], ==, (float)(state.step * 1000 + (gint64)i));
        g_assert_cmpfloat(fixture->m[i], ==, (float)(state.step * 2000 + (gint64)i));
        g_assert_cmpfloat(fixture->v[i], ==, (float)(state.step * 3000 + (gint64)i));
    }
    return state.step;
}

static char *file_of(Fixture *fixture, const char *step, const char *name)
{
    return g_build_filename(fixture->dir, step, name, NULL);
}

static guint entries_of(Fixture *fixture)
{
    GDir *dir = g_dir_open(fixture->dir, 0, NULL);
    guint count = 0;

    while (g_dir_read_name(dir))
        count++;
    g_dir_close(dir);
    return count;
}

static void test_newest_is_loaded(Fixture *fixture, gconstpointer data)
{
    g_autofree char *latest = g_build_filename(fixture->dir, "latest", NULL);
    g_autofree char *target = NULL;
    Fault fault = {0};

    (void)data;
    g_assert_cmpint(load(fixture, &fault), ==, 0); /* empty */
    for (gint64 step = 98; step < 103; step++)
        g_assert_cmpint(save(fixture, step, 2, &fault), ==, 0);
    g_assert_cmpint(load(fixture, &fault), ==, 102);
    g_assert_cmpuint(entries_of(fixture), ==, 3); /* two steps and latest */
    target = g_file_read_link(latest, NULL);
    g_assert_cmpstr(target, ==, "step-00000102");
    g_assert_cmpint(save(fixture, 102, 2, &fault), ==, 0); /* again, over itself */
    g_assert_cmpint(load(fixture, &fault), ==, 102);
    g_assert_cmpuint(entries_of(fixture), ==, 3);
    g_assert_cmpint(save(fixture, G_GINT64_CONSTANT(123456789012), 1, &fault), ==, 0);
    g_assert_cmpint(load(fixture, &fault), ==, G_GINT64_CONSTANT(123456789012));
    g_assert_cmpuint(fixture->notes, ==, 0);
}

/* Truncation and a flipped bit in each file: the one before is used, and told. */
static void test_damage_is_found(Fixture *fixture, gconstpointer data)
{
    static const char *const files[] = {"model.safetensors", "optimizer.safetensors", "config.json",
                                        "trainer.json"};
    Fault fault = {0};

    (void)data;
    g_assert_cmpint(save(fixture, 1, 3, &fault), ==, 0);
    for (guint k = 0; k < G_N_ELEMENTS(files); k++) {
        g_autofree char *path = file_of(fixture, "step-00000002", files[k]);
        g_autofree char *bytes = NULL;
        gsize size;

        g_assert_cmpint(save(fixture, 2, 3, &fault), ==, 0);
        g_assert_cmpint(load(fixture, &fault), ==, 2);
        g_assert_true(g_file_get_contents(path, &bytes, &size, NULL));
        for (gsize at = 0; at < size; at += 1 + size / 37) {
            bytes[at] ^= 4;
            g_assert_true(g_file_set_contents(path, bytes, (gssize)size, NULL));
            bytes[at] ^= 4;
            g_assert_cmpint(load(fixture, &fault), ==, 1);
            g_assert_cmpuint(fixture->notes, ==, 1);
        }
        g_assert_true(g_file_set_contents(path, bytes, (gssize)size - 2, NULL));
        g_assert_cmpint(load(fixture, &fault), ==, 1);
        g_assert_true(g_file_set_contents(path, "", 0, NULL));
        g_assert_cmpint(load(fixture, &fault), ==, 1);
        g_unlink(path);
        g_assert_cmpint(load(fixture, &fault), ==, 1);
        g_assert_cmpuint(fixture->notes, ==, 1);
    }
    {
        g_autofree char *path = file_of(fixture, "step-00000001", "trainer.json");

        g_unlink(path);
    }
    g_assert_cmpint(load(fixture, &fault), ==, -1); /* nothing whole: not silently anew */
    g_assert_nonnull(strstr(fault.words, fixture->dir));
    g_assert_cmpuint(fixture->notes, ==, 2);
}

/* Training that goes on from an earlier checkpoint because later ones are damaged: what it saves
 * stays, however few are kept, until it has come past the damaged ones. */
static void test_damaged_ones_push_nothing_out(Fixture *fixture, gconstpointer data)
{
    g_autofree char *damaged = file_of(fixture, "step-00000040", "config.json");
    Fault fault = {0};

    (void)data;
    g_assert_cmpint(save(fixture, 20, 2, &fault), ==, 0);
    g_assert_cmpint(save(fixture, 40, 2, &fault), ==, 0);
    g_assert_true(g_file_set_contents(damaged, "", 0, NULL));
    g_assert_cmpint(save(fixture, 30, 1, &fault), ==, 0);
    g_assert_cmpint(load(fixture, &fault), ==, 30);
    g_assert_cmpuint(entries_of(fixture), ==, 3); /* 30, 40, latest */
    g_assert_cmpint(save(fixture, 50, 1, &fault), ==, 0);
    g_assert_cmpint(load(fixture, &fault), ==, 50);
    g_assert_cmpuint(entries_of(fixture), ==, 2);
}

static void test_other_model(Fixture *fixture, gconstpointer data)
{
    GptConfig other = tiny;
    Fault fault = {0};

    (void)data;
    g_assert_cmpint(save(fixture, 1, 3, &fault), ==, 0);
    other.heads = 4; /* same shapes, other model */
    params_clear(&fixture->params);
    g_assert_cmpint(params_init(&fixture->params, &other, NULL), ==, 0);
    g_assert_cmpint(load(fixture, &fault), ==, -1);
    g_assert_nonnull(strstr(fault.words, "--heads 2"));
}

static void test_leftovers(Fixture *fixture, gconstpointer data)
{
    static const char *const names[] = {".new-step-00000009", ".old-step-00000001", "step-abc",
                                        "step-", "step-00000003x"};
    Fault fault = {0};

    (void)data;
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = file_of(fixture, names[i], NULL);
        g_autofree char *inside = file_of(fixture, names[i], "model.safetensors");

        g_mkdir(path, 0700);
        g_assert_true(g_file_set_contents(inside, "half", 4, NULL));
    }
    g_assert_cmpint(load(fixture, &fault), ==, 0); /* none of them is a checkpoint */
    g_assert_cmpint(save(fixture, 9, 1, &fault), ==, 0);
    g_assert_cmpint(load(fixture, &fault), ==, 9);
    g_assert_cmpuint(entries_of(fixture), ==, 5); /* the user's own three, step-9, latest */
}

static void test_unwritable(Fixture *fixture, gconstpointer data)
{
    g_autofree char *file = g_build_filename(fixture->dir, "file", NULL);
    g_autofree char *below = g_build_filename(file, "dir", NULL);
    g_autofree char *deep = g_build_filename(fixture->dir, "a", "b", "c", NULL);
    g_autofree char *kept = g_steal_pointer(&fixture->dir);
    Fault fault = {0};

    (void)data;
    g_assert_true(g_file_set_contents(file, "", 0, NULL));
    fixture->dir = below;
    g_assert_cmpint(save(fixture, 1, 1, &fault), ==, -1);
    g_assert_nonnull(strstr(fault.words, file));
    fixture->dir = deep;
    g_assert_cmpint(save(fixture, 1, 1, &fault), ==, 0);
    g_assert_cmpint(load(fixture, &fault), ==, 1);
    fixture->dir = g_steal_pointer(&kept);
}

/* SIGKILL after a random part of a save: what is there is whole and is the newest or the one
 * before. */
static void test_kill(Fixture *fixture, gconstpointer data)
{
    gint64 known = 1, last = 0;
    Fault fault = {0};

    (void)data;
    g_assert_cmpint(save(fixture, known, 2, &fault), ==, 0);
    for (int round = 0; round < 40; round++) {
        int pipes[2], status;
        pid_t child;

        g_assert_cmpint(pipe(pipes), ==, 0);
        child = fork();
        g_assert_cmpint(child, >=, 0);
        if (child == 0) {
            close(pipes[0]);
            for (gint64 step = known + 1;; step++)
                if (save(fixture, step, 2, NULL) || write(pipes[1], &step, sizeof(step)) < 0)
                    _exit(1);
        }
        close(pipes[1]);
        g_assert_cmpint(read(pipes[0], &last, sizeof(last)), ==, sizeof(last));
        g_usleep((gulong)g_test_rand_int_range(0, 4000));
        kill(child, SIGKILL);
        g_assert_cmpint(waitpid(child, &status, 0), ==, child);
        g_assert_true(WIFSIGNALED(status));
        while (read(pipes[0], &last, sizeof(last)) == sizeof(last))
            ;
        close(pipes[0]);
        known = load(fixture, &fault);
        g_assert_cmpint(known, >=, last);
        g_assert_cmpint(known, <=, last + 1);
        g_assert_cmpuint(fixture->notes, ==, 0);
    }
}

/* --init: names with "transformer.", a longer wpe, what is missing. */
static void test_weights(Fixture *fixture, gconstpointer data)
{
    g_autofree char *path = g_build_filename(fixture->dir, "w", NULL);
    GptConfig other = tiny;
    Params fewer, more;
    Fault fault = {0};

    (void)data;
    for (size_t i = 0; i < fixture->params.count; i++)
        fixture->weights[i] = (float)i;
    g_assert_cmpint(weights_save(path, &fixture->params, fixture->weights, &fault), ==, 0);
    other.context = 4;
    g_assert_cmpint(params_init(&fewer, &other, NULL), ==, 0);
    g_assert_cmpint(weights_load(path, "", &fewer, fixture->m, &fault), ==, 0);
    g_assert_cmpfloat(fixture->m[fewer.list[PARAM_WPE].offset + 31], ==,
                      (float)(fixture->params.list[PARAM_WPE].offset + 31));
    g_assert_cmpfloat(fixture->m[fewer.count - 1], ==, (float)(fixture->params.count - 1));
    params_clear(&fewer);
    other = tiny;
    other.layers = 3;
    g_assert_cmpint(params_init(&more, &other, NULL), ==, 0);
    {
        g_autofree float *room = g_new(float, more.count);

        g_assert_cmpint(weights_load(path, "", &more, room, &fault), ==, -1);
        g_assert_nonnull(strstr(fault.words, "h.2.ln_1.weight"));
    }
    params_clear(&more);
    other = tiny;
    other.vocab = 12;
    g_assert_cmpint(params_init(&more, &other, NULL), ==, 0);
    g_assert_cmpint(weights_load(path, "", &more, fixture->m, &fault), ==, -1);
    g_assert_nonnull(strstr(fault.words, "--vocab"));
    params_clear(&more);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, func) \
    g_test_add("/gpt/checkpoint/" name, Fixture, NULL, fixture_init, func, fixture_clear)
    ADD("newest_is_loaded", test_newest_is_loaded);
    ADD("damage_is_found", test_damage_is_found);
    ADD("damaged_ones_push_nothing_out", test_damaged_ones_push_nothing_out);
    ADD("other_model", test_other_model);
    ADD("leftovers", test_leftovers);
    ADD("unwritable", test_unwritable);
    ADD("kill", test_kill);
    ADD("weights", test_weights);
    return g_test_run();
}
