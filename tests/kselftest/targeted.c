// SPDX-License-Identifier: GPL-2.0
/* Messages for one subscriber only, in all kinds of channels. */
#include "fixture.h"

#define ENTRIES	8

FIXTURE(targeted) {
	struct io_uring ring;
	struct io_uring other;
	__u32 channel;
	struct ipc_sub sender;
	struct ipc_sub first;
	/* A subscriber of the other ring. */
	struct ipc_sub second;
	const struct io_uring_ipc_ring *map;
};

FIXTURE_KINDS(targeted);

FIXTURE_SETUP(targeted)
{
	ASSERT_EQ(0, ipc_open(&self->ring));
	ASSERT_EQ(0, ipc_open(&self->other));
	ASSERT_EQ(0, ipc_create(&self->ring, variant->flags, ENTRIES, 64,
				&self->channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_SEND,
				&self->sender));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_RECV,
				&self->first));
	ASSERT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_RECV,
				&self->second));
	self->map = ipc_region(&self->first);
	ASSERT_NE(NULL, self->map);
}

FIXTURE_TEARDOWN(targeted)
{
	io_uring_queue_exit(&self->other);
	io_uring_queue_exit(&self->ring);
}

TEST_F_TIMEOUT(targeted, only_the_target_gets_it, IPC_TIMEOUT)
{
	int i;

	for (i = 0; i < 3 * ENTRIES; i++) {
		ASSERT_EQ(IPC_NUM, ipc_send_num_to(&self->ring, self->sender.id,
						   i, self->second.id));
		EXPECT_EQ(self->second.id, ipc_desc(self->map, i)->target);
		EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, self->first.id));
		EXPECT_EQ(i, ipc_recv_num(&self->other, self->second.id));
		EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->other,
						self->second.id));
	}
	for (i = 0; i < 3 * ENTRIES; i++) {
		ASSERT_EQ(IPC_NUM, ipc_send_num_to(&self->ring, self->sender.id,
						   i, self->first.id));
		EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->other,
						self->second.id));
		EXPECT_EQ(i, ipc_recv_num(&self->ring, self->first.id));
	}
}

/* A message does not hold up receivers that do not get it. */
TEST_F_TIMEOUT(targeted, others_skip_it, IPC_TIMEOUT)
{
	bool all = variant->flags & IOIPC_F_BROADCAST;

	ASSERT_EQ(IPC_NUM, ipc_send_num_to(&self->ring, self->sender.id, 0,
					   self->second.id));
	ASSERT_EQ(IPC_NUM, ipc_send_num_to(&self->ring, self->sender.id, 1,
					   self->first.id));
	ASSERT_EQ(IPC_NUM, ipc_send_num_to(&self->ring, self->sender.id, 2,
					   self->second.id));
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sender.id, 3));
	ASSERT_EQ(IPC_NUM, ipc_send_num_to(&self->ring, self->sender.id, 4,
					   self->first.id));

	EXPECT_EQ(1, ipc_recv_num(&self->ring, self->first.id));
	EXPECT_EQ(3, ipc_recv_num(&self->ring, self->first.id));
	EXPECT_EQ(4, ipc_recv_num(&self->ring, self->first.id));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, self->first.id));
	EXPECT_EQ(0, ipc_recv_num(&self->other, self->second.id));
	EXPECT_EQ(2, ipc_recv_num(&self->other, self->second.id));
	EXPECT_EQ(all ? 3 : -EAGAIN, ipc_recv_num(&self->other,
						  self->second.id));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->other, self->second.id));
	/* No slot is lost by that. */
	EXPECT_EQ(ENTRIES, ipc_send_nums(&self->ring, self->sender.id, 0,
					 ENTRIES));
}

TEST_F_TIMEOUT(targeted, fifo_for_the_target, IPC_TIMEOUT)
{
	int i;

	for (i = 0; i < ENTRIES; i++) {
		ASSERT_EQ(IPC_NUM, ipc_send_num_to(&self->ring, self->sender.id,
						   i, i % 2 ? 0 :
						   self->first.id));
	}
	EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->ring, self->first.id, 0,
					 ENTRIES));
}

