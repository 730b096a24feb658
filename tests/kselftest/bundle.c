// SPDX-License-Identifier: GPL-2.0
/*
 * IOIPC_RECV_BUNDLE: many messages with one receive.
 *
 * MESSAGES=N is how many messages are sent where several receivers receive at
 * once.
 */
#include "fixture.h"
#include "messages.h"
#include "vanish.h"

#define ENTRIES	64
#define SIZE	200
/* The size of a number with its info, which is a multiple of 8. */
#define NUM	((int)sizeof(struct msg_num))

FIXTURE(bundle) {
	/* Receives. */
	struct io_uring ring;
	/* Sends. */
	struct io_uring other;
	__u32 channel;
	struct ipc_sub sender;
	struct ipc_sub receiver;
	bool all;
	size_t page;
	char buf[ENTRIES * (SIZE + 64)] __aligned(8);
};

FIXTURE_VARIANT(bundle) {
	__u32 flags;
	unsigned int setup;
};

FIXTURE_ADD_KINDS(bundle);

/* Here, requests complete only when their task waits for completions. */
FIXTURE_VARIANT_ADD(bundle, unicast_defer_taskrun) {
	.flags = 0,
	.setup = WAIT_DEFER,
};

FIXTURE_VARIANT_ADD(bundle, broadcast_defer_taskrun) {
	.flags = IOIPC_F_BROADCAST,
	.setup = WAIT_DEFER,
};

FIXTURE_SETUP(bundle)
{
	self->all = variant->flags & IOIPC_F_BROADCAST;
	self->page = sysconf(_SC_PAGESIZE);
	ASSERT_EQ(0, io_uring_queue_init(64, &self->ring, variant->setup));
	ASSERT_EQ(0, io_uring_queue_init(64, &self->other, 0));
	SET_UP_CHANNEL(&self->other, &self->ring, ENTRIES, SIZE);
	memset(self->buf, 'x', sizeof(self->buf));
}

FIXTURE_TEARDOWN(bundle)
{
	io_uring_queue_exit(&self->ring);
	io_uring_queue_exit(&self->other);
}

static int send_filled(struct io_uring *ring, __u32 id, __u32 len, __u32 seed)
{
	char buf[SIZE];

	ipc_fill(buf, len, seed);
	return msg_send(ring, id, buf, len, 0);
}

/* Receives, and starts to walk through the bundle; returns the result. */
static int recv_bundle(struct io_uring *ring, __u32 id, char *buf, __u32 len,
		       __u32 flags, struct msg_walk *walk)
{
	memset(walk, 0, sizeof(*walk));
	walk->buf = buf;
	walk->res = msg_recv(ring, id, buf, len, flags | IOIPC_RECV_BUNDLE);
	return walk->res;
}

/*
 * Receives the numbers from..to-1, in bundles of at most so many bytes; returns
 * how many numbers were right, before the first wrong one.
 */
static int recv_nums(struct io_uring *ring, __u32 id, char *buf, __u32 len,
		     int from, int to)
{
	struct msg_walk walk;
	int num = from;
	long long got;

	while (num < to && recv_bundle(ring, id, buf, len, 0, &walk) > 0) {
		while ((got = msg_next_num(&walk)) == num)
			num++;
		if (got != -EAGAIN)
			break;
	}
	return num - from;
}

TEST_F_TIMEOUT(bundle, walk, IPC_TIMEOUT)
{
	static const int len[] = { 0, 1, 7, 8, 9, 0, 0, 63, 64, 65, 200, 3 };
	struct io_uring_ipc_msg_info want;
	int i, round, used, first = 1;
	struct io_uring_sqe *sqe;
	struct msg_walk walk;
	char buf[SIZE];

	for (round = 0; round < 10; round++) {
		used = 0;
		for (i = 0; i < ARRAY_SIZE(len); i++) {
			ipc_fill(buf, len[i], i);
			sqe = msg_get_send(&self->other, self->sender.id, buf,
					   len[i], 0);
			sqe->user_data = first + i;
			ASSERT_EQ(len[i], msg_run(&self->other, sqe));
			used = (used + 7) / 8 * 8 + MSG_INFO + len[i];
		}
		memset(self->buf, 'x', sizeof(self->buf));
		ASSERT_EQ(used, recv_bundle(&self->ring, self->receiver.id,
					    self->buf, sizeof(self->buf), 0,
					    &walk));
		for (i = 0; i < ARRAY_SIZE(len); i++) {
			ASSERT_TRUE(msg_next(&walk))
				TH_LOG("message %d", i);
			want = msg_own_info(len[i], first + i, first + i,
					    self->sender.id);
			EXPECT_TRUE(msg_same_info(&want, &walk.info))
				TH_LOG("message %d", i);
			EXPECT_TRUE(ipc_filled(walk.data, len[i], i))
				TH_LOG("message %d", i);
		}
		EXPECT_FALSE(msg_next(&walk));
		EXPECT_FALSE(walk.broken);
		EXPECT_EQ('x', self->buf[used]);
		EXPECT_EQ(-EAGAIN, recv_bundle(&self->ring, self->receiver.id,
					       self->buf, sizeof(self->buf), 0,
					       &walk));
		first += ARRAY_SIZE(len);
	}
}

