// SPDX-License-Identifier: GPL-2.0
/*
 * A process that may destroy a channel can detach the subscribers of others:
 * what this ends, which processes may do it, and what can happen at the same
 * time.
 *
 * RANDOM_ROUNDS=N is how often the tests with random timing try.
 */
#include <poll.h>
#include <pthread.h>
#include "fixture.h"
#include "messages.h"

#define ENTRIES	4
#define GROUP	7
#define BUFS	4
#define SIZE	64

static const struct ipc_who owner = { IPC_UID, IPC_GID, 0 };
static const struct ipc_who member = { IPC_OTHER_UID, IPC_GID, 0 };
static const struct ipc_who stranger = { IPC_OTHER_UID, IPC_OTHER_GID, 0 };
static const struct ipc_who root = { 0, 0, 0 };

FIXTURE(evict) {
	/* This ring has created the channel. */
	struct io_uring ring;
	struct io_uring other;
	__u32 channel;
	struct ipc_sub sender;
	/* A subscriber of the other ring. */
	struct ipc_sub victim;
	bool all;
};

FIXTURE_KINDS(evict);

FIXTURE_SETUP(evict)
{
	self->all = variant->flags & IOIPC_F_BROADCAST;
	ASSERT_EQ(0, io_uring_queue_init(64, &self->ring, 0));
	ASSERT_EQ(0, io_uring_queue_init(64, &self->other, 0));
	ASSERT_EQ(0, ipc_create(&self->ring, variant->flags, ENTRIES, SIZE,
				&self->channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_SEND,
				&self->sender));
	ASSERT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_BOTH,
				&self->victim));
}

FIXTURE_TEARDOWN(evict)
{
	io_uring_queue_exit(&self->other);
	io_uring_queue_exit(&self->ring);
}

static short polled(int fd, short events)
{
	struct pollfd pollfd = { .fd = fd, .events = events };

	return poll(&pollfd, 1, 0) < 0 ? -errno : pollfd.revents;
}

static int fill(struct io_uring *ring, __u32 id, __u32 target)
{
	int num;

	for (num = 0; num < ENTRIES; num++)
		if (wait_send_to(ring, id, num, target) != IPC_NUM)
			break;
	return num;
}

static int recv_mapped(struct io_uring *ring, __u32 id)
{
	return msg_recv(ring, id, NULL, 0, IOIPC_RECV_MAPPED);
}

TEST_F_TIMEOUT(evict, ends_all_that_it_can_do, IPC_TIMEOUT)
{
	__u32 id = self->victim.id;
	const void *mapped;

	mapped = ipc_region(&self->victim);
	ASSERT_NE(NULL, mapped);
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring, id));

	EXPECT_EQ(-ENOENT, ipc_send_num(&self->other, id, 1));
	EXPECT_EQ(-ENOENT, wait_send_wait(&self->other, id, 1));
	EXPECT_EQ(-ENOENT, ipc_recv_num(&self->other, id));
	EXPECT_EQ(-ENOENT, wait_recv_wait(&self->other, id));
	EXPECT_EQ(-ENOENT, recv_mapped(&self->other, id));
	EXPECT_TRUE(polled(self->victim.fd, POLLIN) & POLLHUP);
	EXPECT_TRUE(polled(self->victim.fd, POLLOUT) & POLLHUP);
	EXPECT_TRUE(polled(self->victim.fd, 0) & POLLHUP);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, self->victim.region_size, PROT_READ,
				   MAP_SHARED, self->victim.fd, 0));
	EXPECT_EQ(EACCES, errno);
	/* The mapping of the victim stays. */
	EXPECT_EQ(0, ipc_tail(mapped));

	/* For other subscribers the victim is gone. */
	EXPECT_EQ(-ENOENT, ipc_send_num_to(&self->ring, self->sender.id, 1, id));
	EXPECT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sender.id, 1));
	EXPECT_EQ(-ENOENT, io_uring_ipc_channel_detach(&self->ring, id));

	/* The ring of the victim detaches it, once. */
	EXPECT_EQ(0, io_uring_ipc_channel_detach(&self->other, id));
	EXPECT_EQ(-ENOENT, io_uring_ipc_channel_detach(&self->other, id));
	EXPECT_EQ(-ENOENT, io_uring_ipc_channel_detach(&self->ring, id));
}

