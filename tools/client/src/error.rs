// SPDX-License-Identifier: MIT

//! Why something failed, and what helps.

use std::io;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something failed.
///
/// The message of an error says what helps. [`Error::errno`] has the kernel's number, which the
/// kernel's log and `<linux/io_uring/ipc.h>` use.
///
/// ```no_run
/// use io_uring_ipc::{Channel, Error, Options};
///
/// match Channel::create(&Options::unicast(64, 4096).name("jobs")) {
///     Ok(_channel) => println!("created"),
///     Err(Error::Exists) => println!("another process was faster"),
///     Err(error) => eprintln!("{error}"),
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no message (`EAGAIN`).
    #[error("there is no message: receive with a function that waits")]
    Empty,
    /// The channel has no room (`ENOBUFS`).
    #[error("the channel is full: send with a function that waits, or read faster")]
    Full,
    /// The time of [`Sender::set_timeout`](crate::Sender::set_timeout) or a similar function is
    /// over (`ETIMEDOUT`). Nothing was sent or received.
    #[error("nothing happened within the timeout")]
    TimedOut,
    /// The channel was destroyed, and there is no message left (`EPIPE`).
    #[error("the channel was destroyed: its creator has ended or dropped it")]
    Destroyed,
    /// There is no such channel (`ENOENT`).
    #[error("there is no such channel in this IPC namespace: create it first, or check its name")]
    NoChannel,
    /// The subscriber is detached, or the target of the message is (`ENOENT`).
    #[error("the subscriber is detached: its process has ended, or the owner has evicted it")]
    NoSubscriber,
    /// The name or the key is in use (`EEXIST`).
    #[error("another channel has this name or key: open that one, or choose another name")]
    Exists,
    /// The mode of the channel does not permit this (`EACCES`).
    #[error("permission denied: the creator of the channel decides by its mode")]
    Denied,
    /// Only the creator of the channel, its owner and `CAP_IPC_OWNER` may do this (`EPERM`).
    #[error("not permitted: only the owner of a channel may destroy it or evict others")]
    NotOwner,
    /// The message is longer than the channel permits (`EMSGSIZE`).
    #[error("the message is too long: create the channel for longer messages")]
    TooLong,
    /// The channel has no place for another subscriber, or none for this user (`EUSERS`).
    #[error("the channel has too many subscribers: detach others, or evict them")]
    TooManySubscribers,
    /// Only receivers of broadcast channels that are not private can receive in place
    /// (`EOPNOTSUPP`).
    #[error("the channel cannot be read in place: it is private, or no broadcast")]
    NotInPlace,
    /// A value is not valid (`EINVAL`).
    #[error(
        "a value is not valid: a channel has a power of two of entries, at most 32768, \
         and messages of 1 byte to 1 MiB, or to 64 MiB with a size of slots; a name has 1 to 127 bytes"
    )]
    Invalid,
    /// The module is not loaded (`EOPNOTSUPP`).
    #[error("the kernel module is not loaded: run `modprobe io_uring_ipc`")]
    NoModule,
    /// The kernel does not have the patches (`EINVAL`).
    #[error("this kernel has no IPC channels: boot one that has them")]
    NoKernel,
    /// This process must not use `io_uring` (`EPERM`, `ENOSYS`).
    #[error("io_uring is not available: look at sysctl kernel.io_uring_disabled and at seccomp")]
    NoIoUring(#[source] io::Error),
    /// A value could not be made a message, or a message is no value of the type.
    #[cfg(feature = "typed")]
    #[error("the message is not of this type: sender and receiver need the same type")]
    Codec(#[from] postcard::Error),
    /// Something else, such as no memory (`ENOMEM`) or too many open files (`EMFILE`).
    #[error("the kernel refused: {0}")]
    Os(#[source] io::Error),
}

impl Error {
    /// Says what an error number of a request or command means. `missing` is what `ENOENT` means.
    pub(crate) fn new(errno: i32, missing: Self) -> Self {
        match errno {
            libc::EAGAIN => Self::Empty,
            libc::ENOBUFS => Self::Full,
            libc::ETIMEDOUT => Self::TimedOut,
            libc::EPIPE => Self::Destroyed,
            libc::ENOENT => missing,
            libc::EEXIST => Self::Exists,
            libc::EACCES => Self::Denied,
            libc::EPERM => Self::NotOwner,
            libc::EMSGSIZE => Self::TooLong,
            libc::EUSERS => Self::TooManySubscribers,
            libc::EINVAL => Self::Invalid,
            libc::EOPNOTSUPP => Self::NoModule,
            other => Self::Os(io::Error::from_raw_os_error(other)),
        }
    }

    /// The error number of Linux, such as `libc::EAGAIN`.
    ///
    /// ```
    /// assert_eq!(io_uring_ipc::Error::Full.errno(), libc::ENOBUFS);
    /// ```
    #[must_use]
    pub fn errno(&self) -> i32 {
        match self {
            Self::Empty => libc::EAGAIN,
            Self::Full => libc::ENOBUFS,
            Self::TimedOut => libc::ETIMEDOUT,
            Self::Destroyed => libc::EPIPE,
            Self::NoChannel | Self::NoSubscriber => libc::ENOENT,
            Self::Exists => libc::EEXIST,
            Self::Denied => libc::EACCES,
            Self::NotOwner => libc::EPERM,
            Self::TooLong => libc::EMSGSIZE,
            Self::TooManySubscribers => libc::EUSERS,
            Self::NotInPlace | Self::NoModule => libc::EOPNOTSUPP,
            Self::Invalid | Self::NoKernel => libc::EINVAL,
            #[cfg(feature = "typed")]
            Self::Codec(_) => libc::EBADMSG,
            Self::NoIoUring(error) | Self::Os(error) => error.raw_os_error().unwrap_or(libc::EIO),
        }
    }

    /// Whether the same call may succeed later: the channel was empty or full.
    #[cfg(feature = "tokio")]
    pub(crate) fn is_would_block(&self) -> bool {
        matches!(self, Self::Empty | Self::Full)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Os(error)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = Self::from_raw_os_error(error.errno()).kind();
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for errno in 1..134 {
            assert_eq!(Error::new(errno, Error::NoChannel).errno(), errno);
            assert_eq!(Error::new(errno, Error::NoSubscriber).errno(), errno);
        }
    }

    #[test]
    fn kinds_of_io_errors() {
        let kind = |error| io::Error::from(error).kind();
        assert_eq!(kind(Error::Empty), io::ErrorKind::WouldBlock);
        assert_eq!(kind(Error::Destroyed), io::ErrorKind::BrokenPipe);
        assert_eq!(kind(Error::NoChannel), io::ErrorKind::NotFound);
    }
}
