/* SPDX-License-Identifier: GPL-2.0 */
/* Runs a case, step by step, and compares with the model. */
#ifndef FUZZ_EXECUTE_H
#define FUZZ_EXECUTE_H

#include <stdbool.h>

#include "case.h"

/*
 * Returns whether the kernel did what the model predicts, and leaves nothing behind
 * then.  Otherwise the actors have been restarted.  With `trace`, prints what happens.
 */
bool execute(const struct test_case *test, bool trace);

/* The last error. */
const char *execute_failure(void);
/* Whether an actor hung: the kernel cannot be trusted after that. */
bool execute_hangs(void);

/* How many steps were run since the start. */
extern unsigned long execute_steps;

#endif
