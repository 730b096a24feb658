/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by the parts of the stress test: what all processes know (the oracle),
 * and what each process has (the worker).
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

/* Processes: the senders, the test itself, and the receivers. */
#define SENDERS		4
#define TESTER		SENDERS
#define SOURCES		(SENDERS + 1)
#define RECEIVERS	5
#define PROCESSES	(SOURCES + RECEIVERS)
#define IS_SENDER(me)	((me) < SENDERS)
#define IS_RECEIVER(me)	((me) > TESTER)
/* The first of each kind is never killed and never detaches. */
#define ROCK		SOURCES
#define IS_ROCK(me)	((me) == 0 || (me) == ROCK)

#define MESSAGES	(1 << 23)
#define TRIES		8

/*
 * Buffers of each ring, for one request, and for io_uring as provided buffers.
 */
#define BUFS		4
#define PROVIDED	1
#define BUF_SIZE	(MAX_SIZE + 4096)
#define GROUP		3
#define HANDS		8

/* The start of a message.  The rest is a pattern. */
struct message {
	/* MAGIC until a receiver has counted the message. */
	__u32	magic;
	__u32	sender;
	__u32	num;
	__u32	target;
	__u32	len;
	/* What the kernel must report about the sender. */
	__u32	sub;
	__u64	data;
	__u32	pid;
	__u32	check;
	__u32	reserved[6];
};

#define MAGIC		0xfeedf00dU

/* The state of a message: one of these, and how often it was received. */
#define PENDING		1
#define SENT		2
/* Its sender was killed or closed its ring: it may have been sent or not. */
#define ABANDONED	4
/* Its sender has given up in a round. */
#define UNSENT		8
/* For the first receiver only. */
#define TARGETED	16
#define ONCE		32
#define TIMES(state)	((state) / ONCE)

/* What a process is doing, printed when nothing happens. */
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
 * The memory of the requests of one ring.  A closed ring may go on for a while.
 * So its process leaves the memory to the test, which reuses it when the ring
 * is gone, with all of its requests.  By then the memory also has the messages
 * of requests whose completion the process has not seen.  So no message is lost
 * with a process.
 */
enum hand_use { FREE, HELD, LEFT };

struct hand {
	_Atomic int	use;
	/*
	 * A pipe to read from.  Only the ring writes to it: see
	 * register_writer().
	 */
	int		pipe;
	/* The message that its process was counting when it was killed. */
	__u64		journal;
	struct iovec	vec[1 + BUFS];
	char		bufs[1 + BUFS][BUF_SIZE] __aligned(4096);
};

struct process {
	/* 0 if the process does not exist. */
	_Atomic pid_t	pid;
	_Atomic int	doing;
	/* The round that the process takes part in. */
	_Atomic __u32	round;
	struct hand	hands[HANDS];

	/* Of a sender: the messages being sent, up to the next one. */
	_Atomic __u32	first;
	_Atomic __u32	next;
	/* The results of the last tries, and how they were made. */
	_Atomic __u32	tries;
	_Atomic int	result[TRIES];
	_Atomic __u32	try_num[TRIES];
	_Atomic int	how[TRIES];

	/* Of a receiver: the message being counted, see MESSAGE_KEY(). */
	_Atomic __u64	journal;
	/* How often the receiver has attached, and its current id. */
	_Atomic __u32	epoch;
	_Atomic __u32	sub;
	_Atomic int	fd;
	/*
	 * Whether it reads in place, and whether it asks for the info of
	 * messages.
	 */
	_Atomic bool	maps;
	_Atomic bool	informed;
	/*
	 * From each sender, the message after which all are for this receiver.
	 */
	_Atomic __u32	joined[SOURCES];
	/* From each sender, the number after the last message received. */
	_Atomic __u32	last[SOURCES];
	/*
	 * How many messages it has received, and how many of them were copied.
	 */
	_Atomic long	got;
	_Atomic long	copied;
	/* How many messages it has lost, by the info of messages. */
	_Atomic long	told_lost;
};

struct oracle {
	/* Whether the channel is a broadcast, and whether it overwrites. */
	bool		all;
	bool		overwrite;
	/* Lengths are multiples of this. */
	__u32		grain;
	_Atomic bool	quiet;
	/*
	 * The rounds: the last one for receivers, the last one for senders, the
	 * last one that has started, the last one that is over, and whether no
	 * process gives up.
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
	/* How often each way was used. */
	_Atomic long	vecs;
	_Atomic long	partial;
	_Atomic long	bundles;
	_Atomic long	in_place;
	_Atomic long	lost;
	/* Messages found in the memory of killed processes and closed rings. */
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
	 * user_data of the last request.  No number is used again: a linked
	 * timeout may cancel its request late.
	 */
	__u64		data;
	struct io_uring	ring;
	bool		is_open;
	bool		is_attached;
	struct hand	*hand;
	/* All pages of the memory are present: see touch(). */
	bool		touched;
	__u32		sub;
	/* To read in place, and to print errors. */
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
	/*
	 * How much of each provided buffer is used, if buffers are incremental.
	 */
	bool		incremental;
	__u32		used[BUFS];
	struct io_uring_buf_ring *bufs;
};

/* Prints an error, and makes all processes stop. */
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

/* Whether a request was ended early. */
static inline bool is_ended(int res)
{
	return res == -ECANCELED || res == -EINTR || res == -ETIME;
}

#endif /* WAIT_STRESS_H */
