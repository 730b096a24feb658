// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>

#include "descriptor.h"
#include "job.h"
#include "process.h"

struct descriptor_link {
	unsigned int nr_queues;
	struct queue_descriptors queues[MAX_RECEIVERS];
};

static const struct descriptor_variant *variant_of(const struct link *link)
{
	return link->job->mechanism->variant;
}

bool link_polls(const struct link *link)
{
	return link->job->mechanism->flags & MECHANISM_POLLS;
}

void descriptor_setup(struct link *link)
{
	struct descriptor_link *state = calloc(1, sizeof(*state));
	unsigned int i;

	if (!state)
		job_failed("out of memory");
	state->nr_queues = link->to_all ? link->receivers : 1;
	for (i = 0; i < state->nr_queues; i++)
		variant_of(link)->open(&state->queues[i], link);
	link->state = state;
}

/* Allocates the buffer to receive in. */
void descriptor_open(struct endpoint *endpoint)
{
	if (!endpoint->in)
		return;
	endpoint->state = aligned_alloc(CACHE_LINE, (endpoint->job->size + CACHE_LINE - 1) /
						    CACHE_LINE * CACHE_LINE);
	if (!endpoint->state)
		job_failed("out of memory");
}

static void write_message(const struct descriptor_variant *variant, int fd, const char *message,
			  size_t size)
{
	size_t done = 0;
	ssize_t ret;

	while (done < size) {
		ret = variant->write(fd, message + done, size - done);
		if (ret >= 0)
			done += (size_t)ret;
		else if (errno != EINTR)
			job_errno(variant->write_name, errno);
	}
}

void descriptor_send(struct endpoint *endpoint, uint64_t count)
{
	const struct descriptor_variant *variant = variant_of(endpoint->out);
	const struct descriptor_link *link = endpoint->out->state;
	size_t size = endpoint->job->size;
	const void *message;
	unsigned int i;

	for (; count; count--) {
		message = source_next(&endpoint->source);
		for (i = 0; i < link->nr_queues; i++)
			write_message(variant, link->queues[i].write, message, size);
	}
}

void descriptor_receive(struct endpoint *endpoint)
{
	const struct descriptor_variant *variant = variant_of(endpoint->in);
	const struct descriptor_link *link = endpoint->in->state;
	unsigned int queue = endpoint->in->to_all ? endpoint->in_index : 0;
	size_t size = endpoint->job->size, done = 0;
	char *message = endpoint->state;
	ssize_t ret;

	while (sink_open(&endpoint->sink)) {
		ret = variant->read(link->queues[queue].read, message + done, size - done);
		if (ret >= 0)
			done += (size_t)ret;
		else if (errno == EAGAIN)
			cpu_relax();
		else if (errno != EINTR)
			job_errno(variant->read_name, errno);
		/* A read from a pipe may return a part of a message. */
		if (done == size) {
			sink_take(&endpoint->sink, message, size);
			done = 0;
		}
	}
}
