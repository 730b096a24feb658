// SPDX-License-Identifier: MIT

//! D-Bus connections of the crate [zbus], without a broker and without sockets.
//!
//! A service owns a name, which is the name of a channel, and accepts a connection from each of its
//! clients. To the program it is a peer-to-peer connection of zbus: interfaces, proxies, signals and
//! properties are as usual.
//!
//! ```no_run
//! use io_uring_ipc::zbus::Listener;
//!
//! struct Calculator;
//!
//! #[zbus::interface(name = "org.example.Calculator")]
//! impl Calculator {
//!     fn double(&self, number: u32) -> u32 {
//!         number * 2
//!     }
//! }
//!
//! # async fn example() -> zbus::Result<()> {
//! let mut listener = Listener::bind("org.example.Calculator", 0o622)?;
//! let mut connections = Vec::new();
//! loop {
//!     let socket = listener.accept().await?;
//!     let builder = socket.builder().serve_at("/", Calculator);
//!     connections.push(builder.build().await?);
//! }
//! # }
//! ```
//!
//! A client:
//!
//! ```no_run
//! use io_uring_ipc::zbus::Socket;
//!
//! # async fn example() -> zbus::Result<()> {
//! let socket = Socket::connect("org.example.Calculator").await?;
//! let connection = socket.builder().build().await?;
//! let calculator = Some("org.example.Calculator");
//! let reply = connection.call_method(None::<&str>, "/", calculator, "Double", &21u32).await?;
//! println!("{}", reply.body().deserialize::<u32>()?);
//! # Ok(())
//! # }
//! ```
//!
//! # How it works
//!
//! Each end of a connection creates a channel of its own, its *inbox*: no other user can receive
//! from it, and its memory is charged to this end alone. Each end sends to the inbox of the other
//! one. The two ends tell each other the names of their inboxes, and a secret each. The secret of
//! a client goes to the service through the channel that has the service's name, and comes back
//! from the service with the service's secret. So each end knows which sender the other one is,
//! and drops what any other process sends to the inbox. The kernel says which process, user and
//! group the other end is: see `Connection::peer_creds`.
//!
//! When an inbox is full, its sender waits. When a process ends, its inbox is destroyed; the other
//! end receives what was sent, and then its connection ends.
//!
//! The futures need a tokio runtime for the channels. zbus may have one of its own, or
//! share it (feature `tokio` of zbus).

use std::{
    collections::HashMap,
    fmt,
    future::poll_fn,
    io,
    mem::take,
    ops::Range,
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    sync::{Arc, Weak},
    task::{ready, Context, Poll},
};

use ::tokio::io::{unix::AsyncFd, Interest};
use ::zbus::{
    connection::{socket::Split, Builder},
    export::async_trait::async_trait,
    fdo::ConnectionCredentials,
    Guid, Message,
};

use crate::{
    channel::{Address, Channel, Options, SubscriberId},
    error::{Error, Result},
    message::Info,
    receiver::Receiver,
    sender::Sender,
    tokio::{retry, watch},
};

/// How many connections of one user a [`Listener`] accepts.
const MAX_CONNECTIONS: usize = 256;

/// What an inbox holds.
const ENTRIES: u32 = 128;
const SLOT: u32 = 1 << 10;
/// How much of a D-Bus message is sent as one message of the channel.
const CHUNK: u32 = 16 << 10;

/// Which version of this module an end has.
const MAGIC: [u8; 8] = *b"zbus-1\0\0";

/// A number that nobody can guess.
type Secret = [u8; 16];

fn secret() -> io::Result<Secret> {
    let mut secret = Secret::default();
    let len = secret.len();
    // SAFETY: The kernel writes as many bytes at most.
    if unsafe { libc::getrandom(secret.as_mut_ptr().cast(), len, 0) } == len.cast_signed() {
        return Ok(secret);
    }
    Err(io::Error::last_os_error())
}

fn hex(number: &Secret) -> String {
    format!("{:032x}", u128::from_be_bytes(*number))
}

/// The name of an inbox. Whatever a client says, a service sends to channels with such names alone.
fn inbox_name(number: &Secret) -> String {
    format!("zbus/{}", hex(number))
}

/// What a client sends to a service's name.
struct Hello {
    inbox: Secret,
    secret: Secret,
}

