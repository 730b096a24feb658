// SPDX-License-Identifier: GPL-2.0

//! Shares: how many slots each group of senders can take, against a model that counts them.

#![cfg(not(loom))]

use std::{
    collections::HashMap,
    sync::{
        atomic::{AtomicU32, Ordering},
        Barrier,
    },
};

use host::{
    channel::Channel,
    memory::TestMemory,
    ring::{Mode, NoRoom, Reservation, Ring, Share},
    STARTS,
};
use proptest::prelude::*;

fn share() -> Share<TestMemory> {
    Share::new(AtomicU32::new(0))
}

/// A queue whose senders have shares.
struct Fair {
    channel: Channel,
    shares: Vec<Share<TestMemory>>,
    /// Group and slots of the message at each position that is not received.
    queued: HashMap<u32, (usize, u32)>,
}

impl Fair {
    fn new(entries: u32, start: u32, groups: usize) -> Self {
        let channel = if entries >= 16 {
            Channel::spanning(Mode::Unicast, false, entries, start)
        } else {
            Channel::queue(entries, start)
        };
        Self {
            channel,
            shares: (0..groups).map(|_| share()).collect(),
            queued: HashMap::new(),
        }
    }

    /// Sends as `channel/fair.rs` does: up to `count` messages of one slot, or one of `slots`. Returns
    /// how many.
    fn send(&mut self, group: usize, count: u32, slots: u32) -> u32 {
        let share = &self.shares[group];
        let count = match slots {
            1 => share.at_once(count, self.channel.ring.room()),
            _ => 1,
        };
        let was_unused = share.take(count * slots) == 0 && count == 1;
        let reclaim = |_: &_, _| self.channel.ring.queue_reclaim();
        let ring = &self.channel.ring;
        let sent = match ring.reserve_share((count, slots), share, was_unused, false, reclaim) {
            Ok(reserved) => {
                let mut sent = 0;
                for slot in reserved {
                    let message = self.channel.publish(slot, 0, sent);
                    self.queued.insert(message.position, (group, slots));
                    sent += 1;
                }
                sent
            }
            Err(error) => {
                assert_eq!(error, NoRoom::Full);
                0
            }
        };
        share.give_back((count - sent) * slots);
        sent
    }

    /// Receives the next message.
    fn receive(&mut self) -> bool {
        let Ok(message) = self.channel.receive(1) else {
            return false;
        };
        let (group, slots) = self.queued.remove(&message.position).unwrap();
        self.shares[group].give_back(slots);
        self.channel.ring.queue_reclaim();
        true
    }

    fn used(&self, group: usize) -> u32 {
        self.shares[group].used()
    }
}

/// A group takes half of the slots, the next one half of the rest, and so on; and the last ones take one
/// slot each.
#[test]
fn one_after_the_other() {
    for (entries, wanted) in [
        (1, &[1, 0][..]),
        (2, &[1, 1, 0]),
        (4, &[2, 1, 1, 0]),
        (8, &[4, 2, 1, 1, 0]),
        (64, &[32, 16, 8, 4, 2, 1, 1, 0]),
        (1024, &[512, 256, 128, 64, 32, 16, 8, 4, 2, 1, 1, 0]),
    ] {
        for start in STARTS {
            for at_once in [1, entries] {
                let mut fair = Fair::new(entries, start, wanted.len());
                for (group, &wanted) in wanted.iter().enumerate() {
                    while fair.send(group, at_once, 1) > 0 {}
                    assert_eq!(fair.used(group), wanted);
                }
            }
        }
    }
}

/// While receivers receive, groups that send as much as they can end at equal parts.
#[test]
fn equal_parts() {
    const ENTRIES: u32 = 1024;
    for groups in [1, 2, 8, 64] {
        let mut fair = Fair::new(ENTRIES, 0, groups);
        for _ in 0..20 * ENTRIES {
            for group in 0..groups {
                while fair.send(group, 1, 1) > 0 {}
            }
            fair.receive();
        }
        let part = ENTRIES / (groups as u32 + 1);
        for group in 0..groups {
            assert!(fair.used(group).abs_diff(part) <= 1, "{}", fair.used(group));
        }
    }
}

/// A ring of which threads use no messages.
struct Threads<'a>(&'a Ring<TestMemory>);

// SAFETY: All but the messages is atomic.
unsafe impl Sync for Threads<'_> {}

