// SPDX-License-Identifier: GPL-2.0

//! A reference to an object that readers find in an RCU read-side critical section.
//!
//! The gap of the kernel crate that this fills: it has no pointer that RCU protects.

use core::ptr::{self, NonNull};

use kernel::sync::{
    aref::ARef,
    atomic::{Acquire, Atomic, Full, Relaxed},
    rcu,
};

use crate::kernel::rcu::RcuObject;

/// A reference to an [`RcuObject`], or none.
///
/// # Invariants
///
/// The pointer is NULL, or this owns a reference to what it points to.
pub(crate) struct RcuCell<T: 'static>(Atomic<*mut RcuObject<T>>);

impl<T: Send + Sync> RcuCell<T> {
    /// An empty one.
    pub(crate) const fn new() -> Self {
        // INVARIANT: It is NULL.
        Self(Atomic::new(ptr::null_mut()))
    }

    /// Whether there seems to be nothing in it.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.load(Relaxed).is_null()
    }

    /// What is in it.
    pub(crate) fn get<'a>(&'a self, _guard: &'a rcu::Guard) -> Option<&'a RcuObject<T>> {
        // Pairs with `fill`.
        let object = self.0.load(Acquire);
        // SAFETY: By the type invariants there was a reference to it during this critical section, so it
        // is valid until the end of that.
        unsafe { object.as_ref() }
    }

    /// Puts an object in, unless there is one already.
    pub(crate) fn fill(&self, object: ARef<RcuObject<T>>) {
        let pointer = ARef::into_raw(object);
        // INVARIANT: This passes on the reference. Pairs with `get`.
        if self
            .0
            .cmpxchg(ptr::null_mut(), pointer.as_ptr(), Full)
            .is_err()
        {
            // SAFETY: This takes the reference back.
            drop(unsafe { ARef::from_raw(pointer) });
        }
    }

    /// Takes the object out.
    pub(crate) fn take(&self) -> Option<ARef<RcuObject<T>>> {
        // INVARIANT: The reference passes to the caller.
        let object = NonNull::new(self.0.xchg(ptr::null_mut(), Full))?;
        // SAFETY: By the type invariants.
        Some(unsafe { ARef::from_raw(object) })
    }
}

impl<T> Drop for RcuCell<T> {
    fn drop(&mut self) {
        if let Some(object) = NonNull::new(self.0.load(Relaxed)) {
            // SAFETY: By the type invariants, and nothing uses this any more.
            drop(unsafe { ARef::from_raw(object) });
        }
    }
}
