// SPDX-License-Identifier: GPL-2.0
/*
 * IOIPC_SEND_FDS and IOIPC_RECV_FDS: files that messages carry.
 *
 * A test sends the writing ends of pipes and closes its own.  The reading end of a
 * pipe tells when nobody has the writing end any more.
 */
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include "fixture.h"
#include "messages.h"

#define SLOTS	8
#define ROOM	IOIPC_MAX_FDS

FIXTURE(fds) {
	struct io_uring other;
	__u32 channel;
	struct ipc_sub sender;
	struct io_uring ring;
	struct ipc_sub receiver;
};

FIXTURE_VARIANT(fds) {
	__u32 flags;
	unsigned int setup;
	/* Flags of the SQEs. */
	unsigned int sqe_flags;
};

FIXTURE_ADD_KINDS(fds);

FIXTURE_VARIANT_ADD(fds, private) {
	.flags = IOIPC_F_PRIVATE,
};

FIXTURE_VARIANT_ADD(fds, overwrite) {
	.flags = IOIPC_F_BROADCAST | IOIPC_F_OVERWRITE,
};

FIXTURE_VARIANT_ADD(fds, defer_taskrun) {
	.setup = WAIT_DEFER,
};

FIXTURE_VARIANT_ADD(fds, sqpoll) {
	.setup = IORING_SETUP_SQPOLL,
};

FIXTURE_VARIANT_ADD(fds, async) {
	.sqe_flags = IOSQE_ASYNC,
};

FIXTURE_SETUP(fds)
{
	struct io_uring_params params = {
		.flags = variant->setup, .sq_thread_idle = 1,
	};

	ASSERT_EQ(0, io_uring_queue_init_params(32, &self->other, &params));
	params.flags = variant->setup;
	ASSERT_EQ(0, io_uring_queue_init_params(32, &self->ring, &params));
	SET_UP_CHANNEL(&self->other, &self->ring, SLOTS, 256);
}

FIXTURE_TEARDOWN(fds)
{
	io_uring_queue_exit(&self->ring);
	io_uring_queue_exit(&self->other);
}

#define IS_BROADCAST	(variant->flags & IOIPC_F_BROADCAST)

/* What a receiver gets. */
struct got {
	struct io_uring_ipc_msg_info info;
	__u64	num;
	int	fds[ROOM + 1];
};

static struct io_uring_sqe *get_send(struct io_uring *ring, __u32 id,
				     const __u64 *num, const int *fds, int count,
				     __u32 flags)
{
	struct io_uring_sqe *sqe = msg_get_send(ring, id, num, sizeof(*num), flags);

	ipc_sqe_set_send_fds(sqe, fds, count);
	return sqe;
}

static int send_fds_to(struct io_uring *ring, __u32 id, __u32 target, __u64 num,
		       const int *fds, int count)
{
	struct io_uring_sqe *sqe = get_send(ring, id, &num, fds, count, 0);

	sqe->file_index = target;
	return msg_run(ring, sqe);
}

static int send_fds(struct io_uring *ring, __u32 id, __u64 num, const int *fds,
		    int count)
{
	return send_fds_to(ring, id, 0, num, fds, count);
}

static struct io_uring_sqe *get_recv(struct io_uring *ring, __u32 id,
				     struct got *got, int room, __u32 flags)
{
	struct io_uring_sqe *sqe;

	memset(got, 0xff, sizeof(*got));
	sqe = msg_get_recv(ring, id, got, offsetof(struct got, fds),
			   IOIPC_RECV_INFO | flags);
	ipc_sqe_set_recv_fds(sqe, got->fds, room);
	return sqe;
}

/* Returns the number, or an error. */
static long long num_of(int ret, const struct got *got)
{
	if (ret < 0)
		return ret;
	return ret == MSG_INFO + IPC_NUM ? (long long)got->num : IPC_NOT_RUN;
}

static long long recv_fds(struct io_uring *ring, __u32 id, struct got *got,
			  int room)
{
	return num_of(msg_run(ring, get_recv(ring, id, got, room, 0)), got);
}

/* Opens pipes; the writing ends are to be sent. */
static bool open_pipes(int *reads, int *writes, int count)
{
	int i, ends[2];

	for (i = 0; i < count; i++) {
		if (pipe(ends))
			return false;
		reads[i] = ends[0];
		writes[i] = ends[1];
	}
	return true;
}

static void close_all(const int *fds, int count)
{
	while (count--)
		close(fds[count]);
}

/* Whether the writing end of a pipe is open. */
static bool is_open(int read)
{
	struct pollfd poller = { .fd = read };

	return !poll(&poller, 1, 0);
}

/* Whether nobody has the writing end any more, now or soon. */
static bool is_closed(int read)
{
	struct pollfd poller = { .fd = read };

	return poll(&poller, 1, IPC_DEADLINE * 1000) == 1 &&
	       poller.revents == POLLHUP;
}

/* Whether the descriptor is this pipe's writing end, and close-on-exec. */
static bool is_end_of(int fd, int read_end)
{
	char byte = 'x';

	return fcntl(fd, F_GETFD) == FD_CLOEXEC && write(fd, &byte, 1) == 1 &&
	       read(read_end, &byte, 1) == 1;
}

/* Sends a message with the writing end of a pipe, and closes that. */
static int send_pipe_to(struct io_uring *ring, __u32 id, __u32 target, __u64 num,
			int *read)
{
	int ret, end;

	if (!open_pipes(read, &end, 1))
		return -errno;
	ret = send_fds_to(ring, id, target, num, &end, 1);
	close(end);
	return ret;
}

static int send_pipe(struct io_uring *ring, __u32 id, __u64 num, int *read)
{
	return send_pipe_to(ring, id, 0, num, read);
}

TEST_F_TIMEOUT(fds, pass, IPC_TIMEOUT)
{
	static const int counts[] = { 1, 2, 3, 63, IOIPC_MAX_FDS };
	int reads[IOIPC_MAX_FDS], writes[IOIPC_MAX_FDS], i, j;
	struct io_uring_sqe *sqe;
	struct got got;
	__u64 num;

	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		int count = counts[i];

		ASSERT_TRUE(open_pipes(reads, writes, count));
		num = i;
		sqe = get_send(&self->other, self->sender.id, &num, writes, count, 0);
		sqe->flags |= variant->sqe_flags;
		ASSERT_EQ(IPC_NUM, msg_run(&self->other, sqe));
		close_all(writes, count);
		EXPECT_EQ(count, ipc_fdinfo(self->receiver.fd, "ioipc-fds"));
		sqe = get_recv(&self->ring, self->receiver.id, &got, count, 0);
		sqe->flags |= variant->sqe_flags;
		ASSERT_EQ(i, num_of(msg_run(&self->ring, sqe), &got));
		EXPECT_EQ(count, got.info.fds);
		EXPECT_EQ(0, got.info.flags);
		EXPECT_EQ(-1, got.fds[count]);
		for (j = 0; j < count; j++)
			EXPECT_TRUE(is_end_of(got.fds[j], reads[j]))
				TH_LOG("%d of %d", j, count);
		close_all(got.fds, count);
		if (IS_BROADCAST) {
			/* For receivers that join later. */
			EXPECT_TRUE(is_open(reads[0]));
			for (j = 0; j < SLOTS; j++) {
				ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id, j));
				ASSERT_EQ(j, ipc_recv_num(&self->ring, self->receiver.id));
			}
		}
		for (j = 0; j < count; j++)
			EXPECT_TRUE(is_closed(reads[j]));
		EXPECT_EQ(0, ipc_fdinfo(self->receiver.fd, "ioipc-fds"));
		close_all(reads, count);
	}
}

