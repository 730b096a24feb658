// SPDX-License-Identifier: MIT

//! Receiving into a buffer.

#[cfg(doc)]
use crate::Error;
use crate::{
    buffer::Buffer,
    channel::Address,
    endpoint::{subscriber, Endpoint},
    error::Result,
    mapped::MappedReceiver,
    message::{Bundle, Message},
    sys,
};

/// How a receiver attaches to a channel.
///
/// ```no_run
/// use io_uring_ipc::ReceiverOptions;
///
/// let logger = ReceiverOptions::new().lossy().history().open("bus/log")?;
/// # Ok::<(), io_uring_ipc::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct ReceiverOptions {
    flags: u32,
    buffer: usize,
}

impl ReceiverOptions {
    /// A receiver without options.
    ///
    /// ```
    /// let options = io_uring_ipc::ReceiverOptions::new();
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// In a broadcast, start with the oldest message that is still there, and not with the next
    /// one that is sent.
    ///
    /// ```
    /// let options = io_uring_ipc::ReceiverOptions::new().history();
    /// ```
    pub fn history(mut self) -> Self {
        self.flags |= sys::SUB_HISTORY;
        self
    }

    /// In a broadcast, senders never wait for this receiver. If it is too slow, it loses the oldest
    /// messages, and is told how many.
    ///
    /// ```
    /// let options = io_uring_ipc::ReceiverOptions::new().lossy();
    /// ```
    pub fn lossy(mut self) -> Self {
        self.flags |= sys::SUB_LOSSY;
        self
    }

    /// How large the buffer is in bytes. A bundle is not larger. The buffer always has room for the
    /// largest message of the channel. The default is 64 KiB.
    ///
    /// ```
    /// let options = io_uring_ipc::ReceiverOptions::new().buffer(1 << 20);
    /// ```
    pub fn buffer(mut self, bytes: usize) -> Self {
        self.buffer = bytes;
        self
    }

    /// Opens a channel to receive. This needs read permission.
    ///
    /// ```no_run
    /// # use io_uring_ipc::ReceiverOptions;
    /// let receiver = ReceiverOptions::new().open("bus/log")?;
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Receiver::open`]; [`Error::Invalid`] if the channel is no broadcast and the options are
    /// only for broadcasts.
    pub fn open<'a>(self, channel: impl Into<Address<'a>>) -> Result<Receiver> {
        let endpoint = Endpoint::open(channel.into(), self.flags | sys::SUB_RECV)?;
        let buffer = Buffer::for_channel(&endpoint, self.buffer)?;
        Ok(Receiver { endpoint, buffer })
    }
}

/// Receives messages from a channel, into a buffer of its own.
///
/// ```no_run
/// use io_uring_ipc::Receiver;
///
/// let mut receiver = Receiver::open("jobs")?;
/// let message = receiver.recv()?;
/// println!("{:?}", message.data);
/// # Ok::<(), io_uring_ipc::Error>(())
/// ```
pub struct Receiver {
    endpoint: Endpoint,
    buffer: Buffer,
}

subscriber!(Receiver);

impl Receiver {
    /// Opens a channel to receive. This needs read permission.
    ///
    /// ```no_run
    /// # use io_uring_ipc::{Address, Receiver};
    /// let by_name = Receiver::open("jobs")?;
    /// let by_key = Receiver::open(Address::Key(4711))?;
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoChannel`], [`Error::Denied`], [`Error::TooManySubscribers`],
    /// [`Error::NoModule`], [`Error::NoKernel`], [`Error::NoIoUring`], [`Error::Os`].
    pub fn open<'a>(channel: impl Into<Address<'a>>) -> Result<Self> {
        ReceiverOptions::new().open(channel)
    }

    /// Receives a message, and waits for one.
    ///
    /// ```no_run
    /// # let mut receiver = io_uring_ipc::Receiver::open("jobs")?;
    /// println!("{:?}", receiver.recv()?.data);
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Destroyed`] after the last message; [`Error::NoSubscriber`] if the owner of the
    /// channel has evicted this receiver; [`Error::TimedOut`]; [`Error::Os`]. No message is lost by
    /// that.
    pub fn recv(&mut self) -> Result<Message<&[u8]>> {
        let len = self.fill(sys::RECV_WAIT)?;
        self.message(len)
    }

    /// Receives a message without waiting.
    ///
    /// ```no_run
    /// # use io_uring_ipc::Error;
    /// # let mut receiver = io_uring_ipc::Receiver::open("jobs")?;
    /// match receiver.try_recv() {
    ///     Err(Error::Empty) => println!("nothing"),
    ///     result => println!("{:?}", result?.data),
    /// }
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Empty`]; otherwise as [`Receiver::recv`].
    pub fn try_recv(&mut self) -> Result<Message<&[u8]>> {
        let len = self.fill(0)?;
        self.message(len)
    }

    /// Receives as many messages as there are and as fit into the buffer, with one system call.
    /// Waits for the first one.
    ///
    /// ```no_run
    /// # let mut receiver = io_uring_ipc::Receiver::open("jobs")?;
    /// for message in receiver.recv_bundle()? {
    ///     println!("{:?}", message.data);
    /// }
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Receiver::recv`].
    pub fn recv_bundle(&mut self) -> Result<Bundle<'_>> {
        let len = self.fill(sys::RECV_BUNDLE | sys::RECV_WAIT)?;
        Ok(self.bundle(len))
    }

    /// Receives several messages as [`Receiver::recv_bundle`] does, but does not wait.
    ///
    /// ```no_run
    /// # let mut receiver = io_uring_ipc::Receiver::open("jobs")?;
    /// println!("{} messages", receiver.try_recv_bundle()?.count());
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Receiver::try_recv`].
    pub fn try_recv_bundle(&mut self) -> Result<Bundle<'_>> {
        let len = self.fill(sys::RECV_BUNDLE)?;
        Ok(self.bundle(len))
    }

    /// Reads the messages where the kernel has stored them from now on.
    ///
    /// ```no_run
    /// # use io_uring_ipc::ReceiverOptions;
    /// let mut receiver = ReceiverOptions::new().history().open("bus/log")?.into_mapped()?;
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NotInPlace`] if the channel is no broadcast or private; [`Error::Os`].
    pub fn into_mapped(self) -> Result<MappedReceiver> {
        MappedReceiver::new(self.endpoint)
    }

    /// Receives into the buffer, and returns how many bytes of it are used.
    pub(crate) fn fill(&mut self, flags: u32) -> Result<usize> {
        self.buffer.fill(&mut self.endpoint, flags)
    }

    /// Receives one message and its files into the buffer.
    #[cfg(feature = "zbus")]
    pub(crate) fn fill_with_files(&mut self) -> Result<(usize, Vec<std::os::fd::OwnedFd>)> {
        self.buffer.fill_with_files(&mut self.endpoint)
    }

    /// The messages in the first bytes of the buffer.
    pub(crate) fn bundle(&self, len: usize) -> Bundle<'_> {
        self.buffer.bundle(len)
    }

    /// The message in the first bytes of the buffer.
    pub(crate) fn message(&self, len: usize) -> Result<Message<&[u8]>> {
        self.buffer.message(len)
    }
}
