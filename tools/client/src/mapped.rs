// SPDX-License-Identifier: MIT

//! Receiving in place.

use crate::{
    channel::{Address, SubscriberId},
    endpoint::{subscriber, Endpoint},
    error::Result,
    receiver::ReceiverOptions,
    region::{CursorPage, Description, Region},
    sys,
};

/// Receives messages of a broadcast where the kernel has stored them.
///
/// There is no system call as long as there are messages. What is consumed are the messages that
/// [`InPlace::iter`] has returned, when the [`InPlace`] is dropped. Until then senders wait for
/// their slots.
///
/// ```no_run
/// use io_uring_ipc::MappedReceiver;
///
/// let mut receiver = MappedReceiver::open("bus/log")?;
/// loop {
///     for message in receiver.recv()?.iter() {
///         let mut start = [0; 4];
///         if message.len() >= 4 && message.read(0, &mut start) {
///             println!("{start:?}");
///         }
///     }
/// }
/// # #[allow(unreachable_code)]
/// # Ok::<(), io_uring_ipc::Error>(())
/// ```
pub struct MappedReceiver {
    endpoint: Endpoint,
    region: Region,
    cursor: CursorPage,
    /// The position to look at next.
    next: u32,
    /// The position that the kernel has seen at least.
    seen: u32,
    lost: u64,
}

subscriber!(MappedReceiver);

impl MappedReceiver {
    /// Opens a broadcast channel to receive in place. This needs read permission.
    ///
    /// For other options, see [`Receiver::into_mapped`](crate::Receiver::into_mapped).
    ///
    /// ```no_run
    /// let receiver = io_uring_ipc::MappedReceiver::open("bus/log")?;
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NotInPlace`](crate::Error::NotInPlace) if the channel is no broadcast or private;
    /// otherwise as [`Receiver::open`](crate::Receiver::open).
    pub fn open<'a>(channel: impl Into<Address<'a>>) -> Result<Self> {
        ReceiverOptions::new().open(channel)?.into_mapped()
    }

    pub(crate) fn new(endpoint: Endpoint) -> Result<Self> {
        let region = Region::map(&endpoint)?;
        let cursor = CursorPage::map(&endpoint, &region)?;
        let next = cursor.load();
        Ok(Self {
            endpoint,
            region,
            cursor,
            next,
            seen: next,
            lost: 0,
        })
    }

    /// Finds the messages that are there, without a system call.
    ///
    /// Returns `None` also after the channel was destroyed or this receiver was evicted.
    ///
    /// ```no_run
    /// # let mut receiver = io_uring_ipc::MappedReceiver::open("bus/log")?;
    /// if let Some(mut messages) = receiver.peek() {
    ///     println!("{} messages", messages.iter().count());
    /// }
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    pub fn peek(&mut self) -> Option<InPlace<'_>> {
        self.find().then(|| self.in_place())
    }

    /// Finds the messages that are there, and waits for one.
    ///
    /// ```no_run
    /// # let mut receiver = io_uring_ipc::MappedReceiver::open("bus/log")?;
    /// for message in receiver.recv()?.iter() {
    ///     println!("{} bytes", message.len());
    /// }
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Receiver::recv`](crate::Receiver::recv).
    pub fn recv(&mut self) -> Result<InPlace<'_>> {
        self.find_or_ask(sys::RECV_WAIT)?;
        Ok(self.in_place())
    }

    /// Finds the messages that are there. If there are none, asks the kernel why.
    ///
    /// ```no_run
    /// # use io_uring_ipc::Error;
    /// # let mut receiver = io_uring_ipc::MappedReceiver::open("bus/log")?;
    /// match receiver.try_recv() {
    ///     Err(Error::Empty) => println!("nothing"),
    ///     result => println!("{} messages", result?.iter().count()),
    /// }
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Receiver::try_recv`](crate::Receiver::try_recv).
    pub fn try_recv(&mut self) -> Result<InPlace<'_>> {
        self.find_or_ask(0)?;
        Ok(self.in_place())
    }

    /// How many messages were overwritten before this receiver has read them. It may be more than
    /// that: this counts the messages for others as well.
    ///
    /// ```no_run
    /// # let receiver = io_uring_ipc::MappedReceiver::open("bus/log")?;
    /// println!("{} messages lost", receiver.lost());
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether there is a message.
    fn find(&mut self) -> bool {
        let id = self.endpoint.id.get();
        self.region
            .find(&mut self.next, &mut self.lost, id)
            .is_some()
    }

    /// Returns when there is a message. A request with these flags says why there is none.
    pub(crate) fn find_or_ask(&mut self, flags: u32) -> Result<()> {
        while !self.find() {
            self.tell_kernel(flags)?;
        }
        Ok(())
    }

    pub(crate) fn in_place(&mut self) -> InPlace<'_> {
        InPlace { receiver: self }
    }

    /// Lets the kernel see the position.
    fn tell_kernel(&mut self, flags: u32) -> Result<()> {
        // The slots that `find` has passed.
        self.cursor.store(self.next);
        self.seen = self.next;
        let sqe = sys::Sqe {
            opcode: sys::OP_RECV,
            rw_flags: flags | sys::RECV_MAPPED,
            ..sys::Sqe::default()
        };
        // SAFETY: The request names no memory.
        unsafe { self.endpoint.run(sqe) }.map(drop)
    }
}

