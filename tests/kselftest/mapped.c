// SPDX-License-Identifier: GPL-2.0
/*
 * Receiving in place: a receiver of a broadcast reads from the mapping, and
 * stores its position in a page where it can write anything.
 */
#include <pthread.h>
#include "messages.h"

#define ENTRIES	8
#define SIZE	256

FIXTURE(mapped) {
	struct io_uring ring;
	struct io_uring other;
	__u32 channel;
	struct ipc_sub sender;
	struct io_uring_ipc_channel_attach attach;
	struct ipc_map map;
};

FIXTURE_VARIANT(mapped) {
	__u32 flags;
};

FIXTURE_VARIANT_ADD(mapped, plain) {
	.flags = IOIPC_F_BROADCAST,
};

FIXTURE_VARIANT_ADD(mapped, overwrite) {
	.flags = IOIPC_F_BROADCAST | IOIPC_F_OVERWRITE,
};

static int attach_receiver(struct io_uring *ring, __u32 channel,
			   struct io_uring_ipc_channel_attach *attach)
{
	*attach = (struct io_uring_ipc_channel_attach) {
		.channel_id = channel,
		.flags = IOIPC_SUB_RECV,
	};
	return io_uring_ipc_channel_attach(ring, attach);
}

FIXTURE_SETUP(mapped)
{
	ASSERT_EQ(0, ipc_open(&self->ring));
	ASSERT_EQ(0, ipc_open(&self->other));
	ASSERT_EQ(0, ipc_create(&self->ring, variant->flags, ENTRIES, SIZE,
				&self->channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_SEND,
				&self->sender));
	ASSERT_EQ(0, attach_receiver(&self->other, self->channel,
				     &self->attach));
	ASSERT_EQ(0, ipc_map(&self->map, &self->attach));
}

FIXTURE_TEARDOWN(mapped)
{
	ipc_unmap(&self->map);
	close(self->attach.channel_fd);
	io_uring_queue_exit(&self->other);
	io_uring_queue_exit(&self->ring);
}

/* Returns the next number, or -1. */
static long long peek_num(struct ipc_map *map)
{
	struct ipc_message message;
	__u64 num;

	if (!ipc_peek(map, &message))
		return -1;
	if (message.len != sizeof(num))
		return -2;
	memcpy(&num, message.data, sizeof(num));
	return num;
}

static int count_mapped(struct io_uring *ring, __u32 id, __u32 flags)
{
	struct io_uring_sqe *sqe = wait_get_sqe(ring);

	io_uring_prep_ipc_recv_mapped(sqe, id, flags);
	io_uring_sqe_set_data64(sqe, wait_new_data());
	return msg_run(ring, sqe);
}

static void store_position(struct ipc_map *map, __u32 position)
{
	__atomic_store_n(&map->cursor->position, position, __ATOMIC_RELEASE);
}

static int map_page(int fd, size_t len, int prot, int kind, off_t offset)
{
	void *map = mmap(NULL, len, prot, kind, fd, offset);

	if (map == MAP_FAILED)
		return -errno;
	munmap(map, len);
	return 0;
}

TEST_F_TIMEOUT(mapped, read_and_consume, IPC_TIMEOUT)
{
	struct ipc_message message;
	__u64 num;
	int round;

	EXPECT_EQ(-EAGAIN, count_mapped(&self->other, self->map.id, 0));
	EXPECT_EQ(-1, peek_num(&self->map));
	for (round = 0; round < 3; round++) {
		for (num = 0; num < ENTRIES; num++)
			ASSERT_EQ(IPC_NUM, ipc_send_data(&self->ring,
							 self->sender.id, &num,
							 IPC_NUM, 0, num + 7));
		EXPECT_EQ(ENTRIES, count_mapped(&self->other, self->map.id, 0));
		EXPECT_EQ(ENTRIES, count_mapped(&self->other, self->map.id,
						IOIPC_RECV_WAIT));
		for (num = 0; num < ENTRIES; num++) {
			ASSERT_TRUE(ipc_peek(&self->map, &message));
			EXPECT_EQ(IPC_NUM, message.len);
			EXPECT_EQ(0, memcmp(message.data, &num, IPC_NUM));
			EXPECT_EQ(round * ENTRIES + num + 1, message.msg_id);
			EXPECT_EQ(num + 7, message.sender_data);
			EXPECT_EQ(self->sender.id, message.sender);
			EXPECT_TRUE(ipc_intact(&self->map, &message));
		}
		EXPECT_EQ(-1, peek_num(&self->map));
		/* No message is consumed so far. */
		EXPECT_EQ(ENTRIES, count_mapped(&self->other, self->map.id, 0));
		EXPECT_FALSE(ipc_consume(&self->map));
		EXPECT_EQ(-EAGAIN, count_mapped(&self->other, self->map.id, 0));
	}
	EXPECT_EQ(0, self->map.lost);
}