/// Senders on several processors do not take more than if they sent one after the other.
#[test]
fn at_the_same_time() {
    const ENTRIES: u32 = 64;
    const THREADS: usize = 4;
    for _ in 0..200 {
        let channel = Channel::queue(ENTRIES, 0);
        let (ring, shares) = (Threads(&channel.ring), [share(), share()]);
        let barrier = Barrier::new(THREADS);
        let sent = [AtomicU32::new(0), AtomicU32::new(0)];
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (ring, barrier, group) = (&ring, &barrier, thread % 2);
                let (share, sent) = (&shares[group], &sent[group]);
                scope.spawn(move || {
                    barrier.wait();
                    for _ in 0..ENTRIES {
                        let was_unused = share.take(1) == 0;
                        let Threads(ring) = ring;
                        match ring.reserve_share((1, 1), share, was_unused, false, |_, _| ()) {
                            Ok(slots) => {
                                slots.for_each(Reservation::publish);
                                sent.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(_) => {
                                share.give_back(1);
                            }
                        }
                    }
                });
            }
        });
        let used = [0, 1].map(|group| sent[group].load(Ordering::Relaxed));
        assert_eq!(used, [shares[0].used(), shares[1].used()]);
        assert!(used.iter().all(|&used| used <= ENTRIES / 2));
        assert!(ENTRIES - used[0] - used[1] >= ENTRIES >> 2);
    }
}

/// Who gives back learns whether requests wait, and the bit is no slot.
#[test]
fn waits() {
    let share = share();
    share.take(3);
    assert!(!share.give_back(1));
    for _ in 0..2 {
        share.set_waits(true);
    }
    assert_eq!(share.used(), 2);
    assert_eq!(share.take(4), 2);
    assert!(share.give_back(1));
    share.set_waits(false);
    assert!(!share.give_back(5));
    assert_eq!((share.used(), share.to_leave(7)), (0, 0));
    share.take(2);
    assert_eq!(share.to_leave(7), 9);
}

#[derive(Clone, Debug)]
enum Step {
    Send {
        group: usize,
        count: u32,
        slots: u32,
    },
    Receive,
}

fn step(groups: usize, large: bool) -> impl Strategy<Value = Step> {
    let slots = if large { 1..5u32 } else { 1..2 };
    prop_oneof![
        3 => (0..groups, 1..9u32, slots)
            .prop_map(|(group, count, slots)| Step::Send { group, count, slots }),
        2 => Just(Step::Receive),
    ]
}

fn cases() -> impl Strategy<Value = (u32, usize, Vec<Step>)> {
    (0..7u32, 1..9usize).prop_flat_map(|(bits, groups)| {
        let steps = prop::collection::vec(step(groups, bits >= 4), 1..300);
        (Just(1 << bits), Just(groups), steps)
    })
}

proptest! {
    /// Each send succeeds exactly if the formula says so, slots come back exactly once, and the bound
    /// for the next group holds.
    #[test]
    fn as_the_formula_says((entries, groups, steps) in cases()) {
        let mut fair = Fair::new(entries, u32::MAX - 99, groups);
        let mut is_large = false;
        for step in steps {
            match step {
                Step::Receive => {
                    let is_any = !fair.queued.is_empty();
                    prop_assert_eq!(fair.receive(), is_any);
                }
                Step::Send { group, count, slots } => {
                    is_large |= slots > 1;
                    // The free slots before the end that a message did not fit in.
                    fair.channel.ring.queue_reclaim();
                    // The slots before the end, and those of messages.
                    let tail = fair.channel.ring.tail_position();
                    let rest = entries - tail % entries;
                    let gap = if slots > rest { rest } else { 0 };
                    let (room, used) = (fair.channel.ring.room(), fair.used(group));
                    let fits = |messages: u32| {
                        let taken = messages * slots + gap;
                        let exempt = used == 0 && messages == 1;
                        let left = if exempt { 0 } else { used + messages * slots };
                        taken + left <= room
                    };
                    let most = if slots == 1 { count } else { 1 };
                    let wanted = (1..=most).rev().find(|&messages| fits(messages)).unwrap_or(0);
                    prop_assert_eq!(fair.send(group, count, slots), wanted);
                }
            }
            let mut model = vec![0; groups];
            for &(group, slots) in fair.queued.values() {
                model[group] += slots;
            }
            for (group, &wanted) in model.iter().enumerate() {
                prop_assert_eq!(fair.used(group), wanted);
            }
            let senders = model.iter().filter(|&&used| used != 0).count();
            if !is_large {
                prop_assert!(fair.channel.ring.room() >= entries >> senders);
            }
        }
    }
}