impl Hello {
    fn to_bytes(&self) -> Vec<u8> {
        [&MAGIC[..], &self.inbox, &self.secret].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (inbox, rest) = bytes.strip_prefix(&MAGIC)?.split_first_chunk()?;
        Some(Self {
            inbox: *inbox,
            secret: rest.try_into().ok()?,
        })
    }
}

/// What a service sends to a client's inbox. The client starts with the service's secret. A service
/// that refuses a client sends nothing but the client's secret.
struct Welcome {
    inbox: Secret,
    secret: Secret,
    guid: Secret,
}

impl Welcome {
    fn to_bytes(&self, proof: &Secret) -> Vec<u8> {
        [&proof[..], &self.inbox, &self.secret, &self.guid].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (inbox, rest) = bytes.split_first_chunk()?;
        let (secret, rest) = rest.split_first_chunk()?;
        Some(Self {
            inbox: *inbox,
            secret: *secret,
            guid: rest.try_into().ok()?,
        })
    }
}

/// The sender whose messages an inbox takes.
#[derive(Clone, Copy)]
enum Origin {
    /// The one that knows this secret. It starts its first message with it.
    Knows(Secret),
    Is(SubscriberId),
}

/// What arrives in an inbox.
struct Mail {
    receiver: Receiver,
    origin: Origin,
    /// The message in the buffer of the receiver: how much of the buffer it takes, and which part
    /// of its data is not read.
    filled: usize,
    unread: Range<usize>,
    /// Its files, which nobody has taken.
    files: Vec<OwnedFd>,
}

impl Mail {
    /// Takes a message into the buffer. Returns what the kernel tells of it, or `None` if another
    /// process has sent it.
    fn take(&mut self) -> Result<Option<Info>> {
        self.unread = 0..0;
        self.files.clear();
        let files;
        (self.filled, files) = self.receiver.fill_with_files()?;
        let message = self.receiver.message(self.filled)?;
        let Some(sender) = message.info.sender else {
            return Ok(None);
        };
        let start = match self.origin {
            Origin::Is(origin) if origin == sender => 0,
            Origin::Knows(secret) if message.data.starts_with(&secret) => secret.len(),
            _ => return Ok(None),
        };
        if message.data.is_empty() {
            // The other end has closed the connection.
            return Err(Error::Destroyed);
        }
        self.origin = Origin::Is(sender);
        self.unread = start..message.data.len();
        self.files = files;
        Ok(Some(message.info))
    }

    fn unread(&self) -> Result<&[u8]> {
        let message = self.receiver.message(self.filled)?;
        message.data.get(self.unread.clone()).ok_or(Error::Invalid)
    }
}

/// A channel that one end receives from, and no other user.
struct Inbox {
    /// Destroyed with this end, which tells the other one.
    _channel: Channel,
    number: Secret,
    file: AsyncFd<OwnedFd>,
    mail: Mail,
}

impl Inbox {
    /// Creates one, and the secret by which it knows its sender.
    fn create(mode: u32) -> Result<(Self, Secret)> {
        let (number, secret) = (secret()?, secret()?);
        let name = inbox_name(&number);
        let options = Options::unicast(ENTRIES, CHUNK).slot_size(SLOT).fair();
        let channel = Channel::create(&options.mode(mode).name(&name))?;
        let receiver = channel.receiver()?;
        let inbox = Self {
            _channel: channel,
            number,
            file: watch(receiver.as_fd(), Interest::READABLE)?,
            mail: Mail {
                receiver,
                origin: Origin::Knows(secret),
                filled: 0,
                unread: 0..0,
                files: Vec::new(),
            },
        };
        Ok((inbox, secret))
    }

