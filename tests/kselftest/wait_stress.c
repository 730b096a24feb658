// SPDX-License-Identifier: GPL-2.0
/*
 * Processes send and receive in all ways, and cancel, time out, detach, close
 * their rings and are killed at random.  Shared memory has the expected result:
 * each message arrives once (once per receiver in a broadcast, unless it counts
 * as lost), and the messages of each sender arrive in order.
 *
 * Now and then the test makes it quiet: the processes only wait for messages,
 * no process is killed, and no request is cancelled.  Then all sent messages
 * must arrive without any further event.  If one does not, a wake-up was lost.
 * The test also counts: not one message may be missing.
 *
 * After that come some rounds for the channels that give a message to only one
 * receiver.  All receivers wait, and then messages are sent; or all senders
 * wait, and then the test makes room.  Meanwhile some requests give up.  No
 * process tries again.  So a patient process must get the message or the room
 * that it waits for, unless another process has it.
 *
 * A watcher polls for room all the time, by poll(), epoll and POLL_ADD.  It
 * uses no room, and no sender may wait longer because of it.
 *
 * When a receiver is killed or closes its ring, the test looks for the messages
 * that it had received in the memory that it leaves.
 *
 * SECONDS=N is how long this takes, for all kinds of channels together, but it
 * goes on at least until it was quiet QUIETS=N times in each.  SEED=N is the
 * start of the random numbers.  If nothing happens for STALL=N seconds, as the
 * guest sees them, the test fails: this is more than a loaded host holds up a
 * processor.
 */
#include <poll.h>
#include <sys/epoll.h>

#include "wait_stress_receive.h"
#include "wait_stress_send.h"

#define ROUNDS		8

/* The counts of the last time. */
struct ledger {
	__u32	epoch;
	long	got;
	long	copied;
	long	lost;
};

FIXTURE(wait_stress) {
	struct worker tester;
	struct oracle *oracle;
	struct ledger ledger[PROCESSES];
	/* From each sender, the first message that was not counted yet. */
	__u32 counted[SOURCES];
	__u32 random;
	/* The last round. */
	__u32 round;
	pid_t watcher;
	long kills;
	long balanced;
	double stall;
};

FIXTURE_VARIANT(wait_stress) {
	__u32 flags;
	__u32 grain;
};

FIXTURE_VARIANT_ADD(wait_stress, unicast) {
	.flags = 0,
	.grain = MIN_SIZE,
};

FIXTURE_VARIANT_ADD(wait_stress, multicast) {
	.flags = IOIPC_F_MULTICAST,
	.grain = 1,
};

FIXTURE_VARIANT_ADD(wait_stress, broadcast) {
	.flags = IOIPC_F_BROADCAST,
	.grain = 1,
};

FIXTURE_VARIANT_ADD(wait_stress, overwrite) {
	.flags = IOIPC_F_BROADCAST | IOIPC_F_OVERWRITE,
	.grain = MIN_SIZE,
};

/* Starts a process, which finds the state of a new process there. */
static void start(struct __test_metadata *_metadata,
		  FIXTURE_DATA(wait_stress) *self, int me)
{
	struct oracle *oracle = self->oracle;
	struct process *process = &oracle->process[me];
	static struct worker worker;
	pid_t pid;
	int i;

	/* So that the test waits for no message that nothing receives. */
	for (i = 0; i < SOURCES; i++)
		process->joined[i] = MESSAGES;
	process->epoch++;
	process->fd = -1;
	process->journal = 0;
	process->doing = NOTHING;
	ipc_random(&self->random);
	/* A new process does not join a round that has started. */
	worker.round = IS_SENDER(me) ? oracle->room : oracle->round;
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		worker.oracle = oracle;
		worker.self = process;
		worker.me = me;
		worker.channel = self->tester.channel;
		worker.random = self->random;
		worker.region = self->tester.region;
		if (IS_SENDER(me))
			sender(&worker);
		else
			receiver(&worker);
	}
	process->pid = pid;
}

