// SPDX-License-Identifier: GPL-2.0
/*
 * Unicast and multicast channels: one queue, and each message goes to one
 * receiver. Without waiting receivers both behave the same.
 */
#include "fixture.h"

#define ENTRIES	8
#define SIZE	64

FIXTURE(queue) {
	struct io_uring ring;
	struct io_uring other;
	__u32 channel;
	struct ipc_sub sender;
	struct ipc_sub receiver;
	/* Subscribers of the other ring. */
	struct ipc_sub sender2;
	struct ipc_sub receiver2;
};

FIXTURE_VARIANT(queue) {
	__u32 flags;
};

FIXTURE_VARIANT_ADD(queue, unicast) {
	.flags = 0,
};

FIXTURE_VARIANT_ADD(queue, multicast) {
	.flags = IOIPC_F_MULTICAST,
};

FIXTURE_VARIANT_ADD(queue, private_unicast) {
	.flags = IOIPC_F_PRIVATE,
};

FIXTURE_SETUP(queue)
{
	ASSERT_EQ(0, ipc_open(&self->ring));
	ASSERT_EQ(0, ipc_open(&self->other));
	SET_UP_CHANNEL(&self->ring, &self->ring, ENTRIES, SIZE);
	ASSERT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_SEND,
				&self->sender2));
	ASSERT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_RECV,
				&self->receiver2));
}

FIXTURE_TEARDOWN(queue)
{
	io_uring_queue_exit(&self->other);
	io_uring_queue_exit(&self->ring);
}

TEST_F_TIMEOUT(queue, empty_is_eagain_at_once, IPC_TIMEOUT)
{
	char buf[SIZE];

	EXPECT_EQ(-EAGAIN, ipc_recv(&self->ring, self->receiver.id, buf, SIZE));
	EXPECT_EQ(-EAGAIN, ipc_recv(&self->ring, self->receiver.id, buf, 0));
	EXPECT_EQ(-EAGAIN, ipc_recv(&self->ring, self->receiver.id, NULL, 0));
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sender.id, 1));
	ASSERT_EQ(1, ipc_recv_num(&self->ring, self->receiver.id));
	EXPECT_EQ(-EAGAIN, ipc_recv(&self->ring, self->receiver.id, buf, SIZE));
}

TEST_F_TIMEOUT(queue, full_is_enobufs_at_once, IPC_TIMEOUT)
{
	int round;

	for (round = 0; round < 5; round++) {
		EXPECT_EQ(ENTRIES, ipc_send_nums(&self->ring, self->sender.id,
						 0, ENTRIES));
		EXPECT_EQ(-ENOBUFS, ipc_send_num(&self->ring, self->sender.id,
						 99));
		EXPECT_EQ(-ENOBUFS, ipc_send_num(&self->other,
						 self->sender2.id, 99));
		/* Each received message makes room for one. */
		EXPECT_EQ(0, ipc_recv_num(&self->ring, self->receiver.id));
		EXPECT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender2.id,
						ENTRIES));
		EXPECT_EQ(-ENOBUFS, ipc_send_num(&self->ring, self->sender.id,
						 99));
		EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->ring, self->receiver.id,
						 1, ENTRIES + 1));
		EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring,
						self->receiver.id));
	}
}

TEST_F_TIMEOUT(queue, fifo, IPC_TIMEOUT)
{
	int sent = 0, received = 0, step;

	/* All fill levels, and many times around the ring. */
	for (step = 0; step < 200; step++) {
		int burst = step % ENTRIES + 1;

		ASSERT_EQ(burst, ipc_send_nums(&self->ring, self->sender.id,
					       sent, sent + burst));
		sent += burst;
		ASSERT_EQ(burst, ipc_recv_nums(&self->ring, self->receiver.id,
					       received, received + burst));
		received += burst;
	}
}

TEST_F_TIMEOUT(queue, two_receivers_share, IPC_TIMEOUT)
{
	int round;

	for (round = 0; round < 10; round++) {
		ASSERT_EQ(6, ipc_send_nums(&self->ring, self->sender.id, 0, 6));
		EXPECT_EQ(0, ipc_recv_num(&self->ring, self->receiver.id));
		EXPECT_EQ(1, ipc_recv_num(&self->other, self->receiver2.id));
		EXPECT_EQ(2, ipc_recv_num(&self->other, self->receiver2.id));
		EXPECT_EQ(3, ipc_recv_num(&self->other, self->receiver2.id));
		EXPECT_EQ(4, ipc_recv_num(&self->ring, self->receiver.id));
		EXPECT_EQ(5, ipc_recv_num(&self->ring, self->receiver.id));
		EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring,
						self->receiver.id));
		EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->other,
						self->receiver2.id));
	}
}

