// SPDX-License-Identifier: GPL-2.0

//! What the kernel crate lacks.

pub(crate) mod alloc;
pub(crate) mod arc_cell;
pub(crate) mod bindings;
pub(crate) mod callback;
pub(crate) mod compat;
pub(crate) mod fds;
pub(crate) mod file;
pub(crate) mod identity;
pub(crate) mod later;
pub(crate) mod log;
pub(crate) mod mapping;
pub(crate) mod paired;
pub(crate) mod parked;
pub(crate) mod percpu;
pub(crate) mod pointer;
pub(crate) mod rcu;
pub(crate) mod rcu_cell;
pub(crate) mod rcu_xarray;
pub(crate) mod seq_table;
pub(crate) mod tracepoint;
pub(crate) mod wait;
