// SPDX-License-Identifier: GPL-2.0
/*
 * Requests of all kinds wait on all kinds of rings, and end before they have done
 * anything: by a cancel, by a timeout, or because their ring or their task ends.
 */
#include <pthread.h>
#include "parked_flavour.h"

/* How a request can be cancelled, by a request or by io_uring_register(2). */
static const struct way {
	const char	*name;
	unsigned int	flags;
	bool		sync;
} ways[] = {
	{ "data", 0, false },
	{ "fd", IORING_ASYNC_CANCEL_FD, false },
	{ "opcode", IORING_ASYNC_CANCEL_OP, false },
	{ "fd and opcode", IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_OP,
	  false },
	{ "opcode and data", IORING_ASYNC_CANCEL_OP |
	  IORING_ASYNC_CANCEL_USERDATA, false },
	{ "any", IORING_ASYNC_CANCEL_ANY, false },
	{ "all with data", IORING_ASYNC_CANCEL_ALL, false },
	{ "all with fd", IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_FD,
	  false },
	{ "sync, data", 0, true },
	{ "sync, fd", IORING_ASYNC_CANCEL_FD, true },
	{ "sync, opcode", IORING_ASYNC_CANCEL_OP, true },
	{ "sync, any", IORING_ASYNC_CANCEL_ANY, true },
	{ "sync, all with data", IORING_ASYNC_CANCEL_ALL, true },
	{ "sync, all with fd", IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_FD,
	  true },
};

/* Cancels requests.  Returns 0, how many they were, or a negative errno. */
static int cancel(struct io_uring *ring, const struct way *way, __u64 data,
		  __u8 opcode, int fd)
{
	struct io_uring_sync_cancel_reg reg = {
		.addr = data,
		.fd = way->flags & IORING_ASYNC_CANCEL_FD ? fd : -1,
		.flags = way->flags,
		.opcode = way->flags & IORING_ASYNC_CANCEL_OP ? opcode : 0,
		.timeout = { .tv_sec = WAIT_DEADLINE, .tv_nsec = 0 },
	};
	struct io_uring_sqe *sqe;
	__u64 unique;

	if (way->sync)
		return io_uring_register_sync_cancel(ring, &reg);
	unique = wait_new_data();
	sqe = wait_get_sqe(ring);
	io_uring_prep_cancel64(sqe, data, way->flags);
	sqe->fd = reg.fd;
	sqe->len = reg.opcode;
	io_uring_sqe_set_data64(sqe, unique);
	return wait_for(ring, unique);
}

/* Whether a cancel can find such a request: it may have no file. */
static bool finds(const struct way *way, enum parked_kind kind)
{
	return kind != PARKED_SEND_UNATTACHED ||
	       !(way->flags & IORING_ASYNC_CANCEL_FD);
}

/* The result of a cancel that has found one request. */
static int found_one(const struct way *way)
{
	return !!(way->flags & (IORING_ASYNC_CANCEL_ALL |
				IORING_ASYNC_CANCEL_ANY));
}

/*
 * Whether a request has ended by a cancel.  One that starts in a worker may be there
 * still: then the worker is told, and the cancel may have to try again.
 */
static bool is_cancelled(struct io_uring *ring, const struct way *way,
			 __u8 opcode, int fd, bool worker)
{
	bool told = false;
	int ret, res;

	while ((ret = cancel(ring, way, 1, opcode, fd)) == -EALREADY && worker) {
		told = true;
		ipc_nap(1000);
	}
	if (worker)
		return wait_ended(ring, 1, ret, told);
	res = wait_for(ring, 1);
	if (ret == found_one(way) && res == -ECANCELED)
		return true;
	printf("# by %s: %d, and the request ends with %d\n", way->name, ret,
	       res);
	return false;
}

TEST_F_TIMEOUT(parked, by_each_way, IPC_TIMEOUT)
{
	struct parked *parked = &self->parked;
	int kind, i;

	FOR_EACH_KIND(kind) {
		for (i = 0; i < ARRAY_SIZE(ways); i++) {
			if (!finds(&ways[i], kind))
				continue;
			PARK(kind, 1);
			ASSERT_TRUE(is_cancelled(&parked->ring, &ways[i],
						 parked_opcode(kind),
						 parked->sub.fd,
						 variant->sqe_flags))
				TH_LOG("%s", parked_names[kind]);
			EXPECT_EQ(0, wait_completed(&parked->ring));
		}
		/* None of them has taken anything. */
		if (parked_is_send(kind)) {
			EXPECT_EQ(1000, wait_recv(&self->channel.ring,
						  self->channel.receiver.id));
			EXPECT_EQ(-EAGAIN,
				  wait_recv(&self->channel.ring,
					    self->channel.receiver.id));
			ASSERT_EQ(IPC_NUM, parked_fill(&self->channel, kind));
		}
		PARK(kind, 1);
		EXPECT_GOES_ON(kind, 1);
	}
}