/* How many of these messages fit into a bundle; *used is set to its size. */
static int fitting(const int *len, int count, int size, int *used)
{
	int i, start, room = size - MSG_INFO;

	if (len[0] > room) {
		*used = size;
		return 1;
	}
	*used = MSG_INFO + len[0];
	for (i = 1; i < count; i++) {
		start = (*used + 7) / 8 * 8;
		if (start + MSG_INFO + len[i] > size)
			break;
		*used = start + MSG_INFO + len[i];
	}
	return i;
}

/* With all sizes of the buffer, until all messages are taken. */
TEST_F_TIMEOUT(bundle, what_fits, IPC_TIMEOUT)
{
	static const int len[] = { 5, 0, 16, 1 };
	enum { COUNT = ARRAY_SIZE(len) };
	int size, i, next, used, count;
	struct msg_walk walk;

	for (size = MSG_INFO; size < COUNT * (MSG_INFO + 24); size++) {
		for (i = 0; i < COUNT; i++) {
			ASSERT_EQ(len[i], send_filled(&self->other,
						      self->sender.id, len[i],
						      size + i));
		}
		for (next = 0; next < COUNT; next += count) {
			count = fitting(len + next, COUNT - next, size, &used);
			memset(self->buf, 'x', size + 1);
			ASSERT_EQ(used, recv_bundle(&self->ring,
						    self->receiver.id,
						    self->buf, size, 0, &walk))
				TH_LOG("%d bytes, from %d on", size, next);
			for (i = next; i < next + count; i++) {
				ASSERT_TRUE(msg_next(&walk))
					TH_LOG("message %d in %d bytes", i,
					       size);
				EXPECT_EQ(len[i], walk.info.len);
				EXPECT_TRUE(ipc_filled(walk.data, walk.stored,
						       size + i));
			}
			EXPECT_FALSE(msg_next(&walk));
			EXPECT_FALSE(walk.broken);
			EXPECT_EQ('x', self->buf[used]);
		}
		ASSERT_EQ(-EAGAIN, recv_bundle(&self->ring, self->receiver.id,
					       self->buf, size, 0, &walk));
	}
}

TEST_F_TIMEOUT(bundle, first_is_truncated, IPC_TIMEOUT)
{
	struct msg_walk walk;
	int i;

	for (i = 0; i < 3; i++) {
		ASSERT_EQ(SIZE, send_filled(&self->other, self->sender.id, SIZE,
					    1));
		ASSERT_EQ(0, send_filled(&self->other, self->sender.id, 0, 2));
		ASSERT_EQ(5, send_filled(&self->other, self->sender.id, 5, 3));
		ASSERT_EQ(100, recv_bundle(&self->ring, self->receiver.id,
					   self->buf, 100, 0, &walk));
		ASSERT_TRUE(msg_next(&walk));
		EXPECT_EQ(SIZE, walk.info.len);
		EXPECT_EQ(IOIPC_INFO_TRUNCATED, walk.info.flags);
		EXPECT_EQ(100 - MSG_INFO, walk.stored);
		EXPECT_TRUE(ipc_filled(walk.data, walk.stored, 1));
		EXPECT_FALSE(msg_next(&walk));
		/* The messages after it are whole. */
		ASSERT_EQ(2 * MSG_INFO + 5,
			  recv_bundle(&self->ring, self->receiver.id,
				      self->buf, 2 * MSG_INFO + 5, 0, &walk));
		ASSERT_TRUE(msg_next(&walk));
		EXPECT_EQ(0, walk.info.len);
		EXPECT_EQ(0, walk.info.flags);
		ASSERT_TRUE(msg_next(&walk));
		EXPECT_EQ(5, walk.info.len);
		EXPECT_TRUE(ipc_filled(walk.data, 5, 3));
		EXPECT_EQ(0, walk.info.flags);
		EXPECT_FALSE(msg_next(&walk));
		EXPECT_FALSE(walk.broken);
	}
	/* A long message in the middle is not cut. */
	ASSERT_EQ(5, send_filled(&self->other, self->sender.id, 5, 1));
	ASSERT_EQ(SIZE, send_filled(&self->other, self->sender.id, SIZE, 2));
	ASSERT_EQ(5, send_filled(&self->other, self->sender.id, 5, 3));
	ASSERT_EQ(MSG_INFO + 5, recv_bundle(&self->ring, self->receiver.id,
					    self->buf, SIZE, 0, &walk));
	ASSERT_EQ((MSG_INFO + SIZE + 7) / 8 * 8 + MSG_INFO + 5,
		  recv_bundle(&self->ring, self->receiver.id, self->buf,
			      sizeof(self->buf), 0, &walk));
	ASSERT_TRUE(msg_next(&walk));
	EXPECT_TRUE(ipc_filled(walk.data, SIZE, 2));
	ASSERT_TRUE(msg_next(&walk));
	EXPECT_TRUE(ipc_filled(walk.data, 5, 3));
}

TEST_F_TIMEOUT(bundle, one_message, IPC_TIMEOUT)
{
	int i;

	for (i = 0; i < 2 * ENTRIES; i++) {
		ASSERT_EQ(IPC_NUM, msg_send(&self->other, self->sender.id,
					    &(__u64){ i }, IPC_NUM, 0));
		ASSERT_EQ(1, recv_nums(&self->ring, self->receiver.id,
				       self->buf, i % 2 ? NUM :
				       sizeof(self->buf), i, i + 1));
	}
}

