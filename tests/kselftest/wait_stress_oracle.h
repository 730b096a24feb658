/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The stress test: the contents of messages, and which message must come next.
 */
#ifndef WAIT_STRESS_ORACLE_H
#define WAIT_STRESS_ORACLE_H

#include "wait_stress.h"

/* None of its bytes is a byte of MAGIC. */
static char pattern[MAX_SIZE + 256];

static void make_pattern(void)
{
	__u32 random = 1;
	size_t i;

	for (i = 0; i < sizeof(pattern); i++)
		pattern[i] = ipc_random(&random) % 100;
}

/* The bytes behind the start of a message. */
static const char *body(const struct message *message)
{
	return pattern + (message->num * 7 + message->sender) % 256;
}

static __u32 hash(const struct message *message)
{
	return (message->num * 2654435761U ^ message->sender ^
		message->target << 8 ^ message->len << 16 ^ message->sub << 4 ^
		message->pid) * 2246822519U ^ (__u32)message->data;
}

static void fill(struct message *message, __u32 sender, __u32 num, __u32 len)
{
	*message = (struct message) {
		.magic = MAGIC,
		.sender = sender,
		.num = num,
		.len = len,
		.pid = getpid(),
	};
	memcpy(message + 1, body(message), len - sizeof(*message));
}

/* Must be called after the start of the message was changed. */
static void seal(struct message *message)
{
	message->check = hash(message);
}

static bool is_sealed(const struct message *message)
{
	return message->magic == MAGIC && message->check == hash(message) &&
	       message->sender < SOURCES && message->num < MESSAGES &&
	       message->len >= MIN_SIZE && message->len <= MAX_SIZE;
}

/* Whether the start of a message, and its stored bytes, are right. */
static bool is_whole(const struct message *start, const void *data, __u32 stored)
{
	return is_sealed(start) && stored >= sizeof(*start) &&
	       stored <= start->len &&
	       !memcmp((const char *)data + sizeof(*start), body(start),
		       stored - sizeof(*start));
}

/* Prints the last tries of the sender of a bad message. */
static void tell(struct worker *worker, __u32 sender)
{
	struct process *process = &worker->oracle->process[sender];
	__u32 i;

	printf("#   received by %s, sqe flags %#x, rw_flags %#x, ring %#x, cqe flags %#x\n",
	       doing_names[worker->self->doing], worker->flags, worker->how,
	       worker->ring.flags, worker->cqe_flags);
	for (i = 0; i < ENTRIES; i++) {
		__u32 pos = ipc_tail(worker->region) - ENTRIES + i;
		const struct io_uring_ipc_msg_desc *desc =
			ipc_desc(worker->region, pos);
		const struct message *message = (const void *)
			((const char *)worker->region + desc->offset);

		printf("#   position %u: seq %u state %u id %u len %u sender %u target %u, message %u of %u%s\n",
		       pos, desc->seq, desc->state, desc->msg_id, desc->len,
		       desc->sender, desc->target, message->num,
		       message->sender,
		       pos == worker->region->consumer.head ? " <- head" : "");
	}
	for (i = 0; i < TRIES && i < process->tries; i++) {
		__u32 try = (process->tries - 1 - i) % TRIES;

		printf("#   sender %u, message %u: %d, how %#x\n", sender,
		       process->try_num[try], process->result[try],
		       process->how[try]);
	}
}

/* Compares the info of a message with the data of its sender. */
static void check_info(struct worker *worker,
		const struct io_uring_ipc_msg_info *info,
		const struct message *message, __u32 stored)
{
	struct io_uring_ipc_msg_info want = {
		.len = message->len,
		.msg_id = info->msg_id,
		.sender_data = message->data,
		.sender = message->sub,
		.pid = message->pid,
		.uid = geteuid(),
		.gid = getegid(),
		.flags = (message->target ? IOIPC_INFO_TARGETED : 0) |
			 (stored < message->len ? IOIPC_INFO_TRUNCATED : 0),
		.lost = worker->oracle->overwrite ? info->lost : 0,
	};

	if (!msg_same_info(&want, info))
		FAIL(worker, "message %u of %u comes with the wrong info",
		     message->num, message->sender);
	/* In a queue, a receiver can put a message back. */
	if (worker->oracle->all && (int)(info->msg_id - worker->msg_id) <= 0)
		FAIL(worker, "message number %u after %u", info->msg_id,
		     worker->msg_id);
	worker->msg_id = info->msg_id;
	worker->place.next = info->msg_id;
	worker->self->told_lost += info->lost;
	worker->oracle->lost += info->lost;
}

/* Compares a message with its state, and counts it. */
static void count(struct worker *worker, const struct message *message)
{
	struct oracle *oracle = worker->oracle;
	struct process *self = worker->self;
	__u32 sender = message->sender, num = message->num, expect, i;
	__u16 state;

	if (message->target && message->target != worker->sub)
		FAIL(worker, "message %u of %u is for another receiver", num,
		     sender);
	state = oracle->state[sender][num] += ONCE;
	if (!(state & (PENDING | SENT | ABANDONED)))
		FAIL(worker, "message %u of %u was not sent", num, sender);
	if ((!oracle->all || message->target) && TIMES(state) > 1)
		FAIL(worker, "message %u of %u twice", num, sender);
	expect = worker->expect[sender];
	/* The sender itself has given up the order of these messages. */
	if (num < expect && !(state & ABANDONED)) {
		tell(worker, sender);
		FAIL(worker, "message %u of %u after %u", num, sender,
		     expect - 1);
	}
	if (num >= expect) {
		for (i = expect ?: self->joined[sender];
		     oracle->all && !oracle->overwrite && i < num; i++) {
			state = oracle->state[sender][i];
			if (state & (ABANDONED | UNSENT) ||
			    (state & TARGETED && worker->me != ROCK))
				continue;
			tell(worker, sender);
			FAIL(worker, "message %u of %u is missing, got %u", i,
			     sender, num);
		}
		worker->expect[sender] = num + 1;
	}
	self->got++;
	if (num >= self->last[sender])
		self->last[sender] = num + 1;
	oracle->received++;
}

/* Counts a message in a buffer once, even if the process is killed here. */
static void take(struct worker *worker, void *data, __u32 stored,
	  const struct io_uring_ipc_msg_info *info)
{
	struct message *message = data;

	if (!is_whole(message, data, stored))
		FAIL(worker, "%u bytes that no process has sent", stored);
	if (info)
		check_info(worker, info, message, stored);
	worker->self->copied++;
	worker->self->journal = MESSAGE_KEY(message);
	count(worker, message);
	message->magic = 0;
	worker->self->journal = 0;
}

static void take_bundle(struct worker *worker, void *buf, int res)
{
	struct msg_walk walk = { .buf = buf, .res = res };
	int messages = 0;

	while (msg_next(&walk)) {
		take(worker, (void *)walk.data, walk.stored, &walk.info);
		messages++;
	}
	if (walk.broken || walk.at != res || !messages)
		FAIL(worker, "a bundle of %d bytes is broken after %d messages",
		     res, messages);
	if (messages > 1)
		worker->oracle->bundles++;
}

#endif /* WAIT_STRESS_ORACLE_H */