/* Neither the number of messages in between nor that of the slots matters. */
TEST_F_TIMEOUT(fds, each_message_has_its_own, IPC_TIMEOUT)
{
	int reads[3], i, round;
	struct got got;

	for (round = 0; round < 5; round++) {
		for (i = 0; i < 3; i++) {
			ASSERT_EQ(IPC_NUM, send_pipe(&self->other, self->sender.id,
						     2 * i, &reads[i]));
			ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other,
							self->sender.id, 2 * i + 1));
		}
		for (i = 0; i < 3; i++) {
			ASSERT_EQ(2 * i, recv_fds(&self->ring, self->receiver.id,
						  &got, ROOM));
			ASSERT_EQ(1, got.info.fds);
			EXPECT_EQ(0, got.info.flags);
			EXPECT_TRUE(is_end_of(got.fds[0], reads[i]));
			close(got.fds[0]);
			ASSERT_EQ(2 * i + 1, recv_fds(&self->ring, self->receiver.id,
						      &got, ROOM));
			EXPECT_EQ(0, got.info.fds);
			EXPECT_EQ(0, got.info.flags);
			EXPECT_EQ(-1, got.fds[0]);
			if (!IS_BROADCAST) {
				EXPECT_TRUE(is_closed(reads[i]));
			}
		}
		close_all(reads, 3);
	}
}

static bool is_same(int fd, int other)
{
	struct stat one, two;

	return !fstat(fd, &one) && !fstat(other, &two) &&
	       one.st_dev == two.st_dev && one.st_ino == two.st_ino &&
	       fcntl(fd, F_GETFL) == fcntl(other, F_GETFL);
}

TEST_F_TIMEOUT(fds, all_kinds_of_files, IPC_TIMEOUT)
{
	int fds[] = {
		eventfd(0, 0), memfd_create("x", 0), epoll_create1(0),
		open("/", O_RDONLY), open("/", O_PATH), open("/dev/null", O_RDWR),
		socket(AF_NETLINK, SOCK_RAW, 0),
	};
	int i, count = ARRAY_SIZE(fds);
	struct got got;
	eventfd_t num = 0;

	for (i = 0; i < count; i++)
		ASSERT_LE(0, fds[i]);
	ASSERT_EQ(IPC_NUM, send_fds(&self->other, self->sender.id, 1, fds, count));
	ASSERT_EQ(1, recv_fds(&self->ring, self->receiver.id, &got, ROOM));
	ASSERT_EQ(count, got.info.fds);
	for (i = 0; i < count; i++)
		EXPECT_TRUE(is_same(fds[i], got.fds[i]))
			TH_LOG("file %d", i);
	/* It is the same file. */
	ASSERT_EQ(0, eventfd_write(got.fds[0], 3));
	ASSERT_EQ(0, eventfd_read(fds[0], &num));
	EXPECT_EQ(3, num);
	close_all(fds, count);
	close_all(got.fds, count);
}

/* A message may hold nothing that could hold its channel. */
TEST_F_TIMEOUT(fds, refused, IPC_TIMEOUT)
{
	int pair[2], ends[2], fds[3], i;
	struct io_uring ring;
	struct got got;

	ASSERT_EQ(0, ipc_open(&ring));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	ASSERT_EQ(0, pipe(ends));
	const int bad[] = {
		ring.ring_fd, self->other.ring_fd, self->sender.fd,
		self->receiver.fd, pair[0], socket(AF_UNIX, SOCK_DGRAM, 0),
		socket(AF_UNIX, SOCK_SEQPACKET, 0),
	};
	for (i = 0; i < ARRAY_SIZE(bad) * 3; i++) {
		fds[0] = ends[1];
		fds[1] = ends[1];
		fds[2] = ends[1];
		fds[i % 3] = bad[i / 3];
		ASSERT_LE(0, bad[i / 3]);
		EXPECT_EQ(-EINVAL, send_fds(&self->other, self->sender.id, 1, fds, 3))
			TH_LOG("file %d", i / 3);
		/* Also where there is no need to attach. */
		if (!(variant->flags & IOIPC_F_PRIVATE))
			EXPECT_EQ(-EINVAL, send_fds(&ring, self->channel, 1, fds, 3));
	}
	close(ends[1]);
	EXPECT_TRUE(is_closed(ends[0]));
	EXPECT_EQ(-EAGAIN, recv_fds(&self->ring, self->receiver.id, &got, ROOM));
	EXPECT_EQ(0, ipc_fdinfo(self->receiver.fd, "ioipc-fds"));
	io_uring_queue_exit(&ring);
}

TEST_F_TIMEOUT(fds, bad_descriptors, IPC_TIMEOUT)
{
	static const int bad[] = { -1, 1000, INT_MAX, INT_MIN, -100 };
	int i, fds[2], ends[2];
	struct got got;

	ASSERT_EQ(0, pipe(ends));
	for (i = 0; i < ARRAY_SIZE(bad) * 2; i++) {
		fds[i % 2] = bad[i / 2];
		fds[!(i % 2)] = ends[1];
		EXPECT_EQ(-EBADF, send_fds(&self->other, self->sender.id, 1, fds, 2))
			TH_LOG("%d", bad[i / 2]);
	}
	close(ends[1]);
	EXPECT_TRUE(is_closed(ends[0]));
	EXPECT_EQ(-EBADF, send_fds(&self->other, self->sender.id, 1, &ends[1], 1));
	EXPECT_EQ(-EAGAIN, recv_fds(&self->ring, self->receiver.id, &got, ROOM));
}

