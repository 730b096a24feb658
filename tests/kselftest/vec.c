// SPDX-License-Identifier: GPL-2.0
/*
 * IOIPC_SEND_VEC: many messages with one send.
 *
 * MESSAGES=N is how many messages each process sends if several processes send.
 */
#include "fixture.h"
#include "messages.h"
#include "uffd.h"
#include "vanish.h"

#define ENTRIES	16
#define SIZE	256

FIXTURE(vec) {
	/* Sends. */
	struct io_uring ring;
	/* Receives. */
	struct io_uring other;
	__u32 channel;
	struct ipc_sub sender;
	struct ipc_sub receiver;
	const struct io_uring_ipc_ring *map;
	size_t page;
	/* Numbers from 0 on, and an array of them. */
	__u64 nums[2 * ENTRIES];
	struct iovec vec[2 * ENTRIES];
};

FIXTURE_KINDS(vec);

FIXTURE_SETUP(vec)
{
	int i;

	self->page = sysconf(_SC_PAGESIZE);
	ASSERT_EQ(0, io_uring_queue_init(64, &self->ring, 0));
	ASSERT_EQ(0, io_uring_queue_init(64, &self->other, 0));
	SET_UP_CHANNEL(&self->ring, &self->other, ENTRIES, SIZE);
	self->map = ipc_region(&self->receiver);
	ASSERT_NE(NULL, self->map);
	for (i = 0; i < 2 * ENTRIES; i++) {
		self->nums[i] = i;
		self->vec[i] = (struct iovec) { &self->nums[i], IPC_NUM };
	}
}

FIXTURE_TEARDOWN(vec)
{
	io_uring_queue_exit(&self->other);
	io_uring_queue_exit(&self->ring);
}

TEST_F_TIMEOUT(vec, in_order, IPC_TIMEOUT)
{
	char out[SIZE + 1], in[ENTRIES][SIZE];
	struct iovec vec[ENTRIES];
	int count, i;

	for (count = 1; count <= ENTRIES; count++) {
		for (i = 0; i < count; i++) {
			vec[i].iov_base = in[i];
			vec[i].iov_len = (count * 31 + i * 97) % (SIZE + 1);
			ipc_fill(in[i], vec[i].iov_len, count + i);
		}
		ASSERT_EQ(count, msg_send_vec(&self->ring, self->sender.id, vec,
					      count, 0));
		for (i = 0; i < count; i++) {
			memset(out, 'x', sizeof(out));
			ASSERT_EQ(vec[i].iov_len,
				  msg_recv(&self->other, self->receiver.id,
					   out, SIZE, 0));
			EXPECT_TRUE(ipc_filled(out, vec[i].iov_len, count + i))
				TH_LOG("message %d of %d", i, count);
			EXPECT_EQ('x', out[vec[i].iov_len]);
		}
		ASSERT_EQ(-EAGAIN, ipc_recv_num(&self->other,
						self->receiver.id));
	}
}

TEST_F_TIMEOUT(vec, count, IPC_TIMEOUT)
{
	static const __u32 bad[] = {
		0, IOIPC_MAX_VEC + 1, 1U << 16, INT_MAX, 1U << 31, UINT_MAX,
	};
	struct iovec *vec = calloc(IOIPC_MAX_VEC, sizeof(*vec));
	struct ipc_sub sender, receiver;
	__u32 channel;
	__u64 *nums;
	size_t i;

	ASSERT_NE(NULL, vec);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EINVAL, msg_send_vec(&self->ring, self->sender.id,
						self->vec, bad[i], 0))
			TH_LOG("%u messages", bad[i]);
		EXPECT_EQ(-EINVAL, msg_send_vec(&self->ring, self->channel,
						self->vec, bad[i],
						IOIPC_SEND_WAIT))
			TH_LOG("%u messages, not attached", bad[i]);
	}
	EXPECT_EQ(0, ipc_tail(self->map));
	/* As many as one request can send. */
	nums = calloc(IOIPC_MAX_VEC, sizeof(*nums));
	ASSERT_NE(NULL, nums);
	for (i = 0; i < IOIPC_MAX_VEC; i++) {
		nums[i] = i;
		vec[i] = (struct iovec) { &nums[i], IPC_NUM };
	}
	ASSERT_EQ(0, ipc_create(&self->ring, variant->flags, IOIPC_MAX_VEC, 8,
				&channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, channel, IOIPC_SUB_SEND,
				&sender));
	ASSERT_EQ(0, ipc_attach(&self->other, channel, IOIPC_SUB_RECV,
				&receiver));
	EXPECT_EQ(IOIPC_MAX_VEC, msg_send_vec(&self->ring, sender.id, vec,
					      IOIPC_MAX_VEC, 0));
	EXPECT_EQ(IOIPC_MAX_VEC, ipc_recv_nums(&self->other, receiver.id, 0,
					       IOIPC_MAX_VEC));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->other, receiver.id));
	free(nums);
	free(vec);
}

