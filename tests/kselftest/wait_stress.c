// SPDX-License-Identifier: GPL-2.0
/*
 * Processes send and receive in all ways that there are, and cancel, time out,
 * detach, close their rings and are killed at random.  Shared memory knows what
 * must come out: each message once (once per receiver in a broadcast), those of
 * each sender in order.
 *
 * Now and then all is quiet: nobody begins anything but to wait for a message,
 * nobody is killed, nothing is cancelled.  Then all that was sent has to arrive
 * without anybody's help, or somebody was not woken who should have been.
 *
 * After that come some rounds for the channels that give a message to only one:
 * all receivers wait, and then one message is sent while all but one receiver
 * give up.  None of those tries again, so the one that is patient has to get the
 * message unless another one has it.
 *
 * What a receiver has in hand when it is killed or closes its ring is lost with
 * it.  How much that can be is counted.
 *
 * SECONDS=N is how long this takes, for all kinds of channels together; SEED=N
 * is where the random numbers begin.  STALL=N is how many seconds nothing may
 * happen.
 */
#include "waiting.h"

#define ENTRIES		8
#define SENDERS		4
#define RECEIVERS	5
#define PROCESSES	(SENDERS + RECEIVERS)
/* Who sends: also the test itself, in the rounds. */
#define SOURCES		(SENDERS + 1)
#define MESSAGES	(1 << 23)
#define ROUNDS		8
#define TRIES		8
#define BUFS		8
#define GROUP		3

FIXTURE(wait_stress) {
	struct io_uring ring;
	__u32 channel;
	struct oracle *oracle;
	const struct io_uring_ipc_ring *map;
	__u32 random;
	bool all;
};

FIXTURE_VARIANT(wait_stress) {
	__u32 flags;
};

FIXTURE_VARIANT_ADD(wait_stress, unicast) {
	.flags = 0,
};

FIXTURE_VARIANT_ADD(wait_stress, multicast) {
	.flags = IOIPC_F_MULTICAST,
};

FIXTURE_VARIANT_ADD(wait_stress, broadcast) {
	.flags = IOIPC_F_BROADCAST,
};

struct message {
	__u32	sender;
	__u32	num;
	__u32	target;
	__u32	check;
};

/* What is known of a message: bits, and how often it was received above. */
#define SENT		1
/* Its sender was killed or closed its ring, nobody knows whether it was sent. */
#define UNSURE		2
#define TARGETED	4
#define ONCE		8
#define TIMES(state)	((state) / ONCE)

/* What a process is doing, for who wants to know why nothing happens. */
enum doing {
	NOTHING, OPENING, SENDING, SENDING_WAIT, RECEIVING, RECEIVING_WAIT,
	RECEIVING_MULTISHOT, CANCELLING, DETACHING, CLOSING
};

static const char *const doing_names[] = {
	"nothing", "opening", "sending", "waiting for room", "receiving",
	"waiting for a message", "waiting for many messages", "cancelling",
	"detaching", "closing",
};

/* How a message was sent. */
#define HOW_WAIT	1
#define HOW_TIMED	2
#define HOW_CANCEL	4
#define HOW_ASYNC	8
#define HOW_UNATTACHED	16

struct process {
	/* 0 if it is not there. */
	_Atomic pid_t	pid;
	_Atomic int	doing;
	/* Requests whose messages would be lost with it. */
	_Atomic int	in_hand;
	/* Of senders, the next one; of receivers, those from each sender. */
	_Atomic __u32	next;
	_Atomic __u32	last[SOURCES];
	/* Of senders, the results of the last tries, and how it was done. */
	_Atomic __u32	tries;
	_Atomic int	result[TRIES];
	_Atomic __u32	try_num[TRIES];
	_Atomic int	how[TRIES];
	/* Of receivers, the round that they wait in. */
	_Atomic __u32	round;
};

struct oracle {
	_Atomic bool	quiet;
	/* The rounds: who they are for, which one it is, and whether it began. */
	_Atomic bool	rounds;
	_Atomic __u32	round;
	_Atomic __u32	go;
	_Atomic bool	stop;
	_Atomic bool	failed;
	_Atomic long	received;
	/* Messages that may be missing. */
	_Atomic long	lost;
	_Atomic long	cancelled;
	/* Id of the receiver that is never killed and never detaches. */
	_Atomic __u32	target;
	struct process	process[PROCESSES];
	/* Messages of the test itself. */
	_Atomic __u32	next;
	_Atomic __u8	state[SOURCES][MESSAGES];
};

