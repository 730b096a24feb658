// SPDX-License-Identifier: GPL-2.0
/*
 * Rules for which a mutation of the module has shown that a test was missing.
 */
#include <pthread.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include "ipc_test.h"

#define ENTRIES		8
#define MIB		(1U << 20)

FIXTURE(details) {
	struct io_uring ring;
	struct io_uring other;
};

FIXTURE_SETUP(details)
{
	ASSERT_EQ(0, ipc_open(&self->ring));
	ASSERT_EQ(0, ipc_open(&self->other));
}

FIXTURE_TEARDOWN(details)
{
	io_uring_queue_exit(&self->other);
	io_uring_queue_exit(&self->ring);
}

/* For targeted.c. */
TEST_F_TIMEOUT(details, dropped_messages_are_counted, IPC_TIMEOUT)
{
	const __u32 flags[] = { 0, IOIPC_F_MULTICAST, IOIPC_F_BROADCAST };
	struct ipc_sub both, target;
	__u32 channel;
	int i;

	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, ipc_create(&self->ring, flags[i], ENTRIES, 64,
					&channel));
		ASSERT_EQ(0, ipc_attach(&self->ring, channel, IOIPC_SUB_BOTH,
					&both));
		ASSERT_EQ(0, ipc_attach(&self->ring, channel, IOIPC_SUB_RECV,
					&target));
		ASSERT_EQ(IPC_NUM, ipc_send_num_to(&self->ring, both.id, 0,
						   target.id));
		ASSERT_EQ(0, ipc_recv_num(&self->ring, target.id));
		ASSERT_EQ(IPC_NUM, ipc_send_num_to(&self->ring, both.id, 1,
						   target.id));
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, both.id, 2));
		ASSERT_EQ(IPC_NUM, ipc_send_num_to(&self->ring, both.id, 3,
						   target.id));
		EXPECT_EQ(0, ipc_fdinfo(both.fd, "ioipc-dropped"));
		ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring,
							 target.id));
		EXPECT_EQ(2, ipc_fdinfo(both.fd, "ioipc-dropped"));
		EXPECT_EQ(2, ipc_recv_num(&self->ring, both.id));
	}
}

/* For mapping.c. */
TEST_F_TIMEOUT(details, a_detached_receiver_cannot_map, IPC_TIMEOUT)
{
	struct ipc_sub sub;
	__u32 channel;

	ASSERT_EQ(0, ipc_create(&self->ring, 0, ENTRIES, 64, &channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, channel, IOIPC_SUB_RECV, &sub));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring, sub.id));
	EXPECT_EQ(NULL, ipc_region(&sub));
	EXPECT_EQ(EACCES, errno);
}

/* For churn.c: allocating the channel takes time, so the racers meet. */
struct racer {
	pthread_barrier_t *barrier;
	_Atomic int *winners;
	__u64 key;
	bool wrong;
};

static void *race(void *arg)
{
	struct racer *racer = arg;
	struct io_uring_ipc_channel_create create;
	struct io_uring ring;
	int i, ret;

	if (ipc_open(&ring))
		return "no ring";
	for (i = 0; i < 20; i++) {
		create = ipc_create_args(0, 16, MIB / 4);
		create.key = racer->key;
		pthread_barrier_wait(racer->barrier);
		ret = io_uring_ipc_channel_create(&ring, &create);
		racer->wrong |= ret && ret != -EEXIST;
		*racer->winners += !ret;
		pthread_barrier_wait(racer->barrier);
		racer->wrong |= *racer->winners != i + 1;
		if (!ret)
			io_uring_ipc_channel_destroy(&ring,
						     create.channel_id_out);
		pthread_barrier_wait(racer->barrier);
	}
	io_uring_queue_exit(&ring);
	return racer->wrong ? "wrong" : NULL;
}

TEST_F_TIMEOUT(details, one_wins_a_key_of_a_large_channel, IPC_TIMEOUT)
{
	pthread_barrier_t barrier;
	_Atomic int winners = 0;
	struct racer racer[4];
	pthread_t thread[4];
	void *error;
	int i;

	pthread_barrier_init(&barrier, NULL, 4);
	for (i = 0; i < 4; i++) {
		racer[i] = (struct racer) { &barrier, &winners, 4711, false };
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, race, &racer[i]));
	}
	for (i = 0; i < 4; i++) {
		pthread_join(thread[i], &error);
		EXPECT_EQ(NULL, error) {
			TH_LOG("%s", (char *)error);
		}
	}
}

