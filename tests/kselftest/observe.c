// SPDX-License-Identifier: GPL-2.0
/*
 * What administrators see: the table in debugfs, fdinfo, tracepoints, and the
 * reason of a refusal in the log, by dynamic debug.
 *
 * READS=N is how often the table is read while other processes create and
 * destroy channels.
 */
#include <linux/perf_event.h>
#include <stdarg.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include "messages.h"

#define DEBUGFS		"/sys/kernel/debug"
#define TABLE		DEBUGFS "/io_uring_ipc/channels"
#define TRACEFS		"/sys/kernel/tracing"
#define DYNAMIC_DEBUG	"/proc/dynamic_debug/control"

#define ENTRIES		4
#define SIZE		64
/* An id that is not in use yet. */
#define NO_ID		2000000000U

static const struct ipc_who owner = { IPC_UID, IPC_GID, 0 };
static const struct ipc_who stranger = { IPC_OTHER_UID, IPC_OTHER_GID, 0 };
static const struct ipc_who root = { 0, 0, 0 };

/* Mounts a file system, unless it is mounted already. */
static int need_mount(const char *where, const char *type)
{
	if (!mount("none", where, type, 0, NULL) || errno == EBUSY)
		return 0;
	return -errno;
}

static int write_file(const char *path, const char *text)
{
	int fd, ret;

	fd = open(path, O_WRONLY);
	if (fd < 0)
		return -errno;
	ret = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

/*
 * The table
 */

/* The longest word is a name of which each byte is escaped. */
#define WORD	(4 * IOIPC_MAX_NAME + 1)

/* A row of the table; a column without a value is -1. */
struct row {
	__u32		channel;
	/* 0 in the row of the channel itself */
	__u32		subscriber;
	char		delivery[WORD];
	char		mode[WORD];
	char		flags[WORD];
	char		name[WORD];
	long long	uid;
	long long	gid;
	long long	pid;
	long long	ipc_ns;
	long long	entries;
	long long	max_msg_size;
	long long	slot_size;
	long long	fill;
	long long	pending;
	long long	sent;
	long long	received;
	long long	lost;
	long long	dropped;
	long long	full;
	long long	waits;
	long long	calls;
	long long	late;
};

static const char *const headings[] = {
	"channel", "subscriber", "delivery", "uid", "gid", "pid", "mode",
	"ipc-ns", "entries", "max-msg-size", "slot-size", "fill", "pending", "sent",
	"received", "lost", "dropped", "full", "waits", "calls", "late", "flags",
	"name",
};

#define COLUMNS	ARRAY_SIZE(headings)

/* Reads a file to its end, `step` bytes at a time; the caller frees it. */
static char *read_all(const char *path, size_t step)
{
	size_t size = 1 << 16, len = 0;
	char *text = NULL;
	ssize_t ret = -1;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	do {
		if (!text || size - len <= step) {
			size *= 2;
			text = realloc(text, size);
		}
		ret = text ? read(fd, text + len, step) : -1;
		len += ret > 0 ? ret : 0;
	} while (ret > 0);
	close(fd);
	if (ret < 0) {
		free(text);
		return NULL;
	}
	text[len] = 0;
	return text;
}

/* Whether a line has as many words as there are columns. */
static bool split(const char *line, char word[COLUMNS][WORD])
{
	int i, len;

	for (i = 0; i < COLUMNS; i++) {
		if (sscanf(line, "%508s%n", word[i], &len) != 1)
			return false;
		line += len;
	}
	return !*line;
}

static bool is_heading(const char *line)
{
	char word[COLUMNS][WORD];
	int i;

	if (!split(line, word))
		return false;
	for (i = 0; i < COLUMNS; i++)
		if (strcmp(headings[i], word[i]))
			return false;
	return true;
}

static bool parse_row(const char *line, struct row *row)
{
	char word[COLUMNS][WORD];
	long long *numbers[] = {
		[3] = &row->uid, [4] = &row->gid, [5] = &row->pid,
		[7] = &row->ipc_ns, [8] = &row->entries,
		[9] = &row->max_msg_size, [10] = &row->slot_size,
		[11] = &row->fill, [12] = &row->pending, [13] = &row->sent,
		[14] = &row->received, [15] = &row->lost,
		[16] = &row->dropped, [17] = &row->full, [18] = &row->waits,
		[19] = &row->calls, [20] = &row->late,
	};
	char *end;
	int i;

	if (!split(line, word))
		return false;
	row->channel = strtoul(word[0], &end, 10);
	if (*end)
		return false;
	row->subscriber = 0;
	if (strcmp(word[1], "-"))
		row->subscriber = strtoul(word[1], &end, 10);
	memcpy(row->delivery, word[2], sizeof(word[2]));
	memcpy(row->mode, word[6], sizeof(word[6]));
	memcpy(row->flags, word[21], sizeof(word[21]));
	memcpy(row->name, word[22], sizeof(word[22]));
	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		if (!numbers[i])
			continue;
		*numbers[i] = -1;
		if (strcmp(word[i], "-"))
			*numbers[i] = strtoll(word[i], &end, 10);
		if (*end)
			return false;
	}
	return true;
}

/*
 * Calls a function for each row of the table.  Returns how many rows there are,
 * or -1 if the table is malformed, is not in the order of ids, or has a
 * subscriber that is not below its channel.
 */
static int each_row(size_t step, void (*call)(const struct row *row, void *arg),
		    void *arg)
{
	char *text = read_all(TABLE, step), *line, *rest = text;
	struct row row, before = {};
	int rows = -1;

	if (!text)
		return -1;
	while ((line = strsep(&rest, "\n")) && *line) {
		if (rows++ < 0) {
			if (!is_heading(line))
				goto bad;
			continue;
		}
		if (!parse_row(line, &row) || row.channel < before.channel)
			goto bad;
		if (row.subscriber && row.channel != before.channel)
			goto bad;
		if (row.subscriber <= before.subscriber &&
		    row.channel == before.channel)
			goto bad;
		call(&row, arg);
		before = row;
	}
	free(text);
	return rows;
bad:
	printf("# not a row of the table: %s\n", line);
	free(text);
	return -1;
}

struct search {
	__u32		channel;
	__u32		subscriber;
	struct row	*found;
	/* How many rows the channel has, and how many rows others have. */
	int		rows;
	int		others;
};

static void match_row(const struct row *row, void *arg)
{
	struct search *search = arg;

	if (row->channel != search->channel) {
		search->others++;
		return;
	}
	search->rows++;
	if (row->subscriber == search->subscriber && search->found)
		*search->found = *row;
}

/* Returns how many rows the channel has, or -1 for a malformed table. */
static int find_row(__u32 channel, __u32 subscriber, struct row *row)
{
	struct search search = {
		.channel = channel,
		.subscriber = subscriber,
		.found = row,
	};

	memset(row, 0, sizeof(*row));
	if (each_row(4096, match_row, &search) < 0)
		return -1;
	return search.rows;
}

static ino_t ipc_namespace(void)
{
	struct stat status = {};

	stat("/proc/self/ns/ipc", &status);
	return status.st_ino;
}

FIXTURE(table) {
	struct io_uring ring;
	struct io_uring other;
	__u32 channel;
	struct ipc_sub sender;
	struct ipc_sub receiver;
};

FIXTURE_SETUP(table)
{
	if (geteuid())
		SKIP(return, "needs to be root");
	ASSERT_EQ(0, need_mount(DEBUGFS, "debugfs"));
	ASSERT_EQ(0, ipc_open(&self->ring));
	ASSERT_EQ(0, ipc_open(&self->other));
}

FIXTURE_TEARDOWN(table)
{
	io_uring_queue_exit(&self->other);
	io_uring_queue_exit(&self->ring);
}

