// SPDX-License-Identifier: GPL-2.0
/*
 * Receiving into provided buffers, one message or one after the other.
 */
#include <sys/socket.h>
#include "fixture.h"
#include "messages.h"

#define ENTRIES	128
#define SIZE	64
#define BUFS	16

FIXTURE(multishot) {
	struct io_uring ring;
	struct io_uring other;
	__u32 channel;
	struct ipc_sub receiver;
	struct ipc_sub sender;
	struct msg_pool pool;
};

FIXTURE_VARIANT(multishot) {
	__u32 flags;
	unsigned int setup;
};

FIXTURE_VARIANT_ADD(multishot, unicast) {
	.flags = 0,
};

FIXTURE_VARIANT_ADD(multishot, multicast_coop_taskrun) {
	.flags = IOIPC_F_MULTICAST,
	.setup = IORING_SETUP_COOP_TASKRUN,
};

FIXTURE_VARIANT_ADD(multishot, broadcast) {
	.flags = IOIPC_F_BROADCAST,
};

FIXTURE_VARIANT_ADD(multishot, unicast_defer_taskrun) {
	.flags = 0,
	.setup = WAIT_DEFER,
};

FIXTURE_VARIANT_ADD(multishot, broadcast_defer_taskrun) {
	.flags = IOIPC_F_BROADCAST,
	.setup = WAIT_DEFER,
};

FIXTURE_VARIANT_ADD(multishot, unicast_sqpoll) {
	.flags = 0,
	.setup = IORING_SETUP_SQPOLL,
};

FIXTURE_SETUP(multishot)
{
	struct io_uring_params params = {
		.flags = variant->setup | IORING_SETUP_CQSIZE,
		.cq_entries = 256,
		.sq_thread_idle = 1,
	};

	ASSERT_EQ(0, io_uring_queue_init_params(16, &self->ring, &params));
	ASSERT_EQ(0, io_uring_queue_init(64, &self->other, 0));
	SET_UP_CHANNEL(&self->other, &self->ring, ENTRIES, SIZE);
}

FIXTURE_TEARDOWN(multishot)
{
	io_uring_queue_exit(&self->ring);
	io_uring_queue_exit(&self->other);
}

static struct io_uring_sqe *get_multishot(struct io_uring *ring, __u32 id,
					  __u64 data)
{
	struct io_uring_sqe *sqe = wait_get_sqe(ring);

	io_uring_prep_ipc_recv(sqe, id, NULL, 0, IOIPC_RECV_MULTISHOT);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = MSG_GROUP;
	io_uring_sqe_set_data64(sqe, data);
	return sqe;
}

static struct io_uring_sqe *get_select(struct io_uring *ring, __u32 id,
				       __u32 len, __u32 flags, __u64 data)
{
	struct io_uring_sqe *sqe = get_multishot(ring, id, data);

	sqe->len = len;
	sqe->rw_flags = flags;
	return sqe;
}

/* The number in the buffer of a completion, or an error. `back`: reuse it. */
static long long take(struct msg_pool *pool, const struct io_uring_cqe *cqe,
		      bool back)
{
	unsigned int id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
	__u64 num;

	if (cqe->res < 0)
		return cqe->res;
	if (!(cqe->flags & IORING_CQE_F_BUFFER) || id >= pool->count ||
	    cqe->res != sizeof(num))
		return IPC_NOT_RUN;
	memcpy(&num, msg_pool_buf(pool, id), sizeof(num));
	memset(msg_pool_buf(pool, id), 0xee, pool->size);
	if (back)
		msg_pool_add(pool, id);
	return num;
}

TEST_F_TIMEOUT(multishot, a_completion_for_each_message, IPC_TIMEOUT)
{
	struct io_uring_cqe cqe;
	int i;

	ASSERT_EQ(0, msg_pool_open(&self->pool, &self->ring, BUFS, SIZE, 0));
	get_multishot(&self->ring, self->receiver.id, 7);
	ASSERT_TRUE(wait_nothing(&self->ring));
	for (i = 0; i < BUFS - 1; i++) {
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id,
						i));
		ASSERT_EQ(IPC_NUM, wait_for_cqe(&self->ring, 7, &cqe));
		EXPECT_EQ(IORING_CQE_F_MORE | IORING_CQE_F_BUFFER |
			  i << IORING_CQE_BUFFER_SHIFT, cqe.flags);
		EXPECT_EQ(i, take(&self->pool, &cqe, false));
		EXPECT_EQ(0, wait_completed(&self->ring));
	}
}

TEST_F_TIMEOUT(multishot, buffers_come_back, IPC_TIMEOUT)
{
	struct io_uring_cqe cqe;
	int i, round, sent = 0, got = 0;

	ASSERT_EQ(0, msg_pool_open(&self->pool, &self->ring, BUFS, SIZE, 0));
	get_multishot(&self->ring, self->receiver.id, 7);
	ASSERT_TRUE(wait_nothing(&self->ring));
	for (round = 0; round < 20; round++) {
		for (i = 0; i < BUFS - 1; i++, sent++) {
			ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other,
							self->sender.id, sent));
		}
		for (i = 0; i < BUFS - 1; i++, got++) {
			ASSERT_EQ(IPC_NUM, wait_for_cqe(&self->ring, 7, &cqe))
				TH_LOG("message %d", got);
			ASSERT_TRUE(cqe.flags & IORING_CQE_F_MORE);
			ASSERT_EQ(got, take(&self->pool, &cqe, true));
		}
	}
}

/* Messages of all lengths, one after the other. */
TEST_F_TIMEOUT(multishot, lengths, IPC_TIMEOUT)
{
	struct io_uring_cqe cqe;
	char buf[SIZE], *got;
	int len;

	ASSERT_EQ(0, msg_pool_open(&self->pool, &self->ring, BUFS, SIZE, 0));
	get_multishot(&self->ring, self->receiver.id, 7);
	ASSERT_TRUE(wait_nothing(&self->ring));
	for (len = 0; len <= SIZE; len++) {
		ipc_fill(buf, len, len);
		ASSERT_EQ(len, ipc_send(&self->other, self->sender.id, buf,
					len));
		ASSERT_EQ(len, wait_for_cqe(&self->ring, 7, &cqe));
		/* An empty message does not end the request. */
		ASSERT_TRUE(cqe.flags & IORING_CQE_F_MORE);
		ASSERT_TRUE(cqe.flags & IORING_CQE_F_BUFFER);
		got = msg_pool_buf(&self->pool,
				   cqe.flags >> IORING_CQE_BUFFER_SHIFT);
		EXPECT_TRUE(ipc_filled(got, len, len));
		msg_pool_add(&self->pool, cqe.flags >> IORING_CQE_BUFFER_SHIFT);
	}
}

