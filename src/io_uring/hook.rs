// SPDX-License-Identifier: GPL-2.0

//! The functions that io_uring calls. They hold no logic: each one converts what C passes, and calls
//! the Rust function of that name.
//!
//! io_uring vouches for the pointers, see `include/linux/io_uring/ipc.h` of the patched kernel. It
//! calls nothing before [`Registration::new`], and holds the module as long as there is an
//! [`Instance`].

use core::{mem::offset_of, ptr};

use kernel::{
    error::{from_result, to_result},
    ffi::{c_int, c_uint, c_void},
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Relaxed, Release},
        Arc, ArcBorrow,
    },
    types::ForeignOwnable,
    uaccess::UserPtr,
};

use crate::{
    channel::{create, registry::Registry, Call},
    io_uring::{
        command, exchange,
        fds::{self, Fds},
        instance::Instance,
        own::{self, Own},
        recv,
        request::{Request, Wait},
        send,
    },
    kernel::{
        bindings::{self, safe_functions, Operations},
        callback::{callbacks, Argument},
        compat::this_module,
        parked::{Parkable, Ticket},
        pointer::Pointer,
    },
    memory::{
        buffer::Buffer,
        charge::Account,
        fixed_buffer::{Direction, FixedBuffer},
        user_buffer::UserBuffer,
    },
    uapi::{self, Abilities, SharedSqe, Sqe},
    LocalModule,
};

/// The registry for new instances: that of the [`Registration`], as long as there is one.
static REGISTRY: Atomic<*mut Registry> = Atomic::new(ptr::null_mut());

/// What `IO_URING_QUERY_IPC` tells.
static ABILITIES: Abilities = Abilities {
    op_send: uapi::IOIPC_OP_SEND,
    op_recv: uapi::IOIPC_OP_RECV,
    register_create: uapi::IOIPC_REGISTER_CREATE,
    register_attach: uapi::IOIPC_REGISTER_ATTACH,
    register_detach: uapi::IOIPC_REGISTER_DETACH,
    register_destroy: uapi::IOIPC_REGISTER_DESTROY,
    channel_flags: create::FLAGS,
    subscriber_flags: command::ATTACH_FLAGS,
    send_flags: send::FLAGS,
    recv_flags: recv::FLAGS,
    channel_ext_size: size_of::<uapi::ChannelExtension>() as u32,
    attach_ext_size: size_of::<uapi::AttachExtension>() as u32,
    ring_version: uapi::IOIPC_RING_VERSION_LARGE,
    max_ring_entries: uapi::IOIPC_MAX_RING_ENTRIES,
    max_msg_size: uapi::IOIPC_MAX_MSG_SIZE,
    max_subscribers: uapi::IOIPC_MAX_SUBSCRIBERS,
    reserved_subscribers: uapi::IOIPC_RESERVED_SUBSCRIBERS,
    max_vec: uapi::IOIPC_MAX_VEC,
    max_name: uapi::IOIPC_MAX_NAME,
    max_large_msg_size: uapi::IOIPC_MAX_LARGE_MSG_SIZE,
};

static OPERATIONS: Operations<bindings::io_uring_ipc_ops> =
    Operations::new(bindings::io_uring_ipc_ops {
        owner: this_module::<LocalModule>().as_ptr(),
        query: (&raw const ABILITIES).cast(),
        query_size: size_of::<Abilities>(),
        ring_init: Some(ring_init),
        ring_release: Some(ring_release),
        ring_exit: Some(ring_exit),
        command: Some(run_command),
        send_prep: Some(prepare::<IpcSend>),
        send: Some(issue::<IpcSend>),
        recv_prep: Some(prepare::<IpcRecv>),
        recv: Some(issue::<IpcRecv>),
        ready: Some(ready),
        park: Some(park),
        unpark: Some(unpark),
        pass_on: Some(pass_on),
        uses_file: Some(uses_file),
        describe: Some(describe),
        forget: Some(own::forget),
    });

// io_uring calls the operations of a static table, as long as they are registered.
safe_functions! { generated:
    fn io_uring_ipc_register(
        operations: &'static Operations<bindings::io_uring_ipc_ops> as *const bindings::io_uring_ipc_ops
    ) -> c_int;

    fn io_uring_ipc_unregister(
        operations: &'static Operations<bindings::io_uring_ipc_ops> as *const bindings::io_uring_ipc_ops
    );
}

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
        to_result(io_uring_ipc_register(&OPERATIONS))?;
        // INVARIANT: io_uring has just registered them.
        Ok(Self {
            _registry: registry,
        })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        io_uring_ipc_unregister(&OPERATIONS);
        REGISTRY.store(ptr::null_mut(), Relaxed);
    }
}

