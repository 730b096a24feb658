// SPDX-License-Identifier: GPL-2.0

//! Requests that wait for a message or for room. If a wake-up is lost, all threads of a model end
//! up blocked, and loom fails the model.

use host::{
    channel::Channel,
    waiting::{
        Request::{self, Receive, Send},
        WaitingChannel,
    },
};
use loom::sync::Arc;

use crate::{explore, spawn, START};

/// Requests of two receivers.
const RECEIVE: [Request; 2] = [Receive { id: 1 }, Receive { id: 2 }];

/// Requests of two senders.
const SEND: [Request; 2] = [
    Send {
        number: 1,
        payload: 10,
    },
    Send {
        number: 2,
        payload: 20,
    },
];

/// A channel with receivers 1 to `receivers`. Earlier requests may have left the mark of the
/// receivers set.
fn open(channel: Channel, receivers: u32, receivers_wait: bool) -> Arc<WaitingChannel> {
    (1..=receivers).for_each(|id| channel.attach(id));
    Arc::new(WaitingChannel::new(channel, receivers_wait, false))
}

/// A receiver is about to wait while a message is sent.
#[test]
fn receiver() {
    explore(4, || {
        let channel = open(Channel::queue(1, START), 2, false);
        let receiver = spawn(&channel, |channel| channel.submit([RECEIVE[0]]));
        let sent = channel.send(10).ok();

        assert_eq!(receiver.join().unwrap(), [sent]);
    });
}

/// A receiver is about to wait while one sender clears the mark and another one sends.
#[test]
fn receiver_and_mark_taken_back() {
    explore(3, || {
        let channel = open(Channel::queue(1, START), 1, true);
        let receiver = spawn(&channel, |channel| channel.submit([RECEIVE[0]]));
        let sender = spawn(&channel, |channel| channel.send(10).ok());
        channel.end_send();

        assert_eq!(receiver.join().unwrap(), [sender.join().unwrap()]);
    });
}

/// Two receivers of a broadcast are about to wait while a message is sent.
#[test]
fn broadcast_receivers() {
    explore(2, || {
        let channel = open(Channel::broadcast(1, START), 2, false);
        let receivers =
            RECEIVE.map(|request| spawn(&channel, move |channel| channel.submit([request])));
        let sent = channel.send(10).ok();

        for receiver in receivers {
            assert_eq!(receiver.join().unwrap(), [sent]);
        }
    });
}

/// Two receivers of a queue are about to wait while two senders send. If the first sender publishes
/// last, receivers can get both messages only then.
#[test]
fn receivers() {
    explore(2, || {
        let channel = open(Channel::queue(2, START), 2, false);
        let receivers = spawn(&channel, |channel| channel.submit(RECEIVE));
        let sender = spawn(&channel, |channel| channel.send(10).is_ok());
        channel.send(11).unwrap();

        assert!(sender.join().unwrap());
        assert!(receivers.join().unwrap().iter().all(Option::is_some));
    });
}

/// Two receivers are about to wait while two senders send to one of them each: if the first sender
/// publishes last, it wakes both.
fn targets(channel: Channel) {
    let channel = open(channel, 2, false);
    let receivers = spawn(&channel, |channel| channel.submit(RECEIVE));
    let sender = spawn(&channel, |channel| channel.send_to(2, 20).ok());
    let sent = channel.send_to(1, 10).ok();

    let sent = [sent, sender.join().unwrap()];
    assert_eq!(receivers.join().unwrap(), sent);
}

/// See [`targets`].
#[test]
fn queue_targets() {
    explore(2, || targets(Channel::queue(2, START)));
}

/// See [`targets`].
#[test]
fn multicast_targets() {
    explore(2, || targets(Channel::multicast(2, START)));
}

/// See [`targets`].
#[test]
fn broadcast_targets() {
    explore(2, || targets(Channel::broadcast(2, START)));
}

/// A receiver is about to wait while one sender gives up its slot and another one sends: if the
/// first sender comes last, it wakes the receiver for the message of the other one.
fn given_up(channel: Channel) {
    let channel = open(channel, 1, false);
    let receiver = spawn(&channel, |channel| channel.submit([RECEIVE[0]]));
    let sender = spawn(&channel, WaitingChannel::send_in_vain);
    let sent = channel.send(10).ok();

    sender.join().unwrap();
    assert_eq!(receiver.join().unwrap(), [sent]);
}

