// SPDX-License-Identifier: GPL-2.0

//! A member: what a channel knows of a subscriber. It does not know its channel, see
//! [`Subscriber`](super::subscriber::Subscriber).
//!
//! Locking: [`Member::membership`], inside the `uring_lock` of the instance that attaches or
//! detaches the subscriber.

use core::mem::offset_of;

use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc, Mutex, SetOnce, SpinLock,
    },
};

use super::{
    cred,
    fair::Account,
    parking::{LockedSeats, Parking, Seats},
    LineStart,
};
use crate::{
    kernel::{
        compat::tgid,
        wait::{WaitQueue, HANGUP, READABLE, WRITABLE},
    },
    memory::cursor_page::CursorPage,
    observe::counters::{Counts, SharedCounts},
    uapi,
};

/// What a channel needs of a subscriber: its cursor, its counters and its queue.
///
/// Its parts lie in cache lines of their own, because different tasks write them.
#[pin_data]
#[repr(C)]
pub(crate) struct Member {
    /// In a broadcast, the position that it reads next. In a queue, a position before which it has
    /// nothing to look for. And whether it is detached.
    pub(super) cursor: Atomic<u64>,
    id: u32,
    flags: u32,
    /// The page in which user space says how far it has read, once it has mapped that.
    cursor_page: SetOnce<CursorPage>,

    _receiving: LineStart,
    /// Messages that it has received.
    received: Atomic<u64>,
    /// How many messages of a queue are for this member alone. A sender counts a message before it
    /// publishes it.
    pending: Atomic<u32>,
    /// How many slots of a fair channel are for messages for this member alone.
    held: Atomic<u32>,
    /// Messages that senders have overwritten before it received them. Only a sender that has
    /// claimed the message in its name changes this.
    lost: Atomic<u64>,
    /// How many of these it lost before the last message that it received. A receive changes this
    /// while it has a claim.
    reported_lost: Atomic<u64>,

    _sending: LineStart,
    /// Messages that it has sent.
    sent: Atomic<u64>,
    /// How often it has found no room.
    full: Atomic<u64>,
    /// How often a request of it had to wait.
    waits: Atomic<u64>,
    /// The account of its uid, if the channel is fair.
    account: SetOnce<Arc<Account>>,

    _waiting: LineStart,
    /// Not 0 if it wants to know of a message for itself. The holder of the lock of `seats` writes
    /// this.
    pub(super) wants: Atomic<u32>,
    /// Its requests that wait.
    seats: LockedSeats,
    /// Its watchers for messages.
    #[pin]
    pub(super) readable: WaitQueue,
    /// Its other watchers. Those for room are also in the queue that they share with other members.
    #[pin]
    pub(super) ended: WaitQueue,

    _rest: LineStart,
    /// File system uid and process of the caller that has attached it, in the initial namespaces.
    uid: u32,
    pid: i32,
    /// How much of its counts its channel has taken over.
    taken_over: SharedCounts,
    /// A caller holds it that attaches or detaches the subscriber, or takes over its counts.
    #[pin]
    pub(super) membership: Mutex<()>,
}

// A sender that looks for the slowest receiver of a broadcast reads one line of each.
const _: () = assert!(offset_of!(Member, _receiving) == align_of::<LineStart>());

