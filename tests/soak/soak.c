// SPDX-License-Identifier: GPL-2.0
/*
 * Ten channels of all kinds and forty processes, for hours.  The processes send and
 * receive, are killed, attach again and close their rings:
 *
 *	soak SECONDS [SEED]
 *
 * A channel lives for a minute at most, for one generation.  Then the parent destroys
 * the channel and creates another one, and the kernel's counters must add up:
 *
 *	sent = received + dropped + still in the ring
 *
 * in a channel that gives a message to one receiver, and for a receiver of a broadcast
 * that was attached all the time
 *
 *	sent = received + lost.
 *
 * The kernel counts per subscriber, in the fdinfo of its file.  So every process hands
 * the file of each of its subscribers to the parent.  The parent keeps the file until
 * the end of the generation, also when the process was killed.
 *
 * A minute of this is the warm-up.  Then the parent removes everything, unloads the
 * module, which waits for all deferred work of the module, and records the memory in
 * use.  After the real run the parent does the same, and the same amount of memory must
 * be in use.
 */
#include <poll.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <linux/membarrier.h>
#include "waiting.h"

#define CHANNELS	10
#define SENDERS		2
#define RECEIVERS	2
/* Processes of a channel. */
#define PROCESSES	(SENDERS + RECEIVERS)
/* The receiver that is never killed and stays attached. */
#define ROCK		SENDERS
#define MAX_SIZE	1024
#define BUFS		8
#define GROUP		1
/* Seconds without a message until a channel counts as stalled, on a slow machine. */
#define STALL		120
/* A generation ends at this number of subscribers: each of them is an open file. */
#define MAX_SUBS	4000
#define MODULE		"io_uring_ipc"

static const struct kind {
	const char	*name;
	__u32		flags;
	__u32		entries;
	__u32		size;
	__u32		attach;
} kinds[CHANNELS] = {
	{ "unicast", 0, 16, 256, 0 },
	{ "small unicast", 0, 2, 64, 0 },
	{ "private unicast", IOIPC_F_PRIVATE, 64, 128, 0 },
	{ "multicast", IOIPC_F_MULTICAST, 16, 256, 0 },
	{ "large multicast", IOIPC_F_MULTICAST, 32, MAX_SIZE, 0 },
	{ "private multicast", IOIPC_F_MULTICAST | IOIPC_F_PRIVATE, 8, 64, 0 },
	{ "broadcast", IOIPC_F_BROADCAST, 16, 256, 0 },
	{ "private broadcast", IOIPC_F_BROADCAST | IOIPC_F_PRIVATE, 64, 128, 0 },
	{ "overwriting broadcast", IOIPC_F_BROADCAST | IOIPC_F_OVERWRITE, 16,
	  MAX_SIZE, 0 },
	{ "broadcast with history", IOIPC_F_BROADCAST | IOIPC_F_OVERWRITE, 32,
	  256, IOIPC_SUB_HISTORY },
};

struct message {
	__u32	generation;
	/* The sender, and which of its rings: messages are in order only within a ring. */
	__u32	sender;
	__u32	life;
	__u32	num;
	__u32	len;
	__u32	check;
	char	fill[];
};

/* The state of a process.  The counters go on when the process is killed and restarted. */
struct process {
	/* Messages that it has seen completed: sent as a subscriber, and received. */
	_Atomic __u64	sent;
	_Atomic __u64	received;
	/* Further messages that may have been sent or received without a seen completion. */
	_Atomic __u64	overlooked;
	_Atomic int	in_hand;
	/* The same without being attached, which the kernel does not count. */
	_Atomic __u64	unattached;
	_Atomic __u64	unsure;
	_Atomic int	unattached_in_hand;
	/* Id of its subscriber, 0 for none. */
	_Atomic __u32	id;
	_Atomic __u32	life;
	/* It has seen that all processes must be calm, and is attached. */
	_Atomic bool	calm;
};

/* A channel in shared memory. */
struct shared_channel {
	__u32		id;
	__u32		generation;
	_Atomic bool	stop_sending;
	_Atomic bool	stop_receiving;
	/* Receivers leave the messages in the ring. */
	_Atomic bool	leave_rest;
	/* No process detaches, closes a ring or is killed any more. */
	_Atomic bool	calm;
	_Atomic bool	destroyed;
	struct process	process[PROCESSES];
};

struct shared {
	_Atomic bool		failed;
	struct shared_channel	channel[CHANNELS];
};

/* The part of a channel that only the parent knows. */
struct channel {
	const struct kind	*kind;
	struct shared_channel	*shared;
	struct io_uring		ring;
	pid_t			pid[PROCESSES];
	/* Processes hand over subscribers through this socket. */
	int			handover[2];
	struct subscriber {
		int	process;
		int	fd;
	}			*subs;
	size_t			num_subs;
	size_t			max_subs;
	/* A subscriber of the parent, for the messages that are left in a queue. */
	struct ipc_sub		drain;
	double			end;
	double			progress;
	__u64			last;
};

