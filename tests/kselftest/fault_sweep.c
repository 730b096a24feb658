// SPDX-License-Identifier: GPL-2.0
/*
 * Every fault in the operations on channels, subscribers and their files, see
 * fault_sweep.h. fault_sweep_messages.c has SEND and RECV.
 */
#include "fault_sweep.h"

/* ---- CREATE ---- */

static void prepare_create(struct __test_metadata *_metadata, struct context *c)
{
	open_with(_metadata, c);
	c->create = ipc_create_args(c->op->flags, ENTRIES, c->op->len);
	if (c->op->how & KEYED)
		c->create.key = ipc_new_key();
}

static int run_create(struct context *c)
{
	return io_uring_ipc_channel_create(c->with, &c->create);
}

static int run_create_name(struct context *c)
{
	return io_uring_ipc_channel_create_name(c->with, "another " NAME,
						&c->create);
}

static void check_create(struct __test_metadata *_metadata, struct context *c,
			 int result)
{
	struct ipc_sub sub;

	if (result) {
		if (c->create.key)
			EXPECT_EQ(-ENOENT, ipc_attach_key(&c->peer,
							  c->create.key,
							  IOIPC_SUB_BOTH, &sub));
		/* The key and the name are free, and the charged memory too. */
		ASSERT_EQ(0, c->op->run(c));
	}
	check_ids(_metadata, c, c->create.channel_id_out);

	ASSERT_EQ(0, ipc_attach(&c->peer, c->create.channel_id_out,
				IOIPC_SUB_BOTH, &sub));
	EXPECT_EQ(IPC_NUM, ipc_send_num(&c->peer, sub.id, 4711));
	EXPECT_EQ(4711, ipc_recv_num(&c->peer, sub.id));
	EXPECT_EQ(0, io_uring_ipc_channel_detach(&c->peer, sub.id));
	EXPECT_EQ(0, close(sub.fd));
	EXPECT_EQ(0, io_uring_ipc_channel_destroy(c->with,
						  c->create.channel_id_out));
	c->last_id = sub.id;
	close_with(c);
	/* A grace period later no other memory is locked. */
	if (c->op->how & LIMITED) {
		EXPECT_TRUE(ipc_poll(!ipc_create(&c->peer, 0, 1, LARGE,
						 &c->last_id)));
		EXPECT_EQ(0, io_uring_ipc_channel_destroy(&c->peer,
							  c->last_id));
	}
}

/* ---- ATTACH ---- */

static void prepare_attach(struct __test_metadata *_metadata, struct context *c)
{
	open_with(_metadata, c);
	c->attach = (struct io_uring_ipc_channel_attach) {
		.channel_id = c->channel,
		.flags = c->op->flags,
		.key = c->op->how & KEYED ? c->key : 0,
	};
	c->lowest_fd = dup(0);
	ASSERT_EQ(0, close(c->lowest_fd));
}

static int run_attach(struct context *c)
{
	return ipc_attach_args(c->with, &c->attach, &c->sub);
}

static int run_attach_name(struct context *c)
{
	int ret;

	ret = io_uring_ipc_channel_attach_name(c->with, NAME, &c->attach);
	c->sub.id = c->attach.local_id_out;
	c->sub.fd = c->attach.channel_fd;
	return ret;
}

static void check_attach(struct __test_metadata *_metadata, struct context *c,
			 int result)
{
	long long num;

	if (result) {
		c->attach.channel_fd = -1;
		ASSERT_EQ(0, c->op->run(c));
	}
	/* No other file descriptor, and no other subscriber, was left. */
	EXPECT_EQ(c->lowest_fd, c->sub.fd);
	check_ids(_metadata, c, c->sub.id);

	EXPECT_EQ(IPC_NUM, give(c));
	do {
		num = wait_recv(c->with, c->sub.id);
	} while (c->op->flags & IOIPC_SUB_HISTORY && num >= 0 && num < c->num);
	EXPECT_EQ(c->num, num);
	if (c->op->channel & IOIPC_F_BROADCAST)
		EXPECT_EQ(c->num, take(c));
	EXPECT_EQ(0, io_uring_ipc_channel_detach(c->with, c->sub.id));
	EXPECT_EQ(0, close(c->sub.fd));
	close_with(c);
}

