// SPDX-License-Identifier: GPL-2.0

//! IPC_RECV.

use kernel::{prelude::*, processor::cpu_relax, sync::rcu};

use crate::{
    channel::Failure,
    instance::Instance,
    request::{Request, Wait},
    uapi::{self, Sqe},
    user_buffer::UserBuffer,
};

/// How often pages that keep going away are faulted in before the request fails.
const MAX_FAULTS: u32 = 8;

/// How often a request looks whether another one of the same subscriber is done.
const MAX_BUSY: u32 = 1000;

/// Checks an SQE.
///
/// # Errors
///
/// `EINVAL`.
pub(crate) fn prepare(sqe: &Sqe) -> Result<Request> {
    sqe.check(uapi::IOIPC_RECV_WAIT | uapi::IOIPC_RECV_MULTISHOT)?;
    if sqe.file_index != 0 || (sqe.selects_buffer() && sqe.addr != 0) {
        return Err(EINVAL);
    }
    let wait = if sqe.rw_flags & uapi::IOIPC_RECV_MULTISHOT != 0 {
        if !sqe.selects_buffer() {
            return Err(EINVAL);
        }
        Wait::Multishot
    } else if sqe.rw_flags & uapi::IOIPC_RECV_WAIT != 0 {
        Wait::Once
    } else {
        Wait::Never
    };
    Ok(Request {
        // CAST: No id is as large as a negative number is then.
        id: sqe.fd as u32,
        target: 0,
        sender_data: 0,
        wait,
        has_waited_unattached: false,
    })
}

/// Receives a message into `buffer` and returns how many bytes of it that were. May sleep, but
/// not while it has a claim.
pub(crate) fn issue(request: &Request, instance: &Instance, buffer: UserBuffer) -> Result<u32> {
    let (mut faults, mut busy) = (0, 0);
    let failed = loop {
        match attempt(request, instance, buffer) {
            Ok(len) => return Ok(len),
            Err(Failure::NotPresent(len)) if faults < MAX_FAULTS => {
                faults += 1;
                match buffer.up_to(len).fault_in_writable() {
                    Ok(()) => (),
                    Err(error) => break error,
                }
            }
            Err(Failure::Busy) if busy < MAX_BUSY => {
                busy += 1;
                cpu_relax();
            }
            Err(Failure::NotPresent(_)) => break EFAULT,
            Err(Failure::Busy) => return Err(EAGAIN),
            Err(Failure::Error(error)) => return Err(error),
        }
    };
    // There is a message that this request cannot take: somebody else may be waiting for it.
    instance.pass_on(request.id);
    Err(failed)
}

fn attempt(request: &Request, instance: &Instance, buffer: UserBuffer) -> Result<u32, Failure> {
    let guard = rcu::read_lock();
    let subscriber = instance.subscriber(request.id, &guard).ok_or(ENOENT)?;
    if !subscriber.can_receive() {
        return Err(EACCES.into());
    }
    let len = subscriber.channel().receive(subscriber, buffer, &guard)?;
    subscriber.count_received();
    Ok(len)
}