    /// Takes a message of the right sender. [`Error::Destroyed`] if there is none any more, because
    /// the channel of `end` was destroyed.
    async fn take(&mut self, end: &AsyncFd<OwnedFd>) -> Result<Info> {
        let Self { file, mail, .. } = self;
        poll_fn(|context| loop {
            // In this order: `take` finds all that was sent before the end.
            let has_ended = poll_end(end, context)?.is_ready();
            let readable = file.poll_read_ready(context)?;
            if readable.is_pending() && !has_ended {
                return Poll::Pending;
            }
            match mail.take() {
                Ok(None) => (),
                Ok(Some(info)) => return Poll::Ready(Ok(info)),
                Err(Error::Empty) if has_ended => return Poll::Ready(Err(Error::Destroyed)),
                Err(Error::Empty) => {
                    if let Poll::Ready(mut guard) = readable {
                        guard.clear_ready();
                    }
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        })
        .await
    }
}

/// Polls for the end of a sender's channel.
fn poll_end(end: &AsyncFd<OwnedFd>, context: &mut Context<'_>) -> Poll<Result<()>> {
    loop {
        let mut guard = ready!(end.poll_read_ready(context))?;
        if guard.ready().is_read_closed() {
            return Poll::Ready(Ok(()));
        }
        guard.clear_ready();
    }
}

/// Sends to the inbox of the other end.
struct Outbox {
    sender: Sender,
    file: AsyncFd<OwnedFd>,
}

impl Outbox {
    fn open(number: &Secret) -> Result<Self> {
        let sender = Sender::open(inbox_name(number).as_str())?;
        let file = watch(sender.as_fd(), Interest::WRITABLE)?;
        Ok(Self { sender, file })
    }

    /// Sends the first bytes with all files, and returns how many bytes.
    async fn send(&mut self, bytes: &[u8], files: &[RawFd]) -> Result<usize> {
        let sender = &mut self.sender;
        let mut send = |len: usize| {
            let sent = sender.try_send_with_files(&bytes[..len], files);
            sent.map(|()| len)
        };
        let (len, least) = (
            bytes.len().min(CHUNK as usize),
            bytes.len().min(SLOT as usize),
        );
        retry(&self.file, Interest::WRITABLE, || match send(len) {
            // The file is writable as soon as one slot is free.
            Err(Error::Full) if least < len => send(least),
            result => result,
        })
        .await
    }
}

/// One end of a connection.
///
/// ```no_run
/// use io_uring_ipc::zbus::Socket;
///
/// # async fn example() -> zbus::Result<()> {
/// let connection = Socket::connect("org.example.Calculator").await?.builder().build().await?;
/// println!("{:?}", connection.peer_creds().await?.unix_user_id());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Socket {
    read: ReadHalf,
    write: WriteHalf,
    guid: Guid<'static>,
}

impl Socket {
    /// Connects to the service that owns a name.
    ///
    /// Any process can own a name that is free. Look at the user in `Connection::peer_creds` if
    /// the service has to be a certain one.
    ///
    /// ```no_run
    /// # async fn example() -> io_uring_ipc::Result<()> {
    /// let socket = io_uring_ipc::zbus::Socket::connect("org.example.Calculator").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoChannel`] if no service has the name; [`Error::Denied`] if its mode does not
    /// permit this user; [`Error::Destroyed`] if the service has ended;
    /// [`Error::TooManySubscribers`] if it has too many connections of this user; otherwise as
    /// [`Channel::create`] and [`Sender::open`].
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, or if its IO is not enabled.
    pub async fn connect<'a>(service: impl Into<Address<'a>>) -> Result<Self> {
        let mut door = crate::tokio::Sender::open(service)?;
        let end = watch(door.get_ref().as_fd(), Interest::READABLE)?;
        let (mut inbox, secret) = Inbox::create(0o622)?;
        let hello = Hello {
            inbox: inbox.number,
            secret,
        };
        door.send(&hello.to_bytes()).await?;
        let service = inbox.take(&end).await?;
        let welcome = inbox.mail.unread()?;
        let welcome = Welcome::from_bytes(welcome).ok_or(Error::TooManySubscribers)?;
        inbox.mail.unread = 0..0;
        let mut outbox = Outbox::open(&welcome.inbox)?;
        outbox.send(&welcome.secret, &[]).await?;
        Self::new(inbox, outbox, &service, &welcome.guid, None)
    }

    fn new(
        inbox: Inbox,
        outbox: Outbox,
        other: &Info,
        guid: &Secret,
        user: Option<Arc<()>>,
    ) -> Result<Self> {
        Ok(Self {
            read: ReadHalf {
                end: watch(outbox.sender.as_fd(), Interest::READABLE)?,
                inbox,
                other: *other,
                _user: user,
            },
            write: WriteHalf {
                outbox,
                current: None,
                other: *other,
            },
            guid: Guid::try_from(hex(guid)).map_err(|_| Error::Invalid)?,
        })
    }

