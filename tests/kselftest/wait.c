// SPDX-License-Identifier: GPL-2.0
/*
 * Requests that wait for a message or for room: what completes them, what ends
 * them, and who gets what when several wait.
 *
 * RANDOM_ROUNDS=N is how often the tests with random timing try.
 */
#include <poll.h>
#include <pthread.h>
#include <sys/syscall.h>
#include "fixture.h"
#include "waiting.h"

#define ENTRIES	4
#define SEED	0x5eed4321U

FIXTURE(wait) {
	struct io_uring ring;
	struct io_uring other;
	__u32 channel;
	struct ipc_sub sender;
	struct ipc_sub receiver;
	bool all;
};

FIXTURE_KINDS(wait);

FIXTURE_SETUP(wait)
{
	self->all = variant->flags & IOIPC_F_BROADCAST;
	ASSERT_EQ(0, io_uring_queue_init(64, &self->ring, 0));
	ASSERT_EQ(0, io_uring_queue_init(64, &self->other, 0));
	SET_UP_CHANNEL(&self->ring, &self->ring, ENTRIES, 64);
}

FIXTURE_TEARDOWN(wait)
{
	io_uring_queue_exit(&self->other);
	io_uring_queue_exit(&self->ring);
}

static int fill(struct io_uring *ring, __u32 id)
{
	int num;

	for (num = 0; num < ENTRIES; num++)
		if (wait_send(ring, id, num) != IPC_NUM)
			break;
	return num;
}

/* Receives so many, from a number on; returns how many were right. */
static int drain(struct io_uring *ring, __u32 id, int from, int to)
{
	int num;

	for (num = from; num < to; num++)
		if (wait_recv(ring, id) != num)
			break;
	return num - from;
}

TEST_F_TIMEOUT(wait, recv_completes_when_sent, IPC_TIMEOUT)
{
	struct io_uring_cqe cqe;
	__u64 got;
	int i;

	for (i = 0; i < 20; i++) {
		got = 0;
		wait_get_recv(&self->ring, self->receiver.id, &got, 7);
		ASSERT_TRUE(wait_nothing(&self->ring));
		ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id,
					     100 + i));
		ASSERT_EQ(IPC_NUM, wait_for_cqe(&self->ring, 7, &cqe));
		EXPECT_EQ(0, cqe.flags);
		EXPECT_EQ(100 + i, got);
		EXPECT_EQ(0, wait_completed(&self->ring));
	}
	EXPECT_EQ(-EAGAIN, wait_recv(&self->ring, self->receiver.id));
}

TEST_F_TIMEOUT(wait, recv_completes_when_another_ring_sends, IPC_TIMEOUT)
{
	__u64 got = 0;

	wait_get_recv(&self->ring, self->receiver.id, &got, 7);
	ASSERT_TRUE(wait_nothing(&self->ring));
	/* Unattached. */
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->channel, 5));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 7));
	EXPECT_EQ(5, got);
}

TEST_F_TIMEOUT(wait, recv_completes_when_another_process_sends, IPC_TIMEOUT)
{
	__u64 got = 0;
	pid_t pid;
	int i;

	for (i = 0; i < 5; i++) {
		wait_get_recv(&self->ring, self->receiver.id, &got, 7);
		ASSERT_TRUE(wait_nothing(&self->ring));
		pid = ipc_fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			struct io_uring ring;

			if (ipc_open(&ring))
				_exit(KSFT_FAIL);
			_exit(ipc_send_num(&ring, self->channel, i) != IPC_NUM);
		}
		EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 7));
		EXPECT_EQ(i, got);
		EXPECT_EQ(0, wait_child(pid));
	}
}

TEST_F_TIMEOUT(wait, message_there_completes_at_once, IPC_TIMEOUT)
{
	__u64 got = 0;
	int i;

	ASSERT_EQ(ENTRIES, fill(&self->ring, self->sender.id));
	for (i = 0; i < ENTRIES; i++) {
		wait_get_recv(&self->ring, self->receiver.id, &got, 7);
		ASSERT_EQ(1, io_uring_submit(&self->ring));
		/* Before the submission returns. */
		ASSERT_EQ(1, io_uring_cq_ready(&self->ring));
		EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 7));
		EXPECT_EQ(i, got);
	}
	got = 1;
	wait_get_send(&self->ring, self->sender.id, &got, 8);
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	ASSERT_EQ(1, io_uring_cq_ready(&self->ring));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 8));
}

TEST_F_TIMEOUT(wait, send_waits_for_room, IPC_TIMEOUT)
{
	__u64 num = ENTRIES;
	int round;

	for (round = 0; round < 10; round++) {
		ASSERT_EQ(ENTRIES, fill(&self->ring, self->sender.id));
		wait_get_send(&self->ring, self->sender.id, &num, 7);
		ASSERT_TRUE(wait_nothing(&self->ring));
		/* Without the flag nothing has changed. */
		EXPECT_EQ(-ENOBUFS, wait_send(&self->ring, self->sender.id, 9));
		EXPECT_EQ(0, wait_recv(&self->ring, self->receiver.id));
		ASSERT_EQ(IPC_NUM, wait_for(&self->ring, 7));
		ASSERT_EQ(ENTRIES, drain(&self->ring, self->receiver.id, 1,
					 ENTRIES + 1));
		EXPECT_EQ(-EAGAIN, wait_recv(&self->ring, self->receiver.id));
	}
}

TEST_F_TIMEOUT(wait, send_waits_for_another_process, IPC_TIMEOUT)
{
	struct ipc_sub sub;
	__u64 num = 77;
	pid_t pid;

	/* Attached before the messages, for a broadcast. */
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring,
						 self->receiver.id));
	ASSERT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_RECV,
				&sub));
	ASSERT_EQ(ENTRIES, fill(&self->ring, self->sender.id));
	wait_get_send(&self->ring, self->sender.id, &num, 7);
	ASSERT_TRUE(wait_nothing(&self->ring));
	/* It inherits the other ring. */
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		_exit(0);
	}
	EXPECT_EQ(0, wait_child(pid));
	EXPECT_TRUE(wait_nothing(&self->ring));
	EXPECT_EQ(0, ipc_recv_num(&self->other, sub.id));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 7));
	EXPECT_EQ(1, ipc_recv_num(&self->other, sub.id));
}

/* A sender process against a receiver process, both wait for each other. */
TEST_F_TIMEOUT(wait, two_processes_through_a_small_ring, IPC_TIMEOUT)
{
	enum { COUNT = 300 };
	__u64 i;
	pid_t pid;

	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct io_uring ring;

		ASSERT_EQ(0, ipc_open(&ring));
		for (i = 0; i < COUNT; i++) {
			ASSERT_EQ(IPC_NUM, wait_send_wait(&ring, self->channel,
							  i));
		}
		_exit(0);
	}
	for (i = 0; i < COUNT; i++) {
		/* Sometimes the one, sometimes the other is slower. */
		if (i % 64 == 32)
			ipc_nap(3000);
		ASSERT_EQ(i, wait_recv_wait(&self->ring, self->receiver.id));
	}
	EXPECT_EQ(0, wait_child(pid));
}

TEST_F_TIMEOUT(wait, async, IPC_TIMEOUT)
{
	__u64 got = 0, num = 99;
	int i;

	for (i = 0; i < 10; i++) {
		wait_get_recv(&self->ring, self->receiver.id, &got, 7)->flags |=
			IOSQE_ASYNC;
		ASSERT_TRUE(wait_nothing(&self->ring));
		ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, i));
		ASSERT_EQ(IPC_NUM, wait_for(&self->ring, 7));
		EXPECT_EQ(i, got);
	}
	ASSERT_EQ(ENTRIES, fill(&self->ring, self->sender.id));
	wait_get_send(&self->ring, self->sender.id, &num, 8)->flags |=
		IOSQE_ASYNC;
	ASSERT_TRUE(wait_nothing(&self->ring));
	EXPECT_EQ(0, wait_recv(&self->ring, self->receiver.id));
	ASSERT_EQ(IPC_NUM, wait_for(&self->ring, 8));
	EXPECT_EQ(3, drain(&self->ring, self->receiver.id, 1, ENTRIES));
	EXPECT_EQ(99, wait_recv(&self->ring, self->receiver.id));
	/* With nobody in the way. */
	wait_get_send(&self->ring, self->sender.id, &num, 9)->flags |=
		IOSQE_ASYNC;
	ASSERT_EQ(IPC_NUM, wait_for(&self->ring, 9));
	wait_get_recv(&self->ring, self->receiver.id, &got, 10)->flags |=
		IOSQE_ASYNC;
	ASSERT_EQ(IPC_NUM, wait_for(&self->ring, 10));
	EXPECT_EQ(99, got);
}

/* What is wrong is found at once, not after waiting. */
TEST_F_TIMEOUT(wait, errors_do_not_wait, IPC_TIMEOUT)
{
	static const unsigned int flags[] = { 0, IOSQE_ASYNC };
	__u64 got = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		wait_get_recv(&self->ring, self->sender.id, &got, 1)->flags |=
			flags[i];
		EXPECT_EQ(-EACCES, wait_for(&self->ring, 1));
		wait_get_recv(&self->ring, self->channel, &got, 2)->flags |=
			flags[i];
		EXPECT_EQ(-ENOENT, wait_for(&self->ring, 2));
		wait_get_recv(&self->other, self->receiver.id, &got, 3)->flags |=
			flags[i];
		EXPECT_EQ(-ENOENT, wait_for(&self->other, 3));
		wait_get_send(&self->ring, self->receiver.id, &got, 4)->flags |=
			flags[i];
		EXPECT_EQ(-EACCES, wait_for(&self->ring, 4));
		wait_get_send(&self->ring, UINT_MAX, &got, 5)->flags |= flags[i];
		EXPECT_EQ(-ENOENT, wait_for(&self->ring, 5));
		wait_get_send(&self->ring, self->sender.id, (void *)8, 6)->flags |=
			flags[i];
		EXPECT_EQ(-EFAULT, wait_for(&self->ring, 6));
	}
	/* A bad buffer is found when there is a message, which stays. */
	wait_get_recv(&self->ring, self->receiver.id, (void *)8, 7);
	EXPECT_TRUE(wait_nothing(&self->ring));
	EXPECT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, 5));
	EXPECT_EQ(-EFAULT, wait_for(&self->ring, 7));
	EXPECT_EQ(5, wait_recv(&self->ring, self->receiver.id));
}

