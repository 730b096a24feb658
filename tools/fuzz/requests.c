// SPDX-License-Identifier: GPL-2.0

#include "steps.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/uio.h>

#include "waiting.h"

/* The user_data of a timeout is that of its request with this bit. */
#define TIMEOUT_DATA	0x4000000000000000
/* The user_data of a request that closes a descriptor. */
#define CLOSE_DATA	0x2000000000000000

/* An error in an SQE, or a way to run it. */
enum modifier {
	PLAIN = 16,
	ASYNC,
	LINK_TIMEOUT,
	BAD_OFF,
	BAD_IOPRIO,
	BAD_BUF_INDEX,
	BAD_ADDR3,
	BAD_PAD2,
	BAD_PERSONALITY,
	BAD_FIXED_FILE,
	BAD_SELECT,
	BAD_TARGET,
	BAD_FIXED,
	BAD_FIXED_RANGE,
	MODIFIERS = 32,
};

/* Makes an SQE invalid.  Returns the expected error, or 0. */
static int spoil(struct io_uring_sqe *sqe, unsigned int modifier)
{
	bool fixed = sqe->rw_flags & IOIPC_FIXED_BUF;
	bool selects = sqe->flags & IOSQE_BUFFER_SELECT;
	bool fds = sqe->rw_flags & (sqe->opcode == IOIPC_OP_SEND ?
				    IOIPC_SEND_FDS : IOIPC_RECV_FDS);

	switch (modifier) {
	case BAD_OFF:
		if (fds)
			return 0;
		sqe->off = 1;
		break;
	case BAD_IOPRIO:
		sqe->ioprio = fds ? IOIPC_MAX_FDS + 1 : 1;
		break;
	case BAD_BUF_INDEX:
		if (fixed || selects)
			return 0;
		sqe->buf_index = 1;
		break;
	case BAD_ADDR3:
		sqe->addr3 = 1ULL << 63;
		break;
	case BAD_PAD2:
		sqe->__pad2[0] = 1;
		break;
	case BAD_PERSONALITY:
		sqe->personality = 77;
		break;
	case BAD_FIXED_FILE:
		sqe->flags |= IOSQE_FIXED_FILE;
		break;
	case BAD_SELECT:
		if (sqe->opcode != IOIPC_OP_SEND)
			return 0;
		sqe->flags |= IOSQE_BUFFER_SELECT;
		return -EOPNOTSUPP;
	case BAD_TARGET:
		if (sqe->opcode != IOIPC_OP_RECV)
			return 0;
		sqe->file_index = 1;
		break;
	default:
		return 0;
	}
	return -EINVAL;
}

/*
 * Runs an invalid request.  The request has only one error, so the result does not
 * depend on the order of the checks.
 */
static void run_wrong(struct request *request, const char *what, int expected)
{
	trace(" -> %d\n", expected);
	run_request(request->place, what, expected);
}

/*
 * Links a timeout to a request.  If the request waits, the timeout ends it.  If it does
 * not wait, the timeout is too late, also on a slow machine.
 */
static void link_timeout(struct request *request, bool waits)
{
	struct actor_shared *shared = shared_of(request->place);
	struct __kernel_timespec *time = (void *)shared->copy;

	*time = (struct __kernel_timespec) {
		.tv_sec = waits ? 0 : 60,
		.tv_nsec = waits ? 1000000 : 0,
	};
	shared->sqes[0].flags |= IOSQE_IO_LINK;
	memset(&shared->sqes[1], 0, sizeof(shared->sqes[1]));
	shared->sqes[1].opcode = IORING_OP_LINK_TIMEOUT;
	shared->sqes[1].addr = (uintptr_t)time;
	shared->sqes[1].len = 1;
	shared->sqes[1].user_data = request->user_data | TIMEOUT_DATA;
}

