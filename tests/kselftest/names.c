// SPDX-License-Identifier: GPL-2.0
/*
 * Extensions of CREATE and ATTACH, and names: what the kernel refuses, who finds a
 * channel by its name, when the name is free again, and how to wait for a name.
 */
#include "ipc_test.h"

#define NAME	"org.example.service"

static const struct ipc_who owner = { IPC_UID, IPC_GID, 0 };
static const struct ipc_who stranger = { IPC_OTHER_UID, IPC_OTHER_GID, 0 };
static const struct ipc_who root = { 0, 0, 0 };

/* Creates a channel with a name, and possibly a key. */
static int create_name(struct io_uring *ring, const char *name, __u32 flags,
		       __u32 mode, __u32 *id)
{
	struct io_uring_ipc_channel_create create;
	int ret;

	create = ipc_create_args(flags, 8, 64);
	create.mode = mode;
	ret = io_uring_ipc_channel_create_name(ring, name, &create);
	*id = create.channel_id_out;
	return ret;
}

static int attach_name(struct io_uring *ring, const char *name, __u32 flags,
		       struct ipc_sub *sub)
{
	struct io_uring_ipc_channel_attach attach = { .flags = flags };
	int ret;

	ret = io_uring_ipc_channel_attach_name(ring, name, &attach);
	sub->id = attach.local_id_out;
	sub->fd = attach.channel_fd;
	return ret;
}

/* Whether a channel that this process may use has the name. */
static bool is_there(struct io_uring *ring, const char *name)
{
	struct ipc_sub sub;

	if (attach_name(ring, name, IOIPC_SUB_SEND, &sub))
		return false;
	close(sub.fd);
	return !io_uring_ipc_channel_detach(ring, sub.id);
}

/*
 * Extensions.  Both commands have the same rules for them.
 */
FIXTURE(extension) {
	struct io_uring ring;
	size_t page;
	/* A page with nothing behind it. */
	char *memory;
	/* What runs next. */
	__u32 size;
	__u64 address;
};

FIXTURE_VARIANT(extension) {
	bool attaches;
};

FIXTURE_VARIANT_ADD(extension, create) { .attaches = false };
FIXTURE_VARIANT_ADD(extension, attach) { .attaches = true };

FIXTURE_SETUP(extension)
{
	__u32 channel;

	self->page = sysconf(_SC_PAGESIZE);
	ASSERT_EQ(0, ipc_open(&self->ring));
	self->memory = ipc_pages(1);
	ASSERT_NE(NULL, self->memory);
	if (variant->attaches) {
		ASSERT_EQ(0, create_name(&self->ring, NAME, 0, 0600, &channel));
	}
}

FIXTURE_TEARDOWN(extension)
{
	io_uring_queue_exit(&self->ring);
}

/* Runs the command, and undoes what it has done. */
static int run(struct io_uring *ring, bool attaches, __u64 address, __u32 size)
{
	struct io_uring_ipc_channel_attach attach = {
		.flags = IOIPC_SUB_BOTH,
		.ext_size = size,
		.ext = address,
	};
	struct io_uring_ipc_channel_create create = ipc_create_args(0, 8, 64);
	int ret;

	if (attaches) {
		ret = io_uring_ipc_channel_attach(ring, &attach);
		if (!ret) {
			close(attach.channel_fd);
			io_uring_ipc_channel_detach(ring, attach.local_id_out);
		}
		return ret;
	}
	create.ext_size = size;
	create.ext = address;
	ret = io_uring_ipc_channel_create(ring, &create);
	if (!ret)
		io_uring_ipc_channel_destroy(ring, create.channel_id_out);
	return ret;
}

#define RUN(address, size)						\
	run(&self->ring, variant->attaches, (__u64)(uintptr_t)(address), size)

/* The structs are the same for both commands. */
_Static_assert(sizeof(struct io_uring_ipc_channel_ext) ==
	       sizeof(struct io_uring_ipc_attach_ext), "extensions");
#define EXT_SIZE	sizeof(struct io_uring_ipc_channel_ext)

static struct io_uring_ipc_channel_ext named(const char *name)
{
	return (struct io_uring_ipc_channel_ext) {
		.name = (uintptr_t)name,
		.name_len = strlen(name),
	};
}

/* Address and size come together. */
TEST_F_TIMEOUT(extension, half_of_it, IPC_TIMEOUT)
{
	struct io_uring_ipc_channel_ext ext = named(NAME);

	EXPECT_EQ(-EINVAL, RUN(&ext, 0));
	EXPECT_EQ(-EINVAL, RUN(NULL, sizeof(ext)));
	EXPECT_EQ(-EINVAL, RUN(NULL, 1));
	EXPECT_EQ(-EINVAL, RUN(NULL, UINT_MAX));
	EXPECT_EQ(-EINVAL, RUN(1, 0));
	EXPECT_EQ(-EINVAL, RUN(1ULL << 63, 0));
	EXPECT_EQ(0, RUN(&ext, sizeof(ext)));
}

TEST_F_TIMEOUT(extension, every_size, IPC_TIMEOUT)
{
	const struct io_uring_ipc_channel_ext ext = named(NAME);
	size_t size;

	memcpy(self->memory, &ext, sizeof(ext));
	for (size = 1; size < EXT_SIZE; size++)
		EXPECT_EQ(-EINVAL, RUN(self->memory, size))
			TH_LOG("%zu bytes", size);
	for (; size <= self->page; size++)
		EXPECT_EQ(0, RUN(self->memory, size))
			TH_LOG("%zu bytes", size);
	EXPECT_EQ(-E2BIG, RUN(self->memory, self->page + 1));
	EXPECT_EQ(-E2BIG, RUN(self->memory, 1U << 31));
	EXPECT_EQ(-E2BIG, RUN(self->memory, UINT_MAX));
}

