// SPDX-License-Identifier: GPL-2.0

//! Files that belong to no file system, in the way of [`kernel::miscdevice`].
//!
//! The gaps of the kernel crate that this fills:
//!
//! - It implements `struct file_operations` only for devices, configfs and debugfs, not for
//!   `anon_inode_getfile()`: [`FileOperations`] and [`open`].
//! - Its `PollTable` takes only a `PollCondVar`: [`PollTable`] takes a [`WaitQueue`].
//! - It has no reference to a file that a caller can take away: [`FileCell`].

use core::{
    marker::PhantomData,
    ptr::{self, NonNull},
};

use kernel::{
    error::{from_err_ptr, from_result},
    ffi::{c_int, c_void},
    fs::File,
    mm::virt::VmaNew,
    prelude::*,
    seq_file::SeqFile,
    str::CStr,
    sync::{
        aref::{ARef, AlwaysRefCounted},
        atomic::{Atomic, Relaxed},
    },
};

use crate::{
    kernel::{
        bindings,
        callback::{callbacks, Argument},
        compat::this_module,
        wait::WaitQueue,
    },
    LocalModule,
};

/// The private data of a kind of file, and the operations of such a file. The file owns a reference
/// to its private data until its release.
///
/// # Examples
///
/// ```ignore
/// struct Hello;
///
/// impl FileOperations for RcuObject<Hello> {
///     fn poll<'f>(&'f self, _: &PollTable<'f>) -> u32 {
///         READABLE
///     }
///
///     fn mmap(&self, _: &VmaNew, _: usize) -> Result {
///         Err(ENODEV)
///     }
///
///     fn show_fdinfo(&self, out: &SeqFile) {
///         seq_print!(out, "hello\n");
///     }
/// }
///
/// let file = open(c"[hello]", RcuObject::new(Ok::<_, Error>(Hello))?)?;
/// ```
pub(crate) trait FileOperations: AlwaysRefCounted + Send + Sync + 'static {
    /// Tells which events have come, and enters the queues in `table` whose wakers tell of others.
    fn poll<'f>(&'f self, table: &PollTable<'f>) -> u32;

    /// Sets up a mapping of the file from page `page_offset` on. May sleep. The caller holds the
    /// mmap lock.
    fn mmap(&self, area: &VmaNew, page_offset: usize) -> Result;

    /// Writes lines for `/proc/PID/fdinfo`.
    fn show_fdinfo(&self, out: &SeqFile);
}

/// Opens a file. May sleep.
///
/// # Errors
///
/// `ENOMEM`, `ENFILE`.
pub(crate) fn open<T: FileOperations>(name: &CStr, data: ARef<T>) -> Result<ARef<File>> {
    let private = ARef::into_raw(data);
    // SAFETY: The name is a string, the operations are static, and `private` is what they expect.
    let file = from_err_ptr(unsafe {
        bindings::ioipc_getfile(
            name.as_char_ptr(),
            &Operations::<T>::VTABLE,
            private.as_ptr().cast(),
        )
    });
    match file.and_then(|file| NonNull::new(file.cast()).ok_or(ENOMEM)) {
        // SAFETY: This passes on the reference that `ioipc_getfile()` returned. No other task knows
        // the file, so there is no `fdget_pos` either.
        Ok(file) => Ok(unsafe { ARef::from_raw(file) }),
        Err(error) => {
            // SAFETY: There is no file that took the reference.
            drop(unsafe { ARef::from_raw(private) });
            Err(error)
        }
    }
}

/// The private data of a file that [`open`] has opened for `T` and that is not released.
pub(crate) struct Private<'f, T>(pub(crate) &'f T);

impl<T: FileOperations> Argument for Private<'_, T> {
    type C = *mut bindings::file;

    unsafe fn from_c(file: *mut bindings::file) -> Self {
        // SAFETY: The file is valid by the requirements of this function.
        let private: *mut c_void = unsafe { (*file).private_data };
        // SAFETY: `open` has put a reference to a `T` there, which the file owns until its release.
        Self(unsafe { &*private.cast() })
    }
}

/// What VFS calls.
struct Operations<T>(PhantomData<T>);

