// SPDX-License-Identifier: GPL-2.0

//! Random operations on a ring and on a simple model of it, which predicts each result.
//!
//! Operations overlap: reservations, claims and found messages stay as they are while other
//! operations happen.

#![cfg(not(loom))]

use host::{
    channel::{Channel, MAX_SUBSCRIBERS},
    memory::TestMemory,
    ring::{Claim, Memory, Mode, NoMessage, NoRoom, Reservation},
};
use proptest::{collection::vec, prelude::*, sample::Index};

/// A subscriber id.
type Id = u32;

#[derive(Clone, Debug)]
enum Operation {
    /// Reserve a slot.
    Reserve,
    /// Reserve up to this many slots for one message.
    ReserveSpan(u32),
    /// Publish a reserved slot with a message for one receiver, or for all with 0.
    Publish(Index, Id),
    /// Give up a reserved slot.
    GiveUp(Index),
    /// Reserve and publish at once.
    Send(Id),
    /// The same with up to this many slots for the message.
    SendSpan(u32, Id),
    /// Reserve several slots, publish the first ones, keep the next ones and give up the others.
    Batch {
        wanted: u32,
        published: u32,
        kept: u32,
        target: Id,
    },
    /// Find a message.
    Find(Id),
    /// Claim a message that was found.
    ClaimFound(Index),
    /// Find and claim a message.
    Claim(Id),
    /// Go on to the next message with a claim.
    Step(Index),
    /// Consume a message that was claimed.
    Consume(Index),
    /// Put back a message that was claimed.
    PutBack(Index),
    /// Find, claim and consume a message.
    Receive(Id),
    /// Join a broadcast, or leave it.
    JoinOrLeave(Id),
    /// Join a broadcast at the oldest message, or at a later one that leaves this many slots.
    JoinAtOldest(Id, u32),
    /// Store the position of a receiver of a broadcast: up to this many positions after `tail`.
    Accept(Id, i32),
    /// Take this many of the oldest messages of a broadcast away from the receivers that have not
    /// received them.
    Overwrite(u32),
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
    // Most messages are for any receiver.
    let target = || prop_oneof![3 => Just(0), 1 => id()];
    let index = any::<Index>;
    let position = prop_oneof![4 => -20..4, 1 => any::<i32>()];
    prop_oneof![
        60 => Just(Reserve),
        30 => (2..=8u32).prop_map(ReserveSpan),
        60 => (index(), target()).prop_map(|(index, target)| Publish(index, target)),
        10 => index().prop_map(GiveUp),
        80 => target().prop_map(Send),
        40 => (2..=8u32, target()).prop_map(|(slots, target)| SendSpan(slots, target)),
        20 => (1..10u32, 0..6u32, 0..3u32, target()).prop_map(|(wanted, published, kept, target)| {
            Batch { wanted, published, kept, target }
        }),
        20 => id().prop_map(Find),
        20 => index().prop_map(ClaimFound),
        40 => id().prop_map(Claim),
        40 => index().prop_map(Step),
        40 => index().prop_map(Consume),
        10 => index().prop_map(PutBack),
        80 => id().prop_map(Receive),
        20 => id().prop_map(JoinOrLeave),
        10 => (id(), 0..4u32).prop_map(|(id, room)| JoinAtOldest(id, room)),
        10 => (id(), position).prop_map(|(id, position)| Accept(id, position)),
        5 => (1..6u32).prop_map(Overwrite),
        10 => id().prop_map(DropTargeted),
        10 => Just(Reclaim),
        // Rare, so that other operations come before it.
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
    /// Followed by as many that are free.
    Free(u32),
}

/// The cursor of a receiver of a broadcast.
#[derive(Clone, Copy)]
struct Cursor {
    /// While the receiver is busy, the position where its claim started.
    offset: u32,
    busy: bool,
    left: bool,
}

/// The cursors of all subscribers, `None` for a subscriber that never joined.
type Cursors = [Option<Cursor>; MAX_SUBSCRIBERS as usize];

/// What a ring must do. Positions are counted from 0 here.
struct Model {
    entries: u32,
    /// The real position 0.
    start: u32,
    closed: bool,
    head: u32,
    /// The slots of all positions that were ever reserved.
    slots: Vec<Slot>,
    /// In a broadcast.
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

    /// The first position from `offset` on that is neither free nor only for other receivers than
    /// `id`, or the first one that is not before `end`.
    fn skip_before(&self, end: u32, id: Id, mut offset: u32) -> u32 {
        while offset < end {
            offset += match self.slots.get(offset as usize) {
                Some(Slot::Free(more)) => 1 + more,
                Some(Slot::Ready { target, .. }) if ![0, id].contains(target) => 1,
                _ => break,
            };
        }
        offset
    }

