// SPDX-License-Identifier: GPL-2.0

//! The ring of message slots: many senders, many receivers, no lock.
//!
//! The ring decides which sender or receiver may touch which slot, and nothing else. It knows
//! neither io_uring nor user memory nor what a message is. It runs wherever there are atomics: the
//! kernel, the unit tests and the loom models compile this very file, each with its own [`Memory`].
//!
//! # Positions
//!
//! A position counts slots since the ring was made. It is a `u32` that wraps. So the ring only
//! compares positions by their wrapping difference, which is at most the number of slots. The lower
//! bits of a position are its slot.
//!
//! # Life of a slot
//!
//! 1. A sender *reserves* the position `tail` with a compare-and-swap that adds one to it. It can
//!    if `tail - head` is less than the number of slots.
//! 2. The sender writes the message and *publishes* the slot: it stores the position plus one and
//!    [`State::Ready`] in the slot word. A sender that cannot finish publishes [`State::Free`], and
//!    receivers skip the slot.
//! 3. Receivers take the message. In a *queue* exactly one receiver does. It *claims* the slot by
//!    swapping [`State::Ready`] for [`State::Claimed`]. Then it consumes the message
//!    ([`State::Free`]) or puts it back. In a *broadcast* each receiver takes the message. A receiver
//!    has a cursor, and moves it past the slot.
//! 4. `head` moves over the slot, and a sender can reserve it again. In a queue this happens when
//!    the slot and all slots before it are free. In a broadcast it happens when they are published
//!    and all cursors are past them.
//!
//! # Messages that take several slots
//!
//! Such a message is in the first of its slots as far as the ring knows. The slots behind it are
//! *free* from the moment they are reserved, as if their sender had given them up, and nobody looks
//! for a message there. Still no sender reserves them again before the message is taken, because
//! `head` does not pass the first slot until then. The message lies in one piece: it never goes
//! across the end of the ring. If it would, its sender reserves the slots up to the end as well, and
//! they are free too. The word of a free slot says how many free slots follow, so all that goes over
//! slots passes them in one step.
//!
//! The publication by slot sequence number is that of Dmitry Vyukov's bounded MPMC queue
//! (<https://www.1024cores.net/home/lock-free-algorithms/queues/bounded-mpmc-queue>). Unlike there,
//! receivers claim slots out of order, because a message can be for one receiver only.
//!
//! # Pairs of barriers
//!
//! - A: A sender or receiver that publishes, consumes or puts a message back stores the slot word
//!   with release. A receiver loads or swaps the slot word with acquire before it reads the message.
//!   So the message is complete when the receiver reads it.
//! - B: Senders and receivers store slot words with release, and receivers of a broadcast their
//!   cursors. The reclaimer loads these words with acquire and then moves `head` with release. A
//!   sender loads `head` with acquire before it reserves, or the copy of `head` that another sender
//!   has stored with release after such a load. So the old message is written and read before the
//!   sender writes the new one.
//! - C: A receiver that joins a broadcast puts its cursor where [`Ring::reclaim_broadcast`] finds
//!   it, then has a full barrier, then loads `tail`. The reclaimer loads `tail`, then has a full
//!   barrier, then looks at the cursors. So the reclaimer sees the new cursor, or its `tail` is not
//!   after the position where the receiver starts.
//! - D: A request that waits parks, which sets a mark, and then looks at the ring. The waker changes
//!   the ring, and then looks at the mark, see [`Waiting`]. Both have a full barrier in between, so
//!   one of them sees the other.
//! - E: A receiver that joins at `head` stores its cursor, and then counts up the generation in the
//!   word of `head` with release. The reclaimer loads this word with acquire, looks at the cursors,
//!   and moves `head` only if the word is still the same. So a reclaimer that moves `head` after the
//!   receiver has joined has seen its cursor.
//! - F: A reclaimer that finds a receiver of a broadcast at `head` names it in [`Memory::slowest`],
//!   then has a full barrier, then looks at its cursor once more. The receiver moves its cursor, then
//!   has a full barrier, then looks at the name in [`Ring::broadcast_made_room`]. So the reclaimer
//!   sees that the receiver has moved, or the receiver sees its name and looks for room. A reclaimer
//!   that moves `head` stores another name after that, with release, and the receiver loads the name
//!   with acquire before `head`. So a receiver that sees another name sees the new `head`.

mod broadcast;
mod queue;
mod share;
mod wake;

pub use broadcast::Hold;
pub use share::Share;
pub use wake::{Mode, Waiting, OTHERS, REQUESTS, WATCHERS};