#define IS_ROCK(me)	((me) == 0 || (me) == SENDERS)
/* Does not give up in a round. */
#define IS_PATIENT(me)	((me) == SENDERS + 1)

/* What one process has. */
struct worker {
	struct oracle	*oracle;
	struct process	*self;
	int		me;
	bool		all;
	__u32		channel;
	__u32		random;
	/*
	 * user_data of the last request.  No number is used again: io_uring may
	 * be late to cancel what a linked timeout was for.
	 */
	__u64		data;
	struct io_uring	ring;
	struct ipc_sub	sub;
	const struct io_uring_ipc_ring *map;
	/* Of the SQE and the CQE of the last receive. */
	__u32		flags;
	__u32		cqe_flags;
	bool		is_open;
	bool		is_attached;
	/* Of a broadcast: from each sender, the next number, 0 for any. */
	__u32		expect[SOURCES];
	__u32		round;
	struct io_uring_buf_ring *bufs;
	/*
	 * Buffers: a ring that was closed may use its own for a while, so they
	 * are not used again soon.
	 */
	struct message	*mem;
	struct message	mems[64][BUFS];
	struct message	messages[256];
	__u32		opened;
};

/* Says what is wrong, and makes everybody stop. */
#define FAIL(worker, format, ...) do {					\
	printf("# process %d: " format "\n", (worker)->me,		\
	       ##__VA_ARGS__);						\
	fflush(stdout);							\
	(worker)->oracle->failed = true;				\
	_exit(KSFT_FAIL);						\
} while (0)

/* What the sender of a message that is wrong has last done. */
static void tell(struct worker *worker, __u32 sender)
{
	struct process *process = &worker->oracle->process[sender];
	__u32 i;

	printf("#   received by %s, sqe flags %#x, ring %#x, cqe flags %#x\n",
	       doing_names[worker->self->doing], worker->flags,
	       worker->ring.flags, worker->cqe_flags);
	for (i = 0; i < ENTRIES; i++) {
		__u32 pos = ipc_tail(worker->map) - ENTRIES + i;
		const struct io_uring_ipc_msg_desc *desc =
			ipc_desc(worker->map, pos);
		const struct message *message =
			(const void *)((const char *)worker->map + desc->offset);

		printf("#   position %u: seq %u state %u id %u len %u sender %u target %u, message %u of %u%s\n",
		       pos, desc->seq, desc->state, desc->msg_id, desc->len,
		       desc->sender, desc->target, message->num,
		       message->sender,
		       pos == worker->map->consumer.head ? " <- head" : "");
	}
	for (i = 0; sender < SENDERS && i < TRIES && i < process->tries; i++) {
		__u32 try = (process->tries - 1 - i) % TRIES;

		printf("#   sender %u, message %u: %d, how %#x\n", sender,
		       process->try_num[try], process->result[try],
		       process->how[try]);
	}
}

static bool chance(struct worker *worker, __u32 of)
{
	return ipc_random(&worker->random) % of == 0;
}

static struct message *new_message(struct worker *worker)
{
	struct message *message;

	message = &worker->messages[worker->data % ARRAY_SIZE(worker->messages)];
	memset(message, 0, sizeof(*message));
	return message;
}

static void open_ring(struct worker *worker)
{
	static const unsigned int setups[] = {
		0, 0, WAIT_DEFER, WAIT_DEFER, IORING_SETUP_COOP_TASKRUN,
		IORING_SETUP_SQPOLL,
	};
	struct io_uring_params params = { .sq_thread_idle = 1 };
	int ret, i;

	worker->self->doing = OPENING;
	/* One in 30 polls. */
	params.flags = setups[ipc_random(&worker->random) %
			      (chance(worker, 5) ? 6 : 5)];
	ret = io_uring_queue_init_params(16, &worker->ring, &params);
	if (ret)
		FAIL(worker, "no ring: %s", strerror(-ret));
	worker->is_open = true;
	if (worker->me < SENDERS)
		return;
	worker->bufs = io_uring_setup_buf_ring(&worker->ring, BUFS, GROUP, 0,
					       &ret);
	if (!worker->bufs)
		FAIL(worker, "no buffers: %s", strerror(-ret));
	worker->mem = worker->mems[worker->opened++ % ARRAY_SIZE(worker->mems)];
	for (i = 0; i < BUFS; i++)
		io_uring_buf_ring_add(worker->bufs, &worker->mem[i],
				      sizeof(worker->mem[i]), i,
				      io_uring_buf_ring_mask(BUFS), i);
	io_uring_buf_ring_advance(worker->bufs, BUFS);
}

