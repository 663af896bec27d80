/* SPDX-License-Identifier: Apache-2.0
 *
 * gpt_train: trains a GPT-2 on text, on as many ranks as it is started with.
 */
#include "collectives/coll.h"
#include "options.h"
#include "train.h"

#include <stdio.h>

static int fail(const coll_comm *comm, const Fault *fault, int status)
{
    if (coll_size(comm) > 1)
        fprintf(stderr, "gpt_train: rank %d: %s\n", coll_rank(comm), fault->words);
    else
        fprintf(stderr, "gpt_train: %s\n", fault->words);
    return status;
}

/* Flags are checked before the ranks meet, but told by one of them. After a failure the others may
 * be waiting within a collective: this rank leaves without closing, and the launcher ends them. */
int main(int argc, char **argv)
{
    coll_comm *comm = NULL;
    char words[256] = "";
    const coll_options coll = {.words = words, .words_size = sizeof(words)};
    Fault fault = {0};
    Options options;
    int bad = options_parse(&options, argc, argv, &fault);
    int rc;

    if (!bad && options.help) {
        options_help(stdout);
        return 0;
    }
    rc = coll_init(&coll, &comm);
    if (rc) {
        if (!bad)
            fault_set(&fault, "%s", *words ? words : coll_strerror(rc));
        fprintf(stderr, "gpt_train: %s\n", fault.words);
        return bad ? 2 : 1;
    }
    coll_stop_requested();
    if (bad) {
        if (coll_rank(comm) == 0)
            fail(comm, &fault, 2);
        coll_close(comm);
        return 2;
    }
    if (train_run(&options, comm, stdout, &fault))
        return fail(comm, &fault, 1);
    rc = coll_close(comm);
    if (rc) {
        fprintf(stderr, "gpt_train: cannot leave the other ranks: %s\n", coll_strerror(rc));
        return 1;
    }
    return 0;
}