TEST_F_TIMEOUT(vec, bad_array, IPC_TIMEOUT)
{
	char *mem = ipc_pages(1);
	struct iovec *end;
	size_t i;

	ASSERT_NE(NULL, mem);
	for (i = 0; i < ARRAY_SIZE(msg_bad_addresses); i++) {
		EXPECT_EQ(-EFAULT, msg_send_vec(&self->ring, self->sender.id,
						msg_bad_addresses[i], 1, 0))
			TH_LOG("array at %p", msg_bad_addresses[i]);
		EXPECT_EQ(-EFAULT, msg_send_vec(&self->ring, self->channel,
						msg_bad_addresses[i],
						IOIPC_MAX_VEC, 0))
			TH_LOG("array at %p", msg_bad_addresses[i]);
		/* There is room, so the request does not wait. */
		EXPECT_EQ(-EFAULT, msg_send_vec(&self->ring, self->sender.id,
						msg_bad_addresses[i], 2,
						IOIPC_SEND_WAIT))
			TH_LOG("array at %p", msg_bad_addresses[i]);
	}
	end = (struct iovec *)(mem + self->page);
	EXPECT_EQ(-EFAULT, msg_send_vec(&self->ring, self->sender.id,
					(void *)end - 1, 1, 0));
	EXPECT_EQ(0, ipc_tail(self->map));
}

/* Readable entries may be sent or not, and others are not sent. */
TEST_F_TIMEOUT(vec, partly_mapped_array, IPC_TIMEOUT)
{
	static const int there[] = { 1, 2, 15, 16, 31, 32, 33, 40, 63, 64 };
	enum { MOST = 64 };
	struct iovec *vec, *end = (struct iovec *)(ipc_pages(1) + self->page);
	struct ipc_sub sender, receiver;
	int ret, sent, res;
	__u64 nums[MOST];
	__u32 channel;
	size_t i;

	ASSERT_EQ(0, ipc_create(&self->ring, variant->flags, MOST, 8,
				&channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, channel, IOIPC_SUB_SEND,
				&sender));
	ASSERT_EQ(0, ipc_attach(&self->other, channel, IOIPC_SUB_RECV,
				&receiver));
	for (i = 0; i < ARRAY_SIZE(there); i++) {
		int left;

		vec = end - there[i];
		for (left = 0; left < there[i]; left++) {
			nums[left] = left;
			vec[left] = (struct iovec) { &nums[left], IPC_NUM };
		}
		res = msg_send_vec(&self->ring, sender.id, vec, there[i] + 3,
				   0);
		sent = res < 0 ? 0 : res;
		if (res < 0) {
			EXPECT_EQ(-EFAULT, res);
		}
		ASSERT_GE(there[i], sent);
		ASSERT_EQ(sent, ipc_recv_nums(&self->other, receiver.id, 0,
					      MOST + 1));
		/* The readable entries can be sent. */
		if (sent < there[i]) {
			ret = msg_send_vec(&self->ring, sender.id, vec + sent,
					   there[i] - sent, 0);
			ASSERT_EQ(there[i] - sent, ret);
			ASSERT_EQ(ret, ipc_recv_nums(&self->other, receiver.id,
						     sent, MOST + 1));
		}
		EXPECT_EQ(-EFAULT, msg_send_vec(&self->ring, sender.id, end, 3,
						0));
		EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->other, receiver.id));
	}
}

