// SPDX-License-Identifier: GPL-2.0
/*
 * A process is woken for a message or for room, and does not go on: it is stopped,
 * it does not enter the kernel, or it blocks there. The message or the room is
 * offered to the next process that waits.
 */
#include <pthread.h>
#include "parked.h"

/* Processes that do not go on. They wait first. */
#define SLEEPERS	2

/*
 * How long the next process waits at most, in nanoseconds.  Only where the clock
 * counts instructions, and COST=1 says so, see cost.c.
 */
#define OFFERED_WITHIN	20000000

/* Why a process does not go on. */
enum way {
	/* By a signal. */
	STOPPED,
	/* Its ring defers task work until the process asks for completions. */
	DEFERS,
	/* In a system call that a wake-up does not interrupt. */
	BLOCKED,
};

FIXTURE(stopped) {
	struct parked_channel channel;
};

FIXTURE_VARIANT(stopped) {
	__u32 flags;
	enum way way;
};

#define ADD_WAYS(name, mode)						\
	FIXTURE_VARIANT_ADD(stopped, name##_stopped) {			\
		.flags = mode,						\
		.way = STOPPED,						\
	};								\
	FIXTURE_VARIANT_ADD(stopped, name##_defers) {			\
		.flags = mode,						\
		.way = DEFERS,						\
	};								\
	FIXTURE_VARIANT_ADD(stopped, name##_blocked) {			\
		.flags = mode,						\
		.way = BLOCKED,						\
	}

ADD_WAYS(unicast, 0);
ADD_WAYS(multicast, IOIPC_F_MULTICAST);
ADD_WAYS(broadcast, IOIPC_F_BROADCAST);

FIXTURE_SETUP(stopped)
{
	ASSERT_EQ(0, parked_create(&self->channel, variant->flags, 1));
}

FIXTURE_TEARDOWN(stopped)
{
	io_uring_queue_exit(&self->channel.ring);
}

/* A process that waits, does not go on, and does so later. */
struct sleeper {
	pid_t		pid;
	/* Has a byte when the process shall go on. */
	int		go[2];
	struct shared {
		/* The process does not go on. */
		_Atomic bool	asleep;
		/* The process goes on, and has looked at its completions. */
		_Atomic bool	awake;
		/* The request has completed by then. */
		_Atomic bool	completed;
	} *shared;
};

static void wait_for_go(struct sleeper *sleeper)
{
	char byte;

	while (read(sleeper->go[0], &byte, 1) < 0 && errno == EINTR)
		;
}

/* Until its child ends, the parent does no task work. */
static __attribute__((noinline)) void block_in_vfork(struct sleeper *sleeper)
{
	pid_t pid = vfork();

	if (!pid) {
		/* the parent may be killed */
		ipc_bind_to_parent();
		sleeper->shared->asleep = true;
		wait_for_go(sleeper);
		_exit(0);
	}
	ipc_wait(pid);
}

static void sleep_once(struct sleeper *sleeper, enum way way)
{
	switch (way) {
	case STOPPED:
		raise(SIGSTOP);
		break;
	case DEFERS:
		sleeper->shared->asleep = true;
		wait_for_go(sleeper);
		break;
	case BLOCKED:
		block_in_vfork(sleeper);
		break;
	}
}

/* The process.  It ends with 0 when its request has completed. */
static void sleep_with_request(struct sleeper *sleeper, enum way way,
			       const struct parked_channel *channel,
			       enum parked_kind kind)
{
	struct parked parked;

	if (parked_join(&parked, channel, kind, way == DEFERS ? WAIT_DEFER : 0))
		_exit(KSFT_FAIL);
	parked_get(&parked, kind, 1);
	if (!wait_nothing(&parked.ring))
		_exit(KSFT_FAIL);
	sleep_once(sleeper, way);
	sleeper->shared->completed = !wait_nothing(&parked.ring);
	sleeper->shared->awake = true;
	_exit(wait_for(&parked.ring, 1) != parked_result(kind));
}