TEST_F_TIMEOUT(fds, fields, IPC_TIMEOUT)
{
	static const int counts[] = { 0, IOIPC_MAX_FDS + 1, 256, USHRT_MAX };
	static const __u32 flags[] = {
		IOIPC_RECV_INFO | IOIPC_RECV_BUNDLE, IOIPC_RECV_BUNDLE, 0,
		IOIPC_RECV_WAIT, IOIPC_RECV_TRUNC, IOIPC_RECV_MAPPED,
		IOIPC_RECV_GONE, IOIPC_RECV_INFO | IOIPC_RECV_MULTISHOT,
	};
	struct iovec vec = { &vec, sizeof(vec) };
	int reads[1], fds[ROOM], i;
	struct io_uring_sqe *sqe;
	struct got got;

	for (i = 0; i < ROOM; i++)
		fds[i] = 1;
	ASSERT_EQ(IPC_NUM, send_pipe(&self->other, self->sender.id, 1, reads));
	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		EXPECT_EQ(-EINVAL, send_fds(&self->other, self->sender.id, 1, fds,
					    counts[i]));
		EXPECT_EQ(-EINVAL, recv_fds(&self->ring, self->receiver.id, &got,
					    counts[i]));
	}
	sqe = msg_get_send(&self->other, self->sender.id, &vec, 1, IOIPC_SEND_VEC);
	ipc_sqe_set_send_fds(sqe, fds, 1);
	EXPECT_EQ(-EINVAL, msg_run(&self->other, sqe));
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		sqe = get_recv(&self->ring, self->receiver.id, &got, 1, 0);
		sqe->rw_flags = flags[i] | IOIPC_RECV_FDS;
		EXPECT_EQ(-EINVAL, msg_run(&self->ring, sqe))
			TH_LOG("flags %#x", flags[i]);
	}
	for (i = 0; i < 4; i++) {
		bool sends = i / 2;
		struct io_uring *ring = sends ? &self->other : &self->ring;

		if (sends)
			sqe = get_send(ring, self->sender.id, &got.num, fds, 1, 0);
		else
			sqe = get_recv(ring, self->receiver.id, &got, 1, 0);
		/* A field without the flag. */
		sqe->rw_flags &= ~(sends ? IOIPC_SEND_FDS : IOIPC_RECV_FDS);
		if (i % 2)
			sqe->ioprio = 0;
		else
			sqe->addr2 = 0;
		EXPECT_EQ(-EINVAL, msg_run(ring, sqe));
	}
	ASSERT_EQ(1, recv_fds(&self->ring, self->receiver.id, &got, ROOM));
	EXPECT_EQ(1, got.info.fds);
	EXPECT_EQ(-EAGAIN, recv_fds(&self->ring, self->receiver.id, &got, ROOM));
}

TEST_F_TIMEOUT(fds, arrays_that_are_not_there, IPC_TIMEOUT)
{
	char *page, *readonly;
	struct got got;
	int read, i;

	readonly = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, readonly);
	page = ipc_pages(1);
	ASSERT_NE(NULL, page);
	ASSERT_EQ(IPC_NUM, send_pipe(&self->other, self->sender.id, 1, &read));
	for (i = 0; i < ARRAY_SIZE(msg_bad_addresses) + 2; i++) {
		struct io_uring_sqe *sqe;
		void *array;

		if (i < ARRAY_SIZE(msg_bad_addresses))
			array = msg_bad_addresses[i];
		else if (i == ARRAY_SIZE(msg_bad_addresses))
			/* The second number is not there. */
			array = page + sysconf(_SC_PAGESIZE) - 4;
		else
			array = readonly;
		if (array != readonly)
			EXPECT_EQ(-EFAULT, send_fds(&self->other, self->sender.id, 1,
						    array, 2));
		sqe = get_recv(&self->ring, self->receiver.id, &got, 2, 0);
		sqe->addr2 = (uintptr_t)array;
		EXPECT_EQ(-EFAULT, msg_run(&self->ring, sqe))
			TH_LOG("address %p", array);
	}
	/* The message is still there. */
	ASSERT_EQ(1, recv_fds(&self->ring, self->receiver.id, &got, ROOM));
	EXPECT_EQ(1, got.info.fds);
	EXPECT_TRUE(is_end_of(got.fds[0], read));
	EXPECT_EQ(-EAGAIN, recv_fds(&self->ring, self->receiver.id, &got, ROOM));
}

/* A message that goes back into the channel keeps its files. */
TEST_F_TIMEOUT(fds, put_back, IPC_TIMEOUT)
{
	char *page = ipc_pages(1);
	struct io_uring_sqe *sqe;
	struct got got;
	int read, i;

	ASSERT_NE(NULL, page);
	ASSERT_EQ(IPC_NUM, send_pipe(&self->other, self->sender.id, 1, &read));
	for (i = 0; i < 3; i++) {
		sqe = get_recv(&self->ring, self->receiver.id, &got, ROOM, 0);
		sqe->addr = (uintptr_t)page + sysconf(_SC_PAGESIZE) - MSG_INFO - 4;
		EXPECT_EQ(-EFAULT, msg_run(&self->ring, sqe));
	}
	ASSERT_EQ(1, recv_fds(&self->ring, self->receiver.id, &got, ROOM));
	EXPECT_EQ(1, got.info.fds);
	EXPECT_TRUE(is_end_of(got.fds[0], read));
}

/* A queue closes what its receiver does not ask for. */
TEST_F_TIMEOUT(fds, not_asked_for, IPC_TIMEOUT)
{
	char buf[1024];
	struct msg_walk walk = { .buf = buf };
	struct msg_num got;
	int read, i;

	for (i = 0; i < 3; i++) {
		ASSERT_EQ(IPC_NUM, send_pipe(&self->other, self->sender.id, i, &read));
		switch (i) {
		case 0:
			EXPECT_EQ(i, ipc_recv_num(&self->ring, self->receiver.id));
			break;
		case 1:
			EXPECT_EQ(i, msg_recv_num(&self->ring, self->receiver.id,
						  &got));
			EXPECT_EQ(IOIPC_INFO_FDS_LOST, got.info.flags);
			EXPECT_EQ(0, got.info.fds);
			break;
		case 2:
			ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other,
							self->sender.id, 3));
			walk.res = msg_recv(&self->ring, self->receiver.id, buf,
					    sizeof(buf), IOIPC_RECV_BUNDLE);
			EXPECT_EQ(i, msg_next_num(&walk));
			EXPECT_EQ(IOIPC_INFO_FDS_LOST, walk.info.flags);
			EXPECT_EQ(3, msg_next_num(&walk));
			EXPECT_EQ(0, walk.info.flags);
			EXPECT_EQ(-EAGAIN, msg_next_num(&walk));
		}
		if (IS_BROADCAST) {
			int j;

			EXPECT_TRUE(is_open(read));
			for (j = 0; j < SLOTS; j++) {
				ASSERT_EQ(IPC_NUM, ipc_send_num(&self->other, self->sender.id, j));
				ASSERT_EQ(j, ipc_recv_num(&self->ring, self->receiver.id));
			}
		}
		EXPECT_TRUE(is_closed(read));
		EXPECT_EQ(0, ipc_fdinfo(self->receiver.fd, "ioipc-fds"));
	}
}

/* A receiver gets the first ones if there is no room for all. */
TEST_F_TIMEOUT(fds, room_for_some, IPC_TIMEOUT)
{
	int reads[5], writes[5], room, i;
	struct got got;

	for (room = 1; room <= 6; room++) {
		int want = room < 5 ? room : 5;

		ASSERT_TRUE(open_pipes(reads, writes, 5));
		ASSERT_EQ(IPC_NUM, send_fds(&self->other, self->sender.id, room,
					    writes, 5));
		close_all(writes, 5);
		ASSERT_EQ(room, recv_fds(&self->ring, self->receiver.id, &got, room));
		EXPECT_EQ(want, got.info.fds);
		EXPECT_EQ(room < 5 ? IOIPC_INFO_FDS_LOST : 0, got.info.flags);
		EXPECT_EQ(-1, got.fds[want]);
		for (i = 0; i < want; i++)
			EXPECT_TRUE(is_end_of(got.fds[i], reads[i]));
		for (; i < 5 && !IS_BROADCAST; i++)
			EXPECT_TRUE(is_closed(reads[i]));
		close_all(got.fds, want);
		close_all(reads, 5);
	}
}

