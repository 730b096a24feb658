// SPDX-License-Identifier: GPL-2.0
/*
 * Broadcasts in which senders do not wait for slow receivers: because of
 * IOIPC_F_OVERWRITE, or because all receivers are IOIPC_SUB_LOSSY.  The kernel
 * tells each slow receiver how many messages it has lost.
 *
 * MESSAGES=N is how many messages each process sends if several send.  ROUNDS=N
 * is how often a receiver comes and goes.
 */
#include <poll.h>

#include "messages.h"
#include "waiting.h"

#define SIZE	64

FIXTURE(overwrite) {
	/* Sends. */
	struct io_uring ring;
	/* Receives. */
	struct io_uring other;
	__u32 channel;
	struct ipc_sub sender;
};

FIXTURE_VARIANT(overwrite) {
	int entries;
	bool lossy;
};

FIXTURE_VARIANT_ADD(overwrite, of_1) {
	.entries = 1,
};

FIXTURE_VARIANT_ADD(overwrite, of_2) {
	.entries = 2,
};

FIXTURE_VARIANT_ADD(overwrite, of_16) {
	.entries = 16,
};

FIXTURE_VARIANT_ADD(overwrite, of_64) {
	.entries = 64,
};

FIXTURE_VARIANT_ADD(overwrite, lossy_of_1) {
	.entries = 1,
	.lossy = true,
};

FIXTURE_VARIANT_ADD(overwrite, lossy_of_16) {
	.entries = 16,
	.lossy = true,
};

FIXTURE_SETUP(overwrite)
{
	ASSERT_EQ(0, io_uring_queue_init(64, &self->ring, 0));
	ASSERT_EQ(0, io_uring_queue_init(64, &self->other, 0));
	ASSERT_EQ(0, ipc_create(&self->ring, IOIPC_F_BROADCAST |
				(variant->lossy ? 0 : IOIPC_F_OVERWRITE),
				variant->entries, SIZE, &self->channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_SEND,
				&self->sender));
}

FIXTURE_TEARDOWN(overwrite)
{
	io_uring_queue_exit(&self->other);
	io_uring_queue_exit(&self->ring);
}

#define RECEIVER \
	(IOIPC_SUB_RECV | (variant->lossy ? IOIPC_SUB_LOSSY : 0))

#define ATTACH(ring, sub) \
	ASSERT_EQ(0, ipc_attach(ring, self->channel, RECEIVER, sub))

#define SEND(from, to) \
	ASSERT_EQ((to) - (from), ipc_send_nums(&self->ring, self->sender.id, \
					       from, to))

/* How many messages a subscriber has lost, -1 if fdinfo does not say. */
static long long total_lost(const struct ipc_sub *sub)
{
	char path[64], line[200];
	long long value = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", sub->fd);
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
		sscanf(line, "ioipc-lost: %lld", &value);
	if (file)
		fclose(file);
	return value;
}

TEST_F_TIMEOUT(overwrite, only_in_a_broadcast, IPC_TIMEOUT)
{
	__u32 channel;

	EXPECT_EQ(-EINVAL, ipc_create(&self->ring, IOIPC_F_OVERWRITE,
				      variant->entries, SIZE, &channel));
	EXPECT_EQ(-EINVAL, ipc_create(&self->ring, IOIPC_F_OVERWRITE |
				      IOIPC_F_MULTICAST, variant->entries,
				      SIZE, &channel));
	EXPECT_EQ(-EINVAL, ipc_create(&self->ring, IOIPC_F_OVERWRITE |
				      IOIPC_F_PRIVATE, variant->entries, SIZE,
				      &channel));
	EXPECT_EQ(0, ipc_create(&self->ring, IOIPC_F_OVERWRITE |
				IOIPC_F_BROADCAST | IOIPC_F_PRIVATE,
				variant->entries, SIZE, &channel));
}

/* A receiver loses the oldest messages, and no more than necessary. */
TEST_F_TIMEOUT(overwrite, a_slow_receiver, IPC_TIMEOUT)
{
	int entries = variant->entries, more, next = 0, i;
	struct msg_num got;
	struct ipc_sub slow;
	long long all = 0;

	ATTACH(&self->other, &slow);
	EXPECT_EQ(0, total_lost(&slow));
	for (more = 0; more < 3 * entries; more++) {
		SEND(next, next + entries + more);
		all += more;
		next += more;
		for (i = 0; i < entries; i++, next++) {
			ASSERT_EQ(next, msg_recv_num(&self->other, slow.id,
						     &got))
				TH_LOG("%d more than there are slots", more);
			/* The kernel tells the number once. */
			EXPECT_EQ(i ? 0 : more, got.info.lost);
			EXPECT_EQ(next + 1, got.info.msg_id);
		}
		ASSERT_EQ(-EAGAIN, msg_recv_num(&self->other, slow.id, &got));
		EXPECT_EQ(all, total_lost(&slow));
	}
}

