/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What channels must do, as docs/using.md and <linux/io_uring/ipc.h> say: an executable
 * model, as simple as possible.  It does not depend on the module's implementation: a
 * channel is the list of all messages that were ever sent.
 *
 * Results are like the kernel's: 0 or a number, or a negative errno.
 */
#ifndef FUZZ_MODEL_H
#define FUZZ_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/io_uring/ipc.h>

#define MAX_CHANNELS	12
#define MAX_SUBSCRIBERS	32
/* The most slots that the messages of one channel take. */
#define MAX_MESSAGES	4096

/* A ring of an actor. */
struct place {
	unsigned int actor, ring;
};

bool same_place(struct place a, struct place b);

struct message {
	/*
	 * Whether the message can be received; in a broadcast, by its receivers.  Never if
	 * this is none, but a slot of the message before, or at the end of the ring.
	 */
	bool ready;
	uint32_t len;
	/* Determines the bytes of the message. */
	uint32_t seed;
	uint64_t sender_data;
	/* Subscribers: 0 for none. */
	uint32_t sender, target;
	bool call;
	unsigned int actor;
	/* How many files it has. */
	uint32_t fds;
	/* Whose share the slots of the message are part of, in a fair channel. */
	uint32_t share;
};

struct channel {
	uint32_t id;
	struct place creator;
	uint32_t flags, entries, max_msg_size, slot_size, mode;
	uint64_t key;
	/* Number of the name, 0 for none. */
	unsigned int name;
	bool destroyed;
	/* Slots from here to tail are in use, unless this is a broadcast. */
	uint32_t head, tail;
	struct message messages[MAX_MESSAGES];
	/* The last message that a receive waited for was there for several of them. */
	bool contended;
	uint64_t dropped;
	/* The oldest message that was seen in the ring. */
	uint32_t oldest;
};

struct subscriber {
	uint32_t id;
	struct channel *channel;
	struct place place;
	uint32_t flags;
	bool attached;
	/* Another ring has evicted it, and its own ring has not detached it yet. */
	bool evicted;
	/* In a broadcast: the next message. */
	uint32_t cursor;
	uint64_t sent, received, lost, reported;
	/* What the kernel has returned: the file, and the mapping if there is one. */
	int fd;
	uint32_t region_size;
	uint64_t region, cursor_page;
	/* The position that the receiver has stored in its page. */
	uint32_t stored;
};

struct model {
	struct channel channels[MAX_CHANNELS];
	unsigned int channel_count;
	struct subscriber subscribers[MAX_SUBSCRIBERS];
	unsigned int subscriber_count;
};

/* A send: the values of its SQE, and the messages that it names. */
struct outgoing {
	uint32_t id, target;
	uint64_t sender_data;
	bool vector, call;
	/* How many files the message has. */
	uint32_t fds;
	/* It has waited for room or share. */
	bool waited;
	/* Number of the first message that cannot be read, or of all messages. */
	unsigned int readable;
	unsigned int count;
	struct {
		uint32_t len, seed;
	} messages[8];
};

/* A receive: the values of its SQE. */
struct incoming {
	uint32_t id;
	uint32_t flags;
	/* Size of the buffer, and how much of it can be written. */
	uint32_t len, writable;
	/* How many descriptors there is room for. */
	uint32_t fds;
};

/* The result of a receive, before it happens. */
struct delivery {
	int res;
	/* How much of the buffer is used, and which of these bytes are written. */
	uint32_t used;
	unsigned int count;
	/* How many descriptors are stored. */
	uint32_t fds;
	uint32_t positions[MAX_MESSAGES];
	uint8_t bytes[8192];
	bool written[8192];
};

void model_reset(struct model *model);

/* The bytes of a message. */
void model_fill(uint8_t *bytes, uint32_t len, uint32_t seed);

/* The ids of an actor, as another one sees them. */
uint32_t model_uid(unsigned int actor, unsigned int seen_by);
uint32_t model_pid(unsigned int actor, unsigned int seen_by);

/* What an extension says: an error, or the number of a name, or neither. */
struct extension {
	int error;
	unsigned int name;
	uint32_t slot_size;
};

/* The four commands, without checks of memory.  The caller fills in ids. */
int model_create(struct model *model, struct place place,
		 const struct io_uring_ipc_channel_create *create, struct extension extension,
		 struct channel **channel);
/* The channel that ATTACH names, if the caller may know of it. */
struct channel *model_named(struct model *model, struct place place,
			    const struct io_uring_ipc_channel_attach *attach,
			    struct extension extension);
int model_attach(struct model *model, struct place place,
		 const struct io_uring_ipc_channel_attach *attach, struct extension extension,
		 struct subscriber **subscriber);
int model_detach(struct model *model, struct place place, uint32_t id);
int model_destroy(struct model *model, struct place place, uint32_t id);
/* The end of a ring. */
void model_exit(struct model *model, struct place place);

/* Subscribers of a ring. */
struct subscriber *model_subscriber(struct model *model, struct place place, uint32_t id);
/* The channel that a send goes to, if the caller may use it. */
int model_sender(struct model *model, struct place place, uint32_t id,
		 struct subscriber **subscriber, struct channel **channel);

/*
 * The result of a request that waits until the subscriber `target` is detached, or -EAGAIN
 * if it waits.
 */
int model_watch(struct model *model, struct place place, uint32_t id, uint32_t target,
		bool has_waited);

/*
 * Sends as many messages as it can.  -ENOBUFS if the channel is full or there is no share
 * left, -EDQUOT if the messages for the target hold their part of a fair channel: then it
 * fails with -ENOBUFS, and does not wait.
 */
int model_send(struct model *model, struct place place, const struct outgoing *outgoing);
/*
 * Whether a send that waits may go on waiting although its target is gone: it looks for
 * the target when it is woken, and need not be woken before there is room.
 */
bool model_waits_for_nothing(struct model *model, struct place place,
			     const struct outgoing *outgoing);
/* Whether there is room for a message of any length of a subscriber. */
bool model_has_room(struct model *model, const struct subscriber *subscriber);
/* How many slots a message takes. */
uint32_t model_slots(const struct channel *channel, uint32_t len);

/* What a receive would get: at most `limit` messages. */
void model_receive(struct model *model, struct place place, const struct incoming *incoming,
		   unsigned int limit, struct delivery *delivery);
/* The receive has got this. */
void model_received(struct subscriber *subscriber, const struct delivery *delivery);
/* Finds the next message for a subscriber: 0, -EAGAIN or -EPIPE. */
int model_next(struct model *model, struct subscriber *subscriber, uint32_t *position);
/* The first position from `position` on that a subscriber can receive, or the tail. */
uint32_t model_find(const struct subscriber *subscriber, uint32_t position);
/* The position of the slowest receiver of a broadcast. */
uint32_t model_last(struct model *model, struct channel *channel);

#endif
