// SPDX-License-Identifier: GPL-2.0

//! An XArray of reference counted objects that readers search under RCU.
//!
//! The gap of the kernel crate that this fills: a reader of its `XArray` holds the lock.
//!
//! Locking: `xa_lock`, a plain spinlock. Each operation takes it inside, and it is the innermost
//! lock. Everything that changes an array runs in process context. What allocates may sleep.

use core::{marker::PhantomData, pin::Pin, ptr::NonNull};

use kernel::{
    error::to_result,
    ffi::{c_int, c_void},
    prelude::*,
    sync::{aref::ARef, rcu},
    types::Opaque,
};

use crate::kernel::{
    bindings::{self, safe_functions},
    rcu::RcuObject,
};

/// An array of pointers, with the index that [`RcuXArray::reserve`] tries next.
///
/// # Invariants
///
/// It is an initialized `struct ioipc_xarray`.
#[pin_data]
#[repr(transparent)]
struct XArray {
    #[pin]
    array: Opaque<bindings::ioipc_xarray>,
}

// SAFETY: All operations on an array lock inside, or run under RCU.
unsafe impl Send for XArray {}

// SAFETY: As above.
unsafe impl Sync for XArray {}

// By the invariants of `XArray` the array is a valid one. These functions lock inside, or run under
// RCU inside. They hand pointers out, and follow none that is in the array.
safe_functions! { common:
    fn xa_load(array: &XArray as *mut bindings::xarray, index: usize) -> *mut c_void;

    fn xa_find(
        array: &XArray as *mut bindings::xarray,
        index: &mut usize as *mut usize,
        max: usize,
        filter: bindings::xa_mark_t
    ) -> *mut c_void;

    fn xa_erase(array: &XArray as *mut bindings::xarray, index: usize) -> *mut c_void;

    fn xa_destroy(array: &XArray as *mut bindings::xarray);
}

safe_functions! { generated:
    fn ioipc_xa_reserve_cyclic(
        array: &XArray as *mut bindings::ioipc_xarray,
        index: &mut u32 as *mut u32
    ) -> c_int;
}

impl XArray {
    /// An empty array.
    fn new(flags: bindings::gfp_t) -> impl PinInit<Self> {
        pin_init!(Self {
            // INVARIANT: C initializes it.
            array <- Opaque::ffi_init(|array| {
                // SAFETY: `array` is valid for writing.
                unsafe { bindings::ioipc_xa_init(array, flags) }
            }),
        })
    }
}

/// What is in the array at an index.
///
/// # Invariants
///
/// It is NULL, or a pointer to an object to which an array of `T` had a reference during the
/// read-side critical section `'a`.
struct Entry<'a, T>(*mut c_void, PhantomData<&'a RcuObject<T>>);

impl<'a, T> Entry<'a, T> {
    // INVARIANT: The callers have the pointer from an array. An array returns reserved places as
    // NULL.
    #[inline]
    fn new(entry: *mut c_void, _guard: &'a rcu::Guard) -> Self {
        Self(entry, PhantomData)
    }

    #[inline]
    fn object(self) -> Option<&'a RcuObject<T>> {
        // SAFETY: By the type invariants. Such an object is valid until the end of `'a`.
        unsafe { self.0.cast::<RcuObject<T>>().as_ref() }
    }
}

/// An array from `u32` to [`RcuObject`]s.
///
/// # Invariants
///
/// Each entry is either reserved (`XA_ZERO_ENTRY`) or a pointer to an object, of which the array owns
/// a reference.
#[pin_data(PinnedDrop)]
pub(crate) struct RcuXArray<T: 'static> {
    #[pin]
    array: XArray,
    _objects: PhantomData<ARef<RcuObject<T>>>,
}

impl<T: 'static> RcuXArray<T> {
    fn init(flags: bindings::gfp_t) -> impl PinInit<Self> {
        pin_init!(Self {
            array <- XArray::new(flags),
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
    pub(crate) fn get<'a>(&self, index: u32, guard: &'a rcu::Guard) -> Option<&'a RcuObject<T>> {
        Entry::new(xa_load(&self.array, index as usize), guard).object()
    }

    /// Calls `each` for all marked objects, in the order of their indices.
    ///
    /// It may leave out or not what other tasks insert or remove at the same time.
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
        guard: &'a rcu::Guard,
        mut done: impl FnMut(&'a RcuObject<T>) -> bool,
    ) {
        let state = Opaque::uninit();
        let array = self.array.array.get().cast();
        // SAFETY: `array` is a valid array by the invariants of `XArray`, and `state` is valid for
        // writing. This is in the read-side critical section of `guard`.
        let mut entry =
            unsafe { bindings::ioipc_xa_first_marked(state.get(), array, index as usize) };
        while let Some(object) = Entry::new(entry, guard).object() {
            if done(object) {
                return;
            }
            // SAFETY: The call above initialized `state`, in the same read-side critical section.
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
    fn find<'a>(&self, index: &mut usize, guard: &'a rcu::Guard) -> Option<&'a RcuObject<T>> {
        let entry = xa_find(&self.array, index, usize::MAX, bindings::XA_PRESENT);
        Entry::new(entry, guard).object()
    }

    /// Returns an index that has an object, if there is one.
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
        self.put(index, object, false, marked)
    }

    /// Reserves an index from 1 to `i32::MAX` that has not been in use for long. May sleep.
    pub(crate) fn reserve(&self) -> Result<u32> {
        let mut index = 0;
        let result = ioipc_xa_reserve_cyclic(&self.array, &mut index);
        if result < 0 {
            return Err(Error::from_errno(result));
        }
        Ok(index)
    }

    /// Puts an object at an index that is reserved, which takes no memory, and marks it.
    pub(crate) fn fill(&self, index: u32, object: ARef<RcuObject<T>>) -> Result {
        self.put(index, object, true, true)
    }

    fn put(&self, index: u32, object: ARef<RcuObject<T>>, reserved: bool, marked: bool) -> Result {
        let entry = ARef::into_raw(object);
        let array = self.array.array.get().cast();
        // INVARIANT: If this succeeds, the array owns the reference.
        // SAFETY: `array` is a valid array by the invariants of `XArray`.
        let result = to_result(unsafe {
            let index = index as usize;
            bindings::ioipc_xa_put(array, index, entry.as_ptr().cast(), reserved, marked)
        });
        if result.is_err() {
            // SAFETY: The array did not take the reference.
            drop(unsafe { ARef::from_raw(entry) });
        }
        result
    }

    /// Takes what is at `index` out: the object, or just the reservation.
    pub(crate) fn remove(&self, index: u32) -> Option<ARef<RcuObject<T>>> {
        // INVARIANT: The reference that the array had passes to the caller.
        let entry = xa_erase(&self.array, index as usize);
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
        xa_destroy(&self.array);
    }
}
