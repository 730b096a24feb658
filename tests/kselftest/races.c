// SPDX-License-Identifier: GPL-2.0
/*
 * Defects that only show when two requests meet.  Threads of different priority
 * on one processor make them meet.  RACE_SECONDS=N is how long each test tries.
 */
#include <dirent.h>
#include <poll.h>
#include <sys/epoll.h>

#include "messages.h"
#include "uffd.h"
#include "waiting.h"

#define ENTRIES		8

FIXTURE(races) {
	struct io_uring ring;
	struct io_uring other;
};

FIXTURE_SETUP(races)
{
	ASSERT_EQ(0, ipc_open(&self->ring));
	ASSERT_EQ(0, ipc_open(&self->other));
}

FIXTURE_TEARDOWN(races)
{
	io_uring_queue_exit(&self->other);
	io_uring_queue_exit(&self->ring);
}

/*
 * All threads look at head: a position that one has seen is the least for all.
 */
struct head {
	const struct io_uring_ipc_ring	*map;
	struct ipc_sub			sub;
	__u32				channel;
	__u32				entries;
	_Atomic __u32			seen;
	_Atomic bool			stop;
	_Atomic int			backwards;
};

static void head_look(struct head *head)
{
	__u32 seen = head->seen, now;

	now = __atomic_load_n(&head->map->consumer.head, __ATOMIC_ACQUIRE);
	if ((int)(now - seen) < 0)
		head->backwards++;
	while ((int)(now - seen) > 0 &&
	       !atomic_compare_exchange_weak(&head->seen, &seen, now))
		;
}

static void stay_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* A thread that becomes ready interrupts other threads on its processor. */
static int go_first(void)
{
	struct sched_param first = { .sched_priority = 1 };

	stay_on(0);
	return pthread_setschedparam(pthread_self(), SCHED_FIFO, &first);
}

/* Sends until it is stopped, to a ring that is full most of the time. */
static void *head_send(void *arg)
{
	struct head *head = arg;
	struct io_uring ring;

	if (ipc_open(&ring))
		return "no ring";
	stay_on(0);
	while (!head->stop) {
		ipc_send_num(&ring, head->channel, 1);
		head_look(head);
	}
	io_uring_queue_exit(&ring);
	return NULL;
}

/*
 * Interrupts the other thread, which moves head with every second message.
 * Moves head farther than that before the other thread can go on.
 */
static void *head_interrupt(void *arg)
{
	struct head *head = arg;
	__u32 random = 1, i;
	struct io_uring ring;
	struct ipc_sub sub;

	if (ipc_open(&ring) ||
	    ipc_attach(&ring, head->channel, IOIPC_SUB_BOTH, &sub) ||
	    go_first())
		return "no ring, or no priority";
	while (!head->stop) {
		ipc_nap(1 + ipc_random(&random) % 60);
		for (i = 0; i < head->entries; i++)
			ipc_recv_num(&ring, sub.id);
		for (i = 0; i < head->entries; i++) {
			ipc_send_num(&ring, sub.id, 2);
			ipc_recv_num(&ring, sub.id);
		}
		head_look(head);
	}
	io_uring_queue_exit(&ring);
	return NULL;
}

static void run_head(struct __test_metadata *_metadata, struct io_uring *ring,
		     __u32 entries, __u32 size, void *(*low)(void *),
		     void *(*high)(void *))
{
	struct head head = { .entries = entries };
	pthread_t thread[2];
	struct ipc_sub sub;
	void *error;
	int i;

	ASSERT_EQ(0, ipc_create(ring, IOIPC_F_BROADCAST, entries, size,
				&head.channel));
	ASSERT_EQ(0, ipc_attach(ring, head.channel, IOIPC_SUB_RECV, &sub));
	head.map = ipc_region(&sub);
	ASSERT_NE(NULL, head.map);
	ASSERT_EQ(0, io_uring_ipc_channel_detach(ring, sub.id));
	ASSERT_EQ(0, pthread_create(&thread[0], NULL, high, &head));
	ASSERT_EQ(0, pthread_create(&thread[1], NULL, low, &head));
	ipc_nap(1000000L * ipc_env("RACE_SECONDS", 5));
	ipc_poll(ipc_tail(head.map));
	head.stop = true;
	for (i = 0; i < 2; i++) {
		pthread_join(thread[i], &error);
		EXPECT_EQ(NULL, error) {
			TH_LOG("%s", (char *)error);
		}
	}
	TH_LOG("tail at %u, wrong %d", ipc_tail(head.map), head.backwards);
	EXPECT_LT(0, ipc_tail(head.map));
	EXPECT_EQ(0, head.backwards);
}