/* A receiver that takes one message at a time, far behind. */
TEST_F_TIMEOUT(overwrite, always_behind, IPC_TIMEOUT)
{
	int entries = variant->entries, next, round;
	struct msg_num got;
	struct ipc_sub slow;

	ATTACH(&self->other, &slow);
	SEND(0, entries);
	next = 0;
	for (round = 0; round < 5 * entries; round++) {
		/*
		 * Two of these three messages need slots that were not read
		 * yet.
		 */
		SEND(entries + 3 * round, entries + 3 * round + 3);
		ASSERT_EQ(3 * round + 3, msg_recv_num(&self->other, slow.id,
						      &got));
		EXPECT_EQ(3 * round + 3 - next, got.info.lost);
		next = 3 * round + 4;
	}
	EXPECT_EQ(next - round, total_lost(&slow));
}

TEST_F_TIMEOUT(overwrite, a_fast_receiver_loses_nothing, IPC_TIMEOUT)
{
	int entries = variant->entries, i, num = 0, round;
	struct ipc_sub fast, slow;
	struct msg_num got;

	ATTACH(&self->other, &fast);
	ATTACH(&self->other, &slow);
	for (round = 0; round < 10; round++) {
		/* The receiver is only as fast as it has to be. */
		for (i = 0; i < entries; i++) {
			ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring,
							self->sender.id,
							num + i));
		}
		for (i = 0; i < entries; i++, num++) {
			ASSERT_EQ(num, msg_recv_num(&self->other, fast.id,
						    &got));
			ASSERT_EQ(0, got.info.lost);
		}
		ASSERT_EQ(-EAGAIN, msg_recv_num(&self->other, fast.id, &got));
	}
	EXPECT_EQ(0, total_lost(&fast));
	/* Another receiver has lost nearly all messages. */
	ASSERT_EQ(9 * entries, msg_recv_num(&self->other, slow.id, &got));
	EXPECT_EQ(9 * entries, got.info.lost);
}

/* After a receive that fails, the next receive tells the lost messages. */
TEST_F_TIMEOUT(overwrite, told_with_the_next_message, IPC_TIMEOUT)
{
	char *end = ipc_pages(1) + sysconf(_SC_PAGESIZE);
	int entries = variant->entries;
	struct ipc_sub slow;
	struct msg_num got;

	ATTACH(&self->other, &slow);
	SEND(0, entries + 5);
	EXPECT_EQ(-EFAULT, msg_recv(&self->other, slow.id, NULL, sizeof(got),
				    IOIPC_RECV_INFO));
	/*
	 * Also if the info was written, and there was no room for the message.
	 */
	EXPECT_EQ(-EFAULT, msg_recv(&self->other, slow.id, end - MSG_INFO - 4,
				    sizeof(got), IOIPC_RECV_INFO));
	EXPECT_EQ(-EFAULT, msg_recv(&self->other, slow.id, end - MSG_INFO - 4,
				    sizeof(got), IOIPC_RECV_BUNDLE));
	EXPECT_EQ(-EINVAL, msg_recv(&self->other, slow.id, &got, 8,
				    IOIPC_RECV_INFO));
	EXPECT_EQ(-EFAULT, ipc_recv(&self->other, slow.id, NULL, 8));
	ASSERT_EQ(5, msg_recv_num(&self->other, slow.id, &got));
	EXPECT_EQ(5, got.info.lost);
	/* Lost since the last received message, also if that had no info. */
	SEND(entries + 5, 2 * entries + 10);
	ASSERT_EQ(entries + 10, ipc_recv_num(&self->other, slow.id));
	SEND(2 * entries + 10, 2 * entries + 12);
	/* One slot was free for these messages. */
	ASSERT_EQ(entries + 12, msg_recv_num(&self->other, slow.id, &got));
	EXPECT_EQ(1, got.info.lost);
}

