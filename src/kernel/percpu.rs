// SPDX-License-Identifier: GPL-2.0

//! A counter that each processor has a part of.
//!
//! The kernel crate has no per-CPU variables.

use kernel::prelude::*;

use crate::kernel::{bindings, pointer::Pointer};

/// A counter for what happens so often that processors must not share a cache line for it.
///
/// # Invariants
///
/// `parts` is a per-CPU `u64` that this owns.
///
/// # Examples
///
/// ```ignore
/// let sent = PerCpuCounter::new()?;
/// sent.add(3);
/// assert_eq!(sent.sum(), 3);
/// ```
pub(crate) struct PerCpuCounter {
    parts: Pointer<u64>,
}

impl PerCpuCounter {
    /// Makes a counter that is zero. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        let parts = bindings::ioipc_alloc_percpu_counter();
        // INVARIANT: The variable was just allocated, for this counter.
        Ok(Self {
            parts: Pointer::new(parts).ok_or(ENOMEM)?,
        })
    }

    /// Adds to the part of this processor.
    #[inline]
    pub(crate) fn add(&self, count: u32) {
        // SAFETY: `parts` is a per-CPU variable by the type invariants. A processor changes only its
        // own part, in one instruction.
        unsafe { bindings::ioipc_percpu_counter_add(self.parts.as_ptr(), count) };
    }

    /// Returns the sum of all parts.
    pub(crate) fn sum(&self) -> u64 {
        // SAFETY: `parts` is a per-CPU variable by the type invariants.
        unsafe { bindings::ioipc_percpu_counter_sum(self.parts.as_ptr()) }
    }
}

impl Drop for PerCpuCounter {
    fn drop(&mut self) {
        // SAFETY: This owns `parts` by the type invariants, and nothing uses it after this. Any thread
        // may free it.
        unsafe { bindings::ioipc_free_percpu_counter(self.parts.as_ptr()) };
    }
}
