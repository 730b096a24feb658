// SPDX-License-Identifier: GPL-2.0
/*
 * What others can do to a process whose requests wait: they wake it in vain and stop
 * it.  It gets no thread by that, its requests hold no buffer, and all of them still
 * wait.
 */
#include <dirent.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include "parked.h"

/* Most requests of the victim, and how often the attacker tries. */
#define MANY_WAIT	100
#define ATTACKS		200
#define VICTIM_BUFS	128
#define VICTIM_CGROUP	"/sys/fs/cgroup/ipc_parked"

/* The victim is in the group of the channel, which may receive and send. */
static const struct ipc_who victim_user = { IPC_UID, 0, 0 };
/* All others may only send. */
static const struct ipc_who attacker_user = { IPC_UID + 1, IPC_GID, 0 };

FIXTURE(victim) {
	struct parked_channel channel;
	pid_t pid;
	/* The test writes a byte for each question, and reads an answer. */
	int ask[2];
	int answer[2];
};

/* What the victim has waiting: sends, or receives into provided buffers. */
FIXTURE_VARIANT(victim) {
	enum parked_kind kind;
	__u32 flags;
	unsigned int setup;
	int waiting;
};

#define ADD_VICTIM(name, what, mode, flavour, count)			\
	FIXTURE_VARIANT_ADD(victim, name) {				\
		.kind = what,						\
		.flags = mode,						\
		.setup = flavour,					\
		.waiting = count,					\
	}

