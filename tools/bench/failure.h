/* SPDX-License-Identifier: GPL-2.0 */
/* How a process of a job reports that the job has failed, and ends. */
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

/* Shared by the processes of a job: the first failure that a process reports. */
struct failure {
	/* The process that has set this may store the other fields. */
	atomic_uint claimed;
	enum outcome outcome;
	char reason[MAX_REASON];
};

/* Names the shared memory for the functions below.  Called before the job forks. */
void failure_store_in(struct failure *failure);

__attribute__((noreturn, format(printf, 1, 2)))
void job_failed(const char *fmt, ...);

/* Fails with the errno of a system call or request. */
__attribute__((noreturn))
void job_errno(const char *what, int errno_value);

#endif /* BENCH_FAILURE_H */
