// SPDX-License-Identifier: GPL-2.0

//! CREATE: the parameters of a channel, and how it is made.

use kernel::{
    new_spinlock,
    prelude::*,
    sync::{aref::ARef, atomic::Atomic, Arc},
};

use super::{
    cred::{IpcNamespace, Permissions},
    fair::Shares,
    name::Name,
    parking::Parking,
    places::Places,
    registry::Registry,
    waiting::Tick,
    Channel, LineStart,
};
use crate::{
    kernel::{
        bindings::io_uring_ipc_channel_create, later::Later, percpu::PerCpuCounter, rcu::RcuObject,
        rcu_cell::RcuCell, rcu_xarray::RcuXArray, wait::WaitQueue,
    },
    memory::{
        charge::Account,
        region::{Region, Sizes},
    },
    observe::counters::SharedCounts,
    ring::{Mode, Ring},
    uapi,
};

/// The flags that CREATE may have.
pub(crate) const FLAGS: u32 = uapi::IOIPC_F_BROADCAST
    | uapi::IOIPC_F_MULTICAST
    | uapi::IOIPC_F_PRIVATE
    | uapi::IOIPC_F_OVERWRITE
    | uapi::IOIPC_F_FAIR;

/// The argument of CREATE. All of it is checked, except the sizes, which `Region::new` checks.
#[derive(Clone, Copy)]
pub(crate) struct Parameters {
    mode: Mode,
    private: bool,
    overwrite: bool,
    fair: bool,
    sizes: Sizes,
    permissions: Permissions,
    /// 0 for none.
    key: u64,
    name: Option<Name>,
}

impl Parameters {
    /// Checks the argument of CREATE, and reads its extension. The caller becomes the owner. May
    /// sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL`, `E2BIG`, `EFAULT`.
    pub(crate) fn new(create: &io_uring_ipc_channel_create) -> Result<Self> {
        if create.flags & !FLAGS != 0 {
            return Err(EINVAL);
        }
        let mode = match (
            create.flags & uapi::IOIPC_F_BROADCAST != 0,
            create.flags & uapi::IOIPC_F_MULTICAST != 0,
        ) {
            (false, false) => Mode::Unicast,
            (false, true) => Mode::Multicast,
            (true, false) => Mode::Broadcast,
            (true, true) => return Err(EINVAL),
        };
        let overwrite = create.flags & uapi::IOIPC_F_OVERWRITE != 0;
        if overwrite && mode != Mode::Broadcast {
            return Err(EINVAL);
        }
        let fair = create.flags & uapi::IOIPC_F_FAIR != 0;
        if fair && mode == Mode::Broadcast {
            return Err(EINVAL);
        }
        let extension: uapi::ChannelExtension = uapi::read_extension(create.ext, create.ext_size)?;
        Ok(Self {
            mode,
            overwrite,
            fair,
            private: create.flags & uapi::IOIPC_F_PRIVATE != 0,
            sizes: Sizes {
                entries: create.ring_entries,
                max_msg_size: create.max_msg_size,
                slot_size: match extension.slot_size {
                    0 => create.max_msg_size,
                    size => size,
                },
            },
            permissions: Permissions::of_caller(create.mode),
            key: create.key,
            name: Name::read(extension.name, extension.name_len)?,
        })
    }

    /// The key, if the channel gets one, and the namespace of that key.
    pub(crate) fn key(&self) -> Option<(IpcNamespace, u64)> {
        (self.key != 0).then_some((self.permissions.namespace(), self.key))
    }

    /// The name, if the channel gets one, and the namespace of that name.
    pub(crate) fn name(&self) -> Option<(IpcNamespace, Name)> {
        Some((self.permissions.namespace(), self.name?))
    }
}

impl Channel {
    /// Makes a channel that is not in its registry yet. May sleep.
    ///
    /// `creator` identifies the io_uring instance that creates it.
    ///
    /// # Errors
    ///
    /// `EINVAL`, `ENOMEM`.
    pub(crate) fn new(
        id: u32,
        creator: usize,
        parameters: Parameters,
        account: &Account,
        registry: Arc<Registry>,
    ) -> Result<ARef<RcuObject<Self>>> {
        let has_cursors = parameters.mode == Mode::Broadcast;
        let region = Region::new(parameters.sizes, has_cursors, account)?;
        RcuObject::new(try_pin_init!(Self {
            ring: Ring::new(region, 0),
            id,
            mode: parameters.mode,
            private: parameters.private,
            overwrite: parameters.overwrite,
            lossy: Atomic::new(0),
            files: RcuCell::new(),
            members <- RcuXArray::new(),
            sent_unattached: PerCpuCounter::new()?,
            creator,
            permissions: parameters.permissions,
            _mark: LineStart,
            receivers_wait: Atomic::new(0),
            _waiting: LineStart,
            parking <- new_spinlock!(Parking::new()?),
            shares: match parameters.fair {
                true => Some(Shares::new(parameters.sizes.entries, &parking)?),
                false => None,
            },
            room <- WaitQueue::new(),
            tick <- Later::new(Tick { id: *id, registry }),
            _rest: LineStart,
            key: parameters.key(),
            name: parameters.name(),
            places <- Places::new(),
            dropped: Atomic::new(0),
            counts: SharedCounts::new(),
        }? Error))
    }
}
