// SPDX-License-Identifier: GPL-2.0
/*
 * Objects that are passed on, inherited or kept give the rights that they had,
 * and no more: files, io_uring instances, and credentials that change
 * meanwhile.
 */
#include <sys/socket.h>
#include <sys/un.h>
#include "waiting.h"

static const struct ipc_who stranger = { IPC_OTHER_UID, IPC_OTHER_GID, 0 };

FIXTURE(rights) {
	/*
	 * The ring and the channel belong to root, and no other user may use
	 * the channel.
	 */
	struct io_uring ring;
	__u32 channel;
	struct io_uring_ipc_channel_attach receiver;
	struct ipc_sub sender;
};

FIXTURE_SETUP(rights)
{
	struct io_uring_ipc_channel_create create;

	if (geteuid())
		SKIP(return, "needs to be root");
	ASSERT_EQ(0, ipc_open(&self->ring));
	create = ipc_create_args(IOIPC_F_BROADCAST, 8, 64);
	ASSERT_EQ(0, io_uring_ipc_channel_create(&self->ring, &create));
	self->channel = create.channel_id_out;
	self->receiver.channel_id = self->channel;
	self->receiver.flags = IOIPC_SUB_RECV;
	ASSERT_EQ(0, io_uring_ipc_channel_attach(&self->ring, &self->receiver));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_SEND,
				&self->sender));
}

FIXTURE_TEARDOWN(rights)
{
	io_uring_queue_exit(&self->ring);
}

/* Runs a part of a test in a child, with other credentials. */
#define IN_CHILD(...) do {						\
	pid_t __pid = ipc_fork();					\
									\
	ASSERT_LE(0, __pid);						\
	if (!__pid) {							\
		__VA_ARGS__						\
		_exit(0);						\
	}								\
	EXPECT_EQ(0, ipc_wait(__pid));					\
} while (0)

/*
 * Sends a file, or receives one if fd is -1; returns a file or a negative
 * errno.
 */
static int pass_file(int socket, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] __aligned(8) = {};
	struct iovec byte = { .iov_base = "f", .iov_len = 1 };
	char got;
	struct msghdr message = {
		.msg_iov = &byte,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	if (fd >= 0) {
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(header), &fd, sizeof(fd));
		return sendmsg(socket, &message, 0) == 1 ? fd : -errno;
	}
	byte.iov_base = &got;
	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1)
		return -errno;
	header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_type != SCM_RIGHTS)
		return -ENOMSG;
	memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	return fd;
}

/* io_uring does not allow to pass an instance through a socket. */
TEST_F_TIMEOUT(rights, an_instance_cannot_be_passed, IPC_TIMEOUT)
{
	int sockets[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	EXPECT_EQ(-EINVAL, pass_file(sockets[0], self->ring.ring_fd));
	EXPECT_EQ(self->receiver.channel_fd,
		  pass_file(sockets[0], self->receiver.channel_fd));
}

/*
 * A process that is given the file of a receiver can read in place, and store
 * the position of the receiver.  It can neither send nor receive.
 */
TEST_F_TIMEOUT(rights, a_passed_file_is_for_reading_in_place, IPC_TIMEOUT)
{
	int sockets[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	ASSERT_EQ(2, ipc_send_nums(&self->ring, self->sender.id, 7, 9));
	ASSERT_LE(0, pass_file(sockets[0], self->receiver.channel_fd));
	ASSERT_LE(0, pass_file(sockets[0], self->sender.fd));
	IN_CHILD({
		struct io_uring_ipc_channel_attach passed = self->receiver;
		struct pollfd pollfd = { .events = POLLIN };
		struct ipc_message message;
		struct io_uring ring;
		struct ipc_map map;
		struct ipc_sub sub;

		/* Closes the inherited files. */
		ASSERT_EQ(0, close(self->receiver.channel_fd));
		ASSERT_EQ(0, close(self->sender.fd));
		ASSERT_EQ(0, close(self->ring.ring_fd));
		ipc_become(stranger);
		passed.channel_fd = pass_file(sockets[1], -1);
		ASSERT_LE(0, passed.channel_fd);
		sub.fd = pass_file(sockets[1], -1);
		ASSERT_LE(0, sub.fd);

		pollfd.fd = passed.channel_fd;
		EXPECT_EQ(1, poll(&pollfd, 1, 0));
		ASSERT_EQ(0, ipc_map(&map, &passed));
		ASSERT_TRUE(ipc_peek(&map, &message));
		EXPECT_EQ(7, *(const __u64 *)message.data);
		ipc_consume(&map);
		EXPECT_EQ(MAP_FAILED, mmap(NULL, passed.region_size, PROT_READ,
					   MAP_SHARED, sub.fd, 0));
		EXPECT_EQ(EACCES, errno);

		ASSERT_EQ(0, ipc_open(&ring));
		EXPECT_EQ(-ENOENT, ipc_recv_num(&ring, passed.local_id_out));
		EXPECT_EQ(-ENOENT, ipc_send_num(&ring, self->sender.id, 1));
		EXPECT_EQ(-EACCES, ipc_send_num(&ring, self->channel, 1));
		EXPECT_EQ(-EPERM, io_uring_ipc_channel_detach(&ring,
							self->sender.id));
		EXPECT_EQ(-EPERM, io_uring_ipc_channel_destroy(&ring,
							self->channel));
		EXPECT_EQ(-EACCES, ipc_attach(&ring, self->channel,
					      IOIPC_SUB_RECV, &sub));
	});
	EXPECT_EQ(8, ipc_recv_num(&self->ring, self->receiver.local_id_out));
}

/* An inherited instance has its subscribers and its channels, and no more. */
TEST_F_TIMEOUT(rights, an_inherited_instance_keeps_its_rights, IPC_TIMEOUT)
{
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sender.id, 1));
	IN_CHILD({
		struct ipc_sub sub;

		ipc_become(stranger);
		EXPECT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sender.id,
						2));
		EXPECT_EQ(1, ipc_recv_num(&self->ring,
					  self->receiver.local_id_out));
		EXPECT_EQ(-EACCES, ipc_send_num(&self->ring, self->channel, 3));
		EXPECT_EQ(-EACCES, ipc_attach(&self->ring, self->channel,
					      IOIPC_SUB_SEND, &sub));
		EXPECT_EQ(0, io_uring_ipc_channel_detach(&self->ring,
							 self->sender.id));
		EXPECT_EQ(0, io_uring_ipc_channel_destroy(&self->ring,
							  self->channel));
		EXPECT_EQ(2, ipc_recv_num(&self->ring,
					  self->receiver.local_id_out));
		EXPECT_EQ(-EPIPE, ipc_recv_num(&self->ring,
					       self->receiver.local_id_out));
	});
}

