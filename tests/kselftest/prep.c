// SPDX-License-Identifier: GPL-2.0
/*
 * Submission: fields that must be zero, flags of the SQE, kinds of rings, and
 * personalities.
 */
#include "ipc_test.h"

FIXTURE(prep) {
	struct io_uring ring;
	__u32 channel;
	struct ipc_sub sub;
	const struct io_uring_ipc_ring *map;
	__u64 buf;
};

FIXTURE_SETUP(prep)
{
	ASSERT_EQ(0, io_uring_queue_init(64, &self->ring, 0));
	ASSERT_EQ(0, ipc_create(&self->ring, 0, 64, 64, &self->channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_BOTH,
				&self->sub));
	self->map = ipc_region(&self->sub);
	ASSERT_NE(NULL, self->map);
}

FIXTURE_TEARDOWN(prep)
{
	io_uring_queue_exit(&self->ring);
}

static struct io_uring_sqe *get_send(struct io_uring *ring, __u32 id,
				     const __u64 *num)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	io_uring_prep_ipc_send(sqe, id, num, sizeof(*num), 0, 0);
	return sqe;
}

static struct io_uring_sqe *get_recv(struct io_uring *ring, __u32 id,
				     __u64 *num)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	io_uring_prep_ipc_recv(sqe, id, num, sizeof(*num), 0);
	return sqe;
}

/* All errors that an SQE can have, one at a time. */
enum {
	BAD_OFF, BAD_OFF_HIGH, BAD_IOPRIO, BAD_IOPRIO_HIGH, BAD_BUF_INDEX,
	BAD_BUF_INDEX_HIGH, BAD_ADDR3, BAD_ADDR3_HIGH, BAD_PAD2, BAD_PAD2_HIGH,
	BAD_PERSONALITY, BAD_PERSONALITY_HIGH, BAD_FIXED_FILE,
	BAD_BUFFER_SELECT, BAD_SQE_FLAG, BAD_RW_FLAGS,
	BAD_RW_FLAGS_LAST = BAD_RW_FLAGS + 31, BAD_ALL_RW_FLAGS, BADS
};

/* Returns the expected error, or 0 if the SQE is still valid. */
static int spoil(struct io_uring_sqe *sqe, int bad)
{
	bool send = sqe->opcode == IOIPC_OP_SEND;

	switch (bad) {
	case BAD_OFF:
		sqe->off = 1;
		break;
	case BAD_OFF_HIGH:
		sqe->off = 1ULL << 63;
		break;
	case BAD_IOPRIO:
		sqe->ioprio = 1;
		break;
	case BAD_IOPRIO_HIGH:
		sqe->ioprio = 1 << 15;
		break;
	case BAD_BUF_INDEX:
		sqe->buf_index = 1;
		break;
	case BAD_BUF_INDEX_HIGH:
		sqe->buf_index = 1 << 15;
		break;
	case BAD_ADDR3:
		sqe->addr3 = 1;
		break;
	case BAD_ADDR3_HIGH:
		sqe->addr3 = 1ULL << 63;
		break;
	case BAD_PAD2:
		sqe->__pad2[0] = 1;
		break;
	case BAD_PAD2_HIGH:
		sqe->__pad2[0] = 1ULL << 63;
		break;
	case BAD_PERSONALITY:
		sqe->personality = 1;
		break;
	case BAD_PERSONALITY_HIGH:
		sqe->personality = USHRT_MAX;
		break;
	case BAD_FIXED_FILE:
		sqe->flags |= IOSQE_FIXED_FILE;
		break;
	case BAD_BUFFER_SELECT:
		/* RECV fails because the SQE also has an address. */
		sqe->flags |= IOSQE_BUFFER_SELECT;
		return send ? -EOPNOTSUPP : -EINVAL;
	case BAD_SQE_FLAG:
		sqe->flags |= 1 << 7;
		break;
	case BAD_ALL_RW_FLAGS:
		sqe->rw_flags = -1;
		break;
	default:
		sqe->rw_flags = 1U << (bad - BAD_RW_FLAGS);
		if (sqe->rw_flags == (send ? IOIPC_SEND_WAIT : IOIPC_RECV_WAIT))
			return 0;
		if (!send && sqe->rw_flags == IOIPC_RECV_TRUNC)
			return 0;
		/* There is no registered buffer. */
		if (sqe->rw_flags == IOIPC_FIXED_BUF)
			return -EFAULT;
		/* A vector cannot be in a registered buffer. */
		if (send && sqe->rw_flags == IOIPC_SEND_VEC)
			sqe->rw_flags |= IOIPC_FIXED_BUF;
		/*
		 * MULTISHOT is wrong without provided buffers, INFO and BUNDLE
		 * without room for them, MAPPED with a buffer.
		 */
	}
	return -EINVAL;
}

