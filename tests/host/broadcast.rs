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

/// A bundle looks at each slot once, and no more often in a large ring.
#[test]
fn bundle_looks_as_often_as_it_has_messages() {
    for entries in [1, 64, 4096] {
        let channel = Channel::broadcast(entries, 0);
        channel.attach(1);
        for round in 0..3 {
            fill(&channel, 0..entries);
            let before = channel.ring.memory().slot_looks();
            let messages = channel.receive_bundle(1, entries as usize + 1).unwrap();
            assert_eq!(messages.len(), entries as usize);
            let looks = channel.ring.memory().slot_looks() - before;
            // One more look at the slot after the last message.
            assert!(looks <= messages.len() as u64 + 2, "{looks}, round {round}");
        }
    }
}

/// A sender uses a slot again when the slowest receiver is past it, and not before.
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
        // Now receiver 1 is the slowest.
        assert!(receive_all(&channel, 2)
            .into_iter()
            .eq(entries..2 * entries));
        assert_eq!(channel.send(99), Err(NoRoom::Full));
        assert!(channel.receive(1).is_ok());
        assert!(channel.send(2 * entries).is_ok());
    }
}

/// A closed ring takes no more messages. All receivers get the messages that it has, and then
/// `Closed`.
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
        // Also a receiver that attaches too late.
        channel.attach(3);
        assert_eq!(channel.receive(3), Err(NoMessage::Closed));
    }
}

/// A sender may still publish a slot that it reserved before the ring was closed.
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

/// A reserved slot holds back the messages behind it until its sender publishes it.
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

/// Receivers skip a slot that its sender gave up, and a sender uses it again.
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

/// The next request finds a message that another request has put back.
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

/// While a request of a receiver has claimed a message, the other requests of this receiver find it
/// busy. Other receivers do not.
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
        channel.consume(claim);
        assert!(channel.claim_at(1, position).is_none());
        assert_eq!(channel.receive(1), EMPTY);
    }
}

/// No sender uses a slot again as long as a receiver has claimed its message.
#[test]
fn claim_keeps_the_slot() {
    for (channel, entries) in broadcasts() {
        channel.attach(1);
        fill(&channel, 0..entries);
        let claim = channel.claim(1).unwrap();
        assert_eq!(channel.send(99), Err(NoRoom::Full));
        assert_eq!(channel.read(&claim).payload, 0);
        channel.consume(claim);
        assert!(channel.send(entries).is_ok());
    }
}

/// Other receivers skip a message for one receiver.
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

/// A receiver does not hold slots with messages for other receivers, or that their sender gave up,
/// even if it never looks at them.
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

/// A receiver starts with the first message that is sent after it has joined. It holds the slots
/// from there on, and none before.
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

/// A receiver that joins while a slot is reserved does not get the message of this slot.
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

/// When the slowest receiver leaves, senders can use its slots at once.
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

/// A receiver that leaves while a request reads a message holds that slot until the request ends,
/// with or without consuming the message.
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
                channel.consume(claim);
            } else {
                drop(claim);
            }
            assert_eq!(channel.next(1), Err(NoMessage::Detached));
            channel.remove(1);
            fill(&channel, 0..entries);
        }
    }
}

/// A request cannot claim a message that it found before its receiver left.
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

/// Messages for a receiver that leaves before it has received them are dropped and counted, like
/// messages that are sent to it afterwards. Messages for other receivers are not.
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

/// Messages that a receiver has received are not dropped when the receiver leaves.
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

/// Messages for a receiver that leaves are counted before a sender uses their slots again.
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
        channel.reclaim_all();
        assert_eq!(channel.head(), channel.ring.tail_position());
        channel.attach(1);
        assert_eq!(channel.receive(1), EMPTY);
        fill(&channel, 0..entries);
        assert!(receive_all(&channel, 1).into_iter().eq(0..entries));
    }
}

/// A slot that a sender is writing is not given to another sender, even if no receiver waits for
/// it: no receiver has joined, or one has joined only after the slot was reserved.
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

