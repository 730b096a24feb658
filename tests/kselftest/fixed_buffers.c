// SPDX-License-Identifier: GPL-2.0
/* IOIPC_FIXED_BUF: messages in registered buffers. */
#include "fixture.h"
#include "messages.h"

#define ENTRIES	16
#define SIZE	(64 << 10)
/* Pages of the first buffer. */
#define PAGES	40

FIXTURE(fixed) {
	struct io_uring ring;
	__u32 channel;
	struct ipc_sub sender;
	struct ipc_sub receiver;
	const struct io_uring_ipc_ring *map;
	size_t page;
	/* Buffers 0 and 1, and no buffer 2. */
	char *first;
	char *second;
	char plain[SIZE];
};

FIXTURE_VARIANT(fixed) {
	__u32 flags;
	unsigned int setup;
	/* Flags of the SQE. */
	unsigned int sqe_flags;
};

FIXTURE_VARIANT_ADD(fixed, unicast) {
	.flags = 0,
};

FIXTURE_VARIANT_ADD(fixed, multicast_async) {
	.flags = IOIPC_F_MULTICAST,
	.sqe_flags = IOSQE_ASYNC,
};

FIXTURE_VARIANT_ADD(fixed, broadcast) {
	.flags = IOIPC_F_BROADCAST,
};

FIXTURE_VARIANT_ADD(fixed, unicast_sqpoll) {
	.flags = 0,
	.setup = IORING_SETUP_SQPOLL,
};

FIXTURE_VARIANT_ADD(fixed, broadcast_defer_taskrun) {
	.flags = IOIPC_F_BROADCAST,
	.setup = WAIT_DEFER,
};

FIXTURE_SETUP(fixed)
{
	struct io_uring_params params = {
		.flags = variant->setup,
		.sq_thread_idle = 1,
	};

	self->page = sysconf(_SC_PAGESIZE);
	ASSERT_EQ(0, io_uring_queue_init_params(64, &self->ring, &params));
	SET_UP_CHANNEL(&self->ring, &self->ring, ENTRIES, SIZE);
	self->map = ipc_region(&self->receiver);
	ASSERT_NE(NULL, self->map);
	self->first = ipc_pages(PAGES);
	self->second = ipc_pages(1);
	ASSERT_NE(NULL, self->first);
	ASSERT_NE(NULL, self->second);

	const struct iovec buffers[] = {
		{ self->first, PAGES * self->page },
		/* Starts and ends in the middle of a page. */
		{ self->second + 100, 1000 },
		{ NULL, 0 },
	};

	ASSERT_EQ(0, io_uring_register_buffers(&self->ring, buffers, 3));
}

FIXTURE_TEARDOWN(fixed)
{
	io_uring_queue_exit(&self->ring);
}

/* Operations on a registered buffer. */
static struct io_uring_sqe *get_send(FIXTURE_DATA(fixed) *self,
				     const FIXTURE_VARIANT(fixed) *variant,
				     int index, const void *buf, __u32 len)
{
	struct io_uring_sqe *sqe;

	sqe = msg_get_send(&self->ring, self->sender.id, buf, len,
			   IOIPC_FIXED_BUF);
	sqe->buf_index = index;
	sqe->flags |= variant->sqe_flags;
	return sqe;
}

static int fixed_send(FIXTURE_DATA(fixed) *self,
		      const FIXTURE_VARIANT(fixed) *variant, int index,
		      const void *buf, __u32 len)
{
	return msg_run(&self->ring, get_send(self, variant, index, buf, len));
}

static struct io_uring_sqe *get_recv(FIXTURE_DATA(fixed) *self,
				     const FIXTURE_VARIANT(fixed) *variant,
				     int index, void *buf, __u32 len,
				     __u32 flags)
{
	struct io_uring_sqe *sqe;

	sqe = msg_get_recv(&self->ring, self->receiver.id, buf, len,
			   flags | IOIPC_FIXED_BUF);
	sqe->buf_index = index;
	sqe->flags |= variant->sqe_flags;
	return sqe;
}

