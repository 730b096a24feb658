// SPDX-License-Identifier: MIT

//! The memory of a channel, as a receiver has mapped it.
//!
//! The kernel writes to this memory at any time, for any sender. So nothing here makes a reference
//! to it, except to atomics: descriptions are read with atomic loads, messages with volatile ones.
//! Each position that is read is checked with the head after the reads. And nothing here trusts
//! what it reads to stay inside of the mapping: the numbers that say where things are come from the
//! header, which is read and checked once, and messages are where these numbers say.

use std::{
    io,
    ops::Range,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    ptr::{null_mut, NonNull},
    sync::atomic::{fence, AtomicU32, AtomicU64, Ordering},
};

use crate::{
    endpoint::Endpoint,
    error::{Error, Result},
    sys,
};

/// A mapping of a file.
///
/// # Invariants
///
/// `len` bytes at `start` are mapped until this is dropped.
pub(crate) struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: A mapping belongs to the process, and this type only tells where it is.
unsafe impl Send for Mapping {}
// SAFETY: As above.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(file: BorrowedFd<'_>, protection: i32, offset: u64, len: usize) -> Result<Self> {
        let offset = offset.try_into().map_err(|_| Error::NotInPlace)?;
        // SAFETY: Without `MAP_FIXED` no other mapping changes.
        let start = unsafe {
            libc::mmap(
                null_mut(),
                len,
                protection,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                offset,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error().into());
        }
        Ok(Self {
            start: NonNull::new(start.cast()).expect("mmap(2) does not map address 0"),
            len,
        })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: By the invariant, and nobody uses the mapping any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// Where things are in a region.
///
/// # Invariants
///
/// The descriptions of `mask + 1` slots, and as many slots of `message_stride` bytes, are inside of
/// the region. Descriptions and slots are aligned to 8 bytes.
#[derive(Clone, Copy, Debug)]
struct Geometry {
    mask: u32,
    largest: usize,
    descriptions: usize,
    description_stride: usize,
    messages: usize,
    message_stride: usize,
}

impl Geometry {
    /// Maps the first `len` bytes of the region of a receiver, and reads the header.
    fn map(endpoint: &Endpoint, len: usize) -> Result<(Mapping, Self)> {
        if len < size_of::<sys::RingHeader>() || len > endpoint.map_len {
            return Err(Error::NotInPlace);
        }
        let file = endpoint.file.as_fd();
        let mapping = Mapping::new(file, libc::PROT_READ, endpoint.map_offset, len)?;
        // SAFETY: The mapping has at least as many bytes, and starts with a page.
        let geometry = unsafe { Self::read(mapping.start, endpoint.map_len) };
        Ok((mapping, geometry.ok_or(Error::NotInPlace)?))
    }

    /// Reads a header, and checks it against the size of the region.
    ///
    /// # Safety
    ///
    /// A [`sys::RingHeader`] can be read at `start`, which is aligned for it.
    unsafe fn read(start: NonNull<u8>, region_len: usize) -> Option<Self> {
        let ring = start.cast::<sys::RingHeader>().as_ptr();
        macro_rules! field {
            ($field:ident) => {{
                // SAFETY: By the caller's promise. This makes a pointer only.
                let field = unsafe { &raw mut (*ring).$field };
                // SAFETY: By the caller's promise. The kernel does not write to this field, and
                // if it did, it would do so atomically.
                unsafe { AtomicU32::from_ptr(field) }.load(Ordering::Relaxed)
            }};
        }
        let entries = field!(ring_entries);
        let geometry = Self {
            mask: entries.wrapping_sub(1),
            largest: field!(max_msg_size) as usize,
            descriptions: field!(desc_offset) as usize,
            description_stride: field!(desc_stride) as usize,
            messages: field!(data_offset) as usize,
            message_stride: field!(data_stride) as usize,
        };
        let fits = |offset: usize, stride: usize, len: usize| {
            let end = stride
                .checked_mul(geometry.mask as usize)
                .and_then(|last| last.checked_add(offset)?.checked_add(len));
            offset.is_multiple_of(8)
                && stride.is_multiple_of(8)
                && end.is_some_and(|end| end <= region_len)
        };
        let is_known = match field!(version) {
            sys::RING_VERSION => geometry.largest <= geometry.message_stride,
            sys::RING_VERSION_LARGE => true,
            _ => false,
        };
        let is_valid = is_known
            && entries.is_power_of_two()
            && entries <= sys::MAX_RING_ENTRIES
            && fits(
                geometry.descriptions,
                geometry.description_stride,
                size_of::<sys::MsgDesc>(),
            )
            && fits(
                geometry.messages,
                geometry.message_stride,
                geometry.message_stride,
            );
        is_valid.then_some(geometry)
    }

