// SPDX-License-Identifier: GPL-2.0

//! Loom models of the ring: loom runs each of them in every interleaving, and with every value that
//! the memory model lets a load return. It also fails a model in which two accesses to a message
//! are not ordered.
//!
//! All models bound the number of preemptions, because otherwise loom does not come to an end: in
//! an execution, loom interrupts threads that could go on at most that many times. No thread waits
//! for another one. A thread that finds the ring full or empty tries again a few times or gives up,
//! and the main thread receives the messages that are left when the others have ended.

#![cfg(loom)]

mod broadcast;
mod queue;
mod waiting;

use host::{
    channel::{Channel, Message},
    ring::{NoMessage, NoRoom},
};
use loom::{
    model::Builder,
    sync::Arc,
    thread::{self, JoinHandle},
};

/// The first position, so that positions wrap in each model.
const START: u32 = u32::MAX;

/// Checks a model with up to `preemptions` preemptions, or up to `LOOM_MAX_PREEMPTIONS` if that is
/// more.
fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = builder.preemption_bound.max(Some(preemptions));
    builder.check(model);
}

/// Runs `task` with the channel in a new thread.
fn spawn<C: 'static, T: 'static>(
    channel: &Arc<C>,
    task: impl FnOnce(&C) -> T + 'static,
) -> JoinHandle<T> {
    let channel = channel.clone();
    thread::spawn(move || task(&channel))
}

/// Sends a message with each payload, and returns the sent messages, without those that found the
/// ring full.
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

/// Receives all messages that are left.
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
    channel.reclaim_all();
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

/// Closing: all messages in slots that were reserved before are received before a receiver finds
/// the ring closed.
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

/// Messages for a subscriber that detaches are dropped and counted, in whatever order the threads
/// finish.
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

/// A request has claimed a message while its subscriber detaches. The message is received or, if
/// the request puts it back, dropped. The messages after it are dropped.
fn target_detaches_in_request(channel: Channel, consume: bool) {
    let channel = Arc::new(channel);
    channel.attach(1);
    channel.send_to(1, 10).unwrap();
    let request = spawn(&channel, move |channel| match channel.claim(1) {
        Ok(claim) if consume => {
            channel.read(&claim);
            channel.consume(claim);
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
