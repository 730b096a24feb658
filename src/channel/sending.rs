// SPDX-License-Identifier: GPL-2.0

//! Sending: a sender reserves slots, fills and publishes them, and wakes receivers.

use kernel::{
    prelude::*,
    sync::{atomic::Relaxed, rcu, Arc},
};

use super::{
    calls::Call, files::Parcel, member::Member, subscriber::Subscriber, Channel, BATCH_BYTES,
};
use crate::{
    kernel::{alloc::GFP_MAYFAIL, compat::ENOBUFS, identity::CurrentIdentity},
    memory::{
        buffer::Buffer,
        region::{Description, Region},
        user_buffer::NotPresent,
    },
    observe::{
        refusal::{refuse, Asked},
        trace,
    },
    ring::{Memory, Mode, NoRoom, Reservation, Reservations, Waiting},
};

/// How often a sender makes room and finds that other senders have used it.
const MAX_OVERWRITES: u32 = 1000;

/// The bytes of a message to send.
#[derive(Clone, Copy)]
pub(crate) enum Payload<'a> {
    /// In the buffer of the request.
    Buffer(Buffer<'a>),
    /// In a copy: the pages of the buffer went away again and again.
    Copy(&'a [u8]),
}

impl Payload<'_> {
    /// Length in bytes.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        match self {
            Self::Buffer(buffer) => buffer.len(),
            // CAST: It was copied from such a buffer.
            Self::Copy(bytes) => bytes.len() as u32,
        }
    }

    /// Appends the first bytes to a vector, as many as it has room for. Does not sleep.
    pub(super) fn append_to(&self, to: &mut KVVec<u8>) -> Result<(), NotPresent> {
        match self {
            Self::Buffer(buffer) => buffer.append_to(to),
            Self::Copy(bytes) => {
                let room = to.capacity() - to.len();
                // There is room, so it allocates nothing.
                to.extend_from_slice(bytes.get(..room).unwrap_or(bytes), GFP_MAYFAIL)
                    .map_err(|_| NotPresent)
            }
        }
    }

    #[inline]
    pub(super) fn is_readable(&self) -> Result<(), NotPresent> {
        match self {
            Self::Buffer(buffer) => buffer.is_readable(),
            Self::Copy(_) => Ok(()),
        }
    }
}

/// What messages to send have in common.
#[derive(Clone, Copy)]
pub(crate) struct Outgoing<'a> {
    pub(crate) sender_data: u64,
    /// Id of the sending subscriber, or 0.
    pub(crate) sender: u32,
    /// Id of the only receiver, or 0.
    pub(crate) target: u32,
    /// What the message is, if it is a call.
    pub(crate) call: Option<&'a Arc<Call>>,
}

/// Why nothing was sent.
pub(crate) enum SendFailure {
    /// The result of the request.
    Error(Error),
    /// The caller has to fault the first message in.
    NotPresent,
}

impl From<NotPresent> for SendFailure {
    fn from(NotPresent: NotPresent) -> Self {
        Self::NotPresent
    }
}

impl From<Error> for SendFailure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Channel {
    /// Moves the head of the ring if possible, for a sender that is `missing` so many slots.
    #[inline(never)]
    pub(super) fn reclaim(&self, missing: u32, guard: &rcu::Guard) {
        if self.mode == Mode::Broadcast {
            self.reclaim_broadcast(missing, guard);
        } else {
            self.ring.queue_reclaim();
        }
    }

    /// Apart, so that a queue does not pay for its stack.
    #[inline(never)]
    fn reclaim_broadcast(&self, missing: u32, guard: &rcu::Guard) {
        self.ring.reclaim_broadcast(missing, |first, each| {
            self.find_receiver(first, guard, |receiver| {
                self.accept_position(receiver);
                each(
                    &receiver.cursor,
                    receiver.id(),
                    self.may_take_from(receiver),
                )
            });
        });
        if !self.files.is_empty() {
            self.drop_reclaimed_files(guard);
        }
    }

