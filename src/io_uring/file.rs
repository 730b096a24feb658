// SPDX-License-Identifier: GPL-2.0

//! The file of a subscriber: to map the channel, and to show the subscriber in `/proc/PID/fdinfo`.
//!
//! Locking: `mmap` is called with the mmap lock held and takes none. The file has a reference to
//! the subscriber, and that to the channel, so the memory stays as long as there is a mapping.

use core::ptr::{self, NonNull};

use kernel::{
    error::from_err_ptr,
    ffi::{c_int, c_void},
    fs::File,
    mm::virt::{flags::SHARED, VmaNew},
    module::this_module,
    page::PAGE_SIZE,
    prelude::*,
    seq_file::SeqFile,
    sync::{
        aref::ARef,
        atomic::{Atomic, Full},
        rcu,
    },
};

use crate::{
    channel::{subscriber::Subscriber, Mode},
    kernel::{
        bindings::{self, Operations},
        rcu::RcuObject,
    },
    memory::region::CURSOR_OFFSET,
    observe::refusal::{refuse, Asked},
    LocalModule,
};

static OPERATIONS: Operations<bindings::file_operations> =
    Operations::new(bindings::file_operations {
        owner: this_module::<LocalModule>().as_ptr(),
        mmap: Some(mmap),
        poll: Some(poll),
        release: Some(release),
        show_fdinfo: Some(show_fdinfo),
        llseek: Some(bindings::noop_llseek),
        ..pin_init::zeroed()
    });

/// Opens a file for a subscriber. May sleep.
///
/// # Errors
///
/// `ENOMEM`, `ENFILE`.
pub(crate) fn open(subscriber: ARef<RcuObject<Subscriber>>) -> Result<ARef<File>> {
    let subscriber = ARef::into_raw(subscriber);
    // SAFETY: The name is a string, the operations are static, and `private_data` is what they
    // expect: a reference to a subscriber that the file owns.
    let file = from_err_ptr(unsafe {
        bindings::ioipc_getfile(
            c"[io_uring_ipc]".as_char_ptr(),
            OPERATIONS.as_ptr(),
            subscriber.as_ptr().cast(),
        )
    });
    match file {
        Ok(file) => {
            // SAFETY: It is not NULL, and nobody else has seen this file, so there is no
            // `fdget_pos` either.
            let file = unsafe { NonNull::new_unchecked(file.cast::<File>()) };
            // SAFETY: This passes on the reference that `ioipc_getfile()` returned.
            Ok(unsafe { ARef::from_raw(file) })
        }
        Err(error) => {
            // SAFETY: The file did not take the reference.
            drop(unsafe { ARef::from_raw(subscriber) });
            Err(error)
        }
    }
}

/// A reference to a file of a subscriber that can be taken away from readers.
///
/// # Invariants
///
/// It is NULL or a file, of which this has a reference.
pub(crate) struct FileCell(Atomic<*mut bindings::file>);

impl FileCell {
    /// Takes the reference over.
    pub(crate) fn new(file: ARef<File>) -> Self {
        // INVARIANT: This passes on the reference.
        Self(Atomic::new(ARef::into_raw(file).as_ptr().cast()))
    }

    /// Another reference to the file, unless it was taken away.
    pub(crate) fn get(&self, _guard: &rcu::Guard) -> Option<ARef<File>> {
        // SAFETY: By the type invariants it is NULL or a file, or was that when this read-side
        // critical section began. It takes a reference only if that still holds.
        let file = unsafe { bindings::get_file_rcu(self.0.as_ptr()) };
        let file = NonNull::new(file.cast::<File>())?;
        // SAFETY: This passes on that reference. Files of this kind have no `fdget_pos`.
        Some(unsafe { ARef::from_raw(file) })
    }

    /// Takes it away. If it is the last reference, the file is released when the caller returns to
    /// user space.
    pub(crate) fn take(&self) -> Option<ARef<File>> {
        // Full: the memory of the file is used again only after this, as `get_file_rcu()` needs.
        // INVARIANT: The reference passes to the caller.
        let file = self.0.xchg(ptr::null_mut(), Full);
        let file = NonNull::new(file.cast::<File>())?;
        // SAFETY: By the type invariants. Files of this kind have no `fdget_pos`.
        Some(unsafe { ARef::from_raw(file) })
    }
}

