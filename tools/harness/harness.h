/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by the tests and demos of IPC channels: one operation at a time on a ring,
 * and processes that work together.
 */
#ifndef IOIPC_HARNESS_H
#define IOIPC_HARNESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "liburing_ipc.h"

/* Without any progress for this long, a message or a wake-up is lost. */
#define GIVE_UP_SECONDS 60

/* Prints a sentence on stderr, with the name of the process, and exits with 1. */
__attribute__((noreturn, format(printf, 1, 2)))
void die(const char *fmt, ...);

/* CLOCK_MONOTONIC in nanoseconds, which is the same for all processes. */
uint64_t now_ns(void);

/* One wait by polling; starts zeroed. */
struct backoff {
	unsigned int tries;
	uint64_t start_ns;
};

/*
 * Lets other processes run: yields at first, then sleeps for 50 to 200 us.  Dies if a
 * child has failed.  Returns false, without a pause, after GIVE_UP_SECONDS.
 */
bool backoff(struct backoff *wait);

/*
 * Rings and channels.  A function that returns no error dies on one.
 */

/* A ring of 64 entries. */
void open_ring(struct io_uring *ring, unsigned int setup_flags);

/* Dies unless the kernel has IPC channels and the module is loaded. */
void require_ipc(void);

/*
 * Submits the one prepared SQE, waits for its completion, and returns its result.
 * Dies if a child has failed, or after GIVE_UP_SECONDS.
 */
int submit_one(struct io_uring *ring);

/* One attempt: the result of the completion. */
int ipc_send(struct io_uring *ring, unsigned int id, const void *buf, unsigned int len,
	     unsigned int target);
int ipc_recv(struct io_uring *ring, unsigned int id, void *buf, unsigned int len);

/* The same, but the request waits while the ring is full or there is no message. */
int ipc_send_wait(struct io_uring *ring, unsigned int id, const void *buf, unsigned int len,
		  unsigned int target);
int ipc_recv_wait(struct io_uring *ring, unsigned int id, void *buf, unsigned int len);

/* Creates a channel of mode 0600 without a key, and returns its id. */
unsigned int create_channel(struct io_uring *ring, unsigned int flags, unsigned int ring_entries,
			    unsigned int max_msg_size);

/* Attaches by channel id, closes the file descriptor, and returns the subscriber's id. */
unsigned int attach_channel(struct io_uring *ring, unsigned int channel, unsigned int flags);

/*
 * Processes.  A child keeps the rings of its parent alive.  Where the end of a ring
 * matters, create the ring after spawning.
 */

/* Zeroed memory, shared with the children. */
void *shared_alloc(size_t size);

/*
 * Runs a function in a child.  The child exits with 0 when the function returns, and is
 * killed when its parent ends.  name_fmt gives the name of the child.
 */
__attribute__((format(printf, 3, 4)))
pid_t spawn(void (*run)(void *arg), void *arg, const char *name_fmt, ...);

/* Waits for the end of one child, and returns its wait status, also if it has failed. */
int reap(pid_t pid);

/* Dies if a child has failed. */
void check_children(void);

/* Waits for the end of all children.  Dies if one fails. */
void wait_children(void);

/*
 * Waits until a counter in shared memory has reached a value.  Dies if a child
 * fails or the counter stands still for GIVE_UP_SECONDS.
 */
void wait_for(const atomic_uint *counter, unsigned int value, const char *what);

#endif /* IOIPC_HARNESS_H */
