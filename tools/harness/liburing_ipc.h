/* SPDX-License-Identifier: MIT */
/*
 * Helpers for io_uring IPC channels, as liburing would have them.  A program
 * needs only this file, <linux/io_uring/ipc.h> and liburing 2.4 or later.  What
 * the operations do and how they fail is documented in <linux/io_uring/ipc.h>.
 */
#ifndef LIBURING_IPC_H
#define LIBURING_IPC_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <liburing.h>
#include <linux/io_uring/ipc.h>

#if defined(__SANITIZE_THREAD__)
#define IPC_THREAD_SANITIZER	1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define IPC_THREAD_SANITIZER	1
#endif
#endif

#ifdef __cplusplus
extern "C" {
/* In C++ a function hides the constructor of the struct that has the same name. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#endif

/* Of <linux/io_uring.h> and <linux/io_uring/query.h>, which may be too old. */
#define __IPC_REGISTER_QUERY	35

struct __ipc_query_hdr {
	uint64_t next_entry;
	uint64_t query_data;
	uint32_t query_op;
	uint32_t size;
	int32_t result;
	uint32_t reserved[3];
};

/**
 * io_uring_ipc_query() - ask what kernel and module can do
 * @query: filled in, also after an error: then with what <linux/io_uring/ipc.h> says
 *
 * Return: 0 or a negative error: -EOPNOTSUPP if the module is not loaded, or the kernel
 * cannot say; -EINVAL if the kernel has no queries.
 */
static inline int io_uring_ipc_query(struct io_uring_query_ipc *query)
{
	struct __ipc_query_hdr header;
	int ret;

	memset(query, 0, sizeof(*query));
	memset(&header, 0, sizeof(header));
	header.query_data = (uintptr_t)query;
	header.query_op = IOIPC_QUERY;
	header.size = sizeof(*query);
	ret = io_uring_register((unsigned int)-1, __IPC_REGISTER_QUERY, &header, 0);
	if (!ret)
		ret = header.result;
	if (!ret)
		return 0;

	query->op_send = IOIPC_OP_SEND;
	query->op_recv = IOIPC_OP_RECV;
	query->register_create = IOIPC_REGISTER_CREATE;
	query->register_attach = IOIPC_REGISTER_ATTACH;
	query->register_detach = IOIPC_REGISTER_DETACH;
	query->register_destroy = IOIPC_REGISTER_DESTROY;
	query->channel_flags = IOIPC_F_BROADCAST | IOIPC_F_MULTICAST | IOIPC_F_PRIVATE |
			       IOIPC_F_OVERWRITE | IOIPC_F_FAIR;
	query->subscriber_flags = IOIPC_SUB_BOTH | IOIPC_SUB_HISTORY | IOIPC_SUB_LOSSY;
	query->send_flags = IOIPC_SEND_WAIT | IOIPC_SEND_VEC | IOIPC_FIXED_BUF |
			    IOIPC_SEND_FDS | IOIPC_SEND_CALL | IOIPC_SEND_REPLY |
			    IOIPC_SEND_RECV;
	query->recv_flags = IOIPC_RECV_WAIT | IOIPC_RECV_MULTISHOT | IOIPC_FIXED_BUF |
			    IOIPC_RECV_INFO | IOIPC_RECV_BUNDLE | IOIPC_RECV_TRUNC |
			    IOIPC_RECV_MAPPED | IOIPC_RECV_FDS | IOIPC_RECV_GONE;
	query->channel_ext_size = sizeof(struct io_uring_ipc_channel_ext);
	query->attach_ext_size = sizeof(struct io_uring_ipc_attach_ext);
	query->ring_version = IOIPC_RING_VERSION_LARGE;
	query->max_ring_entries = IOIPC_MAX_RING_ENTRIES;
	query->max_msg_size = IOIPC_MAX_MSG_SIZE;
	query->max_subscribers = IOIPC_MAX_SUBSCRIBERS;
	query->reserved_subscribers = IOIPC_RESERVED_SUBSCRIBERS;
	query->max_vec = IOIPC_MAX_VEC;
	query->max_name = IOIPC_MAX_NAME;
	query->max_large_msg_size = IOIPC_MAX_LARGE_MSG_SIZE;
	return ret;
}

/* Numbers at the start of struct io_uring_query_ipc. */
enum __ipc_number {
	__IPC_OP_SEND,
	__IPC_OP_RECV,
	__IPC_CREATE,
	__IPC_ATTACH,
	__IPC_DETACH,
	__IPC_DESTROY,
	__IPC_NUMBERS,
};

/*
 * Finds a number.  The first call asks the kernel.  If several threads ask, they get the
 * same answer.
 */
static inline uint32_t __ipc_number(enum __ipc_number which)
{
	static uint32_t numbers[__IPC_NUMBERS];
	uint32_t number = __atomic_load_n(&numbers[which], __ATOMIC_RELAXED);

	if (__builtin_expect(!number, 0)) {
		uint32_t answers[sizeof(struct io_uring_query_ipc) / sizeof(uint32_t)];
		struct io_uring_query_ipc query;
		int i;

		io_uring_ipc_query(&query);
		memcpy(answers, &query, sizeof(query));
		for (i = 0; i < __IPC_NUMBERS; i++)
			__atomic_store_n(&numbers[i], answers[i], __ATOMIC_RELAXED);
		number = answers[which];
	}
	return number;
}

/**
 * io_uring_prep_ipc_send() - prepare sending a message
 * @sqe: submission queue entry to fill in
 * @id: a subscriber of this ring, or a channel to send without being attached
 * @buf: the message; do not change it before the completion
 * @len: length of the message in bytes, may be 0
 * @target: the only subscriber that shall receive the message, or 0
 * @flags: 0, or IOIPC_SEND_WAIT to wait for room
 *
 * The result of the completion is @len or a negative error.  The receiver gets
 * the user_data of @sqe as sender_data.
 */
static inline void io_uring_prep_ipc_send(struct io_uring_sqe *sqe, unsigned int id,
					  const void *buf, unsigned int len,
					  unsigned int target, unsigned int flags)
{
	io_uring_prep_rw((int)__ipc_number(__IPC_OP_SEND), sqe, (int)id, buf, len, 0);
	sqe->file_index = target;
	sqe->rw_flags = (__kernel_rwf_t)flags;
}

/**
 * io_uring_prep_ipc_send_vec() - prepare sending several messages at once
 * @sqe: submission queue entry to fill in
 * @id: a subscriber of this ring, or a channel to send without being attached
 * @messages: one entry for each message; do not change entries or messages before
 *	the completion
 * @count: how many, from 1 to IOIPC_MAX_VEC
 * @target: the only subscriber that shall receive the messages, or 0
 * @flags: 0, or IOIPC_SEND_WAIT to wait for room for at least one of them
 *
 * The result of the completion is how many messages were sent, at least one, or
 * a negative error.
 */
static inline void io_uring_prep_ipc_send_vec(struct io_uring_sqe *sqe, unsigned int id,
					      const struct iovec *messages, unsigned int count,
					      unsigned int target, unsigned int flags)
{
	io_uring_prep_ipc_send(sqe, id, messages, count, target, flags | IOIPC_SEND_VEC);
}

/**
 * io_uring_prep_ipc_send_fixed() - prepare sending a message from a registered buffer
 * @sqe: submission queue entry to fill in
 * @id: a subscriber of this ring, or a channel to send without being attached
 * @buf: the message, inside of the registered buffer
 * @len: length of the message in bytes, may be 0
 * @buf_index: which registered buffer
 * @target: the only subscriber that shall receive the message, or 0
 * @flags: 0, or IOIPC_SEND_WAIT to wait for room
 */
static inline void io_uring_prep_ipc_send_fixed(struct io_uring_sqe *sqe, unsigned int id,
						const void *buf, unsigned int len,
						unsigned short buf_index, unsigned int target,
						unsigned int flags)
{
	io_uring_prep_ipc_send(sqe, id, buf, len, target, flags | IOIPC_FIXED_BUF);
	sqe->buf_index = buf_index;
}

/**
 * io_uring_prep_ipc_call() - prepare sending a message and waiting for the answer
 * @sqe: submission queue entry to fill in
 * @id: a subscriber of this ring
 * @buf: the message; do not change it before the completion
 * @len: length of the message in bytes, may be 0
 * @target: the only subscriber that shall receive the message; or 0, but not in a
 *	broadcast channel
 * @answer: where the answer is stored; its call is 0.  Do not change it before the
 *	request is submitted
 * @flags: 0, or IOIPC_SEND_WAIT to wait for room
 *
 * The result of the completion is the number of bytes stored, as of a receive, or a
 * negative error: -EPIPE if there will be no answer.  Link a timeout to the request
 * (io_uring_prep_link_timeout()) to wait no longer than that.
 */
static inline void io_uring_prep_ipc_call(struct io_uring_sqe *sqe, unsigned int id,
					  const void *buf, unsigned int len,
					  unsigned int target,
					  const struct io_uring_ipc_exchange *answer,
					  unsigned int flags)
{
	io_uring_prep_ipc_send(sqe, id, buf, len, target, flags | IOIPC_SEND_CALL);
	sqe->addr3 = (uintptr_t)answer;
}

/**
 * io_uring_prep_ipc_reply() - prepare answering a call
 * @sqe: submission queue entry to fill in
 * @id: the subscriber of this ring that has received the call
 * @buf: the answer; do not change it before the completion
 * @len: length of the answer in bytes, may be 0
 * @call: its call is the msg_id of the call, all else is 0.  Do not change it before
 *	the request is submitted
 *
 * The result of the completion is @len or a negative error: -ENOENT if the caller does
 * not wait any more, or if the subscriber never had such a call.
 */
static inline void io_uring_prep_ipc_reply(struct io_uring_sqe *sqe, unsigned int id,
					   const void *buf, unsigned int len,
					   const struct io_uring_ipc_exchange *call)
{
	io_uring_prep_ipc_send(sqe, id, buf, len, 0, IOIPC_SEND_REPLY);
	sqe->addr3 = (uintptr_t)call;
}

/**
 * io_uring_prep_ipc_reply_recv() - prepare answering a call and receiving the next one
 * @sqe: submission queue entry to fill in
 * @id: the subscriber of this ring that has received the call
 * @buf: the answer; do not change it before the completion
 * @len: length of the answer in bytes, may be 0
 * @exchange: its call is the msg_id of the call, and the rest says where the next
 *	message is stored: with IOIPC_RECV_INFO in its flags, to learn the next msg_id.
 *	Do not change it before the request is submitted
 *
 * The result of the completion is that of a receive that waits.  If the caller does not
 * wait any more, the answer is dropped, and the request receives nevertheless.
 */
static inline void
io_uring_prep_ipc_reply_recv(struct io_uring_sqe *sqe, unsigned int id, const void *buf,
			     unsigned int len,
			     const struct io_uring_ipc_exchange *exchange)
{
	io_uring_prep_ipc_send(sqe, id, buf, len, 0, IOIPC_SEND_REPLY | IOIPC_SEND_RECV);
	sqe->addr3 = (uintptr_t)exchange;
}

/**
 * io_uring_prep_ipc_send_recv() - prepare sending a message and then receiving one
 * @sqe: submission queue entry to fill in
 * @id: a subscriber of this ring
 * @buf: the message; do not change it before the completion
 * @len: length of the message in bytes, may be 0
 * @target: the only subscriber that shall receive the message, or 0
 * @exchange: where the message that comes back is stored; its call is 0.  Do not change
 *	it before the request is submitted
 * @flags: 0, or IOIPC_SEND_WAIT to wait for room
 *
 * The result of the completion is that of a receive that waits, or that of the send if
 * that fails.  Nothing says whether the next message is an answer: see
 * io_uring_prep_ipc_call() for that.
 */
static inline void
io_uring_prep_ipc_send_recv(struct io_uring_sqe *sqe, unsigned int id, const void *buf,
			    unsigned int len, unsigned int target,
			    const struct io_uring_ipc_exchange *exchange,
			    unsigned int flags)
{
	io_uring_prep_ipc_send(sqe, id, buf, len, target, flags | IOIPC_SEND_RECV);
	sqe->addr3 = (uintptr_t)exchange;
}

/**
 * ipc_sqe_set_send_fds() - let a message carry files
 * @sqe: prepared for sending a message, but not with io_uring_prep_ipc_send_vec()
 * @fds: descriptors of the files; do not change the array before the completion
 * @count: how many, from 1 to IOIPC_MAX_FDS
 *
 * After the completion the caller may close its descriptors.  A memfd that is sealed with
 * F_SEAL_WRITE passes a large amount of data without any copy.
 */
static inline void ipc_sqe_set_send_fds(struct io_uring_sqe *sqe, const int *fds,
					unsigned int count)
{
	sqe->addr2 = (uintptr_t)fds;
	sqe->ioprio = (uint16_t)count;
	sqe->rw_flags = (__kernel_rwf_t)((unsigned int)sqe->rw_flags | IOIPC_SEND_FDS);
}

/**
 * io_uring_prep_ipc_recv() - prepare receiving a message
 * @sqe: submission queue entry to fill in
 * @id: a subscriber of this ring
 * @buf: where the message is stored
 * @len: size of @buf in bytes; the rest of a longer message is lost
 * @flags: 0, or of IOIPC_RECV_WAIT to wait for a message, IOIPC_RECV_INFO,
 *	IOIPC_RECV_BUNDLE and IOIPC_RECV_TRUNC
 *
 * The result of the completion is the number of bytes stored, or a negative error:
 * -EAGAIN if there is no message.
 */
static inline void io_uring_prep_ipc_recv(struct io_uring_sqe *sqe, unsigned int id,
					  void *buf, unsigned int len, unsigned int flags)
{
	io_uring_prep_rw((int)__ipc_number(__IPC_OP_RECV), sqe, (int)id, buf, len, 0);
	sqe->rw_flags = (__kernel_rwf_t)flags;
}

/**
 * ipc_sqe_set_recv_fds() - receive the files of a message too
 * @sqe: prepared for receiving a message, with IOIPC_RECV_INFO
 * @fds: where the kernel stores descriptors of the files, close-on-exec
 * @room: how many there is room for, from 1 to IOIPC_MAX_FDS
 *
 * The fds of the info before the message is how many the kernel has stored.  The caller
 * closes them.  IOIPC_INFO_FDS_LOST in the flags of the info says that there were more.
 */
static inline void ipc_sqe_set_recv_fds(struct io_uring_sqe *sqe, int *fds, unsigned int room)
{
	sqe->addr2 = (uintptr_t)fds;
	sqe->ioprio = (uint16_t)room;
	sqe->rw_flags = (__kernel_rwf_t)((unsigned int)sqe->rw_flags | IOIPC_RECV_FDS);
}

/**
 * io_uring_prep_ipc_recv_multishot() - prepare receiving one message after the other
 * @sqe: submission queue entry to fill in
 * @id: a subscriber of this ring
 * @buf_group: group of provided buffers; each message is stored in one of them
 * @flags: 0, or of IOIPC_RECV_INFO, IOIPC_RECV_BUNDLE and IOIPC_RECV_TRUNC
 *
 * There is a completion for each message, with the buffer in its flags.  The
 * completion has IORING_CQE_F_MORE as long as more will follow: until a receive
 * fails, or the CQ is full.
 */
static inline void io_uring_prep_ipc_recv_multishot(struct io_uring_sqe *sqe, unsigned int id,
						    unsigned short buf_group,
						    unsigned int flags)
{
	io_uring_prep_ipc_recv(sqe, id, NULL, 0, flags | IOIPC_RECV_MULTISHOT);
	sqe->buf_group = buf_group;
	io_uring_sqe_set_flags(sqe, IOSQE_BUFFER_SELECT);
}

/**
 * io_uring_prep_ipc_recv_fixed() - prepare receiving a message into a registered buffer
 * @sqe: submission queue entry to fill in
 * @id: a subscriber of this ring
 * @buf: where the message is stored, inside of the registered buffer
 * @len: how many bytes there are at @buf
 * @buf_index: which registered buffer
 * @flags: as for io_uring_prep_ipc_recv()
 */
static inline void io_uring_prep_ipc_recv_fixed(struct io_uring_sqe *sqe, unsigned int id,
						void *buf, unsigned int len,
						unsigned short buf_index, unsigned int flags)
{
	io_uring_prep_ipc_recv(sqe, id, buf, len, flags | IOIPC_FIXED_BUF);
	sqe->buf_index = buf_index;
}

/**
 * io_uring_prep_ipc_recv_mapped() - prepare finding out what can be read in place
 * @sqe: submission queue entry to fill in
 * @id: a subscriber of this ring, see ipc_map()
 * @flags: 0, or IOIPC_RECV_WAIT to wait for a message
 *
 * The result of the completion is how many messages ipc_peek() will find, or a
 * negative error.
 */
static inline void io_uring_prep_ipc_recv_mapped(struct io_uring_sqe *sqe, unsigned int id,
						 unsigned int flags)
{
	io_uring_prep_ipc_recv(sqe, id, NULL, 0, flags | IOIPC_RECV_MAPPED);
}

/**
 * io_uring_prep_ipc_recv_gone() - prepare waiting for the end of a subscriber
 * @sqe: submission queue entry to fill in
 * @id: a subscriber of this ring
 * @target: the subscriber that shall be detached, of the same channel and any ring
 *
 * The result of the completion is 0 once the subscriber is detached, or a negative
 * error: -ENOENT if the channel has no such subscriber, -EPIPE if the channel was
 * destroyed.  After the result 0, receive until -EAGAIN to have all messages that the
 * subscriber has sent.
 */
static inline void io_uring_prep_ipc_recv_gone(struct io_uring_sqe *sqe, unsigned int id,
					       unsigned int target)
{
	io_uring_prep_ipc_recv(sqe, id, NULL, 0, IOIPC_RECV_GONE);
	sqe->file_index = target;
}

/**
 * ipc_bundle_next() - find the messages that IOIPC_RECV_BUNDLE has stored
 * @buf: the buffer, aligned to 8 bytes
 * @used: how many bytes of the buffer are used, from the completion
 * @offset: where to look: 0 for the first message; set to where the next one is
 *
 * The bytes of the message follow the returned info.  There are info->len bytes, or
 * fewer if info->flags has IOIPC_INFO_TRUNCATED.
 *
 * Return: the info, or NULL if there are no more messages.
 */
static inline const struct io_uring_ipc_msg_info *
ipc_bundle_next(const void *buf, unsigned int used, unsigned int *offset)
{
	const struct io_uring_ipc_msg_info *info;
	unsigned int end;

	if (*offset >= used)
		return NULL;
	info = (const struct io_uring_ipc_msg_info *)((const char *)buf + *offset);
	end = *offset + (unsigned int)sizeof(*info) + info->len;
	*offset = (end + 7) & ~7U;
	return info;
}

/**
 * ipc_buf_used() - how much of an incremental buffer a completion has used
 * @res: the result of a receive with IOIPC_RECV_INFO or IOIPC_RECV_BUNDLE
 * @left: how many bytes were left of the buffer (IOU_PBUF_RING_INC)
 *
 * If the completion has IORING_CQE_F_BUF_MORE, the next one continues that many bytes
 * further in the same buffer, or at the start of another buffer.
 *
 * Return: the number of bytes.
 */
static inline unsigned int ipc_buf_used(unsigned int res, unsigned int left)
{
	unsigned int used = (res + 7) & ~7U;

	return used < left ? used : left;
}

/*
 * io_uring_register(2) on a ring.  Only a ring without a file descriptor, see
 * io_uring_close_ring_fd(3), has to be named by its registered index.
 */
static inline int __io_uring_ipc_register(struct io_uring *ring, enum __ipc_number command,
					  void *arg, unsigned int nr_args)
{
	unsigned int opcode = __ipc_number(command);

	if (ring->ring_fd >= 0)
		return io_uring_register((unsigned int)ring->ring_fd, opcode, arg, nr_args);
	return io_uring_register((unsigned int)ring->enter_ring_fd,
				 opcode | IORING_REGISTER_USE_REGISTERED_RING, arg, nr_args);
}

/**
 * io_uring_ipc_channel_create() - create a channel
 * @ring: the channel is destroyed when this ring is closed
 * @create: describes the channel; its id is stored in @create->channel_id_out
 *
 * Return: 0 or a negative error.
 */
static inline int io_uring_ipc_channel_create(struct io_uring *ring,
					      struct io_uring_ipc_channel_create *create)
{
	return __io_uring_ipc_register(ring, __IPC_CREATE, create, 1);
}

/**
 * io_uring_ipc_channel_attach() - become a subscriber of a channel
 * @ring: the only ring that can use the subscriber
 * @attach: which channel and what for; the id of the subscriber is stored in
 *	@attach->local_id_out, its file descriptor in @attach->channel_fd
 *
 * Return: 0 or a negative error.
 */
static inline int io_uring_ipc_channel_attach(struct io_uring *ring,
					      struct io_uring_ipc_channel_attach *attach)
{
	return __io_uring_ipc_register(ring, __IPC_ATTACH, attach, 1);
}

/**
 * io_uring_ipc_channel_create_ext() - create a channel with an extension
 * @ring: the channel is destroyed when this ring is closed
 * @create: describes the channel; its id is stored in @create->channel_id_out
 * @ext: its name, or the size of its slots
 *
 * Return: 0 or a negative error.
 */
static inline int io_uring_ipc_channel_create_ext(struct io_uring *ring,
						  struct io_uring_ipc_channel_create *create,
						  const struct io_uring_ipc_channel_ext *ext)
{
	int ret;

	create->ext = (uintptr_t)ext;
	create->ext_size = sizeof(*ext);
	ret = io_uring_ipc_channel_create(ring, create);
	create->ext = 0;
	create->ext_size = 0;
	return ret;
}

/**
 * io_uring_ipc_channel_create_name() - create a channel with a name
 * @ring: the channel is destroyed when this ring is closed
 * @name: of the channel, from 1 to IOIPC_MAX_NAME bytes long
 * @create: describes the channel, without an extension; its id is stored in
 *	@create->channel_id_out
 *
 * Return: 0 or a negative error: -EEXIST if there is a channel with the name.
 */
static inline int io_uring_ipc_channel_create_name(struct io_uring *ring, const char *name,
						   struct io_uring_ipc_channel_create *create)
{
	struct io_uring_ipc_channel_ext ext;

	memset(&ext, 0, sizeof(ext));
	ext.name = (uintptr_t)name;
	ext.name_len = (uint32_t)strlen(name);
	return io_uring_ipc_channel_create_ext(ring, create, &ext);
}

/**
 * io_uring_ipc_channel_attach_name() - become a subscriber of the channel with a name
 * @ring: the only ring that can use the subscriber
 * @name: of the channel
 * @attach: as for io_uring_ipc_channel_attach(), without a key and an extension
 *
 * Return: 0 or a negative error: -ENOENT if there is no channel with the name, or none
 * that the caller may find.
 */
static inline int io_uring_ipc_channel_attach_name(struct io_uring *ring, const char *name,
						   struct io_uring_ipc_channel_attach *attach)
{
	struct io_uring_ipc_attach_ext ext;
	int ret;

	memset(&ext, 0, sizeof(ext));
	ext.name = (uintptr_t)name;
	ext.name_len = (uint32_t)strlen(name);
	attach->ext = (uintptr_t)&ext;
	attach->ext_size = sizeof(ext);
	ret = io_uring_ipc_channel_attach(ring, attach);
	attach->ext = 0;
	attach->ext_size = 0;
	return ret;
}

/**
 * io_uring_ipc_channel_detach() - end a subscription
 * @ring: the ring that attached the subscriber; or, to evict the subscriber of
 *	another ring, the ring that created the channel or any ring of its owner
 * @id: the subscriber
 *
 * Return: 0 or a negative error.
 */
static inline int io_uring_ipc_channel_detach(struct io_uring *ring, unsigned int id)
{
	return __io_uring_ipc_register(ring, __IPC_DETACH, NULL, id);
}

/**
 * io_uring_ipc_channel_destroy() - destroy a channel
 * @ring: the ring that created the channel, or any ring of its owner
 * @id: the channel
 *
 * Return: 0 or a negative error.
 */
static inline int io_uring_ipc_channel_destroy(struct io_uring *ring, unsigned int id)
{
	return __io_uring_ipc_register(ring, __IPC_DESTROY, NULL, id);
}

/* How often io_uring_ipc_channel_open() tries to attach, and to create. */
#define IPC_OPEN_ATTEMPTS	16

/**
 * io_uring_ipc_channel_open() - attach to the channel with a name, or create it
 * @ring: the only ring that can use the subscriber; if it creates the channel, the
 *	channel is destroyed when this ring is closed
 * @name: of the channel
 * @create: as for io_uring_ipc_channel_create_name(), used only if there is no channel
 *	with the name; or NULL
 * @attach: as for io_uring_ipc_channel_attach_name()
 *
 * Of several callers, one creates the channel, and all attach to it.
 *
 * Return: 0 or a negative error: -ENOENT if there is no channel with the name and @create
 * is NULL; -EEXIST if there is one that the caller may not find, or if others create and
 * destroy it all the time.
 */
static inline int io_uring_ipc_channel_open(struct io_uring *ring, const char *name,
					    struct io_uring_ipc_channel_create *create,
					    struct io_uring_ipc_channel_attach *attach)
{
	int attempts, ret = -EEXIST;

	for (attempts = 0; attempts < IPC_OPEN_ATTEMPTS; attempts++) {
		ret = io_uring_ipc_channel_attach_name(ring, name, attach);
		if (ret != -ENOENT || !create)
			break;
		ret = io_uring_ipc_channel_create_name(ring, name, create);
		if (!ret) {
			ret = io_uring_ipc_channel_attach_name(ring, name, attach);
			if (ret)
				io_uring_ipc_channel_destroy(ring, create->channel_id_out);
			break;
		}
		if (ret != -EEXIST)
			break;
	}
	return ret;
}

/*
 * Receiving in place, in a broadcast channel: a receiver reads messages where the
 * sender has put them, and consumes them with a store.  A receiver makes no system
 * call as long as there are messages.
 */

/**
 * struct ipc_map - a receiver's mapping
 * @ring: the region of the channel
 * @size: its size in bytes
 * @cursor: the page where the receiver stores how far it has read
 * @page_size: size of that page
 * @id: the subscriber
 * @next: position that ipc_peek() looks at next
 * @lost: how many messages were overwritten before this receiver read them.  This is
 *	an upper bound: it also counts messages for other receivers, and a message
 *	as often as it takes slots
 */
struct ipc_map {
	const struct io_uring_ipc_ring *ring;
	size_t size;
	struct io_uring_ipc_cursor *cursor;
	size_t page_size;
	uint32_t id;
	uint32_t next;
	uint64_t lost;
};

/**
 * struct ipc_message - a message that is read in place
 * @data: where it is
 * @len: its length in bytes
 * @msg_id: its number
 * @sender_data: user_data of the SQE that sent it
 * @sender: subscriber that sent it, or 0
 * @position: of its slot
 */
struct ipc_message {
	const void *data;
	uint32_t len;
	uint32_t msg_id;
	uint64_t sender_data;
	uint32_t sender;
	uint32_t position;
};

/**
 * ipc_unmap() - remove a mapping
 * @map: what ipc_map() has filled in
 *
 * The subscriber stays attached and can receive by other means.
 */
static inline void ipc_unmap(struct ipc_map *map)
{
	munmap((void *)map->ring, map->size);
	munmap(map->cursor, map->page_size);
}

/**
 * ipc_map() - map a channel to receive in place
 * @map: filled in
 * @attach: what io_uring_ipc_channel_attach() has filled in: a receiver of a
 *	broadcast channel that is not private.  The caller can close its channel_fd
 *	after this
 *
 * Return: 0 or a negative error: -EOPNOTSUPP if this subscriber cannot map the channel;
 * -EOVERFLOW if off_t has 32 bits, too few for the offset of the cursor: build a
 * 32-bit program with -D_FILE_OFFSET_BITS=64.
 */
static inline int ipc_map(struct ipc_map *map, const struct io_uring_ipc_channel_attach *attach)
{
	void *region, *cursor;

	memset(map, 0, sizeof(*map));
	map->size = attach->region_size;
	map->page_size = (size_t)sysconf(_SC_PAGESIZE);
	map->id = attach->local_id_out;
	if (!map->size)
		return -EOPNOTSUPP;
	if (sizeof(off_t) < sizeof(map->ring->cursor_offset))
		return -EOVERFLOW;
	region = mmap(NULL, map->size, PROT_READ, MAP_SHARED, attach->channel_fd,
		      (off_t)attach->mmap_offset_out);
	if (region == MAP_FAILED)
		return -errno;
	map->ring = (const struct io_uring_ipc_ring *)region;
	if ((map->ring->version != IOIPC_RING_VERSION &&
	     map->ring->version != IOIPC_RING_VERSION_LARGE) ||
	    !map->ring->cursor_offset) {
		munmap(region, map->size);
		return -EOPNOTSUPP;
	}
	cursor = mmap(NULL, map->page_size, PROT_READ | PROT_WRITE, MAP_SHARED,
		      attach->channel_fd, (off_t)map->ring->cursor_offset);
	if (cursor == MAP_FAILED) {
		int error = errno;

		munmap(region, map->size);
		return -error;
	}
	map->cursor = (struct io_uring_ipc_cursor *)cursor;
	map->next = __atomic_load_n(&map->cursor->position, __ATOMIC_RELAXED);
	return 0;
}

/*
 * Orders the reads before this call before the reads after it.  The kernel moves the
 * head, has a barrier, and only then writes to the slot.
 *
 * An acquire fence is enough, and on x86 it affects only the compiler.  gcc warns of a
 * fence when ThreadSanitizer looks for data races, because ThreadSanitizer does not
 * understand fences.  It does not see the kernel's writes either, so it loses nothing
 * by that.  There, a full barrier replaces the fence.
 */
static inline void __ipc_read_barrier(void)
{
#ifdef IPC_THREAD_SANITIZER
	__sync_synchronize();
#else
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
#endif
}

/**
 * ipc_intact() - check whether a message was still there until now
 * @map: the mapping
 * @message: from ipc_peek()
 *
 * A message can go away before the receiver consumes it only in a channel with
 * IOIPC_F_OVERWRITE, or for a receiver with IOIPC_SUB_LOSSY.  There, the receiver
 * must discard what it has read of the message if this returns false afterwards.
 */
static inline bool ipc_intact(const struct ipc_map *map, const struct ipc_message *message)
{
	/* The reads of the message come first. */
	__ipc_read_barrier();
	return (int32_t)(__atomic_load_n(&map->ring->consumer.head, __ATOMIC_RELAXED) -
			 message->position) <= 0;
}

/**
 * ipc_peek() - find the next message in place
 * @map: the mapping
 * @message: filled in
 *
 * The message stays there until ipc_consume().  Another call finds the message after
 * it.
 *
 * Return: whether there is one.
 */
static inline bool ipc_peek(struct ipc_map *map, struct ipc_message *message)
{
	const struct io_uring_ipc_ring *ring = map->ring;

	for (;;) {
		uint32_t position = map->next, head;
		const struct io_uring_ipc_msg_desc *desc = &ring->msgs[position & ring->ring_mask];
		uint32_t seq = __atomic_load_n(&desc->seq, __ATOMIC_ACQUIRE);
		uint32_t state = __atomic_load_n(&desc->state, __ATOMIC_ACQUIRE);
		uint32_t target = __atomic_load_n(&desc->target, __ATOMIC_RELAXED);

		message->position = position;
		message->data = (const char *)ring + desc->offset;
		message->len = desc->len;
		message->msg_id = desc->msg_id;
		message->sender_data = desc->sender_data;
		message->sender = desc->sender;

		/* Once the head is past this position, all of that may be another message's. */
		__ipc_read_barrier();
		head = __atomic_load_n(&ring->consumer.head, __ATOMIC_RELAXED);
		if ((int32_t)(head - position) > 0) {
			map->lost += head - position;
			map->next = head;
			continue;
		}
		if (seq != position + 1)
			return false;
		map->next++;
		if (state != IOIPC_MSG_READY)
			/* Such as the other slots of a message: passed at once. */
			map->next += state >> IOIPC_MSG_STATE_BITS;
		else if (!target || target == map->id)
			return true;
	}
}

/**
 * ipc_consume() - consume all messages that ipc_peek() has found
 * @map: the mapping
 *
 * Return: whether a sender waits for room.  If so, submit an
 * io_uring_prep_ipc_recv_mapped() that does not wait, so that the kernel sees the room.
 * This is worth a system call when the receiver has read much, such as half of the
 * ring: a sender that is woken for each message soon waits again.  A
 * io_uring_prep_ipc_recv_mapped() that waits for a message tells the kernel too.
 */
static inline bool ipc_consume(struct ipc_map *map)
{
	/* The reads of the messages come first. */
	__atomic_store_n(&map->cursor->position, map->next, __ATOMIC_SEQ_CST);
	/*
	 * A sender sets the flag, has a full barrier, and then looks at the position.  If
	 * the sender has not seen this position, its barrier precedes the store in the one
	 * order of all SEQ_CST operations.  So the barrier precedes this load too, and the
	 * load finds the flag.
	 */
	return __atomic_load_n(&map->ring->senders_wait, __ATOMIC_SEQ_CST);
}

#ifdef __cplusplus
#pragma GCC diagnostic pop
}
#endif

#endif /* LIBURING_IPC_H */