/// The atomic operations on a word of type `T` that the ring is made of.
pub trait Atomic<T: Copy> {
    /// Loads without ordering.
    fn load_relaxed(&self) -> T;
    /// Loads with acquire ordering.
    fn load_acquire(&self) -> T;
    /// Stores without ordering.
    fn store_relaxed(&self, value: T);
    /// Stores with release ordering.
    fn store_release(&self, value: T);
    /// Stores `new` if the word is `old`, with acquire ordering if it is; or returns what it is.
    fn swap_if_acquire(&self, old: T, new: T) -> Result<(), T>;
    /// Stores `new` if the word is `old`, with release ordering if it is; or returns what it is.
    fn swap_if_release(&self, old: T, new: T) -> Result<(), T>;
    /// Stores `new`, as a full barrier.
    fn swap_full(&self, new: T);
}

/// Where the words of a ring are.
pub trait Memory {
    /// A 32-bit atomic.
    type U32: Atomic<u32>;
    /// A 64-bit atomic.
    type U64: Atomic<u64>;

    /// The number of slots: a power of two, and always the same.
    fn entries(&self) -> u32;
    /// How many slots the largest message takes: 1, or at most a quarter of them.
    fn largest(&self) -> u32;
    /// As long as no more slots than these are in use, there is room for the largest message, wherever
    /// `tail` is: all slots but twice [`Self::largest`] less one. The ring counts as full otherwise.
    fn roomy(&self) -> u32;
    /// `tail` and whether the ring is closed, in one word.
    fn producer(&self) -> &Self::U64;
    /// A position of `head` that a sender has seen. It is next to [`Self::producer`], so that senders
    /// seldom look at [`Self::consumer`], which receivers write.
    fn seen_head(&self) -> &Self::U32;
    /// `head`, and in the same word how many receivers have joined there, or in a queue how often
    /// `head` has wrapped.
    fn consumer(&self) -> &Self::U64;
    /// Number of the receiver of a broadcast that was farthest behind when a reclaimer looked last. It
    /// is next to [`Self::consumer`].
    fn slowest(&self) -> &Self::U32;
    /// Sequence number and [`State`] of slot `index`, in one word. `index` is less than
    /// [`Self::entries`].
    fn slot(&self, index: u32) -> &Self::U64;
    /// The only receiver that may have the message in slot `index`, or 0.
    fn target(&self, index: u32) -> &Self::U32;
    /// A full memory barrier.
    fn full_barrier();
}

/// Two 32-bit fields in one atomic word, in the order in which they lie in memory, so that each of
/// them can be read on its own in a mapping.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Pair {
    first: u32,
    second: u32,
}

impl Pair {
    const fn new(first: u32, second: u32) -> Self {
        Self { first, second }
    }

    const fn pack(self) -> u64 {
        if cfg!(target_endian = "little") {
            (self.second as u64) << 32 | self.first as u64
        } else {
            (self.first as u64) << 32 | self.second as u64
        }
    }

    /// A word with `more` added to its second field.
    const fn add_to_second(word: u64, more: u32) -> u64 {
        if cfg!(target_endian = "little") {
            return word.wrapping_add((more as u64) << 32);
        }
        let pair = Self::unpack(word);
        Self::new(pair.first, pair.second.wrapping_add(more)).pack()
    }

    const fn unpack(word: u64) -> Self {
        let (low, high) = (word as u32, (word >> 32) as u32);
        if cfg!(target_endian = "little") {
            Self::new(low, high)
        } else {
            Self::new(high, low)
        }
    }
}

/// What a slot holds, once it is published for a position.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A message.
    Ready = 1,
    /// A message that a receiver of a queue has claimed.
    Claimed = 2,
    /// Nothing: consumed, given up by its sender, or behind the first slot of a message.
    Free = 3,
}

/// The slot word of a position.
const fn slot_word(position: u32, state: State) -> u64 {
    Pair::new(position.wrapping_add(1), state as u32).pack()
}

/// A free slot has the number of free slots that follow in the bits above its [`State`].
pub const STATE_BITS: u32 = 8;

/// Whether a slot is free, as its word says.
#[inline(always)]
const fn is_free(word: u64, position: u32) -> bool {
    const SEQUENCE_AND_STATE: u64 = Pair::new(u32::MAX, (1 << STATE_BITS) - 1).pack();
    (word ^ slot_word(position, State::Free)) & SEQUENCE_AND_STATE == 0
}

