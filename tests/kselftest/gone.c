// SPDX-License-Identifier: GPL-2.0
/*
 * IOIPC_RECV_GONE: requests that wait until another subscriber is detached.
 */
#include <pthread.h>
#include "fixture.h"
#include "waiting.h"

/* Subscribers of the test with many of them, and how many each one watches. */
#define MANY_SUBS	1000
#define EACH_WATCHES	10

/* Messages that a ring with 64 slots holds. */
#define SLOTS		64

FIXTURE(gone) {
	/* The owner of the channel, and a peer that goes away. */
	struct io_uring owner;
	__u32 channel;
	struct io_uring others;
	struct ipc_sub peer;
	/* The watcher. */
	struct io_uring ring;
	struct ipc_sub own;
};

FIXTURE_VARIANT(gone) {
	__u32 flags;
	unsigned int setup;
	/* Flags of the SQE. */
	unsigned int sqe_flags;
};

FIXTURE_ADD_KINDS(gone);

FIXTURE_VARIANT_ADD(gone, private) {
	.flags = IOIPC_F_PRIVATE,
};

FIXTURE_VARIANT_ADD(gone, defer_taskrun) {
	.setup = WAIT_DEFER,
};

FIXTURE_VARIANT_ADD(gone, coop_taskrun) {
	.setup = IORING_SETUP_COOP_TASKRUN,
};

FIXTURE_VARIANT_ADD(gone, sqpoll) {
	.setup = IORING_SETUP_SQPOLL,
};

FIXTURE_VARIANT_ADD(gone, async) {
	.sqe_flags = IOSQE_ASYNC,
};

static int open_watcher(struct io_uring *ring, unsigned int setup)
{
	struct io_uring_params params = {
		.flags = setup, .sq_thread_idle = 1,
	};

	return io_uring_queue_init_params(64, ring, &params);
}

FIXTURE_SETUP(gone)
{
	ASSERT_EQ(0, io_uring_queue_init(64, &self->owner, 0));
	ASSERT_EQ(0, io_uring_queue_init(64, &self->others, 0));
	ASSERT_EQ(0, open_watcher(&self->ring, variant->setup));
	ASSERT_EQ(0, ipc_create(&self->owner, variant->flags, SLOTS, 64,
				&self->channel));
	ASSERT_EQ(0, ipc_attach(&self->others, self->channel, IOIPC_SUB_BOTH,
				&self->peer));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_BOTH,
				&self->own));
}

FIXTURE_TEARDOWN(gone)
{
	io_uring_queue_exit(&self->ring);
	io_uring_queue_exit(&self->others);
	io_uring_queue_exit(&self->owner);
}

static struct io_uring_sqe *get_gone(struct io_uring *ring, __u32 id,
				     __u32 target, __u64 data)
{
	struct io_uring_sqe *sqe = wait_get_sqe(ring);

	io_uring_prep_ipc_recv_gone(sqe, id, target);
	io_uring_sqe_set_data64(sqe, data);
	return sqe;
}

/* The result of a watch that ends at once. */
static int watch(struct io_uring *ring, __u32 id, __u32 target)
{
	__u64 data = wait_new_data();

	get_gone(ring, id, target, data);
	return wait_for(ring, data);
}

/*
 * Submits the prepared SQEs.  Whether so many requests of a subscriber have begun to
 * wait, and nothing completes: a worker or a drain may take a moment.
 */
static bool all_wait(struct io_uring *ring, int fd, long waits)
{
	return ipc_poll(({
		wait_completed(ring);
		ipc_fdinfo(fd, "ioipc-waits") == waits;
	})) && wait_nothing(ring);
}

#define EXPECT_WAITS(count)						\
	ASSERT_TRUE(all_wait(&self->ring, self->own.fd, count))

/* Submits a watch, which waits after that. */
#define WATCH(target, data) do {					\
	long __waits = ipc_fdinfo(self->own.fd, "ioipc-waits");		\
									\
	get_gone(&self->ring, self->own.id, target, data)->flags |=	\
		variant->sqe_flags;					\
	EXPECT_WAITS(__waits + 1);					\
} while (0)

/* ---- What ends it ---- */

/* A process with a subscriber that ends as it is told. */
struct process {
	__u32		id;
	bool		exits;
};

static int be_process(struct process *process, __u32 channel)
{
	struct io_uring ring;
	struct ipc_sub sub;

	if (ipc_open(&ring) || ipc_attach(&ring, channel, IOIPC_SUB_BOTH, &sub))
		return KSFT_FAIL;
	__atomic_store_n(&process->id, sub.id, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&process->exits, __ATOMIC_ACQUIRE))
		ipc_nap(1000);
	return 0;
}

