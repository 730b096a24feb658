// SPDX-License-Identifier: GPL-2.0
/*
 * Messages that take several slots: the channel has small slots, and a message
 * that is longer lies in consecutive ones.
 */
#include <poll.h>
#include <sys/eventfd.h>
#include "fixture.h"
#include "messages.h"

#define ENTRIES	64
#define SLOT	128
/* A quarter of the ring. */
#define LARGEST	(ENTRIES / 4 * SLOT)

static int create_slots(struct io_uring *ring, __u32 flags, __u32 entries,
			__u32 size, __u32 slot_size, __u32 *id)
{
	struct io_uring_ipc_channel_create create =
		ipc_create_args(flags, entries, size);
	struct io_uring_ipc_channel_ext ext = {
		.slot_size = slot_size,
	};
	int ret;

	ret = io_uring_ipc_channel_create_ext(ring, &create, &ext);
	*id = create.channel_id_out;
	return ret;
}

static __u32 slots_of(__u32 len)
{
	return len ? (len + SLOT - 1) / SLOT : 1;
}

static char buf[LARGEST + 1], got[LARGEST + 64];

/* Sends a message of this length with contents that this number tells. */
static int send_len(struct io_uring *ring, __u32 id, __u32 len, __u32 seed)
{
	ipc_fill(buf, len, seed);
	return ipc_send(ring, id, buf, len);
}

/* Whether the next message is that one. */
static bool recv_len(struct io_uring *ring, __u32 id, __u32 len, __u32 seed)
{
	int ret;

	memset(got, 0x55, sizeof(got));
	ret = ipc_recv(ring, id, got, sizeof(got));
	if (ret == (int)len && ipc_filled(got, len, seed) && got[len] == 0x55)
		return true;
	printf("# message %u of %u bytes: result %d\n", seed, len, ret);
	return false;
}

FIXTURE(create) {
	struct io_uring ring;
};

FIXTURE_SETUP(create)
{
	ASSERT_EQ(0, ipc_open(&self->ring));
}

FIXTURE_TEARDOWN(create)
{
	io_uring_queue_exit(&self->ring);
}

static const struct {
	__u32 entries, size, slot_size;
	int ret;
	__u32 version, stride;
} sizes[] = {
	{ 8, 100, 0, 0, 1, 128 },
	{ 8, 100, 100, 0, 1, 128 },
	/* It is rounded up to 64, and so one slot is enough. */
	{ 8, 100, 65, 0, 1, 128 },
	{ 1, 128, 65, 0, 1, 128 },
	{ 8, 128, 64, 0, 2, 64 },
	{ 8, 129, 64, -EINVAL, 0, 0 },
	{ 4, 128, 64, -EINVAL, 0, 0 },
	{ 2, 128, 64, -EINVAL, 0, 0 },
	{ 1, 128, 64, -EINVAL, 0, 0 },
	{ 8, 128, 1, 0, 2, 64 },
	{ 8, 100, 101, -EINVAL, 0, 0 },
	{ 8, 100, 0xffffffff, -EINVAL, 0, 0 },
	{ 8, 1 << 20, 1 << 19, 0, 2, 1 << 19 },
	{ 8, (1 << 20) + 1, 0, -EINVAL, 0, 0 },
	{ 8, (1 << 20) + 1, 1 << 20, 0, 2, 1 << 20 },
	{ 8, 1 << 21, 1 << 20, 0, 2, 1 << 20 },
	{ 8, 1 << 21, (1 << 20) + 1, -EINVAL, 0, 0 },
	{ 32768, 1 << 20, 512, 0, 2, 512 },
	{ 32768, 8192 * 64, 64, 0, 2, 64 },
	{ 32768, 8192 * 64 + 1, 64, -EINVAL, 0, 0 },
	{ 256, (1 << 26) + 1, 1 << 20, -EINVAL, 0, 0 },
	{ 0, 128, 64, -EINVAL, 0, 0 },
	{ 12, 128, 64, -EINVAL, 0, 0 },
	{ 65536, 128, 64, -EINVAL, 0, 0 },
};

