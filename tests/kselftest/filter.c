// SPDX-License-Identifier: GPL-2.0
/*
 * What confines a task: BPF filters of io_uring see what a request names, and
 * restrictions see the opcodes and the commands.  And each subscriber's file has an
 * inode of its own, so that security modules can label it.
 */
#include <linux/filter.h>
#include <sys/stat.h>
#include "fixture.h"
#include "messages.h"
#include "only_ipc.h"

#define BUF_SIZE	64
#define NR_BUFS		4

FIXTURE(filter) {
	/* Has a filter in some tests. */
	struct io_uring ring;
	struct io_uring free;
	__u32 channel;
	struct ipc_sub sub;
	struct ipc_sub other;
};

FIXTURE_SETUP(filter)
{
	ASSERT_EQ(0, ipc_open(&self->ring));
	ASSERT_EQ(0, ipc_open(&self->free));
	ASSERT_EQ(0, ipc_create(&self->free, 0, 16, BUF_SIZE, &self->channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_BOTH,
				&self->sub));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_BOTH,
				&self->other));
}

FIXTURE_TEARDOWN(filter)
{
	io_uring_queue_exit(&self->ring);
	io_uring_queue_exit(&self->free);
}

/*
 * Lets requests with an opcode through if the word at @offset is @value; those with
 * other opcodes if @flags do not say otherwise.  With @ring NULL for the task.
 */
static int allow_only(struct io_uring *ring, __u8 opcode, __u32 offset,
		      __u32 value, __u32 flags, __u8 *pdu_size)
{
	struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct io_uring_bpf bpf = {
		.cmd_type = IO_URING_BPF_CMD_FILTER,
		.filter = {
			.opcode = opcode,
			.flags = flags,
			.filter_len = ARRAY_SIZE(program),
			.pdu_size = *pdu_size,
			.filter_ptr = (uintptr_t)program,
		},
	};
	int ret;

	ret = ring ? io_uring_register_bpf_filter(ring, &bpf) :
		     io_uring_register_bpf_filter_task(&bpf);
	*pdu_size = bpf.filter.pdu_size;
	return ret;
}

/* The same for both opcodes. */
static int allow_only_ipc(struct io_uring *ring, __u32 offset, __u32 value)
{
	__u32 flags = IO_URING_BPF_FILTER_SZ_STRICT;
	__u8 size = IOIPC_FILTER_SIZE;
	int ret;

	ret = allow_only(ring, IOIPC_OP_SEND, offset, value, flags, &size);
	return ret ?: allow_only(ring, IOIPC_OP_RECV, offset, value, flags,
				 &size);
}

static int run_send(struct io_uring *ring, __u32 id, __u32 target, __u32 flags,
		    __u32 len)
{
	static char bytes[BUF_SIZE];
	static struct iovec vec[BUF_SIZE];
	const void *from = flags & IOIPC_SEND_VEC ? (void *)vec : bytes;
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	io_uring_prep_ipc_send(sqe, id, from, len, target, flags);
	sqe->user_data = 1;
	io_uring_submit(ring);
	return wait_for(ring, 1);
}

static int run_recv(struct io_uring *ring, __u32 id, __u32 flags, __u32 len)
{
	static char bytes[2 * BUF_SIZE];
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	io_uring_prep_ipc_recv(sqe, id, bytes, len, flags);
	sqe->user_data = 1;
	io_uring_submit(ring);
	return wait_for(ring, 1);
}

/* A ring that may use one subscriber. */
TEST_F_TIMEOUT(filter, one_subscriber, IPC_TIMEOUT)
{
	ASSERT_EQ(0, allow_only_ipc(&self->ring, IOIPC_FILTER_ID,
				    self->sub.id));
	EXPECT_EQ(-EACCES, run_send(&self->ring, self->other.id, 0, 0, 8));
	EXPECT_EQ(-EACCES, run_recv(&self->ring, self->other.id, 0, 8));
	/* Nothing was sent. */
	EXPECT_EQ(-EAGAIN, run_recv(&self->ring, self->sub.id, 0, 8));
	EXPECT_EQ(8, run_send(&self->ring, self->sub.id, 0, 0, 8));
	EXPECT_EQ(8, run_recv(&self->ring, self->sub.id, 0, 8));
}