static void attach(struct worker *worker)
{
	bool sends = worker->me < SENDERS;
	int ret;

	ret = ipc_attach(&worker->ring, worker->channel,
			 sends ? IOIPC_SUB_SEND : IOIPC_SUB_RECV, &worker->sub);
	if (ret == -ENOENT && worker->oracle->stop)
		_exit(0);
	if (ret)
		FAIL(worker, "cannot attach: %s", strerror(-ret));
	close(worker->sub.fd);
	worker->is_attached = true;
	memset(worker->expect, 0, sizeof(worker->expect));
	if (worker->me == SENDERS)
		worker->oracle->target = worker->sub.id;
}

static void detach(struct worker *worker)
{
	int ret;

	worker->self->doing = DETACHING;
	ret = io_uring_ipc_channel_detach(&worker->ring, worker->sub.id);
	if (ret)
		FAIL(worker, "cannot detach: %s", strerror(-ret));
	worker->is_attached = false;
}

static void close_ring(struct worker *worker)
{
	worker->self->doing = CLOSING;
	io_uring_queue_exit(&worker->ring);
	wait_stashed = 0;
	worker->is_open = false;
	worker->is_attached = false;
}

static void set_up(struct worker *worker)
{
	if (!worker->is_open)
		open_ring(worker);
	if (!worker->is_attached)
		attach(worker);
}

/* Whether a completion comes in so many microseconds. */
static bool next_cqe(struct worker *worker, struct io_uring_cqe *cqe,
		     long microseconds)
{
	return !wait_next(&worker->ring, cqe, microseconds / 1e6);
}

/* user_data of what is not a message. */
#define OTHER	0

/* Asks for the end of the last request. */
static void get_cancel(struct worker *worker)
{
	struct io_uring_sqe *sqe = wait_get_sqe(&worker->ring);

	worker->self->doing = CANCELLING;
	worker->oracle->cancelled++;
	io_uring_prep_cancel64(sqe, worker->data, 0);
	io_uring_sqe_set_data64(sqe, OTHER);
}

static void get_timeout(struct worker *worker,
			struct __kernel_timespec *timeout)
{
	struct io_uring_sqe *sqe = wait_get_sqe(&worker->ring);

	timeout->tv_sec = 0;
	timeout->tv_nsec = ipc_random(&worker->random) % 3000000;
	io_uring_prep_link_timeout(sqe, timeout, 0);
	io_uring_sqe_set_data64(sqe, OTHER);
	worker->oracle->cancelled++;
}

static bool is_ended(int res)
{
	return res == -ECANCELED || res == -EINTR || res == -ETIME;
}

/* Sends one message, in some way, until it is sent or given up. */
static void send_one(struct worker *worker)
{
	struct oracle *oracle = worker->oracle;
	struct process *self = worker->self;
	_Atomic __u8 *state = &oracle->state[worker->me][self->next];
	struct __kernel_timespec timeout;
	struct message *message = new_message(worker);
	struct io_uring_cqe cqe;
	struct io_uring_sqe *sqe;
	bool wait, cancel, timed;
	__u32 id, flags;

	message->sender = worker->me;
	message->num = self->next;
	if (message->num >= MESSAGES - 1) {
		/* More than anybody counts. */
		ipc_nap(1000);
		return;
	}
	if (chance(worker, 8) && oracle->target)
		message->target = oracle->target;
	message->check = message->num * 2654435761U ^ message->sender;
	/* Until it is known. */
	*state = UNSURE | (message->target ? TARGETED : 0);
	/* Whoever takes over begins with the next. */
	self->next = message->num + 1;
	for (;;) {
		set_up(worker);
		wait = !chance(worker, 4);
		timed = wait && chance(worker, 6);
		cancel = wait && !timed && chance(worker, 6);
		id = chance(worker, 3) ? worker->channel : worker->sub.id;
		sqe = wait_get_sqe(&worker->ring);
		io_uring_prep_ipc_send(sqe, id, message, sizeof(*message),
				       message->target,
				       wait ? IOIPC_SEND_WAIT : 0);
		io_uring_sqe_set_data64(sqe, ++worker->data);
		if (chance(worker, 6))
			sqe->flags |= IOSQE_ASYNC;
		if (timed) {
			sqe->flags |= IOSQE_IO_LINK;
			get_timeout(worker, &timeout);
		}
		flags = sqe->flags;
		self->doing = wait ? SENDING_WAIT : SENDING;
		if (cancel) {
			if (next_cqe(worker, &cqe,
				     ipc_random(&worker->random) % 2000))
				goto done;
			if (!oracle->quiet && !IS_ROCK(worker->me) &&
			    chance(worker, 6)) {
				/* With the message on its way, or not. */
				close_ring(worker);
				return;
			}
			get_cancel(worker);
		}
		while (!next_cqe(worker, &cqe, 100000))
			if (oracle->failed)
				_exit(KSFT_FAIL);
done:
		while (cqe.user_data != worker->data)
			while (!next_cqe(worker, &cqe, 100000))
				if (oracle->failed)
					_exit(KSFT_FAIL);
		self->result[self->tries % TRIES] = cqe.res;
		self->try_num[self->tries % TRIES] = message->num;
		self->how[self->tries % TRIES] = wait * HOW_WAIT |
			timed * HOW_TIMED | cancel * HOW_CANCEL |
			!!(flags & IOSQE_ASYNC) * HOW_ASYNC |
			(id == worker->channel) * HOW_UNATTACHED |
			(worker->ring.flags & 0xff) << 8;
		self->tries++;
		if (cqe.res == sizeof(*message)) {
			/* A receiver may have counted it already. */
			*state ^= SENT | UNSURE;
			self->doing = NOTHING;
			return;
		}
		if (oracle->stop && (cqe.res == -EPIPE || cqe.res == -ENOENT))
			_exit(0);
		if (cqe.res == -ENOENT && message->target)
			FAIL(worker, "the target is not there");
		if (cqe.res != -ENOBUFS && !is_ended(cqe.res))
			FAIL(worker, "sending %u: %s", message->num,
			     strerror(-cqe.res));
		if (oracle->failed)
			_exit(KSFT_FAIL);
		if (cqe.res == -ENOBUFS) {
			self->doing = SENDING;
			sched_yield();
		}
	}
}

