// SPDX-License-Identifier: GPL-2.0

//! A subscriber: a member and its channel. This is what io_uring instances and files refer to.

use core::ops::Deref;

use kernel::{
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::{aref::ARef, rcu},
};

use super::{member::Member, Channel, Mode};
use crate::{
    kernel::{rcu::RcuObject, seq_table},
    ring::Waiting,
};

/// An attachment to a channel.
#[derive(Clone)]
pub(crate) struct Subscriber {
    member: ARef<RcuObject<Member>>,
    channel: ARef<RcuObject<Channel>>,
}

impl Subscriber {
    /// A subscriber of the caller that is not attached yet. `flags` are `IOIPC_SUB_*`. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(
        id: u32,
        flags: u32,
        channel: ARef<RcuObject<Channel>>,
    ) -> Result<ARef<RcuObject<Self>>> {
        let member = RcuObject::new(channel.new_member(id, flags))?;
        RcuObject::new(Ok::<_, Error>(Self { member, channel }))
    }

    /// Another subscriber of the same channel.
    pub(super) fn with_member(&self, member: ARef<RcuObject<Member>>) -> Self {
        Self {
            member,
            channel: self.channel.clone(),
        }
    }

    /// The channel that it is or was attached to.
    #[inline]
    pub(crate) fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Makes it a member of its channel. May sleep.
    ///
    /// # Errors
    ///
    /// As [`Channel::attach`].
    pub(crate) fn attach(&self) -> Result {
        self.channel.attach(&self.member)
    }

    /// Ends its membership. Returns whether it was a member until now. May sleep.
    pub(crate) fn detach(&self) -> bool {
        self.channel.detach(&self.member)
    }

    /// Lets its channel take over what was counted of it since it has detached. May sleep.
    pub(crate) fn take_late_counts(&self) {
        self.channel.take_late_counts(&self.member);
    }

    /// Whether it is detached.
    #[inline]
    pub(crate) fn is_detached(&self) -> bool {
        self.channel.is_detached(&self.member)
    }

    /// What its channel knows of it.
    #[inline]
    pub(crate) fn member(&self) -> &Member {
        &self.member
    }

    /// A request of it that may have been woken ends without having taken what the waker has woken
    /// it for: wakes another request if that is still there.
    pub(crate) fn pass_on(&self, guard: &rcu::Guard) {
        let receiver = self.can_receive().then_some(self.member());
        self.channel.pass_on(receiver, guard);
    }

    /// How many bytes of the channel it may map.
    pub(crate) fn mappable_size(&self) -> u32 {
        if self.can_receive() && !self.channel.is_private() {
            self.channel.region().size()
        } else {
            0
        }
    }

    /// Writes the lines of `/proc/PID/fdinfo`.
    pub(crate) fn show(&self, out: &SeqFile) {
        let (channel, member) = (&self.channel, &self.member);
        seq_print!(out, "ioipc-channel:\t{}\n", channel.id());
        if let Some((_, name)) = channel.name() {
            seq_print!(out, "ioipc-name:\t");
            seq_table::escape(out, name.as_c_str());
            seq_print!(out, "\n");
        }
        let owner = channel.permissions().uid_for_caller();
        seq_print!(out, "ioipc-owner:\t{owner}\n");
        seq_print!(out, "ioipc-subscriber:\t{}\n", member.id());
        seq_print!(out, "ioipc-mode:\t{}\n", channel.mode().name());
        seq_print!(out, "ioipc-flags:\t{:#x}\n", member.flags());
        if member.can_receive() {
            if channel.mode() != Mode::Broadcast {
                seq_print!(out, "ioipc-pending:\t{}\n", member.pending());
            } else if !self.is_detached() {
                seq_print!(out, "ioipc-lag:\t{}\n", channel.lag(member));
            }
        }
        if let Some(used) = channel.used_by_uid_of(member) {
            seq_print!(out, "ioipc-share:\t{used}\n");
        }
        let counts = member.counts();
        seq_print!(out, "ioipc-sent:\t{}\n", counts.sent);
        seq_print!(out, "ioipc-received:\t{}\n", counts.received);
        seq_print!(out, "ioipc-lost:\t{}\n", counts.lost);
        seq_print!(out, "ioipc-dropped:\t{}\n", channel.dropped());
        seq_print!(out, "ioipc-fds:\t{}\n", channel.files_held());
        seq_print!(out, "ioipc-full:\t{}\n", counts.full);
        seq_print!(out, "ioipc-waits:\t{}\n", counts.waits);
        let (calls, late) = channel.call_counts();
        seq_print!(out, "ioipc-calls:\t{calls}\n");
        seq_print!(out, "ioipc-late:\t{late}\n");
    }
}

impl Deref for Subscriber {
    type Target = Member;

    #[inline]
    fn deref(&self) -> &Member {
        &self.member
    }
}