/* A store alone makes room. */
TEST_F_TIMEOUT(mapped, a_store_makes_room, IPC_TIMEOUT)
{
	const bool overwrite = variant->flags & IOIPC_F_OVERWRITE;
	int num;

	for (num = 0; num < 10 * ENTRIES; num++) {
		if (num >= ENTRIES) {
			ASSERT_TRUE(overwrite ||
				    ipc_send_num(&self->ring, self->sender.id,
						 num) == -ENOBUFS);
			ASSERT_EQ(num - ENTRIES, peek_num(&self->map));
			ipc_consume(&self->map);
		}
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sender.id,
						num));
	}
	EXPECT_EQ(0, self->map.lost);
}

/* A position not between the last position and the tail changes nothing. */
TEST_F_TIMEOUT(mapped, positions_that_are_nothing, IPC_TIMEOUT)
{
	static const __u32 offsets[] = {
		0, -1, -2, ENTRIES + 1, ENTRIES + 2, 1000, -1000, 1U << 31,
		(1U << 31) - 1, (1U << 31) + 1, 1U << 30, 3U << 30,
	};
	const bool overwrite = variant->flags & IOIPC_F_OVERWRITE;
	__u32 start, seed = 4711;
	size_t i;

	ASSERT_EQ(3, ipc_send_nums(&self->ring, self->sender.id, 0,
				3));
	for (i = 0; i < 3; i++)
		ASSERT_EQ(i, peek_num(&self->map));
	ipc_consume(&self->map);
	start = self->map.next;
	ASSERT_EQ(ENTRIES, ipc_send_nums(&self->ring, self->sender.id, 3,
				3 + ENTRIES));
	for (i = 0; i < ARRAY_SIZE(offsets) + 1000; i++) {
		__u32 offset = i < ARRAY_SIZE(offsets) ? offsets[i] :
							 ipc_random(&seed);

		if (offset && offset <= ENTRIES)
			continue;
		store_position(&self->map, start + offset);
		ASSERT_TRUE(overwrite ||
			    ipc_send_num(&self->ring, self->sender.id, 99) ==
			    -ENOBUFS)
			TH_LOG("offset %u", offset);
		ASSERT_EQ(ENTRIES, count_mapped(&self->other, self->map.id, 0));
	}
	/* It does no harm either: the receiver continues at its position. */
	store_position(&self->map, start);
	for (i = 0; i < ENTRIES; i++)
		ASSERT_EQ(3 + i, peek_num(&self->map));
	ipc_consume(&self->map);
	EXPECT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sender.id, 99));
	EXPECT_EQ(99, peek_num(&self->map));
}

/* The receiver cannot take back a position that the kernel has accepted. */
TEST_F_TIMEOUT(mapped, not_backwards, IPC_TIMEOUT)
{
	const bool overwrite = variant->flags & IOIPC_F_OVERWRITE;
	__u32 start = self->map.next;

	ASSERT_EQ(ENTRIES, ipc_send_nums(&self->ring, self->sender.id, 0,
				ENTRIES));
	store_position(&self->map, start + 5);
	EXPECT_EQ(ENTRIES - 5, count_mapped(&self->other, self->map.id, 0));
	store_position(&self->map, start + 4);
	EXPECT_EQ(ENTRIES - 5, count_mapped(&self->other, self->map.id, 0));
	ASSERT_EQ(5, ipc_send_nums(&self->ring, self->sender.id, ENTRIES,
				ENTRIES + 5));
	EXPECT_TRUE(overwrite || ipc_send_num(&self->ring, self->sender.id,
					      99) == -ENOBUFS);
	EXPECT_EQ(ENTRIES, count_mapped(&self->other, self->map.id, 0));
}

