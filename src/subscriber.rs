// SPDX-License-Identifier: GPL-2.0

//! Who is attached to a channel.

use kernel::prelude::*;
use kernel::sync::{
    aref::ARef,
    atomic::{Atomic, Relaxed},
};

use crate::{channel::Channel, rcu::RcuObject, uapi, wait::WaitQueue};

/// Has a cache line of its own.
#[repr(align(64))]
pub(crate) struct CacheAligned<T>(T);

impl<T> core::ops::Deref for CacheAligned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// An attachment to a channel.
#[pin_data]
pub(crate) struct Subscriber {
    id: u32,
    flags: u32,
    channel: ARef<RcuObject<Channel>>,
    /// Where it reads, in a broadcast; and in every channel whether it is detached.
    pub(crate) cursor: CacheAligned<Atomic<u64>>,
    /// Messages that it has received.
    received: CacheAligned<Atomic<u64>>,
    /// Messages that it has sent.
    sent: CacheAligned<Atomic<u64>>,
    /// Its requests that wait for a message, and who else wants to know.
    #[pin]
    pub(crate) readable: WaitQueue,
}

impl Subscriber {
    /// A subscriber that is not attached yet. `flags` are `IOIPC_SUB_*`.
    pub(crate) fn new(
        id: u32,
        flags: u32,
        channel: ARef<RcuObject<Channel>>,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            id,
            flags,
            channel,
            cursor: CacheAligned(Atomic::new(0)),
            received: CacheAligned(Atomic::new(0)),
            sent: CacheAligned(Atomic::new(0)),
            readable <- WaitQueue::new(),
        }? Error)
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// The channel that it is or was attached to.
    pub(crate) fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Whether it may send.
    pub(crate) fn can_send(&self) -> bool {
        self.flags & uapi::IOIPC_SUB_SEND != 0
    }

    /// Whether it may receive.
    pub(crate) fn can_receive(&self) -> bool {
        self.flags & uapi::IOIPC_SUB_RECV != 0
    }

    /// Counts a message that it has sent.
    pub(crate) fn count_sent(&self) {
        self.sent.add(1u64, Relaxed);
    }

    /// Counts a message that it has received.
    pub(crate) fn count_received(&self) {
        self.received.add(1u64, Relaxed);
    }

    /// How many bytes of the channel it may map.
    pub(crate) fn mappable_size(&self) -> u32 {
        if self.can_receive() && !self.channel.is_private() {
            self.channel.region().size()
        } else {
            0
        }
    }

    /// Writes the lines of `/proc/PID/fdinfo`.
    pub(crate) fn show(&self, out: &kernel::seq_file::SeqFile) {
        kernel::seq_print!(out, "ioipc-channel:\t{}\n", self.channel.id());
        kernel::seq_print!(out, "ioipc-subscriber:\t{}\n", self.id);
        kernel::seq_print!(out, "ioipc-mode:\t{}\n", self.channel.mode().name());
        kernel::seq_print!(out, "ioipc-flags:\t{:#x}\n", self.flags);
        kernel::seq_print!(out, "ioipc-sent:\t{}\n", self.sent.load(Relaxed));
        kernel::seq_print!(out, "ioipc-received:\t{}\n", self.received.load(Relaxed));
        kernel::seq_print!(out, "ioipc-dropped:\t{}\n", self.channel.dropped());
    }
}
