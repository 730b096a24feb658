// SPDX-License-Identifier: GPL-2.0

//! IPC_SEND.

use kernel::{
    prelude::*,
    sync::{rcu, Arc},
    uaccess::UserSlice,
};

use crate::{
    channel::{
        subscriber::Subscriber,
        {Call, Channel, Mode, Outgoing, Payload, SendFailure},
    },
    io_uring::{
        exchange,
        instance::Instance,
        request::{Request, Wait},
    },
    kernel::{
        compat::{EDQUOT, ENOBUFS},
        rcu::let_others_run,
    },
    memory::{buffer::Buffer, bytes::Room, user_buffer::UserBuffer},
    observe::{
        refusal::{refuse, Asked},
        trace,
    },
    ring::Waiting,
    uapi::{self, Sqe},
};

/// How often pages that keep going away are faulted in before the message is copied aside.
pub(super) const MAX_FAULTS: u32 = 4;

/// How many messages of a vector are sent at once.
const BATCH: usize = 32;

/// The flags that a send may have.
pub(crate) const FLAGS: u32 = uapi::IOIPC_SEND_WAIT
    | uapi::IOIPC_SEND_VEC
    | uapi::IOIPC_FIXED_BUF
    | uapi::IOIPC_SEND_FDS
    | exchange::FLAGS;

/// Checks an SQE that has none but [`FLAGS`].
///
/// # Errors
///
/// `EINVAL`.
#[inline(always)]
pub(crate) fn prepare(sqe: &Sqe) -> Result<(Request, Wait)> {
    let request = Request::send(sqe.fd, sqe.file_index, sqe.user_data, sqe.rw_flags);
    if request.has(uapi::IOIPC_SEND_VEC)
        && (request.has(uapi::IOIPC_FIXED_BUF | uapi::IOIPC_SEND_FDS)
            || !(1..=uapi::IOIPC_MAX_VEC).contains(&sqe.len))
    {
        return Err(EINVAL);
    }
    let wait = if request.has(uapi::IOIPC_SEND_WAIT) {
        Wait::Once
    } else {
        Wait::Never
    };
    Ok((request, wait))
}

/// Sends the message in `buffer` and returns its length, or sends those that the vector in `buffer`
/// names and returns how many. May sleep, but not while it has a slot.
#[inline(always)]
pub(crate) fn issue(request: &mut Request, instance: &Instance, buffer: Buffer<'_>) -> Result<u32> {
    if request.has(uapi::IOIPC_SEND_VEC) {
        return match buffer {
            Buffer::User(vector) => issue_vec(request, instance, vector),
            // `prepare` has excluded that.
            Buffer::Fixed(_) => Err(EINVAL),
        };
    }
    // The usual way of a single message, on which it is worth to leave loops out.
    match attempt_one(request, instance, Payload::Buffer(buffer)) {
        Ok(()) => Ok(buffer.len()),
        Err(SendFailure::NotPresent) => match buffer {
            Buffer::User(buffer) => fault_in_and_send(request, instance, buffer),
            Buffer::Fixed(_) => Err(EFAULT),
        },
        Err(SendFailure::Error(error)) => Err(error),
    }
}

#[cold]
fn fault_in_and_send(
    request: &mut Request,
    instance: &Instance,
    buffer: UserBuffer,
) -> Result<u32> {
    let payload = Payload::Buffer(Buffer::User(buffer));
    send_some(request, instance, &[payload], attempt_many)?;
    Ok(buffer.len())
}

