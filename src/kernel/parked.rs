// SPDX-License-Identifier: GPL-2.0

//! Requests of io_uring that wait, in the order in which they came.
//!
//! The kernel crate's lists own their entries. These requests belong to io_uring: one that waits is
//! in a [`Fifo`], and the task that takes it out owns it until it wakes the request.

use core::{marker::PhantomData, ptr, ptr::NonNull};

use crate::kernel::bindings::{io_uring_ipc_cmd, io_uring_ipc_wake};

/// In these bits of the last word of `data`, a send keeps how many slots it needs, less one.
pub(crate) const NEEDS: u32 = 0x1fff << NEEDS_SHIFT;
pub(crate) const NEEDS_SHIFT: u32 = 16;

/// A request that io_uring leaves to the current task, which holds the `uring_lock` of its instance.
///
/// # Invariants
///
/// The request is valid. Its `node.prev` is NULL, unless it is in a [`Fifo`]: then it stays valid
/// until a task takes it out, and only the holder of the lock of the [`Fifo`] uses `node`.
pub(crate) struct Parkable<'a>(NonNull<io_uring_ipc_cmd>, PhantomData<&'a ()>);

impl Parkable<'_> {
    /// # Safety
    ///
    /// `request` is valid as long as the result exists, and [`Self::prepare`] was called for it. If it
    /// is in a [`Fifo`], io_uring keeps it until [`Fifo::remove`] or [`Fifo::pop`] takes it out.
    pub(crate) unsafe fn new(request: *mut io_uring_ipc_cmd) -> Self {
        // SAFETY: By the requirements of this function.
        let request = unsafe { NonNull::new_unchecked(request) };
        // INVARIANT: As above.
        Self(request, PhantomData)
    }

    /// What C knows the request as.
    pub(crate) fn as_ptr(&self) -> *mut io_uring_ipc_cmd {
        self.0.as_ptr()
    }

    /// `IOIPC_CMD_*`.
    pub(crate) fn flags(&self) -> u16 {
        // SAFETY: The request is valid by the type invariants, and left to the current task.
        unsafe { (*self.as_ptr()).flags }
    }

    /// The same pointer.
    pub(crate) fn as_non_null(&self) -> NonNull<io_uring_ipc_cmd> {
        self.0
    }

    /// Whether it is in a list. The caller holds the lock of that.
    pub(crate) fn is_parked(&self) -> bool {
        // SAFETY: By the type invariants, and the caller holds the lock.
        !unsafe { (*self.as_ptr()).node.prev }.is_null()
    }

    /// Notes that a new request is in no [`Fifo`].
    pub(crate) fn prepare(request: &mut io_uring_ipc_cmd) {
        request.node.prev = ptr::null_mut();
    }
}

/// A request that was taken out of the list where it waited. io_uring wakes it when this is dropped: its
/// task tries again. Does not sleep.
///
/// # Invariants
///
/// This owns the request.
pub(crate) struct Woken(NonNull<io_uring_ipc_cmd>);

impl Woken {
    /// # Safety
    ///
    /// The caller has taken `request` out of what it was parked in.
    pub(crate) unsafe fn new(request: NonNull<io_uring_ipc_cmd>) -> Self {
        // INVARIANT: By the requirements of this function.
        Self(request)
    }
}

impl Drop for Woken {
    fn drop(&mut self) {
        // SAFETY: By the type invariants. It is not used after this.
        unsafe { io_uring_ipc_wake(self.0.as_ptr()) };
    }
}

/// Names a request that has been in a [`Fifo`].
///
/// # Invariants
///
/// The request has not ended. Only the holder of the lock of the [`Fifo`] uses its `node`.
#[derive(Clone, Copy)]
pub(crate) struct Ticket(NonNull<io_uring_ipc_cmd>);

// SAFETY: Any thread that holds the lock may use it.
unsafe impl Send for Ticket {}

impl Ticket {
    /// # Safety
    ///
    /// The result is not used after the request has ended. The request is in no [`Fifo`] but the one that
    /// the result is used with.
    pub(crate) unsafe fn new(request: &Parkable<'_>) -> Self {
        // INVARIANT: By the requirements of this function.
        Self(request.0)
    }
}

/// Requests that wait. What has a `Fifo` protects it with a lock.
///
/// # Invariants
///
/// `first` and `last` are NULL, or the ends of a list of requests that are linked by `node.next` and
/// `node.prev`. In these fields are pointers to requests. `node.next` of the last one is NULL, and
/// `node.prev` of the first one points to itself. `returned` is NULL or in the list.
pub(crate) struct Fifo {
    first: *mut io_uring_ipc_cmd,
    last: *mut io_uring_ipc_cmd,
    /// The last one of those in front that have come back.
    returned: *mut io_uring_ipc_cmd,
}