/* A timeout ends its request if the request waits. Otherwise the timeout is cancelled. */
static void timeout_completion(struct request *request)
{
	struct actor_cqe cqe;

	if (request->waits) {
		request->waits = false;
		cqe = completion(request->place, request->user_data);
		if (!failed)
			expect("request with a timeout", -ECANCELED, cqe.res);
		cqe = completion(request->place, request->user_data | TIMEOUT_DATA);
		if (!failed)
			expect("timeout", -ETIME, cqe.res);
		return;
	}
	cqe = completion(request->place, request->user_data | TIMEOUT_DATA);
	/* On a busy machine the timeout can fire before it is removed, and find no request. */
	if (!failed && cqe.res != -ENOENT)
		expect("timeout", -ECANCELED, cqe.res);
}

/* Whether a message has files, or a receive asks for them. */
static bool wants_fds(const struct step *step)
{
	return step->e >= 224;
}

/* The actor closes the descriptors that it has received: each number has to be one. */
static void close_fds(struct place place)
{
	struct actor_shared *shared = shared_of(place);
	uint32_t count = delivery.fds;

	for (uint32_t i = 0; i < count && !failed; i++) {
		memset(&shared->sqes[0], 0, sizeof(shared->sqes[0]));
		shared->sqes[0].opcode = IORING_OP_CLOSE;
		shared->sqes[0].fd = shared->got_fds[i];
		shared->sqes[0].user_data = CLOSE_DATA;
		run_request(place, "closing a descriptor", 0);
	}
}

/* The longest message of a vector. */
#define VEC_LEN		1000

/* Where to put a message, usually at `usual`; 0 if the message cannot be read. */
static uint64_t place_message(struct actor_shared *shared, unsigned int kind, uint32_t len,
			      uint64_t usual)
{
	switch (kind) {
	case 1:
	case 2:
	case 3:
	case 4:
		return 0;
	case 5:
		return len <= EDGE_SIZE ? (uintptr_t)shared->edge + EDGE_SIZE - len : usual;
	case 6:
		return usual + 1;
	default:
		return usual;
	}
}

/* An address from which `len` bytes cannot be read. */
static uint64_t unreadable(const struct actor_shared *shared, unsigned int kind, uint32_t len)
{
	switch (kind) {
	case 1:
		return 8;
	case 2:
		return 0xffff888000000000;
	case 3:
		return UINT64_MAX;
	default:
		/* Only the first half can be read. */
		return (uintptr_t)shared->edge + EDGE_SIZE - len / 2;
	}
}

