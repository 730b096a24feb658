// SPDX-License-Identifier: GPL-2.0
/*
 * IOIPC_RECV_INFO and IOIPC_RECV_TRUNC: what the kernel tells the receiver
 * about a message and about its sender.
 */
#include <pthread.h>
#include "fixture.h"
#include "messages.h"

#define ENTRIES	16
#define SIZE	200

static const struct ipc_who somebody = { IPC_UID, IPC_GID, 0 };

FIXTURE(info) {
	/* Receives. */
	struct io_uring ring;
	/* Sends. */
	struct io_uring other;
	__u32 channel;
	struct ipc_sub sender;
	struct ipc_sub receiver;
	bool all;
};

FIXTURE_KINDS(info);

FIXTURE_SETUP(info)
{
	struct io_uring_ipc_channel_create create;

	self->all = variant->flags & IOIPC_F_BROADCAST;
	ASSERT_EQ(0, io_uring_queue_init(64, &self->ring, 0));
	ASSERT_EQ(0, io_uring_queue_init(64, &self->other, 0));
	create = ipc_create_args(variant->flags, ENTRIES, SIZE);
	create.mode = 0666;
	ASSERT_EQ(0, io_uring_ipc_channel_create(&self->ring, &create));
	self->channel = create.channel_id_out;
	ASSERT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_SEND,
				&self->sender));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_RECV,
				&self->receiver));
}

FIXTURE_TEARDOWN(info)
{
	io_uring_queue_exit(&self->other);
	io_uring_queue_exit(&self->ring);
}

/* The buffer of a receive, and some bytes behind it that must stay an x. */
struct got {
	struct io_uring_ipc_msg_info info;
	char	data[SIZE + 8];
};

static int recv_info(struct io_uring *ring, __u32 id, struct got *got,
		     __u32 len, __u32 flags)
{
	memset(got, 'x', sizeof(*got));
	return msg_recv(ring, id, got, len, flags | IOIPC_RECV_INFO);
}

/* For tests that are not about the message itself, numbers are enough. */
static long long recv_num(struct io_uring *ring, __u32 id, struct msg_num *got)
{
	memset(got, 'x', sizeof(*got));
	return msg_recv_num(ring, id, got);
}

/* The id that the kernel reports for ids without a number in a namespace. */
static __u32 overflow_id(const char *path)
{
	FILE *file = fopen(path, "r");
	unsigned int id = 65534;

	if (file) {
		if (fscanf(file, "%u", &id) != 1)
			id = 65534;
		fclose(file);
	}
	return id;
}

static __u32 overflow_uid(void)
{
	return overflow_id("/proc/sys/kernel/overflowuid");
}

static __u32 overflow_gid(void)
{
	return overflow_id("/proc/sys/kernel/overflowgid");
}

/* Sends a number from a child process, which has ended after that. */
static pid_t send_from_child(__u32 channel, struct ipc_who who, __u64 num,
			     __u32 target)
{
	struct io_uring ring;
	pid_t pid;

	pid = ipc_fork();
	if (!pid) {
		ipc_become(who);
		if (ipc_open(&ring))
			_exit(KSFT_FAIL);
		_exit(ipc_send_num_to(&ring, channel, num, target) != IPC_NUM);
	}
	return pid < 0 || ipc_wait(pid) ? -1 : pid;
}

TEST_F_TIMEOUT(info, all_fields, IPC_TIMEOUT)
{
	const struct io_uring_ipc_ring *map = ipc_region(&self->receiver);
	struct io_uring_ipc_msg_info want;
	struct io_uring_sqe *sqe;
	struct got got;
	char buf[SIZE];
	int i, len;

	ASSERT_NE(NULL, map);
	for (i = 0; i < 3 * ENTRIES; i++) {
		len = i * 37 % (SIZE + 1);
		ipc_fill(buf, len, i);
		sqe = msg_get_send(&self->other, self->sender.id, buf, len, 0);
		sqe->user_data = 0xfedcba9876543200 + i;
		ASSERT_EQ(len, msg_run(&self->other, sqe));
		ASSERT_EQ(MSG_INFO + len, recv_info(&self->ring,
						    self->receiver.id, &got,
						    sizeof(got), 0));
		want = msg_own_info(len, i + 1, 0xfedcba9876543200 + i,
				    self->sender.id);
		EXPECT_TRUE(msg_same_info(&want, &got.info))
			TH_LOG("message %d", i);
		EXPECT_EQ(ipc_desc(map, i)->msg_id, got.info.msg_id);
		EXPECT_TRUE(ipc_filled(got.data, len, i));
		EXPECT_EQ('x', got.data[len]);
	}
	EXPECT_EQ(-EAGAIN, recv_info(&self->ring, self->receiver.id, &got,
				     sizeof(got), 0));
	EXPECT_EQ('x', *(char *)&got);
	/* The buffer may be smaller than its length says. */
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id, 5));
	EXPECT_EQ(MSG_INFO + IPC_NUM, recv_info(&self->ring, self->receiver.id,
						&got, UINT_MAX, 0));
	EXPECT_EQ(IPC_NUM, got.info.len);
	EXPECT_EQ(0, got.info.flags);
}

TEST_F_TIMEOUT(info, not_attached, IPC_TIMEOUT)
{
	struct io_uring_ipc_msg_info want;
	struct io_uring_sqe *sqe;
	struct msg_num got;
	__u64 num = 5;

	sqe = msg_get_send(&self->other, self->channel, &num, IPC_NUM, 0);
	sqe->user_data = 17;
	ASSERT_EQ(IPC_NUM, msg_run(&self->other, sqe));
	ASSERT_EQ(5, recv_num(&self->ring, self->receiver.id, &got));
	want = msg_own_info(IPC_NUM, 1, 17, 0);
	EXPECT_TRUE(msg_same_info(&want, &got.info));
	/* The next message is from a sender that is attached. */
	sqe = msg_get_send(&self->other, self->sender.id, &num, IPC_NUM, 0);
	sqe->user_data = 18;
	ASSERT_EQ(IPC_NUM, msg_run(&self->other, sqe));
	ASSERT_EQ(5, recv_num(&self->ring, self->receiver.id, &got));
	want = msg_own_info(IPC_NUM, 2, 18, self->sender.id);
	EXPECT_TRUE(msg_same_info(&want, &got.info));
}

TEST_F_TIMEOUT(info, the_sender_has_left, IPC_TIMEOUT)
{
	struct msg_num got;

	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id, 5));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->other,
						 self->sender.id));
	ASSERT_EQ(5, recv_num(&self->ring, self->receiver.id, &got));
	EXPECT_EQ(self->sender.id, got.info.sender);
	EXPECT_EQ(getpid(), got.info.pid);
}

TEST_F_TIMEOUT(info, targeted, IPC_TIMEOUT)
{
	struct msg_num got;

	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id, 1));
	ASSERT_EQ(IPC_NUM, ipc_send_num_to(&self->other, self->sender.id, 2,
					   self->receiver.id));
	ASSERT_EQ(IPC_NUM, ipc_send_num_to(&self->other, self->channel, 3,
					   self->receiver.id));
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id, 4));
	ASSERT_EQ(1, recv_num(&self->ring, self->receiver.id, &got));
	EXPECT_EQ(0, got.info.flags);
	ASSERT_EQ(2, recv_num(&self->ring, self->receiver.id, &got));
	EXPECT_EQ(IOIPC_INFO_TARGETED, got.info.flags);
	EXPECT_EQ(self->sender.id, got.info.sender);
	ASSERT_EQ(3, recv_num(&self->ring, self->receiver.id, &got));
	EXPECT_EQ(IOIPC_INFO_TARGETED, got.info.flags);
	EXPECT_EQ(0, got.info.sender);
	ASSERT_EQ(4, recv_num(&self->ring, self->receiver.id, &got));
	EXPECT_EQ(0, got.info.flags);
	/* Both flags. */
	ASSERT_EQ(IPC_NUM, ipc_send_num_to(&self->other, self->sender.id, 5,
					   self->receiver.id));
	ASSERT_EQ(MSG_INFO + 7, msg_recv(&self->ring, self->receiver.id, &got,
					 MSG_INFO + 7, IOIPC_RECV_INFO));
	EXPECT_EQ(IOIPC_INFO_TARGETED | IOIPC_INFO_TRUNCATED, got.info.flags);
}

