// SPDX-License-Identifier: GPL-2.0
/*
 * IOIPC_SUB_HISTORY: a receiver that attaches late starts with the messages
 * that are still in the ring.
 *
 * ROUNDS=N is how often a receiver attaches while messages are sent.
 */
#include <poll.h>

#include "messages.h"

#define ENTRIES	16
#define SIZE	64

FIXTURE(history) {
	/* Sends. */
	struct io_uring ring;
	/* Receives. */
	struct io_uring other;
	__u32 channel;
	struct ipc_sub sender;
	bool overwrite;
};

FIXTURE_VARIANT(history) {
	__u32 flags;
};

FIXTURE_VARIANT_ADD(history, plain) {
	.flags = IOIPC_F_BROADCAST,
};

FIXTURE_VARIANT_ADD(history, overwrite) {
	.flags = IOIPC_F_BROADCAST | IOIPC_F_OVERWRITE,
};

FIXTURE_SETUP(history)
{
	self->overwrite = variant->flags & IOIPC_F_OVERWRITE;
	ASSERT_EQ(0, io_uring_queue_init(64, &self->ring, 0));
	ASSERT_EQ(0, io_uring_queue_init(64, &self->other, 0));
	ASSERT_EQ(0, ipc_create(&self->ring, variant->flags, ENTRIES, SIZE,
				&self->channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_SEND,
				&self->sender));
}

FIXTURE_TEARDOWN(history)
{
	io_uring_queue_exit(&self->other);
	io_uring_queue_exit(&self->ring);
}

#define ATTACH(ring, sub) \
	ASSERT_EQ(0, ipc_attach(ring, self->channel, IOIPC_SUB_RECV, sub))

#define JOIN(ring, sub) \
	ASSERT_EQ(0, ipc_attach(ring, self->channel, IOIPC_SUB_RECV | \
				IOIPC_SUB_HISTORY, sub))

#define SEND(from, to) \
	ASSERT_EQ((to) - (from), ipc_send_nums(&self->ring, self->sender.id, \
					       from, to))

static void leave(struct io_uring *ring, struct ipc_sub *sub)
{
	io_uring_ipc_channel_detach(ring, sub->id);
	close(sub->fd);
}

/*
 * Receives all messages, which must be the numbers from some number up to the
 * last one; returns the first number, or a negative errno.
 */
static long long recv_suffix(struct __test_metadata *_metadata,
			     struct io_uring *ring, __u32 id, long long last)
{
	long long first, num;
	struct msg_num got;

	first = msg_recv_num(ring, id, &got);
	if (first < 0)
		return first;
	/* Messages that were gone before it attached do not count as lost. */
	EXPECT_EQ(0, got.info.lost);
	EXPECT_EQ(first + 1, got.info.msg_id);
	for (num = first; num < last; num++) {
		EXPECT_EQ(num + 1, msg_recv_num(ring, id, &got));
		EXPECT_EQ(0, got.info.lost);
	}
	EXPECT_EQ(last, num);
	EXPECT_EQ(-EAGAIN, msg_recv_num(ring, id, &got));
	return first;
}

TEST_F_TIMEOUT(history, where_it_can_be, IPC_TIMEOUT)
{
	static const __u32 queues[] = { 0, IOIPC_F_MULTICAST };
	struct ipc_sub sub;
	__u32 channel;
	size_t i;

	EXPECT_EQ(-EINVAL, ipc_attach(&self->other, self->channel,
				      IOIPC_SUB_HISTORY, &sub));
	EXPECT_EQ(-EINVAL, ipc_attach(&self->other, self->channel,
				      IOIPC_SUB_HISTORY | IOIPC_SUB_SEND,
				      &sub));
	EXPECT_EQ(-EINVAL, ipc_attach(&self->other, self->channel,
				      IOIPC_SUB_HISTORY | IOIPC_SUB_RECV |
				      IOIPC_SUB_HISTORY << 2, &sub));
	EXPECT_EQ(0, ipc_attach(&self->other, self->channel,
				IOIPC_SUB_HISTORY | IOIPC_SUB_RECV, &sub));
	EXPECT_EQ(0, ipc_attach(&self->other, self->channel,
				IOIPC_SUB_HISTORY | IOIPC_SUB_BOTH, &sub));
	for (i = 0; i < ARRAY_SIZE(queues); i++) {
		ASSERT_EQ(0, ipc_create(&self->ring, queues[i], ENTRIES, SIZE,
					&channel));
		EXPECT_EQ(-EINVAL, ipc_attach(&self->other, channel,
					      IOIPC_SUB_HISTORY |
					      IOIPC_SUB_RECV, &sub));
		EXPECT_EQ(-EINVAL, ipc_attach(&self->other, channel,
					      IOIPC_SUB_HISTORY |
					      IOIPC_SUB_BOTH, &sub));
	}
}

