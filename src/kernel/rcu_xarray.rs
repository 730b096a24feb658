// SPDX-License-Identifier: GPL-2.0

//! An XArray of reference counted objects that can be read under RCU.
//!
//! The kernel crate's `XArray` can only be read with its lock held.
//!
//! Locking: `xa_lock`, a plain spinlock that is taken inside and is the innermost lock. Everything
//! that changes an array runs in process context; what allocates may sleep.

use core::{marker::PhantomData, pin::Pin, ptr::NonNull};

use kernel::{
    error::to_result,
    prelude::*,
    sync::{aref::ARef, rcu},
    types::Opaque,
};

use crate::kernel::{bindings, rcu::RcuObject};

/// An array from `u32` to [`RcuObject`]s.
///
/// # Invariants
///
/// `array` is an initialized `struct xarray`. Each entry is either reserved (`XA_ZERO_ENTRY`) or a
/// pointer to an object, of which it owns a reference. `next` is only used with `xa_lock` held.
#[pin_data(PinnedDrop)]
pub(crate) struct RcuXArray<T: 'static> {
    #[pin]
    array: Opaque<bindings::xarray>,
    next: Opaque<u32>,
    _objects: PhantomData<ARef<RcuObject<T>>>,
}

// SAFETY: All operations on an xarray lock inside or are meant to run under RCU, and the objects
// are `Send` and `Sync`.
unsafe impl<T: Send + Sync + 'static> Send for RcuXArray<T> {}

// SAFETY: As above.
unsafe impl<T: Send + Sync + 'static> Sync for RcuXArray<T> {}

