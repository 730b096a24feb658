/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The stress test: how a process joins and leaves.
 */
#ifndef WAIT_STRESS_WORKER_H
#define WAIT_STRESS_WORKER_H

#include "wait_stress.h"

/* user_data of requests without a message. */
#define OTHER	0

/*
 * Faults in all memory of a ring.  When a bundle finds that memory is missing,
 * it has written a part of a message, puts this message back, and goes on
 * later.  The test must not take this part for a received message.
 */
static void touch(struct worker *worker)
{
	char *mem = worker->hand->bufs[0];
	size_t at;

	for (at = 0; at < sizeof(worker->hand->bufs); at += 4096)
		__atomic_fetch_add(&mem[at], 0, __ATOMIC_RELAXED);
}

/* Gets memory for a new ring.  The test frees the memory that is left. */
static void get_hand(struct worker *worker)
{
	struct process *self = worker->self;
	__u32 i;

	for (i = 0; self->hands[i].use != FREE; i = (i + 1) % HANDS) {
		if (worker->oracle->failed)
			_exit(KSFT_FAIL);
		if (i == HANDS - 1)
			ipc_nap(500);
	}
	worker->hand = &self->hands[i];
	worker->hand->use = HELD;
	worker->touched = chance(worker, 2);
	if (worker->touched)
		touch(worker);
}

/* Provides all buffers again. */
static void provide(struct worker *worker)
{
	int ret = 0, i;

	if (worker->bufs)
		io_uring_free_buf_ring(&worker->ring, worker->bufs, BUFS, GROUP);
	worker->bufs = io_uring_setup_buf_ring(&worker->ring, BUFS, GROUP,
					       worker->incremental ?
					       IOU_PBUF_RING_INC : 0, &ret);
	if (!worker->bufs)
		FAIL(worker, "no buffers: %s", strerror(-ret));
	for (i = 0; i < BUFS; i++) {
		worker->used[i] = 0;
		io_uring_buf_ring_add(worker->bufs,
				      worker->hand->bufs[PROVIDED + i],
				      BUF_SIZE, i, io_uring_buf_ring_mask(BUFS),
				      i);
	}
	io_uring_buf_ring_advance(worker->bufs, BUFS);
}

/*
 * Gives the ring a file, the writing end of its hand's pipe. io_uring closes
 * its files when the last request has ended, and not before.
 */
static void register_writer(struct worker *worker)
{
	char path[32];
	int fd, ret;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", worker->hand->pipe);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		FAIL(worker, "no pipe: %s", strerror(errno));
	ret = io_uring_register_files(&worker->ring, &fd, 1);
	if (ret)
		FAIL(worker, "no registered file: %s", strerror(-ret));
	close(fd);
}

static void open_ring(struct worker *worker)
{
	static const unsigned int setups[] = {
		0, 0, WAIT_DEFER, WAIT_DEFER, IORING_SETUP_COOP_TASKRUN,
		IORING_SETUP_SQPOLL,
	};
	struct io_uring_params params = { .sq_thread_idle = 1 };
	struct iovec vec;
	int ret;

	worker->self->doing = OPENING;
	get_hand(worker);
	/* One in 30 rings polls. */
	params.flags = setups[ipc_random(&worker->random) %
			      (chance(worker, 5) ? 6 : 5)];
	ret = io_uring_queue_init_params(16, &worker->ring, &params);
	if (ret)
		FAIL(worker, "no ring: %s", strerror(-ret));
	worker->is_open = true;
	register_writer(worker);
	vec = (struct iovec) { worker->hand->bufs[0], BUF_SIZE };
	ret = io_uring_register_buffers(&worker->ring, &vec, 1);
	if (ret)
		FAIL(worker, "no registered buffer: %s", strerror(-ret));
	if (IS_SENDER(worker->me))
		return;
	/* The rest of a buffer must have room to identify a message. */
	worker->incremental = worker->oracle->grain >= MIN_SIZE &&
			      chance(worker, 3);
	worker->bufs = NULL;
	provide(worker);
}