static int fixed_recv(FIXTURE_DATA(fixed) *self,
		      const FIXTURE_VARIANT(fixed) *variant, int index,
		      void *buf, __u32 len, __u32 flags)
{
	return msg_run(&self->ring, get_recv(self, variant, index, buf, len,
					     flags));
}

/* Operations without registered buffers. */
static int plain_send(FIXTURE_DATA(fixed) *self, const void *buf, __u32 len)
{
	return msg_send(&self->ring, self->sender.id, buf, len, 0);
}

static int plain_recv(FIXTURE_DATA(fixed) *self, void *buf, __u32 len)
{
	return msg_recv(&self->ring, self->receiver.id, buf, len, 0);
}

/* Parts of the first buffer. */
static const struct {
	__u32 offset, len;
} parts[] = {
	{ 0, 0 }, { 0, 1 }, { 0, 8 }, { 0, 4096 }, { 0, SIZE },
	{ 1, 1 }, { 3, 100 }, { 4095, 1 }, { 4095, 2 }, { 4096, 4096 },
	{ 4000, 4096 }, { 4095, 4098 }, { 8191, 8194 }, { 12345, 54321 },
	{ 1, SIZE }, { 4095, SIZE }, { PAGES * 4096 - 1, 1 },
	{ PAGES * 4096 - SIZE, SIZE }, { PAGES * 4096 - 4097, 4097 },
	{ PAGES * 4096, 0 }, { 777, 0 },
};

TEST_F_TIMEOUT(fixed, send_a_part, IPC_TIMEOUT)
{
	size_t i;

	ASSERT_EQ(4096, self->page);
	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		memset(self->first, 'x', PAGES * self->page);
		ipc_fill(self->first + parts[i].offset, parts[i].len, i);
		ASSERT_EQ(parts[i].len,
			  fixed_send(self, variant, 0,
				     self->first + parts[i].offset,
				     parts[i].len))
			TH_LOG("part %zu", i);
		memset(self->plain, 0, SIZE);
		ASSERT_EQ(parts[i].len, plain_recv(self, self->plain, SIZE));
		EXPECT_TRUE(ipc_filled(self->plain, parts[i].len, i))
			TH_LOG("part %zu", i);
	}
}

TEST_F_TIMEOUT(fixed, recv_into_a_part, IPC_TIMEOUT)
{
	char *end = self->first + PAGES * self->page, *start;
	size_t i;

	ASSERT_EQ(4096, self->page);
	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		memset(self->first, 'x', PAGES * self->page);
		ipc_fill(self->plain, parts[i].len, i);
		ASSERT_EQ(parts[i].len, plain_send(self, self->plain,
						   parts[i].len));
		start = self->first + parts[i].offset;
		ASSERT_EQ(parts[i].len, fixed_recv(self, variant, 0, start,
						   parts[i].len, 0))
			TH_LOG("part %zu", i);
		EXPECT_TRUE(ipc_filled(start, parts[i].len, i))
			TH_LOG("part %zu", i);
		/* The receive has written nothing else. */
		if (start > self->first) {
			EXPECT_EQ('x', start[-1]);
		}
		if (start + parts[i].len < end) {
			EXPECT_EQ('x', start[parts[i].len]);
		}
	}
	/* A buffer that is larger than the message, and a smaller one. */
	memset(self->first, 'x', 2 * self->page);
	ipc_fill(self->plain, 5000, 1);
	ASSERT_EQ(5000, plain_send(self, self->plain, 5000));
	ASSERT_EQ(5000, fixed_recv(self, variant, 0, self->first + 10, SIZE,
				   0));
	EXPECT_TRUE(ipc_filled(self->first + 10, 5000, 1));
	EXPECT_EQ('x', self->first[5010]);
	memset(self->first, 'x', 2 * self->page);
	ASSERT_EQ(5000, plain_send(self, self->plain, 5000));
	ASSERT_EQ(4100, fixed_recv(self, variant, 0, self->first + 10, 4100,
				   0));
	EXPECT_TRUE(ipc_filled(self->first + 10, 4100, 1));
	EXPECT_EQ('x', self->first[4110]);
	ASSERT_EQ(5000, plain_send(self, self->plain, 5000));
	EXPECT_EQ(5000, fixed_recv(self, variant, 0, self->first, 0,
				   IOIPC_RECV_TRUNC));
	EXPECT_EQ(-EAGAIN, fixed_recv(self, variant, 0, self->first, SIZE, 0));
}

