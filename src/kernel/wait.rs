// SPDX-License-Identifier: GPL-2.0

//! Wait queues, for the watchers of a file: io_uring on behalf of a request that waits, poll(2) and
//! epoll.
//!
//! The kernel crate's `PollCondVar` waits for a grace period whenever one is dropped, and cannot
//! tell whether there is a watcher. Here the private data of the watched file owns the queue, so
//! that the queue outlives all watchers, see [`PollTable`](crate::kernel::file::PollTable).
//!
//! Locking: the lock of the queue, inside. The wake-up functions of the watchers take their own
//! locks inside that.

use kernel::{prelude::*, types::Opaque};

use crate::kernel::bindings;

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
pub(crate) struct WaitQueue {
    #[pin]
    head: Opaque<bindings::wait_queue_head>,
}

// SAFETY: Any thread can use a wait queue.
unsafe impl Send for WaitQueue {}

// SAFETY: As above.
unsafe impl Sync for WaitQueue {}

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

    /// Whether there is a watcher.
    #[inline]
    pub(crate) fn is_active(&self) -> bool {
        // SAFETY: It is initialized by the type invariants.
        unsafe { bindings::ioipc_waitqueue_active(self.head.get()) }
    }

    /// Wakes all watchers, and one request that waits. Returns how many requests that were: 0 or 1.
    pub(crate) fn wake_one(&self, events: u32) -> u32 {
        self.wake(1, events)
    }

    /// Wakes all watchers and all requests. Returns how many requests that were.
    pub(crate) fn wake_all(&self, events: u32) -> u32 {
        self.wake(0, events)
    }

    fn wake(&self, requests: i32, events: u32) -> u32 {
        // CAST: It is a number of requests.
        // SAFETY: It is initialized by the type invariants.
        unsafe { bindings::ioipc_wake(self.head.get(), requests, events) as u32 }
    }
}
