// SPDX-License-Identifier: GPL-2.0

//! The ring as a broadcast.

use host::{
    channel::{Channel, Message},
    ring::{Mode, NoMessage, NoRoom},
};
use loom::{sync::Arc, thread};

use crate::{
    assert_all_consumed, assert_in_order, drain, explore, offset, read_and_put_back, receive_some,
    send_all, sorted, spawn, START,
};

/// See [`crate::close`].
#[test]
fn close() {
    explore(3, || crate::close(Channel::broadcast(2, START)));
}

/// See [`crate::target_detaches`].
#[test]
fn target_detaches() {
    explore(3, || crate::target_detaches(Channel::broadcast(2, START)));
}

/// See [`crate::target_detaches_in_request`].
#[test]
fn target_detaches_in_request() {
    explore(3, || {
        crate::target_detaches_in_request(Channel::broadcast(2, START), true)
    });
}

/// See [`crate::target_detaches_in_request`].
#[test]
fn target_detaches_and_puts_back() {
    explore(3, || {
        crate::target_detaches_in_request(Channel::broadcast(2, START), false)
    });
}

/// Messages for a subscriber that detaches are counted, also when senders use their slots again at
/// once.
#[test]
fn target_detaches_from_full() {
    explore(3, || {
        let channel = Arc::new(Channel::broadcast(1, START));
        channel.attach(1);
        channel.send_to(1, 10).unwrap();
        let sender = spawn(&channel, |channel| send_all(channel, [20]));
        assert!(!channel.leave(1));
        channel.remove(1);

        sender.join().unwrap();
        assert_eq!(channel.dropped(), 1);
    });
}

/// Two senders and two receivers: both receive all messages, in the same order.
#[test]
fn all_parties() {
    explore(2, || {
        let channel = Arc::new(Channel::broadcast(2, START));
        channel.attach(1);
        channel.attach(2);
        let sender = spawn(&channel, |channel| send_all(channel, [10, 11]));
        let other_sender = spawn(&channel, |channel| send_all(channel, [20]));
        let receiver = spawn(&channel, |channel| receive_some(channel, 1, 1));
        let mut received_here = receive_some(&channel, 2, 1);

        let sent = sorted([sender.join().unwrap(), other_sender.join().unwrap()]);
        let mut received = receiver.join().unwrap();
        received.extend(drain(&channel, 1));
        received_here.extend(drain(&channel, 2));
        assert_eq!(received, sent);
        assert_eq!(received_here, sent);
        assert_all_consumed(&channel);
    });
}

/// Both receivers skip a slot that its sender gives up.
#[test]
fn skip() {
    explore(3, || {
        let channel = Arc::new(Channel::broadcast(2, START));
        channel.attach(1);
        let sender = spawn(&channel, |channel| {
            drop(channel.reserve());
            send_all(channel, [10])
        });
        let other_sender = spawn(&channel, |channel| send_all(channel, [20]));
        let mut received = receive_some(&channel, 1, 2);

        let sent = sorted([sender.join().unwrap(), other_sender.join().unwrap()]);
        received.extend(drain(&channel, 1));
        assert_eq!(received, sent);
        assert_all_consumed(&channel);
    });
}

/// Without receivers no receiver gets a message, but no sender uses a slot again that another one
/// is writing.
#[test]
fn to_nobody() {
    explore(3, || {
        let channel = Arc::new(Channel::broadcast(1, START));
        let sender = spawn(&channel, |channel| send_all(channel, [10]));
        let sent = send_all(&channel, [20, 21]);

        let sent = sorted([sent, sender.join().unwrap()]);
        assert_eq!(offset(channel.ring.tail_position()), sent.len() as u32);
        // The slot is in a state from which senders and receivers can go on.
        channel.attach(1);
        assert!(channel.send(30).is_ok());
        assert!(channel
            .receive(1)
            .is_ok_and(|message| message.payload == 30));
    });
}