/* From one registered buffer to another. */
TEST_F_TIMEOUT(fixed, both_ways, IPC_TIMEOUT)
{
	int i;

	for (i = 0; i < 3 * ENTRIES; i++) {
		ipc_fill(self->second + 100, 1000, i);
		ASSERT_EQ(1000 - i, fixed_send(self, variant, 1,
					       self->second + 100, 1000 - i));
		ASSERT_EQ(1000 - i, fixed_recv(self, variant, 0,
					       self->first + i * 100, 1000,
					       0));
		EXPECT_TRUE(ipc_filled(self->first + i * 100, 1000 - i, i));
	}
}

TEST_F_TIMEOUT(fixed, out_of_range, IPC_TIMEOUT)
{
	const struct {
		int	index;
		char	*addr;
		__u32	len;
	} bad[] = {
		{ 0, self->first - 1, 8 },
		{ 0, self->first - 8, 8 },
		{ 0, self->first + PAGES * self->page - 7, 8 },
		{ 0, self->first + PAGES * self->page, 8 },
		{ 0, self->first + PAGES * self->page - 1, 2 },
		{ 0, NULL, 8 },
		/* There is memory, but it is not registered. */
		{ 0, self->second + 100, 8 },
		{ 1, self->second + 99, 8 },
		{ 1, self->second + 1093, 8 },
		{ 1, self->second, 8 },
		{ 1, self->first, 8 },
		{ 0, self->plain, 8 },
		/* Beyond the end of the address space, and across it. */
		{ 0, (char *)-8UL, 8 },
		{ 0, (char *)-4UL, 8 },
		{ 0, (char *)(1UL << 63), 8 },
		{ 0, (char *)0xffff888000000000, 8 },
		/* No such buffer. */
		{ 2, NULL, 8 },
		{ 2, self->first, 8 },
		{ 3, self->first, 8 },
		{ 1000, self->first, 8 },
		{ USHRT_MAX, self->first, 8 },
	};
	size_t i;

	memset(self->first, 'x', PAGES * self->page);
	memset(self->second, 'x', self->page);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EFAULT, fixed_send(self, variant, bad[i].index,
					      bad[i].addr, bad[i].len))
			TH_LOG("send, case %zu", i);
	}
	EXPECT_EQ(0, ipc_tail(self->map));
	ASSERT_EQ(8, plain_send(self, "message", 8));
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EFAULT, fixed_recv(self, variant, bad[i].index,
					      bad[i].addr, bad[i].len, 0))
			TH_LOG("receive, case %zu", i);
	}
	/* A receive may have a length that is larger than any buffer. */
	EXPECT_EQ(-EFAULT, fixed_recv(self, variant, 0, self->first,
				      PAGES * self->page + 1, 0));
	EXPECT_EQ(-EFAULT, fixed_recv(self, variant, 0, self->first, INT_MAX,
				      0));
	EXPECT_EQ(-EFAULT, fixed_recv(self, variant, 0, self->first, UINT_MAX,
				      0));
	EXPECT_EQ(-EFAULT, fixed_recv(self, variant, 0,
				      self->first + self->page, -self->page,
				      0));
	for (i = 0; i < PAGES * self->page; i++) {
		ASSERT_EQ('x', self->first[i]);
	}
	for (i = 0; i < self->page; i++) {
		ASSERT_EQ('x', self->second[i]);
	}
	/* The message has stayed. */
	EXPECT_EQ(8, fixed_recv(self, variant, 0, self->first, 100, 0));
	EXPECT_STREQ("message", self->first);
}