/* Messages that the victim has not received hold up no sender. */
TEST_F_TIMEOUT(evict, senders_go_on, IPC_TIMEOUT)
{
	__u64 num = 9;

	ASSERT_EQ(ENTRIES, fill(&self->ring, self->sender.id, self->victim.id));
	ASSERT_EQ(-ENOBUFS, wait_send(&self->ring, self->sender.id, 8));
	wait_get_send(&self->ring, self->sender.id, &num, 1);
	ASSERT_TRUE(wait_nothing(&self->ring));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring, self->victim.id));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 1));
	EXPECT_EQ(ENTRIES, ipc_fdinfo(self->sender.fd, "ioipc-dropped"));
	EXPECT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, 10));
}

/* Other receivers get the messages for any receiver. */
TEST_F_TIMEOUT(evict, others_get_the_rest, IPC_TIMEOUT)
{
	struct ipc_sub receiver;
	__u64 got = 0;

	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_RECV,
				&receiver));
	ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, 1));
	ASSERT_EQ(IPC_NUM, wait_send_to(&self->ring, self->sender.id, 2,
					self->victim.id));
	ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, 3));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring, self->victim.id));
	EXPECT_EQ(1, wait_recv(&self->ring, receiver.id));
	EXPECT_EQ(3, wait_recv(&self->ring, receiver.id));
	wait_get_recv(&self->ring, receiver.id, &got, 1);
	ASSERT_TRUE(wait_nothing(&self->ring));
	EXPECT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, 4));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 1));
	EXPECT_EQ(4, got);
}

/* The victim counts as a file of its ring until the ring detaches it. */
TEST_F_TIMEOUT(evict, its_ring_keeps_it_until_then, IPC_TIMEOUT)
{
	struct rlimit limit, few;
	struct ipc_sub sub;

	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring, self->victim.id));
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	few = limit;
	few.rlim_cur = 1;
	ASSERT_EQ(0, close(STDIN_FILENO));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &few));
	EXPECT_EQ(-EMFILE, ipc_attach(&self->other, self->channel,
				      IOIPC_SUB_RECV, &sub));
	EXPECT_EQ(0, io_uring_ipc_channel_detach(&self->other, self->victim.id));
	EXPECT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_RECV,
				&sub));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
}

/*
 * Requests that wait
 */

struct flavour {
	const char	*name;
	unsigned int	setup;
	unsigned int	sqe_flags;
	bool		multishot;
};

static const struct flavour flavours[] = {
	{ "poll", 0, 0, false },
	{ "defer", WAIT_DEFER, 0, false },
	{ "sqpoll", IORING_SETUP_SQPOLL, 0, false },
	{ "worker", 0, IOSQE_ASYNC, false },
	{ "worker, defer", WAIT_DEFER, IOSQE_ASYNC, false },
	{ "multishot", 0, IOSQE_BUFFER_SELECT, true },
	{ "multishot, defer", WAIT_DEFER, IOSQE_BUFFER_SELECT, true },
	{ "multishot, sqpoll", IORING_SETUP_SQPOLL, IOSQE_BUFFER_SELECT, true },
};

static void get_recv(struct io_uring *ring, const struct flavour *flavour,
		     __u32 id, __u64 *num, __u64 data)
{
	struct io_uring_sqe *sqe = wait_get_recv(ring, id, num, data);

	if (flavour->multishot) {
		sqe->addr = 0;
		sqe->len = 0;
		sqe->rw_flags = IOIPC_RECV_MULTISHOT;
		sqe->buf_group = GROUP;
	}
	sqe->flags |= flavour->sqe_flags;
}

/* Whether any byte of some memory has changed. */
static bool has_byte(const char *mem, size_t size)
{
	while (size--)
		if (*mem++)
			return true;
	return false;
}

