// SPDX-License-Identifier: GPL-2.0
/*
 * Permissions: modes, owners, groups, capabilities, private channels.  The
 * tests run as root, and act as other users in children.
 */
#include <linux/capability.h>
#include <sys/fsuid.h>
#include "ipc_test.h"

/* The owner of the channels below. */
static const struct ipc_who owner = { IPC_UID, IPC_GID, 0 };
static const struct ipc_who stranger = { IPC_OTHER_UID, IPC_OTHER_GID, 0 };
static const struct ipc_who root = { 0, 0, 0 };

FIXTURE(perm) {
	/* The ring belongs to root, but its channels belong to the owner. */
	struct io_uring ring;
};

FIXTURE_SETUP(perm)
{
	if (geteuid())
		SKIP(return, "needs to be root");
	ASSERT_EQ(0, ipc_open(&self->ring));
}

FIXTURE_TEARDOWN(perm)
{
	io_uring_queue_exit(&self->ring);
}

/* Creates a channel of the owner. */
static int create_owned(struct io_uring *ring, __u32 flags, __u64 key,
			__u32 mode, __u32 *channel)
{
	int ret;

	setfsgid(owner.gid);
	setfsuid(owner.uid);
	ret = ipc_create_key(ring, flags, key, mode, channel);
	setfsuid(0);
	setfsgid(0);
	return ret;
}

static int drop_capability(int cap)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];

	if (syscall(__NR_capget, &header, data))
		return -errno;
	data[CAP_TO_INDEX(cap)].effective &= ~CAP_TO_MASK(cap);
	return syscall(__NR_capset, &header, data) ? -errno : 0;
}

/*
 * All combinations of read and write for user, group and others, one channel
 * for each.
 */
#define MODES	64

static __u32 nth_mode(int n)
{
	return (n >> 4 & 3) << 7 | (n >> 2 & 3) << 4 | (n & 3) << 1;
}

/* Tries all operations on all channels as a user of that class. */
static void try_modes(struct __test_metadata *_metadata, const __u32 *channel,
		      int shift, bool all)
{
	struct io_uring ring;
	struct ipc_sub sub;
	int i, want, ret;

	ASSERT_EQ(0, ipc_open(&ring));
	for (i = 0; i < MODES; i++) {
		int mode = nth_mode(i) >> shift;
		/* As in the flags of ATTACH: send is write, receive is read. */
		int may = (mode & 2 ? IOIPC_SUB_SEND : 0) |
			  (mode & 4 ? IOIPC_SUB_RECV : 0);

		if (all)
			may = IOIPC_SUB_BOTH;
		for (want = IOIPC_SUB_SEND; want <= IOIPC_SUB_BOTH; want++) {
			ret = ipc_attach(&ring, channel[i], want, &sub);
			EXPECT_EQ((may & want) == want ? 0 : -EACCES, ret)
				TH_LOG("mode %o, want %d", nth_mode(i), want);
			if (ret)
				continue;
			EXPECT_EQ(0, io_uring_ipc_channel_detach(&ring,
								 sub.id));
			EXPECT_EQ(0, close(sub.fd));
		}
		ret = ipc_send_num(&ring, channel[i], 1);
		EXPECT_EQ(may & IOIPC_SUB_SEND ? IPC_NUM : -EACCES, ret)
			TH_LOG("mode %o, not attached", nth_mode(i));
	}
	io_uring_queue_exit(&ring);
}

TEST_F_TIMEOUT(perm, all_modes_for_all_classes, IPC_TIMEOUT)
{
	static const struct {
		struct ipc_who who;
		int shift;
	} actors[] = {
		{ { IPC_UID, IPC_GID, 0 }, 6 },
		/* The owner is only the owner, whatever its groups are. */
		{ { IPC_UID, IPC_OTHER_GID, 0 }, 6 },
		{ { IPC_OTHER_UID, IPC_GID, 0 }, 3 },
		{ { IPC_OTHER_UID, IPC_OTHER_GID, IPC_GID }, 3 },
		{ { IPC_OTHER_UID, IPC_OTHER_GID, 0 }, 0 },
		{ { IPC_OTHER_UID, IPC_OTHER_GID, 4711 }, 0 },
	};
	__u32 channel[MODES];
	size_t i;
	pid_t pid;

	for (i = 0; i < MODES; i++) {
		ASSERT_EQ(0, create_owned(&self->ring, 0, 0, nth_mode(i),
					  &channel[i]));
	}
	for (i = 0; i < ARRAY_SIZE(actors); i++) {
		pid = ipc_fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			ipc_become(actors[i].who);
			try_modes(_metadata, channel, actors[i].shift, false);
			_exit(0);
		}
		EXPECT_EQ(0, ipc_wait(pid))
			TH_LOG("actor %zu", i);
	}
}

TEST_F_TIMEOUT(perm, capability_overrides_the_mode, IPC_TIMEOUT)
{
	__u32 channel[MODES];
	pid_t pid;
	int i;

	for (i = 0; i < MODES; i++) {
		ASSERT_EQ(0, create_owned(&self->ring, 0, 0, nth_mode(i),
					  &channel[i]));
	}
	try_modes(_metadata, channel, 0, true);
	/* The capability counts, not the uid of root. */
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		ASSERT_EQ(0, drop_capability(CAP_IPC_OWNER));
		try_modes(_metadata, channel, 0, false);
		_exit(0);
	}
	EXPECT_EQ(0, ipc_wait(pid));
}

