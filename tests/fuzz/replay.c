/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs a fuzz target over files, in builds without libFuzzer: each argument is a file or a folder
 * of files. So what a fuzzer once found stays tested with any compiler.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fail(const char *path)
{
    perror(path);
    exit(1);
}

static void replay_file(const char *path)
{
    FILE *file = fopen(path, "rbe");
    uint8_t *data = NULL;
    size_t size = 0;
    size_t got = 0;
    uint8_t part[4096];

    if (!file)
        fail(path);
    while ((got = fread(part, 1, sizeof part, file)) > 0) {
        data = realloc(data, size + got);
        if (!data)
            fail(path);
        for (size_t i = 0; i < got; i++)
            data[size + i] = part[i];
        size += got;
    }
    if (ferror(file))
        fail(path);
    fclose(file);
    printf("%s: %zu bytes\n", path, size);
    fflush(stdout);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
}

static int replay(const char *path)
{
    struct stat status;
    DIR *dir = NULL;
    int count = 0;

    if (stat(path, &status) != 0)
        fail(path);
    if (!S_ISDIR(status.st_mode)) {
        replay_file(path);
        return 1;
    }
    dir = opendir(path);
    if (!dir)
        fail(path);
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        char inner[4096];

        if (entry->d_name[0] == '.')
            continue;
        snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        count += replay(inner);
    }
    closedir(dir);
    return count;
}

int main(int argc, char **argv)
{
    int count = 0;

    for (int i = 1; i < argc; i++)
        count += replay(argv[i]);
    printf("%d inputs\n", count);
    return count > 0 ? 0 : 1;
}
