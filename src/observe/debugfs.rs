// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/debug/io_uring_ipc/channels`: a table of all channels and their subscribers.
//!
//! Locking: a reader holds the lock of its `seq_file`. Inside it is the mutex of the registry, each
//! time that the registry looks a channel up, but not while the channel is shown. The kernel finds
//! and shows each row on its own, and no RCU read-side critical section is longer than it takes to
//! look at one subscriber.

use kernel::{
    fmt,
    seq_file::SeqFile,
    seq_print,
    sync::{rcu, Arc},
};

use crate::{
    channel::{
        member::Member,
        registry::Registry,
        {Channel, Mode},
    },
    kernel::seq_table::{self, Table},
};

/// The directory, as long as this exists.
pub(crate) type Directory = seq_table::Directory<Registry>;

/// Makes the directory. May sleep.
pub(crate) fn new(registry: Arc<Registry>) -> Directory {
    Directory::new(c"io_uring_ipc", c"channels", registry)
}

/// A row of the table. By their numbers, the headings come first, and each channel comes before its
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

    fn number(self) -> u64 {
        u64::from(self.channel) << 32 | u64::from(self.subscriber)
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

impl From<u64> for Row {
    fn from(number: u64) -> Self {
        // CAST: Each half is an id, which is at most `i32::MAX`.
        Self {
            channel: (number >> 32) as u32,
            subscriber: number as u32,
        }
    }
}

impl Table for Registry {
    fn find(&self, row: u64) -> Option<u64> {
        let row = Row::from(row);
        if row == Row::HEADINGS {
            return Some(row.number());
        }
        Some(row.or_next(self)?.number())
    }

    fn show(&self, row: u64, out: &SeqFile) {
        let row = Row::from(row);
        if row == Row::HEADINGS {
            return show_headings(out);
        }
        let Some(channel) = Registry::find(self, row.channel) else {
            return;
        };
        if row.subscriber == 0 {
            return show_channel(out, &channel);
        }
        let guard = rcu::read_lock();
        if let Some(member) = channel.member_from(row.subscriber, &guard) {
            if member.id() == row.subscriber {
                show_subscriber(out, &channel, member);
            }
        }
    }
}

fn show_headings(out: &SeqFile) {
    seq_print!(
        out,
        "{:>10} {:>10} {:<9} {:>10} {:>10} {:>7} {:>4} {:>10} {:>7} {:>12} {:>9} {:>5} {:>7} \
         {:>12} {:>12} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {:<26} {}\n",
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
        "slot-size",
        "fill",
        "pending",
        "sent",
        "received",
        "lost",
        "dropped",
        "full",
        "waits",
        "calls",
        "late",
        "flags",
        "name",
    );
}

fn show_channel(out: &SeqFile, channel: &Channel) {
    let permissions = channel.permissions();
    let counts = channel.counts();
    let (calls, late) = channel.call_counts();
    seq_print!(
        out,
        "{:>10} {:>10} {:<9} {:>10} {:>10} {:>7} {:04o} {:>10} {:>7} {:>12} {:>9} {:>5} {:>7} \
         {:>12} {:>12} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {:<26} ",
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
        channel.region().slot_size(),
        channel.used(),
        "-",
        counts.sent,
        counts.received,
        counts.lost,
        channel.dropped(),
        counts.full,
        counts.waits,
        calls,
        late,
        Names(&[
            (channel.is_private(), "private"),
            (channel.overwrites(), "overwrite"),
            (channel.is_fair(), "fair"),
        ]),
    );
    let name = channel.name().map_or(c"-", |(_, name)| name.as_c_str());
    seq_table::escape(out, name);
    seq_print!(out, "\n");
}

fn show_subscriber(out: &SeqFile, channel: &Channel, subscriber: &Member) {
    let counts = subscriber.counts();
    seq_print!(
        out,
        "{:>10} {:>10} {:<9} {:>10} {:>10} {:>7} {:>4} {:>10} {:>7} {:>12} {:>9} ",
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
        "-",
    );
    match (subscriber.can_receive(), channel.mode()) {
        (true, Mode::Broadcast) => seq_print!(out, "{:>5} {:>7}", channel.lag(subscriber), "-"),
        (true, _) => seq_print!(out, "{:>5} {:>7}", "-", subscriber.pending()),
        (false, _) => seq_print!(out, "{:>5} {:>7}", "-", "-"),
    }
    seq_print!(
        out,
        " {:>12} {:>12} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {:<26} -\n",
        counts.sent,
        counts.received,
        counts.lost,
        "-",
        counts.full,
        counts.waits,
        "-",
        "-",
        Names(&[
            (subscriber.can_send(), "send"),
            (subscriber.can_receive(), "receive"),
            (subscriber.wants_history(), "history"),
            (subscriber.is_lossy(), "lossy"),
        ]),
    );
}

/// The names of those flags that are set, or `-`. In a column that is wider, they are at the left.
struct Names<'a>(&'a [(bool, &'static str)]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut width = 0;
        for (_, name) in self.0.iter().filter(|(set, _)| *set) {
            if width != 0 {
                out.write_str(",")?;
                width += 1;
            }
            out.write_str(name)?;
            width += name.len();
        }
        if width == 0 {
            out.write_str("-")?;
            width = 1;
        }
        for _ in width..out.width().unwrap_or(0) {
            out.write_str(" ")?;
        }
        Ok(())
    }
}
