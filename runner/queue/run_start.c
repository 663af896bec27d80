/* SPDX-License-Identifier: Apache-2.0
 *
 * How an attempt begins: match, lease, plan, launch. The attempt and its leases are one synced
 * transaction, in which everything that was looked at before is looked at again: the state (a
 * cancel may have come), the devices (another drover may have been faster). drover launch starts
 * after it.
 */
#include "runner/queue/bill.h"
#include "runner/queue/match.h"
#include "runner/queue/run_priv.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SUPPLIER "local" /* whose this machine is, as long as no supplier has enrolled it */

/* ---- what max_cost allows ---- */

/* The leases of the attempt to be, after those there are. */
static GPtrArray *leases_with(const Run *run, const Match *match)
{
    GPtrArray *leases = g_ptr_array_new_with_free_func((GDestroyNotify)lease_free);

    for (guint i = 0; i < run->leases->len; i++) {
        const Lease *old = g_ptr_array_index(run->leases, i);
        Lease *lease = g_memdup2(old, sizeof *old);

        lease->supplier = g_strdup(old->supplier);
        lease->node = g_strdup(old->node);
        lease->device = g_strdup(old->device);
        lease->model = g_strdup(old->model);
        g_ptr_array_add(leases, lease);
    }
    for (guint i = 0; i < match->devices->len; i++) {
        const MatchDevice *chosen = &g_array_index(match->devices, MatchDevice, i);
        Lease *lease = g_new0(Lease, 1);

        lease->job = run->job->id;
        lease->attempt = run->job->attempts + 1;
        lease->supplier = g_strdup(SUPPLIER);
        lease->node = g_strdup(run->config->node->name);
        lease->device = g_strdup(chosen->device->id);
        lease->model = g_strdup(chosen->device->model);
        lease->price_usd_micro = chosen->price_usd_micro;
        lease->io_usd_micro = price_list_get_io_usd_micro(run->config->prices);
        lease->granted_at_ms = run_wall_ms();
        g_ptr_array_add(leases, lease);
    }
    return leases;
}

/* Points of metered time for the stop and the kill. The kill comes two heartbeats early: one until
 * the limit is looked at, one for the end itself. False: there is not even time for that. */
static bool plan_max_cost(Run *run, GPtrArray *leases)
{
    int64_t limit = run->spec->limits.max_cost_usd_micro;
    int64_t left = bill_get_time_left(leases, bill_get_asset(run->spec), limit);
    int64_t kill = left - 2 * run_beat_ms(run);

    if (left == G_MAXINT64)
        return true;
    if (kill <= 0)
        return false;
    run->attempt.most_ms = left;
    run->attempt.kill_at_ms = kill;
    run->attempt.stop_at_ms = MAX(kill - run->spec->checkpoint.grace_ms, kill / 2);
    return true;
}

static int64_t add_capped(int64_t a, int64_t b)
{
    return b > G_MAXINT64 - a ? G_MAXINT64 : a + b;
}

/* max_duration and its grace are what a quote calls the most: nothing beyond is metered. */
static void plan_max_duration(Run *run)
{
    int64_t most = add_capped(run_time_left_ms(run), run->spec->checkpoint.grace_ms);

    run->attempt.most_ms = MIN(run->attempt.most_ms, most);
}

/* ---- the transaction ---- */

static json_t *describe_attempt(const Match *match, GPtrArray *leases, guint first)
{
    json_t *devices = json_array();

    for (guint i = first; i < leases->len; i++) {
        const Lease *lease = g_ptr_array_index(leases, i);

        json_array_append_new(devices,
                              json_pack("{s:s, s:s, s:s, s:I}", "node", lease->node, "device",
                                        lease->device, "model", lease->model, "price_usd_micro",
                                        (json_int_t)lease->price_usd_micro));
    }
    return json_pack("{s:i, s:I, s:o}", "entry", (int)match->entry, "cpus", (json_int_t)match->cpus,
                     "devices", devices);
}

static bool grant(Run *run, const Match *match, GPtrArray *leases, GError **error)
{
    Store *store = run->config->store;
    g_autoptr(Event) begin = NULL;
    guint first = run->leases->len;

    for (guint i = first; i < leases->len; i++) {
        if (!store_grant_lease(store, g_ptr_array_index(leases, i), error))
            return false;
    }
    begin = run_event(run, "attempt", describe_attempt(match, leases, first));
    begin->attempt = run->job->attempts + 1;
    return store_append(store, begin, error);
}

typedef enum { BEGIN_FAILED, BEGIN_LATER, BEGIN_DONE } Begin;

/* LATER: the devices are gone or a cancel has come since; look again. */
static Begin begin_attempt(Run *run, const Match *match, GPtrArray *leases, GError **error)
{
    Store *store = run->config->store;
    g_autoptr(DbTx) tx = db_begin(store->db, true, error);
    g_autoptr(Job) job = tx ? store_load_job(store, run->job->id, error) : NULL;
    g_autoptr(GError) failure = NULL;

    if (!job)
        return BEGIN_FAILED;
    if (job->state != JOB_PENDING || job->cancel_requested)
        return BEGIN_LATER;
    if (grant(run, match, leases, &failure))
        return db_commit(tx, error) ? BEGIN_DONE : BEGIN_FAILED;
    if (g_error_matches(failure, STORE_ERROR, STORE_ERROR_BUSY))
        return BEGIN_LATER;
    g_propagate_error(error, g_steal_pointer(&failure));
    return BEGIN_FAILED;
}

