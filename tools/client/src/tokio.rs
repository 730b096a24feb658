// SPDX-License-Identifier: MIT

//! Senders and receivers for programs that use [tokio].
//!
//! A future waits for the file of its subscriber, and then tries without waiting. So the kernel
//! has no request and no buffer while a future waits, and a future takes a message, or sends one,
//! only when it is about to complete:
//!
//! - A future of a receiver that is dropped before it has completed has received nothing. No
//!   message is lost, also if the receiver is dropped with the future, as in a task that is
//!   aborted.
//! - A future of a sender that is dropped before it has completed has sent nothing.
//!
//! So all of them can be branches of `tokio::select!`. They can move from thread to thread.
//!
//! ```no_run
//! use io_uring_ipc::tokio::{Receiver, Sender};
//!
//! # async fn example() -> io_uring_ipc::Result<()> {
//! let mut requests = Receiver::open("requests")?;
//! let mut log = Sender::open("bus/log")?;
//! loop {
//!     let request = requests.recv().await?;
//!     log.send(request.data).await?;
//! }
//! # }
//! ```

use std::{
    io::IoSlice,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    pin::Pin,
    task::{ready, Context, Poll},
};

use ::tokio::io::{unix::AsyncFd, Interest};
use futures_core::Stream;
use futures_sink::Sink;

use crate::{
    channel::{Address, SubscriberId},
    error::{Error, Result},
    mapped::InPlace,
    message::{Bundle, Message},
    sys,
};

/// Waits for the file of a subscriber.
pub(crate) fn watch(file: BorrowedFd<'_>, interest: Interest) -> Result<AsyncFd<OwnedFd>> {
    // Another descriptor, because the program can replace the subscriber that has the first one.
    let file = file.try_clone_to_owned()?;
    // SAFETY: The descriptor stays open and the same: nothing replaces an `OwnedFd` in here.
    let file = unsafe { AsyncFd::register_with_interest(file, interest) };
    file.map_err(|error| Error::Os(error.into()))
}

/// Tries until the channel is no longer empty or full.
pub(crate) async fn retry<R>(
    file: &AsyncFd<OwnedFd>,
    interest: Interest,
    mut attempt: impl FnMut() -> Result<R>,
) -> Result<R> {
    loop {
        let mut guard = file.ready(interest).await?;
        match attempt() {
            Err(error) if error.is_would_block() => guard.clear_ready(),
            result => return result,
        }
    }
}

/// The same for a function that polls.
fn poll_retry<R>(
    file: &AsyncFd<OwnedFd>,
    context: &mut Context<'_>,
    interest: Interest,
    mut attempt: impl FnMut() -> Result<R>,
) -> Poll<Result<R>> {
    loop {
        let mut guard = ready!(if interest.is_readable() {
            file.poll_read_ready(context)
        } else {
            file.poll_write_ready(context)
        })?;
        match attempt() {
            Err(error) if error.is_would_block() => guard.clear_ready(),
            result => return Poll::Ready(result),
        }
    }
}

/// The functions that all of them have.
macro_rules! asynchronous {
    ($type:ident, $($interest:ident)|+ $(, $field:ident: $value:expr)*) => {
        impl $type {
            /// Opens a channel, as
            #[doc = concat!("[`", stringify!($type), "::open`](crate::", stringify!($type), "::open)")]
            /// does.
            ///
            /// ```no_run
            /// # async fn example() -> io_uring_ipc::Result<()> {
            #[doc = concat!("let subscriber = io_uring_ipc::tokio::", stringify!($type), "::open(\"bus/log\")?;")]
            /// # Ok(())
            /// # }
            /// ```
            ///
            /// # Errors
            ///
            #[doc = concat!("As [`", stringify!($type), "::open`](crate::", stringify!($type), "::open).")]
            ///
            /// # Panics
            ///
            /// Outside of a tokio runtime, or if its IO is not enabled.
            pub fn open<'a>(channel: impl Into<Address<'a>>) -> Result<Self> {
                crate::$type::open(channel)?.try_into()
            }

            /// The same without `async`, such as to change a setting.
            ///
            /// ```no_run
            /// # async fn example() -> io_uring_ipc::Result<()> {
            #[doc = concat!("let subscriber = io_uring_ipc::tokio::", stringify!($type), "::open(\"bus/log\")?;")]
            /// println!("{}", subscriber.get_ref().id());
            /// # Ok(())
            /// # }
            /// ```
            #[must_use]
            pub fn get_ref(&self) -> &crate::$type {
                &self.inner
            }

            /// The same without `async`, to call functions that do not wait.
            ///
            /// ```no_run
            /// # async fn example() -> io_uring_ipc::Result<()> {
            #[doc = concat!("let mut subscriber = io_uring_ipc::tokio::", stringify!($type), "::open(\"bus/log\")?;")]
            /// let without_async = subscriber.get_mut();
            /// # Ok(())
            /// # }
            /// ```
            pub fn get_mut(&mut self) -> &mut crate::$type {
                &mut self.inner
            }
        }

        impl TryFrom<crate::$type> for $type {
            type Error = Error;

            fn try_from(subscriber: crate::$type) -> Result<Self> {
                Ok(Self {
                    file: watch(subscriber.as_fd(), $(Interest::$interest)|+)?,
                    inner: subscriber,
                    $($field: $value,)*
                })
            }
        }
    };
}