/* After exec, the instance is closed, and its channels are gone. */
TEST_F_TIMEOUT(rights, nothing_survives_exec, IPC_TIMEOUT)
{
	__u32 *channel = ipc_shared(sizeof(*channel));
	int hold[2];
	struct ipc_sub sub;
	pid_t pid;

	ASSERT_NE(NULL, channel);
	ASSERT_EQ(0, pipe(hold));
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		char command[200];
		struct io_uring ring;

		ASSERT_EQ(0, ipc_open(&ring));
		ASSERT_EQ(0, ipc_create(&ring, 0, 8, 64, channel));
		ASSERT_EQ(0, ipc_attach(&ring, *channel, IOIPC_SUB_BOTH, &sub));
		ASSERT_EQ(0, dup2(hold[0], 0));
		ASSERT_EQ(0, close(hold[1]));
		snprintf(command, sizeof(command),
			 "for fd in %d %d; do if [ -e /proc/self/fd/$fd ]; then exit 9; fi; done; read line",
			 ring.ring_fd, sub.fd);
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(KSFT_SKIP);
	}
	EXPECT_TRUE(ipc_poll(*channel && ipc_attach(&self->ring, *channel,
						    IOIPC_SUB_BOTH, &sub)
			     == -ENOENT));
	EXPECT_EQ(0, kill(pid, 0));
	ASSERT_EQ(5, write(hold[1], "done\n", 5));
	EXPECT_EQ(0, ipc_wait(pid));
}

/* The credentials of the caller count, not those of the instance's opener. */
TEST_F_TIMEOUT(rights, credentials_change_after_the_instance, IPC_TIMEOUT)
{
	IN_CHILD({
		struct ipc_request request;
		struct io_uring ring;
		struct ipc_sub sub;
		__u32 own;

		ASSERT_EQ(0, ipc_open(&ring));
		/* Root sends first, so that the module knows the instance. */
		ASSERT_EQ(IPC_NUM, ipc_send_num(&ring, self->channel, 5));
		ASSERT_EQ(0, setresgid(stranger.gid, stranger.gid, 0));
		ASSERT_EQ(0, setresuid(stranger.uid, stranger.uid, 0));
		ipc_bind_to_parent();
		EXPECT_EQ(-EACCES, ipc_send_num(&ring, self->channel, 6));
		EXPECT_EQ(-EACCES, ipc_attach(&ring, self->channel,
					      IOIPC_SUB_RECV, &sub));
		EXPECT_EQ(-EPERM, io_uring_ipc_channel_destroy(&ring,
							self->channel));
		EXPECT_EQ(0, ipc_create(&ring, 0, 8, 64, &own));
		ASSERT_EQ(0, setresuid(0, 0, 0));
		ASSERT_EQ(0, setresgid(0, 0, 0));
		ipc_bind_to_parent();
		EXPECT_EQ(IPC_NUM, ipc_send_num(&ring, self->channel, 7));
		EXPECT_EQ(0, ipc_attach(&ring, self->channel, IOIPC_SUB_RECV,
					&sub));
		/* The stranger owns the channel that it has created. */
		request = (struct ipc_request) { .channel = own };
		EXPECT_EQ(0, ipc_as(stranger, ipc_do_destroy, &request));
	});
	EXPECT_EQ(5, ipc_recv_num(&self->ring, self->receiver.local_id_out));
	EXPECT_EQ(7, ipc_recv_num(&self->ring, self->receiver.local_id_out));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring,
					self->receiver.local_id_out));
}