/* ---- DETACH, DESTROY, and the end of a ring ---- */

static void prepare_detach(struct __test_metadata *_metadata, struct context *c)
{
	ASSERT_EQ(0, ipc_attach(&c->ring, c->channel, IOIPC_SUB_BOTH, &c->sub));
}

static int run_detach(struct context *c)
{
	return io_uring_ipc_channel_detach(&c->ring, c->sub.id);
}

static void check_detach(struct __test_metadata *_metadata, struct context *c,
			 int result)
{
	EXPECT_EQ(0, result);
	EXPECT_EQ(-ENOENT, run_detach(c));
	EXPECT_EQ(0, close(c->sub.fd));
}

static void prepare_destroy(struct __test_metadata *_metadata,
			    struct context *c)
{
	prepare_create(_metadata, c);
	ASSERT_EQ(0, run_create(c));
}

static int run_destroy(struct context *c)
{
	return io_uring_ipc_channel_destroy(&c->ring, c->create.channel_id_out);
}

static void check_destroy(struct __test_metadata *_metadata, struct context *c,
			  int result)
{
	EXPECT_EQ(0, result);
	EXPECT_EQ(-ENOENT, run_destroy(c));
	EXPECT_EQ(-ENOENT, ipc_attach_key(&c->ring, c->create.key,
					  IOIPC_SUB_BOTH, &c->sub));
}

/* A ring with a subscriber that waits, and with a channel. */
static void prepare_exit(struct __test_metadata *_metadata, struct context *c)
{
	prepare_destroy(_metadata, c);
	ASSERT_EQ(0, ipc_attach(c->with, c->create.channel_id_out,
				IOIPC_SUB_BOTH, &c->sub));
	ASSERT_EQ(0, close(c->sub.fd));
	wait_get_recv(c->with, c->sub.id, c->nums, 0);
	ASSERT_EQ(1, io_uring_submit(c->with));
}

static int run_exit(struct context *c)
{
	io_uring_queue_exit(c->with);
	return 0;
}

/* The channel and the subscriber of the ring are gone. */
static void check_exit(struct __test_metadata *_metadata, struct context *c,
		       int result)
{
	EXPECT_EQ(0, result);
	EXPECT_EQ(-ENOENT, ipc_send_num(&c->peer, c->create.channel_id_out, 0));
}

/* ---- mmap ---- */

/* How many mappings of channels this process has. */
static int count_mappings(void)
{
	FILE *file = fopen("/proc/self/maps", "r");
	char line[300];
	int count = 0;

	while (file && fgets(line, sizeof(line), file))
		count += !!strstr(line, "[io_uring_ipc]");
	if (file)
		fclose(file);
	return count;
}

static int map(struct context *c, size_t len, int prot, off_t offset)
{
	c->map = mmap(NULL, len, prot, MAP_SHARED, c->sub.fd, offset);
	return c->map == MAP_FAILED ? -errno : 0;
}

static int run_map(struct context *c)
{
	return map(c, c->sub.region_size, PROT_READ, 0);
}

static void check_map(struct __test_metadata *_metadata, struct context *c,
		      int result)
{
	const struct io_uring_ipc_ring *ring;

	if (result) {
		EXPECT_EQ(0, count_mappings());
		ASSERT_EQ(0, run_map(c));
	}
	EXPECT_EQ(1, count_mappings());
	ring = c->map;
	EXPECT_EQ(IOIPC_RING_VERSION, ring->version);
	EXPECT_EQ(IPC_NUM, give(c));
	EXPECT_EQ(c->num, *(__u64 *)(c->map + ipc_desc(ring, ipc_tail(ring) -
						       1)->offset));
	EXPECT_EQ(c->num, take(c));
	EXPECT_EQ(0, munmap(c->map, c->sub.region_size));
	check_detach(_metadata, c, run_detach(c));
}

