/* SPDX-License-Identifier: GPL-2.0 */
/* Results, and how to print them. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <hdr/hdr_histogram.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "job.h"

#define MAX_RUNS	99
#define MAX_SIZES	32

/* The results of a mechanism in a work with messages of one size. */
struct cell {
	enum outcome outcome;
	char reason[MAX_REASON];
	/* In the order of time, and sorted once all runs are done. */
	double ns[MAX_RUNS];
	double sorted[MAX_RUNS];
	/* Processor time of the senders, in the same order. */
	double senders_ns[MAX_RUNS];
	unsigned int runs;
	/* Of all runs. */
	uint64_t messages;
	uint64_t lost;
	/* Round trips of a ping-pong. */
	struct hdr_histogram *histogram;
};

/* The results of a work. */
struct table {
	const struct work *work;
	const struct mechanism *mechanisms[MAX_MECHANISMS];
	unsigned int nr_mechanisms;
	size_t sizes[MAX_SIZES];
	unsigned int nr_sizes;
	/* By mechanism and size. */
	struct cell *cells;
};

/* Circumstances of all results. */
struct circumstances {
	const char *machine;
	const char *command;
	/* The unit of time: "ns", or "instructions" that the clock counts. */
	const char *unit;
	/* A remark on the results, or NULL or "". */
	const char *note;
	unsigned int runs;
};

struct cell *table_cell(const struct table *table, unsigned int mechanism, unsigned int size);

void cell_add(struct cell *cell, const struct job_result *result);
/* Called after the last run. */
void cell_finish(struct cell *cell);

void report_table(FILE *out, const struct table *table, const struct circumstances *about);
void report_circumstances(FILE *out, const struct circumstances *about);
/* Prints all results as one JSON object. The first line is "{". */
void report_json(FILE *out, const struct table *tables, unsigned int nr_tables,
		 const struct circumstances *about);

#endif /* BENCH_REPORT_H */
