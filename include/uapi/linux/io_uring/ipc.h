/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * io_uring IPC channels: message channels between processes.
 *
 * A process creates a channel with io_uring_register(2), and other processes
 * attach to the channel by id, key or name.  Two io_uring opcodes send and receive
 * messages.  The header needs nothing from the kernel's own <linux/io_uring.h>.
 *
 * All fields are in host byte order.
 */
#ifndef _UAPI_LINUX_IO_URING_IPC_H
#define _UAPI_LINUX_IO_URING_IPC_H

#include <linux/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Opcodes for sqe->opcode.  A kernel that has them calls them
 * IORING_OP_IPC_SEND and IORING_OP_IPC_RECV in <linux/io_uring.h>.
 *
 * SEND:
 *	fd		id of a subscriber of this ring that may send, or id of a
 *			channel to send without being attached to it
 *	addr, len	the message; len may be 0
 *	file_index	0, or id of the only subscriber that shall receive the
 *			message
 *	rw_flags	IOIPC_SEND_*
 *	addr2, ioprio	with IOIPC_SEND_FDS: the descriptors, and how many
 *	user_data	the receiver gets it as sender_data
 *	cqe->res	len, with IOIPC_SEND_VEC how many messages were sent, or
 *	  -EINVAL	a field or flag that must be zero is not; flags that exclude
 *			each other; IOIPC_SEND_VEC with a count that is not from 1
 *			to IOIPC_MAX_VEC; see also IOIPC_SEND_FDS
 *	  -ENOENT	no such subscriber on this ring, no such channel in this
 *			IPC namespace, or the target cannot receive from this
 *			channel
 *	  -EACCES	the subscriber did not attach with IOIPC_SUB_SEND; or the
 *			sender is not attached, and either lacks write permission
 *			or the channel is private
 *	  -EMSGSIZE	len is greater than max_msg_size of the channel
 *	  -ENOBUFS	the ring is full, or with IOIPC_F_FAIR the share of the
 *			sender's uid or the part of the target is used up.
 *			With IOIPC_F_OVERWRITE, or if all receivers are
 *			IOIPC_SUB_LOSSY, the sender makes room
 *			instead, unless other senders take all of that room, or the
 *			oldest message is held: by a receiver that is copying it, by
 *			a bundle that starts with it, by a receiver that is
 *			attaching or detaching, or by its own sender
 *	  -EPIPE	the channel was destroyed.  A sender that is not attached
 *			gets -ENOENT instead, unless its request was waiting then
 *	  -EFAULT	the message cannot be read, or is not inside the registered
 *			buffer
 *	  -ENOMEM	no memory for the first request of a ring, or for a copy of
 *			the message.  The kernel makes such a copy only if the
 *			pages of the message go away again and again
 *
 * RECV:
 *	fd		id of a subscriber of this ring that may receive
 *	addr, len	the buffer; the part of a message that does not fit is lost.
 *			With IOSQE_BUFFER_SELECT the kernel takes a buffer of the
 *			group buf_group, addr is 0, and len is 0 or limits how much
 *			of the buffer is used.  The kernel no longer uses the rest
 *			of an incremental buffer if the rest is smaller than
 *			min_left of struct io_uring_buf_reg
 *	rw_flags	IOIPC_RECV_*
 *	addr2, ioprio	with IOIPC_RECV_FDS: where descriptors are stored, and how
 *			many there is room for
 *	cqe->res	min(length of the message, len), see also the flags, or
 *	  -EINVAL	a field or flag that must be zero is not; flags that exclude
 *			each other; with IOIPC_RECV_INFO or IOIPC_RECV_BUNDLE, a
 *			buffer that is smaller than struct io_uring_ipc_msg_info:
 *			the message stays
 *	  -ENOENT	no such subscriber on this ring
 *	  -EACCES	the subscriber did not attach with IOIPC_SUB_RECV
 *	  -EAGAIN	there is no message, or another request of this subscriber
 *			is receiving the next message of a broadcast
 *	  -EPIPE	there is no message, and the channel was destroyed
 *	  -EFAULT	the buffer cannot be written; the message stays, and the
 *			buffer may have a part of the message
 *	  -ENOBUFS	no provided buffer is left, or the next one has 0 bytes; the
 *			message stays
 *
 * Several messages share a buffer of a group with IOU_PBUF_RING_INC, one behind
 * the other.  With IOIPC_RECV_INFO or IOIPC_RECV_BUNDLE each completion uses
 * cqe->res bytes rounded up to a multiple of 8, without them cqe->res bytes.  A
 * completion never uses more bytes than the buffer has left, also with
 * IOIPC_RECV_TRUNC.  So the messages stay aligned if the buffers are aligned.
 *
 * If a completion has IORING_CQE_F_BUF_MORE, the next one continues in the same
 * buffer, or names another buffer: then the next message did not fit into the
 * rest of the former buffer, and the kernel has given up that rest.  So a message
 * is cut only if it does not fit into a whole buffer.  When a receive fails with
 * -ENOBUFS, the kernel has given up the rests of all buffers as well.  A buffer is
 * also used up when less than min_left is left of it, see struct io_uring_buf_reg.
 * A receive that does not wait and runs in a worker, such as with IOSQE_ASYNC, uses
 * up all that is left of its buffer.
 *
 * A request that waits can also end with the usual -ECANCELED or -EINTR, and with
 * -ENOENT when its subscriber is detached.  No message is lost by that.  Requests
 * fail with -EOPNOTSUPP if the module is not loaded, and with -EINVAL if the
 * kernel does not have these opcodes.
 *
 * All other fields of the SQE must be zero.  buf_index must be zero too, except
 * with IOIPC_FIXED_BUF or IOSQE_BUFFER_SELECT.  All flags of the SQE work except
 * IOSQE_FIXED_FILE (-EINVAL), IOSQE_BUFFER_SELECT for SEND (-EOPNOTSUPP), and
 * IOSQE_CQE_SKIP_SUCCESS with IOIPC_RECV_MULTISHOT (-EINVAL).
 *
 * A request has the credentials of the task that submits it, or those of its
 * personality, until it ends.  The task may change its credentials while the
 * request waits, or waits for the rest of its chain: the request keeps the old
 * ones.
 */