/* A message that cannot be read is not published. */
TEST_F_TIMEOUT(vec, bad_message, IPC_TIMEOUT)
{
	char *mem = ipc_pages(1);
	void *base, *bad[ARRAY_SIZE(msg_bad_addresses) + 3];
	int i, at, sent = 0;

	ASSERT_NE(NULL, mem);
	memcpy(bad, msg_bad_addresses, sizeof(msg_bad_addresses));
	i = ARRAY_SIZE(msg_bad_addresses);
	bad[i++] = mem + self->page;
	bad[i++] = mem + self->page - 1;
	bad[i++] = mem + self->page - 7;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		at = i % 5;
		base = self->vec[at].iov_base;
		self->vec[at].iov_base = bad[i];
		/* The messages before it are sent, if there are any. */
		EXPECT_EQ(at ?: -EFAULT, msg_send_vec(&self->ring,
						      self->sender.id,
						      self->vec, 5, 0))
			TH_LOG("message %d at %p", at, bad[i]);
		sent += at;
		EXPECT_EQ(sent, ipc_tail(self->map));
		EXPECT_EQ(at, ipc_recv_nums(&self->other, self->receiver.id, 0,
					    5));
		/* The error shows when the bad message is the first one. */
		EXPECT_EQ(-EFAULT, msg_send_vec(&self->ring, self->sender.id,
						self->vec + at, 5 - at,
						i % 2 ? IOIPC_SEND_WAIT : 0))
			TH_LOG("message %d at %p", at, bad[i]);
		self->vec[at].iov_base = base;
	}
	EXPECT_EQ(sent, ipc_tail(self->map));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->other, self->receiver.id));
}

TEST_F_TIMEOUT(vec, too_long, IPC_TIMEOUT)
{
	static const size_t bad[] = {
		SIZE + 1, 1U << 20, INT_MAX, 1U << 31, UINT_MAX,
		/* The lower half of these lengths would be valid. */
		1ULL << 32, (1ULL << 32) + IPC_NUM, 1ULL << 63, SSIZE_MAX,
		SIZE_MAX, -(size_t)IPC_NUM,
	};
	int i, at, sent = 0;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		at = i % 5;
		self->vec[at].iov_len = bad[i];
		EXPECT_EQ(at ?: -EMSGSIZE, msg_send_vec(&self->ring,
							self->sender.id,
							self->vec, 5, 0))
			TH_LOG("message %d of %zu bytes", at, bad[i]);
		sent += at;
		EXPECT_EQ(sent, ipc_tail(self->map));
		EXPECT_EQ(at, ipc_recv_nums(&self->other, self->receiver.id, 0,
					    5));
		EXPECT_EQ(-EMSGSIZE, msg_send_vec(&self->ring, self->channel,
						  self->vec + at, 5 - at,
						  i % 2 ? IOIPC_SEND_WAIT : 0))
			TH_LOG("message %d of %zu bytes", at, bad[i]);
		self->vec[at].iov_len = IPC_NUM;
	}
	EXPECT_EQ(sent, ipc_tail(self->map));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->other, self->receiver.id));
}

TEST_F_TIMEOUT(vec, empty_messages, IPC_TIMEOUT)
{
	struct iovec vec[] = {
		{ NULL, 0 },
		{ &self->nums[1], IPC_NUM },
		{ &self->nums[2], 0 },
		{ NULL, 0 },
		{ &self->nums[4], IPC_NUM },
		{ NULL, 0 },
	};
	__u64 num;
	int i;

	ASSERT_EQ(6, msg_send_vec(&self->ring, self->sender.id, vec, 6, 0));
	for (i = 0; i < 6; i++) {
		num = 99;
		ASSERT_EQ(vec[i].iov_len, msg_recv(&self->other,
						   self->receiver.id, &num,
						   IPC_NUM, 0));
		EXPECT_EQ(vec[i].iov_len ? i : 99, num);
	}
	EXPECT_EQ(1, msg_send_vec(&self->ring, self->sender.id, vec, 1, 0));
	EXPECT_EQ(0, msg_recv(&self->other, self->receiver.id, NULL, 0, 0));
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->other, self->receiver.id));
}

TEST_F_TIMEOUT(vec, more_than_there_is_room_for, IPC_TIMEOUT)
{
	int used;

	for (used = 0; used <= ENTRIES; used++) {
		ASSERT_EQ(used, ipc_send_nums(&self->ring, self->sender.id, 0,
					      used));
		EXPECT_EQ(ENTRIES - used ?: -ENOBUFS,
			  msg_send_vec(&self->ring, self->sender.id,
				       self->vec + used, ENTRIES + 1, 0))
			TH_LOG("%d slots in use", used);
		EXPECT_EQ(-ENOBUFS, msg_send_vec(&self->ring, self->sender.id,
						 self->vec, 1, 0));
		EXPECT_EQ((used + 1) * ENTRIES, ipc_tail(self->map));
		EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->other,
						 self->receiver.id, 0,
						 ENTRIES));
		EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->other,
						self->receiver.id));
	}
}

