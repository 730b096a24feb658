// SPDX-License-Identifier: GPL-2.0
/*
 * A server and its clients on one channel.
 *
 * The server and the clients send and receive on the channel, and every message has a
 * target.  A request has the subscriber id of the server as its target.  A reply has
 * the id of the client, which the server finds in the struct io_uring_ipc_msg_info
 * before the request.  So no client gets the messages of another one.  The kernel fills
 * in what that struct says of the sender, and the client uses it to check that the
 * reply comes from the server.
 *
 * The server has one multishot receive.  It replies from the buffer of the request, and
 * waits for the end of its clients in the same loop.  A call is one system call of the
 * client: a send, a receive and a deadline for the receive, linked.
 *
 * Here all processes know the ids from before the fork.  Other programs would attach by
 * key, and learn the server's id from the source of the key.
 *
 * usage: request_reply [CLIENTS]
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define MAX_CLIENTS	128
#define CALLS		100
#define CALL_SECONDS	30
/* Fewer buffers than there can be clients, so that the server runs out of buffers. */
#define BUFFERS		16
#define BUFFER_GROUP	1
#define RING_FLAGS	(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN)

struct request {
	uint64_t call;
	uint64_t number;
};

struct reply {
	uint64_t call;
	uint64_t square;
	/* The client, as the server sees it. */
	uint32_t pid;
	uint32_t uid;
};

/* A received message: its sender and its contents. */
struct incoming {
	struct io_uring_ipc_msg_info info;
	union {
		struct request request;
		struct reply reply;
	};
};

static struct server {
	struct io_uring ring;
	pid_t pid;
	unsigned int channel;
	unsigned int id;
	struct io_uring_buf_ring *buf_ring;
	/* A buffer has a request until the reply, which takes its place, is sent. */
	struct incoming buffers[BUFFERS];
	unsigned int free_buffers;
	bool receiving;
	unsigned int clients;
} server;

/* user_data of the server; smaller values are the number of the buffer being sent */
enum {
	RECEIVE = BUFFERS,
	CLIENT_ENDED,
};

/* user_data of a client */
enum {
	CALL_SEND,
	CALL_RECEIVE,
	CALL_DEADLINE,
	CALL_PARTS,
};

static unsigned int attach(struct io_uring *ring)
{
	return attach_channel(ring, server.channel, IOIPC_SUB_BOTH);
}

/* Returns how many bytes were received, or a negative error. */
static int call(struct io_uring *ring, unsigned int id, const struct request *request,
		struct incoming *incoming)
{
	struct __kernel_timespec deadline = { .tv_sec = CALL_SECONDS };
	int ret, done, results[CALL_PARTS];
	struct io_uring_cqe *cqe;
	struct io_uring_sqe *sqe;

	sqe = io_uring_get_sqe(ring);
	io_uring_prep_ipc_send(sqe, id, request, sizeof(*request), server.id, IOIPC_SEND_WAIT);
	io_uring_sqe_set_data64(sqe, CALL_SEND);
	io_uring_sqe_set_flags(sqe, IOSQE_IO_LINK);

	sqe = io_uring_get_sqe(ring);
	io_uring_prep_ipc_recv(sqe, id, incoming, sizeof(*incoming),
			       IOIPC_RECV_WAIT | IOIPC_RECV_INFO);
	io_uring_sqe_set_data64(sqe, CALL_RECEIVE);
	io_uring_sqe_set_flags(sqe, IOSQE_IO_LINK);

	sqe = io_uring_get_sqe(ring);
	io_uring_prep_link_timeout(sqe, &deadline, 0);
	io_uring_sqe_set_data64(sqe, CALL_DEADLINE);

	ret = io_uring_submit_and_wait(ring, CALL_PARTS);
	for (done = 0; done < CALL_PARTS && ret >= 0; done++) {
		ret = io_uring_wait_cqe(ring, &cqe);
		if (!ret) {
			results[cqe->user_data] = cqe->res;
			io_uring_cqe_seen(ring, cqe);
		}
	}
	if (ret < 0)
		die("waiting for the reply: %s", strerror(-ret));
	if (results[CALL_SEND] < 0)
		return results[CALL_SEND];
	/* The deadline may be over just when the reply arrives. */
	return results[CALL_RECEIVE] == -ECANCELED ? -ETIME : results[CALL_RECEIVE];
}

static void check_reply(const struct incoming *incoming, const struct request *request)
{
	const struct io_uring_ipc_msg_info *info = &incoming->info;
	const struct reply *reply = &incoming->reply;

	if (info->sender != server.id || info->pid != (uint32_t)server.pid ||
	    info->uid != geteuid() || !(info->flags & IOIPC_INFO_TARGETED))
		die("a reply comes from subscriber %u, process %u, user %u, not from the server",
		    info->sender, info->pid, info->uid);
	if (info->len != sizeof(*reply) || reply->call != request->call)
		die("a reply is not the one to call %" PRIu64, request->call);
	if (reply->square != request->number * request->number)
		die("the square of %" PRIu64 " is not %" PRIu64, request->number, reply->square);
	if (reply->pid != (uint32_t)getpid() || reply->uid != geteuid())
		die("the server takes this process for process %u of user %u", reply->pid,
		    reply->uid);
}

static void run_client(void *arg)
{
	unsigned int number = *(unsigned int *)arg;
	struct request request = {};
	struct incoming incoming;
	struct io_uring ring;
	unsigned int id;
	int ret;

	/* The ring of the server would stay open in this process after the server's end. */
	io_uring_queue_exit(&server.ring);
	open_ring(&ring, RING_FLAGS);
	id = attach(&ring);
	while (request.call < CALLS) {
		request.call++;
		request.number = 1000 * number + request.call;
		ret = call(&ring, id, &request, &incoming);
		if (ret < 0)
			die("call %" PRIu64 ": %s", request.call, strerror(-ret));
		if ((size_t)ret < sizeof(incoming.info))
			die("call %" PRIu64 ": %d bytes are no reply", request.call, ret);
		check_reply(&incoming, &request);
	}
	printf("client %u: subscriber %u, process %d, %d replies from subscriber %u, process %d\n",
	       number, id, getpid(), CALLS, server.id, server.pid);
}

