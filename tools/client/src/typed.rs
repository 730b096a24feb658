// SPDX-License-Identifier: MIT

//! Messages that are values.

use std::marker::PhantomData;

use serde::{de::DeserializeOwned, Serialize};

use crate::{
    channel::SubscriberId, error::Result, message::Message, receiver::Receiver, sender::Sender,
};

/// A sender or receiver whose messages are values of the type `T`.
///
/// A message is what [`postcard`](https://docs.rs/postcard) makes of a value. Its format is
/// [specified](https://postcard.jamesmunns.com), so programs in other languages can read it.
///
/// ```no_run
/// use io_uring_ipc::{Receiver, Sender, Typed};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Price {
///     symbol: String,
///     cents: u64,
/// }
///
/// let mut sender: Typed<Price, Sender> = Typed::new(Sender::open("prices")?);
/// sender.send(&Price { symbol: "ACME".into(), cents: 4711 })?;
///
/// let mut receiver: Typed<Price, Receiver> = Typed::new(Receiver::open("prices")?);
/// println!("{}", receiver.recv()?.data.cents);
/// # Ok::<(), io_uring_ipc::Error>(())
/// ```
pub struct Typed<T, E> {
    endpoint: E,
    /// The message of the value that is sent.
    buffer: Vec<u8>,
    value: PhantomData<fn(T) -> T>,
}

impl<T, E> Typed<T, E> {
    /// Makes a sender or receiver one for values.
    ///
    /// ```no_run
    /// # use io_uring_ipc::{Sender, Typed};
    /// let sender: Typed<(u32, f64), _> = Typed::new(Sender::open("positions")?);
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    #[must_use]
    pub fn new(endpoint: E) -> Self {
        Self {
            endpoint,
            buffer: Vec::new(),
            value: PhantomData,
        }
    }

    /// The sender or receiver itself.
    ///
    /// ```no_run
    /// # use io_uring_ipc::{Sender, Typed};
    /// # let sender: Typed<u32, _> = Typed::new(Sender::open("positions")?);
    /// println!("{}", sender.get_ref().id());
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    pub fn get_ref(&self) -> &E {
        &self.endpoint
    }

    /// The sender or receiver itself, such as to set its timeout.
    ///
    /// ```no_run
    /// # use io_uring_ipc::{Sender, Typed};
    /// # let mut sender: Typed<u32, _> = Typed::new(Sender::open("positions")?);
    /// sender.get_mut().set_timeout(None);
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    pub fn get_mut(&mut self) -> &mut E {
        &mut self.endpoint
    }
}

impl<T: Serialize, E> Typed<T, E> {
    /// Makes a message of a value.
    fn encode(&mut self, value: &T) -> Result<(&mut E, &[u8])> {
        self.buffer.clear();
        postcard::to_io(value, &mut self.buffer)?;
        Ok((&mut self.endpoint, &self.buffer))
    }
}

/// Makes a value of a message.
fn decode<T: DeserializeOwned>(message: &Message<&[u8]>) -> Result<Message<T>> {
    Ok(Message {
        data: postcard::from_bytes(message.data)?,
        info: message.info,
    })
}

impl<T: Serialize> Typed<T, Sender> {
    /// As [`Sender::send`].
    ///
    /// ```no_run
    /// # use io_uring_ipc::{Sender, Typed};
    /// # let mut sender: Typed<u32, _> = Typed::new(Sender::open("positions")?);
    /// sender.send(&42)?;
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Codec`](crate::Error::Codec); otherwise as [`Sender::send`].
    pub fn send(&mut self, value: &T) -> Result<()> {
        let (sender, message) = self.encode(value)?;
        sender.send(message)
    }

    /// As [`Sender::try_send`].
    ///
    /// ```no_run
    /// # use io_uring_ipc::{Sender, Typed};
    /// # let mut sender: Typed<u32, _> = Typed::new(Sender::open("positions")?);
    /// sender.try_send(&42)?;
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Codec`](crate::Error::Codec); otherwise as [`Sender::try_send`].
    pub fn try_send(&mut self, value: &T) -> Result<()> {
        let (sender, message) = self.encode(value)?;
        sender.try_send(message)
    }

    /// As [`Sender::send_to`].
    ///
    /// ```no_run
    /// # use io_uring_ipc::{Sender, SubscriberId, Typed};
    /// # let mut sender: Typed<u32, _> = Typed::new(Sender::open("positions")?);
    /// sender.send_to(SubscriberId::new(7).unwrap(), &42)?;
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Codec`](crate::Error::Codec); otherwise as [`Sender::send_to`].
    pub fn send_to(&mut self, receiver: SubscriberId, value: &T) -> Result<()> {
        let (sender, message) = self.encode(value)?;
        sender.send_to(receiver, message)
    }
}

impl<T: DeserializeOwned> Typed<T, Receiver> {
    /// As [`Receiver::recv`].
    ///
    /// ```no_run
    /// # use io_uring_ipc::{Receiver, Typed};
    /// # let mut receiver: Typed<u32, _> = Typed::new(Receiver::open("positions")?);
    /// println!("{}", receiver.recv()?.data);
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Codec`](crate::Error::Codec) if the message is no value of the type: it is gone
    /// then, and the next call gets the next message. Otherwise as [`Receiver::recv`].
    pub fn recv(&mut self) -> Result<Message<T>> {
        decode(&self.endpoint.recv()?)
    }

    /// As [`Receiver::try_recv`].
    ///
    /// ```no_run
    /// # use io_uring_ipc::{Receiver, Typed};
    /// # let mut receiver: Typed<u32, _> = Typed::new(Receiver::open("positions")?);
    /// println!("{}", receiver.try_recv()?.data);
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Typed::recv`], and [`Error::Empty`](crate::Error::Empty).
    pub fn try_recv(&mut self) -> Result<Message<T>> {
        decode(&self.endpoint.try_recv()?)
    }
}

#[cfg(feature = "tokio")]
impl<T: Serialize> Typed<T, crate::tokio::Sender> {
    /// As [`tokio::Sender::send`](crate::tokio::Sender::send), also about cancellation.
    ///
    /// ```no_run
    /// # use io_uring_ipc::{tokio::Sender, Typed};
    /// # async fn example() -> io_uring_ipc::Result<()> {
    /// let mut sender: Typed<u32, _> = Typed::new(Sender::open("positions")?);
    /// sender.send(&42).await
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Codec`](crate::Error::Codec); otherwise as [`Sender::send`].
    pub async fn send(&mut self, value: &T) -> Result<()> {
        let (sender, message) = self.encode(value)?;
        sender.send(message).await
    }
}

#[cfg(feature = "tokio")]
impl<T: DeserializeOwned> Typed<T, crate::tokio::Receiver> {
    /// As [`tokio::Receiver::recv`](crate::tokio::Receiver::recv), also about cancellation.
    ///
    /// ```no_run
    /// # use io_uring_ipc::{tokio::Receiver, Typed};
    /// # async fn example() -> io_uring_ipc::Result<()> {
    /// let mut receiver: Typed<u32, _> = Typed::new(Receiver::open("positions")?);
    /// println!("{}", receiver.recv().await?.data);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Typed::recv`].
    pub async fn recv(&mut self) -> Result<Message<T>> {
        decode(&self.endpoint.recv().await?)
    }
}