void step_send(const struct step *step)
{
	static const uint32_t choices[64] = {
		[28] = IOIPC_SEND_WAIT, IOIPC_SEND_WAIT, IOIPC_SEND_WAIT, IOIPC_SEND_WAIT,
		IOIPC_SEND_WAIT, IOIPC_SEND_WAIT, IOIPC_SEND_WAIT, IOIPC_SEND_WAIT,
		[40] = IOIPC_SEND_VEC, IOIPC_SEND_VEC, IOIPC_SEND_VEC, IOIPC_SEND_VEC,
		IOIPC_SEND_VEC, IOIPC_SEND_VEC, IOIPC_SEND_VEC, IOIPC_SEND_VEC,
		[52] = IOIPC_SEND_VEC | IOIPC_SEND_WAIT, IOIPC_SEND_VEC | IOIPC_SEND_WAIT,
		IOIPC_FIXED_BUF, IOIPC_FIXED_BUF, IOIPC_FIXED_BUF | IOIPC_SEND_WAIT,
		IOIPC_SEND_VEC | IOIPC_FIXED_BUF, 1U << 3, 1U << 31,
	};
	unsigned int modifier = step->e % MODIFIERS, kind = step->d < 200 ? 0 : step->d % 8;
	uint32_t flags = choices[step->a % 64], id, target = 0, count, room;
	struct subscriber *subscriber;
	struct channel *channel = NULL;
	struct actor_shared *shared;
	struct request *request;
	struct iovec *vector;
	struct place place;
	uint64_t address;
	int expected, error = 0;
	bool vec;

	if (step->a >= 0xc0) {
		/* The sender is not attached. */
		place = place_of(step);
		channel = channel_of(step, &id);
	} else {
		subscriber = subscriber_of(step, &id, &place);
		if (subscriber)
			channel = subscriber->channel;
		for (unsigned int i = 0; i < model.channel_count && !channel; i++)
			if (model.channels[i].id == id)
				channel = &model.channels[i];
	}
	use(place);
	request = new_request(place);
	if (!request)
		return;
	if (step->c >= 240)
		target = no_id(step->c) ?: 1;
	else if (step->c >= 160 && model.subscriber_count)
		target = model.subscribers[step->c % model.subscriber_count].id;

	if (wants_fds(step))
		flags |= IOIPC_SEND_FDS;
	vec = flags & IOIPC_SEND_VEC;
	count = vec ? 1 + step->b / 32 % 5 : 1;
	if (flags & IOIPC_SEND_WAIT && channel && waiting(channel, false))
		flags &= ~IOIPC_SEND_WAIT;
	if (channel && vec) {
		uint32_t last = channel->flags & IOIPC_F_BROADCAST ?
				model_last(&model, channel) : channel->head;

		room = channel->entries - (channel->tail - last);
		/* The messages may take several slots each. */
		if (model_slots(channel, channel->max_msg_size) > 1)
			room = 0;
		/* Or senders may have shares. */
		if (channel->flags & IOIPC_F_FAIR)
			room = 0;
		if (waiting(channel, true) > 1 || (waiting(channel, true) && room < count) ||
		    (flags & IOIPC_SEND_WAIT && room < count))
			count = 1;
	}
	request->channel = channel;
	request->outgoing = (struct outgoing) {
		.id = id,
		.target = target,
		.sender_data = request->user_data,
		.vector = vec,
		.count = count,
		.readable = count,
		.fds = wants_fds(step) ? 1 + step->d % MAX_FDS : 0,
	};

	shared = shared_of(place);
	for (uint32_t i = 0; i < MAX_FDS; i++)
		shared->fds[i] = 2;
	vector = (struct iovec *)request->buffer;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t max = channel ? channel->max_msg_size : 8;
		const uint32_t lens[] = { 8, 8, max, max, 0, 1, max - 1, max / 2, max + 1, 3 };
		uint32_t len = lens[(step->b + i) % ARRAY_SIZE(lens)], seed = ++serial;

		/* Behind the vector, one message after the other. */
		if (vec && len > VEC_LEN)
			len = VEC_LEN;
		address = (uintptr_t)request->buffer + (vec ? (i + 1) * (VEC_LEN + 1) : 0);
		if (i == count - 1 && !(flags & IOIPC_FIXED_BUF))
			address = place_message(shared, kind, len, address);
		if (address)
			model_fill((uint8_t *)(uintptr_t)address, len, seed);
		else
			request->outgoing.readable = i;
		if (!address)
			address = unreadable(shared, kind, len);
		request->outgoing.messages[i].len = len;
		request->outgoing.messages[i].seed = seed;
		if (vec)
			vector[i] = (struct iovec) { (void *)(uintptr_t)address, len };
	}

	memset(&shared->sqes[0], 0, sizeof(shared->sqes[0]));
	shared->sqes[0].opcode = IOIPC_OP_SEND;
	shared->sqes[0].fd = (int)id;
	shared->sqes[0].addr = vec ? (uintptr_t)vector : address;
	shared->sqes[0].len = vec ? count : request->outgoing.messages[0].len;
	shared->sqes[0].file_index = target;
	shared->sqes[0].rw_flags = (__kernel_rwf_t)flags;
	shared->sqes[0].user_data = request->user_data;
	if (request->outgoing.fds) {
		shared->sqes[0].addr2 = (uintptr_t)shared->fds;
		shared->sqes[0].ioprio = (uint16_t)request->outgoing.fds;
	}
	trace("actor %u ring %u: SEND %#llx id %u len %u x %u", place.actor, place.ring,
	      (unsigned long long)request->user_data, id, request->outgoing.messages[0].len,
	      count);
	trace(" target %u flags %#x buffer %u modifier %u", target, flags, kind, modifier);

	if (flags & ~(IOIPC_SEND_WAIT | IOIPC_SEND_VEC | IOIPC_FIXED_BUF | IOIPC_SEND_FDS) ||
	    (vec && flags & (IOIPC_FIXED_BUF | IOIPC_SEND_FDS)) ||
	    (flags & IOIPC_SEND_FDS && !request->outgoing.fds))
		error = -EINVAL;
	if (vec && !error && kind && step->b % 16 < 2) {
		shared->sqes[0].len = step->b % 16 ? 0 : IOIPC_MAX_VEC + 1;
		error = -EINVAL;
	}
	error = spoil(&shared->sqes[0], modifier) ?: error;
	if (!error && flags & IOIPC_FIXED_BUF) {
		if (modifier == BAD_FIXED)
			shared->sqes[0].buf_index = 1;
		else if (modifier == BAD_FIXED_RANGE)
			shared->sqes[0].addr = (uintptr_t)shared->slots + sizeof(shared->slots);
		if (modifier == BAD_FIXED ||
		    (modifier == BAD_FIXED_RANGE && request->outgoing.messages[0].len))
			error = -EFAULT;
	}
	if (!error && request->outgoing.fds && step->b >= 240) {
		shared->fds[step->b % request->outgoing.fds] = step->b % 2 ? -1 : INT_MAX;
		error = -EBADF;
	}
	if (!error && vec && kind == 7) {
		shared->sqes[0].addr = 8;
		error = -EFAULT;
	}
	if (error) {
		run_wrong(request, "SEND", error);
		return;
	}
	expected = model_send(&model, place, &request->outgoing);
	if (expected == -ENOBUFS && flags & IOIPC_SEND_WAIT) {
		trace(" -> waits\n");
		request->waits = true;
		request->outgoing.waited = true;
	} else {
		if (expected == -EDQUOT)
			expected = -ENOBUFS;
		trace(" -> %d\n", expected);
	}
	if (modifier == ASYNC && !request->waits)
		shared->sqes[0].flags |= IOSQE_ASYNC;
	if (modifier == LINK_TIMEOUT)
		link_timeout(request, request->waits);
	submit(place, modifier == LINK_TIMEOUT ? 2 : 1);
	if (!request->waits)
		simple_completion(request, "send", expected);
	if (modifier == LINK_TIMEOUT)
		timeout_completion(request);
}