TEST_F_TIMEOUT(prep, send_with_bad_fields, IPC_TIMEOUT)
{
	int bad, error, right = 0;

	self->buf = 1;
	for (bad = 0; bad < BADS; bad++) {
		error = spoil(get_send(&self->ring, self->sub.id, &self->buf),
			      bad) ?: IPC_NUM;
		right += 2 * (error == IPC_NUM);
		EXPECT_EQ(error, ipc_run(&self->ring))
			TH_LOG("case %d", bad);
		/* The same from a sender that is not attached. */
		error = spoil(get_send(&self->ring, self->channel, &self->buf),
			      bad) ?: IPC_NUM;
		EXPECT_EQ(error, ipc_run(&self->ring))
			TH_LOG("case %d, not attached", bad);
	}
	EXPECT_EQ(2, right);
	EXPECT_EQ(right, ipc_tail(self->map));
	while (right--) {
		EXPECT_EQ(1, ipc_recv_num(&self->ring, self->sub.id));
	}
	EXPECT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sub.id, 2));
	EXPECT_EQ(2, ipc_recv_num(&self->ring, self->sub.id));
}

TEST_F_TIMEOUT(prep, recv_with_bad_fields, IPC_TIMEOUT)
{
	struct io_uring_sqe *sqe;
	int bad, error;

	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sub.id, 3));
	self->buf = 4;
	for (bad = 0; bad < BADS; bad++) {
		sqe = get_recv(&self->ring, self->sub.id, &self->buf);
		error = spoil(sqe, bad);
		if (!error) {
			/* With no subscriber, so that the message stays. */
			sqe->fd = 0;
			error = -ENOENT;
		}
		EXPECT_EQ(error, ipc_run(&self->ring))
			TH_LOG("case %d", bad);
	}
	/* All flags together, and provided buffers with an address. */
	sqe = get_recv(&self->ring, self->sub.id, &self->buf);
	sqe->rw_flags = IOIPC_RECV_WAIT | IOIPC_RECV_MULTISHOT;
	EXPECT_EQ(-EINVAL, ipc_run(&self->ring));
	sqe = get_recv(&self->ring, self->sub.id, &self->buf);
	sqe->rw_flags = IOIPC_RECV_MULTISHOT;
	sqe->flags |= IOSQE_BUFFER_SELECT;
	EXPECT_EQ(-EINVAL, ipc_run(&self->ring));
	/* A receive has no target. */
	sqe = get_recv(&self->ring, self->sub.id, &self->buf);
	sqe->file_index = self->sub.id;
	EXPECT_EQ(-EINVAL, ipc_run(&self->ring));

	EXPECT_EQ(4, self->buf);
	EXPECT_EQ(3, ipc_recv_num(&self->ring, self->sub.id));
}

TEST_F_TIMEOUT(prep, ids_that_are_nothing, IPC_TIMEOUT)
{
	const __u32 bad[] = { 0, INT_MAX, 1U << 31, UINT_MAX };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-ENOENT, ipc_send_num(&self->ring, bad[i], 1));
		EXPECT_EQ(-ENOENT, ipc_recv_num(&self->ring, bad[i]));
	}
	/* A receiver must be attached. */
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->channel, 1));
	EXPECT_EQ(-ENOENT, ipc_recv_num(&self->ring, self->channel));
	EXPECT_EQ(1, ipc_recv_num(&self->ring, self->sub.id));
}

TEST_F_TIMEOUT(prep, user_data_comes_back, IPC_TIMEOUT)
{
	struct io_uring_cqe cqe;

	io_uring_sqe_set_data64(get_send(&self->ring, self->sub.id,
					 &self->buf), 0xfedcba9876543210);
	EXPECT_EQ(IPC_NUM, ipc_run_cqe(&self->ring, &cqe));
	EXPECT_EQ(0xfedcba9876543210, cqe.user_data);
	EXPECT_EQ(0, cqe.flags);
	io_uring_sqe_set_data64(get_recv(&self->ring, self->sub.id,
					 &self->buf), 0x0123456789abcdef);
	EXPECT_EQ(IPC_NUM, ipc_run_cqe(&self->ring, &cqe));
	EXPECT_EQ(0x0123456789abcdef, cqe.user_data);
	EXPECT_EQ(0, cqe.flags);
}

