// SPDX-License-Identifier: GPL-2.0

//! Loom models of the ring: loom runs each of them in every interleaving, and with every value that
//! the memory model lets a load return. It also fails a model in which two accesses to a message
//! are not ordered.
//!
//! All models bound the number of preemptions, because otherwise loom does not come to an end: a
//! thread that could go on is interrupted at most so many times in an execution. Nobody waits for
//! somebody else; who finds the ring full or empty tries again a few times or gives up, and the
//! main thread receives what is left when the others have ended.

#![cfg(loom)]

use host::{
    channel::{Channel, Message},
    ring::{NoMessage, NoRoom},
};
use loom::{
    model::Builder,
    sync::Arc,
    thread::{self, JoinHandle},
};

/// Where positions begin, so that they wrap in each model.
const START: u32 = u32::MAX;

/// Checks a model with up to `preemptions` preemptions.
fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// Runs `task` with the channel in a thread of its own.
fn spawn<T: 'static>(
    channel: &Arc<Channel>,
    task: impl FnOnce(&Channel) -> T + 'static,
) -> JoinHandle<T> {
    let channel = channel.clone();
    thread::spawn(move || task(&channel))
}

/// Sends a message with each payload, and returns what was sent: not what found the ring full.
fn send_all<const N: usize>(channel: &Channel, payloads: [u32; N]) -> Vec<Message> {
    payloads
        .into_iter()
        .filter_map(|payload| channel.send(payload).ok())
        .collect()
}

/// Tries `attempts` times to receive a message.
fn receive_some(channel: &Channel, id: u32, attempts: u32) -> Vec<Message> {
    let mut received = Vec::new();
    for _ in 0..attempts {
        match channel.receive(id) {
            Ok(message) => received.push(message),
            Err(_) => thread::yield_now(),
        }
    }
    received
}

/// Tries to claim a message, and puts it back after reading it.
fn read_and_put_back(channel: &Channel, id: u32) {
    if let Ok(claim) = channel.claim(id) {
        channel.read(&claim);
    }
}

/// Receives what is left.
fn drain(channel: &Channel, id: u32) -> Vec<Message> {
    std::iter::from_fn(|| channel.receive(id).ok()).collect()
}

/// How far a position is from the first one.
fn offset(position: u32) -> u32 {
    position.wrapping_sub(START)
}

fn sorted(lists: impl IntoIterator<Item = Vec<Message>>) -> Vec<Message> {
    let mut all: Vec<_> = lists.into_iter().flatten().collect();
    all.sort_by_key(|message| offset(message.position));
    all
}

fn assert_in_order(messages: &[Message]) {
    assert!(messages.is_sorted_by(|a, b| offset(a.position) < offset(b.position)));
}

/// `head` catches up with `tail`.
fn assert_all_consumed(channel: &Channel) {
    channel.reclaim();
    assert_eq!(channel.head(), channel.ring.tail_position());
}

/// The same, and then the ring takes as many messages as it has entries.
fn assert_all_free(channel: &Channel, entries: u32) {
    assert_all_consumed(channel);
    for payload in 0..entries {
        assert!(channel.send(payload).is_ok());
    }
    assert_eq!(channel.send(entries), Err(NoRoom::Full));
}

