// SPDX-License-Identifier: GPL-2.0
/* How channels and subscribers end, and what is left of them. */
#include "fixture.h"
#include "waiting.h"

#define ENTRIES	8

FIXTURE(life) {
	/* The ring that created the channel, and one that uses it. */
	struct io_uring creator;
	struct io_uring ring;
	__u64 key;
	__u32 channel;
	struct ipc_sub sender;
	struct ipc_sub receiver;
};

FIXTURE_KINDS(life);

FIXTURE_SETUP(life)
{
	ASSERT_EQ(0, ipc_open(&self->creator));
	ASSERT_EQ(0, ipc_open(&self->ring));
	self->key = ipc_new_key();
	ASSERT_EQ(0, ipc_create_key(&self->creator, variant->flags, self->key,
				    0600, &self->channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_SEND,
				&self->sender));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_RECV,
				&self->receiver));
}

FIXTURE_TEARDOWN(life)
{
	/* Some tests have closed one or both rings. */
	if (self->ring.ring_fd >= 0)
		io_uring_queue_exit(&self->ring);
	if (self->creator.ring_fd >= 0)
		io_uring_queue_exit(&self->creator);
}

static void close_ring(struct io_uring *ring)
{
	io_uring_queue_exit(ring);
	ring->ring_fd = -1;
}

/* Checks a channel that was just destroyed. */
static void expect_destroyed(struct __test_metadata *_metadata,
			     struct io_uring *ring, __u32 channel, __u64 key,
			     __u32 sender)
{
	struct ipc_sub sub;
	__u32 next;

	EXPECT_EQ(-EPIPE, ipc_send_num(ring, sender, 1));
	EXPECT_EQ(-ENOENT, ipc_send_num(ring, channel, 1));
	EXPECT_EQ(-ENOENT, ipc_attach(ring, channel, IOIPC_SUB_RECV, &sub));
	EXPECT_EQ(-ENOENT, ipc_attach_key(ring, key, IOIPC_SUB_RECV, &sub));
	EXPECT_EQ(-ENOENT, io_uring_ipc_channel_destroy(ring, channel));
	/* The key is free. */
	EXPECT_EQ(0, ipc_create_key(ring, 0, key, 0600, &next));
	EXPECT_NE(channel, next);
	EXPECT_EQ(0, io_uring_ipc_channel_destroy(ring, next));
}

TEST_F_TIMEOUT(life, destroy_ends_sending_at_once, IPC_TIMEOUT)
{
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->creator,
						  self->channel));
	expect_destroyed(_metadata, &self->ring, self->channel, self->key,
			 self->sender.id);
	EXPECT_EQ(-EPIPE, ipc_recv_num(&self->ring, self->receiver.id));
}

TEST_F_TIMEOUT(life, what_is_queued_can_be_received, IPC_TIMEOUT)
{
	ASSERT_EQ(5, ipc_send_nums(&self->ring, self->sender.id, 0, 5));
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->creator,
						  self->channel));
	expect_destroyed(_metadata, &self->ring, self->channel, self->key,
			 self->sender.id);
	EXPECT_EQ(5, ipc_recv_nums(&self->ring, self->receiver.id, 0, 5));
	EXPECT_EQ(-EPIPE, ipc_recv_num(&self->ring, self->receiver.id));
	EXPECT_EQ(-EPIPE, ipc_recv_num(&self->ring, self->receiver.id));
}

TEST_F_TIMEOUT(life, destroyed_and_full, IPC_TIMEOUT)
{
	ASSERT_EQ(ENTRIES, ipc_send_nums(&self->ring, self->sender.id, 0,
					 ENTRIES));
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->creator,
						  self->channel));
	/* There will never be room again. */
	EXPECT_EQ(-EPIPE, ipc_send_num(&self->ring, self->sender.id, 99));
	EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->ring, self->receiver.id, 0,
					 ENTRIES));
	EXPECT_EQ(-EPIPE, ipc_recv_num(&self->ring, self->receiver.id));
}

TEST_F_TIMEOUT(life, faulting_receiver_of_a_destroyed_channel, IPC_TIMEOUT)
{
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sender.id, 3));
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->creator,
						  self->channel));
	EXPECT_EQ(-EFAULT, ipc_recv(&self->ring, self->receiver.id, NULL, 8));
	EXPECT_EQ(3, ipc_recv_num(&self->ring, self->receiver.id));
	EXPECT_EQ(-EPIPE, ipc_recv_num(&self->ring, self->receiver.id));
}

