// SPDX-License-Identifier: MIT

//! Numbers of channels, and what the owner does with them.

use std::os::fd::AsRawFd;

use io_uring_ipc::{destroy, Error, Receiver, Sender};
use serde_json::json;

use crate::{
    cli::{self, Channel},
    failure::Failure,
    output::Output,
    table::{escape, Table},
};

/// Finds the number of a channel. A process that may use the channel attaches to it, and the file of
/// the subscriber tells the number. Otherwise the table of all channels may have its name.
pub(crate) fn number_of(channel: &Channel) -> Result<u32, Failure> {
    if let Channel::Id(id) = channel {
        return Ok(*id);
    }
    let address = channel.address();
    let found = match Sender::open(address) {
        Ok(sender) => number_in_fdinfo(sender.as_raw_fd()),
        Err(Error::Denied) => Receiver::open(address)
            .map_err(Failure::from)
            .and_then(|receiver| number_in_fdinfo(receiver.as_raw_fd())),
        Err(error) => Err(error.into()),
    };
    found
        .or_else(|failure| number_in_table(channel).ok_or(failure))
        .map_err(|failure| failure.about(channel))
}

fn number_in_fdinfo(fd: i32) -> Result<u32, Failure> {
    let path = format!("/proc/self/fdinfo/{fd}");
    let text = std::fs::read_to_string(&path)?;
    let number = text
        .lines()
        .find_map(|line| line.strip_prefix("ioipc-channel:"))
        .and_then(|number| number.trim().parse().ok());
    number.ok_or_else(|| Failure::new(1, format!("{path} tells no number of a channel")))
}

fn number_in_table(channel: &Channel) -> Option<u32> {
    let Channel::Name(name) = channel else {
        return None;
    };
    let name = Some(escape(name.as_bytes()));
    let table = Table::read().ok()?;
    let found = table.channels.iter().find(|other| other.name == name);
    found.map(|channel| channel.id)
}

pub(crate) fn evict(options: &cli::Evict, out: &mut Output) -> Result<(), Failure> {
    let id = options.subscriber;
    io_uring_ipc::evict(id).map_err(|error| Failure::from(error).about(id))?;
    out.either(
        &json!({ "evicted": id }),
        format!("subscriber {id} is detached"),
    )
}

pub(crate) fn remove(options: &cli::One, out: &mut Output) -> Result<(), Failure> {
    let channel = &options.channel;
    let id = number_of(channel)?;
    destroy(id).map_err(|error| Failure::from(error).about(channel))?;
    out.either(
        &json!({ "destroyed": id }),
        format!("channel {channel} is destroyed"),
    )
}
