// SPDX-License-Identifier: GPL-2.0

//! Bytes in kernel memory that a buffer of a request is copied to or from.
//!
//! A message is in memory that user space maps. So there must be no reference to its bytes, and
//! these types hold pointers.

use core::{
    marker::PhantomData,
    ptr::{self, NonNull},
};

/// Bytes that a copy may fill.
///
/// # Invariants
///
/// As long as `'a`, the `len` bytes at `start` are valid for writing, and the kernel accesses them
/// only through this.
pub(crate) struct Room<'a> {
    start: NonNull<u8>,
    len: u32,
    _bytes: PhantomData<&'a mut [u8]>,
}

impl Room<'_> {
    /// # Safety
    ///
    /// As long as the result exists, the `len` bytes at `start` are valid for writing, and nothing
    /// else in the kernel accesses them.
    #[inline(always)]
    pub(crate) unsafe fn new(start: NonNull<u8>, len: u32) -> Self {
        // INVARIANT: By the requirements of this function.
        Self {
            start,
            len,
            _bytes: PhantomData,
        }
    }

    /// How many bytes there are.
    #[inline(always)]
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// The first byte, valid for writing all of them.
    #[inline(always)]
    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Copies `from` to the first bytes, or as much of it as there is room for.
    pub(crate) fn fill(&mut self, from: &[u8]) {
        let len = from.len().min(self.len as usize);
        // SAFETY: Both are valid for `len` bytes, and by the type invariants they do not overlap.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), self.as_mut_ptr(), len) };
    }
}

impl<'a> From<&'a mut [u8]> for Room<'a> {
    fn from(bytes: &'a mut [u8]) -> Self {
        // CAST: The number is clamped.
        let len = bytes.len().min(u32::MAX as usize) as u32;
        // INVARIANT: The reference is exclusive.
        Self {
            start: NonNull::from(bytes).cast(),
            len,
            _bytes: PhantomData,
        }
    }
}

/// Bytes that a copy may read.
///
/// # Invariants
///
/// As long as `'a`, the `len` bytes at `start` are valid for reading, and nothing writes to them.
#[derive(Clone, Copy)]
pub(crate) struct Bytes<'a> {
    start: NonNull<u8>,
    len: u32,
    _bytes: PhantomData<&'a [u8]>,
}

impl Bytes<'_> {
    /// # Safety
    ///
    /// As long as the result exists, the `len` bytes at `start` are valid for reading, and nothing
    /// writes to them.
    #[inline(always)]
    pub(crate) unsafe fn new(start: NonNull<u8>, len: u32) -> Self {
        // INVARIANT: By the requirements of this function.
        Self {
            start,
            len,
            _bytes: PhantomData,
        }
    }

    /// How many bytes there are.
    #[inline(always)]
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// The first byte, valid for reading all of them.
    #[inline(always)]
    pub(crate) fn as_ptr(&self) -> *const u8 {
        self.start.as_ptr()
    }
}

impl<'a> From<&'a [u8]> for Bytes<'a> {
    #[inline(always)]
    fn from(bytes: &'a [u8]) -> Self {
        // CAST: The number is clamped.
        let len = bytes.len().min(u32::MAX as usize) as u32;
        // INVARIANT: Nothing writes to the target of a shared reference.
        Self {
            start: NonNull::from(bytes).cast(),
            len,
            _bytes: PhantomData,
        }
    }
}
