/* SPDX-License-Identifier: GPL-2.0 */
/* The small channel of the tests of waiting requests. */
#ifndef WAIT_CHANNEL_H
#define WAIT_CHANNEL_H

#include "waiting.h"

/* Slots of the channel. */
#define ENTRIES	4

/* Sends numbers from 0 on until the channel is full, returns how many. */
static inline int fill(struct io_uring *ring, __u32 id)
{
	int num;

	for (num = 0; num < ENTRIES; num++)
		if (wait_send(ring, id, num) != IPC_NUM)
			break;
	return num;
}

/* Receives the numbers from..to-1; returns how many were right. */
static inline int drain(struct io_uring *ring, __u32 id, int from, int to)
{
	int num;

	for (num = from; num < to; num++)
		if (wait_recv(ring, id) != num)
			break;
	return num - from;
}

#endif /* WAIT_CHANNEL_H */