/// The messages that a receiver has found in place.
///
/// As long as this lives, no sender overwrites them, unless the channel overwrites, or the receiver
/// is lossy or was evicted. Dropping it consumes those that [`InPlace::iter`] has returned.
///
/// ```no_run
/// # let mut receiver = io_uring_ipc::MappedReceiver::open("bus/log")?;
/// let mut messages = receiver.recv()?;
/// let first = messages.iter().next();
/// drop(messages); // the first message is consumed, and the others stay
/// # Ok::<(), io_uring_ipc::Error>(())
/// ```
pub struct InPlace<'a> {
    receiver: &'a mut MappedReceiver,
}

impl InPlace<'_> {
    /// Goes through the messages, also those that come meanwhile, but not through more than the
    /// channel has entries.
    ///
    /// ```no_run
    /// # let mut receiver = io_uring_ipc::MappedReceiver::open("bus/log")?;
    /// for message in receiver.recv()?.iter() {
    ///     println!("{} bytes", message.len());
    /// }
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    pub fn iter(&mut self) -> impl Iterator<Item = MappedMessage<'_>> {
        let MappedReceiver {
            endpoint,
            region,
            next,
            lost,
            ..
        } = &mut *self.receiver;
        let region = &*region;
        let id = endpoint.id.get();
        (0..region.entries()).map_while(move |_| {
            let description = region.find(next, lost, id)?;
            *next = next.wrapping_add(1);
            Some(MappedMessage {
                region,
                description,
            })
        })
    }
}

impl Drop for InPlace<'_> {
    fn drop(&mut self) {
        let receiver = &mut *self.receiver;
        receiver.cursor.store(receiver.next);
        // Half of the ring is worth a system call: a sender that is woken for less soon waits again.
        let unseen = receiver.next.wrapping_sub(receiver.seen);
        if receiver.region.senders_wait() && unseen >= receiver.region.entries() / 2 {
            // The next call tells what is wrong, if anything is.
            let _ = receiver.tell_kernel(0);
        }
    }
}

/// A message in the memory of its channel.
///
/// There is no reference to its bytes, because the kernel may write there: in a channel that
/// overwrites, for a receiver that is lossy, and when the owner of the channel evicts the receiver.
/// The functions that copy bytes out tell whether the message was still there then.
///
/// ```no_run
/// # let mut receiver = io_uring_ipc::MappedReceiver::open("bus/log")?;
/// for message in receiver.recv()?.iter() {
///     match message.to_vec() {
///         Some(bytes) => println!("{bytes:?}"),
///         None => println!("overwritten"),
///     }
/// }
/// # Ok::<(), io_uring_ipc::Error>(())
/// ```
pub struct MappedMessage<'a> {
    region: &'a Region,
    description: Description,
}