#define IOIPC_OP_SEND			65
#define IOIPC_OP_RECV			66

/* sqe->rw_flags of SEND */
/*
 * Wait for room instead of failing with -ENOBUFS.  If the target is detached meanwhile,
 * the request ends with -ENOENT, but perhaps not before there is room.
 */
#define IOIPC_SEND_WAIT			(1U << 0)
/*
 * addr is an array of len struct iovec.  Each entry is a message.  The request
 * sends the messages in this order, with the same target and user_data.  If a
 * 32-bit process has made the ring, the entries are those of a 32-bit process.
 * cqe->res is how many messages the request has sent, at least one: with
 * IOIPC_SEND_WAIT the request waits until it can send one.  To learn why the
 * request has not sent the next message, send that message again.
 *
 * In a channel that is no broadcast, one SEND wakes one receiver that waits, for
 * all its messages.  Each woken receiver that takes a message and leaves others
 * wakes the next receiver.  If the process of a woken receiver is stopped, other
 * receivers that wait get the messages that are left when that process runs again
 * or ends, or when the next SEND wakes one of them.
 */
#define IOIPC_SEND_VEC			(1U << 1)

/*
 * The next three: something comes back for the message.  addr3 is the address, which
 * is not 0, of a struct io_uring_ipc_exchange: it says where that is stored.  Not with
 * IOIPC_SEND_VEC.  IOIPC_FIXED_BUF is about the message alone.  The sender must be
 * attached (-ENOENT).
 */
/*
 * A call: the request completes with the answer, and cqe->res is as of RECV, or
 *   -EINVAL	in a broadcast channel, there is no target
 *   -EPIPE	the channel was destroyed, the receiver of the call was detached
 *		before it answered, or so was the target; or the call was overwritten
 *		(IOIPC_F_OVERWRITE, IOIPC_SUB_LOSSY); or 2^32 slots later the same
 *		receiver got another call with the same msg_id
 *   -ENOENT	the caller itself was detached
 *   -EFAULT	the answer has come, and cannot be stored
 *   -ENOMEM	no memory for the answer: the kernel allocates that for the
 *		caller before it sends the message
 * or what SEND fails with.  IOIPC_SEND_WAIT waits for room for the message; for
 * the answer, the request always waits.  It can be canceled, and linked to a
 * timeout; the message stays in the ring then.  The receiver finds
 * IOIPC_INFO_CALL in io_uring_ipc_msg_info.flags.
 *
 * What the caller gets with IOIPC_RECV_INFO about an answer: msg_id is that of the
 * call, sender_data is the user_data of the request that has answered, and lost is 0.
 */
#define IOIPC_SEND_CALL			(1U << 4)
/*
 * Answers the call whose msg_id is io_uring_ipc_exchange.call, which this
 * subscriber has received, or which has it as target.  It can do so once, and needs
 * no IOIPC_SUB_SEND.  The answer takes no slot, never waits, and goes to the caller
 * alone.  file_index must be 0, not with IOIPC_SEND_WAIT or IOIPC_SEND_CALL.
 * cqe->res is len, or
 *   -ENOENT	the subscriber has no such call: it did not receive it, has answered it,
 *		or the caller does not wait any more.  The answer counts as late
 *   -EMSGSIZE	len is greater than max_msg_size.  The call can still be answered,
 *		and so it can after -EFAULT and -ENOMEM
 */
#define IOIPC_SEND_REPLY		(1U << 5)
/*
 * When the message is sent, the request goes on as a RECV of the same subscriber with
 * IOIPC_RECV_WAIT, and cqe->res is that of the RECV; but if the message cannot be
 * sent, the request ends with that.  Not with IOIPC_SEND_CALL.  With
 * IOIPC_SEND_REPLY a server answers and takes the next call in one request.  In that
 * case an answer that finds no call counts as late, and the request goes on.
 */
#define IOIPC_SEND_RECV			(1U << 6)

/**
 * struct io_uring_ipc_exchange - what comes back for a SEND
 * @addr: of the buffer in which the answer or the message is stored
 * @len: size of the buffer in bytes.  With IOIPC_RECV_INFO at least that of struct
 *	io_uring_ipc_msg_info
 * @flags: IOIPC_RECV_INFO and IOIPC_RECV_TRUNC, as of RECV
 * @call: with IOIPC_SEND_REPLY, msg_id of the call; otherwise zero
 * @reserved: zero
 *
 * With IOIPC_SEND_REPLY alone nothing comes back, and @addr, @len and @flags must be zero.
 * The kernel reads the struct once, when the request is submitted.
 */