    /// A connection of zbus over this socket, to be built.
    ///
    /// ```no_run
    /// # async fn example() -> zbus::Result<()> {
    /// # let socket = io_uring_ipc::zbus::Socket::connect("org.example.Calculator").await?;
    /// let connection = socket.builder().build().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(self) -> Builder<'static> {
        let guid = self.guid.clone();
        Builder::authenticated_socket(self, guid).p2p()
    }
}

impl ::zbus::connection::socket::Socket for Socket {
    type ReadHalf = ReadHalf;
    type WriteHalf = WriteHalf;

    fn split(self) -> Split<ReadHalf, WriteHalf> {
        Split::new(self.read, self.write)
    }
}

fn credentials(other: &Info) -> ConnectionCredentials {
    let credentials = ConnectionCredentials::default()
        .set_unix_user_id(other.uid)
        .add_unix_group_id(other.gid);
    match other.pid {
        // It is in another PID namespace.
        0 => credentials,
        pid => credentials.set_process_id(pid),
    }
}

impl From<Error> for ::zbus::Error {
    fn from(error: Error) -> Self {
        io::Error::from(error).into()
    }
}

/// What a connection receives from.
pub struct ReadHalf {
    inbox: Inbox,
    /// The channel that the other end receives from.
    end: AsyncFd<OwnedFd>,
    other: Info,
    /// As many as connections of this user are there.
    _user: Option<Arc<()>>,
}

impl fmt::Debug for ReadHalf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("ReadHalf");
        debug.field("inbox", &self.inbox.mail.receiver.id());
        debug.finish_non_exhaustive()
    }
}

#[async_trait]
impl ::zbus::connection::socket::ReadHalf for ReadHalf {
    /// If the future is dropped before it has completed, it has received nothing.
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        while self.inbox.mail.unread.is_empty() {
            match self.inbox.take(&self.end).await {
                Ok(_) => (),
                Err(Error::Destroyed) => return Ok((0, Vec::new())),
                Err(error) => return Err(error.into()),
            }
        }
        let mail = &mut self.inbox.mail;
        let unread = mail.unread()?;
        let len = unread.len().min(buffer.len());
        buffer[..len].copy_from_slice(&unread[..len]);
        mail.unread.start += len;
        Ok((len, take(&mut mail.files)))
    }

    fn can_pass_unix_fd(&self) -> bool {
        true
    }

    async fn peer_credentials(&mut self) -> io::Result<ConnectionCredentials> {
        Ok(credentials(&self.other))
    }
}

/// What a connection sends to.
pub struct WriteHalf {
    outbox: Outbox,
    /// The D-Bus message that is being sent, and how much of it was.
    current: Option<(Message, usize)>,
    other: Info,
}

impl fmt::Debug for WriteHalf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("WriteHalf");
        debug.field("outbox", &self.outbox.sender.id());
        debug.finish_non_exhaustive()
    }
}