/* A later version of the struct, which asks for something that nobody knows yet. */
TEST_F_TIMEOUT(extension, unknown_bytes, IPC_TIMEOUT)
{
	const struct io_uring_ipc_channel_ext ext = named(NAME);
	size_t i;

	memcpy(self->memory, &ext, sizeof(ext));
	for (i = EXT_SIZE; i < self->page; i++) {
		self->memory[i] = i % 2 ? 1 : 0x80;
		EXPECT_EQ(-E2BIG, RUN(self->memory, self->page))
			TH_LOG("byte %zu", i);
		/* The kernel does not look behind the end. */
		EXPECT_EQ(0, RUN(self->memory, i))
			TH_LOG("before byte %zu", i);
		self->memory[i] = 0;
	}
	EXPECT_EQ(0, RUN(self->memory, self->page));
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

TEST_F_TIMEOUT(extension, must_be_readable, IPC_TIMEOUT)
{
	struct io_uring_ipc_channel_ext ext = named(NAME);
	char *end = self->memory + self->page;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad_pointers); i++) {
		EXPECT_EQ(-EFAULT, RUN(bad_pointers[i], EXT_SIZE));
		ext.name = (uintptr_t)bad_pointers[i];
		EXPECT_EQ(-EFAULT, RUN(&ext, sizeof(ext)));
	}
	ext = named(NAME);
	memcpy(end - sizeof(ext), &ext, sizeof(ext));
	EXPECT_EQ(0, RUN(end - sizeof(ext), sizeof(ext)));
	EXPECT_EQ(-EFAULT, RUN(end - sizeof(ext), sizeof(ext) + 1));
	for (i = 1; i < sizeof(ext); i++)
		EXPECT_EQ(-EFAULT, RUN(end - i, sizeof(ext)));

	/* The name ends with the page. */
	memcpy(end - strlen(NAME), NAME, strlen(NAME));
	ext.name = (uintptr_t)(end - strlen(NAME));
	EXPECT_EQ(0, RUN(&ext, sizeof(ext)));
	for (i = 1; i < strlen(NAME); i++) {
		ext.name = (uintptr_t)(end - i);
		EXPECT_EQ(-EFAULT, RUN(&ext, sizeof(ext)));
	}
}

TEST_F_TIMEOUT(extension, bad_names, IPC_TIMEOUT)
{
	static const __u32 lengths[] = {
		0, IOIPC_MAX_NAME + 1, 4096, 1U << 31, UINT_MAX,
	};
	struct io_uring_ipc_channel_ext ext;
	char name[IOIPC_MAX_NAME];
	static char bytes[4096];
	size_t i;

	/* No NUL is near. */
	memset(bytes, 'x', sizeof(bytes));
	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		ext = named(NAME);
		ext.name = (uintptr_t)bytes;
		ext.name_len = lengths[i];
		EXPECT_EQ(-EINVAL, RUN(&ext, sizeof(ext)))
			TH_LOG("%u bytes", lengths[i]);
	}
	ext = named(NAME);
	ext.name = 0;
	EXPECT_EQ(-EINVAL, RUN(&ext, sizeof(ext)));
	/* NUL is in no name, not even at its end. */
	memset(name, 'x', sizeof(name));
	ext.name = (uintptr_t)name;
	ext.name_len = sizeof(name);
	for (i = 0; i < sizeof(name); i++) {
		name[i] = 0;
		EXPECT_EQ(-EINVAL, RUN(&ext, sizeof(ext)))
			TH_LOG("NUL at %zu", i);
		name[i] = 'x';
	}
	ext = named(NAME);
	ext.name_len++;
	EXPECT_EQ(-EINVAL, RUN(&ext, sizeof(ext)));
}

/* An extension without a name says nothing. */
TEST_F_TIMEOUT(extension, no_name, IPC_TIMEOUT)
{
	struct io_uring_ipc_channel_ext ext = {};

	/* Without a name and a key, id 0 names no channel. */
	EXPECT_EQ(variant->attaches ? -ENOENT : 0, RUN(&ext, sizeof(ext)));
}

/*
 * Names
 */
FIXTURE(names) {
	struct io_uring ring;
	/* Another ring of the same process. */
	struct io_uring other;
	__u32 channel;
	struct ipc_sub sub;
};

FIXTURE_SETUP(names)
{
	ASSERT_EQ(0, ipc_open(&self->ring));
	ASSERT_EQ(0, ipc_open(&self->other));
}

FIXTURE_TEARDOWN(names)
{
	io_uring_queue_exit(&self->other);
	io_uring_queue_exit(&self->ring);
}

