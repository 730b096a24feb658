// SPDX-License-Identifier: MIT

//! `ioipc top`

use std::{
    io::IsTerminal,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    thread::sleep,
    time::{Duration, Instant},
};

use ratatui::{
    crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
    layout::{Constraint, Layout},
    style::Stylize,
    text::{Line, Text},
    widgets::Paragraph,
    DefaultTerminal, Frame,
};
use serde::Serialize;

use crate::{
    cli,
    failure::{Failure, USAGE},
    list::{rows, subscriber_rows, with_rates, WORDS},
    output::{columns, Output},
    table::{Channel, Table},
};

/// How long a signal or a key may take until it has an effect.
const PATIENCE: Duration = Duration::from_millis(100);

/// What is on the screen.
struct Screen {
    /// With rates.
    channels: Vec<Channel>,
    missing: Option<String>,
    /// The number of the channel whose subscribers are shown. A channel keeps its number when
    /// others come and go.
    selected: Option<u32>,
}

impl Screen {
    fn index(&self) -> usize {
        let is_selected = |channel: &Channel| Some(channel.id) == self.selected;
        self.channels.iter().position(is_selected).unwrap_or(0)
    }

    fn select(&mut self, index: usize) {
        let last = self.channels.len().saturating_sub(1);
        self.selected = self.channels.get(index.min(last)).map(|channel| channel.id);
    }

    fn draw(&self, frame: &mut Frame<'_>) {
        let count = u16::try_from(self.channels.len()).unwrap_or(u16::MAX);
        let height = frame.area().height;
        let [title, list, subtitle, subscribers, keys] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length((count + 1).min(height / 2)),
            Constraint::Length(2),
            Constraint::Fill(1),
            Constraint::Length(1),
        ])
        .areas(frame.area());

        let text = match &self.missing {
            Some(missing) => missing.clone(),
            None => format!("{count} channels; numbers of SENT to WAITS are per second"),
        };
        frame.render_widget(Line::from(text), title);

        let lines = columns(WORDS, &rows(&self.channels));
        let rows = usize::from(list.height.saturating_sub(1));
        // The selected channel is in sight.
        let first = (self.index() + 1).saturating_sub(rows);
        let shown = lines
            .iter()
            .skip(1)
            .enumerate()
            .skip(first)
            .map(|(index, line)| {
                let line = Line::from(line.clone());
                if index == self.index() {
                    line.reversed()
                } else {
                    line
                }
            });
        let heading = lines.first().cloned().unwrap_or_default();
        let text: Text<'_> = std::iter::once(Line::from(heading).bold())
            .chain(shown)
            .collect();
        frame.render_widget(Paragraph::new(text), list);

        if let Some(channel) = self.channels.get(self.index()) {
            let text = Text::from(format!("\nsubscribers of {}", channel.title()));
            frame.render_widget(text, subtitle);
            let lines = columns(WORDS, &subscriber_rows(&channel.subscribers));
            let slowest = channel.slowest().map(|one| one.id);
            let lines = lines.into_iter().enumerate().map(|(index, line)| {
                let subscriber = index
                    .checked_sub(1)
                    .and_then(|index| channel.subscribers.get(index));
                let is_slowest = subscriber.is_some_and(|one| Some(one.id) == slowest);
                let line = Line::from(line);
                if subscriber.is_none() || is_slowest {
                    line.bold()
                } else {
                    line
                }
            });
            frame.render_widget(Paragraph::new(lines.collect::<Text<'_>>()), subscribers);
        }
        frame.render_widget(Line::from("q: quit, up and down: another channel"), keys);
    }
}

/// What `--json` prints, with rates.
#[derive(Serialize)]
struct Json {
    channels: Vec<Channel>,
}

/// The table, and when it was read.
struct Look {
    table: Table,
    at: Instant,
}

impl Look {
    fn new() -> Result<Self, Failure> {
        Ok(Self {
            table: Table::read()?,
            at: Instant::now(),
        })
    }

    /// The channels with what happened since another look.
    fn since(&self, before: &Self) -> Vec<Channel> {
        with_rates(
            &self.table.channels,
            &before.table.channels,
            self.at - before.at,
        )
    }
}

