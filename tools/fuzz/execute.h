/* SPDX-License-Identifier: GPL-2.0 */
/* Runs a case, step by step, and compares with the model. */
#ifndef FUZZ_EXECUTE_H
#define FUZZ_EXECUTE_H

#include <stdbool.h>

#include "case.h"

/*
 * Returns whether all went as the model says, and leaves nothing behind then;
 * otherwise the actors have been started again.  If trace, prints what happens.
 */
bool execute(const struct test_case *test, bool trace);

/* What went wrong last. */
const char *execute_failure(void);
/* Whether an actor did not come back: the kernel is not to be trusted after that. */
bool execute_hangs(void);

/* How many steps were done since the start. */
extern unsigned long execute_steps;

#endif