/* Without being attached, a ring that may send to one channel. */
TEST_F_TIMEOUT(filter, one_channel, IPC_TIMEOUT)
{
	__u32 other;

	ASSERT_EQ(0, ipc_create(&self->free, 0, 16, BUF_SIZE, &other));
	ASSERT_EQ(0, allow_only_ipc(&self->ring, IOIPC_FILTER_ID,
				    self->channel));
	EXPECT_EQ(-EACCES, run_send(&self->ring, other, 0, 0, 8));
	EXPECT_EQ(8, run_send(&self->ring, self->channel, 0, 0, 8));
	EXPECT_EQ(8, run_send(&self->free, other, 0, 0, 8));
}

TEST_F_TIMEOUT(filter, one_target, IPC_TIMEOUT)
{
	ASSERT_EQ(0, allow_only_ipc(&self->ring, IOIPC_FILTER_FILE_INDEX,
				    self->other.id));
	EXPECT_EQ(-EACCES, run_send(&self->ring, self->sub.id, 0, 0, 8));
	EXPECT_EQ(-EACCES, run_send(&self->ring, self->sub.id, self->sub.id, 0,
				    8));
	EXPECT_EQ(8, run_send(&self->ring, self->sub.id, self->other.id, 0, 8));
}

TEST_F_TIMEOUT(filter, flags, IPC_TIMEOUT)
{
	ASSERT_EQ(0, allow_only_ipc(&self->ring, IOIPC_FILTER_RW_FLAGS, 2));
	EXPECT_EQ(-EACCES, run_send(&self->ring, self->sub.id, 0, 0, 8));
	EXPECT_EQ(-EACCES, run_send(&self->ring, self->sub.id, 0,
				    IOIPC_SEND_VEC | IOIPC_SEND_WAIT, 2));
	EXPECT_EQ(2, run_send(&self->ring, self->sub.id, 0, IOIPC_SEND_VEC, 2));
}

TEST_F_TIMEOUT(filter, length, IPC_TIMEOUT)
{
	ASSERT_EQ(0, allow_only_ipc(&self->ring, IOIPC_FILTER_LEN, 8));
	EXPECT_EQ(-EACCES, run_send(&self->ring, self->sub.id, 0, 0, 9));
	EXPECT_EQ(8, run_send(&self->ring, self->sub.id, 0, 0, 8));
	EXPECT_EQ(-EACCES, run_recv(&self->ring, self->sub.id, 0, 16));
	EXPECT_EQ(8, run_recv(&self->ring, self->sub.id, 0, 8));
}

/* Also where io_uring selects the buffer, and where the request waits. */
TEST_F_TIMEOUT(filter, requests_that_wait, IPC_TIMEOUT)
{
	struct msg_pool pool;

	ASSERT_EQ(0, msg_pool_open(&pool, &self->ring, NR_BUFS, BUF_SIZE, 0));
	ASSERT_EQ(0, allow_only_ipc(&self->ring, IOIPC_FILTER_ID,
				    self->sub.id));
	msg_get_select(&self->ring, self->other.id, 0, IOIPC_RECV_WAIT)
		->user_data = 2;
	io_uring_submit(&self->ring);
	EXPECT_EQ(-EACCES, wait_for(&self->ring, 2));
	msg_get_select(&self->ring, self->sub.id, 0, IOIPC_RECV_WAIT)
		->user_data = 3;
	io_uring_submit(&self->ring);
	EXPECT_TRUE(wait_nothing(&self->ring));
	EXPECT_EQ(8, run_send(&self->free, self->channel, 0, 0, 8));
	EXPECT_EQ(8, wait_for(&self->ring, 3));
}