/// How many free slots there are from a position on, as the word of its slot says: none if this slot
/// is not free.
#[inline(always)]
const fn free_slots(word: u64, position: u32) -> u32 {
    if word == slot_word(position, State::Free) {
        return 1;
    }
    if !is_free(word, position) {
        return 0;
    }
    (Pair::unpack(word).second >> STATE_BITS) + 1
}

/// How far `position` is behind `other`: negative if it is ahead.
const fn distance(position: u32, other: u32) -> i32 {
    other.wrapping_sub(position) as i32
}

/// What a receiver finds in a slot that is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// A message for the receiver with this number alone, or with 0 for any receiver.
    Message(u32),
    /// Nothing, and neither in the slots after it: this is how many there are.
    Nothing(u32),
}

/// Why there is no slot to send in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoom {
    /// All slots are in use, or too few are not.
    Full,
    /// The ring was closed.
    Closed,
}

/// Why there is no message to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoMessage {
    /// There is none now.
    Empty,
    /// There is none, and none will come.
    Closed,
    /// Another request of the same receiver has claimed the next message.
    Busy,
    /// The receiver has left the broadcast.
    Detached,
}

/// The ring.
pub struct Ring<M: Memory> {
    memory: M,
}

impl<M: Memory> Ring<M> {
    /// Value of the first field of [`Memory::producer`] once the ring is closed.
    pub const CLOSED: u32 = 1;

    /// Makes an empty ring whose first position is `start`.
    pub fn new(memory: M, start: u32) -> Self {
        let ring = Self { memory };
        for offset in 0..ring.memory.entries() {
            // As if a receiver had consumed the previous message of this slot. This is never equal
            // to the sequence number of the next message.
            let previous = start
                .wrapping_add(offset)
                .wrapping_sub(ring.memory.entries());
            ring.slot(previous)
                .store_relaxed(slot_word(previous, State::Free));
        }
        ring.memory.seen_head().store_relaxed(start);
        ring.memory
            .consumer()
            .store_relaxed(Pair::new(start, 0).pack());
        ring.memory
            .producer()
            .store_release(Pair::new(0, start).pack());
        ring
    }

    /// The memory that the ring was made of.
    pub fn memory(&self) -> &M {
        &self.memory
    }

    fn index(&self, position: u32) -> u32 {
        position & (self.memory.entries() - 1)
    }

    fn slot(&self, position: u32) -> &M::U64 {
        self.memory.slot(self.index(position))
    }

    /// The only receiver of the message at a position that was returned as the next one, or 0.
    pub fn target(&self, position: u32) -> u32 {
        self.memory.target(self.index(position)).load_relaxed()
    }

    /// What is in the slot of a position, if that is published.
    #[inline]
    pub fn published(&self, position: u32) -> Option<Published> {
        let word = self.slot(position).load_acquire();
        if Pair::unpack(word).first != position.wrapping_add(1) {
            return None;
        }
        Some(if word == slot_word(position, State::Ready) {
            Published::Message(self.target(position))
        } else {
            // A message that is claimed is in one slot.
            Published::Nothing(free_slots(word, position).max(1))
        })
    }

    /// Drops messages from a position on that only `target` can receive, at most `count`. `drop_one` drops
    /// the message at a position, unless a receiver has claimed it.
    fn drop_targeted(
        &self,
        mut position: u32,
        target: u32,
        count: u32,
        mut drop_one: impl FnMut(u32) -> bool,
    ) -> u32 {
        let mut dropped = 0;
        // A sender that publishes a message after this drops it as well.
        let end = self.tail_position();
        while dropped < count && distance(position, end) > 0 {
            let ready = slot_word(position, State::Ready);
            let word = self.slot(position).load_acquire();
            if word == ready && self.target(position) == target && drop_one(position) {
                dropped += 1;
            }
            position = position.wrapping_add(free_slots(word, position).max(1));
        }
        dropped
    }

    /// `tail`, and whether the ring is closed.
    fn tail(&self) -> (u32, bool) {
        let producer = Pair::unpack(self.memory.producer().load_acquire());
        (producer.second, producer.first == Self::CLOSED)
    }

    /// Position after the last slot that is reserved.
    pub fn tail_position(&self) -> u32 {
        self.tail().0
    }

    /// The first position that is not reclaimed. Slots before it are not in use.
    pub fn head_position(&self) -> u32 {
        // Pairs with `move_head` (B).
        Pair::unpack(self.memory.consumer().load_acquire()).first
    }

