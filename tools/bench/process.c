// SPDX-License-Identifier: GPL-2.0
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "process.h"

/* Not FUTEX_PRIVATE_FLAG: the processes share only this memory. */
void futex_wait(const atomic_uint *word, unsigned int value)
{
	syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}

void futex_wake(const atomic_uint *word, unsigned int processes)
{
	syscall(SYS_futex, word, FUTEX_WAKE, processes, NULL, NULL, 0);
}

void barrier_wait(struct barrier *barrier)
{
	unsigned int generation = atomic_load(&barrier->generation);

	if (atomic_fetch_add(&barrier->arrived, 1) + 1 == barrier->parties) {
		atomic_store(&barrier->arrived, 0);
		atomic_fetch_add(&barrier->generation, 1);
		futex_wake(&barrier->generation, INT_MAX);
		return;
	}
	while (atomic_load(&barrier->generation) == generation)
		futex_wait(&barrier->generation, generation);
}

bool barrier_others_wait(const struct barrier *barrier)
{
	return atomic_load(&barrier->arrived) == barrier->parties - 1;
}

unsigned int nr_processors(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		return 1;
	return (unsigned int)CPU_COUNT(&set);
}

void pin_to_processor(unsigned int number)
{
	cpu_set_t all, one;
	int cpu;

	if (sched_getaffinity(0, sizeof(all), &all))
		return;
	number %= (unsigned int)CPU_COUNT(&all);
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &all) && !number--)
			break;
	}
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
}
