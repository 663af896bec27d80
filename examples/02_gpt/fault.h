/* SPDX-License-Identifier: Apache-2.0
 *
 * Why a call failed, in words for the user. Functions of the trainer give 0 or -1; on -1 the words
 * are here. Nothing below main.c prints or exits.
 */
#ifndef GPT_FAULT_H
#define GPT_FAULT_H

typedef struct {
    char words[1024]; /* what, where and the mend; "" until something failed */
} Fault;

/* Sets the words and gives -1, so that a caller can `return fault_set(...)`. `fault` may be NULL.
 */
int fault_set(Fault *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Puts words in front of those already there: what a caller knows beyond the callee. Gives -1. */
int fault_prefix(Fault *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
