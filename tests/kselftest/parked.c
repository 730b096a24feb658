// SPDX-License-Identifier: GPL-2.0
/*
 * What a request costs others while it waits: it keeps no worker from other requests,
 * takes no file of the system, and DETACH of another subscriber does not touch it.
 *
 * parked_victim.c has what others can do to a process whose requests wait.
 * parked_kinds.c and parked_cancel.c have requests of all kinds on all kinds of rings,
 * and parked_stopped.c has processes that do not go on when they are woken.
 *
 * WAITING_SENDS=N is how many unattached sends wait at the same time.
 */
#include "parked.h"

/*
 * Workers
 */

/* As many requests that wait as there are workers, and one that need not wait. */
FIXTURE(workers) {
	struct parked_channel channel;
	struct parked waiting[2];
};

FIXTURE_VARIANT(workers) {
	enum parked_kind kind;
	/* In addition to IOSQE_ASYNC. */
	unsigned int flags;
};

#define ADD_WORKERS(name, more)						\
	FIXTURE_VARIANT_ADD(workers, send##name) {			\
		.kind = PARKED_SEND_UNATTACHED,				\
		.flags = more,						\
	};								\
	FIXTURE_VARIANT_ADD(workers, recv##name) {			\
		.kind = PARKED_RECV,					\
		.flags = more,						\
	}

ADD_WORKERS(, 0);
ADD_WORKERS(_drain, IOSQE_IO_DRAIN);
ADD_WORKERS(_link, IOSQE_IO_LINK);

FIXTURE_SETUP(workers)
{
	unsigned int limits[2] = { 2, 2 };
	int i;

	ASSERT_EQ(0, parked_create(&self->channel, 0, 1));
	ASSERT_EQ(IPC_NUM, parked_fill(&self->channel, variant->kind));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, parked_join(&self->waiting[i], &self->channel,
					 variant->kind, 0));
	}
	/* All rings of a task share its workers. */
	ASSERT_EQ(0, io_uring_register_iowq_max_workers(&self->channel.ring,
							limits));
}

FIXTURE_TEARDOWN(workers)
{
	parked_leave(&self->waiting[0]);
	parked_leave(&self->waiting[1]);
	io_uring_queue_exit(&self->channel.ring);
}

TEST_F_TIMEOUT(workers, never_wait, IPC_TIMEOUT)
{
	struct io_uring *ring = &self->channel.ring;
	struct io_uring_sqe *sqe;
	__u64 num = 5;
	int i;

	for (i = 0; i < 2; i++) {
		sqe = parked_get(&self->waiting[i], variant->kind, 1);
		sqe->flags |= IOSQE_ASYNC | variant->flags;
		if (variant->flags & IOSQE_IO_LINK) {
			sqe = wait_get_sqe(&self->waiting[i].ring);
			io_uring_prep_nop(sqe);
			io_uring_sqe_set_data64(sqe, 2);
		}
		ASSERT_TRUE(wait_nothing(&self->waiting[i].ring));
	}
	if (parked_is_send(variant->kind))
		sqe = wait_get_recv(ring, self->channel.receiver.id, &num, 7);
	else
		sqe = wait_get_send(ring, self->channel.sender.id, &num, 7);
	sqe->rw_flags = 0;
	sqe->flags |= IOSQE_ASYNC;
	EXPECT_EQ(IPC_NUM, wait_for(ring, 7));
	EXPECT_EQ(parked_is_send(variant->kind) ? self->channel.in_slot : 5,
		  num);
	self->channel.in_slot = 0;
	EXPECT_TRUE(ipc_poll(wait_completed(&self->waiting[0].ring) ||
			     wait_completed(&self->waiting[1].ring)));
	ASSERT_EQ(0, parked_go_on(&self->channel, variant->kind, 6));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(IPC_NUM, wait_for(&self->waiting[i].ring, 1));
		if (variant->flags & IOSQE_IO_LINK)
			EXPECT_EQ(0, wait_for(&self->waiting[i].ring, 2));
	}
}

/*
 * Files
 */

/* How many files the kernel has, roughly; -1 if it does not say. */
static long files(void)
{
	long count = -1;
	char line[256];
	FILE *file;

	file = fopen("/proc/sys/fs/file-nr", "r") ?:
	       fopen("/proc/slabinfo", "r");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "filp %ld", &count) == 1 ||
		    sscanf(line, "%ld", &count) == 1)
			break;
	if (file)
		fclose(file);
	return count;
}

/* Beyond the limit of the system, only an administrator gets a file. */
static int open_file(void *arg)
{
	return open(arg, O_RDONLY) < 0 ? -errno : 0;
}

FIXTURE(unattached) {
};

FIXTURE_SETUP(unattached)
{
}

FIXTURE_TEARDOWN(unattached)
{
}