struct scribbler {
	struct ipc_map *map;
	__u32 seed;
	bool stop;
};

static void *scribble(void *arg)
{
	struct scribbler *scribbler = arg;

	while (!__atomic_load_n(&scribbler->stop, __ATOMIC_RELAXED)) {
		__u32 number = ipc_random(&scribbler->seed);

		/* Positions near the right one, and any others. */
		if (number & 1)
			number = ipc_tail(scribbler->map->ring) +
				 number % (3 * ENTRIES) - 2 * ENTRIES;
		store_position(scribbler->map, number);
	}
	return NULL;
}

/* Two threads write garbage all the time: other processes do not notice. */
TEST_F_TIMEOUT(mapped, garbage_while_sending, IPC_TIMEOUT)
{
	struct scribbler scribblers[2];
	pthread_t threads[2];
	struct ipc_sub receiver;
	__u32 seed = 1;
	int i, num, sent = 0, received = 0;

	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_RECV,
				&receiver));
	for (i = 0; i < 2; i++) {
		scribblers[i].map = &self->map;
		scribblers[i].seed = i + 1;
		scribblers[i].stop = false;
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, scribble,
					    &scribblers[i]));
	}
	/*
	 * There is no time limit here: a sender that is stuck ends by the
	 * timeout.
	 */
	while (sent < 1000) {
		if (ipc_random(&seed) % 2) {
			num = ipc_send_num(&self->ring, self->sender.id, sent);
			if (num == -ENOBUFS)
				continue;
			ASSERT_EQ(IPC_NUM, num);
			sent++;
			if (variant->flags & IOIPC_F_OVERWRITE &&
			    received < sent - ENTRIES)
				received = sent - ENTRIES;
		} else if (received < sent) {
			ASSERT_EQ(received, ipc_recv_num(&self->ring,
							 receiver.id));
			received++;
		} else {
			ASSERT_EQ(-EAGAIN, ipc_recv_num(&self->ring,
							receiver.id));
		}
	}
	for (i = 0; i < 2; i++) {
		__atomic_store_n(&scribblers[i].stop, true, __ATOMIC_RELAXED);
		pthread_join(threads[i], NULL);
	}
}

TEST_F_TIMEOUT(mapped, waits_for_a_message, IPC_TIMEOUT)
{
	struct io_uring_sqe *sqe = wait_get_sqe(&self->other);

	io_uring_prep_ipc_recv_mapped(sqe, self->map.id, IOIPC_RECV_WAIT);
	io_uring_sqe_set_data64(sqe, 1);
	ASSERT_TRUE(wait_nothing(&self->other));
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sender.id, 5));
	EXPECT_EQ(1, wait_for(&self->other, 1));
	EXPECT_EQ(5, peek_num(&self->map));
	/* Messages that are read and not consumed are still there. */
	EXPECT_EQ(1, count_mapped(&self->other, self->map.id, IOIPC_RECV_WAIT));
	ipc_consume(&self->map);

	sqe = wait_get_sqe(&self->other);
	io_uring_prep_ipc_recv_mapped(sqe, self->map.id, IOIPC_RECV_WAIT);
	io_uring_sqe_set_data64(sqe, 2);
	ASSERT_TRUE(wait_nothing(&self->other));
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->ring, self->channel));
	EXPECT_EQ(-EPIPE, wait_for(&self->other, 2));
	EXPECT_EQ(-EPIPE, count_mapped(&self->other, self->map.id, 0));
}

TEST_F_TIMEOUT(mapped, detach_ends_waiting, IPC_TIMEOUT)
{
	struct io_uring_sqe *sqe = wait_get_sqe(&self->other);

	io_uring_prep_ipc_recv_mapped(sqe, self->map.id, IOIPC_RECV_WAIT);
	io_uring_sqe_set_data64(sqe, 1);
	ASSERT_TRUE(wait_nothing(&self->other));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->other, self->map.id));
	EXPECT_EQ(-ENOENT, wait_for(&self->other, 1));
	EXPECT_EQ(-ENOENT, count_mapped(&self->other, self->map.id, 0));
	/* It holds up no sender, and still has its page. */
	EXPECT_EQ(10 * ENTRIES, ipc_send_nums(&self->ring, self->sender.id, 0,
				10 * ENTRIES));
	store_position(&self->map, 12345);
	EXPECT_EQ(-EACCES, map_page(self->attach.channel_fd,
				    sysconf(_SC_PAGESIZE), PROT_READ,
				    MAP_SHARED, 1LL << 32));
}

