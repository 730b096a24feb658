// SPDX-License-Identifier: GPL-2.0
/*
 * io_uring IPC channels.  This file submits, waits and handles completions.  It calls
 * ipc_send.h for requests that send, and ipc_receive.h or ipc_mapped.h for requests that
 * receive.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "ipc.h"
#include "ipc_mapped.h"
#include "ipc_receive.h"
#include "ipc_send.h"
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
	const struct ipc_variant *variant = variant_of(endpoint->job->mechanism);
	struct ipc *ipc = calloc(1, sizeof(*ipc));

	if (!ipc)
		job_failed("out of memory");
	endpoint->state = ipc;
	uring_open(&ipc->ring, variant->setup_flags, CQ_ENTRIES);
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
		variant->receive->prepare(endpoint, &sub);
	}
	if (variant->fixed)
		register_buffers(endpoint);
	uring_register_fd(&ipc->ring);
}

/* Handles all completions that are there. */
static __always_inline void reap(struct endpoint *endpoint, const struct ipc_variant *variant)
{
	struct ipc *ipc = endpoint->state;
	struct io_uring_cqe *cqe;
	unsigned int head, count = 0;

	io_uring_for_each_cqe(&ipc->ring, head, cqe) {
		count++;
		if (cqe->user_data & IPC_IS_SEND)
			complete_send(endpoint, variant, cqe);
		else
			variant->receive->complete(endpoint, variant, cqe);
	}
	io_uring_cq_advance(&ipc->ring, count);
}

static __always_inline void send_messages(struct endpoint *endpoint,
					  const struct ipc_variant *variant, uint64_t count)
{
	struct ipc *ipc = endpoint->state;

	while (count || ipc->sending) {
		unsigned int wait = ipc->sending;

		/* Most sends complete at once, so the first call does not wait. */
		if (!wait)
			count -= prepare_messages(endpoint, variant, count);
		uring_submit_and_wait(&ipc->ring, wait);
		reap(endpoint, variant);
	}
}

static __always_inline void receive_messages(struct endpoint *endpoint,
					     const struct ipc_variant *variant)
{
	const struct ipc_receive *receive = variant->receive;
	struct ipc *ipc = endpoint->state;

	while (sink_open(&endpoint->sink)) {
		if (receive->take && receive->take(endpoint))
			continue;
		if (receive->take && variant->polls) {
			cpu_relax();
			continue;
		}
		uring_submit_and_wait(&ipc->ring, receive->post(endpoint, variant));
		reap(endpoint, variant);
	}
}

/* One system call: sends a message, and waits for the next message. */
static __always_inline void exchange(struct endpoint *endpoint, const struct ipc_variant *variant)
{
	const struct ipc_receive *receive = variant->receive;
	struct ipc *ipc = endpoint->state;
	unsigned int wait = 0;

	prepare_messages(endpoint, variant, 1);
	if (!receive->take || !variant->polls)
		wait = receive->post(endpoint, variant);
	wait += ipc->sending;
	do {
		uring_submit_and_wait(&ipc->ring, wait);
		reap(endpoint, variant);
		wait = 1;
	} while (ipc->sending);
	receive_messages(endpoint, variant);
}

#define BATCH	32
/* As many messages as there are slots. */
#define LARGE_BATCH	128

