// SPDX-License-Identifier: GPL-2.0

//! What `src/channel` and io_uring do to let requests wait, on top of [`Channel`], for loom. The
//! source that the kernel runs, [`Waiting`], decides which request to wake and when.
//!
//! A thread blocks when it has nothing to do but wait. So if a wake-up is lost, all threads of a
//! model are blocked, and loom fails the model.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use loom::{
    sync::atomic::{AtomicU32, Ordering},
    thread::{self, Thread},
};

use crate::{
    channel::{Channel, Message, MAX_SUBSCRIBERS},
    memory::TestMemory,
    ring::{self, Memory, Mode, NoMessage, NoRoom, Ring, Waiting},
};

/// How many senders can wait. Their numbers start with 1.
const MAX_SENDERS: u32 = 2;

/// A request that waits: its entry in a wait queue. Wake-ups are exclusive.
struct Waiter {
    /// 1 as long as the entry is in the queue.
    is_queued: AtomicU32,
    /// 1 if the request was cancelled.
    is_cancelled: AtomicU32,
    /// The thread to wake. Loom does not know of this mutex: `is_queued` orders the accesses to it.
    thread: Mutex<Option<Thread>>,
}

impl Waiter {
    fn new() -> Self {
        Self {
            is_queued: AtomicU32::new(0),
            is_cancelled: AtomicU32::new(0),
            thread: Mutex::new(None),
        }
    }

