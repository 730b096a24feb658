/* SPDX-License-Identifier: GPL-2.0 */
/* What is measured: how many senders send to how many receivers, and how. */
#ifndef BENCH_WORK_H
#define BENCH_WORK_H

#include <stdbool.h>

#define MAX_SENDERS	16
#define MAX_RECEIVERS	16
#define MAX_PROCESSES	17

struct work {
	const char *name;
	const char *what;
	unsigned int senders;
	unsigned int receivers;
	/* Each receiver gets each message. Otherwise one receiver gets it. */
	bool to_all;
	/* Each sender waits for an answer to each message; there is 1 receiver. */
	bool ping_pong;
	/* In a ping-pong, the receiver has to know whom it answers. */
	bool calls;
	/* The first receiver is slow, and its time does not count. */
	bool slow;
	/* Measured also in the quick mode. */
	bool daily;
	/* Messages that fit between sender and receivers, 0 for the usual number. */
	unsigned int slots;
};

/* The last work has no name. */
extern const struct work works[];

/* How many processes take part. */
unsigned int work_processes(const struct work *work);

#endif /* BENCH_WORK_H */
