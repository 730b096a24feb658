// SPDX-License-Identifier: GPL-2.0

//! The buffer that a request sends from or receives into: user memory, or a registered buffer.

use core::ptr::NonNull;

use kernel::{prelude::*, transmute::AsBytes};

use crate::{
    memory::{
        bytes::{Bytes, Room},
        fixed_buffer::FixedBuffer,
        user_buffer::{NotPresent, UserBuffer},
    },
    uapi::MessageInfo,
};

/// The buffer of a request.
#[derive(Clone, Copy)]
pub(crate) enum Buffer<'a> {
    /// In user memory, of which pages come and go.
    User(UserBuffer),
    /// In a registered buffer, of which all pages are present.
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

    /// Whether [`Self::copy_to`] would probably work now. Does not sleep.
    #[inline]
    pub(crate) fn is_readable(&self) -> Result<(), NotPresent> {
        match self {
            Self::User(buffer) => buffer.is_readable(),
            Self::Fixed(_) => Ok(()),
        }
    }

    /// Whether [`Self::copy_from`] would probably work now for the bytes in `from..to`. If `from` is
    /// not 0, the byte before it is written already. Does not sleep and changes nothing.
    #[inline]
    pub(crate) fn is_writable(&self, from: u32, to: u32) -> Result<(), NotPresent> {
        match self {
            Self::User(buffer) if from == 0 => buffer.part(0, to).is_writable(),
            Self::User(buffer) => buffer.is_writable_on(from, to),
            Self::Fixed(_) => Ok(()),
        }
    }

    /// Faults the pages in. May sleep for as long as the owner of the pages likes.
    ///
    /// # Errors
    ///
    /// `EFAULT` if user space could not read them.
    pub(crate) fn fault_in_readable(&self) -> Result {
        match self {
            Self::User(buffer) => buffer.fault_in_readable(),
            Self::Fixed(_) => Err(EFAULT),
        }
    }

    /// Faults the pages of the bytes in `from..to` in and changes nothing. May sleep for as long as
    /// the owner of the pages likes.
    ///
    /// # Errors
    ///
    /// `EFAULT` if user space could not write them.
    pub(crate) fn fault_in_writable(&self, from: u32, to: u32) -> Result {
        match self {
            Self::User(buffer) => buffer.part(from, to - from).fault_in_writable(),
            Self::Fixed(_) => Err(EFAULT),
        }
    }

    /// Copies the whole buffer to kernel memory. Does not sleep.
    ///
    /// # Errors
    ///
    /// [`NotPresent`], also if `to` has less room.
    #[inline(always)]
    pub(crate) fn copy_to(&self, to: Room<'_>) -> Result<(), NotPresent> {
        match self {
            Self::User(buffer) => buffer.copy_to(to),
            Self::Fixed(buffer) => buffer.copy_to(to),
        }
    }

    /// Appends the first bytes to a vector, as many as it has room for. Does not sleep.
    pub(crate) fn append_to(&self, to: &mut KVVec<u8>) -> Result<(), NotPresent> {
        let spare = to.spare_capacity_mut();
        let len = spare.len().min(self.len() as usize);
        // SAFETY: The vector has room for `len` bytes, and is borrowed as long as the result.
        // CAST: It is at most the length of the buffer.
        let room = unsafe { Room::new(NonNull::from(spare).cast(), len as u32) };
        match self {
            Self::User(buffer) => buffer.part(0, room.len()).copy_to(room),
            Self::Fixed(buffer) => buffer.copy_first_to(room),
        }?;
        // SAFETY: The vector has room for so many, and they were written.
        unsafe { to.inc_len(len) };
        Ok(())
    }

    /// Copies `from` to the buffer from `offset` on. The bytes must lie within the buffer. Does not
    /// sleep.
    #[inline(always)]
    pub(crate) fn copy_from(&self, offset: u32, from: Bytes<'_>) -> Result<(), NotPresent> {
        match self {
            Self::User(buffer) => buffer.part(offset, from.len()).copy_from(from),
            Self::Fixed(buffer) => buffer.copy_from(offset, from),
        }
    }

    /// Copies `info` and then `from` to the buffer from `offset` on. The bytes must lie within the
    /// buffer. Does not sleep.
    #[inline]
    pub(crate) fn copy_from_with_info(
        &self,
        offset: u32,
        info: &MessageInfo,
        from: Bytes<'_>,
    ) -> Result<(), NotPresent> {
        const SIZE: u32 = size_of::<MessageInfo>() as u32;
        match self {
            Self::User(buffer) => buffer
                .part(offset, SIZE + from.len())
                .copy_from_with_info(info, from),
            Self::Fixed(buffer) => {
                buffer.copy_from(offset, info.as_bytes().into())?;
                buffer.copy_from(offset + SIZE, from)
            }
        }
    }

    /// Allocates memory and copies the whole buffer there. May sleep.
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
