/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which code of the module runs, as far as the kernel tells: it has to have KCOV.
 * Only the module asks to be instrumented.  What threads of io_uring run does not
 * count.
 */
#ifndef FUZZ_COVERAGE_H
#define FUZZ_COVERAGE_H

#include <stdbool.h>
#include <stddef.h>

/* Allocates what actors share; returns whether the kernel tells at all. */
bool coverage_prepare(void);

/* In an actor, once; and around each command. */
void coverage_enable(void);
void coverage_begin(void);
void coverage_end(void);

/* How many different places were reached since coverage_prepare(). */
size_t coverage_count(void);

/* Prints how many functions of the module were reached; if asked, all of them. */
void coverage_report(bool list);

#endif
