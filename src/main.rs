// SPDX-License-Identifier: GPL-2.0

//! io_uring IPC channels: message channels between processes.
//!
//! Who calls whom: `hook` is called by io_uring and calls `command`, `send` and `recv`, these use
//! `channel`, `subscriber` and `registry`, and a channel uses `region` and `ring`. Nothing calls
//! back up.
//!
//! Lock order: `uring_lock` of an io_uring instance; the mutex of the `registry`, or that of a
//! `subscriber` and inside it that of the `places` of its channel; the `xa_lock` of an
//! `rcu_xarray`. Sending and receiving take none of them, unless a sender that is not attached
//! begins to wait.

use kernel::prelude::*;

mod alloc;
mod atomic;
mod bindings;
mod buffer;
mod channel;
mod command;
mod counters;
mod cred;
mod cursor_page;
mod debugfs;
mod file;
mod fixed_buffer;
mod hook;
mod instance;
mod places;
mod rcu;
mod rcu_xarray;
mod recv;
mod refusal;
mod region;
mod registry;
mod request;
// The host tests use more of it.
#[allow(dead_code, unreachable_pub)]
mod ring;
mod send;
mod senders;
mod subscriber;
mod trace;
mod uapi;
mod user_buffer;
mod wait;

#[cfg(not(CONFIG_64BIT))]
compile_error!("io_uring_ipc needs a 64-bit kernel");

module! {
    type: IpcModule,
    name: "io_uring_ipc",
    authors: ["io_uring_ipc maintainers"],
    description: "io_uring IPC channels",
    license: "GPL",
}

/// The module. Its fields are dropped in this order: nobody can reach the registry after the first
/// one, and the last one waits for objects whose references are gone.
#[pin_data]
struct IpcModule {
    _hook: hook::Registration,
    _debugfs: debugfs::Directory,
    #[pin]
    registry: registry::Registry,
    _reclaimer: rcu::Reclaimer,
}

impl kernel::InPlaceModule for IpcModule {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(&this in Self {
            _reclaimer: rcu::Reclaimer::new()?,
            registry <- registry::Registry::new(),
            // SAFETY: The registry is initialized and pinned, and it is dropped after this field.
            _debugfs: unsafe {
                debugfs::Directory::new(&raw const (*this.as_ptr()).registry)
            },
            // SAFETY: The registry is initialized and pinned, and it is dropped after this field,
            // which is dropped when the module is unloaded.
            _hook: unsafe { hook::Registration::new(&raw const (*this.as_ptr()).registry) }?,
        })
    }
}