static void attach(struct worker *worker)
{
	struct oracle *oracle = worker->oracle;
	struct process *self = worker->self;
	struct io_uring_ipc_channel_attach args = {
		.channel_id = worker->channel,
		.flags = IS_SENDER(worker->me) ? IOIPC_SUB_SEND :
			 IOIPC_SUB_RECV,
	};
	int ret, i;

	if (oracle->all && IS_RECEIVER(worker->me) && chance(worker, 3))
		args.flags |= IOIPC_SUB_HISTORY;
	ret = io_uring_ipc_channel_attach(&worker->ring, &args);
	if (ret == -ENOENT && oracle->stop)
		_exit(0);
	if (ret)
		FAIL(worker, "cannot attach: %s", strerror(-ret));
	worker->sub = args.local_id_out;
	worker->is_attached = true;
	self->fd = args.channel_fd;
	if (IS_SENDER(worker->me))
		return;
	/* One receiver always maps, and so is often the last to make room. */
	self->maps = oracle->all &&
		     (worker->me == ROCK + 1 || chance(worker, 3));
	if (self->maps) {
		ret = ipc_map(&worker->place, &args);
		if (ret)
			FAIL(worker, "cannot map: %s", strerror(-ret));
	}
	/* Only the info of a copied message says where to go on in place. */
	self->informed = self->maps || chance(worker, 3);
	memset(worker->expect, 0, sizeof(worker->expect));
	worker->msg_id = self->maps ? worker->place.next : 0;
	self->got = 0;
	self->copied = 0;
	self->told_lost = 0;
	for (i = 0; i < SOURCES; i++) {
		self->last[i] = 0;
		self->joined[i] = oracle->process[i].next;
	}
	self->sub = worker->sub;
	self->epoch++;
	if (worker->me == ROCK)
		oracle->target = worker->sub;
}

/* Ends everything that ends with the subscriber. */
static void forget(struct worker *worker)
{
	struct process *self = worker->self;
	int i;

	/* No message has to come any more. */
	for (i = 0; i < SOURCES; i++)
		self->joined[i] = MESSAGES;
	self->epoch++;
	close(self->fd);
	self->fd = -1;
	if (self->maps)
		ipc_unmap(&worker->place);
	self->maps = false;
	worker->is_attached = false;
}

static void detach(struct worker *worker)
{
	int ret;

	worker->self->doing = DETACHING;
	ret = io_uring_ipc_channel_detach(&worker->ring, worker->sub);
	if (ret)
		FAIL(worker, "cannot detach: %s", strerror(-ret));
	forget(worker);
}

static void close_ring(struct worker *worker)
{
	worker->self->doing = CLOSING;
	if (worker->is_attached)
		forget(worker);
	io_uring_queue_exit(&worker->ring);
	if (IS_RECEIVER(worker->me))
		munmap(worker->bufs, BUFS * sizeof(struct io_uring_buf));
	worker->is_open = false;
	worker->hand->journal = 0;
	worker->hand->use = LEFT;
}

static void set_up(struct worker *worker)
{
	if (!worker->is_open)
		open_ring(worker);
	if (!worker->is_attached)
		attach(worker);
}

/* Whether a completion comes within this many microseconds. */
static bool next_cqe(struct worker *worker, struct io_uring_cqe *cqe,
	      long microseconds)
{
	return !wait_next(&worker->ring, cqe, microseconds / 1e6);
}

/* Cancels the last request. */
static void get_cancel(struct worker *worker)
{
	struct io_uring_sqe *sqe = wait_get_sqe(&worker->ring);

	worker->self->doing = CANCELLING;
	worker->oracle->cancelled++;
	io_uring_prep_cancel64(sqe, worker->data, 0);
	io_uring_sqe_set_data64(sqe, OTHER);
}

static void get_timeout(struct worker *worker, struct __kernel_timespec *timeout)
{
	struct io_uring_sqe *sqe = wait_get_sqe(&worker->ring);

	timeout->tv_sec = 0;
	timeout->tv_nsec = ipc_random(&worker->random) % 3000000;
	io_uring_prep_link_timeout(sqe, timeout, 0);
	io_uring_sqe_set_data64(sqe, OTHER);
	worker->oracle->cancelled++;
}

#endif /* WAIT_STRESS_WORKER_H */
