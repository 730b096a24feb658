// SPDX-License-Identifier: GPL-2.0

//! Waiting: what a channel answers a request, poll(2) and epoll, and what the wake rules of the ring
//! need of a channel.

use kernel::{
    prelude::*,
    sync::{atomic::Atomic, rcu, Arc},
};

use super::{member::Member, parking::Side, registry::Registry, Channel};
use crate::{
    kernel::{
        later::Job,
        parked::Parkable,
        rcu::let_others_run,
        wait::{WaitQueue, HANGUP, READABLE, WRITABLE},
    },
    memory::region::Region,
    ring::{Memory, Mode, NoMessage, Ring, Waiting},
};

/// Calls [`Waiting::tick`] of a channel, and ends the calls that members have left, unless the channel is
/// destroyed: then nothing waits.
pub(super) struct Tick {
    /// Of the channel.
    pub(super) id: u32,
    pub(super) registry: Arc<Registry>,
}

impl Job for Tick {
    fn run(&self) {
        {
            let guard = rcu::read_lock();
            let Some(channel) = self.registry.get(self.id, &guard) else {
                return;
            };
            channel.tick(&guard);
            if !channel.take_calls_left() {
                return;
            }
        }
        let (mut from, mut is_more) = (1, true);
        while is_more {
            let_others_run();
            let guard = rcu::read_lock();
            is_more = self
                .registry
                .get(self.id, &guard)
                .is_some_and(|channel| channel.end_calls_left(&mut from, &guard));
        }
    }
}

impl Channel {
    /// Parks a receive of `member`. `comes_back` if the request was woken in vain. Returns false if the
    /// request should be tried again at once. Does not sleep.
    pub(crate) fn park_receive(
        &self,
        member: &Member,
        request: &Parkable<'_>,
        comes_back: bool,
        guard: &rcu::Guard,
    ) -> bool {
        if !self.enter(Some(member), Side::Receives, request, comes_back) {
            return false;
        }
        // After the mark, before the look at the ring. Pairs with the wakers (D).
        Region::full_barrier();
        let is_empty = matches!(self.next(member), Err(NoMessage::Empty | NoMessage::Busy));
        if !is_empty && self.leave(Some(member), Side::Receives, request) {
            return false;
        }
        member.count_wait();
        // No receiver may come for long now, so a little room has to do for a sender.
        self.wake_sender(guard);
        true
    }

    /// The same for a send of `member`, or without an attachment, that needs so many slots.
    pub(crate) fn park_send(
        &self,
        member: Option<&Member>,
        request: &Parkable<'_>,
        comes_back: bool,
        slots: u32,
        guard: &rcu::Guard,
    ) -> bool {
        if !self.enter(member, Side::Sends, request, comes_back) {
            return false;
        }
        // As above.
        Region::full_barrier();
        let to_leave = match self.account(member) {
            Some(account) => account.to_leave(slots),
            None => 0,
        };
        let has_room = self.has_room_beside(slots, to_leave, guard);
        if has_room && self.leave(member, Side::Sends, request) {
            return false;
        }
        if self.is_fair() {
            // Others may have share that this one has not, and this look may have moved `head`.
            self.wake_sender(guard);
        } else if comes_back {
            self.next_may_fit(guard);
        }
        match member {
            Some(member) => member.count_wait(),
            None => self.count_wait_unattached(),
        }
        true
    }

    /// Takes a receive out that is parked. Returns false if it was woken.
    pub(crate) fn unpark_receive(&self, member: &Member, request: &Parkable<'_>) -> bool {
        self.leave(Some(member), Side::Receives, request)
    }

    /// The same for a send.
    pub(crate) fn unpark_send(
        &self,
        member: Option<&Member>,
        request: &Parkable<'_>,
        guard: &rcu::Guard,
    ) -> bool {
        let is_parked = self.leave(member, Side::Sends, request);
        if is_parked {
            self.next_may_fit(guard);
        }
        is_parked
    }

    /// A receive of `member` was woken, and is about to look.
    pub(crate) fn receive_looks(&self, member: &Member) {
        self.looks(Some(member), Side::Receives);
        // After the mark, before the look at the ring. Pairs with the wakers (D).
        Region::full_barrier();
    }

    /// The same for a send of `member`, or without an attachment.
    pub(crate) fn send_looks(&self, member: Option<&Member>) {
        self.looks(member, Side::Sends);
        // As above.
        Region::full_barrier();
    }

