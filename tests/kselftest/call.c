// SPDX-License-Identifier: GPL-2.0
/*
 * IOIPC_SEND_CALL, IOIPC_SEND_REPLY, IOIPC_SEND_RECV: calls and their answers.
 */
#include <pthread.h>
#include "fixture.h"
#include "waiting.h"

/* Slots of the ring. */
#define SLOTS		64
#define MSG_SIZE	256
/* Clients of one service. */
#define CLIENTS		1000

/* A message as a service receives it. */
struct received {
	struct io_uring_ipc_msg_info	info;
	__u64				num;
};

FIXTURE(call) {
	/* The owner of the channel. */
	struct io_uring owner;
	__u32 channel;
	/* Two services: the second one has its own ring, too. */
	struct io_uring servers, others;
	struct ipc_sub server, other;
	/* The client. */
	struct io_uring ring;
	struct ipc_sub own;
	/* Target of calls to the first service. */
	__u32 target;
};

FIXTURE_VARIANT(call) {
	__u32 flags;
	unsigned int setup;
	/* Flags of the SQE. */
	unsigned int sqe_flags;
	/* Calls have no target. */
	bool for_any;
};

FIXTURE_VARIANT_ADD(call, unicast) {
	.for_any = true,
};

FIXTURE_VARIANT_ADD(call, unicast_target) {
};

FIXTURE_VARIANT_ADD(call, multicast) {
	.flags = IOIPC_F_MULTICAST, .for_any = true,
};

FIXTURE_VARIANT_ADD(call, multicast_target) {
	.flags = IOIPC_F_MULTICAST,
};

FIXTURE_VARIANT_ADD(call, broadcast_target) {
	.flags = IOIPC_F_BROADCAST,
};

FIXTURE_VARIANT_ADD(call, private) {
	.flags = IOIPC_F_PRIVATE, .for_any = true,
};

FIXTURE_VARIANT_ADD(call, defer_taskrun) {
	.setup = WAIT_DEFER, .for_any = true,
};

FIXTURE_VARIANT_ADD(call, coop_taskrun) {
	.setup = IORING_SETUP_COOP_TASKRUN, .for_any = true,
};

FIXTURE_VARIANT_ADD(call, sqpoll) {
	.setup = IORING_SETUP_SQPOLL, .for_any = true,
};

FIXTURE_VARIANT_ADD(call, async) {
	.sqe_flags = IOSQE_ASYNC, .for_any = true,
};

FIXTURE_SETUP(call)
{
	struct io_uring_params params = {
		.flags = variant->setup, .sq_thread_idle = 1,
	};

	ASSERT_EQ(0, io_uring_queue_init(64, &self->owner, 0));
	ASSERT_EQ(0, io_uring_queue_init(64, &self->servers, 0));
	ASSERT_EQ(0, io_uring_queue_init(64, &self->others, 0));
	ASSERT_EQ(0, io_uring_queue_init_params(64, &self->ring, &params));
	ASSERT_EQ(0, ipc_create(&self->owner, variant->flags, SLOTS, MSG_SIZE,
				&self->channel));
	ASSERT_EQ(0, ipc_attach(&self->servers, self->channel, IOIPC_SUB_RECV,
				&self->server));
	ASSERT_EQ(0, ipc_attach(&self->others, self->channel, IOIPC_SUB_BOTH,
				&self->other));
	/* It has to be able to receive for IOIPC_SEND_RECV, not for a call. */
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_SEND,
				&self->own));
	self->target = variant->for_any ? 0 : self->server.id;
}

FIXTURE_TEARDOWN(call)
{
	io_uring_queue_exit(&self->ring);
	io_uring_queue_exit(&self->others);
	io_uring_queue_exit(&self->servers);
	io_uring_queue_exit(&self->owner);
}

/* Memory for the struct of a request, which stays until it is submitted. */
static struct io_uring_ipc_exchange *
exchange(void *buf, __u32 len, __u32 flags, __u32 call)
{
	static struct io_uring_ipc_exchange memory[1024];
	static unsigned int used;
	struct io_uring_ipc_exchange *one = &memory[used++ % 1024];

	*one = (struct io_uring_ipc_exchange) {
		.addr = (uintptr_t)buf, .len = len, .flags = flags, .call = call,
	};
	return one;
}

/* Prepares a call that sends a number and gets one. */
static struct io_uring_sqe *get_call(struct io_uring *ring, __u32 id,
				     __u32 target, const __u64 *num,
				     __u64 *answer, __u64 data)
{
	struct io_uring_sqe *sqe = wait_get_sqe(ring);

	io_uring_prep_ipc_call(sqe, id, num, sizeof(*num), target,
			       exchange(answer, sizeof(*answer), 0, 0), 0);
	io_uring_sqe_set_data64(sqe, data);
	return sqe;
}

/* A call that was sent, and waits for the answer. */
#define CALL(num, answer, data) do {					\
	long __calls = ipc_fdinfo(self->own.fd, "ioipc-calls");		\
									\
	get_call(&self->ring, self->own.id, self->target, num, answer,	\
		 data)->flags |= variant->sqe_flags;			\
	ASSERT_TRUE(ipc_poll(({						\
		wait_completed(&self->ring);				\
		ipc_fdinfo(self->own.fd, "ioipc-calls") == __calls + 1;	\
	})));								\
} while (0)

/* Receives a call. */
static int take(struct io_uring *ring, __u32 id, struct received *received)
{
	__u64 data = wait_new_data();
	struct io_uring_sqe *sqe = wait_get_sqe(ring);
	static struct received got;
	int ret;

	memset(&got, 0, sizeof(got));
	io_uring_prep_ipc_recv(sqe, id, &got, sizeof(got),
			       IOIPC_RECV_INFO | IOIPC_RECV_WAIT);
	io_uring_sqe_set_data64(sqe, data);
	ret = wait_for(ring, data);
	*received = got;
	return ret;
}

static int answer_with(struct io_uring *ring, __u32 id, __u32 call,
		       const void *buf, unsigned int len)
{
	__u64 data = wait_new_data();
	struct io_uring_sqe *sqe = wait_get_sqe(ring);

	io_uring_prep_ipc_reply(sqe, id, buf, len, exchange(NULL, 0, 0, call));
	io_uring_sqe_set_data64(sqe, data);
	return wait_for(ring, data);
}

