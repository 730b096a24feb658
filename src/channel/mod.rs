// SPDX-License-Identifier: GPL-2.0

//! A channel: a ring with its memory, the callers that may use it and the members that do.
//!
//! This file has the state and what can be read of it. `create` makes a channel, `members` lets
//! subscribers come and go, `sending` and `receiving` move messages, `overwriting` makes room in a
//! full broadcast, `parking` keeps what waits, `waiting` says when to wake it, `departure` tells of the
//! end of members, `calls` brings answers back, and `files` keeps the files of messages.
//!
//! Locking: sending and receiving run inside RCU read-side critical sections and use only the
//! atomics of the ring. Attaching and detaching are called with the `uring_lock` of an io_uring
//! instance held: that of the subscriber, or of another one that ends its membership. Inside it is
//! the mutex [`Member::membership`], and inside that the mutex of [`Places`]. What waits is behind a
//! spinlock, see `parking`.

use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        rcu, SpinLock,
    },
};

use self::{
    cred::{IpcNamespace, Permissions},
    fair::Shares,
    files::FileTable,
    member::Member,
    name::Name,
    parking::Parking,
    places::Places,
    waiting::Tick,
};
use crate::{
    kernel::{
        later::Later, percpu::PerCpuCounter, rcu_cell::RcuCell, rcu_xarray::RcuXArray,
        wait::WaitQueue,
    },
    memory::region::Region,
    observe::counters::{Counts, SharedCounts},
    ring::{Memory, Ring},
};

mod calls;
pub(crate) mod create;
pub(crate) mod cred;
mod departure;
mod fair;
pub(crate) mod files;
pub(crate) mod in_flight;
pub(crate) mod member;
mod members;
pub(crate) mod name;
mod overwriting;
mod parking;
mod places;
mod receiving;
pub(crate) mod registry;
mod senders;
mod sending;
pub(crate) mod subscriber;
mod waiting;

pub(crate) use self::{
    calls::{Answer, Call},
    create::Parameters,
    receiving::{Failure, InPlace, Received, Wanted},
    sending::{Outgoing, Payload, SendFailure},
};
pub(crate) use crate::ring::Mode;

/// A request leaves its RCU read-side critical section after so many messages or bytes.
const BATCH_MESSAGES: u32 = 64;
const BATCH_BYTES: u32 = 64 << 10;

/// The fields of a `repr(C)` struct that follow it start a cache line.
#[repr(align(64))]
struct LineStart;

/// A channel.
///
/// What each message reads lies in cache lines that senders and receivers do not write.
#[pin_data]
#[repr(C)]
pub(crate) struct Channel {
    ring: Ring<Region>,
    id: u32,
    mode: Mode,
    private: bool,
    overwrite: bool,
    /// There if its senders have shares of the slots.
    shares: Option<Shares>,
    /// How many members are lossy receivers, which senders do not wait for.
    lossy: Atomic<u32>,
    /// The files of messages, once a sender has passed some.
    files: RcuCell<FileTable>,
    /// Receivers are marked.
    #[pin]
    members: RcuXArray<Member>,
    /// How many messages senders have sent that are not attached.
    sent_unattached: PerCpuCounter,
    creator: usize,
    permissions: Permissions,

    _mark: LineStart,
    /// See [`Waiting::receivers_wait`](crate::ring::Waiting). The holder of `parking` writes this.
    receivers_wait: Atomic<u32>,

    _waiting: LineStart,
    /// What waits.
    #[pin]
    parking: SpinLock<Parking>,
    /// Watchers for room.
    #[pin]
    room: WaitQueue,
    /// Wakes those for which no other task may come.
    #[pin]
    tick: Later<Tick>,

    _rest: LineStart,
    key: Option<(IpcNamespace, u64)>,
    name: Option<(IpcNamespace, Name)>,
    /// The places of members, and which uid has how many.
    #[pin]
    places: Places,
    /// How many messages had a target that detached before it received them.
    dropped: Atomic<u64>,
    /// The other counts of those senders, and the counts of members that have detached.
    counts: SharedCounts,
}

