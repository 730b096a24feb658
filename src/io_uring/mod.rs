// SPDX-License-Identifier: GPL-2.0

//! What io_uring and VFS call.

pub(crate) mod command;
mod exchange;
pub(crate) mod fds;
pub(crate) mod file;
pub(crate) mod hook;
pub(crate) mod instance;
mod own;
pub(crate) mod recv;
pub(crate) mod request;
pub(crate) mod send;
