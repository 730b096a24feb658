// SPDX-License-Identifier: GPL-2.0
/*
 * A program that was written for the RFC goes on unchanged.  It knows the numbers
 * and structs of the RFC, which are written out here, and nothing of what came
 * later.
 */
#include "ipc_test.h"

enum {
	RFC_OP_SEND = 65,
	RFC_OP_RECV = 66,
	RFC_CREATE = 38,
	RFC_ATTACH = 39,
	RFC_DETACH = 40,
	RFC_DESTROY = 41,
	RFC_BROADCAST = 1,
	RFC_MULTICAST = 2,
	RFC_PRIVATE = 4,
	RFC_SUB_SEND = 1,
	RFC_SUB_RECV = 2,
};

struct rfc_create {
	__u32	flags;
	__u32	ring_entries;
	__u32	max_msg_size;
	__u32	mode;
	__u64	key;
	__u32	channel_id_out;
	__u32	reserved[3];
};

struct rfc_attach {
	__u32	channel_id;
	__u32	flags;
	__u64	key;
	__s32	channel_fd;
	__u32	local_id_out;
	__u64	mmap_offset_out;
	__u32	region_size;
	__u32	reserved[3];
};

static int rfc_register(struct io_uring *ring, unsigned int command, void *arg,
			unsigned int nr_args)
{
	long ret = syscall(__NR_io_uring_register, ring->ring_fd, command, arg,
			   nr_args);

	return ret < 0 ? -errno : ret;
}

/* The result of one request. */
static int rfc_request(struct io_uring *ring, unsigned int opcode, __u32 id,
		       void *buf, __u32 len, __u32 target, __u64 user_data)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct io_uring_cqe *cqe;
	int ret;

	if (!sqe)
		return IPC_NOT_RUN;
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = opcode;
	sqe->fd = id;
	sqe->addr = (uintptr_t)buf;
	sqe->len = len;
	sqe->file_index = target;
	sqe->user_data = user_data;
	if (io_uring_submit_and_wait(ring, 1) != 1 ||
	    io_uring_peek_cqe(ring, &cqe))
		return IPC_NOT_RUN;
	ret = cqe->user_data == user_data ? cqe->res : IPC_NOT_RUN;
	io_uring_cqe_seen(ring, cqe);
	return ret;
}

static int rfc_send(struct io_uring *ring, __u32 id, const char *text,
		    __u32 target)
{
	return rfc_request(ring, RFC_OP_SEND, id, (void *)text, strlen(text),
			   target, 0x1234);
}

static int rfc_recv(struct io_uring *ring, __u32 id, void *buf, __u32 len)
{
	return rfc_request(ring, RFC_OP_RECV, id, buf, len, 0, 0x5678);
}

FIXTURE(rfc) {
	struct io_uring		ring;
	struct rfc_create	create;
};

FIXTURE_VARIANT(rfc) {
	__u32	flags;
};

FIXTURE_VARIANT_ADD(rfc, unicast) {
	.flags = 0,
};

FIXTURE_VARIANT_ADD(rfc, multicast) {
	.flags = RFC_MULTICAST,
};

FIXTURE_VARIANT_ADD(rfc, broadcast) {
	.flags = RFC_BROADCAST,
};

FIXTURE_VARIANT_ADD(rfc, private) {
	.flags = RFC_PRIVATE,
};

FIXTURE_SETUP(rfc)
{
	ASSERT_EQ(0, io_uring_queue_init(8, &self->ring, 0));
	self->create = (struct rfc_create) {
		.flags = variant->flags,
		.ring_entries = 4,
		.max_msg_size = 100,
		.mode = 0600,
		.key = 0x1234567890,
		.channel_id_out = 77,
	};
	ASSERT_EQ(0, rfc_register(&self->ring, RFC_CREATE, &self->create, 1));
}

FIXTURE_TEARDOWN(rfc)
{
	io_uring_queue_exit(&self->ring);
}

/* Attaches by key, or else by id. */
static int rfc_attach(struct io_uring *ring, const struct rfc_create *create,
		      bool by_key, __u32 flags, struct rfc_attach *attach)
{
	*attach = (struct rfc_attach) {
		.channel_id = by_key ? 0 : create->channel_id_out,
		.flags = flags,
		.key = by_key ? create->key : 0,
	};
	return rfc_register(ring, RFC_ATTACH, attach, 1);
}