/* Like the owner of a file, the owner of a channel is fsuid and fsgid. */
TEST_F_TIMEOUT(perm, the_owner_is_fsuid_and_fsgid, IPC_TIMEOUT)
{
	struct ipc_request request = { .flags = IOIPC_SUB_BOTH };

	ASSERT_EQ(0, create_owned(&self->ring, 0, 0, 0600, &request.channel));
	EXPECT_EQ(0, ipc_as(owner, ipc_do_attach, &request));
	EXPECT_EQ(-EACCES, ipc_as(stranger, ipc_do_attach, &request));
	ASSERT_EQ(0, ipc_create_key(&self->ring, 0, 0, 0600, &request.channel));
	EXPECT_EQ(-EACCES, ipc_as(owner, ipc_do_attach, &request));
	EXPECT_EQ(0, ipc_as(root, ipc_do_attach, &request));
}

static int attach_with_fsuid(void *arg)
{
	setfsgid(owner.gid);
	setfsuid(owner.uid);
	return ipc_do_attach(arg);
}

static int attach_without_capability(void *arg)
{
	return drop_capability(CAP_IPC_OWNER) ?: ipc_do_attach(arg);
}

static int attach_with_fsuid_only(void *arg)
{
	return drop_capability(CAP_IPC_OWNER) ?: attach_with_fsuid(arg);
}

TEST_F_TIMEOUT(perm, the_caller_is_fsuid_and_fsgid, IPC_TIMEOUT)
{
	struct ipc_request request = { .flags = IOIPC_SUB_BOTH };

	ASSERT_EQ(0, create_owned(&self->ring, 0, 0, 0600, &request.channel));
	EXPECT_EQ(-EACCES, ipc_as(root, attach_without_capability, &request));
	EXPECT_EQ(0, ipc_as(root, attach_with_fsuid_only, &request));
	ASSERT_EQ(0, create_owned(&self->ring, 0, 0, 0060, &request.channel));
	EXPECT_EQ(-EACCES, ipc_as(root, attach_with_fsuid_only, &request));
}

static int attach_in_a_user_namespace(void *arg)
{
	return unshare(CLONE_NEWUSER) ? -errno : ipc_do_attach(arg);
}

static int destroy_in_a_user_namespace(void *arg)
{
	return unshare(CLONE_NEWUSER) ? -errno : ipc_do_destroy(arg);
}

/* Capabilities of a user namespace do not count outside of it. */
TEST_F_TIMEOUT(perm, capability_of_a_user_namespace, IPC_TIMEOUT)
{
	struct ipc_request request = { .flags = IOIPC_SUB_BOTH };

	if (access("/proc/self/ns/user", F_OK))
		SKIP(return, "no user namespaces");
	ASSERT_EQ(0, create_owned(&self->ring, 0, 0, 0600, &request.channel));
	EXPECT_EQ(-EACCES, ipc_as(stranger, attach_in_a_user_namespace,
				  &request));
	EXPECT_EQ(-EPERM, ipc_as(stranger, destroy_in_a_user_namespace,
				 &request));
	/* Even there, the owner is the owner. */
	EXPECT_EQ(0, ipc_as(owner, attach_in_a_user_namespace, &request));
	EXPECT_EQ(0, ipc_as(owner, destroy_in_a_user_namespace, &request));
}

TEST_F_TIMEOUT(perm, keys_do_not_help, IPC_TIMEOUT)
{
	struct ipc_request request = {
		.key = ipc_new_key(),
		.flags = IOIPC_SUB_RECV,
	};
	__u32 channel;

	ASSERT_EQ(0, create_owned(&self->ring, 0, request.key, 0620,
				  &channel));
	EXPECT_EQ(0, ipc_as(owner, ipc_do_attach, &request));
	EXPECT_EQ(-EACCES, ipc_as(stranger, ipc_do_attach, &request));
	/* The key is taken also for users that may not use it. */
	EXPECT_EQ(-EEXIST, ipc_create_key(&self->ring, 0, request.key, 0600,
					  &channel));
}

TEST_F_TIMEOUT(perm, destroy, IPC_TIMEOUT)
{
	struct ipc_request request = { .flags = IOIPC_SUB_BOTH };
	static const struct ipc_who same_group = { IPC_OTHER_UID, IPC_GID, 0 };

	ASSERT_EQ(0, create_owned(&self->ring, 0, 0, 0666, &request.channel));
	EXPECT_EQ(-EPERM, ipc_as(stranger, ipc_do_destroy, &request));
	EXPECT_EQ(-EPERM, ipc_as(same_group, ipc_do_destroy, &request));
	EXPECT_EQ(0, ipc_as(owner, ipc_do_attach, &request));
	EXPECT_EQ(0, ipc_as(owner, ipc_do_destroy, &request));
	EXPECT_EQ(-ENOENT, ipc_as(owner, ipc_do_destroy, &request));

	ASSERT_EQ(0, create_owned(&self->ring, 0, 0, 0, &request.channel));
	/* The owner may do this, even without the permission to attach. */
	EXPECT_EQ(0, ipc_as(owner, ipc_do_destroy, &request));
	ASSERT_EQ(0, create_owned(&self->ring, 0, 0, 0, &request.channel));
	EXPECT_EQ(0, ipc_as(root, ipc_do_destroy, &request));
}