impl Drop for FileCell {
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// The subscriber of a file.
///
/// # Safety
///
/// The file was opened by [`open`] and is not released as long as the result is used.
pub(crate) unsafe fn subscriber<'a>(file: *mut bindings::file) -> &'a Subscriber {
    // SAFETY: The file is valid by the requirements of this function.
    let private: *mut c_void = unsafe { (*file).private_data };
    // SAFETY: It owns a reference to the subscriber that this points to.
    unsafe { &*private.cast::<RcuObject<Subscriber>>() }
}

/// # Safety
///
/// As the `release` operation: the last use of a file that was opened by [`open`].
unsafe extern "C" fn release(_inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    // SAFETY: The file is valid by the requirements of this function.
    let private: *mut c_void = unsafe { (*file).private_data };
    if let Some(subscriber) = NonNull::new(private.cast::<RcuObject<Subscriber>>()) {
        // SAFETY: The file owned a reference, and does not use it any more.
        drop(unsafe { ARef::from_raw(subscriber) });
    }
    0
}

/// # Safety
///
/// As the `show_fdinfo` operation of a file that was opened by [`open`].
unsafe extern "C" fn show_fdinfo(out: *mut bindings::seq_file, file: *mut bindings::file) {
    // SAFETY: By the requirements of this function.
    let subscriber = unsafe { subscriber(file) };
    // SAFETY: By the requirements of this function.
    let out = unsafe { SeqFile::from_raw(out) };
    subscriber.show(out);
}

/// # Safety
///
/// As the `poll` operation of a file that was opened by [`open`].
unsafe extern "C" fn poll(
    file: *mut bindings::file,
    table: *mut bindings::poll_table,
) -> bindings::__poll_t {
    // SAFETY: By the requirements of this function.
    let subscriber = unsafe { subscriber(file) };
    // SAFETY: It is valid during this call, and files of this kind have no `fdget_pos`.
    let file = unsafe { File::from_raw_file(file) };
    // SAFETY: `table` is valid or NULL.
    let wanted = unsafe { bindings::ioipc_poll_requested_events(table) };
    subscriber
        .channel()
        .poll(subscriber, wanted, |queue| queue.enter(file, table))
}

/// # Safety
///
/// As the `mmap` operation of a file that was opened by [`open`].
unsafe extern "C" fn mmap(file: *mut bindings::file, area: *mut bindings::vm_area_struct) -> c_int {
    // SAFETY: By the requirements of this function.
    let subscriber = unsafe { subscriber(file) };
    // SAFETY: The area is valid and nobody else changes it now.
    let page_offset = unsafe { (*area).vm_pgoff };
    // SAFETY: It is being set up.
    let area = unsafe { VmaNew::from_raw(area) };
    match map(subscriber, area, page_offset) {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

fn map(subscriber: &Subscriber, area: &VmaNew, page_offset: usize) -> Result {
    let size = subscriber.mappable_size() as usize;
    let refused = |rule| Err(refuse(Asked::Subscriber(subscriber.id()), rule, EACCES));
    if size == 0 {
        return refused(c"who may not receive or whose channel is private cannot map it");
    }
    if subscriber.is_detached() {
        return refused(c"it has detached and cannot map");
    }
    // CAST: The kernel is 64-bit.
    if page_offset == CURSOR_OFFSET as usize / PAGE_SIZE {
        return map_cursor(subscriber, area);
    }
    if area.writable() {
        return refused(c"it can map the messages only for reading");
    }
    if page_offset != 0 || area.end() - area.start() > size.next_multiple_of(PAGE_SIZE) {
        return Err(EINVAL);
    }
    area.try_clear_maywrite()?;
    area.set_dontexpand();
    area.set_dontdump();
    subscriber.channel().region().map(area.set_mixedmap())
}

/// Maps the page in which a receiver of a broadcast says how far it has read.
fn map_cursor(subscriber: &Subscriber, area: &VmaNew) -> Result {
    if subscriber.channel().mode() != Mode::Broadcast
        || area.end() - area.start() != PAGE_SIZE
        || area.flags() & SHARED == 0
    {
        return Err(EINVAL);
    }
    area.try_clear_mayexec()?;
    area.set_dontexpand();
    area.set_dontdump();
    subscriber
        .channel()
        .cursor_page(subscriber)?
        .map(area.set_mixedmap())
}
