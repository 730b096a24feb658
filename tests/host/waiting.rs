// SPDX-License-Identifier: GPL-2.0

//! What `src/channel.rs` and io_uring do so that requests wait, on top of [`Channel`], for loom.
//!
//! A thread that has nothing to do but wait blocks. So a wake-up that is lost ends in a model in which
//! all threads are blocked, and loom fails that.

use std::sync::{Mutex, MutexGuard, PoisonError};

use loom::{
    sync::atomic::{AtomicU32, Ordering},
    thread::{self, Thread},
};

use crate::{
    channel::{Channel, Message, MAX_SUBSCRIBERS},
    memory::TestMemory,
    ring::{Memory, NoRoom, Ring},
};

/// How many senders can wait. Their numbers begin with 1.
const MAX_SENDERS: u32 = 2;

/// A request that waits: its entry in a wait queue. Wake-ups are exclusive.
struct Waiter {
    /// 1 as long as it is in the queue.
    is_queued: AtomicU32,
    /// 1 if the request was cancelled.
    is_cancelled: AtomicU32,
    /// Who to wake. Nothing that loom knows of: `is_queued` orders the accesses to it.
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

    /// Takes the entry out of the queue, and returns whether it was there.
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
        // Not a load, which could miss that the request was cancelled before it entered the queue.
        self.is_cancelled.fetch_add(0, Ordering::AcqRel) == 1
    }
}

/// A request that waits if it has to.
#[derive(Clone, Copy)]
pub enum Request {
    /// A subscriber receives a message.
    Receive { id: u32 },
    /// A sender sends a message to all.
    Send { number: u32, payload: u32 },
}

/// A channel where requests can wait.
pub struct WaitingChannel {
    pub channel: Channel,
    receivers_wait: AtomicU32,
    senders_wait: AtomicU32,
    /// For each subscriber, where one request waits for a message.
    readable: Vec<Waiter>,
    /// Where senders wait for room.
    room: Vec<Waiter>,
}

impl WaitingChannel {
    /// Requests can wait for what happens in `channel`. Marks that receivers or senders wait may
    /// have been left by some that do no longer.
    pub fn new(channel: Channel, receivers_wait: bool, senders_wait: bool) -> Self {
        Self {
            channel,
            receivers_wait: AtomicU32::new(receivers_wait.into()),
            senders_wait: AtomicU32::new(senders_wait.into()),
            readable: (0..MAX_SUBSCRIBERS).map(|_| Waiter::new()).collect(),
            room: (0..MAX_SENDERS).map(|_| Waiter::new()).collect(),
        }
    }

    fn readable(&self, id: u32) -> &Waiter {
        &self.readable[id as usize - 1]
    }

    fn waiter(&self, request: Request) -> &Waiter {
        match request {
            Request::Receive { id } => self.readable(id),
            Request::Send { number, .. } => &self.room[number as usize - 1],
        }
    }

    /// Wakes one receiver that waits, in a broadcast all. Returns whether any did.
    fn wake_any_receiver(&self) -> bool {
        let mut waiting = self.readable.iter();
        if self.channel.is_broadcast() {
            // All, not only the first one.
            waiting.filter(|waiter| waiter.wake()).count() > 0
        } else {
            waiting.any(Waiter::wake)
        }
    }

    /// Wakes who waits for a message for `target`, or for anybody with 0. Follows a full barrier.
    fn wake_receivers(&self, target: u32) {
        let wake = || match target {
            0 => self.wake_any_receiver(),
            id => {
                self.readable(id).wake();
                true
            }
        };
        Ring::<TestMemory>::wake_marked(&self.receivers_wait, wake, || {
            for waiter in &self.readable {
                waiter.wake();
            }
        });
    }

    /// Wakes a sender if there is room. Follows a full barrier.
    fn wake_sender(&self) {
        let wake = || {
            if !self.room.iter().any(Waiter::is_active) {
                return false;
            }
            self.channel.reclaim();
            if !self.channel.ring.is_full() {
                self.room.iter().any(Waiter::wake);
            }
            true
        };
        Ring::<TestMemory>::wake_marked(&self.senders_wait, wake, || {
            wake();
        });
    }

    /// Wakes a receiver if there is still a message that `id` was possibly woken for.
    fn pass_on_message(&self, id: u32) {
        if self.receivers_wait.load(Ordering::Relaxed) == 0 {
            return;
        }
        if let Ok(position) = self.channel.next(id) {
            let is_own = self.channel.is_broadcast() || self.channel.ring.target_of(position) == id;
            if is_own && self.readable(id).wake() {
                return;
            }
        }
        if !self.channel.is_broadcast() && self.channel.ring.queue_next(0).is_ok() {
            self.wake_any_receiver();
        }
    }

    /// Wakes who waits for messages from `position` on that were published before those in front of
    /// them. Follows a full barrier.
    fn wake_receivers_after(&self, mut position: u32) {
        if self.receivers_wait.load(Ordering::Relaxed) == 0 {
            return;
        }
        while let Some(message) = self.channel.ring.published(position) {
            if let Some(target) = message {
                self.wake_receivers(target);
            }
            position = position.wrapping_add(1);
        }
    }

