// SPDX-License-Identifier: GPL-2.0

//! The memory of a channel: header, slots and messages, as receivers map it.
//!
//! The kernel maps the pages of a region one after another for itself. User space maps them
//! read-only. Nevertheless the kernel reads back only what cannot be elsewhere: the words of the
//! ring, the target of a message, and its length, which the kernel clamps. The kernel accesses header
//! and descriptors with atomics, and messages with raw pointers. It has no reference to plain data
//! there.
//!
//! Nothing here locks. A function that allocates or maps may sleep. A function that copies does not.

use core::{cell::UnsafeCell, num::NonZeroU32, ptr::NonNull};

use kernel::{
    mm::virt::VmaMixedMap,
    page::{Page, PAGE_SHIFT, PAGE_SIZE},
    prelude::*,
    sync::atomic::{Atomic, Relaxed},
};

use crate::{
    kernel::{
        alloc::GFP_MAYFAIL, bindings, compat::barrier, identity::Identity, mapping::Mapping,
        pointer::Pointer,
    },
    memory::{
        buffer::Buffer,
        bytes::{Bytes, Room},
        charge::{Account, MemoryCharge},
        layout::{Descriptor, Header},
        user_buffer::NotPresent,
    },
    ring::{self, Claim, Reservation},
    uapi::{self, MessageInfo},
};

/// The offset at which a receiver of a broadcast maps its own page: behind any region.
pub(crate) const CURSOR_OFFSET: u64 = 1 << 32;

/// Messages begin at multiples of this, so that neighbors share no cache line.
const MESSAGE_ALIGN: u64 = 64;

/// How many pages to allocate before looking again how much memory is left.
const CHUNK: usize = 256;

/// The numbers that describe a region; offsets and sizes are in bytes.
#[derive(Clone, Copy)]
struct Layout {
    entries: u32,
    max_msg_size: u32,
    /// How many slots a message of this size takes.
    largest: u32,
    desc_offset: u32,
    data_offset: u32,
    data_stride: u32,
    size: u32,
}

