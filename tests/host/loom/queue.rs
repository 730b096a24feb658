// SPDX-License-Identifier: GPL-2.0

//! The ring as a queue.

use host::{
    channel::Channel,
    ring::{Mode, NoMessage, NoRoom},
};
use loom::{sync::Arc, thread};

use crate::{
    assert_all_consumed, assert_all_free, assert_in_order, drain, explore, read_and_put_back,
    receive_some, send_all, sorted, spawn, START,
};

/// Two senders and two receivers: each message is received once, and in order by each receiver.
#[test]
fn all_parties() {
    explore(2, || {
        let channel = Arc::new(Channel::queue(2, START));
        let sender = spawn(&channel, |channel| send_all(channel, [10, 11]));
        let other_sender = spawn(&channel, |channel| send_all(channel, [20]));
        let receiver = spawn(&channel, |channel| receive_some(channel, 1, 1));
        let received_here = receive_some(&channel, 2, 1);

        let sent = [sender.join().unwrap(), other_sender.join().unwrap()];
        let received = [received_here, receiver.join().unwrap(), drain(&channel, 1)];
        received.iter().for_each(|list| assert_in_order(list));
        sent.iter().for_each(|list| assert_in_order(list));
        assert_eq!(sorted(received), sorted(sent));
        assert_all_free(&channel, 2);
    });
}

/// The same with a ring of one slot, which all threads need.
#[test]
fn of_one_slot() {
    explore(2, || {
        let channel = Arc::new(Channel::queue(1, START));
        let sender = spawn(&channel, |channel| send_all(channel, [10]));
        let other_sender = spawn(&channel, |channel| send_all(channel, [20]));
        let receiver = spawn(&channel, |channel| receive_some(channel, 1, 1));
        let received_here = receive_some(&channel, 2, 1);

        let sent = [sender.join().unwrap(), other_sender.join().unwrap()];
        let received = [received_here, receiver.join().unwrap(), drain(&channel, 1)];
        received.iter().for_each(|list| assert_in_order(list));
        assert_eq!(sorted(received), sorted(sent));
        assert_all_free(&channel, 1);
    });
}

/// A message that a receiver puts back is not lost, and no two receivers receive it. No sender uses
/// its slot again before the receiver has read it.
#[test]
fn put_back() {
    explore(2, || {
        let channel = Arc::new(Channel::queue(1, START));
        let first = send_all(&channel, [10]);
        let receiver = spawn(&channel, |channel| read_and_put_back(channel, 1));
        let sender = spawn(&channel, |channel| send_all(channel, [11]));
        let received_here = receive_some(&channel, 2, 2);

        receiver.join().unwrap();
        let sent = [first, sender.join().unwrap()];
        let received = [received_here, drain(&channel, 2)];
        assert_eq!(sorted(received), sorted(sent));
        assert_all_free(&channel, 1);
    });
}

/// Receivers skip a slot that its sender gives up, and a sender uses it again.
#[test]
fn skip() {
    explore(2, || {
        let channel = Arc::new(Channel::queue(2, START));
        let sender = spawn(&channel, |channel| {
            drop(channel.reserve());
            send_all(channel, [10])
        });
        let other_sender = spawn(&channel, |channel| send_all(channel, [20, 21]));
        let received_here = receive_some(&channel, 1, 2);

        let sent = [sender.join().unwrap(), other_sender.join().unwrap()];
        let received = [received_here, drain(&channel, 1)];
        received.iter().for_each(|list| assert_in_order(list));
        assert_eq!(sorted(received), sorted(sent));
        assert_all_free(&channel, 2);
    });
}

/// There are messages for both receivers, so both find one, also when senders use the slots again
/// while the receivers look.
#[test]
fn never_looks_empty() {
    explore(2, || {
        let channel = Arc::new(Channel::queue(2, START));
        send_all(&channel, [10, 11]);
        let receiver = spawn(&channel, |channel| channel.receive(1).is_ok());
        let sender = spawn(&channel, |channel| send_all(channel, [12]));
        assert!(channel.receive(2).is_ok());

        assert!(receiver.join().unwrap());
        sender.join().unwrap();
    });
}

/// Two receivers consume neighbors at once. `head` may stay behind for a time, but not for good.
#[test]
fn neighbours() {
    explore(3, || {
        let channel = Arc::new(Channel::queue(2, START));
        send_all(&channel, [10, 11]);
        let receiver = spawn(&channel, |channel| receive_some(channel, 1, 1));
        let mut received = receive_some(&channel, 2, 1);
        received.extend(receiver.join().unwrap());

        assert_eq!(received.len(), 2);
        assert_all_free(&channel, 2);
    });
}

/// See [`crate::close`].
#[test]
fn close() {
    explore(3, || crate::close(Channel::queue(2, START)));
}

/// While a receiver has claimed the last message of a closed ring, it may still put the message
/// back. So no other receiver finds the ring closed.
#[test]
fn close_and_put_back() {
    explore(3, || {
        let channel = Arc::new(Channel::queue(2, START));
        send_all(&channel, [10]);
        channel.ring.close();
        let receiver = spawn(&channel, |channel| read_and_put_back(channel, 1));
        let mut received = Vec::new();
        for _ in 0..2 {
            match channel.receive(2) {
                Ok(message) => received.push(message),
                Err(NoMessage::Closed) => assert_eq!(received.len(), 1),
                Err(_) => thread::yield_now(),
            }
        }

        receiver.join().unwrap();
        received.extend(drain(&channel, 2));
        assert_eq!(received.len(), 1);
        assert_all_consumed(&channel);
        assert_eq!(channel.receive(1), Err(NoMessage::Closed));
    });
}

/// See [`crate::target_detaches`].
#[test]
fn target_detaches() {
    explore(2, || crate::target_detaches(Channel::queue(2, START)));
}