    /// What follows when messages before `end` were published: for `target`, or for anybody with 0.
    fn has_published(&self, target: u32, end: u32) {
        TestMemory::full_barrier();
        self.wake_receivers(target);
        self.wake_receivers_after(end);
        self.wake_sender();
    }

    /// Sends a message to all.
    pub fn send(&self, payload: u32) -> Result<Message, NoRoom> {
        let message = self.channel.send(payload)?;
        self.has_published(0, message.position.wrapping_add(1));
        Ok(message)
    }

    /// Sends a message to one subscriber.
    pub fn send_to(&self, target: u32, payload: u32) -> Result<Message, NoRoom> {
        let message = self.channel.send_to(target, payload)?;
        self.has_published(target, message.position.wrapping_add(1));
        Ok(message)
    }

    /// Sends as many messages as there is room for, with one reservation.
    pub fn send_up_to(&self, payloads: &[u32]) -> Result<(), NoRoom> {
        let slots = self.channel.reserve_up_to(payloads.len() as u32)?;
        let end = slots.end();
        for (slot, &payload) in slots.zip(payloads) {
            self.channel.publish(slot, 0, payload);
        }
        self.has_published(0, end);
        Ok(())
    }

    /// Ends as a sender does whose message somebody has received at once who has not waited. It
    /// takes marks back that others have left.
    pub fn end_send(&self) {
        TestMemory::full_barrier();
        self.wake_receivers(0);
        self.wake_sender();
    }

    /// Receives a message if there is one.
    pub fn receive(&self, id: u32) -> Option<Message> {
        let message = self.channel.receive(id).ok()?;
        TestMemory::full_barrier();
        self.wake_sender();
        self.pass_on_message(id);
        Some(message)
    }

    /// Receives up to `most` messages.
    pub fn receive_bundle(&self, id: u32, most: usize) -> Vec<Message> {
        let messages = self.channel.receive_bundle(id, most).unwrap_or_default();
        TestMemory::full_barrier();
        self.wake_sender();
        self.pass_on_message(id);
        messages
    }

    /// Ends as a receiver does whose buffer goes away. Returns the message that it had in hand.
    pub fn receive_in_vain(&self, id: u32) -> Option<Message> {
        let claim = self.channel.claim(id).ok()?;
        let message = self.channel.read(&claim);
        self.channel.put_back(id, claim);
        self.pass_on(Request::Receive { id });
        Some(message)
    }

    fn issue(&self, request: Request) -> Option<Message> {
        match request {
            Request::Receive { id } => self.receive(id),
            Request::Send { payload, .. } => self.send(payload).ok(),
        }
    }

    /// Lets a request wait, and returns whether it need not.
    fn poll(&self, request: Request) -> bool {
        self.waiter(request).enter();
        match request {
            Request::Receive { id } => {
                Ring::<TestMemory>::mark_waiting(&self.receivers_wait);
                self.channel.next(id).is_ok()
            }
            Request::Send { .. } => {
                Ring::<TestMemory>::mark_waiting(&self.senders_wait);
                self.channel.reclaim();
                !self.channel.ring.is_full()
            }
        }
    }

    /// Ends a request that was possibly woken for something that it has not taken.
    fn pass_on(&self, request: Request) {
        TestMemory::full_barrier();
        self.wake_sender();
        if let Request::Receive { id } = request {
            self.pass_on_message(id);
        }
    }

    /// Runs a request until it waits. Returns its result if it ends, which is `None` if it was
    /// cancelled.
    fn run(&self, request: Request) -> Option<Option<Message>> {
        let waiter = self.waiter(request);
        loop {
            if waiter.is_cancelled() {
                waiter.take();
                self.pass_on(request);
                return Some(None);
            }
            if waiter.is_active() {
                // It was another one that was woken.
                return None;
            }
            let result = self.issue(request);
            if result.is_some() {
                return Some(result);
            }
            if self.poll(request) {
                waiter.take();
            }
        }
    }

    /// Runs requests to their end in this thread. The result of one that was cancelled is `None`.
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

    /// Cancels a request.
    pub fn cancel(&self, request: Request) {
        self.waiter(request).cancel();
    }

    /// Takes the oldest message of a broadcast away from all who have not received it.
    pub fn overwrite_oldest(&self) {
        self.channel.overwrite_oldest(1);
        // A request may have found the claim, and waits.
        TestMemory::full_barrier();
        (1..=MAX_SUBSCRIBERS).for_each(|id| self.pass_on_message(id));
    }

    /// Reads in place what is at `position` as a receiver in user space does, and says so. Returns
    /// the message, if there is one.
    pub fn receive_in_place(&self, id: u32, position: u32) -> Option<Message> {
        let message = self.channel.read_in_place(position)?;
        self.channel.store_position(id, position.wrapping_add(1));
        TestMemory::full_barrier();
        if self.senders_wait.load(Ordering::Relaxed) != 0 {
            // Calls the kernel, see `count_mapped` in `src/channel.rs`.
            self.channel.accept_position(id);
            TestMemory::full_barrier();
            self.wake_sender();
        }
        Some(message)
    }
}
