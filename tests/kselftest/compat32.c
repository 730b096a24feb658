// SPDX-License-Identifier: GPL-2.0
/*
 * A 32-bit program on a 64-bit kernel: operations with pointers or sizes, and
 * memory that the program shares with the kernel.
 */
#include "compat32.h"
#include "compat32_uring.h"
#include "ipc_test.h"
#include "layout.h"

#define ENTRIES	64
#define SIZE	64

_Static_assert(sizeof(void *) == 4, "pointers have 32 bits");
_Static_assert(sizeof(off_t) == 8, "off_t has 64 bits");

FIXTURE(compat32) {
	struct io_uring ring;
	struct io_uring_ipc_channel_attach attach;
	__u32 id;
};

FIXTURE_SETUP(compat32)
{
	__u32 channel;

	ASSERT_EQ(0, ipc_open(&self->ring));
	ASSERT_EQ(0, ipc_create(&self->ring, IOIPC_F_BROADCAST, ENTRIES, SIZE,
				&channel));
	self->attach = (struct io_uring_ipc_channel_attach) {
		.channel_id = channel,
		.flags = IOIPC_SUB_BOTH,
	};
	ASSERT_EQ(0, io_uring_ipc_channel_attach(&self->ring, &self->attach));
	self->id = self->attach.local_id_out;
}

FIXTURE_TEARDOWN(compat32)
{
	io_uring_queue_exit(&self->ring);
}

TEST_F_TIMEOUT(compat32, single_messages, IPC_TIMEOUT)
{
	__u64 num;

	EXPECT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->id,
					0x123456789abcdef0));
	EXPECT_EQ(0x123456789abcdef0, ipc_recv_num(&self->ring, self->id));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, self->id));
	/* The first page, and the last page, which belongs to the kernel. */
	EXPECT_EQ(-EFAULT, ipc_send(&self->ring, self->id, NULL, 8));
	EXPECT_EQ(-EFAULT, ipc_send(&self->ring, self->id, (void *)-8, 8));
	EXPECT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->id, 1));
	EXPECT_EQ(-EFAULT, ipc_recv(&self->ring, self->id, NULL, 8));
	EXPECT_EQ(-EFAULT, ipc_recv(&self->ring, self->id, (void *)-8, 8));
	EXPECT_EQ(sizeof(num), ipc_recv(&self->ring, self->id, &num,
					sizeof(num)));
	EXPECT_EQ(1, num);
}

TEST_F_TIMEOUT(compat32, who_sent_it, IPC_TIMEOUT)
{
	struct {
		struct io_uring_ipc_msg_info info;
		__u64 num;
	} message;
	__u64 num = 5;

	ASSERT_EQ(IPC_NUM, ipc_send_data(&self->ring, self->id, &num, sizeof(num),
					 self->id, 0x123456789abcdef0));
	io_uring_prep_ipc_recv(io_uring_get_sqe(&self->ring), self->id, &message,
			       sizeof(message), IOIPC_RECV_INFO);
	ASSERT_EQ(sizeof(message), ipc_run(&self->ring));
	EXPECT_EQ(5, message.num);
	EXPECT_EQ(IPC_NUM, message.info.len);
	EXPECT_EQ(1, message.info.msg_id);
	EXPECT_EQ(0x123456789abcdef0, message.info.sender_data);
	EXPECT_EQ(self->id, message.info.sender);
	EXPECT_EQ(getpid(), message.info.pid);
	EXPECT_EQ(geteuid(), message.info.uid);
	EXPECT_EQ(IOIPC_INFO_TARGETED, message.info.flags);
	EXPECT_EQ(0, message.info.lost);
}