/* Messages that a receiver has not read are there for all late receivers. */
TEST_F_TIMEOUT(history, what_is_unread, IPC_TIMEOUT)
{
	struct ipc_sub early, late, next;
	struct msg_num got;
	int i;

	ATTACH(&self->ring, &early);
	SEND(0, 5);
	JOIN(&self->other, &late);
	ATTACH(&self->other, &next);
	SEND(5, 8);
	for (i = 0; i < 8; i++) {
		ASSERT_EQ(i, msg_recv_num(&self->other, late.id, &got));
		EXPECT_EQ(i + 1, got.info.msg_id);
		EXPECT_EQ(0, got.info.lost);
	}
	EXPECT_EQ(-EAGAIN, msg_recv_num(&self->other, late.id, &got));
	/* The other receivers have their messages. */
	EXPECT_EQ(3, ipc_recv_nums(&self->other, next.id, 5, 8));
	EXPECT_EQ(8, ipc_recv_nums(&self->ring, early.id, 0, 8));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->other, next.id));
	/* From then on it is a receiver like the others. */
	SEND(8, 20);
	EXPECT_EQ(12, ipc_recv_nums(&self->ring, early.id, 8, 20));
	EXPECT_EQ(12, ipc_recv_nums(&self->other, late.id, 8, 20));
	EXPECT_EQ(12, ipc_recv_nums(&self->other, next.id, 8, 20));
}

TEST_F_TIMEOUT(history, a_full_ring, IPC_TIMEOUT)
{
	struct ipc_sub early, late;
	struct msg_num got;
	int i;

	ATTACH(&self->ring, &early);
	SEND(0, ENTRIES);
	JOIN(&self->other, &late);
	/* Without overwriting, a quarter of the ring is left to the senders. */
	for (i = self->overwrite ? 0 : ENTRIES / 4; i < ENTRIES; i++) {
		ASSERT_EQ(i, msg_recv_num(&self->other, late.id, &got));
		EXPECT_EQ(0, got.info.lost);
	}
	EXPECT_EQ(-EAGAIN, msg_recv_num(&self->other, late.id, &got));
	EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->ring, early.id, 0, ENTRIES));
	SEND(ENTRIES, 2 * ENTRIES);
	EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->other, late.id, ENTRIES,
					 2 * ENTRIES));
}

/*
 * It holds up the ring like other receivers. With overwriting, it loses
 * messages.
 */
TEST_F_TIMEOUT(history, it_is_a_receiver_like_any_other, IPC_TIMEOUT)
{
	struct ipc_sub early, late;
	struct msg_num got;

	ATTACH(&self->ring, &early);
	SEND(0, ENTRIES);
	JOIN(&self->other, &late);
	EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->ring, early.id, 0, ENTRIES));
	if (self->overwrite) {
		SEND(ENTRIES, ENTRIES + 3);
		ASSERT_EQ(3, msg_recv_num(&self->other, late.id, &got));
		EXPECT_EQ(3, got.info.lost);
		return;
	}
	/* A quarter of the ring is left. */
	SEND(ENTRIES, ENTRIES + ENTRIES / 4);
	EXPECT_EQ(-ENOBUFS, ipc_send_num(&self->ring, self->sender.id, 99));
	EXPECT_EQ(ENTRIES / 4, ipc_recv_num(&self->other, late.id));
	SEND(ENTRIES + ENTRIES / 4, ENTRIES + ENTRIES / 4 + 1);
	EXPECT_EQ(-ENOBUFS, ipc_send_num(&self->ring, self->sender.id, 99));
	leave(&self->other, &late);
	SEND(ENTRIES + ENTRIES / 4 + 1, 2 * ENTRIES);
	EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->ring, early.id, ENTRIES,
					 2 * ENTRIES));
}