TEST_F_TIMEOUT(gone, a_process_ends, IPC_TIMEOUT)
{
	struct process *process = ipc_shared(sizeof(*process));
	int is_killed;
	pid_t pid;

	ASSERT_NE(NULL, process);
	for (is_killed = 0; is_killed < 2; is_killed++) {
		memset(process, 0, sizeof(*process));
		pid = ipc_fork();
		if (!pid)
			_exit(be_process(process, self->channel));
		ASSERT_TRUE(ipc_poll(__atomic_load_n(&process->id,
						     __ATOMIC_ACQUIRE)));
		WATCH(process->id, 1);
		if (is_killed)
			kill(pid, SIGKILL);
		else
			__atomic_store_n(&process->exits, true, __ATOMIC_RELEASE);
		EXPECT_EQ(0, wait_for(&self->ring, 1));
		EXPECT_EQ(is_killed ? 128 + SIGKILL : 0,
			  wait_child(pid));
		EXPECT_EQ(-ENOENT, watch(&self->ring, self->own.id,
					 process->id));
	}
}

TEST_F_TIMEOUT(gone, detach_and_eviction, IPC_TIMEOUT)
{
	WATCH(self->peer.id, 1);
	WATCH(self->peer.id, 2);
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->others, self->peer.id));
	EXPECT_EQ(0, wait_for(&self->ring, 1));
	EXPECT_EQ(0, wait_for(&self->ring, 2));

	ASSERT_EQ(0, ipc_attach(&self->others, self->channel, IOIPC_SUB_BOTH,
				&self->peer));
	WATCH(self->peer.id, 3);
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->owner, self->peer.id));
	EXPECT_EQ(0, wait_for(&self->ring, 3));
	/* It still has its id. */
	EXPECT_EQ(-ENOENT, watch(&self->ring, self->own.id, self->peer.id));
	EXPECT_EQ(0, io_uring_ipc_channel_detach(&self->others, self->peer.id));
	EXPECT_EQ(0, wait_completed(&self->ring));
}

TEST_F_TIMEOUT(gone, a_ring_is_closed, IPC_TIMEOUT)
{
	WATCH(self->peer.id, 1);
	io_uring_queue_exit(&self->others);
	EXPECT_EQ(0, wait_for(&self->ring, 1));
	ASSERT_EQ(0, io_uring_queue_init(64, &self->others, 0));
}

/* Its creator has a subscriber, which is detached first. */
TEST_F_TIMEOUT(gone, the_ring_of_the_creator_is_closed, IPC_TIMEOUT)
{
	struct ipc_sub first;

	ASSERT_EQ(0, ipc_attach(&self->owner, self->channel, IOIPC_SUB_BOTH,
				&first));
	WATCH(first.id, 1);
	WATCH(self->peer.id, 2);
	io_uring_queue_exit(&self->owner);
	EXPECT_EQ(0, wait_for(&self->ring, 1));
	EXPECT_EQ(-EPIPE, wait_for(&self->ring, 2));
	ASSERT_EQ(0, io_uring_queue_init(64, &self->owner, 0));
}

TEST_F_TIMEOUT(gone, destroy, IPC_TIMEOUT)
{
	WATCH(self->peer.id, 1);
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->owner, self->channel));
	EXPECT_EQ(-EPIPE, wait_for(&self->ring, 1));
	EXPECT_EQ(-EPIPE, watch(&self->ring, self->own.id, self->peer.id));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->others, self->peer.id));
	EXPECT_EQ(-ENOENT, watch(&self->ring, self->own.id, self->peer.id));
	EXPECT_EQ(0, wait_completed(&self->ring));
}

/* The watcher goes, and the watched one after it. */
TEST_F_TIMEOUT(gone, the_watcher_is_detached, IPC_TIMEOUT)
{
	int is_evicted, i;

	for (is_evicted = 0; is_evicted < 2; is_evicted++) {
		for (i = 1; i <= 40; i++)
			WATCH(i & 1 ? self->peer.id : self->own.id, i);
		ASSERT_EQ(0, io_uring_ipc_channel_detach(
				     is_evicted ? &self->owner : &self->ring,
				     self->own.id));
		for (i = 1; i <= 40; i++)
			EXPECT_EQ(-ENOENT, wait_for(&self->ring, i));
		EXPECT_EQ(-ENOENT, watch(&self->ring, self->own.id,
					 self->peer.id));
		ASSERT_EQ(0, ipc_attach(&self->ring, self->channel,
					IOIPC_SUB_BOTH, &self->own));
	}
	/* The list of the peer is in order. */
	WATCH(self->peer.id, 1);
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->others, self->peer.id));
	EXPECT_EQ(0, wait_for(&self->ring, 1));
	EXPECT_EQ(0, wait_completed(&self->ring));
}

/* ---- What can be watched, and by which requests ---- */

