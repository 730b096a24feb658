// SPDX-License-Identifier: GPL-2.0
/*
 * Channels and subscribers come and go, in many processes at once.  The guest
 * checks for leaked memory when it unloads the module after this.  This file
 * checks only the memory that the user is charged for.
 *
 * CYCLES=N is the number of channels of the longest test; other tests scale
 * with it.
 */
#include <pthread.h>
#include "ipc_test.h"

#define PROCESSES	8
#define MIB		(1U << 20)
#define CHURN_UID	5100

FIXTURE(churn) {
	struct io_uring ring;
	__u32 channel;
	__u64 key;
};

FIXTURE_SETUP(churn)
{
	self->key = ipc_new_key();
	ASSERT_EQ(0, ipc_open(&self->ring));
	ASSERT_EQ(0, ipc_create(&self->ring, IOIPC_F_BROADCAST, 8, 64,
				&self->channel));
}

FIXTURE_TEARDOWN(churn)
{
	io_uring_queue_exit(&self->ring);
}

/* Shared by the processes. */
struct meeting {
	pthread_barrier_t	barrier;
	_Atomic __u32		channel;
	_Atomic int		winners;
	_Atomic bool		stop;
};

static struct meeting *meet(int processes)
{
	struct meeting *meeting = ipc_shared(sizeof(*meeting));
	pthread_barrierattr_t attr;

	if (!meeting)
		return NULL;
	pthread_barrierattr_init(&attr);
	pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&meeting->barrier, &attr, processes);
	return meeting;
}

/* Runs a function in this many processes, and waits for them. */
static void run_all(struct __test_metadata *_metadata, int processes,
		    void (*fn)(struct __test_metadata *_metadata, int me,
			       __u64 key, struct meeting *meeting),
		    __u64 key, struct meeting *meeting)
{
	pid_t child[PROCESSES];
	int i;

	for (i = 0; i < processes; i++) {
		child[i] = ipc_fork();
		ASSERT_LE(0, child[i]);
		if (!child[i]) {
			fn(_metadata, i, key, meeting);
			_exit(0);
		}
	}
	for (i = 0; i < processes; i++) {
		EXPECT_EQ(0, ipc_wait(child[i]))
			TH_LOG("process %d", i);
	}
}

static void become_limited(struct __test_metadata *_metadata)
{
	static const struct ipc_who who = { CHURN_UID, CHURN_UID, 0 };
	struct rlimit limit = { .rlim_cur = 16 * MIB, .rlim_max = 16 * MIB };

	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
	ipc_become(who);
}

static void cycle(struct __test_metadata *_metadata, struct io_uring *ring,
		  __u64 key, __u32 flags)
{
	struct io_uring_ipc_channel_create create;
	const struct io_uring_ipc_ring *map;
	struct ipc_sub both, receiver;

	create = ipc_create_args(flags, 8, 4096);
	create.key = key;
	/* The kernel uncharges freed memory a little later. */
	ASSERT_TRUE(ipc_poll(io_uring_ipc_channel_create(ring, &create) !=
			     -ENOMEM));
	ASSERT_NE(0, create.channel_id_out);
	ASSERT_EQ(0, ipc_attach_key(ring, key, IOIPC_SUB_BOTH, &both));
	ASSERT_EQ(0, ipc_attach(ring, create.channel_id_out, IOIPC_SUB_RECV,
				&receiver));
	map = ipc_region(&both);
	ASSERT_NE(NULL, map);
	ASSERT_EQ(IPC_NUM, ipc_send_num(ring, both.id, 1));
	ASSERT_EQ(IPC_NUM, ipc_send_num(ring, both.id, 2));
	ASSERT_EQ(1, ipc_recv_num(ring, both.id));
	ASSERT_EQ(2, ipc_tail(map));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(ring, both.id));
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(ring, create.channel_id_out));
	ASSERT_EQ(2, ipc_tail(map));
	ASSERT_EQ(flags & IOIPC_F_BROADCAST ? 1 : 2,
		  ipc_recv_num(ring, receiver.id));
	ASSERT_EQ(0, close(both.fd));
	ASSERT_EQ(0, munmap((void *)map, both.region_size));
	ASSERT_EQ(0, close(receiver.fd));
	/* The end of the ring detaches the other subscriber. */
}

