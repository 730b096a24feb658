// SPDX-License-Identifier: GPL-2.0

//! What `src/channel` does with a ring, without the rest of the module.

#[cfg(loom)]
use loom::{
    cell::Cell,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};
#[cfg(not(loom))]
use std::{
    cell::Cell,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

use crate::{
    memory::TestMemory,
    ring::{
        Claim, Memory, Mode, NoMessage, NoRoom, Reservation, Reservations, Ring, State, STATE_BITS,
    },
};

/// How many subscribers a channel can have, unless it is [`Channel::large`]. Their ids start with 1.
pub const MAX_SUBSCRIBERS: u32 = 3;

/// A message and its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Message {
    pub position: u32,
    pub payload: u32,
}

struct Subscriber {
    /// 1 if the subscriber is attached. Stands for its entry in the xarray of the channel.
    attached: AtomicU32,
    cursor: AtomicU64,
    /// The position that the receiver has stored. Stands for the page that it maps.
    position: AtomicU32,
    /// How many messages a queue has for this receiver alone.
    pending: AtomicU32,
    /// How many messages were taken away from this receiver. Not atomic: only the request that has
    /// claimed the cursor accesses it.
    lost: Cell<u32>,
}

// SAFETY: Loom fails a model in which two accesses to a `loom::cell::Cell` are not ordered.
#[cfg(loom)]
unsafe impl Sync for Subscriber {}

/// A channel.
pub struct Channel {
    pub mode: Mode,
    /// Whether receivers read in place and store their positions.
    is_mapped: bool,
    pub ring: Ring<TestMemory>,
    subscribers: Vec<Subscriber>,
    dropped: AtomicU32,
    /// How often a reclaimer has looked at a receiver. Loom does not know of this counter.
    receiver_looks: std::sync::atomic::AtomicU64,
}

impl Channel {
    fn new(mode: Mode, is_mapped: bool, entries: u32, start: u32) -> Self {
        Self::with_memory(
            mode,
            is_mapped,
            TestMemory::new(entries, 1),
            start,
            MAX_SUBSCRIBERS,
        )
    }

    fn with_memory(
        mode: Mode,
        is_mapped: bool,
        memory: TestMemory,
        start: u32,
        subscribers: u32,
    ) -> Self {
        let ring = Ring::new(memory, start);
        Self {
            mode,
            is_mapped,
            subscribers: (0..subscribers)
                .map(|_| {
                    let cursor = AtomicU64::new(ring.new_cursor());
                    // Receivers of a queue need not attach here.
                    match mode {
                        Mode::Broadcast => ring.broadcast_join(&cursor),
                        Mode::Unicast | Mode::Multicast => ring.queue_join(&cursor),
                    }
                    Subscriber {
                        attached: AtomicU32::new(0),
                        cursor,
                        position: AtomicU32::new(start),
                        pending: AtomicU32::new(0),
                        lost: Cell::new(0),
                    }
                })
                .collect(),
            ring,
            dropped: AtomicU32::new(0),
            receiver_looks: std::sync::atomic::AtomicU64::new(0),
        }
    }

    /// A channel where each message goes to one receiver.
    pub fn queue(entries: u32, start: u32) -> Self {
        Self::new(Mode::Unicast, false, entries, start)
    }

    /// The same, where waiting receivers are woken in turn.
    pub fn multicast(entries: u32, start: u32) -> Self {
        Self::new(Mode::Multicast, false, entries, start)
    }

    /// A channel where each message goes to all receivers.
    pub fn broadcast(entries: u32, start: u32) -> Self {
        Self::new(Mode::Broadcast, false, entries, start)
    }

    /// The same, where receivers read in place and store their positions.
    pub fn mapped(entries: u32, start: u32) -> Self {
        Self::new(Mode::Broadcast, true, entries, start)
    }

    /// A channel with room for many subscribers.
    pub fn large(mode: Mode, entries: u32, subscribers: u32) -> Self {
        Self::with_memory(mode, false, TestMemory::new(entries, 1), 0, subscribers)
    }

