// SPDX-License-Identifier: GPL-2.0

//! Receiving: a receiver finds the next message, claims it, copies it out and wakes others.

use kernel::{prelude::*, sync::rcu};

use super::{
    files::Incoming, member::Member, senders::Translation, Channel, BATCH_BYTES, BATCH_MESSAGES,
};
use crate::{
    memory::{buffer::Buffer, region::Region, user_buffer::NotPresent},
    observe::trace,
    ring::{Claim, Memory, Mode, NoMessage, Waiting},
    uapi::{self, MessageInfo},
};

/// A message in a bundle begins at a multiple of this in the buffer.
const BUNDLE_ALIGN: u32 = 8;

/// How a request wants to receive messages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// With a [`MessageInfo`] before each.
    pub(crate) info: bool,
    /// As many as fit.
    pub(crate) bundle: bool,
    /// The result is the whole length of the message, also if it did not fit.
    pub(crate) whole_len: bool,
    /// No message at all if the first one does not fit.
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

    /// As many messages as fit.
    pub(crate) const BUNDLE: Self = Self {
        info: true,
        bundle: true,
        ..Self::MESSAGE
    };

    /// What comes before each message, in bytes.
    #[inline]
    pub(crate) const fn prefix(&self) -> u32 {
        if self.info {
            size_of::<MessageInfo>() as u32
        } else {
            0
        }
    }
}

/// What a request has received.
#[derive(Clone, Copy, Default)]
pub(crate) struct Received {
    /// How many messages.
    pub(crate) count: u32,
    /// The result of the request: how many bytes of the buffer are used, or would have been.
    pub(crate) len: u32,
    /// There may be more messages that fit. The request stopped to let others run.
    pub(crate) is_unfinished: bool,
}

/// The messages that a receiver of a broadcast can read in place, as far as they are counted.
#[derive(Clone, Copy, Default)]
pub(crate) struct InPlace {
    /// How many messages.
    pub(crate) count: u32,
    /// The position of the last one.
    last: u32,
}

/// Why nothing was received.
pub(crate) enum Failure {
    /// The result of the request.
    Error(Error),
    /// The caller has to fault in these bytes of the buffer.
    NotPresent { from: u32, to: u32 },
    /// Another request of the subscriber is receiving.
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

impl Channel {
    /// Moves the cursor of a receiver of a broadcast to the position in its cursor page, if it has
    /// one.
    #[inline]
    pub(super) fn accept_position(&self, member: &Member) {
        if let Some(page) = member.cursor_page() {
            self.ring.broadcast_accept(&member.cursor, page.position());
        }
    }

    /// Finds the next message for a receiver.
    #[inline(always)]
    pub(super) fn next(&self, member: &Member) -> Result<u32, NoMessage> {
        if self.mode == Mode::Broadcast {
            self.next_of_broadcast(member)
        } else {
            self.ring.queue_next(&member.cursor, member.id())
        }
    }

    #[inline(never)]
    fn next_of_broadcast(&self, member: &Member) -> Result<u32, NoMessage> {
        self.accept_position(member);
        self.ring.broadcast_next(&member.cursor, member.id())
    }

