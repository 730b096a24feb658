// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "descriptor.h"
#include "job.h"

/* What the kernel charges for a message in addition to its bytes, rounded up. */
#define OVERHEAD	4096

static void open_unix(struct queue_descriptors *queue, const struct link *link)
{
	int size = (int)((link->job->size + OVERHEAD) * link->job->slots);
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
		job_errno("socketpair", errno);
	queue->read = fds[0];
	queue->write = fds[1];
	/* The kernel doubles the size. This needs CAP_NET_ADMIN. */
	if (setsockopt(queue->write, SOL_SOCKET, SO_SNDBUFFORCE, &(int){ size / 2 }, sizeof(int)))
		job_errno("setsockopt(SO_SNDBUFFORCE)", errno);
	if (link_polls(link) && fcntl(queue->read, F_SETFL, O_NONBLOCK))
		job_errno("fcntl(F_SETFL)", errno);
}

static ssize_t send_message(int fd, const void *message, size_t size)
{
	return send(fd, message, size, 0);
}

static ssize_t receive_message(int fd, void *message, size_t size)
{
	return recv(fd, message, size, 0);
}

static const struct descriptor_variant variant = {
	.open = open_unix,
	.write = send_message,
	.read = receive_message,
	.write_name = "send to a socket",
	.read_name = "recv from a socket",
};

const struct mechanism unix_mechanisms[] = {
	{
		.name = "unix",
		.what = "AF_UNIX socket",
		.variant = &variant,
		DESCRIPTOR_MECHANISM,
	}, {
		.name = "unix-busy",
		.what = "AF_UNIX socket, receivers try again",
		.flags = MECHANISM_POLLS,
		.variant = &variant,
		DESCRIPTOR_MECHANISM,
	},
	{}
};
