// SPDX-License-Identifier: GPL-2.0

//! Random operations on a ring and on a simple model of it, which predicts each result.
//!
//! Operations overlap: reservations, claims and messages that were found stay as they are while
//! other operations happen.

#![cfg(not(loom))]

use host::{
    channel::{Channel, MAX_SUBSCRIBERS},
    memory::TestMemory,
    ring::{Claim, NoMessage, NoRoom, Reservation},
};
use proptest::{collection::vec, prelude::*, sample::Index};

/// A subscriber id.
type Id = u32;

#[derive(Clone, Debug)]
enum Operation {
    /// Reserve a slot.
    Reserve,
    /// Publish a reserved slot with a message for one receiver, or for all with 0.
    Publish(Index, Id),
    /// Give up a reserved slot.
    GiveUp(Index),
    /// Reserve and publish at once.
    Send(Id),
    /// Find a message.
    Find(Id),
    /// Claim a message that was found.
    ClaimFound(Index),
    /// Find and claim a message.
    Claim(Id),
    /// Consume a message that was claimed.
    Consume(Index),
    /// Put back a message that was claimed.
    PutBack(Index),
    /// Find, claim and consume a message.
    Receive(Id),
    /// Join a broadcast, or leave it.
    JoinOrLeave(Id),
    /// Drop the messages for one receiver of a queue that has left.
    DropTargeted(Id),
    /// Move `head`.
    Reclaim,
    /// Close the ring.
    Close,
}

fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;
    let id = || 1..=MAX_SUBSCRIBERS;
    // Most messages are for everybody.
    let target = || prop_oneof![3 => Just(0), 1 => id()];
    let index = any::<Index>;
    prop_oneof![
        60 => Just(Reserve),
        60 => (index(), target()).prop_map(|(index, target)| Publish(index, target)),
        10 => index().prop_map(GiveUp),
        80 => target().prop_map(Send),
        20 => id().prop_map(Find),
        20 => index().prop_map(ClaimFound),
        40 => id().prop_map(Claim),
        40 => index().prop_map(Consume),
        10 => index().prop_map(PutBack),
        80 => id().prop_map(Receive),
        20 => id().prop_map(JoinOrLeave),
        10 => id().prop_map(DropTargeted),
        10 => Just(Reclaim),
        // Rare, so that there is something before it.
        2 => Just(Close),
    ]
}

/// A slot of a position.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slot {
    Reserved,
    Ready {
        target: Id,
        payload: u32,
    },
    /// Only in a queue.
    Claimed {
        target: Id,
        payload: u32,
    },
    Free,
}

/// Where a receiver of a broadcast stands.
#[derive(Clone, Copy)]
struct Cursor {
    offset: u32,
    busy: bool,
    left: bool,
}

/// The cursors of all subscribers, `None` for who never joined.
type Cursors = [Option<Cursor>; MAX_SUBSCRIBERS as usize];

/// What a ring shall do. Positions are counted from 0 here.
struct Model {
    entries: u32,
    closed: bool,
    /// The slots of all positions that ever were.
    slots: Vec<Slot>,
    /// If it is a broadcast.
    cursors: Option<Cursors>,
}

impl Model {
    fn tail(&self) -> u32 {
        self.slots.len() as u32
    }

    fn slot(&mut self, offset: u32) -> &mut Slot {
        &mut self.slots[offset as usize]
    }

    fn cursor(&mut self, id: Id) -> Option<&mut Option<Cursor>> {
        Some(&mut self.cursors.as_mut()?[id as usize - 1])
    }

    /// The first position from `offset` on that is not free or only for others than `id`.
    fn skip(&self, id: Id, offset: u32) -> u32 {
        let rest = &self.slots[offset as usize..];
        let useless = |slot: &&Slot| match slot {
            Slot::Free => true,
            Slot::Ready { target, .. } => ![0, id].contains(target),
            _ => false,
        };
        offset + rest.iter().take_while(useless).count() as u32
    }

