// SPDX-License-Identifier: GPL-2.0

//! Overwriting: a sender that finds a broadcast full takes the oldest messages away from receivers
//! that have not received them, if it need not wait for these receivers.

use kernel::{
    processor::cpu_relax,
    sync::{atomic::Relaxed, rcu},
};

use super::{member::Member, Channel};
use crate::{
    memory::region::Region,
    observe::trace,
    ring::{Hold, Memory, Waiting},
};

/// How often a sender looks again at the request that holds the oldest slot.
const MAX_LOOKS: u32 = 1000;

/// What keeps senders from the oldest slot of a full broadcast.
enum Holder<'a> {
    /// A receiver has not received the message yet, and senders have to wait for this receiver.
    Receiver,
    /// A request of this receiver is reading the message.
    Reader(&'a Member),
    /// A sender has not published the message yet.
    Sender,
}

impl Channel {
    /// Whether senders take messages away from a receiver that is too slow.
    pub(super) fn may_take_from(&self, receiver: &Member) -> bool {
        self.overwrite || receiver.is_lossy()
    }

    /// Whether senders take messages away from any receiver.
    pub(super) fn takes_from_any(&self) -> bool {
        self.overwrite || self.lossy.load(Relaxed) != 0
    }

    /// What a receiver of a broadcast does with the slots from `head` on, of which a sender is `missing`
    /// so many.
    fn hold(&self, receiver: &Member, head: u32, missing: u32) -> Option<Hold> {
        self.accept_position(receiver);
        self.ring
            .broadcast_hold(&receiver.cursor, receiver.id(), head, missing)
    }

    /// How many of the `most` oldest slots of a full ring senders can take from the receivers now, at
    /// least `least`.
    ///
    /// # Errors
    ///
    /// What holds one of those.
    fn find_takeable<'a>(
        &self,
        least: u32,
        most: u32,
        guard: &'a rcu::Guard,
    ) -> Result<u32, Holder<'a>> {
        let head = self.ring.head_position();
        if self.ring.published(head).is_none() {
            return Err(Holder::Sender);
        }
        let (mut takeable, mut holder) = (most, None);
        self.find_receiver(self.ring.slowest(), guard, |receiver| {
            match self.hold(receiver, head, least) {
                Some(Hold::Idle { ahead }) if !self.may_take_from(receiver) => {
                    takeable = takeable.min(ahead);
                    holder = (ahead < least).then_some(Holder::Receiver);
                }
                Some(Hold::Reading { ahead }) if ahead < least => {
                    holder = Some(Holder::Reader(receiver));
                }
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
        self.members.for_each_marked(guard, |receiver| {
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
                if self.region().is_call(&claim) {
                    self.lost_call(receiver, Region::message_id(position));
                }
                trace::lost(|| (self.id, receiver.id(), Region::message_id(position)));
                if !claim.step(receiver.id()) {
                    claim.consume();
                    break;
                }
                if !is_old(claim.position()) {
                    // The receiver keeps this message.
                    drop(claim);
                    break;
                }
            }
            // A request of the receiver may have found the slot claimed, and waits.
            Region::full_barrier();
            self.pass_on_message(receiver);
        });
    }

    /// Makes room of at least `least` slots and up to `most` in a ring that is too full, if senders need
    /// not wait for the receivers. Returns whether there may be more room now.
    #[cold]
    pub(super) fn make_room(&self, least: u32, most: u32, guard: &rcu::Guard) -> bool {
        if !self.takes_from_any() {
            return false;
        }
        // A request holds the slot for the time of a copy, or longer if it is preempted.
        let wait_until = |is_done: &dyn Fn() -> bool| {
            (0..MAX_LOOKS).any(|_| {
                cpu_relax();
                is_done()
            })
        };
        let head = self.ring.head_position();
        match self.find_takeable(least, most, guard) {
            Ok(takeable) => {
                self.overwrite_oldest(takeable, guard);
                true
            }
            Err(Holder::Receiver) => false,
            Err(Holder::Reader(receiver)) => wait_until(&|| {
                let hold = self.hold(receiver, head, least);
                !matches!(hold, Some(Hold::Reading { ahead }) if ahead < least)
            }),
            // If another sender has moved `head`, the slot may be that of a later message.
            Err(Holder::Sender) => wait_until(&|| {
                self.ring.published(head).is_some() || self.ring.head_position() != head
            }),
        }
    }

    /// Whether a sender can take the oldest slots of a full broadcast now, as many as it is `missing`.
    pub(super) fn can_overwrite(&self, missing: u32, guard: &rcu::Guard) -> bool {
        self.takes_from_any() && self.find_takeable(missing, missing, guard).is_ok()
    }
}
