// SPDX-License-Identifier: GPL-2.0

//! Tracepoints of the module.
//!
//! The kernel crate's `declare_trace!` is for tracepoints of the kernel itself, and evaluates the
//! arguments also if tracing is off.

/// Declares safe functions for tracepoints with plain numbers, which a C file with
/// `CREATE_RUST_TRACE_POINTS` defines. Each function takes a closure, and calls it only if
/// tracing is on. As long as it is off, a call is a static branch that is not taken.
///
/// # Examples
///
/// ```ignore
/// tracepoints! {
///     /// A channel is destroyed.
///     fn destroy(channel: u32);
/// }
///
/// destroy(|| (channel.id(),));
/// ```
macro_rules! tracepoints {
    ($($(#[$doc:meta])* fn $name:ident($($argument:ident: $type:ty),*);)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name(arguments: impl FnOnce() -> ($($type,)*)) {
            #[cfg(CONFIG_TRACEPOINTS)]
            kernel::macros::paste! {
                // SAFETY: This is the key of a tracepoint that C defines.
                let wanted = unsafe {
                    kernel::jump_label::static_branch_unlikely!(
                        $crate::kernel::bindings::[< __tracepoint_ioipc_ $name >],
                        $crate::kernel::bindings::tracepoint,
                        key
                    )
                };
                if wanted {
                    let ($($argument,)*) = arguments();
                    // SAFETY: There are no requirements: the arguments are numbers.
                    unsafe {
                        $crate::kernel::bindings::[< rust_do_trace_ioipc_ $name >]($($argument),*)
                    };
                }
            }
            #[cfg(not(CONFIG_TRACEPOINTS))]
            let _ = arguments;
        }
    )*};
}
pub(crate) use tracepoints;