/// What the two opcodes do.
trait Opcode {
    const DIRECTION: Direction;

    /// The flags that an SQE may have.
    const FLAGS: u32;

    /// Those of them with which something comes back, which the SQE says more of.
    const EXCHANGES: u32;
    /// The one of them that says that there is an array of descriptors.
    const FDS: u32;

    /// Checks an SQE.
    fn prepare(sqe: &Sqe) -> Result<(Request, Wait)>;

    /// Runs a request. `is_rest` if its buffer is the rest of a larger one. Returns its result, and
    /// sets `is_more` if a multishot receive may receive more at once.
    fn issue(
        request: &mut Request,
        instance: &Instance,
        buffer: Buffer<'_>,
        is_rest: bool,
        is_more: &mut bool,
    ) -> Result<u32>;

    /// The same for a request with descriptors.
    fn issue_with_fds(
        request: &mut Request,
        instance: &Instance,
        buffer: Buffer<'_>,
        is_rest: bool,
        fds: &mut Fds,
    ) -> Result<u32>;
}

struct IpcSend;

impl Opcode for IpcSend {
    const DIRECTION: Direction = Direction::Send;
    const FLAGS: u32 = send::FLAGS;
    const EXCHANGES: u32 = exchange::FLAGS;
    const FDS: u32 = uapi::IOIPC_SEND_FDS;

    #[inline(always)]
    fn prepare(sqe: &Sqe) -> Result<(Request, Wait)> {
        send::prepare(sqe)
    }

    #[inline(always)]
    fn issue(
        request: &mut Request,
        instance: &Instance,
        buffer: Buffer<'_>,
        _is_rest: bool,
        _is_more: &mut bool,
    ) -> Result<u32> {
        send::issue(request, instance, buffer)
    }

    fn issue_with_fds(
        request: &mut Request,
        instance: &Instance,
        buffer: Buffer<'_>,
        _is_rest: bool,
        fds: &mut Fds,
    ) -> Result<u32> {
        fds::send(request, instance, buffer, fds)
    }
}

struct IpcRecv;

impl Opcode for IpcRecv {
    const DIRECTION: Direction = Direction::Receive;
    const FLAGS: u32 = recv::FLAGS;
    const EXCHANGES: u32 = 0;
    const FDS: u32 = uapi::IOIPC_RECV_FDS;

    #[inline(always)]
    fn prepare(sqe: &Sqe) -> Result<(Request, Wait)> {
        recv::prepare(sqe)
    }

    #[inline(always)]
    fn issue(
        request: &mut Request,
        instance: &Instance,
        buffer: Buffer<'_>,
        is_rest: bool,
        is_more: &mut bool,
    ) -> Result<u32> {
        recv::issue(request, instance, buffer, is_rest, is_more)
    }

    fn issue_with_fds(
        request: &mut Request,
        instance: &Instance,
        buffer: Buffer<'_>,
        is_rest: bool,
        fds: &mut Fds,
    ) -> Result<u32> {
        fds::receive(request, instance, buffer, is_rest, fds)
    }
}

/// Where a request keeps what it has of its SQE.
#[inline(always)]
fn request(command: &mut bindings::io_uring_ipc_cmd) -> &mut Request {
    const {
        let start = offset_of!(bindings::io_uring_ipc_cmd, data);
        assert!(size_of::<Request>() <= offset_of!(bindings::io_uring_ipc_cmd, node) - start);
        assert!(start % align_of::<Request>() == 0);
    }
    // SAFETY: `data` is large enough, and aligned. It is borrowed as long as the result, which
    // consists of integers: any bytes will do.
    unsafe { &mut *(&raw mut command.data).cast() }
}

/// Prepares a request, from what is read and made of its SQE.
#[inline(always)]
fn fill(command: &mut bindings::io_uring_ipc_cmd, sqe: &Sqe, prepared: Request, wait: Wait) {
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
    Parkable::prepare(command);
    *request(command) = prepared;
}