    /// Whether the ring was closed.
    pub fn is_closed(&self) -> bool {
        self.tail().1
    }

    /// How many slots a message takes that needs `slots` and is sent at `tail`: with those before the
    /// end of the ring, if it does not fit there.
    #[inline]
    fn needed(&self, tail: u32, slots: u32) -> u32 {
        let before_the_end = self.memory.entries() - self.index(tail);
        if slots > before_the_end {
            before_the_end + slots
        } else {
            slots
        }
    }

    /// How many more slots have to be reclaimed before there is room for a message of `slots`, which
    /// are at most [`Memory::largest`].
    pub fn missing(&self, slots: u32) -> u32 {
        self.missing_beside(slots, 0)
    }

    /// The same if so many more slots have to stay free.
    pub fn missing_beside(&self, slots: u32, to_leave: u32) -> u32 {
        // In this order, `head` is not ahead of `tail`.
        let head = self.head_position();
        let tail = self.tail_position();
        let used = tail.wrapping_sub(head);
        (used + self.needed(tail, slots) + to_leave).saturating_sub(self.memory.entries())
    }

    /// Whether all slots are in use or not reclaimed, or so many that a message may not fit.
    pub fn is_full(&self) -> bool {
        self.missing(self.memory.largest()) != 0
    }

    /// Whether at most half of the slots are in use or not reclaimed. Then there is room for any message.
    pub fn is_half_free(&self) -> bool {
        let head = self.head_position();
        self.tail_position().wrapping_sub(head) <= self.memory.entries() / 2
    }

    /// Whether no slot is in use, or all of them are reclaimed.
    pub fn is_empty(&self) -> bool {
        let head = self.head_position();
        self.tail_position() == head
    }

    /// Ends sending. Senders still publish slots that they have reserved, and receivers still get all
    /// published messages.
    ///
    /// Returns whether the ring was open.
    pub fn close(&self) -> bool {
        let producer = self.memory.producer();
        let mut old = producer.load_relaxed();
        loop {
            let Pair { first, second } = Pair::unpack(old);
            if first == Self::CLOSED {
                return false;
            }
            match producer.swap_if_release(old, Pair::new(Self::CLOSED, second).pack()) {
                Ok(()) => return true,
                Err(current) => old = current,
            }
        }
    }