TEST_F_TIMEOUT(evict, ends_receives_that_wait, IPC_TIMEOUT)
{
	struct ipc_sub victim, neighbour;
	struct io_uring_buf_ring *pool;
	struct io_uring_cqe cqe;
	struct io_uring ring;
	static char mem[BUFS][SIZE];
	__u64 got[3];
	int i, j, ret;

	for (i = 0; i < ARRAY_SIZE(flavours); i++) {
		const struct flavour *flavour = &flavours[i];
		struct io_uring_params params = {
			.flags = flavour->setup,
			.sq_thread_idle = 1,
		};

		TH_LOG("%s", flavour->name);
		memset(mem, 0, sizeof(mem));
		ASSERT_EQ(0, io_uring_queue_init_params(16, &ring, &params));
		pool = io_uring_setup_buf_ring(&ring, BUFS, GROUP, 0, &ret);
		ASSERT_NE(NULL, pool);
		for (j = 0; j < BUFS; j++)
			io_uring_buf_ring_add(pool, mem[j], SIZE, j, BUFS - 1, j);
		io_uring_buf_ring_advance(pool, BUFS);
		ASSERT_EQ(0, ipc_attach(&ring, self->channel, IOIPC_SUB_RECV,
					&victim));
		ASSERT_EQ(0, ipc_attach(&ring, self->channel, IOIPC_SUB_RECV,
					&neighbour));
		get_recv(&ring, flavour, victim.id, &got[0], 10);
		get_recv(&ring, flavour, victim.id, &got[1], 11);
		get_recv(&ring, flavour, neighbour.id, &got[2], 12);
		ASSERT_TRUE(wait_nothing(&ring));

		ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring, victim.id));
		EXPECT_EQ(-ENOENT, wait_for_cqe(&ring, 10, &cqe));
		EXPECT_EQ(0, cqe.flags);
		EXPECT_EQ(-ENOENT, wait_for_cqe(&ring, 11, &cqe));
		EXPECT_EQ(0, cqe.flags);
		EXPECT_TRUE(wait_nothing(&ring));
		EXPECT_FALSE(has_byte(mem[0], sizeof(mem)));

		/* The other requests still wait, and no buffer is missing. */
		ASSERT_EQ(IPC_NUM, wait_send_to(&self->ring, self->sender.id, 7,
						neighbour.id));
		ASSERT_EQ(IPC_NUM, wait_for_cqe(&ring, 12, &cqe));
		if (flavour->multishot) {
			EXPECT_EQ(IORING_CQE_F_BUFFER | IORING_CQE_F_MORE,
				  cqe.flags);
			for (j = 1; j < BUFS; j++) {
				ASSERT_EQ(IPC_NUM,
					  wait_send_to(&self->ring,
						       self->sender.id, 7,
						       neighbour.id));
				ASSERT_EQ(IPC_NUM, wait_for(&ring, 12));
			}
		} else {
			EXPECT_EQ(7, got[2]);
		}
		get_recv(&ring, flavour, victim.id, &got[0], 13);
		EXPECT_EQ(-ENOENT, wait_for(&ring, 13));
		io_uring_free_buf_ring(&ring, pool, BUFS, GROUP);
		wait_forget(&ring);
		io_uring_queue_exit(&ring);
		close(victim.fd);
		close(neighbour.fd);
	}
}

