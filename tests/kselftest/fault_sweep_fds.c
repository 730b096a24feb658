// SPDX-License-Identifier: GPL-2.0
/* Every fault in SEND and RECV of messages with files, see fault_sweep.h. */
#include "fault_sweep.h"

#define FILES	3

/* The reading ends of pipes tell who has the writing ends. */
static int reads[FILES];
static int writes[FILES];
static int got_fds[FILES];
static struct msg_num got;

/* Whether nobody has the writing ends any more. */
static bool are_closed(int first)
{
	struct pollfd poller = { 0 };
	int i;

	for (i = first; i < FILES; i++) {
		poller.fd = reads[i];
		if (poll(&poller, 1, IPC_DEADLINE * 1000) != 1 ||
		    poller.revents != POLLHUP)
			return false;
	}
	return true;
}

/* The files of the last round are gone by now, also those of a broadcast. */
static void open_pipes(struct __test_metadata *_metadata)
{
	int ends[2], i;

	if (reads[0])
		EXPECT_TRUE(are_closed(0));
	for (i = 0; i < FILES; i++) {
		if (reads[i])
			close(reads[i]);
		ASSERT_EQ(0, pipe(ends));
		reads[i] = ends[0];
		writes[i] = ends[1];
	}
}

static void close_all(const int *fds, int count)
{
	while (count--)
		close(fds[count]);
}

static void prepare_send(struct __test_metadata *_metadata, struct context *c)
{
	struct io_uring_sqe *sqe;

	open_pipes(_metadata);
	c->with = &c->ring;
	c->nums[0] = ++c->num;
	sqe = msg_get_send(c->with, c->own.id, c->nums, IPC_NUM, c->op->flags);
	ipc_sqe_set_send_fds(sqe, writes, FILES);
	c->data = sqe->user_data;
}

static int run_request(struct context *c)
{
	return submit(c);
}

/* Receives what was sent, and closes it. */
static void check_send(struct __test_metadata *_metadata, struct context *c,
		       int result)
{
	struct io_uring_sqe *sqe;

	close_all(writes, FILES);
	if (result < 0) {
		EXPECT_TRUE(are_closed(0));
		return;
	}
	EXPECT_EQ(IPC_NUM, result);
	c->sent++;
	sqe = msg_get_recv(&c->ring, c->own.id, &got, sizeof(got), IOIPC_RECV_INFO);
	ipc_sqe_set_recv_fds(sqe, got_fds, FILES);
	EXPECT_EQ(sizeof(got), msg_run(&c->ring, sqe));
	c->received++;
	EXPECT_EQ(c->num, got.num);
	EXPECT_EQ(FILES, got.info.fds);
	EXPECT_EQ(0, got.info.flags);
	close_all(got_fds, FILES);
}

static void prepare_recv(struct __test_metadata *_metadata, struct context *c)
{
	struct io_uring_sqe *sqe;

	open_pipes(_metadata);
	c->with = &c->ring;
	c->nums[0] = ++c->num;
	sqe = msg_get_send(&c->peer, c->other.id, c->nums, IPC_NUM, 0);
	ipc_sqe_set_send_fds(sqe, writes, FILES);
	ASSERT_EQ(IPC_NUM, msg_run(&c->peer, sqe));
	close_all(writes, FILES);
	sqe = msg_get_recv(c->with, c->own.id, &got, sizeof(got),
			   IOIPC_RECV_INFO | c->op->flags);
	ipc_sqe_set_recv_fds(sqe, got_fds, FILES);
	c->data = sqe->user_data;
}

/* The message has come with some of its files, or has stayed with all. */
static void check_recv(struct __test_metadata *_metadata, struct context *c,
		       int result)
{
	struct io_uring_sqe *sqe;

	if (result < 0) {
		sqe = msg_get_recv(&c->ring, c->own.id, &got, sizeof(got),
				   IOIPC_RECV_INFO);
		ipc_sqe_set_recv_fds(sqe, got_fds, FILES);
		ASSERT_EQ(sizeof(got), msg_run(&c->ring, sqe));
		EXPECT_EQ(FILES, got.info.fds);
	} else {
		EXPECT_EQ(sizeof(got), result);
	}
	c->received++;
	EXPECT_EQ(c->num, got.num);
	ASSERT_GE(FILES, got.info.fds);
	EXPECT_EQ(got.info.fds < FILES ? IOIPC_INFO_FDS_LOST : 0, got.info.flags);
	if (!(c->op->channel & IOIPC_F_BROADCAST))
		EXPECT_TRUE(are_closed(got.info.fds));
	close_all(got_fds, got.info.fds);
}

OPERATION(send, send, request, send, .errors = { ENOMEM, EFAULT });
OPERATION(send_broadcast, send, request, send, .errors = { ENOMEM, EFAULT },
	  .channel = IOIPC_F_BROADCAST);
OPERATION(send_sqpoll, send, request, send, .errors = { ENOMEM, EFAULT },
	  .how = SQPOLL);
OPERATION(recv, recv, request, recv, .errors = { ENOMEM, EFAULT });
OPERATION(recv_broadcast, recv, request, recv, .errors = { ENOMEM, EFAULT },
	  .channel = IOIPC_F_BROADCAST);
OPERATION(recv_sqpoll, recv, request, recv, .errors = { ENOMEM, EFAULT },
	  .how = SQPOLL);

IPC_HARNESS_MAIN