TEST_F_TIMEOUT(races, defect_15_head_moves_backwards, IPC_TIMEOUT)
{
	if (geteuid())
		SKIP(return, "needs to be root");
	run_head(_metadata, &self->ring, ENTRIES, 64, head_send,
		 head_interrupt);
}

/* Sends slowly, because the messages are large. */
static void *slot_hold(void *arg)
{
	struct head *head = arg;
	struct io_uring ring;
	char *buf;

	buf = calloc(1, 1 << 18);
	if (!buf || ipc_open(&ring))
		return "no ring";
	stay_on(0);
	while (!head->stop)
		ipc_send(&ring, head->channel, buf, 1 << 18);
	io_uring_queue_exit(&ring);
	return NULL;
}

/*
 * Interrupts the sender, and finds no unpublished slot except the slot of the
 * interrupted sender: this sender has not entered a slot that is in use again.
 */
static void *slot_interrupt(void *arg)
{
	struct head *head = arg;
	struct io_uring ring;
	__u32 tail, i, open;

	if (ipc_open(&ring) || go_first())
		return "no ring, or no priority";
	while (!head->stop) {
		tail = ipc_tail(head->map);
		for (i = open = 0; i < head->entries; i++)
			open += (int)(ipc_seq(head->map, tail - 1 - i) -
				      (tail - i)) < 0;
		head->backwards += open > 1;
		for (i = 0; i < head->entries + 2; i++)
			ipc_send_num(&ring, head->channel, 2);
		ipc_nap(20);
	}
	io_uring_queue_exit(&ring);
	return NULL;
}

TEST_F_TIMEOUT(races, head_stays_behind_senders, IPC_TIMEOUT)
{
	if (geteuid())
		SKIP(return, "needs to be root");
	run_head(_metadata, &self->ring, ENTRIES, 1 << 18, slot_hold,
		 slot_interrupt);
}

/* Requests of one subscriber that run at once get different messages. */
static void two_requests(struct __test_metadata *_metadata, __u32 flags)
{
	enum { ASYNC = 2, COUNT = 4, BIG = 1 << 18 };
	double end = ipc_now() + ipc_env("RACE_SECONDS", 5);
	long sent = 0, received = 0, got, twice = 0;
	struct io_uring_cqe cqe;
	struct io_uring ring;
	char *buf[COUNT], *seen;
	struct ipc_sub both;
	__u32 channel;
	int i, ret;

	seen = calloc(1000000, 1);
	ASSERT_EQ(0, io_uring_queue_init(COUNT, &ring, 0));
	ASSERT_EQ(0, ipc_create(&ring, flags, COUNT, BIG, &channel));
	ASSERT_EQ(0, ipc_attach(&ring, channel, IOIPC_SUB_BOTH, &both));
	for (i = 0; i < COUNT; i++) {
		buf[i] = calloc(1, BIG);
		ASSERT_NE(NULL, buf[i]);
		memset(buf[i], 1, BIG);
	}
	while (ipc_now() < end) {
		for (; sent < received + COUNT; sent++) {
			memcpy(buf[0], &sent, sizeof(sent));
			ASSERT_EQ(BIG, ipc_send(&ring, both.id, buf[0], BIG));
		}
		/* Some run in workers, and the others run meanwhile. */
		for (i = 0; i < COUNT; i++) {
			struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

			io_uring_prep_ipc_recv(sqe, both.id, buf[i], BIG, 0);
			io_uring_sqe_set_data64(sqe, i);
			if (i < ASYNC)
				sqe->flags |= IOSQE_ASYNC;
		}
		for (i = 0; i < COUNT; i++) {
			ret = ipc_run_cqe(&ring, &cqe);
			if (ret == -EAGAIN)
				continue;
			ASSERT_EQ(BIG, ret);
			memcpy(&got, buf[cqe.user_data], sizeof(got));
			ASSERT_GT(sent, got);
			twice += seen[got]++;
			received++;
		}
		/*
		 * The messages that are left because requests were in each
		 * other's way.
		 */
		while (ipc_recv(&ring, both.id, buf[0], BIG) == BIG) {
			memcpy(&got, buf[0], sizeof(got));
			twice += seen[got]++;
			received++;
		}
	}
	TH_LOG("%ld sent, %ld received, %ld twice", sent, received, twice);
	EXPECT_EQ(sent, received);
	EXPECT_EQ(0, twice);
	io_uring_queue_exit(&ring);
}

