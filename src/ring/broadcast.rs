// SPDX-License-Identifier: GPL-2.0

//! Receiving in a broadcast: each receiver gets each message.
//!
//! A receiver has a cursor. One word has its position, whether a request is reading the message
//! there, and whether the receiver has left. No sender reserves a slot from a cursor on. So no
//! sender writes a message while a receiver reads it. A receiver that leaves while a request reads
//! holds that slot until the request has ended.

use super::{
    distance, free_slots, slot_word, Atomic, Claim, Memory, NoMessage, Pair, Published, Ring, State,
};

/// A request of the receiver is reading the message at the cursor.
const BUSY: u32 = 1;
/// The receiver has left, or has not joined yet.
const DETACHED: u32 = 2;
/// The receiver has left, and the messages for it alone are still to be dropped.
const LEAVING: u32 = 4;

/// How often a reclaimer looks at all cursors again because others have moved `head`.
const MAX_RECLAIMS: u32 = 8;

/// How many slots a reclaimer frees at most after one look at all cursors, if nobody misses more.
const MAX_RECLAIM_STEP: u32 = 64;

/// What a receiver does with the slots from its cursor on, which is `ahead` slots after another one.
pub enum Hold {
    /// The receiver has not received them yet.
    Idle { ahead: u32 },
    /// A request is reading the message at the cursor, or the receiver is joining or leaving.
    Reading { ahead: u32 },
}

const fn cursor_word(position: u32, flags: u32) -> u64 {
    Pair::new(position, flags).pack()
}

/// Ends the reading of a message, with the cursor at `position`.
pub(super) fn release<M: Memory>(cursor: &M::U64, position: u32) {
    let mut old = cursor.load_relaxed();
    loop {
        let flags = Pair::unpack(old).second & !BUSY;
        // Pairs with `reclaim_broadcast` (B). Fails if the receiver leaves right now.
        match cursor.swap_if_release(old, cursor_word(position, flags)) {
            Ok(()) => return,
            Err(current) => old = current,
        }
    }
}

impl<M: Memory> Ring<M> {
    /// The word for a cursor that is not in use yet. It holds the slots from there on. No request
    /// moves it, and no sender has its receiver as a target, before the receiver has joined.
    pub fn new_cursor(&self) -> u64 {
        cursor_word(self.tail_position(), DETACHED | BUSY)
    }

    /// Lets a receiver start with the next message.
    ///
    /// [`Self::reclaim_broadcast`] already looks at its cursor. The receiver must not receive before
    /// this returns.
    pub fn broadcast_join(&self, cursor: &M::U64) {
        // Pairs with `reclaim_broadcast` (C).
        M::full_barrier();
        cursor.store_relaxed(cursor_word(self.tail_position(), 0));
    }

    /// Lets a receiver start with the oldest message in the ring, or with a later message so that this
    /// receiver leaves `room` slots for senders.
    ///
    /// As [`Self::broadcast_join`] otherwise.
    pub fn broadcast_join_at_oldest(&self, cursor: &M::U64, room: u32) {
        let consumer = self.memory.consumer();
        let mut old = consumer.load_acquire();
        let head = loop {
            let Pair { first, second } = Pair::unpack(old);
            cursor.store_relaxed(cursor_word(first, DETACHED | BUSY));
            let new = Pair::new(first, second.wrapping_add(1)).pack();
            // Pairs with `reclaim_broadcast` (E).
            match consumer.swap_if_release(old, new) {
                Ok(()) => break first,
                // The next slot has to be acquired as well: it may have been in use.
                Err(_) => old = consumer.load_acquire(),
            }
        };
        // Later than that is fine as well.
        let latest = self.tail_position();
        let most = self.memory.entries() - room;
        let excess = latest.wrapping_sub(head).saturating_sub(most);
        cursor.store_relaxed(cursor_word(head.wrapping_add(excess), 0));
    }

    /// Where a receiver reads.
    pub fn cursor_position(&self, cursor: &M::U64) -> u32 {
        Pair::unpack(cursor.load_relaxed()).first
    }