/* More messages than one run receives, all sent before. */
TEST_F_TIMEOUT(multishot, messages_were_there, IPC_TIMEOUT)
{
	struct io_uring_cqe cqe;
	int i;

	ASSERT_EQ(0, msg_pool_open(&self->pool, &self->ring, 128, SIZE, 0));
	for (i = 0; i < 100; i++) {
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id,
						i));
	}
	get_multishot(&self->ring, self->receiver.id, 7);
	for (i = 0; i < 100; i++) {
		ASSERT_EQ(IPC_NUM, wait_for_cqe(&self->ring, 7, &cqe))
			TH_LOG("message %d", i);
		ASSERT_TRUE(cqe.flags & IORING_CQE_F_MORE)
			TH_LOG("message %d", i);
		ASSERT_EQ(i, take(&self->pool, &cqe, true));
	}
	EXPECT_TRUE(wait_nothing(&self->ring));
	/* The same in a worker. */
	for (i = 0; i < 100; i++) {
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id,
						i));
	}
	for (i = 0; i < 100; i++) {
		ASSERT_EQ(IPC_NUM, wait_for_cqe(&self->ring, 7, &cqe))
			TH_LOG("message %d", i);
		ASSERT_EQ(i, take(&self->pool, &cqe, true));
		ASSERT_TRUE(cqe.flags & IORING_CQE_F_MORE)
			TH_LOG("message %d", i);
	}
	EXPECT_TRUE(wait_nothing(&self->ring));
}

TEST_F_TIMEOUT(multishot, async, IPC_TIMEOUT)
{
	struct io_uring_cqe cqe;
	int i;

	ASSERT_EQ(0, msg_pool_open(&self->pool, &self->ring, 128, SIZE, 0));
	for (i = 0; i < 100; i++) {
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id,
						i));
	}
	get_multishot(&self->ring, self->receiver.id, 7)->flags |= IOSQE_ASYNC;
	for (i = 0; i < 120; i++) {
		if (i >= 100) {
			ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other,
							self->sender.id, i));
		}
		ASSERT_EQ(IPC_NUM, wait_for_cqe(&self->ring, 7, &cqe))
			TH_LOG("message %d", i);
		ASSERT_EQ(i, take(&self->pool, &cqe, true));
		/* The request may end, but then its completion says so. */
		if (!(cqe.flags & IORING_CQE_F_MORE))
			get_multishot(&self->ring, self->receiver.id, 7)->flags
				|= IOSQE_ASYNC;
	}
	EXPECT_TRUE(wait_nothing(&self->ring));
	EXPECT_TRUE(wait_end(&self->ring, 7, false));
}

TEST_F_TIMEOUT(multishot, no_buffer_ends_it_and_the_message_stays, IPC_TIMEOUT)
{
	struct io_uring_cqe cqe;
	int i, round, got = 0;

	ASSERT_EQ(0, msg_pool_open_some(&self->pool, &self->ring, BUFS, 4,
					SIZE, 0));
	for (i = 0; i < 12; i++) {
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id,
						i));
	}
	for (round = 0; round < 3; round++) {
		get_multishot(&self->ring, self->receiver.id, 7);
		for (i = 0; i < 4; i++, got++) {
			ASSERT_EQ(IPC_NUM, wait_for_cqe(&self->ring, 7, &cqe));
			ASSERT_TRUE(cqe.flags & IORING_CQE_F_MORE);
			ASSERT_EQ(got, take(&self->pool, &cqe, false));
		}
		ASSERT_EQ(-ENOBUFS, wait_for_cqe(&self->ring, 7, &cqe));
		ASSERT_EQ(0, cqe.flags);
		EXPECT_TRUE(wait_nothing(&self->ring));
		for (i = 0; i < 4; i++)
			msg_pool_add(&self->pool, i);
	}
	EXPECT_EQ(-EAGAIN, wait_recv(&self->ring, self->receiver.id));
}

/* The same when messages come later; another waiting receiver gets them. */
TEST_F_TIMEOUT(multishot, no_buffer_wakes_the_next, IPC_TIMEOUT)
{
	struct io_uring_cqe cqe;
	__u64 got = 0;
	int ret;

	ASSERT_EQ(0, msg_pool_open_some(&self->pool, &self->ring, BUFS, 1,
					SIZE, 0));
	get_multishot(&self->ring, self->receiver.id, 7);
	ASSERT_TRUE(wait_nothing(&self->ring));
	wait_get_recv(&self->ring, self->receiver.id, &got, 8);
	ASSERT_TRUE(wait_nothing(&self->ring));
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id, 1));
	ASSERT_EQ(IPC_NUM, wait_for_cqe(&self->ring, 7, &cqe));
	ASSERT_EQ(1, take(&self->pool, &cqe, false));
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id, 2));
	ret = wait_for_cqe(&self->ring, 7, &cqe);
	EXPECT_EQ(-ENOBUFS, ret);
	ASSERT_EQ(IPC_NUM, wait_for(&self->ring, 8));
	EXPECT_EQ(2, got);
}

/*
 * A message without room in the completion queue ends a multishot request.
 * Until then the request stays in the wait queue, so a sender may wake it for
 * the next message too.
 */
