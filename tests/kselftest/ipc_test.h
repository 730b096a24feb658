/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by the tests of io_uring IPC channels.
 *
 * All results are 0, a length, or a negative errno, never -1.  Nothing here
 * sleeps to synchronize. ipc_poll() waits for work that the kernel does later,
 * such as the end of a ring, and has a deadline.
 */
#ifndef IPC_TEST_H
#define IPC_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
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

#include <liburing.h>
#include <linux/io_uring/ipc.h>

#include "liburing_ipc.h"
#include "kselftest_harness.h"

/*
 * Seconds until the harness kills a test; emulated debug kernels are slow.  For
 * longer runs than usual: CPPFLAGS=-DIPC_TIMEOUT=3600 make.
 */
#ifndef IPC_TIMEOUT
#define IPC_TIMEOUT	300
#endif
/* Seconds that ipc_poll() waits. */
#define IPC_DEADLINE	60

#define IPC_MODULE	"io_uring_ipc"

/* An unprivileged user, its group, and an unrelated user and groups */
#define IPC_UID		1000
#define IPC_GID		1000
#define IPC_OTHER_UID	1001
#define IPC_OTHER_GID	1001

#ifndef __aligned
#define __aligned(bytes)	__attribute__((aligned(bytes)))
#endif

/* Not a result: the operation could not even be submitted. */
#define IPC_NOT_RUN	(-100000)

struct ipc_sub {
	__u32	id;
	int	fd;
	__u32	region_size;
};

/*
 * Submits the prepared SQEs, waits, and returns the result of the oldest
 * completion.
 */
static inline int ipc_run_cqe(struct io_uring *ring, struct io_uring_cqe *copy)
{
	struct io_uring_cqe *cqe;
	int ret;

	ret = io_uring_submit_and_wait(ring, 1);
	if (ret < 0 && ret != -EINTR)
		return IPC_NOT_RUN;
	do {
		ret = io_uring_wait_cqe(ring, &cqe);
	} while (ret == -EINTR);
	if (ret)
		return IPC_NOT_RUN;
	*copy = *cqe;
	io_uring_cqe_seen(ring, cqe);
	return copy->res;
}

static inline int ipc_run(struct io_uring *ring)
{
	struct io_uring_cqe cqe;

	return ipc_run_cqe(ring, &cqe);
}

/* Sends to one subscriber, or to all with 0, with data for the receiver. */
static inline int ipc_send_data(struct io_uring *ring, __u32 id,
				const void *buf, __u32 len, __u32 target,
				__u64 sender_data)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	if (!sqe)
		return IPC_NOT_RUN;
	io_uring_prep_ipc_send(sqe, id, buf, len, target, 0);
	io_uring_sqe_set_data64(sqe, sender_data);
	return ipc_run(ring);
}

static inline int ipc_send_to(struct io_uring *ring, __u32 id, const void *buf,
			      __u32 len, __u32 target)
{
	return ipc_send_data(ring, id, buf, len, target, 0);
}

static inline int ipc_send(struct io_uring *ring, __u32 id, const void *buf,
			   __u32 len)
{
	return ipc_send_to(ring, id, buf, len, 0);
}

static inline int ipc_recv(struct io_uring *ring, __u32 id, void *buf,
			   __u32 len)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	if (!sqe)
		return IPC_NOT_RUN;
	io_uring_prep_ipc_recv(sqe, id, buf, len, 0);
	return ipc_run(ring);
}

/* Most tests only need messages that differ: numbers. */
#define IPC_NUM		((int)sizeof(__u64))

static inline int ipc_send_num(struct io_uring *ring, __u32 id, __u64 num)
{
	return ipc_send(ring, id, &num, sizeof(num));
}

static inline int ipc_send_num_to(struct io_uring *ring, __u32 id, __u64 num,
				  __u32 target)
{
	return ipc_send_to(ring, id, &num, sizeof(num), target);
}