TEST_F_TIMEOUT(bundle, full_ring, IPC_TIMEOUT)
{
	struct msg_walk walk;
	int i, round;

	static const __u32 rooms[] = {
		sizeof(struct msg_num[ENTRIES]), sizeof(self->buf),
		/* The process need not have a buffer of that size. */
		INT_MAX, UINT_MAX,
	};

	for (round = 0; round < ARRAY_SIZE(rooms); round++) {
		ASSERT_EQ(ENTRIES, ipc_send_nums(&self->other, self->sender.id,
						 0, ENTRIES));
		ASSERT_EQ(-ENOBUFS, ipc_send_num(&self->other, self->sender.id,
						 99));
		ASSERT_EQ(ENTRIES * NUM,
			  recv_bundle(&self->ring, self->receiver.id,
				      self->buf, rooms[round], 0, &walk))
			TH_LOG("with room for %u bytes", rooms[round]);
		for (i = 0; i < ENTRIES; i++) {
			ASSERT_EQ(i, msg_next_num(&walk));
			EXPECT_EQ(round * ENTRIES + i + 1, walk.info.msg_id);
		}
		EXPECT_EQ(-EAGAIN, recv_bundle(&self->ring, self->receiver.id,
					       self->buf, sizeof(self->buf), 0,
					       &walk));
	}
}

/*
 * One bundle takes all messages of the largest ring. tests/host/queue.rs counts
 * on the host how often the bundle looks at each slot.
 */
TEST_F_TIMEOUT(bundle, a_large_ring, IPC_TIMEOUT)
{
	enum { COUNT = IOIPC_MAX_RING_ENTRIES };
	size_t size = (size_t)COUNT * MSG_INFO;
	struct iovec vec[256] = {};
	struct ipc_sub both;
	__u32 channel;
	char *buf;
	int i;

	/* This test does not depend on the kind of the receiver's ring. */
	if (variant->setup)
		return;
	buf = malloc(size);
	ASSERT_NE(NULL, buf);
	memset(buf, 'x', size);
	ASSERT_EQ(0, ipc_create(&self->other, variant->flags, COUNT, 8,
				&channel));
	ASSERT_EQ(0, ipc_attach(&self->other, channel, IOIPC_SUB_BOTH, &both));
	for (i = 0; i < COUNT; i += ARRAY_SIZE(vec)) {
		ASSERT_EQ(ARRAY_SIZE(vec),
			  msg_send_vec(&self->other, both.id, vec,
				       ARRAY_SIZE(vec), 0));
	}
	ASSERT_EQ(size, msg_recv(&self->other, both.id, buf, size,
				 IOIPC_RECV_BUNDLE));
	free(buf);
}

/* IOIPC_RECV_INFO changes nothing: each message of a bundle has its info. */
TEST_F_TIMEOUT(bundle, info_is_accepted, IPC_TIMEOUT)
{
	struct msg_walk walk;
	int i;

	ASSERT_EQ(2, ipc_send_nums(&self->other, self->sender.id, 0, 2));
	ASSERT_EQ(2 * NUM, recv_bundle(&self->ring, self->receiver.id,
				       self->buf, sizeof(self->buf),
				       IOIPC_RECV_INFO, &walk));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(i, msg_next_num(&walk));
	ASSERT_FALSE(msg_next(&walk));
}

TEST_F_TIMEOUT(bundle, flags, IPC_TIMEOUT)
{
	struct msg_walk walk;
	int len;

	ASSERT_EQ(2, ipc_send_nums(&self->other, self->sender.id, 0, 2));
	memset(self->buf, 'x', NUM);
	EXPECT_EQ(-EINVAL, recv_bundle(&self->ring, self->receiver.id,
				       self->buf, sizeof(self->buf),
				       IOIPC_RECV_TRUNC, &walk));
	EXPECT_EQ(-EINVAL, recv_bundle(&self->ring, self->receiver.id,
				       self->buf, sizeof(self->buf),
				       IOIPC_RECV_TRUNC | IOIPC_RECV_INFO |
				       IOIPC_RECV_WAIT, &walk));
	for (len = 0; len < MSG_INFO; len++) {
		EXPECT_EQ(-EINVAL, recv_bundle(&self->ring, self->receiver.id,
					       self->buf, len, 0, &walk))
			TH_LOG("%d bytes", len);
	}
	EXPECT_EQ('x', self->buf[0]);
	EXPECT_EQ(-EINVAL, msg_send(&self->other, self->sender.id, self->buf, 8,
				    IOIPC_RECV_BUNDLE));
	/* A subscriber that only sends. */
	EXPECT_EQ(-EACCES, recv_bundle(&self->other, self->sender.id, self->buf,
				       sizeof(self->buf), 0, &walk));
	EXPECT_EQ(2, recv_nums(&self->ring, self->receiver.id, self->buf,
			       sizeof(self->buf), 0, 2));
}

