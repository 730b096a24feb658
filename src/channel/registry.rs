// SPDX-License-Identifier: GPL-2.0

//! The registry: all channels by id, by key, by name and by the io_uring instance that created them,
//! and all subscribers by id.
//!
//! Locking: `uring_lock` of an io_uring instance -> [`Registry::index`] -> `xa_lock` of
//! [`Registry::ids`] or [`Registry::subscribers`]. A caller changes the index and `ids` with the
//! mutex held, so a channel is in both or in neither. A caller takes subscribers out with the mutex
//! held. Readers of `ids` use RCU. Callers allocate nodes of the index before they take the mutex.

use kernel::{
    new_mutex,
    prelude::*,
    rbtree::{RBTree, RBTreeNodeReservation},
    sync::{aref::ARef, rcu, Mutex},
};

use crate::{
    channel::{
        cred::IpcNamespace, in_flight::InFlight, name::Name, subscriber::Subscriber, Channel,
    },
    kernel::{alloc::GFP_MAYFAIL, rcu::RcuObject, rcu_xarray::RcuXArray},
    observe::trace,
};

type ChannelRef = ARef<RcuObject<Channel>>;

struct Index {
    by_key: RBTree<(IpcNamespace, u64), ChannelRef>,
    by_name: RBTree<(IpcNamespace, Name), ChannelRef>,
    by_creator: RBTree<(usize, u32), ChannelRef>,
}

impl Index {
    fn check_free(
        &self,
        key: Option<&(IpcNamespace, u64)>,
        name: Option<&(IpcNamespace, Name)>,
    ) -> Result {
        let has_key = key.is_some_and(|key| self.by_key.get(key).is_some());
        if has_key || name.is_some_and(|name| self.by_name.get(name).is_some()) {
            return Err(EEXIST);
        }
        Ok(())
    }
}

/// The channels and subscribers that can be found.
#[pin_data]
pub(crate) struct Registry {
    #[pin]
    ids: RcuXArray<Channel>,
    /// Subscribers that have an id, also those that are detached.
    #[pin]
    subscribers: RcuXArray<Subscriber>,
    #[pin]
    index: Mutex<Index>,
    #[pin]
    in_flight: InFlight,
}

/// An id that is not in use. Dropping this gives the id back.
pub(crate) struct ReservedId<'a> {
    registry: &'a Registry,
    id: u32,
}

impl ReservedId<'_> {
    /// The number.
    pub(crate) fn get(&self) -> u32 {
        self.id
    }

    /// Keeps the id until [`Registry::release_id`] or [`Registry::destroy`].
    pub(crate) fn keep(self) -> u32 {
        let id = self.id;
        core::mem::forget(self);
        id
    }
}

impl Drop for ReservedId<'_> {
    fn drop(&mut self) {
        self.registry.release_id(self.id);
    }
}

