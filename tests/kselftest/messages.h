/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by the tests of the flags of SEND and RECV: requests with any flags,
 * the info of a message, a walk through a bundle, and groups of provided
 * buffers.
 */
#ifndef MESSAGES_H
#define MESSAGES_H

#include <sys/uio.h>
#include "waiting.h"

/* The size of the info before a message, as a result. */
#define MSG_INFO	((int)sizeof(struct io_uring_ipc_msg_info))

/* Addresses without user memory: of the kernel, and unmapped. */
static void *const msg_bad_addresses[] = {
	NULL,
	(void *)8,
	(void *)0x7ffffffff000,
	(void *)0x800000000000,
	(void *)0x8000000000000000,
	(void *)0xffff888000000000,
	(void *)0xffffc90000000000,
	(void *)0xffffffff81000000,
	(void *)0xfffffffffffff000,
	(void *)0xffffffffffffffff,
};

static inline struct io_uring_sqe *msg_get_send(struct io_uring *ring, __u32 id,
						const void *buf, __u32 len,
						__u32 flags)
{
	struct io_uring_sqe *sqe = wait_get_sqe(ring);

	io_uring_prep_ipc_send(sqe, id, buf, len, 0, flags);
	io_uring_sqe_set_data64(sqe, wait_new_data());
	return sqe;
}

static inline struct io_uring_sqe *msg_get_recv(struct io_uring *ring, __u32 id,
						void *buf, __u32 len,
						__u32 flags)
{
	struct io_uring_sqe *sqe = wait_get_sqe(ring);

	io_uring_prep_ipc_recv(sqe, id, buf, len, flags);
	io_uring_sqe_set_data64(sqe, wait_new_data());
	return sqe;
}

/* Submits the prepared SQEs, and returns the result of this one. */
static inline int msg_run(struct io_uring *ring, struct io_uring_sqe *sqe)
{
	return wait_for(ring, sqe->user_data);
}

static inline int msg_send_to(struct io_uring *ring, __u32 id, const void *buf,
			      __u32 len, __u32 flags, __u32 target)
{
	struct io_uring_sqe *sqe = msg_get_send(ring, id, buf, len, flags);

	sqe->file_index = target;
	return msg_run(ring, sqe);
}

static inline int msg_send(struct io_uring *ring, __u32 id, const void *buf,
			   __u32 len, __u32 flags)
{
	return msg_send_to(ring, id, buf, len, flags, 0);
}

static inline int msg_recv(struct io_uring *ring, __u32 id, void *buf,
			   __u32 len, __u32 flags)
{
	return msg_run(ring, msg_get_recv(ring, id, buf, len, flags));
}

/* A number with its info. */
struct msg_num {
	struct io_uring_ipc_msg_info info;
	__u64	num;
};

/* Returns the number, or a negative errno. */
static inline long long msg_recv_num(struct io_uring *ring, __u32 id,
				     struct msg_num *got)
{
	int ret;

	ret = msg_recv(ring, id, got, sizeof(*got), IOIPC_RECV_INFO);
	if (ret < 0)
		return ret;
	return ret == sizeof(*got) ? (long long)got->num : IPC_NOT_RUN;
}

/* The info of a message that this process sends. */
static inline struct io_uring_ipc_msg_info msg_own_info(__u32 len, __u32 msg_id,
							__u64 sender_data,
							__u32 sender)
{
	return (struct io_uring_ipc_msg_info) {
		.len = len,
		.msg_id = msg_id,
		.sender_data = sender_data,
		.sender = sender,
		.pid = getpid(),
		.uid = geteuid(),
		.gid = getegid(),
	};
}