/* The struct beside the SQE, and an address in it that no 32-bit program has. */
TEST_F_TIMEOUT(compat32, calls, IPC_TIMEOUT)
{
	struct io_uring_ipc_channel_attach attach = {
		.channel_id = self->attach.channel_id, .flags = IOIPC_SUB_SEND,
	};
	struct {
		struct io_uring_ipc_msg_info info;
		__u64 num;
	} message;
	__u64 num = 5, reply = 6, got = 0;
	struct io_uring_ipc_exchange answer = {
		.addr = (uintptr_t)&got, .len = sizeof(got),
	};
	struct io_uring_ipc_exchange call = {};
	struct io_uring client;
	struct io_uring_cqe *cqe;

	ASSERT_EQ(0, ipc_open(&client));
	ASSERT_EQ(0, io_uring_ipc_channel_attach(&client, &attach));
	io_uring_prep_ipc_call(io_uring_get_sqe(&client), attach.local_id_out, &num,
			       sizeof(num), self->id, &answer, 0);
	ASSERT_EQ(1, io_uring_submit_and_wait(&client, 0));

	io_uring_prep_ipc_recv(io_uring_get_sqe(&self->ring), self->id, &message,
			       sizeof(message), IOIPC_RECV_INFO);
	ASSERT_EQ(sizeof(message), ipc_run(&self->ring));
	EXPECT_EQ(5, message.num);
	EXPECT_TRUE(message.info.flags & IOIPC_INFO_CALL);
	call.call = message.info.msg_id;
	io_uring_prep_ipc_reply(io_uring_get_sqe(&self->ring), self->id, &reply,
				sizeof(reply), &call);
	ASSERT_EQ(sizeof(reply), ipc_run(&self->ring));

	ASSERT_EQ(0, io_uring_submit_and_wait(&client, 1));
	ASSERT_EQ(0, io_uring_peek_cqe(&client, &cqe));
	EXPECT_EQ(sizeof(got), cqe->res);
	EXPECT_EQ(6, got);
	io_uring_cqe_seen(&client, cqe);

	answer.addr = 1ULL << 32 | (uintptr_t)&got;
	io_uring_prep_ipc_call(io_uring_get_sqe(&client), attach.local_id_out, &num,
			       sizeof(num), self->id, &answer, 0);
	ASSERT_EQ(1, io_uring_submit_and_wait(&client, 0));
	ASSERT_EQ(sizeof(num), ipc_recv(&self->ring, self->id, &num, sizeof(num)));
	call.call++;
	io_uring_prep_ipc_reply(io_uring_get_sqe(&self->ring), self->id, &reply,
				sizeof(reply), &call);
	EXPECT_EQ(sizeof(reply), ipc_run(&self->ring));
	ASSERT_EQ(0, io_uring_submit_and_wait(&client, 1));
	ASSERT_EQ(0, io_uring_peek_cqe(&client, &cqe));
	EXPECT_EQ(-EFAULT, cqe->res);
	io_uring_queue_exit(&client);
}

TEST_F_TIMEOUT(compat32, bundles, IPC_TIMEOUT)
{
	static char buf[4096] __aligned(8);
	const struct io_uring_ipc_msg_info *info;
	unsigned int offset = 0;
	char message[SIZE];
	int used, len;

	for (len = 0; len < SIZE; len++) {
		ipc_fill(message, len, len);
		ASSERT_EQ(len, ipc_send(&self->ring, self->id, message, len));
	}
	len = 0;
	do {
		io_uring_prep_ipc_recv(io_uring_get_sqe(&self->ring), self->id,
				       buf, sizeof(buf), IOIPC_RECV_BUNDLE);
		used = ipc_run(&self->ring);
		for (offset = 0; used > 0 &&
		     (info = ipc_bundle_next(buf, used, &offset)); len++) {
			ASSERT_EQ(len, info->len);
			EXPECT_TRUE(ipc_filled(info + 1, len, len));
		}
	} while (used > 0);
	EXPECT_EQ(-EAGAIN, used);
	EXPECT_EQ(SIZE, len);
}

