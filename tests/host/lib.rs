// SPDX-License-Identifier: GPL-2.0

//! The ring of the module, compiled for the host, with the helpers that its tests share.
//!
//! With `--cfg loom` the atomics and the messages are loom's, otherwise those of `std`.

#[path = "../../src/ring/mod.rs"]
pub mod ring;

pub mod channel;
pub mod memory;
pub mod parking;
#[cfg(loom)]
pub mod waiting;

/// Positions to start with: 0, and two where positions wrap soon, as unsigned and as signed
/// numbers.
pub const STARTS: [u32; 3] = [0, u32::MAX - 3, i32::MAX as u32 - 3];

/// Sizes and first positions of rings to test.
pub fn rings() -> impl Iterator<Item = (u32, u32)> {
    [1, 2, 8]
        .into_iter()
        .flat_map(|entries| STARTS.map(|start| (entries, start)))
}
