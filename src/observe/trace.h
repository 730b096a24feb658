/* SPDX-License-Identifier: GPL-2.0 */
/* Tracepoints.  trace.rs has what Rust calls. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM io_uring_ipc

#if !defined(_IOIPC_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _IOIPC_TRACE_H

#include <linux/tracepoint.h>

#include <uapi/linux/io_uring/ipc.h>

#include "helpers.h"

#define ioipc_show_channel_flags(flags)				\
	__print_flags(flags, "|",				\
		      { IOIPC_F_BROADCAST, "BROADCAST" },	\
		      { IOIPC_F_MULTICAST, "MULTICAST" },	\
		      { IOIPC_F_PRIVATE, "PRIVATE" },		\
		      { IOIPC_F_OVERWRITE, "OVERWRITE" },	\
		      { IOIPC_F_FAIR, "FAIR" })

#define ioipc_show_subscriber_flags(flags)			\
	__print_flags(flags, "|",				\
		      { IOIPC_SUB_SEND, "SEND" },		\
		      { IOIPC_SUB_RECV, "RECV" },		\
		      { IOIPC_SUB_HISTORY, "HISTORY" },		\
		      { IOIPC_SUB_LOSSY, "LOSSY" })

TRACE_EVENT(ioipc_create,
	    TP_PROTO(u32 channel, u32 flags, u32 mode, u32 entries, u32 max_msg_size,
		     const char *name),
	    TP_ARGS(channel, flags, mode, entries, max_msg_size, name),
	    TP_STRUCT__entry(__field(u32, channel)
			     __field(u32, flags)
			     __field(u32, mode)
			     __field(u32, entries)
			     __field(u32, max_msg_size)
			     __array(char, name, IOIPC_MAX_NAME + 1)),
	    TP_fast_assign(__entry->channel = channel;
			   __entry->flags = flags;
			   __entry->mode = mode;
			   __entry->entries = entries;
			   __entry->max_msg_size = max_msg_size;
			   ioipc_escape(__entry->name, sizeof(__entry->name), name);),
	    TP_printk("channel=%u flags=%s mode=%04o entries=%u max_msg_size=%u name=%s",
		      __entry->channel, ioipc_show_channel_flags(__entry->flags),
		      __entry->mode, __entry->entries, __entry->max_msg_size,
		      __entry->name)
);

TRACE_EVENT(ioipc_destroy,
	    TP_PROTO(u32 channel),
	    TP_ARGS(channel),
	    TP_STRUCT__entry(__field(u32, channel)),
	    TP_fast_assign(__entry->channel = channel;),
	    TP_printk("channel=%u", __entry->channel)
);

TRACE_EVENT(ioipc_attach,
	    TP_PROTO(u32 channel, u32 subscriber, u32 flags),
	    TP_ARGS(channel, subscriber, flags),
	    TP_STRUCT__entry(__field(u32, channel)
			     __field(u32, subscriber)
			     __field(u32, flags)),
	    TP_fast_assign(__entry->channel = channel;
			   __entry->subscriber = subscriber;
			   __entry->flags = flags;),
	    TP_printk("channel=%u subscriber=%u flags=%s",
		      __entry->channel, __entry->subscriber,
		      ioipc_show_subscriber_flags(__entry->flags))
);

TRACE_EVENT(ioipc_detach,
	    TP_PROTO(u32 channel, u32 subscriber),
	    TP_ARGS(channel, subscriber),
	    TP_STRUCT__entry(__field(u32, channel)
			     __field(u32, subscriber)),
	    TP_fast_assign(__entry->channel = channel;
			   __entry->subscriber = subscriber;),
	    TP_printk("channel=%u subscriber=%u",
		      __entry->channel, __entry->subscriber)
);

/* A message was published.  The sender is 0 if it is not attached. */
TRACE_EVENT(ioipc_send,
	    TP_PROTO(u32 channel, u32 sender, u32 target, u32 msg_id, u32 len),
	    TP_ARGS(channel, sender, target, msg_id, len),
	    TP_STRUCT__entry(__field(u32, channel)
			     __field(u32, sender)
			     __field(u32, target)
			     __field(u32, msg_id)
			     __field(u32, len)),
	    TP_fast_assign(__entry->channel = channel;
			   __entry->sender = sender;
			   __entry->target = target;
			   __entry->msg_id = msg_id;
			   __entry->len = len;),
	    TP_printk("channel=%u sender=%u target=%u msg_id=%u len=%u",
		      __entry->channel, __entry->sender, __entry->target,
		      __entry->msg_id, __entry->len)
);

