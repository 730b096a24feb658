// SPDX-License-Identifier: GPL-2.0

//! Raw bindings: the kernel crate's, and what bindgen makes of `bindings_helper.h`.
//!
//! The only file that names either of them. Types that both know are the kernel crate's.

#[allow(
    clippy::all,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn
)]
mod generated {
    use kernel::{bindings::*, ffi};

    /// Only pointers to it are passed on.
    #[repr(C)]
    pub struct io_ring_ctx {
        _opaque: [u8; 0],
    }

    /// Only read as a whole, see `uapi::Sqe`.
    #[repr(C, align(8))]
    pub struct io_uring_sqe {
        _opaque: [u8; 0],
    }

    include!(env!("IOIPC_BINDINGS"));
}

pub(crate) use generated::*;
pub(crate) use kernel::bindings::*;

/// A table of functions for the kernel to call.
///
/// # Invariants
///
/// Nobody writes to it.
pub(crate) struct Operations<T>(T);

// SAFETY: A reference to it gives no more than a pointer to the table, and by the type invariant
// whoever follows that only reads.
unsafe impl<T> Sync for Operations<T> {}

impl<T> Operations<T> {
    /// A table with these functions.
    pub(crate) const fn new(table: T) -> Self {
        // INVARIANT: There is no way to write to it.
        Self(table)
    }

    /// What the kernel is given.
    pub(crate) fn as_ptr(&'static self) -> *const T {
        &self.0
    }
}