TEST_F_TIMEOUT(targeted, targets_that_cannot_receive, IPC_TIMEOUT)
{
	struct ipc_sub stranger, gone;
	__u32 elsewhere;
	size_t i;

	ASSERT_EQ(0, ipc_create(&self->ring, variant->flags, ENTRIES, 64,
				&elsewhere));
	ASSERT_EQ(0, ipc_attach(&self->ring, elsewhere, IOIPC_SUB_BOTH,
				&stranger));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_RECV,
				&gone));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring, gone.id));

	const __u32 bad[] = {
		self->sender.id, self->channel, elsewhere, stranger.id,
		gone.id, 1U << 31, INT_MAX, UINT_MAX,
	};

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-ENOENT, ipc_send_num_to(&self->ring, self->sender.id,
						   1, bad[i]))
			TH_LOG("target %zu", i);
		EXPECT_EQ(-ENOENT, ipc_send_num_to(&self->other, self->channel,
						   1, bad[i]))
			TH_LOG("target %zu, not attached", i);
		EXPECT_EQ(0, ipc_tail(self->map));
	}
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, self->first.id));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->other, self->second.id));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, stranger.id));
	EXPECT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sender.id, 2));
	EXPECT_EQ(2, ipc_recv_num(&self->ring, self->first.id));
}

TEST_F_TIMEOUT(targeted, from_an_unattached_sender, IPC_TIMEOUT)
{
	EXPECT_EQ(IPC_NUM, ipc_send_num_to(&self->other, self->channel, 1,
					   self->first.id));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->other, self->second.id));
	EXPECT_EQ(1, ipc_recv_num(&self->ring, self->first.id));
}

TEST_F_TIMEOUT(targeted, to_oneself, IPC_TIMEOUT)
{
	struct ipc_sub both;

	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_BOTH,
				&both));
	EXPECT_EQ(IPC_NUM, ipc_send_num_to(&self->ring, both.id, 1, both.id));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, self->first.id));
	EXPECT_EQ(1, ipc_recv_num(&self->ring, both.id));
}

TEST_F_TIMEOUT(targeted, full_of_messages_for_one, IPC_TIMEOUT)
{
	int i;

	for (i = 0; i < ENTRIES; i++) {
		ASSERT_EQ(IPC_NUM, ipc_send_num_to(&self->ring, self->sender.id,
						   i, self->first.id));
	}
	EXPECT_EQ(-ENOBUFS, ipc_send_num(&self->ring, self->sender.id, 99));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->other, self->second.id));
	EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->ring, self->first.id, 0,
					 ENTRIES));
	EXPECT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sender.id, 9));
	EXPECT_EQ(9, ipc_recv_num(&self->other, self->second.id));
}

TEST_F_TIMEOUT(targeted, detach_of_the_target_drops_them, IPC_TIMEOUT)
{
	int i;

	for (i = 0; i < ENTRIES; i++) {
		ASSERT_EQ(IPC_NUM, ipc_send_num_to(&self->ring, self->sender.id,
						   i, self->first.id));
	}
	EXPECT_EQ(-ENOBUFS, ipc_send_num(&self->ring, self->sender.id, 99));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring, self->first.id));
	EXPECT_EQ(ENTRIES, ipc_send_nums(&self->ring, self->sender.id, 10,
					 10 + ENTRIES));
	EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->other, self->second.id, 10,
					 10 + ENTRIES));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->other, self->second.id));
}

/* Only the messages for the target are dropped. */
TEST_F_TIMEOUT(targeted, detach_of_the_target_keeps_others, IPC_TIMEOUT)
{
	int i;

	for (i = 0; i < ENTRIES; i++) {
		ASSERT_EQ(IPC_NUM, ipc_send_num_to(&self->ring, self->sender.id,
						   i, i % 2 ? self->first.id :
						   self->second.id));
	}
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring, self->first.id));
	for (i = 0; i < ENTRIES; i += 2) {
		EXPECT_EQ(i, ipc_recv_num(&self->other, self->second.id));
	}
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->other, self->second.id));
	EXPECT_EQ(ENTRIES, ipc_send_nums(&self->ring, self->sender.id, 0,
					 ENTRIES));
}

TEST_F_TIMEOUT(targeted, end_of_the_ring_of_the_target_drops_them,
	       IPC_TIMEOUT)
{
	struct io_uring victim;
	struct ipc_sub target;
	int i;

	ASSERT_EQ(0, ipc_open(&victim));
	ASSERT_EQ(0, ipc_attach(&victim, self->channel, IOIPC_SUB_RECV,
				&target));
	for (i = 0; i < ENTRIES; i++) {
		ASSERT_EQ(IPC_NUM, ipc_send_num_to(&self->ring, self->sender.id,
						   i, target.id));
	}
	EXPECT_EQ(-ENOBUFS, ipc_send_num(&self->ring, self->sender.id, 99));
	io_uring_queue_exit(&victim);
	EXPECT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sender.id, 0));
	EXPECT_EQ(-ENOENT, ipc_send_num_to(&self->ring, self->sender.id, 1,
					   target.id));
	EXPECT_EQ(0, ipc_recv_num(&self->ring, self->first.id));
}

TEST_HARNESS_MAIN
