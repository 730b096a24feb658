// SPDX-License-Identifier: MIT

//! Sending.

use std::io::IoSlice;

use crate::{
    channel::{Address, SubscriberId},
    endpoint::{subscriber, Endpoint},
    error::{Error, Result},
    sys,
};

/// Sends messages to a channel.
///
/// Receivers see the messages of one sender in the order in which they were sent. A message whose
/// sending has succeeded is received, or each receiver that misses it is told so.
///
/// ```no_run
/// use io_uring_ipc::Sender;
///
/// let mut sender = Sender::open("jobs")?;
/// sender.send(b"hello")?;
/// # Ok::<(), io_uring_ipc::Error>(())
/// ```
pub struct Sender {
    pub(crate) endpoint: Endpoint,
    data: u64,
}

subscriber!(Sender);

impl Sender {
    /// Opens a channel to send. This needs write permission.
    ///
    /// ```no_run
    /// # use io_uring_ipc::{Address, Sender};
    /// let by_name = Sender::open("jobs")?;
    /// let by_key = Sender::open(Address::Key(4711))?;
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoChannel`], [`Error::Denied`], [`Error::TooManySubscribers`],
    /// [`Error::NoModule`], [`Error::NoKernel`], [`Error::NoIoUring`], [`Error::Os`].
    pub fn open<'a>(channel: impl Into<Address<'a>>) -> Result<Self> {
        Self::with_flags(channel.into(), sys::SUB_SEND)
    }

    /// Attaches with these flags.
    pub(crate) fn with_flags(channel: Address<'_>, flags: u32) -> Result<Self> {
        Ok(Self {
            endpoint: Endpoint::open(channel, flags)?,
            data: 0,
        })
    }

    /// From now on, each message comes with this number, see
    /// [`Info::sender_data`](crate::Info::sender_data).
    ///
    /// ```no_run
    /// # let mut sender = io_uring_ipc::Sender::open("jobs")?;
    /// sender.set_data(42);
    /// sender.send(b"the receiver finds 42 in info.sender_data")?;
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    pub fn set_data(&mut self, data: u64) {
        self.data = data;
    }

