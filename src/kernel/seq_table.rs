// SPDX-License-Identifier: GPL-2.0

//! A table in debugfs, in the way of [`kernel::debugfs`].
//!
//! The gaps of the kernel crate that this fills:
//!
//! - The operations of its debugfs files name no owner. So the kernel would unload the module while
//!   a file is open, and would look at the operations when the file is closed.
//! - It has no `struct seq_operations`: its files produce all their text at once. Here the kernel
//!   looks rows up one by one, as many as a read takes.
//! - It does not escape strings: [`escape`].
//!
//! Locking: a reader holds the lock of its `seq_file` while the table finds and shows a row.

use core::{marker::PhantomData, ptr};

use kernel::{
    ffi::{c_int, c_void},
    prelude::*,
    seq_file::SeqFile,
    str::CStr,
    sync::Arc,
};

use crate::{
    kernel::{
        bindings,
        callback::{callbacks, Argument},
        compat::this_module,
        pointer::Pointer,
    },
    LocalModule,
};

/// A table whose rows have numbers. Rows may come and go while a task reads.
///
/// # Examples
///
/// ```ignore
/// struct Squares;
///
/// impl Table for Squares {
///     fn find(&self, row: u64) -> Option<u64> {
///         (row < 10).then_some(row)
///     }
///
///     fn show(&self, row: u64, out: &SeqFile) {
///         seq_print!(out, "{}\n", row * row);
///     }
/// }
///
/// let directory = Directory::new(c"numbers", c"squares", Arc::new(Squares, GFP_KERNEL)?);
/// ```
pub(crate) trait Table: Send + Sync + 'static {
    /// Returns the number of the first row from `row` on, at most `i64::MAX - 1`. May sleep.
    fn find(&self, row: u64) -> Option<u64>;

    /// Writes a row that [`Self::find`] found, or nothing if it is gone. May sleep.
    fn show(&self, row: u64, out: &SeqFile);
}

/// Writes a string as one word of printable ASCII: all else, spaces and backslashes are hexadecimal.
pub(crate) fn escape(out: &SeqFile, text: &CStr) {
    let out = ptr::from_ref(out).cast_mut().cast();
    // SAFETY: A `SeqFile` is a valid `seq_file`, and only the current task uses it. The other argument
    // is a string.
    unsafe { bindings::ioipc_seq_escape(out, text.as_char_ptr()) };
}

/// A directory with the file of a table, as long as this exists.
///
/// # Invariants
///
/// `directory` is what debugfs returned, and this owns it. The inode of the file in it refers to
/// `table`.
pub(crate) struct Directory<T: Table> {
    directory: Option<Pointer<bindings::dentry>>,
    _table: Arc<T>,
}

impl<T: Table> Directory<T> {
    /// Makes a directory, and in it a file that only root can read. If that fails, there is none, as
    /// usual with debugfs. May sleep.
    pub(crate) fn new(directory: &CStr, file: &CStr, table: Arc<T>) -> Self {
        // SAFETY: The names are strings, the operations are static, and the data is what they
        // expect: a table that is valid until `drop` has removed the file.
        let directory = unsafe {
            bindings::ioipc_debugfs_create(
                directory.as_char_ptr(),
                file.as_char_ptr(),
                &Operations::<T>::FILE,
                Arc::as_ptr(&table).cast_mut().cast(),
            )
        };
        // INVARIANT: debugfs has just returned it.
        Self {
            directory: Pointer::new(directory),
            _table: table,
        }
    }
}

impl<T: Table> Drop for Directory<T> {
    fn drop(&mut self) {
        if let Some(directory) = &self.directory {
            // This waits for the readers.
            // SAFETY: By the type invariants. Any thread may remove a directory.
            unsafe { bindings::ioipc_debugfs_remove(directory.as_ptr()) };
        }
    }
}

/// What VFS and `seq_file` call.
struct Operations<T>(PhantomData<T>);

impl<T: Table> Operations<T> {
    const FILE: bindings::file_operations = bindings::file_operations {
        owner: this_module::<LocalModule>().as_ptr(),
        open: Some(Self::open),
        read: Some(bindings::seq_read),
        llseek: Some(bindings::seq_lseek),
        release: Some(bindings::seq_release),
        ..pin_init::zeroed()
    };

    const ROWS: bindings::seq_operations = bindings::seq_operations {
        start: Some(Self::start),
        stop: Some(Self::stop),
        next: Some(Self::next),
        show: Some(Self::show),
    };

    /// # Safety
    ///
    /// As the `open` operation of the file that [`Directory::new`] made for `T`.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: VFS is opening the file, and the operations are static. They find in the
        // `seq_file` what the inode refers to.
        unsafe { bindings::ioipc_seq_open(inode, file, &Self::ROWS) }
    }

    callbacks! {
        /// The `start` operation of a `seq_file` that [`Self::open`] has opened.
        fn start(opened: Opened<'_, T>, position: &mut bindings::loff_t) -> *mut c_void {
            opened.find(position)
        }

        /// The `next` operation of such a `seq_file`.
        fn next(
            opened: Opened<'_, T>,
            _current: *mut c_void,
            position: &mut bindings::loff_t
        ) -> *mut c_void {
            *position += 1;
            opened.find(position)
        }

        /// The `show` operation of such a `seq_file`.
        fn show(opened: Opened<'_, T>, current: *mut c_void) -> c_int {
            // CAST: See `Opened::find`.
            opened.table.show((current.addr() - 1) as u64, opened.out);
            0
        }
    }

    extern "C" fn stop(_out: *mut bindings::seq_file, _current: *mut c_void) {}
}

/// A `seq_file` that [`Operations::open`] has opened for `T`, and which only the current task uses.
struct Opened<'a, T> {
    table: &'a T,
    out: &'a SeqFile,
}

impl<T: Table> Argument for Opened<'_, T> {
    type C = *mut bindings::seq_file;

    unsafe fn from_c(out: *mut bindings::seq_file) -> Self {
        // SAFETY: The `seq_file` is valid by the requirements of this function.
        let table = unsafe { (*out).private }.cast::<T>();
        Self {
            // SAFETY: `open` has put the table there. By the invariants of `Directory` it is valid
            // until debugfs removes the file, and that waits for the callback.
            table: unsafe { &*table },
            // SAFETY: By the requirements of this function.
            out: unsafe { SeqFile::from_raw(out) },
        }
    }
}

impl<T: Table> Opened<'_, T> {
    /// Finds the row at a position or the first one after it, and sets the position to where that
    /// is. Returns NULL if there is none.
    fn find(&self, position: &mut bindings::loff_t) -> *mut c_void {
        // CAST: A position is not negative, and no row has a larger number.
        match self.table.find(*position as u64) {
            Some(row) => {
                *position = row as bindings::loff_t;
                // CAST: The kernel is 64-bit. `show` takes the one off again.
                ptr::without_provenance_mut(row as usize + 1)
            }
            None => ptr::null_mut(),
        }
    }
}

/// The position of a reader in a file, which only the current task uses.
impl Argument for &mut bindings::loff_t {
    type C = *mut bindings::loff_t;

    unsafe fn from_c(position: *mut bindings::loff_t) -> Self {
        // SAFETY: By the requirements of this function.
        unsafe { &mut *position }
    }
}
