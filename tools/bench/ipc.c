// SPDX-License-Identifier: GPL-2.0
/*
 * io_uring IPC channels.  This file submits, waits and handles completions.  It calls
 * ipc_send.c for requests that send, and ipc_receive.c or ipc_mapped.c for requests that
 * receive.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "ipc.h"
#include "job.h"
#include "process.h"
#include "uring.h"

#define CQ_ENTRIES	256

struct ipc_link {
	/* The ring that creates the channel. The channel is destroyed when this ring is closed. */
	struct io_uring ring;
	unsigned int channel;
};

static const struct ipc_variant *variant_of(const struct mechanism *mechanism)
{
	return mechanism->variant;
}

/* The flags that the channel needs: IOIPC_F_* */
static unsigned int channel_flags(const struct link *link)
{
	const struct ipc_variant *variant = variant_of(link->job->mechanism);
	unsigned int flags = variant->channel_flags | variant->receive->channel_flags;

	if (link->to_all)
		flags |= IOIPC_F_BROADCAST;
	else if (link->receivers > 1)
		flags |= IOIPC_F_MULTICAST;
	return flags;
}

static const char *unfit(const struct mechanism *mechanism, const struct work *work, size_t size)
{
	const struct ipc_variant *variant = variant_of(mechanism);

	(void)size;
	if (variant->receive->channel_flags & IOIPC_F_BROADCAST && !work->to_all &&
	    work->receivers > 1)
		return "only broadcast channels are received from in place";
	return NULL;
}

static void setup(struct link *link)
{
	struct io_uring_ipc_channel_create create = {
		.flags = channel_flags(link),
		.ring_entries = link->job->slots,
		.max_msg_size = (unsigned int)link->job->size,
		.mode = 0600,
	};
	struct ipc_link *state = calloc(1, sizeof(*state));
	int ret;

	if (!state)
		job_failed("out of memory");
	uring_open(&state->ring, 0, CQ_ENTRIES);
	ret = io_uring_ipc_channel_create(&state->ring, &create);
	if (ret)
		job_errno(create.flags & IOIPC_F_OVERWRITE ?
			  "IPC_CHANNEL_CREATE with IOIPC_F_OVERWRITE" : "IPC_CHANNEL_CREATE", -ret);
	state->channel = create.channel_id_out;
	link->state = state;
}

static void attach(struct ipc *ipc, const struct link *link,
		   struct io_uring_ipc_channel_attach *sub, unsigned int flags)
{
	const struct ipc_link *state = link->state;
	int ret;

	*sub = (struct io_uring_ipc_channel_attach){
		.channel_id = state->channel,
		.flags = flags,
	};
	ret = io_uring_ipc_channel_attach(&ipc->ring, sub);
	if (ret)
		job_errno("IPC_CHANNEL_ATTACH", -ret);
}

/* Registers the messages of the source, if there are any, and the buffers to receive in. */
static void register_buffers(struct endpoint *endpoint)
{
	const struct source *source = &endpoint->source;
	struct ipc *ipc = endpoint->state;
	struct iovec buffers[2];
	unsigned int count = 0;
	int ret;

	if (endpoint->out)
		buffers[count++] = (struct iovec){
			source->buffers, source->nr_buffers * source->stride * sizeof(uint64_t),
		};
	if (endpoint->in)
		buffers[count++] = (struct iovec){
			ipc->buffers, ipc->nr_buffers * ipc->stride,
		};
	ret = io_uring_register_buffers(&ipc->ring, buffers, count);
	if (ret)
		job_errno("io_uring_register_buffers", -ret);
}

static void open_endpoint(struct endpoint *endpoint)
{
	struct io_uring_ipc_channel_attach sub;
	struct ipc *ipc = calloc(1, sizeof(*ipc));

	if (!ipc)
		job_failed("out of memory");
	endpoint->state = ipc;
	ipc->variant = variant_of(endpoint->job->mechanism);
	uring_open(&ipc->ring, ipc->variant->setup_flags, CQ_ENTRIES);
	if (endpoint->out) {
		attach(ipc, endpoint->out, &sub, IOIPC_SUB_SEND);
		ipc->out = sub.local_id_out;
		ipc->vec = calloc(endpoint->job->batch, sizeof(*ipc->vec));
		if (!ipc->vec)
			job_failed("out of memory");
	}
	if (endpoint->in) {
		attach(ipc, endpoint->in, &sub, IOIPC_SUB_RECV);
		ipc->in = sub.local_id_out;
		ipc->variant->receive->prepare(endpoint, &sub);
	}
	if (ipc->variant->fixed)
		register_buffers(endpoint);
	uring_register_fd(&ipc->ring);
}

