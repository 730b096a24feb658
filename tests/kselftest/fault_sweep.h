/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Every allocation and every copy of user memory in every operation fails once:
 * the first one, then the second one, and so on until none is left.  After each
 * fault the operation has worked, or it has failed with one of its errors and
 * has done nothing.  In both cases the channel works. kmemleak finds leaked
 * memory at the end of the guest.
 *
 * A request is tried again where a program would do so: if io_uring_enter(2)
 * itself fails, before it has taken the request.
 *
 * The sweep does not reach allocations that may not fail, interrupts, and the
 * threads of the kernel except the one that submits.
 *
 * fault_sweep.c and fault_sweep_messages.c list operations with OPERATION().
 * This file defines an operation, the steps that many operations share, and the
 * test.
 */
#ifndef FAULT_SWEEP_H
#define FAULT_SWEEP_H

#include <dirent.h>
#include <poll.h>
#include <sys/epoll.h>

#include "fault_injection.h"
#include "messages.h"

/* Slots of the channel, and its largest message: a region of several pages. */
#define ENTRIES		4
#define SIZE		4096
/* How many messages a vector or a bundle has. */
#define MANY		3
/* The name of the channel. */
#define NAME		"fault sweep"
/* The memory that one page table maps. */
#define PAGE_TABLE	(2UL << 20)
/*
 * The memory that a limited user can lock, and the message size of a channel
 * that fits only if nothing but the rings is locked.
 */
#define LIMIT		(768U << 10)
#define LARGE		(512U << 10)

/* How an operation differs from the plain one. */
enum {
	UNATTACHED	= 1 << 0,
	TARGETED	= 1 << 1,
	KEYED		= 1 << 2,
	/*
	 * The first operation on its ring, which binds the ring to the module.
	 */
	FRESH_RING	= 1 << 3,
	/* The buffer has no pages yet, and there is no page table for them. */
	FRESH_MEMORY	= 1 << 4,
	/* Buffers are registered or provided. */
	REGISTERED	= 1 << 5,
	PROVIDED	= 1 << 6,
	/* The SQPOLL thread of the ring submits, and has the faults. */
	SQPOLL		= 1 << 7,
	/*
	 * The caller is an unprivileged user that can lock just enough memory.
	 */
	LIMITED		= 1 << 8,
	/* The operation needs no allocation and no copy. */
	CANNOT_FAIL	= 1 << 9,
};

struct context;

struct operation {
	/* Without faults: prepares the operation. */
	void	(*prepare)(struct __test_metadata *_metadata,
			   struct context *c);
	/* With faults: returns the result, if the operation is no request. */
	int	(*run)(struct context *c);
	/* Without faults: checks that everything matches the result. */
	void	(*check)(struct __test_metadata *_metadata, struct context *c,
			 int result);
	/* The errors of the operation, with 0 at the end. */
	int	errors[4];
	unsigned int how;
	/* IOIPC_F_* of the channel. */
	__u32	channel;
	/* Flags of the operation, and the length of its message or buffer. */
	__u32	flags;
	__u32	len;
};

struct context {
	const struct operation *op;
	/* The ring under test, with a subscriber that sends and receives. */
	struct io_uring	ring;
	struct ipc_sub	own;
	/* Another ring, with a subscriber that receives only in a queue. */
	struct io_uring	peer;
	struct ipc_sub	other;
	__u32		channel;
	__u64		key;
	/* The last number that was sent. */
	__u64		num;
	/* How many messages the subscriber `own` has sent and received. */
	long		sent;
	long		received;
	/* The last id that the kernel has assigned. */
	__u32		last_id;

