// SPDX-License-Identifier: GPL-2.0

//! What a receiver learns about the sender of a message.
//!
//! The numbers of a process and of ids depend on the namespaces of the receiver. So the region keeps
//! the [`Identity`] of the sender of each message, where receivers cannot map it, and a receiver
//! translates it.

use crate::{kernel::identity::Identity, memory::region::Region, ring::Claim, uapi::MessageInfo};

/// The last sender that a request has translated for its task. Most bundles are from one sender, and
/// to translate takes longer than the rest of a small message.
#[derive(Default)]
pub(crate) struct Translation {
    of: Identity,
    info: MessageInfo,
}

impl Translation {
    /// Writes the process and the ids of the sender of a claimed message to `info`, as the current
    /// task sees them. All calls for the same `self` come from one task.
    #[inline]
    pub(crate) fn describe(&mut self, claim: &Claim<'_, Region>, info: &mut MessageInfo) {
        let Some(sender) = Region::sender(claim) else {
            return;
        };
        if *sender != self.of {
            self.of.clone_from(sender);
            self.of.translate(&mut self.info);
        }
        info.pid = self.info.pid;
        info.uid = self.info.uid;
        info.gid = self.info.gid;
    }
}