TEST_F_TIMEOUT(prep, many_at_once_keep_their_order, IPC_TIMEOUT)
{
	enum { COUNT = 32 };
	__u64 in[COUNT], out[COUNT] = {};
	int i;

	for (i = 0; i < COUNT; i++) {
		in[i] = i + 100;
		get_send(&self->ring, self->sub.id, &in[i]);
	}
	for (i = 0; i < COUNT; i++)
		get_recv(&self->ring, self->sub.id, &out[i]);
	for (i = 0; i < 2 * COUNT; i++) {
		EXPECT_EQ(IPC_NUM, ipc_run(&self->ring));
	}
	for (i = 0; i < COUNT; i++) {
		EXPECT_EQ(in[i], out[i]);
	}
}

TEST_F_TIMEOUT(prep, async, IPC_TIMEOUT)
{
	__u64 num = 77, got = 0;

	get_send(&self->ring, self->sub.id, &num)->flags |= IOSQE_ASYNC;
	EXPECT_EQ(IPC_NUM, ipc_run(&self->ring));
	get_recv(&self->ring, self->sub.id, &got)->flags |= IOSQE_ASYNC;
	EXPECT_EQ(IPC_NUM, ipc_run(&self->ring));
	EXPECT_EQ(77, got);
	/* Nor does a worker try again until there is a message. */
	get_recv(&self->ring, self->sub.id, &got)->flags |= IOSQE_ASYNC;
	EXPECT_EQ(-EAGAIN, ipc_run(&self->ring));
	get_send(&self->ring, self->channel, &num)->flags |= IOSQE_ASYNC;
	EXPECT_EQ(IPC_NUM, ipc_run(&self->ring));
}

/*
 * An invalid request fails when it is issued, not when it is submitted: a
 * failure at submission would fail the requests after it.
 */
TEST_F_TIMEOUT(prep, who_has_no_subscriber_fails_alone, IPC_TIMEOUT)
{
	enum { CASES = 6 };
	struct io_uring_sqe *sqe;
	struct io_uring_cqe cqe;
	int i, ended = 0;

	for (i = 0; i < CASES; i++) {
		/* The id of a channel is not the id of a subscriber. */
		sqe = i % 2 && i < 5 ?
			get_send(&self->ring, 0x7ffffff0, &self->buf) :
			get_recv(&self->ring, self->channel, &self->buf);
		sqe->user_data = i;
		if (i < 2) {
			sqe->rw_flags = i ? IOIPC_SEND_WAIT : IOIPC_RECV_WAIT;
			sqe->flags |= IOSQE_ASYNC;
		} else if (i == 2) {
			sqe->flags |= IOSQE_BUFFER_SELECT;
			sqe->addr = 0;
		} else if (i >= 4) {
			sqe->flags |= IOSQE_BUFFER_SELECT;
			sqe->flags |= i == 5 ? IOSQE_ASYNC : 0;
			sqe->rw_flags = IOIPC_RECV_MULTISHOT;
			sqe->addr = 0;
		}
	}
	EXPECT_EQ(CASES, io_uring_submit(&self->ring));
	for (i = 0; i < CASES; i++) {
		ASSERT_EQ(-ENOENT, ipc_run_cqe(&self->ring, &cqe))
			TH_LOG("case %llu", (unsigned long long)cqe.user_data);
		ended |= 1 << cqe.user_data;
	}
	EXPECT_EQ((1 << CASES) - 1, ended);
}

TEST_F_TIMEOUT(prep, link, IPC_TIMEOUT)
{
	__u64 num = 5, got = 0;

	get_send(&self->ring, self->sub.id, &num)->flags |= IOSQE_IO_LINK;
	get_recv(&self->ring, self->sub.id, &got)->flags |= IOSQE_IO_LINK;
	io_uring_prep_nop(io_uring_get_sqe(&self->ring));
	EXPECT_EQ(IPC_NUM, ipc_run(&self->ring));
	EXPECT_EQ(IPC_NUM, ipc_run(&self->ring));
	EXPECT_EQ(0, ipc_run(&self->ring));
	EXPECT_EQ(5, got);
}

