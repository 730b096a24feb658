/* SPDX-License-Identifier: GPL-2.0 */
/* What a mechanism of communication has to provide. */
#ifndef BENCH_MECHANISM_H
#define BENCH_MECHANISM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "message.h"
#include "work.h"

struct job;
struct mechanism;

/* The way of messages in one direction. */
struct link {
	const struct job *job;
	unsigned int senders;
	unsigned int receivers;
	/* Each receiver gets each message, in place of one receiver. */
	bool to_all;
	/* Number in the job of the first process that sends, and that receives. */
	unsigned int first_sender;
	unsigned int first_receiver;
	/* The mechanism's. */
	void *state;
};

/* One process with its part of one or, in a ping-pong, both links. */
struct endpoint {
	const struct job *job;
	unsigned int process;
	/* NULL if it does not send; its number among the senders. */
	struct link *out;
	unsigned int out_index;
	/* NULL if it does not receive; its number among the receivers. */
	struct link *in;
	unsigned int in_index;
	struct source source;
	struct sink sink;
	/* The mechanism's. */
	void *state;
};

/* Processes of the mechanism poll for what others sleep for. */
#define MECHANISM_POLLS		0x1
/* Differs from others only in how it streams. */
#define MECHANISM_STREAMS	0x2
/* Drops messages for receivers that are too slow. */
#define MECHANISM_LOSSY		0x4

/*
 * What fails ends the process by job_failed() or job_errno().  Nothing has
 * to be undone: processes end after each measurement, and what they have with
 * them.
 */
struct mechanism {
	const char *name;
	const char *what;
	/* MECHANISM_* */
	unsigned int flags;
	/* Messages under way at a time in one sender that streams. */
	unsigned int batch;
	/* What tells mechanisms of one file apart. */
	const void *variant;

	/* Why it cannot do this, or NULL; optional. */
	const char *(*unfit)(const struct mechanism *mechanism, const struct work *work,
			     size_t size);
	/* Before the processes are made; what it opens or maps, they inherit. */
	void (*setup)(struct link *link);
	/* In each process, before any of them sends; optional. */
	void (*open)(struct endpoint *endpoint);
	/* Sends so many messages of the source. */
	void (*send)(struct endpoint *endpoint, uint64_t count);
	/* Receives as long as sink_open(). */
	void (*receive)(struct endpoint *endpoint);
	/* Sends one message and receives as long as sink_open(); optional. */
	void (*exchange)(struct endpoint *endpoint);
};

/* Of each file; the last one of a list has no name. */
extern const struct mechanism pipe_mechanisms[];
extern const struct mechanism unix_mechanisms[];
extern const struct mechanism mq_mechanisms[];
extern const struct mechanism shm_mechanisms[];
extern const struct mechanism msg_ring_mechanisms[];
extern const struct mechanism ipc_mechanisms[];

/* What all others are compared with. */
#define REFERENCE_MECHANISM	"pipe"

#define MAX_MECHANISMS	64

/* Stores all mechanisms, in the order of the report, and returns how many. */
unsigned int all_mechanisms(const struct mechanism *list[MAX_MECHANISMS]);

#endif /* BENCH_MECHANISM_H */