TEST_F_TIMEOUT(table, what_a_channel_is, IPC_TIMEOUT)
{
	static const struct {
		__u32		flags;
		const char	*delivery;
		const char	*names;
	} kinds[] = {
		{ 0, "unicast", "-" },
		{ IOIPC_F_PRIVATE, "unicast", "private" },
		{ IOIPC_F_MULTICAST, "multicast", "-" },
		{ IOIPC_F_BROADCAST, "broadcast", "-" },
		{ IOIPC_F_BROADCAST | IOIPC_F_OVERWRITE, "broadcast",
		  "overwrite" },
		{ IOIPC_F_BROADCAST | IOIPC_F_OVERWRITE | IOIPC_F_PRIVATE,
		  "broadcast", "private,overwrite" },
	};
	struct io_uring_ipc_channel_create create;
	struct row row;
	int i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		create = ipc_create_args(kinds[i].flags, ENTRIES << i, SIZE + i);
		create.mode = 0642;
		setfsgid(IPC_GID);
		setfsuid(IPC_UID);
		EXPECT_EQ(0, io_uring_ipc_channel_create(&self->ring, &create));
		setfsuid(0);
		setfsgid(0);

		ASSERT_EQ(1, find_row(create.channel_id_out, 0, &row));
		EXPECT_EQ(create.channel_id_out, row.channel);
		EXPECT_STREQ(kinds[i].delivery, row.delivery);
		EXPECT_EQ(IPC_UID, row.uid);
		EXPECT_EQ(IPC_GID, row.gid);
		EXPECT_EQ(-1, row.pid);
		EXPECT_STREQ("0642", row.mode);
		EXPECT_EQ(ipc_namespace(), row.ipc_ns);
		EXPECT_EQ(ENTRIES << i, row.entries);
		EXPECT_EQ(SIZE + i, row.max_msg_size);
		EXPECT_EQ((SIZE + i + 63) / 64 * 64, row.slot_size);
		EXPECT_EQ(0, row.fill);
		EXPECT_STREQ(kinds[i].names, row.flags);
		EXPECT_STREQ("-", row.name);

		ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->ring,
							  create.channel_id_out));
		EXPECT_EQ(0, find_row(create.channel_id_out, 0, &row));
	}
}

/* Names of channels, and how they are shown: nobody can fake a row or a column. */
static const struct {
	const char	*name;
	const char	*shown;
} shown_names[] = {
	{ "org.example.Service-1", "org.example.Service-1" },
	{ "!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~", "!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~" },
	{ "two words", "two\\x20words" },
	{ "\\x20", "\\x5cx20" },
	{ "a\n 99 - broadcast", "a\\x0a\\x2099\\x20-\\x20broadcast" },
	{ "\x01\t\r\x1b[31m\x7f", "\\x01\\x09\\x0d\\x1b[31m\\x7f" },
	{ "gr\xc3\xbc\xc3\x9f\xff", "gr\\xc3\\xbc\\xc3\\x9f\\xff" },
};

static int create_name(struct io_uring *ring, const char *name, __u32 *channel)
{
	struct io_uring_ipc_channel_create create;
	int ret;

	create = ipc_create_args(0, ENTRIES, SIZE);
	ret = io_uring_ipc_channel_create_name(ring, name, &create);
	*channel = create.channel_id_out;
	return ret;
}

TEST_F_TIMEOUT(table, names_of_channels, IPC_TIMEOUT)
{
	char name[IOIPC_MAX_NAME + 1], shown[WORD] = "";
	struct ipc_sub sub;
	struct row row;
	int i;

	for (i = 0; i < ARRAY_SIZE(shown_names); i++) {
		ASSERT_EQ(0, create_name(&self->ring, shown_names[i].name,
					 &self->channel));
		ASSERT_EQ(1, find_row(self->channel, 0, &row));
		EXPECT_STREQ(shown_names[i].shown, row.name);
		ASSERT_EQ(0, ipc_attach(&self->ring, self->channel,
					IOIPC_SUB_BOTH, &sub));
		EXPECT_STREQ(shown_names[i].shown,
			     ipc_fdinfo_text(sub.fd, "ioipc-name"));
		EXPECT_EQ(0, ipc_fdinfo(sub.fd, "ioipc-owner"));
	}
	memset(name, 0xfe, sizeof(name));
	name[IOIPC_MAX_NAME] = 0;
	for (i = 0; i < IOIPC_MAX_NAME; i++)
		strcat(shown, "\\xfe");
	ASSERT_EQ(0, create_name(&self->ring, name, &self->channel));
	ASSERT_EQ(1, find_row(self->channel, 0, &row));
	EXPECT_STREQ(shown, row.name);

	/* Without a name there is no line for it. */
	ASSERT_EQ(0, ipc_create(&self->ring, 0, ENTRIES, SIZE, &self->channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_BOTH, &sub));
	EXPECT_STREQ("(none)", ipc_fdinfo_text(sub.fd, "ioipc-name"));
}

TEST_F_TIMEOUT(table, who_is_attached, IPC_TIMEOUT)
{
	static const struct {
		__u32		flags;
		const char	*names;
		int		fill;
	} kinds[] = {
		{ IOIPC_SUB_SEND, "send", -1 },
		{ IOIPC_SUB_RECV, "receive", 0 },
		{ IOIPC_SUB_BOTH, "send,receive", 0 },
		{ IOIPC_SUB_RECV | IOIPC_SUB_HISTORY, "receive,history", 0 },
	};
	struct ipc_sub sub[ARRAY_SIZE(kinds)];
	struct row row;
	int i;

	ASSERT_EQ(0, ipc_create(&self->ring, IOIPC_F_BROADCAST, ENTRIES, SIZE,
				&self->channel));
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		setfsuid(IPC_UID + i);
		EXPECT_EQ(0, ipc_attach(i & 1 ? &self->ring : &self->other,
					self->channel, kinds[i].flags, &sub[i]));
		setfsuid(0);
	}
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		ASSERT_EQ(5, find_row(self->channel, sub[i].id, &row));
		EXPECT_EQ(sub[i].id, row.subscriber);
		EXPECT_EQ(IPC_UID + i, row.uid);
		EXPECT_EQ(getpid(), row.pid);
		EXPECT_STREQ(kinds[i].names, row.flags);
		EXPECT_EQ(kinds[i].fill, row.fill);
		EXPECT_EQ(-1, row.entries);
		EXPECT_STREQ("-", row.name);
	}
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->other, sub[2].id));
	EXPECT_EQ(4, find_row(self->channel, sub[2].id, &row));
	EXPECT_EQ(0, row.subscriber);
}

TEST_F_TIMEOUT(table, channels_of_another_namespace, IPC_TIMEOUT)
{
	ino_t ours = ipc_namespace();
	struct io_uring ring;
	struct row row;
	pid_t pid;

	if (!ours)
		SKIP(return, "no IPC namespaces");
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		ASSERT_EQ(0, ipc_open(&ring));
		ASSERT_EQ(0, ipc_create(&ring, 0, ENTRIES, SIZE,
					&self->channel));
		ASSERT_EQ(1, find_row(self->channel, 0, &row));
		EXPECT_NE(ours, row.ipc_ns);
		EXPECT_EQ(ipc_namespace(), row.ipc_ns);
		_exit(0);
	}
	EXPECT_EQ(0, ipc_wait(pid));
}

/* All counters, in the row of a subscriber or of a channel. */
#define EXPECT_COUNTS(sub_id, want_sent, want_received, want_lost, want_full, want_waits) \
do {										\
	struct row __row;							\
										\
	ASSERT_LT(0, find_row(self->channel, sub_id, &__row));			\
	EXPECT_EQ(sub_id, __row.subscriber);					\
	EXPECT_EQ(want_sent, __row.sent);					\
	EXPECT_EQ(want_received, __row.received);				\
	EXPECT_EQ(want_lost, __row.lost);					\
	EXPECT_EQ(want_full, __row.full);					\
	EXPECT_EQ(want_waits, __row.waits);					\
} while (0)

/* The same in fdinfo. */
#define EXPECT_FDINFO(number, sub, name)					\
	EXPECT_EQ(number, strtoll(ipc_fdinfo_text((sub).fd, name), NULL, 10))

#define EXPECT_FILL(want) do {							\
	struct row __row;							\
										\
	ASSERT_LT(0, find_row(self->channel, 0, &__row));			\
	EXPECT_EQ(want, __row.fill);						\
} while (0)

