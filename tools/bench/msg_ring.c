// SPDX-License-Identifier: GPL-2.0
/*
 * The closest mechanism that io_uring has without IPC channels.  The sender writes the
 * message to shared memory, and IORING_OP_MSG_RING posts a completion with its position
 * on the ring of the receiver.  Receivers give slots back in the same way, many at a
 * time.
 *
 * The target ring is a plain descriptor: io_uring does not register a ring as a fixed file
 * of another ring (-EBADF), so each message takes and drops a reference to the file.
 *
 * Each sender has its own slots.  A message to all receivers goes to each ring.  A
 * message to any receiver goes to the next one in turn, as there is no queue to share.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "job.h"
#include "process.h"
#include "shm_ring.h"
#include "uring.h"

/*
 * user_data that senders and receivers post: a message with the number of the sender
 * and the position, or slots given back with the number of the receiver.
 */
#define IS_CREDIT	0x8000000000000000ULL
#define NUMBER_SHIFT	48
#define POSITION_MASK	((1ULL << NUMBER_SHIFT) - 1)
/* user_data of an SQE, which completes only if it fails. */
#define IS_OWN		0x4000000000000000ULL

struct msg_ring_variant {
	unsigned int setup_flags;
};

struct msg_ring_link {
	/* One for each process of the job.  Both links of a ping-pong share them. */
	struct io_uring *rings;
	/* The slots of each sender. */
	struct shm_slots slots[MAX_SENDERS];
};

struct msg_ring_endpoint {
	struct io_uring *ring;
	/*
	 * As a sender: the position of the next message, and of each receiver the slots
	 * given back.
	 */
	uint64_t tail;
	uint64_t credits[MAX_RECEIVERS];
	/*
	 * As a receiver: how many slots of each sender it has not given back yet, and how
	 * many it keeps before it gives them back.
	 */
	unsigned int debts[MAX_SENDERS];
	unsigned int max_debt;
};

static bool polls(const struct endpoint *endpoint)
{
	return endpoint->job->mechanism->flags & MECHANISM_POLLS;
}

/* The number of slots of each sender. */
static unsigned int window(const struct link *link)
{
	return link->job->slots / link->senders;
}

/* How many messages a receiver keeps before it gives their slots back. */
static unsigned int max_debt(const struct link *link)
{
	unsigned int receivers = link->to_all ? 1 : link->receivers;
	unsigned int debt = window(link) / 2 / receivers;

	return debt ? debt : 1;
}

/*
 * The rings are opened before the processes are made, so that all processes have a
 * descriptor of each ring.  The process that uses a ring enables it, and owns it from
 * then on.
 */
static void setup(struct link *link)
{
	const struct msg_ring_variant *variant = link->job->mechanism->variant;
	unsigned int i, processes = work_processes(link->job->work);
	static struct io_uring rings[MAX_PROCESSES];
	struct msg_ring_link *state;

	state = calloc(1, sizeof(*state));
	if (!state)
		job_failed("out of memory");
	for (i = 0; i < link->senders; i++)
		shm_slots_init(&state->slots[i], window(link), link->job->size);
	for (i = 0; i < processes && !link->first_sender; i++) {
		uring_open(&rings[i], variant->setup_flags | IORING_SETUP_R_DISABLED,
			   4 * link->job->slots + URING_ENTRIES);
	}
	state->rings = rings;
	link->state = state;
}

static void open_endpoint(struct endpoint *endpoint)
{
	const struct link *link = endpoint->out ? endpoint->out : endpoint->in;
	const struct msg_ring_link *state = link->state;
	struct msg_ring_endpoint *end = calloc(1, sizeof(*end));
	int ret;

	if (!end)
		job_failed("out of memory");
	end->ring = &state->rings[endpoint->process];
	ret = io_uring_enable_rings(end->ring);
	if (ret)
		job_errno("io_uring_enable_rings", -ret);
	uring_register_fd(end->ring);
	if (endpoint->in)
		end->max_debt = max_debt(endpoint->in);
	endpoint->state = end;
}

static __always_inline void post(struct msg_ring_endpoint *end, const struct msg_ring_link *link,
				 unsigned int process, unsigned int length, uint64_t data)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(end->ring);

	if (!sqe) {
		uring_submit_and_wait(end->ring, 0);
		sqe = io_uring_get_sqe(end->ring);
	}
	io_uring_prep_msg_ring(sqe, link->rings[process].ring_fd, length, data, 0);
	io_uring_sqe_set_data64(sqe, IS_OWN);
	io_uring_sqe_set_flags(sqe, IOSQE_CQE_SKIP_SUCCESS);
}

static void give_back(struct endpoint *endpoint, unsigned int sender)
{
	const struct link *link = endpoint->in;
	struct msg_ring_endpoint *end = endpoint->state;

	if (++end->debts[sender] < end->max_debt)
		return;
	post(end, link->state, link->first_sender + sender, end->debts[sender],
	     IS_CREDIT | (uint64_t)endpoint->in_index << NUMBER_SHIFT);
	end->debts[sender] = 0;
}

static void take_message(struct endpoint *endpoint, const struct io_uring_cqe *cqe)
{
	const struct msg_ring_link *link = endpoint->in->state;
	unsigned int sender = (unsigned int)(cqe->user_data >> NUMBER_SHIFT);
	const struct shm_slot *slot =
		shm_slot(&link->slots[sender], cqe->user_data & POSITION_MASK);

	sink_take(&endpoint->sink, slot->message, (size_t)cqe->res);
	give_back(endpoint, sender);
}

