/* SPDX-License-Identifier: GPL-2.0 */
/* Shows the progress of the benchmark, on standard error. */
#ifndef BENCH_PROGRESS_H
#define BENCH_PROGRESS_H

#include <stdbool.h>

/* Shows a bar on a terminal, otherwise a line every ten seconds. */
void progress_start(unsigned int steps, bool bar);

/* Called before each step, with what comes next. */
__attribute__((format(printf, 1, 2)))
void progress_step(const char *fmt, ...);

/* Called before any other output. */
void progress_clear(void);

#endif /* BENCH_PROGRESS_H */
