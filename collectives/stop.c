/* SPDX-License-Identifier: Apache-2.0
 *
 * The request to write a checkpoint and end, as a flag that signal handlers set.
 *
 * A signal handler can only reach what is static, so this is the one place of the library with
 * state of the process, behind stop_state(). Handlers are set with SA_RESTART: a training program's
 * I/O goes on. A handler that was there before is called after ours.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "collectives/coll.h"

typedef struct {
    atomic_int requested;
    atomic_int installed;
    int signals[2];
    struct sigaction before[2]; /* of signals[] */
} Stop;

static Stop *stop_state(void)
{
    static Stop state;

    return &state;
}

static void stop_chain(const struct sigaction *before, int number, siginfo_t *info, void *context)
{
    if (before->sa_flags & SA_SIGINFO)
        before->sa_sigaction(number, info, context);
    else if (before->sa_handler != SIG_DFL && before->sa_handler != SIG_IGN)
        before->sa_handler(number);
}

static void stop_handle(int number, siginfo_t *info, void *context)
{
    Stop *stop = stop_state();
    int old_errno = errno;

    atomic_store(&stop->requested, 1);
    for (int i = 0; i < 2; i++)
        if (stop->signals[i] == number)
            stop_chain(&stop->before[i], number, info, context);
    errno = old_errno;
}

/* What was there is read first: a signal that arrives between the two calls finds it. */
static void stop_install(Stop *stop, int slot, int number)
{
    struct sigaction action = {.sa_sigaction = stop_handle, .sa_flags = SA_SIGINFO | SA_RESTART};

    if (sigaction(number, NULL, &stop->before[slot]) != 0)
        return;
    sigemptyset(&action.sa_mask);
    stop->signals[slot] = number;
    sigaction(number, &action, NULL);
}

static int stop_checkpoint_signal(void)
{
    const char *text = getenv("DROVER_CHECKPOINT_SIGNAL");
    char *end;
    long number;

    if (!text || !*text)
        return 0;
    number = strtol(text, &end, 10);
    if (*end || number <= 0 || number > SIGRTMAX || number == SIGKILL || number == SIGSTOP)
        return 0;
    return (int)number;
}

bool coll_stop_requested(void)
{
    Stop *stop = stop_state();
    int number;

    if (atomic_exchange(&stop->installed, 1) == 0) {
        stop_install(stop, 0, SIGTERM);
        number = stop_checkpoint_signal();
        if (number != 0 && number != SIGTERM)
            stop_install(stop, 1, number);
    }
    return atomic_load(&stop->requested) != 0;
}