static struct shared *shared;
static struct channel channels[CHANNELS];
static struct {
	__u64	generations;
	__u64	attaches;
	__u64	kills;
	__u64	sent;
	__u64	received;
	__u64	lost;
	__u64	dropped;
	__u64	left;
} totals;
static __u32 random_state;
static double start_time;

/* Prints what is wrong and ends this process.  The parent then ends all others. */
static void __attribute__((format(printf, 1, 2), noreturn))
fail(const char *format, ...)
{
	va_list args;

	shared->failed = true;
	va_start(args, format);
	printf("soak: ");
	vprintf(format, args);
	printf("\n");
	va_end(args);
	fflush(stdout);
	_exit(1);
}

/* A process of a channel */

struct worker {
	const struct kind	*kind;
	struct shared_channel	*channel;
	struct process		*self;
	int			me;
	int			handover;
	__u32			random;
	__u64			data;
	struct io_uring		ring;
	struct ipc_sub		sub;
	const struct io_uring_ipc_ring *map;
	bool			is_open;
	bool			is_attached;
	__u32			num;
	struct io_uring_buf_ring *bufs;
	/*
	 * The kernel may use the buffers of a closed ring for a while, so the next ring
	 * gets others.  The last buffer is for a single request.
	 */
	char			(*mem)[MAX_SIZE];
	char			mems[16][BUFS + 1][MAX_SIZE];
	/* The last message of each sender. */
	__u32			last_life[SENDERS];
	__u32			last_num[SENDERS];
};

static bool chance(struct worker *worker, __u32 of)
{
	return ipc_random(&worker->random) % of == 0;
}

static bool is_rock(const struct worker *worker)
{
	return worker->me == ROCK;
}

static void hand_over(struct worker *worker)
{
	char control[CMSG_SPACE(sizeof(int))] = {};
	struct iovec iov = { &worker->me, sizeof(worker->me) };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &worker->sub.fd, sizeof(int));
	if (sendmsg(worker->handover, &message, 0) != sizeof(worker->me))
		fail("%s: process %d cannot hand its subscriber over: %s",
		     worker->kind->name, worker->me, strerror(errno));
}

static void open_ring(struct worker *worker)
{
	static const unsigned int setups[] = {
		0, 0, WAIT_DEFER, WAIT_DEFER, IORING_SETUP_COOP_TASKRUN,
	};
	int ret, i;

	ret = io_uring_queue_init(16, &worker->ring,
				  setups[ipc_random(&worker->random) %
					 ARRAY_SIZE(setups)]);
	if (ret)
		fail("%s: no ring: %s", worker->kind->name, strerror(-ret));
	worker->is_open = true;
	worker->mem = worker->mems[++worker->self->life %
				   ARRAY_SIZE(worker->mems)];
	worker->num = 0;
	if (worker->me < SENDERS)
		return;
	worker->bufs = io_uring_setup_buf_ring(&worker->ring, BUFS, GROUP, 0,
					       &ret);
	if (!worker->bufs)
		fail("%s: no buffers: %s", worker->kind->name, strerror(-ret));
	for (i = 0; i < BUFS; i++)
		io_uring_buf_ring_add(worker->bufs, worker->mem[i], MAX_SIZE, i,
				      io_uring_buf_ring_mask(BUFS), i);
	io_uring_buf_ring_advance(worker->bufs, BUFS);
}

static void attach(struct worker *worker)
{
	bool sends = worker->me < SENDERS;
	int ret;

	ret = ipc_attach(&worker->ring, worker->channel->id,
			 sends ? IOIPC_SUB_SEND :
			 IOIPC_SUB_RECV | (is_rock(worker) ? 0 :
					   worker->kind->attach),
			 &worker->sub);
	if (ret)
		fail("%s: process %d cannot attach: %s", worker->kind->name,
		     worker->me, strerror(-ret));
	hand_over(worker);
	worker->is_attached = true;
	worker->self->id = worker->sub.id;
	memset(worker->last_life, 0, sizeof(worker->last_life));
	if (worker->sub.region_size && chance(worker, 4)) {
		worker->map = ipc_region(&worker->sub);
		if (!worker->map || worker->map->version != IOIPC_RING_VERSION)
			fail("%s: no mapping", worker->kind->name);
	}
	close(worker->sub.fd);
}

static void unmap(struct worker *worker)
{
	if (worker->map)
		munmap((void *)worker->map, worker->sub.region_size);
	worker->map = NULL;
}

static void detach(struct worker *worker)
{
	int ret;

	worker->self->id = 0;
	ret = io_uring_ipc_channel_detach(&worker->ring, worker->sub.id);
	if (ret)
		fail("%s: process %d cannot detach: %s", worker->kind->name,
		     worker->me, strerror(-ret));
	unmap(worker);
	worker->is_attached = false;
}