/// `head` does not move backwards when a reclaimer has seen less than another one before.
#[test]
fn head_moves_forward_only() {
    for (channel, entries) in broadcasts() {
        channel.attach(1);
        fill(&channel, 0..entries);
        let mut reached = channel.head();
        channel.ring.reclaim_broadcast(1, |_, each| {
            // This reclaimer sees the cursor here, and another one overtakes it.
            each(channel.cursor(1), 1, false);
            receive_all(&channel, 1);
            channel.reclaim();
            assert!(is_ahead(channel.head(), reached));
            reached = channel.head();
        });
        assert!(is_ahead(channel.head(), reached));
        channel.reclaim_all();
        assert_eq!(channel.head(), channel.ring.tail_position());
    }
}

/// Whether `position` is `other` or after it.
fn is_ahead(position: u32, other: u32) -> bool {
    position.wrapping_sub(other) as i32 >= 0
}

/// One reclaim moves `head` by at most a quarter of the slots, or by one.
#[test]
fn reclaim_a_quarter() {
    for (channel, entries) in broadcasts() {
        assert_eq!(channel.ring.reclaim_step(), quarter(entries));
        fill(&channel, 0..entries);
        for reclaimed in (0..entries).step_by(quarter(entries) as usize) {
            assert_eq!(
                channel.ring.tail_position().wrapping_sub(channel.head()),
                entries - reclaimed
            );
            channel.reclaim();
        }
        assert_eq!(channel.head(), channel.ring.tail_position());
    }
}

/// By how much one reclaim moves `head` at most.
fn quarter(entries: u32) -> u32 {
    (entries / 4).max(1)
}

/// `head` does not overtake a receiver that reads slowly while another one joins. A reclaimer sees
/// the new receiver before it has joined, with a cursor that is behind `head` by then.
#[test]
fn head_and_a_cursor_that_is_behind() {
    for (channel, entries) in broadcasts() {
        let behind = channel.ring.new_cursor().into();
        channel.attach(1);
        for payload in 0..entries {
            channel.send(payload).unwrap();
            channel.receive(1).unwrap();
        }
        channel.reclaim_all();
        fill(&channel, 0..entries);
        let head = channel.head();
        for _ in 0..2 * entries {
            channel.ring.reclaim_broadcast(1, |_, each| {
                each(channel.cursor(1), 1, false);
                each(&behind, 2, false);
            });
            assert_eq!(channel.head(), head);
        }
        assert!(receive_all(&channel, 1).into_iter().eq(0..entries));
    }
}

/// A sender can reserve several slots at once.
/// Of the receivers at `head`, the ring names one that senders wait for, and no lossy one. So the
/// named one has made room once it goes on, wherever the lossy one is found.
#[test]
fn lossy_receivers_are_not_named() {
    for (channel, entries) in broadcasts() {
        for (lossy, strict) in [(1, 2), (2, 1)] {
            for id in [1, 2, 3] {
                channel.attach(id);
            }
            let position = channel.head();
            fill(&channel, 0..entries);
            channel.receive(3).unwrap();
            let reclaim = || {
                channel.ring.reclaim_broadcast(1, |_, each| {
                    let _ = [1, 2, 3]
                        .into_iter()
                        .any(|id| each(channel.cursor(id), id, id == lossy));
                });
            };
            reclaim();
            assert_eq!(channel.head(), position);
            assert_eq!(channel.ring.slowest(), strict);
            let made_room = |id| channel.ring.broadcast_made_room(id, position, id == lossy);
            assert!(made_room(strict));
            assert!(!made_room(3));
            // A sender may wait for it while it is reading.
            assert!(made_room(lossy));
            channel.receive(strict).unwrap();
            reclaim();
            assert_eq!(channel.head(), position);
            for id in [1, 2, 3] {
                receive_all(&channel, id);
                detach(&channel, id);
            }
            channel.reclaim_all();
        }
    }
}

