// SPDX-License-Identifier: GPL-2.0

#include "model.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "actor.h"

#define BROADCAST(channel)	((channel)->flags & IOIPC_F_BROADCAST)

/* The credentials of the actors, in the initial namespaces. */
static const struct {
	uint32_t id, group;
	bool owns_ipc;
	/* Numbers of the namespaces. */
	unsigned int user, ipc;
} who[ACTORS] = {
	[ACTOR_ROOT] = { 0, 0, true, 0, 0 },
	[ACTOR_OWNER] = { 1000, 1000, false, 0, 0 },
	[ACTOR_GROUP] = { 1001, 1000, false, 0, 0 },
	[ACTOR_CONTAINER] = { 1000, 1000, false, 1, 0 },
	[ACTOR_ISOLATED] = { 1000, 1000, true, 2, 1 },
};

bool same_place(struct place a, struct place b)
{
	return a.actor == b.actor && a.ring == b.ring;
}

void model_reset(struct model *model)
{
	model->channel_count = 0;
	model->subscriber_count = 0;
}

void model_fill(uint8_t *bytes, uint32_t len, uint32_t seed)
{
	seed = seed * 2654435761U | 1;
	for (uint32_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(seed >> i % 4 * 8 ^ i ^ i >> 8);
}

uint32_t model_uid(unsigned int actor, unsigned int seen_by)
{
	if (!who[seen_by].user)
		return who[actor].id;
	if (who[actor].id < 1000 || who[actor].id > 1001)
		return 65534;
	return who[actor].id - 1000;
}

uint32_t model_pid(unsigned int actor, unsigned int seen_by)
{
	if (!who[seen_by].user)
		return (uint32_t)actors[actor].pid;
	/* The actor is the first process of its namespace. */
	return actor == seen_by;
}

/* A capability counts too. */
static bool is_owner(const struct channel *channel, unsigned int actor)
{
	return who[actor].id == who[channel->creator.actor].id || who[actor].owns_ipc;
}

static bool is_inside(const struct channel *channel, unsigned int actor)
{
	return who[actor].ipc == who[channel->creator.actor].ipc;
}

/* Whether the caller finds the channel by its id. */
static bool is_visible(const struct channel *channel, struct place place)
{
	if (!is_inside(channel, place.actor))
		return false;
	return !(channel->flags & IOIPC_F_PRIVATE) || same_place(channel->creator, place) ||
	       is_owner(channel, place.actor);
}

static bool in_group(unsigned int actor, uint32_t group)
{
	return who[actor].id == group || who[actor].group == group;
}

/* Like the mode of a file. */
static int may(const struct channel *channel, unsigned int actor, uint32_t flags)
{
	uint32_t owner = who[channel->creator.actor].id;
	uint32_t wanted = 0, mode = channel->mode;

	if (flags & IOIPC_SUB_SEND)
		wanted |= 2;
	if (flags & IOIPC_SUB_RECV)
		wanted |= 4;
	if (who[actor].owns_ipc)
		return 0;
	if (who[actor].id == owner)
		mode >>= 6;
	else if (in_group(actor, owner))
		mode >>= 3;
	return wanted & ~mode ? -EACCES : 0;
}

static struct channel *by_id(struct model *model, uint32_t id)
{
	for (unsigned int i = 0; i < model->channel_count; i++)
		if (model->channels[i].id == id && !model->channels[i].destroyed)
			return &model->channels[i];
	return NULL;
}

static struct channel *by_key(struct model *model, unsigned int actor, uint64_t key)
{
	for (unsigned int i = 0; i < model->channel_count; i++) {
		struct channel *channel = &model->channels[i];

		if (channel->key == key && !channel->destroyed && is_inside(channel, actor))
			return channel;
	}
	return NULL;
}

static struct channel *by_name(struct model *model, unsigned int actor, unsigned int name)
{
	for (unsigned int i = 0; i < model->channel_count; i++) {
		struct channel *channel = &model->channels[i];

		if (channel->name == name && !channel->destroyed && is_inside(channel, actor))
			return channel;
	}
	return NULL;
}

int model_create(struct model *model, struct place place,
		 const struct io_uring_ipc_channel_create *create, struct extension extension,
		 struct channel **channel)
{
	const uint32_t modes = IOIPC_F_BROADCAST | IOIPC_F_MULTICAST;
	uint32_t slot_size = extension.slot_size ?: create->max_msg_size;
	struct channel sizes = {};

	if (create->flags & ~(modes | IOIPC_F_PRIVATE | IOIPC_F_OVERWRITE | IOIPC_F_FAIR) ||
	    (create->flags & modes) == modes ||
	    (create->flags & IOIPC_F_OVERWRITE && !(create->flags & IOIPC_F_BROADCAST)) ||
	    (create->flags & IOIPC_F_FAIR && create->flags & IOIPC_F_BROADCAST))
		return -EINVAL;
	if (extension.error)
		return extension.error;
	/* Key and name are checked before the sizes. */
	if (create->key && by_key(model, place.actor, create->key))
		return -EEXIST;
	if (extension.name && by_name(model, place.actor, extension.name))
		return -EEXIST;
	if (!create->ring_entries || create->ring_entries & (create->ring_entries - 1) ||
	    create->ring_entries > IOIPC_MAX_RING_ENTRIES ||
	    !slot_size || slot_size > IOIPC_MAX_MSG_SIZE || slot_size > create->max_msg_size ||
	    create->max_msg_size > IOIPC_MAX_LARGE_MSG_SIZE)
		return -EINVAL;
	sizes.slot_size = (slot_size + 63) & ~63U;
	if ((uint64_t)create->ring_entries * sizes.slot_size > INT_MAX)
		return -EINVAL;
	if (model_slots(&sizes, create->max_msg_size) > 1 &&
	    model_slots(&sizes, create->max_msg_size) > create->ring_entries / 4)
		return -EINVAL;

	*channel = &model->channels[model->channel_count++];
	memset(*channel, 0, sizeof(**channel));
	(*channel)->creator = place;
	(*channel)->flags = create->flags;
	(*channel)->entries = create->ring_entries;
	(*channel)->max_msg_size = create->max_msg_size;
	(*channel)->slot_size = sizes.slot_size;
	(*channel)->mode = create->mode;
	(*channel)->key = create->key;
	(*channel)->name = extension.name;
	return 0;
}

struct channel *model_named(struct model *model, struct place place,
			    const struct io_uring_ipc_channel_attach *attach,
			    struct extension extension)
{
	struct channel *channel;

	if (attach->key)
		return by_key(model, place.actor, attach->key);
	channel = extension.name ? by_name(model, place.actor, extension.name) :
				   by_id(model, attach->channel_id);
	return channel && is_visible(channel, place) ? channel : NULL;
}

/* Whether senders take messages away from a receiver, and do not wait for it. */
static bool can_take_from(const struct subscriber *subscriber)
{
	return subscriber->channel->flags & IOIPC_F_OVERWRITE ||
	       subscriber->flags & IOIPC_SUB_LOSSY;
}

int model_attach(struct model *model, struct place place,
		 const struct io_uring_ipc_channel_attach *attach, struct extension extension,
		 struct subscriber **subscriber)
{
	const uint32_t for_broadcasts = IOIPC_SUB_HISTORY | IOIPC_SUB_LOSSY;
	struct channel *channel;
	int error;

	if (!(attach->flags & IOIPC_SUB_BOTH) ||
	    attach->flags & ~(IOIPC_SUB_BOTH | for_broadcasts))
		return -EINVAL;
	if (extension.error)
		return extension.error;
	if (extension.name && attach->key)
		return -EINVAL;
	channel = model_named(model, place, attach, extension);
	if (!channel)
		return -ENOENT;
	error = may(channel, place.actor, attach->flags);
	if (error)
		return error;
	if (attach->flags & for_broadcasts &&
	    !(attach->flags & IOIPC_SUB_RECV && BROADCAST(channel)))
		return -EINVAL;

	*subscriber = &model->subscribers[model->subscriber_count++];
	memset(*subscriber, 0, sizeof(**subscriber));
	(*subscriber)->channel = channel;
	(*subscriber)->place = place;
	(*subscriber)->flags = attach->flags;
	(*subscriber)->attached = true;
	(*subscriber)->cursor = channel->tail;
	if (attach->flags & IOIPC_SUB_HISTORY) {
		/* Without overwriting, a quarter of the ring is for the senders. */
		uint32_t room = channel->entries / 4 ? channel->entries / 4 : 1;
		uint32_t most = channel->entries;

		if (!can_take_from(*subscriber))
			most -= room;
		(*subscriber)->cursor = channel->oldest;
		if (channel->tail - channel->oldest > most)
			(*subscriber)->cursor = channel->tail - most;
	}
	return 0;
}

/* Frees the consumed slots, in the order of their positions. */
static void reclaim(struct channel *channel)
{
	while (channel->head != channel->tail && !channel->messages[channel->head].ready)
		channel->head++;
}

/* Accepts the position that a receiver has stored, if it is valid. */
static void take_over(struct subscriber *subscriber)
{
	uint32_t ahead = subscriber->stored - subscriber->cursor;

	if (subscriber->cursor_page && ahead <= subscriber->channel->tail - subscriber->cursor)
		subscriber->cursor = subscriber->stored;
}

static bool is_for(const struct message *message, const struct subscriber *subscriber)
{
	return message->ready && (!message->target || message->target == subscriber->id);
}

uint32_t model_find(const struct subscriber *subscriber, uint32_t position)
{
	const struct channel *channel = subscriber->channel;

	while (position != channel->tail && !is_for(&channel->messages[position], subscriber))
		position++;
	return position;
}

static void detach(struct subscriber *subscriber)
{
	struct channel *channel = subscriber->channel;
	uint32_t position = channel->head;

	take_over(subscriber);
	subscriber->attached = false;
	if (!(subscriber->flags & IOIPC_SUB_RECV))
		return;
	if (BROADCAST(channel))
		position = subscriber->cursor;
	for (; position != channel->tail; position++) {
		struct message *message = &channel->messages[position];

		if (message->ready && message->target == subscriber->id) {
			message->ready = false;
			channel->dropped++;
		}
	}
	reclaim(channel);
}

/* Whether the caller may destroy the channel and detach its subscribers. */
static int may_control(const struct channel *channel, struct place place)
{
	if (channel->destroyed)
		return -ENOENT;
	if (same_place(channel->creator, place))
		return 0;
	if (!is_visible(channel, place))
		return -ENOENT;
	return is_owner(channel, place.actor) ? 0 : -EPERM;
}

/* The subscriber with an id, on any ring. */
static struct subscriber *with_id(struct model *model, uint32_t id)
{
	for (unsigned int i = 0; i < model->subscriber_count; i++) {
		struct subscriber *subscriber = &model->subscribers[i];

		if (subscriber->id == id && (subscriber->attached || subscriber->evicted))
			return subscriber;
	}
	return NULL;
}

int model_detach(struct model *model, struct place place, uint32_t id)
{
	struct subscriber *subscriber = with_id(model, id);
	bool evicts;
	int error;

	if (!subscriber)
		return -ENOENT;
	evicts = !same_place(subscriber->place, place);
	if (evicts) {
		error = may_control(subscriber->channel, place);
		if (error)
			return error;
		if (subscriber->evicted)
			return -ENOENT;
	}
	if (subscriber->attached)
		detach(subscriber);
	subscriber->evicted = evicts;
	return 0;
}

int model_destroy(struct model *model, struct place place, uint32_t id)
{
	struct channel *channel = by_id(model, id);
	int error;

	if (!channel)
		return -ENOENT;
	error = may_control(channel, place);
	if (error)
		return error;
	channel->destroyed = true;
	return 0;
}

void model_exit(struct model *model, struct place place)
{
	for (unsigned int i = 0; i < model->subscriber_count; i++) {
		struct subscriber *subscriber = &model->subscribers[i];

		if (!same_place(subscriber->place, place))
			continue;
		if (subscriber->attached)
			detach(subscriber);
		subscriber->evicted = false;
	}
	for (unsigned int i = 0; i < model->channel_count; i++)
		if (same_place(model->channels[i].creator, place))
			model->channels[i].destroyed = true;
}

struct subscriber *model_subscriber(struct model *model, struct place place, uint32_t id)
{
	for (unsigned int i = 0; i < model->subscriber_count; i++) {
		struct subscriber *subscriber = &model->subscribers[i];

		if (subscriber->id == id && subscriber->attached &&
		    same_place(subscriber->place, place))
			return subscriber;
	}
	return NULL;
}

int model_sender(struct model *model, struct place place, uint32_t id,
		 struct subscriber **subscriber, struct channel **channel)
{
	*subscriber = model_subscriber(model, place, id);
	if (*subscriber) {
		*channel = (*subscriber)->channel;
		return (*subscriber)->flags & IOIPC_SUB_SEND ? 0 : -EACCES;
	}
	*channel = by_id(model, id);
	if (!*channel || !is_visible(*channel, place))
		return -ENOENT;
	if ((*channel)->flags & IOIPC_F_PRIVATE)
		return -EACCES;
	return may(*channel, place.actor, IOIPC_SUB_SEND);
}

int model_watch(struct model *model, struct place place, uint32_t id, uint32_t target,
		bool has_waited)
{
	struct subscriber *watcher = model_subscriber(model, place, id);

	if (!watcher)
		return -ENOENT;
	for (unsigned int i = 0; i < model->subscriber_count; i++) {
		const struct subscriber *subscriber = &model->subscribers[i];

		if (subscriber->id == target && subscriber->attached &&
		    subscriber->channel == watcher->channel)
			return watcher->channel->destroyed ? -EPIPE : -EAGAIN;
	}
	return has_waited ? 0 : -ENOENT;
}

/* Whether a subscriber with this id can receive from the channel. */
static bool is_target(struct model *model, const struct channel *channel, uint32_t id)
{
	for (unsigned int i = 0; i < model->subscriber_count; i++) {
		const struct subscriber *subscriber = &model->subscribers[i];

		if (subscriber->id == id && subscriber->attached &&
		    subscriber->channel == channel && subscriber->flags & IOIPC_SUB_RECV)
			return true;
	}
	return false;
}

static bool receives(const struct subscriber *subscriber, const struct channel *channel)
{
	return subscriber->attached && subscriber->channel == channel &&
	       subscriber->flags & IOIPC_SUB_RECV;
}

/* The oldest message that a receiver needs: any receiver, or one that senders wait for. */
static uint32_t last_of(struct model *model, struct channel *channel, bool awaited_only)
{
	uint32_t last = channel->tail;

	for (unsigned int i = 0; i < model->subscriber_count; i++) {
		struct subscriber *subscriber = &model->subscribers[i];
		uint32_t position;

		if (!receives(subscriber, channel))
			continue;
		take_over(subscriber);
		if (awaited_only && can_take_from(subscriber))
			continue;
		position = model_find(subscriber, subscriber->cursor);
		if (position < last)
			last = position;
	}
	return last;
}

uint32_t model_last(struct model *model, struct channel *channel)
{
	return last_of(model, channel, false);
}

uint32_t model_slots(const struct channel *channel, uint32_t len)
{
	return len ? (len + channel->slot_size - 1) / channel->slot_size : 1;
}

/* How many slots before the end of the ring the next message leaves free. */
static uint32_t gap_before(const struct channel *channel, uint32_t slots)
{
	uint32_t rest = channel->entries - channel->tail % channel->entries;

	return slots > rest ? rest : 0;
}

/* The slots of messages that are part of a share or for a target, if these are not 0. */
static uint32_t slots_of(const struct channel *channel, uint32_t share, uint32_t target)
{
	uint32_t slots = 0;

	for (uint32_t position = channel->head; position != channel->tail; position++) {
		const struct message *message = &channel->messages[position];

		if (message->ready && (!share || message->share == share) &&
		    (!target || message->target == target))
			slots += model_slots(channel, message->len);
	}
	return slots;
}

/* How many slots a send has to leave, beside those of its message. */
static uint32_t to_leave(const struct channel *channel, uint32_t share, uint32_t slots)
{
	uint32_t used = channel->flags & IOIPC_F_FAIR ? slots_of(channel, share, 0) : 0;

	return used ? used + slots : 0;
}

/* Whether the messages for a target would hold more than their part. */
static bool is_beyond(const struct channel *channel, uint32_t target, uint32_t slots)
{
	uint32_t most = channel->entries / 4 ? channel->entries / 4 : 1;

	return channel->flags & IOIPC_F_FAIR && target &&
	       slots_of(channel, 0, target) + slots > most;
}

static bool has_room(struct model *model, struct channel *channel, uint32_t slots,
		     uint32_t left)
{
	uint32_t head = BROADCAST(channel) ? last_of(model, channel, true) : channel->head;

	return channel->tail - head + gap_before(channel, slots) + slots + left <=
	       channel->entries;
}

/*
 * Takes the oldest messages away from the receivers that senders do not wait for, as many
 * as a message needs that takes so many slots.
 */
static void overwrite(struct model *model, struct channel *channel, uint32_t slots)
{
	uint32_t end = channel->tail + gap_before(channel, slots) + slots, last;

	for (last = model_last(model, channel); end - last > channel->entries;
	     last = model_last(model, channel)) {
		for (unsigned int i = 0; i < model->subscriber_count; i++) {
			struct subscriber *subscriber = &model->subscribers[i];

			if (receives(subscriber, channel) &&
			    model_find(subscriber, subscriber->cursor) == last) {
				subscriber->cursor = last + 1;
				subscriber->lost++;
			}
		}
	}
}

/* Which share a sender uses.  Those that are not attached have one together. */
static uint32_t share_of(const struct subscriber *subscriber)
{
	return subscriber ? 1 + who[subscriber->place.actor].id : UINT32_MAX;
}

bool model_has_room(struct model *model, const struct subscriber *subscriber)
{
	struct channel *channel = subscriber->channel;
	uint32_t slots = model_slots(channel, channel->max_msg_size);

	return has_room(model, channel, slots,
			to_leave(channel, share_of(subscriber), slots));
}

bool model_waits_for_nothing(struct model *model, struct place place,
			     const struct outgoing *outgoing)
{
	struct subscriber *subscriber;
	struct channel *channel;
	uint32_t slots;

	if (model_sender(model, place, outgoing->id, &subscriber, &channel) ||
	    channel->destroyed || !outgoing->target ||
	    is_target(model, channel, outgoing->target))
		return false;
	slots = model_slots(channel, outgoing->messages[0].len);
	return !has_room(model, channel, slots,
			 to_leave(channel, share_of(subscriber), slots));
}

int model_send(struct model *model, struct place place, const struct outgoing *outgoing)
{
	struct subscriber *subscriber;
	struct channel *channel;
	uint32_t share;
	unsigned int i;
	int error;

	error = model_sender(model, place, outgoing->id, &subscriber, &channel);
	if (error)
		return error;
	share = share_of(subscriber);
	for (i = 0; i < outgoing->count; i++) {
		uint32_t slots = model_slots(channel, outgoing->messages[i].len), gap;
		bool has_share;

		if (outgoing->target && !is_target(model, channel, outgoing->target))
			error = -ENOENT;
		else if (outgoing->messages[i].len > channel->max_msg_size)
			error = -EMSGSIZE;
		else if (i >= outgoing->readable && outgoing->messages[i].len)
			error = -EFAULT;
		else if (channel->destroyed)
			error = -EPIPE;
		has_share = has_room(model, channel, slots, to_leave(channel, share, slots));
		if (!error && is_beyond(channel, outgoing->target, slots) &&
		    (has_share || !outgoing->waited))
			error = -EDQUOT;
		else if (!error && !has_share)
			error = -ENOBUFS;
		if (error)
			break;
		gap = gap_before(channel, slots);
		if (channel->tail + gap + slots > MAX_MESSAGES)
			return -E2BIG;
		if (BROADCAST(channel))
			overwrite(model, channel, slots);
		memset(&channel->messages[channel->tail], 0, gap * sizeof(struct message));
		channel->tail += gap;
		channel->messages[channel->tail++] = (struct message) {
			.ready = true,
			.len = outgoing->messages[i].len,
			.seed = outgoing->messages[i].seed,
			.sender_data = outgoing->sender_data,
			.sender = subscriber ? subscriber->id : 0,
			.target = outgoing->target,
			.call = outgoing->call,
			.actor = place.actor,
			.fds = outgoing->fds,
			.share = share,
		};
		memset(&channel->messages[channel->tail], 0,
		       (slots - 1) * sizeof(struct message));
		channel->tail += slots - 1;
		if (subscriber)
			subscriber->sent++;
	}
	if (!i)
		return error;
	return outgoing->vector ? (int)i : (int)outgoing->messages[0].len;
}

int model_next(struct model *model, struct subscriber *subscriber, uint32_t *position)
{
	struct channel *channel = subscriber->channel;
	uint32_t from = channel->head;

	(void)model;
	if (BROADCAST(channel)) {
		take_over(subscriber);
		from = subscriber->cursor;
	}
	*position = model_find(subscriber, from);
	if (*position != channel->tail)
		return 0;
	return channel->destroyed ? -EPIPE : -EAGAIN;
}

static void put(struct delivery *delivery, uint32_t at, const void *from, uint32_t len)
{
	memcpy(delivery->bytes + at, from, len);
	memset(delivery->written + at, true, len);
}

/* The information that comes with a message. */
static void describe(const struct subscriber *subscriber, uint32_t position, uint64_t lost,
		     bool truncated, uint32_t fds, struct io_uring_ipc_msg_info *info)
{
	const struct message *message = &subscriber->channel->messages[position];
	unsigned int actor = subscriber->place.actor;

	*info = (struct io_uring_ipc_msg_info) {
		.len = message->len,
		.msg_id = position + 1,
		.sender_data = message->sender_data,
		.sender = message->sender,
		.pid = model_pid(message->actor, actor),
		.uid = model_uid(message->actor, actor),
		.gid = model_uid(message->actor, actor),
		.flags = (message->target ? IOIPC_INFO_TARGETED : 0) |
			 (message->call ? IOIPC_INFO_CALL : 0) |
			 (truncated ? IOIPC_INFO_TRUNCATED : 0) |
			 (fds < message->fds ? IOIPC_INFO_FDS_LOST : 0),
		.fds = fds,
		.lost = lost,
	};
}

static void copy(struct subscriber *subscriber, const struct incoming *incoming,
		 uint32_t position, unsigned int limit, struct delivery *delivery)
{
	const struct channel *channel = subscriber->channel;
	bool bundle = incoming->flags & IOIPC_RECV_BUNDLE;
	bool info = bundle || incoming->flags & IOIPC_RECV_INFO;
	uint32_t prefix = info ? sizeof(struct io_uring_ipc_msg_info) : 0;
	uint32_t at = 0;

	do {
		const struct message *message = &channel->messages[position];
		uint32_t fds = message->fds < incoming->fds ? message->fds : incoming->fds;
		uint32_t room, stored;
		uint8_t bytes[8192];

		at = (at + 7) & ~7U;
		/* Only the first message can be truncated. */
		if (delivery->count && (at + prefix > incoming->len ||
					message->len > incoming->len - at - prefix))
			break;
		room = incoming->len - at - prefix;
		stored = message->len < room ? message->len : room;
		if (at + prefix + stored > incoming->writable) {
			if (!delivery->count)
				delivery->res = -EFAULT;
			return;
		}
		if (info) {
			struct io_uring_ipc_msg_info description;
			uint64_t lost = subscriber->lost - subscriber->reported;

			describe(subscriber, position, delivery->count ? 0 : lost,
				 stored < message->len, fds, &description);
			put(delivery, at, &description, prefix);
		}
		model_fill(bytes, stored, message->seed);
		put(delivery, at + prefix, bytes, stored);
		at += prefix + stored;
		delivery->used = at;
		delivery->res = (int)at;
		if (incoming->flags & IOIPC_RECV_TRUNC)
			delivery->res += (int)(message->len - stored);
		delivery->positions[delivery->count++] = position;
		delivery->fds = fds;
		position = model_find(subscriber, position + 1);
	} while (bundle && position != channel->tail && delivery->count < limit);
}

void model_receive(struct model *model, struct place place, const struct incoming *incoming,
		   unsigned int limit, struct delivery *delivery)
{
	bool prefixed = incoming->flags & (IOIPC_RECV_INFO | IOIPC_RECV_BUNDLE);
	struct subscriber *subscriber;
	uint32_t position;

	memset(delivery, 0, sizeof(*delivery));
	subscriber = model_subscriber(model, place, incoming->id);
	if (prefixed && incoming->len < sizeof(struct io_uring_ipc_msg_info)) {
		delivery->res = -EINVAL;
		return;
	}
	if (!subscriber) {
		delivery->res = -ENOENT;
		return;
	}
	if (!(subscriber->flags & IOIPC_SUB_RECV)) {
		delivery->res = -EACCES;
		return;
	}
	if (incoming->flags & IOIPC_RECV_MAPPED && !BROADCAST(subscriber->channel)) {
		delivery->res = -EINVAL;
		return;
	}
	delivery->res = model_next(model, subscriber, &position);
	if (delivery->res)
		return;
	if (!(incoming->flags & IOIPC_RECV_MAPPED)) {
		copy(subscriber, incoming, position, limit, delivery);
		return;
	}
	while (position != subscriber->channel->tail) {
		delivery->res++;
		position = model_find(subscriber, position + 1);
	}
}

void model_received(struct subscriber *subscriber, const struct delivery *delivery)
{
	struct channel *channel = subscriber->channel;

	for (unsigned int i = 0; i < delivery->count; i++) {
		if (BROADCAST(channel))
			subscriber->cursor = delivery->positions[i] + 1;
		else
			channel->messages[delivery->positions[i]].ready = false;
	}
	if (delivery->count)
		subscriber->reported = subscriber->lost;
	subscriber->received += delivery->count;
	reclaim(channel);
}
