// SPDX-License-Identifier: GPL-2.0
/* How much memory channels take, and which user is charged. */
#include <sys/epoll.h>
#include <sys/sysinfo.h>

#include "uffd.h"

#define MIB	(1U << 20)

/* Each test has a separate user, so that no user is charged for two tests. */
enum { FIRST_UID = 5000 };

static int create(struct io_uring *ring, __u32 bytes, __u32 *channel)
{
	return ipc_create(ring, 0, 8, bytes / 8, channel);
}

FIXTURE(memory) {
	struct io_uring ring;
};

FIXTURE_SETUP(memory)
{
	ASSERT_EQ(0, ipc_open(&self->ring));
}

FIXTURE_TEARDOWN(memory)
{
	io_uring_queue_exit(&self->ring);
}

/*
 * Drops the privileges, and opens a ring that must stay within a limit, with a
 * margin for the ring itself.
 */
static void open_limited(struct __test_metadata *_metadata, int user,
			 rlim_t bytes, struct io_uring *ring)
{
	const struct ipc_who who = { FIRST_UID + user, FIRST_UID, 0 };
	struct rlimit limit = {
		.rlim_cur = bytes + MIB / 4,
		.rlim_max = bytes + MIB / 4,
	};

	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
	ipc_become(who);
	ASSERT_EQ(0, ipc_open(ring));
}

#define SKIP_UNLESS_ROOT() do {						\
	if (geteuid())							\
		SKIP(return, "needs to be root");			\
} while (0)

TEST_F_TIMEOUT(memory, limit_of_one_channel, IPC_TIMEOUT)
{
	struct io_uring ring;
	__u32 channel;

	SKIP_UNLESS_ROOT();
	open_limited(_metadata, 1, 2 * MIB, &ring);
	EXPECT_EQ(-ENOMEM, create(&ring, 4 * MIB, &channel));
	EXPECT_EQ(-ENOMEM, ipc_create(&ring, 0, 32768, 64, &channel));
	EXPECT_EQ(-ENOMEM, ipc_create(&ring, 0, 1024, IOIPC_MAX_MSG_SIZE,
				      &channel));
	EXPECT_EQ(0, create(&ring, MIB, &channel));
}

TEST_F_TIMEOUT(memory, limit_of_all_channels, IPC_TIMEOUT)
{
	struct io_uring ring, other;
	__u32 first, second, third;

	SKIP_UNLESS_ROOT();
	open_limited(_metadata, 2, 2 * MIB, &ring);
	/* The limit holds for all rings of the user together. */
	ASSERT_EQ(0, ipc_open(&other));
	ASSERT_EQ(0, create(&ring, MIB, &first));
	EXPECT_EQ(-ENOMEM, create(&ring, 2 * MIB, &third));
	ASSERT_EQ(0, create(&other, MIB / 2, &second));
	EXPECT_EQ(-ENOMEM, create(&other, MIB, &third));
	EXPECT_EQ(-ENOMEM, create(&ring, MIB, &third));

	/* Freed memory can be charged again. */
	EXPECT_EQ(0, io_uring_ipc_channel_destroy(&ring, first));
	EXPECT_EQ(0, create(&other, MIB, &third));
	EXPECT_EQ(-ENOMEM, create(&ring, MIB, &first));
}

TEST_F_TIMEOUT(memory, limit_of_all_processes, IPC_TIMEOUT)
{
	struct io_uring ring;
	int said[2], quit[2];
	char byte = 0;
	__u32 channel;
	pid_t pid;

	SKIP_UNLESS_ROOT();
	ASSERT_EQ(0, pipe(said));
	ASSERT_EQ(0, pipe(quit));
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		open_limited(_metadata, 3, 2 * MIB, &ring);
		ASSERT_EQ(0, create(&ring, MIB, &channel));
		ASSERT_EQ(1, write(said[1], "c", 1));
		_exit(read(quit[0], &byte, 1) != 1);
	}
	ASSERT_EQ(1, read(said[0], &byte, 1));
	open_limited(_metadata, 3, 2 * MIB, &ring);
	EXPECT_EQ(-ENOMEM, create(&ring, 3 * MIB / 2, &channel));
	ASSERT_EQ(1, write(quit[1], "q", 1));
	EXPECT_EQ(0, ipc_wait(pid));
	EXPECT_EQ(0, create(&ring, 3 * MIB / 2, &channel));
}