    /// Claims the message at a position that [`Self::next`] returned, unless another request was
    /// faster.
    pub(super) fn claim<'a>(
        &'a self,
        member: &'a Member,
        position: u32,
    ) -> Option<Claim<'a, Region>> {
        if self.mode == Mode::Broadcast {
            self.ring.broadcast_claim(&member.cursor, position)
        } else {
            self.ring.queue_claim(position)
        }
    }

    /// Ends a claim of `member`: the message is received.
    #[inline(always)]
    fn consume(&self, claim: Claim<'_, Region>, member: &Member) {
        if self.mode == Mode::Broadcast {
            claim.consume();
        } else {
            self.consume_in_queue(claim, member);
        }
    }

    #[inline(always)]
    fn consume_in_queue(&self, claim: Claim<'_, Region>, member: &Member) {
        if self.ring.target(claim.position()) != 0 {
            member.uncount_pending(1);
        } else if self.region().is_call(&claim) {
            self.received_call(member, Region::message_id(claim.position()));
        }
        self.give_back(claim.position(), member);
        claim.consume();
    }

    /// Ends a claim of `member`, and claims the next message if there is one and it is not longer
    /// than `max_len`. In a queue, `is_writable` must allow its length as well.
    #[inline(always)]
    fn following<'a>(
        &'a self,
        mut claim: Claim<'a, Region>,
        member: &'a Member,
        max_len: u32,
        is_writable: impl FnOnce(u32) -> Result<(), Failure>,
    ) -> Result<Option<Claim<'a, Region>>, Failure> {
        if self.mode == Mode::Broadcast {
            if !claim.step(member.id()) {
                self.consume(claim, member);
                return Ok(None);
            }
            return Ok((self.region().message_len(claim.index()) <= max_len).then_some(claim));
        }
        let position = claim.position();
        self.consume(claim, member);
        let Ok(position) = self.ring.queue_following(position, member.id()) else {
            return Ok(None);
        };
        // A claim that is put back lets others overtake, see `receive`.
        let len = self.region().message_len(position);
        if len > max_len {
            return Ok(None);
        }
        is_writable(len)?;
        Ok(self.ring.queue_claim(position))
    }

    /// Makes what a receiver is told about a claimed message, of which it gets `stored` bytes and no
    /// files so far.
    #[inline(always)]
    fn describe(
        &self,
        member: &Member,
        claim: &Claim<'_, Region>,
        sender: &mut Translation,
        stored: u32,
        has_files: bool,
        outlives_slot: bool,
    ) -> MessageInfo {
        let mut info = MessageInfo {
            len: self.region().message_len(claim.index()),
            lost: member.unreported_lost(),
            ..MessageInfo::default()
        };
        self.region().read_description(claim, &mut info);
        sender.describe(claim, &mut info, outlives_slot);
        if self.ring.target(claim.position()) != 0 {
            info.flags |= uapi::IOIPC_INFO_TARGETED;
        }
        if stored < info.len {
            info.flags |= uapi::IOIPC_INFO_TRUNCATED;
        }
        if has_files {
            info.flags |= uapi::IOIPC_INFO_FDS_LOST;
        }
        info
    }

    /// Copies a claimed message to `buffer`, after the messages that are there already. Puts its
    /// [`MessageInfo`] before it if wanted, and returns the flags of this.
    #[inline(always)]
    fn copy_out(
        &self,
        member: &Member,
        claim: &Claim<'_, Region>,
        buffer: Buffer<'_>,
        received: &mut Received,
        sender: &mut Translation,
        wanted: Wanted,
    ) -> Result<u32, NotPresent> {
        let region = self.region();
        let start = received.len.next_multiple_of(BUNDLE_ALIGN);
        let payload_start = start + wanted.prefix();
        let len = region.message_len(claim.index());
        let stored = len.min(buffer.len().saturating_sub(payload_start));
        let info = if wanted.info {
            let has_files = !self.files.is_empty() && self.has_files(claim.position());
            let outlives_slot = wanted.bundle && self.mode != Mode::Broadcast;
            Some(self.describe(member, claim, sender, stored, has_files, outlives_slot))
        } else {
            None
        };
        Region::copy_out(claim, buffer, start, info.as_ref(), stored)?;
        // As many as in `info`: no sender counts any while there is a claim.
        member.report_lost(member.unreported_lost());
        trace::receive(|| {
            let msg_id = Region::message_id(claim.position());
            (self.id, member.id(), msg_id, len)
        });
        received.count += 1;
        received.len = payload_start + if wanted.whole_len { len } else { stored };
        Ok(info.map_or(0, |info| info.flags))
    }

    /// Receives messages into `buffer`. A bundle goes on after the messages that `received` counts.
    /// If one has files, calls `take` with them and with the flags of its info. Does not sleep.
    ///
    /// The buffer has room for [`Wanted::prefix`], or the request wants [`Wanted::uncut`]. The caller
    /// has looked `member` up in the read-side critical section of `guard`.
    ///
    /// # Errors
    ///
    /// `EAGAIN`, `EPIPE`, `EMSGSIZE`; or [`Failure::NotPresent`], [`Failure::Busy`]. The message
    /// stays in the ring then.
    #[inline(always)]
    pub(crate) fn receive(
        &self,
        member: &Member,
        buffer: Buffer<'_>,
        wanted: Wanted,
        received: &mut Received,
        guard: &rcu::Guard,
        mut take: impl FnMut(Incoming, u32),
    ) -> Result<(), Failure> {
        let region = self.region();
        // How much of the buffer is used after a message of this length.
        let needed = |received: &Received, len| {
            received.len.next_multiple_of(BUNDLE_ALIGN) + wanted.prefix() + len
        };
        let is_writable = |from, to| {
            buffer
                .is_writable(from, to)
                .map_err(|NotPresent| Failure::NotPresent { from, to })
        };
        let (position, mut claim) = loop {
            let position = self.next(member)?;
            let len = needed(received, region.message_len(position));
            if received.count > 0 && len > buffer.len() {
                return Ok(());
            }
            if wanted.uncut && len > buffer.len() {
                return Err(EMSGSIZE.into());
            }
            if self.mode != Mode::Broadcast {
                // While a claim lasts, others may claim later messages. If this request then puts
                // its message back, they receive it too late. So look before the claim.
                is_writable(received.len, len)?;
            }
            if let Some(claim) = self.claim(member, position) {
                break (position, claim);
            }
        };

        let (before, start, mut failure) = (received.count, received.len, None);
        let mut sender = Translation::default();
        loop {
            let copied = self.copy_out(member, &claim, buffer, received, &mut sender, wanted);
            let Ok(info_flags) = copied else {
                let len = needed(received, region.message_len(claim.index()));
                failure = Some(Failure::NotPresent {
                    from: received.len,
                    to: len,
                });
                drop(claim);
                self.has_put_back(member, guard);
                break;
            };
            if !self.files.is_empty() {
                self.take_files(claim.position(), info_flags, &mut take);
            }
            if !wanted.bundle {
                self.consume(claim, member);
                break;
            }
            let (end, used) = (received.len, needed(received, 0));
            let Some(room) = buffer.len().checked_sub(used) else {
                self.consume(claim, member);
                break;
            };
            if received.count - before == BATCH_MESSAGES || end - start >= BATCH_BYTES {
                self.consume(claim, member);
                received.is_unfinished = true;
                break;
            }
            let is_writable = |len| is_writable(end, used + len);
            match self.following(claim, member, room, is_writable) {
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
            // At once: until then, other receivers pass over these slots.
            self.ring.queue_reclaim();
        }
        self.let_others_know(member, position, guard);
        failure.map_or(Ok(()), Err)
    }

    /// Receives just the next message, and not its files. As [`Self::receive`], but faster in a queue.
    /// Returns the result of the request.
    #[inline(always)]
    pub(crate) fn receive_one(
        &self,
        member: &Member,
        buffer: Buffer<'_>,
        guard: &rcu::Guard,
    ) -> Result<u32, Failure> {
        if self.mode == Mode::Broadcast {
            return self.receive_one_of_broadcast(member, buffer, guard);
        }
        let position = self.ring.queue_next(&member.cursor, member.id())?;
        let len = self.region().message_len(position);
        let not_present = |NotPresent| Failure::NotPresent { from: 0, to: len };
        buffer.is_writable(0, len).map_err(not_present)?;
        // If this works, it is the message of that length.
        let claim = self.ring.queue_claim(position).ok_or(Failure::Busy)?;
        let stored = len.min(buffer.len());
        if Region::copy_out(&claim, buffer, 0, None, stored).is_err() {
            drop(claim);
            self.has_put_back(member, guard);
            return Err(not_present(NotPresent));
        }
        member.report_lost(member.unreported_lost());
        trace::receive(|| (self.id, member.id(), Region::message_id(position), len));
        if !self.files.is_empty() {
            self.take_files(position, 0, &mut |_, _| ());
        }
        self.consume_in_queue(claim, member);
        self.ring.queue_reclaim_after(position);
        self.let_others_know(member, position, guard);
        Ok(stored)
    }

    /// Apart, so that a queue does not pay for its stack.
    #[inline(never)]
    fn receive_one_of_broadcast(
        &self,
        member: &Member,
        buffer: Buffer<'_>,
        guard: &rcu::Guard,
    ) -> Result<u32, Failure> {
        let mut received = Received::default();
        self.receive(
            member,
            buffer,
            Wanted::MESSAGE,
            &mut received,
            guard,
            |_, _| (),
        )?;
        Ok(received.len)
    }

    /// A message is back in the ring that was not copied.
    #[cold]
    fn has_put_back(&self, member: &Member, guard: &rcu::Guard) {
        // Maybe `detach` has looked for it meanwhile. Then the retry finds no subscriber, so this is
        // the last chance to wake another request.
        if self.drop_targeted_if_detached(member) {
            self.pass_on(Some(member), guard);
        }
    }

    /// Wakes others if any wait. `member` has received messages from `position` on.
    #[inline(always)]
    fn let_others_know(&self, member: &Member, position: u32, guard: &rcu::Guard) {
        // After the messages, before the marks. Pairs with the requests that park (D).
        Region::full_barrier();
        if self.is_any_waiting() {
            self.wake_after_receiving(member, position, guard);
        }
    }

    /// As [`Waiting::has_received`].
    #[cold]
    fn wake_after_receiving(&self, member: &Member, position: u32, guard: &rcu::Guard) {
        self.has_received(member, position, guard);
    }

    /// Counts the messages of a broadcast that `member` can read in place, after those that `counted`
    /// has. Returns whether there may be more: the count stopped to let others run. Does not sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` in a queue; otherwise as [`Self::receive`].
    pub(crate) fn count_mapped(
        &self,
        member: &Member,
        counted: &mut InPlace,
        guard: &rcu::Guard,
    ) -> Result<bool, Failure> {
        if self.mode != Mode::Broadcast {
            return Err(EINVAL.into());
        }
        let mut most = BATCH_MESSAGES;
        if counted.count == 0 {
            self.accept_position(member);
            // The new position may have made room. Pairs with the requests that park (D).
            Region::full_barrier();
            self.wake_sender_for_much(guard);
            counted.last = self.next(member)?;
            counted.count = 1;
            // The messages stay, also for other requests of the receiver.
            self.pass_on_message(member);
            most -= 1;
        }
        // Senders that overwrite may publish as fast as this loop counts.
        most = most.min(self.entries().saturating_sub(counted.count));
        let count = self
            .ring
            .broadcast_count(&mut counted.last, member.id(), most);
        counted.count += count;
        Ok(count == most && counted.count < self.entries())
    }
}
