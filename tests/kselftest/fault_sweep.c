// SPDX-License-Identifier: GPL-2.0
/*
 * Every allocation and every copy of user memory in every operation fails once:
 * the first one, then the second one, and so on until none is left.  After each
 * of them the operation has worked, or it has failed with one of the errors that
 * it may have and has done nothing; and the channel works.  What is left behind
 * without being reachable, kmemleak finds at the end of the guest.
 *
 * A request is tried again where a program would do that: if io_uring_enter(2)
 * itself fails, before it has taken the request.
 *
 * Not reached are allocations that may not fail, interrupts, and the threads of
 * the kernel but for the one that submits.
 *
 * Needs CONFIG_FAULT_INJECTION with failslab, fail_page_alloc, fail_usercopy and
 * debugfs, see Documentation/fault-injection.
 */
#include <dirent.h>
#include <poll.h>
#include <sys/epoll.h>

#include "fixture.h"
#include "messages.h"

/* Slots of the channel, and its largest message: a region of several pages. */
#define ENTRIES		4
#define SIZE		4096
/* How many messages a vector or a bundle has. */
#define MANY		3
/* What a page table maps. */
#define PAGE_TABLE	(2UL << 20)
/*
 * What a limited user can lock, and the message of a channel that only fits if
 * nothing but the rings is locked.
 */
#define LIMIT		(768U << 10)
#define LARGE		(512U << 10)

/* Writes to a file of debugfs or procfs. */
static bool set(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY);
	bool ok;

	ok = fd >= 0 && write(fd, value, strlen(value)) == strlen(value);
	close(fd);
	return ok;
}

/*
 * Which allocations can fail: also those that may sleep, single pages, and pages
 * of user memory.
 */
static bool set_up_faults(void)
{
#define DEBUG(file)	("/sys/kernel/debug/" file)
	return set(DEBUG("failslab/ignore-gfp-wait"), "N") &&
	       set(DEBUG("failslab/verbose"), "0") &&
	       set(DEBUG("fail_page_alloc/ignore-gfp-wait"), "N") &&
	       set(DEBUG("fail_page_alloc/ignore-gfp-highmem"), "N") &&
	       set(DEBUG("fail_page_alloc/min-order"), "0") &&
	       set(DEBUG("fail_page_alloc/verbose"), "0") &&
	       set(DEBUG("fail_usercopy/verbose"), "0");
#undef DEBUG
}

/* fail-nth of the task that gets the faults. */
static int fault_fd = -1;

/* From now on the nth allocation or copy fails. */
static void fault_arm(unsigned int nth)
{
	char number[16];
	int len;

	len = snprintf(number, sizeof(number), "%u", nth);
	if (write(fault_fd, number, len) != len)
		abort();
}

/*
 * Returns how many were left until one fails, 0 if one has failed.  Reading that
 * number is a copy itself, which fails if it is the next one.
 */
static unsigned int fault_disarm(void)
{
	char number[16] = "";
	unsigned int left = 1;

	if (pread(fault_fd, number, sizeof(number) - 1, 0) > 0)
		left = atoi(number);
	else if (errno != EFAULT)
		abort();
	/* If this fails, it was the last one. */
	if (write(fault_fd, "0", 1) != 1 && errno != EFAULT)
		abort();
	return left;
}

/* What the steps of an operation do between its faults must not fail. */
#define WITHOUT_FAULTS(statement) do {					\
	unsigned int __left = fault_disarm();				\
									\
	statement;							\
	if (__left)							\
		fault_arm(__left);					\
} while (0)

/* How an operation differs from the plain one. */
enum {
	UNATTACHED	= 1 << 0,
	TARGETED	= 1 << 1,
	KEYED		= 1 << 2,
	/* The first of its ring, which is bound to the module by that. */
	FRESH_RING	= 1 << 3,
	/* The buffer has no pages yet, and there is no page table for them. */
	FRESH_MEMORY	= 1 << 4,
	/* Buffers are registered or provided. */
	REGISTERED	= 1 << 5,
	PROVIDED	= 1 << 6,
	/* The kernel's thread submits, and has the faults. */
	SQPOLL		= 1 << 7,
	/* An unprivileged user does it, who can just lock that much memory. */
	LIMITED		= 1 << 8,
	/* Nothing that it needs has to be allocated or copied. */
	CANNOT_FAIL	= 1 << 9,
};

struct context;

struct operation {
	/* Without faults: makes all ready for it. */
	void	(*prepare)(struct __test_metadata *_metadata,
			   struct context *c);
	/* With faults: returns its result, if there is no request to ask. */
	int	(*run)(struct context *c);
	/* Without faults: whether all is as the result says. */
	void	(*check)(struct __test_metadata *_metadata, struct context *c,
			 int result);
	/* What it can fail with, ends with 0. */
	int	errors[4];
	unsigned int how;
	/* IOIPC_F_* of the channel that it is about. */
	__u32	channel;
	/* Flags of the operation, and the length of its message or buffer. */
	__u32	flags;
	__u32	len;
};

