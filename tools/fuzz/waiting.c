// SPDX-License-Identifier: GPL-2.0

#include "waiting.h"

#include <errno.h>
#include <string.h>

struct delivery delivery;

/* The order of the last request that began to wait. */
static unsigned long order;

/* An unused request, with its own buffer, or NULL if all are used. */
struct request *new_request(struct place place)
{
	bool used[SLOTS] = {};
	struct request *found = NULL;

	for (unsigned int i = 0; i < MAX_REQUESTS; i++) {
		if (!requests[i].waits)
			found = &requests[i];
		else if (requests[i].place.actor == place.actor)
			used[requests[i].slot] = true;
	}
	if (!found)
		return NULL;
	serial++;
	*found = (struct request) {
		.place = place,
		.user_data = (uint64_t)serial << 32 | serial * 2654435761U,
	};
	while (used[found->slot])
		found->slot++;
	found->buffer = actors[place.actor].shared->slots[found->slot];
	return found;
}

/* Whether a buffer has the received messages, and no other byte has changed. */
static bool has(const uint8_t *buffer, size_t size, const struct delivery *delivery)
{
	for (size_t i = 0; i < size; i++) {
		bool written = i < sizeof(delivery->written) && delivery->written[i];

		if (buffer[i] != (written ? delivery->bytes[i] : UNTOUCHED))
			return false;
	}
	return true;
}

/* Predicts the next completion of a request, with at most `limit` messages. */
void predict(struct request *request, unsigned int limit)
{
	struct ring_state *state = state_of(request->place);
	struct incoming incoming = request->incoming;

	if (request->selects) {
		incoming.writable = PROVIDED_SIZE;
		if (!incoming.len || incoming.len > PROVIDED_SIZE)
			incoming.len = PROVIDED_SIZE;
	}
	model_receive(&model, request->place, &incoming, limit, &delivery);
	if (!request->selects || state->provided_count)
		return;
	/* It selects a buffer if it was woken, or if nothing else is wrong. */
	switch (request->waits ? 0 : delivery.res) {
	case -EINVAL:
	case -ENOENT:
	case -EACCES:
	case -EPIPE:
		return;
	}
	memset(&delivery, 0, sizeof(delivery));
	delivery.res = -ENOBUFS;
}

/*
 * Compares a completion with the prediction.  A bundle that has waited may have found
 * fewer messages, because the others were sent later.
 */
static void receive_completion(struct request *request, bool waited)
{
	struct ring_state *state = state_of(request->place);
	struct actor_cqe cqe = completion(request->place, request->user_data);
	struct subscriber *subscriber;
	unsigned int limit;
	uint32_t flags = 0;
	const uint8_t *buffer = request->buffer;
	size_t size = request->incoming.writable + request->guard;

	if (failed)
		return;
	for (limit = delivery.count; waited && limit > 1 && cqe.res != delivery.res;)
		predict(request, --limit);
	trace("#   request %#llx: %d", (unsigned long long)request->user_data, cqe.res);
	if (delivery.count)
		trace(", %u messages from %u on", delivery.count, delivery.positions[0]);
	trace("\n");
	if (cqe.res != delivery.res) {
		fail("receive: %d, and not %d", cqe.res, delivery.res);
		return;
	}
	if (cqe.res >= 0 && request->selects) {
		unsigned int id = state->provided[0];

		flags = IORING_CQE_F_BUFFER | id << IORING_CQE_BUFFER_SHIFT;
		buffer = actors[request->place.actor].shared->provided[request->place.ring][id];
		size = PROVIDED_SIZE;
		state->provided_count--;
		state->changed = true;
		memmove(&state->provided[0], &state->provided[1],
			state->provided_count * sizeof(state->provided[0]));
	}
	if (cqe.res >= 0 && request->multishot)
		flags |= IORING_CQE_F_MORE;
	expect("flags of the completion", flags, cqe.flags);
	/* The buffer may have a part of the message. */
	if (cqe.res == -EFAULT)
		return;
	if (request->buffer && !has(buffer, size, &delivery)) {
		size_t at = 0;

		while (buffer[at] == (delivery.written[at] ? delivery.bytes[at] : UNTOUCHED))
			at++;
		fail("receive: wrong bytes from %zu on", at);
	}
	subscriber = model_subscriber(&model, request->place, request->incoming.id);
	if (subscriber)
		model_received(subscriber, &delivery);
}

bool must_wait(const struct request *request)
{
	return delivery.res == -EAGAIN &&
	       (request->multishot || request->incoming.flags & IOIPC_RECV_WAIT);
}

/* Takes all completions that a receive must have now. */
void receive_now(struct request *request, bool waited)
{
	do {
		predict(request, MAX_MESSAGES);
		if (must_wait(request)) {
			request->waits = true;
			request->order = ++order;
			return;
		}
		request->waits = false;
		receive_completion(request, waited);
		/* The request has returned to the ring in between. */
		waited = waited || request->multishot;
	} while (request->multishot && delivery.res >= 0 && !failed);
}

void simple_completion(struct request *request, const char *what, int expected)
{
	struct actor_cqe cqe = completion(request->place, request->user_data);

	if (failed)
		return;
	trace("#   request %#llx: %d\n", (unsigned long long)request->user_data, cqe.res);
	expect(what, expected, cqe.res);
	expect("flags of the completion", 0, cqe.flags);
}

unsigned int waiting(const struct channel *channel, bool receives)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < MAX_REQUESTS; i++)
		count += requests[i].waits && requests[i].channel == channel &&
			 requests[i].receives == receives;
	return count;
}

