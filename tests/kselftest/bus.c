// SPDX-License-Identifier: GPL-2.0
/*
 * A bus (tools/harness/bus.h) of 50 services and 200 clients for SECONDS=N seconds.  The
 * clients call methods, hear signals, and get files with signals.  One user floods each
 * service with messages and calls.  Services and clients are killed at random, and the
 * test starts new ones at once: the name of a dead service is free when waitpid(2)
 * returns.
 *
 * Each call ends with its own answer, or with an error because the service has ended.
 * The test goes on until each client has got CALLS answers, however slow the machine is.
 */
#include <stdatomic.h>

#include "ipc_test.h"
#include "bus.h"

#define SERVICES	50
#define CLIENTS		200
/* Answers that each client gets at least. */
#define CALLS		20
/* Calls of the flood that are on their way at once. */
#define FLOOD		64
/* A call that takes longer hangs. */
#define CALL_SECONDS	IPC_TIMEOUT

/* What a client has seen. The processes that follow each other in its place add to it. */
struct client {
	_Atomic long	started;
	_Atomic long	answered;
	/* The service had ended, or had not begun yet. */
	_Atomic long	ended;
	_Atomic long	signals;
	_Atomic long	files;
};

struct shared {
	_Atomic bool	stop;
	/* The first fault that a process has found. */
	_Atomic int	fault_line;
	_Atomic int	fault_error;
	_Atomic long	flooded;
	struct client	clients[CLIENTS];
};

static struct shared *shared;

#define fault(error)	fault_at(__LINE__, error)

static void __attribute__((noreturn)) fault_at(int line, int error)
{
	int none = 0;

	if (atomic_compare_exchange_strong(&shared->fault_line, &none, line))
		shared->fault_error = error;
	_exit(1);
}

static const char *name_of(char buf[32], int service)
{
	snprintf(buf, 32, "org.test.s%d", service);
	return buf;
}