TEST_F_TIMEOUT(create, sizes, IPC_TIMEOUT)
{
	const struct io_uring_ipc_ring *map;
	struct ipc_sub sub;
	__u32 i, id;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		ASSERT_EQ(sizes[i].ret,
			  create_slots(&self->ring, 0, sizes[i].entries,
				       sizes[i].size, sizes[i].slot_size, &id))
			TH_LOG("row %u", i);
		if (sizes[i].ret)
			continue;
		ASSERT_EQ(0, ipc_attach(&self->ring, id, IOIPC_SUB_BOTH, &sub));
		map = ipc_region(&sub);
		ASSERT_NE(NULL, map);
		EXPECT_EQ(sizes[i].version, map->version);
		EXPECT_EQ(sizes[i].stride, map->data_stride);
		EXPECT_EQ(sizes[i].size, map->max_msg_size);
		EXPECT_EQ(sizes[i].entries, map->ring_entries);
		EXPECT_LE(map->data_offset +
			  (__u64)map->data_stride * map->ring_entries,
			  sub.region_size);
		munmap((void *)map, sub.region_size);
		close(sub.fd);
		EXPECT_EQ(0, io_uring_ipc_channel_destroy(&self->ring, id));
	}
}

/*
 * What README.md says: a channel for 200 bytes mostly, and for 1 MiB now and then,
 * takes 1/50 of the memory that it takes with 1024 slots of 1 MiB.
 */
TEST_F_TIMEOUT(create, little_memory, IPC_TIMEOUT)
{
	const __u32 size = 1 << 20, before = size * 1024;
	char *message = malloc(size), *copy = malloc(size);
	struct ipc_sub sub;
	__u32 id, i;

	ASSERT_TRUE(message && copy);
	ASSERT_EQ(0, create_slots(&self->ring, 0, 32768, size, 512, &id));
	ASSERT_EQ(0, ipc_attach(&self->ring, id, IOIPC_SUB_BOTH, &sub));
	EXPECT_LT(sub.region_size, before / 50);
	for (i = 0; i < 1024; i++)
		ASSERT_EQ(200, send_len(&self->ring, sub.id, 200, i));
	for (i = 0; i < 8; i++) {
		ipc_fill(message, size, i);
		ASSERT_EQ(size, ipc_send(&self->ring, sub.id, message, size));
	}
	for (i = 0; i < 1024; i++)
		ASSERT_TRUE(recv_len(&self->ring, sub.id, 200, i));
	for (i = 0; i < 8; i++) {
		ASSERT_EQ(size, ipc_recv(&self->ring, sub.id, copy, size));
		EXPECT_TRUE(ipc_filled(copy, size, i));
	}
	free(message);
	free(copy);
	close(sub.fd);
}

/* The largest message of all. */
TEST_F_TIMEOUT(create, largest, IPC_TIMEOUT)
{
	const __u32 size = IOIPC_MAX_LARGE_MSG_SIZE;
	char *message = ipc_shared(size);
	struct ipc_sub sub;
	__u32 id, i;
	int ret;

	ASSERT_NE(NULL, message);
	ret = create_slots(&self->ring, 0, 256, size, 1 << 20, &id);
	if (ret == -ENOMEM)
		SKIP(return, "256 MiB are not there");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, ipc_attach(&self->ring, id, IOIPC_SUB_BOTH, &sub));
	for (i = 0; i < 5; i++) {
		/* Some bytes of each page. */
		for (__u32 at = 0; at < size; at += 4000)
			message[at] = at / 4000 + i;
		ASSERT_EQ(size, ipc_send(&self->ring, sub.id, message, size));
		madvise(message, size, MADV_REMOVE);
		ASSERT_EQ(size, ipc_recv(&self->ring, sub.id, message, size));
		for (__u32 at = 0; at < size; at += 4000)
			ASSERT_EQ((char)(at / 4000 + i), message[at]);
	}
	EXPECT_EQ(-EMSGSIZE, ipc_send(&self->ring, sub.id, message, size + 1));
	munmap(message, size);
	close(sub.fd);
}

FIXTURE(slots) {
	struct io_uring ring;
	struct io_uring other;
	__u32 channel;
	struct ipc_sub sender;
	struct ipc_sub second;
	struct ipc_sub receiver;
	const struct io_uring_ipc_ring *map;
};

FIXTURE_KINDS(slots);

FIXTURE_SETUP(slots)
{
	ASSERT_EQ(0, ipc_open(&self->ring));
	ASSERT_EQ(0, ipc_open(&self->other));
	ASSERT_EQ(0, create_slots(&self->ring, variant->flags, ENTRIES,
				  LARGEST, SLOT, &self->channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_SEND,
				&self->sender));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_SEND,
				&self->second));
	ASSERT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_RECV,
				&self->receiver));
	self->map = ipc_region(&self->receiver);
	ASSERT_NE(NULL, self->map);
}

