// SPDX-License-Identifier: GPL-2.0
/*
 * A ring in shared memory: what a program has to implement when no other mechanism is
 * fast enough.  The sender writes the message to its place in the ring, and the
 * receiver reads it there.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "harness.h"
#include "job.h"
#include "parking.h"
#include "process.h"
#include "shm_ring.h"

struct shm_variant {
	enum parking_kind parking;
	/*
	 * An eventfd announces each message, whether or not the receiver sleeps, as in
	 * a program whose receiver is an event loop.
	 */
	bool tell_each;
};

/* In shared memory. */
struct shm_link {
	struct broadcast_ring broadcast;
	struct queue_ring queue;
	/* Where senders wait for room. */
	struct parking room;
	/* Where receivers wait for messages: each for its own, or all for the same messages. */
	struct parking messages[MAX_RECEIVERS];
	/* With tell_each. */
	int eventfds[MAX_RECEIVERS];
};

struct shm_endpoint {
	struct shm_link *link;
	unsigned int slots;
	struct broadcast_sender sender;
	struct broadcast_receiver receiver;
	/* With tell_each, how many announced messages it has not received yet. */
	uint64_t told;
};

static const struct shm_variant *variant_of(const struct endpoint *endpoint)
{
	return endpoint->job->mechanism->variant;
}

/* Several senders or several receivers that share messages, not the one sender of a broadcast. */
static bool is_queue(const struct link *link)
{
	return !link->to_all && link->senders + link->receivers > 2;
}

static void setup(struct link *link)
{
	const struct shm_variant *variant = link->job->mechanism->variant;
	struct shm_link *state = shared_alloc(sizeof(*state));
	unsigned int i, slots = link->job->slots;

	if (is_queue(link))
		queue_init(&state->queue, slots, link->job->size);
	else
		shm_slots_init(&state->broadcast.slots, slots, link->job->size);
	state->broadcast.receivers = link->receivers;
	parking_init(&state->room, variant->parking, link->senders);
	for (i = 0; i < (is_queue(link) ? 1 : link->receivers); i++) {
		parking_init(&state->messages[i], variant->parking,
			     is_queue(link) ? link->receivers : 1);
		if (!variant->tell_each)
			continue;
		/*
		 * Each announced message lets one of the receivers that share a queue
		 * take one message.
		 */
		state->eventfds[i] = eventfd(0, EFD_CLOEXEC |
						(link->receivers > 1 && is_queue(link) ?
						 EFD_SEMAPHORE : 0));
		if (state->eventfds[i] < 0)
			job_errno("eventfd", errno);
	}
	link->state = state;
}

/* A process has one of these for each direction. */
static void open_endpoint(struct endpoint *endpoint)
{
	struct shm_endpoint *ends = calloc(2, sizeof(*ends));

	if (!ends)
		job_failed("out of memory");
	if (endpoint->out) {
		ends[0].link = endpoint->out->state;
		ends[0].slots = endpoint->job->slots;
	}
	if (endpoint->in) {
		ends[1].link = endpoint->in->state;
		ends[1].slots = endpoint->job->slots;
		ends[1].receiver.own_head =
			&ends[1].link->broadcast.heads[endpoint->in_index].value;
	}
	endpoint->state = ends;
}

static void tell(int eventfd)
{
	uint64_t one = 1;

	while (write(eventfd, &one, sizeof(one)) != sizeof(one)) {
		if (errno != EINTR)
			job_errno("write to an eventfd", errno);
	}
}

/* Waits for announced messages.  Returns how many, or 0 after a signal. */
static uint64_t hear(int eventfd)
{
	uint64_t count;

	if (read(eventfd, &count, sizeof(count)) == sizeof(count))
		return count;
	if (errno != EINTR)
		job_errno("read from an eventfd", errno);
	return 0;
}

