// SPDX-License-Identifier: GPL-2.0

//! Messages with files: IPC_SEND with `IOIPC_SEND_FDS`, and IPC_RECV with `IOIPC_RECV_FDS`.

use core::mem::offset_of;

use kernel::{prelude::*, sync::rcu, uaccess::UserSlice};

use crate::{
    channel::{
        files::{FileTable, Held, Incoming, Parcel, FD_SIZE},
        in_flight::Charge,
        Payload, SendFailure,
    },
    io_uring::{
        instance::Instance,
        recv,
        request::Request,
        send::{self, Sender},
    },
    kernel::{alloc::GFP_MAYFAIL, fds::PassedFile},
    memory::{
        buffer::Buffer,
        bytes::Room,
        user_buffer::{NotPresent, UserBuffer},
    },
    observe::refusal::{refuse, Asked},
    uapi::{self, MessageInfo, SharedSqe},
};

/// How often a sender that has too many files in flight makes a broadcast give up some.
const MAX_GIVEN_UP: u32 = 4;

/// How often a receiver faults in a page that goes away again.
const MAX_FAULTS: u32 = 8;

const MAX_BYTES: usize = (uapi::IOIPC_MAX_FDS * FD_SIZE) as usize;

/// The descriptors of a request.
pub(crate) struct Fds {
    /// The array of their numbers.
    array: UserBuffer,
    /// The files that the request sends, once it has looked them up.
    parcel: Option<Parcel>,
}

impl Fds {
    /// Those of an SQE that has such a flag.
    ///
    /// # Errors
    ///
    /// `EINVAL`.
    pub(crate) fn new(sqe: &SharedSqe) -> Result<Self> {
        let (address, count) = sqe.read_fds()?;
        Ok(Self {
            array: UserBuffer::new(address, count * FD_SIZE),
            parcel: None,
        })
    }
}

impl Drop for Fds {
    fn drop(&mut self) {
        if let Some(parcel) = &self.parcel {
            // The request has not sent them, so nobody else releases them.
            drop(parcel.take());
        }
    }
}

/// The files whose descriptors are in an array. May sleep.
fn look_up(request: &Request, instance: &Instance, array: UserBuffer) -> Result<KVec<PassedFile>> {
    let mut bytes = [0; MAX_BYTES];
    let bytes = &mut bytes[..(array.len() as usize).min(MAX_BYTES)];
    if array.copy_to(Room::from(&mut *bytes)).is_err() {
        send::pass_on(request, instance);
        UserSlice::new(array.address(), bytes.len())
            .reader()
            .read_slice(bytes)?;
    }
    let (numbers, _) = bytes.as_chunks();
    let mut files = KVec::with_capacity(numbers.len(), GFP_MAYFAIL)?;
    for &number in numbers {
        let file = PassedFile::get(i32::from_ne_bytes(number)).inspect_err(|&error| {
            let rule = c"no message may hold this file, because it could hold the channel";
            if error == EINVAL {
                refuse(Asked::Subscriber(request.id), rule, error);
            }
        })?;
        files.push(file, GFP_MAYFAIL)?;
    }
    Ok(files)
}

/// Counts files of the caller as in flight. May sleep.
fn charge(request: &Request, instance: &Instance, count: usize) -> Result<Charge> {
    let mut attempts = 0;
    loop {
        match Charge::new(instance.registry(), count) {
            Err(ETOOMANYREFS) if attempts < MAX_GIVEN_UP => attempts += 1,
            Err(ETOOMANYREFS) => {
                let rule = c"the user has as many files in flight as it may have open";
                return Err(refuse(Asked::Subscriber(request.id), rule, ETOOMANYREFS));
            }
            result => return result,
        }
        let guard = rcu::read_lock();
        let sender = Sender::find(request, instance, &guard)?;
        sender.channel.give_up_files(&guard);
    }
}

/// Puts the files of a request into a parcel. May sleep.
fn pack(request: &Request, instance: &Instance, array: UserBuffer) -> Result<Parcel> {
    let files = look_up(request, instance, array)?;
    let charge = charge(request, instance, files.len())?;
    Held::new(files, charge)
}

/// Makes sure that the channel can keep files. May sleep.
fn add_table(request: &Request, instance: &Instance) -> Result {
    let size = {
        let guard = rcu::read_lock();
        Sender::find(request, instance, &guard)?
            .channel
            .lacks_table()
    };
    let Some(size) = size else {
        return Ok(());
    };
    let table = FileTable::new(size)?;
    let guard = rcu::read_lock();
    let sender = Sender::find(request, instance, &guard)?;
    sender.channel.add_table(size, table);
    Ok(())
}

