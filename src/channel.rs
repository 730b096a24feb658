// SPDX-License-Identifier: GPL-2.0

//! A channel: a ring with its memory, who may use it and who does.
//!
//! Locking: none. Sending and receiving run inside RCU read-side critical sections and use only
//! the atomics of the ring. Attaching and detaching are called with the `uring_lock` of the
//! subscriber's io_uring instance held.

use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{Atomic, Full, Relaxed},
        rcu,
    },
};

use crate::{
    cred::{IpcNamespace, Permissions},
    rcu::RcuObject,
    rcu_xarray::RcuXArray,
    region::{Account, Description, Region},
    ring::{Claim, Memory, NoMessage, NoRoom, Ring},
    subscriber::Subscriber,
    uapi,
    user_buffer::{NotPresent, UserBuffer},
    wait::{WaitQueue, HANGUP, READABLE, WRITABLE},
};

/// Who gets a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// One receiver.
    Unicast,
    /// One receiver, waiting ones in turn.
    Multicast,
    /// All receivers.
    Broadcast,
}

impl Mode {
    /// As people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unicast => "unicast",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
        }
    }
}

/// The argument of CREATE, checked as far as it is not about memory.
pub(crate) struct Parameters {
    mode: Mode,
    private: bool,
    entries: u32,
    max_msg_size: u32,
    permissions: Permissions,
    /// 0 for none.
    key: u64,
}

impl Parameters {
    /// # Errors
    ///
    /// `EINVAL`.
    pub(crate) fn new(create: &crate::bindings::io_uring_ipc_channel_create) -> Result<Self> {
        let known = uapi::IOIPC_F_BROADCAST | uapi::IOIPC_F_MULTICAST | uapi::IOIPC_F_PRIVATE;
        if create.reserved != [0; 3] || create.flags & !known != 0 {
            return Err(EINVAL);
        }
        let mode = match (
            create.flags & uapi::IOIPC_F_BROADCAST != 0,
            create.flags & uapi::IOIPC_F_MULTICAST != 0,
        ) {
            (false, false) => Mode::Unicast,
            (false, true) => Mode::Multicast,
            (true, false) => Mode::Broadcast,
            (true, true) => return Err(EINVAL),
        };
        Ok(Self {
            mode,
            private: create.flags & uapi::IOIPC_F_PRIVATE != 0,
            entries: create.ring_entries,
            max_msg_size: create.max_msg_size,
            permissions: Permissions::of_caller(create.mode),
            key: create.key,
        })
    }
}

/// The bytes of a message that is to be sent.
#[derive(Clone, Copy)]
pub(crate) enum Payload<'a> {
    /// In user memory.
    User(UserBuffer),
    /// A copy that was made because the user memory would not hold still.
    Copy(&'a [u8]),
}

/// A message that is to be sent.
pub(crate) struct Message<'a> {
    pub(crate) payload: Payload<'a>,
    pub(crate) len: u32,
    pub(crate) sender_data: u64,
    /// Id of the sending subscriber, or 0.
    pub(crate) sender: u32,
    /// Id of the only receiver, or 0.
    pub(crate) target: u32,
}