static void close_ring(struct worker *worker)
{
	unmap(worker);
	worker->self->id = 0;
	io_uring_queue_exit(&worker->ring);
	worker->self->overlooked += worker->self->in_hand;
	worker->self->in_hand = 0;
	worker->is_open = false;
	worker->is_attached = false;
}

static void set_up(struct worker *worker)
{
	if (!worker->is_open)
		open_ring(worker);
	if (!worker->is_attached)
		attach(worker);
	if (worker->channel->calm)
		worker->self->calm = true;
}

static void __attribute__((noreturn)) leave(struct worker *worker)
{
	if (worker->is_attached)
		detach(worker);
	_exit(0);
}

/* Cancels the last request. */
static void get_cancel(struct worker *worker)
{
	struct io_uring_sqe *sqe = wait_get_sqe(&worker->ring);

	io_uring_prep_cancel64(sqe, worker->data, 0);
	io_uring_sqe_set_data64(sqe, 0);
}

static bool is_cancelled(int res)
{
	return res == -ECANCELED || res == -EINTR || res == -ETIME;
}

/* The result of the last request.  Handles other completions too. */
static int last_result(struct worker *worker)
{
	struct io_uring_cqe cqe;
	bool told = false;

	do {
		while (wait_next(&worker->ring, &cqe, 0.1)) {
			if (shared->failed)
				_exit(1);
			/* No receiver makes room any more. */
			if (worker->channel->stop_sending && !told) {
				told = true;
				get_cancel(worker);
			}
		}
	} while (cqe.user_data != worker->data);
	return cqe.res;
}

static __u32 check_of(const struct message *message)
{
	return (message->num * 2654435761U ^ message->life * 40503U) +
	       message->sender + message->len * 31 + message->generation;
}

static void send_one(struct worker *worker)
{
	struct shared_channel *channel = worker->channel;
	bool private = worker->kind->flags & IOIPC_F_PRIVATE;
	bool all = worker->kind->flags & IOIPC_F_BROADCAST;
	struct process *self = worker->self;
	struct __kernel_timespec timeout = {};
	struct message *message;
	bool wait, timed, unattached;
	struct io_uring_sqe *sqe;
	__u32 target;
	int res;

	set_up(worker);
	wait = !chance(worker, 4);
	timed = wait && chance(worker, 16);
	unattached = !private && chance(worker, 8);
	/* The rock of a broadcast must get all messages. */
	target = chance(worker, 8) ? channel->process[all ? ROCK : ROCK +
		 ipc_random(&worker->random) % RECEIVERS].id : 0;
	message = (void *)worker->mem[BUFS];
	*message = (struct message) {
		.generation = channel->generation,
		.sender = worker->me,
		.life = self->life,
		.num = ++worker->num,
		.len = sizeof(*message) + ipc_random(&worker->random) %
		       (worker->kind->size - sizeof(*message) + 1),
	};
	message->check = check_of(message);
	ipc_fill(message->fill, message->len - sizeof(*message), message->check);

	sqe = wait_get_sqe(&worker->ring);
	io_uring_prep_ipc_send(sqe, unattached ? channel->id : worker->sub.id,
			       message, message->len, target,
			       wait ? IOIPC_SEND_WAIT : 0);
	io_uring_sqe_set_data64(sqe, ++worker->data);
	if (chance(worker, 16))
		sqe->flags |= IOSQE_ASYNC;
	if (timed) {
		sqe->flags |= IOSQE_IO_LINK;
		timeout.tv_nsec = ipc_random(&worker->random) % 3000000;
		sqe = wait_get_sqe(&worker->ring);
		io_uring_prep_link_timeout(sqe, &timeout, 0);
		io_uring_sqe_set_data64(sqe, 0);
	}
	if (unattached)
		self->unattached_in_hand = 1;
	else
		self->in_hand = 1;
	if (!unattached && !channel->calm && chance(worker, 500)) {
		/* With a message in flight. */
		io_uring_submit(&worker->ring);
		close_ring(worker);
		return;
	}
	res = last_result(worker);
	if (res == (int)message->len && unattached)
		self->unattached++;
	else if (res == (int)message->len)
		self->sent++;
	self->unattached_in_hand = 0;
	self->in_hand = 0;
	if (res == (int)message->len)
		return;
	if ((res == -EPIPE || res == -ENOENT) && channel->destroyed)
		leave(worker);
	if (res == -ENOBUFS && !wait)
		sched_yield();
	else if (!(res == -ENOENT && target) &&
		 !(is_cancelled(res) && (timed || channel->stop_sending)))
		fail("%s: sending: %s", worker->kind->name, strerror(-res));
}

static void sender(struct worker *worker)
{
	struct shared_channel *channel = worker->channel;

	while (!channel->stop_sending) {
		if (shared->failed)
			_exit(1);
		send_one(worker);
		if (!channel->calm && worker->is_attached && chance(worker, 300))
			detach(worker);
		if (!channel->calm && worker->is_open && chance(worker, 1000))
			close_ring(worker);
		/* Sometimes lets the ring run empty, so that receivers wait. */
		if (chance(worker, 4))
			ipc_nap(ipc_random(&worker->random) % 3000);
	}
	leave(worker);
}