/* Called after a message was published. */
static void notify(const struct shm_variant *variant, struct shm_link *link,
		   unsigned int receivers)
{
	unsigned int i;

	for (i = 0; i < receivers; i++) {
		if (variant->tell_each)
			tell(link->eventfds[i]);
		else
			parking_wake(&link->messages[i], 1);
	}
}

static void broadcast_wait_for_room(struct shm_endpoint *end)
{
	struct parking *room = &end->link->room;
	struct broadcast_ring *ring = &end->link->broadcast;

	while (!broadcast_has_room(ring, &end->sender)) {
		if (room->kind == PARKING_NONE) {
			cpu_relax();
			continue;
		}
		parking_announce(room, 0);
		if (broadcast_has_room(ring, &end->sender))
			parking_retract(room, 0);
		else
			parking_park(room, 0);
	}
}

static void broadcast_send(struct endpoint *endpoint, uint64_t count)
{
	const struct shm_variant *variant = variant_of(endpoint);
	struct shm_endpoint *end = endpoint->state;
	struct broadcast_ring *ring = &end->link->broadcast;
	size_t size = endpoint->job->size;
	struct shm_slot *slot;

	for (; count; count--) {
		if (!broadcast_has_room(ring, &end->sender))
			broadcast_wait_for_room(end);
		slot = broadcast_next_free(ring, &end->sender);
		memcpy(slot->message, source_next(&endpoint->source), size);
		slot->length = size;
		broadcast_publish(ring, &end->sender);
		notify(variant, end->link, ring->receivers);
	}
}

/*
 * Wakes the sender when half of the ring is free, so that the sender does not sleep
 * again after each message.  A receiver calls this after each half of the ring, and
 * before it sleeps: the last receiver that calls it finds the ring empty.
 */
static void broadcast_offer_room(struct shm_link *link)
{
	if (parking_has_sleepers(&link->room) &&
	    broadcast_used(&link->broadcast) <= link->broadcast.slots.count / 2)
		parking_leave_tokens(&link->room, 1);
}

/* Sleeps until there is a message or a signal. */
static void broadcast_wait_for_message(struct shm_endpoint *end, unsigned int index)
{
	struct parking *messages = &end->link->messages[index];
	struct broadcast_ring *ring = &end->link->broadcast;

	if (messages->kind == PARKING_NONE) {
		cpu_relax();
		return;
	}
	broadcast_offer_room(end->link);
	parking_announce(messages, 0);
	if (broadcast_has_message(ring, &end->receiver))
		parking_retract(messages, 0);
	else
		parking_park(messages, 0);
}

static void broadcast_receive(struct endpoint *endpoint)
{
	const struct shm_variant *variant = variant_of(endpoint);
	struct shm_endpoint *end = (struct shm_endpoint *)endpoint->state + 1;
	struct broadcast_ring *ring = &end->link->broadcast;
	unsigned int index = endpoint->in_index;
	const struct shm_slot *slot;

	while (sink_open(&endpoint->sink)) {
		if (variant->tell_each && !end->told) {
			broadcast_offer_room(end->link);
			end->told = hear(end->link->eventfds[index]);
			continue;
		}
		if (!broadcast_has_message(ring, &end->receiver)) {
			broadcast_wait_for_message(end, index);
			continue;
		}
		if (variant->tell_each)
			end->told--;
		slot = broadcast_next(ring, &end->receiver);
		sink_take(&endpoint->sink, slot->message, slot->length);
		broadcast_release(&end->receiver);
		if (!(end->receiver.head & (end->slots / 2 - 1)))
			broadcast_offer_room(end->link);
	}
}

static struct shm_slot *queue_wait_for_room(struct shm_link *link, unsigned int index,
					    uint64_t *position)
{
	struct parking *room = &link->room;
	struct shm_slot *slot;

	for (;;) {
		slot = queue_reserve(&link->queue, position);
		if (slot)
			return slot;
		if (room->kind == PARKING_NONE) {
			cpu_relax();
			continue;
		}
		parking_announce(room, index);
		if (queue_has_room(&link->queue))
			parking_retract(room, index);
		else
			parking_park(room, index);
	}
}