TEST_F_TIMEOUT(fixed, too_long, IPC_TIMEOUT)
{
	EXPECT_EQ(-EMSGSIZE, fixed_send(self, variant, 0, self->first,
					SIZE + 1));
	EXPECT_EQ(-EMSGSIZE, fixed_send(self, variant, 0, self->first,
					PAGES * self->page));
	EXPECT_EQ(0, ipc_tail(self->map));
	EXPECT_EQ(SIZE, fixed_send(self, variant, 0, self->first, SIZE));
	EXPECT_EQ(SIZE, plain_recv(self, self->plain, SIZE));
}

TEST_F_TIMEOUT(fixed, flags, IPC_TIMEOUT)
{
	const struct iovec vec = { self->first, 8 };
	struct io_uring_sqe *sqe;
	struct msg_pool pool;

	ASSERT_EQ(0, msg_pool_open(&pool, &self->ring, 4, 64, 0));
	/* An index without the flag. */
	sqe = get_send(self, variant, 1, self->first, 8);
	sqe->rw_flags = 0;
	EXPECT_EQ(-EINVAL, msg_run(&self->ring, sqe));
	/* A vector, also one in the buffer. */
	sqe = get_send(self, variant, 0, &vec, 1);
	sqe->rw_flags |= IOIPC_SEND_VEC;
	EXPECT_EQ(-EINVAL, msg_run(&self->ring, sqe));
	memcpy(self->first, &vec, sizeof(vec));
	sqe = get_send(self, variant, 0, self->first, 1);
	sqe->rw_flags |= IOIPC_SEND_VEC | IOIPC_SEND_WAIT;
	EXPECT_EQ(-EINVAL, msg_run(&self->ring, sqe));
	/* A vector has no buffer index either. */
	sqe = get_send(self, variant, 1, &vec, 1);
	sqe->rw_flags = IOIPC_SEND_VEC;
	EXPECT_EQ(-EINVAL, msg_run(&self->ring, sqe));
	/* Provided buffers. */
	sqe = get_send(self, variant, 0, self->first, 8);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	EXPECT_EQ(-EOPNOTSUPP, msg_run(&self->ring, sqe));
	EXPECT_EQ(0, ipc_tail(self->map));

	ASSERT_EQ(8, plain_send(self, "message", 8));
	sqe = get_recv(self, variant, 1, self->first, 8, 0);
	sqe->rw_flags = 0;
	EXPECT_EQ(-EINVAL, msg_run(&self->ring, sqe));
	sqe = msg_get_select(&self->ring, self->receiver.id, 0,
			     IOIPC_FIXED_BUF);
	EXPECT_EQ(-EINVAL, msg_run(&self->ring, sqe));
	sqe = msg_get_select(&self->ring, self->receiver.id, 0,
			     IOIPC_FIXED_BUF | IOIPC_RECV_MULTISHOT);
	EXPECT_EQ(-EINVAL, msg_run(&self->ring, sqe));
	sqe = get_recv(self, variant, 0, self->first, 8, IOIPC_RECV_MULTISHOT);
	EXPECT_EQ(-EINVAL, msg_run(&self->ring, sqe));
	EXPECT_EQ(8, fixed_recv(self, variant, 0, self->first, 8, 0));
	EXPECT_STREQ("message", self->first);
}