/* Whether both are the same; prints the differences. */
static inline bool msg_same_info(const struct io_uring_ipc_msg_info *want,
				 const struct io_uring_ipc_msg_info *got)
{
	const struct {
		const char	*name;
		__u64		want;
		__u64		got;
	} fields[] = {
		{ "len", want->len, got->len },
		{ "msg_id", want->msg_id, got->msg_id },
		{ "sender_data", want->sender_data, got->sender_data },
		{ "sender", want->sender, got->sender },
		{ "pid", want->pid, got->pid },
		{ "uid", want->uid, got->uid },
		{ "gid", want->gid, got->gid },
		{ "flags", want->flags, got->flags },
		{ "fds", want->fds, got->fds },
		{ "lost", want->lost, got->lost },
	};
	bool same = true;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(fields); i++) {
		if (fields[i].want == fields[i].got)
			continue;
		printf("# %s is %llu and not %llu\n", fields[i].name,
		       fields[i].got, fields[i].want);
		same = false;
	}
	fflush(stdout);
	return same;
}

/*
 * A walk through a bundle, which can be at any address.  Start with buf and
 * res.  After the last message, `broken` is set if the bundle does not end
 * there.
 */
struct msg_walk {
	const char	*buf;
	int		res;
	/* The end of the last message, from the start of buf. */
	int		at;
	bool		broken;
	/* The last message. */
	struct io_uring_ipc_msg_info info;
	const char	*data;
	int		stored;
};

static inline bool msg_next(struct msg_walk *walk)
{
	int start = (walk->at + 7) / 8 * 8;

	if (walk->at >= walk->res)
		return false;
	walk->broken = true;
	if (walk->res - start < MSG_INFO)
		return false;
	memcpy(&walk->info, walk->buf + start, MSG_INFO);
	walk->data = walk->buf + start + MSG_INFO;
	walk->stored = walk->res - start - MSG_INFO;
	if (walk->info.flags & IOIPC_INFO_TRUNCATED) {
		/* Only the first message can be truncated. */
		if (start || walk->info.len <= walk->stored)
			return false;
	} else {
		if (walk->info.len > walk->stored)
			return false;
		walk->stored = walk->info.len;
	}
	walk->at = start + MSG_INFO + walk->stored;
	walk->broken = false;
	return true;
}

/*
 * Takes the next number out of a bundle; returns the number, -EAGAIN at the
 * end, or IPC_NOT_RUN if the message is no number.
 */
static inline long long msg_next_num(struct msg_walk *walk)
{
	__u64 num;

	if (!msg_next(walk))
		return walk->broken ? IPC_NOT_RUN : -EAGAIN;
	if (walk->stored != sizeof(num) || walk->info.len != sizeof(num))
		return IPC_NOT_RUN;
	memcpy(&num, walk->data, sizeof(num));
	return num;
}

/* Sends an array of messages, returns how many were sent. */
static inline int msg_send_vec(struct io_uring *ring, __u32 id,
			       const struct iovec *vec, __u32 count,
			       __u32 flags)
{
	return msg_send(ring, id, vec, count, flags | IOIPC_SEND_VEC);
}

/* A group of provided buffers. */
struct msg_pool {
	struct io_uring_buf_ring *ring;
	unsigned int	count;
	__u32		size;
	char		*mem;
};

#define MSG_GROUP	7

static inline char *msg_pool_buf(const struct msg_pool *pool, unsigned int id)
{
	return pool->mem + (size_t)id * pool->size;
}

/* Provides a buffer (again), full of x. */
static inline void msg_pool_add(struct msg_pool *pool, unsigned int id)
{
	memset(msg_pool_buf(pool, id), 'x', pool->size);
	io_uring_buf_ring_add(pool->ring, msg_pool_buf(pool, id), pool->size,
			      id, io_uring_buf_ring_mask(pool->count), 0);
	io_uring_buf_ring_advance(pool->ring, 1);
}

/* The first ones of so many buffers are there. */
static inline int msg_pool_open_some(struct msg_pool *pool,
				     struct io_uring *ring, unsigned int count,
				     unsigned int filled, __u32 size,
				     unsigned int flags)
{
	unsigned int id;
	int ret = 0;

	pool->count = count;
	pool->size = size;
	pool->mem = malloc((size_t)count * size);
	pool->ring = io_uring_setup_buf_ring(ring, count, MSG_GROUP, flags,
					     &ret);
	if (!pool->mem || !pool->ring)
		return ret ?: -ENOMEM;
	for (id = 0; id < filled; id++)
		msg_pool_add(pool, id);
	return 0;
}

