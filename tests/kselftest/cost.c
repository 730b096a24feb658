// SPDX-License-Identifier: GPL-2.0
/*
 * How much a system call does because of what others have queued, attached, parked
 * or watch. The guest's clock has to count instructions, one for each nanosecond:
 *
 *	tools/vm/run --icount -- build/kselftest/cost
 *
 * COST=1 says that it does. Interrupts may add some, so each number is the least of
 * several tries.
 */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include "fixture.h"
#include "messages.h"

#define TRIES	5

/* Most subscribers, and most requests of others that wait. */
#define MANY_SUBS	1000
#define MANY_REQUESTS	80000

/* Most requests that wait for the end of one subscriber. */
#define MANY_WATCHES	10000

/* Rings cannot have as many entries as requests wait. */
#define SUBMIT		1024

static long long instructions(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static long long least(long long one, long long other)
{
	return one < other ? one : other;
}

FIXTURE(cost) {
	struct io_uring ring;
	struct io_uring others;
	/* Of a subscriber that is watched. */
	struct io_uring watched;
	__u32 channel;
	struct ipc_sub sender;
	struct ipc_sub sub[MANY_SUBS];
	int attached;
};

FIXTURE_VARIANT(cost) {
	__u32 flags;
};

FIXTURE_ADD_KINDS(cost);

FIXTURE_SETUP(cost)
{
	struct rlimit many = { 3 * MANY_SUBS, 3 * MANY_SUBS };

	if (!getenv("COST"))
		SKIP(return, "the clock does not count instructions");
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &many));
	ASSERT_EQ(0, io_uring_queue_init(SUBMIT, &self->ring, 0));
	ASSERT_EQ(0, io_uring_queue_init(SUBMIT, &self->others, 0));
	ASSERT_EQ(0, ipc_open(&self->watched));
}

FIXTURE_TEARDOWN(cost)
{
	io_uring_queue_exit(&self->watched);
	io_uring_queue_exit(&self->others);
	io_uring_queue_exit(&self->ring);
}

static void create(struct __test_metadata *_metadata, FIXTURE_DATA(cost) *self,
		   __u32 flags, __u32 entries)
{
	self->attached = 0;
	ASSERT_EQ(0, ipc_create(&self->ring, flags, entries, 64,
				&self->channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_SEND,
				&self->sender));
}

/* Attaches subscribers of the others until there are so many. */
static void attach(struct __test_metadata *_metadata, FIXTURE_DATA(cost) *self,
		   __u32 flags, int count)
{
	for (; self->attached < count; self->attached++) {
		ASSERT_EQ(0, ipc_attach(&self->others, self->channel, flags,
					&self->sub[self->attached]));
	}
}

static void destroy(struct __test_metadata *_metadata, FIXTURE_DATA(cost) *self)
{
	int i;

	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->ring, self->channel));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring, self->sender.id));
	ASSERT_EQ(0, close(self->sender.fd));
	for (i = 0; i < self->attached; i++) {
		ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->others,
							 self->sub[i].id));
		ASSERT_EQ(0, close(self->sub[i].fd));
	}
	wait_forget(&self->others);
}

/* The instructions of a send that does not wait, and of its submission. */
static long long cost_of_send(struct __test_metadata *_metadata,
			      FIXTURE_DATA(cost) *self)
{
	long long before;
	__u64 num = 1;

	wait_get_send(&self->ring, self->sender.id, &num, 7)->rw_flags = 0;
	before = instructions();
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	before = instructions() - before;
	ASSERT_EQ(IPC_NUM, wait_for(&self->ring, 7));
	return before;
}

/* Receives that wait, one of each of some subscribers. */
static void park(struct __test_metadata *_metadata, FIXTURE_DATA(cost) *self,
		 int from, int to)
{
	static __u64 num;

	for (; from < to; from++)
		wait_get_recv(&self->others, self->sub[from].id, &num, from);
	io_uring_submit(&self->others);
	ASSERT_EQ(0, wait_completed(&self->others));
}

static void cancel(struct __test_metadata *_metadata, FIXTURE_DATA(cost) *self,
		   int from, int to)
{
	for (; from < to; from++) {
		ASSERT_EQ(0, wait_cancel(&self->others, from, 0));
		ASSERT_EQ(-ECANCELED, wait_for(&self->others, from));
	}
}

/* One of many receivers waits. */
TEST_F_TIMEOUT(cost, a_send_visits_those_that_wait, IPC_TIMEOUT)
{
	long long cost[2] = { LLONG_MAX, LLONG_MAX };
	int many, i;

	for (many = 0; many < 2; many++) {
		create(_metadata, self, variant->flags, 64);
		attach(_metadata, self, IOIPC_SUB_RECV, many ? MANY_SUBS : 2);
		for (i = 0; i < TRIES; i++) {
			park(_metadata, self, 1, 2);
			cost[many] = least(cost[many],
					   cost_of_send(_metadata, self));
			ASSERT_EQ(IPC_NUM, wait_for(&self->others, 1));
		}
		destroy(_metadata, self);
	}
	TH_LOG("%lld, with many %lld", cost[0], cost[1]);
	EXPECT_GE(cost[0] * 3 / 2, cost[1]);
}

