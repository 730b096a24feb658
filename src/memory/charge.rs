// SPDX-License-Identifier: GPL-2.0

//! Memory that counts for the `RLIMIT_MEMLOCK` of a user, like the registered buffers of io_uring.

use core::ptr::{self, NonNull};

use kernel::{error::to_result, prelude::*};

use crate::kernel::bindings;

/// The account that memory is charged to: the user of an io_uring instance.
///
/// # Invariants
///
/// The instance is valid as long as this exists.
pub(crate) struct Account(NonNull<bindings::io_ring_ctx>);

// SAFETY: The user of an instance never changes, and any thread can charge it.
unsafe impl Send for Account {}

// SAFETY: As above.
unsafe impl Sync for Account {}

impl Account {
    /// # Safety
    ///
    /// The instance is valid as long as the result exists.
    pub(crate) unsafe fn new(ring: NonNull<bindings::io_ring_ctx>) -> Self {
        // INVARIANT: By the requirements of this function.
        Self(ring)
    }
}

/// Pages that are charged to a user. The charge ends when this is dropped.
///
/// # Invariants
///
/// `pages` are charged to `user`, and this has a reference to the user; or `user` is NULL and nothing
/// is charged.
pub(crate) struct MemoryCharge {
    user: *mut bindings::user_struct,
    pages: usize,
}

impl MemoryCharge {
    /// Charges pages.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if the user would exceed `RLIMIT_MEMLOCK`.
    pub(crate) fn new(account: &Account, pages: usize) -> Result<Self> {
        let mut user = ptr::null_mut();
        // INVARIANT: This charges the pages and gets the reference.
        // SAFETY: The io_uring instance is valid by the type invariants of `Account`.
        to_result(unsafe {
            bindings::io_uring_ipc_account_mem(account.0.as_ptr(), pages, &mut user)
        })?;
        Ok(Self { user, pages })
    }
}

impl Drop for MemoryCharge {
    fn drop(&mut self) {
        // SAFETY: By the type invariants these pages are charged to this user, or the user is NULL.
        unsafe { bindings::io_uring_ipc_unaccount_mem(self.user, self.pages) };
    }
}
