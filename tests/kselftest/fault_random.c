// SPDX-License-Identifier: GPL-2.0
/*
 * Allocations and copies of user memory fail at random while processes send and
 * receive: each message arrives exactly once. fault_sweep.h tries each fault of
 * each operation.
 *
 * MESSAGES=N is how many messages each process sends.
 */
#include "fault_injection.h"
#include "fixture.h"
#include "messages.h"

/* Slots of the channel. */
#define ENTRIES		4
/* How many messages a vector has. */
#define MANY		3
#define PROCESSES	2
/* This many faults of each kind can be injected, to count them. */
#define FAULTS		1000000

static const char *const kinds[] = {
	"failslab", "fail_page_alloc", "fail_usercopy",
};

/*
 * Each allocation and copy of a process with make-it-fail fails with this
 * probability.
 */
static bool set_random_faults(int percent)
{
	const struct {
		const char	*file;
		int		value;
	} settings[] = {
		/*
		 * This comes first, so that no other process fails meanwhile.
		 */
		{ "task-filter", 1 },
		{ "interval", 1 },
		{ "space", 0 },
		{ "times", FAULTS },
		{ "probability", percent },
	};
	char path[80], value[16];
	size_t i, kind;

	for (kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
		for (i = 0; i < ARRAY_SIZE(settings); i++) {
			snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s",
				 kinds[kind], settings[i].file);
			snprintf(value, sizeof(value), "%d", settings[i].value);
			if (!ipc_put(path, value))
				return false;
		}
	}
	return true;
}

static long count_faults(const char *kind)
{
	char path[80];
	long left = FAULTS;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/times", kind);
	file = fopen(path, "r");
	if (!file || fscanf(file, "%ld", &left) != 1)
		left = FAULTS;
	if (file)
		fclose(file);
	return FAULTS - left;
}

/* Shared by all processes. */
struct oracle {
	/* How many receivers are attached: no process sends before all are. */
	_Atomic int	ready;
	/* A process has failed, so the others stop. */
	_Atomic bool	failed;
	/* How many messages were received. */
	_Atomic long	received;
	/* How often each message was received. */
	_Atomic unsigned char times[];
};

/*
 * Like wait_for(), on a ring with one request, for a process with faults: any
 * system call may fail, so only the completion counts.
 */
static int finish(struct io_uring *ring)
{
	double end = ipc_now() + WAIT_DEADLINE;
	struct io_uring_cqe *cqe;
	int ret;

	while (io_uring_peek_cqe(ring, &cqe)) {
		if (io_uring_sq_ready(ring))
			ret = io_uring_submit(ring);
		else
			ret = io_uring_get_events(ring);
		if (ret < 0 && !is_transient(ret))
			return IPC_NOT_RUN;
		if (ipc_now() > end)
			return IPC_HUNG;
		sched_yield();
	}
	ret = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return ret;
}

/*
 * Sends its numbers one after another, alone, or several at once. io_uring
 * cancels a request that waits if it has no memory for poll and then none for a
 * worker, see create_worker_cont() in io-wq.c.
 */
static void send_at_random(struct __test_metadata *_metadata,
			   struct oracle *oracle, __u32 channel, __u64 num,
			   __u64 end)
{
	struct iovec vec[MANY];
	struct io_uring ring;
	struct ipc_sub sub;
	__u64 nums[MANY];
	int i, sent;

	ASSERT_EQ(0, ipc_open(&ring));
	ASSERT_EQ(0, ipc_attach(&ring, channel, IOIPC_SUB_SEND, &sub));
	while (oracle->ready < PROCESSES)
		sched_yield();
	ASSERT_TRUE(ipc_put("/proc/thread-self/make-it-fail", "1"));
	while (num < end) {
		for (i = 0; i < MANY; i++) {
			nums[i] = num + i;
			vec[i] = (struct iovec) { &nums[i], sizeof(nums[i]) };
		}
		if (num % 2 && num + MANY <= end) {
			msg_get_send(&ring, sub.id, vec, MANY,
				     IOIPC_SEND_VEC | IOIPC_SEND_WAIT);
			sent = finish(&ring);
		} else {
			msg_get_send(&ring, num % 4 ? sub.id : channel, nums,
				     IPC_NUM, IOIPC_SEND_WAIT);
			sent = finish(&ring);
			sent = sent == IPC_NUM ? 1 : sent;
		}
		if (sent < 0) {
			ASSERT_TRUE(sent == -ENOMEM || sent == -EFAULT ||
				    sent == -ECANCELED)
				TH_LOG("sending fails with %d", sent);
			ASSERT_FALSE(oracle->failed);
			sent = 0;
		}
		ASSERT_GE(MANY, sent);
		num += sent;
	}
}

/*
 * Receives in all ways until it has all numbers, or all receivers together
 * have.
 */
