// SPDX-License-Identifier: GPL-2.0

//! Tracepoints of the module.
//!
//! The kernel crate's `declare_trace!` is for tracepoints of the kernel itself, and evaluates the
//! arguments also if tracing is off.

use kernel::{ffi::c_char, prelude::*, str::CStr};

/// An argument of a tracepoint: a number, or a string that the tracepoint copies.
pub(crate) trait Argument {
    /// What C takes.
    type C;

    /// Converts an argument. If it is a string, the result is valid as long as the string.
    fn to_c(&self) -> Self::C;
}

macro_rules! plain_arguments {
    ($($type:ty),*) => {$(
        impl Argument for $type {
            type C = Self;

            #[inline(always)]
            fn to_c(&self) -> Self {
                *self
            }
        }
    )*};
}

plain_arguments!(u32, bool);

impl Argument for &CStr {
    type C = *const c_char;

    #[inline(always)]
    fn to_c(&self) -> *const c_char {
        self.as_char_ptr()
    }
}

/// Declares safe functions for tracepoints with arguments of the type [`Argument`], which a C file with
/// `CREATE_RUST_TRACE_POINTS` defines. Each function takes a closure, and calls it only if
/// tracing is on. As long as it is off, a call is a static branch that is not taken.
///
/// # Examples
///
/// ```ignore
/// tracepoints! {
///     /// A channel is destroyed.
///     fn destroy(channel: u32);
/// }
///
/// destroy(|| (channel.id(),));
/// ```
macro_rules! tracepoints {
    ($($(#[$doc:meta])* fn $name:ident($($argument:ident: $type:ty),*);)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        #[allow(clippy::extra_unused_lifetimes)]
        pub(crate) fn $name<'a>(arguments: impl FnOnce() -> ($($type,)*)) {
            #[cfg(CONFIG_TRACEPOINTS)]
            kernel::macros::paste! {
                // SAFETY: This is the key of a tracepoint that C defines.
                let wanted = unsafe {
                    kernel::jump_label::static_branch_unlikely!(
                        $crate::kernel::bindings::[< __tracepoint_ioipc_ $name >],
                        $crate::kernel::bindings::tracepoint,
                        key
                    )
                };
                if wanted {
                    let ($($argument,)*) = arguments();
                    // SAFETY: The arguments are numbers, and strings that are valid as long as this
                    // runs.
                    unsafe {
                        $crate::kernel::bindings::[< rust_do_trace_ioipc_ $name >](
                            $($crate::kernel::tracepoint::Argument::to_c(&$argument)),*
                        )
                    };
                }
            }
            #[cfg(not(CONFIG_TRACEPOINTS))]
            let _ = arguments;
        }
    )*};
}
pub(crate) use tracepoints;
