// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "descriptor.h"
#include "job.h"

static void open_mq(struct queue_descriptors *queue, const struct link *link)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	struct mq_attr attributes = {
		.mq_maxmsg = link->job->slots,
		.mq_msgsize = (long)link->job->size,
	};
	char name[32];

	/*
	 * With CAP_SYS_RESOURCE this succeeds, and the queue can be that large. Without
	 * this capability, mq_open() fails if the limit is too small.
	 */
	setrlimit(RLIMIT_MSGQUEUE, &unlimited);
	snprintf(name, sizeof(name), "/bench-%d", getpid());
	queue->write = mq_open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &attributes);
	if (queue->write < 0)
		job_errno("mq_open", errno);
	queue->read = mq_open(name, O_RDONLY | O_CLOEXEC | (link_polls(link) ? O_NONBLOCK : 0));
	if (queue->read < 0)
		job_errno("mq_open", errno);
	mq_unlink(name);
}

static ssize_t send_message(int fd, const void *message, size_t size)
{
	return mq_send(fd, message, size, 0) ? -1 : (ssize_t)size;
}

static ssize_t receive_message(int fd, void *message, size_t size)
{
	return mq_receive(fd, message, size, NULL);
}

static const struct descriptor_variant variant = {
	.open = open_mq,
	.write = send_message,
	.read = receive_message,
	.write_name = "mq_send",
	.read_name = "mq_receive",
};

const struct mechanism mq_mechanisms[] = {
	{
		.name = "mq",
		.what = "POSIX message queue",
		.variant = &variant,
		DESCRIPTOR_MECHANISM,
	}, {
		.name = "mq-busy",
		.what = "POSIX message queue, receivers try again",
		.flags = MECHANISM_POLLS,
		.variant = &variant,
		DESCRIPTOR_MECHANISM,
	},
	{}
};