/// Sends the message in `buffer` with the files of `fds`, and returns its length. May sleep, but not while
/// it has a slot.
///
/// # Errors
///
/// As [`send::issue`]; `EBADF`, `ETOOMANYREFS`; `EINVAL` if no message may hold a file.
#[cold]
pub(crate) fn send(
    request: &mut Request,
    instance: &Instance,
    buffer: Buffer<'_>,
    fds: &mut Fds,
) -> Result<u32> {
    let parcel = match fds.parcel.take() {
        Some(parcel) => parcel,
        None => pack(request, instance, fds.array)?,
    };
    let result =
        add_table(request, instance).and_then(|()| send_parcel(request, instance, buffer, &parcel));
    if result.is_err() {
        // It may wait, and come back.
        fds.parcel = Some(parcel);
    }
    result
}

fn send_parcel(
    request: &mut Request,
    instance: &Instance,
    buffer: Buffer<'_>,
    parcel: &Parcel,
) -> Result<u32> {
    for _ in 0..send::MAX_FAULTS {
        match attempt(request, instance, Payload::Buffer(buffer), parcel) {
            Ok(()) => return Ok(buffer.len()),
            Err(SendFailure::NotPresent) => {
                send::pass_on(request, instance);
                buffer.fault_in_readable()?;
            }
            Err(SendFailure::Error(error)) => return Err(error),
        }
    }
    let copy = buffer.to_vec()?;
    match attempt(request, instance, Payload::Copy(&copy), parcel) {
        Ok(()) => Ok(buffer.len()),
        Err(SendFailure::Error(error)) => Err(error),
        Err(SendFailure::NotPresent) => Err(EFAULT),
    }
}

fn attempt(
    request: &mut Request,
    instance: &Instance,
    payload: Payload<'_>,
    parcel: &Parcel,
) -> Result<(), SendFailure> {
    let guard = rcu::read_lock();
    let sender = Sender::find(request, instance, &guard)?;
    let (channel, len) = (sender.channel, payload.len());
    match channel.send_with_files(payload, &sender.outgoing, sender.subscriber, parcel, &guard) {
        Ok(()) => {
            sender.count(1);
            Ok(())
        }
        Err(failure) => Err(sender.failed(failure, request, len, &guard)),
    }
}

/// As [`recv::issue`], and gives the current task the files of the message.
#[cold]
pub(crate) fn receive(
    request: &Request,
    instance: &Instance,
    buffer: Buffer<'_>,
    is_rest: bool,
    fds: &Fds,
) -> Result<u32> {
    if fds.array.is_writable().is_err() {
        // The request may sleep in a page fault now.
        recv::pass_on(request, instance);
        fds.array.fault_in_writable()?;
    }
    let mut taken = None;
    let len = recv::issue_often(request, instance, buffer, is_rest, &mut taken)?;
    if let Some((incoming, flags)) = taken {
        install(buffer, incoming, flags, fds.array)?;
    }
    Ok(len)
}

/// Installs the files of a message that was received with these flags in its info, which is at the start of
/// the buffer. May sleep.
///
/// # Errors
///
/// `EFAULT` if the buffer went away.
fn install(buffer: Buffer<'_>, incoming: Incoming, mut flags: u32, array: UserBuffer) -> Result {
    let descriptors = incoming.files().receive(array);
    let count = descriptors.count();
    let has_all = count == incoming.files().len();
    if has_all {
        flags &= !uapi::IOIPC_INFO_FDS_LOST;
    }
    if let Err(error) = tell(buffer, flags, count) {
        descriptors.close();
        return Err(error);
    }
    if has_all {
        incoming.finish();
    }
    Ok(())
}

/// Writes these fields of the info at the start of the buffer.
fn tell(buffer: Buffer<'_>, flags: u32, count: u32) -> Result {
    const FLAGS: u32 = offset_of!(MessageInfo, flags) as u32;
    const _: () = assert!(offset_of!(MessageInfo, fds) as u32 == FLAGS + 4);
    let [a, b, c, d] = flags.to_ne_bytes();
    let [e, f, g, h] = count.to_ne_bytes();
    let bytes = [a, b, c, d, e, f, g, h];
    for _ in 0..MAX_FAULTS {
        match buffer.copy_from(FLAGS, bytes.as_slice().into()) {
            Ok(()) => return Ok(()),
            Err(NotPresent) => buffer.fault_in_writable(FLAGS, FLAGS + bytes.len() as u32)?,
        }
    }
    Err(EFAULT)
}
