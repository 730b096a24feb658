// SPDX-License-Identifier: GPL-2.0

#include "coverage.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <linux/kcov.h>

/* Places that one command reaches, and that all commands reach.  Further places do not count. */
#define TRACE	(64 << 10)
#define PLACES	(64 << 10)

/* A hash table.  Only one actor at a time runs a command. */
static struct {
	size_t count;
	uint64_t places[PLACES];
} *reached;

static int kcov = -1;
static uint64_t *trace;

bool coverage_prepare(void)
{
	kcov = open("/sys/kernel/debug/kcov", O_RDWR | O_CLOEXEC);
	reached = mmap(NULL, sizeof(*reached), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	if (reached == MAP_FAILED) {
		perror("mmap");
		exit(2);
	}
	return kcov >= 0;
}

void coverage_enable(void)
{
	if (kcov < 0)
		return;
	/* The inherited descriptor is for another process. */
	kcov = open("/sys/kernel/debug/kcov", O_RDWR | O_CLOEXEC);
	if (kcov < 0 || ioctl(kcov, KCOV_INIT_TRACE, TRACE))
		return;
	trace = mmap(NULL, TRACE * sizeof(*trace), PROT_READ | PROT_WRITE, MAP_SHARED, kcov, 0);
	if (trace == MAP_FAILED || ioctl(kcov, KCOV_ENABLE, KCOV_TRACE_PC)) {
		perror("kcov");
		trace = NULL;
	}
}

void coverage_begin(void)
{
	if (trace)
		__atomic_store_n(&trace[0], 0, __ATOMIC_RELAXED);
}

void coverage_end(void)
{
	uint64_t count = trace ? __atomic_load_n(&trace[0], __ATOMIC_RELAXED) : 0;

	for (uint64_t i = 1; i <= count && reached->count < PLACES / 2; i++) {
		uint64_t place = trace[i];
		size_t at = place * 0x9e3779b97f4a7c15 >> 48;

		while (reached->places[at] && reached->places[at] != place)
			at = (at + 1) % PLACES;
		if (!reached->places[at]) {
			reached->places[at] = place;
			reached->count++;
		}
	}
}

size_t coverage_count(void)
{
	return reached->count;
}

struct function {
	uint64_t start;
	bool reached;
	char name[512];
};

static int compare(const void *left, const void *right)
{
	const struct function *a = left, *b = right;

	return a->start < b->start ? -1 : a->start > b->start;
}

void coverage_report(bool list)
{
	FILE *file = fopen("/proc/kallsyms", "r");
	struct function *functions = NULL;
	size_t count = 0, number = 0;
	char line[1024], type;

	while (file && fgets(line, sizeof(line), file)) {
		struct function function = {};
		unsigned long long start;

		if (!strstr(line, "[io_uring_ipc]") ||
		    sscanf(line, "%llx %c %511s", &start, &type, function.name) != 3 ||
		    (type != 't' && type != 'T'))
			continue;
		function.start = start;
		functions = realloc(functions, (count + 1) * sizeof(*functions));
		if (!functions)
			exit(2);
		functions[count++] = function;
	}
	if (file)
		fclose(file);
	if (count)
		qsort(functions, count, sizeof(*functions), compare);
	for (size_t i = 0; i < PLACES; i++) {
		size_t at = count;

		while (reached->places[i] && at && functions[at - 1].start > reached->places[i])
			at--;
		if (reached->places[i] && at && !functions[at - 1].reached) {
			functions[at - 1].reached = true;
			number++;
		}
	}
	printf("# coverage: %zu places, in %zu of %zu functions\n", reached->count, number, count);
	for (size_t i = 0; list && i < count; i++)
		printf("# %s: %s\n", functions[i].reached ? "reached" : "not reached",
		       functions[i].name);
	free(functions);
}