#[test]
fn batches() {
    for (channel, entries) in broadcasts() {
        channel.attach(1);
        for round in 0..20 {
            let payloads: Vec<_> = (0..=entries).map(|payload| payload + round).collect();
            let sent = channel.send_up_to(&payloads).unwrap();
            // If the sender has to reclaim slots first, there is not room for all messages.
            assert!((1..=entries as usize).contains(&sent.len()));
            assert_eq!(receive_all(&channel, 1), payloads[..sent.len()]);
        }
    }
}

/// A receiver that joins at the oldest message of an empty ring gets the next message.
#[test]
fn join_at_oldest_of_none() {
    for (channel, entries) in broadcasts() {
        for round in 0..20 {
            channel.attach_at_oldest(1, 0);
            assert_eq!(channel.receive(1), EMPTY);
            fill(&channel, round..round + entries);
            assert_eq!(channel.send(99), Err(NoRoom::Full));
            assert!(receive_all(&channel, 1)
                .into_iter()
                .eq(round..round + entries));
            detach(&channel, 1);
            channel.reclaim_all();
        }
    }
}

/// A receiver that joins at the oldest message gets the last messages in order. A sender reclaims
/// only when the ring is full. So the ring still has as many messages as it has slots, less those
/// that one reclaim frees, plus the message that needed them.
#[test]
fn history() {
    for sent in 0..50 {
        for (channel, entries) in broadcasts() {
            fill(&channel, 0..sent);
            channel.attach_at_oldest(1, 0);
            let quarter = quarter(entries);
            let reclaimed = sent.saturating_sub(entries).div_ceil(quarter) * quarter;
            assert!(sent - reclaimed >= sent.min(entries - quarter + 1));
            assert!(receive_all(&channel, 1).into_iter().eq(reclaimed..sent));
        }
    }
}

/// A receiver that joins at the oldest message can leave room for senders.
#[test]
fn history_with_room() {
    for sent in 0..30 {
        for (entries, start) in rings() {
            for room in 0..=entries {
                let channel = Channel::broadcast(entries, start);
                fill(&channel, 0..sent);
                let oldest = channel.head().wrapping_sub(start);
                channel.attach_at_oldest(1, room);
                let first = oldest.max(sent.saturating_sub(entries - room));
                let free = entries - (sent - first);
                assert!(free >= room);
                fill(&channel, sent..sent + free);
                assert_eq!(channel.send(99), Err(NoRoom::Full));
                assert!(receive_all(&channel, 1).into_iter().eq(first..sent + free));
            }
        }
    }
}

/// The same, sent in batches: a batch gets only the room that there is.
#[test]
fn history_of_batches() {
    for (channel, entries) in broadcasts() {
        let mut sent = 0;
        for _ in 0..50 {
            let payloads: Vec<_> = (sent..sent + entries).collect();
            sent += channel.send_up_to(&payloads).unwrap().len() as u32;
        }
        channel.attach_at_oldest(1, 0);
        let received = receive_all(&channel, 1);
        assert!(received.len() as u32 > entries - quarter(entries));
        assert!((0..sent)
            .rev()
            .zip(received.into_iter().rev())
            .all(|(a, b)| a == b));
    }
}

/// A receiver that joins at the oldest message holds the slots from there on, and gets the messages
/// that other receivers still have to receive.
#[test]
fn join_at_oldest_beside_others() {
    for (channel, entries) in broadcasts() {
        channel.attach(1);
        fill(&channel, 0..entries);
        channel.attach_at_oldest(2, 0);
        channel.attach_at_oldest(3, 0);
        for id in [1, 2, 3] {
            assert_eq!(channel.send(99), Err(NoRoom::Full));
            assert!(receive_all(&channel, id).into_iter().eq(0..entries));
        }
        fill(&channel, entries..2 * entries - quarter(entries) + 1);
        assert_eq!(channel.cursor_position(1), channel.cursor_position(3));
    }
}

