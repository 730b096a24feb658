// SPDX-License-Identifier: GPL-2.0

//! Raw bindings: the kernel crate's, and what bindgen makes of `bindings_helper.h`.
//!
//! The only file that names either of them. Types that both know are the kernel crate's.

use kernel::ffi::{c_char, c_int, c_void};

#[allow(
    clashing_extern_declarations,
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
pub(crate) mod generated {
    use kernel::{bindings::*, ffi};

    /// Only pointers to it are passed on.
    #[repr(C)]
    pub struct io_ring_ctx {
        _opaque: [u8; 0],
    }

    /// Read field by field, see `uapi::SharedSqe`.
    #[repr(C, align(8))]
    pub struct io_uring_sqe {
        _opaque: [u8; 0],
    }

    include!(env!("IOIPC_BINDINGS"));
}

pub(crate) use generated::*;
pub(crate) use kernel::bindings::*;

pub(crate) use kernel::bindings as common;

/// Declares functions of `generated`, or of the kernel crate, once more as safe ones. These
/// declarations hide those of bindgen.
///
/// The caller vouches that each function is sound for all values of its arguments. The compiler
/// vouches for the signatures: both declarations of a function must have the same type, but for
/// arguments that say `as` what C takes. Such an argument is a reference to a transparent wrapper
/// of what the pointer of C points to.
macro_rules! safe_functions {
    ($module:ident: $(
        $(#[$doc:meta])*
        $visible:vis fn $name:ident($($argument:ident: $type:ty $(as $c:ty)?),*) $(-> $result:ty)?;
    )*) => {
        // The two declarations of a function differ in `safe`, and bindgen's types have fields that
        // no function uses.
        #[allow(clashing_extern_declarations, improper_ctypes)]
        // Sound: the signatures are those of bindgen, see below, and the caller vouches for the rest.
        unsafe extern "C" {
            $($(#[$doc])* $visible safe fn $name($($argument: $type),*) $(-> $result)?;)*
        }

        $(const _: unsafe extern "C" fn($($crate::kernel::bindings::c_type!($type $(as $c)?)),*)
            $(-> $result)? = $crate::kernel::bindings::$module::$name;)*
    };
}
pub(crate) use safe_functions;

/// The type that C has for an argument of [`safe_functions`].
macro_rules! c_type {
    ($type:ty) => {
        $type
    };
    ($type:ty as $c:ty) => {
        $c
    };
}
pub(crate) use c_type;

// None of these functions follows a pointer that it gets, except with the checked accessors of
// user memory, for which any address will do. Some of them may sleep: as in the kernel crate, to
// sleep where that is forbidden is a bug, but not one that `unsafe` guards against.
safe_functions! { generated:
    /// Gives the processor up if others want it. May sleep.
    pub(crate) fn ioipc_cond_resched();

    /// Whether the current task is killed.
    pub(crate) fn ioipc_fatal_signal_pending() -> bool;

    /// Whether there are more than `nr_pages` pages besides those that the kernel keeps in reserve.
    pub(crate) fn ioipc_is_memory_left(nr_pages: usize) -> bool;

    /// Reads user memory without page faults. Returns 0, or how many bytes are missing at least.
    pub(crate) fn ioipc_probe_readable(from: *const c_void, size: usize) -> usize;

    /// Writes the value that it has to user memory without page faults. Returns as above.
    pub(crate) fn ioipc_probe_writable(to: *mut c_void, size: usize) -> usize;

    /// Takes a reference to the file of a descriptor, or returns an error as a pointer.
    pub(crate) fn ioipc_get_file_to_pass(fd: u32) -> *mut file;

    /// The user of the current task that files in flight count for.
    pub(crate) fn ioipc_current_real_user() -> u32;

    /// Whether the current task may have more files in flight than its limit says.
    pub(crate) fn ioipc_current_may_exceed_files() -> bool;

    /// How many files the current task may have open.
    pub(crate) fn ioipc_max_open_files() -> usize;

    /// The file system uid of the current task.
    pub(crate) fn ioipc_current_fsuid() -> kuid_t;

    /// The number of a uid in the user namespace of the current task, or the overflow uid.
    pub(crate) fn ioipc_current_translates_uid(uid: kuid_t) -> u32;

    /// The file system gid of the current task.
    pub(crate) fn ioipc_current_fsgid() -> kgid_t;

    /// The id of the current task's IPC namespace, or 0.
    pub(crate) fn ioipc_current_ipc_ns_id() -> u64;

    /// Whether the current task has `CAP_IPC_OWNER` in its IPC namespace.
    pub(crate) fn ioipc_current_is_ipc_owner() -> bool;

    /// The inode of the current task's IPC namespace, or 0.
    pub(crate) fn ioipc_current_ipc_ns_inum() -> u32;

    /// Allocates a counter with a part for each processor, or returns NULL. May sleep.
    pub(crate) fn ioipc_alloc_percpu_counter() -> *mut u64;

    /// Allocates a workqueue, or returns NULL. May sleep.
    pub(crate) fn ioipc_alloc_workqueue() -> *mut workqueue_struct;
}

safe_functions! { common:
    /// Closes a descriptor of the current task. Returns 0 or a negative errno. May sleep.
    pub(crate) fn close_fd(fd: u32) -> c_int;

    /// Whether the current task is in a group: not 0 if it is.
    pub(crate) fn in_group_p(gid: kgid_t) -> c_int;

    /// Reads a byte of each page of user memory. Returns how many bytes are missing. May sleep.
    pub(crate) fn fault_in_readable(from: *const c_char, size: usize) -> usize;

    /// Brings pages of user memory in, writable. Returns how many bytes are missing. May sleep.
    pub(crate) fn fault_in_safe_writeable(to: *const c_char, size: usize) -> usize;
}

/// A table of functions for the kernel to call.
///
/// # Invariants
///
/// Nothing writes to it.
#[repr(transparent)]
pub(crate) struct Operations<T>(T);

// SAFETY: A reference to it gives no more than a pointer to the table. By the type invariants
// nothing writes to the table.
unsafe impl<T> Sync for Operations<T> {}

impl<T> Operations<T> {
    /// A table with these functions.
    pub(crate) const fn new(table: T) -> Self {
        // INVARIANT: There is no way to write to it.
        Self(table)
    }
}
