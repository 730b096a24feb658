/* SPDX-License-Identifier: GPL-2.0 */
/* What the mechanisms over io_uring have in common. */
#ifndef BENCH_URING_H
#define BENCH_URING_H

#include <liburing.h>

#define URING_ENTRIES	64

/* What a program asks for that is written for one thread per ring. */
#define URING_MODERN	(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN)

void uring_open(struct io_uring *ring, unsigned int setup_flags, unsigned int cq_entries);

/* Spares each system call the lookup of the ring; for the process that uses it. */
void uring_register_fd(struct io_uring *ring);

/* Submits what is prepared and waits for so many completions, or for a signal. */
void uring_submit_and_wait(struct io_uring *ring, unsigned int completions);

#endif /* BENCH_URING_H */