struct io_uring_ipc_exchange {
	__u64	addr;
	__u32	len;
	__u32	flags;
	__u32	call;
	__u32	reserved;
};

/*
 * sqe->rw_flags of SEND and RECV: addr and len are a part of the registered
 * buffer buf_index, see io_uring_register_buffers(3).  Not with IOIPC_SEND_VEC,
 * not with IOSQE_BUFFER_SELECT.
 */
#define IOIPC_FIXED_BUF			(1U << 2)

/*
 * The message carries files: addr2 is the address of an array of __s32, which are
 * descriptors of the task that submits the request, and ioprio is how many, from 1 to
 * IOIPC_MAX_FDS.  Not with IOIPC_SEND_VEC.  The kernel looks the files up when the
 * request is issued: so in a chain, an earlier request can open them.  From then on,
 * also while the request waits for room, they stay open, and the sender may close its
 * descriptors.  The array may change once the request is issued, the message only
 * after the completion.
 *
 * A receiver gets descriptors of its own if it asks for them, see IOIPC_RECV_FDS.  In a
 * broadcast each receiver that asks gets them.  The kernel closes the files of a message
 *   - that a receiver of a queue has received without asking for them;
 *   - that is dropped, because its only receiver is detached;
 *   - of a broadcast, when a sender takes its slot back because the ring is full: so not
 *     before the message is lost, or each receiver has received or consumed it.  Until
 *     then, a receiver with IOIPC_SUB_HISTORY can get them;
 *   - that nobody can receive any more, because the channel is destroyed and has no
 *     receivers left.
 * The kernel may do that a little later, so that nobody waits for the files of others.
 *
 * The cqe->res of SEND can also be
 *   -EINVAL	ioprio is not from 1 to IOIPC_MAX_FDS; or a file is an io_uring instance,
 *		the file of a subscriber, or an AF_UNIX socket: a message that holds one
 *		of these could hold its own channel
 *   -EBADF	a descriptor is not open
 *   -EFAULT	the array cannot be read
 *   -ETOOMANYREFS  together with these files, the real user of the sender would have
 *		more than RLIMIT_NOFILE files in messages, and has neither CAP_SYS_RESOURCE
 *		nor CAP_SYS_ADMIN.  A file counts until a receiver of a queue has received
 *		it, or the kernel has closed it.  So messages that are there only for
 *		receivers with IOIPC_SUB_HISTORY count too; but at the limit, the kernel
 *		takes the oldest of these out of the same channel
 *   -ENOMEM	no memory for the files, or for the first message with files of a channel
 */
#define IOIPC_SEND_FDS			(1U << 3)

/* sqe->rw_flags of RECV */
/* Wait for a message instead of failing with -EAGAIN. */
#define IOIPC_RECV_WAIT			(1U << 0)
/*
 * Receive until a receive fails or the CQ is full.  There is a CQE, and a buffer,
 * for each message, or with IOIPC_RECV_BUNDLE for each bundle.  The last CQE is
 * the one without IORING_CQE_F_MORE, also if its res is no error.  The request
 * waits for messages, and needs IOSQE_BUFFER_SELECT.  Not with
 * IOSQE_CQE_SKIP_SUCCESS: when the CQ is full, the last message would be lost.
 */
#define IOIPC_RECV_MULTISHOT		(1U << 1)
/*
 * In the buffer, a struct io_uring_ipc_msg_info precedes the message.  cqe->res is
 * the size of this struct plus the number of bytes of the message.
 */
#define IOIPC_RECV_INFO			(1U << 3)
/*
 * Receive as many messages as there are and fit in the buffer.  A struct
 * io_uring_ipc_msg_info precedes each message, and starts at the next multiple of
 * 8 bytes from the start of the buffer.  Only the first message can be truncated,
 * and is the only one of its bundle then.  cqe->res is how many bytes of the
 * buffer are used.  Not with IOIPC_RECV_TRUNC.  IOIPC_RECV_INFO changes nothing
 * here.
 */
#define IOIPC_RECV_BUNDLE		(1U << 4)
/* cqe->res counts the whole message, also the part that did not fit in the buffer. */
#define IOIPC_RECV_TRUNC		(1U << 5)
/*
 * Copy nothing: addr and len are 0, and cqe->res is how many messages the mapping
 * has from the position on that the receiver has stored in its struct
 * io_uring_ipc_cursor.  Only in broadcast channels (-EINVAL), and with no other
 * flag than IOIPC_RECV_WAIT.
 */
#define IOIPC_RECV_MAPPED		(1U << 6)
/*
 * Receive nothing: wait until another subscriber of the same channel, whose id is in
 * file_index, is detached, for whatever reason: by DETACH, by eviction, or because its
 * ring is closed or its process has ended.  Needs no right but to be a subscriber: fd
 * may be one that cannot receive, and so may file_index.  It may also be fd itself.
 * addr and len are 0, and no other flag is allowed than IOIPC_RECV_WAIT, which changes
 * nothing here.  cqe->res is 0, or
 *   -ENOENT	the channel has no such subscriber; or fd itself was detached
 *   -EPIPE	the channel was destroyed, and the subscriber was not detached before
 *   -ENOMEM	no memory for the first request that waits for this subscriber
 *
 * No message of the subscriber is lost by its end, and none comes later than the
 * completion with 0: all messages that it has ever sent are in the channel by then.  So
 * a receiver that sees the completion, and then receives until -EAGAIN (or -EPIPE), has
 * received all that it gets of the subscriber's messages.  Not so if another request
 * has just taken a message and puts it back, because its buffer went away.  Messages
 * and the completion come in no certain order if a request that receives is waiting
 * or running at the same time.  Several requests that wait for the same end complete in
 * no certain order either.
 */
