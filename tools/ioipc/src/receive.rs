// SPDX-License-Identifier: MIT

//! `ioipc recv`

use std::fmt::Write;

use io_uring_ipc::{Error, Message, Receiver, ReceiverOptions};
use serde::Serialize;

use crate::{
    cli::Recv,
    failure::{Failure, NOTHING},
    output::Output,
};

/// A message as JSON.
#[derive(Serialize)]
struct Json<'a> {
    id: u32,
    sender: Option<u32>,
    sender_data: u64,
    pid: u32,
    uid: u32,
    gid: u32,
    targeted: bool,
    lost: u64,
    /// If it is UTF-8, and the user has not asked for digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    /// Otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

pub(crate) fn run(options: &Recv, out: &mut Output) -> Result<(), Failure> {
    let about = |error: Error| Failure::from(error).about(&options.channel);
    let mut how = ReceiverOptions::new();
    if options.history {
        how = how.history();
    }
    if options.lossy {
        how = how.lossy();
    }
    let mut receiver = how.open(options.channel.address()).map_err(about)?;
    receiver.set_timeout(options.wait.timeout());
    let wanted = options.count.unwrap_or(u64::MAX);
    let mut count = 0;
    while count < wanted {
        match some(&mut receiver, options, out) {
            Ok(printed) => count += printed?,
            Err(Error::Destroyed) if options.count.is_none() => break,
            Err(Error::TimedOut) if options.count.is_none() && count > 0 => break,
            Err(Error::TimedOut) => {
                let text = format!(
                    "{}: there were {count} messages within the time",
                    options.channel
                );
                return Err(Failure::new(NOTHING, text));
            }
            Err(error) => return Err(about(error)),
        }
        out.flush()?;
    }
    Ok(())
}

/// Receives messages and prints them. With a count, no more than one: what is received and not
/// printed is lost.
fn some(
    receiver: &mut Receiver,
    options: &Recv,
    out: &mut Output,
) -> Result<Result<u64, Failure>, Error> {
    if options.count.is_some() {
        let message = receiver.recv()?;
        return Ok(print(&message, options, out).map(|()| 1));
    }
    let mut bundle = receiver.recv_bundle()?;
    Ok(bundle.try_fold(0, |count, message| {
        print(&message, options, out)?;
        Ok(count + 1)
    }))
}

fn print(message: &Message<&[u8]>, options: &Recv, out: &mut Output) -> Result<(), Failure> {
    let Message { data, info } = message;
    if out.is_json {
        let text = std::str::from_utf8(data).ok().filter(|_| !options.hex);
        return out.json(&Json {
            id: info.id,
            sender: info.sender.map(Into::into),
            sender_data: info.sender_data,
            pid: info.pid,
            uid: info.uid,
            gid: info.gid,
            targeted: info.is_targeted,
            lost: info.lost,
            text,
            hex: text.is_none().then(|| to_hex(data)),
        });
    }
    if info.lost > 0 {
        eprintln!(
            "ioipc: {}: {} messages were lost here",
            options.channel, info.lost
        );
    }
    match (options.raw, options.hex) {
        (true, _) => out.bytes(data),
        (_, true) => out.line(to_hex(data)),
        _ => out.line(data),
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        // A string takes all that is written to it.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}