/// A receiver joins while a sender uses slots again: the receiver is not behind `head`, and it gets
/// all messages from its first position on, among them one that is sent after it has joined.
#[test]
fn join() {
    explore(3, || {
        let channel = Arc::new(Channel::broadcast(1, START));
        let sender = spawn(&channel, |channel| send_all(channel, [10, 11, 12]));
        channel.attach(1);
        let first = offset(channel.cursor_position(1));
        assert!(offset(channel.head()) <= first);
        let sent_here = send_all(&channel, [20]);
        let mut received = receive_some(&channel, 1, 2);

        let sent = sorted([sent_here.clone(), sender.join().unwrap()]);
        received.extend(drain(&channel, 1));
        assert!(sent_here.iter().all(|message| received.contains(message)));
        assert!(sent.ends_with(&received));
        assert_eq!(sent.len(), first as usize + received.len());
        assert_all_consumed(&channel);
    });
}

/// A receiver joins while a sender uses slots again that have no message for it: the receiver is
/// not behind `head` in this case either.
#[test]
fn join_and_skip() {
    explore(3, || {
        let channel = Arc::new(Channel::broadcast(1, START));
        let sender = spawn(&channel, |channel| {
            for payload in 10..13 {
                let _ = channel.send_to(2, payload);
            }
        });
        channel.attach(1);
        assert!(offset(channel.head()) <= offset(channel.cursor_position(1)));

        sender.join().unwrap();
        assert!(channel.send(20).is_ok());
        assert!(channel
            .receive(1)
            .is_ok_and(|message| message.payload == 20));
        assert_all_consumed(&channel);
    });
}

/// A receiver joins while another receiver, which was there before, frees slots.
#[test]
fn join_another() {
    explore(3, || {
        let channel = Arc::new(Channel::broadcast(1, START));
        channel.attach(1);
        let sender = spawn(&channel, |channel| send_all(channel, [10, 11]));
        let receiver = spawn(&channel, |channel| receive_some(channel, 1, 2));
        channel.attach(2);
        let first = offset(channel.cursor_position(2));
        assert!(offset(channel.head()) <= first);
        let mut received_here = receive_some(&channel, 2, 1);

        let sent = sender.join().unwrap();
        let mut received = receiver.join().unwrap();
        received.extend(drain(&channel, 1));
        received_here.extend(drain(&channel, 2));
        assert_eq!(received, sent);
        assert_eq!(received_here, sent[first as usize..]);
        assert_all_consumed(&channel);
    });
}

/// Two requests of one receiver: no message is received twice or left out.
#[test]
fn two_requests() {
    explore(3, || {
        let channel = Arc::new(Channel::broadcast(2, START));
        channel.attach(1);
        let sender = spawn(&channel, |channel| send_all(channel, [10, 11, 12]));
        let request = spawn(&channel, |channel| receive_some(channel, 1, 1));
        let received_here = receive_some(&channel, 1, 2);

        let sent = sender.join().unwrap();
        let received = [received_here, request.join().unwrap(), drain(&channel, 1)];
        received.iter().for_each(|list| assert_in_order(list));
        assert_eq!(sorted(received), sent);
        assert_all_consumed(&channel);
    });
}

/// There are messages for both requests of a receiver, so neither finds the ring empty.
#[test]
fn never_looks_empty() {
    explore(3, || {
        let channel = Arc::new(Channel::broadcast(2, START));
        channel.attach(1);
        send_all(&channel, [10, 11]);
        let request = spawn(&channel, |channel| channel.receive(1).err());
        let sender = spawn(&channel, |channel| send_all(channel, [12]));
        let result = channel.receive(1).err();

        for result in [result, request.join().unwrap()] {
            assert!([None, Some(NoMessage::Busy)].contains(&result));
        }
        sender.join().unwrap();
    });
}

/// Two requests of one receiver: one of them puts a message back first.
#[test]
fn put_back() {
    explore(2, || {
        let channel = Arc::new(Channel::broadcast(1, START));
        channel.attach(1);
        let sender = spawn(&channel, |channel| send_all(channel, [10, 11]));
        let request = spawn(&channel, |channel| {
            read_and_put_back(channel, 1);
            receive_some(channel, 1, 1)
        });
        let received_here = receive_some(&channel, 1, 2);

        let sent = sender.join().unwrap();
        let received = [received_here, request.join().unwrap(), drain(&channel, 1)];
        assert_eq!(sorted(received), sent);
        assert_all_consumed(&channel);
    });
}

