/* SPDX-License-Identifier: Apache-2.0
 *
 * Postings per second beside bare SQLite that inserts the same rows, in turns in the same run:
 *
 *     build/bench/bench_ledger [FOLDER]      a folder on the disk to be measured; default: here
 *
 * A posting has three legs (renter, supplier, fee). WAL, synchronous=FULL, once in transactions of
 * 1,000 postings and once in one each. The peer has the same tables without checks, triggers, hash
 * chain, balances or look-ups: the price of what the ledger promises is the distance to it. Then
 * the audit of all of it.
 */
#include "billing/billing.h"

#include <glib/gstdio.h>
#include <stdlib.h>

#define ROUNDS       5
#define BATCHES      20
#define BATCH        1000
#define SINGLE_COUNT 400
#define LEGS         3

typedef struct {
    sqlite3 *db;
    Ledger *ledger; /* NULL: the peer */
    sqlite3_stmt *posting;
    sqlite3_stmt *leg;
    char *path;
    int64_t next;
} Book;

static void must(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "bench_ledger: %s\n", what);
    exit(1);
}

static void exec(Book *book, const char *sql)
{
    must(sqlite3_exec(book->db, sql, NULL, NULL, NULL) == SQLITE_OK, sqlite3_errmsg(book->db));
}

static void book_unlink(const Book *book)
{
    for (size_t i = 0; i < 3; i++) {
        g_autofree char *name =
            g_strconcat(book->path, (const char *[]){"", "-wal", "-shm"}[i], NULL);

        g_unlink(name);
    }
}