TEST_F_TIMEOUT(gone, no_such_subscriber, IPC_TIMEOUT)
{
	struct ipc_sub stranger;
	__u32 other;

	ASSERT_EQ(0, ipc_create(&self->owner, variant->flags, 1, 64, &other));
	ASSERT_EQ(0, ipc_attach(&self->owner, other, IOIPC_SUB_BOTH,
				&stranger));
	EXPECT_EQ(-ENOENT, watch(&self->ring, self->own.id, stranger.id));
	EXPECT_EQ(-ENOENT, watch(&self->ring, self->own.id, self->channel));
	EXPECT_EQ(-ENOENT, watch(&self->ring, self->own.id, UINT_MAX));
	/* The watcher has to be a subscriber of the ring. */
	EXPECT_EQ(-ENOENT, watch(&self->ring, self->peer.id, self->own.id));
	EXPECT_EQ(-ENOENT, watch(&self->ring, self->channel, self->own.id));
	EXPECT_EQ(0, ipc_fdinfo(self->own.fd, "ioipc-waits"));
}

/* A subscriber that only sends, and one that only receives. */
TEST_F_TIMEOUT(gone, rights_of_both, IPC_TIMEOUT)
{
	static const __u32 rights[] = { IOIPC_SUB_SEND, IOIPC_SUB_RECV };
	struct ipc_sub watcher, target;
	int i;

	for (i = 0; i < 4; i++) {
		ASSERT_EQ(0, ipc_attach(&self->ring, self->channel,
					rights[i & 1], &watcher));
		ASSERT_EQ(0, ipc_attach(&self->others, self->channel,
					rights[i >> 1], &target));
		get_gone(&self->ring, watcher.id, target.id, 1);
		ASSERT_TRUE(all_wait(&self->ring, watcher.fd, 1));
		ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->others,
							 target.id));
		EXPECT_EQ(0, wait_for(&self->ring, 1));
		ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring,
							 watcher.id));
	}
}

TEST_F_TIMEOUT(gone, fields, IPC_TIMEOUT)
{
	static const __u32 flags[] = {
		IOIPC_RECV_MULTISHOT, IOIPC_FIXED_BUF, IOIPC_RECV_INFO,
		IOIPC_RECV_BUNDLE, IOIPC_RECV_TRUNC, IOIPC_RECV_MAPPED, 1U << 9,
	};
	struct io_uring_sqe *sqe;
	char byte;
	int i;

	for (i = 0; i < ARRAY_SIZE(flags) + 7; i++) {
		sqe = get_gone(&self->ring, self->own.id, self->peer.id, 1);
		if (i < ARRAY_SIZE(flags))
			sqe->rw_flags |= flags[i];
		switch (i - (int)ARRAY_SIZE(flags)) {
		case 0:
			sqe->file_index = 0;
			break;
		case 1:
			sqe->addr = (uintptr_t)&byte;
			break;
		case 2:
			sqe->len = 1;
			break;
		case 3:
			sqe->flags |= IOSQE_BUFFER_SELECT;
			break;
		case 4:
			sqe->flags |= IOSQE_FIXED_FILE;
			break;
		case 5:
			sqe->off = 1;
			break;
		case 6:
			sqe->buf_index = 1;
			break;
		}
		EXPECT_EQ(-EINVAL, wait_for(&self->ring, 1))
			TH_LOG("case %d", i);
	}
	/* Only this flag takes a target. */
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		sqe = get_gone(&self->ring, self->own.id, self->peer.id, 1);
		sqe->rw_flags = flags[i];
		EXPECT_EQ(-EINVAL, wait_for(&self->ring, 1));
	}
	/* To wait is what it does anyway. */
	get_gone(&self->ring, self->own.id, self->peer.id, 2)->rw_flags |=
		IOIPC_RECV_WAIT;
	EXPECT_WAITS(1);
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->others, self->peer.id));
	EXPECT_EQ(0, wait_for(&self->ring, 2));
}

/* ---- Messages of the subscriber that is gone ---- */

TEST_F_TIMEOUT(gone, its_messages_are_received, IPC_TIMEOUT)
{
	WATCH(self->peer.id, 1);
	ASSERT_EQ(20, ipc_send_nums(&self->others, self->peer.id, 0, 20));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->others, self->peer.id));
	EXPECT_EQ(0, wait_for(&self->ring, 1));
	EXPECT_EQ(20, ipc_recv_nums(&self->ring, self->own.id, 0, 20));
	EXPECT_EQ(-EAGAIN, wait_recv(&self->ring, self->own.id));
}

