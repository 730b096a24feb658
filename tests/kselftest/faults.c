// SPDX-License-Identifier: GPL-2.0
/*
 * Buffers that cannot be read or written, or only later: the request fails,
 * publishes nothing and loses nothing, and no other request is held up.
 */
#include "fixture.h"
#include "uffd.h"
#include "vanish.h"
#include "waiting.h"

#define ENTRIES	8
#define SIZE	8192

FIXTURE(faults) {
	struct io_uring ring;
	/* The ring of requests that block: another thread uses it. */
	struct io_uring other;
	__u32 channel;
	struct ipc_sub sender;
	struct ipc_sub receiver;
	const struct io_uring_ipc_ring *map;
	size_t page;
};

FIXTURE_KINDS(faults);

FIXTURE_SETUP(faults)
{
	ASSERT_EQ(0, ipc_open(&self->ring));
	ASSERT_EQ(0, ipc_open(&self->other));
	SET_UP_CHANNEL(&self->ring, &self->ring, ENTRIES, SIZE);
	self->map = ipc_region(&self->receiver);
	ASSERT_NE(NULL, self->map);
	self->page = sysconf(_SC_PAGESIZE);
}

FIXTURE_TEARDOWN(faults)
{
	io_uring_queue_exit(&self->other);
	io_uring_queue_exit(&self->ring);
}

/* Addresses without user memory: of the kernel, and unmapped. */
static const unsigned long bad_addresses[] = {
	0,
	1,
	0x7ffffffff000,
	0x7fffffffffff,
	0x800000000000,
	0x4000000000000000,
	0x8000000000000000,
	0xffff800000000000,
	0xffff888000000000,
	0xffffc90000000000,
	0xffffffff81000000,
	0xfffffffffffff000,
	0xffffffffffffffff,
};

static const __u32 lengths[] = { 1, 8, 64, 4096, SIZE };

TEST_F_TIMEOUT(faults, send_from_no_memory, IPC_TIMEOUT)
{
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(bad_addresses); i++) {
		for (j = 0; j < ARRAY_SIZE(lengths); j++) {
			void *buf = (void *)bad_addresses[i];

			EXPECT_EQ(-EFAULT, ipc_send(&self->ring,
						    self->sender.id, buf,
						    lengths[j]))
				TH_LOG("%u bytes at %p", lengths[j], buf);
			EXPECT_EQ(-EFAULT, ipc_send(&self->ring,
						    self->channel, buf,
						    lengths[j]))
				TH_LOG("%u bytes at %p, not attached",
				       lengths[j], buf);
			ASSERT_EQ(-EAGAIN, ipc_recv_num(&self->ring,
							self->receiver.id));
		}
	}
	/* All slots are still usable. */
	EXPECT_EQ(ENTRIES, ipc_send_nums(&self->ring, self->sender.id, 0,
					 ENTRIES));
	EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->ring, self->receiver.id, 0,
					 ENTRIES));
}

/* The kernel finds a bad address before it reserves a slot. */
TEST_F_TIMEOUT(faults, send_from_no_memory_publishes_nothing, IPC_TIMEOUT)
{
	char *mem = ipc_pages(1);
	size_t i;

	ASSERT_NE(NULL, mem);
	for (i = 0; i < ARRAY_SIZE(bad_addresses); i++) {
		ASSERT_EQ(-EFAULT, ipc_send(&self->ring, self->sender.id,
					    (void *)bad_addresses[i], 64));
	}
	ASSERT_EQ(-EFAULT, ipc_send(&self->ring, self->sender.id,
				    mem + self->page - 32, 64));
	EXPECT_EQ(0, ipc_tail(self->map));
}