TEST_F_TIMEOUT(names, find_their_channels, IPC_TIMEOUT)
{
	char longest[IOIPC_MAX_NAME + 1], similar[IOIPC_MAX_NAME + 1];
	const char *const name[] = {
		"a", "A", "ab", "abc", "b", "-", " ", "a b", "\n", "\x01", "\xff",
		"gr\xc3\xbc\xc3\x9f", "/a/../b", longest, similar, longest + 1,
	};
	__u32 channel[ARRAY_SIZE(name)];
	size_t i;

	memset(longest, 'x', sizeof(longest));
	longest[IOIPC_MAX_NAME] = 0;
	memcpy(similar, longest, sizeof(similar));
	similar[IOIPC_MAX_NAME - 1] = 'y';

	for (i = 0; i < ARRAY_SIZE(name); i++)
		EXPECT_EQ(-ENOENT, attach_name(&self->other, name[i],
					       IOIPC_SUB_RECV, &self->sub));
	for (i = 0; i < ARRAY_SIZE(name); i++)
		ASSERT_EQ(0, create_name(&self->ring, name[i], 0, 0600,
					 &channel[i]))
			TH_LOG("name %zu", i);
	for (i = 0; i < ARRAY_SIZE(name); i++) {
		ASSERT_EQ(0, attach_name(&self->other, name[i], IOIPC_SUB_RECV,
					 &self->sub));
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, channel[i], i));
		EXPECT_EQ(i, ipc_recv_num(&self->other, self->sub.id));
		EXPECT_EQ(0, io_uring_ipc_channel_detach(&self->other,
							 self->sub.id));
		EXPECT_EQ(0, close(self->sub.fd));
	}
	/* Each name is free when its channel is destroyed, and no other one. */
	for (i = 0; i < ARRAY_SIZE(name); i++) {
		EXPECT_TRUE(is_there(&self->ring, name[i]));
		EXPECT_EQ(0, io_uring_ipc_channel_destroy(&self->ring,
							  channel[i]));
		EXPECT_FALSE(is_there(&self->ring, name[i]));
	}
}

TEST_F_TIMEOUT(names, every_byte, IPC_TIMEOUT)
{
	char name[2] = "";
	__u32 channel;
	int byte;

	for (byte = 1; byte < 256; byte++) {
		name[0] = byte;
		EXPECT_EQ(0, create_name(&self->ring, name, 0, 0600, &channel))
			TH_LOG("byte %d", byte);
		EXPECT_TRUE(is_there(&self->other, name));
	}
}

TEST_F_TIMEOUT(names, are_unique, IPC_TIMEOUT)
{
	__u32 first, second;

	ASSERT_EQ(0, create_name(&self->ring, NAME, 0, 0600, &first));
	EXPECT_EQ(-EEXIST, create_name(&self->ring, NAME, 0, 0600, &second));
	EXPECT_EQ(-EEXIST, create_name(&self->other, NAME, IOIPC_F_BROADCAST,
				       0666, &second));
	EXPECT_EQ(-EEXIST, create_name(&self->other, NAME, IOIPC_F_PRIVATE,
				       0600, &second));
	EXPECT_EQ(0, io_uring_ipc_channel_destroy(&self->ring, first));
	EXPECT_EQ(0, create_name(&self->ring, NAME, IOIPC_F_PRIVATE, 0600,
				 &second));
	EXPECT_NE(first, second);
	EXPECT_EQ(-EEXIST, create_name(&self->other, NAME, 0, 0600, &first));
}

/* Creates a channel with a key and a name. */
static int create_both(struct io_uring *ring, __u64 key, const char *name,
		       __u32 *id)
{
	struct io_uring_ipc_channel_create create = ipc_create_args(0, 8, 64);
	int ret;

	create.key = key;
	ret = io_uring_ipc_channel_create_name(ring, name, &create);
	*id = create.channel_id_out;
	return ret;
}

TEST_F_TIMEOUT(names, beside_a_key, IPC_TIMEOUT)
{
	__u64 key = ipc_new_key(), other = ipc_new_key();
	struct ipc_sub by_key;
	__u32 channel;

	ASSERT_EQ(0, create_both(&self->ring, key, NAME, &self->channel));
	ASSERT_EQ(0, attach_name(&self->ring, NAME, IOIPC_SUB_RECV, &self->sub));
	ASSERT_EQ(0, ipc_attach_key(&self->other, key, IOIPC_SUB_SEND, &by_key));
	EXPECT_EQ(IPC_NUM, ipc_send_num(&self->other, by_key.id, 5));
	EXPECT_EQ(5, ipc_recv_num(&self->ring, self->sub.id));

	/* Whichever of them is taken, the other one stays free. */
	EXPECT_EQ(-EEXIST, create_both(&self->ring, other, NAME, &channel));
	EXPECT_EQ(-ENOENT, ipc_attach_key(&self->ring, other, IOIPC_SUB_SEND,
					  &by_key));
	EXPECT_EQ(-EEXIST, create_both(&self->ring, key, "other", &channel));
	EXPECT_FALSE(is_there(&self->ring, "other"));
	EXPECT_EQ(0, create_both(&self->ring, other, "other", &channel));

	/* Both are free when the channel is destroyed. */
	EXPECT_EQ(0, io_uring_ipc_channel_destroy(&self->ring, self->channel));
	EXPECT_EQ(0, create_both(&self->ring, key, NAME, &channel));
}