    fn skip(&self, id: Id, offset: u32) -> u32 {
        self.skip_before(self.tail(), id, offset)
    }

    /// Moves `head`: in a queue as far as possible, in a broadcast by a quarter of the slots, or by
    /// those that are `missing`, and then to the end of the free slots there.
    fn reclaim(&mut self, missing: u32) {
        let Some(mut cursors) = self.cursors else {
            let free = |slot: &&Slot| matches!(slot, Slot::Free(_));
            self.head = self.slots.iter().take_while(free).count() as u32;
            return;
        };
        let end = self.head + (self.entries / 4).max(1).max(missing);
        let mut last = self.tail();
        for (id, cursor) in (1..).zip(&mut cursors) {
            let Some(cursor) = cursor else { continue };
            if !cursor.busy && !cursor.left {
                cursor.offset = self.skip_before(end, id, cursor.offset);
            }
            if cursor.busy || !cursor.left {
                last = last.min(cursor.offset);
            }
        }
        self.cursors = Some(cursors);
        while self.head < last.min(end) {
            self.head += match self.slots[self.head as usize] {
                Slot::Reserved => return,
                Slot::Free(more) => 1 + more,
                _ => 1,
            };
            self.head = self.head.min(last);
        }
    }

    fn room(&self) -> u32 {
        self.entries - (self.tail() - self.head)
    }

    /// Reserves up to `wanted` slots. Returns the first one and how many they are.
    fn reserve_up_to(&mut self, wanted: u32) -> Result<(u32, u32), NoRoom> {
        if self.closed {
            return Err(NoRoom::Closed);
        }
        if self.room() == 0 {
            self.reclaim(1);
        }
        if self.room() == 0 {
            return Err(NoRoom::Full);
        }
        let (first, count) = (self.tail(), wanted.min(self.room()));
        self.slots.extend((0..count).map(|_| Slot::Reserved));
        Ok((first, count))
    }

    /// Reserves slots for one message, and returns the first one.
    fn reserve_span(&mut self, slots: u32) -> Result<u32, NoRoom> {
        if self.closed {
            return Err(NoRoom::Closed);
        }
        let before_the_end = self.entries - self.start.wrapping_add(self.tail()) % self.entries;
        let gap = if slots > before_the_end {
            before_the_end
        } else {
            0
        };
        while self.room() < gap + slots {
            let head = self.head;
            self.reclaim(gap + slots - self.room());
            if self.head == head {
                return Err(NoRoom::Full);
            }
        }
        self.slots.extend((0..gap).rev().map(Slot::Free));
        let first = self.tail();
        self.slots.push(Slot::Reserved);
        self.slots.extend((0..slots - 1).rev().map(Slot::Free));
        Ok(first)
    }

    fn next(&mut self, id: Id) -> Result<u32, NoMessage> {
        let mut offset = 0;
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
        let found = self.find_from(id, &mut offset);
        if let Some(Some(cursor)) = self.cursor(id) {
            cursor.offset = offset;
        }
        found
    }

    /// Finds the first message from `offset` on, and moves `offset` as far as it has looked.
    fn find_from(&self, id: Id, offset: &mut u32) -> Result<u32, NoMessage> {
        let mut claimed = false;
        loop {
            *offset = self.skip(id, *offset);
            match self.slots.get(*offset as usize) {
                Some(Slot::Claimed { target, .. }) => claimed |= *target == 0 || *target == id,
                Some(Slot::Ready { .. }) => return Ok(*offset),
                None if self.closed && !claimed => return Err(NoMessage::Closed),
                _ => return Err(NoMessage::Empty),
            }
            *offset += 1;
        }
    }

    /// The position after `offset` of a message that the receiver of a broadcast can go on to.
    fn following(&self, id: Id, offset: u32) -> Option<u32> {
        let offset = self.skip(id, offset + 1);
        let slot = self.slots.get(offset as usize);
        matches!(slot, Some(Slot::Ready { .. })).then_some(offset)
    }

    fn count(&mut self, id: Id) -> Result<u32, NoMessage> {
        let first = self.next(id)?;
        Ok(std::iter::successors(Some(first), |offset| self.following(id, *offset)).count() as u32)
    }

    /// Accepts the position that a receiver has stored, if it is valid.
    fn accept(&mut self, id: Id, offset: u32) {
        let tail = self.tail();
        if let Some(Some(cursor)) = self.cursor(id) {
            if !cursor.busy && !cursor.left && cursor.offset < offset && offset <= tail {
                cursor.offset = offset;
            }
        }
    }