/* Checks for room, in all ways, until the end. */
static void watch_room(const struct worker *tester)
{
	struct epoll_event event = { .events = EPOLLOUT };
	struct pollfd polled = { .events = POLLOUT };
	int epoll = epoll_create1(0);
	struct io_uring_cqe *cqe;
	struct io_uring ring;
	struct ipc_sub sub;
	bool armed = false;

	if (epoll < 0 || ipc_open(&ring) ||
	    ipc_attach(&ring, tester->channel, IOIPC_SUB_SEND, &sub) ||
	    epoll_ctl(epoll, EPOLL_CTL_ADD, sub.fd, &event))
		_exit(1);
	polled.fd = sub.fd;
	while (!tester->oracle->stop) {
		poll(&polled, 1, 0);
		epoll_wait(epoll, &event, 1, 0);
		if (!armed) {
			io_uring_prep_poll_add(io_uring_get_sqe(&ring), sub.fd,
					       POLLOUT);
			armed = io_uring_submit(&ring) == 1;
		}
		if (!io_uring_peek_cqe(&ring, &cqe)) {
			io_uring_cqe_seen(&ring, cqe);
			armed = false;
		}
		ipc_nap(50);
	}
	_exit(0);
}

/* Kills a process and starts it again. */
static void replace(struct __test_metadata *_metadata,
		    FIXTURE_DATA(wait_stress) *self, int me)
{
	struct process *process = &self->oracle->process[me];
	int i;

	ASSERT_EQ(0, kill(process->pid, SIGKILL));
	ASSERT_EQ(128 + SIGKILL, ipc_wait(process->pid));
	self->kills++;
	for (i = 0; i < HANDS; i++) {
		if (process->hands[i].use != HELD)
			continue;
		process->hands[i].journal = process->journal;
		process->hands[i].use = LEFT;
	}
	for (; IS_SENDER(me) && process->first != process->next;
	     process->first++) {
		_Atomic __u16 *state =
			&self->oracle->state[me][process->first];

		if (*state & PENDING)
			*state ^= PENDING | ABANDONED;
	}
	start(_metadata, self, me);
}

/* Counts received messages whose completion the process has not seen. */
static void search(struct worker *tester, struct hand *hand)
{
	const size_t size = sizeof(hand->bufs);
	char *buf = hand->bufs[0];
	size_t at;

	for (at = 0; at < size; at += sizeof(__u64)) {
		struct message *message = (void *)(buf + at);
		_Atomic __u16 *state;

		if (message->magic != MAGIC)
			continue;
		if (!is_sealed(message))
			FAIL(tester, "a message that no process has sent was received");
		state = &tester->oracle->state[message->sender][message->num];
		message->magic = 0;
		/*
		 * The process was killed when it had counted the message
		 * already.
		 */
		if (MESSAGE_KEY(message) == hand->journal && TIMES(*state))
			continue;
		*state += ONCE;
		if (TIMES(*state) > 1)
			FAIL(tester, "message %u of %u twice, once by a process that is gone",
			     message->num, message->sender);
		tester->oracle->found++;
	}
}

/* Whether the ring that had this memory is gone. */
static bool is_gone(struct worker *tester, const struct hand *hand)
{
	ssize_t ret;
	char byte;

	ret = read(hand->pipe, &byte, 1);
	if (ret < 0 && errno != EAGAIN)
		FAIL(tester, "is a ring there: %s", strerror(errno));
	return ret == 0;
}

/* Takes back the memory of rings that are gone. */
static void free_hands(FIXTURE_DATA(wait_stress) *self)
{
	struct worker *tester = &self->tester;
	int me, i;

	for (me = 0; me < PROCESSES; me++) {
		for (i = 0; i < HANDS; i++) {
			struct hand *hand = &self->oracle->process[me].hands[i];

			if (hand->use != LEFT || !is_gone(tester, hand))
				continue;
			if (!self->oracle->all && IS_RECEIVER(me))
				search(tester, hand);
			hand->use = FREE;
		}
	}
}

static bool any_hand_left(FIXTURE_DATA(wait_stress) *self)
{
	int me, i;

	for (me = 0; me < PROCESSES; me++)
		for (i = 0; i < HANDS; i++)
			if (self->oracle->process[me].hands[i].use == LEFT)
				return true;
	return false;
}