/* The message that one cannot take wakes the next. */
TEST_F_TIMEOUT(wait, bad_buffer_wakes_the_next, IPC_TIMEOUT)
{
	__u64 got = 0;

	wait_get_recv(&self->ring, self->receiver.id, (void *)8, 7);
	EXPECT_TRUE(wait_nothing(&self->ring));
	wait_get_recv(&self->ring, self->receiver.id, &got, 8);
	EXPECT_TRUE(wait_nothing(&self->ring));
	EXPECT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, 5));
	EXPECT_EQ(-EFAULT, wait_for(&self->ring, 7));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 8));
	EXPECT_EQ(5, got);
}

TEST_F_TIMEOUT(wait, link, IPC_TIMEOUT)
{
	__u64 got = 0, num = 12;

	wait_get_recv(&self->ring, self->receiver.id, &got, 7)->flags |=
		IOSQE_IO_LINK;
	io_uring_prep_nop(io_uring_get_sqe(&self->ring));
	EXPECT_TRUE(wait_nothing(&self->ring));
	EXPECT_EQ(IPC_NUM, ipc_send_num(&self->other, self->channel, 6));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 7));
	EXPECT_EQ(0, wait_for(&self->ring, 0));
	EXPECT_EQ(6, got);

	/* What is received can be sent on. */
	wait_get_recv(&self->ring, self->receiver.id, &got, 7)->flags |=
		IOSQE_IO_LINK;
	wait_get_send(&self->ring, self->sender.id, &got, 8);
	EXPECT_TRUE(wait_nothing(&self->ring));
	EXPECT_EQ(IPC_NUM, ipc_send_num(&self->other, self->channel, 9));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 7));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 8));
	EXPECT_EQ(9, wait_recv(&self->ring, self->receiver.id));

	/* A failure breaks it. */
	ASSERT_EQ(ENTRIES, fill(&self->ring, self->sender.id));
	wait_get_send(&self->ring, self->sender.id, &num, 9)->flags |=
		IOSQE_IO_LINK;
	io_uring_prep_nop(io_uring_get_sqe(&self->ring));
	EXPECT_TRUE(wait_nothing(&self->ring));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring, self->sender.id));
	EXPECT_EQ(-ENOENT, wait_for(&self->ring, 9));
	EXPECT_EQ(-ECANCELED, wait_for(&self->ring, 0));
	EXPECT_EQ(ENTRIES, drain(&self->ring, self->receiver.id, 0, ENTRIES));
	EXPECT_EQ(-EAGAIN, wait_recv(&self->ring, self->receiver.id));
}

/* How a request can be cancelled. */
enum {
	BY_DATA, BY_OPCODE, BY_FD, BY_ANY, SYNC_BY_DATA, SYNC_BY_OPCODE,
	SYNC_BY_ANY, WAYS
};

static int try_cancel(struct io_uring *ring, int way, __u64 data, __u8 opcode,
		      int fd)
{
	struct io_uring_sync_cancel_reg reg = {
		.addr = data,
		.fd = -1,
		.timeout = { .tv_sec = WAIT_DEADLINE, .tv_nsec = 0 },
	};
	struct io_uring_sqe *sqe;
	__u64 unique;

	switch (way) {
	case SYNC_BY_OPCODE:
		reg.flags = IORING_ASYNC_CANCEL_OP | IORING_ASYNC_CANCEL_ALL;
		reg.opcode = opcode;
		return io_uring_register_sync_cancel(ring, &reg);
	case SYNC_BY_ANY:
		reg.flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL;
		return io_uring_register_sync_cancel(ring, &reg);
	case SYNC_BY_DATA:
		return io_uring_register_sync_cancel(ring, &reg);
	case BY_DATA:
		return wait_cancel(ring, data, 0);
	case BY_ANY:
		return wait_cancel(ring, 0, IORING_ASYNC_CANCEL_ANY |
				   IORING_ASYNC_CANCEL_ALL);
	}
	unique = wait_new_data();
	sqe = wait_get_sqe(ring);
	if (way == BY_FD) {
		io_uring_prep_cancel_fd(sqe, fd, 0);
	} else {
		io_uring_prep_cancel(sqe, NULL, IORING_ASYNC_CANCEL_OP);
		sqe->len = opcode;
	}
	io_uring_sqe_set_data64(sqe, unique);
	return wait_for(ring, unique);
}

/* Whether a request can be cancelled, and ends by that. */
static bool cancel(struct io_uring *ring, int way, __u64 data, __u8 opcode,
		   int fd)
{
	bool told = false;
	int ret;

	while ((ret = try_cancel(ring, way, data, opcode, fd)) == -EALREADY) {
		told = true;
		ipc_nap(1000);
	}
	if (wait_ended(ring, data, ret, told))
		return true;
	printf("# way %d\n", way);
	return false;
}

/* Whether a request ends by the timeout that is linked to it and has user_data 0. */
static bool timed_out(struct io_uring *ring, __u64 data, unsigned int flags)
{
	int ret = wait_for(ring, 0);

	/* The worker may go on to wait nevertheless. */
	if (flags & IOSQE_ASYNC && ret == -EALREADY)
		return wait_end(ring, data, true);
	return ret == -ETIME && wait_for(ring, data) == -ECANCELED;
}

TEST_F_TIMEOUT(wait, link_timeout, IPC_TIMEOUT)
{
	struct __kernel_timespec brief = { .tv_nsec = 10000000 };
	struct __kernel_timespec lengthy = { .tv_sec = 1000 };
	static const unsigned int flags[] = { 0, IOSQE_ASYNC };
	__u64 got, num = 12;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		got = 0;
		wait_get_recv(&self->ring, self->receiver.id, &got, 7)->flags |=
			IOSQE_IO_LINK | flags[i];
		io_uring_prep_link_timeout(io_uring_get_sqe(&self->ring), &brief,
					   0);
		EXPECT_TRUE(timed_out(&self->ring, 7, flags[i]));
		EXPECT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, 3));
		EXPECT_EQ(0, got);
		EXPECT_EQ(3, wait_recv_wait(&self->ring, self->receiver.id));

		/* What has not been sent is not there. */
		ASSERT_EQ(ENTRIES, fill(&self->ring, self->sender.id));
		wait_get_send(&self->ring, self->sender.id, &num, 8)->flags |=
			IOSQE_IO_LINK | flags[i];
		io_uring_prep_link_timeout(io_uring_get_sqe(&self->ring), &brief,
					   0);
		EXPECT_TRUE(timed_out(&self->ring, 8, flags[i]));
		EXPECT_EQ(ENTRIES, drain(&self->ring, self->receiver.id, 0,
					 ENTRIES));
		EXPECT_EQ(-EAGAIN, wait_recv(&self->ring, self->receiver.id));

		/* In time. */
		wait_get_recv(&self->ring, self->receiver.id, &got, 7)->flags |=
			IOSQE_IO_LINK | flags[i];
		io_uring_prep_link_timeout(io_uring_get_sqe(&self->ring),
					   &lengthy, 0);
		EXPECT_TRUE(wait_nothing(&self->ring));
		EXPECT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, 4));
		EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 7));
		EXPECT_EQ(-ECANCELED, wait_for(&self->ring, 0));
		EXPECT_EQ(4, got);
	}
}

TEST_F_TIMEOUT(wait, cancel_recv, IPC_TIMEOUT)
{
	static const unsigned int flags[] = { 0, IOSQE_ASYNC };
	__u64 got = 0;
	size_t i;
	int way;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		for (way = 0; way < WAYS; way++) {
			wait_get_recv(&self->ring, self->receiver.id, &got, 7)
				->flags |= flags[i];
			ASSERT_TRUE(wait_nothing(&self->ring));
			ASSERT_TRUE(cancel(&self->ring, way, 7, IOIPC_OP_RECV,
					   self->receiver.fd))
				TH_LOG("flags %u", flags[i]);
			/* The message is for the next. */
			ASSERT_EQ(IPC_NUM, wait_send(&self->ring,
						     self->sender.id, way));
			EXPECT_EQ(0, got);
			EXPECT_EQ(way, wait_recv_wait(&self->ring,
						      self->receiver.id));
			EXPECT_EQ(0, wait_completed(&self->ring));
		}
	}
}

TEST_F_TIMEOUT(wait, cancel_send, IPC_TIMEOUT)
{
	static const unsigned int flags[] = { 0, IOSQE_ASYNC };
	__u64 num = 9;
	size_t i;
	int way;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		for (way = 0; way < WAYS; way++) {
			ASSERT_EQ(ENTRIES, fill(&self->ring, self->sender.id));
			wait_get_send(&self->ring, self->sender.id, &num, 7)
				->flags |= flags[i];
			ASSERT_TRUE(wait_nothing(&self->ring));
			ASSERT_TRUE(cancel(&self->ring, way, 7, IOIPC_OP_SEND,
					   self->sender.fd))
				TH_LOG("flags %u", flags[i]);
			ASSERT_EQ(ENTRIES, drain(&self->ring, self->receiver.id,
						 0, ENTRIES));
			EXPECT_EQ(-EAGAIN, wait_recv(&self->ring,
						     self->receiver.id));
		}
	}
}

