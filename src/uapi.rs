// SPDX-License-Identifier: GPL-2.0

//! What user space and the kernel exchange: the structs of `include/uapi/linux/io_uring/ipc.h` and
//! the SQE, with assertions of their layouts.

use core::mem::{offset_of, size_of};

use kernel::{
    error::to_result,
    prelude::*,
    sync::atomic::{Atomic, Relaxed},
    transmute::{AsBytes, FromBytes},
    uaccess::{UserPtr, UserSlice},
};

use crate::kernel::bindings;

pub(crate) use crate::kernel::bindings::{
    io_uring_ipc_attach_ext as AttachExtension, io_uring_ipc_channel_ext as ChannelExtension,
    io_uring_ipc_cursor as CursorPage, io_uring_ipc_exchange as Exchange,
    io_uring_ipc_msg_desc as MessageDescriptor, io_uring_ipc_msg_info as MessageInfo,
    io_uring_ipc_ring as RingHeader, io_uring_query_ipc as Abilities, iovec as IoVec,
    IOIPC_FIXED_BUF, IOIPC_F_BROADCAST, IOIPC_F_FAIR, IOIPC_F_MULTICAST, IOIPC_F_OVERWRITE,
    IOIPC_F_PRIVATE, IOIPC_INFO_CALL, IOIPC_INFO_FDS_LOST, IOIPC_INFO_TARGETED,
    IOIPC_INFO_TRUNCATED, IOIPC_MAX_FDS, IOIPC_MAX_LARGE_MSG_SIZE, IOIPC_MAX_MSG_SIZE,
    IOIPC_MAX_NAME, IOIPC_MAX_RING_ENTRIES, IOIPC_MAX_SUBSCRIBERS, IOIPC_MAX_VEC, IOIPC_MSG_CALL,
    IOIPC_MSG_CLAIMED, IOIPC_MSG_FREE, IOIPC_MSG_READY, IOIPC_MSG_STATE_BITS, IOIPC_OP_RECV,
    IOIPC_OP_SEND, IOIPC_RECV_BUNDLE, IOIPC_RECV_FDS, IOIPC_RECV_GONE, IOIPC_RECV_INFO,
    IOIPC_RECV_MAPPED, IOIPC_RECV_MULTISHOT, IOIPC_RECV_TRUNC, IOIPC_RECV_WAIT,
    IOIPC_REGISTER_ATTACH, IOIPC_REGISTER_CREATE, IOIPC_REGISTER_DESTROY, IOIPC_REGISTER_DETACH,
    IOIPC_RESERVED_SUBSCRIBERS, IOIPC_RING_CLOSED, IOIPC_RING_VERSION, IOIPC_RING_VERSION_LARGE,
    IOIPC_SEND_CALL, IOIPC_SEND_FDS, IOIPC_SEND_RECV, IOIPC_SEND_REPLY, IOIPC_SEND_VEC,
    IOIPC_SEND_WAIT, IOIPC_SUB_BOTH, IOIPC_SUB_HISTORY, IOIPC_SUB_LOSSY, IOIPC_SUB_RECV,
    IOIPC_SUB_SEND,
};

/// Asserts size and field offsets of a struct. With `plain`, it also makes the struct bytes to copy
/// from and to user space, and asserts that this is sound.
macro_rules! assert_layout {
    ($type:ty, $size:literal, $($($field:ident).+ @ $offset:literal),+ $(,)?) => {
        const _: () = assert!(size_of::<$type>() == $size);
        $(const _: () = assert!(offset_of!($type, $($field).+) == $offset);)+
    };
    (plain $type:ty, $size:literal, $($field:ident @ $offset:literal),+ $(,)?) => {
        assert_layout!($type, $size, $($field @ $offset),+);

        const _: () = {
            const fn size_of_plain<T: AsBytes + FromBytes>(_: fn(&$type) -> &T) -> usize {
                size_of::<T>()
            }
            assert!(size_of::<$type>() == 0 $(+ size_of_plain(|value| &value.$field))+);
        };

        // SAFETY: Each field is `FromBytes`, see the assertion above.
        unsafe impl FromBytes for $type {}

        // SAFETY: Each field is `AsBytes`, and there is no padding, see the assertion above.
        unsafe impl AsBytes for $type {}
    };
}

assert_layout!(plain bindings::io_uring_ipc_channel_create, 40,
    flags @ 0, ring_entries @ 4, max_msg_size @ 8, mode @ 12, key @ 16, channel_id_out @ 24,
    ext_size @ 28, ext @ 32);

