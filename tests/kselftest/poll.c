// SPDX-License-Identifier: GPL-2.0
/* poll(2), select(2), epoll and IORING_OP_POLL_ADD on the file of a subscriber. */
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include "fixture.h"
#include "waiting.h"

#define ENTRIES	4
/* Seconds until a poll(2) counts as hung. */
#define POLL_DEADLINE	IPC_DEADLINE

FIXTURE(poll) {
	struct io_uring ring;
	struct io_uring other;
	__u32 channel;
	struct ipc_sub both;
	struct ipc_sub sender;
	/* A subscriber of the other ring. */
	struct ipc_sub receiver;
	bool all;
};

FIXTURE_KINDS(poll);

FIXTURE_SETUP(poll)
{
	self->all = variant->flags & IOIPC_F_BROADCAST;
	ASSERT_EQ(0, io_uring_queue_init(64, &self->ring, 0));
	ASSERT_EQ(0, io_uring_queue_init(64, &self->other, 0));
	ASSERT_EQ(0, ipc_create(&self->ring, variant->flags, ENTRIES, 64,
				&self->channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_BOTH,
				&self->both));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_SEND,
				&self->sender));
	ASSERT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_RECV,
				&self->receiver));
}

FIXTURE_TEARDOWN(poll)
{
	io_uring_queue_exit(&self->other);
	io_uring_queue_exit(&self->ring);
}

#define ANY	(POLLIN | POLLOUT | POLLERR | POLLHUP)

/* The events now, or a negative errno. */
static int now(int fd, short events)
{
	struct pollfd pollfd = { .fd = fd, .events = events };

	return poll(&pollfd, 1, 0) < 0 ? -errno : pollfd.revents;
}

/* Receives all messages, in a broadcast only those of this receiver. */
static void take_all(struct io_uring *ring, __u32 id)
{
	while (wait_recv(ring, id) >= 0)
		;
}

TEST_F_TIMEOUT(poll, what_there_is_now, IPC_TIMEOUT)
{
	int i;

	EXPECT_EQ(POLLOUT, now(self->both.fd, ANY));
	EXPECT_EQ(POLLOUT, now(self->sender.fd, ANY));
	EXPECT_EQ(0, now(self->receiver.fd, ANY));
	ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, 0));
	EXPECT_EQ(POLLIN | POLLOUT, now(self->both.fd, ANY));
	EXPECT_EQ(POLLOUT, now(self->sender.fd, ANY));
	EXPECT_EQ(POLLIN, now(self->receiver.fd, ANY));
	for (i = 1; i < ENTRIES; i++) {
		ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, i));
	}
	EXPECT_EQ(POLLIN, now(self->both.fd, ANY));
	EXPECT_EQ(0, now(self->sender.fd, ANY));
	EXPECT_EQ(POLLIN, now(self->receiver.fd, ANY));
	EXPECT_EQ(0, wait_recv(&self->ring, self->both.id));
	if (self->all) {
		EXPECT_EQ(0, now(self->sender.fd, ANY));
		EXPECT_EQ(0, wait_recv(&self->other, self->receiver.id));
	}
	EXPECT_EQ(POLLIN | POLLOUT, now(self->both.fd, ANY));
	EXPECT_EQ(POLLOUT, now(self->sender.fd, ANY));
	/*
	 * In a broadcast, each receiver has read its messages; in a queue, all.
	 */
	take_all(&self->ring, self->both.id);
	EXPECT_EQ(POLLOUT, now(self->both.fd, ANY));
	EXPECT_EQ(self->all ? POLLIN : 0, now(self->receiver.fd, ANY));
	/* Only the requested events. */
	EXPECT_EQ(0, now(self->both.fd, POLLIN));
	EXPECT_EQ(0, now(self->sender.fd, POLLIN));
}

/* Other names of the same events. */
TEST_F_TIMEOUT(poll, norm, IPC_TIMEOUT)
{
	EXPECT_EQ(POLLWRNORM, now(self->sender.fd, POLLWRNORM));
	EXPECT_EQ(0, now(self->receiver.fd, POLLRDNORM));
	ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, 0));
	EXPECT_EQ(POLLRDNORM, now(self->receiver.fd, POLLRDNORM));
}