TEST_F_TIMEOUT(multishot, full_completion_queue_wakes_the_next, IPC_TIMEOUT)
{
	struct io_uring_params params = {
		.flags = variant->setup | IORING_SETUP_CQSIZE,
		.cq_entries = 2,
		.sq_thread_idle = 1,
	};
	struct ipc_sub first, second;
	struct io_uring ring;
	struct msg_pool pool;
	__u64 got = 0;
	int i;

	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring,
						 self->receiver.id));
	ASSERT_EQ(0, io_uring_queue_init_params(2, &ring, &params));
	ASSERT_EQ(0, msg_pool_open(&pool, &ring, BUFS, SIZE, 0));
	ASSERT_EQ(0, ipc_attach(&ring, self->channel, IOIPC_SUB_RECV, &first));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_RECV,
				&second));
	get_multishot(&ring, first.id, 7);
	ASSERT_TRUE(wait_nothing(&ring));
	for (i = 0; i < 2; i++) {
		io_uring_prep_nop(wait_get_sqe(&ring));
		io_uring_submit(&ring);
	}
	ASSERT_TRUE(wait_complete(&ring, 2));
	wait_get_recv(&self->ring, second.id, &got, 8);
	ASSERT_TRUE(wait_nothing(&self->ring));

	for (i = 1; i <= 2; i++)
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id,
						i));
	io_uring_get_events(&ring);
	ASSERT_EQ(IPC_NUM, wait_for(&self->ring, 8));
	EXPECT_EQ(variant->flags & IOIPC_F_BROADCAST ? 1 : 2, got);
	io_uring_queue_exit(&ring);
	free(pool.mem);
}

/* A waiting request holds no buffer. */
TEST_F_TIMEOUT(multishot, waiting_takes_no_buffer, IPC_TIMEOUT)
{
	struct io_uring_cqe cqe;
	int i;

	ASSERT_EQ(0, msg_pool_open_some(&self->pool, &self->ring, BUFS, 2,
					SIZE, 0));
	/* There is no message, so the kernel puts the buffer back. */
	for (i = 0; i < 10; i++) {
		get_select(&self->ring, self->receiver.id, 0, 0, 5);
		EXPECT_EQ(-EAGAIN, wait_for_cqe(&self->ring, 5, &cqe));
		EXPECT_EQ(0, cqe.flags);
	}
	for (i = 0; i < 4; i++)
		get_select(&self->ring, self->receiver.id, 0, IOIPC_RECV_WAIT,
			   10 + i);
	ASSERT_TRUE(wait_nothing(&self->ring));
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id,
						i));
		ASSERT_EQ(IPC_NUM, wait_for_cqe(&self->ring, 10 + i, &cqe));
		ASSERT_TRUE(cqe.flags & IORING_CQE_F_BUFFER);
		ASSERT_FALSE(cqe.flags & IORING_CQE_F_MORE);
		EXPECT_EQ(i, take(&self->pool, &cqe, true));
	}
}

/* The same in a worker, which takes the buffer when it starts. */
TEST_F_TIMEOUT(multishot, async_single_shot, IPC_TIMEOUT)
{
	struct io_uring_cqe cqe;
	int i;

	ASSERT_EQ(0, msg_pool_open(&self->pool, &self->ring, BUFS, SIZE, 0));
	for (i = 0; i < 2 * BUFS; i++) {
		get_select(&self->ring, self->receiver.id, 0, IOIPC_RECV_WAIT,
			   7)->flags |= IOSQE_ASYNC;
		if (i % 2)
			ASSERT_TRUE(wait_nothing(&self->ring));
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id,
						i));
		ASSERT_EQ(IPC_NUM, wait_for_cqe(&self->ring, 7, &cqe));
		EXPECT_FALSE(cqe.flags & IORING_CQE_F_MORE);
		ASSERT_EQ(i, take(&self->pool, &cqe, true));
	}
	for (i = 0; i < 2 * BUFS; i++) {
		get_select(&self->ring, self->receiver.id, 0, 0, 8)->flags |=
			IOSQE_ASYNC;
		ASSERT_EQ(-EAGAIN, wait_for_cqe(&self->ring, 8, &cqe));
		/* The completion names a buffer that is used up. */
		if (cqe.flags & IORING_CQE_F_BUFFER)
			msg_pool_add(&self->pool,
				     cqe.flags >> IORING_CQE_BUFFER_SHIFT);
	}
}

/* A request with a link may run in a worker, without IOSQE_ASYNC. */
TEST_F_TIMEOUT(multishot, in_a_chain, IPC_TIMEOUT)
{
	enum { LAST_WITH_LINK, AFTER_ASYNC, BEFORE_DRAIN, CHAINS };
	struct io_uring_sync_cancel_reg reg = {
		.fd = -1, .timeout = { WAIT_DEADLINE, 0 },
	};
	struct io_uring_sqe *sqe;
	struct io_uring_cqe cqe;
	int chain, i;

	ASSERT_EQ(0, msg_pool_open(&self->pool, &self->ring, BUFS, SIZE, 0));
	for (chain = 0; chain < CHAINS; chain++) {
		if (chain == AFTER_ASYNC) {
			sqe = wait_get_sqe(&self->ring);
			io_uring_prep_nop(sqe);
			sqe->flags |= IOSQE_ASYNC | IOSQE_IO_LINK;
			io_uring_sqe_set_data64(sqe, 101);
		}
		sqe = get_multishot(&self->ring, self->receiver.id, chain);
		if (chain != AFTER_ASYNC)
			sqe->flags |= IOSQE_IO_LINK;
		if (chain == BEFORE_DRAIN) {
			sqe = wait_get_sqe(&self->ring);
			io_uring_prep_nop(sqe);
			sqe->flags |= IOSQE_IO_DRAIN;
			io_uring_sqe_set_data64(sqe, 100);
		}
		if (chain == AFTER_ASYNC)
			ASSERT_EQ(0, wait_for(&self->ring, 101));
		ASSERT_TRUE(wait_nothing(&self->ring));
		for (i = 0; i < 3; i++) {
			ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other,
							self->sender.id, i));
			ASSERT_EQ(IPC_NUM, wait_for_cqe(&self->ring, chain,
							&cqe))
				TH_LOG("chain %d", chain);
			EXPECT_TRUE(cqe.flags & IORING_CQE_F_MORE);
			ASSERT_EQ(i, take(&self->pool, &cqe, true));
		}
		/* A drain would hold up a request that cancels, too. */
		reg.addr = chain;
		ASSERT_EQ(0, io_uring_register_sync_cancel(&self->ring, &reg));
		ASSERT_EQ(-ECANCELED, wait_for(&self->ring, chain));
		if (chain == BEFORE_DRAIN)
			ASSERT_EQ(-ECANCELED, wait_for(&self->ring, 100));
	}
}

