// SPDX-License-Identifier: GPL-2.0
/*
 * Processes that use a channel are killed at random moments, beside an honest
 * pair.  The pair must never be stuck, must lose no message, and must not see a
 * half-written message.  In the end all slots of the channel must be usable
 * again.
 *
 * KILL_SECONDS=N is how long this takes, for all kinds of channels together.
 */
#include "fixture.h"

#define ENTRIES	16
#define SIZE	16384
#define VICTIMS	4
#define SEED	0x5eed1234U

FIXTURE(kill) {
	struct io_uring ring;
	__u32 channel;
};

FIXTURE_KINDS(kill);

FIXTURE_SETUP(kill)
{
	ASSERT_EQ(0, ipc_open(&self->ring));
	ASSERT_EQ(0, ipc_create(&self->ring, variant->flags, ENTRIES, SIZE,
				&self->channel));
}

FIXTURE_TEARDOWN(kill)
{
	io_uring_queue_exit(&self->ring);
}

struct message {
	__u32	honest;
	__u32	num;
	__u32	len;
	char	fill[];
};

struct shared {
	/* Id of the honest receiver, 0 until it is attached. */
	_Atomic __u32	target;
	_Atomic bool	stop;
	_Atomic long	sent;
	_Atomic bool	sent_all;
	_Atomic long	received;
};

static void prepare(struct message *message, bool honest, __u32 num, __u32 len)
{
	message->honest = honest;
	message->num = num;
	message->len = len;
	ipc_fill(message->fill, len - sizeof(*message), num + honest);
}

static bool intact(const struct message *message, int len)
{
	return len >= (int)sizeof(*message) && message->len == len &&
	       ipc_filled(message->fill, len - sizeof(*message),
			  message->num + message->honest);
}

static __u32 any_length(__u32 *random)
{
	return sizeof(struct message) +
	       ipc_random(random) % (SIZE - sizeof(struct message) + 1);
}

/* No receiver that is killed can take a message for another receiver. */
static void honest_sender(struct __test_metadata *_metadata, __u32 channel,
			  bool all, struct shared *shared)
{
	char buf[SIZE] __aligned(8);
	struct message *message = (void *)buf;
	struct io_uring ring;
	struct ipc_sub sub;
	__u32 random = SEED;
	int ret;

	ASSERT_EQ(0, ipc_open(&ring));
	ASSERT_EQ(0, ipc_attach(&ring, channel, IOIPC_SUB_SEND, &sub));
	while (!shared->target)
		sched_yield();
	while (!shared->stop) {
		prepare(message, true, shared->sent, any_length(&random));
		while ((ret = ipc_send_to(&ring, sub.id, message, message->len,
					  all ? 0 : shared->target)) == -ENOBUFS)
			sched_yield();
		ASSERT_EQ(message->len, ret);
		shared->sent++;
	}
	shared->sent_all = true;
}

static void honest_receiver(struct __test_metadata *_metadata, __u32 channel,
			    struct shared *shared)
{
	char buf[SIZE] __aligned(8);
	struct message *message = (void *)buf;
	struct io_uring ring;
	struct ipc_sub sub;
	int ret;

	ASSERT_EQ(0, ipc_open(&ring));
	ASSERT_EQ(0, ipc_attach(&ring, channel, IOIPC_SUB_RECV, &sub));
	shared->target = sub.id;
	while (!shared->sent_all || shared->received < shared->sent) {
		ret = ipc_recv(&ring, sub.id, buf, SIZE);
		if (ret == -EAGAIN) {
			sched_yield();
			continue;
		}
		ASSERT_LE(0, ret);
		ASSERT_TRUE(intact(message, ret));
		if (!message->honest)
			continue;
		ASSERT_EQ((__u32)shared->received, message->num);
		shared->received++;
	}
}

