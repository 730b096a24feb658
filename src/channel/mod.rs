// SPDX-License-Identifier: GPL-2.0

//! A channel: a ring with its memory, who may use it and who does.
//!
//! Locking: sending and receiving run inside RCU read-side critical sections and use only the
//! atomics of the ring. Attaching and detaching are called with the `uring_lock` of an io_uring
//! instance held: that of the subscriber, or of another one that ends its membership. Inside it is
//! the mutex [`Subscriber::membership`], and inside that the one of [`Places`].

use kernel::{
    prelude::*,
    processor::cpu_relax,
    sync::{
        aref::ARef,
        atomic::{Atomic, Relaxed},
        rcu,
    },
};

use crate::{
    channel::{
        cred::{IpcNamespace, Permissions},
        places::Places,
        senders::{CurrentSender, Senders, Translation},
        subscriber::Subscriber,
    },
    kernel::{
        rcu::{let_others_run, RcuObject},
        rcu_xarray::RcuXArray,
        wait::{WaitQueue, HANGUP, READABLE, WRITABLE},
    },
    memory::{
        buffer::Buffer,
        cursor_page::CursorPage,
        region::{Account, Description, Region},
        user_buffer::NotPresent,
    },
    observe::{
        counters::{Counts, PerCpuCounter, SharedCounts},
        refusal::{refuse, Asked},
        trace,
    },
    ring::{Claim, Hold, Memory, NoMessage, NoRoom, Reservation, Reservations, Ring, Waiting},
    uapi::{self, MessageInfo},
};

pub(crate) use crate::ring::Mode;

pub(crate) mod cred;
pub(crate) mod places;
pub(crate) mod registry;
pub(crate) mod senders;
pub(crate) mod subscriber;

/// How often a sender takes the oldest messages away, and others are faster to use the room.
const MAX_OVERWRITES: u32 = 1000;

/// How often a sender looks again at the one request that holds the oldest message.
const MAX_LOOKS: u32 = 1000;

/// After as many messages, or as many bytes, a request leaves its RCU read-side critical section.
const BATCH_MESSAGES: u32 = 64;
const BATCH_BYTES: u32 = 64 << 10;

/// Where a message begins in the buffer of a receive that takes several: at multiples of this.
const BUNDLE_ALIGN: u32 = 8;

/// The argument of CREATE, checked as far as it is not about memory.
#[derive(Clone, Copy)]
pub(crate) struct Parameters {
    mode: Mode,
    private: bool,
    overwrite: bool,
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
    pub(crate) fn new(
        create: &crate::kernel::bindings::io_uring_ipc_channel_create,
    ) -> Result<Self> {
        let known = uapi::IOIPC_F_BROADCAST
            | uapi::IOIPC_F_MULTICAST
            | uapi::IOIPC_F_PRIVATE
            | uapi::IOIPC_F_OVERWRITE;
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
        let overwrite = create.flags & uapi::IOIPC_F_OVERWRITE != 0;
        if overwrite && mode != Mode::Broadcast {
            return Err(EINVAL);
        }
        Ok(Self {
            mode,
            overwrite,
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
    /// In the buffer of the request.
    Buffer(Buffer<'a>),
    /// A copy that was made because the buffer would not hold still.
    Copy(&'a [u8]),
}

impl Payload<'_> {
    #[inline]
    fn len(&self) -> u32 {
        match self {
            Self::Buffer(buffer) => buffer.len(),
            // CAST: It was copied from such a buffer.
            Self::Copy(bytes) => bytes.len() as u32,
        }
    }

    #[inline]
    fn is_readable(&self) -> Result<(), NotPresent> {
        match self {
            Self::Buffer(buffer) => buffer.is_readable(),
            Self::Copy(_) => Ok(()),
        }
    }
}

/// Messages that are to be sent.
pub(crate) struct Outgoing<'a> {
    /// One for each message, at least one.
    pub(crate) payloads: &'a [Payload<'a>],
    pub(crate) sender_data: u64,
    /// Id of the sending subscriber, or 0.
    pub(crate) sender: u32,
    /// Id of the only receiver, or 0.
    pub(crate) target: u32,
}

/// How messages are to be received.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// With a [`MessageInfo`] before each.
    pub(crate) info: bool,
    /// As many as fit.
    pub(crate) bundle: bool,
    /// The whole length is to be told, also of what did not fit.
    pub(crate) whole_len: bool,
    /// None at all if the first one does not fit.
    pub(crate) uncut: bool,
}

impl Wanted {
    /// Just the next message.
    pub(crate) const MESSAGE: Self = Self {
        info: false,
        bundle: false,
        whole_len: false,
        uncut: false,
    };