/// See [`given_up`].
#[test]
fn queue_given_up() {
    explore(2, || given_up(Channel::queue(2, START)));
}

/// See [`given_up`].
#[test]
fn multicast_given_up() {
    explore(2, || given_up(Channel::multicast(2, START)));
}

/// See [`given_up`].
#[test]
fn broadcast_given_up() {
    explore(2, || given_up(Channel::broadcast(2, START)));
}

/// Two receivers are about to wait while a sender sends a batch. The sender wakes one receiver,
/// which wakes the other one.
fn receivers_and_batch(channel: Channel) {
    let channel = open(channel, 2, false);
    let receivers =
        RECEIVE.map(|request| spawn(&channel, move |channel| channel.submit([request])));
    channel.send_up_to(&[10, 11]).unwrap();

    for receiver in receivers {
        assert!(receiver.join().unwrap()[0].is_some());
    }
}

/// See [`receivers_and_batch`].
#[test]
fn queue_receivers_and_batch() {
    explore(1, || receivers_and_batch(Channel::queue(2, START)));
}

/// See [`receivers_and_batch`].
#[test]
fn multicast_receivers_and_batch() {
    explore(1, || receivers_and_batch(Channel::multicast(2, START)));
}

/// Two receivers of a queue are about to wait while one sender clears the mark and another one
/// sends to both.
#[test]
fn receivers_and_mark_taken_back() {
    explore(2, || {
        let channel = open(Channel::queue(2, START), 2, true);
        let receivers = spawn(&channel, |channel| channel.submit(RECEIVE));
        let sender = spawn(&channel, |channel| {
            channel.send(10).unwrap();
            channel.send(11).unwrap();
        });
        channel.end_send();

        sender.join().unwrap();
        assert!(receivers.join().unwrap().iter().all(Option::is_some));
    });
}

/// Three receivers are about to wait, and the other sender sends a message that only the last one
/// can receive.
#[test]
fn target_and_mark_taken_back() {
    explore(2, || {
        let channel = open(Channel::queue(4, START), 3, true);
        let receivers = spawn(&channel, |channel| {
            channel.submit([RECEIVE[0], RECEIVE[1], Receive { id: 3 }])
        });
        let sender = spawn(&channel, |channel| channel.send_to(3, 30).ok());
        channel.end_send();

        let sent = sender.join().unwrap();
        // Wakes the other receivers, and only those.
        let sent = [
            channel.send_to(1, 10).ok(),
            channel.send_to(2, 20).ok(),
            sent,
        ];
        assert_eq!(receivers.join().unwrap(), sent);
    });
}

/// One of two receivers is cancelled or detaches while a message is sent, possibly after a sender
/// has woken it for the message and before it receives the message: then the other receiver gets
/// the message.
fn receiver_gives_up(send_and_give_up: impl FnOnce(&WaitingChannel)) {
    let channel = open(Channel::queue(1, START), 2, false);
    let [receiver, other] =
        RECEIVE.map(|request| spawn(&channel, move |channel| channel.submit([request])));
    send_and_give_up(&channel);

    if receiver.join().unwrap()[0].is_some() {
        channel.send(11).unwrap();
    }
    assert!(other.join().unwrap()[0].is_some());
}

/// See [`receiver_gives_up`].
#[test]
fn receiver_is_cancelled_first() {
    explore(3, || {
        receiver_gives_up(|channel| {
            channel.cancel(RECEIVE[0]);
            channel.send(10).unwrap();
        });
    });
}

/// See [`receiver_gives_up`].
#[test]
fn receiver_is_cancelled_last() {
    explore(2, || {
        receiver_gives_up(|channel| {
            channel.send(10).unwrap();
            channel.cancel(RECEIVE[0]);
        });
    });
}

/// See [`receiver_gives_up`].
#[test]
fn receiver_detaches() {
    explore(1, || {
        receiver_gives_up(|channel| {
            channel.send(10).unwrap();
            channel.detach(1);
        });
    });
}

