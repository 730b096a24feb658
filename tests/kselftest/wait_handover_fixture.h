/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by wait_handover.c, wait_random.c and wait_end.c: a ring that sends
 * and two rings that receive.  A woken request of these two does not run before
 * the test asks for completions, because both rings defer their task work.
 */
#ifndef WAIT_HANDOVER_FIXTURE_H
#define WAIT_HANDOVER_FIXTURE_H

#include "fixture.h"
#include "wait_channel.h"

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

#endif /* WAIT_HANDOVER_FIXTURE_H */
