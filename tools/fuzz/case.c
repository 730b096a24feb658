// SPDX-License-Identifier: GPL-2.0

#include "case.h"

#include <stdio.h>
#include <string.h>

/* The weight of each kind when a new step is chosen. */
static const unsigned int weights[STEP_KINDS] = {
	[STEP_CREATE] = 6,
	[STEP_ATTACH] = 14,
	[STEP_DETACH] = 4,
	[STEP_DESTROY] = 2,
	[STEP_SEND] = 34,
	[STEP_RECEIVE] = 34,
	[STEP_CANCEL] = 4,
	[STEP_POLL] = 5,
	[STEP_MAP] = 4,
	[STEP_STORE] = 5,
	[STEP_FDINFO] = 4,
	[STEP_REOPEN] = 1,
	[STEP_PROVIDE] = 4,
	[STEP_WATCH] = 6,
	[STEP_CALL] = 8,
	[STEP_ANSWER] = 4,
};

bool case_parse(const char *hex, struct test_case *test)
{
	uint8_t bytes[sizeof(test->steps)];
	size_t len = 0;
	unsigned int byte;

	memset(test, 0, sizeof(*test));
	while (hex[0] && hex[1] && len < sizeof(bytes) && sscanf(hex, "%2x", &byte) == 1) {
		bytes[len++] = (uint8_t)byte;
		hex += 2;
	}
	if (*hex || !len || len % sizeof(struct step))
		return false;
	memcpy(test->steps, bytes, len);
	test->count = (unsigned int)(len / sizeof(struct step));
	return true;
}

void case_print(const struct test_case *test, char *hex)
{
	uint8_t bytes[sizeof(test->steps)];

	memcpy(bytes, test->steps, sizeof(bytes));
	for (size_t i = 0; i < test->count * sizeof(struct step); i++)
		sprintf(hex + 2 * i, "%02x", bytes[i]);
}

uint32_t case_random(uint64_t *state)
{
	/* splitmix64 */
	uint64_t number = *state += 0x9e3779b97f4a7c15;

	number = (number ^ number >> 30) * 0xbf58476d1ce4e5b9;
	number = (number ^ number >> 27) * 0x94d049bb133111eb;
	return (uint32_t)(number ^ number >> 31);
}

static struct step random_step(uint64_t *state)
{
	struct step step;
	uint8_t bytes[sizeof(step)];
	unsigned int total = 0, pick, kind = 0;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)case_random(state);
	memcpy(&step, bytes, sizeof(step));
	for (unsigned int i = 0; i < STEP_KINDS; i++)
		total += weights[i];
	pick = case_random(state) % total;
	while (pick >= weights[kind])
		pick -= weights[kind++];
	step.kind = (uint8_t)kind;
	return step;
}

void case_make(struct test_case *test, uint64_t *state)
{
	memset(test, 0, sizeof(*test));
	test->count = 4 + case_random(state) % (MAX_STEPS - 4);
	for (unsigned int i = 0; i < test->count; i++)
		test->steps[i] = random_step(state);
	/* Without these steps, little else can happen. */
	test->steps[0].kind = STEP_CREATE;
	test->steps[1].kind = STEP_ATTACH;
	test->steps[2].kind = STEP_ATTACH;
}

static void insert(struct test_case *test, unsigned int at, struct step step)
{
	if (test->count == MAX_STEPS)
		test->count--;
	memmove(&test->steps[at + 1], &test->steps[at], (test->count - at) * sizeof(step));
	test->steps[at] = step;
	test->count++;
}

void case_mutate(struct test_case *test, const struct test_case *other, uint64_t *state)
{
	unsigned int rounds = 1 + case_random(state) % 8;

	while (rounds--) {
		unsigned int at = case_random(state) % test->count;
		unsigned int from = case_random(state) % other->count;
		uint8_t *byte = (uint8_t *)&test->steps[at];
		struct step step;

		byte += case_random(state) % sizeof(struct step);
		switch (case_random(state) % 8) {
		case 0:
			*byte = (uint8_t)case_random(state);
			break;
		case 1:
			*byte ^= (uint8_t)(1 << case_random(state) % 8);
			break;
		case 2:
			test->steps[at] = random_step(state);
			break;
		case 3:
		case 4:
			if (at < MAX_STEPS - 1)
				insert(test, at, random_step(state));
			break;
		case 5:
			if (test->count > 4) {
				test->count--;
				memmove(&test->steps[at], &test->steps[at + 1],
					(test->count - at) * sizeof(step));
			}
			break;
		case 6:
			step = test->steps[at];
			test->steps[at] = test->steps[case_random(state) % test->count];
			if (at < MAX_STEPS - 1)
				insert(test, at, step);
			break;
		default:
			for (; from < other->count && at < MAX_STEPS - 1; from++, at++) {
				if (at > test->count)
					break;
				insert(test, at, other->steps[from]);
			}
		}
	}
}