TEST_F_TIMEOUT(faults, send_from_partly_mapped_memory, IPC_TIMEOUT)
{
	char *mem = ipc_pages(2);
	__u32 inside;

	ASSERT_NE(NULL, mem);
	ipc_fill(mem, 2 * self->page, 1);
	for (inside = 1; inside < SIZE; inside = inside * 2 + 1) {
		ASSERT_EQ(-EFAULT, ipc_send(&self->ring, self->sender.id,
					    mem + 2 * self->page - inside,
					    inside + 1));
		ASSERT_EQ(-EAGAIN, ipc_recv_num(&self->ring,
						self->receiver.id));
	}
	/* A buffer up to the end of the memory is valid. */
	EXPECT_EQ(64, ipc_send(&self->ring, self->sender.id,
			       mem + 2 * self->page - 64, 64));
	/* A hole in the middle, and one at the front. */
	ASSERT_EQ(0, munmap(mem, self->page));
	EXPECT_EQ(-EFAULT, ipc_send(&self->ring, self->sender.id,
				    mem + self->page - 1, 64));
	EXPECT_EQ(-EFAULT, ipc_send(&self->ring, self->sender.id, mem, SIZE));
}

TEST_F_TIMEOUT(faults, send_from_unreadable_memory, IPC_TIMEOUT)
{
	char *mem = ipc_pages(2);

	ASSERT_NE(NULL, mem);
	memset(mem, 1, 2 * self->page);
	ASSERT_EQ(0, mprotect(mem + self->page, self->page, PROT_NONE));
	EXPECT_EQ(-EFAULT, ipc_send(&self->ring, self->sender.id,
				    mem + self->page, 1));
	EXPECT_EQ(-EFAULT, ipc_send(&self->ring, self->sender.id,
				    mem + self->page - 1, 2));
	EXPECT_EQ(0, ipc_tail(self->map));
	EXPECT_EQ(1, ipc_send(&self->ring, self->sender.id,
			      mem + self->page - 1, 1));
}

/* A program that reads a file behind its end gets SIGBUS. */
TEST_F_TIMEOUT(faults, memory_behind_the_end_of_a_file, IPC_TIMEOUT)
{
	char *mem;
	int fd;

	fd = memfd_create("faults", MFD_CLOEXEC);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, self->page));
	mem = mmap(NULL, 2 * self->page, PROT_READ | PROT_WRITE, MAP_SHARED,
		   fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	EXPECT_EQ(-EFAULT, ipc_send(&self->ring, self->sender.id, mem, SIZE));
	EXPECT_EQ(0, ipc_tail(self->map));
	/* The page of the file was never touched: it is all zeros. */
	ASSERT_EQ(64, ipc_send(&self->ring, self->sender.id, mem, 64));
	EXPECT_EQ(-EFAULT, ipc_recv(&self->ring, self->receiver.id,
				    mem + self->page, 64));
	mem[0] = 'x';
	EXPECT_EQ(64, ipc_recv(&self->ring, self->receiver.id, mem, 64));
	EXPECT_EQ(0, mem[0]);
}

TEST_F_TIMEOUT(faults, recv_to_no_memory, IPC_TIMEOUT)
{
	char in[64], out[64];
	size_t i;

	ipc_fill(in, sizeof(in), 7);
	ASSERT_EQ(64, ipc_send(&self->ring, self->sender.id, in, 64));
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sender.id, 8));
	for (i = 0; i < ARRAY_SIZE(bad_addresses); i++) {
		void *buf = (void *)bad_addresses[i];

		EXPECT_EQ(-EFAULT, ipc_recv(&self->ring, self->receiver.id,
					    buf, 64))
			TH_LOG("64 bytes at %p", buf);
		/* Also if the message is cut off. */
		EXPECT_EQ(-EFAULT, ipc_recv(&self->ring, self->receiver.id,
					    buf, 1))
			TH_LOG("1 byte at %p", buf);
	}
	/* The message has not changed, and is still the first one. */
	ASSERT_EQ(64, ipc_recv(&self->ring, self->receiver.id, out, 64));
	EXPECT_EQ(0, memcmp(in, out, 64));
	EXPECT_EQ(8, ipc_recv_num(&self->ring, self->receiver.id));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, self->receiver.id));
}

