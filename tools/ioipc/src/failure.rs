// SPDX-License-Identifier: MIT

//! Why the command fails: a sentence, and an exit status.

use std::{io, process::ExitCode};

use io_uring_ipc::Error;

/// The input is not what the options say.
pub(crate) const USAGE: u8 = 2;
/// There is no such channel or subscriber.
pub(crate) const MISSING: u8 = 3;
/// The user must not do this.
pub(crate) const DENIED: u8 = 4;
/// The kernel has no channels.
pub(crate) const NO_KERNEL: u8 = 5;
/// Nothing happened within the time.
pub(crate) const NOTHING: u8 = 6;
/// A shell says this of a process that SIGPIPE has killed.
const BROKEN_PIPE: u8 = 141;
/// And this of one that SIGINT has killed.
pub(crate) const INTERRUPTED: u8 = 130;

/// Why the command fails.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: u8,
    /// Empty if there is nothing to say.
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn new(status: u8, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
        }
    }

    /// Says what it is about.
    pub(crate) fn about(mut self, what: impl std::fmt::Display) -> Self {
        if !self.text.is_empty() {
            self.text = format!("{what}: {}", self.text);
        }
        self
    }

    pub(crate) fn report(self) -> ExitCode {
        if !self.text.is_empty() {
            eprintln!("ioipc: {}", self.text);
        }
        self.status.into()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match error {
            Error::NoChannel | Error::NoSubscriber => MISSING,
            Error::Denied | Error::NotOwner => DENIED,
            Error::NoModule | Error::NoKernel | Error::NoIoUring(_) => NO_KERNEL,
            Error::Empty | Error::Full | Error::TimedOut => NOTHING,
            _ => 1,
        };
        Self::new(status, error.to_string())
    }
}

/// What fails is standard input or output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(BROKEN_PIPE, ""),
            io::ErrorKind::PermissionDenied => Self::new(DENIED, error.to_string()),
            _ => Self::new(1, error.to_string()),
        }
    }
}
