/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A sender and a receiver that behave well, beside an adversary.  Both check
 * all of their results.
 *
 * The test compares their progress beside the adversary with their progress
 * beside a neutral process.  The comparison does not depend on other load of
 * this machine, or of the host that emulates it.  The pair and a control, which
 * is such a pair on a pipe, share one processor, where each of the four
 * processes runs until it waits or yields.  All other processes have another
 * processor.  The result is how far the pair gets while the control gets a
 * certain distance.  An event that holds up the processor holds up both.  An
 * event that holds up the channel holds up only the pair.
 *
 * The test also prints how much processor time a message takes.  This time does
 * not count in the result: if a host has held up the processor, not all of the
 * reported time was spent.  The test prints the lower quartile, because a
 * hold-up makes few batches much slower.
 *
 * The adversary and the neutral process take turns, and the medians count.
 *
 * PAIR_MESSAGES=N is how many messages the control sends in each turn, at
 * least.  PAIR_ROUNDS=N is how many turns each of the two gets.  PAIR_PERCENT=N
 * is how much of its rate the pair has to keep.  On a host that takes a
 * processor away while it copies a message, less than 80 still distinguishes a
 * slow pair from a stuck one.
 */
#ifndef HONEST_PAIR_H
#define HONEST_PAIR_H

#include "waiting.h"

#define PAIR_ENTRIES	64
/* By how many messages the sender is ahead of the receiver, at most. */
#define PAIR_WINDOW	32
/* How many turns there are at most, while the result is bad. */
#define PAIR_MOST	15

enum { PAIR_PROCESSOR, PAIR_OTHERS };
enum { PAIR_RECEIVER, PAIR_SENDER, PAIR_READER, PAIR_WRITER, PAIR_PROCESSES };

/* Messages that are timed together, and how many such batches are kept. */
#define PAIR_BATCH	32
#define PAIR_BATCHES	4096

struct pair_times {
	_Atomic long	count;
	double		seconds[PAIR_BATCHES];
};

struct pair_message {
	__u64	magic;
	__u64	num;
	char	fill[48];
};

#define PAIR_MAGIC	0x686f6e657374ULL
#define PAIR_LENGTH	((int)sizeof(struct pair_message))

/* In memory that all processes share. */
struct pair {
	__u32		channel;
	/* In a queue, the messages of the pair are for its receiver only. */
	bool		targeted;
	_Atomic __u32	receiver;
	_Atomic bool	stop;
	_Atomic long	sent;
	/* The final number of messages, 0 if it is not known yet. */
	_Atomic long	total;
	_Atomic long	received;
	/* Messages of other senders that its receiver took. */
	_Atomic long	others;
	/* Whether the adversary has started, and what it has done. */
	_Atomic bool	ready;
	_Atomic long	attacks;
	/* The times of the sender and of the receiver. */
	struct pair_times times[2];
	/* How many messages the control has passed on. */
	_Atomic long	control;
	pid_t		processes[PAIR_PROCESSES];
};

static inline void pair_pin(int processor)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(processor, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		_exit(KSFT_FAIL);
}

static inline double pair_processor_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* Called after each message, with the number of messages so far. */
static inline void pair_time(struct pair_times *times, long messages,
			     double *last)
{
	double now;

	if (messages % PAIR_BATCH)
		return;
	now = pair_processor_time();
	times->seconds[times->count % PAIR_BATCHES] = now - *last;
	times->count++;
	*last = now;
}

static inline void pair_run_sender(struct __test_metadata *_metadata,
				   struct pair *pair)
{
	struct pair_message message = { .magic = PAIR_MAGIC };
	struct io_uring ring;
	struct ipc_sub sub;
	double last = 0;
	int ret;

	ASSERT_EQ(0, ipc_open(&ring));
	ASSERT_EQ(0, ipc_attach(&ring, pair->channel, IOIPC_SUB_SEND, &sub));
	while (!pair->receiver)
		sched_yield();
	while (!pair->total) {
		while (pair->sent - pair->received >= PAIR_WINDOW)
			sched_yield();
		/*
		 * The receiver waits for one more message than it has counted.
		 */
		if (pair->stop)
			pair->total = pair->sent + 1;
		message.num = pair->sent;
		ipc_fill(message.fill, sizeof(message.fill), message.num);
		while ((ret = ipc_send_to(&ring, sub.id, &message, PAIR_LENGTH,
					  pair->targeted ? pair->receiver : 0))
		       == -ENOBUFS)
			sched_yield();
		ASSERT_EQ(PAIR_LENGTH, ret);
		pair->sent++;
		pair_time(&pair->times[PAIR_SENDER], pair->sent, &last);
	}
}

