// SPDX-License-Identifier: GPL-2.0
/*
 * Calls and answers.  A call ends within its step, with an answer or without, so that the
 * model need not know of calls that wait.  Its message stays.
 */
#include "steps.h"

#include <errno.h>
#include <string.h>

#include "waiting.h"

/* Where the struct and the buffer of a request are in its memory, behind the message. */
#define EXCHANGE_OFFSET	4300
#define BUFFER_OFFSET	4352

static struct io_uring_ipc_exchange *exchange_of(const struct request *request)
{
	return (void *)((uintptr_t)(request->buffer + EXCHANGE_OFFSET) & ~7ULL);
}

static struct io_uring_sqe *fill_in(struct request *request, uint32_t id, uint32_t target,
				    uint32_t len, uint32_t flags)
{
	struct io_uring_sqe *sqe = &shared_of(request->place)->sqes[0];

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IOIPC_OP_SEND;
	sqe->fd = (int)id;
	sqe->addr = (uintptr_t)request->buffer;
	sqe->len = len;
	sqe->file_index = target;
	sqe->rw_flags = (__kernel_rwf_t)flags;
	sqe->addr3 = (uintptr_t)exchange_of(request);
	sqe->user_data = request->user_data;
	return sqe;
}

/* Answers, and compares the result. */
static void answer(struct place place, uint32_t id, uint32_t call, uint32_t len, uint32_t seed,
		   int expected)
{
	struct request *request;

	use(place);
	request = new_request(place);
	if (!request)
		return;
	model_fill(request->buffer, len, seed);
	*exchange_of(request) = (struct io_uring_ipc_exchange) { .call = call };
	fill_in(request, id, 0, len, IOIPC_SEND_REPLY);
	trace("actor %u ring %u: SEND %#llx id %u answers %u len %u -> %d\n", place.actor,
	      place.ring, (unsigned long long)request->user_data, id, call, len, expected);
	run_request(place, "answer", expected);
}

/* The subscriber that may answer a call for this target. */
static struct subscriber *callee(uint32_t target)
{
	for (unsigned int i = 0; i < model.subscriber_count; i++)
		if (target && model.subscribers[i].id == target && model.subscribers[i].attached)
			return &model.subscribers[i];
	return NULL;
}

void step_call(const struct step *step)
{
	static const uint32_t bad_flags[] = {
		IOIPC_SEND_VEC, IOIPC_SEND_REPLY, IOIPC_SEND_RECV, 1U << 7, 1U << 3,
	};
	uint32_t id, target = 0, len, room = step->b * 4, flags = IOIPC_SEND_CALL, slots, prefix;
	struct io_uring_ipc_exchange *exchange;
	struct subscriber *caller, *target_sub;
	struct channel *channel;
	uint8_t expected_bytes[4096];
	struct actor_shared *shared;
	struct request *request;
	struct io_uring_sqe *sqe;
	struct place place;
	uint32_t seed = ++serial;
	int expected, error = 0;

	subscriber_of(step, &id, &place);
	use(place);
	request = new_request(place);
	if (!request)
		return;
	if (step->c >= 240)
		target = no_id(step->c) ?: 1;
	else if (step->c >= 96 && model.subscriber_count)
		target = model.subscribers[step->c % model.subscriber_count].id;
	caller = model_subscriber(&model, place, id);
	channel = caller ? caller->channel : NULL;
	len = !channel ? 8 : step->a < 32 ? channel->max_msg_size + 1 :
	      step->a % (channel->max_msg_size + 1);
	if (len > EXCHANGE_OFFSET - 8)
		len = 0;
	request->channel = channel;
	request->outgoing = (struct outgoing) {
		.id = id, .target = target, .sender_data = request->user_data,
		.call = true, .count = 1, .readable = 1,
		.messages = { { .len = len, .seed = ++serial } },
	};
	model_fill(request->buffer, len, serial);
	exchange = exchange_of(request);
	*exchange = (struct io_uring_ipc_exchange) {
		.addr = (uintptr_t)request->buffer + BUFFER_OFFSET,
		.len = room,
		.flags = (step->e & 1 ? IOIPC_RECV_INFO : 0) | (step->e & 2 ? IOIPC_RECV_TRUNC : 0),
	};
	prefix = step->e & 1 ? sizeof(struct io_uring_ipc_msg_info) : 0;
	memset(request->buffer + BUFFER_OFFSET, UNTOUCHED, room + 64);
	switch (step->e / 4) {
	case 60:
		exchange->reserved = step->b | 1;
		error = -EINVAL;
		break;
	case 61:
		exchange->call = step->b | 1;
		error = -EINVAL;
		break;
	case 62:
		exchange->flags |= IOIPC_RECV_BUNDLE;
		error = -EINVAL;
		break;
	case 63:
		flags |= bad_flags[step->b % ARRAY_SIZE(bad_flags)];
		error = -EINVAL;
		break;
	}
	if (room < prefix)
		error = -EINVAL;
	sqe = fill_in(request, id, target, len, flags);
	if (step->e / 4 == 59) {
		sqe->addr3 = 8;
		error = -EFAULT;
	}
	trace("actor %u ring %u: SEND %#llx id %u calls, len %u target %u room %u", place.actor,
	      place.ring, (unsigned long long)request->user_data, id, len, target, room);
	if (error)
		expected = error;
	else if (!caller)
		expected = -ENOENT;
	else if (!(caller->flags & IOIPC_SUB_SEND))
		expected = -EACCES;
	else if (channel->flags & IOIPC_F_BROADCAST && !target)
		expected = -EINVAL;
	else
		expected = model_send(&model, place, &request->outgoing);
	/* No call waits for its target. */
	if (expected == -EDQUOT)
		expected = -ENOBUFS;
	if (expected < 0) {
		trace(" -> %d\n", expected);
		submit(place, 1);
		simple_completion(request, "call", expected);
		return;
	}
	slots = model_slots(channel, len);
	target_sub = callee(target);
	shared = shared_of(place);
	if (!target_sub || step->d < 96) {
		struct __kernel_timespec *time = (void *)shared->copy;

		trace(" -> times out\n");
		*time = (struct __kernel_timespec) { .tv_nsec = 1000000 };
		sqe->flags |= IOSQE_IO_LINK;
		memset(&shared->sqes[1], 0, sizeof(shared->sqes[1]));
		shared->sqes[1].opcode = IORING_OP_LINK_TIMEOUT;
		shared->sqes[1].addr = (uintptr_t)time;
		shared->sqes[1].len = 1;
		shared->sqes[1].user_data = request->user_data | 1ULL << 62;
		submit(place, 2);
		simple_completion(request, "call with a timeout", -ECANCELED);
		if (!failed)
			expect("timeout", -ETIME,
			       completion(place, request->user_data | 1ULL << 62).res);
		return;
	}
	trace(" -> is answered\n");
	submit(place, 1);
	/* It keeps its memory. */
	request->waits = true;
	if (step->d & 1)
		/* The caller itself does not have the call, unless it is the target. */
		answer(place, id, channel->tail - slots + 1, 0, ++serial,
		       id == target ? 0 : -ENOENT);
	if (failed)
		return;
	if (!(step->d & 1) || id != target) {
		len = channel->max_msg_size < 4096 ? step->d * 16 % (channel->max_msg_size + 1) : 1;
		answer(target_sub->place, target, channel->tail - slots + 1, len, seed,
		       (int)len);
	} else {
		len = 0;
	}
	if (failed)
		return;
	request->waits = false;
	room -= prefix;
	room = len < room ? len : room;
	simple_completion(request, "answered call",
			  (int)(prefix + (step->e & 2 ? len : room)));
	model_fill(expected_bytes, len, seed);
	if (memcmp(request->buffer + BUFFER_OFFSET + prefix, expected_bytes, room))
		fail("answer of %u bytes", len);
	if (request->buffer[BUFFER_OFFSET + prefix + room] != UNTOUCHED)
		fail("more than the answer was stored");
	answer(target_sub->place, target, channel->tail - slots + 1, 0, ++serial, -ENOENT);
}

