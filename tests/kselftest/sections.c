// SPDX-License-Identifier: GPL-2.0
/*
 * No request stays in one RCU read-side critical section for as long as others
 * give it work.  A thread counts the grace periods that end meanwhile.  During
 * one section there can be at most three: one that started before, and two at
 * its edges.
 */
#include <linux/membarrier.h>
#include <pthread.h>

#include "messages.h"

#define EDGES	3
#define ENOUGH	8
#define TRIES	200

static const char expedited[] = "/sys/kernel/rcu_expedited";

struct counter {
	_Atomic bool	stop;
	_Atomic long	periods;
};

FIXTURE(sections) {
	struct io_uring ring;
	struct counter counter;
	pthread_t thread;
};

static void stay_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* This membarrier() waits for a grace period. */
static void *count_periods(void *arg)
{
	struct counter *counter = arg;

	stay_on(1);
	while (!counter->stop) {
		if (syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0))
			return "no membarrier";
		counter->periods++;
	}
	return NULL;
}

static bool set_expedited(char value)
{
	int fd = open(expedited, O_WRONLY);
	bool done = fd >= 0 && write(fd, &value, 1) == 1;

	close(fd);
	return done;
}

FIXTURE_SETUP(sections)
{
	ASSERT_EQ(0, ipc_open(&self->ring));
	/*
	 * A grace period ends as soon as it can, and not only after some ticks.
	 */
	ASSERT_TRUE(set_expedited('1'));
	ASSERT_EQ(0, pthread_create(&self->thread, NULL, count_periods,
				    &self->counter));
	ASSERT_TRUE(ipc_poll(self->counter.periods > 2));
	stay_on(0);
}

FIXTURE_TEARDOWN(sections)
{
	void *error = NULL;

	self->counter.stop = true;
	EXPECT_EQ(0, pthread_join(self->thread, &error));
	EXPECT_EQ(NULL, error);
	EXPECT_TRUE(set_expedited('0'));
	io_uring_queue_exit(&self->ring);
}

/* Empty messages, as many as a ring can have, in one bundle. */
static void run_bundle(struct __test_metadata *_metadata,
		       FIXTURE_DATA(sections) *self, __u32 flags)
{
	enum { COUNT = IOIPC_MAX_RING_ENTRIES, SIZE = COUNT * MSG_INFO };
	static struct iovec vec[IOIPC_MAX_VEC];
	long before, periods = 0;
	struct ipc_sub both;
	__u32 channel;
	int i, try;
	char *buf;

	buf = calloc(1, SIZE);
	ASSERT_NE(NULL, buf);
	memset(buf, 1, SIZE);
	ASSERT_EQ(0, ipc_create(&self->ring, flags, COUNT, 1, &channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, channel, IOIPC_SUB_BOTH, &both));
	for (try = 0; try < TRIES && periods < ENOUGH; try++) {
		for (i = 0; i < COUNT; i += IOIPC_MAX_VEC) {
			ASSERT_EQ(IOIPC_MAX_VEC,
				  msg_send_vec(&self->ring, both.id, vec,
					       IOIPC_MAX_VEC, 0));
		}
		before = self->counter.periods;
		ASSERT_EQ(SIZE, msg_recv(&self->ring, both.id, buf, SIZE,
					 IOIPC_RECV_BUNDLE));
		periods = self->counter.periods - before;
	}
	TH_LOG("%ld grace periods, %d tries", periods, try);
	EXPECT_LT(EDGES, periods);
	EXPECT_LE(ENOUGH, periods);
	free(buf);
}

TEST_F_TIMEOUT(sections, bundle_of_a_queue, IPC_TIMEOUT)
{
	run_bundle(_metadata, self, 0);
}

TEST_F_TIMEOUT(sections, bundle_of_a_broadcast, IPC_TIMEOUT)
{
	run_bundle(_metadata, self, IOIPC_F_BROADCAST);
}

/* As many large messages as one batch has of small ones. */
TEST_F_TIMEOUT(sections, vector_of_large_messages, IPC_TIMEOUT)
{
	enum { COUNT = 32, SIZE = 1 << 20 };
	struct iovec vec[COUNT];
	long before, periods = 0;
	struct ipc_sub both;
	__u32 channel;
	int i, try;
	char *buf;

	buf = calloc(1, SIZE);
	ASSERT_NE(NULL, buf);
	memset(buf, 1, SIZE);
	for (i = 0; i < COUNT; i++)
		vec[i] = (struct iovec) { buf, SIZE };
	ASSERT_EQ(0, ipc_create(&self->ring, 0, COUNT, SIZE, &channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, channel, IOIPC_SUB_BOTH, &both));
	for (try = 0; try < TRIES && periods < ENOUGH; try++) {
		before = self->counter.periods;
		ASSERT_EQ(COUNT, msg_send_vec(&self->ring, both.id, vec, COUNT,
					      0));
		periods = self->counter.periods - before;
		for (i = 0; i < COUNT; i++) {
			ASSERT_EQ(SIZE, ipc_recv(&self->ring, both.id, buf,
						 SIZE));
		}
	}
	TH_LOG("%ld grace periods, %d tries", periods, try);
	EXPECT_LT(EDGES, periods);
	EXPECT_LE(ENOUGH, periods);
	free(buf);
}

IPC_HARNESS_MAIN