#define IOIPC_RECV_GONE			(1U << 8)

/*
 * Receive the files of the message: the kernel opens a descriptor of the task for each,
 * close-on-exec, and stores their numbers in the array of __s32 at the address addr2, in
 * the order in which they were sent.  ioprio is how many there is room for, from 1 to
 * IOIPC_MAX_FDS (-EINVAL).  Needs IOIPC_RECV_INFO; not with IOIPC_RECV_BUNDLE or
 * IOIPC_RECV_MULTISHOT.  The fds of struct io_uring_ipc_msg_info is how many descriptors
 * were stored.  IOIPC_INFO_FDS_LOST in its flags says that the message had more files, see
 * there.  cqe->res is as without the flag; it can be
 *   -EFAULT	the array cannot be written, and the message stays.  If the buffer goes away
 *		during the request, the kernel closes the descriptors, and the message is lost
 *
 * A receiver that reads in place gets no files.
 */
#define IOIPC_RECV_FDS			(1U << 7)

/*
 * Commands for io_uring_register(2).  A kernel that has them calls them
 * IORING_REGISTER_IPC_CHANNEL_CREATE, _ATTACH, _DETACH and _DESTROY.
 *
 * CREATE	arg = struct io_uring_ipc_channel_create, nr_args = 1
 * ATTACH	arg = struct io_uring_ipc_channel_attach, nr_args = 1
 * DETACH	arg = NULL, nr_args = id of a subscriber of this ring, or of another
 *		ring's subscriber of a channel that the caller may destroy
 * DESTROY	arg = NULL, nr_args = id of the channel
 *
 * They return 0, or -1 with errno:
 *   EOPNOTSUPP	the module is not loaded
 *   EINVAL	arg, nr_args or a field of the struct is not valid, or the kernel
 *		does not have these commands
 *   E2BIG	the struct of an extension has something that this kernel does not
 *		know: see struct io_uring_ipc_channel_ext
 *   EFAULT	the struct, its extension or the name cannot be read, or the struct
 *		cannot be written; nothing was done
 *   ENOMEM	no memory, or beyond the memory limits of the caller
 *   EEXIST	CREATE: another channel of this IPC namespace has the key or the name
 *   ENOENT	no such channel in this IPC namespace.  DETACH: no such subscriber
 *		on this ring, and none of a channel that is not destroyed and that
 *		the caller may know of; or the subscriber is detached already
 *   EACCES	ATTACH: the mode of the channel does not permit this
 *   EPERM	DESTROY, and DETACH of another ring's subscriber: this ring did
 *		not create the channel, and the caller is not its owner and does
 *		not have CAP_IPC_OWNER
 *   EMFILE	ATTACH: no file descriptor left; or this ring has as many
 *		subscribers as RLIMIT_NOFILE, also if their descriptors are
 *		closed
 *   ENFILE	ATTACH: no file left
 *   EUSERS	ATTACH: the channel has IOIPC_MAX_SUBSCRIBERS subscribers; or the
 *		caller's file system uid has attached as many subscribers as
 *		places are left beyond IOIPC_RESERVED_SUBSCRIBERS.  The latter
 *		limit does not hold for the owner and CAP_IPC_OWNER
 *   EBUSY	CREATE, ATTACH: no id left
 *
 * After an error the out fields of the struct are undefined.
 *
 * When the last descriptor of a ring is closed, the kernel detaches the ring's
 * subscribers and destroys the channels that the ring has created.  This is done
 * before close(2), io_uring_queue_exit(3) or execve(2) returns, and before wait(2)
 * tells the end of the process.  Only memory may be freed later.
 *
 * DETACH of another ring's subscriber evicts the subscriber.  At once the
 * subscriber holds no message and no place in the channel, its requests end with
 * -ENOENT, and its file reports EPOLLHUP.  The kernel drops the messages that only
 * this subscriber could have received.  The subscriber keeps its id, and counts as
 * a subscriber of its ring, until that ring detaches it as well (which returns 0)
 * or is closed.
 *
 * DESTROY takes the channel out of lookup and ends sending at once.  Receivers can
 * still receive the queued messages.
 */
#define IOIPC_REGISTER_CREATE		38
#define IOIPC_REGISTER_ATTACH		39
#define IOIPC_REGISTER_DETACH		40
#define IOIPC_REGISTER_DESTROY		41

