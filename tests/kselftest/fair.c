// SPDX-License-Identifier: GPL-2.0
/*
 * IOIPC_F_FAIR: how many slots each uid gets, and how many the messages for one
 * target; that slots come back, whatever frees them; and that a send that waits for
 * its share holds up nobody else.
 */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/fsuid.h>

#include "ipc_test.h"
#include "waiting.h"

#define SIZE		64
#define FIRST_UID	2000
#define MAX_UIDS	64
/* Of a subscriber whose uid does not matter. */
#define RECEIVER_UID	1999

FIXTURE(fair) {
	struct io_uring ring;
	__u32 channel;
	struct ipc_sub receiver;
	struct ipc_sub subs[MAX_UIDS];
};

FIXTURE_VARIANT(fair) {
	__u32 flags;
};

FIXTURE_VARIANT_ADD(fair, unicast) {
	.flags = 0,
};

FIXTURE_VARIANT_ADD(fair, multicast) {
	.flags = IOIPC_F_MULTICAST,
};

/* Attaches as a user. */
static int attach_as(struct io_uring *ring, __u32 channel, uid_t uid, __u32 flags,
		     struct ipc_sub *sub)
{
	int ret;

	setfsuid(uid);
	ret = ipc_attach(ring, channel, flags, sub);
	setfsuid(0);
	return ret;
}

static int create(struct io_uring *ring, __u32 flags, __u32 entries, __u32 *channel)
{
	struct io_uring_ipc_channel_create args;
	int ret;

	args = ipc_create_args(flags | IOIPC_F_FAIR, entries, SIZE);
	args.mode = 0666;
	ret = io_uring_ipc_channel_create(ring, &args);
	*channel = args.channel_id_out;
	return ret;
}

FIXTURE_SETUP(fair)
{
	if (geteuid())
		SKIP(return, "needs to be root");
	ASSERT_EQ(0, io_uring_queue_init(256, &self->ring, 0));
}

FIXTURE_TEARDOWN(fair)
{
	if (!geteuid())
		io_uring_queue_exit(&self->ring);
}

/* A channel with so many slots, a receiver, and one sender of each uid. */
#define SET_UP(entries, uids) do {						\
	int _i;									\
										\
	ASSERT_EQ(0, create(&self->ring, variant->flags, entries, &self->channel)); \
	ASSERT_EQ(0, attach_as(&self->ring, self->channel, RECEIVER_UID,	\
			       IOIPC_SUB_BOTH, &self->receiver));		\
	for (_i = 0; _i < (uids); _i++)						\
		ASSERT_EQ(0, attach_as(&self->ring, self->channel,		\
				       FIRST_UID + _i, IOIPC_SUB_SEND,		\
				       &self->subs[_i]));			\
} while (0)

/* How many slots the uid of a subscriber uses. */
static long used(const struct ipc_sub *sub)
{
	return ipc_fdinfo(sub->fd, "ioipc-share");
}

/* Sends until there is no more room; returns how many, or an error. */
static int flood(struct io_uring *ring, __u32 id)
{
	int ret, count = 0;

	while ((ret = wait_send(ring, id, count)) == IPC_NUM)
		count++;
	return ret == -ENOBUFS ? count : ret;
}

/* Submits a send that waits for room. */
static __u64 start(struct io_uring *ring, __u32 id, __u32 target)
{
	static const __u64 num = 7;
	__u64 data = wait_new_data();

	wait_get_send(ring, id, &num, data)->file_index = target;
	io_uring_submit(ring);
	return data;
}

TEST_F_TIMEOUT(fair, only_queues, IPC_TIMEOUT)
{
	__u32 flags = IOIPC_F_BROADCAST;

	EXPECT_EQ(-EINVAL, create(&self->ring, flags, 4, &self->channel));
	EXPECT_EQ(-EINVAL, create(&self->ring, flags | IOIPC_F_OVERWRITE, 4,
				  &self->channel));
	EXPECT_EQ(0, create(&self->ring, variant->flags | IOIPC_F_PRIVATE, 4,
			    &self->channel));
}