    /// What comes before each message, in bytes.
    #[inline]
    pub(crate) fn prefix(&self) -> u32 {
        if self.info {
            size_of::<MessageInfo>() as u32
        } else {
            0
        }
    }
}

/// What was received.
#[derive(Clone, Copy, Default)]
pub(crate) struct Received {
    /// How many messages.
    pub(crate) count: u32,
    /// The result of the request: how many bytes of the buffer are used, or would have been.
    pub(crate) len: u32,
    /// There may be more that fits. It was just time to let others run.
    pub(crate) is_unfinished: bool,
}

/// What a receiver of a broadcast can read in place, as far as it was counted.
#[derive(Clone, Copy, Default)]
pub(crate) struct InPlace {
    /// How many messages.
    pub(crate) count: u32,
    /// The position of the last one.
    last: u32,
}

/// What keeps senders from the oldest slot of a full broadcast.
enum Holder<'a> {
    /// A receiver that has not received the message yet, and that senders have to wait for.
    Receiver,
    /// A request of this receiver, which reads the message.
    Reader(&'a Subscriber),
    /// The sender, which has not published the message yet.
    Sender,
}

/// Why nothing was sent.
pub(crate) enum SendFailure {
    /// The result of the request.
    Error(Error),
    /// The first message has to be faulted in first.
    NotPresent,
}

impl From<Error> for SendFailure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// Why nothing was received.
pub(crate) enum Failure {
    /// The result of the request.
    Error(Error),
    /// The buffer has to be faulted in first: these bytes of it.
    NotPresent { from: u32, to: u32 },
    /// Another request of the subscriber is just receiving.
    Busy,
}

impl From<NoMessage> for Failure {
    fn from(reason: NoMessage) -> Self {
        match reason {
            NoMessage::Empty => EAGAIN.into(),
            NoMessage::Closed => EPIPE.into(),
            NoMessage::Busy => Self::Busy,
            NoMessage::Detached => ENOENT.into(),
        }
    }
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
    overwrite: bool,
    ring: Ring<Region>,
    senders: Senders,
    /// Each subscriber has one.
    #[pin]
    places: Places,
    /// Messages that were sent to a target that detached before it received them.
    dropped: Atomic<u64>,
    /// Messages that were sent by who is not attached.
    sent_unattached: PerCpuCounter,
    /// What else was counted of those, and of subscribers that have detached.
    counts: SharedCounts,
    /// How many of them are receivers that senders do not wait for.
    lossy: Atomic<u32>,
    /// Not 0 if receivers may be waiting.
    receivers_wait: Atomic<u32>,
    /// Id of the receiver that was woken last.
    last_woken: Atomic<u32>,
    /// Requests that wait for room, and who else wants to know.
    #[pin]
    room: WaitQueue,
    /// Receivers are marked.
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
        let region = Region::new(
            parameters.entries,
            parameters.max_msg_size,
            parameters.mode == Mode::Broadcast,
            account,
        )?;
        let senders = Senders::new(parameters.entries)?;
        RcuObject::new(try_pin_init!(Self {
            id,
            key: parameters.key,
            creator,
            permissions: parameters.permissions,
            mode: parameters.mode,
            private: parameters.private,
            overwrite: parameters.overwrite,
            ring: Ring::new(region, 0),
            senders,
            places <- Places::new(),
            dropped: Atomic::new(0),
            sent_unattached: PerCpuCounter::new()?,
            counts: SharedCounts::new(),
            lossy: Atomic::new(0),
            receivers_wait: Atomic::new(0),
            last_woken: Atomic::new(0),
            room <- WaitQueue::new(*id, 0),
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

    /// Whether senders overwrite what is not received in time.
    pub(crate) fn overwrites(&self) -> bool {
        self.overwrite
    }

    /// How many messages it has room for.
    pub(crate) fn entries(&self) -> u32 {
        self.region().entries()
    }

    /// How many slots hold what has still to be received: in a broadcast by the receiver that is
    /// farthest behind. May sleep.
    pub(crate) fn used(&self) -> u32 {
        if self.mode == Mode::Broadcast {
            let mut used = 0;
            self.for_each_subscriber(|subscriber| {
                if subscriber.can_receive() {
                    used = used.max(self.lag(subscriber));
                }
            });
            used
        } else {
            self.slots_from(self.ring.head_position())
        }
    }

    /// How many slots a receiver of a broadcast is behind, up to the latest message: 0 if it has
    /// received all that it can.
    pub(crate) fn lag(&self, receiver: &Subscriber) -> u32 {
        // This moves the cursor to a message that it can receive.
        let _ = self.next(receiver);
        self.slots_from(self.ring.cursor_position(&receiver.cursor))
    }

    /// How many slots are in use from a position on. There may be more by now than there were then.
    fn slots_from(&self, position: u32) -> u32 {
        let count = self.ring.tail_position().wrapping_sub(position);
        count.min(self.entries())
    }

    /// What was counted of all who use it or have used it. May sleep.
    pub(crate) fn counts(&self) -> Counts {
        let mut counts = self.counts.get();
        counts.sent += self.sent_unattached.sum();
        self.for_each_subscriber(|subscriber| {
            counts = counts + subscriber.new_counts();
        });
        counts
    }

    /// Counts messages that were sent by who is not attached.
    #[inline]
    pub(crate) fn count_sent_unattached(&self, count: u32) {
        self.sent_unattached.add(count);
    }

    /// Counts a send of who is not attached that has found no room, and whether it waits.
    pub(crate) fn count_full_unattached(&self, waits: bool) {
        self.counts.add(Counts {
            full: 1,
            waits: waits.into(),
            ..Counts::default()
        });
    }

    /// Takes over what was counted of a subscriber since it has detached. May sleep.
    pub(crate) fn take_late_counts(&self, subscriber: &Subscriber) {
        let _membership = subscriber.membership.lock();
        self.counts.add(subscriber.take_counts());
    }

    /// Finds the subscriber with the lowest id that is not less. It stays valid as long as the
    /// read-side critical section.
    pub(crate) fn subscriber_from<'a>(
        &self,
        id: u32,
        guard: &'a rcu::Guard,
    ) -> Option<&'a Subscriber> {
        Some(self.subscribers.get_from(id, guard)?)
    }

    /// Calls `each` for all subscribers, each in a read-side critical section of its own: there may
    /// be many. May sleep.
    fn for_each_subscriber(&self, mut each: impl FnMut(&Subscriber)) {
        let mut id = 0;
        loop {
            {
                let guard = rcu::read_lock();
                let Some(subscriber) = self.subscriber_from(id, &guard) else {
                    return;
                };
                each(subscriber);
                id = subscriber.id() + 1;
            }
            let_others_run();
        }
    }

    /// How many slots a receiver holds: in a broadcast those from its cursor on, in a queue those
    /// with messages for this receiver alone.
    fn held_by(&self, receiver: &Subscriber) -> u32 {
        if self.mode == Mode::Broadcast {
            self.slots_from(self.ring.cursor_position(&receiver.cursor))
        } else {
            receiver.pending()
        }
    }

    /// The receiver that holds most slots, 0 if none holds any.
    ///
    /// It may look at all receivers, of which there are at most `IOIPC_MAX_SUBSCRIBERS`, and takes a
    /// few instructions for each. That is only for tracing.
    #[cold]
    pub(crate) fn holder(&self, guard: &rcu::Guard) -> u32 {
        let (mut most, mut holder) = (0, 0);
        self.subscribers.find_marked(0, guard, |receiver| {
            let held = self.held_by(receiver);
            if held > most {
                (most, holder) = (held, receiver.id());
            }
            most == self.entries()
        });
        holder
    }

    /// Checks that the caller, from the io_uring instance `instance`, finds it by its id.
    ///
    /// # Errors
    ///
    /// `ENOENT`.
    #[inline]
    pub(crate) fn check_visible(&self, instance: usize) -> Result {
        let refused = |rule| Err(refuse(Asked::Channel(self.id), rule, ENOENT));
        if !self.permissions.caller_is_inside() {
            return refused(c"it is in another IPC namespace");
        }
        if self.private && self.creator != instance && !self.permissions.caller_is_owner() {
            return refused(c"it is private, and the caller is not its owner");
        }
        Ok(())
    }

    /// Checks that the caller, from the io_uring instance `instance`, may send without being
    /// attached.
    ///
    /// # Errors
    ///
    /// `ENOENT`, `EACCES`.
    pub(crate) fn check_unattached(&self, instance: usize) -> Result {
        self.check_visible(instance)?;
        if self.private {
            let rule = c"it is private, and the sender has not attached";
            return Err(refuse(Asked::Channel(self.id), rule, EACCES));
        }
        self.check_mode(uapi::IOIPC_SUB_SEND)
    }

    /// Checks that the caller may send and receive as `flags`, of `IOIPC_SUB_*`, asks for.
    ///
    /// # Errors
    ///
    /// `EACCES`.
    #[inline]
    pub(crate) fn check_mode(&self, flags: u32) -> Result {
        self.permissions.check(flags).map_err(|error| {
            let rule = if flags & uapi::IOIPC_SUB_SEND == 0 {
                c"its mode does not let the caller receive"
            } else if flags & uapi::IOIPC_SUB_RECV == 0 {
                c"its mode does not let the caller send"
            } else {
                c"its mode does not let the caller send and receive"
            };
            refuse(Asked::Channel(self.id), rule, error)
        })
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

    /// Checks that the caller, from the io_uring instance `instance`, may destroy it and detach its
    /// subscribers. Says otherwise that this is by `rule`.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the caller must not know of it, `EPERM`.
    pub(crate) fn check_control(&self, instance: usize, rule: &CStr) -> Result {
        if self.ring.is_closed() {
            // Its creator may be gone, and another instance be at the same address.
            return Err(ENOENT);
        }
        if self.creator == instance {
            return Ok(());
        }
        self.check_visible(instance)?;
        if self.permissions.caller_is_owner() {
            return Ok(());
        }
        Err(refuse(Asked::Channel(self.id), rule, EPERM))
    }

    /// Takes a place for a subscriber of the caller. May sleep.
    ///
    /// # Errors
    ///
    /// As [`Places::take`].
    fn take_place(&self, uid: u32) -> Result {
        self.places
            .take(uid, || self.permissions.caller_is_owner())
            .inspect_err(|&error| {
                if error == EUSERS {
                    let rule = c"no place is left, or the caller's uid has its share of them";
                    refuse(Asked::Channel(self.id), rule, error);
                }
            })
    }

    /// Lets a subscriber of the caller take part. May sleep.
    ///
    /// # Errors
    ///
    /// `EUSERS` if there are too many, or too many of the caller's uid; `ENOMEM`.
    pub(crate) fn attach(&self, subscriber: &ARef<RcuObject<Subscriber>>) -> Result {
        self.take_place(subscriber.uid())?;
        // As recent as can be: until it has joined, it holds the slots from there on.
        subscriber.cursor.store(self.ring.new_cursor(), Relaxed);
        self.subscribers
            .insert(
                subscriber.id(),
                subscriber.clone(),
                subscriber.can_receive(),
            )
            .inspect_err(|_| self.places.give_back(subscriber.uid()))?;
        if subscriber.is_lossy() {
            self.lossy.fetch_add(1, Relaxed);
        }
        if self.mode != Mode::Broadcast {
            self.ring.queue_join(&subscriber.cursor);
        } else if subscriber.wants_history() {
            // Senders that overwrite this receiver's messages need no room.
            let room = if self.may_take_from(subscriber) {
                0
            } else {
                (self.entries() / 4).max(1)
            };
            self.ring.broadcast_join_at_oldest(&subscriber.cursor, room);
        } else {
            self.ring.broadcast_join(&subscriber.cursor);
        }
        // It may have held more until now than it does from now on. Pairs with `poll` (D).
        Region::full_barrier();
        self.wake_sender(&rcu::read_lock());
        Ok(())
    }

    /// Ends what [`Self::attach`] began. Returns whether the subscriber was attached until now: if
    /// not, somebody else has done all of this. Requests of it that have started go on, those that
    /// start later find that it is detached. May sleep.
    pub(crate) fn detach(&self, subscriber: &Subscriber) -> bool {
        let _membership = subscriber.membership.lock();
        if self.is_detached(subscriber) {
            return false;
        }
        if self.ring.broadcast_leave(&subscriber.cursor) {
            // A request is reading the message at the cursor. It does not sleep there.
            rcu::synchronize_rcu();
        }
        self.drop_targeted_if_detached(subscriber);
        self.ring.broadcast_let_go(&subscriber.cursor);
        self.counts.add(subscriber.take_counts());
        self.subscribers.remove(subscriber.id());
        if subscriber.is_lossy() {
            self.lossy.fetch_sub(1, Relaxed);
        }
        self.places.give_back(subscriber.uid());
        trace::detach(|| (self.id, subscriber.id()));

        // Its own requests end. Those for room are among those of others.
        subscriber.readable.wake_all(READABLE | HANGUP);
        self.room.wake_all(WRITABLE);
        self.pass_on(
            subscriber.can_receive().then_some(subscriber),
            &rcu::read_lock(),
        );
        true
    }

    /// Whether a subscriber of this channel is detached.
    #[inline]
    pub(crate) fn is_detached(&self, subscriber: &Subscriber) -> bool {
        self.ring.is_detached(&subscriber.cursor)
    }

    /// Drops the messages that only `subscriber` could receive, if it has detached. Returns whether
    /// it has.
    ///
    /// Called by [`Self::detach`] after it has marked the subscriber, and by whoever may have put a
    /// message for it into the ring meanwhile: the barriers pair with each other, so one of them
    /// sees both. But in a broadcast, where nothing holds the message then, a sender that is
    /// preempted before this for as long as others need to go once round the ring does not find it:
    /// it is not counted. To wait for such senders would take a grace period for each receiver that
    /// detaches.
    fn drop_targeted_if_detached(&self, subscriber: &Subscriber) -> bool {
        Region::full_barrier();
        if !subscriber.can_receive() || !self.is_detached(subscriber) {
            return false;
        }
        let id = subscriber.id();
        let count = if self.mode == Mode::Broadcast {
            self.ring.broadcast_drop_targeted(&subscriber.cursor, id)
        } else {
            let pending = subscriber.pending();
            let dropped = self
                .ring
                .queue_drop_targeted(&subscriber.cursor, id, pending);
            subscriber.uncount_pending(dropped);
            dropped
        };
        self.dropped.add(u64::from(count), Relaxed);
        true
    }

    /// The page in which a receiver of a broadcast says how far it has read. May sleep.
    ///
    /// # Errors
    ///
    /// As [`Subscriber::make_cursor_page`].
    pub(crate) fn cursor_page<'a>(&self, subscriber: &'a Subscriber) -> Result<&'a CursorPage> {
        let position = self.ring.cursor_position(&subscriber.cursor);
        let page = subscriber.make_cursor_page(position)?;
        // It may be there for long, and messages may have been received without it since.
        page.catch_up(position);
        Ok(page)
    }

