// SPDX-License-Identifier: GPL-2.0

//! The memory of a channel: header, slots and messages, as receivers map it.
//!
//! The kernel sees the region at a contiguous address of its own, user space only through pages
//! mapped read-only. Nevertheless what steers the kernel is read back from it only where it cannot
//! be elsewhere: the words of the ring, whom a message is for, and its length, which is clamped. And
//! there are no references to it: it is accessed with raw pointers and atomics.
//!
//! Nothing here locks. What allocates or maps may sleep, what copies does not.

use core::ptr::{self, NonNull};

use kernel::{
    mm::virt::VmaMixedMap,
    page::{Page, PAGE_SHIFT, PAGE_SIZE},
    prelude::*,
    sync::atomic::{Atomic, Relaxed},
};

use crate::{
    kernel::{alloc::GFP_MAYFAIL, bindings, compat::barrier},
    memory::{buffer::Buffer, user_buffer::NotPresent},
    ring::{self, Claim, Reservation},
    uapi::{self, MessageDescriptor, MessageInfo, RingHeader},
};

/// Where receivers of a broadcast map their own page: behind any region.
pub(crate) const CURSOR_OFFSET: u64 = 1 << 32;

/// Messages begin at multiples of this, so that neighbours share no cache line.
const MESSAGE_ALIGN: u64 = 64;

/// After how many pages to look again how much memory is left.
const CHUNK: usize = 256;

/// Where things are in a region, in bytes.
#[derive(Clone, Copy)]
struct Layout {
    entries: u32,
    max_msg_size: u32,
    desc_offset: u32,
    data_offset: u32,
    data_stride: u32,
    size: u32,
}

impl Layout {
    /// # Errors
    ///
    /// `EINVAL` if a number is out of bounds, or the region would be larger than `INT_MAX`.
    fn new(entries: u32, max_msg_size: u32) -> Result<Self> {
        if !entries.is_power_of_two()
            || entries > uapi::IOIPC_MAX_RING_ENTRIES
            || max_msg_size == 0
            || max_msg_size > uapi::IOIPC_MAX_MSG_SIZE
        {
            return Err(EINVAL);
        }
        // None of this overflows: at most 2^15 slots, of 2^20 bytes each.
        let desc_offset = size_of::<RingHeader>() as u64;
        let desc_size = u64::from(entries) * size_of::<MessageDescriptor>() as u64;
        let data_offset = (desc_offset + desc_size).next_multiple_of(PAGE_SIZE as u64);
        let data_stride = u64::from(max_msg_size).next_multiple_of(MESSAGE_ALIGN);
        let size =
            (data_offset + u64::from(entries) * data_stride).next_multiple_of(PAGE_SIZE as u64);
        if size > i32::MAX as u64 {
            return Err(EINVAL);
        }
        // CAST: All of them are at most `size`.
        Ok(Self {
            entries,
            max_msg_size,
            desc_offset: desc_offset as u32,
            data_offset: data_offset as u32,
            data_stride: data_stride as u32,
            size: size as u32,
        })
    }

    fn pages(&self) -> usize {
        self.size as usize >> PAGE_SHIFT
    }
}

/// Pages that are charged to a user's `RLIMIT_MEMLOCK`, given back when this is dropped.
///
/// # Invariants
///
/// `pages` are charged to `user`, of which this has a reference; or it is null and nothing is.
struct MemoryCharge {
    user: *mut bindings::user_struct,
    pages: usize,
}

impl MemoryCharge {
    fn new(account: &Account, pages: usize) -> Result<Self> {
        let mut user = ptr::null_mut();
        // INVARIANT: This charges the pages and gets the reference.
        // SAFETY: The io_uring instance is valid by the type invariants of `Account`.
        kernel::error::to_result(unsafe {
            bindings::io_uring_ipc_account_mem(account.0.as_ptr(), pages, &mut user)
        })?;
        Ok(Self { user, pages })
    }
}

impl Drop for MemoryCharge {
    fn drop(&mut self) {
        // SAFETY: By the type invariants this is what is charged.
        unsafe { bindings::io_uring_ipc_unaccount_mem(self.user, self.pages) };
    }
}

/// Whom memory is charged to: the user of an io_uring instance.
///
/// # Invariants
///
/// The instance is valid as long as this exists.
pub(crate) struct Account(NonNull<bindings::io_ring_ctx>);

impl Account {
    /// # Safety
    ///
    /// The instance is valid as long as the result exists.
    pub(crate) unsafe fn new(ring: NonNull<bindings::io_ring_ctx>) -> Self {
        // INVARIANT: By the requirements of this function.
        Self(ring)
    }
}

// SAFETY: The user of an instance never changes, and can be charged by any thread.
unsafe impl Send for Account {}

// SAFETY: As above.
unsafe impl Sync for Account {}

