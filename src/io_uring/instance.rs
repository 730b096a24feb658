// SPDX-License-Identifier: GPL-2.0

//! What the module knows of an io_uring instance: its subscribers.
//!
//! Locking: all of this is called with the `uring_lock` of the instance held, except
//! [`Instance::subscriber`] and [`Instance::uses_file`], which need no lock.

use core::{mem::offset_of, ptr};

use kernel::{
    fs::File,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{Acquire, Atomic, Relaxed, Release},
        rcu, Arc,
    },
};

use crate::{
    channel::{cred, member::Member, registry::Registry, subscriber::Subscriber, Channel},
    io_uring::request::Request,
    kernel::{
        alloc::GFP_MAYFAIL, bindings, file::FileCell, parked::Parkable, rcu::RcuObject,
        rcu_xarray::RcuXArray,
    },
    memory::charge::Account,
    observe::refusal::{refuse, Asked},
    ring::Waiting,
};

/// A subscriber of an instance, with its file.
///
/// The file has a reference to the subscriber. So the task that ends the attachment drops this
/// reference to the file. The release of a file can wait for other tasks, for as long as they like.
/// The workqueue that drops attachments must not wait like that.
struct Attachment {
    subscriber: ARef<RcuObject<Subscriber>>,
    file: FileCell,
}

impl Drop for Attachment {
    fn drop(&mut self) {
        // A grace period after it has detached, no request counts anything any more.
        self.subscriber.take_late_counts();
    }
}

/// Attachments that were made lately, by the lower bits of their ids: most instances have few, and
/// to find one in the array takes six times as long.
///
/// # Invariants
///
/// Each pointer is NULL or points to an attachment that is in the array of the same instance.
struct RecentAttachments([Atomic<*const RcuObject<Attachment>>; Self::COUNT]);

impl RecentAttachments {
    const COUNT: usize = 8;

    const fn new() -> Self {
        // INVARIANT: All are NULL.
        Self([const { Atomic::new(ptr::null()) }; Self::COUNT])
    }

    #[inline(always)]
    fn slot(&self, id: u32) -> &Atomic<*const RcuObject<Attachment>> {
        &self.0[id as usize % Self::COUNT]
    }

    /// Adds an attachment that was put into the array, in the place of another one.
    fn add(&self, attachment: &RcuObject<Attachment>) {
        // Pairs with `get`. INVARIANT: The caller says so.
        self.slot(attachment.subscriber.id())
            .store(attachment, Release);
    }

    #[inline(always)]
    fn get<'a>(&self, id: u32, _guard: &'a rcu::Guard) -> Option<&'a RcuObject<Attachment>> {
        // Pairs with `add`.
        let attachment = self.slot(id).load(Acquire);
        // SAFETY: By the type invariants it was in the array during this critical section, and the
        // array had a reference to it then; so it is valid until the end of that.
        let attachment = unsafe { attachment.as_ref() }?;
        (attachment.subscriber.id() == id).then_some(attachment)
    }

    /// Removes an attachment that is going to be taken out of the array.
    fn remove(&self, id: u32) {
        if self.get(id, &rcu::read_lock()).is_some() {
            self.slot(id).store(ptr::null(), Relaxed);
        }
    }
}

/// The error of a caller that names a subscriber which the instance does not have.
pub(crate) fn no_subscriber(id: u32) -> Error {
    let rule = c"this io_uring instance has no such subscriber";
    refuse(Asked::Subscriber(id), rule, ENOENT)
}

/// What io_uring keeps in an instance, `struct io_uring_ipc_ctx`. io_uring fills it in when
/// `ring_init` has returned the instance, and never changes it after that.
#[repr(C)]
struct Binding {
    _ops: usize,
    compat: bool,
}

const _: () = {
    use bindings::io_uring_ipc_ctx;
    assert!(size_of::<Binding>() == size_of::<io_uring_ipc_ctx>());
    assert!(offset_of!(Binding, _ops) == offset_of!(io_uring_ipc_ctx, ops));
    assert!(offset_of!(Binding, compat) == offset_of!(io_uring_ipc_ctx, compat));
    assert!(offset_of!(Instance, binding) == 0);
};