#define ADD_VICTIMS(name, what)						\
	ADD_VICTIM(name, what, 0, 0, MANY_WAIT);			\
	ADD_VICTIM(name##_multicast, what, IOIPC_F_MULTICAST, 0,	\
		   MANY_WAIT);						\
	ADD_VICTIM(name##_broadcast, what, IOIPC_F_BROADCAST, 0,	\
		   MANY_WAIT);						\
	ADD_VICTIM(name##_defer_taskrun, what, 0, WAIT_DEFER, MANY_WAIT); \
	ADD_VICTIM(name##_sqpoll, what, 0, IORING_SETUP_SQPOLL, MANY_WAIT); \
	ADD_VICTIM(one_##name, what, 0, 0, 1);				\
	ADD_VICTIM(one_##name##_defer_taskrun, what, 0, WAIT_DEFER, 1)

ADD_VICTIMS(send, PARKED_SEND);
ADD_VICTIMS(recv, PARKED_RECV_SELECT);

/* What the victim says. */
struct answer {
	/* Requests that have completed, and how many of them failed. */
	int	completed;
	int	failed;
	/* Buffers of the group that are not used. */
	int	buffers;
};

static struct answer look(struct io_uring *ring, enum parked_kind kind)
{
	static struct answer answer;
	struct io_uring_cqe cqe;
	__u16 head = 0;

	wait_completed(ring);
	while (!wait_next(ring, &cqe, 0)) {
		answer.completed++;
		answer.failed += cqe.res != parked_result(kind);
	}
	if (parked_selects(kind))
		io_uring_buf_ring_head(ring, MSG_GROUP, &head);
	answer.buffers = VICTIM_BUFS - head;
	return answer;
}

/* The victim: its requests wait, and it looks when it is asked. */
static void be_victim(const FIXTURE_DATA(victim) *self,
		      const FIXTURE_VARIANT(victim) *variant)
{
	struct io_uring_params params = {
		.flags = variant->setup, .sq_thread_idle = 1,
	};
	bool sends = parked_is_send(variant->kind);
	struct rlimit few = { 60, 60 };
	struct msg_pool pool;
	struct io_uring ring;
	struct ipc_sub sub;
	struct answer now;
	__u64 num = 1;
	char byte;
	int i;

	ipc_become(victim_user);
	if (setrlimit(RLIMIT_NPROC, &few) ||
	    io_uring_queue_init_params(MANY_WAIT, &ring, &params) ||
	    ipc_attach(&ring, self->channel.id,
		       sends ? IOIPC_SUB_SEND : IOIPC_SUB_RECV, &sub) ||
	    (!sends && msg_pool_open(&pool, &ring, VICTIM_BUFS, PARKED_SIZE, 0)))
		_exit(KSFT_FAIL);
	for (i = 0; i < variant->waiting; i++) {
		if (sends)
			wait_get_send(&ring, sub.id, &num, i);
		else
			msg_get_select(&ring, sub.id, 0, IOIPC_RECV_WAIT);
	}
	do {
		now = look(&ring, variant->kind);
		if (write(self->answer[1], &now, sizeof(now)) != sizeof(now))
			_exit(KSFT_FAIL);
	} while (read(self->ask[0], &byte, 1) == 1);
	_exit(0);
}

/* How many threads a process has, with those that io_uring has created. */
static int threads(pid_t pid)
{
	struct dirent *entry;
	int count = 0;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)))
		count += entry->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return count;
}

static struct answer next_answer(struct __test_metadata *_metadata, int from)
{
	struct answer answer = {};

	ASSERT_EQ(sizeof(answer), read(from, &answer, sizeof(answer)));
	return answer;
}

static struct answer ask(struct __test_metadata *_metadata, int to, int from)
{
	ASSERT_EQ(1, write(to, "?", 1));
	return next_answer(_metadata, from);
}

FIXTURE_SETUP(victim)
{
	struct io_uring_ipc_channel_create create;
	struct io_uring *ring = &self->channel.ring;
	bool sends = parked_is_send(variant->kind);
	struct answer answer;

	if (geteuid())
		SKIP(return, "needs to be root");
	ASSERT_EQ(0, ipc_open(ring));
	create = ipc_create_args(variant->flags, 1, PARKED_SIZE);
	create.mode = 0662;
	ASSERT_EQ(0, io_uring_ipc_channel_create(ring, &create));
	self->channel.id = create.channel_id_out;
	self->channel.all = variant->flags & IOIPC_F_BROADCAST;
	ASSERT_EQ(0, ipc_attach(ring, self->channel.id, IOIPC_SUB_SEND,
				&self->channel.sender));
	ASSERT_EQ(0, ipc_attach(ring, self->channel.id, IOIPC_SUB_RECV,
				&self->channel.receiver));
	ASSERT_EQ(0, pipe(self->ask));
	ASSERT_EQ(0, pipe(self->answer));
	if (sends)
		ASSERT_EQ(IPC_NUM, parked_fill(&self->channel, variant->kind));
	self->pid = ipc_fork();
	ASSERT_LE(0, self->pid);
	if (!self->pid) {
		close(self->ask[1]);
		be_victim(self, variant);
	}
	answer = next_answer(_metadata, self->answer[0]);
	ASSERT_EQ(0, answer.completed);
}

FIXTURE_TEARDOWN(victim)
{
	kill(self->pid, SIGKILL);
	ipc_wait(self->pid);
	io_uring_queue_exit(&self->channel.ring);
}

/* All requests of the victim still wait, and have taken nothing. */
#define EXPECT_ALL_WAIT() do {						\
	struct answer __answer = ask(_metadata, self->ask[1],		\
				     self->answer[0]);			\
									\
	EXPECT_EQ(0, __answer.completed);				\
	EXPECT_EQ(0, __answer.failed);					\
	EXPECT_EQ(VICTIM_BUFS, __answer.buffers);			\
} while (0)

/* They do what they wait for, one for each event. */
#define EXPECT_ALL_GO_ON() do {						\
	struct answer __answer;						\
	int __i;							\
									\
	for (__i = 1; __i <= variant->waiting; __i++) {				\
		ASSERT_EQ(0, parked_go_on(&self->channel,		\
					  variant->kind, __i));		\
		ASSERT_TRUE(ipc_poll(({					\
			__answer = ask(_metadata, self->ask[1],		\
				       self->answer[0]);		\
			__answer.completed >= __i;			\
		})));							\
		ASSERT_EQ(__i, __answer.completed);			\
		ASSERT_EQ(0, __answer.failed);				\
	}								\
} while (0)