TEST_F_TIMEOUT(races, defect_14_two_requests_unicast, IPC_TIMEOUT)
{
	two_requests(_metadata, 0);
}

TEST_F_TIMEOUT(races, defect_14_two_requests_broadcast, IPC_TIMEOUT)
{
	two_requests(_metadata, IOIPC_F_BROADCAST);
}

/* A thread that changes the flags of an SQE all the time. */
struct toggler {
	struct io_uring_sqe	*sqe;
	_Atomic bool		stop;
};

static void *toggle(void *arg)
{
	struct toggler *toggler = arg;

	while (!toggler->stop)
		__atomic_fetch_xor(&toggler->sqe->flags, IOSQE_BUFFER_SELECT,
				   __ATOMIC_RELAXED);
	return NULL;
}

/*
 * io_uring and the module both read the flags of an SQE, and may see different
 * values: a request that has both a provided and a registered buffer, or
 * neither.
 */
TEST_F_TIMEOUT(races, flags_change_while_they_are_read, IPC_TIMEOUT)
{
	struct io_uring_buf_ring *bufs;
	struct toggler toggler = {};
	long both = 0, tries = 0;
	struct io_uring ring;
	struct ipc_sub sub;
	pthread_t thread;
	struct iovec iov;
	static char mem[64];
	__u32 channel;
	double end;
	int ret;

	/* With one entry, every request uses the same SQE. */
	ASSERT_EQ(0, io_uring_queue_init(1, &ring, 0));
	ASSERT_EQ(0, ipc_create(&ring, 0, ENTRIES, 64, &channel));
	ASSERT_EQ(0, ipc_attach(&ring, channel, IOIPC_SUB_BOTH, &sub));
	iov = (struct iovec){ mem, sizeof(mem) };
	ASSERT_EQ(0, io_uring_register_buffers(&ring, &iov, 1));
	bufs = io_uring_setup_buf_ring(&ring, 1, 0, 0, &ret);
	ASSERT_NE(NULL, bufs);
	io_uring_buf_ring_add(bufs, mem, sizeof(mem), 0, 0, 0);
	io_uring_buf_ring_advance(bufs, 1);
	toggler.sqe = ring.sq.sqes;
	ASSERT_EQ(0, pthread_create(&thread, NULL, toggle, &toggler));
	end = ipc_now() + ipc_env("RACE_SECONDS", 3);
	while (ipc_go_on(end, both)) {
		struct io_uring_cqe cqe;

		io_uring_prep_ipc_recv_fixed(io_uring_get_sqe(&ring), sub.id,
					     NULL, 0, 0, 0);
		ret = ipc_run_cqe(&ring, &cqe);
		ASSERT_TRUE(ret == -EINVAL || ret == -EAGAIN || ret == -EFAULT)
			TH_LOG("%d", ret);
		tries++;
		both += ret == -EINVAL;
	}
	toggler.stop = true;
	pthread_join(thread, NULL);
	TH_LOG("%ld requests, %ld refused", tries, both);
	EXPECT_LT(0, both);
	io_uring_queue_exit(&ring);
}