/// A receiver leaves while one of its requests reads a message: no sender uses the slot again
/// before the request has ended, and then a sender does.
#[test]
fn leave() {
    explore(3, || {
        let channel = Arc::new(Channel::broadcast(1, START));
        channel.attach(1);
        send_all(&channel, [10]);
        let request = spawn(&channel, |channel| receive_some(channel, 1, 1));
        let sender = spawn(&channel, |channel| send_all(channel, [11]));
        let busy = channel.leave(1);
        if !busy {
            channel.remove(1);
        }

        let received = request.join().unwrap();
        if busy {
            channel.remove(1);
        }
        sender.join().unwrap();
        assert!(received.len() == 1 || !busy);
        assert_eq!(channel.receive(1), Err(NoMessage::Detached));
        assert_all_consumed(&channel);
    });
}

/// Joins at the oldest message and receives one. Returns the offset of the oldest message and the
/// received messages.
fn join_at_oldest_and_receive(channel: &Channel, id: u32) -> (usize, Vec<Message>) {
    channel.attach_at_oldest(id, 0);
    let first = offset(channel.cursor_position(id));
    let received = receive_some(channel, id, 1);
    // `head` has moved because the ring was full. So there is a message at the new `head`, and this
    // receiver sees it, although it has not looked at `head` since it joined.
    assert!(first == 0 || !received.is_empty());
    assert!(offset(channel.head()) <= first + received.len() as u32);
    (first as usize, received)
}

/// A receiver joins at the oldest message while a sender uses slots again: the receiver gets all
/// messages from there on, in order.
#[test]
fn join_at_oldest() {
    explore(3, || {
        let channel = Arc::new(Channel::broadcast(2, START));
        let sender = spawn(&channel, |channel| send_all(channel, [10, 11, 12, 13]));
        let (first, mut received) = join_at_oldest_and_receive(&channel, 1);

        let sent = sender.join().unwrap();
        received.extend(drain(&channel, 1));
        assert_eq!(received, sent[first..]);
        assert_all_consumed(&channel);
    });
}

/// Two receivers join at the oldest message.
#[test]
fn join_at_oldest_twice() {
    explore(2, || {
        let channel = Arc::new(Channel::broadcast(2, START));
        let mut sent = send_all(&channel, [10, 11]);
        let sender = spawn(&channel, |channel| send_all(channel, [12]));
        let receiver = spawn(&channel, |channel| join_at_oldest_and_receive(channel, 1));
        let (first_here, mut received_here) = join_at_oldest_and_receive(&channel, 2);

        sent.extend(sender.join().unwrap());
        let (first, mut received) = receiver.join().unwrap();
        received.extend(drain(&channel, 1));
        received_here.extend(drain(&channel, 2));
        assert_eq!(received, sent[first..]);
        assert_eq!(received_here, sent[first_here..]);
        assert_all_consumed(&channel);
    });
}

/// A receiver joins at the oldest message while another receiver, which was there before, frees
/// slots: the other receiver still gets all messages. The new receiver leaves room.
#[test]
fn join_at_oldest_beside_another() {
    explore(2, || {
        let channel = Arc::new(Channel::broadcast(2, START));
        channel.attach(1);
        let mut sent = send_all(&channel, [10, 11]);
        let sender = spawn(&channel, |channel| send_all(channel, [12, 13]));
        let receiver = spawn(&channel, |channel| receive_some(channel, 1, 2));
        channel.attach_at_oldest(2, 1);
        let first = offset(channel.cursor_position(2));

        sent.extend(sender.join().unwrap());
        let mut received = receiver.join().unwrap();
        received.extend(drain(&channel, 1));
        assert_eq!(received, sent);
        assert_eq!(drain(&channel, 2), sent[first as usize..]);
        assert_all_consumed(&channel);
    });
}

