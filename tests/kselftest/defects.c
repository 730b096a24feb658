// SPDX-License-Identifier: GPL-2.0
/*
 * The first version of IPC channels, an RFC, had these defects.  One test each,
 * as short as possible.  The tests of each topic go deeper.
 */
#include "uffd.h"

#define ENTRIES		8
#define MIB		(1U << 20)
#define KERNEL_MEMORY	((void *)0xffff888000000000)

static const struct ipc_who owner = { IPC_UID, IPC_GID, 0 };
static const struct ipc_who stranger = { IPC_OTHER_UID, IPC_OTHER_GID, 0 };

FIXTURE(defects) {
	struct io_uring ring;
	struct io_uring other;
};

FIXTURE_SETUP(defects)
{
	ASSERT_EQ(0, ipc_open(&self->ring));
	ASSERT_EQ(0, ipc_open(&self->other));
}

FIXTURE_TEARDOWN(defects)
{
	io_uring_queue_exit(&self->other);
	io_uring_queue_exit(&self->ring);
}

/* Creates a channel of a kind, and attaches to it first. */
static void start(struct __test_metadata *_metadata, struct io_uring *ring,
		  __u32 flags, __u32 *channel, struct ipc_sub *both)
{
	ASSERT_EQ(0, ipc_create(ring, flags, ENTRIES, 64, channel));
	ASSERT_EQ(0, ipc_attach(ring, *channel, IOIPC_SUB_BOTH, both));
}

TEST_F_TIMEOUT(defects, defect_01_kernel_memory_as_buffer, IPC_TIMEOUT)
{
	struct ipc_sub both;
	__u32 channel;

	start(_metadata, &self->ring, 0, &channel, &both);
	EXPECT_EQ(-EFAULT, ipc_send(&self->ring, both.id, KERNEL_MEMORY, 8));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, both.id));
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, both.id, 1));
	EXPECT_EQ(-EFAULT, ipc_recv(&self->ring, both.id, KERNEL_MEMORY, 8));
	EXPECT_EQ(1, ipc_recv_num(&self->ring, both.id));
}

TEST_F_TIMEOUT(defects, defect_02_anyone_destroys, IPC_TIMEOUT)
{
	struct ipc_request request = {};
	struct ipc_sub both;

	if (geteuid())
		SKIP(return, "needs to be root");
	start(_metadata, &self->ring, 0, &request.channel, &both);
	EXPECT_EQ(-EPERM, ipc_as(stranger, ipc_do_destroy, &request));
	EXPECT_EQ(IPC_NUM, ipc_send_num(&self->ring, both.id, 1));
}

/* The end of a ring must not affect objects that others have created since. */
TEST_F_TIMEOUT(defects, defect_03_stale_ids, IPC_TIMEOUT)
{
	struct io_uring victim;
	__u32 channel[100], stale, witness;
	struct ipc_sub both[100];
	int i;

	ASSERT_EQ(0, ipc_open(&victim));
	ASSERT_EQ(0, ipc_create(&victim, 0, ENTRIES, 64, &stale));
	ASSERT_EQ(0, ipc_create(&victim, 0, ENTRIES, 64, &witness));
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->ring, stale));
	for (i = 0; i < 100; i++) {
		start(_metadata, &self->ring, 0, &channel[i], &both[i]);
		EXPECT_NE(stale, channel[i]);
		EXPECT_NE(stale, both[i].id);
	}
	io_uring_queue_exit(&victim);
	EXPECT_EQ(-ENOENT, ipc_send(&self->ring, witness, NULL, 0));
	for (i = 0; i < 100; i++) {
		EXPECT_EQ(IPC_NUM, ipc_send_num(&self->ring, both[i].id, i));
		EXPECT_EQ(i, ipc_recv_num(&self->ring, both[i].id));
	}
}

TEST_F_TIMEOUT(defects, defect_04_mapping_of_freed_memory, IPC_TIMEOUT)
{
	const struct io_uring_ipc_ring *map;
	struct ipc_sub both, next;
	__u32 channel;
	int i;

	start(_metadata, &self->ring, 0, &channel, &both);
	map = ipc_region(&both);
	ASSERT_NE(NULL, map);
	ASSERT_EQ(3, ipc_send_nums(&self->ring, both.id, 0, 3));
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->ring, channel));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring, both.id));
	ASSERT_EQ(0, close(both.fd));
	/* If the memory were free, one of these channels would get it. */
	for (i = 0; i < 100; i++) {
		start(_metadata, &self->ring, 0, &channel, &next);
		ASSERT_EQ(5, ipc_send_nums(&self->ring, next.id, 0, 5));
	}
	EXPECT_EQ(3, ipc_tail(map));
	EXPECT_EQ(IOIPC_RING_CLOSED, map->producer.head);
}