    /// Whether there may be a message for `member`.
    pub(crate) fn is_ready(&self, member: &Member) -> Result<(), NoMessage> {
        Self::next(self, member).map(|_| ())
    }

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
        // A watcher that wants or can have neither event is still told of the end. Others that come and
        // go do not wake those for room.
        enter(if wants_message {
            &member.readable
        } else {
            &member.ended
        });
        if wants_room {
            enter(&self.room);
        }
        // After the queue of room, before the look at it. Pairs with `has_filled`.
        Region::full_barrier();
        if wants_message {
            self.watch(member);
            // After the mark, before the look at the ring. Pairs with the wakers (D).
            Region::full_barrier();
            match self.next(member) {
                Ok(_) | Err(NoMessage::Closed) => events |= READABLE,
                Err(NoMessage::Empty | NoMessage::Busy | NoMessage::Detached) => (),
            }
        }
        if wants_room && self.look_for_room(Some(member), &rcu::read_lock()) {
            events |= WRITABLE;
        }
        // Pairs with `close` and `detach`: the queue comes first.
        Region::full_barrier();
        if self.ring.is_closed() || self.is_detached(member) {
            events |= HANGUP;
        }
        events
    }

    /// Whether there is room for any message of `member`, or of a sender that is not attached: with what
    /// its uid has to leave in a fair channel.
    fn has_room_for(&self, member: Option<&Member>, guard: &rcu::Guard) -> bool {
        let slots = self.region().largest();
        let account = self.account(member);
        let to_leave = account.map_or(0, |account| account.to_leave(slots));
        self.has_room_beside(slots, to_leave, guard)
    }

    /// The same. If there is none, watchers for room are told once there is some, and look again.
    fn look_for_room(&self, member: Option<&Member>, guard: &rcu::Guard) -> bool {
        if self.has_room_for(member, guard) {
            return true;
        }
        self.watch_room();
        // After the mark, before the look at the ring. Pairs with the wakers (D).
        Region::full_barrier();
        self.has_room_for(member, guard)
    }

    /// A send has found too little room and does not wait. In a fair channel the ring need not be full for
    /// that, and a watcher of the same uid that has found room before wants to know of the next. Watchers
    /// of other uids are not told, unless there is news: they could be told as often as one likes.
    pub(crate) fn has_refused(&self, member: Option<&Member>, guard: &rcu::Guard) {
        if self.is_fair() && self.room.is_active() && self.look_for_room(member, guard) {
            self.has_filled(guard);
        }
    }

    /// A sender has filled the ring: a watcher that has found room before wants to know of the next,
    /// also if there is some already.
    #[cold]
    pub(super) fn has_filled(&self, guard: &rcu::Guard) {
        if self.room.is_active() {
            self.watch_room();
            // After the mark, before the look at the ring. Pairs with the wakers (D).
            Region::full_barrier();
            self.wake_sender_for_much(guard);
        }
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
    fn wants<'a>(&'a self, member: &'a Member) -> &'a Atomic<u32> {
        &member.wants
    }

    #[inline]
    fn senders_wait(&self) -> &Atomic<u32> {
        self.region().senders_wait()
    }

    #[inline]
    fn receiver<'a>(&'a self, id: u32, guard: &'a rcu::Guard) -> Option<&'a Member> {
        self.members
            .get(id, guard)
            .map(|member| -> &Member { member })
    }

    fn is_any_left(&self) -> bool {
        self.first_in_line()
            .is_some_and(|member| self.may_have_any(&member))
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
    fn made_room(&self, member: &Member, position: u32) -> bool {
        let is_lossy = self.may_take_from(member);
        self.ring
            .broadcast_made_room(member.id(), position, is_lossy)
            // A sender that misses several slots may wait for the last of those that hold them.
            || (self.region().largest() > 1 && self.takes_from_any())
    }

    #[inline]
    fn has_targeted(&self, member: &Member) -> bool {
        member.pending() != 0
    }

    #[inline]
    fn reclaim(&self, missing: u32, guard: &rcu::Guard) {
        Self::reclaim(self, missing, guard);
    }

    fn next_send_needs(&self) -> u32 {
        self.first_send_needs()
    }

    fn may_overwrite(&self, missing: u32, guard: &rcu::Guard) -> bool {
        self.can_overwrite(missing, guard)
    }

    fn wake_any(&self, count: u32) {
        self.wake_first_receivers(count);
    }

    fn wake_each(&self) {
        self.wake_each_receiver();
    }

    fn wake_one_of(&self, member: &Member) {
        self.wake_receive_of(member);
    }

    fn wake_senders(&self, count: u32) {
        self.wake_first_senders(count);
    }

    fn is_fair(&self) -> bool {
        Self::is_fair(self)
    }

    fn wake_fair_senders(&self, wants_much: bool, count: u32) {
        self.wake_fairly(wants_much, count);
    }

    fn tell_of_messages(&self, to_all: bool) {
        self.tell_watchers(to_all);
    }

    fn tell_of_room(&self, to_all: bool) {
        self.tell_of_some_room(to_all);
    }

    fn let_go(&self, each: impl FnMut(&Member)) {
        self.let_go_of_held(each);
    }

    fn wait_no_longer(&self) -> (u32, u32) {
        self.forget_awake()
    }

    fn arm_tick(&self) {
        self.tick.arm();
    }
}