TEST_F_TIMEOUT(info, the_same_for_all_receivers, IPC_TIMEOUT)
{
	struct msg_num got[2];
	struct ipc_sub second;
	int i;

	ASSERT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_RECV,
				&second));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id,
						i));
		ASSERT_EQ(i, recv_num(&self->ring, self->receiver.id, &got[0]));
		EXPECT_EQ(i + 1, got[0].info.msg_id);
		if (!self->all) {
			EXPECT_EQ(-EAGAIN, recv_num(&self->other, second.id,
						    &got[1]));
			continue;
		}
		ASSERT_EQ(i, recv_num(&self->other, second.id, &got[1]));
		EXPECT_TRUE(msg_same_info(&got[0].info, &got[1].info));
	}
}

/* All sizes of the buffer: from no room for the message to more than enough. */
TEST_F_TIMEOUT(info, truncated, IPC_TIMEOUT)
{
	int len, room, stored, trunc;
	char buf[SIZE];
	struct got got;
	__u32 flags;

	for (len = 0; len <= 24; len += 12) {
		ipc_fill(buf, len, len);
		for (room = 0; room < 2 * (len + 4); room++) {
			trunc = room % 2;
			stored = room / 2 < len ? room / 2 : len;
			ASSERT_EQ(len, msg_send(&self->other, self->sender.id,
						buf, len, 0));
			ASSERT_EQ(MSG_INFO + (trunc ? len : stored),
				  recv_info(&self->ring, self->receiver.id,
					    &got, MSG_INFO + room / 2,
					    trunc ? IOIPC_RECV_TRUNC : 0));
			flags = stored < len ? IOIPC_INFO_TRUNCATED : 0;
			EXPECT_EQ(flags, got.info.flags)
				TH_LOG("%d bytes of %d", room / 2, len);
			EXPECT_EQ(len, got.info.len);
			EXPECT_TRUE(ipc_filled(got.data, stored, len));
			EXPECT_EQ('x', got.data[stored]);
		}
	}
	/* The rest is gone. */
	EXPECT_EQ(-EAGAIN, recv_info(&self->ring, self->receiver.id, &got,
				     sizeof(got), 0));
}

TEST_F_TIMEOUT(info, trunc_alone, IPC_TIMEOUT)
{
	char buf[SIZE], got[SIZE + 8];
	int len;

	ipc_fill(buf, SIZE, 3);
	for (len = 0; len <= SIZE + 8; len++) {
		memset(got, 'x', sizeof(got));
		ASSERT_EQ(SIZE, msg_send(&self->other, self->sender.id, buf,
					 SIZE, 0));
		ASSERT_EQ(SIZE, msg_recv(&self->ring, self->receiver.id, got,
					 len, IOIPC_RECV_TRUNC));
		EXPECT_TRUE(ipc_filled(got, len < SIZE ? len : SIZE, 3));
		EXPECT_EQ('x', len < SIZE ? got[len] : got[SIZE]);
	}
	/*
	 * No buffer at all: the way to ask for the length and drop the message.
	 */
	ASSERT_EQ(SIZE, msg_send(&self->other, self->sender.id, buf, SIZE, 0));
	EXPECT_EQ(SIZE, msg_recv(&self->ring, self->receiver.id, NULL, 0,
				 IOIPC_RECV_TRUNC));
	/* The flag changes nothing for messages that fit. */
	ASSERT_EQ(10, msg_send(&self->other, self->sender.id, buf, 10, 0));
	EXPECT_EQ(10, msg_recv(&self->ring, self->receiver.id, got, SIZE,
			       IOIPC_RECV_TRUNC));
	ASSERT_EQ(0, msg_send(&self->other, self->sender.id, NULL, 0, 0));
	EXPECT_EQ(0, msg_recv(&self->ring, self->receiver.id, got, SIZE,
			      IOIPC_RECV_TRUNC));
	EXPECT_EQ(-EAGAIN, msg_recv(&self->ring, self->receiver.id, got, SIZE,
				    IOIPC_RECV_TRUNC));
}

TEST_F_TIMEOUT(info, empty_messages, IPC_TIMEOUT)
{
	struct io_uring_ipc_msg_info want;
	struct io_uring_sqe *sqe;
	struct got got;
	int i;

	for (i = 0; i < 3; i++) {
		sqe = msg_get_send(&self->other, self->sender.id, NULL, 0, 0);
		sqe->user_data = i;
		ASSERT_EQ(0, msg_run(&self->other, sqe));
		/* With and without room for more. */
		ASSERT_EQ(MSG_INFO, recv_info(&self->ring, self->receiver.id,
					      &got, MSG_INFO + i, 0));
		want = msg_own_info(0, i + 1, i, self->sender.id);
		EXPECT_TRUE(msg_same_info(&want, &got.info));
		EXPECT_EQ('x', got.data[0]);
	}
}

TEST_F_TIMEOUT(info, no_room_for_it, IPC_TIMEOUT)
{
	static const __u32 flags[] = {
		IOIPC_RECV_INFO,
		IOIPC_RECV_INFO | IOIPC_RECV_TRUNC,
		IOIPC_RECV_INFO | IOIPC_RECV_WAIT,
	};
	struct got got;
	size_t i;
	int len;

	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id, 5));
	memset(&got, 'x', sizeof(got));
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		for (len = 0; len < MSG_INFO; len++) {
			EXPECT_EQ(-EINVAL, msg_recv(&self->ring,
						    self->receiver.id, &got,
						    len, flags[i]))
				TH_LOG("%d bytes, flags %#x", len, flags[i]);
		}
	}
	EXPECT_EQ('x', *(char *)&got);
	EXPECT_EQ(5, ipc_recv_num(&self->ring, self->receiver.id));
}

TEST_F_TIMEOUT(info, flags, IPC_TIMEOUT)
{
	struct msg_num got;
	int bit;

	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id, 5));
	/* Unknown flags, and flags that only receives have. */
	for (bit = 7; bit < 32; bit++) {
		EXPECT_EQ(-EINVAL, msg_recv(&self->ring, self->receiver.id,
					    &got, sizeof(got),
					    IOIPC_RECV_INFO | 1U << bit))
			TH_LOG("receive with bit %d", bit);
	}
	for (bit = 3; bit < 32; bit++) {
		EXPECT_EQ(-EINVAL, msg_send(&self->other, self->sender.id,
					    &got, IPC_NUM, 1U << bit))
			TH_LOG("send with bit %d", bit);
	}
	EXPECT_EQ(5, recv_num(&self->ring, self->receiver.id, &got));
	EXPECT_EQ(1, got.info.msg_id);
	EXPECT_EQ(-EAGAIN, recv_num(&self->ring, self->receiver.id, &got));
}

/* A receive that fails does not change the message. */
TEST_F_TIMEOUT(info, after_a_fault, IPC_TIMEOUT)
{
	size_t page = sysconf(_SC_PAGESIZE), i;
	char *mem = ipc_pages(1), *read_only = ipc_pages(2);
	struct msg_num got;
	pid_t pid;

	if (geteuid())
		SKIP(return, "needs to be root");
	ASSERT_NE(NULL, mem);
	ASSERT_NE(NULL, read_only);
	ASSERT_EQ(0, mprotect(read_only + page, page, PROT_READ));
	pid = send_from_child(self->channel, (struct ipc_who){}, 5,
			      self->receiver.id);
	ASSERT_LT(0, pid);

	char *const bad[] = {
		/* All is bad, a part of the info, or of the message. */
		NULL, (char *)8, mem + page, mem + page - 1,
		mem + page - MSG_INFO + 1, mem + page - MSG_INFO,
		mem + page - MSG_INFO - 1, mem + page - MSG_INFO - 7,
		read_only + page, read_only + page - MSG_INFO,
		read_only + page - MSG_INFO - 4,
	};

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EFAULT, msg_recv(&self->ring, self->receiver.id,
					    bad[i], sizeof(got),
					    IOIPC_RECV_INFO))
			TH_LOG("buffer %zu", i);
	}
	for (i = 0; i < ARRAY_SIZE(msg_bad_addresses); i++) {
		EXPECT_EQ(-EFAULT, msg_recv(&self->ring, self->receiver.id,
					    msg_bad_addresses[i], sizeof(got),
					    IOIPC_RECV_INFO))
			TH_LOG("buffer at %p", msg_bad_addresses[i]);
		/* A buffer for the info only. */
		EXPECT_EQ(-EFAULT, msg_recv(&self->ring, self->receiver.id,
					    msg_bad_addresses[i], MSG_INFO,
					    IOIPC_RECV_INFO | IOIPC_RECV_TRUNC))
			TH_LOG("buffer at %p", msg_bad_addresses[i]);
	}
	ASSERT_EQ(5, recv_num(&self->ring, self->receiver.id, &got));
	EXPECT_EQ(IPC_NUM, got.info.len);
	EXPECT_EQ(1, got.info.msg_id);
	EXPECT_EQ(0, got.info.sender);
	EXPECT_EQ(pid, got.info.pid);
	EXPECT_EQ(IOIPC_INFO_TARGETED, got.info.flags);
	EXPECT_EQ(0, got.info.lost);
	/*
	 * A buffer up to the end of the memory is valid, also with fresh pages.
	 */
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id,
						6));
		EXPECT_EQ(sizeof(got), msg_recv(&self->ring, self->receiver.id,
						mem + page - sizeof(got),
						sizeof(got) + i,
						IOIPC_RECV_INFO));
		memcpy(&got, mem + page - sizeof(got), sizeof(got));
		EXPECT_EQ(6, got.num);
		EXPECT_EQ(i + 2, got.info.msg_id);
		ASSERT_EQ(0, madvise(mem, page, MADV_DONTNEED));
	}
}