    /// How many bytes a message at a position can have: it does not reach beyond the last slot.
    fn longest(&self, position: u32) -> usize {
        let left = (self.mask - (position & self.mask)) as usize + 1;
        self.largest.min(left.saturating_mul(self.message_stride))
    }
}

/// The description of a message that was in the slot of its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) position: u32,
    pub(crate) len: usize,
    pub(crate) id: u32,
    pub(crate) sender_data: u64,
    pub(crate) sender: u32,
}

/// The region of a channel.
pub(crate) struct Region {
    mapping: Mapping,
    geometry: Geometry,
}

impl Region {
    /// Maps the region of a receiver that can map it.
    pub(crate) fn map(endpoint: &Endpoint) -> Result<Self> {
        let (mapping, geometry) = Geometry::map(endpoint, endpoint.map_len)?;
        Ok(Self { mapping, geometry })
    }

    /// The length of the largest message of the channel.
    pub(crate) fn largest_message(endpoint: &Endpoint) -> Result<usize> {
        let (_, geometry) = Geometry::map(endpoint, size_of::<sys::RingHeader>())?;
        Ok(geometry.largest)
    }

    /// How many slots there are.
    pub(crate) fn entries(&self) -> u32 {
        // The mask of 32768 entries is the largest.
        self.geometry.mask + 1
    }

    /// The position before which no slot is in use any more.
    fn head(&self) -> u32 {
        let ring = self.header();
        // SAFETY: The header is mapped. This makes a pointer only.
        let head = unsafe { &raw mut (*ring).consumer.head };
        // SAFETY: The header is mapped, and the kernel writes to it atomically.
        unsafe { AtomicU32::from_ptr(head) }.load(Ordering::Relaxed)
    }

    /// Whether a sender waits for room. The caller has stored its position with `SeqCst`.
    pub(crate) fn senders_wait(&self) -> bool {
        let ring = self.header();
        // SAFETY: As in `head`.
        let flag = unsafe { &raw mut (*ring).senders_wait };
        // A sender sets the flag, has a full barrier, and then looks at the position. If the sender
        // has not seen the position, its barrier precedes the store of it in the one order of all
        // `SeqCst` operations. So the barrier precedes this load too, and the load finds the flag.
        //
        // SAFETY: As in `head`.
        unsafe { AtomicU32::from_ptr(flag) }.load(Ordering::SeqCst) != 0
    }

    /// The offset in the file of the page where a receiver stores its position, or 0.
    fn cursor_offset(&self) -> u64 {
        let ring = self.header();
        // SAFETY: As in `head`.
        let offset = unsafe { &raw mut (*ring).cursor_offset };
        // SAFETY: As in `head`.
        unsafe { AtomicU64::from_ptr(offset) }.load(Ordering::Relaxed)
    }

    fn header(&self) -> *mut sys::RingHeader {
        self.mapping.start.cast().as_ptr()
    }

    /// Whether the slots at the position and behind it still had their messages until now: the reads
    /// of them come before this call.
    pub(crate) fn is_intact(&self, position: u32) -> bool {
        self.overwritten(position) == 0
    }

    /// How many messages from `position` on were gone before this call.
    fn overwritten(&self, position: u32) -> u32 {
        // The kernel moves the head, has a barrier, and only then writes to the slot.
        fence(Ordering::Acquire);
        let gone = self.head().wrapping_sub(position);
        if gone <= i32::MAX.unsigned_abs() {
            gone
        } else {
            0
        }
    }

    /// Finds the next message for subscriber `id`, from `position` on. Moves `position` to it, past
    /// the slots that have none for that subscriber. Counts those in `lost` that were overwritten.
    pub(crate) fn find(&self, position: &mut u32, lost: &mut u64, id: u32) -> Option<Description> {
        loop {
            let slot = self.slot(*position);
            let description = Description {
                position: *position,
                len: (slot.len as usize).min(self.geometry.longest(*position)),
                id: slot.id,
                sender_data: slot.sender_data,
                sender: slot.sender,
            };
            // Once the head is past this position, all of that may be another message's.
            let gone = self.overwritten(*position);
            if gone > 0 {
                *lost += u64::from(gone);
                *position = position.wrapping_add(gone);
                continue;
            }
            if slot.seq != position.wrapping_add(1) {
                return None;
            }
            if slot.state == sys::MSG_READY && (slot.target == 0 || slot.target == id) {
                return Some(description);
            }
            *position = position.wrapping_add(1);
            if slot.state != sys::MSG_READY {
                // Such as the other slots of a message: they are passed at once.
                *position = position.wrapping_add(slot.state >> sys::MSG_STATE_BITS);
            }
        }
    }