TEST_F_TIMEOUT(table, counts_add_up, IPC_TIMEOUT)
{
	const __u32 flags[] = { 0, IOIPC_F_MULTICAST, IOIPC_F_BROADCAST };
	__u64 num = 7, got, data;
	struct row row;
	int i;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		bool broadcast = flags[i] == IOIPC_F_BROADCAST;

		ASSERT_EQ(0, ipc_create(&self->ring, flags[i], ENTRIES, SIZE,
					&self->channel));
		ASSERT_EQ(0, ipc_attach(&self->ring, self->channel,
					IOIPC_SUB_SEND, &self->sender));
		ASSERT_EQ(0, ipc_attach(&self->other, self->channel,
					IOIPC_SUB_RECV, &self->receiver));

		/* The receiver waits, and then a message arrives. */
		data = wait_new_data();
		wait_get_recv(&self->other, self->receiver.id, &got, data);
		ASSERT_EQ(1, io_uring_submit(&self->other));
		EXPECT_COUNTS(self->receiver.id, 0, 0, 0, 0, 1);
		ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, num));
		ASSERT_EQ(IPC_NUM, wait_for(&self->other, data));
		EXPECT_COUNTS(self->receiver.id, 0, 1, 0, 0, 1);
		EXPECT_FILL(0);
		/* A receive that does not wait does not count as waiting. */
		ASSERT_EQ(-EAGAIN, wait_recv(&self->other, self->receiver.id));
		EXPECT_COUNTS(self->receiver.id, 0, 1, 0, 0, 1);

		/* Attached and unattached senders fill the ring. */
		ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, 1));
		EXPECT_FILL(1);
		ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->channel, 2));
		ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->sender.id, 3));
		ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->channel, 4));
		EXPECT_FILL(ENTRIES);
		EXPECT_COUNTS(self->sender.id, 3, 0, 0, 0, 0);
		EXPECT_COUNTS(0, 5, 1, 0, 0, 1);
		ASSERT_EQ(-ENOBUFS, wait_send(&self->ring, self->sender.id, 5));
		EXPECT_COUNTS(self->sender.id, 3, 0, 0, 1, 0);
		EXPECT_COUNTS(0, 5, 1, 0, 1, 1);
		ASSERT_EQ(-ENOBUFS, wait_send(&self->ring, self->channel, 5));
		EXPECT_COUNTS(self->sender.id, 3, 0, 0, 1, 0);
		EXPECT_COUNTS(0, 5, 1, 0, 2, 1);

		/* The sender waits, and then there is room. */
		data = wait_new_data();
		wait_get_send(&self->ring, self->sender.id, &num, data);
		ASSERT_EQ(1, io_uring_submit(&self->ring));
		EXPECT_COUNTS(self->sender.id, 3, 0, 0, 2, 1);
		ASSERT_EQ(1, wait_recv(&self->other, self->receiver.id));
		ASSERT_EQ(IPC_NUM, wait_for(&self->ring, data));
		EXPECT_COUNTS(self->sender.id, 4, 0, 0, 2, 1);
		data = wait_new_data();
		wait_get_send(&self->ring, self->channel, &num, data);
		ASSERT_EQ(1, io_uring_submit(&self->ring));
		EXPECT_COUNTS(0, 6, 2, 0, 4, 3);
		ASSERT_EQ(2, wait_recv(&self->other, self->receiver.id));
		ASSERT_EQ(IPC_NUM, wait_for(&self->ring, data));

		ASSERT_EQ(0, find_row(self->channel, self->receiver.id, &row) < 0);
		EXPECT_EQ(broadcast ? ENTRIES : -1, row.fill);
		EXPECT_STREQ(broadcast ? "4" : "(none)",
			     ipc_fdinfo_text(self->receiver.fd, "ioipc-lag"));
		ASSERT_EQ(3, wait_recv(&self->other, self->receiver.id));
		ASSERT_EQ(4, wait_recv(&self->other, self->receiver.id));
		ASSERT_EQ(7, wait_recv(&self->other, self->receiver.id));
		EXPECT_FILL(1);
		ASSERT_EQ(7, wait_recv(&self->other, self->receiver.id));
		EXPECT_FILL(0);

		EXPECT_COUNTS(self->sender.id, 4, 0, 0, 2, 1);
		EXPECT_COUNTS(self->receiver.id, 0, 7, 0, 0, 1);
		EXPECT_COUNTS(0, 7, 7, 0, 4, 3);
		EXPECT_FDINFO(4, self->sender, "ioipc-sent");
		EXPECT_FDINFO(2, self->sender, "ioipc-full");
		EXPECT_FDINFO(1, self->sender, "ioipc-waits");
		EXPECT_FDINFO(7, self->receiver, "ioipc-received");
		EXPECT_FDINFO(0, self->receiver, "ioipc-full");
		EXPECT_FDINFO(1, self->receiver, "ioipc-waits");

		/*
		 * The channel keeps the counts of subscribers that have left,
		 * once.
		 */
		ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring,
							 self->sender.id));
		EXPECT_COUNTS(0, 7, 7, 0, 4, 3);
		ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->other,
							 self->receiver.id));
		EXPECT_COUNTS(0, 7, 7, 0, 4, 3);
		EXPECT_EQ(1, find_row(self->channel, 0, &row));
		EXPECT_FDINFO(7, self->receiver, "ioipc-received");
		EXPECT_EQ(0, close(self->sender.fd));
		EXPECT_EQ(0, close(self->receiver.fd));
	}
}

/* The rest of a vector that was sent in part has found no room. */
TEST_F_TIMEOUT(table, a_vector_and_a_bundle, IPC_TIMEOUT)
{
	char buf[ENTRIES * (sizeof(struct io_uring_ipc_msg_info) + 8)] __aligned(8);
	struct iovec vec[ENTRIES + 1];
	__u64 num = 1;
	int i;

	for (i = 0; i <= ENTRIES; i++)
		vec[i] = (struct iovec) { &num, sizeof(num) };
	ASSERT_EQ(0, ipc_create(&self->ring, 0, ENTRIES, SIZE, &self->channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_BOTH,
				&self->sender));
	ASSERT_EQ(ENTRIES, msg_send(&self->ring, self->sender.id, vec,
				    ENTRIES + 1, IOIPC_SEND_VEC));
	EXPECT_COUNTS(self->sender.id, ENTRIES, 0, 0, 1, 0);
	ASSERT_EQ(sizeof(buf), msg_recv(&self->ring, self->sender.id, buf,
					sizeof(buf), IOIPC_RECV_BUNDLE));
	EXPECT_COUNTS(self->sender.id, ENTRIES, ENTRIES, 0, 1, 0);
}

/* The counts of a ring that was closed are not lost either. */
TEST_F_TIMEOUT(table, counts_of_who_is_gone, IPC_TIMEOUT)
{
	struct io_uring ring;

	ASSERT_EQ(0, ipc_create(&self->ring, 0, ENTRIES, SIZE, &self->channel));
	ASSERT_EQ(0, ipc_open(&ring));
	ASSERT_EQ(0, ipc_attach(&ring, self->channel, IOIPC_SUB_SEND,
				&self->sender));
	ASSERT_EQ(3, ipc_send_nums(&ring, self->sender.id, 0, 3));
	ASSERT_EQ(0, close(self->sender.fd));
	io_uring_queue_exit(&ring);
	ASSERT_EQ(1, find_row(self->channel, 0, &(struct row) {}));
	EXPECT_COUNTS(0, 3, 0, 0, 0, 0);
}

/* The same for an evicted subscriber, whose counts count once. */
TEST_F_TIMEOUT(table, counts_of_who_is_evicted, IPC_TIMEOUT)
{
	struct row row;

	ASSERT_EQ(0, ipc_create(&self->ring, 0, ENTRIES, SIZE, &self->channel));
	ASSERT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_SEND,
				&self->sender));
	ASSERT_EQ(3, ipc_send_nums(&self->other, self->sender.id, 0, 3));
	ASSERT_EQ(2, find_row(self->channel, 0, &row));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring, self->sender.id));
	EXPECT_EQ(1, find_row(self->channel, 0, &row));
	EXPECT_COUNTS(0, 3, 0, 0, 0, 0);
	ASSERT_EQ(-ENOENT, ipc_send_num(&self->other, self->sender.id, 4));
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->other, self->sender.id));
	EXPECT_COUNTS(0, 3, 0, 0, 0, 0);
	EXPECT_FDINFO(3, self->sender, "ioipc-sent");
}

TEST_F_TIMEOUT(table, lost_messages, IPC_TIMEOUT)
{
	ASSERT_EQ(0, ipc_create(&self->ring, IOIPC_F_BROADCAST |
				IOIPC_F_OVERWRITE, ENTRIES, SIZE,
				&self->channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_SEND,
				&self->sender));
	ASSERT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_RECV,
				&self->receiver));
	ASSERT_EQ(10, ipc_send_nums(&self->ring, self->sender.id, 0, 10));
	EXPECT_COUNTS(self->receiver.id, 0, 0, 10 - ENTRIES, 0, 0);
	EXPECT_FILL(ENTRIES);
	ASSERT_EQ(ENTRIES, ipc_recv_nums(&self->other, self->receiver.id,
					 10 - ENTRIES, 10));
	EXPECT_COUNTS(0, 10, ENTRIES, 10 - ENTRIES, 0, 0);
	EXPECT_FDINFO(10 - ENTRIES, self->receiver, "ioipc-lost");
	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->other,
						 self->receiver.id));
	EXPECT_COUNTS(0, 10, ENTRIES, 10 - ENTRIES, 0, 0);
}

TEST_F_TIMEOUT(table, dropped_messages, IPC_TIMEOUT)
{
	const __u32 flags[] = { 0, IOIPC_F_MULTICAST, IOIPC_F_BROADCAST };
	struct row row;
	int i;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		ASSERT_EQ(0, ipc_create(&self->ring, flags[i], ENTRIES, SIZE,
					&self->channel));
		ASSERT_EQ(0, ipc_attach(&self->other, self->channel,
					IOIPC_SUB_RECV, &self->receiver));
		ASSERT_EQ(IPC_NUM, ipc_send_num_to(&self->ring, self->channel, 0,
						   self->receiver.id));
		ASSERT_EQ(IPC_NUM, ipc_send_num_to(&self->ring, self->channel, 1,
						   self->receiver.id));
		ASSERT_EQ(2, find_row(self->channel, 0, &row));
		EXPECT_EQ(0, row.dropped);
		ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->other,
							 self->receiver.id));
		ASSERT_EQ(1, find_row(self->channel, 0, &row));
		EXPECT_EQ(2, row.dropped);
		EXPECT_EQ(2, row.sent);
	}
}