/* A cancel by file finds the requests of its subscriber, and no others. */
TEST_F_TIMEOUT(parked, by_the_file_of_its_subscriber, IPC_TIMEOUT)
{
	static const struct way one = {
		.name = "fd", .flags = IORING_ASYNC_CANCEL_FD,
	};
	static const struct way all = {
		.name = "all with fd",
		.flags = IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ALL,
	};
	static const struct way fixed = {
		.name = "fixed fd",
		.flags = IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_FD_FIXED,
	};
	struct parked *parked = &self->parked;
	struct ipc_sub first, second;
	struct io_uring_cqe cqe;
	int kind, i, copy;

	/* Whether a worker still has a request depends on time. */
	if (variant->sqe_flags)
		return;
	FOR_EACH_KIND(kind) {
		struct io_uring *ring = &parked->ring;

		if (kind == PARKED_SEND_UNATTACHED)
			continue;
		first = parked->sub;
		ASSERT_EQ(0, ipc_attach(ring, self->channel.id,
					parked_is_send(kind) ? IOIPC_SUB_SEND :
					IOIPC_SUB_RECV, &second));
		for (i = 1; i <= 4; i++)
			parked_get(parked, kind, i);
		parked->sub = second;
		for (; i <= 6; i++)
			parked_get(parked, kind, i);
		ASSERT_TRUE(wait_nothing(ring));

		/* Another file, and a number that is none. */
		EXPECT_EQ(-ENOENT, cancel(ring, &one, 0, 0,
					  self->channel.receiver.fd));
		EXPECT_EQ(-EBADF, cancel(ring, &one, 0, 0, 1000000));
		EXPECT_TRUE(wait_nothing(ring));
		/* A file has other names. */
		copy = dup(first.fd);
		ASSERT_LE(0, copy);
		EXPECT_EQ(0, cancel(ring, &one, 0, 0, copy));
		ASSERT_EQ(0, close(copy));
		ASSERT_EQ(0, wait_next(ring, &cqe, WAIT_DEADLINE));
		EXPECT_EQ(-ECANCELED, cqe.res);
		EXPECT_GE(4, cqe.user_data);
		ASSERT_EQ(0, io_uring_register_files(ring, &first.fd, 1));
		EXPECT_EQ(0, cancel(ring, &fixed, 0, 0, 0));
		ASSERT_EQ(0, io_uring_unregister_files(ring));
		ASSERT_EQ(0, wait_next(ring, &cqe, WAIT_DEADLINE));
		EXPECT_EQ(-ECANCELED, cqe.res);
		EXPECT_GE(4, cqe.user_data);
		EXPECT_EQ(2, cancel(ring, &all, 0, 0, first.fd));
		for (i = 0; i < 2; i++) {
			ASSERT_EQ(0, wait_next(ring, &cqe, WAIT_DEADLINE));
			EXPECT_EQ(-ECANCELED, cqe.res);
			EXPECT_GE(4, cqe.user_data);
		}
		EXPECT_EQ(-ENOENT, cancel(ring, &one, 0, 0, first.fd));
		EXPECT_TRUE(wait_nothing(ring));
		/* In a broadcast, it would hold the slot. */
		ASSERT_EQ(0, io_uring_ipc_channel_detach(ring, first.id));
		if (kind != PARKED_RECV_MULTISHOT) {
			EXPECT_GOES_ON(kind, 5);
			EXPECT_GOES_ON(kind, 6);
		}
		ASSERT_EQ(0, close(first.fd));
	}
}

