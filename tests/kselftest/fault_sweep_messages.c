// SPDX-License-Identifier: GPL-2.0
/* Every fault in SEND and RECV, see fault_sweep.h. */
#include "fault_sweep.h"

/* ---- SEND ---- */

/* Memory for the message, at c->buf. */
static void prepare_memory(struct __test_metadata *_metadata, struct context *c)
{
	unsigned long address;

	c->buf = c->memory;
	if (!(c->op->how & FRESH_MEMORY))
		return;
	c->map = mmap(NULL, 2 * PAGE_TABLE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, c->map);
	address = (unsigned long)c->map + PAGE_TABLE - 1;
	c->buf = (char *)(address - address % PAGE_TABLE);
}

static void release_memory(struct __test_metadata *_metadata, struct context *c)
{
	if (c->op->how & FRESH_MEMORY)
		EXPECT_EQ(0, munmap(c->map, 2 * PAGE_TABLE));
}

/* Memory that is mapped for the first time is zero. */
static bool is_message(struct context *c, const void *message, size_t len)
{
	const char *byte = message;
	size_t i;

	if (!(c->op->how & FRESH_MEMORY))
		return ipc_filled(message, len, c->num);
	for (i = 0; i < len; i++)
		if (byte[i])
			return false;
	return true;
}

/* Queues the request: a message, or with IOIPC_SEND_VEC several numbers. */
static void prepare_send(struct __test_metadata *_metadata, struct context *c)
{
	const struct operation *op = c->op;
	__u32 id = op->how & UNATTACHED ? c->channel : c->own.id;
	struct io_uring_sqe *sqe;
	int i;

	open_with(_metadata, c);
	prepare_memory(_metadata, c);
	if (op->flags & IOIPC_SEND_VEC) {
		for (i = 0; i < MANY; i++)
			c->nums[i] = ++c->num;
		sqe = msg_get_send(c->with, id, c->vec, MANY, op->flags);
	} else {
		c->num++;
		if (!(op->how & FRESH_MEMORY))
			ipc_fill(c->buf, op->len, c->num);
		sqe = msg_get_send(c->with, id, c->buf, op->len, op->flags);
	}
	if (op->how & TARGETED)
		sqe->file_index = c->own.id;
	c->data = sqe->user_data;
}

static int run_request(struct context *c)
{
	return submit(c);
}

static void check_send(struct __test_metadata *_metadata, struct context *c,
		       int result)
{
	char got[SIZE];

	if (result >= 0) {
		EXPECT_EQ(c->op->len, result);
		c->sent += !(c->op->how & UNATTACHED);
		EXPECT_EQ(c->op->len, msg_recv(&c->ring, c->own.id, got,
					       sizeof(got), 0));
		EXPECT_TRUE(is_message(c, got, c->op->len));
		c->received++;
	}
	release_memory(_metadata, c);
	close_with(c);
}

static void check_send_vec(struct __test_metadata *_metadata,
			   struct context *c, int result)
{
	int i;

	EXPECT_GE(MANY, result);
	for (i = 0; i < result; i++)
		EXPECT_EQ(c->nums[i], take(c));
	c->sent += result > 0 ? result : 0;
}

/* Fills the channel with numbers, of which the last one is c->num. */
static void fill(struct __test_metadata *_metadata, struct context *c)
{
	ASSERT_EQ(ENTRIES, ipc_send_nums(&c->peer, c->other.id, c->num + 1,
					 c->num + 1 + ENTRIES));
	c->num += ENTRIES;
}

static void prepare_send_full(struct __test_metadata *_metadata,
			      struct context *c)
{
	fill(_metadata, c);
	prepare_send(_metadata, c);
	*(__u64 *)c->buf = c->num;
}

/*
 * Submits, makes room, and lets the request find the room.  Makes room twice,
 * because a failed copy costs the slot until the messages before it are
 * received.
 */
static int run_send_wait(struct context *c)
{
	__u64 oldest = c->num - ENTRIES;
	long long got;
	int i, ret;

	ret = submit(c);
	for (i = 0; i < 2 && !ret; i++) {
		WITHOUT_FAULTS(got = ipc_recv_num(&c->peer, c->other.id));
		if (got != oldest + i)
			return IPC_NOT_RUN;
		ret = get_events(c);
	}
	return ret;
}

static void check_send_wait(struct __test_metadata *_metadata,
			    struct context *c, int result)
{
	__u64 num;

