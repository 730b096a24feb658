/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Private pages that a thread removes all the time.  So a request may find them
 * present or not, at any moment.  Their contents are lost, and they are zeros.
 */
#ifndef VANISH_H
#define VANISH_H

#include <pthread.h>
#include "ipc_test.h"

struct vanish {
	char		*mem;
	size_t		len;
	_Atomic bool	stop;
	pthread_t	thread;
};

static inline void *vanish_run(void *arg)
{
	struct vanish *vanish = arg;

	while (!vanish->stop) {
		madvise(vanish->mem, vanish->len, MADV_DONTNEED);
		sched_yield();
	}
	return NULL;
}

/* Returns 0, or an errno. */
static inline int vanish_start(struct vanish *vanish)
{
	return pthread_create(&vanish->thread, NULL, vanish_run, vanish);
}

static inline void vanish_stop(struct vanish *vanish)
{
	vanish->stop = true;
	pthread_join(vanish->thread, NULL);
}

#endif /* VANISH_H */