impl Member {
    /// A member that the caller has not attached yet. `flags` are `IOIPC_SUB_*`, `parking` is that of
    /// its channel. May sleep.
    pub(super) fn new(
        id: u32,
        flags: u32,
        parking: &SpinLock<Parking>,
    ) -> impl PinInit<Self, Error> + '_ {
        try_pin_init!(Self {
            cursor: Atomic::new(0),
            id,
            flags,
            cursor_page: SetOnce::new(),
            _receiving: LineStart,
            received: Atomic::new(0),
            pending: Atomic::new(0),
            held: Atomic::new(0),
            lost: Atomic::new(0),
            reported_lost: Atomic::new(0),
            _sending: LineStart,
            sent: Atomic::new(0),
            full: Atomic::new(0),
            waits: Atomic::new(0),
            account: SetOnce::new(),
            _waiting: LineStart,
            wants: Atomic::new(0),
            seats: LockedSeats::new(parking, Seats::new()?),
            readable <- WaitQueue::new(),
            ended <- WaitQueue::new(),
            _rest: LineStart,
            uid: cred::caller_uid(),
            pid: tgid(kernel::current!()),
            taken_over: SharedCounts::new(),
            membership <- new_mutex!(()),
        }? Error)
    }

    /// Its requests that wait. `parking` is that of its channel, whose lock the caller holds.
    ///
    /// It is not inlined, so that there is one place where the module panics with another `parking`.
    #[inline(never)]
    pub(super) fn seats<'a>(&'a self, parking: &'a mut Parking) -> &'a mut Seats {
        self.seats.access_mut(parking)
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// File system uid of the caller that has attached it, as the initial user namespace has it.
    pub(crate) fn uid(&self) -> u32 {
        self.uid
    }

    /// The process that has attached it, as the initial pid namespace has it.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// `IOIPC_SUB_*`.
    pub(crate) fn flags(&self) -> u32 {
        self.flags
    }

    /// Whether it may send.
    pub(crate) fn can_send(&self) -> bool {
        self.flags & uapi::IOIPC_SUB_SEND != 0
    }

    /// Whether it may receive.
    pub(crate) fn can_receive(&self) -> bool {
        self.flags & uapi::IOIPC_SUB_RECV != 0
    }

    /// Whether it starts with the oldest message in the ring.
    pub(crate) fn wants_history(&self) -> bool {
        self.flags & uapi::IOIPC_SUB_HISTORY != 0
    }

    /// Whether senders never wait for it, but take its oldest messages away.
    pub(crate) fn is_lossy(&self) -> bool {
        self.flags & uapi::IOIPC_SUB_LOSSY != 0
    }

    /// How many messages of a queue are for this member alone, or will be in a moment.
    pub(crate) fn pending(&self) -> u32 {
        self.pending.load(Relaxed)
    }

    /// Counts a message for this member alone, which a sender is about to publish in a queue.
    pub(crate) fn count_pending(&self) {
        self.pending.add(1, Relaxed);
    }

    /// The member has received such messages, or they were dropped.
    pub(crate) fn uncount_pending(&self, count: u32) {
        self.pending.fetch_sub(count, Relaxed);
    }

    /// Holds slots for messages for this member alone: for `count` messages of so many slots if it holds
    /// no more than `most` then, otherwise for fewer. Returns for how many, or `None` if for none.
    #[inline(always)]
    pub(super) fn hold(&self, count: u32, slots: u32, most: u32) -> Option<u32> {
        let mut old = self.held.load(Relaxed);
        loop {
            let count = count.min(most.saturating_sub(old) / slots);
            if count == 0 {
                return None;
            }
            match self.held.cmpxchg(old, old + count * slots, Relaxed) {
                Ok(_) => return Some(count),
                Err(current) => old = current,
            }
        }
    }

    /// Holds so many slots less.
    pub(super) fn let_go(&self, slots: u32) {
        self.held.fetch_sub(slots, Relaxed);
    }

    /// The account of its uid, once it is attached to a fair channel.
    #[inline(always)]
    pub(super) fn account(&self) -> Option<&Arc<Account>> {
        self.account.as_ref()
    }

    /// Gives it the account of its uid.
    pub(super) fn set_account(&self, account: Arc<Account>) {
        self.account.populate(account);
    }

    /// Counts messages that it has sent.
    pub(crate) fn count_sent(&self, count: u32) {
        self.sent.add(u64::from(count), Relaxed);
    }

    /// Counts messages that it has received.
    pub(crate) fn count_received(&self, count: u32) {
        self.received.add(u64::from(count), Relaxed);
    }

    /// Counts a message that it has lost. The caller has a claim on this message.
    pub(crate) fn count_lost(&self) {
        // A load and a store are enough: claims exclude and order each other.
        self.lost.store(self.lost.load(Relaxed) + 1, Relaxed);
    }

    /// How many messages it has lost that no receive has reported yet. The caller has a claim.
    #[inline]
    pub(crate) fn unreported_lost(&self) -> u64 {
        self.lost.load(Relaxed) - self.reported_lost.load(Relaxed)
    }

    /// A receive has reported so many lost messages. The caller has a claim.
    #[inline]
    pub(crate) fn report_lost(&self, count: u64) {
        if count != 0 {
            self.reported_lost
                .store(self.reported_lost.load(Relaxed) + count, Relaxed);
        }
    }

    /// Counts a send of it that found no room.
    pub(crate) fn count_full(&self) {
        self.full.add(1, Relaxed);
    }

    /// Counts a request of it that is parked.
    pub(crate) fn count_wait(&self) {
        self.waits.add(1, Relaxed);
    }

    /// Its counts.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            sent: self.sent.load(Relaxed),
            received: self.received.load(Relaxed),
            lost: self.lost.load(Relaxed),
            full: self.full.load(Relaxed),
            waits: self.waits.load(Relaxed),
        }
    }

    /// What requests have counted of it since the last [`Self::take_counts`].
    pub(crate) fn new_counts(&self) -> Counts {
        self.counts() - self.taken_over.get()
    }

    /// The same. The next call starts from there. The caller holds [`Self::membership`].
    pub(crate) fn take_counts(&self) -> Counts {
        let counts = self.new_counts();
        self.taken_over.add(counts);
        counts
    }

    /// The page in which user space says how far it has read, if it has mapped that.
    #[inline]
    pub(crate) fn cursor_page(&self) -> Option<&CursorPage> {
        self.cursor_page.as_ref()
    }

    /// The same page. Makes one that says `position` if there is none. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EAGAIN` if another caller is just making it.
    pub(crate) fn make_cursor_page(&self, position: u32) -> Result<&CursorPage> {
        if self.cursor_page.as_ref().is_none() {
            // If another caller was faster, its page stays.
            self.cursor_page.populate(CursorPage::new(position)?);
        }
        self.cursor_page.as_ref().ok_or(EAGAIN)
    }

    /// Tells all watchers that the channel or the membership has ended.
    pub(super) fn tell_the_end(&self) {
        for queue in [&self.readable, &self.ended] {
            queue.wake_all(READABLE | WRITABLE | HANGUP);
        }
    }
}
