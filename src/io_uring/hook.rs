// SPDX-License-Identifier: GPL-2.0

//! Where io_uring calls the module. No logic: each function converts what C passes and calls the
//! one that does it.
//!
//! io_uring vouches for the pointers, see `include/linux/io_uring/ipc.h` of the patched kernel. It
//! calls nothing before [`Registration::new`], and holds the module as long as there is an
//! [`Instance`].

use core::{
    mem::offset_of,
    ptr::{self, NonNull},
};

use kernel::{
    error::{from_result, to_result},
    ffi::{c_int, c_uint, c_void},
    module::this_module,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{Acquire, Atomic, Relaxed, Release},
        Arc, ArcBorrow,
    },
    uaccess::UserPtr,
};

use crate::{
    channel::{registry::Registry, subscriber::Subscriber},
    io_uring::{
        command,
        instance::Instance,
        recv,
        request::{Request, Wait},
        send,
    },
    kernel::{
        bindings::{self, Operations},
        file,
    },
    memory::{
        buffer::Buffer,
        fixed_buffer::{Direction, FixedBuffer},
        user_buffer::UserBuffer,
    },
    uapi::{self, Sqe},
    LocalModule,
};

/// The registry that instances use: not null as long as there is a [`Registration`].
static REGISTRY: Atomic<*mut Registry> = Atomic::new(ptr::null_mut());

static OPERATIONS: Operations<bindings::io_uring_ipc_ops> =
    Operations::new(bindings::io_uring_ipc_ops {
        owner: this_module::<LocalModule>().as_ptr(),
        ring_init: Some(ring_init),
        ring_release: Some(ring_release),
        ring_exit: Some(ring_exit),
        command: Some(run_command),
        send_prep: Some(send_prep),
        send: Some(issue_send),
        recv_prep: Some(recv_prep),
        recv: Some(issue_recv),
        wait_file: Some(wait_file),
        wait_done: Some(wait_done),
    });

/// As long as this exists, the module provides IPC channels.
///
/// # Invariants
///
/// `OPERATIONS` are registered, and `REGISTRY` points to `_registry`.
pub(crate) struct Registration {
    _registry: Arc<Registry>,
}

impl Registration {
    /// Starts to provide channels. May sleep.
    ///
    /// # Errors
    ///
    /// `EBUSY` if there is another provider.
    pub(crate) fn new(registry: Arc<Registry>) -> Result<Self> {
        // Pairs with `ring_init`.
        REGISTRY.store(Arc::as_ptr(&registry).cast_mut(), Release);
        // SAFETY: The operations are static.
        to_result(unsafe { bindings::io_uring_ipc_register(OPERATIONS.as_ptr()) })?;
        // INVARIANT: io_uring has just registered them.
        Ok(Self {
            _registry: registry,
        })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: They are registered by the type invariants.
        unsafe { bindings::io_uring_ipc_unregister(OPERATIONS.as_ptr()) };
        REGISTRY.store(ptr::null_mut(), Relaxed);
    }
}

/// # Safety
///
/// As `io_uring_ipc_ops.ring_init`.
unsafe extern "C" fn ring_init(
    ring: *mut bindings::io_ring_ctx,
) -> *mut bindings::io_uring_ipc_ctx {
    let init = || {
        let ring = NonNull::new(ring).ok_or(EINVAL)?;
        // Pairs with `Registration::new`.
        let registry = REGISTRY.load(Acquire);
        // SAFETY: By the invariants of `Registration` it is that of an `Arc`. io_uring has a
        // reference to the module, so the `Registration` stays as long as this runs.
        let registry = unsafe { ArcBorrow::from_raw(registry) };
        // SAFETY: io_uring calls `ring_exit` before the instance becomes invalid.
        unsafe { Instance::new(ring, registry.into()) }
    };
    match init() {
        // SAFETY: It is not moved out of this pointer, `ring_exit` drops it in place.
        Ok(instance) => KBox::into_raw(unsafe { Pin::into_inner_unchecked(instance) }).cast(),
        Err(error) => error.to_ptr(),
    }
}

