// SPDX-License-Identifier: GPL-2.0

//! What a receiver learns about the sender of a message.
//!
//! The numbers of a process and of ids depend on the namespaces of the receiver. So the region keeps
//! the [`Identity`] of the sender of each message, where receivers cannot map it, and a receiver
//! translates it.

use crate::{
    kernel::identity::{Identity, Value},
    memory::region::Region,
    ring::Claim,
    uapi::MessageInfo,
};

/// The last sender that a request has translated for its task. Most bundles are from one sender, and
/// to translate takes longer than the rest of a small message.
///
/// The slot of a message has a reference to the process, and so the process stays that of
/// `translated`. A bundle of a queue gives each slot back before it goes on, and needs a reference of
/// its own: another process may get the same pointer. All others take none, because many receivers
/// that count references to one process hold each other up.
#[derive(Default)]
pub(crate) struct Translation {
    translated: Value,
    info: MessageInfo,
    kept: Identity,
}

impl Translation {
    /// Writes the process and the ids of the sender of a claimed message to `info`, as the current
    /// task sees them. All calls for the same `self` come from one task. `outlives_slot` if there may
    /// be another one after the slot of the message has been given back.
    #[inline]
    pub(crate) fn describe(
        &mut self,
        claim: &Claim<'_, Region>,
        info: &mut MessageInfo,
        outlives_slot: bool,
    ) {
        let Some(sender) = Region::sender(claim) else {
            return;
        };
        if sender.value() != self.translated {
            self.translated = sender.value();
            sender.translate(&mut self.info);
            if outlives_slot {
                self.kept.clone_from(sender);
            }
        }
        info.pid = self.info.pid;
        info.uid = self.info.uid;
        info.gid = self.info.gid;
    }
}