TEST_F_TIMEOUT(life, targeted_messages_of_a_destroyed_channel, IPC_TIMEOUT)
{
	struct ipc_sub target;

	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_RECV,
				&target));
	ASSERT_EQ(IPC_NUM, ipc_send_num_to(&self->ring, self->sender.id, 1,
					   target.id));
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->creator,
						  self->channel));
	/* There is no message for this receiver. */
	EXPECT_EQ(-EPIPE, ipc_recv_num(&self->ring, self->receiver.id));
	EXPECT_EQ(1, ipc_recv_num(&self->ring, target.id));
	EXPECT_EQ(-EPIPE, ipc_recv_num(&self->ring, target.id));
}

TEST_F_TIMEOUT(life, detach_from_a_destroyed_channel, IPC_TIMEOUT)
{
	ASSERT_EQ(2, ipc_send_nums(&self->ring, self->sender.id, 0, 2));
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->creator,
						  self->channel));
	EXPECT_EQ(0, ipc_recv_num(&self->ring, self->receiver.id));
	EXPECT_EQ(0, io_uring_ipc_channel_detach(&self->ring,
						 self->receiver.id));
	EXPECT_EQ(-ENOENT, ipc_recv_num(&self->ring, self->receiver.id));
	EXPECT_EQ(0, io_uring_ipc_channel_detach(&self->ring, self->sender.id));
	EXPECT_EQ(-ENOENT, ipc_send_num(&self->ring, self->sender.id, 1));
}

TEST_F_TIMEOUT(life, end_of_the_creating_ring_destroys, IPC_TIMEOUT)
{
	ASSERT_EQ(2, ipc_send_nums(&self->ring, self->sender.id, 0, 2));
	close_ring(&self->creator);
	expect_destroyed(_metadata, &self->ring, self->channel, self->key,
			 self->sender.id);
	EXPECT_EQ(2, ipc_recv_nums(&self->ring, self->receiver.id, 0, 2));
	EXPECT_EQ(-EPIPE, ipc_recv_num(&self->ring, self->receiver.id));
}

TEST_F_TIMEOUT(life, end_of_other_rings_does_not_destroy, IPC_TIMEOUT)
{
	struct io_uring victim;
	struct ipc_sub sub;
	__u32 witness;

	ASSERT_EQ(0, ipc_open(&victim));
	ASSERT_EQ(0, ipc_attach(&victim, self->channel, IOIPC_SUB_BOTH, &sub));
	ASSERT_EQ(0, ipc_create(&victim, 0, 8, 64, &witness));
	io_uring_queue_exit(&victim);
	EXPECT_EQ(-ENOENT, ipc_send_num(&self->ring, witness, 1));
	EXPECT_EQ(ENTRIES, ipc_send_nums(&self->ring, self->sender.id, 0,
					 ENTRIES));
	EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->ring, self->receiver.id, 0,
					 ENTRIES));
}

TEST_F_TIMEOUT(life, end_of_a_process_destroys, IPC_TIMEOUT)
{
	__u64 key = ipc_new_key();
	struct ipc_sub sender;
	char byte = 0;
	int said[2];
	pid_t pid;

	ASSERT_EQ(0, pipe(said));
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct io_uring ring;
		__u32 channel;

		ASSERT_EQ(0, ipc_open(&ring));
		ASSERT_EQ(0, ipc_create_key(&ring, variant->flags, key, 0600,
					    &channel));
		ASSERT_EQ(1, write(said[1], "c", 1));
		for (;;)
			pause();
	}
	ASSERT_EQ(1, read(said[0], &byte, 1));
	ASSERT_EQ(0, ipc_attach_key(&self->ring, key, IOIPC_SUB_SEND, &sender));
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, sender.id, 1));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(128 + SIGKILL, ipc_wait(pid));
	EXPECT_EQ(-EPIPE, ipc_send_num(&self->ring, sender.id, 1));
	EXPECT_EQ(-ENOENT, ipc_attach_key(&self->ring, key, IOIPC_SUB_SEND,
					  &sender));
}

/* A ring lives as long as a process has it open. */
TEST_F_TIMEOUT(life, a_child_keeps_the_creating_ring, IPC_TIMEOUT)
{
	int quit[2];
	pid_t pid;

	ASSERT_EQ(0, pipe(quit));
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		char byte;

		close(quit[1]);
		_exit(read(quit[0], &byte, 1) != 1);
	}
	close_ring(&self->creator);
	EXPECT_EQ(ENTRIES, ipc_send_nums(&self->ring, self->sender.id, 0,
					 ENTRIES));
	EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->ring, self->receiver.id, 0,
					 ENTRIES));
	ASSERT_EQ(1, write(quit[1], "q", 1));
	EXPECT_EQ(0, ipc_wait(pid));
	EXPECT_EQ(-EPIPE, ipc_recv_num(&self->ring, self->receiver.id));
}