/* The user pays for the memory as long as it is in use. */
TEST_F_TIMEOUT(memory, charged_until_unmapped, IPC_TIMEOUT)
{
	const struct io_uring_ipc_ring *map;
	struct io_uring ring;
	struct ipc_sub sub;
	__u32 channel;
	double end;

	SKIP_UNLESS_ROOT();
	open_limited(_metadata, 4, 2 * MIB, &ring);
	ASSERT_EQ(0, create(&ring, MIB, &channel));
	ASSERT_EQ(0, ipc_attach(&ring, channel, IOIPC_SUB_RECV, &sub));
	map = ipc_region(&sub);
	ASSERT_NE(NULL, map);
	EXPECT_EQ(0, io_uring_ipc_channel_destroy(&ring, channel));
	EXPECT_EQ(-ENOMEM, create(&ring, 3 * MIB / 2, &channel));
	EXPECT_EQ(0, io_uring_ipc_channel_detach(&ring, sub.id));
	EXPECT_EQ(0, close(sub.fd));
	/* Long enough for a charge that was dropped too early to be gone. */
	for (end = ipc_now() + 1; ipc_now() < end; ipc_nap(10000)) {
		ASSERT_EQ(-ENOMEM, create(&ring, 3 * MIB / 2, &channel));
	}
	EXPECT_EQ(0, munmap((void *)map, sub.region_size));
	EXPECT_EQ(0, create(&ring, 3 * MIB / 2, &channel));
}

/*
 * As another user, has a send to the channel whose id it reads: one that could
 * wait, and that comes after a request that does not end.
 */
static void hold(struct __test_metadata *_metadata, int told, int said)
{
	const struct ipc_who stranger = { FIRST_UID + 100, FIRST_UID + 100, 0 };
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	__u32 channel;
	int never[2];
	char byte;

	ipc_become(stranger);
	ASSERT_EQ(sizeof(channel), read(told, &channel, sizeof(channel)));
	ASSERT_EQ(0, pipe(never));
	ASSERT_EQ(0, ipc_open(&ring));
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_poll_add(sqe, never[0], POLLIN);
	sqe->flags |= IOSQE_IO_LINK;
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_ipc_send(sqe, channel, &byte, 1, 0, IOIPC_SEND_WAIT);
	sqe->flags |= IOSQE_ASYNC;
	ASSERT_EQ(2, io_uring_submit(&ring));
	ASSERT_EQ(1, write(said, "h", 1));
	_exit(read(told, &byte, 1) != 1);
}

/* A user that may not use a channel cannot hold its memory either. */
TEST_F_TIMEOUT(memory, a_stranger_cannot_hold_it, IPC_TIMEOUT)
{
	int tell[2], said[2];
	struct io_uring ring;
	__u32 channel, next;
	char byte;
	pid_t pid;

	SKIP_UNLESS_ROOT();
	ASSERT_EQ(0, pipe(tell));
	ASSERT_EQ(0, pipe(said));
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid)
		hold(_metadata, tell[0], said[1]);
	open_limited(_metadata, 8, 2 * MIB, &ring);
	ASSERT_EQ(0, create(&ring, MIB, &channel));
	ASSERT_EQ(sizeof(channel), write(tell[1], &channel, sizeof(channel)));
	ASSERT_EQ(1, read(said[0], &byte, 1));
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&ring, channel));
	EXPECT_EQ(0, create(&ring, 3 * MIB / 2, &next));
	ASSERT_EQ(1, write(tell[1], "q", 1));
	EXPECT_EQ(0, ipc_wait(pid));
}