static int answer(struct io_uring *ring, __u32 id, __u32 call, __u64 num)
{
	return answer_with(ring, id, call, &num, sizeof(num));
}

#define TAKE(to) do {							\
	ASSERT_EQ(sizeof(struct received),				\
		  take(&self->servers, self->server.id, to));		\
	ASSERT_TRUE((to)->info.flags & IOIPC_INFO_CALL);		\
} while (0)

#define ANSWER(call, num)						\
	answer(&self->servers, self->server.id, call, num)

#define LATE()	ipc_fdinfo(self->own.fd, "ioipc-late")

/* ---- Answers ---- */

TEST_F_TIMEOUT(call, answered, IPC_TIMEOUT)
{
	static __u64 num, got;
	struct received received;

	for (num = 1; num <= 3 * SLOTS; num++) {
		got = 0;
		CALL(&num, &got, 5);
		TAKE(&received);
		EXPECT_EQ(num, received.num);
		EXPECT_EQ(5, received.info.sender_data);
		EXPECT_EQ(self->own.id, received.info.sender);
		EXPECT_EQ(self->target ? IOIPC_INFO_TARGETED : 0,
			  received.info.flags & ~IOIPC_INFO_CALL);
		EXPECT_EQ(0, wait_completed(&self->ring));
		EXPECT_EQ(IPC_NUM, ANSWER(received.info.msg_id, num + 100));
		EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 5));
		EXPECT_EQ(num + 100, got);
	}
	EXPECT_EQ(3 * SLOTS, ipc_fdinfo(self->own.fd, "ioipc-calls"));
	EXPECT_EQ(3 * SLOTS, ipc_fdinfo(self->own.fd, "ioipc-sent"));
	EXPECT_EQ(0, LATE());
}

/* Answers in another order than that of the calls, to calls of several requests. */
TEST_F_TIMEOUT(call, answered_in_any_order, IPC_TIMEOUT)
{
	static __u64 num[SLOTS], got[SLOTS];
	struct received received[SLOTS];
	int i;

	for (i = 0; i < SLOTS; i++) {
		num[i] = 1000 + i;
		CALL(&num[i], &got[i], i);
	}
	for (i = 0; i < SLOTS; i++)
		TAKE(&received[i]);
	for (i = SLOTS - 1; i >= 0; i--) {
		int which = (i * 37 + 11) % SLOTS;

		ASSERT_EQ(IPC_NUM, ANSWER(received[which].info.msg_id,
					  received[which].num + 1));
	}
	for (i = 0; i < SLOTS; i++) {
		EXPECT_EQ(IPC_NUM, wait_for(&self->ring, i));
		EXPECT_EQ(num[i] + 1, got[i]);
	}
}

/* A plain message, and a receive without info, which takes a call like any other. */
TEST_F_TIMEOUT(call, beside_plain_messages, IPC_TIMEOUT)
{
	static __u64 num = 3, got;
	struct received received;

	CALL(&num, &got, 1);
	ASSERT_EQ(IPC_NUM, wait_send_to(&self->ring, self->own.id, 7, self->target));
	TAKE(&received);
	EXPECT_EQ(3, received.num);
	ASSERT_EQ(IPC_NUM, ANSWER(received.info.msg_id, 4));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 1));
	EXPECT_EQ(4, got);
	ASSERT_EQ(sizeof(received), take(&self->servers, self->server.id, &received));
	EXPECT_EQ(7, received.num);
	EXPECT_EQ(0, received.info.flags & IOIPC_INFO_CALL);
	/* A message is no call. */
	EXPECT_EQ(-ENOENT, ANSWER(received.info.msg_id, 5));

	CALL(&num, &got, 1);
	ASSERT_EQ(3, wait_recv(&self->servers, self->server.id));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->servers, self->server.id));
	EXPECT_EQ(-EPIPE, wait_for(&self->ring, 1));
}

/* What the caller learns, and answers of all lengths. */
TEST_F_TIMEOUT(call, info_and_truncation, IPC_TIMEOUT)
{
	static char answers[MSG_SIZE], buf[400];
	static __u64 num = 3;
	struct io_uring_ipc_msg_info *info = (void *)buf;
	const __u32 room = sizeof(*info) + 100;
	struct received received;
	__u32 len, flags, kind;

	ipc_fill(answers, sizeof(answers), 1);
	for (kind = 0; kind < 4; kind++) {
		flags = (kind & 1 ? IOIPC_RECV_INFO : 0) |
			(kind & 2 ? IOIPC_RECV_TRUNC : 0);
		for (len = 0; len <= MSG_SIZE; len += 50) {
			struct io_uring_sqe *sqe = wait_get_sqe(&self->ring);
			__u32 prefix = kind & 1 ? sizeof(*info) : 0;
			__u32 stored = len > room - prefix ? room - prefix : len;

			memset(buf, 0x55, sizeof(buf));
			io_uring_prep_ipc_call(sqe, self->own.id, &num,
					       sizeof(num), self->target,
					       exchange(buf, room, flags, 0), 0);
			sqe->flags |= variant->sqe_flags;
			io_uring_sqe_set_data64(sqe, 1);
			wait_completed(&self->ring);
			TAKE(&received);
			ASSERT_EQ(len, answer_with(&self->servers, self->server.id,
						   received.info.msg_id, answers,
						   len));
			EXPECT_EQ(prefix + (kind & 2 ? len : stored),
				  wait_for(&self->ring, 1));
			EXPECT_TRUE(ipc_filled(buf + prefix, stored, 1));
			EXPECT_EQ(0x55, buf[prefix + stored]);
			if (!prefix)
				continue;
			EXPECT_EQ(len, info->len);
			EXPECT_EQ(received.info.msg_id, info->msg_id);
			EXPECT_EQ(self->server.id, info->sender);
			EXPECT_LT(1ULL << 32, info->sender_data);
			EXPECT_EQ(getpid(), info->pid);
			EXPECT_EQ(geteuid(), info->uid);
			EXPECT_EQ(getegid(), info->gid);
			EXPECT_EQ(stored < len ? IOIPC_INFO_TRUNCATED : 0,
				  info->flags);
			EXPECT_EQ(0, info->fds);
			EXPECT_EQ(0, info->lost);
		}
	}
	/* Too long for the channel: the call can still be answered. */
	CALL(&num, NULL, 1);
	TAKE(&received);
	EXPECT_EQ(-EMSGSIZE, answer_with(&self->servers, self->server.id,
					 received.info.msg_id, answers,
					 MSG_SIZE + 1));
	EXPECT_EQ(-EFAULT, answer_with(&self->servers, self->server.id,
				       received.info.msg_id, (void *)8, 8));
	EXPECT_EQ(-EFAULT, answer_with(&self->servers, self->server.id,
				       received.info.msg_id,
				       (void *)0xffff888000000000, 8));
	EXPECT_EQ(0, answer_with(&self->servers, self->server.id,
				 received.info.msg_id, NULL, 0));
	EXPECT_EQ(0, wait_for(&self->ring, 1));
	/* The answer cannot be stored. */
	CALL(&num, (void *)8, 1);
	TAKE(&received);
	EXPECT_EQ(IPC_NUM, ANSWER(received.info.msg_id, 1));
	EXPECT_EQ(-EFAULT, wait_for(&self->ring, 1));
}

