/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The stress test: a process that receives, in all ways.
 */
#ifndef WAIT_STRESS_RECEIVE_H
#define WAIT_STRESS_RECEIVE_H

#include "wait_stress_oracle.h"
#include "wait_stress_worker.h"

/* Where the messages of a request go. */
enum kind { PLAIN, FIXED, SELECTED, MAPPED };

struct recv_way {
	enum kind	kind;
	/* rw_flags. */
	__u32		flags;
	/* The length of the buffer, 0 for a whole provided buffer. */
	__u32		len;
	bool		wait;
	bool		multishot;
	bool		timed;
	bool		cancel;
	bool		async;
};

static __u32 prefix_of(const struct recv_way *way)
{
	return way->flags & (IOIPC_RECV_INFO | IOIPC_RECV_BUNDLE) ? MSG_INFO : 0;
}

static void choose_recv(struct worker *worker, struct recv_way *way, bool quiet)
{
	static const enum kind kinds[] = {
		PLAIN, PLAIN, FIXED, SELECTED, SELECTED,
	};

	*way = (struct recv_way) {
		.kind = kinds[ipc_random(&worker->random) % ARRAY_SIZE(kinds)],
		.wait = quiet || !chance(worker, 6),
		.async = chance(worker, 8),
	};
	if (worker->self->maps && chance(worker, 2))
		way->kind = MAPPED;
	/* The rest of an incremental buffer may be too small for the info. */
	if (way->kind == SELECTED && worker->incremental) {
		if (worker->self->informed)
			way->kind = PLAIN;
		else
			way->async = false;
	}
	if (way->kind != MAPPED &&
	    !(way->kind == SELECTED && worker->incremental)) {
		if (chance(worker, 3) &&
		    (worker->oracle->all || worker->touched))
			way->flags |= IOIPC_RECV_BUNDLE;
		else if (worker->self->informed || chance(worker, 3))
			way->flags |= IOIPC_RECV_INFO;
	}
	if (way->kind != MAPPED && !(way->flags & IOIPC_RECV_BUNDLE) &&
	    chance(worker, 3))
		way->flags |= IOIPC_RECV_TRUNC;
	/* Enough to identify the message. */
	if (chance(worker, 4) &&
	    !(way->kind == SELECTED && worker->incremental))
		way->len = prefix_of(way) + MIN_SIZE +
			   ipc_random(&worker->random) % 1000;
	else if (way->kind != SELECTED)
		way->len = BUF_SIZE;
	way->multishot = way->wait && way->kind == SELECTED && chance(worker, 2);
	if (way->multishot) {
		way->flags |= IOIPC_RECV_MULTISHOT;
		way->async = false;
	} else if (way->wait) {
		way->flags |= IOIPC_RECV_WAIT;
	}
	way->timed = way->wait && !quiet && !way->multishot && chance(worker, 8);
	way->cancel = way->wait && !quiet && !way->timed &&
		      (way->multishot || chance(worker, 6));
}

/* Prepares a request. */
static void get_recv(struct worker *worker, const struct recv_way *way)
{
	struct io_uring_sqe *sqe = wait_get_sqe(&worker->ring);
	void *buf = worker->hand->bufs[0];

	switch (way->kind) {
	case PLAIN:
		io_uring_prep_ipc_recv(sqe, worker->sub, buf, way->len,
				       way->flags);
		break;
	case FIXED:
		io_uring_prep_ipc_recv_fixed(sqe, worker->sub, buf, way->len, 0,
					     way->flags);
		break;
	case SELECTED:
		io_uring_prep_ipc_recv(sqe, worker->sub, NULL, way->len,
				       way->flags);
		sqe->flags |= IOSQE_BUFFER_SELECT;
		sqe->buf_group = GROUP;
		break;
	case MAPPED:
		io_uring_prep_ipc_recv_mapped(sqe, worker->sub, way->flags);
		break;
	}
	io_uring_sqe_set_data64(sqe, ++worker->data);
	if (way->async)
		sqe->flags |= IOSQE_ASYNC;
	if (way->timed)
		sqe->flags |= IOSQE_IO_LINK;
	worker->flags = sqe->flags;
	worker->how = way->flags;
	worker->self->doing = way->kind == MAPPED ? RECEIVING_MAPPED :
			      way->multishot ? RECEIVING_MULTISHOT :
			      way->wait ? RECEIVING_WAIT : RECEIVING;
}

/* Makes the kernel look at the stored position. */
static void kick(struct worker *worker)
{
	struct io_uring_sqe *sqe = wait_get_sqe(&worker->ring);
	struct io_uring_cqe cqe;

	io_uring_prep_ipc_recv_mapped(sqe, worker->sub, 0);
	io_uring_sqe_set_data64(sqe, ++worker->data);
	do {
		while (!next_cqe(worker, &cqe, 100000))
			if (worker->oracle->failed)
				_exit(KSFT_FAIL);
	} while (cqe.user_data != worker->data);
	if (cqe.res <= 0 && cqe.res != -EAGAIN &&
	    !(cqe.res == -EPIPE && worker->oracle->stop))
		FAIL(worker, "telling where it reads: %d", cqe.res);
}

