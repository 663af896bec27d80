/* SPDX-License-Identifier: Apache-2.0
 *
 * Seeded random lives of renters, suppliers, jobs and a ledger that is interrupted, reopened and
 * rolled back under them. A second, naive book is kept beside it; after every step all of this must
 * hold:
 *
 *   - the ledger's audit passes: chain, sums, balances;
 *   - per asset, all balances sum to zero;
 *   - every account has the balance that the naive book has;
 *   - each invoice is the same when the leases behind it are cut up and shuffled.
 *
 *     sim_billing [SEED [STEPS]]     the seed is printed; the same seed is the same run
 */
#include "billing/billing.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define STEPS_DEFAULT  12000
#define STEPS_PER_LIFE 240 /* a life has a ledger of its own: auditing all of it stays cheap */
#define RENTERS        3
#define SUPPLIERS      4
#define MODELS         3
#define SNAPSHOTS_MAX  6

/* An invoice as of some moment, to be delivered then or later, once or more often. */
typedef struct {
    Invoice *invoice;
    int64_t gross[SUPPLIERS]; /* by the naive book */
} Snapshot;

typedef struct {
    char id[16];
    int renter;
    int attempt;
    bool ended;
    MoneyAsset asset;
    GArray *leases;             /* MeterLease; ids are owned */
    GPtrArray *snapshots;       /* Snapshot *, oldest first */
    int64_t charged[SUPPLIERS]; /* by the naive book: what was posted */
} Job;

typedef struct {
    GRand *rand;
    int step;
    sqlite3 *db;
    Ledger *ledger;
    GPtrArray *jobs; /* Job * */
    int64_t paid[RENTERS][2];
    int64_t prices[MODELS];
    int64_t io_usd_micro;
    int next_id;
} Sim;

static const char *const renters[RENTERS] = {"ann", "bob", "cyd"};
static const char *const suppliers[SUPPLIERS] = {"osa-7", "s", "s/1", "tpe-1"};
static const char *const models[MODELS] = {"A100", "H100", "RTX4090"};

static int roll(Sim *sim, int sides)
{
    return g_rand_int_range(sim->rand, 0, sides);
}

/* ---- the naive book ---- */

static int64_t naive_cost(const Job *job, int supplier)
{
    __int128 sum = 0;

    for (guint i = 0; i < job->leases->len; i++) {
        const MeterLease *lease = &g_array_index(job->leases, MeterLease, i);
        __int128 price = lease->price_usd_micro;

        if (strcmp(lease->supplier, suppliers[supplier]) != 0)
            continue;
        if (job->asset == MONEY_IO)
            price = price * 100000000 / lease->io_usd_micro;
        sum += price * lease->used_ms;
    }
    return (int64_t)(sum / 3600000);
}

static int64_t job_gross(const Job *job)
{
    int64_t gross = 0;

    for (int i = 0; i < SUPPLIERS; i++)
        gross += job->charged[i];
    return gross;
}

static int64_t job_fee(const Job *job)
{
    return job->asset == MONEY_USDC ? job_gross(job) / 50 : 0; /* 2 % */
}

static void check_balance(Sim *sim, const char *account, MoneyAsset asset, int64_t expected)
{
    int64_t amount = 0;

    g_assert_true(ledger_get_balance(sim->ledger, account, asset, &amount, NULL));
    g_assert_cmpint(amount, ==, expected);
}

static void check_asset(Sim *sim, MoneyAsset asset)
{
    int64_t by_renter[RENTERS] = {0};
    int64_t by_supplier[SUPPLIERS] = {0};
    int64_t fees = 0;
    int64_t bank = 0;

    for (guint i = 0; i < sim->jobs->len; i++) {
        const Job *job = sim->jobs->pdata[i];

        if (job->asset != asset)
            continue;
        by_renter[job->renter] += job_gross(job) + job_fee(job);
        fees += job_fee(job);
        for (int j = 0; j < SUPPLIERS; j++)
            by_supplier[j] += job->charged[j];
    }
    for (int i = 0; i < RENTERS; i++) {
        g_autofree char *account = g_strconcat("renter/", renters[i], NULL);

        check_balance(sim, account, asset, by_renter[i] - sim->paid[i][asset]);
        bank += sim->paid[i][asset];
    }
    for (int i = 0; i < SUPPLIERS; i++) {
        g_autofree char *account = g_strconcat("supplier/", suppliers[i], NULL);

        check_balance(sim, account, asset, -by_supplier[i]);
    }
    check_balance(sim, "platform/fees", asset, -fees);
    check_balance(sim, "platform/bank", asset, bank);
}