/* Waits for one message, and takes all messages that are there when it runs. */
TEST_F_TIMEOUT(bundle, waits, IPC_TIMEOUT)
{
	struct msg_walk walk = { .buf = self->buf };
	struct io_uring_sqe *sqe;
	int i, num, round;
	long long got;

	for (round = 0; round < 10; round++) {
		sqe = msg_get_recv(&self->ring, self->receiver.id, self->buf,
				   sizeof(self->buf), IOIPC_RECV_BUNDLE |
				   IOIPC_RECV_WAIT);
		sqe->user_data = 7;
		ASSERT_TRUE(wait_nothing(&self->ring));
		for (i = 0; i < 5; i++) {
			ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other,
							self->sender.id, i));
		}
		walk.res = wait_for(&self->ring, 7);
		walk.at = 0;
		ASSERT_LT(0, walk.res);
		for (num = 0; (got = msg_next_num(&walk)) == num; num++)
			;
		EXPECT_EQ(-EAGAIN, got);
		EXPECT_LE(1, num);
		/* The receive has run only now. */
		if (variant->setup == WAIT_DEFER) {
			EXPECT_EQ(5, num);
		}
		EXPECT_EQ(5 - num, recv_nums(&self->ring, self->receiver.id,
					     self->buf, sizeof(self->buf), num,
					     5));
		/* It takes all messages that are there at once. */
		ASSERT_EQ(5, ipc_send_nums(&self->other, self->sender.id, 0,
					   5));
		ASSERT_EQ(5 * NUM, recv_bundle(&self->ring, self->receiver.id,
					       self->buf, sizeof(self->buf),
					       IOIPC_RECV_WAIT, &walk));
		for (i = 0; i < 5; i++) {
			EXPECT_EQ(i, msg_next_num(&walk));
		}
	}
}

TEST_F_TIMEOUT(bundle, async, IPC_TIMEOUT)
{
	struct msg_walk walk = { .buf = self->buf };
	struct io_uring_sqe *sqe;
	int i, round, sent = 0;
	bool waits;

	for (round = 0; round < 6; round++) {
		waits = round % 2;
		if (!waits) {
			ASSERT_EQ(7, ipc_send_nums(&self->other,
						   self->sender.id, sent,
						   sent + 7));
		}
		sqe = msg_get_recv(&self->ring, self->receiver.id, self->buf,
				   sizeof(self->buf), IOIPC_RECV_BUNDLE |
				   (waits ? IOIPC_RECV_WAIT : 0));
		sqe->flags |= IOSQE_ASYNC;
		sqe->user_data = 7;
		if (waits) {
			ASSERT_TRUE(wait_nothing(&self->ring));
			ASSERT_EQ(7, ipc_send_nums(&self->other,
						   self->sender.id, sent,
						   sent + 7));
		}
		walk.res = wait_for(&self->ring, 7);
		walk.at = 0;
		for (i = 0; msg_next_num(&walk) == sent + i; i++)
			;
		ASSERT_FALSE(walk.broken);
		ASSERT_LE(1, i);
		if (!waits) {
			EXPECT_EQ(7, i);
		}
		EXPECT_EQ(7 - i, recv_nums(&self->ring, self->receiver.id,
					   self->buf, sizeof(self->buf),
					   sent + i, sent + 7));
		sent += 7;
	}
}

/* One bundle in each provided buffer. */
TEST_F_TIMEOUT(bundle, multishot, IPC_TIMEOUT)
{
	enum { BUFS = 16, EACH = 3 };
	int i, round, buffer = 0, num;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe cqe;
	struct msg_walk walk;
	struct msg_pool pool;
	long long got;

	ASSERT_EQ(0, msg_pool_open(&pool, &self->ring, BUFS, EACH * NUM + 40,
				   0));
	for (round = 0; round < 6; round++) {
		/* The messages that are there. */
		ASSERT_EQ(10, ipc_send_nums(&self->other, self->sender.id, 0,
					    10));
		sqe = msg_get_select(&self->ring, self->receiver.id, 0,
				     IOIPC_RECV_MULTISHOT | IOIPC_RECV_BUNDLE);
		sqe->user_data = 7;
		for (num = 0; num < 10; num += i) {
			ASSERT_LT(0, wait_for_cqe(&self->ring, 7, &cqe));
			EXPECT_EQ(IORING_CQE_F_MORE | IORING_CQE_F_BUFFER |
				  buffer << IORING_CQE_BUFFER_SHIFT, cqe.flags);
			memset(&walk, 0, sizeof(walk));
			walk.res = cqe.res;
			walk.buf = msg_pool_got(&pool, &cqe);
			ASSERT_NE(NULL, walk.buf);
			for (i = 0; msg_next_num(&walk) == num + i; i++)
				;
			EXPECT_FALSE(walk.broken);
			EXPECT_EQ(num < 9 ? EACH : 1, i);
			ASSERT_LE(1, i);
			msg_pool_add(&pool, buffer);
			buffer = (buffer + 1) % BUFS;
		}
		/* The messages that arrive while it waits. */
		ASSERT_TRUE(wait_nothing(&self->ring));
		ASSERT_EQ(10, ipc_send_nums(&self->other, self->sender.id, 0,
					    10));
		for (num = 0; num < 10; num += i) {
			ASSERT_LT(0, wait_for_cqe(&self->ring, 7, &cqe));
			ASSERT_TRUE(cqe.flags & IORING_CQE_F_MORE);
			memset(&walk, 0, sizeof(walk));
			walk.res = cqe.res;
			walk.buf = msg_pool_got(&pool, &cqe);
			ASSERT_NE(NULL, walk.buf);
			for (i = 0; (got = msg_next_num(&walk)) == num + i; i++)
				;
			ASSERT_EQ(-EAGAIN, got);
			ASSERT_LE(1, i);
			msg_pool_add(&pool, buffer);
			buffer = (buffer + 1) % BUFS;
		}
		ASSERT_TRUE(wait_nothing(&self->ring));
		ASSERT_EQ(0, wait_cancel(&self->ring, 7, 0));
		ASSERT_EQ(-ECANCELED, wait_for(&self->ring, 7));
	}
}

