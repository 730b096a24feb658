// SPDX-License-Identifier: GPL-2.0

//! io_uring IPC channels: message channels between processes.
//!
//! Each directory is a room. io_uring and VFS call `io_uring`. That calls `channel`, which calls
//! `memory` and `ring`. Every room uses `kernel`, and the leaves of `observe`. No room calls back
//! up, see docs/architecture.md.
//!
//! Lock order: the `uring_lock` of an io_uring instance; the mutex of the registry, or the mutex of
//! a subscriber and inside it the mutex of the places of its channel; the `xa_lock` of an
//! `RcuXArray`. Sending and receiving take none of them, unless a sender that is not attached
//! begins to wait. The spinlocks of `channel/files.rs` and `channel/in_flight.rs` come last, and only
//! messages with files take them.

use ::kernel::{prelude::*, sync::Arc};

mod channel;
mod io_uring;
mod kernel;
mod memory;
mod observe;
// The host tests use more of it.
#[allow(dead_code, unreachable_pub)]
mod ring;
mod uapi;

#[cfg(not(CONFIG_64BIT))]
compile_error!("io_uring_ipc needs a 64-bit kernel");

module! {
    type: IpcModule,
    name: "io_uring_ipc",
    authors: ["io_uring_ipc maintainers"],
    description: "io_uring IPC channels",
    license: "GPL",
}

/// The module. The compiler drops its fields in this order: after the first two nothing refers to
/// the registry, and the last one waits for objects whose references are gone.
struct IpcModule {
    _hook: io_uring::hook::Registration,
    _debugfs: observe::debugfs::Directory,
    _reclaimer: kernel::rcu::Reclaimer,
}

impl ::kernel::Module for IpcModule {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let reclaimer = kernel::rcu::Reclaimer::new()?;
        let registry = Arc::pin_init(channel::registry::Registry::new(), GFP_KERNEL)?;
        Ok(Self {
            _debugfs: observe::debugfs::new(registry.clone()),
            _hook: io_uring::hook::Registration::new(registry)?,
            _reclaimer: reclaimer,
        })
    }
}
