// SPDX-License-Identifier: GPL-2.0
/*
 * Streams a file through a broadcast channel to receivers that each get the whole
 * file.  Then spreads it over the workers of a multicast channel.  Checks that
 * everything arrived as it was sent, and prints what each process did.
 *
 * usage: demo FILE
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"

#define RECEIVERS	16
#define WORKERS		8
#define MESSAGE_SIZE	4096U
/* Much less than the file needs, so that senders meet a full ring. */
#define RING_ENTRIES	64

/* The first broadcast message.  All others are pieces of the file. */
struct file_header {
	uint64_t length;
	uint8_t digest[SHA256_DIGEST_LENGTH];
};

enum work_kind {
	WORK_RECORD,
	WORK_REPLY,
	WORK_STOP,
};

/* A piece of the file, for any worker. */
struct record {
	uint32_t kind;
	uint32_t number;
	uint8_t digest[SHA256_DIGEST_LENGTH];
	uint8_t data[];
};

#define RECORD_DATA_SIZE	(MESSAGE_SIZE - sizeof(struct record))

/* How many records a worker has processed; sent to this worker alone. */
struct reply {
	uint32_t kind;
	uint32_t worker;
	uint64_t records;
};

union work {
	uint32_t kind;
	struct record record;
	struct reply reply;
	uint8_t bytes[MESSAGE_SIZE];
};

/* What one process has sent or received of a stream. */
struct tally {
	uint64_t messages;
	uint64_t bytes;
	uint64_t end_ns;
	bool digest_ok;
};

struct receiver {
	uint32_t number;
	uint8_t digest[SHA256_DIGEST_LENGTH];
	struct tally tally;
};

struct worker {
	uint32_t number;
	uint32_t subscriber;
	bool reply_ok;
	struct tally tally;
};

static struct shared {
	/* Of the current stream; valid once @created is set. */
	unsigned int channel;
	atomic_uint created;
	atomic_uint attached;

	struct receiver receivers[RECEIVERS];
	struct worker workers[WORKERS];
	atomic_uint nr_processed;
	/* How often each record was processed. */
	atomic_uint processed[];
} *shared;

static struct file {
	const char *path;
	const uint8_t *data;
	size_t size;
	uint32_t nr_records;
	uint8_t digest[SHA256_DIGEST_LENGTH];
} file;

static void sha256(const void *data, size_t len, uint8_t digest[SHA256_DIGEST_LENGTH])
{
	SHA2_CTX context;

	SHA256Init(&context);
	SHA256Update(&context, data, len);
	SHA256Final(digest, &context);
}