static bool is_stopped(pid_t pid)
{
	int status;

	return waitpid(pid, &status, WUNTRACED | WNOHANG) == pid &&
	       WIFSTOPPED(status);
}

static void start_sleeper(struct __test_metadata *_metadata,
			  struct sleeper *sleeper, enum way way,
			  const struct parked_channel *channel,
			  enum parked_kind kind)
{
	sleeper->shared = ipc_shared(sizeof(*sleeper->shared));
	ASSERT_NE(NULL, sleeper->shared);
	ASSERT_EQ(0, pipe(sleeper->go));
	sleeper->pid = ipc_fork();
	ASSERT_LE(0, sleeper->pid);
	if (!sleeper->pid)
		sleep_with_request(sleeper, way, channel, kind);
	ASSERT_TRUE(ipc_poll(way == STOPPED ? is_stopped(sleeper->pid) :
					      sleeper->shared->asleep));
}

/* Lets a process go on, and waits until it has looked at its completions. */
static void wake_sleeper(struct __test_metadata *_metadata,
			 struct sleeper *sleeper)
{
	ASSERT_EQ(1, write(sleeper->go[1], "g", 1));
	ASSERT_EQ(0, kill(sleeper->pid, SIGCONT));
	ASSERT_TRUE(ipc_poll(sleeper->shared->awake));
}

/* Whether one more process ends, because its request has completed. */
static bool one_more_ends(struct sleeper *sleepers)
{
	bool good = false;
	int i, status;

	return ipc_poll(({
		for (i = 0; i < SLEEPERS; i++) {
			if (sleepers[i].pid &&
			    waitpid(sleepers[i].pid, &status, WNOHANG) > 0) {
				sleepers[i].pid = 0;
				good = !status;
				break;
			}
		}
		i < SLEEPERS;
	})) && good;
}

/*
 * Some processes wait first, and do not go on.  The test itself waits last, and goes
 * on.  Then these processes go on as well.
 */
static void the_last_goes_on(struct __test_metadata *_metadata,
			     struct parked_channel *channel, enum way way,
			     enum parked_kind kind)
{
	/* Each receiver of a broadcast has a message of its own. */
	bool own = channel->all && !parked_for_room(kind);
	struct sleeper sleepers[SLEEPERS] = {};
	struct parked last;
	double since;
	int i;

	ASSERT_EQ(IPC_NUM, parked_fill(channel, kind));
	for (i = 0; i < SLEEPERS; i++)
		start_sleeper(_metadata, &sleepers[i], way, channel, kind);
	ASSERT_EQ(0, parked_join(&last, channel, kind, 0));
	parked_get(&last, kind, 1);
	ASSERT_TRUE(wait_nothing(&last.ring));

	since = ipc_now();
	ASSERT_EQ(0, parked_go_on(channel, kind, 5));
	EXPECT_EQ(parked_result(kind), wait_for(&last.ring, 1));
	if (getenv("COST"))
		EXPECT_GE(OFFERED_WITHIN, (long)((ipc_now() - since) * 1e9));
	for (i = 0; i < SLEEPERS; i++) {
		EXPECT_FALSE(sleepers[i].shared->awake);
		/* A watcher is told of what there was, and takes nothing. */
		if (kind >= PARKED_KINDS) {
			ASSERT_EQ(0, kill(sleepers[i].pid, SIGKILL));
			ASSERT_EQ(128 + SIGKILL, ipc_wait(sleepers[i].pid));
		}
	}
	if (kind >= PARKED_KINDS)
		return;

	for (i = 0; i < SLEEPERS; i++) {
		wake_sleeper(_metadata, &sleepers[i]);
		EXPECT_EQ(own, sleepers[i].shared->completed);
	}
	/* It may want more than one message. */
	parked_leave(&last);
	for (i = 0; i < SLEEPERS; i++) {
		if (!own)
			EXPECT_EQ(0, parked_go_on(channel, kind, 6 + i));
		EXPECT_TRUE(one_more_ends(sleepers));
	}
}