FIXTURE_TEARDOWN(slots)
{
	munmap((void *)self->map, self->receiver.region_size);
	wait_forget(&self->ring);
	wait_forget(&self->other);
	close(self->receiver.fd);
	close(self->second.fd);
	close(self->sender.fd);
	io_uring_queue_exit(&self->other);
	io_uring_queue_exit(&self->ring);
}

/* Each length, and each length at each place of the ring. */
TEST_F_TIMEOUT(slots, each_length, IPC_TIMEOUT)
{
	__u32 len, state = 1, i, tail = 0;

	for (len = 0; len <= LARGEST; len += len < 600 ? 1 : 31) {
		ASSERT_EQ(len, send_len(&self->ring, self->sender.id, len, len));
		ASSERT_TRUE(recv_len(&self->other, self->receiver.id, len, len));
	}
	for (i = 0; i < 4000; i++) {
		const struct io_uring_ipc_msg_desc *desc;
		__u32 first, slots, gap;

		len = i % 3 ? ipc_random(&state) % (LARGEST + 1) : 200;
		slots = slots_of(len);
		tail = ipc_tail(self->map);
		gap = ENTRIES - tail % ENTRIES;
		first = tail + (slots > gap ? gap : 0);
		ASSERT_EQ(len, send_len(&self->ring, self->sender.id, len, i));
		ASSERT_EQ(first + slots, ipc_tail(self->map));
		desc = ipc_desc(self->map, first);
		EXPECT_EQ(first + 1, desc->msg_id);
		EXPECT_EQ(first + 1, desc->seq);
		EXPECT_EQ(IOIPC_MSG_READY, desc->state);
		EXPECT_EQ(slots, desc->slots);
		EXPECT_EQ(len, desc->len);
		ASSERT_LE(desc->offset + desc->len, self->receiver.region_size);
		EXPECT_TRUE(ipc_filled((const char *)self->map + desc->offset,
				       len, i));
		ASSERT_TRUE(recv_len(&self->other, self->receiver.id, len, i));
	}
	EXPECT_EQ(-EMSGSIZE, send_len(&self->ring, self->sender.id, LARGEST + 1, 0));
	EXPECT_EQ(-EAGAIN, ipc_recv(&self->other, self->receiver.id, got, 1));
}

/* How many slots are free at least: messages of one slot fill them. */
static __u32 fill_up(struct io_uring *ring, __u32 id, __u32 seed)
{
	__u32 count = 0;

	while (send_len(ring, id, 1, seed + count) == 1)
		count++;
	return count;
}

/* A message needs all of its slots, and those before the end of the ring. */
TEST_F_TIMEOUT(slots, room, IPC_TIMEOUT)
{
	__u32 start, used, len, i, n;

	for (start = 0; start < ENTRIES; start += 5) {
		for (used = 0; used <= ENTRIES; used += 3) {
			__u32 tail = ipc_tail(self->map);
			__u32 rest, gap, slots;

			for (i = 0; i < used; i++)
				ASSERT_EQ(1, send_len(&self->ring,
						      self->sender.id, 1, i));
			slots = (start + used) % (ENTRIES / 4) + 1;
			len = slots * SLOT;
			rest = ENTRIES - (tail + used) % ENTRIES;
			gap = slots > rest ? rest : 0;
			n = send_len(&self->ring, self->sender.id, len, 99);
			if (used + gap + slots > ENTRIES) {
				EXPECT_EQ(-ENOBUFS, n);
				EXPECT_EQ(tail + used, ipc_tail(self->map));
				EXPECT_EQ(ENTRIES - used,
					  fill_up(&self->ring, self->sender.id,
						  used));
				used = ENTRIES;
			} else {
				EXPECT_EQ(len, n);
				/* What is free at the start of the ring is reclaimed. */
				gap = used ? gap : 0;
				EXPECT_EQ(ENTRIES - used - gap - slots,
					  fill_up(&self->ring, self->sender.id,
						  1000));
			}
			for (i = 0; i < used; i++)
				ASSERT_TRUE(recv_len(&self->other,
						     self->receiver.id, 1, i));
			if (n == len)
				ASSERT_TRUE(recv_len(&self->other,
						     self->receiver.id, len, 99));
			while (ipc_recv(&self->other, self->receiver.id, got,
					sizeof(got)) >= 0)
				;
		}
		/* Elsewhere in the ring. */
		for (i = 0; i < 5; i++) {
			ASSERT_EQ(1, send_len(&self->ring, self->sender.id, 1, i));
			ASSERT_TRUE(recv_len(&self->other, self->receiver.id, 1, i));
		}
	}
}