/* Answers to calls that there are not, and then receives. */
void step_answer(const struct step *step)
{
	static const uint32_t lens[] = { 64, 256, 48, 100, 8, 1000 };
	struct io_uring_ipc_exchange *exchange;
	struct subscriber *subscriber;
	struct io_uring_sqe *sqe;
	struct request *request;
	struct place place;
	uint32_t id, len = lens[step->b % ARRAY_SIZE(lens)];

	subscriber = subscriber_of(step, &id, &place);
	if (step->d & 1) {
		answer(place, id, step->a | (step->c & 1 ? 0 : (uint32_t)step->e << 24), 0,
		       ++serial, -ENOENT);
		return;
	}
	use(place);
	request = new_request(place);
	if (!request)
		return;
	request->channel = subscriber ? subscriber->channel : NULL;
	request->receives = true;
	request->incoming = (struct incoming) {
		.id = id, .len = len, .writable = len,
		.flags = IOIPC_RECV_WAIT | (step->e & 1 ? IOIPC_RECV_INFO : 0) |
			 (step->e & 2 ? IOIPC_RECV_TRUNC : 0),
	};
	request->guard = 64;
	exchange = exchange_of(request);
	*exchange = (struct io_uring_ipc_exchange) {
		.addr = (uintptr_t)request->buffer,
		.len = len,
		.flags = request->incoming.flags & ~IOIPC_RECV_WAIT,
		.call = step->a,
	};
	sqe = fill_in(request, id, 0, 0, IOIPC_SEND_REPLY | IOIPC_SEND_RECV);
	trace("actor %u ring %u: SEND %#llx id %u answers %u and receives, len %u flags %#x",
	      place.actor, place.ring, (unsigned long long)request->user_data, id, step->a, len,
	      exchange->flags);
	/* An empty answer. */
	sqe->addr = 0;
	memset(request->buffer, UNTOUCHED, len + request->guard);
	if (exchange->flags & IOIPC_RECV_INFO && len < sizeof(struct io_uring_ipc_msg_info)) {
		trace(" -> %d\n", -EINVAL);
		submit(place, 1);
		simple_completion(request, "answer", -EINVAL);
		return;
	}
	predict(request, MAX_MESSAGES);
	if (must_wait(request))
		trace(" -> waits\n");
	else
		trace(" -> %d\n", delivery.res);
	submit(place, 1);
	if (!failed)
		receive_now(request, false);
}
