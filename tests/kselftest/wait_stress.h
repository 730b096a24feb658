/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the parts of the stress test share: what all processes know (the oracle),
 * and what each of them has (the worker).
 *
 * wait_stress.c		kills, makes it quiet, and tells whether all is well
 * wait_stress_oracle.h		compares what comes out with what went in
 * wait_stress_worker.h		a process with its ring and its subscriber
 * wait_stress_send.h		a process that sends
 * wait_stress_receive.h	a process that receives
 */
#ifndef WAIT_STRESS_H
#define WAIT_STRESS_H

#include "messages.h"

#define ENTRIES		8
#define MIN_SIZE	64
#define MAX_SIZE	65536

/* Processes: those that send, the test itself, and those that receive. */
#define SENDERS		4
#define TESTER		SENDERS
#define SOURCES		(SENDERS + 1)
#define RECEIVERS	5
#define PROCESSES	(SOURCES + RECEIVERS)
#define IS_SENDER(me)	((me) < SENDERS)
#define IS_RECEIVER(me)	((me) > TESTER)
/* Are never killed, and never detach: the first of each. */
#define ROCK		SOURCES
#define IS_ROCK(me)	((me) == 0 || (me) == ROCK)

#define MESSAGES	(1 << 23)
#define TRIES		8

/* Of each ring, for one request, and to be provided to io_uring. */
#define BUFS		4
#define PROVIDED	1
#define BUF_SIZE	(MAX_SIZE + 4096)
#define GROUP		3
#define HANDS		8

/* The start of a message.  The rest is a pattern. */
struct message {
	/* MAGIC until a receiver has counted it. */
	__u32	magic;
	__u32	sender;
	__u32	num;
	__u32	target;
	__u32	len;
	/* What the kernel has to tell about the sender. */
	__u32	sub;
	__u64	data;
	__u32	pid;
	__u32	check;
	__u32	reserved[6];
};

#define MAGIC		0xfeedf00dU

/* What is known of a message: one of these, and how often it was received. */
#define PENDING		1
#define SENT		2
/* Its sender was killed or closed its ring: nobody knows whether it was sent. */
#define ABANDONED	4
/* Its sender has given up in a round. */
#define UNSENT		8
/* For the first receiver only. */
#define TARGETED	16
#define ONCE		32
#define TIMES(state)	((state) / ONCE)

/* What a process is doing, for who wants to know why nothing happens. */
enum doing {
	NOTHING, OPENING, SENDING, SENDING_WAIT, RECEIVING, RECEIVING_WAIT,
	RECEIVING_MULTISHOT, RECEIVING_MAPPED, CANCELLING, DETACHING, CLOSING
};

static const char *const doing_names[] = {
	"nothing", "opening", "sending", "waiting for room", "receiving",
	"waiting for a message", "waiting for many messages",
	"waiting for messages in place", "cancelling", "detaching", "closing",
};

/* How a message was sent. */
#define HOW_WAIT	1
#define HOW_TIMED	2
#define HOW_CANCEL	4
#define HOW_ASYNC	8
#define HOW_UNATTACHED	16
#define HOW_VEC		32
#define HOW_FIXED	64

/*
 * The memory of the requests of one ring.  A ring that was closed may go on for a
 * while, so it is left to the test, which uses it again when the ring is gone, with
 * all of its requests.  By then it also holds what the requests have received that
 * nobody has seen the completion of: no message is lost with a process.
 */
enum hand_use { FREE, HELD, LEFT };

struct hand {
	_Atomic int	use;
	/* A pipe to read from.  The ring is its only writer: see register_writer(). */
	int		pipe;
	/* What its process was just counting when it was killed. */
	__u64		journal;
	struct iovec	vec[1 + BUFS];
	char		bufs[1 + BUFS][BUF_SIZE] __aligned(4096);
};

struct process {
	/* 0 if it is not there. */
	_Atomic pid_t	pid;
	_Atomic int	doing;
	/* The round that it takes part in. */
	_Atomic __u32	round;
	struct hand	hands[HANDS];