impl Channel {
    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Its key, if it has one, and the namespace of that key.
    pub(crate) fn key(&self) -> Option<(IpcNamespace, u64)> {
        self.key
    }

    /// Its name, if it has one, and the namespace of that name.
    pub(crate) fn name(&self) -> Option<&(IpcNamespace, Name)> {
        self.name.as_ref()
    }

    /// The io_uring instance that created it.
    pub(crate) fn creator(&self) -> usize {
        self.creator
    }

    /// Owner and permission bits.
    pub(crate) fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// Which receivers get a message.
    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether it is private.
    pub(crate) fn is_private(&self) -> bool {
        self.private
    }

    /// Its memory.
    pub(crate) fn region(&self) -> &Region {
        self.ring.memory()
    }

    /// How many messages it has room for.
    pub(crate) fn entries(&self) -> u32 {
        self.region().entries()
    }

    /// Whether senders overwrite messages that receivers have not received.
    pub(crate) fn overwrites(&self) -> bool {
        self.overwrite
    }

    /// How many slots hold messages that are still to be received. In a broadcast that is the lag of
    /// the slowest receiver. May sleep.
    pub(crate) fn used(&self) -> u32 {
        if self.mode == Mode::Broadcast {
            let mut used = 0;
            self.for_each_member(|member| {
                if member.can_receive() {
                    used = used.max(self.lag(member));
                }
            });
            used
        } else {
            self.slots_from(self.ring.head_position())
        }
    }

    /// How many slots a receiver of a broadcast is behind the latest message. It is 0 if the receiver
    /// has received all that it can.
    pub(crate) fn lag(&self, receiver: &Member) -> u32 {
        // This moves the cursor over messages for others.
        let _ = self.next(receiver);
        self.slots_from(self.ring.cursor_position(&receiver.cursor))
    }

    /// How many slots are in use from a position on.
    fn slots_from(&self, position: u32) -> u32 {
        let count = self.ring.tail_position().wrapping_sub(position);
        count.min(self.entries())
    }

    /// How many slots a receiver holds. In a broadcast these are the slots from its cursor on, in a
    /// queue the slots with messages for this receiver alone.
    fn held_by(&self, receiver: &Member) -> u32 {
        if self.mode == Mode::Broadcast {
            self.slots_from(self.ring.cursor_position(&receiver.cursor))
        } else {
            receiver.pending()
        }
    }

    /// The receiver that holds most slots, 0 if none holds any.
    ///
    /// Only for tracing: it looks at all receivers, at most `IOIPC_MAX_SUBSCRIBERS`, and takes a few
    /// instructions for each.
    #[cold]
    pub(crate) fn holder(&self, guard: &rcu::Guard) -> u32 {
        let (mut most, mut holder) = (0, 0);
        self.members.find_marked(0, guard, |receiver| {
            let held = self.held_by(receiver);
            if held > most {
                (most, holder) = (held, receiver.id());
            }
            most == self.entries()
        });
        holder
    }

    /// How many messages were dropped because their target has detached.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// The sum of all counts of members and other senders, present and past. May sleep.
    pub(crate) fn counts(&self) -> Counts {
        let mut counts = self.counts.get();
        counts.sent += self.sent_unattached.sum();
        self.for_each_member(|member| {
            counts = counts + member.new_counts();
        });
        counts
    }

    /// Counts messages of a sender that is not attached.
    #[inline]
    pub(crate) fn count_sent_unattached(&self, count: u32) {
        self.sent_unattached.add(count);
    }

    /// Counts a send without an attachment that found no room.
    pub(crate) fn count_full_unattached(&self) {
        self.counts.add(Counts {
            full: 1,
            ..Counts::default()
        });
    }

    /// Counts a send without an attachment that waits.
    fn count_wait_unattached(&self) {
        self.counts.add(Counts {
            waits: 1,
            ..Counts::default()
        });
    }
}