TEST_F_TIMEOUT(info, from_other_processes, IPC_TIMEOUT)
{
	static const struct ipc_who who[] = {
		{ 0, 0, 0 },
		{ IPC_UID, IPC_GID, 0 },
		{ IPC_OTHER_UID, IPC_OTHER_GID, IPC_GID },
	};
	struct io_uring_ipc_msg_info want;
	pid_t pid[ENTRIES];
	struct msg_num got;
	int i;

	if (geteuid())
		SKIP(return, "needs to be root");
	for (i = 0; i < ENTRIES; i++) {
		pid[i] = send_from_child(self->channel,
					 who[i % ARRAY_SIZE(who)], i, 0);
		ASSERT_LT(0, pid[i]);
	}
	/* All children have ended. */
	for (i = 0; i < ENTRIES; i++) {
		ASSERT_EQ(-1, kill(pid[i], 0));
		ASSERT_EQ(i, recv_num(&self->ring, self->receiver.id, &got));
		want = (struct io_uring_ipc_msg_info) {
			.len = IPC_NUM,
			.msg_id = i + 1,
			.sender_data = got.info.sender_data,
			.pid = pid[i],
			.uid = who[i % ARRAY_SIZE(who)].uid,
			.gid = who[i % ARRAY_SIZE(who)].gid,
		};
		EXPECT_TRUE(msg_same_info(&want, &got.info))
			TH_LOG("message %d", i);
	}
}

/* All ids differ, and the effective ones count. */
TEST_F_TIMEOUT(info, effective_ids, IPC_TIMEOUT)
{
	struct io_uring ring;
	struct msg_num got;
	pid_t pid;

	if (geteuid())
		SKIP(return, "needs to be root");
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		ASSERT_EQ(0, setresgid(2001, 2002, 2003));
		ASSERT_EQ(0, setresuid(1001, 1002, 1003));
		ipc_bind_to_parent();
		ASSERT_EQ(0, ipc_open(&ring));
		ASSERT_EQ(IPC_NUM, ipc_send_num(&ring, self->channel, 1));
		/* With the same ring as another user. */
		ASSERT_EQ(0, seteuid(1003));
		ASSERT_EQ(0, setegid(2003));
		ASSERT_EQ(IPC_NUM, ipc_send_num(&ring, self->channel, 2));
		ASSERT_EQ(0, seteuid(1001));
		ASSERT_EQ(IPC_NUM, ipc_send_num(&ring, self->channel, 3));
		_exit(0);
	}
	ASSERT_EQ(0, ipc_wait(pid));
	ASSERT_EQ(1, recv_num(&self->ring, self->receiver.id, &got));
	EXPECT_EQ(1002, got.info.uid);
	EXPECT_EQ(2002, got.info.gid);
	ASSERT_EQ(2, recv_num(&self->ring, self->receiver.id, &got));
	EXPECT_EQ(1003, got.info.uid);
	EXPECT_EQ(2003, got.info.gid);
	ASSERT_EQ(3, recv_num(&self->ring, self->receiver.id, &got));
	EXPECT_EQ(1001, got.info.uid);
	EXPECT_EQ(2003, got.info.gid);
	EXPECT_EQ(pid, got.info.pid);
}

/* Sends with a ring that another process has opened. */
TEST_F_TIMEOUT(info, on_an_inherited_ring, IPC_TIMEOUT)
{
	struct msg_num got;
	pid_t pid;

	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id,
						3));
		_exit(0);
	}
	ASSERT_EQ(0, ipc_wait(pid));
	ASSERT_EQ(3, recv_num(&self->ring, self->receiver.id, &got));
	EXPECT_EQ(self->sender.id, got.info.sender);
	EXPECT_EQ(pid, got.info.pid);
}

struct thread {
	__u32	channel;
	pid_t	tid;
	int	res;
};

static void *send_from_thread(void *arg)
{
	struct thread *thread = arg;
	struct io_uring ring;

	thread->tid = syscall(__NR_gettid);
	thread->res = ipc_open(&ring);
	if (!thread->res) {
		thread->res = ipc_send_num(&ring, thread->channel, 4);
		io_uring_queue_exit(&ring);
	}
	return NULL;
}

/* The pid of the process, not of the thread. */
TEST_F_TIMEOUT(info, from_a_thread, IPC_TIMEOUT)
{
	struct thread thread = { .channel = self->channel };
	struct msg_num got;
	pthread_t id;

	ASSERT_EQ(0, pthread_create(&id, NULL, send_from_thread, &thread));
	pthread_join(id, NULL);
	ASSERT_EQ(IPC_NUM, thread.res);
	ASSERT_NE(getpid(), thread.tid);
	ASSERT_EQ(4, recv_num(&self->ring, self->receiver.id, &got));
	EXPECT_EQ(getpid(), got.info.pid);
}

/* A worker of io-wq has the credentials of the submitter at submission. */
TEST_F_TIMEOUT(info, from_a_worker, IPC_TIMEOUT)
{
	static const uid_t ids[] = { 0, IPC_UID, 0, IPC_OTHER_UID };
	struct io_uring_sqe *sqe;
	struct msg_num got;
	__u64 num = 7;
	size_t i;
	int ret;

	if (geteuid())
		SKIP(return, "needs to be root");
	for (i = 0; i < ARRAY_SIZE(ids); i++) {
		ASSERT_EQ(0, setegid(ids[i]));
		ASSERT_EQ(0, seteuid(ids[i]));
		sqe = msg_get_send(&self->other, self->channel, &num, IPC_NUM,
				   0);
		sqe->flags |= IOSQE_ASYNC;
		ret = msg_run(&self->other, sqe);
		ASSERT_EQ(0, seteuid(0));
		ASSERT_EQ(0, setegid(0));
		ASSERT_EQ(IPC_NUM, ret);
		ASSERT_EQ(7, recv_num(&self->ring, self->receiver.id, &got));
		EXPECT_EQ(ids[i], got.info.uid);
		EXPECT_EQ(ids[i], got.info.gid);
		EXPECT_EQ(getpid(), got.info.pid);
	}
}

/* An SQPOLL thread has the credentials of the process that opened the ring. */
TEST_F_TIMEOUT(info, from_sqpoll, IPC_TIMEOUT)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SQPOLL,
		.sq_thread_idle = 1,
	};
	struct io_uring_ipc_msg_info want;
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	struct msg_num got;
	struct ipc_sub sub;
	__u64 num = 8;
	int ret;

	if (geteuid())
		SKIP(return, "needs to be root");
	ASSERT_EQ(0, setegid(IPC_GID));
	ASSERT_EQ(0, seteuid(IPC_UID));
	ret = io_uring_queue_init_params(8, &ring, &params);
	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, setegid(0));
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, ipc_attach(&ring, self->channel, IOIPC_SUB_SEND, &sub));
	sqe = msg_get_send(&ring, sub.id, &num, IPC_NUM, 0);
	sqe->user_data = 81;
	ASSERT_EQ(IPC_NUM, msg_run(&ring, sqe));
	ASSERT_EQ(8, recv_num(&self->ring, self->receiver.id, &got));
	want = (struct io_uring_ipc_msg_info) {
		.len = IPC_NUM,
		.msg_id = 1,
		.sender_data = 81,
		.sender = sub.id,
		.pid = getpid(),
		.uid = IPC_UID,
		.gid = IPC_GID,
	};
	EXPECT_TRUE(msg_same_info(&want, &got.info));
	io_uring_queue_exit(&ring);
}

