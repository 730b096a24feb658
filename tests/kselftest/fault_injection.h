/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Allocations and copies of user memory that fail when a test says so.
 *
 * Needs CONFIG_FAULT_INJECTION with failslab, fail_page_alloc, fail_usercopy and
 * debugfs, see Documentation/fault-injection.
 */
#ifndef FAULT_INJECTION_H
#define FAULT_INJECTION_H

#include "ipc_test.h"

/*
 * Which allocations can fail: also allocations that may sleep, single pages,
 * and pages of user memory.
 */
static inline bool set_up_faults(void)
{
#define DEBUG(file)	("/sys/kernel/debug/" file)
	return ipc_put(DEBUG("failslab/ignore-gfp-wait"), "N") &&
	       ipc_put(DEBUG("failslab/verbose"), "0") &&
	       ipc_put(DEBUG("fail_page_alloc/ignore-gfp-wait"), "N") &&
	       ipc_put(DEBUG("fail_page_alloc/ignore-gfp-highmem"), "N") &&
	       ipc_put(DEBUG("fail_page_alloc/min-order"), "0") &&
	       ipc_put(DEBUG("fail_page_alloc/verbose"), "0") &&
	       ipc_put(DEBUG("fail_usercopy/verbose"), "0");
#undef DEBUG
}

/* The file fail-nth of the task that gets the faults. */
static int fault_fd = -1;

/* From now on the nth allocation or copy fails. */
static inline void fault_arm(unsigned int nth)
{
	char number[16];
	int len;

	len = snprintf(number, sizeof(number), "%u", nth);
	if (write(fault_fd, number, len) != len)
		abort();
}

/*
 * Returns how many allocations and copies are left until one fails, or 0 if one
 * has failed.  Reading that number is a copy too, and fails if it is the next
 * one.
 */
static inline unsigned int fault_disarm(void)
{
	char number[16] = "";
	unsigned int left = 1;

	if (pread(fault_fd, number, sizeof(number) - 1, 0) > 0)
		left = atoi(number);
	else if (errno != EFAULT)
		abort();
	/* If this fails, it was the injected fault. */
	if (write(fault_fd, "0", 1) != 1 && errno != EFAULT)
		abort();
	return left;
}

/* Code of an operation between its faults, which must not fail. */
#define WITHOUT_FAULTS(statement) do {					\
	unsigned int __left = fault_disarm();				\
									\
	statement;							\
	if (__left)							\
		fault_arm(__left);					\
} while (0)

/*
 * Whether io_uring_enter(2) may fail with this error, and the caller tries
 * again.
 */
static inline bool is_transient(int error)
{
	return error == -EAGAIN || error == -ENOMEM || error == -EFAULT ||
	       error == -EINTR;
}

#endif /* FAULT_INJECTION_H */
