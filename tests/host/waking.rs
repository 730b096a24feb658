// SPDX-License-Identifier: GPL-2.0

//! Whether a request is woken for each message and for all room, whichever receivers come and go, and
//! whichever tasks are stopped. Each receiver has many requests, and one of them makes one step at a
//! time. Loom checks two steps that run at once.

#![cfg(not(loom))]

use std::{
    cell::{Cell, RefCell},
    sync::atomic::Ordering,
};

use host::{
    channel::{Channel, MAX_SUBSCRIBERS},
    parking::{receives, sends, ParkingChannel, Place, Tasks},
    ring::{Mode, Waiting},
};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Receive {
        id: u32,
    },
    /// With id 0 the sender is not attached.
    Send {
        id: u32,
        target: u32,
    },
}

impl Kind {
    fn place(self) -> Place {
        match self {
            Self::Receive { id } => receives(id),
            Self::Send { id, .. } => sends(id),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The request is parked.
    Waits,
    /// A waker has woken the request, or its memory is there now. It has yet to run.
    Runnable,
    /// The same, but its task is stopped.
    Stopped,
    /// The request sleeps in a page fault: its memory is not there.
    Sleeps,
    Ended,
}

struct Request {
    kind: Kind,
    state: Cell<State>,
    /// A waker has woken it, and it has not parked since.
    is_woken: Cell<bool>,
}

/// A watcher in the queue of a receiver, or with id 0 in that of watchers for room.
#[derive(Clone, Copy, Debug)]
struct Watcher {
    id: u32,
    /// Whether a waker tells only one of these.
    is_exclusive: bool,
}

#[derive(Default)]
struct Queues {
    /// Requests that were woken since the last look.
    woken: RefCell<Vec<usize>>,
    watchers: RefCell<Vec<Watcher>>,
}

impl Tasks for Queues {
    fn wake(&self, request: usize) {
        self.woken.borrow_mut().push(request);
    }

    fn tell(&self, id: u32, to_all: bool) -> bool {
        let (mut is_one_told, mut is_one_left) = (false, false);
        self.watchers.borrow_mut().retain(|watcher| {
            let is_left = watcher.is_exclusive && is_one_told && !to_all;
            if watcher.id != id {
                return true;
            }
            is_one_told |= watcher.is_exclusive;
            is_one_left |= is_left;
            is_left
        });
        is_one_left
    }

    fn tell_of_room(&self, to_all: bool) -> bool {
        self.tell(0, to_all)
    }

    fn is_room_watched(&self) -> bool {
        self.watchers.borrow().iter().any(|watcher| watcher.id == 0)
    }

    fn tell_the_end(&self, id: u32) {
        self.watchers
            .borrow_mut()
            .retain(|watcher| watcher.id != id);
    }
}

struct World {
    parking: ParkingChannel<Queues>,
    requests: Vec<Request>,
}

/// Something that happens. Requests are picked among those that are in the right state.
#[derive(Clone, Debug)]
enum Step {
    /// A new request.
    Submit(Kind),
    /// A runnable request runs.
    Run(prop::sample::Index),
    /// The task of a woken request is stopped.
    Stop(prop::sample::Index),
    /// The task of a request goes on.
    Continue(prop::sample::Index),
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
    /// A new watcher looks, and waits if there is nothing.
    Watch(Watcher),
    Tick,
}

/// What comes of one try of a request.
enum Outcome {
    Done,
    Failed,
    Nothing,
}

impl World {
    fn new(mode: Mode, entries: u32) -> Self {
        let channel = match mode {
            Mode::Unicast => Channel::queue(entries, 0),
            Mode::Multicast => Channel::multicast(entries, 0),
            Mode::Broadcast => Channel::broadcast(entries, 0),
        };
        // One receiver comes later.
        (1..MAX_SUBSCRIBERS).for_each(|id| channel.attach(id));
        Self {
            parking: ParkingChannel::new(channel, Queues::default()),
            requests: Vec::new(),
        }
    }

    fn channel(&self) -> &Channel {
        &self.parking.channel
    }

    /// Whether a receiver takes part: it has joined and has not left.
    fn takes_part(&self, id: u32) -> bool {
        self.channel().is_attached(id) && !self.parking.is_detached(id)
    }

    /// Makes the woken requests runnable.
    fn collect_woken(&self) {
        for number in self.parking.tasks.woken.borrow_mut().drain(..) {
            self.requests[number].is_woken.set(true);
            self.set(number, State::Runnable);
        }
    }

    fn set(&self, number: usize, state: State) {
        self.requests[number].state.set(state);
    }

    fn pick(&self, index: &prop::sample::Index, states: &[State]) -> Option<usize> {
        let numbers: Vec<usize> = (0..self.requests.len())
            .filter(|&number| states.contains(&self.requests[number].state.get()))
            .collect();
        (!numbers.is_empty()).then(|| *index.get(&numbers))
    }

    fn is_any(&self, state: State) -> bool {
        self.requests
            .iter()
            .any(|request| request.state.get() == state)
    }

    fn issue(&self, kind: Kind) -> Outcome {
        let is_done = match kind {
            Kind::Receive { id } if !self.takes_part(id) => return Outcome::Failed,
            Kind::Receive { id } => self.parking.receive(id).is_ok(),
            // `ENOENT`.
            Kind::Send { id, target }
                if [id, target]
                    .iter()
                    .any(|&id| id != 0 && !self.takes_part(id)) =>
            {
                return Outcome::Failed
            }
            Kind::Send { target, .. } => self.parking.send(target, 0).is_ok(),
        };
        if is_done {
            Outcome::Done
        } else {
            Outcome::Nothing
        }
    }

    /// Runs a request until it ends or waits.
    fn run(&self, number: usize) {
        let Request { kind, is_woken, .. } = &self.requests[number];
        let place = kind.place();
        loop {
            if is_woken.get() {
                self.parking.looks(place);
            }
            match self.issue(*kind) {
                Outcome::Nothing => (),
                Outcome::Done => break,
                Outcome::Failed => {
                    if is_woken.get() {
                        self.parking.end_in_vain(place);
                    }
                    break;
                }
            }
            if self.parking.park(number, place, is_woken.get()) {
                is_woken.set(false);
                self.set(number, State::Waits);
                return;
            }
        }
        self.set(number, State::Ended);
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Submit(kind) => {
                self.requests.push(Request {
                    kind: *kind,
                    state: Cell::new(State::Runnable),
                    is_woken: Cell::new(false),
                });
                self.run(self.requests.len() - 1);
            }
            Step::Run(index) => {
                if let Some(number) = self.pick(index, &[State::Runnable]) {
                    self.run(number);
                }
            }
            Step::Stop(index) => {
                if let Some(number) = self.pick(index, &[State::Runnable]) {
                    self.set(number, State::Stopped);
                }
            }
            Step::Continue(index) => {
                if let Some(number) = self.pick(index, &[State::Stopped]) {
                    self.set(number, State::Runnable);
                }
            }
            Step::Fault(index) => {
                if let Some(number) = self.pick(index, &[State::Runnable]) {
                    let Request { kind, is_woken, .. } = &self.requests[number];
                    if is_woken.get() {
                        self.parking.looks(kind.place());
                    }
                    // As `recv.rs` and `send.rs` do before they sleep.
                    self.parking.will_sleep(kind.place());
                    self.set(number, State::Sleeps);
                }
            }
            Step::Resume(index) => {
                if let Some(number) = self.pick(index, &[State::Sleeps]) {
                    self.set(number, State::Runnable);
                }
            }
            Step::Cancel(index) => {
                let states = [State::Waits, State::Runnable, State::Stopped];
                if let Some(number) = self.pick(index, &states) {
                    let place = self.requests[number].kind.place();
                    if !self.parking.leave(number, place) {
                        self.parking.end_in_vain(place);
                    }
                    self.set(number, State::Ended);
                }
            }
            Step::Enlist(id) => {
                if !self.channel().is_attached(*id) {
                    self.parking.rank(*id);
                    self.channel().enlist(*id);
                }
            }
            Step::Join(id, history) => {
                if self.channel().is_attached(*id) && !self.takes_part(*id) {
                    self.channel().join(*id, history.then_some(0));
                    self.parking.has_joined();
                }
            }
            Step::Detach(id) => {
                if self.takes_part(*id) {
                    self.parking.detach(*id);
                }
            }
            Step::Watch(watcher) => {
                self.watch(*watcher);
            }
            Step::Tick => {
                self.parking.run_tick();
            }
        }
        self.collect_woken();
    }

    fn watch(&self, watcher: Watcher) {
        if watcher.id != 0 && !self.takes_part(watcher.id) {
            return;
        }
        let watchers = &self.parking.tasks.watchers;
        watchers.borrow_mut().push(watcher);
        let is_ready = match watcher.id {
            0 => self.parking.look_for_room(),
            id => self.parking.look_for_message(id),
        };
        if is_ready {
            watchers.borrow_mut().pop();
        }
    }

    /// Runs all runnable requests, in some order.
    fn settle(&self, order: &[prop::sample::Index]) {
        for index in order.iter().cycle() {
            let Some(number) = self.pick(index, &[State::Runnable]) else {
                return;
            };
            self.run(number);
            self.collect_woken();
        }
    }

    /// Moves `head` as far as it can move.
    fn reclaim_all(&self) {
        let ring = &self.channel().ring;
        let mut head = None;
        while head.replace(ring.head_position()) != Some(ring.head_position()) {
            self.parking.reclaim(1, &());
        }
    }

    /// No request waits for a message or for room that is there. For a little room a sender waits until
    /// the tick.
    fn check(&self) {
        let has_room = self.parking.has_room(1, &());
        self.reclaim_all();
        let waits_for_tick = self.parking.is_tick_armed() && !self.channel().ring.is_half_free();
        let has_room = has_room && !waits_for_tick;
        for Request { kind, state, .. } in &self.requests {
            if state.get() != State::Waits {
                continue;
            }
            match *kind {
                Kind::Receive { id } => assert!(
                    self.takes_part(id) && self.channel().next(id).is_err(),
                    "receiver {id} waits although there is a message for it"
                ),
                Kind::Send { .. } => {
                    assert!(!has_room, "a sender waits although there is room")
                }
            }
        }
        for watcher in &*self.parking.tasks.watchers.borrow() {
            let is_ready = match watcher.id {
                0 => has_room,
                id => self.channel().next(id).is_ok(),
            };
            assert!(!is_ready, "{watcher:?} waits");
        }
    }

    /// Lets all go on whose tasks are not stopped, at first without the tick, and checks them.
    fn finish(&self, order: &[prop::sample::Index]) {
        self.settle(order);
        let is_exclusive = |watcher: &Watcher| watcher.is_exclusive;
        let is_any_exclusive = self
            .parking
            .tasks
            .watchers
            .borrow()
            .iter()
            .any(is_exclusive);
        if !self.is_any(State::Stopped) && !is_any_exclusive {
            self.check();
        }
        while self.parking.run_tick() {
            self.collect_woken();
            self.settle(order);
        }
        self.check();
    }
}

fn kind() -> impl Strategy<Value = Kind> {
    let id = || 1..=MAX_SUBSCRIBERS;
    let sender = || 0..=MAX_SUBSCRIBERS;
    prop_oneof![
        4 => id().prop_map(|id| Kind::Receive { id }),
        2 => sender().prop_map(|id| Kind::Send { id, target: 0 }),
        1 => (sender(), id()).prop_map(|(id, target)| Kind::Send { id, target }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    let id = || 1..=MAX_SUBSCRIBERS;
    let watcher = || (0..=MAX_SUBSCRIBERS, any::<bool>());
    prop_oneof![
        8 => kind().prop_map(Step::Submit),
        3 => index().prop_map(Step::Run),
        1 => index().prop_map(Step::Stop),
        1 => index().prop_map(Step::Continue),
        1 => index().prop_map(Step::Fault),
        1 => index().prop_map(Step::Resume),
        1 => index().prop_map(Step::Cancel),
        1 => id().prop_map(Step::Enlist),
        1 => (id(), any::<bool>()).prop_map(|(id, history)| Step::Join(id, history)),
        1 => id().prop_map(Step::Detach),
        1 => watcher().prop_map(|(id, is_exclusive)| Step::Watch(Watcher { id, is_exclusive })),
        1 => Just(Step::Tick),
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
        world.finish(&order);
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
            world.step(&Step::Submit(Kind::Send { id: 0, target }));
        }
        if let Some(index) = cancelled {
            world.step(&Step::Cancel(index));
        }
        world.finish(&order);
    }
}

/// How much a receive looks at to hand on a wake-up does not grow with the number of messages in
/// the ring, be they for any receiver or for this one alone.
#[test]
fn work_of_handing_on() {
    let entries = 1024;
    for target in [0, 1] {
        let mut world = World::new(Mode::Multicast, entries);
        for _ in 0..entries {
            // A receive may wake two requests of its receiver.
            for id in [1, 1, 2] {
                world.step(&Step::Submit(Kind::Receive { id }));
            }
        }
        for _ in 0..entries {
            match target {
                0 => world.channel().send(0).unwrap(),
                id => world.channel().send_to(id, 0).unwrap(),
            };
        }
        for _ in 0..entries {
            // No request is awake, and some wait.
            world.parking.looks(receives(1));
            world.parking.looks(receives(2));
            assert_ne!(world.parking.receivers_wait().load(Ordering::Relaxed), 0);
            let before = world.channel().ring.memory().slot_looks();
            world.parking.receive(1).unwrap();
            let looks = world.channel().ring.memory().slot_looks() - before;
            assert!(looks < 150, "{looks} looks");
        }
    }
}

/// A sender that was woken for a little room lets the next one go on, if by then half of the ring is
/// free. `head` does not move that far in one step.
#[test]
fn half_of_the_ring_is_free_at_once() {
    let entries = 8;
    let last = MAX_SUBSCRIBERS - 1;
    let mut world = World::new(Mode::Broadcast, entries);
    let receive = |world: &mut World, id, count| {
        for _ in 0..count {
            world.step(&Step::Submit(Kind::Receive { id }));
        }
    };
    for _ in 0..entries {
        world.channel().send(0).unwrap();
    }
    for _ in 0..2 {
        world.step(&Step::Submit(Kind::Send { id: 0, target: 0 }));
    }
    for id in 1..last {
        receive(&mut world, id, entries);
    }
    receive(&mut world, last, 2);
    // It waits, so a little room has to do.
    receive(&mut world, 1, 1);
    receive(&mut world, last, entries - 2);
    assert_eq!(world.requests[0].state.get(), State::Runnable);
    assert_eq!(world.requests[1].state.get(), State::Waits);
    world.run(0);
    world.collect_woken();
    assert_eq!(world.requests[1].state.get(), State::Runnable);
}
