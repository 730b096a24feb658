// SPDX-License-Identifier: MIT

//! What senders and receivers have in common: a subscriber, and the `io_uring` instance that it
//! belongs to.

use std::{
    os::fd::{FromRawFd, OwnedFd},
    time::Duration,
};

use crate::{
    channel::{name_ext, Address, SubscriberId},
    error::{Error, Result},
    ring::Ring,
    sys,
};

/// A subscriber.
pub(crate) struct Endpoint {
    ring: Ring,
    pub(crate) file: OwnedFd,
    pub(crate) id: SubscriberId,
    pub(crate) timeout: Option<Duration>,
    /// What can be mapped, read-only: at this offset, so many bytes.
    pub(crate) map_offset: u64,
    pub(crate) map_len: usize,
}

impl Endpoint {
    /// Attaches to a channel.
    pub(crate) fn open(address: Address<'_>, flags: u32) -> Result<Self> {
        let mut ring = Ring::new()?;
        let mut attach = sys::ChannelAttach {
            flags,
            ..sys::ChannelAttach::default()
        };
        let ext;
        match address {
            Address::Name(name) => {
                ext = name_ext(name)?;
                attach.ext = (&raw const ext).addr() as u64;
                attach.ext_size = sys::Ext::SIZE;
            }
            Address::Key(key) => attach.key = key,
            Address::Id(id) => attach.channel_id = id,
        }
        // SAFETY: ATTACH takes this struct. The extension and the name live until it returns.
        let attached = unsafe { ring.command(sys::REGISTER_ATTACH, &mut attach) };
        attached.map_err(|errno| ring.explain(errno, Error::NoChannel))?;
        // SAFETY: The kernel has opened the descriptor for us.
        let file = unsafe { OwnedFd::from_raw_fd(attach.channel_fd) };
        Ok(Self {
            ring,
            file,
            id: SubscriberId::new(attach.local_id_out).ok_or(Error::Invalid)?,
            timeout: None,
            map_offset: attach.mmap_offset_out,
            map_len: attach.region_size as usize,
        })
    }

    /// Waits until another subscriber of the channel is detached.
    pub(crate) fn wait_gone(&mut self, other: SubscriberId) -> Result<()> {
        let sqe = sys::Sqe {
            opcode: sys::OP_RECV,
            rw_flags: sys::RECV_GONE,
            file_index: other.get(),
            ..sys::Sqe::default()
        };
        // SAFETY: The request names no memory.
        unsafe { self.run(sqe) }.map(drop)
    }

    /// Runs a request of the subscriber until it has completed.
    ///
    /// # Safety
    ///
    /// The memory that the request names is valid until this function returns.
    pub(crate) unsafe fn run(&mut self, sqe: sys::Sqe) -> Result<usize> {
        let sqe = sys::Sqe {
            fd: self.id.get(),
            ..sqe
        };
        // SAFETY: By the caller's promise.
        let result = unsafe { self.ring.run(sqe, self.timeout) };
        match result {
            Ok(result) => Ok(result as usize),
            Err(errno) => Err(Error::new(errno, Error::NoSubscriber)),
        }
    }
}

/// The functions of all subscribers, whose field `endpoint` is an [`Endpoint`].
macro_rules! subscriber {
    ($type:ident) => {
        impl $type {
            /// The number of this subscriber. Other processes can send to a receiver by its
            /// number, and the owner of the channel can evict it.
            ///
            /// ```no_run
            #[doc = concat!("let subscriber = io_uring_ipc::", stringify!($type), "::open(\"bus/log\")?;")]
            /// println!("{}", subscriber.id());
            /// # Ok::<(), io_uring_ipc::Error>(())
            /// ```
            #[must_use]
            pub fn id(&self) -> $crate::SubscriberId {
                self.endpoint.id
            }

            /// How long the functions that wait do so: then they fail with
            /// [`Error::TimedOut`](crate::Error::TimedOut). Without a timeout they wait until
            /// there is something or the channel is destroyed.
            ///
            /// ```no_run
            /// # use std::time::Duration;
            #[doc = concat!("let mut subscriber = io_uring_ipc::", stringify!($type), "::open(\"bus/log\")?;")]
            /// subscriber.set_timeout(Some(Duration::from_millis(100)));
            /// # Ok::<(), io_uring_ipc::Error>(())
            /// ```
            pub fn set_timeout(&mut self, timeout: Option<std::time::Duration>) {
                self.endpoint.timeout = timeout;
            }

            /// Waits until another subscriber of the same channel is detached: it was dropped, its
            /// process has ended, or the owner of the channel has evicted it.
            ///
            /// No message comes from it then. A receiver that receives until
            /// [`Error::Empty`](crate::Error::Empty) has all that it has sent.
            ///
            /// ```no_run
            /// # let server = io_uring_ipc::SubscriberId::new(7).unwrap();
            #[doc = concat!("let mut subscriber = io_uring_ipc::", stringify!($type), "::open(\"bus/log\")?;")]
            /// subscriber.wait_gone(server)?;
            /// # Ok::<(), io_uring_ipc::Error>(())
            /// ```
            ///
            /// # Errors
            ///
            /// [`Error::NoSubscriber`](crate::Error::NoSubscriber) if the channel has no such
            /// subscriber, or no longer this one;
            /// [`Error::Destroyed`](crate::Error::Destroyed) if the channel was destroyed;
            /// [`Error::TimedOut`](crate::Error::TimedOut); [`Error::Os`](crate::Error::Os).
            pub fn wait_gone(&mut self, other: $crate::SubscriberId) -> $crate::Result<()> {
                self.endpoint.wait_gone(other)
            }
        }

        /// The file of the subscriber, for poll(2) and epoll: it is readable if a receiver finds
        /// a message, and writable if a sender finds room.
        impl std::os::fd::AsFd for $type {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.endpoint.file.as_fd()
            }
        }

        impl std::os::fd::AsRawFd for $type {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                self.endpoint.file.as_raw_fd()
            }
        }
    };
}
pub(crate) use subscriber;