TEST_F_TIMEOUT(fixed, without_registered_buffers, IPC_TIMEOUT)
{
	ASSERT_EQ(0, io_uring_unregister_buffers(&self->ring));
	EXPECT_EQ(-EFAULT, fixed_send(self, variant, 0, self->first, 8));
	EXPECT_EQ(0, ipc_tail(self->map));
	ASSERT_EQ(8, plain_send(self, "message", 8));
	EXPECT_EQ(-EFAULT, fixed_recv(self, variant, 0, self->first, 8, 0));
	EXPECT_EQ(8, plain_recv(self, self->plain, SIZE));
}

/* A buffer slot is filled in, and later replaced by another buffer. */
TEST_F_TIMEOUT(fixed, update, IPC_TIMEOUT)
{
	struct iovec update[2] = {
		{ self->first, self->page },
		{ self->second, self->page },
	};
	int i;

	memset(self->first, 'x', self->page);
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(1, io_uring_register_buffers_update_tag(&self->ring,
								  2,
								  &update[i % 2],
								  NULL, 1));
		EXPECT_EQ(-EFAULT, fixed_send(self, variant, 2,
					      update[!(i % 2)].iov_base, 8));
		ipc_fill(update[i % 2].iov_base, 8, i);
		ASSERT_EQ(8, fixed_send(self, variant, 2,
					update[i % 2].iov_base, 8));
		ASSERT_EQ(8, fixed_recv(self, variant, 2,
					(char *)update[i % 2].iov_base + 100,
					8, 0));
		EXPECT_TRUE(ipc_filled(update[i % 2].iov_base + 100, 8, i));
	}
}

TEST_F_TIMEOUT(fixed, waiting, IPC_TIMEOUT)
{
	struct io_uring_sqe *sqe;
	int i;

	for (i = 0; i < 5; i++) {
		/* A receive waits for a message. */
		memset(self->first, 'x', self->page);
		get_recv(self, variant, 0, self->first + 10, 100,
			 IOIPC_RECV_WAIT)->user_data = 7;
		ASSERT_TRUE(wait_nothing(&self->ring));
		ipc_fill(self->plain, 50, i);
		ASSERT_EQ(50, plain_send(self, self->plain, 50));
		ASSERT_EQ(50, wait_for(&self->ring, 7));
		EXPECT_TRUE(ipc_filled(self->first + 10, 50, i));
		EXPECT_EQ('x', self->first[60]);
	}
	for (i = 0; i < ENTRIES; i++) {
		ASSERT_EQ(0, plain_send(self, NULL, 0));
	}
	/* A send waits for room. */
	ipc_fill(self->first, 5000, 9);
	get_send(self, variant, 0, self->first, 5000)->user_data = 8;
	EXPECT_EQ(-ENOBUFS, wait_for(&self->ring, 8));
	sqe = get_send(self, variant, 0, self->first, 5000);
	sqe->rw_flags |= IOIPC_SEND_WAIT;
	sqe->user_data = 8;
	ASSERT_TRUE(wait_nothing(&self->ring));
	for (i = 0; i < ENTRIES; i++) {
		ASSERT_EQ(0, plain_recv(self, self->plain, SIZE));
	}
	ASSERT_EQ(5000, wait_for(&self->ring, 8));
	ASSERT_EQ(5000, plain_recv(self, self->plain, SIZE));
	EXPECT_TRUE(ipc_filled(self->plain, 5000, 9));
}

/*
 * The buffer of a waiting request is unregistered, and another one takes its
 * number: the message goes to the old buffer, or stays.
 */
