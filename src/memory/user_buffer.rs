// SPDX-License-Identifier: GPL-2.0

//! Buffers in user memory that are copied while nothing may sleep.
//!
//! A request that has a slot must not take a page fault: the owner of the buffer can block it for as
//! long as it likes. So these copies fail on a page that is not present. The pattern is that of
//! `generic_perform_write()`. A request looks whether the pages are present and copies without page
//! faults. If that fails, the request gives the slot back, faults the pages in and starts again.

use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    uaccess::{UserPtr, UserSlice},
};

use crate::{
    kernel::{alloc::GFP_MAYFAIL, bindings},
    memory::bytes::{Bytes, Room},
    uapi::MessageInfo,
};

/// A page of the buffer is not present or not valid, so the copy has failed.
pub(crate) struct NotPresent;

/// A range of user memory. Any address and length will do.
#[derive(Clone, Copy)]
pub(crate) struct UserBuffer {
    address: UserPtr,
    len: u32,
}

impl UserBuffer {
    /// Takes the `len` bytes from `address` on, as an SQE gives them, but no more than the result of
    /// a request can say.
    #[inline]
    pub(crate) fn new(address: u64, len: u32) -> Self {
        // CAST: The kernel is 64-bit, see `main.rs`.
        Self {
            address: UserPtr::from_addr(address as usize),
            len: len.min(i32::MAX as u32),
        }
    }

    /// The address of the first byte.
    pub(crate) fn address(&self) -> UserPtr {
        self.address
    }

    /// Size in bytes.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Returns `len` bytes of the buffer from `offset` on, or as many as the buffer has there.
    #[inline]
    pub(crate) fn part(&self, offset: u32, len: u32) -> Self {
        Self {
            address: self.address.wrapping_byte_add(offset as usize),
            len: len.min(self.len.saturating_sub(offset)),
        }
    }

    /// Returns `len` bytes from `offset` on. They need not belong to the buffer.
    pub(crate) fn beyond(&self, offset: u32, len: u32) -> Self {
        Self {
            address: self.address.wrapping_byte_add(offset as usize),
            len,
        }
    }

    fn outcome(missing: usize) -> Result<(), NotPresent> {
        if missing == 0 {
            Ok(())
        } else {
            Err(NotPresent)
        }
    }

    /// Whether [`Self::copy_to`] would probably work now. Does not sleep.
    pub(crate) fn is_readable(&self) -> Result<(), NotPresent> {
        Self::outcome(bindings::ioipc_probe_readable(
            self.address.as_const_ptr(),
            self.len as usize,
        ))
    }

    /// Whether [`Self::copy_from`] would probably work now. Does not sleep and changes nothing.
    pub(crate) fn is_writable(&self) -> Result<(), NotPresent> {
        Self::outcome(bindings::ioipc_probe_writable(
            self.address.as_mut_ptr(),
            self.len as usize,
        ))
    }

    /// As [`Self::is_writable`] for the bytes in `from..to`. The byte before `from` is written
    /// already.
    #[inline]
    pub(crate) fn is_writable_on(&self, from: u32, to: u32) -> Result<(), NotPresent> {
        let page_before = |offset: u32| {
            let byte = self.address.wrapping_byte_add(offset as usize);
            byte.as_const_ptr().addr().wrapping_sub(1) / PAGE_SIZE
        };
        if page_before(from) == page_before(to) {
            return Ok(());
        }
        self.part(from, to - from).is_writable()
    }

    /// Faults the pages in. May sleep for as long as the owner of the pages likes.
    ///
    /// # Errors
    ///
    /// `EFAULT` if user space could not read them.
    pub(crate) fn fault_in_readable(&self) -> Result {
        let from = self.address.as_const_ptr().cast();
        let missing = bindings::fault_in_readable(from, self.len as usize);
        Self::outcome(missing).map_err(|NotPresent| EFAULT)
    }

    /// Faults the pages in and changes nothing. May sleep for as long as the owner of the pages
    /// likes.
    ///
    /// # Errors
    ///
    /// `EFAULT` if user space could not write them.
    pub(crate) fn fault_in_writable(&self) -> Result {
        let to = self.address.as_const_ptr().cast();
        let missing = bindings::fault_in_safe_writeable(to, self.len as usize);
        Self::outcome(missing).map_err(|NotPresent| EFAULT)
    }

    /// Copies the whole buffer to kernel memory. Does not sleep.
    ///
    /// # Errors
    ///
    /// [`NotPresent`], also if `to` has less room.
    #[inline]
    pub(crate) fn copy_to(&self, mut to: Room<'_>) -> Result<(), NotPresent> {
        if self.len > to.len() {
            return Err(NotPresent);
        }
        let from = self.address.as_const_ptr();
        let len = self.len as usize;
        // SAFETY: `to` has room for `len` bytes. The function takes any user address and checks it.
        Self::outcome(unsafe { bindings::ioipc_copy_in(to.as_mut_ptr().cast(), from, len) })
    }

    /// Copies the first bytes of `from` to the buffer, as many as the buffer has. Does not sleep.
    #[inline]
    pub(crate) fn copy_from(&self, from: Bytes<'_>) -> Result<(), NotPresent> {
        let len = from.len().min(self.len) as usize;
        let to = self.address.as_mut_ptr();
        // SAFETY: `from` has `len` bytes. The function takes any user address and checks it.
        Self::outcome(unsafe { bindings::ioipc_copy_out(to, from.as_ptr().cast(), len) })
    }

    /// Copies `info` and then `from` to the buffer. Does not sleep.
    ///
    /// # Errors
    ///
    /// [`NotPresent`], also if the buffer is smaller.
    #[inline]
    pub(crate) fn copy_from_with_info(
        &self,
        info: &MessageInfo,
        from: Bytes<'_>,
    ) -> Result<(), NotPresent> {
        let len = from.len() as usize;
        if size_of::<MessageInfo>() + len > self.len as usize {
            return Err(NotPresent);
        }
        let to = self.address.as_mut_ptr();
        let from = from.as_ptr().cast();
        // SAFETY: `from` has `len` bytes. The function takes any user address and checks it.
        Self::outcome(unsafe { bindings::ioipc_copy_out_with_info(to, info, from, len) })
    }

    /// Allocates memory and copies the whole buffer there. May sleep.
    ///
    /// # Errors
    ///
    /// `EFAULT`, `ENOMEM`.
    pub(crate) fn to_vec(self) -> Result<KVVec<u8>> {
        let mut copy = KVVec::new();
        UserSlice::new(self.address, self.len as usize).read_all(&mut copy, GFP_MAYFAIL)?;
        Ok(copy)
    }
}
