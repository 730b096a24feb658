// SPDX-License-Identifier: GPL-2.0
/*
 * Several receivers wait, and one of them is killed, cancelled or detached at a
 * random moment: another one gets the message.
 *
 * RANDOM_ROUNDS=N is how often this is tried.
 */
#include <poll.h>
#include <pthread.h>

#include "wait_handover_fixture.h"

#define SEED	0x5eed4321U

/* What a process does at random moments, until it is told to stop. */
struct contest {
	_Atomic int	ready;
	_Atomic bool	go;
	/* How many processes have received the message, and its number. */
	_Atomic int	received;
	_Atomic __u64	got;
	_Atomic int	failed;
};

struct victim {
	struct contest	*contest;
	__u32		channel;
	unsigned int	setup;
};

static void receive_one(struct __test_metadata *_metadata,
			struct victim *victim)
{
	struct contest *contest = victim->contest;
	struct io_uring ring;
	struct ipc_sub sub;
	__u64 got = 0;

	ASSERT_EQ(0, io_uring_queue_init(8, &ring, victim->setup));
	ASSERT_EQ(0, ipc_attach(&ring, victim->channel, IOIPC_SUB_RECV, &sub));
	wait_get_recv(&ring, sub.id, &got, 7);
	ASSERT_EQ(1, io_uring_submit(&ring));
	contest->ready++;
	if (wait_for(&ring, 7) != IPC_NUM) {
		contest->failed++;
	} else {
		contest->got = got;
		contest->received++;
	}
	for (;;)
		pause();
}

/* Whether there is a message for a subscriber. */
static bool readable(const struct ipc_sub *sub)
{
	struct pollfd pollfd = { .fd = sub->fd, .events = POLLIN };

	return poll(&pollfd, 1, 0) == 1;
}

/*
 * Two processes wait, one message is sent, one process is killed.  Unless the
 * killed process has received the message, the other one receives it.  In a
 * queue the test cannot know whether the killed process has received it, so the
 * test sends a second message then.
 */
TEST_F_TIMEOUT(handover, kill_at_random, IPC_TIMEOUT)
{
	struct contest *contest = ipc_shared(sizeof(*contest));
	long rounds = ipc_env("RANDOM_ROUNDS", 40), round, taken = 0;
	struct victim victim = { contest, self->channel, 0 };
	__u32 random = SEED;
	struct ipc_sub sub;
	pid_t pid[2];
	int i, dead;

	ASSERT_NE(NULL, contest);
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->first_ring,
						 self->first.id));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->second_ring,
						 self->second.id));
	/*
	 * This subscriber never waits, and sees which messages are in a queue.
	 */
	if (!self->all)
		ASSERT_EQ(0, ipc_attach(&self->ring, self->channel,
					IOIPC_SUB_RECV, &sub));
	for (round = 0; round < rounds; round++) {
		memset(contest, 0, sizeof(*contest));
		victim.setup = round % 2 ? WAIT_DEFER : 0;
		for (i = 0; i < 2; i++) {
			pid[i] = ipc_fork();
			ASSERT_LE(0, pid[i]);
			if (!pid[i])
				receive_one(_metadata, &victim);
			/* The first process always attaches first. */
			ASSERT_TRUE(ipc_poll(contest->ready == i + 1));
		}
		dead = ipc_random(&random) % 4 == 3;
		ASSERT_EQ(IPC_NUM, wait_send_wait(&self->ring, self->sender.id,
						  100));
		if (ipc_random(&random) % 4)
			ipc_nap(ipc_random(&random) % 300);
		ASSERT_EQ(0, kill(pid[dead], SIGKILL));
		ASSERT_EQ(128 + SIGKILL, ipc_wait(pid[dead]));
		/* From here on, only the end of the ring wakes a receiver. */
		if (!self->all) {
			ASSERT_TRUE(ipc_poll(contest->received ||
					     !readable(&sub)))
				TH_LOG("round %ld: the message is there, and a receiver waits",
				       round);
			/*
			 * The killed process has taken the message, and may
			 * have reported that.
			 */
			if (!contest->received)
				ASSERT_EQ(IPC_NUM, wait_send(&self->ring,
							     self->sender.id,
							     101));
		}
		ASSERT_TRUE(ipc_poll(contest->received))
			TH_LOG("round %ld: the other receiver hangs", round);
		taken += contest->got == 101;
		ASSERT_EQ(0, contest->failed);
		ASSERT_EQ(0, kill(pid[!dead], SIGKILL));
		ASSERT_EQ(128 + SIGKILL, ipc_wait(pid[!dead]));
		/* The second message, if no process needed it. */
		while (!self->all && wait_recv(&self->ring, sub.id) >= 0)
			;
	}
	TH_LOG("%ld rounds, %ld messages went to the dead", rounds, taken);
}

struct sending {
	struct io_uring	*ring;
	__u32		id;
	long		nap;
	int		result;
};