/// A receiver takes several messages with one claim while a sender needs the room: no sender uses a
/// slot again before the receiver has read its message.
#[test]
fn bundle() {
    explore(3, || {
        let channel = Arc::new(Channel::broadcast(2, START));
        channel.attach(1);
        let mut sent = send_all(&channel, [10, 11]);
        let sender = spawn(&channel, |channel| send_all(channel, [12, 13]));
        let mut received = channel.receive_bundle(1, 4).unwrap();
        assert!(received.len() >= 2);

        sent.extend(sender.join().unwrap());
        received.extend(drain(&channel, 1));
        assert_eq!(received, sent);
        assert_all_consumed(&channel);
    });
}

/// The same, but the second message is put back, and another request of the receiver takes it.
#[test]
fn bundle_put_back() {
    explore(3, || {
        let channel = Arc::new(Channel::broadcast(2, START));
        channel.attach(1);
        let mut sent = send_all(&channel, [10, 11]);
        let sender = spawn(&channel, |channel| send_all(channel, [12, 13]));
        let request = spawn(&channel, |channel| receive_some(channel, 1, 1));
        let received_here = channel.claim(1).map_or(Vec::new(), |mut claim| {
            let message = channel.read(&claim);
            if claim.step(1) {
                channel.read(&claim);
                drop(claim);
            } else {
                channel.consume(claim);
            }
            vec![message]
        });

        sent.extend(sender.join().unwrap());
        let received = [received_here, request.join().unwrap(), drain(&channel, 1)];
        assert_eq!(sorted(received), sent);
        assert_all_consumed(&channel);
    });
}

/// A receiver leaves while one of its requests takes several messages for this receiver alone, and
/// a sender sends one more: each message is received or dropped.
#[test]
fn bundle_of_target_that_detaches() {
    explore(2, || {
        let channel = Arc::new(Channel::broadcast(4, START));
        channel.attach(1);
        channel.send_to(1, 10).unwrap();
        channel.send_to(1, 11).unwrap();
        let request = spawn(&channel, |channel| {
            channel.receive_bundle(1, 2).unwrap_or_default()
        });
        let sender = spawn(&channel, |channel| channel.send_to(1, 12));
        let busy = channel.leave(1);
        if !busy {
            channel.remove(1);
        }

        let received = request.join().unwrap();
        assert!(sender.join().unwrap().is_ok());
        if busy {
            channel.remove(1);
        }
        assert_eq!(received.len() as u32 + channel.dropped(), 3);
        assert_all_consumed(&channel);
    });
}

/// Reads up to `attempts` messages in place from a position on, and stores the position after them.
fn read_in_place(channel: &Channel, id: u32, position: u32, attempts: u32) -> Vec<Message> {
    let mut next = position;
    let mut read = Vec::new();
    for _ in 0..attempts {
        match channel.read_in_place(next) {
            Some(message) => {
                next = next.wrapping_add(1);
                channel.store_position(id, next);
                read.push(message);
            }
            None => thread::yield_now(),
        }
    }
    read
}

/// A receiver reads in place: senders use its slots again after it has stored a position behind
/// them, and not before.
#[test]
fn in_place() {
    explore(3, || {
        let channel = Arc::new(Channel::mapped(1, START));
        channel.attach(1);
        let sender = spawn(&channel, |channel| send_all(channel, [10, 11, 12]));
        let mut received = read_in_place(&channel, 1, START, 2);

        let sent = sender.join().unwrap();
        let position = START.wrapping_add(received.len() as u32);
        received.extend(read_in_place(&channel, 1, position, 2));
        assert_eq!(received, sent);
        assert_all_consumed(&channel);
    });
}

/// The same, and the receiver calls the kernel, which accepts the stored position too.
#[test]
fn in_place_and_count() {
    explore(3, || {
        let channel = Arc::new(Channel::mapped(1, START));
        channel.attach(1);
        let mut sent = send_all(&channel, [10]);
        let sender = spawn(&channel, |channel| send_all(channel, [11]));
        assert_eq!(channel.count(1), Ok(1));
        let mut received = read_in_place(&channel, 1, START, 1);
        // The next message may be there.
        assert_ne!(channel.count(1), Err(NoMessage::Busy));

        sent.extend(sender.join().unwrap());
        received.extend(read_in_place(&channel, 1, START.wrapping_add(1), 1));
        assert_eq!(received, sent);
        assert_eq!(channel.count(1), Err(NoMessage::Empty));
        assert_all_consumed(&channel);
    });
}