TEST_F_TIMEOUT(overwrite, nobody_waits, IPC_TIMEOUT)
{
	struct io_uring_sqe *sqe;
	struct ipc_sub slow;
	__u64 num = 0;
	int i;

	ATTACH(&self->other, &slow);
	for (i = 0; i < 5 * variant->entries; i++) {
		/* The send is done when the submission returns. */
		wait_get_send(&self->ring, i % 2 ? self->channel :
			      self->sender.id, &num, 7);
		ASSERT_EQ(1, io_uring_submit(&self->ring));
		ASSERT_EQ(1, io_uring_cq_ready(&self->ring));
		ASSERT_EQ(IPC_NUM, wait_for(&self->ring, 7));
	}
	/* poll() reports that there is room. */
	sqe = wait_get_sqe(&self->ring);
	io_uring_prep_poll_add(sqe, self->sender.fd, POLLOUT);
	io_uring_sqe_set_data64(sqe, 8);
	EXPECT_EQ(POLLOUT, wait_for(&self->ring, 8));
}

TEST_F_TIMEOUT(overwrite, without_receivers, IPC_TIMEOUT)
{
	int entries = variant->entries;
	struct msg_num got;
	struct ipc_sub sub;

	SEND(0, 5 * entries);
	ATTACH(&self->other, &sub);
	EXPECT_EQ(-EAGAIN, msg_recv_num(&self->other, sub.id, &got));
	SEND(5 * entries, 5 * entries + 1);
	ASSERT_EQ(5 * entries, msg_recv_num(&self->other, sub.id, &got));
	/* It was not attached when the others were lost. */
	EXPECT_EQ(0, got.info.lost);
}

/* Different speeds: the kernel counts for each receiver separately. */
TEST_F_TIMEOUT(overwrite, different_speeds, IPC_TIMEOUT)
{
	enum { COUNT = 7 };
	static const int speeds[COUNT] = { 1, 2, 3, 5, 17, 50, 1000 };
	long received[COUNT] = {}, lost[COUNT] = {};
	int entries = variant->entries, i, num, sent, unread;
	struct ipc_sub sub[COUNT];
	long long last[COUNT];
	struct msg_num got;

	for (i = 0; i < COUNT; i++) {
		ATTACH(i % 2 ? &self->ring : &self->other, &sub[i]);
		last[i] = -1;
	}
	sent = 20 * entries + 13;
	for (num = 0; num < sent; num++) {
		SEND(num, num + 1);
		for (i = 0; i < COUNT; i++) {
			/*
			 * Receives after every so many messages, until it has
			 * all.
			 */
			while (num % speeds[i] == 0 || num == sent - 1) {
				long long one;

				one = msg_recv_num(i % 2 ? &self->ring :
						   &self->other, sub[i].id,
						   &got);
				if (one == -EAGAIN)
					break;
				ASSERT_EQ(last[i] + 1 + got.info.lost, one)
					TH_LOG("receiver %d", i);
				last[i] = one;
				received[i]++;
				lost[i] += got.info.lost;
			}
			if (num % 16)
				continue;
			/*
			 * It has also lost messages of which no info has told
			 * it yet.
			 */
			unread = num - last[i];
			if (unread > entries)
				unread = entries;
			ASSERT_EQ(num + 1, received[i] + unread +
				  total_lost(&sub[i]))
				TH_LOG("receiver %d", i);
		}
	}
	for (i = 0; i < COUNT; i++) {
		EXPECT_EQ(sent - 1, last[i]);
		EXPECT_EQ(sent, received[i] + lost[i]);
		EXPECT_EQ(lost[i], total_lost(&sub[i]));
		if (speeds[i] <= entries) {
			EXPECT_EQ(0, lost[i]);
		}
	}
}

/* Messages for one receiver are lost only for this receiver. */
TEST_F_TIMEOUT(overwrite, targeted, IPC_TIMEOUT)
{
	int entries = variant->entries, i;
	struct ipc_sub target, other;
	struct msg_num got;

	ATTACH(&self->other, &target);
	ATTACH(&self->other, &other);
	for (i = 0; i < entries + 20; i++) {
		ASSERT_EQ(IPC_NUM, ipc_send_num_to(&self->ring, self->sender.id,
						   i, target.id));
	}
	EXPECT_EQ(-EAGAIN, msg_recv_num(&self->other, other.id, &got));
	EXPECT_EQ(0, total_lost(&other));
	ASSERT_EQ(20, msg_recv_num(&self->other, target.id, &got));
	EXPECT_EQ(20, got.info.lost);
	EXPECT_EQ(20, total_lost(&target));
	EXPECT_EQ(IOIPC_INFO_TARGETED, got.info.flags);
	for (i = 21; i < entries + 20; i++) {
		ASSERT_EQ(i, msg_recv_num(&self->other, target.id, &got));
		EXPECT_EQ(0, got.info.lost);
	}
	/* In between, messages for all. */
	for (i = 0; i < 2 * entries; i++) {
		ASSERT_EQ(IPC_NUM, ipc_send_num_to(&self->ring, self->sender.id,
						   i, i % 2 ? 0 : target.id));
	}
	if (entries > 1) {
		ASSERT_EQ(entries + 1, msg_recv_num(&self->other, other.id,
						    &got));
		EXPECT_EQ(entries / 2, got.info.lost);
		ASSERT_EQ(entries, msg_recv_num(&self->other, target.id, &got));
		EXPECT_EQ(entries, got.info.lost);
	}
}