/// Receives messages from a channel.
///
/// As a stream, it ends when the channel is destroyed and its last message is received.
///
/// ```no_run
/// use io_uring_ipc::tokio::Receiver;
///
/// # async fn example() -> io_uring_ipc::Result<()> {
/// let mut receiver = Receiver::open("jobs")?;
/// println!("{:?}", receiver.recv().await?.data);
/// # Ok(())
/// # }
/// ```
pub struct Receiver {
    file: AsyncFd<OwnedFd>,
    inner: crate::Receiver,
}

asynchronous!(Receiver, READABLE);

impl Receiver {
    /// Receives a message.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it has completed, it has received nothing.
    ///
    /// ```no_run
    /// # async fn example() -> io_uring_ipc::Result<()> {
    /// # let mut receiver = io_uring_ipc::tokio::Receiver::open("jobs")?;
    /// println!("{:?}", receiver.recv().await?.data);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Receiver::recv`](crate::Receiver::recv), without a timeout.
    pub async fn recv(&mut self) -> Result<Message<&[u8]>> {
        let receiver = &mut self.inner;
        let len = retry(&self.file, Interest::READABLE, || receiver.fill(0)).await?;
        receiver.message(len)
    }

    /// Receives as many messages as there are and as fit into the buffer, at least one.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it has completed, it has received nothing.
    ///
    /// ```no_run
    /// # async fn example() -> io_uring_ipc::Result<()> {
    /// # let mut receiver = io_uring_ipc::tokio::Receiver::open("jobs")?;
    /// for message in receiver.recv_bundle().await? {
    ///     println!("{:?}", message.data);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Receiver::recv_bundle`](crate::Receiver::recv_bundle), without a timeout.
    pub async fn recv_bundle(&mut self) -> Result<Bundle<'_>> {
        let receiver = &mut self.inner;
        let bundle = || receiver.fill(sys::RECV_BUNDLE);
        let len = retry(&self.file, Interest::READABLE, bundle).await?;
        Ok(receiver.bundle(len))
    }
}

impl Stream for Receiver {
    type Item = Result<Message<Vec<u8>>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { file, inner } = &mut *self;
        let receive = || Ok(inner.try_recv()?.map(<[u8]>::to_vec));
        let received = poll_retry(file, context, Interest::READABLE, receive);
        Poll::Ready(match ready!(received) {
            Err(Error::Destroyed) => None,
            result => Some(result),
        })
    }
}

/// Receives messages of a broadcast in place.
///
/// ```no_run
/// use io_uring_ipc::tokio::MappedReceiver;
///
/// # async fn example() -> io_uring_ipc::Result<()> {
/// let mut receiver = MappedReceiver::open("bus/log")?;
/// for message in receiver.recv().await?.iter() {
///     println!("{} bytes", message.len());
/// }
/// # Ok(())
/// # }
/// ```
pub struct MappedReceiver {
    file: AsyncFd<OwnedFd>,
    inner: crate::MappedReceiver,
}

asynchronous!(MappedReceiver, READABLE);

impl MappedReceiver {
    /// Finds the messages that are there, and waits for one.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it has completed, it has consumed nothing.
    ///
    /// ```no_run
    /// # async fn example() -> io_uring_ipc::Result<()> {
    /// # let mut receiver = io_uring_ipc::tokio::MappedReceiver::open("bus/log")?;
    /// for message in receiver.recv().await?.iter() {
    ///     println!("{} bytes", message.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`MappedReceiver::recv`](crate::MappedReceiver::recv), without a timeout.
    pub async fn recv(&mut self) -> Result<InPlace<'_>> {
        let receiver = &mut self.inner;
        retry(&self.file, Interest::READABLE, || receiver.find_or_ask(0)).await?;
        Ok(receiver.in_place())
    }
}

/// Sends messages to a channel.
///
/// As a sink, it keeps one message until there is room for it. Flush the sink to send that one.
///
/// ```no_run
/// use io_uring_ipc::tokio::Sender;
///
/// # async fn example() -> io_uring_ipc::Result<()> {
/// let mut sender = Sender::open("jobs")?;
/// sender.send(b"hello").await?;
/// # Ok(())
/// # }
/// ```
pub struct Sender {
    file: AsyncFd<OwnedFd>,
    inner: crate::Sender,
    /// What the sink has accepted and not sent.
    kept: Option<Vec<u8>>,
}

asynchronous!(Sender, WRITABLE, kept: None);