/* It is evicted while workers send for it: none of these messages comes later. */
TEST_F_TIMEOUT(gone, no_message_comes_later, IPC_TIMEOUT)
{
	double end = ipc_now() + ipc_env("RACE_SECONDS", 1);
	int i, sent, received, refused = 0, rounds = 0;
	char *page = ipc_pages(1);

	ASSERT_NE(NULL, page);
	do {
		WATCH(self->peer.id, 1);
		for (i = 0; i < SLOTS / 2; i++) {
			/* Each message is so long that it takes a moment. */
			struct io_uring_sqe *sqe = wait_get_sqe(&self->others);

			io_uring_prep_ipc_send(sqe, self->peer.id, page, 64, 0,
					       0);
			sqe->flags |= IOSQE_ASYNC;
			io_uring_sqe_set_data64(sqe, 100 + i);
		}
		io_uring_submit(&self->others);
		ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->owner,
							 self->peer.id));
		ASSERT_EQ(0, wait_for(&self->ring, 1));
		for (received = 0; received <= SLOTS; received++)
			if (ipc_recv(&self->ring, self->own.id, page, 64) < 0)
				break;
		for (sent = i = 0; i < SLOTS / 2; i++) {
			int res = wait_for(&self->others, 100 + i);

			EXPECT_TRUE(res == 64 || res == -ENOENT);
			sent += res == 64;
		}
		refused += sent < SLOTS / 2;
		ASSERT_EQ(sent, received);
		EXPECT_EQ(-EAGAIN, wait_recv(&self->ring, self->own.id));
		ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->others,
							 self->peer.id));
		ASSERT_EQ(0, close(self->peer.fd));
		ASSERT_EQ(0, ipc_attach(&self->others, self->channel,
					IOIPC_SUB_BOTH, &self->peer));
		rounds++;
	} while (ipc_go_on(end, refused));
	EXPECT_LT(0, refused)
		TH_LOG("none of %d rounds was a race", rounds);
}

/* ---- Cancel, links, drain ---- */

static int cancel(struct io_uring *ring, unsigned int flags, bool sync,
		  __u64 which, int fd)
{
	struct io_uring_sync_cancel_reg reg = {
		.addr = which,
		.fd = flags & IORING_ASYNC_CANCEL_FD ? fd : -1,
		.flags = flags,
		.opcode = flags & IORING_ASYNC_CANCEL_OP ? IOIPC_OP_RECV : 0,
		.timeout = { .tv_sec = WAIT_DEADLINE },
	};
	struct io_uring_sqe *sqe;
	__u64 data;

	if (sync)
		return io_uring_register_sync_cancel(ring, &reg);
	data = wait_new_data();
	sqe = wait_get_sqe(ring);
	io_uring_prep_cancel64(sqe, which, flags);
	sqe->fd = reg.fd;
	sqe->len = reg.opcode;
	io_uring_sqe_set_data64(sqe, data);
	return wait_for(ring, data);
}

TEST_F_TIMEOUT(gone, canceled, IPC_TIMEOUT)
{
	static const unsigned int ways[] = {
		0, IORING_ASYNC_CANCEL_FD, IORING_ASYNC_CANCEL_OP,
		IORING_ASYNC_CANCEL_ANY, IORING_ASYNC_CANCEL_ALL,
		IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_FD,
		IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_OP,
	};
	int i, sync, count;

	for (sync = 0; sync < 2; sync++) {
		for (i = 0; i < ARRAY_SIZE(ways); i++) {
			count = !!(ways[i] & (IORING_ASYNC_CANCEL_ALL |
					      IORING_ASYNC_CANCEL_ANY));
			WATCH(self->peer.id, 1);
			EXPECT_EQ(count, cancel(&self->ring, ways[i], sync, 1,
						self->own.fd))
				TH_LOG("flags %#x, %d", ways[i], sync);
			EXPECT_EQ(-ECANCELED, wait_for(&self->ring, 1));
		}
	}
	/* Some of many. The file of the peer finds none. */
	for (i = 1; i <= 7; i++)
		WATCH(self->peer.id, i);
	EXPECT_EQ(-ENOENT, cancel(&self->ring, IORING_ASYNC_CANCEL_FD, false, 0,
				  self->peer.fd));
	for (i = 1; i <= 7; i += 3) {
		EXPECT_EQ(0, cancel(&self->ring, 0, false, i, -1));
		EXPECT_EQ(-ECANCELED, wait_for(&self->ring, i));
	}
	EXPECT_EQ(-ENOENT, cancel(&self->ring, 0, false, 4, -1));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->others, self->peer.id));
	for (i = 1; i <= 7; i++)
		if (i % 3 != 1)
			EXPECT_EQ(0, wait_for(&self->ring, i));
	EXPECT_EQ(0, wait_completed(&self->ring));
}

/* A request that was woken and has not run. */
TEST_F_TIMEOUT(gone, canceled_after_the_end, IPC_TIMEOUT)
{
	int ret, res;

	WATCH(self->peer.id, 1);
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->others, self->peer.id));
	ret = cancel(&self->ring, 0, false, 1, -1);
	res = wait_for(&self->ring, 1);
	EXPECT_TRUE(!ret ? res == -ECANCELED :
		    (ret == -ENOENT || ret == -EALREADY) &&
		    (!res || res == -ECANCELED))
		TH_LOG("cancel %d, result %d", ret, res);
	EXPECT_EQ(0, wait_completed(&self->ring));
}

