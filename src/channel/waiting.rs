// SPDX-License-Identifier: GPL-2.0

//! Waiting: what a channel answers a request, poll(2) and epoll, and what the wake rules of the ring
//! need of a channel.

use kernel::sync::{atomic::Atomic, rcu};

use super::{member::Member, Channel};
use crate::{
    kernel::wait::{WaitQueue, HANGUP, READABLE, WRITABLE},
    memory::region::Region,
    observe::trace,
    ring::{Memory, Mode, NoMessage, Ring, Waiting},
};

impl Channel {
    /// Returns which of the `wanted` events have come for `member`. Calls `enter` with the queues
    /// whose wakers tell of the others.
    pub(crate) fn poll<'a>(
        &'a self,
        member: &'a Member,
        wanted: u32,
        enter: impl Fn(&'a WaitQueue),
    ) -> u32 {
        let mut events = 0;
        let wants_message = member.can_receive() && wanted & READABLE != 0;
        let wants_room = member.can_send() && wanted & WRITABLE != 0;
        // A watcher that wants or can have neither event is still told of the end.
        if wants_message || !wants_room {
            enter(&member.readable);
        }
        if wants_room {
            enter(&self.room);
        }
        if wants_message {
            match self.wait_for_message(member) {
                Ok(_) | Err(NoMessage::Closed) => events |= READABLE,
                Err(NoMessage::Empty | NoMessage::Busy | NoMessage::Detached) => (),
            }
        }
        if wants_room && self.wait_for_room(&rcu::read_lock()) {
            events |= WRITABLE;
        }
        // Pairs with `close` and `detach`: the queue comes first.
        Region::full_barrier();
        if self.ring.is_closed() || self.is_detached(member) {
            events |= HANGUP;
        }
        events
    }

    /// Wakes all that wait for room. `events` say why.
    pub(super) fn wake_all_senders(&self, events: u32) {
        self.trace_wake_senders(self.room.wake_all(events));
    }

    fn trace_wake_senders(&self, requests: u32) {
        trace::wake(|| (self.id, 0, requests));
    }
}

impl Waiting for Channel {
    type Memory = Region;
    type Receiver = Member;
    type Guard = rcu::Guard;

    #[inline]
    fn ring(&self) -> &Ring<Region> {
        &self.ring
    }

    #[inline]
    fn mode(&self) -> Mode {
        self.mode
    }

    #[inline]
    fn receivers_wait(&self) -> &Atomic<u32> {
        &self.receivers_wait
    }

    #[inline]
    fn senders_wait(&self) -> &Atomic<u32> {
        self.region().senders_wait()
    }

    #[inline]
    fn last_woken(&self) -> &Atomic<u32> {
        &self.last_woken
    }

    #[inline]
    fn receiver<'a>(&'a self, id: u32, guard: &'a rcu::Guard) -> Option<&'a Member> {
        self.members
            .get(id, guard)
            .map(|member| -> &Member { member })
    }

    #[inline]
    fn find_receiver(&self, id: u32, guard: &rcu::Guard, mut done: impl FnMut(&Member) -> bool) {
        self.members.find_marked(id, guard, |member| done(member));
    }

    #[inline]
    fn are_senders_active(&self) -> bool {
        self.room.is_active()
    }

    #[inline]
    fn wake_one_sender(&self) {
        self.trace_wake_senders(self.room.wake_one(WRITABLE));
    }

    #[inline]
    fn next(&self, member: &Member) -> Result<u32, NoMessage> {
        Self::next(self, member)
    }

    #[inline]
    fn may_have_any(&self, member: &Member) -> bool {
        self.ring.queue_may_have_any(&member.cursor)
    }

    #[inline]
    fn reclaim(&self, guard: &rcu::Guard) {
        Self::reclaim(self, guard);
    }

    fn may_overwrite(&self, guard: &rcu::Guard) -> bool {
        self.can_overwrite(guard)
    }
}
