/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A case: a sequence of steps.  A step is eight bytes, and all values of these bytes
 * are valid.  So a change of bytes always gives another sequence.
 */
#ifndef FUZZ_CASE_H
#define FUZZ_CASE_H

#include <stdbool.h>
#include <stdint.h>

#define MAX_STEPS	64

/* What a step does: the remainder of its first byte. */
enum step_kind {
	STEP_CREATE,
	STEP_ATTACH,
	STEP_DETACH,
	STEP_DESTROY,
	STEP_SEND,
	STEP_RECEIVE,
	STEP_CANCEL,
	STEP_POLL,
	STEP_MAP,
	STEP_STORE,
	STEP_FDINFO,
	STEP_REOPEN,
	STEP_PROVIDE,
	STEP_WATCH,
	STEP_CALL,
	STEP_ANSWER,
	STEP_KINDS,
};

struct step {
	uint8_t kind;
	uint8_t who;
	/* Which of the existing objects; from 0xf0 on, none of them. */
	uint8_t object;
	uint8_t a, b, c, d, e;
};

struct test_case {
	unsigned int count;
	struct step steps[MAX_STEPS];
};

#define CASE_HEX	(MAX_STEPS * sizeof(struct step) * 2 + 1)

/* Returns whether the text is a case. */
bool case_parse(const char *hex, struct test_case *test);
void case_print(const struct test_case *test, char *hex);

/* Numbers that depend only on the seed. */
uint32_t case_random(uint64_t *state);
void case_make(struct test_case *test, uint64_t *state);
/* Changes a case, possibly with parts of another one. */
void case_mutate(struct test_case *test, const struct test_case *other, uint64_t *state);

#endif