/* Pages that are not there yet, on both sides. */
TEST_F_TIMEOUT(call, fresh_pages, IPC_TIMEOUT)
{
	char *from = ipc_pages(2), *to = ipc_pages(2);
	static __u64 num = 3;
	struct received received;

	ASSERT_NE(NULL, from);
	ASSERT_NE(NULL, to);
	CALL(&num, (void *)(to + 4092), 1);
	TAKE(&received);
	EXPECT_EQ(IPC_NUM, answer_with(&self->servers, self->server.id,
				       received.info.msg_id, from + 4092, 8));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 1));
}

/* Registered buffers are for the outgoing part. */
TEST_F_TIMEOUT(call, fixed_buffers, IPC_TIMEOUT)
{
	static __u64 num[4] = { 1, 2, 3, 4 }, got[4];
	struct iovec iov = { num, sizeof(num) };
	struct io_uring_sqe *sqe;
	struct received received;

	ASSERT_EQ(0, io_uring_register_buffers(&self->ring, &iov, 1));
	ASSERT_EQ(0, io_uring_register_buffers(&self->servers, &iov, 1));
	get_call(&self->ring, self->own.id, self->target, &num[1], got, 1)
		->rw_flags |= IOIPC_FIXED_BUF;
	wait_completed(&self->ring);
	TAKE(&received);
	EXPECT_EQ(2, received.num);
	sqe = wait_get_sqe(&self->servers);
	io_uring_prep_ipc_reply(sqe, self->server.id, &num[2], 16,
				exchange(NULL, 0, 0, received.info.msg_id));
	sqe->rw_flags |= IOIPC_FIXED_BUF;
	io_uring_sqe_set_data64(sqe, 2);
	EXPECT_EQ(16, wait_for(&self->servers, 2));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 1));
	EXPECT_EQ(3, got[0]);
	/* Not inside of the buffer. */
	get_call(&self->ring, self->own.id, self->target, got, got, 1)
		->rw_flags |= IOIPC_FIXED_BUF;
	EXPECT_EQ(-EFAULT, wait_for(&self->ring, 1));
}

/* ---- An answer and the next call in one request ---- */

TEST_F_TIMEOUT(call, answer_and_receive, IPC_TIMEOUT)
{
	static struct received received;
	static __u64 num, got, out;
	struct io_uring_sqe *sqe;

	num = 1;
	CALL(&num, &got, 1);
	TAKE(&received);
	for (; num < 3 * SLOTS; num++) {
		out = received.num + 500;
		sqe = wait_get_sqe(&self->servers);
		io_uring_prep_ipc_reply_recv(sqe, self->server.id, &out, 8,
					     exchange(&received, sizeof(received),
						      IOIPC_RECV_INFO,
						      received.info.msg_id));
		io_uring_sqe_set_data64(sqe, 2);
		io_uring_submit(&self->servers);
		EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 1));
		EXPECT_EQ(num + 500, got);
		EXPECT_EQ(0, wait_completed(&self->servers));
		/* Every third call is there before the server is. */
		if (num % 3 == 0)
			ASSERT_TRUE(wait_nothing(&self->servers));
		num++;
		CALL(&num, &got, 1);
		num--;
		EXPECT_EQ(sizeof(received), wait_for(&self->servers, 2));
		EXPECT_EQ(num + 1, received.num);
	}
	/* The receive is one: it can be canceled, and ends with its subscriber. */
	ASSERT_EQ(IPC_NUM, ANSWER(received.info.msg_id, 1));
	ASSERT_EQ(IPC_NUM, wait_for(&self->ring, 1));
	for (num = 0; num < 3; num++) {
		sqe = wait_get_sqe(&self->servers);
		/* The call was answered: that does not matter here. */
		io_uring_prep_ipc_reply_recv(sqe, self->server.id, &out, 8,
					     exchange(&received, sizeof(received),
						      IOIPC_RECV_INFO,
						      received.info.msg_id));
		io_uring_sqe_set_data64(sqe, 2);
		ASSERT_TRUE(wait_nothing(&self->servers));
		switch (num) {
		case 0:
			sqe = wait_get_sqe(&self->servers);
			io_uring_prep_cancel64(sqe, 2, 0);
			io_uring_sqe_set_data64(sqe, 3);
			EXPECT_EQ(0, wait_for(&self->servers, 3));
			EXPECT_EQ(-ECANCELED, wait_for(&self->servers, 2));
			break;
		case 1:
			ASSERT_EQ(IPC_NUM, wait_send_to(&self->ring, self->own.id,
							77, self->target));
			EXPECT_EQ(sizeof(received), wait_for(&self->servers, 2));
			EXPECT_EQ(77, received.num);
			received.info.msg_id--;
			break;
		case 2:
			ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->owner,
								 self->server.id));
			EXPECT_EQ(-ENOENT, wait_for(&self->servers, 2));
			break;
		}
	}
	EXPECT_EQ(3, LATE());
}

