// SPDX-License-Identifier: GPL-2.0

//! Functions that C calls.
//!
//! The kernel crate writes out for each function of each vtable how it converts each argument. Here
//! the type of an argument knows that: see [`Argument`] and [`callbacks`].

use kernel::{
    ffi::{c_uint, c_void},
    seq_file::SeqFile,
};

use crate::kernel::bindings;

/// A type that a callback takes in place of what C passes.
pub(crate) trait Argument {
    /// What C passes.
    type C;

    /// Converts an argument.
    ///
    /// # Safety
    ///
    /// `argument` is what the implementation says, as long as the result is in use.
    unsafe fn from_c(argument: Self::C) -> Self;
}

macro_rules! plain_arguments {
    ($($type:ty),*) => {$(
        impl Argument for $type {
            type C = Self;

            #[inline(always)]
            unsafe fn from_c(argument: Self) -> Self {
                argument
            }
        }
    )*};
}

// Any value will do.
plain_arguments!(c_uint, *mut c_void, *mut bindings::file);

/// A valid `struct seq_file`, which only the current task uses.
impl Argument for &SeqFile {
    type C = *mut bindings::seq_file;

    unsafe fn from_c(out: *mut bindings::seq_file) -> Self {
        // SAFETY: By the requirements of this function.
        unsafe { SeqFile::from_raw(out) }
    }
}

/// Defines functions for C to call. Their arguments have the types of Rust. For C they are of the
/// type [`Argument::C`]. The body cannot keep an argument for longer than the function runs: it is a
/// closure, which has to do for any lifetime.
///
/// # Examples
///
/// ```ignore
/// callbacks! {
///     /// The `show` operation.
///     fn show(out: &SeqFile, current: *mut c_void) -> c_int {
///         seq_print!(out, "{current:p}\n");
///         0
///     }
/// }
/// ```
macro_rules! callbacks {
    ($(
        $(#[$doc:meta])*
        fn $name:ident $(<$generic:ident: $bound:ident>)? (
            $($argument:ident: $type:ty),*
        ) $(-> $result:ty)? $body:block
    )*) => {$(
        $(#[$doc])*
        ///
        /// # Safety
        ///
        /// C calls this. As long as it runs, each argument is what the [`Argument`] of its type says.
        unsafe extern "C" fn $name $(<$generic: $bound>)? (
            $($argument: <$type as $crate::kernel::callback::Argument>::C),*
        ) $(-> $result)? {
            let body = |$($argument: $type),*| $(-> $result)? { $body };
            $(
                let $argument = {
                    // SAFETY: By the requirements of this function. `body` cannot keep the result.
                    unsafe { <$type as $crate::kernel::callback::Argument>::from_c($argument) }
                };
            )*
            body($($argument),*)
        }
    )*};
}
pub(crate) use callbacks;
