// SPDX-License-Identifier: GPL-2.0

//! Tests of the ring as a broadcast: each message goes to all receivers.

#![cfg(not(loom))]

use host::{
    channel::{Channel, Message},
    ring::{NoMessage, NoRoom},
    rings,
};

const EMPTY: Result<Message, NoMessage> = Err(NoMessage::Empty);

/// Broadcasts of all sizes, with positions that wrap and that do not.
fn broadcasts() -> impl Iterator<Item = (Channel, u32)> {
    rings().map(|(entries, start)| (Channel::broadcast(entries, start), entries))
}

/// The payloads that `id` can receive now.
fn receive_all(channel: &Channel, id: u32) -> Vec<u32> {
    std::iter::from_fn(|| Some(channel.receive(id).ok()?.payload)).collect()
}

fn fill(channel: &Channel, payloads: std::ops::Range<u32>) {
    payloads.for_each(|payload| {
        channel.send(payload).unwrap();
    });
}

fn detach(channel: &Channel, id: u32) {
    assert!(!channel.leave(id));
    channel.remove(id);
}

/// All receivers get all messages in the same order at the same positions, many times around.
#[test]
fn everybody_gets_everything() {
    for (channel, entries) in broadcasts() {
        let start = channel.head();
        channel.attach(1);
        channel.attach(2);
        for round in 0..20 {
            let first = round * entries;
            fill(&channel, first..first + entries);
            for id in [1, 2] {
                for payload in first..first + entries {
                    let position = start.wrapping_add(payload);
                    assert_eq!(channel.receive(id), Ok(Message { position, payload }));
                }
                assert_eq!(channel.receive(id), EMPTY);
            }
        }
    }
}

/// A slot is used again when the slowest receiver is past it, and not before.
#[test]
fn full() {
    for (channel, entries) in broadcasts() {
        channel.attach(1);
        channel.attach(2);
        fill(&channel, 0..entries);
        assert!(receive_all(&channel, 1).into_iter().eq(0..entries));
        for payload in entries..2 * entries {
            assert_eq!(channel.send(99), Err(NoRoom::Full));
            assert!(channel.receive(2).is_ok());
            assert!(channel.send(payload).is_ok());
        }
        // Now the first one is the slowest.
        assert!(receive_all(&channel, 2)
            .into_iter()
            .eq(entries..2 * entries));
        assert_eq!(channel.send(99), Err(NoRoom::Full));
        assert!(channel.receive(1).is_ok());
        assert!(channel.send(2 * entries).is_ok());
    }
}

/// A closed ring takes nothing more, gives everybody what it has, and then says that it is closed.
#[test]
fn close() {
    for (channel, entries) in broadcasts() {
        channel.attach(1);
        channel.attach(2);
        fill(&channel, 0..entries);
        assert!(channel.ring.close());
        assert_eq!(channel.send(99), Err(NoRoom::Closed));
        for id in [1, 2] {
            assert!(receive_all(&channel, id).into_iter().eq(0..entries));
            assert_eq!(channel.receive(id), Err(NoMessage::Closed));
        }
        // Also for one that comes too late.
        channel.attach(3);
        assert_eq!(channel.receive(3), Err(NoMessage::Closed));
    }
}

/// A slot that was reserved before the ring was closed may still bring a message.
#[test]
fn close_with_a_reservation() {
    for (channel, _) in broadcasts() {
        channel.attach(1);
        let slot = channel.reserve().unwrap();
        channel.ring.close();
        assert_eq!(channel.receive(1), EMPTY);
        let message = channel.publish(slot, 0, 7);
        assert_eq!(channel.receive(1), Ok(message));
        assert_eq!(channel.receive(1), Err(NoMessage::Closed));
    }
}

/// A slot that is reserved holds back the messages behind it, until its own is there.
#[test]
fn reservation_holds_back() {
    for (channel, entries) in broadcasts() {
        channel.attach(1);
        let slot = channel.reserve().unwrap();
        fill(&channel, 1..entries);
        assert_eq!(channel.receive(1), EMPTY);
        channel.publish(slot, 0, 0);
        assert!(receive_all(&channel, 1).into_iter().eq(0..entries));
    }
}

/// A slot that is given up is skipped, and used again.
#[test]
fn skip() {
    for (channel, entries) in broadcasts() {
        channel.attach(1);
        for round in 0..20 {
            let slots: Vec<_> = (0..entries).map(|_| channel.reserve().unwrap()).collect();
            assert_eq!(channel.reserve().err(), Some(NoRoom::Full));
            for (payload, slot) in (0..).zip(slots) {
                if (payload + round) % 3 == 0 {
                    channel.publish(slot, 0, payload);
                }
            }
            let published = (0..entries).filter(|payload| (payload + round) % 3 == 0);
            assert!(receive_all(&channel, 1).into_iter().eq(published));
        }
    }
}

