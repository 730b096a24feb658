// SPDX-License-Identifier: MIT

//! An `io_uring` instance that runs one request at a time.

use std::{
    ffi::c_void,
    io,
    mem::transmute,
    os::fd::{AsRawFd, RawFd},
    ptr::{from_mut, null_mut},
    time::{Duration, Instant},
};

use io_uring::{
    squeue,
    types::{CancelBuilder, SubmitArgs, Timespec},
    IoUring, Probe,
};

use crate::{
    error::{Error, Result},
    sys,
};

/// The error number of a request or command.
pub(crate) type Errno = i32;

/// An `io_uring` instance.
///
/// # Invariants
///
/// The kernel has no request of this instance, except while [`Ring::run`] runs. The submission
/// queue is empty then too, unless the instance is broken.
pub(crate) struct Ring {
    uring: IoUring,
    /// Why the kernel takes no requests. The queue may still have one, whose buffers are gone: no
    /// function submits it.
    broken: Option<Errno>,
}

impl From<sys::Sqe> for squeue::Entry {
    fn from(sqe: sys::Sqe) -> Self {
        // SAFETY: Both are the kernel's `struct io_uring_sqe` of 64 bytes, `repr(C)` and without
        // padding. An `Entry` has only integers, so all its values are valid. The crate `io-uring`
        // has no constructor for opcodes that it does not know.
        unsafe { transmute::<sys::Sqe, Self>(sqe) }
    }
}

impl Ring {
    pub(crate) fn new() -> Result<Self> {
        // One thread after the other may use the instance. The thread that waits for a request is the
        // one that submitted it, so the kernel need not interrupt it.
        let uring = IoUring::builder().setup_coop_taskrun().build(1);
        match uring {
            Ok(uring) => Ok(Self {
                uring,
                broken: None,
            }),
            Err(error)
                if [Some(libc::EPERM), Some(libc::ENOSYS)].contains(&error.raw_os_error()) =>
            {
                Err(Error::NoIoUring(error))
            }
            Err(error) => Err(Error::Os(error)),
        }
    }

    /// Runs a request until it has completed, and returns its result. After `timeout`, cancels the
    /// request; the result is `ETIMEDOUT` then, unless the request has been faster.
    ///
    /// # Safety
    ///
    /// The memory that the request names is valid until this function returns.
    pub(crate) unsafe fn run(
        &mut self,
        sqe: sys::Sqe,
        timeout: Option<Duration>,
    ) -> Result<u32, Errno> {
        if let Some(errno) = self.broken {
            return Err(errno);
        }
        // A timeout that is beyond what the clock has is none.
        let mut deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut is_late = false;
        let user_data = sqe.user_data;
        let entry = squeue::Entry::from(sqe);
        // SAFETY: The caller's memory is valid until this function returns, and it returns when the
        // request has completed, or if the kernel never gets it.
        let pushed = unsafe { self.uring.submission().push(&entry) };
        pushed.expect("the queue is empty between requests");
        loop {
            let entered = match deadline {
                None => self.uring.submit_and_wait(1),
                Some(deadline) => {
                    let left = Timespec::from(deadline.saturating_duration_since(Instant::now()));
                    let args = SubmitArgs::new().timespec(&left);
                    self.uring.submitter().submit_with_args(1, &args)
                }
            };
            if let Some(cqe) = self.uring.completion().next() {
                return match cqe.result() {
                    canceled if canceled == -libc::ECANCELED && is_late => Err(libc::ETIMEDOUT),
                    // CAST: The arm before this one has the negative numbers but one, which
                    // no result is.
                    result if result >= 0 => Ok(result.unsigned_abs()),
                    result => Err(result.saturating_neg()),
                };
            }
            if let Err(error) = entered {
                self.check(&error)?;
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                (deadline, is_late) = (None, true);
                // If this finds no request, the request completes by itself.
                let request = CancelBuilder::user_data(user_data);
                let _ = self.uring.submitter().register_sync_cancel(None, request);
            }
        }
    }

    /// Returns if waiting for the request makes sense after this error.
    fn check(&mut self, error: &io::Error) -> Result<(), Errno> {
        let errno = error.raw_os_error().unwrap_or(libc::EIO);
        if [libc::EINTR, libc::EAGAIN, libc::EBUSY, libc::ETIME].contains(&errno) {
            return Ok(());
        }
        if self.uring.submission().is_empty() {
            // The kernel has the request and its buffers, and cannot be asked to give them back.
            eprintln!("io-uring-ipc: io_uring_enter: {error}");
            std::process::abort();
        }
        self.broken = Some(errno);
        Err(errno)
    }

    /// Runs a command of `io_uring_register(2)` with a struct that the kernel reads and writes.
    ///
    /// # Safety
    ///
    /// `opcode` takes one `T`. All addresses in it are valid.
    pub(crate) unsafe fn command<T>(&mut self, opcode: u32, argument: &mut T) -> Result<(), Errno> {
        // SAFETY: By the caller's promise.
        unsafe { self.register(opcode, from_mut(argument).cast(), 1) }
    }

    /// Runs a command of `io_uring_register(2)` with a number.
    ///
    /// # Safety
    ///
    /// `opcode` takes a number and no address.
    pub(crate) unsafe fn command_on(&mut self, opcode: u32, number: u32) -> Result<(), Errno> {
        // SAFETY: By the caller's promise.
        unsafe { self.register(opcode, null_mut(), number) }
    }

    /// # Safety
    ///
    /// As the command needs it.
    unsafe fn register(
        &mut self,
        opcode: u32,
        argument: *mut c_void,
        count: u32,
    ) -> Result<(), Errno> {
        // SAFETY: By the caller's promise. The descriptor is ours.
        unsafe { register(self.uring.as_raw_fd(), opcode, argument, count) }
    }

    /// What an error number of a command means. A kernel that does not know the command returns
    /// `EINVAL`, as for an argument that is not valid.
    pub(crate) fn explain(&self, errno: Errno, missing: Error) -> Error {
        if errno == libc::EINVAL {
            let mut probe = Probe::new();
            let is_known = self.uring.submitter().register_probe(&mut probe).is_ok()
                && probe.is_supported(sys::OP_SEND);
            if !is_known {
                return Error::NoKernel;
            }
        }
        Error::new(errno, missing)
    }
}

/// Calls `io_uring_register(2)`.
///
/// # Safety
///
/// As the command needs it.
pub(crate) unsafe fn register(
    fd: RawFd,
    opcode: u32,
    argument: *mut c_void,
    count: u32,
) -> Result<(), Errno> {
    // SAFETY: By the caller's promise.
    let result = unsafe { libc::syscall(libc::SYS_io_uring_register, fd, opcode, argument, count) };
    if result == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EIO))
}