TEST_F_TIMEOUT(memory, end_of_a_ring_gives_back, IPC_TIMEOUT)
{
	struct io_uring ring, victim;
	struct ipc_sub sub;
	__u32 channel;
	int i;

	SKIP_UNLESS_ROOT();
	open_limited(_metadata, 5, 2 * MIB, &ring);
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, ipc_open(&victim));
		EXPECT_EQ(0, create(&victim, 3 * MIB / 2, &channel));
		ASSERT_EQ(0, ipc_attach(&victim, channel, IOIPC_SUB_BOTH,
					&sub));
		EXPECT_EQ(-ENOMEM, create(&ring, MIB, &channel));
		io_uring_queue_exit(&victim);
		ASSERT_EQ(0, close(sub.fd));
	}
	EXPECT_EQ(0, create(&ring, 3 * MIB / 2, &channel));
}

/* A CREATE that fails has not charged anything. */
TEST_F_TIMEOUT(memory, failures_are_free, IPC_TIMEOUT)
{
	struct io_uring_ipc_channel_create *args = (void *)ipc_pages(1);
	__u64 key = ipc_new_key();
	struct io_uring ring;
	__u32 channel;
	int i;

	SKIP_UNLESS_ROOT();
	ASSERT_NE(NULL, args);
	open_limited(_metadata, 6, 2 * MIB, &ring);
	ASSERT_EQ(0, ipc_create_key(&ring, 0, key, 0600, &channel));
	*args = ipc_create_args(0, 8, MIB / 8);
	args->key = key;
	for (i = 0; i < 20; i++) {
		EXPECT_EQ(-ENOMEM, create(&ring, 4 * MIB, &channel));
		EXPECT_EQ(-EEXIST, io_uring_ipc_channel_create(&ring, args));
	}
	args->key = 0;
	ASSERT_EQ(0, mprotect(args, sysconf(_SC_PAGESIZE), PROT_READ));
	for (i = 0; i < 20; i++) {
		EXPECT_EQ(-EFAULT, io_uring_ipc_channel_create(&ring, args));
	}
	EXPECT_EQ(0, create(&ring, 3 * MIB / 2, &channel));
}

/*
 * Creates channels of this many MiB each until CREATE fails; returns how many
 * there are, or -1 if the error is not ENOMEM.
 */
static int create_all(struct io_uring *ring, __u32 mib, __u32 *channels, int max)
{
	int i, error;

	for (i = 0; i < max; i++) {
		error = ipc_create(ring, 0, mib, MIB, &channels[i]);
		if (error)
			return error == -ENOMEM ? i : -1;
	}
	return -1;
}

/*
 * Creates large channels, then ever smaller ones beside them, until none fits.
 * Another process finds @spare MiB then, if that is not 0.  Returns how many MiB
 * the channels had.
 */
static int use_up(struct __test_metadata *_metadata, struct io_uring *ring,
		  __u32 spare)
{
	static const __u32 sizes[] = { 256, 32, 4, 1 };
	enum { MOST = 128 };
	__u32 channels[ARRAY_SIZE(sizes) * MOST];
	int fit[ARRAY_SIZE(sizes)], count = 0, mib = 0;
	pid_t late;
	char *mem;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		fit[i] = create_all(ring, sizes[i], channels + count, MOST);
		ASSERT_LE(0, fit[i]);
		count += fit[i];
		mib += fit[i] * sizes[i];
	}
	TH_LOG("%d channels of %u MiB, %d of %u, %d of %u, %d of %u", fit[0],
	       sizes[0], fit[1], sizes[1], fit[2], sizes[2], fit[3], sizes[3]);
	if (spare) {
		late = ipc_fork();
		ASSERT_LE(0, late);
		if (!late) {
			mem = malloc(spare * MIB);
			if (!mem)
				_exit(1);
			ipc_fill(mem, spare * MIB, 1);
			_exit(!ipc_filled(mem, spare * MIB, 1));
		}
		EXPECT_EQ(0, ipc_wait(late));
	}
	while (count)
		ASSERT_EQ(0, io_uring_ipc_channel_destroy(ring, channels[--count]));
	return mib;
}

#define CGROUP		"/sys/fs/cgroup/ipc_memory"

/*
 * An unrelated process that has more memory in use than any other.  In the
 * memory cgroup or not.
 */
