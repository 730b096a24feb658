// SPDX-License-Identifier: GPL-2.0

//! Who has sent the message in each slot, for the receivers that ask.
//!
//! That is not in the region, because receivers can map it: what the kernel tells them about a
//! sender depends on the namespaces they are in.
//!
//! A slot keeps its reference to a process until another process sends in it, so a process that
//! sends again and again takes none.

use core::ptr;

use kernel::{
    prelude::*,
    sync::atomic::{Atomic, Relaxed},
    types::NotThreadSafe,
};

use crate::{
    kernel::{alloc::GFP_MAYFAIL, bindings},
    memory::region::Region,
    ring::{Claim, Reservation},
    uapi::MessageInfo,
};

/// Who has sent a message.
///
/// # Invariants
///
/// `pid` is NULL or a process, of which this has a reference. It is changed only by who has the
/// [`Reservation`] of the slot.
struct Sender {
    pid: Atomic<*mut bindings::pid>,
    uid: Atomic<u32>,
    gid: Atomic<u32>,
}

impl Drop for Sender {
    fn drop(&mut self) {
        // SAFETY: This owns the reference by the type invariants; NULL is fine.
        unsafe { bindings::put_pid(self.pid.load(Relaxed)) };
    }
}

/// The current task, with the credentials of the request.
///
/// # Invariants
///
/// `pid` is valid: this stays in the task that has made it, which has a reference.
pub(crate) struct CurrentSender(bindings::ioipc_sender, NotThreadSafe);

impl CurrentSender {
    /// Who runs this.
    #[inline]
    pub(crate) fn new() -> Self {
        let mut current = bindings::ioipc_sender::default();
        // SAFETY: `current` is valid for writing.
        unsafe { bindings::ioipc_current_sender(&mut current) };
        // INVARIANT: It is not sent to another task.
        Self(current, NotThreadSafe)
    }
}

/// What a task sees of a sender. A bundle is mostly from one, and translating takes longer than the
/// rest of a small message.
///
/// # Invariants
///
/// `of.pid` is NULL or a process, of which this has a reference: otherwise another one could be at
/// the same address, once the slot that it was read from is used again.
#[derive(Default)]
pub(crate) struct Translation {
    of: bindings::ioipc_sender,
    info: MessageInfo,
}

impl Drop for Translation {
    #[inline]
    fn drop(&mut self) {
        if !self.of.pid.is_null() {
            // SAFETY: This owns the reference by the type invariants.
            unsafe { bindings::put_pid(self.of.pid) };
        }
    }
}

/// The senders of the messages in all slots.
///
/// # Invariants
///
/// The number of slots is a power of two.
pub(crate) struct Senders {
    slots: KVVec<Sender>,
}

impl Senders {
    /// For a ring of `entries` slots, a power of two. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(entries: u32) -> Result<Self> {
        let mut slots = KVVec::with_capacity(entries as usize, GFP_MAYFAIL)?;
        for _ in 0..entries {
            // INVARIANT: There is no process.
            let sender = Sender {
                pid: Atomic::new(ptr::null_mut()),
                uid: Atomic::new(0),
                gid: Atomic::new(0),
            };
            slots.push(sender, GFP_MAYFAIL)?;
        }
        Ok(Self { slots })
    }

    #[inline]
    fn slot(&self, index: u32) -> Option<&Sender> {
        self.slots.get(index as usize)
    }

    /// Remembers who sends the message in a slot.
    #[inline]
    pub(crate) fn stamp(&self, reservation: &Reservation<'_, Region>, current: &CurrentSender) {
        let Some(slot) = self.slot(reservation.index()) else {
            return;
        };
        let current = &current.0;
        slot.uid.store(current.uid.val, Relaxed);
        slot.gid.store(current.gid.val, Relaxed);
        let before = slot.pid.load(Relaxed);
        if before != current.pid {
            // SAFETY: It is valid by the type invariants.
            unsafe { bindings::ioipc_get_pid(current.pid) };
            // INVARIANT: This passes on the reference that was just taken, and takes the other.
            slot.pid.store(current.pid, Relaxed);
            // SAFETY: The slot owned this reference by the type invariants; NULL is fine.
            unsafe { bindings::put_pid(before) };
        }
    }

    /// Tells the current task who has sent the message that it has claimed. `last` is for this
    /// claim and those that follow in the same request.
    #[inline]
    pub(crate) fn describe(
        &self,
        claim: &Claim<'_, Region>,
        last: &mut Translation,
        info: &mut MessageInfo,
    ) {
        let Some(slot) = self.slot(claim.index()) else {
            return;
        };
        // As long as there is the claim, nobody has a reservation of the slot.
        let sender = bindings::ioipc_sender {
            pid: slot.pid.load(Relaxed),
            uid: bindings::kuid_t {
                val: slot.uid.load(Relaxed),
            },
            gid: bindings::kgid_t {
                val: slot.gid.load(Relaxed),
            },
        };
        if sender.pid != last.of.pid
            || sender.uid.val != last.of.uid.val
            || sender.gid.val != last.of.gid.val
        {
            // SAFETY: The slot has a reference to the process.
            unsafe { bindings::ioipc_get_pid(sender.pid) };
            // INVARIANT: This passes on the reference that was just taken, and takes the other.
            let before = core::mem::replace(&mut last.of, sender);
            // SAFETY: `last` owned this reference by the type invariants; NULL is fine.
            unsafe { bindings::put_pid(before.pid) };
            // SAFETY: The slot has a reference to the process, and the result is valid for writing.
            unsafe { bindings::ioipc_translate_sender(&last.of, &mut last.info) };
        }
        info.pid = last.info.pid;
        info.uid = last.info.uid;
        info.gid = last.info.gid;
    }
}
