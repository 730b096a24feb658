// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/debug/io_uring_ipc/channels`: a table of all channels and their subscribers.
//!
//! The kernel crate's debugfs files do not say which module their operations are in, so that one
//! can be unloaded while they are open, and the operations are still looked at when they are
//! closed.
//!
//! Locking: whoever reads the file holds the lock of its `seq_file`; inside it is the mutex of the
//! registry, each time that a channel is looked up, and it is not held while that is shown. Each
//! row is found and shown on its own, and no RCU read-side critical section is longer than it takes
//! to look at one subscriber.

use core::ptr;

use kernel::{
    ffi::{c_int, c_void},
    fmt,
    module::this_module,
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::rcu,
};

use crate::{
    channel::{
        member::Member,
        registry::Registry,
        {Channel, Mode},
    },
    kernel::bindings::{self, Operations},
    LocalModule,
};

static OPERATIONS: Operations<bindings::file_operations> =
    Operations::new(bindings::file_operations {
        owner: this_module::<LocalModule>().as_ptr(),
        open: Some(open),
        read: Some(bindings::seq_read),
        llseek: Some(bindings::seq_lseek),
        release: Some(bindings::seq_release),
        ..pin_init::zeroed()
    });

static ROWS: bindings::seq_operations = bindings::seq_operations {
    start: Some(start),
    stop: Some(stop),
    next: Some(next),
    show: Some(show),
};

/// The directory, as long as this exists.
///
/// # Invariants
///
/// `directory` is what debugfs has returned, and is not removed yet.
pub(crate) struct Directory {
    directory: *mut bindings::dentry,
}

// SAFETY: It can be removed by any thread.
unsafe impl Send for Directory {}

// SAFETY: As above, and there is nothing to do with `&Directory`.
unsafe impl Sync for Directory {}

impl Directory {
    /// Makes the directory. If that does not work, there is none, as usual with debugfs. May sleep.
    ///
    /// # Safety
    ///
    /// `registry` stays valid and in place until the result is dropped.
    pub(crate) unsafe fn new(registry: *const Registry) -> Self {
        // SAFETY: The names are strings, the operations are static, and the data is what they
        // expect: a registry that is valid until the file is removed.
        let directory = unsafe {
            bindings::ioipc_debugfs_create(
                c"io_uring_ipc".as_char_ptr(),
                c"channels".as_char_ptr(),
                OPERATIONS.as_ptr(),
                registry.cast_mut().cast(),
            )
        };
        // INVARIANT: It was just returned.
        Self { directory }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // This waits until nobody reads.
        // SAFETY: By the type invariants.
        unsafe { bindings::ioipc_debugfs_remove(self.directory) };
    }
}

/// # Safety
///
/// As the `open` operation of the file that [`Directory::new`] has made.
unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    // SAFETY: The file is being opened, and the operations are static.
    let result = unsafe { bindings::seq_open(file, &ROWS) };
    if result == 0 {
        // SAFETY: The inode is valid.
        let registry = unsafe { (*inode).i_private };
        // SAFETY: The file is valid.
        let out: *mut bindings::seq_file = unsafe { (*file).private_data }.cast();
        // SAFETY: `seq_open()` has put it there, and nobody else uses it yet.
        unsafe { (*out).private = registry };
    }
    result
}

/// A row of the table, by its position in the file: the headings at 0, and each channel before its
/// subscribers.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Row {
    channel: u32,
    /// 0 for the row of the channel itself.
    subscriber: u32,
}

impl Row {
    const HEADINGS: Self = Self {
        channel: 0,
        subscriber: 0,
    };

    fn at(position: bindings::loff_t) -> Self {
        // CAST: Each half is an id, which is not negative and at most `i32::MAX`.
        Self {
            channel: (position >> 32) as u32,
            subscriber: position as u32,
        }
    }

    fn position(self) -> bindings::loff_t {
        bindings::loff_t::from(self.channel) << 32 | bindings::loff_t::from(self.subscriber)
    }

    /// This row, or the next one that there is.
    fn or_next(self, registry: &Registry) -> Option<Self> {
        let mut from = self;
        loop {
            let channel = registry.find_from(from.channel)?;
            let id = channel.id();
            if id != from.channel || from.subscriber == 0 {
                return Some(Self {
                    channel: id,
                    subscriber: 0,
                });
            }
            if let Some(subscriber) = channel.member_from(from.subscriber, &rcu::read_lock()) {
                return Some(Self {
                    channel: id,
                    subscriber: subscriber.id(),
                });
            }
            from = Self {
                channel: id + 1,
                subscriber: 0,
            };
        }
    }
}

/// The registry of an open file.
///
/// # Safety
///
/// `out` is what an operation of a `seq_file` gets that [`open`] has opened, and the result is used
/// only in that operation.
unsafe fn registry<'a>(out: *mut bindings::seq_file) -> &'a Registry {
    // SAFETY: `open` has set it.
    let registry = unsafe { (*out).private }.cast::<Registry>();
    // SAFETY: `Directory::new` says that it is valid until the file is removed, which waits for
    // this.
    unsafe { &*registry }
}

/// Finds the row at a position or the next one, and sets the position to where that is. Returns
/// what is not NULL if there is one.
///
/// # Safety
///
/// `out` and `position` are what a `start` or `next` operation gets.
unsafe fn find(out: *mut bindings::seq_file, position: *mut bindings::loff_t) -> *mut c_void {
    // SAFETY: By the requirements of this function.
    let registry = unsafe { registry(out) };
    // SAFETY: It is valid, and nobody else uses it.
    let position = unsafe { &mut *position };
    let mut row = Row::at(*position);
    if row != Row::HEADINGS {
        match row.or_next(registry) {
            Some(next) => row = next,
            None => return ptr::null_mut(),
        }
    }
    *position = row.position();
    // CAST: The kernel is 64-bit. `show` takes the one off again.
    ptr::without_provenance_mut(row.position() as usize + 1)
}

