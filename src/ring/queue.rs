// SPDX-License-Identifier: GPL-2.0

//! Receiving in a queue: each message goes to exactly one receiver.

use super::{
    distance, free_slots, is_free, slot_word, Atomic, Claim, Memory, NoMessage, Pair, Ring, State,
};

/// [`Ring::queue_reclaim`] stops when it has moved `head` over so many slots, and
/// [`Ring::queue_may_have_any`] when it has looked so many times.
const BATCH: u32 = 64;

/// A receiver moves its place if it has passed at least this many slots.
const PLACE_STEP: u32 = 4;

/// The flags of a cursor take as many bits, see `broadcast.rs`. In a queue the other bits next to
/// the position are for its epoch.
const FLAG_BITS: u32 = 3;
const FLAGS: u32 = (1 << FLAG_BITS) - 1;

/// The result of a search in a queue.
struct Search {
    /// The position of the message, or why there is none. `None` if the search has ended early.
    message: Option<Result<u32, NoMessage>>,
    /// All slots before this one hold nothing for the receiver, and never will.
    settled: u32,
}

/// A position that is not before `head`, with its epoch: how often positions have wrapped.
const fn with_epoch(head: Pair, position: u32) -> Pair {
    let wrapped = position < head.first;
    Pair::new(position, head.second.wrapping_add(wrapped as u32))
}

/// The word of a place, from a position with its epoch.
const fn place_word(position: Pair, flags: u32) -> Pair {
    Pair::new(position.first, position.second << FLAG_BITS | flags)
}

/// # Places
///
/// A message for one receiver stays in the ring until this receiver takes it, and other receivers
/// pass it. A receive must not look again at all slots that it has passed. So each receiver has a
/// *place* in its cursor: no message before the place is for this receiver. A place never moves past
/// a message that a receiver has claimed, because that receiver can put it back. What a place says
/// stays true, so it needs no ordering.
///
/// A place has an epoch next to its position, as `head` does. A receiver may sleep while positions
/// wrap. Thanks to the epoch it does not take its old place for a new one.
impl<M: Memory> Ring<M> {
    fn head_pair(&self) -> Pair {
        // Pairs with `move_head` (B).
        Pair::unpack(self.memory.consumer().load_acquire())
    }

    /// Lets a receiver begin with the oldest message.
    pub fn queue_join(&self, place: &M::U64) {
        place.store_relaxed(place_word(self.head_pair(), 0).pack());
    }

    /// Where a receiver starts to look: at its place, unless `head` is past that.
    fn queue_start(&self, place: &M::U64) -> u32 {
        let head = self.head_pair();
        let place = Pair::unpack(place.load_relaxed());
        let is_ahead = place.first.wrapping_sub(head.first) <= self.memory.entries();
        if is_ahead && place == place_word(with_epoch(head, place.first), place.second & FLAGS) {
            place.first
        } else {
            head.first
        }
    }

    /// Moves a place to `settled`, if that is worth it. `start` is where the receiver has started.
    fn queue_move_place(&self, place: &M::U64, start: u32, settled: u32) {
        let head = self.head_pair();
        let old = place.load_relaxed();
        if distance(start, settled) < PLACE_STEP as i32 || distance(head.first, settled) < 0 {
            return;
        }
        let flags = Pair::unpack(old).second & FLAGS;
        let new = place_word(with_epoch(head, settled), flags);
        // If this fails, another request of the receiver has moved the place.
        let _ = place.swap_if_release(old, new.pack());
    }

    /// Finds the first message that `receiver` may claim, and returns its position.
    ///
    /// The search ends at the first slot that is reserved and not published, so that all receivers
    /// see messages in the order of their positions.
    #[inline]
    pub fn queue_next(&self, place: &M::U64, receiver: u32) -> Result<u32, NoMessage> {
        // Mostly it is the oldest message, or there is none at all.
        let head = self.head_position();
        // Pairs with `Reservation::store` and `queue_put_back` (A).
        let word = self.slot(head).load_acquire();
        if self.queue_is_ready(word, head, receiver) {
            return Ok(head);
        }
        if distance(head.wrapping_add(1), Pair::unpack(word).first) < 0 {
            // It is not published, and no place is past such a slot.
            return Err(self.queue_end(head));
        }
        self.queue_search(place, receiver)
    }

    /// Whether `receiver` may claim the message at a position, from the word of its slot.
    #[inline]
    fn queue_is_ready(&self, word: u64, position: u32, receiver: u32) -> bool {
        if word != slot_word(position, State::Ready) {
            return false;
        }
        let target = self.target(position);
        target == 0 || target == receiver
    }

    /// Why there is no message: the search has ended at a position that is not published, and no
    /// message before that can come back.
    #[inline]
    fn queue_end(&self, position: u32) -> NoMessage {
        let (tail, closed) = self.tail();
        if closed && tail == position {
            NoMessage::Closed
        } else {
            NoMessage::Empty
        }
    }

    #[inline(never)]
    fn queue_search(&self, place: &M::U64, receiver: u32) -> Result<u32, NoMessage> {
        let start = self.queue_start(place);
        let search = self.queue_find(start, u32::MAX, |target| target == 0 || target == receiver);
        self.queue_move_place(place, start, search.settled);
        search.message.unwrap_or(Err(NoMessage::Empty))
    }