/* A request that began in a worker fails while it waits: it has used no buffer up. */
TEST_F_TIMEOUT(multishot, async_failures_lose_no_buffer, IPC_TIMEOUT)
{
	enum { FAILURES = 4 };
	int i, gone = 0, received = 0;
	struct io_uring_cqe cqe;

	ASSERT_EQ(0, msg_pool_open(&self->pool, &self->ring, BUFS, SIZE, 0));
	for (i = 0; i < FAILURES; i++)
		get_select(&self->ring, self->receiver.id, 0, IOIPC_RECV_WAIT,
			   i)->flags |= IOSQE_ASYNC;
	io_uring_submit(&self->ring);
	ASSERT_TRUE(wait_until(!wait_completed(&self->ring) &&
			       ipc_fdinfo(self->receiver.fd, "ioipc-waits") ==
			       FAILURES));
	ASSERT_TRUE(wait_nothing(&self->ring));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring,
						 self->receiver.id));
	for (i = 0; i < FAILURES; i++) {
		ASSERT_EQ(-ENOENT, wait_for_cqe(&self->ring, i, &cqe));
		gone += !!(cqe.flags & IORING_CQE_F_BUFFER);
	}

	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_RECV,
				&self->receiver));
	for (;;) {
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id,
						received));
		get_select(&self->ring, self->receiver.id, 0, 0, 7);
		if (wait_for_cqe(&self->ring, 7, &cqe) != IPC_NUM)
			break;
		ASSERT_TRUE(cqe.flags & IORING_CQE_F_BUFFER);
		received++;
	}
	EXPECT_EQ(-ENOBUFS, cqe.res);
	EXPECT_EQ(BUFS, gone + received);
}

/*
 * A request is woken in vain until it runs in a worker: other requests of the
 * subscriber take the messages first.
 */
TEST_F_TIMEOUT(multishot, woken_in_vain, IPC_TIMEOUT)
{
	enum { IN_VAIN = 300 };
	struct io_uring_sqe *sqe;
	struct io_uring_cqe cqe;
	int i, again;
	__u64 stolen;
	bool more;

	/* With other kinds of rings, requests run as soon as they are woken. */
	if (variant->setup != WAIT_DEFER)
		return;
	ASSERT_EQ(0, msg_pool_open(&self->pool, &self->ring, BUFS, SIZE, 0));
	for (again = 0; again < 2; again++) {
		get_select(&self->ring, self->receiver.id, 0, again ?
			   IOIPC_RECV_MULTISHOT : IOIPC_RECV_WAIT, 7);
		ASSERT_TRUE(wait_nothing(&self->ring));
		for (i = 0; i < IN_VAIN; i++) {
			ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other,
							self->sender.id, i));
			sqe = wait_get_recv(&self->ring, self->receiver.id,
					    &stolen, 8);
			sqe->rw_flags = 0;
			if (wait_for(&self->ring, 8) < 0)
				break;
			ASSERT_EQ(i, stolen);
		}
		if (i == IN_VAIN) {
			EXPECT_TRUE(wait_nothing(&self->ring));
			ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other,
							self->sender.id, i));
		}
		ASSERT_EQ(IPC_NUM, wait_for_cqe(&self->ring, 7, &cqe));
		ASSERT_EQ(i, take(&self->pool, &cqe, true));
		more = cqe.flags & IORING_CQE_F_MORE;
		for (i = 0; again && i < 50; i++) {
			if (!more)
				get_multishot(&self->ring, self->receiver.id,
					      7);
			io_uring_submit(&self->ring);
			ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other,
							self->sender.id, i));
			ASSERT_EQ(IPC_NUM, wait_for_cqe(&self->ring, 7, &cqe));
			ASSERT_EQ(i, take(&self->pool, &cqe, true));
			more = cqe.flags & IORING_CQE_F_MORE;
		}
	}
}

TEST_F_TIMEOUT(multishot, single_shot, IPC_TIMEOUT)
{
	struct io_uring_cqe cqe;
	char buf[SIZE], *got;

	ASSERT_EQ(0, msg_pool_open_some(&self->pool, &self->ring, BUFS, 3,
					SIZE, 0));
	ipc_fill(buf, SIZE, 1);
	memset(self->pool.mem, 'x', BUFS * SIZE);
	/* A limit of the whole buffer. */
	ASSERT_EQ(SIZE, ipc_send(&self->other, self->sender.id, buf, SIZE));
	get_select(&self->ring, self->receiver.id, 0, 0, 1);
	ASSERT_EQ(SIZE, wait_for_cqe(&self->ring, 1, &cqe));
	EXPECT_EQ(IORING_CQE_F_BUFFER, cqe.flags);
	EXPECT_TRUE(ipc_filled(msg_pool_buf(&self->pool, 0), SIZE, 1));
	/* A limit of a part of the buffer. */
	ASSERT_EQ(SIZE, ipc_send(&self->other, self->sender.id, buf, SIZE));
	get_select(&self->ring, self->receiver.id, 10, 0, 2);
	ASSERT_EQ(10, wait_for_cqe(&self->ring, 2, &cqe));
	EXPECT_EQ(IORING_CQE_F_BUFFER | 1 << IORING_CQE_BUFFER_SHIFT, cqe.flags);
	got = msg_pool_buf(&self->pool, 1);
	EXPECT_EQ(0, memcmp(buf, got, 10));
	EXPECT_EQ('x', got[10]);
	/* A limit that is larger than the buffer. */
	ASSERT_EQ(SIZE, ipc_send(&self->other, self->sender.id, buf, SIZE));
	get_select(&self->ring, self->receiver.id, 10 * SIZE, IOIPC_RECV_WAIT,
		   3);
	ASSERT_EQ(SIZE, wait_for_cqe(&self->ring, 3, &cqe));
	EXPECT_EQ('x', *msg_pool_buf(&self->pool, 3));
	/* No buffer is left, and there is no such group. */
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id, 4));
	get_select(&self->ring, self->receiver.id, 0, 0, 4);
	EXPECT_EQ(-ENOBUFS, wait_for_cqe(&self->ring, 4, &cqe));
	get_select(&self->ring, self->receiver.id, 0, 0, 5)->buf_group = 99;
	EXPECT_EQ(-ENOBUFS, wait_for_cqe(&self->ring, 5, &cqe));
	EXPECT_EQ(4, wait_recv(&self->ring, self->receiver.id));
}