TEST_F_TIMEOUT(info, with_a_personality, IPC_TIMEOUT)
{
	struct io_uring_sqe *sqe;
	struct msg_num got;
	int i, personality;
	__u64 num = 9;

	if (geteuid())
		SKIP(return, "needs to be root");
	ASSERT_EQ(0, setegid(IPC_GID));
	ASSERT_EQ(0, seteuid(IPC_UID));
	personality = io_uring_register_personality(&self->other);
	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, setegid(0));
	ASSERT_LT(0, personality);
	/*
	 * With and without the personality, attached or not, inline and by a
	 * worker.
	 */
	for (i = 0; i < 8; i++) {
		sqe = msg_get_send(&self->other, i & 2 ? self->sender.id :
				   self->channel, &num, IPC_NUM, 0);
		sqe->personality = i & 1 ? personality : 0;
		sqe->flags |= i & 4 ? IOSQE_ASYNC : 0;
		ASSERT_EQ(IPC_NUM, msg_run(&self->other, sqe));
		ASSERT_EQ(9, recv_num(&self->ring, self->receiver.id, &got));
		EXPECT_EQ(i & 1 ? IPC_UID : 0, got.info.uid)
			TH_LOG("case %d", i);
		EXPECT_EQ(i & 1 ? IPC_GID : 0, got.info.gid)
			TH_LOG("case %d", i);
		EXPECT_EQ(getpid(), got.info.pid);
	}
}

/* The ring of the receiver, of all kinds. */
TEST_F_TIMEOUT(info, on_all_kinds_of_rings, IPC_TIMEOUT)
{
	static const unsigned int setup[] = {
		IORING_SETUP_SQPOLL,
		IORING_SETUP_COOP_TASKRUN,
		WAIT_DEFER,
	};
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	struct msg_num got;
	struct ipc_sub sub;
	bool waits, async;
	size_t i, how;
	pid_t pid;

	if (geteuid())
		SKIP(return, "needs to be root");
	for (i = 0; i < ARRAY_SIZE(setup); i++) {
		struct io_uring_params params = {
			.flags = setup[i],
			.sq_thread_idle = 1,
		};

		ASSERT_EQ(0, io_uring_queue_init_params(8, &ring, &params));
		ASSERT_EQ(0, ipc_attach(&ring, self->channel, IOIPC_SUB_RECV,
					&sub));
		for (how = 0; how < 4; how++) {
			waits = how & 1;
			async = how & 2;
			memset(&got, 'x', sizeof(got));
			pid = 0;
			if (!waits)
				pid = send_from_child(self->channel, somebody,
						      how, sub.id);
			sqe = msg_get_recv(&ring, sub.id, &got, sizeof(got),
					   IOIPC_RECV_INFO |
					   (waits ? IOIPC_RECV_WAIT : 0));
			sqe->flags |= async ? IOSQE_ASYNC : 0;
			sqe->user_data = 1;
			if (waits) {
				ASSERT_TRUE(wait_nothing(&ring));
				pid = send_from_child(self->channel, somebody,
						      how, sub.id);
			}
			ASSERT_LT(0, pid);
			ASSERT_EQ(sizeof(got), wait_for(&ring, 1))
				TH_LOG("ring %zu, case %zu", i, how);
			EXPECT_EQ(how, got.num);
			EXPECT_EQ(pid, got.info.pid)
				TH_LOG("ring %zu, case %zu", i, how);
			EXPECT_EQ(IPC_UID, got.info.uid);
			EXPECT_EQ(IPC_GID, got.info.gid);
			EXPECT_EQ(IOIPC_INFO_TARGETED, got.info.flags);
		}
		ASSERT_EQ(0, io_uring_ipc_channel_detach(&ring, sub.id));
		io_uring_queue_exit(&ring);
	}
}

/*
 * Senders put their ids into messages, and the test compares these with the
 * info.
 */
struct claim {
	__u32	pid;
	__u32	sender;
	__u32	index;
	__u32	num;
};

struct claim_got {
	struct io_uring_ipc_msg_info info;
	struct claim claim;
};

static void claim_all(struct __test_metadata *_metadata, __u32 channel,
		      __u32 index, __u32 count)
{
	struct claim claim = { .pid = getpid(), .index = index };
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	struct ipc_sub sub;
	__u32 id = channel;

	ASSERT_EQ(0, ipc_open(&ring));
	if (index % 2) {
		ASSERT_EQ(0, ipc_attach(&ring, channel, IOIPC_SUB_SEND, &sub));
		id = sub.id;
		claim.sender = id;
	}
	for (claim.num = 0; claim.num < count; claim.num++) {
		sqe = msg_get_send(&ring, id, &claim, sizeof(claim),
				   IOIPC_SEND_WAIT);
		sqe->user_data = (__u64)claim.pid << 32 | claim.num;
		ASSERT_EQ(sizeof(claim), msg_run(&ring, sqe));
	}
	_exit(0);
}

TEST_F_TIMEOUT(info, many_senders, IPC_TIMEOUT)
{
	enum { SENDERS = 6, COUNT = 60 };
	__u32 next[SENDERS] = {}, last = 0;
	struct claim_got got;
	pid_t pid[SENDERS];
	int i;

	for (i = 0; i < SENDERS; i++) {
		pid[i] = ipc_fork();
		ASSERT_LE(0, pid[i]);
		if (!pid[i])
			claim_all(_metadata, self->channel, i, COUNT);
	}
	for (i = 0; i < SENDERS * COUNT; i++) {
		memset(&got, 'x', sizeof(got));
		ASSERT_EQ(sizeof(got), msg_recv(&self->ring, self->receiver.id,
						&got, sizeof(got),
						IOIPC_RECV_INFO |
						IOIPC_RECV_WAIT));
		ASSERT_GT(SENDERS, got.claim.index);
		ASSERT_EQ(pid[got.claim.index], got.claim.pid);
		ASSERT_EQ(got.claim.pid, got.info.pid);
		ASSERT_EQ(got.claim.sender, got.info.sender);
		ASSERT_EQ((__u64)got.claim.pid << 32 | got.claim.num,
			  got.info.sender_data);
		ASSERT_EQ(next[got.claim.index]++, got.claim.num);
		ASSERT_LT(last, got.info.msg_id);
		last = got.info.msg_id;
	}
	for (i = 0; i < SENDERS; i++) {
		EXPECT_EQ(0, wait_child(pid[i]));
	}
	EXPECT_EQ(-EAGAIN, msg_recv(&self->ring, self->receiver.id, &got,
				    sizeof(got), IOIPC_RECV_INFO));
}

/* Parent and child exchange this in the tests of namespaces. */
struct talk {
	_Atomic __u32	sub;
	_Atomic int	step;
	_Atomic pid_t	pid;
};

/* Process 1 of a pid namespace, with a ring of its own. */
static void inside_pid_namespace(struct __test_metadata *_metadata,
				 __u32 channel, __u32 outside,
				 struct talk *talk)
{
	struct io_uring ring;
	struct ipc_sub sub;
	struct msg_num got;
	pid_t pid;

	ASSERT_EQ(1, getpid());
	ASSERT_EQ(0, ipc_open(&ring));
	ASSERT_EQ(0, ipc_attach(&ring, channel, IOIPC_SUB_BOTH, &sub));
	/* A message from itself. */
	ASSERT_EQ(IPC_NUM, ipc_send_num_to(&ring, sub.id, 1, sub.id));
	ASSERT_EQ(1, recv_num(&ring, sub.id, &got));
	EXPECT_EQ(1, got.info.pid);
	/* Messages from another process, to itself and to the outside. */
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct io_uring other;

		if (ipc_open(&other))
			_exit(KSFT_FAIL);
		if (ipc_send_num_to(&other, channel, 2, sub.id) != IPC_NUM)
			_exit(KSFT_FAIL);
		_exit(ipc_send_num_to(&other, channel, 3, outside) != IPC_NUM);
	}
	ASSERT_EQ(0, ipc_wait(pid));
	ASSERT_EQ(2, recv_num(&ring, sub.id, &got));
	EXPECT_EQ(pid, got.info.pid);
	/* A message from the process that is left, which the parent knows. */
	ASSERT_EQ(IPC_NUM, ipc_send_num_to(&ring, sub.id, 4, outside));
	talk->sub = sub.id;
	/*
	 * A process outside has no pid here, but its uid and gid are visible.
	 */
	ASSERT_EQ(sizeof(got), msg_recv(&ring, sub.id, &got, sizeof(got),
					IOIPC_RECV_INFO | IOIPC_RECV_WAIT));
	EXPECT_EQ(5, got.num);
	EXPECT_EQ(0, got.info.pid);
	EXPECT_EQ(geteuid(), got.info.uid);
	EXPECT_EQ(getegid(), got.info.gid);
	fflush(NULL);
	_exit(0);
}