/* A variant and its functions. */
#define VARIANT(name, ...)							\
	static const struct ipc_variant name##_variant = { __VA_ARGS__ };	\
	static void name##_send(struct endpoint *endpoint, uint64_t count)	\
	{									\
		send_messages(endpoint, &name##_variant, count);		\
	}									\
	static void name##_receive(struct endpoint *endpoint)		\
	{									\
		receive_messages(endpoint, &name##_variant);			\
	}									\
	static void name##_exchange(struct endpoint *endpoint)		\
	{									\
		exchange(endpoint, &name##_variant);				\
	}

VARIANT(each, .setup_flags = URING_MODERN, .receive = &receive_each)
VARIANT(each_no_cqe, .setup_flags = URING_MODERN, .receive = &receive_each, .no_cqe = true)
VARIANT(each_busy, .setup_flags = URING_MODERN, .receive = &receive_each, .polls = true)
VARIANT(fixed, .setup_flags = URING_MODERN, .receive = &receive_each, .fixed = true)
VARIANT(multishot, .setup_flags = URING_MODERN, .receive = &receive_multishot)
VARIANT(bundle, .setup_flags = URING_MODERN, .receive = &receive_bundle)
VARIANT(vec, .setup_flags = URING_MODERN, .receive = &receive_each, .vec = true)
VARIANT(vec_bundle, .setup_flags = URING_MODERN, .receive = &receive_bundle, .vec = true)
VARIANT(mapped, .setup_flags = URING_MODERN, .receive = &receive_mapped)
VARIANT(vec_mapped, .setup_flags = URING_MODERN, .receive = &receive_mapped, .vec = true)
VARIANT(spinning, .setup_flags = URING_MODERN, .receive = &receive_mapped, .no_cqe = true,
	.polls = true)
VARIANT(overwrite, .setup_flags = URING_MODERN, .channel_flags = IOIPC_F_OVERWRITE,
	.receive = &receive_bundle)
VARIANT(sqpoll, .setup_flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_SQPOLL,
	.receive = &receive_each)

#define IPC_MECHANISM(name)			\
	.variant = &name##_variant,		\
	.unfit = unfit,				\
	.setup = setup,				\
	.open = open_endpoint,			\
	.send = name##_send,			\
	.receive = name##_receive,		\
	.exchange = name##_exchange

const struct mechanism ipc_mechanisms[] = {
	{
		.name = "ipc-1",
		.what = "channel, one request per call",
		.batch = 1,
		IPC_MECHANISM(each),
	}, {
		.name = "ipc-1-no-cqe",
		.what = "channel, one request per call, sends without CQE",
		.batch = 1,
		IPC_MECHANISM(each_no_cqe),
	}, {
		.name = "ipc-8",
		.what = "channel, 8 requests per call",
		.flags = MECHANISM_STREAMS,
		.batch = 8,
		IPC_MECHANISM(each),
	}, {
		.name = "ipc-32",
		.what = "channel, 32 requests per call",
		.flags = MECHANISM_STREAMS,
		.batch = BATCH,
		IPC_MECHANISM(each),
	}, {
		.name = "ipc-32-no-cqe",
		.what = "channel, 32 requests per call, sends without CQE",
		.flags = MECHANISM_STREAMS,
		.batch = BATCH,
		IPC_MECHANISM(each_no_cqe),
	}, {
		.name = "ipc-fixed",
		.what = "channel, registered buffers",
		.batch = BATCH,
		IPC_MECHANISM(fixed),
	}, {
		.name = "ipc-multishot",
		.what = "channel, multishot receive",
		.batch = BATCH,
		IPC_MECHANISM(multishot),
	}, {
		.name = "ipc-bundle",
		.what = "channel, bundle received",
		.batch = BATCH,
		IPC_MECHANISM(bundle),
	}, {
		.name = "ipc-vec",
		.what = "channel, vector of 32 sent, 32 requests receive",
		.flags = MECHANISM_STREAMS,
		.batch = BATCH,
		IPC_MECHANISM(vec),
	}, {
		.name = "ipc-vec-bundle",
		.what = "channel, vector of 32 sent, bundle received",
		.flags = MECHANISM_STREAMS,
		.batch = BATCH,
		IPC_MECHANISM(vec_bundle),
	}, {
		.name = "ipc-mapped",
		.what = "channel, read in place",
		.batch = BATCH,
		IPC_MECHANISM(mapped),
	}, {
		.name = "ipc-vec-mapped",
		.what = "channel, vector of 32 read in place",
		.flags = MECHANISM_STREAMS,
		.batch = BATCH,
		IPC_MECHANISM(vec_mapped),
	}, {
		.name = "ipc-vec-mapped-128",
		.what = "channel, vector of 128 read in place",
		.flags = MECHANISM_STREAMS,
		.batch = LARGE_BATCH,
		IPC_MECHANISM(vec_mapped),
	}, {
		.name = "ipc-overwrite",
		.what = "channel that overwrites, bundle received",
		.flags = MECHANISM_STREAMS | MECHANISM_LOSSY,
		.batch = BATCH,
		IPC_MECHANISM(overwrite),
	}, {
		.name = "ipc-busy",
		.what = "channel, one request per call, receivers try again",
		.flags = MECHANISM_POLLS,
		.batch = 1,
		IPC_MECHANISM(each_busy),
	}, {
		.name = "ipc-mapped-busy",
		.what = "channel, read in place, receivers spin",
		.flags = MECHANISM_POLLS,
		.batch = 1,
		IPC_MECHANISM(spinning),
	}, {
		.name = "ipc-sqpoll",
		.what = "channel, a kernel thread polls for requests",
		.flags = MECHANISM_POLLS,
		.batch = BATCH,
		IPC_MECHANISM(sqpoll),
	},
	{}
};
