// SPDX-License-Identifier: GPL-2.0

//! Debug messages in the kernel's log.
//!
//! The kernel crate has `pr_debug!` only as a message that is compiled in or not. This one is for
//! dynamic debug, and has a rate limit.

use core::ptr;

use kernel::{prelude::*, str::CStr};

use crate::kernel::bindings;

/// Which one of several things.
pub(crate) enum Which<'a> {
    /// The one with this number.
    Number(u64),
    /// The one with this name, which may have any bytes.
    Name(&'a CStr),
}

/// Logs that the current task gets `error` when it asks for `which` of `what`, and which rule that is
/// by, if dynamic debug is on. Neither sleeps nor locks.
///
/// # Examples
///
/// ```ignore
/// debug_refusal(c"channel", Which::Number(7), c"there is none with this id", ENOENT);
/// ```
pub(crate) fn debug_refusal(what: &CStr, which: Which<'_>, rule: &CStr, error: Error) {
    let (number, name) = match which {
        Which::Number(number) => (number, ptr::null()),
        Which::Name(name) => (0, name.as_char_ptr()),
    };
    // SAFETY: `what` and `rule` are strings, and `name` is one or NULL.
    unsafe {
        bindings::ioipc_debug_refusal(
            what.as_char_ptr(),
            number,
            name,
            rule.as_char_ptr(),
            error.to_errno(),
        )
    };
}