/* Each bundle uses only its own length of the buffer. */
TEST_F_TIMEOUT(bundle, incremental_buffers, IPC_TIMEOUT)
{
	struct io_uring_sqe *sqe;
	struct io_uring_cqe cqe;
	struct msg_walk walk;
	struct msg_pool pool;
	int i, ret, used = 0;

	ret = msg_pool_open(&pool, &self->ring, 2, 4096, IOU_PBUF_RING_INC);
	if (ret == -EINVAL)
		SKIP(return, "this kernel has no incremental buffers");
	ASSERT_EQ(0, ret);
	for (i = 1; i <= 6; i++) {
		ASSERT_EQ(i, ipc_send_nums(&self->other, self->sender.id, 0,
					   i));
		sqe = msg_get_select(&self->ring, self->receiver.id, 0,
				     IOIPC_RECV_BUNDLE);
		sqe->user_data = 7;
		ASSERT_EQ(i * NUM, wait_for_cqe(&self->ring, 7, &cqe));
		EXPECT_EQ(IORING_CQE_F_BUFFER | IORING_CQE_F_BUF_MORE,
			  cqe.flags);
		memset(&walk, 0, sizeof(walk));
		walk.buf = pool.mem + used;
		walk.res = cqe.res;
		while (msg_next_num(&walk) >= 0)
			;
		EXPECT_FALSE(walk.broken);
		EXPECT_EQ(i * NUM, walk.at);
		used += walk.at;
	}
}

/* Two receivers take turns. In a queue each message goes to one of them. */
TEST_F_TIMEOUT(bundle, two_receivers, IPC_TIMEOUT)
{
	struct ipc_sub second;
	int num;

	ASSERT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_RECV,
				&second));
	ASSERT_EQ(30, ipc_send_nums(&self->other, self->sender.id, 0, 30));
	for (num = 0; num < 30; num += self->all ? 3 : 8) {
		EXPECT_EQ(3, recv_nums(&self->ring, self->receiver.id,
				       self->buf, 3 * NUM + 7, num, num + 3));
		if (!self->all) {
			EXPECT_EQ(num < 24 ? 5 : 3,
				  recv_nums(&self->other, second.id, self->buf,
					    5 * NUM, num + 3,
					    num < 24 ? num + 8 : 30));
		}
	}
	if (self->all) {
		EXPECT_EQ(30, recv_nums(&self->other, second.id, self->buf,
					7 * NUM, 0, 30));
	}
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, self->receiver.id));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->other, second.id));
}

/* Processes that receive bundles of many sizes while another one sends. */
struct crowd {
	_Atomic int	ready;
	_Atomic bool	done;
	_Atomic long	received;
	_Atomic unsigned char times[];
};

static void receive_in_crowd(struct __test_metadata *_metadata,
			     struct crowd *crowd, __u32 channel, char *buf,
			     __u32 size, long count)
{
	__u32 random = 0x5eed1234 + getpid();
	long long num, last = -1;
	struct io_uring ring;
	struct msg_walk walk;
	struct ipc_sub sub;
	__u32 len;
	bool done;
	int res;

	ASSERT_EQ(0, ipc_open(&ring));
	ASSERT_EQ(0, ipc_attach(&ring, channel, IOIPC_SUB_RECV, &sub));
	crowd->ready++;
	do {
		/* If this finds `done`, all messages have been sent before. */
		done = crowd->done;
		len = MSG_INFO + 8 + ipc_random(&random) % (size - MSG_INFO -
							    8);
		res = recv_bundle(&ring, sub.id, buf, len, 0, &walk);
		if (res == -EAGAIN) {
			sched_yield();
			continue;
		}
		ASSERT_LT(0, res);
		ASSERT_GE(len, res);
		while ((num = msg_next_num(&walk)) >= 0) {
			ASSERT_LT(last, num);
			ASSERT_GT(count, num);
			last = num;
			crowd->times[num]++;
			crowd->received++;
		}
		ASSERT_EQ(-EAGAIN, num);
	} while (!done || res != -EAGAIN);
	_exit(0);
}