/* Limits of a channel. */
#define IOIPC_MAX_RING_ENTRIES		32768
/* Of a message in one slot. */
#define IOIPC_MAX_MSG_SIZE		(1U << 20)
/* Of a message in several slots, see slot_size of struct io_uring_ipc_channel_ext. */
#define IOIPC_MAX_LARGE_MSG_SIZE	(1U << 26)
#define IOIPC_MAX_SUBSCRIBERS		4096
/* Of IOIPC_MAX_SUBSCRIBERS, only for the owner and CAP_IPC_OWNER. */
#define IOIPC_RESERVED_SUBSCRIBERS	64
/* Messages in one SEND with IOIPC_SEND_VEC. */
#define IOIPC_MAX_VEC			1024
/* Files of a message, see IOIPC_SEND_FDS. */
#define IOIPC_MAX_FDS			64
/* Bytes of the name of a channel. */
#define IOIPC_MAX_NAME			127

/*
 * What BPF filters of io_uring see of SEND and RECV: 32-bit words at these offsets
 * of struct io_uring_bpf_ctx.  The first is sqe->fd, and the others are the fields of
 * the SQE with these names.  IOIPC_FILTER_SIZE is their pdu_size.
 */
#define IOIPC_FILTER_ID			16
#define IOIPC_FILTER_FILE_INDEX		20
#define IOIPC_FILTER_RW_FLAGS		24
#define IOIPC_FILTER_LEN		28
#define IOIPC_FILTER_SIZE		16

/*
 * io_uring_ipc_channel_create.flags.  Without BROADCAST and MULTICAST, each
 * message goes to exactly one receiver, in the order of sending.  The two flags
 * exclude each other.
 */
/* Each receiver gets each message that was sent after the receiver attached. */
#define IOIPC_F_BROADCAST		(1U << 0)
/* Each message goes to one receiver; receivers that wait get messages in turn. */
#define IOIPC_F_MULTICAST		(1U << 1)
/*
 * No process can map the channel or send without being attached.  Another ring
 * finds the channel by id or name only with the owner's uid or CAP_IPC_OWNER.
 */
#define IOIPC_F_PRIVATE			(1U << 2)
/*
 * With IOIPC_F_BROADCAST only: when the ring is full, a new message takes the
 * place of the oldest one.  The oldest message counts as lost for each receiver
 * that had not received it.
 */
#define IOIPC_F_OVERWRITE		(1U << 3)
/*
 * Not with IOIPC_F_BROADCAST: senders have shares of the slots.
 *
 * A send needs room for its message, and beside that as many free slots as its uid
 * uses then, with this message.  Only a uid that uses no slot needs no more than room
 * for one message.  A slot is used from the moment that a sender reserves it until a
 * receiver has taken the message (or it is dropped, or the sender gives it up), and
 * a message of several slots uses all of them.  The uid is the file system uid of
 * the caller that attached the subscriber, in whatever user namespace that is; what is
 * sent without an attachment counts as that of one more uid.
 *
 * So if nothing is received, the first uid that sends gets entries / 2 slots, the next
 * one entries / 4, and the j-th one entries >> j, or one slot if that is 0 and a slot
 * is left: the first log2(entries) + 1 uids get one at least, whatever the others do.
 * If n uids send as fast as they can and receivers receive, each of them uses
 * entries / (n + 1) slots, and the next uid finds as many free.
 *
 * The messages for one target use at most entries / 4 slots, and at least one message
 * is possible.
 *
 * A send beyond its share fails with -ENOBUFS, or waits with IOIPC_SEND_WAIT, until
 * receivers have taken messages of its uid or of others.  Senders of other uids that
 * wait do not wait for this one.  A send beyond what its target may have fails with
 * -ENOBUFS, also with IOIPC_SEND_WAIT: nobody waits for a single target.  A vector
 * ends before the first message that is beyond.  EPOLLOUT of a subscriber says that
 * there is room within the share of its uid; the part of a target does not matter.
 *
 * A message for a target that does not receive still holds up the ring once all other
 * slots have been used, as in any channel: after messages that take at most
 * entries - 1 slots.  It does so until its target takes it, detaches, or is evicted.
 * So give the right to receive only to those that are trusted to receive.
 */
#define IOIPC_F_FAIR			(1U << 4)

/* io_uring_ipc_channel_attach.flags, at least one of SEND and RECV. */
/* May send; needs write permission. */
#define IOIPC_SUB_SEND			(1U << 0)
/* May receive; needs read permission. */
#define IOIPC_SUB_RECV			(1U << 1)
#define IOIPC_SUB_BOTH			(IOIPC_SUB_SEND | IOIPC_SUB_RECV)
/*
 * With IOIPC_SUB_RECV in a broadcast channel (otherwise EINVAL): start with the
 * oldest message that is still in the ring, not with the next one that is sent.
 * Without IOIPC_F_OVERWRITE or IOIPC_SUB_LOSSY, however, leave a quarter of the
 * ring to the senders.
 */
#define IOIPC_SUB_HISTORY		(1U << 2)
/*
 * With IOIPC_SUB_RECV in a broadcast channel (otherwise EINVAL): senders never wait
 * for this receiver.  When the ring is full, a new message takes the place of the
 * oldest one if only lossy receivers have not received that one.  It counts as
 * lost for each of them.  As with IOIPC_F_OVERWRITE, a receiver that reads in place
 * has to check after reading that the message was still there.
 */
#define IOIPC_SUB_LOSSY			(1U << 3)

