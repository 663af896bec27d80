/* SPDX-License-Identifier: Apache-2.0
 *
 * Open MPI's mpirun on this machine. Settings go through the environment (OMPI_MCA_*), each only
 * where the user has not set it, so a user's own choice always wins. They were chosen by measuring
 * mpirun 4.1.4 from exec to the first process of the job:
 *
 *   no hwloc plug-ins, no PCI scan   37 -> 17 ms   (mpirun only; the ranks do not see these)
 *   named components                 17 -> 13 ms   (mpirun only)
 *   pml ob1                          320 -> 120 ms for MPI_Init of 2 ranks: UCX probes for fabrics,
 *                                    of which a single machine has none to offer
 *   plm isolated                     no remote shell is looked for
 *
 * Binding is ours (the plan says which cores), as are the kill of ranks and the exit status.
 */
#include "launcher/backend.h"

#include "launcher/launch.h"
#include "launcher/rank_link.h"

#include <string.h>
#include <unistd.h>

/* For mpirun and the ranks alike, since both read them. `value` NULL: the scratch folder. */
static const struct {
    const char *name;
    const char *value;
} local_parameters[] = {
    {"OMPI_MCA_plm", "isolated"},
    {"OMPI_MCA_ras", "^slurm,gridengine,simulator"}, /* "local" does not mean the allocation */
    {"OMPI_MCA_oob_tcp_if_include", "lo"},
    {"OMPI_MCA_pml", "ob1"},
    {"OMPI_MCA_orte_tmpdir_base", NULL},
    {"OMPI_MCA_btl_vader_backing_directory", NULL},
    {"OMPI_MCA_hwloc_base_binding_policy", "none"},
    {"OMPI_MCA_rmaps_base_oversubscribe", "1"},
    /* After its SIGTERM mpirun waits this long (s) for SIGKILL: it is the launcher that kills. */
    {"OMPI_MCA_odls_base_sigkill_timeout", "1000000"},
};

/* For mpirun alone. The MCA frameworks are those where it would load several components to choose
 * the one that is named here. */
static const struct {
    const char *name;
    const char *value;
} local_engine_only[] = {
    {"HWLOC_COMPONENTS", "-linux:pci,-linux:io"},
    {"HWLOC_PLUGINS_PATH", "/nonexistent"},
    {"OMPI_ALLOW_RUN_AS_ROOT", "1"},
    {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
    {"OMPI_MCA_errmgr", "default_hnp"},
    {"OMPI_MCA_filem", "^raw"},
    {"OMPI_MCA_grpcomm", "direct"},
    {"OMPI_MCA_iof", "hnp"},
    {"OMPI_MCA_odls", "default"},
    {"OMPI_MCA_reachable", "weighted"},
    {"OMPI_MCA_regx", "naive"},
    {"OMPI_MCA_rmaps", "round_robin"},
    {"OMPI_MCA_routed", "direct"},
    {"OMPI_MCA_rtc", "^hwloc"},
    {"OMPI_MCA_schizo", "ompi"},
    {"OMPI_MCA_state", "hnp"},
};

/* A drover started by a rank of another mpirun must not take that one's variables for its own. */
static char **env_drop_outer(char **env)
{
    g_auto(GStrv) names = NULL;

    if (!g_environ_getenv(env, "OMPI_COMM_WORLD_RANK"))
        return env;
    names = g_strdupv(env);
    for (char **entry = names; *entry; entry++) {
        char *equals = strchr(*entry, '=');

        if (equals)
            *equals = '\0';
        if (g_str_has_prefix(*entry, "OMPI_") || g_str_has_prefix(*entry, "PMIX_"))
            env = g_environ_unsetenv(env, *entry);
    }
    return env;
}

static char **local_environment(const char *scratch)
{
    char **env = env_drop_outer(g_get_environ());
    g_autoptr(GString) engine_only = g_string_new(NULL);

    for (size_t i = 0; i < G_N_ELEMENTS(local_parameters); i++)
        env = g_environ_setenv(env, local_parameters[i].name,
                               local_parameters[i].value ? local_parameters[i].value : scratch,
                               FALSE);
    for (size_t i = 0; i < G_N_ELEMENTS(local_engine_only); i++) {
        if (g_environ_getenv(env, local_engine_only[i].name))
            continue;
        env = g_environ_setenv(env, local_engine_only[i].name, local_engine_only[i].value, TRUE);
        g_string_append_printf(engine_only, "%s%s", engine_only->len ? "," : "",
                               local_engine_only[i].name);
    }
    return g_environ_setenv(env, RANK_ENGINE_ONLY, engine_only->str, TRUE);
}

static bool local_make_command(const Plan *plan, const char *program, const char *scratch,
                               char ***argv, char ***env, GError **error)
{
    const PlanIsland *island = plan->islands->pdata[0];
    g_autofree char *mpirun =
        g_find_program_in_path("mpirun.openmpi"); /* Debian: surely Open MPI */
    g_autofree char *ranks = g_strdup_printf("%d", plan_get_world_size(plan));

    if (plan->islands->len != 1 || island->hosts->len != 1) {
        g_set_error_literal(error, LAUNCHER_ERROR, LAUNCHER_ERROR_PLAN,
                            "backend 'local' runs one node, and the plan has more");
        return false;
    }
    if (!mpirun)
        mpirun = g_find_program_in_path("mpirun");
    if (!mpirun) {
        g_set_error_literal(error, LAUNCHER_ERROR, LAUNCHER_ERROR_MISSING,
                            "Open MPI's mpirun is not in PATH (try 'apt install openmpi-bin')");
        return false;
    }
    const char *const words[] = {mpirun, "--noprefix",      "-np", ranks, program,
                                 "rank", plan->attempt_dir, NULL};

    *argv = g_strdupv((char **)(uintptr_t)words);
    *env = local_environment(scratch);
    return true;
}

const Backend backend_local = {.name = "local", .make_command = local_make_command};

const JobSpecRefusal *backend_local_refusals(size_t *count)
{
    static const char one_machine[] = "this machine is the only node there is";
    static const char owned[] = "this machine is not rented from a supplier";
    static const JobSpecRefusal refusals[] = {
        {"image", "it runs programs of this machine; only 'host' works"},
        {"where.location", owned},
        {"where.green", owned},
        {"where.compliance", owned},
        {"where.tier", owned},
        {"where.proof_max_age", owned},
        {"where.reliability", owned},
        {"where.bandwidth", one_machine},
        {"where.latency", one_machine},
        {"spot", owned},
        {"preflight", one_machine},
        {"limits.idle_gpu", "it does not watch how busy the devices are"},
        {"train.sync", "local steps are between islands, and there is one island"},
        {"train.every", "local steps are between islands, and there is one island"},
        {"train.compress", "compression is between islands, and there is one island"},
    };

    *count = G_N_ELEMENTS(refusals);
    return refusals;
}