/* The first uid gets half of the ring, the next one half of the rest, and so on. */
TEST_F_TIMEOUT(fair, one_after_the_other, IPC_TIMEOUT)
{
	static const __u32 sizes[] = { 1, 2, 4, 64, 256 };
	size_t i;
	int uid;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		int left = sizes[i];

		SET_UP(sizes[i], 10);
		for (uid = 0; uid < 10; uid++) {
			int wanted = left > 1 ? left / 2 : left;

			EXPECT_EQ(wanted, flood(&self->ring, self->subs[uid].id))
				TH_LOG("uid %d of %u slots", uid, sizes[i]);
			EXPECT_EQ(wanted, used(&self->subs[uid]));
			left -= wanted;
		}
		EXPECT_EQ(0, left);
	}
}

/* A vector gets as many slots as single messages, in one step or in several. */
TEST_F_TIMEOUT(fair, vectors, IPC_TIMEOUT)
{
	static __u64 num = 5;
	struct iovec vec[200];
	size_t i;
	int uid;

	for (i = 0; i < ARRAY_SIZE(vec); i++)
		vec[i] = (struct iovec){ &num, sizeof(num) };
	SET_UP(256, 4);
	for (uid = 0; uid < 4; uid++) {
		io_uring_prep_ipc_send_vec(io_uring_get_sqe(&self->ring),
					self->subs[uid].id, vec, ARRAY_SIZE(vec), 0, 0);
		EXPECT_EQ(128 >> uid, ipc_run(&self->ring));
		EXPECT_EQ(-ENOBUFS, wait_send(&self->ring, self->subs[uid].id, 0));
	}
	/* The rest of a share. */
	EXPECT_EQ(5, wait_recv(&self->ring, self->receiver.id));
	EXPECT_EQ(127, used(&self->subs[0]));
}

/* Uids that send as fast as they can end at equal parts, and a newcomer finds one. */
static void equal_parts(struct __test_metadata *_metadata, FIXTURE_DATA(fair) * self,
			const FIXTURE_VARIANT(fair) * variant, int uids)
{
	const int entries = 128;
	int part = entries / (uids + 1), round, uid;

	SET_UP(entries, uids);
	for (round = 0; round < 3 * entries; round++) {
		for (uid = 0; uid < uids; uid++)
			ASSERT_LE(0, flood(&self->ring, self->subs[uid].id));
		ASSERT_LE(0, wait_recv(&self->ring, self->receiver.id));
	}
	for (uid = 0; uid < uids; uid++) {
		ASSERT_LE(0, flood(&self->ring, self->subs[uid].id));
		EXPECT_LE(part - 1, used(&self->subs[uid]));
		EXPECT_GE(part + 1, used(&self->subs[uid]));
	}
	EXPECT_LE((part - 1) / 2, flood(&self->ring, self->receiver.id));
}

TEST_F_TIMEOUT(fair, one_uid, IPC_TIMEOUT)
{
	equal_parts(_metadata, self, variant, 1);
}

TEST_F_TIMEOUT(fair, eight_uids, IPC_TIMEOUT)
{
	equal_parts(_metadata, self, variant, 8);
}

TEST_F_TIMEOUT(fair, many_uids, IPC_TIMEOUT)
{
	equal_parts(_metadata, self, variant, MAX_UIDS);
}

/* A uid has one share, whatever it attaches, also after it has detached. */
TEST_F_TIMEOUT(fair, one_share_for_a_uid, IPC_TIMEOUT)
{
	struct ipc_sub more[2];
	int round;

	SET_UP(64, 2);
	ASSERT_EQ(0, attach_as(&self->ring, self->channel, FIRST_UID, IOIPC_SUB_SEND,
			       &more[0]));
	EXPECT_EQ(32, flood(&self->ring, self->subs[0].id));
	EXPECT_EQ(0, flood(&self->ring, more[0].id));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring, more[0].id));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring, self->subs[0].id));
	for (round = 0; round < 4; round++) {
		ASSERT_EQ(0, attach_as(&self->ring, self->channel, FIRST_UID,
				       IOIPC_SUB_SEND, &more[0]));
		EXPECT_EQ(32, used(&more[0]));
		EXPECT_EQ(0, flood(&self->ring, more[0].id));
		ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring, more[0].id));
		close(more[0].fd);
		/* Others come and go. */
		ASSERT_EQ(0, attach_as(&self->ring, self->channel, FIRST_UID + 9,
				       IOIPC_SUB_SEND, &more[1]));
		ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring, more[1].id));
		close(more[1].fd);
	}
	EXPECT_EQ(16, flood(&self->ring, self->subs[1].id));
}

