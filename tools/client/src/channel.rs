// SPDX-License-Identifier: MIT

//! Channels: how a process creates one, and how others find it.

use std::num::NonZeroU32;

use crate::{
    error::{Error, Result},
    receiver::Receiver,
    ring::Ring,
    sender::Sender,
    sys,
};

/// The number of a subscriber: a [`Sender`], a [`Receiver`] or a
/// [`MappedReceiver`](crate::MappedReceiver).
///
/// The number is the same in all processes, so a process can send it to another one in a message.
///
/// ```
/// use io_uring_ipc::SubscriberId;
///
/// let id = SubscriberId::new(7).unwrap();
/// assert_eq!(id.get(), 7);
/// ```
pub type SubscriberId = NonZeroU32;

/// How often [`Channel::open_or_create`] tries.
const OPEN_ATTEMPTS: u32 = 16;

/// What kind of channel [`Channel::create`] creates.
///
/// `entries` is how many messages the channel holds: a power of two, at most 32768. `max_message`
/// is the length of the largest message in bytes, at most 1 MiB (see also
/// [`Options::slot_size`]). The kernel charges the memory for
/// all of them to the process that creates the channel.
///
/// Without other options, only processes of the same user can use the channel.
///
/// ```
/// use io_uring_ipc::Options;
///
/// let options = Options::broadcast(64, 4096).name("bus/log").mode(0o640);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Options<'a> {
    create: sys::ChannelCreate,
    name: &'a [u8],
    slot_size: u32,
}

impl<'a> Options<'a> {
    /// Each message goes to one receiver. If several wait, the one that attached first gets it.
    ///
    /// ```
    /// let options = io_uring_ipc::Options::unicast(64, 4096);
    /// ```
    pub fn unicast(entries: u32, max_message: u32) -> Self {
        Self {
            create: sys::ChannelCreate {
                ring_entries: entries,
                max_msg_size: max_message,
                mode: 0o600,
                ..sys::ChannelCreate::default()
            },
            name: b"",
            slot_size: 0,
        }
    }

    /// Each message goes to one receiver. If several wait, they get messages in turn.
    ///
    /// ```
    /// let options = io_uring_ipc::Options::multicast(64, 4096);
    /// ```
    pub fn multicast(entries: u32, max_message: u32) -> Self {
        Self::unicast(entries, max_message).flag(sys::F_MULTICAST)
    }

    /// Each receiver gets each message that is sent after the receiver attached.
    ///
    /// ```
    /// let options = io_uring_ipc::Options::broadcast(64, 4096);
    /// ```
    pub fn broadcast(entries: u32, max_message: u32) -> Self {
        Self::unicast(entries, max_message).flag(sys::F_BROADCAST)
    }

    /// A full broadcast takes a new message in place of the oldest one. Receivers that have not
    /// received that one are told that they lost it.
    ///
    /// ```
    /// let options = io_uring_ipc::Options::broadcast(64, 4096).overwrite();
    /// ```
    pub fn overwrite(self) -> Self {
        self.flag(sys::F_OVERWRITE)
    }

    /// No user takes all entries of a queue: a send needs as many free entries as its user has filled.
    /// A broadcast cannot be fair.
    ///
    /// ```
    /// let options = io_uring_ipc::Options::unicast(64, 4096).fair();
    /// ```
    pub fn fair(self) -> Self {
        self.flag(sys::F_FAIR)
    }

    /// No process can read the channel in place, and no other user finds it by number or name.
    ///
    /// ```
    /// let options = io_uring_ipc::Options::unicast(64, 4096).private();
    /// ```
    pub fn private(self) -> Self {
        self.flag(sys::F_PRIVATE)
    }

    /// Usual messages have at most so many bytes, and longer ones, up to 64 MiB, take several
    /// entries each. So memory is paid for usual messages, and not for the largest one, which can
    /// have at most a quarter of all entries.
    ///
    /// ```
    /// let options = io_uring_ipc::Options::unicast(1024, 1 << 20).slot_size(4096);
    /// ```
    pub fn slot_size(mut self, bytes: u32) -> Self {
        self.slot_size = bytes;
        self
    }

    /// Other processes find the channel by this name: 1 to 127 bytes, none of them 0.
    ///
    /// No other channel of the IPC namespace has the same name.
    ///
    /// ```
    /// let options = io_uring_ipc::Options::unicast(64, 4096).name("jobs");
    /// ```
    pub fn name(mut self, name: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        self.name = name.as_ref();
        self
    }

