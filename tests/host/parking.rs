// SPDX-License-Identifier: GPL-2.0

//! What `src/channel/parking.rs` and `src/channel/waiting.rs` do, on top of [`Channel`]. The source
//! that the kernel runs, [`Waiting`], decides which requests to wake and when.
//!
//! Requests are numbers here. Of a channel where nothing waits, it counts how often a task takes the
//! lock.

#[cfg(loom)]
use loom::sync::{
    atomic::{AtomicU32, Ordering},
    Mutex, MutexGuard,
};
#[cfg(not(loom))]
use std::sync::{
    atomic::{AtomicU32, Ordering},
    Mutex, MutexGuard,
};
// Loom does not know of these.
use std::{
    collections::{BTreeMap, VecDeque},
    sync::atomic::{AtomicBool, AtomicU64},
};

use crate::{
    channel::{Channel, Message},
    memory::TestMemory,
    ring::{Memory, Mode, NoMessage, NoRoom, Ring, Waiting, OTHERS, REQUESTS, WATCHERS},
};

/// How a waker reaches tasks.
pub trait Tasks {
    /// The task of a request tries again. The waker has taken the request out.
    fn wake(&self, request: usize);
    /// Tells all watchers of a subscriber, but of those that want to be told alone only one, unless it
    /// is `to_all`. Returns
    /// whether others of these are left.
    fn tell(&self, id: u32, to_all: bool) -> bool;
    /// The same for watchers for room.
    fn tell_of_room(&self, to_all: bool) -> bool;
    /// Whether there are watchers for room.
    fn is_room_watched(&self) -> bool;
    /// Tells all watchers of a subscriber of an end, or with id 0 all watchers for room.
    fn tell_the_end(&self, id: u32);
    /// What others do after a sender has reclaimed slots, before it looks again.
    fn others_run(&self, _channel: &Channel) {}
}

/// Which seat of a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// For its receives.
    Receives,
    /// For its sends.
    Sends,
}

/// Where a request waits. 0 is the subscriber of senders that are not attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub id: u32,
    pub side: Side,
}

/// A subscriber.
pub struct Member {
    id: u32,
    wants: AtomicU32,
}

/// Requests that wait for the same. It has a turn while it is in its line.
#[derive(Default)]
struct Seat {
    /// Each with the number of slots that it needs.
    requests: VecDeque<(usize, u32)>,
    turn: Option<u64>,
    is_waiting: bool,
}

#[derive(Default)]
struct Seats {
    receives: Seat,
    sends: Seat,
    /// The turn of its watchers for messages, if they were not told of one since they have looked.
    watch: Option<u64>,
    /// Its turn while one of its receives is awake and others wait.
    hold: Option<u64>,
    rank: u64,
    is_awake: bool,
    /// What the mark is.
    wants: u32,
}

impl Seats {
    fn seat(&mut self, side: Side) -> &mut Seat {
        match side {
            Side::Receives => &mut self.receives,
            Side::Sends => &mut self.sends,
        }
    }
}

/// Subscribers by their turn. One whose requests were all woken stays until a waker finds that.
#[derive(Default)]
struct Line {
    turns: BTreeMap<u64, u32>,
    waiting: u32,
}

/// How many subscribers may stand in a line and wait for nothing.
const MAX_IDLE: u32 = 16;

/// At most 2 to the power of this many requests are woken at once.
const MAX_STALLS: u32 = 10;

#[derive(Default)]
struct Parking {
    receivers: Line,
    senders: Line,
    watched: BTreeMap<u64, u32>,
    held: BTreeMap<u64, u32>,
    seats: Vec<Seats>,
    turn: u64,
    awake_receiver: Option<u32>,
    awake_sender: Option<u32>,
    receiver_stalls: u32,
    sender_stalls: u32,
    is_room_watched: bool,
    /// What the marks are.
    receivers_wait: u32,
    senders_wait: u32,
    /// How many members a task has looked at since it has taken the lock, and the most of that.
    looks: u64,
    most_looks: u64,
}

impl Parking {
    fn seats(&mut self, id: u32) -> &mut Seats {
        &mut self.seats[id as usize]
    }

    fn next_turn(&mut self) -> u64 {
        self.turn += 1;
        self.turn
    }

    fn line(&mut self, side: Side) -> &mut Line {
        match side {
            Side::Receives => &mut self.receivers,
            Side::Sends => &mut self.senders,
        }
    }