TEST_F_TIMEOUT(defects, defect_05_senders_map_all_data, IPC_TIMEOUT)
{
	struct ipc_sub both, sender;
	__u32 channel;

	start(_metadata, &self->ring, 0, &channel, &both);
	ASSERT_EQ(0, ipc_attach(&self->other, channel, IOIPC_SUB_SEND,
				&sender));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, both.region_size, PROT_READ,
				   MAP_SHARED, sender.fd, 0));
	EXPECT_EQ(EACCES, errno);
}

TEST_F_TIMEOUT(defects, defect_06_late_joiner_does_not_wedge_the_ring,
	       IPC_TIMEOUT)
{
	struct ipc_sub both, late;
	__u32 channel;
	int i;

	start(_metadata, &self->ring, IOIPC_F_BROADCAST, &channel, &both);
	for (i = 0; i < 3 * ENTRIES; i++) {
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, both.id, i));
		ASSERT_EQ(i, ipc_recv_num(&self->ring, both.id));
	}
	ASSERT_EQ(0, ipc_attach(&self->other, channel, IOIPC_SUB_RECV, &late));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->other, late.id));
	for (i = 0; i < 3 * ENTRIES; i++) {
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, both.id, i));
		EXPECT_EQ(i, ipc_recv_num(&self->ring, both.id));
		EXPECT_EQ(i, ipc_recv_num(&self->other, late.id));
	}
}

/* Every request completes, and no other ring gets its completion. */
TEST_F_TIMEOUT(defects, defect_07_no_completion, IPC_TIMEOUT)
{
	struct io_uring_sqe *sqe;
	struct ipc_sub both, receiver;
	__u32 channel;
	__u64 num;

	start(_metadata, &self->ring, 0, &channel, &both);
	ASSERT_EQ(0, ipc_attach(&self->other, channel, IOIPC_SUB_RECV,
				&receiver));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->other, receiver.id));
	sqe = io_uring_get_sqe(&self->other);
	io_uring_prep_ipc_recv(sqe, receiver.id, &num, sizeof(num), 0);
	sqe->flags |= IOSQE_ASYNC;
	EXPECT_EQ(-EAGAIN, ipc_run(&self->other));
	EXPECT_EQ(IPC_NUM, ipc_send_num(&self->ring, both.id, 1));
	EXPECT_EQ(0, io_uring_cq_ready(&self->ring));
	EXPECT_EQ(0, io_uring_cq_ready(&self->other));
	EXPECT_EQ(1, ipc_recv_num(&self->other, receiver.id));
	EXPECT_EQ(0, io_uring_cq_ready(&self->other));
}

TEST_F_TIMEOUT(defects, defect_08_sleeping_with_a_slot, IPC_TIMEOUT)
{
	struct uffd_op op = { .ring = &self->other, .send = true, .len = 8 };
	struct ipc_sub both, blocked;
	struct uffd uffd = {};
	__u32 channel;
	int i;

	UFFD_OPEN(&uffd);
	start(_metadata, &self->ring, 0, &channel, &both);
	ASSERT_EQ(0, ipc_attach(&self->other, channel, IOIPC_SUB_SEND,
				&blocked));
	op.id = blocked.id;
	op.buf = uffd.mem;
	ASSERT_EQ(0, uffd_op_start(&op));
	ASSERT_TRUE(uffd_wait(&uffd));
	for (i = 0; i < 3 * ENTRIES; i++) {
		EXPECT_EQ(IPC_NUM, ipc_send_num(&self->ring, both.id, i));
		EXPECT_EQ(i, ipc_recv_num(&self->ring, both.id));
	}
	ASSERT_EQ(0, uffd_fill(&uffd, 0));
	EXPECT_EQ(8, uffd_op_result(&op));
	EXPECT_EQ(0, ipc_recv_num(&self->ring, both.id));
}