/* Returns the number, or a negative errno. */
static inline long long ipc_recv_num(struct io_uring *ring, __u32 id)
{
	__u64 num;
	int ret;

	ret = ipc_recv(ring, id, &num, sizeof(num));
	if (ret < 0)
		return ret;
	return ret == sizeof(num) ? (long long)num : IPC_NOT_RUN;
}

/* Sends the numbers from..to-1, returns how many before the first error. */
static inline int ipc_send_nums(struct io_uring *ring, __u32 id, int from,
				int to)
{
	int num;

	for (num = from; num < to; num++)
		if (ipc_send_num(ring, id, num) != IPC_NUM)
			break;
	return num - from;
}

/* Receives until a number is not the expected one, returns how many before. */
static inline int ipc_recv_nums(struct io_uring *ring, __u32 id, int from,
				int to)
{
	int num;

	for (num = from; num < to; num++)
		if (ipc_recv_num(ring, id) != num)
			break;
	return num - from;
}

static inline int ipc_open(struct io_uring *ring)
{
	return io_uring_queue_init(8, ring, 0);
}

/* Valid arguments, which a test can change. */
static inline struct io_uring_ipc_channel_create
ipc_create_args(__u32 flags, __u32 entries, __u32 size)
{
	return (struct io_uring_ipc_channel_create) {
		.flags = flags,
		.ring_entries = entries,
		.max_msg_size = size,
		.mode = 0600,
	};
}

static inline int ipc_create(struct io_uring *ring, __u32 flags, __u32 entries,
			     __u32 size, __u32 *id)
{
	struct io_uring_ipc_channel_create create;
	int ret;

	create = ipc_create_args(flags, entries, size);
	ret = io_uring_ipc_channel_create(ring, &create);
	*id = create.channel_id_out;
	return ret;
}

static inline int ipc_create_key(struct io_uring *ring, __u32 flags, __u64 key,
				 __u32 mode, __u32 *id)
{
	struct io_uring_ipc_channel_create create;
	int ret;

	create = ipc_create_args(flags, 8, 64);
	create.key = key;
	create.mode = mode;
	ret = io_uring_ipc_channel_create(ring, &create);
	*id = create.channel_id_out;
	return ret;
}

static inline int ipc_attach_args(struct io_uring *ring,
				  struct io_uring_ipc_channel_attach *attach,
				  struct ipc_sub *sub)
{
	int ret;

	ret = io_uring_ipc_channel_attach(ring, attach);
	if (!ret) {
		sub->id = attach->local_id_out;
		sub->fd = attach->channel_fd;
		sub->region_size = attach->region_size;
	}
	return ret;
}

static inline int ipc_attach(struct io_uring *ring, __u32 channel, __u32 flags,
			     struct ipc_sub *sub)
{
	struct io_uring_ipc_channel_attach attach = {
		.channel_id = channel,
		.flags = flags,
	};

	return ipc_attach_args(ring, &attach, sub);
}

static inline int ipc_attach_key(struct io_uring *ring, __u64 key, __u32 flags,
				 struct ipc_sub *sub)
{
	struct io_uring_ipc_channel_attach attach = {
		.key = key,
		.flags = flags,
	};

	return ipc_attach_args(ring, &attach, sub);
}

/* For arguments that the helpers above cannot pass. */
static inline int ipc_register(struct io_uring *ring, unsigned int opcode,
			       const void *arg, unsigned int nr_args)
{
	if (syscall(__NR_io_uring_register, ring->ring_fd, opcode, arg, nr_args))
		return -errno;
	return 0;
}

/* A key that no other test uses. */
static inline __u64 ipc_new_key(void)
{
	static __u32 last;

	return (__u64)getpid() << 32 | ++last;
}

/* Maps the whole region, returns NULL with errno on failure. */
static inline const struct io_uring_ipc_ring *ipc_region(const struct ipc_sub *sub)
{
	void *map;

	map = mmap(NULL, sub->region_size, PROT_READ, MAP_SHARED, sub->fd, 0);
	return map == MAP_FAILED ? NULL : map;
}

static inline __u32 ipc_tail(const struct io_uring_ipc_ring *map)
{
	return __atomic_load_n(&map->producer.tail, __ATOMIC_ACQUIRE);
}

