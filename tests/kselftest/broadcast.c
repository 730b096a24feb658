// SPDX-License-Identifier: GPL-2.0
/*
 * Broadcast channels: each receiver gets all messages sent after it attached.
 */
#include "ipc_test.h"

#define ENTRIES	8
#define SIZE	64

FIXTURE(broadcast) {
	struct io_uring ring;
	struct io_uring other;
	__u32 channel;
	struct ipc_sub sender;
};

FIXTURE_SETUP(broadcast)
{
	ASSERT_EQ(0, ipc_open(&self->ring));
	ASSERT_EQ(0, ipc_open(&self->other));
	ASSERT_EQ(0, ipc_create(&self->ring, IOIPC_F_BROADCAST, ENTRIES, SIZE,
				&self->channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_SEND,
				&self->sender));
}

FIXTURE_TEARDOWN(broadcast)
{
	io_uring_queue_exit(&self->other);
	io_uring_queue_exit(&self->ring);
}

#define ATTACH(ring, sub) \
	ASSERT_EQ(0, ipc_attach(ring, self->channel, IOIPC_SUB_RECV, sub))

TEST_F_TIMEOUT(broadcast, everybody_gets_everything, IPC_TIMEOUT)
{
	enum { COUNT = 16 };
	struct ipc_sub sub[COUNT];
	int i, round;

	for (i = 0; i < COUNT; i++) {
		ATTACH(i % 2 ? &self->ring : &self->other, &sub[i]);
	}
	for (round = 0; round < 5; round++) {
		ASSERT_EQ(ENTRIES, ipc_send_nums(&self->ring, self->sender.id,
						 0, ENTRIES));
		for (i = 0; i < COUNT; i++) {
			struct io_uring *ring;

			ring = i % 2 ? &self->ring : &self->other;
			EXPECT_EQ(ENTRIES, ipc_recv_nums(ring, sub[i].id, 0,
							 ENTRIES));
			EXPECT_EQ(-EAGAIN, ipc_recv_num(ring, sub[i].id));
		}
	}
}

TEST_F_TIMEOUT(broadcast, without_receivers_sends_succeed, IPC_TIMEOUT)
{
	struct ipc_sub late;

	EXPECT_EQ(5 * ENTRIES, ipc_send_nums(&self->ring, self->sender.id, 0,
					     5 * ENTRIES));
	ATTACH(&self->ring, &late);
	/* Messages that had no receiver are gone. */
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, late.id));
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sender.id, 1));
	EXPECT_EQ(1, ipc_recv_num(&self->ring, late.id));
}

TEST_F_TIMEOUT(broadcast, late_joiner_starts_with_the_next, IPC_TIMEOUT)
{
	struct ipc_sub early, late;
	int i;

	ATTACH(&self->ring, &early);
	ASSERT_EQ(4, ipc_send_nums(&self->ring, self->sender.id, 0, 4));
	ATTACH(&self->other, &late);
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->other, late.id));
	ASSERT_EQ(4, ipc_send_nums(&self->ring, self->sender.id, 4, 8));
	EXPECT_EQ(4, ipc_recv_nums(&self->other, late.id, 4, 8));
	EXPECT_EQ(8, ipc_recv_nums(&self->ring, early.id, 0, 8));

	/* A receiver that has joined late does not hold up the ring. */
	for (i = 8; i < 8 + 4 * ENTRIES; i++) {
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sender.id,
						i));
		EXPECT_EQ(i, ipc_recv_num(&self->ring, early.id));
		EXPECT_EQ(i, ipc_recv_num(&self->other, late.id));
	}
}