/* An SQE for the server.  If the queue is full, submits the prepared SQEs first. */
static struct io_uring_sqe *get_sqe(void)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&server.ring);

	if (!sqe && io_uring_submit(&server.ring) >= 0)
		sqe = io_uring_get_sqe(&server.ring);
	if (!sqe)
		die("the submission queue stays full");
	return sqe;
}

static void receive_requests(void)
{
	struct io_uring_sqe *sqe = get_sqe();

	io_uring_prep_ipc_recv_multishot(sqe, server.id, BUFFER_GROUP, IOIPC_RECV_INFO);
	io_uring_sqe_set_data64(sqe, RECEIVE);
	server.receiving = true;
}

static void give_buffer(unsigned int buffer)
{
	io_uring_buf_ring_add(server.buf_ring, &server.buffers[buffer], sizeof(server.buffers[0]),
			      (unsigned short)buffer, io_uring_buf_ring_mask(BUFFERS), 0);
	io_uring_buf_ring_advance(server.buf_ring, 1);
	server.free_buffers++;
}

static void handle_request(unsigned int buffer, size_t len)
{
	struct incoming *incoming = &server.buffers[buffer];
	struct request request = incoming->request;
	struct io_uring_sqe *sqe;

	/* Any process may send anything here, also one that is not attached: 0 is no target. */
	if (len != sizeof(incoming->info) + sizeof(request) || !incoming->info.sender) {
		give_buffer(buffer);
		return;
	}
	incoming->reply = (struct reply){
		.call = request.call,
		.square = request.number * request.number,
		.pid = incoming->info.pid,
		.uid = incoming->info.uid,
	};
	sqe = get_sqe();
	io_uring_prep_ipc_send(sqe, server.id, &incoming->reply, sizeof(incoming->reply),
			       incoming->info.sender, IOIPC_SEND_WAIT);
	io_uring_sqe_set_data64(sqe, buffer);
}

static void handle(const struct io_uring_cqe *cqe)
{
	switch (cqe->user_data) {
	case RECEIVE:
		if (cqe->res < 0 && cqe->res != -ENOBUFS)
			die("receiving requests: %s", strerror(-cqe->res));
		server.receiving = cqe->flags & IORING_CQE_F_MORE;
		if (cqe->flags & IORING_CQE_F_BUFFER) {
			server.free_buffers--;
			handle_request(cqe->flags >> IORING_CQE_BUFFER_SHIFT, (size_t)cqe->res);
		}
		break;
	case CLIENT_ENDED:
		/* die() names the client that has failed. */
		check_children();
		server.clients--;
		break;
	default:
		/* A client may be gone before it gets its reply. */
		if (cqe->res < 0 && cqe->res != -ENOENT)
			die("replying: %s", strerror(-cqe->res));
		give_buffer((unsigned int)cqe->user_data);
	}
}

static void start_server(unsigned int clients)
{
	unsigned int entries = 2;
	int ret;

	/*
	 * Room for a request and a reply of each client.  With less, requests could
	 * fill the channel while every buffer has a reply that waits for room.
	 */
	while (entries < 2 * clients)
		entries *= 2;
	server.pid = getpid();
	open_ring(&server.ring, RING_FLAGS);
	server.channel = create_channel(&server.ring, 0, entries, sizeof(struct reply));
	server.id = attach(&server.ring);
	server.buf_ring = io_uring_setup_buf_ring(&server.ring, BUFFERS, BUFFER_GROUP, 0, &ret);
	if (!server.buf_ring)
		die("io_uring_setup_buf_ring: %s", strerror(-ret));
}

static void serve(void)
{
	struct io_uring_cqe *cqe;
	unsigned int i;
	int ret;

	for (i = 0; i < BUFFERS; i++)
		give_buffer(i);
	while (server.clients) {
		/* The receive has ended if there was no buffer left. */
		if (!server.receiving && server.free_buffers)
			receive_requests();
		ret = io_uring_submit_and_wait(&server.ring, 1);
		if (ret < 0 && ret != -EINTR)
			die("io_uring_submit_and_wait: %s", strerror(-ret));
		while (!io_uring_peek_cqe(&server.ring, &cqe)) {
			struct io_uring_cqe copy = *cqe;

			io_uring_cqe_seen(&server.ring, cqe);
			handle(&copy);
		}
	}
}

int main(int argc, char **argv)
{
	unsigned int clients = 4, numbers[MAX_CLIENTS], i;
	char *end;

	if (argc > 1) {
		clients = (unsigned int)strtoul(argv[1], &end, 10);
		if (argc > 2 || *end || !clients || clients > MAX_CLIENTS)
			die("usage: request_reply [CLIENTS], from 1 to %d of them", MAX_CLIENTS);
	}
	require_ipc();
	start_server(clients);
	for (i = 0; i < clients; i++) {
		struct io_uring_sqe *sqe;
		pid_t pid;

		numbers[i] = i;
		pid = spawn(run_client, &numbers[i], "client %u", i);
		sqe = get_sqe();
		io_uring_prep_waitid(sqe, P_PID, (id_t)pid, NULL, WEXITED | WNOWAIT, 0);
		io_uring_sqe_set_data64(sqe, CLIENT_ENDED);
		server.clients++;
	}
	serve();
	io_uring_queue_exit(&server.ring);
	return 0;
}
