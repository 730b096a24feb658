/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A message bus made of IPC channels: services that own names, methods, signals, file
 * descriptors, and news of peers that are gone.  No broker copies messages, because the
 * kernel does what a broker is there for:
 *
 *	a name			is that of a channel, which its service creates.  It is free
 *				again when the service ends, whatever ends it.
 *	calls a method		IOIPC_SEND_CALL to that channel.  The kernel brings the answer
 *				to the request that asks, and ends it if the service ends.
 *	a signal		is a message in a broadcast channel with the same name and
 *				".signals".  Listeners are lossy: none of them holds up the
 *				service, and each is told how much it has lost.
 *	which peer it was	the kernel says it before each message.
 *	a peer is gone		IOIPC_RECV_GONE for its subscriber.
 *	a flood			IOIPC_F_FAIR: a user's calls take no more of a channel than its
 *				share.
 *
 * What D-Bus has beyond that is policy: which service is started for a name, and which
 * user may call what.  Permission bits of the channels are here for the latter.
 *
 * All functions return 0 or a negative error.
 */
#ifndef BUS_H
#define BUS_H

#include <stddef.h>
#include <stdio.h>

#include "liburing_ipc.h"

#define BUS_MEMBER	32
#define BUS_BODY	1024
#define BUS_FDS		4
/* Calls that wait at a service, in slots of 256 bytes. */
#define BUS_CALLS	256
/* Signals that a listener may be behind. */
#define BUS_SIGNALS	64

/* What a method, a signal or an answer says. */
struct bus_packet {
	/* The method or the signal. In an answer, the start of the text of an error. */
	char		member[BUS_MEMBER];
	/* In an answer: 0 or a negative error of the method. */
	int32_t		status;
	uint32_t	len;
	char		body[BUS_BODY];
};

/* The same, as a peer receives it. */
struct bus_message {
	struct io_uring_ipc_msg_info	info;
	struct bus_packet		packet;
};

/* The bytes of a packet that travel. */
static inline unsigned int bus_size(const struct bus_packet *packet)
{
	unsigned int len = packet->len < BUS_BODY ? packet->len : BUS_BODY;

	return (unsigned int)offsetof(struct bus_packet, body) + len;
}

/* Whether a peer has sent a whole packet: it may have sent any bytes. */
static inline bool bus_is_whole(const struct bus_message *message)
{
	return message->info.len >= offsetof(struct bus_packet, body) &&
	       message->packet.len <= BUS_BODY &&
	       bus_size(&message->packet) == message->info.len &&
	       memchr(message->packet.member, 0, BUS_MEMBER);
}

static inline void bus_fill(struct bus_packet *packet, const char *member, const void *body,
			    unsigned int len)
{
	memset(packet, 0, offsetof(struct bus_packet, body));
	strncpy(packet->member, member, BUS_MEMBER - 1);
	packet->len = len < BUS_BODY ? len : BUS_BODY;
	if (packet->len)
		memcpy(packet->body, body, packet->len);
}

/* The name of the channel with the signals of a service. */
static inline const char *bus_signals(char buf[IOIPC_MAX_NAME + 1], const char *name)
{
	snprintf(buf, IOIPC_MAX_NAME + 1, "%s.signals", name);
	return buf;
}

/* Waits for the next completion, and returns whether there is one. */
static inline int bus_wait(struct io_uring *ring, struct io_uring_cqe *copy)
{
	struct io_uring_cqe *cqe;
	int ret;

	do
		ret = io_uring_submit_and_wait(ring, 1);
	while (ret == -EINTR);
	if (ret >= 0)
		ret = io_uring_peek_cqe(ring, &cqe);
	if (ret < 0)
		return ret;
	*copy = *cqe;
	io_uring_cqe_seen(ring, cqe);
	return 0;
}

static inline int bus_attach(struct io_uring *ring, const char *name, unsigned int flags,
			     unsigned int *id)
{
	struct io_uring_ipc_channel_attach attach = { .flags = flags };
	int ret;

	ret = io_uring_ipc_channel_attach_name(ring, name, &attach);
	if (ret < 0)
		return ret;
	*id = attach.local_id_out;
	close(attach.channel_fd);
	return 0;
}

/* A service */

/* user_data of its requests; that of a watch is the subscriber that it watches */
enum {
	BUS_NEXT = 1ULL << 32,
	BUS_EMIT,
};

struct bus_service {
	struct io_uring			ring;
	unsigned int			channel;
	unsigned int			signals;
	/* Its subscribers: one gets calls, the other one sends signals. */
	unsigned int			calls;
	unsigned int			emits;
	/* The call that it works on. */
	struct bus_message		call;
	struct io_uring_ipc_exchange	next;
};