static int64_t number(Sim *sim, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    int64_t value = 0;

    g_assert_cmpint(sqlite3_prepare_v2(sim->db, sql, -1, &statement, NULL), ==, SQLITE_OK);
    g_assert_cmpint(sqlite3_step(statement), ==, SQLITE_ROW);
    value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return value;
}

static void check_all(Sim *sim)
{
    g_autoptr(GError) error = NULL;
    int64_t postings = 0;

    ledger_audit(sim->ledger, &postings, &error);
    g_assert_no_error(error);
    g_assert_cmpint(postings, ==, number(sim, "SELECT count(*) FROM ledger_posting"));
    g_assert_cmpint(number(sim, "SELECT count(*) FROM (SELECT 1 FROM ledger_balance WHERE job = ''"
                                " GROUP BY asset HAVING sum(amount) <> 0)"),
                    ==, 0);
    check_asset(sim, MONEY_USDC);
    check_asset(sim, MONEY_IO);
}

/* ---- jobs ---- */

static void lease_clear(void *data)
{
    g_free((char *)(uintptr_t)((MeterLease *)data)->id);
}

static void snapshot_free(void *data)
{
    Snapshot *snapshot = data;

    invoice_free(snapshot->invoice);
    g_free(snapshot);
}

static void job_free(void *data)
{
    Job *job = data;

    g_array_unref(job->leases);
    g_ptr_array_unref(job->snapshots);
    g_free(job);
}

static void grant(Sim *sim, Job *job)
{
    int model = roll(sim, MODELS);
    MeterLease lease = {
        .id = g_strdup_printf("%d", sim->next_id++),
        .job = job->id,
        .attempt = job->attempt,
        .supplier = suppliers[roll(sim, SUPPLIERS)],
        .node = roll(sim, 2) ? "n1" : "n2",
        .device = roll(sim, 2) ? "d1" : "d2",
        .model = models[model],
        .price_usd_micro = sim->prices[model],
        .io_usd_micro = sim->io_usd_micro,
        .granted_at_ms = INT64_C(1700000000000) + sim->step,
    };

    g_array_append_val(job->leases, lease);
}

static void start_job(Sim *sim)
{
    Job *job = g_new0(Job, 1);

    g_snprintf(job->id, sizeof job->id, "%u", sim->jobs->len + 1);
    job->renter = roll(sim, RENTERS);
    job->attempt = 1;
    job->asset = roll(sim, 2) ? MONEY_USDC : MONEY_IO;
    job->leases = g_array_new(FALSE, FALSE, sizeof(MeterLease));
    g_array_set_clear_func(job->leases, lease_clear);
    job->snapshots = g_ptr_array_new_with_free_func(snapshot_free);
    g_ptr_array_add(sim->jobs, job);
    for (int devices = 1 + roll(sim, 4); devices > 0; devices--)
        grant(sim, job);
}

/* Time passes: now a millisecond, now a day. */
static void heartbeat(Sim *sim, Job *job)
{
    for (guint i = 0; i < job->leases->len; i++) {
        MeterLease *lease = &g_array_index(job->leases, MeterLease, i);

        if (!lease->released)
            lease->used_ms += roll(sim, 1 << roll(sim, 27));
    }
}

static void release_all(Job *job)
{
    for (guint i = 0; i < job->leases->len; i++)
        g_array_index(job->leases, MeterLease, i).released = true;
}

/* An attempt fails; its devices go back, the next attempt gets others at the prices of the day. */
static void retry(Sim *sim, Job *job)
{
    if (job->ended || job->leases->len > 40)
        return;
    release_all(job);
    job->attempt++;
    for (int devices = 1 + roll(sim, 4); devices > 0; devices--)
        grant(sim, job);
}

static void move_prices(Sim *sim)
{
    for (int i = 0; i < MODELS; i++)
        sim->prices[i] = MAX(0, sim->prices[i] + roll(sim, 20001) - 10000);
    sim->io_usd_micro = MAX(1, sim->io_usd_micro + roll(sim, 2001) - 1000);
}

/* ---- invoices ---- */

static Invoice *build(const Job *job, const MeterLease *leases, size_t count)
{
    g_autoptr(GError) error = NULL;
    Invoice *invoice = invoice_build(job->id, "sim", job->asset, leases, count, &error);

    g_assert_no_error(error);
    return invoice;
}

