// SPDX-License-Identifier: GPL-2.0

//! IPC_SEND.

use kernel::{prelude::*, sync::rcu};

use crate::{
    channel::{Channel, Failure, Message, Payload},
    instance::Instance,
    request::{Request, Wait},
    uapi::{self, Sqe},
    user_buffer::UserBuffer,
};

/// How often pages that keep going away are faulted in before the message is copied aside.
const MAX_FAULTS: u32 = 4;

/// Checks an SQE.
///
/// # Errors
///
/// `EINVAL`.
pub(crate) fn prepare(sqe: &Sqe) -> Result<Request> {
    sqe.check(uapi::IOIPC_SEND_WAIT)?;
    Ok(Request {
        // CAST: No id is as large as a negative number is then.
        id: sqe.fd as u32,
        target: sqe.file_index,
        sender_data: sqe.user_data,
        wait: if sqe.rw_flags & uapi::IOIPC_SEND_WAIT != 0 {
            Wait::Once
        } else {
            Wait::Never
        },
        has_waited_unattached: false,
    })
}

/// Sends the message in `buffer` and returns its length. May sleep, but not while it has a slot.
pub(crate) fn issue(request: &Request, instance: &Instance, buffer: UserBuffer) -> Result<u32> {
    for _ in 0..MAX_FAULTS {
        match attempt(request, instance, Payload::User(buffer), buffer.len()) {
            Ok(()) => return Ok(buffer.len()),
            Err(Failure::NotPresent(len)) => buffer.up_to(len).fault_in_readable()?,
            Err(Failure::Error(error)) => return Err(error),
            Err(Failure::Busy) => return Err(EAGAIN),
        }
    }
    let copy = buffer.to_vec()?;
    match attempt(request, instance, Payload::Copy(&copy), buffer.len()) {
        Ok(()) => Ok(buffer.len()),
        Err(Failure::Error(error)) => Err(error),
        Err(Failure::NotPresent(_) | Failure::Busy) => Err(EFAULT),
    }
}

fn attempt(
    request: &Request,
    instance: &Instance,
    payload: Payload<'_>,
    len: u32,
) -> Result<(), Failure> {
    let message = |sender| Message {
        payload,
        len,
        sender_data: request.sender_data,
        sender,
        target: request.target,
    };
    let guard = rcu::read_lock();
    let sent = if let Some(subscriber) = instance.subscriber(request.id, &guard) {
        if !subscriber.can_send() {
            return Err(EACCES.into());
        }
        subscriber
            .channel()
            .send(&message(subscriber.id()), &guard)
            .inspect(|()| subscriber.count_sent())
    } else {
        unattached(request, instance, &guard)
            .map_err(|error| match error {
                ENOENT if request.has_waited_unattached => EPIPE,
                error => error,
            })?
            .send(&message(0), &guard)
    };
    match sent {
        Err(Failure::Error(ENOBUFS)) if request.wait != Wait::Never => Err(EAGAIN.into()),
        sent => sent,
    }
}

/// The channel that the caller may send to without being attached.
fn unattached<'a>(
    request: &Request,
    instance: &Instance,
    guard: &'a rcu::Guard,
) -> Result<&'a Channel> {
    let channel = instance.registry().get(request.id, guard).ok_or(ENOENT)?;
    if !channel.is_visible_to_caller(instance.identity()) {
        return Err(ENOENT);
    }
    if channel.is_private() {
        return Err(EACCES);
    }
    channel.permissions().check(uapi::IOIPC_SUB_SEND)?;
    Ok(channel)
}