/*
 * The receiver sees a sender that waits, which goes on when the kernel is told.
 */
TEST_F_TIMEOUT(mapped, sender_waits_for_a_store, IPC_TIMEOUT)
{
	__u64 num = 77;
	int i;

	if (variant->flags & IOIPC_F_OVERWRITE) {
		/* No sender waits. */
		for (i = 0; i < 2 * ENTRIES; i++) {
			wait_get_send(&self->ring, self->sender.id, &num, 1);
			ASSERT_EQ(IPC_NUM, wait_for(&self->ring, 1));
		}
		ASSERT_FALSE(ipc_consume(&self->map));
		return;
	}
	ASSERT_EQ(ENTRIES, ipc_send_nums(&self->ring, self->sender.id, 0,
				ENTRIES));
	wait_get_send(&self->ring, self->sender.id, &num, 1);
	ASSERT_TRUE(wait_nothing(&self->ring));
	EXPECT_EQ(0, peek_num(&self->map));
	EXPECT_TRUE(ipc_consume(&self->map));
	EXPECT_EQ(ENTRIES - 1, count_mapped(&self->other, self->map.id, 0));
	EXPECT_EQ(IPC_NUM, wait_for(&self->ring, 1));
	for (i = 1; i < ENTRIES; i++)
		EXPECT_EQ(i, peek_num(&self->map));
	EXPECT_EQ(77, peek_num(&self->map));
	/* A waker clears the flag once it has found no sender. */
	ipc_consume(&self->map);
	count_mapped(&self->other, self->map.id, 0);
	EXPECT_FALSE(ipc_consume(&self->map));
}

TEST_F_TIMEOUT(mapped, with_other_receives, IPC_TIMEOUT)
{
	ASSERT_EQ(6, ipc_send_nums(&self->ring, self->sender.id, 0,
				6));
	EXPECT_EQ(0, ipc_recv_num(&self->other, self->map.id));
	EXPECT_EQ(1, ipc_recv_num(&self->other, self->map.id));
	/* Storing a position before that does not bring them back. */
	EXPECT_EQ(0, peek_num(&self->map));
	ipc_consume(&self->map);
	EXPECT_EQ(2, ipc_recv_num(&self->other, self->map.id));
	/* The kernel accepts a position ahead of that. */
	EXPECT_EQ(1, peek_num(&self->map));
	EXPECT_EQ(2, peek_num(&self->map));
	EXPECT_EQ(3, peek_num(&self->map));
	ipc_consume(&self->map);
	EXPECT_EQ(4, ipc_recv_num(&self->other, self->map.id));
	EXPECT_EQ(1, count_mapped(&self->other, self->map.id, 0));
}

TEST_F_TIMEOUT(mapped, messages_for_others_are_stepped_over, IPC_TIMEOUT)
{
	struct ipc_sub target;

	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_RECV,
				&target));
	ASSERT_EQ(IPC_NUM, ipc_send_num_to(&self->ring, self->sender.id, 1,
					   target.id));
	EXPECT_EQ(-EAGAIN, count_mapped(&self->other, self->map.id, 0));
	EXPECT_EQ(-1, peek_num(&self->map));
	ASSERT_EQ(IPC_NUM, ipc_send_num_to(&self->ring, self->sender.id, 2,
					   self->map.id));
	ASSERT_EQ(IPC_NUM, ipc_send_num_to(&self->ring, self->sender.id, 3,
					   target.id));
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sender.id, 4));
	EXPECT_EQ(2, count_mapped(&self->other, self->map.id, 0));
	EXPECT_EQ(2, peek_num(&self->map));
	EXPECT_EQ(4, peek_num(&self->map));
	EXPECT_EQ(-1, peek_num(&self->map));
	ipc_consume(&self->map);
	EXPECT_EQ(1, ipc_recv_num(&self->ring, target.id));
	EXPECT_EQ(3, ipc_recv_num(&self->ring, target.id));
	EXPECT_EQ(4, ipc_recv_num(&self->ring, target.id));
	EXPECT_EQ(0, self->map.lost);
}

