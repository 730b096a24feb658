// SPDX-License-Identifier: GPL-2.0

//! Names of channels.

use kernel::{
    prelude::*,
    str::CStr,
    uaccess::{UserPtr, UserSlice},
};

use crate::uapi;

const MAX_LEN: usize = uapi::IOIPC_MAX_NAME as usize;

/// The name of a channel: at least one byte, and none that is NUL, and zeroes behind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name([u8; MAX_LEN + 1]);

impl Name {
    /// Reads a name of `len` bytes from user memory, or none if both arguments are 0. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL`, `EFAULT`.
    pub(crate) fn read(address: u64, len: u32) -> Result<Option<Self>> {
        if address == 0 && len == 0 {
            return Ok(None);
        }
        if address == 0 || len == 0 || len > uapi::IOIPC_MAX_NAME {
            return Err(EINVAL);
        }
        // CAST: The kernel is 64-bit, see `main.rs`.
        let (address, len) = (UserPtr::from_addr(address as usize), len as usize);
        let mut bytes = [0; MAX_LEN + 1];
        let name = bytes.get_mut(..len).ok_or(EINVAL)?;
        UserSlice::new(address, len).reader().read_slice(name)?;
        if name.contains(&0) {
            return Err(EINVAL);
        }
        Ok(Some(Self(bytes)))
    }

    /// The name as a string.
    pub(crate) fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or(c"")
    }
}