/* An SQPOLL thread keeps its credentials; commands have those of the caller. */
TEST_F_TIMEOUT(rights, credentials_change_after_sqpoll, IPC_TIMEOUT)
{
	IN_CHILD({
		struct io_uring ring;
		struct ipc_sub sub;

		ASSERT_EQ(0, io_uring_queue_init(8, &ring,
						 IORING_SETUP_SQPOLL));
		ipc_become(stranger);
		EXPECT_EQ(IPC_NUM, ipc_send_num(&ring, self->channel, 5));
		EXPECT_EQ(-EACCES, ipc_attach(&ring, self->channel,
					      IOIPC_SUB_SEND, &sub));
	});
	EXPECT_EQ(5, ipc_recv_num(&self->ring, self->receiver.local_id_out));
}

/* A send without being attached has the rights of the submitting task. */
TEST_F_TIMEOUT(rights, credentials_change_while_waiting, IPC_TIMEOUT)
{
	ASSERT_EQ(8, ipc_send_nums(&self->ring, self->sender.id, 0, 8));
	IN_CHILD({
		struct io_uring ring;
		__u64 num = 8;

		ASSERT_EQ(0, ipc_open(&ring));
		wait_get_send(&ring, self->channel, &num, 1);
		ASSERT_TRUE(wait_nothing(&ring));
		ipc_become(stranger);
		EXPECT_EQ(0, ipc_recv_num(&self->ring,
					  self->receiver.local_id_out));
		EXPECT_EQ(IPC_NUM, wait_for(&ring, 1));
		EXPECT_EQ(8, ipc_recv_nums(&self->ring,
					   self->receiver.local_id_out, 1, 9));
		EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring,
						self->receiver.local_id_out));
	});
}

/* Prepares a send that runs once the pipe has data. */
static void get_chained_send(struct io_uring *ring, int fd, __u32 id,
			     const __u64 *num)
{
	static char byte;
	struct io_uring_sqe *sqe = wait_get_sqe(ring);

	io_uring_prep_read(sqe, fd, &byte, 1, 0);
	sqe->flags |= IOSQE_IO_LINK;
	io_uring_sqe_set_data64(sqe, 1);
	wait_get_send(ring, id, num, 2)->rw_flags = 0;
}

/* The same for a request that runs after other requests have ended. */
TEST_F_TIMEOUT(rights, credentials_change_before_a_chain_goes_on, IPC_TIMEOUT)
{
	int begin[2];

	ASSERT_EQ(0, pipe(begin));
	IN_CHILD({
		struct io_uring ring;
		__u64 num = 8;

		ASSERT_EQ(0, ipc_open(&ring));
		ASSERT_EQ(0, setresuid(stranger.uid, stranger.uid, 0));
		ipc_bind_to_parent();
		get_chained_send(&ring, begin[0], self->channel, &num);
		ASSERT_TRUE(wait_nothing(&ring));
		ASSERT_EQ(0, setresuid(0, 0, 0));
		ipc_bind_to_parent();
		ASSERT_EQ(1, write(begin[1], "b", 1));
		EXPECT_EQ(1, wait_for(&ring, 1));
		EXPECT_EQ(-EACCES, wait_for(&ring, 2));
		EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring,
						self->receiver.local_id_out));

		get_chained_send(&ring, begin[0], self->channel, &num);
		ASSERT_TRUE(wait_nothing(&ring));
		ipc_become(stranger);
		ASSERT_EQ(1, write(begin[1], "b", 1));
		EXPECT_EQ(1, wait_for(&ring, 1));
		EXPECT_EQ(IPC_NUM, wait_for(&ring, 2));
		EXPECT_EQ(8, ipc_recv_num(&self->ring,
					  self->receiver.local_id_out));
	});
}

IPC_HARNESS_MAIN