/* The message at a position, if there is one. */
static const struct message *
in_slot(const struct io_uring_ipc_ring *region, __u32 position)
{
	const struct io_uring_ipc_msg_desc *desc = ipc_desc(region, position);

	if (ipc_seq(region, position) != position + 1 ||
	    desc->state != IOIPC_MSG_READY)
		return NULL;
	return (const void *)((const char *)region + desc->offset);
}

/* How many messages the ring of a queue has. */
static int in_ring(FIXTURE_DATA(wait_stress) *self)
{
	const struct io_uring_ipc_ring *region = self->tester.region;
	__u32 tail = ipc_tail(region), position;
	int messages = 0;

	for (position = tail - ENTRIES; position != tail; position++)
		messages += !!in_slot(region, position);
	return messages;
}

/*
 * Whether each receiver of a broadcast has the messages in the ring.  A sender that
 * overwrites may have taken a message before the head away from a receiver, although
 * no sender has used its slot yet.
 */
static bool all_got(FIXTURE_DATA(wait_stress) *self)
{
	const struct io_uring_ipc_ring *region = self->tester.region;
	__u32 tail = ipc_tail(region), position;
	__u32 head = __atomic_load_n(&region->consumer.head, __ATOMIC_ACQUIRE);
	int me;

	for (position = tail - ENTRIES; position != tail; position++) {
		const struct message *message = in_slot(region, position);

		if (!message)
			continue;
		if (self->oracle->overwrite && (int)(position - head) < 0)
			continue;
		for (me = ROCK; me < PROCESSES; me++) {
			struct process *process = &self->oracle->process[me];

			if (message->target ? me != ROCK :
			    message->num < process->joined[message->sender])
				continue;
			if (process->last[message->sender] <= message->num)
				return false;
		}
	}
	return true;
}

/* Whether no sender sends or waits for room. */
static bool all_sent(FIXTURE_DATA(wait_stress) *self)
{
	int me;

	for (me = 0; me < SENDERS; me++)
		if (self->oracle->process[me].doing != NOTHING)
			return false;
	return true;
}

/* Whether all receivers have joined the rounds, and take no message. */
static bool none_receives(FIXTURE_DATA(wait_stress) *self)
{
	int me;

	for (me = ROCK; me < PROCESSES; me++)
		if (self->oracle->process[me].doing != NOTHING)
			return false;
	return true;
}

/* Whether all messages that must arrive have arrived. */
static bool is_done(FIXTURE_DATA(wait_stress) *self)
{
	return all_sent(self) && (self->oracle->all ? all_got(self) :
				  !in_ring(self));
}

/* Finds a message that was sent and not received from a queue. */
static bool find_missing(FIXTURE_DATA(wait_stress) *self, __u32 *sender,
			 __u32 *num)
{
	for (*sender = 0; *sender < SOURCES; ++*sender) {
		for (*num = self->counted[*sender];
		     *num < self->oracle->process[*sender].next; ++*num) {
			__u16 state = self->oracle->state[*sender][*num];

			if (state & SENT && TIMES(state) != 1)
				return true;
		}
	}
	return false;
}

static bool nothing_missing(FIXTURE_DATA(wait_stress) *self)
{
	__u32 sender, num;

	return !any_hand_left(self) && !find_missing(self, &sender, &num);
}

static void explain(FIXTURE_DATA(wait_stress) *self, const char *when)
{
	struct oracle *oracle = self->oracle;
	const struct io_uring_ipc_ring *region = self->tester.region;
	__u32 sender, num;
	int i, j;

	printf("# stall %s: %ld received, tail %u, head %u, %d messages in the ring\n",
	       when, oracle->received, ipc_tail(region),
	       region->consumer.head, in_ring(self));
	if (!oracle->all && find_missing(self, &sender, &num))
		printf("#   message %u of %u was not received\n", num, sender);
	for (i = 0; i < PROCESSES; i++) {
		struct process *process = &oracle->process[i];

		printf("#   %s %d (pid %d): %s, round %u", IS_SENDER(i) ?
		       "sender" : IS_RECEIVER(i) ? "receiver" : "tester", i,
		       process->pid, doing_names[process->doing],
		       process->round);
		for (j = 0; j < HANDS; j++)
			if (process->hands[j].use == LEFT)
				printf(", ring %d is not gone", j);
		if (!IS_RECEIVER(i)) {
			printf(", next is %u", process->next);
		} else {
			for (j = 0; j < SOURCES; j++)
				printf(", next of %d is %u", j,
				       process->last[j]);
		}
		printf("\n");
	}
	fflush(stdout);
}