TEST_F_TIMEOUT(wait, cancel_all_of_many, IPC_TIMEOUT)
{
	enum { COUNT = 10 };
	__u64 got[COUNT], num = 9;
	int i;

	for (i = 0; i < COUNT; i++)
		wait_get_recv(&self->ring, self->receiver.id, &got[i], 100 + i);
	ASSERT_TRUE(wait_nothing(&self->ring));
	EXPECT_EQ(COUNT, wait_cancel(&self->ring, 0, IORING_ASYNC_CANCEL_ANY |
				     IORING_ASYNC_CANCEL_ALL));
	for (i = 0; i < COUNT; i++) {
		EXPECT_EQ(-ECANCELED, wait_for(&self->ring, 100 + i));
	}
	ASSERT_EQ(ENTRIES, fill(&self->ring, self->sender.id));
	for (i = 0; i < COUNT; i++)
		wait_get_send(&self->ring, self->sender.id, &num, 100 + i);
	ASSERT_TRUE(wait_nothing(&self->ring));
	EXPECT_EQ(COUNT, wait_cancel(&self->ring, 0, IORING_ASYNC_CANCEL_ANY |
				     IORING_ASYNC_CANCEL_ALL));
	for (i = 0; i < COUNT; i++) {
		EXPECT_EQ(-ECANCELED, wait_for(&self->ring, 100 + i));
	}
	EXPECT_EQ(ENTRIES, drain(&self->ring, self->receiver.id, 0, ENTRIES));
}

TEST_F_TIMEOUT(wait, many_recvs_get_one_each, IPC_TIMEOUT)
{
	enum { COUNT = 30 };
	__u64 got[COUNT];
	__u32 seen = 0;
	int i, sent = 0;

	for (i = 0; i < COUNT; i++) {
		got[i] = 31;
		wait_get_recv(&self->ring, self->receiver.id, &got[i], 100 + i);
	}
	ASSERT_TRUE(wait_nothing(&self->ring));
	for (i = 0; i < COUNT; i++) {
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->channel, i));
		sent++;
		/* Not one message more than was sent is received. */
		ASSERT_TRUE(wait_complete(&self->ring, sent));
		EXPECT_EQ(sent, wait_completed(&self->ring));
	}
	for (i = 0; i < COUNT; i++) {
		EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 100 + i));
		/* Who has waited longest is served first. */
		EXPECT_EQ(i, got[i]);
		seen |= 1U << got[i];
	}
	EXPECT_EQ((1U << COUNT) - 1, seen);
}

/* All at once: nobody may be forgotten. */
TEST_F_TIMEOUT(wait, burst_for_many_recvs, IPC_TIMEOUT)
{
	enum { COUNT = 24 };
	__u64 got[COUNT], num[COUNT];
	__u32 seen, round;
	int i;

	for (round = 0; round < 10; round++) {
		seen = 0;
		for (i = 0; i < COUNT; i++) {
			got[i] = 31;
			num[i] = i;
			wait_get_recv(&self->ring, self->receiver.id, &got[i],
				      100 + i);
		}
		ASSERT_TRUE(wait_nothing(&self->ring));
		for (i = 0; i < COUNT; i++)
			wait_get_send(&self->other, self->channel, &num[i],
				      200 + i);
		io_uring_submit(&self->other);
		for (i = 0; i < COUNT; i++) {
			ASSERT_EQ(IPC_NUM, wait_for(&self->ring, 100 + i));
			seen |= 1U << got[i];
		}
		for (i = 0; i < COUNT; i++) {
			ASSERT_EQ(IPC_NUM, wait_for(&self->other, 200 + i));
		}
		ASSERT_EQ((1U << COUNT) - 1, seen);
	}
}

TEST_F_TIMEOUT(wait, many_sends_take_one_slot_each, IPC_TIMEOUT)
{
	enum { COUNT = 24 };
	__u64 num[COUNT];
	__u32 seen = 0;
	long long got;
	int i;

	ASSERT_EQ(ENTRIES, fill(&self->ring, self->sender.id));
	for (i = 0; i < COUNT; i++) {
		num[i] = i;
		wait_get_send(i % 2 ? &self->other : &self->ring,
			      i % 2 ? self->channel : self->sender.id, &num[i],
			      100 + i);
	}
	ASSERT_TRUE(wait_nothing(&self->ring));
	ASSERT_TRUE(wait_nothing(&self->other));
	ASSERT_EQ(ENTRIES, drain(&self->ring, self->receiver.id, 0, ENTRIES));
	for (i = 0; i < COUNT; i++) {
		got = wait_recv_wait(&self->ring, self->receiver.id);
		ASSERT_LE(0, got);
		ASSERT_GT(COUNT, got);
		EXPECT_FALSE(seen & 1U << got);
		seen |= 1U << got;
	}
	for (i = 0; i < COUNT; i++) {
		EXPECT_EQ(IPC_NUM, wait_for(i % 2 ? &self->other : &self->ring,
					    100 + i));
	}
	EXPECT_EQ(-EAGAIN, wait_recv(&self->ring, self->receiver.id));
}

TEST_F_TIMEOUT(wait, unattached_send, IPC_TIMEOUT)
{
	__u64 num = 50;

	ASSERT_EQ(ENTRIES, fill(&self->ring, self->sender.id));
	wait_get_send(&self->other, self->channel, &num, 7);
	ASSERT_TRUE(wait_nothing(&self->other));
	EXPECT_EQ(0, wait_recv(&self->ring, self->receiver.id));
	ASSERT_EQ(IPC_NUM, wait_for(&self->other, 7));
	wait_get_send(&self->other, self->channel, &num, 8);
	wait_get_send(&self->other, self->channel, &num, 9)->flags |=
		IOSQE_ASYNC;
	ASSERT_TRUE(wait_nothing(&self->other));
	EXPECT_EQ(0, wait_cancel(&self->other, 8, 0));
	EXPECT_EQ(-ECANCELED, wait_for(&self->other, 8));
	EXPECT_TRUE(wait_end(&self->other, 9, false));
	EXPECT_EQ(3, drain(&self->ring, self->receiver.id, 1, ENTRIES));
	EXPECT_EQ(50, wait_recv(&self->ring, self->receiver.id));

	ASSERT_EQ(ENTRIES, fill(&self->ring, self->sender.id));
	wait_get_send(&self->other, self->channel, &num, 10);
	ASSERT_TRUE(wait_nothing(&self->other));
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->ring, self->channel));
	EXPECT_EQ(-EPIPE, wait_for(&self->other, 10));
	EXPECT_EQ(ENTRIES, drain(&self->ring, self->receiver.id, 0, ENTRIES));
}

TEST_F_TIMEOUT(wait, detach_ends_its_requests, IPC_TIMEOUT)
{
	struct ipc_sub second, sender2;
	__u64 got[4], num = 8;
	int i;

	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_RECV,
				&second));
	for (i = 0; i < 3; i++)
		wait_get_recv(&self->ring, self->receiver.id, &got[i], 100 + i);
	wait_get_recv(&self->ring, second.id, &got[3], 103);
	wait_get_recv(&self->ring, self->receiver.id, &got[0], 104)->flags |=
		IOSQE_ASYNC;
	ASSERT_TRUE(wait_nothing(&self->ring));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring,
						 self->receiver.id));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(-ENOENT, wait_for(&self->ring, 100 + i));
	}
	EXPECT_EQ(-ENOENT, wait_for(&self->ring, 104));
	EXPECT_TRUE(wait_nothing(&self->ring));
	EXPECT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, 5));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 103));
	EXPECT_EQ(5, got[3]);

	/* Senders. */
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_SEND,
				&sender2));
	ASSERT_EQ(ENTRIES, fill(&self->ring, self->sender.id));
	wait_get_send(&self->ring, self->sender.id, &num, 200);
	wait_get_send(&self->ring, self->sender.id, &num, 201);
	wait_get_send(&self->ring, sender2.id, &num, 202);
	wait_get_send(&self->ring, self->sender.id, &num, 203)->flags |=
		IOSQE_ASYNC;
	ASSERT_TRUE(wait_nothing(&self->ring));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring, self->sender.id));
	EXPECT_EQ(-ENOENT, wait_for(&self->ring, 200));
	EXPECT_EQ(-ENOENT, wait_for(&self->ring, 201));
	EXPECT_EQ(-ENOENT, wait_for(&self->ring, 203));
	EXPECT_TRUE(wait_nothing(&self->ring));
	EXPECT_EQ(ENTRIES, drain(&self->ring, second.id, 0, ENTRIES));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 202));
	EXPECT_EQ(8, wait_recv(&self->ring, second.id));
}

TEST_F_TIMEOUT(wait, destroy_ends_all_requests, IPC_TIMEOUT)
{
	struct ipc_sub second;
	__u64 got[4];
	int i;

	ASSERT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_RECV,
				&second));
	for (i = 0; i < 4; i++)
		wait_get_recv(i % 2 ? &self->other : &self->ring,
			      i % 2 ? second.id : self->receiver.id, &got[i],
			      100 + i)->flags |= i / 2 ? IOSQE_ASYNC : 0;
	ASSERT_TRUE(wait_nothing(&self->ring));
	ASSERT_TRUE(wait_nothing(&self->other));
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->ring, self->channel));
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(-EPIPE, wait_for(i % 2 ? &self->other : &self->ring,
					   100 + i))
			TH_LOG("request %d", i);
	}
	EXPECT_EQ(-EPIPE, wait_recv_wait(&self->ring, self->receiver.id));
	EXPECT_EQ(-EPIPE, wait_send_wait(&self->ring, self->sender.id, 1));
}

