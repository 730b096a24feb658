// SPDX-License-Identifier: GPL-2.0

//! What channels and subscribers count, for administrators.
//!
//! Nothing here sleeps or locks. To send or receive a message changes no counter that another
//! subscriber or processor changes.

use core::ops;

use kernel::sync::atomic::{Atomic, Relaxed};

/// How often something has happened.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Messages were sent.
    pub(crate) sent: u64,
    /// Messages were received, not counting those that were read in place.
    pub(crate) received: u64,
    /// Messages were overwritten before they were received.
    pub(crate) lost: u64,
    /// A send has found no room.
    pub(crate) full: u64,
    /// A request had to wait for a message or for room.
    pub(crate) waits: u64,
}

impl ops::Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            received: self.received + other.received,
            lost: self.lost + other.lost,
            full: self.full + other.full,
            waits: self.waits + other.waits,
        }
    }
}

impl ops::Sub for Counts {
    type Output = Self;

    // A reader may see the later of two changes first. The difference is 0 then.
    fn sub(self, other: Self) -> Self {
        Self {
            sent: self.sent.saturating_sub(other.sent),
            received: self.received.saturating_sub(other.received),
            lost: self.lost.saturating_sub(other.lost),
            full: self.full.saturating_sub(other.full),
            waits: self.waits.saturating_sub(other.waits),
        }
    }
}

/// Counts that any thread can add to. That must be seldom.
pub(crate) struct SharedCounts {
    sent: Atomic<u64>,
    received: Atomic<u64>,
    lost: Atomic<u64>,
    full: Atomic<u64>,
    waits: Atomic<u64>,
}

impl SharedCounts {
    /// All zero.
    pub(crate) const fn new() -> Self {
        Self {
            sent: Atomic::new(0),
            received: Atomic::new(0),
            lost: Atomic::new(0),
            full: Atomic::new(0),
            waits: Atomic::new(0),
        }
    }

    /// Returns the counts as they are now.
    pub(crate) fn get(&self) -> Counts {
        Counts {
            sent: self.sent.load(Relaxed),
            received: self.received.load(Relaxed),
            lost: self.lost.load(Relaxed),
            full: self.full.load(Relaxed),
            waits: self.waits.load(Relaxed),
        }
    }

    /// Adds to each count.
    pub(crate) fn add(&self, counts: Counts) {
        self.sent.add(counts.sent, Relaxed);
        self.received.add(counts.received, Relaxed);
        self.lost.add(counts.lost, Relaxed);
        self.full.add(counts.full, Relaxed);
        self.waits.add(counts.waits, Relaxed);
    }
}