TEST_F_TIMEOUT(life, subscriber_outlives_its_file, IPC_TIMEOUT)
{
	ASSERT_EQ(0, close(self->sender.fd));
	ASSERT_EQ(0, close(self->receiver.fd));
	EXPECT_EQ(ENTRIES, ipc_send_nums(&self->ring, self->sender.id, 0,
					 ENTRIES));
	EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->ring, self->receiver.id, 0,
					 ENTRIES));
}

/* Only the mapping is left, and still shows the last state. */
TEST_F_TIMEOUT(life, mapping_outlives_everything, IPC_TIMEOUT)
{
	const struct io_uring_ipc_ring *map = ipc_region(&self->receiver);
	__u32 witness;
	int i;

	ASSERT_NE(NULL, map);
	ASSERT_EQ(0, ipc_create(&self->creator, 0, 1, 1, &witness));
	ASSERT_EQ(5, ipc_send_nums(&self->ring, self->sender.id, 100, 105));
	EXPECT_EQ(0, io_uring_ipc_channel_detach(&self->ring,
						 self->receiver.id));
	EXPECT_EQ(0, io_uring_ipc_channel_detach(&self->ring, self->sender.id));
	EXPECT_EQ(0, io_uring_ipc_channel_destroy(&self->creator,
						  self->channel));
	EXPECT_EQ(0, close(self->receiver.fd));
	EXPECT_EQ(0, close(self->sender.fd));
	close_ring(&self->creator);
	ASSERT_EQ(-ENOENT, ipc_send(&self->ring, witness, NULL, 0));
	/* Memory that was freed by mistake now has new contents. */
	for (i = 0; i < 32; i++) {
		__u32 other;

		ASSERT_EQ(0, ipc_create(&self->ring, 0, ENTRIES, 64, &other));
		ASSERT_EQ(5, ipc_send_nums(&self->ring, other, 200, 205));
	}

	EXPECT_EQ(IOIPC_RING_CLOSED, map->producer.head);
	EXPECT_EQ(5, ipc_tail(map));
	for (i = 0; i < 5; i++) {
		const struct io_uring_ipc_msg_desc *desc = ipc_desc(map, i);
		__u64 num;

		EXPECT_EQ(i + 1, desc->seq);
		ASSERT_EQ(sizeof(num), desc->len);
		ASSERT_EQ(map->data_offset + i * map->data_stride,
			  desc->offset);
		memcpy(&num, (char *)map + desc->offset, sizeof(num));
		EXPECT_EQ(100 + i, num);
	}
	EXPECT_EQ(0, munmap((void *)map, self->receiver.region_size));
}

#define EXPECT_FDINFO(number, sub, name)				\
	EXPECT_EQ(number, strtoul(ipc_fdinfo_text((sub).fd, name), NULL, 10))

TEST_F_TIMEOUT(life, fdinfo, IPC_TIMEOUT)
{
	static const char *const names[] = { "unicast", "broadcast", "multicast" };
	const char *mode;

	ASSERT_EQ(3, ipc_send_nums(&self->ring, self->sender.id, 0, 3));
	ASSERT_EQ(2, ipc_recv_nums(&self->ring, self->receiver.id, 0, 2));
	mode = names[variant->flags];
	EXPECT_STREQ(mode, ipc_fdinfo_text(self->sender.fd, "ioipc-mode"));
	EXPECT_STREQ(mode, ipc_fdinfo_text(self->receiver.fd, "ioipc-mode"));
	EXPECT_FDINFO(self->channel, self->sender, "ioipc-channel");
	EXPECT_FDINFO(self->channel, self->receiver, "ioipc-channel");
	EXPECT_FDINFO(self->sender.id, self->sender, "ioipc-subscriber");
	EXPECT_FDINFO(self->receiver.id, self->receiver, "ioipc-subscriber");
	EXPECT_FDINFO(3, self->sender, "ioipc-sent");
	EXPECT_FDINFO(0, self->sender, "ioipc-received");
	EXPECT_FDINFO(0, self->receiver, "ioipc-sent");
	EXPECT_FDINFO(2, self->receiver, "ioipc-received");
	EXPECT_STRNE("(none)", ipc_fdinfo_text(self->sender.fd, "ioipc-flags"));

	/* fdinfo can be read when nothing else is left of the channel. */
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->creator,
						  self->channel));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring,
						 self->receiver.id));
	EXPECT_STRNE("(no file)", ipc_fdinfo_text(self->receiver.fd, "ioipc-mode"));
}