/* A receiver that always fails. */
struct failing {
	struct io_uring	*ring;
	__u32		id;
	_Atomic bool	stop;
	_Atomic long	count;
	long		wrong;
};

static void *fail(void *arg)
{
	struct failing *failing = arg;

	while (!failing->stop)
		if (ipc_recv(failing->ring, failing->id, NULL, 8) == -EFAULT)
			failing->count++;
	return NULL;
}

TEST_F_TIMEOUT(races, nobody_overtakes_a_failing_receiver, IPC_TIMEOUT)
{
	struct failing failing = { .ring = &self->other };
	struct ipc_sub both, sub;
	pthread_t thread;
	__u32 channel;
	long wrong = 0;
	double end;
	int i = 0;

	ASSERT_EQ(0, ipc_create(&self->ring, 0, ENTRIES, 64, &channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, channel, IOIPC_SUB_BOTH, &both));
	ASSERT_EQ(0, ipc_attach(&self->other, channel, IOIPC_SUB_RECV, &sub));
	failing.id = sub.id;
	ASSERT_EQ(0, pthread_create(&thread, NULL, fail, &failing));
	end = ipc_now() + ipc_env("RACE_SECONDS", 5);
	for (i = 0; ipc_go_on(end, failing.count); i += ENTRIES) {
		int n = 0, last = i - 1;

		ASSERT_EQ(ENTRIES, ipc_send_nums(&self->ring, both.id, i,
						 i + ENTRIES));
		while (n < ENTRIES) {
			long long num = ipc_recv_num(&self->ring, both.id);

			if (num == -EAGAIN) {
				wrong++;
				continue;
			}
			n++;
			wrong += num != last + 1;
			last = num;
		}
	}
	failing.stop = true;
	pthread_join(thread, NULL);
	TH_LOG("%d messages, %ld failures, %ld overtaken", i, failing.count,
	       wrong);
	EXPECT_LT(0, failing.count);
	EXPECT_EQ(0, wrong);
}

/*
 * The buffer has room for one message, and then memory that cannot be written.
 */
static void *receive_half_a_bundle(void *arg)
{
	const int page = getpagesize();
	struct failing *failing = arg;
	char *mem = mmap(NULL, 2 * page, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *buf = mem + page - MSG_INFO - 8;
	long long last = -1;

	mprotect(mem, page, PROT_READ | PROT_WRITE);
	while (!failing->stop) {
		int res = msg_recv(failing->ring, failing->id, buf,
				   2 * (MSG_INFO + 8), IOIPC_RECV_BUNDLE);
		long long num;

		if (res == -EAGAIN)
			continue;
		memcpy(&num, buf + MSG_INFO, sizeof(num));
		failing->wrong += res != MSG_INFO + 8 || num <= last;
		last = num;
		failing->count++;
	}
	munmap(mem, 2 * page);
	return NULL;
}

TEST_F_TIMEOUT(races, nobody_overtakes_a_failing_bundle, IPC_TIMEOUT)
{
	struct failing failing = { .ring = &self->other };
	struct ipc_sub both, sub;
	pthread_t thread;
	long wrong = 0, n = 0;
	long long num, last = -1;
	__u32 channel;
	double end;
	int i;

	ASSERT_EQ(0, ipc_create(&self->ring, 0, ENTRIES, 64, &channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, channel, IOIPC_SUB_BOTH, &both));
	ASSERT_EQ(0, ipc_attach(&self->other, channel, IOIPC_SUB_RECV, &sub));
	failing.id = sub.id;
	ASSERT_EQ(0, pthread_create(&thread, NULL, receive_half_a_bundle,
				    &failing));
	end = ipc_now() + ipc_env("RACE_SECONDS", 5);
	for (i = 0; ipc_now() < end || !failing.count; i += ENTRIES) {
		ASSERT_EQ(ENTRIES, ipc_send_nums(&self->ring, both.id, i,
						 i + ENTRIES));
		while (n + failing.count < i + ENTRIES) {
			num = ipc_recv_num(&self->ring, both.id);
			if (num == -EAGAIN)
				continue;
			wrong += num <= last;
			last = num;
			n++;
		}
	}
	failing.stop = true;
	pthread_join(thread, NULL);
	TH_LOG("%d messages, %ld in half a bundle, %ld and %ld overtaken", i,
	       failing.count, wrong, failing.wrong);
	EXPECT_EQ(0, wrong);
	EXPECT_EQ(0, failing.wrong);
}

/* A send with a bad target never puts anything into the ring. */
TEST_F_TIMEOUT(races, defect_09_bad_target_takes_no_slot, IPC_TIMEOUT)
{
	const struct io_uring_ipc_ring *map;
	struct ipc_sub both;
	__u32 channel;

	ASSERT_EQ(0, ipc_create(&self->ring, 0, ENTRIES, 64, &channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, channel, IOIPC_SUB_BOTH, &both));
	map = ipc_region(&both);
	ASSERT_NE(NULL, map);
	EXPECT_EQ(-ENOENT, ipc_send_num_to(&self->ring, both.id, 2, UINT_MAX));
	EXPECT_EQ(0, ipc_tail(map));
	EXPECT_EQ(ENTRIES, ipc_send_nums(&self->ring, both.id, 0, ENTRIES));
	EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->ring, both.id, 0, ENTRIES));
}