	/* Of senders: the messages that they are sending, up to the next one. */
	_Atomic __u32	first;
	_Atomic __u32	next;
	/* The results of the last tries, and how it was done. */
	_Atomic __u32	tries;
	_Atomic int	result[TRIES];
	_Atomic __u32	try_num[TRIES];
	_Atomic int	how[TRIES];

	/* Of receivers: what they are just counting, see MESSAGE_KEY(). */
	_Atomic __u64	journal;
	/* How often they have attached, and as whom. */
	_Atomic __u32	epoch;
	_Atomic __u32	sub;
	_Atomic int	fd;
	/* They read in place; they ask for what is told about each message. */
	_Atomic bool	maps;
	_Atomic bool	informed;
	/* From each sender, the message after which all are for them. */
	_Atomic __u32	joined[SOURCES];
	/* From each sender, the number after the last one that they got. */
	_Atomic __u32	last[SOURCES];
	/* How many they got, how many of them as a copy. */
	_Atomic long	got;
	_Atomic long	copied;
	/* How many they have lost, as they were told. */
	_Atomic long	told_lost;
};

struct oracle {
	/* The channel: of a broadcast, whether it overwrites. */
	bool		all;
	bool		overwrite;
	/* Lengths are multiples of this. */
	__u32		grain;
	_Atomic bool	quiet;
	/*
	 * The rounds: the last one for receivers, the last one for senders, the
	 * last one that has begun and that is over, and whether nobody gives up.
	 */
	_Atomic bool	rounds;
	_Atomic __u32	round;
	_Atomic __u32	room;
	_Atomic __u32	go;
	_Atomic __u32	over;
	_Atomic bool	patient;
	_Atomic bool	stop;
	_Atomic bool	failed;
	_Atomic long	received;
	_Atomic long	cancelled;
	/* How often each way was gone. */
	_Atomic long	vecs;
	_Atomic long	partial;
	_Atomic long	bundles;
	_Atomic long	in_place;
	_Atomic long	lost;
	/* Found with those who were killed or had closed their ring. */
	_Atomic long	found;
	/* Id of the receiver that is never killed and never detaches. */
	_Atomic __u32	target;
	struct process	process[PROCESSES];
	_Atomic __u16	state[SOURCES][MESSAGES];
};

#define MESSAGE_KEY(message) \
	((__u64)((message)->sender + 1) << 32 | (message)->num)

/* What one process has. */
struct worker {
	struct oracle	*oracle;
	struct process	*self;
	int		me;
	__u32		channel;
	__u32		random;
	/*
	 * user_data of the last request.  No number is used again: io_uring may
	 * be late to cancel what a linked timeout was for.
	 */
	__u64		data;
	struct io_uring	ring;
	bool		is_open;
	bool		is_attached;
	struct hand	*hand;
	/* All pages of it are there: see touch(). */
	bool		touched;
	__u32		sub;
	/* To read in place, and to tell what was wrong. */
	struct ipc_map	place;
	const struct io_uring_ipc_ring *region;
	/* Of the SQE and the CQE of the last receive. */
	__u32		flags;
	__u32		how;
	__u32		cqe_flags;
	/* From each sender, the next number, 0 for any. */
	__u32		expect[SOURCES];
	__u32		msg_id;
	__u32		round;
	/* What of the provided buffers is used already, if they are used bit by bit. */
	bool		incremental;
	__u32		used[BUFS];
	struct io_uring_buf_ring *bufs;
};

/* Says what is wrong, and makes everybody stop. */
#define FAIL(worker, format, ...) do {					\
	printf("# process %d: " format "\n", (worker)->me,		\
	       ##__VA_ARGS__);						\
	fflush(stdout);							\
	(worker)->oracle->failed = true;				\
	_exit(KSFT_FAIL);						\
} while (0)

static inline bool chance(struct worker *worker, __u32 of)
{
	return ipc_random(&worker->random) % of == 0;
}

/* A request that was ended, by whomever. */
static inline bool is_ended(int res)
{
	return res == -ECANCELED || res == -EINTR || res == -ETIME;
}

#endif /* WAIT_STRESS_H */