/* Whether a process sleeps now. */
static bool is_asleep(pid_t pid)
{
	char path[64], state = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");
	if (file && fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
		state = 0;
	if (file)
		fclose(file);
	return state == 'S';
}

/* How often a process has gone to sleep. */
static long sleeps(pid_t pid)
{
	char path[64], line[128];
	long count = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
		sscanf(line, "voluntary_ctxt_switches: %ld", &count);
	if (file)
		fclose(file);
	return count;
}

/*
 * Another user, who may only send: attaches and detaches for each byte, and says
 * whether that has worked.
 */
static void be_attacker(__u32 channel, int from, int to)
{
	struct io_uring ring;
	struct ipc_sub sub;
	char byte;

	ipc_become(attacker_user);
	if (ipc_open(&ring) ||
	    ipc_attach(&ring, channel, IOIPC_SUB_RECV, &sub) != -EACCES)
		_exit(KSFT_FAIL);
	while (read(from, &byte, 1) == 1) {
		if (ipc_attach(&ring, channel, IOIPC_SUB_SEND, &sub) ||
		    io_uring_ipc_channel_detach(&ring, sub.id) ||
		    close(sub.fd) || write(to, "!", 1) != 1)
			_exit(KSFT_FAIL);
	}
	_exit(0);
}

/*
 * Somebody comes and goes, and may not even receive.  The victim runs each time if it
 * is woken.
 */
TEST_F_TIMEOUT(victim, others_attach_and_detach, IPC_TIMEOUT)
{
	int before = threads(self->pid), i, attack[2], done[2];
	long slept = sleeps(self->pid);
	pid_t attacker;
	char byte;

	ASSERT_LE(0, slept);
	ASSERT_EQ(0, pipe(attack));
	ASSERT_EQ(0, pipe(done));
	attacker = ipc_fork();
	ASSERT_LE(0, attacker);
	if (!attacker) {
		close(attack[1]);
		close(done[0]);
		be_attacker(self->channel.id, attack[0], done[1]);
	}
	close(done[1]);
	for (i = 0; i < ATTACKS; i++) {
		ASSERT_EQ(1, write(attack[1], "?", 1));
		ASSERT_EQ(1, read(done[0], &byte, 1)) TH_LOG("round %d", i);
		if (variant->setup == WAIT_DEFER)
			EXPECT_ALL_WAIT();
		ASSERT_TRUE(ipc_poll(is_asleep(self->pid)));
		ASSERT_EQ(before, threads(self->pid)) TH_LOG("round %d", i);
	}
	/* It was not even woken. */
	if (variant->setup != WAIT_DEFER)
		EXPECT_GE(slept + ATTACKS / 10, sleeps(self->pid));
	close(attack[1]);
	EXPECT_EQ(0, ipc_wait(attacker));
	EXPECT_ALL_WAIT();
	EXPECT_EQ(before, threads(self->pid));
	EXPECT_ALL_GO_ON();
}

static bool is_stopped(pid_t pid)
{
	int status;

	return waitpid(pid, &status, WUNTRACED | WNOHANG | __WALL) == pid &&
	       WIFSTOPPED(status);
}

/*
 * A peer takes what the victim waits for before the victim can: with one system call
 * it receives a message and fills the slot again, or sends a message and takes it
 * back.  Returns whether both have succeeded.
 */
static bool wake_in_vain(struct parked_channel *channel, enum parked_kind kind)
{
	struct io_uring *ring = &channel->ring;
	__u64 sent = 1000, got = 0;
	struct io_uring_sqe *sqe;

	if (parked_for_room(kind))
		wait_get_recv(ring, channel->receiver.id, &got, 1)->rw_flags =
			0;
	sqe = wait_get_send(ring, channel->sender.id, &sent, 2);
	sqe->rw_flags = 0;
	if (!parked_for_room(kind)) {
		/* In a broadcast, the victim would get an own copy. */
		sqe->file_index = channel->all ? channel->receiver.id : 0;
		wait_get_recv(ring, channel->receiver.id, &got, 1)->rw_flags =
			0;
	}
	io_uring_submit(ring);
	return wait_for(ring, 1) == IPC_NUM && wait_for(ring, 2) == IPC_NUM &&
	       got == sent;
}

/* The victim is woken in vain more often than io_uring retries a request. */
static void wear_out(struct __test_metadata *_metadata,
		     FIXTURE_DATA(victim) *self,
		     const FIXTURE_VARIANT(victim) *variant)
{
	int before = threads(self->pid), i;

	for (i = 0; i < ATTACKS; i++) {
		/* This victim does not run before it is asked. */
		if (variant->setup != WAIT_DEFER) {
			ASSERT_EQ(0, kill(self->pid, SIGSTOP));
			ASSERT_TRUE(ipc_poll(is_stopped(self->pid)));
		}
		ASSERT_TRUE(wake_in_vain(&self->channel, variant->kind))
			TH_LOG("round %d", i);
		if (variant->setup != WAIT_DEFER)
			ASSERT_EQ(0, kill(self->pid, SIGCONT));
		EXPECT_ALL_WAIT();
		ASSERT_EQ(before, threads(self->pid)) TH_LOG("round %d", i);
	}
}

TEST_F_TIMEOUT(victim, others_take_what_it_waits_for, IPC_TIMEOUT)
{
	/* A thread of the kernel does not stop. */
	if (variant->setup & IORING_SETUP_SQPOLL)
		return;
	wear_out(_metadata, self, variant);
	EXPECT_ALL_GO_ON();
}

/* The process stops and goes on in each way, and its requests wait all the time. */
TEST_F_TIMEOUT(victim, is_stopped, IPC_TIMEOUT)
{
	enum { SIGNAL, SEIZED, ATTACHED, FROZEN, STOPS };
	int before = threads(self->pid), stop, status;
	char text[16];

	mkdir(VICTIM_CGROUP, 0755);
	snprintf(text, sizeof(text), "%d", self->pid);
	if (!(variant->setup & IORING_SETUP_SQPOLL))
		wear_out(_metadata, self, variant);
	for (stop = 0; stop < STOPS; stop++) {
		switch (stop) {
		case SIGNAL:
			ASSERT_EQ(0, kill(self->pid, SIGSTOP));
			ASSERT_TRUE(ipc_poll(is_stopped(self->pid)));
			break;
		case SEIZED:
			ASSERT_EQ(0, ptrace(PTRACE_SEIZE, self->pid, 0, 0));
			ASSERT_EQ(0, ptrace(PTRACE_INTERRUPT, self->pid, 0, 0));
			ASSERT_EQ(self->pid, waitpid(self->pid, &status,
						     __WALL));
			break;
		case ATTACHED:
			ASSERT_EQ(0, ptrace(PTRACE_ATTACH, self->pid, 0, 0));
			ASSERT_EQ(self->pid, waitpid(self->pid, &status,
						     __WALL));
			break;
		case FROZEN:
			if (!ipc_put(VICTIM_CGROUP "/cgroup.procs", text))
				SKIP(return, "no cgroups");
			ASSERT_TRUE(ipc_put(VICTIM_CGROUP "/cgroup.freeze",
					    "1"));
			ASSERT_TRUE(ipc_poll(ipc_get(VICTIM_CGROUP
						     "/cgroup.events",
						     "frozen") == 1));
			break;
		}
		/*
		 * It is woken meanwhile.  A frozen task runs its task work, so it
		 * may be faster.
		 */
		if (!(variant->setup & IORING_SETUP_SQPOLL) && stop != FROZEN)
			ASSERT_TRUE(wake_in_vain(&self->channel,
						 variant->kind));
		switch (stop) {
		case SIGNAL:
			ASSERT_EQ(0, kill(self->pid, SIGCONT));
			break;
		case SEIZED:
		case ATTACHED:
			ASSERT_EQ(0, ptrace(PTRACE_DETACH, self->pid, 0, 0));
			break;
		case FROZEN:
			ASSERT_TRUE(ipc_put(VICTIM_CGROUP "/cgroup.freeze",
					    "0"));
			ASSERT_TRUE(ipc_put("/sys/fs/cgroup/cgroup.procs",
					    text));
			EXPECT_TRUE(ipc_poll(!rmdir(VICTIM_CGROUP)));
			break;
		}
		EXPECT_ALL_WAIT();
		EXPECT_EQ(before, threads(self->pid)) TH_LOG("stop %d", stop);
	}
	EXPECT_ALL_GO_ON();
}

IPC_HARNESS_MAIN
