// SPDX-License-Identifier: MIT

//! What a receiver gets.

use crate::{channel::SubscriberId, sys};

/// A message, and what the kernel tells of it.
///
/// `D` is `&[u8]` for a message in the buffer of a receiver, `Vec<u8>` for a message of a stream,
/// and any type for a message that is a value.
///
/// ```no_run
/// use io_uring_ipc::{Message, Receiver};
///
/// let mut receiver = Receiver::open("jobs")?;
/// let Message { data, info } = receiver.recv()?;
/// println!("{} bytes from process {} of user {}", data.len(), info.pid, info.uid);
/// # Ok::<(), io_uring_ipc::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<D> {
    /// What the sender has sent.
    pub data: D,
    /// What the kernel tells of it.
    pub info: Info,
}

impl<D> Message<D> {
    /// The same message with other data.
    ///
    /// ```no_run
    /// # let mut receiver = io_uring_ipc::Receiver::open("jobs")?;
    /// let text = receiver.recv()?.map(String::from_utf8_lossy);
    /// println!("{}", text.data);
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    pub fn map<E>(self, convert: impl FnOnce(D) -> E) -> Message<E> {
        Message {
            data: convert(self.data),
            info: self.info,
        }
    }
}

/// What the kernel tells of a message. A sender can choose nothing but `sender_data`.
///
/// ```no_run
/// # let mut receiver = io_uring_ipc::Receiver::open("jobs")?;
/// let message = receiver.recv()?;
/// if message.info.lost > 0 {
///     println!("{} messages before this one were overwritten", message.info.lost);
/// }
/// # Ok::<(), io_uring_ipc::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// The number of the message in its channel. It wraps after 2³² messages.
    pub id: u32,
    /// The number of [`Sender::set_data`](crate::Sender::set_data).
    pub sender_data: u64,
    /// The subscriber that has sent the message, or `None` if the sender was not attached.
    pub sender: Option<SubscriberId>,
    /// The process that has sent it, or 0 if this process cannot see that one.
    pub pid: u32,
    /// The effective user of the sender.
    pub uid: u32,
    /// The effective group of the sender.
    pub gid: u32,
    /// Whether the message was sent to this receiver alone.
    pub is_targeted: bool,
    /// How many messages this receiver has lost before this one, see
    /// [`Options::overwrite`](crate::Options::overwrite) and
    /// [`ReceiverOptions::lossy`](crate::ReceiverOptions::lossy).
    pub lost: u64,
}

impl From<sys::MsgInfo> for Info {
    fn from(info: sys::MsgInfo) -> Self {
        Self {
            id: info.msg_id,
            sender_data: info.sender_data,
            sender: SubscriberId::new(info.sender),
            pid: info.pid,
            uid: info.uid,
            gid: info.gid,
            is_targeted: info.flags & sys::INFO_TARGETED != 0,
            lost: info.lost,
        }
    }
}

/// The messages that one system call has received, in order. None of them is copied again.
///
/// ```no_run
/// let mut receiver = io_uring_ipc::Receiver::open("jobs")?;
/// for message in receiver.recv_bundle()? {
///     println!("{} bytes", message.data.len());
/// }
/// # Ok::<(), io_uring_ipc::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Bundle<'a> {
    /// What is left.
    bytes: &'a [u8],
}

impl<'a> Bundle<'a> {
    /// A bundle as the kernel stores it: a [`sys::MsgInfo`] before each message, and each of them
    /// at a multiple of 8 bytes.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// What the kernel has stored before the next message.
    #[cfg(feature = "zbus")]
    pub(crate) fn next_header(&self) -> Option<sys::MsgInfo> {
        let (info, _) = self.bytes.split_at_checked(size_of::<sys::MsgInfo>())?;
        // SAFETY: There are as many bytes, and any bytes are a valid `MsgInfo`.
        Some(unsafe { info.as_ptr().cast::<sys::MsgInfo>().read_unaligned() })
    }
}

impl<'a> Iterator for Bundle<'a> {
    type Item = Message<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let (info, rest) = self.bytes.split_at_checked(size_of::<sys::MsgInfo>())?;
        // SAFETY: There are as many bytes, and any bytes are a valid `MsgInfo`.
        let info = unsafe { info.as_ptr().cast::<sys::MsgInfo>().read_unaligned() };
        let len = info.len as usize;
        let data = rest.get(..len)?;
        // The last message has no bytes behind it.
        self.bytes = rest.get(len.next_multiple_of(8)..).unwrap_or_default();
        Some(Message {
            data,
            info: info.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(buffer: &mut Vec<u8>, id: u32, data: &[u8]) {
        buffer.resize(buffer.len().next_multiple_of(8), 0xee);
        // The fields are adjacent.
        for word in [
            u32::try_from(data.len()).unwrap(),
            id,
            9,
            0,
            3,
            4,
            5,
            6,
            1,
            0,
            8,
            0,
        ] {
            buffer.extend(word.to_ne_bytes());
        }
        buffer.extend(data);
    }

    #[test]
    fn walks_through_a_bundle() {
        let mut buffer = Vec::new();
        let messages = [&b"one"[..], b"", b"12345678", b"last"];
        for (id, data) in (1..).zip(messages) {
            store(&mut buffer, id, data);
        }
        let found: Vec<_> = Bundle::new(&buffer).collect();
        assert_eq!(found.len(), messages.len());
        for ((id, data), message) in (1..).zip(messages).zip(found) {
            assert_eq!((message.data, message.info.id), (data, id));
            assert!(message.info.is_targeted);
            assert_eq!(message.info.sender, SubscriberId::new(3));
            assert_eq!(
                (message.info.pid, message.info.uid, message.info.gid),
                (4, 5, 6)
            );
            assert_eq!((message.info.sender_data, message.info.lost), (9, 8));
        }
    }

    #[test]
    fn ends_where_the_bytes_end() {
        let mut buffer = Vec::new();
        store(&mut buffer, 1, b"one");
        store(&mut buffer, 2, b"two");
        for len in 0..buffer.len() {
            let expected = usize::from(len >= size_of::<sys::MsgInfo>() + 3);
            assert_eq!(Bundle::new(&buffer[..len]).count(), expected, "{len}");
        }
        assert_eq!(Bundle::new(&buffer).count(), 2);
    }
}
