// SPDX-License-Identifier: GPL-2.0

//! IPC_RECV: checks the SQE, receives, and serves page faults.

use kernel::{prelude::*, processor::cpu_relax, sync::rcu};

use crate::{
    channel::{
        files::Incoming,
        subscriber::Subscriber,
        {Failure, InPlace, Received, Wanted},
    },
    io_uring::{
        instance::{no_subscriber, Instance},
        request::{Request, Wait},
    },
    kernel::rcu::let_others_run,
    memory::buffer::Buffer,
    observe::refusal::{refuse, Asked},
    uapi::{self, Sqe},
};

/// The flags with which a receive is more than just the next message.
const NOT_PLAIN: u32 = uapi::IOIPC_RECV_INFO
    | uapi::IOIPC_RECV_BUNDLE
    | uapi::IOIPC_RECV_TRUNC
    | uapi::IOIPC_RECV_MAPPED
    | uapi::IOIPC_RECV_GONE;

/// How often a request faults pages in that go away again, before it fails.
const MAX_FAULTS: u32 = 8;

/// How often a request looks whether another request of the same subscriber is done.
const MAX_BUSY: u32 = 1000;

/// The flags that a receive may have.
pub(crate) const FLAGS: u32 = uapi::IOIPC_RECV_WAIT
    | uapi::IOIPC_RECV_MULTISHOT
    | uapi::IOIPC_FIXED_BUF
    | uapi::IOIPC_RECV_INFO
    | uapi::IOIPC_RECV_BUNDLE
    | uapi::IOIPC_RECV_TRUNC
    | uapi::IOIPC_RECV_MAPPED
    | uapi::IOIPC_RECV_FDS
    | uapi::IOIPC_RECV_GONE;

/// Checks an SQE that has none but [`FLAGS`].
///
/// # Errors
///
/// `EINVAL`.
#[inline(always)]
pub(crate) fn prepare(sqe: &Sqe) -> Result<(Request, Wait)> {
    let request = Request::receive(sqe.fd, sqe.file_index, sqe.rw_flags);
    if !is_consistent(sqe, &request) {
        return Err(EINVAL);
    }
    let wait = if request.has(uapi::IOIPC_RECV_MULTISHOT) {
        Wait::Multishot
    } else if request.has(uapi::IOIPC_RECV_WAIT | uapi::IOIPC_RECV_GONE) {
        Wait::Once
    } else {
        Wait::Never
    };
    Ok((request, wait))
}

/// Whether a receive has only such flags and fields as go together.
#[inline(always)]
fn is_consistent(sqe: &Sqe, request: &Request) -> bool {
    if (sqe.selects_buffer && sqe.addr != 0)
        || (request.has(uapi::IOIPC_RECV_MULTISHOT) && !sqe.selects_buffer)
        || (request.has(uapi::IOIPC_RECV_BUNDLE) && request.has(uapi::IOIPC_RECV_TRUNC))
    {
        return false;
    }
    // With the length 0 it takes as much of the provided buffer as there is.
    let too_short = 1..Wanted::BUNDLE.prefix();
    if sqe.selects_buffer && request.wants_info() && too_short.contains(&sqe.len) {
        return false;
    }
    if request.watches() != (sqe.file_index != 0) {
        return false;
    }
    if request.has(uapi::IOIPC_RECV_FDS)
        && (!request.has(uapi::IOIPC_RECV_INFO)
            || request.has(uapi::IOIPC_RECV_BUNDLE | uapi::IOIPC_RECV_MULTISHOT))
    {
        return false;
    }
    // These two exclude each other and all other flags, and have no buffer.
    let without_buffer = uapi::IOIPC_RECV_MAPPED | uapi::IOIPC_RECV_GONE;
    let flags = sqe.rw_flags & !uapi::IOIPC_RECV_WAIT;
    !request.has(without_buffer)
        || ((flags == uapi::IOIPC_RECV_MAPPED || flags == uapi::IOIPC_RECV_GONE)
            && !sqe.selects_buffer
            && sqe.addr == 0
            && sqe.len == 0)
}