    /// A channel with messages that take up to a quarter of the slots.
    pub fn spanning(mode: Mode, is_mapped: bool, entries: u32, start: u32) -> Self {
        let memory = TestMemory::new(entries, (entries / 4).max(1));
        Self::with_memory(mode, is_mapped, memory, start, MAX_SUBSCRIBERS)
    }

    /// How many subscribers it can have.
    pub fn max_subscribers(&self) -> u32 {
        self.subscribers.len() as u32
    }

    /// How often a reclaimer has looked at a receiver.
    pub fn receiver_looks(&self) -> u64 {
        self.receiver_looks
            .load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Whether each message goes to all receivers.
    pub fn is_broadcast(&self) -> bool {
        self.mode == Mode::Broadcast
    }

    fn subscriber(&self, id: u32) -> &Subscriber {
        &self.subscribers[id as usize - 1]
    }

    /// Whether a subscriber is attached.
    pub fn is_attached(&self, id: u32) -> bool {
        self.subscriber(id).attached.load(Ordering::Acquire) == 1
    }

    /// The cursor of a receiver.
    pub fn cursor(&self, id: u32) -> &AtomicU64 {
        &self.subscriber(id).cursor
    }

    /// The position of a receiver of a broadcast.
    pub fn cursor_position(&self, id: u32) -> u32 {
        self.ring.cursor_position(self.cursor(id))
    }

    /// `head` of the ring.
    pub fn head(&self) -> u32 {
        self.ring.head_position()
    }

    /// How many messages were dropped because their target detached.
    pub fn dropped(&self) -> u32 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// How many messages were taken away from a receiver.
    pub fn lost(&self, id: u32) -> u32 {
        self.subscriber(id).lost.get()
    }

    /// Puts a subscriber among those that [`Self::reclaim`] looks at. The subscriber has yet to
    /// join.
    pub fn enlist(&self, id: u32) -> &AtomicU64 {
        let subscriber = self.subscriber(id);
        subscriber
            .cursor
            .store(self.ring.new_cursor(), Ordering::Relaxed);
        if self.is_mapped {
            // Not after the position where the subscriber joins, so that it counts as no progress.
            let position = self.head();
            subscriber.position.store(position, Ordering::Relaxed);
        }
        subscriber.attached.store(1, Ordering::Release);
        &subscriber.cursor
    }

    /// Lets an enlisted subscriber join: at the next message, or at the oldest one or a later one
    /// that leaves as many slots as `at_oldest` says.
    pub fn join(&self, id: u32, at_oldest: Option<u32>) {
        let cursor = self.cursor(id);
        match at_oldest {
            _ if !self.is_broadcast() => self.ring.queue_join(cursor),
            None => self.ring.broadcast_join(cursor),
            Some(room) => self.ring.broadcast_join_at_oldest(cursor, room),
        }
    }

    /// Attaches a subscriber.
    pub fn attach(&self, id: u32) {
        self.enlist(id);
        self.join(id, None);
    }

    /// Attaches a subscriber that starts with the oldest message, or with a later one that leaves
    /// `room` slots.
    pub fn attach_at_oldest(&self, id: u32, room: u32) {
        self.enlist(id);
        self.join(id, Some(room));
    }

    /// First half of detaching. If this returns true, the second half has to wait until the claim
    /// of the subscriber has ended.
    pub fn leave(&self, id: u32) -> bool {
        self.ring.broadcast_leave(self.cursor(id))
    }

    /// Second half of detaching.
    pub fn remove(&self, id: u32) {
        self.drop_targeted_if_detached(id);
        self.ring.broadcast_let_go(self.cursor(id));
        self.subscriber(id).attached.store(0, Ordering::Release);
    }

    /// Drops the messages that only `id` could receive, if it has detached.
    fn drop_targeted_if_detached(&self, id: u32) {
        TestMemory::full_barrier();
        if !self.ring.is_detached(self.cursor(id)) {
            return;
        }
        let count = match self.mode {
            Mode::Unicast | Mode::Multicast => self.queue_drop_targeted(id),
            Mode::Broadcast => self
                .ring
                .broadcast_drop_targeted(self.cursor(id), id, |_| ()),
        };
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    /// Drops the messages that only `id` could receive from a queue.
    pub fn queue_drop_targeted(&self, id: u32) -> u32 {
        let pending = &self.subscriber(id).pending;
        let count = pending.load(Ordering::Relaxed);
        let dropped = self
            .ring
            .queue_drop_targeted(self.cursor(id), id, count, |_| ());
        pending.fetch_sub(dropped, Ordering::Relaxed);
        dropped
    }

    /// Moves `head` if possible.
    pub fn reclaim(&self) {
        self.reclaim_for(1);
    }

    /// Moves `head` if possible, for a sender that is `missing` so many slots.
    pub fn reclaim_for(&self, missing: u32) {
        match self.mode {
            Mode::Unicast | Mode::Multicast => self.ring.queue_reclaim(),
            Mode::Broadcast => self.ring.reclaim_broadcast(missing, |first, each| {
                let first = first.max(1);
                (first..=self.max_subscribers()).chain(1..first).any(|id| {
                    self.is_attached(id) && {
                        self.receiver_looks
                            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        self.accept_position(id);
                        each(self.cursor(id), id, false)
                    }
                });
            }),
        }
    }

    /// Moves `head` as far as possible.
    pub fn reclaim_all(&self) {
        loop {
            let head = self.head();
            self.reclaim();
            if self.head() == head {
                return;
            }
        }
    }

    /// Accepts the position that a receiver has stored, if it is valid.
    pub fn accept_position(&self, id: u32) {
        if self.is_mapped {
            // Pairs with `store_position`.
            let position = self.subscriber(id).position.load(Ordering::Acquire);
            self.ring.broadcast_accept(self.cursor(id), position);
        }
    }

    /// What a receiver does in user space: stores its position.
    pub fn store_position(&self, id: u32, position: u32) {
        // Pairs with `accept_position`.
        let word = &self.subscriber(id).position;
        word.store(position, Ordering::Release);
    }

    /// What a receiver does in user space: reads the message at a position, if there is one.
    pub fn read_in_place(&self, position: u32) -> Option<Message> {
        let memory = self.ring.memory();
        let index = position & (memory.entries() - 1);
        let word = memory.slot(index).load(Ordering::Acquire).to_ne_bytes();
        let field = |at| u32::from_ne_bytes(std::array::from_fn(|byte| word[at + byte]));
        let is_there = field(0) == position.wrapping_add(1) && field(4) == State::Ready as u32;
        is_there.then(|| Message {
            position,
            payload: memory.read(index),
        })
    }

    /// What a receiver does in user space: how many free slots there are from a position on, 0 if this
    /// one is not free.
    pub fn free_in_place(&self, position: u32) -> u32 {
        let memory = self.ring.memory();
        let index = position & (memory.entries() - 1);
        let word = memory.slot(index).load(Ordering::Acquire).to_ne_bytes();
        let field = |at| u32::from_ne_bytes(std::array::from_fn(|byte| word[at + byte]));
        let is_free = field(0) == position.wrapping_add(1)
            && field(4) & ((1 << STATE_BITS) - 1) == State::Free as u32;
        if is_free {
            1 + (field(4) >> STATE_BITS)
        } else {
            0
        }
    }

    /// Reserves a slot.
    pub fn reserve(&self) -> Result<Reservation<'_, TestMemory>, NoRoom> {
        match self.ring.reserve_at_once() {
            Some(slot) => Ok(slot),
            None => self.ring.reserve(|_, missing| self.reclaim_for(missing)),
        }
    }

    /// Reserves up to `count` slots.
    pub fn reserve_up_to(&self, count: u32) -> Result<Reservations<'_, TestMemory>, NoRoom> {
        self.ring
            .reserve_up_to(count, false, |_, missing| self.reclaim_for(missing))
    }