    /// Takes over how far a receiver of a broadcast says that it has read.
    #[inline]
    fn accept_position(&self, subscriber: &Subscriber) {
        if let Some(page) = subscriber.cursor_page() {
            self.ring
                .broadcast_accept(&subscriber.cursor, page.position());
        }
    }

    /// Moves the head of the ring if possible.
    fn reclaim(&self, guard: &rcu::Guard) {
        if self.mode == Mode::Broadcast {
            self.ring.reclaim_broadcast(|each| {
                self.subscribers.find_marked(0, guard, |receiver| {
                    self.accept_position(receiver);
                    each(&receiver.cursor, receiver.id())
                });
            });
        } else {
            self.ring.queue_reclaim();
        }
    }

    /// Whether senders take messages away from a receiver that has not received them in time.
    fn may_take_from(&self, receiver: &Subscriber) -> bool {
        self.overwrite || receiver.is_lossy()
    }

    /// What a receiver of a broadcast does with the slots from `head` on.
    fn hold(&self, receiver: &Subscriber, head: u32) -> Option<Hold> {
        self.accept_position(receiver);
        self.ring
            .broadcast_hold(&receiver.cursor, receiver.id(), head)
    }

    /// How many of the `count` oldest slots of a full ring senders can take from the receivers now:
    /// none, or one at least.
    ///
    /// # Errors
    ///
    /// What holds the oldest one.
    fn find_takeable<'a>(&self, count: u32, guard: &'a rcu::Guard) -> Result<u32, Holder<'a>> {
        let head = self.ring.head_position();
        if self.ring.published(head).is_none() {
            return Err(Holder::Sender);
        }
        let (mut takeable, mut holder) = (count, None);
        self.subscribers.find_marked(0, guard, |receiver| {
            match self.hold(receiver, head) {
                Some(Hold::Idle { ahead }) if !self.may_take_from(receiver) => {
                    takeable = takeable.min(ahead);
                    holder = (ahead == 0).then_some(Holder::Receiver);
                }
                Some(Hold::Reading { ahead: 0 }) => holder = Some(Holder::Reader(receiver)),
                _ => (),
            }
            holder.is_some()
        });
        holder.map_or(Ok(takeable), Err)
    }

    /// Takes the `count` oldest messages away from the receivers that have not received them.
    fn overwrite_oldest(&self, count: u32, guard: &rcu::Guard) {
        let head = self.ring.head_position();
        let is_old = |position: u32| position.wrapping_sub(head) < count;
        self.subscribers.for_each_marked(guard, |receiver| {
            if !self.may_take_from(receiver) {
                return;
            }
            let claim = match self.next(receiver) {
                Ok(position) if is_old(position) => self.claim(receiver, position),
                _ => None,
            };
            let Some(mut claim) = claim else {
                return;
            };
            loop {
                receiver.count_lost();
                let position = claim.position();
                trace::lost(|| (self.id, receiver.id(), Region::message_id(position)));
                if !claim.step(receiver.id()) {
                    claim.consume();
                    break;
                }
                if !is_old(claim.position()) {
                    // This one stays.
                    drop(claim);
                    break;
                }
            }
            // One of its requests may have found the claim, and waits.
            Region::full_barrier();
            self.pass_on_message(receiver, guard);
        });
    }

    /// Makes room in a full ring for up to `count` messages, if senders need not wait for the
    /// receivers. Returns whether there may be room now.
    #[cold]
    fn make_room(&self, count: u32, guard: &rcu::Guard) -> bool {
        if !self.takes_from_any() {
            return false;
        }
        // A request holds the slot for the time of a copy, unless it does not run.
        let wait_until = |is_done: &dyn Fn() -> bool| {
            (0..MAX_LOOKS).any(|_| {
                cpu_relax();
                is_done()
            })
        };
        let head = self.ring.head_position();
        match self.find_takeable(count.min(self.ring.reclaim_step()), guard) {
            Ok(takeable) => {
                self.overwrite_oldest(takeable, guard);
                true
            }
            Err(Holder::Receiver) => false,
            Err(Holder::Reader(receiver)) => wait_until(&|| {
                !matches!(self.hold(receiver, head), Some(Hold::Reading { ahead: 0 }))
            }),
            // If others have moved `head` on, the slot may be that of a later message.
            Err(Holder::Sender) => wait_until(&|| {
                self.ring.published(head).is_some() || self.ring.head_position() != head
            }),
        }
    }

    /// Whether there is a receiver that senders take messages away from, if there is any receiver.
    fn takes_from_any(&self) -> bool {
        self.overwrite || self.lossy.load(Relaxed) != 0
    }

    /// Reserves slots for senders: `count` if there is room for as many, at least one.
    #[inline(always)]
    fn reserve(&self, count: u32, guard: &rcu::Guard) -> Result<Reservations<'_, Region>> {
        let mut attempts = 0;
        loop {
            match self.ring.reserve_up_to(count, |_| self.reclaim(guard)) {
                Ok(slots) => return Ok(slots),
                Err(NoRoom::Closed) => return Err(EPIPE),
                Err(NoRoom::Full) => {
                    if attempts == MAX_OVERWRITES || !self.make_room(count, guard) {
                        return Err(ENOBUFS);
                    }
                    attempts += 1;
                }
            }
        }
    }

    /// Puts one message into its slot.
    #[inline(always)]
    fn fill(
        &self,
        slot: Reservation<'_, Region>,
        payload: &Payload<'_>,
        outgoing: &Outgoing<'_>,
        target: Option<&Subscriber>,
        current: &CurrentSender,
    ) -> Result<(), NotPresent> {
        let region = self.region();
        match payload {
            Payload::Buffer(buffer) => region.copy_in(&slot, *buffer)?,
            Payload::Copy(bytes) => region.copy_in_kernel(&slot, bytes),
        }
        region.describe(
            &slot,
            &Description {
                len: payload.len(),
                sender_data: outgoing.sender_data,
                sender: outgoing.sender,
            },
        );
        self.senders.stamp(&slot, current);
        slot.set_target(outgoing.target);
        if let Some(target) = target {
            // Before the message is there, see `Receiver::has_targeted`.
            target.count_pending();
        }
        let position = slot.position();
        slot.publish();
        trace::send(|| {
            let msg_id = Region::message_id(position);
            let Outgoing { sender, target, .. } = *outgoing;
            (self.id, sender, target, msg_id, payload.len())
        });
        Ok(())
    }

    /// Sends messages, and returns how many: at least one, fewer than there are if there is no more
    /// room, if the next one cannot be sent, or if it is time to let others run. Does not sleep.
    ///
    /// # Errors
    ///
    /// `EMSGSIZE`, `ENOENT` for a bad target, `ENOBUFS`, `EPIPE`; or [`SendFailure::NotPresent`].
    /// Nothing is published then. They are about the first message.
    #[inline(always)]
    pub(crate) fn send(
        &self,
        outgoing: &Outgoing<'_>,
        guard: &rcu::Guard,
    ) -> Result<u32, SendFailure> {
        let max_len = self.region().max_msg_size();
        let target = match outgoing.target {
            0 => None,
            id => Some(self.find_target(id, guard)?),
        };
        // So that no slot is given up for nothing.
        let (mut ready, mut bytes) = (0, 0);
        for payload in outgoing.payloads {
            if bytes >= BATCH_BYTES {
                break;
            }
            let failure = if payload.len() > max_len {
                EMSGSIZE.into()
            } else if payload.is_readable().is_err() {
                SendFailure::NotPresent
            } else {
                ready += 1;
                bytes += payload.len();
                continue;
            };
            if ready == 0 {
                return Err(failure);
            }
            break;
        }

        let mut sent = 0;
        let current = CurrentSender::new();
        let slots = self.reserve(ready, guard)?;
        let end = slots.end();
        // In a broadcast nobody needs to know how many messages are for one receiver.
        let counted = target.filter(|_| self.mode != Mode::Broadcast);
        for (slot, payload) in slots.zip(outgoing.payloads) {
            if self
                .fill(slot, payload, outgoing, counted, &current)
                .is_err()
            {
                // This slot and those after it are given up.
                break;
            }
            sent += 1;
        }

        // Pairs with `poll` (D).
        Region::full_barrier();
        if let Some(target) = target {
            self.drop_targeted_if_detached(target);
        }
        if sent > 0 {
            self.wake_receivers(target, guard);
        }
        self.wake_receivers_after(end, guard);
        // One receive can make room for many, and wakes one sender.
        self.wake_sender(guard);
        if sent == 0 {
            return Err(SendFailure::NotPresent);
        }
        Ok(sent)
    }

    fn find_target<'a>(&self, id: u32, guard: &'a rcu::Guard) -> Result<&'a Subscriber> {
        match self.subscribers.get(id, guard) {
            Some(target) if target.can_receive() && !self.is_detached(target) => Ok(target),
            _ => {
                let rule = c"as a target: it is no receiver of the sender's channel";
                Err(refuse(Asked::Subscriber(id), rule, ENOENT))
            }
        }
    }

    fn next(&self, subscriber: &Subscriber) -> Result<u32, NoMessage> {
        if self.mode == Mode::Broadcast {
            self.accept_position(subscriber);
            self.ring
                .broadcast_next(&subscriber.cursor, subscriber.id())
        } else {
            self.ring.queue_next(&subscriber.cursor, subscriber.id())
        }
    }

    fn claim<'a>(&'a self, subscriber: &'a Subscriber, position: u32) -> Option<Claim<'a, Region>> {
        if self.mode == Mode::Broadcast {
            self.ring.broadcast_claim(&subscriber.cursor, position)
        } else {
            self.ring.queue_claim(position)
        }
    }

    /// Is done with a message that `subscriber` has claimed.
    #[inline]
    fn consume(&self, claim: Claim<'_, Region>, subscriber: &Subscriber) {
        if self.mode != Mode::Broadcast && self.ring.target(claim.position()) != 0 {
            subscriber.uncount_pending(1);
        }
        claim.consume();
    }

    /// Is done with a message that `subscriber` has claimed, and claims the next one if it is there
    /// and not longer than `max_len`. In a queue, not if `is_writable` fails for its length.
    fn following<'a>(
        &'a self,
        mut claim: Claim<'a, Region>,
        subscriber: &'a Subscriber,
        max_len: u32,
        is_writable: impl FnOnce(u32) -> Result<(), Failure>,
    ) -> Result<Option<Claim<'a, Region>>, Failure> {
        if self.mode == Mode::Broadcast {
            if !claim.step(subscriber.id()) {
                self.consume(claim, subscriber);
                return Ok(None);
            }
            return Ok((self.region().message_len(claim.index()) <= max_len).then_some(claim));
        }
        let position = claim.position();
        self.consume(claim, subscriber);
        let Ok(position) = self.ring.queue_following(position, subscriber.id()) else {
            return Ok(None);
        };
        // Not to put it back for nothing, see `receive`.
        let len = self.region().message_len(position);
        if len > max_len {
            return Ok(None);
        }
        is_writable(len)?;
        Ok(self.ring.queue_claim(position))
    }

    /// Copies a message, and what is told about it, to the end of what was received.
    #[inline(always)]
    fn copy_out(
        &self,
        subscriber: &Subscriber,
        claim: &Claim<'_, Region>,
        buffer: Buffer<'_>,
        received: &mut Received,
        sender: &mut Translation,
        wanted: Wanted,
    ) -> Result<(), NotPresent> {
        let region = self.region();
        let start = received.len.next_multiple_of(BUNDLE_ALIGN);
        let payload_start = start + wanted.prefix();
        let len = region.message_len(claim.index());
        let stored = len.min(buffer.len().saturating_sub(payload_start));
        let lost = subscriber.unreported_lost();
        let info = wanted.info.then(|| {
            let mut info = MessageInfo {
                len,
                lost,
                ..MessageInfo::default()
            };
            region.read_description(claim, &mut info);
            self.senders.describe(claim, sender, &mut info);
            if self.ring.target(claim.position()) != 0 {
                info.flags |= uapi::IOIPC_INFO_TARGETED;
            }
            if stored < len {
                info.flags |= uapi::IOIPC_INFO_TRUNCATED;
            }
            info
        });
        region.copy_out(claim, buffer, start, info.as_ref(), stored)?;
        subscriber.report_lost(lost);
        trace::receive(|| {
            let msg_id = Region::message_id(claim.position());
            (self.id, subscriber.id(), msg_id, len)
        });
        received.count += 1;
        received.len = payload_start + if wanted.whole_len { len } else { stored };
        Ok(())
    }

    /// Receives messages into `buffer`, which has room for [`Wanted::prefix`] or is for
    /// [`Wanted::uncut`], after those that are there already if it is a bundle. Does not sleep.
    ///
    /// The subscriber must be protected by an RCU read-side critical section that began before it
    /// was looked up.
    ///
    /// # Errors
    ///
    /// `EAGAIN`, `EPIPE`, `EMSGSIZE`; or [`Failure::NotPresent`], [`Failure::Busy`]. The message stays
    /// then.
    #[inline(always)]
    pub(crate) fn receive(
        &self,
        subscriber: &Subscriber,
        buffer: Buffer<'_>,
        wanted: Wanted,
        received: &mut Received,
        guard: &rcu::Guard,
    ) -> Result<(), Failure> {
        let region = self.region();
        // How much of the buffer it takes to receive a message that is so long.
        let needed = |received: &Received, len| {
            received.len.next_multiple_of(BUNDLE_ALIGN) + wanted.prefix() + len
        };
        let is_writable = |from, to| {
            buffer
                .is_writable(from, to)
                .map_err(|NotPresent| Failure::NotPresent { from, to })
        };
        let (position, mut claim) = loop {
            let position = self.next(subscriber)?;
            let len = needed(received, region.message_len(position));
            if received.count > 0 && len > buffer.len() {
                return Ok(());
            }
            if wanted.uncut && len > buffer.len() {
                return Err(EMSGSIZE.into());
            }
            if self.mode != Mode::Broadcast {
                // So that a claim is not undone for nothing: meanwhile others may claim later
                // messages, and get this one after them.
                is_writable(received.len, len)?;
            }
            if let Some(claim) = self.claim(subscriber, position) {
                break (position, claim);
            }
        };

        let (before, start, mut failure) = (received.count, received.len, None);
        let mut sender = Translation::default();
        loop {
            if self
                .copy_out(subscriber, &claim, buffer, received, &mut sender, wanted)
                .is_err()
            {
                let len = needed(received, region.message_len(claim.index()));
                failure = Some(Failure::NotPresent {
                    from: received.len,
                    to: len,
                });
                // It is back in the ring, possibly after `detach` has looked. Then this request
                // is not done again, and does not find the channel to pass it on either.
                drop(claim);
                if self.drop_targeted_if_detached(subscriber) {
                    self.pass_on(Some(subscriber), guard);
                }
                break;
            }
            if !wanted.bundle {
                self.consume(claim, subscriber);
                break;
            }
            let (end, used) = (received.len, needed(received, 0));
            let Some(room) = buffer.len().checked_sub(used) else {
                self.consume(claim, subscriber);
                break;
            };
            if received.count - before == BATCH_MESSAGES || end - start >= BATCH_BYTES {
                self.consume(claim, subscriber);
                received.is_unfinished = true;
                break;
            }
            let is_writable = |len| is_writable(end, used + len);
            match self.following(claim, subscriber, room, is_writable) {
                Ok(Some(next)) => claim = next,
                Ok(None) => break,
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        if received.count == before {
            return failure.map_or(Ok(()), Err);
        }
        if self.mode != Mode::Broadcast {
            self.ring.queue_reclaim();
        }

        self.has_received(subscriber, position, guard);
        failure.map_or(Ok(()), Err)
    }

    /// Counts the messages that `subscriber` can read in place, in a broadcast: on from what
    /// `counted` says. Returns whether there may be more, and it was just time to let others run.
    /// Does not sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` if this is no broadcast; otherwise as [`Self::receive`].
    pub(crate) fn count_mapped(
        &self,
        subscriber: &Subscriber,
        counted: &mut InPlace,
        guard: &rcu::Guard,
    ) -> Result<bool, Failure> {
        if self.mode != Mode::Broadcast {
            return Err(EINVAL.into());
        }
        let mut most = BATCH_MESSAGES;
        if counted.count == 0 {
            self.accept_position(subscriber);
            // It may have made room. Pairs with `poll` (D).
            Region::full_barrier();
            self.wake_sender(guard);
            counted.last = self.next(subscriber)?;
            counted.count = 1;
            // The messages are still there for another request.
            self.pass_on_message(subscriber, guard);
            most -= 1;
        }
        // Senders that overwrite may publish as fast as this counts.
        most = most.min(self.entries().saturating_sub(counted.count));
        let count = self
            .ring
            .broadcast_count(&mut counted.last, subscriber.id(), most);
        counted.count += count;
        Ok(count == most && counted.count < self.entries())
    }

    /// Tells what `subscriber` can do, of what is `wanted`. Calls `enter` with the queues where it
    /// is told when that changes.
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
            match self.wait_for_message(subscriber) {
                Ok(_) | Err(NoMessage::Closed) => events |= READABLE,
                Err(NoMessage::Empty | NoMessage::Busy | NoMessage::Detached) => (),
            }
        }
        if wants_room && self.wait_for_room(&rcu::read_lock()) {
            events |= WRITABLE;
        }
        // Pairs with `close` and `detach`: the queue comes first.
        Region::full_barrier();
        if self.ring.is_closed() || self.is_detached(subscriber) {
            events |= HANGUP;
        }
        events
    }
}

