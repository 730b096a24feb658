/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by the tests of parked requests: requests of all kinds, which wait in a
 * channel with one slot, and the events that let one of them go on.
 */
#ifndef PARKED_H
#define PARKED_H

#include <poll.h>
#include <sys/epoll.h>
#include "fixture.h"
#include "messages.h"

/* The size of the messages, and of the provided buffers. */
#define PARKED_SIZE	64
/* Provided buffers of each ring. */
#define PARKED_BUFS	4
/* A request has one of these numbers as its user_data. */
#define PARKED_MAX	8

/* What waits: a receive of some kind, a send of some kind, or a watcher. */
enum parked_kind {
	PARKED_RECV,
	PARKED_RECV_SELECT,
	PARKED_RECV_BUNDLE,
	PARKED_RECV_MULTISHOT,
	PARKED_SEND,
	PARKED_SEND_VEC,
	PARKED_SEND_UNATTACHED,
	/* All kinds of IPC requests. */
	PARKED_KINDS,
	PARKED_POLL_IN = PARKED_KINDS,
	PARKED_POLL_OUT,
};

static const char *const parked_names[] = {
	"recv", "recv into a provided buffer", "recv of a bundle",
	"multishot recv", "send", "send of a vector", "send, not attached",
	"poll for a message", "poll for room",
};

static inline bool parked_is_send(enum parked_kind kind)
{
	return kind >= PARKED_SEND && kind <= PARKED_SEND_UNATTACHED;
}

/* Whether it waits for room, not for a message. */
static inline bool parked_for_room(enum parked_kind kind)
{
	return parked_is_send(kind) || kind == PARKED_POLL_OUT;
}

static inline bool parked_selects(enum parked_kind kind)
{
	return kind == PARKED_RECV_SELECT || kind == PARKED_RECV_MULTISHOT;
}

static inline __u8 parked_opcode(enum parked_kind kind)
{
	return parked_is_send(kind) ? IOIPC_OP_SEND : IOIPC_OP_RECV;
}

/* The result of a request that has sent or received one number. */
static inline int parked_result(enum parked_kind kind)
{
	switch (kind) {
	case PARKED_RECV_BUNDLE:
		return MSG_INFO + IPC_NUM;
	case PARKED_SEND_VEC:
		return 1;
	case PARKED_POLL_IN:
		return POLLIN;
	case PARKED_POLL_OUT:
		return POLLOUT;
	default:
		return IPC_NUM;
	}
}

/* The channel, with the ring of a process that neither waits nor stops. */
struct parked_channel {
	struct io_uring	ring;
	__u32		id;
	bool		all;
	/* The number in the slot that requests for room wait for, 0 for any. */
	__u64		in_slot;
	struct ipc_sub	sender;
	struct ipc_sub	receiver;
};

static inline int parked_create(struct parked_channel *channel, __u32 flags,
				__u32 entries)
{
	int ret;

	channel->all = flags & IOIPC_F_BROADCAST;
	channel->in_slot = 0;
	ret = io_uring_queue_init(64, &channel->ring, 0);
	ret = ret ?: ipc_create(&channel->ring, flags, entries, PARKED_SIZE,
				&channel->id);
	ret = ret ?: ipc_attach(&channel->ring, channel->id, IOIPC_SUB_SEND,
				&channel->sender);
	return ret ?: ipc_attach(&channel->ring, channel->id, IOIPC_SUB_RECV,
				 &channel->receiver);
}

/* Fills the channel with one slot, so that requests for room wait. */
static inline int parked_fill(struct parked_channel *channel,
			      enum parked_kind kind)
{
	if (!parked_for_room(kind))
		return IPC_NUM;
	channel->in_slot = 1000;
	return wait_send(&channel->ring, channel->sender.id, channel->in_slot);
}

/*
 * The event that lets one request go on: a message with the number is sent, or the
 * message in the slot is received.  Returns 0 or an error.
 */
static inline int parked_go_on(struct parked_channel *channel,
			       enum parked_kind kind, __u64 num)
{
	long long ret;

	if (parked_for_room(kind)) {
		ret = wait_recv_wait(&channel->ring, channel->receiver.id);
		if (ret >= 0 && channel->in_slot && ret != channel->in_slot)
			return IPC_NOT_RUN;
		channel->in_slot = 0;
		return ret < 0 ? ret : 0;
	}
	ret = wait_send_wait(&channel->ring, channel->sender.id, num);
	if (ret != IPC_NUM)
		return ret;
	/* Each receiver of a broadcast has to take its copy. */
	if (!channel->all || kind == PARKED_POLL_IN)
		return 0;
	ret = wait_recv(&channel->ring, channel->receiver.id);
	return ret == num ? 0 : IPC_NOT_RUN;
}