TEST_F_TIMEOUT(fixed, unregistered_while_waiting, IPC_TIMEOUT)
{
	const struct iovec other = { self->second, self->page };
	char *gone = self->first;
	int res, round;

	for (round = 0; round < 4; round++) {
		const struct iovec buffer = { gone, self->page };
		bool unmap = round == 2, again = round % 2;

		if (round) {
			ASSERT_EQ(0, io_uring_register_buffers(&self->ring,
							       &buffer, 1));
		}
		memset(gone, 'x', self->page);
		memset(self->second, 'x', self->page);
		get_recv(self, variant, 0, gone, 100,
			 IOIPC_RECV_WAIT)->user_data = 7;
		ASSERT_TRUE(wait_nothing(&self->ring));
		ASSERT_EQ(0, io_uring_unregister_buffers(&self->ring));
		if (again) {
			ASSERT_EQ(0, io_uring_register_buffers(&self->ring,
							       &other, 1));
		}
		if (unmap) {
			ASSERT_EQ(0, munmap(gone, PAGES * self->page));
			gone = ipc_pages(PAGES);
			ASSERT_NE(NULL, gone);
		}
		ASSERT_EQ(8, plain_send(self, "message", 8));
		res = wait_for(&self->ring, 7);
		if (res == 8) {
			if (!unmap) {
				EXPECT_STREQ("message", gone);
			}
		} else {
			EXPECT_EQ(-EFAULT, res);
			EXPECT_EQ(8, plain_recv(self, self->plain, SIZE));
		}
		EXPECT_EQ('x', self->second[0]);
		if (again) {
			ASSERT_EQ(0, io_uring_unregister_buffers(&self->ring));
		}
	}
	EXPECT_EQ(-EAGAIN, plain_recv(self, self->plain, SIZE));
	self->first = gone;
}

TEST_F_TIMEOUT(fixed, the_ring_ends_while_waiting, IPC_TIMEOUT)
{
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	struct ipc_sub sub;
	int i;

	for (i = 0; i < 5; i++) {
		const struct iovec buffer = { self->second, self->page };

		ASSERT_EQ(0, ipc_open(&ring));
		ASSERT_EQ(0, ipc_attach(&ring, self->channel, IOIPC_SUB_RECV,
					&sub));
		ASSERT_EQ(0, io_uring_register_buffers(&ring, &buffer, 1));
		sqe = msg_get_recv(&ring, sub.id, self->second, 100,
				   IOIPC_RECV_WAIT | IOIPC_FIXED_BUF);
		sqe->flags |= variant->sqe_flags;
		ASSERT_TRUE(wait_nothing(&ring));
		io_uring_queue_exit(&ring);
		memset(self->second, 'x', self->page);
		ASSERT_EQ(8, msg_send_to(&self->ring, self->sender.id,
					 "message", 8, IOIPC_SEND_WAIT,
					 self->receiver.id));
		ASSERT_EQ(8, plain_recv(self, self->plain, SIZE));
		EXPECT_EQ('x', self->second[0]);
	}
}

/* The registration holds the pages, also without a mapping. */
TEST_F_TIMEOUT(fixed, unmapped, IPC_TIMEOUT)
{
	char *mem, *view;
	struct iovec update;
	int fd;

	ipc_fill(self->first, SIZE, 1);
	ASSERT_EQ(0, munmap(self->first, PAGES * self->page));
	/* Other memory is mapped there now. */
	mem = mmap(self->first, self->page, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	ASSERT_EQ(self->first, mem);
	memset(mem, 'm', self->page);
	ASSERT_EQ(SIZE, fixed_send(self, variant, 0, self->first, SIZE));
	ASSERT_EQ(SIZE, plain_recv(self, self->plain, SIZE));
	EXPECT_TRUE(ipc_filled(self->plain, SIZE, 1));
	ipc_fill(self->plain, SIZE, 2);
	ASSERT_EQ(SIZE, plain_send(self, self->plain, SIZE));
	ASSERT_EQ(SIZE, fixed_recv(self, variant, 0, self->first, SIZE, 0));
	EXPECT_EQ('m', mem[0]);
	EXPECT_EQ('m', mem[self->page - 1]);
	ASSERT_EQ(SIZE, fixed_send(self, variant, 0, self->first, SIZE));
	ASSERT_EQ(SIZE, plain_recv(self, self->plain, SIZE));
	EXPECT_TRUE(ipc_filled(self->plain, SIZE, 2));

	/* The same pages are mapped elsewhere. */
	fd = memfd_create("fixed", MFD_CLOEXEC);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, 2 * self->page));
	view = mmap(NULL, 2 * self->page, PROT_READ | PROT_WRITE, MAP_SHARED,
		    fd, 0);
	ASSERT_NE(MAP_FAILED, view);
	mem = mmap(NULL, 2 * self->page, PROT_READ | PROT_WRITE, MAP_SHARED,
		   fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	update = (struct iovec) { mem, 2 * self->page };
	ASSERT_EQ(1, io_uring_register_buffers_update_tag(&self->ring, 2,
							  &update, NULL, 1));
	ASSERT_EQ(0, munmap(mem, 2 * self->page));
	ipc_fill(self->plain, 5000, 3);
	ASSERT_EQ(5000, plain_send(self, self->plain, 5000));
	ASSERT_EQ(5000, fixed_recv(self, variant, 2, mem + 100, 8000, 0));
	EXPECT_TRUE(ipc_filled(view + 100, 5000, 3));
	EXPECT_EQ(0, view[99]);
	EXPECT_EQ(0, view[5100]);
}