TEST_F_TIMEOUT(unattached, sends_take_no_file, IPC_TIMEOUT)
{
	enum { PER_RING = 16384 };
	struct io_uring_params params = {
		.flags = IORING_SETUP_CQSIZE, .cq_entries = PER_RING,
	};
	long count = ipc_env("WAITING_SENDS", 100000), before, i, left;
	int used = (count + PER_RING - 1) / PER_RING;
	struct parked_channel channel;
	struct io_uring rings[used];
	const struct ipc_who user = { IPC_UID, IPC_GID, 0 };
	struct io_uring_cqe cqe;
	__u64 num = 1;

	if (geteuid())
		SKIP(return, "needs to be root");
	ASSERT_EQ(0, parked_create(&channel, 0, 1));
	ASSERT_EQ(IPC_NUM, parked_fill(&channel, PARKED_SEND_UNATTACHED));
	for (i = 0; i < used; i++) {
		ASSERT_EQ(0, io_uring_queue_init_params(1024, &rings[i],
							&params));
	}
	before = files();
	for (i = 0; i < count; i++)
		wait_get_send(&rings[i / PER_RING], channel.id, &num, i);
	for (i = 0; i < used; i++) {
		ASSERT_TRUE(wait_nothing(&rings[i]));
	}
	EXPECT_EQ(0, ipc_as(user, open_file, "/dev/null"));
	/* The kernel counts some of them later, on each processor. */
	EXPECT_GE(before + 200, files())
		TH_LOG("%ld files, now %ld", before, files());

	/* The end of the channel reaches all of them. */
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&channel.ring, channel.id));
	for (i = 0, left = count; i < used; i++) {
		long mine = left < PER_RING ? left : PER_RING;

		for (left -= mine; mine; mine--) {
			ASSERT_EQ(0, wait_next(&rings[i], &cqe, WAIT_DEADLINE));
			ASSERT_EQ(-EPIPE, cqe.res);
		}
		io_uring_queue_exit(&rings[i]);
	}
	io_uring_queue_exit(&channel.ring);
}

/*
 * The end of other subscribers
 */

FIXTURE(many) {
	struct parked_channel channel;
	struct io_uring ring;
	struct ipc_sub sub;
};

FIXTURE_VARIANT(many) {
	__u32 flags;
	enum parked_kind kind;
};

#define ADD_MANY(name, mode)						\
	FIXTURE_VARIANT_ADD(many, send_##name) {			\
		.flags = mode,						\
		.kind = PARKED_SEND,					\
	};								\
	FIXTURE_VARIANT_ADD(many, recv_##name) {			\
		.flags = mode,						\
		.kind = PARKED_RECV,					\
	}

ADD_MANY(unicast, 0);
ADD_MANY(multicast, IOIPC_F_MULTICAST);
ADD_MANY(broadcast, IOIPC_F_BROADCAST);

/* More than the module does in one step. */
#define MANY	500

FIXTURE_SETUP(many)
{
	ASSERT_EQ(0, parked_create(&self->channel, variant->flags, 1));
	ASSERT_EQ(IPC_NUM, parked_fill(&self->channel, variant->kind));
	ASSERT_EQ(0, io_uring_queue_init(MANY, &self->ring, 0));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel.id,
				parked_is_send(variant->kind) ?
				IOIPC_SUB_SEND : IOIPC_SUB_RECV, &self->sub));
}

FIXTURE_TEARDOWN(many)
{
	io_uring_queue_exit(&self->ring);
	io_uring_queue_exit(&self->channel.ring);
}

TEST_F_TIMEOUT(many, wait_on_when_others_end, IPC_TIMEOUT)
{
	bool sends = parked_is_send(variant->kind);
	static bool done[MANY];
	static __u64 nums[MANY];
	struct io_uring_cqe cqe;
	struct parked other;
	int end, i;

	for (i = 0; i < MANY; i++) {
		nums[i] = i;
		if (sends)
			wait_get_send(&self->ring, self->sub.id, &nums[i], i);
		else
			wait_get_recv(&self->ring, self->sub.id, &nums[i], i);
	}
	ASSERT_TRUE(wait_nothing(&self->ring));
	/* Another one ends by itself, by the owner, or with its ring. */
	for (end = 0; end < 3; end++) {
		ASSERT_EQ(0, parked_join(&other, &self->channel, variant->kind,
					 0));
		parked_get(&other, variant->kind, 1);
		parked_get(&other, variant->kind, 2);
		ASSERT_TRUE(wait_nothing(&other.ring));
		if (end < 2) {
			ASSERT_EQ(0, io_uring_ipc_channel_detach(
					     end ? &self->channel.ring :
					     &other.ring, other.sub.id));
			EXPECT_EQ(-ENOENT, wait_for(&other.ring, 1));
			EXPECT_EQ(-ENOENT, wait_for(&other.ring, 2));
		}
		parked_leave(&other);
		EXPECT_TRUE(wait_nothing(&self->ring));
	}
	for (i = 0; i < MANY; i++) {
		ASSERT_EQ(0, parked_go_on(&self->channel, variant->kind,
					  1000 + i));
		ASSERT_EQ(0, wait_next(&self->ring, &cqe, WAIT_DEADLINE));
		ASSERT_EQ(IPC_NUM, cqe.res);
		/* A slow machine may change the order, see parked.in_order. */
		ASSERT_FALSE(done[cqe.user_data]);
		done[cqe.user_data] = true;
		if (!sends)
			ASSERT_EQ(1000 + i, nums[cqe.user_data]);
	}
	EXPECT_TRUE(wait_nothing(&self->ring));
}

IPC_HARNESS_MAIN
