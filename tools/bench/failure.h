/* SPDX-License-Identifier: GPL-2.0 */
/* How a process of a job says why the job cannot be done, and ends. */
#ifndef BENCH_FAILURE_H
#define BENCH_FAILURE_H

#include <stdatomic.h>

enum outcome {
	OUTCOME_OK,
	/* The kernel or the mechanism cannot do this. */
	OUTCOME_NA,
	OUTCOME_FAILED,
	OUTCOME_TIMEOUT,
};

#define MAX_REASON	160

/* What the processes of a job share: the first sentence that any of them gives. */
struct failure {
	/* The process that has set this may store the rest. */
	atomic_uint claimed;
	enum outcome outcome;
	char reason[MAX_REASON];
};

/* Where the functions below store it, in shared memory.  Before the job forks. */
void failure_store_in(struct failure *failure);

__attribute__((noreturn, format(printf, 1, 2)))
void job_failed(const char *fmt, ...);

/* What the errno of a system call or request makes of the job. */
__attribute__((noreturn))
void job_errno(const char *what, int errno_value);

#endif /* BENCH_FAILURE_H */
