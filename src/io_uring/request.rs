// SPDX-License-Identifier: GPL-2.0

//! What a request keeps of its SQE, except the place of its buffer.

use crate::uapi;

/// What a request does when there is no message or no room.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// It fails.
    Never,
    /// It waits.
    Once,
    /// It waits, and again after each message.
    Multishot,
}

/// A request. It consists of integers, so that any bytes are a valid one.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    /// Id of the subscriber, or of the channel if the sender is not attached.
    pub(crate) id: u32,
    /// Id of the only receiver, or 0.
    pub(crate) target: u32,
    /// A number that the sender gives the receiver.
    pub(crate) sender_data: u64,
    /// `rw_flags`, checked.
    flags: u32,
    /// [`Self::SENDS`] and [`Self::HAS_WAITED_UNATTACHED`].
    state: u32,
}

impl Request {
    const SENDS: u32 = 1 << 0;
    const HAS_WAITED_UNATTACHED: u32 = 1 << 1;

    /// A send, from the fields of an SQE.
    pub(crate) fn send(id: i32, target: u32, sender_data: u64, flags: u32) -> Self {
        Self {
            // CAST: A negative number becomes larger than any id.
            id: id as u32,
            target,
            sender_data,
            flags,
            state: Self::SENDS,
        }
    }

    /// A receive, from the fields of an SQE.
    pub(crate) fn receive(id: i32, flags: u32) -> Self {
        Self {
            state: 0,
            ..Self::send(id, 0, 0, flags)
        }
    }

    /// Whether it sends. Only a send can come from a sender that is not attached.
    pub(crate) fn sends(&self) -> bool {
        self.state & Self::SENDS != 0
    }

    /// Notes that it waits for room without a subscriber, and is allowed to send.
    pub(crate) fn wait_unattached(&mut self) {
        self.state |= Self::HAS_WAITED_UNATTACHED;
    }

    /// Whether it has waited like that. If its channel is unknown now, the channel was destroyed.
    pub(crate) fn has_waited_unattached(&self) -> bool {
        self.state & Self::HAS_WAITED_UNATTACHED != 0
    }

    /// Whether a flag of `rw_flags` is set.
    #[inline(always)]
    pub(crate) fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Whether it receives messages with a `MessageInfo` before each.
    pub(crate) fn wants_info(&self) -> bool {
        !self.sends() && self.has(uapi::IOIPC_RECV_INFO | uapi::IOIPC_RECV_BUNDLE)
    }
}
