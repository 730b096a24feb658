// SPDX-License-Identifier: GPL-2.0

//! Who is attached to a channel.
//!
//! Locking: [`Subscriber::membership`], inside the `uring_lock` of whoever attaches or detaches it.

use kernel::prelude::*;
use kernel::{
    new_mutex,
    sync::{
        aref::ARef,
        atomic::{Atomic, Relaxed},
        rcu, Mutex, SetOnce,
    },
};

use crate::{
    channel::{
        cred, {Channel, Mode},
    },
    kernel::{
        rcu::RcuObject,
        wait::{WaitQueue, READABLE},
    },
    memory::cursor_page::CursorPage,
    observe::counters::{Counts, SharedCounts},
    ring::{Receiver, Waiting},
    uapi,
};

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
    /// Who has attached it: file system uid and process, in the initial namespaces.
    uid: u32,
    pid: i32,
    channel: ARef<RcuObject<Channel>>,
    /// Held by who attaches or detaches it, or takes over what was counted of it.
    #[pin]
    pub(crate) membership: Mutex<()>,
    /// Where it reads, in a broadcast; its place, in a queue; and whether it is detached.
    pub(crate) cursor: CacheAligned<Atomic<u64>>,
    /// How many messages a queue has for this subscriber alone, or will have in a moment.
    pending: Atomic<u32>,
    /// Where it says itself how far it has read, once it has mapped that.
    cursor_page: SetOnce<CursorPage>,
    /// Messages that it has received.
    received: CacheAligned<Atomic<u64>>,
    /// Messages that were overwritten before it has received them. Changed with a claim in its
    /// name.
    lost: Atomic<u64>,
    /// How many of these it lost before the last message that it received. Changed likewise.
    reported_lost: Atomic<u64>,
    /// Messages that it has sent.
    sent: CacheAligned<Atomic<u64>>,
    /// How often it has found no room.
    full: Atomic<u64>,
    /// How often a request of it had to wait.
    waits: Atomic<u64>,
    /// What its channel has taken over of all these.
    taken_over: SharedCounts,
    /// Its requests that wait for a message, and who else wants to know.
    #[pin]
    pub(crate) readable: WaitQueue,
}