impl<T: 'static> RcuXArray<T> {
    fn init(flags: bindings::gfp_t) -> impl PinInit<Self> {
        pin_init!(Self {
            // INVARIANT: It is initialized here, and empty.
            array <- Opaque::ffi_init(|array| {
                // SAFETY: `array` is valid for writing.
                unsafe { bindings::xa_init_flags(array, flags) }
            }),
            next: Opaque::new(0),
            _objects: PhantomData,
        })
    }

    /// An empty array, for indices that the caller picks.
    pub(crate) fn new() -> impl PinInit<Self> {
        Self::init(bindings::IOIPC_XA_FLAGS_TABLE)
    }

    /// An empty array, for indices that [`Self::reserve`] picks.
    pub(crate) fn new_with_ids() -> impl PinInit<Self> {
        Self::init(bindings::IOIPC_XA_FLAGS_IDS)
    }

    /// Finds the object at `index`. It stays valid as long as the read-side critical section.
    #[inline]
    pub(crate) fn get<'a>(&self, index: u32, _guard: &'a rcu::Guard) -> Option<&'a RcuObject<T>> {
        // SAFETY: `array` is initialized by the type invariants.
        let entry = unsafe { bindings::xa_load(self.array.get(), index as usize) };
        // SAFETY: By the type invariants it is NULL or points to an object to which the array had a
        // reference during this critical section, so that it is valid until its end.
        unsafe { entry.cast::<RcuObject<T>>().as_ref() }
    }

    /// Calls `each` for all objects, in the order of their indices.
    ///
    /// What is inserted or removed at the same time may be left out or not.
    pub(crate) fn for_each(&self, guard: &rcu::Guard, mut each: impl FnMut(&RcuObject<T>)) {
        let mut index = 0;
        while let Some(object) = self.find(&mut index, guard) {
            each(object);
            index += 1;
        }
    }

    /// The same for the marked objects, which is faster the fewer they are.
    pub(crate) fn for_each_marked(&self, guard: &rcu::Guard, mut each: impl FnMut(&RcuObject<T>)) {
        self.find_marked(0, guard, |object| {
            each(object);
            false
        });
    }

    /// Calls `done` for the marked objects from `index` on, in the order of their indices, until it
    /// returns true.
    pub(crate) fn find_marked<'a>(
        &self,
        index: u32,
        _guard: &'a rcu::Guard,
        mut done: impl FnMut(&'a RcuObject<T>) -> bool,
    ) {
        let state = Opaque::uninit();
        // SAFETY: `array` is initialized by the type invariants, `state` is valid for writing.
        let mut entry = unsafe {
            bindings::ioipc_xa_first_marked(state.get(), self.array.get(), index as usize)
        };
        // SAFETY: As in `get`: the whole search is in the read-side critical section of `_guard`.
        while let Some(object) = unsafe { entry.cast::<RcuObject<T>>().as_ref() } {
            if done(object) {
                return;
            }
            // SAFETY: `state` was initialized above in this read-side critical section.
            entry = unsafe { bindings::ioipc_xa_next_marked(state.get()) };
        }
    }

    /// Finds the first object at `index` or after it. As [`Self::get`].
    pub(crate) fn get_from<'a>(
        &self,
        index: u32,
        guard: &'a rcu::Guard,
    ) -> Option<&'a RcuObject<T>> {
        self.find(&mut (index as usize), guard)
    }

    /// Finds the first object at `index` or after it, and sets `index` to where that is.
    fn find<'a>(&self, index: &mut usize, _guard: &'a rcu::Guard) -> Option<&'a RcuObject<T>> {
        let array = self.array.get();
        // SAFETY: `array` is initialized by the type invariants, `index` is valid.
        let entry = unsafe { bindings::xa_find(array, index, usize::MAX, bindings::XA_PRESENT) };
        // SAFETY: As in `get`.
        unsafe { entry.cast::<RcuObject<T>>().as_ref() }
    }

    /// Any index that has an object.
    pub(crate) fn any_index(&self) -> Option<u32> {
        let mut index = 0;
        self.find(&mut index, &rcu::read_lock())?;
        Some(index as u32)
    }

    /// Puts an object at an index that has none, and marks it or not. May sleep.
    ///
    /// # Errors
    ///
    /// `EBUSY` if there is an object, `ENOMEM`.
    pub(crate) fn insert(&self, index: u32, object: ARef<RcuObject<T>>, marked: bool) -> Result {
        let entry = ARef::into_raw(object);
        // SAFETY: `array` is initialized by the type invariants.
        let inserted = to_result(unsafe {
            bindings::ioipc_xa_insert(
                self.array.get(),
                index as usize,
                entry.as_ptr().cast(),
                marked,
            )
        });
        // INVARIANT: If that has worked, the array owns the reference.
        if inserted.is_err() {
            // SAFETY: The array did not take the reference.
            drop(unsafe { ARef::from_raw(entry) });
        }
        inserted
    }

    /// Reserves an index from 1 to `i32::MAX` that has not been in use for long. May sleep.
    pub(crate) fn reserve(&self) -> Result<u32> {
        let mut index = 0;
        // SAFETY: `array` is initialized by the type invariants, `next` is used with its lock held.
        let result = unsafe {
            bindings::ioipc_xa_reserve_cyclic(self.array.get(), &mut index, self.next.get())
        };
        if result < 0 {
            return Err(Error::from_errno(result));
        }
        Ok(index)
    }

    /// Puts an object at an index that was reserved, which takes no memory, and marks it.
    pub(crate) fn fill(&self, index: u32, object: ARef<RcuObject<T>>) -> Result {
        let entry = ARef::into_raw(object);
        // INVARIANT: Unless this fails, the array owns the reference.
        // SAFETY: `array` is initialized by the type invariants.
        let old = unsafe {
            bindings::xa_store(
                self.array.get(),
                index as usize,
                entry.as_ptr().cast(),
                bindings::IOIPC_GFP_MAYFAIL,
            )
        };
        // SAFETY: `xa_err()` takes any entry.
        let stored = to_result(unsafe { bindings::xa_err(old) });
        if stored.is_err() {
            // SAFETY: The array did not take the reference.
            drop(unsafe { ARef::from_raw(entry) });
        } else {
            // SAFETY: `array` is initialized by the type invariants.
            unsafe { bindings::ioipc_xa_mark(self.array.get(), index as usize) };
        }
        stored
    }

    /// Takes what is at `index` out: the object, or just the reservation.
    pub(crate) fn remove(&self, index: u32) -> Option<ARef<RcuObject<T>>> {
        // INVARIANT: The reference that the array had passes to the caller.
        // SAFETY: `array` is initialized by the type invariants.
        let entry = unsafe { bindings::xa_erase(self.array.get(), index as usize) };
        let object = NonNull::new(entry.cast::<RcuObject<T>>())?;
        // SAFETY: The array owned a reference by the type invariants.
        Some(unsafe { ARef::from_raw(object) })
    }
}

#[pinned_drop]
impl<T: 'static> PinnedDrop for RcuXArray<T> {
    fn drop(self: Pin<&mut Self>) {
        while let Some(index) = self.any_index() {
            self.remove(index);
        }
        // SAFETY: `array` is initialized by the type invariants, and not used after this.
        unsafe { bindings::xa_destroy(self.array.get()) };
    }
}