TEST_F_TIMEOUT(faults, recv_to_partly_mapped_memory, IPC_TIMEOUT)
{
	char *mem = ipc_pages(2), *end = mem + 2 * self->page;
	char buf[64];

	ASSERT_NE(NULL, mem);
	ipc_fill(buf, sizeof(buf), 1);
	ASSERT_EQ(64, ipc_send(&self->ring, self->sender.id, buf, 64));
	EXPECT_EQ(-EFAULT, ipc_recv(&self->ring, self->receiver.id,
				    end - 63, 64));
	EXPECT_EQ(-EFAULT, ipc_recv(&self->ring, self->receiver.id,
				    end - 1, SIZE));
	/* The buffer needs room for the message, and no more. */
	EXPECT_EQ(64, ipc_recv(&self->ring, self->receiver.id, end - 64, SIZE));
	EXPECT_TRUE(ipc_filled(end - 64, 64, 1));
}

TEST_F_TIMEOUT(faults, recv_to_read_only_memory, IPC_TIMEOUT)
{
	char *mem = ipc_pages(2);

	ASSERT_NE(NULL, mem);
	memset(mem, 'x', 2 * self->page);
	ASSERT_EQ(0, mprotect(mem + self->page, self->page, PROT_READ));
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sender.id, 5));
	EXPECT_EQ(-EFAULT, ipc_recv(&self->ring, self->receiver.id,
				    mem + self->page, 64));
	EXPECT_EQ(-EFAULT, ipc_recv(&self->ring, self->receiver.id,
				    mem + self->page - 4, 64));
	EXPECT_EQ('x', mem[self->page]);
	/* The mapped channel is read-only memory, too. */
	EXPECT_EQ(-EFAULT, ipc_recv(&self->ring, self->receiver.id,
				    (char *)self->map + self->map->data_offset +
				    self->map->data_stride, 64));
	EXPECT_EQ(5, ipc_recv_num(&self->ring, self->receiver.id));
}

/* A program can send a received message from its place in the mapping. */
TEST_F_TIMEOUT(faults, send_from_the_mapping, IPC_TIMEOUT)
{
	char buf[SIZE];

	ipc_fill(buf, SIZE, 4);
	ASSERT_EQ(SIZE, ipc_send(&self->ring, self->sender.id, buf, SIZE));
	ASSERT_EQ(SIZE, ipc_send(&self->ring, self->sender.id,
				 (char *)self->map + self->map->data_offset,
				 SIZE));
	memset(buf, 0, SIZE);
	EXPECT_EQ(SIZE, ipc_recv(&self->ring, self->receiver.id, buf, SIZE));
	EXPECT_TRUE(ipc_filled(buf, SIZE, 4));
	memset(buf, 0, SIZE);
	EXPECT_EQ(SIZE, ipc_recv(&self->ring, self->receiver.id, buf, SIZE));
	EXPECT_TRUE(ipc_filled(buf, SIZE, 4));
}

/* Pages that are not present until they are touched. */
TEST_F_TIMEOUT(faults, fresh_pages, IPC_TIMEOUT)
{
	char *in = ipc_pages(2), *out = ipc_pages(2);
	int i;

	ASSERT_NE(NULL, in);
	ASSERT_NE(NULL, out);
	for (i = 0; i < 20; i++) {
		/* In every other round there is a message to read. */
		if (i % 2)
			ipc_fill(in, SIZE, i);
		ASSERT_EQ(SIZE, ipc_send(&self->ring, self->sender.id, in,
					 SIZE));
		ASSERT_EQ(SIZE, ipc_recv(&self->ring, self->receiver.id, out,
					 SIZE));
		if (i % 2) {
			EXPECT_TRUE(ipc_filled(out, SIZE, i));
		} else {
			EXPECT_EQ(0, out[0] | out[SIZE - 1]);
		}
		ASSERT_EQ(0, madvise(in, SIZE, MADV_DONTNEED));
		ASSERT_EQ(0, madvise(out, SIZE, MADV_DONTNEED));
	}
}