/* Senders that are not attached share one share. */
TEST_F_TIMEOUT(fair, unattached, IPC_TIMEOUT)
{
	__u64 waits;
	int i;

	SET_UP(64, 1);
	EXPECT_EQ(32, flood(&self->ring, self->channel));
	setfsuid(FIRST_UID);
	EXPECT_EQ(0, flood(&self->ring, self->channel));
	setfsuid(0);
	waits = start(&self->ring, self->channel, 0);
	EXPECT_TRUE(wait_nothing(&self->ring));
	EXPECT_EQ(16, flood(&self->ring, self->subs[0].id));
	/* It needs a slot, and as many free ones as are used with it. */
	for (i = 0; i < 9; i++)
		EXPECT_LE(0, wait_recv(&self->ring, self->receiver.id));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, waits));
}

/* The messages for one target hold a quarter of the slots, and nobody waits for it. */
TEST_F_TIMEOUT(fair, target, IPC_TIMEOUT)
{
	struct ipc_sub other;
	int i, uid;

	SET_UP(16, 2);
	ASSERT_EQ(0, attach_as(&self->ring, self->channel, RECEIVER_UID, IOIPC_SUB_RECV,
			       &other));
	for (i = 0; i < 4; i++)
		EXPECT_EQ(IPC_NUM, wait_send_to(&self->ring, self->subs[i % 2].id, i,
						self->receiver.id));
	for (uid = 0; uid < 2; uid++) {
		__u64 data;

		EXPECT_EQ(-ENOBUFS, wait_send_to(&self->ring, self->subs[uid].id, 9,
						 self->receiver.id));
		data = start(&self->ring, self->subs[uid].id, self->receiver.id);
		EXPECT_EQ(-ENOBUFS, wait_for(&self->ring, data));
		EXPECT_EQ(2, used(&self->subs[uid]));
	}
	/* Others do not notice. */
	EXPECT_EQ(IPC_NUM, wait_send_to(&self->ring, self->subs[0].id, 9, other.id));
	EXPECT_EQ(IPC_NUM, wait_send(&self->ring, self->subs[1].id, 9));
	EXPECT_EQ(0, wait_recv(&self->ring, self->receiver.id));
	EXPECT_EQ(IPC_NUM, wait_send_to(&self->ring, self->subs[1].id, 9,
					self->receiver.id));
	EXPECT_EQ(-ENOBUFS, wait_send_to(&self->ring, self->subs[1].id, 9,
					 self->receiver.id));
}

/* Slots come back when a message is received, and when it is dropped. */
TEST_F_TIMEOUT(fair, slots_come_back, IPC_TIMEOUT)
{
	struct ipc_sub target;
	int round;
	long i;

	SET_UP(32, 2);
	for (round = 0; round < 3; round++) {
		ASSERT_EQ(0, attach_as(&self->ring, self->channel, RECEIVER_UID,
				       IOIPC_SUB_RECV, &target));
		for (i = 0; i < 8; i++)
			EXPECT_EQ(IPC_NUM, wait_send_to(&self->ring, self->subs[0].id, i,
							target.id));
		EXPECT_EQ(IPC_NUM, wait_send(&self->ring, self->subs[0].id, 8));
		EXPECT_EQ(IPC_NUM, wait_send(&self->ring, self->subs[1].id, 9));
		EXPECT_EQ(0, wait_recv(&self->ring, target.id));
		EXPECT_EQ(8, used(&self->subs[0]));
		ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring, target.id));
		close(target.fd);
		EXPECT_EQ(1, used(&self->subs[0]));
		EXPECT_EQ(8, wait_recv(&self->ring, self->receiver.id));
		EXPECT_EQ(0, used(&self->subs[0]));
		EXPECT_EQ(1, used(&self->subs[1]));
		EXPECT_EQ(9, wait_recv(&self->ring, self->receiver.id));
		EXPECT_EQ(0, used(&self->subs[1]));
	}
	/* A message that cannot be read or received takes nothing and leaves nothing. */
	for (i = 0; i < 40; i++)
		EXPECT_EQ(-EFAULT, ipc_send(&self->ring, self->subs[0].id, (void *)8, 8));
	EXPECT_EQ(0, used(&self->subs[0]));
	EXPECT_EQ(IPC_NUM, wait_send(&self->ring, self->subs[0].id, 1));
	EXPECT_EQ(-EFAULT, ipc_recv(&self->ring, self->receiver.id, (void *)8, 8));
	EXPECT_EQ(1, used(&self->subs[0]));
	EXPECT_EQ(1, wait_recv(&self->ring, self->receiver.id));
	EXPECT_EQ(0, used(&self->subs[0]));
}