/// Why nothing was sent or received.
pub(crate) enum Failure {
    /// The result of the request.
    Error(Error),
    /// User memory has to be faulted in first: these many bytes of it.
    NotPresent(u32),
    /// Another request of the subscriber is just receiving.
    Busy,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// A channel.
#[pin_data]
pub(crate) struct Channel {
    id: u32,
    key: u64,
    creator: usize,
    permissions: Permissions,
    mode: Mode,
    private: bool,
    ring: Ring<Region>,
    /// How many subscribers there are.
    attached: Atomic<u32>,
    /// Messages that were sent to a target that detached before it received them.
    dropped: Atomic<u64>,
    /// Not 0 if receivers may be waiting.
    receivers_wait: Atomic<u32>,
    /// Not 0 if senders may be waiting.
    senders_wait: Atomic<u32>,
    /// Id of the receiver that was woken last.
    last_woken: Atomic<u32>,
    /// Requests that wait for room, and who else wants to know.
    #[pin]
    room: WaitQueue,
    #[pin]
    subscribers: RcuXArray<Subscriber>,
}

impl Channel {
    /// Makes a channel that nobody can find yet. May sleep.
    ///
    /// `creator` identifies the io_uring instance that creates it.
    ///
    /// # Errors
    ///
    /// `EINVAL`, `ENOMEM`.
    pub(crate) fn new(
        id: u32,
        creator: usize,
        parameters: Parameters,
        account: &Account,
    ) -> Result<ARef<RcuObject<Self>>> {
        let region = Region::new(parameters.entries, parameters.max_msg_size, account)?;
        RcuObject::new(try_pin_init!(Self {
            id,
            key: parameters.key,
            creator,
            permissions: parameters.permissions,
            mode: parameters.mode,
            private: parameters.private,
            ring: Ring::new(region, 0),
            attached: Atomic::new(0),
            dropped: Atomic::new(0),
            receivers_wait: Atomic::new(0),
            senders_wait: Atomic::new(0),
            last_woken: Atomic::new(0),
            room <- WaitQueue::new(),
            subscribers <- RcuXArray::new(),
        }? Error))
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Its key, if it has one, with the namespace that this is looked up in.
    pub(crate) fn key(&self) -> Option<(IpcNamespace, u64)> {
        (self.key != 0).then_some((self.permissions.namespace(), self.key))
    }

    /// The io_uring instance that created it.
    pub(crate) fn creator(&self) -> usize {
        self.creator
    }

    /// Owner and permission bits.
    pub(crate) fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// Who gets a message.
    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether it is private.
    pub(crate) fn is_private(&self) -> bool {
        self.private
    }

    /// Its memory.
    pub(crate) fn region(&self) -> &Region {
        self.ring.memory()
    }

    /// How many messages were dropped because their target detached.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Whether the caller, from the io_uring instance `instance`, finds it by its id.
    pub(crate) fn is_visible_to_caller(&self, instance: usize) -> bool {
        self.permissions.caller_is_inside()
            && (!self.private || self.creator == instance || self.permissions.caller_is_owner())
    }

    /// Ends sending, and wakes all who wait. What is queued can still be received.
    pub(crate) fn close(&self) {
        self.ring.close();
        // Pairs with `poll`: who enters a queue after this sees that the ring is closed.
        Region::full_barrier();
        self.room.wake_all(WRITABLE | HANGUP);
        self.subscribers.for_each(&rcu::read_lock(), |subscriber| {
            subscriber.readable.wake_all(READABLE | HANGUP);
        });
    }

    /// Lets a subscriber take part. May sleep.
    ///
    /// # Errors
    ///
    /// `EUSERS` if there are too many, `ENOMEM`.
    pub(crate) fn attach(&self, subscriber: &ARef<RcuObject<Subscriber>>) -> Result {
        if self.attached.fetch_add(1, Relaxed) >= uapi::IOIPC_MAX_SUBSCRIBERS {
            self.attached.fetch_sub(1, Relaxed);
            return Err(EUSERS);
        }
        // As recent as can be: until it has joined, it holds the slots from there on.
        subscriber.cursor.store(self.ring.new_cursor(), Relaxed);
        self.subscribers
            .insert(subscriber.id(), subscriber.clone())
            .inspect_err(|_| {
                self.attached.fetch_sub(1, Relaxed);
            })?;
        self.ring.broadcast_join(&subscriber.cursor);
        Ok(())
    }

    /// Ends what [`Self::attach`] began. No request of the subscriber can start any more. May
    /// sleep.
    pub(crate) fn detach(&self, subscriber: &Subscriber) {
        if self.ring.broadcast_leave(&subscriber.cursor) {
            // A request in io-wq is reading the message at the cursor. It does not sleep there.
            rcu::synchronize_rcu();
        }
        self.drop_targeted_if_detached(subscriber);
        self.ring.broadcast_let_go(&subscriber.cursor);
        self.subscribers.remove(subscriber.id());
        self.attached.fetch_sub(1, Relaxed);

        // Its own requests end. Those for room are among those of others.
        subscriber.readable.wake_all(READABLE | HANGUP);
        self.room.wake_all(WRITABLE);
        self.pass_on(None, &rcu::read_lock());
    }

    /// Whether a subscriber of this channel is detached.
    pub(crate) fn is_detached(&self, subscriber: &Subscriber) -> bool {
        self.ring.is_detached(&subscriber.cursor)
    }

    /// Drops the messages that only `subscriber` could receive, if it has detached.
    ///
    /// Called by [`Self::detach`] after it has marked the subscriber, and by whoever may have put a
    /// message for it into the ring meanwhile: the barriers pair with each other, so one of them
    /// sees both.
    fn drop_targeted_if_detached(&self, subscriber: &Subscriber) {
        Region::full_barrier();
        if !subscriber.can_receive() || !self.is_detached(subscriber) {
            return;
        }
        let id = subscriber.id();
        let count = if self.mode == Mode::Broadcast {
            self.ring.broadcast_drop_targeted(&subscriber.cursor, id)
        } else {
            self.ring.queue_drop_targeted(id)
        };
        self.dropped.add(u64::from(count), Relaxed);
    }

    /// Moves the head of the ring if possible.
    fn reclaim(&self, guard: &rcu::Guard) {
        if self.mode == Mode::Broadcast {
            self.ring.reclaim_broadcast(|each| {
                self.subscribers.for_each(guard, |subscriber| {
                    if subscriber.can_receive() {
                        each(&subscriber.cursor, subscriber.id());
                    }
                });
            });
        } else {
            self.ring.queue_reclaim();
        }
    }

    /// Sends a message. Does not sleep.
    ///
    /// # Errors
    ///
    /// `EMSGSIZE`, `ENOENT` for a bad target, `ENOBUFS`, `EPIPE`; or [`Failure::NotPresent`].
    /// Nothing is published then.
    #[inline]
    pub(crate) fn send(&self, message: &Message<'_>, guard: &rcu::Guard) -> Result<(), Failure> {
        let region = self.region();
        if message.len > region.max_msg_size() {
            return Err(EMSGSIZE.into());
        }
        let target = match message.target {
            0 => None,
            id => Some(self.find_target(id, guard)?),
        };
        if let Payload::User(buffer) = message.payload {
            // So that a slot is not given up for nothing.
            buffer
                .is_readable()
                .map_err(|NotPresent| Failure::NotPresent(message.len))?;
        }

        let slot = self
            .ring
            .reserve(|_| self.reclaim(guard))
            .map_err(|reason| match reason {
                NoRoom::Full => ENOBUFS,
                NoRoom::Closed => EPIPE,
            })?;
        match message.payload {
            Payload::User(buffer) => {
                if let Err(NotPresent) = region.copy_in(&slot, buffer) {
                    drop(slot);
                    // What comes after the slot can be received now, and be reclaimed.
                    Region::full_barrier();
                    self.wake_receivers(None, guard);
                    self.wake_sender(guard);
                    return Err(Failure::NotPresent(message.len));
                }
            }
            Payload::Copy(bytes) => region.copy_in_kernel(&slot, bytes),
        }
        region.describe(
            &slot,
            &Description {
                len: message.len,
                sender_data: message.sender_data,
                sender: message.sender,
            },
        );
        slot.set_target(message.target);
        slot.publish();

        // Pairs with `poll` (D).
        Region::full_barrier();
        if let Some(target) = target {
            self.drop_targeted_if_detached(target);
        }
        self.wake_receivers(target, guard);
        // One receive can make room for many, and wakes one sender.
        self.wake_sender(guard);
        Ok(())
    }

    fn find_target<'a>(&self, id: u32, guard: &'a rcu::Guard) -> Result<&'a Subscriber> {
        let target = self.subscribers.get(id, guard).ok_or(ENOENT)?;
        if !target.can_receive() || self.is_detached(target) {
            return Err(ENOENT);
        }
        Ok(target)
    }

