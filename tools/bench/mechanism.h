/* SPDX-License-Identifier: GPL-2.0 */
/* What a mechanism of communication must provide. */
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
	/* Each receiver gets each message.  Otherwise one receiver gets it. */
	bool to_all;
	/* Number in the job of the first sender, and of the first receiver. */
	unsigned int first_sender;
	unsigned int first_receiver;
	/* Of the mechanism. */
	void *state;
};

/* One process, with its part in one link or, in a ping-pong, both links. */
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
	/* Of the mechanism. */
	void *state;
};

/* Processes of the mechanism poll where those of others sleep. */
#define MECHANISM_POLLS		0x1
/* Differs from others only in how it streams. */
#define MECHANISM_STREAMS	0x2
/* Drops messages for receivers that are too slow. */
#define MECHANISM_LOSSY		0x4
/* Takes part in works that are calls, and in no others. */
#define MECHANISM_CALLS		0x8
#define MECHANISM_ONLY_CALLS	0x10

/*
 * A function that fails ends the process by job_failed() or job_errno().  No function
 * has to undo its work: the processes and their resources end after each measurement.
 */
struct mechanism {
	const char *name;
	const char *what;
	/* MECHANISM_* */
	unsigned int flags;
	/* Messages in flight at a time in one sender that streams. */
	unsigned int batch;
	/* Distinguishes the mechanisms of one file. */
	const void *variant;

	/* Why the mechanism cannot do this, or NULL.  Optional. */
	const char *(*unfit)(const struct mechanism *mechanism, const struct work *work,
			     size_t size);
	/* Runs before the processes are made.  They inherit what it opens or maps. */
	void (*setup)(struct link *link);
	/* Runs in each process, before any process sends.  Optional. */
	void (*open)(struct endpoint *endpoint);
	/* Sends `count` messages of the source. */
	void (*send)(struct endpoint *endpoint, uint64_t count);
	/* Receives while sink_open(). */
	void (*receive)(struct endpoint *endpoint);
	/* Sends one message and receives while sink_open().  Optional. */
	void (*exchange)(struct endpoint *endpoint);
};

/* The mechanisms of each file.  The last one of a list has no name. */
extern const struct mechanism pipe_mechanisms[];
extern const struct mechanism unix_mechanisms[];
extern const struct mechanism mq_mechanisms[];
extern const struct mechanism shm_mechanisms[];
extern const struct mechanism msg_ring_mechanisms[];
extern const struct mechanism ipc_mechanisms[];
extern const struct mechanism ipc_call_mechanisms[];
extern const struct mechanism call_mechanisms[];

/* All others are compared with this mechanism. */
#define REFERENCE_MECHANISM	"pipe"

#define MAX_MECHANISMS	64

/* Stores all mechanisms, in the order of the report, and returns how many. */
unsigned int all_mechanisms(const struct mechanism *list[MAX_MECHANISMS]);

#endif /* BENCH_MECHANISM_H */
