// SPDX-License-Identifier: GPL-2.0

//! Whether a request is woken for each message and for all room, whichever receivers come and go.
//! Each receiver has many requests, and one of them makes one step at a time. Loom checks two steps
//! that run at once.

#![cfg(not(loom))]

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    sync::atomic::{AtomicU32, Ordering},
};

use host::{
    channel::{Channel, MAX_SUBSCRIBERS},
    memory::TestMemory,
    ring::{self, Memory, Mode, NoMessage, NoRoom, Receiver as _, Ring, Waiting},
};
use proptest::prelude::*;

/// Requests that wait, by their numbers. Wake-ups are exclusive.
#[derive(Default)]
struct Queue(RefCell<VecDeque<usize>>);

struct Receiver {
    id: u32,
    channel: Rc<Channel>,
    readable: Queue,
    /// Requests of this receiver that were woken since the last look.
    woken: RefCell<Vec<usize>>,
}

impl ring::Receiver for Receiver {
    fn id(&self) -> u32 {
        self.id
    }

    fn is_active(&self) -> bool {
        !self.readable.0.borrow().is_empty()
    }

    fn has_targeted(&self) -> bool {
        self.channel.has_targeted(self.id)
    }

    fn wake_one(&self) -> bool {
        let first = self.readable.0.borrow_mut().pop_front();
        self.woken.borrow_mut().extend(first);
        first.is_some()
    }