/**
 * struct io_uring_ipc_channel_create - argument of CREATE
 * @flags: in: IOIPC_F_*
 * @ring_entries: in: how many slots the channel has, a power of two up to
 *	IOIPC_MAX_RING_ENTRIES.  A message takes one, unless the channel has a
 *	slot_size, see struct io_uring_ipc_channel_ext
 * @max_msg_size: in: size of the largest message in bytes, from 1 to
 *	IOIPC_MAX_MSG_SIZE, or with a slot_size up to IOIPC_MAX_LARGE_MSG_SIZE.
 *	The region with all messages must not be larger than INT_MAX bytes
 * @mode: in: permission bits for user, group and others like those of a file,
 *	read bits to receive, write bits to send; other bits are ignored.  The
 *	owner is the file system uid and gid of the caller
 * @key: in: 0, or a number by which other processes find the channel, unique in
 *	the IPC namespace
 * @channel_id_out: out: id of the channel.  Ids of channels and subscribers
 *	come from the same sequence, and the kernel does not use them again soon
 * @ext_size: in: size of the extension in bytes, or 0 for none
 * @ext: in: address of a struct io_uring_ipc_channel_ext, or 0 for none
 */
struct io_uring_ipc_channel_create {
	__u32	flags;
	__u32	ring_entries;
	__u32	max_msg_size;
	__u32	mode;
	__u64	key;
	__u32	channel_id_out;
	__u32	ext_size;
	__u64	ext;
};

/**
 * struct io_uring_ipc_channel_ext - extension of the argument of CREATE
 * @name: in: address of the name of the channel, by which other processes find it;
 *	or 0
 * @name_len: in: length of the name in bytes, from 1 to IOIPC_MAX_NAME, or 0 for
 *	none.  All bytes but NUL are valid, and a name that ends with NUL does not
 *	count it
 * @slot_size: in: size of a slot in bytes, up to max_msg_size and up to
 *	IOIPC_MAX_MSG_SIZE; or 0 for max_msg_size.  The kernel rounds it up to 64.
 *	A message that is longer takes as many consecutive slots as it needs,
 *	in one piece.  So memory is paid for usual messages and not for the largest
 *	one.  max_msg_size can be at most a quarter of all slots (EINVAL)
 *
 * In a channel with a slot_size, a message that does not fit in the slots up to the end
 * of the ring leaves them free, and begins with the first slot.  So a SEND finds no room
 * if the ring has too few slots left for the message and for these.  Of the sends that
 * wait for room, a short one does not overtake a long one.  EPOLLOUT says that there is
 * room for a message of max_msg_size.
 *
 * A channel can have a name and a key.  The name is unique in the IPC namespace, also
 * among channels that the caller cannot find.  It is free again when the channel is
 * destroyed.  The mode protects the channel, and not the name: the first channel that
 * asks for a name gets it.  A process that is going to trust a channel finds the uid of
 * its owner in /proc/PID/fdinfo of the subscriber.
 *
 * Later versions of the struct may be larger.  As with clone3(2), a program says with
 * ext_size which one it has.  What the program does not have counts as zero.  If the
 * program has more than the kernel knows, these bytes must be zero, else E2BIG.  A size
 * that is smaller than the first version, of 16 bytes, or an address without a size, or
 * a size without an address, is EINVAL.  A size above that of a page is E2BIG.
 */
struct io_uring_ipc_channel_ext {
	__u64	name;
	__u32	name_len;
	__u32	slot_size;
};

/**
 * struct io_uring_ipc_channel_attach - argument of ATTACH
 * @channel_id: in: id of the channel, ignored if there is a key or a name
 * @flags: in: IOIPC_SUB_*
 * @key: in: key of the channel, or 0 to use @channel_id or a name
 * @channel_fd: out: file descriptor (close-on-exec) of the subscriber.  Use it
 *	to map the channel, to poll it (EPOLLIN when there is a message, EPOLLOUT
 *	when there is room, EPOLLHUP when the channel is destroyed or the
 *	subscriber detached) and to find the subscriber in /proc/PID/fdinfo.
 *	The subscriber stays attached when the descriptor is closed, and a mapping
 *	stays when the subscriber is detached.  A receiver sees in the mapping
 *	what senders have put into the slots, also before the receiver attached
 * @local_id_out: out: id of the subscriber, for sqe->fd and sqe->file_index
 * @mmap_offset_out: out: offset for mmap(2)
 * @region_size: out: how many bytes can be mapped, read-only, at that offset;
 *	0 if this subscriber cannot map the channel, because it cannot receive
 *	or because the channel is private
 * @ext_size: in: size of the extension in bytes, or 0 for none
 * @ext: in: address of a struct io_uring_ipc_attach_ext, or 0 for none
 */
struct io_uring_ipc_channel_attach {
	__u32	channel_id;
	__u32	flags;
	__u64	key;
	__s32	channel_fd;
	__u32	local_id_out;
	__u64	mmap_offset_out;
	__u32	region_size;
	__u32	ext_size;
	__u64	ext;
};

/**
 * struct io_uring_ipc_attach_ext - extension of the argument of ATTACH
 * @name: in: address of the name of the channel, or 0
 * @name_len: in: length of the name in bytes, from 1 to IOIPC_MAX_NAME, or 0 for
 *	none.  With a name, key must be 0
 * @reserved: must be zero, else E2BIG
 *
 * The rules for sizes are those of struct io_uring_ipc_channel_ext.
 */
struct io_uring_ipc_attach_ext {
	__u64	name;
	__u32	name_len;
	__u32	reserved;
};

