/* SPDX-License-Identifier: Apache-2.0
 *
 * Order of writes, and what a crash after each leaves behind:
 *
 *     DIR/.new-N/ with its files, each synced   rubbish that the next save removes
 *     sync of DIR/.new-N, rename to DIR/step-N  the new checkpoint or, if DIR was not synced, the
 *                                               old one
 *     sync of DIR                               the new checkpoint
 *     DIR/latest replaced by rename             (for people: loading goes by the highest step)
 *     surplus DIR/step-M renamed to .old-M      rubbish that the next save removes
 *
 * A step saved again (after a fall-back to an earlier one) first moves the old folder to .old-N.
 */
#include "checkpoint.h"

#include "kernels.h"
#include "weights.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORMAT     1
#define JSON_MAX   65536 /* bytes of config.json and trainer.json */
#define STEP_NAME  "step-%08" PRId64
#define READ_BYTES ((size_t)1 << 20)

static const char *const files[] = {"model.safetensors", "config.json", "optimizer.safetensors"};
#define FILES_COUNT (sizeof(files) / sizeof(files[0]))

static int path_make(char path[CHECKPOINT_PATH_MAX], const char *folder, const char *name,
                     Fault *fault)
{
    int size = snprintf(path, CHECKPOINT_PATH_MAX, "%s/%s", folder, name);

    if (size < 0 || size >= CHECKPOINT_PATH_MAX)
        return fault_set(fault, "%s: the path is too long", folder);
    return 0;
}

/* ---- small files and folders ---- */

static int folder_sync(const char *path, Fault *fault)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc;

    if (fd < 0)
        return fault_set(fault, "%s: cannot open: %s", path, strerror(errno));
    rc = fsync(fd);
    if (rc)
        fault_set(fault, "%s: cannot sync: %s", path, strerror(errno));
    close(fd);
    return rc;
}

static int folders_make(const char *path, Fault *fault)
{
    char part[CHECKPOINT_PATH_MAX];
    size_t size = strlen(path);

    if (!size || size >= sizeof(part))
        return fault_set(fault, "the checkpoint folder's path is empty or too long");
    for (size_t i = 1; i <= size; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0777) && errno != EEXIST)
            return fault_set(fault, "%s: cannot create: %s", part, strerror(errno));
    }
    return 0;
}