TEST_F_TIMEOUT(poll, targeted_at_others, IPC_TIMEOUT)
{
	ASSERT_EQ(IPC_NUM, wait_send_to(&self->ring, self->sender.id, 1,
					self->both.id));
	EXPECT_EQ(0, now(self->receiver.fd, POLLIN));
	EXPECT_EQ(POLLIN, now(self->both.fd, POLLIN));
	ASSERT_EQ(IPC_NUM, wait_send_to(&self->ring, self->sender.id, 2,
					self->receiver.id));
	EXPECT_EQ(POLLIN, now(self->receiver.fd, POLLIN));
	EXPECT_EQ(2, wait_recv(&self->other, self->receiver.id));
	EXPECT_EQ(0, now(self->receiver.fd, POLLIN));
	EXPECT_EQ(1, wait_recv(&self->ring, self->both.id));
	EXPECT_EQ(0, now(self->both.fd, POLLIN));
}

/* What a thread does while another one is in poll(2). */
enum {
	SEND, SEND_TARGETED, RECEIVE, DESTROY
};

struct action {
	int			what;
	struct io_uring		*ring;
	__u32			id;
	__u32			target;
	int			result;
};

static void *act_later(void *arg)
{
	struct action *action = arg;

	ipc_nap(20000);
	switch (action->what) {
	case SEND:
		action->result = ipc_send_num(action->ring, action->id, 1);
		break;
	case SEND_TARGETED:
		action->result = ipc_send_num_to(action->ring, action->id, 1,
						 action->target);
		break;
	case RECEIVE:
		action->result = ipc_recv_num(action->ring, action->id) >= 0;
		break;
	case DESTROY:
		action->result = io_uring_ipc_channel_destroy(action->ring,
							      action->id);
		break;
	}
	return NULL;
}

/*
 * Waits in poll(2) for a wake-up.  The check at the end of the timeout does not
 * count.  Returns the events or IPC_HUNG.
 */
static int wait_in_poll(int fd, short events)
{
	struct pollfd pollfd = { .fd = fd, .events = events };
	double end = ipc_now() + POLL_DEADLINE;

	if (poll(&pollfd, 1, POLL_DEADLINE * 1000) != 1 || ipc_now() >= end)
		return IPC_HUNG;
	return pollfd.revents;
}

/* Waits in poll(2) while a thread acts; returns the events or IPC_HUNG. */
static int poll_while(struct action action, int fd, short events)
{
	pthread_t thread;
	int ret;

	if (pthread_create(&thread, NULL, act_later, &action))
		return IPC_NOT_RUN;
	ret = wait_in_poll(fd, events);
	pthread_join(thread, NULL);
	if (action.result < 0)
		return IPC_NOT_RUN;
	if (ret == IPC_HUNG)
		printf("# poll for %#x hangs after action %d\n", events,
		       action.what);
	return ret;
}

TEST_F_TIMEOUT(poll, wakes_for_a_message, IPC_TIMEOUT)
{
	struct action action = { SEND, &self->ring, self->sender.id, 0, 0 };

	EXPECT_EQ(POLLIN, poll_while(action, self->receiver.fd, POLLIN));
	EXPECT_EQ(1, wait_recv(&self->other, self->receiver.id));
	take_all(&self->ring, self->both.id);
	EXPECT_EQ(POLLIN, poll_while(action, self->both.fd, POLLIN));
	take_all(&self->ring, self->both.id);
	take_all(&self->other, self->receiver.id);
	action.what = SEND_TARGETED;
	action.target = self->receiver.id;
	EXPECT_EQ(POLLIN, poll_while(action, self->receiver.fd, POLLIN));
}

TEST_F_TIMEOUT(poll, wakes_for_room, IPC_TIMEOUT)
{
	struct action action = { RECEIVE, &self->other, self->receiver.id, 0,
				 0 };
	int i;

	for (i = 0; i < ENTRIES; i++) {
		ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, i));
	}
	if (self->all)
		take_all(&self->ring, self->both.id);
	EXPECT_EQ(POLLOUT, poll_while(action, self->sender.fd, POLLOUT));
	ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, i));
	if (self->all)
		take_all(&self->ring, self->both.id);
	EXPECT_EQ(POLLOUT, poll_while(action, self->both.fd, POLLOUT) &
		  POLLOUT);
}

