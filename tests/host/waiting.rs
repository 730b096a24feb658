// SPDX-License-Identifier: GPL-2.0

//! What io_uring does to let requests and watchers wait, on top of [`ParkingChannel`], for loom.
//!
//! A thread blocks when it has nothing to do but wait. So if a wake-up is lost, all threads of a
//! model are blocked, and loom fails the model.
//!
//! Only a request that is stopped, or little room, needs the tick. So it does not run, except in the
//! models of [`WaitingChannel::with_tick`].

use std::sync::{
    atomic::{AtomicBool, AtomicU32, Ordering},
    Mutex, MutexGuard, PoisonError,
};

use loom::thread::{self, Thread};

use crate::{
    channel::{Channel, Message, MAX_SUBSCRIBERS},
    memory::TestMemory,
    parking::{receives, sends, ParkingChannel, Place, Tasks},
    ring::{Memory, NoMessage, NoRoom, Waiting},
};

/// How many requests a model can have. They are numbered.
const MAX_REQUESTS: usize = 4;

/// A request or a watcher that waits. Loom does not know of this: the lock of the channel, and blocking
/// and waking, order the accesses to it.
#[derive(Default)]
struct Waiter {
    thread: Mutex<Option<Thread>>,
    /// [`Self::NOTHING`], [`Self::WOKEN`] or [`Self::ENDED`].
    news: AtomicU32,
    /// Whether the request was cancelled.
    is_cancelled: AtomicBool,
}

impl Waiter {
    const NOTHING: u32 = 0;
    /// It can go on.
    const WOKEN: u32 = 1;
    /// It was cancelled while it was parked.
    const ENDED: u32 = 2;

    fn thread(&self) -> MutexGuard<'_, Option<Thread>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self) {
        *self.thread() = Some(thread::current());
    }

    fn tell(&self, news: u32) {
        if let Some(thread) = &*self.thread() {
            self.news.store(news, Ordering::Relaxed);
            thread.unpark();
        }
    }

    fn has_news(&self) -> bool {
        self.news.load(Ordering::Relaxed) != Self::NOTHING
    }

    fn take_news(&self) -> u32 {
        self.news.swap(Self::NOTHING, Ordering::Relaxed)
    }

    fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Relaxed)
    }
}

/// The threads of the requests and watchers.
#[derive(Default)]
pub struct Threads {
    requests: [Waiter; MAX_REQUESTS],
    /// One watcher of each subscriber.
    watchers: [Waiter; MAX_SUBSCRIBERS as usize],
    /// A watcher for room.
    room: Waiter,
}

impl Tasks for Threads {
    fn wake(&self, request: usize) {
        self.requests[request].tell(Waiter::WOKEN);
    }

    fn tell(&self, id: u32, _to_all: bool) -> bool {
        self.watchers[id as usize - 1].tell(Waiter::WOKEN);
        false
    }

    fn tell_of_room(&self, _to_all: bool) -> bool {
        self.room.tell(Waiter::WOKEN);
        false
    }

    fn is_room_watched(&self) -> bool {
        self.room.thread().is_some()
    }

    fn tell_the_end(&self, id: u32) {
        if id == 0 {
            self.tell_of_room(true);
        } else {
            self.tell(id, true);
        }
    }
}

/// What a request wants.
#[derive(Clone, Copy)]
enum Kind {
    Receive,
    Send { slots: u32, payload: u32 },
}

/// A request that waits if necessary.
#[derive(Clone, Copy)]
pub struct Request {
    number: usize,
    place: Place,
    kind: Kind,
}

impl Request {
    /// A subscriber receives a message.
    pub fn receive(number: usize, id: u32) -> Self {
        Self {
            number,
            place: receives(id),
            kind: Kind::Receive,
        }
    }

    /// A subscriber, or with 0 a sender that is not attached, sends a message to all receivers.
    pub fn send(number: usize, id: u32, payload: u32) -> Self {
        Self::send_span(number, id, 1, payload)
    }

    /// The same with a message that takes so many slots.
    pub fn send_span(number: usize, id: u32, slots: u32, payload: u32) -> Self {
        Self {
            number,
            place: sends(id),
            kind: Kind::Send { slots, payload },
        }
    }

    fn slots(&self) -> u32 {
        match self.kind {
            Kind::Receive => 1,
            Kind::Send { slots, .. } => slots,
        }
    }
}

/// A channel where requests can wait.
pub struct WaitingChannel {
    pub parking: ParkingChannel<Threads>,
    runs_tick: bool,
}

