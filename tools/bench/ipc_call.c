// SPDX-License-Identifier: GPL-2.0
/*
 * Calls over an IPC channel: clients send with IOIPC_SEND_CALL, and the request completes
 * with the answer.  The service answers and takes the next call in one request.
 */
#include <errno.h>
#include <stdlib.h>

#include "job.h"
#include "liburing_ipc.h"
#include "mechanism.h"
#include "uring.h"

struct call_link {
	struct io_uring ring;
	unsigned int channel;
};

struct call {
	struct io_uring ring;
	unsigned int sub;
	struct io_uring_ipc_exchange exchange;
	/* What the service knows of the call that it has. */
	struct io_uring_ipc_msg_info *info;
	char *buffer;
};

static const char *unfit(const struct mechanism *mechanism, const struct work *work, size_t size)
{
	(void)mechanism;
	(void)size;
	return work->ping_pong ? NULL : "calls have answers";
}

/* Answers need no channel of their own. */
static void setup(struct link *link)
{
	struct io_uring_ipc_channel_create create = {
		.ring_entries = link->job->slots,
		.max_msg_size = (unsigned int)link->job->size,
		.mode = 0600,
	};
	struct call_link *state;
	int ret;

	if (link->first_sender)
		return;
	state = calloc(1, sizeof(*state));
	if (!state)
		job_failed("out of memory");
	uring_open(&state->ring, 0, URING_ENTRIES);
	ret = io_uring_ipc_channel_create(&state->ring, &create);
	if (ret)
		job_errno("IPC_CHANNEL_CREATE", -ret);
	state->channel = create.channel_id_out;
	link->state = state;
}

static bool is_client(const struct endpoint *endpoint)
{
	return !endpoint->out->first_sender;
}

static void open_endpoint(struct endpoint *endpoint)
{
	const struct link *link = is_client(endpoint) ? endpoint->out : endpoint->in;
	const struct call_link *state = link->state;
	struct io_uring_ipc_channel_attach sub = {
		.channel_id = state->channel,
		.flags = is_client(endpoint) ? IOIPC_SUB_SEND : IOIPC_SUB_RECV,
	};
	size_t size = sizeof(struct io_uring_ipc_msg_info) + endpoint->job->size;
	struct call *call = calloc(1, sizeof(*call));
	int ret;

	if (!call)
		job_failed("out of memory");
	endpoint->state = call;
	uring_open(&call->ring, URING_MODERN, URING_ENTRIES);
	ret = io_uring_ipc_channel_attach(&call->ring, &sub);
	if (ret)
		job_errno("IPC_CHANNEL_ATTACH", -ret);
	call->sub = sub.local_id_out;
	call->info = aligned_alloc(CACHE_LINE, (size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
	if (!call->info)
		job_failed("out of memory");
	call->buffer = (char *)(call->info + 1);
	if (is_client(endpoint))
		call->exchange = (struct io_uring_ipc_exchange){
			.addr = (uintptr_t)call->buffer,
			.len = (unsigned int)endpoint->job->size,
		};
	else
		call->exchange = (struct io_uring_ipc_exchange){
			.addr = (uintptr_t)call->info,
			.len = (unsigned int)size,
			.flags = IOIPC_RECV_INFO,
		};
	uring_register_fd(&call->ring);
}

/* Submits the request, and returns its result. */
static inline size_t complete(struct call *call, const char *what)
{
	struct io_uring_cqe *cqe;
	int ret;

	do
		uring_submit_and_wait(&call->ring, 1);
	while (io_uring_peek_cqe(&call->ring, &cqe));
	ret = cqe->res;
	io_uring_cqe_seen(&call->ring, cqe);
	if (ret < 0)
		job_errno(what, -ret);
	return (size_t)ret;
}

/* The client calls, or the service answers and takes the next call. */
static void exchange(struct endpoint *endpoint)
{
	const void *message = source_next(&endpoint->source);
	unsigned int size = (unsigned int)endpoint->job->size;
	struct call *call = endpoint->state;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&call->ring);
	size_t prefix = 0;

	if (is_client(endpoint)) {
		io_uring_prep_ipc_call(sqe, call->sub, message, size, 0, &call->exchange,
				       IOIPC_SEND_WAIT);
	} else {
		prefix = sizeof(*call->info);
		call->exchange.call = call->info->msg_id;
		io_uring_prep_ipc_reply_recv(sqe, call->sub, message, size, &call->exchange);
	}
	sink_take(&endpoint->sink, call->buffer, complete(call, "IPC_SEND of a call") - prefix);
}

/* The service takes its first call. */
static void receive(struct endpoint *endpoint)
{
	struct call *call = endpoint->state;
	size_t prefix = sizeof(*call->info);

	io_uring_prep_ipc_recv(io_uring_get_sqe(&call->ring), call->sub, call->info,
			       (unsigned int)(prefix + endpoint->job->size),
			       IOIPC_RECV_INFO | IOIPC_RECV_WAIT);
	sink_take(&endpoint->sink, call->buffer, complete(call, "IPC_RECV") - prefix);
}

/* The service gives its last answer. */
static void send_last(struct endpoint *endpoint, uint64_t count)
{
	const void *message = source_next(&endpoint->source);
	struct call *call = endpoint->state;
	struct io_uring_ipc_exchange reply = { .call = call->info->msg_id };

	(void)count;
	io_uring_prep_ipc_reply(io_uring_get_sqe(&call->ring), call->sub, message,
				(unsigned int)endpoint->job->size, &reply);
	complete(call, "IPC_SEND of an answer");
}

const struct mechanism ipc_call_mechanisms[] = {
	{
		.name = "ipc-call",
		.what = "channel, calls that complete with their answers",
		.flags = MECHANISM_CALLS,
		.batch = 1,
		.unfit = unfit,
		.setup = setup,
		.open = open_endpoint,
		.send = send_last,
		.receive = receive,
		.exchange = exchange,
	},
	{}
};