TEST_F_TIMEOUT(vec, waits_for_one, IPC_TIMEOUT)
{
	enum { COUNT = 7 };
	struct io_uring_sqe *sqe;
	int res, done, got, round;

	for (round = 0; round < 5; round++) {
		ASSERT_EQ(ENTRIES, ipc_send_nums(&self->ring, self->sender.id,
						 0, ENTRIES));
		got = 0;
		for (done = 0; done < COUNT; done += res) {
			sqe = msg_get_send(&self->ring, round % 2 ?
					   self->channel : self->sender.id,
					   self->vec + ENTRIES + done,
					   COUNT - done,
					   IOIPC_SEND_VEC | IOIPC_SEND_WAIT);
			sqe->user_data = 7;
			ASSERT_TRUE(wait_nothing(&self->ring));
			/* Two slots become free sooner or later. */
			ASSERT_EQ(2, ipc_recv_nums(&self->other,
						   self->receiver.id, got,
						   got + 2));
			got += 2;
			res = wait_for(&self->ring, 7);
			ASSERT_LE(1, res);
			ASSERT_GE(2, res);
			while (res < 2 && done + res < COUNT) {
				ASSERT_EQ(1, msg_send_vec(&self->ring,
							  self->sender.id,
							  self->vec + ENTRIES +
							  done + res, 1, 0));
				res++;
			}
		}
		EXPECT_EQ(ENTRIES + COUNT - got,
			  ipc_recv_nums(&self->other, self->receiver.id, got,
					ENTRIES + COUNT));
		EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->other,
						self->receiver.id));
	}
}

/* With some room the request does not wait for more. */
TEST_F_TIMEOUT(vec, room_for_some, IPC_TIMEOUT)
{
	int i;

	for (i = 1; i < ENTRIES; i++) {
		ASSERT_EQ(ENTRIES - i, ipc_send_nums(&self->ring,
						     self->sender.id, 0,
						     ENTRIES - i));
		EXPECT_EQ(i, msg_send_vec(&self->ring, self->sender.id,
					  self->vec + ENTRIES - i, ENTRIES,
					  IOIPC_SEND_WAIT));
		EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->other,
						 self->receiver.id, 0,
						 ENTRIES));
	}
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->other, self->receiver.id));
}

TEST_F_TIMEOUT(vec, cancelled, IPC_TIMEOUT)
{
	struct io_uring_sqe *sqe;
	int async;

	for (async = 0; async < 2; async++) {
		ASSERT_EQ(ENTRIES, ipc_send_nums(&self->ring, self->sender.id,
						 0, ENTRIES));
		sqe = msg_get_send(&self->ring, self->sender.id,
				   self->vec + ENTRIES, 4,
				   IOIPC_SEND_VEC | IOIPC_SEND_WAIT);
		sqe->flags |= async ? IOSQE_ASYNC : 0;
		sqe->user_data = 7;
		ASSERT_TRUE(wait_nothing(&self->ring));
		ASSERT_TRUE(wait_end(&self->ring, 7, false));
		EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->other,
						 self->receiver.id, 0,
						 ENTRIES));
		EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->other,
						self->receiver.id));
	}
}

/* One send of many messages wakes more than one receiver. */
TEST_F_TIMEOUT(vec, waiting_receivers, IPC_TIMEOUT)
{
	enum { WAITING = 8 };
	__u64 got[WAITING], seen = 0;
	int i, round;

	for (round = 0; round < 5; round++) {
		for (i = 0; i < WAITING; i++) {
			wait_get_recv(&self->other, self->receiver.id, &got[i],
				      100 + i);
		}
		ASSERT_TRUE(wait_nothing(&self->other));
		ASSERT_EQ(WAITING, msg_send_vec(&self->ring, self->sender.id,
						self->vec, WAITING, 0));
		seen = 0;
		for (i = 0; i < WAITING; i++) {
			ASSERT_EQ(IPC_NUM, wait_for(&self->other, 100 + i))
				TH_LOG("receiver %d", i);
			ASSERT_GT(WAITING, got[i]);
			seen |= 1 << got[i];
		}
		EXPECT_EQ((1 << WAITING) - 1, seen);
	}
}