/* The same leases, each cut in two at random and all in reverse, make the same invoice. */
static void check_split(Sim *sim, const Job *job, const Invoice *whole)
{
    g_autoptr(GArray) pieces = g_array_new(FALSE, FALSE, sizeof(MeterLease));
    g_autoptr(GPtrArray) ids = g_ptr_array_new_with_free_func(g_free);
    json_t *expected = invoice_to_json(whole);
    json_t *actual = NULL;

    for (guint i = job->leases->len; i > 0; i--) {
        MeterLease first = g_array_index(job->leases, MeterLease, i - 1);
        MeterLease second = first;

        first.used_ms = first.used_ms > 0 ? g_rand_int(sim->rand) % first.used_ms : 0;
        second.used_ms -= first.used_ms;
        g_ptr_array_add(ids, g_strconcat(first.id, "+", NULL));
        second.id = ids->pdata[ids->len - 1];
        g_array_append_val(pieces, second);
        g_array_append_val(pieces, first);
    }
    g_autoptr(Invoice) split = build(job, (const MeterLease *)(void *)pieces->data, pieces->len);

    actual = invoice_to_json(split);
    g_assert_true(json_equal(expected, actual));
    json_decref(expected);
    json_decref(actual);
}

static void take_snapshot(Sim *sim, Job *job)
{
    Snapshot *snapshot = g_new0(Snapshot, 1);
    int64_t gross = 0;

    snapshot->invoice = build(job, (const MeterLease *)(void *)job->leases->data, job->leases->len);
    for (int i = 0; i < SUPPLIERS; i++)
        gross += snapshot->gross[i] = naive_cost(job, i);
    g_assert_cmpint(snapshot->invoice->gross, ==, gross);
    check_split(sim, job, snapshot->invoice);
    if (job->snapshots->len == SNAPSHOTS_MAX)
        g_ptr_array_remove_index(job->snapshots, 0);
    g_ptr_array_add(job->snapshots, snapshot);
}

static bool deliver(Sim *sim, const Job *job, const Snapshot *snapshot, GError **error)
{
    return ledger_post_invoice(sim->ledger, snapshot->invoice, renters[job->renter],
                               INT64_C(1700000000000) + sim->step, error);
}

static void book(Job *job, const Snapshot *snapshot)
{
    for (int i = 0; i < SUPPLIERS; i++)
        job->charged[i] = MAX(job->charged[i], snapshot->gross[i]);
}

/* Delivers some invoice of the job, the newest or one that is late, one to five times. */
static void post_invoice(Sim *sim, Job *job)
{
    const Snapshot *snapshot = NULL;

    take_snapshot(sim, job);
    snapshot = job->snapshots->pdata[roll(sim, 2) ? job->snapshots->len - 1
                                                  : (guint)roll(sim, (int)job->snapshots->len)];
    for (int times = 1 + roll(sim, 5); times > 0; times--) {
        g_autoptr(GError) error = NULL;

        g_assert_true(deliver(sim, job, snapshot, &error));
        g_assert_no_error(error);
    }
    book(job, snapshot);
}

/* ---- faults ---- */

static int count_down(void *data)
{
    int *left = data;

    return --*left <= 0;
}

/* The statement machine of SQLite is stopped somewhere inside a posting; then it is posted again.
 */
static void post_interrupted(Sim *sim, Job *job)
{
    g_autoptr(GError) error = NULL;
    const Snapshot *snapshot = NULL;
    int after = 1 + roll(sim, 400);
    int64_t postings = 0;

    take_snapshot(sim, job);
    snapshot = job->snapshots->pdata[job->snapshots->len - 1];
    sqlite3_progress_handler(sim->db, 1, count_down, &after);
    if (!deliver(sim, job, snapshot, &error))
        g_assert_error(error, BILLING_ERROR, BILLING_ERROR_DB);
    sqlite3_progress_handler(sim->db, 0, NULL, NULL);
    /* It may be there or not (COMMIT too can be interrupted once it has taken effect), never in
     * part. */
    g_assert_true(ledger_audit(sim->ledger, &postings, NULL));
    g_assert_true(deliver(sim, job, snapshot, NULL));
    book(job, snapshot);
}

