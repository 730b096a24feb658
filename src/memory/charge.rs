// SPDX-License-Identifier: GPL-2.0

//! Memory that counts for the `RLIMIT_MEMLOCK` of a user, like the registered buffers of io_uring.

use core::ptr;

use kernel::{error::to_result, prelude::*};

use crate::kernel::{bindings, pointer::Pointer};

/// The account that memory is charged to: the user of an io_uring instance.
///
/// # Invariants
///
/// The instance is valid as long as this exists.
pub(crate) struct Account(Pointer<bindings::io_ring_ctx>);

impl Account {
    /// # Safety
    ///
    /// The instance is valid as long as the result exists.
    pub(crate) unsafe fn new(ring: Pointer<bindings::io_ring_ctx>) -> Self {
        // INVARIANT: By the requirements of this function.
        Self(ring)
    }
}

/// Pages that are charged to a user. The charge ends when this is dropped.
///
/// # Invariants
///
/// `pages` are charged to `user`, and this has a reference to the user; or there is no user and
/// nothing is charged.
pub(crate) struct MemoryCharge {
    user: Option<Pointer<bindings::user_struct>>,
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
        // SAFETY: The io_uring instance is valid by the type invariants of `Account`. Its user never
        // changes, and any thread may charge the user.
        to_result(unsafe {
            bindings::io_uring_ipc_account_mem(account.0.as_ptr(), pages, &mut user)
        })?;
        Ok(Self {
            user: Pointer::new(user),
            pages,
        })
    }
}

impl Drop for MemoryCharge {
    fn drop(&mut self) {
        if let Some(user) = &self.user {
            // SAFETY: By the type invariants these pages are charged to this user. Any thread may end
            // the charge.
            unsafe { bindings::io_uring_ipc_unaccount_mem(user.as_ptr(), self.pages) };
        }
    }
}