assert_layout!(plain ChannelExtension, 16,
    name @ 0, name_len @ 8, slot_size @ 12);

assert_layout!(plain bindings::io_uring_ipc_channel_attach, 48,
    channel_id @ 0, flags @ 4, key @ 8, channel_fd @ 16, local_id_out @ 20, mmap_offset_out @ 24,
    region_size @ 32, ext_size @ 36, ext @ 40);

assert_layout!(plain AttachExtension, 16,
    name @ 0, name_len @ 8, reserved @ 12);

assert_layout!(MessageDescriptor, 64,
    offset @ 0, len @ 8, msg_id @ 12, sender_data @ 16, seq @ 24, state @ 28, sender @ 32,
    target @ 36, slots @ 40, reserved @ 44);

assert_layout!(RingHeader, 192,
    producer.head @ 0, producer.tail @ 4, consumer.head @ 64, ring_mask @ 128, ring_entries @ 132,
    max_msg_size @ 136, version @ 140, desc_offset @ 144, desc_stride @ 148, data_offset @ 152,
    data_stride @ 156, cursor_offset @ 160, senders_wait @ 168, reserved @ 172, msgs @ 192);

assert_layout!(plain MessageInfo, 48,
    len @ 0, msg_id @ 4, sender_data @ 8, sender @ 16, pid @ 20, uid @ 24, gid @ 28, flags @ 32,
    fds @ 36, lost @ 40);

assert_layout!(plain Exchange, 24,
    addr @ 0, len @ 8, flags @ 12, call @ 16, reserved @ 20);

assert_layout!(CursorPage, 64, position @ 0, reserved @ 4);

assert_layout!(Abilities, 80,
    op_send @ 0, op_recv @ 4, register_create @ 8, register_attach @ 12, register_detach @ 16,
    register_destroy @ 20, channel_flags @ 24, subscriber_flags @ 28, send_flags @ 32,
    recv_flags @ 36, channel_ext_size @ 40, attach_ext_size @ 44, ring_version @ 48,
    max_ring_entries @ 52, max_msg_size @ 56, max_subscribers @ 60, reserved_subscribers @ 64,
    max_vec @ 68, max_name @ 72, max_large_msg_size @ 76);

/// Where io_uring_register(2) finds its argument, a struct in user space.
pub(crate) struct UserArgument(UserPtr);

impl UserArgument {
    /// Takes the arguments of io_uring_register(2).
    ///
    /// # Errors
    ///
    /// `EINVAL` unless they say that there is one struct.
    pub(crate) fn new(pointer: UserPtr, count: u32) -> Result<Self> {
        if pointer.as_const_ptr().is_null() || count != 1 {
            return Err(EINVAL);
        }
        Ok(Self(pointer))
    }

    fn slice<T>(&self) -> UserSlice {
        UserSlice::new(self.0, size_of::<T>())
    }

    fn read<T: FromBytes>(&self) -> Result<T> {
        self.slice::<T>().reader().read()
    }

    fn write<T: AsBytes>(&self, value: T) -> Result {
        self.slice::<T>().writer().write(&value)
    }

    /// Reads the argument of CREATE. May sleep.
    pub(crate) fn read_create(&self) -> Result<bindings::io_uring_ipc_channel_create> {
        self.read()
    }

    /// Writes the argument of CREATE back. May sleep.
    pub(crate) fn write_create(&self, value: bindings::io_uring_ipc_channel_create) -> Result {
        self.write(value)
    }

    /// Reads the argument of ATTACH. May sleep.
    pub(crate) fn read_attach(&self) -> Result<bindings::io_uring_ipc_channel_attach> {
        self.read()
    }

    /// Writes the argument of ATTACH back. May sleep.
    pub(crate) fn write_attach(&self, value: bindings::io_uring_ipc_channel_attach) -> Result {
        self.write(value)
    }
}

/// Reads the `Exchange` of a request. May sleep.
///
/// # Errors
///
/// `EFAULT`.
pub(crate) fn read_exchange(address: u64) -> Result<Exchange> {
    // CAST: The kernel is 64-bit, see `main.rs`.
    UserSlice::new(UserPtr::from_addr(address as usize), size_of::<Exchange>())
        .reader()
        .read()
}

/// A struct that extends the argument of a command, and that later versions extend in turn.
pub(crate) trait Extension: AsBytes + FromBytes + Default {
    /// Size of the first version.
    const FIRST_SIZE: usize;