/* The same with all buffers in the ring. */
static inline int msg_pool_open(struct msg_pool *pool, struct io_uring *ring,
				unsigned int count, __u32 size,
				unsigned int flags)
{
	return msg_pool_open_some(pool, ring, count, count, size, flags);
}

/* The same with incremental buffers, which are used down to min_left bytes. */
static inline int msg_pool_open_inc(struct msg_pool *pool, struct io_uring *ring,
				    unsigned int count, __u32 size,
				    __u32 min_left)
{
	size_t bytes = count * sizeof(struct io_uring_buf);
	struct io_uring_buf_reg reg = {
		.ring_entries = count,
		.bgid = MSG_GROUP,
		.flags = IOU_PBUF_RING_INC,
		.min_left = min_left,
	};
	unsigned int id;
	void *mem;
	int ret;

	mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		   MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
	if (mem == MAP_FAILED)
		return -ENOMEM;
	pool->count = count;
	pool->size = size;
	pool->mem = malloc((size_t)count * size);
	pool->ring = mem;
	if (!pool->mem)
		return -ENOMEM;
	reg.ring_addr = (uintptr_t)mem;
	ret = io_uring_register_buf_ring(ring, &reg, 0);
	if (ret)
		return ret;
	io_uring_buf_ring_init(pool->ring);
	for (id = 0; id < count; id++)
		msg_pool_add(pool, id);
	return 0;
}

/* Where the next message goes in the current buffer, -1 for a new buffer. */
struct msg_follow {
	int	id;
	__u32	at;
};

/*
 * Follows a completion, and provides used-up buffers again.  Returns the start
 * of the message, or NULL if the completion names no buffer, or has more bytes
 * than were left.
 */
static inline char *msg_follow(struct msg_follow *follow, struct msg_pool *pool,
			       const struct io_uring_cqe *cqe, bool aligned)
{
	int id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
	__u32 used = cqe->res, left;
	static char *copy;
	char *start;

	if (!(cqe->flags & IORING_CQE_F_BUFFER) || id >= (int)pool->count)
		return NULL;
	if (follow->id != id) {
		/* The kernel has given up the rest of the last buffer. */
		if (follow->id >= 0)
			msg_pool_add(pool, follow->id);
		follow->id = id;
		follow->at = 0;
	}
	left = pool->size - follow->at;
	start = msg_pool_buf(pool, id) + follow->at;
	if (used > left)
		return NULL;
	follow->at += aligned ? ipc_buf_used(used, left) : used;
	if (cqe->flags & IORING_CQE_F_BUF_MORE)
		return start;
	/* The buffer is provided again, with other contents. */
	free(copy);
	copy = aligned_alloc(16, (pool->size + 31) / 16 * 16);
	if (!copy)
		return NULL;
	memcpy(copy + (uintptr_t)start % 16, start, left);
	start = copy + (uintptr_t)start % 16;
	msg_pool_add(pool, id);
	follow->id = -1;
	return start;
}

/* The buffer that a completion names, or NULL. */
static inline char *msg_pool_got(const struct msg_pool *pool,
				 const struct io_uring_cqe *cqe)
{
	unsigned int id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;

	if (!(cqe->flags & IORING_CQE_F_BUFFER) || id >= pool->count)
		return NULL;
	return msg_pool_buf(pool, id);
}

/* Prepares a receive into one of the buffers, or into one after the other. */
static inline struct io_uring_sqe *msg_get_select(struct io_uring *ring,
						  __u32 id, __u32 len,
						  __u32 flags)
{
	struct io_uring_sqe *sqe = msg_get_recv(ring, id, NULL, len, flags);

	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = MSG_GROUP;
	return sqe;
}

#endif /* MESSAGES_H */
