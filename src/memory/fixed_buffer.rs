// SPDX-License-Identifier: GPL-2.0

//! Buffers that user space has registered with io_uring. Their pages are pinned, so no copy takes a
//! page fault.

use kernel::{error::to_result, prelude::*, types::Opaque};

use crate::{
    kernel::bindings,
    memory::{
        bytes::{Bytes, Room},
        user_buffer::NotPresent,
    },
};

/// A part of a registered buffer.
///
/// # Invariants
///
/// `iter` is an initialized iterator over `len` bytes of kernel memory. They stay valid as long as
/// the request that the buffer was imported for, and this does not outlive that request.
pub(crate) struct FixedBuffer {
    iter: Opaque<bindings::iov_iter>,
    len: u32,
}

/// What a request does with its buffer.
#[derive(Clone, Copy)]
pub(crate) enum Direction {
    /// The request reads the buffer.
    Send = bindings::ITER_SOURCE as isize,
    /// The request writes to the buffer.
    Receive = bindings::ITER_DEST as isize,
}

impl FixedBuffer {
    /// Finds the part of a registered buffer that the SQE of a request names. May sleep.
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
        command: &mut bindings::io_uring_ipc_cmd,
        direction: Direction,
        issue_flags: u32,
    ) -> Result<Self> {
        let iter = Opaque::uninit();
        // SAFETY: `iter` is valid for writing, and the caller vouches for the request.
        to_result(unsafe {
            bindings::io_uring_ipc_import_fixed(command, iter.get(), direction as i32, issue_flags)
        })?;
        // INVARIANT: io_uring has initialized `iter`, and keeps the buffer until the request ends.
        Ok(Self {
            iter,
            len: command.len,
        })
    }

    /// Size in bytes.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Returns an iterator from `offset` on.
    fn iter_at(&self, offset: u32) -> Opaque<bindings::iov_iter> {
        // SAFETY: The iterator is initialized by the type invariants, and it is plain data.
        let copy = Opaque::new(unsafe { self.iter.get().read() });
        if offset != 0 {
            // SAFETY: `copy` is a valid iterator, too.
            unsafe { bindings::iov_iter_advance(copy.get(), offset as usize) };
        }
        copy
    }

    fn outcome(copied: usize, len: usize) -> Result<(), NotPresent> {
        if copied == len {
            Ok(())
        } else {
            Err(NotPresent)
        }
    }

    /// Copies the whole buffer to kernel memory. Does not sleep.
    ///
    /// # Errors
    ///
    /// [`NotPresent`], also if `to` has less room.
    pub(crate) fn copy_to(&self, to: Room<'_>) -> Result<(), NotPresent> {
        if self.len > to.len() {
            return Err(NotPresent);
        }
        self.copy_first_to(to)
    }

    /// Copies the first bytes to kernel memory, as many as there is room for. Does not sleep.
    ///
    /// # Errors
    ///
    /// As [`Self::copy_to`].
    pub(crate) fn copy_first_to(&self, mut to: Room<'_>) -> Result<(), NotPresent> {
        let len = self.len.min(to.len()) as usize;
        let iter = self.iter_at(0);
        // SAFETY: `to` has room for `len` bytes, and `iter` is a copy of a valid iterator.
        let copied = unsafe { bindings::_copy_from_iter(to.as_mut_ptr().cast(), len, iter.get()) };
        Self::outcome(copied, len)
    }

    /// Copies `from` to the buffer from `offset` on. Does not sleep.
    ///
    /// # Errors
    ///
    /// [`NotPresent`] if the bytes do not lie within the buffer.
    pub(crate) fn copy_from(&self, offset: u32, from: Bytes<'_>) -> Result<(), NotPresent> {
        let len = from.len() as usize;
        let iter = self.iter_at(offset);
        // SAFETY: `from` has `len` bytes, and `iter` is a copy of a valid iterator, which ends where
        // the buffer does.
        let copied = unsafe { bindings::_copy_to_iter(from.as_ptr().cast(), len, iter.get()) };
        Self::outcome(copied, len)
    }
}