/// A receiver that joins at the oldest message skips slots that have no message for it.
#[test]
fn join_at_oldest_and_skip() {
    for (channel, entries) in broadcasts() {
        channel.attach(2);
        for payload in 0..entries {
            match payload % 4 {
                0 => drop(channel.reserve().unwrap()),
                1 => drop(channel.send_to(2, payload).unwrap()),
                2 => drop(channel.send_to(1, payload).unwrap()),
                _ => drop(channel.send(payload).unwrap()),
            }
        }
        channel.attach_at_oldest(1, 0);
        let own: Vec<_> = (0..entries).filter(|payload| payload % 4 > 1).collect();
        assert_eq!(receive_all(&channel, 1), own);
    }
}

/// A slot that is still being written holds back a receiver that joins there.
#[test]
fn join_at_oldest_and_a_reservation() {
    for (channel, entries) in broadcasts() {
        let slot = channel.reserve().unwrap();
        fill(&channel, 1..entries);
        channel.reclaim_all();
        channel.attach_at_oldest(1, 0);
        assert_eq!(channel.receive(1), EMPTY);
        channel.publish(slot, 0, 0);
        assert!(receive_all(&channel, 1).into_iter().eq(0..entries));
    }
}

/// A reclaimer that has not seen a receiver join at the oldest message does not move `head` after
/// that.
#[test]
fn join_at_oldest_while_slots_are_reclaimed() {
    for (channel, entries) in broadcasts() {
        fill(&channel, 0..entries);
        let mut times = 0;
        channel.ring.reclaim_broadcast(1, |_, each| {
            if times == 0 {
                // This receiver joins too late for this round to see it, so the reclaimer repeats
                // the round. Then it names the receiver, and looks at it once more.
                channel.attach_at_oldest(1, 0);
            } else {
                each(channel.cursor(1), 1, false);
            }
            times += 1;
        });
        assert_eq!(times, 3);
        assert!(receive_all(&channel, 1).into_iter().eq(0..entries));
    }
}

/// Receivers that join at the oldest message and leave all the time do not hold up a sender
/// forever.
#[test]
fn join_at_oldest_all_the_time() {
    for (channel, entries) in broadcasts() {
        fill(&channel, 0..entries);
        let mut times = 0;
        channel.ring.reclaim_broadcast(1, |_, _| {
            channel.attach_at_oldest(1, 0);
            detach(&channel, 1);
            times += 1;
            assert!(times < 100);
        });
        channel.reclaim();
        assert_ne!(channel.send(99), Err(NoRoom::Full));
    }
}

/// The ring accepts a position that a receiver has stored if it is from its cursor up to `tail`,
/// and ignores any other.
#[test]
fn accept() {
    for (channel, entries) in broadcasts() {
        for received in 0..=entries {
            let near = (0..3 * entries).flat_map(|by| [by, by.wrapping_neg()]);
            let far = [i32::MAX as u32, i32::MIN as u32].into_iter();
            let far = far.flat_map(|by| (0..entries).map(move |more| by.wrapping_add(more)));
            for by in near.chain(far) {
                channel.attach(1);
                fill(&channel, 0..entries);
                (0..received).for_each(|_| assert!(channel.receive(1).is_ok()));
                let before = channel.cursor_position(1);
                let position = before.wrapping_add(by);
                channel.ring.broadcast_accept(channel.cursor(1), position);
                let left = entries - received;
                let (expected, left) = if by <= left {
                    (position, left - by)
                } else {
                    (before, left)
                };
                assert_eq!(channel.cursor_position(1), expected);
                assert!(receive_all(&channel, 1)
                    .into_iter()
                    .eq(entries - left..entries));
                detach(&channel, 1);
                channel.reclaim_all();
            }
        }
    }
}

/// A position that a receiver has stored makes room, but not in slots that are still being written.
#[test]
fn accept_makes_room() {
    for (channel, entries) in broadcasts() {
        channel.attach(1);
        let slot = channel.reserve().unwrap();
        fill(&channel, 1..entries);
        let tail = channel.ring.tail_position();
        channel.ring.broadcast_accept(channel.cursor(1), tail);
        assert_eq!(channel.receive(1), EMPTY);
        assert_eq!(channel.send(99), Err(NoRoom::Full));
        channel.publish(slot, 0, 0);
        assert!(channel.send(entries).is_ok());
        assert_eq!(receive_all(&channel, 1), [entries]);
    }
}

