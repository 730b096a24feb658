// SPDX-License-Identifier: GPL-2.0
#include "harness.h"
#include "shm_ring.h"

void shm_slots_init(struct shm_slots *slots, unsigned int count, size_t size)
{
	slots->count = count;
	slots->stride = (sizeof(struct shm_slot) + size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
	slots->memory = shared_alloc(count * slots->stride);
}

void queue_init(struct queue_ring *ring, unsigned int slots, size_t size)
{
	unsigned int i;

	shm_slots_init(&ring->slots, slots, size);
	for (i = 0; i < slots; i++)
		atomic_store(&shm_slot(&ring->slots, i)->sequence, i);
}