    /// What the struct has that must be zero because this version does not know it.
    fn unknown(&self) -> u32;
}

impl Extension for ChannelExtension {
    const FIRST_SIZE: usize = 16;

    fn unknown(&self) -> u32 {
        0
    }
}

impl Extension for AttachExtension {
    const FIRST_SIZE: usize = 16;

    fn unknown(&self) -> u32 {
        self.reserved
    }
}

/// Reads an extension of `size` bytes, by the rules of clone3(2). If both arguments are 0, all of it
/// is zero. May sleep.
///
/// # Errors
///
/// `EINVAL` if only one of the arguments is 0, or the size is less than that of the first version;
/// `E2BIG` if there is something in it that this version does not know, or the size is more than that
/// of a page; `EFAULT`.
pub(crate) fn read_extension<T: Extension>(address: u64, size: u32) -> Result<T> {
    let mut extension = T::default();
    let size = size as usize;
    if address == 0 && size == 0 {
        return Ok(extension);
    }
    if address == 0 || size < T::FIRST_SIZE {
        return Err(EINVAL);
    }
    // CAST: The kernel is 64-bit, see `main.rs`.
    let from = UserPtr::from_addr(address as usize).as_const_ptr();
    let to = (&raw mut extension).cast();
    // SAFETY: `to` has room for a `T`, for which any bytes will do. The function takes any user
    // address and checks it.
    to_result(unsafe { bindings::ioipc_copy_struct_in(to, size_of::<T>(), from, size) })?;
    if extension.unknown() != 0 {
        return Err(E2BIG);
    }
    Ok(extension)
}

/// A `struct iovec` of a 32-bit process.
#[repr(C)]
struct CompatIoVec {
    iov_base: u32,
    iov_len: u32,
}

assert_layout!(IoVec, 16, iov_base @ 0, iov_len @ 8);
assert_layout!(CompatIoVec, 8, iov_base @ 0, iov_len @ 4);

/// Size of a `struct iovec`, of a 32-bit process if `compat`.
pub(crate) fn iovec_size(compat: bool) -> usize {
    if compat {
        size_of::<CompatIoVec>()
    } else {
        size_of::<IoVec>()
    }
}

/// Reads address and length from the bytes of such a `struct iovec`.
pub(crate) fn parse_iovec(bytes: &[u8], compat: bool) -> (u64, u64) {
    fn at<const SIZE: usize>(bytes: &[u8], offset: usize) -> [u8; SIZE] {
        let word = bytes.get(offset..).and_then(<[u8]>::first_chunk);
        *word.unwrap_or(&[0; SIZE])
    }
    let long = |offset| u64::from_ne_bytes(at(bytes, offset));
    let short = |offset| u64::from(u32::from_ne_bytes(at(bytes, offset)));
    if compat {
        (
            short(offset_of!(CompatIoVec, iov_base)),
            short(offset_of!(CompatIoVec, iov_len)),
        )
    } else {
        (
            long(offset_of!(IoVec, iov_base)),
            long(offset_of!(IoVec, iov_len)),
        )
    }
}

/// An SQE as IPC_SEND and IPC_RECV see it, in memory that user space may be changing. Same layout as
/// the kernel's union of all uses.
#[repr(C)]
pub(crate) struct SharedSqe {
    /// `opcode`, `flags` and `ioprio`.
    head: Atomic<u32>,
    fd: Atomic<i32>,
    off: Atomic<u64>,
    addr: Atomic<u64>,
    len: Atomic<u32>,
    rw_flags: Atomic<u32>,
    user_data: Atomic<u64>,
    /// `buf_index` and `personality`.
    buffer: Atomic<u32>,
    file_index: Atomic<u32>,
    addr3: Atomic<u64>,
    pad2: Atomic<u64>,
}

assert_layout!(SharedSqe, 64,
    head @ 0, fd @ 4, off @ 8, addr @ 16, len @ 24, rw_flags @ 28, user_data @ 32, buffer @ 40,
    file_index @ 44, addr3 @ 48, pad2 @ 56);

impl SharedSqe {
    /// Whether a flag of `rw_flags` is set, which user space may change.
    #[inline(always)]
    pub(crate) fn has(&self, flag: u32) -> bool {
        self.rw_flags.load(Relaxed) & flag != 0
    }