/* Handles all completions that are there. */
static void take_completions(struct endpoint *endpoint)
{
	struct msg_ring_endpoint *end = endpoint->state;
	struct io_uring_cqe *cqe;
	unsigned int head, count = 0;

	io_uring_for_each_cqe(end->ring, head, cqe) {
		count++;
		if (cqe->user_data & IS_OWN)
			job_errno("IORING_OP_MSG_RING", -cqe->res);
		else if (cqe->user_data & IS_CREDIT)
			end->credits[cqe->user_data >> NUMBER_SHIFT & 0xff] +=
				(unsigned int)cqe->res;
		else
			take_message(endpoint, cqe);
	}
	io_uring_cq_advance(end->ring, count);
}

static void submit_and_reap(struct endpoint *endpoint, unsigned int completions)
{
	struct msg_ring_endpoint *end = endpoint->state;

	if (!polls(endpoint)) {
		uring_submit_and_wait(end->ring, completions);
	} else if (io_uring_sq_ready(end->ring)) {
		uring_submit_and_wait(end->ring, 0);
	} else if (completions && !io_uring_cq_ready(end->ring)) {
		cpu_relax();
		return;
	}
	take_completions(endpoint);
}

/* The position up to which slots are free again. */
static uint64_t freed(const struct msg_ring_endpoint *end, const struct link *link)
{
	uint64_t position, lowest = UINT64_MAX;
	unsigned int i;

	for (i = 0; i < link->receivers; i++) {
		/*
		 * If receivers take turns, the next message that receiver i gets holds
		 * up all others.
		 */
		position = link->to_all ? end->credits[i] : end->credits[i] * link->receivers + i;
		if (position < lowest)
			lowest = position;
	}
	return lowest;
}

static __always_inline void post_message(struct endpoint *endpoint)
{
	const struct link *link = endpoint->out;
	const struct msg_ring_link *state = link->state;
	struct msg_ring_endpoint *end = endpoint->state;
	struct shm_slot *slot = shm_slot(&state->slots[endpoint->out_index], end->tail);
	uint64_t data = (uint64_t)endpoint->out_index << NUMBER_SHIFT | end->tail;
	unsigned int i, size = (unsigned int)endpoint->job->size;

	memcpy(slot->message, source_next(&endpoint->source), size);
	if (link->to_all) {
		for (i = 0; i < link->receivers; i++)
			post(end, state, link->first_receiver + i, size, data);
	} else {
		post(end, state, link->first_receiver + end->tail % link->receivers, size, data);
	}
	end->tail++;
}

static void send_messages(struct endpoint *endpoint, uint64_t count)
{
	unsigned int batch = endpoint->job->batch, posted = 0;
	struct msg_ring_endpoint *end = endpoint->state;
	uint64_t limit = freed(end, endpoint->out) + window(endpoint->out);

	for (; count; count--) {
		while (end->tail == limit) {
			submit_and_reap(endpoint, 1);
			posted = 0;
			limit = freed(end, endpoint->out) + window(endpoint->out);
		}
		post_message(endpoint);
		if (++posted == batch) {
			uring_submit_and_wait(end->ring, 0);
			posted = 0;
		}
	}
	if (posted)
		uring_submit_and_wait(end->ring, 0);
}

/*
 * Receives a batch at a time.  Receivers may keep half of the slots of a sender, so
 * this function never waits for more messages than a sender has room for in the other
 * half.
 */
static void receive_messages(struct endpoint *endpoint)
{
	unsigned int batch = endpoint->job->batch;
	struct sink *sink = &endpoint->sink;
	uint64_t wait;

	if (batch > window(endpoint->in) / 2)
		batch = window(endpoint->in) / 2 ? window(endpoint->in) / 2 : 1;
	while (sink_open(sink)) {
		wait = sink_certain(sink);
		submit_and_reap(endpoint, wait < batch ? (unsigned int)wait : batch);
	}
}

static void exchange(struct endpoint *endpoint)
{
	post_message(endpoint);
	while (sink_open(&endpoint->sink))
		submit_and_reap(endpoint, 1);
}

/*
 * Not DEFER_TASKRUN, with which the sender would leave the completion to a system call
 * of the receiver.
 */
static const struct msg_ring_variant busy_variant = {};
static const struct msg_ring_variant modern_variant = { .setup_flags = URING_MODERN };

#define MSG_RING_MECHANISM			\
	.setup = setup,				\
	.open = open_endpoint,			\
	.send = send_messages,			\
	.receive = receive_messages,		\
	.exchange = exchange

const struct mechanism msg_ring_mechanisms[] = {
	{
		.name = "msg-ring-1",
		.what = "shared memory and MSG_RING, one per call",
		.batch = 1,
		.variant = &modern_variant,
		MSG_RING_MECHANISM,
	}, {
		.name = "msg-ring-32",
		.what = "shared memory and MSG_RING, 32 per call",
		.flags = MECHANISM_STREAMS,
		.batch = 32,
		.variant = &modern_variant,
		MSG_RING_MECHANISM,
	}, {
		.name = "msg-ring-busy",
		.what = "shared memory and MSG_RING, receivers spin",
		.flags = MECHANISM_POLLS,
		.batch = 1,
		.variant = &busy_variant,
		MSG_RING_MECHANISM,
	},
	{}
};