/* Handles all completions that are there. */
static void reap(struct endpoint *endpoint)
{
	struct ipc *ipc = endpoint->state;
	struct io_uring_cqe *cqe;
	unsigned int head, count = 0;

	io_uring_for_each_cqe(&ipc->ring, head, cqe) {
		count++;
		if (cqe->user_data & IPC_IS_SEND)
			ipc_complete_send(endpoint, cqe);
		else
			ipc->variant->receive->complete(endpoint, cqe);
	}
	io_uring_cq_advance(&ipc->ring, count);
}

static void send_messages(struct endpoint *endpoint, uint64_t count)
{
	struct ipc *ipc = endpoint->state;

	while (count || ipc->sending) {
		if (!ipc->sending)
			count -= ipc_prepare_send(endpoint, count);
		uring_submit_and_wait(&ipc->ring, ipc->sending);
		reap(endpoint);
	}
}

static void receive_messages(struct endpoint *endpoint)
{
	struct ipc *ipc = endpoint->state;
	const struct ipc_receive *receive = ipc->variant->receive;

	while (sink_open(&endpoint->sink)) {
		if (receive->take && receive->take(endpoint))
			continue;
		if (receive->take && ipc_polls(endpoint)) {
			cpu_relax();
			continue;
		}
		uring_submit_and_wait(&ipc->ring, receive->post(endpoint));
		reap(endpoint);
	}
}

/* One system call: sends a message, and waits for the next message. */
static void exchange(struct endpoint *endpoint)
{
	struct ipc *ipc = endpoint->state;
	const struct ipc_receive *receive = ipc->variant->receive;

	ipc_prepare_send(endpoint, 1);
	if (receive->take && ipc_polls(endpoint))
		uring_submit_and_wait(&ipc->ring, 1);
	else
		uring_submit_and_wait(&ipc->ring, 1 + receive->post(endpoint));
	reap(endpoint);
	while (ipc->sending) {
		uring_submit_and_wait(&ipc->ring, 1);
		reap(endpoint);
	}
	if (receive->take)
		receive->take(endpoint);
	if (sink_open(&endpoint->sink))
		receive_messages(endpoint);
}

static const struct ipc_variant each_variant = {
	.setup_flags = URING_MODERN,
	.receive = &ipc_receive_each,
};

static const struct ipc_variant fixed_variant = {
	.setup_flags = URING_MODERN,
	.receive = &ipc_receive_each,
	.fixed = true,
};

static const struct ipc_variant multishot_variant = {
	.setup_flags = URING_MODERN,
	.receive = &ipc_receive_multishot,
};

static const struct ipc_variant bundle_variant = {
	.setup_flags = URING_MODERN,
	.receive = &ipc_receive_bundle,
};

static const struct ipc_variant vec_variant = {
	.setup_flags = URING_MODERN,
	.receive = &ipc_receive_each,
	.vec = true,
};

static const struct ipc_variant vec_bundle_variant = {
	.setup_flags = URING_MODERN,
	.receive = &ipc_receive_bundle,
	.vec = true,
};

static const struct ipc_variant mapped_variant = {
	.setup_flags = URING_MODERN,
	.receive = &ipc_receive_mapped,
};

static const struct ipc_variant vec_mapped_variant = {
	.setup_flags = URING_MODERN,
	.receive = &ipc_receive_mapped,
	.vec = true,
};

static const struct ipc_variant overwrite_variant = {
	.setup_flags = URING_MODERN,
	.channel_flags = IOIPC_F_OVERWRITE,
	.receive = &ipc_receive_bundle,
};

