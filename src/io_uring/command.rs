// SPDX-License-Identifier: GPL-2.0

//! The four commands of io_uring_register(2). All of them may sleep and run with the `uring_lock`
//! of the instance held.

use kernel::{
    fs::file::{flags::O_CLOEXEC, FileDescriptorReservation},
    prelude::*,
    sync::aref::ARef,
    uaccess::UserPtr,
};

use crate::{
    channel::{
        cred::IpcNamespace,
        name::Name,
        subscriber::Subscriber,
        {Channel, Mode, Parameters},
    },
    io_uring::{file, instance::Instance},
    kernel::{
        bindings::{io_uring_ipc_channel_attach, io_uring_ipc_channel_create},
        rcu::{self, RcuObject},
    },
    observe::{
        refusal::{refuse, Asked},
        trace,
    },
    uapi::{self, UserArgument},
};

/// The flags of ATTACH that need a broadcast.
const FOR_BROADCASTS: u32 = uapi::IOIPC_SUB_HISTORY | uapi::IOIPC_SUB_LOSSY;

/// The flags that ATTACH may have.
pub(crate) const ATTACH_FLAGS: u32 = uapi::IOIPC_SUB_BOTH | FOR_BROADCASTS;

/// Runs the command `opcode` with the arguments of io_uring_register(2).
pub(crate) fn run(instance: &Instance, opcode: u32, argument: UserPtr, count: u32) -> Result {
    match opcode {
        uapi::IOIPC_REGISTER_CREATE => create(instance, &UserArgument::new(argument, count)?),
        uapi::IOIPC_REGISTER_ATTACH => attach(instance, &UserArgument::new(argument, count)?),
        uapi::IOIPC_REGISTER_DETACH => detach(instance, id_argument(argument, count)?),
        uapi::IOIPC_REGISTER_DESTROY => destroy(instance, id_argument(argument, count)?),
        _ => Err(EINVAL),
    }
}

/// The id that DETACH and DESTROY get in `nr_args`.
fn id_argument(argument: UserPtr, count: u32) -> Result<u32> {
    if !argument.as_const_ptr().is_null() || count == 0 {
        return Err(EINVAL);
    }
    Ok(count)
}

fn create(instance: &Instance, argument: &UserArgument) -> Result {
    let create = argument.read_create()?;
    let parameters = Parameters::new(&create)?;
    let is_any_dying = rcu::is_any_dying();
    match create_now(instance, argument, create, parameters) {
        // Memory that the caller has freed may still be charged for a grace period.
        Err(ENOMEM) if is_any_dying => {
            rcu::wait_for_dying();
            create_now(instance, argument, create, parameters)
        }
        result => result,
    }
}

fn create_now(
    instance: &Instance,
    argument: &UserArgument,
    mut create: io_uring_ipc_channel_create,
    parameters: Parameters,
) -> Result {
    // Look early: memory that is allocated in vain stays charged for a grace period.
    instance
        .registry()
        .check_free(parameters.key().as_ref(), parameters.name().as_ref())?;

    let id = instance.registry().reserve_id()?;
    let channel = Channel::new(
        id.get(),
        instance.identity(),
        parameters,
        instance.account(),
        instance.registry().clone(),
    )?;
    create.channel_id_out = id.get();
    argument.write_create(create)?;
    // The last step: if a step before has failed, no caller has seen the channel.
    instance.registry().insert(id, &channel)?;
    trace::create(|| {
        let mode = channel.permissions().mode();
        let (entries, max_msg_size) = (create.ring_entries, create.max_msg_size);
        let name = channel.name().map_or(c"", |(_, name)| name.as_c_str());
        (
            channel.id(),
            create.flags,
            mode,
            entries,
            max_msg_size,
            name,
        )
    });
    Ok(())
}

/// The channel with an id.
fn find_id(instance: &Instance, id: u32) -> Result<ARef<RcuObject<Channel>>> {
    instance
        .registry()
        .find(id)
        .ok_or_else(|| refuse(Asked::Channel(id), c"there is none with this id", ENOENT))
}

/// The channel that ATTACH names, if the caller may know of it.
fn find(
    instance: &Instance,
    attach: &io_uring_ipc_channel_attach,
) -> Result<ARef<RcuObject<Channel>>> {
    let extension: uapi::AttachExtension = uapi::read_extension(attach.ext, attach.ext_size)?;
    let name = Name::read(extension.name, extension.name_len)?;
    let namespace = IpcNamespace::current();
    let unknown = |asked| {
        let rule = c"no channel in the caller's IPC namespace has it";
        refuse(asked, rule, ENOENT)
    };
    let channel = match (name, attach.key) {
        (None, 0) => find_id(instance, attach.channel_id)?,
        // A task that knows the key may know of the channel.
        (None, key) => {
            return instance
                .registry()
                .find_key(namespace, key)
                .ok_or_else(|| unknown(Asked::Key(key)));
        }
        (Some(name), 0) => instance
            .registry()
            .find_name(&(namespace, name))
            .ok_or_else(|| unknown(Asked::Name(name.as_c_str())))?,
        (Some(_), _) => return Err(EINVAL),
    };
    channel.check_visible(instance.identity())?;
    Ok(channel)
}

fn attach(instance: &Instance, argument: &UserArgument) -> Result {
    let mut attach = argument.read_attach()?;
    if attach.flags & uapi::IOIPC_SUB_BOTH == 0 || attach.flags & !ATTACH_FLAGS != 0 {
        return Err(EINVAL);
    }
    let channel = find(instance, &attach)?;
    channel.check_mode(attach.flags)?;
    if attach.flags & FOR_BROADCASTS != 0
        && (attach.flags & uapi::IOIPC_SUB_RECV == 0 || channel.mode() != Mode::Broadcast)
    {
        return Err(EINVAL);
    }

    let fd = FileDescriptorReservation::get_unused_fd_flags(O_CLOEXEC)?;
    let id = instance.registry().reserve_id()?;
    let subscriber = Subscriber::new(id.get(), attach.flags, channel)?;
    let file = file::open(subscriber.clone())?;

    // CAST: File descriptors are not negative.
    attach.channel_fd = fd.reserved_fd() as i32;
    attach.local_id_out = id.get();
    attach.mmap_offset_out = 0;
    attach.region_size = subscriber.mappable_size();
    argument.write_attach(attach)?;

    // From here on user space may see the subscriber, so no other step may fail.
    instance.attach(&subscriber, file.clone())?;
    let id = id.keep();
    trace::attach(|| (subscriber.channel().id(), id, attach.flags));
    fd.fd_install(file);
    Ok(())
}

fn detach(instance: &Instance, id: u32) -> Result {
    if instance.detach(id) {
        Ok(())
    } else {
        instance.evict(id)
    }
}

fn destroy(instance: &Instance, id: u32) -> Result {
    let channel = find_id(instance, id)?;
    let rule = c"only its creator and its owner may destroy it";
    channel.check_control(instance.identity(), rule)?;
    instance.registry().destroy(&channel)
}
