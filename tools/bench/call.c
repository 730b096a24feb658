// SPDX-License-Identifier: GPL-2.0
/*
 * Calls without channels: clients share a way to the service, and each of them has its own
 * way back.  A call through a pipe or a queue begins with the number of its client, which
 * the client could forge.  A socket tells the service the sender of a datagram.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "job.h"
#include "mechanism.h"

/* The ends of the ways: of the service, and of each client. */
static struct {
	int read;
	int write;
} service, clients[MAX_SENDERS];

struct caller {
	/* The call before the message, and room for it. */
	uint64_t *number;
	char *buffer;
	struct sockaddr_un from;
	socklen_t from_len;
};

struct call_kind {
	void (*open)(const struct link *link, int *read, int *write);
	void (*ask)(struct endpoint *endpoint, const void *message);
	void (*answer)(struct endpoint *endpoint, const void *message);
	ssize_t (*take_call)(struct endpoint *endpoint);
	ssize_t (*take_answer)(struct endpoint *endpoint);
};

static const struct call_kind *kind_of(const struct endpoint *endpoint)
{
	return endpoint->job->mechanism->variant;
}

static bool is_client(const struct endpoint *endpoint)
{
	return !endpoint->out->first_sender;
}

static const char *unfit(const struct mechanism *mechanism, const struct work *work, size_t size)
{
	(void)mechanism;
	(void)work;
	return size + sizeof(uint64_t) > PIPE_BUF ? "a pipe does not take it at once" : NULL;
}

static void setup(struct link *link)
{
	const struct call_kind *kind = link->job->mechanism->variant;
	unsigned int i;

	if (!link->first_sender) {
		kind->open(link, &service.read, &service.write);
		return;
	}
	for (i = 0; i < link->receivers; i++)
		kind->open(link, &clients[i].read, &clients[i].write);
}

static void open_endpoint(struct endpoint *endpoint)
{
	struct caller *caller = calloc(1, sizeof(*caller));
	size_t size = CACHE_LINE + (endpoint->job->size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
	char *memory = aligned_alloc(CACHE_LINE, size);

	if (!caller || !memory)
		job_failed("out of memory");
	caller->buffer = memory + CACHE_LINE;
	caller->number = (uint64_t *)caller->buffer - 1;
	*caller->number = endpoint->out_index;
	endpoint->state = caller;
}

static void check(const char *what, ssize_t ret)
{
	if (ret < 0)
		job_errno(what, errno);
}

static void take_call(struct endpoint *endpoint)
{
	struct caller *caller = endpoint->state;
	ssize_t ret = kind_of(endpoint)->take_call(endpoint);

	check("receiving a call", ret);
	sink_take(&endpoint->sink, caller->buffer, (size_t)ret);
}

static void answer(struct endpoint *endpoint, uint64_t count)
{
	(void)count;
	kind_of(endpoint)->answer(endpoint, source_next(&endpoint->source));
}

static void exchange(struct endpoint *endpoint)
{
	struct caller *caller = endpoint->state;
	ssize_t ret;

	if (!is_client(endpoint)) {
		answer(endpoint, 1);
		take_call(endpoint);
		return;
	}
	kind_of(endpoint)->ask(endpoint, source_next(&endpoint->source));
	ret = kind_of(endpoint)->take_answer(endpoint);
	check("receiving an answer", ret);
	sink_take(&endpoint->sink, caller->buffer, (size_t)ret);
}

/* ---- Pipes ---- */

static void open_pipe(const struct link *link, int *read, int *write)
{
	int fds[2];

	(void)link;
	if (pipe2(fds, O_CLOEXEC))
		job_errno("pipe2", errno);
	*read = fds[0];
	*write = fds[1];
}

static void pipe_ask(struct endpoint *endpoint, const void *message)
{
	struct caller *caller = endpoint->state;
	const struct iovec parts[] = {
		{ caller->number, sizeof(*caller->number) },
		{ (void *)message, endpoint->job->size },
	};

	check("writev", writev(service.write, parts, 2));
}

static ssize_t pipe_take_call(struct endpoint *endpoint)
{
	struct caller *caller = endpoint->state;
	size_t size = sizeof(*caller->number) + endpoint->job->size;
	ssize_t ret = read(service.read, caller->number, size);

	return ret < 0 ? ret : ret - (ssize_t)sizeof(*caller->number);
}

static void pipe_answer(struct endpoint *endpoint, const void *message)
{
	const struct caller *caller = endpoint->state;

	check("write", write(clients[*caller->number].write, message, endpoint->job->size));
}

static ssize_t pipe_take_answer(struct endpoint *endpoint)
{
	const struct caller *caller = endpoint->state;

	return read(clients[endpoint->out_index].read, caller->buffer, endpoint->job->size);
}

/* ---- POSIX message queues ---- */

static void open_mq(const struct link *link, int *read, int *write)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	struct mq_attr attributes = {
		.mq_maxmsg = link->first_sender ? 1 : MAX_SENDERS,
		.mq_msgsize = (long)(sizeof(uint64_t) + link->job->size),
	};
	char name[32];

	/* As in mq.c. */
	setrlimit(RLIMIT_MSGQUEUE, &unlimited);
	snprintf(name, sizeof(name), "/bench-%d", getpid());
	*write = mq_open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &attributes);
	*read = mq_open(name, O_RDONLY | O_CLOEXEC);
	if (*write < 0 || *read < 0)
		job_errno("mq_open", errno);
	mq_unlink(name);
}

