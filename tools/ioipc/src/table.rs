// SPDX-License-Identifier: MIT

//! The channels and their subscribers, as the kernel shows them.
//!
//! Root reads the table of all channels in debugfs. All others see the subscribers of their own
//! processes, in the `fdinfo` of the files.

use std::{collections::HashMap, fmt::Write, fs, io};

use serde::Serialize;

use crate::failure::{Failure, NO_KERNEL};

const CHANNELS: &str = "/sys/kernel/debug/io_uring_ipc/channels";

/// The channels. What this user cannot see is `None`.
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) channels: Vec<Channel>,
    /// Why there may be more than these.
    pub(crate) missing: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Channel {
    pub(crate) id: u32,
    /// As the kernel shows it, see [`escape`].
    pub(crate) name: Option<String>,
    pub(crate) kind: String,
    pub(crate) owner: Option<u32>,
    pub(crate) group: Option<u32>,
    pub(crate) mode: Option<String>,
    pub(crate) ipc_namespace: Option<u64>,
    pub(crate) entries: Option<u64>,
    pub(crate) max_message: Option<u64>,
    pub(crate) slot_size: Option<u64>,
    pub(crate) fill: Option<u64>,
    #[serde(flatten)]
    pub(crate) counters: Counters,
    pub(crate) dropped: Option<u64>,
    pub(crate) flags: Option<String>,
    pub(crate) subscribers: Vec<Subscriber>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Subscriber {
    pub(crate) id: u32,
    pub(crate) pid: Option<u32>,
    pub(crate) uid: Option<u32>,
    /// In a broadcast, how many messages it is behind.
    pub(crate) fill: Option<u64>,
    /// In the other channels, how many messages wait for it alone.
    pub(crate) pending: Option<u64>,
    #[serde(flatten)]
    pub(crate) counters: Counters,
    pub(crate) flags: Option<String>,
}

/// How often things have happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counters {
    pub(crate) sent: Option<u64>,
    pub(crate) received: Option<u64>,
    pub(crate) lost: Option<u64>,
    pub(crate) full: Option<u64>,
    pub(crate) waits: Option<u64>,
}

impl Counters {
    /// How often they happen in a second, if these are the counters so many seconds later.
    pub(crate) fn rates(&self, before: &Self, seconds: f64) -> Self {
        let rate = |now: Option<u64>, before: Option<u64>| {
            let difference = now?.saturating_sub(before?);
            // CAST: A rate need not be exact.
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss
            )]
            Some((difference as f64 / seconds).round() as u64)
        };
        Self {
            sent: rate(self.sent, before.sent),
            received: rate(self.received, before.received),
            lost: rate(self.lost, before.lost),
            full: rate(self.full, before.full),
            waits: rate(self.waits, before.waits),
        }
    }
}

impl Channel {
    /// The receiver that holds most messages, if it holds at least half of the channel: senders will
    /// wait for it.
    pub(crate) fn slowest(&self) -> Option<&Subscriber> {
        let entries = self.entries?;
        let slowest = self.subscribers.iter().max_by_key(|one| one.behind())?;
        (slowest.behind() > 0 && slowest.behind() * 2 >= entries).then_some(slowest)
    }

    /// Its name, or its number if it has none.
    pub(crate) fn title(&self) -> String {
        self.name
            .clone()
            .unwrap_or_else(|| format!("id:{}", self.id))
    }
}

impl Subscriber {
    /// How many messages it holds.
    pub(crate) fn behind(&self) -> u64 {
        self.fill.or(self.pending).unwrap_or(0)
    }
}

impl Table {
    /// Reads what this user can see.
    pub(crate) fn read() -> Result<Self, Failure> {
        match fs::read_to_string(CHANNELS) {
            Ok(text) => Ok(Self {
                channels: parse(&text),
                missing: None,
            }),
            Err(_) if !fs::exists("/sys/module/io_uring_ipc")? => {
                let text = "the kernel module is not loaded: run `ioipc doctor`";
                Err(Failure::new(NO_KERNEL, text))
            }
            Err(error) => Ok(Self {
                channels: own_channels()?,
                missing: Some(missing(&error)),
            }),
        }
    }

    /// The same, and says on standard error what is missing.
    pub(crate) fn read_and_tell() -> Result<Self, Failure> {
        let table = Self::read()?;
        if let Some(missing) = &table.missing {
            eprintln!("ioipc: {missing}");
        }
        Ok(table)
    }
}

fn missing(error: &io::Error) -> String {
    let cure = if error.kind() == io::ErrorKind::NotFound {
        "mount debugfs with `mount -t debugfs debugfs /sys/kernel/debug`"
    } else {
        "run this as root"
    };
    format!(
        "only the channels that your own processes use; to see all, {cure} ({CHANNELS}: {error})"
    )
}