/// What a message is, apart from its bytes.
pub(crate) struct Description {
    pub(crate) len: u32,
    pub(crate) sender_data: u64,
    pub(crate) sender: u32,
}

/// A region of memory for a ring and its messages.
///
/// # Invariants
///
/// `base` is where `pages` are mapped in the kernel one after another, for as long as this exists.
/// `layout.size` is their size, and all that `layout` describes lies within. `layout.entries` is a
/// power of two and `mask` is that less one. `descriptors` and `messages` are where those of the
/// first slot are. All accesses to header and descriptors are atomic. The message of a slot is
/// written only by who has the [`Reservation`], and read only by who has a [`Claim`].
pub(crate) struct Region {
    // What every message needs comes first, and is ready for use.
    mask: u32,
    data_stride: u32,
    descriptors: NonNull<u8>,
    messages: NonNull<u8>,
    base: NonNull<u8>,
    layout: Layout,
    pages: KVVec<Page>,
    _charge: MemoryCharge,
}

// SAFETY: Accesses are atomic, or made by the owner of the slot, by the type invariants.
unsafe impl Send for Region {}

// SAFETY: As above.
unsafe impl Sync for Region {}

impl Region {
    /// Allocates a region of zeroes with its header filled in, for a channel whose receivers have
    /// cursors or not. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the numbers are out of bounds, `ENOMEM` if there is no memory or it is beyond
    /// the caller's memory cgroup or the `RLIMIT_MEMLOCK` of `account`.
    pub(crate) fn new(
        entries: u32,
        max_msg_size: u32,
        has_cursors: bool,
        account: &Account,
    ) -> Result<Self> {
        let layout = Layout::new(entries, max_msg_size)?;
        let charge = MemoryCharge::new(account, layout.pages())?;

        let mut pages = KVVec::with_capacity(layout.pages(), GFP_MAYFAIL)?;
        let mut pointers = KVVec::with_capacity(layout.pages(), GFP_MAYFAIL)?;
        for number in 0..layout.pages() {
            if bindings::ioipc_fatal_signal_pending() {
                return Err(EINTR);
            }
            // Whoever needs a page meanwhile must find one, or somebody is killed for that. And
            // what describes the pages and the slots takes up to an eighth more.
            if number % CHUNK == 0 && !bindings::ioipc_is_memory_left(layout.pages() / 8) {
                return Err(ENOMEM);
            }
            let page = Page::alloc_page(GFP_MAYFAIL | __GFP_ZERO)?;
            pointers.push(page.as_ptr(), GFP_MAYFAIL)?;
            pages.push(page, GFP_MAYFAIL)?;
        }
        // CAST: There are fewer than 2^19 pages.
        // SAFETY: These are as many valid pages as said.
        let base = unsafe { bindings::ioipc_vmap(pointers.as_mut_ptr(), pages.len() as u32) };
        let base = NonNull::new(base.cast::<u8>()).ok_or(ENOMEM)?;
        // INVARIANT: The pages stay as long as they are mapped, see `drop`.
        let region = Self {
            mask: layout.entries - 1,
            data_stride: layout.data_stride,
            // SAFETY: By `Layout::new` it lies within the pages.
            descriptors: unsafe { base.add(layout.desc_offset as usize) },
            // SAFETY: As above.
            messages: unsafe { base.add(layout.data_offset as usize) },
            base,
            layout,
            pages,
            _charge: charge,
        };
        region.fill_header();
        region.fill_offsets();
        if has_cursors {
            region.cursor_offset().store(CURSOR_OFFSET, Relaxed);
        }
        Ok(region)
    }

    /// The atomic at `offset` from `start`.
    ///
    /// # Safety
    ///
    /// `start` is that of the header or of a descriptor, and a `T` is there in it.
    #[inline(always)]
    unsafe fn atomic_at<T: kernel::sync::atomic::AtomicType>(
        &self,
        start: NonNull<u8>,
        offset: usize,
    ) -> &Atomic<T> {
        // SAFETY: It is within the mapping.
        let pointer = unsafe { start.add(offset) };
        // SAFETY: It is valid as long as `self` by the type invariants, aligned, and all accesses
        // are atomic.
        unsafe { Atomic::from_ptr(pointer.cast::<T>().as_ptr()) }
    }

    /// The atomic at `offset` in the header.
    ///
    /// # Safety
    ///
    /// A `T` is there.
    #[inline(always)]
    unsafe fn atomic<T: kernel::sync::atomic::AtomicType>(&self, offset: usize) -> &Atomic<T> {
        // SAFETY: The header is at the start, and the caller vouches for the offset.
        unsafe { self.atomic_at(self.base, offset) }
    }