struct context {
	const struct operation *op;
	/* Does what is tested, and has a subscriber that sends and receives. */
	struct io_uring	ring;
	struct ipc_sub	own;
	/* Has another one, which receives only in a queue. */
	struct io_uring	peer;
	struct ipc_sub	other;
	__u32		channel;
	__u64		key;
	/* The last number that was sent. */
	__u64		num;
	/* How many messages the subscriber has sent and received. */
	long		sent;
	long		received;
	/* The last id that was given out. */
	__u32		last_id;

	/* Of the operation: the ring that it is done with, */
	struct io_uring	*with;
	struct io_uring	fresh;
	/* its request, if there is one, which wait_for() asks for, */
	__u64		data;
	struct io_uring_cqe cqe;
	/* and whatever else it has. */
	union {
		struct io_uring_ipc_channel_create create;
		struct io_uring_ipc_channel_attach attach;
	};
	struct ipc_sub	sub;
	int		lowest_fd;
	void		*map;
	char		*memory;
	char		*buf;
	__u64		nums[MANY];
	struct iovec	vec[MANY];
	struct msg_pool	pool;
	struct pollfd	pollfd;
	struct epoll_event event;
	char		text[1024];
};

/* ---- Steps that many of them have ---- */

/* Whether io_uring_enter(2) can fail like that, and is to be called again. */
static bool is_transient(int error)
{
	return error == -EAGAIN || error == -ENOMEM || error == -EFAULT ||
	       error == -EINTR;
}

/* Submits what is queued. */
static int submit(struct context *c)
{
	int ret;

	do {
		ret = io_uring_submit(c->with);
	} while (is_transient(ret));
	return ret < 0 ? IPC_NOT_RUN : 0;
}

/* Runs what has become ready in the meantime. */
static int get_events(struct context *c)
{
	int ret;

	do {
		ret = io_uring_get_events(c->with);
	} while (is_transient(ret));
	return ret < 0 ? IPC_NOT_RUN : 0;
}

/* Receives a number, or returns a negative errno. */
static long long take(struct context *c)
{
	long long num = wait_recv(&c->ring, c->own.id);

	if (num >= 0)
		c->received++;
	return num;
}

/* The other one sends the next number. */
static int give(struct context *c)
{
	return ipc_send_num(&c->peer, c->other.id, ++c->num);
}

/* Another ring, if the operation is to be the first one of it. */
static void open_with(struct __test_metadata *_metadata, struct context *c)
{
	c->with = &c->ring;
	if (!(c->op->how & FRESH_RING))
		return;
	ASSERT_EQ(0, ipc_open(&c->fresh));
	c->with = &c->fresh;
}

static void close_with(struct context *c)
{
	if (c->with == &c->fresh)
		io_uring_queue_exit(&c->fresh);
	c->with = &c->ring;
}

/*
 * Ids are given out in order, so those that have been taken since the last one
 * are known, and nothing must be left there.
 */
static void check_ids(struct __test_metadata *_metadata, struct context *c,
		      __u32 next)
{
	__u32 id;

	for (id = c->last_id + 1; id < next; id++) {
		EXPECT_EQ(-ENOENT, io_uring_ipc_channel_destroy(c->with, id));
		EXPECT_EQ(-ENOENT, io_uring_ipc_channel_detach(c->with, id));
		EXPECT_EQ(-ENOENT, ipc_send_num(&c->peer, id, 0));
	}
	c->last_id = next;
}

/* The channel has room for all that it should have, and counts. */
static void check_channel(struct __test_metadata *_metadata, struct context *c)
{
	__u64 num = c->num + 1;

	EXPECT_EQ(-EAGAIN, take(c));
	EXPECT_EQ(ENTRIES, ipc_send_nums(&c->peer, c->other.id, num,
					 num + ENTRIES));
	for (; c->num < num + ENTRIES - 1; c->num++)
		EXPECT_EQ(c->num + 1, take(c));
	EXPECT_EQ(-EAGAIN, take(c));
	EXPECT_EQ(c->received, ipc_fdinfo(c->own.fd, "ioipc-received"));
	EXPECT_EQ(c->sent, ipc_fdinfo(c->own.fd, "ioipc-sent"));
	EXPECT_EQ(0, ipc_fdinfo(c->own.fd, "ioipc-dropped"));
}

/* ---- CREATE ---- */

static void prepare_create(struct __test_metadata *_metadata, struct context *c)
{
	open_with(_metadata, c);
	c->create = ipc_create_args(c->op->flags, ENTRIES, c->op->len);
	if (c->op->how & KEYED)
		c->create.key = ipc_new_key();
}

static int run_create(struct context *c)
{
	return io_uring_ipc_channel_create(c->with, &c->create);
}