    /// Reserves the next slot for a sender.
    ///
    /// If the ring looks full, this calls `reclaim`, which moves `head` if it can: the sender misses as
    /// many slots as the second argument says. The sender must not sleep before it has published the
    /// slot, because receivers wait for the slot.
    #[inline]
    pub fn reserve(&self, reclaim: impl FnMut(&Self, u32)) -> Result<Reservation<'_, M>, NoRoom> {
        let (position, ..) = self.advance_tail(|_| (1, 1), || 0, false, reclaim)?;
        Ok(Reservation {
            ring: self,
            position,
            slots: 1,
        })
    }

    /// Reserves the next slot, if a look at what senders write tells that there is room and that the ring
    /// will not look full then, and if no other sender reserves at the same moment.
    #[inline(always)]
    pub fn reserve_at_once(&self) -> Option<Reservation<'_, M>> {
        // The order of these two, and what they pair with: see `advance_tail`.
        let seen = self.memory.seen_head().load_acquire();
        let old = self.memory.producer().load_relaxed();
        let Pair { first, second } = Pair::unpack(old);
        let used = second.wrapping_sub(seen).wrapping_add(1);
        if first == Self::CLOSED || used > self.memory.roomy() {
            return None;
        }
        let new = Pair::add_to_second(old, 1);
        self.memory.producer().swap_if_acquire(old, new).ok()?;
        Some(Reservation {
            ring: self,
            position: second,
            slots: 1,
        })
    }

    /// Reserves the next slots for messages that take one each, at most `count` and at least one. As
    /// [`Self::reserve`], but if `is_exact` this calls `reclaim` also if the ring would look full then.
    #[inline(always)]
    pub fn reserve_up_to(
        &self,
        count: u32,
        is_exact: bool,
        reclaim: impl FnMut(&Self, u32),
    ) -> Result<Reservations<'_, M>, NoRoom> {
        self.reserve_leaving(count, || 0, is_exact, reclaim)
    }

    /// The same, and leaves so many slots free.
    #[inline(always)]
    fn reserve_leaving(
        &self,
        count: u32,
        to_leave: impl Fn() -> u32,
        is_exact: bool,
        reclaim: impl FnMut(&Self, u32),
    ) -> Result<Reservations<'_, M>, NoRoom> {
        let (next, remaining, used) =
            self.advance_tail(|_| (1, count), to_leave, is_exact, reclaim)?;
        Ok(Reservations {
            ring: self,
            next,
            remaining,
            slots: 1,
            used,
        })
    }

    /// Reserves `slots` for one message, at most [`Memory::largest`]. As [`Self::reserve_up_to`].
    pub fn reserve_span(
        &self,
        slots: u32,
        is_exact: bool,
        reclaim: impl FnMut(&Self, u32),
    ) -> Result<Reservations<'_, M>, NoRoom> {
        self.reserve_span_leaving(slots, || 0, is_exact, reclaim)
    }

    /// The same, and leaves so many slots free.
    #[inline(always)]
    fn reserve_span_leaving(
        &self,
        slots: u32,
        to_leave: impl Fn() -> u32,
        is_exact: bool,
        reclaim: impl FnMut(&Self, u32),
    ) -> Result<Reservations<'_, M>, NoRoom> {
        let needed = |tail| {
            let needed = self.needed(tail, slots);
            (needed, needed)
        };
        let (tail, count, used) = self.advance_tail(needed, to_leave, is_exact, reclaim)?;
        let before_the_end = count - slots;
        let next = tail.wrapping_add(before_the_end);
        self.publish_free(tail, before_the_end);
        self.publish_free(next.wrapping_add(1), slots - 1);
        Ok(Reservations {
            ring: self,
            next,
            remaining: 1,
            slots,
            used,
        })
    }

    /// Publishes slots that this sender has reserved and leaves free.
    fn publish_free(&self, position: u32, count: u32) {
        // From the last one on: who passes all of them has acquired the first one, so none of these
        // stores comes after the next sender's (B).
        for more in 0..count {
            let position = position.wrapping_add(count - 1 - more);
            let word = slot_word(position, State::Free) ^ Pair::new(0, more << STATE_BITS).pack();
            self.slot(position).store_release(word);
        }
    }

    /// Moves `tail` over slots: as many as there is room for, from the one number to the other that
    /// `wanted` returns for a position of `tail`. So many slots stay free as `to_leave` returns. Returns
    /// the first position, how many they are, and how many slots seem to be in use with them.
    #[inline(always)]
    fn advance_tail(
        &self,
        wanted: impl Fn(u32) -> (u32, u32),
        to_leave: impl Fn() -> u32,
        is_exact: bool,
        mut reclaim: impl FnMut(&Self, u32),
    ) -> Result<(u32, u32, u32), NoRoom> {
        let producer = self.memory.producer();
        let seen_head = self.memory.seen_head();
        let entries = self.memory.entries();
        let mut reclaimed = None;
        loop {
            // It is loaded before `tail`, so that it can't be ahead of it. It may be behind `head`.
            // Pairs with the store below (B).
            let seen = seen_head.load_acquire();
            let old = producer.load_relaxed();
            let Pair { first, second } = Pair::unpack(old);
            if first == Self::CLOSED {
                return Err(NoRoom::Closed);
            }
            let used = second.wrapping_sub(seen);
            let usable = entries.saturating_sub(to_leave());
            let (least, most) = wanted(second);
            let mut count = most;
            let then = used.wrapping_add(most);
            if then > usable || (is_exact && then > self.memory.roomy()) {
                let room = usable.saturating_sub(used);
                let head = self.head_position();
                if head != seen {
                    // Pairs with the load above (B).
                    seen_head.store_release(head);
                    continue;
                }
                if (room < least || is_exact) && reclaimed != Some(head) {
                    reclaim(self, least.saturating_sub(room));
                    // If `head` has not moved, there is no more room. If it has, other senders may
                    // have taken the room.
                    reclaimed = Some(head);
                    continue;
                }
                if room < least {
                    return Err(NoRoom::Full);
                }
                count = most.min(room);
            }
            let new = Pair::add_to_second(old, count);
            // Acquire: this sender writes the slots only after the swap.
            if producer.swap_if_acquire(old, new).is_ok() {
                return Ok((second, count, used.wrapping_add(count)));
            }
        }
    }

    /// Moves `head`, unless its word has changed since the caller loaded it as `old`.
    fn move_head(&self, old: u64, new: Pair) -> bool {
        // Pairs with `head_position` (B).
        self.memory
            .consumer()
            .swap_if_release(old, new.pack())
            .is_ok()
    }
}

