// SPDX-License-Identifier: GPL-2.0
/*
 * An honest pair beside processes that attack it.  All attackers belong to
 * another user.  Some may use the channel of the pair, but must not slow the
 * pair with what they do there.  Others have no permission and try all the
 * same.  Others use up the limits of a user.  The pair must notice nothing.
 *
 * See honest_pair.h for the comparison.  A process that may send in a channel
 * can fill the channel with messages, so its messages count with those of the
 * pair.
 */
#include "honest_pair.h"
#include "uffd.h"
#include <sys/mount.h>

/*
 * The largest message of the channel.  It is small, because an emulated
 * processor can stop a sender in the middle of a copy.
 */
#define SIZE	1024
#define CGROUP	"/sys/fs/cgroup/ipc_adversary"

static const struct ipc_who stranger = { IPC_OTHER_UID, IPC_OTHER_GID, 0 };

/* The test notices a failure, because an adversary never ends otherwise. */
#define MUST(condition) do {						\
	if (!(condition)) {						\
		printf("# adversary: line %d: %s\n", __LINE__, #condition); \
		fflush(stdout);						\
		_exit(KSFT_FAIL);					\
	}								\
} while (0)

/* Becomes a process of another user, with a ring. */
static void start(struct io_uring *ring, unsigned int entries)
{
	struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };

	MUST(!setrlimit(RLIMIT_MEMLOCK, &none));
	ipc_become(stranger);
	MUST(!io_uring_queue_init(entries, ring, 0));
}

static void join(struct pair *pair, struct io_uring *ring, __u32 flags,
		 struct ipc_sub *sub)
{
	start(ring, 8);
	MUST(!ipc_attach(ring, pair->channel, flags, sub));
}

static void attacked(struct pair *pair)
{
	pair->attacks++;
	pair->ready = true;
}

/* The neutral process where each receiver costs the senders time. */
static void receive_honestly(struct pair *pair)
{
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	struct ipc_sub sub;
	char buf[SIZE];

	join(pair, &ring, IOIPC_SUB_RECV, &sub);
	for (;;) {
		attacked(pair);
		sqe = io_uring_get_sqe(&ring);
		io_uring_prep_ipc_recv(sqe, sub.id, buf, SIZE, IOIPC_RECV_WAIT);
		MUST(ipc_run(&ring) >= 0);
	}
}

/*
 * A page that arrives late each time a process touches it, like a page of a
 * slow FUSE file.
 */
static void *fill_late(void *arg)
{
	struct uffd *uffd = arg;

	for (;;) {
		if (uffd_wait(uffd)) {
			ipc_nap(2000);
			uffd_fill(uffd, 'u');
		}
	}
	return NULL;
}

static void open_slow_page(struct uffd *uffd)
{
	int ret = uffd_open(uffd, 0);

	if (ret == -ENOSYS || ret == -EPERM)
		_exit(KSFT_SKIP);
	MUST(!ret);
}

static void send_from_slow_page(struct pair *pair)
{
	struct uffd uffd = {};
	struct io_uring ring;
	struct ipc_sub sub;
	pthread_t thread;
	int ret;

	open_slow_page(&uffd);
	join(pair, &ring, IOIPC_SUB_SEND, &sub);
	MUST(!pthread_create(&thread, NULL, fill_late, &uffd));
	for (;;) {
		ret = ipc_send(&ring, sub.id, uffd.mem, 64);
		MUST(ret == 64 || ret == -ENOBUFS);
		MUST(!madvise(uffd.mem, uffd.page, MADV_DONTNEED));
		attacked(pair);
	}
}

static void receive_to_slow_page(struct pair *pair)
{
	struct uffd uffd = {};
	struct io_uring ring;
	struct ipc_sub sub;
	pthread_t thread;
	int ret;

	open_slow_page(&uffd);
	join(pair, &ring, IOIPC_SUB_BOTH, &sub);
	MUST(!pthread_create(&thread, NULL, fill_late, &uffd));
	for (;;) {
		/*
		 * In a queue, the messages of the pair are not for this
		 * receiver.
		 */
		if (pair->targeted) {
			ret = ipc_send_num(&ring, sub.id, 1);
			MUST(ret == IPC_NUM || ret == -ENOBUFS);
		}
		ret = ipc_recv(&ring, sub.id, uffd.mem, 64);
		MUST(ret >= 0 || ret == -EAGAIN);
		MUST(!madvise(uffd.mem, uffd.page, MADV_DONTNEED));
		attacked(pair);
	}
}