/* The limit with which this process can open so many more files. */
static rlim_t limit_for(int left)
{
	rlim_t limit = 0;

	while (left)
		left -= fcntl(limit++, F_GETFD) < 0;
	return limit;
}

/* As many as RLIMIT_NOFILE allows arrive, and so does the message. */
TEST_F_TIMEOUT(fds, no_descriptor_left, IPC_TIMEOUT)
{
	int reads[5], writes[5], left, i;
	struct rlimit old, limit;
	struct got got;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &old));
	for (left = 0; left <= 5; left++) {
		ASSERT_TRUE(open_pipes(reads, writes, 5));
		ASSERT_EQ(IPC_NUM, send_fds(&self->other, self->sender.id, left,
					    writes, 5));
		close_all(writes, 5);
		limit = old;
		limit.rlim_cur = limit_for(left);
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
		ASSERT_EQ(left, recv_fds(&self->ring, self->receiver.id, &got, ROOM));
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));
		EXPECT_EQ(left, got.info.fds);
		EXPECT_EQ(left < 5 ? IOIPC_INFO_FDS_LOST : 0, got.info.flags);
		for (i = 0; i < left; i++)
			EXPECT_TRUE(is_end_of(got.fds[i], reads[i]));
		for (; i < 5 && !IS_BROADCAST; i++)
			EXPECT_TRUE(is_closed(reads[i]));
		close_all(got.fds, left);
	}
}

TEST_F_TIMEOUT(fds, targeted, IPC_TIMEOUT)
{
	struct ipc_sub target;
	struct got got;
	int read, i;

	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_RECV, &target));
	ASSERT_EQ(IPC_NUM, send_pipe_to(&self->other, self->sender.id, target.id, 1,
					&read));
	EXPECT_EQ(-EAGAIN, recv_fds(&self->ring, self->receiver.id, &got, ROOM));
	ASSERT_EQ(1, recv_fds(&self->ring, target.id, &got, ROOM));
	EXPECT_EQ(IOIPC_INFO_TARGETED, got.info.flags);
	ASSERT_EQ(1, got.info.fds);
	EXPECT_TRUE(is_end_of(got.fds[0], read));
	close(got.fds[0]);
	/* The flags that the message has anyway stay. */
	ASSERT_EQ(IPC_NUM, send_pipe_to(&self->other, self->sender.id, target.id, 2,
					&read));
	ASSERT_EQ(2, msg_recv_num(&self->ring, target.id, (void *)&got));
	EXPECT_EQ(IOIPC_INFO_TARGETED | IOIPC_INFO_FDS_LOST, got.info.flags);
	/* No such target: nothing is sent. */
	EXPECT_EQ(-ENOENT, send_pipe_to(&self->other, self->sender.id, 1 << 30, 3,
					&read));
	EXPECT_TRUE(is_closed(read));
	/* The target detaches, or is evicted. */
	for (i = 0; i < 2; i++) {
		struct io_uring *ring = i ? &self->other : &self->ring;
		int more[2];

		ASSERT_EQ(IPC_NUM, send_pipe_to(&self->other, self->sender.id,
						target.id, 4, &read));
		ASSERT_EQ(IPC_NUM, send_pipe(&self->other, self->sender.id, 5,
					     &more[0]));
		ASSERT_EQ(IPC_NUM, send_pipe_to(&self->other, self->sender.id,
						target.id, 6, &more[1]));
		ASSERT_EQ(0, io_uring_ipc_channel_detach(ring, target.id));
		EXPECT_TRUE(is_closed(read));
		EXPECT_TRUE(is_closed(more[1]));
		EXPECT_TRUE(is_open(more[0]));
		ASSERT_EQ(5, recv_fds(&self->ring, self->receiver.id, &got, ROOM));
		EXPECT_EQ(1, got.info.fds);
		EXPECT_TRUE(is_end_of(got.fds[0], more[0]));
		ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_RECV,
					&target));
	}
}

TEST_F_TIMEOUT(fds, without_an_attachment, IPC_TIMEOUT)
{
	struct io_uring ring;
	struct got got;
	int read;

	ASSERT_EQ(0, ipc_open(&ring));
	if (variant->flags & IOIPC_F_PRIVATE) {
		EXPECT_EQ(-EACCES, send_pipe(&ring, self->channel, 1, &read));
		EXPECT_TRUE(is_closed(read));
		return;
	}
	ASSERT_EQ(IPC_NUM, send_pipe(&ring, self->channel, 1, &read));
	io_uring_queue_exit(&ring);
	ASSERT_EQ(1, recv_fds(&self->ring, self->receiver.id, &got, ROOM));
	ASSERT_EQ(1, got.info.fds);
	EXPECT_EQ(0, got.info.sender);
	EXPECT_TRUE(is_end_of(got.fds[0], read));
}

TEST_F_TIMEOUT(fds, receiver_waits, IPC_TIMEOUT)
{
	struct io_uring_sqe *sqe;
	struct got got;
	int read;

	sqe = get_recv(&self->ring, self->receiver.id, &got, ROOM, IOIPC_RECV_WAIT);
	sqe->flags |= variant->sqe_flags;
	sqe->user_data = 1;
	ASSERT_LE(0, io_uring_submit(&self->ring));
	ASSERT_TRUE(ipc_poll(ipc_fdinfo(self->receiver.fd, "ioipc-waits") == 1));
	ASSERT_EQ(IPC_NUM, send_pipe(&self->other, self->sender.id, 1, &read));
	ASSERT_EQ(MSG_INFO + IPC_NUM, wait_for(&self->ring, 1));
	ASSERT_EQ(1, got.info.fds);
	EXPECT_TRUE(is_end_of(got.fds[0], read));
	close(got.fds[0]);
	if (!IS_BROADCAST)
		EXPECT_TRUE(is_closed(read));
}