static void check_create(struct __test_metadata *_metadata, struct context *c,
			 int result)
{
	struct ipc_sub sub;

	if (result) {
		if (c->create.key)
			EXPECT_EQ(-ENOENT, ipc_attach_key(&c->peer,
							  c->create.key,
							  IOIPC_SUB_BOTH, &sub));
		/* The key is free, and so is the memory that was charged. */
		ASSERT_EQ(0, run_create(c));
	}
	check_ids(_metadata, c, c->create.channel_id_out);

	ASSERT_EQ(0, ipc_attach(&c->peer, c->create.channel_id_out,
				IOIPC_SUB_BOTH, &sub));
	EXPECT_EQ(IPC_NUM, ipc_send_num(&c->peer, sub.id, 4711));
	EXPECT_EQ(4711, ipc_recv_num(&c->peer, sub.id));
	EXPECT_EQ(0, io_uring_ipc_channel_detach(&c->peer, sub.id));
	EXPECT_EQ(0, close(sub.fd));
	EXPECT_EQ(0, io_uring_ipc_channel_destroy(c->with,
						  c->create.channel_id_out));
	c->last_id = sub.id;
	close_with(c);
	/* A grace period later nothing else is locked. */
	if (c->op->how & LIMITED) {
		EXPECT_TRUE(ipc_poll(!ipc_create(&c->peer, 0, 1, LARGE,
						 &c->last_id)));
		EXPECT_EQ(0, io_uring_ipc_channel_destroy(&c->peer,
							  c->last_id));
	}
}

/* ---- ATTACH ---- */

static void prepare_attach(struct __test_metadata *_metadata, struct context *c)
{
	open_with(_metadata, c);
	c->attach = (struct io_uring_ipc_channel_attach) {
		.channel_id = c->channel,
		.flags = c->op->flags,
		.key = c->op->how & KEYED ? c->key : 0,
	};
	c->lowest_fd = dup(0);
	ASSERT_EQ(0, close(c->lowest_fd));
}

static int run_attach(struct context *c)
{
	return ipc_attach_args(c->with, &c->attach, &c->sub);
}

static void check_attach(struct __test_metadata *_metadata, struct context *c,
			 int result)
{
	long long num;

	if (result) {
		c->attach.channel_fd = -1;
		ASSERT_EQ(0, run_attach(c));
	}
	/* There is no other file descriptor, and no other subscriber. */
	EXPECT_EQ(c->lowest_fd, c->sub.fd);
	check_ids(_metadata, c, c->sub.id);

	EXPECT_EQ(IPC_NUM, give(c));
	do {
		num = wait_recv(c->with, c->sub.id);
	} while (c->op->flags & IOIPC_SUB_HISTORY && num >= 0 && num < c->num);
	EXPECT_EQ(c->num, num);
	if (c->op->channel & IOIPC_F_BROADCAST)
		EXPECT_EQ(c->num, take(c));
	EXPECT_EQ(0, io_uring_ipc_channel_detach(c->with, c->sub.id));
	EXPECT_EQ(0, close(c->sub.fd));
	close_with(c);
}

/* ---- DETACH, DESTROY, and the end of a ring ---- */

static void prepare_detach(struct __test_metadata *_metadata, struct context *c)
{
	ASSERT_EQ(0, ipc_attach(&c->ring, c->channel, IOIPC_SUB_BOTH, &c->sub));
}

static int run_detach(struct context *c)
{
	return io_uring_ipc_channel_detach(&c->ring, c->sub.id);
}

static void check_detach(struct __test_metadata *_metadata, struct context *c,
			 int result)
{
	EXPECT_EQ(0, result);
	EXPECT_EQ(-ENOENT, run_detach(c));
	EXPECT_EQ(0, close(c->sub.fd));
}

static void prepare_destroy(struct __test_metadata *_metadata,
			    struct context *c)
{
	prepare_create(_metadata, c);
	ASSERT_EQ(0, run_create(c));
}

static int run_destroy(struct context *c)
{
	return io_uring_ipc_channel_destroy(&c->ring, c->create.channel_id_out);
}

static void check_destroy(struct __test_metadata *_metadata, struct context *c,
			  int result)
{
	EXPECT_EQ(0, result);
	EXPECT_EQ(-ENOENT, run_destroy(c));
	EXPECT_EQ(-ENOENT, ipc_attach_key(&c->ring, c->create.key,
					  IOIPC_SUB_BOTH, &c->sub));
}

/* A ring with a subscriber that waits, and a channel of its own. */
static void prepare_exit(struct __test_metadata *_metadata, struct context *c)
{
	prepare_destroy(_metadata, c);
	ASSERT_EQ(0, ipc_attach(c->with, c->create.channel_id_out,
				IOIPC_SUB_BOTH, &c->sub));
	ASSERT_EQ(0, close(c->sub.fd));
	wait_get_recv(c->with, c->sub.id, c->nums, 0);
	ASSERT_EQ(1, io_uring_submit(c->with));
}

static int run_exit(struct context *c)
{
	io_uring_queue_exit(c->with);
	return 0;
}

/* Its channel is gone, and its subscriber with it. */
static void check_exit(struct __test_metadata *_metadata, struct context *c,
		       int result)
{
	EXPECT_EQ(0, result);
	EXPECT_EQ(-ENOENT, ipc_send_num(&c->peer, c->create.channel_id_out, 0));
}

