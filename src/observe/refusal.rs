// SPDX-License-Identifier: GPL-2.0

//! Tells administrators by which rule the module refuses what a caller asks for, if they turn dynamic
//! debug on.
//!
//! Nothing here sleeps or locks.

use kernel::{prelude::*, str::CStr};

use crate::kernel::log;

/// What the caller asks for.
#[derive(Clone, Copy)]
pub(crate) enum Asked {
    /// The channel with this id.
    Channel(u32),
    /// The channel with this key.
    Key(u64),
    /// The subscriber with this id.
    Subscriber(u32),
}

/// Logs that the caller gets `error` and by which rule. Returns `error`.
#[cold]
#[inline(never)]
pub(crate) fn refuse(asked: Asked, rule: &CStr, error: Error) -> Error {
    let (what, number) = match asked {
        Asked::Channel(id) => (c"channel", u64::from(id)),
        Asked::Key(key) => (c"key", key),
        Asked::Subscriber(id) => (c"subscriber", u64::from(id)),
    };
    log::debug_refusal(what, number, rule, error);
    error
}
