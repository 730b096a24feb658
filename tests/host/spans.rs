// SPDX-License-Identifier: GPL-2.0

//! Messages that take several slots: where they lie, how much room they need, and that nobody looks
//! at their slots one by one. `model.rs` tries all the rest.

#![cfg(not(loom))]

use host::{
    channel::Channel,
    ring::{Mode, NoRoom},
    STARTS,
};

const MODES: [Mode; 3] = [Mode::Unicast, Mode::Multicast, Mode::Broadcast];

fn channels(entries: u32) -> impl Iterator<Item = Channel> {
    MODES.into_iter().flat_map(move |mode| {
        STARTS.map(|start| {
            let channel = Channel::spanning(mode, false, entries, start);
            channel.attach(1);
            channel
        })
    })
}

/// Each length fits at each place of an empty ring, in one piece, and the words of the slots that have
/// no message say how many of them follow.
#[test]
fn anywhere() {
    for channel in channels(16) {
        for round in 0..200 {
            let slots = round % 4 + 1;
            let tail = channel.ring.tail_position();
            let rest = 16 - tail % 16;
            let gap = if slots > rest { rest } else { 0 };
            let message = channel.send_span(slots, round).unwrap();
            assert_eq!(message.position, tail.wrapping_add(gap));
            for (first, count) in [(tail, gap), (message.position.wrapping_add(1), slots - 1)] {
                for offset in 0..count {
                    let free = channel.free_in_place(first.wrapping_add(offset));
                    assert_eq!(free, count - offset);
                }
            }
            let end = message.position.wrapping_add(slots);
            assert_eq!(channel.ring.tail_position(), end);
            assert_eq!(channel.free_in_place(end), 0);
            assert_eq!(channel.receive(1), Ok(message));
        }
    }
}

/// The ring knows how much room is missing for a message, with the slots before the end.
#[test]
fn missing() {
    for channel in channels(16) {
        for round in 0..60 {
            let used = round % 17;
            for payload in 0..used {
                channel.send(payload).unwrap();
            }
            let tail = channel.ring.tail_position();
            for slots in 1..=4 {
                let rest = 16 - tail % 16;
                let needed = if slots > rest { rest + slots } else { slots };
                assert_eq!(
                    channel.ring.missing(slots),
                    (used + needed).saturating_sub(16)
                );
            }
            assert_eq!(channel.ring.is_full(), channel.ring.missing(4) != 0);
            let slots = round % 4 + 1;
            let fits = channel.ring.missing(slots) == 0;
            let reserved = channel.reserve_span(slots);
            assert_eq!(reserved.as_ref().err(), (!fits).then_some(&NoRoom::Full));
            drop(reserved);
            while channel.receive(1).is_ok() {}
            channel.reclaim_all();
            assert_eq!(channel.head(), channel.ring.tail_position());
        }
    }
}

/// Nobody looks at each slot of a message, however many it takes, except its sender.
#[test]
fn passed_in_one_step() {
    const ENTRIES: u32 = 4096;
    for channel in channels(ENTRIES) {
        channel.attach(2);
        let looks = || channel.ring.memory().slot_looks();
        for payload in 0..40 {
            channel.send_span(1000, payload).unwrap();
            let before = looks();
            channel.receive(1).unwrap();
            if channel.is_broadcast() {
                channel.receive(2).unwrap();
            }
            assert!(channel.receive(1).is_err());
            channel.reclaim_all();
            assert_eq!(channel.head(), channel.ring.tail_position());
            assert!(looks() - before < 60, "{} looks", looks() - before);
        }
    }
}

/// A sender that misses many slots of a broadcast looks at each receiver a few times, and not once for
/// each step in which senders of short messages reclaim.
#[test]
fn much_room_at_once() {
    const ENTRIES: u32 = 8192;
    let channel = Channel::spanning(Mode::Broadcast, false, ENTRIES, 0);
    channel.attach(1);
    for payload in 0..ENTRIES {
        channel.send(payload).unwrap();
    }
    while channel.receive(1).is_ok() {}
    let before = channel.receiver_looks();
    channel.send_span(ENTRIES / 4, 0).unwrap();
    assert!(channel.receiver_looks() - before < 6);
}

/// A receiver whose cursor is within a message that it has not to receive holds up nobody.
#[test]
fn cursor_within() {
    for start in STARTS {
        let channel = Channel::spanning(Mode::Broadcast, true, 512, start);
        channel.attach(1);
        for round in 0..200 {
            let message = channel.send_span(100, round).unwrap();
            channel.store_position(1, message.position.wrapping_add(round % 100 + 1));
        }
        assert!(channel.receive(1).is_err());
        channel.reclaim_all();
        assert_eq!(channel.head(), channel.ring.tail_position());
    }
}