TEST_F_TIMEOUT(evict, ends_sends_that_wait, IPC_TIMEOUT)
{
	struct ipc_sub victim, neighbour;
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	__u64 num[4] = { 10, 11, 12, 13 };
	int i, j;

	ASSERT_EQ(ENTRIES, fill(&self->ring, self->sender.id, self->victim.id));
	for (i = 0; i < ARRAY_SIZE(flavours); i++) {
		const struct flavour *flavour = &flavours[i];
		struct io_uring_params params = {
			.flags = flavour->setup,
			.sq_thread_idle = 1,
		};

		if (flavour->multishot)
			continue;
		TH_LOG("%s", flavour->name);
		ASSERT_EQ(0, io_uring_queue_init_params(16, &ring, &params));
		ASSERT_EQ(0, ipc_attach(&ring, self->channel, IOIPC_SUB_SEND,
					&victim));
		ASSERT_EQ(0, ipc_attach(&ring, self->channel, IOIPC_SUB_SEND,
					&neighbour));
		for (j = 0; j < 4; j++) {
			const __u32 ids[] = { victim.id, victim.id,
					      neighbour.id, self->channel };

			sqe = wait_get_send(&ring, ids[j], &num[j], 10 + j);
			sqe->flags |= flavour->sqe_flags;
		}
		ASSERT_TRUE(wait_nothing(&ring));
		ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring, victim.id));
		EXPECT_EQ(-ENOENT, wait_for(&ring, 10));
		EXPECT_EQ(-ENOENT, wait_for(&ring, 11));
		EXPECT_TRUE(wait_nothing(&ring));

		/* There is room for the requests that still wait. */
		EXPECT_EQ(0, wait_recv(&self->other, self->victim.id));
		EXPECT_EQ(1, wait_recv(&self->other, self->victim.id));
		EXPECT_EQ(IPC_NUM, wait_for(&ring, 12));
		EXPECT_EQ(IPC_NUM, wait_for(&ring, 13));
		wait_forget(&ring);
		io_uring_queue_exit(&ring);
		close(victim.fd);
		close(neighbour.fd);
		/* The ring is as full as before. */
		for (j = 0; j < ENTRIES; j++)
			ASSERT_LE(0, wait_recv(&self->other, self->victim.id));
		ASSERT_EQ(ENTRIES, fill(&self->ring, self->sender.id,
					self->victim.id));
	}
}

static void *poll_for_end(void *arg)
{
	struct pollfd pollfd = { .fd = *(int *)arg, .events = POLLIN };

	poll(&pollfd, 1, WAIT_DEADLINE * 1000);
	return (void *)(long)pollfd.revents;
}

TEST_F_TIMEOUT(evict, wakes_who_polls, IPC_TIMEOUT)
{
	pthread_t thread;
	void *events;

	ASSERT_EQ(0, pthread_create(&thread, NULL, poll_for_end,
				    &self->victim.fd));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring, self->victim.id));
	ASSERT_EQ(0, pthread_join(thread, &events));
	EXPECT_TRUE((long)events & POLLHUP);
}

/*
 * Permissions
 */

static int do_detach(void *arg)
{
	struct io_uring ring;
	int ret;

	ret = ipc_open(&ring);
	return ret ?: io_uring_ipc_channel_detach(&ring, *(__u32 *)arg);
}

static int detach_elsewhere(void *arg)
{
	return unshare(CLONE_NEWIPC) ? -errno : do_detach(arg);
}

/* Creates a channel of the owner, with a subscriber on a ring of root. */
static int open_channel(struct io_uring *ring, struct io_uring *other,
			__u32 flags, __u32 *channel, __u32 *id)
{
	struct io_uring_ipc_channel_create create;
	struct ipc_sub sub;
	int ret;

	create = ipc_create_args(flags, ENTRIES, SIZE);
	create.mode = 0666;
	if (setresgid(-1, owner.gid, -1) || setresuid(-1, owner.uid, -1))
		return -errno;
	ret = io_uring_ipc_channel_create(ring, &create);
	if (setresuid(-1, 0, -1) || setresgid(-1, 0, -1))
		return -errno;
	*channel = create.channel_id_out;
	ret = ret ?: ipc_attach(other, *channel, IOIPC_SUB_BOTH, &sub);
	*id = sub.id;
	return ret;
}