    /// Sends a message, and waits for room if the channel is full.
    ///
    /// ```no_run
    /// # let mut sender = io_uring_ipc::Sender::open("jobs")?;
    /// sender.send(b"hello")?;
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`]; [`Error::Destroyed`]; [`Error::NoSubscriber`] if the owner of the
    /// channel has evicted this sender; [`Error::TimedOut`]; [`Error::Os`]. Nothing was sent then.
    pub fn send(&mut self, message: &[u8]) -> Result<()> {
        self.one(message, None, sys::SEND_WAIT)
    }

    /// Sends a message without waiting.
    ///
    /// ```no_run
    /// # use io_uring_ipc::Error;
    /// # let mut sender = io_uring_ipc::Sender::open("jobs")?;
    /// match sender.try_send(b"hello") {
    ///     Err(Error::Full) => println!("no room"),
    ///     result => result?,
    /// }
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Full`]; otherwise as [`Sender::send`].
    pub fn try_send(&mut self, message: &[u8]) -> Result<()> {
        self.one(message, None, 0)
    }

    /// Sends a message to one receiver, and waits for room if the channel is full. No other
    /// receiver gets the message.
    ///
    /// ```no_run
    /// # use io_uring_ipc::SubscriberId;
    /// # let mut sender = io_uring_ipc::Sender::open("jobs")?;
    /// # let receiver = SubscriberId::new(7).unwrap();
    /// sender.send_to(receiver, b"only for you")?;
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoSubscriber`] also if there is no such receiver; otherwise as [`Sender::send`].
    pub fn send_to(&mut self, receiver: SubscriberId, message: &[u8]) -> Result<()> {
        self.one(message, Some(receiver), sys::SEND_WAIT)
    }

    /// Sends a message to one receiver without waiting.
    ///
    /// ```no_run
    /// # use io_uring_ipc::SubscriberId;
    /// # let mut sender = io_uring_ipc::Sender::open("jobs")?;
    /// # let receiver = SubscriberId::new(7).unwrap();
    /// sender.try_send_to(receiver, b"only for you")?;
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Full`]; otherwise as [`Sender::send_to`].
    pub fn try_send_to(&mut self, receiver: SubscriberId, message: &[u8]) -> Result<()> {
        self.one(message, Some(receiver), 0)
    }

    /// Sends several messages with one system call, at most 1024. Returns how many it has sent:
    /// at least one, and fewer than there are if the channel is full then. Waits until there is
    /// room for one.
    ///
    /// ```no_run
    /// # use std::io::IoSlice;
    /// # let mut sender = io_uring_ipc::Sender::open("jobs")?;
    /// let mut messages = &[IoSlice::new(b"one"), IoSlice::new(b"two")][..];
    /// while !messages.is_empty() {
    ///     let sent = sender.send_vec(messages)?;
    ///     messages = &messages[sent..];
    /// }
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Sender::send`], about the first message.
    pub fn send_vec(&mut self, messages: &[IoSlice<'_>]) -> Result<usize> {
        self.several(messages, None, sys::SEND_WAIT)
    }

    /// Sends several messages to one receiver, otherwise as [`Sender::send_vec`] does.
    ///
    /// ```no_run
    /// # use std::io::IoSlice;
    /// # use io_uring_ipc::SubscriberId;
    /// # let mut sender = io_uring_ipc::Sender::open("jobs")?;
    /// # let receiver = SubscriberId::new(7).unwrap();
    /// let sent = sender.send_vec_to(receiver, &[IoSlice::new(b"one"), IoSlice::new(b"two")])?;
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Sender::send_to`], about the first message.
    pub fn send_vec_to(
        &mut self,
        receiver: SubscriberId,
        messages: &[IoSlice<'_>],
    ) -> Result<usize> {
        self.several(messages, Some(receiver), sys::SEND_WAIT)
    }

    /// Sends several messages as [`Sender::send_vec`] does, but does not wait.
    ///
    /// ```no_run
    /// # use std::io::IoSlice;
    /// # let mut sender = io_uring_ipc::Sender::open("jobs")?;
    /// let sent = sender.try_send_vec(&[IoSlice::new(b"one"), IoSlice::new(b"two")])?;
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Full`] if there is no room for the first message; otherwise as [`Sender::send`].
    pub fn try_send_vec(&mut self, messages: &[IoSlice<'_>]) -> Result<usize> {
        self.several(messages, None, 0)
    }

    fn one(&mut self, message: &[u8], target: Option<SubscriberId>, flags: u32) -> Result<()> {
        let sqe = one_message(message, self.data, target, flags)?;
        // SAFETY: The kernel reads the message while `message` is borrowed.
        unsafe { self.endpoint.run(sqe) }.map(drop)
    }

    /// Sends a message with files, and does not wait.
    #[cfg(feature = "zbus")]
    pub(crate) fn try_send_with_files(
        &mut self,
        message: &[u8],
        files: &[std::os::fd::RawFd],
    ) -> Result<()> {
        if files.is_empty() {
            return self.try_send(message);
        }
        let sqe = sys::Sqe {
            off: files.as_ptr().addr() as u64,
            ioprio: files.len().try_into().map_err(|_| Error::Invalid)?,
            ..one_message(message, self.data, None, sys::SEND_FDS)?
        };
        // SAFETY: The kernel reads the message and the array while they are borrowed.
        unsafe { self.endpoint.run(sqe) }.map(drop)
    }

    fn several(
        &mut self,
        messages: &[IoSlice<'_>],
        target: Option<SubscriberId>,
        flags: u32,
    ) -> Result<usize> {
        if messages.is_empty() {
            return Ok(0);
        }
        let sqe = sys::Sqe {
            addr: messages.as_ptr().addr() as u64,
            len: u32::try_from(messages.len()).map_or(sys::MAX_VEC, |len| len.min(sys::MAX_VEC)),
            ..one_message(&[], self.data, target, flags | sys::SEND_VEC)?
        };
        // SAFETY: An `IoSlice` is a `struct iovec`. The kernel reads the array and the messages while
        // `messages` is borrowed.
        unsafe { self.endpoint.run(sqe) }
    }
}

/// A request that sends a message. Its `fd` is still missing.
pub(crate) fn one_message(
    message: &[u8],
    data: u64,
    target: Option<SubscriberId>,
    flags: u32,
) -> Result<sys::Sqe> {
    Ok(sys::Sqe {
        opcode: sys::OP_SEND,
        addr: message.as_ptr().addr() as u64,
        len: message.len().try_into().map_err(|_| Error::TooLong)?,
        rw_flags: flags,
        user_data: data,
        file_index: target.map_or(0, SubscriberId::get),
        ..sys::Sqe::default()
    })
}
