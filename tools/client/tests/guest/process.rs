// SPDX-License-Identifier: MIT

//! Other processes and threads.

use std::{
    panic::{catch_unwind, AssertUnwindSafe},
    path::Path,
};

/// Another process.
pub struct Child {
    pid: libc::pid_t,
}

impl Child {
    /// Starts a process that runs a function. The caller has only one thread.
    pub fn start(run: impl FnOnce()) -> Self {
        // SAFETY: There is no other thread that could hold a lock.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0);
        if pid == 0 {
            let is_ok = catch_unwind(AssertUnwindSafe(run)).is_ok();
            // SAFETY: This ends the process at once, without what its parent has to do at its end.
            unsafe { libc::_exit(i32::from(!is_ok)) };
        }
        Self { pid }
    }

    /// The number of the process.
    pub fn pid(&self) -> u32 {
        self.pid.unsigned_abs()
    }

    /// Waits until the process ends well.
    pub fn join(self) {
        let mut status = 0;
        // SAFETY: The status is an integer of ours.
        let ended = unsafe { libc::waitpid(self.pid, &raw mut status, 0) };
        assert_eq!((ended, status), (self.pid, 0));
    }
}

/// The number of the calling thread.
pub fn thread_id() -> libc::pid_t {
    // SAFETY: The call has no memory.
    unsafe { libc::gettid() }
}

/// Returns when a thread of this process sleeps in a system call with this number.
pub fn wait_until_in(thread: libc::pid_t, call: libc::c_long) {
    let path = format!("/proc/self/task/{thread}/syscall");
    wait_until(&path, &call.to_string());
}

/// Returns when the first word of a file is this one.
fn wait_until(path: impl AsRef<Path>, word: &str) {
    while std::fs::read_to_string(&path)
        .unwrap()
        .split_whitespace()
        .next()
        != Some(word)
    {
        std::thread::yield_now();
    }
}

/// Gives up all rights.
pub fn become_nobody() {
    // SAFETY: There are no groups to read.
    assert_eq!(unsafe { libc::setgroups(0, std::ptr::null()) }, 0);
    // SAFETY: The call has no memory.
    assert_eq!(unsafe { libc::setgid(65534) }, 0);
    // SAFETY: The call has no memory.
    assert_eq!(unsafe { libc::setuid(65534) }, 0);
}