/// Prepares a request that wants more than to wait.
#[inline(never)]
fn prepare_unusual<O: Opcode>(command: &mut bindings::io_uring_ipc_cmd, sqe: &SharedSqe) -> Result {
    // These two exclude each other.
    let with_fds = sqe.has(O::FDS);
    let exchanges = !with_fds && sqe.has(O::EXCHANGES);
    let excluded = match (with_fds, exchanges) {
        (true, _) => O::EXCHANGES,
        (_, true) => O::FDS,
        _ => O::FDS | O::EXCHANGES,
    };
    let read = sqe.read(O::FLAGS & !excluded, exchanges, with_fds)?;
    let (mut prepared, mut wait) = O::prepare(&read)?;
    if (with_fds && !prepared.has(O::FDS)) || (exchanges && !prepared.has(O::EXCHANGES)) {
        // User space has taken the flag away meanwhile.
        return Err(EINVAL);
    }
    if with_fds {
        let fds = Some(Fds::new(sqe)?);
        let own = Own {
            fds,
            ..Own::default()
        };
        own::keep(command, own)?;
    }
    if exchanges {
        wait = exchange::prepare(command, &read, &mut prepared)?;
    }
    fill(command, &read, prepared, wait);
    Ok(())
}

/// Runs a request with a registered buffer, with descriptors, or for which something comes back.
#[inline(never)]
fn issue_rare<O: Opcode>(
    instance: &Instance,
    command: &mut bindings::io_uring_ipc_cmd,
    issue_flags: c_uint,
    is_more: &mut bool,
) -> Result<u32> {
    if request(command).has(Request::EXCHANGES) {
        return issue_exchange(instance, command, issue_flags);
    }
    let is_rest = command.flags & bindings::IOIPC_CMD_REST != 0;
    let fixed;
    let buffer = if request(command).has(uapi::IOIPC_FIXED_BUF) {
        // SAFETY: io_uring is issuing the request.
        fixed = unsafe { FixedBuffer::import(command, O::DIRECTION, issue_flags) }?;
        Buffer::Fixed(&fixed)
    } else {
        Buffer::User(UserBuffer::new(command.addr, command.len))
    };
    // The request and what it has of its own are both parts of the command.
    let Some(mut fds) = own::kept(command).and_then(|own| own.fds.take()) else {
        return O::issue(request(command), instance, buffer, is_rest, is_more);
    };
    let result = O::issue_with_fds(request(command), instance, buffer, is_rest, &mut fds);
    if let Some(own) = own::kept(command) {
        own.fds = Some(fds);
    }
    result
}

/// Runs a send that something comes back for.
fn issue_exchange(
    instance: &Instance,
    command: &mut bindings::io_uring_ipc_cmd,
    issue_flags: c_uint,
) -> Result<u32> {
    let mut current = *request(command);
    let fixed;
    let buffer = if current.sends_from(uapi::IOIPC_FIXED_BUF) {
        // SAFETY: io_uring is issuing the request.
        fixed = unsafe { FixedBuffer::import(command, Direction::Send, issue_flags) }?;
        Buffer::Fixed(&fixed)
    } else {
        Buffer::User(UserBuffer::new(command.addr, command.len))
    };
    let exchange = own::kept(command)
        .and_then(|own| own.exchange.as_mut())
        .ok_or(EINVAL)?;
    let result = exchange.issue(&mut current, instance, buffer);
    *request(command) = current;
    result
}

/// # Safety
///
/// As `io_uring_ipc_ops.ring_init`.
unsafe extern "C" fn ring_init(
    ring: *mut bindings::io_ring_ctx,
) -> *mut bindings::io_uring_ipc_ctx {
    // Pairs with `Registration::new`.
    let registry = REGISTRY.load(Acquire);
    // SAFETY: By the invariants of `Registration` it is that of an `Arc`. io_uring has a reference
    // to the module, so the `Registration` stays as long as this runs.
    let registry = unsafe { ArcBorrow::from_raw(registry) };
    let init = || {
        let ring = Pointer::new(ring).ok_or(EINVAL)?;
        // SAFETY: io_uring calls `ring_exit` before the io_uring instance becomes invalid.
        let account = unsafe { Account::new(ring) };
        Instance::new(account, registry.into())
    };
    match init() {
        Ok(instance) => instance.into_foreign().cast(),
        Err(error) => error.to_ptr(),
    }
}

