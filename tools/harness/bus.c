// SPDX-License-Identifier: GPL-2.0
/*
 * A service on the bus of bus.h, and its clients:
 *
 *	bus serve NAME			owns NAME, until it is killed
 *	bus call NAME METHOD [TEXT]	calls a method, and prints the answer
 *	bus listen NAME [COUNT]		prints signals, and the contents of files with them
 *
 * The methods are echo (answers with the text), watch (the service emits the signal
 * "gone" when the caller has ended), and publish (emits the signal "published" with a
 * file that has the text).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bus.h"

#define CALL_SECONDS	30

static int complain(const char *what, int error)
{
	fprintf(stderr, "bus: %s: %s\n", what, strerror(-error));
	return 1;
}

/* Emits a signal with a file that has the text of the call. */
static int publish(struct bus_service *service)
{
	const struct bus_packet *call = &service->call.packet;
	struct bus_packet signal;
	int fd, ret;

	fd = memfd_create("published", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	ret = write(fd, call->body, call->len) == (ssize_t)call->len ? 0 : -EIO;
	/* Receivers can rely on a file that nobody can change any more. */
	if (!ret && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW))
		ret = -errno;
	if (!ret) {
		bus_fill(&signal, "published", "", 0);
		ret = bus_emit(service, &signal, &fd, 1);
	}
	close(fd);
	return ret;
}

static void answer(struct bus_service *service)
{
	const struct bus_packet *call = &service->call.packet;
	struct bus_packet packet;

	bus_fill(&packet, "", "", 0);
	if (!bus_is_whole(&service->call))
		packet.status = -EBADMSG;
	else if (!strcmp(call->member, "echo"))
		bus_fill(&packet, "", call->body, call->len);
	else if (!strcmp(call->member, "watch"))
		packet.status = bus_watch(service);
	else if (!strcmp(call->member, "publish"))
		packet.status = publish(service);
	else
		packet.status = -EOPNOTSUPP;
	bus_answer(service, &packet);
}

static int serve(const char *name)
{
	struct bus_service service;
	struct bus_packet signal;
	unsigned int gone;
	int ret;

	ret = bus_own(&service, name, 0666);
	if (ret)
		return complain(name, ret);
	printf("%s is there\n", name);
	fflush(stdout);
	while (!(ret = bus_next(&service, &gone))) {
		if (!gone) {
			answer(&service);
			continue;
		}
		bus_fill(&signal, "gone", &gone, sizeof(gone));
		bus_emit(&service, &signal, NULL, 0);
	}
	bus_disown(&service);
	return complain("waiting for calls", ret);
}

static int call(struct bus_client *client, const struct bus_peer *peer, const char *method,
		const char *text)
{
	struct bus_packet packet;
	struct bus_message reply;
	int ret;

	bus_fill(&packet, method, text, (unsigned int)strlen(text));
	ret = bus_call(client, peer, &packet, &reply,
		       (struct __kernel_timespec){ .tv_sec = CALL_SECONDS });
	if (!ret)
		ret = reply.packet.status;
	if (ret)
		return complain(method, ret);
	printf("%.*s\n", (int)reply.packet.len, reply.packet.body);
	return 0;
}

static void show_file(int fd)
{
	char buf[BUS_BODY];
	ssize_t len = pread(fd, buf, sizeof(buf), 0);

	printf(": %.*s", len > 0 ? (int)len : 0, buf);
	close(fd);
}

static int listen_to(struct bus_client *client, const struct bus_peer *peer, int count)
{
	int ret, fds[BUS_FDS];
	struct bus_message signal;
	unsigned int i;

	while (count--) {
		ret = bus_listen(client, peer, &signal, fds,
				 (struct __kernel_timespec){ .tv_sec = CALL_SECONDS });
		if (ret)
			return complain("waiting for a signal", ret);
		printf("%s from process %u", signal.packet.member, signal.info.pid);
		for (i = 0; i < signal.info.fds; i++)
			show_file(fds[i]);
		if (signal.info.lost)
			printf(" (%llu lost)", (unsigned long long)signal.info.lost);
		printf("\n");
		fflush(stdout);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct bus_client client;
	struct bus_peer peer;
	int ret;

	if (argc == 3 && !strcmp(argv[1], "serve"))
		return serve(argv[2]);
	if (argc < 3 || (strcmp(argv[1], "call") && strcmp(argv[1], "listen")) ||
	    (!strcmp(argv[1], "call") && argc < 4)) {
		fprintf(stderr, "usage: bus serve NAME\n"
				"       bus call NAME METHOD [TEXT]\n"
				"       bus listen NAME [COUNT]\n");
		return 2;
	}
	ret = bus_open(&client);
	if (ret)
		return complain("io_uring", ret);
	ret = bus_connect(&client, argv[2], &peer);
	if (ret)
		ret = complain(argv[2], ret);
	else if (!strcmp(argv[1], "call"))
		ret = call(&client, &peer, argv[3], argc > 4 ? argv[4] : "");
	else
		ret = listen_to(&client, &peer, argc > 3 ? atoi(argv[3]) : 1);
	bus_close(&client);
	return ret;
}