/// Reads the table of debugfs. Its headings tell which column has what.
pub(crate) fn parse(text: &str) -> Vec<Channel> {
    let mut lines = text.lines();
    let headings: Vec<&str> = lines.next().unwrap_or("").split_whitespace().collect();
    let mut channels: Vec<Channel> = Vec::new();
    for line in lines {
        let cells = headings.iter().copied().zip(line.split_whitespace());
        let row: HashMap<&str, &str> = cells.filter(|(_, cell)| *cell != "-").collect();
        let word = |heading| row.get(heading).map(ToString::to_string);
        let number = |heading| row.get(heading)?.parse::<u64>().ok();
        let id = |heading| row.get(heading)?.parse::<u32>().ok();
        let counters = Counters {
            sent: number("sent"),
            received: number("received"),
            lost: number("lost"),
            full: number("full"),
            waits: number("waits"),
        };
        match (id("subscriber"), channels.last_mut()) {
            (Some(subscriber), Some(channel)) => channel.subscribers.push(Subscriber {
                id: subscriber,
                pid: id("pid"),
                uid: id("uid"),
                fill: number("fill"),
                pending: number("pending"),
                counters,
                flags: word("flags"),
            }),
            _ => channels.push(Channel {
                id: id("channel").unwrap_or(0),
                name: word("name"),
                kind: word("delivery").unwrap_or_default(),
                owner: id("uid"),
                group: id("gid"),
                mode: word("mode"),
                ipc_namespace: number("ipc-ns"),
                entries: number("entries"),
                max_message: number("max-msg-size"),
                slot_size: number("slot-size"),
                fill: number("fill"),
                counters,
                dropped: number("dropped"),
                flags: word("flags"),
                subscribers: Vec::new(),
            }),
        }
    }
    channels
}

/// Finds the subscribers of processes of this user.
fn own_channels() -> Result<Vec<Channel>, Failure> {
    let mut channels: Vec<Channel> = Vec::new();
    for process in fs::read_dir("/proc")?.flatten() {
        let Ok(pid) = process.file_name().to_string_lossy().parse() else {
            continue;
        };
        // Another user's process, or one that has just ended.
        let Ok(files) = fs::read_dir(process.path().join("fdinfo")) else {
            continue;
        };
        for text in files
            .flatten()
            .filter_map(|file| fs::read_to_string(file.path()).ok())
        {
            add_fdinfo(&mut channels, pid, &text);
        }
    }
    channels.sort_by_key(|channel| channel.id);
    for channel in &mut channels {
        channel.subscribers.sort_by_key(|subscriber| subscriber.id);
        // Several files, also of several processes, can be of one subscriber.
        channel.subscribers.dedup_by_key(|subscriber| subscriber.id);
    }
    Ok(channels)
}

/// Adds the subscriber of a file, if the file is one of a subscriber.
fn add_fdinfo(channels: &mut Vec<Channel>, pid: u32, text: &str) {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let row: HashMap<&str, &str> = lines.map(|(key, value)| (key, value.trim())).collect();
    let word = |key| row.get(key).map(ToString::to_string);
    let number = |key| row.get(key)?.parse::<u64>().ok();
    let id = |key| row.get(key)?.parse::<u32>().ok();
    let (Some(channel), Some(subscriber)) = (id("ioipc-channel"), id("ioipc-subscriber")) else {
        return;
    };
    let subscriber = Subscriber {
        id: subscriber,
        pid: Some(pid),
        uid: None,
        fill: number("ioipc-lag"),
        pending: number("ioipc-pending"),
        counters: Counters {
            sent: number("ioipc-sent"),
            received: number("ioipc-received"),
            lost: number("ioipc-lost"),
            full: number("ioipc-full"),
            waits: number("ioipc-waits"),
        },
        flags: row.get("ioipc-flags").map(|flags| flag_names(flags)),
    };
    let index = if let Some(index) = channels.iter().position(|other| other.id == channel) {
        index
    } else {
        channels.push(Channel {
            id: channel,
            name: word("ioipc-name"),
            kind: word("ioipc-mode").unwrap_or_default(),
            owner: id("ioipc-owner"),
            dropped: number("ioipc-dropped"),
            ..Channel::default()
        });
        channels.len() - 1
    };
    channels[index].subscribers.push(subscriber);
}