/// See [`crate::target_detaches_in_request`].
#[test]
fn target_detaches_in_request() {
    explore(2, || {
        crate::target_detaches_in_request(Channel::queue(2, START), true)
    });
}

/// See [`crate::target_detaches_in_request`].
#[test]
fn target_detaches_and_puts_back() {
    explore(2, || {
        crate::target_detaches_in_request(Channel::queue(2, START), false)
    });
}

/// Two senders reserve several slots at once: the slots of each sender are consecutive, and
/// messages that have no room are not sent.
#[test]
fn batches() {
    explore(2, || {
        let channel = Arc::new(Channel::queue(2, START));
        let senders = [[10, 11], [20, 21]].map(|payloads| {
            spawn(&channel, move |channel| {
                channel.send_up_to(&payloads).unwrap_or_default()
            })
        });
        let received_here = receive_some(&channel, 1, 2);

        let sent = senders.map(|sender| sender.join().unwrap());
        for list in &sent {
            assert!(list
                .windows(2)
                .all(|pair| pair[0].position.wrapping_add(1) == pair[1].position));
        }
        let received = [received_here, drain(&channel, 1)];
        received.iter().for_each(|list| assert_in_order(list));
        assert_eq!(sorted(received), sorted(sent));
        assert_all_free(&channel, 2);
    });
}

/// A sender that has reserved several slots gives up some of them.
#[test]
fn batch_given_up() {
    explore(2, || {
        let channel = Arc::new(Channel::queue(2, START));
        let sender = spawn(&channel, |channel| {
            let mut slots = channel.reserve_up_to(2).ok()?;
            // The other slots are dropped.
            Some(channel.publish(slots.next()?, 0, 10))
        });
        let other_sender = spawn(&channel, |channel| send_all(channel, [20, 21]));
        let received_here = receive_some(&channel, 1, 2);

        let sent = [
            Vec::from_iter(sender.join().unwrap()),
            other_sender.join().unwrap(),
        ];
        let received = [received_here, drain(&channel, 1)];
        received.iter().for_each(|list| assert_in_order(list));
        assert_eq!(sorted(received), sorted(sent));
        assert_all_free(&channel, 2);
    });
}

/// A receiver takes several messages, one after the other, beside another receiver and a sender
/// that needs the room: each message is received once.
#[test]
fn bundle() {
    explore(2, || {
        let channel = Arc::new(Channel::queue(2, START));
        let mut sent = send_all(&channel, [10, 11]);
        let sender = spawn(&channel, |channel| send_all(channel, [12]));
        let receiver = spawn(&channel, |channel| receive_some(channel, 1, 1));
        let received_here = channel.receive_bundle(2, 3).unwrap_or_default();

        sent.extend(sender.join().unwrap());
        let received = [received_here, receiver.join().unwrap(), drain(&channel, 1)];
        received.iter().for_each(|list| assert_in_order(list));
        assert_eq!(sorted(received), sent);
        assert_all_free(&channel, 2);
    });
}

/// A ring that is full: a message of two slots, after one slot before the end, and single ones.
fn full_of_one_span() -> Arc<Channel> {
    let channel = Arc::new(Channel::spanning(Mode::Unicast, false, 8, START));
    channel.send_span(2, 10).unwrap();
    (11..16).for_each(|payload| {
        channel.send(payload).unwrap();
    });
    assert_eq!(channel.send_span(2, 99), Err(NoRoom::Full));
    channel
}

/// No sender uses a slot of a message again before the message is received, also not the slots that
/// are free from the start. Each message is received once.
#[test]
fn span_is_used_again() {
    explore(2, || {
        let channel = full_of_one_span();
        let sender = spawn(&channel, |channel| {
            [20, 21].map(|payload| channel.send(payload).ok())
        });
        let receiver = spawn(&channel, |channel| receive_some(channel, 1, 1));
        let received_here = receive_some(&channel, 2, 1);

        let sent = sender.join().unwrap().into_iter().flatten().count();
        let received = [received_here, receiver.join().unwrap(), drain(&channel, 1)];
        received.iter().for_each(|list| assert_in_order(list));
        assert_eq!(sorted(received).len(), 6 + sent);
        assert_all_free(&channel, 8);
    });
}

/// The same, and a receiver puts the message back once.
#[test]
fn span_is_put_back() {
    explore(2, || {
        let channel = full_of_one_span();
        let sender = spawn(&channel, |channel| channel.send_span(2, 20).is_ok());
        let receiver = spawn(&channel, |channel| read_and_put_back(channel, 1));
        let received_here = receive_some(&channel, 2, 2);

        receiver.join().unwrap();
        let sent = u32::from(sender.join().unwrap()) as usize;
        let received = [received_here, drain(&channel, 1)];
        assert_eq!(sorted(received).len(), 6 + sent);
        assert_all_free(&channel, 8);
    });
}

/// Two senders of messages of two slots, one of which gives its slots up: receivers pass all of them,
/// and senders use them again.
#[test]
fn span_is_given_up() {
    explore(2, || {
        let channel = Arc::new(Channel::spanning(Mode::Unicast, false, 8, START));
        let sender = spawn(&channel, |channel| {
            drop(channel.reserve_span(2));
            channel.send_span(2, 10).unwrap()
        });
        let other_sender = spawn(&channel, |channel| channel.send_span(2, 20).unwrap());
        let received_here = receive_some(&channel, 1, 2);

        let sent = [sender.join().unwrap(), other_sender.join().unwrap()];
        let received = [received_here, drain(&channel, 1)];
        received.iter().for_each(|list| assert_in_order(list));
        assert_eq!(sorted(received), sorted([sent.to_vec()]));
        assert_all_free(&channel, 8);
    });
}
