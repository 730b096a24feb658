// SPDX-License-Identifier: GPL-2.0
/*
 * A message of 64 MiB that nobody copies.
 *
 * The sender fills a memfd, seals it, and sends it with a short message.  Each receiver maps
 * the memfd.  Thanks to the seals the data cannot change any more, neither while a receiver
 * checks it nor later, and it cannot be cut off: a receiver that has looked at the seals needs
 * no copy of its own, even if it does not trust the sender.
 *
 * The channel is a broadcast: all receivers get descriptors of the same memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"

#define RECEIVERS	3
#define ENTRIES		8
#ifdef IPC_THREAD_SANITIZER
/* It takes several times the memory. */
#define SIZE		(4UL << 20)
#else
#define SIZE		(64UL << 20)
#endif
#define WORDS		(SIZE / sizeof(uint64_t))

#define SEALS		(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static unsigned int channel;
static atomic_uint *attached;

/* The message that goes with the data. */
struct letter {
	uint64_t seed;
	uint64_t sum;
};

static uint64_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static int sealed_memory(struct letter *letter)
{
	uint64_t *words, state = letter->seed;
	int memory;

	memory = memfd_create("big message", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (memory < 0 || ftruncate(memory, SIZE))
		die("memfd: %s", strerror(errno));
	words = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	if (words == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	letter->sum = 0;
	for (size_t i = 0; i < WORDS; i++) {
		words[i] = next(&state);
		letter->sum += words[i];
	}
	/* F_SEAL_WRITE needs that nobody can write through a mapping. */
	munmap(words, SIZE);
	if (fcntl(memory, F_ADD_SEALS, SEALS))
		die("sealing: %s", strerror(errno));
	return memory;
}

static void check_memory(int memory, const struct letter *letter)
{
	const uint64_t *words;
	uint64_t sum = 0;
	struct stat stat;

	if ((fcntl(memory, F_GET_SEALS) & SEALS) != SEALS)
		die("the memory is not sealed");
	if (fstat(memory, &stat) || (size_t)stat.st_size != SIZE)
		die("the memory has %jd bytes", (intmax_t)stat.st_size);
	words = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, memory, 0);
	if (words == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	for (size_t i = 0; i < WORDS; i++)
		sum += words[i];
	if (sum != letter->sum)
		die("the sum is %" PRIx64 " in place of %" PRIx64, sum, letter->sum);
	munmap((void *)words, SIZE);
}

static void receiver(void *arg)
{
	struct {
		struct io_uring_ipc_msg_info info;
		struct letter letter;
	} got;
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	unsigned int id;
	int ret, memory;

	(void)arg;
	open_ring(&ring, 0);
	id = attach_channel(&ring, channel, IOIPC_SUB_RECV);
	atomic_fetch_add(attached, 1);
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_ipc_recv(sqe, id, &got, sizeof(got), IOIPC_RECV_WAIT | IOIPC_RECV_INFO);
	ipc_sqe_set_recv_fds(sqe, &memory, 1);
	ret = submit_one(&ring);
	if (ret != sizeof(got))
		die("receiving: %s", ret < 0 ? strerror(-ret) : "not the right message");
	if (got.info.fds != 1 || got.info.flags & IOIPC_INFO_FDS_LOST)
		die("the message has no memory");
	check_memory(memory, &got.letter);
	printf("process %d has read %lu MiB in place\n", (int)getpid(), SIZE >> 20);
	fflush(stdout);
	close(memory);
	io_uring_queue_exit(&ring);
}

int main(void)
{
	struct letter letter = { .seed = 1 };
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	int memory, ret;

	require_ipc();
	attached = shared_alloc(sizeof(*attached));
	open_ring(&ring, 0);
	channel = create_channel(&ring, IOIPC_F_BROADCAST, ENTRIES, sizeof(letter));
	for (int i = 0; i < RECEIVERS; i++)
		spawn(receiver, NULL, "receiver %d", i);
	wait_for(attached, RECEIVERS, "receivers to attach");

	memory = sealed_memory(&letter);
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_ipc_send(sqe, channel, &letter, sizeof(letter), 0, IOIPC_SEND_WAIT);
	ipc_sqe_set_send_fds(sqe, &memory, 1);
	ret = submit_one(&ring);
	if (ret < 0)
		die("sending: %s", strerror(-ret));
	/* The message has the memory now. */
	close(memory);
	wait_children();
	io_uring_queue_exit(&ring);
	return 0;
}