static bool same_digest(const uint8_t *a, const uint8_t *b)
{
	return !memcmp(a, b, SHA256_DIGEST_LENGTH);
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

static void map_file(const char *path)
{
	struct stat st;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		die("%s cannot be opened: %s", path, strerror(errno));
	if (st.st_size < 1)
		die("%s is empty", path);
	file.path = path;
	file.size = (size_t)st.st_size;
	file.data = mmap(NULL, file.size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (file.data == MAP_FAILED)
		die("%s cannot be mapped: %s", path, strerror(errno));
	close(fd);
	file.nr_records = (uint32_t)((file.size + RECORD_DATA_SIZE - 1) / RECORD_DATA_SIZE);
	sha256(file.data, file.size, file.digest);
}

static void send_message(struct io_uring *ring, unsigned int id, const void *buf, size_t len,
			 unsigned int target)
{
	int ret = ipc_send_wait(ring, id, buf, (unsigned int)len, target);

	if (ret < 0)
		die("IPC_SEND: %s", strerror(-ret));
	if ((size_t)ret != len)
		die("IPC_SEND sent %d of %zu bytes", ret, len);
}

static size_t receive_message(struct io_uring *ring, unsigned int id, void *buf, size_t size)
{
	int ret = ipc_recv_wait(ring, id, buf, (unsigned int)size);

	if (ret < 0)
		die("IPC_RECV: %s", strerror(-ret));
	return (size_t)ret;
}

static void expect_nothing(struct io_uring *ring, unsigned int id)
{
	uint8_t byte;
	int ret = ipc_recv(ring, id, &byte, sizeof(byte));

	if (ret != -EAGAIN)
		die("IPC_RECV after the end of the stream: %s",
		    ret < 0 ? strerror(-ret) : "one more message");
}

static void count(struct tally *tally, size_t bytes)
{
	tally->messages++;
	tally->bytes += bytes;
	tally->end_ns = now_ns();
}

/* Creates the channel of a stream, and waits until all children are attached. */
static unsigned int start_stream(struct io_uring *ring, unsigned int flags, unsigned int children)
{
	open_ring(ring, 0);
	shared->channel = create_channel(ring, flags, RING_ENTRIES, MESSAGE_SIZE);
	atomic_store(&shared->created, 1);
	wait_for(&shared->attached, children, "the receivers to attach");
	return attach_channel(ring, shared->channel, IOIPC_SUB_SEND);
}

static void end_stream(struct io_uring *ring)
{
	int ret;

	wait_children();
	ret = io_uring_ipc_channel_destroy(ring, shared->channel);
	if (ret)
		die("io_uring_ipc_channel_destroy: %s", strerror(-ret));
	io_uring_queue_exit(ring);
	atomic_store(&shared->created, 0);
	atomic_store(&shared->attached, 0);
}

/* The other side of start_stream(), in a child. */
static unsigned int join_stream(struct io_uring *ring)
{
	open_ring(ring, 0);
	wait_for(&shared->created, 1, "the channel");
	return attach_channel(ring, shared->channel, IOIPC_SUB_RECV);
}

static void receive_file(void *arg)
{
	struct receiver *self = arg;
	struct tally *tally = &self->tally;
	uint8_t chunk[MESSAGE_SIZE];
	struct file_header header;
	struct io_uring ring;
	SHA2_CTX context;
	unsigned int id;
	size_t len;

	id = join_stream(&ring);
	atomic_fetch_add(&shared->attached, 1);

	len = receive_message(&ring, id, &header, sizeof(header));
	if (len != sizeof(header))
		die("the first message has %zu bytes, not %zu", len, sizeof(header));
	SHA256Init(&context);
	while (tally->bytes < header.length) {
		len = receive_message(&ring, id, chunk, sizeof(chunk));
		SHA256Update(&context, chunk, len);
		count(tally, len);
	}
	expect_nothing(&ring, id);
	SHA256Final(self->digest, &context);
	tally->digest_ok = same_digest(self->digest, header.digest);
}

static void send_file(struct tally *sender, uint64_t *start_ns)
{
	struct file_header header = { .length = file.size };
	struct io_uring ring;
	size_t offset, len;
	unsigned int id, i;

	for (i = 0; i < RECEIVERS; i++) {
		shared->receivers[i].number = i;
		spawn(receive_file, &shared->receivers[i], "receiver %u", i);
	}
	id = start_stream(&ring, IOIPC_F_BROADCAST, RECEIVERS);

	*start_ns = now_ns();
	memcpy(header.digest, file.digest, sizeof(header.digest));
	send_message(&ring, id, &header, sizeof(header), 0);
	for (offset = 0; offset < file.size; offset += len) {
		len = smaller(file.size - offset, MESSAGE_SIZE);
		send_message(&ring, id, file.data + offset, len, 0);
		count(sender, len);
	}
	end_stream(&ring);
}

static bool record_is_intact(const struct record *record, size_t data_len)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];

	sha256(record->data, data_len, digest);
	return same_digest(digest, record->digest);
}

static void process_record(struct worker *self, const struct record *record, size_t len)
{
	if (len <= sizeof(*record) || record->number >= file.nr_records)
		die("a record of %zu bytes with number %u was never sent", len, record->number);
	len -= sizeof(*record);
	if (!record_is_intact(record, len))
		self->tally.digest_ok = false;
	count(&self->tally, len);
	atomic_fetch_add(&shared->processed[record->number], 1);
	atomic_fetch_add(&shared->nr_processed, 1);
}

static bool reply_is_mine(const struct worker *self, const struct reply *reply, size_t len)
{
	return len == sizeof(*reply) && reply->worker == self->number &&
	       reply->records == self->tally.messages;
}

static void process_records(void *arg)
{
	struct worker *self = arg;
	unsigned int id, replies = 0;
	struct io_uring ring;
	union work work;
	size_t len;

	id = join_stream(&ring);
	self->subscriber = id;
	self->tally.digest_ok = true;
	self->reply_ok = true;
	atomic_fetch_add(&shared->attached, 1);

	for (;;) {
		len = receive_message(&ring, id, &work, sizeof(work));
		switch (work.kind) {
		case WORK_RECORD:
			process_record(self, &work.record, len);
			break;
		case WORK_REPLY:
			replies++;
			if (!reply_is_mine(self, &work.reply, len))
				self->reply_ok = false;
			break;
		case WORK_STOP:
			expect_nothing(&ring, id);
			if (replies != 1)
				self->reply_ok = false;
			return;
		default:
			die("a message of kind %u was never sent", work.kind);
		}
	}
}