    fn next(&self, subscriber: &Subscriber) -> Result<u32, NoMessage> {
        if self.mode == Mode::Broadcast {
            self.ring
                .broadcast_next(&subscriber.cursor, subscriber.id())
        } else {
            self.ring.queue_next(subscriber.id())
        }
    }

    fn claim<'a>(&'a self, subscriber: &'a Subscriber, position: u32) -> Option<Claim<'a, Region>> {
        if self.mode == Mode::Broadcast {
            self.ring.broadcast_claim(&subscriber.cursor, position)
        } else {
            self.ring.queue_claim(position)
        }
    }

    /// Receives a message into `buffer`, and returns how many bytes that were. Does not sleep.
    ///
    /// The subscriber must be protected by an RCU read-side critical section that began before it
    /// was looked up.
    ///
    /// # Errors
    ///
    /// `EAGAIN`, `EPIPE`; or [`Failure::NotPresent`], [`Failure::Busy`]. The message stays then.
    #[inline]
    pub(crate) fn receive(
        &self,
        subscriber: &Subscriber,
        buffer: UserBuffer,
        guard: &rcu::Guard,
    ) -> Result<u32, Failure> {
        let region = self.region();
        loop {
            let position = self.next(subscriber).map_err(|reason| match reason {
                NoMessage::Empty => EAGAIN.into(),
                NoMessage::Closed => EPIPE.into(),
                NoMessage::Busy => Failure::Busy,
                NoMessage::Detached => ENOENT.into(),
            })?;
            // So that a claim is not undone for nothing: meanwhile others may claim later messages,
            // and get this one after them.
            let wanted = buffer.up_to(region.message_len(position));
            wanted
                .is_writable()
                .map_err(|NotPresent| Failure::NotPresent(wanted.len()))?;
            let Some(claim) = self.claim(subscriber, position) else {
                continue;
            };
            match region.copy_out(&claim, buffer) {
                Ok(len) => {
                    claim.consume();
                    // Pairs with `poll` (D).
                    Region::full_barrier();
                    // In a broadcast, only who was farthest behind makes room. Whoever waits for
                    // room has brought `head` up to date.
                    if self.mode != Mode::Broadcast || self.ring.head_position() == position {
                        self.wake_sender(guard);
                    }
                    self.pass_on_message(Some(subscriber), guard);
                    return Ok(len);
                }
                Err(NotPresent) => {
                    let len = region.message_len(claim.index());
                    // It is back in the ring, possibly after `detach` has looked.
                    drop(claim);
                    self.drop_targeted_if_detached(subscriber);
                    return Err(Failure::NotPresent(len));
                }
            }
        }
    }