impl Layout {
    /// # Errors
    ///
    /// `EINVAL` if a number is out of bounds, or the region would be larger than `INT_MAX`.
    fn new(sizes: Sizes) -> Result<Self> {
        let Sizes {
            entries,
            max_msg_size,
            slot_size,
        } = sizes;
        if !entries.is_power_of_two()
            || entries > uapi::IOIPC_MAX_RING_ENTRIES
            || !(1..=uapi::IOIPC_MAX_MSG_SIZE).contains(&slot_size)
            || !(slot_size..=uapi::IOIPC_MAX_LARGE_MSG_SIZE).contains(&max_msg_size)
        {
            return Err(EINVAL);
        }
        // None of this overflows: at most 2^15 slots, of 2^20 bytes each.
        let desc_offset = size_of::<Header>() as u64;
        let desc_size = u64::from(entries) * size_of::<Descriptor>() as u64;
        let data_offset = (desc_offset + desc_size).next_multiple_of(PAGE_SIZE as u64);
        let data_stride = u64::from(slot_size).next_multiple_of(MESSAGE_ALIGN);
        let largest = u64::from(max_msg_size).div_ceil(data_stride);
        let size =
            (data_offset + u64::from(entries) * data_stride).next_multiple_of(PAGE_SIZE as u64);
        if (largest > 1 && largest > u64::from(entries / 4)) || size > i32::MAX as u64 {
            return Err(EINVAL);
        }
        // CAST: All of them are at most `size`.
        Ok(Self {
            entries,
            max_msg_size,
            largest: largest as u32,
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

/// What the caller of CREATE wants of a region.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    /// How many slots.
    pub(crate) entries: u32,
    /// Of the largest message, in bytes.
    pub(crate) max_msg_size: u32,
    /// Of the largest message that takes no more than one slot, in bytes.
    pub(crate) slot_size: u32,
}

/// What a descriptor says about a message.
pub(crate) struct Description {
    pub(crate) len: u32,
    pub(crate) sender_data: u64,
    pub(crate) sender: u32,
    pub(crate) is_call: bool,
}

/// A region of memory for a ring and its messages. Beside it is the sender of the message in each slot,
/// which user space does not see.
///
/// # Invariants
///
/// - At the start of `mapping` is the [`Header`], and all that `layout` describes lies within.
/// - `layout.entries` is a power of two, and `mask` is that less one.
/// - `descriptors` is where the descriptors of all slots are, and `messages` where their messages are,
///   at multiples of `data_stride`.
/// - All accesses to header and descriptors are atomic.
/// - `data_size` is how many bytes there are from `messages` on.
/// - In the kernel, only the holder of the [`Reservation`] of slots writes the message and the sender
///   there, and only the holder of a [`Claim`] reads them. The ring gives out a reservation of
///   slots only if there is neither another one nor a claim, and it orders their accesses.
#[repr(C)]
pub(crate) struct Region {
    // Each message needs these fields, so they share cache lines.
    mask: u32,
    data_stride: u32,
    descriptors: Pointer<Descriptor>,
    messages: Pointer<u8>,
    data_size: u32,
    /// The largest message that takes one slot, in bytes.
    max_single: u32,
    /// See [`ring::Memory`].
    largest: u32,
    roomy: u32,
    mapping: Mapping,
    /// The sender of the message in each slot.
    senders: KVVec<SenderCell>,
    layout: Layout,
    _charge: MemoryCharge,
}

/// The sender of the message in a slot. The type invariants of [`Region`] say when the kernel accesses
/// it.
#[derive(Default)]
struct SenderCell(UnsafeCell<Identity>);

// SAFETY: `&SenderCell` gives out no more than a pointer. An `Identity` is `Send` and `Sync`.
unsafe impl Sync for SenderCell {}

impl Region {
    /// Allocates a region of zeroes and fills in its header. `has_cursors` says whether the receivers
    /// of the channel have cursors. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the numbers are out of bounds. `ENOMEM` if there is no memory, or if it exceeds the
    /// caller's memory cgroup or the `RLIMIT_MEMLOCK` of `account`. `EINTR` if the caller is killed.
    pub(crate) fn new(sizes: Sizes, has_cursors: bool, account: &Account) -> Result<Self> {
        let layout = Layout::new(sizes)?;
        let charge = MemoryCharge::new(account, layout.pages())?;
        let mapping = Mapping::new(Self::allocate(layout.pages())?)?;
        let mut senders = KVVec::with_capacity(layout.entries as usize, GFP_MAYFAIL)?;
        for _ in 0..layout.entries {
            senders.push(SenderCell::default(), GFP_MAYFAIL)?;
        }
        let at = |offset: u32| mapping.base().as_ptr().wrapping_add(offset as usize);
        // INVARIANT: By `Layout::new` all of it lies within the pages, aligned. Nothing else has
        // their address.
        let region = Self {
            mask: layout.entries - 1,
            data_stride: layout.data_stride,
            descriptors: Pointer::new(at(layout.desc_offset).cast()).ok_or(ENOMEM)?,
            messages: Pointer::new(at(layout.data_offset)).ok_or(ENOMEM)?,
            data_size: layout.entries * layout.data_stride,
            max_single: layout.max_msg_size.min(layout.data_stride),
            largest: layout.largest,
            roomy: layout.entries + 1 - 2 * layout.largest,
            senders,
            layout,
            mapping,
            _charge: charge,
        };
        region.fill_header(has_cursors);
        region.fill_offsets();
        Ok(region)
    }

    /// Allocates pages of zeroes. May sleep.
    fn allocate(count: usize) -> Result<KVVec<Page>> {
        let mut pages = KVVec::with_capacity(count, GFP_MAYFAIL)?;
        for number in 0..count {
            if bindings::ioipc_fatal_signal_pending() {
                return Err(EINTR);
            }
            // A task that needs a page now or later must find one, or the kernel kills a task for
            // it. And what describes the pages and the slots takes up to an eighth more.
            if number % CHUNK == 0 && !bindings::ioipc_is_memory_left(count / 8) {
                return Err(ENOMEM);
            }
            pages.push(Page::alloc_page(GFP_MAYFAIL | __GFP_ZERO)?, GFP_MAYFAIL)?;
        }
        Ok(pages)
    }

    #[inline(always)]
    fn header(&self) -> &Header {
        let header = self.mapping.base().cast::<Header>();
        // SAFETY: By the type invariants the header is there, and all accesses to it are atomic.
        unsafe { header.as_ref() }
    }

    fn fill_header(&self, has_cursors: bool) {
        let header = self.header();
        let layout = &self.layout;
        header.ring_mask.store(layout.entries - 1, Relaxed);
        header.ring_entries.store(layout.entries, Relaxed);
        header.max_msg_size.store(layout.max_msg_size, Relaxed);
        let version = if layout.largest > 1 {
            uapi::IOIPC_RING_VERSION_LARGE
        } else {
            uapi::IOIPC_RING_VERSION
        };
        header.version.store(version, Relaxed);
        header.desc_offset.store(layout.desc_offset, Relaxed);
        // CAST: It is 64.
        let desc_stride = size_of::<Descriptor>() as u32;
        header.desc_stride.store(desc_stride, Relaxed);
        header.data_offset.store(layout.data_offset, Relaxed);
        header.data_stride.store(layout.data_stride, Relaxed);
        if has_cursors {
            header.cursor_offset.store(CURSOR_OFFSET, Relaxed);
        }
    }

    /// Not 0 if senders may be waiting. User space looks at it, too.
    #[inline(always)]
    pub(crate) fn senders_wait(&self) -> &Atomic<u32> {
        &self.header().senders_wait
    }

    /// Size in bytes.
    pub(crate) fn size(&self) -> u32 {
        self.layout.size
    }

    /// The number of the message at a position, as user space knows it.
    #[inline]
    pub(crate) fn message_id(position: u32) -> u32 {
        position.wrapping_add(1)
    }

    /// Size of the largest message in bytes.
    pub(crate) fn max_msg_size(&self) -> u32 {
        self.layout.max_msg_size
    }

    /// From one slot to the next, in bytes.
    pub(crate) fn slot_size(&self) -> u32 {
        self.data_stride
    }

    /// Whether a message of `len` bytes takes one slot.
    #[inline(always)]
    pub(crate) fn is_single(&self, len: u32) -> bool {
        len <= self.max_single
    }

    /// How many slots a message of `len` bytes takes. `None` if it is larger than the largest.
    pub(crate) fn slots(&self, len: u32) -> Option<u32> {
        if self.is_single(len) {
            return Some(1);
        }
        let slot_size = NonZeroU32::new(self.data_stride)?;
        (len <= self.layout.max_msg_size).then(|| (len - 1) / slot_size + 1)
    }

    /// Says in each descriptor where the message of its slot is, which never changes.
    fn fill_offsets(&self) {
        for index in 0..self.layout.entries {
            let offset = u64::from(self.layout.data_offset)
                + u64::from(index) * u64::from(self.layout.data_stride);
            self.descriptor(index).offset.store(offset, Relaxed);
        }
    }

    /// The descriptor of a slot. Any index is taken modulo the number of slots.
    #[inline(always)]
    fn descriptor(&self, index: u32) -> &Descriptor {
        let offset = (index & self.mask) as usize * size_of::<Descriptor>();
        // SAFETY: By the type invariants the slot has its descriptor there, within the mapping.
        let descriptor = unsafe { self.descriptors.get().byte_add(offset) };
        // SAFETY: As above, and all accesses to the descriptor are atomic.
        unsafe { descriptor.as_ref() }
    }

    /// Where the message of a slot begins, and how many bytes there are to the end of the mapping. Any
    /// index is taken modulo the number of slots.
    #[inline(always)]
    fn message(&self, index: u32) -> (NonNull<u8>, u32) {
        // It does not overflow: the size of all messages fits.
        let offset = (index & self.mask) * self.data_stride;
        // SAFETY: By the type invariants the slot has its message there, within the mapping.
        let start = unsafe { self.messages.get().add(offset as usize) };
        (start, self.data_size - offset)
    }

    /// The slots of a message, for its sender to fill.
    #[inline(always)]
    fn room<'a>(slot: &'a mut Reservation<'_, Self>) -> Room<'a> {
        let region = slot.memory();
        let (start, _) = region.message(slot.index());
        let len = slot.slots() * region.data_stride;
        // SAFETY: The slots of a reservation lie in one piece before the end of the mapping, and are
        // valid as long as the region. By the type invariants only the holder of the reservation
        // accesses them, and the reservation is borrowed for as long as the result.
        unsafe { Room::new(start, len) }
    }

    /// The first `len` bytes of a message, which has so many: or as many as there are in the mapping.
    #[inline(always)]
    fn bytes<'a>(claim: &'a Claim<'_, Self>, len: u32) -> Bytes<'a> {
        let (start, rest) = claim.memory().message(claim.index());
        // SAFETY: These bytes are valid as long as the region. By the type invariants nothing writes
        // a message while there is a claim, and the claim is borrowed for as long as the result.
        unsafe { Bytes::new(start, len.min(rest)) }
    }

    /// Length of the message of a slot: final if the caller has claimed it, otherwise a guess.
    #[inline]
    pub(crate) fn message_len(&self, index: u32) -> u32 {
        let len = self.descriptor(index).len.load(Relaxed);
        len.min(self.layout.max_msg_size)
    }

    /// Writes what the descriptor says about the message.
    #[inline]
    pub(crate) fn describe(&self, slot: &Reservation<'_, Self>, description: &Description) {
        let descriptor = self.descriptor(slot.index());
        descriptor.len.store(description.len, Relaxed);
        descriptor
            .msg_id
            .store(Self::message_id(slot.position()), Relaxed);
        descriptor
            .sender_data
            .store(description.sender_data, Relaxed);
        let call = if description.is_call {
            uapi::IOIPC_MSG_CALL
        } else {
            0
        };
        descriptor.sender.store(description.sender | call, Relaxed);
        descriptor.slots.store(slot.slots(), Relaxed);
    }

    /// Fills in what the descriptor says about a message, except its length.
    pub(crate) fn read_description(&self, claim: &Claim<'_, Self>, info: &mut MessageInfo) {
        let descriptor = self.descriptor(claim.index());
        info.msg_id = descriptor.msg_id.load(Relaxed);
        info.sender_data = descriptor.sender_data.load(Relaxed);
        let sender = descriptor.sender.load(Relaxed);
        info.sender = sender & !uapi::IOIPC_MSG_CALL;
        if sender & uapi::IOIPC_MSG_CALL != 0 {
            info.flags |= uapi::IOIPC_INFO_CALL;
        }
    }

    /// Whether a message is a call.
    #[inline(always)]
    pub(crate) fn is_call(&self, claim: &Claim<'_, Self>) -> bool {
        let sender = self.descriptor(claim.index()).sender.load(Relaxed);
        sender & uapi::IOIPC_MSG_CALL != 0
    }

    /// Remembers who sends the message in a slot. A slot keeps its reference to a process until
    /// another process sends in it, so a process that sends again and again takes none.
    #[inline(always)]
    pub(crate) fn stamp(slot: &mut Reservation<'_, Self>, sender: &Identity) {
        let Some(cell) = slot.memory().senders.get(slot.index() as usize) else {
            return;
        };
        // SAFETY: By the type invariants only the holder of the reservation accesses it, and the
        // reservation is borrowed exclusively.
        unsafe { &mut *cell.0.get() }.clone_from(sender);
    }

    /// The sender of a message.
    #[inline]
    pub(crate) fn sender<'a>(claim: &'a Claim<'_, Self>) -> Option<&'a Identity> {
        let cell = claim.memory().senders.get(claim.index() as usize)?;
        // SAFETY: By the type invariants nothing writes it while there is a claim, and the claim is
        // borrowed for as long as the result.
        Some(unsafe { &*cell.0.get() })
    }

    /// Copies a message from the buffer of a request into its slot.
    ///
    /// # Errors
    ///
    /// [`NotPresent`], also if the message is larger than the largest.
    #[inline(always)]
    pub(crate) fn copy_in(
        slot: &mut Reservation<'_, Self>,
        from: Buffer<'_>,
    ) -> Result<(), NotPresent> {
        from.copy_to(Self::room(slot))
    }

    /// Copies a message from kernel memory into its slot. It must not be larger than the largest.
    pub(crate) fn copy_in_kernel(slot: &mut Reservation<'_, Self>, from: &[u8]) {
        Self::room(slot).fill(from);
    }

    /// Copies the first `len` bytes of a message to `offset` in the buffer of a request, after `info`
    /// if there is one.
    #[inline(always)]
    pub(crate) fn copy_out(
        claim: &Claim<'_, Self>,
        to: Buffer<'_>,
        offset: u32,
        info: Option<&MessageInfo>,
        len: u32,
    ) -> Result<(), NotPresent> {
        let from = Self::bytes(claim, len);
        match info {
            None => to.copy_from(offset, from),
            Some(info) => to.copy_from_with_info(offset, info, from),
        }
    }

    /// Maps the region, or the beginning of it, into the address space of a process. May sleep. The
    /// caller holds the mmap lock.
    pub(crate) fn map(&self, area: &VmaMixedMap) -> Result {
        let count = (area.end() - area.start()) >> PAGE_SHIFT;
        for (number, page) in self.mapping.pages().iter().take(count).enumerate() {
            area.vm_insert_page(area.start() + (number << PAGE_SHIFT), page)?;
        }
        Ok(())
    }
}

// What a slot word says and the flag of a closed ring are part of the ABI.
const _: () = assert!(ring::State::Ready as u32 == uapi::IOIPC_MSG_READY);
const _: () = assert!(ring::State::Claimed as u32 == uapi::IOIPC_MSG_CLAIMED);
const _: () = assert!(ring::State::Free as u32 == uapi::IOIPC_MSG_FREE);
const _: () = assert!(ring::STATE_BITS == uapi::IOIPC_MSG_STATE_BITS);
const _: () = assert!(ring::Ring::<Region>::CLOSED == uapi::IOIPC_RING_CLOSED);

impl ring::Memory for Region {
    type U32 = Atomic<u32>;
    type U64 = Atomic<u64>;

    #[inline(always)]
    fn entries(&self) -> u32 {
        // So the compiler sees that it need not mask an index of the ring again.
        self.mask.wrapping_add(1)
    }

    #[inline(always)]
    fn largest(&self) -> u32 {
        self.largest
    }

    #[inline(always)]
    fn roomy(&self) -> u32 {
        self.roomy
    }

    #[inline(always)]
    fn producer(&self) -> &Atomic<u64> {
        &self.header().producer
    }

    #[inline(always)]
    fn seen_head(&self) -> &Atomic<u32> {
        &self.header().seen_head
    }

    #[inline(always)]
    fn consumer(&self) -> &Atomic<u64> {
        &self.header().consumer
    }

    #[inline(always)]
    fn slowest(&self) -> &Atomic<u32> {
        &self.header().slowest
    }

    #[inline(always)]
    fn slot(&self, index: u32) -> &Atomic<u64> {
        &self.descriptor(index).seq
    }

    #[inline(always)]
    fn target(&self, index: u32) -> &Atomic<u32> {
        &self.descriptor(index).target
    }

    #[inline(always)]
    fn full_barrier() {
        barrier::smp_mb(barrier::Full);
    }
}