TEST_F_TIMEOUT(names, win_over_an_id_and_exclude_a_key, IPC_TIMEOUT)
{
	const struct io_uring_ipc_channel_ext ext = named(NAME);
	struct io_uring_ipc_channel_attach attach = {
		.flags = IOIPC_SUB_RECV,
		.ext_size = sizeof(ext),
		.ext = (uintptr_t)&ext,
	};
	__u64 key = ipc_new_key();
	__u32 named_channel;

	ASSERT_EQ(0, ipc_create(&self->ring, 0, 8, 64, &self->channel));
	ASSERT_EQ(0, create_both(&self->ring, key, NAME, &named_channel));
	attach.channel_id = self->channel;
	ASSERT_EQ(0, ipc_attach_args(&self->ring, &attach, &self->sub));
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, named_channel, 1));
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->channel, 2));
	EXPECT_EQ(1, ipc_recv_num(&self->ring, self->sub.id));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, self->sub.id));

	attach.key = key;
	EXPECT_EQ(-EINVAL, ipc_attach_args(&self->ring, &attach, &self->sub));
	attach.key = 0;
	EXPECT_EQ(0, ipc_attach_args(&self->ring, &attach, &self->sub));
}

/* The results cannot be written, so nothing must have been done. */
TEST_F_TIMEOUT(names, after_a_failed_create, IPC_TIMEOUT)
{
	struct io_uring_ipc_channel_create *create = (void *)ipc_pages(1);
	const struct io_uring_ipc_channel_ext ext = named(NAME);
	size_t page = sysconf(_SC_PAGESIZE);
	int i;

	ASSERT_NE(NULL, create);
	*create = ipc_create_args(0, 8, 64);
	create->ext_size = sizeof(ext);
	create->ext = (uintptr_t)&ext;
	ASSERT_EQ(0, mprotect(create, page, PROT_READ));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(-EFAULT, io_uring_ipc_channel_create(&self->ring,
							       create));
		EXPECT_FALSE(is_there(&self->ring, NAME));
	}
	ASSERT_EQ(0, mprotect(create, page, PROT_READ | PROT_WRITE));
	create->ring_entries = 3;
	EXPECT_EQ(-EINVAL, io_uring_ipc_channel_create(&self->ring, create));
	EXPECT_FALSE(is_there(&self->ring, NAME));
	create->ring_entries = 4;
	EXPECT_EQ(0, io_uring_ipc_channel_create(&self->ring, create));
	EXPECT_TRUE(is_there(&self->ring, NAME));
}

TEST_F_TIMEOUT(names, many, IPC_TIMEOUT)
{
	enum { MANY = 1000 };
	char name[16];
	__u32 channel;
	int i;

	for (i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "name.%d", i);
		ASSERT_EQ(0, create_name(i % 2 ? &self->ring : &self->other,
					 name, 0, 0600, &channel));
	}
	for (i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "name.%d", i);
		EXPECT_TRUE(is_there(&self->ring, name));
	}
	/* A ring takes its own names along. */
	io_uring_queue_exit(&self->other);
	ASSERT_EQ(0, ipc_open(&self->other));
	for (i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "name.%d", i);
		EXPECT_EQ(i % 2, is_there(&self->ring, name));
	}
}

/*
 * The end of the creator
 */
enum ending { CLOSE, EXIT, KILL, EXEC };

FIXTURE(ended) {
	struct io_uring ring;
};

FIXTURE_VARIANT(ended) {
	enum ending how;
};

FIXTURE_VARIANT_ADD(ended, close) { .how = CLOSE };
FIXTURE_VARIANT_ADD(ended, exit) { .how = EXIT };
FIXTURE_VARIANT_ADD(ended, kill) { .how = KILL };
FIXTURE_VARIANT_ADD(ended, exec) { .how = EXEC };

FIXTURE_SETUP(ended)
{
	ASSERT_EQ(0, ipc_open(&self->ring));
}

FIXTURE_TEARDOWN(ended)
{
	io_uring_queue_exit(&self->ring);
}

/* A process has a name, says so, and gives it up.  It waits before and after that. */
static void have_name(enum ending how, int in, int out)
{
	struct io_uring ring;
	__u32 channel;
	char byte = 0;

	if (ipc_open(&ring) || create_name(&ring, NAME, 0, 0666, &channel) ||
	    write(out, &byte, 1) != 1)
		_exit(1);
	if (read(in, &byte, 1) != 1)
		_exit(1);
	if (how == CLOSE) {
		io_uring_queue_exit(&ring);
		if (write(out, &byte, 1) != 1 || read(in, &byte, 1) < 0)
			_exit(1);
	} else if (how == KILL) {
		raise(SIGKILL);
	} else if (how == EXEC) {
		/* The new program waits, with the pipes as stdin and stdout. */
		dup2(in, 0);
		dup2(out, 1);
		execl("/proc/self/exe", "names", "--wait", NULL);
		_exit(1);
	}
	_exit(0);
}

/* At once, and not a moment later. */
TEST_F_TIMEOUT(ended, the_name_is_free, IPC_TIMEOUT)
{
	bool lives = variant->how == CLOSE || variant->how == EXEC;
	int to[2], from[2];
	__u32 channel;
	char byte = 0;
	pid_t pid;

	ASSERT_EQ(0, pipe(to));
	ASSERT_EQ(0, pipe(from));
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(to[1]);
		have_name(variant->how, to[0], from[1]);
	}
	ASSERT_EQ(1, read(from[0], &byte, 1));
	EXPECT_TRUE(is_there(&self->ring, NAME));
	EXPECT_EQ(-EEXIST, create_name(&self->ring, NAME, 0, 0600, &channel));
	ASSERT_EQ(1, write(to[1], &byte, 1));
	if (lives)
		ASSERT_EQ(1, read(from[0], &byte, 1));
	if (!lives)
		ipc_wait(pid);

	EXPECT_FALSE(is_there(&self->ring, NAME));
	EXPECT_EQ(0, create_name(&self->ring, NAME, 0, 0600, &channel));
	close(to[1]);
	if (lives)
		EXPECT_EQ(0, ipc_wait(pid));
}