/* A message of several slots counts as all of them. */
TEST_F_TIMEOUT(fair, large_messages, IPC_TIMEOUT)
{
	struct io_uring_ipc_channel_ext ext = { .slot_size = SIZE };
	struct io_uring_ipc_channel_create args;
	static char message[4 * SIZE];
	struct ipc_sub sub;
	int i;

	args = ipc_create_args(variant->flags | IOIPC_F_FAIR, 32, sizeof(message));
	args.mode = 0666;
	args.ext_size = sizeof(ext);
	args.ext = (uintptr_t)&ext;
	ASSERT_EQ(0, io_uring_ipc_channel_create(&self->ring, &args));
	ASSERT_EQ(0, attach_as(&self->ring, args.channel_id_out, FIRST_UID,
			       IOIPC_SUB_BOTH, &sub));
	for (i = 0; i < 4; i++)
		EXPECT_EQ(sizeof(message), ipc_send(&self->ring, sub.id, message,
						    sizeof(message)));
	EXPECT_EQ(16, used(&sub));
	EXPECT_EQ(-ENOBUFS, ipc_send(&self->ring, sub.id, message, 1));
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(sizeof(message), ipc_recv(&self->ring, sub.id, message,
						    sizeof(message)));
		EXPECT_EQ(12 - 4 * i, used(&sub));
	}
	/* As a target: two messages of four slots. */
	for (i = 0; i < 2; i++)
		EXPECT_EQ(sizeof(message), ipc_send_to(&self->ring, sub.id, message,
						       sizeof(message), sub.id));
	EXPECT_EQ(-ENOBUFS, ipc_send_to(&self->ring, sub.id, message, 1, sub.id));
}

/* A send waits for its share though the ring has room, and others do not wait. */
TEST_F_TIMEOUT(fair, waits_for_its_share, IPC_TIMEOUT)
{
	__u64 data[3];
	int i;

	SET_UP(16, 3);
	EXPECT_EQ(8, flood(&self->ring, self->subs[0].id));
	for (i = 0; i < 3; i++)
		data[i] = start(&self->ring, self->subs[0].id, 0);
	EXPECT_TRUE(wait_nothing(&self->ring));
	for (i = 0; i < 4; i++)
		EXPECT_EQ(IPC_NUM, wait_send_wait(&self->ring, self->subs[1].id, i));
	EXPECT_EQ(IPC_NUM, wait_send_wait(&self->ring, self->subs[2].id, 0));
	EXPECT_TRUE(wait_nothing(&self->ring));
	for (i = 0; i < 12; i++)
		EXPECT_LE(0, wait_recv(&self->ring, self->receiver.id));
	for (i = 0; i < 3; i++)
		EXPECT_EQ(IPC_NUM, wait_for(&self->ring, data[i]));
}

/*
 * A sender that waits goes on as soon as there is share for it, in the order of what it
 * uses, and does not wait for those that came before and have no share.
 */
