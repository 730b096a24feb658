// SPDX-License-Identifier: GPL-2.0
/*
 * The two ends of a command.  run.c gives a command with actor_call().  The process of the
 * actor runs it with do_command() and the functions before that, and does not call run.c.
 */

#include "actor.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "coverage.h"

/* Seconds until an actor counts as hung. */
#define DEADLINE	60
/* Milliseconds that an actor waits for a completion before it reports. */
#define REAP_WAIT	20

struct actor actors[ACTORS];

/* The memory that this process shares, and its rings, if the process is an actor. */
static struct actor_shared *self;
static struct {
	bool open;
	struct io_uring uring;
	struct io_uring_buf_ring *buffers;
} mine[RINGS + 1];

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static long futex(uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
	return syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

void actors_prepare(void)
{
	size_t size = sizeof(struct actor_shared);
	size_t argument = offsetof(struct actor_shared, argument);

	for (int i = 0; i < ACTORS; i++) {
		int fd = memfd_create("actor", MFD_CLOEXEC);
		char *memory;

		if (fd < 0 || ftruncate(fd, (off_t)size))
			die("memfd_create");
		/* The page behind this memory stays without memory. */
		memory = mmap(NULL, size + 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (memory != MAP_FAILED)
			memory = mmap(memory, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
				      fd, 0);
		if (memory == MAP_FAILED)
			die("mmap");
		actors[i].shared = (struct actor_shared *)memory;
		actors[i].read_only = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, (off_t)argument);
		if (actors[i].read_only == MAP_FAILED)
			die("mmap");
		close(fd);
	}
}

static int do_provide(unsigned int number, uint32_t first, uint32_t count)
{
	int error;

	if (!mine[number].buffers) {
		mine[number].buffers = io_uring_setup_buf_ring(&mine[number].uring, PROVIDED, 0,
							       0, &error);
		if (!mine[number].buffers)
			return error;
	}
	for (uint32_t i = 0; i < count; i++) {
		uint16_t id = (uint16_t)((first + i) % PROVIDED);

		io_uring_buf_ring_add(mine[number].buffers, self->provided[number][id],
				      PROVIDED_SIZE, id, io_uring_buf_ring_mask(PROVIDED), (int)i);
	}
	io_uring_buf_ring_advance(mine[number].buffers, (int)count);
	return 0;
}

static int do_unprovide(unsigned int number)
{
	int ret = 0;

	if (mine[number].buffers)
		ret = io_uring_free_buf_ring(&mine[number].uring, mine[number].buffers, PROVIDED,
					     0);
	mine[number].buffers = NULL;
	return ret;
}

static int do_open(struct actor_shared *shared)
{
	struct io_uring_params params = {
		.flags = shared->flags | IORING_SETUP_CQSIZE,
		.cq_entries = 256,
		.sq_thread_idle = 1,
	};
	struct iovec slots = { shared->slots, sizeof(shared->slots) };
	struct io_uring *uring = &mine[shared->ring].uring;
	int ret;

	ret = io_uring_queue_init_params(16, uring, &params);
	if (ret)
		return ret;
	mine[shared->ring].open = true;
	return shared->ring == CONTROL_RING ? 0 : io_uring_register_buffers(uring, &slots, 1);
}

static int do_close(unsigned int number)
{
	if (!mine[number].open)
		return 0;
	if (mine[number].buffers)
		/* The buffers end with the ring, which has requests that use them. */
		munmap(mine[number].buffers, PROVIDED * sizeof(struct io_uring_buf));
	mine[number].buffers = NULL;
	io_uring_queue_exit(&mine[number].uring);
	mine[number].open = false;
	return 0;
}

static int do_submit(struct actor_shared *shared)
{
	struct io_uring *uring = &mine[shared->ring].uring;
	int ret;

	for (uint32_t i = 0; i < shared->count; i++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(uring);

		if (!sqe)
			return -EBUSY;
		*sqe = shared->sqes[i];
	}
	do {
		ret = io_uring_submit(uring);
	} while (ret == -EINTR);
	if (ret < 0)
		return ret;
	/* A thread of the kernel takes the SQEs off the queue when it has issued them. */
	while (uring->flags & IORING_SETUP_SQPOLL && io_uring_sq_ready(uring))
		sched_yield();
	return 0;
}

/* Takes all completions. First waits a while for `count` completions. */
static int do_reap(struct actor_shared *shared)
{
	struct io_uring *uring = &mine[shared->ring].uring;
	struct __kernel_timespec wait = { .tv_nsec = REAP_WAIT * 1000000 };
	struct io_uring_cqe *cqe;
	int ret = 0;

	if (shared->count)
		ret = io_uring_wait_cqes(uring, &cqe, shared->count, &wait, NULL);
	else
		ret = io_uring_get_events(uring);
	shared->cqe_count = 0;
	while (shared->cqe_count < ARRAY_SIZE(shared->cqes) && !io_uring_peek_cqe(uring, &cqe)) {
		shared->cqes[shared->cqe_count++] = (struct actor_cqe) {
			.user_data = cqe->user_data,
			.res = cqe->res,
			.flags = cqe->flags,
		};
		io_uring_cqe_seen(uring, cqe);
	}
	return ret == -ETIME || ret == -EINTR ? 0 : ret < 0 ? ret : 0;
}

static int do_fdinfo(struct actor_shared *shared)
{
	char path[64];
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", shared->fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	len = read(fd, shared->copy, sizeof(shared->copy) - 1);
	shared->copy[len > 0 ? len : 0] = 0;
	close(fd);
	return len < 0 ? -EIO : 0;
}

static int64_t do_command(struct actor_shared *shared)
{
	struct pollfd pollfd = { .fd = shared->fd, .events = (short)shared->flags };
	void *address = (void *)(uintptr_t)shared->address;
	void *map;

	switch (shared->command) {
	case COMMAND_OPEN:
		return do_open(shared);
	case COMMAND_CLOSE:
		return do_close(shared->ring);
	case COMMAND_SUBMIT:
		return do_submit(shared);
	case COMMAND_REAP:
		return do_reap(shared);
	case COMMAND_REGISTER:
		return syscall(SYS_io_uring_register, mine[shared->ring].uring.ring_fd,
			       shared->flags, address, shared->count) ? -errno : 0;
	case COMMAND_MAP:
		map = mmap(NULL, shared->size, (int)shared->flags, (int)shared->count, shared->fd,
			   (off_t)shared->offset);
		return map == MAP_FAILED ? -errno : (int64_t)(uintptr_t)map;
	case COMMAND_UNMAP:
		return munmap(address, shared->size) ? -errno : 0;
	case COMMAND_CLOSE_FD:
		return close(shared->fd) ? -errno : 0;
	case COMMAND_POLL:
		return poll(&pollfd, 1, 0) < 0 ? -errno : pollfd.revents;
	case COMMAND_FDINFO:
		return do_fdinfo(shared);
	case COMMAND_COPY:
		memcpy(shared->copy, address, shared->size);
		return 0;
	case COMMAND_STORE:
		__atomic_store_n((uint32_t *)address, shared->flags, __ATOMIC_RELEASE);
		return 0;
	case COMMAND_PROVIDE:
		return do_provide(shared->ring, shared->flags, shared->count);
	case COMMAND_UNPROVIDE:
		return do_unprovide(shared->ring);
	}
	return -EINVAL;
}

/* Drops the privileges of root. A process in a user namespace is root there. */
static void become(int which)
{
	static const gid_t group = 1000;
	static const struct {
		uid_t uid;
		gid_t gid;
		bool grouped;
	} who[ACTORS] = {
		[ACTOR_OWNER] = { 1000, 1000, false },
		[ACTOR_GROUP] = { 1001, 1001, true },
	};

	if (setgroups(who[which].grouped, &group) ||
	    setresgid(who[which].gid, who[which].gid, who[which].gid) ||
	    setresuid(who[which].uid, who[which].uid, who[which].uid))
		die("setresuid");
	/* The change of credentials has cleared this setting. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void act(int which, int go)
{
	struct actor_shared *shared = actors[which].shared;
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	char byte;

	self = shared;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	/* Wait until the namespaces are set up. */
	if (read(go, &byte, 1) != 1)
		die("read");
	coverage_enable();
	become(which);
	for (;;) {
		while (__atomic_load_n(&shared->turn, __ATOMIC_ACQUIRE) != 1)
			futex(&shared->turn, FUTEX_WAIT, 0, NULL);
		coverage_begin();
		shared->result = do_command(shared);
		coverage_end();
		__atomic_store_n(&shared->turn, 0, __ATOMIC_RELEASE);
		futex(&shared->turn, FUTEX_WAKE, 1, NULL);
	}
}

static void write_map(int pid, const char *name, const char *text)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		die(path);
	close(fd);
}

