// SPDX-License-Identifier: GPL-2.0

//! Processors with caches that are kept coherent as MESI does, and the words that they share.
//!
//! A cache line is no more than the set of processors that have it. The line of a single one is
//! modified or exclusive, that of several is shared. A read by a processor that does not have the
//! line is a *transfer*, and so is a write unless the writer is the only one that has the line.
//! Caches never get full. Each access is complete before the next one begins, so the model says
//! nothing of store buffers.

use std::{
    cell::Cell,
    collections::BTreeMap,
    sync::{
        atomic::{AtomicU64, AtomicUsize, Ordering},
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
    },
    thread::{self, Thread},
};

use host::ring;

thread_local! {
    /// The processor that this thread is. Accesses of a thread that is none count for nothing.
    static PROCESSOR: Cell<Option<usize>> = const { Cell::new(None) };
}

/// No processor has the turn: before the first turn, and after the last one.
const NOBODY: usize = usize::MAX;
/// A processor has panicked.
const PANICKED: usize = usize::MAX - 1;

/// What a processor can wait for, without any access: a driver knows when there is something to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Event {
    Sent,
    Received,
    SenderWoken,
}

/// Whether a processor can go on.
enum Gate {
    Open,
    /// Once an event has come so often.
    At(Event, u64),
    Ended,
}

/// How processors take turns: before each access, one of them at random.
struct Turns {
    random: u64,
    gates: Vec<Gate>,
    /// The processors that can go on.
    ready: Vec<usize>,
}

impl Turns {
    fn find_ready(&mut self, events: &[u64; 3]) {
        let is_ready = |gate: &Gate| match gate {
            Gate::Open => true,
            Gate::At(event, count) => events[*event as usize] >= *count,
            Gate::Ended => false,
        };
        self.ready = (0..self.gates.len())
            .filter(|&processor| is_ready(&self.gates[processor]))
            .collect();
    }

    fn next(&mut self) -> usize {
        // Marsaglia's xorshift.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        match self.ready.len() {
            0 if self.gates.iter().all(|gate| matches!(gate, Gate::Ended)) => NOBODY,
            0 => panic!("all processors wait"),
            count => self.ready[(self.random >> 32) as usize % count],
        }
    }
}

/// The processors that have a line.
#[derive(Default)]
struct Holders(Vec<u64>);

impl Holders {
    fn read(&mut self, processor: usize) -> bool {
        let (word, bit) = (processor / 64, 1 << (processor % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let is_transfer = self.0[word] & bit == 0;
        self.0[word] |= bit;
        is_transfer
    }

    fn write(&mut self, processor: usize) -> bool {
        let is_transfer =
            self.read(processor) || self.0.iter().map(|word| word.count_ones()).sum::<u32>() > 1;
        self.0.fill(0);
        self.read(processor);
        is_transfer
    }
}

#[derive(Default)]
struct State {
    lines: Vec<(&'static str, Holders)>,
    transfers: BTreeMap<&'static str, u64>,
    events: [u64; 3],
    turns: Option<Turns>,
}

/// The processors and their lines.
#[derive(Default)]
pub struct Machine {
    state: Mutex<State>,
    /// The processor that has the turn.
    running: AtomicUsize,
    threads: OnceLock<Vec<Thread>>,
}

impl Machine {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line of its own, and what is in it.
    pub fn line(self: &Arc<Self>, name: &'static str) -> Line {
        let lines = &mut self.state().lines;
        lines.push((name, Holders::default()));
        Line {
            machine: self.clone(),
            number: lines.len() - 1,
        }
    }

    /// A word in a line of its own.
    pub fn word(self: &Arc<Self>, name: &'static str) -> Word {
        self.line(name).word()
    }

    /// How many transfers there were since the last call, by what was in the line.
    pub fn take_transfers(&self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut self.state().transfers)
    }

    /// How often an event has come.
    pub fn count(&self, event: Event) -> u64 {
        self.state().events[event as usize]
    }

    /// An event has come.
    pub fn tell(&self, event: Event) {
        let state = &mut *self.state();
        state.events[event as usize] += 1;
        if let Some(turns) = &mut state.turns {
            turns.find_ready(&state.events);
        }
    }

    /// Waits until an event has come so often.
    pub fn wait_for(&self, event: Event, count: u64) {
        if self.count(event) < count {
            self.set_gate(Gate::At(event, count));
            self.take_turns();
            self.set_gate(Gate::Open);
        }
    }

    fn set_gate(&self, gate: Gate) {
        let state = &mut *self.state();
        let (Some(turns), Some(processor)) = (&mut state.turns, PROCESSOR.get()) else {
            panic!("a single thread cannot wait");
        };
        turns.gates[processor] = gate;
        turns.find_ready(&state.events);
    }

    /// Gives the turn to a processor, if they take turns, and waits for the next one.
    fn take_turns(&self) {
        let Some(next) = self.state().turns.as_mut().map(Turns::next) else {
            return;
        };
        self.give_turn(next);
        if let Some(processor) = PROCESSOR.get() {
            self.wait_for_turn(processor);
        }
    }

    fn give_turn(&self, next: usize) {
        if self.running.swap(next, Ordering::AcqRel) != next {
            if let Some(thread) = self.threads.get().and_then(|threads| threads.get(next)) {
                thread.unpark();
            }
        }
    }

    fn wait_for_turn(&self, processor: usize) {
        loop {
            match self.running.load(Ordering::Acquire) {
                PANICKED => panic!("another processor has panicked"),
                running if running == processor => return,
                _ => thread::park(),
            }
        }
    }

    /// Runs a task as a processor, from its beginning to its end.
    pub fn run_as<T>(&self, processor: usize, task: impl FnOnce() -> T) -> T {
        PROCESSOR.set(Some(processor));
        let result = task();
        PROCESSOR.set(None);
        result
    }

    /// Runs each task as a processor, with turns before each access. The seed must not be 0.
    pub fn run_all(&self, seed: u64, tasks: Vec<Box<dyn FnOnce() + Send + '_>>) {
        /// Ends the others if its processor panics.
        struct Panic<'a>(&'a Machine);

        impl Drop for Panic<'_> {
            fn drop(&mut self) {
                if thread::panicking() {
                    self.0.running.store(PANICKED, Ordering::Release);
                    self.0.threads.wait().iter().for_each(Thread::unpark);
                }
            }
        }

        let mut turns = Turns {
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            gates: tasks.iter().map(|_| Gate::Open).collect(),
            ready: Vec::new(),
        };
        turns.find_ready(&[0; 3]);
        self.running.store(NOBODY, Ordering::Release);
        let first = turns.next();
        self.state().turns = Some(turns);
        thread::scope(|scope| {
            let threads: Vec<_> = tasks
                .into_iter()
                .enumerate()
                .map(|(processor, task)| {
                    scope.spawn(move || {
                        let _panic = Panic(self);
                        self.wait_for_turn(processor);
                        self.run_as(processor, || {
                            task();
                            self.set_gate(Gate::Ended);
                        });
                        self.take_turns();
                    })
                })
                .collect();
            let threads = threads.iter().map(|thread| thread.thread().clone());
            assert!(self.threads.set(threads.collect()).is_ok());
            self.give_turn(first);
        });
        self.state().turns = None;
    }
}