/*
 * How long nothing has happened.  On a busy host, time in which the guest did
 * not run counts little.
 */
struct watch {
	double	idle;
	double	last;
	long	received;
};

static void watch_start(FIXTURE_DATA(wait_stress) *self, struct watch *watch)
{
	watch->idle = 0;
	watch->last = ipc_now();
	watch->received = self->oracle->received;
}

/* Sleeps.  Whether something may still happen. */
static bool watch_nap(FIXTURE_DATA(wait_stress) *self, struct watch *watch,
		      long microseconds)
{
	double most = microseconds / 1e6 + 0.002, now;

	free_hands(self);
	ipc_nap(microseconds);
	now = ipc_now();
	watch->idle += now - watch->last < most ? now - watch->last : most;
	watch->last = now;
	if (self->oracle->received != watch->received)
		watch_start(self, watch);
	return watch->idle < self->stall;
}

/* Waits until the condition is true. */
#define SETTLE(self, when, condition) do {				\
	struct watch __watch;						\
									\
	watch_start(self, &__watch);					\
	while (!(condition)) {						\
		ASSERT_FALSE((self)->oracle->failed);			\
		if (!watch_nap(self, &__watch, 200)) {			\
			explain(self, when);				\
			ASSERT_TRUE(condition);				\
		}							\
	}								\
} while (0)

/* Sends messages of the test itself with one request. */
static void send_own(struct __test_metadata *_metadata,
		     FIXTURE_DATA(wait_stress) *self, int messages)
{
	struct worker *tester = &self->tester;
	struct process *process = tester->self;
	struct io_uring_sqe *sqe = wait_get_sqe(&tester->ring);
	__u32 first = process->next;
	int i;

	tester->data++;
	for (i = 0; i < messages; i++) {
		struct message *message = (void *)tester->hand->bufs[i];

		fill(message, TESTER, first + i, MIN_SIZE);
		message->data = tester->data;
		seal(message);
		tester->hand->vec[i] = (struct iovec) { message, MIN_SIZE };
		self->oracle->state[TESTER][first + i] = PENDING;
	}
	process->next = first + messages;
	io_uring_prep_ipc_send_vec(sqe, tester->channel, tester->hand->vec,
				   messages, 0, IOIPC_SEND_WAIT);
	io_uring_sqe_set_data64(sqe, tester->data);
	ASSERT_EQ(messages, wait_for(&tester->ring, tester->data));
	for (i = 0; i < messages; i++)
		self->oracle->state[TESTER][first + i] ^= PENDING | SENT;
}

/* Receives one message or all for the test itself; whether there were any. */
static bool receive_own(struct __test_metadata *_metadata,
			FIXTURE_DATA(wait_stress) *self, bool one)
{
	struct worker *tester = &self->tester;
	void *buf = tester->hand->bufs[0];
	int res;

	res = msg_recv(&tester->ring, tester->sub, buf, BUF_SIZE,
		       one ? 0 : IOIPC_RECV_BUNDLE);
	if (res == -EAGAIN)
		return false;
	ASSERT_LT(0, res);
	if (one)
		take(tester, buf, res, NULL);
	else
		take_bundle(tester, buf, res);
	return true;
}

/* Whether all these processes have started to wait in this round. */
static bool all_wait(FIXTURE_DATA(wait_stress) *self, int from, int to)
{
	for (; from < to; from++)
		if (self->oracle->process[from].round != self->round)
			return false;
	return true;
}

/*
 * Receivers wait, each for one message.  Either the test sends one message
 * while all but one receiver give up, or as many messages as there are
 * receivers.
 */