TEST_F_TIMEOUT(multishot, limited, IPC_TIMEOUT)
{
	struct io_uring_cqe cqe;
	char buf[SIZE];
	int i;

	ASSERT_EQ(0, msg_pool_open(&self->pool, &self->ring, BUFS, SIZE, 0));
	memset(self->pool.mem, 'x', BUFS * SIZE);
	get_multishot(&self->ring, self->receiver.id, 7)->len = 20;
	ASSERT_TRUE(wait_nothing(&self->ring));
	for (i = 0; i < 5; i++) {
		char *got = msg_pool_buf(&self->pool, i);

		ipc_fill(buf, SIZE, i);
		ASSERT_EQ(SIZE, ipc_send(&self->other, self->sender.id, buf,
					 SIZE));
		ASSERT_EQ(20, wait_for_cqe(&self->ring, 7, &cqe));
		ASSERT_TRUE(cqe.flags & IORING_CQE_F_MORE);
		EXPECT_EQ(i, cqe.flags >> IORING_CQE_BUFFER_SHIFT);
		EXPECT_TRUE(ipc_filled(got, 20, i));
		EXPECT_EQ('x', got[20]);
	}
}

/* A bad buffer: the message goes into the next buffer. */
TEST_F_TIMEOUT(multishot, bad_buffer, IPC_TIMEOUT)
{
	struct io_uring_cqe cqe;

	ASSERT_EQ(0, msg_pool_open_some(&self->pool, &self->ring, BUFS, 0,
					SIZE, 0));
	io_uring_buf_ring_add(self->pool.ring, (void *)8, SIZE, 3,
			      io_uring_buf_ring_mask(BUFS), 0);
	io_uring_buf_ring_advance(self->pool.ring, 1);
	get_multishot(&self->ring, self->receiver.id, 7);
	ASSERT_TRUE(wait_nothing(&self->ring));
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id, 4));
	EXPECT_EQ(-EFAULT, wait_for_cqe(&self->ring, 7, &cqe));
	EXPECT_FALSE(cqe.flags & IORING_CQE_F_MORE);
	EXPECT_EQ(4, wait_recv(&self->ring, self->receiver.id));
}

TEST_F_TIMEOUT(multishot, incremental_buffers, IPC_TIMEOUT)
{
	enum { MESSAGES = 20 };
	struct io_uring_cqe cqe;
	unsigned int used[2] = {};
	int i, ret, id, ended = 0;
	__u64 num;

	ret = msg_pool_open(&self->pool, &self->ring, 2, 96, IOU_PBUF_RING_INC);
	if (ret == -EINVAL)
		SKIP(return, "this kernel has no incremental buffers");
	ASSERT_EQ(0, ret);
	get_multishot(&self->ring, self->receiver.id, 7);
	ASSERT_TRUE(wait_nothing(&self->ring));
	for (i = 0; i < MESSAGES; i++) {
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id,
						i));
		ASSERT_EQ(IPC_NUM, wait_for_cqe(&self->ring, 7, &cqe))
			TH_LOG("message %d", i);
		ASSERT_TRUE(cqe.flags & IORING_CQE_F_BUFFER);
		id = cqe.flags >> IORING_CQE_BUFFER_SHIFT;
		ASSERT_GT(2, id);
		ASSERT_GE(96, used[id] + cqe.res);
		memcpy(&num, msg_pool_buf(&self->pool, id) + used[id],
		       sizeof(num));
		EXPECT_EQ(i, num);
		used[id] += cqe.res;
		EXPECT_EQ(used[id] < 96, !!(cqe.flags & IORING_CQE_F_BUF_MORE))
			TH_LOG("message %d", i);
		ASSERT_TRUE(cqe.flags & IORING_CQE_F_MORE)
			TH_LOG("message %d", i);
		ended += used[id] == 96;
	}
	EXPECT_EQ(1, ended);
}

/* The kernel does not use a rest of a buffer that is smaller than min_left. */
TEST_F_TIMEOUT(multishot, min_left_of_incremental_buffers, IPC_TIMEOUT)
{
	/* Two messages leave less than min_left bytes. */
	enum { BUFFER = 24, LEFT = 12 };
	struct io_uring_buf_reg reg = {
		.ring_entries = 2,
		.bgid = MSG_GROUP,
		.flags = IOU_PBUF_RING_INC,
		.min_left = LEFT,
	};
	struct io_uring_cqe cqe;
	int i, ret;

	self->pool.count = reg.ring_entries;
	self->pool.size = BUFFER;
	self->pool.mem = calloc(self->pool.count, BUFFER);
	self->pool.ring = (void *)ipc_pages(1);
	ASSERT_NE(NULL, self->pool.mem);
	ASSERT_NE(NULL, self->pool.ring);
	reg.ring_addr = (uintptr_t)self->pool.ring;
	ret = io_uring_register_buf_ring(&self->ring, &reg, 0);
	if (ret == -EINVAL)
		SKIP(return, "this kernel has no min_left");
	ASSERT_EQ(0, ret);
	io_uring_buf_ring_init(self->pool.ring);
	msg_pool_add(&self->pool, 0);
	msg_pool_add(&self->pool, 1);
	get_multishot(&self->ring, self->receiver.id, 7);
	ASSERT_TRUE(wait_nothing(&self->ring));
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id,
						i));
		ASSERT_EQ(IPC_NUM, wait_for_cqe(&self->ring, 7, &cqe))
			TH_LOG("message %d", i);
		EXPECT_EQ(i / 2, cqe.flags >> IORING_CQE_BUFFER_SHIFT);
		EXPECT_EQ(i % 2 == 0, !!(cqe.flags & IORING_CQE_F_BUF_MORE))
			TH_LOG("message %d", i);
	}
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id, i));
	EXPECT_EQ(-ENOBUFS, wait_for_cqe(&self->ring, 7, &cqe));
}

