// SPDX-License-Identifier: GPL-2.0

//! How much a task does because of others: how often it takes the lock, and how many receivers and
//! slots it looks at. The ring and the wake rules are the source that the kernel runs.

#![cfg(not(loom))]

use std::cell::Cell;

use host::{
    channel::Channel,
    parking::{receives, sends, ParkingChannel, Tasks},
    ring::{Mode, Waiting},
};

/// Counts what is woken.
#[derive(Default)]
struct Count {
    requests: Cell<u32>,
    watchers: Cell<u32>,
    /// Others make room and take it, as often as a sender looks.
    is_busy: Cell<bool>,
    looks: Cell<u32>,
}

impl Tasks for Count {
    fn wake(&self, _request: usize) {
        self.requests.set(self.requests.get() + 1);
    }

    fn tell(&self, _id: u32, _to_all: bool) -> bool {
        self.watchers.set(self.watchers.get() + 1);
        false
    }

    fn tell_of_room(&self, to_all: bool) -> bool {
        self.tell(0, to_all)
    }

    fn is_room_watched(&self) -> bool {
        false
    }

    fn tell_the_end(&self, _id: u32) {}

    fn others_run(&self, channel: &Channel) {
        self.looks.set(self.looks.get() + 1);
        if self.is_busy.get() {
            channel.receive(1).unwrap();
            channel.send(0).unwrap();
        }
    }
}

type TestChannel = ParkingChannel<Count>;

const MODES: [Mode; 3] = [Mode::Unicast, Mode::Multicast, Mode::Broadcast];

/// A channel with some receivers.
fn open(mode: Mode, entries: u32, receivers: u32) -> TestChannel {
    let channel = Channel::large(mode, entries, receivers);
    (1..=receivers).for_each(|id| channel.attach(id));
    ParkingChannel::new(channel, Count::default())
}

fn park(channel: &TestChannel, id: u32) {
    assert!(channel.park(id as usize, receives(id), false));
}

/// A sender looks for room a few times, however often others make room and take it. Then it says yes,
/// and its request looks again by itself.
#[test]
fn others_do_not_keep_a_sender_looking() {
    for mode in MODES {
        let channel = open(mode, 4, 1);
        while channel.channel.send(0).is_ok() {}
        assert!(!channel.has_room(1, &()));
        channel.tasks.looks.set(0);
        channel.tasks.is_busy.set(true);
        assert!(channel.has_room(1, &()));
        assert!(channel.tasks.looks.get() <= 8);
    }
}

/// One send visits the receivers that wait, and no others: it takes the lock once for each that it
/// wakes, and once more.
#[test]
fn a_send_visits_those_that_wait() {
    for mode in MODES {
        for receivers in [20, 1000] {
            for waiting in [1, 3, 17] {
                let channel = open(mode, 4, receivers);
                (1..=waiting).for_each(|id| park(&channel, id * (receivers / 20)));
                let locked = channel.locked();
                channel.send(0, 0).unwrap();
                let woken = if mode == Mode::Broadcast { waiting } else { 1 };
                assert_eq!(channel.tasks.requests.get(), woken);
                assert!(channel.locked() - locked <= u64::from(woken) + 1);
                assert!(channel.most_looks() <= 1);
            }
        }
    }
}

/// How long a task has the lock does not grow with how many receivers do not wait any more: they
/// were cancelled, or got a message for themselves alone.
#[test]
fn a_send_passes_over_few() {
    const RECEIVERS: u32 = 1000;
    for mode in MODES {
        for is_cancelled in [false, true] {
            let channel = open(mode, 4096, RECEIVERS);
            (1..=RECEIVERS).for_each(|id| park(&channel, id));
            for id in 1..RECEIVERS {
                if is_cancelled {
                    assert!(channel.leave(id as usize, receives(id)));
                } else {
                    channel.send(id, 0).unwrap();
                }
            }
            channel.send(0, 0).unwrap();
            let woken = if is_cancelled { 1 } else { RECEIVERS };
            assert_eq!(channel.tasks.requests.get(), woken);
            let most = channel.most_looks();
            assert!(most <= 20, "{most} looks");
        }
    }
}

/// In which order all receivers receive a message.
fn orders(receivers: u32) -> [Vec<u32>; 4] {
    let up: Vec<_> = (1..=receivers).collect();
    let down = up.iter().rev().copied().collect();
    // Prime to the number of receivers.
    let mixed = up.iter().map(|id| id * 37 % receivers + 1).collect();
    let halves = up
        .iter()
        .map(|id| {
            if id % 2 == 0 {
                id / 2
            } else {
                receivers - id / 2
            }
        })
        .collect();
    [up, down, mixed, halves]
}

/// A sender waits for room in a full broadcast. Until all receivers have received the next message, all
/// of them together do work that is linear in their number, and none of it is under the lock.
#[test]
fn a_full_broadcast() {
    for receivers in [100, 1000] {
        for order in orders(receivers) {
            let channel = open(Mode::Broadcast, 4, receivers);
            for _ in 0..4 {
                channel.send(0, 0).unwrap();
            }
            assert!(channel.park(0, sends(0), false));
            for _ in 0..4 {
                let looks = || {
                    let slots = channel.channel.ring.memory().slot_looks();
                    channel.channel.receiver_looks() + slots
                };
                let (before, locked) = (looks(), channel.locked());
                let woken = channel.tasks.requests.get();
                for &id in &order {
                    channel.receive(id).unwrap();
                }
                // With a little room, the sender is woken a moment later.
                channel.run_tick();
                assert_eq!(channel.tasks.requests.get(), woken + 1);
                channel.looks(sends(0));
                channel.send(0, 0).unwrap();
                assert!(channel.park(0, sends(0), true));
                let looks = looks() - before;
                assert!(looks <= 12 * u64::from(receivers) + 100, "{looks} looks");
                let locked = channel.locked() - locked;
                assert!(locked <= 8, "{locked} times");
            }
        }
    }
}

/// A watcher that was told and has not looked again costs nothing.
#[test]
fn idle_watchers() {
    for mode in MODES {
        let channel = open(mode, 4, 100);
        (1..=100).for_each(|id| assert!(!channel.look_for_message(id)));
        channel.send(0, 0).unwrap();
        assert_eq!(channel.tasks.watchers.get(), 100);
        let locked = channel.locked();
        channel.send(0, 0).unwrap();
        channel.receive(1).unwrap();
        assert_eq!(channel.locked(), locked);
        assert_eq!(channel.tasks.watchers.get(), 100);
    }
}
