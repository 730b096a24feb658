// SPDX-License-Identifier: GPL-2.0
/* Each IPC namespace has its own channels and keys. */
#include "ipc_test.h"

FIXTURE(ns) {
	struct io_uring ring;
	__u64 key;
	__u32 channel;
	struct ipc_sub sub;
};

FIXTURE_SETUP(ns)
{
	if (geteuid())
		SKIP(return, "needs to be root");
	if (access("/proc/self/ns/ipc", F_OK))
		SKIP(return, "no IPC namespaces");
	self->key = ipc_new_key();
	ASSERT_EQ(0, ipc_open(&self->ring));
	ASSERT_EQ(0, ipc_create_key(&self->ring, 0, self->key, 0666,
				    &self->channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_BOTH,
				&self->sub));
}

FIXTURE_TEARDOWN(ns)
{
	io_uring_queue_exit(&self->ring);
}

TEST_F_TIMEOUT(ns, nothing_is_found_from_another, IPC_TIMEOUT)
{
	struct io_uring ring;
	struct ipc_sub sub;
	pid_t pid;

	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		ASSERT_EQ(0, ipc_open(&ring));
		EXPECT_EQ(-ENOENT, ipc_attach(&ring, self->channel,
					      IOIPC_SUB_BOTH, &sub));
		EXPECT_EQ(-ENOENT, ipc_attach_key(&ring, self->key,
						  IOIPC_SUB_BOTH, &sub));
		EXPECT_EQ(-ENOENT, ipc_send_num(&ring, self->channel, 1));
		EXPECT_EQ(-ENOENT, io_uring_ipc_channel_destroy(&ring,
								self->channel));
		_exit(0);
	}
	EXPECT_EQ(0, ipc_wait(pid));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, self->sub.id));
	EXPECT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->channel, 2));
}

/*
 * Nor does a request find it that takes a file to wait on before it is issued:
 * one that runs in a worker, or that has provided buffers.  The error does not
 * say whether there is such a channel.
 */
TEST_F_TIMEOUT(ns, nothing_is_found_by_what_may_wait, IPC_TIMEOUT)
{
	const __u32 ids[] = { self->channel, INT_MAX };
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	__u64 num = 1;
	size_t i;
	pid_t pid;

	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		ASSERT_EQ(0, ipc_open(&ring));
		for (i = 0; i < ARRAY_SIZE(ids); i++) {
			sqe = io_uring_get_sqe(&ring);
			io_uring_prep_ipc_send(sqe, ids[i], &num, sizeof(num),
					       0, IOIPC_SEND_WAIT);
			sqe->flags |= IOSQE_ASYNC;
			EXPECT_EQ(-ENOENT, ipc_run(&ring));
			sqe = io_uring_get_sqe(&ring);
			io_uring_prep_ipc_recv(sqe, ids[i], NULL, 0, 0);
			sqe->flags |= IOSQE_BUFFER_SELECT;
			EXPECT_EQ(-ENOENT, ipc_run(&ring));
		}
		_exit(__test_passed(_metadata) ? 0 : 1);
	}
	EXPECT_EQ(0, ipc_wait(pid));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, self->sub.id));
}

/* The ring is older than the namespace: the namespace of the caller counts. */
TEST_F_TIMEOUT(ns, the_namespace_is_the_callers, IPC_TIMEOUT)
{
	struct io_uring ring;
	struct ipc_sub sub;
	int home;

	ASSERT_EQ(0, ipc_open(&ring));
	home = open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, home);
	ASSERT_EQ(0, unshare(CLONE_NEWIPC));
	EXPECT_EQ(-ENOENT, ipc_attach(&ring, self->channel, IOIPC_SUB_BOTH,
				      &sub));
	EXPECT_EQ(-ENOENT, ipc_attach_key(&ring, self->key, IOIPC_SUB_BOTH,
					  &sub));
	EXPECT_EQ(-ENOENT, ipc_send_num(&ring, self->channel, 1));
	ASSERT_EQ(0, setns(home, CLONE_NEWIPC));
	EXPECT_EQ(0, ipc_attach_key(&ring, self->key, IOIPC_SUB_BOTH, &sub));
	EXPECT_EQ(0, ipc_attach(&ring, self->channel, IOIPC_SUB_BOTH, &sub));
	EXPECT_EQ(IPC_NUM, ipc_send_num(&ring, self->channel, 1));
}

TEST_F_TIMEOUT(ns, who_is_attached_stays_so, IPC_TIMEOUT)
{
	ASSERT_EQ(0, unshare(CLONE_NEWIPC));
	EXPECT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sub.id, 1));
	EXPECT_EQ(1, ipc_recv_num(&self->ring, self->sub.id));
	EXPECT_EQ(0, io_uring_ipc_channel_detach(&self->ring, self->sub.id));
}