/* A receive must not write into pages that are shared since a fork. */
TEST_F_TIMEOUT(faults, copy_on_write_pages, IPC_TIMEOUT)
{
	char *out = ipc_pages(1);
	int ready[2];
	pid_t pid;

	ASSERT_NE(NULL, out);
	memset(out, 'x', self->page);
	ASSERT_EQ(0, pipe(ready));
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sender.id, 5));
	/* The child looks after the message has been received. */
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		char go;

		_exit(read(ready[0], &go, 1) == 1 && out[0] == 'x' &&
		      out[7] == 'x' ? 0 : 1);
	}
	EXPECT_EQ(IPC_NUM, ipc_recv(&self->ring, self->receiver.id, out, 64));
	EXPECT_EQ(5, out[0]);
	EXPECT_EQ('x', out[8]);
	ASSERT_EQ(1, write(ready[1], "g", 1));
	EXPECT_EQ(0, ipc_wait(pid));
}

TEST_F_TIMEOUT(faults, send_from_vanishing_pages, IPC_TIMEOUT)
{
	struct vanish vanishing = { .mem = ipc_pages(2), .len = SIZE };
	char buf[SIZE];
	int i;

	ASSERT_NE(NULL, vanishing.mem);
	ASSERT_EQ(0, vanish_start(&vanishing));
	for (i = 0; i < 500; i++) {
		/* The message is all zeros, wherever the pages come from. */
		ASSERT_EQ(SIZE, ipc_send(&self->ring, self->sender.id,
					 vanishing.mem, SIZE));
		memset(buf, 'x', SIZE);
		ASSERT_EQ(SIZE, ipc_recv(&self->ring, self->receiver.id, buf,
					 SIZE));
		ASSERT_EQ(0, buf[0]);
		ASSERT_EQ(0, memcmp(buf, buf + 1, SIZE - 1));
	}
	vanish_stop(&vanishing);
	EXPECT_EQ(-EAGAIN, ipc_recv(&self->ring, self->receiver.id, buf, SIZE));
}

TEST_F_TIMEOUT(faults, recv_to_vanishing_pages, IPC_TIMEOUT)
{
	struct vanish vanishing = { .mem = ipc_pages(2), .len = SIZE };
	char buf[SIZE];
	int i, ret;

	ASSERT_NE(NULL, vanishing.mem);
	ASSERT_EQ(0, vanish_start(&vanishing));
	for (i = 0; i < 500; i++) {
		ipc_fill(buf, SIZE, i);
		ASSERT_EQ(SIZE, ipc_send(&self->ring, self->sender.id, buf,
					 SIZE));
		ret = ipc_recv(&self->ring, self->receiver.id, vanishing.mem,
			       SIZE);
		if (ret == SIZE) {
			ASSERT_EQ(-EAGAIN, ipc_recv(&self->ring,
						    self->receiver.id, buf,
						    SIZE));
			continue;
		}
		/* The receive may fail, but must not lose the message. */
		ASSERT_EQ(-EFAULT, ret);
		memset(buf, 0, SIZE);
		ASSERT_EQ(SIZE, ipc_recv(&self->ring, self->receiver.id, buf,
					 SIZE));
		ASSERT_TRUE(ipc_filled(buf, SIZE, i));
	}
	vanish_stop(&vanishing);
}

/* The page of a sender blocks for as long as another process wants. */
TEST_F_TIMEOUT(faults, blocked_sender_delays_only_itself, IPC_TIMEOUT)
{
	struct uffd_op op = { .ring = &self->other, .send = true, .len = 64 };
	struct ipc_sub blocked;
	struct uffd uffd = {};
	char buf[64];
	int i;

	UFFD_OPEN(&uffd);
	ASSERT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_SEND,
				&blocked));
	op.id = blocked.id;
	op.buf = uffd.mem;
	ASSERT_EQ(0, uffd_op_start(&op));
	ASSERT_TRUE(uffd_wait(&uffd));

	for (i = 0; i < 5 * ENTRIES; i += ENTRIES) {
		/* The blocked sender must not hold even one slot. */
		EXPECT_EQ(ENTRIES, ipc_send_nums(&self->ring, self->sender.id,
						 i, i + ENTRIES));
		EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->ring,
						 self->receiver.id, i,
						 i + ENTRIES));
	}
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, self->receiver.id));

	ASSERT_EQ(0, uffd_fill(&uffd, 'u'));
	EXPECT_EQ(64, uffd_op_result(&op));
	EXPECT_EQ(64, ipc_recv(&self->ring, self->receiver.id, buf, 64));
	EXPECT_EQ('u', buf[0]);
	EXPECT_EQ('u', buf[63]);
}

