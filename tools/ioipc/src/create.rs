// SPDX-License-Identifier: MIT

//! `ioipc create`

use io_uring_ipc::{Address, Channel, Error, Options, Sender};
use serde_json::json;

use crate::{
    cli::{Create, Kind},
    failure::Failure,
    output::Output,
    table::escape,
};

pub(crate) fn run(arguments: &Create, out: &mut Output) -> Result<(), Failure> {
    let kind = match arguments.kind {
        Kind::Unicast => Options::unicast,
        Kind::Multicast => Options::multicast,
        Kind::Broadcast => Options::broadcast,
    };
    let mut options = kind(arguments.entries, arguments.max_message)
        .name(&arguments.name)
        .mode(arguments.mode);
    if let Some(key) = arguments.key {
        options = options.key(key);
    }
    if let Some(bytes) = arguments.slot_size {
        options = options.slot_size(bytes);
    }
    if arguments.overwrite {
        options = options.overwrite();
    }
    if arguments.private {
        options = options.private();
    }
    let name = escape(arguments.name.as_bytes());
    let channel = Channel::create(&options).map_err(|error| Failure::from(error).about(&name))?;
    let id = channel.id();
    // This sender makes the channel visible to its owner, in the files of this process.
    let mut sender = Sender::open(Address::Id(id));
    out.either(
        &json!({ "created": id, "name": name }),
        format!("channel {name} is created, with the number {id}"),
    )?;
    // A sender that waits for its own end is told when the channel is destroyed.
    loop {
        match sender.and_then(|mut sender| sender.wait_gone(sender.id())) {
            Err(Error::Destroyed | Error::NoChannel) => return Ok(()),
            // The owner has evicted this sender.
            Ok(()) | Err(Error::NoSubscriber) => sender = Sender::open(Address::Id(id)),
            // The mode does not let the owner send, or there is no place: the channel exists until
            // this process is killed.
            Err(_) => loop {
                std::thread::park();
            },
        }
    }
}
