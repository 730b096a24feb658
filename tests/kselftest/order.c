// SPDX-License-Identifier: GPL-2.0
/*
 * Many messages of all sizes, from one process to another: each message arrives
 * once, and in order.
 *
 * MESSAGES=N is the number of messages of the long tests.
 */
#include "fixture.h"

FIXTURE(order) {
	struct io_uring ring;
};

FIXTURE_KINDS(order);

FIXTURE_SETUP(order)
{
	ASSERT_EQ(0, ipc_open(&self->ring));
}

FIXTURE_TEARDOWN(order)
{
	io_uring_queue_exit(&self->ring);
}

/* Tries until there is room. */
static int send_patiently(struct io_uring *ring, __u32 id, const void *buf,
			  __u32 len)
{
	int ret;

	while ((ret = ipc_send(ring, id, buf, len)) == -ENOBUFS)
		sched_yield();
	return ret;
}

static int recv_patiently(struct io_uring *ring, __u32 id, void *buf, __u32 len)
{
	int ret;

	while ((ret = ipc_recv(ring, id, buf, len)) == -EAGAIN)
		sched_yield();
	return ret;
}

/*
 * A child sends `count` messages through a ring of `entries` slots. Message i
 * has length size(i).
 */
static void run(struct __test_metadata *_metadata, struct io_uring *ring,
		__u32 flags, __u32 entries, __u32 max, int count,
		__u32 (*size)(__u32 i, __u32 max))
{
	struct ipc_sub receiver;
	__u32 channel;
	char *buf;
	pid_t pid;
	int i;

	buf = malloc(max);
	ASSERT_NE(NULL, buf);
	ASSERT_EQ(0, ipc_create(ring, flags, entries, max, &channel));
	ASSERT_EQ(0, ipc_attach(ring, channel, IOIPC_SUB_RECV, &receiver));
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct io_uring own;
		struct ipc_sub sender;

		ASSERT_EQ(0, ipc_open(&own));
		ASSERT_EQ(0, ipc_attach(&own, channel, IOIPC_SUB_SEND,
					&sender));
		for (i = 0; i < count; i++) {
			__u32 len = size(i, max);

			ipc_fill(buf, len, i);
			ASSERT_EQ(len, send_patiently(&own, sender.id, buf,
						      len))
				TH_LOG("message %d", i);
		}
		_exit(0);
	}
	for (i = 0; i < count; i++) {
		__u32 len = size(i, max);

		ASSERT_EQ(len, recv_patiently(ring, receiver.id, buf, max))
			TH_LOG("message %d", i);
		ASSERT_TRUE(ipc_filled(buf, len, i))
			TH_LOG("message %d", i);
	}
	EXPECT_EQ(0, ipc_wait(pid));
	EXPECT_EQ(-EAGAIN, ipc_recv(ring, receiver.id, buf, max));
	free(buf);
}

static __u32 full_size(__u32 __always_unused i, __u32 max)
{
	return max;
}

/* Lengths where an off-by-one error would show. */
static __u32 edge_size(__u32 i, __u32 max)
{
	const __u32 sizes[] = {
		0, 1, max - 1, max, max / 2, 7, 8, 9, 63, 64, 65,
	};
	__u32 size = sizes[i % ARRAY_SIZE(sizes)];

	return size < max ? size : max;
}

static __u32 random_size(__u32 i, __u32 max)
{
	__u32 state = i * 2654435761U + 1;

	return ipc_random(&state) % (max + 1);
}

TEST_F_TIMEOUT(order, thousands_through_a_ring_of_8, IPC_TIMEOUT)
{
	run(_metadata, &self->ring, variant->flags, 8, 16,
	    ipc_env("MESSAGES", 10000), full_size);
}

TEST_F_TIMEOUT(order, hundreds_through_a_ring_of_1, IPC_TIMEOUT)
{
	run(_metadata, &self->ring, variant->flags, 1, 16,
	    ipc_env("MESSAGES", 10000) / 20, full_size);
}

TEST_F_TIMEOUT(order, sizes_at_the_edges, IPC_TIMEOUT)
{
	run(_metadata, &self->ring, variant->flags, 8, 100, 220, edge_size);
	run(_metadata, &self->ring, variant->flags, 8, 4096, 110, edge_size);
	run(_metadata, &self->ring, variant->flags, 4, 1, 110, edge_size);
}

TEST_F_TIMEOUT(order, random_sizes, IPC_TIMEOUT)
{
	run(_metadata, &self->ring, variant->flags, 16, 10000, 300,
	    random_size);
}

TEST_F_TIMEOUT(order, largest_size, IPC_TIMEOUT)
{
	run(_metadata, &self->ring, variant->flags, 4, IOIPC_MAX_MSG_SIZE, 22,
	    edge_size);
}

IPC_HARNESS_MAIN