/// The words for the flags of a subscriber, `IOIPC_SUB_*`.
fn flag_names(flags: &str) -> String {
    let digits = flags.trim_start_matches("0x");
    let Ok(bits) = u32::from_str_radix(digits, 16) else {
        return flags.into();
    };
    let names = ["send", "receive", "history", "lossy"];
    let set = names
        .iter()
        .enumerate()
        .filter(|(bit, _)| bits >> bit & 1 != 0);
    set.map(|(_, name)| *name).collect::<Vec<_>>().join(",")
}

/// A name as the kernel shows it: a space, a backslash and what is no printable ASCII look like
/// `\x20`.
pub(crate) fn escape(name: &[u8]) -> String {
    name.iter().fold(String::new(), |mut shown, &byte| {
        if byte.is_ascii_graphic() && byte != b'\\' {
            shown.push(byte.into());
        } else {
            // A string takes all that is written to it.
            let _ = write!(shown, "\\x{byte:02x}");
        }
        shown
    })
}

/// The name of a user, or its number.
pub(crate) fn user(uid: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid.to_string()).then(|| name.to_string())
    });
    found.unwrap_or_else(|| uid.to_string())
}

/// A number, or `-` if the user cannot see it.
pub(crate) fn shown(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".into(), |value| value.to_string())
}

#[cfg(test)]
pub(crate) const EXAMPLE: &str = "\
   channel subscriber delivery         uid        gid     pid mode     ipc-ns entries max-msg-size  fill pending         sent     received       lost    dropped       full      waits flags                      name
         1          - broadcast       1000       1000       - 0600 4026531839      16          256    16       -          100          120         64          0          3          0 overwrite                  org.example.log
         1          3 -               1000          -     412    -          -       -            -     -       -          100            0          0          -          3          0 send                       -
         1          4 -               1000          -     413    -          -       -            -     0       -            0          100          0          -          0          0 receive                    -
         1          5 -               1001          -     420    -          -       -            -    16       -            0           20         64          -          0          0 receive,history            -
         2          - unicast            0          0       - 0600 4026531839       4           64     4       -            4            0          0          0          1          0 private                    -
         2          6 -                  0          -     430    -          -       -            -     -       1            4            0          0          -          1          0 send,receive               -
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_of_all() {
        let channels = parse(EXAMPLE);
        assert_eq!(channels.len(), 2);
        let first = &channels[0];
        assert_eq!(first.title(), "org.example.log");
        assert_eq!((first.id, &*first.kind), (1, "broadcast"));
        assert_eq!((first.owner, first.entries), (Some(1000), Some(16)));
        assert_eq!(first.counters.received, Some(120));
        let ids: Vec<u32> = first.subscribers.iter().map(|one| one.id).collect();
        assert_eq!(ids, [3, 4, 5]);
        assert_eq!(first.subscribers[2].fill, Some(16));
        assert_eq!(first.slowest().map(|one| one.id), Some(5));
        assert_eq!(channels[1].title(), "id:2");
        assert_eq!(channels[1].subscribers[0].pending, Some(1));
        assert_eq!(channels[1].slowest(), None);
        assert_eq!(parse(""), []);
    }

    #[test]
    fn own_files() {
        let mut channels = Vec::new();
        add_fdinfo(&mut channels, 9, "pos:\t0\nflags:\t02\n");
        assert_eq!(channels, []);
        let text = "pos:\t0\nioipc-channel:\t1\nioipc-name:\tbus/log\nioipc-owner:\t1000\n\
                    ioipc-subscriber:\t5\nioipc-mode:\tbroadcast\nioipc-flags:\t0x6\nioipc-lag:\t16\n\
                    ioipc-sent:\t0\nioipc-received:\t20\nioipc-lost:\t64\n";
        add_fdinfo(&mut channels, 9, text);
        add_fdinfo(&mut channels, 9, &text.replace("\t5", "\t7"));
        assert_eq!(channels.len(), 1);
        assert_eq!(channels[0].name.as_deref(), Some("bus/log"));
        let subscriber = &channels[0].subscribers[0];
        assert_eq!((subscriber.id, subscriber.pid), (5, Some(9)));
        assert_eq!(subscriber.flags.as_deref(), Some("receive,history"));
        assert_eq!(subscriber.counters.lost, Some(64));
        assert_eq!(channels[0].subscribers[1].id, 7);
    }

    #[test]
    fn names_as_the_kernel_shows_them() {
        assert_eq!(escape(b"bus/log"), "bus/log");
        assert_eq!(escape(b"a b\\\n\xff"), "a\\x20b\\x5c\\x0a\\xff");
    }

    #[test]
    fn rates() {
        let at = |sent| Counters {
            sent: Some(sent),
            ..Counters::default()
        };
        let rates = at(500).rates(&at(100), 2.0);
        assert_eq!((rates.sent, rates.lost), (Some(200), None));
    }
}