    fn awake(&mut self, side: Side) -> &mut Option<u32> {
        match side {
            Side::Receives => &mut self.awake_receiver,
            Side::Sends => &mut self.awake_sender,
        }
    }

    /// Takes a seat out of its line.
    fn leave_line(&mut self, place: Place) {
        if let Some(turn) = self.seats(place.id).seat(place.side).turn.take() {
            self.line(place.side).turns.remove(&turn);
        }
    }

    /// The first one in line that waits and whose turn is not before `turn`. On the way, others leave
    /// the line.
    fn first_waiting(&mut self, side: Side, turn: u64) -> Option<(u64, u32)> {
        loop {
            let (&turn, &id) = self.line(side).turns.range(turn..).next()?;
            self.looks += 1;
            self.most_looks = self.most_looks.max(self.looks);
            if self.seats(id).seat(side).is_waiting {
                return Some((turn, id));
            }
            self.leave_line(Place { id, side });
        }
    }
}

fn set_mark(mark: &AtomicU32, last: &mut u32, value: u32) {
    if *last != value {
        *last = value;
        mark.store(value, Ordering::Relaxed);
    }
}

/// A channel where requests can wait.
pub struct ParkingChannel<T> {
    pub channel: Channel,
    pub tasks: T,
    parking: Mutex<Parking>,
    receivers_wait: AtomicU32,
    senders_wait: AtomicU32,
    members: Vec<Member>,
    is_tick_armed: AtomicBool,
    locked: AtomicU64,
}

impl<T: Tasks> Waiting for ParkingChannel<T> {
    type Memory = TestMemory;
    type Receiver = Member;
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

    fn wants<'a>(&'a self, member: &'a Member) -> &'a AtomicU32 {
        &member.wants
    }

    fn senders_wait(&self) -> &AtomicU32 {
        &self.senders_wait
    }

    fn receiver<'a>(&'a self, id: u32, (): &'a ()) -> Option<&'a Member> {
        self.channel.is_attached(id).then(|| self.member(id))
    }

    fn is_any_left(&self) -> bool {
        let first = self.lock().first_waiting(Side::Receives, 0);
        first.is_some_and(|(_, id)| self.may_have_any(self.member(id)))
    }

    fn made_room(&self, member: &Member, position: u32) -> bool {
        self.channel
            .ring
            .broadcast_made_room(member.id, position, false)
    }

    fn next(&self, member: &Member) -> Result<u32, NoMessage> {
        self.channel.next(member.id)
    }

    fn may_have_any(&self, member: &Member) -> bool {
        self.channel.may_have_any(member.id)
    }

    fn has_targeted(&self, member: &Member) -> bool {
        self.channel.has_targeted(member.id)
    }

    fn reclaim(&self, missing: u32, (): &()) {
        self.channel.reclaim_for(missing);
        self.tasks.others_run(&self.channel);
    }

    fn next_send_needs(&self) -> u32 {
        let mut parking = self.lock();
        let Some((_, id)) = parking.first_waiting(Side::Sends, 0) else {
            return 1;
        };
        let seat = &parking.seats(id).sends;
        seat.requests.front().map_or(1, |&(_, slots)| slots)
    }

    fn may_overwrite(&self, _missing: u32, (): &()) -> bool {
        false
    }

    fn wake_any(&self, count: u32) {
        for number in 0..count {
            let mut parking = self.lock();
            if number == 0 && parking.awake_receiver.is_some() {
                return;
            }
            let Some((_, id)) = parking.first_waiting(Side::Receives, 0) else {
                return;
            };
            let woken = self.take(&mut parking, receives(id));
            parking.awake_receiver = Some(id);
            self.settle(&mut parking, receives(id));
            let is_any_left = parking.receivers.waiting != 0;
            drop(parking);
            if is_any_left {
                self.arm_tick();
            }
            self.wake(woken);
        }
    }

    fn wake_each(&self) {
        let (mut next, mut limit) = (0, None);
        loop {
            let mut parking = self.lock();
            let Some((turn, id)) = parking.first_waiting(Side::Receives, next) else {
                return;
            };
            // Those that enter the line after the start have later turns.
            if turn > *limit.get_or_insert(parking.turn) {
                return;
            }
            next = turn + 1;
            let woken = self.take(&mut parking, receives(id));
            parking.seats(id).is_awake = true;
            self.settle(&mut parking, receives(id));
            drop(parking);
            self.wake(woken);
        }
    }