static inline void pair_run_receiver(struct __test_metadata *_metadata,
				     struct pair *pair)
{
	struct pair_message message;
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	struct ipc_sub sub;
	double last = 0;

	ASSERT_EQ(0, ipc_open(&ring));
	ASSERT_EQ(0, ipc_attach(&ring, pair->channel, IOIPC_SUB_RECV, &sub));
	pair->receiver = sub.id;
	while (!pair->total || pair->received < pair->total) {
		sqe = io_uring_get_sqe(&ring);
		io_uring_prep_ipc_recv(sqe, sub.id, &message, PAIR_LENGTH,
				       IOIPC_RECV_WAIT);
		ASSERT_LE(0, ipc_run(&ring));
		pair_time(&pair->times[PAIR_RECEIVER],
			  pair->received + pair->others + 1, &last);
		if (message.magic != PAIR_MAGIC) {
			pair->others++;
			continue;
		}
		ASSERT_EQ((__u64)pair->received, message.num);
		ASSERT_TRUE(ipc_filled(message.fill, sizeof(message.fill),
				       message.num));
		/*
		 * Otherwise the next check could take it for the next message.
		 */
		message.magic = 0;
		pair->received++;
	}
}

/* The control: the same on a pipe with room for as many messages. */
static inline void pair_run_writer(int fd)
{
	struct pair_message message = { .magic = PAIR_MAGIC };

	for (;;) {
		ipc_fill(message.fill, sizeof(message.fill), message.num);
		if (write(fd, &message, PAIR_LENGTH) != PAIR_LENGTH)
			_exit(KSFT_FAIL);
		message.num++;
	}
}

static inline void pair_run_reader(struct pair *pair, int fd)
{
	struct pair_message message;

	while (read(fd, &message, PAIR_LENGTH) == PAIR_LENGTH &&
	       message.num == (__u64)pair->control &&
	       ipc_filled(message.fill, sizeof(message.fill), message.num))
		pair->control++;
	_exit(KSFT_FAIL);
}

static inline void pair_start(struct __test_metadata *_metadata,
			      struct pair *pair)
{
	const struct sched_param first = { .sched_priority = 1 };
	int pipe_fds[2], i;
	pid_t pid;

	ASSERT_EQ(0, pipe(pipe_fds));
	ASSERT_LE(0, fcntl(pipe_fds[0], F_SETPIPE_SZ,
			   PAIR_ENTRIES * PAIR_LENGTH));
	for (i = 0; i < PAIR_PROCESSES; i++) {
		/* Only the parent must store the pid. */
		pid = ipc_fork();
		ASSERT_LE(0, pid);
		if (pid) {
			pair->processes[i] = pid;
			continue;
		}
		pair_pin(PAIR_PROCESSOR);
		if (sched_setscheduler(0, SCHED_FIFO, &first))
			_exit(KSFT_FAIL);
		switch (i) {
		case PAIR_RECEIVER:
			pair_run_receiver(_metadata, pair);
			break;
		case PAIR_SENDER:
			pair_run_sender(_metadata, pair);
			break;
		case PAIR_READER:
			pair_run_reader(pair, pipe_fds[0]);
			break;
		case PAIR_WRITER:
			pair_run_writer(pipe_fds[1]);
			break;
		}
		_exit(0);
	}
	pair_pin(PAIR_OTHERS);
}

/* All sent messages have to arrive. */
static inline void pair_stop(struct __test_metadata *_metadata,
			     struct pair *pair)
{
	pair->stop = true;
	EXPECT_EQ(0, wait_child(pair->processes[PAIR_SENDER]));
	EXPECT_EQ(0, wait_child(pair->processes[PAIR_RECEIVER]));
	EXPECT_EQ(pair->total, pair->received);
}

/* A process beside the pair, which reports when it is ready, and is killed. */
typedef void (*pair_attack)(struct pair *pair);

static inline void pair_busy(struct pair *pair)
{
	pair->ready = true;
	for (;;)
		pair->attacks++;
}

static inline void pair_asleep(struct pair *pair)
{
	pair->attacks++;
	pair->ready = true;
	for (;;)
		pause();
}

static inline long pair_progress(const struct pair *pair)
{
	return pair->received + pair->others;
}

static inline int pair_compare(const void *one, const void *other)
{
	double difference = *(const double *)one - *(const double *)other;

	return (difference > 0) - (difference < 0);
}

/* The lower quartile of the recorded times. */
static inline double pair_usual_time(struct pair_times *times)
{
	double seconds[PAIR_BATCHES];
	long count = times->count;

	if (count > PAIR_BATCHES)
		count = PAIR_BATCHES;
	memcpy(seconds, times->seconds, count * sizeof(seconds[0]));
	qsort(seconds, count, sizeof(seconds[0]), pair_compare);
	return seconds[count / 4];
}