/// # Safety
///
/// As `io_uring_ipc_ops.ring_exit`.
unsafe extern "C" fn ring_exit(hook: *mut bindings::io_uring_ipc_ctx) {
    // SAFETY: `ring_init` returned it, from `into_foreign`, and io_uring does not use it any more.
    drop(unsafe { Pin::<KBox<Instance>>::from_foreign(hook.cast()) });
}

/// An instance that [`ring_init`] returned, as its first field.
impl Argument for &Instance {
    type C = *mut bindings::io_uring_ipc_ctx;

    #[inline(always)]
    unsafe fn from_c(hook: *mut bindings::io_uring_ipc_ctx) -> Self {
        // SAFETY: By the requirements of this function. io_uring calls `ring_exit`, which drops the
        // instance, only after all other callbacks.
        unsafe { &*hook.cast::<Instance>() }
    }
}

/// A valid request, which io_uring leaves to the current task.
impl Argument for &mut bindings::io_uring_ipc_cmd {
    type C = *mut bindings::io_uring_ipc_cmd;

    #[inline(always)]
    unsafe fn from_c(command: *mut bindings::io_uring_ipc_cmd) -> Self {
        // SAFETY: By the requirements of this function.
        unsafe { &mut *command }
    }
}

/// Valid for writing, and nobody else knows it.
impl Argument for &mut bindings::io_uring_bpf_ipc {
    type C = *mut bindings::io_uring_bpf_ipc;

    unsafe fn from_c(description: *mut bindings::io_uring_bpf_ipc) -> Self {
        // SAFETY: By the requirements of this function. It consists of integers.
        unsafe { &mut *description }
    }
}

/// A valid SQE of a request that is being prepared.
impl Argument for &SharedSqe {
    type C = *const bindings::io_uring_sqe;

    #[inline(always)]
    unsafe fn from_c(sqe: *const bindings::io_uring_sqe) -> Self {
        // SAFETY: It is valid by the requirements of this function, and has the same layout. All
        // accesses to it are atomic, so user space may change it. io_uring has read `flags` by
        // itself, and does not rely on what the module makes of them.
        unsafe { &*sqe.cast::<SharedSqe>() }
    }
}