/* Short and long messages in one vector, and in bundles. */
TEST_F_TIMEOUT(slots, vector_and_bundle, IPC_TIMEOUT)
{
	static char data[8][LARGEST], bundle[3 * LARGEST] __aligned(8);
	const __u32 lens[] = { 1, 3 * SLOT, 0, SLOT, SLOT + 1, 7, 2 * SLOT, 5 };
	struct iovec vec[ARRAY_SIZE(lens)];
	struct msg_walk walk;
	__u32 i, round;
	int ret;

	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		ipc_fill(data[i], lens[i], i);
		vec[i] = (struct iovec) { data[i], lens[i] };
	}
	for (round = 0; round < 100; round++) {
		ASSERT_EQ(ARRAY_SIZE(lens),
			  msg_send_vec(&self->ring, self->sender.id, vec,
				       ARRAY_SIZE(lens), 0));
		ret = msg_recv(&self->other, self->receiver.id, bundle,
			       sizeof(bundle), IOIPC_RECV_BUNDLE);
		ASSERT_GT(ret, 0);
		walk = (struct msg_walk) { .buf = bundle, .res = ret };
		for (i = 0; i < ARRAY_SIZE(lens); i++) {
			ASSERT_TRUE(msg_next(&walk));
			ASSERT_EQ(lens[i], walk.info.len);
			EXPECT_TRUE(ipc_filled(walk.data, lens[i], i));
		}
		EXPECT_FALSE(msg_next(&walk));
		EXPECT_FALSE(walk.broken);
	}
	/* It ends before the message that has no room, or is too long. */
	vec[0].iov_len = 0;
	for (i = 1; i < ARRAY_SIZE(lens); i++)
		vec[i] = (struct iovec) { data[0], LARGEST };
	ret = msg_send_vec(&self->ring, self->sender.id, vec, ARRAY_SIZE(lens), 0);
	EXPECT_GE(ret, 3);
	EXPECT_LE(ret, 4);
	EXPECT_EQ(-ENOBUFS, msg_send_vec(&self->ring, self->sender.id, vec + 1, 2, 0));
	for (i = 0; i < (__u32)ret; i++)
		EXPECT_EQ(i ? LARGEST : 0,
			  ipc_recv(&self->other, self->receiver.id, got,
				   sizeof(got)));
	vec[1].iov_len = LARGEST + 1;
	EXPECT_EQ(1, msg_send_vec(&self->ring, self->sender.id, vec, 3, 0));
	EXPECT_EQ(-EMSGSIZE, msg_send_vec(&self->ring, self->sender.id, vec + 1, 3, 0));
}

/* A sender that cannot read its message, and a receiver that cannot write it. */
TEST_F_TIMEOUT(slots, faults, IPC_TIMEOUT)
{
	size_t page = sysconf(_SC_PAGESIZE);
	char *memory = ipc_pages(1);
	const __u32 len = 5 * SLOT;
	__u32 round, tail;

	ASSERT_NE(NULL, memory);
	for (round = 0; round < 200; round++) {
		tail = ipc_tail(self->map);
		/* The last byte is not there. */
		ASSERT_EQ(-EFAULT, ipc_send(&self->ring, self->sender.id,
					    memory + page - len + 1, len));
		EXPECT_EQ(tail, ipc_tail(self->map));
		ASSERT_EQ(len, send_len(&self->ring, self->sender.id, len, round));
		ASSERT_EQ(3, send_len(&self->ring, self->sender.id, 3, round));
		ASSERT_EQ(-EFAULT, ipc_recv(&self->other, self->receiver.id,
					    memory + page - len + 1, len));
		ASSERT_TRUE(recv_len(&self->other, self->receiver.id, len, round));
		ASSERT_TRUE(recv_len(&self->other, self->receiver.id, 3, round));
		/* A part of a message that is cut. */
		ASSERT_EQ(len, send_len(&self->ring, self->sender.id, len, round));
		ASSERT_EQ(SLOT + 1, ipc_recv(&self->other, self->receiver.id,
					     got, SLOT + 1));
		EXPECT_TRUE(ipc_filled(got, SLOT + 1, round));
	}
	munmap(memory, page);
}

