// SPDX-License-Identifier: GPL-2.0

//! What a request keeps of its SQE.

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

/// A request, apart from its buffer.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    /// Of the subscriber, or of the channel for one that is not attached.
    pub(crate) id: u32,
    /// Of the only receiver, or 0.
    pub(crate) target: u32,
    /// What the sender gives the receiver.
    pub(crate) sender_data: u64,
    /// Whether it waits.
    pub(crate) wait: Wait,
    /// Whether it has waited without a subscriber: if its channel is unknown after that, it was
    /// destroyed.
    pub(crate) has_waited_unattached: bool,
}
