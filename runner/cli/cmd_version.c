/* SPDX-License-Identifier: Apache-2.0
 *
 * Each library twice: as this program was compiled against it, and as it is loaded now. A
 * difference is the first thing to look at in a report of a fault.
 */
#include "runner/cli/cli.h"

#include <sqlite3.h>
#include <yaml.h>
#ifdef DROVER_HAVE_MPI
#include <mpi.h>
#endif

#define WORDS_(a, b, c) #a "." #b "." #c
#define WORDS(a, b, c)  WORDS_(a, b, c)

typedef struct {
    const char *name;
    const char *built;
    char *running; /* NULL: not there */
} Part;

#define PARTS 5

#if defined(DROVER_HAVE_MPI) && defined(OMPI_MAJOR_VERSION)
#define MPI_BUILT WORDS(OMPI_MAJOR_VERSION, OMPI_MINOR_VERSION, OMPI_RELEASE_VERSION)
#else
#define MPI_BUILT NULL
#endif

static void parts_fill(Part parts[PARTS])
{
    parts[0] = (Part){"Open MPI", MPI_BUILT, g_find_program_in_path("mpirun")};
    parts[1] = (Part){"SQLite", SQLITE_VERSION, g_strdup(sqlite3_libversion())};
    parts[2] = (Part){
        "GLib", WORDS(GLIB_MAJOR_VERSION, GLIB_MINOR_VERSION, GLIB_MICRO_VERSION),
        g_strdup_printf("%u.%u.%u", glib_major_version, glib_minor_version, glib_micro_version)};
    parts[3] = (Part){"libyaml", DROVER_YAML_VERSION, g_strdup(yaml_get_version_string())};
    parts[4] = (Part){"Jansson", JANSSON_VERSION, g_strdup(jansson_version_str())};
}

static int version_print(const Part parts[PARTS])
{
    printf("drover %s (%s)\n", DROVER_VERSION, DROVER_BUILD);
    for (int i = 0; i < PARTS; i++) {
        printf("  %-9s %-8s", parts[i].name, parts[i].built ? parts[i].built : "without");
        if (!parts[i].running)
            printf("mpirun is not in PATH\n");
        else if (i == 0)
            printf("%s\n", parts[i].running);
        else
            printf("running %s\n", parts[i].running);
    }
    return CLI_OK;
}

static int version_print_json(const Part parts[PARTS])
{
    json_t *list = json_array();

    for (int i = 0; i < PARTS; i++)
        json_array_append_new(list, json_pack("{s:s, s:s?, s:s?}", "name", parts[i].name, "built",
                                              parts[i].built, i == 0 ? "mpirun" : "running",
                                              parts[i].running));
    return cli_print_json(json_pack("{s:s, s:s, s:o}", "version", DROVER_VERSION, "build",
                                    DROVER_BUILD, "parts", list));
}

static int version_run(const Cli *cli G_GNUC_UNUSED, const CliArgs *args)
{
    Part parts[PARTS];
    int status;

    parts_fill(parts);
    status = cli_args_has(args, "json") ? version_print_json(parts) : version_print(parts);
    for (int i = 0; i < PARTS; i++)
        g_free(parts[i].running);
    return status;
}

static const CliOption version_options[] = {
    {"json", 'j', NULL, "print JSON"},
};

const CliCommand cmd_version = {
    .name = "version",
    .arguments = "",
    .summary = "Show the version, and those of what it stands on",
    .options = version_options,
    .options_count = G_N_ELEMENTS(version_options),
    .run = version_run,
};