TEST_F_TIMEOUT(bundle, exactly_once, IPC_TIMEOUT)
{
	enum { RECEIVERS = 3 };
	long count = ipc_env("MESSAGES", 800), wrong = 0, i;
	pid_t pid[RECEIVERS];
	struct crowd *crowd;

	/* The processes open their own rings. */
	if (variant->setup)
		return;
	crowd = ipc_shared(sizeof(*crowd) + count);
	ASSERT_NE(NULL, crowd);
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring,
						 self->receiver.id));
	for (i = 0; i < RECEIVERS; i++) {
		pid[i] = ipc_fork();
		ASSERT_LE(0, pid[i]);
		if (!pid[i])
			receive_in_crowd(_metadata, crowd, self->channel,
					 self->buf, 8 * NUM, count);
	}
	ASSERT_TRUE(wait_until(crowd->ready == RECEIVERS));
	for (i = 0; i < count; i++) {
		ASSERT_EQ(IPC_NUM, wait_send_wait(&self->other, self->sender.id,
						  i))
			TH_LOG("message %ld", i);
	}
	crowd->done = true;
	for (i = 0; i < RECEIVERS; i++) {
		EXPECT_EQ(0, wait_child(pid[i]));
	}
	for (i = 0; i < count; i++)
		wrong += crowd->times[i] != (self->all ? RECEIVERS : 1);
	EXPECT_EQ(0, wrong);
	EXPECT_EQ(count * (self->all ? RECEIVERS : 1), crowd->received);
}

TEST_F_TIMEOUT(bundle, targeted_at_others, IPC_TIMEOUT)
{
	struct ipc_sub second;
	struct msg_walk walk;
	__u32 target;
	int i, round;

	ASSERT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_RECV,
				&second));
	for (round = 0; round < 5; round++) {
		for (i = 0; i < 30; i++) {
			target = i % 3 == 0 ? second.id :
				 i % 3 == 1 ? self->receiver.id : 0;
			ASSERT_EQ(IPC_NUM, ipc_send_num_to(&self->other,
							   self->sender.id, i,
							   target));
		}
		ASSERT_EQ(20 * NUM, recv_bundle(&self->ring, self->receiver.id,
						self->buf, sizeof(self->buf), 0,
						&walk));
		for (i = 0; i < 30; i++) {
			if (i % 3 == 0)
				continue;
			ASSERT_EQ(i, msg_next_num(&walk));
			EXPECT_EQ(i % 3 == 1 ? IOIPC_INFO_TARGETED : 0,
				  walk.info.flags);
		}
		ASSERT_EQ((self->all ? 20 : 10) * NUM,
			  recv_bundle(&self->other, second.id, self->buf,
				      sizeof(self->buf), 0, &walk));
		for (i = 0; i < 30; i++) {
			if (i % 3 == 1 || (i % 3 == 2 && !self->all))
				continue;
			ASSERT_EQ(i, msg_next_num(&walk));
		}
	}
	/* Only messages for other receivers. */
	ASSERT_EQ(IPC_NUM, ipc_send_num_to(&self->other, self->sender.id, 7,
					   second.id));
	EXPECT_EQ(-EAGAIN, recv_bundle(&self->ring, self->receiver.id,
				       self->buf, sizeof(self->buf), 0, &walk));
}

/*
 * The buffer ends earlier than its length says, anywhere in a bundle. The
 * messages before that arrive or not, and none is lost or received twice.
 */
static void recv_at_the_end(struct __test_metadata *_metadata,
			    FIXTURE_DATA(bundle) *self, char *end, int inside)
{
	enum { COUNT = 8 };
	struct msg_walk walk;
	long long got;
	int num = 0;

	ASSERT_EQ(COUNT, ipc_send_nums(&self->other, self->sender.id, 0,
				       COUNT));
	recv_bundle(&self->ring, self->receiver.id, end - inside, 2 * self->page,
		    0, &walk);
	if (walk.res != -EFAULT) {
		while ((got = msg_next_num(&walk)) == num)
			num++;
		ASSERT_EQ(-EAGAIN, got)
			TH_LOG("with %d bytes", inside);
		ASSERT_LE(1, num);
		ASSERT_GE(inside, num * NUM);
	} else if (inside >= COUNT * NUM) {
		ASSERT_EQ(COUNT * NUM, walk.res);
	}
	ASSERT_EQ(COUNT - num, recv_nums(&self->ring, self->receiver.id,
					 self->buf, sizeof(self->buf), num,
					 COUNT))
		TH_LOG("with %d bytes and %d messages", inside, num);
	ASSERT_EQ(-EAGAIN, ipc_recv_num(&self->ring, self->receiver.id));
}

TEST_F_TIMEOUT(bundle, fault_in_the_middle, IPC_TIMEOUT)
{
	char *unmapped = ipc_pages(1), *read_only = ipc_pages(2);
	int inside;

	ASSERT_NE(NULL, unmapped);
	ASSERT_NE(NULL, read_only);
	memset(read_only, 'x', 2 * self->page);
	ASSERT_EQ(0, mprotect(read_only + self->page, self->page, PROT_READ));
	for (inside = 0; inside <= 8 * NUM + 4; inside += 3) {
		recv_at_the_end(_metadata, self, unmapped + self->page, inside);
		recv_at_the_end(_metadata, self, read_only + self->page,
				inside);
		/* All pages there must be faulted in again. */
		ASSERT_EQ(0, madvise(unmapped, self->page, MADV_DONTNEED));
	}
	for (inside = 0; inside < self->page; inside++) {
		ASSERT_EQ('x', read_only[self->page + inside]);
	}
}