TEST_F_TIMEOUT(defects, defect_09_targets_are_only_woken, IPC_TIMEOUT)
{
	struct ipc_sub both, target;
	__u32 channel;

	start(_metadata, &self->ring, 0, &channel, &both);
	ASSERT_EQ(0, ipc_attach(&self->other, channel, IOIPC_SUB_RECV,
				&target));
	ASSERT_EQ(IPC_NUM, ipc_send_num_to(&self->ring, both.id, 1, target.id));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, both.id));
	EXPECT_EQ(1, ipc_recv_num(&self->other, target.id));
	EXPECT_EQ(-ENOENT, ipc_send_num_to(&self->ring, both.id, 2, UINT_MAX));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, both.id));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->other, target.id));
}

TEST_F_TIMEOUT(defects, defect_10_two_layouts, IPC_TIMEOUT)
{
	const struct io_uring_ipc_ring *map;
	struct ipc_sub both;
	__u32 channel;
	int i;

	start(_metadata, &self->ring, 0, &channel, &both);
	map = ipc_region(&both);
	ASSERT_NE(NULL, map);
	ASSERT_EQ(ENTRIES, ipc_send_nums(&self->ring, both.id, 0, ENTRIES));
	EXPECT_EQ((const char *)map->msgs - (const char *)map,
		  map->desc_offset);
	for (i = 0; i < ENTRIES; i++) {
		EXPECT_EQ(i + 1, map->msgs[i].seq);
		EXPECT_EQ(IPC_NUM, map->msgs[i].len);
		EXPECT_EQ(i, *((const char *)map + map->msgs[i].offset));
	}
}

TEST_F_TIMEOUT(defects, defect_11_keys_and_private, IPC_TIMEOUT)
{
	struct ipc_request request = { .flags = IOIPC_SUB_BOTH };
	__u64 key = ipc_new_key();
	__u32 channel, again;
	struct ipc_sub sub;

	ASSERT_EQ(0, ipc_create_key(&self->ring, 0, key, 0600, &channel));
	EXPECT_EQ(-EEXIST, ipc_create_key(&self->ring, 0, key, 0600, &again));
	ASSERT_EQ(0, ipc_create_key(&self->ring, 0, 0, 0600, &channel));
	EXPECT_EQ(0, ipc_create_key(&self->ring, 0, 0, 0600, &again));
	EXPECT_EQ(-ENOENT, ipc_attach_key(&self->ring, 0, IOIPC_SUB_BOTH,
					  &sub));
	if (geteuid())
		SKIP(return, "needs to be root");
	ASSERT_EQ(0, ipc_create_key(&self->ring, IOIPC_F_PRIVATE, 0, 0666,
				    &request.channel));
	EXPECT_EQ(-ENOENT, ipc_as(stranger, ipc_do_attach, &request));
}

static int create_much(void __always_unused *arg)
{
	struct rlimit limit = { .rlim_cur = 2 * MIB, .rlim_max = 2 * MIB };
	struct io_uring ring;
	__u32 channel;
	int ret;

	ret = setrlimit(RLIMIT_MEMLOCK, &limit) ? -errno : ipc_open(&ring);
	return ret ?: ipc_create(&ring, 0, 8, IOIPC_MAX_MSG_SIZE, &channel);
}

TEST_F_TIMEOUT(defects, defect_12_uncharged_memory, IPC_TIMEOUT)
{
	if (geteuid())
		SKIP(return, "needs to be root");
	EXPECT_EQ(-ENOMEM, ipc_as(owner, create_much, NULL));
}

TEST_F_TIMEOUT(defects, defect_13_lost_properties, IPC_TIMEOUT)
{
	const struct io_uring_ipc_ring *map;
	struct ipc_sub both;
	char buf[64] = {};
	__u32 channel;

	start(_metadata, &self->ring, 0, &channel, &both);
	map = ipc_region(&both);
	ASSERT_NE(NULL, map);
	ASSERT_EQ(64, ipc_send_data(&self->ring, both.id, buf, 64, 0, 4711));
	EXPECT_EQ(1, map->msgs[0].msg_id);
	EXPECT_EQ(4711, map->msgs[0].sender_data);
	EXPECT_EQ(both.id, map->msgs[0].sender);
	EXPECT_EQ(64, map->msgs[0].len);
	/* The length of a message that was cut off is still visible. */
	EXPECT_EQ(10, ipc_recv(&self->ring, both.id, buf, 10));
	EXPECT_EQ(64, map->msgs[0].len);
}