    fn wake_one_of(&self, member: &Member) {
        let place = receives(member.id);
        let mut parking = self.lock();
        let mut woken = None;
        if !parking.seats(member.id).is_awake {
            woken = self.take(&mut parking, place);
            parking.seats(member.id).is_awake = woken.is_some();
        }
        let is_watched = self.unwatch(&mut parking, member.id);
        self.settle(&mut parking, place);
        drop(parking);
        self.wake(woken);
        if is_watched {
            self.tell(member.id, false);
        }
    }

    fn wake_senders(&self, count: u32) {
        for number in 0..count {
            let mut parking = self.lock();
            if number == 0 && parking.awake_sender.is_some() {
                return;
            }
            let Some((_, id)) = parking.first_waiting(Side::Sends, 0) else {
                return;
            };
            let woken = self.take(&mut parking, sends(id));
            parking.awake_sender = Some(id);
            self.settle(&mut parking, sends(id));
            let is_any_left = parking.senders.waiting != 0;
            drop(parking);
            if is_any_left {
                self.arm_tick();
            }
            self.wake(woken);
        }
    }

    fn tell_of_messages(&self, to_all: bool) {
        let mut limit = None;
        loop {
            let mut parking = self.lock();
            let Some((&turn, &id)) = parking.watched.first_key_value() else {
                return;
            };
            // Those that look again have later turns.
            if turn > *limit.get_or_insert(parking.turn) {
                return;
            }
            self.unwatch(&mut parking, id);
            drop(parking);
            self.tell(id, to_all);
        }
    }

    fn tell_of_room(&self, to_all: bool) {
        {
            let mut parking = self.lock();
            parking.is_room_watched = false;
            self.set_marks(&mut parking);
        }
        if self.tasks.tell_of_room(to_all) {
            // The one that was told may be stopped.
            self.watch_room_locked();
            self.arm_tick();
        }
    }

    fn let_go(&self, mut each: impl FnMut(&Member)) {
        let mut limit = None;
        loop {
            let mut parking = self.lock();
            let Some((&turn, &id)) = parking.held.first_key_value() else {
                return;
            };
            // Those that are held again have later turns.
            if turn > *limit.get_or_insert(parking.turn) {
                return;
            }
            parking.seats(id).is_awake = false;
            self.settle(&mut parking, receives(id));
            drop(parking);
            each(self.member(id));
        }
    }

    fn wait_no_longer(&self) -> (u32, u32) {
        let mut parking = self.lock();
        let Parking {
            awake_receiver,
            awake_sender,
            receiver_stalls,
            sender_stalls,
            ..
        } = &mut *parking;
        let forget = |awake: &mut Option<u32>, stalls: &mut u32| {
            *stalls = match awake.take() {
                None => 0,
                Some(_) => (*stalls + 1).min(MAX_STALLS),
            };
            1 << *stalls
        };
        let receives = forget(awake_receiver, receiver_stalls);
        let sends = forget(awake_sender, sender_stalls);
        self.set_marks(&mut parking);
        (receives, sends)
    }

    fn arm_tick(&self) {
        self.is_tick_armed.store(true, Ordering::Relaxed);
    }
}

/// Where the receives of a subscriber wait.
pub fn receives(id: u32) -> Place {
    Place {
        id,
        side: Side::Receives,
    }
}

/// Where the sends of a subscriber wait.
pub fn sends(id: u32) -> Place {
    Place {
        id,
        side: Side::Sends,
    }
}

impl<T: Tasks> ParkingChannel<T> {
    /// Lets requests wait for what happens in `channel`.
    pub fn new(channel: Channel, tasks: T) -> Self {
        let subscribers = channel.max_subscribers();
        let parking = Parking {
            seats: (0..=subscribers).map(|_| Seats::default()).collect(),
            ..Parking::default()
        };
        let result = Self {
            channel,
            tasks,
            parking: Mutex::new(parking),
            receivers_wait: AtomicU32::new(0),
            senders_wait: AtomicU32::new(0),
            members: (1..=subscribers)
                .map(|id| Member {
                    id,
                    wants: AtomicU32::new(0),
                })
                .collect(),
            is_tick_armed: AtomicBool::new(false),
            locked: AtomicU64::new(0),
        };
        let mut parking = result.lock();
        (1..=subscribers).for_each(|id| parking.seats(id).rank = parking.next_turn());
        drop(parking);
        result
    }

    /// A subscriber.
    pub fn member(&self, id: u32) -> &Member {
        &self.members[id as usize - 1]
    }