#define TEST_KIND(name, kind)						\
	TEST_F_TIMEOUT(stopped, name, IPC_TIMEOUT)			\
	{								\
		the_last_goes_on(_metadata, &self->channel,		\
				 variant->way, kind);			\
	}

TEST_KIND(recv, PARKED_RECV)
TEST_KIND(recv_select, PARKED_RECV_SELECT)
TEST_KIND(recv_bundle, PARKED_RECV_BUNDLE)
TEST_KIND(recv_multishot, PARKED_RECV_MULTISHOT)
TEST_KIND(send, PARKED_SEND)
TEST_KIND(send_vec, PARKED_SEND_VEC)
TEST_KIND(send_unattached, PARKED_SEND_UNATTACHED)
TEST_KIND(poll_for_a_message, PARKED_POLL_IN)
TEST_KIND(poll_for_room, PARKED_POLL_OUT)

/* One send wakes one receiver for all messages of its vector. */
TEST_F_TIMEOUT(stopped, vector_for_several, IPC_TIMEOUT)
{
	struct parked_channel channel;
	struct sleeper sleepers[SLEEPERS] = {};
	__u64 nums[] = { 1, 2 };
	struct iovec vec[] = {
		{ &nums[0], sizeof(nums[0]) }, { &nums[1], sizeof(nums[1]) },
	};
	struct parked last[2];
	int i;

	ASSERT_EQ(0, parked_create(&channel, variant->flags, 4));
	for (i = 0; i < SLEEPERS; i++)
		start_sleeper(_metadata, &sleepers[i], variant->way, &channel,
			      PARKED_RECV);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, parked_join(&last[i], &channel, PARKED_RECV, 0));
		parked_get(&last[i], PARKED_RECV, 1);
		ASSERT_TRUE(wait_nothing(&last[i].ring));
	}
	ASSERT_EQ(2, msg_send_vec(&channel.ring, channel.sender.id, vec, 2, 0));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(IPC_NUM, wait_for(&last[i].ring, 1));
		EXPECT_EQ(channel.all ? 1 : 1 + i, last[i].memory[1].num);
	}
	for (i = 0; i < SLEEPERS; i++) {
		EXPECT_FALSE(sleepers[i].shared->awake);
		wake_sleeper(_metadata, &sleepers[i]);
		EXPECT_EQ(channel.all, sleepers[i].shared->completed);
	}
	if (!channel.all) {
		EXPECT_EQ(2, msg_send_vec(&channel.ring, channel.sender.id, vec,
					  2, 0));
	}
	for (i = 0; i < SLEEPERS; i++) {
		EXPECT_EQ(0, wait_child(sleepers[i].pid));
	}
	parked_leave(&last[0]);
	parked_leave(&last[1]);
	io_uring_queue_exit(&channel.ring);
}

/* A thread that waits with another thread for messages of the same subscriber. */
struct blocked {
	struct sleeper	sleeper;
	struct parked	*parked;
	_Atomic bool	end;
	pthread_t	thread;
};

static void *wait_and_block(void *arg)
{
	struct blocked *blocked = arg;

	parked_get(blocked->parked, PARKED_RECV, 1);
	io_uring_submit(&blocked->parked->ring);
	block_in_vfork(&blocked->sleeper);
	while (!blocked->end)
		ipc_nap(1000);
	return NULL;
}