/* The end wakes all, whatever events they wait for. */
TEST_F_TIMEOUT(poll, wakes_for_the_end, IPC_TIMEOUT)
{
	struct {
		const char	*name;
		struct ipc_sub	sub;
		short		events;
	} cases[] = {
		{ "receiver in",  self->receiver, POLLIN },
		{ "both in",      self->both,     POLLIN },
		{ "sender out",   self->sender,   POLLOUT },
		{ "both out",     self->both,     POLLOUT },
		{ "receiver none", self->receiver, 0 },
		{ "sender none",  self->sender,   0 },
		{ "both none",    self->both,     0 },
		{ "receiver rdnorm", self->receiver, POLLRDNORM },
		{ "sender in",    self->sender,   POLLIN },
		{ "receiver out", self->receiver, POLLOUT },
	};
	struct action action = { DESTROY, &self->ring, self->channel, 0, 0 };
	_Atomic int *woken = ipc_shared(sizeof(*woken) * ARRAY_SIZE(cases));
	pid_t pid[ARRAY_SIZE(cases)];
	size_t i;

	ASSERT_NE(NULL, woken);
	/* The ring is full for those that want to send. */
	for (i = 0; i < ENTRIES; i++) {
		ASSERT_EQ(IPC_NUM, wait_send_to(&self->ring, self->sender.id, i,
						self->receiver.id));
	}
	EXPECT_EQ(0, now(self->sender.fd, POLLOUT));
	/* The target of these messages is left out here. */
	cases[0].sub = cases[1].sub;
	cases[7].sub = cases[1].sub;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		pid[i] = ipc_fork();
		ASSERT_LE(0, pid[i]);
		if (!pid[i]) {
			woken[i] = -1;
			woken[i] = wait_in_poll(cases[i].sub.fd,
						cases[i].events);
			_exit(0);
		}
	}
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		ASSERT_TRUE(ipc_poll(woken[i]));
	}
	act_later(&action);
	ASSERT_EQ(0, action.result);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		EXPECT_EQ(0, wait_child(pid[i]));
		EXPECT_TRUE(woken[i] > 0 && woken[i] & POLLHUP)
			TH_LOG("%s: %d", cases[i].name, woken[i]);
	}
}

TEST_F_TIMEOUT(poll, hangup, IPC_TIMEOUT)
{
	/* The end of a subscriber. */
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->other,
						 self->receiver.id));
	EXPECT_TRUE(now(self->receiver.fd, ANY) & POLLHUP);
	EXPECT_FALSE(now(self->both.fd, ANY) & POLLHUP);
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring, self->sender.id));
	EXPECT_TRUE(now(self->sender.fd, ANY) & POLLHUP);
	EXPECT_TRUE(now(self->sender.fd, 0) & POLLHUP);
	EXPECT_FALSE(now(self->both.fd, ANY) & POLLHUP);
	/* The end of the channel: the messages that are left can be read. */
	ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->both.id, 1));
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->ring, self->channel));
	EXPECT_EQ(POLLIN | POLLHUP, now(self->both.fd, POLLIN));
	EXPECT_EQ(1, wait_recv(&self->ring, self->both.id));
	/* A receive would not wait. */
	EXPECT_EQ(POLLIN | POLLHUP, now(self->both.fd, POLLIN));
	EXPECT_TRUE(now(self->both.fd, POLLOUT) & POLLHUP);
}

TEST_F_TIMEOUT(poll, wakes_for_detach, IPC_TIMEOUT)
{
	static const short events[] = { POLLIN, POLLOUT, 0 };
	_Atomic int *woken = ipc_shared(sizeof(*woken));
	struct ipc_sub sub;
	size_t i, fill;
	pid_t pid;

	for (i = 0; i < ARRAY_SIZE(events); i++) {
		ASSERT_EQ(0, ipc_attach(&self->ring, self->channel,
					IOIPC_SUB_BOTH, &sub));
		/* The ring is full, and no message is for this receiver. */
		for (fill = 0; fill < ENTRIES && !i; fill++) {
			ASSERT_EQ(IPC_NUM, wait_send_to(&self->ring,
							self->sender.id, 1,
							self->receiver.id));
		}
		*woken = 0;
		pid = ipc_fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			*woken = -1;
			*woken = wait_in_poll(sub.fd, events[i]);
			_exit(0);
		}
		ASSERT_TRUE(ipc_poll(*woken));
		ipc_nap(20000);
		EXPECT_EQ(-1, *woken);
		ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring, sub.id));
		EXPECT_EQ(0, wait_child(pid));
		EXPECT_TRUE(*woken > 0 && *woken & POLLHUP)
			TH_LOG("events %#x: %d", events[i], *woken);
	}
}