/// A receiver stores positions after messages that it has not read, while its requests read. Only
/// this receiver loses messages by that. No sender uses a slot again while a request reads its
/// message, and other receivers get all messages.
#[test]
fn in_place_from_nowhere() {
    explore(2, || {
        let channel = Arc::new(Channel::mapped(1, START));
        channel.attach(1);
        channel.attach(2);
        let mut sent = send_all(&channel, [10]);
        let liar = spawn(&channel, |channel| {
            for position in [2, 1] {
                channel.store_position(1, START.wrapping_add(position));
            }
        });
        let request = spawn(&channel, |channel| receive_some(channel, 1, 1));
        let mut received = receive_some(&channel, 2, 1);
        sent.extend(send_all(&channel, [11]));

        liar.join().unwrap();
        request.join().unwrap();
        received.extend(drain(&channel, 2));
        assert_eq!(received, sent);
        drain(&channel, 1);
        assert_all_consumed(&channel);
    });
}

/// Sends each message, in the place of the `count` oldest ones if the ring is full and no request
/// reads those. Returns the sent messages, and the positions of the messages that were taken away
/// from receivers.
fn send_overwriting<const N: usize>(
    channel: &Channel,
    count: u32,
    payloads: [u32; N],
) -> (Vec<Message>, Vec<u32>) {
    let (mut sent, mut taken) = (Vec::new(), Vec::new());
    for payload in payloads {
        let mut result = channel.send(payload);
        if result == Err(NoRoom::Full) {
            taken.extend(channel.overwrite_oldest(count));
            result = channel.send(payload);
        }
        sent.extend(result);
    }
    (sent, taken)
}

/// Each message was either received or taken away.
fn assert_received_or_lost(
    channel: &Channel,
    sent: &[Message],
    received: &[Message],
    taken: Vec<u32>,
) {
    assert_in_order(received);
    assert!(received.iter().all(|message| sent.contains(message)));
    assert_eq!(taken.len() as u32, channel.lost(1));
    let received = received.iter().map(|message| message.position);
    let mut positions: Vec<_> = received.chain(taken).map(offset).collect();
    positions.sort();
    assert!(positions.into_iter().eq(0..sent.len() as u32));
    assert_all_consumed(channel);
}

/// A sender takes the oldest message away from a receiver that is about to receive it.
#[test]
fn overwrite() {
    explore(3, || {
        let channel = Arc::new(Channel::broadcast(1, START));
        channel.attach(1);
        let sender = spawn(&channel, |channel| {
            send_overwriting(channel, 1, [10, 11, 12])
        });
        let mut received = receive_some(&channel, 1, 2);

        let (sent, taken) = sender.join().unwrap();
        received.extend(drain(&channel, 1));
        assert_received_or_lost(&channel, &sent, &received, taken);
    });
}

/// A sender takes both messages in the ring away from a receiver that is about to receive them.
#[test]
fn overwrite_several() {
    explore(4, || {
        let channel = Arc::new(Channel::broadcast(2, START));
        channel.attach(1);
        let first = send_all(&channel, [10, 11]);
        let sender = spawn(&channel, |channel| send_overwriting(channel, 2, [12]));
        let mut received = receive_some(&channel, 1, 2);

        let (sent, taken) = sender.join().unwrap();
        let sent = sorted([first, sent]);
        received.extend(drain(&channel, 1));
        assert_received_or_lost(&channel, &sent, &received, taken);
    });
}

/// Two senders do so at once.
#[test]
fn overwrite_twice() {
    explore(3, || {
        let channel = Arc::new(Channel::broadcast(1, START));
        channel.attach(1);
        let first = send_all(&channel, [10]);
        let sender = spawn(&channel, |channel| send_overwriting(channel, 1, [20]));
        let (sent_here, mut taken) = send_overwriting(&channel, 1, [30]);

        let (sent, other_taken) = sender.join().unwrap();
        taken.extend(other_taken);
        let sent = sorted([first, sent_here, sent]);
        let received = drain(&channel, 1);
        assert_received_or_lost(&channel, &sent, &received, taken);
    });
}