TEST_F_TIMEOUT(vec, what_the_receiver_is_told, IPC_TIMEOUT)
{
	bool all = variant->flags & IOIPC_F_BROADCAST;
	struct io_uring_ipc_msg_info want;
	struct io_uring_sqe *sqe;
	struct msg_num got;
	struct ipc_sub second;
	int i, how;

	ASSERT_EQ(0, ipc_attach(&self->other, self->channel, IOIPC_SUB_RECV,
				&second));
	for (how = 0; how < 4; how++) {
		bool attached = how & 1, targeted = how & 2;

		sqe = msg_get_send(&self->ring, attached ? self->sender.id :
				   self->channel, self->vec, 5, IOIPC_SEND_VEC);
		sqe->file_index = targeted ? self->receiver.id : 0;
		sqe->user_data = 1000 + how;
		ASSERT_EQ(5, msg_run(&self->ring, sqe));
		for (i = 0; i < 5; i++) {
			ASSERT_EQ(i, msg_recv_num(&self->other,
						  self->receiver.id, &got));
			want = msg_own_info(IPC_NUM, how * 5 + i + 1,
					    1000 + how, attached ?
					    self->sender.id : 0);
			want.flags = targeted ? IOIPC_INFO_TARGETED : 0;
			EXPECT_TRUE(msg_same_info(&want, &got.info))
				TH_LOG("case %d, message %d", how, i);
			if (all && !targeted) {
				EXPECT_EQ(i, ipc_recv_num(&self->other,
							  second.id));
			}
		}
		EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->other, second.id));
	}
	/* A target that does not exist: nothing is sent. */
	sqe = msg_get_send(&self->ring, self->sender.id, self->vec, 5,
			   IOIPC_SEND_VEC);
	sqe->file_index = self->sender.id;
	EXPECT_EQ(-ENOENT, msg_run(&self->ring, sqe));
	EXPECT_EQ(20, ipc_tail(self->map));
}

TEST_F_TIMEOUT(vec, errors_of_the_channel, IPC_TIMEOUT)
{
	EXPECT_EQ(-ENOENT, msg_send_vec(&self->ring, UINT_MAX, self->vec, 3,
					0));
	EXPECT_EQ(-EACCES, msg_send_vec(&self->other, self->receiver.id,
					self->vec, 3, 0));
	ASSERT_EQ(3, msg_send_vec(&self->ring, self->sender.id, self->vec, 3,
				  0));
	/* Receives have no such flag. */
	EXPECT_EQ(-EINVAL, msg_recv(&self->other, self->receiver.id, self->vec,
				    3, IOIPC_SEND_VEC));
	ASSERT_EQ(0, io_uring_ipc_channel_destroy(&self->ring, self->channel));
	EXPECT_EQ(-EPIPE, msg_send_vec(&self->ring, self->sender.id, self->vec,
				       3, 0));
	EXPECT_EQ(-EPIPE, msg_send_vec(&self->ring, self->sender.id, self->vec,
				       3, IOIPC_SEND_WAIT));
	EXPECT_EQ(-ENOENT, msg_send_vec(&self->ring, self->channel, self->vec,
					3, 0));
	EXPECT_EQ(3, ipc_recv_nums(&self->other, self->receiver.id, 0, 3));
}

TEST_F_TIMEOUT(vec, on_all_kinds_of_rings, IPC_TIMEOUT)
{
	static const struct {
		unsigned int setup, flags;
	} ways[] = {
		{ 0, IOSQE_ASYNC },
		{ IORING_SETUP_SQPOLL, 0 },
		{ WAIT_DEFER, 0 },
		{ WAIT_DEFER, IOSQE_ASYNC },
	};
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	struct ipc_sub sub;
	size_t i;
	int waits;

	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		struct io_uring_params params = {
			.flags = ways[i].setup,
			.sq_thread_idle = 1,
		};

		ASSERT_EQ(0, io_uring_queue_init_params(8, &ring, &params));
		ASSERT_EQ(0, ipc_attach(&ring, self->channel, IOIPC_SUB_SEND,
					&sub));
		for (waits = 0; waits < 2; waits++) {
			sqe = msg_get_send(&ring, sub.id, self->vec, ENTRIES,
					   IOIPC_SEND_VEC |
					   (waits ? IOIPC_SEND_WAIT : 0));
			sqe->flags |= ways[i].flags;
			ASSERT_EQ(ENTRIES, msg_run(&ring, sqe))
				TH_LOG("way %zu", i);
			EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->other,
							 self->receiver.id, 0,
							 ENTRIES));
		}
		io_uring_queue_exit(&ring);
	}
}