#[inline(never)]
fn issue_vec(request: &mut Request, instance: &Instance, vector: UserBuffer) -> Result<u32> {
    let mut sent = 0;
    // A task that is killed leaves the rest.
    while sent < vector.len() && (sent == 0 || let_others_run()) {
        match read_and_send(request, instance, vector, sent) {
            Ok(count) => sent += count,
            Err(error) if sent == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(sent)
}

/// Sends messages of a vector, from number `first` on, and returns how many.
fn read_and_send(
    request: &mut Request,
    instance: &Instance,
    vector: UserBuffer,
    first: u32,
) -> Result<u32> {
    const LARGEST: usize = size_of::<uapi::IoVec>();
    let compat = instance.is_compat();
    let size = uapi::iovec_size(compat);
    let count = ((vector.len() - first) as usize).min(BATCH);
    let mut bytes = [0; BATCH * LARGEST];
    let bytes = &mut bytes[..count * size];
    // CAST: They are few: `prepare` has limited how many messages there are.
    let array = vector.beyond(first * size as u32, bytes.len() as u32);
    if array.copy_to(Room::from(&mut *bytes)).is_err() {
        pass_on(request, instance);
        UserSlice::new(array.address(), bytes.len())
            .reader()
            .read_slice(bytes)?;
    }

    let mut payloads = [Payload::Copy(&[]); BATCH];
    for (payload, entry) in payloads.iter_mut().zip(bytes.chunks_exact(size)) {
        let (base, len) = uapi::parse_iovec(entry, compat);
        // CAST: It was clamped, and no message is that long.
        let len = len.min(u64::from(u32::MAX)) as u32;
        *payload = Payload::Buffer(Buffer::User(UserBuffer::new(base, len)));
    }
    send_some(request, instance, &payloads[..count], attempt_many)
}

/// Sends messages with `attempt`, as often as it takes, and returns how many, at least one.
fn send_some(
    request: &mut Request,
    instance: &Instance,
    payloads: &[Payload<'_>],
    attempt: impl Fn(&mut Request, &Instance, &[Payload<'_>]) -> Result<u32, SendFailure>,
) -> Result<u32> {
    let Some(Payload::Buffer(first)) = payloads.first() else {
        return Err(EINVAL);
    };
    for _ in 0..MAX_FAULTS {
        match attempt(request, instance, payloads) {
            Ok(count) => return Ok(count),
            Err(SendFailure::NotPresent) => {
                pass_on(request, instance);
                first.fault_in_readable()?;
            }
            Err(SendFailure::Error(error)) => return Err(error),
        }
    }
    let copy = first.to_vec()?;
    match attempt(request, instance, &[Payload::Copy(&copy)]) {
        Ok(count) => Ok(count),
        Err(SendFailure::Error(error)) => Err(error),
        Err(SendFailure::NotPresent) => Err(EFAULT),
    }
}

/// This request may sleep until its memory is there: if it was woken because there is room, another
/// one is woken for that.
#[cold]
pub(super) fn pass_on(request: &Request, instance: &Instance) {
    let guard = rcu::read_lock();
    if let Some(subscriber) = instance.subscriber(request.id, &guard) {
        subscriber.pass_on(&guard);
    } else if request.has_waited_unattached() {
        // The waker woke only this request. Other senders may not do this: they were not woken.
        if let Some(channel) = instance.registry().get(request.id, &guard) {
            channel.pass_on(None, &guard);
        }
    }
}

/// Where a request sends.
pub(super) struct Sender<'a> {
    pub(super) channel: &'a Channel,
    /// `None` if it is not attached.
    pub(super) subscriber: Option<&'a Subscriber>,
    pub(super) outgoing: Outgoing<'a>,
}

impl<'a> Sender<'a> {
    #[inline(always)]
    pub(super) fn find(
        request: &Request,
        instance: &Instance,
        guard: &'a rcu::Guard,
    ) -> Result<Self> {
        let subscriber = instance.subscriber(request.id, guard);
        let channel = match subscriber {
            Some(subscriber) if subscriber.can_send() => subscriber.channel(),
            Some(_) => return Err(may_not_send(request)),
            None => unattached(request, instance, guard)?,
        };
        Ok(Self {
            channel,
            subscriber,
            outgoing: Outgoing {
                sender_data: request.sender_data(),
                sender: subscriber.map_or(0, |subscriber| subscriber.id()),
                target: request.target,
                call: None,
            },
        })
    }

    #[inline(always)]
    pub(super) fn count(&self, sent: u32) {
        match self.subscriber {
            Some(subscriber) => subscriber.count_sent(sent),
            None => self.channel.count_sent_unattached(sent),
        }
    }

    /// Counts a send that has found no room for its first message, of `len` bytes. Returns with what
    /// the request ends or waits.
    #[inline(always)]
    pub(super) fn failed(
        &self,
        failure: SendFailure,
        request: &mut Request,
        len: u32,
        guard: &rcu::Guard,
    ) -> SendFailure {
        // Not `self`, which the usual way then need not keep in memory.
        failed(self.channel, self.subscriber, failure, request, len, guard)
    }
}

/// As [`Sender::failed`].
#[cold]
fn failed(
    channel: &Channel,
    subscriber: Option<&Subscriber>,
    failure: SendFailure,
    request: &mut Request,
    len: u32,
    guard: &rcu::Guard,
) -> SendFailure {
    let waits = match failure {
        SendFailure::Error(ENOBUFS) if request.has(uapi::IOIPC_SEND_WAIT) => true,
        SendFailure::Error(ENOBUFS) => {
            channel.has_refused(subscriber.map(Subscriber::member), guard);
            false
        }
        // Nobody waits for a single target of a fair channel.
        SendFailure::Error(EDQUOT) => false,
        _ => return failure,
    };
    match subscriber {
        Some(subscriber) => subscriber.count_full(),
        None => channel.count_full_unattached(),
    }
    trace::full(|| {
        let sender = subscriber.map_or(0, |subscriber| subscriber.id());
        (channel.id(), sender, waits, channel.holder(guard))
    });
    if waits {
        request.set_needs(channel.region().slots(len).unwrap_or(1));
        EAGAIN.into()
    } else {
        ENOBUFS.into()
    }
}

#[inline(never)]
fn attempt_many(
    request: &mut Request,
    instance: &Instance,
    payloads: &[Payload<'_>],
) -> Result<u32, SendFailure> {
    let guard = rcu::read_lock();
    let sender = Sender::find(request, instance, &guard)?;
    match sender
        .channel
        .send(payloads, &sender.outgoing, sender.subscriber, &guard)
    {
        Ok(sent) => {
            sender.count(sent);
            Ok(sent)
        }
        Err(failure) => Err(sender.failed(
            failure,
            request,
            payloads.first().map_or(0, Payload::len),
            &guard,
        )),
    }
}

#[inline(always)]
fn attempt_one(
    request: &mut Request,
    instance: &Instance,
    payload: Payload<'_>,
) -> Result<(), SendFailure> {
    let guard = rcu::read_lock();
    let sender = Sender::find(request, instance, &guard)?;
    let len = payload.len();
    match sender
        .channel
        .send_one(&payload, &sender.outgoing, sender.subscriber, &guard)
    {
        Ok(()) => {
            sender.count(1);
            Ok(())
        }
        Err(failure) => Err(sender.failed(failure, request, len, &guard)),
    }
}

/// Sends the message in `buffer` as a call. May sleep, but not while it has a slot.
#[inline(never)]
pub(crate) fn issue_call(
    request: &mut Request,
    instance: &Instance,
    buffer: Buffer<'_>,
    call: &Arc<Call>,
) -> Result {
    let attempt = |request: &mut Request, instance: &Instance, payloads: &[Payload<'_>]| {
        let payload = *payloads.first().ok_or(EINVAL)?;
        attempt_call(request, instance, payload, call)
    };
    send_some(request, instance, &[Payload::Buffer(buffer)], attempt)?;
    Ok(())
}

fn attempt_call(
    request: &mut Request,
    instance: &Instance,
    payload: Payload<'_>,
    call: &Arc<Call>,
) -> Result<u32, SendFailure> {
    let guard = rcu::read_lock();
    let mut sender = Sender::find(request, instance, &guard)?;
    if sender.channel.mode() == Mode::Broadcast && request.target == 0 {
        let rule = c"as the callee of a call: all receivers of a broadcast would answer it";
        return Err(refuse(Asked::Channel(sender.channel.id()), rule, EINVAL).into());
    }
    sender.outgoing.call = Some(call);
    match sender
        .channel
        .send_one(&payload, &sender.outgoing, sender.subscriber, &guard)
    {
        Ok(()) => {
            sender.count(1);
            Ok(1)
        }
        Err(failure) => Err(sender.failed(failure, request, payload.len(), &guard)),
    }
}

#[cold]
fn may_not_send(request: &Request) -> Error {
    let rule = c"it has attached only to receive";
    refuse(Asked::Subscriber(request.id), rule, EACCES)
}

/// The channel that the caller may send to without being attached.
#[inline(never)]
fn unattached<'a>(
    request: &Request,
    instance: &Instance,
    guard: &'a rcu::Guard,
) -> Result<&'a Channel> {
    let Some(channel) = instance.registry().get(request.id, guard) else {
        if request.has_waited_unattached() {
            return Err(EPIPE);
        }
        let rule = c"there is none, nor a subscriber of this io_uring instance";
        return Err(refuse(Asked::Channel(request.id), rule, ENOENT));
    };
    channel.check_unattached(instance.identity())?;
    Ok(channel)
}