static pid_t start_innocent(struct __test_metadata *_metadata, size_t size,
			    bool cgroup, int *quit)
{
	int ready[2], end[2];
	char byte, *mem;
	pid_t pid;

	ASSERT_EQ(0, pipe(ready));
	ASSERT_EQ(0, pipe(end));
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		if (cgroup)
			ASSERT_TRUE(ipc_put(CGROUP "/cgroup.procs", "0"));
		mem = malloc(size);
		ASSERT_NE(NULL, mem);
		ipc_fill(mem, size, 1);
		ASSERT_EQ(1, write(ready[1], "r", 1));
		ASSERT_EQ(1, read(end[0], &byte, 1));
		_exit(!ipc_filled(mem, size, 1));
	}
	ASSERT_EQ(1, read(ready[0], &byte, 1));
	*quit = end[1];
	return pid;
}

/*
 * Uses up the memory except @spare MiB, frees it, and gets as much again, less
 * some MiB that may be held elsewhere.
 */
static void use_up_twice(struct __test_metadata *_metadata, __u32 spare,
			 __u32 elsewhere)
{
	struct io_uring ring;
	int first, second;

	ASSERT_EQ(0, ipc_open(&ring));
	first = use_up(_metadata, &ring, spare);
	EXPECT_LT(0, first);
	second = use_up(_metadata, &ring, spare);
	EXPECT_LE(first, second + elsewhere);
	io_uring_queue_exit(&ring);
}