TEST_F_TIMEOUT(queue, senders_share_one_order, IPC_TIMEOUT)
{
	int i;

	for (i = 0; i < ENTRIES; i += 2) {
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sender.id,
						i));
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other,
						self->sender2.id, i + 1));
	}
	EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->other, self->receiver2.id, 0,
					 ENTRIES));
}

TEST_F_TIMEOUT(queue, messages_wait_for_a_receiver, IPC_TIMEOUT)
{
	struct ipc_sub late;

	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring,
						 self->receiver.id));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->other,
						 self->receiver2.id));
	EXPECT_EQ(ENTRIES, ipc_send_nums(&self->ring, self->sender.id, 0,
					 ENTRIES));
	EXPECT_EQ(-ENOBUFS, ipc_send_num(&self->ring, self->sender.id, 99));
	ASSERT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_RECV,
				&late));
	EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->other, late.id, 0, ENTRIES));
}

TEST_F_TIMEOUT(queue, detached_receiver_leaves_the_rest, IPC_TIMEOUT)
{
	ASSERT_EQ(4, ipc_send_nums(&self->ring, self->sender.id, 0, 4));
	EXPECT_EQ(0, ipc_recv_num(&self->ring, self->receiver.id));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring,
						 self->receiver.id));
	EXPECT_EQ(3, ipc_recv_nums(&self->other, self->receiver2.id, 1, 4));
}

TEST_F_TIMEOUT(queue, detached_sender_leaves_its_messages, IPC_TIMEOUT)
{
	ASSERT_EQ(4, ipc_send_nums(&self->ring, self->sender.id, 0, 4));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring, self->sender.id));
	EXPECT_EQ(4, ipc_recv_nums(&self->ring, self->receiver.id, 0, 4));
}

TEST_F_TIMEOUT(queue, short_buffer_loses_the_rest, IPC_TIMEOUT)
{
	char in[SIZE], out[SIZE + 16];

	ipc_fill(in, SIZE, 1);
	ASSERT_EQ(SIZE, ipc_send(&self->ring, self->sender.id, in, SIZE));
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sender.id, 2));
	memset(out, 'x', sizeof(out));
	EXPECT_EQ(10, ipc_recv(&self->ring, self->receiver.id, out, 10));
	EXPECT_EQ(0, memcmp(in, out, 10));
	/* The receive has written nothing behind the end of the buffer. */
	EXPECT_EQ('x', out[10]);
	EXPECT_EQ(2, ipc_recv_num(&self->ring, self->receiver.id));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, self->receiver.id));
}

TEST_F_TIMEOUT(queue, long_buffer_keeps_the_rest, IPC_TIMEOUT)
{
	char in[SIZE], out[SIZE + 16];
	int len;

	for (len = 0; len <= SIZE; len++) {
		ipc_fill(in, len, len);
		ASSERT_EQ(len, ipc_send(&self->ring, self->sender.id, in, len));
		memset(out, 'x', sizeof(out));
		ASSERT_EQ(len, ipc_recv(&self->ring, self->receiver.id, out,
					sizeof(out)));
		EXPECT_TRUE(ipc_filled(out, len, len));
		/* The buffer has no byte of an earlier, longer message. */
		EXPECT_EQ('x', out[len]);
		EXPECT_EQ('x', out[sizeof(out) - 1]);
	}
}