TEST_F_TIMEOUT(wait, destroy_leaves_what_is_queued, IPC_TIMEOUT)
{
	struct ipc_sub sender2;
	__u64 num = 9;
	int i;

	ASSERT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_SEND,
				&sender2));
	ASSERT_EQ(ENTRIES, fill(&self->ring, self->sender.id));
	for (i = 0; i < 4; i++)
		wait_get_send(i % 2 ? &self->other : &self->ring,
			      i % 2 ? sender2.id : self->sender.id, &num,
			      100 + i)->flags |= i / 2 ? IOSQE_ASYNC : 0;
	ASSERT_TRUE(wait_nothing(&self->ring));
	ASSERT_TRUE(wait_nothing(&self->other));
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->ring, self->channel));
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(-EPIPE, wait_for(i % 2 ? &self->other : &self->ring,
					   100 + i))
			TH_LOG("request %d", i);
	}
	for (i = 0; i < ENTRIES; i++) {
		EXPECT_EQ(i, wait_recv_wait(&self->ring, self->receiver.id));
	}
	EXPECT_EQ(-EPIPE, wait_recv_wait(&self->ring, self->receiver.id));
}

static void create_and_pause(__u32 flags, _Atomic __u32 *channel)
{
	struct io_uring ring;
	__u32 id;

	if (ipc_open(&ring) || ipc_create(&ring, flags, ENTRIES, 64, &id))
		_exit(KSFT_FAIL);
	*channel = id;
	for (;;)
		pause();
}

/* Waiters outlive the process that created the channel. */
TEST_F_TIMEOUT(wait, death_of_the_creator_ends_all_requests, IPC_TIMEOUT)
{
	_Atomic __u32 *channel = ipc_shared(sizeof(*channel));
	struct ipc_sub receiver, sender;
	__u64 got = 0, num = 1;
	pid_t pid;

	ASSERT_NE(NULL, channel);
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid)
		create_and_pause(variant->flags, channel);
	ASSERT_TRUE(ipc_poll(*channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, *channel, IOIPC_SUB_RECV,
				&receiver));
	ASSERT_EQ(0, ipc_attach(&self->other, *channel, IOIPC_SUB_SEND,
				&sender));
	ASSERT_EQ(ENTRIES, fill(&self->other, sender.id));
	wait_get_send(&self->other, sender.id, &num, 7);
	ASSERT_TRUE(wait_nothing(&self->other));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	EXPECT_EQ(128 + SIGKILL, ipc_wait(pid));
	EXPECT_EQ(-EPIPE, wait_for(&self->other, 7));
	EXPECT_EQ(ENTRIES, drain(&self->ring, receiver.id, 0, ENTRIES));
	wait_get_recv(&self->ring, receiver.id, &got, 8);
	EXPECT_EQ(-EPIPE, wait_for(&self->ring, 8));

	/* And now one that waits for a message. */
	*channel = 0;
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid)
		create_and_pause(variant->flags, channel);
	ASSERT_TRUE(ipc_poll(*channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, *channel, IOIPC_SUB_RECV,
				&receiver));
	wait_get_recv(&self->ring, receiver.id, &got, 9);
	ASSERT_TRUE(wait_nothing(&self->ring));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	EXPECT_EQ(128 + SIGKILL, ipc_wait(pid));
	EXPECT_EQ(-EPIPE, wait_for(&self->ring, 9));
}

TEST_F_TIMEOUT(wait, ring_exit, IPC_TIMEOUT)
{
	struct ipc_sub second;
	struct io_uring ring;
	__u64 got[8], num = 1;
	int round, i;

	for (round = 0; round < 10; round++) {
		/* Odd rounds with messages. */
		ASSERT_EQ(0, io_uring_queue_init(64, &ring, round & 2 ?
						 WAIT_DEFER : 0));
		ASSERT_EQ(0, ipc_attach(&ring, self->channel, IOIPC_SUB_BOTH,
					&second));
		if (round % 2) {
			ASSERT_EQ(ENTRIES, fill(&self->ring, self->sender.id));
			for (i = 0; i < 4; i++) {
				wait_get_send(&ring, i % 2 ? self->channel :
					      second.id, &num, i)->flags |=
					i / 2 ? IOSQE_ASYNC : 0;
			}
		} else {
			for (i = 0; i < 8; i++) {
				wait_get_recv(&ring, second.id, &got[i], i)
					->flags |= i / 4 ? IOSQE_ASYNC : 0;
			}
		}
		ASSERT_TRUE(wait_nothing(&ring));
		io_uring_queue_exit(&ring);
		if (round % 2) {
			/*
			 * The requests may go on for a moment: it is not said
			 * that nothing of them is sent.
			 */
			for (i = 0; i < ENTRIES; i++) {
				EXPECT_EQ(i, wait_recv_wait(&self->ring,
							    self->receiver.id));
			}
			EXPECT_TRUE(ipc_poll(({
				while (wait_recv(&self->ring,
						 self->receiver.id) >= 0)
					;
				fill(&self->ring, self->sender.id) == ENTRIES;
			})));
			while (wait_recv(&self->ring, self->receiver.id) >= 0)
				;
		}
		ASSERT_EQ(-ENOENT, ipc_send_num_to(&self->ring,
						   self->sender.id, 0,
						   second.id));
		while (wait_recv(&self->ring, self->receiver.id) >= 0)
			;
	}
	/* The end of all of them is seen by who waits for room. */
	for (i = 0; i < 3 * ENTRIES; i++) {
		ASSERT_EQ(IPC_NUM, wait_send_wait(&self->ring, self->sender.id,
						  i));
		ASSERT_EQ(i, wait_recv_wait(&self->ring, self->receiver.id));
	}
}

/* The messages that the dead have waited for are for the living. */
TEST_F_TIMEOUT(wait, process_death, IPC_TIMEOUT)
{
	enum { VICTIMS = 3 };
	_Atomic int *ready = ipc_shared(sizeof(*ready));
	struct ipc_sub sub;
	pid_t pid[VICTIMS];
	int i, round;

	ASSERT_NE(NULL, ready);
	for (round = 0; round < 3; round++) {
		*ready = 0;
		for (i = 0; i < VICTIMS; i++) {
			pid[i] = ipc_fork();
			ASSERT_LE(0, pid[i]);
			if (!pid[i]) {
				struct io_uring ring;
				__u64 got[4];
				int j;

				ASSERT_EQ(0, ipc_open(&ring));
				ASSERT_EQ(0, ipc_attach(&ring, self->channel,
							IOIPC_SUB_RECV, &sub));
				for (j = 0; j < 4; j++) {
					wait_get_recv(&ring, sub.id, &got[j], j)
						->flags |= j == 3 ?
						IOSQE_ASYNC : 0;
				}
				io_uring_submit(&ring);
				++*ready;
				for (;;)
					pause();
			}
		}
		ASSERT_TRUE(ipc_poll(*ready == VICTIMS));
		for (i = 0; i < VICTIMS; i++) {
			ASSERT_EQ(0, kill(pid[i], SIGKILL));
			ASSERT_EQ(128 + SIGKILL, ipc_wait(pid[i]));
		}
		/* A broadcast has no room until they are detached. */
		for (i = 0; i < 3 * ENTRIES; i++) {
			ASSERT_EQ(IPC_NUM, wait_send_wait(&self->ring,
							  self->sender.id, i));
			ASSERT_EQ(i, wait_recv_wait(&self->ring,
						    self->receiver.id));
		}
	}
}

/* The same with senders: not all of them are sent, but none is stuck. */
TEST_F_TIMEOUT(wait, death_of_senders, IPC_TIMEOUT)
{
	_Atomic int *ready = ipc_shared(sizeof(*ready));
	__u64 num = 20;
	pid_t pid;
	int i;

	ASSERT_NE(NULL, ready);
	ASSERT_EQ(ENTRIES, fill(&self->ring, self->sender.id));
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct io_uring ring;
		__u64 theirs = 10;

		ASSERT_EQ(0, ipc_open(&ring));
		for (i = 0; i < 6; i++)
			wait_get_send(&ring, self->channel, &theirs, i)->flags |=
				i / 4 ? IOSQE_ASYNC : 0;
		io_uring_submit(&ring);
		*ready = 1;
		for (;;)
			pause();
	}
	ASSERT_TRUE(ipc_poll(*ready));
	/* Behind those of the child. */
	wait_get_send(&self->ring, self->sender.id, &num, 7);
	ASSERT_TRUE(wait_nothing(&self->ring));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(128 + SIGKILL, ipc_wait(pid));
	EXPECT_TRUE(wait_nothing(&self->ring));
	EXPECT_EQ(0, wait_recv(&self->ring, self->receiver.id));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 7));
	EXPECT_EQ(3, drain(&self->ring, self->receiver.id, 1, ENTRIES));
	EXPECT_EQ(20, wait_recv(&self->ring, self->receiver.id));
	EXPECT_EQ(-EAGAIN, wait_recv(&self->ring, self->receiver.id));
}

