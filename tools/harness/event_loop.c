// SPDX-License-Identifier: GPL-2.0
/*
 * One ring for everything: a socket, a timer and a channel.
 *
 * Each is one multishot request with its own user_data, and the loop sleeps until one
 * of them has an event.  The socket and the channel share a group of provided buffers.
 * A child sends to both, and then ends both: it closes the socket, so the last result
 * is 0, and destroys the channel, so the result is -EPIPE after all messages have been
 * received.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

#define MESSAGES	5
#define PAUSE_MS	50
#define TICK_MS		20
#define BUFFERS		4
#define BUFFER_SIZE	64
#define BUFFER_GROUP	1
#define NS_PER_MS	1000000L

/* user_data */
enum source {
	SOCKET,
	CHANNEL,
	TIMER,
	SOURCES,
};

static struct loop {
	struct io_uring ring;
	int sockets[2];
	unsigned int channel;
	unsigned int subscriber;
	struct __kernel_timespec tick;
	struct io_uring_buf_ring *buf_ring;
	char buffers[BUFFERS][BUFFER_SIZE];
	/* How many events each source has had, and whether it has ended. */
	unsigned int events[SOURCES];
	bool ended[SOURCES];
} loop = {
	.tick.tv_nsec = TICK_MS * NS_PER_MS,
};

static void give_buffer(unsigned int buffer)
{
	io_uring_buf_ring_add(loop.buf_ring, loop.buffers[buffer], BUFFER_SIZE,
			      (unsigned short)buffer, io_uring_buf_ring_mask(BUFFERS), 0);
	io_uring_buf_ring_advance(loop.buf_ring, 1);
}

static void start(enum source source)
{
	/* There is always room: at most one request of each source is prepared at a time. */
	struct io_uring_sqe *sqe = io_uring_get_sqe(&loop.ring);

	switch (source) {
	case SOCKET:
		io_uring_prep_recv_multishot(sqe, loop.sockets[0], NULL, 0, 0);
		sqe->buf_group = BUFFER_GROUP;
		io_uring_sqe_set_flags(sqe, IOSQE_BUFFER_SELECT);
		break;
	case CHANNEL:
		io_uring_prep_ipc_recv_multishot(sqe, loop.subscriber, BUFFER_GROUP, 0);
		break;
	default:
		io_uring_prep_timeout(sqe, &loop.tick, 0, IORING_TIMEOUT_MULTISHOT);
	}
	io_uring_sqe_set_data64(sqe, source);
}

static void handle_data(enum source source, const struct io_uring_cqe *cqe)
{
	unsigned int buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;

	if (cqe->res > 0) {
		loop.events[source]++;
		printf("%s: %.*s\n", source == SOCKET ? "socket" : "channel", cqe->res,
		       loop.buffers[buffer]);
	}
	if (cqe->flags & IORING_CQE_F_BUFFER)
		give_buffer(buffer);
}

static void handle(const struct io_uring_cqe *cqe)
{
	enum source source = (enum source)cqe->user_data;

	switch (source) {
	case SOCKET:
		if (cqe->res < 0 && cqe->res != -ENOBUFS)
			die("the socket: %s", strerror(-cqe->res));
		handle_data(source, cqe);
		loop.ended[source] = !cqe->res;
		break;
	case CHANNEL:
		if (cqe->res < 0 && cqe->res != -ENOBUFS && cqe->res != -EPIPE)
			die("the channel: %s", strerror(-cqe->res));
		handle_data(source, cqe);
		loop.ended[source] = cqe->res == -EPIPE;
		break;
	default:
		if (cqe->res != -ETIME)
			die("the timer: %s", strerror(-cqe->res));
		loop.events[source]++;
		/* A child that has failed neither closes the socket nor destroys the channel. */
		check_children();
	}
	/* A multishot request ends, for example, because all buffers were in use. */
	if (!(cqe->flags & IORING_CQE_F_MORE) && !loop.ended[source])
		start(source);
}

static void run_sender(void *arg)
{
	struct timespec pause = { .tv_nsec = PAUSE_MS * NS_PER_MS };
	struct io_uring ring;
	char text[BUFFER_SIZE];
	int i, len, ret;

	(void)arg;
	io_uring_queue_exit(&loop.ring);
	close(loop.sockets[0]);
	open_ring(&ring, 0);
	for (i = 1; i <= MESSAGES; i++) {
		nanosleep(&pause, NULL);
		len = snprintf(text, sizeof(text), "message %d of %d", i, MESSAGES);
		ret = ipc_send_wait(&ring, loop.channel, text, (unsigned int)len, 0);
		if (ret < 0)
			die("sending to the channel: %s", strerror(-ret));
		if (send(loop.sockets[1], text, (size_t)len, 0) < 0)
			die("sending to the socket: %s", strerror(errno));
	}
	/* The owner of a channel may destroy it with any ring. */
	ret = io_uring_ipc_channel_destroy(&ring, loop.channel);
	if (ret)
		die("io_uring_ipc_channel_destroy: %s", strerror(-ret));
}

static void set_up(void)
{
	unsigned int i;
	int ret;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, loop.sockets))
		die("socketpair: %s", strerror(errno));
	open_ring(&loop.ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
	loop.channel = create_channel(&loop.ring, 0, 16, BUFFER_SIZE);
	loop.subscriber = attach_channel(&loop.ring, loop.channel, IOIPC_SUB_RECV);
	loop.buf_ring = io_uring_setup_buf_ring(&loop.ring, BUFFERS, BUFFER_GROUP, 0, &ret);
	if (!loop.buf_ring)
		die("io_uring_setup_buf_ring: %s", strerror(-ret));
	for (i = 0; i < BUFFERS; i++)
		give_buffer(i);
}

static void run_loop(void)
{
	struct io_uring_cqe *cqe;
	enum source source;
	int ret;

	for (source = 0; source < SOURCES; source++)
		start(source);
	while (!loop.ended[SOCKET] || !loop.ended[CHANNEL] || !loop.events[TIMER]) {
		ret = io_uring_submit_and_wait(&loop.ring, 1);
		if (ret < 0 && ret != -EINTR)
			die("io_uring_submit_and_wait: %s", strerror(-ret));
		while (!io_uring_peek_cqe(&loop.ring, &cqe)) {
			handle(cqe);
			io_uring_cqe_seen(&loop.ring, cqe);
		}
	}
}

int main(void)
{
	require_ipc();
	set_up();
	spawn(run_sender, NULL, "sender");
	close(loop.sockets[1]);
	run_loop();
	/* Ends the request of the timer too. */
	io_uring_queue_exit(&loop.ring);
	wait_children();

	printf("messages from the socket: %u, from the channel: %u, ticks of the timer: %u\n",
	       loop.events[SOCKET], loop.events[CHANNEL], loop.events[TIMER]);
	if (loop.events[SOCKET] != MESSAGES || loop.events[CHANNEL] != MESSAGES)
		die("some messages have not arrived");
	return 0;
}