TEST_F_TIMEOUT(gone, linked, IPC_TIMEOUT)
{
	struct __kernel_timespec brief = { .tv_nsec = 10000000 };
	struct __kernel_timespec lengthy = { .tv_sec = 1000 };
	struct io_uring_sqe *sqe;
	static __u64 num = 7;
	long waits;
	int ret;

	get_gone(&self->ring, self->own.id, self->peer.id, 1)->flags |=
		variant->sqe_flags | IOSQE_IO_LINK;
	sqe = wait_get_sqe(&self->ring);
	io_uring_prep_link_timeout(sqe, &brief, 0);
	io_uring_sqe_set_data64(sqe, 2);
	ret = wait_for(&self->ring, 2);
	if (variant->sqe_flags && ret == -EALREADY) {
		/* The worker had the request. */
		EXPECT_TRUE(wait_end(&self->ring, 1, true));
	} else {
		EXPECT_EQ(-ETIME, ret);
		EXPECT_EQ(-ECANCELED, wait_for(&self->ring, 1));
	}

	/* A message is sent once the peer is gone. */
	waits = ipc_fdinfo(self->own.fd, "ioipc-waits");
	get_gone(&self->ring, self->own.id, self->peer.id, 1)->flags |=
		variant->sqe_flags | IOSQE_IO_LINK;
	sqe = wait_get_sqe(&self->ring);
	io_uring_prep_link_timeout(sqe, &lengthy, 0);
	sqe->flags |= IOSQE_IO_LINK;
	io_uring_sqe_set_data64(sqe, 2);
	wait_get_send(&self->ring, self->own.id, &num, 3);
	EXPECT_WAITS(waits + 1);
	EXPECT_EQ(-EAGAIN, wait_recv(&self->others, self->peer.id));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->others, self->peer.id));
	EXPECT_EQ(0, wait_for(&self->ring, 1));
	EXPECT_EQ(-ECANCELED, wait_for(&self->ring, 2));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 3));
	EXPECT_EQ(7, wait_recv(&self->ring, self->own.id));
}

TEST_F_TIMEOUT(gone, drained, IPC_TIMEOUT)
{
	struct io_uring_sqe *sqe;

	get_gone(&self->ring, self->own.id, self->peer.id, 1)->flags |=
		variant->sqe_flags | IOSQE_IO_DRAIN;
	sqe = wait_get_sqe(&self->ring);
	io_uring_prep_nop(sqe);
	sqe->flags |= IOSQE_IO_DRAIN;
	io_uring_sqe_set_data64(sqe, 2);
	EXPECT_WAITS(1);
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->others, self->peer.id));
	EXPECT_EQ(0, wait_for(&self->ring, 1));
	EXPECT_EQ(0, wait_for(&self->ring, 2));
}

TEST_F_TIMEOUT(gone, without_a_completion, IPC_TIMEOUT)
{
	WATCH(self->peer.id, 1);
	get_gone(&self->ring, self->own.id, self->peer.id, 2)->flags |=
		IOSQE_CQE_SKIP_SUCCESS;
	EXPECT_WAITS(2);
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->others, self->peer.id));
	EXPECT_EQ(0, wait_for(&self->ring, 1));
	EXPECT_TRUE(wait_nothing(&self->ring));
	get_gone(&self->ring, self->own.id, self->peer.id, 2)->flags |=
		IOSQE_CQE_SKIP_SUCCESS;
	EXPECT_EQ(-ENOENT, wait_for(&self->ring, 2));
}

/* No worker waits, so others are not held up. */
TEST_F_TIMEOUT(gone, holds_no_worker, IPC_TIMEOUT)
{
	unsigned int workers[2] = { 1, 1 };
	static __u64 num;
	int i;

	ASSERT_EQ(0, io_uring_register_iowq_max_workers(&self->ring, workers));
	for (i = 1; i <= 10; i++)
		get_gone(&self->ring, self->own.id, self->peer.id, i)->flags |=
			IOSQE_ASYNC;
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->others, self->peer.id, 5));
	wait_get_recv(&self->ring, self->own.id, &num, 20)->flags |=
		IOSQE_ASYNC;
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 20));
	ASSERT_TRUE(ipc_poll(ipc_fdinfo(self->own.fd, "ioipc-waits") >= 10));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->others, self->peer.id));
	for (i = 1; i <= 10; i++)
		EXPECT_EQ(0, wait_for(&self->ring, i));
}

