// SPDX-License-Identifier: MIT

//! `ioipc doctor`

use std::fs;

use io_uring_ipc::{Channel, Error, Limits, Options};
use serde::Serialize;

use crate::{
    failure::{Failure, NO_KERNEL},
    output::Output,
};

/// How a check ends.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    /// Something works only for others.
    Note,
    Bad,
}

#[derive(Serialize)]
struct Check {
    #[serde(rename = "check")]
    what: &'static str,
    state: State,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cure: Option<String>,
}

fn check(what: &'static str, state: State, found: impl Into<String>, cure: &str) -> Check {
    Check {
        what,
        state,
        found: found.into(),
        cure: (state != State::Ok).then(|| cure.into()),
    }
}

pub(crate) fn run(out: &mut Output) -> Result<(), Failure> {
    let checks = [
        io_uring(),
        kernel(),
        channel(),
        memory(),
        seccomp(),
        all_channels(),
        tracepoints(),
        namespace(),
    ];
    let mut bad = 0;
    for check in &checks {
        let word = match check.state {
            State::Ok => "ok",
            State::Note => "note",
            State::Bad => "BAD",
        };
        bad += u32::from(check.state == State::Bad);
        let cure = check
            .cure
            .as_ref()
            .map_or(String::new(), |cure| format!("; {cure}"));
        out.either(
            check,
            format!("{word:<5}{:<12}{}{cure}", check.what, check.found),
        )?;
    }
    if bad == 0 {
        return Ok(());
    }
    Err(Failure::new(
        NO_KERNEL,
        format!("channels do not work here: {bad} checks failed"),
    ))
}

fn read(path: &str) -> String {
    fs::read_to_string(path).map_or(String::new(), |text| text.trim().into())
}

/// A line of a file of the kernel, without its first word.
fn line_of(path: &str, first: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(first))?;
    Some(line.trim().into())
}

fn io_uring() -> Check {
    let disabled = read("/proc/sys/kernel/io_uring_disabled");
    let cure = match &*disabled {
        "1" => "join the group of sysctl kernel.io_uring_group, or run `sysctl kernel.io_uring_disabled=0`",
        "2" => "run `sysctl kernel.io_uring_disabled=0`",
        _ => "permit io_uring_setup, io_uring_enter and io_uring_register in the seccomp filter of the container",
    };
    match io_uring_ipc::Poster::new() {
        Ok(_) => check("io_uring", State::Ok, "this process may use it", ""),
        Err(error) => check("io_uring", State::Bad, error.to_string(), cure),
    }
}

fn kernel() -> Check {
    let release = read("/proc/sys/kernel/osrelease");
    match Limits::of_kernel() {
        Ok(limits) => {
            let found = format!(
                "Linux {release} with the module: {} messages of {} bytes, {} subscribers, names of {} bytes at most",
                limits.max_entries, limits.max_message, limits.max_subscribers, limits.max_name
            );
            check("kernel", State::Ok, found, "")
        }
        // A kernel without the patches can have queries too.
        Err(error) => match Channel::create(&Options::unicast(1, 1)) {
            Err(Error::NoModule) => {
                let found =
                    format!("Linux {release} has the patches, and the module is not loaded");
                check("kernel", State::Bad, found, "run `modprobe io_uring_ipc`")
            }
            Err(Error::NoKernel) => {
                let found = format!("Linux {release} does not have the patches");
                check(
                    "kernel",
                    State::Bad,
                    found,
                    "boot a kernel that has them: docs/building.md",
                )
            }
            _ => check(
                "kernel",
                State::Bad,
                format!("Linux {release}: {error}"),
                "see the line before",
            ),
        },
    }
}

/// A message goes through a channel.
fn channel() -> Check {
    let message = || {
        let channel = Channel::create(&Options::broadcast(4, 64))?;
        let mut receiver = channel.receiver()?;
        channel.sender()?.send(b"hello")?;
        Ok(receiver.try_recv()?.data == b"hello")
    };
    match message() {
        Ok(true) => check("channel", State::Ok, "a message went through a channel", ""),
        Ok(false) => check(
            "channel",
            State::Bad,
            "a message came out wrong",
            "report this",
        ),
        Err(error) => {
            let error: Error = error;
            check(
                "channel",
                State::Bad,
                format!("no message went through a channel: {error}"),
                "see the other lines",
            )
        }
    }
}

fn memory() -> Check {
    let limit = line_of("/proc/self/limits", "Max locked memory").unwrap_or_default();
    let soft = limit.split_whitespace().next().unwrap_or("unknown");
    let found = format!("the channels of this user may have {soft} bytes (RLIMIT_MEMLOCK)");
    match soft.parse::<u64>() {
        Ok(bytes) if bytes < 1 << 20 => check(
            "memory",
            State::Note,
            found,
            "raise it with `ulimit -l`, or in /etc/security/limits.conf",
        ),
        _ => check("memory", State::Ok, found, ""),
    }
}

fn seccomp() -> Check {
    match line_of("/proc/self/status", "Seccomp:").as_deref() {
        Some("0") | None => check("seccomp", State::Ok, "there is no filter", ""),
        Some(_) => check(
            "seccomp",
            State::Note,
            "this process has a filter",
            "if requests fail, see docs/containers.md",
        ),
    }
}

fn all_channels() -> Check {
    match fs::File::open("/sys/kernel/debug/io_uring_ipc/channels") {
        Ok(_) => check("ls, top", State::Ok, "they show all channels", ""),
        Err(error) => check(
            "ls, top",
            State::Note,
            format!("they show only channels that your processes use (debugfs: {error})"),
            "run them as root to see all",
        ),
    }
}

fn tracepoints() -> Check {
    match fs::exists("/sys/kernel/tracing/events/io_uring_ipc") {
        Ok(true) => check("watch", State::Ok, "the tracepoints are there", ""),
        _ => check(
            "watch",
            State::Note,
            "this user does not see the tracepoints",
            "run it as root, with the module loaded and tracefs mounted on /sys/kernel/tracing",
        ),
    }
}

fn namespace() -> Check {
    let link = fs::read_link("/proc/self/ns/ipc").unwrap_or_default();
    let found = format!(
        "other processes find a channel only in the same one, here {}",
        link.display()
    );
    check("namespace", State::Ok, found, "")
}