static void sender(struct worker *worker)
{
	while (!worker->oracle->stop) {
		if (worker->oracle->quiet) {
			worker->self->doing = NOTHING;
			ipc_nap(1000);
			continue;
		}
		send_one(worker);
		if (IS_ROCK(worker->me))
			continue;
		if (chance(worker, 100) && worker->is_attached)
			detach(worker);
		if (chance(worker, 300) && worker->is_open)
			close_ring(worker);
		/* Let it run empty sometimes, which is when receivers wait. */
		if (chance(worker, 10))
			ipc_nap(ipc_random(&worker->random) % 3000);
	}
	_exit(0);
}

/* Compares a message with what is known. */
static void check(struct worker *worker, const struct message *message, int res)
{
	struct oracle *oracle = worker->oracle;
	__u32 expect, num;
	__u8 state;

	if (res != sizeof(*message) || message->sender >= SOURCES ||
	    message->num >= MESSAGES ||
	    message->check != (message->num * 2654435761U ^ message->sender))
		FAIL(worker, "%d bytes that nobody has sent", res);
	if (message->target && message->target != worker->sub.id)
		FAIL(worker, "message %u of %u is for somebody else",
		     message->num, message->sender);
	state = oracle->state[message->sender][message->num] += ONCE;
	if (!(state & (SENT | UNSURE)))
		FAIL(worker, "message %u of %u was not sent", message->num,
		     message->sender);
	if ((!worker->all || message->target) && TIMES(state) > 1)
		FAIL(worker, "message %u of %u twice", message->num,
		     message->sender);
	expect = worker->expect[message->sender];
	/* Of unsure ones, the sender itself has given up the order. */
	if (message->num < expect && !(state & UNSURE))
		tell(worker, message->sender);
	if (message->num < expect && !(state & UNSURE))
		FAIL(worker, "message %u of %u after %u", message->num,
		     message->sender, expect - 1);
	if (message->num >= expect) {
		for (num = expect; worker->all && expect &&
		     num < message->num; num++) {
			state = oracle->state[message->sender][num];
			if (!(state & (UNSURE | TARGETED)))
				FAIL(worker, "messages %u of %u is missing, got %u",
				     num, message->sender, message->num);
		}
		worker->expect[message->sender] = message->num + 1;
		worker->self->last[message->sender] = message->num;
	}
	oracle->received++;
}