/* Checks for room, again and again. */
struct watcher {
	int		fd;
	bool		uses_epoll;
	_Atomic bool	stop;
	_Atomic long	looks;
};

static void *watch_room(void *arg)
{
	struct watcher *watcher = arg;
	struct pollfd polled = { .fd = watcher->fd, .events = POLLOUT };
	struct epoll_event event = { .events = EPOLLOUT };
	int epoll = epoll_create1(0);

	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, watcher->fd, &event))
		return "no epoll";
	stay_on(1);
	while (!watcher->stop) {
		if (watcher->uses_epoll)
			epoll_wait(epoll, &event, 1, 0);
		else
			poll(&polled, 1, 0);
		watcher->looks++;
	}
	close(epoll);
	return NULL;
}

/*
 * A watcher finds a slot that a receiver has just freed, and moves head over
 * it.  The watcher wakes no sender, so the receiver must do so.
 */
static void run_watched(struct __test_metadata *_metadata,
			FIXTURE_DATA(races) *self, __u32 flags, bool uses_epoll)
{
	struct ipc_sub receiver, sender, other;
	struct watcher watcher = { .uses_epoll = uses_epoll };
	pthread_t thread;
	__u32 channel;
	void *error;
	double end;
	__u64 i;

	ASSERT_EQ(0, ipc_create(&self->ring, flags, 1, 64, &channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, channel, IOIPC_SUB_SEND, &sender));
	ASSERT_EQ(0, ipc_attach(&self->other, channel, IOIPC_SUB_SEND, &other));
	ASSERT_EQ(0, ipc_attach(&self->other, channel, IOIPC_SUB_RECV,
				&receiver));
	watcher.fd = other.fd;
	ASSERT_EQ(0, pthread_create(&thread, NULL, watch_room, &watcher));
	stay_on(0);
	ASSERT_EQ(IPC_NUM, wait_send(&self->ring, sender.id, 0));
	end = ipc_now() + ipc_env("RACE_SECONDS", 5);
	for (i = 1; ipc_now() < end || watcher.looks < 100; i++) {
		__u64 data = wait_new_data();

		wait_get_send(&self->ring, sender.id, &i, data);
		ASSERT_EQ(1, io_uring_submit(&self->ring));
		ASSERT_EQ(i - 1, wait_recv(&self->other, receiver.id));
		ASSERT_EQ(IPC_NUM, wait_for(&self->ring, data))
			TH_LOG("message %llu", i);
	}
	watcher.stop = true;
	ASSERT_EQ(0, pthread_join(thread, &error));
	EXPECT_EQ(NULL, error);
	TH_LOG("%llu messages, %ld looks", i, watcher.looks);
}

TEST_F_TIMEOUT(races, watcher_beside_a_broadcast, IPC_TIMEOUT)
{
	run_watched(_metadata, self, IOIPC_F_BROADCAST, false);
}

