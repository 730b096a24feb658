// SPDX-License-Identifier: MIT

//! `ioipc ls` and `ioipc show`

use std::{thread::sleep, time::Duration};

use crate::{
    cli::{Ls, One},
    failure::{Failure, MISSING},
    finding::number_of,
    output::Output,
    table::{shown, user, Channel, Subscriber, Table},
};

/// The columns with words.
pub(crate) const WORDS: &[&str] = &["CHANNEL", "KIND", "OWNER", "MODE", "SLOWEST", "FLAGS"];

pub(crate) fn all(options: &Ls, out: &mut Output) -> Result<(), Failure> {
    let mut channels = Table::read_and_tell()?.channels;
    if options.rates {
        let second = Duration::from_secs(1);
        let before = channels;
        sleep(second);
        channels = with_rates(&Table::read()?.channels, &before, second);
    }
    if out.is_json {
        for channel in &channels {
            out.json(channel)?;
        }
    } else {
        out.table(WORDS, &rows(&channels))?;
    }
    out.flush()
}

/// The same channels with what happened in a second in place of the counters.
pub(crate) fn with_rates(now: &[Channel], before: &[Channel], time: Duration) -> Vec<Channel> {
    let seconds = time.as_secs_f64();
    let mut channels = now.to_vec();
    for channel in &mut channels {
        let old = before.iter().find(|old| old.id == channel.id);
        let counters = old.map(|old| old.counters).unwrap_or_default();
        channel.counters = channel.counters.rates(&counters, seconds);
        for subscriber in &mut channel.subscribers {
            let old =
                old.and_then(|old| old.subscribers.iter().find(|old| old.id == subscriber.id));
            let counters = old.map(|old| old.counters).unwrap_or_default();
            subscriber.counters = subscriber.counters.rates(&counters, seconds);
        }
    }
    channels
}

/// A row for each channel, after the headings.
pub(crate) fn rows(channels: &[Channel]) -> Vec<Vec<String>> {
    let headings = [
        "CHANNEL", "ID", "KIND", "OWNER", "MODE", "FILL", "SENT", "RECEIVED", "LOST", "FULL",
        "WAITS", "SUBS", "SLOWEST",
    ];
    let row = |channel: &Channel| {
        let counters = &channel.counters;
        let slowest = channel.slowest();
        vec![
            channel.title(),
            channel.id.to_string(),
            channel.kind.clone(),
            shown(channel.owner.map(user)),
            shown(channel.mode.as_ref()),
            fill(channel),
            shown(counters.sent),
            shown(counters.received),
            shown(counters.lost),
            shown(counters.full),
            shown(counters.waits),
            channel.subscribers.len().to_string(),
            shown(slowest.map(|one| format!("{} ({} behind)", one.id, one.behind()))),
        ]
    };
    let mut rows = vec![headings.map(String::from).to_vec()];
    rows.extend(channels.iter().map(row));
    rows
}

fn fill(channel: &Channel) -> String {
    match (channel.fill, channel.entries) {
        (Some(fill), Some(entries)) => format!("{fill}/{entries}"),
        _ => "-".into(),
    }
}

/// A row for each subscriber, after the headings.
pub(crate) fn subscriber_rows(subscribers: &[Subscriber]) -> Vec<Vec<String>> {
    let headings = [
        "SUBSCRIBER",
        "PID",
        "OWNER",
        "BEHIND",
        "SENT",
        "RECEIVED",
        "LOST",
        "FULL",
        "WAITS",
        "FLAGS",
    ];
    let row = |subscriber: &Subscriber| {
        let counters = &subscriber.counters;
        vec![
            subscriber.id.to_string(),
            shown(subscriber.pid),
            shown(subscriber.uid.map(user)),
            shown(subscriber.fill.or(subscriber.pending)),
            shown(counters.sent),
            shown(counters.received),
            shown(counters.lost),
            shown(counters.full),
            shown(counters.waits),
            shown(subscriber.flags.as_ref()),
        ]
    };
    let mut rows = vec![headings.map(String::from).to_vec()];
    rows.extend(subscribers.iter().map(row));
    rows
}

pub(crate) fn one(options: &One, out: &mut Output) -> Result<(), Failure> {
    let id = number_of(&options.channel)?;
    let table = Table::read_and_tell()?;
    let Some(channel) = table.channels.iter().find(|channel| channel.id == id) else {
        let text = match table.missing {
            Some(_) => "none of your processes uses this channel, and only root sees others",
            None => "there is no such channel",
        };
        return Err(Failure::new(MISSING, text).about(&options.channel));
    };
    if out.is_json {
        out.json(channel)?;
        return out.flush();
    }
    for (what, value) in facts(channel) {
        out.line(format!("{what:<16}{value}"))?;
    }
    if !channel.subscribers.is_empty() {
        out.line("")?;
        out.table(WORDS, &subscriber_rows(&channel.subscribers))?;
    }
    out.flush()
}

/// What is known of a channel.
fn facts(channel: &Channel) -> Vec<(&'static str, String)> {
    let counters = &channel.counters;
    vec![
        ("channel", channel.title()),
        ("number", channel.id.to_string()),
        ("kind", channel.kind.clone()),
        ("owner", shown(channel.owner.map(user))),
        ("group", shown(channel.group)),
        ("mode", shown(channel.mode.as_ref())),
        ("ipc namespace", shown(channel.ipc_namespace)),
        ("entries", shown(channel.entries)),
        ("largest message", shown(channel.max_message)),
        ("slot size", shown(channel.slot_size)),
        ("fill", shown(channel.fill)),
        ("sent", shown(counters.sent)),
        ("received", shown(counters.received)),
        ("lost", shown(counters.lost)),
        ("dropped", shown(channel.dropped)),
        ("full", shown(counters.full)),
        ("waits", shown(counters.waits)),
        ("flags", shown(channel.flags.as_ref())),
    ]
}
