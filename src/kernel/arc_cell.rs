// SPDX-License-Identifier: GPL-2.0

//! A place for a reference to a shared object, which several threads use.
//!
//! The gap of the kernel crate that this fills: it has no atomic `Option<Arc>`.

use core::ptr;

use kernel::sync::{
    atomic::{Atomic, Full, Relaxed},
    Arc,
};

/// A reference to an object, or none.
///
/// # Invariants
///
/// The pointer is NULL, or this owns the reference that `Arc::into_raw` has made it of.
pub(crate) struct ArcCell<T>(Atomic<*mut T>);

impl<T: Send + Sync> ArcCell<T> {
    /// An empty one.
    pub(crate) fn new() -> Self {
        // INVARIANT: It is NULL.
        Self(Atomic::new(ptr::null_mut()))
    }

    /// Puts a reference in, and drops the one that was there.
    pub(crate) fn put(&self, object: Arc<T>) {
        drop(self.exchange(Arc::into_raw(object).cast_mut()));
    }

    /// Takes the reference out.
    pub(crate) fn take(&self) -> Option<Arc<T>> {
        self.exchange(ptr::null_mut())
    }

    /// `new` is NULL or of `Arc::into_raw`.
    fn exchange(&self, new: *mut T) -> Option<Arc<T>> {
        // INVARIANT: As above. The old reference passes to this function.
        let old = self.0.xchg(new, Full);
        // SAFETY: By the type invariants, unless it is NULL.
        (!old.is_null()).then(|| unsafe { Arc::from_raw(old) })
    }
}

impl<T> Drop for ArcCell<T> {
    fn drop(&mut self) {
        let object = self.0.load(Relaxed);
        if !object.is_null() {
            // SAFETY: By the type invariants, and nothing uses this any more.
            drop(unsafe { Arc::from_raw(object) });
        }
    }
}