/*
 * Who finds it
 */
FIXTURE(access) {
	struct io_uring ring;
	__u32 channel;
};

FIXTURE_SETUP(access)
{
	if (geteuid())
		SKIP(return, "needs to be root");
	ASSERT_EQ(0, ipc_open(&self->ring));
}

FIXTURE_TEARDOWN(access)
{
	io_uring_queue_exit(&self->ring);
}

/* Creates a channel of another owner. */
static int create_owned(struct io_uring *ring, __u32 flags, __u32 mode, __u32 *id)
{
	int ret;

	if (setresgid(-1, IPC_GID, -1) || setresuid(-1, IPC_UID, -1))
		return -errno;
	ret = create_name(ring, NAME, flags, mode, id);
	if (setresuid(-1, 0, -1) || setresgid(-1, 0, -1))
		return -errno;
	return ret;
}

static int do_attach(void *arg)
{
	struct io_uring ring;
	struct ipc_sub sub;

	return ipc_open(&ring) ?: attach_name(&ring, NAME, *(__u32 *)arg, &sub);
}

static int do_create(void *arg)
{
	struct io_uring ring;
	__u32 channel;

	(void)arg;
	return ipc_open(&ring) ?: create_name(&ring, NAME, 0, 0666, &channel);
}

static int do_open(void *arg)
{
	struct io_uring_ipc_channel_create create = ipc_create_args(0, 8, 64);
	struct io_uring_ipc_channel_attach attach = { .flags = *(__u32 *)arg };
	struct io_uring ring;

	return ipc_open(&ring) ?:
	       io_uring_ipc_channel_open(&ring, NAME, &create, &attach);
}

TEST_F_TIMEOUT(access, the_mode_counts, IPC_TIMEOUT)
{
	__u32 receive = IOIPC_SUB_RECV, send = IOIPC_SUB_SEND;

	ASSERT_EQ(0, create_owned(&self->ring, 0, 0602, &self->channel));
	EXPECT_EQ(0, ipc_as(owner, do_attach, &receive));
	EXPECT_EQ(-EACCES, ipc_as(stranger, do_attach, &receive));
	EXPECT_EQ(-EACCES, ipc_as(stranger, do_open, &receive));
	EXPECT_EQ(0, ipc_as(stranger, do_attach, &send));
	EXPECT_EQ(0, ipc_as(stranger, do_open, &send));
	EXPECT_EQ(0, ipc_as(root, do_attach, &receive));
	/* The name is taken also for users that may not use the channel. */
	EXPECT_EQ(-EEXIST, ipc_as(stranger, do_create, NULL));
	EXPECT_EQ(-EEXIST, ipc_as(root, do_create, NULL));
}

TEST_F_TIMEOUT(access, private_channels, IPC_TIMEOUT)
{
	__u32 both = IOIPC_SUB_BOTH;

	/* Any user that finds the channel may attach. */
	ASSERT_EQ(0, create_owned(&self->ring, IOIPC_F_PRIVATE, 0666,
				  &self->channel));
	EXPECT_EQ(-ENOENT, ipc_as(stranger, do_attach, &both));
	EXPECT_EQ(-EEXIST, ipc_as(stranger, do_create, NULL));
	/* This does not look for it forever. */
	EXPECT_EQ(-EEXIST, ipc_as(stranger, do_open, &both));
	EXPECT_EQ(0, ipc_as(owner, do_attach, &both));
	EXPECT_EQ(0, ipc_as(owner, do_open, &both));
	EXPECT_EQ(0, ipc_as(root, do_attach, &both));
}

static int attach_elsewhere(void *arg)
{
	return unshare(CLONE_NEWIPC) ? -errno : do_attach(arg);
}

static int create_elsewhere(void *arg)
{
	struct io_uring ring;
	__u32 channel;
	int ret;

	(void)arg;
	if (unshare(CLONE_NEWIPC))
		return -errno;
	ret = ipc_open(&ring) ?: create_name(&ring, NAME, 0, 0666, &channel);
	if (ret)
		return ret;
	return create_name(&ring, NAME, 0, 0666, &channel) == -EEXIST &&
	       is_there(&ring, NAME) ? 0 : -EPROTO;
}

TEST_F_TIMEOUT(access, each_namespace_has_its_own, IPC_TIMEOUT)
{
	__u32 both = IOIPC_SUB_BOTH;

	if (access("/proc/self/ns/ipc", F_OK))
		SKIP(return, "no IPC namespaces");
	ASSERT_EQ(0, create_owned(&self->ring, 0, 0666, &self->channel));
	EXPECT_EQ(-ENOENT, ipc_as(root, attach_elsewhere, &both));
	EXPECT_EQ(0, ipc_as(root, create_elsewhere, NULL));
	EXPECT_EQ(0, ipc_as(root, do_attach, &both));
}