/* ---- SEND ---- */

/* Memory for the message, which lies in c->buf. */
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

/* What is at an address for the first time is zero. */
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

/* The channel is full, of numbers that end with this one. */
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
 * Submits, makes room, and lets the request find that.  Once more, because a copy
 * that fails costs the slot, until the messages before it are received.
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

/* Each message is there, or was overwritten and is counted as lost. */
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
		/* It has stayed. */
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

	/* What it does not have has stayed. */
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

/* Submits, sends a message, and lets the request find that. */
static int run_recv_wait(struct context *c)
{
	int ret;

	ret = submit(c);
	if (ret)
		return ret;
	WITHOUT_FAULTS(ret = give(c));
	return ret == IPC_NUM ? get_events(c) : IPC_NOT_RUN;
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

/* Takes one of the provided buffers back that a completion names. */
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

/* One message, and then it is cancelled, unless it has ended before. */
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

/* ---- mmap ---- */

/* How many mappings of channels this process has. */
static int count_mappings(void)
{
	FILE *file = fopen("/proc/self/maps", "r");
	char line[300];
	int count = 0;

	while (file && fgets(line, sizeof(line), file))
		count += !!strstr(line, "[io_uring_ipc]");
	if (file)
		fclose(file);
	return count;
}

static int map(struct context *c, size_t len, int prot, off_t offset)
{
	c->map = mmap(NULL, len, prot, MAP_SHARED, c->sub.fd, offset);
	return c->map == MAP_FAILED ? -errno : 0;
}

static int run_map(struct context *c)
{
	return map(c, c->sub.region_size, PROT_READ, 0);
}

static void check_map(struct __test_metadata *_metadata, struct context *c,
		      int result)
{
	const struct io_uring_ipc_ring *ring;

	if (result) {
		EXPECT_EQ(0, count_mappings());
		ASSERT_EQ(0, run_map(c));
	}
	EXPECT_EQ(1, count_mappings());
	ring = c->map;
	EXPECT_EQ(IOIPC_RING_VERSION, ring->version);
	EXPECT_EQ(IPC_NUM, give(c));
	EXPECT_EQ(c->num, *(__u64 *)(c->map + ipc_desc(ring, ipc_tail(ring) -
						       1)->offset));
	EXPECT_EQ(c->num, take(c));
	EXPECT_EQ(0, munmap(c->map, c->sub.region_size));
	check_detach(_metadata, c, run_detach(c));
}

/* The page is made when it is mapped for the first time. */
static int run_map_cursor(struct context *c)
{
	return map(c, sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, 1L << 32);
}

static void check_map_cursor(struct __test_metadata *_metadata,
			     struct context *c, int result)
{
	struct io_uring_ipc_cursor *cursor;
	__u32 position;

	if (result) {
		EXPECT_EQ(0, count_mappings());
		/* The position is the one at the time of the mapping. */
		EXPECT_EQ(IPC_NUM, give(c));
		EXPECT_EQ(c->num, take(c));
		EXPECT_EQ(c->num, wait_recv(&c->ring, c->sub.id));
		ASSERT_EQ(0, run_map_cursor(c));
	}
	cursor = c->map;
	position = cursor->position;
	EXPECT_EQ(IPC_NUM, give(c));
	EXPECT_EQ(c->num, take(c));
	/* Storing it consumes: this message, and none before that is left. */
	__atomic_store_n(&cursor->position, position + 1, __ATOMIC_RELEASE);
	EXPECT_EQ(-EAGAIN, wait_recv(&c->ring, c->sub.id));
	EXPECT_EQ(0, munmap(c->map, sysconf(_SC_PAGESIZE)));
	check_detach(_metadata, c, run_detach(c));
}

/* ---- poll, epoll, IORING_OP_POLL_ADD, fdinfo ---- */

static void prepare_poll(struct __test_metadata *_metadata, struct context *c)
{
	ASSERT_EQ(IPC_NUM, give(c));
	c->pollfd = (struct pollfd) {
		.fd = c->own.fd,
		.events = POLLIN | POLLOUT,
	};
}

static int run_poll(struct context *c)
{
	int ret = poll(&c->pollfd, 1, 0);

	return ret < 0 ? -errno : ret;
}

static void check_poll(struct __test_metadata *_metadata, struct context *c,
		       int result)
{
	if (result >= 0) {
		EXPECT_EQ(1, result);
		EXPECT_EQ(POLLIN | POLLOUT, c->pollfd.revents);
	}
	EXPECT_EQ(c->num, take(c));
}

static void prepare_epoll(struct __test_metadata *_metadata, struct context *c)
{
	prepare_poll(_metadata, c);
	c->pollfd.fd = epoll_create1(EPOLL_CLOEXEC);
	ASSERT_LE(0, c->pollfd.fd);
	c->event = (struct epoll_event) { .events = EPOLLIN | EPOLLET };
}

static int run_epoll(struct context *c)
{
	if (epoll_ctl(c->pollfd.fd, EPOLL_CTL_ADD, c->own.fd, &c->event))
		return -errno;
	return 0;
}

static void check_epoll(struct __test_metadata *_metadata, struct context *c,
			int result)
{
	if (result)
		EXPECT_EQ(0, run_epoll(c));
	EXPECT_EQ(1, epoll_wait(c->pollfd.fd, &c->event, 1, 0));
	EXPECT_EQ(EPOLLIN, c->event.events);
	EXPECT_EQ(0, epoll_wait(c->pollfd.fd, &c->event, 1, 0));
	/* It is told of the next one. */
	EXPECT_EQ(IPC_NUM, give(c));
	EXPECT_EQ(1, epoll_wait(c->pollfd.fd, &c->event, 1, 0));
	EXPECT_EQ(c->num - 1, take(c));
	EXPECT_EQ(c->num, take(c));
	EXPECT_EQ(0, close(c->pollfd.fd));
}

static void prepare_poll_add(struct __test_metadata *_metadata,
			     struct context *c)
{
	struct io_uring_sqe *sqe;

	open_with(_metadata, c);
	sqe = wait_get_sqe(c->with);
	c->data = wait_new_data();
	io_uring_prep_poll_add(sqe, c->own.fd, POLLIN);
	io_uring_sqe_set_data64(sqe, c->data);
}

static void check_poll_add(struct __test_metadata *_metadata,
			   struct context *c, int result)
{
	if (result >= 0)
		EXPECT_EQ(POLLIN, result);
	EXPECT_EQ(c->num, take(c));
}

static void prepare_nothing(struct __test_metadata *_metadata,
			    struct context *c)
{
	open_with(_metadata, c);
}

/* Opening and reading; a file that is not read to its end would be an error. */
static int run_fdinfo(struct context *c)
{
	char path[64];
	ssize_t len;
	int fd, ret;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", c->own.fd);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return -errno;
	len = read(fd, c->text, sizeof(c->text) - 1);
	ret = len < 0 ? -errno : 0;
	c->text[len < 0 ? 0 : len] = 0;
	close(fd);
	return ret;
}

static void check_fdinfo(struct __test_metadata *_metadata, struct context *c,
			 int result)
{
	if (!result)
		EXPECT_NE(NULL, strstr(c->text, "\nioipc-dropped:\t0\n"));
}

/* ---- All of them ---- */

FIXTURE(sweep) {
	struct context context;
};

FIXTURE_VARIANT(sweep) {
	struct operation operation;
};

/* The steps, and then what is special. */
#define OPERATION(name, before, doing, after, ...)			\
	FIXTURE_VARIANT_ADD(sweep, name) {				\
		.operation = {						\
			.prepare = prepare_##before,			\
			.run = run_##doing,				\
			.check = check_##after,				\
			__VA_ARGS__					\
		}							\
	}

OPERATION(create, create, create, create, .errors = { ENOMEM, EFAULT }, .len = 64);
OPERATION(create_multicast, create, create, create, .errors = { ENOMEM, EFAULT },
	  .len = SIZE, .flags = IOIPC_F_MULTICAST, .how = KEYED);
OPERATION(create_overwrite, create, create, create, .errors = { ENOMEM, EFAULT },
	  .len = SIZE, .flags = IOIPC_F_BROADCAST | IOIPC_F_OVERWRITE,
	  .how = KEYED);
OPERATION(create_private, create, create, create, .errors = { ENOMEM, EFAULT },
	  .len = 64, .flags = IOIPC_F_PRIVATE);
OPERATION(create_first, create, create, create, .errors = { ENOMEM, EFAULT },
	  .len = 64, .how = KEYED | FRESH_RING);
OPERATION(create_limited, create, create, create, .errors = { ENOMEM, EFAULT },
	  .len = SIZE, .how = LIMITED);

OPERATION(attach, attach, attach, attach, .errors = { ENOMEM, EFAULT },
	  .flags = IOIPC_SUB_BOTH);
OPERATION(attach_by_key, attach, attach, attach, .errors = { ENOMEM, EFAULT },
	  .flags = IOIPC_SUB_RECV, .how = KEYED, .channel = IOIPC_F_MULTICAST);
OPERATION(attach_history, attach, attach, attach, .errors = { ENOMEM, EFAULT },
	  .flags = IOIPC_SUB_RECV | IOIPC_SUB_HISTORY,
	  .channel = IOIPC_F_BROADCAST);
OPERATION(attach_first, attach, attach, attach, .errors = { ENOMEM, EFAULT },
	  .flags = IOIPC_SUB_BOTH, .how = FRESH_RING);

OPERATION(detach, detach, detach, detach, .how = CANNOT_FAIL);
OPERATION(destroy, destroy, destroy, destroy, .len = 64,
	  .how = KEYED | CANNOT_FAIL);
OPERATION(exit, exit, exit, exit, .len = 64, .how = FRESH_RING | CANNOT_FAIL);

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

OPERATION(map, detach, map, map, .errors = { ENOMEM });
OPERATION(map_cursor, detach, map_cursor, map_cursor, .errors = { ENOMEM },
	  .channel = IOIPC_F_BROADCAST);
OPERATION(poll, poll, poll, poll, .errors = { ENOMEM, EFAULT });
OPERATION(epoll, epoll, epoll, epoll, .errors = { ENOMEM, EFAULT });
OPERATION(poll_add, poll_add, recv_wait, poll_add, .errors = { ENOMEM });
OPERATION(fdinfo, nothing, fdinfo, fdinfo, .errors = { ENOMEM, EFAULT });

/* The kernel's thread that submits what is queued in a ring. */
static int open_sqpoll_faults(void)
{
	char path[64], name[32];
	struct dirent *entry;
	int fd = -1;
	FILE *file;
	DIR *dir;

	dir = opendir("/proc/self/task");
	while (dir && fd < 0 && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/self/task/%.16s/comm",
			 entry->d_name);
		file = fopen(path, "r");
		if (!file)
			continue;
		if (fgets(name, sizeof(name), file) &&
		    !strncmp(name, "iou-sqp-", 8)) {
			snprintf(path, sizeof(path),
				 "/proc/self/task/%.16s/fail-nth",
				 entry->d_name);
			fd = open(path, O_RDWR);
		}
		fclose(file);
	}
	if (dir)
		closedir(dir);
	return fd;
}