/* In a full memory cgroup, CREATE fails, and no process is killed. */
TEST_F_TIMEOUT(memory, a_full_cgroup_kills_nobody, IPC_TIMEOUT)
{
	pid_t innocent, creator;
	int quit;

	SKIP_UNLESS_ROOT();
	ipc_put("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	mkdir(CGROUP, 0755);
	if (!ipc_put(CGROUP "/memory.max", "128M"))
		SKIP(return, "no memory cgroups");
	innocent = start_innocent(_metadata, 48 * MIB, true, &quit);
	creator = ipc_fork();
	ASSERT_LE(0, creator);
	if (!creator) {
		ASSERT_TRUE(ipc_put(CGROUP "/cgroup.procs", "0"));
		use_up_twice(_metadata, 0, 0);
		_exit(0);
	}
	EXPECT_EQ(0, ipc_wait(creator));
	ASSERT_EQ(1, write(quit, "q", 1));
	EXPECT_EQ(0, ipc_wait(innocent));
	/* The cgroup was full. */
	EXPECT_LT(0, ipc_get(CGROUP "/memory.events", "max"));
	EXPECT_EQ(0, ipc_get(CGROUP "/memory.events", "oom"));
	EXPECT_EQ(0, ipc_get(CGROUP "/memory.events", "oom_kill"));
}

/* The same on a machine without free memory. */
TEST_F_TIMEOUT(memory, a_full_machine_kills_nobody, IPC_TIMEOUT)
{
	long killed = ipc_get("/proc/vmstat", "oom_kill");
	pid_t innocent, creator;
	struct sysinfo info;
	int quit;

	SKIP_UNLESS_ROOT();
	ASSERT_EQ(0, sysinfo(&info));
	if (info.totalram / MIB * info.mem_unit > 4096)
		SKIP(return, "has too much memory to use it up");
	ASSERT_LE(0, killed);
	innocent = start_innocent(_metadata, 100 * MIB, false, &quit);
	creator = ipc_fork();
	ASSERT_LE(0, creator);
	if (!creator) {
		/* Processors keep up to an eighth of the free memory. */
		use_up_twice(_metadata, 2, info.totalram / MIB * info.mem_unit / 4);
		_exit(0);
	}
	EXPECT_EQ(0, ipc_wait(creator));
	ASSERT_EQ(1, write(quit, "q", 1));
	EXPECT_EQ(0, ipc_wait(innocent));
	EXPECT_EQ(killed, ipc_get("/proc/vmstat", "oom_kill"));
}

/* In which order a channel and its only subscriber are removed. */
static void give_up(struct __test_metadata *_metadata, struct io_uring *ring,
		    __u32 channel, const struct ipc_sub *sub, int order)
{
	static const char orders[][4] = { "hcd", "dch", "cdh", "hdc", "dhc", "chd" };
	const char *step;

	for (step = orders[order % ARRAY_SIZE(orders)]; *step; step++) {
		switch (*step) {
		case 'h':
			ASSERT_EQ(0, io_uring_ipc_channel_detach(ring, sub->id));
			break;
		case 'c':
			ASSERT_EQ(0, close(sub->fd));
			break;
		case 'd':
			ASSERT_EQ(0, io_uring_ipc_channel_destroy(ring, channel));
			break;
		}
	}
}

/* The next channel gets the freed memory, at the first attempt. */
TEST_F_TIMEOUT(memory, given_back_to_the_next_channel, IPC_TIMEOUT)
{
	enum { ROUNDS = 24 };
	const struct io_uring_ipc_ring *map;
	struct io_uring ring;
	__u32 channel, other;
	struct ipc_sub sub;
	int i;

	SKIP_UNLESS_ROOT();
	open_limited(_metadata, 9, 2 * MIB, &ring);
	/* Only the channel */
	for (i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(0, create(&ring, 3 * MIB / 2, &channel));
		ASSERT_EQ(-ENOMEM, create(&ring, MIB, &other));
		ASSERT_EQ(0, io_uring_ipc_channel_destroy(&ring, channel));
	}
	/* with a subscriber that has used it */
	for (i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(0, create(&ring, 3 * MIB / 2, &channel));
		ASSERT_EQ(0, ipc_attach(&ring, channel, IOIPC_SUB_BOTH, &sub));
		ASSERT_EQ(IPC_NUM, ipc_send_num(&ring, sub.id, i));
		map = ipc_region(&sub);
		ASSERT_NE(NULL, map);
		ASSERT_EQ(0, munmap((void *)map, sub.region_size));
		give_up(_metadata, &ring, channel, &sub, i);
	}
}

/* The same for a ring that was closed, or a process that was killed. */
TEST_F_TIMEOUT(memory, given_back_by_what_has_ended, IPC_TIMEOUT)
{
	enum { ROUNDS = 20 };
	struct io_uring ring, victim;
	struct ipc_sub sub;
	__u32 channel;
	int said[2], i;
	char byte = 0;
	pid_t pid;

	SKIP_UNLESS_ROOT();
	ASSERT_EQ(0, pipe(said));
	open_limited(_metadata, 10, 2 * MIB, &ring);
	for (i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(0, ipc_open(&victim));
		ASSERT_EQ(0, create(&victim, 3 * MIB / 2, &channel));
		ASSERT_EQ(0, ipc_attach(&victim, channel, IOIPC_SUB_BOTH, &sub));
		io_uring_queue_exit(&victim);
		ASSERT_EQ(0, close(sub.fd));
	}
	for (i = 0; i < ROUNDS; i++) {
		pid = ipc_fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			ASSERT_EQ(0, ipc_open(&victim));
			ASSERT_EQ(0, create(&victim, 3 * MIB / 2, &channel));
			ASSERT_EQ(0, ipc_attach(&victim, channel,
						IOIPC_SUB_BOTH, &sub));
			ASSERT_NE(NULL, ipc_region(&sub));
			ASSERT_EQ(1, write(said[1], &byte, 1));
			pause();
		}
		ASSERT_EQ(1, read(said[0], &byte, 1));
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(128 + SIGKILL, ipc_wait(pid));
		ASSERT_EQ(0, create(&ring, 3 * MIB / 2, &channel));
		ASSERT_EQ(0, io_uring_ipc_channel_destroy(&ring, channel));
	}
}

struct sleeper {
	struct uffd page;
	int epoll;
};

static void *sleep_in_epoll(void *arg)
{
	struct sleeper *sleeper = arg;

	epoll_wait(sleeper->epoll, (void *)sleeper->page.mem, 1, -1);
	return NULL;
}

/*
 * Detaches a subscriber while another thread sleeps in epoll_wait(), with the
 * lock that the release of the file needs.
 */