/* A process can close the file last, or first. */
TEST_F_TIMEOUT(life, file_is_closed_last, IPC_TIMEOUT)
{
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring,
						 self->receiver.id));
	close_ring(&self->creator);
	EXPECT_EQ(-EPIPE, ipc_send_num(&self->ring, self->sender.id, 2));
	EXPECT_EQ(0, close(self->receiver.fd));
	EXPECT_EQ(0, io_uring_ipc_channel_detach(&self->ring, self->sender.id));
	EXPECT_EQ(0, close(self->sender.fd));
}

/* The module cannot be unloaded while anything of it is in use. */
TEST_F_TIMEOUT(life, module_is_in_use, IPC_TIMEOUT)
{
	const struct io_uring_ipc_ring *map = ipc_region(&self->receiver);
	int before;

	if (geteuid())
		SKIP(return, "needs to be root");
	ASSERT_NE(NULL, map);
	EXPECT_EQ(-1, syscall(__NR_delete_module, IPC_MODULE, O_NONBLOCK));
	EXPECT_EQ(EWOULDBLOCK, errno);
	before = ipc_module_refs();
	/* Without the rings, there are still the files ... */
	close_ring(&self->creator);
	close_ring(&self->ring);
	EXPECT_TRUE(ipc_poll(ipc_module_refs() <= before - 2));
	EXPECT_EQ(-1, syscall(__NR_delete_module, IPC_MODULE, O_NONBLOCK));
	EXPECT_EQ(EWOULDBLOCK, errno);
	/* ... and then the mapping. */
	EXPECT_EQ(0, close(self->sender.fd));
	EXPECT_EQ(0, close(self->receiver.fd));
	EXPECT_LT(0, ipc_module_refs());
	EXPECT_EQ(-1, syscall(__NR_delete_module, IPC_MODULE, O_NONBLOCK));
	EXPECT_EQ(EWOULDBLOCK, errno);
	EXPECT_EQ(0, map->producer.tail);
}

/*
 * A ring that has ended leaves nothing that other rings can see.  Each check
 * tries only once.
 */
FIXTURE(ended) {
	struct io_uring ring;
	__u32 channel;
	struct ipc_sub sender;
	__u64 got[4];
	__u64 num;
};

FIXTURE_VARIANT(ended) {
	unsigned int setup;
	/* The thread has registered the descriptor of the ring. */
	bool registered;
	/* The ring has requests that wait, inline and in workers. */
	bool busy;
};

FIXTURE_VARIANT_ADD(ended, plain) {
};

FIXTURE_VARIANT_ADD(ended, busy) {
	.busy = true,
};

FIXTURE_VARIANT_ADD(ended, busy_defer_taskrun) {
	.setup = WAIT_DEFER,
	.busy = true,
};

FIXTURE_VARIANT_ADD(ended, busy_sqpoll) {
	.setup = IORING_SETUP_SQPOLL,
	.busy = true,
};

FIXTURE_VARIANT_ADD(ended, busy_registered) {
	.registered = true,
	.busy = true,
};

FIXTURE_SETUP(ended)
{
	ASSERT_EQ(0, ipc_open(&self->ring));
	ASSERT_EQ(0, ipc_create(&self->ring, 0, ENTRIES, 64, &self->channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_SEND,
				&self->sender));
}

FIXTURE_TEARDOWN(ended)
{
	io_uring_queue_exit(&self->ring);
}

enum { ENDS = 30, TARGETED = 64 };

/*
 * Opens a ring.  The ring creates a channel under the key, fills it, and
 * attaches a receiver to the fixture's channel.  Returns the id of the
 * receiver.
 */
static __u32 open_to_end(struct __test_metadata *_metadata,
			 FIXTURE_DATA(ended) *self,
			 const FIXTURE_VARIANT(ended) *variant,
			 struct io_uring *ring, __u64 key)
{
	struct io_uring_params params = {
		.flags = variant->setup,
		.sq_thread_idle = 1,
	};
	struct ipc_sub receiver, own;
	__u32 channel = 0;
	int i;

