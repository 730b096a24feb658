// SPDX-License-Identifier: GPL-2.0

//! How many cache lines move from one processor to another for each message.
//!
//! Each sender and each receiver has a processor of its own. Each kind of work runs *in turn*: each
//! send and each receive is complete before the next one begins. And it runs *at once*: before each
//! access a random processor gets the turn, which is repeated with several seeds. All numbers are the
//! same each time.

#![cfg(not(loom))]

mod channel;
mod machine;

use std::{
    collections::BTreeMap,
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc,
    },
};

use host::ring::Mode;

use crate::{
    channel::Channel,
    machine::{Event, Machine},
};

/// How many slots a ring has.
const ENTRIES: u32 = 64;

/// How many messages are under way at most when senders and receivers run at once, so that the ring
/// does not look full to senders.
const WINDOW: u64 = ENTRIES as u64 / 2;

const SEEDS: [u64; 3] = [1, 2, 3];

/// Transfers, by what is in the line.
type Transfers = BTreeMap<&'static str, u64>;

/// What senders and receivers do.
#[derive(Clone, Copy)]
struct Work {
    name: &'static str,
    mode: Mode,
    senders: usize,
    receivers: usize,
    /// Receivers want to know of the senders.
    info: bool,
    /// The ring is full, and its only sender waits.
    full: bool,
    /// How many slots each message takes.
    slots: u32,
    /// How many messages to count.
    messages: u64,
    /// How many transfers a message may take, in turn and at once.
    most: [f64; 2],
}

impl Work {
    fn members(&self) -> usize {
        self.senders + self.receivers
    }

    fn channel(&self, machine: &Arc<Machine>) -> Channel {
        Channel::new(
            machine,
            self.mode,
            ENTRIES,
            self.slots,
            self.members(),
            self.senders,
        )
    }

    /// How many receivers get each message.
    fn copies(&self) -> u64 {
        match self.mode {
            Mode::Broadcast => self.receivers as u64,
            Mode::Unicast | Mode::Multicast => 1,
        }
    }

    /// The receivers that get message `number`.
    fn receivers_of(&self, number: u64) -> impl Iterator<Item = usize> {
        let first = match self.mode {
            Mode::Broadcast => 0,
            Mode::Unicast | Mode::Multicast => number as usize % self.receivers,
        };
        let from = self.senders + first;
        from..from + self.copies() as usize
    }

    /// One sender sends a message, or waits until it can, and all that get a message receive one.
    fn pass_in_turn(&self, machine: &Machine, channel: &Channel, number: u64) {
        let sender = number as usize % self.senders;
        let send = || machine.run_as(sender, || channel.send(sender, self.slots));
        assert_eq!(send().is_err(), self.full);
        if self.full {
            assert!(machine.run_as(sender, || channel.wait_for_room()));
        }
        for receiver in self.receivers_of(number) {
            let receive = || channel.receive(receiver, self.info);
            assert!(machine.run_as(receiver, receive).is_ok());
        }
        if self.full {
            assert!(send().is_ok());
        }
    }

    /// Fills a ring that is to be full, and passes messages until each line is where it is used.
    fn begin(&self, machine: &Machine, channel: &Channel) {
        if self.full {
            for _ in 0..ENTRIES {
                assert!(channel.send(0, 1).is_ok());
            }
        }
        let rounds = if self.full { 1 } else { 4 * u64::from(ENTRIES) };
        for number in 0..rounds {
            self.pass_in_turn(machine, channel, number);
        }
        machine.take_transfers();
    }

    fn run_in_turn(&self) -> Transfers {
        let machine = Arc::default();
        let channel = self.channel(&machine);
        self.begin(&machine, &channel);
        for number in 0..self.messages {
            self.pass_in_turn(&machine, &channel, number);
        }
        machine.take_transfers()
    }

    /// Sends a message as soon as there is room for it.
    fn send(&self, machine: &Machine, channel: &Channel, number: usize) {
        loop {
            let received = machine.count(Event::Received);
            let woken = machine.count(Event::SenderWoken);
            if channel.send(number, self.slots).is_ok() {
                return;
            }
            if !self.full {
                // The oldest message is not received yet.
                machine.wait_for(Event::Received, received + 1);
            } else if channel.wait_for_room() {
                machine.wait_for(Event::SenderWoken, woken + 1);
            }
        }
    }

    /// Receives a message as soon as there is one.
    fn receive(&self, machine: &Machine, channel: &Channel, number: usize) {
        loop {
            let sent = machine.count(Event::Sent);
            if channel.receive(number, self.info).is_ok() {
                return;
            }
            // The next message is not published yet, and a later one is.
            machine.wait_for(Event::Sent, sent + 1);
        }
    }