/* Messages and array on pages that are not present yet. */
TEST_F_TIMEOUT(vec, fresh_pages, IPC_TIMEOUT)
{
	char *mem = ipc_pages(4), buf[SIZE];
	struct iovec *vec;
	int i, round;

	vec = ipc_shared(self->page);
	ASSERT_NE(NULL, vec);
	ASSERT_NE(NULL, mem);
	for (i = 0; i < 4; i++) {
		vec[i].iov_base = mem + i * self->page + self->page - SIZE / 2;
		vec[i].iov_len = i < 3 ? SIZE : SIZE / 2;
	}
	for (round = 0; round < 5; round++) {
		/*
		 * The array keeps its contents, and the messages lose theirs.
		 */
		ASSERT_EQ(0, madvise(vec, self->page, MADV_DONTNEED));
		ASSERT_EQ(0, madvise(mem, 4 * self->page, MADV_DONTNEED));
		if (round % 2)
			memset(mem + 2 * self->page, 'm', self->page);
		ASSERT_EQ(4, msg_send_vec(&self->ring, self->sender.id, vec, 4,
					  0));
		for (i = 0; i < 4; i++) {
			bool first = round % 2 && i == 2;
			bool last = round % 2 && i == 1;

			ASSERT_EQ(i < 3 ? SIZE : SIZE / 2,
				  msg_recv(&self->other, self->receiver.id,
					   buf, SIZE, 0));
			EXPECT_EQ(first ? 'm' : 0, buf[0]);
			EXPECT_EQ(first ? 'm' : 0, buf[SIZE / 2 - 1]);
			if (i < 3) {
				EXPECT_EQ(last ? 'm' : 0, buf[SIZE / 2]);
				EXPECT_EQ(last ? 'm' : 0, buf[SIZE - 1]);
			}
		}
	}
}

TEST_F_TIMEOUT(vec, vanishing_pages, IPC_TIMEOUT)
{
	static const char zeros[SIZE];
	struct vanish vanishing = {
		.mem = ipc_pages(ENTRIES),
		.len = ENTRIES * self->page,
	};
	struct iovec vec[ENTRIES];
	char buf[SIZE];
	int i, round, res;

	ASSERT_NE(NULL, vanishing.mem);
	for (i = 0; i < ENTRIES; i++) {
		vec[i].iov_base = vanishing.mem + i * self->page + i;
		vec[i].iov_len = SIZE;
	}
	ASSERT_EQ(0, vanish_start(&vanishing));
	for (round = 0; round < 200; round++) {
		/*
		 * Slots that were given up may take the room of some messages.
		 */
		res = msg_send_vec(&self->ring, self->sender.id, vec, ENTRIES,
				   0);
		ASSERT_LE(1, res);
		ASSERT_GE(ENTRIES, res);
		for (i = 0; i < res; i++) {
			memset(buf, 'x', SIZE);
			ASSERT_EQ(SIZE, msg_recv(&self->other,
						 self->receiver.id, buf, SIZE,
						 0));
			ASSERT_EQ(0, memcmp(zeros, buf, SIZE));
		}
		ASSERT_EQ(-EAGAIN, ipc_recv_num(&self->other,
						self->receiver.id));
	}
	vanish_stop(&vanishing);
	/* All slots are still usable. */
	EXPECT_EQ(ENTRIES, msg_send_vec(&self->ring, self->sender.id, self->vec,
					ENTRIES + 1, 0));
	EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->other, self->receiver.id, 0,
					 ENTRIES));
}

/* A thread that sends an array. */
struct blocked {
	struct io_uring	*ring;
	__u32		id;
	const struct iovec *vec;
	__u32		count;
	int		res;
	pthread_t	thread;
};

static void *send_blocked(void *arg)
{
	struct blocked *blocked = arg;

	blocked->res = msg_send_vec(blocked->ring, blocked->id, blocked->vec,
				    blocked->count, 0);
	return NULL;
}