/* Receives for a while, in some way. */
static void receive_some(struct worker *worker)
{
	struct oracle *oracle = worker->oracle;
	struct process *self = worker->self;
	struct __kernel_timespec timeout;
	bool quiet, wait, cancel, timed, multishot, select;
	bool told = false, ended = false;
	struct message *message = new_message(worker);
	struct io_uring_sqe *sqe;
	struct io_uring_cqe cqe;
	double end;

	set_up(worker);
	/* Who waits in quiet does only that. */
	quiet = oracle->quiet;
	wait = quiet || !chance(worker, 6);
	multishot = wait && chance(worker, 4);
	select = multishot || chance(worker, 5);
	timed = wait && !quiet && !multishot && chance(worker, 8);
	cancel = wait && !quiet && !timed && (multishot || chance(worker, 6));
	sqe = wait_get_sqe(&worker->ring);
	io_uring_prep_ipc_recv(sqe, worker->sub.id, select ? NULL : message,
			       select ? 0 : sizeof(*message),
			       multishot ? IOIPC_RECV_MULTISHOT :
			       wait ? IOIPC_RECV_WAIT : 0);
	io_uring_sqe_set_data64(sqe, ++worker->data);
	if (select) {
		sqe->flags |= IOSQE_BUFFER_SELECT;
		sqe->buf_group = GROUP;
	}
	if (!multishot && chance(worker, 8))
		sqe->flags |= IOSQE_ASYNC;
	if (timed) {
		sqe->flags |= IOSQE_IO_LINK;
		get_timeout(worker, &timeout);
	}
	worker->flags = sqe->flags;
	self->in_hand = multishot ? BUFS : 1;
	self->doing = multishot ? RECEIVING_MULTISHOT :
		      wait ? RECEIVING_WAIT : RECEIVING;
	end = ipc_now() + ipc_random(&worker->random) % 10000 / 1e6;
	while (!ended) {
		if (oracle->failed)
			_exit(KSFT_FAIL);
		if (cancel && !oracle->quiet && ipc_now() >= end) {
			cancel = false;
			if (!IS_ROCK(worker->me) && chance(worker, 8)) {
				/* What is in its queue now is lost. */
				oracle->lost += self->in_hand;
				close_ring(worker);
				self->in_hand = 0;
				return;
			}
			if (!IS_ROCK(worker->me) && chance(worker, 8))
				detach(worker);
			else
				get_cancel(worker);
		}
		/* Everybody begins the rounds with nothing in hand. */
		if (oracle->rounds && !told) {
			told = true;
			cancel = false;
			get_cancel(worker);
		}
		if (!next_cqe(worker, &cqe, cancel ? 500 :
			      oracle->quiet ? 1000 : 20000))
			continue;
		if (cqe.user_data != worker->data)
			continue;
		ended = !(cqe.flags & IORING_CQE_F_MORE);
		worker->cqe_flags = cqe.flags;
		if (cqe.res >= 0) {
			struct message *got = message;
			int id = cqe.flags >> IORING_CQE_BUFFER_SHIFT;

			if (select) {
				if (!(cqe.flags & IORING_CQE_F_BUFFER))
					FAIL(worker, "%d bytes in no buffer",
					     cqe.res);
				got = &worker->mem[id];
			}
			check(worker, got, cqe.res);
		} else if (cqe.res == -EPIPE && oracle->stop) {
			_exit(0);
		} else if (cqe.res == -ENOENT ? worker->is_attached :
			   cqe.res == -EAGAIN ? wait :
			   cqe.res == -ENOBUFS ? !select :
			   !is_ended(cqe.res)) {
			FAIL(worker, "%s: %s", doing_names[self->doing],
			     strerror(-cqe.res));
		} else if (is_ended(cqe.res) && !timed && cancel) {
			FAIL(worker, "nobody has cancelled it: %s",
			     strerror(-cqe.res));
		}
		if (cqe.flags & IORING_CQE_F_BUFFER) {
			memset(&worker->mem[cqe.flags >>
					    IORING_CQE_BUFFER_SHIFT], 0xee,
			       sizeof(worker->mem[0]));
			io_uring_buf_ring_add(worker->bufs,
				&worker->mem[cqe.flags >>
					     IORING_CQE_BUFFER_SHIFT],
				sizeof(worker->mem[0]),
				cqe.flags >> IORING_CQE_BUFFER_SHIFT,
				io_uring_buf_ring_mask(BUFS), 0);
			io_uring_buf_ring_advance(worker->bufs, 1);
		}
	}
	self->in_hand = 0;
	if (!wait && cqe.res == -EAGAIN)
		ipc_nap(ipc_random(&worker->random) % 500);
}