TEST_F_TIMEOUT(mapped, overwritten_messages_are_noticed, IPC_TIMEOUT)
{
	struct ipc_message message;
	int num;

	ASSERT_EQ(ENTRIES, ipc_send_nums(&self->ring, self->sender.id, 0,
				ENTRIES));
	ASSERT_TRUE(ipc_peek(&self->map, &message));
	EXPECT_TRUE(ipc_intact(&self->map, &message));
	if (!(variant->flags & IOIPC_F_OVERWRITE)) {
		EXPECT_EQ(-ENOBUFS, ipc_send_num(&self->ring, self->sender.id,
						 99));
		EXPECT_TRUE(ipc_intact(&self->map, &message));
		return;
	}
	ASSERT_EQ(3, ipc_send_nums(&self->ring, self->sender.id, ENTRIES,
				ENTRIES + 3));
	EXPECT_FALSE(ipc_intact(&self->map, &message));
	/* Messages 1 and 2 are lost as well. */
	for (num = 3; num < ENTRIES + 3; num++)
		EXPECT_EQ(num, peek_num(&self->map));
	EXPECT_EQ(-1, peek_num(&self->map));
	EXPECT_EQ(2, self->map.lost);
	ipc_consume(&self->map);
	EXPECT_EQ(-EAGAIN, count_mapped(&self->other, self->map.id, 0));
}

/*
 * Senders may make more room than they use.  Then the head is past messages
 * that are intact, but no longer valid: the next message is the one at the
 * head.
 */
TEST(room_that_is_not_used)
{
	enum { SLOTS = 8, HEAD = 3 };
	struct io_uring_ipc_ring *ring;
	struct ipc_message message;
	struct ipc_map map = {};
	__u32 i;

	ring = calloc(1, sizeof(*ring) + SLOTS * sizeof(ring->msgs[0]));
	ASSERT_NE(NULL, ring);
	ring->ring_mask = SLOTS - 1;
	ring->consumer.head = HEAD;
	for (i = 0; i < SLOTS; i++) {
		ring->msgs[i].seq = i + 1;
		ring->msgs[i].state = IOIPC_MSG_READY;
	}
	map.ring = ring;
	map.next = 1;
	ASSERT_TRUE(ipc_peek(&map, &message));
	EXPECT_EQ(HEAD, message.position);
	EXPECT_EQ(HEAD - 1, map.lost);
	for (i = HEAD + 1; i < SLOTS; i++) {
		ASSERT_TRUE(ipc_peek(&map, &message));
		EXPECT_EQ(i, message.position);
	}
	EXPECT_FALSE(ipc_peek(&map, &message));
	free(ring);
}

TEST_F_TIMEOUT(mapped, bad_requests, IPC_TIMEOUT)
{
	static const __u32 flags[] = {
		IOIPC_RECV_MULTISHOT, IOIPC_FIXED_BUF, IOIPC_RECV_INFO,
		IOIPC_RECV_BUNDLE, IOIPC_RECV_TRUNC, 1U << 7,
	};
	struct io_uring_sqe *sqe;
	struct ipc_sub queue;
	__u32 channel;
	size_t i;

	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sender.id, 1));
	for (i = 0; i < ARRAY_SIZE(flags); i++)
		EXPECT_EQ(-EINVAL, count_mapped(&self->other, self->map.id,
						flags[i]))
			TH_LOG("flags %#x", flags[i]);
	EXPECT_EQ(-EINVAL, msg_recv(&self->other, self->map.id, &channel, 0,
				    IOIPC_RECV_MAPPED));
	EXPECT_EQ(-EINVAL, msg_recv(&self->other, self->map.id, NULL, 1,
				    IOIPC_RECV_MAPPED));
	sqe = msg_get_recv(&self->other, self->map.id, NULL, 0,
			   IOIPC_RECV_MAPPED);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	EXPECT_EQ(-EINVAL, msg_run(&self->other, sqe));
	EXPECT_EQ(-EACCES, count_mapped(&self->ring, self->sender.id, 0));
	EXPECT_EQ(-ENOENT, count_mapped(&self->ring, self->map.id, 0));
	EXPECT_EQ(1, count_mapped(&self->other, self->map.id, 0));

	ASSERT_EQ(0, ipc_create(&self->ring, 0, 8, 64, &channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, channel, IOIPC_SUB_BOTH, &queue));
	EXPECT_EQ(-EINVAL, count_mapped(&self->ring, queue.id, 0));
	EXPECT_EQ(-EINVAL, count_mapped(&self->ring, queue.id,
					IOIPC_RECV_WAIT));
}

