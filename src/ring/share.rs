// SPDX-License-Identifier: GPL-2.0

//! Shares: what keeps some senders of a queue from taking all of its slots.
//!
//! Senders that have a [`Share`] together leave as many slots free as they use. So the first of such
//! groups takes half of the ring at most, the next one half of the rest, and so on; and if `n` groups
//! send as much as they can while receivers receive, each of them ends at one part in `n + 1`, and one
//! part stays free. A group that uses nothing may send one message into any room.
//!
//! With `n` groups that have sent messages of one slot, at least `entries >> n` slots are free: look at
//! the groups in the order of their last sends. After its last send a group used no more than was free,
//! and what was free then is free now, or the later groups use it. So each group uses at most half of
//! what it and the later ones use and leave. The group that sends as the `j`-th one therefore finds
//! `entries >> (j - 1)` slots free, and may take half of them and at least one, however little is
//! received. This holds also if senders send at the same time, because a sender compares what its
//! group uses with what is free in the very step in which it reserves.

use super::{Atomic, Memory, NoRoom, Reservations, Ring};

/// In the word of a [`Share`]: requests wait for it.
const WAITS: u32 = 1 << 31;

/// How many slots of a queue a group of senders uses.
///
/// A sender takes slots before it reserves them, and gives back what it has not sent. A receiver gives
/// back what it consumes. The bit that says that requests wait is in the same word. So who gives back
/// sees the bit, or the request that sets the bit sees that there is more left for it.
pub struct Share<M: Memory> {
    word: M::U32,
}

impl<M: Memory> Share<M> {
    /// From a word that is 0: it uses nothing.
    pub fn new(word: M::U32) -> Self {
        Self { word }
    }

    /// How many slots it uses.
    #[inline(always)]
    pub fn used(&self) -> u32 {
        self.word.load_relaxed() & !WAITS
    }

    /// Changes the word, and returns what it was.
    #[inline(always)]
    fn change(&self, to: impl Fn(u32) -> u32) -> u32 {
        let mut old = self.word.load_relaxed();
        while let Err(current) = self.word.swap_if_release(old, to(old)) {
            old = current;
        }
        old
    }

    /// Takes slots. Returns how many it has used before.
    #[inline(always)]
    pub fn take(&self, slots: u32) -> u32 {
        self.change(|word| word + slots) & !WAITS
    }

    /// Gives slots back. Returns whether requests wait for them. If not, the share may be gone by now.
    #[inline(always)]
    pub fn give_back(&self, slots: u32) -> bool {
        self.change(|word| word - slots) & WAITS != 0
    }

    /// Notes whether requests wait for it. The caller holds a lock.
    pub fn set_waits(&self, waits: bool) {
        if (self.word.load_relaxed() & WAITS != 0) != waits {
            self.change(|word| word ^ WAITS);
        }
    }

    /// How many slots have to stay free beside those of a message of `slots`.
    pub fn to_leave(&self, slots: u32) -> u32 {
        match self.used() {
            0 => 0,
            used => used + slots,
        }
    }

    /// How many messages of one slot, of `count`, may be sent at once into so much room: at least one
    /// has to be tried.
    pub fn at_once(&self, count: u32, room: u32) -> u32 {
        count.min(room.saturating_sub(self.used()) / 2).max(1)
    }
}

impl<M: Memory> Ring<M> {
    /// How many slots are not in use.
    pub fn room(&self) -> u32 {
        // In this order, `head` is not ahead of `tail`.
        let head = self.head_position();
        let used = self.tail_position().wrapping_sub(head);
        self.memory.entries().saturating_sub(used)
    }

    /// Reserves slots that the sender has taken of a share: for `count` messages of one slot as
    /// [`Self::reserve_up_to`], or for one of `slots` as [`Self::reserve_span`]. `was_unused` if the
    /// share has used nothing before, and there is one message.
    #[inline(always)]
    pub fn reserve_share(
        &self,
        (count, slots): (u32, u32),
        share: &Share<M>,
        was_unused: bool,
        is_exact: bool,
        reclaim: impl FnMut(&Self, u32),
    ) -> Result<Reservations<'_, M>, NoRoom> {
        let to_leave = || if was_unused { 0 } else { share.used() };
        match slots {
            1 => self.reserve_leaving(count, to_leave, is_exact, reclaim),
            _ => self.reserve_span_leaving(slots, to_leave, is_exact, reclaim),
        }
    }
}