/* Waits for one message; who is not patient gives up, in some way. */
static void one_round(struct worker *worker)
{
	struct oracle *oracle = worker->oracle;
	struct process *self = worker->self;
	bool patient = IS_PATIENT(worker->me), told = false;
	struct message *message = new_message(worker);
	struct __kernel_timespec timeout;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe cqe = {};

	/* In unicast, the first that has attached is the first to be woken. */
	if (patient && worker->is_attached)
		detach(worker);
	set_up(worker);
	sqe = wait_get_sqe(&worker->ring);
	io_uring_prep_ipc_recv(sqe, worker->sub.id, message, sizeof(*message),
			       IOIPC_RECV_WAIT);
	io_uring_sqe_set_data64(sqe, ++worker->data);
	if (!patient && chance(worker, 5)) {
		sqe->flags |= IOSQE_IO_LINK;
		get_timeout(worker, &timeout);
		told = true;
	} else if (chance(worker, 10)) {
		sqe->flags |= IOSQE_ASYNC;
	}
	self->doing = RECEIVING_WAIT;
	self->in_hand = 1;
	io_uring_submit(&worker->ring);
	self->round = worker->round;
	while (oracle->go != worker->round && oracle->rounds)
		if (next_cqe(worker, &cqe, 100) &&
		    cqe.user_data == worker->data)
			goto done;
	if (!patient && !told) {
		if (next_cqe(worker, &cqe, ipc_random(&worker->random) % 1500) &&
		    cqe.user_data == worker->data)
			goto done;
		told = true;
		switch (ipc_random(&worker->random) % 4) {
		case 0:
			oracle->lost++;
			close_ring(worker);
			self->in_hand = 0;
			return;
		case 1:
			detach(worker);
			break;
		default:
			get_cancel(worker);
		}
	}
	do {
		if (oracle->failed)
			_exit(KSFT_FAIL);
		if (!told && (oracle->round != worker->round ||
			      !oracle->rounds)) {
			told = true;
			get_cancel(worker);
		}
	} while (!next_cqe(worker, &cqe, 1000) ||
		 cqe.user_data != worker->data);
done:
	if (cqe.res >= 0)
		check(worker, message, cqe.res);
	else if (cqe.res == -EPIPE && oracle->stop)
		_exit(0);
	else if (!is_ended(cqe.res) && (cqe.res != -ENOENT ||
					worker->is_attached))
		FAIL(worker, "in a round: %s", strerror(-cqe.res));
	self->in_hand = 0;
}

static void all_rounds(struct worker *worker)
{
	struct oracle *oracle = worker->oracle;

	while (oracle->rounds) {
		worker->self->doing = NOTHING;
		if (oracle->failed)
			_exit(KSFT_FAIL);
		if (oracle->round == worker->round || IS_ROCK(worker->me)) {
			ipc_nap(100);
			continue;
		}
		worker->round = oracle->round;
		one_round(worker);
	}
}

static void receiver(struct worker *worker)
{
	for (;;) {
		if (worker->oracle->failed)
			_exit(KSFT_FAIL);
		if (worker->oracle->rounds)
			all_rounds(worker);
		receive_some(worker);
		/* Where it is in the order is forgotten, as it was away. */
		if (IS_ROCK(worker->me) || worker->oracle->quiet)
			continue;
		if (chance(worker, 100) && worker->is_attached)
			detach(worker);
		if (chance(worker, 300) && worker->is_open)
			close_ring(worker);
	}
}

static void start(struct __test_metadata *_metadata,
		  FIXTURE_DATA(wait_stress) *self, int me)
{
	struct process *process = &self->oracle->process[me];
	static struct worker worker;
	pid_t pid;
	int i;

	/* So that nothing is waited for that nobody is there to receive. */
	for (i = 0; i < SOURCES; i++)
		process->last[i] = 0;
	process->in_hand = 0;
	process->doing = NOTHING;
	ipc_random(&self->random);
	/* Who is new does not join a round that has begun. */
	worker.round = self->oracle->round;
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		worker.oracle = self->oracle;
		worker.self = process;
		worker.me = me;
		worker.all = self->all;
		worker.channel = self->channel;
		worker.random = self->random;
		worker.map = self->map;
		if (me < SENDERS)
			sender(&worker);
		else
			receiver(&worker);
	}
	process->pid = pid;
}

/* Messages that are in the ring. */
static int in_ring(const struct io_uring_ipc_ring *map)
{
	__u32 tail = ipc_tail(map), pos;
	int count = 0;

	for (pos = tail - ENTRIES; pos != tail; pos++) {
		const struct io_uring_ipc_msg_desc *desc = ipc_desc(map, pos);

		if (ipc_seq(map, pos) == pos + 1 &&
		    desc->state == IOIPC_MSG_READY)
			count++;
	}
	return count;
}