/// The ring ignores a stored position while a request of the receiver reads a message, and after
/// the receiver has left.
#[test]
fn accept_in_vain() {
    for (channel, entries) in broadcasts() {
        let lie = |channel: &Channel| {
            let tail = channel.ring.tail_position();
            channel.ring.broadcast_accept(channel.cursor(1), tail);
        };
        channel.attach(1);
        fill(&channel, 0..entries);
        let claim = channel.claim(1).unwrap();
        lie(&channel);
        assert_eq!(channel.send(99), Err(NoRoom::Full));
        assert_eq!(channel.read(&claim).payload, 0);
        drop(claim);
        assert!(!channel.leave(1));
        lie(&channel);
        assert_eq!(channel.send(99), Err(NoRoom::Full));
        assert_eq!(channel.receive(1), Err(NoMessage::Detached));
        channel.remove(1);
    }
}

/// A request cannot claim a message that it has found once the receiver has stored a position after
/// it.
#[test]
fn claim_after_accept() {
    for (channel, _) in broadcasts() {
        channel.attach(1);
        channel.send(7).unwrap();
        let position = channel.next(1).unwrap();
        channel
            .ring
            .broadcast_accept(channel.cursor(1), position.wrapping_add(1));
        assert!(channel.claim_at(1, position).is_none());
        assert_eq!(channel.receive(1), EMPTY);
    }
}

/// Receivers that read in place, beside one that copies.
#[test]
fn in_place() {
    for (entries, start) in rings() {
        let channel = Channel::mapped(entries, start);
        channel.attach(1);
        channel.attach(2);
        let mut position = channel.cursor_position(1);
        for round in 0..20 {
            let first = round * entries;
            fill(&channel, first..first + entries);
            assert!(receive_all(&channel, 2)
                .into_iter()
                .eq(first..first + entries));
            for payload in first..first + entries {
                let message = Message { position, payload };
                assert_eq!(channel.read_in_place(position), Some(message));
                assert_eq!(channel.count(1), Ok(first + entries - payload));
                position = position.wrapping_add(1);
                channel.store_position(1, position);
            }
            assert_eq!(channel.read_in_place(position), None);
            assert_eq!(channel.count(1), Err(NoMessage::Empty));
        }
    }
}

/// Counting finds the messages that a receiver could receive, and leaves them there.
#[test]
fn count() {
    for (channel, entries) in broadcasts() {
        channel.attach(1);
        channel.attach(2);
        assert_eq!(channel.count(1), Err(NoMessage::Empty));
        for payload in 0..entries {
            channel.send(payload).unwrap();
            assert_eq!(channel.count(1), Ok(payload + 1));
        }
        assert!(receive_all(&channel, 2).into_iter().eq(0..entries));
        for payload in 0..entries {
            assert_eq!(channel.count(1), Ok(entries - payload));
            assert_eq!(channel.receive(1).unwrap().payload, payload);
        }
        assert_eq!(channel.count(1), Err(NoMessage::Empty));
        channel.ring.close();
        assert_eq!(channel.count(1), Err(NoMessage::Closed));
    }
}

/// Counting skips slots that have no message for the receiver, and ends at a slot that a sender
/// still writes.
#[test]
fn count_own() {
    for (channel, entries) in broadcasts().filter(|(_, entries)| *entries > 2) {
        channel.attach(1);
        channel.attach(2);
        for _ in 0..20 {
            drop(channel.reserve().unwrap());
            channel.send_to(2, 0).unwrap();
            channel.send_to(1, 1).unwrap();
            drop(channel.reserve().unwrap());
            channel.send(2).unwrap();
            let slot = channel.reserve().unwrap();
            fill(&channel, 6..entries);
            assert_eq!([1, 2].map(|id| channel.count(id)), [Ok(2), Ok(2)]);
            channel.publish(slot, 2, 5);
            assert_eq!(
                [1, 2].map(|id| channel.count(id)),
                [Ok(entries - 4), Ok(entries - 3)]
            );
            assert_eq!(receive_all(&channel, 1).len() as u32, entries - 4);
            assert_eq!(receive_all(&channel, 2).len() as u32, entries - 3);
        }
    }
}