callbacks! {
    /// As `io_uring_ipc_ops.ring_release`.
    fn ring_release(instance: &Instance) {
        instance.release();
    }

    /// As `io_uring_ipc_ops.command`.
    fn run_command(
        instance: &Instance,
        opcode: c_uint,
        argument: *mut c_void,
        count: c_uint
    ) -> c_int {
        let argument = UserPtr::from_ptr(argument);
        from_result(|| command::run(instance, opcode, argument, count).map(|()| 0))
    }

    /// As `io_uring_ipc_ops.send_prep` or `recv_prep`.
    fn prepare<O: Opcode>(command: &mut bindings::io_uring_ipc_cmd, sqe: &SharedSqe) -> c_int {
        from_result(|| {
            match sqe.read_plain() {
                Some(sqe) => {
                    let (prepared, wait) = O::prepare(&sqe)?;
                    fill(command, &sqe, prepared, wait);
                }
                None => prepare_unusual::<O>(command, sqe)?,
            }
            Ok(0)
        })
    }

    /// As `io_uring_ipc_ops.send` or `recv`, for a request of the same opcode.
    fn issue<O: Opcode>(
        instance: &Instance,
        command: &mut bindings::io_uring_ipc_cmd,
        issue_flags: c_uint
    ) -> c_int {
        if command.flags & bindings::IOIPC_CMD_WOKEN != 0 {
            look_once(instance, request(command));
        }
        let is_rest = command.flags & bindings::IOIPC_CMD_REST != 0;
        let mut is_more = false;
        // Most buffers are in user memory, so only that case is in this function.
        let rare = uapi::IOIPC_FIXED_BUF | Request::EXCHANGES | O::FDS;
        let result = if request(command).has(rare) {
            issue_rare::<O>(instance, command, issue_flags, &mut is_more)
        } else {
            let buffer = Buffer::User(UserBuffer::new(command.addr, command.len));
            O::issue(request(command), instance, buffer, is_rest, &mut is_more)
        };
        match result {
            Ok(result) => {
                // It has taken what it was woken for.
                command.flags &= !(bindings::IOIPC_CMD_WOKEN | bindings::IOIPC_CMD_MORE);
                if is_more {
                    command.flags |= bindings::IOIPC_CMD_MORE;
                }
                // CAST: No message is that long, and no buffer either.
                result as c_int
            }
            Err(EAGAIN) => {
                instance.will_park(request(command));
                EAGAIN.to_errno()
            }
            Err(error) => error.to_errno(),
        }
    }

    /// As `io_uring_ipc_ops.ready`.
    fn ready(instance: &Instance, command: &mut bindings::io_uring_ipc_cmd) -> c_int {
        let result = recv::is_ready(request(command), instance);
        if result == Err(EAGAIN) {
            instance.will_park(request(command));
        }
        from_result(|| result.map(|()| 0))
    }

    /// As `io_uring_ipc_ops.park`.
    fn park(instance: &Instance, command: Parkable<'_>) -> bool {
        let was_woken = command.flags() & bindings::IOIPC_CMD_WOKEN != 0;
        if let Some(call) = awaited(&command) {
            // SAFETY: The request owns the call, and gives it up before it ends. It is in no other list.
            let ticket = unsafe { Ticket::new(&command) };
            return call.park(&command, ticket);
        }
        instance.park(&parked_request(&command), &command, was_woken)
    }

    /// As `io_uring_ipc_ops.unpark`.
    fn unpark(instance: &Instance, command: Parkable<'_>) -> bool {
        if let Some(call) = awaited(&command) {
            return call.unpark(&command);
        }
        instance.unpark(&parked_request(&command), &command)
    }

    /// As `io_uring_ipc_ops.pass_on`.
    fn pass_on(instance: &Instance, command: &mut bindings::io_uring_ipc_cmd) {
        instance.pass_on(request(command));
    }

    /// As `io_uring_ipc_ops.uses_file`.
    fn uses_file(instance: &Instance, named: Named, file: *mut bindings::file) -> bool {
        instance.uses_file(named.id, file)
    }

    /// As `io_uring_ipc_ops.describe`.
    fn describe(
        command: &mut bindings::io_uring_ipc_cmd,
        description: &mut bindings::io_uring_bpf_ipc
    ) {
        let len = command.len;
        let request = request(command);
        *description = bindings::io_uring_bpf_ipc {
            id: request.id,
            target: request.target,
            flags: request.rw_flags(),
            len,
        };
    }
}

/// Lets a request that was woken say that it looks, the first time that it does.
#[cold]
fn look_once(instance: &Instance, request: &mut Request) {
    if !request.has_looked() {
        request.set_has_looked(true);
        instance.looks(request);
    }
}

/// What a request that may be parked has of its SQE.
fn parked_request(command: &Parkable<'_>) -> Request {
    // SAFETY: The request is valid by the invariants of `Parkable`, and left to the current task, so
    // nothing writes there. `data` is large enough, and aligned, see `request`.
    unsafe {
        (&raw const (*command.as_ptr()).data)
            .cast::<Request>()
            .read()
    }
}

/// The call whose answer a request waits for, if it does.
fn awaited<'a>(command: &'a Parkable<'_>) -> Option<&'a Call> {
    if !parked_request(command).awaits_answer() {
        return None;
    }
    own::kept_parked(command)?.exchange.as_ref()?.call()
}

/// A valid request that is prepared, and that io_uring leaves to the current task with the `uring_lock`
/// held. If it is parked, io_uring keeps it until it is taken out.
impl Argument for Parkable<'_> {
    type C = *mut bindings::io_uring_ipc_cmd;

    #[inline(always)]
    unsafe fn from_c(command: *mut bindings::io_uring_ipc_cmd) -> Self {
        // SAFETY: By the requirements of this function. `prepare` calls `Parkable::prepare`.
        unsafe { Self::new(command) }
    }
}

/// What a request names.
struct Named {
    id: u32,
}

/// A valid request that is prepared. A worker of io-wq may be running it.
impl Argument for Named {
    type C = *mut bindings::io_uring_ipc_cmd;

    unsafe fn from_c(command: *mut bindings::io_uring_ipc_cmd) -> Self {
        // SAFETY: The request is valid by the requirements of this function.
        let request = unsafe { &raw const (*command).data }.cast::<Request>();
        // SAFETY: `data` has a `Request`, see `request`. Only `prepare` writes the id.
        let id = unsafe { (*request).id };
        Self { id }
    }
}