/* A failed request breaks its link, however it has failed. */
TEST_F_TIMEOUT(prep, failure_breaks_a_link, IPC_TIMEOUT)
{
	__u64 num = 5, got;

	get_recv(&self->ring, self->sub.id, &got)->flags |= IOSQE_IO_LINK;
	get_send(&self->ring, self->sub.id, &num);
	EXPECT_EQ(-EAGAIN, ipc_run(&self->ring));
	EXPECT_EQ(-ECANCELED, ipc_run(&self->ring));
	EXPECT_EQ(0, ipc_tail(self->map));

	get_send(&self->ring, UINT_MAX, &num)->flags |= IOSQE_IO_LINK;
	get_send(&self->ring, self->sub.id, &num);
	EXPECT_EQ(-ENOENT, ipc_run(&self->ring));
	EXPECT_EQ(-ECANCELED, ipc_run(&self->ring));
	EXPECT_EQ(0, ipc_tail(self->map));

	get_send(&self->ring, self->sub.id, (void *)8)->flags |= IOSQE_IO_LINK;
	get_send(&self->ring, self->sub.id, &num);
	EXPECT_EQ(-EFAULT, ipc_run(&self->ring));
	EXPECT_EQ(-ECANCELED, ipc_run(&self->ring));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, self->sub.id));
}

TEST_F_TIMEOUT(prep, failure_does_not_break_a_hard_link, IPC_TIMEOUT)
{
	__u64 num = 6, got;

	get_recv(&self->ring, self->sub.id, &got)->flags |= IOSQE_IO_HARDLINK;
	get_send(&self->ring, self->sub.id, &num);
	EXPECT_EQ(-EAGAIN, ipc_run(&self->ring));
	EXPECT_EQ(IPC_NUM, ipc_run(&self->ring));
	EXPECT_EQ(6, ipc_recv_num(&self->ring, self->sub.id));
}

TEST_F_TIMEOUT(prep, drain, IPC_TIMEOUT)
{
	__u64 num = 7, got = 0;

	/* The receive must not overtake the send, which runs in a worker. */
	get_send(&self->ring, self->sub.id, &num)->flags |= IOSQE_ASYNC;
	get_recv(&self->ring, self->sub.id, &got)->flags |= IOSQE_IO_DRAIN;
	EXPECT_EQ(IPC_NUM, ipc_run(&self->ring));
	EXPECT_EQ(IPC_NUM, ipc_run(&self->ring));
	EXPECT_EQ(7, got);
}

TEST_F_TIMEOUT(prep, cqe_skip_success, IPC_TIMEOUT)
{
	struct io_uring_cqe cqe;
	__u64 num = 8, got = 0;

	get_send(&self->ring, self->sub.id, &num)->flags |=
		IOSQE_CQE_SKIP_SUCCESS;
	get_recv(&self->ring, self->sub.id, &got)->flags |=
		IOSQE_CQE_SKIP_SUCCESS;
	io_uring_prep_nop(io_uring_get_sqe(&self->ring));
	io_uring_sqe_set_data64(get_recv(&self->ring, self->sub.id, &got), 99);
	EXPECT_EQ(0, ipc_run_cqe(&self->ring, &cqe));
	/* The failure of the last request is the only completion. */
	EXPECT_EQ(-EAGAIN, ipc_run_cqe(&self->ring, &cqe));
	EXPECT_EQ(99, cqe.user_data);
	EXPECT_EQ(0, io_uring_cq_ready(&self->ring));
	EXPECT_EQ(8, got);

	get_recv(&self->ring, self->sub.id, &got)->flags |=
		IOSQE_CQE_SKIP_SUCCESS;
	EXPECT_EQ(-EAGAIN, ipc_run(&self->ring));
}

/*
 * The kernel checks a send without being attached with the credentials of the
 * request, which a personality replaces.
 */