	for (num = c->num - ENTRIES + 2; num < c->num; num++)
		EXPECT_EQ(num, take(c));
	if (result >= 0) {
		EXPECT_EQ(IPC_NUM, result);
		EXPECT_EQ(c->num, take(c));
		c->sent += !(c->op->how & UNATTACHED);
	}
}

/* Each message is there, or was overwritten and counts as lost. */
static void check_send_overwrite(struct __test_metadata *_metadata,
				 struct context *c, int result)
{
	long lost = ipc_fdinfo(c->own.fd, "ioipc-lost");
	long before = c->received;
	long long num, last = 0;

	EXPECT_EQ(IPC_NUM, result);
	c->sent++;
	while ((num = take(c)) >= 0) {
		EXPECT_LT(last, num);
		last = num;
	}
	EXPECT_EQ(c->num, last);
	EXPECT_EQ(c->num, c->received + lost)
		TH_LOG("%ld now, and %ld lost", c->received - before, lost);
}

/* ---- RECV ---- */

/* Queues the request. */
static void prepare_recv(struct __test_metadata *_metadata, struct context *c)
{
	const struct operation *op = c->op;
	struct io_uring_sqe *sqe;

	c->with = &c->ring;
	prepare_memory(_metadata, c);
	if (op->how & PROVIDED)
		sqe = msg_get_select(c->with, c->own.id, 0, op->flags);
	else
		sqe = msg_get_recv(c->with, c->own.id, op->len ? c->buf : NULL,
				   op->len, op->flags);
	c->data = sqe->user_data;
}

static void prepare_recv_message(struct __test_metadata *_metadata,
				 struct context *c)
{
	char message[SIZE];

	c->num++;
	ipc_fill(message, SIZE, c->num);
	ASSERT_EQ(SIZE, ipc_send_data(&c->peer, c->other.id, message, SIZE, 0,
				      c->num));
	prepare_recv(_metadata, c);
}

static void check_recv(struct __test_metadata *_metadata, struct context *c,
		       int result)
{
	const struct operation *op = c->op;
	struct io_uring_ipc_msg_info info;
	int prefix = op->flags & IOIPC_RECV_INFO ? MSG_INFO : 0;
	int stored = op->len - prefix < SIZE ? op->len - prefix : SIZE;
	char got[SIZE];

	c->received++;
	if (result < 0) {
		/* The message has stayed. */
		EXPECT_EQ(SIZE, msg_recv(&c->ring, c->own.id, got, SIZE, 0));
		EXPECT_TRUE(ipc_filled(got, SIZE, c->num));
	} else {
		EXPECT_EQ(op->flags & IOIPC_RECV_TRUNC ? SIZE : stored,
			  result - prefix);
		EXPECT_TRUE(ipc_filled(c->buf + prefix, stored, c->num));
		memcpy(&info, c->buf, MSG_INFO);
		if (prefix) {
			EXPECT_EQ(SIZE, info.len);
			EXPECT_EQ(c->num, info.sender_data);
			EXPECT_EQ(c->other.id, info.sender);
			EXPECT_EQ(getpid(), info.pid);
		}
	}
	release_memory(_metadata, c);
}

static void prepare_recv_many(struct __test_metadata *_metadata,
			      struct context *c)
{
	int i;

	for (i = 0; i < MANY; i++)
		ASSERT_EQ(IPC_NUM, give(c));
	prepare_recv(_metadata, c);
}

static void check_recv_bundle(struct __test_metadata *_metadata,
			      struct context *c, int result)
{
	struct msg_walk walk = { .buf = c->buf, .res = result };
	__u64 num = c->num - MANY + 1;
	long long got;

	/* Messages that do not fit have stayed. */
	while ((got = msg_next_num(&walk)) >= 0) {
		EXPECT_EQ(num++, got);
		c->received++;
	}
	EXPECT_FALSE(walk.broken);
	while (num <= c->num)
		EXPECT_EQ(num++, take(c));
}

static void check_recv_mapped(struct __test_metadata *_metadata,
			      struct context *c, int result)
{
	int i;

	EXPECT_EQ(MANY, result);
	for (i = MANY - 1; i >= 0; i--)
		EXPECT_EQ(c->num - i, take(c));
}

static void check_recv_wait(struct __test_metadata *_metadata,
			    struct context *c, int result)
{
	if (result >= 0) {
		EXPECT_EQ(IPC_NUM, result);
		EXPECT_EQ(c->num, *(__u64 *)c->buf);
		c->received++;
	} else {
		EXPECT_EQ(c->num, take(c));
	}
}