TEST_F_TIMEOUT(info, pid_namespaces, IPC_TIMEOUT)
{
	struct talk *talk = ipc_shared(sizeof(*talk));
	struct msg_num got;
	pid_t pid, inside;
	int ret;

	if (geteuid())
		SKIP(return, "needs to be root");
	if (access("/proc/self/ns/pid", F_OK))
		SKIP(return, "no pid namespaces");
	ASSERT_NE(NULL, talk);
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		ASSERT_EQ(0, unshare(CLONE_NEWPID));
		inside = fork();
		ASSERT_LE(0, inside);
		if (!inside) {
			/* Its parent is process 0 here. */
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			inside_pid_namespace(_metadata, self->channel,
					     self->receiver.id, talk);
		}
		talk->pid = inside;
		ret = ipc_wait(inside);
		fflush(NULL);
		_exit(ret);
	}
	ASSERT_TRUE(wait_until(talk->sub));
	ASSERT_TRUE(wait_until(talk->pid));
	ASSERT_EQ(IPC_NUM, ipc_send_num_to(&self->other, self->sender.id, 5,
					   talk->sub));
	ASSERT_EQ(0, wait_child(pid));
	/* Process 2 there.  Only the namespace knew its number. */
	ASSERT_EQ(3, recv_num(&self->ring, self->receiver.id, &got));
	EXPECT_LT(2, got.info.pid);
	EXPECT_NE(talk->pid, got.info.pid);
	EXPECT_NE(pid, got.info.pid);
	ASSERT_EQ(4, recv_num(&self->ring, self->receiver.id, &got));
	EXPECT_EQ(talk->pid, got.info.pid);
}

static bool write_file(pid_t pid, const char *name, const char *text)
{
	char path[64];
	bool written;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	written = write(fd, text, strlen(text)) == strlen(text);
	close(fd);
	return written;
}

/*
 * The ring is older than the namespace, in which no id exists until there are
 * maps.
 */
static void inside_user_namespace(struct __test_metadata *_metadata,
				  __u32 channel, struct talk *talk)
{
	struct io_uring ring;
	struct ipc_sub sub;
	struct msg_num got;
	int step;

	ASSERT_EQ(0, ipc_open(&ring));
	ASSERT_EQ(0, ipc_attach(&ring, channel, IOIPC_SUB_RECV, &sub));
	ASSERT_EQ(0, unshare(CLONE_NEWUSER));
	ipc_bind_to_parent();
	talk->sub = sub.id;
	for (step = 1; step <= 4; step++) {
		ASSERT_TRUE(wait_until(talk->step == step));
		ASSERT_EQ(step, recv_num(&ring, sub.id, &got));
		switch (step) {
		case 1:
		case 2:
		case 4:
			/* No map yet, or a map without root. */
			EXPECT_EQ(overflow_uid(), got.info.uid)
				TH_LOG("step %d", step);
			EXPECT_EQ(overflow_gid(), got.info.gid)
				TH_LOG("step %d", step);
			break;
		case 3:
			EXPECT_EQ(7, got.info.uid);
			EXPECT_EQ(8, got.info.gid);
			break;
		}
		EXPECT_EQ(talk->pid, got.info.pid);
		talk->step = 0;
	}
	fflush(NULL);
	_exit(0);
}

TEST_F_TIMEOUT(info, receiver_in_a_user_namespace, IPC_TIMEOUT)
{
	static const struct ipc_who root = { 0, 0, 0 };
	struct talk *talk = ipc_shared(sizeof(*talk));
	int step;
	pid_t pid;

	if (geteuid())
		SKIP(return, "needs to be root");
	if (access("/proc/self/ns/user", F_OK))
		SKIP(return, "no user namespaces");
	ASSERT_NE(NULL, talk);
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid)
		inside_user_namespace(_metadata, self->channel, talk);
	ASSERT_TRUE(wait_until(talk->sub));
	for (step = 1; step <= 4; step++) {
		if (step == 3) {
			ASSERT_TRUE(write_file(pid, "uid_map", "7 1000 1"));
			ASSERT_TRUE(write_file(pid, "gid_map", "8 1000 1"));
		}
		talk->pid = send_from_child(self->channel, step % 2 ? somebody :
					    root, step, talk->sub);
		ASSERT_LT(0, talk->pid);
		talk->step = step;
		ASSERT_TRUE(wait_until(!talk->step));
	}
	EXPECT_EQ(0, wait_child(pid));
}

/* The ids that a sender has in its own namespace do not matter. */
TEST_F_TIMEOUT(info, sender_in_a_user_namespace, IPC_TIMEOUT)
{
	struct io_uring ring;
	struct msg_num got;
	struct ipc_sub sub;
	pid_t pid;

	if (geteuid())
		SKIP(return, "needs to be root");
	if (access("/proc/self/ns/user", F_OK))
		SKIP(return, "no user namespaces");
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		ipc_become(somebody);
		ASSERT_EQ(0, unshare(CLONE_NEWUSER));
		ipc_bind_to_parent();
		ASSERT_EQ(overflow_uid(), geteuid());
		ASSERT_EQ(0, ipc_open(&ring));
		ASSERT_EQ(0, ipc_attach(&ring, self->channel, IOIPC_SUB_BOTH,
					&sub));
		ASSERT_EQ(IPC_NUM, ipc_send_num_to(&ring, sub.id, 1,
						   self->receiver.id));
		ASSERT_EQ(IPC_NUM, ipc_send_num_to(&ring, sub.id, 2, sub.id));
		ASSERT_EQ(2, recv_num(&ring, sub.id, &got));
		EXPECT_EQ(overflow_uid(), got.info.uid);
		EXPECT_EQ(overflow_gid(), got.info.gid);
		fflush(NULL);
		_exit(0);
	}
	ASSERT_EQ(0, ipc_wait(pid));
	ASSERT_EQ(1, recv_num(&self->ring, self->receiver.id, &got));
	EXPECT_EQ(IPC_UID, got.info.uid);
	EXPECT_EQ(IPC_GID, got.info.gid);
	EXPECT_EQ(pid, got.info.pid);
}

/* The user namespace is that of the credentials, or of a personality. */
TEST_F_TIMEOUT(info, receiver_with_a_personality, IPC_TIMEOUT)
{
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	int i, personality;
	struct msg_num got;
	struct ipc_sub sub;
	pid_t pid;

	if (geteuid())
		SKIP(return, "needs to be root");
	if (access("/proc/self/ns/user", F_OK))
		SKIP(return, "no user namespaces");
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		ASSERT_EQ(0, ipc_open(&ring));
		ASSERT_EQ(0, ipc_attach(&ring, self->channel, IOIPC_SUB_RECV,
					&sub));
		personality = io_uring_register_personality(&ring);
		ASSERT_LT(0, personality);
		for (i = 0; i < 4; i++) {
			ASSERT_LT(0, send_from_child(self->channel, somebody, i,
						     sub.id));
		}
		ASSERT_EQ(0, unshare(CLONE_NEWUSER));
		ipc_bind_to_parent();
		for (i = 0; i < 4; i++) {
			sqe = msg_get_recv(&ring, sub.id, &got, sizeof(got),
					   IOIPC_RECV_INFO);
			sqe->personality = i & 1 ? personality : 0;
			sqe->flags |= i & 2 ? IOSQE_ASYNC : 0;
			ASSERT_EQ(sizeof(got), msg_run(&ring, sqe));
			EXPECT_EQ(i, got.num);
			EXPECT_EQ(i & 1 ? IPC_UID : overflow_uid(),
				  got.info.uid)
				TH_LOG("case %d", i);
			EXPECT_EQ(i & 1 ? IPC_GID : overflow_gid(),
				  got.info.gid)
				TH_LOG("case %d", i);
		}
		fflush(NULL);
		_exit(0);
	}
	EXPECT_EQ(0, ipc_wait(pid));
}

