// SPDX-License-Identifier: GPL-2.0

//! What is counted of channels and subscribers, for administrators.
//!
//! Nothing here locks, and only making a counter sleeps. A message that is sent or received changes
//! no counter that another subscriber or processor changes.

use core::{ops, ptr::NonNull};

use kernel::{
    prelude::*,
    sync::atomic::{Atomic, Relaxed},
};

use crate::kernel::bindings;

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

    // Whoever reads counts while they change may see the later ones first.
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

/// Counts that anybody can add to, where that is seldom.
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

    /// What they are now.
    pub(crate) fn get(&self) -> Counts {
        Counts {
            sent: self.sent.load(Relaxed),
            received: self.received.load(Relaxed),
            lost: self.lost.load(Relaxed),
            full: self.full.load(Relaxed),
            waits: self.waits.load(Relaxed),
        }
    }

    /// Adds to each.
    pub(crate) fn add(&self, counts: Counts) {
        self.sent.add(counts.sent, Relaxed);
        self.received.add(counts.received, Relaxed);
        self.lost.add(counts.lost, Relaxed);
        self.full.add(counts.full, Relaxed);
        self.waits.add(counts.waits, Relaxed);
    }
}

/// A counter that each processor has a part of.
///
/// # Invariants
///
/// `parts` is a per-CPU `u64` that this owns.
pub(crate) struct PerCpuCounter {
    parts: NonNull<u64>,
}

// SAFETY: Any thread can use and free it.
unsafe impl Send for PerCpuCounter {}

// SAFETY: Each processor changes only its part, in one instruction.
unsafe impl Sync for PerCpuCounter {}

impl PerCpuCounter {
    /// A counter that is zero. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        let parts = bindings::ioipc_alloc_percpu_counter();
        // INVARIANT: It was just allocated.
        Ok(Self {
            parts: NonNull::new(parts).ok_or(ENOMEM)?,
        })
    }

    /// Adds to the part of this processor.
    #[inline]
    pub(crate) fn add(&self, count: u32) {
        // SAFETY: By the type invariants.
        unsafe { bindings::ioipc_percpu_counter_add(self.parts.as_ptr(), count) };
    }

    /// The sum of all parts.
    pub(crate) fn sum(&self) -> u64 {
        // SAFETY: By the type invariants.
        unsafe { bindings::ioipc_percpu_counter_sum(self.parts.as_ptr()) }
    }
}

impl Drop for PerCpuCounter {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, and nobody uses it after this.
        unsafe { bindings::ioipc_free_percpu_counter(self.parts.as_ptr()) };
    }
}