/* A plain message, and then a receive. */
TEST_F_TIMEOUT(call, send_and_receive, IPC_TIMEOUT)
{
	static __u64 num = 5, got;
	struct io_uring_sqe *sqe;

	if (variant->for_any)
		SKIP(return, "the subscriber could get its own message");
	sqe = wait_get_sqe(&self->others);
	io_uring_prep_ipc_send_recv(sqe, self->other.id, &num, 8, self->server.id,
				    exchange(&got, sizeof(got), 0, 0), 0);
	io_uring_sqe_set_data64(sqe, 1);
	ASSERT_TRUE(wait_nothing(&self->others));
	EXPECT_EQ(5, wait_recv(&self->servers, self->server.id));
	ASSERT_EQ(IPC_NUM, wait_send_to(&self->ring, self->own.id, 6,
					self->other.id));
	EXPECT_EQ(IPC_NUM, wait_for(&self->others, 1));
	EXPECT_EQ(6, got);
	/* The client cannot receive, and the service cannot send: nothing is sent. */
	for (int i = 0; i < 2; i++) {
		struct io_uring *ring = i ? &self->servers : &self->ring;

		sqe = wait_get_sqe(ring);
		io_uring_prep_ipc_send_recv(sqe, i ? self->server.id : self->own.id,
					    &num, 8, self->server.id,
					    exchange(&got, sizeof(got), 0, 0), 0);
		io_uring_sqe_set_data64(sqe, 1);
		EXPECT_EQ(-EACCES, wait_for(ring, 1));
	}
	EXPECT_EQ(-EAGAIN, wait_recv(&self->servers, self->server.id));
}

/* ---- Room ---- */

TEST_F_TIMEOUT(call, room, IPC_TIMEOUT)
{
	static __u64 num = 5, got[2];
	struct received received;
	struct io_uring_sqe *sqe;
	int i;

	for (i = 0; i < SLOTS; i++)
		ASSERT_EQ(IPC_NUM, wait_send_to(&self->ring, self->own.id, i,
						self->target));
	get_call(&self->ring, self->own.id, self->target, &num, got, 1);
	EXPECT_EQ(-ENOBUFS, wait_for(&self->ring, 1));
	sqe = get_call(&self->ring, self->own.id, self->target, &num, got, 2);
	sqe->rw_flags |= IOIPC_SEND_WAIT;
	sqe->flags |= variant->sqe_flags;
	ASSERT_TRUE(wait_nothing(&self->ring));
	EXPECT_EQ(0, ipc_fdinfo(self->own.fd, "ioipc-calls"));
	for (i = 0; i < SLOTS; i++)
		EXPECT_EQ(i, wait_recv(&self->servers, self->server.id));
	ASSERT_TRUE(ipc_poll(({
		wait_completed(&self->ring);
		ipc_fdinfo(self->own.fd, "ioipc-calls") == 1;
	})));
	TAKE(&received);
	EXPECT_EQ(5, received.num);
	/* An answer needs no room. */
	for (i = 0; i < SLOTS; i++)
		ASSERT_EQ(IPC_NUM, wait_send_to(&self->ring, self->own.id, i,
						self->target));
	EXPECT_EQ(IPC_NUM, ANSWER(received.info.msg_id, 6));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 2));
	EXPECT_EQ(6, got[0]);
}

/* ---- Who may answer ---- */

TEST_F_TIMEOUT(call, answered_by_others, IPC_TIMEOUT)
{
	static __u64 num[2] = { 5, 6 }, got[2];
	struct received received[2];
	__u32 id;

	CALL(&num[0], &got[0], 1);
	CALL(&num[1], &got[1], 2);
	TAKE(&received[0]);
	TAKE(&received[1]);
	/* Another subscriber, of the same ring too, and made-up numbers. */
	for (id = received[0].info.msg_id - 3; id != received[1].info.msg_id + 3; id++)
		EXPECT_EQ(-ENOENT, answer(&self->others, self->other.id, id, 9));
	EXPECT_EQ(-ENOENT, answer(&self->ring, self->own.id,
				  received[0].info.msg_id, 9));
	EXPECT_EQ(-ENOENT, answer(&self->others, self->server.id,
				  received[0].info.msg_id, 9));
	EXPECT_EQ(-ENOENT, answer(&self->servers, self->channel,
				  received[0].info.msg_id, 9));
	EXPECT_EQ(-ENOENT, ANSWER(0, 9));
	EXPECT_EQ(-ENOENT, ANSWER(received[0].info.msg_id + (1U << 31), 9));
	EXPECT_EQ(0, wait_completed(&self->ring));
	/* Once. */
	EXPECT_EQ(IPC_NUM, ANSWER(received[0].info.msg_id, 7));
	EXPECT_EQ(-ENOENT, ANSWER(received[0].info.msg_id, 8));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 1));
	EXPECT_EQ(7, got[0]);
	EXPECT_EQ(-ENOENT, ANSWER(received[0].info.msg_id, 8));
	EXPECT_EQ(0, wait_completed(&self->ring));
	EXPECT_EQ(IPC_NUM, ANSWER(received[1].info.msg_id, 8));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 2));
	EXPECT_EQ(8, got[1]);
}

/* Before it is received, nobody has a call without a target. */
TEST_F_TIMEOUT(call, answered_too_early, IPC_TIMEOUT)
{
	static __u64 num = 5, got;
	struct received received;

	/* The first slot: no sender has sent before. */
	CALL(&num, &got, 1);
	EXPECT_EQ(-ENOENT, answer(&self->others, self->other.id, 1, 9));
	if (variant->for_any) {
		EXPECT_EQ(-ENOENT, ANSWER(1, 9));
		TAKE(&received);
		EXPECT_EQ(1, received.info.msg_id);
	}
	EXPECT_EQ(IPC_NUM, ANSWER(1, 9));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 1));
	EXPECT_EQ(9, got);
}

/* ---- What ends a call ---- */

static int cancel(struct io_uring *ring, unsigned int flags, bool sync,
		  __u64 which, int fd)
{
	struct io_uring_sync_cancel_reg reg = {
		.addr = which,
		.fd = flags & IORING_ASYNC_CANCEL_FD ? fd : -1,
		.flags = flags,
		.opcode = flags & IORING_ASYNC_CANCEL_OP ? IOIPC_OP_SEND : 0,
		.timeout = { .tv_sec = WAIT_DEADLINE },
	};
	struct io_uring_sqe *sqe;
	__u64 data;

	if (sync)
		return io_uring_register_sync_cancel(ring, &reg);
	data = wait_new_data();
	sqe = wait_get_sqe(ring);
	io_uring_prep_cancel64(sqe, which, flags);
	sqe->fd = reg.fd;
	sqe->len = reg.opcode;
	io_uring_sqe_set_data64(sqe, data);
	return wait_for(ring, data);
}

