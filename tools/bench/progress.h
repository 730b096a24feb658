/* SPDX-License-Identifier: GPL-2.0 */
/* How far the benchmark is, on standard error. */
#ifndef BENCH_PROGRESS_H
#define BENCH_PROGRESS_H

#include <stdbool.h>

/* Without a bar for a terminal, there is a line every ten seconds. */
void progress_start(unsigned int steps, bool bar);

/* Before each step: what comes now. */
__attribute__((format(printf, 1, 2)))
void progress_step(const char *fmt, ...);

/* Before anything else is printed. */
void progress_clear(void);

#endif /* BENCH_PROGRESS_H */
