// SPDX-License-Identifier: GPL-2.0
/*
 * Four processes send and four receive, and shared memory has the expected
 * result: each message arrives once (once per receiver in a broadcast channel)
 * and intact. The messages of each sender arrive in order, and all receivers of
 * a broadcast channel get the same order.
 *
 * MESSAGES=N is the number of messages that each process sends.
 */
#include "ipc_test.h"

#define SENDERS		4
#define RECEIVERS	4
#define SIZE		1000

FIXTURE(stress) {
	struct io_uring ring;
	__u32 channel;
};

FIXTURE_VARIANT(stress) {
	__u32 flags;
	__u32 entries;
};

FIXTURE_VARIANT_ADD(stress, unicast) {
	.flags = 0,
	.entries = 16,
};

FIXTURE_VARIANT_ADD(stress, multicast) {
	.flags = IOIPC_F_MULTICAST,
	.entries = 16,
};

FIXTURE_VARIANT_ADD(stress, broadcast) {
	.flags = IOIPC_F_BROADCAST,
	.entries = 16,
};

/* The smallest rings have the most contention for a slot. */
FIXTURE_VARIANT_ADD(stress, unicast_of_2) {
	.flags = 0,
	.entries = 2,
};

FIXTURE_VARIANT_ADD(stress, broadcast_of_2) {
	.flags = IOIPC_F_BROADCAST,
	.entries = 2,
};

FIXTURE_VARIANT_ADD(stress, private_multicast) {
	.flags = IOIPC_F_MULTICAST | IOIPC_F_PRIVATE,
	.entries = 64,
};

FIXTURE_SETUP(stress)
{
	ASSERT_EQ(0, ipc_open(&self->ring));
	ASSERT_EQ(0, ipc_create(&self->ring, variant->flags, variant->entries,
				SIZE, &self->channel));
}

FIXTURE_TEARDOWN(stress)
{
	io_uring_queue_exit(&self->ring);
}

struct message {
	__u32	sender;
	__u32	num;
	__u32	len;
	char	fill[];
};

/* Shared by all processes. */
struct oracle {
	/* How many receivers are attached: no process sends before all are. */
	_Atomic int	ready;
	_Atomic bool	failed;
	/* How many messages all receivers have received. */
	_Atomic long	received;
	/* Of each receiver, a hash of the messages and their order. */
	__u64		order[RECEIVERS];
	/* How often each message was received. */
	_Atomic unsigned char times[];
};

static __u32 length_of(__u32 sender, __u32 num)
{
	__u32 state = (sender + 1) * 2654435761U ^ num * 40503;

	return sizeof(struct message) +
	       ipc_random(&state) % (SIZE - sizeof(struct message) + 1);
}

static void send_all(struct __test_metadata *_metadata, struct oracle *oracle,
		     __u32 channel, bool may_be_unattached, __u32 me, long count)
{
	char buf[SIZE] __aligned(8);
	struct message *message = (void *)buf;
	struct io_uring ring;
	struct ipc_sub sub;
	__u32 id;
	int ret;

	ASSERT_EQ(0, ipc_open(&ring));
	ASSERT_EQ(0, ipc_attach(&ring, channel, IOIPC_SUB_SEND, &sub));
	/*
	 * Half of the senders are not attached, which must keep the order too.
	 */
	id = may_be_unattached && me % 2 ? channel : sub.id;
	while (oracle->ready < RECEIVERS)
		sched_yield();
	message->sender = me;
	for (message->num = 0; message->num < count; message->num++) {
		message->len = length_of(me, message->num);
		ipc_fill(message->fill, message->len - sizeof(*message),
			 message->num + me);
		while ((ret = ipc_send(&ring, id, message, message->len)) ==
		       -ENOBUFS) {
			ASSERT_FALSE(oracle->failed);
			sched_yield();
		}
		ASSERT_EQ(message->len, ret);
	}
}

static void receive_all(struct __test_metadata *_metadata,
			struct oracle *oracle, __u32 channel, bool all, int me,
			long count)
{
	char buf[SIZE] __aligned(8);
	struct message *message = (void *)buf;
	long next[SENDERS] = {}, received = 0;
	struct io_uring ring;
	struct ipc_sub sub;
	__u64 order = 0;
	int ret;

	ASSERT_EQ(0, ipc_open(&ring));
	ASSERT_EQ(0, ipc_attach(&ring, channel, IOIPC_SUB_RECV, &sub));
	oracle->ready++;
	while ((all ? received : oracle->received) < SENDERS * count) {
		ret = ipc_recv(&ring, sub.id, buf, SIZE);
		if (ret == -EAGAIN) {
			ASSERT_FALSE(oracle->failed);
			sched_yield();
			continue;
		}
		ASSERT_LE(sizeof(*message), ret);
		ASSERT_GT(SENDERS, message->sender);
		ASSERT_GT(count, message->num);
		ASSERT_EQ(message->len, ret);
		ASSERT_EQ(length_of(message->sender, message->num), ret);
		ASSERT_TRUE(ipc_filled(message->fill, ret - sizeof(*message),
				       message->num + message->sender))
			TH_LOG("message %u of sender %u", message->num,
			       message->sender);
		/* Other receivers may have received the messages in between. */
		ASSERT_LE(next[message->sender], message->num)
			TH_LOG("of sender %u", message->sender);
		if (all) {
			ASSERT_EQ(next[message->sender], message->num)
				TH_LOG("of sender %u", message->sender);
		}
		next[message->sender] = message->num + 1;
		oracle->times[message->sender * count + message->num]++;
		order = order * 31 + message->sender * count + message->num;
		received++;
		oracle->received++;
	}
	oracle->order[me] = order;
	ASSERT_EQ(-EAGAIN, ipc_recv(&ring, sub.id, buf, SIZE));
}

TEST_F_TIMEOUT(stress, four_by_four, IPC_TIMEOUT)
{
	bool all = variant->flags & IOIPC_F_BROADCAST;
	bool private = variant->flags & IOIPC_F_PRIVATE;
	long count = ipc_env("MESSAGES", 500), wrong = 0, i;
	pid_t child[SENDERS + RECEIVERS];
	struct oracle *oracle;
	int left, status;

	oracle = ipc_shared(sizeof(*oracle) + SENDERS * count);
	ASSERT_NE(NULL, oracle);
	for (i = 0; i < SENDERS + RECEIVERS; i++) {
		child[i] = ipc_fork();
		ASSERT_LE(0, child[i]);
		if (child[i])
			continue;
		if (i < SENDERS)
			send_all(_metadata, oracle, self->channel, !private, i,
				 count);
		else
			receive_all(_metadata, oracle, self->channel, all,
				    i - SENDERS, count);
		_exit(0);
	}
	/* A process that fails makes the others stop. */
	for (left = SENDERS + RECEIVERS; left; left--) {
		ASSERT_LT(0, wait(&status));
		if (status)
			oracle->failed = true;
	}
	EXPECT_FALSE(oracle->failed);
	for (i = 0; i < SENDERS * count; i++)
		wrong += oracle->times[i] != (all ? RECEIVERS : 1);
	EXPECT_EQ(0, wrong);
	EXPECT_EQ(SENDERS * count * (all ? RECEIVERS : 1), oracle->received);
	for (i = 1; all && i < RECEIVERS; i++) {
		EXPECT_EQ(oracle->order[0], oracle->order[i])
			TH_LOG("receiver %ld", i);
	}
}

IPC_HARNESS_MAIN