/* A target that does not receive its messages is the one to evict. */
TEST_F_TIMEOUT(table, targets_that_hold_slots, IPC_TIMEOUT)
{
	const __u32 flags[] = { 0, IOIPC_F_MULTICAST };
	struct ipc_sub target;
	struct row row;
	int i, num;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		ASSERT_EQ(0, ipc_create(&self->ring, flags[i], ENTRIES, SIZE,
					&self->channel));
		ASSERT_EQ(0, ipc_attach(&self->ring, self->channel,
					IOIPC_SUB_BOTH, &self->sender));
		ASSERT_EQ(0, ipc_attach(&self->other, self->channel,
					IOIPC_SUB_RECV, &target));
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->channel, 9));
		for (num = 0; num < ENTRIES - 1; num++) {
			ASSERT_EQ(IPC_NUM, ipc_send_num_to(&self->ring,
							   self->sender.id, num,
							   target.id));
			ASSERT_EQ(3, find_row(self->channel, target.id, &row));
			EXPECT_EQ(num + 1, row.pending);
			EXPECT_FDINFO(num + 1, target, "ioipc-pending");
		}
		ASSERT_EQ(3, find_row(self->channel, self->sender.id, &row));
		EXPECT_EQ(0, row.pending);
		EXPECT_FDINFO(0, self->sender, "ioipc-pending");
		ASSERT_EQ(-ENOBUFS, ipc_send_num(&self->ring, self->channel, 9));

		ASSERT_EQ(9, ipc_recv_num(&self->other, target.id));
		EXPECT_FDINFO(ENTRIES - 1, target, "ioipc-pending");
		ASSERT_EQ(0, ipc_recv_num(&self->other, target.id));
		EXPECT_FDINFO(ENTRIES - 2, target, "ioipc-pending");
		ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->ring,
							 target.id));
		EXPECT_FDINFO(0, target, "ioipc-pending");
		EXPECT_FDINFO(ENTRIES - 2, self->sender, "ioipc-dropped");
		EXPECT_EQ(2, find_row(self->channel, target.id, &row));
		close(self->sender.fd);
		close(target.fd);
	}
}

/* The table has the position of a receiver in place, without its help. */
TEST_F_TIMEOUT(table, lag_of_who_reads_in_place, IPC_TIMEOUT)
{
	struct io_uring_ipc_channel_attach attach = { .flags = IOIPC_SUB_RECV };
	struct ipc_message message;
	struct ipc_map map;
	struct row row;
	int i;

	ASSERT_EQ(0, ipc_create(&self->ring, IOIPC_F_BROADCAST, ENTRIES, SIZE,
				&self->channel));
	attach.channel_id = self->channel;
	ASSERT_EQ(0, io_uring_ipc_channel_attach(&self->other, &attach));
	ASSERT_EQ(0, ipc_map(&map, &attach));
	ASSERT_EQ(ENTRIES, ipc_send_nums(&self->ring, self->channel, 0, ENTRIES));
	for (i = ENTRIES; i; i--) {
		ASSERT_EQ(2, find_row(self->channel, attach.local_id_out, &row));
		EXPECT_EQ(i, row.fill);
		EXPECT_FILL(i);
		ASSERT_TRUE(ipc_peek(&map, &message));
		ipc_consume(&map);
	}
	EXPECT_FILL(0);
	ipc_unmap(&map);
	close(attach.channel_fd);
}

static int open_table(void *arg)
{
	(void)arg;
	return open(TABLE, O_RDONLY) < 0 ? -errno : 0;
}

TEST_F_TIMEOUT(table, only_root_can_read_it, IPC_TIMEOUT)
{
	struct stat status;

	ASSERT_EQ(0, stat(TABLE, &status));
	EXPECT_EQ(S_IFREG | 0400, status.st_mode);
	EXPECT_EQ(0, status.st_uid);
	EXPECT_EQ(0, ipc_as(root, open_table, NULL));
	EXPECT_EQ(-EACCES, ipc_as(owner, open_table, NULL));
}

/* Many rows, and many rows below one channel, read in small pieces. */
TEST_F_TIMEOUT(table, many_channels_and_subscribers, IPC_TIMEOUT)
{
	enum { CHANNELS = 64, SUBSCRIBERS = 200 };
	__u32 channel[CHANNELS];
	struct ipc_sub sub;
	int i;

	for (i = 0; i < CHANNELS; i++) {
		ASSERT_EQ(0, ipc_create(&self->ring, 0, 1, 1, &channel[i]));
		ASSERT_EQ(0, ipc_attach(&self->other, channel[i],
					IOIPC_SUB_BOTH, &sub));
		close(sub.fd);
	}
	for (i = 1; i < SUBSCRIBERS; i++) {
		ASSERT_EQ(0, ipc_attach(&self->other, channel[CHANNELS / 2],
					IOIPC_SUB_BOTH, &sub));
		close(sub.fd);
	}
	for (i = 0; i < CHANNELS; i += CHANNELS / 4) {
		struct search search = { .channel = channel[i] };

		ASSERT_LT(0, each_row(97, match_row, &search));
		EXPECT_EQ(i == CHANNELS / 2 ? 1 + SUBSCRIBERS : 2, search.rows);
		EXPECT_LE((CHANNELS - 1) * 2, search.others);
	}
}

/* A read looks only as far as it has room, so later changes still show. */
TEST_F_TIMEOUT(table, a_read_looks_only_so_far, IPC_TIMEOUT)
{
	enum { SUBSCRIBERS = 200, STEP = 1024 };
	static char text[1 << 20];
	bool detached = false;
	struct ipc_sub sub;
	ssize_t ret, len = 0;
	char row[32];
	int fd, i;

	ASSERT_EQ(0, ipc_create(&self->ring, 0, 1, 1, &self->channel));
	for (i = 0; i < SUBSCRIBERS; i++) {
		ASSERT_EQ(0, ipc_attach(&self->other, self->channel,
					IOIPC_SUB_BOTH, &sub));
		close(sub.fd);
	}
	fd = open(TABLE, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, fd);
	snprintf(row, sizeof(row), " %u          - unicast", self->channel);
	while ((ret = read(fd, text + len, STEP)) > 0) {
		len += ret;
		ASSERT_GT(sizeof(text) - STEP, len);
		if (detached || !strstr(text, row))
			continue;
		ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->other, sub.id));
		detached = true;
	}
	ASSERT_EQ(0, ret);
	ASSERT_TRUE(detached);
	snprintf(row, sizeof(row), " %u -", sub.id - 1);
	EXPECT_NE(NULL, strstr(text, row));
	snprintf(row, sizeof(row), " %u -", sub.id);
	EXPECT_EQ(NULL, strstr(text, row));
	close(fd);
}

struct turnover {
	_Atomic bool	stop;
	_Atomic int	rounds[4];
};

/* Creates, uses and destroys channels until it is told to stop. */
static int come_and_go(struct turnover *turnover, int number)
{
	const __u32 flags[] = { 0, IOIPC_F_MULTICAST, IOIPC_F_BROADCAST,
				IOIPC_F_BROADCAST | IOIPC_F_OVERWRITE };
	struct ipc_sub sub[3];
	struct io_uring ring;
	__u32 channel;
	int i, ret;

	while (!turnover->stop) {
		ret = ipc_open(&ring);
		for (i = 0; i < 4 && !ret; i++) {
			ret = ipc_create(&ring, flags[i], 2, SIZE, &channel) ?:
			      ipc_attach(&ring, channel, IOIPC_SUB_BOTH, &sub[0]) ?:
			      ipc_attach(&ring, channel, IOIPC_SUB_RECV, &sub[1]) ?:
			      ipc_attach(&ring, channel, IOIPC_SUB_SEND, &sub[2]);
			if (ret)
				break;
			ipc_send_num_to(&ring, sub[0].id, 1, sub[1].id);
			ipc_send_num(&ring, channel, 2);
			ipc_recv_num(&ring, sub[0].id);
			ret = io_uring_ipc_channel_detach(&ring, sub[1].id);
			/* The end of the ring destroys the other channels. */
			if (i & 1)
				ret = ret ?: io_uring_ipc_channel_destroy(&ring,
									  channel);
			close(sub[0].fd);
			close(sub[1].fd);
			close(sub[2].fd);
		}
		io_uring_queue_exit(&ring);
		if (ret)
			return 1;
		turnover->rounds[number]++;
	}
	return 0;
}