impl MappedMessage<'_> {
    /// The length of the message in bytes.
    ///
    /// ```no_run
    /// # let mut receiver = io_uring_ipc::MappedReceiver::open("bus/log")?;
    /// let bytes: usize = receiver.recv()?.iter().map(|message| message.len()).sum();
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.description.len
    }

    /// Whether the message has no bytes.
    ///
    /// ```no_run
    /// # let mut receiver = io_uring_ipc::MappedReceiver::open("bus/log")?;
    /// let empty = receiver.recv()?.iter().filter(|message| message.is_empty()).count();
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of the message in its channel. It wraps after 2³² messages.
    ///
    /// ```no_run
    /// # let mut receiver = io_uring_ipc::MappedReceiver::open("bus/log")?;
    /// let numbers: Vec<u32> = receiver.recv()?.iter().map(|message| message.id()).collect();
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    #[must_use]
    pub fn id(&self) -> u32 {
        self.description.id
    }

    /// The number of [`Sender::set_data`](crate::Sender::set_data).
    ///
    /// ```no_run
    /// # let mut receiver = io_uring_ipc::MappedReceiver::open("bus/log")?;
    /// let data: Vec<u64> = receiver.recv()?.iter().map(|message| message.sender_data()).collect();
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    #[must_use]
    pub fn sender_data(&self) -> u64 {
        self.description.sender_data
    }

    /// The subscriber that has sent the message, or `None` if the sender was not attached.
    ///
    /// ```no_run
    /// # let mut receiver = io_uring_ipc::MappedReceiver::open("bus/log")?;
    /// let senders: Vec<_> = receiver.recv()?.iter().map(|message| message.sender()).collect();
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    #[must_use]
    pub fn sender(&self) -> Option<SubscriberId> {
        SubscriberId::new(self.description.sender)
    }

    /// Copies the bytes from `offset` on that fill `buffer`. Returns whether the message was still
    /// there then; otherwise the bytes in `buffer` mean nothing.
    ///
    /// ```no_run
    /// # let mut receiver = io_uring_ipc::MappedReceiver::open("bus/log")?;
    /// for message in receiver.recv()?.iter() {
    ///     let mut word = [0; 4];
    ///     if message.len() >= 12 && message.read(8, &mut word) {
    ///         println!("{}", u32::from_ne_bytes(word));
    ///     }
    /// }
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If the message does not have so many bytes.
    #[must_use]
    pub fn read(&self, offset: usize, buffer: &mut [u8]) -> bool {
        let end = offset.checked_add(buffer.len());
        let end = end.filter(|&end| end <= self.len());
        let end = end.expect("the message has fewer bytes");
        self.region
            .copy(self.description.position, offset..end, buffer);
        self.is_intact()
    }

    /// Copies the message, or returns `None` if it was not there any more.
    ///
    /// ```no_run
    /// # let mut receiver = io_uring_ipc::MappedReceiver::open("bus/log")?;
    /// let copies: Vec<_> = receiver.recv()?.iter().filter_map(|message| message.to_vec()).collect();
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    #[must_use]
    pub fn to_vec(&self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; self.len()];
        self.read(0, &mut bytes).then_some(bytes)
    }

    /// Where the message is: [`MappedMessage::len`] bytes, which can be read as long as this lives.
    ///
    /// The kernel may write there while the program reads. So make no reference, read with
    /// [`pointer::read_volatile`](https://doc.rust-lang.org/std/primitive.pointer.html), and
    /// discard what was read unless [`MappedMessage::is_intact`] after the reads.
    ///
    /// ```no_run
    /// # let mut receiver = io_uring_ipc::MappedReceiver::open("bus/log")?;
    /// for message in receiver.recv()?.iter().filter(|message| !message.is_empty()) {
    ///     // SAFETY: The message has a byte.
    ///     let first = unsafe { message.as_ptr().read_volatile() };
    ///     if message.is_intact() {
    ///         println!("{first}");
    ///     }
    /// }
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        self.region.message(self.description.position)
    }

    /// Whether the message was still there until now: all that was read before is of this message.
    ///
    /// ```no_run
    /// # let mut receiver = io_uring_ipc::MappedReceiver::open("bus/log")?;
    /// let all_there = receiver.recv()?.iter().all(|message| message.is_intact());
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.region.is_intact(self.description.position)
    }
}