/* Whether all messages have arrived that have to. */
static bool is_done(FIXTURE_DATA(wait_stress) *self)
{
	struct oracle *oracle = self->oracle;
	struct process *rock = &oracle->process[SENDERS];
	int i;

	for (i = 0; i < SENDERS; i++)
		if (oracle->process[i].doing != NOTHING)
			return false;
	if (!self->all)
		return !in_ring(self->map);
	for (i = 0; i < SENDERS; i++) {
		__u32 num = oracle->process[i].next;

		while (num && !(oracle->state[i][num - 1] & SENT))
			num--;
		/* What is for one is for that one. */
		if (num && rock->last[i] < num - 1)
			return false;
	}
	return true;
}

static void explain(FIXTURE_DATA(wait_stress) *self, const char *when)
{
	struct oracle *oracle = self->oracle;
	int i, j;

	printf("# stall %s: %ld received, tail %u, head %u, %d messages in the ring\n",
	       when, oracle->received, ipc_tail(self->map),
	       self->map->consumer.head, in_ring(self->map));
	for (i = 0; i < PROCESSES; i++) {
		struct process *process = &oracle->process[i];

		printf("#   %s %d (pid %d): %s", i < SENDERS ? "sender" :
		       "receiver", i, process->pid,
		       doing_names[process->doing]);
		if (i < SENDERS) {
			printf(", next is %u", process->next);
		} else {
			for (j = 0; j < SENDERS; j++)
				printf(", last of %d was %u", j,
				       process->last[j]);
		}
		printf("\n");
	}
	fflush(stdout);
}

FIXTURE_SETUP(wait_stress)
{
	struct ipc_sub sub;
	int i;

	self->all = variant->flags & IOIPC_F_BROADCAST;
	self->random = ipc_env("SEED", 0x5eed) * 2654435761U | 1;
	ASSERT_EQ(0, ipc_open(&self->ring));
	ASSERT_EQ(0, ipc_create(&self->ring, variant->flags, ENTRIES,
				sizeof(struct message), &self->channel));
	/* The mapping stays. */
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_RECV,
				&sub));
	self->map = ipc_region(&sub);
	ASSERT_NE(NULL, self->map);
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring, sub.id));
	ASSERT_EQ(0, close(sub.fd));
	self->oracle = ipc_shared(sizeof(*self->oracle));
	ASSERT_NE(NULL, self->oracle);
	for (i = PROCESSES - 1; i >= 0; i--) {
		start(_metadata, self, i);
		/* A broadcast to nobody is lost. */
		if (i == SENDERS)
			ASSERT_TRUE(ipc_poll(self->oracle->target ||
					     self->oracle->failed));
	}
}

FIXTURE_TEARDOWN(wait_stress)
{
	int i;

	for (i = 0; i < PROCESSES; i++)
		if (self->oracle->process[i].pid > 0)
			kill(self->oracle->process[i].pid, SIGKILL);
	io_uring_queue_exit(&self->ring);
}

/* Kills a process and begins it again. */
static void replace(struct __test_metadata *_metadata,
		    FIXTURE_DATA(wait_stress) *self, int me)
{
	struct process *process = &self->oracle->process[me];

	ASSERT_EQ(0, kill(process->pid, SIGKILL));
	ASSERT_EQ(128 + SIGKILL, ipc_wait(process->pid));
	self->oracle->lost += process->in_hand;
	start(_metadata, self, me);
}

/* Waits until all that has to happen has happened. */
#define SETTLE(self, when, condition) do {				\
	double __end = ipc_now() + stall;				\
	long __last = (self)->oracle->received;				\
									\
	while (!(condition)) {						\
		ipc_nap(200);						\
		ASSERT_FALSE((self)->oracle->failed);			\
		if ((self)->oracle->received != __last) {		\
			__last = (self)->oracle->received;		\
			__end = ipc_now() + stall;			\
		}							\
		if (ipc_now() > __end) {				\
			explain(self, when);				\
			ASSERT_TRUE(condition);				\
		}							\
	}								\
} while (0)

/* Whether all receivers wait in this round that are to. */
static bool all_wait(FIXTURE_DATA(wait_stress) *self)
{
	int i;

	for (i = SENDERS + 1; i < PROCESSES; i++)
		if (self->oracle->process[i].round != self->oracle->round)
			return false;
	return true;
}