/* Some of many, in any order; the others keep their order. */
TEST_F_TIMEOUT(parked, some_of_many, IPC_TIMEOUT)
{
	int kind, i;

	FOR_EACH_KIND(kind) {
		if (kind == PARKED_RECV_MULTISHOT)
			continue;
		for (i = 1; i <= 7; i++)
			PARK(kind, i);
		EXPECT_EQ(-ENOENT, wait_cancel(&self->parked.ring, 8, 0));
		EXPECT_TRUE(wait_end(&self->parked.ring, 4, false));
		EXPECT_TRUE(wait_end(&self->parked.ring, 1, false));
		EXPECT_TRUE(wait_end(&self->parked.ring, 7, false));
		EXPECT_EQ(-ENOENT, wait_cancel(&self->parked.ring, 1, 0));
		EXPECT_GOES_ON(kind, 2);
		EXPECT_GOES_ON(kind, 3);
		EXPECT_TRUE(wait_end(&self->parked.ring, 5, false));
		EXPECT_GOES_ON(kind, 6);
		EXPECT_EQ(0, wait_completed(&self->parked.ring));
	}
}

TEST_F_TIMEOUT(parked, link_timeout, IPC_TIMEOUT)
{
	struct __kernel_timespec brief = { .tv_nsec = 10000000 };
	struct __kernel_timespec lengthy = { .tv_sec = 1000 };
	struct io_uring *ring = &self->parked.ring;
	struct io_uring_sqe *sqe;
	int kind, ret;

	FOR_EACH_KIND(kind) {
		parked_get(&self->parked, kind, 1)->flags |=
			variant->sqe_flags | IOSQE_IO_LINK;
		sqe = wait_get_sqe(ring);
		io_uring_prep_link_timeout(sqe, &brief, 0);
		io_uring_sqe_set_data64(sqe, 2);
		ret = wait_for(ring, 2);
		if (variant->sqe_flags && ret == -EALREADY) {
			/* The worker had the request. */
			EXPECT_TRUE(wait_end(ring, 1, true));
		} else {
			EXPECT_EQ(-ETIME, ret)
				TH_LOG("%s", parked_names[kind]);
			EXPECT_EQ(-ECANCELED, wait_for(ring, 1))
				TH_LOG("%s", parked_names[kind]);
		}
		if (kind == PARKED_RECV_MULTISHOT)
			continue;
		parked_get(&self->parked, kind, 1)->flags |=
			variant->sqe_flags | IOSQE_IO_LINK;
		sqe = wait_get_sqe(ring);
		io_uring_prep_link_timeout(sqe, &lengthy, 0);
		io_uring_sqe_set_data64(sqe, 2);
		ASSERT_TRUE(wait_nothing(ring));
		EXPECT_GOES_ON(kind, 1);
		EXPECT_EQ(-ECANCELED, wait_for(ring, 2));
	}
}

/* The ring ends, with requests that wait and one that was just woken. */
TEST_F_TIMEOUT(parked, ring_exits, IPC_TIMEOUT)
{
	struct parked other;
	int kind, i;

	FOR_EACH_KIND(kind) {
		ASSERT_EQ(0, parked_join(&other, &self->channel, kind,
					 variant->setup));
		for (i = 1; i < PARKED_MAX; i++)
			parked_get(&other, kind, i)->flags |=
				variant->sqe_flags;
		ASSERT_TRUE(wait_nothing(&other.ring));
		/* Behind those that go away. */
		PARK(kind, 1);
		if (variant->setup == WAIT_DEFER) {
			/* The woken request does not run any more. */
			ASSERT_EQ(0, parked_go_on(&self->channel, kind, 41));
			parked_leave(&other);
		} else {
			parked_leave(&other);
			ASSERT_EQ(0, parked_go_on(&self->channel, kind, 41));
		}
		/* Until their ring has ended, unattached requests may send. */
		if (kind == PARKED_SEND_UNATTACHED) {
			EXPECT_TRUE(ipc_poll(({
				wait_recv(&self->channel.ring,
					  self->channel.receiver.id);
				wait_completed(&self->parked.ring);
			})));
		}
		EXPECT_EQ(parked_result(kind), wait_for(&self->parked.ring, 1))
			TH_LOG("%s", parked_names[kind]);
	}
}

/* How the task ends that has submitted a request. Its ring is still in use. */
enum end { PROCESS_EXITS, PROCESS_EXECS, THREAD_EXITS, ENDS };

struct submitter {
	struct parked		*parked;
	enum parked_kind	kind;
	unsigned int		sqe_flags;
};

static void *submit(void *arg)
{
	struct submitter *submitter = arg;

	parked_get(submitter->parked, submitter->kind, 1)->flags |=
		submitter->sqe_flags;
	io_uring_submit(&submitter->parked->ring);
	return NULL;
}

