/* SPDX-License-Identifier: GPL-2.0 */
/* Shared by the mechanisms over io_uring. */
#ifndef BENCH_URING_H
#define BENCH_URING_H

#include <errno.h>
#include <liburing.h>

#include "failure.h"

#define URING_ENTRIES	64

/* The flags of a program that is written for one thread per ring. */
#define URING_MODERN	(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN)

void uring_open(struct io_uring *ring, unsigned int setup_flags, unsigned int cq_entries);

/* Saves the lookup of the ring in each system call, for the process that uses the ring. */
void uring_register_fd(struct io_uring *ring);

/* Submits the prepared SQEs and waits for this many completions, or for a signal. */
static inline void uring_submit_and_wait(struct io_uring *ring, unsigned int completions)
{
	int ret = io_uring_submit_and_wait(ring, completions);

	if (__builtin_expect(ret < 0 && ret != -EINTR, 0))
		job_errno("io_uring_submit_and_wait", -ret);
}

#endif /* BENCH_URING_H */