TEST_F_TIMEOUT(poll, select, IPC_TIMEOUT)
{
	struct timeval none = {};
	fd_set in, out;

	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_SET(self->both.fd, &in);
	FD_SET(self->both.fd, &out);
	EXPECT_EQ(1, select(self->both.fd + 1, &in, &out, NULL, &none));
	EXPECT_FALSE(FD_ISSET(self->both.fd, &in));
	EXPECT_TRUE(FD_ISSET(self->both.fd, &out));
	ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, 0));
	FD_SET(self->both.fd, &in);
	none = (struct timeval) {};
	EXPECT_EQ(2, select(self->both.fd + 1, &in, &out, NULL, &none));
}

static int epoll_with(int fd, __u32 events)
{
	struct epoll_event event = { .events = events };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		return -1;
	return epoll;
}

/* The events now, 0 for none. */
static int epoll_now(int epoll)
{
	struct epoll_event event;

	return epoll_wait(epoll, &event, 1, 0) == 1 ? (int)event.events : 0;
}

TEST_F_TIMEOUT(poll, epoll_level, IPC_TIMEOUT)
{
	int in, out, i;

	in = epoll_with(self->receiver.fd, EPOLLIN);
	out = epoll_with(self->sender.fd, EPOLLOUT);
	ASSERT_LE(0, in);
	ASSERT_LE(0, out);
	EXPECT_EQ(0, epoll_now(in));
	for (i = 0; i < ENTRIES; i++) {
		EXPECT_EQ(EPOLLOUT, epoll_now(out));
		ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, i));
	}
	EXPECT_EQ(0, epoll_now(out));
	if (self->all)
		take_all(&self->ring, self->both.id);
	for (i = 0; i < ENTRIES; i++) {
		EXPECT_EQ(EPOLLIN, epoll_now(in));
		EXPECT_EQ(EPOLLIN, epoll_now(in));
		EXPECT_EQ(i, wait_recv(&self->other, self->receiver.id));
		EXPECT_EQ(EPOLLOUT, epoll_now(out));
	}
	EXPECT_EQ(0, epoll_now(in));
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->ring, self->channel));
	EXPECT_TRUE(epoll_now(in) & EPOLLHUP);
	EXPECT_TRUE(epoll_now(out) & EPOLLHUP);
}

TEST_F_TIMEOUT(poll, epoll_edge, IPC_TIMEOUT)
{
	int in, out, none, i, round;

	in = epoll_with(self->receiver.fd, EPOLLIN | EPOLLET);
	out = epoll_with(self->sender.fd, EPOLLOUT | EPOLLET);
	none = epoll_with(self->both.fd, EPOLLET);
	ASSERT_LE(0, in);
	ASSERT_LE(0, out);
	ASSERT_LE(0, none);
	EXPECT_EQ(EPOLLOUT, epoll_now(out));
	for (round = 0; round < 3; round++) {
		EXPECT_EQ(0, epoll_now(in));
		EXPECT_EQ(0, epoll_now(out));
		for (i = 0; i < ENTRIES; i++) {
			ASSERT_EQ(IPC_NUM, wait_send(&self->ring,
						     self->sender.id, i));
			/* One event for each message. */
			EXPECT_EQ(EPOLLIN, epoll_now(in))
				TH_LOG("message %d", i);
			EXPECT_EQ(0, epoll_now(in));
		}
		/* The ring is full. */
		EXPECT_EQ(0, epoll_now(out));
		if (self->all)
			take_all(&self->ring, self->both.id);
		EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->other,
						 self->receiver.id, 0,
						 ENTRIES));
		EXPECT_EQ(EPOLLOUT, epoll_now(out));
		EXPECT_EQ(0, epoll_now(out));
	}
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->ring, self->channel));
	EXPECT_TRUE(epoll_now(in) & EPOLLHUP);
	EXPECT_TRUE(epoll_now(out) & EPOLLHUP);
	EXPECT_TRUE(epoll_now(none) & EPOLLHUP);
}