TEST_F_TIMEOUT(table, while_channels_come_and_go, IPC_TIMEOUT)
{
	struct turnover *turnover = ipc_shared(sizeof(*turnover));
	long i, reads = ipc_env("READS", 100), others = 0;
	pid_t pid[4];

	ASSERT_NE(NULL, turnover);
	ASSERT_EQ(0, ipc_create(&self->ring, 0, ENTRIES, SIZE, &self->channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_BOTH,
				&self->sender));
	for (i = 0; i < 4; i++) {
		pid[i] = ipc_fork();
		ASSERT_LE(0, pid[i]);
		if (!pid[i])
			_exit(come_and_go(turnover, i));
	}
	for (i = 0; i < 4; i++)
		ASSERT_TRUE(wait_until(turnover->rounds[i] > 0));
	for (i = 0; i < reads || (!others && i < 100 * reads); i++) {
		struct row row;
		struct search search = {
			.channel = self->channel,
			.subscriber = self->sender.id,
			.found = &row,
		};

		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->sender.id, i));
		ASSERT_LT(0, each_row(4096, match_row, &search));
		ASSERT_EQ(2, search.rows);
		ASSERT_EQ(i + 1, row.sent);
		ASSERT_EQ(i, ipc_recv_num(&self->ring, self->sender.id));
		others += search.others;
	}
	turnover->stop = true;
	for (i = 0; i < 4; i++)
		EXPECT_EQ(0, wait_child(pid[i]));
	EXPECT_LT(0, others);
}

/* Here only the process that reads the table holds the module. */
TEST(the_module_stays_while_the_table_is_open)
{
	int fd;

	if (geteuid())
		SKIP(return, "needs to be root");
	ASSERT_EQ(0, need_mount(DEBUGFS, "debugfs"));
	ASSERT_TRUE(ipc_poll(ipc_module_refs() == 0));
	fd = open(TABLE, O_RDONLY);
	ASSERT_LE(0, fd);
	ASSERT_EQ(1, ipc_module_refs());
	EXPECT_EQ(-1, syscall(__NR_delete_module, IPC_MODULE, O_NONBLOCK));
	EXPECT_EQ(EWOULDBLOCK, errno);
	EXPECT_EQ(0, close(fd));
	EXPECT_TRUE(ipc_poll(ipc_module_refs() == 0));
}

/*
 * Tracepoints
 */

#define MAX_LINES	1024

struct lines {
	int	count;
	char	*line[MAX_LINES];
};

static __attribute__((format(printf, 2, 3))) void
add_line(struct lines *lines, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	if (lines->count == MAX_LINES ||
	    vasprintf(&lines->line[lines->count++], format, arguments) < 0)
		abort();
	va_end(arguments);
}

/* A separate trace buffer, which no other process uses. */
FIXTURE(trace) {
	struct io_uring ring;
	struct io_uring other;
	__u32 channel;
	struct ipc_sub sender;
	struct ipc_sub receiver;
	char instance[64];
	char path[128];
	struct lines want;
	struct lines got;
};

#define TRACE_PATH(name) ({							\
	snprintf(self->path, sizeof(self->path), "%s/%s", self->instance, name); \
	self->path;								\
})

FIXTURE_SETUP(trace)
{
	if (geteuid())
		SKIP(return, "needs to be root");
	if (access(TRACEFS, F_OK))
		SKIP(return, "no tracing");
	ASSERT_EQ(0, need_mount(TRACEFS, "tracefs"));
	snprintf(self->instance, sizeof(self->instance),
		 TRACEFS "/instances/ioipc-%d", getpid());
	ASSERT_EQ(0, mkdir(self->instance, 0700));
	ASSERT_EQ(0, write_file(TRACE_PATH("events/io_uring_ipc/enable"), "1"));
	ASSERT_EQ(0, ipc_open(&self->ring));
	ASSERT_EQ(0, ipc_open(&self->other));
}

FIXTURE_TEARDOWN(trace)
{
	io_uring_queue_exit(&self->other);
	io_uring_queue_exit(&self->ring);
	EXPECT_EQ(0, write_file(TRACE_PATH("events/io_uring_ipc/enable"), "0"));
	EXPECT_EQ(0, rmdir(self->instance));
}

/*
 * Reads the events of a channel, without wake-ups that have reached no request:
 * those depend on what was before.
 */
static void read_trace(const char *path, __u32 channel, struct lines *lines)
{
	char *text = read_all(path, 4096), *rest = text, *line;
	char field[32];

	snprintf(field, sizeof(field), "channel=%u", channel);
	lines->count = 0;
	while ((line = strsep(&rest, "\n"))) {
		char *event = strstr(line, ": ioipc_");
		char *found = event ? strstr(event, field) : NULL;

		if (!found || (found[strlen(field)] && found[strlen(field)] != ' '))
			continue;
		if (strstr(event, " requests=0"))
			continue;
		add_line(lines, "%s", event + 2);
	}
	free(text);
}

#define EXPECT_TRACE() do {							\
	int __i;								\
										\
	read_trace(TRACE_PATH("trace"), self->channel, &self->got);		\
	EXPECT_EQ(self->want.count, self->got.count);				\
	for (__i = 0; __i < self->want.count && __i < self->got.count; __i++)	\
		EXPECT_STREQ(self->want.line[__i], self->got.line[__i]);	\
} while (0)

#define WANT(event, format, ...)						\
	add_line(&self->want, "ioipc_" event ": channel=%u" format,		\
		 self->channel, ##__VA_ARGS__)

TEST_F_TIMEOUT(trace, names_of_channels, IPC_TIMEOUT)
{
	char name[IOIPC_MAX_NAME + 1], shown[IOIPC_MAX_NAME + 1] = "";
	int i;

	for (i = 0; i < ARRAY_SIZE(shown_names); i++) {
		self->want.count = 0;
		ASSERT_EQ(0, create_name(&self->ring, shown_names[i].name,
					 &self->channel));
		WANT("create", " flags= mode=0600 entries=%u max_msg_size=%u name=%s",
		     ENTRIES, SIZE, shown_names[i].shown);
		EXPECT_TRACE();
	}
	/* An event has room for 127 bytes. */
	memset(name, 0xfe, sizeof(name));
	name[IOIPC_MAX_NAME] = 0;
	for (i = 0; i < IOIPC_MAX_NAME; i++)
		shown[i] = "\\xfe"[i % 4];
	self->want.count = 0;
	ASSERT_EQ(0, create_name(&self->ring, name, &self->channel));
	WANT("create", " flags= mode=0600 entries=%u max_msg_size=%u name=%s",
	     ENTRIES, SIZE, shown);
	EXPECT_TRACE();
}

TEST_F_TIMEOUT(trace, the_life_of_a_channel, IPC_TIMEOUT)
{
	__u64 num = 7, got, data;
	__u32 sender, receiver;

	ASSERT_EQ(0, ipc_create(&self->ring, 0, 2, SIZE, &self->channel));
	WANT("create", " flags= mode=0600 entries=2 max_msg_size=%u name=", SIZE);
	ASSERT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_RECV,
				&self->receiver));
	receiver = self->receiver.id;
	WANT("attach", " subscriber=%u flags=RECV", receiver);
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_SEND,
				&self->sender));
	sender = self->sender.id;
	WANT("attach", " subscriber=%u flags=SEND", sender);

	data = wait_new_data();
	wait_get_recv(&self->other, receiver, &got, data);
	ASSERT_EQ(1, io_uring_submit(&self->other));
	ASSERT_EQ(IPC_NUM, wait_send(&self->ring, sender, num));
	WANT("send", " sender=%u target=0 msg_id=1 len=8", sender);
	WANT("wake", " subscriber=%u requests=1", receiver);
	ASSERT_EQ(IPC_NUM, wait_for(&self->other, data));
	WANT("receive", " subscriber=%u msg_id=1 len=8", receiver);

	ASSERT_EQ(3, ipc_send_to(&self->ring, sender, "abc", 3, receiver));
	WANT("send", " sender=%u target=%u msg_id=2 len=3", sender, receiver);
	ASSERT_EQ(IPC_NUM, wait_send(&self->ring, self->channel, num));
	WANT("send", " sender=0 target=0 msg_id=3 len=8");
	ASSERT_EQ(-ENOBUFS, wait_send(&self->ring, self->channel, num));
	WANT("full", " sender=0 waits=0 holder=%u", receiver);
	ASSERT_EQ(-ENOBUFS, wait_send(&self->ring, sender, num));
	WANT("full", " sender=%u waits=0 holder=%u", sender, receiver);
	data = wait_new_data();
	wait_get_send(&self->ring, sender, &num, data);
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	WANT("full", " sender=%u waits=1 holder=%u", sender, receiver);
	ASSERT_EQ(3, ipc_recv(&self->other, receiver, &got, sizeof(got)));
	WANT("receive", " subscriber=%u msg_id=2 len=3", receiver);
	WANT("wake", " subscriber=0 requests=1");
	ASSERT_EQ(IPC_NUM, wait_for(&self->ring, data));
	WANT("send", " sender=%u target=0 msg_id=4 len=8", sender);
	/* The length is that of the whole message. */
	ASSERT_EQ(1, ipc_recv(&self->other, receiver, &got, 1));
	WANT("receive", " subscriber=%u msg_id=3 len=8", receiver);

	ASSERT_EQ(0, io_uring_ipc_channel_detach(&self->other, receiver));
	WANT("detach", " subscriber=%u", receiver);
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->ring, self->channel));
	WANT("destroy", "");
	EXPECT_TRACE();
}

