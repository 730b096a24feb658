// SPDX-License-Identifier: GPL-2.0

//! The page in which a receiver of a broadcast says how far it has read in place.
//!
//! User space writes whatever it likes there, at any time.

use core::ptr::NonNull;

use kernel::{
    mm::virt::VmaMixedMap,
    page::Page,
    prelude::*,
    sync::atomic::{Acquire, Atomic, Relaxed},
};

use crate::{
    kernel::{alloc::GFP_MAYFAIL, bindings},
    uapi::CursorPage as Layout,
};

/// The page.
///
/// # Invariants
///
/// `position` points to a word of `page`, which is only accessed atomically.
pub(crate) struct CursorPage {
    page: Page,
    position: NonNull<u32>,
}

// SAFETY: All accesses are atomic.
unsafe impl Send for CursorPage {}

// SAFETY: As above.
unsafe impl Sync for CursorPage {}

impl CursorPage {
    /// A page that says `position`. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(position: u32) -> Result<Self> {
        let page = Page::alloc_page(GFP_MAYFAIL | __GFP_ZERO)?;
        // SAFETY: The page is valid, and not in high memory, which a 64-bit kernel does not have.
        let address = unsafe { bindings::ioipc_page_address(page.as_ptr()) };
        let word = address.wrapping_byte_add(core::mem::offset_of!(Layout, position));
        // INVARIANT: It is where the word is.
        let new = Self {
            page,
            position: NonNull::new(word.cast()).ok_or(ENOMEM)?,
        };
        new.word().store(position, Relaxed);
        Ok(new)
    }

    #[inline]
    fn word(&self) -> &Atomic<u32> {
        // SAFETY: It is valid and aligned by the type invariants, and all accesses are atomic.
        unsafe { Atomic::from_ptr(self.position.as_ptr()) }
    }

    /// What user space says. It can be any number.
    #[inline]
    pub(crate) fn position(&self) -> u32 {
        // Pairs with the release store of user space: it has read the messages before.
        self.word().load(Acquire)
    }

    /// Makes it say `position`, unless user space says that it has come farther.
    pub(crate) fn catch_up(&self, position: u32) {
        let said = self.word().load(Relaxed);
        // CAST: Positions compare by their wrapping difference.
        if position.wrapping_sub(said) as i32 > 0 {
            // If user space changes it meanwhile, that counts.
            let _ = self.word().cmpxchg(said, position, Relaxed);
        }
    }

    /// Maps it at the start of an area. May sleep, called with the mmap lock held.
    pub(crate) fn map(&self, area: &VmaMixedMap) -> Result {
        area.vm_insert_page(area.start(), &self.page)
    }
}