/* The kernel allocates the page when it is mapped for the first time. */
static int run_map_cursor(struct context *c)
{
	return map(c, sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, 1L << 32);
}

static void check_map_cursor(struct __test_metadata *_metadata,
			     struct context *c, int result)
{
	struct io_uring_ipc_cursor *cursor;
	__u32 position;

	if (result) {
		EXPECT_EQ(0, count_mappings());
		/*
		 * The kernel has set the position at the time of the mapping.
		 */
		EXPECT_EQ(IPC_NUM, give(c));
		EXPECT_EQ(c->num, take(c));
		EXPECT_EQ(c->num, wait_recv(&c->ring, c->sub.id));
		ASSERT_EQ(0, run_map_cursor(c));
	}
	cursor = c->map;
	position = cursor->position;
	EXPECT_EQ(IPC_NUM, give(c));
	EXPECT_EQ(c->num, take(c));
	/* Storing a position consumes this message. There is none before it. */
	__atomic_store_n(&cursor->position, position + 1, __ATOMIC_RELEASE);
	EXPECT_EQ(-EAGAIN, wait_recv(&c->ring, c->sub.id));
	EXPECT_EQ(0, munmap(c->map, sysconf(_SC_PAGESIZE)));
	check_detach(_metadata, c, run_detach(c));
}

/* ---- poll, epoll, IORING_OP_POLL_ADD, fdinfo ---- */

static void prepare_poll(struct __test_metadata *_metadata, struct context *c)
{
	ASSERT_EQ(IPC_NUM, give(c));
	c->pollfd = (struct pollfd) {
		.fd = c->own.fd,
		.events = POLLIN | POLLOUT,
	};
}

static int run_poll(struct context *c)
{
	int ret = poll(&c->pollfd, 1, 0);

	return ret < 0 ? -errno : ret;
}

static void check_poll(struct __test_metadata *_metadata, struct context *c,
		       int result)
{
	if (result >= 0) {
		EXPECT_EQ(1, result);
		EXPECT_EQ(POLLIN | POLLOUT, c->pollfd.revents);
	}
	EXPECT_EQ(c->num, take(c));
}

static void prepare_epoll(struct __test_metadata *_metadata, struct context *c)
{
	prepare_poll(_metadata, c);
	c->pollfd.fd = epoll_create1(EPOLL_CLOEXEC);
	ASSERT_LE(0, c->pollfd.fd);
	c->event = (struct epoll_event) { .events = EPOLLIN | EPOLLET };
}

static int run_epoll(struct context *c)
{
	if (epoll_ctl(c->pollfd.fd, EPOLL_CTL_ADD, c->own.fd, &c->event))
		return -errno;
	return 0;
}

static void check_epoll(struct __test_metadata *_metadata, struct context *c,
			int result)
{
	if (result)
		EXPECT_EQ(0, run_epoll(c));
	EXPECT_EQ(1, epoll_wait(c->pollfd.fd, &c->event, 1, 0));
	EXPECT_EQ(EPOLLIN, c->event.events);
	EXPECT_EQ(0, epoll_wait(c->pollfd.fd, &c->event, 1, 0));
	/* The epoll instance reports the next message. */
	EXPECT_EQ(IPC_NUM, give(c));
	EXPECT_EQ(1, epoll_wait(c->pollfd.fd, &c->event, 1, 0));
	EXPECT_EQ(c->num - 1, take(c));
	EXPECT_EQ(c->num, take(c));
	EXPECT_EQ(0, close(c->pollfd.fd));
}

static void prepare_poll_add(struct __test_metadata *_metadata,
			     struct context *c)
{
	struct io_uring_sqe *sqe;

	open_with(_metadata, c);
	sqe = wait_get_sqe(c->with);
	c->data = wait_new_data();
	io_uring_prep_poll_add(sqe, c->own.fd, POLLIN);
	io_uring_sqe_set_data64(sqe, c->data);
}