/* Both requests belong to one subscriber, and the message may be for it alone. */
TEST_F_TIMEOUT(stopped, requests_of_one_subscriber, IPC_TIMEOUT)
{
	struct ipc_sub *receiver = &self->channel.receiver;
	struct io_uring *ring = &self->channel.ring;
	bool all = self->channel.all;
	struct blocked blocked = {};
	struct parked parked;
	__u32 target;
	int i;

	/* The threads of a stopped process are all stopped. */
	if (variant->way != BLOCKED)
		return;
	blocked.parked = &parked;
	blocked.sleeper.shared = ipc_shared(sizeof(*blocked.sleeper.shared));
	ASSERT_NE(NULL, blocked.sleeper.shared);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, pipe(blocked.sleeper.go));
		ASSERT_EQ(0, parked_join(&parked, &self->channel, PARKED_RECV,
					 0));
		blocked.sleeper.shared->asleep = false;
		blocked.end = false;
		ASSERT_EQ(0, pthread_create(&blocked.thread, NULL,
					    wait_and_block, &blocked));
		ASSERT_TRUE(ipc_poll(blocked.sleeper.shared->asleep));
		parked_get(&parked, PARKED_RECV, 2);
		ASSERT_TRUE(wait_nothing(&parked.ring));

		target = i ? parked.sub.id : 0;
		ASSERT_EQ(IPC_NUM, wait_send_to(ring, self->channel.sender.id,
						5, target));
		EXPECT_EQ(IPC_NUM, wait_for(&parked.ring, 2))
			TH_LOG("target %u", target);
		EXPECT_EQ(5, parked.memory[2].num);
		ASSERT_EQ(1, write(blocked.sleeper.go[1], "g", 1));
		EXPECT_TRUE(wait_nothing(&parked.ring));
		/* Another receiver of a broadcast has the message, or skips it. */
		if (all)
			wait_recv(ring, receiver->id);
		ASSERT_EQ(IPC_NUM, wait_send_to(ring, self->channel.sender.id,
						6, target));
		EXPECT_EQ(IPC_NUM, wait_for(&parked.ring, 1));
		EXPECT_EQ(6, parked.memory[1].num);
		if (all)
			wait_recv(ring, receiver->id);
		blocked.end = true;
		ASSERT_EQ(0, pthread_join(blocked.thread, NULL));
		parked_leave(&parked);
	}
}

static int exclusive_epoll(int fd, __u32 events)
{
	struct epoll_event event = { .events = events | EPOLLEXCLUSIVE };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		return -1;
	return epoll;
}

/* Processes that share the events of one file with EPOLLEXCLUSIVE. */
TEST_F_TIMEOUT(stopped, exclusive_epoll, IPC_TIMEOUT)
{
	static const enum parked_kind kinds[] = {
		PARKED_POLL_IN, PARKED_POLL_OUT,
	};
	_Atomic int *ready = ipc_shared(sizeof(*ready));
	struct epoll_event event;
	pid_t pid[SLEEPERS];
	int i, j, fd, epoll;

	if (variant->way != STOPPED)
		return;
	ASSERT_NE(NULL, ready);
	for (j = 0; j < ARRAY_SIZE(kinds); j++) {
		__u32 events = parked_result(kinds[j]);

		fd = parked_for_room(kinds[j]) ? self->channel.sender.fd :
						 self->channel.receiver.fd;
		*ready = 0;
		for (i = 0; i < SLEEPERS; i++) {
			pid[i] = ipc_fork();
			ASSERT_LE(0, pid[i]);
			if (!pid[i]) {
				epoll = exclusive_epoll(fd, events);
				++*ready;
				epoll_wait(epoll, &event, 1, -1);
				_exit(epoll < 0);
			}
			ASSERT_TRUE(ipc_poll(*ready == i + 1));
			ASSERT_EQ(0, kill(pid[i], SIGSTOP));
			ASSERT_TRUE(ipc_poll(is_stopped(pid[i])));
		}
		epoll = exclusive_epoll(fd, events);
		ASSERT_LE(0, epoll);
		ASSERT_EQ(0, parked_go_on(&self->channel, kinds[j], 5));
		EXPECT_EQ(1, epoll_wait(epoll, &event, 1,
					WAIT_DEADLINE * 1000))
			TH_LOG("%s: hangs", parked_names[kinds[j]]);
		EXPECT_EQ(events, event.events);
		close(epoll);
		for (i = 0; i < SLEEPERS; i++) {
			ASSERT_EQ(0, kill(pid[i], SIGKILL));
			ASSERT_EQ(128 + SIGKILL, ipc_wait(pid[i]));
		}
	}
}

IPC_HARNESS_MAIN