/* A message for one receiver: others pass it, and it is dropped when that one leaves. */
TEST_F_TIMEOUT(slots, targeted, IPC_TIMEOUT)
{
	const __u32 len = 9 * SLOT + 1;
	struct ipc_sub target;
	__u32 round;

	for (round = 0; round < 40; round++) {
		ASSERT_EQ(0, ipc_attach(&self->other, self->channel,
					IOIPC_SUB_RECV, &target));
		ipc_fill(buf, len, round);
		ASSERT_EQ(len, ipc_send_to(&self->ring, self->sender.id, buf,
					   len, target.id));
		ASSERT_EQ(len, ipc_send_to(&self->ring, self->sender.id, buf,
					   len, target.id));
		ASSERT_EQ(SLOT, send_len(&self->ring, self->sender.id, SLOT, 7));
		ASSERT_TRUE(recv_len(&self->other, self->receiver.id, SLOT, 7));
		ASSERT_EQ(-EAGAIN, ipc_recv(&self->other, self->receiver.id,
					    got, 1));
		ASSERT_TRUE(recv_len(&self->other, target.id, len, round));
		ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->other, target.id));
		close(target.fd);
	}
	EXPECT_EQ(40, ipc_fdinfo(self->receiver.fd, "ioipc-dropped"));
}

static __u64 wait_send_len(struct io_uring *ring, __u32 id, __u32 len, __u32 seed,
			   char *data)
{
	struct io_uring_sqe *sqe = wait_get_sqe(ring);
	__u64 number = wait_new_data();

	ipc_fill(data, len, seed);
	io_uring_prep_ipc_send(sqe, id, data, len, 0, IOIPC_SEND_WAIT);
	io_uring_sqe_set_data64(sqe, number);
	return number;
}

/*
 * A long message waits until there is room for all of it.  A short one that waits
 * behind it does not overtake it.
 */
TEST_F_TIMEOUT(slots, wait, IPC_TIMEOUT)
{
	static char large[LARGEST], small[SLOT];
	__u64 first, second;
	__u32 round, i;

	for (round = 0; round < 30; round++) {
		ASSERT_EQ(ENTRIES, fill_up(&self->ring, self->sender.id, 0));
		first = wait_send_len(&self->ring, self->sender.id, LARGEST,
				      77, large);
		ASSERT_TRUE(wait_nothing(&self->ring));
		second = wait_send_len(&self->ring, round % 2 ? self->sender.id :
				       self->second.id, 2, 78, small);
		ASSERT_TRUE(wait_nothing(&self->ring));
		for (i = 0; i < ENTRIES; i++)
			ASSERT_TRUE(recv_len(&self->other, self->receiver.id, 1, i));
		ASSERT_EQ(LARGEST, wait_for(&self->ring, first));
		ASSERT_EQ(2, wait_for(&self->ring, second));
		ASSERT_TRUE(recv_len(&self->other, self->receiver.id, LARGEST, 77));
		ASSERT_TRUE(recv_len(&self->other, self->receiver.id, 2, 78));
		/* Elsewhere next time. */
		ASSERT_EQ(1, send_len(&self->ring, self->sender.id, 1, 0));
		ASSERT_TRUE(recv_len(&self->other, self->receiver.id, 1, 0));
	}
}

/* As many slots are free as a waiting message needs, and no more will be. */
TEST_F_TIMEOUT(slots, wait_for_just_enough, IPC_TIMEOUT)
{
	static char large[LARGEST];
	const __u32 slots = 7;
	__u32 round, i, gap;
	__u64 number;

	for (round = 0; round < 16; round++) {
		ASSERT_EQ(ENTRIES, fill_up(&self->ring, self->sender.id, 0));
		number = wait_send_len(&self->ring, self->sender.id, slots * SLOT,
				       5, large);
		gap = ENTRIES - ipc_tail(self->map) % ENTRIES;
		gap = slots > gap ? gap : 0;
		for (i = 0; i < slots + gap; i++) {
			ASSERT_TRUE(wait_nothing(&self->ring));
			ASSERT_TRUE(recv_len(&self->other, self->receiver.id, 1, i));
		}
		ASSERT_EQ(slots * SLOT, wait_for(&self->ring, number))
			TH_LOG("round %u", round);
		for (; i < ENTRIES; i++)
			ASSERT_TRUE(recv_len(&self->other, self->receiver.id, 1, i));
		ASSERT_TRUE(recv_len(&self->other, self->receiver.id,
				     slots * SLOT, 5));
		ASSERT_EQ(1, send_len(&self->ring, self->sender.id, 1, 0));
		ASSERT_TRUE(recv_len(&self->other, self->receiver.id, 1, 0));
	}
}