/* Reads messages in place; the kernel has found this many. */
static void read_in_place(struct worker *worker, int messages)
{
	struct oracle *oracle = worker->oracle;
	struct ipc_map *place = &worker->place;
	struct ipc_message got;
	int found = 0;

	while (ipc_peek(place, &got)) {
		struct message start;
		bool whole;

		memcpy(&start, got.data, sizeof(start));
		whole = is_whole(&start, got.data, got.len);
		if (!ipc_intact(place, &got)) {
			if (!oracle->overwrite)
				FAIL(worker, "a message in place is gone");
			continue;
		}
		if (!whole || start.len != got.len ||
		    start.data != got.sender_data || start.sub != got.sender ||
		    got.msg_id != got.position + 1)
			FAIL(worker, "a message in place that no process has sent");
		worker->msg_id = got.msg_id;
		count(worker, &start);
		found++;
		oracle->in_place++;
		if (chance(worker, 4))
			break;
	}
	/* Messages that are overwritten meanwhile are gone. */
	if (!found && !oracle->overwrite)
		FAIL(worker, "no message in place of %d", messages);
	/* Sometimes stores an invalid position, which has no effect. */
	if (chance(worker, 4))
		__atomic_store_n(&place->cursor->position,
				 place->next + (1U << 30), __ATOMIC_RELEASE);
	if (chance(worker, 4))
		ipc_nap(ipc_random(&worker->random) % 3000);
	if (ipc_consume(place))
		kick(worker);
}

/* Takes the received messages, and provides a buffer again. */
static void take_some(struct worker *worker, const struct recv_way *way,
		      const struct io_uring_cqe *cqe)
{
	__u32 id = cqe->flags >> IORING_CQE_BUFFER_SHIFT, prefix = prefix_of(way);
	char *buf = worker->hand->bufs[0];
	__u32 len = way->len, stored;
	const struct message *message;

	if (way->kind == SELECTED) {
		if (!(cqe->flags & IORING_CQE_F_BUFFER) || id >= BUFS)
			FAIL(worker, "%d bytes in no buffer", cqe->res);
		buf = worker->hand->bufs[PROVIDED + id] + worker->used[id];
		len = BUF_SIZE - worker->used[id];
		if (way->len && way->len < len)
			len = way->len;
	}
	if (way->flags & IOIPC_RECV_BUNDLE) {
		if (cqe->res > (int)len)
			FAIL(worker, "a bundle of %d bytes in %u", cqe->res, len);
		take_bundle(worker, buf, cqe->res);
	} else {
		message = (const void *)(buf + prefix);
		stored = message->len < len - prefix ? message->len :
			 len - prefix;
		if (cqe->res != (int)(prefix + (way->flags & IOIPC_RECV_TRUNC ?
						message->len : stored)))
			FAIL(worker, "%d bytes for a message of %u in %u",
			     cqe->res, message->len, len);
		take(worker, buf + prefix, stored,
		     prefix ? (const void *)buf : NULL);
	}
	if (way->kind != SELECTED)
		return;
	if (cqe->flags & IORING_CQE_F_BUF_MORE) {
		worker->used[id] += cqe->res < (int)len ? cqe->res : (int)len;
		return;
	}
	worker->used[id] = 0;
	io_uring_buf_ring_add(worker->bufs, worker->hand->bufs[PROVIDED + id],
			      BUF_SIZE, id, io_uring_buf_ring_mask(BUFS), 0);
	io_uring_buf_ring_advance(worker->bufs, 1);
}

