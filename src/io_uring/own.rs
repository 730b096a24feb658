// SPDX-License-Identifier: GPL-2.0

//! What a request has that does not fit into its command. Most requests have nothing like that.

use kernel::{alloc::flags::GFP_KERNEL_ACCOUNT, ffi::c_void, prelude::*, types::ForeignOwnable};

use crate::{
    io_uring::{exchange::Exchange, fds::Fds},
    kernel::{bindings, parked::Parkable},
};

/// What belongs to one request, and ends with it.
#[derive(Default)]
pub(crate) struct Own {
    /// What comes back for a send.
    pub(crate) exchange: Option<Exchange>,
    /// The descriptors that it passes, or where it stores those that it receives.
    pub(crate) fds: Option<Fds>,
}

/// Gives a request something of its own, before it is issued for the first time. May sleep.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn keep(command: &mut bindings::io_uring_ipc_cmd, own: Own) -> Result {
    let own = KBox::new(own, GFP_KERNEL_ACCOUNT)?;
    // SAFETY: The request is valid, as each `&mut io_uring_ipc_cmd` is by its `Argument`. io_uring
    // calls `forget` when it ends.
    unsafe { bindings::io_uring_ipc_keep(command, own.into_foreign()) };
    Ok(())
}

/// What a request has of its own.
pub(crate) fn kept(command: &mut bindings::io_uring_ipc_cmd) -> Option<&mut Own> {
    // SAFETY: The request is valid, as above.
    let own = unsafe { bindings::io_uring_ipc_kept(command) }.cast::<Own>();
    // SAFETY: It is NULL or that of `keep`, which belongs to the request. `command` is borrowed as
    // long as the result.
    unsafe { own.as_mut() }
}

/// The same for a request that may be parked.
pub(crate) fn kept_parked<'a>(command: &'a Parkable<'_>) -> Option<&'a Own> {
    // SAFETY: The request is valid by the invariants of `Parkable`.
    let own = unsafe { bindings::io_uring_ipc_kept(command.as_ptr()) }.cast::<Own>();
    // SAFETY: As above, and the request is left to the current task.
    unsafe { own.as_ref() }
}

/// # Safety
///
/// As `io_uring_ipc_ops.forget`.
pub(crate) unsafe extern "C" fn forget(own: *mut c_void) {
    // SAFETY: It is that of `keep`, and the request does not use it any more.
    drop(unsafe { KBox::<Own>::from_foreign(own) });
}
