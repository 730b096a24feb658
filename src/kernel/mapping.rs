// SPDX-License-Identifier: GPL-2.0

//! Pages that are mapped one after another into the kernel's address space.
//!
//! The kernel crate has no wrapper for `vmap()`. Its `Page` maps one page at a time, for the
//! duration of a call.

use core::ptr::NonNull;

use kernel::{page::Page, prelude::*};

use crate::kernel::{alloc::GFP_MAYFAIL, bindings, pointer::Pointer};

/// Pages that this owns, with an address at which they follow one another.
///
/// # Invariants
///
/// `base` is where `vmap()` has mapped `pages`, in their order. They stay mapped there as long as
/// this exists.
///
/// # Examples
///
/// ```ignore
/// let mut pages = KVVec::new();
/// pages.push(Page::alloc_page(GFP_KERNEL | __GFP_ZERO)?, GFP_KERNEL)?;
/// pages.push(Page::alloc_page(GFP_KERNEL | __GFP_ZERO)?, GFP_KERNEL)?;
/// let mapping = Mapping::new(pages)?;
/// let second_page = mapping.base().as_ptr().wrapping_add(PAGE_SIZE);
/// ```
pub(crate) struct Mapping {
    base: Pointer<u8>,
    pages: KVVec<Page>,
}

impl Mapping {
    /// Maps pages, fewer than 2^32. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(pages: KVVec<Page>) -> Result<Self> {
        let mut pointers = KVVec::with_capacity(pages.len(), GFP_MAYFAIL)?;
        for page in &pages {
            pointers.push(page.as_ptr(), GFP_MAYFAIL)?;
        }
        let count = u32::try_from(pages.len()).map_err(|_| ENOMEM)?;
        // SAFETY: `pointers` is an array of `count` pages, all of them valid.
        let base = unsafe { bindings::ioipc_vmap(pointers.as_mut_ptr(), count) };
        // INVARIANT: The pages are mapped there. Only `drop` unmaps them, and it frees them later.
        Ok(Self {
            base: Pointer::new(base.cast()).ok_or(ENOMEM)?,
            pages,
        })
    }

    /// The address of the first page: valid for all pages, as long as the mapping exists.
    #[inline(always)]
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base.get()
    }

    /// The pages in their order.
    pub(crate) fn pages(&self) -> &[Page] {
        &self.pages
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: By the type invariants `vmap()` has returned this address. The kernel does not use
        // it any more. Any thread may unmap it. A page that user space still maps has a reference from there.
        unsafe { bindings::vunmap(self.base.as_ptr().cast()) };
    }
}