TEST_F_TIMEOUT(filter, size, IPC_TIMEOUT)
{
	__u8 size = IOIPC_FILTER_SIZE + 4;

	EXPECT_EQ(-EMSGSIZE, allow_only(&self->ring, IOIPC_OP_SEND,
					IOIPC_FILTER_ID, 1, 0, &size));
	EXPECT_EQ(IOIPC_FILTER_SIZE, size);
	size = 0;
	EXPECT_EQ(-EMSGSIZE, allow_only(&self->ring, IOIPC_OP_RECV,
					IOIPC_FILTER_ID, 1,
					IO_URING_BPF_FILTER_SZ_STRICT, &size));
	/* A filter of an older program sees the first words of the struct. */
	size = 0;
	EXPECT_EQ(0, allow_only(&self->ring, IOIPC_OP_RECV, 8, 0, 0, &size));
}

/* The result of a request of which only the opcode matters. */
static int run_opcode(struct io_uring *ring, __u8 opcode)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	io_uring_prep_rw(opcode, sqe, -1, NULL, 0, 0);
	sqe->user_data = 1;
	io_uring_submit(ring);
	return wait_for(ring, 1);
}

/* What the policy for containers allows, and some of what it does not. */
static void use_channels_only(void)
{
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	struct ipc_sub sub;
	__u64 mask = 0;
	__u32 channel;
	int opcode;

	if (ipc_open(&ring) || ipc_create(&ring, 0, 4, BUF_SIZE, &channel) ||
	    ipc_attach(&ring, channel, IOIPC_SUB_BOTH, &sub))
		_exit(1);
	if (run_send(&ring, sub.id, 0, 0, 8) != 8 ||
	    run_recv(&ring, sub.id, 0, 8) != 8)
		_exit(2);
	/* The last ones need larger SQEs. */
	for (opcode = 0; opcode < IORING_OP_NOP128; opcode++) {
		bool allowed = memchr(only_ipc_opcodes, opcode,
				      sizeof(only_ipc_opcodes));

		if (allowed != (run_opcode(&ring, opcode) != -EACCES))
			_exit(100 + opcode);
	}
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_ipc_recv(sqe, sub.id, &mask, sizeof(mask), 0);
	io_uring_sqe_set_flags(sqe, IOSQE_IO_LINK | IOSQE_ASYNC);
	sqe->user_data = 2;
	if (run_opcode(&ring, IORING_OP_NOP) != -ECANCELED ||
	    wait_for(&ring, 2) != -EAGAIN)
		_exit(6);
	if (io_uring_register_eventfd(&ring, 0) != -EACCES ||
	    io_uring_register_iowq_aff(&ring, sizeof(mask), (void *)&mask) !=
		    -EACCES)
		_exit(3);
	if (io_uring_ipc_channel_detach(&ring, sub.id) ||
	    io_uring_ipc_channel_destroy(&ring, channel))
		_exit(4);
	/* Nothing takes that back, nor adds to it. */
	_exit(only_ipc() == -EACCES ? 0 : 5);
}

/* Of a restricted task, a child is restricted as well. */
TEST_F_TIMEOUT(filter, only_ipc, IPC_TIMEOUT)
{
	pid_t pid = ipc_fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		if (only_ipc())
			_exit(99);
		pid = ipc_fork();
		if (!pid)
			use_channels_only();
		_exit(ipc_wait(pid));
	}
	EXPECT_EQ(0, ipc_wait(pid));
}

/* A security module has a label for each file. */
TEST_F_TIMEOUT(filter, inodes, IPC_TIMEOUT)
{
	struct stat one, other;

	ASSERT_EQ(0, fstat(self->sub.fd, &one));
	ASSERT_EQ(0, fstat(self->other.fd, &other));
	EXPECT_NE(one.st_ino, other.st_ino);
	EXPECT_EQ(one.st_dev, other.st_dev);
}

IPC_HARNESS_MAIN
