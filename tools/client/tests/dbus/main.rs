// SPDX-License-Identifier: MIT

//! A D-Bus service and its clients over a socket and a channel: the same program with two addresses.
//! The tests print TAP.

#[path = "../guest/process.rs"]
#[allow(dead_code)]
mod process;
mod service;
mod shared;
mod tests;

fn main() {
    tests::run();
}