TEST_F_TIMEOUT(info, multishot, IPC_TIMEOUT)
{
	enum { BUFS = 8 };
	struct io_uring_ipc_msg_info want;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe cqe;
	struct msg_pool pool;
	char buf[SIZE], *got;
	int i, len;

	ASSERT_EQ(0, msg_pool_open(&pool, &self->ring, BUFS, MSG_INFO + SIZE,
				   0));
	sqe = msg_get_select(&self->ring, self->receiver.id, 0,
			     IOIPC_RECV_MULTISHOT | IOIPC_RECV_INFO);
	sqe->user_data = 7;
	ASSERT_TRUE(wait_nothing(&self->ring));
	for (i = 0; i < 3 * BUFS; i++) {
		len = i * 57 % (SIZE + 1);
		ipc_fill(buf, len, i);
		sqe = msg_get_send(&self->other, self->sender.id, buf, len, 0);
		sqe->user_data = 100 + i;
		ASSERT_EQ(len, msg_run(&self->other, sqe));
		ASSERT_EQ(MSG_INFO + len, wait_for_cqe(&self->ring, 7, &cqe));
		EXPECT_EQ(IORING_CQE_F_MORE | IORING_CQE_F_BUFFER |
			  i % BUFS << IORING_CQE_BUFFER_SHIFT, cqe.flags);
		got = msg_pool_got(&pool, &cqe);
		ASSERT_NE(NULL, got);
		want = msg_own_info(len, i + 1, 100 + i, self->sender.id);
		EXPECT_TRUE(msg_same_info(&want, (void *)got));
		EXPECT_TRUE(ipc_filled(got + MSG_INFO, len, i));
		if (len < SIZE) {
			EXPECT_EQ('x', got[MSG_INFO + len]);
		}
		msg_pool_add(&pool, i % BUFS);
	}
}

/* The result exceeds the buffer, but the receive uses no second buffer. */
TEST_F_TIMEOUT(info, multishot_trunc, IPC_TIMEOUT)
{
	enum { BUFS = 8, ROOM = 64 };
	struct io_uring_sqe *sqe;
	struct io_uring_cqe cqe;
	struct msg_pool pool;
	char buf[SIZE], *got;
	int i, info, before;

	ASSERT_EQ(0, msg_pool_open(&pool, &self->ring, BUFS, ROOM, 0));
	for (i = 0; i < 4 * BUFS; i++) {
		info = i >= 2 * BUFS ? MSG_INFO : 0;
		if (i % (2 * BUFS) == 0) {
			sqe = msg_get_select(&self->ring, self->receiver.id, 0,
					     IOIPC_RECV_MULTISHOT |
					     IOIPC_RECV_TRUNC |
					     (info ? IOIPC_RECV_INFO : 0));
			sqe->user_data = 7;
			ASSERT_TRUE(wait_nothing(&self->ring));
		}
		before = i % BUFS + 1 < BUFS ? i % BUFS + 1 : 0;
		ipc_fill(buf, SIZE, i);
		ASSERT_EQ(SIZE, msg_send(&self->other, self->sender.id, buf,
					 SIZE, 0));
		ASSERT_EQ(info + SIZE, wait_for_cqe(&self->ring, 7, &cqe));
		EXPECT_EQ(IORING_CQE_F_MORE | IORING_CQE_F_BUFFER |
			  i % BUFS << IORING_CQE_BUFFER_SHIFT, cqe.flags);
		got = msg_pool_got(&pool, &cqe);
		ASSERT_NE(NULL, got);
		EXPECT_TRUE(ipc_filled(got + info, ROOM - info, i));
		/* The receive has written nothing to the next buffer. */
		EXPECT_EQ('x', *msg_pool_buf(&pool, before));
		if (info) {
			EXPECT_EQ(IOIPC_INFO_TRUNCATED,
				  ((struct got *)got)->info.flags);
			EXPECT_EQ(SIZE, ((struct got *)got)->info.len);
		}
		msg_pool_add(&pool, i % BUFS);
		if (i == 2 * BUFS - 1) {
			ASSERT_EQ(0, wait_cancel(&self->ring, 7, 0));
			ASSERT_EQ(-ECANCELED, wait_for(&self->ring, 7));
		}
	}
}

/* Several messages share a buffer. */
TEST_F_TIMEOUT(info, incremental_trunc, IPC_TIMEOUT)
{
	static const struct {
		int len, id, at, stored;
		bool more;
	} steps[] = {
		{ 100, 0, 0, 100, true },
		{ 40, 0, 100, 40, true },
		/* The rest is too small, and is given up. */
		{ 100, 1, 0, 100, true },
		/* The message is larger than a whole buffer. */
		{ 200, 2, 0, 160, false },
		{ 160, 3, 0, 160, false },
	};
	struct io_uring_sqe *sqe;
	struct io_uring_cqe cqe;
	struct msg_pool pool;
	char buf[SIZE];
	size_t i;
	int ret;

	ret = msg_pool_open(&pool, &self->ring, 4, 160, IOU_PBUF_RING_INC);
	if (ret == -EINVAL)
		SKIP(return, "this kernel has no incremental buffers");
	ASSERT_EQ(0, ret);
	sqe = msg_get_select(&self->ring, self->receiver.id, 0,
			     IOIPC_RECV_MULTISHOT | IOIPC_RECV_TRUNC);
	sqe->user_data = 7;
	ASSERT_TRUE(wait_nothing(&self->ring));
	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		ipc_fill(buf, steps[i].len, i);
		ASSERT_EQ(steps[i].len, msg_send(&self->other, self->sender.id,
						 buf, steps[i].len, 0));
		ASSERT_EQ(steps[i].len, wait_for_cqe(&self->ring, 7, &cqe))
			TH_LOG("step %zu", i);
		EXPECT_EQ(IORING_CQE_F_MORE | IORING_CQE_F_BUFFER |
			  (steps[i].more ? IORING_CQE_F_BUF_MORE : 0) |
			  steps[i].id << IORING_CQE_BUFFER_SHIFT, cqe.flags)
			TH_LOG("step %zu", i);
		EXPECT_TRUE(ipc_filled(msg_pool_buf(&pool, steps[i].id) +
				       steps[i].at, steps[i].stored, i))
			TH_LOG("step %zu", i);
	}
	/* All four buffers are used up or given up. */
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id, 5));
	EXPECT_EQ(-ENOBUFS, wait_for_cqe(&self->ring, 7, &cqe));
	EXPECT_EQ(5, ipc_recv_num(&self->ring, self->receiver.id));
}

/* The receive uses only as much of a provided buffer as the request allows. */
TEST_F_TIMEOUT(info, limited, IPC_TIMEOUT)
{
	struct io_uring_sqe *sqe;
	struct io_uring_cqe cqe;
	struct msg_pool pool;
	char buf[SIZE], *got;

	ASSERT_EQ(0, msg_pool_open(&pool, &self->ring, 4, SIZE, 0));
	ipc_fill(buf, SIZE, 1);
	ASSERT_EQ(SIZE, msg_send(&self->other, self->sender.id, buf, SIZE, 0));
	ASSERT_EQ(SIZE, msg_send(&self->other, self->sender.id, buf, SIZE, 0));
	sqe = msg_get_select(&self->ring, self->receiver.id, 60,
			     IOIPC_RECV_INFO);
	sqe->user_data = 7;
	ASSERT_EQ(60, wait_for_cqe(&self->ring, 7, &cqe));
	got = msg_pool_got(&pool, &cqe);
	ASSERT_NE(NULL, got);
	EXPECT_TRUE(ipc_filled(got + MSG_INFO, 60 - MSG_INFO, 1));
	EXPECT_EQ('x', got[60]);
	EXPECT_EQ(SIZE, ((struct got *)got)->info.len);
	EXPECT_EQ(IOIPC_INFO_TRUNCATED, ((struct got *)got)->info.flags);
	/* Room for less than the info: the message and the buffer stay. */
	sqe = msg_get_select(&self->ring, self->receiver.id, MSG_INFO - 1,
			     IOIPC_RECV_INFO);
	sqe->user_data = 8;
	EXPECT_EQ(-EINVAL, wait_for_cqe(&self->ring, 8, &cqe));
	EXPECT_EQ(0, cqe.flags);
	sqe = msg_get_select(&self->ring, self->receiver.id, 10,
			     IOIPC_RECV_TRUNC);
	sqe->user_data = 9;
	ASSERT_EQ(SIZE, wait_for_cqe(&self->ring, 9, &cqe));
	EXPECT_EQ(IORING_CQE_F_BUFFER | 1 << IORING_CQE_BUFFER_SHIFT,
		  cqe.flags);
	got = msg_pool_buf(&pool, 1);
	EXPECT_TRUE(ipc_filled(got, 10, 1));
	EXPECT_EQ('x', got[10]);
}