TEST(only_who_may_destroy_may_evict)
{
	static const struct {
		__u32			flags;
		const struct ipc_who	*who;
		int			(*fn)(void *arg);
		int			result;
	} cases[] = {
		{ 0, &owner, do_detach, 0 },
		{ 0, &root, do_detach, 0 },
		{ 0, &stranger, do_detach, -EPERM },
		{ 0, &member, do_detach, -EPERM },
		{ 0, &root, detach_elsewhere, -ENOENT },
		{ IOIPC_F_PRIVATE, &owner, do_detach, 0 },
		{ IOIPC_F_PRIVATE, &root, do_detach, 0 },
		{ IOIPC_F_PRIVATE, &stranger, do_detach, -ENOENT },
		{ IOIPC_F_PRIVATE, &member, do_detach, -ENOENT },
	};
	struct io_uring ring, other;
	struct ipc_sub own;
	__u32 channel, id;
	int i;

	if (geteuid())
		SKIP(return, "needs to be root");
	ASSERT_EQ(0, ipc_open(&ring));
	ASSERT_EQ(0, ipc_open(&other));
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		ASSERT_EQ(0, open_channel(&ring, &other, cases[i].flags,
					  &channel, &id));
		EXPECT_EQ(cases[i].result, ipc_as(*cases[i].who, cases[i].fn, &id))
			TH_LOG("case %d", i);
		EXPECT_EQ(cases[i].result ? IPC_NUM : -ENOENT,
			  ipc_send_num(&other, id, 1));
		/*
		 * The ring that created the channel may, with the credentials
		 * of any user.
		 */
		EXPECT_EQ(cases[i].result ? 0 : -ENOENT,
			  io_uring_ipc_channel_detach(&ring, id));
	}

	/* Neither a channel nor an unused id can be detached. */
	EXPECT_EQ(-ENOENT, io_uring_ipc_channel_detach(&ring, channel));
	EXPECT_EQ(-ENOENT, io_uring_ipc_channel_detach(&ring, 2000000000));
	/* Each ring keeps its own subscribers of a destroyed channel. */
	ASSERT_EQ(0, ipc_attach(&other, channel, IOIPC_SUB_BOTH, &own));
	ASSERT_EQ(1, ipc_recv_num(&other, own.id));
	ASSERT_EQ(IPC_NUM, ipc_send_num(&other, own.id, 5));
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&ring, channel));
	EXPECT_EQ(-ENOENT, io_uring_ipc_channel_detach(&ring, own.id));
	EXPECT_EQ(-ENOENT, ipc_as(root, do_detach, &own.id));
	EXPECT_EQ(5, ipc_recv_num(&other, own.id));
	EXPECT_EQ(0, io_uring_ipc_channel_detach(&other, own.id));
}

/*
 * The rights of the caller count, not those of the process that opened the
 * ring.
 */
TEST(a_subscriber_cannot_evict_others)
{
	struct io_uring ring, other;
	__u32 channel, id;
	pid_t pid;

	if (geteuid())
		SKIP(return, "needs to be root");
	ASSERT_EQ(0, ipc_open(&ring));
	ASSERT_EQ(0, ipc_open(&other));
	ASSERT_EQ(0, open_channel(&ring, &other, 0, &channel, &id));
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct io_uring mine;
		struct ipc_sub sub;

		ipc_become(stranger);
		ASSERT_EQ(0, ipc_open(&mine));
		ASSERT_EQ(0, ipc_attach(&mine, channel, IOIPC_SUB_BOTH, &sub));
		EXPECT_EQ(-EPERM, io_uring_ipc_channel_detach(&mine, id));
		EXPECT_EQ(IPC_NUM, ipc_send_num_to(&mine, sub.id, 3, id));
		_exit(_metadata->exit_code);
	}
	EXPECT_EQ(0, ipc_wait(pid));
	EXPECT_EQ(3, ipc_recv_num(&other, id));
}

/*
 * Races
 */

/* Two threads that do something at once, many times. */
struct race {
	pthread_barrier_t	barrier;
	long			rounds;
	struct io_uring		*ring;
	__u32			id;
	int			ret;
	int			(*fn)(struct io_uring *ring, __u32 id);
	_Atomic bool		stop;
};