TEST_F_TIMEOUT(trace, a_file_and_an_answer, IPC_TIMEOUT)
{
	__u64 num = 7, got, data = wait_new_data();
	struct io_uring_ipc_exchange answer = {
		.addr = (uintptr_t)&got, .len = sizeof(got),
	};
	struct io_uring_ipc_exchange call = { .call = 2 };
	struct io_uring_sqe *sqe;
	__u32 sender, receiver;

	ASSERT_EQ(0, ipc_create(&self->ring, 0, 4, SIZE, &self->channel));
	ASSERT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_RECV,
				&self->receiver));
	receiver = self->receiver.id;
	WANT("create", " flags= mode=0600 entries=4 max_msg_size=%u name=", SIZE);
	WANT("attach", " subscriber=%u flags=RECV", receiver);
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_SEND,
				&self->sender));
	sender = self->sender.id;
	WANT("attach", " subscriber=%u flags=SEND", sender);

	sqe = wait_get_sqe(&self->ring);
	io_uring_prep_ipc_send(sqe, sender, &num, sizeof(num), 0, 0);
	ipc_sqe_set_send_fds(sqe, (int []){ 0, 1 }, 2);
	io_uring_sqe_set_data64(sqe, data);
	ASSERT_EQ(IPC_NUM, wait_for(&self->ring, data));
	WANT("files", " msg_id=1 count=2");
	WANT("send", " sender=%u target=0 msg_id=1 len=8", sender);
	ASSERT_EQ(IPC_NUM, ipc_recv(&self->other, receiver, &got, sizeof(got)));
	WANT("receive", " subscriber=%u msg_id=1 len=8", receiver);

	data = wait_new_data();
	sqe = wait_get_sqe(&self->ring);
	io_uring_prep_ipc_call(sqe, sender, &num, sizeof(num), 0, &answer, 0);
	io_uring_sqe_set_data64(sqe, data);
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	WANT("send", " sender=%u target=0 msg_id=2 len=8", sender);
	ASSERT_EQ(IPC_NUM, ipc_recv(&self->other, receiver, &got, sizeof(got)));
	WANT("receive", " subscriber=%u msg_id=2 len=8", receiver);
	io_uring_prep_ipc_reply(io_uring_get_sqe(&self->other), receiver, "abc", 3,
				&call);
	ASSERT_EQ(3, ipc_run(&self->other));
	WANT("answer", " subscriber=%u caller=%u msg_id=2 len=3", receiver, sender);
	ASSERT_EQ(3, wait_for(&self->ring, data));
	/* Nobody waits for this one. */
	io_uring_prep_ipc_reply(io_uring_get_sqe(&self->other), receiver, "abc", 3,
				&call);
	ASSERT_EQ(-ENOENT, ipc_run(&self->other));
	EXPECT_TRACE();
}

/*
 * However many requests of a subscriber wait when it ends, few of them are woken in one
 * step, for which the channel is locked. Those of others are not touched.
 */
TEST_F_TIMEOUT(trace, the_end_comes_in_steps, IPC_TIMEOUT)
{
	enum { REQUESTS = 200, MOST = 16, ENDS = 3 };
	static __u64 nums[2 * REQUESTS];
	struct io_uring_cqe cqe;
	unsigned int subscriber, requests;
	struct ipc_sub other;
	struct io_uring ring;
	int i, end, woken;

	ASSERT_EQ(0, io_uring_queue_init(2 * REQUESTS, &ring, 0));
	for (end = 0; end < ENDS; end++) {
		ASSERT_EQ(0, ipc_create(&self->ring, 0, 2, SIZE,
					&self->channel));
		ASSERT_EQ(0, ipc_attach(&ring, self->channel, IOIPC_SUB_RECV,
					&self->receiver));
		ASSERT_EQ(0, ipc_attach(&ring, self->channel, IOIPC_SUB_RECV,
					&other));
		for (i = 0; i < 2 * REQUESTS; i++)
			wait_get_recv(&ring, i % 2 ? other.id :
				      self->receiver.id, &nums[i], i % 2);
		ASSERT_TRUE(wait_nothing(&ring));
		/* By itself, by the owner, or with the channel. */
		if (end < 2) {
			ASSERT_EQ(0, io_uring_ipc_channel_detach(
					     end ? &self->ring : &ring,
					     self->receiver.id));
		} else {
			ASSERT_EQ(0, io_uring_ipc_channel_destroy(
					     &self->ring, self->channel));
		}
		for (i = 0; i < REQUESTS * (1 + (end == 2)); i++) {
			ASSERT_EQ(0, wait_next(&ring, &cqe, WAIT_DEADLINE));
			EXPECT_TRUE(end == 2 || cqe.user_data == 0);
			EXPECT_EQ(end == 2 ? -EPIPE : -ENOENT, cqe.res);
		}
		EXPECT_EQ(0, wait_completed(&ring));
		read_trace(TRACE_PATH("trace"), self->channel, &self->got);
		for (i = 0, woken = 0; i < self->got.count; i++) {
			if (sscanf(self->got.line[i],
				   "ioipc_wake: channel=%*u subscriber=%u requests=%u",
				   &subscriber, &requests) != 2)
				continue;
			EXPECT_GE(MOST, requests);
			if (subscriber == self->receiver.id)
				woken += requests;
			else
				EXPECT_EQ(2, end);
		}
		EXPECT_EQ(REQUESTS, woken);
		if (end < 2)
			ASSERT_EQ(0, io_uring_ipc_channel_destroy(
					     &self->ring, self->channel));
		wait_complete(&ring, end < 2 ? REQUESTS : 0);
		wait_forget(&ring);
	}
	io_uring_queue_exit(&ring);
}

/* In a broadcast, the slowest receiver; in a queue, the target. */
TEST_F_TIMEOUT(trace, who_holds_most, IPC_TIMEOUT)
{
	struct ipc_sub sub[3];
	int i;

	ASSERT_EQ(0, ipc_create(&self->ring, IOIPC_F_BROADCAST, 2, SIZE,
				&self->channel));
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, ipc_attach(&self->other, self->channel,
					IOIPC_SUB_RECV, &sub[i]));
	ASSERT_EQ(2, ipc_send_nums(&self->ring, self->channel, 0, 2));
	ASSERT_EQ(2, ipc_recv_nums(&self->other, sub[0].id, 0, 2));
	ASSERT_EQ(1, ipc_recv_nums(&self->other, sub[2].id, 0, 1));
	ASSERT_EQ(-ENOBUFS, ipc_send_num(&self->ring, self->channel, 2));
	read_trace(TRACE_PATH("trace"), self->channel, &self->got);
	WANT("full", " sender=0 waits=0 holder=%u", sub[1].id);
	EXPECT_STREQ(self->want.line[0],
		     self->got.line[self->got.count - 1]);
}

TEST_F_TIMEOUT(trace, a_vector_and_a_bundle, IPC_TIMEOUT)
{
	char buf[2 * (sizeof(struct io_uring_ipc_msg_info) + 8)] __aligned(8);
	__u64 num = 1;
	struct iovec vec[] = { { &num, 8 }, { &num, 2 } };

	ASSERT_EQ(0, ipc_create(&self->ring, 0, 2, SIZE, &self->channel));
	WANT("create", " flags= mode=0600 entries=2 max_msg_size=%u name=", SIZE);
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_BOTH,
				&self->sender));
	WANT("attach", " subscriber=%u flags=SEND|RECV", self->sender.id);
	ASSERT_EQ(2, msg_send(&self->ring, self->sender.id, vec, 2,
			      IOIPC_SEND_VEC));
	WANT("send", " sender=%u target=0 msg_id=1 len=8", self->sender.id);
	WANT("send", " sender=%u target=0 msg_id=2 len=2", self->sender.id);
	ASSERT_EQ(sizeof(buf) - 6, msg_recv(&self->ring, self->sender.id, buf,
					    sizeof(buf), IOIPC_RECV_BUNDLE));
	WANT("receive", " subscriber=%u msg_id=1 len=8", self->sender.id);
	WANT("receive", " subscriber=%u msg_id=2 len=2", self->sender.id);
	EXPECT_TRACE();
}