static void *send_later(void *arg)
{
	struct sending *sending = arg;

	ipc_nap(sending->nap);
	sending->result = ipc_send_num(sending->ring, sending->id, 55);
	return NULL;
}

/* The same with a cancel or a DETACH by the process itself. */
TEST_F_TIMEOUT(handover, end_at_random, IPC_TIMEOUT)
{
	long rounds = 4 * ipc_env("RANDOM_ROUNDS", 40), round, ended = 0;
	__u32 random = SEED;

	for (round = 0; round < rounds; round++) {
		bool detach = round % 2;
		unsigned int setup = round & 2 ? WAIT_DEFER : 0;
		struct sending sending = {
			.ring = &self->ring,
			.id = self->sender.id,
			.nap = ipc_random(&random) % 200,
		};
		struct io_uring first, second;
		struct ipc_sub a, b;
		__u64 got = 0, got2 = 0;
		pthread_t thread;
		int ret;

		if (!round) {
			ASSERT_EQ(0, io_uring_ipc_channel_detach(
					     &self->first_ring, self->first.id));
			ASSERT_EQ(0, io_uring_ipc_channel_detach(
					     &self->second_ring,
					     self->second.id));
		}
		ASSERT_EQ(0, io_uring_queue_init(8, &first, setup));
		ASSERT_EQ(0, io_uring_queue_init(8, &second, setup));
		ASSERT_EQ(0, ipc_attach(&first, self->channel, IOIPC_SUB_RECV,
					&a));
		ASSERT_EQ(0, ipc_attach(&second, self->channel, IOIPC_SUB_RECV,
					&b));
		wait_get_recv(&first, a.id, &got, 7);
		io_uring_submit(&first);
		wait_get_recv(&second, b.id, &got2, 8);
		io_uring_submit(&second);
		ASSERT_EQ(0, pthread_create(&thread, NULL, send_later,
					    &sending));
		ipc_nap(ipc_random(&random) % 2000);
		if (detach) {
			ASSERT_EQ(0, io_uring_ipc_channel_detach(&first, a.id));
		} else {
			ret = wait_cancel(&first, 7, 0);
			ASSERT_TRUE(ret == 0 || ret == -ENOENT ||
				    ret == -EALREADY)
				TH_LOG("%d", ret);
		}
		ASSERT_EQ(0, pthread_join(thread, NULL));
		ASSERT_EQ(IPC_NUM, sending.result);
		ret = wait_for(&first, 7);
		if (ret == IPC_NUM) {
			ASSERT_EQ(55, got);
		} else {
			ASSERT_EQ(detach ? -ENOENT : -ECANCELED, ret);
			ASSERT_EQ(0, got);
			ended++;
		}
		if (self->all || ret != IPC_NUM) {
			ASSERT_EQ(IPC_NUM, wait_for(&second, 8))
				TH_LOG("round %ld, first ended with %d", round,
				       ret);
			ASSERT_EQ(55, got2);
		} else {
			ASSERT_EQ(0, got2);
		}
		/* The end of a ring may come too late for the next round. */
		if (!detach) {
			ASSERT_EQ(0, io_uring_ipc_channel_detach(&first, a.id));
		}
		ASSERT_EQ(0, io_uring_ipc_channel_detach(&second, b.id));
		close(a.fd);
		close(b.fd);
		io_uring_queue_exit(&first);
		io_uring_queue_exit(&second);
	}
	TH_LOG("%ld of %ld did not get the message", ended, rounds);
}

/* Several processes wait; each message is for one of them, or for each. */
TEST_F_TIMEOUT(handover, waiters_in_several_processes, IPC_TIMEOUT)
{
	enum { PROCESSES = 4 };
	struct contest *contest = ipc_shared(sizeof(*contest));
	struct victim victim = { contest, self->channel, 0 };
	pid_t pid[PROCESSES];
	int i;

	ASSERT_NE(NULL, contest);
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->first_ring,
						 self->first.id));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->second_ring,
						 self->second.id));
	for (i = 0; i < PROCESSES; i++) {
		victim.setup = i % 2 ? WAIT_DEFER : 0;
		pid[i] = ipc_fork();
		ASSERT_LE(0, pid[i]);
		if (!pid[i])
			receive_one(_metadata, &victim);
	}
	ASSERT_TRUE(ipc_poll(contest->ready == PROCESSES));
	for (i = 1; i <= (self->all ? 1 : PROCESSES); i++) {
		ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, i));
		ASSERT_TRUE(ipc_poll(contest->received ==
				     (self->all ? PROCESSES : i)))
			TH_LOG("message %d: %d have received", i,
			       contest->received);
	}
	EXPECT_EQ(0, contest->failed);
	for (i = 0; i < PROCESSES; i++) {
		kill(pid[i], SIGKILL);
		ipc_wait(pid[i]);
	}
}

IPC_HARNESS_MAIN