/* The info of the first message of a bundle has the lost messages. */
TEST_F_TIMEOUT(overwrite, bundle, IPC_TIMEOUT)
{
	int entries = variant->entries, i, round, next = 0;
	struct msg_walk walk = {};
	struct msg_num *buf;
	struct ipc_sub slow;

	buf = calloc(entries + 1, sizeof(*buf));
	ASSERT_NE(NULL, buf);
	ATTACH(&self->other, &slow);
	for (round = 0; round < 20; round++) {
		SEND(next, next + entries + round);
		next += round;
		walk.buf = (char *)buf;
		walk.at = 0;
		walk.res = msg_recv(&self->other, slow.id, buf,
				    (entries + 1) * sizeof(*buf),
				    IOIPC_RECV_BUNDLE);
		ASSERT_EQ(entries * sizeof(*buf), walk.res);
		for (i = 0; i < entries; i++, next++) {
			ASSERT_EQ(next, msg_next_num(&walk));
			EXPECT_EQ(i ? 0 : round, walk.info.lost);
		}
	}
	free(buf);
}

TEST_F_TIMEOUT(overwrite, vec, IPC_TIMEOUT)
{
	enum { COUNT = 100 };
	struct iovec vec[COUNT];
	struct ipc_sub slow;
	struct msg_num got;
	__u64 nums[COUNT];
	int i;

	ATTACH(&self->other, &slow);
	for (i = 0; i < COUNT; i++) {
		nums[i] = i;
		vec[i] = (struct iovec) { &nums[i], IPC_NUM };
	}
	ASSERT_EQ(COUNT, msg_send_vec(&self->ring, self->sender.id, vec, COUNT,
				      0));
	for (i = COUNT - variant->entries; i < COUNT; i++) {
		ASSERT_EQ(i, msg_recv_num(&self->other, slow.id, &got));
	}
	EXPECT_EQ(COUNT - variant->entries, total_lost(&slow));
}

/* A reader that sees the head of the ring knows which messages are gone. */
TEST_F_TIMEOUT(overwrite, head, IPC_TIMEOUT)
{
	const struct io_uring_ipc_ring *map;
	int entries = variant->entries, i;
	struct ipc_sub slow;
	__u32 head, tail;

	ATTACH(&self->other, &slow);
	map = ipc_region(&slow);
	ASSERT_NE(NULL, map);
	for (i = 0; i < 3 * entries; i++) {
		SEND(i, i + 1);
		head = __atomic_load_n(&map->consumer.head, __ATOMIC_ACQUIRE);
		tail = ipc_tail(map);
		EXPECT_EQ(i + 1, tail);
		EXPECT_GE(entries, tail - head);
		EXPECT_LE(head, tail);
		/* The last messages are published. */
		EXPECT_EQ(tail, ipc_seq(map, i));
		EXPECT_EQ(IOIPC_MSG_READY, ipc_desc(map, i)->state);
	}
	EXPECT_EQ(2 * entries, ipc_recv_num(&self->other, slow.id));
}

TEST_F_TIMEOUT(overwrite, waiting_receivers, IPC_TIMEOUT)
{
	struct ipc_sub sub[3];
	__u64 got[3];
	int i, num;

	for (i = 0; i < 3; i++) {
		ATTACH(&self->other, &sub[i]);
	}
	for (num = 0; num < 5 * variant->entries; num++) {
		for (i = 0; i < 3; i++) {
			wait_get_recv(&self->other, sub[i].id, &got[i],
				      100 + i);
		}
		ASSERT_EQ(3, io_uring_submit(&self->other));
		SEND(num, num + 1);
		for (i = 0; i < 3; i++) {
			ASSERT_EQ(IPC_NUM, wait_for(&self->other, 100 + i));
			EXPECT_EQ(num, got[i]);
		}
	}
}

