// SPDX-License-Identifier: GPL-2.0
/* The mapping of a channel: access to it, read-only, and its contents. */
#include "ipc_test.h"

#define ENTRIES	8
#define SIZE	5000

FIXTURE(mapping) {
	struct io_uring ring;
	__u32 channel;
	struct ipc_sub sub;
	size_t page;
};

FIXTURE_VARIANT(mapping) {
	__u32 flags;
};

FIXTURE_VARIANT_ADD(mapping, unicast) {
	.flags = 0,
};

FIXTURE_VARIANT_ADD(mapping, broadcast) {
	.flags = IOIPC_F_BROADCAST,
};

FIXTURE_SETUP(mapping)
{
	self->page = sysconf(_SC_PAGESIZE);
	ASSERT_EQ(0, ipc_open(&self->ring));
	ASSERT_EQ(0, ipc_create(&self->ring, variant->flags, ENTRIES, SIZE,
				&self->channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_BOTH,
				&self->sub));
}

FIXTURE_TEARDOWN(mapping)
{
	io_uring_queue_exit(&self->ring);
}

/* Returns 0 or a negative errno, and leaves nothing mapped. */
static int try_map(int fd, size_t len, int prot, int flags, off_t offset)
{
	void *map = mmap(NULL, len, prot, flags, fd, offset);

	if (map == MAP_FAILED)
		return -errno;
	munmap(map, len);
	return 0;
}

TEST_F_TIMEOUT(mapping, any_part_from_the_start, IPC_TIMEOUT)
{
	size_t size = self->sub.region_size, len;
	int fd = self->sub.fd;

	for (len = 1; len <= size; len = len * 3 + 1) {
		EXPECT_EQ(0, try_map(fd, len, PROT_READ, MAP_SHARED, 0));
		EXPECT_EQ(0, try_map(fd, len, PROT_READ, MAP_PRIVATE, 0));
	}
	EXPECT_EQ(0, try_map(fd, size, PROT_READ, MAP_SHARED, 0));
	EXPECT_EQ(0, try_map(fd, size, PROT_READ, MAP_PRIVATE, 0));
}

TEST_F_TIMEOUT(mapping, nothing_else, IPC_TIMEOUT)
{
	static const int kinds[] = { MAP_SHARED, MAP_PRIVATE };
	size_t page = self->page, size = self->sub.region_size, i;
	int fd = self->sub.fd;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		int kind = kinds[i];

		EXPECT_EQ(-EINVAL, try_map(fd, size + page, PROT_READ, kind,
					   0));
		EXPECT_EQ(-EINVAL, try_map(fd, 1UL << 32, PROT_READ, kind, 0));
		/* Not even if the length would fit. */
		EXPECT_EQ(-EINVAL, try_map(fd, page, PROT_READ, kind, page));
		EXPECT_EQ(-EINVAL, try_map(fd, page, PROT_READ, kind,
					   (size + page - 1) / page * page));
		EXPECT_EQ(-EINVAL, try_map(fd, page, PROT_READ, kind,
					   1L << 40));
	}
}

TEST_F_TIMEOUT(mapping, never_writable, IPC_TIMEOUT)
{
	static const int kinds[] = { MAP_SHARED, MAP_PRIVATE };
	size_t size = self->sub.region_size, i;
	int fd = self->sub.fd;
	void *map;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		EXPECT_EQ(-EACCES, try_map(fd, size, PROT_READ | PROT_WRITE,
					   kinds[i], 0));
		EXPECT_EQ(-EACCES, try_map(fd, size, PROT_WRITE, kinds[i], 0));
		map = mmap(NULL, size, PROT_READ, kinds[i], fd, 0);
		ASSERT_NE(MAP_FAILED, map);
		EXPECT_EQ(-1, mprotect(map, size, PROT_READ | PROT_WRITE));
		EXPECT_EQ(EACCES, errno);
		EXPECT_EQ(-1, mprotect(map, self->page, PROT_WRITE));
		EXPECT_EQ(EACCES, errno);
		EXPECT_EQ(0, munmap(map, size));
	}
}

/* A debugger can write to memory that the program itself cannot write. */
TEST_F_TIMEOUT(mapping, not_writable_by_a_debugger, IPC_TIMEOUT)
{
	const struct io_uring_ipc_ring *map = ipc_region(&self->sub);
	__u32 bad = 77;
	int mem;

	ASSERT_NE(NULL, map);
	mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, mem);
	EXPECT_EQ(-1, pwrite(mem, &bad, sizeof(bad),
			     (off_t)&map->producer.tail));
	EXPECT_EQ(0, ipc_tail(map));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, self->sub.id));
}