TEST_F_TIMEOUT(mapped, bad_mappings, IPC_TIMEOUT)
{
	const off_t offset = self->map.ring->cursor_offset;
	const int prot = PROT_READ | PROT_WRITE;
	const size_t page = self->map.page_size;
	struct ipc_sub sub;
	__u32 channel;

	EXPECT_EQ(1LL << 32, offset);
	EXPECT_EQ(0, map_page(self->attach.channel_fd, page, prot, MAP_SHARED,
			      offset));
	EXPECT_EQ(-EINVAL, map_page(self->attach.channel_fd, 2 * page, prot,
				    MAP_SHARED, offset));
	EXPECT_EQ(-EINVAL, map_page(self->attach.channel_fd, page, prot,
				    MAP_PRIVATE, offset));
	EXPECT_GT(0, map_page(self->attach.channel_fd, page, prot, MAP_SHARED,
			      offset + page));
	EXPECT_GT(0, map_page(self->attach.channel_fd, page, prot, MAP_SHARED,
			      offset - page));
	EXPECT_EQ(-EACCES, map_page(self->sender.fd, page, prot, MAP_SHARED,
				    offset));

	ASSERT_EQ(0, ipc_create(&self->ring, 0, 8, 64, &channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, channel, IOIPC_SUB_BOTH, &sub));
	EXPECT_EQ(-EINVAL, map_page(sub.fd, page, prot, MAP_SHARED, offset));
	EXPECT_EQ(0, ipc_region(&sub)->cursor_offset);
	ASSERT_EQ(0, ipc_create(&self->ring, variant->flags | IOIPC_F_PRIVATE,
				8, 64, &channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, channel, IOIPC_SUB_BOTH, &sub));
	EXPECT_EQ(-EACCES, map_page(sub.fd, page, prot, MAP_SHARED, offset));
}

/* The page lives as long as its mapping, and each subscriber has one. */
TEST_F_TIMEOUT(mapped, page_of_its_own, IPC_TIMEOUT)
{
	struct io_uring_ipc_channel_attach attach;
	struct ipc_map twice, other;

	ASSERT_EQ(0, ipc_map(&twice, &self->attach));
	ASSERT_EQ(0, attach_receiver(&self->other, self->channel, &attach));
	ASSERT_EQ(0, ipc_map(&other, &attach));
	store_position(&self->map, 4711);
	EXPECT_EQ(4711, twice.cursor->position);
	EXPECT_EQ(0, other.cursor->position);
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->other, attach.local_id_out));
	close(attach.channel_fd);
	store_position(&other, 815);
	EXPECT_EQ(815, other.cursor->position);
	ipc_unmap(&other);
	ipc_unmap(&twice);

	/* A page that is mapped late has the position of the receiver. */
	ASSERT_EQ(0, attach_receiver(&self->other, self->channel, &attach));
	ASSERT_EQ(3, ipc_send_nums(&self->ring, self->sender.id, 0,
				3));
	EXPECT_EQ(0, ipc_recv_num(&self->other, attach.local_id_out));
	ASSERT_EQ(0, ipc_map(&other, &attach));
	EXPECT_EQ(1, peek_num(&other));
	ipc_unmap(&other);
	close(attach.channel_fd);
}

/*
 * A page that is mapped again has this position too: the receiver does not find
 * messages again that it has received by other means.
 */