TEST_F_TIMEOUT(races, epoll_beside_a_broadcast, IPC_TIMEOUT)
{
	run_watched(_metadata, self, IOIPC_F_BROADCAST, true);
}

TEST_F_TIMEOUT(races, watcher_beside_a_queue, IPC_TIMEOUT)
{
	run_watched(_metadata, self, 0, false);
}

/* Receives one large message after the other, from a ring with one slot. */
struct reader {
	__u32		channel;
	_Atomic bool	ready;
	_Atomic bool	stop;
};

static void *read_slowly(void *arg)
{
	enum { LARGE = 1 << 20 };
	struct reader *reader = arg;
	struct io_uring ring;
	struct ipc_sub sub;
	char *buf = calloc(1, LARGE);

	if (!buf || ipc_open(&ring) ||
	    ipc_attach(&ring, reader->channel, IOIPC_SUB_RECV, &sub))
		return "no ring";
	memset(buf, 1, LARGE);
	stay_on(0);
	reader->ready = true;
	while (!reader->stop)
		ipc_recv(&ring, sub.id, buf, LARGE);
	io_uring_queue_exit(&ring);
	return NULL;
}

/* How many threads io_uring has created in this process. */
static int workers(void)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *entry;
	int count = 0;

	while (tasks && (entry = readdir(tasks))) {
		char path[300], name[32] = "";
		FILE *file;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm",
			 entry->d_name);
		file = fopen(path, "r");
		if (!file)
			continue;
		if (fgets(name, sizeof(name), file))
			count += !strncmp(name, "iou-wrk", 7);
		fclose(file);
	}
	if (tasks)
		closedir(tasks);
	return count;
}

/*
 * A sender interrupts the receiver while it copies the only message, which the
 * sender therefore cannot overwrite.  The sender waits for that receiver.  It
 * does not try again and again until io_uring creates a worker for its request.
 */
TEST_F_TIMEOUT(races, overwriting_waits_for_the_reader, IPC_TIMEOUT)
{
	enum { LARGE = 1 << 20 };
	struct reader reader = {};
	struct io_uring ring;
	pthread_t thread;
	long waited = 0, i;
	void *error;
	char *buf;

	buf = calloc(1, LARGE);
	ASSERT_NE(NULL, buf);
	memset(buf, 1, LARGE);
	ASSERT_EQ(0, io_uring_queue_init(8, &ring, WAIT_DEFER));
	ASSERT_EQ(0, ipc_create(&ring, IOIPC_F_BROADCAST | IOIPC_F_OVERWRITE, 1,
				LARGE, &reader.channel));
	ASSERT_EQ(0, pthread_create(&thread, NULL, read_slowly, &reader));
	ASSERT_TRUE(ipc_poll(reader.ready));
	ASSERT_EQ(0, go_first());
	for (i = 0; i < 100000 && waited < 50; i++) {
		__u64 data = wait_new_data();
		struct io_uring_sqe *sqe = wait_get_sqe(&ring);

		io_uring_prep_ipc_send(sqe, reader.channel, buf, LARGE, 0,
				       IOIPC_SEND_WAIT);
		io_uring_sqe_set_data64(sqe, data);
		ASSERT_EQ(1, io_uring_submit(&ring));
		waited += !io_uring_cq_ready(&ring);
		ASSERT_EQ(LARGE, wait_for(&ring, data));
		/* Until the receiver is in the middle of its copy. */
		ipc_nap(100 + i % 400);
	}
	TH_LOG("%ld of %ld sends have waited", waited, i);
	EXPECT_LT(0, waited);
	EXPECT_EQ(0, workers());
	reader.stop = true;
	ASSERT_EQ(0, pthread_join(thread, &error));
	EXPECT_EQ(NULL, error);
	io_uring_queue_exit(&ring);
}

/* A sender that takes a long time between reserving and publishing. */
struct slow {
	__u32		channel;
	__u32		target;
	_Atomic bool	stop;
};