static void send_records(struct tally *coordinator, uint64_t *start_ns)
{
	struct io_uring ring;
	struct worker *worker;
	unsigned int id, i;
	union work work;
	size_t offset, len;

	for (i = 0; i < WORKERS; i++) {
		shared->workers[i].number = i;
		spawn(process_records, &shared->workers[i], "worker %u", i);
	}
	id = start_stream(&ring, IOIPC_F_MULTICAST, WORKERS);

	*start_ns = now_ns();
	work.kind = WORK_RECORD;
	for (i = 0; i < file.nr_records; i++) {
		offset = i * RECORD_DATA_SIZE;
		len = smaller(file.size - offset, RECORD_DATA_SIZE);
		work.record.number = i;
		memcpy(work.record.data, file.data + offset, len);
		sha256(work.record.data, len, work.record.digest);
		send_message(&ring, id, &work, sizeof(work.record) + len, 0);
		count(coordinator, len);
	}
	wait_for(&shared->nr_processed, file.nr_records, "the workers to process all records");

	for (i = 0; i < WORKERS; i++) {
		worker = &shared->workers[i];
		work.reply = (struct reply){
			.kind = WORK_REPLY,
			.worker = i,
			.records = worker->tally.messages,
		};
		send_message(&ring, id, &work, sizeof(work.reply), worker->subscriber);
	}
	work.kind = WORK_STOP;
	for (i = 0; i < WORKERS; i++)
		send_message(&ring, id, &work, sizeof(work.kind), shared->workers[i].subscriber);
	end_stream(&ring);
}

static const char *yes_no(bool yes)
{
	return yes ? "yes" : "NO";
}

static void print_row(const char *role, int number, const struct tally *tally, const char *digest,
		      uint64_t start_ns)
{
	char who[24], ns[24] = "-";

	if (number < 0)
		snprintf(who, sizeof(who), "%s", role);
	else
		snprintf(who, sizeof(who), "%s %d", role, number);
	/* A slow worker may find nothing left to do. */
	if (tally->messages)
		snprintf(ns, sizeof(ns), "%" PRIu64, (tally->end_ns - start_ns) / tally->messages);
	printf("%-12s %8" PRIu64 " %10" PRIu64 "  %-9s %10s\n", who, tally->messages, tally->bytes,
	       digest, ns);
}

static bool print_file_stream(const struct tally *sender, uint64_t start_ns)
{
	bool ok, all_ok = true;
	unsigned int i;

	print_row("sender", -1, sender, "-", start_ns);
	for (i = 0; i < RECEIVERS; i++) {
		const struct receiver *receiver = &shared->receivers[i];

		/* Checks the digest that the sender claims, and the bytes against the file. */
		ok = receiver->tally.digest_ok && same_digest(receiver->digest, file.digest);
		print_row("receiver", (int)i, &receiver->tally, yes_no(ok), start_ns);
		all_ok &= ok;
	}
	return all_ok;
}

static bool print_record_stream(const struct tally *coordinator, uint64_t start_ns)
{
	bool digests_ok = true, once = true, replies_ok = true;
	unsigned int i;

	print_row("coordinator", -1, coordinator, "-", start_ns);
	for (i = 0; i < WORKERS; i++) {
		const struct worker *worker = &shared->workers[i];

		print_row("worker", (int)i, &worker->tally, yes_no(worker->tally.digest_ok),
			  start_ns);
		digests_ok &= worker->tally.digest_ok;
		replies_ok &= worker->reply_ok;
	}
	for (i = 0; i < file.nr_records; i++)
		once &= atomic_load(&shared->processed[i]) == 1;
	printf("each of %u records processed exactly once: %s\n", file.nr_records, yes_no(once));
	printf("each of %u workers got its targeted reply and no other: %s\n", WORKERS,
	       yes_no(replies_ok));
	return digests_ok && once && replies_ok;
}

int main(int argc, char **argv)
{
	struct tally sender = {}, coordinator = {};
	uint64_t file_start_ns, records_start_ns;
	unsigned int i;
	bool ok;

	if (argc != 2)
		die("usage: demo FILE");
	require_ipc();
	map_file(argv[1]);
	shared = shared_alloc(sizeof(*shared) + file.nr_records * sizeof(*shared->processed));

	send_file(&sender, &file_start_ns);
	send_records(&coordinator, &records_start_ns);

	printf("%s: %zu bytes, SHA-256 ", file.path, file.size);
	for (i = 0; i < SHA256_DIGEST_LENGTH; i++)
		printf("%02x", file.digest[i]);
	printf("\nns/message: time since the start of the stream over messages, with hashing\n\n");
	printf("%-12s %8s %10s  %-9s %10s\n",
	       "who", "messages", "bytes", "digest ok", "ns/message");
	ok = print_file_stream(&sender, file_start_ns);
	ok &= print_record_stream(&coordinator, records_start_ns);
	return ok ? 0 : 1;
}