/* Receives for a while, in a random way. */
static void receive_some(struct worker *worker)
{
	struct oracle *oracle = worker->oracle;
	struct process *self = worker->self;
	struct __kernel_timespec timeout;
	bool told = false, ended = false;
	struct io_uring_cqe cqe;
	struct recv_way way;
	double end;

	set_up(worker);
	/* A receiver that waits when it is quiet does only that. */
	choose_recv(worker, &way, oracle->quiet);
	get_recv(worker, &way);
	if (way.timed)
		get_timeout(worker, &timeout);
	end = ipc_now() + ipc_random(&worker->random) % 10000 / 1e6;
	while (!ended) {
		if (oracle->failed)
			_exit(KSFT_FAIL);
		if (way.cancel && !oracle->quiet && ipc_now() >= end) {
			way.cancel = false;
			if (!IS_ROCK(worker->me) && chance(worker, 8)) {
				/*
				 * The process has not seen the completions that
				 * are in its queue.
				 */
				close_ring(worker);
				return;
			}
			if (!IS_ROCK(worker->me) && chance(worker, 8))
				detach(worker);
			else
				get_cancel(worker);
		}
		/* All processes start the rounds without a message. */
		if (oracle->rounds && !told) {
			told = true;
			way.cancel = false;
			get_cancel(worker);
		}
		if (!next_cqe(worker, &cqe, way.cancel ? 500 :
			      oracle->quiet ? 1000 : 20000))
			continue;
		if (cqe.user_data != worker->data)
			continue;
		ended = !(cqe.flags & IORING_CQE_F_MORE);
		worker->cqe_flags = cqe.flags;
		if (cqe.res > 0 && way.kind == MAPPED) {
			/*
			 * A request that ended by DETACH may have found
			 * messages.
			 */
			if (worker->is_attached)
				read_in_place(worker, cqe.res);
		} else if (cqe.res > 0) {
			take_some(worker, &way, &cqe);
		} else if (cqe.res == -EPIPE && oracle->stop) {
			_exit(0);
		} else if (cqe.res == -ENOENT ? worker->is_attached :
			   cqe.res == -EAGAIN ? way.wait :
			   cqe.res == -ENOBUFS ? way.kind != SELECTED :
			   !is_ended(cqe.res)) {
			FAIL(worker, "%s, rw_flags %#x: %s",
			     doing_names[self->doing], way.flags,
			     strerror(-cqe.res));
		} else if (is_ended(cqe.res) && !way.timed && way.cancel) {
			FAIL(worker, "it has ended without a cancel: %s",
			     strerror(-cqe.res));
		}
	}
	/* A cancelled request in io-wq may have kept some buffers. */
	if (cqe.res == -ENOBUFS)
		provide(worker);
	if (!way.wait && cqe.res == -EAGAIN)
		ipc_nap(ipc_random(&worker->random) % 500);
}

/*
 * Waits for one message.  A process that is not patient gives up, in a random
 * way.  No process tries again.
 */
static void recv_round(struct worker *worker)
{
	struct oracle *oracle = worker->oracle;
	struct process *self = worker->self;
	bool first = worker->me == ROCK + 1;
	bool patient = first || oracle->patient, told = patient;
	struct recv_way way = {
		.kind = chance(worker, 2) ? PLAIN : FIXED,
		.flags = IOIPC_RECV_WAIT |
			 (chance(worker, 2) ? IOIPC_RECV_INFO : 0),
		.len = BUF_SIZE,
		.wait = true,
	};
	struct __kernel_timespec timeout;
	struct io_uring_cqe cqe = {};

	/* In unicast, the receiver that attached first is woken first. */
	if (first && worker->is_attached)
		detach(worker);
	set_up(worker);
	way.timed = !patient && chance(worker, 5);
	way.async = !way.timed && chance(worker, 10);
	told |= way.timed;
	get_recv(worker, &way);
	if (way.timed)
		get_timeout(worker, &timeout);
	io_uring_submit(&worker->ring);
	self->round = worker->round;
	while (oracle->go != worker->round && oracle->rounds)
		if (next_cqe(worker, &cqe, 100) &&
		    cqe.user_data == worker->data)
			goto done;
	if (!told) {
		if (next_cqe(worker, &cqe, ipc_random(&worker->random) % 1500) &&
		    cqe.user_data == worker->data)
			goto done;
		switch (ipc_random(&worker->random) % 4) {
		case 0:
			close_ring(worker);
			return;
		case 1:
			detach(worker);
			break;
		default:
			get_cancel(worker);
		}
	}
	/* At the end, a process that still waits cancels its request. */
	for (told = false;;) {
		if (oracle->failed)
			_exit(KSFT_FAIL);
		if (!told && (oracle->over == worker->round ||
			      !oracle->rounds)) {
			told = true;
			get_cancel(worker);
		}
		if (next_cqe(worker, &cqe, 1000) &&
		    cqe.user_data == worker->data)
			break;
	}
done:
	if (cqe.res > 0)
		take_some(worker, &way, &cqe);
	else if (cqe.res == -EPIPE && oracle->stop)
		_exit(0);
	else if (!is_ended(cqe.res) && (cqe.res != -ENOENT ||
					worker->is_attached))
		FAIL(worker, "in a round: %s", strerror(-cqe.res));
}

static void all_rounds(struct worker *worker)
{
	struct oracle *oracle = worker->oracle;

	while (oracle->rounds) {
		worker->self->doing = NOTHING;
		if (oracle->failed)
			_exit(KSFT_FAIL);
		if (oracle->round == worker->round || worker->me == ROCK) {
			ipc_nap(100);
			continue;
		}
		worker->round = oracle->round;
		recv_round(worker);
	}
}

static void receiver(struct worker *worker)
{
	for (;;) {
		if (worker->oracle->failed)
			_exit(KSFT_FAIL);
		/* This comes before the look, as in sender(). */
		worker->self->doing = RECEIVING;
		if (worker->oracle->rounds) {
			all_rounds(worker);
			continue;
		}
		receive_some(worker);
		/* A receiver that detaches loses its place in the order. */
		if (worker->me == ROCK || worker->oracle->quiet)
			continue;
		if (chance(worker, 100) && worker->is_attached)
			detach(worker);
		if (chance(worker, 300) && worker->is_open)
			close_ring(worker);
	}
}

#endif /* WAIT_STRESS_RECEIVE_H */