/* The room is enough for the next one in line once a long message is canceled. */
TEST_F_TIMEOUT(slots, cancel, IPC_TIMEOUT)
{
	static char large[LARGEST], small[SLOT];
	__u64 first, second;

	ASSERT_EQ(ENTRIES, fill_up(&self->ring, self->sender.id, 0));
	first = wait_send_len(&self->ring, self->sender.id, LARGEST, 77, large);
	second = wait_send_len(&self->ring, self->second.id, 2, 78, small);
	ASSERT_TRUE(wait_nothing(&self->ring));
	ASSERT_TRUE(recv_len(&self->other, self->receiver.id, 1, 0));
	ASSERT_TRUE(wait_nothing(&self->ring));
	ASSERT_TRUE(wait_end(&self->ring, first, false));
	EXPECT_EQ(2, wait_for(&self->ring, second));
}

/* The first message of a vector is the one that has to have room. */
TEST_F_TIMEOUT(slots, wait_with_vector, IPC_TIMEOUT)
{
	static char data[LARGEST];
	struct iovec vec[] = { { data, 12 * SLOT }, { data, 1 } };
	struct io_uring_sqe *sqe;
	__u64 number;
	__u32 i;

	ASSERT_EQ(ENTRIES, fill_up(&self->ring, self->sender.id, 0));
	sqe = wait_get_sqe(&self->ring);
	io_uring_prep_ipc_send_vec(sqe, self->sender.id, vec, 2, 0,
				   IOIPC_SEND_WAIT);
	number = wait_new_data();
	io_uring_sqe_set_data64(sqe, number);
	ASSERT_TRUE(wait_nothing(&self->ring));
	for (i = 0; i < 11; i++)
		ASSERT_TRUE(recv_len(&self->other, self->receiver.id, 1, i));
	ASSERT_TRUE(wait_nothing(&self->ring));
	for (; i < ENTRIES; i++)
		ASSERT_TRUE(recv_len(&self->other, self->receiver.id, 1, i));
	EXPECT_EQ(2, wait_for(&self->ring, number));
	EXPECT_EQ(12 * SLOT, ipc_recv(&self->other, self->receiver.id, got,
				      sizeof(got)));
	EXPECT_EQ(1, ipc_recv(&self->other, self->receiver.id, got, sizeof(got)));
}

static bool is_writable(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLOUT };

	return poll(&pollfd, 1, 0) == 1 && pollfd.revents & POLLOUT;
}

/* EPOLLOUT: there is room for a message of any length. */
TEST_F_TIMEOUT(slots, poll, IPC_TIMEOUT)
{
	__u32 used = 0, received = 0, len = 15 * SLOT;

	EXPECT_TRUE(is_writable(self->sender.fd));
	while (is_writable(self->sender.fd)) {
		ASSERT_EQ(LARGEST, send_len(&self->ring, self->sender.id, LARGEST,
					    used++));
		ASSERT_LE(used, 4);
	}
	ASSERT_EQ(4, used);
	ASSERT_TRUE(recv_len(&self->other, self->receiver.id, LARGEST, received++));
	EXPECT_TRUE(is_writable(self->sender.fd));
	ASSERT_EQ(len, send_len(&self->ring, self->sender.id, len, used));
	EXPECT_FALSE(is_writable(self->sender.fd));
	/* There is one slot. */
	ASSERT_EQ(1, send_len(&self->ring, self->sender.id, 1, 0));
	ASSERT_EQ(-ENOBUFS, send_len(&self->ring, self->sender.id, 1, 0));
}

FIXTURE(mapped_slots) {
	struct io_uring ring;
	struct io_uring other;
	__u32 channel;
	struct ipc_sub sender;
	struct io_uring_ipc_channel_attach attach;
	struct ipc_map map;
};