/// A message that is put back is the next one again.
#[test]
fn put_back() {
    for (channel, entries) in broadcasts() {
        channel.attach(1);
        fill(&channel, 0..entries);
        for payload in 0..entries {
            drop(channel.claim(1).unwrap());
            assert_eq!(channel.receive(1).unwrap().payload, payload);
        }
    }
}

/// While one request of a receiver has a message in hand, the others of it have to wait, and their
/// receiver alone.
#[test]
fn busy() {
    for (channel, _) in broadcasts() {
        channel.attach(1);
        channel.attach(2);
        let message = channel.send(7).unwrap();
        let position = channel.next(1).unwrap();
        let claim = channel.claim(1).unwrap();
        assert!(channel.claim_at(1, position).is_none());
        assert_eq!(channel.next(1), Err(NoMessage::Busy));
        assert_eq!(channel.receive(2), Ok(message));
        claim.consume();
        assert!(channel.claim_at(1, position).is_none());
        assert_eq!(channel.receive(1), EMPTY);
    }
}

/// A slot is not used again as long as a receiver has its message in hand.
#[test]
fn claim_keeps_the_slot() {
    for (channel, entries) in broadcasts() {
        channel.attach(1);
        fill(&channel, 0..entries);
        let claim = channel.claim(1).unwrap();
        assert_eq!(channel.send(99), Err(NoRoom::Full));
        assert_eq!(channel.read(&claim).payload, 0);
        claim.consume();
        assert!(channel.send(entries).is_ok());
    }
}

/// A message for one receiver is skipped by the others.
#[test]
fn targeted() {
    for (channel, entries) in broadcasts() {
        channel.attach(1);
        channel.attach(2);
        for _ in 0..20 {
            for payload in 0..entries {
                channel.send_to(1 + payload % 2, payload).unwrap();
            }
            for id in [1, 2] {
                let own: Vec<_> = (0..entries).filter(|p| 1 + p % 2 == id).collect();
                assert_eq!(receive_all(&channel, id), own);
            }
        }
    }
}

/// A receiver holds no slots up with messages for others, or that were given up, also if it never
/// looks at them.
#[test]
fn holds_only_its_own() {
    for (channel, entries) in broadcasts() {
        channel.attach(1);
        channel.attach(2);
        for payload in 0..10 * entries {
            drop(channel.reserve().unwrap());
            channel.send_to(2, payload).unwrap();
            assert_eq!(channel.receive(2).unwrap().payload, payload);
        }
        channel.send_to(1, 7).unwrap();
        for payload in 1..entries {
            channel.send_to(2, payload).unwrap();
        }
        receive_all(&channel, 2);
        assert_eq!(channel.send(99), Err(NoRoom::Full));
    }
}

/// A receiver begins with the first message that is sent after it has joined, and holds the slots
/// from there on, not those before.
#[test]
fn late_joiner() {
    for (channel, entries) in broadcasts() {
        channel.attach(1);
        fill(&channel, 0..entries);
        channel.attach(2);
        assert_eq!(channel.receive(2), EMPTY);
        assert!(receive_all(&channel, 1).into_iter().eq(0..entries));
        fill(&channel, entries..2 * entries);
        for id in [1, 2] {
            assert!(receive_all(&channel, id)
                .into_iter()
                .eq(entries..2 * entries));
        }
    }
}

/// Who joins while a slot is reserved does not get its message.
#[test]
fn late_joiner_and_a_reservation() {
    for (channel, entries) in broadcasts().filter(|(_, entries)| *entries > 1) {
        let slot = channel.reserve().unwrap();
        channel.attach(1);
        fill(&channel, 1..entries);
        channel.publish(slot, 0, 0);
        assert!(receive_all(&channel, 1).into_iter().eq(1..entries));
    }
}

/// When the slowest receiver leaves, its slots can be used at once.
#[test]
fn leave_frees_the_slots() {
    for (channel, entries) in broadcasts() {
        channel.attach(1);
        channel.attach(2);
        fill(&channel, 0..entries);
        receive_all(&channel, 1);
        assert_eq!(channel.send(99), Err(NoRoom::Full));
        assert!(!channel.leave(2));
        assert_eq!(channel.next(2), Err(NoMessage::Detached));
        assert_eq!(channel.send(99), Err(NoRoom::Full));
        channel.remove(2);
        fill(&channel, entries..2 * entries);
        assert!(receive_all(&channel, 1)
            .into_iter()
            .eq(entries..2 * entries));
    }
}

