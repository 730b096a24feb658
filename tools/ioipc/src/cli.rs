// SPDX-License-Identifier: MIT

//! The command line.

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use io_uring_ipc::{Address, SubscriberId};

/// Show and use message channels between processes, driven by `io_uring`.
#[derive(Parser)]
#[command(
    name = "ioipc",
    version,
    after_help = "A CHANNEL is a name, id:NUMBER, key:NUMBER, or name:NAME.\n\n\
                  Exit status: 0 success, 1 any other failure, 2 wrong usage or input, 3 there is no \
                  such channel or\nsubscriber, 4 not permitted, 5 the kernel has no channels, 6 \
                  nothing within the time, or full or empty."
)]
pub(crate) struct Arguments {
    /// Print JSON, one object in a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// List the channels
    Ls(Ls),
    /// Show a channel and its subscribers
    Show(One),
    /// Show the channels and what they do, again and again
    Top(Top),
    /// Create a channel, which exists as long as this command runs
    Create(Create),
    /// Send messages: the arguments, or the lines of standard input
    Send(Send),
    /// Receive messages until the channel is destroyed
    Recv(Recv),
    /// Detach a subscriber from a channel of yours
    Evict(Evict),
    /// Destroy a channel of yours
    Rm(One),
    /// Measure a channel, with messages that no other receiver gets
    Bench(Bench),
    /// Tell in words what happens in the channels (needs root)
    Watch(Watch),
    /// Check whether channels work here, and say what to do if not
    Doctor,
    /// Print what a shell needs to complete the arguments of this command
    Completions(Completions),
}

#[derive(Args)]
pub(crate) struct Ls {
    /// Wait a second, and show how many messages came in it and not since the beginning
    #[arg(long)]
    pub(crate) rates: bool,
}

#[derive(Args)]
pub(crate) struct One {
    pub(crate) channel: Channel,
}

#[derive(Args)]
pub(crate) struct Top {
    /// Time between two looks
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub(crate) interval: Duration,
    /// End after so many looks
    #[arg(short = 'n', long, value_name = "NUMBER")]
    pub(crate) count: Option<u64>,
}

/// Which receivers get a message.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Kind {
    /// One receiver, the first that waits
    Unicast,
    /// One receiver, in turn
    Multicast,
    /// Each receiver
    Broadcast,
}

#[derive(Args)]
pub(crate) struct Create {
    /// Its name
    pub(crate) name: String,
    /// Which receivers get a message
    #[arg(long, value_enum, default_value = "unicast")]
    pub(crate) kind: Kind,
    /// How many messages it holds, a power of two
    #[arg(long, value_name = "NUMBER", default_value_t = 64)]
    pub(crate) entries: u32,
    /// Bytes of the largest message
    #[arg(long, value_name = "BYTES", default_value_t = 4096)]
    pub(crate) max_message: u32,
    /// Bytes of usual messages: longer ones take several entries
    #[arg(long, value_name = "BYTES")]
    pub(crate) slot_size: Option<u32>,
    /// Permissions in octal: read to receive, write to send
    #[arg(long, default_value = "600", value_parser = octal)]
    pub(crate) mode: u32,
    /// Another way to find it
    #[arg(long, value_name = "NUMBER")]
    pub(crate) key: Option<u64>,
    /// A full broadcast overwrites the oldest message
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Only its owner finds it, and no process reads it in place
    #[arg(long)]
    pub(crate) private: bool,
}

#[derive(Args)]
pub(crate) struct Send {
    pub(crate) channel: Channel,
    /// Each one is a message; without any, each line of standard input is
    pub(crate) messages: Vec<String>,
    /// The messages are hexadecimal digits
    #[arg(long)]
    pub(crate) hex: bool,
    /// The whole standard input is one message
    #[arg(long, conflicts_with = "messages")]
    pub(crate) whole: bool,
    /// Only this subscriber receives the messages
    #[arg(long, value_name = "ID")]
    pub(crate) to: Option<SubscriberId>,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Args)]
