/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which code of the module has run, if the kernel has KCOV.  Only the module is
 * instrumented.  Code that threads of io_uring run does not count.
 */
#ifndef FUZZ_COVERAGE_H
#define FUZZ_COVERAGE_H

#include <stdbool.h>
#include <stddef.h>

/* Allocates the memory that actors share.  Returns whether the kernel has KCOV. */
bool coverage_prepare(void);

/* In an actor, once; and around each command. */
void coverage_enable(void);
void coverage_begin(void);
void coverage_end(void);

/* How many different places were reached since coverage_prepare(). */
size_t coverage_count(void);

/* Prints how many functions of the module were reached, and with `list` all of them. */
void coverage_report(bool list);

#endif