static void receivers_wait(struct __test_metadata *_metadata,
			   FIXTURE_DATA(wait_stress) *self)
{
	struct oracle *oracle = self->oracle;

	oracle->round = ++self->round;
	SETTLE(self, "at the start of a round, not all receivers wait",
	       all_wait(self, ROCK + 1, PROCESSES));
	oracle->go = self->round;
	ipc_nap(ipc_random(&self->random) % 1500);
	send_own(_metadata, self, oracle->patient ? RECEIVERS - 1 : 1);
	/* The receivers that can be killed are the last ones. */
	if (!oracle->patient && ipc_random(&self->random) % 4 == 0)
		replace(_metadata, self, ROCK + 2 + ipc_random(&self->random) %
				       (RECEIVERS - 2));
	SETTLE(self, "in a round, no receiver has received the message",
	       !in_ring(self));
	oracle->over = self->round;
}

/*
 * Senders wait for room.  Either the test makes room for one message while all
 * but one sender give up, or for all.
 */
static void senders_wait(struct __test_metadata *_metadata,
			 FIXTURE_DATA(wait_stress) *self)
{
	struct oracle *oracle = self->oracle;
	int i;

	/* A ring that was closed could still receive or send a message. */
	SETTLE(self, "a receiver still receives",
	       !any_hand_left(self) && none_receives(self));
	attach(&self->tester);
	for (i = 0; i < ENTRIES; i++)
		send_own(_metadata, self, 1);
	oracle->room = ++self->round;
	SETTLE(self, "at the start of a round, not all senders wait",
	       all_wait(self, 0, SENDERS));
	oracle->go = self->round;
	ipc_nap(ipc_random(&self->random) % 1500);
	ASSERT_TRUE(receive_own(_metadata, self, !oracle->patient));
	if (!oracle->patient && ipc_random(&self->random) % 4 == 0)
		replace(_metadata, self, 1 + ipc_random(&self->random) %
				       (SENDERS - 1));
	SETTLE(self, "in a round, no sender has used the room",
	       all_sent(self) || in_ring(self) == ENTRIES);
	oracle->over = self->round;
	SETTLE(self, "at the end of a round",
	       all_sent(self) && !any_hand_left(self));
	while (receive_own(_metadata, self, false))
		;
	detach(&self->tester);
}

static void play_rounds(struct __test_metadata *_metadata,
			FIXTURE_DATA(wait_stress) *self)
{
	struct oracle *oracle = self->oracle;
	int i;

	oracle->rounds = true;
	for (i = 0; i < ROUNDS; i++) {
		oracle->patient = ipc_random(&self->random) % 2;
		SETTLE(self, "before a round", is_done(self));
		if (ipc_random(&self->random) % 4)
			receivers_wait(_metadata, self);
		else
			senders_wait(_metadata, self);
	}
	oracle->rounds = false;
}

/* Reads the kernel's counters of a receiver. */
static void read_counters(const struct process *process, long *received,
			  long *lost)
{
	char path[64], line[200];
	FILE *file;

	*received = *lost = -1;
	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", process->pid,
		 process->fd);
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "ioipc-received: %ld", received) != 1 &&
		    sscanf(line, "ioipc-lost: %ld", lost) == 1)
			break;
	if (file)
		fclose(file);
}

/*
 * How many messages were sent to a receiver of a broadcast since the last
 * count: at least, and at most.
 */
static void count_sent(FIXTURE_DATA(wait_stress) *self, int me, long *least,
		       long *most)
{
	__u32 sender, num;

	*least = *most = 0;
	for (sender = 0; sender < SOURCES; sender++) {
		for (num = self->counted[sender];
		     num < self->oracle->process[sender].next; num++) {
			__u16 state = self->oracle->state[sender][num];
			bool sure = state & SENT ||
				    (state & ABANDONED && TIMES(state));

			if (state & TARGETED && me != ROCK)
				continue;
			*least += sure;
			*most += sure || state & ABANDONED;
		}
	}
}

/*
 * Each receiver of a broadcast that was there all the time has received or lost
 * each sent message.
 */
