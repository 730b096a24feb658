// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "descriptor.h"
#include "job.h"

static void open_pipe(struct queue_descriptors *queue, const struct link *link)
{
	size_t size = link->job->size * link->job->slots;
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		job_errno("pipe2", errno);
	queue->read = fds[0];
	queue->write = fds[1];
	/*
	 * A pipe has at least a page.  Without CAP_SYS_RESOURCE the pipe keeps its 64
	 * KiB, which is no reason not to measure it.
	 */
	fcntl(queue->write, F_SETPIPE_SZ, (int)size);
	if (link_polls(link) && fcntl(queue->read, F_SETFL, O_NONBLOCK))
		job_errno("fcntl(F_SETFL)", errno);
}

static const char *unfit(const struct mechanism *mechanism, const struct work *work, size_t size)
{
	(void)mechanism;
	if (size > PIPE_BUF && !work->to_all && work->senders + work->receivers > 2)
		return "what is more than PIPE_BUF bytes is not written to a pipe at once";
	return NULL;
}

static const struct descriptor_variant variant = {
	.open = open_pipe,
	.write = write,
	.read = read,
	.write_name = "write to a pipe",
	.read_name = "read from a pipe",
};

const struct mechanism pipe_mechanisms[] = {
	{
		.name = "pipe",
		.what = "pipe",
		.variant = &variant,
		.unfit = unfit,
		DESCRIPTOR_MECHANISM,
	}, {
		.name = "pipe-busy",
		.what = "pipe, receivers try again",
		.flags = MECHANISM_POLLS,
		.variant = &variant,
		.unfit = unfit,
		DESCRIPTOR_MECHANISM,
	},
	{}
};
