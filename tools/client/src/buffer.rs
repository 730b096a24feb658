// SPDX-License-Identifier: MIT

//! The buffer that messages are received into.

use crate::{
    endpoint::Endpoint,
    error::{Error, Result},
    message::{Bundle, Message},
    region::Region,
    sys,
};

/// A buffer. It has words, so that messages are aligned to 8 bytes.
pub(crate) struct Buffer {
    words: Vec<u64>,
}

impl Buffer {
    /// A buffer of so many bytes, or of 64 KiB for 0, that has room for each message of the
    /// subscriber's channel.
    pub(crate) fn for_channel(endpoint: &Endpoint, bytes: usize) -> Result<Self> {
        // A receiver that cannot map the channel does not learn the length of the largest message.
        // What it does not use of the buffer takes no memory.
        let largest = match Region::largest_message(endpoint) {
            Ok(len) => len,
            Err(Error::NotInPlace) => sys::MAX_LARGE_MSG_SIZE as usize,
            Err(error) => return Err(error),
        };
        let wanted = if bytes == 0 { 64 << 10 } else { bytes };
        let len = wanted.max(size_of::<sys::MsgInfo>() + largest);
        Ok(Self {
            words: vec![0; len.div_ceil(size_of::<u64>())],
        })
    }

    /// Receives into the buffer, and returns how many bytes of it are used.
    pub(crate) fn fill(&mut self, endpoint: &mut Endpoint, flags: u32) -> Result<usize> {
        let sqe = self.request(flags);
        // SAFETY: The buffer is ours alone until `run` returns.
        unsafe { endpoint.run(sqe) }
    }

    /// Receives one message and its files, and returns how many bytes of the buffer are used.
    #[cfg(feature = "zbus")]
    pub(crate) fn fill_with_files(
        &mut self,
        endpoint: &mut Endpoint,
    ) -> Result<(usize, Vec<std::os::fd::OwnedFd>)> {
        use std::os::fd::{FromRawFd, OwnedFd};

        let mut files = [-1; sys::MAX_FDS as usize];
        let sqe = sys::Sqe {
            off: files.as_mut_ptr().addr() as u64,
            ioprio: sys::MAX_FDS,
            ..self.request(sys::RECV_FDS)
        };
        // SAFETY: The buffer and the array are ours alone until `run` returns.
        let len = unsafe { endpoint.run(sqe) }?;
        let count = self.bundle(len).next_header().map_or(0, |info| info.fds);
        let files = files.into_iter().take(count as usize);
        // SAFETY: The kernel has opened as many descriptors for us.
        let files = files.map(|file| unsafe { OwnedFd::from_raw_fd(file) });
        Ok((len, files.collect()))
    }

    fn request(&mut self, flags: u32) -> sys::Sqe {
        sys::Sqe {
            opcode: sys::OP_RECV,
            addr: self.words.as_mut_ptr().addr() as u64,
            // No buffer needs more: the kernel would not use it.
            len: u32::try_from(size_of_val(&*self.words)).unwrap_or(1 << 31),
            rw_flags: flags | sys::RECV_INFO,
            ..sys::Sqe::default()
        }
    }

    /// The messages in the first bytes of the buffer.
    pub(crate) fn bundle(&self, len: usize) -> Bundle<'_> {
        Bundle::new(self.bytes(len))
    }

    /// The message in the first bytes of the buffer.
    pub(crate) fn message(&self, len: usize) -> Result<Message<&[u8]>> {
        self.bundle(len).next().ok_or(Error::Invalid)
    }

    fn bytes(&self, len: usize) -> &[u8] {
        let len = len.min(size_of_val(&*self.words));
        // SAFETY: The buffer has as many bytes, and all bytes of integers are initialized.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr().cast(), len) }
    }
}