static void check(struct worker *worker, const void *buf, int len)
{
	const struct message *message = buf;
	__u32 *life, *num;

	if (len < (int)sizeof(*message) || len != (int)message->len ||
	    message->sender >= SENDERS || message->check != check_of(message) ||
	    message->generation != worker->channel->generation ||
	    !ipc_filled(message->fill, len - sizeof(*message), message->check))
		fail("%s: %d bytes that no process has sent", worker->kind->name,
		     len);
	life = &worker->last_life[message->sender];
	num = &worker->last_num[message->sender];
	if (message->life == *life && message->num <= *num)
		fail("%s: message %u of sender %u after %u",
		     worker->kind->name, message->num, message->sender, *num);
	/* A message from a closed ring can come after those of the next ring. */
	if (message->life >= *life) {
		*life = message->life;
		*num = message->num;
	}
	worker->self->received++;
}

static void give_back(struct worker *worker, int id)
{
	io_uring_buf_ring_add(worker->bufs, worker->mem[id], MAX_SIZE, id,
			      io_uring_buf_ring_mask(BUFS), 0);
	io_uring_buf_ring_advance(worker->bufs, 1);
}

/* Receives for a while, in a random way. */
static void receive_some(struct worker *worker)
{
	struct shared_channel *channel = worker->channel;
	struct process *self = worker->self;
	bool wait, multishot, told = false, ended = false;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe cqe;
	double end;
	char *buf;

	set_up(worker);
	buf = worker->mem[BUFS];
	wait = !chance(worker, 6);
	multishot = wait && chance(worker, 3);
	sqe = wait_get_sqe(&worker->ring);
	if (multishot)
		io_uring_prep_ipc_recv_multishot(sqe, worker->sub.id, GROUP, 0);
	else
		io_uring_prep_ipc_recv(sqe, worker->sub.id, buf, MAX_SIZE,
				       wait ? IOIPC_RECV_WAIT : 0);
	io_uring_sqe_set_data64(sqe, ++worker->data);
	if (!multishot && chance(worker, 16))
		sqe->flags |= IOSQE_ASYNC;
	self->in_hand = multishot ? BUFS : 1;
	end = ipc_now() + ipc_random(&worker->random) % 20000 / 1e6;
	while (!ended) {
		if (shared->failed)
			_exit(1);
		if (!told && wait && (ipc_now() >= end || channel->stop_receiving)) {
			told = true;
			if (!is_rock(worker) && !channel->calm &&
			    chance(worker, 16)) {
				close_ring(worker);
				return;
			}
			get_cancel(worker);
		}
		if (wait_next(&worker->ring, &cqe, told ? 0.1 : 0.005) ||
		    cqe.user_data != worker->data)
			continue;
		ended = !(cqe.flags & IORING_CQE_F_MORE);
		if (cqe.res >= 0) {
			int id = cqe.flags >> IORING_CQE_BUFFER_SHIFT;

			check(worker, multishot ? worker->mem[id] : buf, cqe.res);
			if (multishot)
				give_back(worker, id);
		} else if (cqe.res == -EPIPE && channel->destroyed) {
			self->in_hand = 0;
			leave(worker);
		} else if (!(cqe.res == -EAGAIN && !wait) &&
			   !(cqe.res == -ENOBUFS && multishot) &&
			   !(is_cancelled(cqe.res) && told)) {
			fail("%s: receiving: %s", worker->kind->name,
			     strerror(-cqe.res));
		}
	}
	self->in_hand = 0;
	if (!wait && cqe.res == -EAGAIN)
		ipc_nap(ipc_random(&worker->random) % 500);
}

/* No process sends any more: receives the messages that are left. */
static void receive_rest(struct worker *worker)
{
	struct io_uring_sqe *sqe;
	int res;

	set_up(worker);
	for (;;) {
		sqe = wait_get_sqe(&worker->ring);
		io_uring_prep_ipc_recv(sqe, worker->sub.id, worker->mem[BUFS],
				       MAX_SIZE, 0);
		io_uring_sqe_set_data64(sqe, ++worker->data);
		res = last_result(worker);
		if (res == -EAGAIN)
			leave(worker);
		if (res < 0)
			fail("%s: receiving the rest: %s", worker->kind->name,
			     strerror(-res));
		check(worker, worker->mem[BUFS], res);
	}
}

static void receiver(struct worker *worker)
{
	struct shared_channel *channel = worker->channel;

	while (!channel->stop_receiving) {
		receive_some(worker);
		if (is_rock(worker) || channel->calm)
			continue;
		if (worker->is_attached && chance(worker, 100))
			detach(worker);
		if (worker->is_open && chance(worker, 300))
			close_ring(worker);
	}
	if (channel->leave_rest)
		leave(worker);
	receive_rest(worker);
}