TEST_F_TIMEOUT(overwrite, destroyed, IPC_TIMEOUT)
{
	int entries = variant->entries, i;
	struct ipc_sub slow;
	struct msg_num got;

	ATTACH(&self->other, &slow);
	SEND(0, entries + 3);
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->ring, self->channel));
	EXPECT_EQ(-EPIPE, ipc_send_num(&self->ring, self->sender.id, 1));
	for (i = 0; i < entries; i++) {
		ASSERT_EQ(i + 3, msg_recv_num(&self->other, slow.id, &got));
		EXPECT_EQ(i ? 0 : 3, got.info.lost);
	}
	EXPECT_EQ(-EPIPE, msg_recv_num(&self->other, slow.id, &got));
}

TEST_F_TIMEOUT(overwrite, detach_of_a_slow_receiver, IPC_TIMEOUT)
{
	int entries = variant->entries, round, next = 0;
	struct ipc_sub slow, steady;
	struct msg_num got;

	ATTACH(&self->other, &steady);
	for (round = 0; round < 10; round++) {
		ATTACH(&self->other, &slow);
		SEND(next, next + 2 * entries);
		if (round % 2) {
			ASSERT_EQ(next + entries, msg_recv_num(&self->other,
							       slow.id, &got));
			EXPECT_EQ(entries, got.info.lost);
		}
		ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->other,
							 slow.id));
		ASSERT_EQ(0, close(slow.fd));
		next += 2 * entries;
	}
	ASSERT_EQ(next - entries, msg_recv_num(&self->other, steady.id, &got));
	EXPECT_EQ(next - entries, got.info.lost);
}

/*
 * Senders and receivers at full speed.  In the end each receiver has received
 * or lost each message for it.
 */
#define SENDERS		2
#define RECEIVERS	3

struct oracle {
	/* IOIPC_SUB_*, for receivers. */
	__u32		receiver;
	_Atomic int	ready;
	_Atomic int	senders_left;
	/* Of each receiver: the id, and how many messages were sent to it. */
	_Atomic __u32	id[RECEIVERS];
	_Atomic long	sent_to[RECEIVERS];
	_Atomic long	received[RECEIVERS];
	_Atomic long	lost[RECEIVERS];
};

struct message {
	__u32	sender;
	__u32	num;
	/* The target: all receivers, or one. */
	int	to;
	__u32	len;
	char	fill[SIZE - 16];
};

struct message_got {
	struct io_uring_ipc_msg_info info;
	struct message message;
};

static __u32 message_seed(const struct message *message)
{
	return message->num * 4 + message->sender;
}

static void stress_send(struct __test_metadata *_metadata,
			struct oracle *oracle, __u32 channel, __u32 me,
			long count)
{
	__u32 random = 0x5eed4711 + me, target;
	struct message message = { .sender = me };
	struct io_uring ring;
	struct ipc_sub sub;
	int ret, i;

	ASSERT_EQ(0, ipc_open(&ring));
	ASSERT_EQ(0, ipc_attach(&ring, channel, IOIPC_SUB_SEND, &sub));
	ASSERT_TRUE(wait_until(oracle->ready == RECEIVERS));
	for (message.num = 0; message.num < count; message.num++) {
		message.len = ipc_random(&random) % sizeof(message.fill);
		ipc_fill(message.fill, message.len, message_seed(&message));
		message.to = (int)(ipc_random(&random) % (4 * RECEIVERS)) -
			     3 * RECEIVERS;
		target = message.to < 0 ? 0 : oracle->id[message.to];
		/* A receiver may be copying the oldest message. */
		while ((ret = ipc_send_to(&ring, sub.id, &message,
					  offsetof(struct message, fill) +
					  message.len, target)) == -ENOBUFS)
			sched_yield();
		ASSERT_EQ(offsetof(struct message, fill) + message.len, ret);
		for (i = 0; i < RECEIVERS; i++)
			if (message.to < 0 || message.to == i)
				oracle->sent_to[i]++;
	}
	oracle->senders_left--;
	_exit(0);
}

/* Checks a received message. */
static void stress_look(struct __test_metadata *_metadata,
			struct oracle *oracle, int me, long long *next,
			const struct message_got *got, int stored)
{
	ASSERT_LE(offsetof(struct message, fill), stored);
	ASSERT_EQ(stored, got->info.len);
	ASSERT_GT(SENDERS, got->message.sender);
	ASSERT_TRUE(got->message.to < 0 || got->message.to == me);
	ASSERT_EQ(got->message.to < 0 ? 0 : IOIPC_INFO_TARGETED,
		  got->info.flags);
	ASSERT_EQ(offsetof(struct message, fill) + got->message.len, stored);
	ASSERT_TRUE(ipc_filled(got->message.fill, got->message.len,
			       message_seed(&got->message)));
	ASSERT_LE(next[got->message.sender], got->message.num);
	next[got->message.sender] = got->message.num + 1;
	oracle->received[me]++;
	oracle->lost[me] += got->info.lost;
}