TEST_F_TIMEOUT(trace, lost_messages, IPC_TIMEOUT)
{
	__u32 sender, receiver;
	int i;

	ASSERT_EQ(0, ipc_create(&self->ring, IOIPC_F_BROADCAST |
				IOIPC_F_OVERWRITE | IOIPC_F_PRIVATE, 2, SIZE,
				&self->channel));
	WANT("create", " flags=BROADCAST|PRIVATE|OVERWRITE mode=0600 entries=2 max_msg_size=%u name=",
	     SIZE);
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_SEND,
				&self->sender));
	ASSERT_EQ(0, ipc_attach(&self->ring, self->channel, IOIPC_SUB_RECV |
				IOIPC_SUB_HISTORY, &self->receiver));
	sender = self->sender.id;
	receiver = self->receiver.id;
	WANT("attach", " subscriber=%u flags=SEND", sender);
	WANT("attach", " subscriber=%u flags=RECV|HISTORY", receiver);
	ASSERT_EQ(4, ipc_send_nums(&self->ring, sender, 0, 4));
	for (i = 1; i <= 4; i++) {
		if (i > 2)
			WANT("lost", " subscriber=%u msg_id=%d", receiver, i - 2);
		WANT("send", " sender=%u target=0 msg_id=%d len=8", sender, i);
	}
	ASSERT_EQ(2, ipc_recv_num(&self->ring, receiver));
	WANT("receive", " subscriber=%u msg_id=3 len=8", receiver);
	EXPECT_TRACE();
}

TEST_F_TIMEOUT(trace, nothing_when_it_is_off, IPC_TIMEOUT)
{
	ASSERT_EQ(0, ipc_create(&self->ring, 0, 2, SIZE, &self->channel));
	WANT("create", " flags= mode=0600 entries=2 max_msg_size=%u name=", SIZE);
	ASSERT_EQ(0, write_file(TRACE_PATH("events/io_uring_ipc/ioipc_send/enable"),
				"0"));
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->channel, 1));
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->ring, self->channel));
	WANT("destroy", "");
	EXPECT_TRACE();
}

/* As perf stat does. */
TEST_F_TIMEOUT(trace, perf, IPC_TIMEOUT)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_TRACEPOINT,
		.size = sizeof(attr),
	};
	__u64 num = 1, count = 0;
	struct iovec vec[] = { { &num, 8 }, { &num, 8 } };
	char *id;
	int fd;

	id = read_all(TRACEFS "/events/io_uring_ipc/ioipc_send/id", 16);
	ASSERT_NE(NULL, id);
	attr.config = strtoul(id, NULL, 10);
	free(id);
	fd = syscall(__NR_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0 && errno == ENOSYS)
		SKIP(return, "no perf events");
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ipc_create(&self->ring, 0, ENTRIES, SIZE, &self->channel));
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->channel, 1));
	ASSERT_EQ(2, msg_send(&self->ring, self->channel, vec, 2,
			      IOIPC_SEND_VEC));
	ASSERT_EQ(sizeof(count), read(fd, &count, sizeof(count)));
	EXPECT_EQ(3, count);
	ASSERT_EQ(0, ioctl(fd, PERF_EVENT_IOC_DISABLE, 0));
	ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, self->channel, 1));
	ASSERT_EQ(sizeof(count), read(fd, &count, sizeof(count)));
	EXPECT_EQ(3, count);
	close(fd);
}

/*
 * Refusals
 */

FIXTURE(refusal) {
	struct io_uring ring;
	__u32 channel;
	__u32 private;
	int kmsg;
	struct lines got;
};

