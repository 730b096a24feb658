// SPDX-License-Identifier: GPL-2.0

//! Tests of the marks: a task takes the lock only if something waits that it could wake.

#![cfg(not(loom))]

use std::cell::RefCell;

use host::{
    channel::Channel,
    parking::{receives, sends, ParkingChannel, Place, Tasks},
};

/// Requests and watchers that were woken.
#[derive(Default)]
struct Woken {
    requests: RefCell<Vec<usize>>,
    watchers: RefCell<Vec<u32>>,
}

impl Tasks for Woken {
    fn wake(&self, request: usize) {
        self.requests.borrow_mut().push(request);
    }

    fn tell(&self, id: u32, _to_all: bool) -> bool {
        self.watchers.borrow_mut().push(id);
        false
    }

    fn tell_of_room(&self, to_all: bool) -> bool {
        self.tell(0, to_all)
    }

    fn is_room_watched(&self) -> bool {
        false
    }

    fn tell_the_end(&self, _id: u32) {}
}

type TestChannel = ParkingChannel<Woken>;

/// A channel with two receivers.
fn open(channel: Channel) -> TestChannel {
    (1..=2).for_each(|id| channel.attach(id));
    ParkingChannel::new(channel, Woken::default())
}

fn park(channel: &TestChannel, request: usize, place: Place) {
    assert!(channel.park(request, place, false));
}

/// Sends a message. Returns how often this took the lock.
fn send(channel: &TestChannel, target: u32) -> u64 {
    let before = channel.locked();
    channel.send(target, 0).unwrap();
    channel.locked() - before
}

/// Receives a message. Returns how often this took the lock.
fn receive(channel: &TestChannel, id: u32) -> u64 {
    let before = channel.locked();
    channel.receive(id).unwrap();
    channel.locked() - before
}

/// Which requests were woken since the last call.
fn woken(channel: &TestChannel) -> Vec<usize> {
    channel.tasks.requests.take()
}

/// Which watchers were told since the last call.
fn told(channel: &TestChannel) -> Vec<u32> {
    channel.tasks.watchers.take()
}

/// Nothing waits.
#[test]
fn no_mark() {
    for channel in [Channel::queue(4, 0), Channel::broadcast(4, 0)] {
        let channel = open(channel);
        for target in [0, 1] {
            assert_eq!(send(&channel, target), 0);
            assert_eq!(receive(&channel, 1), 0);
        }
    }
}

/// Only the waker of the first message takes the lock, until the woken request looks.
#[test]
fn a_receiver_is_awake() {
    let channel = open(Channel::queue(4, 0));
    park(&channel, 0, receives(1));
    park(&channel, 1, receives(2));
    assert_ne!(send(&channel, 0), 0);
    assert_eq!(woken(&channel), [0]);
    assert_eq!(send(&channel, 0), 0);
    channel.looks(receives(1));
    // It leaves a message.
    assert_ne!(receive(&channel, 1), 0);
    assert_eq!(woken(&channel), [1]);
    channel.looks(receives(2));
    assert_eq!(receive(&channel, 2), 0);
    assert_eq!(send(&channel, 0), 0);
    assert!(woken(&channel).is_empty());
}

/// The same for messages for one receiver alone. Nobody else is woken for these.
#[test]
fn a_target_is_awake() {
    for channel in [Channel::queue(4, 0), Channel::broadcast(4, 0)] {
        let channel = open(channel);
        park(&channel, 0, receives(1));
        park(&channel, 1, receives(2));
        park(&channel, 2, receives(2));
        assert_ne!(send(&channel, 2), 0);
        assert_eq!(send(&channel, 2), 0);
        assert_eq!(woken(&channel), [1]);
        channel.looks(receives(2));
        assert_ne!(receive(&channel, 2), 0);
        assert_eq!(woken(&channel), [2]);
        channel.looks(receives(2));
        assert_eq!(receive(&channel, 2), 0);
    }
}

/// The same for a sender. It is woken once half of the ring is free, or a moment later.
#[test]
fn a_sender_is_awake() {
    let channel = open(Channel::queue(4, 0));
    (0..4).for_each(|_| assert_eq!(send(&channel, 0), 0));
    park(&channel, 0, sends(0));
    park(&channel, 1, sends(1));
    assert_eq!(receive(&channel, 1), 0);
    assert!(channel.is_tick_armed());
    assert_ne!(receive(&channel, 1), 0);
    assert_eq!(woken(&channel), [0]);
    assert_eq!(receive(&channel, 1), 0);
    channel.looks(sends(0));
    // It leaves room.
    assert_ne!(send(&channel, 0), 0);
    assert_eq!(woken(&channel), [1]);
    channel.looks(sends(1));
    assert_eq!(send(&channel, 0), 0);
    assert_eq!(receive(&channel, 1), 0);
}

/// A request that was woken in vain is the first one to be woken again.
#[test]
fn woken_in_vain() {
    let channel = open(Channel::multicast(4, 0));
    park(&channel, 0, receives(1));
    park(&channel, 1, receives(1));
    send(&channel, 0);
    receive(&channel, 2);
    channel.looks(receives(1));
    assert!(channel.park(0, receives(1), true));
    send(&channel, 0);
    assert_eq!(woken(&channel), [0, 0]);
}

/// A request that was cancelled leaves no mark.
#[test]
fn nobody_waits() {
    let channel = open(Channel::queue(1, 0));
    park(&channel, 0, receives(1));
    assert!(channel.leave(0, receives(1)));
    assert_eq!(send(&channel, 0), 0);
    park(&channel, 0, sends(1));
    assert!(channel.leave(0, sends(1)));
    assert_eq!(receive(&channel, 1), 0);
}

/// A watcher is told once. After that it costs nothing, until it looks again.
#[test]
fn idle_watcher() {
    for channel in [Channel::queue(4, 0), Channel::broadcast(4, 0)] {
        let channel = open(channel);
        assert!(!channel.look_for_message(1));
        assert!(channel.look_for_room());
        assert_ne!(send(&channel, 0), 0);
        assert_eq!(told(&channel), [1]);
        (0..3).for_each(|_| assert_eq!(send(&channel, 0), 0));
        // The ring is full.
        assert!(!channel.look_for_room());
        let locked: u64 = (0..4)
            .map(|_| {
                [1, 2]
                    .map(|id| receive_if_any(&channel, id))
                    .iter()
                    .sum::<u64>()
            })
            .sum();
        assert_ne!(locked, 0);
        assert_eq!(told(&channel), [0]);
        assert_eq!(send(&channel, 0), 0);
        assert_eq!(receive(&channel, 1), 0);
    }
}

/// As [`receive`], but there may be no message.
fn receive_if_any(channel: &TestChannel, id: u32) -> u64 {
    if channel.channel.next(id).is_ok() {
        receive(channel, id)
    } else {
        0
    }
}
