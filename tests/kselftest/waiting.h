/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by the tests of waiting requests.  A request has a number as its
 * user_data, and the test asks for its completion by this number.  A request
 * that does not complete within a deadline has the result IPC_HUNG, and the
 * test prints which request hung.
 */
#ifndef WAITING_H
#define WAITING_H

#include "ipc_test.h"

/* The request has not completed. */
#define IPC_HUNG	(-100001)
/* Seconds until a request that should complete counts as hung. */
#define WAIT_DEADLINE	10
/*
 * A wait takes this many steps.  If the whole machine stands still, then one
 * step ends, and the others leave the processes time to go on.
 */
#define WAIT_STEPS	10
/* Microseconds in which a request that should wait does not complete. */
#define WAIT_NOTHING	3000

/* Completions that came before the test asked for them. */
static struct {
	struct io_uring		*ring;
	struct io_uring_cqe	cqe;
} wait_stash[256];
static size_t wait_stashed;

/* A number for a request that the test need not identify. */
static inline __u64 wait_new_data(void)
{
	static __u64 last = 1ULL << 32;

	return ++last;
}

static inline struct io_uring_sqe *wait_get_sqe(struct io_uring *ring)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	if (!sqe) {
		io_uring_submit(ring);
		sqe = io_uring_get_sqe(ring);
	}
	return sqe;
}

/* Prepares a send that waits. */
static inline struct io_uring_sqe *wait_get_send(struct io_uring *ring,
						 __u32 id, const __u64 *num,
						 __u64 data)
{
	struct io_uring_sqe *sqe = wait_get_sqe(ring);

	io_uring_prep_ipc_send(sqe, id, num, sizeof(*num), 0, IOIPC_SEND_WAIT);
	io_uring_sqe_set_data64(sqe, data);
	return sqe;
}

/* Prepares a receive that waits. */
static inline struct io_uring_sqe *wait_get_recv(struct io_uring *ring,
						 __u32 id, __u64 *num,
						 __u64 data)
{
	struct io_uring_sqe *sqe = wait_get_sqe(ring);

	io_uring_prep_ipc_recv(sqe, id, num, sizeof(*num), IOIPC_RECV_WAIT);
	io_uring_sqe_set_data64(sqe, data);
	return sqe;
}

/* Submits, and returns the next completion: 0 or IPC_HUNG. */
static inline int wait_next(struct io_uring *ring, struct io_uring_cqe *copy,
			    double seconds)
{
	double step = seconds / WAIT_STEPS;
	struct __kernel_timespec timeout = {
		.tv_sec = step, .tv_nsec = (step - (__s64)step) * 1e9,
	};
	struct io_uring_cqe *cqe;
	int ret, steps = 0;

	while (io_uring_peek_cqe(ring, &cqe) || io_uring_sq_ready(ring)) {
		if (steps == WAIT_STEPS)
			return IPC_HUNG;
		ret = io_uring_submit_and_wait_timeout(ring, &cqe, 1, &timeout,
						       NULL);
		if (ret == -EINTR || ret == -EAGAIN || ret == -EBUSY)
			continue;
		if (ret < 0 && ret != -ETIME) {
			printf("# cannot wait: %s\n", strerror(-ret));
			return IPC_NOT_RUN;
		}
		if (!io_uring_cq_ready(ring))
			steps++;
	}
	*copy = *cqe;
	io_uring_cqe_seen(ring, cqe);
	return 0;
}

/* The completion of one request; keeps others until they are asked for. */
static inline int wait_for_cqe(struct io_uring *ring, __u64 data,
			       struct io_uring_cqe *copy)
{
	size_t i;
	int ret;

	for (i = 0; i < wait_stashed; i++) {
		if (wait_stash[i].ring != ring ||
		    wait_stash[i].cqe.user_data != data)
			continue;
		*copy = wait_stash[i].cqe;
		wait_stashed--;
		memmove(&wait_stash[i], &wait_stash[i + 1],
			(wait_stashed - i) * sizeof(wait_stash[0]));
		return copy->res;
	}
	while (!(ret = wait_next(ring, copy, WAIT_DEADLINE))) {
		if (copy->user_data == data)
			return copy->res;
		if (wait_stashed < ARRAY_SIZE(wait_stash)) {
			wait_stash[wait_stashed].ring = ring;
			wait_stash[wait_stashed].cqe = *copy;
			wait_stashed++;
		}
	}
	printf("# request %llu hangs: no completion after %d s\n",
	       (unsigned long long)data, WAIT_DEADLINE);
	fflush(stdout);
	return ret;
}

static inline int wait_for(struct io_uring *ring, __u64 data)
{
	struct io_uring_cqe cqe;

	return wait_for_cqe(ring, data, &cqe);
}