TEST_F_TIMEOUT(fair, no_uid_waits_behind_another, IPC_TIMEOUT)
{
	__u64 flooder[40], second, newcomer;
	int i;

	SET_UP(4, 3);
	EXPECT_EQ(2, flood(&self->ring, self->subs[0].id));
	for (i = 0; i < ARRAY_SIZE(flooder); i++)
		flooder[i] = start(&self->ring, self->subs[0].id, 0);
	EXPECT_EQ(1, flood(&self->ring, self->subs[1].id));
	second = start(&self->ring, self->subs[1].id, 0);
	EXPECT_EQ(1, flood(&self->ring, self->subs[2].id));
	newcomer = start(&self->ring, self->receiver.id, 0);
	EXPECT_TRUE(wait_nothing(&self->ring));
	/* The ring is full. One slot: only the newcomer may have it. */
	EXPECT_LE(0, wait_recv(&self->ring, self->receiver.id));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, newcomer));
	EXPECT_TRUE(wait_nothing(&self->ring));
	/* The flooder uses nothing then. */
	EXPECT_LE(0, wait_recv(&self->ring, self->receiver.id));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, flooder[0]));
	EXPECT_TRUE(wait_nothing(&self->ring));
	EXPECT_LE(0, wait_recv(&self->ring, self->receiver.id));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, second));
	EXPECT_TRUE(wait_nothing(&self->ring));
	/* Of 46 messages, three are received. */
	for (i = 0; i < 43; i++)
		EXPECT_LE(0, wait_recv_wait(&self->ring, self->receiver.id));
	for (i = 1; i < ARRAY_SIZE(flooder); i++)
		EXPECT_EQ(IPC_NUM, wait_for(&self->ring, flooder[i]));
}

/* Sends that wait end when they are canceled or detached, and others go on. */
/* Room for a watcher is room that its uid may use, also if the ring was never full. */
TEST_F_TIMEOUT(fair, watchers, IPC_TIMEOUT)
{
	struct epoll_event event = { .events = EPOLLOUT | EPOLLET };
	int epoll, others, round;

	SET_UP(8, 2);
	others = epoll_create1(0);
	ASSERT_LE(0, others);
	ASSERT_EQ(0, epoll_ctl(others, EPOLL_CTL_ADD, self->subs[1].fd, &event));
	ASSERT_EQ(1, epoll_wait(others, &event, 1, 0));
	event.events = EPOLLOUT | EPOLLET;
	epoll = epoll_create1(0);
	ASSERT_LE(0, epoll);
	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, self->subs[0].fd, &event));
	ASSERT_EQ(1, epoll_wait(epoll, &event, 1, 0));
	for (round = 0; round < 3; round++) {
		struct pollfd fd = { .fd = self->subs[0].fd, .events = POLLOUT };
		struct pollfd other = { .fd = self->subs[1].fd, .events = POLLOUT };
		__u64 data = wait_new_data();
		struct io_uring_sqe *sqe;

		/* The last send of a flood is refused. */
		EXPECT_EQ(4, flood(&self->ring, self->subs[0].id));
		EXPECT_EQ(0, epoll_wait(epoll, &event, 1, 0));
		/* It is no news for another uid, however often it is refused. */
		if (round == 0)
			EXPECT_EQ(0, epoll_wait(others, &event, 1, 0));
		/* Others that look would remind the channel of the watcher. */
		while (round == 0 && wait_recv(&self->ring, self->receiver.id) >= 0)
			;
		if (round == 0) {
			ASSERT_EQ(1, epoll_wait(epoll, &event, 1, 0));
			continue;
		}
		EXPECT_EQ(0, poll(&fd, 1, 0));
		EXPECT_EQ(1, poll(&other, 1, 0));
		sqe = wait_get_sqe(&self->ring);
		io_uring_prep_poll_add(sqe, self->subs[0].fd, POLLOUT);
		io_uring_sqe_set_data64(sqe, data);
		EXPECT_TRUE(wait_nothing(&self->ring));
		while (wait_recv(&self->ring, self->receiver.id) >= 0)
			;
		EXPECT_EQ(POLLOUT, wait_for(&self->ring, data) & POLLOUT);
		EXPECT_EQ(1, epoll_wait(epoll, &event, 1, 0));
		EXPECT_EQ(1, poll(&fd, 1, 0));
	}
	close(others);
	close(epoll);
}

