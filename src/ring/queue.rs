// SPDX-License-Identifier: GPL-2.0

//! Receiving in a queue: each message goes to exactly one receiver.

use super::{distance, slot_word, Atomic, Claim, Memory, NoMessage, Pair, Ring, State};

impl<M: Memory> Ring<M> {
    /// Finds the first message that `receiver` may claim, and returns its position.
    ///
    /// The search ends at the first slot that is reserved and not published, so that all receivers
    /// see messages in the order of their positions.
    #[inline]
    pub fn queue_next(&self, receiver: u32) -> Result<u32, NoMessage> {
        self.queue_following(self.head_position().wrapping_sub(1), receiver)
    }

    /// Finds the first message after a position that `receiver` had claimed. As
    /// [`Self::queue_next`], but does not look again at what comes before.
    pub fn queue_following(&self, position: u32, receiver: u32) -> Result<u32, NoMessage> {
        self.queue_find(position.wrapping_add(1), |target| {
            target == 0 || target == receiver
        })
    }

    /// Whether there is a message that only `receiver` may claim.
    pub fn queue_has_targeted(&self, receiver: u32) -> bool {
        self.queue_find(self.head_position(), |target| target == receiver)
            .is_ok()
    }

    /// Finds the first message from a position on with a target that `matches`.
    #[inline]
    fn queue_find(
        &self,
        mut position: u32,
        matches: impl Fn(u32) -> bool,
    ) -> Result<u32, NoMessage> {
        let mut others_hold_some = false;
        loop {
            // Pairs with `Reservation::store`, `queue_consume` and `queue_put_back` (A).
            let word = self.slot(position).load_acquire();
            let lead = distance(position.wrapping_add(1), Pair::unpack(word).first);
            if lead > 0 {
                // The slot is in use for a later position: `head` is past this one.
                position = self.head_position();
                others_hold_some = false;
                continue;
            }
            if lead < 0 {
                let (tail, closed) = self.tail();
                return Err(if closed && tail == position && !others_hold_some {
                    NoMessage::Closed
                } else {
                    NoMessage::Empty
                });
            }
            if word == slot_word(position, State::Ready) {
                if matches(self.target(position)) {
                    return Ok(position);
                }
            } else if word == slot_word(position, State::Claimed) {
                others_hold_some = true;
            }
            position = position.wrapping_add(1);
        }
    }

    /// Claims the message at a position that [`Self::queue_next`] returned, unless somebody else
    /// was faster. A claim must not be held while sleeping.
    #[inline]
    pub fn queue_claim(&self, position: u32) -> Option<Claim<'_, M>> {
        // Pairs with `Reservation::store` and `queue_put_back` (A).
        self.slot(position)
            .swap_if_acquire(
                slot_word(position, State::Ready),
                slot_word(position, State::Claimed),
            )
            .ok()?;
        Some(Claim {
            ring: self,
            position,
            cursor: None,
        })
    }

    pub(super) fn queue_consume(&self, position: u32) {
        // Pairs with `queue_reclaim` (B).
        self.slot(position)
            .store_release(slot_word(position, State::Free));
    }

    pub(super) fn queue_put_back(&self, position: u32) {
        // Pairs with `queue_next` and `queue_claim` (A).
        self.slot(position)
            .store_release(slot_word(position, State::Ready));
    }

    /// Moves `head` over the slots that are free.
    ///
    /// Two receivers that consume neighbours at once may each miss what the other one has freed.
    /// That is made up for by whoever calls this next, at the latest by a sender that finds the
    /// ring full.
    pub fn queue_reclaim(&self) {
        loop {
            let old = self.memory.consumer().load_acquire();
            let head = Pair::unpack(old).first;
            let mut to = head;
            // Pairs with `queue_consume` and `Reservation::store` (B).
            while self.slot(to).load_acquire() == slot_word(to, State::Free) {
                to = to.wrapping_add(1);
            }
            if to == head || self.move_head(old, to) {
                return;
            }
        }
    }

    /// Drops all messages that only `target` could have received, and returns how many.
    ///
    /// For a receiver that has left: call it after the last message for it was published.
    pub fn queue_drop_targeted(&self, target: u32) -> u32 {
        let dropped = self.drop_targeted(self.head_position(), target);
        self.queue_reclaim();
        dropped
    }
}