static void detach_and_block(struct __test_metadata *_metadata, __u32 channel,
			     int said)
{
	struct epoll_event event = { .events = EPOLLOUT };
	struct sleeper sleeper;
	struct io_uring ring;
	struct ipc_sub sub;
	pthread_t thread;

	ASSERT_EQ(0, uffd_open(&sleeper.page, 0));
	sleeper.epoll = epoll_create1(EPOLL_CLOEXEC);
	ASSERT_LE(0, sleeper.epoll);
	ASSERT_EQ(0, ipc_open(&ring));
	ASSERT_EQ(0, ipc_attach(&ring, channel, IOIPC_SUB_BOTH, &sub));
	ASSERT_EQ(0, epoll_ctl(sleeper.epoll, EPOLL_CTL_ADD, sub.fd, &event));
	ASSERT_EQ(0, pthread_create(&thread, NULL, sleep_in_epoll, &sleeper));
	ASSERT_TRUE(uffd_wait(&sleeper.page));
	ASSERT_EQ(0, close(sub.fd));
	ASSERT_EQ(sizeof(sub.id), write(said, &sub.id, sizeof(sub.id)));
	io_uring_ipc_channel_detach(&ring, sub.id);
	pause();
}

/*
 * A task that blocks the release of a file blocks no CREATE that needs memory.
 */
TEST_F_TIMEOUT(memory, nobody_waits_for_the_file_of_another, IPC_TIMEOUT)
{
	__u32 channel, other, target;
	struct io_uring ring;
	pid_t blocker, pid;
	int said[2], i;

	SKIP_UNLESS_ROOT();
	ASSERT_EQ(0, pipe(said));
	ASSERT_EQ(0, ipc_create(&self->ring, 0, 8, 64, &other));
	blocker = ipc_fork();
	ASSERT_LE(0, blocker);
	if (!blocker)
		detach_and_block(_metadata, other, said[1]);
	ASSERT_EQ(sizeof(target), read(said[0], &target, sizeof(target)));
	EXPECT_TRUE(ipc_poll(ipc_send_to(&self->ring, other, "", 1, target) ==
			     -ENOENT));
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		open_limited(_metadata, 11, 2 * MIB, &ring);
		for (i = 0; i < 4; i++) {
			ASSERT_EQ(0, create(&ring, 3 * MIB / 2, &channel));
			ASSERT_EQ(0, io_uring_ipc_channel_destroy(&ring,
								  channel));
		}
		_exit(0);
	}
	EXPECT_EQ(0, ipc_wait(pid));
	EXPECT_EQ(0, kill(blocker, SIGKILL));
	EXPECT_EQ(128 + SIGKILL, ipc_wait(blocker));
}

/* As for rings, the memory of a user that may lock memory has no limit. */
TEST_F_TIMEOUT(memory, no_limit_with_the_capability, IPC_TIMEOUT)
{
	struct rlimit none = {};
	struct io_uring ring;
	__u32 channel;

	SKIP_UNLESS_ROOT();
	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &none));
	ASSERT_EQ(0, ipc_open(&ring));
	EXPECT_EQ(0, create(&ring, 2 * MIB, &channel));
}

/* The whole region can be mapped, and it is not much larger than necessary. */
TEST_F_TIMEOUT(memory, size_of_the_region, IPC_TIMEOUT)
{
	static const struct {
		__u32 entries, size;
	} shapes[] = {
		{ 1, 1 }, { 1, 64 }, { 1, 65 }, { 64, 1 }, { 64, 64 },
		{ 128, 100 }, { 8, 4096 }, { 8, 4097 }, { 1024, 1000 },
		{ 32768, 1 }, { 16, IOIPC_MAX_MSG_SIZE },
	};
	size_t page = sysconf(_SC_PAGESIZE), need, i;

	for (i = 0; i < ARRAY_SIZE(shapes); i++) {
		const struct io_uring_ipc_ring *map;
		struct ipc_sub sub;
		__u32 channel;

		ASSERT_EQ(0, ipc_create(&self->ring, 0, shapes[i].entries,
					shapes[i].size, &channel));
		ASSERT_EQ(0, ipc_attach(&self->ring, channel, IOIPC_SUB_RECV,
					&sub));
		need = sizeof(*map) + (size_t)shapes[i].entries *
		       (sizeof(map->msgs[0]) + (shapes[i].size + 63) / 64 * 64);
		EXPECT_LE(need, sub.region_size);
		EXPECT_GT(need + 2 * page, sub.region_size);
		map = ipc_region(&sub);
		ASSERT_NE(NULL, map);
		/* No sender has written the last byte. */
		EXPECT_EQ(0, ((const char *)map)[sub.region_size - 1]);
		EXPECT_EQ(0, munmap((void *)map, sub.region_size));
		EXPECT_EQ(0, io_uring_ipc_channel_destroy(&self->ring,
							  channel));
		EXPECT_EQ(0, io_uring_ipc_channel_detach(&self->ring, sub.id));
		EXPECT_EQ(0, close(sub.fd));
	}
}