impl Registry {
    /// An empty registry.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            ids <- RcuXArray::new_with_ids(),
            subscribers <- RcuXArray::new(),
            index <- new_mutex!(Index {
                by_key: RBTree::new(),
                by_name: RBTree::new(),
                by_creator: RBTree::new(),
            }),
            in_flight <- InFlight::new(),
        })
    }

    /// The files that are in flight in all channels.
    pub(super) fn in_flight(&self) -> &InFlight {
        &self.in_flight
    }

    /// Picks an id for a channel or a subscriber. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EBUSY` if there is none left.
    pub(crate) fn reserve_id(&self) -> Result<ReservedId<'_>> {
        Ok(ReservedId {
            registry: self,
            id: self.ids.reserve()?,
        })
    }

    /// Gives an id back that no channel has. If a subscriber has it, callers do not find that
    /// subscriber any more. May sleep.
    pub(crate) fn release_id(&self, id: u32) {
        let subscriber = {
            let _index = self.index.lock();
            self.subscribers.remove(id)
        };
        drop(subscriber);
        self.ids.remove(id);
    }

    /// Makes a subscriber known under its id, until the id is given back. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn add_subscriber(&self, subscriber: &ARef<RcuObject<Subscriber>>) -> Result {
        self.subscribers
            .insert(subscriber.id(), subscriber.clone(), false)
    }

    /// Finds the subscriber with an id, of any io_uring instance. May sleep.
    pub(crate) fn find_subscriber(&self, id: u32) -> Option<ARef<RcuObject<Subscriber>>> {
        // The array has a reference, and gives it up only with this mutex held.
        let _index = self.index.lock();
        self.subscribers.get(id, &rcu::read_lock()).map(ARef::from)
    }

    /// Finds a channel by its id. It stays valid as long as the read-side critical section.
    #[inline]
    pub(crate) fn get<'a>(&self, id: u32, guard: &'a rcu::Guard) -> Option<&'a RcuObject<Channel>> {
        self.ids.get(id, guard)
    }

    /// Finds a channel by its id, and takes a reference. May sleep.
    pub(crate) fn find(&self, id: u32) -> Option<ChannelRef> {
        // `destroy` takes a channel out of the array with this mutex held, and has a reference of
        // its own then.
        let _index = self.index.lock();
        self.ids.get(id, &rcu::read_lock()).map(ARef::from)
    }

    /// Finds the channel with the lowest id from `id` on. May sleep.
    pub(crate) fn find_from(&self, id: u32) -> Option<ChannelRef> {
        // As in `find`.
        let _index = self.index.lock();
        let mut found = None;
        self.ids.find_marked(id, &rcu::read_lock(), |channel| {
            found = Some(ARef::from(channel));
            true
        });
        found
    }

    /// Finds a channel of a namespace by its key. May sleep.
    pub(crate) fn find_key(&self, namespace: IpcNamespace, key: u64) -> Option<ChannelRef> {
        self.index.lock().by_key.get(&(namespace, key)).cloned()
    }

    /// Finds a channel by its name and the namespace of that. May sleep.
    pub(crate) fn find_name(&self, name: &(IpcNamespace, Name)) -> Option<ChannelRef> {
        self.index.lock().by_name.get(name).cloned()
    }

    /// Checks that no channel has this key or this name. May sleep.
    ///
    /// # Errors
    ///
    /// `EEXIST`.
    pub(crate) fn check_free(
        &self,
        key: Option<&(IpcNamespace, u64)>,
        name: Option<&(IpcNamespace, Name)>,
    ) -> Result {
        self.index.lock().check_free(key, name)
    }

    /// Makes a channel known under its own id, `id`. May sleep.
    ///
    /// # Errors
    ///
    /// `EEXIST` if its key or its name is taken, `ENOMEM`.
    pub(crate) fn insert(&self, id: ReservedId<'_>, channel: &ChannelRef) -> Result {
        let key_node = RBTreeNodeReservation::new(GFP_MAYFAIL)?;
        let name_node = RBTreeNodeReservation::new(GFP_MAYFAIL)?;
        let creator_node = RBTreeNodeReservation::new(GFP_MAYFAIL)?;

        let mut index = self.index.lock();
        index.check_free(channel.key().as_ref(), channel.name())?;
        self.ids.fill(id.get(), channel.clone())?;
        if let Some(key) = channel.key() {
            index
                .by_key
                .insert(key_node.into_node(key, channel.clone()));
        }
        if let Some(name) = channel.name() {
            index
                .by_name
                .insert(name_node.into_node(*name, channel.clone()));
        }
        let creator = (channel.creator(), id.keep());
        index
            .by_creator
            .insert(creator_node.into_node(creator, channel.clone()));
        Ok(())
    }

    /// Makes a channel unknown and ends sending to it, unless another caller was faster. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOENT`.
    pub(crate) fn destroy(&self, channel: &Channel) -> Result {
        let removed = {
            let mut index = self.index.lock();
            let removed = index
                .by_creator
                .remove(&(channel.creator(), channel.id()))
                .ok_or(ENOENT)?;
            if let Some(key) = channel.key() {
                index.by_key.remove(&key);
            }
            if let Some(name) = channel.name() {
                index.by_name.remove(name);
            }
            self.ids.remove(channel.id());
            removed
        };
        trace::destroy(|| (removed.id(),));
        removed.close();
        Ok(())
    }

    /// Destroys all channels that an io_uring instance has created. May sleep.
    pub(crate) fn destroy_created_by(&self, creator: usize) {
        while let Some(channel) = self.created_by(creator) {
            // If it fails, another caller has destroyed the channel.
            let _ = self.destroy(&channel);
        }
    }

    fn created_by(&self, creator: usize) -> Option<ChannelRef> {
        let index = self.index.lock();
        let cursor = index.by_creator.cursor_lower_bound(&(creator, 0))?;
        let ((owner, _), channel) = cursor.current();
        (*owner == creator).then(|| channel.clone())
    }
}