TEST_F_TIMEOUT(history, an_empty_ring, IPC_TIMEOUT)
{
	struct ipc_sub sub;
	__u64 got = 0;

	JOIN(&self->other, &sub);
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->other, sub.id));
	wait_get_recv(&self->other, sub.id, &got, 7);
	ASSERT_TRUE(wait_nothing(&self->other));
	SEND(3, 5);
	EXPECT_EQ(IPC_NUM, wait_for(&self->other, 7));
	EXPECT_EQ(3, got);
	EXPECT_EQ(4, ipc_recv_num(&self->other, sub.id));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->other, sub.id));
}

/*
 * Messages that all have read stay until a sender needs their slots: three
 * quarters of the ring at least.
 */
TEST_F_TIMEOUT(history, what_all_have_read, IPC_TIMEOUT)
{
	const int least = 3 * ENTRIES / 4;
	struct ipc_sub early, late;
	long long first;
	int sent;

	ATTACH(&self->ring, &early);
	for (sent = 1; sent <= 5 * ENTRIES; sent++) {
		SEND(sent - 1, sent);
		ASSERT_EQ(sent - 1, ipc_recv_num(&self->ring, early.id));
		JOIN(&self->other, &late);
		first = recv_suffix(_metadata, &self->other, late.id, sent - 1);
		ASSERT_LE(0, first)
			TH_LOG("%d were sent", sent);
		EXPECT_LE(sent < least ? sent : least, sent - first);
		/* The rest is for senders, unless they overwrite. */
		EXPECT_GE(self->overwrite ? ENTRIES : least, sent - first);
		leave(&self->other, &late);
	}
}

/* No receiver is there to hold a message. */
TEST_F_TIMEOUT(history, without_receivers, IPC_TIMEOUT)
{
	long long first, before = -1;
	struct ipc_sub late;
	int sent = 0, round;

	for (round = 1; round < 12; round++) {
		SEND(sent, sent + round);
		sent += round;
		JOIN(&self->other, &late);
		first = recv_suffix(_metadata, &self->other, late.id, sent - 1);
		ASSERT_LE(0, first)
			TH_LOG("%d were sent", sent);
		EXPECT_GE(ENTRIES, sent - first);
		/* Messages that are gone do not come back. */
		EXPECT_LE(before, first);
		before = first;
		leave(&self->other, &late);
	}
	/* Only a receiver that asks for them gets them. */
	ATTACH(&self->other, &late);
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->other, late.id));
}

TEST_F_TIMEOUT(history, targeted_at_others, IPC_TIMEOUT)
{
	struct ipc_sub early, late;
	struct msg_num got;
	int i;

	ATTACH(&self->ring, &early);
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(IPC_NUM, ipc_send_num_to(&self->ring, self->sender.id,
						   i, i % 2 ? early.id : 0));
	}
	JOIN(&self->other, &late);
	for (i = 0; i < 10; i += 2) {
		ASSERT_EQ(i, msg_recv_num(&self->other, late.id, &got));
		EXPECT_EQ(0, got.info.flags);
		EXPECT_EQ(0, got.info.lost);
	}
	EXPECT_EQ(-EAGAIN, msg_recv_num(&self->other, late.id, &got));
	EXPECT_EQ(10, ipc_recv_nums(&self->ring, early.id, 0, 10));
	/* Only messages for another receiver. */
	for (i = 0; i < ENTRIES; i++) {
		ASSERT_EQ(IPC_NUM, ipc_send_num_to(&self->ring, self->sender.id,
						   i, early.id));
	}
	leave(&self->other, &late);
	JOIN(&self->other, &late);
	EXPECT_EQ(-EAGAIN, msg_recv_num(&self->other, late.id, &got));
	EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->ring, early.id, 0, ENTRIES));
	/* Messages whose target has left are no part of the history. */
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(IPC_NUM, ipc_send_num_to(&self->ring, self->sender.id,
						   i, i % 2 ? early.id : 0));
	}
	leave(&self->ring, &early);
	leave(&self->other, &late);
	JOIN(&self->other, &late);
	EXPECT_EQ(0, ipc_recv_num(&self->other, late.id));
	EXPECT_EQ(2, ipc_recv_num(&self->other, late.id));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->other, late.id));
}