    /// Moves a cursor to a position that user space has written, which can be any number. Ignores a
    /// position before the cursor or after `tail`.
    pub fn broadcast_accept(&self, cursor: &M::U64, position: u32) {
        let old = cursor.load_relaxed();
        let Pair { first, second } = Pair::unpack(old);
        if second == 0
            && distance(first, position) > 0
            && distance(position, self.tail_position()) >= 0
        {
            // Pairs with `reclaim_broadcast` (B). If this fails, another request has moved the
            // cursor.
            let _ = cursor.swap_if_release(old, cursor_word(position, 0));
        }
    }

    /// How many messages for `receiver` follow the one at `position`, up to `most`. Moves `position`
    /// to the last of them.
    pub fn broadcast_count(&self, position: &mut u32, receiver: u32, most: u32) -> u32 {
        let mut count = 0;
        while count < most {
            let Some(next) = self.broadcast_following(*position, receiver) else {
                break;
            };
            *position = next;
            count += 1;
        }
        count
    }

    /// Whether `receiver` holds slots from `head` on, and which. Moves its cursor over slots that have
    /// no message for it, as [`Self::reclaim_broadcast`] does for a sender that is `missing` some.
    pub fn broadcast_hold(
        &self,
        cursor: &M::U64,
        receiver: u32,
        head: u32,
        missing: u32,
    ) -> Option<Hold> {
        let end = head.wrapping_add(self.reclaim_step().max(missing));
        let (word, _) = self.skip(cursor, receiver, Some(end));
        let Pair {
            first: position,
            second: flags,
        } = Pair::unpack(word);
        // The cursor of a receiver that is just joining can be behind `head`.
        let ahead = distance(head, position).max(0) as u32;
        match flags {
            0 => Some(Hold::Idle { ahead }),
            DETACHED => None,
            _ => Some(Hold::Reading { ahead }),
        }
    }

    /// Lets a receiver leave, and returns whether a request of it is still reading a message.
    ///
    /// The receiver receives nothing after this. Its cursor holds its slots until
    /// [`Self::broadcast_let_go`] and the end of that request.
    pub fn broadcast_leave(&self, cursor: &M::U64) -> bool {
        self.change_flags(cursor, 0, DETACHED | LEAVING) & BUSY != 0
    }

    /// Frees the slots that the cursor of a receiver holds after it has left.
    pub fn broadcast_let_go(&self, cursor: &M::U64) {
        self.change_flags(cursor, LEAVING, 0);
    }

    /// Clears and sets flags of a cursor, and returns those that were set before.
    fn change_flags(&self, cursor: &M::U64, clear: u32, set: u32) -> u32 {
        loop {
            // Acquire what an earlier claim released: a reclaimer that finds the cursor gone relies
            // on it (B).
            let old = cursor.load_acquire();
            let Pair {
                first: position,
                second: flags,
            } = Pair::unpack(old);
            let new = cursor_word(position, flags & !clear | set);
            if cursor.swap_if_release(old, new).is_ok() {
                return flags;
            }
        }
    }

    /// Whether the receiver with this cursor has left, or has not joined yet.
    pub fn is_detached(&self, cursor: &M::U64) -> bool {
        Pair::unpack(cursor.load_relaxed()).second & DETACHED != 0
    }

    /// The word of a slot, and how many slots from there on have no message for `receiver`: they are
    /// free, or the message is for another receiver.
    #[inline]
    fn look(&self, position: u32, receiver: u32) -> (u64, u32) {
        // Pairs with `Reservation::store` (A).
        let slot = self.slot(position).load_acquire();
        let useless = if slot == slot_word(position, State::Ready) {
            let target = self.target(position);
            (target != 0 && target != receiver).into()
        } else {
            free_slots(slot, position)
        };
        (slot, useless)
    }

    /// The position of the message for `receiver` that follows the one at `position`, if there is
    /// one now.
    pub(super) fn broadcast_following(&self, mut position: u32, receiver: u32) -> Option<u32> {
        let mut useless = 1;
        loop {
            position = position.wrapping_add(useless);
            let slot;
            (slot, useless) = self.look(position, receiver);
            if useless == 0 {
                return (slot == slot_word(position, State::Ready)).then_some(position);
            }
        }
    }