TEST_F_TIMEOUT(call, canceled, IPC_TIMEOUT)
{
	static const unsigned int ways[] = {
		0, IORING_ASYNC_CANCEL_FD, IORING_ASYNC_CANCEL_OP,
		IORING_ASYNC_CANCEL_ANY, IORING_ASYNC_CANCEL_ALL,
		IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_FD,
		IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_OP,
	};
	static __u64 num = 5, got;
	struct received received;
	int i, sync, is_late, count, late = 0;
	long waits;

	for (is_late = 0; is_late < 2; is_late++) {
		for (sync = 0; sync < 2; sync++) {
			for (i = 0; i < ARRAY_SIZE(ways); i++) {
				count = !!(ways[i] & (IORING_ASYNC_CANCEL_ALL |
						      IORING_ASYNC_CANCEL_ANY));
				waits = ipc_fdinfo(self->own.fd, "ioipc-waits");
				CALL(&num, &got, 1);
				ASSERT_TRUE(wait_nothing(&self->ring));
				/* A worker may have to park it yet. */
				ASSERT_TRUE(ipc_poll(ipc_fdinfo(self->own.fd,
								"ioipc-waits") ==
						     waits + 1));
				if (is_late)
					TAKE(&received);
				EXPECT_EQ(count, cancel(&self->ring, ways[i], sync,
							1, self->own.fd))
					TH_LOG("flags %#x, %d", ways[i], sync);
				EXPECT_EQ(-ECANCELED, wait_for(&self->ring, 1));
				/* The message stays a message. */
				if (!is_late)
					TAKE(&received);
				EXPECT_EQ(5, received.num);
				EXPECT_EQ(-ENOENT, ANSWER(received.info.msg_id, 9));
				EXPECT_EQ(++late, LATE());
			}
		}
	}
	EXPECT_EQ(0, got);
	EXPECT_EQ(0, wait_completed(&self->ring));
}

TEST_F_TIMEOUT(call, timed_out, IPC_TIMEOUT)
{
	struct __kernel_timespec brief = { .tv_nsec = 10000000 };
	struct __kernel_timespec lengthy = { .tv_sec = 1000 };
	static __u64 num = 5, got;
	struct received received;
	struct io_uring_sqe *sqe;

	get_call(&self->ring, self->own.id, self->target, &num, &got, 1)->flags |=
		IOSQE_IO_LINK;
	sqe = wait_get_sqe(&self->ring);
	io_uring_prep_link_timeout(sqe, &brief, 0);
	io_uring_sqe_set_data64(sqe, 2);
	EXPECT_EQ(-ETIME, wait_for(&self->ring, 2));
	EXPECT_EQ(-ECANCELED, wait_for(&self->ring, 1));
	TAKE(&received);
	EXPECT_EQ(-ENOENT, ANSWER(received.info.msg_id, 9));

	/* With an answer in time, the rest of the chain follows. */
	get_call(&self->ring, self->own.id, self->target, &num, &got, 1)->flags |=
		IOSQE_IO_LINK;
	sqe = wait_get_sqe(&self->ring);
	io_uring_prep_link_timeout(sqe, &lengthy, 0);
	sqe->flags |= IOSQE_IO_LINK;
	io_uring_sqe_set_data64(sqe, 2);
	sqe = get_call(&self->ring, self->own.id, self->target, &num, &got, 3);
	ASSERT_TRUE(wait_nothing(&self->ring));
	TAKE(&received);
	EXPECT_EQ(IPC_NUM, ANSWER(received.info.msg_id, 9));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 1));
	EXPECT_EQ(-ECANCELED, wait_for(&self->ring, 2));
	ASSERT_EQ(sizeof(received), take(&self->servers, self->server.id, &received));
	EXPECT_EQ(IPC_NUM, ANSWER(received.info.msg_id, 10));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 3));
	EXPECT_EQ(10, got);
}

/* The callee: detached, evicted, its ring closed; after it has received calls or not. */
TEST_F_TIMEOUT(call, the_callee_leaves, IPC_TIMEOUT)
{
	enum { COUNT = 50 };
	static __u64 num = 5, got;
	struct received received;
	int how, i, taken;

	for (how = 0; how < 3; how++) {
		for (i = 0; i < COUNT; i++)
			CALL(&num, &got, 100 + i);
		taken = variant->for_any ? COUNT : COUNT / 2;
		for (i = 0; i < taken; i++)
			TAKE(&received);
		switch (how) {
		case 0:
			ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->servers,
								 self->server.id));
			break;
		case 1:
			ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->owner,
								 self->server.id));
			break;
		case 2:
			io_uring_queue_exit(&self->servers);
			ASSERT_EQ(0, io_uring_queue_init(64, &self->servers, 0));
			break;
		}
		for (i = 0; i < COUNT; i++)
			EXPECT_EQ(-EPIPE, wait_for(&self->ring, 100 + i));
		EXPECT_EQ(-ENOENT, ANSWER(received.info.msg_id, 9));
		ASSERT_EQ(0, ipc_attach(&self->servers, self->channel,
					IOIPC_SUB_RECV, &self->server));
		self->target = variant->for_any ? 0 : self->server.id;
		/* Nothing of it is left. */
		CALL(&num, &got, 1);
		TAKE(&received);
		EXPECT_EQ(IPC_NUM, ANSWER(received.info.msg_id, 8));
		EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 1));
	}
	EXPECT_EQ(0, wait_completed(&self->ring));
	/* A target that is gone. */
	if (!variant->for_any) {
		ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->servers,
							 self->server.id));
		get_call(&self->ring, self->own.id, self->target, &num, &got, 1);
		EXPECT_EQ(-ENOENT, wait_for(&self->ring, 1));
	}
}