/*
 * io_uring_query_hdr.query_op for IORING_REGISTER_QUERY, see <linux/io_uring/query.h>,
 * with a struct io_uring_query_ipc as query_data.  A kernel that has it calls it
 * IO_URING_QUERY_IPC.  Needs no ring.  The result is 0, or
 *   -EOPNOTSUPP	the module is not loaded, or the kernel does not have this query
 */
#define IOIPC_QUERY			4

/**
 * struct io_uring_query_ipc - what kernel and module can do
 * @op_send: opcode for IPC_SEND
 * @op_recv: opcode for IPC_RECV
 * @register_create: number of the command CREATE
 * @register_attach: of ATTACH
 * @register_detach: of DETACH
 * @register_destroy: of DESTROY
 * @channel_flags: all IOIPC_F_* that CREATE knows
 * @subscriber_flags: all IOIPC_SUB_* that ATTACH knows
 * @send_flags: all flags in rw_flags that SEND knows
 * @recv_flags: all flags in rw_flags that RECV knows
 * @channel_ext_size: how many bytes of struct io_uring_ipc_channel_ext CREATE knows
 * @attach_ext_size: how many bytes of struct io_uring_ipc_attach_ext ATTACH knows
 * @ring_version: the highest version that struct io_uring_ipc_ring can have
 * @max_ring_entries: see IOIPC_MAX_RING_ENTRIES
 * @max_msg_size: see IOIPC_MAX_MSG_SIZE
 * @max_subscribers: see IOIPC_MAX_SUBSCRIBERS
 * @reserved_subscribers: see IOIPC_RESERVED_SUBSCRIBERS
 * @max_vec: see IOIPC_MAX_VEC
 * @max_name: see IOIPC_MAX_NAME
 * @max_large_msg_size: see IOIPC_MAX_LARGE_MSG_SIZE; 0 if CREATE does not know
 *	slot_size
 *
 * Later versions of the struct may be larger.  The kernel fills in what both sides
 * know, and zeroes what only the program knows.
 */
struct io_uring_query_ipc {
	__u32	op_send;
	__u32	op_recv;
	__u32	register_create;
	__u32	register_attach;
	__u32	register_detach;
	__u32	register_destroy;
	__u32	channel_flags;
	__u32	subscriber_flags;
	__u32	send_flags;
	__u32	recv_flags;
	__u32	channel_ext_size;
	__u32	attach_ext_size;
	__u32	ring_version;
	__u32	max_ring_entries;
	__u32	max_msg_size;
	__u32	max_subscribers;
	__u32	reserved_subscribers;
	__u32	max_vec;
	__u32	max_name;
	__u32	max_large_msg_size;
};

/* io_uring_ipc_msg_info.flags */
/* The sender named this subscriber as the only receiver. */
#define IOIPC_INFO_TARGETED		(1U << 0)
/* The buffer has only the first part of the message. */
#define IOIPC_INFO_TRUNCATED		(1U << 1)
/* The sender waits for an answer, see IOIPC_SEND_REPLY. */
#define IOIPC_INFO_CALL			(1U << 2)
/*
 * The receiver did not get all files of the message, but only the first ones, or none:
 * it did not ask for them, or not for so many; or it has as many open files as its
 * RLIMIT_NOFILE allows; or there was no memory; or a security module does not allow the
 * receiver to have the next file.
 */
#define IOIPC_INFO_FDS_LOST		(1U << 3)

/**
 * struct io_uring_ipc_msg_info - what the kernel tells a receiver of a message
 * @len: length of the message in bytes, also if the buffer has only a part
 * @msg_id: number of the message, as in struct io_uring_ipc_msg_desc
 * @sender_data: user_data of the SQE that sent it
 * @sender: id of the subscriber that sent it, 0 if it was not attached
 * @pid: process that sent it, in the pid namespace of the receiver; 0 if the
 *	process is not visible there
 * @uid: effective user of the request that sent the message, in the user
 *	namespace of the receiver; the overflow uid if the user has no number there
 * @gid: effective group, likewise
 * @flags: IOIPC_INFO_*
 * @fds: how many descriptors were stored, see IOIPC_RECV_FDS
 * @lost: how many messages this subscriber has lost since the last one that it
 *	received, see IOIPC_F_OVERWRITE and IOIPC_SUB_LOSSY
 *
 * The kernel fills in all fields.  The sender chooses only @sender_data.  "The
 * receiver" is the task that the request runs in, with its credentials.
 */
struct io_uring_ipc_msg_info {
	__u32	len;
	__u32	msg_id;
	__u64	sender_data;
	__u32	sender;
	__u32	pid;
	__u32	uid;
	__u32	gid;
	__u32	flags;
	__u32	fds;
	__u64	lost;
};

/*
 * io_uring_ipc_msg_desc.state, valid while seq is the position plus one.  Only a
 * slot with IOIPC_MSG_READY has a message.  A receiver has claimed the message of
 * a slot with IOIPC_MSG_CLAIMED.  In a slot with IOIPC_MSG_FREE, a receiver has
 * consumed the message, or the sender has given up the slot, or a message of
 * several slots begins before it.  In a ring with IOIPC_RING_VERSION_LARGE, the
 * bits from IOIPC_MSG_STATE_BITS on say how many free slots follow a free one.
 */