TEST_F_TIMEOUT(wait, target_only_is_woken, IPC_TIMEOUT)
{
	struct ipc_sub second;
	__u64 got = 0, got2 = 0;
	int i;

	ASSERT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_RECV,
				&second));
	for (i = 0; i < 5; i++) {
		wait_get_recv(&self->ring, self->receiver.id, &got, 7);
		wait_get_recv(&self->other, second.id, &got2, 8);
		ASSERT_TRUE(wait_nothing(&self->ring));
		ASSERT_TRUE(wait_nothing(&self->other));
		ASSERT_EQ(IPC_NUM, wait_send_to(&self->ring, self->sender.id, 50,
						second.id));
		ASSERT_EQ(IPC_NUM, wait_for(&self->other, 8));
		EXPECT_EQ(50, got2);
		EXPECT_TRUE(wait_nothing(&self->ring));
		ASSERT_EQ(IPC_NUM, wait_send_to(&self->ring, self->sender.id, 51,
						self->receiver.id));
		ASSERT_EQ(IPC_NUM, wait_for(&self->ring, 7));
		EXPECT_EQ(51, got);
		EXPECT_EQ(-EAGAIN, wait_recv(&self->other, second.id));
	}
	/* Nor do those that stay in the ring keep anybody from waiting. */
	ASSERT_EQ(IPC_NUM, wait_send_to(&self->ring, self->sender.id, 52,
					second.id));
	wait_get_recv(&self->ring, self->receiver.id, &got, 9);
	ASSERT_TRUE(wait_nothing(&self->ring));
	ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, 53));
	ASSERT_EQ(IPC_NUM, wait_for(&self->ring, 9));
	EXPECT_EQ(53, got);
	EXPECT_EQ(52, wait_recv_wait(&self->other, second.id));
}

/* Room that the messages of a target have taken is room after its end. */
TEST_F_TIMEOUT(wait, detach_of_the_target_makes_room, IPC_TIMEOUT)
{
	struct ipc_sub second;
	__u64 num = 5;
	int i;

	ASSERT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_RECV,
				&second));
	for (i = 0; i < ENTRIES; i++) {
		ASSERT_EQ(IPC_NUM, wait_send_to(&self->ring, self->sender.id, i,
						second.id));
	}
	wait_get_send(&self->ring, self->sender.id, &num, 7);
	ASSERT_TRUE(wait_nothing(&self->ring));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->other, second.id));
	ASSERT_EQ(IPC_NUM, wait_for(&self->ring, 7));
	EXPECT_EQ(5, wait_recv(&self->ring, self->receiver.id));
}

/* A target that leaves while a message for it waits for room. */
TEST_F_TIMEOUT(wait, target_leaves_a_waiting_send, IPC_TIMEOUT)
{
	struct ipc_sub second;
	__u64 num = 5;

	ASSERT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_RECV,
				&second));
	ASSERT_EQ(ENTRIES, fill(&self->ring, self->sender.id));
	wait_get_send(&self->ring, self->sender.id, &num, 7)->file_index =
		second.id;
	ASSERT_TRUE(wait_nothing(&self->ring));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->other, second.id));
	EXPECT_EQ(ENTRIES, drain(&self->ring, self->receiver.id, 0, ENTRIES));
	EXPECT_EQ(-ENOENT, wait_for(&self->ring, 7));
}

/*
 * Tests of who is served, for two rings that do not run what they are woken
 * for before they are told to.
 */
FIXTURE(handover) {
	struct io_uring ring;
	struct io_uring first_ring;
	struct io_uring second_ring;
	__u32 channel;
	struct ipc_sub sender;
	struct ipc_sub first;
	struct ipc_sub second;
	bool all;
};

FIXTURE_KINDS(handover);

FIXTURE_SETUP(handover)
{
	self->all = variant->flags & IOIPC_F_BROADCAST;
	ASSERT_EQ(0, io_uring_queue_init(64, &self->ring, 0));
	ASSERT_EQ(0, io_uring_queue_init(64, &self->first_ring, WAIT_DEFER));
	ASSERT_EQ(0, io_uring_queue_init(64, &self->second_ring, WAIT_DEFER));
	ASSERT_EQ(0, ipc_create(&self->ring, variant->flags, ENTRIES, 64,
				&self->channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_SEND,
				&self->sender));
	ASSERT_EQ(0, ipc_attach(&self->first_ring, self->channel,
				IOIPC_SUB_RECV, &self->first));
	ASSERT_EQ(0, ipc_attach(&self->second_ring, self->channel,
				IOIPC_SUB_RECV, &self->second));
}

FIXTURE_TEARDOWN(handover)
{
	io_uring_queue_exit(&self->second_ring);
	io_uring_queue_exit(&self->first_ring);
	io_uring_queue_exit(&self->ring);
}

TEST_F_TIMEOUT(handover, one_receiver_per_message, IPC_TIMEOUT)
{
	__u64 got[4] = {};
	int i, sum;

	for (i = 0; i < 4; i++)
		wait_get_recv(i / 2 ? &self->second_ring : &self->first_ring,
			      i / 2 ? self->second.id : self->first.id, &got[i],
			      100 + i);
	ASSERT_TRUE(wait_nothing(&self->first_ring));
	ASSERT_TRUE(wait_nothing(&self->second_ring));
	for (i = 1; i <= 2; i++) {
		ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, i));
		sum = i * (self->all ? 2 : 1);
		EXPECT_TRUE(ipc_poll(wait_completed(&self->first_ring) +
				     wait_completed(&self->second_ring) == sum));
		ipc_nap(WAIT_NOTHING);
		EXPECT_EQ(sum, wait_completed(&self->first_ring) +
			  wait_completed(&self->second_ring));
	}
	EXPECT_EQ((self->all ? 2 : 1) * (1 + 2), got[0] + got[1] + got[2] +
		  got[3]);
}

TEST_F_TIMEOUT(handover, who_is_served, IPC_TIMEOUT)
{
	struct io_uring *rings[3] = { &self->first_ring, &self->second_ring };
	struct ipc_sub subs[3] = { self->first, self->second };
	struct io_uring third;
	__u64 got[3];
	int i, j;

	ASSERT_EQ(0, io_uring_queue_init(8, &third, 0));
	rings[2] = &third;
	ASSERT_EQ(0, ipc_attach(&third, self->channel, IOIPC_SUB_RECV,
				&subs[2]));
	for (j = 0; j < 3; j++)
		wait_get_recv(rings[j], subs[j].id, &got[j], 100 + j);
	for (i = 0; i < 12; i++) {
		for (j = 0; j < 3; j++) {
			ASSERT_TRUE(wait_nothing(rings[j]));
		}
		ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, i));
		for (j = 0; j < 3; j++) {
			int turn = variant->flags & IOIPC_F_MULTICAST ? i % 3 : 0;

			if (!self->all && turn != j)
				continue;
			ASSERT_EQ(IPC_NUM, wait_for(rings[j], 100 + j))
				TH_LOG("message %d, receiver %d", i, j);
			EXPECT_EQ(i, got[j]);
			wait_get_recv(rings[j], subs[j].id, &got[j], 100 + j);
		}
	}
	/* Those that do not wait have no turn. */
	for (j = 0; j < 3; j++)
		io_uring_submit(rings[j]);
	ASSERT_EQ(0, wait_cancel(&self->first_ring, 100, 0));
	ASSERT_EQ(-ECANCELED, wait_for(&self->first_ring, 100));
	for (i = 0; i < 8; i++) {
		int turn = variant->flags & IOIPC_F_MULTICAST ? 1 + i % 2 : 1;

		ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, i));
		if (self->all) {
			EXPECT_EQ(i, wait_recv(&self->first_ring,
					       self->first.id));
			EXPECT_EQ(IPC_NUM, wait_for(&third, 102));
			wait_get_recv(&third, subs[2].id, &got[2], 102);
			io_uring_submit(&third);
		}
		ASSERT_EQ(IPC_NUM, wait_for(rings[turn], 100 + turn))
			TH_LOG("message %d, receiver %d", i, turn);
		wait_get_recv(rings[turn], subs[turn].id, &got[turn],
			      100 + turn);
		ASSERT_TRUE(wait_nothing(rings[turn]));
	}
	io_uring_queue_exit(&third);
}

/*
 * Both have been woken, and the second takes what the first was woken for: there
 * is still what is for it alone.
 */
TEST_F_TIMEOUT(handover, target_takes_another_message, IPC_TIMEOUT)
{
	__u64 got[5] = {};
	int i;

	for (i = 0; i < 3; i++)
		wait_get_recv(&self->first_ring, self->first.id, &got[i], i);
	for (; i < 5; i++)
		wait_get_recv(&self->second_ring, self->second.id, &got[i], i);
	ASSERT_TRUE(wait_nothing(&self->first_ring));
	ASSERT_TRUE(wait_nothing(&self->second_ring));
	ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, 1));
	ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, 2));
	ASSERT_EQ(IPC_NUM, wait_send_to(&self->ring, self->sender.id, 3,
					self->second.id));

	EXPECT_EQ(IPC_NUM, wait_for(&self->second_ring, 3));
	EXPECT_EQ(IPC_NUM, wait_for(&self->second_ring, 4));
	EXPECT_EQ(1 + 2, got[3] + got[4]);
	EXPECT_EQ(3, wait_recv(&self->second_ring, self->second.id));
	if (self->all)
		EXPECT_TRUE(wait_complete(&self->first_ring, 2));
	EXPECT_EQ(self->all ? 2 : 0, wait_completed(&self->first_ring));
	EXPECT_EQ(self->all ? 1 + 2 : 0, got[0] + got[1] + got[2]);
}

/* The one that was woken for what is for its receiver alone goes away. */
TEST_F_TIMEOUT(handover, woken_target_goes_away, IPC_TIMEOUT)
{
	__u64 got[4] = {};
	int i, ret;

	for (i = 0; i < 2; i++)
		wait_get_recv(&self->first_ring, self->first.id, &got[i], i);
	for (; i < 4; i++)
		wait_get_recv(&self->second_ring, self->second.id, &got[i], i);
	ASSERT_TRUE(wait_nothing(&self->first_ring));
	ASSERT_TRUE(wait_nothing(&self->second_ring));
	/* The first does not run before the second has what it waits for. */
	ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, 1));
	ASSERT_EQ(IPC_NUM, wait_send_to(&self->ring, self->sender.id, 2,
					self->second.id));
	ret = wait_cancel(&self->second_ring, 2, 0);
	EXPECT_TRUE(ret == 0 || ret == -ENOENT || ret == -EALREADY);
	EXPECT_EQ(IPC_NUM, wait_for(&self->second_ring, 3));
	ret = wait_for(&self->second_ring, 2);
	EXPECT_TRUE(ret == IPC_NUM || ret == -ECANCELED);
	EXPECT_LT(0, got[3]);
}

