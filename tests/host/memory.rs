// SPDX-License-Identifier: GPL-2.0

//! Memory for a ring, with one number next to each slot for the message.

#[cfg(loom)]
use loom::{
    cell::Cell,
    sync::atomic::{fence, AtomicU32, AtomicU64, Ordering},
};
#[cfg(not(loom))]
use std::{
    cell::Cell,
    sync::atomic::{fence, AtomicU32, AtomicU64, Ordering},
};

use crate::ring;

macro_rules! impl_ring_atomic {
    ($atomic:ty, $value:ty) => {
        impl ring::Atomic<$value> for $atomic {
            fn load_relaxed(&self) -> $value {
                self.load(Ordering::Relaxed)
            }

            fn load_acquire(&self) -> $value {
                self.load(Ordering::Acquire)
            }

            fn store_relaxed(&self, value: $value) {
                self.store(value, Ordering::Relaxed);
            }

            fn store_release(&self, value: $value) {
                self.store(value, Ordering::Release);
            }

            // As in the kernel, an exchange that fails orders nothing.

            fn swap_if_acquire(&self, old: $value, new: $value) -> Result<(), $value> {
                self.compare_exchange(old, new, Ordering::Acquire, Ordering::Relaxed)
                    .map(|_| ())
            }

            fn swap_if_release(&self, old: $value, new: $value) -> Result<(), $value> {
                self.compare_exchange(old, new, Ordering::Release, Ordering::Relaxed)
                    .map(|_| ())
            }

            fn swap_full(&self, new: $value) {
                fence(Ordering::SeqCst);
                self.swap(new, Ordering::Relaxed);
                fence(Ordering::SeqCst);
            }
        }
    };
}

impl_ring_atomic!(AtomicU32, u32);
impl_ring_atomic!(AtomicU64, u64);

struct Slot {
    word: AtomicU64,
    target: AtomicU32,
    /// Not atomic: the ring orders the accesses to it, and the tests check that.
    payload: Cell<u32>,
    /// How many slots the message takes that begins here. Not atomic either.
    slots: Cell<u32>,
}

/// The words of a ring and the messages.
pub struct TestMemory {
    /// How often the word of a slot was looked at or changed. Loom does not know of this counter.
    slot_looks: std::sync::atomic::AtomicU64,
    largest: u32,
    producer: AtomicU64,
    seen_head: AtomicU32,
    consumer: AtomicU64,
    slowest: AtomicU32,
    slots: Vec<Slot>,
}

// SAFETY: Loom fails a model in which two accesses to a `loom::cell::Cell` are not ordered.
#[cfg(loom)]
unsafe impl Sync for TestMemory {}

impl TestMemory {
    /// Memory for `entries` slots, and for messages that take up to `largest` of them.
    pub fn new(entries: u32, largest: u32) -> Self {
        assert!(entries.is_power_of_two());
        assert!((1..=(entries / 4).max(1)).contains(&largest));
        Self {
            largest,
            slot_looks: std::sync::atomic::AtomicU64::new(0),
            producer: AtomicU64::new(0),
            seen_head: AtomicU32::new(0),
            consumer: AtomicU64::new(0),
            slowest: AtomicU32::new(0),
            slots: (0..entries)
                .map(|_| Slot {
                    word: AtomicU64::new(0),
                    target: AtomicU32::new(0),
                    payload: Cell::new(0),
                    slots: Cell::new(1),
                })
                .collect(),
        }
    }

    /// How often the word of a slot was looked at or changed.
    pub fn slot_looks(&self) -> u64 {
        self.slot_looks.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Reads the message in slot `index`.
    pub fn read(&self, index: u32) -> u32 {
        self.slots[index as usize].payload.get()
    }

    /// Writes the message in slot `index`.
    pub fn write(&self, index: u32, payload: u32) {
        self.slots[index as usize].payload.set(payload);
    }

    /// How many slots the message takes that begins in slot `index`.
    pub fn slots(&self, index: u32) -> u32 {
        self.slots[index as usize].slots.get()
    }

    /// Says so.
    pub fn set_slots(&self, index: u32, slots: u32) {
        self.slots[index as usize].slots.set(slots);
    }
}

impl ring::Memory for TestMemory {
    type U32 = AtomicU32;
    type U64 = AtomicU64;

    fn entries(&self) -> u32 {
        self.slots.len() as u32
    }

    fn largest(&self) -> u32 {
        self.largest
    }

    fn roomy(&self) -> u32 {
        self.entries() + 1 - 2 * self.largest
    }

    fn producer(&self) -> &AtomicU64 {
        &self.producer
    }

    fn seen_head(&self) -> &AtomicU32 {
        &self.seen_head
    }

    fn consumer(&self) -> &AtomicU64 {
        &self.consumer
    }

    fn slowest(&self) -> &AtomicU32 {
        &self.slowest
    }

    fn slot(&self, index: u32) -> &AtomicU64 {
        self.slot_looks
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        &self.slots[index as usize].word
    }

    fn target(&self, index: u32) -> &AtomicU32 {
        &self.slots[index as usize].target
    }

    fn full_barrier() {
        fence(Ordering::SeqCst);
    }
}