/// A receiver is about to wait while the channel is closed.
fn receiver_and_close(channel: Channel) {
    let channel = open(channel, 1, false);
    let receiver = spawn(&channel, |channel| channel.submit([RECEIVE[0]]));
    channel.close();

    assert_eq!(receiver.join().unwrap(), [None]);
}

/// See [`receiver_and_close`].
#[test]
fn queue_receiver_and_close() {
    explore(4, || receiver_and_close(Channel::queue(1, START)));
}

/// See [`receiver_and_close`].
#[test]
fn broadcast_receiver_and_close() {
    explore(4, || receiver_and_close(Channel::broadcast(1, START)));
}

/// A receiver is about to wait while another one has claimed the message, cannot take it and puts
/// it back.
#[test]
fn receiver_and_put_back() {
    explore(4, || {
        let channel = open(Channel::queue(1, START), 1, false);
        let sent = channel.send(10).unwrap();
        let receiver = spawn(&channel, |channel| channel.submit([RECEIVE[0]]));
        let received = channel.receive_in_vain(2);

        assert_eq!(receiver.join().unwrap(), [Some(sent)]);
        assert!(received.is_none_or(|message| message == sent));
    });
}

/// A receiver finds its message claimed by a sender that overwrites it, and waits: it gets the next
/// message.
#[test]
fn receiver_and_overwrite() {
    explore(3, || {
        let channel = open(Channel::broadcast(2, START), 1, false);
        channel.send(10).unwrap();
        channel.send(11).unwrap();
        let receiver = spawn(&channel, |channel| channel.submit([RECEIVE[0]]));
        channel.overwrite_oldest();

        assert!(receiver.join().unwrap()[0].is_some());
    });
}

/// A channel that is full of messages for receiver 1.
fn full(channel: Channel, entries: u32, senders_wait: bool) -> Arc<WaitingChannel> {
    channel.attach(1);
    (0..entries).for_each(|payload| {
        channel.send(payload).unwrap();
    });
    Arc::new(WaitingChannel::new(channel, false, senders_wait))
}

/// A sender is about to wait while a message is received.
fn sender(channel: Channel) {
    let channel = full(channel, 1, false);
    let sender = spawn(&channel, |channel| channel.submit([SEND[0]]));
    assert!(channel.receive(1).is_ok());

    assert!(sender.join().unwrap()[0].is_some());
}

/// See [`sender`].
#[test]
fn queue_sender() {
    explore(4, || sender(Channel::queue(1, START)));
}

/// See [`sender`].
#[test]
fn broadcast_sender() {
    explore(4, || sender(Channel::broadcast(1, START)));
}

/// A sender is about to wait while a message is received, and a watcher checks for room: the
/// watcher moves `head` and wakes no sender.
fn sender_and_watcher(channel: Channel) {
    let channel = full(channel, 1, false);
    let sender = spawn(&channel, |channel| channel.submit([SEND[0]]));
    let watcher = spawn(&channel, |channel| channel.watch_room());
    assert!(channel.receive(1).is_ok());

    watcher.join().unwrap();
    assert!(sender.join().unwrap()[0].is_some());
}

/// See [`sender_and_watcher`].
#[test]
fn queue_sender_and_watcher() {
    explore(2, || sender_and_watcher(Channel::queue(1, START)));
}

/// See [`sender_and_watcher`].
#[test]
fn broadcast_sender_and_watcher() {
    explore(2, || sender_and_watcher(Channel::broadcast(1, START)));
}

/// A sender is about to wait while the channel is closed.
#[test]
fn sender_and_close() {
    explore(4, || {
        let channel = full(Channel::queue(1, START), 1, false);
        let sender = spawn(&channel, |channel| channel.submit([SEND[0]]));
        channel.close();

        assert_eq!(sender.join().unwrap(), [None]);
    });
}

/// A sender is about to wait while the receiver that holds the slot detaches.
#[test]
fn sender_and_detach() {
    explore(4, || {
        let channel = full(Channel::broadcast(1, START), 1, false);
        let sender = spawn(&channel, |channel| channel.submit([SEND[0]]));
        channel.detach(1);

        assert!(sender.join().unwrap()[0].is_some());
    });
}