TEST_F_TIMEOUT(info, provided_buffers_are_too_small, IPC_TIMEOUT)
{
	struct io_uring_sqe *sqe;
	struct io_uring_cqe cqe;
	struct msg_pool pool;
	int waiting;

	ASSERT_EQ(0, msg_pool_open(&pool, &self->ring, 4, MSG_INFO - 1, 0));
	/* The message is there, or is sent later. */
	for (waiting = 0; waiting < 2; waiting++) {
		if (!waiting) {
			ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other,
							self->sender.id, 5));
		}
		sqe = msg_get_select(&self->ring, self->receiver.id, 0,
				     IOIPC_RECV_MULTISHOT | IOIPC_RECV_INFO);
		sqe->user_data = 7;
		io_uring_submit(&self->ring);
		if (waiting) {
			ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other,
							self->sender.id, 5));
		}
		ASSERT_EQ(-EINVAL, wait_for_cqe(&self->ring, 7, &cqe));
		EXPECT_EQ(0, cqe.flags);
		/*
		 * Without the info the buffer is large enough, and still the
		 * first.
		 */
		sqe = msg_get_select(&self->ring, self->receiver.id, 0, 0);
		sqe->user_data = 8;
		ASSERT_EQ(IPC_NUM, wait_for_cqe(&self->ring, 8, &cqe));
		EXPECT_EQ(IORING_CQE_F_BUFFER |
			  waiting << IORING_CQE_BUFFER_SHIFT, cqe.flags);
	}
}

/* Ways to let several messages share a buffer. */
enum way { ONE_BY_ONE, MULTISHOT, BY_A_WORKER, BY_TURNS, WAYS };

/* Queues the next receive, if there is none. */
static void get_next(struct io_uring *ring, __u32 id, enum way way, int i,
		     __u32 len, __u32 flags)
{
	struct io_uring_sqe *sqe;

	if (way == MULTISHOT && i)
		return;
	flags |= way == MULTISHOT ? IOIPC_RECV_MULTISHOT : 0;
	sqe = msg_get_select(ring, id, len, flags);
	sqe->user_data = 7;
	if (way == BY_A_WORKER || (way == BY_TURNS && i % 2))
		sqe->flags |= IOSQE_ASYNC;
}

/*
 * Receives messages of all lengths into incremental buffers, into each of which
 * any message fits.  Checks that no message is cut, and that each message is
 * where the header says.
 */
static void follow_incremental(struct __test_metadata *_metadata,
			       FIXTURE_DATA(info) *self, enum way way,
			       __u32 flags, __u32 min_left)
{
	enum { MESSAGES = 80, ROOM = 600 };
	bool info = flags & (IOIPC_RECV_INFO | IOIPC_RECV_BUNDLE);
	struct msg_follow follow = { .id = -1 };
	struct io_uring_cqe cqe;
	struct msg_pool pool;
	char buf[SIZE], *got;
	struct io_uring ring;
	struct ipc_sub sub;
	int i, len;

	ASSERT_EQ(0, io_uring_queue_init(8, &ring, 0));
	ASSERT_EQ(0, ipc_attach(&ring, self->channel, IOIPC_SUB_RECV, &sub));
	ASSERT_EQ(0, msg_pool_open_inc(&pool, &ring, 4, ROOM, min_left));
	for (i = 0; i < MESSAGES; i++) {
		len = i * 37 % (SIZE + 1);
		ipc_fill(buf, len, i);
		ASSERT_EQ(len, msg_send_to(&self->other, self->sender.id, buf,
					   len, 0, sub.id));
		get_next(&ring, sub.id, way, i, 0, flags);
		ASSERT_EQ(len + (info ? MSG_INFO : 0),
			  wait_for_cqe(&ring, 7, &cqe))
			TH_LOG("flags %#x, way %d, message %d", flags, way, i);
		ASSERT_EQ(way == MULTISHOT, !!(cqe.flags & IORING_CQE_F_MORE));
		got = msg_follow(&follow, &pool, &cqe, info);
		ASSERT_NE(NULL, got);
		if (info) {
			ASSERT_EQ(0, (uintptr_t)got % 8)
				TH_LOG("flags %#x, way %d, message %d", flags,
				       way, i);
			EXPECT_EQ(len, ((struct got *)got)->info.len);
			EXPECT_EQ(IOIPC_INFO_TARGETED,
				  ((struct got *)got)->info.flags);
			got += MSG_INFO;
		}
		ASSERT_TRUE(ipc_filled(got, len, i))
			TH_LOG("flags %#x, way %d, message %d", flags, way, i);
		/*
		 * A worker uses up the whole buffer.  Otherwise at least
		 * min_left bytes are left.
		 */
		if (follow.id >= 0)
			EXPECT_LE(min_left ?: 1, ROOM - follow.at);
	}
	io_uring_queue_exit(&ring);
	free(pool.mem);
}

TEST_F_TIMEOUT(info, nothing_is_cut_at_the_end_of_an_incremental_buffer,
	       IPC_TIMEOUT)
{
	static const __u32 flags[] = {
		0,
		IOIPC_RECV_TRUNC,
		IOIPC_RECV_INFO,
		IOIPC_RECV_INFO | IOIPC_RECV_TRUNC,
		IOIPC_RECV_BUNDLE,
	};
	enum way way;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		for (way = 0; way < WAYS; way++) {
			follow_incremental(_metadata, self, way, flags[i], 0);
			follow_incremental(_metadata, self, way, flags[i], 48);
		}
	}
}

/*
 * A bundle takes as many messages as fit in the rest of a buffer, if any fit.
 */
TEST_F_TIMEOUT(info, bundles_fill_incremental_buffers, IPC_TIMEOUT)
{
	/* A number takes 56 bytes of a bundle. */
	enum { ROOM = 200 };
	static const struct {
		int messages, id, at;
		bool more;
	} steps[] = {
		{ 2, 0, 0, true }, { 1, 0, 112, true },
		/* The kernel gives up 32 bytes of the first buffer. */
		{ 3, 1, 0, true }, { 1, 2, 0, true }, { 2, 2, 56, true },
		{ 2, 3, 0, true },
	};
	struct msg_follow follow = { .id = -1 };
	struct io_uring_sqe *sqe;
	struct io_uring_cqe cqe;
	struct msg_walk walk;
	struct msg_pool pool;
	char *got;
	size_t i;
	int num;

	ASSERT_EQ(0, msg_pool_open_inc(&pool, &self->ring, 4, ROOM, 0));
	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		for (num = 0; num < steps[i].messages; num++) {
			ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other,
							self->sender.id, num));
		}
		sqe = msg_get_select(&self->ring, self->receiver.id, 0,
				     IOIPC_RECV_BUNDLE);
		sqe->user_data = 7;
		ASSERT_EQ(steps[i].messages * (MSG_INFO + IPC_NUM),
			  wait_for_cqe(&self->ring, 7, &cqe))
			TH_LOG("step %zu", i);
		EXPECT_EQ(IORING_CQE_F_BUFFER |
			  (steps[i].more ? IORING_CQE_F_BUF_MORE : 0) |
			  steps[i].id << IORING_CQE_BUFFER_SHIFT, cqe.flags)
			TH_LOG("step %zu", i);
		got = msg_follow(&follow, &pool, &cqe, true);
		ASSERT_EQ(msg_pool_buf(&pool, steps[i].id) + steps[i].at, got)
			TH_LOG("step %zu", i);
		walk = (struct msg_walk) { .buf = got, .res = cqe.res };
		for (num = 0; num < steps[i].messages; num++) {
			EXPECT_EQ(num, msg_next_num(&walk));
		}
	}
}

/*
 * With only one buffer, its rest is given up, and the message waits for another
 * buffer.
 */
TEST_F_TIMEOUT(info, a_rest_is_given_up_without_another_buffer, IPC_TIMEOUT)
{
	struct io_uring_sqe *sqe;
	struct io_uring_cqe cqe;
	struct msg_pool pool;
	int round, ret, i;

	ASSERT_EQ(0, msg_pool_open_inc(&pool, &self->ring, 1, 96, 0));
	for (round = 0; round < 3; round++) {
		sqe = msg_get_select(&self->ring, self->receiver.id, 0,
				     IOIPC_RECV_MULTISHOT | IOIPC_RECV_INFO);
		sqe->user_data = 7;
		for (i = 0; i < 2; i++) {
			ret = MSG_INFO + IPC_NUM;
			if (i || !round) {
				ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other,
							self->sender.id, i));
			}
			if (i)
				ret = -ENOBUFS;
			ASSERT_EQ(ret, wait_for_cqe(&self->ring, 7, &cqe))
				TH_LOG("round %d, message %d", round, i);
		}
		EXPECT_EQ(0, cqe.flags);
		msg_pool_add(&pool, 0);
	}
	EXPECT_EQ(1, ipc_recv_num(&self->ring, self->receiver.id));
}

/*
 * The limit of a request does not limit the buffer, also for shorter messages.
 */
