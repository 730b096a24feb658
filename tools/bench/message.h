/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The messages: where a sender takes them from, and what a receiver does with them.
 * The code is the same for all mechanisms.  It is inline because shared memory takes
 * less time than a call.
 */
#ifndef BENCH_MESSAGE_H
#define BENCH_MESSAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CACHE_LINE	64
#define MIN_SIZE	(2 * sizeof(uint64_t))
#define MAX_SIZE	0x100000U

/* Odd, so that all messages of a sender differ. */
#define TAG_STEP	0x9e3779b97f4a7c15ULL
/* The difference of the last word of a message from the first. */
#define TAG_MARK	0x5bf03635dcd1e4a9ULL

/*
 * Messages of a sender.  There are as many buffers as the mechanism has messages in
 * flight at a time, and no more, because each buffer takes room in the cache.
 */
struct source {
	uint64_t *buffers;
	unsigned int nr_buffers;
	unsigned int next;
	size_t words;
	/* From one buffer to the next, in words. */
	size_t stride;
	/* Write all words of each message, not just the first and the last one. */
	bool full;
	uint64_t tag;
	uint64_t count;
	uint64_t sum;
};

void source_init(struct source *source, unsigned int sender, unsigned int nr_buffers,
		 size_t size);

/* Returns the next message.  The message does not change for nr_buffers - 1 more calls. */
static inline void *source_next(struct source *source)
{
	uint64_t *message = source->buffers + source->next * source->stride;
	size_t i;

	if (++source->next == source->nr_buffers)
		source->next = 0;
	source->tag += TAG_STEP;
	source->count++;
	message[0] = source->tag;
	message[source->words - 1] = source->tag ^ TAG_MARK;
	source->sum += message[0] + message[source->words - 1];
	if (source->full) {
		for (i = 1; i < source->words - 1; i++) {
			message[i] = source->tag + i;
			source->sum += message[i];
		}
	}
	return message;
}

/* What receivers that share the messages have received together. */
struct crowd {
	_Alignas(CACHE_LINE) atomic_ulong delivered;
	uint64_t goal;
	/* When the last message was received. */
	uint64_t end_ns;
	/* A futex: all messages are received. */
	atomic_uint complete;
	/* Receivers must return. */
	atomic_bool stopped;
};

void crowd_complete(struct crowd *crowd);

/* What a receiver has received. */
struct sink {
	size_t size;
	/* Read all words of each message, not just the first and the last one. */
	bool full;
	/* How many messages are still to come; unused if there is a crowd. */
	uint64_t remaining;
	struct crowd *crowd;
	/* Sleep for a while after this many messages, 0 for never. */
	unsigned int pause_every;
	uint64_t count;
	uint64_t sum;
	/* Not 0 if the two ends of a message did not match. */
	uint64_t torn;
	uint64_t lost;
};

/* Whether the receiver must receive more messages. */
static inline bool sink_open(const struct sink *sink)
{
	if (sink->crowd)
		return !atomic_load_explicit(&sink->crowd->stopped, memory_order_relaxed);
	return sink->remaining;
}

/* The same as a number: at least this many messages will come. */
static inline uint64_t sink_certain(const struct sink *sink)
{
	return sink->crowd ? 1 : sink->remaining;
}

__attribute__((noreturn))
void sink_wrong_length(const struct sink *sink, size_t length);
void sink_pause(void);

/* Receives a message, which can be anywhere. */
static inline void sink_take(struct sink *sink, const void *message, size_t length)
{
	const uint64_t *words = message;
	size_t i, last = sink->size / sizeof(*words) - 1;

	if (__builtin_expect(length != sink->size, 0))
		sink_wrong_length(sink, length);
	sink->sum += words[0] + words[last];
	sink->torn |= words[0] ^ words[last] ^ TAG_MARK;
	if (sink->full) {
		for (i = 1; i < last; i++)
			sink->sum += words[i];
	}
	sink->count++;
	if (__builtin_expect(sink->pause_every && sink->count % sink->pause_every == 0, 0))
		sink_pause();
	if (sink->crowd) {
		if (atomic_fetch_add(&sink->crowd->delivered, 1) + 1 == sink->crowd->goal)
			crowd_complete(sink->crowd);
	} else {
		sink->remaining--;
	}
}

/* Counts messages that the mechanism has dropped on purpose. */
static inline void sink_lost(struct sink *sink, uint64_t count)
{
	sink->lost += count;
	sink->remaining -= count;
}

#endif /* BENCH_MESSAGE_H */
