// SPDX-License-Identifier: GPL-2.0

//! Sends that something comes back for: calls, answers, and sends that go on as receives.

use kernel::{
    prelude::*,
    sync::{rcu, Arc},
};

use crate::{
    channel::{Answer, Call, Payload, SendFailure},
    io_uring::{
        instance::{no_subscriber, Instance},
        own::{self, Own},
        recv,
        request::{Request, Wait},
        send,
    },
    kernel::bindings,
    memory::{buffer::Buffer, user_buffer::UserBuffer},
    uapi::{self, MessageInfo, Sqe},
};

/// The flags of a send that something comes back for.
pub(crate) const FLAGS: u32 =
    uapi::IOIPC_SEND_CALL | uapi::IOIPC_SEND_REPLY | uapi::IOIPC_SEND_RECV;

/// How a send may say what it wants back.
const RECV_FLAGS: u32 = uapi::IOIPC_RECV_INFO | uapi::IOIPC_RECV_TRUNC;

/// How often pages that keep going away are faulted in.
const MAX_FAULTS: u32 = 8;

/// What such a request has of its own.
pub(crate) struct Exchange {
    asked: uapi::Exchange,
    /// The call that it has made, until it has ended.
    call: Option<Arc<Call>>,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(call) = &self.call {
            call.give_up();
        }
    }
}

/// Checks what an SQE says of that, and lets the request keep it. May sleep.
///
/// # Errors
///
/// `EINVAL`, `EFAULT`, `ENOMEM`.
pub(crate) fn prepare(
    command: &mut bindings::io_uring_ipc_cmd,
    sqe: &Sqe,
    request: &mut Request,
) -> Result<Wait> {
    if sqe.exchange == 0 {
        return Err(EINVAL);
    }
    let calls = request.has(uapi::IOIPC_SEND_CALL);
    let answers = request.has(uapi::IOIPC_SEND_REPLY);
    let receives = request.has(uapi::IOIPC_SEND_RECV);
    let asked = uapi::read_exchange(sqe.exchange)?;
    // What an answer is for says the call alone, and it waits for no room.
    let is_valid = !(calls && (answers || receives))
        && !(answers && (request.target != 0 || request.has(uapi::IOIPC_SEND_WAIT)))
        && !request.has(uapi::IOIPC_SEND_VEC)
        && asked.reserved == 0
        && asked.flags & !RECV_FLAGS == 0
        && (answers || asked.call == 0)
        && (calls || receives || (asked.addr == 0 && asked.len == 0 && asked.flags == 0))
        && asked.len >= prefix(&asked);
    if !is_valid {
        return Err(EINVAL);
    }
    request.exchange();
    let exchange = Some(Exchange { asked, call: None });
    let own = Own {
        exchange,
        ..Own::default()
    };
    own::keep(command, own)?;
    // It waits for what comes back. `send::issue` knows whether it waits for room, too.
    Ok(if calls || receives {
        Wait::Once
    } else {
        Wait::Never
    })
}

/// How many bytes come before a message.
fn prefix(asked: &uapi::Exchange) -> u32 {
    if asked.flags & uapi::IOIPC_RECV_INFO != 0 {
        size_of::<MessageInfo>() as u32
    } else {
        0
    }
}

impl Exchange {
    /// The call whose answer it waits for.
    pub(crate) fn call(&self) -> Option<&Call> {
        self.call.as_deref()
    }

    /// Runs a request, which sends what is in `buffer`. May sleep.
    ///
    /// # Errors
    ///
    /// What [`send::issue`] or [`recv::issue`] returns; `EAGAIN` if the call has no answer yet, `EPIPE` if
    /// it will have none; `ENOENT` for an answer to a call that the subscriber does not have.
    pub(crate) fn issue(
        &mut self,
        request: &mut Request,
        instance: &Instance,
        buffer: Buffer<'_>,
    ) -> Result<u32> {
        if request.awaits_answer() {
            return self.store_answer();
        }
        if request.sends() {
            if request.has(uapi::IOIPC_SEND_CALL) {
                self.send_call(request, instance, buffer)?;
                request.await_answer();
                // Nobody can have answered, but a task that runs beside this one: `park` finds that.
                return Err(EAGAIN);
            }
            if request.has(uapi::IOIPC_SEND_REPLY) {
                self.answer(request, instance, buffer)?;
            } else {
                recv::check(request, instance)?;
                send::issue(request, instance, buffer)?;
            }
            if !request.has(uapi::IOIPC_SEND_RECV) {
                return Ok(buffer.len());
            }
            request.turn_into_receive(self.asked.flags);
        }
        recv::issue(request, instance, self.buffer(), false, &mut false)
    }