void step_receive(const struct step *step)
{
	static const uint32_t lens[] = {
		64, 64, 256, 8, 0, 47, 48, 56, 100, 112, 128, 160, 300, 1000, 4200, 8000,
	};
	const uint32_t known = IOIPC_RECV_WAIT | IOIPC_RECV_MULTISHOT | IOIPC_FIXED_BUF |
		IOIPC_RECV_INFO | IOIPC_RECV_BUNDLE | IOIPC_RECV_TRUNC | IOIPC_RECV_MAPPED |
		IOIPC_RECV_FDS;
	unsigned int modifier = step->e % MODIFIERS, kind = step->d < 200 ? 0 : step->d % 8;
	uint32_t flags = 0, id, len = lens[step->b % ARRAY_SIZE(lens)];
	struct subscriber *subscriber;
	struct actor_shared *shared;
	struct io_uring_sqe *sqe;
	struct request *request;
	struct place place;
	int error = 0;

	subscriber = subscriber_of(step, &id, &place);
	use(place);
	request = new_request(place);
	if (!request)
		return;
	if (step->a % 4 == 1)
		flags |= IOIPC_RECV_WAIT;
	if (step->a / 4 % 4 == 1)
		flags |= IOIPC_RECV_INFO;
	if (step->a / 16 % 4 == 1)
		flags |= IOIPC_RECV_BUNDLE;
	if (step->a / 64 == 1)
		flags |= IOIPC_RECV_TRUNC;
	if (step->c >= 160 && step->c < 200)
		request->selects = true;
	if ((step->c >= 176 && step->c < 200) || (step->c >= 232 && step->c < 236))
		flags |= IOIPC_RECV_MULTISHOT;
	if (step->c >= 200 && step->c < 216)
		flags = IOIPC_RECV_MAPPED | (step->c % 8 ? flags & IOIPC_RECV_WAIT : flags);
	if (step->c >= 216 && step->c < 232)
		flags |= IOIPC_FIXED_BUF;
	if (step->c >= 240)
		flags |= 1U << (step->c & 31);
	/* The descriptors are closed at once, so the request must not wait. */
	if (wants_fds(step) && !(flags & (IOIPC_RECV_WAIT | IOIPC_RECV_MULTISHOT)))
		flags |= IOIPC_RECV_FDS;
	if (flags & IOIPC_FIXED_BUF && (!len || kind > 3))
		/* An empty buffer has no address. */
		kind = 0;
	request->channel = subscriber ? subscriber->channel : NULL;
	request->receives = true;
	request->multishot = flags & IOIPC_RECV_MULTISHOT;
	if (request->multishot && request->channel && waiting(request->channel, false))
		flags &= ~IOIPC_RECV_BUNDLE;

	shared = shared_of(place);
	request->incoming = (struct incoming) { id, flags, len, len, 0 };
	if (flags & IOIPC_RECV_FDS && wants_fds(step))
		request->incoming.fds = 1 + step->d % MAX_FDS;
	request->guard = 64;
	if (kind == 4 && len < EDGE_SIZE) {
		/* Only the first half is memory. */
		request->buffer = shared->edge + EDGE_SIZE - len / 2;
		request->incoming.writable = len / 2;
		request->guard = 0;
	} else if (kind == 5 && len < EDGE_SIZE) {
		request->buffer = shared->edge + EDGE_SIZE - len;
		request->guard = 0;
	} else if (kind == 6) {
		request->buffer++;
	}
	memset(request->buffer, UNTOUCHED, request->incoming.writable + request->guard);
	sqe = &shared->sqes[0];
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IOIPC_OP_RECV;
	sqe->fd = (int)id;
	sqe->addr = (uintptr_t)request->buffer;
	sqe->rw_flags = (__kernel_rwf_t)flags;
	sqe->user_data = request->user_data;
	if (request->incoming.fds) {
		sqe->addr2 = (uintptr_t)shared->got_fds;
		sqe->ioprio = (uint16_t)request->incoming.fds;
	}
	if (kind >= 1 && kind <= 3) {
		sqe->addr = kind == 1 ? 8 : kind == 2 ? 0xffff888000000000 : UINT64_MAX;
		request->incoming.writable = 0;
	}
	if (request->selects) {
		sqe->flags |= IOSQE_BUFFER_SELECT;
		if (kind != 7)
			sqe->addr = 0;
		if (step->b >= 128)
			request->incoming.len = 0;
	}
	if (flags & IOIPC_RECV_MAPPED && step->b < 224) {
		sqe->addr = 0;
		request->incoming.len = 0;
	}
	sqe->len = request->incoming.len;
	if (sqe->addr != (uintptr_t)request->buffer && !request->selects)
		request->buffer = NULL;
	trace("actor %u ring %u: RECV %#llx id %u len %u flags %#x%s", place.actor, place.ring,
	      (unsigned long long)request->user_data, id, sqe->len, flags,
	      request->selects ? " select" : "");
	trace(" buffer %u modifier %u", kind, modifier);

	if (flags & ~known || (request->selects && (sqe->addr || flags & IOIPC_FIXED_BUF)) ||
	    (request->multishot && !request->selects) ||
	    (flags & IOIPC_RECV_BUNDLE && flags & IOIPC_RECV_TRUNC) ||
	    (flags & IOIPC_RECV_FDS &&
	     (!request->incoming.fds || !(flags & IOIPC_RECV_INFO) ||
	      flags & (IOIPC_RECV_BUNDLE | IOIPC_RECV_MULTISHOT))) ||
	    (flags & IOIPC_RECV_MAPPED && (flags & ~(IOIPC_RECV_MAPPED | IOIPC_RECV_WAIT) ||
					   request->selects || sqe->addr || sqe->len)))
		error = -EINVAL;
	error = spoil(sqe, modifier) ?: error;
	if (!error && flags & IOIPC_FIXED_BUF) {
		if (modifier == BAD_FIXED)
			sqe->buf_index = 1;
		if (modifier == BAD_FIXED || kind)
			error = -EFAULT;
	}
	if (error) {
		run_wrong(request, "RECV", error);
		return;
	}
	predict(request, MAX_MESSAGES);
	if (must_wait(request) && !request->guard)
		/* There is one edge for all requests. */
		request->buffer = NULL;
	if (must_wait(request))
		trace(" -> waits\n");
	else
		trace(" -> %d\n", delivery.res);
	/* A worker keeps the buffer that it has selected. */
	if (modifier == ASYNC && !must_wait(request) && !request->selects)
		sqe->flags |= IOSQE_ASYNC;
	if (modifier == LINK_TIMEOUT && !request->multishot)
		link_timeout(request, must_wait(request));
	submit(place, modifier == LINK_TIMEOUT && !request->multishot ? 2 : 1);
	if (failed)
		return;
	receive_now(request, false);
	if (modifier == LINK_TIMEOUT && !request->multishot && !failed)
		timeout_completion(request);
	if (!failed)
		close_fds(place);
}

