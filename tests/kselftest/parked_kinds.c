// SPDX-License-Identifier: GPL-2.0
/*
 * Requests of all kinds wait on all kinds of rings: they go on, whatever surrounds
 * them, and hold nothing while they wait.
 */
#include "parked_flavour.h"

TEST_F_TIMEOUT(parked, goes_on, IPC_TIMEOUT)
{
	int kind, i;

	FOR_EACH_KIND(kind) {
		for (i = 0; i < 3; i++) {
			/* A multishot receive waits again by itself. */
			if (!i || kind != PARKED_RECV_MULTISHOT)
				PARK(kind, 1);
			EXPECT_GOES_ON(kind, 1);
		}
	}
}

/* Parks some requests, and lets them go on.  Whether they do that in this order. */
static bool go_on_in_order(struct __test_metadata *_metadata,
			   FIXTURE_DATA(parked) *self, enum parked_kind kind,
			   unsigned int sqe_flags)
{
	enum { COUNT = 4 };
	struct io_uring_cqe cqe;
	bool in_order = true;
	int i;

	for (i = 1; i <= COUNT; i++)
		ASSERT_TRUE(park(&self->parked, kind, i, sqe_flags))
			TH_LOG("%s", parked_names[kind]);
	for (i = 1; i <= COUNT; i++) {
		ASSERT_EQ(0, parked_go_on(&self->channel, kind, 40 + i))
			TH_LOG("%s", parked_names[kind]);
		ASSERT_EQ(0, wait_next(&self->parked.ring, &cqe, WAIT_DEADLINE))
			TH_LOG("%s", parked_names[kind]);
		EXPECT_EQ(parked_result(kind), cqe.res);
		EXPECT_EQ(0, wait_completed(&self->parked.ring));
		in_order = in_order && cqe.user_data == i;
		if (parked_is_send(kind))
			self->channel.in_slot = cqe.user_data;
		else
			EXPECT_EQ(40 + i, parked_got(&self->parked, kind, &cqe));
		if (cqe.flags & IORING_CQE_F_BUFFER)
			msg_pool_add(&self->parked.pool,
				     cqe.flags >> IORING_CQE_BUFFER_SHIFT);
	}
	return in_order;
}

/*
 * Several requests of one kind go on in the order of their submission.  On a slow
 * machine the channel may take the task of one of them for stopped, and offer the
 * message or the room to a later one.
 */
TEST_F_TIMEOUT(parked, in_order, IPC_TIMEOUT)
{
	double end = ipc_now();
	bool in_order;
	int kind;

	FOR_EACH_KIND(kind) {
		if (kind == PARKED_RECV_MULTISHOT)
			continue;
		do {
			in_order = go_on_in_order(_metadata, self, kind,
						  variant->sqe_flags);
		} while (!in_order && ipc_go_on(end, false));
		EXPECT_TRUE(in_order)
			TH_LOG("%s", parked_names[kind]);
	}
}

/* The file of the subscriber is closed, before the request or while it waits. */
TEST_F_TIMEOUT(parked, needs_no_file, IPC_TIMEOUT)
{
	int kind;

	FOR_EACH_KIND(kind) {
		PARK(kind, 1);
		ASSERT_EQ(0, close(self->parked.sub.fd));
		EXPECT_TRUE(wait_nothing(&self->parked.ring));
		EXPECT_GOES_ON(kind, 1);
		if (kind != PARKED_RECV_MULTISHOT) {
			PARK(kind, 2);
			EXPECT_GOES_ON(kind, 2);
		}
		self->parked.sub.fd = open("/dev/null", O_RDONLY);
	}
}

static struct io_uring_sqe *get_nop(struct io_uring *ring, __u64 data)
{
	struct io_uring_sqe *sqe = wait_get_sqe(ring);

	io_uring_prep_nop(sqe);
	io_uring_sqe_set_data64(sqe, data);
	return sqe;
}