/* What happens to a request that was just woken. */
enum {
	CANCEL, CANCEL_SYNC, DETACH, EXIT, BAD_BUFFER, ENDS
};

/*
 * The first is woken, as it has attached first and it is its turn; it cannot
 * run because nobody lets it, and goes away.
 */
TEST_F_TIMEOUT(handover, woken_receiver_goes_away, IPC_TIMEOUT)
{
	struct io_uring_sync_cancel_reg reg = {
		.addr = 7, .fd = -1, .timeout = { WAIT_DEADLINE, 0 },
	};
	struct io_uring_sqe *sqe;
	__u64 got, got2;
	int end;

	for (end = 0; end < ENDS; end++) {
		got = 0;
		got2 = 0;
		wait_get_recv(&self->first_ring, self->first.id,
			      end == BAD_BUFFER ? (void *)8 : &got, 7);
		ASSERT_TRUE(wait_nothing(&self->first_ring));
		wait_get_recv(&self->second_ring, self->second.id, &got2, 8);
		ASSERT_TRUE(wait_nothing(&self->second_ring));
		ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, 33));
		switch (end) {
		case CANCEL:
			sqe = wait_get_sqe(&self->first_ring);
			io_uring_prep_cancel64(sqe, 7, 0);
			io_uring_sqe_set_data64(sqe, 9);
			ASSERT_EQ(1, io_uring_submit(&self->first_ring));
			break;
		case CANCEL_SYNC:
			io_uring_register_sync_cancel(&self->first_ring, &reg);
			break;
		case DETACH:
			ASSERT_EQ(0, io_uring_ipc_channel_detach(
					     &self->first_ring, self->first.id));
			break;
		case EXIT:
			io_uring_queue_exit(&self->first_ring);
			break;
		}
		if (self->all) {
			/* Everybody has his own. */
			ASSERT_EQ(IPC_NUM, wait_for(&self->second_ring, 8));
			ASSERT_EQ(33, got2);
			if (end != EXIT) {
				int ret = wait_for(&self->first_ring, 7);

				EXPECT_TRUE(ret == IPC_NUM ||
					    ret == -ECANCELED ||
					    ret == -ENOENT || ret == -EFAULT);
				if (ret < 0 && ret != -ENOENT) {
					EXPECT_EQ(33, wait_recv(&self->first_ring,
								self->first.id));
				}
			}
		} else if (end == EXIT) {
			ASSERT_EQ(IPC_NUM, wait_for(&self->second_ring, 8));
			ASSERT_EQ(33, got2);
		} else {
			int ret;

			/* Who cannot be stopped any more has it. */
			ret = wait_for(&self->first_ring, 7);
			if (ret == IPC_NUM) {
				EXPECT_EQ(33, got);
				EXPECT_EQ(0, wait_cancel(&self->second_ring, 8,
							 0));
				EXPECT_EQ(-ECANCELED,
					  wait_for(&self->second_ring, 8));
				EXPECT_EQ(0, got2);
			} else {
				EXPECT_TRUE(ret == -ECANCELED ||
					    ret == -ENOENT || ret == -EFAULT)
					TH_LOG("case %d: %d", end, ret);
				ASSERT_EQ(IPC_NUM, wait_for(&self->second_ring,
							    8))
					TH_LOG("case %d", end);
				EXPECT_EQ(33, got2);
			}
		}
		if (end != EXIT)
			wait_forget(&self->first_ring);
		else
			ASSERT_EQ(0, io_uring_queue_init(64, &self->first_ring,
							 WAIT_DEFER));
		if (end == DETACH || end == EXIT) {
			/* Again the first that has attached. */
			ASSERT_EQ(0, io_uring_ipc_channel_detach(
					     &self->second_ring,
					     self->second.id));
			ASSERT_EQ(0, ipc_attach(&self->first_ring,
						self->channel, IOIPC_SUB_RECV,
						&self->first));
			ASSERT_EQ(0, ipc_attach(&self->second_ring,
						self->channel, IOIPC_SUB_RECV,
						&self->second));
		}
	}
}

/* One place becomes free, the sender that is told goes away. */
TEST_F_TIMEOUT(handover, woken_sender_goes_away, IPC_TIMEOUT)
{
	struct io_uring_sync_cancel_reg reg = {
		.addr = 7, .fd = -1, .timeout = { WAIT_DEADLINE, 0 },
	};
	struct ipc_sub sender, sender2, receiver;
	struct io_uring_sqe *sqe;
	__u64 num = 50, num2 = 60;
	int end, ret;

	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->first_ring,
						 self->first.id));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->second_ring,
						 self->second.id));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_RECV,
				&receiver));
	ASSERT_EQ(0, ipc_attach(&self->second_ring, self->channel,
				IOIPC_SUB_SEND, &sender2));
	for (end = 0; end < BAD_BUFFER; end++) {
		ASSERT_EQ(0, ipc_attach(&self->first_ring, self->channel,
					IOIPC_SUB_SEND, &sender));
		ASSERT_EQ(ENTRIES, fill(&self->ring, self->sender.id));
		wait_get_send(&self->first_ring, sender.id, &num, 7);
		ASSERT_TRUE(wait_nothing(&self->first_ring));
		wait_get_send(&self->second_ring, sender2.id, &num2, 8);
		ASSERT_TRUE(wait_nothing(&self->second_ring));
		ASSERT_EQ(0, wait_recv(&self->ring, receiver.id));
		switch (end) {
		case CANCEL:
			sqe = wait_get_sqe(&self->first_ring);
			io_uring_prep_cancel64(sqe, 7, 0);
			io_uring_sqe_set_data64(sqe, 9);
			ASSERT_EQ(1, io_uring_submit(&self->first_ring));
			break;
		case CANCEL_SYNC:
			io_uring_register_sync_cancel(&self->first_ring, &reg);
			break;
		case DETACH:
			ASSERT_EQ(0, io_uring_ipc_channel_detach(
					     &self->first_ring, sender.id));
			break;
		case EXIT:
			io_uring_queue_exit(&self->first_ring);
			break;
		}
		ret = end == EXIT ? -ECANCELED : wait_for(&self->first_ring, 7);
		if (ret == IPC_NUM) {
			/* It could not be stopped any more. */
			ASSERT_EQ(1, wait_recv(&self->ring, receiver.id));
			ASSERT_EQ(IPC_NUM, wait_for(&self->second_ring, 8));
			ASSERT_EQ(2, drain(&self->ring, receiver.id, 2, 4));
			ASSERT_EQ(50, wait_recv(&self->ring, receiver.id));
		} else {
			EXPECT_TRUE(ret == -ECANCELED || ret == -ENOENT);
			ASSERT_EQ(IPC_NUM, wait_for(&self->second_ring, 8))
				TH_LOG("case %d", end);
			ASSERT_EQ(3, drain(&self->ring, receiver.id, 1, 4));
		}
		ASSERT_EQ(60, wait_recv(&self->ring, receiver.id));
		if (end != EXIT)
			wait_forget(&self->first_ring);
		else
			ASSERT_EQ(0, io_uring_queue_init(64, &self->first_ring,
							 WAIT_DEFER));
		if (end < DETACH) {
			ASSERT_EQ(0, io_uring_ipc_channel_detach(
					     &self->first_ring, sender.id));
		}
	}
}

/*
 * Woken more often in vain than io_uring tries: others take the message before
 * the one that was woken is let run.
 */
#define IN_VAIN	300

TEST_F_TIMEOUT(handover, receiver_woken_in_vain, IPC_TIMEOUT)
{
	__u64 got = 0;
	int i;

	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->second_ring,
						 self->second.id));
	wait_get_recv(&self->first_ring, self->first.id, &got, 7);
	ASSERT_TRUE(wait_nothing(&self->first_ring));
	for (i = 0; i < IN_VAIN; i++) {
		struct io_uring_sqe *sqe;
		__u64 stolen = 0;

		ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, i));
		sqe = wait_get_recv(&self->first_ring, self->first.id, &stolen,
				    8);
		sqe->rw_flags = 0;
		ASSERT_EQ(1, io_uring_submit(&self->first_ring));
		io_uring_get_events(&self->first_ring);
		ASSERT_TRUE(wait_complete(&self->first_ring, 1));
		/* From then on the worker may be faster, which is fair. */
		if (got)
			break;
		ASSERT_EQ(IPC_NUM, wait_for(&self->first_ring, 8));
		ASSERT_EQ(i, stolen);
	}
	if (i < IN_VAIN) {
		ASSERT_EQ(IPC_NUM, wait_for(&self->first_ring, 7));
		EXPECT_EQ(i, got);
		ASSERT_EQ(-EAGAIN, wait_for(&self->first_ring, 8));
		/* It must have been tried for long enough. */
		EXPECT_LT(100, i);
		return;
	}
	EXPECT_TRUE(wait_nothing(&self->first_ring));
	ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, 1000));
	ASSERT_EQ(IPC_NUM, wait_for(&self->first_ring, 7));
	EXPECT_EQ(1000, got);
}

/* Lets the request of the first ring end up in a worker, if it is like that. */
static int wear_out(struct __test_metadata *_metadata, struct io_uring *sender,
		    __u32 send_id, struct io_uring *ring, __u32 recv_id)
{
	struct io_uring_sqe *sqe;
	__u64 stolen;
	int i, ret;

	for (i = 0; i < 140; i++) {
		ASSERT_EQ(IPC_NUM, wait_send(sender, send_id, 1));
		sqe = wait_get_recv(ring, recv_id, &stolen, 8);
		sqe->rw_flags = 0;
		ret = wait_for(ring, 8);
		if (ret == -EAGAIN)
			return 0;
		ASSERT_EQ(IPC_NUM, ret);
	}
	return 1;
}

