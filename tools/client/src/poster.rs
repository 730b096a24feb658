// SPDX-License-Identifier: MIT

//! Sending without being a subscriber.

use std::time::Duration;

use crate::{
    channel::SubscriberId,
    error::{Error, Result},
    ring::Ring,
    sender::one_message,
    sys,
};

/// Sends messages to any channels, without being attached to them: it takes no place among the
/// subscribers of a channel, and one poster serves many channels.
///
/// Channels that are private accept no such messages. Each send checks the permissions, so it takes
/// longer than that of a [`Sender`](crate::Sender).
///
/// ```no_run
/// use io_uring_ipc::Poster;
///
/// # let (first, second) = (1, 2);
/// let mut poster = Poster::new()?;
/// for channel in [first, second] {
///     poster.send(channel, b"hello")?;
/// }
/// # Ok::<(), io_uring_ipc::Error>(())
/// ```
pub struct Poster {
    ring: Ring,
    timeout: Option<Duration>,
}

impl Poster {
    /// A poster for all channels.
    ///
    /// ```no_run
    /// let poster = io_uring_ipc::Poster::new()?;
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoIoUring`], [`Error::Os`].
    pub fn new() -> Result<Self> {
        Ok(Self {
            ring: Ring::new()?,
            timeout: None,
        })
    }

    /// How long [`Poster::send`] and [`Poster::send_to`] wait for room. Without a timeout they wait
    /// until there is room or the channel is destroyed.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # let mut poster = io_uring_ipc::Poster::new()?;
    /// poster.set_timeout(Some(Duration::from_millis(100)));
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
    }

    /// Sends a message to the channel with this number, and waits for room if the channel is full.
    ///
    /// ```no_run
    /// # use io_uring_ipc::{Channel, Options, Poster};
    /// let channel = Channel::create(&Options::unicast(64, 4096))?;
    /// Poster::new()?.send(channel.id(), b"hello")?;
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoChannel`] if there is none, or if it is destroyed; [`Error::Denied`] if its mode
    /// does not permit this, or if it is private; [`Error::TooLong`]; [`Error::TimedOut`];
    /// [`Error::NoModule`]; [`Error::NoKernel`]; [`Error::Os`]. Nothing was sent then.
    pub fn send(&mut self, channel: u32, message: &[u8]) -> Result<()> {
        self.one(channel, message, None, sys::SEND_WAIT)
    }

    /// Sends a message without waiting.
    ///
    /// ```no_run
    /// # let mut poster = io_uring_ipc::Poster::new()?;
    /// # let channel = 1;
    /// poster.try_send(channel, b"hello")?;
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Full`]; otherwise as [`Poster::send`].
    pub fn try_send(&mut self, channel: u32, message: &[u8]) -> Result<()> {
        self.one(channel, message, None, 0)
    }

    /// Sends a message to one receiver of the channel, and waits for room if the channel is full.
    ///
    /// ```no_run
    /// # let mut poster = io_uring_ipc::Poster::new()?;
    /// # let (channel, receiver) = (1, io_uring_ipc::SubscriberId::new(7).unwrap());
    /// poster.send_to(channel, receiver, b"only for you")?;
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoChannel`] also if there is no such receiver; otherwise as [`Poster::send`].
    pub fn send_to(&mut self, channel: u32, receiver: SubscriberId, message: &[u8]) -> Result<()> {
        self.one(channel, message, Some(receiver), sys::SEND_WAIT)
    }

    fn one(
        &mut self,
        channel: u32,
        message: &[u8],
        target: Option<SubscriberId>,
        flags: u32,
    ) -> Result<()> {
        let sqe = sys::Sqe {
            fd: channel,
            ..one_message(message, 0, target, flags)?
        };
        // SAFETY: The kernel reads the message while `message` is borrowed.
        let sent = unsafe { self.ring.run(sqe, self.timeout) };
        sent.map(drop)
            .map_err(|errno| self.ring.explain(errno, Error::NoChannel))
    }
}
