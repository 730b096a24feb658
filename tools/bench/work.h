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
	/* Two processes answer each other; senders and receivers are 1. */
	bool ping_pong;
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