/* From where it is then, too, it can be cancelled. */
TEST_F_TIMEOUT(handover, cancel_after_waking_in_vain, IPC_TIMEOUT)
{
	int way, ret;
	__u64 got;

	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->second_ring,
						 self->second.id));
	for (way = 0; way < WAYS; way++) {
		if (way == BY_FD)
			continue;
		wait_get_recv(&self->first_ring, self->first.id, &got, 7);
		ASSERT_TRUE(wait_nothing(&self->first_ring));
		if (wear_out(_metadata, &self->ring, self->sender.id,
			     &self->first_ring, self->first.id)) {
			EXPECT_TRUE(wait_nothing(&self->first_ring));
			/* A worker may block in it, and is told to end. */
			ret = try_cancel(&self->first_ring, way, 7,
					 IOIPC_OP_RECV, -1);
			EXPECT_TRUE(ret >= 0 || ret == -EALREADY)
				TH_LOG("way %d: %d", way, ret);
			ret = wait_for(&self->first_ring, 7);
			EXPECT_TRUE(ret == -ECANCELED || ret == -EINTR)
				TH_LOG("way %d: %d", way, ret);
		} else {
			EXPECT_EQ(IPC_NUM, wait_for(&self->first_ring, 7));
		}
	}
	/* And by what ends the subscriber, the channel and the ring. */
	wait_get_recv(&self->first_ring, self->first.id, &got, 7);
	ASSERT_TRUE(wait_nothing(&self->first_ring));
	wear_out(_metadata, &self->ring, self->sender.id, &self->first_ring,
		 self->first.id);
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->first_ring,
						 self->first.id));
	ret = wait_for(&self->first_ring, 7);
	EXPECT_TRUE(ret == -ENOENT || ret == IPC_NUM);
	ASSERT_EQ(0, ipc_attach(&self->first_ring, self->channel,
				IOIPC_SUB_RECV, &self->first));
	wait_get_recv(&self->first_ring, self->first.id, &got, 7);
	ASSERT_TRUE(wait_nothing(&self->first_ring));
	wear_out(_metadata, &self->ring, self->sender.id, &self->first_ring,
		 self->first.id);
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->ring, self->channel));
	ret = wait_for(&self->first_ring, 7);
	EXPECT_TRUE(ret == -EPIPE || ret == IPC_NUM);
}

/*
 * A ring that is closed goes away later, and until then its request may take a
 * message: one, which nobody else gets but in broadcast channels.
 */
TEST_F_TIMEOUT(handover, exit_after_waking_in_vain, IPC_TIMEOUT)
{
	bool broadcast = variant->flags & IOIPC_F_BROADCAST;
	static _Atomic __u64 taken;
	int i, lost = 0;
	__u64 got;

	wait_get_recv(&self->first_ring, self->first.id, (__u64 *)&taken, 7);
	ASSERT_TRUE(wait_nothing(&self->first_ring));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->second_ring,
						 self->second.id));
	wear_out(_metadata, &self->ring, self->sender.id, &self->first_ring,
		 self->first.id);
	taken = 3 * ENTRIES;
	io_uring_queue_exit(&self->first_ring);
	ASSERT_EQ(0, io_uring_queue_init(64, &self->first_ring, 0));
	ASSERT_EQ(0, ipc_attach(&self->first_ring, self->channel,
				IOIPC_SUB_RECV, &self->first));
	wait_get_recv(&self->first_ring, self->first.id, &got, 7);
	for (i = 0; i < 3 * ENTRIES; i++) {
		ASSERT_EQ(IPC_NUM, wait_send_wait(&self->ring, self->sender.id,
						  i));
		ASSERT_TRUE(ipc_poll(wait_completed(&self->first_ring) ||
				     (!broadcast && taken == i)));
		if (!wait_completed(&self->first_ring)) {
			ASSERT_EQ(1, ++lost);
			continue;
		}
		ASSERT_EQ(IPC_NUM, wait_for(&self->first_ring, 7));
		ASSERT_EQ(i, got);
		wait_get_recv(&self->first_ring, self->first.id, &got, 7);
	}
}

TEST_F_TIMEOUT(handover, sender_woken_in_vain, IPC_TIMEOUT)
{
	struct ipc_sub sender, receiver;
	__u64 num = 5000;
	int i, ret;

	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->first_ring,
						 self->first.id));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->second_ring,
						 self->second.id));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_RECV,
				&receiver));
	ASSERT_EQ(0, ipc_attach(&self->first_ring, self->channel,
				IOIPC_SUB_SEND, &sender));
	ASSERT_EQ(ENTRIES, fill(&self->ring, self->sender.id));
	wait_get_send(&self->first_ring, sender.id, &num, 7);
	ASSERT_TRUE(wait_nothing(&self->first_ring));
	for (i = 0; i < IN_VAIN; i++) {
		ASSERT_EQ(i, wait_recv(&self->ring, receiver.id));
		ret = wait_send(&self->ring, self->sender.id, i + ENTRIES);
		if (ret == -ENOBUFS) {
			/* A worker was faster. */
			EXPECT_LT(100, i);
			break;
		}
		ASSERT_EQ(IPC_NUM, ret);
		io_uring_get_events(&self->first_ring);
	}
	if (i == IN_VAIN) {
		EXPECT_TRUE(wait_nothing(&self->first_ring));
		ASSERT_EQ(i, wait_recv(&self->ring, receiver.id));
	}
	ASSERT_EQ(IPC_NUM, wait_for(&self->first_ring, 7));
	ASSERT_EQ(ENTRIES - 1, drain(&self->ring, receiver.id, i + 1,
				     i + ENTRIES));
	EXPECT_EQ(5000, wait_recv(&self->ring, receiver.id));
}

/* Random moments.  What a process of its own does, until it is told to stop. */
struct contest {
	_Atomic int	ready;
	_Atomic bool	go;
	/* How many have received it, and what. */
	_Atomic int	received;
	_Atomic __u64	got;
	_Atomic int	failed;
};

struct victim {
	struct contest	*contest;
	__u32		channel;
	unsigned int	setup;
};

static void receive_one(struct __test_metadata *_metadata,
			struct victim *victim)
{
	struct contest *contest = victim->contest;
	struct io_uring ring;
	struct ipc_sub sub;
	__u64 got = 0;

	ASSERT_EQ(0, io_uring_queue_init(8, &ring, victim->setup));
	ASSERT_EQ(0, ipc_attach(&ring, victim->channel, IOIPC_SUB_RECV, &sub));
	wait_get_recv(&ring, sub.id, &got, 7);
	ASSERT_EQ(1, io_uring_submit(&ring));
	contest->ready++;
	if (wait_for(&ring, 7) != IPC_NUM) {
		contest->failed++;
	} else {
		contest->got = got;
		contest->received++;
	}
	for (;;)
		pause();
}

/* Whether there is a message for a subscriber. */
static bool readable(const struct ipc_sub *sub)
{
	struct pollfd pollfd = { .fd = sub->fd, .events = POLLIN };

	return poll(&pollfd, 1, 0) == 1;
}

/*
 * Two processes wait, one message is sent, one process is killed.  Unless it
 * has received the message, the other does.  In a queue nothing is known of a
 * message that was received by who is dead, so that one tells with a second
 * message.
 */
TEST_F_TIMEOUT(handover, kill_at_random, IPC_TIMEOUT)
{
	struct contest *contest = ipc_shared(sizeof(*contest));
	long rounds = ipc_env("RANDOM_ROUNDS", 40), round, taken = 0;
	struct victim victim = { contest, self->channel, 0 };
	__u32 random = SEED;
	struct ipc_sub sub;
	pid_t pid[2];
	int i, dead;

	ASSERT_NE(NULL, contest);
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->first_ring,
						 self->first.id));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->second_ring,
						 self->second.id));
	/* One that does not wait sees what is in a queue. */
	if (!self->all)
		ASSERT_EQ(0, ipc_attach(&self->ring, self->channel,
					IOIPC_SUB_RECV, &sub));
	for (round = 0; round < rounds; round++) {
		memset(contest, 0, sizeof(*contest));
		victim.setup = round % 2 ? WAIT_DEFER : 0;
		for (i = 0; i < 2; i++) {
			pid[i] = ipc_fork();
			ASSERT_LE(0, pid[i]);
			if (!pid[i])
				receive_one(_metadata, &victim);
			/* Always the first attaches first. */
			ASSERT_TRUE(ipc_poll(contest->ready == i + 1));
		}
		dead = ipc_random(&random) % 4 == 3;
		ASSERT_EQ(IPC_NUM, wait_send_wait(&self->ring, self->sender.id,
						  100));
		if (ipc_random(&random) % 4)
			ipc_nap(ipc_random(&random) % 300);
		ASSERT_EQ(0, kill(pid[dead], SIGKILL));
		ASSERT_EQ(128 + SIGKILL, ipc_wait(pid[dead]));
		/* From here on, only the end of its ring wakes anybody. */
		if (!self->all) {
			ASSERT_TRUE(ipc_poll(contest->received ||
					     !readable(&sub)))
				TH_LOG("round %ld: the message is there, and a receiver waits",
				       round);
			/* If the dead one has taken it, it has told, or it has not. */
			if (!contest->received)
				ASSERT_EQ(IPC_NUM, wait_send(&self->ring,
							     self->sender.id,
							     101));
		}
		ASSERT_TRUE(ipc_poll(contest->received))
			TH_LOG("round %ld: the other receiver hangs", round);
		taken += contest->got == 101;
		ASSERT_EQ(0, contest->failed);
		ASSERT_EQ(0, kill(pid[!dead], SIGKILL));
		ASSERT_EQ(128 + SIGKILL, ipc_wait(pid[!dead]));
		/* The second message, if it was not needed. */
		while (!self->all && wait_recv(&self->ring, sub.id) >= 0)
			;
	}
	TH_LOG("%ld rounds, %ld messages went to the dead", rounds, taken);
}