/* A receive that waits is not woken by that, and no message is lost to it. */
TEST_F_TIMEOUT(gone, beside_a_receive, IPC_TIMEOUT)
{
	static __u64 num;

	wait_get_recv(&self->ring, self->own.id, &num, 1);
	EXPECT_WAITS(1);
	WATCH(self->peer.id, 2);
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->others, self->peer.id));
	EXPECT_EQ(0, wait_for(&self->ring, 2));
	ASSERT_TRUE(wait_nothing(&self->ring));
	ASSERT_EQ(0, ipc_attach(&self->others, self->channel, IOIPC_SUB_SEND,
				&self->peer));
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->others, self->peer.id, 9));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 1));
	EXPECT_EQ(9, num);
}

/* ---- The watcher dies ---- */

static int watch_and_wait(struct process *process, __u32 channel, __u32 target,
			  unsigned int setup)
{
	struct io_uring ring;
	struct ipc_sub sub;
	int i;

	if (open_watcher(&ring, setup) ||
	    ipc_attach(&ring, channel, IOIPC_SUB_SEND, &sub))
		return KSFT_FAIL;
	for (i = 0; i < 50; i++)
		get_gone(&ring, sub.id, i & 1 ? target : sub.id, i);
	if (!all_wait(&ring, sub.fd, 50))
		return KSFT_FAIL;
	__atomic_store_n(&process->id, sub.id, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&process->exits, __ATOMIC_ACQUIRE))
		ipc_nap(1000);
	return 0;
}

TEST_F_TIMEOUT(gone, the_watcher_dies, IPC_TIMEOUT)
{
	struct process *process = ipc_shared(sizeof(*process));
	int is_killed, is_late;
	pid_t pid;

	ASSERT_NE(NULL, process);
	for (is_killed = 0; is_killed < 2; is_killed++) {
		for (is_late = 0; is_late < 2; is_late++) {
			memset(process, 0, sizeof(*process));
			pid = ipc_fork();
			if (!pid)
				_exit(watch_and_wait(process, self->channel,
						     self->peer.id,
						     variant->setup));
			ASSERT_TRUE(ipc_poll(__atomic_load_n(&process->id,
							     __ATOMIC_ACQUIRE)));
			WATCH(self->peer.id, 1);
			/* Its requests are on their way to be woken. */
			if (is_late)
				ASSERT_EQ(0, io_uring_ipc_channel_detach(
						     &self->others,
						     self->peer.id));
			if (is_killed)
				kill(pid, SIGKILL);
			else
				__atomic_store_n(&process->exits, true,
						 __ATOMIC_RELEASE);
			EXPECT_EQ(is_killed ? 128 + SIGKILL : 0,
				  wait_child(pid));
			if (!is_late)
				ASSERT_EQ(0, io_uring_ipc_channel_detach(
						     &self->others,
						     self->peer.id));
			EXPECT_EQ(0, wait_for(&self->ring, 1));
			ASSERT_EQ(0, ipc_attach(&self->others, self->channel,
						IOIPC_SUB_BOTH, &self->peer));
		}
	}
}

/* ---- Many ---- */

FIXTURE(many) {
	struct io_uring owner;
	__u32 channel;
	struct io_uring peers;
	struct io_uring watchers;
	struct ipc_sub peer[MANY_SUBS];
	struct ipc_sub watcher[MANY_SUBS];
};

FIXTURE_SETUP(many)
{
	struct rlimit limit = { 3 * MANY_SUBS, 3 * MANY_SUBS };
	int i;

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	ASSERT_EQ(0, io_uring_queue_init(64, &self->owner, 0));
	ASSERT_EQ(0, io_uring_queue_init(64, &self->peers, 0));
	ASSERT_EQ(0, io_uring_queue_init(1024, &self->watchers, 0));
	ASSERT_EQ(0, ipc_create(&self->owner, IOIPC_F_BROADCAST, 1, 64,
				&self->channel));
	for (i = 0; i < MANY_SUBS; i++) {
		ASSERT_EQ(0, ipc_attach(&self->peers, self->channel,
					IOIPC_SUB_SEND, &self->peer[i]));
		ASSERT_EQ(0, ipc_attach(&self->watchers, self->channel,
					IOIPC_SUB_SEND, &self->watcher[i]));
	}
}

FIXTURE_TEARDOWN(many)
{
	io_uring_queue_exit(&self->watchers);
	io_uring_queue_exit(&self->peers);
	io_uring_queue_exit(&self->owner);
}

/* Each watches some peers. The number of a request says which one, and which watcher. */
static void watch_all(struct __test_metadata *_metadata,
		      FIXTURE_DATA(many) *self)
{
	int i, j;

	for (i = 0; i < MANY_SUBS; i++) {
		for (j = 0; j < EACH_WATCHES; j++)
			get_gone(&self->watchers, self->watcher[i].id,
				 self->peer[(i + j * 97) % MANY_SUBS].id,
				 i * EACH_WATCHES + j);
	}
	ASSERT_EQ(0, wait_completed(&self->watchers));
}