/* Posted in a transaction of the caller, perhaps interrupted there; he then changes his mind. */
static void post_rolled_back(Sim *sim, Job *job)
{
    int after = roll(sim, 2) ? 1 + roll(sim, 400) : INT_MAX;

    take_snapshot(sim, job);
    sqlite3_exec(sim->db, "BEGIN", NULL, NULL, NULL);
    sqlite3_progress_handler(sim->db, 1, count_down, &after);
    deliver(sim, job, job->snapshots->pdata[job->snapshots->len - 1], NULL);
    sqlite3_progress_handler(sim->db, 0, NULL, NULL);
    if (!sqlite3_get_autocommit(sim->db))
        sqlite3_exec(sim->db, "ROLLBACK", NULL, NULL, NULL);
}

/* A renter pays in, the note comes twice; then a note of the same id that says something else. */
static void pay(Sim *sim)
{
    g_autoptr(GError) error = NULL;
    int renter = roll(sim, RENTERS);
    MoneyAsset asset = roll(sim, 2) ? MONEY_USDC : MONEY_IO;
    int64_t amount = 1 + roll(sim, 1000000);
    g_autofree char *id = g_strdup_printf("pay/%d", sim->next_id++);
    g_autofree char *account = g_strconcat("renter/", renters[renter], NULL);
    Leg legs[] = {{"platform/bank", asset, amount}, {account, asset, -amount}};
    const Posting posting = {id, sim->step, "pay in", legs, 2};

    g_assert_true(ledger_post(sim->ledger, &posting, 1, NULL));
    g_assert_true(ledger_post(sim->ledger, &posting, 1, NULL));
    sim->paid[renter][asset] += amount;
    legs[0].amount++;
    g_assert_false(ledger_post(sim->ledger, &posting, 1, &error));
    g_assert_error(error, BILLING_ERROR, BILLING_ERROR_UNBALANCED);
    g_clear_error(&error);
    legs[1].amount--;
    g_assert_false(ledger_post(sim->ledger, &posting, 1, &error));
    g_assert_error(error, BILLING_ERROR, BILLING_ERROR_CONFLICT);
}

static void reopen(Sim *sim)
{
    ledger_close(sim->ledger);
    sim->ledger = ledger_open(sim->db, NULL);
    g_assert_nonnull(sim->ledger);
}

/* ---- running ---- */

static void step(Sim *sim)
{
    Job *job = sim->jobs->pdata[roll(sim, (int)sim->jobs->len)];
    int what = roll(sim, 100);

    if (what < 5)
        start_job(sim);
    else if (what < 40)
        heartbeat(sim, job);
    else if (what < 45)
        retry(sim, job);
    else if (what < 50)
        move_prices(sim);
    else if (what < 53)
        release_all(job), job->ended = true;
    else if (what < 80)
        post_invoice(sim, job);
    else if (what < 86)
        post_interrupted(sim, job);
    else if (what < 90)
        post_rolled_back(sim, job);
    else if (what < 98)
        pay(sim);
    else
        reopen(sim);
}

static int64_t live(GRand *rand, int steps)
{
    Sim sim = {.rand = rand, .io_usd_micro = 150000, .prices = {1290000, 2200000, 390000}};
    g_autoptr(GError) error = NULL;
    int64_t postings = 0;

    g_assert_cmpint(sqlite3_open(":memory:", &sim.db), ==, SQLITE_OK);
    sim.ledger = ledger_open(sim.db, &error);
    g_assert_no_error(error);
    sim.jobs = g_ptr_array_new_with_free_func(job_free);
    start_job(&sim);
    for (sim.step = 0; sim.step < steps; sim.step++) {
        step(&sim);
        check_all(&sim);
    }
    postings = number(&sim, "SELECT count(*) FROM ledger_posting");
    g_ptr_array_unref(sim.jobs);
    ledger_close(sim.ledger);
    g_assert_cmpint(sqlite3_close(sim.db), ==, SQLITE_OK);
    return postings;
}

int main(int argc, char **argv)
{
    guint32 seed = argc > 1 ? (guint32)g_ascii_strtoull(argv[1], NULL, 10) : g_random_int();
    int steps = argc > 2 ? atoi(argv[2]) : STEPS_DEFAULT;
    GRand *rand = g_rand_new_with_seed(seed);
    int64_t postings = 0;

    printf("sim_billing %u %d\n", seed, steps);
    fflush(stdout);
    for (int done = 0; done < steps; done += STEPS_PER_LIFE)
        postings += live(rand, MIN(STEPS_PER_LIFE, steps - done));
    g_rand_free(rand);
    printf("%d steps, %" G_GINT64_FORMAT " postings, every invariant held\n", steps, postings);
    return 0;
}