/* Who trusts a channel by its name can look whose it is. */
TEST_F_TIMEOUT(access, fdinfo_tells_the_owner, IPC_TIMEOUT)
{
	struct ipc_sub sub;

	ASSERT_EQ(0, create_owned(&self->ring, 0, 0666, &self->channel));
	ASSERT_EQ(0, attach_name(&self->ring, NAME, IOIPC_SUB_BOTH, &sub));
	EXPECT_EQ(IPC_UID, ipc_fdinfo(sub.fd, "ioipc-owner"));
	EXPECT_STREQ(NAME, ipc_fdinfo_text(sub.fd, "ioipc-name"));
	/* The owner has no number in a user namespace that maps no uid. */
	if (access("/proc/self/ns/user", F_OK))
		return;
	ASSERT_EQ(0, unshare(CLONE_NEWUSER));
	EXPECT_EQ(65534, ipc_fdinfo(sub.fd, "ioipc-owner"));
}

/*
 * A name that another user has taken: whoever has CAP_IPC_OWNER finds the channel,
 * whatever its mode, and destroys it.
 */
TEST_F_TIMEOUT(access, a_name_can_be_taken_back, IPC_TIMEOUT)
{
	struct ipc_sub sub;
	__u32 channel;

	ASSERT_EQ(0, create_owned(&self->ring, IOIPC_F_PRIVATE, 0, &channel));
	EXPECT_EQ(-EEXIST, ipc_as(root, do_create, NULL));
	ASSERT_EQ(0, attach_name(&self->ring, NAME, IOIPC_SUB_BOTH, &sub));
	EXPECT_EQ(channel, ipc_fdinfo(sub.fd, "ioipc-channel"));
	EXPECT_EQ(IPC_UID, ipc_fdinfo(sub.fd, "ioipc-owner"));
	EXPECT_EQ(0, io_uring_ipc_channel_destroy(&self->ring, channel));
	EXPECT_EQ(0, ipc_as(root, do_create, NULL));
}

/* Takes names until the kernel refuses one, and returns how many it got. */
static int take_names(void *arg)
{
	struct io_uring ring;
	__u32 channel;
	char name[16];
	int *taken = arg, ret;

	ret = ipc_open(&ring);
	while (!ret) {
		struct io_uring_ipc_channel_create create = ipc_create_args(0, 1, 1);

		snprintf(name, sizeof(name), "squat.%d", *taken);
		ret = io_uring_ipc_channel_create_name(&ring, name, &create);
		*taken += !ret;
	}
	/* They stay until the process ends.  Another one gets the same error. */
	if (create_name(&ring, "one more", 0, 0600, &channel) != ret)
		return -EPROTO;
	return ret;
}

/* A channel takes at least a page of what its creator may lock. */
TEST_F_TIMEOUT(access, no_user_takes_all_names, IPC_TIMEOUT)
{
	enum { PAGES = 64 };
	const rlim_t bytes = PAGES * sysconf(_SC_PAGESIZE);
	const struct rlimit limit = { bytes, bytes };
	int *taken = ipc_shared(sizeof(*taken));

	ASSERT_NE(NULL, taken);
	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
	EXPECT_EQ(-ENOMEM, ipc_as(stranger, take_names, taken));
	EXPECT_LT(0, *taken);
	EXPECT_GE(PAGES, *taken);
	/* They are free again. */
	EXPECT_EQ(0, create_name(&self->ring, "squat.0", 0, 0600, &self->channel));
}

/*
 * io_uring_ipc_channel_open()
 */
TEST_F_TIMEOUT(names, open_creates_or_attaches, IPC_TIMEOUT)
{
	struct io_uring_ipc_channel_create create = ipc_create_args(0, 8, 64);
	struct io_uring_ipc_channel_attach attach = { .flags = IOIPC_SUB_BOTH };
	__u32 first;

	EXPECT_EQ(-ENOENT, io_uring_ipc_channel_open(&self->ring, NAME, NULL,
						     &attach));
	ASSERT_EQ(0, io_uring_ipc_channel_open(&self->ring, NAME, &create,
					       &attach));
	EXPECT_NE(0, create.channel_id_out);
	first = attach.local_id_out;

	create.channel_id_out = 0;
	ASSERT_EQ(0, io_uring_ipc_channel_open(&self->other, NAME, &create,
					       &attach));
	EXPECT_EQ(0, create.channel_id_out);
	EXPECT_EQ(IPC_NUM, ipc_send_num(&self->ring, first, 9));
	EXPECT_EQ(9, ipc_recv_num(&self->other, attach.local_id_out));
	EXPECT_EQ(0, io_uring_ipc_channel_open(&self->other, NAME, NULL,
					       &attach));
	EXPECT_EQ(-EINVAL, io_uring_ipc_channel_open(&self->other, "", &create,
						     &attach));
}

/* If the attachment fails, there is no channel either. */
TEST_F_TIMEOUT(names, open_does_all_or_nothing, IPC_TIMEOUT)
{
	struct io_uring_ipc_channel_create create = ipc_create_args(0, 8, 64);
	struct io_uring_ipc_channel_attach attach = { .flags = IOIPC_SUB_BOTH };
	struct rlimit limit, none;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	none = limit;
	none.rlim_cur = 0;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
	EXPECT_EQ(-EMFILE, io_uring_ipc_channel_open(&self->ring, NAME, &create,
						     &attach));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	EXPECT_FALSE(is_there(&self->ring, NAME));
	attach.flags = 0;
	EXPECT_EQ(-EINVAL, io_uring_ipc_channel_open(&self->ring, NAME, &create,
						     &attach));
	EXPECT_FALSE(is_there(&self->ring, NAME));
}