/* Takes completions: whether each of these requests has one, with this result. */
static bool all_end(struct io_uring *ring, int from, int to, int result)
{
	static bool ended[MANY_SUBS * EACH_WATCHES];
	struct io_uring_cqe cqe;
	int i;

	memset(ended, 0, sizeof(ended));
	for (i = from; i < to; i++) {
		if (wait_next(ring, &cqe, IPC_DEADLINE) ||
		    cqe.res != result || cqe.user_data >= ARRAY_SIZE(ended) ||
		    ended[cqe.user_data]) {
			printf("# completion %d of %d: %llu ends with %d\n",
			       i, to, (unsigned long long)cqe.user_data,
			       cqe.res);
			return false;
		}
		ended[cqe.user_data] = true;
	}
	return !wait_completed(ring);
}

TEST_F_TIMEOUT(many, all_peers_at_once, IPC_TIMEOUT)
{
	watch_all(_metadata, self);
	io_uring_queue_exit(&self->peers);
	EXPECT_TRUE(all_end(&self->watchers, 0, MANY_SUBS * EACH_WATCHES, 0));
	ASSERT_EQ(0, io_uring_queue_init(8, &self->peers, 0));
}

TEST_F_TIMEOUT(many, one_peer_after_the_other, IPC_TIMEOUT)
{
	int i;

	watch_all(_metadata, self);
	for (i = 0; i < MANY_SUBS; i++) {
		ASSERT_EQ(0, io_uring_ipc_channel_detach(
				     i & 1 ? &self->owner : &self->peers,
				     self->peer[i].id));
	}
	EXPECT_TRUE(all_end(&self->watchers, 0, MANY_SUBS * EACH_WATCHES, 0));
}

TEST_F_TIMEOUT(many, all_watchers_at_once, IPC_TIMEOUT)
{
	int i;

	watch_all(_metadata, self);
	for (i = 0; i < MANY_SUBS; i++) {
		ASSERT_EQ(0, io_uring_ipc_channel_detach(
				     i & 1 ? &self->owner : &self->watchers,
				     self->watcher[i].id));
	}
	EXPECT_TRUE(all_end(&self->watchers, 0, MANY_SUBS * EACH_WATCHES,
			    -ENOENT));
	/* Nothing is left for these. */
	io_uring_queue_exit(&self->peers);
	EXPECT_EQ(0, wait_completed(&self->watchers));
	ASSERT_EQ(0, io_uring_queue_init(8, &self->peers, 0));
}

TEST_F_TIMEOUT(many, destroyed, IPC_TIMEOUT)
{
	watch_all(_metadata, self);
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->owner, self->channel));
	EXPECT_TRUE(all_end(&self->watchers, 0, MANY_SUBS * EACH_WATCHES,
			    -EPIPE));
}

TEST_F_TIMEOUT(many, canceled, IPC_TIMEOUT)
{
	watch_all(_metadata, self);
	EXPECT_EQ(MANY_SUBS * EACH_WATCHES,
		  cancel(&self->watchers, IORING_ASYNC_CANCEL_ALL |
			 IORING_ASYNC_CANCEL_ANY, true, 0, -1));
	EXPECT_TRUE(all_end(&self->watchers, 0, MANY_SUBS * EACH_WATCHES,
			    -ECANCELED));
}

/* The ring of the watchers is closed while their requests are woken. */
TEST_F_TIMEOUT(many, both_end, IPC_TIMEOUT)
{
	watch_all(_metadata, self);
	io_uring_queue_exit(&self->peers);
	io_uring_queue_exit(&self->watchers);
	ASSERT_EQ(0, io_uring_queue_init(8, &self->peers, 0));
	ASSERT_EQ(0, io_uring_queue_init(8, &self->watchers, 0));
}

/* ---- Races ---- */

#define RACE_WATCHERS	3
#define RACE_PEERS	4

struct race {
	__u32		channel;
	bool		is_over;
	/* Peers now and before, or 0; a watcher may find either. */
	__u32		peer[RACE_PEERS];
	int		failed;
	/* How requests have ended: 0, canceled, not there. */
	unsigned int	ended[3];
};

static void *be_peer(void *arg)
{
	struct race *race = arg;
	struct io_uring ring;
	struct ipc_sub sub;
	__u32 seed = 5;
	int i;

	if (ipc_open(&ring))
		goto failed;
	while (!__atomic_load_n(&race->is_over, __ATOMIC_RELAXED)) {
		i = ipc_random(&seed) % RACE_PEERS;
		if (race->peer[i] &&
		    io_uring_ipc_channel_detach(&ring, race->peer[i]))
			goto failed;
		if (ipc_attach(&ring, race->channel, IOIPC_SUB_SEND, &sub) ||
		    close(sub.fd))
			goto failed;
		__atomic_store_n(&race->peer[i], sub.id, __ATOMIC_RELEASE);
		/* Now and then long enough to be found. */
		if (!(ipc_random(&seed) % 4))
			ipc_nap(2000);
	}
	for (i = 0; i < RACE_PEERS; i++)
		if (race->peer[i])
			io_uring_ipc_channel_detach(&ring, race->peer[i]);
	io_uring_queue_exit(&ring);
	return NULL;
failed:
	__atomic_add_fetch(&race->failed, 1, __ATOMIC_RELAXED);
	return NULL;
}