/* Many have waited, and do not any more. One does. */
TEST_F_TIMEOUT(cost, a_send_passes_over_few, IPC_TIMEOUT)
{
	long long cost[2] = { LLONG_MAX, LLONG_MAX };
	int many, i, count;

	for (many = 0; many < 2; many++) {
		count = many ? MANY_SUBS : 2;
		for (i = 0; i < 2; i++) {
			create(_metadata, self, variant->flags, 64);
			attach(_metadata, self, IOIPC_SUB_RECV, count);
			park(_metadata, self, 0, count);
			cancel(_metadata, self, 0, count - 1);
			cost[many] = least(cost[many],
					   cost_of_send(_metadata, self));
			ASSERT_EQ(IPC_NUM, wait_for(&self->others, count - 1));
			destroy(_metadata, self);
		}
	}
	TH_LOG("%lld, with many %lld", cost[0], cost[1]);
	EXPECT_GE(cost[0] * 2, cost[1]);
}

/* Watchers that were told of a message, and do not look. */
TEST_F_TIMEOUT(cost, idle_watchers, IPC_TIMEOUT)
{
	long long cost[2] = { LLONG_MAX, LLONG_MAX };
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLOUT | EPOLLET,
	};
	int many, i, epoll;

	for (many = 0; many < 2; many++) {
		create(_metadata, self, variant->flags, 64);
		attach(_metadata, self, IOIPC_SUB_BOTH, MANY_SUBS);
		epoll = epoll_create1(EPOLL_CLOEXEC);
		ASSERT_LE(0, epoll);
		for (i = 0; i < MANY_SUBS && many; i++) {
			ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD,
					       self->sub[i].fd, &event));
		}
		cost_of_send(_metadata, self);
		for (i = 0; i < TRIES; i++) {
			cost[many] = least(cost[many],
					   cost_of_send(_metadata, self));
			ASSERT_LE(0, wait_recv(&self->others,
					       self->sub[0].id));
		}
		close(epoll);
		destroy(_metadata, self);
	}
	TH_LOG("%lld, with watchers %lld", cost[0], cost[1]);
	EXPECT_GE(cost[0] * 5 / 4, cost[1]);
}

/* All receivers receive a message. */
static long long cost_of_round(struct __test_metadata *_metadata,
			       FIXTURE_DATA(cost) *self)
{
	static __u64 nums[MANY_SUBS];
	long long before = instructions();
	int i;

	for (i = 0; i < self->attached; i++)
		wait_get_recv(&self->others, self->sub[i].id, &nums[i],
			      i)->rw_flags = 0;
	io_uring_submit(&self->others);
	before = instructions() - before;
	ASSERT_EQ(self->attached, wait_completed(&self->others));
	wait_forget(&self->others);
	return before;
}

/* A sender waits for the slowest receiver of a full ring, or nobody waits. */
TEST_F_TIMEOUT(cost, a_full_broadcast, IPC_TIMEOUT)
{
	static const int counts[] = { MANY_SUBS / 10, MANY_SUBS };
	long long cost[ARRAY_SIZE(counts)][2];
	int i, j, waits, fill;
	__u64 num = 5;

	if (!(variant->flags & IOIPC_F_BROADCAST))
		return;
	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		for (waits = 0; waits < 2; waits++) {
			cost[i][waits] = LLONG_MAX;
			create(_metadata, self, variant->flags, 4);
			attach(_metadata, self, IOIPC_SUB_RECV, counts[i]);
			for (fill = 0; fill < 4; fill++) {
				ASSERT_EQ(IPC_NUM, wait_send(&self->ring,
							     self->sender.id,
							     fill));
			}
			for (j = 0; j < TRIES; j++) {
				if (waits) {
					wait_get_send(&self->ring,
						      self->sender.id, &num, 7);
					io_uring_submit(&self->ring);
				}
				cost[i][waits] = least(cost[i][waits],
						       cost_of_round(_metadata,
								     self));
				if (!waits)
					wait_get_send(&self->ring,
						      self->sender.id, &num, 7);
				ASSERT_EQ(IPC_NUM, wait_for(&self->ring, 7));
			}
			destroy(_metadata, self);
		}
		TH_LOG("%d receivers: %lld, and %lld if a sender waits",
		       counts[i], cost[i][0], cost[i][1]);
		EXPECT_GE(cost[i][0] * 3 / 2, cost[i][1]);
	}
	EXPECT_GE(cost[0][1] * 10 * 5 / 4, cost[1][1]);
}

