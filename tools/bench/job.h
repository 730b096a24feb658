/* SPDX-License-Identifier: GPL-2.0 */
/* One measurement: a mechanism does a work with messages of one size. */
#ifndef BENCH_JOB_H
#define BENCH_JOB_H

#include <hdr/hdr_histogram.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "failure.h"
#include "mechanism.h"
#include "work.h"

struct job {
	const struct mechanism *mechanism;
	const struct work *work;
	size_t size;
	/* Messages that fit between sender and receivers, a power of two. */
	unsigned int slots;
	/* Messages under way at a time in one sender. */
	unsigned int batch;
	/* Send and check all words of some messages first. */
	bool verify;
	/* Senders and receivers are threads of one process. */
	bool threads;
	/* How long the measured part should take. */
	uint64_t target_ns;
	/* After so long it is taken for stuck. */
	unsigned int give_up_seconds;
};

struct job_result {
	enum outcome outcome;
	/* A sentence, unless it is OUTCOME_OK. */
	char reason[MAX_REASON];
	uint64_t messages;
	/* Of all receivers together. */
	uint64_t lost;
	/* Of a ping-pong the median of the round trips. */
	double ns_per_message;
	/* Processor time of the senders. */
	double senders_ns_per_message;
};

/*
 * Runs a job in processes of its own that are gone afterwards.  The round trips of
 * a ping-pong are added to the histogram.
 */
void job_run(const struct job *job, struct hdr_histogram *histogram, struct job_result *result);

/* A histogram that is wide and fine enough for round trips. */
struct hdr_histogram *job_histogram(void);

#endif /* BENCH_JOB_H */