FIXTURE_SETUP(sweep)
{
	const struct operation *op = &variant->operation;
	const struct rlimit limit = { LIMIT, LIMIT };
	const struct ipc_who who = { IPC_UID, IPC_GID, 0 };
	struct context *c = &self->context;
	bool queue = !(op->channel & IOIPC_F_BROADCAST);
	int i;

	fault_fd = open("/proc/thread-self/fail-nth", O_RDWR);
	if (fault_fd < 0)
		SKIP(return, "this kernel has no fault injection");
	if (geteuid())
		SKIP(return, "needs to be root");
	ASSERT_TRUE(set_up_faults());
	if (op->how & LIMITED) {
		ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
		ipc_become(who);
		/* For /proc/self. */
		ASSERT_EQ(0, prctl(PR_SET_DUMPABLE, 1));
	}

	c->op = op;
	c->with = &c->ring;
	/* What it waits for is run only when it asks for it. */
	ASSERT_EQ(0, io_uring_queue_init(8, &c->ring, op->how & SQPOLL ?
					 IORING_SETUP_SQPOLL : WAIT_DEFER));
	ASSERT_EQ(0, ipc_open(&c->peer));
	c->key = ipc_new_key();
	c->create = ipc_create_args(op->channel, ENTRIES, SIZE);
	c->create.key = c->key;
	ASSERT_EQ(0, io_uring_ipc_channel_create(&c->ring, &c->create));
	c->channel = c->create.channel_id_out;
	ASSERT_EQ(0, ipc_attach(&c->ring, c->channel, IOIPC_SUB_BOTH, &c->own));
	ASSERT_EQ(0, ipc_attach(&c->peer, c->channel,
				queue ? IOIPC_SUB_BOTH : IOIPC_SUB_SEND,
				&c->other));
	c->last_id = c->other.id;

	c->memory = ipc_pages(2);
	ASSERT_NE(NULL, c->memory);
	memset(c->memory, 0, 2 * SIZE);
	for (i = 0; i < MANY; i++)
		c->vec[i] = (struct iovec) { &c->nums[i], sizeof(c->nums[i]) };
	if (op->how & REGISTERED) {
		struct iovec vec = { c->memory, 2 * SIZE };

		ASSERT_EQ(0, io_uring_register_buffers(&c->ring, &vec, 1));
	}
	if (op->how & PROVIDED)
		ASSERT_EQ(0, msg_pool_open(&c->pool, &c->ring, 4, 64, 0));
	if (op->how & SQPOLL) {
		close(fault_fd);
		fault_fd = open_sqpoll_faults();
		ASSERT_LE(0, fault_fd);
	}
}