/* A bundle is not smaller because pages are not present yet. */
TEST_F_TIMEOUT(bundle, fresh_pages, IPC_TIMEOUT)
{
	enum { LARGE = 3000, COUNT = 8, PAGES = 8 };
	char *mem = ipc_pages(PAGES), *buf = malloc(LARGE);
	struct ipc_sub sender, receiver;
	struct msg_walk walk;
	int i, round;
	__u32 channel;

	ASSERT_NE(NULL, mem);
	ASSERT_NE(NULL, buf);
	ASSERT_EQ(0, ipc_create(&self->other, variant->flags, COUNT, LARGE,
				&channel));
	ASSERT_EQ(0, ipc_attach(&self->other, channel, IOIPC_SUB_SEND,
				&sender));
	ASSERT_EQ(0, ipc_attach(&self->ring, channel, IOIPC_SUB_RECV,
				&receiver));
	for (round = 0; round < 5; round++) {
		for (i = 0; i < COUNT; i++) {
			ipc_fill(buf, LARGE, i);
			ASSERT_EQ(LARGE, msg_send(&self->other, sender.id, buf,
						  LARGE, 0));
		}
		ASSERT_EQ(0, madvise(mem, PAGES * self->page, MADV_DONTNEED));
		/* A part of the buffer may be present. */
		mem[round * self->page] = 1;
		ASSERT_EQ(COUNT * (MSG_INFO + LARGE),
			  recv_bundle(&self->ring, receiver.id, mem,
				      PAGES * self->page, 0, &walk))
			TH_LOG("with page %d", round);
		for (i = 0; i < COUNT; i++) {
			ASSERT_TRUE(msg_next(&walk));
			ASSERT_EQ(LARGE, walk.info.len);
			ASSERT_TRUE(ipc_filled(walk.data, LARGE, i));
		}
		ASSERT_FALSE(msg_next(&walk));
	}
	free(buf);
}

TEST_F_TIMEOUT(bundle, vanishing_pages, IPC_TIMEOUT)
{
	enum { COUNT = 40, LEN = 200 };
	struct vanish vanishing = {
		.mem = ipc_pages(4),
		.len = 4 * self->page,
	};
	int i, ret, received, round;
	struct msg_walk walk;

	/*
	 * The received messages are gone, but the result tells how many they
	 * were.
	 */
	ASSERT_EQ(0, LEN % 8);
	ASSERT_NE(NULL, vanishing.mem);
	ASSERT_EQ(0, vanish_start(&vanishing));
	for (round = 0; round < 20; round++) {
		for (i = 0; i < COUNT; i++) {
			ASSERT_EQ(LEN, send_filled(&self->other,
						   self->sender.id, LEN, i));
		}
		ret = recv_bundle(&self->ring, self->receiver.id,
				  vanishing.mem, vanishing.len, 0, &walk);
		received = 0;
		if (ret != -EFAULT) {
			ASSERT_LT(0, ret);
			ASSERT_EQ(0, ret % (MSG_INFO + LEN));
			received = ret / (MSG_INFO + LEN);
		}
		while (received < COUNT) {
			ASSERT_LT(0, recv_bundle(&self->ring, self->receiver.id,
						 self->buf, sizeof(self->buf),
						 0, &walk));
			while (msg_next(&walk)) {
				ASSERT_TRUE(ipc_filled(walk.data, LEN,
						       received))
					TH_LOG("message %d", received);
				received++;
			}
		}
		ASSERT_EQ(COUNT, received);
		ASSERT_EQ(-EAGAIN, ipc_recv_num(&self->ring,
						self->receiver.id));
	}
	vanish_stop(&vanishing);
}

/* Senders that wait can use all slots that a bundle frees. */
TEST_F_TIMEOUT(bundle, waiting_senders, IPC_TIMEOUT)
{
	enum { WAITING = 20 };
	struct msg_walk walk;
	__u64 num[WAITING];
	int i, round;

	for (round = 0; round < 5; round++) {
		ASSERT_EQ(ENTRIES, ipc_send_nums(&self->other, self->sender.id,
						 0, ENTRIES));
		for (i = 0; i < WAITING; i++) {
			num[i] = ENTRIES + i;
			/* One of two senders is not attached. */
			wait_get_send(&self->other, i % 2 ? self->channel :
				      self->sender.id, &num[i], 100 + i);
		}
		ASSERT_TRUE(wait_nothing(&self->other));
		ASSERT_EQ(ENTRIES * NUM,
			  recv_bundle(&self->ring, self->receiver.id,
				      self->buf, sizeof(self->buf), 0, &walk));
		for (i = 0; i < WAITING; i++) {
			ASSERT_EQ(IPC_NUM, wait_for(&self->other, 100 + i))
				TH_LOG("sender %d", i);
		}
		ASSERT_EQ(WAITING * NUM,
			  recv_bundle(&self->ring, self->receiver.id,
				      self->buf, sizeof(self->buf), 0, &walk));
	}
}