/* The last message would have no completion. */
TEST_F_TIMEOUT(multishot, skipped_completions_are_refused, IPC_TIMEOUT)
{
	struct io_uring_sqe *sqe;

	ASSERT_EQ(0, msg_pool_open(&self->pool, &self->ring, BUFS, SIZE, 0));
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id, 5));
	get_multishot(&self->ring, self->receiver.id, 7)->flags |=
		IOSQE_CQE_SKIP_SUCCESS;
	EXPECT_EQ(-EINVAL, wait_for(&self->ring, 7));
	get_multishot(&self->ring, self->receiver.id, 8)->flags |=
		IOSQE_CQE_SKIP_SUCCESS | IOSQE_ASYNC;
	EXPECT_EQ(-EINVAL, wait_for(&self->ring, 8));
	/*
	 * A single receive may skip its completion: the next request tells of
	 * it.
	 */
	sqe = get_select(&self->ring, self->receiver.id, 0, 0, 9);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS | IOSQE_IO_LINK;
	sqe = wait_get_sqe(&self->ring);
	io_uring_prep_nop(sqe);
	io_uring_sqe_set_data64(sqe, 10);
	EXPECT_EQ(0, wait_for(&self->ring, 10));
	EXPECT_EQ(5, *(__u64 *)msg_pool_buf(&self->pool, 0));
	EXPECT_EQ(-EAGAIN, wait_recv(&self->ring, self->receiver.id));
}

enum { BACKLOG = 200 };

/*
 * How many completions come before that of a read, when a multishot receive was
 * woken first and finds many messages: from a socket if its descriptor is not
 * negative, otherwise from a channel.
 */
static int completions_before_a_read(struct __test_metadata *_metadata,
				     FIXTURE_DATA(multishot) *self,
				     int from, int to)
{
	struct io_uring_cqe *cqe;
	struct io_uring_sqe *sqe;
	struct ipc_sub receiver, sender;
	unsigned int head;
	struct io_uring ring;
	int i, ready[2], before = 0;
	char bytes[8] = "message";
	__u32 channel;
	char byte;

	/* The second request submits all, so that none runs in between. */
	EXPECT_EQ(0, pipe(ready));
	EXPECT_EQ(0, io_uring_queue_init(256, &ring, 0));
	EXPECT_EQ(0, ipc_create(&ring, 0, 256, SIZE, &channel));
	EXPECT_EQ(0, ipc_attach(&ring, channel, IOIPC_SUB_SEND, &sender));
	EXPECT_EQ(0, ipc_attach(&self->ring, channel, IOIPC_SUB_RECV,
				&receiver));
	sqe = get_multishot(&self->ring, receiver.id, 7);
	if (from >= 0) {
		io_uring_prep_recv_multishot(sqe, from, NULL, 0, 0);
		sqe->flags |= IOSQE_BUFFER_SELECT;
		sqe->buf_group = MSG_GROUP;
	}
	sqe = wait_get_sqe(&self->ring);
	io_uring_prep_read(sqe, ready[0], &byte, 1, 0);
	io_uring_sqe_set_data64(sqe, 8);
	EXPECT_TRUE(wait_nothing(&self->ring));

	for (i = 0; i < BACKLOG; i++) {
		sqe = io_uring_get_sqe(&ring);
		if (to >= 0)
			io_uring_prep_send(sqe, to, bytes, sizeof(bytes), 0);
		else
			io_uring_prep_ipc_send(sqe, sender.id, bytes,
					       sizeof(bytes), 0, 0);
	}
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_write(sqe, ready[1], "r", 1, 0);
	EXPECT_EQ(BACKLOG + 1, io_uring_submit(&ring));
	EXPECT_TRUE(wait_complete(&self->ring, BACKLOG + 1));
	io_uring_for_each_cqe(&self->ring, head, cqe) {
		if (cqe->user_data == 8)
			break;
		EXPECT_EQ(sizeof(bytes), cqe->res);
		before++;
	}
	wait_forget(&self->ring);
	EXPECT_EQ(0, wait_cancel(&self->ring, 7, 0));
	EXPECT_EQ(-ECANCELED, wait_for(&self->ring, 7));
	for (i = 0; i < BACKLOG; i++)
		msg_pool_add(&self->pool, i);
	io_uring_queue_exit(&ring);
	close(ready[0]);
	close(ready[1]);
	return before;
}

/* No more completions of one request come first than with a socket. */
TEST_F_TIMEOUT(multishot, others_get_their_turn_as_with_a_socket, IPC_TIMEOUT)
{
	int socket[2], before, beside_a_socket;

	/* An SQPOLL thread would start before the read is ready. */
	if (variant->setup & IORING_SETUP_SQPOLL)
		return;
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET, 0, socket));
	ASSERT_EQ(0, msg_pool_open(&self->pool, &self->ring, 256, SIZE, 0));
	beside_a_socket = completions_before_a_read(_metadata, self, socket[0],
						    socket[1]);
	before = completions_before_a_read(_metadata, self, -1, -1);
	TH_LOG("%d completions first, %d of a socket", before, beside_a_socket);
	EXPECT_LE(before, beside_a_socket);
	close(socket[0]);
	close(socket[1]);
}