/// The slots of one message, which only one sender may write. Those behind the first one are free
/// already, see [`Ring`].
///
/// Dropping it gives the first slot up, too: receivers skip it.
#[must_use]
pub struct Reservation<'a, M: Memory> {
    ring: &'a Ring<M>,
    position: u32,
    slots: u32,
}

impl<'a, M: Memory> Reservation<'a, M> {
    /// The memory that the slot is in.
    pub fn memory(&self) -> &'a M {
        &self.ring.memory
    }

    /// The position of the message.
    pub fn position(&self) -> u32 {
        self.position
    }

    /// Number of the first slot.
    pub fn index(&self) -> u32 {
        self.ring.index(self.position)
    }

    /// How many slots there are, one after the other.
    pub fn slots(&self) -> u32 {
        self.slots
    }

    /// The position after them.
    pub fn end(&self) -> u32 {
        self.position.wrapping_add(self.slots)
    }

    /// Sets the only receiver of the message, 0 for any.
    pub fn set_target(&self, target: u32) {
        self.ring.memory.target(self.index()).store_relaxed(target);
    }

    /// Hands the message to the receivers.
    #[inline]
    pub fn publish(self) {
        self.store(State::Ready);
        core::mem::forget(self);
    }

    fn store(&self, state: State) {
        // Pairs with the loads of the slot word in `queue` and `broadcast` (A).
        self.ring
            .slot(self.position)
            .store_release(slot_word(self.position, state));
    }
}

impl<M: Memory> Drop for Reservation<'_, M> {
    fn drop(&mut self) {
        self.store(State::Free);
    }
}

/// The slots of consecutive messages, which only one sender may write.
///
/// Dropping it gives the slots up that are left.
#[must_use]
pub struct Reservations<'a, M: Memory> {
    ring: &'a Ring<M>,
    next: u32,
    /// How many messages, and how many slots each of them has.
    remaining: u32,
    slots: u32,
    /// How many slots of the ring seemed to be in use with them.
    used: u32,
}

impl<M: Memory> Reservations<'_, M> {
    /// The position after the last one.
    pub fn end(&self) -> u32 {
        self.next.wrapping_add(self.remaining * self.slots)
    }

    /// Whether the ring counts as full with them, see [`Memory::roomy`]; or it may seem so if they are
    /// not exact.
    pub fn fill_the_ring(&self) -> bool {
        self.used > self.ring.memory.roomy()
    }
}

impl<'a, M: Memory> Iterator for Reservations<'a, M> {
    type Item = Reservation<'a, M>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let position = self.next;
        self.remaining = self.remaining.checked_sub(1)?;
        self.next = position.wrapping_add(self.slots);
        Some(Reservation {
            ring: self.ring,
            position,
            slots: self.slots,
        })
    }
}

impl<M: Memory> Drop for Reservations<'_, M> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

/// A message that a receiver has claimed.
///
/// No sender reserves the slots of the message while the claim exists. Dropping it puts the message
/// back into the ring.
#[must_use]
pub struct Claim<'a, M: Memory> {
    ring: &'a Ring<M>,
    position: u32,
    /// The cursor of the receiver, in a broadcast.
    cursor: Option<&'a M::U64>,
}

impl<'a, M: Memory> Claim<'a, M> {
    /// The memory that the slot is in.
    pub fn memory(&self) -> &'a M {
        &self.ring.memory
    }

    /// The position of the message.
    pub fn position(&self) -> u32 {
        self.position
    }

    /// Number of the first slot.
    pub fn index(&self) -> u32 {
        self.ring.index(self.position)
    }

    /// In a broadcast, consumes the message and claims the next message for `receiver`, which has made
    /// this claim. If there is none yet, returns false and keeps the claim.
    #[inline]
    pub fn step(&mut self, receiver: u32) -> bool {
        let following = self.ring.broadcast_following(self.position, receiver);
        self.position = following.unwrap_or(self.position);
        following.is_some()
    }

    /// Consumes the message. In a queue, senders can use its slots after the next
    /// [`Ring::queue_reclaim`].
    #[inline]
    pub fn consume(self) {
        match self.cursor {
            None => self.ring.queue_consume(self.position),
            Some(cursor) => broadcast::release::<M>(cursor, self.position.wrapping_add(1)),
        }
        core::mem::forget(self);
    }
}

impl<M: Memory> Drop for Claim<'_, M> {
    fn drop(&mut self) {
        match self.cursor {
            None => self.ring.queue_put_back(self.position),
            Some(cursor) => broadcast::release::<M>(cursor, self.position),
        }
    }
}