static const struct ipc_variant sqpoll_variant = {
	.setup_flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_SQPOLL,
	.receive = &ipc_receive_each,
};

#define IPC_MECHANISM		\
	.unfit = unfit,		\
	.setup = setup,		\
	.open = open_endpoint,	\
	.send = send_messages,	\
	.receive = receive_messages, \
	.exchange = exchange

#define BATCH	32
/* As many messages as there are slots. */
#define LARGE_BATCH	128

const struct mechanism ipc_mechanisms[] = {
	{
		.name = "ipc-1",
		.what = "IPC channel, 1 request per system call",
		.batch = 1,
		.variant = &each_variant,
		IPC_MECHANISM,
	}, {
		.name = "ipc-8",
		.what = "IPC channel, 8 requests per system call",
		.flags = MECHANISM_STREAMS,
		.batch = 8,
		.variant = &each_variant,
		IPC_MECHANISM,
	}, {
		.name = "ipc-32",
		.what = "IPC channel, 32 requests per system call",
		.flags = MECHANISM_STREAMS,
		.batch = BATCH,
		.variant = &each_variant,
		IPC_MECHANISM,
	}, {
		.name = "ipc-fixed",
		.what = "IPC channel, registered buffers, 32 requests per system call",
		.batch = BATCH,
		.variant = &fixed_variant,
		IPC_MECHANISM,
	}, {
		.name = "ipc-multishot",
		.what = "IPC channel, 32 requests send, one multishot request receives",
		.batch = BATCH,
		.variant = &multishot_variant,
		IPC_MECHANISM,
	}, {
		.name = "ipc-bundle",
		.what = "IPC channel, 32 requests send, one request receives a bundle",
		.batch = BATCH,
		.variant = &bundle_variant,
		IPC_MECHANISM,
	}, {
		.name = "ipc-vec",
		.what = "IPC channel, one request sends 32 messages, 32 requests receive",
		.flags = MECHANISM_STREAMS,
		.batch = BATCH,
		.variant = &vec_variant,
		IPC_MECHANISM,
	}, {
		.name = "ipc-vec-bundle",
		.what = "IPC channel, one request sends 32 messages, one request receives a bundle",
		.flags = MECHANISM_STREAMS,
		.batch = BATCH,
		.variant = &vec_bundle_variant,
		IPC_MECHANISM,
	}, {
		.name = "ipc-mapped",
		.what = "IPC channel, 32 requests send, received in place",
		.batch = BATCH,
		.variant = &mapped_variant,
		IPC_MECHANISM,
	}, {
		.name = "ipc-vec-mapped",
		.what = "IPC channel, one request sends 32 messages, received in place",
		.flags = MECHANISM_STREAMS,
		.batch = BATCH,
		.variant = &vec_mapped_variant,
		IPC_MECHANISM,
	}, {
		.name = "ipc-vec-mapped-128",
		.what = "IPC channel, one request sends 128 messages, received in place",
		.flags = MECHANISM_STREAMS,
		.batch = LARGE_BATCH,
		.variant = &vec_mapped_variant,
		IPC_MECHANISM,
	}, {
		.name = "ipc-overwrite",
		.what = "IPC channel that overwrites, 32 requests send, a bundle is received",
		.flags = MECHANISM_STREAMS | MECHANISM_LOSSY,
		.batch = BATCH,
		.variant = &overwrite_variant,
		IPC_MECHANISM,
	}, {
		.name = "ipc-busy",
		.what = "IPC channel, 1 request per system call, receivers try again",
		.flags = MECHANISM_POLLS,
		.batch = 1,
		.variant = &each_variant,
		IPC_MECHANISM,
	}, {
		.name = "ipc-mapped-busy",
		.what = "IPC channel, 1 request per system call sends, receivers poll the mapping",
		.flags = MECHANISM_POLLS,
		.batch = 1,
		.variant = &mapped_variant,
		IPC_MECHANISM,
	}, {
		.name = "ipc-sqpoll",
		.what = "IPC channel, a kernel thread polls for up to 32 requests",
		.flags = MECHANISM_POLLS,
		.batch = BATCH,
		.variant = &sqpoll_variant,
		IPC_MECHANISM,
	},
	{}
};
