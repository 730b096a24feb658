// SPDX-License-Identifier: GPL-2.0
/*
 * Requests that wait for a message or for room, and complete when it is there.
 *
 * wait_end.c has other ends of such requests, wait_handover.c tests which of
 * several requests is served, and wait_random.c tests random moments.
 */
#include "wait_fixture.h"

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
	/* From a sender that is not attached. */
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
		/* The receive completes before the submission returns. */
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
		/* A request without the flag still fails. */
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

	/* For a broadcast, the receiver must attach before the messages. */
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring,
						 self->receiver.id));
	ASSERT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_RECV,
				&sub));
	ASSERT_EQ(ENTRIES, fill(&self->ring, self->sender.id));
	wait_get_send(&self->ring, self->sender.id, &num, 7);
	ASSERT_TRUE(wait_nothing(&self->ring));
	/* The child inherits the other ring. */
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

/* A sender and a receiver in two processes, which wait for each other. */
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
		/* Sometimes one process is slower, sometimes the other one. */
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
	/* With no other request before it. */
	wait_get_send(&self->ring, self->sender.id, &num, 9)->flags |=
		IOSQE_ASYNC;
	ASSERT_EQ(IPC_NUM, wait_for(&self->ring, 9));
	wait_get_recv(&self->ring, self->receiver.id, &got, 10)->flags |=
		IOSQE_ASYNC;
	ASSERT_EQ(IPC_NUM, wait_for(&self->ring, 10));
	EXPECT_EQ(99, got);
}

/* Errors are found at once, not after waiting. */
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

/* A message that a receive cannot take wakes the next receive. */
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

	/* A linked send sends the received message on. */
	wait_get_recv(&self->ring, self->receiver.id, &got, 7)->flags |=
		IOSQE_IO_LINK;
	wait_get_send(&self->ring, self->sender.id, &got, 8);
	EXPECT_TRUE(wait_nothing(&self->ring));
	EXPECT_EQ(IPC_NUM, ipc_send_num(&self->other, self->channel, 9));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 7));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 8));
	EXPECT_EQ(9, wait_recv(&self->ring, self->receiver.id));

	/* A failure breaks the link. */
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
		/* Not one more message is received than was sent. */
		ASSERT_TRUE(wait_complete(&self->ring, sent));
		EXPECT_EQ(sent, wait_completed(&self->ring));
	}
	for (i = 0; i < COUNT; i++) {
		EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 100 + i));
		/* The request that has waited longest is served first. */
		EXPECT_EQ(i, got[i]);
		seen |= 1U << got[i];
	}
	EXPECT_EQ((1U << COUNT) - 1, seen);
}

/* All messages at once: each waiting receive must get one. */
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
	/*
	 * Nor do messages that stay in the ring keep a receiver from waiting.
	 */
	ASSERT_EQ(IPC_NUM, wait_send_to(&self->ring, self->sender.id, 52,
					second.id));
	wait_get_recv(&self->ring, self->receiver.id, &got, 9);
	ASSERT_TRUE(wait_nothing(&self->ring));
	ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, 53));
	ASSERT_EQ(IPC_NUM, wait_for(&self->ring, 9));
	EXPECT_EQ(53, got);
	EXPECT_EQ(52, wait_recv_wait(&self->other, second.id));
}

/* When a target detaches, the slots of its messages become free. */
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

/* A target that detaches while a message for it waits for room. */
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

/* A slow receiver holds the slots of a broadcast. */
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
	/* There is room for all but one message. */
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

/* No receiver is there to wait for. */
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