static void mq_ask(struct endpoint *endpoint, const void *message)
{
	struct caller *caller = endpoint->state;

	memcpy(caller->buffer, message, endpoint->job->size);
	check("mq_send", mq_send(service.write, (char *)caller->number,
				 sizeof(*caller->number) + endpoint->job->size, 0));
}

static ssize_t mq_take_call(struct endpoint *endpoint)
{
	struct caller *caller = endpoint->state;
	size_t size = sizeof(*caller->number) + endpoint->job->size;
	ssize_t ret = mq_receive(service.read, (char *)caller->number, size, NULL);

	return ret < 0 ? ret : ret - (ssize_t)sizeof(*caller->number);
}

static void mq_answer(struct endpoint *endpoint, const void *message)
{
	const struct caller *caller = endpoint->state;

	check("mq_send", mq_send(clients[*caller->number].write, message, endpoint->job->size, 0));
}

/* The queue could have longer messages. */
static ssize_t mq_take_answer(struct endpoint *endpoint)
{
	struct caller *caller = endpoint->state;

	return mq_receive(clients[endpoint->out_index].read, caller->buffer,
			  sizeof(*caller->number) + endpoint->job->size, NULL);
}

/* ---- Sockets ---- */

static void open_unix(const struct link *link, int *read, int *write)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(address.sun_family);

	*read = *write = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	/* Without a name, the kernel chooses one. */
	if (*read < 0 || bind(*read, (struct sockaddr *)&address, len))
		job_errno("bind", errno);
	if (!link->first_sender) {
		if (setsockopt(*read, SOL_SOCKET, SO_PASSCRED, &(int){ 1 }, sizeof(int)))
			job_errno("setsockopt(SO_PASSCRED)", errno);
		return;
	}
	len = sizeof(address);
	if (getsockname(service.read, (struct sockaddr *)&address, &len) ||
	    connect(*write, (struct sockaddr *)&address, len))
		job_errno("connect", errno);
}

static void unix_ask(struct endpoint *endpoint, const void *message)
{
	check("send", send(clients[endpoint->out_index].write, message, endpoint->job->size, 0));
}

static ssize_t unix_take_call(struct endpoint *endpoint)
{
	struct caller *caller = endpoint->state;
	struct iovec part = { caller->buffer, endpoint->job->size };
	char control[CMSG_SPACE(sizeof(struct ucred))];
	struct msghdr header = {
		.msg_name = &caller->from,
		.msg_namelen = sizeof(caller->from),
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t ret = recvmsg(service.read, &header, 0);

	caller->from_len = header.msg_namelen;
	return ret;
}

static void unix_answer(struct endpoint *endpoint, const void *message)
{
	const struct caller *caller = endpoint->state;

	check("sendto", sendto(service.write, message, endpoint->job->size, 0,
			       (const struct sockaddr *)&caller->from, caller->from_len));
}

static ssize_t unix_take_answer(struct endpoint *endpoint)
{
	const struct caller *caller = endpoint->state;

	return recv(clients[endpoint->out_index].read, caller->buffer, endpoint->job->size, 0);
}

#define CALL_KIND(kind)									\
	static const struct call_kind kind##_calls = {					\
		open_##kind, kind##_ask, kind##_answer, kind##_take_call, kind##_take_answer, \
	}

CALL_KIND(pipe);
CALL_KIND(unix);
CALL_KIND(mq);

#define CALL_MECHANISM(kind)				\
	.flags = MECHANISM_CALLS | MECHANISM_ONLY_CALLS,	\
	.batch = 1,					\
	.variant = &kind##_calls,			\
	.unfit = unfit,					\
	.setup = setup,					\
	.open = open_endpoint,				\
	.send = answer,					\
	.receive = take_call,				\
	.exchange = exchange

const struct mechanism call_mechanisms[] = {
	{
		.name = "pipe",
		.what = "a pipe to the service and one back to each client",
		CALL_MECHANISM(pipe),
	}, {
		.name = "unix",
		.what = "AF_UNIX datagrams with SO_PASSCRED",
		CALL_MECHANISM(unix),
	}, {
		.name = "mq",
		.what = "a POSIX message queue to the service and one back to each client",
		CALL_MECHANISM(mq),
	},
	{}
};