/// A cache line.
#[derive(Clone)]
pub struct Line {
    machine: Arc<Machine>,
    number: usize,
}

impl Line {
    fn access(&self, access: impl FnOnce(&mut Holders, usize) -> bool) {
        let Some(processor) = PROCESSOR.get() else {
            return;
        };
        self.machine.take_turns();
        let state = &mut *self.machine.state();
        let (name, holders) = &mut state.lines[self.number];
        if access(holders, processor) {
            *state.transfers.entry(name).or_default() += 1;
        }
    }

    /// The processor reads a word of the line.
    pub fn read(&self) {
        self.access(Holders::read);
    }

    /// The processor writes a word of the line. An exchange that fails is a write as well.
    pub fn write(&self) {
        self.access(Holders::write);
    }

    /// A word of the line.
    pub fn word(&self) -> Word {
        Word {
            line: self.clone(),
            value: AtomicU64::new(0),
        }
    }
}

/// An atomic word.
pub struct Word {
    line: Line,
    value: AtomicU64,
}

impl Word {
    /// Loads it.
    pub fn load(&self) -> u64 {
        self.line.read();
        self.value.load(Ordering::Relaxed)
    }

    /// Stores to it.
    pub fn store(&self, value: u64) {
        self.line.write();
        self.value.store(value, Ordering::Relaxed);
    }

    fn swap_if(&self, old: u64, new: u64) -> Result<(), u64> {
        self.line.write();
        self.value
            .compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed)
            .map(|_| ())
    }
}

macro_rules! impl_ring_atomic {
    ($value:ty) => {
        impl ring::Atomic<$value> for Word {
            fn load_relaxed(&self) -> $value {
                self.load() as $value
            }

            fn load_acquire(&self) -> $value {
                self.load() as $value
            }

            fn store_relaxed(&self, value: $value) {
                self.store(value.into());
            }

            fn store_release(&self, value: $value) {
                self.store(value.into());
            }

            fn swap_if_acquire(&self, old: $value, new: $value) -> Result<(), $value> {
                self.swap_if(old.into(), new.into())
                    .map_err(|value| value as $value)
            }

            fn swap_if_release(&self, old: $value, new: $value) -> Result<(), $value> {
                self.swap_if(old.into(), new.into())
                    .map_err(|value| value as $value)
            }

            fn swap_full(&self, new: $value) {
                self.store(new.into());
            }
        }
    };
}

impl_ring_atomic!(u32);
impl_ring_atomic!(u64);
