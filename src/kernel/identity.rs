// SPDX-License-Identifier: GPL-2.0

//! The process and the credentials of a task, so that they can be told to other tasks later.
//!
//! The kernel crate has no type for a reference to a `struct pid`, and none for a group id. A task
//! sees a process and ids as the numbers that they have in its own namespaces, so numbers of one
//! task mean nothing to another one.

use core::{mem::ManuallyDrop, ops::Deref};

use kernel::types::NotThreadSafe;

use crate::kernel::bindings::{self, safe_functions};

/// A process with a user id and a group id; or none.
///
/// # Invariants
///
/// The process is NULL or valid, and this has a reference to it. So identities with equal pointers
/// have the same process.
///
/// # Examples
///
/// ```ignore
/// let mut last = Identity::default();
/// last.clone_from(&CurrentIdentity::new());
/// ```
#[repr(transparent)]
pub(crate) struct Identity(bindings::ioipc_sender);

/// What an [`Identity`] says, without a reference to the process. Equal ones have the same process if
/// there has been a reference to it all the time in between.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Value {
    pid: usize,
    uid: u32,
    gid: u32,
}

// SAFETY: Any thread can use a reference to a process and give it back. The ids are integers.
unsafe impl Send for Identity {}

// SAFETY: `&Identity` gives out no more than integers, and references that are counted atomically.
unsafe impl Sync for Identity {}

// The process of an `Identity` is NULL or valid by its type invariants. These functions read it, or
// take a reference to the process, or fill in a plain struct.
safe_functions! { generated:
    fn ioipc_current_sender() -> bindings::ioipc_sender;

    fn ioipc_get_sender(sender: &Identity as *const bindings::ioipc_sender);

    fn ioipc_translate_sender(
        sender: &Identity as *const bindings::ioipc_sender,
        info: &mut bindings::io_uring_ipc_msg_info as *mut bindings::io_uring_ipc_msg_info
    );
}

impl Identity {
    /// What it says.
    #[inline]
    pub(crate) fn value(&self) -> Value {
        Value {
            pid: self.0.pid.addr(),
            uid: self.0.uid.val,
            gid: self.0.gid.val,
        }
    }

    /// Writes to `info` which numbers process and ids have for the current task. The process is 0,
    /// and an id is the overflow id, if it has no number there.
    pub(crate) fn translate(&self, info: &mut bindings::io_uring_ipc_msg_info) {
        ioipc_translate_sender(self, info);
    }
}

impl Default for Identity {
    #[inline]
    fn default() -> Self {
        // INVARIANT: The process is NULL.
        Self(bindings::ioipc_sender::default())
    }
}

impl Clone for Identity {
    #[inline]
    fn clone(&self) -> Self {
        ioipc_get_sender(self);
        // INVARIANT: The new identity owns the reference that was just taken.
        Self(bindings::ioipc_sender { ..self.0 })
    }

    /// Makes this equal to `source`. Takes no reference if the process is the same, and writes nothing
    /// if all is the same: other processors may have the cache line.
    #[inline(always)]
    fn clone_from(&mut self, source: &Self) {
        if self.value() != source.value() {
            self.change_to(source);
        }
    }
}

impl Identity {
    #[inline(never)]
    fn change_to(&mut self, source: &Self) {
        if self.0.pid != source.0.pid {
            *self = source.clone();
        } else {
            // INVARIANT: The process stays, with the reference.
            self.0.uid = source.0.uid;
            self.0.gid = source.0.gid;
        }
    }
}

impl Drop for Identity {
    #[inline]
    fn drop(&mut self) {
        if !self.0.pid.is_null() {
            // SAFETY: This owns the reference by the type invariants.
            unsafe { bindings::put_pid(self.0.pid) };
        }
    }
}

/// The identity of the current task, with the credentials that are in force. It has no reference of
/// its own to the process.
///
/// # Invariants
///
/// This stays in the task that has made it. That task has a reference to its process.
pub(crate) struct CurrentIdentity(ManuallyDrop<Identity>, NotThreadSafe);

impl CurrentIdentity {
    /// Looks at the current task.
    #[inline]
    pub(crate) fn new() -> Self {
        let current = Identity(ioipc_current_sender());
        // INVARIANT: The type is not thread-safe. `Identity` is never dropped, so the reference of
        // the task serves for it.
        Self(ManuallyDrop::new(current), NotThreadSafe)
    }
}

impl Deref for CurrentIdentity {
    type Target = Identity;

    #[inline]
    fn deref(&self) -> &Identity {
        &self.0
    }
}