impl WriteHalf {
    /// Sends what is left of the current message.
    async fn finish(&mut self) -> Result<()> {
        while let Some((message, sent)) = &mut self.current {
            let data = message.data();
            // The first bytes take all files along.
            let files: Vec<_> = match *sent {
                0 => data.fds().iter().map(AsRawFd::as_raw_fd).collect(),
                _ => Vec::new(),
            };
            *sent += self.outbox.send(&data[*sent..], &files).await?;
            if *sent == data.len() {
                self.current = None;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl ::zbus::connection::socket::WriteHalf for WriteHalf {
    /// If the future is dropped before it has completed, it has sent nothing, or the next one sends
    /// the rest.
    async fn send_message(&mut self, message: &Message) -> ::zbus::Result<()> {
        if matches!(self.current, Some((_, 0))) {
            self.current = None;
        }
        self.finish().await?;
        self.current = Some((message.clone(), 0));
        self.finish().await?;
        Ok(())
    }

    async fn close(&mut self) -> io::Result<()> {
        if matches!(self.current, Some((_, 0))) {
            self.current = None;
        }
        self.finish().await?;
        self.outbox.send(&[], &[]).await?;
        Ok(())
    }

    fn can_pass_unix_fd(&self) -> bool {
        true
    }

    async fn peer_credentials(&mut self) -> io::Result<ConnectionCredentials> {
        Ok(credentials(&self.other))
    }
}

/// Owns a name, and accepts connections of clients.
///
/// Dropping it gives up the name. Connections stay.
///
/// ```no_run
/// use io_uring_ipc::zbus::Listener;
///
/// # async fn example() -> zbus::Result<()> {
/// let mut listener = Listener::bind("org.example.Calculator", 0o622)?;
/// let connection = listener.accept().await?.builder().build().await?;
/// # Ok(())
/// # }
/// ```
pub struct Listener {
    _channel: Channel,
    door: crate::tokio::Receiver,
    guid: Secret,
    /// The mode of the inboxes.
    mode: u32,
    /// How many connections each user has.
    users: HashMap<u32, Weak<()>>,
}

impl Listener {
    /// Owns a name. The mode says which users may connect: `0o600` for this user, `0o622` for all.
    ///
    /// ```no_run
    /// # async fn example() -> io_uring_ipc::Result<()> {
    /// let listener = io_uring_ipc::zbus::Listener::bind("org.example.Calculator", 0o600)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Exists`] if another process owns the name, otherwise as [`Channel::create`].
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, or if its IO is not enabled.
    pub fn bind(name: &str, mode: u32) -> Result<Self> {
        // To receive here is to be the service.
        let mode = mode & !0o044;
        let options = Options::unicast(ENTRIES, SLOT).fair();
        let channel = Channel::create(&options.mode(mode).name(name))?;
        Ok(Self {
            door: channel.receiver()?.try_into()?,
            _channel: channel,
            guid: secret()?,
            mode,
            users: HashMap::new(),
        })
    }

    /// Accepts a connection. A client cannot hold this up.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it has completed, it has accepted nothing.
    ///
    /// ```no_run
    /// # async fn example() -> io_uring_ipc::Result<()> {
    /// # let mut listener = io_uring_ipc::zbus::Listener::bind("org.example.Calculator", 0o600)?;
    /// let socket = listener.accept().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoSubscriber`] if the owner has evicted the listener, [`Error::Os`].
    pub async fn accept(&mut self) -> Result<Socket> {
        loop {
            let message = self.door.recv().await?;
            let (hello, client) = (Hello::from_bytes(message.data), message.info);
            let Some(hello) = hello else { continue };
            // Whatever fails now fails for this client, which sees that its hello is not answered.
            match self.admit(&hello, &client) {
                Err(Error::Os(error)) => return Err(Error::Os(error)),
                Err(_) => (),
                Ok(socket) => return Ok(socket),
            }
        }
    }

    fn admit(&mut self, hello: &Hello, client: &Info) -> Result<Socket> {
        let mut outbox = Outbox::open(&hello.inbox)?;
        self.users.retain(|_, user| user.strong_count() > 0);
        let user = self.users.get(&client.uid).and_then(Weak::upgrade);
        let user = user.unwrap_or_default();
        if Arc::strong_count(&user) > MAX_CONNECTIONS {
            outbox.sender.try_send(&hello.secret)?;
            return Err(Error::TooManySubscribers);
        }
        self.users.insert(client.uid, Arc::downgrade(&user));
        let (inbox, secret) = Inbox::create(self.mode)?;
        let welcome = Welcome {
            inbox: inbox.number,
            secret,
            guid: self.guid,
        };
        outbox.sender.try_send(&welcome.to_bytes(&hello.secret))?;
        Socket::new(inbox, outbox, client, &self.guid, Some(user))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greetings_come_back() {
        let hello = Hello {
            inbox: [1; 16],
            secret: [2; 16],
        };
        let found = Hello::from_bytes(&hello.to_bytes()).unwrap();
        assert_eq!((found.inbox, found.secret), ([1; 16], [2; 16]));
        let welcome = Welcome {
            inbox: [1; 16],
            secret: [2; 16],
            guid: [3; 16],
        };
        let found = welcome.to_bytes(&[4; 16]);
        let found = Welcome::from_bytes(found.strip_prefix(&[4; 16]).unwrap()).unwrap();
        assert_eq!(
            (found.inbox, found.secret, found.guid),
            ([1; 16], [2; 16], [3; 16])
        );
    }

    #[test]
    fn greetings_of_another_length_are_none() {
        for len in (0..64).filter(|&len| len != 40) {
            let bytes = [&MAGIC[..], &[0; 64]].concat();
            assert!(Hello::from_bytes(&bytes[..len]).is_none());
        }
        for len in (0..64).filter(|&len| len != 48) {
            assert!(Welcome::from_bytes(&[0; 64][..len]).is_none());
        }
    }
}