    /// Moves a cursor over slots that have no message for `receiver`, as long as it is before `end`.
    /// Returns the cursor, and the word of the slot at the cursor.
    fn skip(&self, cursor: &M::U64, receiver: u32, end: Option<u32>) -> (u64, u64) {
        loop {
            // Pairs with `release` and `broadcast_leave`.
            let old = cursor.load_acquire();
            let Pair {
                first: position,
                second: flags,
            } = Pair::unpack(old);
            let (slot, useless) = self.look(position, receiver);
            if flags != 0 || useless == 0 || end.is_some_and(|end| distance(position, end) <= 0) {
                return (old, slot);
            }
            // If this fails, another request has moved the cursor.
            let _ = cursor.swap_if_release(old, cursor_word(position.wrapping_add(useless), 0));
        }
    }

    /// Finds the next message for `receiver`, moves its cursor there and returns the position.
    pub fn broadcast_next(&self, cursor: &M::U64, receiver: u32) -> Result<u32, NoMessage> {
        loop {
            let (old, slot) = self.skip(cursor, receiver, None);
            let Pair {
                first: position,
                second: flags,
            } = Pair::unpack(old);
            if flags & DETACHED != 0 {
                return Err(NoMessage::Detached);
            }
            if flags & BUSY != 0 {
                return Err(NoMessage::Busy);
            }
            if slot == slot_word(position, State::Ready) {
                return Ok(position);
            }
            if cursor.load_relaxed() != old {
                // Another request has moved the cursor, and the slot is in use again.
                continue;
            }
            let (tail, closed) = self.tail();
            return Err(if closed && tail == position {
                NoMessage::Closed
            } else {
                NoMessage::Empty
            });
        }
    }

