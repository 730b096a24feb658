/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The part of liburing that the tests of 32-bit programs need: the library
 * exists only for 64-bit programs.
 */
#ifndef COMPAT32_URING_H
#define COMPAT32_URING_H

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <liburing.h>

int io_uring_register(unsigned int fd, unsigned int opcode, const void *arg,
		      unsigned int nr_args)
{
	int ret = syscall(__NR_io_uring_register, fd, opcode, arg, nr_args);

	return ret < 0 ? -errno : ret;
}

static void *map_ring(int fd, size_t size, off_t offset)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
		    fd, offset);
}

int io_uring_queue_init(unsigned int entries, struct io_uring *ring,
			unsigned int flags)
{
	struct io_uring_params p = { .flags = flags | IORING_SETUP_NO_SQARRAY };
	struct io_uring_sq *sq = &ring->sq;
	struct io_uring_cq *cq = &ring->cq;
	char *rings;

	memset(ring, 0, sizeof(*ring));
	ring->ring_fd = syscall(__NR_io_uring_setup, entries, &p);
	if (ring->ring_fd < 0)
		return -errno;
	ring->enter_ring_fd = ring->ring_fd;
	ring->flags = p.flags;
	ring->features = p.features;
	sq->ring_sz = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
	sq->sqes_sz = p.sq_entries * sizeof(struct io_uring_sqe);
	rings = map_ring(ring->ring_fd, sq->ring_sz, IORING_OFF_SQ_RING);
	sq->sqes = map_ring(ring->ring_fd, sq->sqes_sz, IORING_OFF_SQES);
	if (rings == MAP_FAILED || sq->sqes == MAP_FAILED)
		return -ENOMEM;
	sq->ring_ptr = rings;
	sq->khead = (unsigned int *)(rings + p.sq_off.head);
	sq->ktail = (unsigned int *)(rings + p.sq_off.tail);
	sq->kflags = (unsigned int *)(rings + p.sq_off.flags);
	sq->ring_entries = p.sq_entries;
	sq->ring_mask = p.sq_entries - 1;
	cq->khead = (unsigned int *)(rings + p.cq_off.head);
	cq->ktail = (unsigned int *)(rings + p.cq_off.tail);
	cq->kflags = (unsigned int *)(rings + p.cq_off.flags);
	cq->cqes = (struct io_uring_cqe *)(rings + p.cq_off.cqes);
	cq->ring_entries = p.cq_entries;
	cq->ring_mask = p.cq_entries - 1;
	return 0;
}

void io_uring_queue_exit(struct io_uring *ring)
{
	munmap(ring->sq.sqes, ring->sq.sqes_sz);
	munmap(ring->sq.ring_ptr, ring->sq.ring_sz);
	close(ring->ring_fd);
}

static int enter(struct io_uring *ring, unsigned int submit, unsigned int wait_nr)
{
	int ret = syscall(__NR_io_uring_enter, ring->ring_fd, submit, wait_nr,
			  wait_nr ? IORING_ENTER_GETEVENTS : 0, NULL, 0);

	return ret < 0 ? -errno : ret;
}

int io_uring_submit_and_wait(struct io_uring *ring, unsigned int wait_nr)
{
	struct io_uring_sq *sq = &ring->sq;
	unsigned int submit = sq->sqe_tail - sq->sqe_head;

	sq->sqe_head = sq->sqe_tail;
	io_uring_smp_store_release(sq->ktail, sq->sqe_tail);
	return enter(ring, submit, wait_nr);
}

int __io_uring_get_cqe(struct io_uring *ring, struct io_uring_cqe **cqe,
		       unsigned int submit, unsigned int wait_nr, sigset_t *mask)
{
	struct io_uring_cq *cq = &ring->cq;
	unsigned int head = *cq->khead;
	int ret;

	if (submit || mask)
		return -EINVAL;
	while (io_uring_smp_load_acquire(cq->ktail) == head) {
		if (!wait_nr)
			return -EAGAIN;
		ret = enter(ring, 0, 1);
		if (ret < 0)
			return ret;
	}
	*cqe = &cq->cqes[head & cq->ring_mask];
	return 0;
}

#endif /* COMPAT32_URING_H */
