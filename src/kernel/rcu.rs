// SPDX-License-Identifier: GPL-2.0

//! Reference counted objects that outlive their last reference by an RCU grace period.
//!
//! A reader inside an RCU read-side critical section can use such an object without a reference of
//! its own, if it found it where a reference was held when the section began. That is what makes
//! [`RcuXArray`](crate::kernel::rcu_xarray::RcuXArray) lookups free of shared writes.
//!
//! The kernel crate has no wrapper for `call_rcu()`. This uses `queue_rcu_work()`, so that objects
//! are dropped in process context, where they may sleep: they own memory that is freed with
//! `vunmap()`, and mutexes are taken.

use core::{ops::Deref, pin::Pin, ptr::NonNull};

use kernel::{
    prelude::*,
    sync::{
        aref::{ARef, AlwaysRefCounted},
        atomic::{Acquire, Atomic, Relaxed, Release},
        rcu, Refcount,
    },
    types::Opaque,
};

use crate::kernel::{alloc::GFP_MAYFAIL, bindings};

/// The workqueue on which objects are dropped, as long as there is a [`Reclaimer`].
static QUEUE: Atomic<*mut bindings::workqueue_struct> = Atomic::new(core::ptr::null_mut());

/// How many objects there are.
static OBJECTS: Atomic<usize> = Atomic::new(0);

/// How many of them have no reference any more.
static DYING: Atomic<usize> = Atomic::new(0);

/// How many grace periods it takes until all is dropped that an object keeps: an attachment has a
/// reference to a subscriber, and that one to a channel.
const GENERATIONS: usize = 3;

/// Gives the processor up if others want it, between two read-side critical sections. Returns false
/// if the task is killed. May sleep.
pub(crate) fn let_others_run() -> bool {
    bindings::ioipc_cond_resched();
    !bindings::ioipc_fatal_signal_pending()
}

/// Whether there are objects that nobody has a reference to and that are not dropped yet.
pub(crate) fn is_any_dying() -> bool {
    // Pairs with `RcuObject::free`: who does not see an object here sees what it has given back.
    DYING.load(Acquire) != 0
}

/// Waits until these are dropped, and what only they have references to. May sleep, for
/// [`GENERATIONS`] grace periods and for as long as it takes to drop them. What is dropped takes no
/// lock that may be held here: the `uring_lock` of an io_uring instance may.
pub(crate) fn wait_for_dying() {
    for _ in 0..GENERATIONS {
        if !is_any_dying() {
            return;
        }
        rcu::rcu_barrier();
        // SAFETY: There is a `Reclaimer` as long as there are objects, and as long as the module
        // is in use.
        unsafe { bindings::__flush_workqueue(QUEUE.load(Relaxed)) };
    }
}

/// Drops objects once their grace period is over.
///
/// There has to be one as long as there is any [`RcuObject`]; the module holds it.
///
/// # Invariants
///
/// `queue` is a valid workqueue that this owns.
pub(crate) struct Reclaimer {
    queue: NonNull<bindings::workqueue_struct>,
}

// SAFETY: A workqueue can be used and destroyed by any thread.
unsafe impl Send for Reclaimer {}

// SAFETY: As above, and there is nothing to do with `&Reclaimer`.
unsafe impl Sync for Reclaimer {}

impl Reclaimer {
    /// Starts a workqueue. May sleep.
    pub(crate) fn new() -> Result<Self> {
        let queue = bindings::ioipc_alloc_workqueue();
        QUEUE.store(queue, Relaxed);
        // INVARIANT: It was just allocated.
        Ok(Self {
            queue: NonNull::new(queue).ok_or(ENOMEM)?,
        })
    }
}

impl Drop for Reclaimer {
    fn drop(&mut self) {
        wait_for_dying();
        // Relaxed: The work has ended, and so have all calls that made objects.
        let left = OBJECTS.load(Relaxed);
        if left != 0 {
            pr_err!("BUG: {left} channels or subscribers are left\n");
        }
        // SAFETY: This owns `queue`, and all work on it is done.
        unsafe { bindings::destroy_workqueue(self.queue.as_ptr()) };
    }
}

/// A reference counted object that stays valid for a grace period after its last reference is gone.
///
/// # Invariants
///
/// Every instance is in a [`KBox`] that was leaked by [`Self::new`]. `refcount` is the number of
/// references. `work` is only used once that is zero.
#[pin_data]
#[repr(C)]
pub(crate) struct RcuObject<T> {
    work: Opaque<bindings::rcu_work>,
    refcount: Refcount,
    #[pin]
    value: T,
}

// SAFETY: The value may be used and dropped by any thread, because it is `Send` and `Sync`; the
// other fields are only used atomically, or by the one thread that has the last reference.
unsafe impl<T: Send + Sync> Send for RcuObject<T> {}

// SAFETY: As above.
unsafe impl<T: Send + Sync> Sync for RcuObject<T> {}

impl<T: 'static> RcuObject<T> {
    /// Makes an object with one reference, charged to the memory cgroup of the caller.
    pub(crate) fn new(value: impl PinInit<T, Error>) -> Result<ARef<Self>>
    where
        T: Send + Sync,
    {
        let object = KBox::try_pin_init(
            try_pin_init!(Self {
                work: Opaque::uninit(),
                refcount: Refcount::new(1),
                value <- value,
            }? Error),
            GFP_MAYFAIL,
        )?;
        OBJECTS.add(1, Relaxed);
        // SAFETY: The object is not moved: it is only accessed through shared references from here
        // on, and dropped in place.
        let object = KBox::leak(unsafe { Pin::into_inner_unchecked(object) });
        // SAFETY: This passes on the one reference.
        Ok(unsafe { ARef::from_raw(object.into()) })
    }

    /// Drops an object whose last reference went away a grace period ago.
    ///
    /// # Safety
    ///
    /// `work` is the first field of an instance, and nobody else uses that any more. `T` is `Send`,
    /// as [`Self::new`] asks for.
    unsafe extern "C" fn free(work: *mut bindings::work_struct) {
        // CAST: `work_struct` is the first field of `rcu_work`, which is the first of `Self`.
        let object = work.cast::<Self>();
        // SAFETY: By the type invariants it was leaked from a box, and by the requirements of this
        // function it is not used any more.
        drop(unsafe { KBox::from_raw(object) });
        let _ = OBJECTS.fetch_sub(1, Relaxed);
        // Pairs with `is_any_dying`. What it had the last reference to is dying since before.
        let _ = DYING.fetch_sub(1, Release);
    }
}

// SAFETY: The object is freed a grace period after the number of references became zero, and by the
// type invariants there are no instances that are not counted.
unsafe impl<T: 'static> AlwaysRefCounted for RcuObject<T> {
    fn inc_ref(&self) {
        self.refcount.inc();
    }

    unsafe fn dec_ref(object: NonNull<Self>) {
        // SAFETY: The caller has a reference, so it is valid.
        if !unsafe { object.as_ref() }.refcount.dec_and_test() {
            return;
        }
        DYING.add(1, Relaxed);
        // SAFETY: Readers may still use it, so it stays valid.
        let work = unsafe { object.as_ref() }.work.get();
        // SAFETY: `queue_rcu_work()` gets a workqueue that is valid as long as there are objects,
        // and work that only the owner of the last reference uses, by the type invariants. `free`
        // is called with this work after a grace period.
        unsafe { bindings::ioipc_queue_rcu_work(QUEUE.load(Relaxed), work, Some(Self::free)) };
    }
}

impl<T> Deref for RcuObject<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}