/* A thread is in epoll_wait(2), and gets the message of another process. */
TEST_F_TIMEOUT(poll, epoll_wakes, IPC_TIMEOUT)
{
	static const __u32 flags[] = { 0, EPOLLET, EPOLLONESHOT,
				       EPOLLEXCLUSIVE };
	struct epoll_event event;
	size_t i;
	pid_t pid;
	int in;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		in = epoll_with(self->receiver.fd, EPOLLIN | flags[i]);
		ASSERT_LE(0, in);
		pid = ipc_fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			struct io_uring ring;

			ipc_nap(20000);
			if (ipc_open(&ring))
				_exit(KSFT_FAIL);
			_exit(ipc_send_num(&ring, self->channel, i) != IPC_NUM);
		}
		EXPECT_EQ(1, epoll_wait(in, &event, 1, WAIT_DEADLINE * 1000))
			TH_LOG("flags %#x: hangs", flags[i]);
		EXPECT_EQ(EPOLLIN, event.events);
		EXPECT_EQ(0, wait_child(pid));
		EXPECT_EQ(i, wait_recv(&self->other, self->receiver.id));
		take_all(&self->ring, self->both.id);
		close(in);
	}
}

static void get_poll(struct io_uring *ring, int fd, unsigned int mask,
		     bool again, __u64 data)
{
	struct io_uring_sqe *sqe = wait_get_sqe(ring);

	if (again)
		io_uring_prep_poll_multishot(sqe, fd, mask);
	else
		io_uring_prep_poll_add(sqe, fd, mask);
	io_uring_sqe_set_data64(sqe, data);
}

TEST_F_TIMEOUT(poll, poll_add, IPC_TIMEOUT)
{
	int i;

	get_poll(&self->ring, self->sender.fd, POLLOUT, false, 7);
	EXPECT_EQ(POLLOUT, wait_for(&self->ring, 7));
	get_poll(&self->other, self->receiver.fd, POLLIN, false, 8);
	EXPECT_TRUE(wait_nothing(&self->other));
	ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, 0));
	EXPECT_EQ(POLLIN, wait_for(&self->other, 8));
	for (i = 1; i < ENTRIES; i++) {
		ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, i));
	}
	get_poll(&self->ring, self->sender.fd, POLLOUT, false, 9);
	EXPECT_TRUE(wait_nothing(&self->ring));
	if (self->all)
		take_all(&self->ring, self->both.id);
	EXPECT_EQ(0, wait_recv(&self->other, self->receiver.id));
	EXPECT_EQ(POLLOUT, wait_for(&self->ring, 9));
	/* Both directions use different queues. */
	take_all(&self->other, self->receiver.id);
	take_all(&self->ring, self->both.id);
	for (i = 0; i < ENTRIES; i++) {
		ASSERT_EQ(IPC_NUM, wait_send_to(&self->ring, self->sender.id, i,
						self->receiver.id));
	}
	for (i = 0; i < 2; i++) {
		get_poll(&self->ring, self->both.fd, POLLIN | POLLOUT, false,
			 10);
		EXPECT_TRUE(wait_nothing(&self->ring));
		EXPECT_EQ(0, wait_recv(&self->other, self->receiver.id));
		EXPECT_EQ(POLLOUT, wait_for(&self->ring, 10));
		ASSERT_EQ(IPC_NUM, wait_send_to(&self->ring, self->sender.id, 0,
						self->receiver.id));
		take_all(&self->other, self->receiver.id);
		for (int j = 0; j < ENTRIES; j++) {
			ASSERT_EQ(IPC_NUM, wait_send_to(&self->ring,
							self->sender.id, 0,
							self->receiver.id));
		}
	}
	get_poll(&self->ring, self->both.fd, POLLIN, false, 11);
	EXPECT_TRUE(wait_nothing(&self->ring));
	take_all(&self->other, self->receiver.id);
	EXPECT_TRUE(wait_nothing(&self->ring));
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->ring, self->channel));
	EXPECT_TRUE(wait_for(&self->ring, 11) & POLLHUP);
}

