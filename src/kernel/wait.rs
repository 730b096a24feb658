// SPDX-License-Identifier: GPL-2.0

//! Wait queues, for the watchers of a file: poll(2), epoll, and POLL_ADD of io_uring.
//!
//! The kernel crate's `PollCondVar` waits for a grace period whenever one is dropped, and cannot
//! tell whether there is a watcher. Here the private data of the watched file owns the queue, so
//! that the queue outlives all watchers, see [`PollTable`](crate::kernel::file::PollTable).
//!
//! Locking: the lock of the queue, inside. The wake-up functions of the watchers take their own
//! locks inside that.

use core::ptr;

use kernel::{prelude::*, types::Opaque};

use crate::kernel::bindings::{self, safe_functions};

/// There is something to receive.
pub(crate) const READABLE: u32 = bindings::IOIPC_EPOLLIN;
/// There is room to send.
pub(crate) const WRITABLE: u32 = bindings::IOIPC_EPOLLOUT;
/// Nothing will ever change again.
pub(crate) const HANGUP: u32 = bindings::IOIPC_EPOLLHUP;

/// A queue of watchers.
///
/// # Invariants
///
/// `head` is an initialized wait queue.
#[pin_data]
#[repr(transparent)]
pub(crate) struct WaitQueue {
    #[pin]
    head: Opaque<bindings::wait_queue_head>,
}

// SAFETY: Any thread can use a wait queue.
unsafe impl Send for WaitQueue {}

// SAFETY: As above.
unsafe impl Sync for WaitQueue {}

// By the invariants of `WaitQueue` the queue is a valid one, and C locks it inside.
safe_functions! { generated:
    fn ioipc_wake(queue: &WaitQueue as *mut bindings::wait_queue_head, to_all: bool) -> bool;

    fn ioipc_wake_all(queue: &WaitQueue as *mut bindings::wait_queue_head, events: u32);
}

impl WaitQueue {
    /// An empty queue.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            // INVARIANT: It is initialized here.
            head <- Opaque::ffi_init(|head| {
                // SAFETY: `head` is valid for writing, and pinned.
                unsafe { bindings::ioipc_init_waitqueue(head) }
            }),
        })
    }

    /// What C knows the queue as.
    pub(crate) fn as_ptr(&self) -> *mut bindings::wait_queue_head {
        self.head.get()
    }

    /// Whether there is a watcher, as `waitqueue_active()`, but without a call: each send looks. The
    /// caller has a full barrier before this, see (D) in `src/ring/wake.rs`.
    #[inline]
    pub(crate) fn is_active(&self) -> bool {
        // SAFETY: The queue is valid by the type invariants. This only computes an address.
        let list = unsafe { &raw const (*self.as_ptr()).head };
        // SAFETY: As above. Other processors may write it meanwhile, so this read is volatile.
        let first = unsafe { (&raw const (*list).next).read_volatile() };
        !ptr::eq(first, list)
    }

    /// Wakes all watchers, but of those that want to be woken alone (`EPOLLEXCLUSIVE`) only one, unless
    /// it is `to_all`. All of them look what has happened. Returns whether others of those that want to
    /// be alone are left.
    pub(crate) fn wake(&self, to_all: bool) -> bool {
        ioipc_wake(self, to_all)
    }

    /// Wakes all watchers. `events` say why.
    pub(crate) fn wake_all(&self, events: u32) {
        ioipc_wake_all(self, events);
    }
}