/* All messages, also from a sender that is not attached. */
TEST_F_TIMEOUT(history, bundle, IPC_TIMEOUT)
{
	struct msg_num buf[ENTRIES] = {};
	struct ipc_sub early, late;
	struct msg_walk walk = {};
	int i;

	ATTACH(&self->ring, &early);
	ASSERT_EQ(10, ipc_send_nums(&self->other, self->channel, 0, 10));
	EXPECT_EQ(3, ipc_recv_nums(&self->ring, early.id, 0, 3));
	JOIN(&self->other, &late);
	walk.buf = (char *)buf;
	walk.res = msg_recv(&self->other, late.id, buf, sizeof(buf),
			    IOIPC_RECV_BUNDLE);
	ASSERT_LT(0, walk.res);
	/* Some of the messages that were read may be gone. */
	i = msg_next_num(&walk);
	ASSERT_LE(0, i);
	ASSERT_GE(3, i);
	while (++i < 10) {
		ASSERT_EQ(i, msg_next_num(&walk));
		EXPECT_EQ(0, walk.info.lost);
	}
	EXPECT_FALSE(msg_next(&walk));
	EXPECT_FALSE(walk.broken);
}

/* There is a message to receive from the start. */
TEST_F_TIMEOUT(history, waiting_and_polling, IPC_TIMEOUT)
{
	struct ipc_sub early, late;
	struct io_uring_sqe *sqe;
	__u64 got = 0;

	ATTACH(&self->ring, &early);
	SEND(4, 6);
	JOIN(&self->other, &late);
	wait_get_recv(&self->other, late.id, &got, 7);
	ASSERT_EQ(IPC_NUM, wait_for(&self->other, 7));
	EXPECT_EQ(4, got);
	wait_get_recv(&self->other, late.id, &got, 7);
	ASSERT_EQ(IPC_NUM, wait_for(&self->other, 7));
	EXPECT_EQ(5, got);
	leave(&self->other, &late);
	JOIN(&self->other, &late);
	sqe = wait_get_sqe(&self->other);
	io_uring_prep_poll_add(sqe, late.fd, POLLIN);
	io_uring_sqe_set_data64(sqe, 8);
	EXPECT_EQ(POLLIN, wait_for(&self->other, 8));
	EXPECT_EQ(2, ipc_recv_nums(&self->other, late.id, 4, 6));
}

/* A check for room frees no message as long as there is room. */
TEST_F_TIMEOUT(history, polling_for_room, IPC_TIMEOUT)
{
	struct pollfd poll_fd = { .events = POLLOUT };
	struct ipc_sub early, late;
	int i;

	ATTACH(&self->ring, &early);
	poll_fd.fd = self->sender.fd;
	SEND(0, 8);
	EXPECT_EQ(8, ipc_recv_nums(&self->ring, early.id, 0, 8));
	for (i = 0; i < 8; i++) {
		ASSERT_EQ(1, poll(&poll_fd, 1, 0));
		EXPECT_EQ(POLLOUT, poll_fd.revents);
	}
	JOIN(&self->other, &late);
	EXPECT_EQ(8, ipc_recv_nums(&self->other, late.id, 0, 8));
}

/* Also the messages that are left in a channel after its end. */
TEST_F_TIMEOUT(history, before_the_end, IPC_TIMEOUT)
{
	struct ipc_sub early, late;

	ATTACH(&self->ring, &early);
	SEND(0, 4);
	JOIN(&self->other, &late);
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->ring, self->channel));
	EXPECT_EQ(4, ipc_recv_nums(&self->other, late.id, 0, 4));
	EXPECT_EQ(-EPIPE, ipc_recv_num(&self->other, late.id));
	EXPECT_EQ(4, ipc_recv_nums(&self->ring, early.id, 0, 4));
	EXPECT_EQ(-EPIPE, ipc_recv_num(&self->ring, early.id));
}

/* Receivers that overtake each other in a ring that overwrites. */
TEST_F_TIMEOUT(history, after_an_overwrite, IPC_TIMEOUT)
{
	struct ipc_sub slow, late;
	struct msg_num got;
	int i;

	if (!self->overwrite)
		return;
	ATTACH(&self->ring, &slow);
	for (i = 1; i < 3 * ENTRIES; i++) {
		SEND(i - 1, i);
		JOIN(&self->other, &late);
		/* All slots have unread messages. */
		EXPECT_EQ(i < ENTRIES ? 0 : i - ENTRIES,
			  recv_suffix(_metadata, &self->other, late.id, i - 1));
		leave(&self->other, &late);
	}
	ASSERT_EQ(2 * ENTRIES - 1, msg_recv_num(&self->ring, slow.id, &got));
	EXPECT_EQ(2 * ENTRIES - 1, got.info.lost);
}

