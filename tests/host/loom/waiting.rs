// SPDX-License-Identifier: GPL-2.0

//! Requests that wait for a message or for room. If a wake-up is lost, all threads of a model end
//! up blocked, and loom fails the model.

use host::{
    channel::Channel,
    ring::Mode,
    waiting::{Request, WaitingChannel},
};
use loom::sync::Arc;

use crate::{explore, spawn, START};

/// Requests of two receivers.
fn receives() -> [Request; 2] {
    [Request::receive(0, 1), Request::receive(1, 2)]
}

/// Requests of two senders. The first one is not attached.
fn sends() -> [Request; 2] {
    [Request::send(0, 0, 10), Request::send(1, 2, 20)]
}

/// A channel with receivers 1 to `receivers`.
fn open(channel: Channel, receivers: u32) -> Arc<WaitingChannel> {
    (1..=receivers).for_each(|id| channel.attach(id));
    Arc::new(WaitingChannel::new(channel))
}

/// A receiver is about to wait while a message is sent.
#[test]
fn receiver() {
    explore(4, || {
        let channel = open(Channel::queue(1, START), 2);
        let receiver = spawn(&channel, |channel| channel.submit([receives()[0]]));
        let sent = channel.send(10).ok();

        assert_eq!(receiver.join().unwrap(), [sent]);
    });
}

/// Two receivers of a broadcast are about to wait while a message is sent.
#[test]
fn broadcast_receivers() {
    explore(2, || {
        let channel = open(Channel::broadcast(1, START), 2);
        let receivers =
            receives().map(|request| spawn(&channel, move |channel| channel.submit([request])));
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
        let channel = open(Channel::queue(2, START), 2);
        let receivers = spawn(&channel, |channel| channel.submit(receives()));
        let sender = spawn(&channel, |channel| channel.send(10).is_ok());
        channel.send(11).unwrap();

        assert!(sender.join().unwrap());
        assert!(receivers.join().unwrap().iter().all(Option::is_some));
    });
}