/* The next message with this msg_id carries files. */
TRACE_EVENT(ioipc_files,
	    TP_PROTO(u32 channel, u32 msg_id, u32 count),
	    TP_ARGS(channel, msg_id, count),
	    TP_STRUCT__entry(__field(u32, channel)
			     __field(u32, msg_id)
			     __field(u32, count)),
	    TP_fast_assign(__entry->channel = channel;
			   __entry->msg_id = msg_id;
			   __entry->count = count;),
	    TP_printk("channel=%u msg_id=%u count=%u",
		      __entry->channel, __entry->msg_id, __entry->count)
);

/* A message was copied to a receiver. */
TRACE_EVENT(ioipc_receive,
	    TP_PROTO(u32 channel, u32 subscriber, u32 msg_id, u32 len),
	    TP_ARGS(channel, subscriber, msg_id, len),
	    TP_STRUCT__entry(__field(u32, channel)
			     __field(u32, subscriber)
			     __field(u32, msg_id)
			     __field(u32, len)),
	    TP_fast_assign(__entry->channel = channel;
			   __entry->subscriber = subscriber;
			   __entry->msg_id = msg_id;
			   __entry->len = len;),
	    TP_printk("channel=%u subscriber=%u msg_id=%u len=%u",
		      __entry->channel, __entry->subscriber, __entry->msg_id,
		      __entry->len)
);

/* A subscriber has answered a call, which still waited. */
TRACE_EVENT(ioipc_answer,
	    TP_PROTO(u32 channel, u32 subscriber, u32 caller, u32 msg_id, u32 len),
	    TP_ARGS(channel, subscriber, caller, msg_id, len),
	    TP_STRUCT__entry(__field(u32, channel)
			     __field(u32, subscriber)
			     __field(u32, caller)
			     __field(u32, msg_id)
			     __field(u32, len)),
	    TP_fast_assign(__entry->channel = channel;
			   __entry->subscriber = subscriber;
			   __entry->caller = caller;
			   __entry->msg_id = msg_id;
			   __entry->len = len;),
	    TP_printk("channel=%u subscriber=%u caller=%u msg_id=%u len=%u",
		      __entry->channel, __entry->subscriber, __entry->caller,
		      __entry->msg_id, __entry->len)
);

/*
 * A send has found no room: it fails or waits.  The holder is the receiver that
 * holds most slots, 0 if none does.
 */
TRACE_EVENT(ioipc_full,
	    TP_PROTO(u32 channel, u32 sender, bool waits, u32 holder),
	    TP_ARGS(channel, sender, waits, holder),
	    TP_STRUCT__entry(__field(u32, channel)
			     __field(u32, sender)
			     __field(bool, waits)
			     __field(u32, holder)),
	    TP_fast_assign(__entry->channel = channel;
			   __entry->sender = sender;
			   __entry->waits = waits;
			   __entry->holder = holder;),
	    TP_printk("channel=%u sender=%u waits=%d holder=%u",
		      __entry->channel, __entry->sender, __entry->waits,
		      __entry->holder)
);

/* A message is overwritten before this subscriber has received it. */
TRACE_EVENT(ioipc_lost,
	    TP_PROTO(u32 channel, u32 subscriber, u32 msg_id),
	    TP_ARGS(channel, subscriber, msg_id),
	    TP_STRUCT__entry(__field(u32, channel)
			     __field(u32, subscriber)
			     __field(u32, msg_id)),
	    TP_fast_assign(__entry->channel = channel;
			   __entry->subscriber = subscriber;
			   __entry->msg_id = msg_id;),
	    TP_printk("channel=%u subscriber=%u msg_id=%u",
		      __entry->channel, __entry->subscriber, __entry->msg_id)
);

/*
 * A waker wakes the watchers of this subscriber, or for subscriber 0 the watchers
 * for room; that many of them are requests.
 */
TRACE_EVENT(ioipc_wake,
	    TP_PROTO(u32 channel, u32 subscriber, u32 requests),
	    TP_ARGS(channel, subscriber, requests),
	    TP_STRUCT__entry(__field(u32, channel)
			     __field(u32, subscriber)
			     __field(u32, requests)),
	    TP_fast_assign(__entry->channel = channel;
			   __entry->subscriber = subscriber;
			   __entry->requests = requests;),
	    TP_printk("channel=%u subscriber=%u requests=%u",
		      __entry->channel, __entry->subscriber, __entry->requests)
);

#endif /* _IOIPC_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
