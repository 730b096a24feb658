// SPDX-License-Identifier: MIT

//! Tests that need channels: a program for a guest, see `tests/run`. Prints TAP.

mod asynchronous;
mod blocking;
mod peers;
mod process;

use std::panic::{catch_unwind, AssertUnwindSafe};

/// A test: its name, and what fails by a panic.
type Test = (&'static str, fn());

fn main() {
    let tests: Vec<Test> = [blocking::TESTS, peers::TESTS, asynchronous::TESTS].concat();
    println!("1..{}", tests.len());
    let mut failed = 0;
    for (name, test) in tests {
        if catch_unwind(AssertUnwindSafe(test)).is_ok() {
            println!("ok - {name}");
        } else {
            println!("not ok - {name}");
            failed += 1;
        }
    }
    std::process::exit(i32::from(failed > 0));
}