/* Takes back the provided buffer that a completion names. */
static long long take_provided(struct context *c, struct io_uring_cqe *cqe)
{
	char *buf = msg_pool_got(&c->pool, cqe);
	__u64 num;

	if (cqe->res != IPC_NUM || !buf)
		return IPC_NOT_RUN;
	memcpy(&num, buf, sizeof(num));
	msg_pool_add(&c->pool, cqe->flags >> IORING_CQE_BUFFER_SHIFT);
	c->received++;
	return num;
}

/*
 * Receives one message, and then cancels the request, unless it has ended
 * before.
 */
static void check_recv_multishot(struct __test_metadata *_metadata,
				 struct context *c, int result)
{
	struct io_uring_cqe last;

	EXPECT_EQ(c->num, result < 0 ? take(c) : take_provided(c, &c->cqe));
	if (!(c->cqe.flags & IORING_CQE_F_MORE))
		return;
	EXPECT_EQ(0, wait_cancel(c->with, c->data, 0));
	EXPECT_EQ(-ECANCELED, wait_for_cqe(c->with, c->data, &last));
	EXPECT_EQ(0, last.flags & IORING_CQE_F_MORE);
}

/* ---- RECV that waits for the end of a subscriber ---- */

static void prepare_recv_gone(struct __test_metadata *_metadata,
			      struct context *c)
{
	struct io_uring_sqe *sqe;

	c->with = &c->ring;
	ASSERT_EQ(0, ipc_attach(&c->peer, c->channel, IOIPC_SUB_SEND, &c->sub));
	c->last_id = c->sub.id;
	sqe = msg_get_recv(c->with, c->own.id, NULL, 0, IOIPC_RECV_GONE);
	sqe->file_index = c->sub.id;
	c->data = sqe->user_data;
}

/* Submits, detaches the subscriber, and lets the request find that. */
static int run_recv_gone(struct context *c)
{
	int ret;

	ret = submit(c);
	if (ret)
		return ret;
	WITHOUT_FAULTS(ret = io_uring_ipc_channel_detach(&c->peer, c->sub.id));
	return ret ? IPC_NOT_RUN : get_events(c);
}

static void check_recv_gone(struct __test_metadata *_metadata,
			    struct context *c, int result)
{
	if (!result)
		EXPECT_EQ(0, c->cqe.res);
	EXPECT_EQ(-ENOENT, io_uring_ipc_channel_detach(&c->peer, c->sub.id));
	EXPECT_EQ(0, close(c->sub.fd));
	/* The next one can be watched. */
	prepare_recv_gone(_metadata, c);
	ASSERT_EQ(0, run_recv_gone(c));
	EXPECT_EQ(0, wait_for(c->with, c->data));
	EXPECT_EQ(0, close(c->sub.fd));
}

/* ---- The list of operations ---- */

/* ---- Calls: c->nums has the message and the answer ---- */

static struct io_uring_ipc_exchange exchange;
/* What the callee has received. */
static struct {
	struct io_uring_ipc_msg_info	info;
	__u64				num;
} called;

static void get_call(struct io_uring *ring, struct context *c, __u32 from,
		     __u32 to, __u64 data)
{
	struct io_uring_sqe *sqe = wait_get_sqe(ring);

	c->nums[0] = ++c->num;
	c->nums[1] = 0;
	exchange = (struct io_uring_ipc_exchange) {
		.addr = (uintptr_t)&c->nums[1], .len = IPC_NUM,
	};
	io_uring_prep_ipc_call(sqe, from, &c->nums[0], IPC_NUM, to, &exchange, 0);
	io_uring_sqe_set_data64(sqe, data);
}

/* Receives the call, and returns the result. */
static int take_call(struct io_uring *ring, __u32 id)
{
	struct io_uring_sqe *sqe = wait_get_sqe(ring);
	__u64 data = wait_new_data();

	io_uring_prep_ipc_recv(sqe, id, &called, sizeof(called), IOIPC_RECV_INFO);
	io_uring_sqe_set_data64(sqe, data);
	return wait_for(ring, data);
}

