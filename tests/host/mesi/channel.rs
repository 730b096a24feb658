// SPDX-License-Identifier: GPL-2.0

//! A channel in the lines of a [`Machine`]: the ring is the source that the kernel runs, and the words
//! around it lie and are used as in `src/channel` and `src/memory`.

use std::sync::{
    atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    Arc,
};

use host::ring::{self, Claim, Mode, NoMessage, NoRoom, Reservation, Ring, Waiting, REQUESTS};

use crate::machine::{Event, Line, Machine, Word};

/// How many stamps share a line.
const STAMPS_PER_LINE: usize = 4;

/// No process.
const NONE: usize = usize::MAX;

/// A slot: its descriptor, 64 bytes of message, and who has sent it.
struct Slot {
    descriptor: Line,
    word: Word,
    target: Word,
    message: Line,
    stamp: Line,
    /// The process in the stamp.
    sender: AtomicUsize,
    /// How many slots the message takes that begins here, as the descriptor says.
    slots: AtomicU32,
}

/// As `Region`.
pub struct Memory {
    producer: Word,
    seen_head: Word,
    consumer: Word,
    slowest: Word,
    senders_wait: Word,
    largest: u32,
    slots: Vec<Slot>,
}

impl Memory {
    fn new(machine: &Arc<Machine>, entries: u32, largest: u32) -> Self {
        let stamps: Vec<_> = (0..(entries as usize).div_ceil(STAMPS_PER_LINE))
            .map(|_| machine.line("stamps"))
            .collect();
        let (producer, consumer) = (machine.line("tail"), machine.line("head"));
        Self {
            producer: producer.word(),
            seen_head: producer.word(),
            consumer: consumer.word(),
            slowest: consumer.word(),
            senders_wait: machine.word("mark of senders"),
            largest,
            slots: (0..entries as usize)
                .map(|index| {
                    let descriptor = machine.line("descriptor");
                    Slot {
                        word: descriptor.word(),
                        target: descriptor.word(),
                        descriptor,
                        message: machine.line("message"),
                        stamp: stamps[index / STAMPS_PER_LINE].clone(),
                        sender: AtomicUsize::new(NONE),
                        slots: AtomicU32::new(1),
                    }
                })
                .collect(),
        }
    }

    fn at(&self, index: u32) -> &Slot {
        &self.slots[index as usize]
    }
}

impl ring::Memory for Memory {
    type U32 = Word;
    type U64 = Word;

    fn entries(&self) -> u32 {
        self.slots.len() as u32
    }

    fn largest(&self) -> u32 {
        self.largest
    }

    fn roomy(&self) -> u32 {
        self.entries() + 1 - 2 * self.largest
    }

    fn producer(&self) -> &Word {
        &self.producer
    }

    fn seen_head(&self) -> &Word {
        &self.seen_head
    }

    fn consumer(&self) -> &Word {
        &self.consumer
    }

    fn slowest(&self) -> &Word {
        &self.slowest
    }

    fn slot(&self, index: u32) -> &Word {
        &self.at(index).word
    }

    fn target(&self, index: u32) -> &Word {
        &self.at(index).target
    }

    fn full_barrier() {}
}

/// As `Member`, of the process with the same number as the processor that it runs on.
pub struct Member {
    id: u32,
    cursor: Word,
    /// In the line of `cursor`: `id`, `flags` and `cursor_page`.
    constant: Line,
    pending: Word,
    /// In the line of `pending`: `received`, and how many messages were lost.
    received: Line,
    sent: Line,
    wants: Word,
}

impl Member {
    fn new(machine: &Arc<Machine>, id: u32, cursor: u64) -> Self {
        let (constant, received) = (machine.line("cursor"), machine.line("counts"));
        let word = constant.word();
        word.store(cursor);
        Self {
            id,
            cursor: word,
            constant,
            pending: received.word(),
            received,
            sent: machine.line("counts"),
            wants: machine.word("queue of receives"),
        }
    }
}

/// As `Channel`, with one member for each processor. Those from `receivers` on receive.
pub struct Channel {
    machine: Arc<Machine>,
    mode: Mode,
    ring: Ring<Memory>,
    members: Vec<Member>,
    /// The first receiver among the members.
    receivers: usize,
    /// For each process, its reference count and its numbers.
    processes: Vec<Line>,
    /// What each message reads and none writes: `ring`, `mode`.
    constant: Line,
    receivers_wait: Word,
    /// The lock of what waits, and what it protects.
    parking: Line,
    /// Whether a send is parked.
    sender_waits: AtomicBool,
    is_tick_armed: AtomicBool,
}

