// SPDX-License-Identifier: GPL-2.0
/*
 * Two threads of one process read all messages of a broadcast in place.
 *
 * Each thread has a ring, a subscriber and a mapping of its own: the messages that one
 * thread consumes stay for the other one.  A request waits until there are messages,
 * and then the thread reads one after the other without a system call.
 *
 * At first a sender waits for the slower thread.  Then the channel overwrites messages,
 * and a message that a thread has read counts only if it was still there afterwards.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

#define READERS		2
#define ENTRIES		32
#define MESSAGES	10000

struct reader {
	unsigned int channel;
	bool overwrite;
	pthread_t thread;
	uint64_t next;
	uint64_t received;
	uint64_t lost;
};

static pthread_barrier_t all_attached;

static void count(struct reader *reader, uint64_t number)
{
	if (reader->overwrite ? number < reader->next : number != reader->next)
		die("message %" PRIu64 " comes in place of %" PRIu64, number, reader->next);
	reader->next = number + 1;
	reader->received++;
}

static void *read_in_place(void *arg)
{
	struct reader *reader = arg;
	struct io_uring_ipc_channel_attach attach = {
		.channel_id = reader->channel,
		.flags = IOIPC_SUB_RECV,
	};
	struct ipc_message message;
	struct io_uring ring;
	struct ipc_map map;
	uint64_t number;
	int ret;

	open_ring(&ring, 0);
	ret = io_uring_ipc_channel_attach(&ring, &attach);
	if (ret)
		die("io_uring_ipc_channel_attach: %s", strerror(-ret));
	ret = ipc_map(&map, &attach);
	if (ret)
		die("ipc_map: %s", strerror(-ret));
	close(attach.channel_fd);
	pthread_barrier_wait(&all_attached);
	for (;;) {
		/*
		 * This request also tells the kernel which messages were consumed, for
		 * a sender that waits.
		 */
		io_uring_prep_ipc_recv_mapped(io_uring_get_sqe(&ring), map.id, IOIPC_RECV_WAIT);
		ret = submit_one(&ring);
		if (ret == -EPIPE)
			break;
		if (ret < 0)
			die("waiting for messages: %s", strerror(-ret));
		while (ipc_peek(&map, &message)) {
			memcpy(&number, message.data, sizeof(number));
			if (ipc_intact(&map, &message))
				count(reader, number);
			else
				reader->lost++;
		}
		ipc_consume(&map);
	}
	reader->lost += map.lost;
	ipc_unmap(&map);
	io_uring_queue_exit(&ring);
	return NULL;
}

static void broadcast(bool overwrite)
{
	unsigned int flags = IOIPC_F_BROADCAST | (overwrite ? IOIPC_F_OVERWRITE : 0);
	struct reader readers[READERS] = {};
	struct io_uring ring;
	unsigned int channel, i;
	uint64_t number;
	int ret;

	open_ring(&ring, 0);
	channel = create_channel(&ring, flags, ENTRIES, sizeof(number));
	pthread_barrier_init(&all_attached, NULL, READERS + 1);
	for (i = 0; i < READERS; i++) {
		readers[i].channel = channel;
		readers[i].overwrite = overwrite;
		ret = pthread_create(&readers[i].thread, NULL, read_in_place, &readers[i]);
		if (ret)
			die("pthread_create: %s", strerror(ret));
	}
	pthread_barrier_wait(&all_attached);
	for (number = 0; number < MESSAGES; number++) {
		ret = ipc_send_wait(&ring, channel, &number, sizeof(number), 0);
		if (ret < 0)
			die("sending: %s", strerror(-ret));
	}
	/* The readers get the messages that are left, and then -EPIPE. */
	ret = io_uring_ipc_channel_destroy(&ring, channel);
	if (ret)
		die("io_uring_ipc_channel_destroy: %s", strerror(-ret));
	for (i = 0; i < READERS; i++) {
		pthread_join(readers[i].thread, NULL);
		printf("reader %u%s: %" PRIu64 " received, %" PRIu64 " lost\n", i,
		       overwrite ? ", overwritten" : "", readers[i].received, readers[i].lost);
		if (readers[i].received + readers[i].lost != MESSAGES)
			die("of %d messages", MESSAGES);
	}
	pthread_barrier_destroy(&all_attached);
	io_uring_queue_exit(&ring);
}

int main(void)
{
	require_ipc();
	broadcast(false);
	broadcast(true);
	return 0;
}
