// SPDX-License-Identifier: GPL-2.0

//! The structs of `include/uapi/linux/io_uring/ipc.h` that user space maps, as the kernel accesses
//! them.
//!
//! User space reads them at any time. These structs consist of atomics alone, so a reference to one
//! promises no more than a pointer.

use core::mem::offset_of;

use kernel::sync::atomic::Atomic;

use crate::uapi::{MessageDescriptor, RingHeader};

/// The start of a region: `struct io_uring_ipc_ring`.
#[repr(C)]
pub(super) struct Header {
    /// `producer.head` and `producer.tail`.
    pub(super) producer: Atomic<u64>,
    /// Not for user space, see `ring::Memory`.
    pub(super) seen_head: Atomic<u32>,
    _producer_line: [Atomic<u32>; 13],
    /// `consumer.head` and `consumer.reserved`.
    pub(super) consumer: Atomic<u64>,
    /// Not for user space, see `ring::Memory`.
    pub(super) slowest: Atomic<u32>,
    _consumer_line: [Atomic<u32>; 13],
    pub(super) ring_mask: Atomic<u32>,
    pub(super) ring_entries: Atomic<u32>,
    pub(super) max_msg_size: Atomic<u32>,
    pub(super) version: Atomic<u32>,
    pub(super) desc_offset: Atomic<u32>,
    pub(super) desc_stride: Atomic<u32>,
    pub(super) data_offset: Atomic<u32>,
    pub(super) data_stride: Atomic<u32>,
    pub(super) cursor_offset: Atomic<u64>,
    pub(super) senders_wait: Atomic<u32>,
    _reserved: [Atomic<u32>; 5],
}

/// A slot: `struct io_uring_ipc_msg_desc`.
#[repr(C)]
pub(super) struct Descriptor {
    pub(super) offset: Atomic<u64>,
    pub(super) len: Atomic<u32>,
    pub(super) msg_id: Atomic<u32>,
    pub(super) sender_data: Atomic<u64>,
    /// `seq` and `state`.
    pub(super) seq: Atomic<u64>,
    pub(super) sender: Atomic<u32>,
    pub(super) target: Atomic<u32>,
    pub(super) slots: Atomic<u32>,
    _reserved: [Atomic<u32>; 5],
}

/// Asserts that a struct has the size of another one, and its fields the same offsets.
macro_rules! assert_same_layout {
    ($type:ty, $other:ty, $($field:ident),+ $(,)?) => {
        const _: () = assert!(size_of::<$type>() == size_of::<$other>());
        $(const _: () = assert!(offset_of!($type, $field) == offset_of!($other, $field));)+
    };
}

assert_same_layout!(
    Header,
    RingHeader,
    producer,
    consumer,
    ring_mask,
    ring_entries,
    max_msg_size,
    version,
    desc_offset,
    desc_stride,
    data_offset,
    data_stride,
    cursor_offset,
    senders_wait,
);

assert_same_layout!(
    Descriptor,
    MessageDescriptor,
    offset,
    len,
    msg_id,
    sender_data,
    seq,
    sender,
    target,
    slots,
);
