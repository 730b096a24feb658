// SPDX-License-Identifier: GPL-2.0
/*
 * Ping-pong between two processes on all kinds of rings. Each process waits for
 * every message, so one lost wake-up stops both.
 *
 * ROUND_TRIPS=N is the number of round trips, and SQPOLL_ROUND_TRIPS=N the same
 * on a ring with SQPOLL, where they take longer.
 */
#include "waiting.h"

FIXTURE(flavour) {
	struct io_uring ring;
	__u32 there;
	__u32 back;
};

FIXTURE_VARIANT(flavour) {
	unsigned int setup;
	__u32 flags;
	__u32 entries;
	/* Flags of the SQE. */
	unsigned int sqe_flags;
};

FIXTURE_VARIANT_ADD(flavour, plain) {
	.setup = 0,
	.entries = 8,
};

FIXTURE_VARIANT_ADD(flavour, multicast) {
	.setup = 0,
	.flags = IOIPC_F_MULTICAST,
	.entries = 8,
};

FIXTURE_VARIANT_ADD(flavour, broadcast) {
	.setup = 0,
	.flags = IOIPC_F_BROADCAST,
	.entries = 8,
};

FIXTURE_VARIANT_ADD(flavour, one_slot) {
	.setup = 0,
	.entries = 1,
};

FIXTURE_VARIANT_ADD(flavour, single_issuer) {
	.setup = IORING_SETUP_SINGLE_ISSUER,
	.entries = 8,
};

FIXTURE_VARIANT_ADD(flavour, defer_taskrun) {
	.setup = WAIT_DEFER,
	.entries = 8,
};

FIXTURE_VARIANT_ADD(flavour, coop_taskrun) {
	.setup = IORING_SETUP_COOP_TASKRUN,
	.entries = 8,
};

FIXTURE_VARIANT_ADD(flavour, sqpoll) {
	.setup = IORING_SETUP_SQPOLL,
	.entries = 8,
};

FIXTURE_VARIANT_ADD(flavour, cqe32) {
	.setup = IORING_SETUP_SQE128 | IORING_SETUP_CQE32,
	.entries = 8,
};

FIXTURE_VARIANT_ADD(flavour, disabled_first) {
	.setup = IORING_SETUP_R_DISABLED,
	.entries = 8,
};

FIXTURE_VARIANT_ADD(flavour, defer_disabled_first) {
	.setup = IORING_SETUP_R_DISABLED | WAIT_DEFER,
	.entries = 8,
};

FIXTURE_VARIANT_ADD(flavour, async) {
	.setup = 0,
	.entries = 8,
	.sqe_flags = IOSQE_ASYNC,
};

FIXTURE_SETUP(flavour)
{
	ASSERT_EQ(0, ipc_open(&self->ring));
	ASSERT_EQ(0, ipc_create(&self->ring, variant->flags, variant->entries,
				64, &self->there));
	ASSERT_EQ(0, ipc_create(&self->ring, variant->flags, variant->entries,
				64, &self->back));
}

FIXTURE_TEARDOWN(flavour)
{
	io_uring_queue_exit(&self->ring);
}

struct side {
	struct io_uring	ring;
	struct ipc_sub	out;
	struct ipc_sub	in;
	unsigned int	sqe_flags;
};

static void open_side(struct __test_metadata *_metadata, struct side *side,
		      const FIXTURE_VARIANT(flavour) *variant, __u32 out,
		      __u32 in)
{
	struct io_uring_params params = { .flags = variant->setup };

	/* Idle SQPOLL threads must sleep, and rarely use the processor. */
	params.sq_thread_idle = 1;
	ASSERT_EQ(0, io_uring_queue_init_params(8, &side->ring, &params));
	ASSERT_EQ(0, ipc_attach(&side->ring, out, IOIPC_SUB_SEND, &side->out));
	ASSERT_EQ(0, ipc_attach(&side->ring, in, IOIPC_SUB_RECV, &side->in));
	if (variant->setup & IORING_SETUP_R_DISABLED)
		ASSERT_EQ(0, io_uring_enable_rings(&side->ring));
	side->sqe_flags = variant->sqe_flags;
}

/* With one submission for both requests. */
static void send_and_receive(struct __test_metadata *_metadata,
			     struct side *side, __u64 num, __u64 *got)
{
	wait_get_recv(&side->ring, side->in.id, got, 2)->flags |=
		side->sqe_flags;
	wait_get_send(&side->ring, side->out.id, &num, 1)->flags |=
		side->sqe_flags;
	ASSERT_EQ(IPC_NUM, wait_for(&side->ring, 1))
		TH_LOG("sending %llu", num);
	ASSERT_EQ(IPC_NUM, wait_for(&side->ring, 2))
		TH_LOG("the answer to %llu", num);
}

TEST_F_TIMEOUT(flavour, ping_pong, IPC_TIMEOUT)
{
	long rounds = ipc_env("ROUND_TRIPS", 2000);
	_Atomic bool *ready = ipc_shared(sizeof(*ready));
	struct side side;
	__u64 i, got;
	pid_t pid;

	if (variant->setup & IORING_SETUP_SQPOLL)
		rounds = ipc_env("SQPOLL_ROUND_TRIPS", rounds);
	if (variant->sqe_flags)
		rounds = (rounds + 9) / 10;
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		open_side(_metadata, &side, variant, self->back, self->there);
		*ready = true;
		for (i = 0; i < rounds; i++) {
			if (i) {
				send_and_receive(_metadata, &side, i - 1, &got);
				ASSERT_EQ(i, got);
			} else {
				ASSERT_EQ(0, wait_recv_wait(&side.ring,
							    side.in.id));
			}
		}
		ASSERT_EQ(IPC_NUM, wait_send_wait(&side.ring, side.out.id,
						  i - 1));
		io_uring_queue_exit(&side.ring);
		_exit(0);
	}
	open_side(_metadata, &side, variant, self->there, self->back);
	ASSERT_TRUE(ipc_poll(*ready));
	for (i = 0; i < rounds; i++) {
		send_and_receive(_metadata, &side, i, &got);
		ASSERT_EQ(i, got);
	}
	EXPECT_EQ(0, wait_child(pid));
	io_uring_queue_exit(&side.ring);
}

/* A waiting request on such a ring can be cancelled, and the ring be closed. */
TEST_F_TIMEOUT(flavour, cancel_and_exit, IPC_TIMEOUT)
{
	struct side side;
	__u64 got = 0;
	int i;

	open_side(_metadata, &side, variant, self->there, self->there);
	for (i = 0; i < 20; i++) {
		wait_get_recv(&side.ring, side.in.id, &got, 7)->flags |=
			side.sqe_flags;
		EXPECT_TRUE(wait_nothing(&side.ring));
		EXPECT_TRUE(wait_end(&side.ring, 7, false));
		EXPECT_EQ(IPC_NUM, wait_send(&side.ring, side.out.id, i));
		EXPECT_EQ(i, wait_recv_wait(&side.ring, side.in.id));
	}
	wait_get_recv(&side.ring, side.in.id, &got, 7)->flags |= side.sqe_flags;
	EXPECT_TRUE(wait_nothing(&side.ring));
	io_uring_queue_exit(&side.ring);
}

IPC_HARNESS_MAIN
