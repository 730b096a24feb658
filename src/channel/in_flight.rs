// SPDX-License-Identifier: GPL-2.0

//! How many files are in flight, and for which user: sent, and not received or dropped yet.
//!
//! Locking: the spinlock [`InFlight::by_uid`], inside which there is no other lock.

use kernel::{
    new_spinlock,
    prelude::*,
    rbtree::{Entry, RBTree, RBTreeNodeReservation},
    sync::{Arc, SpinLock},
};

use super::{cred, registry::Registry};
use crate::kernel::{alloc::GFP_MAYFAIL, bindings};

/// The files in flight.
#[pin_data]
pub(crate) struct InFlight {
    /// None of the counts is 0.
    #[pin]
    by_uid: SpinLock<RBTree<u32, usize>>,
}

impl InFlight {
    /// There are none.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            by_uid <- new_spinlock!(RBTree::new()),
        })
    }

    fn take(&self, uid: u32, count: usize, has_no_limit: bool) -> Result {
        let node = RBTreeNodeReservation::new(GFP_MAYFAIL)?;
        let most = cred::max_open_files();
        let mut by_uid = self.by_uid.lock();
        let own = by_uid.get(&uid).copied().unwrap_or(0);
        if count > most.saturating_sub(own) && !has_no_limit {
            return Err(ETOOMANYREFS);
        }
        match by_uid.entry(uid) {
            Entry::Occupied(mut entry) => *entry.get_mut() += count,
            Entry::Vacant(entry) => {
                entry.insert(count, node);
            }
        }
        Ok(())
    }

    fn give_back(&self, uid: u32, count: usize) {
        let mut by_uid = self.by_uid.lock();
        if let Some(mut entry) = by_uid.find_mut(&uid) {
            *entry.get_mut() -= count;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

/// Files that count as in flight as long as this exists.
pub(crate) struct Charge {
    registry: Arc<Registry>,
    uid: u32,
    count: usize,
}

impl Charge {
    /// Counts `count` files of the caller. May sleep.
    ///
    /// # Errors
    ///
    /// `ETOOMANYREFS` if these are more than the caller may have open; `ENOMEM`.
    pub(crate) fn new(registry: &Arc<Registry>, count: usize) -> Result<Self> {
        let uid = bindings::ioipc_current_real_user();
        let in_flight = registry.in_flight();
        match in_flight.take(uid, count, false) {
            Err(ETOOMANYREFS) if bindings::ioipc_current_may_exceed_files() => {
                in_flight.take(uid, count, true)
            }
            result => result,
        }?;
        Ok(Self {
            registry: registry.clone(),
            uid,
            count,
        })
    }

    /// The user.
    pub(super) fn uid(&self) -> u32 {
        self.uid
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.registry.in_flight().give_back(self.uid, self.count);
    }
}
