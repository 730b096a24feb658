// SPDX-License-Identifier: GPL-2.0
/*
 * The numbers and layouts of the ABI: this file checks those of the header when
 * it is compiled, and those of the running kernel when it runs.
 */
#include "ipc_test.h"
#include "layout.h"

_Static_assert(IOIPC_OP_SEND == 65 && IOIPC_OP_RECV == 66, "opcodes");
_Static_assert(IOIPC_REGISTER_CREATE == 38 && IOIPC_REGISTER_ATTACH == 39 &&
	       IOIPC_REGISTER_DETACH == 40 && IOIPC_REGISTER_DESTROY == 41,
	       "register commands");
_Static_assert(IOIPC_F_BROADCAST == 1 && IOIPC_F_MULTICAST == 2 &&
	       IOIPC_F_PRIVATE == 4, "flags of CREATE");
_Static_assert(IOIPC_SUB_SEND == 1 && IOIPC_SUB_RECV == 2 &&
	       IOIPC_SUB_BOTH == 3, "flags of ATTACH");

FIXTURE(abi) {
	struct io_uring ring;
};

FIXTURE_SETUP(abi)
{
	ASSERT_EQ(0, ipc_open(&self->ring));
}

FIXTURE_TEARDOWN(abi)
{
	io_uring_queue_exit(&self->ring);
}

TEST_F_TIMEOUT(abi, probe_says_supported, IPC_TIMEOUT)
{
	struct io_uring_probe *probe = io_uring_get_probe_ring(&self->ring);

	ASSERT_NE(NULL, probe);
	EXPECT_LE(IOIPC_OP_RECV, probe->last_op);
	EXPECT_TRUE(io_uring_opcode_supported(probe, IOIPC_OP_SEND));
	EXPECT_TRUE(io_uring_opcode_supported(probe, IOIPC_OP_RECV));
	io_uring_free_probe(probe);
}

/* Asks by hand.  Returns an error of the query, or the result of the entry. */
static int ask(void *data, __u32 *size, __u32 op)
{
	struct __ipc_query_hdr header = {
		.query_data = (uintptr_t)data,
		.query_op = op,
		.size = *size,
	};
	int ret;

	ret = io_uring_register(-1, __IPC_REGISTER_QUERY, &header, 0);
	*size = header.size;
	return ret ?: header.result;
}

/* The answer, and the constants of the header, which are the same today. */
TEST(query_tells_what_there_is)
{
	const struct io_uring_query_ipc want = {
		.op_send = IOIPC_OP_SEND,
		.op_recv = IOIPC_OP_RECV,
		.register_create = IOIPC_REGISTER_CREATE,
		.register_attach = IOIPC_REGISTER_ATTACH,
		.register_detach = IOIPC_REGISTER_DETACH,
		.register_destroy = IOIPC_REGISTER_DESTROY,
		.channel_flags = 31,
		.subscriber_flags = 15,
		.send_flags = 127,
		.recv_flags = 511,
		.channel_ext_size = sizeof(struct io_uring_ipc_channel_ext),
		.attach_ext_size = sizeof(struct io_uring_ipc_attach_ext),
		.ring_version = IOIPC_RING_VERSION_LARGE,
		.max_ring_entries = IOIPC_MAX_RING_ENTRIES,
		.max_msg_size = IOIPC_MAX_MSG_SIZE,
		.max_subscribers = IOIPC_MAX_SUBSCRIBERS,
		.reserved_subscribers = IOIPC_RESERVED_SUBSCRIBERS,
		.max_vec = IOIPC_MAX_VEC,
		.max_name = IOIPC_MAX_NAME,
		.max_large_msg_size = IOIPC_MAX_LARGE_MSG_SIZE,
	};
	struct io_uring_query_ipc got;

	memset(&got, 0xff, sizeof(got));
	ASSERT_EQ(0, io_uring_ipc_query(&got));
	EXPECT_EQ(0, memcmp(&want, &got, sizeof(got)));
}

