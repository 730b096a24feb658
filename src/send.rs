// SPDX-License-Identifier: GPL-2.0

//! IPC_SEND.

use kernel::{prelude::*, sync::rcu};

use crate::{
    channel::{Channel, Failure, Message, Payload},
    instance::Instance,
    uapi::{self, Sqe},
    user_buffer::UserBuffer,
};

/// How often pages that keep going away are faulted in before the message is copied aside.
const MAX_FAULTS: u32 = 4;

/// What an IPC_SEND request keeps of its SQE.
#[derive(Clone, Copy)]
pub(crate) struct Send {
    buffer: UserBuffer,
    sender_data: u64,
    id: u32,
    target: u32,
}

impl Send {
    /// Checks an SQE.
    ///
    /// # Errors
    ///
    /// `EINVAL`.
    pub(crate) fn prepare(sqe: &Sqe) -> Result<Self> {
        sqe.check_unused()?;
        Ok(Self {
            buffer: UserBuffer::new(sqe.addr, sqe.len),
            sender_data: sqe.user_data,
            // CAST: No id is as large as a negative number is then.
            id: sqe.fd as u32,
            target: sqe.file_index,
        })
    }

    /// Sends the message and returns its length. May sleep, but not while it has a slot.
    pub(crate) fn issue(&self, instance: &Instance) -> Result<u32> {
        for _ in 0..MAX_FAULTS {
            match self.attempt(instance, Payload::User(self.buffer)) {
                Ok(()) => return Ok(self.buffer.len()),
                Err(Failure::NotPresent(len)) => self.buffer.up_to(len).fault_in_readable()?,
                Err(Failure::Error(error)) => return Err(error),
                Err(Failure::Busy) => return Err(EAGAIN),
            }
        }
        let copy = self.buffer.to_vec()?;
        match self.attempt(instance, Payload::Copy(&copy)) {
            Ok(()) => Ok(self.buffer.len()),
            Err(Failure::Error(error)) => Err(error),
            Err(Failure::NotPresent(_) | Failure::Busy) => Err(EFAULT),
        }
    }

    fn attempt(&self, instance: &Instance, payload: Payload<'_>) -> Result<(), Failure> {
        let message = |sender| Message {
            payload,
            len: self.buffer.len(),
            sender_data: self.sender_data,
            sender,
            target: self.target,
        };
        let guard = rcu::read_lock();
        if let Some(subscriber) = instance.subscriber(self.id, &guard) {
            if !subscriber.can_send() {
                return Err(EACCES.into());
            }
            subscriber
                .channel()
                .send(&message(subscriber.id()), &guard)?;
            subscriber.count_sent();
            return Ok(());
        }
        self.unattached(instance, &guard)?.send(&message(0), &guard)
    }

    /// The channel that the caller may send to without being attached.
    fn unattached<'a>(&self, instance: &Instance, guard: &'a rcu::Guard) -> Result<&'a Channel> {
        let channel = instance.registry().get(self.id, guard).ok_or(ENOENT)?;
        if !channel.is_visible_to_caller(instance.identity()) {
            return Err(ENOENT);
        }
        if channel.is_private() {
            return Err(EACCES);
        }
        channel.permissions().check(uapi::IOIPC_SUB_SEND)?;
        Ok(channel)
    }
}
