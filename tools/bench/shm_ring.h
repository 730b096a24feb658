/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Lock-free rings of messages in shared memory, which receivers read in place.  The
 * rings are bounded and never wait: a caller that finds a ring full or empty decides
 * what to do.
 *
 * Positions count messages.  They have 64 bits and never wrap.
 */
#ifndef BENCH_SHM_RING_H
#define BENCH_SHM_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "message.h"
#include "work.h"

struct shm_slot {
	/* In a queue: position plus one of the message in the slot. */
	atomic_ulong sequence;
	uint64_t length;
	uint64_t message[];
};

/* The slots.  They do not change after setup. */
struct shm_slots {
	_Alignas(CACHE_LINE) uint64_t count;
	size_t stride;
	char *memory;
};

/* Allocates zeroed slots, for messages of up to `size` bytes. */
void shm_slots_init(struct shm_slots *slots, unsigned int count, size_t size);

static inline struct shm_slot *shm_slot(const struct shm_slots *slots, uint64_t position)
{
	return (struct shm_slot *)(slots->memory + (position & (slots->count - 1)) * slots->stride);
}

/* A position that one process writes, and others read. */
struct shm_position {
	_Alignas(CACHE_LINE) atomic_ulong value;
};

/*
 * One sender, and each message goes to each receiver.  With one receiver this is a
 * single-producer single-consumer queue.
 */
struct broadcast_ring {
	struct shm_slots slots;
	unsigned int receivers;
	struct shm_position tail;
	struct shm_position heads[MAX_RECEIVERS];
};

/* Private to the sender. */
struct broadcast_sender {
	uint64_t tail;
	/* There is room before this position, and perhaps after it. */
	uint64_t limit;
};

/* Private to a receiver. */
struct broadcast_receiver {
	atomic_ulong *own_head;
	uint64_t head;
	/* There are messages before this position, and perhaps after it. */
	uint64_t limit;
};

/* The position that all receivers have passed. */
static inline uint64_t broadcast_head(const struct broadcast_ring *ring)
{
	uint64_t head, lowest = UINT64_MAX;
	unsigned int i;

	for (i = 0; i < ring->receivers; i++) {
		/*
		 * Acquire: the sender overwrites messages only after the receivers have
		 * read them.
		 */
		head = atomic_load_explicit(&ring->heads[i].value, memory_order_acquire);
		if (head < lowest)
			lowest = head;
	}
	return lowest;
}

/* How many messages the slowest receiver has not yet received. */
static inline uint64_t broadcast_used(const struct broadcast_ring *ring)
{
	return atomic_load_explicit(&ring->tail.value, memory_order_relaxed) -
	       broadcast_head(ring);
}

static inline bool broadcast_has_room(const struct broadcast_ring *ring,
				      struct broadcast_sender *sender)
{
	if (sender->tail == sender->limit)
		sender->limit = broadcast_head(ring) + ring->slots.count;
	return sender->tail != sender->limit;
}

/* Needs broadcast_has_room().  The caller fills the slot and publishes it. */
static inline struct shm_slot *broadcast_next_free(const struct broadcast_ring *ring,
						   const struct broadcast_sender *sender)
{
	return shm_slot(&ring->slots, sender->tail);
}

static inline void broadcast_publish(struct broadcast_ring *ring, struct broadcast_sender *sender)
{
	sender->tail++;
	atomic_store_explicit(&ring->tail.value, sender->tail, memory_order_release);
}

static inline bool broadcast_has_message(const struct broadcast_ring *ring,
					 struct broadcast_receiver *receiver)
{
	if (receiver->head == receiver->limit)
		receiver->limit = atomic_load_explicit(&ring->tail.value, memory_order_acquire);
	return receiver->head != receiver->limit;
}

/* Needs broadcast_has_message().  The caller reads the slot and releases it. */
static inline const struct shm_slot *broadcast_next(const struct broadcast_ring *ring,
						    const struct broadcast_receiver *receiver)
{
	return shm_slot(&ring->slots, receiver->head);
}

static inline void broadcast_release(struct broadcast_receiver *receiver)
{
	receiver->head++;
	atomic_store_explicit(receiver->own_head, receiver->head, memory_order_release);
}

/*
 * Many senders or many receivers, and each message goes to one of them: Dmitry
 * Vyukov's bounded MPMC queue.
 */
struct queue_ring {
	struct shm_slots slots;
	struct shm_position tail;
	struct shm_position head;
};

void queue_init(struct queue_ring *ring, unsigned int slots, size_t size);

/*
 * Advances the counter over the next position whose slot has this state, and returns
 * the slot.  Returns NULL if there is none.
 */
static inline struct shm_slot *queue_take(const struct queue_ring *ring,
					  struct shm_position *counter, uint64_t state,
					  uint64_t *position)
{
	uint64_t next = atomic_load_explicit(&counter->value, memory_order_relaxed);
	struct shm_slot *slot;
	int64_t difference;

	for (;;) {
		slot = shm_slot(&ring->slots, next);
		/* Acquire: the last user of the slot has finished. */
		difference = (int64_t)(atomic_load_explicit(&slot->sequence, memory_order_acquire) -
				       (next + state));
		if (difference < 0)
			return NULL;
		if (difference > 0) {
			next = atomic_load_explicit(&counter->value, memory_order_relaxed);
		} else if (atomic_compare_exchange_weak_explicit(&counter->value, &next, next + 1,
								 memory_order_relaxed,
								 memory_order_relaxed)) {
			*position = next;
			return slot;
		}
	}
}

/* Returns a slot for the caller to fill and publish, or NULL if the ring is full. */
static inline struct shm_slot *queue_reserve(struct queue_ring *ring, uint64_t *position)
{
	return queue_take(ring, &ring->tail, 0, position);
}

static inline void queue_publish(struct shm_slot *slot, uint64_t position)
{
	atomic_store_explicit(&slot->sequence, position + 1, memory_order_release);
}

/* Returns a slot for the caller to read and release, or NULL if the ring is empty. */
static inline struct shm_slot *queue_claim(struct queue_ring *ring, uint64_t *position)
{
	return queue_take(ring, &ring->head, 1, position);
}

static inline void queue_release(const struct queue_ring *ring, struct shm_slot *slot,
				 uint64_t position)
{
	atomic_store_explicit(&slot->sequence, position + ring->slots.count,
			      memory_order_release);
}

/* Whether queue_reserve() or queue_claim() would return a slot. */
static inline bool queue_ready(const struct queue_ring *ring, const struct shm_position *counter,
			       uint64_t state)
{
	uint64_t next = atomic_load_explicit(&counter->value, memory_order_relaxed);
	const struct shm_slot *slot = shm_slot(&ring->slots, next);

	return (int64_t)(atomic_load_explicit(&slot->sequence, memory_order_acquire) -
			 (next + state)) >= 0;
}

static inline bool queue_has_room(const struct queue_ring *ring)
{
	return queue_ready(ring, &ring->tail, 0);
}

static inline bool queue_has_message(const struct queue_ring *ring)
{
	return queue_ready(ring, &ring->head, 1);
}

#endif /* BENCH_SHM_RING_H */