/// # Safety
///
/// As `io_uring_ipc_ops.ring_release`.
unsafe extern "C" fn ring_release(hook: *mut bindings::io_uring_ipc_ctx) {
    // SAFETY: io_uring passes a valid instance.
    unsafe { instance(hook) }.release();
}

/// # Safety
///
/// As `io_uring_ipc_ops.ring_exit`.
unsafe extern "C" fn ring_exit(hook: *mut bindings::io_uring_ipc_ctx) {
    // SAFETY: `ring_init` returned it, as the first field of an instance in a box.
    drop(unsafe { KBox::from_raw(hook.cast::<Instance>()) });
}

/// The instance that `ring_init` returned.
///
/// # Safety
///
/// `hook` is what `ring_init` returned, and `ring_exit` is not called as long as the result is
/// used.
#[inline(always)]
unsafe fn instance<'a>(hook: *mut bindings::io_uring_ipc_ctx) -> &'a Instance {
    // SAFETY: It is the first field of an instance.
    unsafe { &*hook.cast::<Instance>() }
}

/// # Safety
///
/// As `io_uring_ipc_ops.command`.
unsafe extern "C" fn run_command(
    hook: *mut bindings::io_uring_ipc_ctx,
    opcode: c_uint,
    argument: *mut c_void,
    count: c_uint,
) -> c_int {
    // SAFETY: io_uring passes a valid instance.
    let instance = unsafe { instance(hook) };
    from_result(|| command::run(instance, opcode, UserPtr::from_ptr(argument), count).map(|()| 0))
}

/// Where a request keeps what it has of its SQE.
///
/// # Safety
///
/// `command` is valid.
#[inline(always)]
unsafe fn request(command: *mut bindings::io_uring_ipc_cmd) -> *mut Request {
    const {
        let room = offset_of!(bindings::io_uring_ipc_cmd, data);
        assert!(size_of::<Request>() <= size_of::<bindings::io_uring_ipc_cmd>() - room);
        assert!(room % align_of::<Request>() == 0);
    }
    // SAFETY: `command` is valid.
    unsafe { (&raw mut (*command).data).cast() }
}

/// Prepares a request.
///
/// # Safety
///
/// `command` belongs to a request of the opcode that `prepare` is for, `sqe` is valid for reading.
unsafe fn prepare(
    command: *mut bindings::io_uring_ipc_cmd,
    sqe: *const bindings::io_uring_sqe,
    prepare: fn(&Sqe) -> Result<(Request, Wait)>,
) -> c_int {
    // SAFETY: It is valid and has the same layout. User space may be changing it, and any bytes are
    // fine: this is the only time that they are read here. io_uring has read `flags` by itself, and
    // does not rely on what is made of them here.
    let sqe = unsafe { sqe.cast::<Sqe>().read_volatile() };
    from_result(|| {
        let (prepared, wait) = prepare(&sqe)?;
        // SAFETY: The request is valid, has room for it, and nobody else uses that now.
        unsafe { request(command).write(prepared) };
        // SAFETY: The request is valid, and nobody else uses it now.
        let command = unsafe { &mut *command };
        command.addr = sqe.addr;
        command.len = sqe.len;
        command.flags = match wait {
            Wait::Never => 0,
            Wait::Once => bindings::IOIPC_CMD_WAIT,
            Wait::Multishot => bindings::IOIPC_CMD_WAIT | bindings::IOIPC_CMD_MULTISHOT,
        };
        if prepared.wants_info() {
            command.flags |= bindings::IOIPC_CMD_ALIGN;
        }
        Ok(0)
    })
}