static void stress_receive(struct __test_metadata *_metadata,
			   struct oracle *oracle, __u32 channel, int me)
{
	char buf[4 * sizeof(struct message_got)] __aligned(8);
	long long next[SENDERS] = {};
	struct message_got got;
	struct msg_walk walk;
	struct io_uring ring;
	struct ipc_sub sub;
	bool over;
	int ret;

	ASSERT_EQ(0, ipc_open(&ring));
	ASSERT_EQ(0, ipc_attach(&ring, channel, oracle->receiver, &sub));
	oracle->id[me] = sub.id;
	oracle->ready++;
	do {
		/*
		 * If this finds no sender, no messages come after this receive.
		 */
		over = !oracle->senders_left;
		ret = msg_recv(&ring, sub.id, buf, me ? sizeof(got) :
			       sizeof(buf), me ? IOIPC_RECV_INFO :
			       IOIPC_RECV_BUNDLE);
		if (ret == -EAGAIN) {
			sched_yield();
			continue;
		}
		ASSERT_LE(MSG_INFO, ret);
		walk = (struct msg_walk) { .buf = buf, .res = ret };
		while (msg_next(&walk)) {
			memcpy(&got.info, &walk.info, MSG_INFO);
			memcpy(&got.message, walk.data, walk.stored);
			stress_look(_metadata, oracle, me, next, &got,
				    walk.stored);
		}
		ASSERT_FALSE(walk.broken);
		/* The last receiver is slow. */
		if (me == RECEIVERS - 1 && !over)
			ipc_nap(3000);
	} while (!over || ret != -EAGAIN);
	EXPECT_EQ(oracle->lost[me], total_lost(&sub));
	fflush(NULL);
	_exit(0);
}

TEST_F_TIMEOUT(overwrite, all_is_accounted_for, IPC_TIMEOUT)
{
	long count = ipc_env("MESSAGES", 1500);
	pid_t pid[SENDERS + RECEIVERS];
	struct oracle *oracle;
	int i;

	oracle = ipc_shared(sizeof(*oracle));
	ASSERT_NE(NULL, oracle);
	oracle->senders_left = SENDERS;
	oracle->receiver = RECEIVER;
	for (i = 0; i < SENDERS + RECEIVERS; i++) {
		pid[i] = ipc_fork();
		ASSERT_LE(0, pid[i]);
		if (pid[i])
			continue;
		if (i < SENDERS)
			stress_send(_metadata, oracle, self->channel, i, count);
		else
			stress_receive(_metadata, oracle, self->channel,
				       i - SENDERS);
	}
	for (i = 0; i < SENDERS + RECEIVERS; i++) {
		EXPECT_EQ(0, wait_child(pid[i]));
	}
	for (i = 0; i < RECEIVERS; i++) {
		EXPECT_EQ(oracle->sent_to[i], oracle->received[i] +
			  oracle->lost[i])
			TH_LOG("receiver %d: %ld received, %ld lost", i,
			       oracle->received[i], oracle->lost[i]);
		EXPECT_LE(1, oracle->received[i]);
	}
	/* Otherwise nothing was tested. */
	EXPECT_LT(0, oracle->lost[RECEIVERS - 1]);
}

/* Receivers come and go while senders overwrite. */
TEST_F_TIMEOUT(overwrite, coming_and_going, IPC_TIMEOUT)
{
	long rounds = ipc_env("ROUNDS", 40), i, j;
	_Atomic bool *stop = ipc_shared(sizeof(*stop));
	long long num, last, last_guest;
	struct ipc_sub steady, guest;
	struct msg_num got;
	pid_t pid;

	ASSERT_NE(NULL, stop);
	ATTACH(&self->other, &steady);
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct io_uring ring;
		__u64 next = 0;
		int ret;

		ASSERT_EQ(0, ipc_open(&ring));
		while (!*stop) {
			ret = ipc_send_num(&ring, self->channel, next);
			if (ret == -ENOBUFS) {
				sched_yield();
				continue;
			}
			ASSERT_EQ(IPC_NUM, ret);
			next++;
		}
		_exit(0);
	}
	last = -1;
	for (i = 0; i < rounds; i++) {
		ATTACH(&self->other, &guest);
		last_guest = -1;
		for (j = 0; j < i % 5; j++) {
			ASSERT_EQ(IPC_NUM + MSG_INFO,
				  msg_recv(&self->other, guest.id, &got,
					   sizeof(got), IOIPC_RECV_INFO |
					   IOIPC_RECV_WAIT));
			if (last_guest >= 0) {
				ASSERT_EQ(last_guest + 1 + got.info.lost,
					  got.num);
			}
			last_guest = got.num;
		}
		num = msg_recv_num(&self->other, steady.id, &got);
		if (num != -EAGAIN) {
			ASSERT_EQ(last + 1 + got.info.lost, num);
			last = num;
		}
		ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->other,
							 guest.id));
		ASSERT_EQ(0, close(guest.fd));
	}
	*stop = true;
	ASSERT_EQ(0, wait_child(pid));
	while ((num = msg_recv_num(&self->other, steady.id, &got)) >= 0) {
		ASSERT_EQ(last + 1 + got.info.lost, num);
		last = num;
	}
	EXPECT_EQ(-EAGAIN, num);
}