    /// Takes messages before `end` away from `id`. Returns their positions.
    fn overwrite(&mut self, id: Id, end: u32) -> Vec<u32> {
        let mut taken = Vec::new();
        let mut offset = self
            .next(id)
            .ok()
            .filter(|offset| *offset < end && self.claim(id, *offset));
        while let Some(lost) = offset.filter(|offset| *offset < end) {
            taken.push(lost);
            offset = self.following(id, lost);
            match offset {
                Some(offset) => self.end_claim(id, offset, false),
                None => self.end_claim(id, lost, true),
            }
        }
        taken
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
            cursor.offset = offset + u32::from(consume);
        } else if consume {
            *self.slot(offset) = Slot::Free(0);
            self.reclaim(1);
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
                *slot = Slot::Free(0);
                dropped += 1;
            }
        }
        dropped
    }
}

/// A ring, its model, and the operations in progress.
struct Run<'a> {
    channel: &'a Channel,
    start: u32,
    model: Model,
    dropped: u32,
    /// How many messages were taken away from each subscriber.
    lost: [u32; MAX_SUBSCRIBERS as usize],
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
        let expected = self.model.reserve_up_to(1).map(|(first, _)| first);
        assert_eq!(position.map_err(|&reason| reason), expected);
        slot.ok()
    }

    fn reserve_span(&mut self, slots: u32) -> Option<Reservation<'a, TestMemory>> {
        let slots = slots.min(self.channel.ring.memory().largest());
        let slot = self.channel.reserve_span(slots);
        let position = slot.as_ref().map(|slot| self.offset(slot.position()));
        let expected = self.model.reserve_span(slots);
        assert_eq!(position.map_err(|&reason| reason), expected);
        let slot = slot.ok()?;
        // It is in one piece.
        assert!(slot.index() + slots <= self.model.entries);
        Some(slot)
    }

    fn batch(&mut self, wanted: u32, published: u32, kept: u32, target: Id) {
        let slots = self.channel.reserve_up_to(wanted);
        let expected = self.model.reserve_up_to(wanted);
        assert_eq!(slots.as_ref().err(), expected.as_ref().err());
        let (Ok(mut slots), Ok((first, count))) = (slots, expected) else {
            return;
        };
        for offset in first..first + count.min(published + kept) {
            let slot = slots.next().unwrap();
            assert_eq!(self.offset(slot.position()), offset);
            if offset < first + published {
                self.publish(slot, target);
            } else {
                self.reserved.push(slot);
            }
        }
        drop(slots);
        for offset in (first..first + count).skip((published + kept) as usize) {
            *self.model.slot(offset) = Slot::Free(0);
        }
    }

    fn publish(&mut self, slot: Reservation<'a, TestMemory>, target: Id) {
        self.payload += 1;
        let payload = self.payload;
        *self.model.slot(self.offset(slot.position())) = Slot::Ready { target, payload };
        self.channel.publish(slot, target, payload);
    }

    fn give_up(&mut self, slot: Reservation<'a, TestMemory>) {
        *self.model.slot(self.offset(slot.position())) = Slot::Free(0);
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
        if self.model.cursors.is_some() {
            assert_eq!(self.channel.count(id), self.model.count(id));
        }
        position.ok()
    }

    fn claim(&mut self, id: Id, position: u32) -> Option<Claim<'a, TestMemory>> {
        let offset = self.offset(position);
        let claim = self.channel.claim_at(id, position);
        assert_eq!(claim.is_some(), self.model.claim(id, offset));
        claim
    }

    /// Checks the claimed message, and returns its position.
    fn read(&mut self, claim: &Claim<'a, TestMemory>) -> u32 {
        let message = self.channel.read(claim);
        let offset = self.offset(message.position);
        assert_eq!(message.payload, self.model.payload(offset));
        offset
    }

    fn step(&mut self, id: Id, mut claim: Claim<'a, TestMemory>) {
        let offset = self.read(&claim);
        if self.model.cursors.is_some() {
            let following = self.model.following(id, offset);
            assert_eq!(claim.step(id), following.is_some());
            assert_eq!(self.read(&claim), following.unwrap_or(offset));
            self.claimed.push((id, claim));
            return;
        }
        let position = claim.position();
        self.end_claim(id, claim, true);
        let following = self.channel.ring.queue_following(position, id);
        let expected = self.model.find_from(id, &mut (offset + 1));
        assert_eq!(following.map(|position| self.offset(position)), expected);
        let claim = following.ok().and_then(|position| self.claim(id, position));
        self.claimed.extend(claim.map(|claim| (id, claim)));
    }

    fn end_claim(&mut self, id: Id, claim: Claim<'a, TestMemory>, consume: bool) {
        let offset = self.read(&claim);
        if consume {
            self.channel.consume(claim);
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

    /// Lets a receiver join a broadcast that it does not take part in: at the next message, or at
    /// the oldest that leaves `room` slots.
    fn join(&mut self, id: Id, room: Option<u32>) {
        let room = room.map(|room| room.min(self.model.entries));
        let tail = self.model.tail();
        let offset = room.map_or(tail, |room| {
            self.model
                .head
                .max(tail.saturating_sub(self.model.entries - room))
        });
        let Some(
            cursor @ (None
            | Some(Cursor {
                left: true,
                busy: false,
                ..
            })),
        ) = self.model.cursor(id)
        else {
            return;
        };
        *cursor = Some(Cursor {
            offset,
            busy: false,
            left: false,
        });
        match room {
            Some(room) => self.channel.attach_at_oldest(id, room),
            None => self.channel.attach(id),
        }
        self.found.retain(|(other, _)| *other != id);
    }

    fn join_or_leave(&mut self, id: Id) {
        match self.model.cursor(id) {
            Some(Some(cursor)) if !cursor.left => {
                cursor.left = true;
                let busy = cursor.busy;
                assert_eq!(self.channel.leave(id), busy);
                if !busy {
                    self.remove(id);
                }
            }
            _ => self.join(id, None),
        }
    }

    fn overwrite(&mut self, count: u32) {
        let (head, mut taken) = (self.model.head, Vec::new());
        for id in 1..=MAX_SUBSCRIBERS {
            if self.exists(id) {
                let offsets = self.model.overwrite(id, head + count);
                self.lost[id as usize - 1] += offsets.len() as u32;
                taken.extend(
                    offsets
                        .into_iter()
                        .map(|offset| self.start.wrapping_add(offset)),
                );
            }
        }
        assert_eq!(self.channel.overwrite_oldest(count), taken);
        for (id, lost) in (1..).zip(self.lost) {
            assert_eq!(self.channel.lost(id), lost);
        }
    }

    fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Reserve => {
                let slot = self.reserve();
                self.reserved.extend(slot);
            }
            Operation::ReserveSpan(slots) => {
                let slot = self.reserve_span(slots);
                self.reserved.extend(slot);
            }
            Operation::SendSpan(slots, target) => {
                if let Some(slot) = self.reserve_span(slots) {
                    self.publish(slot, target);
                }
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
            Operation::Batch {
                wanted,
                published,
                kept,
                target,
            } => self.batch(wanted, published, kept, target),
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
            Operation::Step(index) => {
                if let Some((id, claim)) = pick(&mut self.claimed, index) {
                    self.step(id, claim);
                }
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
            Operation::JoinAtOldest(id, room) => self.join(id, Some(room)),
            Operation::Accept(id, position) => {
                if self.model.cursors.is_some() && self.exists(id) {
                    let offset = self.model.tail().wrapping_add_signed(position);
                    let cursor = self.channel.cursor(id);
                    let position = self.start.wrapping_add(offset);
                    self.channel.ring.broadcast_accept(cursor, position);
                    self.model.accept(id, offset);
                }
            }
            Operation::Overwrite(count) => {
                if self.model.cursors.is_some() {
                    self.overwrite(count);
                }
            }
            Operation::DropTargeted(id) => {
                if self.model.cursors.is_none() {
                    let dropped = self.channel.queue_drop_targeted(id);
                    assert_eq!(dropped, self.model.drop_targeted(id));
                    self.model.reclaim(1);
                }
            }
            Operation::Reclaim => {
                self.channel.reclaim();
                self.model.reclaim(1);
            }
            Operation::Close => {
                assert_eq!(self.channel.ring.close(), !self.model.closed);
                self.model.closed = true;
            }
        }
        assert_eq!(self.offset(self.channel.head()), self.model.head);
    }

    /// Ends all operations in progress.
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
            start,
            closed: false,
            head: 0,
            slots: Vec::new(),
            cursors,
        },
        dropped: 0,
        lost: [0; MAX_SUBSCRIBERS as usize],
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
    (0..=5).prop_map(|bits| 1u32 << bits)
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
        run(Channel::spanning(Mode::Unicast, false, entries, start), None, entries, operations);
    }

    /// A broadcast does what its model says.
    #[test]
    fn broadcast(entries in entries(), start in start(), operations in vec(operation(), 0..120)) {
        let channel = Channel::spanning(Mode::Broadcast, false, entries, start);
        run(channel, Some(Cursors::default()), entries, operations);
    }
}