static void cycles(struct __test_metadata *_metadata, int me, __u64 key,
		   struct meeting __always_unused *meeting)
{
	static const __u32 flags[] = {
		0, IOIPC_F_BROADCAST, IOIPC_F_MULTICAST,
	};
	long count = ipc_env("CYCLES", 1000) / PROCESSES, i;
	struct io_uring ring;

	become_limited(_metadata);
	ASSERT_EQ(0, ipc_open(&ring));
	for (i = 0; i < count; i++) {
		cycle(_metadata, &ring, key + me, flags[i % ARRAY_SIZE(flags)]);
		if (i % 10 == 9) {
			io_uring_queue_exit(&ring);
			ASSERT_TRUE(ipc_poll(ipc_open(&ring) != -ENOMEM));
		}
	}
}

TEST_F_TIMEOUT(churn, create_attach_destroy, 2 * IPC_TIMEOUT)
{
	struct io_uring ring;
	__u32 channel;

	if (geteuid())
		SKIP(return, "needs to be root");
	run_all(_metadata, PROCESSES, cycles, self->key, NULL);
	/* No memory is left charged: almost all of the limit is free. */
	become_limited(_metadata);
	ASSERT_TRUE(ipc_poll(!ipc_open(&ring)));
	EXPECT_TRUE(ipc_poll(!ipc_create(&ring, 0, 16, 15 * MIB / 16,
					 &channel)));
}

static void race_to_create(struct __test_metadata *_metadata,
			   int __always_unused me, __u64 key,
			   struct meeting *meeting)
{
	struct io_uring ring;
	__u32 channel;
	int i, ret;

	ASSERT_EQ(0, ipc_open(&ring));
	for (i = 0; i < 50; i++) {
		pthread_barrier_wait(&meeting->barrier);
		ret = ipc_create_key(&ring, 0, key, 0600, &channel);
		ASSERT_TRUE(!ret || ret == -EEXIST);
		meeting->winners += !ret;
		pthread_barrier_wait(&meeting->barrier);
		ASSERT_EQ(i + 1, meeting->winners);
		if (!ret) {
			ASSERT_EQ(0, io_uring_ipc_channel_destroy(&ring,
								  channel));
		}
	}
}

TEST_F_TIMEOUT(churn, one_wins_a_key, IPC_TIMEOUT)
{
	struct meeting *meeting = meet(PROCESSES);

	ASSERT_NE(NULL, meeting);
	run_all(_metadata, PROCESSES, race_to_create, self->key, meeting);
}

static void race_to_destroy(struct __test_metadata *_metadata, int me,
			    __u64 key, struct meeting *meeting)
{
	struct io_uring ring;
	__u32 channel;
	int i, ret;

	ASSERT_EQ(0, ipc_open(&ring));
	for (i = 0; i < 50; i++) {
		if (!me) {
			ASSERT_EQ(0, ipc_create_key(&ring, 0, key, 0600,
						    &channel));
			meeting->channel = channel;
		}
		pthread_barrier_wait(&meeting->barrier);
		ret = io_uring_ipc_channel_destroy(&ring, meeting->channel);
		ASSERT_TRUE(!ret || ret == -ENOENT);
		meeting->winners += !ret;
		pthread_barrier_wait(&meeting->barrier);
		ASSERT_EQ(i + 1, meeting->winners);
	}
}

TEST_F_TIMEOUT(churn, one_destroys, IPC_TIMEOUT)
{
	struct meeting *meeting = meet(PROCESSES);

	ASSERT_NE(NULL, meeting);
	run_all(_metadata, PROCESSES, race_to_destroy, self->key, meeting);
}