static void book_open(Book *book, const char *folder, const char *name)
{
    *book = (Book){.path = g_build_filename(folder, name, NULL)};
    book_unlink(book); /* of a run that was stopped */
    must(sqlite3_open(book->path, &book->db) == SQLITE_OK, "cannot create a database there");
    exec(book, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
}

static void book_close(Book *book)
{
    ledger_close(book->ledger);
    sqlite3_finalize(book->posting);
    sqlite3_finalize(book->leg);
    sqlite3_close(book->db);
    book_unlink(book);
    g_free(book->path);
}

static void peer_open(Book *book, const char *folder)
{
    book_open(book, folder, "bench-peer.db");
    exec(book,
         "CREATE TABLE posting (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,"
         " job TEXT NOT NULL, at_ms INTEGER NOT NULL, memo TEXT NOT NULL, hash BLOB NOT NULL);"
         "CREATE TABLE leg (posting INTEGER NOT NULL, leg INTEGER NOT NULL, account TEXT NOT"
         " NULL, asset TEXT NOT NULL, amount INTEGER NOT NULL, PRIMARY KEY (posting, leg))"
         " WITHOUT ROWID");
    sqlite3_prepare_v2(book->db, "INSERT INTO posting VALUES (?, ?, '', ?, ?, ?)", -1,
                       &book->posting, NULL);
    sqlite3_prepare_v2(book->db, "INSERT INTO leg VALUES (?, ?, ?, ?, ?)", -1, &book->leg, NULL);
    must(book->posting && book->leg, sqlite3_errmsg(book->db));
}

static void ours_open(Book *book, const char *folder)
{
    book_open(book, folder, "bench-ledger.db");
    book->ledger = ledger_open(book->db, NULL);
    must(book->ledger, "cannot open the ledger");
}

static void peer_post(Book *book, const Posting *posting)
{
    static const char hash[32] = "00000000000000000000000000000000";

    sqlite3_bind_int64(book->posting, 1, book->next);
    sqlite3_bind_text(book->posting, 2, posting->id, -1, SQLITE_STATIC);
    sqlite3_bind_int64(book->posting, 3, posting->at_ms);
    sqlite3_bind_text(book->posting, 4, posting->memo, -1, SQLITE_STATIC);
    sqlite3_bind_blob(book->posting, 5, hash, sizeof hash, SQLITE_STATIC);
    must(sqlite3_step(book->posting) == SQLITE_DONE, sqlite3_errmsg(book->db));
    sqlite3_reset(book->posting);
    for (size_t i = 0; i < posting->legs_count; i++) {
        sqlite3_bind_int64(book->leg, 1, book->next);
        sqlite3_bind_int64(book->leg, 2, (sqlite3_int64)i);
        sqlite3_bind_text(book->leg, 3, posting->legs[i].account, -1, SQLITE_STATIC);
        sqlite3_bind_text(book->leg, 4, money_asset_name(posting->legs[i].asset), -1,
                          SQLITE_STATIC);
        sqlite3_bind_int64(book->leg, 5, posting->legs[i].amount);
        must(sqlite3_step(book->leg) == SQLITE_DONE, sqlite3_errmsg(book->db));
        sqlite3_reset(book->leg);
    }
}

/* One posting to come, with the texts and legs that it borrows. */
typedef struct {
    char id[48];
    char renter[32];
    char supplier[32];
    Leg legs[LEGS];
} Charge;

static Posting charge_init(Charge *charge, int64_t number)
{
    g_snprintf(charge->id, sizeof charge->id, "charge/%d/USDC/%d", (int)(number % 997),
               (int)number);
    g_snprintf(charge->renter, sizeof charge->renter, "renter/r%d", (int)(number % 100));
    g_snprintf(charge->supplier, sizeof charge->supplier, "supplier/node-%d", (int)(number % 300));
    charge->legs[0] = (Leg){"platform/fees", MONEY_USDC, -20};
    charge->legs[1] = (Leg){charge->renter, MONEY_USDC, 1020};
    charge->legs[2] = (Leg){charge->supplier, MONEY_USDC, -1000};
    return (Posting){charge->id, INT64_C(1700000000000) + number, "up to 3600000 GPU-ms",
                     charge->legs, LEGS};
}

/* `count` postings in one transaction. */
static void post(Book *book, size_t count)
{
    Charge charges[BATCH];
    Posting postings[BATCH];

    for (size_t i = 0; i < count; i++)
        postings[i] = charge_init(&charges[i], book->next + (int64_t)i + 1);
    if (book->ledger) {
        must(ledger_post(book->ledger, postings, count, NULL), "a posting failed");
        book->next += (int64_t)count;
        return;
    }
    exec(book, "BEGIN IMMEDIATE");
    for (size_t i = 0; i < count; i++) {
        book->next++;
        peer_post(book, &postings[i]);
    }
    exec(book, "COMMIT");
}

/* Postings per second. */
static double post_batches(Book *book)
{
    int64_t start = g_get_monotonic_time();

    for (int batch = 0; batch < BATCHES; batch++)
        post(book, BATCH);
    return BATCHES * BATCH * 1e6 / (double)(g_get_monotonic_time() - start);
}

static double post_singles(Book *book)
{
    int64_t start = g_get_monotonic_time();

    for (int i = 0; i < SINGLE_COUNT; i++)
        post(book, 1);
    return SINGLE_COUNT * 1e6 / (double)(g_get_monotonic_time() - start);
}

static int compare(const void *a, const void *b)
{
    const double *x = a;
    const double *y = b;

    return *x < *y ? -1 : *x > *y;
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof *values, compare);
    return values[ROUNDS / 2];
}

static void measure(const char *what, double (*run)(Book *), Book *ours, Book *peer)
{
    double our[ROUNDS];
    double bare[ROUNDS];
    double ratio[ROUNDS];

    for (int i = 0; i < ROUNDS; i++) {
        our[i] = run(ours);
        bare[i] = run(peer);
        ratio[i] = our[i] / bare[i];
    }
    printf("%-28s %10.0f /s   bare SQLite %10.0f /s   ratio %.2f\n", what, median(our),
           median(bare), median(ratio));
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const char *folder = argc > 1 ? argv[1] : ".";
    Book ours;
    Book peer;
    int64_t postings = 0;
    int64_t start = 0;

    ours_open(&ours, folder);
    peer_open(&peer, folder);
    measure("postings, batches of 1000", post_batches, &ours, &peer);
    measure("postings, one by one", post_singles, &ours, &peer);
    start = g_get_monotonic_time();
    must(ledger_audit(ours.ledger, &postings, NULL), "the audit failed");
    printf("audit of %" G_GINT64_FORMAT " postings   %.0f /s\n", postings,
           (double)postings * 1e6 / (double)(g_get_monotonic_time() - start));
    book_close(&ours);
    book_close(&peer);
    return 0;
}