/* In a large ring late receivers with history do not hold up a sender. */
TEST_F_TIMEOUT(history, a_sender_goes_on, IPC_TIMEOUT)
{
	enum { LARGE = 1024, BURST = 100 };
	struct ipc_sub sender, steady, late;
	int i, round, next = 0;
	__u32 channel;

	ASSERT_EQ(0, ipc_create(&self->ring, variant->flags, LARGE, 8,
				&channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, channel, IOIPC_SUB_SEND, &sender));
	ASSERT_EQ(0, ipc_attach(&self->ring, channel, IOIPC_SUB_RECV, &steady));
	for (round = 0; round < 30; round++) {
		ASSERT_EQ(0, ipc_attach(&self->other, channel, IOIPC_SUB_RECV |
					IOIPC_SUB_HISTORY, &late));
		for (i = 0; i < BURST; i++, next++) {
			ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, sender.id,
							next))
				TH_LOG("message %d, round %d", next, round);
			ASSERT_EQ(next, ipc_recv_num(&self->ring, steady.id));
		}
		/* Some late receivers read all messages, others read none. */
		if (round % 3 == 2) {
			long long num = ipc_recv_num(&self->other, late.id);

			/* The messages of the burst, and some from before. */
			ASSERT_LE(0, num);
			ASSERT_GT(next - BURST, num);
			while (++num < next) {
				ASSERT_EQ(num, ipc_recv_num(&self->other,
							    late.id));
			}
			EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->other,
							late.id));
		}
		leave(&self->other, &late);
	}
}

/* A sender that sends all the time, and a receiver that reads all messages. */
struct stream {
	_Atomic bool	ready;
	_Atomic bool	stop;
	_Atomic long	sent;
};

struct message {
	__u64	num;
	__u32	len;
	char	fill[SIZE - 12];
};

struct message_got {
	struct io_uring_ipc_msg_info info;
	struct message message;
};

#define MESSAGE_HEAD	((int)offsetof(struct message, fill))

static void stream_send(struct __test_metadata *_metadata,
			struct stream *stream, __u32 channel)
{
	struct message message = {};
	__u32 random = 0x5eed0815;
	struct io_uring ring;
	struct ipc_sub sub;
	int ret, len;

	ASSERT_EQ(0, ipc_open(&ring));
	ASSERT_EQ(0, ipc_attach(&ring, channel, IOIPC_SUB_SEND, &sub));
	while (!stream->stop) {
		message.len = ipc_random(&random) % sizeof(message.fill);
		ipc_fill(message.fill, message.len, message.num);
		len = MESSAGE_HEAD + message.len;
		ret = ipc_send(&ring, sub.id, &message, len);
		if (ret == -ENOBUFS) {
			sched_yield();
			continue;
		}
		ASSERT_EQ(len, ret);
		message.num++;
		stream->sent++;
	}
	_exit(0);
}

/* Receives a message of the stream, returns its number or a negative errno. */
static long long stream_next(struct __test_metadata *_metadata,
			     struct io_uring *ring, __u32 id, __u32 flags,
			     __u64 *lost)
{
	struct message_got got;
	int ret;

	ret = msg_recv(ring, id, &got, sizeof(got), IOIPC_RECV_INFO | flags);
	if (ret < 0)
		return ret;
	EXPECT_EQ(MSG_INFO + got.info.len, ret);
	EXPECT_EQ(MESSAGE_HEAD + got.message.len, got.info.len);
	EXPECT_EQ(got.message.num + 1, got.info.msg_id);
	EXPECT_TRUE(ipc_filled(got.message.fill, got.message.len,
			       got.message.num))
		TH_LOG("message %llu is torn", got.message.num);
	*lost = got.info.lost;
	return got.message.num;
}

static void stream_receive(struct __test_metadata *_metadata,
			   struct stream *stream, __u32 channel, bool overwrite)
{
	long long num, next = 0;
	struct io_uring ring;
	struct ipc_sub sub;
	__u64 lost;

	ASSERT_EQ(0, ipc_open(&ring));
	ASSERT_EQ(0, ipc_attach(&ring, channel, IOIPC_SUB_RECV, &sub));
	stream->ready = true;
	do {
		num = stream_next(_metadata, &ring, sub.id, 0, &lost);
		if (num == -EAGAIN) {
			sched_yield();
			continue;
		}
		ASSERT_LE(0, num);
		if (!overwrite) {
			ASSERT_EQ(0, lost);
		}
		ASSERT_EQ(next + lost, num);
		next = num + 1;
	} while (num != -EAGAIN || !stream->stop);
	_exit(0);
}

