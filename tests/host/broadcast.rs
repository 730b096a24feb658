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
            // And at the one after the last.
            assert!(looks <= messages.len() as u64 + 2, "{looks}, round {round}");
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
        channel.consume(claim);
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
        channel.consume(claim);
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
        channel.reclaim_all();
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
        let mut reached = channel.head();
        channel.ring.reclaim_broadcast(|each| {
            // Sees the cursor here, and is overtaken.
            each(channel.cursor(1), 1);
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

/// Reclaiming moves `head` by a quarter of the slots, or one, at once.
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

/// By how much `head` moves at most when slots are reclaimed.
fn quarter(entries: u32) -> u32 {
    (entries / 4).max(1)
}

/// A receiver that reads slowly while another one joins is not overtaken by `head`. The new one is
/// seen before it has joined, with a cursor that is behind `head` by then.
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
            channel.ring.reclaim_broadcast(|each| {
                each(channel.cursor(1), 1);
                each(&behind, 2);
            });
            assert_eq!(channel.head(), head);
        }
        assert!(receive_all(&channel, 1).into_iter().eq(0..entries));
    }
}

/// Several slots can be reserved at once.
#[test]
fn batches() {
    for (channel, entries) in broadcasts() {
        channel.attach(1);
        for round in 0..20 {
            let payloads: Vec<_> = (0..=entries).map(|payload| payload + round).collect();
            let sent = channel.send_up_to(&payloads).unwrap();
            // When the slots are reclaimed first, there is not room for all.
            assert!((1..=entries as usize).contains(&sent.len()));
            assert_eq!(receive_all(&channel, 1), payloads[..sent.len()]);
        }
    }
}

/// A receiver that begins with the oldest message of an empty ring gets what is sent next.
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

/// A receiver that begins with the oldest message gets the last ones, one after the other. As slots
/// are reclaimed only when the ring is full, at least as many are left as it has slots, without
/// those that are reclaimed at once, and with the one that needed them.
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

/// A receiver that begins with the oldest message can leave room for senders.
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

/// The same, sent in batches: those get only the room that there is.
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

/// A receiver that begins with the oldest message holds the slots from there on, and gets those
/// that others still have to receive.
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

/// A receiver that begins with the oldest message skips what it has no use for.
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

/// A slot that is still being written holds back a receiver that begins there.
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

/// One who reclaims and has not seen a receiver that joins at the oldest message does not move
/// `head` after that.
#[test]
fn join_at_oldest_while_slots_are_reclaimed() {
    for (channel, entries) in broadcasts() {
        fill(&channel, 0..entries);
        let mut times = 0;
        channel.ring.reclaim_broadcast(|each| {
            if times == 0 {
                // Comes too late to be seen by this round, which has to be repeated.
                channel.attach_at_oldest(1, 0);
            } else {
                each(channel.cursor(1), 1);
            }
            times += 1;
        });
        assert_eq!(times, 2);
        assert!(receive_all(&channel, 1).into_iter().eq(0..entries));
    }
}

/// Receivers that join at the oldest message and leave all the time do not keep a sender for ever.
#[test]
fn join_at_oldest_all_the_time() {
    for (channel, entries) in broadcasts() {
        fill(&channel, 0..entries);
        let mut times = 0;
        channel.ring.reclaim_broadcast(|_| {
            channel.attach_at_oldest(1, 0);
            detach(&channel, 1);
            times += 1;
            assert!(times < 100);
        });
        channel.reclaim();
        assert_ne!(channel.send(99), Err(NoRoom::Full));
    }
}

/// What a receiver says that it has read is believed from where it stands up to `tail`, and not
/// otherwise.
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

/// What a receiver says that it has read makes room, but not in slots that are still being written.
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

/// What a receiver says is not believed while a request of it reads a message, or when it has left.
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

/// A message that was found is not there any more once the receiver says that it has read it.
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

/// Receivers that read in place, beside one that does not.
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

/// Counting finds what could be received, and leaves it there.
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

/// Counting leaves out what the receiver has no use for, and ends where somebody still writes.
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

/// Nothing can be counted for a receiver that reads or has left.
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

/// All messages can be taken with one claim, many times around. They keep their slots as long as it
/// exists.
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

/// A claim that has gone on to a message is done with those before, also if that is put back.
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

/// A claim goes over what the receiver has no use for, and not over what is still being written.
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

/// A receiver that leaves while a claim of it goes on keeps the slots until that ends.
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

/// Messages that a claim goes over while its receiver has left are received and not dropped,
/// although a sender looks for what to drop. Those after it are dropped.
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

/// The oldest message is taken away from those who have not received it, if they do not just read
/// it.
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

/// Several messages are taken away at once, as far as they are among the oldest.
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

/// A sender that finds the ring full moves the cursors of others over what is not for them no farther
/// than it can reclaim.
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
