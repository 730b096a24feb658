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
    /// C passes `argument` to a callback, as the implementation says. Unless that says otherwise,
    /// the caller uses the result only as long as the callback runs.
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
plain_arguments!(bool, c_uint, *mut c_void);

/// The `struct seq_file` that a callback writes to.
impl Argument for &SeqFile {
    type C = *mut bindings::seq_file;

    unsafe fn from_c(out: *mut bindings::seq_file) -> Self {
        // SAFETY: It is valid, and only this task uses it now.
        unsafe { SeqFile::from_raw(out) }
    }
}

/// Defines functions for C to call. Their arguments have the types of Rust. For C they are of the
/// type [`Argument::C`].
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
        /// C calls this. The arguments are as the types that they are converted to ask for.
        unsafe extern "C" fn $name $(<$generic: $bound>)? (
            $($argument: <$type as $crate::kernel::callback::Argument>::C),*
        ) $(-> $result)? {
            $(
                let $argument = {
                    // SAFETY: By the requirements of this function.
                    unsafe { <$type as $crate::kernel::callback::Argument>::from_c($argument) }
                };
            )*
            $body
        }
    )*};
}
pub(crate) use callbacks;