FIXTURE_TEARDOWN(sweep)
{
	io_uring_queue_exit(&self->context.peer);
	io_uring_queue_exit(&self->context.ring);
}

static bool may_fail(const struct operation *op, int result)
{
	const int *error;

	for (error = op->errors; *error; error++)
		if (result == -*error)
			return true;
	return false;
}

/* Does it once.  Returns whether a fault was injected. */
static bool run(struct context *c, unsigned int nth, int *result)
{
	unsigned int left = 1;

	fault_arm(nth);
	*result = c->op->run(c);
	/* The other thread may not be done. */
	if (!(c->op->how & SQPOLL))
		left = fault_disarm();
	if (c->data && *result >= 0)
		*result = wait_for_cqe(c->with, c->data, &c->cqe);
	if (c->op->how & SQPOLL)
		left = fault_disarm();
	return !left;
}

TEST_F_TIMEOUT(sweep, every_fault, IPC_TIMEOUT)
{
	struct context *c = &self->context;
	unsigned int nth, failed = 0;
	const struct operation *op = c->op;
	bool injected = true;
	int result;

	for (nth = 1; injected; nth++) {
		op->prepare(_metadata, c);
		injected = run(c, nth, &result);
		if (result < 0) {
			EXPECT_TRUE(injected);
			EXPECT_TRUE(may_fail(op, result));
			failed++;
		}
		op->check(_metadata, c, result);
		check_channel(_metadata, c);
		ASSERT_EQ(KSFT_PASS, _metadata->exit_code)
			TH_LOG("after fault %u, with the result %d", nth,
			       result);
	}
	/* The last time there was none. */
	nth -= 2;
	printf("# %u faults, it failed with %u of them\n", nth, failed);
	fflush(stdout);
	if (!(op->how & CANNOT_FAIL))
		EXPECT_LT(0, nth);
}