TEST_F_TIMEOUT(fair, cancel_and_detach, IPC_TIMEOUT)
{
	__u64 first, second, last, other;
	int round;

	SET_UP(8, 2);
	for (round = 0; round < 3; round++) {
		EXPECT_EQ(4, flood(&self->ring, self->subs[0].id));
		EXPECT_EQ(2, flood(&self->ring, self->subs[1].id));
		first = start(&self->ring, self->subs[0].id, 0);
		second = start(&self->ring, self->subs[0].id, 0);
		last = start(&self->ring, self->subs[0].id, 0);
		other = start(&self->ring, self->subs[1].id, 0);
		EXPECT_TRUE(wait_nothing(&self->ring));
		EXPECT_EQ(0, wait_cancel(&self->ring, second, 0));
		EXPECT_EQ(-ECANCELED, wait_for(&self->ring, second));
		if (round == 2) {
			ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring,
								 self->subs[0].id));
			EXPECT_EQ(-ENOENT, wait_for(&self->ring, first));
			EXPECT_EQ(-ENOENT, wait_for(&self->ring, last));
		} else {
			EXPECT_EQ(0, wait_cancel(&self->ring, first, 0));
			EXPECT_EQ(-ECANCELED, wait_for(&self->ring, first));
		}
		while (wait_recv(&self->ring, self->receiver.id) >= 0)
			;
		EXPECT_EQ(IPC_NUM, wait_for(&self->ring, other));
		if (round < 2)
			EXPECT_EQ(IPC_NUM, wait_for(&self->ring, last));
		while (wait_recv(&self->ring, self->receiver.id) >= 0)
			;
		EXPECT_EQ(0, used(&self->subs[1]));
	}
	/* And when the channel is destroyed. */
	EXPECT_EQ(4, flood(&self->ring, self->subs[1].id));
	first = start(&self->ring, self->subs[1].id, 0);
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->ring, self->channel));
	EXPECT_EQ(-EPIPE, wait_for(&self->ring, first));
}

/* Attaches in a process of its own as a user, floods, and waits with many sends. */
static void hostile(uid_t uid, __u32 channel, int waits, _Atomic int *is_ready,
		    bool in_namespace)
{
	struct io_uring ring;
	struct ipc_sub sub;

	if (in_namespace) {
		if (setresuid(uid, uid, uid) || prctl(PR_SET_DUMPABLE, 1) ||
		    unshare(CLONE_NEWUSER))
			_exit(KSFT_FAIL);
	} else if (setresuid(uid, uid, uid)) {
		_exit(KSFT_FAIL);
	}
	if (io_uring_queue_init(256, &ring, 0) ||
	    ipc_attach(&ring, channel, IOIPC_SUB_SEND, &sub) ||
	    flood(&ring, sub.id) < 0)
		_exit(KSFT_FAIL);
	while (waits--)
		start(&ring, sub.id, 0);
	*is_ready = used(&sub) + 1;
	raise(SIGSTOP);
	for (;;)
		wait_for(&ring, 0);
}

static pid_t start_hostile(uid_t uid, __u32 channel, int waits, int *used,
			   bool in_namespace)
{
	_Atomic int *is_ready = ipc_shared(sizeof(*is_ready));
	pid_t pid = ipc_fork();

	if (!pid)
		hostile(uid, channel, waits, is_ready, in_namespace);
	if (pid < 0 || !ipc_poll(*is_ready))
		return -1;
	*used = *is_ready - 1;
	return waitpid(pid, NULL, WUNTRACED) == pid ? pid : -1;
}