/* Never returns: it is killed at any point. */
static void victim(__u32 channel, __u32 role, __u32 random)
{
	char buf[SIZE] __aligned(8);
	static const __u32 flags[] = {
		IOIPC_SUB_SEND, IOIPC_SUB_RECV, IOIPC_SUB_BOTH, IOIPC_SUB_BOTH,
	};
	struct message *message = (void *)buf;
	struct io_uring ring;
	struct ipc_sub sub;
	__u32 own = 0, i;

	if (ipc_open(&ring))
		_exit(KSFT_FAIL);
	for (;;) {
		/* One role attaches and closes its ring all the time. */
		__u32 rounds = role == 3 ? 5 : UINT_MAX;

		if (role == 3 && ipc_create(&ring, 0, 8, SIZE, &own))
			_exit(KSFT_FAIL);
		if (ipc_attach(&ring, channel, flags[role], &sub))
			_exit(KSFT_FAIL);
		for (i = 0; i < rounds; i++) {
			if (flags[role] & IOIPC_SUB_SEND) {
				prepare(message, false, i, any_length(&random));
				ipc_send(&ring, sub.id, buf, message->len);
			}
			if (flags[role] & IOIPC_SUB_RECV)
				ipc_recv(&ring, sub.id, buf, SIZE);
		}
		close(sub.fd);
		if (io_uring_ipc_channel_detach(&ring, sub.id) ||
		    io_uring_ipc_channel_destroy(&ring, own))
			_exit(KSFT_FAIL);
	}
}

TEST_F_TIMEOUT(kill, honest_pair_among_victims, 2 * IPC_TIMEOUT)
{
	bool all = variant->flags & IOIPC_F_BROADCAST;
	double end = ipc_now() + ipc_env("KILL_SECONDS", 5) / 3.0;
	pid_t sender, receiver, victims[VICTIMS] = {};
	double progress = ipc_now();
	struct shared *shared;
	__u32 random = SEED;
	long last = 0, killed = 0;
	struct ipc_sub sub;
	int i;

	shared = ipc_shared(sizeof(*shared));
	ASSERT_NE(NULL, shared);
	sender = ipc_fork();
	ASSERT_LE(0, sender);
	if (!sender) {
		honest_sender(_metadata, self->channel, all, shared);
		_exit(0);
	}
	receiver = ipc_fork();
	ASSERT_LE(0, receiver);
	if (!receiver) {
		honest_receiver(_metadata, self->channel, shared);
		_exit(0);
	}

	while (ipc_now() < end || shared->received < 10) {
		i = ipc_random(&random) % VICTIMS;
		if (victims[i]) {
			ASSERT_EQ(0, kill(victims[i], SIGKILL));
			ASSERT_EQ(128 + SIGKILL, ipc_wait(victims[i]));
			killed++;
		}
		victims[i] = ipc_fork();
		ASSERT_LE(0, victims[i]);
		if (!victims[i])
			victim(self->channel, i, ipc_random(&random) | 1);
		ipc_nap(ipc_random(&random) % 20000);

		if (shared->received != last) {
			last = shared->received;
			progress = ipc_now();
		}
		ASSERT_GT(progress + IPC_DEADLINE, ipc_now())
			TH_LOG("the honest pair is stuck after %ld messages",
			       last);
		ASSERT_EQ(0, waitpid(sender, NULL, WNOHANG));
		ASSERT_EQ(0, waitpid(receiver, NULL, WNOHANG));
	}
	shared->stop = true;
	EXPECT_EQ(0, ipc_wait(sender));
	EXPECT_EQ(0, ipc_wait(receiver));
	EXPECT_EQ(shared->sent, shared->received);
	for (i = 0; i < VICTIMS; i++) {
		if (!victims[i])
			continue;
		ASSERT_EQ(0, kill(victims[i], SIGKILL));
		ASSERT_EQ(128 + SIGKILL, ipc_wait(victims[i]));
		killed++;
	}
	TH_LOG("%ld messages while %ld processes were killed",
	       shared->received, killed);

	/*
	 * All messages that are left can be received, and all slots are there.
	 */
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_BOTH,
				&sub));
	EXPECT_TRUE(ipc_poll(({
		__u64 num;

		while (ipc_recv(&self->ring, sub.id, &num, sizeof(num)) >= 0)
			;
		ipc_send_nums(&self->ring, sub.id, 0, ENTRIES) == ENTRIES;
	})));
	EXPECT_EQ(-ENOBUFS, ipc_send_num(&self->ring, sub.id, 99));
	EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->ring, sub.id, 0, ENTRIES));
}

IPC_HARNESS_MAIN
