// SPDX-License-Identifier: GPL-2.0

//! Tests of the mark of the queues: it is set if a request may be waiting.

#![cfg(not(loom))]

use std::sync::atomic::{AtomicU32, Ordering};

use host::{memory::TestMemory, ring::Ring};

/// Lets a waker look at a mark; `wake` returns one of `results` at each call. Returns the number of
/// calls, and the mark after that.
fn wake_marked(mark: &AtomicU32, results: &[bool]) -> (usize, u32) {
    let count = std::cell::Cell::new(0);
    let wake = || {
        count.set(count.get() + 1);
        results[count.get() - 1]
    };
    Ring::<TestMemory>::wake_marked(mark, wake, || {
        wake();
    });
    (count.get(), mark.load(Ordering::Relaxed))
}

/// Without a mark a waker looks at no queue.
#[test]
fn no_mark() {
    assert_eq!(wake_marked(&AtomicU32::new(0), &[]), (0, 0));
}

/// The mark stays as long as a request waits.
#[test]
fn somebody_waits() {
    let mark = AtomicU32::new(0);
    for _ in 0..2 {
        Ring::<TestMemory>::mark_waiting(&mark);
        assert_eq!(wake_marked(&mark, &[true]), (1, 1));
    }
}

/// When no request waits, the waker clears the mark.
#[test]
fn nobody_waits() {
    let mark = AtomicU32::new(0);
    Ring::<TestMemory>::mark_waiting(&mark);
    assert_eq!(wake_marked(&mark, &[false, false]), (2, 0));
    assert_eq!(wake_marked(&mark, &[]), (0, 0));
}

/// When a request enters a queue meanwhile, the waker sets the mark again and looks once more.
#[test]
fn somebody_comes() {
    let mark = AtomicU32::new(0);
    Ring::<TestMemory>::mark_waiting(&mark);
    assert_eq!(wake_marked(&mark, &[false, true, true]), (3, 1));
}
