// SPDX-License-Identifier: GPL-2.0

//! Debug messages in the kernel's log.
//!
//! The kernel crate has `pr_debug!` only as a message that is compiled in or not. This one is for
//! dynamic debug, and has a rate limit.

use kernel::{prelude::*, str::CStr};

use crate::kernel::bindings;

/// Logs that the current task gets `error` when it asks for `what` with a `number`, and which rule
/// that is by, if dynamic debug is on. Neither sleeps nor locks.
///
/// # Examples
///
/// ```ignore
/// debug_refusal(c"channel", 7, c"there is none with this id", ENOENT);
/// ```
pub(crate) fn debug_refusal(what: &CStr, number: u64, rule: &CStr, error: Error) {
    // SAFETY: Both are strings.
    unsafe {
        bindings::ioipc_debug_refusal(
            what.as_char_ptr(),
            number,
            rule.as_char_ptr(),
            error.to_errno(),
        )
    };
}
