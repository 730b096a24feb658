// SPDX-License-Identifier: GPL-2.0
/*
 * The module is unloaded and loaded again, many times, while other processes
 * use it for the first time: with a new io_uring instance.  Each process either
 * has the module for as long as it needs it, or gets EOPNOTSUPP.
 *
 * UNLOAD_SECONDS=N is how long this takes, IPC_MODULE=FILE is the module.
 */
#include "module.h"
#include <pthread.h>

#define USERS	3

FIXTURE(unload) {
};

FIXTURE_SETUP(unload)
{
	if (geteuid())
		SKIP(return, "needs to be root");
	if (access(ipc_module_path(), R_OK))
		SKIP(return, "no %s", ipc_module_path());
}

/* All other tests need the module. */
FIXTURE_TEARDOWN(unload)
{
	int ret = ipc_module_load();

	EXPECT_TRUE(!ret || ret == -EEXIST);
}

struct user {
	struct __test_metadata *metadata;
	pthread_t	thread;
	/* All processes start together, in each round. */
	pthread_barrier_t *start;
	pthread_barrier_t *end;
	bool		*stop;
	__u32		random;
	/* How often there was a module, and how often there was none. */
	long		used;
	long		refused;
};

static void use_once(struct __test_metadata *_metadata, struct user *user)
{
	struct io_uring ring;
	struct ipc_sub sub;
	__u32 channel;
	int ret;

	ASSERT_EQ(0, ipc_open(&ring));
	ret = ipc_create(&ring, 0, 8, 64, &channel);
	if (ret) {
		ASSERT_EQ(-EOPNOTSUPP, ret);
		/* The module may have been loaded in the meantime. */
		ret = ipc_send_num(&ring, INT_MAX, 1);
		ASSERT_TRUE(ret == -EOPNOTSUPP || ret == -ENOENT)
			TH_LOG("sending without the module: %d", ret);
		user->refused++;
	} else {
		ASSERT_EQ(0, ipc_attach(&ring, channel, IOIPC_SUB_BOTH, &sub));
		ASSERT_EQ(IPC_NUM, ipc_send_num(&ring, sub.id, 7));
		ASSERT_EQ(7, ipc_recv_num(&ring, sub.id));
		ASSERT_EQ(0, close(sub.fd));
		user->used++;
	}
	io_uring_queue_exit(&ring);
}

static void *use(void *arg)
{
	struct user *user = arg;

	for (;;) {
		pthread_barrier_wait(user->start);
		if (*user->stop)
			return NULL;
		ipc_nap(ipc_random(&user->random) % 3000);
		use_once(user->metadata, user);
		pthread_barrier_wait(user->end);
	}
}

/* In microseconds.  On a debug kernel everything takes many times longer. */
static unsigned int any_time(__u32 *random)
{
	unsigned int most = 3000U << ipc_random(random) % 8;

	return ipc_random(random) % most;
}

TEST_F_TIMEOUT(unload, races_with_new_instances, IPC_TIMEOUT)
{
	double end = ipc_now() + ipc_env("UNLOAD_SECONDS", 3);
	long used = 0, refused = 0, unloaded = 0, in_use = 0;
	struct user users[USERS] = {};
	pthread_barrier_t barriers[2];
	__u32 random = 1;
	bool stop = false;
	int i, ret;

	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_barrier_init(&barriers[i], NULL,
						  USERS + 1));
	for (i = 0; i < USERS; i++) {
		users[i].metadata = _metadata;
		users[i].start = &barriers[0];
		users[i].end = &barriers[1];
		users[i].stop = &stop;
		users[i].random = i + 2;
		ASSERT_EQ(0, pthread_create(&users[i].thread, NULL, use,
					    &users[i]));
	}
	while (!stop) {
		pthread_barrier_wait(&barriers[0]);
		ipc_nap(any_time(&random));
		ret = ipc_module_unload();
		if (ret == -EWOULDBLOCK) {
			in_use++;
		} else {
			ASSERT_EQ(0, ret);
			unloaded++;
			ipc_nap(any_time(&random));
			ASSERT_EQ(0, ipc_module_load());
		}
		pthread_barrier_wait(&barriers[1]);

		/* The next round starts when the instances are gone. */
		ASSERT_TRUE(ipc_poll(!ipc_module_unload()));
		ASSERT_EQ(0, ipc_module_load());
		for (i = 0, used = 0, refused = 0; i < USERS; i++) {
			used += users[i].used;
			refused += users[i].refused;
		}
		/* Both must happen, however slow this machine is. */
		stop = ipc_now() > end && unloaded && in_use && used && refused;
		ASSERT_GT(end + IPC_DEADLINE, ipc_now());
	}
	pthread_barrier_wait(&barriers[0]);
	for (i = 0; i < USERS; i++)
		pthread_join(users[i].thread, NULL);
	TH_LOG("unloaded %ld times and in use %ld times, used %ld times and refused %ld times",
	       unloaded, in_use, used, refused);
}

IPC_HARNESS_MAIN
