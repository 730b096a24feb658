// SPDX-License-Identifier: GPL-2.0

//! What the kernel crate of Linux 7.2 lacks, with the names that it has in 7.3.
//!
//! `src/Kbuild` sets `ioipc_linux_7_2` there. Without support for 7.2 this file is not needed: all of
//! it is in the kernel crate of 7.3.

#[cfg(not(ioipc_linux_7_2))]
mod linux {
    pub(crate) use kernel::{
        error::code::{EDQUOT, ENOBUFS, EUSERS},
        module::this_module,
        sync::{
            barrier,
            rcu::{rcu_barrier, synchronize_rcu},
        },
    };

    use kernel::task::{Pid, Task};

    /// The id of the process that `task` is a thread of.
    pub(crate) fn tgid(task: &Task) -> Pid {
        task.tgid()
    }
}

#[cfg(ioipc_linux_7_2)]
mod linux {
    use core::{mem::transmute, num::NonZeroI32};

    use kernel::{
        bindings,
        prelude::*,
        task::{Pid, Task},
    };

    use crate::kernel::bindings::safe_functions;

    pub(crate) const EDQUOT: Error = error(bindings::EDQUOT);
    pub(crate) const ENOBUFS: Error = error(bindings::ENOBUFS);
    pub(crate) const EUSERS: Error = error(bindings::EUSERS);

    /// [`Error::from_errno`] of `-errno`, which is not `const`.
    const fn error(errno: u32) -> Error {
        let errno = NonZeroI32::new(-(errno as i32)).unwrap();
        // SAFETY: `Error` is as large as its only field, a `NonZeroI32` with a negated error number.
        unsafe { transmute::<NonZeroI32, Error>(errno) }
    }

    /// The module that this is. `M` is its type, as `module!` wants it.
    pub(crate) const fn this_module<M: kernel::ModuleMetadata>() -> &'static ThisModule {
        &crate::THIS_MODULE
    }

    /// Barriers between processors.
    pub(crate) mod barrier {
        /// The order of all memory accesses before a barrier and all after it.
        pub(crate) struct Full;

        /// A memory barrier.
        #[inline(always)]
        pub(crate) fn smp_mb(_: Full) {
            kernel::sync::barrier::smp_mb();
        }
    }

    // Each caller that may sleep can call these functions.
    safe_functions! { common:
        /// Waits until all RCU callbacks have run that are queued now. May sleep.
        pub(crate) fn rcu_barrier();

        /// Waits until all RCU read-side critical sections have ended that have begun before. May
        /// sleep.
        pub(crate) fn synchronize_rcu();
    }

    /// The id of the process that `task` is a thread of.
    pub(crate) fn tgid(task: &Task) -> Pid {
        // SAFETY: `task` is valid, and its `tgid` never changes.
        unsafe { (*task.as_ptr()).tgid }
    }
}

pub(crate) use linux::*;