TEST_F_TIMEOUT(broadcast, joining_a_full_ring, IPC_TIMEOUT)
{
	struct ipc_sub early, late;

	ATTACH(&self->ring, &early);
	ASSERT_EQ(ENTRIES, ipc_send_nums(&self->ring, self->sender.id, 0,
					 ENTRIES));
	ATTACH(&self->ring, &late);
	EXPECT_EQ(-ENOBUFS, ipc_send_num(&self->ring, self->sender.id, 99));
	EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->ring, early.id, 0, ENTRIES));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, late.id));
	ASSERT_EQ(ENTRIES, ipc_send_nums(&self->ring, self->sender.id, 0,
					 ENTRIES));
	EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->ring, late.id, 0, ENTRIES));
}

TEST_F_TIMEOUT(broadcast, the_slowest_decides, IPC_TIMEOUT)
{
	struct ipc_sub fast, slow;
	int round, first;

	ATTACH(&self->ring, &fast);
	ATTACH(&self->other, &slow);
	ASSERT_EQ(ENTRIES, ipc_send_nums(&self->ring, self->sender.id, 0,
					 ENTRIES));
	EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->ring, fast.id, 0, ENTRIES));
	EXPECT_EQ(-ENOBUFS, ipc_send_num(&self->ring, self->sender.id, 99));
	for (round = 0; round < 3 * ENTRIES; round++) {
		/* Each message that it takes frees one slot. */
		first = round;
		EXPECT_EQ(first, ipc_recv_num(&self->other, slow.id));
		EXPECT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sender.id,
						first + ENTRIES));
		EXPECT_EQ(-ENOBUFS, ipc_send_num(&self->ring, self->sender.id,
						 99));
		EXPECT_EQ(first + ENTRIES, ipc_recv_num(&self->ring, fast.id));
		EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, fast.id));
	}
}

TEST_F_TIMEOUT(broadcast, detach_of_the_slowest_frees_its_slots, IPC_TIMEOUT)
{
	struct ipc_sub fast, slow;

	ATTACH(&self->ring, &fast);
	ATTACH(&self->other, &slow);
	ASSERT_EQ(ENTRIES, ipc_send_nums(&self->ring, self->sender.id, 0,
					 ENTRIES));
	EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->ring, fast.id, 0, ENTRIES));
	EXPECT_EQ(-ENOBUFS, ipc_send_num(&self->ring, self->sender.id, 99));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->other, slow.id));
	EXPECT_EQ(ENTRIES, ipc_send_nums(&self->ring, self->sender.id, 8,
					 8 + ENTRIES));
	EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->ring, fast.id, 8,
					 8 + ENTRIES));
}

TEST_F_TIMEOUT(broadcast, detach_of_the_last_receiver, IPC_TIMEOUT)
{
	struct ipc_sub only;

	ATTACH(&self->ring, &only);
	ASSERT_EQ(ENTRIES, ipc_send_nums(&self->ring, self->sender.id, 0,
					 ENTRIES));
	EXPECT_EQ(-ENOBUFS, ipc_send_num(&self->ring, self->sender.id, 99));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring, only.id));
	EXPECT_EQ(5 * ENTRIES, ipc_send_nums(&self->ring, self->sender.id, 0,
					     5 * ENTRIES));
	ATTACH(&self->ring, &only);
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, only.id));
}

TEST_F_TIMEOUT(broadcast, end_of_a_ring_frees_its_slots, IPC_TIMEOUT)
{
	struct io_uring victim;
	struct ipc_sub slow;

	ASSERT_EQ(0, ipc_open(&victim));
	ATTACH(&victim, &slow);
	ASSERT_EQ(ENTRIES, ipc_send_nums(&self->ring, self->sender.id, 0,
					 ENTRIES));
	EXPECT_EQ(-ENOBUFS, ipc_send_num(&self->ring, self->sender.id, 99));
	/* Closing only the file of the subscriber changes nothing. */
	ASSERT_EQ(0, close(slow.fd));
	EXPECT_EQ(-ENOBUFS, ipc_send_num(&self->ring, self->sender.id, 99));
	io_uring_queue_exit(&victim);
	EXPECT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sender.id, 1));
	EXPECT_EQ(5 * ENTRIES, ipc_send_nums(&self->ring, self->sender.id, 0,
					     5 * ENTRIES));
}