TEST_F_TIMEOUT(mapping, does_not_grow, IPC_TIMEOUT)
{
	size_t size = (self->sub.region_size + self->page - 1) /
		      self->page * self->page;
	void *map, *moved;

	map = mmap(NULL, self->page, PROT_READ, MAP_SHARED, self->sub.fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	moved = mremap(map, self->page, size + self->page, MREMAP_MAYMOVE);
	EXPECT_EQ(MAP_FAILED, moved);
	EXPECT_EQ(0, munmap(map, self->page));
	/* The same at the end of the region. */
	map = mmap(NULL, size, PROT_READ, MAP_SHARED, self->sub.fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	moved = mremap(map, size, size + self->page, MREMAP_MAYMOVE);
	EXPECT_EQ(MAP_FAILED, moved);
	EXPECT_EQ(ENTRIES, ((struct io_uring_ipc_ring *)map)->ring_entries);
}

TEST_F_TIMEOUT(mapping, can_be_split_and_moved, IPC_TIMEOUT)
{
	const struct io_uring_ipc_ring *map = ipc_region(&self->sub);
	size_t size = self->sub.region_size;
	void *moved, *room;

	ASSERT_NE(NULL, map);
	room = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, room);
	moved = mremap((void *)map, size, size, MREMAP_MAYMOVE | MREMAP_FIXED,
		       room);
	ASSERT_EQ(room, moved);
	map = moved;
	EXPECT_EQ(0, munmap((char *)moved + 2 * self->page, self->page));
	EXPECT_EQ(ENTRIES, map->ring_entries);
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sub.id, 1));
	EXPECT_EQ(1, ipc_tail(map));
}

TEST_F_TIMEOUT(mapping, senders_get_none, IPC_TIMEOUT)
{
	struct ipc_sub sender;

	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_SEND,
				&sender));
	EXPECT_EQ(0, sender.region_size);
	EXPECT_EQ(-EACCES, try_map(sender.fd, self->page, PROT_READ,
				   MAP_SHARED, 0));
	EXPECT_EQ(-EACCES, try_map(sender.fd, self->page, PROT_READ,
				   MAP_PRIVATE, 0));
	EXPECT_EQ(-EACCES, try_map(sender.fd, self->page,
				   PROT_READ | PROT_WRITE, MAP_SHARED, 0));
}

TEST_F_TIMEOUT(mapping, private_channels_have_none, IPC_TIMEOUT)
{
	struct ipc_sub sub;
	__u32 channel, flags;

	ASSERT_EQ(0, ipc_create(&self->ring, variant->flags | IOIPC_F_PRIVATE,
				ENTRIES, SIZE, &channel));
	for (flags = IOIPC_SUB_SEND; flags <= IOIPC_SUB_BOTH; flags++) {
		ASSERT_EQ(0, ipc_attach(&self->ring, channel, flags, &sub));
		EXPECT_EQ(0, sub.region_size);
		EXPECT_EQ(-EACCES, try_map(sub.fd, self->page, PROT_READ,
					   MAP_SHARED, 0));
		EXPECT_EQ(-EACCES, try_map(sub.fd, self->page, PROT_READ,
					   MAP_PRIVATE, 0));
	}
}

/* The file is only for mapping: read and write fail. */
TEST_F_TIMEOUT(mapping, no_read_no_write, IPC_TIMEOUT)
{
	char buf[64] = {};

	EXPECT_EQ(-1, read(self->sub.fd, buf, sizeof(buf)));
	EXPECT_EQ(-1, write(self->sub.fd, buf, sizeof(buf)));
	EXPECT_EQ(-1, ftruncate(self->sub.fd, 0));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, self->sub.id));
}

/* Unused memory of the region has no data of other users. */
TEST_F_TIMEOUT(mapping, unused_memory_is_zero, IPC_TIMEOUT)
{
	const struct io_uring_ipc_ring *map = ipc_region(&self->sub);
	size_t size = self->sub.region_size, i;
	const char *byte = (const char *)map;
	char used = 0;

	ASSERT_NE(NULL, map);
	for (i = map->data_offset; i < size; i++)
		used |= byte[i];
	EXPECT_EQ(0, used);
	EXPECT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sub.id, ~0ULL));
	for (i = map->data_offset + IPC_NUM; i < size; i++)
		used |= byte[i];
	EXPECT_EQ(0, used);
}

/*
 * Copies a message out of the mapping, as a reader without a lock must: the
 * slot says before the copy whether the message is there, and the head says
 * after it whether the message was there all the time.  Returns its length, or
 * a negative errno.
 */
