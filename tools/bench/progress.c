// SPDX-License-Identifier: GPL-2.0
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "harness.h"
#include "progress.h"

#define NS_PER_SECOND	1000000000ULL
#define BAR_WIDTH	30
#define LINE_SECONDS	10

static struct {
	unsigned int steps;
	unsigned int done;
	bool bar;
	uint64_t start_ns;
	uint64_t line_ns;
} progress;

void progress_start(unsigned int steps, bool bar)
{
	progress.steps = steps;
	progress.bar = bar;
	progress.start_ns = now_ns();
	progress.line_ns = progress.start_ns;
}

void progress_clear(void)
{
	if (progress.bar)
		fprintf(stderr, "\r\033[K");
}

void progress_step(const char *fmt, ...)
{
	unsigned int done = progress.done++, i;
	uint64_t now = now_ns(), left = 0;
	char what[80];
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	if (done)
		left = (now - progress.start_ns) * (progress.steps - done) / done / NS_PER_SECOND;
	if (progress.bar) {
		char bar[BAR_WIDTH + 1] = {};

		for (i = 0; i < BAR_WIDTH; i++)
			bar[i] = i * progress.steps < done * BAR_WIDTH ? '#' : '.';
		fprintf(stderr, "\r\033[K[%s] %3u%% %" PRIu64 ":%02" PRIu64 " left  %s", bar,
			100 * done / progress.steps, left / 60, left % 60, what);
	} else if (now - progress.line_ns >= LINE_SECONDS * NS_PER_SECOND) {
		progress.line_ns = now;
		fprintf(stderr, "bench: %3u%%, %s\n", 100 * done / progress.steps, what);
	}
}