struct pair_turn {
	/* Messages of the pair for each message of the control. */
	double	progress;
	/* Messages in a second of processor time. */
	double	speed;
};

/* Returns whether this system can run the adversary. */
static inline bool pair_beside(struct __test_metadata *_metadata,
			       struct pair *pair, pair_attack attack,
			       struct pair_turn *turn)
{
	long wanted = ipc_env("PAIR_MESSAGES", 2000), before, control;
	int status = 0, i;
	pid_t pid;

	pair->ready = false;
	pair->attacks = 0;
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		attack(pair);
		_exit(KSFT_FAIL);
	}
	/* It may end before it is ready, but not after that. */
	ASSERT_TRUE(ipc_poll(pair->ready || waitpid(pid, &status, WNOHANG)));
	if (WIFEXITED(status) && WEXITSTATUS(status) == KSFT_SKIP)
		return false;
	ASSERT_EQ(0, status);
	ASSERT_TRUE(ipc_poll(pair->attacks));
	/*
	 * Messages that the last adversary has left in the channel do not
	 * count.
	 */
	before = pair_progress(pair);
	ASSERT_TRUE(ipc_poll(pair_progress(pair) > before + PAIR_ENTRIES))
		TH_LOG("the pair is stuck after %ld messages", before);

	pair->times[PAIR_SENDER].count = 0;
	pair->times[PAIR_RECEIVER].count = 0;
	before = pair_progress(pair);
	control = pair->control;
	/*
	 * Both must have made progress, otherwise there is nothing to compare.
	 */
	ASSERT_TRUE(ipc_poll(pair->control >= control + wanted &&
			     pair_progress(pair) > before &&
			     pair->times[PAIR_SENDER].count &&
			     pair->times[PAIR_RECEIVER].count))
		TH_LOG("the pair is stuck after %ld of %ld messages",
		       pair_progress(pair) - before, pair->control - control);
	turn->progress = (double)(pair_progress(pair) - before) /
			 (pair->control - control);
	turn->speed = PAIR_BATCH /
		      (pair_usual_time(&pair->times[PAIR_SENDER]) +
		       pair_usual_time(&pair->times[PAIR_RECEIVER]));
	ASSERT_EQ(0, waitpid(pid, NULL, WNOHANG))
		TH_LOG("the adversary has failed");
	for (i = 0; i < PAIR_PROCESSES; i++)
		ASSERT_EQ(0, waitpid(pair->processes[i], NULL, WNOHANG));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(128 + SIGKILL, ipc_wait(pid));
	return true;
}

/* Adds a number, and returns the median. */
static inline double pair_median(double *numbers, int count, double number)
{
	numbers[count] = number;
	qsort(numbers, count + 1, sizeof(numbers[0]), pair_compare);
	return numbers[(count + 1) / 2];
}

/*
 * Checks that the pair keeps its rate beside an adversary, compared with its
 * rate beside a neutral process: one that is as busy, or does the same
 * honestly.
 */
static inline void pair_keeps_its_rate(struct __test_metadata *_metadata,
				       struct pair *pair, pair_attack attack,
				       pair_attack neutral_process)
{
	double progresses[PAIR_MOST], progress = 0;
	double speeds[PAIR_MOST], speed = 0;
	long at_least = ipc_env("PAIR_PERCENT", 80), attacks = 0;
	long wanted = ipc_env("PAIR_ROUNDS", 3);
	struct pair_turn neutral, beside;
	int rounds;

	for (rounds = 0; rounds < wanted ||
	     (rounds < PAIR_MOST && progress < at_least); rounds++) {
		pair_beside(_metadata, pair, neutral_process, &neutral);
		if (!pair_beside(_metadata, pair, attack, &beside))
			SKIP(return, "not available here");
		attacks += pair->attacks;
		progress = pair_median(progresses, rounds, 100 *
				       beside.progress / neutral.progress);
		speed = pair_median(speeds, rounds,
				    100 * beside.speed / neutral.speed);
	}
	TH_LOG("%.0f%% of the progress (%.0f to %.0f), %.0f%% of the speed (%.0f to %.0f), %d rounds, %ld attacks, %ld messages, %ld of others",
	       progress, progresses[0], progresses[rounds - 1], speed,
	       speeds[0], speeds[rounds - 1], rounds, attacks,
	       (long)pair->received, (long)pair->others);
	EXPECT_LE(at_least, progress);
}

#endif /* HONEST_PAIR_H */
