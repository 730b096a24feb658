// SPDX-License-Identifier: MIT

//! Numbers that processes share.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Numbers, at first 0, that are the same in this process and in its children.
pub struct Shared {
    numbers: &'static [AtomicU64],
}

impl Shared {
    pub fn new(count: usize) -> Self {
        let len = count * size_of::<AtomicU64>();
        let (access, flags) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
        );
        // SAFETY: This maps new memory.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, access, flags, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED);
        // SAFETY: The memory has as many integers, and stays.
        let numbers = unsafe { std::slice::from_raw_parts(start.cast(), count) };
        Self { numbers }
    }

    pub fn add(&self, place: usize, number: u64) {
        self.numbers[place].fetch_add(number, Ordering::SeqCst);
    }

    pub fn get(&self, place: usize) -> u64 {
        self.numbers[place].load(Ordering::SeqCst)
    }

    /// Waits until a number is at least this one.
    pub async fn wait(&self, place: usize, least: u64) {
        while self.get(place) < least {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
