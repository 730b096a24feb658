// SPDX-License-Identifier: GPL-2.0

//! The places for subscribers of a channel, how many of them each uid has, and in a fair channel its
//! account.
//!
//! Locking: [`Places::taken`], inside the `uring_lock` of the subscriber's io_uring instance. Nodes
//! are allocated before the caller takes it.

use kernel::{
    new_mutex,
    prelude::*,
    rbtree::{Entry, RBTree, RBTreeNodeReservation},
    sync::{Arc, Mutex},
};

use super::fair::Account;
use crate::{
    kernel::{alloc::GFP_MAYFAIL, compat::EUSERS},
    uapi,
};

/// What a uid has.
struct Holder {
    places: u32,
    account: Option<Arc<Account>>,
}

impl Holder {
    /// Whether the uid has no places and uses no slots.
    fn is_idle(&self) -> bool {
        let uses_none = |account: &Arc<Account>| account.used() == 0;
        self.places == 0 && self.account.as_ref().is_none_or(uses_none)
    }
}

struct Taken {
    all: u32,
    by_uid: RBTree<u32, Holder>,
    /// The uid at which [`Self::sweep`] goes on.
    hand: u32,
}

impl Taken {
    /// Removes uids that were idle when they gave their last place back, or are by now. It looks at two,
    /// and its caller adds one at most: so those that are idle do not become more than the others.
    fn sweep(&mut self) {
        for _ in 0..2 {
            let Some(cursor) = self.by_uid.cursor_lower_bound(&self.hand) else {
                self.hand = 0;
                return;
            };
            let (&uid, holder) = cursor.current();
            // The largest one is no uid.
            self.hand = uid.wrapping_add(1);
            if holder.is_idle() {
                self.by_uid.remove(&uid);
            }
        }
    }
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
                hand: 0,
            }),
        })
    }

    /// Takes a place for `uid`. Returns its account: `account`, if it had none and one is given. May sleep.
    ///
    /// A uid gets no more places than it leaves free for others. So the first uid gets half of them,
    /// the next one half of the rest, and so on. `has_no_limit` says whether the caller may take all.
    ///
    /// # Errors
    ///
    /// `EUSERS` if no place is left, or none for this uid; `ENOMEM`.
    pub(super) fn take(
        &self,
        uid: u32,
        account: Option<Arc<Account>>,
        has_no_limit: impl FnOnce() -> bool,
    ) -> Result<Option<Arc<Account>>> {
        let node = RBTreeNodeReservation::new(GFP_MAYFAIL)?;
        let mut taken = self.taken.lock();
        taken.sweep();
        let free = uapi::IOIPC_MAX_SUBSCRIBERS - taken.all;
        let own = taken.by_uid.get(&uid).map_or(0, |holder| holder.places);
        let for_all = free.saturating_sub(uapi::IOIPC_RESERVED_SUBSCRIBERS);
        if free == 0 || (own >= for_all && !has_no_limit()) {
            return Err(EUSERS);
        }
        taken.all += 1;
        Ok(match taken.by_uid.entry(uid) {
            Entry::Occupied(mut entry) => {
                let holder = entry.get_mut();
                holder.places += 1;
                holder.account.clone()
            }
            Entry::Vacant(entry) => {
                let holder = Holder {
                    places: 1,
                    account: account.clone(),
                };
                entry.insert(holder, node);
                account
            }
        })
    }

    /// Gives a place back that [`Self::take`] has taken for `uid`. May sleep.
    pub(crate) fn give_back(&self, uid: u32) {
        let mut taken = self.taken.lock();
        taken.all -= 1;
        if let Some(mut entry) = taken.by_uid.find_mut(&uid) {
            entry.get_mut().places -= 1;
            if entry.get().is_idle() {
                entry.remove();
            }
        }
    }
}