    /// Claims the message at a position that [`Self::broadcast_next`] returned, unless another
    /// request of the same receiver was faster. A request must not sleep while it has a claim.
    #[inline]
    pub fn broadcast_claim<'a>(
        &'a self,
        cursor: &'a M::U64,
        position: u32,
    ) -> Option<Claim<'a, M>> {
        // Acquire: other requests of this receiver have released the cursor. This request has
        // acquired the message itself in `broadcast_next`.
        cursor
            .swap_if_acquire(cursor_word(position, 0), cursor_word(position, BUSY))
            .ok()?;
        Some(Claim {
            ring: self,
            position,
            cursor: Some(cursor),
        })
    }

    /// How many slots [`Self::reclaim_broadcast`] moves `head` at most, if nobody misses more.
    pub fn reclaim_step(&self) -> u32 {
        (self.memory.entries() / 4).clamp(1, MAX_RECLAIM_STEP)
    }

    /// Moves `head` towards the cursor that is farthest behind, or towards `tail` if there is no
    /// cursor. It stops before a slot that is not published, because a sender is still writing there.
    /// It moves `head` by at most [`Self::reclaim_step`], or by the number of slots that a sender is
    /// `missing`, and to the end of the free slots there. The other slots are history, for receivers
    /// that join at the oldest message. If others move `head` meanwhile, or join there again and
    /// again, it leaves the work to them.
    ///
    /// `for_each` calls its second argument with the cursor and the number of each receiver, and
    /// whether senders can take messages away from it, until that returns true: the other receivers do
    /// not matter then. It begins with the receiver whose
    /// number is its first argument, or with the next one: the receiver that was farthest behind last
    /// time mostly still is. This moves each cursor over slots that have no message for its receiver,
    /// but no farther than `head` can move now. So only messages that a receiver could receive hold
    /// senders up.
    #[inline]
    pub fn reclaim_broadcast(
        &self,
        missing: u32,
        mut for_each: impl FnMut(u32, &mut dyn FnMut(&M::U64, u32, bool) -> bool),
    ) {
        let most = self.reclaim_step().max(missing);
        let start = self.head_position();
        let mut failures = 0;
        while failures < MAX_RECLAIMS {
            // Pairs with `broadcast_join_at_oldest` (E).
            let old = self.memory.consumer().load_acquire();
            let Pair {
                first: head,
                second: joined,
            } = Pair::unpack(old);
            if head != start {
                return;
            }
            let named = self.memory.slowest().load_relaxed();
            let (mut last, mut slowest, mut yields) = (self.tail_position(), named, false);
            // Pairs with `broadcast_join` (C) and `broadcast_made_room` (F).
            M::full_barrier();
            for_each(named, &mut |cursor, receiver, is_lossy| {
                // Its load pairs with `release` (B).
                let (word, _) = self.skip(cursor, receiver, Some(head.wrapping_add(most)));
                let Pair {
                    first: position,
                    second: flags,
                } = Pair::unpack(word);
                let ahead = distance(last, position);
                // Of two at one position, senders wait for the one that is not lossy.
                if flags != DETACHED && (ahead < 0 || (ahead == 0 && yields && !is_lossy)) {
                    (last, slowest, yields) = (position, receiver, is_lossy);
                }
                distance(head, last) <= 0 && !yields
            });
            let mut to = head;
            // The cursor of a receiver that is joining can be behind `head`.
            // Pairs with `Reservation::store` (B).
            while distance(to, last) > 0 && to.wrapping_sub(head) < most {
                to = match self.published(to) {
                    None => break,
                    Some(Published::Message(_)) => to.wrapping_add(1),
                    Some(Published::Nothing(count)) => to.wrapping_add(count),
                };
                if distance(to, last) < 0 {
                    // A receiver has joined within these free slots, or user space has moved it there.
                    to = last;
                }
            }
            let has_moved = to != head && self.move_head(old, Pair::new(to, joined));
            if to != head && !has_moved {
                failures += 1;
                continue;
            }
            if slowest != named {
                // After `head`. Pairs with `broadcast_made_room` (F).
                self.memory.slowest().store_release(slowest);
            }
            // The receiver that is named now may have moved its cursor before.
            if has_moved || slowest == named {
                return;
            }
        }
    }

    /// Whether a receiver may have made room for senders. It has moved its cursor from `position` on,
    /// and then had a full barrier. A lossy receiver may have, whenever it was at `head`: a sender
    /// waits for it only while a request is reading, and that may have begun after the sender has
    /// looked who the slowest one is.
    #[inline]
    pub fn broadcast_made_room(&self, receiver: u32, position: u32, is_lossy: bool) -> bool {
        // Pairs with `reclaim_broadcast` (F).
        let slowest = self.memory.slowest().load_acquire();
        match distance(self.head_position(), position) {
            0 => is_lossy || slowest == receiver,
            ahead => ahead < 0,
        }
    }

    /// The receiver that was farthest behind when a sender looked last. Senders wait for it, if they
    /// wait for any.
    pub fn slowest(&self) -> u32 {
        self.memory.slowest().load_relaxed()
    }

    /// Drops all messages that only `target` could have received and has not, and returns how many.
    /// Calls `each` with their positions.
    ///
    /// For a receiver that has left. Each sender that may have published a message for it calls this
    /// afterwards. While a request of the receiver is still reading, this drops nothing, and the
    /// request calls it again at its end.
    pub fn broadcast_drop_targeted(
        &self,
        cursor: &M::U64,
        target: u32,
        mut each: impl FnMut(u32),
    ) -> u32 {
        let Pair {
            first: position,
            second: flags,
        } = Pair::unpack(cursor.load_acquire());
        if flags & BUSY != 0 {
            // The request that is reading may be going over all of them.
            return 0;
        }
        let head = self.head_position();
        let first = if distance(position, head) > 0 {
            head
        } else {
            position
        };
        self.drop_targeted(first, target, u32::MAX, |position| {
            let word = |state| slot_word(position, state);
            // Pairs with `move_head` (B).
            let is_dropped = self
                .slot(position)
                .swap_if_release(word(State::Ready), word(State::Free))
                .is_ok();
            if is_dropped {
                each(position);
            }
            is_dropped
        })
    }
}