static inline const struct io_uring_ipc_msg_desc *
ipc_desc(const struct io_uring_ipc_ring *map, __u32 position)
{
	const char *start = (const char *)map;

	return (const void *)(start + map->desc_offset +
			      (position & map->ring_mask) * map->desc_stride);
}

static inline __u32 ipc_seq(const struct io_uring_ipc_ring *map, __u32 position)
{
	return __atomic_load_n(&ipc_desc(map, position)->seq, __ATOMIC_ACQUIRE);
}

static inline void *ipc_shared(size_t size)
{
	void *mem;

	mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return mem == MAP_FAILED ? NULL : mem;
}

/* Private memory of this many pages, with nothing mapped behind it. */
static inline char *ipc_pages(size_t pages)
{
	size_t page = sysconf(_SC_PAGESIZE);
	char *mem;

	mem = mmap(NULL, (pages + 1) * page, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED || munmap(mem + pages * page, page))
		return NULL;
	return mem;
}

static inline double ipc_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static inline void ipc_nap(long microseconds)
{
	struct timespec nap = {
		.tv_sec = microseconds / 1000000,
		.tv_nsec = microseconds % 1000000 * 1000,
	};

	nanosleep(&nap, NULL);
}

/*
 * Whether a test that provokes a race goes on: until its time is over, and on a slow
 * machine until what it wants to provoke has happened.
 */
static inline bool ipc_go_on(double end, bool happened)
{
	double now = ipc_now();

	return now < end || (!happened && now < end + IPC_DEADLINE);
}

/* Whether the condition becomes true before the deadline. */
#define ipc_poll(condition) ({					\
	double __end = ipc_now() + IPC_DEADLINE;			\
	bool __met;							\
									\
	while (!(__met = (condition)) && ipc_now() < __end)		\
		ipc_nap(1000);						\
	__met;								\
})

/* A child does not outlive the test, however either of them ends. */
static inline void ipc_bind_to_parent(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() == 1)
		_exit(KSFT_FAIL);
	alarm(IPC_TIMEOUT);
}

static inline pid_t ipc_fork(void)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid)
		ipc_bind_to_parent();
	return pid;
}

/* Returns the exit code, or 128 plus the signal. */
static inline int ipc_wait(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return IPC_NOT_RUN;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The credentials of a child: uid, gid, and one more group unless it is 0. */
struct ipc_who {
	uid_t	uid;
	gid_t	gid;
	gid_t	group;
};

static inline void ipc_become(struct ipc_who who)
{
	if (setgroups(!!who.group, &who.group) ||
	    setresgid(who.gid, who.gid, who.gid) ||
	    setresuid(who.uid, who.uid, who.uid)) {
		perror("# cannot drop privileges");
		_exit(KSFT_FAIL);
	}
	/* The change of credentials has cleared this setting. */
	ipc_bind_to_parent();
}

/*
 * Runs a function that returns 0 or a negative errno, in a child with other
 * credentials.  Returns the result of the function.
 */
static inline int ipc_as(struct ipc_who who, int (*fn)(void *arg), void *arg)
{
	pid_t pid;

	pid = ipc_fork();
	if (!pid) {
		ipc_become(who);
		_exit(-fn(arg));
	}
	return pid < 0 ? -errno : -ipc_wait(pid);
}

/* For common functions of ipc_as(): operations on the child's own ring. */
struct ipc_request {
	__u32	channel;
	__u64	key;
	__u32	flags;
};

static inline int ipc_do_attach(void *arg)
{
	struct ipc_request *request = arg;
	struct io_uring_ipc_channel_attach attach = {
		.channel_id = request->channel,
		.key = request->key,
		.flags = request->flags,
	};
	struct io_uring ring;
	struct ipc_sub sub;
	int ret;

	ret = ipc_open(&ring);
	return ret ?: ipc_attach_args(&ring, &attach, &sub);
}

static inline int ipc_do_send(void *arg)
{
	struct ipc_request *request = arg;
	struct io_uring ring;
	int ret;

	ret = ipc_open(&ring);
	if (ret)
		return ret;
	ret = ipc_send_num(&ring, request->channel, 1);
	return ret == IPC_NUM ? 0 : ret;
}

static inline int ipc_do_destroy(void *arg)
{
	struct ipc_request *request = arg;
	struct io_uring ring;
	int ret;

	ret = ipc_open(&ring);
	return ret ?: io_uring_ipc_channel_destroy(&ring, request->channel);
}

/* Returns the value of a line of fdinfo in a static buffer. */
static inline const char *ipc_fdinfo_text(int fd, const char *name)
{
	static char line[256];
	size_t len = strlen(name);
	const char *value = "(none)";
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "r");
	if (!file)
		return "(no file)";
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, name, len) || strncmp(line + len, ":\t", 2))
			continue;
		line[strcspn(line, "\n")] = 0;
		value = line + len + 2;
		break;
	}
	fclose(file);
	return value;
}

