// SPDX-License-Identifier: MIT

//! `ioipc send`

use std::io::{stdin, IoSlice, Read};

use io_uring_ipc::{Error, Sender, SubscriberId};
use serde_json::json;

use crate::{
    cli::Send,
    failure::{Failure, USAGE},
    output::Output,
};

/// How much it reads at once. A longer line takes more.
const CHUNK: usize = 64 << 10;

/// A sender, and how many messages it has sent.
struct Messages {
    sender: Sender,
    to: Option<SubscriberId>,
    is_hex: bool,
    sent: u64,
}

impl Messages {
    /// Sends messages in order.
    fn send<'a>(&mut self, messages: impl Iterator<Item = &'a [u8]>) -> Result<(), Failure> {
        let number = self.sent + 1;
        let decoded: Vec<Vec<u8>>;
        let messages: Vec<IoSlice<'_>> = if self.is_hex {
            let decode = |(number, digits)| {
                from_hex(digits).map_err(|error| error.about(format!("message {number}")))
            };
            decoded = (number..)
                .zip(messages)
                .map(decode)
                .collect::<Result<_, _>>()?;
            decoded
                .iter()
                .map(|message| IoSlice::new(message))
                .collect()
        } else {
            messages.map(IoSlice::new).collect()
        };
        let mut left = &messages[..];
        while !left.is_empty() {
            let sent = match self.to {
                Some(to) => self.sender.send_vec_to(to, left),
                None => self.sender.send_vec(left),
            };
            let sent = sent.map_err(|error| self.explain(error, left[0].len()))?;
            left = &left[sent..];
            self.sent += sent as u64;
        }
        Ok(())
    }

    /// Why a message of this length was not sent.
    fn explain(&self, error: Error, len: usize) -> Failure {
        let is_too_long = matches!(error, Error::TooLong);
        let failure = Failure::from(error).about(format!("message {}", self.sent + 1));
        if is_too_long {
            Failure::new(USAGE, format!("{} (it has {len} bytes)", failure.text))
        } else {
            failure
        }
    }

    /// Sends each line of standard input, as soon as it is there.
    fn send_lines(&mut self) -> Result<(), Failure> {
        let mut input = stdin().lock();
        let mut bytes = Vec::new();
        loop {
            let start = bytes.len();
            bytes.resize(start + CHUNK, 0);
            let len = input.read(&mut bytes[start..])?;
            bytes.truncate(start + len);
            let lines = if len == 0 {
                bytes.len()
            } else {
                // The bytes before `start` have no end of a line.
                match bytes[start..].iter().rposition(|&byte| byte == b'\n') {
                    Some(end) => start + end + 1,
                    None => continue,
                }
            };
            self.send(
                bytes[..lines]
                    .split_inclusive(|&byte| byte == b'\n')
                    .map(without_end),
            )?;
            bytes.drain(..lines);
            if len == 0 {
                return Ok(());
            }
        }
    }
}

pub(crate) fn run(options: &Send, out: &mut Output) -> Result<(), Failure> {
    let about = |failure: Failure| failure.about(&options.channel);
    let sender = Sender::open(options.channel.address());
    let mut sender = sender.map_err(|error| about(error.into()))?;
    sender.set_timeout(options.wait.timeout());
    let mut messages = Messages {
        sender,
        to: options.to,
        is_hex: options.hex,
        sent: 0,
    };
    let sent = if options.whole {
        let mut whole = Vec::new();
        stdin().lock().read_to_end(&mut whole)?;
        messages.send(std::iter::once(&whole[..]))
    } else if options.messages.is_empty() {
        messages.send_lines()
    } else {
        messages.send(options.messages.iter().map(String::as_bytes))
    };
    if out.is_json {
        out.json(&json!({ "sent": messages.sent }))?;
        out.flush()?;
    }
    sent.map_err(about)
}

fn without_end(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}

/// The bytes that hexadecimal digits stand for. White space is ignored.
fn from_hex(digits: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut values = Vec::new();
    for &digit in digits.iter().filter(|digit| !digit.is_ascii_whitespace()) {
        let value = char::from(digit).to_digit(16);
        values.push(
            value.ok_or_else(|| {
                Failure::new(USAGE, "this is no hexadecimal digit: 0 to 9, a to f")
            })?,
        );
    }
    if !values.len().is_multiple_of(2) {
        return Err(Failure::new(
            USAGE,
            "a byte has two hexadecimal digits, and one is missing",
        ));
    }
    let byte = |pair: &[u32]| (pair[0] << 4 | pair[1]).to_le_bytes()[0];
    Ok(values.chunks(2).map(byte).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal() {
        assert_eq!(from_hex(b"00 ff 7E").unwrap(), [0, 255, 126]);
        assert!(from_hex(b"").unwrap().is_empty());
        for bad in [&b"0"[..], b"000", b"0x00", b"gg"] {
            assert_eq!(from_hex(bad).unwrap_err().status, USAGE);
        }
    }
}