	/* Of the operation: its ring, */
	struct io_uring	*with;
	struct io_uring	fresh;
	/* its request, if there is one, for wait_for(), */
	__u64		data;
	struct io_uring_cqe cqe;
	/* and its other variables. */
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

/* ---- Steps that many operations share ---- */

/* Submits the prepared SQEs. */
static inline int submit(struct context *c)
{
	int ret;

	do {
		ret = io_uring_submit(c->with);
	} while (is_transient(ret));
	return ret < 0 ? IPC_NOT_RUN : 0;
}

/* Runs task work that is ready. */
static inline int get_events(struct context *c)
{
	int ret;

	do {
		ret = io_uring_get_events(c->with);
	} while (is_transient(ret));
	return ret < 0 ? IPC_NOT_RUN : 0;
}

/* Receives a number, or returns a negative errno. */
static inline long long take(struct context *c)
{
	long long num = wait_recv(&c->ring, c->own.id);

	if (num >= 0)
		c->received++;
	return num;
}

/* The other subscriber sends the next number. */
static inline int give(struct context *c)
{
	return ipc_send_num(&c->peer, c->other.id, ++c->num);
}

/* Opens another ring, if the operation must be the first one on its ring. */
static inline void open_with(struct __test_metadata *_metadata,
			     struct context *c)
{
	c->with = &c->ring;
	if (!(c->op->how & FRESH_RING))
		return;
	ASSERT_EQ(0, ipc_open(&c->fresh));
	c->with = &c->fresh;
}

static inline void close_with(struct context *c)
{
	if (c->with == &c->fresh)
		io_uring_queue_exit(&c->fresh);
	c->with = &c->ring;
}

/*
 * Ids are assigned in order, so the ids assigned since the last one are known.
 * None of them may name anything.
 */
static inline void check_ids(struct __test_metadata *_metadata,
			     struct context *c, __u32 next)
{
	__u32 id;

	for (id = c->last_id + 1; id < next; id++) {
		EXPECT_EQ(-ENOENT, io_uring_ipc_channel_destroy(c->with, id));
		EXPECT_EQ(-ENOENT, io_uring_ipc_channel_detach(c->with, id));
		EXPECT_EQ(-ENOENT, ipc_send_num(&c->peer, id, 0));
	}
	c->last_id = next;
}

/* Checks that the channel has all its room, and that its counters are right. */
static inline void check_channel(struct __test_metadata *_metadata,
				 struct context *c)
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

/* Submits, sends a message, and lets the request find the message. */
static inline int run_recv_wait(struct context *c)
{
	int ret;

	ret = submit(c);
	if (ret)
		return ret;
	WITHOUT_FAULTS(ret = give(c));
	return ret == IPC_NUM ? get_events(c) : IPC_NOT_RUN;
}

/* ---- The sweep ---- */

FIXTURE(sweep) {
	struct context context;
};

FIXTURE_VARIANT(sweep) {
	struct operation operation;
};

/* An operation with its steps, and then its special properties. */
#define OPERATION(name, before, doing, after, ...)			\
	FIXTURE_VARIANT_ADD(sweep, name) {				\
		.operation = {						\
			.prepare = prepare_##before,			\
			.run = run_##doing,				\
			.check = check_##after,				\
			__VA_ARGS__					\
		}							\
	}

/* Opens fail-nth of the SQPOLL thread of a ring. */
static inline int open_sqpoll_faults(void)
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
		/* This makes /proc/self writable. */
		ASSERT_EQ(0, prctl(PR_SET_DUMPABLE, 1));
	}

	c->op = op;
	c->with = &c->ring;
	/* A request that waits runs only when its task asks for events. */
	ASSERT_EQ(0, io_uring_queue_init(8, &c->ring, op->how & SQPOLL ?
					 IORING_SETUP_SQPOLL : WAIT_DEFER));
	ASSERT_EQ(0, ipc_open(&c->peer));
	c->key = ipc_new_key();
	c->create = ipc_create_args(op->channel, ENTRIES, SIZE);
	c->create.key = c->key;
	ASSERT_EQ(0, io_uring_ipc_channel_create_name(&c->ring, NAME, &c->create));
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

static inline bool may_fail(const struct operation *op, int result)
{
	const int *error;

	for (error = op->errors; *error; error++)
		if (result == -*error)
			return true;
	return false;
}

/* Runs the operation once.  Returns whether a fault was injected. */
static inline bool run(struct context *c, unsigned int nth, int *result)
{
	unsigned int left = 1;

	fault_arm(nth);
	*result = c->op->run(c);
	/* The SQPOLL thread may still be running. */
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
	/* The last run had no fault. */
	nth -= 2;
	printf("# %u faults, it failed with %u of them\n", nth, failed);
	fflush(stdout);
	if (!(op->how & CANNOT_FAIL))
		EXPECT_LT(0, nth);
}

#endif /* FAULT_SWEEP_H */