    /// Reads the slot of a position. Its parts need not belong together, see [`Self::is_intact`].
    fn slot(&self, position: u32) -> Slot {
        let index = (position & self.geometry.mask) as usize;
        let offset = self.geometry.descriptions + index * self.geometry.description_stride;
        // SAFETY: By the invariant of `Geometry`, this is inside of the region.
        let desc = unsafe { self.mapping.start.add(offset) };
        let desc = desc.cast::<sys::MsgDesc>().as_ptr();
        macro_rules! load {
            ($atomic:ident, $field:ident, $order:ident) => {{
                // SAFETY: As above. This makes a pointer only.
                let field = unsafe { &raw mut (*desc).$field };
                // SAFETY: As above. The kernel writes words, and tears none.
                unsafe { $atomic::from_ptr(field) }.load(Ordering::$order)
            }};
        }
        Slot {
            seq: load!(AtomicU32, seq, Acquire),
            state: load!(AtomicU32, state, Acquire),
            target: load!(AtomicU32, target, Relaxed),
            len: load!(AtomicU32, len, Relaxed),
            id: load!(AtomicU32, msg_id, Relaxed),
            sender_data: load!(AtomicU64, sender_data, Relaxed),
            sender: load!(AtomicU32, sender, Relaxed),
        }
    }

    /// Where the message of a position is, or was.
    pub(crate) fn message(&self, position: u32) -> *const u8 {
        let index = (position & self.geometry.mask) as usize;
        let offset = self.geometry.messages + index * self.geometry.message_stride;
        // SAFETY: By the invariant of `Geometry`, this is inside of the region.
        unsafe { self.mapping.start.add(offset) }.as_ptr()
    }

    /// Copies a part of the message of a position, which may have gone: see [`Self::is_intact`].
    ///
    /// # Panics
    ///
    /// If no message at this position is as long.
    pub(crate) fn copy(&self, position: u32, range: Range<usize>, to: &mut [u8]) {
        assert!(range.end <= self.geometry.longest(position) && range.len() == to.len());
        // SAFETY: By the invariant of `Geometry`, and since the range is in its slots.
        let from = unsafe { self.message(position).add(range.start) };
        // SAFETY: As above, the whole range is mapped.
        unsafe { copy_volatile(from, to) };
    }
}

/// What a slot says of its message.
struct Slot {
    seq: u32,
    state: u32,
    target: u32,
    len: u32,
    id: u32,
    sender_data: u64,
    sender: u32,
}

/// Copies bytes that may change meanwhile.
///
/// # Safety
///
/// `to.len()` bytes can be read at `from`.
unsafe fn copy_volatile(from: *const u8, to: &mut [u8]) {
    let before = from.align_offset(align_of::<u64>()).min(to.len());
    let (first, rest) = to.split_at_mut(before);
    let mut words = rest.chunks_exact_mut(size_of::<u64>());
    let mut next = from;
    for byte in first {
        // SAFETY: There is a byte for each one in `to`.
        *byte = unsafe { next.read_volatile() };
        next = next.wrapping_add(1);
    }
    for bytes in &mut words {
        #[expect(clippy::cast_ptr_alignment, reason = "`next` is aligned after `first`")]
        let word = next.cast::<u64>();
        // SAFETY: As above, for each of these bytes.
        let word = unsafe { word.read_volatile() };
        bytes.copy_from_slice(&word.to_ne_bytes());
        next = next.wrapping_add(size_of::<u64>());
    }
    for byte in words.into_remainder() {
        // SAFETY: As above.
        *byte = unsafe { next.read_volatile() };
        next = next.wrapping_add(1);
    }
}

/// The page where a receiver stores how far it has read.
pub(crate) struct CursorPage {
    mapping: Mapping,
}