/* A woken receiver whose buffer is too small leaves the messages to others. */
TEST_F_TIMEOUT(bundle, waiting_receivers, IPC_TIMEOUT)
{
	struct iovec vec[6];
	struct ipc_sub second;
	__u64 nums[6], got[4];
	struct io_uring_sqe *sqe;
	struct msg_walk walk;
	int i, round;

	/* In a broadcast the receivers would not share messages. */
	if (self->all)
		return;
	ASSERT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_RECV,
				&second));
	for (i = 0; i < ARRAY_SIZE(vec); i++) {
		nums[i] = i;
		vec[i] = (struct iovec) { &nums[i], IPC_NUM };
	}
	for (round = 0; round < 10; round++) {
		sqe = msg_get_recv(&self->ring, self->receiver.id, self->buf,
				   2 * NUM, IOIPC_RECV_BUNDLE |
				   IOIPC_RECV_WAIT);
		sqe->user_data = 7;
		ASSERT_TRUE(wait_nothing(&self->ring));
		for (i = 0; i < ARRAY_SIZE(got); i++) {
			wait_get_recv(&self->other, second.id, &got[i],
				      100 + i);
		}
		ASSERT_TRUE(wait_nothing(&self->other));
		ASSERT_EQ(ARRAY_SIZE(vec),
			  msg_send_vec(&self->other, self->sender.id, vec,
				       ARRAY_SIZE(vec), 0));
		memset(&walk, 0, sizeof(walk));
		walk.buf = self->buf;
		walk.res = wait_for(&self->ring, 7);
		ASSERT_LT(0, walk.res);
		for (i = 0; i < ARRAY_SIZE(got); i++) {
			ASSERT_EQ(IPC_NUM, wait_for(&self->other, 100 + i))
				TH_LOG("receiver %d, round %d", i, round);
		}
		/* It may have received one or two messages. */
		while (msg_next(&walk))
			;
		ASSERT_FALSE(walk.broken);
		if (walk.at == NUM) {
			ASSERT_LE(0, ipc_recv_num(&self->other, second.id));
		}
		ASSERT_EQ(-EAGAIN, ipc_recv_num(&self->other, second.id));
	}
}

/* The info of each message is about this message. */
TEST_F_TIMEOUT(bundle, from_many, IPC_TIMEOUT)
{
	enum { ROUNDS = 3, WAYS = 5 };
	static const struct ipc_who somebody = { IPC_UID, IPC_GID, 0 };
	struct io_uring_ipc_msg_info want[ROUNDS * WAYS];
	int i, status, way;
	struct msg_walk walk;

	if (geteuid())
		SKIP(return, "needs to be root");
	for (i = 0; i < ROUNDS * WAYS; i++) {
		way = i % WAYS;
		/*
		 * Itself, another user, twice the same sender, and another
		 * subscriber.
		 */
		if (way == 4) {
			struct io_uring ring;
			struct ipc_sub sub;
			pid_t pid;

			pid = ipc_fork();
			ASSERT_LE(0, pid);
			if (!pid) {
				ASSERT_EQ(0, ipc_open(&ring));
				ASSERT_EQ(0, ipc_attach(&ring, self->channel,
							IOIPC_SUB_SEND, &sub));
				ipc_become(somebody);
				ASSERT_EQ(IPC_NUM, ipc_send_num(&ring, sub.id,
								i));
				_exit(0);
			}
			ASSERT_EQ(0, ipc_wait(pid));
			want[i].pid = pid;
			want[i].uid = IPC_UID;
			want[i].gid = IPC_GID;
			continue;
		}
		ASSERT_EQ(0, setegid(way == 1 ? IPC_GID : 0));
		ASSERT_EQ(0, seteuid(way >= 2 ? IPC_UID : 0));
		want[i].pid = getpid();
		want[i].uid = geteuid();
		want[i].gid = getegid();
		status = ipc_send_num(&self->other, self->sender.id, i);
		ASSERT_EQ(0, seteuid(0));
		ASSERT_EQ(0, setegid(0));
		ASSERT_EQ(IPC_NUM, status);
	}
	ASSERT_EQ(ROUNDS * WAYS * NUM,
		  recv_bundle(&self->ring, self->receiver.id, self->buf,
			      sizeof(self->buf), 0, &walk));
	for (i = 0; i < ROUNDS * WAYS; i++) {
		ASSERT_EQ(i, msg_next_num(&walk));
		EXPECT_EQ(want[i].pid, walk.info.pid)
			TH_LOG("message %d", i);
		EXPECT_EQ(want[i].uid, walk.info.uid)
			TH_LOG("message %d", i);
		EXPECT_EQ(want[i].gid, walk.info.gid)
			TH_LOG("message %d", i);
	}
}

TEST_F_TIMEOUT(bundle, destroyed_channel, IPC_TIMEOUT)
{
	struct msg_walk walk;

	ASSERT_EQ(10, ipc_send_nums(&self->other, self->sender.id, 0, 10));
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->other, self->channel));
	EXPECT_EQ(10, recv_nums(&self->ring, self->receiver.id, self->buf,
				4 * NUM, 0, 10));
	EXPECT_EQ(-EPIPE, recv_bundle(&self->ring, self->receiver.id, self->buf,
				      sizeof(self->buf), 0, &walk));
	EXPECT_EQ(-EPIPE, recv_bundle(&self->ring, self->receiver.id, self->buf,
				      sizeof(self->buf), IOIPC_RECV_WAIT,
				      &walk));
}

IPC_HARNESS_MAIN
