// SPDX-License-Identifier: GPL-2.0
/*
 * CREATE, ATTACH, DETACH and DESTROY: what they refuse, what they return, and
 * that a refused command has done nothing.
 */
#include "ipc_test.h"

FIXTURE(reg) {
	struct io_uring ring;
	/* Another ring of the same process. */
	struct io_uring other;
	__u32 channel;
};

FIXTURE_SETUP(reg)
{
	ASSERT_EQ(0, ipc_open(&self->ring));
	ASSERT_EQ(0, ipc_open(&self->other));
	ASSERT_EQ(0, ipc_create(&self->ring, 0, 8, 64, &self->channel));
}

FIXTURE_TEARDOWN(reg)
{
	io_uring_queue_exit(&self->other);
	io_uring_queue_exit(&self->ring);
}

/* Addresses without user memory. */
static void *const bad_pointers[] = {
	(void *)1,
	(void *)0x7ffffffff000,
	(void *)0x8000000000000000,
	(void *)0xffff888000000000,
	(void *)0xffffffff81000000,
	(void *)0xffffffffffffffe0,
};

TEST_F_TIMEOUT(reg, create_with_bad_flags, IPC_TIMEOUT)
{
	struct io_uring_ipc_channel_create create;
	int bit;

	for (bit = 3; bit < 32; bit++) {
		create = ipc_create_args(1U << bit, 8, 64);
		/* This is a known flag, which is valid only without BROADCAST. */
		if (create.flags == IOIPC_F_FAIR)
			goto broadcast;
		EXPECT_EQ(-EINVAL, io_uring_ipc_channel_create(&self->ring,
							       &create))
			TH_LOG("bit %d", bit);
		/* This is a known flag, which is valid only with BROADCAST. */
		if (create.flags == IOIPC_F_OVERWRITE)
			continue;
broadcast:
		create.flags |= IOIPC_F_BROADCAST;
		EXPECT_EQ(-EINVAL, io_uring_ipc_channel_create(&self->ring,
							       &create))
			TH_LOG("bit %d with BROADCAST", bit);
	}
	create = ipc_create_args(IOIPC_F_BROADCAST | IOIPC_F_MULTICAST, 8, 64);
	EXPECT_EQ(-EINVAL, io_uring_ipc_channel_create(&self->ring,
						       &create));
	create.flags |= IOIPC_F_PRIVATE;
	EXPECT_EQ(-EINVAL, io_uring_ipc_channel_create(&self->ring,
						       &create));
}

TEST_F_TIMEOUT(reg, create_with_good_flags, IPC_TIMEOUT)
{
	static const __u32 flags[] = {
		0,
		IOIPC_F_BROADCAST,
		IOIPC_F_MULTICAST,
		IOIPC_F_PRIVATE,
		IOIPC_F_PRIVATE | IOIPC_F_BROADCAST,
		IOIPC_F_PRIVATE | IOIPC_F_MULTICAST,
		IOIPC_F_FAIR,
		IOIPC_F_FAIR | IOIPC_F_MULTICAST | IOIPC_F_PRIVATE,
		IOIPC_F_BROADCAST | IOIPC_F_OVERWRITE,
		IOIPC_F_BROADCAST | IOIPC_F_OVERWRITE | IOIPC_F_PRIVATE,
	};
	__u32 channel;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		EXPECT_EQ(0, ipc_create(&self->ring, flags[i], 8, 64, &channel))
			TH_LOG("flags %u", flags[i]);
	}
}

TEST_F_TIMEOUT(reg, create_with_bad_sizes, IPC_TIMEOUT)
{
	static const struct {
		__u32 entries, size;
	} bad[] = {
		{ 0, 64 }, { 3, 64 }, { 5, 64 }, { 6, 64 }, { 7, 64 },
		{ 9, 64 }, { 100, 64 }, { 32767, 64 }, { 32769, 64 },
		{ 65536, 64 }, { 1U << 31, 64 }, { UINT_MAX, 64 },
		{ 8, 0 }, { 8, IOIPC_MAX_MSG_SIZE + 1 }, { 8, 1U << 31 },
		{ 8, UINT_MAX }, { 0, 0 },
		/* The region would be larger than INT_MAX bytes. */
		{ 2048, IOIPC_MAX_MSG_SIZE },
		{ 32768, 65536 },
		{ 32768, 65535 },
		{ 32768, IOIPC_MAX_MSG_SIZE },
	};
	struct io_uring_ipc_channel_create create;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		create = ipc_create_args(0, bad[i].entries, bad[i].size);
		EXPECT_EQ(-EINVAL, io_uring_ipc_channel_create(&self->ring,
							       &create))
			TH_LOG("%u of %u", bad[i].entries, bad[i].size);
	}
}