/* Whether a request that waits for a message can go on. */
static bool is_ready(struct request *request)
{
	struct subscriber *subscriber;
	uint32_t position;

	subscriber = model_subscriber(&model, request->place, request->incoming.id);
	return !subscriber || model_next(&model, subscriber, &position) != -EAGAIN;
}

/*
 * Whether a request has gone on, and is the next one of those that share provided buffers.
 * In a broadcast one message lets several go on, and they take buffers in any order.
 */
static bool has_gone_on(const struct request *request)
{
	const struct ring_state *state = state_of(request->place);
	const struct actor_cqe *cqe = find_completion(request->place, request->user_data);

	if (!cqe || !request->selects || !state->provided_count)
		return cqe;
	/* The last one may have found none. */
	if (cqe->res == -ENOBUFS)
		return false;
	return !(cqe->flags & IORING_CQE_F_BUFFER) ||
	       cqe->flags >> IORING_CQE_BUFFER_SHIFT == state->provided[0];
}

/*
 * The receive that has gone on, of those that can, or NULL.  A message for any receiver
 * is usually for the first in line.  But on a slow machine the channel may take the task
 * of that one for stopped, and offer the message to others, too.
 */
static struct request *next_receiver(struct channel *channel)
{
	struct request *ready, *done = NULL;
	double end = now() + DEADLINE;
	bool contended;

	do {
		ready = NULL;
		contended = false;
		for (unsigned int i = 0; i < MAX_REQUESTS; i++) {
			struct request *request = &requests[i];

			if (!request->waits || !request->receives ||
			    request->channel != channel || !is_ready(request))
				continue;
			contended = ready;
			ready = request;
			reap(request->place, 0);
			if (has_gone_on(request) && (!done || request->order < done->order))
				done = request;
		}
	} while (contended && !done && !failed && now() < end);
	if (ready)
		channel->contended = contended;
	return done ?: ready;
}

static struct request *waiting_sender(const struct channel *channel)
{
	for (unsigned int i = 0; i < MAX_REQUESTS; i++)
		if (requests[i].waits && !requests[i].receives && requests[i].channel == channel)
			return &requests[i];
	return NULL;
}

/*
 * Whether a receive may end because it was woken in vain.  Like a receive from a
 * socket, it takes a provided buffer before it looks for a message, and finds none.  Or
 * it was woken for a message beside another request, and its own buffer cannot be
 * written.
 */
static bool may_end_in_vain(const struct request *request, int res)
{
	if (request->selects)
		return res == -ENOBUFS && !state_of(request->place)->provided_count;
	return res == -EFAULT && request->receives && request->channel->contended &&
	       request->incoming.writable < request->incoming.len;
}

static void end_in_vain(struct request *request)
{
	const struct actor_cqe *found = find_completion(request->place, request->user_data);
	struct actor_cqe cqe;

	if (!found || !may_end_in_vain(request, found->res))
		return;
	cqe = completion(request->place, request->user_data);
	trace("#   request %#llx: %d, woken in vain\n",
	      (unsigned long long)request->user_data, cqe.res);
	expect("flags of the completion", 0, cqe.flags);
	request->waits = false;
}

/* Whether a send whose target is gone still waits for room. */
static bool waits_for_nothing(struct request *request)
{
	if (!model_waits_for_nothing(&model, request->place, &request->outgoing))
		return false;
	reap(request->place, 0);
	return !find_completion(request->place, request->user_data);
}

/* Completes the requests that watch a subscriber which is gone. */
static void settle_watches(void)
{
	for (unsigned int i = 0; i < MAX_REQUESTS && !failed; i++) {
		struct request *request = &requests[i];
		int expected;

		if (!request->waits || !request->watches)
			continue;
		expected = model_watch(&model, request->place, request->watcher, request->target,
				       true);
		if (expected == -EAGAIN)
			continue;
		request->waits = false;
		simple_completion(request, "RECV of an end", expected);
	}
}

/* Completes all requests that can go on. */
void settle(void)
{
	bool again;

	do {
		again = false;
		for (unsigned int i = 0; i < model.channel_count && !failed; i++) {
			struct channel *channel = &model.channels[i];
			struct request *request = next_receiver(channel);
			int ret;

			if (request) {
				again = true;
				receive_now(request, true);
				continue;
			}
			request = waiting_sender(channel);
			if (!request)
				continue;
			ret = model_send(&model, request->place, &request->outgoing);
			if (ret == -ENOENT && channel->destroyed &&
			    request->outgoing.id == channel->id)
				/* The request had found the channel before it was destroyed. */
				ret = -EPIPE;
			if (ret == -ENOBUFS || waits_for_nothing(request))
				continue;
			if (ret == -EDQUOT)
				ret = -ENOBUFS;
			again = true;
			request->waits = false;
			simple_completion(request, "send", ret);
		}
	} while (again && !failed);
	settle_watches();

	for (unsigned int i = 0; i < MAX_REQUESTS && !failed; i++)
		if (requests[i].waits)
			reap(requests[i].place, 0);
	for (unsigned int i = 0; i < MAX_REQUESTS && !failed; i++)
		if (requests[i].waits)
			end_in_vain(&requests[i]);
	for (unsigned int i = 0; i < ACTORS * RINGS && !failed; i++) {
		const struct ring_state *state = &rings[i / RINGS][i % RINGS];

		if (state->stashed)
			fail("request %#llx completed with %d",
			     (unsigned long long)state->stash[0].user_data, state->stash[0].res);
	}
}
