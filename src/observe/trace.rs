// SPDX-License-Identifier: GPL-2.0

//! The tracepoints of `trace.h`.
//!
//! Nothing here sleeps or locks. As long as tracing is off, a call does not even evaluate its
//! arguments.

use kernel::str::CStr;

use crate::kernel::tracepoint::tracepoints;

tracepoints! {
    /// A channel was created. `flags` are `IOIPC_F_*`, `mode` are permission bits, `name` is empty if
    /// it has none.
    fn create(
        channel: u32,
        flags: u32,
        mode: u32,
        entries: u32,
        max_msg_size: u32,
        name: &'a CStr
    );

    /// A channel is destroyed.
    fn destroy(channel: u32);

    /// A subscriber has attached. `flags` are `IOIPC_SUB_*`.
    fn attach(channel: u32, subscriber: u32, flags: u32);

    /// A subscriber has detached.
    fn detach(channel: u32, subscriber: u32);

    /// A message was published. `sender` is 0 if it is not attached, `target` if it is for all.
    fn send(channel: u32, sender: u32, target: u32, msg_id: u32, len: u32);

    /// The message `msg_id` is going to be published with so many files.
    fn files(channel: u32, msg_id: u32, count: u32);

    /// A message was copied to a receiver.
    fn receive(channel: u32, subscriber: u32, msg_id: u32, len: u32);

    /// `subscriber` has answered the call `msg_id` of `caller`, with so many bytes.
    fn answer(channel: u32, subscriber: u32, caller: u32, msg_id: u32, len: u32);

    /// A send has found no room, and fails or waits. `sender` is 0 if it is not attached. `holder`
    /// is the receiver that holds most slots, 0 if none does.
    fn full(channel: u32, sender: u32, waits: bool, holder: u32);

    /// A message is overwritten before `subscriber` has received it.
    fn lost(channel: u32, subscriber: u32, msg_id: u32);

    /// A waker wakes the watchers of `subscriber`, or if that is 0 the watchers for room. `requests`
    /// of them are requests. They may be requests of others that wait for its end.
    fn wake(channel: u32, subscriber: u32, requests: u32);
}
