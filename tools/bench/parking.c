// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "failure.h"
#include "parking.h"
#include "process.h"

void parking_init(struct parking *parking, enum parking_kind kind, unsigned int spots)
{
	unsigned int i;

	parking->kind = kind;
	for (i = 0; i < spots && kind == PARKING_EVENTFD; i++) {
		parking->spots[i].eventfd = eventfd(0, EFD_CLOEXEC);
		if (parking->spots[i].eventfd < 0)
			job_errno("eventfd", errno);
	}
}

/* Takes a sleeper off the list. Returns false if the sleeper was not on it. */
static bool take_sleeper(struct parking *parking, unsigned int spot)
{
	return atomic_fetch_and(&parking->sleepers, ~(1UL << spot)) >> spot & 1;
}

static void leave_token(const struct parking *parking, struct parking_spot *spot)
{
	uint64_t one = 1;

	if (parking->kind == PARKING_EVENTFD) {
		if (write(spot->eventfd, &one, sizeof(one)) != sizeof(one))
			job_errno("write to an eventfd", errno);
		return;
	}
	atomic_store(&spot->tokens, 1);
	futex_wake(&spot->tokens, 1);
}

void parking_leave_tokens(struct parking *parking, unsigned int count)
{
	unsigned long sleepers = atomic_load(&parking->sleepers);
	unsigned int spot;

	for (; sleepers && count; sleepers &= sleepers - 1) {
		spot = (unsigned int)__builtin_ctzl(sleepers);
		if (take_sleeper(parking, spot)) {
			leave_token(parking, &parking->spots[spot]);
			count--;
		}
	}
}

/* Returns whether there was a token. May sleep for one until a signal. */
static bool take_token(struct parking *parking, struct parking_spot *spot)
{
	uint64_t one;

	if (parking->kind == PARKING_EVENTFD) {
		if (read(spot->eventfd, &one, sizeof(one)) == sizeof(one))
			return true;
		if (errno != EINTR)
			job_errno("read from an eventfd", errno);
		return false;
	}
	if (!atomic_load(&spot->tokens))
		futex_wait(&spot->tokens, 0);
	return atomic_exchange(&spot->tokens, 0);
}

void parking_retract(struct parking *parking, unsigned int spot)
{
	/* If a waker has taken it off the list already, the waker leaves a token. */
	if (!take_sleeper(parking, spot)) {
		while (!take_token(parking, &parking->spots[spot]))
			;
	}
}

void parking_park(struct parking *parking, unsigned int spot)
{
	if (!take_token(parking, &parking->spots[spot]))
		parking_retract(parking, spot);
}