    fn fill_header(&self) {
        let layout = &self.layout;
        let fields = [
            (
                core::mem::offset_of!(RingHeader, ring_mask),
                layout.entries - 1,
            ),
            (
                core::mem::offset_of!(RingHeader, ring_entries),
                layout.entries,
            ),
            (
                core::mem::offset_of!(RingHeader, max_msg_size),
                layout.max_msg_size,
            ),
            (
                core::mem::offset_of!(RingHeader, version),
                uapi::IOIPC_RING_VERSION,
            ),
            (
                core::mem::offset_of!(RingHeader, desc_offset),
                layout.desc_offset,
            ),
            // CAST: It is 64.
            (
                core::mem::offset_of!(RingHeader, desc_stride),
                size_of::<MessageDescriptor>() as u32,
            ),
            (
                core::mem::offset_of!(RingHeader, data_offset),
                layout.data_offset,
            ),
            (
                core::mem::offset_of!(RingHeader, data_stride),
                layout.data_stride,
            ),
        ];
        for (offset, value) in fields {
            // SAFETY: It is the offset of a `u32` of the header.
            unsafe { self.atomic::<u32>(offset) }.store(value, Relaxed);
        }
    }

    fn cursor_offset(&self) -> &Atomic<u64> {
        // SAFETY: It is a `u64` of the header.
        unsafe { self.atomic(core::mem::offset_of!(RingHeader, cursor_offset)) }
    }

    /// Not 0 if senders may be waiting, for everybody to see.
    #[inline(always)]
    pub(crate) fn senders_wait(&self) -> &Atomic<u32> {
        // SAFETY: It is a `u32` of the header.
        unsafe { self.atomic(core::mem::offset_of!(RingHeader, senders_wait)) }
    }

    /// Size in bytes.
    pub(crate) fn size(&self) -> u32 {
        self.layout.size
    }

    /// The number that a message has for user space.
    #[inline]
    pub(crate) fn message_id(position: u32) -> u32 {
        position.wrapping_add(1)
    }

    /// Size of the largest message in bytes.
    pub(crate) fn max_msg_size(&self) -> u32 {
        self.layout.max_msg_size
    }

    /// Says in each descriptor where the message of its slot is, which never changes.
    fn fill_offsets(&self) {
        for index in 0..self.layout.entries {
            let offset = u64::from(self.layout.data_offset)
                + u64::from(index) * u64::from(self.layout.data_stride);
            self.field_u64(index, core::mem::offset_of!(MessageDescriptor, offset))
                .store(offset, Relaxed);
        }
    }

    /// The descriptor of a slot. Any index is taken modulo the number of slots.
    #[inline(always)]
    fn descriptor(&self, index: u32) -> NonNull<u8> {
        let offset = (index & self.mask) as usize * size_of::<MessageDescriptor>();
        // SAFETY: It is within the mapping by the type invariants.
        unsafe { self.descriptors.add(offset) }
    }

    /// The message of a slot: valid for `max_msg_size` bytes.
    #[inline(always)]
    fn message(&self, index: u32) -> NonNull<u8> {
        let offset = (index & self.mask) as usize * self.data_stride as usize;
        // SAFETY: It is within the mapping by the type invariants.
        unsafe { self.messages.add(offset) }
    }

    #[inline(always)]
    fn field_u32(&self, index: u32, field: usize) -> &Atomic<u32> {
        // SAFETY: `field` is the offset of a `u32` in a descriptor: this is only called here with
        // `offset_of!`.
        unsafe { self.atomic_at(self.descriptor(index), field) }
    }

    #[inline(always)]
    fn field_u64(&self, index: u32, field: usize) -> &Atomic<u64> {
        // SAFETY: `field` is the offset of a `u64` in a descriptor: this is only called here with
        // `offset_of!`.
        unsafe { self.atomic_at(self.descriptor(index), field) }
    }

    /// Length of the message of a slot: final if the caller has claimed it, otherwise a guess.
    #[inline]
    pub(crate) fn message_len(&self, index: u32) -> u32 {
        self.field_u32(index, core::mem::offset_of!(MessageDescriptor, len))
            .load(Relaxed)
            .min(self.layout.max_msg_size)
    }

    /// Writes what the descriptor says about the message.
    #[inline]
    pub(crate) fn describe(&self, slot: &Reservation<'_, Self>, description: &Description) {
        let index = slot.index();
        self.field_u32(index, core::mem::offset_of!(MessageDescriptor, len))
            .store(description.len, Relaxed);
        self.field_u32(index, core::mem::offset_of!(MessageDescriptor, msg_id))
            .store(Self::message_id(slot.position()), Relaxed);
        self.field_u64(index, core::mem::offset_of!(MessageDescriptor, sender_data))
            .store(description.sender_data, Relaxed);
        self.field_u32(index, core::mem::offset_of!(MessageDescriptor, sender))
            .store(description.sender, Relaxed);
    }