TEST_F_TIMEOUT(reg, create_with_every_number_of_entries, IPC_TIMEOUT)
{
	__u32 entries, channel;

	for (entries = 1; entries <= IOIPC_MAX_RING_ENTRIES; entries *= 2) {
		EXPECT_EQ(0, ipc_create(&self->ring, 0, entries, 1, &channel))
			TH_LOG("%u entries", entries);
		EXPECT_EQ(0, io_uring_ipc_channel_destroy(&self->ring,
							  channel));
	}
}

static void set_word(void *args, size_t offset, __u32 word)
{
	memcpy((char *)args + offset, &word, sizeof(word));
}

#define END_OF(args, member)						\
	(offsetof(typeof(args), member) + sizeof((args).member))

/* The words that were reserved before there were extensions: see names.c. */
TEST_F_TIMEOUT(reg, create_with_reserved_fields, IPC_TIMEOUT)
{
	struct io_uring_ipc_channel_create create;
	size_t i;

	for (i = 0; i < 3; i++) {
		create = ipc_create_args(0, 8, 64);
		set_word(&create, END_OF(create, channel_id_out) + 4 * i, 1);
		EXPECT_EQ(-EINVAL, io_uring_ipc_channel_create(&self->ring,
							       &create));
		set_word(&create, END_OF(create, channel_id_out) + 4 * i, 1U << 31);
		EXPECT_EQ(-EINVAL, io_uring_ipc_channel_create(&self->ring,
							       &create));
	}
}

TEST_F_TIMEOUT(reg, create_ignores_output_and_other_mode_bits, IPC_TIMEOUT)
{
	struct io_uring_ipc_channel_create create;

	create = ipc_create_args(0, 8, 64);
	create.channel_id_out = UINT_MAX;
	create.mode = UINT_MAX;
	EXPECT_EQ(0, io_uring_ipc_channel_create(&self->ring, &create));
	EXPECT_NE(UINT_MAX, create.channel_id_out);
	EXPECT_NE(0, create.channel_id_out);
}

TEST_F_TIMEOUT(reg, structs_need_nr_args_1, IPC_TIMEOUT)
{
	static const unsigned int bad[] = { 0, 2, 40, 48, INT_MAX, UINT_MAX };
	struct io_uring_ipc_channel_create create;
	struct io_uring_ipc_channel_attach attach = {
		.channel_id = self->channel,
		.flags = IOIPC_SUB_BOTH,
	};
	size_t i;

	create = ipc_create_args(0, 8, 64);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EINVAL, ipc_register(&self->ring,
						IOIPC_REGISTER_CREATE,
						&create, bad[i]));
		EXPECT_EQ(-EINVAL, ipc_register(&self->ring,
						IOIPC_REGISTER_ATTACH,
						&attach, bad[i]));
	}
}

TEST_F_TIMEOUT(reg, structs_must_be_readable, IPC_TIMEOUT)
{
	size_t page = sysconf(_SC_PAGESIZE);
	char *mem = ipc_pages(1);
	size_t i;
	int ret;

	ASSERT_NE(NULL, mem);
	for (i = 0; i < ARRAY_SIZE(bad_pointers); i++) {
		EXPECT_EQ(-EFAULT, ipc_register(&self->ring,
						IOIPC_REGISTER_CREATE,
						bad_pointers[i], 1));
		EXPECT_EQ(-EFAULT, ipc_register(&self->ring,
						IOIPC_REGISTER_ATTACH,
						bad_pointers[i], 1));
	}
	/* Only the first field is readable. */
	EXPECT_EQ(-EFAULT, ipc_register(&self->ring, IOIPC_REGISTER_CREATE,
					mem + page - 8, 1));
	EXPECT_EQ(-EFAULT, ipc_register(&self->ring, IOIPC_REGISTER_ATTACH,
					mem + page - 8, 1));
	/* No argument is like a bad one. */
	ret = ipc_register(&self->ring, IOIPC_REGISTER_CREATE, NULL, 1);
	EXPECT_TRUE(ret == -EINVAL || ret == -EFAULT);
	ret = ipc_register(&self->ring, IOIPC_REGISTER_ATTACH, NULL, 1);
	EXPECT_TRUE(ret == -EINVAL || ret == -EFAULT);
}