// SAFETY: Any thread that holds the lock may use the requests.
unsafe impl Send for Fifo {}

/// The request after this one.
///
/// # Safety
///
/// `request` is in a [`Fifo`] whose lock is held.
unsafe fn next(request: *mut io_uring_ipc_cmd) -> *mut io_uring_ipc_cmd {
    // SAFETY: By the requirements of this function.
    unsafe { (*request).node.next.cast() }
}

/// Links two requests, or ends the list where one of them is NULL.
///
/// # Safety
///
/// Each is NULL, or is in a [`Fifo`] whose lock is held, or is going to be.
unsafe fn link(before: *mut io_uring_ipc_cmd, after: *mut io_uring_ipc_cmd) {
    if !before.is_null() {
        // SAFETY: By the requirements of this function.
        unsafe { (*before).node.next = after.cast() };
    }
    if !after.is_null() {
        let before = if before.is_null() { after } else { before };
        // SAFETY: By the requirements of this function.
        unsafe { (*after).node.prev = before.cast() };
    }
}

impl Fifo {
    /// An empty one.
    pub(crate) const fn new() -> Self {
        Self {
            first: ptr::null_mut(),
            last: ptr::null_mut(),
            returned: ptr::null_mut(),
        }
    }

    /// Whether no request is in it.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    /// How many slots the first request needs, if it is a send.
    pub(crate) fn first_needs(&self) -> u32 {
        if self.is_empty() {
            return 1;
        }
        // SAFETY: By the type invariants the request is valid. As long as it is in the list, nothing
        // writes its `data`.
        let [.., word] = unsafe { (*self.first).data };
        ((word & NEEDS) >> NEEDS_SHIFT) + 1
    }

    /// Adds a request as the last one, or if it `comes_back` before all that have not been taken out
    /// since they came. Leaves a request alone that is in a `Fifo` already.
    pub(crate) fn push(&mut self, request: &Parkable<'_>, comes_back: bool) {
        if request.is_parked() {
            return;
        }
        let request = request.0.as_ptr();
        let (before, after) = if !comes_back {
            (self.last, ptr::null_mut())
        } else if self.returned.is_null() {
            (ptr::null_mut(), self.first)
        } else {
            // SAFETY: By the type invariants it is in this `Fifo`.
            (self.returned, unsafe { next(self.returned) })
        };
        if comes_back {
            self.returned = request;
        }
        // SAFETY: By the type invariants, and `request` is valid by those of `Parkable`.
        unsafe { link(before, request) };
        if after.is_null() {
            // SAFETY: As above.
            unsafe { (*request).node.next = ptr::null_mut() };
            self.last = request;
        } else {
            // SAFETY: As above.
            unsafe { link(request, after) };
        }
        if before.is_null() {
            self.first = request;
        }
    }

    /// Takes the first request out.
    pub(crate) fn pop(&mut self) -> Option<Woken> {
        let first = NonNull::new(self.first)?;
        self.unlink(first);
        // INVARIANT: It was taken out.
        Some(Woken(first))
    }

    /// Takes a request out, if it is in a `Fifo` at all: in this one, then. Returns whether it was.
    pub(crate) fn remove(&mut self, request: &Parkable<'_>) -> bool {
        if !request.is_parked() {
            return false;
        }
        self.unlink(request.0);
        true
    }

    /// Takes a request out, if it is in this `Fifo`.
    pub(crate) fn take(&mut self, request: Ticket) -> Option<Woken> {
        // SAFETY: By the invariants of `Ticket`, and the caller holds the lock.
        if unsafe { (*request.0.as_ptr()).node.prev }.is_null() {
            return None;
        }
        self.unlink(request.0);
        // INVARIANT: It was taken out.
        Some(Woken(request.0))
    }

    /// Takes out a request that is in it.
    fn unlink(&mut self, request: NonNull<io_uring_ipc_cmd>) {
        let request = request.as_ptr();
        // SAFETY: By the type invariants it is valid.
        let before: *mut io_uring_ipc_cmd = unsafe { (*request).node.prev.cast() };
        let before = if before == request {
            ptr::null_mut()
        } else {
            before
        };
        if self.returned == request {
            self.returned = before;
        }
        // SAFETY: It is in this `Fifo`.
        let after = unsafe { next(request) };
        // SAFETY: By the type invariants.
        unsafe { link(before, after) };
        if before.is_null() {
            self.first = after;
        }
        if after.is_null() {
            self.last = before;
        }
        // SAFETY: As above.
        unsafe { (*request).node.prev = ptr::null_mut() };
    }
}
