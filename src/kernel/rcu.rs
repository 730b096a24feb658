// SPDX-License-Identifier: GPL-2.0

//! Reference counted objects that outlive their last reference by an RCU grace period.
//!
//! A reader in an RCU read-side critical section can use such an object without a reference of its
//! own, if it has found the object where a reference was held when the section began. So lookups in
//! an [`RcuXArray`](crate::kernel::rcu_xarray::RcuXArray) write nothing that readers share.
//!
//! The gap of the kernel crate that this fills: it has no wrapper for `call_rcu()`. This uses
//! `queue_rcu_work()`, so that the kernel drops objects in process context, where a destructor may
//! sleep: objects own memory that `vunmap()` frees, and their destructors take mutexes.

use core::{ops::Deref, pin::Pin, ptr::NonNull};

use kernel::{
    prelude::*,
    sync::{
        aref::{ARef, AlwaysRefCounted},
        atomic::{Acquire, Atomic, Relaxed, Release},
        Refcount,
    },
    types::{ForeignOwnable, Opaque},
};

use crate::kernel::{alloc::GFP_MAYFAIL, bindings, compat::rcu_barrier};

/// The workqueue on which the kernel drops objects: a valid one as long as there is a [`Reclaimer`].
static QUEUE: Atomic<*mut bindings::workqueue_struct> = Atomic::new(core::ptr::null_mut());

/// How many objects there are.
static OBJECTS: Atomic<usize> = Atomic::new(0);

/// How many of them have no reference any more.
static DYING: Atomic<usize> = Atomic::new(0);

/// How many grace periods it takes until the kernel has dropped all that an object keeps: an
/// attachment has a reference to a subscriber, and a subscriber has one to a channel. A channel may
/// have a table of files, and that has the files of each message.
const GENERATIONS: usize = 5;

/// Gives the processor up if other tasks want it, between two read-side critical sections. Returns
/// false if the current task is killed. May sleep.
pub(crate) fn let_others_run() -> bool {
    bindings::ioipc_cond_resched();
    !bindings::ioipc_fatal_signal_pending()
}

/// Whether there are objects without a reference that the kernel has not dropped yet.
pub(crate) fn is_any_dying() -> bool {
    // Pairs with `RcuObject::free`: a caller that does not see an object here sees what the object
    // has given back.
    DYING.load(Acquire) != 0
}

/// Waits until the kernel has dropped these objects, and what only they have references to. May
/// sleep, for [`GENERATIONS`] grace periods and for as long as the destructors take. No destructor
/// takes a lock that the caller may hold: the `uring_lock` of an io_uring instance.
pub(crate) fn wait_for_dying() {
    for _ in 0..GENERATIONS {
        if !is_any_dying() {
            return;
        }
        rcu_barrier();
        // SAFETY: There is a `Reclaimer` as long as there are objects, and as long as the module
        // is in use.
        unsafe { bindings::__flush_workqueue(QUEUE.load(Relaxed)) };
    }
}

/// Drops objects once their grace period is over.
///
/// The module holds one as long as there is any [`RcuObject`].
///
/// # Invariants
///
/// `QUEUE` is a valid workqueue that this owns.
pub(crate) struct Reclaimer(());

impl Reclaimer {
    /// Starts a workqueue. May sleep.
    pub(crate) fn new() -> Result<Self> {
        let queue = bindings::ioipc_alloc_workqueue();
        if queue.is_null() {
            return Err(ENOMEM);
        }
        // INVARIANT: C has just allocated it, and the module makes only one `Reclaimer`.
        QUEUE.store(queue, Relaxed);
        Ok(Self(()))
    }
}

impl Drop for Reclaimer {
    fn drop(&mut self) {
        wait_for_dying();
        // Relaxed: the work has ended, and so have all calls that made objects.
        let left = OBJECTS.load(Relaxed);
        if left != 0 {
            pr_err!("BUG: {left} channels or subscribers are left\n");
        }
        // SAFETY: By the type invariants. All work on it is done.
        unsafe { bindings::destroy_workqueue(QUEUE.load(Relaxed)) };
    }
}

/// A reference counted object that stays valid for a grace period after its last reference is gone.
///
/// # Invariants
///
/// Every instance is in a [`KBox`] that [`Self::new`] has leaked. `refcount` is the number of
/// references. Nothing uses `work` before that is zero.
#[pin_data]
#[repr(C)]
pub(crate) struct RcuObject<T> {
    work: Opaque<bindings::rcu_work>,
    refcount: Refcount,
    #[pin]
    value: T,
}

// SAFETY: Any thread may use and drop the value, because it is `Send` and `Sync`. Threads use
// `refcount` atomically, and only the thread that drops the last reference uses `work`.
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
        // INVARIANT: This leaks the box.
        let object = NonNull::new(object.into_foreign().cast()).ok_or(ENOMEM)?;
        // SAFETY: This passes on the one reference.
        Ok(unsafe { ARef::from_raw(object) })
    }

    /// Drops an object whose last reference went away a grace period ago.
    ///
    /// # Safety
    ///
    /// `work` is the first field of an instance, and nothing else uses that any more. `T` is `Send`,
    /// as [`Self::new`] asks for.
    unsafe extern "C" fn free(work: *mut bindings::work_struct) {
        // CAST: `work_struct` is the first field of `rcu_work`, which is the first of `Self`.
        // SAFETY: By the type invariants `into_foreign` returned it, and by the requirements of this
        // function nothing uses it any more.
        drop(unsafe { Pin::<KBox<Self>>::from_foreign(work.cast()) });
        let _ = OBJECTS.fetch_sub(1, Relaxed);
        // Pairs with `is_any_dying`. Objects that only this one had references to are counted in
        // `DYING` already.
        let _ = DYING.fetch_sub(1, Release);
    }
}

// SAFETY: `free` runs a grace period after the number of references became zero. By the type
// invariants all instances are counted.
unsafe impl<T: 'static> AlwaysRefCounted for RcuObject<T> {
    fn inc_ref(&self) {
        self.refcount.inc();
    }

    unsafe fn dec_ref(object: NonNull<Self>) {
        // SAFETY: The caller has a reference, so the object is valid. After the last reference it
        // stays valid until the call below.
        let object = unsafe { object.as_ref() };
        if !object.refcount.dec_and_test() {
            return;
        }
        DYING.add(1, Relaxed);
        let work = object.work.get();
        // SAFETY: The workqueue is valid as long as there are objects. By the type invariants only
        // the owner of the last reference uses `work`. `free` gets it after a grace period.
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