TEST_F_TIMEOUT(poll, poll_add_multishot, IPC_TIMEOUT)
{
	struct io_uring_cqe cqe;
	int i;

	get_poll(&self->other, self->receiver.fd, POLLIN, true, 8);
	EXPECT_TRUE(wait_nothing(&self->other));
	for (i = 0; i < 20; i++) {
		ASSERT_EQ(IPC_NUM, wait_send_to(&self->ring, self->sender.id, i,
						self->receiver.id));
		EXPECT_EQ(POLLIN, wait_for_cqe(&self->other, 8, &cqe));
		EXPECT_TRUE(cqe.flags & IORING_CQE_F_MORE);
		EXPECT_EQ(i, wait_recv(&self->other, self->receiver.id));
	}
	EXPECT_TRUE(wait_nothing(&self->other));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->other,
						 self->receiver.id));
	EXPECT_TRUE(wait_for_cqe(&self->other, 8, &cqe) & POLLHUP);
}

/* The same watchers of room, on a ring of their own. */
struct watcher {
	struct io_uring	ring;
	int		epoll;
	/* What each of them has been told. */
	int		edges;
	int		completions;
};

static int watch_room(struct watcher *watcher, int fd)
{
	memset(watcher, 0, sizeof(*watcher));
	watcher->epoll = epoll_with(fd, EPOLLOUT | EPOLLET);
	if (watcher->epoll < 0 || io_uring_queue_init(2048, &watcher->ring, 0))
		return -EIO;
	get_poll(&watcher->ring, fd, POLLOUT, true, 7);
	/* There is room at first. */
	if (!wait_complete(&watcher->ring, 1) ||
	    epoll_now(watcher->epoll) != EPOLLOUT)
		return -EIO;
	wait_forget(&watcher->ring);
	return 0;
}

static void look(struct watcher *watcher)
{
	watcher->edges += epoll_now(watcher->epoll) != 0;
	watcher->completions += wait_completed(&watcher->ring);
	wait_forget(&watcher->ring);
}

static void end_watch(struct watcher *watcher)
{
	io_uring_queue_exit(&watcher->ring);
	close(watcher->epoll);
}

/* Room is no news while the ring was never full. */
TEST_F_TIMEOUT(poll, no_edge_without_a_full_ring, IPC_TIMEOUT)
{
	enum { MESSAGES = 1000 };
	struct watcher watcher;
	int i;

	ASSERT_EQ(0, watch_room(&watcher, self->sender.fd));
	for (i = 0; i < MESSAGES; i++) {
		/* Up to all slots but one. */
		if (i % ENTRIES) {
			ASSERT_EQ(IPC_NUM, wait_send(&self->ring,
						     self->sender.id, i));
		} else {
			take_all(&self->ring, self->both.id);
			take_all(&self->other, self->receiver.id);
		}
		look(&watcher);
	}
	TH_LOG("%d edges, %d completions", watcher.edges, watcher.completions);
	EXPECT_GE(1, watcher.edges);
	EXPECT_GE(1, watcher.completions);
	end_watch(&watcher);
}

/* The watchers looked when there was room, and the ring became full after that. */
TEST_F_TIMEOUT(poll, one_edge_for_each_full_ring, IPC_TIMEOUT)
{
	enum { EXACTLY, AND_FAILED, BY_A_VECTOR, WAYS };
	struct iovec vec[ENTRIES + 1];
	struct watcher watcher;
	struct io_uring_sqe *sqe;
	__u64 num = 5;
	int i, way;

	for (i = 0; i <= ENTRIES; i++)
		vec[i] = (struct iovec) { &num, sizeof(num) };
	ASSERT_EQ(0, watch_room(&watcher, self->sender.fd));
	for (way = 0; way < 2 * WAYS; way++) {
		if (way % WAYS == BY_A_VECTOR) {
			sqe = wait_get_sqe(&self->ring);
			io_uring_prep_ipc_send_vec(sqe, self->sender.id, vec,
						   ENTRIES + 1, 0, 0);
			io_uring_sqe_set_data64(sqe, 1);
			ASSERT_EQ(ENTRIES, wait_for(&self->ring, 1));
		} else {
			for (i = 0; i < ENTRIES; i++) {
				ASSERT_EQ(IPC_NUM, wait_send(&self->ring,
							     self->sender.id,
							     5));
			}
		}
		if (way % WAYS == AND_FAILED)
			ASSERT_EQ(-ENOBUFS, wait_send(&self->ring,
						      self->sender.id, 5));
		watcher.edges = 0;
		watcher.completions = 0;
		look(&watcher);
		EXPECT_EQ(0, watcher.edges);
		EXPECT_EQ(0, watcher.completions);
		if (self->all)
			take_all(&self->ring, self->both.id);
		ASSERT_EQ(5, wait_recv(&self->other, self->receiver.id));
		EXPECT_TRUE(ipc_poll(({
			look(&watcher);
			watcher.edges && watcher.completions;
		}))) TH_LOG("way %d", way);
		/* The rest of the room is no news. */
		for (i = 1; i < ENTRIES; i++) {
			ASSERT_EQ(5, wait_recv(&self->other,
					       self->receiver.id));
			look(&watcher);
		}
		EXPECT_EQ(1, watcher.edges) TH_LOG("way %d", way);
		EXPECT_EQ(1, watcher.completions) TH_LOG("way %d", way);
	}
	end_watch(&watcher);
}