static int read_in_place(const struct io_uring_ipc_ring *map, __u32 position,
			 char *buf)
{
	const struct io_uring_ipc_msg_desc *desc = ipc_desc(map, position);
	__u32 word[2], len;
	__u64 both;

	/*
	 * The kernel writes both together, so a reader can read both together.
	 */
	both = __atomic_load_n((const __u64 *)&desc->seq, __ATOMIC_ACQUIRE);
	memcpy(word, &both, sizeof(both));
	if (word[0] != position + 1 || word[1] != IOIPC_MSG_READY)
		return -EAGAIN;
	len = desc->len;
	/* The length is valid, whichever message the slot has now. */
	if (len > map->max_msg_size)
		return -EBADMSG;
	memcpy(buf, (const char *)map + desc->offset, len);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if ((int)(__atomic_load_n(&map->consumer.head, __ATOMIC_RELAXED) -
		  position) > 0)
		return -EAGAIN;
	return len;
}

TEST_F_TIMEOUT(mapping, read_in_place, IPC_TIMEOUT)
{
	const struct io_uring_ipc_ring *map = ipc_region(&self->sub);
	char buf[SIZE];
	__u32 i;

	ASSERT_NE(NULL, map);
	for (i = 0; i < 3 * ENTRIES; i++) {
		__u32 len = i * 200;

		EXPECT_EQ(-EAGAIN, read_in_place(map, i, buf));
		ipc_fill(buf, len, i);
		ASSERT_EQ(len, ipc_send(&self->ring, self->sub.id, buf, len));
		memset(buf, 0, SIZE);
		EXPECT_EQ(len, read_in_place(map, i, buf));
		EXPECT_TRUE(ipc_filled(buf, len, i));
		ASSERT_EQ(len, ipc_recv(&self->ring, self->sub.id, buf, SIZE));
		if (i >= ENTRIES) {
			EXPECT_EQ(-EAGAIN, read_in_place(map, i - ENTRIES,
							 buf));
		}
	}
}

/* A reader in another process, while senders use all slots many times. */
TEST_F_TIMEOUT(mapping, read_in_place_while_it_changes, IPC_TIMEOUT)
{
	enum { COUNT = 2000 };
	char buf[SIZE];
	pid_t pid;
	__u32 i;

	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		const struct io_uring_ipc_ring *map = ipc_region(&self->sub);
		__u32 tail, seen = 0;
		int len;

		ASSERT_NE(NULL, map);
		while ((tail = ipc_tail(map)) != COUNT) {
			len = tail ? read_in_place(map, tail - 1, buf) :
				     -EAGAIN;
			if (len == -EAGAIN) {
				sched_yield();
				continue;
			}
			ASSERT_EQ((tail - 1) % SIZE, len);
			ASSERT_TRUE(ipc_filled(buf, len, tail - 1));
			seen++;
		}
		TH_LOG("read %u times in place", seen);
		/* The reader cannot miss the last message. */
		ASSERT_TRUE(ipc_poll(read_in_place(map, COUNT - 1, buf) ==
				     IPC_NUM));
		_exit(0);
	}
	for (i = 0; i < COUNT - 1; i++) {
		ipc_fill(buf, i % SIZE, i);
		ASSERT_EQ(i % SIZE, ipc_send(&self->ring, self->sub.id, buf,
					     i % SIZE));
		ASSERT_EQ(i % SIZE, ipc_recv(&self->ring, self->sub.id, buf,
					     SIZE));
	}
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sub.id, i));
	EXPECT_EQ(0, ipc_wait(pid));
}

/* A process can inherit the file even if it could not attach. */
TEST_F_TIMEOUT(mapping, inherited_file_maps, IPC_TIMEOUT)
{
	static const struct ipc_who nobody = { IPC_UID, IPC_GID, 0 };
	pid_t pid;

	if (geteuid())
		SKIP(return, "needs to be root");
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sub.id, 9));
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		const struct io_uring_ipc_ring *map;
		__u64 num = 0;

		ipc_become(nobody);
		map = ipc_region(&self->sub);
		ASSERT_NE(NULL, map);
		EXPECT_EQ(IPC_NUM, read_in_place(map, 0, (char *)&num));
		EXPECT_EQ(9, num);
		_exit(0);
	}
	EXPECT_EQ(0, ipc_wait(pid));
}

TEST_F_TIMEOUT(mapping, all_mappings_are_the_same, IPC_TIMEOUT)
{
	const struct io_uring_ipc_ring *map[3];
	struct ipc_sub other;
	int i;

	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_RECV,
				&other));
	map[0] = ipc_region(&self->sub);
	map[1] = ipc_region(&self->sub);
	map[2] = ipc_region(&other);
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sub.id, 3));
	for (i = 0; i < 3; i++) {
		__u64 num = 0;

		ASSERT_NE(NULL, map[i]);
		EXPECT_EQ(IPC_NUM, read_in_place(map[i], 0, (char *)&num));
		EXPECT_EQ(3, num);
	}
}

TEST_HARNESS_MAIN
