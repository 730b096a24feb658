// SPDX-License-Identifier: GPL-2.0

//! What `src/channel.rs` does with a ring, without all the rest.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::{
    memory::TestMemory,
    ring::{Claim, Memory, NoMessage, NoRoom, Reservation, Ring},
};

/// How many subscribers a channel can have. Their ids begin with 1. Few for loom, because each of them
/// makes more interleavings.
pub const MAX_SUBSCRIBERS: u32 = if cfg!(loom) { 2 } else { 3 };

/// A message and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Message {
    pub position: u32,
    pub payload: u32,
}

struct Subscriber {
    /// 1 if it is among the subscribers. Stands for its entry in the xarray of the channel.
    attached: AtomicU32,
    cursor: AtomicU64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Queue,
    Broadcast,
}

/// A channel.
pub struct Channel {
    mode: Mode,
    pub ring: Ring<TestMemory>,
    subscribers: Vec<Subscriber>,
    dropped: AtomicU32,
}

impl Channel {
    fn new(mode: Mode, entries: u32, start: u32) -> Self {
        let ring = Ring::new(TestMemory::new(entries), start);
        Self {
            mode,
            subscribers: (0..MAX_SUBSCRIBERS)
                .map(|_| Subscriber {
                    attached: AtomicU32::new(0),
                    cursor: AtomicU64::new(ring.new_cursor()),
                })
                .collect(),
            ring,
            dropped: AtomicU32::new(0),
        }
    }

    /// A channel where each message goes to one receiver.
    pub fn queue(entries: u32, start: u32) -> Self {
        Self::new(Mode::Queue, entries, start)
    }

    /// A channel where each message goes to all receivers.
    pub fn broadcast(entries: u32, start: u32) -> Self {
        Self::new(Mode::Broadcast, entries, start)
    }

    fn subscriber(&self, id: u32) -> &Subscriber {
        &self.subscribers[id as usize - 1]
    }

    /// The cursor of a receiver.
    pub fn cursor(&self, id: u32) -> &AtomicU64 {
        &self.subscriber(id).cursor
    }

    /// Where a receiver of a broadcast stands.
    pub fn cursor_position(&self, id: u32) -> u32 {
        let word = self.cursor(id).load(Ordering::Relaxed).to_ne_bytes();
        u32::from_ne_bytes([word[0], word[1], word[2], word[3]])
    }

    /// `head` of the ring.
    pub fn head(&self) -> u32 {
        self.ring.memory().consumer().load(Ordering::Acquire)
    }

    /// How many messages were dropped because their target detached.
    pub fn dropped(&self) -> u32 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Lets a subscriber take part.
    pub fn attach(&self, id: u32) {
        let subscriber = self.subscriber(id);
        subscriber
            .cursor
            .store(self.ring.new_cursor(), Ordering::Relaxed);
        subscriber.attached.store(1, Ordering::Release);
        self.ring.broadcast_join(&subscriber.cursor);
    }

    /// First half of detaching. If it returns true, the second one has to wait until the claim of
    /// the subscriber has ended.
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
            Mode::Queue => self.ring.queue_drop_targeted(id),
            Mode::Broadcast => self.ring.broadcast_drop_targeted(self.cursor(id), id),
        };
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    /// Moves `head` if possible.
    pub fn reclaim(&self) {
        match self.mode {
            Mode::Queue => self.ring.queue_reclaim(),
            Mode::Broadcast => self.ring.reclaim_broadcast(|each| {
                for (id, subscriber) in (1..).zip(&self.subscribers) {
                    if subscriber.attached.load(Ordering::Acquire) == 1 {
                        each(&subscriber.cursor, id);
                    }
                }
            }),
        }
    }

    /// Reserves a slot.
    pub fn reserve(&self) -> Result<Reservation<'_, TestMemory>, NoRoom> {
        self.ring.reserve(|_| self.reclaim())
    }

    /// Writes a message to a slot and hands it to the receivers.
    pub fn publish(&self, slot: Reservation<'_, TestMemory>, target: u32, payload: u32) -> Message {
        let position = slot.position();
        self.ring.memory().write(slot.index(), payload);
        slot.set_target(target);
        slot.publish();
        Message { position, payload }
    }

    /// Sends a message to all.
    pub fn send(&self, payload: u32) -> Result<Message, NoRoom> {
        Ok(self.publish(self.reserve()?, 0, payload))
    }

    /// Sends a message to one subscriber.
    pub fn send_to(&self, target: u32, payload: u32) -> Result<Message, NoRoom> {
        let message = self.publish(self.reserve()?, target, payload);
        self.drop_targeted_if_detached(target);
        Ok(message)
    }

    /// Finds the next message for a receiver.
    pub fn next(&self, id: u32) -> Result<u32, NoMessage> {
        match self.mode {
            Mode::Queue => self.ring.queue_next(id),
            Mode::Broadcast => self.ring.broadcast_next(self.cursor(id), id),
        }
    }

    /// Claims a message that [`Self::next`] found.
    pub fn claim_at(&self, id: u32, position: u32) -> Option<Claim<'_, TestMemory>> {
        match self.mode {
            Mode::Queue => self.ring.queue_claim(position),
            Mode::Broadcast => self.ring.broadcast_claim(self.cursor(id), position),
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

    /// The message that a receiver has in hand.
    pub fn read(&self, claim: &Claim<'_, TestMemory>) -> Message {
        Message {
            position: claim.position(),
            payload: self.ring.memory().read(claim.index()),
        }
    }

    /// Puts a message back. Nobody else will look for it if the receiver has detached meanwhile.
    pub fn put_back(&self, id: u32, claim: Claim<'_, TestMemory>) {
        drop(claim);
        self.drop_targeted_if_detached(id);
    }

    /// Receives a message.
    pub fn receive(&self, id: u32) -> Result<Message, NoMessage> {
        let claim = self.claim(id)?;
        let message = self.read(&claim);
        claim.consume();
        Ok(message)
    }
}