impl Subscriber {
    /// A subscriber of the caller that is not attached yet. `flags` are `IOIPC_SUB_*`.
    pub(crate) fn new(
        id: u32,
        flags: u32,
        channel: ARef<RcuObject<Channel>>,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            id,
            flags,
            uid: cred::caller_uid(),
            pid: kernel::current!().tgid(),
            channel,
            membership <- new_mutex!(()),
            cursor: CacheAligned(Atomic::new(0)),
            pending: Atomic::new(0),
            cursor_page: SetOnce::new(),
            received: CacheAligned(Atomic::new(0)),
            lost: Atomic::new(0),
            reported_lost: Atomic::new(0),
            sent: CacheAligned(Atomic::new(0)),
            full: Atomic::new(0),
            waits: Atomic::new(0),
            taken_over: SharedCounts::new(),
            readable <- WaitQueue::new(channel.id(), *id),
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

    /// File system uid of the caller that has attached it, as the initial user namespace has it.
    pub(crate) fn uid(&self) -> u32 {
        self.uid
    }

    /// The process that has attached it, as the initial pid namespace has it.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether it is detached.
    #[inline]
    pub(crate) fn is_detached(&self) -> bool {
        self.channel.is_detached(self)
    }

    /// Whether it may send.
    pub(crate) fn can_send(&self) -> bool {
        self.flags & uapi::IOIPC_SUB_SEND != 0
    }

    /// Whether it may receive.
    pub(crate) fn can_receive(&self) -> bool {
        self.flags & uapi::IOIPC_SUB_RECV != 0
    }

    /// Whether it begins with the oldest message that is still there.
    pub(crate) fn wants_history(&self) -> bool {
        self.flags & uapi::IOIPC_SUB_HISTORY != 0
    }

    /// Whether senders never wait for it, and take its oldest messages away.
    pub(crate) fn is_lossy(&self) -> bool {
        self.flags & uapi::IOIPC_SUB_LOSSY != 0
    }

    /// How many messages a queue has for this subscriber alone, or will have in a moment.
    pub(crate) fn pending(&self) -> u32 {
        self.pending.load(Relaxed)
    }

    /// A sender is about to publish a message for this subscriber alone, in a queue.
    pub(crate) fn count_pending(&self) {
        self.pending.add(1, Relaxed);
    }

    /// The subscriber has taken such messages, or they were dropped.
    pub(crate) fn uncount_pending(&self, count: u32) {
        self.pending.fetch_sub(count, Relaxed);
    }

    /// Counts messages that it has sent.
    pub(crate) fn count_sent(&self, count: u32) {
        self.sent.add(u64::from(count), Relaxed);
    }

    /// Counts messages that it has received.
    pub(crate) fn count_received(&self, count: u32) {
        self.received.add(u64::from(count), Relaxed);
    }

    /// Counts a message that it has lost. The caller has a claim on that message.
    pub(crate) fn count_lost(&self) {
        // No more than a load and a store: claims exclude and order each other.
        self.lost.store(self.lost.load(Relaxed) + 1, Relaxed);
    }

    /// How many messages it has lost that it was not told of. The caller has a claim.
    #[inline]
    pub(crate) fn unreported_lost(&self) -> u64 {
        self.lost.load(Relaxed) - self.reported_lost.load(Relaxed)
    }

    /// It has received a message since it lost these. The caller has a claim.
    #[inline]
    pub(crate) fn report_lost(&self, count: u64) {
        if count != 0 {
            self.reported_lost
                .store(self.reported_lost.load(Relaxed) + count, Relaxed);
        }
    }

    /// Counts a send of it that has found no room, and whether it waits.
    pub(crate) fn count_full(&self, waits: bool) {
        self.full.add(1, Relaxed);
        if waits {
            self.count_wait();
        }
    }

    /// Counts a request of it that has to wait.
    pub(crate) fn count_wait(&self) {
        self.waits.add(1, Relaxed);
    }

    /// What was counted of it.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            sent: self.sent.load(Relaxed),
            received: self.received.load(Relaxed),
            lost: self.lost.load(Relaxed),
            full: self.full.load(Relaxed),
            waits: self.waits.load(Relaxed),
        }
    }

    /// What was counted of it since [`Self::take_counts`] was last called.
    pub(crate) fn new_counts(&self) -> Counts {
        self.counts() - self.taken_over.get()
    }

    /// The same, for who goes on counting from there and holds [`Self::membership`].
    pub(crate) fn take_counts(&self) -> Counts {
        let counts = self.new_counts();
        self.taken_over.add(counts);
        counts
    }

    /// Where it says itself how far it has read, if it has mapped that.
    #[inline]
    pub(crate) fn cursor_page(&self) -> Option<&CursorPage> {
        self.cursor_page.as_ref()
    }

    /// The same page, which is made if there is none. It says `position` at first. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EAGAIN` if somebody else is just making it.
    pub(crate) fn make_cursor_page(&self, position: u32) -> Result<&CursorPage> {
        if self.cursor_page.as_ref().is_none() {
            // If somebody else was faster, theirs is taken.
            self.cursor_page.populate(CursorPage::new(position)?);
        }
        self.cursor_page.as_ref().ok_or(EAGAIN)
    }

    /// A request of it that may have been woken ends without having taken what it was woken for:
    /// wakes another one if that is still there.
    pub(crate) fn pass_on(&self) {
        let receiver = self.can_receive().then_some(self);
        self.channel.pass_on(receiver, &rcu::read_lock());
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
        if self.channel.mode() == Mode::Broadcast && self.can_receive() && !self.is_detached() {
            kernel::seq_print!(out, "ioipc-lag:\t{}\n", self.channel.lag(self));
        }
        if self.channel.mode() != Mode::Broadcast && self.can_receive() {
            kernel::seq_print!(out, "ioipc-pending:\t{}\n", self.pending());
        }
        let counts = self.counts();
        kernel::seq_print!(out, "ioipc-sent:\t{}\n", counts.sent);
        kernel::seq_print!(out, "ioipc-received:\t{}\n", counts.received);
        kernel::seq_print!(out, "ioipc-lost:\t{}\n", counts.lost);
        kernel::seq_print!(out, "ioipc-dropped:\t{}\n", self.channel.dropped());
        kernel::seq_print!(out, "ioipc-full:\t{}\n", counts.full);
        kernel::seq_print!(out, "ioipc-waits:\t{}\n", counts.waits);
    }
}

impl Receiver for Subscriber {
    fn id(&self) -> u32 {
        self.id
    }

    #[inline]
    fn is_active(&self) -> bool {
        self.readable.is_active()
    }

    #[inline]
    fn has_targeted(&self) -> bool {
        self.pending() != 0
    }

    #[inline]
    fn wake_one(&self) -> bool {
        self.readable.wake_one(READABLE)
    }

    #[inline]
    fn wake_all(&self) {
        self.readable.wake_all(READABLE);
    }
}