static void receive_at_random(struct __test_metadata *_metadata,
			      struct oracle *oracle, __u32 channel,
			      bool broadcast, long count)
{
	const __u32 flags[] = {
		0, IOIPC_RECV_INFO, IOIPC_RECV_BUNDLE,
		broadcast ? IOIPC_RECV_WAIT : 0,
	};
	char buf[512] __aligned(8);
	struct msg_walk walk;
	long received = 0, round;
	__u64 next[PROCESSES] = {};
	struct io_uring ring;
	struct ipc_sub sub;
	long long num;
	__u32 flag;
	int ret;

	ASSERT_EQ(0, ipc_open(&ring));
	ASSERT_EQ(0, ipc_attach(&ring, channel, IOIPC_SUB_RECV, &sub));
	oracle->ready++;
	ASSERT_TRUE(ipc_put("/proc/thread-self/make-it-fail", "1"));
	for (round = 0; (broadcast ? received : oracle->received) < count;
	     round++) {
		flag = flags[round % ARRAY_SIZE(flags)];
		msg_get_recv(&ring, sub.id, buf, sizeof(buf), flag);
		ret = finish(&ring);
		if (ret < 0) {
			ASSERT_TRUE(ret == -EAGAIN || ret == -EFAULT ||
				    ret == -ECANCELED)
				TH_LOG("receiving fails with %d", ret);
			ASSERT_FALSE(oracle->failed);
			sched_yield();
			continue;
		}
		/* Without info, the buffer has one number and not a bundle. */
		walk = (struct msg_walk) { .buf = buf, .res = ret };
		do {
			if (flag & (IOIPC_RECV_INFO | IOIPC_RECV_BUNDLE)) {
				num = msg_next_num(&walk);
				if (num == -EAGAIN)
					break;
			} else {
				ASSERT_EQ(IPC_NUM, ret);
				memcpy(&num, buf, sizeof(num));
			}
			ASSERT_LE(0, num);
			ASSERT_GT(count, num);
			/*
			 * In a queue, another receiver may have put the message
			 * back.
			 */
			if (broadcast) {
				ASSERT_EQ(next[num * PROCESSES / count]++,
					  num % (count / PROCESSES));
			}
			oracle->times[num]++;
			oracle->received++;
			received++;
		} while (flag & IOIPC_RECV_BUNDLE);
	}
}

FIXTURE(random) {
	struct io_uring ring;
	__u32 channel;
};

FIXTURE_KINDS(random);

FIXTURE_SETUP(random)
{
	if (access("/proc/thread-self/make-it-fail", W_OK))
		SKIP(return, "this kernel has no fault injection");
	if (geteuid())
		SKIP(return, "needs to be root");
	ASSERT_TRUE(set_up_faults());
	ASSERT_TRUE(set_random_faults(5));
	ASSERT_EQ(0, ipc_open(&self->ring));
	ASSERT_EQ(0, ipc_create(&self->ring, variant->flags, ENTRIES, 64,
				&self->channel));
}

FIXTURE_TEARDOWN(random)
{
	EXPECT_TRUE(set_random_faults(0));
	io_uring_queue_exit(&self->ring);
}

TEST_F_TIMEOUT(random, exactly_once, IPC_TIMEOUT)
{
	bool broadcast = variant->flags & IOIPC_F_BROADCAST;
	long each = ipc_env("MESSAGES", 300), count = PROCESSES * each;
	int i, left, status, wrong = 0;
	struct oracle *oracle;
	size_t kind;
	pid_t pid;

	oracle = ipc_shared(sizeof(*oracle) + count);
	ASSERT_NE(NULL, oracle);
	for (i = 0; i < 2 * PROCESSES; i++) {
		pid = ipc_fork();
		ASSERT_LE(0, pid);
		if (pid)
			continue;
		if (i < PROCESSES)
			send_at_random(_metadata, oracle, self->channel,
				       i * each, (i + 1) * each);
		else
			receive_at_random(_metadata, oracle, self->channel,
					  broadcast, count);
		_exit(0);
	}
	/* A process that fails makes the others stop. */
	for (left = 2 * PROCESSES; left; left--) {
		ASSERT_LT(0, wait(&status));
		if (status)
			oracle->failed = true;
	}
	EXPECT_FALSE(oracle->failed);
	for (i = 0; i < count; i++)
		wrong += oracle->times[i] != (broadcast ? PROCESSES : 1);
	EXPECT_EQ(0, wrong);
	/*
	 * The number of allocations depends on which requests have to wait, and
	 * can be zero.  The sweeps fail each of them.
	 */
	for (kind = 0; kind < ARRAY_SIZE(kinds); kind++)
		printf("# %s: %ld faults\n", kinds[kind],
		       count_faults(kinds[kind]));
	fflush(stdout);
	EXPECT_LT(0, count_faults("fail_usercopy"));
}

IPC_HARNESS_MAIN