    /// The first position that receivers still need.
    fn needed(&self) -> u32 {
        let Some(cursors) = &self.cursors else {
            let free = |slot: &&Slot| **slot == Slot::Free;
            return self.slots.iter().take_while(free).count() as u32;
        };
        (1..)
            .zip(cursors)
            .filter_map(|(id, cursor)| match (*cursor)? {
                Cursor {
                    busy: true, offset, ..
                } => Some(offset),
                Cursor { left: true, .. } => None,
                Cursor { offset, .. } => Some(self.skip(id, offset)),
            })
            .fold(self.tail(), u32::min)
    }

    /// The first position that anybody still needs.
    fn in_use(&self) -> u32 {
        let reserved = self.slots.iter().position(|&slot| slot == Slot::Reserved);
        reserved.map_or(self.needed(), |first| self.needed().min(first as u32))
    }

    fn reserve(&mut self) -> Result<u32, NoRoom> {
        if self.closed {
            return Err(NoRoom::Closed);
        }
        if self.tail() - self.in_use() >= self.entries {
            return Err(NoRoom::Full);
        }
        self.slots.push(Slot::Reserved);
        Ok(self.tail() - 1)
    }

    fn next(&mut self, id: Id) -> Result<u32, NoMessage> {
        let (mut offset, mut claimed) = (0, false);
        if let Some(cursor) = self.cursor(id) {
            let cursor = cursor.unwrap();
            if cursor.left {
                return Err(NoMessage::Detached);
            }
            if cursor.busy {
                return Err(NoMessage::Busy);
            }
            offset = cursor.offset;
        }
        loop {
            offset = self.skip(id, offset);
            let Some(Slot::Claimed { .. }) = self.slots.get(offset as usize) else {
                break;
            };
            claimed = true;
            offset += 1;
        }
        if let Some(Some(cursor)) = self.cursor(id) {
            cursor.offset = offset;
        }
        match self.slots.get(offset as usize) {
            Some(Slot::Ready { .. }) => Ok(offset),
            None if self.closed && !claimed => Err(NoMessage::Closed),
            _ => Err(NoMessage::Empty),
        }
    }

    /// Claims a message if it can be claimed.
    fn claim(&mut self, id: Id, offset: u32) -> bool {
        if let Some(cursor) = self.cursor(id) {
            let cursor = cursor.as_mut().unwrap();
            let can = cursor.offset == offset && !cursor.busy && !cursor.left;
            cursor.busy |= can;
            return can;
        }
        match *self.slot(offset) {
            Slot::Ready { target, payload } => {
                *self.slot(offset) = Slot::Claimed { target, payload };
                true
            }
            _ => false,
        }
    }

    fn payload(&mut self, offset: u32) -> u32 {
        match *self.slot(offset) {
            Slot::Ready { payload, .. } | Slot::Claimed { payload, .. } => payload,
            _ => panic!("no message there"),
        }
    }

    fn end_claim(&mut self, id: Id, offset: u32, consume: bool) {
        if let Some(cursor) = self.cursor(id) {
            let cursor = cursor.as_mut().unwrap();
            cursor.busy = false;
            cursor.offset += u32::from(consume);
        } else if consume {
            *self.slot(offset) = Slot::Free;
        } else if let Slot::Claimed { target, payload } = *self.slot(offset) {
            *self.slot(offset) = Slot::Ready { target, payload };
        }
    }

    fn drop_targeted(&mut self, id: Id) -> u32 {
        let first = match self.cursor(id) {
            Some(cursor) => cursor.unwrap().offset,
            None => 0,
        };
        let mut dropped = 0;
        for slot in &mut self.slots[first as usize..] {
            if matches!(slot, Slot::Ready { target, .. } if *target == id) {
                *slot = Slot::Free;
                dropped += 1;
            }
        }
        dropped
    }
}