static bool submit_and_end(struct submitter *submitter, enum end end)
{
	pthread_t thread;
	pid_t pid;

	if (end == THREAD_EXITS)
		return !pthread_create(&thread, NULL, submit, submitter) &&
		       !pthread_join(thread, NULL);
	pid = ipc_fork();
	if (!pid) {
		submit(submitter);
		if (end == PROCESS_EXECS)
			execl("/bin/true", "true", NULL);
		_exit(end == PROCESS_EXECS);
	}
	return pid > 0 && !wait_child(pid);
}

/*
 * What the request waits for goes to the next one, and not to a task that is gone.
 * The request ends when it is woken, if not before.
 */
TEST_F_TIMEOUT(parked, submitter_ends, IPC_TIMEOUT)
{
	struct submitter submitter = {
		.parked = &self->parked, .sqe_flags = variant->sqe_flags,
	};
	struct io_uring_sq *sq = &self->parked.ring.sq;
	int end, kind;

	/* Such rings have one task that submits. */
	if (variant->setup & (IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_SQPOLL))
		return;
	for (end = 0; end < ENDS; end++) {
		FOR_EACH_KIND(kind) {
			submitter.kind = kind;
			ASSERT_TRUE(submit_and_end(&submitter, end));
			/* A child has moved only its own copy of this. */
			sq->sqe_head = *sq->ktail;
			sq->sqe_tail = *sq->ktail;
			parked_get(&self->parked, kind, 2);
			io_uring_submit(&self->parked.ring);
			ASSERT_EQ(0, parked_go_on(&self->channel, kind, 42));
			EXPECT_EQ(parked_result(kind),
				  wait_for(&self->parked.ring, 2))
				TH_LOG("%s, end %d", parked_names[kind], end);
			EXPECT_EQ(-ECANCELED, wait_for(&self->parked.ring, 1))
				TH_LOG("%s, end %d", parked_names[kind], end);
		}
	}
}

/*
 * A request that was woken and has not run is cancelled. Either it has done what it
 * waited for, or the next one does.
 */
TEST_F_TIMEOUT(parked, woken_before, IPC_TIMEOUT)
{
	struct parked *parked = &self->parked, next;
	struct io_uring_cqe cqe;
	int kind, i, ret, res;

	/* On other rings, requests run as soon as they are woken. */
	if (variant->setup != WAIT_DEFER)
		return;
	FOR_EACH_KIND(kind) {
		for (i = 0; i < ARRAY_SIZE(ways); i++) {
			if (!finds(&ways[i], kind))
				continue;
			PARK(kind, 1);
			ASSERT_EQ(0, parked_join(&next, &self->channel, kind,
						 0));
			parked_get(&next, kind, 1);
			ASSERT_TRUE(wait_nothing(&next.ring));
			ASSERT_EQ(0, parked_go_on(&self->channel, kind, 41));
			ret = cancel(&parked->ring, &ways[i], 1,
				     parked_opcode(kind), parked->sub.fd);
			res = wait_for_cqe(&parked->ring, 1, &cqe);
			if (res == parked_result(kind)) {
				if (cqe.flags & IORING_CQE_F_BUFFER)
					msg_pool_add(&parked->pool, cqe.flags >>
						     IORING_CQE_BUFFER_SHIFT);
				/* The cancel may have been late. */
				if (cqe.flags & IORING_CQE_F_MORE)
					EXPECT_TRUE(ret < 0 ?
						    wait_end(&parked->ring, 1,
							     false) :
						    wait_for(&parked->ring, 1) ==
						    -ECANCELED);
			} else {
				EXPECT_EQ(-ECANCELED, res);
				EXPECT_TRUE(ret >= 0 || ret == -EALREADY)
					TH_LOG("%s, by %s: %d",
					       parked_names[kind],
					       ways[i].name, ret);
			}
			if (res == -ECANCELED || (self->channel.all &&
						  !parked_for_room(kind))) {
				EXPECT_EQ(parked_result(kind),
					  wait_for(&next.ring, 1))
					TH_LOG("%s, by %s", parked_names[kind],
					       ways[i].name);
			} else {
				EXPECT_TRUE(wait_end(&next.ring, 1, false));
			}
			parked_leave(&next);
			/* In a broadcast, the message may still be there. */
			while (!parked_for_room(kind) &&
			       wait_recv(&parked->ring, parked->sub.id) >= 0)
				;
		}
	}
}

IPC_HARNESS_MAIN