/* A channel with one receiver that senders wait for, and a lossy one. */
FIXTURE(lossy) {
	struct io_uring ring;
	struct io_uring other;
	__u32 channel;
	struct ipc_sub sender;
	struct ipc_sub strict;
	struct ipc_sub lossy;
};

#define LOSSY_ENTRIES	8

FIXTURE_SETUP(lossy)
{
	ASSERT_EQ(0, io_uring_queue_init(64, &self->ring, 0));
	ASSERT_EQ(0, io_uring_queue_init(64, &self->other, 0));
	ASSERT_EQ(0, ipc_create(&self->ring, IOIPC_F_BROADCAST, LOSSY_ENTRIES,
				SIZE, &self->channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_SEND,
				&self->sender));
	ASSERT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_RECV |
				IOIPC_SUB_LOSSY, &self->lossy));
	ASSERT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_RECV,
				&self->strict));
}

FIXTURE_TEARDOWN(lossy)
{
	io_uring_queue_exit(&self->other);
	io_uring_queue_exit(&self->ring);
}

TEST_F_TIMEOUT(lossy, where_it_can_be, IPC_TIMEOUT)
{
	struct ipc_sub sub;
	__u32 queue;

	EXPECT_EQ(-EINVAL, ipc_attach(&self->ring, self->channel,
				      IOIPC_SUB_LOSSY, &sub));
	EXPECT_EQ(-EINVAL, ipc_attach(&self->ring, self->channel,
				      IOIPC_SUB_LOSSY | IOIPC_SUB_SEND, &sub));
	EXPECT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_LOSSY |
				IOIPC_SUB_BOTH | IOIPC_SUB_HISTORY, &sub));
	ASSERT_EQ(0, ipc_create(&self->ring, 0, 8, SIZE, &queue));
	EXPECT_EQ(-EINVAL, ipc_attach(&self->ring, queue, IOIPC_SUB_LOSSY |
				      IOIPC_SUB_RECV, &sub));
	ASSERT_EQ(0, ipc_create(&self->ring, IOIPC_F_MULTICAST, 8, SIZE,
				&queue));
	EXPECT_EQ(-EINVAL, ipc_attach(&self->ring, queue, IOIPC_SUB_LOSSY |
				      IOIPC_SUB_RECV, &sub));
	ASSERT_EQ(0, ipc_create(&self->ring, IOIPC_F_BROADCAST |
				IOIPC_F_OVERWRITE, 8, SIZE, &queue));
	EXPECT_EQ(0, ipc_attach(&self->ring, queue, IOIPC_SUB_LOSSY |
				IOIPC_SUB_RECV, &sub));
}

/* Senders wait for the strict receiver, and never for the lossy one. */
TEST_F_TIMEOUT(lossy, beside_a_strict_one, IPC_TIMEOUT)
{
	int n = LOSSY_ENTRIES, i, k;
	struct msg_num got;

	SEND(0, n);
	for (i = 0; i < 4 * n; i++) {
		/* The strict receiver has not received the oldest message. */
		EXPECT_EQ(-ENOBUFS, ipc_send_num(&self->ring, self->sender.id,
						 0));
		/* The lossy receiver has lost nothing by that. */
		EXPECT_EQ(i, total_lost(&self->lossy));
		ASSERT_EQ(i, msg_recv_num(&self->other, self->strict.id, &got));
		EXPECT_EQ(0, got.info.lost);
		SEND(n + i, n + i + 1);
		EXPECT_EQ(i + 1, total_lost(&self->lossy));
	}
	ASSERT_EQ(4 * n, msg_recv_num(&self->other, self->lossy.id, &got));
	EXPECT_EQ(4 * n, got.info.lost);
	for (k = 1; k < n; k++) {
		ASSERT_EQ(4 * n + k, msg_recv_num(&self->other, self->lossy.id,
						  &got));
	}
	EXPECT_EQ(0, total_lost(&self->strict));
}