/* Starts the sender and the receiver; returns whether messages are sent. */
static bool stream_start(struct __test_metadata *_metadata,
			 struct stream *stream, __u32 channel, bool overwrite,
			 pid_t *pid)
{
	pid[0] = ipc_fork();
	if (!pid[0])
		stream_receive(_metadata, stream, channel, overwrite);
	if (pid[0] < 0 || !wait_until(stream->ready))
		return false;
	pid[1] = ipc_fork();
	if (!pid[1])
		stream_send(_metadata, stream, channel);
	return pid[1] > 0 && wait_until(stream->sent > 2 * ENTRIES);
}

TEST_F_TIMEOUT(history, joining_a_stream, IPC_TIMEOUT)
{
	long rounds = ipc_env("ROUNDS", 60), round, i;
	struct stream *stream = ipc_shared(sizeof(*stream));
	long long first, num, next, before = 0;
	struct ipc_sub late;
	pid_t pid[2];
	__u64 lost;

	ASSERT_NE(NULL, stream);
	ASSERT_TRUE(stream_start(_metadata, stream, self->channel,
				 self->overwrite, pid));
	for (round = 0; round < rounds; round++) {
		long sent = stream->sent;

		JOIN(&self->other, &late);
		/* There is always a message, unless all are being lost. */
		first = stream_next(_metadata, &self->other, late.id,
				    self->overwrite ? IOIPC_RECV_WAIT : 0,
				    &lost);
		ASSERT_LE(0, first)
			TH_LOG("round %ld", round);
		/*
		 * The first message is older than the receiver, but not too
		 * old.
		 */
		if (!self->overwrite) {
			EXPECT_EQ(0, lost);
			EXPECT_GE(stream->sent, first);
		}
		EXPECT_LE(sent - ENTRIES, first);
		EXPECT_LE(before, first);
		before = first;
		for (next = first + 1, i = 0; i < 2 * ENTRIES; i++) {
			num = stream_next(_metadata, &self->other, late.id,
					  IOIPC_RECV_WAIT, &lost);
			if (!self->overwrite) {
				ASSERT_EQ(0, lost);
			}
			ASSERT_EQ(next + lost, num)
				TH_LOG("round %ld, %lld after %lld", round, num,
				       next - 1);
			next = num + 1;
		}
		leave(&self->other, &late);
	}
	stream->stop = true;
	EXPECT_EQ(0, wait_child(pid[1]));
	EXPECT_EQ(0, wait_child(pid[0]));
}

/* A receiver that comes and goes gets messages, and others lose none by it. */
TEST_F_TIMEOUT(history, coming_and_going, IPC_TIMEOUT)
{
	long rounds = ipc_env("ROUNDS", 600), round;
	struct stream *stream = ipc_shared(sizeof(*stream));
	struct ipc_sub guest;
	long long num;
	pid_t pid[2];
	__u64 lost;

	ASSERT_NE(NULL, stream);
	ASSERT_TRUE(stream_start(_metadata, stream, self->channel,
				 self->overwrite, pid));
	for (round = 0; round < rounds; round++) {
		if (round % 2) {
			JOIN(&self->other, &guest);
		} else {
			ATTACH(&self->other, &guest);
		}
		/* Some receive a message, or wait for one. */
		if (round % 3) {
			num = stream_next(_metadata, &self->other, guest.id,
					  round % 3 == 2 ? IOIPC_RECV_WAIT : 0,
					  &lost);
			if (num != -EAGAIN || round % 3 == 2) {
				ASSERT_LE(0, num)
					TH_LOG("round %ld", round);
			}
			if (!self->overwrite && num >= 0) {
				ASSERT_EQ(0, lost);
			}
		}
		leave(&self->other, &guest);
		ASSERT_EQ(0, waitpid(pid[0], NULL, WNOHANG))
			TH_LOG("round %ld: the receiver has given up", round);
	}
	stream->stop = true;
	EXPECT_EQ(0, wait_child(pid[1]));
	EXPECT_EQ(0, wait_child(pid[0]));
}

IPC_HARNESS_MAIN