/// There is nothing to count for a receiver that reads a message or has left.
#[test]
fn count_nothing() {
    for (channel, _) in broadcasts() {
        channel.attach(1);
        channel.send(7).unwrap();
        let claim = channel.claim(1).unwrap();
        assert_eq!(channel.count(1), Err(NoMessage::Busy));
        drop(claim);
        detach(&channel, 1);
        assert_eq!(channel.count(1), Err(NoMessage::Detached));
    }
}

/// One claim can take all messages, many times around. The messages keep their slots as long as the
/// claim exists.
#[test]
fn step() {
    for (channel, entries) in broadcasts() {
        channel.attach(1);
        for _ in 0..20 {
            fill(&channel, 0..entries);
            let mut claim = channel.claim(1).unwrap();
            for payload in 0..entries {
                assert_eq!(channel.read(&claim).payload, payload);
                assert_eq!(channel.next(1), Err(NoMessage::Busy));
                assert_eq!(channel.send(99), Err(NoRoom::Full));
                assert_eq!(claim.step(1), payload + 1 < entries);
            }
            assert_eq!(channel.read(&claim).payload, entries - 1);
            channel.consume(claim);
            assert_eq!(channel.receive(1), EMPTY);
        }
    }
}

/// A claim that has gone on to a message has consumed those before it, even if that message is put
/// back.
#[test]
fn step_and_put_back() {
    for (channel, entries) in broadcasts() {
        for steps in 0..entries {
            channel.attach(1);
            fill(&channel, 0..entries);
            let mut claim = channel.claim(1).unwrap();
            (0..steps).for_each(|_| assert!(claim.step(1)));
            drop(claim);
            assert!(channel.send(entries).is_ok() == (steps > 0));
            let left = steps..entries + u32::from(steps > 0);
            assert!(receive_all(&channel, 1).into_iter().eq(left));
            detach(&channel, 1);
            channel.reclaim_all();
        }
    }
}

/// A claim skips slots that have no message for the receiver, and does not skip slots that are
/// still being written.
#[test]
fn step_and_skip() {
    for (channel, entries) in broadcasts().filter(|(_, entries)| *entries > 2) {
        channel.attach(1);
        channel.attach(2);
        for _ in 0..20 {
            let start = channel.send_to(1, 0).unwrap().position;
            drop(channel.reserve().unwrap());
            channel.send_to(2, 0).unwrap();
            channel.send(3).unwrap();
            let slot = channel.reserve().unwrap();
            fill(&channel, 5..entries);
            let mut claim = channel.claim(1).unwrap();
            assert!(claim.step(1));
            assert_eq!(claim.position(), start.wrapping_add(3));
            assert!(!claim.step(1));
            assert_eq!(channel.read(&claim).payload, 3);
            channel.publish(slot, 2, 4);
            for payload in 5..entries {
                assert!(claim.step(1));
                assert_eq!(channel.read(&claim).payload, payload);
            }
            assert!(!claim.step(1));
            channel.consume(claim);
            assert_eq!(channel.receive(1), EMPTY);
            assert_eq!(
                channel.receive_bundle(2, 99).unwrap().len() as u32,
                entries - 2
            );
        }
    }
}

/// A receiver that leaves while one of its requests steps through messages holds the slots until
/// the claim ends.
#[test]
fn step_and_leave() {
    for (channel, entries) in broadcasts() {
        for consume in [false, true] {
            channel.attach(1);
            fill(&channel, 0..entries);
            let mut claim = channel.claim(1).unwrap();
            assert!(channel.leave(1));
            for payload in 1..entries {
                assert!(claim.step(1));
                assert_eq!(channel.send(99), Err(NoRoom::Full));
                assert_eq!(channel.read(&claim).payload, payload);
            }
            if consume {
                channel.consume(claim);
            } else {
                drop(claim);
            }
            channel.remove(1);
            assert!(channel.send(99).is_ok());
            channel.reclaim_all();
        }
    }
}

