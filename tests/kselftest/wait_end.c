// SPDX-License-Identifier: GPL-2.0
/*
 * What ends a request that waits before its message or its room is there: a
 * cancel, a timeout, DETACH, DESTROY, and the end of a ring or of a process.
 */
#include "wait_fixture.h"
#include "wait_handover_fixture.h"

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

/* Cancels a request. Whether the request ends by that. */
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

/* Whether a request ends by its linked timeout, which has user_data 0. */
static bool timed_out(struct io_uring *ring, __u64 data, unsigned int flags)
{
	int ret = wait_for(ring, 0);

	/* The worker may wait again all the same. */
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

		/* A message that was not sent is not in the ring. */
		ASSERT_EQ(ENTRIES, fill(&self->ring, self->sender.id));
		wait_get_send(&self->ring, self->sender.id, &num, 8)->flags |=
			IOSQE_IO_LINK | flags[i];
		io_uring_prep_link_timeout(io_uring_get_sqe(&self->ring), &brief,
					   0);
		EXPECT_TRUE(timed_out(&self->ring, 8, flags[i]));
		EXPECT_EQ(ENTRIES, drain(&self->ring, self->receiver.id, 0,
					 ENTRIES));
		EXPECT_EQ(-EAGAIN, wait_recv(&self->ring, self->receiver.id));

		/* The message arrives before the timeout. */
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
			/* The next receive gets the message. */
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

	/* Requests that send. */
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

/* Requests that wait outlive the process that created the channel. */
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

	/* The same with a request that waits for a message. */
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
		/* In odd rounds, requests that send. */
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
			 * The requests may run for a moment longer, so some of
			 * their messages may be sent.
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
	/* A sender that waits for room notices that all of them have ended. */
	for (i = 0; i < 3 * ENTRIES; i++) {
		ASSERT_EQ(IPC_NUM, wait_send_wait(&self->ring, self->sender.id,
						  i));
		ASSERT_EQ(i, wait_recv_wait(&self->ring, self->receiver.id));
	}
}

/* Living processes get the messages that dead ones have waited for. */
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
		/*
		 * A broadcast has no room until the dead processes are
		 * detached.
		 */
		for (i = 0; i < 3 * ENTRIES; i++) {
			ASSERT_EQ(IPC_NUM, wait_send_wait(&self->ring,
							  self->sender.id, i));
			ASSERT_EQ(i, wait_recv_wait(&self->ring,
						    self->receiver.id));
		}
	}
}

/* The same with senders: not all messages are sent, but no request is stuck. */
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
	/* Behind the requests of the child. */
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

/* Wakes the request of the first ring in vain until it runs in a worker. */
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

/* It can still be cancelled then. */
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
			/*
			 * A worker may block in the request, and is told to
			 * end.
			 */
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
	/* The end of the subscriber, the channel or the ring ends it too. */
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
 * A closed ring goes away later. Until then its request may take one message,
 * which no other receiver gets, except in broadcast channels.
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

IPC_HARNESS_MAIN