TEST_F_TIMEOUT(parked, a_drain_waits_for_it, IPC_TIMEOUT)
{
	int kind;

	FOR_EACH_KIND(kind) {
		if (kind == PARKED_RECV_MULTISHOT)
			continue;
		parked_get(&self->parked, kind, 1)->flags |= variant->sqe_flags;
		get_nop(&self->parked.ring, 2)->flags |= IOSQE_IO_DRAIN;
		get_nop(&self->parked.ring, 3);
		ASSERT_TRUE(wait_nothing(&self->parked.ring))
			TH_LOG("%s", parked_names[kind]);
		EXPECT_GOES_ON(kind, 1);
		EXPECT_EQ(0, wait_for(&self->parked.ring, 2));
		EXPECT_EQ(0, wait_for(&self->parked.ring, 3));
	}
}

/* The request itself is drained first, and waits after that. */
TEST_F_TIMEOUT(parked, with_drain, IPC_TIMEOUT)
{
	struct io_uring_sqe *sqe;
	int kind, begin[2];
	char byte;

	ASSERT_EQ(0, pipe(begin));
	FOR_EACH_KIND(kind) {
		sqe = wait_get_sqe(&self->parked.ring);
		io_uring_prep_read(sqe, begin[0], &byte, 1, 0);
		io_uring_sqe_set_data64(sqe, 2);
		parked_get(&self->parked, kind, 1)->flags |=
			variant->sqe_flags | IOSQE_IO_DRAIN;
		ASSERT_TRUE(wait_nothing(&self->parked.ring))
			TH_LOG("%s", parked_names[kind]);
		ASSERT_EQ(1, write(begin[1], "b", 1));
		EXPECT_EQ(1, wait_for(&self->parked.ring, 2));
		ASSERT_TRUE(wait_nothing(&self->parked.ring))
			TH_LOG("%s", parked_names[kind]);
		EXPECT_GOES_ON(kind, 1);
	}
	close(begin[0]);
	close(begin[1]);
}

TEST_F_TIMEOUT(parked, links, IPC_TIMEOUT)
{
	int kind;

	FOR_EACH_KIND(kind) {
		/* The first of a chain. */
		if (kind != PARKED_RECV_MULTISHOT) {
			parked_get(&self->parked, kind, 1)->flags |=
				variant->sqe_flags | IOSQE_IO_LINK;
			get_nop(&self->parked.ring, 2);
			ASSERT_TRUE(wait_nothing(&self->parked.ring))
				TH_LOG("%s", parked_names[kind]);
			EXPECT_GOES_ON(kind, 1);
			EXPECT_EQ(0, wait_for(&self->parked.ring, 2));
		}
		/* A request that is cancelled breaks one kind of link. */
		parked_get(&self->parked, kind, 1)->flags |=
			variant->sqe_flags | IOSQE_IO_LINK;
		get_nop(&self->parked.ring, 2);
		ASSERT_TRUE(wait_nothing(&self->parked.ring));
		EXPECT_TRUE(wait_end(&self->parked.ring, 1, false));
		EXPECT_EQ(-ECANCELED, wait_for(&self->parked.ring, 2));
		parked_get(&self->parked, kind, 1)->flags |=
			variant->sqe_flags | IOSQE_IO_HARDLINK;
		get_nop(&self->parked.ring, 2);
		ASSERT_TRUE(wait_nothing(&self->parked.ring));
		EXPECT_TRUE(wait_end(&self->parked.ring, 1, false));
		EXPECT_EQ(0, wait_for(&self->parked.ring, 2));
		/* The last of a chain. */
		get_nop(&self->parked.ring, 2)->flags |=
			variant->sqe_flags | IOSQE_IO_LINK;
		parked_get(&self->parked, kind, 1);
		EXPECT_EQ(0, wait_for(&self->parked.ring, 2));
		EXPECT_TRUE(wait_nothing(&self->parked.ring));
		EXPECT_GOES_ON(kind, 1);
	}
}