/*
 * The end of a subscriber, with its own ring or by the owner of the channel, beside
 * requests of others that wait.
 */
static void end_beside(struct __test_metadata *_metadata,
		       FIXTURE_DATA(cost) *self, __u32 flags, bool sends)
{
	long long cost[2][2] = {
		{ LLONG_MAX, LLONG_MAX }, { LLONG_MAX, LLONG_MAX },
	};
	struct io_uring *by[2] = { &self->others, &self->ring };
	static __u64 num = 1;
	struct ipc_sub sub;
	long long before;
	int many, i, end;

	for (many = 0; many < 2; many++) {
		create(_metadata, self, flags, 1);
		attach(_metadata, self, IOIPC_SUB_BOTH, many ? 100 : 1);
		if (sends)
			ASSERT_EQ(IPC_NUM, wait_send(&self->ring,
						     self->sender.id, 1));
		for (i = 0; i < (many ? MANY_REQUESTS : 1); i++) {
			__u32 id = self->sub[i % self->attached].id;

			if (sends)
				wait_get_send(&self->others, id, &num, i);
			else
				wait_get_recv(&self->others, id, &num, i);
		}
		io_uring_submit(&self->others);
		ASSERT_EQ(0, wait_completed(&self->others));
		for (i = 0; i < TRIES; i++) {
			for (end = 0; end < 2; end++) {
				ASSERT_EQ(0, ipc_attach(&self->others,
							self->channel,
							IOIPC_SUB_BOTH, &sub));
				before = instructions();
				ASSERT_EQ(0, io_uring_ipc_channel_detach(
						     by[end], sub.id));
				cost[many][end] = least(cost[many][end],
							instructions() - before);
				ASSERT_EQ(0, close(sub.fd));
			}
		}
		EXPECT_EQ(0, wait_completed(&self->others));
		if (many)
			break;
		destroy(_metadata, self);
	}
	for (end = 0; end < 2; end++) {
		TH_LOG("%s beside %s: %lld, beside %d %lld",
		       end ? "eviction" : "detach",
		       sends ? "a send" : "a receive", cost[0][end],
		       MANY_REQUESTS, cost[1][end]);
		EXPECT_GE(cost[0][end] * 3 / 2, cost[1][end]);
	}
}

TEST_F_TIMEOUT(cost, the_end_beside_receives, IPC_TIMEOUT)
{
	end_beside(_metadata, self, variant->flags, false);
}

TEST_F_TIMEOUT(cost, the_end_beside_sends, IPC_TIMEOUT)
{
	end_beside(_metadata, self, variant->flags, true);
}

/* The end of a subscriber that others watch. */
TEST_F_TIMEOUT(cost, the_end_of_a_watched_one, IPC_TIMEOUT)
{
	long long cost[2][2] = {
		{ LLONG_MAX, LLONG_MAX }, { LLONG_MAX, LLONG_MAX },
	};
	struct io_uring *by[2] = { &self->watched, &self->ring };
	struct io_uring_cqe cqe;
	struct ipc_sub sub;
	long long before;
	int many, i, j, end, watches;

	create(_metadata, self, variant->flags, 1);
	attach(_metadata, self, IOIPC_SUB_SEND, 100);
	for (many = 0; many < 2; many++) {
		watches = many ? MANY_WATCHES : 1;
		for (i = 0; i < 2 * TRIES; i++) {
			end = i & 1;
			ASSERT_EQ(0, ipc_attach(&self->watched, self->channel,
						IOIPC_SUB_BOTH, &sub));
			for (j = 0; j < watches; j++) {
				io_uring_prep_ipc_recv_gone(
					wait_get_sqe(&self->others),
					self->sub[j % self->attached].id, sub.id);
			}
			ASSERT_EQ(0, wait_completed(&self->others));
			before = instructions();
			ASSERT_EQ(0, io_uring_ipc_channel_detach(by[end],
								 sub.id));
			cost[many][end] = least(cost[many][end],
						instructions() - before);
			for (j = 0; j < watches; j++) {
				ASSERT_EQ(0, wait_next(&self->others, &cqe,
						       WAIT_DEADLINE));
				ASSERT_EQ(0, cqe.res);
			}
			ASSERT_EQ(0, close(sub.fd));
		}
	}
	for (end = 0; end < 2; end++) {
		TH_LOG("%s with a watcher: %lld, with %d %lld",
		       end ? "eviction" : "detach", cost[0][end], MANY_WATCHES,
		       cost[1][end]);
		EXPECT_GE(cost[0][end] * 3 / 2, cost[1][end]);
	}
	destroy(_metadata, self);
}

IPC_HARNESS_MAIN