    fn thread(&self) -> MutexGuard<'_, Option<Thread>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unpark(&self) {
        if let Some(thread) = &*self.thread() {
            thread.unpark();
        }
    }

    fn enter(&self) {
        *self.thread() = Some(thread::current());
        self.is_queued.store(1, Ordering::Release);
    }

    /// Takes the entry out of the queue, and returns whether the entry was there.
    fn take(&self) -> bool {
        self.is_queued
            .compare_exchange(1, 0, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// A look without the lock of the queue.
    fn is_active(&self) -> bool {
        self.is_queued.load(Ordering::Relaxed) == 1
    }

    fn wake(&self) -> bool {
        let woken = self.is_active() && self.take();
        if woken {
            self.unpark();
        }
        woken
    }

    fn cancel(&self) {
        self.is_cancelled.swap(1, Ordering::AcqRel);
        self.unpark();
    }

    fn is_cancelled(&self) -> bool {
        // Not a load, which might not see that the request was cancelled before it entered the
        // queue.
        self.is_cancelled.fetch_add(0, Ordering::AcqRel) == 1
    }
}

/// A subscriber, with the queue where one of its requests waits for a message.
pub struct Receiver {
    id: u32,
    channel: Arc<Channel>,
    readable: Waiter,
}

impl ring::Receiver for Receiver {
    fn id(&self) -> u32 {
        self.id
    }

    fn is_active(&self) -> bool {
        self.readable.is_active()
    }

    fn has_targeted(&self) -> bool {
        self.channel.has_targeted(self.id)
    }

    fn wake_one(&self) -> bool {
        self.readable.wake()
    }

    fn wake_all(&self) {
        self.readable.wake();
    }
}

/// A request that waits if necessary.
#[derive(Clone, Copy)]
pub enum Request {
    /// A subscriber receives a message.
    Receive { id: u32 },
    /// A sender sends a message to all receivers.
    Send { number: u32, payload: u32 },
}

/// A channel where requests can wait.
pub struct WaitingChannel {
    pub channel: Arc<Channel>,
    receivers_wait: AtomicU32,
    senders_wait: AtomicU32,
    last_woken: AtomicU32,
    receivers: Vec<Receiver>,
    /// Where senders wait for room.
    room: Vec<Waiter>,
}

impl Waiting for WaitingChannel {
    type Memory = TestMemory;
    type Receiver = Receiver;
    type Guard = ();

    fn ring(&self) -> &Ring<TestMemory> {
        &self.channel.ring
    }

    fn mode(&self) -> Mode {
        self.channel.mode
    }

    fn receivers_wait(&self) -> &AtomicU32 {
        &self.receivers_wait
    }

    fn senders_wait(&self) -> &AtomicU32 {
        &self.senders_wait
    }

    fn last_woken(&self) -> &AtomicU32 {
        &self.last_woken
    }

    fn receiver<'a>(&'a self, id: u32, (): &'a ()) -> Option<&'a Receiver> {
        self.channel
            .is_attached(id)
            .then(|| &self.receivers[id as usize - 1])
    }

    fn find_receiver(&self, id: u32, (): &(), mut done: impl FnMut(&Receiver) -> bool) {
        let from = id.saturating_sub(1) as usize;
        self.receivers
            .iter()
            .skip(from)
            .any(|receiver| self.channel.is_attached(receiver.id) && done(receiver));
    }

    fn are_senders_active(&self) -> bool {
        self.room.iter().any(Waiter::is_active)
    }

    fn wake_one_sender(&self) {
        self.room.iter().any(Waiter::wake);
    }

    fn next(&self, receiver: &Receiver) -> Result<u32, NoMessage> {
        self.channel.next(receiver.id)
    }

    fn may_have_any(&self, receiver: &Receiver) -> bool {
        self.channel.may_have_any(receiver.id)
    }

    fn reclaim(&self, (): &()) {
        self.channel.reclaim();
    }

    fn may_overwrite(&self, (): &()) -> bool {
        false
    }
}

impl WaitingChannel {
    /// Lets requests wait for what happens in `channel`. Earlier requests may have left the marks
    /// of the receivers and of the senders set.
    pub fn new(channel: Channel, receivers_wait: bool, senders_wait: bool) -> Self {
        let channel = Arc::new(channel);
        Self {
            receivers_wait: AtomicU32::new(receivers_wait.into()),
            senders_wait: AtomicU32::new(senders_wait.into()),
            last_woken: AtomicU32::new(0),
            receivers: (1..=MAX_SUBSCRIBERS)
                .map(|id| Receiver {
                    id,
                    channel: channel.clone(),
                    readable: Waiter::new(),
                })
                .collect(),
            room: (0..MAX_SENDERS).map(|_| Waiter::new()).collect(),
            channel,
        }
    }

    fn subscriber(&self, id: u32) -> &Receiver {
        &self.receivers[id as usize - 1]
    }

    fn waiter(&self, request: Request) -> &Waiter {
        match request {
            Request::Receive { id } => &self.subscriber(id).readable,
            Request::Send { number, .. } => &self.room[number as usize - 1],
        }
    }

    /// What a sender does after it has published `count` messages before `end`: for `target`, or
    /// for any receiver with 0.
    fn has_sent(&self, target: u32, count: u32, end: u32) {
        TestMemory::full_barrier();
        if count > 0 {
            let target = (target != 0).then(|| self.subscriber(target));
            self.wake_receivers(target, &());
        }
        self.wake_receivers_after(end, &());
        self.wake_sender(&());
    }

    /// Sends a message to all receivers.
    pub fn send(&self, payload: u32) -> Result<Message, NoRoom> {
        let message = self.channel.send(payload)?;
        self.has_sent(0, 1, message.position.wrapping_add(1));
        Ok(message)
    }

    /// Sends a message to one subscriber.
    pub fn send_to(&self, target: u32, payload: u32) -> Result<Message, NoRoom> {
        let message = self.channel.send_to(target, payload)?;
        self.has_sent(target, 1, message.position.wrapping_add(1));
        Ok(message)
    }

    /// Sends as many messages as there is room for, with one reservation.
    pub fn send_up_to(&self, payloads: &[u32]) -> Result<(), NoRoom> {
        let slots = self.channel.reserve_up_to(payloads.len() as u32)?;
        let (mut sent, end) = (0, slots.end());
        for (slot, &payload) in slots.zip(payloads) {
            self.channel.publish(slot, 0, payload);
            sent += 1;
        }
        self.has_sent(0, sent, end);
        Ok(())
    }

    /// Gives up a slot, like a sender whose buffer goes away.
    pub fn send_in_vain(&self) {
        if let Ok(slot) = self.channel.reserve() {
            let end = slot.position().wrapping_add(1);
            drop(slot);
            self.has_sent(0, 0, end);
        }
    }

    /// Ends like a sender whose message a receiver has received at once, without waiting. Clears
    /// marks that others have left.
    pub fn end_send(&self) {
        TestMemory::full_barrier();
        self.wake_receivers(None, &());
        self.wake_sender(&());
    }

    fn has_received(&self, id: u32, position: u32) {
        Waiting::has_received(self, self.subscriber(id), position, &());
    }

    /// Receives a message if there is one.
    pub fn receive(&self, id: u32) -> Result<Message, NoMessage> {
        let message = self.channel.receive(id)?;
        self.has_received(id, message.position);
        Ok(message)
    }

    /// Receives up to `most` messages.
    pub fn receive_bundle(&self, id: u32, most: usize) -> Vec<Message> {
        let messages = self.channel.receive_bundle(id, most).unwrap_or_default();
        if let Some(first) = messages.first() {
            self.has_received(id, first.position);
        }
        messages
    }

    /// Ends like a receiver whose buffer goes away. Returns the message that it had claimed.
    pub fn receive_in_vain(&self, id: u32) -> Option<Message> {
        let claim = self.channel.claim(id).ok()?;
        let message = self.channel.read(&claim);
        self.channel.put_back(id, claim);
        self.pass_on(Some(self.subscriber(id)), &());
        Some(message)
    }

    /// Returns nothing if the request has to wait.
    fn issue(&self, request: Request) -> Option<Option<Message>> {
        match request {
            Request::Receive { id } if self.channel.ring.is_detached(self.channel.cursor(id)) => {
                Some(None)
            }
            Request::Receive { id } => match self.receive(id) {
                Ok(message) => Some(Some(message)),
                Err(NoMessage::Empty | NoMessage::Busy) => None,
                Err(NoMessage::Closed | NoMessage::Detached) => Some(None),
            },
            Request::Send { payload, .. } => match self.send(payload) {
                Ok(message) => Some(Some(message)),
                Err(NoRoom::Full) => None,
                Err(NoRoom::Closed) => Some(None),
            },
        }
    }

    /// Lets a request wait, and returns whether it can go on at once.
    fn poll(&self, request: Request) -> bool {
        self.waiter(request).enter();
        let (is_ready, is_detached) = match request {
            Request::Receive { id } => {
                let found = self.wait_for_message(self.subscriber(id));
                TestMemory::full_barrier();
                (
                    matches!(found, Ok(_) | Err(NoMessage::Closed)),
                    self.channel.ring.is_detached(self.channel.cursor(id)),
                )
            }
            Request::Send { .. } => {
                let is_ready = self.wait_for_room(&());
                TestMemory::full_barrier();
                (is_ready, false)
            }
        };
        is_ready || is_detached || self.channel.ring.is_closed()
    }

    /// Ends a request, possibly after a waker has woken it for a message or room that it has not
    /// taken.
    fn give_up(&self, request: Request) {
        let receiver = match request {
            Request::Receive { id } => Some(self.subscriber(id)),
            Request::Send { .. } => None,
        };
        self.pass_on(receiver, &());
    }

    /// Runs a request until it waits. Returns its result if it ends. The result is `None` if the
    /// request was cancelled, if the channel was closed, or if the subscriber detached.
    fn run(&self, request: Request) -> Option<Option<Message>> {
        let waiter = self.waiter(request);
        loop {
            if waiter.is_cancelled() {
                waiter.take();
                self.give_up(request);
                return Some(None);
            }
            if waiter.is_active() {
                // The wake-up was for another request.
                return None;
            }
            let result = self.issue(request);
            if result == Some(None) {
                self.give_up(request);
            }
            if result.is_some() {
                return result;
            }
            if self.poll(request) {
                waiter.take();
            }
        }
    }

    /// Runs requests to their end in this thread. The result of a cancelled request is `None`.
    pub fn submit<const N: usize>(&self, requests: [Request; N]) -> [Option<Message>; N] {
        let mut results = [None; N];
        loop {
            for (request, result) in requests.iter().zip(&mut results) {
                if result.is_none() {
                    *result = self.run(*request);
                }
            }
            if results.iter().all(Option::is_some) {
                return results.map(Option::flatten);
            }
            thread::park();
        }
    }

    /// Checks for room, like poll(2).
    pub fn watch_room(&self) -> bool {
        self.wait_for_room(&())
    }

    /// Cancels a request.
    pub fn cancel(&self, request: Request) {
        self.waiter(request).cancel();
    }

    /// Ends sending.
    pub fn close(&self) {
        self.channel.ring.close();
        TestMemory::full_barrier();
        self.room.iter().for_each(|waiter| {
            waiter.wake();
        });
        self.receivers.iter().for_each(ring::Receiver::wake_all);
    }

    /// Detaches a subscriber that is not receiving at the moment.
    pub fn detach(&self, id: u32) {
        assert!(!self.channel.leave(id));
        self.channel.remove(id);
        ring::Receiver::wake_all(self.subscriber(id));
        self.room.iter().for_each(|waiter| {
            waiter.wake();
        });
        self.pass_on(Some(self.subscriber(id)), &());
    }

    /// Takes the oldest message of a broadcast away from all receivers that have not received it.
    pub fn overwrite_oldest(&self) {
        self.channel.overwrite_oldest(1);
        // A request may have found the claim, and now waits.
        TestMemory::full_barrier();
        self.receivers
            .iter()
            .for_each(|receiver| self.pass_on_message(receiver, &()));
    }

    /// Reads the message at `position` in place, like a receiver in user space, and stores the
    /// position after it. Returns the message, if there is one.
    pub fn receive_in_place(&self, id: u32, position: u32) -> Option<Message> {
        let message = self.channel.read_in_place(position)?;
        self.channel.store_position(id, position.wrapping_add(1));
        TestMemory::full_barrier();
        if self.senders_wait.load(Ordering::Relaxed) != 0 {
            // Calls the kernel, see `count_mapped` in `src/channel`.
            self.channel.accept_position(id);
            TestMemory::full_barrier();
            self.wake_sender(&());
        }
        Some(message)
    }
}