TEST_F_TIMEOUT(queue, empty_messages, IPC_TIMEOUT)
{
	char buf[SIZE] = "x";

	ASSERT_EQ(0, ipc_send(&self->ring, self->sender.id, buf, 0));
	ASSERT_EQ(0, ipc_send(&self->ring, self->sender.id, NULL, 0));
	ASSERT_EQ(4, ipc_send(&self->ring, self->sender.id, "full", 4));
	ASSERT_EQ(0, ipc_send(&self->ring, self->sender.id, NULL, 0));
	EXPECT_EQ(0, ipc_recv(&self->ring, self->receiver.id, buf, SIZE));
	EXPECT_EQ(0, ipc_recv(&self->ring, self->receiver.id, NULL, 0));
	EXPECT_EQ('x', buf[0]);
	/* No room at all: the message is still consumed. */
	EXPECT_EQ(0, ipc_recv(&self->ring, self->receiver.id, NULL, 0));
	EXPECT_EQ(0, ipc_recv(&self->ring, self->receiver.id, buf, SIZE));
	EXPECT_EQ(-EAGAIN, ipc_recv(&self->ring, self->receiver.id, buf, SIZE));
}

TEST_F_TIMEOUT(queue, too_long, IPC_TIMEOUT)
{
	static const __u32 bad[] = {
		SIZE + 1, 2 * SIZE, IOIPC_MAX_MSG_SIZE + 1, INT_MAX, UINT_MAX,
	};
	char buf[4 * SIZE] = {};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EMSGSIZE, ipc_send(&self->ring, self->sender.id,
					      buf, bad[i]));
	}
	EXPECT_EQ(-EAGAIN, ipc_recv(&self->ring, self->receiver.id, buf, SIZE));
	EXPECT_EQ(SIZE, ipc_send(&self->ring, self->sender.id, buf, SIZE));
}

TEST_F_TIMEOUT(queue, each_does_what_it_attached_for, IPC_TIMEOUT)
{
	EXPECT_EQ(-EACCES, ipc_send_num(&self->ring, self->receiver.id, 1));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, self->receiver.id));
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sender.id, 2));
	EXPECT_EQ(-EACCES, ipc_recv_num(&self->ring, self->sender.id));
	EXPECT_EQ(2, ipc_recv_num(&self->ring, self->receiver.id));
}

TEST_F_TIMEOUT(queue, unattached_sender, IPC_TIMEOUT)
{
	int expect = variant->flags & IOIPC_F_PRIVATE ? -EACCES : IPC_NUM;

	/* From the ring of the channel and from another ring. */
	EXPECT_EQ(expect, ipc_send_num(&self->ring, self->channel, 0));
	EXPECT_EQ(expect, ipc_send_num(&self->other, self->channel, 1));
	if (expect > 0) {
		EXPECT_EQ(2, ipc_recv_nums(&self->ring, self->receiver.id, 0,
					   2));
	}
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, self->receiver.id));
}

TEST_F_TIMEOUT(queue, ring_of_one, IPC_TIMEOUT)
{
	struct ipc_sub both;
	__u32 channel;
	int i;

	ASSERT_EQ(0, ipc_create(&self->ring, variant->flags, 1, 8, &channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, channel, IOIPC_SUB_BOTH, &both));
	for (i = 0; i < 20; i++) {
		EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, both.id));
		EXPECT_EQ(IPC_NUM, ipc_send_num(&self->ring, both.id, i));
		EXPECT_EQ(-ENOBUFS, ipc_send_num(&self->ring, both.id, 99));
		EXPECT_EQ(i, ipc_recv_num(&self->ring, both.id));
	}
}

TEST_F_TIMEOUT(queue, channels_do_not_mix, IPC_TIMEOUT)
{
	struct ipc_sub both;
	__u32 channel;

	ASSERT_EQ(0, ipc_create(&self->ring, variant->flags, ENTRIES, SIZE,
				&channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, channel, IOIPC_SUB_BOTH, &both));
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sender.id, 1));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, both.id));
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, both.id, 2));
	EXPECT_EQ(2, ipc_recv_num(&self->ring, both.id));
	EXPECT_EQ(1, ipc_recv_num(&self->ring, self->receiver.id));
}

TEST_F_TIMEOUT(queue, many_subscribers, IPC_TIMEOUT)
{
	enum { COUNT = 64 };
	struct ipc_sub sub[COUNT];
	int i;

	for (i = 0; i < COUNT; i++) {
		ASSERT_EQ(0, ipc_attach(&self->ring, self->channel,
					IOIPC_SUB_BOTH, &sub[i]));
	}
	for (i = 0; i < COUNT; i++) {
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, sub[i].id, i));
		EXPECT_EQ(i, ipc_recv_num(&self->ring,
					  sub[COUNT - 1 - i].id));
	}
}

TEST_HARNESS_MAIN
