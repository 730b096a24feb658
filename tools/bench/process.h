/* SPDX-License-Identifier: GPL-2.0 */
/* How processes that share memory wait for each other. */
#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

#include <stdatomic.h>
#include <stdbool.h>

struct barrier {
	unsigned int parties;
	atomic_uint arrived;
	atomic_uint generation;
};

/* Sleeps until all parties have called it. */
void barrier_wait(struct barrier *barrier);

/* Whether all other parties have called it. */
bool barrier_others_wait(const struct barrier *barrier);

/* Returns when woken, after a signal, or at once if the word does not have this value. */
void futex_wait(const atomic_uint *word, unsigned int value);
void futex_wake(const atomic_uint *word, unsigned int count);

/* How many processors there are. */
unsigned int nr_processors(void);

/* Keeps the calling process on one processor. Numbers start again after the last one. */
void pin_to_processor(unsigned int number);

/* For the body of a loop that polls. */
static inline void cpu_relax(void)
{
#if __has_builtin(__builtin_ia32_pause)
	__builtin_ia32_pause();
#endif
}

#endif /* BENCH_PROCESS_H */