TEST_F_TIMEOUT(defects, defect_14_two_unicast_receivers, IPC_TIMEOUT)
{
	struct ipc_sub both, second;
	__u32 channel;
	int i;

	start(_metadata, &self->ring, 0, &channel, &both);
	ASSERT_EQ(0, ipc_attach(&self->other, channel, IOIPC_SUB_RECV,
				&second));
	for (i = 0; i < 5 * ENTRIES; i += 4) {
		ASSERT_EQ(4, ipc_send_nums(&self->ring, both.id, i, i + 4));
		EXPECT_EQ(i, ipc_recv_num(&self->ring, both.id));
		EXPECT_EQ(i + 1, ipc_recv_num(&self->other, second.id));
		EXPECT_EQ(i + 2, ipc_recv_num(&self->other, second.id));
		EXPECT_EQ(i + 3, ipc_recv_num(&self->ring, both.id));
		EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->other, second.id));
	}
}

/* Receives in a child process until all messages are received. */
static void receive(struct __test_metadata *_metadata, __u32 channel, int count,
		    _Atomic int *attached)
{
	struct io_uring ring;
	struct ipc_sub sub;
	int i;

	ASSERT_EQ(0, ipc_open(&ring));
	ASSERT_EQ(0, ipc_attach(&ring, channel, IOIPC_SUB_RECV, &sub));
	++*attached;
	for (i = 0; i < count; ) {
		long long num = ipc_recv_num(&ring, sub.id);

		if (num == -EAGAIN) {
			sched_yield();
			continue;
		}
		ASSERT_EQ(i, num);
		i++;
	}
}

TEST_F_TIMEOUT(defects, defect_15_head_moves_backwards, IPC_TIMEOUT)
{
	enum { COUNT = 1000, RECEIVERS = 3 };
	const struct io_uring_ipc_ring *map;
	__u32 channel, head, last = 0;
	_Atomic int *attached;
	struct ipc_sub both;
	pid_t child[RECEIVERS];
	int i, ret;

	attached = ipc_shared(sizeof(*attached));
	ASSERT_NE(NULL, attached);
	start(_metadata, &self->ring, IOIPC_F_BROADCAST, &channel, &both);
	map = ipc_region(&both);
	ASSERT_NE(NULL, map);
	for (i = 0; i < RECEIVERS; i++) {
		child[i] = ipc_fork();
		ASSERT_LE(0, child[i]);
		if (!child[i]) {
			receive(_metadata, channel, COUNT, attached);
			_exit(0);
		}
	}
	ASSERT_TRUE(ipc_poll(*attached == RECEIVERS));
	for (i = 0; i < COUNT; i++) {
		do {
			ret = ipc_send_num(&self->ring, both.id, i);
			head = __atomic_load_n(&map->consumer.head,
					       __ATOMIC_ACQUIRE);
			ASSERT_LE(0, (int)(head - last));
			ASSERT_LE(0, (int)(ipc_tail(map) - head));
			last = head;
		} while (ret == -ENOBUFS && !sched_yield());
		ASSERT_EQ(IPC_NUM, ret);
		ASSERT_EQ(i, ipc_recv_num(&self->ring, both.id));
	}
	for (i = 0; i < RECEIVERS; i++) {
		EXPECT_EQ(0, ipc_wait(child[i]));
	}
}

/* Attaches by key until told to stop. */
static void attach_always(struct __test_metadata *_metadata, __u64 key,
			  _Atomic bool *stop)
{
	struct io_uring ring;
	struct ipc_sub sub;
	int ret;

	ASSERT_EQ(0, ipc_open(&ring));
	while (!*stop) {
		ret = ipc_attach_key(&ring, key, IOIPC_SUB_RECV, &sub);
		if (ret) {
			ASSERT_EQ(-ENOENT, ret);
			continue;
		}
		ASSERT_EQ(0, close(sub.fd));
		ASSERT_EQ(0, io_uring_ipc_channel_detach(&ring, sub.id));
	}
}

TEST_F_TIMEOUT(defects, defect_16_attach_races_with_destroy, IPC_TIMEOUT)
{
	__u64 key = ipc_new_key();
	_Atomic bool *stop;
	__u32 channel;
	pid_t pid;
	int i;

	stop = ipc_shared(sizeof(*stop));
	ASSERT_NE(NULL, stop);
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		attach_always(_metadata, key, stop);
		_exit(0);
	}
	for (i = 0; i < 300; i++) {
		ASSERT_EQ(0, ipc_create_key(&self->ring, 0, key, 0600,
					    &channel));
		sched_yield();
		ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->ring,
							  channel));
	}
	*stop = true;
	EXPECT_EQ(0, ipc_wait(pid));
}

TEST_HARNESS_MAIN