static long play_rounds(struct __test_metadata *_metadata,
			FIXTURE_DATA(wait_stress) *self, __u32 *random,
			long stall)
{
	struct oracle *oracle = self->oracle;
	long kills = 0;
	int i;

	oracle->rounds = true;
	for (i = 0; i < ROUNDS; i++) {
		__u32 num = oracle->next++;
		struct message message = {
			.sender = SENDERS,
			.num = num,
			.check = num * 2654435761U ^ SENDERS,
		};
		/* Those that can be killed are the last. */
		int victim = SENDERS + 2 + ipc_random(random) % (RECEIVERS - 2);

		oracle->round++;
		SETTLE(self, "at the start of a round", all_wait(self));
		oracle->go = oracle->round;
		ipc_nap(ipc_random(random) % 1500);
		oracle->state[SENDERS][num] = SENT;
		ASSERT_EQ(sizeof(message), ipc_send(&self->ring, self->channel,
						    &message, sizeof(message)));
		if (ipc_random(random) % 4 == 0) {
			replace(_metadata, self, victim);
			kills++;
		}
		SETTLE(self, "in a round, nobody has received the message",
		       !in_ring(self->map));
	}
	oracle->rounds = false;
	return kills;
}

/* Whether a process has ended that nobody has killed. */
static bool any_ended(FIXTURE_DATA(wait_stress) *self)
{
	int i;

	for (i = 0; i < PROCESSES; i++) {
		pid_t pid = self->oracle->process[i].pid;
		int status;

		if (waitpid(pid, &status, WNOHANG) == 0)
			continue;
		printf("# process %d (pid %d) has ended with status %#x\n", i,
		       pid, status);
		self->oracle->process[i].pid = 0;
		return true;
	}
	return false;
}

TEST_F_TIMEOUT(wait_stress, nothing_is_lost, 3 * IPC_TIMEOUT)
{
	double end = ipc_now() + ipc_env("SECONDS", 5) / 3.0;
	long stall = ipc_env("STALL", 10), kills = 0, quiets = 0, missing = 0;
	long last = 0, sent = 0, unsure = 0, i;
	struct oracle *oracle = self->oracle;
	double progress, next_quiet;
	__u32 random = self->random;
	int num;

	progress = ipc_now();
	next_quiet = progress + 0.2;
	do {
		ipc_nap(2000 + ipc_random(&random) % 20000);
		ASSERT_FALSE(oracle->failed);
		ASSERT_FALSE(any_ended(self));
		if (oracle->received != last) {
			last = oracle->received;
			progress = ipc_now();
		}
		if (ipc_now() > progress + stall) {
			explain(self, "in between");
			ASSERT_TRUE(false);
		}
		if (ipc_random(&random) % 2) {
			num = ipc_random(&random) % PROCESSES;
			if (!IS_ROCK(num)) {
				replace(_metadata, self, num);
				kills++;
			}
		}
		if (ipc_now() < next_quiet && ipc_now() < end)
			continue;
		/* All that happens now, the kernel does. */
		oracle->quiet = true;
		SETTLE(self, "in the quiet", is_done(self));
		if (!self->all)
			kills += play_rounds(_metadata, self, &random, stall);
		progress = ipc_now();
		quiets++;
		next_quiet = ipc_now() + ipc_random(&random) % 300 / 1e3;
		if (ipc_now() < end)
			oracle->quiet = false;
	} while (ipc_now() < end);

	/* Whoever waits is told about the end. */
	oracle->stop = true;
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->ring, self->channel));
	for (num = 0; num < PROCESSES; num++) {
		EXPECT_EQ(0, wait_child(oracle->process[num].pid))
			TH_LOG("process %d: %s", num,
			       doing_names[oracle->process[num].doing]);
		oracle->process[num].pid = 0;
	}
	ASSERT_FALSE(oracle->failed);

	for (num = 0; num < SOURCES; num++) {
		__u32 next = num < SENDERS ? oracle->process[num].next :
			     oracle->next;

		for (i = 0; i < next; i++) {
			__u8 state = oracle->state[num][i];

			sent += !!(state & SENT);
			unsure += !!(state & UNSURE);
			/* Those for the one that lives are never lost. */
			if (state & SENT && state & TARGETED) {
				EXPECT_EQ(1, TIMES(state))
					TH_LOG("message %ld of %d", i, num);
			} else if (state & SENT) {
				missing += TIMES(state) == 0;
			}
		}
	}
	/* In a broadcast the one that lives has got all of them. */
	EXPECT_GE(self->all ? 0 : oracle->lost, missing);
	TH_LOG("%ld sent, %ld unsure, %ld received, %ld missing of %ld that may be; %ld kills, %ld cancels, %ld times quiet",
	       sent, unsure, oracle->received, missing, oracle->lost, kills,
	       oracle->cancelled, quiets);
	EXPECT_LT(0, oracle->received);
}

IPC_HARNESS_MAIN
