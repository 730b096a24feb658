// SPDX-License-Identifier: GPL-2.0

//! Buffers that were registered with io_uring: pinned pages, so nothing can fault.

use kernel::{error::to_result, prelude::*, types::Opaque};

use crate::{kernel::bindings, memory::user_buffer::NotPresent};

/// A part of a registered buffer.
///
/// # Invariants
///
/// `iter` iterates over `len` bytes of kernel memory that stay valid as long as the request that it
/// was imported for.
pub(crate) struct FixedBuffer {
    iter: Opaque<bindings::iov_iter>,
    len: u32,
}

/// What a request does with its buffer.
#[derive(Clone, Copy)]
pub(crate) enum Direction {
    /// It reads from it.
    Send = bindings::ITER_SOURCE as isize,
    /// It writes to it.
    Receive = bindings::ITER_DEST as isize,
}

impl FixedBuffer {
    /// Finds the part of a registered buffer that the SQE of a request asks for. May sleep.
    ///
    /// # Safety
    ///
    /// `command` is a request that is being issued with `issue_flags`, and the result is not used
    /// after it has ended.
    ///
    /// # Errors
    ///
    /// `EFAULT` if there is no such part.
    pub(crate) unsafe fn import(
        command: *mut bindings::io_uring_ipc_cmd,
        direction: Direction,
        issue_flags: u32,
    ) -> Result<Self> {
        let iter = Opaque::uninit();
        // SAFETY: `iter` is valid for writing, and the caller vouches for the request.
        to_result(unsafe {
            bindings::io_uring_ipc_import_fixed(command, iter.get(), direction as i32, issue_flags)
        })?;
        // SAFETY: The request is valid.
        let len = unsafe { (*command).len };
        // INVARIANT: io_uring keeps the buffer until the request ends.
        Ok(Self { iter, len })
    }

    /// Size in bytes.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Iterates from `offset` on.
    fn iter_at(&self, offset: u32) -> Opaque<bindings::iov_iter> {
        // SAFETY: It is initialized by the type invariants, and plain data.
        let copy = Opaque::new(unsafe { self.iter.get().read() });
        if offset != 0 {
            // SAFETY: As above.
            unsafe { bindings::iov_iter_advance(copy.get(), offset as usize) };
        }
        copy
    }

    fn outcome(copied: usize, len: u32) -> Result<(), NotPresent> {
        if copied == len as usize {
            Ok(())
        } else {
            Err(NotPresent)
        }
    }

    /// Copies the whole buffer to kernel memory. Does not sleep.
    ///
    /// # Safety
    ///
    /// `to` is valid for writing as many bytes.
    pub(crate) unsafe fn copy_to(&self, to: *mut u8) -> Result<(), NotPresent> {
        let iter = self.iter_at(0);
        // SAFETY: The caller vouches for `to`, `iter` is a copy of a valid one.
        let copied = unsafe { bindings::_copy_from_iter(to.cast(), self.len as usize, iter.get()) };
        Self::outcome(copied, self.len)
    }

    /// Fills `len` bytes of the buffer from `offset` on from kernel memory. Does not sleep.
    ///
    /// # Safety
    ///
    /// `from` is valid for reading `len` bytes.
    pub(crate) unsafe fn copy_from(
        &self,
        offset: u32,
        from: *const u8,
        len: u32,
    ) -> Result<(), NotPresent> {
        let iter = self.iter_at(offset);
        // SAFETY: The caller vouches for `from`, `iter` is a copy of a valid one and ends where the
        // buffer does.
        let copied = unsafe { bindings::_copy_to_iter(from.cast(), len as usize, iter.get()) };
        Self::outcome(copied, len)
    }
}
