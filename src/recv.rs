// SPDX-License-Identifier: GPL-2.0

//! IPC_RECV.

use kernel::{prelude::*, processor::cpu_relax, sync::rcu};

use crate::{channel::Failure, instance::Instance, uapi::Sqe, user_buffer::UserBuffer};

/// How often pages that keep going away are faulted in before the request fails.
const MAX_FAULTS: u32 = 8;

/// How often a request looks whether another one of the same subscriber is done.
const MAX_BUSY: u32 = 1000;

/// What an IPC_RECV request keeps of its SQE.
#[derive(Clone, Copy)]
pub(crate) struct Recv {
    buffer: UserBuffer,
    id: u32,
}

impl Recv {
    /// Checks an SQE.
    ///
    /// # Errors
    ///
    /// `EINVAL`.
    pub(crate) fn prepare(sqe: &Sqe) -> Result<Self> {
        sqe.check_unused()?;
        if sqe.file_index != 0 {
            return Err(EINVAL);
        }
        Ok(Self {
            buffer: UserBuffer::new(sqe.addr, sqe.len),
            // CAST: No id is as large as a negative number is then.
            id: sqe.fd as u32,
        })
    }

    /// Receives a message and returns how many bytes of it are in the buffer. May sleep, but not
    /// while it has a claim.
    pub(crate) fn issue(&self, instance: &Instance) -> Result<u32> {
        let (mut faults, mut busy) = (0, 0);
        loop {
            match self.attempt(instance) {
                Ok(len) => return Ok(len),
                Err(Failure::NotPresent(len)) if faults < MAX_FAULTS => {
                    faults += 1;
                    self.buffer.up_to(len).fault_in_writable()?;
                }
                Err(Failure::Busy) if busy < MAX_BUSY => {
                    busy += 1;
                    cpu_relax();
                }
                Err(Failure::NotPresent(_)) => return Err(EFAULT),
                Err(Failure::Busy) => return Err(EAGAIN),
                Err(Failure::Error(error)) => return Err(error),
            }
        }
    }

    fn attempt(&self, instance: &Instance) -> Result<u32, Failure> {
        let guard = rcu::read_lock();
        let subscriber = instance.subscriber(self.id, &guard).ok_or(ENOENT)?;
        if !subscriber.can_receive() {
            return Err(EACCES.into());
        }
        let len = subscriber
            .channel()
            .receive(subscriber, self.buffer, &guard)?;
        subscriber.count_received();
        Ok(len)
    }
}