/* A vector overwrites only what it needs, and stops at the strict receiver. */
TEST_F_TIMEOUT(lossy, vec, IPC_TIMEOUT)
{
	int n = LOSSY_ENTRIES, i;
	struct iovec vec[LOSSY_ENTRIES];
	struct msg_num got;
	__u64 nums[LOSSY_ENTRIES];

	for (i = 0; i < n; i++) {
		nums[i] = n + i;
		vec[i] = (struct iovec) { &nums[i], IPC_NUM };
	}
	SEND(0, n);
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(i, msg_recv_num(&self->other, self->strict.id, &got));
	}
	EXPECT_EQ(3, msg_send_vec(&self->ring, self->sender.id, vec, n, 0));
	EXPECT_EQ(3, total_lost(&self->lossy));
	EXPECT_EQ(-ENOBUFS, msg_send_vec(&self->ring, self->sender.id, vec, n,
					 0));
	ASSERT_EQ(3, msg_recv_num(&self->other, self->lossy.id, &got));
	EXPECT_EQ(3, got.info.lost);
}

/* Senders do not wait for the strict receiver with messages for the other. */
TEST_F_TIMEOUT(lossy, targeted, IPC_TIMEOUT)
{
	int n = LOSSY_ENTRIES, i;
	struct msg_num got;

	for (i = 0; i < n - 1; i++) {
		ASSERT_EQ(IPC_NUM, ipc_send_num_to(&self->ring, self->sender.id,
						   i, self->lossy.id));
	}
	SEND(n - 1, 2 * n - 2);
	EXPECT_EQ(n - 2, total_lost(&self->lossy));
	/* Now the oldest message is for both. */
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sender.id,
					2 * n - 2));
	EXPECT_EQ(-ENOBUFS, ipc_send_num(&self->ring, self->sender.id, 0));
	ASSERT_EQ(n - 1, msg_recv_num(&self->other, self->strict.id, &got));
	ASSERT_EQ(n - 1, msg_recv_num(&self->other, self->lossy.id, &got));
	EXPECT_EQ(n - 1, got.info.lost);
}

/* Only the strict receiver wakes a sender that waits. */
TEST_F_TIMEOUT(lossy, waiting_sender, IPC_TIMEOUT)
{
	__u64 num = 100, data = wait_new_data();
	int n = LOSSY_ENTRIES;
	struct msg_num got;

	SEND(0, n);
	wait_get_send(&self->ring, self->sender.id, &num, data);
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	/* The lossy receiver does not make room for the sender. */
	ASSERT_EQ(0, msg_recv_num(&self->other, self->lossy.id, &got));
	EXPECT_TRUE(wait_nothing(&self->ring));
	ASSERT_EQ(0, msg_recv_num(&self->other, self->strict.id, &got));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, data));
}

/* Both hold the oldest slot.  The sender waits only for the strict receiver. */
TEST_F_TIMEOUT(lossy, behind_the_strict_one, IPC_TIMEOUT)
{
	__u64 num = 100, data = wait_new_data();
	int n = LOSSY_ENTRIES;
	struct msg_num got;

	SEND(0, n);
	wait_get_send(&self->ring, self->sender.id, &num, data);
	ASSERT_TRUE(wait_nothing(&self->ring));
	ASSERT_EQ(0, msg_recv_num(&self->other, self->strict.id, &got));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, data));
	ASSERT_EQ(1, msg_recv_num(&self->other, self->lossy.id, &got));
	EXPECT_EQ(1, got.info.lost);
}

/* No receiver is left that senders wait for, and poll() says so. */
TEST_F_TIMEOUT(lossy, strict_one_detaches, IPC_TIMEOUT)
{
	struct pollfd writable = { .fd = self->sender.fd, .events = POLLOUT };
	__u64 num = 100, data = wait_new_data();
	int n = LOSSY_ENTRIES;

	SEND(0, n);
	EXPECT_EQ(0, poll(&writable, 1, 0));
	wait_get_send(&self->ring, self->sender.id, &num, data);
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->other,
						 self->strict.id));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, data));
	EXPECT_EQ(1, poll(&writable, 1, 0));
	SEND(n + 1, 3 * n);
	EXPECT_EQ(2 * n, total_lost(&self->lossy));
}

IPC_HARNESS_MAIN