TEST_F_TIMEOUT(info, limited_in_incremental_buffers, IPC_TIMEOUT)
{
	enum { LIMIT = 101, ROOM = 600, SHORT = 20 };
	struct msg_follow follow = { .id = -1 };
	struct io_uring_cqe cqe;
	struct msg_pool pool;
	char buf[SIZE], *got;
	enum way way;
	int i, len, stored;

	ASSERT_EQ(0, msg_pool_open_inc(&pool, &self->ring, 4, ROOM, 0));
	for (way = 0; way < WAYS; way++) {
		for (i = 0; i < 40; i++) {
			len = i % 3 ? SIZE : SHORT;
			stored = i % 3 ? LIMIT - MSG_INFO : SHORT;
			ipc_fill(buf, len, i);
			ASSERT_EQ(len, msg_send(&self->other, self->sender.id,
						buf, len, 0));
			get_next(&self->ring, self->receiver.id, way, i, LIMIT,
				 IOIPC_RECV_INFO);
			/* The rest is as large as the limit, or is given up. */
			ASSERT_EQ(MSG_INFO + stored,
				  wait_for_cqe(&self->ring, 7, &cqe))
				TH_LOG("way %d, message %d", way, i);
			got = msg_follow(&follow, &pool, &cqe, true);
			ASSERT_NE(NULL, got);
			ASSERT_EQ(0, (uintptr_t)got % 8);
			EXPECT_EQ(len, ((struct got *)got)->info.len)
				TH_LOG("way %d, message %d", way, i);
			EXPECT_TRUE(ipc_filled(got + MSG_INFO, stored, i));
		}
		if (way == MULTISHOT) {
			ASSERT_EQ(0, wait_cancel(&self->ring, 7, 0));
			ASSERT_EQ(-ECANCELED, wait_for(&self->ring, 7));
		}
	}
}

/* A provided buffer of 0 bytes. */
TEST_F_TIMEOUT(info, no_message_is_lost_in_a_buffer_of_no_bytes, IPC_TIMEOUT)
{
	static const __u32 flags[] = {
		0, IOIPC_RECV_TRUNC, IOIPC_RECV_MULTISHOT, IOIPC_RECV_INFO,
	};
	struct io_uring_sqe *sqe;
	struct io_uring_cqe cqe;
	struct msg_pool pool;
	int ring, async;
	size_t i;

	for (ring = 0; ring < 2; ring++) {
		ASSERT_EQ(0, msg_pool_open(&pool, &self->ring, 4, 0, ring ?
					   IOU_PBUF_RING_INC : 0));
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id,
						5));
		for (i = 0; i < ARRAY_SIZE(flags); i++) {
			for (async = 0; async < 2; async++) {
				sqe = msg_get_select(&self->ring,
						     self->receiver.id, 0,
						     flags[i]);
				sqe->user_data = 7;
				sqe->flags |= async ? IOSQE_ASYNC : 0;
				EXPECT_EQ(-ENOBUFS,
					  wait_for_cqe(&self->ring, 7, &cqe))
					TH_LOG("flags %#x", flags[i]);
				EXPECT_EQ(0, cqe.flags);
			}
		}
		EXPECT_EQ(5, ipc_recv_num(&self->ring, self->receiver.id));
		ASSERT_EQ(0, io_uring_free_buf_ring(&self->ring, pool.ring, 4,
						    MSG_GROUP));
	}
}

/* Ways in which another task than the submitter sends. */
enum later {
	WAITS, WAITS_ATTACHED, WAITS_IN_WORKER, WAITS_DEFERRED, WAITS_IN_SQPOLL,
	WAITS_IN_SQPOLL_OF_ROOT, IN_A_CHAIN, LAST_OF_A_CHAIN, WAITS_IN_A_CHAIN,
	IN_A_CHAIN_OF_SQPOLL, DRAINED, LATERS
};

static bool is_in_chain(enum later later)
{
	return later >= IN_A_CHAIN && later <= IN_A_CHAIN_OF_SQPOLL;
}

/* Opens a ring with the current credentials. */
static int open_later(struct io_uring *ring, struct io_uring *of_root,
		      enum later later)
{
	struct io_uring_params params = { .sq_thread_idle = 1 };

	if (later == WAITS_DEFERRED)
		params.flags = WAIT_DEFER;
	if (later == WAITS_IN_SQPOLL)
		params.flags = IORING_SETUP_SQPOLL;
	if (later == WAITS_IN_SQPOLL_OF_ROOT || later == IN_A_CHAIN_OF_SQPOLL) {
		params.flags = IORING_SETUP_SQPOLL | IORING_SETUP_ATTACH_WQ;
		params.wq_fd = of_root->ring_fd;
	}
	return io_uring_queue_init_params(8, ring, &params);
}

/* A send has the credentials that its submitter had at submission. */
TEST_F_TIMEOUT(info, stamped_as_submitted, IPC_TIMEOUT)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SQPOLL,
		.sq_thread_idle = 1,
	};
	struct io_uring ring, of_root;
	struct io_uring_sqe *sqe;
	struct msg_num got;
	struct ipc_sub sub;
	enum later later;
	int ret, begin[2], i;
	__u64 num = 99;
	char byte;

	if (geteuid())
		SKIP(return, "needs to be root");
	ASSERT_EQ(0, pipe(begin));
	ASSERT_EQ(0, io_uring_queue_init_params(8, &of_root, &params));
	for (later = 0; later < LATERS; later++) {
		bool full = !(is_in_chain(later) || later == DRAINED) ||
			    later == WAITS_IN_A_CHAIN;

		for (i = 0; full && i < ENTRIES; i++) {
			ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other,
							self->sender.id, i));
		}
		ASSERT_EQ(0, setegid(IPC_GID));
		ASSERT_EQ(0, seteuid(IPC_UID));
		ret = open_later(&ring, &of_root, later);
		if (!ret)
			ret = ipc_attach(&ring, self->channel, IOIPC_SUB_SEND,
					 &sub);
		if (!full || later == WAITS_IN_A_CHAIN) {
			sqe = wait_get_sqe(&ring);
			io_uring_prep_read(sqe, begin[0], &byte, 1, 0);
			sqe->flags |= later == DRAINED ? 0 : IOSQE_IO_LINK;
			sqe->user_data = 1;
		}
		if (later == LAST_OF_A_CHAIN) {
			sqe = wait_get_sqe(&ring);
			io_uring_prep_nop(sqe);
			sqe->flags |= IOSQE_IO_LINK | IOSQE_ASYNC;
			sqe->user_data = 2;
		}
		sqe = msg_get_send(&ring, later == WAITS_ATTACHED ? sub.id :
				   self->channel, &num, IPC_NUM, full ?
				   IOIPC_SEND_WAIT : 0);
		sqe->flags |= later == WAITS_IN_WORKER ? IOSQE_ASYNC : 0;
		sqe->flags |= later == DRAINED ? IOSQE_IO_DRAIN : 0;
		sqe->user_data = 3;
		if (!ret)
			ret = wait_nothing(&ring) ? 0 : IPC_NOT_RUN;
		ASSERT_EQ(0, seteuid(0));
		ASSERT_EQ(0, setegid(0));
		ASSERT_EQ(0, ret)
			TH_LOG("case %d", later);

		if (!full || later == WAITS_IN_A_CHAIN) {
			ASSERT_EQ(1, write(begin[1], "b", 1));
			ASSERT_EQ(1, wait_for(&ring, 1));
		}
		if (later == LAST_OF_A_CHAIN)
			ASSERT_EQ(0, wait_for(&ring, 2));
		if (later == WAITS_IN_A_CHAIN)
			ASSERT_TRUE(wait_nothing(&ring));
		for (i = 0; full && i < ENTRIES; i++) {
			ASSERT_EQ(i, recv_num(&self->ring, self->receiver.id,
					      &got));
			EXPECT_EQ(0, got.info.uid);
		}
		ASSERT_EQ(IPC_NUM, wait_for(&ring, 3))
			TH_LOG("case %d", later);
		ASSERT_EQ(99, recv_num(&self->ring, self->receiver.id, &got));
		EXPECT_EQ(IPC_UID, got.info.uid)
			TH_LOG("case %d", later);
		EXPECT_EQ(IPC_GID, got.info.gid)
			TH_LOG("case %d", later);
		EXPECT_EQ(getpid(), got.info.pid);
		ASSERT_EQ(0, io_uring_ipc_channel_detach(&ring, sub.id));
		io_uring_queue_exit(&ring);
	}
	io_uring_queue_exit(&of_root);
}

IPC_HARNESS_MAIN