/* Whether a request has changed what it does: its message was sent or received. */
static bool has_done(struct parked_channel *channel,
		     const struct parked *parked, enum parked_kind kind)
{
	if (parked_is_send(kind))
		return wait_recv(&channel->ring, channel->receiver.id) == 1;
	if (kind == PARKED_RECV)
		return parked->memory[1].num == 41;
	if (kind == PARKED_RECV_SELECT)
		return *(__u64 *)msg_pool_buf(&parked->pool, 0) == 41;
	return *(__u64 *)(parked->memory[1].buf + MSG_INFO) == 41;
}

TEST_F_TIMEOUT(parked, without_a_completion, IPC_TIMEOUT)
{
	int kind;

	FOR_EACH_KIND(kind) {
		if (kind == PARKED_RECV_MULTISHOT)
			continue;
		/* A success has none. */
		parked_get(&self->parked, kind, 1)->flags |=
			variant->sqe_flags | IOSQE_CQE_SKIP_SUCCESS;
		ASSERT_TRUE(wait_nothing(&self->parked.ring));
		ASSERT_EQ(0, parked_go_on(&self->channel, kind, 41));
		EXPECT_TRUE(ipc_poll(({
			io_uring_get_events(&self->parked.ring);
			has_done(&self->channel, &self->parked, kind);
		}))) TH_LOG("%s", parked_names[kind]);
		EXPECT_TRUE(wait_nothing(&self->parked.ring));
		/* A failure has one. */
		ASSERT_EQ(IPC_NUM, parked_fill(&self->channel, kind));
		parked_get(&self->parked, kind, 1)->flags |=
			variant->sqe_flags | IOSQE_CQE_SKIP_SUCCESS;
		ASSERT_TRUE(wait_nothing(&self->parked.ring));
		EXPECT_TRUE(wait_end(&self->parked.ring, 1, false));
	}
}

/* The queues move to other memory while requests wait, or were woken. */
TEST_F_TIMEOUT(parked, resize, IPC_TIMEOUT)
{
	int kind, i, ret;

	if (variant->setup != WAIT_DEFER)
		return;
	FOR_EACH_KIND(kind) {
		for (i = 0; i < 4; i++) {
			struct io_uring_params params = {
				.sq_entries = i % 2 ? 16 : 32,
				.cq_entries = i % 2 ? 32 : 128,
				.flags = IORING_SETUP_CQSIZE,
			};
			struct io_uring_cqe cqe;

			if (!i || kind != PARKED_RECV_MULTISHOT)
				PARK(kind, 1);
			/* Every other request is woken before. */
			if (i / 2)
				ASSERT_EQ(0, parked_go_on(&self->channel, kind,
							  41));
			ret = io_uring_resize_rings(&self->parked.ring,
						    &params);
			if (ret == -EINVAL)
				SKIP(return, "this kernel cannot resize rings");
			ASSERT_EQ(0, ret);
			if (i / 2) {
				EXPECT_EQ(parked_result(kind),
					  wait_for_cqe(&self->parked.ring, 1,
						       &cqe))
					TH_LOG("%s", parked_names[kind]);
				EXPECT_HAS_DONE(kind, &cqe);
			} else {
				EXPECT_TRUE(wait_nothing(&self->parked.ring));
				EXPECT_GOES_ON(kind, 1);
			}
		}
	}
}

/*
 * Provided buffers
 */

enum { POOL_RING, POOL_INC, POOL_LEGACY, POOLS };

static const char *const pool_names[] = { "ring", "incremental", "legacy" };

