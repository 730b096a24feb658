/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Mechanisms with a queue in the kernel, which has one descriptor to write to and one
 * to read from.  If each message goes to all receivers, each receiver has its own
 * queue.  Otherwise there is one queue for all senders and receivers.
 */
#ifndef BENCH_DESCRIPTOR_H
#define BENCH_DESCRIPTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "mechanism.h"

struct queue_descriptors {
	int write;
	int read;
};

struct descriptor_variant {
	/* Opens a queue with room for the messages of all slots of the job. */
	void (*open)(struct queue_descriptors *queue, const struct link *link);
	/* Like write(2) and read(2). */
	ssize_t (*write)(int fd, const void *message, size_t size);
	ssize_t (*read)(int fd, void *message, size_t size);
	/* The names of these two functions, for errors. */
	const char *write_name;
	const char *read_name;
};

void descriptor_setup(struct link *link);
void descriptor_open(struct endpoint *endpoint);
void descriptor_send(struct endpoint *endpoint, uint64_t count);
void descriptor_receive(struct endpoint *endpoint);

/* The same in all mechanisms of this kind. */
#define DESCRIPTOR_MECHANISM		\
	.batch = 1,			\
	.setup = descriptor_setup,	\
	.open = descriptor_open,	\
	.send = descriptor_send,	\
	.receive = descriptor_receive

/* Whether reading must not block. */
bool link_polls(const struct link *link);

#endif /* BENCH_DESCRIPTOR_H */