/// A sender takes a message away from a receiver whose request puts it back.
#[test]
fn overwrite_and_put_back() {
    explore(3, || {
        let channel = Arc::new(Channel::broadcast(1, START));
        channel.attach(1);
        let first = send_all(&channel, [10]);
        let request = spawn(&channel, |channel| read_and_put_back(channel, 1));
        let (sent, taken) = send_overwriting(&channel, 1, [11]);

        request.join().unwrap();
        let sent = sorted([first, sent]);
        let received = drain(&channel, 1);
        assert_received_or_lost(&channel, &sent, &received, taken);
    });
}

/// A broadcast that is full for receivers 1 and 2: a message of two slots, after one slot before the
/// end, and single ones.
fn full_of_one_span(is_mapped: bool) -> Arc<Channel> {
    let channel = Channel::spanning(Mode::Broadcast, is_mapped, 8, START);
    channel.attach(1);
    channel.attach(2);
    channel.send_span(2, 10).unwrap();
    (11..16).for_each(|payload| {
        channel.send(payload).unwrap();
    });
    assert_eq!(channel.send_span(2, 99), Err(NoRoom::Full));
    Arc::new(channel)
}

/// No sender uses a slot of a message again before both receivers have received the message.
#[test]
fn span_is_used_again() {
    explore(2, || {
        let channel = full_of_one_span(false);
        let sender = spawn(&channel, |channel| {
            [20, 21].map(|payload| channel.send(payload).ok())
        });
        let receiver = spawn(&channel, |channel| receive_some(channel, 1, 1));
        let mut received_here = receive_some(&channel, 2, 1);

        let sent = sender.join().unwrap().into_iter().flatten().count();
        let mut received = receiver.join().unwrap();
        received.extend(drain(&channel, 1));
        received_here.extend(drain(&channel, 2));
        assert_eq!(received.len(), 6 + sent);
        assert_eq!(received, received_here);
        assert_all_consumed(&channel);
    });
}

/// A receiver stores positions within a message and behind it. It loses messages of its own by that.
/// The other one gets all, and senders use the slots again.
#[test]
fn position_within_a_span() {
    explore(2, || {
        let channel = full_of_one_span(true);
        let sender = spawn(&channel, |channel| channel.send_span(2, 20).ok());
        let liar = spawn(&channel, |channel| {
            // The message begins at the second position.
            for position in [2, 3, 4] {
                channel.store_position(1, START.wrapping_add(position));
            }
        });
        let mut received = receive_some(&channel, 2, 1);

        liar.join().unwrap();
        let sent = usize::from(sender.join().unwrap().is_some());
        received.extend(drain(&channel, 2));
        assert_in_order(&received);
        assert_eq!(received.len(), 6 + sent);
        assert_eq!(drain(&channel, 1).len(), 4 + sent);
        assert_all_consumed(&channel);
    });
}

/// A receiver joins within a message. It finds the next one, and holds no slot that the message has
/// before.
#[test]
fn join_within_a_span() {
    explore(2, || {
        let channel = full_of_one_span(false);
        let receiver = spawn(&channel, |channel| {
            // Of eight slots, the sender gets the first two.
            channel.attach_at_oldest(3, 2);
            drain(channel, 3)
        });
        let sender = spawn(&channel, |channel| channel.send_span(2, 20).ok());
        let mut received = receive_some(&channel, 1, 1);
        receive_some(&channel, 2, 1);

        let mut late = receiver.join().unwrap();
        let sent = usize::from(sender.join().unwrap().is_some());
        late.extend(drain(&channel, 3));
        assert_in_order(&late);
        assert!((4..=6 + sent).contains(&late.len()));
        received.extend(drain(&channel, 1));
        assert_eq!(received.len(), 6 + sent);
        drain(&channel, 2);
        assert_all_consumed(&channel);
    });
}
