// SPDX-License-Identifier: GPL-2.0

//! Buffers in user memory that are copied while nothing may sleep.
//!
//! Between claiming a slot and letting go of it a page fault must not happen: it could block for as
//! long as the owner of the buffer likes. So the copies here fail on a page that is not present.
//! The pattern is that of `generic_perform_write()`: look whether the pages are there, copy without
//! faults, and if that fails let go of everything, fault the pages in and start again.

use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    uaccess::{UserPtr, UserSlice},
};

use crate::{
    kernel::{alloc::GFP_MAYFAIL, bindings},
    uapi::MessageInfo,
};

/// A page of the buffer is not present, or not valid at all.
pub(crate) struct NotPresent;

/// A range of user memory, not trusted in any way.
#[derive(Clone, Copy)]
pub(crate) struct UserBuffer {
    address: UserPtr,
    len: u32,
}

impl UserBuffer {
    /// The `len` bytes from `address` on, as an SQE gives them; but no more than the result of a
    /// request can say.
    #[inline]
    pub(crate) fn new(address: u64, len: u32) -> Self {
        // CAST: The kernel that this is for is 64-bit, see `main.rs`.
        Self {
            address: UserPtr::from_addr(address as usize),
            len: len.min(i32::MAX as u32),
        }
    }

    /// Where it begins.
    pub(crate) fn address(&self) -> UserPtr {
        self.address
    }

    /// Size in bytes.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// `len` bytes of the buffer from `offset` on, or as many as it has there.
    #[inline]
    pub(crate) fn part(&self, offset: u32, len: u32) -> Self {
        Self {
            address: self.address.wrapping_byte_add(offset as usize),
            len: len.min(self.len.saturating_sub(offset)),
        }
    }

    /// `len` bytes from `offset` on, whether they belong to the buffer or not.
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

    /// Whether it looks as if [`Self::copy_to`] would work now. Does not sleep.
    pub(crate) fn is_readable(&self) -> Result<(), NotPresent> {
        Self::outcome(bindings::ioipc_probe_readable(
            self.address.as_const_ptr(),
            self.len as usize,
        ))
    }

    /// Whether it looks as if [`Self::copy_from`] would work now. Does not sleep and changes
    /// nothing.
    pub(crate) fn is_writable(&self) -> Result<(), NotPresent> {
        Self::outcome(bindings::ioipc_probe_writable(
            self.address.as_mut_ptr(),
            self.len as usize,
        ))
    }

    /// The same for the bytes in `from..to`, of which the one before has been written.
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

    /// Brings the pages in. May sleep for as long as their owner likes.
    ///
    /// # Errors
    ///
    /// `EFAULT` if they cannot be read.
    pub(crate) fn fault_in_readable(&self) -> Result {
        let from = self.address.as_const_ptr().cast();
        let missing = bindings::fault_in_readable(from, self.len as usize);
        Self::outcome(missing).map_err(|NotPresent| EFAULT)
    }

    /// Brings the pages in and changes nothing. May sleep for as long as their owner likes.
    ///
    /// # Errors
    ///
    /// `EFAULT` if they cannot be written.
    pub(crate) fn fault_in_writable(&self) -> Result {
        let to = self.address.as_const_ptr().cast();
        let missing = bindings::fault_in_safe_writeable(to, self.len as usize);
        Self::outcome(missing).map_err(|NotPresent| EFAULT)
    }

    /// Copies the whole buffer to kernel memory. Does not sleep.
    ///
    /// # Safety
    ///
    /// `to` is valid for writing as many bytes.
    pub(crate) unsafe fn copy_to(&self, to: *mut u8) -> Result<(), NotPresent> {
        let from = self.address.as_const_ptr();
        // SAFETY: The caller vouches for `to`. It takes any user address, and checks it.
        Self::outcome(unsafe { bindings::ioipc_copy_in(to.cast(), from, self.len as usize) })
    }

    /// Fills the whole buffer from kernel memory. Does not sleep.
    ///
    /// # Safety
    ///
    /// `from` is valid for reading as many bytes.
    pub(crate) unsafe fn copy_from(&self, from: *const u8) -> Result<(), NotPresent> {
        let to = self.address.as_mut_ptr();
        // SAFETY: The caller vouches for `from`. It takes any user address, and checks it.
        Self::outcome(unsafe { bindings::ioipc_copy_out(to, from.cast(), self.len as usize) })
    }

    /// Fills the whole buffer with `info` and what follows it from kernel memory. Does not sleep.
    ///
    /// # Safety
    ///
    /// `from` is valid for reading as many bytes as the buffer has beyond `info`.
    pub(crate) unsafe fn copy_from_with_info(
        &self,
        info: &MessageInfo,
        from: *const u8,
    ) -> Result<(), NotPresent> {
        let len = (self.len as usize)
            .checked_sub(size_of::<MessageInfo>())
            .ok_or(NotPresent)?;
        let to = self.address.as_mut_ptr();
        // SAFETY: The caller vouches for `from`. It takes any user address, and checks it.
        Self::outcome(unsafe { bindings::ioipc_copy_out_with_info(to, info, from.cast(), len) })
    }

    /// Copies the whole buffer to memory that is allocated for it. May sleep.
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