/* The process loses the permission, and the pages stay the same. */
TEST_F_TIMEOUT(fixed, protected, IPC_TIMEOUT)
{
	ipc_fill(self->first, 100, 1);
	ASSERT_EQ(0, mprotect(self->first, PAGES * self->page, PROT_NONE));
	ASSERT_EQ(100, fixed_send(self, variant, 0, self->first, 100));
	ASSERT_EQ(100, fixed_recv(self, variant, 0, self->first + 50, 100, 0));
	ASSERT_EQ(0, mprotect(self->first, PAGES * self->page, PROT_READ));
	EXPECT_TRUE(ipc_filled(self->first + 50, 100, 1));
}

TEST_F_TIMEOUT(fixed, a_large_buffer, IPC_TIMEOUT)
{
	const size_t size = 16 << 20;
	struct iovec update;
	size_t offset;
	char *mem;

	mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, mem);
	update = (struct iovec) { mem, size };
	ASSERT_EQ(1, io_uring_register_buffers_update_tag(&self->ring, 2,
							  &update, NULL, 1));
	for (offset = 12345; offset + SIZE < size; offset += 3 << 20) {
		ipc_fill(mem + offset, SIZE, offset);
		ASSERT_EQ(SIZE, fixed_send(self, variant, 2, mem + offset,
					   SIZE));
		memset(mem + offset, 'x', SIZE);
		ASSERT_EQ(SIZE, fixed_recv(self, variant, 2,
					   mem + size - SIZE - 1, SIZE, 0));
		EXPECT_TRUE(ipc_filled(mem + size - SIZE - 1, SIZE, offset));
		EXPECT_EQ(0, mem[size - 1]);
	}
}