impl<T: FileOperations> Operations<T> {
    const VTABLE: bindings::file_operations = bindings::file_operations {
        owner: this_module::<LocalModule>().as_ptr(),
        mmap: Some(Self::mmap),
        poll: Some(Self::poll),
        release: Some(Self::release),
        show_fdinfo: Some(Self::show_fdinfo),
        llseek: Some(bindings::noop_llseek),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// As the `release` operation of a file that [`open`] has opened for `T`.
    unsafe extern "C" fn release(_inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: The file is valid by the requirements of this function.
        let private: *mut c_void = unsafe { (*file).private_data };
        if let Some(private) = NonNull::new(private.cast::<T>()) {
            // SAFETY: The file owned the reference, and does not use it any more.
            drop(unsafe { ARef::from_raw(private) });
        }
        0
    }

    /// # Safety
    ///
    /// As the `poll` operation of a file that [`open`] has opened for `T`.
    unsafe extern "C" fn poll(
        file: *mut bindings::file,
        table: *mut bindings::poll_table,
    ) -> bindings::__poll_t {
        // SAFETY: By the requirements of this function.
        let private = unsafe { Private::<T>::from_c(file) };
        // INVARIANT: By the requirements of this function. The result is gone when it returns.
        let table = PollTable {
            file,
            table,
            _data: PhantomData,
        };
        private.0.poll(&table)
    }

    callbacks! {
        /// The `show_fdinfo` operation of a file that [`open`] has opened for `T`.
        fn show_fdinfo(out: &SeqFile, private: Private<'_, T>) {
            private.0.show_fdinfo(out);
        }

        /// The `mmap` operation of a file that [`open`] has opened for `T`.
        fn mmap(private: Private<'_, T>, area: NewArea<'_>) -> c_int {
            from_result(|| private.0.mmap(area.area, area.page_offset).map(|()| 0))
        }
    }
}

/// A valid part of an address space for which VFS is setting up a mapping. Only the current task
/// changes it.
struct NewArea<'a> {
    area: &'a VmaNew,
    page_offset: usize,
}

impl Argument for NewArea<'_> {
    type C = *mut bindings::vm_area_struct;

    unsafe fn from_c(area: *mut bindings::vm_area_struct) -> Self {
        Self {
            // SAFETY: By the requirements of this function.
            page_offset: unsafe { (*area).vm_pgoff },
            // SAFETY: As above.
            area: unsafe { VmaNew::from_raw(area) },
        }
    }
}

/// Collects the queues that the watcher of a file enters.
///
/// `'f` is how long the file has its private data. An implementation of [`FileOperations::poll`]
/// has to do for any `'f`. So what it borrows for `'f`, it borrows from the private data.
///
/// # Invariants
///
/// `file` and `table` are arguments of the current call of the `poll` operation of the file.
pub(crate) struct PollTable<'f> {
    file: *mut bindings::file,
    table: *mut bindings::poll_table,
    // Neither a longer nor a shorter lifetime will do.
    _data: PhantomData<fn(&'f ()) -> &'f ()>,
}

impl<'f> PollTable<'f> {
    /// Returns the events that the watcher wants to know of.
    pub(crate) fn wanted(&self) -> u32 {
        // SAFETY: By the type invariants it is valid or NULL.
        unsafe { bindings::ioipc_poll_requested_events(self.table) }
    }

    /// Enters the watcher into a queue.
    pub(crate) fn enter(&self, queue: &'f WaitQueue) {
        // SAFETY: By the type invariants file and table are valid. The queue is part of the private
        // data of the file, and every watcher leaves the queue before the release of the file.
        unsafe { bindings::poll_wait(self.file, queue.as_ptr(), self.table) };
    }
}

/// A reference to a file, until a caller takes it away.
///
/// # Invariants
///
/// It is NULL or a file without `fdget_pos`, of which this has a reference.
pub(crate) struct FileCell(Atomic<*mut bindings::file>);

impl FileCell {
    /// Takes the reference over.
    pub(crate) fn new(file: ARef<File>) -> Self {
        // INVARIANT: This passes on the reference.
        Self(Atomic::new(ARef::into_raw(file).as_ptr().cast()))
    }

    /// Whether it is this file.
    pub(crate) fn is(&self, file: *mut bindings::file) -> bool {
        ptr::eq(self.0.load(Relaxed), file)
    }

    /// Takes the file away. If this is the last reference, the kernel releases the file when the
    /// current task returns to user space.
    pub(crate) fn take(&self) -> Option<ARef<File>> {
        // INVARIANT: The reference passes to the caller.
        let file = self.0.xchg(ptr::null_mut(), Relaxed);
        let file = NonNull::new(file.cast::<File>())?;
        // SAFETY: By the type invariants.
        Some(unsafe { ARef::from_raw(file) })
    }
}

impl Drop for FileCell {
    fn drop(&mut self) {
        drop(self.take());
    }
}