    /// Reads the fields that the opcodes use, each once. `None` if the SQE wants anything but to wait, or if
    /// a field is not zero that is not used then: see [`Self::read`].
    #[inline(always)]
    pub(crate) fn read_plain(&self) -> Option<Sqe> {
        let rw_flags = self.rw_flags.load(Relaxed);
        let [_, flags, low, high] = self.head.load(Relaxed).to_ne_bytes();
        let [first, second, ..] = self.buffer.load(Relaxed).to_ne_bytes();
        let unused = u64::from(flags & bindings::IOIPC_SQE_BUFFER_SELECT)
            | u64::from(u16::from_ne_bytes([low, high]) | u16::from_ne_bytes([first, second]))
            | self.off.load(Relaxed)
            | self.addr3.load(Relaxed)
            | self.pad2.load(Relaxed);
        // The mask tells the compiler what it may leave out.
        (u64::from(rw_flags & !IOIPC_RECV_WAIT) | unused == 0)
            .then(|| self.rest(rw_flags & IOIPC_RECV_WAIT, 0, false))
    }

    /// Reads the fields that the opcodes use, each once. Checks `rw_flags`, and that the fields that are
    /// not used are zero: of these `addr3`, unless it is `with_exchange`, and those that
    /// [`Self::read_fds`] reads, unless it is `with_fds`.
    ///
    /// io_uring itself has checked `opcode`, `flags` and `personality`.
    ///
    /// # Errors
    ///
    /// `EINVAL`.
    pub(crate) fn read(
        &self,
        known_flags: u32,
        with_exchange: bool,
        with_fds: bool,
    ) -> Result<Sqe> {
        let rw_flags = self.rw_flags.load(Relaxed);
        let [_, flags, low, high] = self.head.load(Relaxed).to_ne_bytes();
        let selects_buffer = flags & bindings::IOIPC_SQE_BUFFER_SELECT != 0;
        let [first, second, ..] = self.buffer.load(Relaxed).to_ne_bytes();
        let buf_index = u16::from_ne_bytes([first, second]);
        let exchange = self.addr3.load(Relaxed);
        let mut unused = self.pad2.load(Relaxed);
        if !with_exchange {
            unused |= exchange;
        }
        if !with_fds {
            unused |= self.off.load(Relaxed) | u64::from(u16::from_ne_bytes([low, high]));
        }
        if unused != 0 || !are_known(rw_flags, known_flags, selects_buffer, buf_index) {
            return Err(EINVAL);
        }
        Ok(self.rest(rw_flags, exchange, selects_buffer))
    }

    /// Reads the other fields.
    #[inline(always)]
    fn rest(&self, rw_flags: u32, exchange: u64, selects_buffer: bool) -> Sqe {
        Sqe {
            fd: self.fd.load(Relaxed),
            addr: self.addr.load(Relaxed),
            len: self.len.load(Relaxed),
            rw_flags,
            user_data: self.user_data.load(Relaxed),
            file_index: self.file_index.load(Relaxed),
            exchange,
            selects_buffer,
        }
    }

    /// Where the array of descriptors is, and how many it has.
    ///
    /// # Errors
    ///
    /// `EINVAL` unless these are from 1 to [`IOIPC_MAX_FDS`].
    pub(crate) fn read_fds(&self) -> Result<(u64, u32)> {
        let [_, _, low, high] = self.head.load(Relaxed).to_ne_bytes();
        let count = u32::from(u16::from_ne_bytes([low, high]));
        if !(1..=IOIPC_MAX_FDS).contains(&count) {
            return Err(EINVAL);
        }
        Ok((self.off.load(Relaxed), count))
    }
}

/// Whether `rw_flags` are known, and say where the buffer is as the other fields do.
fn are_known(rw_flags: u32, known_flags: u32, selects_buffer: bool, buf_index: u16) -> bool {
    let is_fixed = rw_flags & IOIPC_FIXED_BUF != 0;
    rw_flags & !known_flags == 0
        && !(selects_buffer && is_fixed)
        && (buf_index == 0 || selects_buffer || is_fixed)
}

// A plain request of either opcode may wait.
const _: () = assert!(IOIPC_SEND_WAIT == IOIPC_RECV_WAIT);

/// What IPC_SEND and IPC_RECV use of an SQE.
pub(crate) struct Sqe {
    pub(crate) fd: i32,
    pub(crate) addr: u64,
    pub(crate) len: u32,
    pub(crate) rw_flags: u32,
    pub(crate) user_data: u64,
    pub(crate) file_index: u32,
    /// Where the `Exchange` is, if there is one.
    pub(crate) exchange: u64,
    /// Whether io_uring selects the buffer.
    pub(crate) selects_buffer: bool,
}