/* A program that knows more or less than the kernel. */
TEST(query_of_every_size)
{
	enum { LONGEST = 4096 };
	unsigned char *data = (void *)ipc_pages(1);
	struct io_uring_query_ipc whole;
	__u32 size, len, i;

	ASSERT_NE(NULL, data);
	ASSERT_EQ(0, io_uring_ipc_query(&whole));
	for (len = 1; len <= 512; len++) {
		memset(data, 0xa5, LONGEST);
		size = len;
		ASSERT_EQ(0, ask(data, &size, IOIPC_QUERY));
		EXPECT_EQ(len < sizeof(whole) ? len : sizeof(whole), size);
		EXPECT_EQ(0, memcmp(data, &whole, size));
		for (i = size; i < len; i++)
			ASSERT_EQ(0, data[i]);
		for (; i < 600; i++)
			ASSERT_EQ(0xa5, data[i]);
	}
	size = LONGEST;
	EXPECT_EQ(0, ask(data, &size, IOIPC_QUERY));
	size = LONGEST + 1;
	EXPECT_EQ(-E2BIG, ask(data, &size, IOIPC_QUERY));
	size = 0;
	EXPECT_EQ(-EINVAL, ask(data, &size, IOIPC_QUERY));
	size = sizeof(whole);
	EXPECT_EQ(-EFAULT, ask(NULL, &size, IOIPC_QUERY));
	size = sizeof(whole);
	EXPECT_EQ(-EFAULT, ask((void *)0xffff888000000000, &size, IOIPC_QUERY));
	size = sizeof(whole);
	EXPECT_EQ(-EOPNOTSUPP, ask(data, &size, IOIPC_QUERY + 1));
}

/* The flags of the answer are all that there are. */
TEST_F_TIMEOUT(abi, query_knows_all_flags, IPC_TIMEOUT)
{
	struct io_uring_query_ipc query;
	struct ipc_sub sub;
	__u32 channel, bit;

	ASSERT_EQ(0, io_uring_ipc_query(&query));
	ASSERT_EQ(0, ipc_create(&self->ring, IOIPC_F_BROADCAST, 4, 64, &channel));
	for (bit = 1; bit; bit <<= 1) {
		/* A known flag is valid with one of these. */
		bool create = !ipc_create(&self->ring, bit, 4, 64, &channel) ||
			      !ipc_create(&self->ring, bit | IOIPC_F_BROADCAST,
					  4, 64, &channel);
		bool attach;

		EXPECT_EQ(!!(query.channel_flags & bit), create);
		ASSERT_EQ(0, ipc_create(&self->ring, IOIPC_F_BROADCAST, 4, 64,
					&channel));
		attach = !ipc_attach(&self->ring, channel, bit | IOIPC_SUB_RECV,
				     &sub);
		EXPECT_EQ(!!(query.subscriber_flags & bit), attach);
	}
}