    fn lock(&self) -> MutexGuard<'_, Parking> {
        self.locked.fetch_add(1, Ordering::Relaxed);
        let mut parking = self.parking.lock().unwrap();
        parking.looks = 0;
        parking
    }

    /// How often a task has taken the lock.
    pub fn locked(&self) -> u64 {
        self.locked.load(Ordering::Relaxed)
    }

    /// How many members a task has looked at, at most, while it had the lock.
    pub fn most_looks(&self) -> u64 {
        self.lock().most_looks
    }

    fn wake(&self, request: Option<usize>) {
        if let Some(request) = request {
            self.tasks.wake(request);
        }
    }

    /// Counts a seat as waiting or not, and sets the marks. A seat that waits stands in line.
    fn settle(&self, parking: &mut Parking, place: Place) {
        let mut is_held_up = false;
        let seats = parking.seats(place.id);
        if place.side == Side::Receives {
            let waits = !seats.receives.requests.is_empty() && !seats.is_awake;
            let wants = waits || seats.watch.is_some();
            set_mark(&self.member(place.id).wants, &mut seats.wants, wants.into());
            is_held_up = self.channel.mode == Mode::Broadcast && seats.is_awake;
            let is_held = seats.is_awake && !seats.receives.requests.is_empty();
            if is_held != seats.hold.is_some() {
                self.set_held(parking, place.id, is_held);
            }
        }
        let seats = parking.seats(place.id);
        let seat = seats.seat(place.side);
        let waits = !seat.requests.is_empty() && !is_held_up;
        if waits != seat.is_waiting {
            seat.is_waiting = waits;
            let is_in_line = seat.turn.is_some();
            let line = parking.line(place.side);
            if waits {
                line.waiting += 1;
                if !is_in_line || (self.is_by_ticket(place) && line.turns.len() > 1) {
                    self.line_up(parking, place);
                }
            } else {
                line.waiting -= 1;
                if line.turns.len() as u32 - line.waiting > MAX_IDLE {
                    parking.leave_line(place);
                }
            }
        }
        self.set_marks(parking);
    }

    fn set_held(&self, parking: &mut Parking, id: u32, is_held: bool) {
        if is_held {
            let turn = parking.next_turn();
            parking.seats(id).hold = Some(turn);
            parking.held.insert(turn, id);
            self.arm_tick();
        } else if let Some(turn) = parking.seats(id).hold.take() {
            parking.held.remove(&turn);
        }
    }

    fn is_by_ticket(&self, place: Place) -> bool {
        place.side == Side::Sends || self.channel.mode == Mode::Multicast
    }

    /// Puts a seat at the end of its line, or where it belongs.
    fn line_up(&self, parking: &mut Parking, place: Place) {
        parking.leave_line(place);
        let turn = if self.is_by_ticket(place) {
            parking.next_turn()
        } else {
            parking.seats(place.id).rank
        };
        parking.seats(place.id).seat(place.side).turn = Some(turn);
        parking.line(place.side).turns.insert(turn, place.id);
    }

    /// Takes the first request out of a seat. If it has more, it goes to the end of the line.
    fn take(&self, parking: &mut Parking, place: Place) -> Option<usize> {
        let requests = &mut parking.seats(place.id).seat(place.side).requests;
        let (request, _) = requests.pop_front()?;
        let has_more = !requests.is_empty();
        if has_more && self.is_by_ticket(place) && parking.line(place.side).turns.len() > 1 {
            self.line_up(parking, place);
        }
        Some(request)
    }

    fn set_marks(&self, parking: &mut Parking) {
        let (mut messages, mut room) = (0, 0);
        if parking.receivers.waiting != 0 {
            let is_any_awake = parking.awake_receiver.is_some();
            messages |= if is_any_awake { OTHERS } else { REQUESTS };
        }
        if !parking.watched.is_empty() {
            messages |= WATCHERS;
        }
        set_mark(&self.receivers_wait, &mut parking.receivers_wait, messages);
        if parking.senders.waiting != 0 && parking.awake_sender.is_none() {
            room |= REQUESTS;
        }
        if parking.is_room_watched {
            room |= WATCHERS;
        }
        set_mark(&self.senders_wait, &mut parking.senders_wait, room);
    }

    /// Whether a subscriber is detached.
    pub fn is_detached(&self, id: u32) -> bool {
        id != 0 && self.channel.ring.is_detached(self.channel.cursor(id))
    }

    fn enter(&self, request: usize, place: Place, goes_first: bool, slots: u32) -> bool {
        let mut parking = self.lock();
        if self.channel.ring.is_closed() || self.is_detached(place.id) {
            return false;
        }
        let requests = &mut parking.seats(place.id).seat(place.side).requests;
        if goes_first {
            requests.push_front((request, slots));
        } else {
            requests.push_back((request, slots));
        }
        self.settle(&mut parking, place);
        let is_any_awake = parking.awake(place.side).is_some();
        drop(parking);
        if is_any_awake {
            // That one may be stopped.
            self.arm_tick();
        }
        true
    }

    /// Takes a request out that is canceled. Returns false if a waker was faster.
    pub fn unpark(&self, request: usize, place: Place) -> bool {
        let is_parked = self.leave(request, place);
        if is_parked && place.side == Side::Sends {
            self.next_may_fit(&());
        }
        is_parked
    }

    /// Takes a request out again. Returns false if a waker was faster.
    pub fn leave(&self, request: usize, place: Place) -> bool {
        let mut parking = self.lock();
        let requests = &mut parking.seats(place.id).seat(place.side).requests;
        let Some(index) = requests.iter().position(|&(other, _)| other == request) else {
            return false;
        };
        requests.remove(index);
        self.settle(&mut parking, place);
        true
    }

    fn looks_locked(&self, place: Place) {
        let mut parking = self.lock();
        let awake = parking.awake(place.side);
        if *awake == Some(place.id) {
            *awake = None;
        }
        let seats = parking.seats(place.id);
        if place.side == Side::Receives && seats.is_awake {
            seats.is_awake = false;
            self.settle(&mut parking, place);
            return;
        }
        self.set_marks(&mut parking);
    }

    /// A request was woken, and is about to look.
    pub fn looks(&self, place: Place) {
        if self.is_detached(place.id) {
            return;
        }
        self.looks_locked(place);
        // After the mark, before the look at the ring (D).
        TestMemory::full_barrier();
    }

    /// Parks a request. `goes_first` if it was woken in vain. Returns false if the request should be
    /// tried again at once.
    pub fn park(&self, request: usize, place: Place, goes_first: bool) -> bool {
        self.park_for(1, request, place, goes_first)
    }

    /// The same for a request that needs so many slots, if it is a send.
    pub fn park_for(&self, slots: u32, request: usize, place: Place, goes_first: bool) -> bool {
        if !self.enter(request, place, goes_first, slots) {
            return false;
        }
        // After the mark, before the look at the ring (D).
        TestMemory::full_barrier();
        if place.side == Side::Sends {
            if self.has_room(slots, &()) && self.leave(request, place) {
                return false;
            }
            if goes_first {
                self.next_may_fit(&());
            }
            return true;
        }
        let found = self.channel.next(place.id);
        let is_empty = matches!(found, Err(NoMessage::Empty | NoMessage::Busy));
        if !is_empty && self.leave(request, place) {
            return false;
        }
        // No receiver may come for long now, so a little room has to do for a sender.
        self.wake_sender(&());
        true
    }

    /// A request that was woken ends, and may not have taken what it was woken for.
    pub fn end_in_vain(&self, place: Place) {
        if self.is_detached(place.id) {
            return;
        }
        self.looks(place);
        let receiver = (place.side == Side::Receives).then(|| self.member(place.id));
        self.pass_on(receiver, &());
    }

    /// A request that has claimed nothing, or has put back what it had claimed, is going to sleep.
    pub fn will_sleep(&self, place: Place) {
        if self.is_detached(place.id) {
            return;
        }
        let receiver = (place.side == Side::Receives).then(|| self.member(place.id));
        self.pass_on(receiver, &());
    }

    fn end_all(&self, place: Place) {
        loop {
            let mut parking = self.lock();
            let woken = self.take(&mut parking, place);
            self.settle(&mut parking, place);
            drop(parking);
            if woken.is_none() {
                return;
            }
            self.wake(woken);
        }
    }

    fn end_requests(&self, id: u32) {
        for place in [receives(id), sends(id)] {
            self.end_all(place);
        }
        // A request that is awake finds out by itself, and wakes no other one.
        self.looks_locked(receives(id));
        self.looks_locked(sends(id));
        let mut parking = self.lock();
        parking.leave_line(receives(id));
        parking.leave_line(sends(id));
        self.unwatch(&mut parking, id);
    }

    /// Ends sending.
    pub fn close(&self) {
        self.channel.ring.close();
        TestMemory::full_barrier();
        self.end_all(sends(0));
        self.tasks.tell_the_end(0);
        for id in 1..=self.channel.max_subscribers() {
            self.end_requests(id);
            self.tasks.tell_the_end(id);
        }
    }

    /// Detaches a subscriber that is not receiving at the moment.
    pub fn detach(&self, id: u32) {
        assert!(!self.channel.leave(id));
        self.end_requests(id);
        self.channel.remove(id);
        self.tasks.tell_the_end(id);
        self.pass_on(Some(self.member(id)), &());
    }

    /// What a subscriber does after it has joined.
    pub fn has_joined(&self) {
        TestMemory::full_barrier();
        self.wake_sender(&());
    }

    /// What a subscriber does before it joins.
    pub fn rank(&self, id: u32) {
        let mut parking = self.lock();
        parking.seats(id).rank = parking.next_turn();
    }

    fn watch(&self, id: u32) {
        let mut parking = self.lock();
        if self.is_detached(id) {
            return;
        }
        if parking.seats(id).watch.is_none() {
            let turn = parking.next_turn();
            parking.seats(id).watch = Some(turn);
            parking.watched.insert(turn, id);
        }
        self.settle(&mut parking, receives(id));
    }

    fn unwatch(&self, parking: &mut Parking, id: u32) -> bool {
        let Some(turn) = parking.seats(id).watch.take() else {
            return false;
        };
        parking.watched.remove(&turn);
        self.settle(parking, receives(id));
        true
    }

    fn watch_room_locked(&self) {
        let mut parking = self.lock();
        parking.is_room_watched = true;
        self.set_marks(&mut parking);
    }

    fn tell(&self, id: u32, to_all: bool) {
        if self.tasks.tell(id, to_all) {
            // The one that was told may be stopped.
            self.watch(id);
            self.arm_tick();
        }
    }

    /// Looks for a message for a watcher that has entered the queue of a subscriber. If there is none,
    /// the watcher will be told of one.
    pub fn look_for_message(&self, id: u32) -> bool {
        self.watch(id);
        // After the mark, before the look at the ring (D).
        TestMemory::full_barrier();
        matches!(self.channel.next(id), Ok(_) | Err(NoMessage::Closed))
    }

    /// Looks for room for a watcher that has entered the queue. If there is none, the watcher will be
    /// told of it.
    pub fn look_for_room(&self) -> bool {
        if self.has_room_for_any(&()) {
            return true;
        }
        self.watch_room_locked();
        // After the mark, before the look at the ring (D).
        TestMemory::full_barrier();
        self.has_room_for_any(&())
    }

    /// Sends a message to `target`, or with 0 to any receiver. As `Channel::send`.
    pub fn send(&self, target: u32, payload: u32) -> Result<Message, NoRoom> {
        let message = match target {
            0 => self.channel.send(payload)?,
            id => self.channel.send_to(id, payload)?,
        };
        self.has_sent(target, 1, message.position.wrapping_add(1));
        Ok(message)
    }

    /// Receives a message if there is one. As `Channel::receive`.
    pub fn receive(&self, id: u32) -> Result<Message, NoMessage> {
        let message = self.channel.receive(id)?;
        self.has_received(self.member(id), message.position, &());
        Ok(message)
    }

    /// What a sender does after it has published `count` messages before `end`: for `target`, or for
    /// any receiver with 0.
    pub fn has_sent(&self, target: u32, count: u32, end: u32) {
        // After the messages, before the marks (D).
        TestMemory::full_barrier();
        // The kernel looks whether the slots of this sender have filled the ring.
        if self.tasks.is_room_watched() && self.channel.ring.is_full() {
            self.watch_room_locked();
            // After the mark, before the look at the ring (D).
            TestMemory::full_barrier();
            self.wake_sender_for_much(&());
        }
        let marks = [&self.receivers_wait, &self.senders_wait];
        if marks.iter().all(|mark| mark.load(Ordering::Relaxed) == 0) {
            return;
        }
        if count > 0 {
            let target = (target != 0).then(|| self.member(target));
            self.wake_receivers(target);
        }
        self.wake_receivers_after(end, &());
        self.wake_sender_for_much(&());
    }

    /// Runs the tick if it is armed. Returns whether it was.
    pub fn run_tick(&self) -> bool {
        let is_armed = self.is_tick_armed.swap(false, Ordering::Relaxed);
        if is_armed {
            self.tick(&());
        }
        is_armed
    }

    /// Whether the tick is going to run.
    pub fn is_tick_armed(&self) -> bool {
        self.is_tick_armed.load(Ordering::Relaxed)
    }
}