	EXPECT_EQ(0, io_uring_queue_init_params(16, ring, &params));
	if (variant->registered)
		EXPECT_EQ(1, io_uring_register_ring_fd(ring));
	EXPECT_EQ(0, ipc_create_key(ring, 0, key, 0600, &channel));
	EXPECT_EQ(0, ipc_attach(ring, channel, IOIPC_SUB_SEND, &own));
	EXPECT_EQ(0, ipc_attach(ring, self->channel, IOIPC_SUB_RECV,
				&receiver));
	/* The test itself does not need these files. */
	close(own.fd);
	close(receiver.fd);
	if (!variant->busy)
		return receiver.id;
	EXPECT_EQ(8, ipc_send_nums(ring, own.id, 0, 8));
	for (i = 0; i < 4; i++) {
		wait_get_recv(ring, receiver.id, &self->got[i], i)->flags |=
			i & 1 ? IOSQE_ASYNC : 0;
		/* A request that is not attached waits with its own file. */
		wait_get_send(ring, i & 2 ? own.id : channel, &self->num, i)
			->flags |= i & 1 ? IOSQE_ASYNC : 0;
	}
	EXPECT_TRUE(wait_nothing(ring));
	return receiver.id;
}

/* The key is free and the target is gone. */
static void expect_ended(struct __test_metadata *_metadata,
			 FIXTURE_DATA(ended) *self, __u64 key, __u32 target)
{
	__u32 next;
	int i;

	ASSERT_EQ(0, ipc_create_key(&self->ring, 0, key, 0600, &next));
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->ring, next));
	for (i = 0; i < TARGETED; i++) {
		ASSERT_EQ(-ENOENT, ipc_send_num_to(&self->ring,
						   self->sender.id, i, target));
	}
}

TEST_F_TIMEOUT(ended, io_uring_queue_exit, IPC_TIMEOUT)
{
	__u64 key = ipc_new_key();
	struct io_uring ring;
	__u32 target;
	int i;

	for (i = 0; i < ENDS; i++) {
		target = open_to_end(_metadata, self, variant, &ring, key);
		io_uring_queue_exit(&ring);
		expect_ended(_metadata, self, key, target);
	}
}

/* How a process with a ring ends. */
enum end { KILLED, EXITS, EXECS };

static void end_processes(struct __test_metadata *_metadata,
			  FIXTURE_DATA(ended) *self,
			  const FIXTURE_VARIANT(ended) *variant, enum end how)
{
	__u32 *target = ipc_shared(sizeof(*target));
	__u64 key = ipc_new_key();
	int said[2], i;
	pid_t pid;

	ASSERT_NE(NULL, target);
	for (i = 0; i < ENDS; i++) {
		char byte = 0;

		ASSERT_EQ(0, pipe(said));
		pid = ipc_fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			struct io_uring ring;

			*target = open_to_end(_metadata, self, variant, &ring,
					      key);
			if (how == EXITS)
				_exit(0);
			if (how == EXECS)
				execl("/bin/sh", "sh", "-c", "exit 0", NULL);
			if (write(said[1], "r", 1) != 1)
				_exit(KSFT_FAIL);
			for (;;)
				pause();
		}
		if (how == KILLED) {
			ASSERT_EQ(1, read(said[0], &byte, 1));
			ASSERT_EQ(0, kill(pid, SIGKILL));
		}
		ASSERT_EQ(how == KILLED ? 128 + SIGKILL : 0, ipc_wait(pid));
		close(said[0]);
		close(said[1]);
		expect_ended(_metadata, self, key, *target);
	}
}

TEST_F_TIMEOUT(ended, killed, IPC_TIMEOUT)
{
	end_processes(_metadata, self, variant, KILLED);
}

TEST_F_TIMEOUT(ended, exits, IPC_TIMEOUT)
{
	end_processes(_metadata, self, variant, EXITS);
}

TEST_F_TIMEOUT(ended, execs, IPC_TIMEOUT)
{
	end_processes(_metadata, self, variant, EXECS);
}

/* A ring that parent and child share ends with the last of the two. */
TEST_F_TIMEOUT(ended, by_the_last_of_two_processes, IPC_TIMEOUT)
{
	__u64 key = ipc_new_key();
	struct io_uring ring;
	char byte = 0;
	int quit[2];
	__u32 target, next;
	pid_t pid;

	target = open_to_end(_metadata, self, variant, &ring, key);
	ASSERT_EQ(0, pipe(quit));
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(quit[1]);
		_exit(read(quit[0], &byte, 1) != 1);
	}
	io_uring_queue_exit(&ring);
	EXPECT_EQ(-EEXIST, ipc_create_key(&self->ring, 0, key, 0600, &next));
	EXPECT_EQ(IPC_NUM, ipc_send_num_to(&self->ring, self->sender.id, 7,
					   target));
	ASSERT_EQ(1, write(quit[1], "q", 1));
	EXPECT_EQ(0, ipc_wait(pid));
	expect_ended(_metadata, self, key, target);
}

IPC_HARNESS_MAIN