TEST_F_TIMEOUT(faults, blocked_receiver_delays_only_itself, IPC_TIMEOUT)
{
	struct uffd_op op = { .ring = &self->other, .send = false, .len = 64 };
	bool all = variant->flags & IOIPC_F_BROADCAST;
	struct ipc_sub blocked;
	struct uffd uffd = {};
	__u64 num = 0;
	int ret;

	UFFD_OPEN(&uffd);
	ASSERT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_RECV,
				&blocked));
	op.id = blocked.id;
	op.buf = uffd.mem;
	ASSERT_EQ(3, ipc_send_nums(&self->ring, self->sender.id, 0, 3));
	ASSERT_EQ(0, uffd_op_start(&op));
	ASSERT_TRUE(uffd_wait(&uffd));

	/*
	 * It must not have claimed a message that another receiver could take.
	 */
	EXPECT_EQ(3, ipc_recv_nums(&self->ring, self->receiver.id, 0, 3));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, self->receiver.id));
	/* A broadcast keeps three messages for it, and has room for five. */
	EXPECT_EQ(all ? 5 : 8, ipc_send_nums(&self->ring, self->sender.id, 3,
					     11));
	EXPECT_EQ(all ? 5 : 8, ipc_recv_nums(&self->ring, self->receiver.id, 3,
					     11));

	ASSERT_EQ(0, uffd_fill(&uffd, 'u'));
	ret = uffd_op_result(&op);
	if (all) {
		EXPECT_EQ(IPC_NUM, ret);
		memcpy(&num, uffd.mem, sizeof(num));
		EXPECT_EQ(0, num);
		EXPECT_EQ(1, ipc_recv_num(&self->other, blocked.id));
	} else {
		EXPECT_EQ(-EAGAIN, ret);
		EXPECT_EQ('u', uffd.mem[0]);
	}
	EXPECT_EQ('u', uffd.mem[IPC_NUM]);
}

/* A thread with a request that waits. */
struct waiter {
	struct io_uring	*ring;
	void		(*prepare)(struct io_uring_sqe *sqe, __u32 id, void *mem);
	__u32		id;
	void		*mem;
	/* The request has entered a wait queue. */
	bool		waits;
	int		res;
	pthread_t	thread;
};

static void *waiter_run(void *arg)
{
	struct waiter *waiter = arg;

	waiter->prepare(io_uring_get_sqe(waiter->ring), waiter->id, waiter->mem);
	/* Not ioipc-waits: a request is counted before it is in its queue. */
	if (io_uring_submit(waiter->ring) == 1)
		__atomic_store_n(&waiter->waits, true, __ATOMIC_RELEASE);
	waiter->res = ipc_run(waiter->ring);
	return NULL;
}

static bool waiter_waits(struct waiter *waiter)
{
	return wait_until(__atomic_load_n(&waiter->waits, __ATOMIC_ACQUIRE));
}

static int waiter_result(struct waiter *waiter)
{
	pthread_join(waiter->thread, NULL);
	return waiter->res;
}

static void prepare_recv(struct io_uring_sqe *sqe, __u32 id, void *mem)
{
	io_uring_prep_ipc_recv(sqe, id, mem, 64, IOIPC_RECV_WAIT);
}

static void prepare_send(struct io_uring_sqe *sqe, __u32 id, void *mem)
{
	io_uring_prep_ipc_send(sqe, id, mem, 64, 0, IOIPC_SEND_WAIT);
}

