// SPDX-License-Identifier: MIT

//! A subscriber that sends and receives.

use std::ops::{Deref, DerefMut};

use crate::{
    buffer::Buffer,
    channel::Address,
    error::Result,
    message::{Bundle, Message},
    sender::Sender,
    sys,
};

/// Sends messages to a channel and receives messages from it, as one subscriber: a receiver of its
/// messages can answer it, because [`Info::sender`](crate::Info::sender) is a receiver too.
///
/// A peer has the functions of a [`Sender`]. In a broadcast it also receives what it sends.
///
/// A server that answers each request:
///
/// ```no_run
/// use io_uring_ipc::Peer;
///
/// let mut server = Peer::open("jobs")?;
/// loop {
///     let request = server.recv()?;
///     let answer = request.data.to_ascii_uppercase();
///     if let Some(client) = request.info.sender {
///         server.send_to(client, &answer)?;
///     }
/// }
/// # #[allow(unreachable_code)]
/// # Ok::<(), io_uring_ipc::Error>(())
/// ```
///
/// A client, which knows the server's number:
///
/// ```no_run
/// # use io_uring_ipc::{Peer, SubscriberId};
/// # let server = SubscriberId::new(7).unwrap();
/// let mut client = Peer::open("jobs")?;
/// client.send_to(server, b"hello")?;
/// println!("{:?}", client.recv()?.data);
/// # Ok::<(), io_uring_ipc::Error>(())
/// ```
pub struct Peer {
    sender: Sender,
    buffer: Buffer,
}

impl Peer {
    /// Opens a channel to send and to receive. This needs read and write permission.
    ///
    /// ```no_run
    /// # use io_uring_ipc::Peer;
    /// let peer = Peer::open("jobs")?;
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Receiver::open`](crate::Receiver::open).
    pub fn open<'a>(channel: impl Into<Address<'a>>) -> Result<Self> {
        let sender = Sender::with_flags(channel.into(), sys::SUB_SEND | sys::SUB_RECV)?;
        let buffer = Buffer::for_channel(&sender.endpoint, 0)?;
        Ok(Self { sender, buffer })
    }

    /// As [`Receiver::recv`](crate::Receiver::recv).
    ///
    /// ```no_run
    /// # let mut peer = io_uring_ipc::Peer::open("jobs")?;
    /// println!("{:?}", peer.recv()?.data);
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Receiver::recv`](crate::Receiver::recv).
    pub fn recv(&mut self) -> Result<Message<&[u8]>> {
        let len = self.fill(sys::RECV_WAIT)?;
        self.message(len)
    }

    /// As [`Receiver::try_recv`](crate::Receiver::try_recv).
    ///
    /// ```no_run
    /// # let mut peer = io_uring_ipc::Peer::open("jobs")?;
    /// println!("{:?}", peer.try_recv()?.data);
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Receiver::try_recv`](crate::Receiver::try_recv).
    pub fn try_recv(&mut self) -> Result<Message<&[u8]>> {
        let len = self.fill(0)?;
        self.message(len)
    }

    /// As [`Receiver::recv_bundle`](crate::Receiver::recv_bundle).
    ///
    /// ```no_run
    /// # let mut peer = io_uring_ipc::Peer::open("jobs")?;
    /// for message in peer.recv_bundle()? {
    ///     println!("{:?}", message.data);
    /// }
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Receiver::recv`](crate::Receiver::recv).
    pub fn recv_bundle(&mut self) -> Result<Bundle<'_>> {
        let len = self.fill(sys::RECV_BUNDLE | sys::RECV_WAIT)?;
        Ok(self.buffer.bundle(len))
    }

    /// As [`Receiver::try_recv_bundle`](crate::Receiver::try_recv_bundle).
    ///
    /// ```no_run
    /// # let mut peer = io_uring_ipc::Peer::open("jobs")?;
    /// println!("{} messages", peer.try_recv_bundle()?.count());
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Receiver::try_recv`](crate::Receiver::try_recv).
    pub fn try_recv_bundle(&mut self) -> Result<Bundle<'_>> {
        let len = self.fill(sys::RECV_BUNDLE)?;
        Ok(self.buffer.bundle(len))
    }

    /// Receives into the buffer, and returns how many bytes of it are used.
    pub(crate) fn fill(&mut self, flags: u32) -> Result<usize> {
        self.buffer.fill(&mut self.sender.endpoint, flags)
    }

    /// The message in the first bytes of the buffer.
    pub(crate) fn message(&self, len: usize) -> Result<Message<&[u8]>> {
        self.buffer.message(len)
    }
}

impl Deref for Peer {
    type Target = Sender;

    fn deref(&self) -> &Sender {
        &self.sender
    }
}

impl DerefMut for Peer {
    fn deref_mut(&mut self) -> &mut Sender {
        &mut self.sender
    }
}

impl std::os::fd::AsFd for Peer {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.sender.as_fd()
    }
}
