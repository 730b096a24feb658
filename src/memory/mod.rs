// SPDX-License-Identifier: GPL-2.0

//! The memory of channels, and the buffers of requests.

pub(crate) mod atomic;
pub(crate) mod buffer;
pub(crate) mod bytes;
pub(crate) mod charge;
pub(crate) mod cursor_page;
pub(crate) mod fixed_buffer;
mod layout;
pub(crate) mod region;
pub(crate) mod user_buffer;