/// A ring, its model, and what is going on.
struct Run<'a> {
    channel: &'a Channel,
    start: u32,
    model: Model,
    head: u32,
    dropped: u32,
    payload: u32,
    reserved: Vec<Reservation<'a, TestMemory>>,
    found: Vec<(Id, u32)>,
    claimed: Vec<(Id, Claim<'a, TestMemory>)>,
}

/// Removes one of the elements, if there are any.
fn pick<T>(from: &mut Vec<T>, index: Index) -> Option<T> {
    (!from.is_empty()).then(|| from.swap_remove(index.index(from.len())))
}

impl<'a> Run<'a> {
    fn offset(&self, position: u32) -> u32 {
        position.wrapping_sub(self.start)
    }

    fn reserve(&mut self) -> Option<Reservation<'a, TestMemory>> {
        let slot = self.channel.reserve();
        let position = slot.as_ref().map(|slot| self.offset(slot.position()));
        assert_eq!(position.map_err(|&reason| reason), self.model.reserve());
        slot.ok()
    }

    fn publish(&mut self, slot: Reservation<'a, TestMemory>, target: Id) {
        self.payload += 1;
        let payload = self.payload;
        *self.model.slot(self.offset(slot.position())) = Slot::Ready { target, payload };
        self.channel.publish(slot, target, payload);
    }

    fn give_up(&mut self, slot: Reservation<'a, TestMemory>) {
        *self.model.slot(self.offset(slot.position())) = Slot::Free;
        drop(slot);
    }

    /// Whether the receiver exists.
    fn exists(&mut self, id: Id) -> bool {
        self.model.cursor(id).is_none_or(|cursor| cursor.is_some())
    }

    fn find(&mut self, id: Id) -> Option<u32> {
        if !self.exists(id) {
            return None;
        }
        let position = self.channel.next(id);
        let offset = position.map(|position| self.offset(position));
        assert_eq!(offset, self.model.next(id));
        position.ok()
    }

    fn claim(&mut self, id: Id, position: u32) -> Option<Claim<'a, TestMemory>> {
        let offset = self.offset(position);
        let claim = self.channel.claim_at(id, position);
        assert_eq!(claim.is_some(), self.model.claim(id, offset));
        claim
    }

    fn end_claim(&mut self, id: Id, claim: Claim<'a, TestMemory>, consume: bool) {
        let message = self.channel.read(&claim);
        let offset = self.offset(message.position);
        assert_eq!(message.payload, self.model.payload(offset));
        if consume {
            claim.consume();
        } else {
            drop(claim);
        }
        self.model.end_claim(id, offset, consume);
        if let Some(Some(Cursor { left: true, .. })) = self.model.cursor(id) {
            self.remove(id);
        }
    }

    fn remove(&mut self, id: Id) {
        self.channel.remove(id);
        self.dropped += self.model.drop_targeted(id);
        assert_eq!(self.channel.dropped(), self.dropped);
    }

    fn receive(&mut self, id: Id) -> bool {
        let claim = self.find(id).and_then(|position| self.claim(id, position));
        claim.is_some_and(|claim| {
            self.end_claim(id, claim, true);
            true
        })
    }

    fn join_or_leave(&mut self, id: Id) {
        let offset = self.model.tail();
        let Some(cursor) = self.model.cursor(id) else {
            return;
        };
        match cursor {
            Some(cursor) if !cursor.left => {
                cursor.left = true;
                assert_eq!(self.channel.leave(id), cursor.busy);
                if !cursor.busy {
                    self.remove(id);
                }
            }
            Some(Cursor { busy: true, .. }) => {}
            _ => {
                *cursor = Some(Cursor {
                    offset,
                    busy: false,
                    left: false,
                });
                self.channel.attach(id);
                self.found.retain(|(other, _)| *other != id);
            }
        }
    }

    fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Reserve => {
                let slot = self.reserve();
                self.reserved.extend(slot);
            }
            Operation::Publish(index, target) => {
                if let Some(slot) = pick(&mut self.reserved, index) {
                    self.publish(slot, target);
                }
            }
            Operation::GiveUp(index) => {
                if let Some(slot) = pick(&mut self.reserved, index) {
                    self.give_up(slot);
                }
            }
            Operation::Send(target) => {
                if let Some(slot) = self.reserve() {
                    self.publish(slot, target);
                }
            }
            Operation::Find(id) => {
                let position = self.find(id);
                self.found.extend(position.map(|position| (id, position)));
            }
            Operation::ClaimFound(index) => {
                if let Some((id, position)) = pick(&mut self.found, index) {
                    let claim = self.claim(id, position);
                    self.claimed.extend(claim.map(|claim| (id, claim)));
                }
            }
            Operation::Claim(id) => {
                let claim = self.find(id).and_then(|position| self.claim(id, position));
                self.claimed.extend(claim.map(|claim| (id, claim)));
            }
            Operation::Consume(index) => {
                if let Some((id, claim)) = pick(&mut self.claimed, index) {
                    self.end_claim(id, claim, true);
                }
            }
            Operation::PutBack(index) => {
                if let Some((id, claim)) = pick(&mut self.claimed, index) {
                    self.end_claim(id, claim, false);
                }
            }
            Operation::Receive(id) => {
                self.receive(id);
            }
            Operation::JoinOrLeave(id) => self.join_or_leave(id),
            Operation::DropTargeted(id) => {
                if self.model.cursors.is_none() {
                    let dropped = self.channel.ring.queue_drop_targeted(id);
                    assert_eq!(dropped, self.model.drop_targeted(id));
                }
            }
            Operation::Reclaim => {
                self.channel.reclaim();
                if self.reserved.is_empty() {
                    assert_eq!(self.offset(self.channel.head()), self.model.in_use());
                }
            }
            Operation::Close => {
                assert_eq!(self.channel.ring.close(), !self.model.closed);
                self.model.closed = true;
            }
        }
        self.check_head();
    }

    /// `head` never moves backwards, and never past what receivers need.
    fn check_head(&mut self) {
        let head = self.offset(self.channel.head());
        assert!(self.head <= head && head <= self.model.needed());
        self.head = head;
    }

    /// Lets everything that is going on come to an end.
    fn finish(&mut self) {
        while let Some(slot) = self.reserved.pop() {
            self.give_up(slot);
        }
        while let Some((id, claim)) = self.claimed.pop() {
            self.end_claim(id, claim, false);
        }
        for id in 1..=MAX_SUBSCRIBERS {
            while self.receive(id) {}
        }
        self.apply(Operation::Reclaim);
        for _ in 0..=self.model.entries {
            self.apply(Operation::Send(0));
        }
    }
}