    /// Reserves what takes one slot each: `count` slots if there is room for so many, otherwise fewer,
    /// and at least one. Or reserves `slots` for one message that takes several.
    #[inline(always)]
    fn reserve(
        &self,
        count: u32,
        slots: u32,
        guard: &rcu::Guard,
    ) -> Result<Reservations<'_, Region>> {
        // To watchers for room it is news that the ring was full.
        let is_exact = self.room.is_active();
        let reclaim = |_: &_, missing| self.reclaim(missing, guard);
        let mut attempts = 0;
        loop {
            let reserved = match slots {
                1 => self.ring.reserve_up_to(count, is_exact, reclaim),
                _ => self.ring.reserve_span(slots, is_exact, reclaim),
            };
            match reserved {
                Ok(slots) => return Ok(slots),
                Err(NoRoom::Closed) => return Err(EPIPE),
                Err(NoRoom::Full) => {
                    let (least, most) = match slots {
                        1 => (1, count.min(self.ring.reclaim_step())),
                        _ => {
                            let missing = self.ring.missing(slots);
                            (missing, missing)
                        }
                    };
                    if attempts == MAX_OVERWRITES || !self.make_room(least, most, guard) {
                        return Err(ENOBUFS);
                    }
                    attempts += 1;
                }
            }
        }
    }

    /// Whether receivers or senders may be waiting. The caller has changed the ring, and had a full
    /// barrier after that (D).
    #[inline(always)]
    pub(super) fn is_any_waiting(&self) -> bool {
        self.receivers_wait().load(Relaxed) | self.senders_wait().load(Relaxed) != 0
    }

    /// Puts one message into its slot. Calls `attach` with its position before others can receive it.
    #[inline(always)]
    pub(super) fn fill(
        &self,
        mut slot: Reservation<'_, Region>,
        payload: &Payload<'_>,
        outgoing: &Outgoing<'_>,
        target: Option<&Member>,
        current: &CurrentIdentity,
        attach: impl FnOnce(u32),
    ) -> Result<(), NotPresent> {
        match payload {
            Payload::Buffer(buffer) => Region::copy_in(&mut slot, *buffer)?,
            Payload::Copy(bytes) => Region::copy_in_kernel(&mut slot, bytes),
        }
        self.region().describe(
            &slot,
            &Description {
                len: payload.len(),
                sender_data: outgoing.sender_data,
                sender: outgoing.sender,
                is_call: outgoing.call.is_some(),
            },
        );
        Region::stamp(&mut slot, current);
        slot.set_target(outgoing.target);
        if let Some(call) = outgoing.call {
            let msg_id = Region::message_id(slot.position());
            self.register_call(call, outgoing.target, msg_id)?;
        }
        if let Some(target) = target {
            // The count comes before the message, see `Receiver::has_targeted`.
            target.count_pending();
        }
        let position = slot.position();
        attach(position);
        slot.publish();
        trace::send(|| {
            let msg_id = Region::message_id(position);
            let Outgoing { sender, target, .. } = *outgoing;
            (self.id, sender, target, msg_id, payload.len())
        });
        Ok(())
    }

    fn find_target<'a>(&self, id: u32, guard: &'a rcu::Guard) -> Result<&'a Member> {
        match self.members.get(id, guard) {
            Some(target) if target.can_receive() && !self.is_detached(target) => Ok(target),
            _ => {
                let rule = c"as a target: it is no receiver of the sender's channel";
                Err(refuse(Asked::Subscriber(id), rule, ENOENT))
            }
        }
    }

    /// The target of messages, if they have one.
    #[inline(always)]
    pub(super) fn target<'a>(
        &self,
        outgoing: &Outgoing<'_>,
        guard: &'a rcu::Guard,
    ) -> Result<Option<&'a Member>> {
        match outgoing.target {
            0 => Ok(None),
            id => self.find_target(id, guard).map(Some),
        }
    }

    /// Sends one message. `sender` is the subscriber that sends, if it is attached. As [`Self::send`], but
    /// faster.
    #[inline(always)]
    pub(crate) fn send_one(
        &self,
        payload: &Payload<'_>,
        outgoing: &Outgoing<'_>,
        sender: Option<&Subscriber>,
        guard: &rcu::Guard,
    ) -> Result<(), SendFailure> {
        let target = self.target(outgoing, guard)?;
        // Others get copies, so that the usual way need not keep these in memory.
        if self.shares.is_some() || !self.region().is_single(payload.len()) {
            return self.send_one_otherwise(*payload, *outgoing, sender, target, guard);
        }
        payload.is_readable()?;
        match self.ring.reserve_at_once() {
            Some(slot) => self.send_reserved(slot, payload, outgoing, target, guard, |_| ()),
            None => self.send_one_slowly(*payload, *outgoing, target, guard),
        }
    }

    /// Sends a message that takes one slot.
    #[cold]
    #[inline(never)]
    fn send_one_slowly(
        &self,
        payload: Payload<'_>,
        outgoing: Outgoing<'_>,
        target: Option<&Member>,
        guard: &rcu::Guard,
    ) -> Result<(), SendFailure> {
        self.send_in(1, payload, &outgoing, target, guard, |_| ())
    }

    /// Sends a message in a fair channel, or one that may not fit in one slot.
    #[cold]
    #[inline(never)]
    fn send_one_otherwise(
        &self,
        payload: Payload<'_>,
        outgoing: Outgoing<'_>,
        sender: Option<&Subscriber>,
        target: Option<&Member>,
        guard: &rcu::Guard,
    ) -> Result<(), SendFailure> {
        match &self.shares {
            Some(shares) => {
                let sender = sender.map(Subscriber::member);
                self.send_one_fairly(shares, &payload, &outgoing, sender, target, guard)
            }
            None => self.send_large(payload, &outgoing, target, guard),
        }
    }

    /// Sends a message with files. As [`Self::send_one`].
    #[inline(never)]
    pub(crate) fn send_with_files(
        &self,
        payload: Payload<'_>,
        outgoing: &Outgoing<'_>,
        sender: Option<&Subscriber>,
        parcel: &Parcel,
        guard: &rcu::Guard,
    ) -> Result<(), SendFailure> {
        let mut displaced = None;
        let mut attach = |position| displaced = self.put_files(position, parcel, guard);
        if let Some(shares) = &self.shares {
            let payloads = core::slice::from_ref(&payload);
            let sender = sender.map(Subscriber::member);
            self.send_fairly(shares, payloads, outgoing, sender, guard, &mut attach)?;
            return Ok(());
        }
        let target = self.target(outgoing, guard)?;
        let slots = self.region().slots(payload.len()).ok_or(EMSGSIZE)?;
        self.send_in(slots, payload, outgoing, target, guard, attach)
    }

    /// Sends a message that may not fit in one slot.
    #[cold]
    #[inline(never)]
    fn send_large(
        &self,
        payload: Payload<'_>,
        outgoing: &Outgoing<'_>,
        target: Option<&Member>,
        guard: &rcu::Guard,
    ) -> Result<(), SendFailure> {
        let slots = self.region().slots(payload.len()).ok_or(EMSGSIZE)?;
        self.send_in(slots, payload, outgoing, target, guard, |_| ())
    }

    /// Sends a message that takes so many slots. `attach` is for [`Self::fill`].
    #[inline(always)]
    fn send_in(
        &self,
        slots: u32,
        payload: Payload<'_>,
        outgoing: &Outgoing<'_>,
        target: Option<&Member>,
        guard: &rcu::Guard,
        attach: impl FnOnce(u32),
    ) -> Result<(), SendFailure> {
        payload.is_readable()?;
        let mut slots = self.reserve(1, slots, guard)?;
        let fill_the_ring = slots.fill_the_ring();
        let slot = slots.next().ok_or(ENOBUFS)?;
        let sent = self.send_reserved(slot, &payload, outgoing, target, guard, attach);
        if fill_the_ring {
            self.has_filled(guard);
        }
        sent
    }

    /// Sends a message in slots that are reserved.
    #[inline(always)]
    fn send_reserved(
        &self,
        slot: Reservation<'_, Region>,
        payload: &Payload<'_>,
        outgoing: &Outgoing<'_>,
        target: Option<&Member>,
        guard: &rcu::Guard,
        attach: impl FnOnce(u32),
    ) -> Result<(), SendFailure> {
        let current = CurrentIdentity::new();
        let end = slot.end();
        let counted = target.filter(|_| self.mode != Mode::Broadcast);
        let filled = self.fill(slot, payload, outgoing, counted, &current, attach);
        self.has_sent(filled.is_ok().into(), target, end, false, guard);
        Ok(filled?)
    }

    /// How many messages take one slot each and are there, before the first one that does not or is not.
    /// A slot that is reserved and not filled is lost for a round, so a sender looks at all of them first.
    #[inline(always)]
    pub(super) fn count_ready(&self, payloads: &[Payload<'_>]) -> u32 {
        let (mut ready, mut bytes) = (0, 0);
        for payload in payloads {
            if bytes >= BATCH_BYTES {
                break;
            }
            let is_single = self.region().is_single(payload.len());
            if !is_single || payload.is_readable().is_err() {
                break;
            }
            ready += 1;
            bytes += payload.len();
        }
        ready
    }

    /// Sends messages, of which there is at least one, and returns how many, at least one. It sends
    /// fewer than there are if the ring has no more room, if the next message cannot be sent or takes
    /// several slots, or after [`BATCH_BYTES`]. Does not sleep.
    ///
    /// # Errors
    ///
    /// `EMSGSIZE`, `ENOENT` for a bad target, `ENOBUFS`, `EPIPE`; or [`SendFailure::NotPresent`]. In a
    /// fair channel `EDQUOT` if the messages for the target hold their part of the slots.
    /// They are about the first message. Nothing is published then.
    #[inline(always)]
    pub(crate) fn send(
        &self,
        payloads: &[Payload<'_>],
        outgoing: &Outgoing<'_>,
        sender: Option<&Subscriber>,
        guard: &rcu::Guard,
    ) -> Result<u32, SendFailure> {
        if let Some(shares) = &self.shares {
            let sender = sender.map(Subscriber::member);
            return self.send_fairly(shares, payloads, outgoing, sender, guard, &mut |_| ());
        }
        let target = self.target(outgoing, guard)?;
        let ready = self.count_ready(payloads);
        if ready == 0 {
            let first = payloads.first().ok_or(EINVAL)?;
            self.send_large(*first, outgoing, target, guard)?;
            return Ok(1);
        }

        let mut sent = 0;
        let current = CurrentIdentity::new();
        let slots = self.reserve(ready, 1, guard)?;
        let (end, fill_the_ring) = (slots.end(), slots.fill_the_ring());
        // Only receivers of a queue look at how many messages are for them alone.
        let counted = target.filter(|_| self.mode != Mode::Broadcast);
        for (slot, payload) in slots.zip(payloads) {
            if self
                .fill(slot, payload, outgoing, counted, &current, |_| ())
                .is_err()
            {
                // The sender gives this slot and those after it up.
                break;
            }
            sent += 1;
        }
        self.has_sent(sent, target, end, fill_the_ring, guard);
        if sent == 0 {
            return Err(SendFailure::NotPresent);
        }
        Ok(sent)
    }

    /// A sender has published messages in the slots before position `end`, or given these slots up.
    #[inline(always)]
    pub(super) fn has_sent(
        &self,
        sent: u32,
        target: Option<&Member>,
        end: u32,
        fill_the_ring: bool,
        guard: &rcu::Guard,
    ) {
        // After the messages, before the marks. Pairs with the requests that park (D).
        Region::full_barrier();
        if let Some(target) = target {
            self.drop_targeted_if_detached(target);
        }
        if fill_the_ring {
            self.has_filled(guard);
        }
        if self.is_any_waiting() {
            self.wake_after_sending(sent, target, end, guard);
        }
    }

    /// Wakes those that wait: receivers for the messages that were `sent`, and for messages from
    /// position `end` on; and a sender for room.
    #[cold]
    fn wake_after_sending(&self, sent: u32, target: Option<&Member>, end: u32, guard: &rcu::Guard) {
        if sent > 0 {
            self.wake_receivers(target);
        }
        self.wake_receivers_after(end, guard);
        // One receive can make room for many messages, and wakes one sender.
        self.wake_sender_for_much(guard);
    }
}