/// Two senders and two receivers: each message is received once, and in order by each receiver.
#[test]
fn queue() {
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

/// The same over a ring of one slot, which everybody has to wait for.
#[test]
fn queue_of_one_slot() {
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

/// A message that a receiver puts back is not lost, nobody receives it twice, and its slot is not
/// used again before that receiver has read it.
#[test]
fn queue_put_back() {
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

/// A slot that its sender gives up is skipped, and used again.
#[test]
fn queue_skip() {
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

/// There are messages for both receivers, so both find one, also when the slots are used again
/// while they look.
#[test]
fn queue_never_looks_empty() {
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

/// Two receivers consume neighbours at once. `head` may be left behind, but not for good.
#[test]
fn queue_neighbours() {
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

/// Closing: what is reserved before is received before anybody is told that the ring is closed.
fn close(channel: Channel) {
    let channel = Arc::new(channel);
    channel.attach(1);
    let sender = spawn(&channel, |channel| send_all(channel, [10, 11]));
    let closer = spawn(&channel, |channel| assert!(channel.ring.close()));
    let mut received = Vec::new();
    let mut ended = false;
    for _ in 0..4 {
        match channel.receive(1) {
            Ok(message) => {
                assert!(!ended);
                received.push(message);
            }
            Err(NoMessage::Closed) => ended = true,
            Err(_) => thread::yield_now(),
        }
    }

    closer.join().unwrap();
    let sent = sender.join().unwrap();
    let rest = drain(&channel, 1);
    assert!(!ended || rest.is_empty());
    received.extend(rest);
    assert_eq!(received, sent);
    assert_eq!(channel.receive(1), Err(NoMessage::Closed));
    assert_eq!(channel.send(12), Err(NoRoom::Closed));
}

/// See [`close`].
#[test]
fn queue_close() {
    explore(3, || close(Channel::queue(2, START)));
}

/// See [`close`].
#[test]
fn broadcast_close() {
    explore(3, || close(Channel::broadcast(2, START)));
}

/// While a receiver has the last message of a closed ring in hand it may still put it back, so
/// nobody else is told that there will be none.
#[test]
fn queue_close_and_put_back() {
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

/// Messages for a subscriber that detaches are dropped and counted, whoever comes last.
fn target_detaches(channel: Channel) {
    let channel = Arc::new(channel);
    channel.attach(1);
    let senders =
        [10, 20].map(|payload| spawn(&channel, move |channel| channel.send_to(1, payload)));
    assert!(!channel.leave(1));
    channel.remove(1);

    for sender in senders {
        assert!(sender.join().unwrap().is_ok());
    }
    assert_eq!(channel.dropped(), 2);
    assert_all_consumed(&channel);
}

/// See [`target_detaches`].
#[test]
fn queue_target_detaches() {
    explore(2, || target_detaches(Channel::queue(2, START)));
}

/// See [`target_detaches`].
#[test]
fn broadcast_target_detaches() {
    explore(3, || target_detaches(Channel::broadcast(2, START)));
}

/// A message that a request of a subscriber has in hand while that detaches is either received or,
/// if it is put back, dropped; and so are the messages after it.
fn target_detaches_in_request(channel: Channel, consume: bool) {
    let channel = Arc::new(channel);
    channel.attach(1);
    channel.send_to(1, 10).unwrap();
    let request = spawn(&channel, move |channel| match channel.claim(1) {
        Ok(claim) if consume => {
            channel.read(&claim);
            claim.consume();
            1
        }
        Ok(claim) => {
            channel.put_back(1, claim);
            0
        }
        Err(_) => 0,
    });
    let sender = spawn(&channel, |channel| channel.send_to(1, 11));
    let busy = channel.leave(1);
    if !busy {
        channel.remove(1);
    }

    let received = request.join().unwrap();
    assert!(sender.join().unwrap().is_ok());
    if busy {
        channel.remove(1);
    }
    assert_eq!(received + channel.dropped(), 2);
    assert_all_consumed(&channel);
}

/// See [`target_detaches_in_request`].
#[test]
fn queue_target_detaches_in_request() {
    explore(2, || {
        target_detaches_in_request(Channel::queue(2, START), true)
    });
}

/// See [`target_detaches_in_request`].
#[test]
fn queue_target_detaches_and_puts_back() {
    explore(2, || {
        target_detaches_in_request(Channel::queue(2, START), false)
    });
}

/// See [`target_detaches_in_request`].
#[test]
fn broadcast_target_detaches_in_request() {
    explore(3, || {
        target_detaches_in_request(Channel::broadcast(2, START), true)
    });
}

/// See [`target_detaches_in_request`].
#[test]
fn broadcast_target_detaches_and_puts_back() {
    explore(3, || {
        target_detaches_in_request(Channel::broadcast(2, START), false)
    });
}

/// Messages for a subscriber that detaches are counted also when their slots are used again at once.
#[test]
fn broadcast_target_detaches_from_full() {
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
fn broadcast() {
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

/// A slot that its sender gives up is skipped by both receivers.
#[test]
fn broadcast_skip() {
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

/// Without receivers messages go nowhere, but a slot that is being written is not used again.
#[test]
fn broadcast_to_nobody() {
    explore(3, || {
        let channel = Arc::new(Channel::broadcast(1, START));
        let sender = spawn(&channel, |channel| send_all(channel, [10]));
        let sent = send_all(&channel, [20, 21]);

        let sent = sorted([sent, sender.join().unwrap()]);
        assert_eq!(offset(channel.ring.tail_position()), sent.len() as u32);
        // The slot is in a state from which it goes on.
        channel.attach(1);
        assert!(channel.send(30).is_ok());
        assert!(channel
            .receive(1)
            .is_ok_and(|message| message.payload == 30));
    });
}

/// Joining while a sender uses slots again: the receiver is not behind `head`, and it gets all
/// messages from where it starts, among them one that is sent after it has joined.
#[test]
fn broadcast_join() {
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

/// Joining while slots are used again that the receiver would have no use for: also then it is not
/// behind `head`.
#[test]
fn broadcast_join_and_skip() {
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

/// Joining while another receiver, which was there before, lets slots be used again.
#[test]
fn broadcast_join_another() {
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

/// Two requests of one receiver: none of its messages is received twice or left out.
#[test]
fn broadcast_two_requests() {
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

/// There are messages for both requests of a receiver, so neither is told that there is none.
#[test]
fn broadcast_never_looks_empty() {
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

/// Two requests of one receiver, of which one puts a message back first.
#[test]
fn broadcast_put_back() {
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

/// Leaving while a request reads a message: the slot is not used again before the request is done,
/// and then it is.
#[test]
fn broadcast_leave() {
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
