// SPDX-License-Identifier: GPL-2.0

//! A channel: a ring with its memory, the callers that may use it and the members that do.
//!
//! This file has the state and what can be read of it. `create` makes a channel, `members` lets
//! subscribers come and go, `sending` and `receiving` move messages, `waiting` is about requests
//! that wait.
//!
//! Locking: sending and receiving run inside RCU read-side critical sections and use only the
//! atomics of the ring. Attaching and detaching are called with the `uring_lock` of an io_uring
//! instance held: that of the subscriber, or of another one that ends its membership. Inside it is
//! the mutex [`Member::membership`], and inside that the mutex of [`Places`].

use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        rcu,
    },
};

use self::{
    cred::{IpcNamespace, Permissions},
    member::Member,
    places::Places,
    senders::Senders,
};
use crate::{
    kernel::{rcu_xarray::RcuXArray, wait::WaitQueue},
    memory::region::Region,
    observe::counters::{Counts, PerCpuCounter, SharedCounts},
    ring::{Memory, Ring},
};

mod create;
pub(crate) mod cred;
pub(crate) mod member;
mod members;
mod overwriting;
mod places;
mod receiving;
pub(crate) mod registry;
mod senders;
mod sending;
pub(crate) mod subscriber;
mod waiting;

pub(crate) use self::{
    create::Parameters,
    receiving::{Failure, InPlace, Received, Wanted},
    sending::{Outgoing, Payload, SendFailure},
};
pub(crate) use crate::ring::Mode;

/// After as many messages, or as many bytes, a request leaves its RCU read-side critical section.
const BATCH_MESSAGES: u32 = 64;
const BATCH_BYTES: u32 = 64 << 10;

/// A channel.
#[pin_data]
pub(crate) struct Channel {
    id: u32,
    key: u64,
    creator: usize,
    permissions: Permissions,
    mode: Mode,
    private: bool,
    overwrite: bool,
    ring: Ring<Region>,
    senders: Senders,
    /// Each subscriber has one.
    #[pin]
    places: Places,
    /// Messages that were sent to a target that detached before it received them.
    dropped: Atomic<u64>,
    /// Messages that were sent by who is not attached.
    sent_unattached: PerCpuCounter,
    /// What else was counted of those, and of subscribers that have detached.
    counts: SharedCounts,
    /// How many of them are receivers that senders do not wait for.
    lossy: Atomic<u32>,
    /// Not 0 if receivers may be waiting.
    receivers_wait: Atomic<u32>,
    /// Id of the receiver that was woken last.
    last_woken: Atomic<u32>,
    /// Requests that wait for room, and who else wants to know.
    #[pin]
    room: WaitQueue,
    /// Receivers are marked.
    #[pin]
    members: RcuXArray<Member>,
}

impl Channel {
    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Its key, if it has one, with the namespace that this is looked up in.
    pub(crate) fn key(&self) -> Option<(IpcNamespace, u64)> {
        (self.key != 0).then_some((self.permissions.namespace(), self.key))
    }

    /// The io_uring instance that created it.
    pub(crate) fn creator(&self) -> usize {
        self.creator
    }

    /// Owner and permission bits.
    pub(crate) fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// Who gets a message.
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

    /// Whether senders overwrite what is not received in time.
    pub(crate) fn overwrites(&self) -> bool {
        self.overwrite
    }

    /// How many slots hold what has still to be received: in a broadcast by the receiver that is
    /// farthest behind. May sleep.
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

    /// How many slots a receiver of a broadcast is behind, up to the latest message: 0 if it has
    /// received all that it can.
    pub(crate) fn lag(&self, receiver: &Member) -> u32 {
        // This moves the cursor to a message that it can receive.
        let _ = self.next(receiver);
        self.slots_from(self.ring.cursor_position(&receiver.cursor))
    }

    /// How many slots are in use from a position on. There may be more by now than there were then.
    fn slots_from(&self, position: u32) -> u32 {
        let count = self.ring.tail_position().wrapping_sub(position);
        count.min(self.entries())
    }

    /// How many slots a receiver holds: in a broadcast those from its cursor on, in a queue those
    /// with messages for this receiver alone.
    fn held_by(&self, receiver: &Member) -> u32 {
        if self.mode == Mode::Broadcast {
            self.slots_from(self.ring.cursor_position(&receiver.cursor))
        } else {
            receiver.pending()
        }
    }

    /// The receiver that holds most slots, 0 if none holds any.
    ///
    /// It may look at all receivers, of which there are at most `IOIPC_MAX_SUBSCRIBERS`, and takes a
    /// few instructions for each. That is only for tracing.
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

    /// How many messages were dropped because their target detached.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// What was counted of all who use it or have used it. May sleep.
    pub(crate) fn counts(&self) -> Counts {
        let mut counts = self.counts.get();
        counts.sent += self.sent_unattached.sum();
        self.for_each_member(|member| {
            counts = counts + member.new_counts();
        });
        counts
    }

    /// Counts messages that were sent by who is not attached.
    #[inline]
    pub(crate) fn count_sent_unattached(&self, count: u32) {
        self.sent_unattached.add(count);
    }

    /// Counts a send of who is not attached that has found no room, and whether it waits.
    pub(crate) fn count_full_unattached(&self, waits: bool) {
        self.counts.add(Counts {
            full: 1,
            waits: waits.into(),
            ..Counts::default()
        });
    }
}