/*
 * For targeted.c: a receiver that detaches while others send to it leaves
 * nothing.
 */
struct target {
	__u32		channel;
	_Atomic __u32	id;
	_Atomic bool	stop;
	_Atomic long	rounds;
};

static void *come_and_go(void *arg)
{
	struct target *target = arg;
	__u32 random = 1;
	struct io_uring ring;
	struct ipc_sub sub;

	if (ipc_open(&ring))
		return "no ring";
	while (!target->stop) {
		if (ipc_attach(&ring, target->channel, IOIPC_SUB_RECV, &sub))
			return "not attached";
		target->id = sub.id;
		ipc_nap(ipc_random(&random) % 200);
		if (io_uring_ipc_channel_detach(&ring, sub.id))
			return "not detached";
		close(sub.fd);
		target->rounds++;
	}
	io_uring_queue_exit(&ring);
	return NULL;
}

TEST_F_TIMEOUT(details, target_leaves_while_it_is_sent_to, IPC_TIMEOUT)
{
	double end = ipc_now() + ipc_env("RACE_SECONDS", 5);
	struct target target = {};
	struct ipc_sub both;
	long sent = 0, bad = 0;
	pthread_t thread;
	void *error;
	char *buf;
	int ret;

	buf = calloc(1, MIB / 4);
	ASSERT_NE(NULL, buf);
	ASSERT_EQ(0, ipc_create(&self->ring, 0, ENTRIES, MIB / 4,
				&target.channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, target.channel, IOIPC_SUB_BOTH,
				&both));
	ASSERT_EQ(0, pthread_create(&thread, NULL, come_and_go, &target));
	while (ipc_go_on(end, sent)) {
		ret = ipc_send_to(&self->ring, both.id, buf, MIB / 4,
				  target.id ?: UINT_MAX);
		sent += ret == MIB / 4;
		bad += ret != MIB / 4 && ret != -ENOENT && ret != -ENOBUFS;
	}
	target.stop = true;
	pthread_join(thread, &error);
	EXPECT_EQ(NULL, error);
	TH_LOG("%ld sent, %ld targets", sent, target.rounds);
	EXPECT_EQ(0, bad);
	EXPECT_LT(0, sent);
	/* All slots are free again. */
	EXPECT_EQ(ENTRIES, ipc_send_nums(&self->ring, both.id, 0, ENTRIES));
	EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->ring, both.id, 0, ENTRIES));
}

/* For memory.c. */
static long cgroup_current(const char *dir)
{
	char path[100];
	long value = -1;
	FILE *file;

	snprintf(path, sizeof(path), "%s/memory.current", dir);
	file = fopen(path, "r");
	if (file && fscanf(file, "%ld", &value) != 1)
		value = -1;
	if (file)
		fclose(file);
	return value;
}

TEST_F_TIMEOUT(details, charged_to_the_memory_cgroup, IPC_TIMEOUT)
{
	long before, after;
	__u32 channel;

	if (geteuid())
		SKIP(return, "needs to be root");
	mkdir("/tmp", 0755);
	mkdir("/tmp/ipc_cgroup", 0755);
	if (mount("none", "/tmp/ipc_cgroup", "cgroup2", 0, NULL))
		SKIP(return, "no cgroups: %s", strerror(errno));
	if (!ipc_put("/tmp/ipc_cgroup/cgroup.subtree_control", "+memory"))
		SKIP(return, "no memory cgroups");
	mkdir("/tmp/ipc_cgroup/a", 0755);
	ASSERT_TRUE(ipc_put("/tmp/ipc_cgroup/a/cgroup.procs", "0"));
	before = cgroup_current("/tmp/ipc_cgroup/a");
	ASSERT_LE(0, before);
	ASSERT_EQ(0, ipc_create(&self->ring, 0, 16, MIB, &channel));
	after = cgroup_current("/tmp/ipc_cgroup/a");
	ASSERT_TRUE(ipc_put("/tmp/ipc_cgroup/cgroup.procs", "0"));
	umount("/tmp/ipc_cgroup");
	TH_LOG("%ld, %ld", before, after);
	EXPECT_LE(16L * MIB, after - before);
}

IPC_HARNESS_MAIN