/* The results cannot be written, so nothing must have been done. */
TEST_F_TIMEOUT(reg, create_must_be_able_to_write, IPC_TIMEOUT)
{
	struct io_uring_ipc_channel_create *create = (void *)ipc_pages(1);
	size_t page = sysconf(_SC_PAGESIZE);
	int i;

	ASSERT_NE(NULL, create);
	*create = ipc_create_args(0, 8, 64);
	create->key = ipc_new_key();
	ASSERT_EQ(0, mprotect(create, page, PROT_READ));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(-EFAULT, io_uring_ipc_channel_create(&self->ring,
							       create));
	}
	ASSERT_EQ(0, mprotect(create, page, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, io_uring_ipc_channel_create(&self->ring, create));
}

TEST_F_TIMEOUT(reg, attach_must_be_able_to_write, IPC_TIMEOUT)
{
	struct io_uring_ipc_channel_attach *attach = (void *)ipc_pages(1);
	size_t page = sysconf(_SC_PAGESIZE);
	__u32 channel;
	int i, fd;

	ASSERT_NE(NULL, attach);
	ASSERT_EQ(0, ipc_create(&self->ring, IOIPC_F_BROADCAST, 1, 64,
				&channel));
	attach->channel_id = channel;
	attach->flags = IOIPC_SUB_RECV;
	fd = dup(0);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, close(fd));
	ASSERT_EQ(0, mprotect(attach, page, PROT_READ));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(-EFAULT, io_uring_ipc_channel_attach(&self->ring,
							       attach));
	}
	/* No file descriptor is left ... */
	EXPECT_EQ(fd, dup(0));
	/* ... and no receiver that would hold the only slot. */
	EXPECT_EQ(10, ipc_send_nums(&self->ring, channel, 0, 10));
}

TEST_F_TIMEOUT(reg, attach_with_bad_flags, IPC_TIMEOUT)
{
	struct ipc_sub sub;
	int bit;

	EXPECT_EQ(-EINVAL, ipc_attach(&self->ring, self->channel, 0, &sub));
	for (bit = 2; bit < 32; bit++) {
		EXPECT_EQ(-EINVAL, ipc_attach(&self->ring, self->channel,
					      1U << bit, &sub))
			TH_LOG("bit %d", bit);
		EXPECT_EQ(-EINVAL, ipc_attach(&self->ring, self->channel,
					      1U << bit | IOIPC_SUB_BOTH, &sub))
			TH_LOG("bit %d with BOTH", bit);
	}
}

TEST_F_TIMEOUT(reg, attach_with_reserved_fields, IPC_TIMEOUT)
{
	struct io_uring_ipc_channel_attach attach;
	struct ipc_sub sub;
	size_t i;

	for (i = 0; i < 3; i++) {
		memset(&attach, 0, sizeof(attach));
		attach.channel_id = self->channel;
		attach.flags = IOIPC_SUB_BOTH;
		set_word(&attach, END_OF(attach, region_size) + 4 * i, 1);
		EXPECT_EQ(-EINVAL, ipc_attach_args(&self->ring, &attach, &sub));
		set_word(&attach, END_OF(attach, region_size) + 4 * i, 1U << 31);
		EXPECT_EQ(-EINVAL, ipc_attach_args(&self->ring, &attach, &sub));
	}
}

TEST_F_TIMEOUT(reg, attach_returns_what_it_says, IPC_TIMEOUT)
{
	struct io_uring_ipc_channel_attach attach;
	__u32 flags;

	for (flags = IOIPC_SUB_SEND; flags <= IOIPC_SUB_BOTH; flags++) {
		/* The kernel ignores fields that are only for output. */
		memset(&attach, 0xff, sizeof(attach));
		attach.ext_size = 0;
		attach.ext = 0;
		attach.channel_id = self->channel;
		attach.key = 0;
		attach.flags = flags;
		ASSERT_EQ(0, io_uring_ipc_channel_attach(&self->ring, &attach));
		EXPECT_NE(0, attach.local_id_out);
		EXPECT_NE(UINT_MAX, attach.local_id_out);
		EXPECT_NE(self->channel, attach.local_id_out);
		EXPECT_EQ(0, attach.mmap_offset_out);
		EXPECT_EQ(!!(flags & IOIPC_SUB_RECV),
			  attach.region_size > 8 * 64);
		EXPECT_EQ(!(flags & IOIPC_SUB_RECV), !attach.region_size);
		EXPECT_EQ(FD_CLOEXEC, fcntl(attach.channel_fd, F_GETFD));
	}
}

