// SPDX-License-Identifier: GPL-2.0

//! Tells administrators why somebody was refused something, if they want to know: by dynamic debug.
//!
//! Nothing here sleeps or locks.

use kernel::{prelude::*, str::CStr};

use crate::kernel::bindings;

/// What somebody has asked for.
#[derive(Clone, Copy)]
pub(crate) enum Asked {
    /// The channel with this id.
    Channel(u32),
    /// The channel with this key.
    Key(u64),
    /// The subscriber with this id.
    Subscriber(u32),
}

/// Returns `error`, after it has told that the caller gets it and which rule that is by.
#[cold]
#[inline(never)]
pub(crate) fn refuse(asked: Asked, rule: &CStr, error: Error) -> Error {
    let (what, number) = match asked {
        Asked::Channel(id) => (c"channel", u64::from(id)),
        Asked::Key(key) => (c"key", key),
        Asked::Subscriber(id) => (c"subscriber", u64::from(id)),
    };
    // SAFETY: Both are strings.
    unsafe {
        bindings::ioipc_debug_refusal(
            what.as_char_ptr(),
            number,
            rule.as_char_ptr(),
            error.to_errno(),
        )
    };
    error
}