TEST_F_TIMEOUT(ns, the_creating_ring_destroys_from_anywhere, IPC_TIMEOUT)
{
	int home;

	home = open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, home);
	ASSERT_EQ(0, unshare(CLONE_NEWIPC));
	EXPECT_EQ(0, io_uring_ipc_channel_destroy(&self->ring, self->channel));
	ASSERT_EQ(0, setns(home, CLONE_NEWIPC));
	EXPECT_EQ(-ENOENT, ipc_send_num(&self->ring, self->channel, 1));
	EXPECT_EQ(-EPIPE, ipc_send_num(&self->ring, self->sub.id, 1));
}

TEST_F_TIMEOUT(ns, each_has_its_own_keys, IPC_TIMEOUT)
{
	struct io_uring ring;
	struct ipc_sub sub;
	__u32 channel;
	pid_t pid;

	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		ASSERT_EQ(0, ipc_open(&ring));
		ASSERT_EQ(0, ipc_create_key(&ring, 0, self->key, 0666,
					    &channel));
		EXPECT_NE(self->channel, channel);
		EXPECT_EQ(-EEXIST, ipc_create_key(&ring, 0, self->key, 0666,
						  &channel));
		ASSERT_EQ(0, ipc_attach_key(&ring, self->key, IOIPC_SUB_BOTH,
					    &sub));
		EXPECT_EQ(IPC_NUM, ipc_send_num(&ring, sub.id, 7));
		EXPECT_EQ(7, ipc_recv_num(&ring, sub.id));
		_exit(0);
	}
	EXPECT_EQ(0, ipc_wait(pid));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, self->sub.id));
	EXPECT_EQ(0, ipc_attach_key(&self->ring, self->key, IOIPC_SUB_BOTH,
				    &sub));
}

/* A channel can exist in a namespace that has no process. */
TEST_F_TIMEOUT(ns, channel_of_a_namespace_that_is_gone, IPC_TIMEOUT)
{
	struct io_uring ring;
	struct ipc_sub sub;
	__u32 *channel;
	pid_t pid;

	channel = ipc_shared(sizeof(*channel));
	ASSERT_NE(NULL, channel);
	ASSERT_EQ(0, ipc_open(&ring));
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		/* The channel belongs to the ring, which the parent keeps. */
		ASSERT_EQ(0, ipc_create_key(&self->ring, 0, self->key, 0666,
					    channel));
		_exit(0);
	}
	ASSERT_EQ(0, ipc_wait(pid));
	EXPECT_EQ(-ENOENT, ipc_attach(&ring, *channel, IOIPC_SUB_BOTH, &sub));
	EXPECT_EQ(-ENOENT, ipc_send_num(&ring, *channel, 1));
	EXPECT_EQ(-ENOENT, io_uring_ipc_channel_destroy(&ring, *channel));
	EXPECT_EQ(0, io_uring_ipc_channel_destroy(&self->ring, *channel));
	EXPECT_EQ(-ENOENT, io_uring_ipc_channel_destroy(&self->ring, *channel));
}

/* A user namespace has the capability in its own IPC namespace. */
TEST_F_TIMEOUT(ns, capability_of_the_owning_user_namespace, IPC_TIMEOUT)
{
	static const struct ipc_who who = { IPC_UID, IPC_GID, 0 };
	struct io_uring ring;
	struct ipc_sub sub;
	__u32 channel;
	pid_t pid;

	if (access("/proc/self/ns/user", F_OK))
		SKIP(return, "no user namespaces");
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		ipc_become(who);
		ASSERT_EQ(0, ipc_open(&ring));
		ASSERT_EQ(0, ipc_create_key(&ring, 0, 0, 0, &channel));
		EXPECT_EQ(-EACCES, ipc_attach(&ring, channel, IOIPC_SUB_BOTH,
					      &sub));
		ASSERT_EQ(0, unshare(CLONE_NEWUSER | CLONE_NEWIPC));
		ipc_bind_to_parent();
		ASSERT_EQ(0, ipc_create_key(&ring, 0, 0, 0, &channel));
		EXPECT_EQ(0, ipc_attach(&ring, channel, IOIPC_SUB_BOTH, &sub));
		EXPECT_EQ(IPC_NUM, ipc_send_num(&ring, channel, 1));
		_exit(0);
	}
	EXPECT_EQ(0, ipc_wait(pid));
}

TEST_HARNESS_MAIN