TEST_F_TIMEOUT(fixed, with_info, IPC_TIMEOUT)
{
	struct io_uring_ipc_msg_info want, info;
	struct io_uring_sqe *sqe;
	/* A page ends in the info, and in the message. */
	const size_t offsets[] = {
		0, 8, 3, self->page - 20, self->page - MSG_INFO,
		self->page - MSG_INFO - 1000,
	};
	char *start;
	size_t i;

	ASSERT_EQ(0, plain_send(self, NULL, 0));
	EXPECT_EQ(-EINVAL, fixed_recv(self, variant, 0, self->first,
				      MSG_INFO - 1, IOIPC_RECV_INFO));
	EXPECT_EQ(-EINVAL, fixed_recv(self, variant, 0, self->first, 0,
				      IOIPC_RECV_BUNDLE));
	EXPECT_EQ(0, plain_recv(self, self->plain, SIZE));
	for (i = 0; i < ARRAY_SIZE(offsets); i++) {
		start = self->first + offsets[i];
		memset(self->first, 'x', 4 * self->page);
		ipc_fill(self->second + 100, 1000, i);
		sqe = get_send(self, variant, 1, self->second + 100, 1000);
		sqe->user_data = 50 + i;
		ASSERT_EQ(1000, msg_run(&self->ring, sqe));
		ASSERT_EQ(MSG_INFO + 1000, fixed_recv(self, variant, 0, start,
						      2000, IOIPC_RECV_INFO));
		memcpy(&info, start, MSG_INFO);
		want = msg_own_info(1000, i * 2 + 2, 50 + i, self->sender.id);
		EXPECT_TRUE(msg_same_info(&want, &info))
			TH_LOG("offset %zu", offsets[i]);
		EXPECT_TRUE(ipc_filled(start + MSG_INFO, 1000, i));
		EXPECT_EQ('x', start[MSG_INFO + 1000]);
		/* A truncated message. */
		ASSERT_EQ(1000, fixed_send(self, variant, 1,
					   self->second + 100, 1000));
		memset(self->first, 'x', 4 * self->page);
		ASSERT_EQ(MSG_INFO + 1000,
			  fixed_recv(self, variant, 0, start, 100,
				     IOIPC_RECV_INFO | IOIPC_RECV_TRUNC));
		memcpy(&info, start, MSG_INFO);
		EXPECT_EQ(IOIPC_INFO_TRUNCATED, info.flags);
		EXPECT_EQ(1000, info.len);
		EXPECT_TRUE(ipc_filled(start + MSG_INFO, 100 - MSG_INFO, i));
		EXPECT_EQ('x', start[100]);
	}
}

TEST_F_TIMEOUT(fixed, bundle, IPC_TIMEOUT)
{
	static const int len[] = { 0, 5, 4096, 1, 5000, 16, 3 };
	struct msg_walk walk = {};
	int i, start, used, limit;

	for (start = 0; start < 2 * 4096; start += 2043) {
		for (limit = 0; limit < 2; limit++) {
			used = 0;
			memset(self->first, 'x', 6 * self->page);
			for (i = 0; i < ARRAY_SIZE(len); i++) {
				ipc_fill(self->plain, len[i], i);
				ASSERT_EQ(len[i], plain_send(self, self->plain,
							     len[i]));
				used = (used + 7) / 8 * 8 + MSG_INFO + len[i];
			}
			walk.buf = self->first + start;
			walk.at = 0;
			walk.res = fixed_recv(self, variant, 0,
					      self->first + start,
					      limit ? used : SIZE,
					      IOIPC_RECV_BUNDLE);
			ASSERT_EQ(used, walk.res);
			for (i = 0; i < ARRAY_SIZE(len); i++) {
				ASSERT_TRUE(msg_next(&walk));
				ASSERT_EQ(len[i], walk.info.len);
				ASSERT_EQ(0, walk.info.flags);
				EXPECT_TRUE(ipc_filled(walk.data, len[i], i));
			}
			EXPECT_FALSE(msg_next(&walk));
			EXPECT_FALSE(walk.broken);
			EXPECT_EQ('x', walk.buf[used]);
		}
	}
	EXPECT_EQ(-EAGAIN, plain_recv(self, self->plain, SIZE));
}

/* Parent and child share a registered buffer after a fork. */
TEST_F_TIMEOUT(fixed, copy_on_write, IPC_TIMEOUT)
{
	int ready[2];
	char go;
	pid_t pid;

	memset(self->first, 'x', self->page);
	ASSERT_EQ(0, pipe(ready));
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		_exit(read(ready[0], &go, 1) == 1 && self->first[0] == 'x' ?
		      0 : 1);
	}
	ASSERT_EQ(8, plain_send(self, "message", 8));
	EXPECT_EQ(8, fixed_recv(self, variant, 0, self->first, 100, 0));
	EXPECT_STREQ("message", self->first);
	ASSERT_EQ(1, write(ready[1], "g", 1));
	EXPECT_EQ(0, ipc_wait(pid));
}

IPC_HARNESS_MAIN