TEST_F_TIMEOUT(abi, header_of_a_new_channel, IPC_TIMEOUT)
{
	static const struct {
		__u32 entries, size, data_stride;
	} shapes[] = {
		{ 1, 1, 64 },
		{ 2, 63, 64 },
		{ 8, 64, 64 },
		{ 8, 65, 128 },
		{ 16, 4096, 4096 },
		{ 64, 4097, 4160 },
		{ 4, IOIPC_MAX_MSG_SIZE, IOIPC_MAX_MSG_SIZE },
		{ IOIPC_MAX_RING_ENTRIES, 1, 64 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(shapes); i++) {
		__u32 entries = shapes[i].entries;
		const struct io_uring_ipc_ring *map;
		struct ipc_sub sub;
		__u32 channel;

		ASSERT_EQ(0, ipc_create(&self->ring, 0, entries, shapes[i].size,
					&channel));
		ASSERT_EQ(0, ipc_attach(&self->ring, channel, IOIPC_SUB_RECV,
					&sub));
		map = ipc_region(&sub);
		ASSERT_NE(NULL, map);

		EXPECT_EQ(0, map->producer.head);
		EXPECT_EQ(0, map->producer.tail);
		EXPECT_EQ(0, map->consumer.head);
		EXPECT_EQ(entries - 1, map->ring_mask);
		EXPECT_EQ(entries, map->ring_entries);
		EXPECT_EQ(shapes[i].size, map->max_msg_size);
		EXPECT_EQ(IOIPC_RING_VERSION, map->version);
		EXPECT_EQ(offsetof(struct io_uring_ipc_ring, msgs),
			  map->desc_offset);
		EXPECT_EQ(sizeof(struct io_uring_ipc_msg_desc),
			  map->desc_stride);
		EXPECT_EQ(shapes[i].data_stride, map->data_stride);
		EXPECT_EQ(0, map->data_offset % 64);
		EXPECT_LE(map->desc_offset + entries * map->desc_stride,
			  map->data_offset);
		EXPECT_LE((__u64)map->data_offset +
			  (__u64)entries * map->data_stride,
			  sub.region_size);
		EXPECT_EQ(0, map->cursor_offset);
		EXPECT_EQ(0, map->reserved[0] | map->reserved[1] |
			  map->reserved[2]);

		EXPECT_EQ(0, munmap((void *)map, sub.region_size));
		EXPECT_EQ(0, close(sub.fd));
		EXPECT_EQ(0, io_uring_ipc_channel_destroy(&self->ring,
							  channel));
	}
}

/* Checks every field of every slot, for two rounds through the ring. */
TEST_F_TIMEOUT(abi, descriptors_describe_the_messages, IPC_TIMEOUT)
{
	const struct io_uring_ipc_msg_desc *desc;
	const struct io_uring_ipc_ring *map;
	struct ipc_sub sender, receiver;
	__u32 channel, position, target;
	char buf[100];

	ASSERT_EQ(0, ipc_create(&self->ring, 0, 4, sizeof(buf), &channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, channel, IOIPC_SUB_SEND, &sender));
	ASSERT_EQ(0, ipc_attach(&self->ring, channel, IOIPC_SUB_RECV,
				&receiver));
	map = ipc_region(&receiver);
	ASSERT_NE(NULL, map);

	for (position = 0; position < 8; position++) {
		__u32 len = position * 14;

		desc = &map->msgs[position & map->ring_mask];
		EXPECT_EQ(ipc_desc(map, position), desc);
		EXPECT_NE(position + 1, ipc_seq(map, position));

		target = position % 2 ? receiver.id : 0;
		ipc_fill(buf, len, position);
		ASSERT_EQ(len, ipc_send_data(&self->ring, sender.id, buf, len,
					     target, 0x123456789abcdef0 +
					     position));

		EXPECT_EQ(position + 1, ipc_tail(map));
		EXPECT_EQ(position + 1, ipc_seq(map, position));
		EXPECT_EQ(IOIPC_MSG_READY, desc->state);
		EXPECT_EQ(len, desc->len);
		EXPECT_EQ(position + 1, desc->msg_id);
		EXPECT_EQ(0x123456789abcdef0 + position, desc->sender_data);
		EXPECT_EQ(sender.id, desc->sender);
		EXPECT_EQ(target, desc->target);
		EXPECT_EQ(1, desc->slots);
		EXPECT_EQ(0, desc->reserved[0] | desc->reserved[1] |
			  desc->reserved[2] | desc->reserved[3] |
			  desc->reserved[4]);
		ASSERT_EQ(map->data_offset +
			  (position & map->ring_mask) * map->data_stride,
			  desc->offset);
		EXPECT_TRUE(ipc_filled((const char *)map + desc->offset, len,
				       position));

		memset(buf, 0, sizeof(buf));
		ASSERT_EQ(len, ipc_recv(&self->ring, receiver.id, buf,
					sizeof(buf)));
		EXPECT_TRUE(ipc_filled(buf, len, position));
		EXPECT_EQ(IOIPC_MSG_FREE, desc->state);
		EXPECT_EQ(position + 1, ipc_seq(map, position));
		EXPECT_GE((int)(position + 1 - map->consumer.head), 0);
	}
}

TEST_F_TIMEOUT(abi, unattached_sender_is_0, IPC_TIMEOUT)
{
	const struct io_uring_ipc_ring *map;
	struct ipc_sub receiver;
	__u32 channel;

	ASSERT_EQ(0, ipc_create(&self->ring, 0, 4, 64, &channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, channel, IOIPC_SUB_RECV,
				&receiver));
	map = ipc_region(&receiver);
	ASSERT_NE(NULL, map);
	ASSERT_EQ(2, ipc_send_data(&self->ring, channel, "hi", 2, 0, 7));
	EXPECT_EQ(1, ipc_seq(map, 0));
	EXPECT_EQ(0, map->msgs[0].sender);
	EXPECT_EQ(7, map->msgs[0].sender_data);
}

TEST_F_TIMEOUT(abi, destroyed_channel_is_marked, IPC_TIMEOUT)
{
	const struct io_uring_ipc_ring *map;
	struct ipc_sub receiver;
	__u32 channel;

	ASSERT_EQ(0, ipc_create(&self->ring, 0, 4, 64, &channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, channel, IOIPC_SUB_RECV,
				&receiver));
	map = ipc_region(&receiver);
	ASSERT_NE(NULL, map);
	EXPECT_EQ(0, map->producer.head);
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->ring, channel));
	EXPECT_EQ(IOIPC_RING_CLOSED, __atomic_load_n(&map->producer.head,
						     __ATOMIC_ACQUIRE));
}

TEST_HARNESS_MAIN
