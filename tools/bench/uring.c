// SPDX-License-Identifier: GPL-2.0
#include <errno.h>

#include "failure.h"
#include "uring.h"

/* How long an idle SQPOLL thread polls before it sleeps. */
#define SQ_THREAD_IDLE_MS	2

void uring_open(struct io_uring *ring, unsigned int setup_flags, unsigned int cq_entries)
{
	struct io_uring_params params = {
		.flags = setup_flags | IORING_SETUP_CQSIZE,
		.cq_entries = cq_entries,
		.sq_thread_idle = SQ_THREAD_IDLE_MS,
	};
	int ret = io_uring_queue_init_params(URING_ENTRIES, ring, &params);

	if (ret)
		job_errno("io_uring_queue_init", -ret);
}

void uring_register_fd(struct io_uring *ring)
{
	int ret = io_uring_register_ring_fd(ring);

	if (ret != 1)
		job_errno("io_uring_register_ring_fd", -ret);
}
