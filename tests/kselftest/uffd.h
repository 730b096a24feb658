/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Pages that block every task that touches them, until the test fills them. So
 * a test can hold a request in the middle of its copy, without any timing.
 *
 * The kernel itself has to block, so UFFD_USER_MODE_ONLY is not enough: this
 * needs CAP_SYS_PTRACE.
 */
#ifndef UFFD_H
#define UFFD_H

#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include "ipc_test.h"

struct uffd {
	int	fd;
	size_t	page;
	/* One page that is not filled yet. */
	char	*mem;
};

/* Returns 0 or a negative errno. */
static inline int uffd_open(struct uffd *uffd, int flags)
{
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_api api = { .api = UFFD_API };

	uffd->page = sysconf(_SC_PAGESIZE);
	/* poll(2) does not wait for a blocking file, see uffd_wait(). */
	uffd->fd = syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK | flags);
	if (uffd->fd < 0)
		return -errno;
	if (ioctl(uffd->fd, UFFDIO_API, &api))
		return -errno;
	uffd->mem = mmap(NULL, uffd->page, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (uffd->mem == MAP_FAILED)
		return -errno;
	reg.range.start = (unsigned long)uffd->mem;
	reg.range.len = uffd->page;
	return ioctl(uffd->fd, UFFDIO_REGISTER, &reg) ? -errno : 0;
}

/* Opens it in a test. Skips the test if the kernel or the user has none. */
#define UFFD_OPEN(uffd) do {						\
	int __ret = uffd_open(uffd, 0);					\
									\
	if (__ret == -ENOSYS || __ret == -EPERM)			\
		SKIP(return, "no userfaultfd: %s", strerror(-__ret));	\
	ASSERT_EQ(0, __ret);						\
} while (0)

static inline bool uffd_wait_for(struct uffd *uffd, int ms)
{
	struct pollfd pollfd = { .fd = uffd->fd, .events = POLLIN };
	struct uffd_msg msg;

	if (poll(&pollfd, 1, ms) != 1)
		return false;
	return read(uffd->fd, &msg, sizeof(msg)) == sizeof(msg) &&
	       msg.event == UFFD_EVENT_PAGEFAULT;
}

/* Returns true when a task blocks on the page, false if none does in time. */
static inline bool uffd_wait(struct uffd *uffd)
{
	return uffd_wait_for(uffd, IPC_DEADLINE * 1000);
}

/* Whether a task blocks on the page that uffd_wait() has not told of. */
static inline bool uffd_waits(struct uffd *uffd)
{
	return uffd_wait_for(uffd, 0);
}

/* Lets all blocked tasks go on, and fills the page with this byte. */
static inline int uffd_fill(struct uffd *uffd, char byte)
{
	struct uffdio_copy copy = {
		.dst = (unsigned long)uffd->mem,
		.len = uffd->page,
	};
	char *src;
	int ret;

	src = malloc(uffd->page);
	if (!src)
		return -ENOMEM;
	memset(src, byte, uffd->page);
	copy.src = (unsigned long)src;
	ret = ioctl(uffd->fd, UFFDIO_COPY, &copy) ? -errno : 0;
	free(src);
	return ret;
}

/* One request that a thread waits for. */
struct uffd_op {
	struct io_uring	*ring;
	__u32		id;
	void		*buf;
	__u32		len;
	bool		send;
	int		res;
	pthread_t	thread;
};

static inline void *uffd_op_run(void *arg)
{
	struct uffd_op *op = arg;

	if (op->send)
		op->res = ipc_send(op->ring, op->id, op->buf, op->len);
	else
		op->res = ipc_recv(op->ring, op->id, op->buf, op->len);
	return NULL;
}

static inline int uffd_op_start(struct uffd_op *op)
{
	return pthread_create(&op->thread, NULL, uffd_op_run, op);
}

static inline int uffd_op_result(struct uffd_op *op)
{
	pthread_join(op->thread, NULL);
	return op->res;
}

#endif /* UFFD_H */