    /// Fills in what the descriptor says about a message, except its length.
    pub(crate) fn read_description(&self, claim: &Claim<'_, Self>, info: &mut MessageInfo) {
        let index = claim.index();
        info.msg_id = self
            .field_u32(index, core::mem::offset_of!(MessageDescriptor, msg_id))
            .load(Relaxed);
        info.sender_data = self
            .field_u64(index, core::mem::offset_of!(MessageDescriptor, sender_data))
            .load(Relaxed);
        info.sender = self
            .field_u32(index, core::mem::offset_of!(MessageDescriptor, sender))
            .load(Relaxed);
    }

    /// Copies a message from the buffer of a request into its slot.
    #[inline]
    pub(crate) fn copy_in(
        &self,
        slot: &Reservation<'_, Self>,
        from: Buffer<'_>,
    ) -> Result<(), NotPresent> {
        if from.len() > self.layout.max_msg_size {
            return Err(NotPresent);
        }
        // SAFETY: The message of a slot has room for that, and nobody else uses it.
        unsafe { from.copy_to(self.message(slot.index()).as_ptr()) }
    }

    /// Copies a message from kernel memory into its slot. It must not be larger than the largest.
    pub(crate) fn copy_in_kernel(&self, slot: &Reservation<'_, Self>, from: &[u8]) {
        let len = from.len().min(self.layout.max_msg_size as usize);
        let to = self.message(slot.index()).as_ptr();
        // SAFETY: The message of a slot has room for that, and nobody else uses it.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), to, len) };
    }

    /// Copies the first `len` bytes of a message to `offset` in the buffer of a request, after
    /// `info` if there is one. They are as many at most as the message has.
    #[inline(always)]
    pub(crate) fn copy_out(
        &self,
        claim: &Claim<'_, Self>,
        to: Buffer<'_>,
        offset: u32,
        info: Option<&MessageInfo>,
        len: u32,
    ) -> Result<(), NotPresent> {
        let len = len.min(self.layout.max_msg_size);
        let from = self.message(claim.index()).as_ptr();
        match info {
            // SAFETY: No message is longer than its slot, and nobody writes it.
            None => unsafe { to.copy_from(offset, from, len) },
            // SAFETY: As above.
            Some(info) => unsafe { to.copy_from_with_info(offset, info, from, len) },
        }
    }

    /// Maps the region, or the beginning of it, into the address space of a process. May sleep,
    /// called with the mmap lock held.
    pub(crate) fn map(&self, area: &VmaMixedMap) -> Result {
        let count = (area.end() - area.start()) >> PAGE_SHIFT;
        for (number, page) in self.pages.iter().take(count).enumerate() {
            area.vm_insert_page(area.start() + (number << PAGE_SHIFT), page)?;
        }
        Ok(())
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: It was mapped with `vmap()`. The pages are freed after this, unless they are
        // still mapped to user space, which has references to them.
        unsafe { bindings::vunmap(self.base.as_ptr().cast()) };
    }
}

// The states of a slot and the flag of a closed ring are part of the ABI.
const _: () = assert!(ring::State::Ready as u32 == uapi::IOIPC_MSG_READY);
const _: () = assert!(ring::State::Claimed as u32 == uapi::IOIPC_MSG_CLAIMED);
const _: () = assert!(ring::State::Free as u32 == uapi::IOIPC_MSG_FREE);
const _: () = assert!(ring::Ring::<Region>::CLOSED == uapi::IOIPC_RING_CLOSED);

impl ring::Memory for Region {
    type U32 = Atomic<u32>;
    type U64 = Atomic<u64>;

    #[inline(always)]
    fn entries(&self) -> u32 {
        // The compiler sees that an index of the ring does not have to be masked again.
        self.mask.wrapping_add(1)
    }

    #[inline(always)]
    fn producer(&self) -> &Atomic<u64> {
        // SAFETY: `producer.head` and `producer.tail` are two `u32` at a multiple of 8.
        unsafe { self.atomic(core::mem::offset_of!(RingHeader, producer)) }
    }

    #[inline(always)]
    fn consumer(&self) -> &Atomic<u64> {
        // SAFETY: `consumer.head` and what follows are two `u32` at a multiple of 8.
        unsafe { self.atomic(core::mem::offset_of!(RingHeader, consumer)) }
    }

    #[inline(always)]
    fn slot(&self, index: u32) -> &Atomic<u64> {
        // `seq` and `state` are two `u32` at a multiple of 8.
        self.field_u64(index, core::mem::offset_of!(MessageDescriptor, seq))
    }

    #[inline(always)]
    fn target(&self, index: u32) -> &Atomic<u32> {
        self.field_u32(index, core::mem::offset_of!(MessageDescriptor, target))
    }

    #[inline(always)]
    fn full_barrier() {
        barrier::smp_mb(barrier::Full);
    }
}
