/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The layout of the memory that user space and the kernel share, in any
 * program.
 */
#ifndef IPC_LAYOUT_H
#define IPC_LAYOUT_H

#include <stddef.h>

#include <linux/io_uring/ipc.h>

#define IPC_OFFSET(type, member, offset)				\
	_Static_assert(offsetof(struct type, member) == (offset),	\
		       #type "." #member)
#define IPC_SIZE(type, size)						\
	_Static_assert(sizeof(struct type) == (size), #type)

IPC_SIZE(io_uring_ipc_channel_create, 40);
IPC_OFFSET(io_uring_ipc_channel_create, flags, 0);
IPC_OFFSET(io_uring_ipc_channel_create, ring_entries, 4);
IPC_OFFSET(io_uring_ipc_channel_create, max_msg_size, 8);
IPC_OFFSET(io_uring_ipc_channel_create, mode, 12);
IPC_OFFSET(io_uring_ipc_channel_create, key, 16);
IPC_OFFSET(io_uring_ipc_channel_create, channel_id_out, 24);
IPC_OFFSET(io_uring_ipc_channel_create, ext_size, 28);
IPC_OFFSET(io_uring_ipc_channel_create, ext, 32);

IPC_SIZE(io_uring_ipc_channel_ext, 16);
IPC_OFFSET(io_uring_ipc_channel_ext, name, 0);
IPC_OFFSET(io_uring_ipc_channel_ext, name_len, 8);
IPC_OFFSET(io_uring_ipc_channel_ext, slot_size, 12);

IPC_SIZE(io_uring_ipc_channel_attach, 48);
IPC_OFFSET(io_uring_ipc_channel_attach, channel_id, 0);
IPC_OFFSET(io_uring_ipc_channel_attach, flags, 4);
IPC_OFFSET(io_uring_ipc_channel_attach, key, 8);
IPC_OFFSET(io_uring_ipc_channel_attach, channel_fd, 16);
IPC_OFFSET(io_uring_ipc_channel_attach, local_id_out, 20);
IPC_OFFSET(io_uring_ipc_channel_attach, mmap_offset_out, 24);
IPC_OFFSET(io_uring_ipc_channel_attach, region_size, 32);
IPC_OFFSET(io_uring_ipc_channel_attach, ext_size, 36);
IPC_OFFSET(io_uring_ipc_channel_attach, ext, 40);

IPC_SIZE(io_uring_ipc_attach_ext, 16);
IPC_OFFSET(io_uring_ipc_attach_ext, name, 0);
IPC_OFFSET(io_uring_ipc_attach_ext, name_len, 8);
IPC_OFFSET(io_uring_ipc_attach_ext, reserved, 12);

IPC_SIZE(io_uring_query_ipc, 80);
IPC_OFFSET(io_uring_query_ipc, op_send, 0);
IPC_OFFSET(io_uring_query_ipc, op_recv, 4);
IPC_OFFSET(io_uring_query_ipc, register_create, 8);
IPC_OFFSET(io_uring_query_ipc, register_attach, 12);
IPC_OFFSET(io_uring_query_ipc, register_detach, 16);
IPC_OFFSET(io_uring_query_ipc, register_destroy, 20);
IPC_OFFSET(io_uring_query_ipc, channel_flags, 24);
IPC_OFFSET(io_uring_query_ipc, subscriber_flags, 28);
IPC_OFFSET(io_uring_query_ipc, send_flags, 32);
IPC_OFFSET(io_uring_query_ipc, recv_flags, 36);
IPC_OFFSET(io_uring_query_ipc, channel_ext_size, 40);
IPC_OFFSET(io_uring_query_ipc, attach_ext_size, 44);
IPC_OFFSET(io_uring_query_ipc, ring_version, 48);
IPC_OFFSET(io_uring_query_ipc, max_ring_entries, 52);
IPC_OFFSET(io_uring_query_ipc, max_msg_size, 56);
IPC_OFFSET(io_uring_query_ipc, max_subscribers, 60);
IPC_OFFSET(io_uring_query_ipc, reserved_subscribers, 64);
IPC_OFFSET(io_uring_query_ipc, max_vec, 68);
IPC_OFFSET(io_uring_query_ipc, max_name, 72);
IPC_OFFSET(io_uring_query_ipc, max_large_msg_size, 76);

IPC_SIZE(io_uring_ipc_msg_desc, 64);
IPC_OFFSET(io_uring_ipc_msg_desc, offset, 0);
IPC_OFFSET(io_uring_ipc_msg_desc, len, 8);
IPC_OFFSET(io_uring_ipc_msg_desc, msg_id, 12);
IPC_OFFSET(io_uring_ipc_msg_desc, sender_data, 16);
IPC_OFFSET(io_uring_ipc_msg_desc, seq, 24);
IPC_OFFSET(io_uring_ipc_msg_desc, state, 28);
IPC_OFFSET(io_uring_ipc_msg_desc, sender, 32);
IPC_OFFSET(io_uring_ipc_msg_desc, target, 36);
IPC_OFFSET(io_uring_ipc_msg_desc, slots, 40);
IPC_OFFSET(io_uring_ipc_msg_desc, reserved, 44);

IPC_SIZE(io_uring_ipc_msg_info, 48);
IPC_OFFSET(io_uring_ipc_msg_info, len, 0);
IPC_OFFSET(io_uring_ipc_msg_info, msg_id, 4);
IPC_OFFSET(io_uring_ipc_msg_info, sender_data, 8);
IPC_OFFSET(io_uring_ipc_msg_info, sender, 16);
IPC_OFFSET(io_uring_ipc_msg_info, pid, 20);
IPC_OFFSET(io_uring_ipc_msg_info, uid, 24);
IPC_OFFSET(io_uring_ipc_msg_info, gid, 28);
IPC_OFFSET(io_uring_ipc_msg_info, flags, 32);
IPC_OFFSET(io_uring_ipc_msg_info, fds, 36);
IPC_OFFSET(io_uring_ipc_msg_info, lost, 40);

IPC_SIZE(io_uring_ipc_cursor, 64);
IPC_OFFSET(io_uring_ipc_cursor, position, 0);

IPC_OFFSET(io_uring_ipc_ring, producer.head, 0);
IPC_OFFSET(io_uring_ipc_ring, producer.tail, 4);
IPC_OFFSET(io_uring_ipc_ring, consumer.head, 64);
IPC_OFFSET(io_uring_ipc_ring, ring_mask, 128);
IPC_OFFSET(io_uring_ipc_ring, ring_entries, 132);
IPC_OFFSET(io_uring_ipc_ring, max_msg_size, 136);
IPC_OFFSET(io_uring_ipc_ring, version, 140);
IPC_OFFSET(io_uring_ipc_ring, desc_offset, 144);
IPC_OFFSET(io_uring_ipc_ring, desc_stride, 148);
IPC_OFFSET(io_uring_ipc_ring, data_offset, 152);
IPC_OFFSET(io_uring_ipc_ring, data_stride, 156);
IPC_OFFSET(io_uring_ipc_ring, cursor_offset, 160);
IPC_OFFSET(io_uring_ipc_ring, senders_wait, 168);
IPC_OFFSET(io_uring_ipc_ring, msgs, 192);
/* The array must start where the structure ends, or an index is off. */
_Static_assert(offsetof(struct io_uring_ipc_ring, msgs) ==
	       sizeof(struct io_uring_ipc_ring), "io_uring_ipc_ring.msgs");

#endif /* IPC_LAYOUT_H */