static void balance(struct __test_metadata *_metadata,
		    FIXTURE_DATA(wait_stress) *self)
{
	struct oracle *oracle = self->oracle;
	__u32 last;
	int me;

	SETTLE(self, "a ring is not gone", !any_hand_left(self));
	/* A receiver that has this message has received or lost all others. */
	last = self->tester.self->next;
	send_own(_metadata, self, 1);
	SETTLE(self, "a last message", all_got(self));
	for (me = ROCK; me < PROCESSES; me++) {
		struct process *process = &oracle->process[me];
		struct ledger *ledger = &self->ledger[me];
		struct ledger now = {
			.epoch = process->epoch,
			.got = process->got,
			.copied = process->copied,
		};
		long received, told = process->told_lost, got, lost, least, most;

		/* This receiver has attached later. */
		if (process->last[TESTER] != last + 1) {
			ledger->epoch = 0;
			continue;
		}
		read_counters(process, &received, &now.lost);
		EXPECT_EQ(now.copied, received)
			TH_LOG("receiver %d: the kernel counts others", me);
		if (!oracle->overwrite) {
			EXPECT_EQ(0, now.lost);
		} else if (process->maps) {
			EXPECT_GE(now.lost, told);
		} else if (process->informed) {
			EXPECT_EQ(now.lost, told);
		}
		if (ledger->epoch == now.epoch) {
			count_sent(self, me, &least, &most);
			got = now.got - ledger->got;
			lost = now.lost - ledger->lost;
			/*
			 * A message in place can be overwritten after the
			 * receiver has read it, before the receiver checks
			 * that: then it counts as both.
			 */
			EXPECT_LE(least, got + lost);
			EXPECT_GE(most, got + (process->maps ? 0 : lost))
				TH_LOG("receiver %d: %ld received and %ld lost of %ld to %ld",
				       me, got, lost, least, most);
			self->balanced++;
		}
		*ledger = now;
	}
	ASSERT_TRUE(_metadata->exit_code == KSFT_PASS);
}

FIXTURE_SETUP(wait_stress)
{
	struct worker *tester = &self->tester;
	struct oracle *oracle;
	struct ipc_sub sub;
	int i;

	make_pattern();
	self->stall = ipc_env("STALL", IPC_DEADLINE);
	self->random = ipc_env("SEED", 0x5eed) * 2654435761U | 1;
	oracle = ipc_shared(sizeof(*oracle));
	ASSERT_NE(NULL, oracle);
	self->oracle = oracle;
	oracle->all = variant->flags & IOIPC_F_BROADCAST;
	oracle->overwrite = variant->flags & IOIPC_F_OVERWRITE;
	oracle->grain = variant->grain;
	tester->oracle = oracle;
	tester->self = &oracle->process[TESTER];
	tester->me = TESTER;
	tester->random = self->random;
	tester->hand = &tester->self->hands[0];
	for (i = 0; i < PROCESSES * HANDS; i++) {
		int ends[2];

		ASSERT_EQ(0, pipe2(ends, O_CLOEXEC | O_NONBLOCK));
		ASSERT_EQ(0, close(ends[1]));
		oracle->process[i / HANDS].hands[i % HANDS].pipe = ends[0];
	}
	ASSERT_EQ(0, ipc_open(&tester->ring));
	ASSERT_EQ(0, ipc_create(&tester->ring, variant->flags, ENTRIES,
				MAX_SIZE, &tester->channel));
	/* The mapping stays. */
	ASSERT_EQ(0, ipc_attach(&tester->ring, tester->channel, IOIPC_SUB_RECV,
				&sub));
	tester->region = ipc_region(&sub);
	ASSERT_NE(NULL, tester->region);
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&tester->ring, sub.id));
	ASSERT_EQ(0, close(sub.fd));
	for (i = PROCESSES - 1; i >= 0; i--) {
		if (i == TESTER)
			continue;
		start(_metadata, self, i);
		/* Without receivers, a broadcast message would be lost. */
		if (i == ROCK)
			ASSERT_TRUE(ipc_poll(oracle->target || oracle->failed));
	}
	self->watcher = ipc_fork();
	ASSERT_LE(0, self->watcher);
	if (!self->watcher)
		watch_room(tester);
}

FIXTURE_TEARDOWN(wait_stress)
{
	int i;

	for (i = 0; i < PROCESSES; i++)
		if (self->oracle->process[i].pid > 0)
			kill(self->oracle->process[i].pid, SIGKILL);
	if (self->watcher > 0)
		kill(self->watcher, SIGKILL);
	io_uring_queue_exit(&self->tester.ring);
}

