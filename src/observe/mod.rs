// SPDX-License-Identifier: GPL-2.0

//! What administrators see of channels.

pub(crate) mod counters;
pub(crate) mod debugfs;
pub(crate) mod refusal;
pub(crate) mod trace;