TEST_F_TIMEOUT(reg, attach_to_nothing, IPC_TIMEOUT)
{
	const __u32 bad[] = { 0, INT_MAX, 1U << 31, UINT_MAX };
	struct io_uring_ipc_channel_attach attach = {
		.channel_id = self->channel,
		.flags = IOIPC_SUB_BOTH,
		.key = ipc_new_key(),
	};
	struct ipc_sub sub, none;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-ENOENT, ipc_attach(&self->ring, bad[i],
					      IOIPC_SUB_BOTH, &sub));
	}
	/* An unused key; the id is valid but is ignored. */
	EXPECT_EQ(-ENOENT, ipc_attach_args(&self->ring, &attach, &sub));
	/* The id of a subscriber is no id of a channel. */
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_BOTH,
				&sub));
	EXPECT_EQ(-ENOENT, ipc_attach(&self->ring, sub.id, IOIPC_SUB_BOTH,
				      &none));
}

TEST_F_TIMEOUT(reg, attach_without_a_file_descriptor, IPC_TIMEOUT)
{
	struct rlimit limit, none;
	struct ipc_sub sub;
	__u32 channel;

	ASSERT_EQ(0, ipc_create(&self->ring, IOIPC_F_BROADCAST, 1, 64,
				&channel));
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	none = limit;
	none.rlim_cur = 0;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
	EXPECT_EQ(-EMFILE, ipc_attach(&self->ring, channel, IOIPC_SUB_RECV,
				      &sub));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	/* No receiver is left that would hold the only slot. */
	EXPECT_EQ(10, ipc_send_nums(&self->ring, channel, 0, 10));
	EXPECT_EQ(0, ipc_attach(&self->ring, channel, IOIPC_SUB_RECV, &sub));
}

/* The files of subscribers count even if all their descriptors are closed. */
TEST_F_TIMEOUT(reg, attach_more_than_files_may_be_open, IPC_TIMEOUT)
{
	struct rlimit limit = { 64, 64 };
	struct ipc_sub sub;
	int i;

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	for (i = 0; i < 64; i++) {
		ASSERT_EQ(0, ipc_attach(&self->ring, self->channel,
					IOIPC_SUB_BOTH, &sub))
			TH_LOG("after %d", i);
		ASSERT_EQ(0, close(sub.fd));
	}
	for (i = 0; i < 10; i++) {
		struct ipc_sub none;

		EXPECT_EQ(-EMFILE, ipc_attach(&self->ring, self->channel,
					      IOIPC_SUB_BOTH, &none));
		ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring, sub.id));
		ASSERT_EQ(0, ipc_attach(&self->ring, self->channel,
					IOIPC_SUB_BOTH, &sub));
		ASSERT_EQ(0, close(sub.fd));
	}
	/* Each ring has its own limit. */
	EXPECT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_BOTH,
				&sub));
}

TEST_F_TIMEOUT(reg, attach_one_too_many, IPC_TIMEOUT)
{
	struct rlimit limit = {
		2 * IOIPC_MAX_SUBSCRIBERS, 2 * IOIPC_MAX_SUBSCRIBERS
	};
	struct ipc_sub sub = {}, last = {};
	int i;

	if (setrlimit(RLIMIT_NOFILE, &limit))
		SKIP(return, "needs RLIMIT_NOFILE of %d",
		     2 * IOIPC_MAX_SUBSCRIBERS);
	for (i = 0; i < IOIPC_MAX_SUBSCRIBERS; i++) {
		ASSERT_EQ(0, ipc_attach(&self->ring, self->channel,
					IOIPC_SUB_BOTH, &last))
			TH_LOG("after %d", i);
		ASSERT_EQ(0, close(last.fd));
	}
	EXPECT_EQ(-EUSERS, ipc_attach(&self->ring, self->channel,
				      IOIPC_SUB_SEND, &sub));
	EXPECT_EQ(-EUSERS, ipc_attach(&self->other, self->channel,
				      IOIPC_SUB_RECV, &sub));
	/* One subscriber leaves, and another one can attach. */
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring, last.id));
	EXPECT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_BOTH,
				&sub));
	EXPECT_EQ(-EUSERS, ipc_attach(&self->ring, self->channel,
				      IOIPC_SUB_RECV, &last));
	EXPECT_EQ(IPC_NUM, ipc_send_num(&self->other, sub.id, 1));
	EXPECT_EQ(1, ipc_recv_num(&self->other, sub.id));
}