/* Many processes begin at once.  One of them creates the channel. */
TEST_F_TIMEOUT(names, open_by_many_at_once, IPC_TIMEOUT)
{
	enum { PROCESSES = 12 };
	struct { int ready, go, created, sent; } *shared;
	struct io_uring_ipc_channel_create create;
	struct io_uring_ipc_channel_attach attach = { .flags = IOIPC_SUB_BOTH };
	pid_t pid[PROCESSES];
	int i;

	shared = ipc_shared(sizeof(*shared));
	ASSERT_NE(NULL, shared);
	for (i = 0; i < PROCESSES; i++) {
		pid[i] = ipc_fork();
		ASSERT_LE(0, pid[i]);
		if (pid[i])
			continue;
		/* The channel stays as long as this ring of the parent. */
		create = ipc_create_args(0, 16, 64);
		create.channel_id_out = 0;
		__atomic_add_fetch(&shared->ready, 1, __ATOMIC_SEQ_CST);
		while (!__atomic_load_n(&shared->go, __ATOMIC_SEQ_CST))
			sched_yield();
		ASSERT_EQ(0, io_uring_ipc_channel_open(&self->ring, NAME,
						       &create, &attach));
		if (create.channel_id_out)
			__atomic_add_fetch(&shared->created, 1, __ATOMIC_SEQ_CST);
		/* SQEs of the parent's ring are its own. */
		_exit(__test_passed(_metadata) ? 0 : 1);
	}
	EXPECT_TRUE(ipc_poll(__atomic_load_n(&shared->ready, __ATOMIC_SEQ_CST) ==
			     PROCESSES));
	__atomic_store_n(&shared->go, 1, __ATOMIC_SEQ_CST);
	for (i = 0; i < PROCESSES; i++)
		EXPECT_EQ(0, ipc_wait(pid[i]));
	EXPECT_EQ(1, shared->created);
	EXPECT_TRUE(is_there(&self->ring, NAME));
}

static bool is_often(int *count)
{
	return __atomic_load_n(count, __ATOMIC_SEQ_CST) >= 100;
}

/*
 * Processes create and destroy channels with one name, while others attach.  A name
 * never has two channels, and a caller gets no other error.
 */
TEST_F_TIMEOUT(names, taken_and_given_back_all_the_time, IPC_TIMEOUT)
{
	enum { CREATORS = 2, PROCESSES = 4 };
	struct { int holders, created, refused, attached, missed, stop; } *shared;
	pid_t pid[PROCESSES];
	int i;

	shared = ipc_shared(sizeof(*shared));
	ASSERT_NE(NULL, shared);
	for (i = 0; i < PROCESSES; i++) {
		struct io_uring ring;
		struct ipc_sub sub;
		__u32 channel;
		int ret;

		pid[i] = ipc_fork();
		ASSERT_LE(0, pid[i]);
		if (pid[i])
			continue;
		ASSERT_EQ(0, ipc_open(&ring));
		while (!__atomic_load_n(&shared->stop, __ATOMIC_SEQ_CST)) {
			if (i >= CREATORS) {
				ret = attach_name(&ring, NAME, IOIPC_SUB_BOTH, &sub);
				__atomic_add_fetch(ret ? &shared->missed :
						   &shared->attached, 1,
						   __ATOMIC_SEQ_CST);
				if (ret) {
					ASSERT_EQ(-ENOENT, ret);
					continue;
				}
				ASSERT_EQ(0, close(sub.fd));
				ASSERT_EQ(0, io_uring_ipc_channel_detach(&ring,
									 sub.id));
				continue;
			}
			ret = create_name(&ring, NAME, 0, 0600, &channel);
			__atomic_add_fetch(ret ? &shared->refused :
					   &shared->created, 1, __ATOMIC_SEQ_CST);
			if (ret) {
				ASSERT_EQ(-EEXIST, ret);
				continue;
			}
			ASSERT_EQ(1, __atomic_add_fetch(&shared->holders, 1,
							__ATOMIC_SEQ_CST));
			__atomic_sub_fetch(&shared->holders, 1, __ATOMIC_SEQ_CST);
			ASSERT_EQ(0, io_uring_ipc_channel_destroy(&ring, channel));
		}
		_exit(__test_passed(_metadata) ? 0 : 1);
	}
	EXPECT_TRUE(ipc_poll(is_often(&shared->created) &&
			     is_often(&shared->refused) &&
			     is_often(&shared->attached) &&
			     is_often(&shared->missed)));
	__atomic_store_n(&shared->stop, 1, __ATOMIC_SEQ_CST);
	for (i = 0; i < PROCESSES; i++)
		EXPECT_EQ(0, ipc_wait(pid[i]));
	EXPECT_FALSE(is_there(&self->ring, NAME));
	EXPECT_EQ(0, create_name(&self->ring, NAME, 0, 0600, &self->channel));
}

/*
 * Waiting for a name, as docs/using.md says: a broadcast, the bell, tells that names
 * have appeared.  Whoever comes first creates the bell.
 */
#define BELL	"org.example.bell"

static int open_bell(struct io_uring *ring, struct io_uring_ipc_channel_attach *bell)
{
	struct io_uring_ipc_channel_create create;

	create = ipc_create_args(IOIPC_F_BROADCAST | IOIPC_F_OVERWRITE, 1, 1);
	create.mode = 0666;
	*bell = (struct io_uring_ipc_channel_attach) { .flags = IOIPC_SUB_RECV };
	return io_uring_ipc_channel_open(ring, BELL, &create, bell);
}