    /// Finds the first message after a position that `receiver` had claimed. As
    /// [`Self::queue_next`], but starts there.
    #[inline]
    pub fn queue_following(&self, position: u32, receiver: u32) -> Result<u32, NoMessage> {
        let start = position.wrapping_add(1);
        // Pairs with `Reservation::store` and `queue_put_back` (A).
        let word = self.slot(start).load_acquire();
        if self.queue_is_ready(word, start, receiver) {
            return Ok(start);
        }
        self.queue_search_from(start, receiver)
    }

    #[inline(never)]
    fn queue_search_from(&self, start: u32, receiver: u32) -> Result<u32, NoMessage> {
        let search = self.queue_find(start, u32::MAX, |target| target == 0 || target == receiver);
        search.message.unwrap_or(Err(NoMessage::Empty))
    }

    /// Whether there may be a message that any receiver can claim, from the place in `cursor` on. It
    /// looks at a few slots only. If all of them are in use, it says yes.
    pub fn queue_may_have_any(&self, place: &M::U64) -> bool {
        let search = self.queue_find(self.queue_start(place), BATCH, |target| target == 0);
        search.message.is_none_or(|message| message.is_ok())
    }

    /// Looks `most` times from a position on for a message with a target that `is_wanted`.
    #[inline]
    fn queue_find(&self, mut position: u32, most: u32, is_wanted: impl Fn(u32) -> bool) -> Search {
        let mut claimed = None;
        for _ in 0..most {
            // Pairs with `Reservation::store`, `queue_consume` and `queue_put_back` (A).
            let word = self.slot(position).load_acquire();
            let lead = distance(position.wrapping_add(1), Pair::unpack(word).first);
            if lead > 0 {
                // The slot is in use for a later position: `head` is past this one.
                position = self.head_position();
                claimed = None;
                continue;
            }
            let settled = claimed.unwrap_or(position);
            if lead < 0 {
                let reason = match claimed {
                    None => self.queue_end(position),
                    Some(_) => NoMessage::Empty,
                };
                return Search {
                    message: Some(Err(reason)),
                    settled,
                };
            }
            let free = free_slots(word, position);
            if free == 0 && is_wanted(self.target(position)) {
                if word == slot_word(position, State::Ready) {
                    return Search {
                        message: Some(Ok(position)),
                        settled,
                    };
                }
                // The receiver may put the message back.
                claimed = Some(settled);
            }
            position = position.wrapping_add(free.max(1));
        }
        Search {
            message: None,
            settled: claimed.unwrap_or(position),
        }
    }

    /// Claims the message at a position that [`Self::queue_next`] returned, unless another request
    /// was faster. A request must not sleep while it has a claim.
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

    /// Moves `head` over slots that are free, [`BATCH`] of them or a few more.
    ///
    /// Two receivers that consume neighbors at once may each miss the slot that the other one has
    /// freed, unless they have had a full barrier in between.
    #[inline(always)]
    pub fn queue_reclaim(&self) {
        if self.memory.largest() > 1 {
            return self.queue_reclaim_many();
        }
        self.queue_move_head(|word, position| (word == slot_word(position, State::Free)).into());
    }

    /// The same after the caller has consumed the message at `position`.
    #[inline(always)]
    pub fn queue_reclaim_after(&self, position: u32) {
        // Mostly it was the oldest one, and the next slot is not free.
        let old = self.memory.consumer().load_acquire();
        let head = Pair::unpack(old);
        let next = position.wrapping_add(1);
        // Pairs as in `queue_move_head` (B).
        let word = self.slot(next).load_acquire();
        if head.first != position
            || is_free(word, next)
            || !self.move_head(old, with_epoch(head, next))
        {
            self.queue_reclaim_from_head();
        }
    }

    /// As [`Self::queue_reclaim`], but not inline.
    #[cold]
    #[inline(never)]
    fn queue_reclaim_from_head(&self) {
        self.queue_reclaim();
    }

    /// The same in a ring where free slots may follow each other. It is slower.
    #[inline(never)]
    fn queue_reclaim_many(&self) {
        self.queue_move_head(free_slots);
    }

    #[inline(always)]
    fn queue_move_head(&self, free_slots: impl Fn(u64, u32) -> u32) {
        loop {
            let old = self.memory.consumer().load_acquire();
            let head = Pair::unpack(old);
            let mut to = head.first;
            // Pairs with `queue_consume`, `Reservation::store` and `publish_free` (B).
            let mut word = self.slot(to).load_acquire();
            while to.wrapping_sub(head.first) < BATCH {
                let free = free_slots(word, to);
                if free == 0 {
                    break;
                }
                to = to.wrapping_add(free);
                word = self.slot(to).load_acquire();
            }
            if to != head.first {
                if self.move_head(old, with_epoch(head, to)) {
                    return;
                }
            } else if distance(to.wrapping_add(1), Pair::unpack(word).first) <= 0 {
                return;
            }
            // Others have moved `head`: maybe the slot is in use for a later position by now.
        }
    }

    /// Drops messages that only `target` could have received, at most `count`, and returns how many. Calls
    /// `each` before it drops one.
    ///
    /// For a receiver that has left. Each sender that may have published a message for it calls this
    /// afterwards.
    pub fn queue_drop_targeted(
        &self,
        place: &M::U64,
        target: u32,
        count: u32,
        mut each: impl FnMut(&Claim<'_, M>),
    ) -> u32 {
        let drop_one = |position| {
            let claim = self.queue_claim(position);
            claim.map(|claim| (each(&claim), claim.consume())).is_some()
        };
        let dropped = self.drop_targeted(self.queue_start(place), target, count, drop_one);
        self.queue_reclaim();
        dropped
    }
}