TEST_F_TIMEOUT(mapped, mapped_again, IPC_TIMEOUT)
{
	struct ipc_map again;

	ASSERT_EQ(5, ipc_send_nums(&self->ring, self->sender.id, 0, 5));
	EXPECT_EQ(0, peek_num(&self->map));
	ipc_consume(&self->map);
	EXPECT_EQ(1, ipc_recv_num(&self->other, self->map.id));
	EXPECT_EQ(2, ipc_recv_num(&self->other, self->map.id));
	ASSERT_EQ(0, ipc_map(&again, &self->attach));
	EXPECT_EQ(3, peek_num(&again));
	ipc_consume(&again);
	ipc_unmap(&again);

	/* Further than that, only the receiver moves the position. */
	ASSERT_EQ(0, ipc_map(&again, &self->attach));
	EXPECT_EQ(1, count_mapped(&self->other, self->map.id, 0));
	EXPECT_EQ(4, peek_num(&again));
	store_position(&again, 4711);
	ipc_unmap(&again);
	ASSERT_EQ(0, ipc_map(&again, &self->attach));
	EXPECT_EQ(4711, again.cursor->position);
	ipc_unmap(&again);
	EXPECT_EQ(4, ipc_recv_num(&self->other, self->map.id));
}

#define STREAM		5000
#define READERS		3

struct stream {
	__u32 channel;
	int ready;
	bool overwrite;
};

/* Reads until the end of the stream, and checks every byte. */
static int read_stream(struct stream *stream)
{
	struct io_uring_ipc_channel_attach attach;
	struct ipc_message message;
	__u64 last = 0, gaps = 0;
	struct io_uring ring;
	struct ipc_map map;
	bool kick;
	int ret;

	if (ipc_open(&ring) || attach_receiver(&ring, stream->channel, &attach) ||
	    ipc_map(&map, &attach))
		return 10;
	__atomic_add_fetch(&stream->ready, 1, __ATOMIC_RELEASE);
	while (last < STREAM) {
		while (ipc_peek(&map, &message)) {
			__u64 words[SIZE / sizeof(__u64)];
			size_t i, count = message.len / sizeof(__u64);

			memcpy(words, message.data, count * sizeof(__u64));
			if (stream->overwrite && !ipc_intact(&map, &message)) {
				map.lost++;
				continue;
			}
			if (count < 1 || count > ARRAY_SIZE(words))
				return 11;
			for (i = 1; i < count; i++)
				if (words[i] != words[0] * i)
					return 12;
			if (words[0] <= last)
				return 13;
			gaps += words[0] - last - 1;
			last = words[0];
		}
		kick = ipc_consume(&map);
		if (kick) {
			ret = count_mapped(&ring, map.id, 0);
			if (ret < 0 && ret != -EAGAIN)
				return 14;
		}
		if (last == STREAM)
			break;
		ret = count_mapped(&ring, map.id, IOIPC_RECV_WAIT);
		if (ret < 1)
			return 15;
	}
	if (gaps != map.lost || (gaps && !stream->overwrite))
		return 16;
	ipc_unmap(&map);
	io_uring_queue_exit(&ring);
	return 0;
}

/* Readers that wait, and a sender that waits for them. */
TEST_F_TIMEOUT(mapped, stream, IPC_TIMEOUT)
{
	struct stream *stream = ipc_shared(sizeof(*stream));
	__u64 words[SIZE / sizeof(__u64)], num;
	pid_t readers[READERS];
	size_t i, count;

	ASSERT_NE(NULL, stream);
	stream->overwrite = variant->flags & IOIPC_F_OVERWRITE;
	/*
	 * A channel without the receiver of the fixture, which never reads
	 * here.
	 */
	ASSERT_EQ(0, ipc_create(&self->ring, variant->flags, 64, SIZE,
				&stream->channel));
	for (i = 0; i < READERS; i++) {
		readers[i] = ipc_fork();
		ASSERT_LE(0, readers[i]);
		if (!readers[i])
			_exit(read_stream(stream));
	}
	ASSERT_TRUE(ipc_poll(__atomic_load_n(&stream->ready,
					     __ATOMIC_ACQUIRE) == READERS));
	for (num = 1; num <= STREAM; num++) {
		words[0] = num;
		count = 1 + num % ARRAY_SIZE(words);
		for (i = 1; i < count; i++)
			words[i] = num * i;
		ASSERT_EQ(count * sizeof(__u64),
			  msg_send(&self->ring, stream->channel, words,
				   count * sizeof(__u64), IOIPC_SEND_WAIT));
	}
	for (i = 0; i < READERS; i++)
		EXPECT_EQ(0, ipc_wait(readers[i]));
	munmap(stream, sizeof(*stream));
}

TEST_HARNESS_MAIN
