// SPDX-License-Identifier: GPL-2.0

//! Permissions: what the file system ids, the groups, the capability and the IPC namespace of the
//! caller allow it.
//!
//! The caller is the current task, with the credentials of the request. io_uring puts these in force
//! while a request runs. Nothing here sleeps or locks.

use kernel::prelude::*;

use crate::{kernel::bindings, uapi};

/// The IPC namespace of a task, known by a number that the kernel gives to no other namespace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct IpcNamespace(u64);

impl IpcNamespace {
    /// The namespace of the current task.
    pub(crate) fn current() -> Self {
        Self(bindings::ioipc_current_ipc_ns_id())
    }
}

/// Owner and permission bits, like those of a file, and the namespace that both belong to.
#[derive(Clone, Copy)]
pub(crate) struct Permissions {
    namespace: IpcNamespace,
    namespace_inode: u32,
    uid: bindings::kuid_t,
    gid: bindings::kgid_t,
    mode: u32,
}

impl Permissions {
    /// The caller as owner, with the bits of `mode` that matter.
    pub(crate) fn of_caller(mode: u32) -> Self {
        Self {
            namespace: IpcNamespace::current(),
            namespace_inode: bindings::ioipc_current_ipc_ns_inum(),
            uid: bindings::ioipc_current_fsuid(),
            gid: bindings::ioipc_current_fsgid(),
            mode: mode & 0o666,
        }
    }

    fn caller_has_uid(&self) -> bool {
        caller_uid() == self.uid.val
    }

    /// The namespace.
    pub(crate) fn namespace(&self) -> IpcNamespace {
        self.namespace
    }

    /// The number of the inode of the namespace, by which administrators know it. The kernel may give
    /// this number to another namespace once this one is gone.
    pub(crate) fn namespace_inode(&self) -> u32 {
        self.namespace_inode
    }

    /// Uid of the owner, as the initial user namespace has it.
    pub(crate) fn uid(&self) -> u32 {
        self.uid.val
    }

    /// Uid of the owner, as the caller's user namespace has it, or the overflow uid.
    pub(crate) fn uid_for_caller(&self) -> u32 {
        bindings::ioipc_current_translates_uid(self.uid)
    }

    /// Gid of the owner, as the initial user namespace has it.
    pub(crate) fn gid(&self) -> u32 {
        self.gid.val
    }

    /// The permission bits.
    pub(crate) fn mode(&self) -> u32 {
        self.mode
    }

    /// Whether the caller is in the namespace.
    pub(crate) fn caller_is_inside(&self) -> bool {
        self.namespace == IpcNamespace::current()
    }

    /// Whether the caller is in the IPC namespace and has `CAP_IPC_OWNER` in the user namespace that
    /// owns the IPC namespace.
    fn caller_is_ipc_owner(&self) -> bool {
        self.caller_is_inside() && bindings::ioipc_current_is_ipc_owner()
    }

    /// Whether the caller counts as the owner.
    pub(crate) fn caller_is_owner(&self) -> bool {
        self.caller_has_uid() || self.caller_is_ipc_owner()
    }

    /// Checks that the caller may send and receive as `flags`, of `IOIPC_SUB_*`, ask for.
    ///
    /// # Errors
    ///
    /// `EACCES`.
    pub(crate) fn check(&self, flags: u32) -> Result {
        let mut wanted = 0;
        if flags & uapi::IOIPC_SUB_RECV != 0 {
            wanted |= 0o4;
        }
        if flags & uapi::IOIPC_SUB_SEND != 0 {
            wanted |= 0o2;
        }
        let granted = if self.caller_has_uid() {
            self.mode >> 6
        } else if bindings::in_group_p(self.gid) != 0 {
            self.mode >> 3
        } else {
            self.mode
        };
        if granted & wanted == wanted || self.caller_is_ipc_owner() {
            Ok(())
        } else {
            Err(EACCES)
        }
    }
}

/// The caller's file system uid, as the initial user namespace has it.
pub(crate) fn caller_uid() -> u32 {
    bindings::ioipc_current_fsuid().val
}

/// How many files the caller may have open.
pub(crate) fn max_open_files() -> usize {
    bindings::ioipc_max_open_files()
}