/* Creates both channels of a name. */
static inline int bus_create(struct bus_service *service, const char *name, unsigned int mode)
{
	struct io_uring_ipc_channel_create create = {
		.flags = IOIPC_F_FAIR,
		.ring_entries = BUS_CALLS,
		.max_msg_size = sizeof(struct bus_packet),
		.mode = mode,
	};
	struct io_uring_ipc_channel_ext ext = {
		.name = (uintptr_t)name,
		.name_len = (uint32_t)strlen(name),
		.slot_size = 256,
	};
	char buf[IOIPC_MAX_NAME + 1];
	int ret;

	ret = io_uring_ipc_channel_create_ext(&service->ring, &create, &ext);
	if (ret < 0)
		return ret;
	service->channel = create.channel_id_out;
	create.flags = IOIPC_F_BROADCAST;
	create.ring_entries = BUS_SIGNALS;
	ext.name = (uintptr_t)bus_signals(buf, name);
	ext.name_len = (uint32_t)strlen(buf);
	ext.slot_size = 0;
	ret = io_uring_ipc_channel_create_ext(&service->ring, &create, &ext);
	if (ret < 0)
		return ret;
	service->signals = create.channel_id_out;
	return 0;
}

/*
 * Owns a name until bus_disown(), or the end of the process.  Users that mode gives the
 * write bit may call its methods, and those with the read bit hear its signals.
 */
static inline int bus_own(struct bus_service *service, const char *name, unsigned int mode)
{
	char buf[IOIPC_MAX_NAME + 1];
	struct io_uring_sqe *sqe;
	int ret;

	memset(service, 0, sizeof(*service));
	ret = io_uring_queue_init(64, &service->ring,
				  IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
	if (ret)
		return ret;
	ret = bus_create(service, name, mode);
	if (!ret)
		ret = bus_attach(&service->ring, name, IOIPC_SUB_RECV, &service->calls);
	if (!ret)
		ret = bus_attach(&service->ring, bus_signals(buf, name), IOIPC_SUB_SEND,
				 &service->emits);
	if (ret) {
		io_uring_queue_exit(&service->ring);
		return ret;
	}
	sqe = io_uring_get_sqe(&service->ring);
	io_uring_prep_ipc_recv(sqe, service->calls, &service->call, sizeof(service->call),
			       IOIPC_RECV_WAIT | IOIPC_RECV_INFO);
	io_uring_sqe_set_data64(sqe, BUS_NEXT);
	return 0;
}

static inline void bus_disown(struct bus_service *service)
{
	io_uring_queue_exit(&service->ring);
}

/*
 * Waits for a call, which is in service->call then, or for the end of a peer that the
 * service watches: that is *gone then, and otherwise 0.
 */
static inline int bus_next(struct bus_service *service, unsigned int *gone)
{
	struct io_uring_cqe cqe = { };
	int ret;

	*gone = 0;
	/* The completion of a signal tells nothing that the service has to know. */
	do
		ret = bus_wait(&service->ring, &cqe);
	while (!ret && cqe.user_data == BUS_EMIT);
	if (ret)
		return ret;
	if (cqe.user_data == BUS_NEXT)
		return cqe.res < 0 ? cqe.res : 0;
	*gone = (unsigned int)cqe.user_data;
	return 0;
}

/* Answers the call, and waits for the next one with the same request. */
static inline void bus_answer(struct bus_service *service, const struct bus_packet *packet)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&service->ring);

	service->next = (struct io_uring_ipc_exchange) {
		.addr = (uintptr_t)&service->call,
		.len = sizeof(service->call),
		.flags = IOIPC_RECV_INFO,
		.call = service->call.info.msg_id,
	};
	io_uring_prep_ipc_reply_recv(sqe, service->calls, packet, bus_size(packet),
				     &service->next);
	io_uring_sqe_set_data64(sqe, BUS_NEXT);
}

/* Wants to know when the peer ends that has sent the call. */
static inline int bus_watch(struct bus_service *service)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&service->ring);

	if (!sqe)
		return -EAGAIN;
	io_uring_prep_ipc_recv_gone(sqe, service->calls, service->call.info.sender);
	io_uring_sqe_set_data64(sqe, service->call.info.sender);
	return 0;
}

