// SPDX-License-Identifier: GPL-2.0

//! The places for subscribers of a channel, and how many of them each uid has.
//!
//! Locking: [`Places::taken`], inside the `uring_lock` of the subscriber's io_uring instance. Nodes
//! are allocated before the caller takes it.

use kernel::{
    new_mutex,
    prelude::*,
    rbtree::{Entry, RBTree, RBTreeNodeReservation},
    sync::Mutex,
};

use crate::{
    kernel::{alloc::GFP_MAYFAIL, compat::EUSERS},
    uapi,
};

struct Taken {
    all: u32,
    /// None of the counts is 0.
    by_uid: RBTree<u32, u32>,
}

/// The places of a channel.
#[pin_data]
pub(crate) struct Places {
    #[pin]
    taken: Mutex<Taken>,
}

impl Places {
    /// All of them are free.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            taken <- new_mutex!(Taken {
                all: 0,
                by_uid: RBTree::new(),
            }),
        })
    }

    /// Takes a place for `uid`. May sleep.
    ///
    /// A uid gets no more places than it leaves free for others. So the first uid gets half of them,
    /// the next one half of the rest, and so on. `has_no_limit` says whether the caller may take all.
    ///
    /// # Errors
    ///
    /// `EUSERS` if no place is left, or none for this uid; `ENOMEM`.
    pub(crate) fn take(&self, uid: u32, has_no_limit: impl FnOnce() -> bool) -> Result {
        let node = RBTreeNodeReservation::new(GFP_MAYFAIL)?;
        let mut taken = self.taken.lock();
        let free = uapi::IOIPC_MAX_SUBSCRIBERS - taken.all;
        let own = taken.by_uid.get(&uid).copied().unwrap_or(0);
        let for_all = free.saturating_sub(uapi::IOIPC_RESERVED_SUBSCRIBERS);
        if free == 0 || (own >= for_all && !has_no_limit()) {
            return Err(EUSERS);
        }
        taken.all += 1;
        match taken.by_uid.entry(uid) {
            Entry::Occupied(mut entry) => *entry.get_mut() += 1,
            Entry::Vacant(entry) => {
                entry.insert(1, node);
            }
        }
        Ok(())
    }

    /// Gives a place back that [`Self::take`] has taken for `uid`. May sleep.
    pub(crate) fn give_back(&self, uid: u32) {
        let mut taken = self.taken.lock();
        taken.all -= 1;
        if let Some(mut entry) = taken.by_uid.find_mut(&uid) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}