static void queue_send(struct endpoint *endpoint, uint64_t count)
{
	const struct shm_variant *variant = variant_of(endpoint);
	struct shm_endpoint *end = endpoint->state;
	size_t size = endpoint->job->size;
	struct shm_slot *slot;
	uint64_t position;

	for (; count; count--) {
		slot = queue_wait_for_room(end->link, endpoint->out_index, &position);
		memcpy(slot->message, source_next(&endpoint->source), size);
		slot->length = size;
		queue_publish(slot, position);
		notify(variant, end->link, 1);
	}
}

/* Sleeps until there is a message or a signal. */
static void queue_wait_for_message(struct shm_endpoint *end, unsigned int index)
{
	struct parking *messages = &end->link->messages[0];

	if (messages->kind == PARKING_NONE) {
		cpu_relax();
		return;
	}
	/* The ring is empty, so senders have room. */
	parking_wake(&end->link->room, end->slots);
	parking_announce(messages, index);
	if (queue_has_message(&end->link->queue))
		parking_retract(messages, index);
	else
		parking_park(messages, index);
}

static void queue_receive(struct endpoint *endpoint)
{
	const struct shm_variant *variant = variant_of(endpoint);
	struct shm_endpoint *end = (struct shm_endpoint *)endpoint->state + 1;
	struct queue_ring *ring = &end->link->queue;
	struct shm_slot *slot;
	uint64_t position;

	while (sink_open(&endpoint->sink)) {
		if (variant->tell_each && !end->told) {
			parking_wake(&end->link->room, end->slots);
			end->told = hear(end->link->eventfds[0]);
			continue;
		}
		slot = queue_claim(ring, &position);
		if (!slot) {
			/*
			 * The announced message may be behind a message that another
			 * sender is still writing.
			 */
			if (variant->tell_each)
				sched_yield();
			else
				queue_wait_for_message(end, endpoint->in_index);
			continue;
		}
		if (variant->tell_each)
			end->told--;
		sink_take(&endpoint->sink, slot->message, slot->length);
		queue_release(ring, slot, position);
		/* Wakes as many senders as have room now. */
		if (!((position + 1) & (end->slots / 4 - 1)))
			parking_wake(&end->link->room, end->slots / 4);
	}
}

static void shm_send(struct endpoint *endpoint, uint64_t count)
{
	if (is_queue(endpoint->out))
		queue_send(endpoint, count);
	else
		broadcast_send(endpoint, count);
}

static void shm_receive(struct endpoint *endpoint)
{
	if (is_queue(endpoint->in))
		queue_receive(endpoint);
	else
		broadcast_receive(endpoint);
}

static const struct shm_variant futex_variant = { .parking = PARKING_FUTEX };
static const struct shm_variant eventfd_variant = { .parking = PARKING_EVENTFD };
static const struct shm_variant eventfd_each_variant = {
	.parking = PARKING_EVENTFD,
	.tell_each = true,
};

static const struct shm_variant busy_variant = { .parking = PARKING_NONE };

#define SHM_MECHANISM			\
	.batch = 1,			\
	.setup = setup,			\
	.open = open_endpoint,		\
	.send = shm_send,		\
	.receive = shm_receive

const struct mechanism shm_mechanisms[] = {
	{
		.name = "shm-futex",
		.what = "shared memory, futex",
		.variant = &futex_variant,
		SHM_MECHANISM,
	}, {
		.name = "shm-eventfd",
		.what = "shared memory, eventfd",
		.variant = &eventfd_variant,
		SHM_MECHANISM,
	}, {
		.name = "shm-eventfd-each",
		.what = "shared memory, eventfd for each message",
		.variant = &eventfd_each_variant,
		SHM_MECHANISM,
	}, {
		.name = "shm-busy",
		.what = "shared memory, receivers spin",
		.flags = MECHANISM_POLLS,
		.variant = &busy_variant,
		SHM_MECHANISM,
	},
	{}
};