static void *run_race(void *arg)
{
	struct race *race = arg;
	long i;

	for (i = 0; i < race->rounds; i++) {
		pthread_barrier_wait(&race->barrier);
		race->ret = race->fn(race->ring, race->id);
		pthread_barrier_wait(&race->barrier);
	}
	return NULL;
}

static int start_race(struct race *race, pthread_t *thread)
{
	race->rounds = ipc_env("RANDOM_ROUNDS", 100);
	pthread_barrier_init(&race->barrier, NULL, 2);
	return -pthread_create(thread, NULL, run_race, race);
}

static int race_detach(struct io_uring *ring, __u32 id)
{
	return io_uring_ipc_channel_detach(ring, id);
}

static int race_exit(struct io_uring *ring, __u32 id)
{
	(void)id;
	io_uring_queue_exit(ring);
	return 0;
}

static int race_destroy(struct io_uring *ring, __u32 id)
{
	return io_uring_ipc_channel_destroy(ring, id);
}

/* One thread has evicted the victim, and the other one does not find it. */
TEST_F_TIMEOUT(evict, two_at_once, IPC_TIMEOUT)
{
	struct io_uring third;
	struct race race = { .ring = &third, .fn = race_detach };
	pthread_t thread;
	__u64 got;
	long i;
	int ret;

	ASSERT_EQ(0, ipc_open(&third));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->other, self->victim.id));
	ASSERT_EQ(0, start_race(&race, &thread));
	for (i = 0; i < race.rounds; i++) {
		ASSERT_EQ(0, ipc_attach(&self->other, self->channel,
					IOIPC_SUB_BOTH, &self->victim));
		ASSERT_EQ(ENTRIES, fill(&self->ring, self->sender.id,
					self->victim.id));
		wait_get_send(&self->other, self->victim.id, &got, 5);
		ASSERT_EQ(1, io_uring_submit(&self->other));
		race.id = self->victim.id;
		pthread_barrier_wait(&race.barrier);
		ret = race_detach(&self->ring, race.id);
		pthread_barrier_wait(&race.barrier);
		ASSERT_TRUE((!ret && race.ret == -ENOENT) ||
			    (!race.ret && ret == -ENOENT))
			TH_LOG("%d and %d", ret, race.ret);
		ASSERT_EQ(-ENOENT, wait_for(&self->other, 5));
		ASSERT_EQ(ENTRIES * (i + 1),
			  ipc_fdinfo(self->sender.fd, "ioipc-dropped"));
		ASSERT_EQ(0, close(self->victim.fd));
		if (i & 1) {
			ASSERT_EQ(0, race_detach(&self->other, race.id));
		}
	}
	pthread_join(thread, NULL);
	io_uring_queue_exit(&third);
}

/*
 * When DETACH of the own ring returns 0, nothing of the victim is left, even if
 * another ring has evicted it.
 */
TEST_F_TIMEOUT(evict, while_its_own_ring_detaches, IPC_TIMEOUT)
{
	struct race race = { .ring = &self->ring, .fn = race_detach };
	struct io_uring third;
	struct ipc_sub sender;
	pthread_t thread;
	long i;

	ASSERT_EQ(0, ipc_open(&third));
	ASSERT_EQ(0, ipc_attach(&third, self->channel, IOIPC_SUB_SEND, &sender));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->other, self->victim.id));
	ASSERT_EQ(0, start_race(&race, &thread));
	for (i = 0; i < race.rounds; i++) {
		ASSERT_EQ(0, ipc_attach(&self->other, self->channel,
					IOIPC_SUB_BOTH, &self->victim));
		ASSERT_EQ(ENTRIES, fill(&third, sender.id, self->victim.id));
		race.id = self->victim.id;
		pthread_barrier_wait(&race.barrier);
		EXPECT_EQ(0, race_detach(&self->other, race.id));
		EXPECT_EQ(-ENOENT, wait_send_to(&third, sender.id, 1, race.id));
		EXPECT_EQ(ENTRIES * (i + 1),
			  ipc_fdinfo(sender.fd, "ioipc-dropped"));
		pthread_barrier_wait(&race.barrier);
		ASSERT_TRUE(!race.ret || race.ret == -ENOENT)
			TH_LOG("%d", race.ret);
		ASSERT_EQ(0, close(self->victim.fd));
	}
	pthread_join(thread, NULL);
	io_uring_queue_exit(&third);
}

