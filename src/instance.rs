// SPDX-License-Identifier: GPL-2.0

//! What the module knows of an io_uring instance: its subscribers.
//!
//! Locking: all of this is called with the `uring_lock` of the instance held, except
//! [`Instance::subscriber`], which is for RCU read-side critical sections.

use core::ptr::NonNull;

use kernel::{
    fs::File,
    prelude::*,
    sync::{aref::ARef, rcu},
    types::Opaque,
};

use crate::{
    bindings, file, rcu::RcuObject, rcu_xarray::RcuXArray, region::Account, registry::Registry,
    request::Request, subscriber::Subscriber, uapi,
};

/// A subscriber of an instance, with its file: as long as it is attached, requests can wait.
///
/// The file has a reference to the subscriber, so this one to the file ends with the attachment.
struct Attachment {
    subscriber: ARef<RcuObject<Subscriber>>,
    file: ARef<File>,
}

/// An io_uring instance that uses IPC.
#[pin_data]
#[repr(C)]
pub(crate) struct Instance {
    /// What io_uring itself keeps here. It has to be the first field, see `hook.rs`.
    hook: Opaque<bindings::io_uring_ipc_ctx>,
    account: Account,
    registry: &'static Registry,
    #[pin]
    subscribers: RcuXArray<Attachment>,
}

// SAFETY: Nothing here uses `hook`, and the rest is `Send`.
unsafe impl Send for Instance {}

// SAFETY: Nothing here uses `hook`, and the rest is `Sync`.
unsafe impl Sync for Instance {}

impl Instance {
    /// The state of an instance that has no subscribers yet. May sleep.
    ///
    /// # Safety
    ///
    /// The instance is valid as long as the result exists.
    pub(crate) unsafe fn new(
        ring: NonNull<bindings::io_ring_ctx>,
        registry: &'static Registry,
    ) -> Result<Pin<KBox<Self>>> {
        // SAFETY: By the requirements of this function.
        let account = unsafe { Account::new(ring) };
        KBox::pin_init(
            pin_init!(Self {
                hook: Opaque::uninit(),
                account,
                registry,
                subscribers <- RcuXArray::new(),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Identifies the instance among those that exist.
    pub(crate) fn identity(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    /// Whom its memory is charged to.
    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    /// All channels.
    pub(crate) fn registry(&self) -> &'static Registry {
        self.registry
    }

    /// Finds a subscriber of this instance. It stays valid as long as the read-side critical
    /// section.
    #[inline]
    pub(crate) fn subscriber<'a>(&self, id: u32, guard: &'a rcu::Guard) -> Option<&'a Subscriber> {
        Some(&self.subscribers.get(id, guard)?.subscriber)
    }

    /// The file that tells when a request should be tried again. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOENT`, and whatever [`file::open`] returns.
    pub(crate) fn wait_file(&self, request: &mut Request) -> Result<ARef<File>> {
        if let Some(attachment) = self.subscribers.get(request.id, &rcu::read_lock()) {
            return Ok(attachment.file.clone());
        }
        // Whoever sends without being attached gets a file just for this request.
        let channel = self.registry.find(request.id).ok_or(ENOENT)?;
        let sender = Subscriber::new(0, uapi::IOIPC_SUB_SEND, channel);
        let file = file::open(RcuObject::new(sender)?)?;
        request.has_waited_unattached = true;
        Ok(file)
    }

    /// Wakes another request for what one about `id` was possibly woken for and did not take.
    pub(crate) fn pass_on(&self, id: u32) {
        let guard = rcu::read_lock();
        if let Some(subscriber) = self.subscriber(id, &guard) {
            subscriber.channel().pass_on(Some(subscriber), &guard);
        } else if let Some(channel) = self.registry.get(id, &guard) {
            channel.pass_on(None, &guard);
        }
    }

    /// Attaches a subscriber to its channel and makes it one of this instance. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn attach(
        &self,
        subscriber: &ARef<RcuObject<Subscriber>>,
        file: ARef<File>,
    ) -> Result {
        let attachment = RcuObject::new(Ok::<_, Error>(Attachment {
            subscriber: subscriber.clone(),
            file,
        }))?;
        subscriber.channel().attach(subscriber)?;
        self.subscribers
            .insert(subscriber.id(), attachment, false)
            .inspect_err(|_| subscriber.channel().detach(subscriber))
    }

    /// Detaches a subscriber of this instance and frees its id. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOENT`.
    pub(crate) fn detach(&self, id: u32) -> Result {
        let attachment = self.subscribers.remove(id).ok_or(ENOENT)?;
        let subscriber = &attachment.subscriber;
        subscriber.channel().detach(subscriber);
        self.registry.release_id(id);
        Ok(())
    }

    /// Detaches all subscribers and destroys the channels that the instance has created. May sleep.
    pub(crate) fn exit(&self) {
        while let Some(id) = self.subscribers.any_index() {
            // It is there, because nobody else removes any.
            let _ = self.detach(id);
        }
        self.registry.destroy_created_by(self.identity());
    }
}
