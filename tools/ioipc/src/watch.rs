// SPDX-License-Identifier: MIT

//! `ioipc watch`: the tracepoints, in words.

use std::{
    collections::HashMap,
    fs,
    io::{ErrorKind, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    thread::sleep,
    time::Duration,
};

use serde_json::{json, Map, Value};
use signal_hook::consts::TERM_SIGNALS;

use crate::{
    cli::Watch,
    failure::{Failure, INTERRUPTED, NO_KERNEL},
    finding::number_of,
    output::Output,
    table::Table,
};

const TRACING: &str = "/sys/kernel/tracing";

/// Tracing of our own, beside that of others. It ends when this is dropped.
struct Instance {
    path: PathBuf,
}

impl Instance {
    fn new(channel: Option<u32>) -> Result<Self, Failure> {
        let instances = Path::new(TRACING).join("instances");
        let about = |what: &Path, error| Failure::from(error).about(what.display());
        if !fs::exists(&instances).map_err(|error| about(&instances, error))? {
            let text = format!(
                "the kernel shows no tracepoints: run `mount -t tracefs tracefs {TRACING}`"
            );
            return Err(Failure::new(NO_KERNEL, text));
        }
        remove_left(&instances);
        let path = instances.join(format!("ioipc-{}", std::process::id()));
        fs::create_dir(&path).map_err(|error| about(&path, error))?;
        let instance = Self { path };
        let events = instance.path.join("events/io_uring_ipc");
        if !fs::exists(&events)? {
            let text = "the kernel module is not loaded, or has no tracepoints: run `ioipc doctor`";
            return Err(Failure::new(NO_KERNEL, text));
        }
        let write = |file: &str, text: String| {
            let path = events.join(file);
            fs::write(&path, text).map_err(|error| about(&path, error))
        };
        if let Some(channel) = channel {
            write("filter", format!("channel == {channel}"))?;
        }
        write("enable", "1".into())?;
        Ok(instance)
    }

    /// The file with the events. Reading it does not wait.
    fn events(&self) -> Result<fs::File, Failure> {
        let mut options = fs::OpenOptions::new();
        options.read(true).custom_flags(libc::O_NONBLOCK);
        Ok(options.open(self.path.join("trace_pipe"))?)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // The directory has no files that could be removed one by one.
        let _ = fs::remove_dir(&self.path);
    }
}

/// Removes what processes have left that were killed.
fn remove_left(instances: &Path) {
    for entry in fs::read_dir(instances).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix("ioipc-"));
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// An event of the kernel, such as
/// `show-58 [000] ..... 3.430107: ioipc_lost: channel=1 subscriber=5 msg_id=85`.
struct Event<'a> {
    task: &'a str,
    time: &'a str,
    what: &'a str,
    fields: HashMap<&'a str, &'a str>,
}