TEST_F_TIMEOUT(evict, while_its_ring_exits, IPC_TIMEOUT)
{
	struct io_uring ring;
	struct race race = { .ring = &ring, .fn = race_exit };
	pthread_t thread;
	__u64 got;
	long i;
	int ret;

	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->other, self->victim.id));
	ASSERT_EQ(0, start_race(&race, &thread));
	for (i = 0; i < race.rounds; i++) {
		ASSERT_EQ(0, io_uring_queue_init(8, &ring, 0));
		ASSERT_EQ(0, ipc_attach(&ring, self->channel, IOIPC_SUB_BOTH,
					&self->victim));
		wait_get_recv(&ring, self->victim.id, &got, 1)->flags =
			i & 1 ? IOSQE_ASYNC : 0;
		ASSERT_EQ(1, io_uring_submit(&ring));
		pthread_barrier_wait(&race.barrier);
		ret = race_detach(&self->ring, self->victim.id);
		ASSERT_TRUE(!ret || ret == -ENOENT)
			TH_LOG("%d", ret);
		pthread_barrier_wait(&race.barrier);
		ASSERT_TRUE(ipc_poll(polled(self->victim.fd, 0) & POLLHUP));
		EXPECT_EQ(-ENOENT, wait_send_to(&self->ring, self->sender.id, 1,
						self->victim.id));
		ASSERT_EQ(0, close(self->victim.fd));
	}
	pthread_join(thread, NULL);
}

TEST_F_TIMEOUT(evict, while_the_channel_is_destroyed, IPC_TIMEOUT)
{
	struct race race = { .ring = &self->ring, .fn = race_destroy };
	struct io_uring third;
	pthread_t thread;
	__u64 got;
	long i;
	int ret;

	ASSERT_EQ(0, ipc_open(&third));
	ASSERT_EQ(0, start_race(&race, &thread));
	for (i = 0; i < race.rounds; i++) {
		ASSERT_EQ(0, ipc_create(&self->ring, variant->flags, ENTRIES,
					SIZE, &race.id));
		ASSERT_EQ(0, ipc_attach(&self->other, race.id, IOIPC_SUB_BOTH,
					&self->victim));
		wait_get_recv(&self->other, self->victim.id, &got, 1);
		ASSERT_EQ(1, io_uring_submit(&self->other));
		pthread_barrier_wait(&race.barrier);
		ret = race_detach(&third, self->victim.id);
		pthread_barrier_wait(&race.barrier);
		ASSERT_EQ(0, race.ret);
		ASSERT_TRUE(!ret || ret == -ENOENT);
		ret = wait_for(&self->other, 1);
		EXPECT_TRUE(ret == -ENOENT || ret == -EPIPE);
		ASSERT_EQ(0, race_detach(&self->other, self->victim.id));
		ASSERT_EQ(0, close(self->victim.fd));
	}
	pthread_join(thread, NULL);
	io_uring_queue_exit(&third);
}

static void *detach_the_next(void *arg)
{
	struct race *race = arg;
	__u32 last = race->id, id;

	/* Ids are consecutive. */
	while (!race->stop) {
		for (id = last; id < last + 8; id++)
			if (!race_detach(race->ring, id))
				last = id;
		last = __atomic_load_n(&race->id, __ATOMIC_RELAXED);
	}
	return NULL;
}

/*
 * ATTACH returns success, even if the subscriber is evicted before it returns.
 */