    fn run_at_once(&self, seed: u64) -> Transfers {
        let machine = Arc::default();
        let channel = self.channel(&machine);
        self.begin(&machine, &channel);
        let (machine, channel): (&Machine, &Channel) = (&machine, &channel);
        let sent = machine.count(Event::Sent);
        let received = machine.count(Event::Received);
        // How many sends and receives have begun.
        let (sends, receives) = (&AtomicU64::new(0), &AtomicU64::new(0));
        let next = |begun: &AtomicU64| begun.fetch_add(1, Ordering::Relaxed);

        let send = |number: usize| {
            for _ in 0..self.messages / self.senders as u64 {
                if !self.full {
                    let window = WINDOW / u64::from(self.slots);
                    let done = (next(sends) + 1).saturating_sub(window) * self.copies();
                    machine.wait_for(Event::Received, received + done);
                }
                self.send(machine, channel, number);
            }
        };
        let receive = |number: usize| {
            let mut own = 0..self.messages;
            let mut next = || match self.mode {
                Mode::Broadcast => own.next(),
                Mode::Unicast | Mode::Multicast => {
                    Some(next(receives)).filter(|&message| message < self.messages)
                }
            };
            while let Some(message) = next() {
                // A ring that is to be full has messages to begin with, and stays full until each
                // receiver has received one.
                let done = if self.full { message } else { message + 1 };
                machine.wait_for(Event::Sent, sent + done);
                self.receive(machine, channel, number);
            }
        };
        let tasks = (0..self.members()).map(|number| -> Box<dyn FnOnce() + Send> {
            if number < self.senders {
                Box::new(move || send(number))
            } else {
                Box::new(move || receive(number))
            }
        });
        machine.run_all(seed, tasks.collect());
        machine.take_transfers()
    }

    /// How many transfers a message took.
    fn per_message(&self, transfers: &Transfers) -> f64 {
        transfers.values().sum::<u64>() as f64 / self.messages as f64
    }

    /// Where the transfers are, most of them first.
    fn explain(&self, transfers: &Transfers) -> String {
        let mut parts: Vec<_> = transfers.iter().collect();
        parts.sort_by_key(|(_, &count)| std::cmp::Reverse(count));
        let part = |(name, &count): (&&str, &u64)| {
            format!("{name} {:.1}", count as f64 / self.messages as f64)
        };
        parts.into_iter().map(part).collect::<Vec<_>>().join(", ")
    }
}

const ONE: Work = Work {
    name: "unicast, 1 to 1",
    mode: Mode::Unicast,
    senders: 1,
    receivers: 1,
    info: false,
    full: false,
    slots: 1,
    messages: 1024,
    most: [5.1, 5.2],
};

const BROADCAST: Work = Work {
    name: "broadcast, to 16",
    mode: Mode::Broadcast,
    receivers: 16,
    most: [36.1, 36.6],
    ..ONE
};

const FULL: Work = Work {
    name: "full broadcast, to 100, the sender waits",
    receivers: 100,
    full: true,
    messages: 4,
    most: [600.0, 600.0],
    ..BROADCAST
};

const WORKS: [Work; 9] = [
    ONE,
    Work {
        name: "unicast, 16 to 1",
        senders: 16,
        most: [7.1, 8.0],
        ..ONE
    },
    Work {
        name: "multicast, 1 to 16",
        mode: Mode::Multicast,
        receivers: 16,
        most: [8.1, 12.0],
        ..ONE
    },
    BROADCAST,
    Work {
        name: "broadcast, to 16, with INFO",
        info: true,
        most: [36.1, 36.6],
        ..BROADCAST
    },
    Work {
        name: "unicast, 1 to 1, of 8 slots",
        slots: 8,
        most: [21.3, 21.6],
        ..ONE
    },
    Work {
        name: "broadcast, to 16, of 8 slots",
        slots: 8,
        most: [186.1, 187.2],
        ..BROADCAST
    },
    FULL,
    Work {
        name: "full broadcast, to 1000, the sender waits",
        receivers: 1000,
        most: [6_000.0, 6_000.0],
        ..FULL
    },
];

/// Prints the table of `docs/performance.md`, and fails if a message takes more transfers than it may.
#[test]
fn transfers() {
    println!("| | in turn | at once | where, in turn |\n|---|---|---|---|");
    let mut failures = Vec::new();
    for work in WORKS {
        let in_turn = work.run_in_turn();
        let at_once = SEEDS.map(|seed| work.per_message(&work.run_at_once(seed)));
        let least = at_once.into_iter().fold(f64::INFINITY, f64::min);
        let most = at_once.into_iter().fold(0.0, f64::max);
        let counts = [work.per_message(&in_turn), most];
        println!(
            "| {} | {:.1} | {least:.1} to {most:.1} | {} |",
            work.name,
            counts[0],
            work.explain(&in_turn)
        );
        for (count, limit) in counts.into_iter().zip(work.most) {
            if count > limit {
                failures.push(format!("{}: {count:.2}, limit {limit}", work.name));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