static __u64 get_answer(struct io_uring *ring, struct context *c, __u32 id,
			void *next)
{
	struct io_uring_sqe *sqe = wait_get_sqe(ring);
	__u64 data = wait_new_data();

	c->nums[2] = c->num + 1000;
	exchange = (struct io_uring_ipc_exchange) {
		.addr = (uintptr_t)next, .len = next ? IPC_NUM : 0,
		.call = called.info.msg_id,
	};
	if (next)
		io_uring_prep_ipc_reply_recv(sqe, id, &c->nums[2], IPC_NUM,
					     &exchange);
	else
		io_uring_prep_ipc_reply(sqe, id, &c->nums[2], IPC_NUM, &exchange);
	io_uring_sqe_set_data64(sqe, data);
	return data;
}

static void prepare_call(struct __test_metadata *_metadata, struct context *c)
{
	memset(&called, 0, sizeof(called));
	ASSERT_EQ(c->with, &c->ring);
	c->data = wait_new_data();
	get_call(&c->ring, c, c->own.id, c->other.id, c->data);
}

/* The callee answers in time, if the call was sent. */
static int run_call(struct context *c)
{
	int ret;

	ret = submit(c);
	if (ret)
		return ret;
	WITHOUT_FAULTS(({
		if (take_call(&c->peer, c->other.id) > 0)
			wait_for(&c->peer, get_answer(&c->peer, c, c->other.id,
						      NULL));
	}));
	return get_events(c);
}

static void check_call(struct __test_metadata *_metadata, struct context *c,
		       int result)
{
	c->sent += called.info.len != 0;
	if (result >= 0) {
		EXPECT_EQ(IPC_NUM, result);
		EXPECT_EQ(c->num, called.num);
		EXPECT_EQ(c->num + 1000, c->nums[1]);
	}
	EXPECT_EQ(0, wait_completed(&c->ring));
	EXPECT_EQ(0, wait_completed(&c->peer));
}

static void prepare_reply(struct __test_metadata *_metadata, struct context *c)
{
	get_call(&c->peer, c, c->other.id, c->own.id, 1);
	EXPECT_TRUE(wait_nothing(&c->peer));
	EXPECT_LT(0, take_call(&c->ring, c->own.id));
	c->received++;
	c->data = get_answer(&c->ring, c, c->own.id, NULL);
}

/* The call still waits if the answer has failed. */
static void check_reply(struct __test_metadata *_metadata, struct context *c,
			int result)
{
	if (result < 0 && !wait_completed(&c->peer))
		EXPECT_EQ(IPC_NUM, wait_for(&c->ring, get_answer(&c->ring, c,
								 c->own.id, NULL)));
	EXPECT_EQ(IPC_NUM, wait_for(&c->peer, 1));
	EXPECT_EQ(c->nums[2], c->nums[1]);
	EXPECT_EQ(0, wait_completed(&c->ring));
	EXPECT_EQ(0, wait_completed(&c->peer));
}

/* A message comes after the answer. */
static int run_reply_recv(struct context *c)
{
	int ret;

	ret = submit(c);
	if (ret)
		return ret;
	WITHOUT_FAULTS(ret = wait_send(&c->peer, c->other.id, ++c->num));
	return ret == IPC_NUM ? get_events(c) : IPC_NOT_RUN;
}

static void check_reply_recv(struct __test_metadata *_metadata,
			     struct context *c, int result)
{
	if (result >= 0) {
		EXPECT_EQ(IPC_NUM, result);
		EXPECT_EQ(c->num, *(__u64 *)c->buf);
		c->received++;
	} else {
		EXPECT_EQ(c->num, take(c));
	}
	check_reply(_metadata, c, result);
}

static void prepare_reply_recv(struct __test_metadata *_metadata,
				       struct context *c)
{
	c->buf = c->memory;
	get_call(&c->peer, c, c->other.id, c->own.id, 1);
	EXPECT_TRUE(wait_nothing(&c->peer));
	EXPECT_LT(0, take_call(&c->ring, c->own.id));
	c->received++;
	c->data = get_answer(&c->ring, c, c->own.id, c->buf);
}

OPERATION(send_call, call, call, call, .errors = { ENOMEM, EFAULT });
OPERATION(send_reply, reply, request, reply, .errors = { ENOMEM, EFAULT });
OPERATION(send_reply_recv, reply_recv, reply_recv, reply_recv,
	  .errors = { ENOMEM, EFAULT });

OPERATION(send, send, request, send, .errors = { ENOMEM, EFAULT }, .len = 64);
OPERATION(send_large, send, request, send, .errors = { ENOMEM, EFAULT },
	  .len = SIZE);
OPERATION(send_fresh_memory, send, request, send, .errors = { ENOMEM, EFAULT },
	  .len = SIZE, .how = FRESH_MEMORY);