TEST_F_TIMEOUT(call, the_callee_is_killed, IPC_TIMEOUT)
{
	struct {
		__u32	id;
		__u32	taken;
	} *shared = ipc_shared(sizeof(*shared));
	static __u64 num = 5, got;
	int i;
	pid_t pid;

	ASSERT_NE(NULL, shared);
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->servers, self->server.id));
	pid = ipc_fork();
	if (!pid) {
		struct received received;
		struct io_uring ring;
		struct ipc_sub sub;

		if (ipc_open(&ring) ||
		    ipc_attach(&ring, self->channel, IOIPC_SUB_RECV, &sub))
			_exit(KSFT_FAIL);
		__atomic_store_n(&shared->id, sub.id, __ATOMIC_RELEASE);
		while (take(&ring, sub.id, &received) > 0)
			__atomic_fetch_add(&shared->taken, 1, __ATOMIC_RELEASE);
		pause();
	}
	ASSERT_TRUE(ipc_poll(__atomic_load_n(&shared->id, __ATOMIC_ACQUIRE)));
	self->target = variant->for_any ? 0 : shared->id;
	for (i = 0; i < 5; i++)
		CALL(&num, &got, 100 + i);
	ASSERT_TRUE(ipc_poll(__atomic_load_n(&shared->taken, __ATOMIC_ACQUIRE) == 5));
	EXPECT_EQ(0, wait_completed(&self->ring));
	kill(pid, SIGKILL);
	for (i = 0; i < 5; i++)
		EXPECT_EQ(-EPIPE, wait_for(&self->ring, 100 + i));
	EXPECT_EQ(128 + SIGKILL, wait_child(pid));
}

/* The caller: detached, evicted, its ring closed. */
TEST_F_TIMEOUT(call, the_caller_leaves, IPC_TIMEOUT)
{
	enum { COUNT = 40 };
	struct received received[COUNT];
	static __u64 num = 5, got;
	int how, i, is_taken;

	for (how = 0; how < 6; how++) {
		is_taken = how & 1;
		for (i = 0; i < COUNT; i++)
			CALL(&num, &got, 100 + i);
		for (i = 0; is_taken && i < COUNT; i++)
			TAKE(&received[i]);
		switch (how / 2) {
		case 0:
			ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring,
								 self->own.id));
			break;
		case 1:
			ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->owner,
								 self->own.id));
			break;
		case 2:
			wait_forget(&self->ring);
			io_uring_queue_exit(&self->ring);
			ASSERT_EQ(0, io_uring_queue_init(64, &self->ring, 0));
			break;
		}
		for (i = 0; how / 2 < 2 && i < COUNT; i++)
			EXPECT_EQ(-ENOENT, wait_for(&self->ring, 100 + i));
		for (i = 0; i < COUNT; i++) {
			if (!is_taken)
				TAKE(&received[i]);
			EXPECT_EQ(5, received[i].num);
			/* A request of a ring that is gone may end later. */
			if (how / 2 == 2)
				ANSWER(received[i].info.msg_id, 9);
			else
				EXPECT_EQ(-ENOENT, ANSWER(received[i].info.msg_id, 9));
		}
		ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_SEND,
					&self->own));
		ASSERT_TRUE(ipc_poll(LATE() == (how + 1) * COUNT));
	}
	EXPECT_EQ(0, got);
}

TEST_F_TIMEOUT(call, destroyed, IPC_TIMEOUT)
{
	enum { COUNT = 40 };
	static __u64 num = 5, got;
	struct received received;
	int i;

	for (i = 0; i < COUNT; i++)
		CALL(&num, &got, 100 + i);
	for (i = 0; i < COUNT / 2; i++)
		TAKE(&received);
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->owner, self->channel));
	for (i = 0; i < COUNT; i++)
		EXPECT_EQ(-EPIPE, wait_for(&self->ring, 100 + i));
	EXPECT_EQ(-ENOENT, ANSWER(received.info.msg_id, 9));
	/* What is queued is still received. */
	for (i = COUNT / 2; i < COUNT; i++) {
		TAKE(&received);
		EXPECT_EQ(-ENOENT, ANSWER(received.info.msg_id, 9));
	}
	get_call(&self->ring, self->own.id, self->target, &num, &got, 1);
	EXPECT_EQ(-EPIPE, wait_for(&self->ring, 1));
	EXPECT_EQ(COUNT / 2 + 1, LATE());
}

/* ---- Fields ---- */

TEST_F_TIMEOUT(call, fields, IPC_TIMEOUT)
{
	static const __u32 flags[] = {
		IOIPC_SEND_CALL, IOIPC_SEND_REPLY, IOIPC_SEND_RECV,
		IOIPC_SEND_REPLY | IOIPC_SEND_RECV,
	};
	static const struct {
		const char *what;
		/* For which of these it is wrong. */
		unsigned int wrong;
	} cases[] = {
		{ "addr3", 15 }, { "reserved", 15 }, { "flags", 15 },
		{ "call", 5 }, { "vec", 15 }, { "target", 10 },
		{ "wait", 10 }, { "buffer", 2 }, { "short", 13 },
		{ "off", 15 }, { "pad2", 15 }, { "buf_index", 15 },
		{ "call and reply", 15 }, { "bundle", 15 },
		{ "next flag", 15 }, { "select", 15 },
	};
	struct io_uring_ipc_exchange *one;
	static __u64 num = 5;
	static char buf[100];
	struct io_uring_sqe *sqe;
	int i, j, ret;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		for (j = 0; j < ARRAY_SIZE(cases); j++) {
			bool is_reply = flags[i] == IOIPC_SEND_REPLY;

			if (!(cases[j].wrong & 1 << i))
				continue;
			one = exchange(is_reply ? NULL : buf,
				       is_reply ? 0 : sizeof(buf), 0, 0);
			sqe = wait_get_sqe(&self->others);
			io_uring_prep_ipc_send(sqe, self->other.id, &num, 8,
					       i & 1 ? 0 : self->target, flags[i]);
			sqe->addr3 = (uintptr_t)one;
			io_uring_sqe_set_data64(sqe, 1);
			ret = -EINVAL;
			switch (j) {
			case 0:
				sqe->addr3 = 8;
				ret = -EFAULT;
				break;
			case 1:
				one->reserved = 1;
				break;
			case 2:
				one->flags = 1U << 9;
				break;
			case 3:
				one->call = 1;
				break;
			case 4:
				sqe->rw_flags |= IOIPC_SEND_VEC;
				break;
			case 5:
				sqe->file_index = self->server.id;
				break;
			case 6:
				sqe->rw_flags |= IOIPC_SEND_WAIT;
				break;
			case 7:
				one->addr = (uintptr_t)buf;
				break;
			case 8:
				one->flags = IOIPC_RECV_INFO;
				one->len = sizeof(struct io_uring_ipc_msg_info) - 1;
				break;
			case 9:
				sqe->off = 1;
				break;
			case 10:
				sqe->__pad2[0] = 1;
				break;
			case 11:
				sqe->buf_index = 1;
				break;
			case 12:
				sqe->rw_flags |= IOIPC_SEND_CALL | IOIPC_SEND_REPLY;
				break;
			case 13:
				one->flags = IOIPC_RECV_BUNDLE;
				break;
			case 14:
				sqe->rw_flags |= 1U << 7;
				break;
			case 15:
				sqe->flags |= IOSQE_BUFFER_SELECT;
				ret = -EOPNOTSUPP;
				break;
			}
			EXPECT_EQ(ret, wait_for(&self->others, 1))
				TH_LOG("flags %#x, %s", flags[i], cases[j].what);
		}
	}
	/* Without these flags, and for a receive with the same numbers, addr3 is 0. */
	sqe = wait_get_send(&self->others, self->other.id, &num, 1);
	sqe->addr3 = (uintptr_t)exchange(buf, sizeof(buf), 0, 0);
	EXPECT_EQ(-EINVAL, wait_for(&self->others, 1));
	for (i = 4; i <= 6; i++) {
		sqe = wait_get_sqe(&self->others);
		io_uring_prep_ipc_recv(sqe, self->other.id, buf, sizeof(buf), 1U << i);
		sqe->addr3 = (uintptr_t)exchange(buf, sizeof(buf), 0, 0);
		io_uring_sqe_set_data64(sqe, 1);
		EXPECT_EQ(-EINVAL, wait_for(&self->others, 1));
	}
	EXPECT_EQ(-EAGAIN, wait_recv(&self->servers, self->server.id));
	EXPECT_EQ(0, ipc_fdinfo(self->own.fd, "ioipc-sent"));
	/* Unattached callers, and those that may only receive. */
	get_call(&self->ring, self->channel, self->target, &num, &num, 1);
	EXPECT_EQ(-ENOENT, wait_for(&self->ring, 1));
	get_call(&self->servers, self->server.id, self->other.id, &num, &num, 1);
	EXPECT_EQ(-EACCES, wait_for(&self->servers, 1));
	/* All receivers of a broadcast. */
	if (variant->flags & IOIPC_F_BROADCAST) {
		get_call(&self->ring, self->own.id, 0, &num, &num, 1);
		EXPECT_EQ(-EINVAL, wait_for(&self->ring, 1));
	}
}