void step_watch(const struct step *step)
{
	uint32_t flags = IOIPC_RECV_GONE, id, target = no_id(step->a) ?: 1;
	unsigned int modifier = step->e % MODIFIERS;
	struct io_uring_sqe *sqe;
	struct request *request;
	struct place place;
	int expected, error = 0;

	subscriber_of(step, &id, &place);
	use(place);
	request = new_request(place);
	if (!request)
		return;
	if (step->b >= 240 && model.channel_count)
		target = model.channels[step->a % model.channel_count].id;
	else if (step->b < 224 && model.subscriber_count)
		target = model.subscribers[step->a % model.subscriber_count].id;
	if (step->c >= 224)
		flags |= 1U << (step->c & 31);
	request->watches = true;
	request->watcher = id;
	request->target = target;

	sqe = &shared_of(place)->sqes[0];
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IOIPC_OP_RECV;
	sqe->fd = (int)id;
	sqe->file_index = target;
	sqe->rw_flags = (__kernel_rwf_t)flags;
	sqe->user_data = request->user_data;
	if (step->d >= 248)
		sqe->addr = (uintptr_t)request->buffer;
	else if (step->d >= 240)
		sqe->len = 8;
	trace("actor %u ring %u: RECV %#llx id %u gone %u flags %#x modifier %u", place.actor,
	      place.ring, (unsigned long long)request->user_data, id, target, flags, modifier);

	if (flags & ~(IOIPC_RECV_GONE | IOIPC_RECV_WAIT) || sqe->addr || sqe->len)
		error = -EINVAL;
	error = spoil(sqe, modifier) ?: error;
	if (modifier == BAD_TARGET)
		sqe->file_index = 0;
	if (error) {
		run_wrong(request, "RECV of an end", error);
		return;
	}
	expected = model_watch(&model, place, id, target, false);
	request->waits = expected == -EAGAIN;
	if (request->waits)
		trace(" -> waits\n");
	else
		trace(" -> %d\n", expected);
	if (modifier == ASYNC && !request->waits)
		sqe->flags |= IOSQE_ASYNC;
	if (modifier == LINK_TIMEOUT)
		link_timeout(request, request->waits);
	submit(place, modifier == LINK_TIMEOUT ? 2 : 1);
	if (!request->waits)
		simple_completion(request, "RECV of an end", expected);
	if (modifier == LINK_TIMEOUT)
		timeout_completion(request);
}

void step_cancel(const struct step *step)
{
	for (unsigned int i = 0; i < MAX_REQUESTS && step->object < 0xf0; i++) {
		struct request *request = &requests[(step->object + i) % MAX_REQUESTS];

		if (request->waits) {
			cancel(request, request->place);
			return;
		}
	}
	cancel(NULL, place_of(step));
}