static void *slow_send(void *arg)
{
	enum { LARGE = 1 << 20 };
	struct slow *slow = arg;
	struct io_uring ring;
	char *buf;

	buf = calloc(1, LARGE);
	if (!buf || ipc_open(&ring))
		return "no ring";
	memset(buf, 1, LARGE);
	stay_on(0);
	while (!slow->stop)
		ipc_send_to(&ring, slow->channel, buf, LARGE, slow->target);
	io_uring_queue_exit(&ring);
	return NULL;
}

/*
 * A message is published behind a slot that is not published yet, because its
 * sender was interrupted.  So the woken receiver finds no message, and waits
 * again.  The interrupted sender must wake it later, although its own message
 * is for another receiver.
 */
static void run_late(struct __test_metadata *_metadata, __u32 flags)
{
	enum { ROUNDS = 20 };
	const struct io_uring_ipc_ring *map;
	struct ipc_sub receiver, other;
	struct io_uring ring;
	struct slow slow = {};
	pthread_t thread;
	long missed = 0;
	double end;
	__u32 tail;
	void *error;
	int i, sent;

	ASSERT_EQ(0, io_uring_queue_init(8, &ring, WAIT_DEFER));
	ASSERT_EQ(0, ipc_create(&ring, flags, ENTRIES, 1 << 20, &slow.channel));
	ASSERT_EQ(0, ipc_attach(&ring, slow.channel, IOIPC_SUB_RECV, &receiver));
	ASSERT_EQ(0, ipc_attach(&ring, slow.channel, IOIPC_SUB_RECV, &other));
	map = ipc_region(&receiver);
	ASSERT_NE(NULL, map);
	slow.target = other.id;
	ASSERT_EQ(0, pthread_create(&thread, NULL, slow_send, &slow));
	ASSERT_EQ(0, go_first());
	end = ipc_now() + IPC_TIMEOUT / 4;
	for (i = 1; i <= ROUNDS; i++) {
		__u64 num = 0, data = wait_new_data();

		wait_get_recv(&ring, receiver.id, &num, data);
		do {
			ASSERT_GT(end, ipc_now())
				TH_LOG("never interrupted, %ld missed", missed);
			missed++;
			/* There is room, and no published message is left. */
			while (wait_recv(&ring, other.id) != -EAGAIN)
				;
			/* Here the sender runs, until a timer interrupts it. */
			ipc_nap(20);
			tail = ipc_tail(map);
			sent = ipc_seq(map, tail - 1) == tail ? -EAGAIN :
			       wait_send_to(&ring, slow.channel, i, receiver.id);
			/* The sender may have filled the ring before that. */
		} while (sent == -EAGAIN || sent == -ENOBUFS);
		missed--;
		ASSERT_EQ(IPC_NUM, sent);
		/* The receiver was woken, and the sender has not run since. */
		ASSERT_EQ(0, wait_completed(&ring));
		ASSERT_NE(tail, ipc_seq(map, tail - 1));
		ASSERT_EQ(IPC_NUM, wait_for(&ring, data))
			TH_LOG("round %d", i);
		ASSERT_EQ(i, num);
	}
	slow.stop = true;
	pthread_join(thread, &error);
	EXPECT_EQ(NULL, error);
	TH_LOG("%d times in time, %ld times not", ROUNDS, missed);
	io_uring_queue_exit(&ring);
}

TEST_F_TIMEOUT(races, late_sender_wakes_unicast, IPC_TIMEOUT)
{
	if (geteuid())
		SKIP(return, "needs to be root");
	run_late(_metadata, 0);
}

TEST_F_TIMEOUT(races, late_sender_wakes_multicast, IPC_TIMEOUT)
{
	if (geteuid())
		SKIP(return, "needs to be root");
	run_late(_metadata, IOIPC_F_MULTICAST);
}

TEST_F_TIMEOUT(races, late_sender_wakes_broadcast, IPC_TIMEOUT)
{
	if (geteuid())
		SKIP(return, "needs to be root");
	run_late(_metadata, IOIPC_F_BROADCAST);
}

IPC_HARNESS_MAIN