TEST_F_TIMEOUT(broadcast, one_hears_oneself, IPC_TIMEOUT)
{
	struct ipc_sub both, receiver;

	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_BOTH,
				&both));
	ATTACH(&self->ring, &receiver);
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, both.id, 5));
	EXPECT_EQ(5, ipc_recv_num(&self->ring, both.id));
	EXPECT_EQ(5, ipc_recv_num(&self->ring, receiver.id));
}

TEST_F_TIMEOUT(broadcast, one_order_for_all, IPC_TIMEOUT)
{
	struct ipc_sub sender2, receiver[2];
	int i;

	ASSERT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_SEND,
				&sender2));
	ATTACH(&self->ring, &receiver[0]);
	ATTACH(&self->other, &receiver[1]);
	for (i = 0; i < ENTRIES; i += 2) {
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sender.id,
						i));
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, sender2.id,
						i + 1));
	}
	EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->ring, receiver[0].id, 0,
					 ENTRIES));
	EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->other, receiver[1].id, 0,
					 ENTRIES));
}

TEST_F_TIMEOUT(broadcast, short_buffer_of_one_is_no_loss_for_others,
	       IPC_TIMEOUT)
{
	struct ipc_sub receiver[2];
	char in[SIZE], out[SIZE];

	ATTACH(&self->ring, &receiver[0]);
	ATTACH(&self->ring, &receiver[1]);
	ipc_fill(in, SIZE, 3);
	ASSERT_EQ(SIZE, ipc_send(&self->ring, self->sender.id, in, SIZE));
	EXPECT_EQ(1, ipc_recv(&self->ring, receiver[0].id, out, 1));
	EXPECT_EQ(SIZE, ipc_recv(&self->ring, receiver[1].id, out, SIZE));
	EXPECT_TRUE(ipc_filled(out, SIZE, 3));
	EXPECT_EQ(-EAGAIN, ipc_recv(&self->ring, receiver[0].id, out, SIZE));
}

TEST_F_TIMEOUT(broadcast, unattached_sender, IPC_TIMEOUT)
{
	struct ipc_sub receiver[2];

	ATTACH(&self->ring, &receiver[0]);
	ATTACH(&self->ring, &receiver[1]);
	EXPECT_EQ(ENTRIES, ipc_send_nums(&self->other, self->channel, 0,
					 ENTRIES));
	EXPECT_EQ(-ENOBUFS, ipc_send_num(&self->other, self->channel, 99));
	EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->ring, receiver[0].id, 0,
					 ENTRIES));
	EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->ring, receiver[1].id, 0,
					 ENTRIES));
}

TEST_F_TIMEOUT(broadcast, a_sender_does_not_receive, IPC_TIMEOUT)
{
	EXPECT_EQ(-EACCES, ipc_recv_num(&self->ring, self->sender.id));
	/* So no sender has to wait for it. */
	EXPECT_EQ(5 * ENTRIES, ipc_send_nums(&self->ring, self->sender.id, 0,
					     5 * ENTRIES));
}

TEST_F_TIMEOUT(broadcast, coming_and_going, IPC_TIMEOUT)
{
	struct ipc_sub steady, guest;
	int i;

	ATTACH(&self->ring, &steady);
	for (i = 0; i < 10 * ENTRIES; i++) {
		ATTACH(&self->other, &guest);
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sender.id,
						i));
		/* Half of the guests leave without receiving. */
		if (i % 2) {
			EXPECT_EQ(i, ipc_recv_num(&self->other, guest.id));
		}
		ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->other,
							 guest.id));
		ASSERT_EQ(0, close(guest.fd));
		EXPECT_EQ(i, ipc_recv_num(&self->ring, steady.id));
	}
}

TEST_HARNESS_MAIN