static void prepare_vec(struct io_uring_sqe *sqe, __u32 id, void *mem)
{
	io_uring_prep_ipc_send_vec(sqe, id, mem, 1, 0, IOIPC_SEND_WAIT);
}

/*
 * The woken receiver has no memory for the message: the other one gets it.
 */
TEST_F_TIMEOUT(faults, woken_receiver_delays_only_itself, IPC_TIMEOUT)
{
	struct waiter waiter = {
		.ring = &self->other, .prepare = prepare_recv,
	};
	struct ipc_sub blocked;
	struct uffd uffd = {};
	double end = ipc_now();
	__u64 num = 0;
	bool blocks;

	UFFD_OPEN(&uffd);
	/* The receiver that attached first is woken first. */
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring,
						 self->receiver.id));
	ASSERT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_RECV,
				&blocked));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_RECV,
				&self->receiver));
	waiter.id = blocked.id;
	waiter.mem = uffd.mem;
	ASSERT_EQ(0, pthread_create(&waiter.thread, NULL, waiter_run, &waiter));
	ASSERT_TRUE(waiter_waits(&waiter));
	/*
	 * On a slow machine the message may be offered to the other one before
	 * the woken one has run.
	 */
	do {
		wait_get_recv(&self->ring, self->receiver.id, &num, 7);
		ASSERT_TRUE(wait_nothing(&self->ring));
		ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, 5));
		ASSERT_EQ(IPC_NUM, wait_for(&self->ring, 7));
		EXPECT_EQ(5, num);
		blocks = variant->flags & IOIPC_F_BROADCAST ?
			uffd_wait(&uffd) : uffd_waits(&uffd);
	} while (!blocks && ipc_go_on(end, false));
	ASSERT_TRUE(blocks);

	ASSERT_EQ(0, uffd_fill(&uffd, 'u'));
	ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, 6));
	EXPECT_EQ(IPC_NUM, waiter_result(&waiter));
	memcpy(&num, uffd.mem, sizeof(num));
	EXPECT_EQ(variant->flags & IOIPC_F_BROADCAST ? 5 : 6, num);
}

/* The woken sender has no message yet: the other one sends. */
static void woken_sender(struct __test_metadata *_metadata,
			 FIXTURE_DATA(faults) *self, struct waiter *waiter)
{
	struct ipc_sub blocked;
	struct uffd uffd = {};
	double end = ipc_now();
	__u64 num = 100;
	bool blocks;

	UFFD_OPEN(&uffd);
	ASSERT_EQ(0, uffd_fill(&uffd, 0));
	ASSERT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_SEND,
				&blocked));
	ASSERT_EQ(ENTRIES, ipc_send_nums(&self->ring, self->sender.id, 0,
					 ENTRIES));
	waiter->ring = &self->other;
	waiter->id = blocked.id;
	waiter->mem = uffd.mem;
	ASSERT_EQ(0, pthread_create(&waiter->thread, NULL, waiter_run, waiter));
	ASSERT_TRUE(waiter_waits(waiter));
	ASSERT_EQ(0, madvise(uffd.mem, uffd.page, MADV_DONTNEED));
	/* As above, with room. */
	do {
		wait_get_send(&self->ring, self->sender.id, &num, 7);
		ASSERT_TRUE(wait_nothing(&self->ring));
		ASSERT_LE(0, wait_recv(&self->ring, self->receiver.id));
		ASSERT_EQ(IPC_NUM, wait_for(&self->ring, 7));
		blocks = uffd_waits(&uffd);
	} while (!blocks && ipc_go_on(end, false));
	ASSERT_TRUE(blocks);

	ASSERT_EQ(0, uffd_fill(&uffd, 0));
	EXPECT_LE(1, wait_recv(&self->ring, self->receiver.id));
	waiter_result(waiter);
}

TEST_F_TIMEOUT(faults, woken_sender_delays_only_itself, IPC_TIMEOUT)
{
	struct waiter waiter = { .prepare = prepare_send };

	woken_sender(_metadata, self, &waiter);
	EXPECT_EQ(64, waiter.res);
}