/* Sends a signal, with files if there are any. */
static inline int bus_emit(struct bus_service *service, const struct bus_packet *packet,
			   const int *fds, unsigned int count)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&service->ring);
	int ret;

	if (!sqe)
		return -EAGAIN;
	io_uring_prep_ipc_send(sqe, service->emits, packet, bus_size(packet), 0, 0);
	if (count)
		ipc_sqe_set_send_fds(sqe, fds, count);
	io_uring_sqe_set_data64(sqe, BUS_EMIT);
	ret = io_uring_submit(&service->ring);
	return ret < 0 ? ret : 0;
}

/* A client */

struct bus_client {
	struct io_uring	ring;
};

/* A service, as a client knows it. */
struct bus_peer {
	unsigned int	calls;
	unsigned int	signals;
};

static inline int bus_open(struct bus_client *client)
{
	return io_uring_queue_init(8, &client->ring,
				   IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
}

static inline void bus_close(struct bus_client *client)
{
	io_uring_queue_exit(&client->ring);
}

static inline void bus_disconnect(struct bus_client *client, struct bus_peer *peer)
{
	io_uring_ipc_channel_detach(&client->ring, peer->calls);
	io_uring_ipc_channel_detach(&client->ring, peer->signals);
}

/* Finds the service that has a name: -ENOENT if none has. */
static inline int bus_connect(struct bus_client *client, const char *name,
			      struct bus_peer *peer)
{
	char buf[IOIPC_MAX_NAME + 1];
	int ret;

	ret = bus_attach(&client->ring, name, IOIPC_SUB_SEND, &peer->calls);
	if (ret)
		return ret;
	ret = bus_attach(&client->ring, bus_signals(buf, name), IOIPC_SUB_RECV | IOIPC_SUB_LOSSY,
			 &peer->signals);
	if (ret)
		io_uring_ipc_channel_detach(&client->ring, peer->calls);
	return ret;
}

/* Waits for a request and for its timeout, which are linked.  Returns the result. */
static inline int bus_wait_both(struct bus_client *client)
{
	int done, ret, results[2] = { };
	struct io_uring_cqe cqe;

	for (done = 0; done < 2; done++) {
		ret = bus_wait(&client->ring, &cqe);
		if (ret)
			return ret;
		results[cqe.user_data & 1] = cqe.res;
	}
	/* The time may be over just when the request completes. */
	return results[0] == -ECANCELED ? -ETIME : results[0];
}

static inline void bus_prep_timeout(struct bus_client *client, struct __kernel_timespec *time)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&client->ring);

	io_uring_prep_link_timeout(sqe, time, 0);
	io_uring_sqe_set_data64(sqe, 1);
}

/*
 * Calls a method, and waits for the answer: -EPIPE if the service has ended, -ETIME if
 * it takes too long.  What the method says is in the answer's status.
 */
static inline int bus_call(struct bus_client *client, const struct bus_peer *peer,
			   const struct bus_packet *packet, struct bus_message *answer,
			   struct __kernel_timespec time)
{
	struct io_uring_ipc_exchange exchange = {
		.addr = (uintptr_t)answer,
		.len = sizeof(*answer),
		.flags = IOIPC_RECV_INFO,
	};
	struct io_uring_sqe *sqe = io_uring_get_sqe(&client->ring);
	int ret;

	io_uring_prep_ipc_call(sqe, peer->calls, packet, bus_size(packet), 0, &exchange,
			       IOIPC_SEND_WAIT);
	io_uring_sqe_set_flags(sqe, IOSQE_IO_LINK);
	io_uring_sqe_set_data64(sqe, 0);
	bus_prep_timeout(client, &time);
	ret = bus_wait_both(client);
	if (ret < 0)
		return ret;
	return bus_is_whole(answer) ? 0 : -EBADMSG;
}

/*
 * Waits for a signal.  With fds, which has room for BUS_FDS, signal->info.fds says how
 * many files came with it.
 */
static inline int bus_listen(struct bus_client *client, const struct bus_peer *peer,
			     struct bus_message *signal, int *fds,
			     struct __kernel_timespec time)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&client->ring);
	int ret;

	io_uring_prep_ipc_recv(sqe, peer->signals, signal, sizeof(*signal),
			       IOIPC_RECV_WAIT | IOIPC_RECV_INFO);
	if (fds)
		ipc_sqe_set_recv_fds(sqe, fds, BUS_FDS);
	io_uring_sqe_set_flags(sqe, IOSQE_IO_LINK);
	io_uring_sqe_set_data64(sqe, 0);
	bus_prep_timeout(client, &time);
	ret = bus_wait_both(client);
	if (ret < 0)
		return ret;
	return bus_is_whole(signal) ? 0 : -EBADMSG;
}

#endif