/* The parent */

static void start(struct channel *channel, int me)
{
	/* Only the child uses this. */
	static struct worker worker;
	pid_t pid;

	ipc_random(&random_state);
	pid = ipc_fork();
	if (pid < 0)
		fail("no process: %s", strerror(errno));
	channel->pid[me] = pid;
	if (pid)
		return;
	alarm(0);
	setpriority(PRIO_PROCESS, 0, 0);
	/* Closes all files of the parent, whose rings would stay open. */
	worker.handover = 3;
	if (dup2(channel->handover[1], worker.handover) < 0 ||
	    close_range(worker.handover + 1, ~0U, 0))
		fail("cannot close files: %s", strerror(errno));
	worker.kind = channel->kind;
	worker.channel = channel->shared;
	worker.self = &channel->shared->process[me];
	worker.me = me;
	worker.random = random_state;
	if (me < SENDERS)
		sender(&worker);
	else
		receiver(&worker);
}

/* Takes the files of subscribers that were handed over. */
static void collect(struct channel *channel)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct subscriber sub;
	struct iovec iov = { &sub.process, sizeof(sub.process) };
	struct cmsghdr *header;

	for (;;) {
		struct msghdr message = {
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control),
		};

		if (recvmsg(channel->handover[0], &message, MSG_DONTWAIT) !=
		    sizeof(sub.process))
			return;
		header = CMSG_FIRSTHDR(&message);
		if (!header || header->cmsg_type != SCM_RIGHTS)
			fail("%s: no file of a subscriber has arrived",
			     channel->kind->name);
		memcpy(&sub.fd, CMSG_DATA(header), sizeof(int));
		if (channel->num_subs == channel->max_subs) {
			channel->max_subs = channel->max_subs * 2 + 64;
			channel->subs = realloc(channel->subs, sizeof(sub) *
						channel->max_subs);
			if (!channel->subs)
				fail("no memory");
		}
		channel->subs[channel->num_subs++] = sub;
		totals.attaches++;
	}
}

/* Waits for a condition, and collects subscribers meanwhile. */
#define WAIT(channel, what, condition) do {				\
	double __end = ipc_now() + STALL;				\
									\
	while (collect(channel), !(condition)) {			\
		if (shared->failed)					\
			exit(1);					\
		if (ipc_now() > __end)					\
			fail("%s: %s not after %d s",			\
			     (channel)->kind->name, what, STALL);	\
		ipc_nap(1000);						\
	}								\
} while (0)

/* Waits until a process has ended, and checks its status. */
static void reap(struct channel *channel, int me, int expected)
{
	int status = 0;

	WAIT(channel, "a process ends",
	     waitpid(channel->pid[me], &status, WNOHANG) != 0);
	channel->pid[me] = 0;
	if (status != expected)
		fail("%s: process %d has ended with status %#x",
		     channel->kind->name, me, status);
}

static void replace(struct channel *channel, int me)
{
	struct process *process = &channel->shared->process[me];

	kill(channel->pid[me], SIGKILL);
	reap(channel, me, SIGKILL);
	process->overlooked += process->in_hand;
	process->unsure += process->unattached_in_hand;
	process->in_hand = 0;
	process->unattached_in_hand = 0;
	process->id = 0;
	totals.kills++;
	start(channel, me);
}

/* Whether the ring of a subscriber, or its channel, is gone. */
static bool is_detached(int fd)
{
	struct pollfd poll_fd = { .fd = fd };

	return poll(&poll_fd, 1, 0) == 1 && poll_fd.revents & POLLHUP;
}

/* Waits until the subscribers of these processes are detached, without the last of each. */
static void wait_detached(struct channel *channel, int first, int end, bool but_last)
{
	size_t i, last[PROCESSES] = {};

	collect(channel);
	for (i = 0; i < channel->num_subs; i++)
		last[channel->subs[i].process] = i;
	for (i = 0; i < channel->num_subs; i++) {
		const struct subscriber *sub = &channel->subs[i];
		int fd = sub->fd;

		if (sub->process < first || sub->process >= end ||
		    (but_last && i == last[sub->process]))
			continue;
		WAIT(channel, "a subscriber is detached", is_detached(fd));
	}
}

struct counters {
	__u64	sent;
	__u64	received;
	__u64	lost;
	__u64	dropped;
};

static struct counters read_counters(int fd)
{
	struct counters counters = {};
	unsigned int found = 0;
	char line[256];
	FILE *file;

	snprintf(line, sizeof(line), "/proc/self/fdinfo/%d", fd);
	file = fopen(line, "r");
	if (!file)
		fail("%s: %s", line, strerror(errno));
	while (fgets(line, sizeof(line), file)) {
		found += sscanf(line, "ioipc-sent: %llu", &counters.sent) == 1;
		found += sscanf(line, "ioipc-received: %llu",
				&counters.received) == 1;
		found += sscanf(line, "ioipc-lost: %llu", &counters.lost) == 1;
		found += sscanf(line, "ioipc-dropped: %llu",
				&counters.dropped) == 1;
	}
	fclose(file);
	if (found != 4)
		fail("fdinfo has %u counters and not 4", found);
	return counters;
}

