// SPDX-License-Identifier: GPL-2.0

//! How memory is allocated.

use core::mem::transmute;

use kernel::alloc::Flags;

use crate::kernel::bindings;

/// For all that is allocated because user space wants it: charged to the caller's memory cgroup, and
/// an error where there is none left. Nobody is killed to make room, and nothing is logged.
// SAFETY: `Flags` is nothing but a `u32` with such bits: there is room for no other field.
pub(crate) const GFP_MAYFAIL: Flags =
    unsafe { transmute::<bindings::gfp_t, Flags>(bindings::IOIPC_GFP_MAYFAIL) };
