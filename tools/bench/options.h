/* SPDX-License-Identifier: GPL-2.0 */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "mechanism.h"
#include "report.h"
#include "work.h"

struct options {
	bool icount;
	bool quick;
	bool threads;
	bool json;
	bool bar;
	unsigned int runs;
	const char *machine;
	const char *command;
	const char *note;
	/* 0 for the sizes of the work. */
	unsigned int nr_sizes;
	size_t sizes[MAX_SIZES];
	/* Comma-separated; NULL for all. */
	const char *only;
	const char *work;
};

/* Prints a sentence and exits with 2 if an option is wrong. */
void parse_options(int argc, char **argv, struct options *options);

bool wants_mechanism(const struct options *options, const struct mechanism *mechanism);
bool wants_work(const struct options *options, const struct work *work);

#endif /* BENCH_OPTIONS_H */