TEST_F_TIMEOUT(reg, keys_find_their_channels, IPC_TIMEOUT)
{
	const __u64 base = ipc_new_key();
	const __u64 keys[] = { base, base ^ 1ULL << 63, ~base, ~0ULL, 1ULL << 32 };
	__u32 channel[ARRAY_SIZE(keys)];
	struct ipc_sub sub;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		ASSERT_EQ(0, ipc_create_key(&self->ring, 0, keys[i], 0600,
					    &channel[i]));
	}
	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		ASSERT_EQ(0, ipc_attach_key(&self->other, keys[i],
					    IOIPC_SUB_RECV, &sub));
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, channel[i], i));
		EXPECT_EQ(i, ipc_recv_num(&self->other, sub.id));
		EXPECT_EQ(0, io_uring_ipc_channel_detach(&self->other, sub.id));
	}
	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		EXPECT_EQ(0, io_uring_ipc_channel_destroy(&self->ring,
							  channel[i]));
	}
}

TEST_F_TIMEOUT(reg, a_key_wins_over_an_id, IPC_TIMEOUT)
{
	struct io_uring_ipc_channel_attach attach = {
		.channel_id = self->channel,
		.key = ipc_new_key(),
		.flags = IOIPC_SUB_RECV,
	};
	struct ipc_sub sub;
	__u32 channel;

	ASSERT_EQ(0, ipc_create_key(&self->ring, 0, attach.key, 0600,
				    &channel));
	ASSERT_EQ(0, ipc_attach_args(&self->ring, &attach, &sub));
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, channel, 1));
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->channel, 2));
	EXPECT_EQ(1, ipc_recv_num(&self->ring, sub.id));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, sub.id));
}

TEST_F_TIMEOUT(reg, keys_are_unique, IPC_TIMEOUT)
{
	__u64 key = ipc_new_key();
	__u32 first, second;

	ASSERT_EQ(0, ipc_create_key(&self->ring, 0, key, 0600, &first));
	EXPECT_EQ(-EEXIST, ipc_create_key(&self->ring, 0, key, 0600, &second));
	EXPECT_EQ(-EEXIST, ipc_create_key(&self->other, IOIPC_F_BROADCAST, key,
					  0666, &second));
	EXPECT_EQ(-EEXIST, ipc_create_key(&self->other, IOIPC_F_PRIVATE, key,
					  0600, &second));
	/* The key is free as soon as the channel is destroyed. */
	EXPECT_EQ(0, io_uring_ipc_channel_destroy(&self->ring, first));
	EXPECT_EQ(0, ipc_create_key(&self->ring, IOIPC_F_PRIVATE, key, 0600,
				    &second));
	EXPECT_NE(first, second);
	EXPECT_EQ(-EEXIST, ipc_create_key(&self->ring, 0, key, 0600, &first));
}

TEST_F_TIMEOUT(reg, key_0_is_no_key, IPC_TIMEOUT)
{
	struct ipc_sub sub;
	__u32 channel;
	int i;

	for (i = 0; i < 3; i++) {
		EXPECT_EQ(0, ipc_create_key(&self->ring, 0, 0, 0600, &channel));
	}
	/* Without a key, id 0 names no channel. */
	EXPECT_EQ(-ENOENT, ipc_attach_key(&self->ring, 0, IOIPC_SUB_BOTH,
					  &sub));
}

TEST_F_TIMEOUT(reg, detach_refuses, IPC_TIMEOUT)
{
	struct ipc_sub sub;

	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_BOTH,
				&sub));
	EXPECT_EQ(-EINVAL, ipc_register(&self->ring, IOIPC_REGISTER_DETACH,
					&sub, sub.id));
	/* No id is 0. */
	EXPECT_EQ(-EINVAL, io_uring_ipc_channel_detach(&self->ring, 0));
	EXPECT_EQ(-ENOENT, io_uring_ipc_channel_detach(&self->ring, UINT_MAX));
	EXPECT_EQ(-ENOENT, io_uring_ipc_channel_detach(&self->ring,
						       self->channel));
	EXPECT_EQ(IPC_NUM, ipc_send_num(&self->ring, sub.id, 1));

	EXPECT_EQ(0, io_uring_ipc_channel_detach(&self->ring, sub.id));
	EXPECT_EQ(-ENOENT, io_uring_ipc_channel_detach(&self->ring, sub.id));
	EXPECT_EQ(-ENOENT, ipc_send_num(&self->ring, sub.id, 1));
	EXPECT_EQ(-ENOENT, ipc_recv_num(&self->ring, sub.id));
}