impl WaitingChannel {
    /// Lets requests wait for what happens in `channel`.
    pub fn new(channel: Channel) -> Self {
        Self {
            parking: ParkingChannel::new(channel, Threads::default()),
            runs_tick: false,
        }
    }

    /// The same, and the thread that arms the tick runs it when it has nothing else to do.
    pub fn with_tick(channel: Channel) -> Self {
        Self {
            runs_tick: true,
            ..Self::new(channel)
        }
    }

    fn channel(&self) -> &Channel {
        &self.parking.channel
    }

    fn waiter(&self, request: Request) -> &Waiter {
        &self.parking.tasks.requests[request.number]
    }

    /// A thread has ended an operation: it runs the tick as often as it is armed, if the model has one.
    fn pause(&self) {
        while self.runs_tick && self.parking.run_tick() {}
    }

    fn has_sent(&self, target: u32, count: u32, end: u32) {
        self.parking.has_sent(target, count, end);
        self.pause();
    }

    /// Sends a message to all receivers.
    pub fn send(&self, payload: u32) -> Result<Message, NoRoom> {
        self.send_to(0, payload)
    }

    /// Sends a message to one subscriber.
    pub fn send_to(&self, target: u32, payload: u32) -> Result<Message, NoRoom> {
        let message = self.parking.send(target, payload)?;
        self.pause();
        Ok(message)
    }

    /// Sends a message that takes so many slots to all receivers.
    pub fn send_span(&self, slots: u32, payload: u32) -> Result<Message, NoRoom> {
        let message = self.channel().send_span(slots, payload)?;
        self.has_sent(0, 1, message.position.wrapping_add(slots));
        Ok(message)
    }

    /// Sends as many messages as there is room for, with one reservation.
    pub fn send_up_to(&self, payloads: &[u32]) -> Result<(), NoRoom> {
        let slots = self.channel().reserve_up_to(payloads.len() as u32)?;
        let (mut sent, end) = (0, slots.end());
        for (slot, &payload) in slots.zip(payloads) {
            self.channel().publish(slot, 0, payload);
            sent += 1;
        }
        self.has_sent(0, sent, end);
        Ok(())
    }

    /// Gives up a slot, like a sender whose buffer goes away.
    pub fn send_in_vain(&self) {
        if let Ok(slot) = self.channel().reserve() {
            let end = slot.position().wrapping_add(1);
            drop(slot);
            self.has_sent(0, 0, end);
        }
    }

    fn has_received(&self, id: u32, position: u32) {
        let receiver = self.parking.member(id);
        self.parking.has_received(receiver, position, &());
        self.pause();
    }

    /// Receives a message if there is one.
    pub fn receive(&self, id: u32) -> Result<Message, NoMessage> {
        let message = self.parking.receive(id)?;
        self.pause();
        Ok(message)
    }

    /// Receives up to `most` messages.
    pub fn receive_bundle(&self, id: u32, most: usize) -> Vec<Message> {
        let messages = self.channel().receive_bundle(id, most).unwrap_or_default();
        if let Some(first) = messages.first() {
            self.has_received(id, first.position);
        }
        messages
    }

    /// Ends like a receiver whose buffer goes away. Returns the message that it had claimed.
    pub fn receive_in_vain(&self, id: u32) -> Option<Message> {
        let claim = self.channel().claim(id).ok()?;
        let message = self.channel().read(&claim);
        self.channel().put_back(id, claim);
        self.parking.will_sleep(receives(id));
        Some(message)
    }

    /// Returns nothing if the request has to wait.
    fn issue(&self, request: Request) -> Option<Option<Message>> {
        if self.parking.is_detached(request.place.id) {
            return Some(None);
        }
        match request.kind {
            Kind::Receive => match self.receive(request.place.id) {
                Ok(message) => Some(Some(message)),
                Err(NoMessage::Empty | NoMessage::Busy) => None,
                Err(NoMessage::Closed | NoMessage::Detached) => Some(None),
            },
            Kind::Send { slots, payload } => match self.send_span(slots, payload) {
                Ok(message) => Some(Some(message)),
                Err(NoRoom::Full) => None,
                Err(NoRoom::Closed) => Some(None),
            },
        }
    }