/// An io_uring instance that uses IPC.
#[pin_data]
#[repr(C)]
pub(crate) struct Instance {
    /// The first field, because `hook.rs` finds the instance by it.
    binding: Binding,
    account: Account,
    registry: Arc<Registry>,
    recent: RecentAttachments,
    #[pin]
    subscribers: RcuXArray<Attachment>,
    /// How many there are.
    count: Atomic<u32>,
}

impl Instance {
    /// The state of an instance that has no subscribers yet. May sleep.
    pub(crate) fn new(account: Account, registry: Arc<Registry>) -> Result<Pin<KBox<Self>>> {
        KBox::pin_init(
            pin_init!(Self {
                binding: Binding {
                    _ops: 0,
                    compat: false,
                },
                account,
                registry,
                recent: RecentAttachments::new(),
                subscribers <- RcuXArray::new(),
                count: Atomic::new(0),
            }),
            GFP_MAYFAIL,
        )
    }

    /// Whether a 32-bit process has made it.
    pub(crate) fn is_compat(&self) -> bool {
        self.binding.compat
    }

    /// Identifies the instance among those that exist.
    pub(crate) fn identity(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    /// The account that its memory is charged to.
    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    /// All channels.
    pub(crate) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    #[inline]
    fn attachment<'a>(&self, id: u32, guard: &'a rcu::Guard) -> Option<&'a RcuObject<Attachment>> {
        let attachment = match self.recent.get(id, guard) {
            Some(attachment) => attachment,
            None => self.subscribers.get(id, guard)?,
        };
        // Its creator or its owner may have evicted it.
        (!attachment.subscriber.is_detached()).then_some(attachment)
    }

    /// Finds a subscriber of this instance that is not detached. It stays valid as long as the
    /// read-side critical section.
    #[inline]
    pub(crate) fn subscriber<'a>(&self, id: u32, guard: &'a rcu::Guard) -> Option<&'a Subscriber> {
        Some(&self.attachment(id, guard)?.subscriber)
    }

    /// The same, with a reference.
    pub(crate) fn shared_subscriber(&self, id: u32) -> Option<ARef<RcuObject<Subscriber>>> {
        let guard = rcu::read_lock();
        Some(self.attachment(id, &guard)?.subscriber.clone())
    }

    /// Calls `then` for the channel of a request, and for its subscriber if it has one. Returns `None`
    /// if there is no such channel or subscriber any more.
    fn with_waiter<R>(
        &self,
        request: &Request,
        then: impl FnOnce(&Channel, Option<&Member>, &rcu::Guard) -> R,
    ) -> Option<R> {
        let guard = rcu::read_lock();
        if let Some(subscriber) = self.subscriber(request.id, &guard) {
            let member = subscriber.member();
            return Some(then(subscriber.channel(), Some(member), &guard));
        }
        if !request.has_waited_unattached() {
            return None;
        }
        let channel = self.registry.get(request.id, &guard)?;
        Some(then(channel, None, &guard))
    }

    /// A request found nothing to do, and is going to park if it waits.
    #[cold]
    pub(crate) fn will_park(&self, request: &mut Request) {
        request.set_has_looked(false);
        // A subscriber that was evicted keeps its id.
        if request.sends()
            && self
                .subscribers
                .get(request.id, &rcu::read_lock())
                .is_none()
        {
            request.wait_unattached();
        }
    }

    /// Parks a request that found nothing to do. `comes_back` if it was woken in vain. Returns false if
    /// it should be tried again at once. Does not sleep.
    pub(crate) fn park(
        &self,
        request: &Request,
        parkable: &Parkable<'_>,
        comes_back: bool,
    ) -> bool {
        self.with_waiter(request, |channel, member, guard| match member {
            Some(member) if request.watches() => {
                channel.park_watch(member, request.target, parkable, guard)
            }
            Some(member) if !request.sends() => {
                channel.park_receive(member, parkable, comes_back, guard)
            }
            _ => channel.park_send(member, parkable, comes_back, request.needs(), guard),
        })
        .unwrap_or(false)
    }

    /// Takes out a request that is parked. Returns false if it was woken. Does not sleep.
    pub(crate) fn unpark(&self, request: &Request, parkable: &Parkable<'_>) -> bool {
        self.with_waiter(request, |channel, member, guard| match member {
            Some(_) if request.watches() => channel.unpark_watch(parkable),
            Some(member) if !request.sends() => channel.unpark_receive(member, parkable),
            _ => channel.unpark_send(member, parkable, guard),
        })
        .unwrap_or(false)
    }

    /// A request was woken, and is about to look.
    pub(crate) fn looks(&self, request: &Request) {
        if request.awaits_answer() {
            // What it was woken for is there for it alone.
            return;
        }
        self.with_waiter(request, |channel, member, _| match member {
            // Its waker waits for nothing.
            Some(_) if request.watches() => (),
            Some(member) if !request.sends() => channel.receive_looks(member),
            _ => channel.send_looks(member),
        });
    }

    /// A request that was woken ends, and may not have taken what it was woken for: wakes another one
    /// for that.
    pub(crate) fn pass_on(&self, request: &Request) {
        if request.watches() || request.awaits_answer() {
            // It was woken for nothing that another request could take.
            return;
        }
        self.looks(request);
        self.with_waiter(request, |channel, member, guard| {
            channel.pass_on(member.filter(|member| member.can_receive()), guard);
        });
    }

    /// Whether a file is that of a subscriber.
    pub(crate) fn uses_file(&self, id: u32, file: *mut bindings::file) -> bool {
        let guard = rcu::read_lock();
        self.attachment(id, &guard)
            .is_some_and(|attachment| attachment.file.is(file))
    }

    /// Attaches a subscriber to its channel and makes it one of this instance. May sleep.
    ///
    /// # Errors
    ///
    /// `EMFILE` if it has as many files of subscribers as the caller may have open; what
    /// [`Channel::attach`] returns; `ENOMEM`.
    pub(crate) fn attach(
        &self,
        subscriber: &ARef<RcuObject<Subscriber>>,
        file: ARef<File>,
    ) -> Result {
        // As io_uring does for the files that it keeps open. CAST: The kernel is 64-bit.
        if self.count.load(Relaxed) as usize >= cred::max_open_files() {
            return Err(EMFILE);
        }
        let attachment = RcuObject::new(Ok::<_, Error>(Attachment {
            subscriber: subscriber.clone(),
            file: FileCell::new(file),
        }))?;
        subscriber
            .attach()
            .and_then(|()| {
                // From here on others can find and detach it.
                self.registry
                    .add_subscriber(subscriber)
                    .and_then(|()| {
                        self.subscribers
                            .insert(subscriber.id(), attachment.clone(), false)
                    })
                    .inspect_err(|_| {
                        subscriber.detach();
                    })
            })
            .inspect_err(|_| drop(attachment.file.take()))?;
        self.recent.add(&attachment);
        self.count.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Detaches a subscriber of this instance and frees its id, also if it was evicted. Returns
    /// whether there is one. May sleep.
    pub(crate) fn detach(&self, id: u32) -> bool {
        self.recent.remove(id);
        let Some(attachment) = self.subscribers.remove(id) else {
            return false;
        };
        self.count.fetch_sub(1, Relaxed);
        drop(attachment.file.take());
        attachment.subscriber.detach();
        self.registry.release_id(id);
        true
    }

    /// Detaches a subscriber of another instance, which keeps its id. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is none, or none any more; what [`Channel::check_control`] returns.
    pub(crate) fn evict(&self, id: u32) -> Result {
        let subscriber = self
            .registry
            .find_subscriber(id)
            .ok_or_else(|| no_subscriber(id))?;
        let rule = c"only its creator and its owner may detach subscribers of others";
        subscriber.channel().check_control(self.identity(), rule)?;
        if subscriber.detach() {
            Ok(())
        } else {
            Err(no_subscriber(id))
        }
    }

    /// Detaches all subscribers and destroys the channels that the instance has created: what others
    /// can see of it. Its requests that are still running or waiting find no subscriber then. May
    /// sleep.
    pub(crate) fn release(&self) {
        while let Some(id) = self.subscribers.any_index() {
            // It is there, because only the holder of the `uring_lock` removes any.
            let _ = self.detach(id);
        }
        self.registry.destroy_created_by(self.identity());
    }
}