/* Keeps eight watches, and cancels some, and leaves now and then. */
static void *be_watcher(void *arg)
{
	struct race *race = arg;
	unsigned int open = 0;
	struct io_uring_cqe *cqe;
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	struct ipc_sub sub = {};
	__u32 seed = gettid();
	__u64 data;

	if (io_uring_queue_init(32, &ring, 0))
		goto failed;
	while (!__atomic_load_n(&race->is_over, __ATOMIC_RELAXED)) {
		if (!sub.id || !(ipc_random(&seed) % 256)) {
			if (sub.id && io_uring_ipc_channel_detach(&ring, sub.id))
				goto failed;
			if (ipc_attach(&ring, race->channel, IOIPC_SUB_SEND,
				       &sub) || close(sub.fd))
				goto failed;
		}
		data = ipc_random(&seed) % 8;
		sqe = io_uring_get_sqe(&ring);
		if (open & 1U << data && ipc_random(&seed) % 16) {
			/* Most of the time, wait for the end. */
			io_uring_prep_nop(sqe);
			sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
			io_uring_sqe_set_data64(sqe, 100);
		} else if (open & 1U << data) {
			io_uring_prep_cancel64(sqe, data, 0);
			sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
			io_uring_sqe_set_data64(sqe, 100);
		} else {
			__u32 id = ipc_random(&seed) % RACE_PEERS;

			id = __atomic_load_n(&race->peer[id], __ATOMIC_ACQUIRE);
			io_uring_prep_ipc_recv_gone(sqe, sub.id, id ?: sub.id);
			if (!(ipc_random(&seed) % 8))
				sqe->flags |= IOSQE_ASYNC;
			io_uring_sqe_set_data64(sqe, data);
			open |= 1U << data;
		}
		io_uring_submit(&ring);
		io_uring_get_events(&ring);
		while (!io_uring_peek_cqe(&ring, &cqe)) {
			if (cqe->user_data != 100) {
				if (!(open & 1U << cqe->user_data))
					goto failed;
				open &= ~(1U << cqe->user_data);
				if (cqe->res && cqe->res != -ENOENT &&
				    cqe->res != -ECANCELED && cqe->res != -EINTR)
					goto failed;
				__atomic_add_fetch(&race->ended[!cqe->res ? 0 :
						   cqe->res != -ENOENT ? 1 : 2],
						   1, __ATOMIC_RELAXED);
			}
			io_uring_cqe_seen(&ring, cqe);
		}
	}
	/* Each one ends. */
	io_uring_ipc_channel_detach(&ring, sub.id);
	while (open) {
		struct io_uring_cqe copy;

		if (wait_next(&ring, &copy, IPC_DEADLINE))
			goto failed;
		if (copy.user_data != 100)
			open &= ~(1U << copy.user_data);
	}
	io_uring_queue_exit(&ring);
	return NULL;
failed:
	__atomic_add_fetch(&race->failed, 1, __ATOMIC_RELAXED);
	return NULL;
}

TEST_F_TIMEOUT(gone, races, IPC_TIMEOUT)
{
	double end = ipc_now() + ipc_env("RACE_SECONDS", 1);
	struct race race = { .channel = self->channel };
	pthread_t thread[RACE_WATCHERS + 1];
	int i;

	for (i = 0; i <= RACE_WATCHERS; i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL,
					    i ? be_watcher : be_peer, &race));
	while (ipc_go_on(end, __atomic_load_n(&race.ended[0], __ATOMIC_RELAXED) &&
			 __atomic_load_n(&race.ended[1], __ATOMIC_RELAXED)) &&
	       !__atomic_load_n(&race.failed, __ATOMIC_RELAXED))
		ipc_nap(10000);
	__atomic_store_n(&race.is_over, true, __ATOMIC_RELAXED);
	for (i = 0; i <= RACE_WATCHERS; i++)
		ASSERT_EQ(0, pthread_join(thread[i], NULL));
	EXPECT_EQ(0, race.failed);
	EXPECT_LT(0, race.ended[0]);
	EXPECT_LT(0, race.ended[1]);
	printf("# %u times gone, %u canceled, %u not there\n", race.ended[0],
	       race.ended[1], race.ended[2]);
}

IPC_HARNESS_MAIN
