// SPDX-License-Identifier: GPL-2.0
/*
 * Several requests wait: which of them gets a message or a free slot, and which
 * one gets it if the woken request goes away.
 */
#include "wait_handover_fixture.h"

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
	/* Receivers without a waiting request have no turn. */
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

/* A request that was woken in vain is still the first one. */
TEST_F_TIMEOUT(handover, receives_keep_their_order, IPC_TIMEOUT)
{
	enum { COUNT = 4 };
	__u64 got[COUNT] = {}, stolen;
	int i;

	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->second_ring,
						 self->second.id));
	for (i = 0; i < COUNT; i++)
		wait_get_recv(&self->first_ring, self->first.id, &got[i], i);
	ASSERT_TRUE(wait_nothing(&self->first_ring));
	for (i = 0; i < COUNT; i++) {
		ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, 50));
		/* This one is submitted before the woken one runs. */
		wait_get_recv(&self->first_ring, self->first.id, &stolen, 8)
			->rw_flags = 0;
		ASSERT_EQ(IPC_NUM, wait_for(&self->first_ring, 8));
		ASSERT_EQ(50, stolen);
		ASSERT_TRUE(wait_nothing(&self->first_ring));
	}
	for (i = 0; i < COUNT; i++) {
		ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id,
					     60 + i));
		EXPECT_EQ(IPC_NUM, wait_for(&self->first_ring, i));
		EXPECT_EQ(60 + i, got[i]);
	}
}

TEST_F_TIMEOUT(handover, sends_keep_their_order, IPC_TIMEOUT)
{
	enum { COUNT = 6 };
	struct ipc_sub subs[COUNT / 2], receiver;
	__u64 num[COUNT], stolen;
	int i;

	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->first_ring,
						 self->first.id));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->second_ring,
						 self->second.id));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_RECV,
				&receiver));
	for (i = 0; i < ARRAY_SIZE(subs); i++) {
		ASSERT_EQ(0, ipc_attach(&self->first_ring, self->channel,
					IOIPC_SUB_SEND, &subs[i]));
	}
	ASSERT_EQ(ENTRIES, fill(&self->ring, self->sender.id));
	/* Of several subscribers, one after the other, and unattached. */
	for (i = 0; i < COUNT; i++) {
		num[i] = 60 + i;
		wait_get_send(&self->first_ring, i % 4 == 3 ? self->channel :
			      subs[i % 4].id, &num[i], i);
	}
	ASSERT_TRUE(wait_nothing(&self->first_ring));
	for (i = 0; i < COUNT; i++) {
		__u64 more = ENTRIES + i;

		/* One system call, so that no other request runs in between. */
		wait_get_recv(&self->ring, receiver.id, &stolen, 8)->rw_flags =
			0;
		wait_get_send(&self->ring, self->sender.id, &more, 9)->rw_flags =
			0;
		ASSERT_EQ(2, io_uring_submit(&self->ring));
		ASSERT_EQ(IPC_NUM, wait_for(&self->ring, 8));
		ASSERT_EQ(i, stolen);
		ASSERT_EQ(IPC_NUM, wait_for(&self->ring, 9));
		ASSERT_TRUE(wait_nothing(&self->first_ring));
	}
	/* Each one takes the slot of a message that was there before. */
	for (i = 0; i < COUNT; i++) {
		ASSERT_EQ(i < ENTRIES ? COUNT + i : 60 + i - ENTRIES,
			  wait_recv(&self->ring, receiver.id));
		EXPECT_EQ(IPC_NUM, wait_for(&self->first_ring, i));
	}
	EXPECT_EQ(ENTRIES, drain(&self->ring, receiver.id, 60 + COUNT - ENTRIES,
				 60 + COUNT));
}

/*
 * Both receivers were woken, and the second one takes the messages of the
 * first. The message for the second one alone is still there.
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

/* The request that was woken for a targeted message goes away. */
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
	/* The first request runs only after the second has its message. */
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

/* How a request ends that was just woken. */
enum {
	CANCEL, CANCEL_SYNC, DETACH, EXIT, BAD_BUFFER, ENDS
};

/*
 * The first receiver is woken, because it has attached first and has its turn.
 * It cannot run, because its task does not ask for completions, and goes away.
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
			/* Each receiver has its own copy of the message. */
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

			/*
			 * If the request could not be stopped any more, it has
			 * the message.
			 */
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
			/* The same receiver attaches first again. */
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

/* One slot becomes free, and the woken sender goes away. */
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
			/* The request could not be stopped any more. */
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
 * A request is woken in vain more often than io_uring retries: other requests
 * take the message before the woken request can run.
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
		/* io_uring must have retried for long enough. */
		EXPECT_LT(100, i);
		return;
	}
	EXPECT_TRUE(wait_nothing(&self->first_ring));
	ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, 1000));
	ASSERT_EQ(IPC_NUM, wait_for(&self->first_ring, 7));
	EXPECT_EQ(1000, got);
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

IPC_HARNESS_MAIN