impl<'a> Event<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (head, rest) = line.split_once(": ioipc_")?;
        let (what, fields) = rest.split_once(": ")?;
        Some(Self {
            task: head.split_once(" [")?.0.trim(),
            time: head.split_whitespace().last()?,
            what,
            fields: fields
                .split_whitespace()
                .filter_map(|field| field.split_once('='))
                .collect(),
        })
    }

    fn field(&self, name: &str) -> &'a str {
        self.fields.get(name).copied().unwrap_or("")
    }

    /// A sentence. `title` is what the channel is called.
    fn sentence(&self, title: &str) -> String {
        let field = |name| self.field(name);
        let sender = match field("sender") {
            "0" => "a sender without subscriber".into(),
            id => format!("subscriber {id}"),
        };
        match self.what {
            "create" => format!(
                "channel {} is created as {title}: {} messages of {} bytes, mode {}, {}",
                field("channel"),
                field("entries"),
                field("max_msg_size"),
                field("mode"),
                words(field("flags"), "unicast"),
            ),
            "destroy" => format!("{title} is destroyed"),
            "attach" => format!(
                "subscriber {} attaches to {title}: {}",
                field("subscriber"),
                words(field("flags"), "nothing")
            ),
            "detach" => format!("subscriber {} leaves {title}", field("subscriber")),
            "send" => {
                let target = match field("target") {
                    "0" => String::new(),
                    id => format!(", for subscriber {id} alone"),
                };
                format!(
                    "{sender} sends message {} of {} bytes to {title}{target}",
                    field("msg_id"),
                    field("len")
                )
            }
            "files" => format!(
                "message {} to {title} carries {} files",
                field("msg_id"),
                field("count")
            ),
            "answer" => format!(
                "subscriber {} answers call {} of subscriber {} in {title} with {} bytes",
                field("subscriber"),
                field("msg_id"),
                field("caller"),
                field("len")
            ),
            "receive" => format!(
                "subscriber {} receives message {} of {} bytes from {title}",
                field("subscriber"),
                field("msg_id"),
                field("len")
            ),
            "full" => {
                let end = if field("waits") == "1" {
                    "waits"
                } else {
                    "fails"
                };
                let holder = match field("holder") {
                    "0" => String::new(),
                    id => format!(", most of it is held by subscriber {id}"),
                };
                format!("{title} is full, {sender} {end}{holder}")
            }
            "lost" => format!(
                "subscriber {} loses message {} of {title}: it is overwritten",
                field("subscriber"),
                field("msg_id")
            ),
            "wake" => {
                let requests = field("requests");
                match field("subscriber") {
                    "0" => format!("{requests} requests that wait for room in {title} are woken"),
                    id => format!("{requests} requests of subscriber {id} of {title} are woken"),
                }
            }
            other => {
                let mut fields: Vec<_> = self.fields.iter().collect();
                fields.sort_unstable();
                let fields = fields
                    .iter()
                    .map(|(name, value)| format!(" {name}={value}"));
                format!("{other}:{}", fields.collect::<String>())
            }
        }
    }

    fn json(&self, title: &str) -> Value {
        let number = |text: &str| {
            text.parse::<u64>()
                .map_or_else(|_| json!(text), |number| json!(number))
        };
        let mut object = Map::new();
        object.insert("event".into(), json!(self.what));
        object.insert(
            "time".into(),
            self.time
                .parse::<f64>()
                .map_or(Value::Null, |time| json!(time)),
        );
        object.insert("task".into(), json!(self.task));
        object.insert("title".into(), json!(title));
        let fields = self.fields.iter().filter(|(_, value)| !value.is_empty());
        object.extend(fields.map(|(&name, &value)| {
            // These look like numbers and are none.
            let is_word = ["mode", "flags", "name"].contains(&name);
            (
                name.to_string(),
                if is_word { json!(value) } else { number(value) },
            )
        }));
        Value::Object(object)
    }
}

/// `BROADCAST|PRIVATE` in words.
fn words(flags: &str, none: &str) -> String {
    if flags.is_empty() {
        return none.into();
    }
    flags
        .to_lowercase()
        .replace('|', ", ")
        .replace("recv", "receive")
}