    fn wake_all(&self) {
        while self.wake_one() {}
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Receive { id: u32 },
    Send { target: u32 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The request is in a queue.
    Waits,
    /// A waker has woken the request, or its memory is there now. It has yet to run.
    Runnable,
    /// The request sleeps in a page fault: its memory is not there.
    Sleeps,
    Ended,
}

struct World {
    channel: Rc<Channel>,
    receivers_wait: AtomicU32,
    senders_wait: AtomicU32,
    last_woken: AtomicU32,
    receivers: Vec<Receiver>,
    room: Queue,
    woken_senders: RefCell<Vec<usize>>,
    requests: Vec<(Kind, Cell<State>)>,
}

impl Waiting for World {
    type Memory = TestMemory;
    type Receiver = Receiver;
    type Guard = ();

    fn ring(&self) -> &Ring<TestMemory> {
        &self.channel.ring
    }

    fn mode(&self) -> Mode {
        self.channel.mode
    }

    fn receivers_wait(&self) -> &AtomicU32 {
        &self.receivers_wait
    }

    fn senders_wait(&self) -> &AtomicU32 {
        &self.senders_wait
    }

    fn last_woken(&self) -> &AtomicU32 {
        &self.last_woken
    }

    fn receiver<'a>(&'a self, id: u32, (): &'a ()) -> Option<&'a Receiver> {
        self.channel.is_attached(id).then(|| self.subscriber(id))
    }

    fn find_receiver(&self, id: u32, (): &(), mut done: impl FnMut(&Receiver) -> bool) {
        let from = id.saturating_sub(1) as usize;
        self.receivers
            .iter()
            .skip(from)
            .any(|receiver| self.channel.is_attached(receiver.id) && done(receiver));
    }

    fn are_senders_active(&self) -> bool {
        !self.room.0.borrow().is_empty()
    }

    fn wake_one_sender(&self) {
        let first = self.room.0.borrow_mut().pop_front();
        self.woken_senders.borrow_mut().extend(first);
    }

    fn next(&self, receiver: &Receiver) -> Result<u32, NoMessage> {
        self.channel.next(receiver.id)
    }

    fn may_have_any(&self, receiver: &Receiver) -> bool {
        self.channel.may_have_any(receiver.id)
    }

    fn reclaim(&self, (): &()) {
        self.channel.reclaim();
    }

    fn may_overwrite(&self, (): &()) -> bool {
        false
    }
}

/// Something that happens. Requests are picked among those that are in the right state.
#[derive(Clone, Debug)]
enum Step {
    /// A new request.
    Submit(Kind),
    /// A runnable request runs.
    Run(prop::sample::Index),
    /// The memory of a running request is not there.
    Fault(prop::sample::Index),
    /// The memory of a request is there now.
    Resume(prop::sample::Index),
    /// A request that waits, or that a waker has woken, is cancelled.
    Cancel(prop::sample::Index),
    /// A receiver is enlisted, unless it is there already.
    Enlist(u32),
    /// An enlisted receiver joins, with or without the messages in the ring.
    Join(u32, bool),
    Detach(u32),
    /// A watcher checks for room.
    Watch,
}

impl World {
    fn new(mode: Mode, entries: u32) -> Self {
        let channel = Rc::new(match mode {
            Mode::Unicast => Channel::queue(entries, 0),
            Mode::Multicast => Channel::multicast(entries, 0),
            Mode::Broadcast => Channel::broadcast(entries, 0),
        });
        // One receiver comes later.
        (1..MAX_SUBSCRIBERS).for_each(|id| channel.attach(id));
        Self {
            receivers_wait: AtomicU32::new(0),
            senders_wait: AtomicU32::new(0),
            last_woken: AtomicU32::new(0),
            receivers: (1..=MAX_SUBSCRIBERS)
                .map(|id| Receiver {
                    id,
                    channel: channel.clone(),
                    readable: Queue::default(),
                    woken: RefCell::default(),
                })
                .collect(),
            room: Queue::default(),
            woken_senders: RefCell::default(),
            requests: Vec::new(),
            channel,
        }
    }

    fn subscriber(&self, id: u32) -> &Receiver {
        &self.receivers[id as usize - 1]
    }

    fn queue(&self, kind: Kind) -> &Queue {
        match kind {
            Kind::Receive { id } => &self.subscriber(id).readable,
            Kind::Send { .. } => &self.room,
        }
    }

    /// Whether a receiver takes part: it has joined and has not left.
    fn takes_part(&self, id: u32) -> bool {
        self.channel.is_attached(id) && !self.channel.ring.is_detached(self.channel.cursor(id))
    }

    /// Makes the woken requests runnable.
    fn collect_woken(&self) {
        for woken in self.receivers.iter().map(|receiver| &receiver.woken) {
            woken
                .borrow_mut()
                .drain(..)
                .for_each(|number| self.set(number, State::Runnable));
        }
        let mut woken = self.woken_senders.borrow_mut();
        woken
            .drain(..)
            .for_each(|number| self.set(number, State::Runnable));
    }

    fn set(&self, number: usize, state: State) {
        self.requests[number].1.set(state);
    }

    fn pick(&self, index: &prop::sample::Index, states: &[State]) -> Option<usize> {
        let numbers: Vec<usize> = (0..self.requests.len())
            .filter(|&number| states.contains(&self.requests[number].1.get()))
            .collect();
        (!numbers.is_empty()).then(|| *index.get(&numbers))
    }

    /// What `Channel::send` does after it has published. Returns whether there was room.
    fn send(&self, target: u32) -> bool {
        let sent = match target {
            0 => self.channel.send(0),
            id => self.channel.send_to(id, 0),
        };
        let Ok(message) = sent else {
            return false;
        };
        TestMemory::full_barrier();
        let target = (target != 0).then(|| self.subscriber(target));
        self.wake_receivers(target, &());
        self.wake_receivers_after(message.position.wrapping_add(1), &());
        self.wake_sender(&());
        true
    }

    /// What `Channel::receive` does. Returns whether there was a message.
    fn receive(&self, id: u32) -> bool {
        let Ok(message) = self.channel.receive(id) else {
            return false;
        };
        self.has_received(self.subscriber(id), message.position, &());
        true
    }

    /// Returns whether the request has ended.
    fn issue(&self, kind: Kind) -> bool {
        match kind {
            Kind::Receive { id } if !self.takes_part(id) => true,
            Kind::Receive { id } => self.receive(id),
            // `ENOENT`.
            Kind::Send { target } if target != 0 && !self.takes_part(target) => {
                self.end_in_vain(kind);
                true
            }
            Kind::Send { target } => self.send(target),
        }
    }

    /// What the hook does when a request ends after a waker may have woken it.
    fn end_in_vain(&self, kind: Kind) {
        let receiver = match kind {
            Kind::Receive { id } => Some(self.subscriber(id)),
            Kind::Send { .. } => None,
        };
        self.pass_on(receiver, &());
    }

    /// Runs a request until it ends or waits.
    fn run(&self, number: usize) {
        let kind = self.requests[number].0;
        loop {
            if self.issue(kind) {
                self.set(number, State::Ended);
                return;
            }
            self.queue(kind).0.borrow_mut().push_back(number);
            self.set(number, State::Waits);
            let is_ready = match kind {
                Kind::Receive { id } => {
                    self.wait_for_message(self.subscriber(id)).is_ok() || !self.takes_part(id)
                }
                Kind::Send { .. } => self.wait_for_room(&()),
            };
            if !is_ready {
                return;
            }
            self.queue(kind)
                .0
                .borrow_mut()
                .retain(|&other| other != number);
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Submit(kind) => {
                self.requests.push((*kind, Cell::new(State::Runnable)));
                self.run(self.requests.len() - 1);
            }
            Step::Run(index) => {
                if let Some(number) = self.pick(index, &[State::Runnable]) {
                    self.run(number);
                }
            }
            Step::Fault(index) => {
                if let Some(number) = self.pick(index, &[State::Runnable]) {
                    // As `recv.rs` and `send.rs` do before they sleep.
                    self.end_in_vain(self.requests[number].0);
                    self.set(number, State::Sleeps);
                }
            }
            Step::Resume(index) => {
                if let Some(number) = self.pick(index, &[State::Sleeps]) {
                    self.set(number, State::Runnable);
                }
            }
            Step::Cancel(index) => {
                if let Some(number) = self.pick(index, &[State::Waits, State::Runnable]) {
                    let kind = self.requests[number].0;
                    self.queue(kind)
                        .0
                        .borrow_mut()
                        .retain(|&other| other != number);
                    self.set(number, State::Ended);
                    self.end_in_vain(kind);
                }
            }
            Step::Enlist(id) => {
                if !self.channel.is_attached(*id) {
                    self.channel.enlist(*id);
                }
            }
            Step::Join(id, history) => {
                if self.channel.is_attached(*id) && !self.takes_part(*id) {
                    self.channel.join(*id, history.then_some(0));
                    TestMemory::full_barrier();
                    self.wake_sender(&());
                }
            }
            Step::Detach(id) => {
                if self.takes_part(*id) {
                    assert!(!self.channel.leave(*id));
                    self.channel.remove(*id);
                    self.subscriber(*id).wake_all();
                    while self.are_senders_active() {
                        self.wake_one_sender();
                    }
                    self.pass_on(Some(self.subscriber(*id)), &());
                }
            }
            Step::Watch => {
                self.wait_for_room(&());
            }
        }
        self.collect_woken();
    }

    /// Runs all runnable requests, in some order.
    fn settle(&mut self, order: &[prop::sample::Index]) {
        for index in order.iter().cycle() {
            let Some(number) = self.pick(index, &[State::Runnable]) else {
                return;
            };
            self.run(number);
            self.collect_woken();
        }
    }

    /// No request waits for a message or for room that is there.
    fn check(&self) {
        for (kind, state) in &self.requests {
            if state.get() != State::Waits {
                continue;
            }
            match *kind {
                Kind::Receive { id } => assert!(
                    self.takes_part(id) && self.channel.next(id).is_err(),
                    "receiver {id} waits although there is a message for it"
                ),
                Kind::Send { .. } => {
                    assert!(!self.has_room(&()), "a sender waits although there is room")
                }
            }
        }
    }
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        4 => (1..=MAX_SUBSCRIBERS).prop_map(|id| Kind::Receive { id }),
        2 => Just(Kind::Send { target: 0 }),
        1 => (1..=MAX_SUBSCRIBERS).prop_map(|target| Kind::Send { target }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    let id = || 1..=MAX_SUBSCRIBERS;
    prop_oneof![
        8 => kind().prop_map(Step::Submit),
        3 => index().prop_map(Step::Run),
        1 => index().prop_map(Step::Fault),
        1 => index().prop_map(Step::Resume),
        1 => index().prop_map(Step::Cancel),
        1 => id().prop_map(Step::Enlist),
        1 => (id(), any::<bool>()).prop_map(|(id, history)| Step::Join(id, history)),
        1 => id().prop_map(Step::Detach),
        1 => Just(Step::Watch),
    ]
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![
        Just(Mode::Unicast),
        Just(Mode::Multicast),
        Just(Mode::Broadcast)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 100_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// When no request can run any more, none waits for a message or for room that is there. A
    /// request whose memory is not there holds up no other request.
    #[test]
    fn nobody_waits_for_what_is_there(
        mode in mode(),
        entries in prop_oneof![Just(1_u32), Just(2), Just(4)],
        steps in prop::collection::vec(step(), 1..40),
        order in prop::collection::vec(any::<prop::sample::Index>(), 1..8),
    ) {
        let mut world = World::new(mode, entries);
        for step in &steps {
            world.step(step);
        }
        world.settle(&order);
        world.check();
    }

    /// The same after a few messages for any receiver or for one of two receivers, which have many
    /// requests: a request can take a message that a waker has woken another one for.
    #[test]
    fn nobody_waits_after_a_burst(
        mode in mode(),
        receivers in prop::collection::vec(1..=2_u32, 3..7),
        targets in prop::collection::vec(0..=2_u32, 2..5),
        cancelled in prop::option::of(any::<prop::sample::Index>()),
        order in prop::collection::vec(any::<prop::sample::Index>(), 8),
    ) {
        let mut world = World::new(mode, 4);
        for id in receivers {
            world.step(&Step::Submit(Kind::Receive { id }));
        }
        for target in targets {
            world.step(&Step::Submit(Kind::Send { target }));
        }
        if let Some(index) = cancelled {
            world.step(&Step::Cancel(index));
        }
        world.settle(&order);
        world.check();
    }
}

/// A mark stays only as long as a request waits.
#[test]
fn marks_are_taken_back() {
    let mut world = World::new(Mode::Unicast, 1);
    world.step(&Step::Submit(Kind::Receive { id: 1 }));
    world.step(&Step::Submit(Kind::Send { target: 0 }));
    world.run(0);
    world.check();
    world.step(&Step::Submit(Kind::Send { target: 0 }));
    assert_eq!(world.receivers_wait.load(Ordering::Relaxed), 0);
    assert!(matches!(world.channel.send(0), Err(NoRoom::Full)));
}

/// How much a receive looks at to hand on a wake-up does not grow with the number of messages in
/// the ring, be they for any receiver or for this one alone.
#[test]
fn work_of_handing_on() {
    let entries = 1024;
    for target in [0, 1] {
        let mut world = World::new(Mode::Multicast, entries);
        world.step(&Step::Submit(Kind::Receive { id: 2 }));
        for _ in 0..entries {
            match target {
                0 => world.channel.send(0).unwrap(),
                id => world.channel.send_to(id, 0).unwrap(),
            };
        }
        for _ in 0..entries {
            // There is always a request that waits.
            world.step(&Step::Submit(Kind::Receive { id: 1 }));
            world.step(&Step::Submit(Kind::Receive { id: 2 }));
            world.receivers_wait.store(1, Ordering::Relaxed);
            let before = world.channel.ring.memory().slot_looks();
            if !world.receive(1) {
                break;
            }
            let looks = world.channel.ring.memory().slot_looks() - before;
            assert!(looks < 150, "{looks} looks");
        }
    }
}