/// The messages that a claim steps over while its receiver has left are received and not dropped,
/// although a sender looks for messages to drop. Those after them are dropped.
#[test]
fn step_and_drop_targeted() {
    for (channel, entries) in broadcasts().filter(|(_, entries)| *entries > 2) {
        channel.attach(1);
        for payload in 0..entries - 1 {
            channel.send_to(1, payload).unwrap();
        }
        let mut claim = channel.claim(1).unwrap();
        assert!(claim.step(1));
        assert!(channel.leave(1));
        channel.send_to(1, 99).unwrap();
        assert_eq!(channel.read(&claim).payload, 1);
        channel.consume(claim);
        channel.remove(1);
        assert_eq!(channel.dropped(), entries - 2);
    }
}

/// The oldest message is taken away from the receivers that have not received it, except from one
/// that is reading it.
#[test]
fn overwrite() {
    for (channel, entries) in broadcasts() {
        let start = channel.head();
        (1..=3).for_each(|id| channel.attach(id));
        fill(&channel, 0..entries);
        channel.receive(1).unwrap();
        let claim = channel.claim(2).unwrap();
        assert_eq!(channel.overwrite_oldest(1), [start]);
        assert_eq!([1, 2, 3].map(|id| channel.lost(id)), [0, 0, 1]);
        assert_eq!(channel.send(99), Err(NoRoom::Full));
        drop(claim);
        assert_eq!(channel.overwrite_oldest(1), [start]);
        assert_eq!([1, 2, 3].map(|id| channel.lost(id)), [0, 1, 1]);
        assert!(channel.send(entries).is_ok());
        for id in [1, 2, 3] {
            assert!(receive_all(&channel, id).into_iter().eq(1..=entries));
        }
    }
}

/// Several messages are taken away at once, if they are among the oldest.
#[test]
fn overwrite_several() {
    for (channel, entries) in broadcasts().filter(|(_, entries)| *entries > 2) {
        let start = channel.head();
        (1..=2).for_each(|id| channel.attach(id));
        for payload in 0..entries {
            match payload {
                1 => channel.send_to(2, payload).unwrap(),
                _ => channel.send(payload).unwrap(),
            };
        }
        (0..3).for_each(|_| assert!(channel.receive(2).is_ok()));
        let positions = |offsets: &[u32]| -> Vec<_> {
            offsets.iter().map(|by| start.wrapping_add(*by)).collect()
        };
        assert_eq!(channel.overwrite_oldest(3), positions(&[0, 2]));
        assert_eq!(channel.overwrite_oldest(3), []);
        assert_eq!([1, 2].map(|id| channel.lost(id)), [2, 0]);
        assert_eq!(channel.overwrite_oldest(5), positions(&[3, 4, 3, 4]));
        for id in [1, 2] {
            assert!(receive_all(&channel, id).into_iter().eq(5..entries));
        }
        fill(&channel, 0..entries);
        assert_eq!(channel.overwrite_oldest(99).len() as u32, 2 * entries);
        assert_eq!(channel.receive(1), EMPTY);
    }
}

/// A sender that finds the ring full moves the cursors of receivers over messages for others, but
/// not farther than it can reclaim.
#[test]
fn work_of_one_reclaim() {
    let entries = 4096;
    let channel = Channel::broadcast(entries, u32::MAX - 100);
    (1..=3).for_each(|id| channel.attach(id));
    for payload in 0..entries {
        channel.send_to(3, payload).unwrap();
    }
    assert_eq!(receive_all(&channel, 3).len() as u32, entries);
    let before = channel.ring.memory().slot_looks();
    channel.send(7).unwrap();
    let looks = channel.ring.memory().slot_looks() - before;
    assert!(looks < 300, "{looks} looks");
    assert_eq!(channel.receive(1).unwrap().payload, 7);
}