static void close_bell(struct io_uring *ring,
		       const struct io_uring_ipc_channel_attach *bell)
{
	close(bell->channel_fd);
	io_uring_ipc_channel_detach(ring, bell->local_id_out);
}

/* How often a process has begun to wait. */
static int *waits;

/*
 * Waits until a channel has the name, and attaches to it.  Returns 0 or a negative
 * error, also that of a request that was canceled.
 */
static int wait_for_name(struct io_uring *ring, const char *name,
			 struct ipc_sub *sub, struct __kernel_timespec *timeout)
{
	struct io_uring_ipc_channel_attach bell;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	int ret;

	ret = open_bell(ring, &bell);
	while (!ret) {
		ret = attach_name(ring, name, IOIPC_SUB_BOTH, sub);
		if (ret != -ENOENT)
			break;
		sqe = io_uring_get_sqe(ring);
		io_uring_prep_ipc_recv(sqe, bell.local_id_out, NULL, 0,
				       IOIPC_RECV_WAIT);
		if (timeout) {
			sqe->flags |= IOSQE_IO_LINK;
			sqe = io_uring_get_sqe(ring);
			io_uring_prep_link_timeout(sqe, timeout, 0);
			sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
		}
		if (waits)
			__atomic_add_fetch(waits, 1, __ATOMIC_SEQ_CST);
		ret = ipc_run(ring);
		while (timeout && !io_uring_peek_cqe(ring, &cqe))
			io_uring_cqe_seen(ring, cqe);
		if (ret == -EPIPE) {
			/* The process that had created the bell is gone. */
			close_bell(ring, &bell);
			ret = open_bell(ring, &bell);
		}
	}
	close_bell(ring, &bell);
	return ret;
}

/* A channel has a new name.  Without a bell nobody waits. */
static int ring_bell(struct io_uring *ring)
{
	struct io_uring_ipc_channel_attach bell = { .flags = IOIPC_SUB_SEND };
	struct io_uring_sqe *sqe;
	int ret;

	ret = io_uring_ipc_channel_attach_name(ring, BELL, &bell);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	sqe = io_uring_get_sqe(ring);
	io_uring_prep_ipc_send(sqe, bell.local_id_out, NULL, 0, 0, IOIPC_SEND_WAIT);
	ret = ipc_run(ring);
	close_bell(ring, &bell);
	return ret == -EPIPE ? 0 : ret;
}

/*
 * Processes wait for a name while another one creates it, in any order.  In some
 * rounds the process that has created the bell is killed while all others wait.
 */
TEST_F_TIMEOUT(names, can_be_waited_for, IPC_TIMEOUT)
{
	enum { ROUNDS = 60, WAITERS = 4 };
	pid_t pid[WAITERS];
	__u32 channel;
	char name[32];
	int round, i;

	waits = ipc_shared(sizeof(*waits));
	ASSERT_NE(NULL, waits);
	for (round = 0; round < ROUNDS; round++) {
		const bool kills = round % 3 == 2;

		*waits = 0;
		snprintf(name, sizeof(name), "round.%d", round);
		for (i = 0; i < WAITERS; i++) {
			struct io_uring ring;
			struct ipc_sub sub;

			pid[i] = ipc_fork();
			ASSERT_LE(0, pid[i]);
			if (!pid[i])
				_exit(ipc_open(&ring) ||
				      wait_for_name(&ring, name, &sub, NULL));
			if (kills && !i)
				EXPECT_TRUE(ipc_poll(is_there(&self->ring, BELL)));
		}
		/* Other rounds begin when the bell is there, or anywhere. */
		if (round % 3 == 1)
			EXPECT_TRUE(ipc_poll(is_there(&self->ring, BELL)));
		if (kills) {
			EXPECT_TRUE(ipc_poll(__atomic_load_n(waits, __ATOMIC_SEQ_CST) >=
					     WAITERS));
			ASSERT_EQ(0, kill(pid[0], SIGKILL));
			ASSERT_EQ(128 + SIGKILL, ipc_wait(pid[0]));
		}
		ASSERT_EQ(0, create_name(&self->ring, name, 0, 0666, &channel));
		ASSERT_EQ(0, ring_bell(&self->ring));
		for (i = kills; i < WAITERS; i++)
			ASSERT_EQ(0, ipc_wait(pid[i]))
				TH_LOG("round %d, waiter %d", round, i);
		ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->ring, channel));
		/* Nobody is left, so there is no bell either. */
		ASSERT_FALSE(is_there(&self->ring, BELL));
	}
}

TEST_F_TIMEOUT(names, waiting_can_be_canceled, IPC_TIMEOUT)
{
	struct __kernel_timespec soon = { .tv_nsec = 1000000 };

	EXPECT_EQ(-ECANCELED, wait_for_name(&self->ring, NAME, &self->sub, &soon));
	EXPECT_FALSE(is_there(&self->ring, NAME));
	ASSERT_EQ(0, create_name(&self->other, NAME, 0, 0600, &self->channel));
	EXPECT_EQ(0, wait_for_name(&self->ring, NAME, &self->sub, &soon));
}

int main(int argc, char **argv)
{
	char byte = 0;

	/* What a creator of a name executes: see have_name(). */
	if (argc == 2 && !strcmp(argv[1], "--wait"))
		return write(1, &byte, 1) != 1 || read(0, &byte, 1) < 0;
	return test_harness_run(argc, argv);
}