/// Receives into `buffer` and returns how many bytes of the buffer are used. With
/// `IOIPC_RECV_MAPPED`, returns how many messages the receiver can read in place. Sets `is_more` if a
/// multishot receive may receive more at once. May sleep, but not while it has a claim.
///
/// # Errors
///
/// `EMSGSIZE` if the buffer `is_rest`, the rest of a larger buffer, and the next message does not
/// fit. The message stays in the ring then. What
/// [`Channel::receive`](crate::channel::Channel::receive) returns; `EINVAL`, `EFAULT`, `ENOENT`,
/// `EACCES`.
#[inline(always)]
pub(crate) fn issue(
    request: &Request,
    instance: &Instance,
    buffer: Buffer<'_>,
    is_rest: bool,
    is_more: &mut bool,
) -> Result<u32> {
    if !request.has(NOT_PLAIN) && !is_rest {
        // Most receives are plain. The compiler makes this case twice as fast if it is separate.
        match attempt_plain(request, instance, buffer, is_more) {
            Ok(len) => return Ok(len),
            Err(Failure::Error(error)) => return Err(error),
            Err(_) => (),
        }
    }
    issue_any(request, instance, buffer, is_rest, is_more)
}

/// As [`issue`], with any flags.
#[inline(never)]
fn issue_any(
    request: &Request,
    instance: &Instance,
    buffer: Buffer<'_>,
    is_rest: bool,
    is_more: &mut bool,
) -> Result<u32> {
    if request.watches() {
        wait_for_end(request, instance)?;
        return Ok(0);
    }
    let len = issue_often(request, instance, buffer, is_rest, &mut None)?;
    *is_more = request.has(uapi::IOIPC_RECV_MULTISHOT) && is_ready(request, instance).is_ok();
    Ok(len)
}

/// The files of a message, and the flags of its info.
pub(super) type Taken = Option<(Incoming, u32)>;

/// As [`issue`], with any flags and as often as it takes. Returns how many bytes are used. If the last
/// message has files, `taken` gets them.
pub(super) fn issue_often(
    request: &Request,
    instance: &Instance,
    buffer: Buffer<'_>,
    is_rest: bool,
    taken: &mut Taken,
) -> Result<u32> {
    if request.has(uapi::IOIPC_RECV_MAPPED) {
        return count_in_place(request, instance);
    }
    let wanted = Wanted {
        info: request.wants_info(),
        bundle: request.has(uapi::IOIPC_RECV_BUNDLE),
        whole_len: request.has(uapi::IOIPC_RECV_TRUNC),
        uncut: is_rest,
    };
    let mut received = Received::default();
    let (mut faults, mut busy) = (0, 0);
    let failed = loop {
        if buffer.len() < wanted.prefix() && !is_rest {
            break EINVAL;
        }
        let before = received.count;
        let result = attempt(request, instance, buffer, wanted, &mut received, taken);
        if received.count != before {
            faults = 0;
        }
        match result {
            Ok(_) if received.is_unfinished => {
                received.is_unfinished = false;
                if !let_others_run() {
                    return Ok(received.len);
                }
            }
            Ok(result) => return Ok(result),
            Err(Failure::NotPresent { from, to }) if faults < MAX_FAULTS => {
                faults += 1;
                // The request may sleep in a page fault now.
                pass_on(request, instance);
                match buffer.fault_in_writable(from, to) {
                    Ok(()) => (),
                    Err(error) => break error,
                }
            }
            Err(Failure::Busy) if busy < MAX_BUSY => {
                busy += 1;
                cpu_relax();
            }
            Err(Failure::NotPresent { .. }) => {
                pass_on(request, instance);
                break EFAULT;
            }
            Err(_) if received.count > 0 => return Ok(received.len),
            Err(Failure::Busy) => return Err(EAGAIN),
            Err(Failure::Error(error)) => return Err(error),
        }
    };
    if received.count > 0 {
        return Ok(received.len);
    }
    Err(failed)
}

/// Counts the messages that the receiver can read in place.
fn count_in_place(request: &Request, instance: &Instance) -> Result<u32> {
    let mut counted = InPlace::default();
    loop {
        let guard = rcu::read_lock();
        let result = subscriber(request, instance, &guard).and_then(|subscriber| {
            subscriber
                .channel()
                .count_mapped(subscriber, &mut counted, &guard)
        });
        drop(guard);
        match result {
            Ok(true) if let_others_run() => (),
            Ok(_) => return Ok(counted.count),
            Err(_) if counted.count > 0 => return Ok(counted.count),
            Err(Failure::Error(error)) => return Err(error),
            // Another request of the subscriber is receiving.
            Err(_) => return Err(EAGAIN),
        }
    }
}