/* ---- And at random, under load ---- */

#define PROCESSES	2
/* So many of each kind can be injected, to see how many were. */
#define FAULTS		1000000

static const char *const kinds[] = {
	"failslab", "fail_page_alloc", "fail_usercopy",
};

/* Each allocation and copy of who asks for it fails with this probability. */
static bool set_random_faults(int percent)
{
	const struct {
		const char	*file;
		int		value;
	} settings[] = {
		/* First, so that nobody else fails meanwhile. */
		{ "task-filter", 1 },
		{ "interval", 1 },
		{ "space", 0 },
		{ "times", FAULTS },
		{ "probability", percent },
	};
	char path[80], value[16];
	size_t i, kind;

	for (kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
		for (i = 0; i < ARRAY_SIZE(settings); i++) {
			snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s",
				 kinds[kind], settings[i].file);
			snprintf(value, sizeof(value), "%d", settings[i].value);
			if (!set(path, value))
				return false;
		}
	}
	return true;
}

static long count_faults(const char *kind)
{
	char path[80];
	long left = FAULTS;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/times", kind);
	file = fopen(path, "r");
	if (!file || fscanf(file, "%ld", &left) != 1)
		left = FAULTS;
	if (file)
		fclose(file);
	return FAULTS - left;
}

/* What all processes share. */
struct oracle {
	/* Receivers that are attached: nobody sends before all are. */
	_Atomic int	ready;
	/* Somebody has failed, so the others stop. */
	_Atomic bool	failed;
	/* How many messages were received. */
	_Atomic long	received;
	/* How often each message was received. */
	_Atomic unsigned char times[];
};

/*
 * Like wait_for(), on a ring with one request, for who has faults: any system
 * call may fail, so all that counts is the completion.
 */
static int finish(struct io_uring *ring)
{
	double end = ipc_now() + WAIT_DEADLINE;
	struct io_uring_cqe *cqe;
	int ret;

	while (io_uring_peek_cqe(ring, &cqe)) {
		if (io_uring_sq_ready(ring))
			ret = io_uring_submit(ring);
		else
			ret = io_uring_get_events(ring);
		if (ret < 0 && !is_transient(ret))
			return IPC_NOT_RUN;
		if (ipc_now() > end)
			return IPC_HUNG;
		sched_yield();
	}
	ret = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return ret;
}

/*
 * Sends its numbers one after another, alone, or several at once.  A request that
 * waits is cancelled if io_uring has no memory for poll and then none for a worker,
 * see create_worker_cont() in io-wq.c.
 */
static void send_at_random(struct __test_metadata *_metadata,
			   struct oracle *oracle, __u32 channel, __u64 num,
			   __u64 end)
{
	struct iovec vec[MANY];
	struct io_uring ring;
	struct ipc_sub sub;
	__u64 nums[MANY];
	int i, sent;

	ASSERT_EQ(0, ipc_open(&ring));
	ASSERT_EQ(0, ipc_attach(&ring, channel, IOIPC_SUB_SEND, &sub));
	while (oracle->ready < PROCESSES)
		sched_yield();
	ASSERT_TRUE(set("/proc/thread-self/make-it-fail", "1"));
	while (num < end) {
		for (i = 0; i < MANY; i++) {
			nums[i] = num + i;
			vec[i] = (struct iovec) { &nums[i], sizeof(nums[i]) };
		}
		if (num % 2 && num + MANY <= end) {
			msg_get_send(&ring, sub.id, vec, MANY,
				     IOIPC_SEND_VEC | IOIPC_SEND_WAIT);
			sent = finish(&ring);
		} else {
			msg_get_send(&ring, num % 4 ? sub.id : channel, nums,
				     IPC_NUM, IOIPC_SEND_WAIT);
			sent = finish(&ring);
			sent = sent == IPC_NUM ? 1 : sent;
		}
		if (sent < 0) {
			ASSERT_TRUE(sent == -ENOMEM || sent == -EFAULT ||
				    sent == -ECANCELED)
				TH_LOG("sending fails with %d", sent);
			ASSERT_FALSE(oracle->failed);
			sent = 0;
		}
		ASSERT_GE(MANY, sent);
		num += sent;
	}
}