pub(crate) fn run(options: &Watch, out: &mut Output) -> Result<(), Failure> {
    let channel = options.channel.as_ref().map(number_of).transpose()?;
    let stop = Arc::new(AtomicBool::new(false));
    for &signal in TERM_SIGNALS {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let instance = Instance::new(channel)?;
    let mut titles: HashMap<String, String> = HashMap::new();
    for channel in Table::read()?.channels {
        titles.insert(channel.id.to_string(), channel.title());
    }
    follow(&instance, &mut titles, options, &stop, out)
}

fn follow(
    instance: &Instance,
    titles: &mut HashMap<String, String>,
    options: &Watch,
    stop: &AtomicBool,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut events = instance.events()?;
    // A reader of standard output can tell that all that follows will be seen.
    eprintln!("ioipc: watching");
    let mut left = options.count.unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 << 10];
    while left > 0 {
        if stop.load(Ordering::Relaxed) {
            return Err(Failure::new(INTERRUPTED, ""));
        }
        match events.read(&mut chunk) {
            Ok(len) => bytes.extend_from_slice(&chunk[..len]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                sleep(Duration::from_millis(50));
                continue;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        }
        let Some(end) = bytes.iter().rposition(|&byte| byte == b'\n') else {
            continue;
        };
        for line in String::from_utf8_lossy(&bytes[..end]).lines() {
            if left == 0 {
                break;
            }
            if let Some(event) = Event::parse(line) {
                print(&event, titles, out)?;
                left -= 1;
            } else {
                eprintln!("ioipc: {}", line.trim());
            }
        }
        bytes.drain(..=end);
        out.flush()?;
    }
    Ok(())
}

fn print(
    event: &Event<'_>,
    titles: &mut HashMap<String, String>,
    out: &mut Output,
) -> Result<(), Failure> {
    let id = event.field("channel");
    if event.what == "create" && !event.field("name").is_empty() {
        titles.insert(id.into(), event.field("name").into());
    }
    let unnamed = format!("id:{id}");
    let title = titles.get(id).unwrap_or(&unnamed);
    if out.is_json {
        return out.json(&event.json(title));
    }
    out.line(format!(
        "{:>14}  {:<20}  {}",
        event.time,
        event.task,
        event.sentence(title)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentence(event: &str) -> String {
        let line = format!("   a task-58      [000] .....     3.430107: {event}");
        let event = Event::parse(&line).unwrap();
        assert_eq!((event.task, event.time), ("a task-58", "3.430107"));
        event.sentence("bus")
    }

    #[test]
    fn sentences() {
        let cases = [
            (
                "ioipc_create: channel=1 flags=BROADCAST|OVERWRITE mode=0600 entries=4 max_msg_size=8 name=bus",
                "channel 1 is created as bus: 4 messages of 8 bytes, mode 0600, broadcast, overwrite",
            ),
            ("ioipc_attach: channel=1 subscriber=4 flags=SEND|RECV", "subscriber 4 attaches to bus: send, receive"),
            ("ioipc_detach: channel=1 subscriber=4", "subscriber 4 leaves bus"),
            ("ioipc_destroy: channel=1", "bus is destroyed"),
            (
                "ioipc_send: channel=1 sender=3 target=0 msg_id=101 len=8",
                "subscriber 3 sends message 101 of 8 bytes to bus",
            ),
            (
                "ioipc_send: channel=1 sender=0 target=4 msg_id=1 len=0",
                "a sender without subscriber sends message 1 of 0 bytes to bus, for subscriber 4 alone",
            ),
            (
                "ioipc_receive: channel=1 subscriber=4 msg_id=101 len=8",
                "subscriber 4 receives message 101 of 8 bytes from bus",
            ),
            (
                "ioipc_full: channel=2 sender=6 waits=0 holder=6",
                "bus is full, subscriber 6 fails, most of it is held by subscriber 6",
            ),
            ("ioipc_files: channel=1 msg_id=102 count=2", "message 102 to bus carries 2 files"),
            (
                "ioipc_answer: channel=1 subscriber=4 caller=3 msg_id=103 len=8",
                "subscriber 4 answers call 103 of subscriber 3 in bus with 8 bytes",
            ),
            ("ioipc_full: channel=2 sender=6 waits=1 holder=0", "bus is full, subscriber 6 waits"),
            (
                "ioipc_lost: channel=1 subscriber=5 msg_id=85",
                "subscriber 5 loses message 85 of bus: it is overwritten",
            ),
            ("ioipc_wake: channel=1 subscriber=4 requests=1", "1 requests of subscriber 4 of bus are woken"),
            ("ioipc_wake: channel=1 subscriber=0 requests=2", "2 requests that wait for room in bus are woken"),
            ("ioipc_new: channel=1 x=2", "new: channel=1 x=2"),
        ];
        for (event, expected) in cases {
            assert_eq!(sentence(event), expected);
        }
    }

    #[test]
    fn other_lines() {
        assert!(Event::parse("CPU:1 [LOST 5 EVENTS]").is_none());
        assert!(Event::parse("").is_none());
    }

    #[test]
    fn objects() {
        let event =
            Event::parse("t-1 [000] ..... 2.5: ioipc_create: channel=1 flags= mode=0600 name=7")
                .unwrap();
        let expected = json!({
            "event": "create", "time": 2.5, "task": "t-1", "title": "7",
            "channel": 1, "mode": "0600", "name": "7",
        });
        assert_eq!(event.json("7"), expected);
    }
}
