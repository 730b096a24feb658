/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The stress test: a process that sends, in all ways.
 */
#ifndef WAIT_STRESS_SEND_H
#define WAIT_STRESS_SEND_H

#include "wait_stress_oracle.h"
#include "wait_stress_worker.h"

/* How the next messages of this sender are sent. */
struct send_way {
	bool	wait;
	bool	timed;
	bool	cancel;
	bool	async;
	bool	vec;
	bool	fixed;
	/* Which entry of the vector is too long, if any. */
	int	bad;
	__u32	id;
};

static __u32 random_len(struct worker *worker)
{
	static const __u32 most[] = {
		MIN_SIZE, MIN_SIZE, MIN_SIZE, MIN_SIZE, 300, 300, 4500, MAX_SIZE,
	};
	__u32 top = most[ipc_random(&worker->random) % ARRAY_SIZE(most)];
	__u32 len = MIN_SIZE + ipc_random(&worker->random) %
			       (top - MIN_SIZE + 1);

	return len / worker->oracle->grain * worker->oracle->grain;
}

static struct message *message_at(struct worker *worker, int i)
{
	return (struct message *)worker->hand->bufs[i];
}

/* Changes the state of messages that were pending. */
static void mark(struct worker *worker, __u32 first, __u32 end, int what)
{
	for (; first != end; first++)
		/* A receiver may have counted the message already. */
		worker->oracle->state[worker->me][first] ^= PENDING | what;
}

/* Prepares a request for the messages from number i on, of `messages`. */
static void get_send(struct worker *worker, const struct send_way *way, int i,
		     int messages)
{
	struct message *first = message_at(worker, i);
	struct io_uring_sqe *sqe = wait_get_sqe(&worker->ring);
	struct iovec *vec = worker->hand->vec;
	__u32 flags = way->wait ? IOIPC_SEND_WAIT : 0;
	int n;

	worker->data++;
	for (n = i; n < messages; n++) {
		struct message *message = message_at(worker, n);

		message->data = worker->data;
		message->sub = way->id == worker->sub ? worker->sub : 0;
		seal(message);
		vec[n - i] = (struct iovec) {
			message, n - i == way->bad ? MAX_SIZE + 1 : message->len,
		};
	}
	if (way->vec)
		io_uring_prep_ipc_send_vec(sqe, way->id, vec, messages - i,
					   first->target, flags);
	else if (way->fixed)
		io_uring_prep_ipc_send_fixed(sqe, way->id, first, first->len, 0,
					     first->target, flags);
	else
		io_uring_prep_ipc_send(sqe, way->id, first, first->len,
				       first->target, flags);
	io_uring_sqe_set_data64(sqe, worker->data);
	if (way->async)
		sqe->flags |= IOSQE_ASYNC;
	if (way->timed)
		sqe->flags |= IOSQE_IO_LINK;
}

static void choose_send(struct worker *worker, struct send_way *way, int i, int messages)
{
	*way = (struct send_way) { .bad = -1 };
	way->wait = !chance(worker, 4);
	way->timed = way->wait && chance(worker, 6);
	way->cancel = way->wait && !way->timed && chance(worker, 6);
	way->async = chance(worker, 6);
	way->id = chance(worker, 3) ? worker->channel : worker->sub;
	way->vec = messages - i > 1 || chance(worker, 10);
	/* Only the first buffer is registered. */
	way->fixed = !way->vec && i == 0 && chance(worker, 2);
	if (way->vec && chance(worker, 8))
		way->bad = ipc_random(&worker->random) % (messages - i);
}

/* Records the result, for tell(). */
static void note(struct worker *worker, const struct send_way *way, __u32 num, int res)
{
	struct process *self = worker->self;

	self->result[self->tries % TRIES] = res;
	self->try_num[self->tries % TRIES] = num;
	self->how[self->tries % TRIES] = way->wait * HOW_WAIT |
		way->timed * HOW_TIMED | way->cancel * HOW_CANCEL |
		way->async * HOW_ASYNC | way->vec * HOW_VEC |
		way->fixed * HOW_FIXED |
		(way->id == worker->channel) * HOW_UNATTACHED |
		(worker->ring.flags & 0xff) << 8;
	self->tries++;
}

/* How many messages a request has sent, or its negative error. */
static int sent_by(struct worker *worker, const struct send_way *way, int i,
		   int messages, int res)
{
	if (way->vec) {
		int most = way->bad < 0 ? messages - i : way->bad;

		if (res == 0 || res > most)
			FAIL(worker, "%d sent of %d, number %d is too long",
			     res, messages - i, way->bad);
		if (res > 0) {
			worker->oracle->vecs += res > 1;
			worker->oracle->partial += res < messages - i;
		}
		return res;
	}
	if (res < 0)
		return res;
	if (res != (int)message_at(worker, i)->len)
		FAIL(worker, "%d bytes sent of %u", res,
		     message_at(worker, i)->len);
	return 1;
}

/* Waits for the end of the request. */
static void get_result(struct worker *worker, struct io_uring_cqe *cqe)
{
	do {
		while (!next_cqe(worker, cqe, 100000))
			if (worker->oracle->failed)
				_exit(KSFT_FAIL);
	} while (cqe->user_data != worker->data);
}

/* Makes new messages; returns the number of the first one. */
static __u32 make_messages(struct worker *worker, int messages, __u32 target)
{
	struct process *self = worker->self;
	__u32 first = self->next;
	int i;

	self->first = first;
	for (i = 0; i < messages; i++) {
		fill(message_at(worker, i), worker->me, first + i,
		     random_len(worker));
		message_at(worker, i)->target = target;
		/* Until the result is known. */
		worker->oracle->state[worker->me][first + i] =
			PENDING | (target ? TARGETED : 0);
	}
	/* A process that replaces this one starts with the next message. */
	self->next = first + messages;
	return first;
}