impl Channel {
    /// A channel with `members`, of which those from number `receivers` on receive, and with messages
    /// that take up to `largest` slots.
    pub fn new(
        machine: &Arc<Machine>,
        mode: Mode,
        entries: u32,
        largest: u32,
        members: usize,
        receivers: usize,
    ) -> Self {
        let constant = machine.line("channel");
        let ring = Ring::new(Memory::new(machine, entries, largest), 0);
        let new = Self {
            mode,
            members: (1..=members as u32)
                .map(|id| Member::new(machine, id, ring.new_cursor()))
                .collect(),
            ring,
            receivers,
            processes: (0..members).map(|_| machine.line("process")).collect(),
            constant,
            receivers_wait: machine.word("mark of receivers"),
            parking: machine.line("lock"),
            sender_waits: AtomicBool::new(false),
            is_tick_armed: AtomicBool::new(false),
            machine: machine.clone(),
        };
        for member in &new.members[receivers..] {
            match mode {
                Mode::Broadcast => new.ring.broadcast_join(&member.cursor),
                Mode::Unicast | Mode::Multicast => new.ring.queue_join(&member.cursor),
            }
        }
        new
    }

    fn memory(&self) -> &Memory {
        self.ring.memory()
    }

    /// As `Channel::fill` in `sending.rs`, with `Region::copy_in`, `describe` and `stamp`.
    fn fill(&self, slot: Reservation<'_, Memory>, process: usize) {
        let first = slot.index();
        for index in first..first + slot.slots() {
            self.memory().at(index).message.write();
        }
        let at = self.memory().at(first);
        at.descriptor.write();
        at.slots.store(slot.slots(), Ordering::Relaxed);
        at.stamp.read();
        let last = at.sender.swap(process, Ordering::Relaxed);
        if last != process {
            self.processes[process].write();
            if last != NONE {
                self.processes[last].write();
            }
            at.stamp.write();
        }
        slot.set_target(0);
        slot.publish();
    }

    /// As `Channel::send_one`.
    fn reserve(&self, slots: u32) -> Result<Reservation<'_, Memory>, NoRoom> {
        let reclaim = |_: &_, missing| self.reclaim(missing, &());
        if slots == 1 {
            return match self.ring.reserve_at_once() {
                Some(slot) => Ok(slot),
                None => self.ring.reserve(reclaim),
            };
        }
        let mut reserved = self.ring.reserve_span(slots, false, reclaim)?;
        Ok(reserved.next().unwrap())
    }

    /// As `Channel::send_one`, by the member and process with this number, of a message that takes `slots`.
    pub fn send(&self, number: usize, slots: u32) -> Result<(), NoRoom> {
        let member = &self.members[number];
        member.constant.read();
        self.constant.read();
        let slot = self.reserve(slots)?;
        let end = slot.end();
        self.fill(slot, number);
        if self.is_any_waiting() {
            self.wake_receivers(None);
            self.wake_receivers_after(end, &());
            self.wake_sender_for_much(&());
        }
        member.sent.write();
        self.machine.tell(Event::Sent);
        Ok(())
    }

    /// Parks a send that has found no room, as `Channel::park_send`. Returns false if there is room by
    /// now.
    pub fn wait_for_room(&self) -> bool {
        self.parking.write();
        self.sender_waits.store(true, Ordering::Relaxed);
        self.memory().senders_wait.store(REQUESTS.into());
        let waits = !self.has_room(1, &());
        if !waits {
            self.wake_senders(1);
        }
        waits
    }

    /// As the tick, if it is armed.
    fn run_tick(&self) {
        if self.is_tick_armed.swap(false, Ordering::Relaxed) {
            self.tick(&());
        }
    }

    /// As `Region::copy_out` and `Translation::describe`.
    fn copy_out(&self, claim: &Claim<'_, Memory>, member: &Member, info: bool) {
        let at = self.memory().at(claim.index());
        at.descriptor.read();
        member.received.read();
        if info {
            at.stamp.read();
            self.processes[at.sender.load(Ordering::Relaxed)].read();
        }
        let first = claim.index();
        for index in first..first + at.slots.load(Ordering::Relaxed) {
            self.memory().at(index).message.read();
        }
    }

    /// As `Channel::receive`, by the member with this number.
    pub fn receive(&self, number: usize, info: bool) -> Result<(), NoMessage> {
        let member = &self.members[number];
        member.constant.read();
        self.constant.read();
        let (position, claim) = loop {
            let position = self.next(member)?;
            self.memory()
                .at(position & (self.entries() - 1))
                .descriptor
                .read();
            let claim = match self.mode {
                Mode::Broadcast => self.ring.broadcast_claim(&member.cursor, position),
                Mode::Unicast | Mode::Multicast => self.ring.queue_claim(position),
            };
            if let Some(claim) = claim {
                break (position, claim);
            }
        };
        self.copy_out(&claim, member, info);
        claim.consume();
        if self.mode != Mode::Broadcast {
            self.ring.queue_reclaim_after(position);
        }
        if self.is_any_waiting() {
            self.has_received(member, position, &());
        }
        member.received.write();
        self.machine.tell(Event::Received);
        // Nothing else is going to happen.
        self.run_tick();
        Ok(())
    }

    fn is_any_waiting(&self) -> bool {
        self.receivers_wait.load() | self.memory().senders_wait.load() != 0
    }

    /// How many slots there are.
    pub fn entries(&self) -> u32 {
        ring::Memory::entries(self.memory())
    }

    /// As `Channel::accept_position` of a receiver that has not mapped its cursor page.
    fn accept_position(&self, member: &Member) {
        member.constant.read();
    }
}

