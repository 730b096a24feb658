// SPDX-License-Identifier: GPL-2.0

//! Files on their way from the descriptors of one task to those of another.
//!
//! The gap of the kernel crate that this fills: it installs a file without the hook that security
//! modules have for a file from another task, and finds no file that is only a path.

use core::ptr::NonNull;

use kernel::{
    error::{from_err_ptr, to_result},
    fs::file::flags::O_CLOEXEC,
    prelude::*,
    uaccess::UserPtr,
};

use crate::kernel::bindings;

/// A reference to a file that a message may hold.
///
/// # Invariants
///
/// The file is valid, and this owns a reference to it.
pub(crate) struct PassedFile(NonNull<bindings::file>);

// SAFETY: Any thread can install a file, and give back a reference to it.
unsafe impl Send for PassedFile {}

// SAFETY: `&PassedFile` only lets a thread install the file.
unsafe impl Sync for PassedFile {}

impl PassedFile {
    /// The file of a descriptor of the current task.
    ///
    /// # Errors
    ///
    /// `EBADF`; `EINVAL` if it is an io_uring instance, a subscriber or an `AF_UNIX` socket.
    pub(crate) fn get(fd: i32) -> Result<Self> {
        // CAST: A negative number becomes larger than any descriptor.
        let file = from_err_ptr(bindings::ioipc_get_file_to_pass(fd as u32))?;
        // INVARIANT: C has taken a reference.
        Ok(Self(NonNull::new(file).ok_or(EBADF)?))
    }

    /// Gives the current task a descriptor of the file, close-on-exec, and stores its number at `to`. May
    /// sleep.
    ///
    /// # Errors
    ///
    /// `EMFILE`, `ENOMEM`, `EFAULT`, or what a security module says. Then there is no descriptor.
    pub(crate) fn receive(&self, to: UserPtr) -> Result<u32> {
        // SAFETY: By the type invariants. The function takes any user address and checks it.
        let fd =
            unsafe { bindings::receive_fd(self.0.as_ptr(), to.as_mut_ptr().cast(), O_CLOEXEC) };
        to_result(fd)?;
        // CAST: It is not negative.
        Ok(fd as u32)
    }
}

impl Drop for PassedFile {
    fn drop(&mut self) {
        // SAFETY: By the type invariants. It does not sleep: if this is the last reference, a task or
        // the kernel releases the file later.
        unsafe { bindings::fput(self.0.as_ptr()) };
    }
}
