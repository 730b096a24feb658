/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sleeping until another process has changed shared memory, without a system call where
 * no process sleeps.
 *
 * A sleeper announces that it will sleep, looks once more whether it has to, and waits
 * for its own token.  A waker takes sleepers off the list and leaves a token for each.
 * So a sleeper that takes long to wake up is woken once, not by each message that comes
 * meanwhile, and no other sleeper is woken with it.
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
	/* No process sleeps, all poll. */
	PARKING_NONE,
};

#define MAX_SPOTS	16

/* Where one process sleeps. */
struct parking_spot {
	/* With a futex.  An eventfd counts its own tokens. */
	_Alignas(CACHE_LINE) atomic_uint tokens;
	int eventfd;
};

/* In shared memory. */
struct parking {
	/* A bit for each process that sleeps and is not woken yet. */
	_Alignas(CACHE_LINE) atomic_ulong sleepers;
	enum parking_kind kind;
	struct parking_spot spots[MAX_SPOTS];
};

/* Runs before the processes are made. */
void parking_init(struct parking *parking, enum parking_kind kind, unsigned int spots);

/* After this, the caller must look once more at what it waits for. */
static inline void parking_announce(struct parking *parking, unsigned int spot)
{
	/* The full barrier pairs with that in parking_wake(). */
	atomic_fetch_or(&parking->sleepers, 1UL << spot);
}

/* Undoes parking_announce(). */
void parking_retract(struct parking *parking, unsigned int spot);

/* Sleeps until it is woken, or a signal comes. */
void parking_park(struct parking *parking, unsigned int spot);

void parking_leave_tokens(struct parking *parking, unsigned int count);

/* Whether a process sleeps that may not have seen what the caller has stored. */
static inline bool parking_has_sleepers(struct parking *parking)
{
	if (parking->kind == PARKING_NONE)
		return false;
	/* Pairs with parking_announce(). */
	atomic_thread_fence(memory_order_seq_cst);
	return atomic_load_explicit(&parking->sleepers, memory_order_relaxed);
}

/* Wakes up to `count` sleepers. */
static inline void parking_wake(struct parking *parking, unsigned int count)
{
	if (parking_has_sleepers(parking))
		parking_leave_tokens(parking, count);
}

#endif /* BENCH_PARKING_H */