TEST_F(rfc, messages_and_limits)
{
	struct rfc_attach in, out;
	char buf[100], longest[101];
	int i;

	EXPECT_NE(77, self->create.channel_id_out);
	ASSERT_EQ(0, rfc_attach(&self->ring, &self->create, true, RFC_SUB_RECV,
				&in));
	ASSERT_EQ(0, rfc_attach(&self->ring, &self->create, false, RFC_SUB_SEND,
				&out));
	EXPECT_NE(in.local_id_out, out.local_id_out);
	EXPECT_LE(0, in.channel_fd);
	EXPECT_LE(0, out.channel_fd);
	EXPECT_EQ(0, in.mmap_offset_out);

	EXPECT_EQ(-EAGAIN, rfc_recv(&self->ring, in.local_id_out, buf, 100));
	EXPECT_EQ(5, rfc_send(&self->ring, out.local_id_out, "first", 0));
	EXPECT_EQ(6, rfc_send(&self->ring, out.local_id_out, "second",
			      in.local_id_out));
	EXPECT_EQ(-ENOENT, rfc_send(&self->ring, out.local_id_out, "x",
				    out.local_id_out + 100));
	EXPECT_EQ(5, rfc_recv(&self->ring, in.local_id_out, buf, 100));
	EXPECT_EQ(0, memcmp(buf, "first", 5));
	EXPECT_EQ(3, rfc_recv(&self->ring, in.local_id_out, buf, 3));
	EXPECT_EQ(0, memcmp(buf, "secst", 5));
	EXPECT_EQ(-EAGAIN, rfc_recv(&self->ring, in.local_id_out, buf, 100));

	memset(longest, 'x', 100);
	longest[100] = 0;
	for (i = 0; i < 4; i++)
		EXPECT_EQ(100, rfc_send(&self->ring, out.local_id_out, longest, 0));
	EXPECT_EQ(-ENOBUFS, rfc_send(&self->ring, out.local_id_out, longest, 0));
	for (i = 0; i < 4; i++)
		EXPECT_EQ(100, rfc_recv(&self->ring, in.local_id_out, buf, 100));

	EXPECT_EQ(0, rfc_register(&self->ring, RFC_DETACH, NULL,
				  in.local_id_out));
	EXPECT_EQ(-ENOENT, rfc_recv(&self->ring, in.local_id_out, buf, 100));
	EXPECT_EQ(0, rfc_register(&self->ring, RFC_DESTROY, NULL,
				  self->create.channel_id_out));
	EXPECT_EQ(-EPIPE, rfc_send(&self->ring, out.local_id_out, "x", 0));
	close(in.channel_fd);
	close(out.channel_fd);
}

TEST_F(rfc, sends_without_being_attached)
{
	int want = variant->flags == RFC_PRIVATE ? -EACCES : 1;
	struct rfc_attach in;
	char buf[100];

	ASSERT_EQ(0, rfc_attach(&self->ring, &self->create, true, RFC_SUB_RECV,
				&in));
	EXPECT_EQ(want, rfc_send(&self->ring, self->create.channel_id_out, "x",
				 0));
	EXPECT_EQ(want == 1 ? 1 : -EAGAIN,
		  rfc_recv(&self->ring, in.local_id_out, buf, 100));
	close(in.channel_fd);
}

/* Where the words of the RFC's ring are, and that the mapping only reads. */
TEST_F(rfc, mapping)
{
	struct rfc_attach in;
	const __u32 *words;

	ASSERT_EQ(0, rfc_attach(&self->ring, &self->create, true,
				RFC_SUB_RECV | RFC_SUB_SEND, &in));
	if (variant->flags == RFC_PRIVATE) {
		EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED,
					   in.channel_fd, in.mmap_offset_out));
		return;
	}
	words = mmap(NULL, in.region_size, PROT_READ, MAP_SHARED, in.channel_fd,
		     in.mmap_offset_out);
	ASSERT_NE(MAP_FAILED, words);
	EXPECT_EQ(1, rfc_send(&self->ring, in.local_id_out, "x", 0));
	EXPECT_EQ(1, words[4 / 4]);
	EXPECT_EQ(0, words[64 / 4]);
	EXPECT_EQ(3, words[128 / 4]);
	EXPECT_EQ(4, words[132 / 4]);
	EXPECT_EQ(100, words[136 / 4]);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, in.region_size, PROT_WRITE, MAP_SHARED,
				   in.channel_fd, in.mmap_offset_out));
	munmap((void *)words, in.region_size);
	close(in.channel_fd);
}

/* What the RFC reserves must be zero, and a key is there once. */
TEST_F(rfc, refusals)
{
	struct rfc_create create = self->create;
	struct rfc_attach attach;
	int i;

	EXPECT_EQ(-EEXIST, rfc_register(&self->ring, RFC_CREATE, &create, 1));
	create.key = 0;
	for (i = 0; i < 3; i++) {
		create.reserved[i] = 1;
		EXPECT_GT(0, rfc_register(&self->ring, RFC_CREATE, &create, 1));
		create.reserved[i] = 0;
	}
	create.ring_entries = 3;
	EXPECT_EQ(-EINVAL, rfc_register(&self->ring, RFC_CREATE, &create, 1));
	self->create.key++;
	EXPECT_EQ(-ENOENT, rfc_attach(&self->ring, &self->create, true,
				      RFC_SUB_RECV, &attach));
}

TEST_HARNESS_MAIN