/* A ring with a subscriber, whose requests wait. */
struct parked {
	struct io_uring	ring;
	struct ipc_sub	sub;
	__u32		channel;
	/* The file that watchers watch. */
	int		watched;
	struct msg_pool	pool;
	struct {
		__u64		num;
		struct iovec	vec;
		char		buf[MSG_INFO + PARKED_SIZE] __aligned(8);
	} memory[PARKED_MAX];
};

static inline int parked_join(struct parked *parked,
			      const struct parked_channel *channel,
			      enum parked_kind kind, unsigned int setup)
{
	struct io_uring_params params = {
		.flags = setup,
		/* Idle SQPOLL threads must sleep. */
		.sq_thread_idle = 1,
	};
	bool room = parked_for_room(kind);
	int ret;

	memset(parked, 0, sizeof(*parked));
	parked->channel = channel->id;
	parked->watched = room ? channel->sender.fd : channel->receiver.fd;
	ret = io_uring_queue_init_params(16, &parked->ring, &params);
	if (!ret && kind < PARKED_KINDS)
		ret = ipc_attach(&parked->ring, channel->id,
				 room ? IOIPC_SUB_SEND : IOIPC_SUB_RECV,
				 &parked->sub);
	if (!ret && parked_selects(kind))
		ret = msg_pool_open(&parked->pool, &parked->ring, PARKED_BUFS,
				    PARKED_SIZE, 0);
	return ret;
}

static inline void parked_leave(struct parked *parked)
{
	wait_forget(&parked->ring);
	io_uring_queue_exit(&parked->ring);
	if (parked->sub.id)
		close(parked->sub.fd);
	free(parked->pool.mem);
}

/* Prepares a request that waits. One that sends, sends its own user_data. */
static inline struct io_uring_sqe *parked_get(struct parked *parked,
					      enum parked_kind kind, __u64 data)
{
	struct io_uring_sqe *sqe = wait_get_sqe(&parked->ring);
	__u32 id = parked->sub.id;
	__u64 *num = &parked->memory[data].num;
	struct iovec *vec = &parked->memory[data].vec;

	switch (kind) {
	case PARKED_RECV:
		io_uring_prep_ipc_recv(sqe, id, num, sizeof(*num),
				       IOIPC_RECV_WAIT);
		break;
	case PARKED_RECV_SELECT:
		io_uring_prep_ipc_recv(sqe, id, NULL, 0, IOIPC_RECV_WAIT);
		sqe->flags |= IOSQE_BUFFER_SELECT;
		sqe->buf_group = MSG_GROUP;
		break;
	case PARKED_RECV_BUNDLE:
		io_uring_prep_ipc_recv(sqe, id, parked->memory[data].buf,
				       sizeof(parked->memory[data].buf),
				       IOIPC_RECV_WAIT | IOIPC_RECV_BUNDLE);
		break;
	case PARKED_RECV_MULTISHOT:
		io_uring_prep_ipc_recv_multishot(sqe, id, MSG_GROUP, 0);
		break;
	case PARKED_SEND:
	case PARKED_SEND_UNATTACHED:
		if (kind == PARKED_SEND_UNATTACHED)
			id = parked->channel;
		*num = data;
		io_uring_prep_ipc_send(sqe, id, num, sizeof(*num), 0,
				       IOIPC_SEND_WAIT);
		break;
	case PARKED_SEND_VEC:
		*num = data;
		*vec = (struct iovec) { num, sizeof(*num) };
		io_uring_prep_ipc_send_vec(sqe, id, vec, 1, 0, IOIPC_SEND_WAIT);
		break;
	case PARKED_POLL_IN:
		io_uring_prep_poll_add(sqe, parked->watched,
				       POLLIN | EPOLLEXCLUSIVE);
		break;
	case PARKED_POLL_OUT:
		io_uring_prep_poll_add(sqe, parked->watched,
				       POLLOUT | EPOLLEXCLUSIVE);
		break;
	}
	io_uring_sqe_set_data64(sqe, data);
	return sqe;
}

/* The number that a receive has stored, or IPC_NOT_RUN. */
static inline long long parked_got(const struct parked *parked,
				   enum parked_kind kind,
				   const struct io_uring_cqe *cqe)
{
	const char *from = parked->memory[cqe->user_data].buf + MSG_INFO;
	__u64 num;

	if (cqe->res != parked_result(kind))
		return IPC_NOT_RUN;
	if (kind == PARKED_RECV)
		return parked->memory[cqe->user_data].num;
	if (parked_selects(kind))
		from = msg_pool_got(&parked->pool, cqe);
	if (!from)
		return IPC_NOT_RUN;
	memcpy(&num, from, sizeof(num));
	return num;
}

#endif /* PARKED_H */
