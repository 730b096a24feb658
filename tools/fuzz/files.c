// SPDX-License-Identifier: GPL-2.0

#include "steps.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "waiting.h"

void step_poll(const struct step *step)
{
	struct subscriber *subscriber;
	struct actor_shared *shared;
	struct place place;
	int64_t got, expected = 0;
	uint32_t id, position;

	subscriber = subscriber_of(step, &id, &place);
	if (!subscriber)
		return;
	place = subscriber->place;
	shared = shared_of(place);
	shared->fd = subscriber->fd;
	shared->flags = POLLIN | POLLOUT;
	got = call(place, COMMAND_POLL);
	if (subscriber->flags & IOIPC_SUB_RECV &&
	    model_next(&model, subscriber, &position) != -EAGAIN)
		expected |= POLLIN;
	if (subscriber->flags & IOIPC_SUB_SEND && model_has_room(&model, subscriber))
		expected |= POLLOUT;
	if (!subscriber->attached || subscriber->channel->destroyed)
		expected |= POLLHUP;
	/* A detached subscriber can do nothing, so these events do not matter. */
	if (!subscriber->attached && got >= 0) {
		got &= ~(POLLIN | POLLOUT);
		expected &= ~(POLLIN | POLLOUT);
	}
	trace("actor %u: poll %u -> %#llx\n", place.actor, id, (unsigned long long)expected);
	expect("poll", expected, got);
}

/* Compares the mapped region with the messages of the model. */
static void check_region(struct subscriber *subscriber)
{
	const struct channel *channel = subscriber->channel;
	bool broadcast = channel->flags & IOIPC_F_BROADCAST;
	const struct io_uring_ipc_ring *ring;
	const char *region;
	uint32_t position;

	if (subscriber->region_size > COPY_SIZE)
		return;
	region = copy_of(subscriber->place, subscriber->region, subscriber->region_size);
	ring = (const void *)region;
	expect("producer.head", channel->destroyed ? IOIPC_RING_CLOSED : 0, ring->producer.head);
	expect("producer.tail", channel->tail, ring->producer.tail);
	expect("ring_mask", channel->entries - 1, ring->ring_mask);
	expect("ring_entries", channel->entries, ring->ring_entries);
	expect("max_msg_size", channel->max_msg_size, ring->max_msg_size);
	expect("version", model_slots(channel, channel->max_msg_size) > 1 ?
	       IOIPC_RING_VERSION_LARGE : IOIPC_RING_VERSION, ring->version);
	expect("desc_offset", sizeof(*ring), ring->desc_offset);
	expect("desc_stride", sizeof(struct io_uring_ipc_msg_desc), ring->desc_stride);
	expect("data_stride", channel->slot_size, ring->data_stride);
	if (!ring->cursor_offset == broadcast)
		fail("cursor_offset: %#llx", (unsigned long long)ring->cursor_offset);
	if (waiting(channel, false) && !ring->senders_wait)
		fail("senders_wait is 0, and a sender waits");
	position = broadcast ? model_last(&model, subscriber->channel) : channel->head;
	for (; position != channel->tail && !failed; position++) {
		const struct message *message = &channel->messages[position];
		const struct io_uring_ipc_msg_desc *desc = &ring->msgs[position & ring->ring_mask];
		uint8_t bytes[8192];

		expect("seq", position + 1, desc->seq);
		if (!message->ready) {
			if (desc->state == IOIPC_MSG_READY)
				fail("message %u is still there", position);
			continue;
		}
		expect("state", IOIPC_MSG_READY, desc->state);
		expect("len", message->len, desc->len);
		expect("slots", model_slots(channel, message->len), desc->slots);
		expect("msg_id", position + 1, desc->msg_id);
		expect("sender", message->sender | (message->call ? IOIPC_MSG_CALL : 0),
		       desc->sender);
		expect("target", message->target, desc->target);
		if (desc->sender_data != message->sender_data)
			fail("sender_data of message %u", position);
		expect("offset", ring->data_offset +
		       (uint64_t)(position & ring->ring_mask) * ring->data_stride,
		       (int64_t)desc->offset);
		model_fill(bytes, message->len, message->seed);
		if (!failed && memcmp(bytes, region + desc->offset, message->len))
			fail("bytes of message %u in the mapping", position);
	}
}

/* Offset of the cursor page, if the subscriber does not have it from the kernel. */
#define CURSOR_OFFSET	0x100000000