struct sending {
	struct io_uring	*ring;
	__u32		id;
	long		nap;
	int		result;
};

static void *send_later(void *arg)
{
	struct sending *sending = arg;

	ipc_nap(sending->nap);
	sending->result = ipc_send_num(sending->ring, sending->id, 55);
	return NULL;
}

/* The same with a cancel or a DETACH from the process itself. */
TEST_F_TIMEOUT(handover, end_at_random, IPC_TIMEOUT)
{
	long rounds = 4 * ipc_env("RANDOM_ROUNDS", 40), round, ended = 0;
	__u32 random = SEED;

	for (round = 0; round < rounds; round++) {
		bool detach = round % 2;
		unsigned int setup = round & 2 ? WAIT_DEFER : 0;
		struct sending sending = {
			.ring = &self->ring,
			.id = self->sender.id,
			.nap = ipc_random(&random) % 200,
		};
		struct io_uring first, second;
		struct ipc_sub a, b;
		__u64 got = 0, got2 = 0;
		pthread_t thread;
		int ret;

		if (!round) {
			ASSERT_EQ(0, io_uring_ipc_channel_detach(
					     &self->first_ring, self->first.id));
			ASSERT_EQ(0, io_uring_ipc_channel_detach(
					     &self->second_ring,
					     self->second.id));
		}
		ASSERT_EQ(0, io_uring_queue_init(8, &first, setup));
		ASSERT_EQ(0, io_uring_queue_init(8, &second, setup));
		ASSERT_EQ(0, ipc_attach(&first, self->channel, IOIPC_SUB_RECV,
					&a));
		ASSERT_EQ(0, ipc_attach(&second, self->channel, IOIPC_SUB_RECV,
					&b));
		wait_get_recv(&first, a.id, &got, 7);
		io_uring_submit(&first);
		wait_get_recv(&second, b.id, &got2, 8);
		io_uring_submit(&second);
		ASSERT_EQ(0, pthread_create(&thread, NULL, send_later,
					    &sending));
		ipc_nap(ipc_random(&random) % 2000);
		if (detach) {
			ASSERT_EQ(0, io_uring_ipc_channel_detach(&first, a.id));
		} else {
			ret = wait_cancel(&first, 7, 0);
			ASSERT_TRUE(ret == 0 || ret == -ENOENT ||
				    ret == -EALREADY)
				TH_LOG("%d", ret);
		}
		ASSERT_EQ(0, pthread_join(thread, NULL));
		ASSERT_EQ(IPC_NUM, sending.result);
		ret = wait_for(&first, 7);
		if (ret == IPC_NUM) {
			ASSERT_EQ(55, got);
		} else {
			ASSERT_EQ(detach ? -ENOENT : -ECANCELED, ret);
			ASSERT_EQ(0, got);
			ended++;
		}
		if (self->all || ret != IPC_NUM) {
			ASSERT_EQ(IPC_NUM, wait_for(&second, 8))
				TH_LOG("round %ld, first ended with %d", round,
				       ret);
			ASSERT_EQ(55, got2);
		} else {
			ASSERT_EQ(0, got2);
		}
		/* The end of a ring is not in time for the next round. */
		if (!detach) {
			ASSERT_EQ(0, io_uring_ipc_channel_detach(&first, a.id));
		}
		ASSERT_EQ(0, io_uring_ipc_channel_detach(&second, b.id));
		close(a.fd);
		close(b.fd);
		io_uring_queue_exit(&first);
		io_uring_queue_exit(&second);
	}
	TH_LOG("%ld of %ld did not get the message", ended, rounds);
}

/* Waiters in several processes; each message is for one, or for each. */
TEST_F_TIMEOUT(handover, waiters_in_several_processes, IPC_TIMEOUT)
{
	enum { PROCESSES = 4 };
	struct contest *contest = ipc_shared(sizeof(*contest));
	struct victim victim = { contest, self->channel, 0 };
	pid_t pid[PROCESSES];
	int i;

	ASSERT_NE(NULL, contest);
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->first_ring,
						 self->first.id));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->second_ring,
						 self->second.id));
	for (i = 0; i < PROCESSES; i++) {
		victim.setup = i % 2 ? WAIT_DEFER : 0;
		pid[i] = ipc_fork();
		ASSERT_LE(0, pid[i]);
		if (!pid[i])
			receive_one(_metadata, &victim);
	}
	ASSERT_TRUE(ipc_poll(contest->ready == PROCESSES));
	for (i = 1; i <= (self->all ? 1 : PROCESSES); i++) {
		ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, i));
		ASSERT_TRUE(ipc_poll(contest->received ==
				     (self->all ? PROCESSES : i)))
			TH_LOG("message %d: %d have received", i,
			       contest->received);
	}
	EXPECT_EQ(0, contest->failed);
	for (i = 0; i < PROCESSES; i++) {
		kill(pid[i], SIGKILL);
		ipc_wait(pid[i]);
	}
}

/* A slow receiver holds the room of a broadcast. */
FIXTURE(slow) {
	struct io_uring ring;
	struct io_uring other;
	__u32 channel;
	struct ipc_sub sender;
	struct ipc_sub fast;
	struct ipc_sub slow;
};

FIXTURE_SETUP(slow)
{
	ASSERT_EQ(0, io_uring_queue_init(64, &self->ring, 0));
	ASSERT_EQ(0, io_uring_queue_init(64, &self->other, 0));
	ASSERT_EQ(0, ipc_create(&self->ring, IOIPC_F_BROADCAST, ENTRIES, 64,
				&self->channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_SEND,
				&self->sender));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_RECV,
				&self->fast));
	ASSERT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_RECV,
				&self->slow));
	ASSERT_EQ(ENTRIES, fill(&self->ring, self->sender.id));
	ASSERT_EQ(ENTRIES, drain(&self->ring, self->fast.id, 0, ENTRIES));
}

FIXTURE_TEARDOWN(slow)
{
	io_uring_queue_exit(&self->other);
	io_uring_queue_exit(&self->ring);
}

TEST_F_TIMEOUT(slow, receives, IPC_TIMEOUT)
{
	__u64 num = 9;

	wait_get_send(&self->ring, self->sender.id, &num, 7);
	EXPECT_TRUE(wait_nothing(&self->ring));
	EXPECT_EQ(0, wait_recv(&self->other, self->slow.id));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 7));
	EXPECT_EQ(9, wait_recv(&self->ring, self->fast.id));
}

TEST_F_TIMEOUT(slow, detaches, IPC_TIMEOUT)
{
	__u64 num[ENTRIES + 1];
	int i;

	for (i = 0; i <= ENTRIES; i++) {
		num[i] = i;
		wait_get_send(&self->ring, self->sender.id, &num[i], 100 + i);
	}
	EXPECT_TRUE(wait_nothing(&self->ring));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->other, self->slow.id));
	/* Room for all but one. */
	for (i = 0; i < ENTRIES; i++) {
		EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 100 + i));
	}
	EXPECT_TRUE(wait_nothing(&self->ring));
	EXPECT_EQ(0, wait_recv(&self->ring, self->fast.id));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 100 + i));
}

TEST_F_TIMEOUT(slow, exits, IPC_TIMEOUT)
{
	__u64 num = 9;

	wait_get_send(&self->ring, self->sender.id, &num, 7);
	EXPECT_TRUE(wait_nothing(&self->ring));
	io_uring_queue_exit(&self->other);
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 7));
	ASSERT_EQ(0, ipc_open(&self->other));
}

TEST_F_TIMEOUT(slow, is_killed, IPC_TIMEOUT)
{
	_Atomic int *ready = ipc_shared(sizeof(*ready));
	struct ipc_sub sub;
	__u64 num[ENTRIES];
	pid_t pid;
	int i;

	ASSERT_NE(NULL, ready);
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->other, self->slow.id));
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct io_uring ring;

		ASSERT_EQ(0, ipc_open(&ring));
		ASSERT_EQ(0, ipc_attach(&ring, self->channel, IOIPC_SUB_RECV,
					&sub));
		*ready = 1;
		for (;;)
			pause();
	}
	ASSERT_TRUE(ipc_poll(*ready));
	ASSERT_EQ(ENTRIES, fill(&self->ring, self->sender.id));
	ASSERT_EQ(ENTRIES, drain(&self->ring, self->fast.id, 0, ENTRIES));
	for (i = 0; i < ENTRIES; i++) {
		num[i] = i;
		wait_get_send(i % 2 ? &self->other : &self->ring,
			      i % 2 ? self->channel : self->sender.id, &num[i],
			      100 + i);
	}
	EXPECT_TRUE(wait_nothing(&self->ring));
	EXPECT_TRUE(wait_nothing(&self->other));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(128 + SIGKILL, ipc_wait(pid));
	for (i = 0; i < ENTRIES; i++) {
		EXPECT_EQ(IPC_NUM, wait_for(i % 2 ? &self->other : &self->ring,
					    100 + i));
	}
}

/* Nobody to wait for. */
TEST_F_TIMEOUT(slow, no_receivers_no_waiting, IPC_TIMEOUT)
{
	int i;

	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring, self->fast.id));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->other, self->slow.id));
	for (i = 0; i < 5 * ENTRIES; i++) {
		ASSERT_EQ(IPC_NUM, wait_send_wait(&self->ring, self->sender.id,
						  i));
		ASSERT_EQ(IPC_NUM, wait_send_wait(&self->other, self->channel,
						  i));
	}
}

IPC_HARNESS_MAIN