static void within(const struct channel *channel, const char *what, __u64 number,
		   const char *of, __u64 least, __u64 excess)
{
	if (number < least || number > least + excess)
		fail("%s: the counters do not add up: %s %llu, %s %llu to %llu",
		     channel->kind->name, what, number, of, least,
		     least + excess);
}

/* Reads all counters of a generation, after all its processes have ended. */
static void account(struct channel *channel, __u64 left)
{
	bool all = channel->kind->flags & IOIPC_F_BROADCAST;
	__u64 known_sent = 0, known_received = 0, unattached = 0, unsure = 0;
	__u64 overlooked_sent = 0, overlooked_received = 0;
	struct counters sum = {}, rock = {};
	size_t i;

	for (i = 0; i < channel->num_subs; i++) {
		struct counters one = read_counters(channel->subs[i].fd);

		sum.sent += one.sent;
		sum.received += one.received;
		sum.lost += one.lost;
		sum.dropped = one.dropped;
		/* Unlike the other processes, the rock has attached only once. */
		if (channel->subs[i].process == ROCK)
			rock = one;
		close(channel->subs[i].fd);
	}
	channel->num_subs = 0;
	for (i = 0; i < PROCESSES; i++) {
		struct process *process = &channel->shared->process[i];

		known_sent += process->sent;
		known_received += process->received;
		unattached += process->unattached;
		unsure += process->unsure;
		*(i < SENDERS ? &overlooked_sent : &overlooked_received) +=
			process->overlooked;
	}
	within(channel, "sent according to the kernel", sum.sent,
	       "to the senders", known_sent, overlooked_sent);
	within(channel, "received according to the kernel", sum.received,
	       "to the receivers", known_received, overlooked_received);
	if (all)
		within(channel, "received and lost", rock.received + rock.lost,
		       "sent", sum.sent + unattached, unsure);
	else
		within(channel, "received, dropped and left",
		       sum.received + sum.dropped + left,
		       "sent", sum.sent + unattached, unsure);
	if (sum.lost && !(channel->kind->flags & IOIPC_F_OVERWRITE))
		fail("%s: %llu messages were overwritten", channel->kind->name,
		     sum.lost);
	totals.sent += sum.sent + unattached;
	totals.received += sum.received;
	totals.lost += sum.lost;
	totals.dropped += sum.dropped;
	totals.left += left;
	totals.generations++;
}

/* For the messages that are left in a queue. */
static struct io_uring drain_ring;

static __u64 drain(struct channel *channel)
{
	static char buf[MAX_SIZE];
	__u64 count = 0;
	int ret;

	while ((ret = ipc_recv(&drain_ring, channel->drain.id, buf, MAX_SIZE)) >= 0)
		count++;
	if (ret != -EAGAIN && ret != -EPIPE)
		fail("%s: receiving the messages that are left: %s", channel->kind->name,
		     strerror(-ret));
	if (read_counters(channel->drain.fd).received != count)
		fail("%s: the parent has received %llu messages, and the kernel counts another number",
		     channel->kind->name, count);
	io_uring_ipc_channel_detach(&drain_ring, channel->drain.id);
	close(channel->drain.fd);
	return count;
}

static void begin_generation(struct channel *channel)
{
	struct shared_channel *common = channel->shared;
	const struct kind *kind = channel->kind;
	int ret, i;

	*common = (struct shared_channel) {
		.generation = common->generation + 1,
	};
	ret = ipc_open(&channel->ring);
	ret = ret ?: io_uring_ring_dontfork(&channel->ring);
	ret = ret ?: ipc_create(&channel->ring, kind->flags, kind->entries,
				kind->size, &common->id);
	if (!ret && !(kind->flags & IOIPC_F_BROADCAST))
		ret = ipc_attach(&drain_ring, common->id, IOIPC_SUB_RECV,
				 &channel->drain);
	if (ret)
		fail("%s: no channel: %s", kind->name, strerror(-ret));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
		       channel->handover))
		fail("no socket: %s", strerror(errno));
	/* No process sends before the rock is attached. */
	start(channel, ROCK);
	WAIT(channel, "the first receiver attaches", common->process[ROCK].id);
	for (i = 0; i < PROCESSES; i++)
		if (i != ROCK)
			start(channel, i);
	channel->progress = ipc_now();
	channel->end = channel->progress + 20 + ipc_random(&random_state) % 40;
}

static void destroy(struct channel *channel)
{
	int ret;

	channel->shared->destroyed = true;
	if (ipc_random(&random_state) % 4) {
		ret = io_uring_ipc_channel_destroy(&channel->ring,
						   channel->shared->id);
		if (ret)
			fail("%s: cannot destroy: %s", channel->kind->name,
			     strerror(-ret));
	}
	io_uring_queue_exit(&channel->ring);
}

