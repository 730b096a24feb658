// SPDX-License-Identifier: GPL-2.0

//! The file of a subscriber: to map the channel, and to show the subscriber in `/proc/PID/fdinfo`.
//!
//! Locking: VFS calls `mmap` with the mmap lock held. `mmap` takes no lock. The file has a reference
//! to the subscriber, and the subscriber has one to the channel, so the memory stays as long as there
//! is a mapping.

use kernel::{
    fs::File,
    mm::virt::{flags::SHARED, VmaNew},
    page::PAGE_SIZE,
    prelude::*,
    seq_file::SeqFile,
    sync::aref::ARef,
};

use crate::{
    channel::{subscriber::Subscriber, Mode},
    kernel::{
        file::{self, FileOperations, PollTable},
        rcu::RcuObject,
    },
    memory::region::CURSOR_OFFSET,
    observe::refusal::{refuse, Asked},
};

/// Opens a file for a subscriber. May sleep.
///
/// # Errors
///
/// `ENOMEM`, `ENFILE`.
pub(crate) fn open(subscriber: ARef<RcuObject<Subscriber>>) -> Result<ARef<File>> {
    file::open(c"[io_uring_ipc]", subscriber)
}

impl FileOperations for RcuObject<Subscriber> {
    fn poll<'f>(&'f self, table: &PollTable<'f>) -> u32 {
        self.channel()
            .poll(self, table.wanted(), |queue| table.enter(queue))
    }

    fn mmap(&self, area: &VmaNew, page_offset: usize) -> Result {
        map(self, area, page_offset)
    }

    fn show_fdinfo(&self, out: &SeqFile) {
        self.show(out);
    }
}

fn map(subscriber: &Subscriber, area: &VmaNew, page_offset: usize) -> Result {
    let size = subscriber.mappable_size() as usize;
    let refused = |rule| Err(refuse(Asked::Subscriber(subscriber.id()), rule, EACCES));
    if size == 0 {
        return refused(c"it may not receive, or its channel is private, so it cannot map");
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