/* How many completions the test has not asked for. */
static inline size_t wait_completed(struct io_uring *ring)
{
	size_t i, count;

	io_uring_submit(ring);
	/*
	 * An SQPOLL thread empties the queue when it has issued all requests.
	 */
	ipc_poll(!io_uring_sq_ready(ring));
	io_uring_get_events(ring);
	count = io_uring_cq_ready(ring);
	for (i = 0; i < wait_stashed; i++)
		count += wait_stash[i].ring == ring;
	return count;
}

/* Submits the prepared SQEs.  Whether nothing completes. */
static inline bool wait_nothing(struct io_uring *ring)
{
	if (wait_completed(ring))
		return false;
	ipc_nap(WAIT_NOTHING);
	return !wait_completed(ring);
}

/* Whether at least `count` requests complete before the deadline. */
static inline bool wait_complete(struct io_uring *ring, size_t count)
{
	return ipc_poll(wait_completed(ring) >= count);
}

/* Forgets the completions that the test has not asked for. */
static inline void wait_forget(struct io_uring *ring)
{
	size_t i, kept = 0;

	for (i = 0; i < wait_stashed; i++)
		if (wait_stash[i].ring != ring)
			wait_stash[kept++] = wait_stash[i];
	wait_stashed = kept;
	io_uring_cq_advance(ring, io_uring_cq_ready(ring));
}

/* Requests that do not wait, on rings where other requests do. */
static inline int wait_send_to(struct io_uring *ring, __u32 id, __u64 num,
			       __u32 target)
{
	__u64 data = wait_new_data();
	struct io_uring_sqe *sqe;

	sqe = wait_get_send(ring, id, &num, data);
	sqe->file_index = target;
	sqe->rw_flags = 0;
	return wait_for(ring, data);
}

static inline int wait_send(struct io_uring *ring, __u32 id, __u64 num)
{
	return wait_send_to(ring, id, num, 0);
}

/* Returns the number, or a negative errno. */
static inline long long wait_recv(struct io_uring *ring, __u32 id)
{
	__u64 num = 0, data = wait_new_data();
	int ret;

	wait_get_recv(ring, id, &num, data)->rw_flags = 0;
	ret = wait_for(ring, data);
	if (ret < 0)
		return ret;
	return ret == sizeof(num) ? (long long)num : IPC_NOT_RUN;
}

/* Requests that wait. */
static inline int wait_send_wait(struct io_uring *ring, __u32 id, __u64 num)
{
	__u64 data = wait_new_data();

	wait_get_send(ring, id, &num, data);
	return wait_for(ring, data);
}

static inline long long wait_recv_wait(struct io_uring *ring, __u32 id)
{
	__u64 num = 0, data = wait_new_data();
	int ret;

	wait_get_recv(ring, id, &num, data);
	ret = wait_for(ring, data);
	if (ret < 0)
		return ret;
	return ret == sizeof(num) ? (long long)num : IPC_NOT_RUN;
}

/* Cancels by number; returns 0 or a negative errno. */
static inline int wait_cancel(struct io_uring *ring, __u64 which,
			      unsigned int flags)
{
	struct io_uring_sqe *sqe = wait_get_sqe(ring);
	__u64 data = wait_new_data();

	io_uring_prep_cancel64(sqe, which, flags);
	io_uring_sqe_set_data64(sqe, data);
	return wait_for(ring, data);
}

/*
 * Whether a request has ended because it was cancelled, with this result.  If a
 * worker still has the request, `told` is true: the worker may be interrupted,
 * or gone when a second cancel looks for the request.  A cancel of all requests
 * counts how many it has found, and does not say whether one was in a worker.
 */
static inline bool wait_ended(struct io_uring *ring, __u64 data, int ret,
			      bool told)
{
	int res = wait_for(ring, data);

	told |= ret > 0;
	if ((ret >= 0 || (told && ret == -ENOENT)) &&
	    (res == -ECANCELED || (told && res == -EINTR)))
		return true;
	printf("# cancel: %d%s, and the request ends with %d\n", ret,
	       told ? ", worker told" : "", res);
	return false;
}

/* Cancels a request that may be in a worker.  Whether it has ended by that. */
static inline bool wait_end(struct io_uring *ring, __u64 data, bool told)
{
	int ret;

	while ((ret = wait_cancel(ring, data, 0)) == -EALREADY) {
		told = true;
		ipc_nap(1000);
	}
	return wait_ended(ring, data, ret, told);
}

/* Waits until another process or thread has set a flag. */
#define wait_until(condition)	ipc_poll(condition)

/* Waits for a child, and kills it if it hangs; result as of ipc_wait(). */
static inline int wait_child(pid_t pid)
{
	int status = 0;
	pid_t ret = 0;

	if (!ipc_poll((ret = waitpid(pid, &status, WNOHANG)) != 0)) {
		printf("# process %d hangs: no end after %d s\n", pid,
		       IPC_DEADLINE);
		fflush(stdout);
		kill(pid, SIGKILL);
		ipc_wait(pid);
		return IPC_HUNG;
	}
	if (ret < 0)
		return IPC_NOT_RUN;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Kinds of rings. */
#define WAIT_DEFER	(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN)

#endif /* WAITING_H */