/* A send that waits has its files already. */
TEST_F_TIMEOUT(fds, sender_waits, IPC_TIMEOUT)
{
	struct io_uring_sqe *sqe;
	int reads[2], writes[2];
	struct got got;
	__u64 num = 9;
	int i;

	if (variant->flags & IOIPC_F_OVERWRITE)
		return;
	ASSERT_EQ(SLOTS, ipc_send_nums(&self->other, self->sender.id, 0, SLOTS));
	ASSERT_TRUE(open_pipes(reads, writes, 2));
	EXPECT_EQ(-ENOBUFS, send_fds(&self->other, self->sender.id, 1, writes, 2));
	for (i = 0; i < 2; i++) {
		sqe = get_send(&self->other, self->sender.id, &num, &writes[i], 1,
			       IOIPC_SEND_WAIT);
		sqe->flags |= variant->sqe_flags;
		sqe->user_data = 1 + i;
		ASSERT_LE(0, io_uring_submit(&self->other));
		ASSERT_TRUE(ipc_poll(ipc_fdinfo(self->sender.fd, "ioipc-waits") ==
				     1 + i));
	}
	close_all(writes, 2);
	EXPECT_TRUE(is_open(reads[0]));
	EXPECT_TRUE(is_open(reads[1]));
	/* The second one is cancelled. */
	EXPECT_EQ(0, wait_cancel(&self->other, 2, 0));
	EXPECT_EQ(-ECANCELED, wait_for(&self->other, 2));
	EXPECT_TRUE(is_closed(reads[1]));
	ASSERT_EQ(SLOTS, ipc_recv_nums(&self->ring, self->receiver.id, 0, SLOTS));
	ASSERT_EQ(IPC_NUM, wait_for(&self->other, 1));
	ASSERT_EQ(9, recv_fds(&self->ring, self->receiver.id, &got, ROOM));
	ASSERT_EQ(1, got.info.fds);
	EXPECT_TRUE(is_end_of(got.fds[0], reads[0]));
	/* And one more ends with its ring. */
	ASSERT_EQ(SLOTS, ipc_send_nums(&self->other, self->sender.id, 0, SLOTS));
	ASSERT_TRUE(open_pipes(reads, writes, 1));
	sqe = get_send(&self->other, self->sender.id, &num, writes, 1,
		       IOIPC_SEND_WAIT);
	ASSERT_LE(0, io_uring_submit(&self->other));
	ASSERT_TRUE(ipc_poll(ipc_fdinfo(self->sender.fd, "ioipc-waits") == 3));
	close(writes[0]);
	EXPECT_TRUE(is_open(reads[0]));
	io_uring_queue_exit(&self->other);
	EXPECT_TRUE(is_closed(reads[0]));
	ASSERT_EQ(0, ipc_open(&self->other));
}

/* An earlier request of the chain opens the file. */
TEST_F_TIMEOUT(fds, opened_in_the_same_chain, IPC_TIMEOUT)
{
	struct io_uring_sqe *sqe;
	struct got got;
	__u64 num = 4;
	int next;

	next = dup(1);
	ASSERT_LE(0, next);
	close(next);
	EXPECT_EQ(-EBADF, send_fds(&self->other, self->sender.id, 1, &next, 1));
	sqe = wait_get_sqe(&self->other);
	io_uring_prep_openat(sqe, AT_FDCWD, "/dev/null", O_RDWR, 0);
	sqe->flags |= IOSQE_IO_LINK;
	sqe->user_data = 1;
	sqe = get_send(&self->other, self->sender.id, &num, &next, 1, 0);
	sqe->flags |= variant->sqe_flags;
	sqe->user_data = 2;
	EXPECT_EQ(IPC_NUM, wait_for(&self->other, 2));
	EXPECT_EQ(next, wait_for(&self->other, 1));
	ASSERT_EQ(4, recv_fds(&self->ring, self->receiver.id, &got, ROOM));
	EXPECT_EQ(1, got.info.fds);
}

TEST_F_TIMEOUT(fds, registered_and_provided_buffers, IPC_TIMEOUT)
{
	static __u64 num;
	static struct got got;
	struct iovec vec = { &num, sizeof(num) };
	struct msg_pool pool;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe cqe;
	int read, end, i;

	ASSERT_EQ(0, io_uring_register_buffers(&self->other, &vec, 1));
	vec = (struct iovec) { &got, sizeof(got) };
	ASSERT_EQ(0, io_uring_register_buffers(&self->ring, &vec, 1));
	ASSERT_EQ(0, msg_pool_open(&pool, &self->ring, 2, 256, 0));
	for (i = 0; i < 2; i++) {
		num = 7;
		ASSERT_TRUE(open_pipes(&read, &end, 1));
		sqe = get_send(&self->other, self->sender.id, &num, &end, 1,
			       IOIPC_FIXED_BUF);
		ASSERT_EQ(IPC_NUM, msg_run(&self->other, sqe));
		close(end);
		sqe = get_recv(&self->ring, self->receiver.id, &got, ROOM,
			       i ? 0 : IOIPC_FIXED_BUF);
		if (i) {
			sqe->addr = 0;
			sqe->flags |= IOSQE_BUFFER_SELECT;
			sqe->buf_group = MSG_GROUP;
		}
		ASSERT_EQ(MSG_INFO + IPC_NUM,
			  wait_for_cqe(&self->ring, sqe->user_data, &cqe));
		if (i)
			memcpy(&got, msg_pool_got(&pool, &cqe), MSG_INFO + IPC_NUM);
		EXPECT_EQ(7, got.num);
		EXPECT_EQ(1, got.info.fds);
		EXPECT_EQ(0, got.info.flags);
		EXPECT_TRUE(is_end_of(got.fds[0], read));
		close(got.fds[0]);
	}
}

/* Also a message without bytes, and one that is cut. */
TEST_F_TIMEOUT(fds, of_any_length, IPC_TIMEOUT)
{
	static const int lens[] = { 0, 1, 255, 256 };
	char buf[256] = "x";
	struct io_uring_sqe *sqe;
	struct got got;
	int read, end, i;

	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		bool cut = lens[i] > IPC_NUM;

		ASSERT_TRUE(open_pipes(&read, &end, 1));
		sqe = msg_get_send(&self->other, self->sender.id, buf, lens[i], 0);
		ipc_sqe_set_send_fds(sqe, &end, 1);
		ASSERT_EQ(lens[i], msg_run(&self->other, sqe));
		close(end);
		sqe = get_recv(&self->ring, self->receiver.id, &got, ROOM, 0);
		ASSERT_EQ(MSG_INFO + (cut ? IPC_NUM : lens[i]),
			  msg_run(&self->ring, sqe));
		EXPECT_EQ(1, got.info.fds);
		EXPECT_EQ(cut ? IOIPC_INFO_TRUNCATED : 0, got.info.flags);
		EXPECT_TRUE(is_end_of(got.fds[0], read));
		close(got.fds[0]);
	}
}

/* The end of a channel closes what nobody can receive. */
TEST_F_TIMEOUT(fds, destroyed, IPC_TIMEOUT)
{
	int reads[3], i;
	struct got got;

	for (i = 0; i < 3; i++)
		ASSERT_EQ(IPC_NUM, send_pipe(&self->other, self->sender.id, i,
					     &reads[i]));
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->other, self->channel));
	/* What is queued can be received, with all that belongs to it. */
	ASSERT_EQ(0, recv_fds(&self->ring, self->receiver.id, &got, ROOM));
	ASSERT_EQ(1, got.info.fds);
	EXPECT_TRUE(is_end_of(got.fds[0], reads[0]));
	close(got.fds[0]);
	EXPECT_TRUE(is_open(reads[1]));
	EXPECT_TRUE(is_open(reads[2]));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring, self->receiver.id));
	/* The channel is still there, because this file is open. */
	for (i = 0; i < 3; i++)
		EXPECT_TRUE(is_closed(reads[i]));
	EXPECT_LE(0, ipc_fdinfo(self->receiver.fd, "ioipc-fds"));
}

