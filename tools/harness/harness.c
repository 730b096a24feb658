// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

#define NS_PER_SECOND	1000000000ULL
#define MAX_CHILDREN	256
#define MAX_NAME	32

struct child {
	pid_t pid;
	char name[MAX_NAME];
};

static struct child children[MAX_CHILDREN];
static unsigned int nr_children;

/* Name of this process if it is a child. */
static char self[MAX_NAME];

void die(const char *fmt, ...)
{
	char sentence[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(sentence, sizeof(sentence), fmt, args);
	va_end(args);

	/* In one call, so that the lines of several processes do not mix. */
	fprintf(stderr, "%s%s%s: %s\n", program_invocation_short_name, *self ? ", " : "", self,
		sentence);
	exit(1);
}

uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

bool backoff(struct backoff *wait)
{
	static const long sleep_ns[] = { 50000, 100000, 200000 };
	const unsigned int yields = 4, sleeps = sizeof(sleep_ns) / sizeof(*sleep_ns);
	struct timespec pause = {};
	unsigned int step;

	if (!wait->tries)
		wait->start_ns = now_ns();
	if (wait->tries < yields) {
		wait->tries++;
		sched_yield();
		return true;
	}

	check_children();
	if (now_ns() - wait->start_ns > GIVE_UP_SECONDS * NS_PER_SECOND)
		return false;
	step = wait->tries - yields;
	pause.tv_nsec = sleep_ns[step];
	if (step < sleeps - 1)
		wait->tries++;
	nanosleep(&pause, NULL);
	return true;
}

void open_ring(struct io_uring *ring, unsigned int setup_flags)
{
	int ret = io_uring_queue_init(64, ring, setup_flags);

	if (ret)
		die("io_uring_queue_init: %s", strerror(-ret));
}

void require_ipc(void)
{
	struct io_uring_probe *probe;
	struct io_uring ring;

	open_ring(&ring, 0);
	probe = io_uring_get_probe_ring(&ring);
	if (!probe)
		die("io_uring_get_probe_ring failed");
	if (!io_uring_opcode_supported(probe, IOIPC_OP_SEND))
		die("IORING_REGISTER_PROBE: %s",
		    "this kernel has no IPC channels, or io_uring_ipc.ko is not loaded");
	io_uring_free_probe(probe);
	io_uring_queue_exit(&ring);
}

int submit_one(struct io_uring *ring)
{
	struct __kernel_timespec second = { .tv_sec = 1 };
	struct io_uring_cqe *cqe;
	int ret, seconds = 0;

	ret = io_uring_submit(ring);
	if (ret != 1)
		die("io_uring_submit: %s", ret < 0 ? strerror(-ret) : "not one SQE");
	while ((ret = io_uring_wait_cqe_timeout(ring, &cqe, &second))) {
		if (ret != -EINTR && ret != -ETIME)
			die("io_uring_wait_cqe_timeout: %s", strerror(-ret));
		check_children();
		if (++seconds > GIVE_UP_SECONDS)
			die("nothing has happened for %d seconds", GIVE_UP_SECONDS);
	}
	ret = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return ret;
}

int ipc_send(struct io_uring *ring, unsigned int id, const void *buf, unsigned int len,
	     unsigned int target)
{
	io_uring_prep_ipc_send(io_uring_get_sqe(ring), id, buf, len, target, 0);
	return submit_one(ring);
}

int ipc_recv(struct io_uring *ring, unsigned int id, void *buf, unsigned int len)
{
	io_uring_prep_ipc_recv(io_uring_get_sqe(ring), id, buf, len, 0);
	return submit_one(ring);
}

int ipc_send_wait(struct io_uring *ring, unsigned int id, const void *buf, unsigned int len,
		  unsigned int target)
{
	io_uring_prep_ipc_send(io_uring_get_sqe(ring), id, buf, len, target, IOIPC_SEND_WAIT);
	return submit_one(ring);
}

int ipc_recv_wait(struct io_uring *ring, unsigned int id, void *buf, unsigned int len)
{
	io_uring_prep_ipc_recv(io_uring_get_sqe(ring), id, buf, len, IOIPC_RECV_WAIT);
	return submit_one(ring);
}

unsigned int create_channel(struct io_uring *ring, unsigned int flags, unsigned int ring_entries,
			    unsigned int max_msg_size)
{
	struct io_uring_ipc_channel_create create = {
		.flags = flags,
		.ring_entries = ring_entries,
		.max_msg_size = max_msg_size,
		.mode = 0600,
	};
	int ret = io_uring_ipc_channel_create(ring, &create);

	if (ret)
		die("io_uring_ipc_channel_create: %s", strerror(-ret));
	return create.channel_id_out;
}

unsigned int attach_channel(struct io_uring *ring, unsigned int channel, unsigned int flags)
{
	struct io_uring_ipc_channel_attach attach = {
		.channel_id = channel,
		.flags = flags,
	};
	int ret = io_uring_ipc_channel_attach(ring, &attach);

	if (ret)
		die("io_uring_ipc_channel_attach: %s", strerror(-ret));
	close(attach.channel_fd);
	return attach.local_id_out;
}

void *shared_alloc(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	return memory;
}

pid_t spawn(void (*run)(void *arg), void *arg, const char *name_fmt, ...)
{
	struct child *child = &children[nr_children];
	pid_t parent = getpid();
	va_list args;

	if (nr_children == MAX_CHILDREN)
		die("more than %d children", MAX_CHILDREN);
	va_start(args, name_fmt);
	vsnprintf(child->name, sizeof(child->name), name_fmt, args);
	va_end(args);

	/* Otherwise the child would print the buffered output once more. */
	fflush(NULL);
	child->pid = fork();
	if (child->pid < 0)
		die("fork: %s", strerror(errno));
	if (child->pid) {
		nr_children++;
		return child->pid;
	}

	/* The parent may have ended before this call. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL))
		die("prctl(PR_SET_PDEATHSIG): %s", strerror(errno));
	if (getppid() != parent)
		_exit(1);
	memcpy(self, child->name, sizeof(self));
	nr_children = 0;
	run(arg);
	exit(0);
}

/* Forgets a child that has ended.  The last child takes its place in the array. */
static void forget(struct child *child)
{
	*child = children[--nr_children];
}

static int wait_pid(pid_t pid, int *status, int options)
{
	pid_t ret;

	do {
		ret = waitpid(pid, status, options);
	} while (ret < 0 && errno == EINTR);
	if (ret < 0)
		die("waitpid: %s", strerror(errno));
	return ret;
}

static void check_status(const struct child *child, int status)
{
	if (WIFSIGNALED(status))
		die("%s was killed by signal %d", child->name, WTERMSIG(status));
	if (WEXITSTATUS(status))
		die("%s failed", child->name);
}

int reap(pid_t pid)
{
	unsigned int i;
	int status;

	wait_pid(pid, &status, 0);
	for (i = 0; i < nr_children; i++) {
		if (children[i].pid == pid) {
			forget(&children[i]);
			break;
		}
	}
	return status;
}

void check_children(void)
{
	unsigned int i = 0;
	int status;

	while (i < nr_children) {
		if (wait_pid(children[i].pid, &status, WNOHANG)) {
			check_status(&children[i], status);
			forget(&children[i]);
		} else {
			i++;
		}
	}
}

void wait_children(void)
{
	int status;

	while (nr_children) {
		wait_pid(children[0].pid, &status, 0);
		check_status(&children[0], status);
		forget(&children[0]);
	}
}

void wait_for(const atomic_uint *counter, unsigned int value, const char *what)
{
	unsigned int seen = atomic_load(counter), now;
	struct backoff wait = {};

	while (seen < value) {
		if (!backoff(&wait))
			die("gave up waiting for %s after %d seconds without progress: %u of %u",
			    what, GIVE_UP_SECONDS, seen, value);
		now = atomic_load(counter);
		if (now != seen)
			wait = (struct backoff){};
		seen = now;
	}
}
