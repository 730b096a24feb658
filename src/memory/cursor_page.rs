// SPDX-License-Identifier: GPL-2.0

//! The page in which a receiver of a broadcast says how far it has read in place.
//!
//! User space can write any number there, at any time.

use core::mem::offset_of;

use kernel::{
    mm::virt::VmaMixedMap,
    page::Page,
    prelude::*,
    sync::atomic::{Acquire, Atomic, Relaxed},
};

use crate::{
    kernel::{alloc::GFP_MAYFAIL, bindings, pointer::Pointer},
    uapi::CursorPage as Layout,
};

/// The page.
///
/// # Invariants
///
/// `position` points to a word of `page`. All accesses to that word are atomic.
pub(crate) struct CursorPage {
    page: Page,
    position: Pointer<Atomic<u32>>,
}

impl CursorPage {
    /// Makes a page that says `position`. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(position: u32) -> Result<Self> {
        let page = Page::alloc_page(GFP_MAYFAIL | __GFP_ZERO)?;
        // SAFETY: The page is valid, and a 64-bit kernel has no high memory.
        let address = unsafe { bindings::ioipc_page_address(page.as_ptr()) };
        let word = address.wrapping_byte_add(offset_of!(Layout, position));
        // INVARIANT: The word is there.
        let new = Self {
            page,
            position: Pointer::new(word.cast()).ok_or(ENOMEM)?,
        };
        new.word().store(position, Relaxed);
        Ok(new)
    }

    #[inline]
    fn word(&self) -> &Atomic<u32> {
        // SAFETY: By the type invariants the word is valid as long as `self`, and all accesses to it
        // are atomic.
        unsafe { self.position.get().as_ref() }
    }

    /// Returns the position that user space says. It can be any number.
    #[inline]
    pub(crate) fn position(&self) -> u32 {
        // Pairs with the release store of user space, which has read the messages before.
        self.word().load(Acquire)
    }

    /// Makes the page say `position`, unless user space says a later one.
    pub(crate) fn catch_up(&self, position: u32) {
        let said = self.word().load(Relaxed);
        // CAST: Positions compare by their wrapping difference.
        if position.wrapping_sub(said) as i32 > 0 {
            // If user space changes the word meanwhile, that position counts.
            let _ = self.word().cmpxchg(said, position, Relaxed);
        }
    }

    /// Maps the page at the start of an area. May sleep. The caller holds the mmap lock.
    pub(crate) fn map(&self, area: &VmaMixedMap) -> Result {
        area.vm_insert_page(area.start(), &self.page)
    }
}