impl Sender {
    /// Sends a message, and waits for room if the channel is full.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it has completed, it has sent nothing.
    ///
    /// ```no_run
    /// # async fn example() -> io_uring_ipc::Result<()> {
    /// # let mut sender = io_uring_ipc::tokio::Sender::open("jobs")?;
    /// sender.send(b"hello").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Sender::send`](crate::Sender::send), without a timeout.
    pub async fn send(&mut self, message: &[u8]) -> Result<()> {
        let send = || self.inner.try_send(message);
        retry(&self.file, Interest::WRITABLE, send).await
    }

    /// Sends a message to one receiver, and waits for room if the channel is full.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it has completed, it has sent nothing.
    ///
    /// ```no_run
    /// # async fn example() -> io_uring_ipc::Result<()> {
    /// # let mut sender = io_uring_ipc::tokio::Sender::open("jobs")?;
    /// # let receiver = io_uring_ipc::SubscriberId::new(7).unwrap();
    /// sender.send_to(receiver, b"only for you").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Sender::send_to`](crate::Sender::send_to), without a timeout.
    pub async fn send_to(&mut self, receiver: SubscriberId, message: &[u8]) -> Result<()> {
        let send = || self.inner.try_send_to(receiver, message);
        retry(&self.file, Interest::WRITABLE, send).await
    }

    /// Sends several messages with one system call, and returns how many, as
    /// [`Sender::send_vec`](crate::Sender::send_vec) does.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it has completed, it has sent nothing.
    ///
    /// ```no_run
    /// # use std::io::IoSlice;
    /// # async fn example() -> io_uring_ipc::Result<()> {
    /// # let mut sender = io_uring_ipc::tokio::Sender::open("jobs")?;
    /// let sent = sender.send_vec(&[IoSlice::new(b"one"), IoSlice::new(b"two")]).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Sender::send_vec`](crate::Sender::send_vec), without a timeout.
    pub async fn send_vec(&mut self, messages: &[IoSlice<'_>]) -> Result<usize> {
        let send = || self.inner.try_send_vec(messages);
        retry(&self.file, Interest::WRITABLE, send).await
    }
}

impl Sink<Vec<u8>> for Sender {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_flush(context)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Vec<u8>) -> Result<()> {
        self.kept = Some(message);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let Self { file, inner, kept } = &mut *self;
        let Some(message) = kept else {
            return Poll::Ready(Ok(()));
        };
        let attempt = || inner.try_send(message);
        let sent = ready!(poll_retry(file, context, Interest::WRITABLE, attempt));
        *kept = None;
        Poll::Ready(sent)
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_flush(context)
    }
}

/// Sends and receives as one subscriber.
///
/// ```no_run
/// use io_uring_ipc::tokio::Peer;
///
/// # async fn example() -> io_uring_ipc::Result<()> {
/// let mut server = Peer::open("jobs")?;
/// loop {
///     let request = server.recv().await?;
///     let answer = request.data.to_ascii_uppercase();
///     if let Some(client) = request.info.sender {
///         server.send_to(client, &answer).await?;
///     }
/// }
/// # }
/// ```
pub struct Peer {
    file: AsyncFd<OwnedFd>,
    inner: crate::Peer,
}

asynchronous!(Peer, READABLE | WRITABLE);

impl Peer {
    /// Receives a message.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it has completed, it has received nothing.
    ///
    /// ```no_run
    /// # async fn example() -> io_uring_ipc::Result<()> {
    /// # let mut peer = io_uring_ipc::tokio::Peer::open("jobs")?;
    /// println!("{:?}", peer.recv().await?.data);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Peer::recv`](crate::Peer::recv), without a timeout.
    pub async fn recv(&mut self) -> Result<Message<&[u8]>> {
        let peer = &mut self.inner;
        let len = retry(&self.file, Interest::READABLE, || peer.fill(0)).await?;
        peer.message(len)
    }

    /// Sends a message, and waits for room if the channel is full.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it has completed, it has sent nothing.
    ///
    /// ```no_run
    /// # async fn example() -> io_uring_ipc::Result<()> {
    /// # let mut peer = io_uring_ipc::tokio::Peer::open("jobs")?;
    /// peer.send(b"hello").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Sender::send`](crate::Sender::send), without a timeout.
    pub async fn send(&mut self, message: &[u8]) -> Result<()> {
        let send = || self.inner.try_send(message);
        retry(&self.file, Interest::WRITABLE, send).await
    }

    /// Sends a message to one receiver, and waits for room if the channel is full.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it has completed, it has sent nothing.
    ///
    /// ```no_run
    /// # async fn example() -> io_uring_ipc::Result<()> {
    /// # let mut peer = io_uring_ipc::tokio::Peer::open("jobs")?;
    /// # let client = io_uring_ipc::SubscriberId::new(7).unwrap();
    /// peer.send_to(client, b"only for you").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Sender::send_to`](crate::Sender::send_to), without a timeout.
    pub async fn send_to(&mut self, receiver: SubscriberId, message: &[u8]) -> Result<()> {
        let send = || self.inner.try_send_to(receiver, message);
        retry(&self.file, Interest::WRITABLE, send).await
    }
}