/// Returns once the subscriber that the request watches is detached.
///
/// # Errors
///
/// `EAGAIN` if it is not, `ENOENT` if it was not there when the request began to wait; `EPIPE`, `ENOMEM`.
fn wait_for_end(request: &Request, instance: &Instance) -> Result {
    let peer = {
        let guard = rcu::read_lock();
        instance
            .subscriber(request.id, &guard)
            .ok_or_else(|| no_subscriber(request.id))?
            .peer(request.target, &guard)
    };
    match peer {
        Some(peer) => {
            peer.expect_departure()?;
            Err(EAGAIN)
        }
        // It was woken: so the subscriber was there when the request was parked.
        None if request.has_looked() => Ok(()),
        None => {
            let rule = c"the channel has no such subscriber";
            Err(refuse(Asked::Subscriber(request.target), rule, ENOENT))
        }
    }
}

/// Looks whether there may be a message to receive.
///
/// # Errors
///
/// `EAGAIN` if there is none, or what [`issue`] returns.
pub(crate) fn is_ready(request: &Request, instance: &Instance) -> Result {
    if request.watches() {
        return wait_for_end(request, instance);
    }
    let guard = rcu::read_lock();
    let result = subscriber(request, instance, &guard).and_then(|subscriber| {
        let channel = subscriber.channel();
        channel.is_ready(subscriber).map_err(Failure::from)
    });
    match result {
        Err(Failure::Error(error)) => Err(error),
        // Another request of the subscriber is receiving.
        _ => Ok(()),
    }
}

/// Hands a wake-up on: this request cannot take a message now, and another request may be waiting
/// for the message.
#[cold]
pub(super) fn pass_on(request: &Request, instance: &Instance) {
    let guard = rcu::read_lock();
    if let Some(subscriber) = instance.subscriber(request.id, &guard) {
        subscriber.pass_on(&guard);
    }
}

/// The receiver that the request names.
#[inline]
fn subscriber<'a>(
    request: &Request,
    instance: &Instance,
    guard: &'a rcu::Guard,
) -> Result<&'a Subscriber, Failure> {
    let subscriber = instance
        .subscriber(request.id, guard)
        .ok_or_else(|| no_subscriber(request.id))?;
    if !subscriber.can_receive() {
        return Err(may_not_receive(request).into());
    }
    Ok(subscriber)
}

/// Checks that the subscriber which the request names may receive.
///
/// # Errors
///
/// `ENOENT`, `EACCES`.
pub(crate) fn check(request: &Request, instance: &Instance) -> Result {
    match subscriber(request, instance, &rcu::read_lock()) {
        Err(Failure::Error(error)) => Err(error),
        _ => Ok(()),
    }
}

#[cold]
fn may_not_receive(request: &Request) -> Error {
    let rule = c"it has attached only to send";
    refuse(Asked::Subscriber(request.id), rule, EACCES)
}

/// Receives just the next message, and returns what [`issue`] does.
#[inline(always)]
fn attempt_plain(
    request: &Request,
    instance: &Instance,
    buffer: Buffer<'_>,
    is_more: &mut bool,
) -> Result<u32, Failure> {
    let guard = rcu::read_lock();
    let subscriber = subscriber(request, instance, &guard)?;
    let channel = subscriber.channel();
    let len = channel.receive_one(subscriber, buffer, &guard)?;
    subscriber.count_received(1);
    if request.has(uapi::IOIPC_RECV_MULTISHOT) {
        *is_more = channel.is_ready(subscriber).is_ok();
    }
    Ok(len)
}

#[inline(never)]
fn attempt(
    request: &Request,
    instance: &Instance,
    buffer: Buffer<'_>,
    wanted: Wanted,
    received: &mut Received,
    taken: &mut Taken,
) -> Result<u32, Failure> {
    let guard = rcu::read_lock();
    let subscriber = subscriber(request, instance, &guard)?;
    let before = *received;
    let channel = subscriber.channel();
    // Most are bundles in user memory, and take many messages: the compiler makes this case faster if
    // it is separate.
    let result = match buffer {
        Buffer::User(_) if wanted == Wanted::BUNDLE => {
            let mut bundle = before;
            let take = |files, flags| *taken = Some((files, flags));
            let result = channel.receive(
                subscriber,
                buffer,
                Wanted::BUNDLE,
                &mut bundle,
                &guard,
                take,
            );
            *received = bundle;
            result
        }
        _ => {
            let take = |files, flags| *taken = Some((files, flags));
            channel.receive(subscriber, buffer, wanted, received, &guard, take)
        }
    };
    subscriber.count_received(received.count - before.count);
    result.map(|()| received.len)
}