static bool are_calm(const struct channel *channel)
{
	int i;

	for (i = 0; i < PROCESSES; i++)
		if (!channel->shared->process[i].calm)
			return false;
	return true;
}

static void stop_senders(struct channel *channel)
{
	int i;

	channel->shared->stop_sending = true;
	for (i = 0; i < SENDERS; i++)
		reap(channel, i, 0);
	wait_detached(channel, 0, SENDERS, false);
}

static void stop_receivers(struct channel *channel)
{
	int i;

	channel->shared->stop_receiving = true;
	for (i = SENDERS; i < PROCESSES; i++)
		reap(channel, i, 0);
	wait_detached(channel, SENDERS, PROCESSES, false);
}

/*
 * Ends a channel: when senders have stopped and all messages are received, when
 * receivers have stopped and the ring is full, or while all processes are busy.
 */
static void end_generation(struct channel *channel)
{
	bool all = channel->kind->flags & IOIPC_F_BROADCAST;
	struct shared_channel *common = channel->shared;
	__u64 left = 0;
	int i;

	switch (ipc_random(&random_state) % 3) {
	case 0:
		stop_senders(channel);
		stop_receivers(channel);
		break;
	case 1:
		/* The rock of a broadcast receives all messages. */
		if (!all) {
			common->leave_rest = true;
			stop_receivers(channel);
		}
		stop_senders(channel);
		if (all)
			stop_receivers(channel);
		break;
	default:
		/*
		 * After the end of the channel the parent cannot see which subscriber
		 * is detached.
		 */
		common->calm = true;
		WAIT(channel, "a process is calm", are_calm(channel));
		wait_detached(channel, 0, PROCESSES, true);
		destroy(channel);
		for (i = 0; i < PROCESSES; i++)
			reap(channel, i, 0);
	}
	collect(channel);
	if (!all)
		left = drain(channel);
	account(channel, left);
	if (!common->destroyed)
		destroy(channel);
	close(channel->handover[0]);
	close(channel->handover[1]);
}

/* Memory */

/*
 * From /proc/meminfo, in KiB; and how much more may be in use at the end than after the
 * warm-up.  Allocators keep some pages for each processor and size, and the kernel
 * keeps some threads.  Runs of minutes that leak nothing have differed by up to 60 in
 * use, 204 of SUnreclaim, 96 of KernelStack and 80 of PageTables.  These figures do not
 * grow with the length of a run.  A leak grows: 512 bytes for each subscriber, at 30
 * subscribers per second, are 900 per minute.
 */
static const struct {
	const char	*name;
	long		bound;
} memory_fields[] = {
	{ "MemTotal", 0 },
	{ "MemFree", 0 },
	{ "Buffers", 0 },
	{ "Cached", 0 },
	{ "Slab", 0 },
	{ "SReclaimable", 0 },
	{ "SUnreclaim", 768 },
	{ "KernelStack", 256 },
	{ "PageTables", 256 },
	{ "VmallocUsed", 256 },
	{ "Percpu", 256 },
};

/* Memory that is neither free nor a cache. */
#define IN_USE_BOUND	2048

struct memory {
	long	kib[ARRAY_SIZE(memory_fields)];
	long	in_use;
};

static struct memory read_memory(void)
{
	FILE *file = fopen("/proc/meminfo", "r");
	struct memory memory = {};
	char line[128];
	size_t i;

	if (!file)
		fail("/proc/meminfo: %s", strerror(errno));
	while (fgets(line, sizeof(line), file)) {
		for (i = 0; i < ARRAY_SIZE(memory_fields); i++) {
			size_t len = strlen(memory_fields[i].name);

			if (!strncmp(line, memory_fields[i].name, len) &&
			    line[len] == ':')
				memory.kib[i] = atol(line + len + 1);
		}
	}
	fclose(file);
	/* Total less free, buffers, cached and reclaimable. */
	memory.in_use = memory.kib[0] - memory.kib[1] - memory.kib[2] -
			memory.kib[3] - memory.kib[5];
	return memory;
}

static void print_memory(const struct memory *memory)
{
	size_t i;

	printf("in use %ld", memory->in_use);
	for (i = 4; i < ARRAY_SIZE(memory_fields); i++)
		printf(", %s %ld", memory_fields[i].name, memory->kib[i]);
	printf(" KiB\n");
	fflush(stdout);
}

/* Fails if the second value is much more than the first. */
static void compare(const char *name, long first, long last, long bound)
{
	if (last - first > bound)
		fail("%s has grown by %ld KiB, and may by %ld", name,
		     last - first, bound);
}

static void load(void)
{
	int fd = open("/data/" MODULE ".ko", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || syscall(__NR_finit_module, fd, "", 0))
		fail("the module does not load: %s", strerror(errno));
	close(fd);
}