    /// Where what comes back is stored.
    fn buffer(&self) -> Buffer<'static> {
        Buffer::User(UserBuffer::new(self.asked.addr, self.asked.len))
    }

    fn send_call(
        &mut self,
        request: &mut Request,
        instance: &Instance,
        buffer: Buffer<'_>,
    ) -> Result {
        let call = match &self.call {
            Some(call) => call,
            None => {
                let call = self.new_call(request.id, instance)?;
                self.call.insert(call)
            }
        };
        send::issue_call(request, instance, buffer, call)
    }

    fn new_call(&self, caller: u32, instance: &Instance) -> Result<Arc<Call>> {
        let room = self.buffer().len() - prefix(&self.asked);
        let wants_info = prefix(&self.asked) != 0;
        let again = {
            let guard = rcu::read_lock();
            let caller = instance
                .subscriber(caller, &guard)
                .ok_or_else(|| no_subscriber(caller))?;
            Call::again(caller, room, wants_info)
        };
        if let Some(call) = again {
            return Ok(call);
        }
        let caller = instance
            .shared_subscriber(caller)
            .ok_or_else(|| no_subscriber(caller))?;
        Call::new(caller, room, wants_info)
    }

    /// Answers a call. If the request goes on to receive, it does not matter whether the caller still
    /// waits for that.
    fn answer(&self, request: &Request, instance: &Instance, buffer: Buffer<'_>) -> Result {
        let callee = instance
            .shared_subscriber(request.id)
            .ok_or_else(|| no_subscriber(request.id))?;
        let (call, data) = (self.asked.call, request.sender_data());
        let mut faults = 0;
        let mut copy = KVVec::new();
        loop {
            let payload = if faults < MAX_FAULTS {
                Payload::Buffer(buffer)
            } else {
                Payload::Copy(&copy)
            };
            match callee
                .channel()
                .answer(callee.member(), call, payload, data)
            {
                Ok(()) => return Ok(()),
                Err(SendFailure::Error(ENOENT)) if request.has(uapi::IOIPC_SEND_RECV) => {
                    return Ok(());
                }
                Err(SendFailure::Error(error)) => return Err(error),
                Err(SendFailure::NotPresent) => buffer.fault_in_readable()?,
            }
            faults += 1;
            if faults == MAX_FAULTS {
                copy = buffer.to_vec()?;
            }
        }
    }

    /// Stores the answer in the buffer of the caller, if it has come. Returns what a receive would.
    fn store_answer(&mut self) -> Result<u32> {
        let answer = self.call().ok_or(EINVAL)?.outcome()?;
        let result = self.store(&answer);
        // There is nothing to give up any more.
        if let Some(call) = self.call.take() {
            Call::keep(call, answer);
        }
        result
    }

    fn store(&self, answer: &Answer) -> Result<u32> {
        let (buffer, prefix) = (self.buffer(), prefix(&self.asked));
        let room = (buffer.len() - prefix) as usize;
        let bytes = answer.bytes();
        let bytes = bytes.get(..room).unwrap_or(bytes);
        // CAST: It is at most the length of the buffer.
        let stored = bytes.len() as u32;
        let info = (prefix != 0).then(|| answer.info(stored));
        let mut faults = 0;
        loop {
            let copied = match &info {
                None => buffer.copy_from(0, bytes.into()),
                Some(info) => buffer.copy_from_with_info(0, info, bytes.into()),
            };
            if copied.is_ok() {
                break;
            }
            if faults == MAX_FAULTS {
                return Err(EFAULT);
            }
            faults += 1;
            buffer.fault_in_writable(0, prefix + stored)?;
        }
        let is_whole = self.asked.flags & uapi::IOIPC_RECV_TRUNC != 0;
        Ok(prefix + if is_whole { answer.len() } else { stored })
    }
}
