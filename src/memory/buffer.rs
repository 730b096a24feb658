// SPDX-License-Identifier: GPL-2.0

//! Where the message of a request is or goes: user memory, or a registered buffer.

use core::ptr;

use kernel::prelude::*;

use crate::{
    memory::{
        fixed_buffer::FixedBuffer,
        user_buffer::{NotPresent, UserBuffer},
    },
    uapi::MessageInfo,
};

/// The buffer of a request.
#[derive(Clone, Copy)]
pub(crate) enum Buffer<'a> {
    /// In user memory, which can come and go.
    User(UserBuffer),
    /// In a registered buffer, which is always present.
    Fixed(&'a FixedBuffer),
}

impl Buffer<'_> {
    /// Size in bytes.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        match self {
            Self::User(buffer) => buffer.len(),
            Self::Fixed(buffer) => buffer.len(),
        }
    }

    /// Whether it looks as if [`Self::copy_to`] would work now. Does not sleep.
    #[inline]
    pub(crate) fn is_readable(&self) -> Result<(), NotPresent> {
        match self {
            Self::User(buffer) => buffer.is_readable(),
            Self::Fixed(_) => Ok(()),
        }
    }

    /// Whether it looks as if [`Self::copy_from`] would work now for the bytes in `from..to`. If
    /// `from` is not 0, the byte before has been written. Does not sleep and changes nothing.
    #[inline]
    pub(crate) fn is_writable(&self, from: u32, to: u32) -> Result<(), NotPresent> {
        match self {
            Self::User(buffer) if from == 0 => buffer.part(0, to).is_writable(),
            Self::User(buffer) => buffer.is_writable_on(from, to),
            Self::Fixed(_) => Ok(()),
        }
    }

    /// Brings the pages in. May sleep for as long as their owner likes.
    ///
    /// # Errors
    ///
    /// `EFAULT` if they cannot be read.
    pub(crate) fn fault_in_readable(&self) -> Result {
        match self {
            Self::User(buffer) => buffer.fault_in_readable(),
            Self::Fixed(_) => Err(EFAULT),
        }
    }

    /// Brings the pages of the bytes in `from..to` in and changes nothing. May sleep for as long as
    /// their owner likes.
    ///
    /// # Errors
    ///
    /// `EFAULT` if they cannot be written.
    pub(crate) fn fault_in_writable(&self, from: u32, to: u32) -> Result {
        match self {
            Self::User(buffer) => buffer.part(from, to - from).fault_in_writable(),
            Self::Fixed(_) => Err(EFAULT),
        }
    }

    /// Copies the whole buffer to kernel memory. Does not sleep.
    ///
    /// # Safety
    ///
    /// `to` is valid for writing as many bytes.
    #[inline]
    pub(crate) unsafe fn copy_to(&self, to: *mut u8) -> Result<(), NotPresent> {
        match self {
            // SAFETY: The caller vouches for `to`.
            Self::User(buffer) => unsafe { buffer.copy_to(to) },
            // SAFETY: The caller vouches for `to`.
            Self::Fixed(buffer) => unsafe { buffer.copy_to(to) },
        }
    }

    /// Fills `len` bytes from `offset` on from kernel memory. Both have to lie within the buffer.
    /// Does not sleep.
    ///
    /// # Safety
    ///
    /// `from` is valid for reading `len` bytes.
    #[inline]
    pub(crate) unsafe fn copy_from(
        &self,
        offset: u32,
        from: *const u8,
        len: u32,
    ) -> Result<(), NotPresent> {
        match self {
            // SAFETY: The caller vouches for `from`.
            Self::User(buffer) => unsafe { buffer.part(offset, len).copy_from(from) },
            // SAFETY: The caller vouches for `from`.
            Self::Fixed(buffer) => unsafe { buffer.copy_from(offset, from, len) },
        }
    }

    /// Fills the buffer from `offset` on with `info` and then `len` bytes from kernel memory. All
    /// of it has to lie within the buffer. Does not sleep.
    ///
    /// # Safety
    ///
    /// `from` is valid for reading `len` bytes.
    #[inline]
    pub(crate) unsafe fn copy_from_with_info(
        &self,
        offset: u32,
        info: &MessageInfo,
        from: *const u8,
        len: u32,
    ) -> Result<(), NotPresent> {
        const SIZE: u32 = size_of::<MessageInfo>() as u32;
        match self {
            // SAFETY: The caller vouches for `from`.
            Self::User(buffer) => unsafe {
                buffer
                    .part(offset, SIZE + len)
                    .copy_from_with_info(info, from)
            },
            Self::Fixed(buffer) => {
                // SAFETY: `info` has as many bytes and no padding.
                unsafe { buffer.copy_from(offset, ptr::from_ref(info).cast(), SIZE) }?;
                // SAFETY: The caller vouches for `from`.
                unsafe { buffer.copy_from(offset + SIZE, from, len) }
            }
        }
    }

    /// Copies the whole buffer to memory that is allocated for it. May sleep.
    ///
    /// # Errors
    ///
    /// `EFAULT`, `ENOMEM`.
    pub(crate) fn to_vec(self) -> Result<KVVec<u8>> {
        match self {
            Self::User(buffer) => buffer.to_vec(),
            Self::Fixed(_) => Err(EFAULT),
        }
    }
}