FIXTURE_VARIANT(mapped_slots) {
	__u32 flags;
	__u32 sub;
};

FIXTURE_VARIANT_ADD(mapped_slots, plain) {
	.flags = IOIPC_F_BROADCAST,
};

FIXTURE_VARIANT_ADD(mapped_slots, overwrite) {
	.flags = IOIPC_F_BROADCAST | IOIPC_F_OVERWRITE,
};

FIXTURE_VARIANT_ADD(mapped_slots, lossy) {
	.flags = IOIPC_F_BROADCAST,
	.sub = IOIPC_SUB_LOSSY,
};

FIXTURE_SETUP(mapped_slots)
{
	ASSERT_EQ(0, ipc_open(&self->ring));
	ASSERT_EQ(0, ipc_open(&self->other));
	ASSERT_EQ(0, create_slots(&self->ring, variant->flags, ENTRIES,
				  LARGEST, SLOT, &self->channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_SEND,
				&self->sender));
	self->attach = (struct io_uring_ipc_channel_attach) {
		.channel_id = self->channel,
		.flags = IOIPC_SUB_RECV | variant->sub,
	};
	ASSERT_EQ(0, io_uring_ipc_channel_attach(&self->other, &self->attach));
	ASSERT_EQ(0, ipc_map(&self->map, &self->attach));
}

FIXTURE_TEARDOWN(mapped_slots)
{
	ipc_unmap(&self->map);
	close(self->attach.channel_fd);
	close(self->sender.fd);
	io_uring_queue_exit(&self->other);
	io_uring_queue_exit(&self->ring);
}

/* In place, a long message lies in one piece. */
TEST_F_TIMEOUT(mapped_slots, in_place, IPC_TIMEOUT)
{
	struct ipc_message message;
	__u32 state = 5, len, i;

	for (i = 0; i < 3000; i++) {
		len = ipc_random(&state) % (LARGEST + 1);
		ASSERT_EQ(len, send_len(&self->ring, self->sender.id, len, i));
		ASSERT_TRUE(ipc_peek(&self->map, &message));
		ASSERT_EQ(len, message.len);
		EXPECT_TRUE(ipc_filled(message.data, len, i));
		EXPECT_TRUE(ipc_intact(&self->map, &message));
		ASSERT_FALSE(ipc_peek(&self->map, &message));
		ASSERT_EQ(ipc_tail(self->map.ring), self->map.next);
		ipc_consume(&self->map);
	}
	EXPECT_EQ(0, self->map.lost);
}

/*
 * A receiver stores positions within messages.  It loses messages of its own by that,
 * and nobody else: another receiver gets all, and the sender finds room.
 */
TEST_F_TIMEOUT(mapped_slots, positions_within, IPC_TIMEOUT)
{
	__u32 state = 9, head, tail, sent = 0, len, i;
	struct ipc_sub honest;

	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_RECV,
				&honest));
	for (i = 0; i < 3000; i++) {
		len = ipc_random(&state) % (LARGEST + 1);
		ASSERT_EQ(len, send_len(&self->ring, self->sender.id, len, i))
			TH_LOG("message %u", i);
		ASSERT_TRUE(recv_len(&self->ring, honest.id, len, i));
		head = __atomic_load_n(&self->map.ring->consumer.head,
				       __ATOMIC_ACQUIRE);
		tail = ipc_tail(self->map.ring);
		/* Somewhere in the last message, most of the time. */
		if (ipc_random(&state) % 4)
			head = tail - slots_of(len);
		__atomic_store_n(&self->map.cursor->position,
				 head + ipc_random(&state) % (tail - head + 1),
				 __ATOMIC_RELEASE);
		/* What is left is a message that was sent. */
		if (i % 7)
			continue;
		ipc_recv(&self->other, self->map.id, got, sizeof(got));
		sent++;
		/* Or the ring would be full some time. */
		__atomic_store_n(&self->map.cursor->position, tail,
				 __ATOMIC_RELEASE);
	}
	EXPECT_GT(sent, 0);
	close(honest.fd);
}

