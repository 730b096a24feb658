// SPDX-License-Identifier: GPL-2.0

//! Tests of the ring as a queue: each message goes to one receiver.

#![cfg(not(loom))]

use std::sync::atomic::Ordering;

use host::{
    channel::{Channel, Message},
    ring::{Memory, NoMessage, NoRoom, Published},
    rings,
};

const EMPTY: Result<Message, NoMessage> = Err(NoMessage::Empty);

/// Queues of all sizes, with positions that wrap and that do not.
fn queues() -> impl Iterator<Item = (Channel, u32)> {
    rings().map(|(entries, start)| (Channel::queue(entries, start), entries))
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

/// Messages come out in the order of sending, at consecutive positions, many times around the ring.
#[test]
fn first_in_first_out() {
    for (channel, entries) in queues() {
        let start = channel.head();
        for round in 0..20 {
            let first = round * entries;
            fill(&channel, first..first + entries);
            for payload in first..first + entries {
                let position = start.wrapping_add(payload);
                assert_eq!(channel.receive(1), Ok(Message { position, payload }));
            }
            assert_eq!(channel.receive(1), EMPTY);
        }
        assert_eq!(channel.head(), channel.ring.tail_position());
    }
}

/// A ring holds as many messages as it has entries, and each message received makes room for one.
#[test]
fn full() {
    for (channel, entries) in queues() {
        fill(&channel, 0..entries);
        for payload in entries..3 * entries {
            assert_eq!(channel.send(99), Err(NoRoom::Full));
            assert!(channel.receive(1).is_ok());
            assert!(channel.send(payload).is_ok());
        }
        assert_eq!(channel.send(99), Err(NoRoom::Full));
        assert!(receive_all(&channel, 1)
            .into_iter()
            .eq(2 * entries..3 * entries));
    }
}

/// A closed ring takes no more messages. Receivers get the messages that it has, and then `Closed`.
#[test]
fn close() {
    for (channel, entries) in queues() {
        fill(&channel, 0..entries);
        assert!(channel.ring.close());
        assert!(!channel.ring.close());
        assert_eq!(channel.send(99), Err(NoRoom::Closed));
        assert!(receive_all(&channel, 1).into_iter().eq(0..entries));
        assert_eq!(channel.receive(1), Err(NoMessage::Closed));
        assert_eq!(channel.send(99), Err(NoRoom::Closed));
    }
}

/// A sender may still publish a slot that it reserved before the ring was closed.
#[test]
fn close_with_a_reservation() {
    for (channel, _) in queues() {
        let slot = channel.reserve().unwrap();
        channel.ring.close();
        assert_eq!(channel.receive(1), EMPTY);
        let message = channel.publish(slot, 0, 7);
        assert_eq!(channel.receive(1), Ok(message));
        assert_eq!(channel.receive(1), Err(NoMessage::Closed));
    }
}

/// Or give it up.
#[test]
fn close_with_a_reservation_that_is_given_up() {
    for (channel, _) in queues() {
        let slot = channel.reserve().unwrap();
        channel.ring.close();
        drop(slot);
        assert_eq!(channel.receive(1), Err(NoMessage::Closed));
    }
}

/// A message that a receiver has claimed may come back, also when the ring is closed.
#[test]
fn close_with_a_claim() {
    for (channel, _) in queues() {
        let message = channel.send(7).unwrap();
        let claim = channel.claim(1).unwrap();
        channel.ring.close();
        assert_eq!(channel.receive(2), EMPTY);
        drop(claim);
        let claim = channel.claim(2).unwrap();
        assert_eq!(channel.read(&claim), message);
        assert_eq!(channel.receive(1), EMPTY);
        channel.consume(claim);
        assert_eq!(channel.receive(1), Err(NoMessage::Closed));
    }
}

/// Messages for other receivers do not keep a receiver from seeing that the ring is closed.
#[test]
fn close_with_messages_for_others() {
    for (channel, _) in queues() {
        let message = channel.send_to(2, 7).unwrap();
        channel.ring.close();
        assert_eq!(channel.receive(1), Err(NoMessage::Closed));
        assert_eq!(channel.receive(2), Ok(message));
        assert_eq!(channel.receive(2), Err(NoMessage::Closed));
    }
}

/// A reserved slot holds back the messages behind it until its sender publishes it.
#[test]
fn reservation_holds_back() {
    for (channel, entries) in queues() {
        let slot = channel.reserve().unwrap();
        fill(&channel, 1..entries);
        assert_eq!(channel.send(99), Err(NoRoom::Full));
        assert_eq!(channel.receive(1), EMPTY);
        channel.publish(slot, 0, 0);
        assert!(receive_all(&channel, 1).into_iter().eq(0..entries));
    }
}

/// Receivers skip a slot that its sender gave up, and a sender uses it again.
#[test]
fn skip() {
    for (channel, entries) in queues() {
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

/// A message that a receiver has put back is the next one again, for any receiver.
#[test]
fn put_back() {
    for (channel, entries) in queues() {
        fill(&channel, 0..entries);
        let claims: Vec<_> = (0..entries).map(|_| channel.claim(1).unwrap()).collect();
        assert_eq!(channel.receive(1), EMPTY);
        assert_eq!(channel.send(99), Err(NoRoom::Full));
        drop(claims);
        assert!(receive_all(&channel, 2).into_iter().eq(0..entries));
    }
}

/// No receiver can claim a message that another one has claimed or consumed.
#[test]
fn claim_once() {
    for (channel, _) in queues() {
        channel.send(7).unwrap();
        let position = channel.next(1).unwrap();
        assert_eq!(channel.next(2), Ok(position));
        let claim = channel.claim_at(2, position).unwrap();
        assert!(channel.claim_at(1, position).is_none());
        channel.consume(claim);
        assert!(channel.claim_at(1, position).is_none());
        // The same slot has the next message, at another position.
        fill(&channel, 0..1);
        assert!(channel.claim_at(1, position).is_none());
    }
}

/// Slots become free in the order of their positions. The order in which receivers consume them
/// does not matter.
#[test]
fn consume_in_any_order() {
    for (channel, entries) in queues() {
        let start = channel.head();
        fill(&channel, 0..entries);
        let mut claims: Vec<_> = (0..entries).map(|_| channel.claim(1).unwrap()).collect();
        let first = claims.remove(0);
        while let Some(claim) = claims.pop() {
            channel.consume(claim);
            assert_eq!(channel.head(), start);
            assert_eq!(channel.send(99), Err(NoRoom::Full));
        }
        channel.consume(first);
        assert_eq!(channel.head(), start.wrapping_add(entries));
        fill(&channel, 0..entries);
    }
}

/// Other receivers skip a message for one receiver, which keeps its slot until it is received.
#[test]
fn targeted() {
    for (channel, entries) in queues() {
        for payload in 0..entries {
            channel.send_to(1 + payload % 2, payload).unwrap();
        }
        assert!(receive_all(&channel, 3).is_empty());
        let second: Vec<_> = (0..entries).filter(|payload| payload % 2 == 1).collect();
        assert_eq!(receive_all(&channel, 2), second);
        assert_eq!(channel.send(99), Err(NoRoom::Full));
        let first: Vec<_> = (0..entries).filter(|payload| payload % 2 == 0).collect();
        assert_eq!(receive_all(&channel, 1), first);
        fill(&channel, 0..entries);
    }
}

/// Dropping the messages for a receiver frees and counts their slots, and no others.
#[test]
fn drop_targeted() {
    for (channel, entries) in queues() {
        for payload in 0..entries {
            channel.send_to(1 + payload % 2, payload).unwrap();
        }
        let (second, first): (Vec<_>, Vec<_>) = (0..entries).partition(|payload| payload % 2 == 1);
        assert_eq!(channel.queue_drop_targeted(2), second.len() as u32);
        assert_eq!(channel.queue_drop_targeted(2), 0);
        assert_eq!(receive_all(&channel, 1), first);
        fill(&channel, 0..entries);
    }
}

/// A message that its target has claimed is not dropped, nor is a message that is being sent.
#[test]
fn drop_targeted_spares_what_is_in_use() {
    for (channel, entries) in queues().filter(|(_, entries)| *entries > 1) {
        let message = channel.send_to(1, 7).unwrap();
        let claim = channel.claim(1).unwrap();
        let slot = channel.reserve().unwrap();
        slot.set_target(1);
        assert_eq!(channel.queue_drop_targeted(1), 0);
        assert_eq!(channel.read(&claim), message);
        drop(claim);
        channel.publish(slot, 1, 8);
        assert_eq!(channel.queue_drop_targeted(1), 2);
        assert_eq!(channel.head(), channel.ring.tail_position());
        fill(&channel, 0..entries);
    }
}

/// A sender drops its message to a subscriber that has detached.
#[test]
fn send_to_detached() {
    for (channel, entries) in queues() {
        channel.attach(1);
        channel.send_to(1, 7).unwrap();
        assert!(!channel.leave(1));
        channel.remove(1);
        assert_eq!(channel.dropped(), 1);
        channel.send_to(1, 8).unwrap();
        assert_eq!(channel.dropped(), 2);
        fill(&channel, 0..entries);
    }
}

/// The request that puts back a message after its target has detached drops this message.
#[test]
fn put_back_by_detached() {
    for (channel, entries) in queues() {
        channel.attach(1);
        channel.send_to(1, 7).unwrap();
        let claim = channel.claim(1).unwrap();
        channel.leave(1);
        channel.remove(1);
        assert_eq!(channel.dropped(), 0);
        channel.put_back(1, claim);
        assert_eq!(channel.dropped(), 1);
        fill(&channel, 0..entries);
    }
}

/// A sender can reserve several slots at once: as many as there is room for, at consecutive
/// positions.
#[test]
fn batches() {
    for (channel, entries) in queues() {
        for used in 0..entries {
            for wanted in 1..entries + 3 {
                fill(&channel, 0..used);
                let first = channel.ring.tail_position();
                let slots = channel.reserve_up_to(wanted).unwrap();
                let count = wanted.min(entries - used);
                let end = first.wrapping_add(count);
                assert_eq!(slots.end(), end);
                let slots: Vec<_> = slots.collect();
                assert_eq!(channel.ring.tail_position(), end);
                assert_eq!(channel.send(99).is_err(), used + count == entries);
                let positions = slots.iter().map(|slot| slot.position());
                assert!(positions.eq((0..count).map(|by| first.wrapping_add(by))));
                // The order does not matter.
                for (payload, slot) in (0..count).zip(slots).rev() {
                    channel.publish(slot, 0, used + payload);
                }
                let mut received = receive_all(&channel, 1);
                received.truncate((used + count) as usize);
                assert!(received.into_iter().eq(0..used + count));
            }
        }
    }
}

/// A sender can reserve nothing when the ring is full or closed.
#[test]
fn batch_without_room() {
    for (channel, entries) in queues() {
        fill(&channel, 0..entries);
        for wanted in 1..entries + 3 {
            assert_eq!(channel.reserve_up_to(wanted).err(), Some(NoRoom::Full));
        }
        assert!(channel.receive(1).is_ok());
        assert_eq!(channel.reserve_up_to(entries).unwrap().count(), 1);
        channel.ring.close();
        assert_eq!(channel.reserve_up_to(1).err(), Some(NoRoom::Closed));
    }
}

/// The slots that are left of a batch when it is dropped are given up, in whatever state the slots
/// before are.
#[test]
fn batch_given_up() {
    for (channel, entries) in queues() {
        for _ in 0..20 {
            for taken in 0..=entries {
                let mut slots = channel.reserve_up_to(entries).unwrap();
                let first: Vec<_> = slots.by_ref().take(taken as usize).collect();
                drop(slots);
                assert_eq!(channel.receive(1), EMPTY);
                assert_eq!(channel.reserve().is_ok(), taken == 0);
                for (payload, slot) in (0..).zip(first) {
                    if payload % 2 == 0 {
                        channel.publish(slot, 0, payload);
                    }
                }
                let published = (0..taken).filter(|payload| payload % 2 == 0);
                assert!(receive_all(&channel, 1).into_iter().eq(published));
                channel.reclaim();
                assert_eq!(channel.head(), channel.ring.tail_position());
            }
        }
    }
}

/// A batch of which all slots were taken gives up nothing.
#[test]
fn batch_taken_to_its_end() {
    for (channel, entries) in queues() {
        let mut slots = channel.reserve_up_to(entries).unwrap();
        for payload in 0..entries {
            channel.publish(slots.next().unwrap(), 0, payload);
        }
        assert!(slots.next().is_none());
        assert!(slots.next().is_none());
        assert_eq!(slots.end(), channel.ring.tail_position());
        drop(slots);
        assert_eq!(channel.send(99), Err(NoRoom::Full));
        assert!(receive_all(&channel, 1).into_iter().eq(0..entries));
    }
}

/// A consumed message keeps its slot until a reclaimer frees it.
#[test]
fn consume_and_reclaim() {
    for (channel, entries) in queues() {
        let start = channel.head();
        fill(&channel, 0..entries);
        for _ in 0..entries {
            channel.claim(1).unwrap().consume();
        }
        assert_eq!(channel.head(), start);
        assert!(channel.ring.is_full());
        channel.ring.queue_reclaim();
        assert_eq!(channel.head(), channel.ring.tail_position());
        assert!(!channel.ring.is_full());
    }
}

/// After a receiver has consumed a message, it looks for the next one behind it.
#[test]
fn following() {
    for (channel, entries) in queues() {
        for round in 0..20 {
            fill(&channel, 0..entries);
            // This message comes before the others, and is put back later.
            let first = channel.claim(2).unwrap();
            let mut next = channel.claim(1).ok();
            for payload in 1..entries {
                let claim = next.unwrap();
                assert_eq!(channel.read(&claim).payload, payload);
                next = channel.following(1, claim);
            }
            assert!(next.is_none());
            drop(first);
            assert_eq!(receive_all(&channel, 1), [0], "{round}");
        }
    }
}

/// A bundle looks at each slot to find its message, to claim it, to consume it and to reclaim it.
/// It does not search the ring again for each message, so it does not look more often in a large
/// ring.
#[test]
fn bundle_looks_as_often_as_it_has_messages() {
    for entries in [1, 64, 4096] {
        let channel = Channel::queue(entries, 0);
        for round in 0..3 {
            fill(&channel, 0..entries);
            let before = channel.ring.memory().slot_looks();
            let messages = channel.receive_bundle(1, entries as usize + 1).unwrap();
            assert_eq!(messages.len(), entries as usize);
            let looks = channel.ring.memory().slot_looks() - before;
            // Finding, consuming and reclaiming also look at the slot after the last message.
            assert!(
                looks <= 4 * messages.len() as u64 + 3,
                "{looks}, round {round}"
            );
        }
    }
}

/// The search skips slots that were given up, messages for other receivers, and messages that
/// others have claimed.
#[test]
fn following_and_skip() {
    for (channel, entries) in queues().filter(|(_, entries)| *entries > 2) {
        for _ in 0..20 {
            fill(&channel, 0..1);
            drop(channel.reserve().unwrap());
            channel.send_to(2, 2).unwrap();
            fill(&channel, 3..4);
            let claim = channel.claim(1).unwrap();
            fill(&channel, 4..5);
            let position = claim.position().wrapping_add(3);
            let other = channel.claim_at(3, position).unwrap();
            let slot = channel.reserve().unwrap();
            fill(&channel, 6..entries);
            let claim = channel.following(1, claim).unwrap();
            assert_eq!(channel.read(&claim).payload, 4);
            assert!(channel.following(1, claim).is_none());
            channel.publish(slot, 1, 5);
            channel.consume(other);
            assert_eq!(channel.receive_bundle(1, 2).unwrap().len(), 2);
            assert_eq!(channel.receive(2).unwrap().payload, 2);
            assert!(receive_all(&channel, 1).into_iter().eq(7..entries));
        }
    }
}

/// A look at a slot tells whether it is published, and for which receiver.
#[test]
fn published() {
    for (channel, entries) in queues() {
        for round in 0..20 * entries {
            let target = round % 3 + 1;
            let slot = channel.reserve().unwrap();
            let position = slot.position();
            let next = position.wrapping_add(1);
            assert_eq!(channel.ring.published(position), None);
            if round % 4 == 0 {
                drop(slot);
                assert_eq!(
                    channel.ring.published(position),
                    Some(Published::Nothing(1))
                );
            } else {
                channel.publish(slot, target, 7);
                assert_eq!(
                    channel.ring.published(position),
                    Some(Published::Message(target))
                );
                let claim = channel.claim_at(target, position).unwrap();
                assert_eq!(
                    channel.ring.published(position),
                    Some(Published::Nothing(1))
                );
                drop(claim);
                assert_eq!(
                    channel.ring.published(position),
                    Some(Published::Message(target))
                );
                assert!(channel.receive(target).is_ok());
                assert_eq!(
                    channel.ring.published(position),
                    Some(Published::Nothing(1))
                );
            }
            assert_eq!(channel.ring.published(next), None);
            assert_eq!(channel.ring.published(position.wrapping_sub(entries)), None);
        }
    }
}

/// A message stays because its receiver does not take it. How many slots other receivers look at to
/// find their messages does not grow with the number of messages that have passed it.
#[test]
fn work_past_a_message_that_stays() {
    let entries = 1024;
    let channel = Channel::queue(entries, u32::MAX - 100);
    channel.send_to(2, 0).unwrap();
    let looks = || channel.ring.memory().slot_looks();
    for payload in 1..entries {
        channel.send(payload).unwrap();
        let before = looks();
        assert_eq!(channel.receive(1).unwrap().payload, payload);
        assert!(!channel.may_have_any(1));
        assert!(looks() - before < 40, "{} looks", looks() - before);
    }
    assert_eq!(channel.receive(2).unwrap().payload, 0);
}

/// When a receiver consumes an old message, it does not reclaim all that others have received
/// meanwhile. A sender finds the room nevertheless.
#[test]
fn work_of_one_reclaim() {
    let entries = 1024;
    let channel = Channel::queue(entries, u32::MAX - 100);
    channel.send_to(2, 0).unwrap();
    for payload in 1..entries {
        channel.send(payload).unwrap();
        channel.receive(1).unwrap();
    }
    let before = channel.ring.memory().slot_looks();
    channel.receive(2).unwrap();
    let looks = channel.ring.memory().slot_looks() - before;
    assert!(looks < 100, "{looks} looks");
    for payload in 0..entries {
        channel.send(payload).unwrap();
    }
    assert_eq!(channel.send(0), Err(NoRoom::Full));
}

/// A receiver that has slept while positions have wrapped does not start at its old place.
#[test]
fn old_place_after_wrapping() {
    let entries = 16;
    let old = Channel::queue(entries, 0);
    old.send_to(2, 0).unwrap();
    for payload in 1..10 {
        old.send(payload).unwrap();
        old.receive(1).unwrap();
    }
    old.receive(1).unwrap_err();
    let place = old.cursor(1).load(Ordering::Relaxed);

    for wrapped in [0_u32, 1] {
        let now = Channel::queue(entries, 2);
        let mut head = [0; 8];
        head[..4].copy_from_slice(&2_u32.to_ne_bytes());
        head[4..].copy_from_slice(&wrapped.to_ne_bytes());
        let memory = now.ring.memory();
        memory
            .consumer()
            .store(u64::from_ne_bytes(head), Ordering::Relaxed);
        now.cursor(1).store(place, Ordering::Relaxed);
        // The sender gives up the oldest slot, so that the receiver has to search.
        drop(now.reserve().unwrap());
        let message = now.send(7).unwrap();
        let found = now.receive(1);
        if wrapped == 1 {
            assert_eq!(found, Ok(message));
        } else {
            // In the same round the receiver trusts its place: this shows that the test can fail.
            assert_eq!(found, Err(NoMessage::Empty));
        }
    }
}

/// A place stays valid when `head` itself wraps.
#[test]
fn place_while_wrapping() {
    for ahead in 0..40 {
        let channel = Channel::queue(16, u32::MAX - ahead);
        for round in 0..100 {
            channel.send_to(2, round).unwrap();
            for payload in 0..15 {
                channel.send(payload).unwrap();
                assert_eq!(channel.receive(1).unwrap().payload, payload);
            }
            assert_eq!(channel.receive(2).unwrap().payload, round);
        }
    }
}
