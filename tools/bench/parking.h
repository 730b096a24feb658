/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sleeping until another process says that it has changed shared memory, without
 * a system call where nobody sleeps.
 *
 * Who sleeps announces that, looks once more whether it has to, and waits for a
 * token of its own.  Who changes something takes sleepers off the list and leaves
 * a token for each: one that takes long to wake up is woken once, not by each
 * message that comes meanwhile, and nobody else is woken with it.
 */
#ifndef BENCH_PARKING_H
#define BENCH_PARKING_H

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "message.h"

enum parking_kind {
	PARKING_FUTEX,
	PARKING_EVENTFD,
	/* Nobody sleeps, all poll. */
	PARKING_NONE,
};

#define MAX_SPOTS	16

/* Where one process sleeps. */
struct parking_spot {
	/* With a futex; an eventfd counts itself. */
	_Alignas(CACHE_LINE) atomic_uint tokens;
	int eventfd;
};

/* In shared memory. */
struct parking {
	/* A bit for each spot of a process that sleeps and is not woken yet. */
	_Alignas(CACHE_LINE) atomic_ulong sleepers;
	enum parking_kind kind;
	struct parking_spot spots[MAX_SPOTS];
};

/* Before the processes are made. */
void parking_init(struct parking *parking, enum parking_kind kind, unsigned int spots);

/* After this, what shall be waited for has to be looked at once more. */
static inline void parking_announce(struct parking *parking, unsigned int spot)
{
	/* The full barrier pairs with that in parking_wake(). */
	atomic_fetch_or(&parking->sleepers, 1UL << spot);
}

/* Takes parking_announce() back. */
void parking_retract(struct parking *parking, unsigned int spot);

/* Sleeps.  A signal ends it as well. */
void parking_park(struct parking *parking, unsigned int spot);

void parking_leave_tokens(struct parking *parking, unsigned int count);

/* Whether somebody sleeps, with regard to what was stored before. */
static inline bool parking_has_sleepers(struct parking *parking)
{
	if (parking->kind == PARKING_NONE)
		return false;
	/* Pairs with parking_announce(). */
	atomic_thread_fence(memory_order_seq_cst);
	return atomic_load_explicit(&parking->sleepers, memory_order_relaxed);
}

/* Wakes up to so many sleepers. */
static inline void parking_wake(struct parking *parking, unsigned int count)
{
	if (parking_has_sleepers(parking))
		parking_leave_tokens(parking, count);
}

#endif /* BENCH_PARKING_H */