    /// Reserves slots for one message.
    pub fn reserve_span(&self, slots: u32) -> Result<Reservation<'_, TestMemory>, NoRoom> {
        let mut reserved = self
            .ring
            .reserve_span(slots, false, |_, missing| self.reclaim_for(missing))?;
        Ok(reserved.next().unwrap())
    }

    /// Writes a message to its slots and publishes it.
    pub fn publish(&self, slot: Reservation<'_, TestMemory>, target: u32, payload: u32) -> Message {
        let position = slot.position();
        let memory = self.ring.memory();
        for index in slot.index()..slot.index() + slot.slots() {
            memory.write(index, payload);
        }
        memory.set_slots(slot.index(), slot.slots());
        slot.set_target(target);
        if target != 0 && !self.is_broadcast() {
            let pending = &self.subscriber(target).pending;
            pending.fetch_add(1, Ordering::Relaxed);
        }
        slot.publish();
        Message { position, payload }
    }

    /// Sends a message to all receivers.
    pub fn send(&self, payload: u32) -> Result<Message, NoRoom> {
        Ok(self.publish(self.reserve()?, 0, payload))
    }

    /// Sends a message that takes several slots to all receivers.
    pub fn send_span(&self, slots: u32, payload: u32) -> Result<Message, NoRoom> {
        let slot = match slots {
            1 => self.reserve()?,
            _ => self.reserve_span(slots)?,
        };
        Ok(self.publish(slot, 0, payload))
    }

    /// Sends a message to one subscriber.
    pub fn send_to(&self, target: u32, payload: u32) -> Result<Message, NoRoom> {
        let message = self.publish(self.reserve()?, target, payload);
        self.drop_targeted_if_detached(target);
        Ok(message)
    }

    /// Sends as many messages as there is room for, with one reservation.
    pub fn send_up_to(&self, payloads: &[u32]) -> Result<Vec<Message>, NoRoom> {
        let slots = self.reserve_up_to(payloads.len() as u32)?;
        Ok(slots
            .zip(payloads)
            .map(|(slot, &payload)| self.publish(slot, 0, payload))
            .collect())
    }

    /// Takes the messages in the `count` oldest slots away from all receivers that have not
    /// received them. Returns their positions, once for each receiver.
    pub fn overwrite_oldest(&self, count: u32) -> Vec<u32> {
        let head = self.head();
        let is_old = |position: u32| position.wrapping_sub(head) < count;
        let mut taken = Vec::new();
        for (id, subscriber) in (1..).zip(&self.subscribers) {
            if !self.is_attached(id) {
                continue;
            }
            let claim = match self.next(id) {
                Ok(position) if is_old(position) => self.claim_at(id, position),
                _ => None,
            };
            let Some(mut claim) = claim else {
                continue;
            };
            loop {
                subscriber.lost.set(subscriber.lost.get() + 1);
                taken.push(claim.position());
                if !claim.step(id) {
                    claim.consume();
                    break;
                }
                if !is_old(claim.position()) {
                    // This message stays.
                    drop(claim);
                    break;
                }
            }
        }
        taken
    }

    /// Finds the next message for a receiver.
    pub fn next(&self, id: u32) -> Result<u32, NoMessage> {
        match self.mode {
            Mode::Unicast | Mode::Multicast => self.ring.queue_next(self.cursor(id), id),
            Mode::Broadcast => {
                self.accept_position(id);
                self.ring.broadcast_next(self.cursor(id), id)
            }
        }
    }

    /// How many messages a receiver of a broadcast can receive.
    pub fn count(&self, id: u32) -> Result<u32, NoMessage> {
        let mut position = self.next(id)?;
        let most = self.ring.memory().entries() - 1;
        Ok(1 + self.ring.broadcast_count(&mut position, id, most))
    }

    /// Whether a queue has messages for one receiver alone.
    pub fn has_targeted(&self, id: u32) -> bool {
        self.subscriber(id).pending.load(Ordering::Relaxed) != 0
    }

    /// Whether a queue may have a message that any receiver can claim. The receiver looks from its
    /// place on.
    pub fn may_have_any(&self, id: u32) -> bool {
        self.ring.queue_may_have_any(self.cursor(id))
    }

    /// Counts one message less for its only receiver, if it has one and the channel is a queue.
    fn uncount(&self, claim: &Claim<'_, TestMemory>) {
        let target = self.ring.target(claim.position());
        if target != 0 && !self.is_broadcast() {
            let pending = &self.subscriber(target).pending;
            assert_ne!(pending.fetch_sub(1, Ordering::Relaxed), 0);
        }
    }

    /// Claims a message that [`Self::next`] found.
    pub fn claim_at(&self, id: u32, position: u32) -> Option<Claim<'_, TestMemory>> {
        match self.mode {
            Mode::Unicast | Mode::Multicast => self.ring.queue_claim(position),
            Mode::Broadcast => {
                let claim = self.ring.broadcast_claim(self.cursor(id), position)?;
                // Each request adds to the count of its receiver.
                self.lost(id);
                Some(claim)
            }
        }
    }

    /// Finds and claims the next message for a receiver.
    pub fn claim(&self, id: u32) -> Result<Claim<'_, TestMemory>, NoMessage> {
        loop {
            if let Some(claim) = self.claim_at(id, self.next(id)?) {
                return Ok(claim);
            }
        }
    }

    /// The message that a claim has, from all of its slots.
    pub fn read(&self, claim: &Claim<'_, TestMemory>) -> Message {
        let memory = self.ring.memory();
        let payload = memory.read(claim.index());
        for index in claim.index()..claim.index() + memory.slots(claim.index()) {
            assert_eq!(memory.read(index), payload);
        }
        Message {
            position: claim.position(),
            payload,
        }
    }

    /// Consumes a message.
    pub fn consume(&self, claim: Claim<'_, TestMemory>) {
        self.uncount(&claim);
        let position = claim.position();
        claim.consume();
        if self.mode != Mode::Broadcast {
            self.ring.queue_reclaim_after(position);
        }
    }

    /// Puts a message back. If its only receiver has detached meanwhile, no other receiver looks
    /// for it, so it is dropped.
    pub fn put_back(&self, id: u32, claim: Claim<'_, TestMemory>) {
        drop(claim);
        self.drop_targeted_if_detached(id);
    }

    /// Receives a message.
    pub fn receive(&self, id: u32) -> Result<Message, NoMessage> {
        let claim = self.claim(id)?;
        let message = self.read(&claim);
        self.consume(claim);
        Ok(message)
    }

    /// Consumes a message and claims the next one, if there is one.
    pub fn following<'a>(
        &'a self,
        id: u32,
        mut claim: Claim<'a, TestMemory>,
    ) -> Option<Claim<'a, TestMemory>> {
        match self.mode {
            Mode::Unicast | Mode::Multicast => {
                let position = claim.position();
                self.uncount(&claim);
                claim.consume();
                let position = self.ring.queue_following(position, id).ok()?;
                self.ring.queue_claim(position)
            }
            Mode::Broadcast => {
                if claim.step(id) {
                    return Some(claim);
                }
                claim.consume();
                None
            }
        }
    }

    /// Receives up to `most` messages.
    pub fn receive_bundle(&self, id: u32, most: usize) -> Result<Vec<Message>, NoMessage> {
        let mut claim = self.claim(id)?;
        let mut messages = Vec::new();
        loop {
            messages.push(self.read(&claim));
            if messages.len() == most {
                claim.consume();
                break;
            }
            match self.following(id, claim) {
                Some(next) => claim = next,
                None => break,
            }
        }
        if self.mode != Mode::Broadcast {
            self.ring.queue_reclaim();
        }
        Ok(messages)
    }
}
