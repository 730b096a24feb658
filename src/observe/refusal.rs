// SPDX-License-Identifier: GPL-2.0

//! Tells administrators by which rule the module refuses what a caller asks for, if they turn dynamic
//! debug on.
//!
//! Nothing here sleeps or locks.

use kernel::{prelude::*, str::CStr};

use crate::kernel::log::{self, Which};

/// What the caller asks for.
#[derive(Clone, Copy)]
pub(crate) enum Asked<'a> {
    /// The channel with this id.
    Channel(u32),
    /// The channel with this key.
    Key(u64),
    /// The channel with this name.
    Name(&'a CStr),
    /// The subscriber with this id.
    Subscriber(u32),
}

/// Logs that the caller gets `error` and by which rule. Returns `error`.
#[cold]
#[inline(never)]
pub(crate) fn refuse(asked: Asked<'_>, rule: &CStr, error: Error) -> Error {
    let (what, which) = match asked {
        Asked::Channel(id) => (c"channel", Which::Number(u64::from(id))),
        Asked::Key(key) => (c"key", Which::Number(key)),
        Asked::Name(name) => (c"name", Which::Name(name)),
        Asked::Subscriber(id) => (c"subscriber", Which::Number(u64::from(id))),
    };
    log::debug_refusal(what, which, rule, error);
    error
}