/* What the method "publish" puts into its file. */
static int emit_file(struct bus_service *service, __u64 number)
{
	struct bus_packet signal;
	int ret, fd = memfd_create("published", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (write(fd, &number, sizeof(number)) != sizeof(number))
		fault(errno);
	bus_fill(&signal, "published", &number, sizeof(number));
	ret = bus_emit(service, &signal, &fd, 1);
	close(fd);
	return ret;
}

static void __attribute__((noreturn)) run_service(int number)
{
	struct bus_service service;
	const struct bus_packet *call = &service.call.packet;
	struct bus_packet packet;
	unsigned int gone;
	char buf[32];
	__u64 value;
	int ret;

	ret = bus_own(&service, name_of(buf, number), 0666);
	if (ret)
		fault(ret);
	for (;;) {
		ret = bus_next(&service, &gone);
		if (ret)
			fault(ret);
		if (gone)
			continue;
		bus_fill(&packet, "", "", 0);
		memcpy(&value, call->body, sizeof(value));
		if (!bus_is_whole(&service.call) || call->len != sizeof(value)) {
			packet.status = -EBADMSG;
		} else if (!strcmp(call->member, "double")) {
			value *= 2;
			bus_fill(&packet, "", &value, sizeof(value));
		} else if (!strcmp(call->member, "watch")) {
			packet.status = bus_watch(&service);
		} else if (!strcmp(call->member, "publish")) {
			packet.status = emit_file(&service, value);
		} else {
			packet.status = -EOPNOTSUPP;
		}
		bus_answer(&service, &packet);
	}
}

/* Whether the service has ended, and not the call failed. */
static bool has_ended(int error)
{
	return error == -EPIPE || error == -ENOENT;
}

static void hear_signal(struct bus_client *bus, struct bus_peer *peer, struct client *me)
{
	struct bus_message signal;
	int ret, fds[BUS_FDS];
	__u64 value, file;

	ret = bus_listen(bus, peer, &signal, fds, (struct __kernel_timespec){ .tv_nsec = 1 });
	if (ret == -ETIME || ret == -ECANCELED || has_ended(ret))
		return;
	if (ret)
		fault(ret);
	memcpy(&value, signal.packet.body, sizeof(value));
	if (strcmp(signal.packet.member, "published") || signal.info.uid)
		fault(signal.info.uid);
	me->signals++;
	if (signal.info.fds > 1)
		fault(signal.info.fds);
	if (!signal.info.fds)
		return;
	if (pread(fds[0], &file, sizeof(file), 0) != sizeof(file) || file != value)
		fault(errno);
	close(fds[0]);
	me->files++;
}

static void call_one(struct bus_client *bus, struct bus_peer *peer, struct client *me,
		     __u32 *random)
{
	static const char * const methods[] = { "double", "double", "double", "watch", "publish" };
	const char *method = methods[ipc_random(random) % ARRAY_SIZE(methods)];
	__u64 got, value = ipc_random(random);
	struct bus_packet packet;
	struct bus_message answer;
	int ret;

	bus_fill(&packet, method, &value, sizeof(value));
	me->started++;
	ret = bus_call(bus, peer, &packet, &answer,
		       (struct __kernel_timespec){ .tv_sec = CALL_SECONDS });
	if (has_ended(ret)) {
		me->ended++;
		return;
	}
	if (ret)
		fault(ret);
	/* A service has no room for another watch. */
	if (answer.packet.status && answer.packet.status != -EAGAIN)
		fault(answer.packet.status);
	if (!strcmp(method, "double")) {
		memcpy(&got, answer.packet.body, sizeof(got));
		if (answer.packet.len != sizeof(got) || got != 2 * value)
			fault(answer.packet.len);
	}
	me->answered++;
}

static int count_fds(void)
{
	int fd, count = 0;

	for (fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void __attribute__((noreturn)) run_client(int number)
{
	struct client *me = &shared->clients[number];
	__u32 random = getpid();
	struct bus_client bus;
	struct bus_peer peer;
	char buf[32];
	int ret, i, fds;

	ipc_become((struct ipc_who){ .uid = IPC_UID, .gid = IPC_GID });
	ret = bus_open(&bus);
	if (ret)
		fault(ret);
	fds = count_fds();
	while (!shared->stop || me->answered < CALLS) {
		ret = bus_connect(&bus, name_of(buf, ipc_random(&random) % SERVICES), &peer);
		if (has_ended(ret))
			continue;
		if (ret)
			fault(ret);
		for (i = 0; i < 4; i++) {
			call_one(&bus, &peer, me, &random);
			hear_signal(&bus, &peer, me);
		}
		bus_disconnect(&bus, &peer);
	}
	if (count_fds() != fds)
		fault(count_fds());
	bus_close(&bus);
	_exit(0);
}

/* Fills what one user may have of each service: nobody waits for the answers. */
static void __attribute__((noreturn)) run_flood(int number)
{
	static struct bus_message answers[FLOOD];
	static struct io_uring_ipc_exchange exchanges[FLOOD];
	struct bus_packet packet;
	struct io_uring_sqe *sqe;
	struct bus_client bus;
	struct bus_peer peer;
	char buf[32];
	int ret, i;

	ipc_become((struct ipc_who){ .uid = IPC_OTHER_UID, .gid = IPC_OTHER_GID });
	bus_fill(&packet, "flood", "", 0);
	for (;;) {
		ret = io_uring_queue_init(2 * FLOOD, &bus.ring, 0);
		if (ret)
			fault(ret);
		ret = bus_connect(&bus, name_of(buf, number++ % SERVICES), &peer);
		for (i = 0; i < FLOOD && !ret; i++) {
			sqe = io_uring_get_sqe(&bus.ring);
			io_uring_prep_ipc_send(sqe, peer.calls, &packet, bus_size(&packet), 0, 0);
			sqe = io_uring_get_sqe(&bus.ring);
			exchanges[i] = (struct io_uring_ipc_exchange) {
				.addr = (uintptr_t)&answers[i],
				.len = sizeof(answers[i]),
			};
			io_uring_prep_ipc_call(sqe, peer.calls, &packet,
					       bus_size(&packet), 0,
					       &exchanges[i], 0);
		}
		if (!ret && io_uring_submit(&bus.ring) == 2 * FLOOD)
			shared->flooded++;
		/* With its ring, its calls end. */
		io_uring_queue_exit(&bus.ring);
	}
}

static pid_t start(void (*run)(int number), int number)
{
	pid_t pid = ipc_fork();

	if (!pid)
		run(number);
	return pid;
}

/* Kills a process, and starts the next one in its place. */
static void replace(struct __test_metadata *_metadata, pid_t *pid, void (*run)(int number),
		    int number)
{
	kill(*pid, SIGKILL);
	ASSERT_EQ(*pid, waitpid(*pid, NULL, 0));
	*pid = start(run, number);
	ASSERT_LT(0, *pid);
}

FIXTURE(bus) {
};

FIXTURE_SETUP(bus)
{
}

FIXTURE_TEARDOWN(bus)
{
}

TEST_F_TIMEOUT(bus, services_and_clients, IPC_TIMEOUT)
{
	double end = ipc_now() + ipc_env("SECONDS", 20);
	pid_t services[SERVICES], clients[CLIENTS], flood;
	long answered = 0, ended = 0, started = 0, files = 0;
	struct sched_param first = { .sched_priority = 1 };
	__u32 random = 7;
	int i, kills = 0;

	shared = ipc_shared(sizeof(*shared));
	ASSERT_NE(NULL, shared);
	/* The test gets its turn among so many; its children are as usual. */
	ASSERT_EQ(0, sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &first));
	for (i = 0; i < SERVICES; i++)
		ASSERT_LT(0, services[i] = start(run_service, i));
	for (i = 0; i < CLIENTS; i++)
		ASSERT_LT(0, clients[i] = start(run_client, i));
	ASSERT_LT(0, flood = start(run_flood, 0));

	while (ipc_now() < end && !shared->fault_line) {
		ipc_nap(20000);
		i = ipc_random(&random) % SERVICES;
		replace(_metadata, &services[i], run_service, i);
		i = ipc_random(&random) % CLIENTS;
		replace(_metadata, &clients[i], run_client, i);
		kills += 2;
	}
	shared->stop = true;
	for (i = 0; i < CLIENTS; i++)
		EXPECT_EQ(0, ipc_wait(clients[i])) TH_LOG("client %d", i);
	/* Neither a service nor the flood has failed. */
	for (i = 0; i < SERVICES; i++)
		EXPECT_EQ(0, waitpid(services[i], NULL, WNOHANG)) TH_LOG("service %d", i);
	EXPECT_EQ(0, waitpid(flood, NULL, WNOHANG));
	kill(flood, SIGKILL);
	EXPECT_EQ(128 + SIGKILL, ipc_wait(flood));
	for (i = 0; i < SERVICES; i++) {
		kill(services[i], SIGKILL);
		EXPECT_EQ(128 + SIGKILL, ipc_wait(services[i]));
	}

	EXPECT_EQ(0, shared->fault_line)
		TH_LOG("bus.c:%d: %d", shared->fault_line, shared->fault_error);
	for (i = 0; i < CLIENTS; i++) {
		const struct client *client = &shared->clients[i];

		EXPECT_LE(CALLS, client->answered);
		started += client->started;
		answered += client->answered;
		ended += client->ended;
		files += client->files;
	}
	/* A client that was killed has left one call at most. */
	EXPECT_LE(answered + ended, started);
	EXPECT_GE(answered + ended + kills / 2, started);
	EXPECT_LT(0, files);
	EXPECT_LT(0, shared->flooded);
	printf("# %ld answers, %ld calls of services that ended, %ld files, %d kills\n",
	       answered, ended, files, kills);
}

IPC_HARNESS_MAIN
