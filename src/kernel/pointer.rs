// SPDX-License-Identifier: GPL-2.0

//! A pointer that may be sent to other threads.
//!
//! A raw pointer in Rust is neither `Send` nor `Sync`, so each type that holds one needs two unsafe
//! impls. The kernel crate has no wrapper that is both, as `core` has only `AtomicPtr`.

use core::ptr::NonNull;

/// A pointer that is not NULL. It does not promise that its target is valid: a use of the target
/// needs `unsafe`, and has to argue for all threads that have the pointer.
///
/// # Examples
///
/// ```ignore
/// struct Counter {
///     parts: Pointer<u64>,
/// }
/// ```
pub(crate) struct Pointer<T>(NonNull<T>);

// SAFETY: The pointer is just an address, as one in an `AtomicPtr`.
unsafe impl<T> Send for Pointer<T> {}

// SAFETY: As above.
unsafe impl<T> Sync for Pointer<T> {}

impl<T> Pointer<T> {
    /// Takes a pointer, unless it is NULL.
    pub(crate) fn new(pointer: *mut T) -> Option<Self> {
        NonNull::new(pointer).map(Self)
    }

    /// The pointer.
    #[inline(always)]
    pub(crate) fn get(&self) -> NonNull<T> {
        self.0
    }

    /// The pointer.
    #[inline(always)]
    pub(crate) fn as_ptr(&self) -> *mut T {
        self.0.as_ptr()
    }
}
