/* SPDX-License-Identifier: GPL-2.0 */
/* Shared by wait.c and wait_end.c: one ring with both sides of the channel. */
#ifndef WAIT_FIXTURE_H
#define WAIT_FIXTURE_H

#include "fixture.h"
#include "wait_channel.h"

FIXTURE(wait) {
	struct io_uring ring;
	struct io_uring other;
	__u32 channel;
	struct ipc_sub sender;
	struct ipc_sub receiver;
};

FIXTURE_KINDS(wait);

FIXTURE_SETUP(wait)
{
	ASSERT_EQ(0, io_uring_queue_init(64, &self->ring, 0));
	ASSERT_EQ(0, io_uring_queue_init(64, &self->other, 0));
	SET_UP_CHANNEL(&self->ring, &self->ring, ENTRIES, 64);
}

FIXTURE_TEARDOWN(wait)
{
	io_uring_queue_exit(&self->other);
	io_uring_queue_exit(&self->ring);
}

#endif /* WAIT_FIXTURE_H */