/* A page that another thread removes and restores, all the time. */
struct vanishing {
	char	*page;
	size_t	size;
	int	fd;
	void	(*vanish)(struct vanishing *vanishing);
};

static void punch_hole(struct vanishing *vanishing)
{
	MUST(!fallocate(vanishing->fd, FALLOC_FL_PUNCH_HOLE |
			FALLOC_FL_KEEP_SIZE, vanishing->size,
			vanishing->size));
}

static void protect(struct vanishing *vanishing)
{
	MUST(!mprotect(vanishing->page, vanishing->size, PROT_NONE));
	MUST(!mprotect(vanishing->page, vanishing->size,
		       PROT_READ | PROT_WRITE));
}

static void map_again(struct vanishing *vanishing)
{
	MUST(!munmap(vanishing->page, vanishing->size));
	MUST(mmap(vanishing->page, vanishing->size, PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_FIXED, vanishing->fd, vanishing->size) ==
	     vanishing->page);
}

static void *vanish(void *arg)
{
	struct vanishing *vanishing = arg;

	/* Really at the same time, if there is a third processor. */
	if (sysconf(_SC_NPROCESSORS_ONLN) > PAIR_OTHERS + 1)
		pair_pin(PAIR_OTHERS + 1);
	for (;;)
		vanishing->vanish(vanishing);
	return NULL;
}

/* Half of the buffer is in that page. */
static void use_vanishing_page(struct pair *pair, bool send,
			       void (*vanish_how)(struct vanishing *))
{
	static struct vanishing vanishing;
	char *mem, *buf;
	struct io_uring ring;
	struct ipc_sub sub;
	pthread_t thread;
	int ret;

	join(pair, &ring, send ? IOIPC_SUB_SEND : IOIPC_SUB_BOTH, &sub);
	vanishing.vanish = vanish_how;
	vanishing.size = sysconf(_SC_PAGESIZE);
	vanishing.fd = memfd_create("vanishing", MFD_CLOEXEC);
	MUST(vanishing.fd >= 0);
	MUST(!ftruncate(vanishing.fd, 2 * vanishing.size));
	mem = mmap(NULL, 2 * vanishing.size, PROT_READ | PROT_WRITE, MAP_SHARED,
		   vanishing.fd, 0);
	MUST(mem != MAP_FAILED);
	vanishing.page = mem + vanishing.size;
	buf = vanishing.page - SIZE / 2;
	MUST(!pthread_create(&thread, NULL, vanish, &vanishing));
	for (;;) {
		if (send || pair->targeted) {
			ret = ipc_send(&ring, sub.id, buf, SIZE);
			MUST(ret == SIZE || ret == -EFAULT || ret == -ENOBUFS);
		}
		if (!send) {
			ret = ipc_recv(&ring, sub.id, buf, SIZE);
			MUST(ret >= 0 || ret == -EFAULT || ret == -EAGAIN);
		}
		attacked(pair);
	}
}

static void send_from_punched_memfd(struct pair *pair)
{
	use_vanishing_page(pair, true, punch_hole);
}

static void send_from_protected_pages(struct pair *pair)
{
	use_vanishing_page(pair, true, protect);
}

static void receive_to_unmapped_pages(struct pair *pair)
{
	use_vanishing_page(pair, false, map_again);
}

static void send_for_ever(struct pair *pair)
{
	static char buf[SIZE];
	struct io_uring ring;
	struct ipc_sub sub;
	int ret;

	MUST(!ipc_open(&ring));
	MUST(!ipc_attach(&ring, pair->channel, IOIPC_SUB_SEND, &sub));
	for (;;) {
		ret = ipc_send(&ring, sub.id, buf, SIZE);
		MUST(ret == SIZE || ret == -ENOBUFS);
	}
}

/* A sender is stopped and killed at any point, and comes back. */
static void stop_and_kill(struct pair *pair)
{
	__u32 random = getpid();
	pid_t pid = 0;

	ipc_become(stranger);
	for (;;) {
		if (!pid) {
			pid = ipc_fork();
			MUST(pid >= 0);
			if (!pid)
				send_for_ever(pair);
		}
		ipc_nap(ipc_random(&random) % 2000);
		MUST(!kill(pid, SIGSTOP));
		ipc_nap(ipc_random(&random) % 4000);
		MUST(!waitpid(pid, NULL, WNOHANG));
		MUST(!kill(pid, SIGCONT));
		if (ipc_random(&random) % 4 == 0) {
			MUST(!kill(pid, SIGKILL));
			MUST(ipc_wait(pid) == 128 + SIGKILL);
			pid = 0;
		}
		attacked(pair);
	}
}