/* Sends a vector of the numbers from 0 on, and returns the result. */
static int send_nums(struct io_uring *ring, __u32 id, struct iovec *vec,
		     __u64 *nums, int count)
{
	int i;

	for (i = 0; i < count; i++) {
		nums[i] = i;
		vec[i].iov_base = &nums[i];
		vec[i].iov_len = sizeof(nums[i]);
	}
	io_uring_prep_ipc_send_vec(io_uring_get_sqe(ring), id, vec, count, 0, 0);
	return ipc_run(ring);
}

/* Entries have half the size that they have in a 64-bit program. */
TEST_F_TIMEOUT(compat32, vectors, IPC_TIMEOUT)
{
	char *end = ipc_pages(1) + sysconf(_SC_PAGESIZE);
	__u64 nums[ENTRIES];
	int count;

	/* The kernel does not read behind the array. */
	for (count = 1; count <= ENTRIES; count++) {
		ASSERT_EQ(count, send_nums(&self->ring, self->id,
					   (struct iovec *)end - count, nums,
					   count));
		ASSERT_EQ(count, ipc_recv_nums(&self->ring, self->id, 0, count));
		ASSERT_EQ(-EAGAIN, ipc_recv_num(&self->ring, self->id));
	}
	/* The whole array must be readable. */
	io_uring_prep_ipc_send_vec(io_uring_get_sqe(&self->ring), self->id,
				   (struct iovec *)end - 1, 2, 0, 0);
	EXPECT_EQ(-EFAULT, ipc_run(&self->ring));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, self->id));
}

/* The kernel reads each word in the right way. */
TEST_F_TIMEOUT(compat32, entries_of_vectors, IPC_TIMEOUT)
{
	struct iovec vec[4] = {
		{ "first", 0 }, { (void *)5, SIZE + 1 }, { "x", 1 }, { NULL, 1 },
	};
	char buf[SIZE];

	io_uring_prep_ipc_send_vec(io_uring_get_sqe(&self->ring), self->id,
				   vec, 1, 0, 0);
	EXPECT_EQ(1, ipc_run(&self->ring));
	EXPECT_EQ(0, ipc_recv(&self->ring, self->id, buf, sizeof(buf)));
	io_uring_prep_ipc_send_vec(io_uring_get_sqe(&self->ring), self->id,
				   vec + 1, 1, 0, 0);
	EXPECT_EQ(-EMSGSIZE, ipc_run(&self->ring));
	io_uring_prep_ipc_send_vec(io_uring_get_sqe(&self->ring), self->id,
				   vec + 2, 2, 0, 0);
	EXPECT_EQ(1, ipc_run(&self->ring));
	EXPECT_EQ(1, ipc_recv(&self->ring, self->id, buf, sizeof(buf)));
	EXPECT_EQ('x', buf[0]);
	io_uring_prep_ipc_send_vec(io_uring_get_sqe(&self->ring), self->id,
				   vec + 3, 1, 0, 0);
	EXPECT_EQ(-EFAULT, ipc_run(&self->ring));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, self->id));
}

TEST_F_TIMEOUT(compat32, reads_in_place, IPC_TIMEOUT)
{
	struct ipc_message message;
	struct ipc_map map;
	__u64 num;
	int i;

	ASSERT_EQ(0, ipc_map(&map, &self->attach));
	for (i = 0; i < 2 * ENTRIES; i++) {
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->id, i));
		ASSERT_TRUE(ipc_peek(&map, &message));
		ASSERT_EQ(sizeof(num), message.len);
		memcpy(&num, message.data, sizeof(num));
		EXPECT_EQ(i, num);
		EXPECT_FALSE(ipc_consume(&map));
	}
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, self->id));
	ipc_unmap(&map);
}

/* The page of the position is too far behind the region for a short off_t. */
TEST_F_TIMEOUT(compat32, a_short_off_t_is_an_error, IPC_TIMEOUT)
{
	struct ipc_map map;

	EXPECT_EQ(-EOVERFLOW, map_with_short_off_t(&map, &self->attach));
}

IPC_HARNESS_MAIN
