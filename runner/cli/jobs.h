/* SPDX-License-Identifier: Apache-2.0
 *
 * What the commands about jobs have in common: opening the store, finding a job, saying it.
 */
#ifndef CLI_JOBS_H
#define CLI_JOBS_H

#include "runner/cli/cli.h"
#include "runner/queue/store.h"

int64_t jobs_now_ms(void); /* wall clock */

/* Opens the store of this user and puts right what a killed drover left. */
Store *jobs_open(GError **error);
/* By what the user typed: an id or a name. */
Job *jobs_find(Store *store, const char *word, GError **error);
/* NULL: unknown. */
char *jobs_get_checkpoint_dir(Store *store, JobId id);
/* Stable members, documented in drover-list(1). */
json_t *jobs_to_json(const Job *job);
/* "41 %" or "step 12", NULL where the job told nothing. */
char *jobs_format_progress(const Job *job);
/* The metered time of all its attempts, without the pauses between; NULL: it had no device yet. */
char *jobs_format_ran(const Invoice *invoice);

/* Of --prices, else $DROVER_PRICES, else the one built in. */
PriceList *jobs_load_prices(const CliArgs *args, GError **error);
#define JOBS_PRICES_OPTION                                                               \
    {                                                                                    \
        "prices", 'p', "FILE", "price list (else $DROVER_PRICES, else the one built in)" \
    }
/* KEY as a decimal and KEY_units in base units, as invoices have their amounts. */
void jobs_set_amount(json_t *json, const char *key, MoneyAsset asset, int64_t amount);
/* The table of billing, in ASCII where not `unicode`. */
void jobs_print_invoice(const Invoice *invoice, FILE *out, bool unicode);
/* "0.44 USD" */
char *jobs_format_usd(int64_t usd_micro);

/* The job file at args[0], checked as the local backend wants it. Says its diagnostics; NULL where
 * it has errors, *status is what the command ends with. */
JobSpecFile *jobs_load_file(const Cli *cli, const CliArgs *args, int *status);
/* Absolute: the folder that workdir is relative to. */
char *jobs_get_base_dir(const char *path);

#endif