/* The first process creates and destroys, the others attach if they can. */
static void race_to_attach(struct __test_metadata *_metadata, int me,
			   __u64 key, struct meeting *meeting)
{
	const struct io_uring_ipc_ring *map;
	struct io_uring ring;
	struct ipc_sub sub;
	__u32 channel;
	int i, ret;

	ASSERT_EQ(0, ipc_open(&ring));
	pthread_barrier_wait(&meeting->barrier);
	if (!me) {
		for (i = 0; i < ipc_env("CYCLES", 1000) / 3; i++) {
			ASSERT_EQ(0, ipc_create_key(&ring, i % 3, key, 0600,
						    &channel));
			sched_yield();
			ASSERT_EQ(0, io_uring_ipc_channel_destroy(&ring,
								  channel));
		}
		meeting->stop = true;
		return;
	}
	while (!meeting->stop) {
		ret = ipc_attach_key(&ring, key, IOIPC_SUB_BOTH, &sub);
		if (ret) {
			ASSERT_EQ(-ENOENT, ret);
			continue;
		}
		map = ipc_region(&sub);
		ASSERT_NE(NULL, map);
		ASSERT_EQ(8, map->ring_entries);
		ret = ipc_send_num(&ring, sub.id, 1);
		ASSERT_TRUE(ret == IPC_NUM || ret == -EPIPE ||
			    ret == -ENOBUFS);
		ret = ipc_recv_num(&ring, sub.id);
		ASSERT_TRUE(ret == 1 || ret == -EPIPE || ret == -EAGAIN);
		ASSERT_EQ(0, munmap((void *)map, sub.region_size));
		ASSERT_EQ(0, close(sub.fd));
		ASSERT_EQ(0, io_uring_ipc_channel_detach(&ring, sub.id));
		meeting->winners++;
	}
}

TEST_F_TIMEOUT(churn, attach_while_it_is_destroyed, IPC_TIMEOUT)
{
	struct meeting *meeting = meet(4);

	ASSERT_NE(NULL, meeting);
	run_all(_metadata, 4, race_to_attach, self->key, meeting);
	TH_LOG("attached %d times", meeting->winners);
}

/* Receivers that come and go do not disturb receivers that stay. */
static void come_and_go(struct __test_metadata *_metadata,
			int __always_unused me, __u64 __always_unused key,
			struct meeting *meeting)
{
	struct io_uring ring;
	struct ipc_sub sub;
	long long first, ret;

	ASSERT_EQ(0, ipc_open(&ring));
	while (!meeting->stop) {
		ASSERT_EQ(0, ipc_attach(&ring, meeting->channel, IOIPC_SUB_RECV,
					&sub));
		ASSERT_EQ(0, close(sub.fd));
		/* The messages that it receives have no gap. */
		first = ipc_recv_num(&ring, sub.id);
		if (first >= 0) {
			ret = ipc_recv_num(&ring, sub.id);
			ASSERT_TRUE(ret == first + 1 || ret == -EAGAIN);
		} else {
			ASSERT_EQ(-EAGAIN, first);
		}
		ASSERT_EQ(0, io_uring_ipc_channel_detach(&ring, sub.id));
		meeting->winners++;
	}
}

TEST_F_TIMEOUT(churn, attach_and_detach_while_busy, IPC_TIMEOUT)
{
	struct meeting *meeting = ipc_shared(sizeof(*meeting));
	struct ipc_sub sender, receiver;
	long i, count = 2 * ipc_env("CYCLES", 1000);
	pid_t child[3];
	int ret;

	ASSERT_NE(NULL, meeting);
	meeting->channel = self->channel;
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_SEND,
				&sender));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_RECV,
				&receiver));
	for (i = 0; i < 3; i++) {
		child[i] = ipc_fork();
		ASSERT_LE(0, child[i]);
		if (!child[i]) {
			come_and_go(_metadata, i, 0, meeting);
			_exit(0);
		}
	}
	/* At least until the processes have attached often enough. */
	for (i = 0; i < count || meeting->winners < 50; i++) {
		while ((ret = ipc_send_num(&self->ring, sender.id, i)) ==
		       -ENOBUFS)
			sched_yield();
		ASSERT_EQ(IPC_NUM, ret);
		ASSERT_EQ(i, ipc_recv_num(&self->ring, receiver.id));
	}
	meeting->stop = true;
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(0, ipc_wait(child[i]));
	}
	/* No process has left a message. */
	EXPECT_EQ(8, ipc_send_nums(&self->ring, sender.id, 0, 8));
	EXPECT_EQ(8, ipc_recv_nums(&self->ring, receiver.id, 0, 8));
}

IPC_HARNESS_MAIN