/* The oldest messages make place for a long one, and count as lost one by one. */
TEST_F_TIMEOUT(mapped_slots, overwritten, IPC_TIMEOUT)
{
	struct io_uring_ipc_msg_info info;
	__u32 state = 3, len, i, lens[500];
	__u64 lost = 0;
	int ret;

	if (!(variant->flags & IOIPC_F_OVERWRITE) && !variant->sub)
		SKIP(return, "nothing is overwritten");
	for (i = 0; i < 500; i++) {
		len = i % 5 ? ipc_random(&state) % 300 :
			      ipc_random(&state) % (LARGEST + 1);
		lens[i] = len;
		ASSERT_EQ(len, send_len(&self->ring, self->sender.id, len, i))
			TH_LOG("message %u", i);
	}
	/* The rest are the last messages, each of them whole. */
	for (i = 0; i < 500; i++) {
		ret = msg_recv(&self->other, self->map.id, got, sizeof(got),
			       IOIPC_RECV_INFO);
		ASSERT_GE(ret, MSG_INFO);
		memcpy(&info, got, sizeof(info));
		lost += info.lost;
		i = i ?: lost;
		ASSERT_EQ(lens[i], info.len);
		EXPECT_TRUE(ipc_filled(got + MSG_INFO, info.len, i));
	}
	EXPECT_GT(lost, 400);
	EXPECT_EQ(lost, ipc_fdinfo(self->attach.channel_fd, "ioipc-lost"));
	EXPECT_EQ(-EAGAIN, ipc_recv(&self->other, self->map.id, got, 1));
}

/*
 * Senders wait for one receiver, and not for another one that is farther behind.  They take
 * nothing away from that one unless this makes room for all of the message.
 */
TEST_F_TIMEOUT(mapped_slots, taken_only_if_enough, IPC_TIMEOUT)
{
	static char large[4 * SLOT];
	struct ipc_sub awaited;
	__u64 number;
	__u32 i;

	if (!variant->sub)
		SKIP(return, "there are two kinds of receivers");
	ASSERT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_RECV,
				&awaited));
	ASSERT_EQ(ENTRIES, fill_up(&self->ring, self->sender.id, 0));
	for (i = 0; i < 3; i++)
		ASSERT_TRUE(recv_len(&self->other, awaited.id, 1, i));
	ASSERT_EQ(-ENOBUFS, send_len(&self->ring, self->sender.id, 4 * SLOT, 7));
	EXPECT_EQ(0, ipc_fdinfo(self->attach.channel_fd, "ioipc-lost"));
	number = wait_send_len(&self->ring, self->sender.id, 4 * SLOT, 7, large);
	ASSERT_TRUE(wait_nothing(&self->ring));
	ASSERT_TRUE(recv_len(&self->other, awaited.id, 1, 3));
	ASSERT_EQ(4 * SLOT, wait_for(&self->ring, number));
	EXPECT_EQ(4, ipc_fdinfo(self->attach.channel_fd, "ioipc-lost"));
	ASSERT_TRUE(recv_len(&self->other, self->map.id, 1, 4));
	close(awaited.fd);
}

/* A receiver that joins with history finds whole messages. */
TEST_F_TIMEOUT(mapped_slots, history, IPC_TIMEOUT)
{
	__u32 state = 3, len, i, lens[300];
	struct ipc_sub late;
	int ret;

	for (i = 0; i < 300; i++) {
		len = ipc_random(&state) % (LARGEST / 2);
		lens[i] = len;
		ASSERT_EQ(len, send_len(&self->ring, self->sender.id, len, i));
		__atomic_store_n(&self->map.cursor->position,
				 ipc_tail(self->map.ring), __ATOMIC_RELEASE);
		if (i % 10)
			continue;
		ASSERT_EQ(0, ipc_attach(&self->other, self->channel,
					IOIPC_SUB_RECV | IOIPC_SUB_HISTORY |
					variant->sub, &late));
		for (ret = 0, len = 0; ; len++) {
			struct io_uring_ipc_msg_info info;

			ret = msg_recv(&self->other, late.id, got, sizeof(got),
				       IOIPC_RECV_INFO);
			if (ret == -EAGAIN)
				break;
			ASSERT_GE(ret, MSG_INFO);
			memcpy(&info, got, sizeof(info));
			ASSERT_EQ(info.sender_data, 0);
			ASSERT_LE(info.len, LARGEST);
		}
		EXPECT_GE(len, 1);
		/* The last one was the latest. */
		ASSERT_TRUE(ipc_filled(got + MSG_INFO, lens[i], i));
		ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->other, late.id));
		close(late.fd);
	}
}

IPC_HARNESS_MAIN