/* A uid with thousands of sends that wait, of a task that is stopped, and then dies. */
TEST_F_TIMEOUT(fair, stopped_and_killed, IPC_TIMEOUT)
{
	__u64 data[2];
	int got = 0, i;
	pid_t pid;

	SET_UP(8, 2);
	pid = start_hostile(FIRST_UID + 5, self->channel, 2000, &got, false);
	ASSERT_LT(0, pid);
	EXPECT_EQ(4, got);
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(2 - i, flood(&self->ring, self->subs[i].id));
		data[i] = start(&self->ring, self->subs[i].id, 0);
	}
	EXPECT_TRUE(wait_nothing(&self->ring));
	for (i = 0; i < 8; i++)
		if (wait_recv(&self->ring, self->receiver.id) < 0)
			break;
	EXPECT_LE(7, i);
	for (i = 0; i < 2; i++)
		EXPECT_EQ(IPC_NUM, wait_for(&self->ring, data[i]));
	kill(pid, SIGKILL);
	ipc_wait(pid);
	while (wait_recv(&self->ring, self->receiver.id) >= 0)
		;
	EXPECT_EQ(4, flood(&self->ring, self->subs[0].id));
	EXPECT_EQ(2, flood(&self->ring, self->subs[1].id));
}

/* Uids count as the initial user namespace has them. */
TEST_F_TIMEOUT(fair, user_namespaces, IPC_TIMEOUT)
{
	int got[3];
	pid_t pid[3];
	int i;

	if (access("/proc/self/ns/user", F_OK))
		SKIP(return, "no user namespaces");
	SET_UP(64, 1);
	/* Twice the same uid, in two namespaces without a mapping; and another one. */
	for (i = 0; i < 3; i++) {
		pid[i] = start_hostile(FIRST_UID + 5 + i / 2, self->channel, 1, &got[i],
				       true);
		ASSERT_LT(0, pid[i]);
	}
	EXPECT_EQ(32, got[0]);
	EXPECT_EQ(32, got[1]);
	EXPECT_EQ(16, got[2]);
	EXPECT_EQ(8, flood(&self->ring, self->subs[0].id));
	for (i = 0; i < 3; i++) {
		kill(pid[i], SIGKILL);
		ipc_wait(pid[i]);
	}
}

/*
 * Processes of several uids send with WAIT as fast as they can while one receives:
 * all messages come, none waits for ever, and no uid gets much less than another.
 */
TEST_F_TIMEOUT(fair, stress, 2 * IPC_TIMEOUT)
{
	enum { UIDS = 8, MESSAGES = 200 };
	struct {
		_Atomic int done;
	} *shared = ipc_shared(sizeof(*shared));
	int count[UIDS] = {}, uid, total;
	pid_t pids[UIDS];

	SET_UP(16, 0);
	for (uid = 0; uid < UIDS; uid++) {
		pids[uid] = ipc_fork();
		ASSERT_LE(0, pids[uid]);
		if (!pids[uid]) {
			struct io_uring ring;
			struct ipc_sub sub;
			int i, failed;

			failed = setresuid(FIRST_UID + uid, FIRST_UID + uid, FIRST_UID + uid) ||
				 io_uring_queue_init(32, &ring, 0) ||
				 ipc_attach(&ring, self->channel, IOIPC_SUB_SEND, &sub);
			for (i = 0; i < MESSAGES && !failed; i += 8) {
				__u64 data[8];
				int j;

				for (j = 0; j < 8; j++) {
					static __u64 num;

					num = uid;
					data[j] = wait_new_data();
					wait_get_send(&ring, sub.id, &num, data[j]);
				}
				for (j = 0; j < 8; j++)
					failed |= wait_for(&ring, data[j]) != IPC_NUM;
			}
			shared->done++;
			_exit(failed ? KSFT_FAIL : KSFT_PASS);
		}
	}
	for (total = 0; total < UIDS * MESSAGES; total++) {
		long long from = wait_recv_wait(&self->ring, self->receiver.id);

		ASSERT_LE(0, from);
		ASSERT_GT(UIDS, from);
		count[from]++;
	}
	for (uid = 0; uid < UIDS; uid++) {
		EXPECT_EQ(MESSAGES, count[uid]);
		EXPECT_EQ(KSFT_PASS, wait_child(pids[uid]));
	}
	EXPECT_EQ(-EAGAIN, wait_recv(&self->ring, self->receiver.id));
}

IPC_HARNESS_MAIN
