/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by parked_kinds.c and parked_cancel.c: all kinds of channels, and all kinds
 * of rings for the requests that wait.
 */
#ifndef PARKED_FLAVOUR_H
#define PARKED_FLAVOUR_H

#include "parked.h"

FIXTURE(parked) {
	struct parked_channel channel;
	struct parked parked;
};

FIXTURE_VARIANT(parked) {
	__u32 flags;
	unsigned int setup;
	/* Flags of the SQE. */
	unsigned int sqe_flags;
};

FIXTURE_ADD_KINDS(parked);

FIXTURE_VARIANT_ADD(parked, defer_taskrun) {
	.setup = WAIT_DEFER,
};

FIXTURE_VARIANT_ADD(parked, broadcast_defer_taskrun) {
	.flags = IOIPC_F_BROADCAST,
	.setup = WAIT_DEFER,
};

FIXTURE_VARIANT_ADD(parked, coop_taskrun) {
	.setup = IORING_SETUP_COOP_TASKRUN,
};

FIXTURE_VARIANT_ADD(parked, sqpoll) {
	.setup = IORING_SETUP_SQPOLL,
};

FIXTURE_VARIANT_ADD(parked, async) {
	.sqe_flags = IOSQE_ASYNC,
};

FIXTURE_SETUP(parked)
{
	ASSERT_EQ(0, parked_create(&self->channel, variant->flags, 1));
}

FIXTURE_TEARDOWN(parked)
{
	io_uring_queue_exit(&self->channel.ring);
}

/*
 * For each kind of request: its own ring and subscriber in self->parked.  With a
 * request for room, the channel is full.
 */
#define FOR_EACH_KIND(kind)						\
	for (kind = 0; kind < PARKED_KINDS &&				\
	     begin_kind(_metadata, &self->channel, &self->parked, kind,	\
			variant->setup);				\
	     end_kind(_metadata, &self->channel, &self->parked), kind++)

static inline bool begin_kind(struct __test_metadata *_metadata,
			      struct parked_channel *channel,
			      struct parked *parked, enum parked_kind kind,
			      unsigned int setup)
{
	ASSERT_EQ(0, parked_join(parked, channel, kind, setup));
	ASSERT_EQ(IPC_NUM, parked_fill(channel, kind));
	return true;
}

/* Leaves the channel empty. */
static inline void end_kind(struct __test_metadata *_metadata,
			    struct parked_channel *channel,
			    struct parked *parked)
{
	long long last;

	parked_leave(parked);
	last = wait_recv(&channel->ring, channel->receiver.id);
	if (channel->in_slot)
		EXPECT_EQ(channel->in_slot, last);
	channel->in_slot = 0;
	while (last >= 0)
		last = wait_recv(&channel->ring, channel->receiver.id);
}

/* Submits a request.  Whether it waits after that: a worker may be slow. */
static inline bool park(struct parked *parked, enum parked_kind kind, __u64 data,
			unsigned int sqe_flags)
{
	long before = ipc_fdinfo(parked->sub.fd, "ioipc-waits");

	parked_get(parked, kind, data)->flags |= sqe_flags;
	if (!wait_nothing(&parked->ring))
		return false;
	/* Without its file, or without an attachment, this cannot be seen. */
	if (before < 0 || kind == PARKED_SEND_UNATTACHED)
		return true;
	return ipc_poll(wait_completed(&parked->ring) ||
			ipc_fdinfo(parked->sub.fd, "ioipc-waits") > before) &&
	       !wait_completed(&parked->ring);
}

/* Submits a request, which waits after that. */
#define PARK(kind, data)						\
	ASSERT_TRUE(park(&self->parked, kind, data, variant->sqe_flags))	\
		TH_LOG("%s", parked_names[kind])

/* The event comes, and the request has done what it waited for. */
#define EXPECT_GOES_ON(kind, data) do {					\
	struct io_uring_cqe __cqe;					\
									\
	ASSERT_EQ(0, parked_go_on(&self->channel, kind, 40 + (data)))	\
		TH_LOG("%s", parked_names[kind]);			\
	EXPECT_EQ(parked_result(kind),					\
		  wait_for_cqe(&self->parked.ring, data, &__cqe))	\
		TH_LOG("%s", parked_names[kind]);			\
	EXPECT_HAS_DONE(kind, &__cqe);					\
} while (0)

/* The completion of a request that was let go on as above. */
#define EXPECT_HAS_DONE(kind, cqe) do {					\
	if (parked_is_send(kind)) {					\
		/* Whatever takes this message next, looks at it. */	\
		self->channel.in_slot = (cqe)->user_data;		\
	} else {							\
		EXPECT_EQ(40 + (cqe)->user_data,			\
			  parked_got(&self->parked, kind, cqe))		\
			TH_LOG("%s", parked_names[kind]);		\
	}								\
} while (0)

#endif /* PARKED_FLAVOUR_H */
