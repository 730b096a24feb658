// SPDX-License-Identifier: GPL-2.0

//! Wait queues, for whoever polls the file of a subscriber: io_uring on behalf of a request that
//! waits, poll(2) and epoll.
//!
//! The kernel crate's `PollCondVar` waits for a grace period whenever one is dropped, and cannot
//! tell whether anybody waits. Here a queue lives in an [`RcuObject`](crate::kernel::rcu::RcuObject) that
//! the polled file has a reference to, so that it outlives all who wait.
//!
//! Locking: the lock of the queue, inside; what is woken takes its own locks inside that.

use kernel::{fs::File, prelude::*, types::Opaque};

use crate::kernel::bindings;

/// There is something to receive.
pub(crate) const READABLE: u32 = bindings::IOIPC_EPOLLIN;
/// There is room to send.
pub(crate) const WRITABLE: u32 = bindings::IOIPC_EPOLLOUT;
/// Nothing will ever change again.
pub(crate) const HANGUP: u32 = bindings::IOIPC_EPOLLHUP;

/// A queue of those who wait.
///
/// # Invariants
///
/// `head` is an initialized wait queue.
#[pin_data]
pub(crate) struct WaitQueue {
    #[pin]
    head: Opaque<bindings::wait_queue_head>,
}

// SAFETY: A wait queue can be used by any thread.
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

    /// Enters whoever polls `file` with `table` into the queue.
    ///
    /// The queue has to live as long as the file.
    pub(crate) fn enter(&self, file: &File, table: *mut bindings::poll_table) {
        // SAFETY: All of them are valid during a poll operation, and the queue is initialized by
        // the type invariants. It outlives the file, which outlives all who wait.
        unsafe { bindings::poll_wait(file.as_ptr(), self.head.get(), table) };
    }

    /// Whether anybody waits.
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