TEST_F_TIMEOUT(prep, personality, IPC_TIMEOUT)
{
	static const unsigned int flags[] = { 0, IOSQE_ASYNC };
	struct io_uring_sqe *sqe;
	int root, nobody;
	__u64 num = 9;
	size_t i;

	root = io_uring_register_personality(&self->ring);
	ASSERT_LT(0, root);
	ASSERT_EQ(0, setegid(IPC_GID));
	ASSERT_EQ(0, seteuid(IPC_UID));
	nobody = io_uring_register_personality(&self->ring);
	ASSERT_LT(0, nobody);

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		sqe = get_send(&self->ring, self->channel, &num);
		sqe->flags |= flags[i];
		EXPECT_EQ(-EACCES, ipc_run(&self->ring));
		sqe = get_send(&self->ring, self->channel, &num);
		sqe->flags |= flags[i];
		sqe->personality = root;
		EXPECT_EQ(IPC_NUM, ipc_run(&self->ring));
	}
	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, setegid(0));
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		sqe = get_send(&self->ring, self->channel, &num);
		sqe->flags |= flags[i];
		sqe->personality = nobody;
		EXPECT_EQ(-EACCES, ipc_run(&self->ring));
		/*
		 * The permission of a subscriber was checked when it attached.
		 */
		sqe = get_send(&self->ring, self->sub.id, &num);
		sqe->flags |= flags[i];
		sqe->personality = nobody;
		EXPECT_EQ(IPC_NUM, ipc_run(&self->ring));
	}
	/* An unregistered personality is an error. */
	ASSERT_EQ(0, io_uring_unregister_personality(&self->ring, root));
	sqe = get_send(&self->ring, self->sub.id, &num);
	sqe->personality = root;
	EXPECT_EQ(-EINVAL, ipc_run(&self->ring));
}

/* IOPOLL is not supported. */
TEST_F_TIMEOUT(prep, iopoll, IPC_TIMEOUT)
{
	struct io_uring ring, plain;
	struct ipc_sub sub;
	__u32 channel;
	__u64 num = 0;

	ASSERT_EQ(0, io_uring_queue_init(8, &ring, IORING_SETUP_IOPOLL));
	ASSERT_EQ(0, ipc_open(&plain));
	ASSERT_EQ(0, ipc_create(&plain, 0, 2, 64, &channel));
	ASSERT_EQ(0, ipc_attach(&ring, channel, IOIPC_SUB_BOTH, &sub));
	EXPECT_EQ(-EINVAL, ipc_send_num(&ring, sub.id, 1));
	EXPECT_EQ(-EINVAL, ipc_send_num(&ring, channel, 1));
	EXPECT_EQ(-EINVAL, ipc_recv(&ring, sub.id, &num, sizeof(num)));
}

static void restrict_to(struct io_uring_restriction *restriction, int opcode,
			int value)
{
	memset(restriction, 0, sizeof(*restriction));
	restriction->opcode = opcode;
	/* The members have different names and the same place. */
	restriction->sqe_op = value;
}

/* A ring that may only create, attach and send. */
TEST_F_TIMEOUT(prep, restrictions, IPC_TIMEOUT)
{
	struct io_uring_restriction restriction[4];
	struct ipc_sub sub;
	struct io_uring ring;
	__u32 channel;

	ASSERT_EQ(0, io_uring_queue_init(8, &ring, IORING_SETUP_R_DISABLED));
	restrict_to(&restriction[0], IORING_RESTRICTION_SQE_OP, IOIPC_OP_SEND);
	restrict_to(&restriction[1], IORING_RESTRICTION_REGISTER_OP,
		    IOIPC_REGISTER_CREATE);
	restrict_to(&restriction[2], IORING_RESTRICTION_REGISTER_OP,
		    IOIPC_REGISTER_ATTACH);
	restrict_to(&restriction[3], IORING_RESTRICTION_REGISTER_OP,
		    IORING_REGISTER_ENABLE_RINGS);
	ASSERT_EQ(0, io_uring_register_restrictions(&ring, restriction, 4));
	ASSERT_EQ(0, io_uring_enable_rings(&ring));

	ASSERT_EQ(0, ipc_create(&ring, 0, 2, 64, &channel));
	ASSERT_EQ(0, ipc_attach(&ring, channel, IOIPC_SUB_BOTH, &sub));
	EXPECT_EQ(IPC_NUM, ipc_send_num(&ring, sub.id, 1));
	EXPECT_EQ(-EACCES, ipc_recv_num(&ring, sub.id));
	EXPECT_EQ(-EACCES, io_uring_ipc_channel_detach(&ring, sub.id));
	EXPECT_EQ(-EACCES, io_uring_ipc_channel_destroy(&ring, channel));
	EXPECT_EQ(IPC_NUM, ipc_send_num(&ring, channel, 2));
	EXPECT_EQ(-ENOBUFS, ipc_send_num(&ring, channel, 3));
}