fn run(channel: Channel, cursors: Option<Cursors>, entries: u32, operations: Vec<Operation>) {
    let start = channel.head();
    let mut run = Run {
        channel: &channel,
        start,
        model: Model {
            entries,
            closed: false,
            slots: Vec::new(),
            cursors,
        },
        head: 0,
        dropped: 0,
        payload: 0,
        reserved: Vec::new(),
        found: Vec::new(),
        claimed: Vec::new(),
    };
    operations
        .into_iter()
        .for_each(|operation| run.apply(operation));
    run.finish();
}

/// Sizes of rings.
fn entries() -> impl Strategy<Value = u32> {
    (0..=4).prop_map(|bits| 1u32 << bits)
}

/// First positions: anywhere, and often where positions wrap soon.
fn start() -> impl Strategy<Value = u32> {
    prop_oneof![
        any::<u32>(),
        u32::MAX - 40..=u32::MAX,
        i32::MAX as u32 - 40..=i32::MAX as u32,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 20_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// A queue does what its model says.
    #[test]
    fn queue(entries in entries(), start in start(), operations in vec(operation(), 0..120)) {
        run(Channel::queue(entries, start), None, entries, operations);
    }

    /// A broadcast does what its model says.
    #[test]
    fn broadcast(entries in entries(), start in start(), operations in vec(operation(), 0..120)) {
        run(Channel::broadcast(entries, start), Some(Cursors::default()), entries, operations);
    }
}