/* Returns a number from the fdinfo of a subscriber, -1 if it is not there. */
static inline long ipc_fdinfo(int fd, const char *name)
{
	const char *text = ipc_fdinfo_text(fd, name);

	return *text == '(' ? -1 : atol(text);
}

/* Writes to a file of procfs, sysfs, debugfs or a cgroup. */
static inline bool ipc_put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	ssize_t len = strlen(text);
	bool done = fd >= 0 && write(fd, text, len) == len;

	if (fd >= 0)
		close(fd);
	return done;
}

/*
 * Returns the number after a name in a file with a name and a number in each
 * line, -1 if there is none.
 */
static inline long ipc_get(const char *path, const char *name)
{
	FILE *file = fopen(path, "r");
	long number, value = -1;
	char word[64];

	while (file && fscanf(file, "%63s %ld", word, &number) == 2)
		if (!strcmp(word, name))
			value = number;
	if (file)
		fclose(file);
	return value;
}

/* The module's use count, as soon as it does not change any more. */
static inline int ipc_module_refs(void)
{
	int refs = -1, last, same = 0;
	FILE *file;

	while (same < 20) {
		last = refs;
		file = fopen("/sys/module/" IPC_MODULE "/refcnt", "r");
		if (!file)
			return -1;
		if (fscanf(file, "%d", &refs) != 1)
			refs = -1;
		fclose(file);
		same = refs == last ? same + 1 : 0;
		ipc_nap(10000);
	}
	return refs;
}

/* A number from the environment, for tests that can run longer or shorter. */
static inline long ipc_env(const char *name, long otherwise)
{
	const char *value = getenv(name);
	long number = value ? atol(value) : 0;

	return number > 0 ? number : otherwise;
}

/* xorshift: the same numbers in every run. */
static inline __u32 ipc_random(__u32 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static inline void ipc_fill(void *buf, size_t len, __u32 seed)
{
	unsigned char *byte = buf;
	size_t i;

	seed = seed * 2654435761U | 1;
	for (i = 0; i < len; i++)
		byte[i] = seed >> (i % 4 * 8) ^ i;
}

static inline bool ipc_filled(const void *buf, size_t len, __u32 seed)
{
	const unsigned char *byte = buf;
	size_t i;

	seed = seed * 2654435761U | 1;
	for (i = 0; i < len; i++)
		if (byte[i] != (unsigned char)(seed >> (i % 4 * 8) ^ i))
			return false;
	return true;
}

/* Arguments NAME=VALUE are for ipc_env(), all others for the harness. */
static inline int ipc_main(int argc, char **argv)
{
	int i, kept = 0;

	for (i = 0; i < argc; i++) {
		if (i && argv[i][0] != '-' && strchr(argv[i], '='))
			putenv(argv[i]);
		else
			argv[kept++] = argv[i];
	}
	argv[kept] = NULL;
	return test_harness_run(kept, argv);
}

#define IPC_HARNESS_MAIN						\
	int main(int argc, char **argv)					\
	{								\
		return ipc_main(argc, argv);				\
	}

#endif /* IPC_TEST_H */