    /// Other processes find the channel by this number, which is not 0.
    ///
    /// ```
    /// let options = io_uring_ipc::Options::unicast(64, 4096).key(4711);
    /// ```
    pub fn key(mut self, key: u64) -> Self {
        self.create.key = key;
        self
    }

    /// The users that may use the channel, as the mode of a file: read permission is for receivers, and
    /// write permission for senders. The default is `0o600`.
    ///
    /// ```
    /// let options = io_uring_ipc::Options::unicast(64, 4096).mode(0o622);
    /// ```
    pub fn mode(mut self, mode: u32) -> Self {
        self.create.mode = mode;
        self
    }

    fn flag(mut self, flag: u32) -> Self {
        self.create.flags |= flag;
        self
    }
}

/// How a process finds a channel: by its name, its key or its number.
///
/// A string is a name.
///
/// ```no_run
/// use io_uring_ipc::{Address, Sender};
///
/// let by_name = Sender::open("bus/log")?;
/// let by_key = Sender::open(Address::Key(4711))?;
/// # Ok::<(), io_uring_ipc::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address<'a> {
    /// The name of [`Options::name`].
    Name(&'a [u8]),
    /// The key of [`Options::key`].
    Key(u64),
    /// The number of [`Channel::id`].
    Id(u32),
}

impl<'a> From<&'a str> for Address<'a> {
    fn from(name: &'a str) -> Self {
        Self::Name(name.as_bytes())
    }
}

impl<'a> From<&'a [u8]> for Address<'a> {
    fn from(name: &'a [u8]) -> Self {
        Self::Name(name)
    }
}

/// The extension of a command that has a name.
pub(crate) fn name_ext(name: &[u8]) -> Result<sys::Ext> {
    Ok(sys::Ext {
        name: name.as_ptr().addr() as u64,
        name_len: name.len().try_into().map_err(|_| Error::Invalid)?,
        slot_size: 0,
    })
}

/// A channel that this process has created.
///
/// Dropping it destroys the channel. So does the end of the process. Nobody can send any more
/// then, and receivers get what is left.
///
/// ```no_run
/// use io_uring_ipc::{Channel, Options};
///
/// let channel = Channel::create(&Options::unicast(64, 4096).name("jobs"))?;
/// let mut receiver = channel.receiver()?;
/// loop {
///     let message = receiver.recv()?;
///     println!("{} bytes from process {}", message.data.len(), message.info.pid);
/// }
/// # #[allow(unreachable_code)]
/// # Ok::<(), io_uring_ipc::Error>(())
/// ```
pub struct Channel {
    ring: Ring,
    id: u32,
}