    /// Runs a request until it waits. Returns its result if it ends. The result is `None` if the
    /// request was cancelled, if the channel was closed, or if the subscriber detached.
    fn run(&self, request: Request, is_woken: bool) -> Option<Option<Message>> {
        let waiter = self.waiter(request);
        let Request { number, place, .. } = request;
        if is_woken && waiter.is_cancelled() {
            self.parking.end_in_vain(place);
            return Some(None);
        }
        loop {
            if is_woken {
                self.parking.looks(place);
            }
            let result = self.issue(request);
            if is_woken && result == Some(None) {
                self.parking.end_in_vain(place);
            }
            if result.is_some() {
                return result;
            }
            if self
                .parking
                .park_for(request.slots(), number, place, is_woken)
            {
                // A cancellation finds a request only once it is parked.
                let has_left = waiter.is_cancelled() && self.parking.unpark(number, place);
                return has_left.then_some(None);
            }
        }
    }

    /// Runs requests to their end in this thread. The result of a cancelled request is `None`.
    pub fn submit<const N: usize>(&self, requests: [Request; N]) -> [Option<Message>; N] {
        let mut results = requests.map(|request| {
            self.waiter(request).enter();
            self.run(request, false)
        });
        loop {
            if results.iter().all(Option::is_some) {
                self.pause();
                return results.map(Option::flatten);
            }
            self.pause();
            // Loom forgets that a thread was unparked if the thread waits for a lock after that.
            if !requests
                .iter()
                .any(|&request| self.waiter(request).has_news())
            {
                thread::park();
            }
            for (request, result) in requests.iter().zip(&mut results) {
                if result.is_none() {
                    *result = match self.waiter(*request).take_news() {
                        Waiter::NOTHING => None,
                        Waiter::ENDED => Some(None),
                        _ => self.run(*request, true),
                    };
                }
            }
        }
    }

    /// Parks a request, whose task is stopped from now on: it never looks when it is woken.
    pub fn stop(&self, request: Request) {
        assert!(self.parking.park(request.number, request.place, false));
    }

    /// Waits like poll(2) until there is a message for a subscriber, until it is detached or until the
    /// channel is closed.
    pub fn watch(&self, id: u32) {
        self.watch_until(&self.parking.tasks.watchers[id as usize - 1], || {
            let is_readable = self.parking.look_for_message(id);
            TestMemory::full_barrier();
            is_readable || self.parking.is_detached(id) || self.channel().ring.is_closed()
        });
    }

    /// Waits like poll(2) until there is room.
    pub fn watch_room(&self) {
        self.watch_until(&self.parking.tasks.room, || self.parking.look_for_room());
    }

    fn watch_until(&self, watcher: &Waiter, look: impl Fn() -> bool) {
        watcher.enter();
        while !look() {
            self.pause();
            while watcher.take_news() == Waiter::NOTHING {
                thread::park();
            }
        }
    }

    /// Looks for room, and goes on without it.
    pub fn look_for_room(&self) {
        self.parking.look_for_room();
    }

    /// Cancels a request.
    pub fn cancel(&self, request: Request) {
        let waiter = self.waiter(request);
        waiter.is_cancelled.store(true, Ordering::Relaxed);
        if self.parking.unpark(request.number, request.place) {
            waiter.tell(Waiter::ENDED);
        }
    }

    /// Ends sending.
    pub fn close(&self) {
        self.parking.close();
    }

    /// Detaches a subscriber that is not receiving at the moment.
    pub fn detach(&self, id: u32) {
        self.parking.detach(id);
        self.pause();
    }

    /// Takes the oldest message of a broadcast away from all receivers that have not received it.
    pub fn overwrite_oldest(&self) {
        self.channel().overwrite_oldest(1);
        // A request may have found the claim, and now waits.
        TestMemory::full_barrier();
        for id in 1..=MAX_SUBSCRIBERS {
            self.parking.pass_on_message(self.parking.member(id));
        }
    }

    /// Reads the message at `position` in place, like a receiver in user space, and stores the
    /// position after it. Returns the message, if there is one.
    pub fn receive_in_place(&self, id: u32, position: u32) -> Option<Message> {
        let message = self.channel().read_in_place(position)?;
        self.channel().store_position(id, position.wrapping_add(1));
        TestMemory::full_barrier();
        if self.parking.senders_wait().load(Ordering::Relaxed) != 0 {
            // Calls the kernel, see `count_mapped` in `src/channel`.
            self.channel().accept_position(id);
            TestMemory::full_barrier();
            self.parking.wake_sender_for_much(&());
            self.pause();
        }
        Some(message)
    }
}