/// # Safety
///
/// As the `start` operation of a `seq_file` that [`open`] has opened.
unsafe extern "C" fn start(
    out: *mut bindings::seq_file,
    position: *mut bindings::loff_t,
) -> *mut c_void {
    // SAFETY: By the requirements of this function.
    unsafe { find(out, position) }
}

/// # Safety
///
/// As the `next` operation of such a `seq_file`.
unsafe extern "C" fn next(
    out: *mut bindings::seq_file,
    _current: *mut c_void,
    position: *mut bindings::loff_t,
) -> *mut c_void {
    // SAFETY: It is valid, and nobody else uses it.
    unsafe { *position += 1 };
    // SAFETY: By the requirements of this function.
    unsafe { find(out, position) }
}

/// # Safety
///
/// As the `stop` operation of such a `seq_file`.
unsafe extern "C" fn stop(_out: *mut bindings::seq_file, _current: *mut c_void) {}

/// # Safety
///
/// As the `show` operation of such a `seq_file`.
unsafe extern "C" fn show(out: *mut bindings::seq_file, current: *mut c_void) -> c_int {
    // SAFETY: By the requirements of this function.
    let registry = unsafe { registry(out) };
    // SAFETY: By the requirements of this function.
    let out = unsafe { SeqFile::from_raw(out) };
    // CAST: See `find`.
    let row = Row::at((current.addr() - 1) as bindings::loff_t);
    if row == Row::HEADINGS {
        show_headings(out);
        return 0;
    }
    // What is gone by now is not shown.
    let Some(channel) = registry.find(row.channel) else {
        return 0;
    };
    if row.subscriber == 0 {
        show_channel(out, &channel);
        return 0;
    }
    let guard = rcu::read_lock();
    if let Some(subscriber) = channel.member_from(row.subscriber, &guard) {
        if subscriber.id() == row.subscriber {
            show_subscriber(out, &channel, subscriber);
        }
    }
    0
}

fn show_headings(out: &SeqFile) {
    seq_print!(
        out,
        "{:>10} {:>10} {:<9} {:>10} {:>10} {:>7} {:>4} {:>10} {:>7} {:>12} {:>5} {:>7} {:>12} \
         {:>12} {:>10} {:>10} {:>10} {:>10} {}\n",
        "channel",
        "subscriber",
        "delivery",
        "uid",
        "gid",
        "pid",
        "mode",
        "ipc-ns",
        "entries",
        "max-msg-size",
        "fill",
        "pending",
        "sent",
        "received",
        "lost",
        "dropped",
        "full",
        "waits",
        "flags",
    );
}

fn show_channel(out: &SeqFile, channel: &Channel) {
    let permissions = channel.permissions();
    let counts = channel.counts();
    seq_print!(
        out,
        "{:>10} {:>10} {:<9} {:>10} {:>10} {:>7} {:04o} {:>10} {:>7} {:>12} {:>5} {:>7} {:>12} \
         {:>12} {:>10} {:>10} {:>10} {:>10} {}\n",
        channel.id(),
        "-",
        channel.mode().name(),
        permissions.uid(),
        permissions.gid(),
        "-",
        permissions.mode(),
        permissions.namespace_inode(),
        channel.entries(),
        channel.region().max_msg_size(),
        channel.used(),
        "-",
        counts.sent,
        counts.received,
        counts.lost,
        channel.dropped(),
        counts.full,
        counts.waits,
        Names(&[
            (channel.is_private(), "private"),
            (channel.overwrites(), "overwrite"),
        ]),
    );
}

fn show_subscriber(out: &SeqFile, channel: &Channel, subscriber: &Member) {
    let counts = subscriber.counts();
    seq_print!(
        out,
        "{:>10} {:>10} {:<9} {:>10} {:>10} {:>7} {:>4} {:>10} {:>7} {:>12} ",
        channel.id(),
        subscriber.id(),
        "-",
        subscriber.uid(),
        "-",
        subscriber.pid(),
        "-",
        "-",
        "-",
        "-",
    );
    match (subscriber.can_receive(), channel.mode()) {
        (true, Mode::Broadcast) => seq_print!(out, "{:>5} {:>7}", channel.lag(subscriber), "-"),
        (true, _) => seq_print!(out, "{:>5} {:>7}", "-", subscriber.pending()),
        (false, _) => seq_print!(out, "{:>5} {:>7}", "-", "-"),
    }
    seq_print!(
        out,
        " {:>12} {:>12} {:>10} {:>10} {:>10} {:>10} {}\n",
        counts.sent,
        counts.received,
        counts.lost,
        "-",
        counts.full,
        counts.waits,
        Names(&[
            (subscriber.can_send(), "send"),
            (subscriber.can_receive(), "receive"),
            (subscriber.wants_history(), "history"),
            (subscriber.is_lossy(), "lossy"),
        ]),
    );
}

/// The names of those flags that are set, or `-`.
struct Names<'a>(&'a [(bool, &'static str)]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (_, name) in self.0.iter().filter(|(set, _)| *set) {
            out.write_str(separator)?;
            out.write_str(name)?;
            separator = ",";
        }
        if separator.is_empty() {
            out.write_str("-")?;
        }
        Ok(())
    }
}