static void never_drain(struct pair *pair)
{
	struct io_uring ring;
	struct ipc_sub sub;

	join(pair, &ring, IOIPC_SUB_RECV, &sub);
	pair_asleep(pair);
}

/*
 * In a broadcast a receiver may hold up all senders, so this one has its own.
 */
static void never_drain_own_broadcast(struct pair *pair)
{
	struct io_uring ring;
	struct ipc_sub sub;
	__u64 num = 0;
	__u32 channel;
	int i;

	start(&ring, 64);
	MUST(!ipc_create(&ring, IOIPC_F_BROADCAST, 8, 64, &channel));
	MUST(!ipc_attach(&ring, channel, IOIPC_SUB_BOTH, &sub));
	MUST(ipc_send_nums(&ring, sub.id, 0, 8) == 8);
	for (i = 0; i < 64; i++)
		wait_get_send(&ring, sub.id, &num, i);
	MUST(io_uring_submit(&ring) == 64);
	pair_asleep(pair);
}

static void write_garbage(struct pair *pair)
{
	struct io_uring_ipc_channel_attach attach = {
		.channel_id = pair->channel,
		.flags = IOIPC_SUB_RECV,
	};
	__u32 random = getpid();
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	struct ipc_map map;
	int ret;

	start(&ring, 8);
	MUST(!io_uring_ipc_channel_attach(&ring, &attach));
	MUST(!ipc_map(&map, &attach));
	for (;;) {
		__atomic_store_n(&map.cursor->position, ipc_random(&random),
				 __ATOMIC_RELAXED);
		attacked(pair);
		if (pair->attacks % 1000)
			continue;
		/* Whether the kernel has accepted the position. */
		sqe = io_uring_get_sqe(&ring);
		io_uring_prep_ipc_recv_mapped(sqe, attach.local_id_out, 0);
		ret = ipc_run(&ring);
		MUST(ret == -EAGAIN || (ret >= 0 && ret <= PAIR_ENTRIES));
	}
}

/* As many channels as the locked memory of a user allows. */
static void flood_with_channels(struct pair *pair)
{
	struct rlimit memory = { 1 << 20, 1 << 20 };
	__u32 channels[1024];
	struct io_uring ring;
	int count, ret = 0;

	ipc_become(stranger);
	MUST(!setrlimit(RLIMIT_MEMLOCK, &memory));
	/* The kernel frees the channels of the last ring a moment later. */
	MUST(ipc_poll(!ipc_open(&ring)));
	for (;;) {
		for (count = 0; count < ARRAY_SIZE(channels); count++) {
			ret = ipc_create(&ring, 0, 8, 64, &channels[count]);
			if (ret)
				break;
		}
		MUST(ret == -ENOMEM);
		attacked(pair);
		while (count)
			MUST(!io_uring_ipc_channel_destroy(&ring,
							   channels[--count]));
	}
}

/* As many subscribers of the pair's channel as a process may have files. */
static void flood_with_subscribers(struct pair *pair)
{
	struct rlimit files = { 512, 512 };
	struct ipc_sub subs[512];
	struct io_uring ring;
	int count, ret = 0;

	MUST(!setrlimit(RLIMIT_NOFILE, &files));
	start(&ring, 8);
	for (;;) {
		for (count = 0; count < ARRAY_SIZE(subs); count++) {
			ret = ipc_attach(&ring, pair->channel, IOIPC_SUB_RECV,
					 &subs[count]);
			if (ret)
				break;
		}
		MUST(ret == -EMFILE);
		attacked(pair);
		while (count) {
			count--;
			MUST(!io_uring_ipc_channel_detach(&ring,
							  subs[count].id));
			MUST(!close(subs[count].fd));
		}
	}
}