pub(crate) fn run(options: &cli::Top, out: &mut Output) -> Result<(), Failure> {
    if out.is_json {
        return print(options, out);
    }
    if !std::io::stdout().is_terminal() {
        return Err(Failure::new(
            USAGE,
            "top needs a terminal: use `ioipc top --json`, or `ioipc ls --rates`",
        ));
    }
    let stop = Arc::new(AtomicBool::new(false));
    for &signal in signal_hook::consts::TERM_SIGNALS {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let before = Look::new()?;
    let mut terminal = ratatui::try_init()?;
    let result = show(options, before, &mut terminal, &stop);
    ratatui::restore();
    result
}

/// Prints a line for each look.
fn print(options: &cli::Top, out: &mut Output) -> Result<(), Failure> {
    let mut before = Look::new()?;
    if let Some(missing) = &before.table.missing {
        eprintln!("ioipc: {missing}");
    }
    for _ in 0..options.count.unwrap_or(u64::MAX) {
        sleep(options.interval);
        let now = Look::new()?;
        out.json(&Json {
            channels: now.since(&before),
        })?;
        out.flush()?;
        before = now;
    }
    Ok(())
}

fn show(
    options: &cli::Top,
    mut before: Look,
    terminal: &mut DefaultTerminal,
    stop: &AtomicBool,
) -> Result<(), Failure> {
    let mut screen = Screen {
        channels: before.since(&before),
        missing: before.table.missing.clone(),
        selected: None,
    };
    for _ in 0..options.count.unwrap_or(u64::MAX) {
        let end = before.at + options.interval;
        while Instant::now() < end {
            terminal.draw(|frame| screen.draw(frame))?;
            let left = end.saturating_duration_since(Instant::now());
            if stop.load(Ordering::Relaxed)
                || (event::poll(left.min(PATIENCE))? && quits(&mut screen)?)
            {
                return Ok(());
            }
        }
        let now = Look::new()?;
        screen.channels = now.since(&before);
        screen.missing.clone_from(&now.table.missing);
        before = now;
    }
    Ok(())
}

/// Does what a key says. Returns whether it says that this ends.
fn quits(screen: &mut Screen) -> Result<bool, Failure> {
    let Event::Key(key) = event::read()? else {
        return Ok(false);
    };
    if key.kind != KeyEventKind::Press {
        return Ok(false);
    }
    match key.code {
        KeyCode::Char('q') | KeyCode::Esc => return Ok(true),
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Ok(true),
        KeyCode::Up | KeyCode::Char('k') => screen.select(screen.index().saturating_sub(1)),
        KeyCode::Down | KeyCode::Char('j') => screen.select(screen.index() + 1),
        _ => (),
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use ratatui::{backend::TestBackend, Terminal};

    use super::*;
    use crate::table::{parse, EXAMPLE};

    /// What the screen looks like.
    fn snapshot(screen: &Screen, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| screen.draw(frame)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y| {
            (0..width)
                .map(|x| buffer[(x, y)].symbol())
                .collect::<String>()
        };
        (0..height)
            .map(|y| line(y).trim_end().to_string())
            .collect()
    }

    fn screen() -> Screen {
        Screen {
            channels: parse(EXAMPLE),
            missing: None,
            selected: None,
        }
    }

    #[test]
    fn channels_and_subscribers() {
        let screen = screen();
        let lines = snapshot(&screen, 120, 14);
        assert_eq!(
            lines[0],
            "2 channels; numbers of SENT to WAITS are per second"
        );
        assert!(
            lines[1].starts_with("CHANNEL          ID  KIND       OWNER"),
            "{}",
            lines[1]
        );
        assert!(
            lines[2].starts_with("org.example.log   1  broadcast  "),
            "{}",
            lines[2]
        );
        assert!(lines[2].ends_with("5 (16 behind)"), "{}", lines[2]);
        assert!(
            lines[3].starts_with("id:2              2  unicast    "),
            "{}",
            lines[3]
        );
        assert_eq!(lines[5], "subscribers of org.example.log");
        assert!(lines[6].starts_with("SUBSCRIBER  PID"), "{}", lines[6]);
        assert!(lines[9].ends_with("receive,history"), "{}", lines[9]);
        assert_eq!(lines[13], "q: quit, up and down: another channel");
    }

    #[test]
    fn another_channel() {
        let mut screen = screen();
        screen.select(screen.index() + 1);
        assert_eq!(snapshot(&screen, 120, 14)[5], "subscribers of id:2");
        screen.select(screen.index() + 1);
        assert_eq!(snapshot(&screen, 120, 14)[5], "subscribers of id:2");
        // The other one is destroyed.
        screen.channels.remove(0);
        assert_eq!(screen.index(), 0);
        screen.channels.clear();
        screen.select(0);
        assert_eq!(screen.selected, None);
    }

    #[test]
    fn screens_of_all_sizes() {
        for height in 1..20 {
            for width in [1, 10, 80, 300] {
                snapshot(&screen(), width, height);
            }
        }
    }

    #[test]
    fn the_selected_channel_is_in_sight() {
        let mut screen = screen();
        let many = (1..50).map(|id| Channel {
            id,
            ..Channel::default()
        });
        screen.channels = many.collect();
        screen.select(40);
        let lines = snapshot(&screen, 120, 12);
        assert!(
            lines.iter().any(|line| line.starts_with("id:41 ")),
            "{lines:?}"
        );
    }
}