    /// Tells what `subscriber` can do, of what is `wanted`. Calls `enter` with the queues where it
    /// is told when that changes.
    ///
    /// Whoever waits enters a queue, marks the channel and then looks at the ring. Whoever changes
    /// the ring looks at the mark after that. With a full barrier in between on both sides (D), one
    /// of them sees the other. The mark is taken back by who finds all queues empty, in the same
    /// way: a full barrier later it looks once more.
    pub(crate) fn poll(
        &self,
        subscriber: &Subscriber,
        wanted: u32,
        enter: impl Fn(&WaitQueue),
    ) -> u32 {
        let mut events = 0;
        let wants_message = subscriber.can_receive() && wanted & READABLE != 0;
        let wants_room = subscriber.can_send() && wanted & WRITABLE != 0;
        // Who wants neither, or cannot have it, is still told of the end.
        if wants_message || !wants_room {
            enter(&subscriber.readable);
        }
        if wants_room {
            enter(&self.room);
        }
        if wants_message {
            // Full: after the queue, before the look at the ring (D).
            self.receivers_wait.xchg(1, Full);
            match self.next(subscriber) {
                Ok(_) | Err(NoMessage::Closed) => events |= READABLE,
                Err(NoMessage::Empty | NoMessage::Busy | NoMessage::Detached) => (),
            }
        }
        if wants_room {
            // Full: after the queue, before the look at the ring (D).
            self.senders_wait.xchg(1, Full);
            self.reclaim(&rcu::read_lock());
            if !self.ring.is_full() {
                events |= WRITABLE;
            }
        }
        // Pairs with `close` and `detach`: the queue comes first.
        Region::full_barrier();
        if self.ring.is_closed() || self.is_detached(subscriber) {
            events |= HANGUP;
        }
        events
    }