/* The same, if the vector itself is not present. */
TEST_F_TIMEOUT(faults, woken_vector_delays_only_itself, IPC_TIMEOUT)
{
	struct waiter waiter = { .prepare = prepare_vec };

	woken_sender(_metadata, self, &waiter);
	EXPECT_EQ(1, waiter.res);
}

/* Blocks in a request forever, after it has written to `said`. */
static void block(struct __test_metadata *_metadata, __u32 channel, bool send,
		  int said)
{
	struct uffd_op op = { .send = send, .len = 64 };
	struct uffd uffd = {};
	struct io_uring ring;
	struct ipc_sub sub;
	int ret;

	ret = uffd_open(&uffd, 0);
	if (ret == -ENOSYS || ret == -EPERM)
		_exit(KSFT_SKIP);
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, ipc_open(&ring));
	ASSERT_EQ(0, ipc_attach(&ring, channel, IOIPC_SUB_BOTH, &sub));
	/* In all kinds of channels, there is a message that it can receive. */
	ASSERT_EQ(IPC_NUM, ipc_send_num(&ring, sub.id, 2));
	op.ring = &ring;
	op.id = sub.id;
	op.buf = uffd.mem;
	ASSERT_EQ(0, uffd_op_start(&op));
	ASSERT_TRUE(uffd_wait(&uffd));
	ASSERT_EQ(1, write(said, "b", 1));
	for (;;)
		pause();
}

/* A blocked process can still be killed, and leaves nothing behind. */
TEST_F_TIMEOUT(faults, killed_while_blocked, IPC_TIMEOUT)
{
	int send, said[2];
	char byte;
	pid_t pid;

	for (send = 0; send < 2; send++) {
		ASSERT_EQ(0, pipe(said));
		ASSERT_EQ(2, ipc_send_nums(&self->ring, self->sender.id, 0, 2));
		pid = ipc_fork();
		ASSERT_LE(0, pid);
		if (!pid)
			block(_metadata, self->channel, send, said[1]);
		ASSERT_EQ(0, close(said[1]));
		if (read(said[0], &byte, 1) != 1) {
			ASSERT_EQ(KSFT_SKIP, ipc_wait(pid));
			SKIP(return, "no userfaultfd");
		}
		ASSERT_EQ(0, close(said[0]));
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(128 + SIGKILL, ipc_wait(pid));

		EXPECT_EQ(3, ipc_recv_nums(&self->ring, self->receiver.id, 0,
					   3));
		EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring,
						self->receiver.id));
		/*
		 * All slots can be used again, once the ring of the process is
		 * gone.
		 */
		EXPECT_TRUE(ipc_poll(({
			while (ipc_recv_num(&self->ring,
					    self->receiver.id) >= 0)
				;
			ipc_send_nums(&self->ring, self->sender.id, 0,
				      ENTRIES) == ENTRIES;
		})));
		EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->ring,
						 self->receiver.id, 0,
						 ENTRIES));
	}
}

/*
 * This userfaultfd does not handle faults in the kernel, so the memory is bad.
 */
TEST_F_TIMEOUT(faults, user_mode_only_userfaultfd, IPC_TIMEOUT)
{
	struct uffd uffd = {};
	int ret;

	ret = uffd_open(&uffd, UFFD_USER_MODE_ONLY);
	if (ret == -ENOSYS)
		SKIP(return, "no userfaultfd");
	ASSERT_EQ(0, ret);
	EXPECT_EQ(-EFAULT, ipc_send(&self->ring, self->sender.id, uffd.mem, 8));
	EXPECT_EQ(0, ipc_tail(self->map));
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sender.id, 5));
	EXPECT_EQ(-EFAULT, ipc_recv(&self->ring, self->receiver.id, uffd.mem,
				    8));
	EXPECT_EQ(5, ipc_recv_num(&self->ring, self->receiver.id));
}

TEST_HARNESS_MAIN