OPERATION(send_registered, send, request, send, .errors = { ENOMEM, EFAULT },
	  .len = SIZE, .flags = IOIPC_FIXED_BUF, .how = REGISTERED);
OPERATION(send_targeted, send, request, send, .errors = { ENOMEM, EFAULT },
	  .len = 64, .how = TARGETED);
OPERATION(send_unattached, send, request, send, .errors = { ENOMEM, EFAULT },
	  .len = 64, .how = UNATTACHED);
OPERATION(send_first, send, request, send, .errors = { ENOMEM, EFAULT },
	  .len = 64, .how = UNATTACHED | FRESH_RING);
OPERATION(send_broadcast, send, request, send, .errors = { ENOMEM, EFAULT },
	  .len = 64, .channel = IOIPC_F_BROADCAST);
OPERATION(send_sqpoll, send, request, send, .errors = { ENOMEM, EFAULT },
	  .len = SIZE, .how = SQPOLL);
OPERATION(send_vec, send, request, send_vec, .errors = { ENOMEM, EFAULT },
	  .flags = IOIPC_SEND_VEC);
OPERATION(send_overwrite, send_full, request, send_overwrite,
	  .errors = { ENOMEM, EFAULT }, .len = IPC_NUM,
	  .channel = IOIPC_F_BROADCAST | IOIPC_F_OVERWRITE);
OPERATION(send_wait, send_full, send_wait, send_wait, .errors = { ENOMEM, EFAULT },
	  .len = IPC_NUM, .flags = IOIPC_SEND_WAIT);
OPERATION(send_wait_unattached, send_full, send_wait, send_wait,
	  .errors = { ENOMEM, EFAULT }, .len = IPC_NUM, .flags = IOIPC_SEND_WAIT,
	  .how = UNATTACHED);

OPERATION(recv, recv_message, request, recv, .errors = { EFAULT }, .len = 64);
OPERATION(recv_large, recv_message, request, recv, .errors = { EFAULT },
	  .len = SIZE);
OPERATION(recv_fresh_memory, recv_message, request, recv, .errors = { EFAULT },
	  .len = SIZE, .how = FRESH_MEMORY);
OPERATION(recv_registered, recv_message, request, recv, .errors = { EFAULT },
	  .len = SIZE, .flags = IOIPC_FIXED_BUF, .how = REGISTERED);
OPERATION(recv_info, recv_message, request, recv, .errors = { EFAULT },
	  .len = SIZE + MSG_INFO, .flags = IOIPC_RECV_INFO);
OPERATION(recv_trunc, recv_message, request, recv, .errors = { EFAULT },
	  .len = 64, .flags = IOIPC_RECV_TRUNC);
OPERATION(recv_broadcast, recv_message, request, recv, .errors = { EFAULT },
	  .len = 64, .channel = IOIPC_F_BROADCAST);
OPERATION(recv_sqpoll, recv_message, request, recv, .errors = { EFAULT },
	  .len = SIZE, .how = SQPOLL);
OPERATION(recv_bundle, recv_many, request, recv_bundle, .errors = { EFAULT },
	  .len = SIZE, .flags = IOIPC_RECV_BUNDLE);
OPERATION(recv_bundle_broadcast, recv_many, request, recv_bundle,
	  .errors = { EFAULT }, .len = SIZE, .flags = IOIPC_RECV_BUNDLE,
	  .channel = IOIPC_F_BROADCAST);
OPERATION(recv_mapped, recv_many, request, recv_mapped,
	  .flags = IOIPC_RECV_MAPPED, .how = CANNOT_FAIL,
	  .channel = IOIPC_F_BROADCAST);
OPERATION(recv_wait, recv, recv_wait, recv_wait, .errors = { EFAULT },
	  .len = IPC_NUM, .flags = IOIPC_RECV_WAIT);
OPERATION(recv_multishot, recv, recv_wait, recv_multishot, .errors = { EFAULT },
	  .flags = IOIPC_RECV_MULTISHOT, .how = PROVIDED);
OPERATION(recv_multishot_broadcast, recv, recv_wait, recv_multishot,
	  .errors = { EFAULT }, .flags = IOIPC_RECV_MULTISHOT, .how = PROVIDED,
	  .channel = IOIPC_F_BROADCAST);
OPERATION(recv_gone, recv_gone, recv_gone, recv_gone, .errors = { ENOMEM });

IPC_HARNESS_MAIN