/// A receiver that leaves while a request reads a message keeps that slot until the request ends,
/// however it ends.
#[test]
fn leave_while_busy() {
    for (channel, entries) in broadcasts() {
        for consume in [false, true] {
            channel.attach(1);
            fill(&channel, 0..entries);
            let claim = channel.claim(1).unwrap();
            assert!(channel.leave(1));
            assert_eq!(channel.next(1), Err(NoMessage::Detached));
            assert_eq!(channel.send(99), Err(NoRoom::Full));
            assert_eq!(channel.read(&claim).payload, 0);
            if consume {
                claim.consume();
            } else {
                drop(claim);
            }
            assert_eq!(channel.next(1), Err(NoMessage::Detached));
            channel.remove(1);
            fill(&channel, 0..entries);
        }
    }
}

/// A message that a request had found before its receiver left cannot be claimed any more.
#[test]
fn claim_after_leaving() {
    for (channel, _) in broadcasts() {
        channel.attach(1);
        channel.send(7).unwrap();
        let position = channel.next(1).unwrap();
        detach(&channel, 1);
        assert!(channel.claim_at(1, position).is_none());
    }
}

/// Messages for a receiver that leaves before it has received them are dropped and counted, and so
/// are those that are sent to it afterwards. Those for others are not.
#[test]
fn drop_targeted() {
    for (channel, entries) in broadcasts().filter(|(_, entries)| *entries > 1) {
        channel.attach(1);
        channel.attach(2);
        for payload in 0..entries {
            channel.send_to(1 + payload % 2, payload).unwrap();
        }
        detach(&channel, 1);
        assert_eq!(channel.dropped(), entries / 2);
        let second: Vec<_> = (0..entries).filter(|payload| payload % 2 == 1).collect();
        assert_eq!(receive_all(&channel, 2), second);
        channel.send_to(1, 7).unwrap();
        assert_eq!(channel.dropped(), entries / 2 + 1);
        assert_eq!(channel.receive(2), EMPTY);
    }
}

/// Messages that a receiver has received are not dropped when it leaves.
#[test]
fn drop_targeted_spares_what_was_received() {
    for (channel, entries) in broadcasts() {
        channel.attach(1);
        for payload in 0..entries {
            channel.send_to(1, payload).unwrap();
        }
        assert!(channel.receive(1).is_ok());
        detach(&channel, 1);
        assert_eq!(channel.dropped(), entries - 1);
    }
}

/// Slots with messages for a receiver that leaves are not used again before these are counted.
#[test]
fn drop_targeted_comes_before_the_slots_are_used_again() {
    for (channel, entries) in broadcasts() {
        channel.attach(1);
        for payload in 0..entries {
            channel.send_to(1, payload).unwrap();
        }
        assert!(!channel.leave(1));
        assert_eq!(channel.send(99), Err(NoRoom::Full));
        channel.remove(1);
        assert_eq!(channel.dropped(), entries);
        fill(&channel, 0..entries);
    }
}

/// Without receivers there is always room.
#[test]
fn nobody() {
    for (channel, entries) in broadcasts() {
        fill(&channel, 0..20 * entries);
        channel.reclaim();
        assert_eq!(channel.head(), channel.ring.tail_position());
        channel.attach(1);
        assert_eq!(channel.receive(1), EMPTY);
        fill(&channel, 0..entries);
        assert!(receive_all(&channel, 1).into_iter().eq(0..entries));
    }
}

/// A slot that a sender is writing is not given to another sender, also when no receiver waits
/// for it: nobody has joined, or only after it was reserved.
#[test]
fn reservation_keeps_the_slot() {
    for (channel, entries) in broadcasts() {
        for joined in [false, true] {
            let slot = channel.reserve().unwrap();
            if joined {
                channel.attach(1);
            }
            fill(&channel, 1..entries);
            receive_all(&channel, 1);
            assert_eq!(channel.send(99), Err(NoRoom::Full));
            channel.publish(slot, 0, 0);
            fill(&channel, 0..entries);
            if joined {
                assert!(receive_all(&channel, 1).into_iter().eq(0..entries));
                detach(&channel, 1);
            }
        }
    }
}

/// `head` does not move backwards when one who reclaims has seen less than another before.
#[test]
fn head_moves_forward_only() {
    for (channel, entries) in broadcasts() {
        channel.attach(1);
        fill(&channel, 0..entries);
        channel.ring.reclaim_broadcast(|each| {
            // Sees the cursor here, and is overtaken.
            each(channel.cursor(1), 1);
            receive_all(&channel, 1);
            channel.reclaim();
        });
        assert_eq!(channel.head(), channel.ring.tail_position());
    }
}