/* Sends messages, in a random way, until they are sent or given up. */
static void send_some(struct worker *worker)
{
	struct oracle *oracle = worker->oracle;
	struct process *self = worker->self;
	int messages = chance(worker, 3) ?
		       2 + ipc_random(&worker->random) % BUFS : 1;
	struct __kernel_timespec timeout;
	struct io_uring_cqe cqe;
	__u32 target = 0, first;
	struct send_way way;
	int i = 0, res;

	if (self->next >= MESSAGES - 2 * BUFS) {
		/* The counters have no room for more. */
		ipc_nap(1000);
		return;
	}
	set_up(worker);
	if (chance(worker, 8))
		target = oracle->target;
	first = make_messages(worker, messages, target);
	while (i < messages) {
		choose_send(worker, &way, i, messages);
		get_send(worker, &way, i, messages);
		if (way.timed)
			get_timeout(worker, &timeout);
		self->doing = way.wait ? SENDING_WAIT : SENDING;
		if (way.cancel &&
		    !(next_cqe(worker, &cqe, ipc_random(&worker->random) %
			       2000) && cqe.user_data == worker->data)) {
			if (!oracle->quiet && !IS_ROCK(worker->me) &&
			    chance(worker, 6)) {
				/* Its messages may still be sent, or not. */
				mark(worker, first + i, first + messages,
				       ABANDONED);
				close_ring(worker);
				return;
			}
			get_cancel(worker);
			get_result(worker, &cqe);
		} else if (!way.cancel) {
			get_result(worker, &cqe);
		}
		note(worker, &way, first + i, cqe.res);
		res = sent_by(worker, &way, i, messages, cqe.res);
		if (res > 0) {
			mark(worker, first + i, first + i + res, SENT);
			i += res;
			continue;
		}
		if (oracle->stop && (res == -EPIPE || res == -ENOENT))
			_exit(0);
		if (res == -ENOENT && target)
			FAIL(worker, "the target is not there");
		if (res != -ENOBUFS && !is_ended(res) &&
		    (res != -EMSGSIZE || way.bad != 0))
			FAIL(worker, "sending %u: %s", first + i,
			     strerror(-res));
		if (oracle->failed)
			_exit(KSFT_FAIL);
		if (res == -ENOBUFS) {
			self->doing = SENDING;
			sched_yield();
		}
	}
	self->doing = NOTHING;
}

/*
 * Waits for room for one message, in a full ring.  A process that is not
 * patient gives up, in a random way.  No process tries again.
 */
static void send_round(struct worker *worker)
{
	struct oracle *oracle = worker->oracle;
	struct process *self = worker->self;
	bool patient = IS_ROCK(worker->me) || oracle->patient, told = patient;
	struct send_way way = { .wait = true, .bad = -1 };
	struct __kernel_timespec timeout;
	struct io_uring_cqe cqe = {};
	__u32 first;

	set_up(worker);
	first = make_messages(worker, 1, 0);
	way.id = chance(worker, 3) ? worker->channel : worker->sub;
	way.fixed = chance(worker, 2);
	way.async = chance(worker, 10);
	way.timed = !patient && chance(worker, 5);
	told |= way.timed;
	get_send(worker, &way, 0, 1);
	if (way.timed)
		get_timeout(worker, &timeout);
	self->doing = SENDING_WAIT;
	io_uring_submit(&worker->ring);
	self->round = worker->round;
	while (oracle->go != worker->round && oracle->over != worker->round)
		if (next_cqe(worker, &cqe, 100) &&
		    cqe.user_data == worker->data)
			goto done;
	if (!told) {
		if (next_cqe(worker, &cqe, ipc_random(&worker->random) % 1500) &&
		    cqe.user_data == worker->data)
			goto done;
		if (chance(worker, 4)) {
			mark(worker, first, first + 1, ABANDONED);
			close_ring(worker);
			self->doing = NOTHING;
			return;
		}
		get_cancel(worker);
	}
	/* At the end, a process that still waits cancels its request. */
	for (told = false;;) {
		if (oracle->failed)
			_exit(KSFT_FAIL);
		if (!told && oracle->over == worker->round) {
			told = true;
			get_cancel(worker);
		}
		if (next_cqe(worker, &cqe, 1000) &&
		    cqe.user_data == worker->data)
			break;
	}
done:
	note(worker, &way, first, cqe.res);
	if (!is_ended(cqe.res) && sent_by(worker, &way, 0, 1, cqe.res) != 1)
		FAIL(worker, "sending in a round: %s", strerror(-cqe.res));
	mark(worker, first, first + 1, cqe.res > 0 ? SENT : UNSENT);
	self->doing = NOTHING;
}

static void sender(struct worker *worker)
{
	struct oracle *oracle = worker->oracle;

	while (!oracle->stop) {
		if (oracle->failed)
			_exit(KSFT_FAIL);
		/*
		 * This comes before the look: the test sees this, or this
		 * process sees the quiet.
		 */
		worker->self->doing = SENDING;
		if (oracle->quiet) {
			worker->self->doing = NOTHING;
			if (oracle->room != worker->round) {
				worker->round = oracle->room;
				send_round(worker);
			}
			ipc_nap(500);
			continue;
		}
		send_some(worker);
		if (IS_ROCK(worker->me))
			continue;
		if (chance(worker, 100) && worker->is_attached)
			detach(worker);
		if (chance(worker, 300) && worker->is_open)
			close_ring(worker);
		/* Sometimes lets the ring run empty, so that receivers wait. */
		if (chance(worker, 10))
			ipc_nap(ipc_random(&worker->random) % 3000);
	}
	_exit(0);
}

#endif /* WAIT_STRESS_SEND_H */