void step_map(const struct step *step)
{
	struct subscriber *subscriber;
	struct place place;
	unsigned int what = step->a % 8;
	uint64_t size, offset = 0;
	int64_t ret, expected = 0;
	int prot = PROT_READ;
	uint32_t id;

	subscriber = subscriber_of(step, &id, &place);
	if (!subscriber)
		return;
	place = subscriber->place;
	if (what < 3 && subscriber->region) {
		trace("actor %u: look at the mapping of %u\n", place.actor, id);
		check_region(subscriber);
		return;
	}
	if (what >= 3 && what < 6 && subscriber->cursor_page)
		return;
	size = subscriber->region_size ? subscriber->region_size : 4096;
	if (!subscriber->region_size || !subscriber->attached || what == 6)
		expected = -EACCES;
	else if (what == 7 || (what >= 3 && !(subscriber->channel->flags & IOIPC_F_BROADCAST)))
		expected = -EINVAL;
	if (what >= 3 && what < 6) {
		size = 4096;
		offset = CURSOR_OFFSET;
	}
	if (what >= 3 && what <= 6)
		prot |= PROT_WRITE;
	if (what == 7)
		size += 4096;
	trace("actor %u: mmap %u, %s%s -> %lld\n", place.actor, id,
	      offset ? "cursor" : "region", what >= 6 ? ", wrong" : "", (long long)expected);
	ret = map(place, subscriber->fd, size, offset, prot);
	if (ret < 0 || expected) {
		expect("mmap", expected, ret);
		return;
	}
	if (offset) {
		struct io_uring_ipc_cursor cursor;

		cursor = *(const struct io_uring_ipc_cursor *)copy_of(place, (uint64_t)ret,
								      sizeof(cursor));
		/* The cursor may have moved over messages for other receivers. */
		if (cursor.position < subscriber->cursor ||
		    cursor.position > model_find(subscriber, subscriber->cursor))
			fail("the cursor is at %u, and not at %u", cursor.position,
			     subscriber->cursor);
		subscriber->cursor_page = (uint64_t)ret;
		subscriber->stored = cursor.position;
	} else {
		subscriber->region = (uint64_t)ret;
		check_region(subscriber);
	}
}

/* Lets the kernel look at the position that a receiver has stored. */
static void tell_position(struct place place, uint32_t id)
{
	struct actor_shared *shared = shared_of(place);

	memset(&shared->sqes[0], 0, sizeof(shared->sqes[0]));
	shared->sqes[0].opcode = IOIPC_OP_RECV;
	shared->sqes[0].fd = (int)id;
	shared->sqes[0].rw_flags = IOIPC_RECV_MAPPED;
	shared->sqes[0].user_data = ++serial;
	model_receive(&model, place, &(struct incoming) { .id = id, .flags = IOIPC_RECV_MAPPED }, 0,
		      &delivery);
	/* The kernel looks at the position, and wakes the sender, before it counts. */
	submit(place, 1);
	completion(place, serial);
}

void step_store(const struct step *step)
{
	struct subscriber *subscriber;
	struct actor_shared *shared;
	struct place place;
	uint32_t id, value;

	subscriber = subscriber_of(step, &id, &place);
	if (!subscriber || !subscriber->cursor_page)
		return;
	place = subscriber->place;
	/*
	 * The kernel decides when it looks, and may not have seen the last stored
	 * position yet.
	 */
	if (subscriber->attached)
		tell_position(place, id);
	if (failed)
		return;
	value = subscriber->cursor;
	switch (step->a % 8) {
	case 0:
	case 1:
	case 2:
		value += step->a % 8;
		break;
	case 3:
	case 4:
		value = subscriber->channel->tail;
		break;
	case 5:
		value--;
		break;
	case 6:
		value = subscriber->channel->tail + 1;
		break;
	default:
		value = step->b * 0x01010101U;
	}
	trace("actor %u: store %u as position of %u\n", place.actor, value, id);
	shared = shared_of(place);
	shared->address = subscriber->cursor_page;
	shared->flags = value;
	expect("storing", 0, call(place, COMMAND_STORE));
	subscriber->stored = value;
	if (!subscriber->attached || !waiting(subscriber->channel, false) || failed)
		return;
	/* A sender waits for room, so the receiver has to tell the kernel. */
	tell_position(place, id);
}

static void expect_line(const char *text, const char *name, unsigned long long expected)
{
	const char *line = strstr(text, name);

	if (!line)
		fail("fdinfo: there is no %s", name);
	else if (strtoull(line + strlen(name), NULL, 0) != expected)
		fail("fdinfo: %.40s, and not %llu", line, expected);
}

void step_fdinfo(const struct step *step)
{
	struct subscriber *subscriber;
	const struct channel *channel;
	struct place place;
	char line[256];
	const char *text;
	uint32_t id;

	subscriber = subscriber_of(step, &id, &place);
	if (!subscriber)
		return;
	place = subscriber->place;
	channel = subscriber->channel;
	trace("actor %u: fdinfo of %u\n", place.actor, id);
	shared_of(place)->fd = subscriber->fd;
	expect("fdinfo", 0, call(place, COMMAND_FDINFO));
	text = shared_of(place)->copy;
	expect_line(text, "ioipc-channel:\t", channel->id);
	expect_line(text, "ioipc-owner:\t", model_uid(channel->creator.actor, place.actor));
	expect_line(text, "ioipc-subscriber:\t", id);
	expect_line(text, "ioipc-flags:\t", subscriber->flags);
	expect_line(text, "ioipc-sent:\t", subscriber->sent);
	expect_line(text, "ioipc-received:\t", subscriber->received);
	expect_line(text, "ioipc-lost:\t", subscriber->lost);
	expect_line(text, "ioipc-dropped:\t", channel->dropped);
	if (!strstr(text, channel->flags & IOIPC_F_BROADCAST ? "ioipc-mode:\tbroadcast\n" :
		    channel->flags & IOIPC_F_MULTICAST ? "ioipc-mode:\tmulticast\n" :
		    "ioipc-mode:\tunicast\n"))
		fail("fdinfo: wrong mode");
	snprintf(line, sizeof(line), "ioipc-name:\t%s\n", shown_names[channel->name]);
	if (channel->name ? !strstr(text, line) : !!strstr(text, "ioipc-name:"))
		fail("fdinfo: wrong name");
}
