// SPDX-License-Identifier: MIT

//! Message channels between processes of one machine, driven by `io_uring`.
//!
//! A process creates a [`Channel`], and other processes open it by its name: a [`Sender`] to send,
//! a [`Receiver`] or a [`MappedReceiver`] to receive, or a [`Peer`] for both. Messages go through a ring in the kernel. A
//! sender writes a message once, however many receivers get it.
//!
//! This needs Linux on a 64-bit machine, a kernel that has the channels, and its module
//! `io_uring_ipc`. Functions fail with [`Error::NoKernel`] or [`Error::NoModule`] otherwise.
//!
//! # The first message
//!
//! One process creates a channel and receives:
//!
//! ```no_run
//! use io_uring_ipc::{Channel, Options};
//!
//! let channel = Channel::create(&Options::unicast(64, 4096).name("jobs"))?;
//! let mut receiver = channel.receiver()?;
//! let message = receiver.recv()?;
//! println!("process {} says {:?}", message.info.pid, message.data);
//! # Ok::<(), io_uring_ipc::Error>(())
//! ```
//!
//! Another one sends:
//!
//! ```no_run
//! use io_uring_ipc::Sender;
//!
//! Sender::open("jobs")?.send(b"hello")?;
//! # Ok::<(), io_uring_ipc::Error>(())
//! ```
//!
//! # Which kind of channel
//!
//! | | each message goes to | |
//! |---|---|---|
//! | [`Options::unicast`] | one receiver, the first that waits | requests to a server |
//! | [`Options::multicast`] | one receiver, in turn | jobs for workers |
//! | [`Options::broadcast`] | each receiver | a bus, a log, prices |
//!
//! # What costs little
//!
//! - [`Sender::send_vec`] sends many messages with one system call, and
//!   [`Receiver::recv_bundle`] receives many.
//! - A [`MappedReceiver`] of a broadcast reads messages where the kernel has stored them, without
//!   system calls as long as there are messages.
//!
//! # What blocks
//!
//! Functions with `try_` in their names do not wait. The others wait until there is a message or
//! room, and their documentation says so. [`Receiver::set_timeout`] and [`Sender::set_timeout`]
//! limit how long. A signal does not end a wait.
//!
//! To wait for several channels at once, use their files in poll(2) or epoll: each subscriber is
//! [`AsFd`](std::os::fd::AsFd). With the feature `tokio`, the module
#![cfg_attr(feature = "tokio", doc = "[`tokio`]")]
#![cfg_attr(not(feature = "tokio"), doc = "`tokio`")]
//! has senders and receivers with `async` functions, streams and sinks.
//!
//! # When a process ends
//!
//! The kernel detaches the subscribers of a process that ends, and destroys its channels, before
//! others can see the end of the process. A message that the process has received is gone with it.
//! A process must not use a subscriber or channel of its parent after fork(2).
//!
//! # Features
//!
//! - `tokio`: senders and receivers for programs that use tokio.
//! - `typed`: messages that are values, by serde and postcard.
//! - `zbus`: D-Bus connections of the crate zbus over channels.
//!
//! The crate needs Rust 1.88, and 1.89 with the feature `zbus`.

mod buffer;
mod channel;
mod endpoint;
mod error;
mod kernel;
mod mapped;
mod message;
mod peer;
mod poster;
mod receiver;
mod region;
mod ring;
mod sender;
mod sys;
#[cfg(feature = "tokio")]
pub mod tokio;
#[cfg(feature = "typed")]
mod typed;
#[cfg(feature = "zbus")]
pub mod zbus;

pub use channel::{destroy, evict, Address, Channel, Options, SubscriberId};
pub use error::{Error, Result};
pub use kernel::Limits;
pub use mapped::{InPlace, MappedMessage, MappedReceiver};
pub use message::{Bundle, Info, Message};
pub use peer::Peer;
pub use poster::Poster;
pub use receiver::{Receiver, ReceiverOptions};
pub use sender::Sender;
#[cfg(feature = "typed")]
pub use typed::Typed;