/*
 * The memory in use without channels and module.  The module can be unloaded as soon as
 * it has no users, and unloading waits for its deferred work.  Other parts of the
 * kernel defer work until after a grace period.  This function waits for that until the
 * figures do not change any more.
 */
static struct memory memory_without_module(void)
{
	struct memory before, now = {};
	int tries = 50;

	if (!ipc_poll(!syscall(__NR_delete_module, MODULE, O_NONBLOCK)))
		fail("the module does not unload: %s", strerror(errno));
	do {
		before = now;
		syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
		ipc_nap(100000);
		now = read_memory();
	} while (memcmp(&before, &now, sizeof(now)) && --tries);
	return now;
}

static void progress(void)
{
	static __u64 last_received;
	static double last;
	__u64 received = totals.received;
	double now = ipc_now();
	struct memory memory = read_memory();
	int i, j;

	for (i = 0; i < CHANNELS; i++)
		for (j = 0; j < PROCESSES; j++)
			received += channels[i].shared->process[j].received;
	printf("%.0f s: %llu received (%.0f per second), %llu channels destroyed, %llu attached, %llu kills; ",
	       now - start_time, received,
	       (received - last_received) / (now - (last ?: start_time)),
	       totals.generations, totals.attaches, totals.kills);
	print_memory(&memory);
	last_received = received;
	last = now;
}

static void watch(struct channel *channel)
{
	__u64 received = 0;
	int i;

	for (i = 0; i < PROCESSES; i++)
		received += channel->shared->process[i].received;
	if (received != channel->last) {
		channel->last = received;
		channel->progress = ipc_now();
	} else if (ipc_now() > channel->progress + STALL) {
		fail("%s: no message for %d s", channel->kind->name, STALL);
	}
}

static void run(double seconds)
{
	double now = ipc_now(), end = now + seconds, next = now + 60;
	int i;

	if (ipc_open(&drain_ring) || io_uring_ring_dontfork(&drain_ring))
		fail("no ring");
	for (i = 0; i < CHANNELS; i++)
		begin_generation(&channels[i]);
	while ((now = ipc_now()) < end) {
		siginfo_t ended = {};

		ipc_nap(5000 + ipc_random(&random_state) % 10000);
		if (shared->failed)
			exit(1);
		if (!waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) &&
		    ended.si_pid)
			fail("process %d has ended with status %d by itself",
			     ended.si_pid, ended.si_status);
		for (i = 0; i < CHANNELS; i++) {
			collect(&channels[i]);
			watch(&channels[i]);
			if (now < channels[i].end &&
			    channels[i].num_subs < MAX_SUBS)
				continue;
			end_generation(&channels[i]);
			begin_generation(&channels[i]);
		}
		if (ipc_random(&random_state) % 4 == 0) {
			struct channel *channel = &channels[ipc_random(&random_state) % CHANNELS];
			int victim = ipc_random(&random_state) % PROCESSES;

			if (victim != ROCK)
				replace(channel, victim);
		}
		if (now >= next) {
			progress();
			next += 60;
		}
	}
	for (i = 0; i < CHANNELS; i++)
		end_generation(&channels[i]);
	io_uring_queue_exit(&drain_ring);
	progress();
}

int main(int argc, char **argv)
{
	struct rlimit files = { .rlim_cur = 65536, .rlim_max = 65536 };
	double seconds = argc > 1 ? atof(argv[1]) : 0;
	struct memory first, last;
	size_t i;

	random_state = (argc > 2 ? atol(argv[2]) : 0x5eed) * 2654435761U | 1;
	if (seconds <= 0) {
		fprintf(stderr, "usage: soak SECONDS [SEED]\n");
		return 2;
	}
	shared = ipc_shared(sizeof(*shared));
	/* The parent must get its turn among forty busy processes. */
	if (!shared || setrlimit(RLIMIT_NOFILE, &files) ||
	    setpriority(PRIO_PROCESS, 0, -10))
		return 1;
	for (i = 0; i < CHANNELS; i++) {
		channels[i].kind = &kinds[i];
		channels[i].shared = &shared->channel[i];
	}
	start_time = ipc_now();
	run(seconds < 60 ? seconds : 60);
	first = memory_without_module();
	printf("after the warm-up, without the module: ");
	print_memory(&first);
	load();
	run(seconds);
	last = memory_without_module();
	printf("at the end, without the module: ");
	print_memory(&last);
	load();
	compare("memory in use", first.in_use, last.in_use, IN_USE_BOUND);
	for (i = 0; i < ARRAY_SIZE(memory_fields); i++)
		if (memory_fields[i].bound)
			compare(memory_fields[i].name, first.kib[i],
				last.kib[i], memory_fields[i].bound);
	printf("ok: %llu sent, %llu received, %llu lost, %llu dropped, %llu left, in %llu channels with %llu subscribers and %llu kills: the counters add up, memory is flat\n",
	       totals.sent, totals.received, totals.lost, totals.dropped,
	       totals.left, totals.generations, totals.attaches, totals.kills);
	return 0;
}
