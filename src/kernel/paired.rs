// SPDX-License-Identifier: GPL-2.0

//! Requests of io_uring that wait in two lists at once, in no order.
//!
//! A [`Fifo`](crate::kernel::parked::Fifo) takes a request out only if it is known which one it is in. Here
//! a task that finds a request in one list takes it out of the other one as well, and need not know
//! which one that is. Such requests have no buffer, so the second list is linked where others keep
//! theirs.

use core::{
    mem::{offset_of, size_of},
    ptr,
    ptr::NonNull,
};

use kernel::{prelude::*, types::Opaque};

use crate::kernel::{
    alloc::GFP_MAYFAIL,
    bindings::io_uring_ipc_cmd,
    parked::{Parkable, Woken},
};

/// Links a request into a list.
///
/// All zero while the request is in none.
#[repr(C)]
struct Link {
    next: *mut Link,
    /// What points to this link: the link before it, or its list.
    back: *mut *mut Link,
}

impl Link {
    const NONE: Self = Self {
        next: ptr::null_mut(),
        back: ptr::null_mut(),
    };
}

/// Where a request has its link in a [`First`] list.
const FIRST: usize = offset_of!(io_uring_ipc_cmd, node);

/// Where it has its link in a [`Second`] list: in `addr`, `len` and `max_len`.
const SECOND: usize = offset_of!(io_uring_ipc_cmd, addr);

const _: () = {
    assert!(offset_of!(io_uring_ipc_cmd, node.prev) == FIRST + offset_of!(Link, back));
    assert!(offset_of!(io_uring_ipc_cmd, flags) == SECOND + size_of::<Link>());
    assert!(FIRST % align_of::<Link>() == 0 && SECOND % align_of::<Link>() == 0);
};

/// A list of requests. Its owner protects it with a lock, the same one for all lists in which a request
/// may be.
///
/// # Invariants
///
/// `*first` is NULL or points to the link, at `OFFSET`, of a request. So does each `next`, and each
/// `back` points to the pointer to its own link. These requests stay valid until a task takes them out.
/// A request that is in a [`Second`] list is in a [`First`] one too.
pub(crate) struct List<const OFFSET: usize> {
    /// In memory of its own, because links point to it.
    first: KBox<Opaque<*mut Link>>,
}

/// The list that a request enters first.
pub(crate) type First = List<FIRST>;

/// The one that it enters then.
pub(crate) type Second = List<SECOND>;

// SAFETY: Any thread that holds the lock may use the requests.
unsafe impl<const OFFSET: usize> Send for List<OFFSET> {}

/// The link of a request at an offset.
fn link_of(request: NonNull<io_uring_ipc_cmd>, offset: usize) -> *mut Link {
    request.as_ptr().wrapping_byte_add(offset).cast()
}

/// A request that has entered a [`First`] list and no [`Second`] one, as long as the lock is held.
pub(crate) struct Entered(NonNull<io_uring_ipc_cmd>);

impl First {
    /// Adds a request without a buffer, unless it is parked already. The caller holds the lock.
    pub(crate) fn insert(&mut self, request: &Parkable<'_>) -> Option<Entered> {
        if request.is_parked() {
            return None;
        }
        // SAFETY: The request is valid by the invariants of `Parkable`, and has room for a link there,
        // in which there is no other one.
        unsafe { link_of(request.as_non_null(), SECOND).write(Link::NONE) };
        self.link(request.as_non_null());
        Some(Entered(request.as_non_null()))
    }
}

impl Second {
    /// Adds a request that has entered the other list. The caller holds the lock, and has held it since.
    pub(crate) fn insert(&mut self, request: Entered) {
        self.link(request.0);
    }
}

impl<const OFFSET: usize> List<OFFSET> {
    /// An empty one. May sleep.
    pub(crate) fn new() -> Result<Self> {
        // INVARIANT: It has no request.
        Ok(Self {
            first: KBox::new(Opaque::new(ptr::null_mut()), GFP_MAYFAIL)?,
        })
    }

    /// Adds a request that is in no list of this kind.
    fn link(&mut self, request: NonNull<io_uring_ipc_cmd>) {
        let link = link_of(request, OFFSET);
        let first = self.first.get();
        // SAFETY: The list owns it.
        let next = unsafe { first.read() };
        // SAFETY: The request is valid, and has room for a link there.
        unsafe { link.write(Link { next, back: first }) };
        if !next.is_null() {
            // SAFETY: By the type invariants.
            unsafe { (*next).back = link.cast() };
        }
        // SAFETY: As above.
        unsafe { first.write(link) };
    }

    /// Takes a request out, of its other list too. The caller holds the lock.
    pub(crate) fn pop(&mut self) -> Option<Woken> {
        // SAFETY: The list owns it.
        let first = unsafe { self.first.get().read() };
        let request = NonNull::new(first)?.cast::<io_uring_ipc_cmd>();
        // SAFETY: By the type invariants, the link is at `OFFSET` of a request.
        let request = unsafe { request.byte_sub(OFFSET) };
        take_out(request);
        // SAFETY: It was taken out.
        Some(unsafe { Woken::new(request) })
    }
}

/// Takes a request out of its lists, if it is in any. Returns whether it was. The caller holds the lock.
pub(crate) fn remove(request: &Parkable<'_>) -> bool {
    if !request.is_parked() {
        return false;
    }
    take_out(request.as_non_null());
    true
}

/// Takes out a request that is in a list.
fn take_out(request: NonNull<io_uring_ipc_cmd>) {
    for offset in [FIRST, SECOND] {
        // SAFETY: By the invariants of `List` there is a link, or it is all zero.
        let Link { next, back } = unsafe { link_of(request, offset).replace(Link::NONE) };
        if back.is_null() {
            continue;
        }
        // SAFETY: By the invariants of `List`.
        unsafe { back.write(next) };
        if !next.is_null() {
            // SAFETY: As above.
            unsafe { (*next).back = back };
        }
    }
}