static void start(int which)
{
	static const unsigned long flags[ACTORS] = {
		[ACTOR_CONTAINER] = CLONE_NEWUSER | CLONE_NEWPID,
		[ACTOR_ISOLATED] = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWIPC,
	};
	int go[2], pid;

	actors[which].shared->turn = 0;
	if (pipe2(go, O_CLOEXEC))
		die("pipe2");
	fflush(NULL);
	pid = (int)syscall(SYS_clone, flags[which] | SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid < 0)
		die("clone");
	actors[which].pid = pid;
	if (!pid) {
		close(go[1]);
		act(which, go[0]);
	}
	if (flags[which] & CLONE_NEWUSER) {
		/* The second user has another number in the namespace. */
		write_map(pid, "uid_map", "0 1000 1\n1 1001 1\n");
		write_map(pid, "gid_map", "0 1000 1\n1 1001 1\n");
	}
	if (write(go[1], "", 1) != 1)
		die("write");
	close(go[0]);
	close(go[1]);
}

void actors_start(void)
{
	for (int i = 0; i < ACTORS; i++)
		actors[i].pid = -1;
	for (int i = 0; i < ACTORS; i++)
		start(i);
}

void actors_stop(void)
{
	for (int i = 0; i < ACTORS; i++)
		kill(actors[i].pid, SIGKILL);
	for (int i = 0; i < ACTORS; i++)
		waitpid(actors[i].pid, NULL, 0);
}

int64_t actor_call(unsigned int actor, enum actor_command command)
{
	struct actor_shared *shared = actors[actor].shared;
	const struct timespec second = { .tv_sec = 1 };
	int left = DEADLINE;

	shared->command = command;
	__atomic_store_n(&shared->turn, 1, __ATOMIC_RELEASE);
	futex(&shared->turn, FUTEX_WAKE, 1, NULL);
	while (__atomic_load_n(&shared->turn, __ATOMIC_ACQUIRE)) {
		if (!left)
			return -ETIME;
		if (futex(&shared->turn, FUTEX_WAIT, 1, &second) && errno == ETIMEDOUT)
			left--;
	}
	return shared->result;
}