/// Two receivers are about to wait while two senders send to one of them each: if the first sender
/// publishes last, it wakes both.
fn targets(channel: Channel) {
    let channel = open(channel, 2);
    let receivers = spawn(&channel, |channel| channel.submit(receives()));
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
    let channel = open(channel, 1);
    let receiver = spawn(&channel, |channel| channel.submit([receives()[0]]));
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
    let channel = open(channel, 2);
    let receivers =
        receives().map(|request| spawn(&channel, move |channel| channel.submit([request])));
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

/// A receiver waits twice while two senders send: a waker clears the mark, and the receiver sets it
/// again.
#[test]
fn receiver_again() {
    explore(2, || {
        let channel = open(Channel::queue(2, START), 1);
        let receiver = spawn(&channel, |channel| {
            [0, 1].map(|number| channel.submit([Request::receive(number, 1)]))
        });
        let sender = spawn(&channel, |channel| channel.send(10).is_ok());
        channel.send(11).unwrap();

        assert!(sender.join().unwrap());
        assert!(receiver
            .join()
            .unwrap()
            .iter()
            .all(|result| result[0].is_some()));
    });
}

/// Three receivers are about to wait while a message for each of them is sent, by two senders.
#[test]
fn three_targets() {
    explore(2, || {
        let channel = open(Channel::queue(4, START), 3);
        let receivers = spawn(&channel, |channel| {
            channel.submit([1, 2, 3].map(|id| Request::receive(id as usize, id)))
        });
        let sender = spawn(&channel, |channel| channel.send_to(3, 30).ok());

        let sent = [channel.send_to(1, 10).ok(), channel.send_to(2, 20).ok()];
        let [first, second] = sent;
        let third = sender.join().unwrap();
        assert_eq!(receivers.join().unwrap(), [first, second, third]);
    });
}

/// Two requests of one receiver are about to wait while two messages are sent, the second one for
/// this receiver alone. If only one request was woken, it wakes the other one.
fn requests_of_one(channel: Channel) {
    let channel = open(channel, 2);
    let receivers = [0, 1].map(|number| {
        spawn(&channel, move |channel| {
            channel.submit([Request::receive(number, 1)])
        })
    });
    channel.send(10).unwrap();
    channel.send_to(1, 11).unwrap();

    for receiver in receivers {
        assert!(receiver.join().unwrap()[0].is_some());
    }
}

/// See [`requests_of_one`].
#[test]
fn queue_requests_of_one() {
    explore(1, || requests_of_one(Channel::queue(2, START)));
}

/// See [`requests_of_one`].
#[test]
fn broadcast_requests_of_one() {
    explore(1, || requests_of_one(Channel::broadcast(2, START)));
}

/// One of two receivers is cancelled or detaches while a message is sent, possibly after a sender
/// has woken it for the message and before it receives the message: then the other receiver gets
/// the message.
fn receiver_gives_up(send_and_give_up: impl FnOnce(&WaitingChannel)) {
    let channel = open(Channel::queue(1, START), 2);
    let [receiver, other] =
        receives().map(|request| spawn(&channel, move |channel| channel.submit([request])));
    send_and_give_up(&channel);

    if receiver.join().unwrap()[0].is_some() {
        channel.send(11).unwrap();
    }
    assert!(other.join().unwrap()[0].is_some());
}

/// See [`receiver_gives_up`].
#[test]
fn receiver_is_cancelled_first() {
    explore(2, || {
        receiver_gives_up(|channel| {
            channel.cancel(receives()[0]);
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
            channel.cancel(receives()[0]);
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
    let channel = open(channel, 1);
    let receiver = spawn(&channel, |channel| channel.submit([receives()[0]]));
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
        let channel = open(Channel::queue(1, START), 1);
        let sent = channel.send(10).unwrap();
        let receiver = spawn(&channel, |channel| channel.submit([receives()[0]]));
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
        let channel = open(Channel::broadcast(2, START), 1);
        channel.send(10).unwrap();
        channel.send(11).unwrap();
        let receiver = spawn(&channel, |channel| channel.submit([receives()[0]]));
        channel.overwrite_oldest();

        assert!(receiver.join().unwrap()[0].is_some());
    });
}

/// A channel that is full of messages for receiver 1.
fn full(channel: Channel, entries: u32) -> Arc<WaitingChannel> {
    channel.attach(1);
    (0..entries).for_each(|payload| {
        channel.send(payload).unwrap();
    });
    Arc::new(WaitingChannel::new(channel))
}

/// A sender is about to wait while a message is received.
fn sender(channel: Channel) {
    let channel = full(channel, 1);
    let sender = spawn(&channel, |channel| channel.submit([sends()[0]]));
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
    let channel = full(channel, 1);
    let sender = spawn(&channel, |channel| channel.submit([sends()[0]]));
    let watcher = spawn(&channel, WaitingChannel::look_for_room);
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
        let channel = full(Channel::queue(1, START), 1);
        let sender = spawn(&channel, |channel| channel.submit([sends()[0]]));
        channel.close();

        assert_eq!(sender.join().unwrap(), [None]);
    });
}

/// A sender is about to wait while the receiver that holds the slot detaches.
#[test]
fn sender_and_detach() {
    explore(4, || {
        let channel = full(Channel::broadcast(1, START), 1);
        let sender = spawn(&channel, |channel| channel.submit([sends()[0]]));
        channel.detach(1);

        assert!(sender.join().unwrap()[0].is_some());
    });
}

/// A sender is about to wait while a message is read in place.
#[test]
fn sender_and_receiver_in_place() {
    explore(4, || {
        let channel = full(Channel::mapped(1, START), 1);
        let sender = spawn(&channel, |channel| channel.submit([sends()[0]]));
        assert!(channel.receive_in_place(1, START).is_some());

        assert!(sender.join().unwrap()[0].is_some());
    });
}

/// Two senders are about to wait while two receivers make room for both.
#[test]
fn senders() {
    explore(1, || {
        let channel = full(Channel::queue(2, START), 2);
        let senders = spawn(&channel, |channel| channel.submit(sends()));
        let receiver = spawn(&channel, |channel| channel.receive(1));
        assert!(channel.receive(2).is_ok());

        assert!(receiver.join().unwrap().is_ok());
        assert!(senders.join().unwrap().iter().all(Option::is_some));
    });
}

/// Two senders are about to wait while a receiver makes room for both at once, and wakes one of
/// them.
fn senders_and_bundle(channel: Channel) {
    let channel = full(channel, 2);
    let senders = spawn(&channel, |channel| channel.submit(sends()));
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
    let channel = full(Channel::queue(1, START), 1);
    let [sender, other] =
        sends().map(|request| spawn(&channel, move |channel| channel.submit([request])));
    receive_and_cancel(&channel);

    if sender.join().unwrap()[0].is_some() {
        assert!(channel.receive(1).is_ok());
    }
    assert!(other.join().unwrap()[0].is_some());
}

/// See [`sender_is_cancelled`].
#[test]
fn sender_is_cancelled_first() {
    explore(2, || {
        sender_is_cancelled(|channel| {
            channel.cancel(sends()[0]);
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
            channel.cancel(sends()[0]);
        });
    });
}

/// One of two senders is detached while a message is received, possibly after the receiver has woken
/// it for the room: then the other sender gets the room.
#[test]
fn sender_detaches() {
    explore(1, || {
        let channel = full(Channel::queue(1, START), 1);
        let [other, sender] =
            sends().map(|request| spawn(&channel, move |channel| channel.submit([request])));
        assert!(channel.receive(1).is_ok());
        channel.detach(2);

        if sender.join().unwrap()[0].is_some() {
            assert!(channel.receive(1).is_ok());
        }
        assert!(other.join().unwrap()[0].is_some());
    });
}

/// A sender and a receiver both wait for each other, twice.
#[test]
fn sender_and_receiver() {
    explore(2, || {
        let channel = full(Channel::queue(1, START), 1);
        let sender = spawn(&channel, |channel| {
            [0, 1].map(|number| channel.submit([Request::send(number, 0, 10)]))
        });
        let received = [2, 3].map(|number| channel.submit([Request::receive(number, 1)]));

        assert!(received.iter().all(|result| result[0].is_some()));
        assert!(sender
            .join()
            .unwrap()
            .iter()
            .all(|result| result[0].is_some()));
    });
}

/// A receiver makes a little room, and then parks: a sender goes on without the tick.
#[test]
fn little_room_and_receiver() {
    explore(3, || {
        let channel = Channel::queue(4, START);
        (1..=2).for_each(|id| channel.attach(id));
        channel.send(10).unwrap();
        for payload in 20..23 {
            channel.send_to(2, payload).unwrap();
        }
        let channel = Arc::new(WaitingChannel::new(channel));
        let sender = spawn(&channel, |channel| channel.submit([sends()[0]]));
        let received =
            [2, 3].map(|number| channel.submit([Request::receive(number, 1)])[0].unwrap());

        let sent = sender.join().unwrap()[0];
        assert_eq!(sent, Some(received[1]));
    });
}

/// A receiver makes a little room: a sender goes on at the tick.
fn little_room(channel: Channel) {
    channel.attach(1);
    (0..4).for_each(|payload| {
        channel.send(payload).unwrap();
    });
    let channel = Arc::new(WaitingChannel::with_tick(channel));
    let sender = spawn(&channel, |channel| channel.submit([sends()[0]]));
    assert!(channel.receive(1).is_ok());

    assert!(sender.join().unwrap()[0].is_some());
}

/// See [`little_room`].
#[test]
fn queue_little_room() {
    explore(3, || little_room(Channel::queue(4, START)));
}

/// See [`little_room`].
#[test]
fn broadcast_little_room() {
    explore(3, || little_room(Channel::broadcast(4, START)));
}

/// A receiver is about to wait while a message is sent. Another receiver is or will be woken for the
/// message, but its task is stopped.
fn stopped_receiver(channel: Channel) {
    (1..=2).for_each(|id| channel.attach(id));
    let channel = Arc::new(WaitingChannel::with_tick(channel));
    channel.stop(receives()[0]);
    let receiver = spawn(&channel, |channel| channel.submit([receives()[1]]));
    let sent = channel.send(10).ok();

    assert_eq!(receiver.join().unwrap(), [sent]);
}

/// See [`stopped_receiver`].
#[test]
fn queue_stopped_receiver() {
    explore(3, || stopped_receiver(Channel::queue(1, START)));
}

/// See [`stopped_receiver`].
#[test]
fn multicast_stopped_receiver() {
    explore(3, || stopped_receiver(Channel::multicast(1, START)));
}

/// A sender is about to wait while a message is received. Another sender is or will be woken for the
/// room, but its task is stopped.
#[test]
fn stopped_sender() {
    explore(3, || {
        let channel = Channel::queue(1, START);
        channel.attach(1);
        channel.send(10).unwrap();
        let channel = Arc::new(WaitingChannel::with_tick(channel));
        channel.stop(sends()[0]);
        let sender = spawn(&channel, |channel| channel.submit([sends()[1]]));
        assert!(channel.receive(1).is_ok());

        assert!(sender.join().unwrap()[0].is_some());
    });
}

/// A receiver is detached whose request is parked or was woken, and its task is stopped.
#[test]
fn stopped_receiver_detaches() {
    explore(3, || {
        let channel = open(Channel::queue(1, START), 2);
        channel.stop(receives()[0]);
        let receiver = spawn(&channel, |channel| channel.submit([receives()[1]]));
        let sent = channel.send(10).ok();
        channel.detach(1);

        assert_eq!(receiver.join().unwrap(), [sent]);
    });
}

/// A watcher is about to wait while a message is sent, to `target` or to any receiver.
fn watcher(channel: Channel, target: u32) {
    let channel = open(channel, 2);
    let watcher = spawn(&channel, |channel| channel.watch(2));
    match target {
        0 => channel.send(10).unwrap(),
        id => channel.send_to(id, 10).unwrap(),
    };

    watcher.join().unwrap();
}

/// See [`watcher`].
#[test]
fn queue_watcher() {
    explore(4, || watcher(Channel::queue(1, START), 0));
}

/// See [`watcher`].
#[test]
fn queue_watcher_and_target() {
    explore(4, || watcher(Channel::queue(1, START), 2));
}

/// See [`watcher`].
#[test]
fn broadcast_watcher() {
    explore(4, || watcher(Channel::broadcast(1, START), 0));
}

/// A watcher and a receiver are about to wait while two messages are sent: the receiver takes only one
/// of them.
fn watcher_and_receiver(channel: Channel) {
    let channel = open(channel, 2);
    let watcher = spawn(&channel, |channel| channel.watch(2));
    let receiver = spawn(&channel, |channel| channel.submit([receives()[0]]));
    channel.send_up_to(&[10, 11]).unwrap();

    watcher.join().unwrap();
    assert!(receiver.join().unwrap()[0].is_some());
}

/// See [`watcher_and_receiver`].
#[test]
fn queue_watcher_and_receiver() {
    explore(2, || watcher_and_receiver(Channel::queue(2, START)));
}

/// See [`watcher_and_receiver`].
#[test]
fn broadcast_watcher_and_receiver() {
    explore(2, || watcher_and_receiver(Channel::broadcast(2, START)));
}

/// A receiver is cancelled, possibly after a sender has woken it for the only message: then a watcher
/// is told of the message.
#[test]
fn watcher_and_cancelled_receiver() {
    explore(2, || {
        let channel = open(Channel::queue(1, START), 2);
        let watcher = spawn(&channel, |channel| channel.watch(2));
        let receiver = spawn(&channel, |channel| channel.submit([receives()[0]]));
        channel.send(10).unwrap();
        channel.cancel(receives()[0]);

        if receiver.join().unwrap()[0].is_some() {
            channel.send(11).unwrap();
        }
        watcher.join().unwrap();
    });
}

/// A watcher is about to wait while its subscriber is detached.
#[test]
fn watcher_and_detach() {
    explore(4, || {
        let channel = open(Channel::queue(1, START), 2);
        let watcher = spawn(&channel, |channel| channel.watch(2));
        channel.detach(2);

        watcher.join().unwrap();
    });
}

/// A watcher is about to wait while the channel is closed.
#[test]
fn watcher_and_close() {
    explore(4, || {
        let channel = open(Channel::broadcast(1, START), 2);
        let watcher = spawn(&channel, |channel| channel.watch(2));
        channel.close();

        watcher.join().unwrap();
    });
}

/// A watcher for room is about to wait while a message is received.
fn room_watcher(channel: Channel) {
    let channel = full(channel, 1);
    let watcher = spawn(&channel, WaitingChannel::watch_room);
    assert!(channel.receive(1).is_ok());

    watcher.join().unwrap();
}

/// See [`room_watcher`].
#[test]
fn queue_room_watcher() {
    explore(4, || room_watcher(Channel::queue(1, START)));
}

/// See [`room_watcher`].
#[test]
fn broadcast_room_watcher() {
    explore(4, || room_watcher(Channel::broadcast(1, START)));
}

/// A channel that is full of single messages for receiver 1, with room for none of two slots.
fn full_for_a_span(mode: Mode) -> Arc<WaitingChannel> {
    // No message of two slots would go across the end.
    let channel = Channel::spanning(mode, false, 8, START.wrapping_add(1));
    channel.attach(1);
    (0..8).for_each(|payload| {
        channel.send(payload).unwrap();
    });
    Arc::new(WaitingChannel::with_tick(channel))
}

/// A sender is about to wait for two slots while they become free one after the other.
fn sender_of_a_span(mode: Mode) {
    let channel = full_for_a_span(mode);
    let sender = spawn(&channel, |channel| {
        channel.submit([Request::send_span(0, 0, 2, 10)])
    });
    assert!(channel.receive(1).is_ok());
    assert!(channel.receive(1).is_ok());

    assert!(sender.join().unwrap()[0].is_some());
}

/// See [`sender_of_a_span`].
#[test]
fn queue_sender_of_a_span() {
    explore(3, || sender_of_a_span(Mode::Unicast));
}

/// See [`sender_of_a_span`].
#[test]
fn broadcast_sender_of_a_span() {
    explore(3, || sender_of_a_span(Mode::Broadcast));
}

/// A sender of one slot waits behind a sender of two. There is room for the former, which goes on once
/// the latter is canceled, whenever that is.
fn next_in_line(mode: Mode) {
    let channel = full_for_a_span(mode);
    let large = Request::send_span(0, 0, 2, 10);
    let senders = spawn(&channel, move |channel| {
        channel.submit([large, Request::send(1, 2, 20)])
    });
    assert!(channel.receive(1).is_ok());
    channel.cancel(large);

    assert!(senders.join().unwrap()[1].is_some());
}

/// See [`next_in_line`].
#[test]
fn queue_next_in_line() {
    explore(3, || next_in_line(Mode::Unicast));
}

/// See [`next_in_line`].
#[test]
fn broadcast_next_in_line() {
    explore(3, || next_in_line(Mode::Broadcast));
}
