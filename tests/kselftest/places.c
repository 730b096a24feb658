// SPDX-License-Identifier: GPL-2.0
/*
 * The places for subscribers of a channel: no uid gets so many that others get
 * none, and freed places can be used again.
 */
#include "ipc_test.h"

#define ENTRIES	4
#define SIZE	64

/* The places of one uid if no other uid has any: half of all. */
#define SHARE	((IOIPC_MAX_SUBSCRIBERS - IOIPC_RESERVED_SUBSCRIBERS) / 2)

static const struct ipc_who owner = { IPC_UID, IPC_GID, 0 };
static const struct ipc_who greedy = { IPC_OTHER_UID, IPC_OTHER_GID, 0 };
static const struct ipc_who third = { IPC_OTHER_UID + 1, IPC_OTHER_GID + 1, 0 };

FIXTURE(places) {
	/* The ring belongs to root, and the channel to the owner. */
	struct io_uring ring;
	__u32 channel;
};

FIXTURE_SETUP(places)
{
	struct rlimit limit = {
		2 * IOIPC_MAX_SUBSCRIBERS, 2 * IOIPC_MAX_SUBSCRIBERS
	};
	struct io_uring_ipc_channel_create create;

	if (geteuid() || setrlimit(RLIMIT_NOFILE, &limit))
		SKIP(return, "needs to be root");
	ASSERT_EQ(0, ipc_open(&self->ring));
	create = ipc_create_args(0, ENTRIES, SIZE);
	create.mode = 0602;
	ASSERT_EQ(0, setresgid(-1, owner.gid, -1));
	ASSERT_EQ(0, setresuid(-1, owner.uid, -1));
	ASSERT_EQ(0, io_uring_ipc_channel_create(&self->ring, &create));
	ASSERT_EQ(0, setresuid(-1, 0, -1));
	ASSERT_EQ(0, setresgid(-1, 0, -1));
	self->channel = create.channel_id_out;
}

FIXTURE_TEARDOWN(places)
{
	io_uring_queue_exit(&self->ring);
}

/* Attaches until that fails; returns how often it worked, and the error. */
static int attach_all(struct io_uring *ring, __u32 channel, int *error)
{
	struct ipc_sub sub;
	int count = 0;

	while (!(*error = ipc_attach(ring, channel, IOIPC_SUB_SEND, &sub))) {
		close(sub.fd);
		count++;
	}
	return count;
}

/* The same, if the places become free only after a while. */
static int attach_late(struct io_uring *ring, __u32 channel, int count)
{
	int got = 0, error;

	ipc_poll((got += attach_all(ring, channel, &error)) >= count);
	return error == -EUSERS ? got : error;
}

/* How many more places a uid gets that has `own`, while `left` are free. */
static int share(int own, int left)
{
	int count = 0;

	while (own + count < left - count - IOIPC_RESERVED_SUBSCRIBERS)
		count++;
	return count;
}

/* A process that attaches at most `count` times, and stays until killed. */
struct crowd {
	pid_t		pid;
	int		count;
	int		error;
	_Atomic bool	complete;
};

static struct crowd *start_crowd(struct ipc_who who, __u32 channel, int most)
{
	struct crowd *crowd = ipc_shared(sizeof(*crowd));
	struct io_uring ring;
	struct ipc_sub sub;
	pid_t pid;

	if (!crowd)
		return NULL;
	pid = ipc_fork();
	if (!pid) {
		ipc_become(who);
		if (ipc_open(&ring))
			_exit(KSFT_FAIL);
		while (crowd->count < most) {
			crowd->error = ipc_attach(&ring, channel,
						  IOIPC_SUB_SEND, &sub);
			if (crowd->error)
				break;
			close(sub.fd);
			crowd->count++;
		}
		crowd->complete = true;
		for (;;)
			pause();
	}
	crowd->pid = pid;
	return pid > 0 && ipc_poll(crowd->complete) ? crowd : NULL;
}

static void end_crowd(struct crowd *crowd)
{
	kill(crowd->pid, SIGKILL);
	ipc_wait(crowd->pid);
}