/* Receives by all means until all are there, all numbers or all for anybody. */
static void receive_at_random(struct __test_metadata *_metadata,
			      struct oracle *oracle, __u32 channel,
			      bool broadcast, long count)
{
	const __u32 flags[] = {
		0, IOIPC_RECV_INFO, IOIPC_RECV_BUNDLE,
		broadcast ? IOIPC_RECV_WAIT : 0,
	};
	char buf[512] __aligned(8);
	struct msg_walk walk;
	long received = 0, round;
	__u64 next[PROCESSES] = {};
	struct io_uring ring;
	struct ipc_sub sub;
	long long num;
	__u32 flag;
	int ret;

	ASSERT_EQ(0, ipc_open(&ring));
	ASSERT_EQ(0, ipc_attach(&ring, channel, IOIPC_SUB_RECV, &sub));
	oracle->ready++;
	ASSERT_TRUE(set("/proc/thread-self/make-it-fail", "1"));
	for (round = 0; (broadcast ? received : oracle->received) < count;
	     round++) {
		flag = flags[round % ARRAY_SIZE(flags)];
		msg_get_recv(&ring, sub.id, buf, sizeof(buf), flag);
		ret = finish(&ring);
		if (ret < 0) {
			ASSERT_TRUE(ret == -EAGAIN || ret == -EFAULT ||
				    ret == -ECANCELED)
				TH_LOG("receiving fails with %d", ret);
			ASSERT_FALSE(oracle->failed);
			sched_yield();
			continue;
		}
		/* It is not a bundle if there is no info, but one number. */
		walk = (struct msg_walk) { .buf = buf, .res = ret };
		do {
			if (flag & (IOIPC_RECV_INFO | IOIPC_RECV_BUNDLE)) {
				num = msg_next_num(&walk);
				if (num == -EAGAIN)
					break;
			} else {
				ASSERT_EQ(IPC_NUM, ret);
				memcpy(&num, buf, sizeof(num));
			}
			ASSERT_LE(0, num);
			ASSERT_GT(count, num);
			/* In a queue, another receiver may have put it back. */
			if (broadcast) {
				ASSERT_EQ(next[num * PROCESSES / count]++,
					  num % (count / PROCESSES));
			}
			oracle->times[num]++;
			oracle->received++;
			received++;
		} while (flag & IOIPC_RECV_BUNDLE);
	}
}

FIXTURE(random) {
	struct io_uring ring;
	__u32 channel;
};

FIXTURE_KINDS(random);

FIXTURE_SETUP(random)
{
	if (access("/proc/thread-self/make-it-fail", W_OK))
		SKIP(return, "this kernel has no fault injection");
	if (geteuid())
		SKIP(return, "needs to be root");
	ASSERT_TRUE(set_up_faults());
	ASSERT_TRUE(set_random_faults(5));
	ASSERT_EQ(0, ipc_open(&self->ring));
	ASSERT_EQ(0, ipc_create(&self->ring, variant->flags, ENTRIES, 64,
				&self->channel));
}

FIXTURE_TEARDOWN(random)
{
	EXPECT_TRUE(set_random_faults(0));
	io_uring_queue_exit(&self->ring);
}

TEST_F_TIMEOUT(random, exactly_once, IPC_TIMEOUT)
{
	bool broadcast = variant->flags & IOIPC_F_BROADCAST;
	long each = ipc_env("MESSAGES", 300), count = PROCESSES * each;
	int i, left, status, wrong = 0;
	struct oracle *oracle;
	size_t kind;
	pid_t pid;

	oracle = ipc_shared(sizeof(*oracle) + count);
	ASSERT_NE(NULL, oracle);
	for (i = 0; i < 2 * PROCESSES; i++) {
		pid = ipc_fork();
		ASSERT_LE(0, pid);
		if (pid)
			continue;
		if (i < PROCESSES)
			send_at_random(_metadata, oracle, self->channel,
				       i * each, (i + 1) * each);
		else
			receive_at_random(_metadata, oracle, self->channel,
					  broadcast, count);
		_exit(0);
	}
	/* Whoever fails makes the others stop. */
	for (left = 2 * PROCESSES; left; left--) {
		ASSERT_LT(0, wait(&status));
		if (status)
			oracle->failed = true;
	}
	EXPECT_FALSE(oracle->failed);
	for (i = 0; i < count; i++)
		wrong += oracle->times[i] != (broadcast ? PROCESSES : 1);
	EXPECT_EQ(0, wrong);
	/*
	 * How many allocations there are is up to who has to wait, and it can be
	 * none. The sweeps fail each of them.
	 */
	for (kind = 0; kind < ARRAY_SIZE(kinds); kind++)
		printf("# %s: %ld faults\n", kinds[kind],
		       count_faults(kinds[kind]));
	fflush(stdout);
	EXPECT_LT(0, count_faults("fail_usercopy"));
}

IPC_HARNESS_MAIN