/* ---- Overwritten ---- */

TEST(overwritten)
{
	static __u64 num = 5, got, i;
	struct ipc_sub caller, callee;
	struct io_uring ring, other;
	struct received received;
	__u32 channel;
	int lossy;

	for (lossy = 0; lossy < 2; lossy++) {
		ASSERT_EQ(0, ipc_open(&ring));
		ASSERT_EQ(0, ipc_open(&other));
		ASSERT_EQ(0, ipc_create(&ring, IOIPC_F_BROADCAST |
					(lossy ? 0 : IOIPC_F_OVERWRITE), 4, 64,
					&channel));
		ASSERT_EQ(0, ipc_attach(&ring, channel, IOIPC_SUB_SEND, &caller));
		ASSERT_EQ(0, ipc_attach(&other, channel, IOIPC_SUB_RECV |
					(lossy ? IOIPC_SUB_LOSSY : 0), &callee));
		get_call(&ring, caller.id, callee.id, &num, &got, 1);
		get_call(&ring, caller.id, callee.id, &num, &got, 2);
		ASSERT_TRUE(wait_nothing(&ring));
		for (i = 0; i < 3; i++)
			ASSERT_EQ(IPC_NUM, wait_send(&ring, caller.id, i));
		EXPECT_EQ(-EPIPE, wait_for(&ring, 1));
		while (take(&other, callee.id, &received) > 0 &&
		       !(received.info.flags & IOIPC_INFO_CALL))
			;
		EXPECT_EQ(-ENOENT, answer(&other, callee.id,
					  received.info.msg_id - 1, 9));
		EXPECT_EQ(IPC_NUM, answer(&other, callee.id,
					  received.info.msg_id, 9));
		EXPECT_EQ(IPC_NUM, wait_for(&ring, 2));
		io_uring_queue_exit(&other);
		io_uring_queue_exit(&ring);
	}
}

/* ---- Many ---- */

/* Each client has a subscriber. Nobody gets the answer of another one. */
TEST_F_TIMEOUT(call, many_clients, IPC_TIMEOUT)
{
	struct rlimit limit = { 2 * CLIENTS, 2 * CLIENTS };
	static __u64 num[CLIENTS], got[CLIENTS];
	static struct ipc_sub clients[CLIENTS];
	static struct received received;
	static __u64 out;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe cqe;
	int i, round, answered = 0;

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	for (i = 0; i < CLIENTS; i++)
		ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_SEND,
					&clients[i]));
	for (round = 0; round < 2; round++) {
		for (i = 0; i < CLIENTS; i++) {
			num[i] = round * CLIENTS + i;
			got[i] = -1;
			/* An SQPOLL thread may not have come that far. */
			ASSERT_TRUE(ipc_poll(io_uring_sq_space_left(&self->ring)));
			get_call(&self->ring, clients[i].id, self->target, &num[i],
				 &got[i], i)->rw_flags |= IOIPC_SEND_WAIT;
			io_uring_submit(&self->ring);
		}
		ASSERT_EQ(sizeof(received),
			  take(&self->servers, self->server.id, &received));
		for (i = 0; i < CLIENTS; i++) {
			out = received.num ^ 0xffff0000;
			sqe = wait_get_sqe(&self->servers);
			if (i == CLIENTS - 1)
				io_uring_prep_ipc_reply(
					sqe, self->server.id, &out, 8,
					exchange(NULL, 0, 0, received.info.msg_id));
			else
				io_uring_prep_ipc_reply_recv(
					sqe, self->server.id, &out, 8,
					exchange(&received, sizeof(received),
						 IOIPC_RECV_INFO,
						 received.info.msg_id));
			io_uring_sqe_set_data64(sqe, 1);
			io_uring_submit(&self->servers);
			/* Those that wait for room go on. */
			io_uring_get_events(&self->ring);
			ASSERT_LT(0, wait_for(&self->servers, 1));
		}
		for (i = 0; i < CLIENTS; i++) {
			ASSERT_EQ(0, wait_next(&self->ring, &cqe, WAIT_DEADLINE));
			ASSERT_EQ(IPC_NUM, cqe.res);
			ASSERT_EQ(num[cqe.user_data] ^ 0xffff0000,
				  got[cqe.user_data]);
			answered++;
		}
	}
	EXPECT_EQ(2 * CLIENTS, answered);
	EXPECT_EQ(0, LATE());
	EXPECT_EQ(0, wait_completed(&self->ring));
}