TEST_F_TIMEOUT(fds, destroyed_without_receivers, IPC_TIMEOUT)
{
	int read;

	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring, self->receiver.id));
	ASSERT_EQ(IPC_NUM, send_pipe(&self->other, self->sender.id, 1, &read));
	EXPECT_TRUE(is_open(read));
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->other, self->channel));
	EXPECT_TRUE(is_closed(read));
	EXPECT_LE(0, ipc_fdinfo(self->sender.fd, "ioipc-fds"));
}

TEST_F_TIMEOUT(fds, the_ring_of_the_channel_ends, IPC_TIMEOUT)
{
	int reads[2];

	ASSERT_EQ(IPC_NUM, send_pipe(&self->other, self->sender.id, 1, &reads[0]));
	io_uring_queue_exit(&self->other);
	EXPECT_TRUE(is_open(reads[0]));
	io_uring_queue_exit(&self->ring);
	EXPECT_TRUE(is_closed(reads[0]));
	ASSERT_EQ(0, ipc_open(&self->ring));
	ASSERT_EQ(0, ipc_open(&self->other));
}

/* The files of a child's messages do not end with the child. */
TEST_F_TIMEOUT(fds, between_processes, IPC_TIMEOUT)
{
	struct got got;
	pid_t pid;
	int ends[2];

	if (variant->setup || variant->flags & IOIPC_F_PRIVATE)
		return;
	ASSERT_EQ(0, pipe(ends));
	pid = ipc_fork();
	if (!pid) {
		struct io_uring ring;
		int memory = memfd_create("child", 0), fds[2] = { memory, ends[1] };

		if (ipc_open(&ring) || write(memory, "hello", 5) != 5)
			_exit(1);
		_exit(send_fds(&ring, self->channel, 1, fds, 2) != IPC_NUM);
	}
	close(ends[1]);
	ASSERT_EQ(0, ipc_wait(pid));
	EXPECT_TRUE(is_open(ends[0]));
	ASSERT_EQ(1, recv_fds(&self->ring, self->receiver.id, &got, ROOM));
	ASSERT_EQ(2, got.info.fds);
	EXPECT_EQ(0, got.info.flags);
	EXPECT_EQ(pid, got.info.pid);
	ASSERT_EQ(5, pread(got.fds[0], &got, 5, 0));
	EXPECT_EQ(0, memcmp(&got, "hello", 5));
	EXPECT_TRUE(is_end_of(got.fds[1], ends[0]));
}

/* A process without privileges, in a channel that others may use. */
struct limited {
	__u32	channel;
	__u32	flags;
	struct io_uring ring;
	struct ipc_sub sender, receiver;
};

enum { LIMIT = 40 };

static int open_limited(struct limited *limited)
{
	struct rlimit limit = { LIMIT, LIMIT };
	int ret;

	ret = ipc_open(&limited->ring);
	if (!ret)
		ret = ipc_create(&limited->ring, limited->flags, 256, 64,
				 &limited->channel);
	if (!ret)
		ret = ipc_attach(&limited->ring, limited->channel, IOIPC_SUB_SEND,
				 &limited->sender);
	if (!ret)
		ret = ipc_attach(&limited->ring, limited->channel, IOIPC_SUB_RECV,
				 &limited->receiver);
	return ret ?: setrlimit(RLIMIT_NOFILE, &limit);
}

/* Numbers of lines, as results of ipc_as(). */
#define CHECK(condition) do {						\
	if (!(condition)) {						\
		printf("# line %d: %s\n", __LINE__, #condition);	\
		fflush(stdout);						\
		return -1;						\
	}								\
} while (0)

/* Sends a message that is too long. */
static int send_too_long(struct io_uring *ring, __u32 id, const int *fds, int count)
{
	static char bytes[100];
	struct io_uring_sqe *sqe = msg_get_send(ring, id, bytes, sizeof(bytes), 0);

	ipc_sqe_set_send_fds(sqe, fds, count);
	return msg_run(ring, sqe);
}

/* Whether so many files can be sent now or soon. */
static bool can_send(struct io_uring *ring, __u32 id, int count)
{
	int fds[LIMIT], i;

	for (i = 0; i < count; i++)
		fds[i] = 1;
	return ipc_poll(send_too_long(ring, id, fds, count) == -EMSGSIZE);
}

static int in_flight(void *arg)
{
	struct limited *limited = arg;
	struct io_uring *ring = &limited->ring;
	__u32 sender, receiver;
	int fds[LIMIT + 1], i, round;
	struct got got;

	CHECK(!open_limited(limited));
	sender = limited->sender.id;
	receiver = limited->receiver.id;
	for (i = 0; i < LIMIT + 1; i++)
		fds[i] = 1;
	CHECK(send_fds(ring, sender, 1, fds, LIMIT + 1) == -ETOOMANYREFS);
	for (round = 0; round < 3; round++) {
		CHECK(can_send(ring, sender, LIMIT));
		for (i = 0; i < LIMIT / 4; i++)
			CHECK(send_fds(ring, sender, i, fds, 4) == IPC_NUM);
		CHECK(send_fds(ring, sender, 1, fds, 1) == -ETOOMANYREFS);
		CHECK(ipc_fdinfo(limited->sender.fd, "ioipc-fds") == LIMIT);
		/* What a request does not send does not count. */
		for (i = 0; i < 4; i++)
			CHECK(recv_fds(ring, receiver, &got, 1) == i &&
			      got.info.fds == 1 && !close(got.fds[0]));
		CHECK(send_fds(ring, sender, 1, fds, 17) == -ETOOMANYREFS);
		CHECK(can_send(ring, sender, 16));
		CHECK(send_fds_to(ring, sender, 1 << 30, 1, fds, 16) == -ENOENT);
		CHECK(send_too_long(ring, sender, fds, 16) == -EMSGSIZE);
		CHECK(send_fds(ring, 1 << 30, 1, fds, 16) == -ENOENT);
		CHECK(send_fds(ring, sender, 77, fds, 16) == IPC_NUM);
		CHECK(send_fds(ring, sender, 1, fds, 1) == -ETOOMANYREFS);
		for (i = 4; i < LIMIT / 4; i++)
			CHECK(ipc_recv_num(ring, receiver) == i);
		CHECK(recv_fds(ring, receiver, &got, 1) == 77);
		CHECK(got.info.fds == 1 && !close(got.fds[0]));
	}
	/* A receiver that takes all gives them back at once. */
	CHECK(can_send(ring, sender, LIMIT));
	for (i = 0; i < 100; i++) {
		CHECK(send_fds(ring, sender, i, fds, LIMIT - 20) == IPC_NUM);
		CHECK(recv_fds(ring, receiver, &got, LIMIT - 20) == i);
		CHECK(got.info.fds == LIMIT - 20);
		close_all(got.fds, LIMIT - 20);
	}
	/* A destroyed channel gives all back. */
	CHECK(send_fds(ring, sender, 1, fds, LIMIT) == IPC_NUM);
	CHECK(!io_uring_ipc_channel_detach(ring, receiver));
	CHECK(!io_uring_ipc_channel_destroy(ring, limited->channel));
	CHECK(!ipc_create(ring, 0, 8, 64, &limited->channel));
	CHECK(can_send(ring, limited->channel, LIMIT));
	CHECK(send_fds(ring, limited->channel, 1, fds, LIMIT) == IPC_NUM);
	return 0;
}