/* Whether a process has ended that the test has not killed. */
static bool any_ended(FIXTURE_DATA(wait_stress) *self)
{
	int i;

	for (i = 0; i < PROCESSES; i++) {
		pid_t pid = self->oracle->process[i].pid;
		int status;

		if (i == TESTER || waitpid(pid, &status, WNOHANG) == 0)
			continue;
		printf("# process %d (pid %d) has ended with status %#x\n", i,
		       pid, status);
		self->oracle->process[i].pid = 0;
		return true;
	}
	return false;
}

/* From now on only the kernel acts. */
static void be_quiet(struct __test_metadata *_metadata,
		     FIXTURE_DATA(wait_stress) *self)
{
	struct oracle *oracle = self->oracle;
	int i;

	oracle->quiet = true;
	SETTLE(self, "in the quiet", is_done(self));
	if (oracle->all) {
		balance(_metadata, self);
	} else {
		SETTLE(self, "a message is missing", nothing_missing(self));
		play_rounds(_metadata, self);
		SETTLE(self, "a message is missing", nothing_missing(self));
	}
	for (i = 0; i < SOURCES; i++)
		self->counted[i] = oracle->process[i].next;
}

TEST_F_TIMEOUT(wait_stress, nothing_is_lost, 3 * IPC_TIMEOUT)
{
	double end = ipc_now() + ipc_env("SECONDS", 5) / 4.0;
	long quiets = 0, sent = 0, abandoned = 0, missing = 0;
	struct oracle *oracle = self->oracle;
	double next_quiet;
	struct watch watch;
	bool ends = false;
	__u32 num;
	int me;

	watch_start(self, &watch);
	next_quiet = ipc_now() + 0.2;
	do {
		long left = 2000 + ipc_random(&self->random) % 20000;

		for (; left > 0; left -= 2000) {
			ASSERT_FALSE(oracle->failed);
			if (!watch_nap(self, &watch, 2000)) {
				explain(self, "in between");
				ASSERT_TRUE(false);
			}
		}
		ASSERT_FALSE(any_ended(self));
		if (ipc_random(&self->random) % 2) {
			me = ipc_random(&self->random) % PROCESSES;
			if (!IS_ROCK(me) && me != TESTER)
				replace(_metadata, self, me);
		}
		if (ipc_now() < next_quiet)
			continue;
		be_quiet(_metadata, self);
		quiets++;
		watch_start(self, &watch);
		next_quiet = ipc_now() + ipc_random(&self->random) % 300 / 1e3;
		ends = ipc_now() >= end && quiets >= ipc_env("QUIETS", 4);
		oracle->quiet = ends;
	} while (!ends);

	/* All waiting requests end with the channel. */
	oracle->stop = true;
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->tester.ring,
						  self->tester.channel));
	for (me = 0; me < PROCESSES; me++) {
		if (me == TESTER)
			continue;
		EXPECT_EQ(0, wait_child(oracle->process[me].pid))
			TH_LOG("process %d: %s", me,
			       doing_names[oracle->process[me].doing]);
		oracle->process[me].pid = 0;
	}
	EXPECT_EQ(0, wait_child(self->watcher));
	self->watcher = 0;
	ASSERT_FALSE(oracle->failed);

	for (me = 0; me < SOURCES; me++) {
		for (num = 0; num < oracle->process[me].next; num++) {
			__u16 state = oracle->state[me][num];

			sent += !!(state & SENT);
			abandoned += !!(state & ABANDONED);
			missing += state & SENT && !TIMES(state);
		}
	}
	/* In a broadcast too: the last receiver has received all messages. */
	EXPECT_EQ(0, oracle->overwrite ? 0 : missing);
	TH_LOG("%ld sent, %ld abandoned, %ld received, %ld lost, %ld found; %ld kills, %ld cancels, %ld times quiet, %ld balances",
	       sent, abandoned, oracle->received, oracle->lost, oracle->found,
	       self->kills, oracle->cancelled, quiets, self->balanced);
	TH_LOG("%ld vectors, %ld of them partial, %ld bundles, %ld in place",
	       oracle->vecs, oracle->partial, oracle->bundles,
	       oracle->in_place);
	EXPECT_LT(0, oracle->received);
}

IPC_HARNESS_MAIN