/* The program does not look at the completions for a while. */
TEST_F_TIMEOUT(multishot, full_completion_queue, IPC_TIMEOUT)
{
	enum { MESSAGES = 100 };
	struct io_uring_params params = {
		.flags = variant->setup | IORING_SETUP_CQSIZE,
		.cq_entries = 4,
		.sq_thread_idle = 1,
	};
	struct io_uring_cqe cqe;
	int i, ended = 0, round;
	struct io_uring ring;
	struct msg_pool pool;
	struct ipc_sub sub;

	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring,
						 self->receiver.id));
	ASSERT_EQ(0, io_uring_queue_init_params(4, &ring, &params));
	ASSERT_EQ(0, ipc_attach(&ring, self->channel, IOIPC_SUB_RECV, &sub));
	ASSERT_EQ(0, msg_pool_open(&pool, &ring, 128, SIZE, 0));
	for (round = 0; round < 4; round++) {
		/* Messages are sent before the request, or while it waits. */
		if (round % 2) {
			get_multishot(&ring, sub.id, 7);
			io_uring_submit(&ring);
			ipc_nap(WAIT_NOTHING);
		}
		for (i = 0; i < MESSAGES; i++) {
			ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other,
							self->sender.id, i));
		}
		if (!(round % 2)) {
			get_multishot(&ring, sub.id, 7);
			io_uring_submit(&ring);
		}
		io_uring_get_events(&ring);
		ipc_nap(10 * WAIT_NOTHING);
		for (i = 0; i < MESSAGES; i++) {
			ASSERT_EQ(IPC_NUM, wait_for_cqe(&ring, 7, &cqe))
				TH_LOG("round %d, message %d", round, i);
			ASSERT_EQ(i, take(&pool, &cqe, true))
				TH_LOG("round %d", round);
			if (!(cqe.flags & IORING_CQE_F_MORE)) {
				ended++;
				get_multishot(&ring, sub.id, 7);
				io_uring_submit(&ring);
			}
		}
		EXPECT_TRUE(wait_nothing(&ring));
		EXPECT_EQ(0, wait_cancel(&ring, 7, 0));
		EXPECT_EQ(-ECANCELED, wait_for_cqe(&ring, 7, &cqe));
		EXPECT_EQ(0, cqe.flags);
	}
	TH_LOG("ended %d times", ended);
	io_uring_queue_exit(&ring);
}

TEST_F_TIMEOUT(multishot, cancel, IPC_TIMEOUT)
{
	struct io_uring_cqe cqe;
	int i;

	ASSERT_EQ(0, msg_pool_open(&self->pool, &self->ring, BUFS, SIZE, 0));
	for (i = 0; i < 20; i++) {
		get_multishot(&self->ring, self->receiver.id, 7);
		ASSERT_TRUE(wait_nothing(&self->ring));
		if (i % 2) {
			ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other,
							self->sender.id, i));
			ASSERT_EQ(IPC_NUM, wait_for_cqe(&self->ring, 7, &cqe));
			ASSERT_TRUE(cqe.flags & IORING_CQE_F_MORE);
			ASSERT_EQ(i, take(&self->pool, &cqe, true));
		}
		ASSERT_EQ(0, wait_cancel(&self->ring, 7, 0));
		ASSERT_EQ(-ECANCELED, wait_for_cqe(&self->ring, 7, &cqe));
		EXPECT_EQ(0, cqe.flags);
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id,
						50));
		EXPECT_TRUE(wait_nothing(&self->ring));
		EXPECT_EQ(50, wait_recv(&self->ring, self->receiver.id));
	}
}

TEST_F_TIMEOUT(multishot, link_timeout, IPC_TIMEOUT)
{
	struct __kernel_timespec brief = { .tv_nsec = 20000000 };
	struct io_uring_cqe cqe;

	ASSERT_EQ(0, msg_pool_open(&self->pool, &self->ring, BUFS, SIZE, 0));
	get_multishot(&self->ring, self->receiver.id, 7)->flags |=
		IOSQE_IO_LINK;
	io_uring_prep_link_timeout(wait_get_sqe(&self->ring), &brief, 0);
	EXPECT_EQ(-ECANCELED, wait_for_cqe(&self->ring, 7, &cqe));
	EXPECT_EQ(0, cqe.flags);
	EXPECT_EQ(-ETIME, wait_for(&self->ring, 0));
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id, 2));
	EXPECT_EQ(2, wait_recv(&self->ring, self->receiver.id));
}

TEST_F_TIMEOUT(multishot, ends_with_the_subscriber, IPC_TIMEOUT)
{
	struct io_uring_cqe cqe;

	ASSERT_EQ(0, msg_pool_open(&self->pool, &self->ring, BUFS, SIZE, 0));
	get_multishot(&self->ring, self->receiver.id, 7);
	ASSERT_TRUE(wait_nothing(&self->ring));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring,
						 self->receiver.id));
	EXPECT_EQ(-ENOENT, wait_for_cqe(&self->ring, 7, &cqe));
	EXPECT_EQ(0, cqe.flags);
}

TEST_F_TIMEOUT(multishot, ends_with_the_channel, IPC_TIMEOUT)
{
	struct io_uring_cqe cqe;
	int i;

	ASSERT_EQ(0, msg_pool_open(&self->pool, &self->ring, BUFS, SIZE, 0));
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id,
						i));
	}
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->other, self->channel));
	get_multishot(&self->ring, self->receiver.id, 7);
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(IPC_NUM, wait_for_cqe(&self->ring, 7, &cqe));
		ASSERT_EQ(i, take(&self->pool, &cqe, true));
	}
	EXPECT_EQ(-EPIPE, wait_for_cqe(&self->ring, 7, &cqe));
	EXPECT_EQ(0, cqe.flags);
}

TEST_F_TIMEOUT(multishot, ends_with_the_channel_while_waiting, IPC_TIMEOUT)
{
	struct io_uring_cqe cqe;

	ASSERT_EQ(0, msg_pool_open(&self->pool, &self->ring, BUFS, SIZE, 0));
	get_multishot(&self->ring, self->receiver.id, 7);
	ASSERT_TRUE(wait_nothing(&self->ring));
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->other, self->channel));
	EXPECT_EQ(-EPIPE, wait_for_cqe(&self->ring, 7, &cqe));
	EXPECT_EQ(0, cqe.flags);
}

TEST_F_TIMEOUT(multishot, exit_while_waiting, IPC_TIMEOUT)
{
	ASSERT_EQ(0, msg_pool_open(&self->pool, &self->ring, BUFS, SIZE, 0));
	get_multishot(&self->ring, self->receiver.id, 7);
	get_multishot(&self->ring, self->receiver.id, 8);
	ASSERT_TRUE(wait_nothing(&self->ring));
	io_uring_queue_exit(&self->ring);
	ASSERT_EQ(0, ipc_open(&self->ring));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_RECV,
				&self->receiver));
	ASSERT_EQ(IPC_NUM, wait_send_wait(&self->other, self->sender.id, 5));
	EXPECT_EQ(5, wait_recv_wait(&self->ring, self->receiver.id));
}