/* The same round trip on all kinds of rings. */
FIXTURE(flavour) {
	struct io_uring ring;
};

FIXTURE_VARIANT(flavour) {
	unsigned int setup;
};

FIXTURE_VARIANT_ADD(flavour, plain) {
	.setup = 0,
};

FIXTURE_VARIANT_ADD(flavour, sqpoll) {
	.setup = IORING_SETUP_SQPOLL,
};

FIXTURE_VARIANT_ADD(flavour, coop_taskrun) {
	.setup = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
};

FIXTURE_VARIANT_ADD(flavour, single_issuer) {
	.setup = IORING_SETUP_SINGLE_ISSUER,
};

FIXTURE_VARIANT_ADD(flavour, defer_taskrun) {
	.setup = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
};

FIXTURE_VARIANT_ADD(flavour, submit_all) {
	.setup = IORING_SETUP_SUBMIT_ALL,
};

FIXTURE_VARIANT_ADD(flavour, large_entries) {
	.setup = IORING_SETUP_SQE128 | IORING_SETUP_CQE32,
};

FIXTURE_VARIANT_ADD(flavour, no_sqarray) {
	.setup = IORING_SETUP_NO_SQARRAY,
};

FIXTURE_SETUP(flavour)
{
	ASSERT_EQ(0, io_uring_queue_init(8, &self->ring, variant->setup));
}

FIXTURE_TEARDOWN(flavour)
{
	io_uring_queue_exit(&self->ring);
}

TEST_F_TIMEOUT(flavour, round_trip, IPC_TIMEOUT)
{
	__u64 num = 0, got;
	struct ipc_sub sub;
	__u32 channel;
	int i;

	ASSERT_EQ(0, ipc_create(&self->ring, 0, 2, 64, &channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, channel, IOIPC_SUB_BOTH, &sub));
	for (i = 0; i < 20; i++) {
		EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, sub.id));
		EXPECT_EQ(IPC_NUM, ipc_send_num(&self->ring, sub.id, i));
		EXPECT_EQ(IPC_NUM, ipc_send_num(&self->ring, channel, i + 1));
		EXPECT_EQ(-ENOBUFS, ipc_send_num(&self->ring, sub.id, i + 2));
		EXPECT_EQ(i, ipc_recv_num(&self->ring, sub.id));
		EXPECT_EQ(i + 1, ipc_recv_num(&self->ring, sub.id));
	}
	/* In a worker; a message that a worker has claimed is not stuck. */
	for (i = 0; i < 20; i++) {
		num = i;
		get_send(&self->ring, sub.id, &num)->flags |=
			IOSQE_ASYNC | IOSQE_IO_LINK;
		get_recv(&self->ring, sub.id, &got)->flags |= IOSQE_ASYNC;
		EXPECT_EQ(IPC_NUM, ipc_run(&self->ring));
		EXPECT_EQ(IPC_NUM, ipc_run(&self->ring));
		EXPECT_EQ(i, got);
	}
	EXPECT_EQ(0, io_uring_ipc_channel_detach(&self->ring, sub.id));
	EXPECT_EQ(0, io_uring_ipc_channel_destroy(&self->ring, channel));
}

TEST_F_TIMEOUT(flavour, errors, IPC_TIMEOUT)
{
	struct ipc_sub sub;
	__u32 channel;
	__u64 num = 0;

	ASSERT_EQ(0, ipc_create(&self->ring, 0, 2, 64, &channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, channel, IOIPC_SUB_BOTH, &sub));
	get_send(&self->ring, sub.id, &num)->rw_flags = 1U << 31;
	EXPECT_EQ(-EINVAL, ipc_run(&self->ring));
	EXPECT_EQ(-EFAULT, ipc_send(&self->ring, sub.id, NULL, 1));
	EXPECT_EQ(-EMSGSIZE, ipc_send(&self->ring, sub.id, &num, 65));
	EXPECT_EQ(-ENOENT, ipc_send_num_to(&self->ring, sub.id, 1, channel));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, sub.id));
}

TEST_HARNESS_MAIN