impl Waiting for Channel {
    type Memory = Memory;
    type Receiver = Member;
    type Guard = ();

    fn ring(&self) -> &Ring<Memory> {
        &self.ring
    }

    fn mode(&self) -> Mode {
        self.mode
    }

    fn receivers_wait(&self) -> &Word {
        &self.receivers_wait
    }

    fn senders_wait(&self) -> &Word {
        &self.memory().senders_wait
    }

    fn wants<'a>(&'a self, member: &'a Member) -> &'a Word {
        &member.wants
    }

    fn receiver<'a>(&'a self, id: u32, (): &'a ()) -> Option<&'a Member> {
        self.members.get(id as usize - 1)
    }

    fn is_any_left(&self) -> bool {
        false
    }

    fn made_room(&self, member: &Member, position: u32) -> bool {
        member.constant.read();
        self.ring.broadcast_made_room(member.id, position, false)
    }

    fn has_targeted(&self, member: &Member) -> bool {
        member.pending.load() != 0
    }

    fn wake_any(&self, _count: u32) {}

    fn wake_each(&self) {}

    fn wake_one_of(&self, _member: &Member) {}

    fn wake_senders(&self, _count: u32) {
        self.parking.write();
        if self.sender_waits.swap(false, Ordering::Relaxed) {
            self.memory().senders_wait.store(0);
            self.machine.tell(Event::SenderWoken);
        }
    }

    fn tell_of_messages(&self, _to_all: bool) {}

    fn tell_of_room(&self, _to_all: bool) {}

    fn let_go(&self, _each: impl FnMut(&Member)) {}

    fn wait_no_longer(&self) -> (u32, u32) {
        self.parking.write();
        (1, 1)
    }

    fn arm_tick(&self) {
        self.is_tick_armed.store(true, Ordering::Relaxed);
    }

    fn next(&self, member: &Member) -> Result<u32, NoMessage> {
        match self.mode {
            Mode::Broadcast => {
                self.accept_position(member);
                self.ring.broadcast_next(&member.cursor, member.id)
            }
            Mode::Unicast | Mode::Multicast => self.ring.queue_next(&member.cursor, member.id),
        }
    }

    fn may_have_any(&self, member: &Member) -> bool {
        self.ring.queue_may_have_any(&member.cursor)
    }

    fn next_send_needs(&self) -> u32 {
        1
    }

    fn reclaim(&self, missing: u32, (): &()) {
        if self.mode != Mode::Broadcast {
            return self.ring.queue_reclaim();
        }
        self.ring.reclaim_broadcast(missing, |first, each| {
            let first = self.receivers.max(first.saturating_sub(1) as usize);
            let (before, from) = self.members[self.receivers..].split_at(first - self.receivers);
            from.iter().chain(before).any(|receiver| {
                self.accept_position(receiver);
                receiver.constant.read();
                each(&receiver.cursor, receiver.id, false)
            });
        });
    }

    fn may_overwrite(&self, _missing: u32, (): &()) -> bool {
        false
    }
}