/* Two receives share the messages of a queue, and each message arrives once. */
TEST_F_TIMEOUT(multishot, two_at_a_time, IPC_TIMEOUT)
{
	enum { MESSAGES = 200 };
	bool all = variant->flags & IOIPC_F_BROADCAST;
	unsigned char seen[MESSAGES] = {};
	struct io_uring_cqe cqe;
	struct ipc_sub second;
	int i, j;

	ASSERT_EQ(0, msg_pool_open(&self->pool, &self->ring, 64, SIZE, 0));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_RECV,
				&second));
	get_multishot(&self->ring, self->receiver.id, 7);
	get_multishot(&self->ring, second.id, 8);
	ASSERT_TRUE(wait_nothing(&self->ring));
	for (i = 0; i < MESSAGES; i += 20) {
		for (j = 0; j < 20; j++) {
			ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other,
							self->sender.id,
							i + j));
		}
		for (j = 0; j < (all ? 40 : 20); j++) {
			long long num;

			ASSERT_EQ(0, wait_next(&self->ring, &cqe,
					       WAIT_DEADLINE))
				TH_LOG("after %d messages", i + j);
			ASSERT_TRUE(cqe.flags & IORING_CQE_F_MORE);
			num = take(&self->pool, &cqe, true);
			ASSERT_LE(0, num);
			ASSERT_GT(MESSAGES, num);
			seen[num]++;
		}
		EXPECT_EQ(0, wait_completed(&self->ring));
	}
	for (i = 0; i < MESSAGES; i++) {
		EXPECT_EQ(all ? 2 : 1, seen[i]);
	}
}

/* Buffers that requests provide, without a ring. */
TEST_F_TIMEOUT(multishot, legacy_buffers, IPC_TIMEOUT)
{
	char *mem = calloc(8, SIZE);
	struct io_uring_sqe *sqe;
	struct io_uring_cqe cqe;
	bool seen[8] = {};
	int i, id;

	ASSERT_NE(NULL, mem);
	self->pool = (struct msg_pool) { .count = 8, .size = SIZE, .mem = mem };
	sqe = wait_get_sqe(&self->ring);
	io_uring_prep_provide_buffers(sqe, mem, SIZE, 8, MSG_GROUP, 0);
	io_uring_sqe_set_data64(sqe, 5);
	ASSERT_LE(0, wait_for(&self->ring, 5));
	/* One at a time. */
	for (i = 0; i < 4; i++) {
		get_select(&self->ring, self->receiver.id, 0, IOIPC_RECV_WAIT,
			   6);
		ASSERT_TRUE(wait_nothing(&self->ring));
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id,
						i));
		ASSERT_EQ(IPC_NUM, wait_for_cqe(&self->ring, 6, &cqe));
		id = cqe.flags >> IORING_CQE_BUFFER_SHIFT;
		ASSERT_GT(8, id);
		ASSERT_FALSE(seen[id]);
		seen[id] = true;
		ASSERT_EQ(i, take(&self->pool, &cqe, false));
	}
	/* Then the other four with one request. */
	get_multishot(&self->ring, self->receiver.id, 7);
	ASSERT_TRUE(wait_nothing(&self->ring));
	for (; i < 8; i++) {
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id,
						i));
		ASSERT_EQ(IPC_NUM, wait_for_cqe(&self->ring, 7, &cqe))
			TH_LOG("message %d", i);
		id = cqe.flags >> IORING_CQE_BUFFER_SHIFT;
		ASSERT_GT(8, id);
		ASSERT_FALSE(seen[id]);
		seen[id] = true;
		ASSERT_EQ(i, take(&self->pool, &cqe, false));
	}
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id, 9));
	ASSERT_EQ(-ENOBUFS, wait_for_cqe(&self->ring, 7, &cqe));
	EXPECT_EQ(9, wait_recv(&self->ring, self->receiver.id));
}

/* Sets MULTISHOT or WAIT, or both. */
TEST_F_TIMEOUT(multishot, flags, IPC_TIMEOUT)
{
	struct io_uring_cqe cqe;
	int i;

	ASSERT_EQ(0, msg_pool_open(&self->pool, &self->ring, BUFS, SIZE, 0));
	get_select(&self->ring, self->receiver.id, 0,
		   IOIPC_RECV_MULTISHOT | IOIPC_RECV_WAIT, 7);
	ASSERT_TRUE(wait_nothing(&self->ring));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id,
						i));
		ASSERT_EQ(IPC_NUM, wait_for_cqe(&self->ring, 7, &cqe));
		ASSERT_TRUE(cqe.flags & IORING_CQE_F_MORE);
	}
	/* Invalid combinations. */
	wait_get_recv(&self->ring, self->receiver.id, (void *)8, 1)->rw_flags =
		IOIPC_RECV_MULTISHOT;
	EXPECT_EQ(-EINVAL, wait_for(&self->ring, 1));
	get_multishot(&self->ring, self->receiver.id, 2)->addr = 8;
	EXPECT_EQ(-EINVAL, wait_for(&self->ring, 2));
	get_select(&self->ring, self->receiver.id, 0, 0, 3)->addr = 8;
	EXPECT_EQ(-EINVAL, wait_for(&self->ring, 3));
	get_multishot(&self->ring, self->receiver.id, 4)->opcode =
		IOIPC_OP_SEND;
	EXPECT_EQ(-EOPNOTSUPP, wait_for(&self->ring, 4));
	get_select(&self->ring, self->receiver.id, 0, 4, 5);
	EXPECT_EQ(-EINVAL, wait_for(&self->ring, 5));
	get_multishot(&self->ring, self->receiver.id, 6)->file_index =
		self->receiver.id;
	EXPECT_EQ(-EINVAL, wait_for(&self->ring, 6));
	get_multishot(&self->ring, 0, 8);
	EXPECT_EQ(-ENOENT, wait_for(&self->ring, 8));
}

IPC_HARNESS_MAIN