/// A sender is about to wait while a message is read in place.
#[test]
fn sender_and_receiver_in_place() {
    explore(4, || {
        let channel = full(Channel::mapped(1, START), 1, false);
        let sender = spawn(&channel, |channel| channel.submit([SEND[0]]));
        assert!(channel.receive_in_place(1, START).is_some());

        assert!(sender.join().unwrap()[0].is_some());
    });
}

/// A sender is about to wait while two receivers receive the message in the slot. The last of them
/// makes room, and only a receiver that a reclaimer has named looks for it.
#[test]
fn broadcast_sender_and_receivers() {
    explore(3, || {
        let channel = full(Channel::broadcast(1, START), 2, false);
        let sender = spawn(&channel, |channel| channel.submit([SEND[0]]));
        let receiver = spawn(&channel, |channel| channel.receive(1));
        assert!(channel.receive(2).is_ok());

        assert!(receiver.join().unwrap().is_ok());
        assert!(sender.join().unwrap()[0].is_some());
    });
}

/// A sender is about to wait while another one clears the mark and a message is received.
fn sender_and_mark_taken_back(channel: Channel) {
    let channel = full(channel, 1, true);
    let sender = spawn(&channel, |channel| channel.submit([SEND[0]]));
    let receiver = spawn(&channel, |channel| channel.receive(1));
    channel.end_send();

    assert!(receiver.join().unwrap().is_ok());
    assert!(sender.join().unwrap()[0].is_some());
}

/// See [`sender_and_mark_taken_back`].
#[test]
fn queue_sender_and_mark_taken_back() {
    explore(2, || sender_and_mark_taken_back(Channel::queue(1, START)));
}

/// See [`sender_and_mark_taken_back`].
#[test]
fn broadcast_sender_and_mark_taken_back() {
    explore(3, || {
        sender_and_mark_taken_back(Channel::broadcast(1, START));
    });
}

/// Two senders are about to wait while two receivers make room for both.
#[test]
fn senders() {
    explore(1, || {
        let channel = full(Channel::queue(2, START), 2, false);
        let senders = spawn(&channel, |channel| channel.submit(SEND));
        let receiver = spawn(&channel, |channel| channel.receive(1));
        assert!(channel.receive(2).is_ok());

        assert!(receiver.join().unwrap().is_ok());
        assert!(senders.join().unwrap().iter().all(Option::is_some));
    });
}

/// Two senders are about to wait while a receiver makes room for both at once, and wakes one of
/// them.
fn senders_and_bundle(channel: Channel) {
    let channel = full(channel, 2, false);
    let senders = spawn(&channel, |channel| channel.submit(SEND));
    assert_eq!(channel.receive_bundle(1, 2).len(), 2);

    assert!(senders.join().unwrap().iter().all(Option::is_some));
}

/// See [`senders_and_bundle`].
#[test]
fn queue_senders_and_bundle() {
    explore(2, || senders_and_bundle(Channel::queue(2, START)));
}

/// See [`senders_and_bundle`].
#[test]
fn broadcast_senders_and_bundle() {
    explore(2, || senders_and_bundle(Channel::broadcast(2, START)));
}

/// One of two senders is cancelled while a message is received, possibly after the receiver has
/// woken it for the room and before it sends: then the other sender gets the room.
fn sender_is_cancelled(receive_and_cancel: impl FnOnce(&WaitingChannel)) {
    let channel = full(Channel::queue(1, START), 1, false);
    let [sender, other] =
        SEND.map(|request| spawn(&channel, move |channel| channel.submit([request])));
    receive_and_cancel(&channel);

    if sender.join().unwrap()[0].is_some() {
        assert!(channel.receive(1).is_ok());
    }
    assert!(other.join().unwrap()[0].is_some());
}

/// See [`sender_is_cancelled`].
#[test]
fn sender_is_cancelled_first() {
    explore(3, || {
        sender_is_cancelled(|channel| {
            channel.cancel(SEND[0]);
            assert!(channel.receive(1).is_ok());
        });
    });
}

/// See [`sender_is_cancelled`].
#[test]
fn sender_is_cancelled_last() {
    explore(1, || {
        sender_is_cancelled(|channel| {
            assert!(channel.receive(1).is_ok());
            channel.cancel(SEND[0]);
        });
    });
}