TEST_F_TIMEOUT(places, a_uid_leaves_some_for_others, 2 * IPC_TIMEOUT)
{
	const int all = IOIPC_MAX_SUBSCRIBERS;
	struct crowd *first, *one[2], *second, *last;
	struct ipc_sub sub;
	int left = all;

	first = start_crowd(greedy, self->channel, all);
	ASSERT_NE(NULL, first);
	EXPECT_EQ(-EUSERS, first->error);
	EXPECT_EQ(SHARE, first->count);
	left -= first->count;

	/* The owner, root, and an unrelated user. */
	one[0] = start_crowd(owner, self->channel, 1);
	one[1] = start_crowd(third, self->channel, 1);
	ASSERT_TRUE(one[0] && one[1]);
	EXPECT_EQ(0, one[0]->error);
	EXPECT_EQ(0, one[1]->error);
	EXPECT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_SEND,
				&sub));
	left -= 3;

	/* This user gets half of the rest, and leaves some as well. */
	second = start_crowd(third, self->channel, all);
	ASSERT_NE(NULL, second);
	EXPECT_EQ(-EUSERS, second->error);
	EXPECT_EQ(share(1, left), second->count);
	left -= second->count;

	/* The owner may have all places, and then no user gets any. */
	last = start_crowd(owner, self->channel, all);
	ASSERT_NE(NULL, last);
	EXPECT_EQ(-EUSERS, last->error);
	EXPECT_EQ(left, last->count);
	EXPECT_EQ(-EUSERS, ipc_attach(&self->ring, self->channel,
				      IOIPC_SUB_SEND, &sub));

	/* The places of killed processes can be used again. */
	end_crowd(first);
	end_crowd(last);
	left = first->count + last->count;
	EXPECT_EQ(left, attach_late(&self->ring, self->channel, left));
	end_crowd(one[0]);
	end_crowd(one[1]);
	end_crowd(second);
}

/* Sends a byte, and waits until one comes back. */
static int meet(int in, int out)
{
	char byte = 0;

	return write(out, &byte, 1) == 1 && read(in, &byte, 1) == 1;
}

/* A place that was freed, in whatever way, can be taken once. */
TEST_F_TIMEOUT(places, those_given_back_can_be_used_again, 2 * IPC_TIMEOUT)
{
	__u32 *evicted = ipc_shared(sizeof(*evicted));
	int there[2], back[2], error;
	char byte;
	pid_t pid;

	ASSERT_NE(NULL, evicted);
	ASSERT_EQ(0, pipe(there));
	ASSERT_EQ(0, pipe(back));
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct io_uring ring, other;
		struct ipc_sub sub;

		ipc_become(greedy);
		ASSERT_EQ(0, ipc_open(&ring));
		ASSERT_EQ(0, ipc_open(&other));
		ASSERT_EQ(0, ipc_attach(&ring, self->channel, IOIPC_SUB_SEND,
					&sub));
		ASSERT_EQ(SHARE - 1, attach_all(&ring, self->channel, &error));
		ASSERT_EQ(-EUSERS, error);

		ASSERT_EQ(0, io_uring_ipc_channel_detach(&ring, sub.id));
		EXPECT_EQ(0, ipc_attach(&other, self->channel, IOIPC_SUB_SEND,
					&sub));
		EXPECT_EQ(0, attach_all(&ring, self->channel, &error));
		EXPECT_EQ(-EUSERS, error);

		*evicted = sub.id;
		ASSERT_TRUE(meet(there[0], back[1]));
		EXPECT_EQ(1, attach_all(&ring, self->channel, &error));
		/*
		 * Detaching an evicted subscriber does not free a second place.
		 */
		EXPECT_EQ(0, io_uring_ipc_channel_detach(&other, sub.id));
		EXPECT_EQ(0, attach_all(&ring, self->channel, &error));

		io_uring_queue_exit(&ring);
		EXPECT_EQ(SHARE, attach_late(&other, self->channel, SHARE));
		_exit(0);
	}
	/* Between the two, root evicts one of them. */
	ASSERT_EQ(0, close(back[1]));
	ASSERT_EQ(1, read(back[0], &byte, 1));
	EXPECT_EQ(0, io_uring_ipc_channel_detach(&self->ring, *evicted));
	ASSERT_EQ(1, write(there[1], &byte, 1));
	EXPECT_EQ(0, ipc_wait(pid));
	EXPECT_EQ(IOIPC_MAX_SUBSCRIBERS,
		  attach_late(&self->ring, self->channel, IOIPC_MAX_SUBSCRIBERS));
}

IPC_HARNESS_MAIN