#define IOIPC_MSG_READY			1
#define IOIPC_MSG_CLAIMED		2
#define IOIPC_MSG_FREE			3
#define IOIPC_MSG_STATE_BITS		8

/* io_uring_ipc_msg_desc.sender */
#define IOIPC_MSG_CALL			(1U << 31)

/**
 * struct io_uring_ipc_msg_desc - one slot of the ring, as mapped
 * @offset: of the message, from the start of the region, in bytes
 * @len: length of the message in bytes
 * @msg_id: number of the message: its position in the channel plus one, so it
 *	wraps after 2^32 slots
 * @sender_data: user_data of the SQE that sent it
 * @seq: position plus one, once the slot is published.  To read a message in
 *	place, load @seq and @state with acquire.  Read the message, and load
 *	consumer.head of the ring after an acquire fence.  The message was still
 *	there if consumer.head is not past its position.  In a broadcast without
 *	IOIPC_F_OVERWRITE no sender uses a slot again before each receiver that is
 *	not IOIPC_SUB_LOSSY has received its message or consumed it, so such a
 *	receiver need not check that
 * @state: IOIPC_MSG_*, written together with @seq
 * @sender: id of the subscriber that sent the message, 0 if it was not attached;
 *	with IOIPC_MSG_CALL if the message is a call
 * @target: id of the only subscriber that may receive it, 0 for any
 * @slots: how many slots the message takes.  The position of the next message is
 *	at least so many after this one
 * @reserved: zero
 */
struct io_uring_ipc_msg_desc {
	__u64	offset;
	__u32	len;
	__u32	msg_id;
	__u64	sender_data;
	__u32	seq;
	__u32	state;
	__u32	sender;
	__u32	target;
	__u32	slots;
	__u32	reserved[5];
};

/* io_uring_ipc_ring.version */
#define IOIPC_RING_VERSION		1
/* The same, with messages that take several slots. */
#define IOIPC_RING_VERSION_LARGE	2

/* io_uring_ipc_ring.producer.head of a channel that was destroyed */
#define IOIPC_RING_CLOSED		1

#ifdef __cplusplus
/* C++ has no flexible array members, but compilers do. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#endif

/**
 * struct io_uring_ipc_ring - start of the mapped region
 *
 * Positions count slots since the channel was created.  They are u32 and wrap.
 * The slot of a position is at (position & ring_mask).  User space cannot write
 * to any of this.
 *
 * @producer.head: 0, or IOIPC_RING_CLOSED once the channel is destroyed
 * @producer.tail: position after the last slot that a sender has reserved
 * @consumer.head: no slot before this position is in use any more
 * @consumer.reserved: not for user space
 * @ring_mask: @ring_entries - 1
 * @ring_entries: number of slots, a power of two
 * @max_msg_size: of the channel, in bytes
 * @version: IOIPC_RING_VERSION, or IOIPC_RING_VERSION_LARGE
 * @desc_offset: of @msgs, from the start of the region, in bytes
 * @desc_stride: from one struct io_uring_ipc_msg_desc to the next, in bytes
 * @data_offset: of the message of slot 0, from the start of the region, in bytes
 * @data_stride: from the message of one slot to that of the next, in bytes:
 *	the slot size rounded up to 64
 * @cursor_offset: offset for mmap(2) of the struct io_uring_ipc_cursor of a
 *	receiver; 0 if the channel is no broadcast
 * @senders_wait: not 0 if a sender waits for room.  A receiver that stores a
 *	position, has a full barrier, and then finds this not 0, must tell the
 *	kernel: with a RECV of IOIPC_RECV_MAPPED that does not wait
 * @msgs: the slots
 */
struct io_uring_ipc_ring {
	struct {
		__u32	head __attribute__((aligned(64)));
		__u32	tail;
	} producer;
	struct {
		__u32	head __attribute__((aligned(64)));
		__u32	reserved;
	} consumer;
	__u32	ring_mask;
	__u32	ring_entries;
	__u32	max_msg_size;
	__u32	version;
	__u32	desc_offset;
	__u32	desc_stride;
	__u32	data_offset;
	__u32	data_stride;
	__u64	cursor_offset;
	__u32	senders_wait;
	__u32	reserved[5];
	struct io_uring_ipc_msg_desc msgs[];
};

#ifdef __cplusplus
#pragma GCC diagnostic pop
#endif

/**
 * struct io_uring_ipc_cursor - where a receiver of a broadcast reads
 * @position: of the next message that the receiver wants.  Storing a position
 *	(with release) consumes all messages before it
 * @reserved: not used
 *
 * A receiver maps this page, which is its own, shared and writable at
 * cursor_offset of its file, and reads messages in place.  Whenever the receiver
 * maps the page, the kernel moves @position forward to the next message that the
 * receiver has not received.  The kernel writes @position at no other time.  The
 * kernel accepts a position that is not before the last one and not after
 * producer.tail.  It treats any other position as if the receiver had not moved.
 * The receiver must step over a slot that is published but not IOIPC_MSG_READY,
 * or has another target.  A position within a message is one behind this message.
 */
struct io_uring_ipc_cursor {
	__u32	position;
	__u32	reserved[15];
};

#ifdef __cplusplus
}
#endif

#endif /* _UAPI_LINUX_IO_URING_IPC_H */