TEST_F_TIMEOUT(reg, destroy_refuses, IPC_TIMEOUT)
{
	struct ipc_sub sub;

	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_BOTH,
				&sub));
	EXPECT_EQ(-EINVAL, ipc_register(&self->ring, IOIPC_REGISTER_DESTROY,
					&sub, self->channel));
	EXPECT_EQ(-EINVAL, io_uring_ipc_channel_destroy(&self->ring, 0));
	EXPECT_EQ(-ENOENT, io_uring_ipc_channel_destroy(&self->ring, UINT_MAX));
	EXPECT_EQ(-ENOENT, io_uring_ipc_channel_destroy(&self->ring, sub.id));
	EXPECT_EQ(IPC_NUM, ipc_send_num(&self->ring, sub.id, 1));

	EXPECT_EQ(0, io_uring_ipc_channel_destroy(&self->ring, self->channel));
	EXPECT_EQ(-ENOENT, io_uring_ipc_channel_destroy(&self->ring,
							self->channel));
}

TEST_F_TIMEOUT(reg, a_subscriber_belongs_to_its_ring, IPC_TIMEOUT)
{
	struct ipc_sub sub;

	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_BOTH,
				&sub));
	EXPECT_EQ(-ENOENT, ipc_send_num(&self->other, sub.id, 1));
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, sub.id, 2));
	EXPECT_EQ(-ENOENT, ipc_recv_num(&self->other, sub.id));
	EXPECT_EQ(2, ipc_recv_num(&self->ring, sub.id));
}

TEST_F_TIMEOUT(reg, ids_are_unique_and_not_reused, IPC_TIMEOUT)
{
	enum { CYCLES = 100 };
	__u32 id[2 * CYCLES];
	struct ipc_sub sub;
	int i, j;

	for (i = 0; i < CYCLES; i++) {
		ASSERT_EQ(0, ipc_create(&self->ring, 0, 1, 1, &id[2 * i]));
		ASSERT_EQ(0, ipc_attach(&self->ring, id[2 * i], IOIPC_SUB_BOTH,
					&sub));
		id[2 * i + 1] = sub.id;
		ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring, sub.id));
		ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->ring,
							  id[2 * i]));
		close(sub.fd);
	}
	for (i = 0; i < 2 * CYCLES; i++) {
		EXPECT_NE(0, id[i]);
		EXPECT_NE(self->channel, id[i]);
		for (j = 0; j < i; j++) {
			EXPECT_NE(id[j], id[i])
				TH_LOG("number %d and %d", j, i);
		}
	}
}

/* The commands accept a registered ring, like all io_uring commands. */
TEST_F_TIMEOUT(reg, registered_ring, IPC_TIMEOUT)
{
	struct io_uring_ipc_channel_create create;
	unsigned int index;
	long ret;

	ASSERT_EQ(1, io_uring_register_ring_fd(&self->ring));
	index = self->ring.enter_ring_fd;
	create = ipc_create_args(0, 8, 64);
	ret = syscall(__NR_io_uring_register, index, IOIPC_REGISTER_CREATE |
		      IORING_REGISTER_USE_REGISTERED_RING, &create, 1);
	ASSERT_EQ(0, ret);
	/* The registered index names the same ring. */
	ret = syscall(__NR_io_uring_register, index, IOIPC_REGISTER_DESTROY |
		      IORING_REGISTER_USE_REGISTERED_RING, NULL,
		      create.channel_id_out);
	EXPECT_EQ(0, ret);
}

/* A channel must belong to a ring. */
TEST_F_TIMEOUT(reg, commands_need_a_ring, IPC_TIMEOUT)
{
	struct io_uring no_ring = { .ring_fd = -1 }, no_file = { .ring_fd = 0 };
	struct io_uring_ipc_channel_create create;
	int ret;

	create = ipc_create_args(0, 8, 64);
	EXPECT_NE(0, ipc_register(&no_ring, IOIPC_REGISTER_CREATE, &create, 1));
	/* Standard input is no ring, whether it is open or closed. */
	ret = ipc_register(&no_file, IOIPC_REGISTER_CREATE, &create, 1);
	EXPECT_TRUE(ret == -EOPNOTSUPP || ret == -EBADF);
}

TEST_HARNESS_MAIN