/* It makes no room that others come and go, be the ring empty or full. */
TEST_F_TIMEOUT(poll, no_edge_when_others_come_and_go, IPC_TIMEOUT)
{
	enum { TIMES = 10 };
	struct watcher watcher;
	struct ipc_sub sub;
	int i, full;

	ASSERT_EQ(0, watch_room(&watcher, self->sender.fd));
	for (full = 0; full < 2; full++) {
		for (i = 0; i < ENTRIES && full; i++) {
			ASSERT_EQ(IPC_NUM, wait_send(&self->ring,
						     self->sender.id, i));
		}
		get_poll(&watcher.ring, self->sender.fd, POLLOUT, false, 8);
		/* This one is told of what there is. */
		EXPECT_EQ(!full, wait_complete(&watcher.ring, !full) &&
				 wait_completed(&watcher.ring) == 1);
		wait_forget(&watcher.ring);
		for (i = 0; i < TIMES; i++) {
			ASSERT_EQ(0, ipc_attach(&self->other, self->channel,
						IOIPC_SUB_SEND, &sub));
			/* It watches, too. */
			EXPECT_EQ(full ? 0 : POLLOUT, now(sub.fd, POLLOUT));
			ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->other,
								 sub.id));
			EXPECT_EQ(POLLHUP, now(sub.fd, POLLOUT) & POLLHUP);
			ASSERT_EQ(0, close(sub.fd));
			look(&watcher);
		}
		EXPECT_EQ(0, watcher.edges) TH_LOG("full: %d", full);
		EXPECT_EQ(0, watcher.completions) TH_LOG("full: %d", full);
		watcher.edges = 0;
		watcher.completions = 0;
	}
	/* All of them learn of room. */
	if (self->all)
		take_all(&self->ring, self->both.id);
	ASSERT_EQ(0, wait_recv(&self->other, self->receiver.id));
	EXPECT_TRUE(ipc_poll(({
		look(&watcher);
		watcher.edges && watcher.completions == 2;
	})));
	EXPECT_EQ(1, watcher.edges);
	EXPECT_EQ(2, watcher.completions);
	end_watch(&watcher);
}

/* The watchers of a subscriber learn of its end, whatever they wait for. */
TEST_F_TIMEOUT(poll, every_watcher_learns_of_the_end, IPC_TIMEOUT)
{
	static const __u32 events[] = { EPOLLIN, EPOLLOUT, EPOLLIN | EPOLLOUT };
	struct watcher watcher;
	struct io_uring_cqe cqe;
	int i, fill, before;
	struct ipc_sub sub;

	for (i = 0; i < ARRAY_SIZE(events); i++) {
		ASSERT_EQ(0, ipc_attach(&self->other, self->channel,
					IOIPC_SUB_BOTH, &sub));
		/* The ring is full, and no message is for this one. */
		for (fill = 0; fill < ENTRIES && !i; fill++) {
			ASSERT_EQ(IPC_NUM, wait_send_to(&self->ring,
							self->sender.id, 1,
							self->receiver.id));
		}
		memset(&watcher, 0, sizeof(watcher));
		ASSERT_EQ(0, io_uring_queue_init(8, &watcher.ring, 0));
		watcher.epoll = epoll_with(sub.fd, events[i] | EPOLLET);
		ASSERT_LE(0, watcher.epoll);
		get_poll(&watcher.ring, sub.fd, events[i], false, 7);
		get_poll(&watcher.ring, sub.fd, events[i], true, 8);
		ASSERT_TRUE(wait_nothing(&watcher.ring));
		look(&watcher);
		before = watcher.edges;
		ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->other, sub.id));
		EXPECT_LT(0, wait_for_cqe(&watcher.ring, 7, &cqe))
			TH_LOG("events %#x", events[i]);
		EXPECT_TRUE(cqe.res & POLLHUP);
		EXPECT_LT(0, wait_for_cqe(&watcher.ring, 8, &cqe))
			TH_LOG("events %#x", events[i]);
		EXPECT_TRUE(cqe.res & POLLHUP);
		EXPECT_EQ(0, before);
		EXPECT_TRUE(epoll_now(watcher.epoll) & EPOLLHUP)
			TH_LOG("events %#x", events[i]);
		end_watch(&watcher);
		ASSERT_EQ(0, close(sub.fd));
	}
}