struct by_ring {
	struct io_uring	*ring;
	__u32		channel;
};

static int destroy_by_ring(void *arg)
{
	struct by_ring *by_ring = arg;

	return io_uring_ipc_channel_destroy(by_ring->ring, by_ring->channel);
}

/* A process with the ring that created a channel counts as its creator. */
TEST_F_TIMEOUT(perm, destroy_by_the_creating_ring, IPC_TIMEOUT)
{
	struct by_ring by_ring = { .ring = &self->ring };

	ASSERT_EQ(0, create_owned(&self->ring, 0, 0, 0, &by_ring.channel));
	EXPECT_EQ(0, ipc_as(stranger, destroy_by_ring, &by_ring));
	EXPECT_EQ(-ENOENT, io_uring_ipc_channel_destroy(&self->ring,
							by_ring.channel));
}

TEST_F_TIMEOUT(perm, private_channels, IPC_TIMEOUT)
{
	struct ipc_request by_id = { .flags = IOIPC_SUB_BOTH };
	struct ipc_request by_key = { .key = ipc_new_key() };
	struct ipc_sub sub;

	/* Any user that finds the channel may attach. */
	ASSERT_EQ(0, create_owned(&self->ring, IOIPC_F_PRIVATE, by_key.key,
				  0666, &by_id.channel));

	EXPECT_EQ(-ENOENT, ipc_as(stranger, ipc_do_attach, &by_id));
	EXPECT_EQ(-ENOENT, ipc_as(stranger, ipc_do_send, &by_id));
	by_key.flags = IOIPC_SUB_BOTH;
	EXPECT_EQ(0, ipc_as(stranger, ipc_do_attach, &by_key));

	/*
	 * The owner finds the channel from any ring, but has to attach to send.
	 */
	EXPECT_EQ(0, ipc_as(owner, ipc_do_attach, &by_id));
	EXPECT_EQ(0, ipc_as(owner, ipc_do_attach, &by_key));
	EXPECT_EQ(-EACCES, ipc_as(owner, ipc_do_send, &by_id));
	EXPECT_EQ(0, ipc_as(root, ipc_do_attach, &by_id));
	EXPECT_EQ(-EACCES, ipc_as(root, ipc_do_send, &by_id));

	/* No message got through, and the channel still works. */
	ASSERT_EQ(0, ipc_attach(&self->ring, by_id.channel, IOIPC_SUB_BOTH,
				&sub));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, sub.id));
	EXPECT_EQ(IPC_NUM, ipc_send_num(&self->ring, sub.id, 1));
	EXPECT_EQ(1, ipc_recv_num(&self->ring, sub.id));
}

TEST_F_TIMEOUT(perm, the_mode_of_a_private_channel_counts, IPC_TIMEOUT)
{
	struct ipc_request request = { .key = ipc_new_key() };
	__u32 channel;

	ASSERT_EQ(0, create_owned(&self->ring, IOIPC_F_PRIVATE, request.key,
				  0642, &channel));
	request.flags = IOIPC_SUB_SEND;
	EXPECT_EQ(0, ipc_as(stranger, ipc_do_attach, &request));
	request.flags = IOIPC_SUB_RECV;
	EXPECT_EQ(-EACCES, ipc_as(stranger, ipc_do_attach, &request));
	request.flags = IOIPC_SUB_BOTH;
	EXPECT_EQ(-EACCES, ipc_as(stranger, ipc_do_attach, &request));
	EXPECT_EQ(0, ipc_as(owner, ipc_do_attach, &request));
}

/* A subscriber keeps the permissions that it had when it attached. */
TEST_F_TIMEOUT(perm, checked_when_attaching, IPC_TIMEOUT)
{
	struct ipc_sub sub;
	__u32 channel;
	pid_t pid;

	ASSERT_EQ(0, ipc_create_key(&self->ring, 0, 0, 0600, &channel));
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct io_uring ring;

		ASSERT_EQ(0, ipc_open(&ring));
		ASSERT_EQ(0, ipc_attach(&ring, channel, IOIPC_SUB_BOTH, &sub));
		ipc_become(stranger);
		EXPECT_EQ(IPC_NUM, ipc_send_num(&ring, sub.id, 1));
		EXPECT_EQ(1, ipc_recv_num(&ring, sub.id));
		EXPECT_EQ(-EACCES, ipc_send_num(&ring, channel, 1));
		EXPECT_EQ(-EACCES, ipc_attach(&ring, channel, IOIPC_SUB_SEND,
					      &sub));
		_exit(0);
	}
	EXPECT_EQ(0, ipc_wait(pid));
}

TEST_HARNESS_MAIN