/// Issues a request.
///
/// # Safety
///
/// `hook` is a valid instance, and `command` a request of it that was prepared and is being issued
/// with `issue_flags`.
#[inline(always)]
unsafe fn issue(
    hook: *mut bindings::io_uring_ipc_ctx,
    command: *mut bindings::io_uring_ipc_cmd,
    issue_flags: c_uint,
    direction: Direction,
    issue: impl FnOnce(&Request, &Instance, Buffer<'_>) -> Result<u32>,
) -> c_int {
    // SAFETY: It is valid.
    let instance = unsafe { instance(hook) };
    // SAFETY: `prepare` has written it.
    let request = unsafe { &*request(command) };
    let run = || {
        if request.has(uapi::IOIPC_FIXED_BUF) {
            // SAFETY: The request is being issued.
            let fixed = unsafe { FixedBuffer::import(command, direction, issue_flags) }?;
            return issue(request, instance, Buffer::Fixed(&fixed));
        }
        // SAFETY: The request is valid.
        let user = unsafe { UserBuffer::new((*command).addr, (*command).len) };
        issue(request, instance, Buffer::User(user))
    };
    match run() {
        // CAST: No message is that long, and no buffer either.
        Ok(result) => result as c_int,
        Err(error) => error.to_errno(),
    }
}

/// # Safety
///
/// As `io_uring_ipc_ops.send_prep`.
unsafe extern "C" fn send_prep(
    command: *mut bindings::io_uring_ipc_cmd,
    sqe: *const bindings::io_uring_sqe,
) -> c_int {
    // SAFETY: io_uring passes a request and an SQE.
    unsafe { prepare(command, sqe, send::prepare) }
}

/// # Safety
///
/// As `io_uring_ipc_ops.send`.
unsafe extern "C" fn issue_send(
    hook: *mut bindings::io_uring_ipc_ctx,
    command: *mut bindings::io_uring_ipc_cmd,
    issue_flags: c_uint,
) -> c_int {
    // SAFETY: io_uring passes an instance and a request that `send_prep` has prepared.
    unsafe { issue(hook, command, issue_flags, Direction::Send, send::issue) }
}

/// # Safety
///
/// As `io_uring_ipc_ops.recv_prep`.
unsafe extern "C" fn recv_prep(
    command: *mut bindings::io_uring_ipc_cmd,
    sqe: *const bindings::io_uring_sqe,
) -> c_int {
    // SAFETY: io_uring passes a request and an SQE.
    unsafe { prepare(command, sqe, recv::prepare) }
}

/// # Safety
///
/// As `io_uring_ipc_ops.recv`.
unsafe extern "C" fn issue_recv(
    hook: *mut bindings::io_uring_ipc_ctx,
    command: *mut bindings::io_uring_ipc_cmd,
    issue_flags: c_uint,
) -> c_int {
    // SAFETY: io_uring passes a request.
    let is_rest = unsafe { (*command).flags } & bindings::IOIPC_CMD_REST != 0;
    let receive = |request: &Request, instance: &Instance, buffer: Buffer<'_>| {
        recv::issue(request, instance, buffer, is_rest)
    };
    // SAFETY: io_uring passes an instance and a request that `recv_prep` has prepared.
    unsafe { issue(hook, command, issue_flags, Direction::Receive, receive) }
}

/// # Safety
///
/// As `io_uring_ipc_ops.wait_file`.
unsafe extern "C" fn wait_file(
    hook: *mut bindings::io_uring_ipc_ctx,
    command: *mut bindings::io_uring_ipc_cmd,
    early: bool,
) -> *mut bindings::file {
    // SAFETY: io_uring passes a valid instance.
    let instance = unsafe { instance(hook) };
    // SAFETY: `send_prep` or `recv_prep` has written it, and nobody else uses it now.
    let request = unsafe { &mut *request(command) };
    match instance.wait_file(request, early) {
        Ok(file) => ARef::into_raw(file).as_ptr().cast(),
        Err(error) => error.to_ptr(),
    }
}

/// # Safety
///
/// As `io_uring_ipc_ops.wait_done`.
unsafe extern "C" fn wait_done(
    _hook: *mut bindings::io_uring_ipc_ctx,
    command: *mut bindings::io_uring_ipc_cmd,
) {
    // SAFETY: The request is valid.
    let file = unsafe { (*command).file };
    // SAFETY: `wait_file` has returned it, and the request still has its reference. By its id the
    // subscriber might not be found any more.
    unsafe { file::private_data::<Subscriber>(file) }.pass_on();
}
