// SPDX-License-Identifier: GPL-2.0

//! The kernel's atomics, for the ring.

use kernel::sync::atomic::{Acquire, Atomic, Full, Relaxed, Release};

use crate::ring;

macro_rules! impl_ring_atomic {
    ($type:ty) => {
        impl ring::Atomic<$type> for Atomic<$type> {
            #[inline(always)]
            fn load_relaxed(&self) -> $type {
                self.load(Relaxed)
            }

            #[inline(always)]
            fn load_acquire(&self) -> $type {
                self.load(Acquire)
            }

            #[inline(always)]
            fn store_relaxed(&self, value: $type) {
                self.store(value, Relaxed);
            }

            #[inline(always)]
            fn store_release(&self, value: $type) {
                self.store(value, Release);
            }

            #[inline(always)]
            fn swap_if_acquire(&self, old: $type, new: $type) -> Result<(), $type> {
                self.cmpxchg(old, new, Acquire).map(|_| ())
            }

            #[inline(always)]
            fn swap_if_release(&self, old: $type, new: $type) -> Result<(), $type> {
                self.cmpxchg(old, new, Release).map(|_| ())
            }

            #[inline(always)]
            fn swap_full(&self, new: $type) {
                self.xchg(new, Full);
            }
        }
    };
}

impl_ring_atomic!(u32);
impl_ring_atomic!(u64);