impl Channel {
    /// Creates a channel.
    ///
    /// ```no_run
    /// # use io_uring_ipc::{Channel, Options};
    /// let channel = Channel::create(&Options::broadcast(64, 4096).name("bus/log"))?;
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Exists`] if another channel has the name or the key; [`Error::Invalid`] if the
    /// options are not valid; [`Error::NoModule`], [`Error::NoKernel`], [`Error::NoIoUring`],
    /// [`Error::Os`].
    pub fn create(options: &Options<'_>) -> Result<Self> {
        let mut ring = Ring::new()?;
        let mut create = options.create;
        let mut ext = name_ext(options.name)?;
        ext.slot_size = options.slot_size;
        if options.name.is_empty() {
            // Without a length there is no address.
            ext.name = 0;
        }
        if !options.name.is_empty() || options.slot_size > 0 {
            create.ext = (&raw const ext).addr() as u64;
            create.ext_size = sys::Ext::SIZE;
        }
        // SAFETY: CREATE takes this struct. The extension and the name live until it returns.
        let created = unsafe { ring.command(sys::REGISTER_CREATE, &mut create) };
        created.map_err(|errno| ring.explain(errno, Error::NoChannel))?;
        Ok(Self {
            ring,
            id: create.channel_id_out,
        })
    }

    /// Opens the channel with the name of the options, or creates it if there is none. Of several
    /// processes that do this at the same time, one creates the channel, and all open it.
    ///
    /// `open` is how to open it, such as `Sender::open`. The channel is returned if this call has
    /// created it: it exists as long as that.
    ///
    /// ```no_run
    /// # use io_uring_ipc::{Channel, Options, Receiver};
    /// let options = Options::broadcast(64, 4096).name("bus/log");
    /// let (mut receiver, created) = Channel::open_or_create(&options, Receiver::open)?;
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Exists`] if there is a channel that this process must not find, or if others create
    /// and destroy it all the time; otherwise as [`Channel::create`] and as `open`.
    pub fn open_or_create<'a, S>(
        options: &Options<'a>,
        mut open: impl FnMut(Address<'a>) -> Result<S>,
    ) -> Result<(S, Option<Self>)> {
        for _ in 0..OPEN_ATTEMPTS {
            match open(Address::Name(options.name)) {
                Err(Error::NoChannel) => (),
                result => return Ok((result?, None)),
            }
            match Self::create(options) {
                Err(Error::Exists) => (),
                result => {
                    let channel = result?;
                    return Ok((open(Address::Id(channel.id))?, Some(channel)));
                }
            }
        }
        Err(Error::Exists)
    }

    /// The number of the channel, for [`Address::Id`].
    ///
    /// ```no_run
    /// # use io_uring_ipc::{Address, Channel, Options, Sender};
    /// let channel = Channel::create(&Options::unicast(64, 4096))?;
    /// let sender = Sender::open(Address::Id(channel.id()))?;
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Opens the channel to send.
    ///
    /// ```no_run
    /// # use io_uring_ipc::{Channel, Options};
    /// let channel = Channel::create(&Options::unicast(64, 4096))?;
    /// channel.sender()?.send(b"hello")?;
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Sender::open`].
    pub fn sender(&self) -> Result<Sender> {
        Sender::open(Address::Id(self.id))
    }

    /// Opens the channel to receive.
    ///
    /// ```no_run
    /// # use io_uring_ipc::{Channel, Options};
    /// let channel = Channel::create(&Options::unicast(64, 4096))?;
    /// let mut receiver = channel.receiver()?;
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Receiver::open`].
    pub fn receiver(&self) -> Result<Receiver> {
        Receiver::open(Address::Id(self.id))
    }

    /// Detaches a subscriber of any process: its calls fail with [`Error::NoSubscriber`] from then
    /// on, and it holds up nobody any more.
    ///
    /// ```no_run
    /// # use io_uring_ipc::{Channel, Options};
    /// let mut channel = Channel::create(&Options::broadcast(64, 4096))?;
    /// let slow = channel.receiver()?;
    /// channel.evict(slow.id())?;
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoSubscriber`] if there is no such subscriber, [`Error::NotOwner`] if it is one of
    /// another user's channel.
    pub fn evict(&mut self, subscriber: SubscriberId) -> Result<()> {
        evict_by(&mut self.ring, subscriber)
    }

    /// Destroys the channel, as dropping it does, and tells whether it was still there.
    ///
    /// ```no_run
    /// # use io_uring_ipc::{Channel, Options};
    /// Channel::create(&Options::unicast(64, 4096))?.destroy()?;
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoChannel`] if another process of the owner was faster.
    pub fn destroy(mut self) -> Result<()> {
        destroy_by(&mut self.ring, self.id)
    }
}

/// Detaches a subscriber of any process from a channel that another process of this user has
/// created, as [`Channel::evict`] does.
///
/// ```no_run
/// # let slow = io_uring_ipc::SubscriberId::new(7).unwrap();
/// io_uring_ipc::evict(slow)?;
/// # Ok::<(), io_uring_ipc::Error>(())
/// ```
///
/// # Errors
///
/// As [`Channel::evict`]; [`Error::NoModule`], [`Error::NoKernel`], [`Error::NoIoUring`],
/// [`Error::Os`].
pub fn evict(subscriber: SubscriberId) -> Result<()> {
    evict_by(&mut Ring::new()?, subscriber)
}

/// Destroys the channel with this number, which another process of this user has created.
///
/// ```no_run
/// # let channel = 1;
/// io_uring_ipc::destroy(channel)?;
/// # Ok::<(), io_uring_ipc::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::NoChannel`] if there is no such channel, [`Error::NotOwner`] if it is another user's;
/// [`Error::NoModule`], [`Error::NoKernel`], [`Error::NoIoUring`], [`Error::Os`].
pub fn destroy(channel: u32) -> Result<()> {
    destroy_by(&mut Ring::new()?, channel)
}

fn evict_by(ring: &mut Ring, subscriber: SubscriberId) -> Result<()> {
    // SAFETY: DETACH takes a number.
    let detached = unsafe { ring.command_on(sys::REGISTER_DETACH, subscriber.get()) };
    detached.map_err(|errno| ring.explain(errno, Error::NoSubscriber))
}

fn destroy_by(ring: &mut Ring, channel: u32) -> Result<()> {
    // SAFETY: DESTROY takes a number.
    let destroyed = unsafe { ring.command_on(sys::REGISTER_DESTROY, channel) };
    destroyed.map_err(|errno| ring.explain(errno, Error::NoChannel))
}
