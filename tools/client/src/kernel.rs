// SPDX-License-Identifier: MIT

//! What the kernel can do.

use std::ptr::from_mut;

use crate::{
    error::{Error, Result},
    ring::register,
    sys,
};

/// What the running kernel and its module permit.
///
/// ```no_run
/// let limits = io_uring_ipc::Limits::of_kernel()?;
/// println!("the largest message has {} bytes", limits.max_message);
/// # Ok::<(), io_uring_ipc::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How many messages a channel can hold.
    pub max_entries: u32,
    /// The length of the largest message in bytes, in one entry.
    pub max_message: u32,
    /// The same in a channel with [`Options::slot_size`](crate::Options::slot_size), or 0 if the
    /// kernel does not have those.
    pub max_large_message: u32,
    /// How many subscribers a channel can have.
    pub max_subscribers: u32,
    /// How many messages [`Sender::send_vec`](crate::Sender::send_vec) sends with one system call.
    pub max_vec: u32,
    /// The length of the longest name in bytes.
    pub max_name: u32,
}

impl Limits {
    /// Asks the kernel.
    ///
    /// ```no_run
    /// let limits = io_uring_ipc::Limits::of_kernel()?;
    /// # Ok::<(), io_uring_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoModule`] if the module is not loaded, or if the kernel cannot have it;
    /// [`Error::NoKernel`] if the kernel cannot be asked; [`Error::NoIoUring`]; [`Error::Os`].
    pub fn of_kernel() -> Result<Self> {
        let mut query = sys::Query::default();
        let mut header = sys::QueryHeader {
            next_entry: 0,
            query_data: from_mut(&mut query).addr() as u64,
            query_op: sys::QUERY,
            size: sys::Query::SIZE,
            result: 0,
            reserved: [0; 3],
        };
        // SAFETY: The command takes a header, whose address of the answer is valid. It needs no
        // ring.
        let asked = unsafe { register(-1, sys::REGISTER_QUERY, from_mut(&mut header).cast(), 0) };
        let failed = match asked {
            Ok(()) => header.result.saturating_neg(),
            Err(errno) => errno,
        };
        match failed {
            0 => Ok(Self {
                max_entries: query.max_ring_entries,
                max_message: query.max_msg_size,
                max_large_message: query.max_large_msg_size,
                max_subscribers: query.max_subscribers,
                max_vec: query.max_vec,
                max_name: query.max_name,
            }),
            libc::EINVAL => Err(Error::NoKernel),
            libc::EPERM | libc::ENOSYS => {
                Err(Error::NoIoUring(std::io::Error::from_raw_os_error(failed)))
            }
            errno => Err(Error::new(errno, Error::NoModule)),
        }
    }
}