TEST_F_TIMEOUT(evict, while_it_attaches, IPC_TIMEOUT)
{
	struct race race = { .ring = &self->ring, .id = self->victim.id };
	long i, rounds = 10 * ipc_env("RANDOM_ROUNDS", 100);
	pthread_t thread;
	struct ipc_sub sub;
	int ret;

	ASSERT_EQ(0, pthread_create(&thread, NULL, detach_the_next, &race));
	for (i = 0; i < rounds; i++) {
		ASSERT_EQ(0, ipc_attach(&self->other, self->channel,
					IOIPC_SUB_BOTH, &sub));
		ret = ipc_recv_num(&self->other, sub.id);
		ASSERT_TRUE(ret == -EAGAIN || ret == -ENOENT)
			TH_LOG("%d", ret);
		ASSERT_EQ(0, race_detach(&self->other, sub.id));
		ASSERT_EQ(0, close(sub.fd));
		__atomic_store_n(&race.id, sub.id, __ATOMIC_RELAXED);
	}
	race.stop = true;
	ASSERT_EQ(0, pthread_join(thread, NULL));
}

/* Receives and counts until an error. */
struct taker {
	struct io_uring	*ring;
	__u32		id;
	_Atomic long	count;
	/* The sum of the received numbers. */
	__u64		sum;
	int		ret;
};

static void *take_all(void *arg)
{
	struct taker *taker = arg;
	long long num;

	do {
		num = ipc_recv_num(taker->ring, taker->id);
		if (num >= 0) {
			taker->sum += num;
			taker->count++;
		}
	} while (num >= 0 || num == -EAGAIN);
	taker->ret = num;
	return NULL;
}

/* Receives all messages; returns how many, and adds the numbers to a sum. */
static long drain(struct io_uring *ring, __u32 id, __u64 *sum)
{
	long long num;
	long count;

	for (count = 0; (num = wait_recv(ring, id)) >= 0; count++)
		*sum += num;
	return num == -EAGAIN ? count : -1;
}

/*
 * In a queue, each message is received once or dropped. A broadcast goes on for
 * other receivers.
 */
TEST_F_TIMEOUT(evict, while_it_receives, IPC_TIMEOUT)
{
	long round, rounds = ipc_env("RANDOM_ROUNDS", 100);
	long before, after = 0;
	struct ipc_sub rest;
	pthread_t thread;

	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->other, self->victim.id));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_RECV,
				&rest));
	for (round = 0; round < rounds; round++) {
		struct taker taker = { .ring = &self->other };
		__u64 num, sent = 0, sum = 0, last = 10 + round % 20;
		long count = 0;
		int ret;

		ASSERT_EQ(0, ipc_attach(&self->other, self->channel,
					IOIPC_SUB_RECV, &self->victim));
		taker.id = self->victim.id;
		ASSERT_EQ(0, pthread_create(&thread, NULL, take_all, &taker));
		for (num = 1; num <= 40; num++) {
			/* Messages for the victim count, but not in the sum. */
			bool targeted = !self->all && num <= last && num % 4 == 0;

			do {
				ret = wait_send_to(&self->ring, self->sender.id,
						   targeted ? 0 : num,
						   targeted ? taker.id : 0);
				if (self->all || num > last)
					count += drain(&self->ring, rest.id,
						       &sum);
			} while (ret == -ENOBUFS);
			ASSERT_EQ(IPC_NUM, ret);
			sent += targeted ? 0 : num;
			if (num == last) {
				ASSERT_EQ(0, race_detach(&self->ring, taker.id));
			}
		}
		pthread_join(thread, NULL);
		EXPECT_EQ(-ENOENT, taker.ret);
		count += drain(&self->ring, rest.id, &sum);
		before = after;
		after = ipc_fdinfo(self->sender.fd, "ioipc-dropped");
		if (self->all) {
			EXPECT_EQ(sent, sum);
			EXPECT_EQ(40, count);
			EXPECT_GE(last, taker.count);
		} else {
			EXPECT_EQ(sent, sum + taker.sum);
			EXPECT_EQ(40, count + taker.count + after - before);
		}
		ASSERT_EQ(0, race_detach(&self->other, taker.id));
		ASSERT_EQ(0, close(self->victim.fd));
	}
}

IPC_HARNESS_MAIN
