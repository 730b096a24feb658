// SPDX-License-Identifier: GPL-2.0
/* All files of a job call these functions, which call none of those files. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "failure.h"

static struct failure *shared;

void failure_store_in(struct failure *failure)
{
	shared = failure;
}

static _Noreturn void end_job(enum outcome outcome, const char *reason)
{
	if (!atomic_exchange(&shared->claimed, 1)) {
		snprintf(shared->reason, sizeof(shared->reason), "%s", reason);
		shared->outcome = outcome;
	}
	_exit(1);
}

void job_failed(const char *fmt, ...)
{
	char reason[MAX_REASON];
	va_list args;

	va_start(args, fmt);
	vsnprintf(reason, sizeof(reason), fmt, args);
	va_end(args);
	end_job(OUTCOME_FAILED, reason);
}

void job_errno(const char *what, int errno_value)
{
	char reason[MAX_REASON];

	snprintf(reason, sizeof(reason), "%s: %s", what, strerror(errno_value));
	switch (errno_value) {
	case EINVAL:
	case EOPNOTSUPP:
		end_job(OUTCOME_NA, reason);
	default:
		end_job(OUTCOME_FAILED, reason);
	}
}