#[expect(clippy::struct_excessive_bools)]
pub(crate) struct Recv {
    pub(crate) channel: Channel,
    /// End after so many messages
    #[arg(short = 'n', long, value_name = "NUMBER")]
    pub(crate) count: Option<u64>,
    /// Print hexadecimal digits
    #[arg(long, conflicts_with = "raw")]
    pub(crate) hex: bool,
    /// Print nothing between the messages
    #[arg(long, conflicts_with = "json")]
    pub(crate) raw: bool,
    /// Begin with the oldest message that a broadcast still has
    #[arg(long)]
    pub(crate) history: bool,
    /// Senders of a broadcast overwrite rather than wait for this receiver
    #[arg(long)]
    pub(crate) lossy: bool,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Args)]
pub(crate) struct Wait {
    /// End when the channel is full or empty
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// End when a message has waited for so long
    #[arg(long, value_name = "SECONDS", value_parser = seconds, conflicts_with = "no_wait")]
    pub(crate) timeout: Option<Duration>,
}

impl Wait {
    /// For `set_timeout`. A request with the timeout 0 looks once.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        if self.no_wait {
            Some(Duration::ZERO)
        } else {
            self.timeout
        }
    }
}

#[derive(Args)]
pub(crate) struct Evict {
    /// The number of the subscriber, as `show` tells it
    #[arg(value_name = "ID")]
    pub(crate) subscriber: SubscriberId,
}

#[derive(Args)]
pub(crate) struct Bench {
    pub(crate) channel: Channel,
    /// Bytes of a message
    #[arg(long, value_name = "BYTES", default_value_t = 64)]
    pub(crate) size: usize,
    /// How many messages
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 100_000)]
    pub(crate) count: u64,
}

#[derive(Args)]
pub(crate) struct Watch {
    /// Only this one
    pub(crate) channel: Option<Channel>,
    /// End after so many events
    #[arg(short = 'n', long, value_name = "NUMBER")]
    pub(crate) count: Option<u64>,
}

#[derive(Args)]
pub(crate) struct Completions {
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// How the user names a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Channel {
    Name(String),
    Key(u64),
    Id(u32),
}

impl Channel {
    pub(crate) fn address(&self) -> Address<'_> {
        match self {
            Self::Name(name) => Address::from(&**name),
            Self::Key(key) => Address::Key(*key),
            Self::Id(id) => Address::Id(*id),
        }
    }
}

impl std::fmt::Display for Channel {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => out.write_str(&crate::table::escape(name.as_bytes())),
            Self::Key(key) => write!(out, "key:{key}"),
            Self::Id(id) => write!(out, "id:{id}"),
        }
    }
}

impl std::str::FromStr for Channel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |what| format!("{what} is followed by a number that is not 0");
        if let Some(key) = text.strip_prefix("key:") {
            return match key.parse() {
                Ok(0) | Err(_) => Err(number("key:")),
                Ok(key) => Ok(Self::Key(key)),
            };
        }
        if let Some(id) = text.strip_prefix("id:") {
            return match id.parse() {
                Ok(0) | Err(_) => Err(number("id:")),
                Ok(id) => Ok(Self::Id(id)),
            };
        }
        let name = text.strip_prefix("name:").unwrap_or(text);
        if name.is_empty() {
            return Err("a name has at least one byte".into());
        }
        Ok(Self::Name(name.into()))
    }
}

fn octal(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o666 && mode & 0o111 == 0 => Ok(mode),
        _ => Err("a mode has octal digits, and no execute permission, such as 640".into()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "this is no number of seconds, such as 0.5".into())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn ways_to_name_a_channel() {
        let parse = str::parse::<Channel>;
        assert_eq!(parse("bus/log"), Ok(Channel::Name("bus/log".into())));
        assert_eq!(parse("name:id:7"), Ok(Channel::Name("id:7".into())));
        assert_eq!(parse("id:7"), Ok(Channel::Id(7)));
        assert_eq!(parse("key:4711"), Ok(Channel::Key(4711)));
        for bad in ["", "name:", "id:", "id:0", "id:x", "key:0", "key:-1"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn modes() {
        assert_eq!(octal("640"), Ok(0o640));
        assert_eq!(octal("0666"), Ok(0o666));
        for bad in ["", "8", "777", "1000", "-1"] {
            assert!(octal(bad).is_err(), "{bad}");
        }
    }
}
