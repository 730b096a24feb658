/* SPDX-License-Identifier: GPL-2.0 */
/* What is measured: who sends how to whom. */
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
	/* Each receiver gets each message, in place of one receiver. */
	bool to_all;
	/* Each of two processes answers the other; senders and receivers are 1. */
	bool ping_pong;
	/* The first receiver is slow, and is not waited for when time is taken. */
	bool slow;
	/* Measured also in the quick mode. */
	bool daily;
	/* Messages that fit between sender and receivers, 0 for as many as usual. */
	unsigned int slots;
};

/* The last one has no name. */
extern const struct work works[];

/* Processes that take part. */
unsigned int work_processes(const struct work *work);

#endif /* BENCH_WORK_H */