/*
 * A send that blocks in one of its messages holds no slot and no other request.
 */
TEST_F_TIMEOUT(vec, blocked_in_the_middle, IPC_TIMEOUT)
{
	struct blocked blocked = { .vec = self->vec, .count = 3 };
	struct io_uring ring;
	struct uffd uffd = {};
	struct ipc_sub sub;
	int i, early;
	__u64 num;

	UFFD_OPEN(&uffd);
	ASSERT_EQ(0, ipc_open(&ring));
	ASSERT_EQ(0, ipc_attach(&ring, self->channel, IOIPC_SUB_SEND, &sub));
	blocked.ring = &ring;
	blocked.id = sub.id;
	self->vec[1].iov_base = uffd.mem;
	ASSERT_EQ(0, pthread_create(&blocked.thread, NULL, send_blocked,
				    &blocked));
	ASSERT_TRUE(uffd_wait(&uffd));
	/* The first message may have been sent already. */
	early = ipc_recv_num(&self->other, self->receiver.id) == 0;
	for (i = 0; i < 5 * ENTRIES; i += ENTRIES) {
		EXPECT_EQ(ENTRIES, ipc_send_nums(&self->ring, self->sender.id,
						 i, i + ENTRIES));
		EXPECT_EQ(ENTRIES, ipc_recv_nums(&self->other,
						 self->receiver.id, i,
						 i + ENTRIES));
	}
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->other, self->receiver.id));
	ASSERT_EQ(0, uffd_fill(&uffd, 'u'));
	pthread_join(blocked.thread, NULL);
	EXPECT_EQ(3, blocked.res);
	if (!early) {
		EXPECT_EQ(0, ipc_recv_num(&self->other, self->receiver.id));
	}
	memset(&num, 'u', sizeof(num));
	EXPECT_EQ(num, ipc_recv_num(&self->other, self->receiver.id));
	EXPECT_EQ(2, ipc_recv_num(&self->other, self->receiver.id));
	io_uring_queue_exit(&ring);
}

/* Two processes send arrays through a small ring: each keeps its order. */
static void send_stream(struct __test_metadata *_metadata, __u32 channel,
			__u32 me, __u32 count)
{
	__u32 random = 0x5eed0000 + me, next = 0;
	struct iovec vec[2 * ENTRIES];
	__u64 nums[2 * ENTRIES];
	struct io_uring ring;
	struct ipc_sub sub;
	int i, many, ret;

	ASSERT_EQ(0, ipc_open(&ring));
	ASSERT_EQ(0, ipc_attach(&ring, channel, IOIPC_SUB_SEND, &sub));
	while (next < count) {
		many = 1 + ipc_random(&random) % (2 * ENTRIES);
		if (many > count - next)
			many = count - next;
		for (i = 0; i < many; i++) {
			nums[i] = (__u64)me << 32 | (next + i);
			vec[i] = (struct iovec) { &nums[i], IPC_NUM };
		}
		ret = msg_send_vec(&ring, me ? sub.id : channel, vec, many,
				   IOIPC_SEND_WAIT);
		ASSERT_LE(1, ret);
		ASSERT_GE(many, ret);
		next += ret;
	}
	_exit(0);
}

TEST_F_TIMEOUT(vec, streams, IPC_TIMEOUT)
{
	enum { SENDERS = 2 };
	long count = ipc_env("MESSAGES", 1500), i;
	__u32 next[SENDERS] = {};
	pid_t pid[SENDERS];
	long long num;

	for (i = 0; i < SENDERS; i++) {
		pid[i] = ipc_fork();
		ASSERT_LE(0, pid[i]);
		if (!pid[i])
			send_stream(_metadata, self->channel, i, count);
	}
	for (i = 0; i < SENDERS * count; i++) {
		num = wait_recv_wait(&self->other, self->receiver.id);
		ASSERT_LE(0, num)
			TH_LOG("after %ld messages", i);
		ASSERT_GT(SENDERS, num >> 32);
		ASSERT_EQ(next[num >> 32]++, (__u32)num);
	}
	for (i = 0; i < SENDERS; i++) {
		EXPECT_EQ(0, wait_child(pid[i]));
		EXPECT_EQ(count, next[i]);
	}
	EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->other, self->receiver.id));
}

IPC_HARNESS_MAIN
