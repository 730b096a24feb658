// SPDX-License-Identifier: GPL-2.0

//! Work that the kernel does a moment later.
//!
//! The gap of the kernel crate that this fills: its `DelayedWork` needs a reference to what it works
//! for, so that pending work keeps that alive, and nothing can cancel it.
//!
//! Locking: none. [`Later::arm`] may be called with a spinlock held.

use core::mem::offset_of;

use kernel::{prelude::*, types::Opaque};

use crate::kernel::bindings;

/// What to do later.
pub(crate) trait Job: Send + Sync + 'static {
    /// Does it. May sleep.
    fn run(&self);
}

/// A [`Job`] that the kernel runs 10 ms after a caller has asked for it. Dropping this waits until
/// the job has ended, so it may sleep.
///
/// # Invariants
///
/// `work` is initialized, and its function is [`Self::run`].
#[pin_data(PinnedDrop)]
#[repr(C)]
pub(crate) struct Later<J: Job> {
    #[pin]
    work: Opaque<bindings::delayed_work>,
    job: J,
}

// SAFETY: Any thread can use delayed work. A `Job` is `Send` and `Sync`.
unsafe impl<J: Job> Send for Later<J> {}

// SAFETY: As above.
unsafe impl<J: Job> Sync for Later<J> {}

impl<J: Job> Later<J> {
    /// Nothing is to be done yet.
    pub(crate) fn new(job: J) -> impl PinInit<Self> {
        pin_init!(Self {
            // INVARIANT: C initializes it.
            work <- Opaque::ffi_init(|work| {
                // SAFETY: `work` is valid for writing, and pinned.
                unsafe { bindings::ioipc_init_later(work, Some(Self::run)) }
            }),
            job,
        })
    }

    /// Has the job run 10 ms from now, unless it is going to run anyway.
    #[inline]
    pub(crate) fn arm(&self) {
        // SAFETY: By the type invariants.
        unsafe { bindings::ioipc_arm_later(self.work.get()) };
    }

    /// # Safety
    ///
    /// `work` is that of the `work` of an instance.
    unsafe extern "C" fn run(work: *mut bindings::work_struct) {
        const { assert!(offset_of!(Self, work) == 0) };
        // CAST: `work_struct` is the first field of `delayed_work`, which is the first of `Self`.
        // SAFETY: By the requirements of this function. `drop` waits until this returns.
        let later = unsafe { &*work.cast::<Self>() };
        later.job.run();
    }
}

#[pinned_drop]
impl<J: Job> PinnedDrop for Later<J> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariants.
        unsafe { bindings::cancel_delayed_work_sync(self.work.get()) };
    }
}