/* ---- plan and launch ---- */

/* A port that is free now; the ranks' rendezvous opens it a moment later. */
static int find_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int port = 29500; /* PyTorch's usual one, where none can be asked for */

    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, size) == 0 &&
        getsockname(fd, (struct sockaddr *)&address, &size) == 0)
        port = ntohs(address.sin_port);
    if (fd >= 0)
        close(fd);
    return port;
}

/* The node with the cores that the job gets. */
static Plan *build_plan(const Run *run, const Match *match, const char *workdir, GError **error)
{
    Node node = *run->config->node;
    g_autoptr(GPtrArray) devices = g_ptr_array_new();
    g_autoptr(GArray) cpus = g_array_new(false, false, sizeof(int));
    g_autofree char *id = g_strdup_printf("%" PRId64, run->job->id.value);
    g_autofree char *job_dir = store_get_job_dir(run->config->store, run->job->id);
    g_autofree char *attempt_dir =
        store_get_attempt_dir(run->config->store, run->job->id, run->job->attempts);
    PlanNode plan_node = {.node = &node, .devices = devices};
    PlanInput input = {.spec = run->spec,
                       .job = id,
                       .attempt = run->job->attempts,
                       .nodes = &plan_node,
                       .nodes_count = 1,
                       .workdir = workdir,
                       .job_dir = job_dir,
                       .attempt_dir = attempt_dir,
                       .path_prefix = run->config->path_prefix,
                       .max_duration_ms = run_time_left_ms(run),
                       .master_port = find_port(),
                       .setup_done = run->job->setup_done};

    input.deadline_at_ms = add_capped(run_wall_ms(), input.max_duration_ms);
    for (guint i = 0; i < match->devices->len; i++)
        g_ptr_array_add(devices,
                        (gpointer)(uintptr_t)g_array_index(match->devices, MatchDevice, i).device);
    g_array_append_vals(cpus, run->config->node->cpus->data, (guint)match->cpus);
    node.cpus = cpus;
    return plan_build(&input, error);
}

static void launch(Run *run, const Match *match)
{
    g_autofree char *workdir = g_canonicalize_filename(run->spec->workdir, run->base_dir);
    g_autoptr(Plan) plan = NULL;
    g_autoptr(GError) failure = NULL;

    if (!g_file_test(workdir, G_FILE_TEST_IS_DIR))
        g_set_error(&failure, STORE_ERROR, STORE_ERROR_SYSTEM, "workdir: '%s' is not a folder",
                    workdir);
    else
        plan = build_plan(run, match, workdir, &failure);
    if (plan)
        run->launch = launch_start(run->config->program, plan, run->lock_fd, run_on_launch_event,
                                   run, &failure);
    if (!run->launch)
        run_finish_unlaunched(run, "plan", failure->message);
    else
        run_start_beats(run);
}

/* ---- the decision ---- */

static void end_without_money(Run *run, const Match *match)
{
    g_autofree char *chosen = match_describe(match);
    g_autofree char *limit = money_format(MONEY_USDC, run->spec->limits.max_cost_usd_micro);
    g_autofree char *reason = g_strdup_printf(
        "limits.max_cost: of %s too little is left to start on %s; raise the limit and "
        "run it as a new job",
        limit, chosen);

    run_end(run, "failed", "max_cost", reason);
}

static void start_on(Run *run, const Match *match)
{
    g_autoptr(GPtrArray) leases = leases_with(run, match);
    GError *error = NULL;
    Begin begin;

    run_clear_attempt(&run->attempt);
    run_init_attempt(&run->attempt);
    if (!plan_max_cost(run, leases)) {
        end_without_money(run, match);
        return;
    }
    plan_max_duration(run);
    begin = begin_attempt(run, match, leases, &error);
    if (begin == BEGIN_DONE && run_load_leases(run, &error)) {
        run->attempt.begun_mono_ms = run_mono_ms();
        run_tell(run);
        if (!run->broken)
            launch(run, match);
    } else if (begin == BEGIN_LATER) {
        run_tell(run);
    } else {
        run_break(run, error);
    }
}

void run_try_start(Run *run)
{
    GError *error = NULL;
    g_autoptr(GHashTable) busy = NULL;
    g_autoptr(Match) match = NULL;
    g_autofree char *reason = NULL;

    if (run->broken || run->launch || run->job->state != JOB_PENDING)
        return;
    if (run_time_left_ms(run) == 0) {
        run_end(run, "failed", "deadline",
                "limits.max_duration: the attempts so far have used it up; raise it and run it "
                "as a new job");
        return;
    }
    busy = store_list_busy(run->config->store, run->config->node->name, &error);
    if (!busy) {
        run_break(run, error);
        return;
    }
    match = match_find(run->spec, run->config->node, run->config->prices, busy);
    if (match->result == MATCH_FITS) {
        start_on(run, match);
        return;
    }
    reason = match_describe(match);
    if (match->result == MATCH_BUSY)
        run_wait(run, "devices", reason);
    else
        run_end(run, "failed", "no_match", reason);
}