/* Requests that wait for messages to other receivers. */
static void flood_with_requests(struct pair *pair)
{
	struct io_uring_sync_cancel_reg all = {
		.flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL,
		.timeout = { .tv_sec = -1, .tv_nsec = -1 },
	};
	static __u64 nums[1024];
	struct io_uring_cqe *cqe;
	struct io_uring ring;
	struct ipc_sub sub;
	int i;

	start(&ring, ARRAY_SIZE(nums));
	MUST(!ipc_attach(&ring, pair->channel, IOIPC_SUB_RECV, &sub));
	for (;;) {
		for (i = 0; i < ARRAY_SIZE(nums); i++)
			wait_get_recv(&ring, sub.id, &nums[i], i);
		MUST(io_uring_submit(&ring) == ARRAY_SIZE(nums));
		attacked(pair);
		MUST(io_uring_register_sync_cancel(&ring, &all) >= 0);
		for (i = 0; i < ARRAY_SIZE(nums); i++) {
			MUST(!io_uring_wait_cqe(&ring, &cqe));
			MUST(cqe->res == -ECANCELED);
			io_uring_cqe_seen(&ring, cqe);
		}
	}
}

/*
 * Channels until the memory of the cgroup is used up, which kills the process.
 */
static void flood_memory_cgroup(struct pair *pair)
{
	struct io_uring ring;
	__u32 channel;
	pid_t pid;

	ipc_put("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	mkdir(CGROUP, 0755);
	if (!ipc_put(CGROUP "/memory.max", "32M"))
		_exit(KSFT_SKIP);
	MUST(ipc_put(CGROUP "/cgroup.procs", "0"));
	/* The kernel must kill the children, and not this process. */
	MUST(ipc_put("/proc/self/oom_score_adj", "-1000"));
	for (;;) {
		pid = ipc_fork();
		if (!pid) {
			MUST(ipc_put("/proc/self/oom_score_adj", "1000"));
			start(&ring, 8);
			while (!ipc_create(&ring, 0, 8, 1 << 20, &channel))
				;
			_exit(0);
		}
		/* There may be no memory for a child yet. */
		if (pid < 0)
			continue;
		/* The child was killed, or got ENOMEM. */
		ipc_wait(pid);
		attacked(pair);
	}
}

/* Tries all operations with ids around those of the pair. */
static void guess(struct pair *pair, struct io_uring *ring, bool visible)
{
	__u32 random = getpid(), id;
	struct ipc_sub sub;
	__u64 key;
	int ret;

	for (;;) {
		id = pair->channel - 16 + ipc_random(&random) % 32;
		ret = ipc_attach(ring, id, IOIPC_SUB_RECV, &sub);
		MUST(ret == -ENOENT || (visible && ret == -EACCES));
		ret = ipc_send_num(ring, id, 1);
		MUST(ret == -ENOENT || (visible && ret == -EACCES));
		ret = ipc_recv_num(ring, id);
		MUST(ret == -ENOENT);
		ret = io_uring_ipc_channel_detach(ring, id);
		MUST(ret == -ENOENT || (visible && ret == -EPERM));
		ret = io_uring_ipc_channel_destroy(ring, id);
		MUST(ret == -ENOENT || (visible && ret == -EPERM));
		key = (__u64)ipc_random(&random) << 32 | ipc_random(&random);
		ret = ipc_attach_key(ring, key, IOIPC_SUB_RECV, &sub);
		MUST(ret == -ENOENT);
		attacked(pair);
	}
}

static void guess_as_stranger(struct pair *pair)
{
	struct io_uring ring;

	start(&ring, 8);
	guess(pair, &ring, true);
}

/* With all capabilities, in a user namespace. */
static void guess_as_container_root(struct pair *pair)
{
	struct io_uring ring;

	ipc_become(stranger);
	if (unshare(CLONE_NEWUSER))
		_exit(KSFT_SKIP);
	MUST(!ipc_open(&ring));
	guess(pair, &ring, true);
}

static void guess_from_other_namespace(struct pair *pair)
{
	struct io_uring ring;

	ipc_become(stranger);
	if (unshare(CLONE_NEWUSER | CLONE_NEWIPC))
		_exit(KSFT_SKIP);
	MUST(!ipc_open(&ring));
	guess(pair, &ring, false);
}

/* Creates and destroys channels, with subscribers and messages. */
static void create_and_destroy(struct pair *pair)
{
	struct io_uring ring;
	struct ipc_sub sub;
	__u32 channel;

	start(&ring, 8);
	for (;;) {
		MUST(!ipc_create(&ring, 0, 8, 64, &channel));
		MUST(!ipc_attach(&ring, channel, IOIPC_SUB_BOTH, &sub));
		MUST(ipc_send_num(&ring, sub.id, 1) == IPC_NUM);
		MUST(!io_uring_ipc_channel_destroy(&ring, channel));
		MUST(ipc_send_num(&ring, sub.id, 2) == -EPIPE);
		MUST(ipc_recv_num(&ring, sub.id) == 1);
		MUST(!io_uring_ipc_channel_detach(&ring, sub.id));
		MUST(!close(sub.fd));
		attacked(pair);
	}
}

/*
 * A process that runs only when no other process wants to run, with a process
 * that often wants to run.
 */
static void starve(struct pair *pair, bool send, __u32 len)
{
	const struct sched_param idle = { 0 };
	static char buf[1 << 20];
	struct io_uring ring;
	struct ipc_sub sub;
	double end;
	pid_t pid;
	int ret;

	memset(buf, 0, len);
	join(pair, &ring, IOIPC_SUB_BOTH, &sub);
	pid = ipc_fork();
	MUST(pid >= 0);
	while (!pid) {
		ipc_nap(1000);
		end = ipc_now() + 0.01;
		while (ipc_now() < end)
			;
	}
	MUST(!sched_setscheduler(0, SCHED_IDLE, &idle));
	for (;;) {
		ret = ipc_send(&ring, sub.id, buf, len);
		MUST(ret == (int)len || ret == -ENOBUFS);
		if (!send) {
			ret = ipc_recv(&ring, sub.id, buf, len);
			MUST(ret >= 0 || ret == -EAGAIN);
		}
		attacked(pair);
	}
}

static void starve_small_sender(struct pair *pair)
{
	starve(pair, true, 64);
}

static void starve_sender(struct pair *pair)
{
	starve(pair, true, SIZE);
}

static void starve_receiver(struct pair *pair)
{
	starve(pair, false, SIZE);
}

FIXTURE(adversary) {
	struct io_uring ring;
	struct pair *pair;
};

FIXTURE_VARIANT(adversary) {
	pair_attack attack;
	/* Flags of the channel of the pair. */
	__u32 flags;
	__u32 mode;
	/* The process that the attacker is compared with. */
	pair_attack neutral;
};

#define OVERWRITE	(IOIPC_F_BROADCAST | IOIPC_F_OVERWRITE)

/* These attackers may send and receive in the channel of the pair. */

FIXTURE_VARIANT_ADD(adversary, sends_from_slow_page) {
	.attack = send_from_slow_page,
	.mode = 0666,
	.neutral = pair_asleep,
};

FIXTURE_VARIANT_ADD(adversary, sends_from_slow_page_to_all) {
	.attack = send_from_slow_page,
	.flags = IOIPC_F_BROADCAST,
	.mode = 0666,
	.neutral = pair_asleep,
};

FIXTURE_VARIANT_ADD(adversary, sends_from_punched_memfd) {
	.attack = send_from_punched_memfd,
	.mode = 0666,
	.neutral = pair_busy,
};

FIXTURE_VARIANT_ADD(adversary, sends_from_punched_memfd_to_all) {
	.attack = send_from_punched_memfd,
	.flags = IOIPC_F_BROADCAST,
	.mode = 0666,
	.neutral = pair_busy,
};

FIXTURE_VARIANT_ADD(adversary, sends_from_protected_pages) {
	.attack = send_from_protected_pages,
	.mode = 0666,
	.neutral = pair_busy,
};

FIXTURE_VARIANT_ADD(adversary, is_stopped_and_killed) {
	.attack = stop_and_kill,
	.mode = 0666,
	.neutral = pair_busy,
};

FIXTURE_VARIANT_ADD(adversary, is_stopped_and_killed_to_all) {
	.attack = stop_and_kill,
	.flags = IOIPC_F_BROADCAST,
	.mode = 0666,
	.neutral = pair_busy,
};

FIXTURE_VARIANT_ADD(adversary, receives_to_slow_page) {
	.attack = receive_to_slow_page,
	.flags = IOIPC_F_MULTICAST,
	.mode = 0666,
	.neutral = pair_asleep,
};

FIXTURE_VARIANT_ADD(adversary, receives_to_slow_page_from_all) {
	.attack = receive_to_slow_page,
	.flags = OVERWRITE,
	.mode = 0666,
	.neutral = receive_honestly,
};

FIXTURE_VARIANT_ADD(adversary, receives_to_unmapped_pages) {
	.attack = receive_to_unmapped_pages,
	.mode = 0666,
	.neutral = pair_busy,
};

FIXTURE_VARIANT_ADD(adversary, receives_to_unmapped_pages_from_all) {
	.attack = receive_to_unmapped_pages,
	.flags = OVERWRITE,
	.mode = 0666,
	.neutral = receive_honestly,
};

FIXTURE_VARIANT_ADD(adversary, never_drains) {
	.attack = never_drain,
	.mode = 0666,
	.neutral = pair_asleep,
};

FIXTURE_VARIANT_ADD(adversary, never_drains_from_all) {
	.attack = never_drain,
	.flags = OVERWRITE,
	.mode = 0666,
	.neutral = receive_honestly,
};

FIXTURE_VARIANT_ADD(adversary, writes_garbage) {
	.attack = write_garbage,
	.flags = OVERWRITE,
	.mode = 0666,
	.neutral = receive_honestly,
};

FIXTURE_VARIANT_ADD(adversary, starves_as_small_sender) {
	.attack = starve_small_sender,
	.mode = 0666,
	.neutral = pair_busy,
};

FIXTURE_VARIANT_ADD(adversary, starves_as_sender) {
	.attack = starve_sender,
	.mode = 0666,
	.neutral = pair_busy,
};

FIXTURE_VARIANT_ADD(adversary, starves_as_receiver) {
	.attack = starve_receiver,
	.mode = 0666,
	.neutral = pair_busy,
};

FIXTURE_VARIANT_ADD(adversary, floods_with_subscribers) {
	.attack = flood_with_subscribers,
	.mode = 0666,
	.neutral = pair_busy,
};

FIXTURE_VARIANT_ADD(adversary, floods_with_requests) {
	.attack = flood_with_requests,
	.mode = 0666,
	.neutral = pair_busy,
};

/* These attackers may not. */

FIXTURE_VARIANT_ADD(adversary, never_drains_own_broadcast) {
	.attack = never_drain_own_broadcast,
	.mode = 0600,
	.neutral = pair_asleep,
};

FIXTURE_VARIANT_ADD(adversary, floods_with_channels) {
	.attack = flood_with_channels,
	.mode = 0600,
	.neutral = pair_busy,
};

FIXTURE_VARIANT_ADD(adversary, floods_memory_cgroup) {
	.attack = flood_memory_cgroup,
	.mode = 0600,
	.neutral = pair_busy,
};

FIXTURE_VARIANT_ADD(adversary, guesses) {
	.attack = guess_as_stranger,
	.mode = 0600,
	.neutral = pair_busy,
};

FIXTURE_VARIANT_ADD(adversary, guesses_as_container_root) {
	.attack = guess_as_container_root,
	.mode = 0600,
	.neutral = pair_busy,
};

FIXTURE_VARIANT_ADD(adversary, guesses_from_other_namespace) {
	.attack = guess_from_other_namespace,
	.mode = 0600,
	.neutral = pair_busy,
};

FIXTURE_VARIANT_ADD(adversary, creates_and_destroys) {
	.attack = create_and_destroy,
	.mode = 0600,
	.neutral = pair_busy,
};

FIXTURE_SETUP(adversary)
{
	struct io_uring_ipc_channel_create create;

	if (geteuid())
		SKIP(return, "needs to be root");
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(return, "needs two processors");
	self->pair = ipc_shared(sizeof(*self->pair));
	ASSERT_NE(NULL, self->pair);
	self->pair->targeted = !(variant->flags & IOIPC_F_BROADCAST);
	ASSERT_EQ(0, ipc_open(&self->ring));
	create = ipc_create_args(variant->flags, PAIR_ENTRIES, SIZE);
	create.mode = variant->mode;
	create.key = ipc_new_key();
	ASSERT_EQ(0, io_uring_ipc_channel_create(&self->ring, &create));
	self->pair->channel = create.channel_id_out;
	pair_start(_metadata, self->pair);
}

FIXTURE_TEARDOWN(adversary)
{
	io_uring_queue_exit(&self->ring);
	/* All processes of the cgroup are killed, but may not be gone yet. */
	if (!access(CGROUP, F_OK))
		EXPECT_TRUE(ipc_poll(!rmdir(CGROUP)));
}

TEST_F_TIMEOUT(adversary, is_not_noticed, IPC_TIMEOUT)
{
	pair_keeps_its_rate(_metadata, self->pair, variant->attack,
			    variant->neutral);
	pair_stop(_metadata, self->pair);
}

IPC_HARNESS_MAIN