TEST(as_many_in_flight_as_files)
{
	static struct limited limited;
	struct ipc_who who = { IPC_UID, IPC_GID, 0 };

	EXPECT_EQ(0, ipc_as(who, in_flight, &limited));
	/* All uids have limits of their own, and this one gets its own back. */
	who.uid = IPC_OTHER_UID;
	EXPECT_EQ(0, ipc_as(who, in_flight, &limited));
	who.uid = IPC_UID;
	EXPECT_EQ(0, ipc_as(who, in_flight, &limited));
}

/* Who may have more files than the limit may have more in flight, too. */
TEST(privileged_in_flight)
{
	static struct limited limited;
	int fds[64], i;

	ASSERT_EQ(0, open_limited(&limited));
	for (i = 0; i < 64; i++)
		fds[i] = 1;
	for (i = 0; i < 10; i++)
		EXPECT_EQ(IPC_NUM, send_fds(&limited.ring, limited.sender.id, i,
					    fds, 64));
	for (i = 0; i < 10; i++)
		EXPECT_EQ(i, ipc_recv_num(&limited.ring, limited.receiver.id));
}

/*
 * Messages that all have received do not keep a sender from sending more: not even if
 * there are only such messages, and the ring never becomes full.
 */
static int history(void *arg)
{
	struct limited *limited = arg;
	struct ipc_sub late;
	struct got got;
	int end = 1, i;

	CHECK(!open_limited(limited));
	CHECK(can_send(&limited->ring, limited->sender.id, LIMIT));
	for (i = 0; i < 1000; i++) {
		CHECK(send_fds(&limited->ring, limited->sender.id, i, &end, 1) ==
		      IPC_NUM);
		CHECK(recv_fds(&limited->ring, limited->receiver.id, &got, 1) == i);
		CHECK(got.info.fds == 1 && !close(got.fds[0]));
	}
	/* The latest ones are still there. */
	CHECK(!ipc_attach(&limited->ring, limited->channel,
			  IOIPC_SUB_RECV | IOIPC_SUB_HISTORY, &late));
	do {
		CHECK(recv_fds(&limited->ring, late.id, &got, 1) >= 0);
		CHECK(got.info.fds == 1 && !close(got.fds[0]));
	} while (got.num != 999);
	return 0;
}

TEST(history_does_not_count_for_long)
{
	static struct limited limited = { .flags = IOIPC_F_BROADCAST };
	struct ipc_who who = { IPC_UID, IPC_GID, 0 };

	EXPECT_EQ(0, ipc_as(who, history, &limited));
}

/* Tests of broadcasts. */
FIXTURE(shared) {
	struct io_uring ring;
	__u32 channel;
	struct ipc_sub sender, receiver;
};

FIXTURE_VARIANT(shared) {
	__u32 flags, sub_flags;
};

FIXTURE_VARIANT_ADD(shared, overwrite) {
	.flags = IOIPC_F_OVERWRITE,
};

FIXTURE_VARIANT_ADD(shared, lossy) {
	.sub_flags = IOIPC_SUB_LOSSY,
};

FIXTURE_SETUP(shared)
{
	ASSERT_EQ(0, ipc_open(&self->ring));
	ASSERT_EQ(0, ipc_create(&self->ring, variant->flags | IOIPC_F_BROADCAST,
				SLOTS, 64, &self->channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_SEND,
				&self->sender));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel,
				variant->sub_flags | IOIPC_SUB_RECV,
				&self->receiver));
}

FIXTURE_TEARDOWN(shared)
{
	io_uring_queue_exit(&self->ring);
}

TEST_F_TIMEOUT(shared, each_receiver_gets_its_own, IPC_TIMEOUT)
{
	enum { COUNT = 5 };
	struct ipc_sub more[COUNT];
	struct got got;
	int read, i, fds[COUNT];

	for (i = 0; i < COUNT; i++)
		ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_RECV,
					&more[i]));
	ASSERT_EQ(IPC_NUM, send_pipe(&self->ring, self->sender.id, 1, &read));
	for (i = 0; i < COUNT; i++) {
		/* One of them does not want any. */
		if (i == 2) {
			EXPECT_EQ(1, ipc_recv_num(&self->ring, more[i].id));
			fds[i] = dup(0);
			continue;
		}
		ASSERT_EQ(1, recv_fds(&self->ring, more[i].id, &got, ROOM));
		ASSERT_EQ(1, got.info.fds);
		fds[i] = got.fds[0];
		EXPECT_TRUE(is_end_of(fds[i], read));
	}
	/* Descriptors outlive the message. */
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->ring, self->channel));
	for (i = 0; i < COUNT; i++)
		ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring, more[i].id));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring, self->receiver.id));
	for (i = 0; i < COUNT; i++) {
		EXPECT_TRUE(is_open(read));
		close(fds[i]);
	}
	EXPECT_TRUE(is_closed(read));
}

TEST_F_TIMEOUT(shared, lost, IPC_TIMEOUT)
{
	struct got got;
	int read, i;

	ASSERT_EQ(IPC_NUM, send_pipe(&self->ring, self->sender.id, 0, &read));
	for (i = 1; i < SLOTS; i++)
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sender.id, i));
	EXPECT_TRUE(is_open(read));
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sender.id, SLOTS));
	EXPECT_TRUE(is_closed(read));
	EXPECT_EQ(0, ipc_fdinfo(self->receiver.fd, "ioipc-fds"));
	ASSERT_LT(0, recv_fds(&self->ring, self->receiver.id, &got, ROOM));
	EXPECT_LT(0, got.info.lost);
	EXPECT_EQ(0, got.info.fds);
	EXPECT_EQ(0, got.info.flags);
}

TEST_F_TIMEOUT(shared, history, IPC_TIMEOUT)
{
	struct ipc_sub late;
	struct got got;
	int read;

	ASSERT_EQ(IPC_NUM, send_pipe(&self->ring, self->sender.id, 0, &read));
	ASSERT_EQ(0, recv_fds(&self->ring, self->receiver.id, &got, ROOM));
	close(got.fds[0]);
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel,
				IOIPC_SUB_RECV | IOIPC_SUB_HISTORY, &late));
	ASSERT_EQ(0, recv_fds(&self->ring, late.id, &got, ROOM));
	ASSERT_EQ(1, got.info.fds);
	EXPECT_TRUE(is_end_of(got.fds[0], read));
}

