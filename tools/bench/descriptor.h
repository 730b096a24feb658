/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Mechanisms with a queue in the kernel that has a descriptor to write to and one
 * to read from.  For each message to reach all receivers, each has a queue of its
 * own; otherwise there is one, and all senders or receivers use the same.
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
	/* Opens a queue with room for so many messages. */
	void (*open)(struct queue_descriptors *queue, const struct link *link);
	/* Like write(2) and read(2). */
	ssize_t (*write)(int fd, const void *message, size_t size);
	ssize_t (*read)(int fd, void *message, size_t size);
	/* What the two are called, for errors. */
	const char *write_name;
	const char *read_name;
};

void descriptor_setup(struct link *link);
void descriptor_open(struct endpoint *endpoint);
void descriptor_send(struct endpoint *endpoint, uint64_t count);
void descriptor_receive(struct endpoint *endpoint);

/* What is the same in all mechanisms of this kind. */
#define DESCRIPTOR_MECHANISM		\
	.batch = 1,			\
	.setup = descriptor_setup,	\
	.open = descriptor_open,	\
	.send = descriptor_send,	\
	.receive = descriptor_receive

/* Whether reading shall not block. */
bool link_polls(const struct link *link);

#endif /* BENCH_DESCRIPTOR_H */