TEST_F_TIMEOUT(memory, largest_messages, IPC_TIMEOUT)
{
	char *in, *out;
	struct ipc_sub sub;
	__u32 channel;
	int i, round;

	in = malloc(IOIPC_MAX_MSG_SIZE);
	out = malloc(IOIPC_MAX_MSG_SIZE);
	ASSERT_NE(NULL, in);
	ASSERT_NE(NULL, out);
	ASSERT_EQ(0, ipc_create(&self->ring, 0, 4, IOIPC_MAX_MSG_SIZE,
				&channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, channel, IOIPC_SUB_BOTH, &sub));
	for (round = 0; round < 2; round++) {
		for (i = 0; i < 4; i++) {
			ipc_fill(in, IOIPC_MAX_MSG_SIZE, i);
			ASSERT_EQ(IOIPC_MAX_MSG_SIZE,
				  ipc_send(&self->ring, sub.id, in,
					   IOIPC_MAX_MSG_SIZE));
		}
		EXPECT_EQ(-ENOBUFS, ipc_send(&self->ring, sub.id, in, 1));
		for (i = 0; i < 4; i++) {
			ASSERT_EQ(IOIPC_MAX_MSG_SIZE,
				  ipc_recv(&self->ring, sub.id, out,
					   IOIPC_MAX_MSG_SIZE));
			EXPECT_TRUE(ipc_filled(out, IOIPC_MAX_MSG_SIZE, i));
		}
	}
}

/* Uses all slots of the largest ring. */
TEST_F_TIMEOUT(memory, most_messages, IPC_TIMEOUT)
{
	enum { BATCH = 128 };
	struct io_uring_cqe *cqe;
	struct io_uring ring;
	__u64 num[BATCH];
	struct ipc_sub sub;
	int i, sent, head;
	__u32 channel;

	ASSERT_EQ(0, io_uring_queue_init(BATCH, &ring, 0));
	ASSERT_EQ(0, ipc_create(&ring, 0, IOIPC_MAX_RING_ENTRIES, 8, &channel));
	ASSERT_EQ(0, ipc_attach(&ring, channel, IOIPC_SUB_BOTH, &sub));
	for (sent = 0; sent < IOIPC_MAX_RING_ENTRIES; sent += BATCH) {
		for (i = 0; i < BATCH; i++) {
			num[i] = sent + i;
			io_uring_prep_ipc_send(io_uring_get_sqe(&ring), sub.id,
					       &num[i], 8, 0, 0);
		}
		ASSERT_EQ(BATCH, io_uring_submit_and_wait(&ring, BATCH));
		i = 0;
		io_uring_for_each_cqe(&ring, head, cqe) {
			ASSERT_EQ(8, cqe->res);
			i++;
		}
		ASSERT_EQ(BATCH, i);
		io_uring_cq_advance(&ring, i);
	}
	EXPECT_EQ(-ENOBUFS, ipc_send_num(&ring, sub.id, 0));
	/* The first messages and the last ones are enough to check. */
	EXPECT_EQ(BATCH, ipc_recv_nums(&ring, sub.id, 0, BATCH));
	EXPECT_EQ(BATCH, ipc_send_nums(&ring, sub.id, sent, sent + BATCH));
	EXPECT_EQ(-ENOBUFS, ipc_send_num(&ring, sub.id, 0));
	io_uring_queue_exit(&ring);
}

TEST_HARNESS_MAIN
