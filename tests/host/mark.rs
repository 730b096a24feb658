// SPDX-License-Identifier: GPL-2.0

//! Tests of the mark that says that somebody may be waiting.

#![cfg(not(loom))]

use std::sync::atomic::{AtomicU32, Ordering};

use host::{memory::TestMemory, ring::Ring};

/// Lets somebody look at a mark for whom `wake` returns one result after the other. Returns how
/// many of them were asked for, and the mark after that.
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

/// Without a mark nobody is looked for.
#[test]
fn no_mark() {
    assert_eq!(wake_marked(&AtomicU32::new(0), &[]), (0, 0));
}

/// As long as somebody waits, the mark stays.
#[test]
fn somebody_waits() {
    let mark = AtomicU32::new(0);
    for _ in 0..2 {
        Ring::<TestMemory>::mark_waiting(&mark);
        assert_eq!(wake_marked(&mark, &[true]), (1, 1));
    }
}

/// When nobody waits, the mark is taken back.
#[test]
fn nobody_waits() {
    let mark = AtomicU32::new(0);
    Ring::<TestMemory>::mark_waiting(&mark);
    assert_eq!(wake_marked(&mark, &[false, false]), (2, 0));
    assert_eq!(wake_marked(&mark, &[]), (0, 0));
}

/// When somebody comes meanwhile, there is a mark again, and one more look after that.
#[test]
fn somebody_comes() {
    let mark = AtomicU32::new(0);
    Ring::<TestMemory>::mark_waiting(&mark);
    assert_eq!(wake_marked(&mark, &[false, true, true]), (3, 1));
}