FIXTURE_SETUP(refusal)
{
	if (geteuid())
		SKIP(return, "needs to be root");
	if (access(DYNAMIC_DEBUG, W_OK))
		SKIP(return, "no dynamic debug");
	ASSERT_EQ(0, write_file(DYNAMIC_DEBUG, "module " IPC_MODULE " +p"));
	self->kmsg = open("/dev/kmsg", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	ASSERT_LE(0, self->kmsg);
	ASSERT_EQ(0, ipc_open(&self->ring));
	ASSERT_EQ(0, ipc_create(&self->ring, 0, ENTRIES, SIZE, &self->channel));
	ASSERT_EQ(0, ipc_create(&self->ring, IOIPC_F_PRIVATE, ENTRIES, SIZE,
				&self->private));
}

FIXTURE_TEARDOWN(refusal)
{
	io_uring_queue_exit(&self->ring);
	close(self->kmsg);
	EXPECT_EQ(0, write_file(DYNAMIC_DEBUG, "module " IPC_MODULE " -p"));
}

/* Reads what the module has logged about a process since the last seek. */
static void read_refusals(int kmsg, pid_t pid, struct lines *lines)
{
	char record[1024], end[64], prefix[64];
	static int last;
	ssize_t len;

	snprintf(end, sizeof(end), "observe: the end %d of %d", ++last, getpid());
	snprintf(prefix, sizeof(prefix), IPC_MODULE ": pid %d, ", pid);
	lines->count = 0;
	if (write(kmsg, end, strlen(end)) < 0)
		return;
	do {
		char *text;

		len = read(kmsg, record, sizeof(record) - 1);
		if (len < 0)
			continue;
		record[len] = 0;
		if (strstr(record, end))
			break;
		text = strstr(record, prefix);
		if (!text)
			continue;
		text[strcspn(text, "\n")] = 0;
		add_line(lines, "%s", text + strlen(prefix));
	} while (len >= 0 || errno == EPIPE);
}

/*
 * A process with other credentials tries an operation and gets an error, and
 * the log says once which process it was and why.
 */
#define EXPECT_REFUSAL(who, function, request, error, format, ...) do {		\
	char *__why, __uid[32];							\
	pid_t __pid;								\
										\
	ASSERT_LE(0, lseek(self->kmsg, 0, SEEK_END));				\
	__pid = ipc_fork();							\
	ASSERT_LE(0, __pid);							\
	if (!__pid) {								\
		ipc_become(who);						\
		_exit(-(function)(request));					\
	}									\
	EXPECT_EQ(error, -ipc_wait(__pid));					\
	read_refusals(self->kmsg, __pid, &self->got);				\
	ASSERT_EQ(1, self->got.count);						\
	ASSERT_LT(0, asprintf(&__why, " for " format, ##__VA_ARGS__));		\
	snprintf(__uid, sizeof(__uid), "uid %u: -", (who).uid);			\
	EXPECT_EQ(0, strncmp(__uid, self->got.line[0], strlen(__uid)))		\
		TH_LOG("%s", self->got.line[0]);				\
	EXPECT_STREQ(__why, strstr(self->got.line[0], " for "));		\
	free(__why);								\
} while (0)

static int attach_elsewhere(void *arg)
{
	return unshare(CLONE_NEWIPC) ? -errno : ipc_do_attach(arg);
}

TEST_F_TIMEOUT(refusal, attach, IPC_TIMEOUT)
{
	struct ipc_request request = { .flags = IOIPC_SUB_BOTH };

	request.channel = self->channel;
	EXPECT_REFUSAL(stranger, ipc_do_attach, &request, -EACCES,
		       "channel %u: its mode does not let the caller send and receive",
		       self->channel);
	request.flags = IOIPC_SUB_SEND;
	EXPECT_REFUSAL(stranger, ipc_do_attach, &request, -EACCES,
		       "channel %u: its mode does not let the caller send",
		       self->channel);
	request.flags = IOIPC_SUB_RECV;
	EXPECT_REFUSAL(stranger, ipc_do_attach, &request, -EACCES,
		       "channel %u: its mode does not let the caller receive",
		       self->channel);
	EXPECT_REFUSAL(root, attach_elsewhere, &request, -ENOENT,
		       "channel %u: it is in another IPC namespace",
		       self->channel);
	request.channel = self->private;
	EXPECT_REFUSAL(stranger, ipc_do_attach, &request, -ENOENT,
		       "channel %u: it is private, and the caller is not its owner",
		       self->private);
	request.channel = NO_ID;
	EXPECT_REFUSAL(root, ipc_do_attach, &request, -ENOENT,
		       "channel %u: there is none with this id", NO_ID);
	request.key = 1ULL << 40;
	EXPECT_REFUSAL(root, ipc_do_attach, &request, -ENOENT,
		       "key %llu: no channel in the caller's IPC namespace has it",
		       1ULL << 40);
}

static int attach_by_name(void *arg)
{
	struct io_uring_ipc_channel_attach attach = { .flags = IOIPC_SUB_BOTH };
	struct io_uring ring;

	return ipc_open(&ring) ?:
	       io_uring_ipc_channel_attach_name(&ring, arg, &attach);
}

TEST_F_TIMEOUT(refusal, attach_by_name, IPC_TIMEOUT)
{
	struct io_uring_ipc_channel_create create;
	char name[] = "no\nname";

	/* /dev/kmsg escapes the backslash. */
	EXPECT_REFUSAL(root, attach_by_name, name, -ENOENT,
		       "name no\\x5cx0aname: no channel in the caller's IPC namespace has it");
	create = ipc_create_args(IOIPC_F_PRIVATE, ENTRIES, SIZE);
	ASSERT_EQ(0, io_uring_ipc_channel_create_name(&self->ring, name, &create));
	EXPECT_REFUSAL(stranger, attach_by_name, name, -ENOENT,
		       "channel %u: it is private, and the caller is not its owner",
		       create.channel_id_out);
}

TEST_F_TIMEOUT(refusal, destroy, IPC_TIMEOUT)
{
	struct ipc_request request = { .channel = self->channel };

	EXPECT_REFUSAL(stranger, ipc_do_destroy, &request, -EPERM,
		       "channel %u: only its creator and its owner may destroy it",
		       self->channel);
	request.channel = self->private;
	EXPECT_REFUSAL(stranger, ipc_do_destroy, &request, -ENOENT,
		       "channel %u: it is private, and the caller is not its owner",
		       self->private);
	request.channel = NO_ID;
	EXPECT_REFUSAL(root, ipc_do_destroy, &request, -ENOENT,
		       "channel %u: there is none with this id", NO_ID);
}

TEST_F_TIMEOUT(refusal, send_without_attaching, IPC_TIMEOUT)
{
	struct ipc_request request = { .channel = self->channel };

	EXPECT_REFUSAL(stranger, ipc_do_send, &request, -EACCES,
		       "channel %u: its mode does not let the caller send",
		       self->channel);
	request.channel = self->private;
	EXPECT_REFUSAL(stranger, ipc_do_send, &request, -ENOENT,
		       "channel %u: it is private, and the caller is not its owner",
		       self->private);
	EXPECT_REFUSAL(root, ipc_do_send, &request, -EACCES,
		       "channel %u: it is private, and the sender has not attached",
		       self->private);
	request.channel = NO_ID;
	EXPECT_REFUSAL(root, ipc_do_send, &request, -ENOENT,
		       "channel %u: there is none, nor a subscriber of this io_uring instance",
		       NO_ID);
}

/* An attempt of a subscriber that attaches in the child. */
struct attempt {
	__u32	channel;
	__u32	flags;
	int	(*fn)(struct io_uring *ring, struct ipc_sub *sub);
	/* Its id, in shared memory. */
	__u32	*id;
};

static int do_attempt(void *arg)
{
	struct attempt *attempt = arg;
	struct io_uring ring;
	struct ipc_sub sub;
	int ret;

	ret = ipc_open(&ring) ?:
	      ipc_attach(&ring, attempt->channel, attempt->flags, &sub);
	if (ret)
		return ret;
	*attempt->id = sub.id;
	return attempt->fn(&ring, &sub);
}

static int try_send(struct io_uring *ring, struct ipc_sub *sub)
{
	return ipc_send_num(ring, sub->id, 1);
}

static int try_recv(struct io_uring *ring, struct ipc_sub *sub)
{
	return ipc_recv_num(ring, sub->id);
}

static int try_target(struct io_uring *ring, struct ipc_sub *sub)
{
	return ipc_send_num_to(ring, sub->id, 1, sub->id);
}

static int try_recv_nobody(struct io_uring *ring, struct ipc_sub *sub)
{
	(void)sub;
	return ipc_recv_num(ring, NO_ID);
}

static int try_detach_nobody(struct io_uring *ring, struct ipc_sub *sub)
{
	(void)sub;
	return io_uring_ipc_channel_detach(ring, NO_ID);
}

static int try_map(struct io_uring *ring, struct ipc_sub *sub)
{
	(void)ring;
	sub->region_size = sysconf(_SC_PAGESIZE);
	return ipc_region(sub) ? 0 : -errno;
}

static int try_map_detached(struct io_uring *ring, struct ipc_sub *sub)
{
	return io_uring_ipc_channel_detach(ring, sub->id) ?: try_map(ring, sub);
}

static int try_map_writable(struct io_uring *ring, struct ipc_sub *sub)
{
	(void)ring;
	if (mmap(NULL, sub->region_size, PROT_READ | PROT_WRITE, MAP_SHARED,
		 sub->fd, 0) != MAP_FAILED)
		return 0;
	return -errno;
}

TEST_F_TIMEOUT(refusal, subscribers, IPC_TIMEOUT)
{
	struct attempt attempt = {
		.channel = self->channel,
		.id = ipc_shared(sizeof(*attempt.id)),
	};

	ASSERT_NE(NULL, attempt.id);
	attempt.flags = IOIPC_SUB_RECV;
	attempt.fn = try_send;
	EXPECT_REFUSAL(root, do_attempt, &attempt, -EACCES,
		       "subscriber %u: it has attached only to receive",
		       *attempt.id);
	attempt.fn = try_map_detached;
	EXPECT_REFUSAL(root, do_attempt, &attempt, -EACCES,
		       "subscriber %u: it has detached and cannot map",
		       *attempt.id);
	attempt.fn = try_map_writable;
	EXPECT_REFUSAL(root, do_attempt, &attempt, -EACCES,
		       "subscriber %u: it can map the messages only for reading",
		       *attempt.id);
	attempt.fn = try_recv_nobody;
	EXPECT_REFUSAL(root, do_attempt, &attempt, -ENOENT,
		       "subscriber %u: this io_uring instance has no such subscriber",
		       NO_ID);
	attempt.fn = try_detach_nobody;
	EXPECT_REFUSAL(root, do_attempt, &attempt, -ENOENT,
		       "subscriber %u: this io_uring instance has no such subscriber",
		       NO_ID);
	attempt.flags = IOIPC_SUB_SEND;
	attempt.fn = try_recv;
	EXPECT_REFUSAL(root, do_attempt, &attempt, -EACCES,
		       "subscriber %u: it has attached only to send",
		       *attempt.id);
	attempt.fn = try_target;
	EXPECT_REFUSAL(root, do_attempt, &attempt, -ENOENT,
		       "subscriber %u: as a target: it is no receiver of the sender's channel",
		       *attempt.id);
	attempt.fn = try_map;
	EXPECT_REFUSAL(root, do_attempt, &attempt, -EACCES,
		       "subscriber %u: it may not receive, or its channel is private, so it cannot map",
		       *attempt.id);
}

TEST_F_TIMEOUT(refusal, silence_unless_it_is_wanted, IPC_TIMEOUT)
{
	struct ipc_request request = {
		.channel = self->channel,
		.flags = IOIPC_SUB_BOTH,
	};
	pid_t pid;

	ASSERT_EQ(0, write_file(DYNAMIC_DEBUG, "module " IPC_MODULE " -p"));
	ASSERT_LE(0, lseek(self->kmsg, 0, SEEK_END));
	pid = ipc_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		ipc_become(stranger);
		_exit(-ipc_do_attach(&request));
	}
	EXPECT_EQ(EACCES, ipc_wait(pid));
	read_refusals(self->kmsg, pid, &self->got);
	EXPECT_EQ(0, self->got.count);
}

/* Many refused requests in one system call. */
static int flood(struct io_uring *ring, int count)
{
	struct io_uring_cqe *cqe;
	__u64 num;
	int i;

	for (i = 0; i < count; i++)
		wait_get_recv(ring, NO_ID, &num, 0);
	if (io_uring_submit_and_wait(ring, count) != count)
		return IPC_NOT_RUN;
	for (i = 0; i < count; i++) {
		if (io_uring_peek_cqe(ring, &cqe) || cqe->res != -ENOENT)
			return IPC_NOT_RUN;
		io_uring_cqe_seen(ring, cqe);
	}
	return 0;
}

/*
 * One user cannot fill the log.  This test is the last, because it keeps other
 * processes from logging for a while.
 */
TEST_F_TIMEOUT(refusal, a_flood_does_not_fill_the_log, IPC_TIMEOUT)
{
	const int count = 1000;
	struct io_uring ring;
	int most = 0;

	ASSERT_EQ(0, io_uring_queue_init(count, &ring, 0));
	ASSERT_LE(0, lseek(self->kmsg, 0, SEEK_END));
	/* The limit for a while may be reached in the middle of a flood. */
	ASSERT_TRUE(ipc_poll(({
		ASSERT_EQ(0, flood(&ring, count));
		read_refusals(self->kmsg, getpid(), &self->got);
		if (self->got.count > most)
			most = self->got.count;
		most && self->got.count < count / 4;
	})));
	io_uring_queue_exit(&ring);
}

TEST_HARNESS_MAIN
