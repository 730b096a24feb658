// SPDX-License-Identifier: GPL-2.0

//! How memory is allocated.

use core::mem::transmute;

use kernel::alloc::Flags;

use crate::kernel::bindings;

/// For all that the module allocates because user space wants it: the kernel charges the caller's
/// memory cgroup, and where there is no memory the allocation fails. It kills no process to make
/// room, and logs nothing.
///
/// The gap of the kernel crate that this fills: it has no `__GFP_RETRY_MAYFAIL`.
// SAFETY: `Flags` is nothing but a `u32` with such bits: there is room for no other field.
pub(crate) const GFP_MAYFAIL: Flags =
    unsafe { transmute::<bindings::gfp_t, Flags>(bindings::IOIPC_GFP_MAYFAIL) };