    /// Wakes who waits for a message that was just published for `target`, or for anybody.
    ///
    /// Follows a full barrier (D).
    #[inline]
    fn wake_receivers(&self, target: Option<&Subscriber>, guard: &rcu::Guard) {
        if self.receivers_wait.load(Relaxed) == 0 {
            return;
        }
        if let Some(target) = target {
            target.readable.wake_one(READABLE);
        } else if !self.wake_any_receiver(guard) {
            self.receivers_wait.store(0, Relaxed);
            // Pairs with `poll` (D).
            Region::full_barrier();
            if self.wake_any_receiver(guard) {
                self.receivers_wait.store(1, Relaxed);
            }
        }
    }

    /// Wakes one receiver, in a broadcast all. Returns whether any was waiting.
    fn wake_any_receiver(&self, guard: &rcu::Guard) -> bool {
        match self.mode {
            Mode::Broadcast => {
                let mut waiting = false;
                self.subscribers.for_each(guard, |subscriber| {
                    if subscriber.can_receive() && subscriber.readable.is_active() {
                        waiting = true;
                        subscriber.readable.wake_one(READABLE);
                    }
                });
                waiting
            }
            // The one that attached first.
            Mode::Unicast => self.wake_receiver_from(0, guard),
            // In turn.
            Mode::Multicast => {
                let next = self.last_woken.load(Relaxed).wrapping_add(1);
                self.wake_receiver_from(next, guard) || self.wake_receiver_from(0, guard)
            }
        }
    }

    /// Wakes the first receiver that waits and has at least this id. Returns whether any was
    /// waiting.
    ///
    /// Those who only watch may be many for one message, but a request takes it for sure.
    fn wake_receiver_from(&self, id: u32, guard: &rcu::Guard) -> bool {
        let mut waiting = false;
        self.subscribers.find_from(id, guard, |subscriber| {
            if !subscriber.can_receive() || !subscriber.readable.is_active() {
                return false;
            }
            waiting = true;
            let woken = subscriber.readable.wake_one(READABLE);
            if woken {
                self.last_woken.store(subscriber.id(), Relaxed);
            }
            woken
        });
        waiting
    }

    /// Wakes a sender if there is room. Follows a full barrier (D).
    #[inline]
    fn wake_sender(&self, guard: &rcu::Guard) {
        if self.senders_wait.load(Relaxed) == 0 {
            return;
        }
        if !self.room.is_active() {
            self.senders_wait.store(0, Relaxed);
            // Pairs with `poll` (D).
            Region::full_barrier();
            if !self.room.is_active() {
                return;
            }
            self.senders_wait.store(1, Relaxed);
        }
        self.reclaim(guard);
        if !self.ring.is_full() {
            self.room.wake_one(WRITABLE);
        }
    }

    /// Wakes a receiver if there is still a message: for `subscriber`, or for anybody.
    #[inline]
    fn pass_on_message(&self, subscriber: Option<&Subscriber>, guard: &rcu::Guard) {
        if self.receivers_wait.load(Relaxed) == 0 {
            return;
        }
        if let Some(subscriber) = subscriber {
            if let Ok(position) = self.next(subscriber) {
                let own = self.mode == Mode::Broadcast
                    || self.ring.target_of(position) == subscriber.id();
                if own && subscriber.readable.wake_one(READABLE) {
                    return;
                }
            }
        }
        if self.mode != Mode::Broadcast && self.ring.queue_next(0).is_ok() {
            self.wake_any_receiver(guard);
        }
    }

    /// A request that may have been woken ends without having taken what it was woken for: wakes
    /// another one if that is still there.
    pub(crate) fn pass_on(&self, subscriber: Option<&Subscriber>, guard: &rcu::Guard) {
        // Pairs with `poll` (D).
        Region::full_barrier();
        self.wake_sender(guard);
        self.pass_on_message(subscriber, guard);
    }
}