/* A receiver that reads in place gets none, and they are not there for ever. */
TEST_F_TIMEOUT(shared, in_place, IPC_TIMEOUT)
{
	struct io_uring_ipc_channel_attach attach = {
		.channel_id = self->channel, .flags = IOIPC_SUB_RECV,
	};
	struct ipc_message message;
	struct ipc_map map;
	int reads[2 * SLOTS], i;
	struct got got;

	ASSERT_EQ(0, io_uring_ipc_channel_attach(&self->ring, &attach));
	ASSERT_EQ(0, ipc_map(&map, &attach));
	for (i = 0; i < 2 * SLOTS; i++) {
		ASSERT_EQ(IPC_NUM, send_pipe(&self->ring, self->sender.id, i,
					     &reads[i]));
		ASSERT_TRUE(ipc_peek(&map, &message));
		EXPECT_EQ(i, *(__u64 *)message.data);
		ipc_consume(&map);
		/* The same receiver can take the files too. */
		i++;
		ASSERT_EQ(IPC_NUM, send_pipe(&self->ring, self->sender.id, i,
					     &reads[i]));
		ASSERT_EQ(i, recv_fds(&self->ring, map.id, &got, ROOM));
		ASSERT_EQ(1, got.info.fds);
		EXPECT_TRUE(is_end_of(got.fds[0], reads[i]));
		close(got.fds[0]);
		map.next++;
	}
	for (i = 0; i < SLOTS; i++)
		EXPECT_TRUE(is_closed(reads[i]));
	EXPECT_TRUE(is_open(reads[2 * SLOTS - 1]));
}

/* A message of several slots, again and again across the end of the ring. */
TEST(several_slots)
{
	enum { LEN = 150, ROUNDS = 50 };
	struct io_uring_ipc_channel_create create =
		ipc_create_args(0, 16, 256);
	struct io_uring_ipc_channel_ext ext = { .slot_size = 64 };
	struct {
		struct io_uring_ipc_msg_info info;
		char data[LEN];
	} large;
	struct ipc_sub sender, receiver;
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	char data[LEN];
	int kind, i, read, end, fds[2];

	ASSERT_EQ(0, ipc_open(&ring));
	for (kind = 0; kind < 3; kind++) {
		create.flags = kind;
		if (kind == 2)
			create.flags = IOIPC_F_MULTICAST;
		ASSERT_EQ(0, io_uring_ipc_channel_create_ext(&ring, &create, &ext));
		ASSERT_EQ(0, ipc_attach(&ring, create.channel_id_out,
					IOIPC_SUB_SEND, &sender));
		ASSERT_EQ(0, ipc_attach(&ring, create.channel_id_out,
					IOIPC_SUB_RECV, &receiver));
		for (i = 0; i < ROUNDS; i++) {
			int len = 1 + i * 37 % LEN;

			ipc_fill(data, len, i);
			ASSERT_TRUE(open_pipes(&read, &end, 1));
			sqe = msg_get_send(&ring, sender.id, data, len, 0);
			ipc_sqe_set_send_fds(sqe, &end, 1);
			ASSERT_EQ(len, msg_run(&ring, sqe));
			close(end);
			sqe = msg_get_recv(&ring, receiver.id, &large,
					   sizeof(large), IOIPC_RECV_INFO);
			ipc_sqe_set_recv_fds(sqe, fds, 2);
			ASSERT_EQ(MSG_INFO + len, msg_run(&ring, sqe));
			EXPECT_TRUE(ipc_filled(large.data, len, i));
			ASSERT_EQ(1, large.info.fds);
			EXPECT_TRUE(is_end_of(fds[0], read));
			close(fds[0]);
			close(read);
		}
		ASSERT_EQ(0, io_uring_ipc_channel_destroy(&ring,
							  create.channel_id_out));
	}
	io_uring_queue_exit(&ring);
}

/*
 * Senders, receivers of all kinds, and subscribers that come and go.  At the end
 * nobody has any of the files.
 */
enum { RACERS = 4, FILES = 8 };

struct race {
	__u32	channel;
	int	ends[FILES];
	bool	stop;
	int	passed;
};

static void *race_send(void *arg)
{
	struct race *race = arg;
	struct io_uring ring;
	__u32 seed = 3;
	int fds[3], i;

	if (ipc_open(&ring))
		return "open";
	while (!__atomic_load_n(&race->stop, __ATOMIC_RELAXED)) {
		int count = ipc_random(&seed) % 4;

		for (i = 0; i < count; i++)
			fds[i] = race->ends[ipc_random(&seed) % FILES];
		if (count)
			send_fds(&ring, race->channel, 1, fds, count);
		else
			ipc_send_num(&ring, race->channel, 1);
	}
	io_uring_queue_exit(&ring);
	return NULL;
}

static void *race_receive(void *arg)
{
	struct race *race = arg;
	struct io_uring ring;
	__u32 seed = 5 + gettid();
	struct ipc_sub sub;
	struct got got;

	while (!__atomic_load_n(&race->stop, __ATOMIC_RELAXED)) {
		int i, ret;

		if (ipc_open(&ring))
			return "open";
		if (ipc_attach(&ring, race->channel, IOIPC_SUB_RECV, &sub))
			return "attach";
		for (i = ipc_random(&seed) % 100; i; i--) {
			switch (ipc_random(&seed) % 4) {
			case 0:
				ipc_recv_num(&ring, sub.id);
				break;
			case 1:
				msg_recv(&ring, sub.id, &got, sizeof(got),
					 IOIPC_RECV_BUNDLE);
				break;
			default:
				ret = recv_fds(&ring, sub.id, &got, 2);
				if (ret < 0)
					break;
				if (got.info.fds > 2)
					return "more than there is room for";
				close_all(got.fds, got.info.fds);
				__atomic_add_fetch(&race->passed, got.info.fds,
						   __ATOMIC_RELAXED);
			}
		}
		close(sub.fd);
		io_uring_queue_exit(&ring);
	}
	return NULL;
}

static void race(struct __test_metadata *_metadata, __u32 flags)
{
	struct race race = {};
	pthread_t threads[RACERS];
	int reads[FILES], i;
	struct io_uring ring;
	double end;

	ASSERT_EQ(0, ipc_open(&ring));
	ASSERT_EQ(0, ipc_create(&ring, flags, 16, 64, &race.channel));
	ASSERT_TRUE(open_pipes(reads, race.ends, FILES));
	for (i = 0; i < RACERS; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, i < RACERS / 2 ?
					    race_send : race_receive, &race));
	end = ipc_now() + 2;
	while (ipc_go_on(end, __atomic_load_n(&race.passed, __ATOMIC_RELAXED) > 100))
		ipc_nap(10000);
	__atomic_store_n(&race.stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < RACERS; i++) {
		void *failed;

		ASSERT_EQ(0, pthread_join(threads[i], &failed));
		EXPECT_EQ(NULL, failed)
			TH_LOG("%s", (char *)failed);
	}
	EXPECT_LT(100, race.passed);
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&ring, race.channel));
	close_all(race.ends, FILES);
	for (i = 0; i < FILES; i++)
		EXPECT_TRUE(is_closed(reads[i]));
	io_uring_queue_exit(&ring);
}

TEST(race_in_a_queue)
{
	race(_metadata, IOIPC_F_MULTICAST);
}

TEST(race_in_a_broadcast)
{
	race(_metadata, IOIPC_F_BROADCAST | IOIPC_F_OVERWRITE);
}

IPC_HARNESS_MAIN