static void check_poll_add(struct __test_metadata *_metadata,
			   struct context *c, int result)
{
	if (result >= 0)
		EXPECT_EQ(POLLIN, result);
	EXPECT_EQ(c->num, take(c));
}

static void prepare_nothing(struct __test_metadata *_metadata,
			    struct context *c)
{
	open_with(_metadata, c);
}

/* Opens and reads the file; reading less than the whole file is an error. */
static int run_fdinfo(struct context *c)
{
	char path[64];
	ssize_t len;
	int fd, ret;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", c->own.fd);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return -errno;
	len = read(fd, c->text, sizeof(c->text) - 1);
	ret = len < 0 ? -errno : 0;
	c->text[len < 0 ? 0 : len] = 0;
	close(fd);
	return ret;
}

static void check_fdinfo(struct __test_metadata *_metadata, struct context *c,
			 int result)
{
	if (!result)
		EXPECT_NE(NULL, strstr(c->text, "\nioipc-dropped:\t0\n"));
}

/* ---- The list of operations ---- */

OPERATION(create, create, create, create, .errors = { ENOMEM, EFAULT }, .len = 64);
OPERATION(create_multicast, create, create, create, .errors = { ENOMEM, EFAULT },
	  .len = SIZE, .flags = IOIPC_F_MULTICAST, .how = KEYED);
OPERATION(create_overwrite, create, create, create, .errors = { ENOMEM, EFAULT },
	  .len = SIZE, .flags = IOIPC_F_BROADCAST | IOIPC_F_OVERWRITE,
	  .how = KEYED);
OPERATION(create_private, create, create, create, .errors = { ENOMEM, EFAULT },
	  .len = 64, .flags = IOIPC_F_PRIVATE);
OPERATION(create_first, create, create, create, .errors = { ENOMEM, EFAULT },
	  .len = 64, .how = KEYED | FRESH_RING);
OPERATION(create_named, create, create_name, create, .errors = { ENOMEM, EFAULT },
	  .len = 64, .how = KEYED);
OPERATION(create_limited, create, create, create, .errors = { ENOMEM, EFAULT },
	  .len = SIZE, .how = LIMITED);

OPERATION(attach, attach, attach, attach, .errors = { ENOMEM, EFAULT },
	  .flags = IOIPC_SUB_BOTH);
OPERATION(attach_by_key, attach, attach, attach, .errors = { ENOMEM, EFAULT },
	  .flags = IOIPC_SUB_RECV, .how = KEYED, .channel = IOIPC_F_MULTICAST);
OPERATION(attach_by_name, attach, attach_name, attach, .errors = { ENOMEM, EFAULT },
	  .flags = IOIPC_SUB_RECV);
OPERATION(attach_history, attach, attach, attach, .errors = { ENOMEM, EFAULT },
	  .flags = IOIPC_SUB_RECV | IOIPC_SUB_HISTORY,
	  .channel = IOIPC_F_BROADCAST);
OPERATION(attach_first, attach, attach, attach, .errors = { ENOMEM, EFAULT },
	  .flags = IOIPC_SUB_BOTH, .how = FRESH_RING);

OPERATION(detach, detach, detach, detach, .how = CANNOT_FAIL);
OPERATION(destroy, destroy, destroy, destroy, .len = 64,
	  .how = KEYED | CANNOT_FAIL);
OPERATION(exit, exit, exit, exit, .len = 64, .how = FRESH_RING | CANNOT_FAIL);

OPERATION(map, detach, map, map, .errors = { ENOMEM });
OPERATION(map_cursor, detach, map_cursor, map_cursor, .errors = { ENOMEM },
	  .channel = IOIPC_F_BROADCAST);
OPERATION(poll, poll, poll, poll, .errors = { ENOMEM, EFAULT });
OPERATION(epoll, epoll, epoll, epoll, .errors = { ENOMEM, EFAULT });
OPERATION(poll_add, poll_add, recv_wait, poll_add, .errors = { ENOMEM });
OPERATION(fdinfo, nothing, fdinfo, fdinfo, .errors = { ENOMEM, EFAULT });

IPC_HARNESS_MAIN