static int open_pool(struct parked *parked, int which)
{
	static char mem[PARKED_BUFS * PARKED_SIZE];
	struct io_uring_sqe *sqe;
	int ret;

	switch (which) {
	case POOL_RING:
		return msg_pool_open(&parked->pool, &parked->ring, PARKED_BUFS,
				     PARKED_SIZE, 0);
	case POOL_INC:
		return msg_pool_open(&parked->pool, &parked->ring, PARKED_BUFS,
				     PARKED_SIZE, IOU_PBUF_RING_INC);
	}
	parked->pool = (struct msg_pool) {
		.count = PARKED_BUFS, .size = PARKED_SIZE, .mem = mem,
	};
	sqe = wait_get_sqe(&parked->ring);
	io_uring_prep_provide_buffers(sqe, mem, PARKED_SIZE, PARKED_BUFS,
				      MSG_GROUP, 0);
	io_uring_sqe_set_data64(sqe, 7);
	ret = wait_for(&parked->ring, 7);
	return ret < 0 ? ret : 0;
}

/* Frees the buffers, and returns how many were left. */
static int close_pool(struct parked *parked, int which)
{
	struct io_uring_sqe *sqe;
	__u16 head;
	int ret;

	if (which == POOL_LEGACY) {
		parked->pool.mem = NULL;
		sqe = wait_get_sqe(&parked->ring);
		io_uring_prep_remove_buffers(sqe, PARKED_BUFS, MSG_GROUP);
		io_uring_sqe_set_data64(sqe, 7);
		return wait_for(&parked->ring, 7);
	}
	ret = io_uring_buf_ring_head(&parked->ring, MSG_GROUP, &head);
	ret = ret ?: io_uring_free_buf_ring(&parked->ring, parked->pool.ring,
					    PARKED_BUFS, MSG_GROUP);
	free(parked->pool.mem);
	parked->pool.mem = NULL;
	return ret ?: PARKED_BUFS - head;
}

/* A request that waits holds no buffer of its group. */
TEST_F_TIMEOUT(parked, holds_no_buffer, IPC_TIMEOUT)
{
	enum { REQUESTS = 3 };
	struct parked *parked = &self->parked;
	struct io_uring_cqe cqe;
	int kind, which, i;

	for (i = 0; i < 2 * POOLS; i++) {
		kind = i % 2 ? PARKED_RECV_MULTISHOT : PARKED_RECV_SELECT;
		which = i / 2;
		ASSERT_EQ(0, parked_join(parked, &self->channel, PARKED_RECV,
					 variant->setup));
		ASSERT_EQ(0, open_pool(parked, which));
		for (int j = 1; j <= REQUESTS; j++)
			PARK(kind, j);
		EXPECT_EQ(PARKED_BUFS, close_pool(parked, which))
			TH_LOG("%s, %s", pool_names[which], parked_names[kind]);

		/* The group comes back, and the requests find it there. */
		ASSERT_EQ(0, open_pool(parked, which));
		EXPECT_TRUE(wait_nothing(&parked->ring));
		EXPECT_GOES_ON(kind, 1);
		for (int j = kind == PARKED_RECV_SELECT ? 2 : 1; j <= REQUESTS;
		     j++) {
			EXPECT_TRUE(wait_end(&parked->ring, j, false))
				TH_LOG("%s, %s", pool_names[which],
				       parked_names[kind]);
		}
		/* There is room for more messages in an incremental buffer. */
		EXPECT_EQ(which == POOL_INC ? PARKED_BUFS : PARKED_BUFS - 1,
			  close_pool(parked, which))
			TH_LOG("%s, %s", pool_names[which], parked_names[kind]);

		/* Without a buffer the message stays. */
		parked_get(parked, kind, 1)->flags |= variant->sqe_flags;
		wait_nothing(&parked->ring);
		ASSERT_EQ(IPC_NUM, wait_send(&self->channel.ring,
					     self->channel.sender.id, 9));
		EXPECT_EQ(-ENOBUFS, wait_for_cqe(&parked->ring, 1, &cqe));
		EXPECT_EQ(0, cqe.flags);
		EXPECT_EQ(9, wait_recv(&parked->ring, parked->sub.id));
		while (wait_recv(&self->channel.ring,
				 self->channel.receiver.id) >= 0)
			;
		parked_leave(parked);
	}
}

IPC_HARNESS_MAIN