/* Removes a folder of plain files. What fails is left for the next time. */
static void folder_remove(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;

    while (folder && (entry = readdir(folder)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(dirfd(folder), entry->d_name, 0);
    if (folder)
        closedir(folder);
    rmdir(path);
}

static int json_save(const char *path, const json_t *root, Fault *fault)
{
    FILE *file = root ? fopen(path, "wxe") : NULL;
    int rc = -1;

    if (!file)
        return fault_set(fault, "%s: cannot create: %s", path,
                         root ? strerror(errno) : "no memory");
    if (!json_dumpf(root, file, JSON_INDENT(2) | JSON_SORT_KEYS) && fputc('\n', file) != EOF &&
        !fflush(file) && !fsync(fileno(file)))
        rc = 0;
    if (fclose(file))
        rc = -1;
    return rc ? fault_set(fault, "%s: cannot write: %s", path, strerror(errno)) : 0;
}

static int json_open(const char *path, json_t **root, Fault *fault)
{
    char *words = malloc(JSON_MAX + 1);
    FILE *file = words ? fopen(path, "re") : NULL;
    json_error_t error;
    size_t size;

    if (!file) {
        free(words);
        return fault_set(fault, "%s: cannot open: %s", path, strerror(errno));
    }
    size = fread(words, 1, JSON_MAX + 1, file);
    fclose(file);
    *root = size > JSON_MAX ? NULL : json_loadb(words, size, JSON_REJECT_DUPLICATES, &error);
    free(words);
    if (!*root)
        return fault_set(fault, "%s: %s", path, size > JSON_MAX ? "too large" : error.text);
    return 0;
}

static int file_measure(const char *path, uint64_t *size, uint32_t *crc, Fault *fault)
{
    const Kernels *kernels = kernels_select();
    uint8_t *bytes = malloc(READ_BYTES);
    FILE *file = bytes ? fopen(path, "re") : NULL;
    size_t got;
    int rc;

    if (!file) {
        free(bytes);
        return fault_set(fault, "%s: cannot open: %s", path, strerror(errno));
    }
    *size = 0;
    *crc = 0;
    while ((got = fread(bytes, 1, READ_BYTES, file)) > 0) {
        *crc = kernels->crc32c(*crc, bytes, got);
        *size += got;
    }
    rc = ferror(file);
    fclose(file);
    free(bytes);
    return rc ? fault_set(fault, "%s: cannot read", path) : 0;
}

/* ---- trainer.json ---- */

/* The checksum of the document without its member "crc32c". */
static int64_t json_checksum(const json_t *root)
{
    char *words = json_dumps(root, JSON_COMPACT | JSON_SORT_KEYS);
    int64_t sum = words ? (int64_t)kernels_select()->crc32c(0, words, strlen(words)) : -1;

    free(words);
    return sum;
}

static json_t *files_describe(const char *folder, Fault *fault)
{
    json_t *list = json_object();

    for (size_t i = 0; list && i < FILES_COUNT; i++) {
        char path[CHECKPOINT_PATH_MAX];
        uint64_t size;
        uint32_t crc;

        if (path_make(path, folder, files[i], fault) || file_measure(path, &size, &crc, fault) ||
            json_object_set_new(
                list, files[i],
                json_pack("{s:I, s:I}", "size", (json_int_t)size, "crc32c", (json_int_t)crc))) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

static int trainer_save(const char *folder, const CheckpointState *state, Fault *fault)
{
    char path[CHECKPOINT_PATH_MAX];
    json_t *list = files_describe(folder, fault);
    json_t *root;
    int rc;

    if (!list || path_make(path, folder, "trainer.json", fault)) {
        json_decref(list);
        return -1;
    }
    root = json_pack("{s:i, s:I, s:I, s:I, s:o}", "format", FORMAT, "step", (json_int_t)state->step,
                     "samples", (json_int_t)state->samples, "seed", (json_int_t)state->seed,
                     "files", list);
    if (root && json_object_set_new(root, "crc32c", json_integer(json_checksum(root)))) {
        json_decref(root);
        root = NULL;
    }
    rc = json_save(path, root, fault);
    json_decref(root);
    return rc;
}

static int files_verify(const char *folder, const json_t *list, Fault *fault)
{
    for (size_t i = 0; i < FILES_COUNT; i++) {
        const json_t *entry = json_object_get(list, files[i]);
        char path[CHECKPOINT_PATH_MAX];
        uint64_t size;
        uint32_t crc;

        if (path_make(path, folder, files[i], fault) || file_measure(path, &size, &crc, fault))
            return -1;
        if (json_integer_value(json_object_get(entry, "size")) != (json_int_t)size)
            return fault_set(fault, "%s: it has %" PRIu64 " bytes, not those that were written",
                             path, size);
        if (json_integer_value(json_object_get(entry, "crc32c")) != (json_int_t)crc)
            return fault_set(fault, "%s: its checksum is wrong: the file was damaged", path);
    }
    return 0;
}

static int trainer_verify(const char *folder, json_t *root, CheckpointState *state, Fault *fault)
{
    json_int_t step, samples, seed, sum;
    json_t *list;
    int format;

    if (json_unpack(root, "{s:i, s:I, s:I, s:I, s:o, s:I}", "format", &format, "step", &step,
                    "samples", &samples, "seed", &seed, "files", &list, "crc32c", &sum))
        return fault_set(fault, "%s/trainer.json: something is missing in it", folder);
    if (json_object_del(root, "crc32c") || json_checksum(root) != (int64_t)sum)
        return fault_set(fault, "%s/trainer.json: its checksum is wrong: the file was damaged",
                         folder);
    if (format != FORMAT)
        return fault_set(fault, "%s: format %d, this program reads %d", folder, format, FORMAT);
    if (step < 0 || samples < 0 || seed < 0)
        return fault_set(fault, "%s/trainer.json: a negative number", folder);
    state->step = step;
    state->samples = samples;
    state->seed = seed;
    return files_verify(folder, list, fault);
}

static int trainer_load(const char *folder, CheckpointState *state, Fault *fault)
{
    char path[CHECKPOINT_PATH_MAX];
    json_t *root;
    int rc;

    if (path_make(path, folder, "trainer.json", fault) || json_open(path, &root, fault))
        return -1;
    rc = trainer_verify(folder, root, state, fault);
    json_decref(root);
    return rc;
}

/* ---- config.json ---- */

static int config_save(const char *folder, const GptConfig *config, Fault *fault)
{
    char path[CHECKPOINT_PATH_MAX];
    json_t *root;
    int rc;

    if (path_make(path, folder, "config.json", fault))
        return -1;
    root =
        json_pack("{s:[s], s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:f, s:f, s:f, s:f, s:i, "
                  "s:i, s:b, s:s}",
                  "architectures", "GPT2LMHeadModel", "model_type", "gpt2", "activation_function",
                  "gelu_new", "n_layer", config->layers, "n_head", config->heads, "n_embd",
                  config->channels, "n_positions", config->context, "n_ctx", config->context,
                  "vocab_size", config->vocab, "layer_norm_epsilon", 1e-5, "initializer_range",
                  0.02, "resid_pdrop", 0.0, "embd_pdrop", 0.0, "attn_pdrop", 0.0, "bos_token_id", 0,
                  "eos_token_id", 0, "tie_word_embeddings", 1, "torch_dtype", "float32");
    rc = json_save(path, root, fault);
    json_decref(root);
    return rc;
}

static int config_check(const char *folder, const GptConfig *config, Fault *fault)
{
    char path[CHECKPOINT_PATH_MAX];
    GptConfig found = {0};
    json_t *root;
    int rc;

    if (path_make(path, folder, "config.json", fault) || json_open(path, &root, fault))
        return -1;
    rc = json_unpack(root, "{s:i, s:i, s:i, s:i, s:i}", "n_layer", &found.layers, "n_head",
                     &found.heads, "n_embd", &found.channels, "n_positions", &found.context,
                     "vocab_size", &found.vocab);
    json_decref(root);
    if (!rc && found.layers == config->layers && found.heads == config->heads &&
        found.channels == config->channels && found.context == config->context &&
        found.vocab == config->vocab)
        return 0;
    return fault_set(fault,
                     "%s is of another model (--layers %d --heads %d --channels %d --context %d "
                     "--vocab %d): give its flags, or another --resume folder",
                     folder, found.layers, found.heads, found.channels, found.context, found.vocab);
}

/* ---- the list of checkpoints ---- */

static int is_step(const struct dirent *entry)
{
    int64_t step;
    int end = 0;

    return sscanf(entry->d_name, "step-%19" SCNd64 "%n", &step, &end) == 1 && step >= 0 &&
           entry->d_name[end] == '\0';
}

static int64_t step_of(const struct dirent *entry)
{
    return strtoll(entry->d_name + strlen("step-"), NULL, 10);
}

static int newest_first(const struct dirent **a, const struct dirent **b)
{
    int64_t x = step_of(*a), y = step_of(*b);

    return x < y ? 1 : x > y ? -1 : 0;
}

static void list_free(struct dirent **list, int count)
{
    for (int i = 0; i < count; i++)
        free(list[i]);
    free(list);
}

static int is_rubbish(const struct dirent *entry)
{
    return strncmp(entry->d_name, ".new-", 5) == 0 || strncmp(entry->d_name, ".old-", 5) == 0;
}

static void rubbish_remove(const char *dir)
{
    struct dirent **list = NULL;
    int count = scandir(dir, &list, is_rubbish, NULL);
    char path[CHECKPOINT_PATH_MAX];

    for (int i = 0; i < count; i++) {
        if (!path_make(path, dir, list[i]->d_name, NULL))
            folder_remove(path);
    }
    if (count >= 0)
        list_free(list, count);
}

/* ---- saving ---- */

static void step_retire(const char *dir, const char *name)
{
    char from[CHECKPOINT_PATH_MAX], hidden[CHECKPOINT_PATH_MAX], to[CHECKPOINT_PATH_MAX];

    snprintf(hidden, sizeof(hidden), ".old-%s", name);
    if (path_make(from, dir, name, NULL) || path_make(to, dir, hidden, NULL))
        return;
    folder_remove(to);
    if (!rename(from, to))
        folder_remove(to);
}

/* Keeps `keep` of those up to `step`, which is the one just saved. Later ones were passed over as
 * damaged: they count for nothing, and go when training comes past them. */
static void surplus_remove(const char *dir, int64_t step, int keep)
{
    struct dirent **list = NULL;
    int count = scandir(dir, &list, is_step, newest_first), kept = 0;

    for (int i = 0; i < count; i++) {
        if (step_of(list[i]) <= step && ++kept > keep)
            step_retire(dir, list[i]->d_name);
    }
    if (count >= 0)
        list_free(list, count);
}

static void latest_point(const char *dir, const char *name)
{
    char link[CHECKPOINT_PATH_MAX], made[CHECKPOINT_PATH_MAX];

    if (path_make(link, dir, "latest", NULL) || path_make(made, dir, ".latest", NULL))
        return;
    unlink(made);
    if (symlink(name, made) || rename(made, link))
        unlink(made);
}

static int files_write(const char *folder, const Params *params, const CheckpointState *state,
                       Fault *fault)
{
    char path[CHECKPOINT_PATH_MAX];

    if (path_make(path, folder, "model.safetensors", fault) ||
        weights_save(path, params, state->weights, fault) ||
        path_make(path, folder, "optimizer.safetensors", fault) ||
        weights_save_pair(path, params, state->m, state->v, fault) ||
        config_save(folder, &params->config, fault) || trainer_save(folder, state, fault))
        return -1;
    return folder_sync(folder, fault);
}

int checkpoint_save(CheckpointPlace *place, const Params *params, const CheckpointState *state,
                    Fault *fault)
{
    const char *dir = place->dir;
    char *path = place->path;
    char made[CHECKPOINT_PATH_MAX], name[64], hidden[64];

    snprintf(name, sizeof(name), STEP_NAME, state->step);
    snprintf(hidden, sizeof(hidden), ".new-" STEP_NAME, state->step);
    if (folders_make(dir, fault) || path_make(path, dir, name, fault) ||
        path_make(made, dir, hidden, fault))
        return -1;
    rubbish_remove(dir);
    if (mkdir(made, 0777))
        return fault_set(fault, "%s: cannot create: %s", made, strerror(errno));
    if (files_write(made, params, state, fault)) {
        folder_remove(made);
        return -1;
    }
    if (access(path, F_OK) == 0)
        step_retire(dir, name);
    if (rename(made, path)) {
        fault_set(fault, "%s: cannot rename: %s", path, strerror(errno));
        folder_remove(made);
        return -1;
    }
    if (folder_sync(dir, fault))
        return -1;
    latest_point(dir, name);
    surplus_remove(dir, state->step, place->keep < 1 ? 1 : place->keep);
    return 0;
}

/* ---- loading ---- */

static int state_load(const char *folder, const Params *params, CheckpointState *state,
                      Fault *fault)
{
    char path[CHECKPOINT_PATH_MAX];

    if (path_make(path, folder, "model.safetensors", fault) ||
        weights_load(path, "", params, state->weights, fault) ||
        path_make(path, folder, "optimizer.safetensors", fault) ||
        weights_load(path, "m.", params, state->m, fault) ||
        weights_load(path, "v.", params, state->v, fault))
        return -1;
    return 0;
}

static void note_damage(const CheckpointNotes *notes, const char *name, const Fault *damage)
{
    char words[sizeof(damage->words) + 320];

    if (!notes || !notes->note)
        return;
    snprintf(words, sizeof(words), "passing over checkpoint %s: %s", name, damage->words);
    notes->note(notes->user_data, words);
}

/* 1: loaded, 0: damaged (words in `damage`), -1: whole but not ours (words in `fault`). */
static int step_load(const char *folder, const Params *params, CheckpointState *state,
                     Fault *damage, Fault *fault)
{
    if (trainer_load(folder, state, damage))
        return 0;
    if (config_check(folder, &params->config, fault) || state_load(folder, params, state, fault))
        return -1;
    return 1;
}

int checkpoint_load(const char *dir, const Params *params, CheckpointState *state,
                    const CheckpointNotes *notes, Fault *fault)
{
    struct dirent **list = NULL;
    int count = scandir(dir, &list, is_step, newest_first), rc = 0;
    char folder[CHECKPOINT_PATH_MAX];
    Fault damage = {0};

    if (count < 0)
        return errno == ENOENT ? 0 : fault_set(fault, "%s: cannot read: %s", dir, strerror(errno));
    for (int i = 0; i < count && rc == 0; i++) {
        rc = path_make(folder, dir, list[i]->d_name, fault)
                 ? -1
                 : step_load(folder, params, state, &damage, fault);
        if (rc == 0)
            note_damage(notes, list[i]->d_name, &damage);
    }
    list_free(list, count);
    if (count > 0 && rc == 0)
        return fault_set(fault, "no checkpoint in %s is whole (%s); remove them to start anew", dir,
                         damage.words);
    return rc;
}