/* Watchers do not keep a request from being woken. */
TEST_F_TIMEOUT(poll, watchers_take_nothing, IPC_TIMEOUT)
{
	int level, edge, i;
	__u64 got = 0;

	level = epoll_with(self->receiver.fd, EPOLLIN);
	edge = epoll_with(self->both.fd, EPOLLIN | EPOLLET);
	ASSERT_LE(0, level);
	ASSERT_LE(0, edge);
	get_poll(&self->ring, self->both.fd, POLLIN, true, 7);
	ASSERT_TRUE(wait_nothing(&self->ring));
	for (i = 0; i < 10; i++) {
		/* The watchers came first, and watch the first subscriber. */
		wait_get_recv(&self->other, self->receiver.id, &got, 8);
		ASSERT_TRUE(wait_nothing(&self->other));
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->channel,
						i));
		ASSERT_EQ(IPC_NUM, wait_for(&self->other, 8));
		EXPECT_EQ(i, got);
		if (self->all)
			take_all(&self->ring, self->both.id);
	}
	/* Watchers of the subscriber of the request itself. */
	get_poll(&self->other, self->receiver.fd, POLLIN, true, 9);
	for (i = 0; i < 10; i++) {
		wait_get_recv(&self->other, self->receiver.id, &got, 8);
		io_uring_submit(&self->other);
		ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, i));
		ASSERT_EQ(IPC_NUM, wait_for(&self->other, 8));
		EXPECT_EQ(i, got);
		if (self->all)
			take_all(&self->ring, self->both.id);
	}
}

/* The file can be closed before the request that polls ends. */
TEST_F_TIMEOUT(poll, close_the_file, IPC_TIMEOUT)
{
	__u64 got = 0;

	wait_get_recv(&self->other, self->receiver.id, &got, 7);
	get_poll(&self->other, self->receiver.fd, POLLIN, false, 8);
	ASSERT_TRUE(wait_nothing(&self->other));
	ASSERT_EQ(0, close(self->receiver.fd));
	ASSERT_TRUE(wait_nothing(&self->other));
	ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, 3));
	EXPECT_EQ(IPC_NUM, wait_for(&self->other, 7));
	EXPECT_EQ(3, got);
	wait_get_recv(&self->other, self->receiver.id, &got, 9);
	ASSERT_TRUE(wait_nothing(&self->other) ||
		    wait_completed(&self->other) == 1);
	ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, 4));
	EXPECT_EQ(IPC_NUM, wait_for(&self->other, 9));
	EXPECT_EQ(4, got);
}

/* The subscriber, its ring and the channel can end before the file does. */
TEST_F_TIMEOUT(poll, file_outlives_all, IPC_TIMEOUT)
{
	int epoll = epoll_with(self->receiver.fd, EPOLLIN);

	ASSERT_LE(0, epoll);
	io_uring_queue_exit(&self->other);
	EXPECT_TRUE(now(self->receiver.fd, POLLIN) & POLLHUP);
	EXPECT_TRUE(epoll_now(epoll) & EPOLLHUP);
	io_uring_queue_exit(&self->ring);
	EXPECT_TRUE(now(self->sender.fd, POLLOUT) & POLLHUP);
	EXPECT_EQ(0, close(self->receiver.fd));
	/* The module releases the file a moment later. */
	EXPECT_TRUE(ipc_poll(epoll_now(epoll) == 0));
	ASSERT_EQ(0, ipc_open(&self->ring));
	ASSERT_EQ(0, ipc_open(&self->other));
}

IPC_HARNESS_MAIN
