// SPDX-License-Identifier: GPL-2.0

//! What a request keeps of its SQE, except the place of its buffer.

use core::mem::{offset_of, size_of};

use crate::{
    kernel::parked::{NEEDS, NEEDS_SHIFT},
    uapi,
};

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
#[repr(C)]
pub(crate) struct Request {
    /// Id of the subscriber, or of the channel if the sender is not attached.
    pub(crate) id: u32,
    /// Id of the only receiver, or of the subscriber whose end it waits for; or 0.
    pub(crate) target: u32,
    /// The halves of a number that the sender gives the receiver: there is no room for a gap.
    sender_data: [u32; 2],
    /// `rw_flags`, checked; [`Self::SENDS`], [`Self::HAS_WAITED_UNATTACHED`], [`Self::HAS_LOOKED`],
    /// [`Self::EXCHANGES`], [`Self::AWAITS_ANSWER`]; in the bits of [`NEEDS`], how many slots it needs less one, if it is a send that has found no room.
    flags: u32,
}

// `Fifo::first_needs` finds them there.
const _: () = assert!(offset_of!(Request, flags) + 4 == size_of::<Request>());

impl Request {
    const SENDS: u32 = 1 << 31;
    const HAS_WAITED_UNATTACHED: u32 = 1 << 30;
    const HAS_LOOKED: u32 = 1 << 29;
    /// Something comes back for it, see `exchange`.
    pub(crate) const EXCHANGES: u32 = 1 << 15;
    const AWAITS_ANSWER: u32 = 1 << 14;

    /// A send, from the fields of an SQE.
    pub(crate) fn send(id: i32, target: u32, sender_data: u64, flags: u32) -> Self {
        Self {
            // CAST: A negative number becomes larger than any id.
            id: id as u32,
            target,
            // CAST: The lower half.
            sender_data: [sender_data as u32, (sender_data >> 32) as u32],
            flags: flags | Self::SENDS,
        }
    }

    /// A receive, from the fields of an SQE.
    pub(crate) fn receive(id: i32, target: u32, flags: u32) -> Self {
        Self {
            flags,
            ..Self::send(id, target, 0, flags)
        }
    }

    /// Whether it sends. Only a send can come from a sender that is not attached.
    pub(crate) fn sends(&self) -> bool {
        self.flags & Self::SENDS != 0
    }

    /// Notes that it waits for room without a subscriber, and is allowed to send.
    pub(crate) fn wait_unattached(&mut self) {
        self.flags |= Self::HAS_WAITED_UNATTACHED;
    }

    /// Whether it has waited like that. If its channel is unknown now, the channel was destroyed.
    pub(crate) fn has_waited_unattached(&self) -> bool {
        self.flags & Self::HAS_WAITED_UNATTACHED != 0
    }

    /// Notes whether it has looked at the ring since it was woken.
    pub(crate) fn set_has_looked(&mut self, has_looked: bool) {
        self.flags &= !Self::HAS_LOOKED;
        if has_looked {
            self.flags |= Self::HAS_LOOKED;
        }
    }

    /// Whether it has.
    pub(crate) fn has_looked(&self) -> bool {
        self.flags & Self::HAS_LOOKED != 0
    }

    /// Notes how many slots it needs: it is a send that has found no room.
    pub(crate) fn set_needs(&mut self, slots: u32) {
        self.flags = self.flags & !NEEDS | (slots - 1) << NEEDS_SHIFT & NEEDS;
    }

    /// How many slots it needs, if so.
    pub(crate) fn needs(&self) -> u32 {
        ((self.flags & NEEDS) >> NEEDS_SHIFT) + 1
    }

    /// A number that the sender gives the receiver.
    #[inline(always)]
    pub(crate) fn sender_data(&self) -> u64 {
        u64::from(self.sender_data[0]) | u64::from(self.sender_data[1]) << 32
    }

    /// The flags of the SQE.
    pub(crate) fn rw_flags(&self) -> u32 {
        const OTHERS: u32 = Request::SENDS
            | Request::HAS_WAITED_UNATTACHED
            | Request::HAS_LOOKED
            | Request::EXCHANGES
            | Request::AWAITS_ANSWER;
        self.flags & !OTHERS
    }

    /// Whether a flag of `rw_flags` is set.
    #[inline(always)]
    pub(crate) fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Notes that something comes back for it.
    pub(crate) fn exchange(&mut self) {
        self.flags |= Self::EXCHANGES;
    }

    /// Notes that its call was sent.
    pub(crate) fn await_answer(&mut self) {
        self.flags |= Self::AWAITS_ANSWER;
    }

    /// Whether it waits for the answer to a call.
    pub(crate) fn awaits_answer(&self) -> bool {
        self.flags & Self::AWAITS_ANSWER != 0
    }

    /// Whether it is going to send from a buffer with this flag.
    pub(crate) fn sends_from(&self, flag: u32) -> bool {
        self.sends() && !self.awaits_answer() && self.has(flag)
    }

    /// A send that is done goes on as a receive that waits.
    pub(crate) fn turn_into_receive(&mut self, flags: u32) {
        self.flags = flags | uapi::IOIPC_RECV_WAIT | Self::EXCHANGES;
    }

    /// Whether it waits for the end of a subscriber.
    pub(crate) fn watches(&self) -> bool {
        !self.sends() && self.has(uapi::IOIPC_RECV_GONE)
    }

    /// Whether it receives messages with a `MessageInfo` before each.
    pub(crate) fn wants_info(&self) -> bool {
        !self.sends() && self.has(uapi::IOIPC_RECV_INFO | uapi::IOIPC_RECV_BUNDLE)
    }
}