impl Waiting for Channel {
    type Memory = Region;
    type Receiver = Subscriber;
    type Guard = rcu::Guard;

    #[inline]
    fn ring(&self) -> &Ring<Region> {
        &self.ring
    }

    #[inline]
    fn mode(&self) -> Mode {
        self.mode
    }

    #[inline]
    fn receivers_wait(&self) -> &Atomic<u32> {
        &self.receivers_wait
    }

    #[inline]
    fn senders_wait(&self) -> &Atomic<u32> {
        self.region().senders_wait()
    }

    #[inline]
    fn last_woken(&self) -> &Atomic<u32> {
        &self.last_woken
    }

    #[inline]
    fn receiver<'a>(&'a self, id: u32, guard: &'a rcu::Guard) -> Option<&'a Subscriber> {
        self.subscribers
            .get(id, guard)
            .map(|subscriber| -> &Subscriber { subscriber })
    }

    #[inline]
    fn find_receiver(
        &self,
        id: u32,
        guard: &rcu::Guard,
        mut done: impl FnMut(&Subscriber) -> bool,
    ) {
        self.subscribers
            .find_marked(id, guard, |subscriber| done(subscriber));
    }

    #[inline]
    fn are_senders_active(&self) -> bool {
        self.room.is_active()
    }

    #[inline]
    fn wake_one_sender(&self) {
        self.room.wake_one(WRITABLE);
    }

    #[inline]
    fn next(&self, subscriber: &Subscriber) -> Result<u32, NoMessage> {
        Self::next(self, subscriber)
    }

    #[inline]
    fn may_have_any(&self, subscriber: &Subscriber) -> bool {
        self.ring.queue_may_have_any(&subscriber.cursor)
    }

    #[inline]
    fn reclaim(&self, guard: &rcu::Guard) {
        Self::reclaim(self, guard);
    }

    fn may_overwrite(&self, guard: &rcu::Guard) -> bool {
        self.takes_from_any() && self.find_takeable(1, guard).is_ok()
    }
}
