/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs one command so that nothing it starts outlives it, its keeper or the caller. See keeper.c.
 */
#ifndef LAUNCHER_KEEPER_H
#define LAUNCHER_KEEPER_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* All borrowed for the call. */
typedef struct {
    const char *const *argv; /* argv[0] is a path */
    const char *const *env;
    const char *dir;     /* where it starts */
    const char *scratch; /* existing folder: empty memory for it, gone afterwards. NULL: none */
    int output_fd;       /* its stdout and stderr; stdin is /dev/null */
} KeeperCommand;

typedef struct {
    pid_t pid;     /* of the keeper; everything it runs is below. 0: none */
    int pidfd;     /* readable when the keeper has ended */
    int lifeline;  /* the keeper kills all when the last copy of this is closed */
    bool isolated; /* in a PID namespace */
    char *scratch; /* of the command */
} Keeper;

/* The caller has one thread and no other children. */
bool keeper_start(Keeper *keeper, const KeeperCommand *command, GError **error);
/* Has everything killed; returns at once. */
void keeper_kill(Keeper *keeper);
/* Waits until the keeper and all below it are gone. The command's exit status, 128 + signal where
 * one ended it. */
int keeper_wait(Keeper *keeper);

#endif