/* ---- Races ---- */

struct racer {
	struct io_uring		*ring;
	struct ipc_sub		sub;
	__u32			channel;
	bool			stop;
	unsigned long		answered, refused;
	pthread_t		thread;
};

/* A service that answers in one request or two, and is evicted all the time. */
static void *serve(void *arg)
{
	struct racer *racer = arg;
	struct received received = {}, next;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	struct ipc_sub sub;
	bool has_call = false;
	struct io_uring ring;
	__u64 out;
	int res;

	if (io_uring_queue_init(8, &ring, 0) ||
	    ipc_attach(&ring, racer->channel, IOIPC_SUB_RECV, &sub))
		return NULL;
	__atomic_store_n(&racer->sub.id, sub.id, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&racer->stop, __ATOMIC_ACQUIRE)) {
		struct io_uring_ipc_exchange what = {
			.addr = (uintptr_t)&next, .len = sizeof(next),
			.flags = IOIPC_RECV_INFO, .call = received.info.msg_id,
		};

		sqe = io_uring_get_sqe(&ring);
		out = received.num + 1;
		if (has_call)
			io_uring_prep_ipc_reply_recv(sqe, sub.id, &out, 8, &what);
		else
			io_uring_prep_ipc_recv(sqe, sub.id, &next, sizeof(next),
					       IOIPC_RECV_INFO | IOIPC_RECV_WAIT);
		io_uring_submit_and_wait(&ring, 1);
		if (io_uring_peek_cqe(&ring, &cqe))
			continue;
		res = cqe->res;
		io_uring_cqe_seen(&ring, cqe);
		has_call = res == sizeof(next);
		if (has_call) {
			received = next;
			racer->answered++;
			continue;
		}
		if (res != -ENOENT)
			break;
		/* It was evicted. */
		racer->refused++;
		io_uring_ipc_channel_detach(&ring, sub.id);
		close(sub.fd);
		if (ipc_attach(&ring, racer->channel, IOIPC_SUB_RECV, &sub))
			break;
		__atomic_store_n(&racer->sub.id, sub.id, __ATOMIC_RELEASE);
	}
	io_uring_queue_exit(&ring);
	return NULL;
}

/* Evicts the service again and again. */
static void *evict(void *arg)
{
	struct racer *racer = arg;

	while (!__atomic_load_n(&racer->stop, __ATOMIC_ACQUIRE)) {
		ipc_nap(300);
		io_uring_ipc_channel_detach(racer->ring,
					    __atomic_load_n(&racer->sub.id,
							    __ATOMIC_ACQUIRE));
	}
	return NULL;
}

/* Answers against cancels against evictions: each call has one outcome, the right one. */
TEST_F_TIMEOUT(call, races, IPC_TIMEOUT)
{
	enum { BATCH = 16 };
	double end = ipc_now() + ipc_env("RACE_SECONDS", 2);
	struct racer server = { .channel = self->channel };
	struct racer owner = { .ring = &self->owner };
	unsigned long answered = 0, canceled = 0, broken = 0, refused = 0, calls = 0;
	static __u64 num[BATCH], got[BATCH];
	struct io_uring_sqe *sqe;
	struct io_uring_cqe cqe;
	__u64 next = 1;
	int i, left;

	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->servers, self->server.id));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->others, self->other.id));
	ASSERT_EQ(0, pthread_create(&server.thread, NULL, serve, &server));
	ASSERT_TRUE(ipc_poll(__atomic_load_n(&server.sub.id, __ATOMIC_ACQUIRE)));
	owner.sub.id = server.sub.id;
	ASSERT_EQ(0, pthread_create(&owner.thread, NULL, evict, &owner));
	do {
		__u32 target = __atomic_load_n(&server.sub.id, __ATOMIC_ACQUIRE);

		__atomic_store_n(&owner.sub.id, target, __ATOMIC_RELEASE);
		for (i = 0; i < BATCH; i++) {
			num[i] = next++;
			got[i] = 0;
			sqe = get_call(&self->ring, self->own.id,
				       variant->for_any ? 0 : target, &num[i],
				       &got[i], i);
			sqe->rw_flags |= IOIPC_SEND_WAIT;
			sqe->flags |= variant->sqe_flags;
		}
		io_uring_submit(&self->ring);
		left = BATCH;
		for (i = 0; i < BATCH; i += 3) {
			sqe = wait_get_sqe(&self->ring);
			io_uring_prep_cancel64(sqe, i, 0);
			io_uring_sqe_set_data64(sqe, 1000);
			left++;
		}
		while (left--) {
			ASSERT_EQ(0, wait_next(&self->ring, &cqe, WAIT_DEADLINE))
				TH_LOG("a call hangs: %d of a batch left", left);
			if (cqe.user_data == 1000)
				continue;
			calls++;
			i = cqe.user_data;
			switch (cqe.res) {
			case IPC_NUM:
				ASSERT_EQ(num[i] + 1, got[i]);
				answered++;
				break;
			case -ECANCELED:
			case -EINTR:
				canceled++;
				break;
			case -EPIPE:
				broken++;
				break;
			case -ENOENT:
				/* The target has just left. */
				ASSERT_FALSE(variant->for_any);
				refused++;
				break;
			default:
				ASSERT_EQ(0, cqe.res);
			}
			if (cqe.res < 0)
				ASSERT_EQ(0, got[i]);
		}
	} while (ipc_go_on(end, answered && canceled && broken));
	__atomic_store_n(&owner.stop, true, __ATOMIC_RELEASE);
	pthread_join(owner.thread, NULL);
	__atomic_store_n(&server.stop, true, __ATOMIC_RELEASE);
	do {
		/* It may wait for a message. */
		io_uring_ipc_channel_detach(&self->owner,
					    __atomic_load_n(&server.sub.id,
							    __ATOMIC_ACQUIRE));
	} while (pthread_tryjoin_np(server.thread, NULL));
	TH_LOG("%lu calls: %lu answered, %lu canceled, %lu ended by the callee's end, %lu found no target",
	       calls, answered, canceled, broken, refused);
	EXPECT_LT(0, answered);
	EXPECT_LT(0, canceled);
	EXPECT_LT(0, broken);
	EXPECT_EQ(0, wait_completed(&self->ring));
}

IPC_HARNESS_MAIN