impl CursorPage {
    /// Maps the page of a receiver of a broadcast.
    pub(crate) fn map(endpoint: &Endpoint, region: &Region) -> Result<Self> {
        let offset = region.cursor_offset();
        if offset == 0 {
            return Err(Error::NotInPlace);
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let file = endpoint.file.as_fd();
        let mapping = Mapping::new(file, protection, offset, size_of::<sys::Cursor>())?;
        Ok(Self { mapping })
    }

    /// The position that the kernel has stored when the page was mapped, or the receiver since.
    pub(crate) fn load(&self) -> u32 {
        self.position().load(Ordering::Relaxed)
    }

    /// Consumes the messages before a position: the reads of them come first.
    pub(crate) fn store(&self, position: u32) {
        // For `Region::senders_wait`.
        self.position().store(position, Ordering::SeqCst);
    }

    fn position(&self) -> &AtomicU32 {
        let cursor = self.mapping.start.cast::<sys::Cursor>().as_ptr();
        // SAFETY: The page is mapped. This makes a pointer only.
        let position = unsafe { &raw mut (*cursor).position };
        // SAFETY: The page is mapped for as long as this borrows it, and the kernel reads and writes
        // the word atomically.
        unsafe { AtomicU32::from_ptr(position) }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::FromRawFd;

    use super::*;

    const ENTRIES: u32 = 4;
    const LARGEST: u32 = 24;
    const DESCRIPTIONS: u32 = 192;
    const MESSAGES: u32 = DESCRIPTIONS + ENTRIES * 64;
    const LEN: usize = (MESSAGES + ENTRIES * 64) as usize;

    /// A region in a file, which the test writes as the kernel would.
    struct Kernel {
        file: std::os::fd::OwnedFd,
        mapping: Mapping,
    }

    impl Kernel {
        fn new() -> Self {
            // SAFETY: The name is a string.
            let file = unsafe { libc::memfd_create(c"region".as_ptr(), libc::MFD_CLOEXEC) };
            assert!(file >= 0);
            // SAFETY: The descriptor is new.
            let file = unsafe { std::os::fd::OwnedFd::from_raw_fd(file) };
            // SAFETY: The call has no memory.
            let result = unsafe { libc::ftruncate(file.as_raw_fd(), LEN.try_into().unwrap()) };
            assert_eq!(result, 0);
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let mapping = Mapping::new(file.as_fd(), protection, 0, LEN).unwrap();
            let kernel = Self { file, mapping };
            let header = [
                (128, ENTRIES - 1),
                (132, ENTRIES),
                (136, LARGEST),
                (140, sys::RING_VERSION),
                (144, DESCRIPTIONS),
                (148, 64),
                (152, MESSAGES),
                (156, 64),
            ];
            for (offset, value) in header {
                kernel.store(offset, value);
            }
            kernel
        }

        fn store(&self, offset: u32, value: u32) {
            assert!(offset.is_multiple_of(4) && (offset as usize) < LEN);
            // SAFETY: As the assertion says.
            let at = unsafe { self.mapping.start.add(offset as usize) };
            // SAFETY: As above, and it is aligned.
            unsafe { AtomicU32::from_ptr(at.cast().as_ptr()) }.store(value, Ordering::Release);
        }

        /// Publishes a message that consists of copies of its number.
        fn publish(&self, position: u32, state: u32, target: u32) {
            let index = position % ENTRIES;
            for word in 0..LARGEST / 4 {
                self.store(MESSAGES + index * 64 + word * 4, position);
            }
            let slot = DESCRIPTIONS + index * 64;
            self.store(slot + 8, LARGEST);
            self.store(slot + 12, position.wrapping_add(1));
            self.store(slot + 28, state);
            self.store(slot + 36, target);
            self.store(slot + 24, position.wrapping_add(1));
        }

        fn set_head(&self, head: u32) {
            self.store(64, head);
        }

        fn geometry(&self) -> Option<Geometry> {
            // SAFETY: The mapping has a header.
            unsafe { Geometry::read(self.mapping.start, LEN) }
        }

        fn region(&self) -> Region {
            Region {
                mapping: Mapping::new(self.file.as_fd(), libc::PROT_READ, 0, LEN).unwrap(),
                geometry: self.geometry().unwrap(),
            }
        }
    }

    /// The number of the next message for subscriber 7.
    fn next(region: &Region, position: &mut u32, lost: &mut u64) -> Option<u32> {
        let description = region.find(position, lost, 7)?;
        assert_eq!(description.position, *position);
        *position = position.wrapping_add(1);
        Some(description.id)
    }

    #[test]
    fn a_header_that_does_not_fit_is_refused() {
        let largest_offset = u32::try_from(LEN).unwrap();
        let wrong = [
            (132, 0),
            (132, 3),
            (132, 8),
            (132, 1 << 31),
            (136, largest_offset),
            (140, 0),
            (140, 3),
            (144, 193),
            (144, largest_offset - 32),
            (144, u32::MAX - 7),
            (148, 60),
            (148, u32::MAX - 7),
            (152, MESSAGES + 4),
            (152, largest_offset),
            (156, u32::MAX - 7),
        ];
        for (offset, value) in wrong {
            let kernel = Kernel::new();
            assert!(kernel.geometry().is_some());
            kernel.store(offset, value);
            assert!(kernel.geometry().is_none(), "{value} at {offset}");
        }
    }

    #[test]
    fn finds_what_is_for_the_receiver() {
        let kernel = Kernel::new();
        let region = kernel.region();
        let (mut position, mut lost) = (0, 0);
        assert_eq!(next(&region, &mut position, &mut lost), None);
        kernel.publish(0, sys::MSG_READY, 0);
        kernel.publish(1, sys::MSG_READY, 8);
        kernel.publish(2, sys::MSG_READY + 2, 0);
        kernel.publish(3, sys::MSG_READY, 7);
        assert_eq!(next(&region, &mut position, &mut lost), Some(1));
        assert_eq!(next(&region, &mut position, &mut lost), Some(4));
        assert_eq!(next(&region, &mut position, &mut lost), None);
        assert_eq!((position, lost), (4, 0));
    }

    #[test]
    fn messages_of_several_slots() {
        let kernel = Kernel::new();
        kernel.store(140, sys::RING_VERSION_LARGE);
        kernel.store(136, 3 * 64);
        let region = kernel.region();
        // No message reaches beyond the last slot, whatever a slot says.
        let longest = |position| region.geometry.longest(position);
        let expected = [3 * 64, 3 * 64, 2 * 64, 64];
        assert_eq!([4, 1, 2, 3].map(longest), expected);
        // A message of three slots: the other two are passed at once.
        kernel.publish(0, sys::MSG_READY, 0);
        kernel.publish(1, 1 << sys::MSG_STATE_BITS | (sys::MSG_READY + 2), 0);
        kernel.publish(3, sys::MSG_READY, 0);
        let (mut position, mut lost) = (0, 0);
        assert_eq!(next(&region, &mut position, &mut lost), Some(1));
        assert_eq!(next(&region, &mut position, &mut lost), Some(4));
        assert_eq!((position, lost), (4, 0));
    }

    #[test]
    fn counts_what_was_overwritten() {
        let kernel = Kernel::new();
        let region = kernel.region();
        // Positions wrap on the way.
        let start = u32::MAX - 1;
        kernel.set_head(start);
        let (mut position, mut lost) = (start, 0);
        kernel.publish(start, sys::MSG_READY, 0);
        assert!(region.find(&mut position, &mut lost, 7).is_some());
        for number in 1..7 {
            kernel.publish(start.wrapping_add(number), sys::MSG_READY, 0);
        }
        kernel.set_head(start.wrapping_add(3));
        assert!(!region.is_intact(start));
        assert!(region.is_intact(start.wrapping_add(3)));
        assert_eq!(
            next(&region, &mut position, &mut lost),
            Some(start.wrapping_add(4))
        );
        assert_eq!(lost, 3);
    }

    #[test]
    fn a_length_that_is_too_large_is_cut() {
        let kernel = Kernel::new();
        let region = kernel.region();
        kernel.publish(0, sys::MSG_READY, 0);
        kernel.store(DESCRIPTIONS + 8, u32::MAX);
        // Where the message is does not depend on what the slot says either.
        kernel.store(DESCRIPTIONS, u32::MAX);
        let description = region.find(&mut 0, &mut 0, 7).unwrap();
        assert_eq!(description.len, LARGEST as usize);
        let mut bytes = vec![0xff; description.len];
        region.copy(0, 0..description.len, &mut bytes);
        assert!(bytes.iter().all(|&byte| byte == 0));
    }

    #[test]
    #[should_panic(expected = "longest")]
    fn nothing_behind_a_message_is_read() {
        let region = Kernel::new().region();
        region.copy(3, 0..LARGEST as usize + 1, &mut [0; LARGEST as usize + 1]);
    }

    #[test]
    fn copies_any_part() {
        let source: [u8; 40] = std::array::from_fn(|index| u8::try_from(index).unwrap());
        for from in 0..source.len() {
            for to in from..=source.len() {
                let mut copy = vec![0xff; to - from];
                // SAFETY: The source has these bytes.
                unsafe { copy_volatile(source[from..].as_ptr(), &mut copy) };
                assert_eq!(copy, source[from..to]);
            }
        }
    }
}
