// SPDX-License-Identifier: GPL-2.0

//! Parking: the requests and watchers that wait, and the order in which wakers wake them.
//!
//! Each member has a seat for its receives and one for its sends. The channel has one more, for the
//! sends of senders that are not attached. A seat is a queue of requests. Seats with requests stand
//! in two lines: for messages, and for room.
//!
//! Locking: the spinlock `Channel::parking` protects all of this. It is inside the `uring_lock`, and
//! outside nothing: a task wakes others after it has unlocked. Nobody sleeps while holding it, and
//! nobody holds it for more than a few steps, however many wait.

use kernel::{
    prelude::*,
    rbtree::{RBTree, RBTreeNodeReservation},
    sync::{
        aref::ARef,
        atomic::{Atomic, Relaxed},
        rcu, Arc, LockedBy,
    },
};

use super::{
    calls::{Call, Calls},
    departure::Watches,
    fair::{Account, Groups},
    member::Member,
    Channel,
};
use crate::{
    kernel::{
        alloc::GFP_MAYFAIL,
        parked::{Fifo, Parkable, Woken},
        rcu::RcuObject,
    },
    observe::trace,
    ring::{Mode, Waiting, OTHERS, REQUESTS, WATCHERS},
};

/// A member in a line, or `None` for the channel.
pub(super) type Entry = Option<ARef<RcuObject<Member>>>;

/// What an entry needs to be in a line.
type Node = RBTreeNodeReservation<u64, Entry>;

/// What a place in a [`Line`] needs: a node while it is not in the line, and its turn while it is.
pub(super) struct Place {
    node: Option<Node>,
    turn: u64,
}

impl Place {
    /// A place that is in no line. May sleep.
    fn new() -> Result<Self> {
        Ok(Self {
            node: Some(RBTreeNodeReservation::new(GFP_MAYFAIL)?),
            turn: 0,
        })
    }
}

/// Members by their turn.
///
/// A member whose requests were all woken stays in line until a waker finds that: usually it comes
/// back before. No more than [`MAX_IDLE`] of them stay.
pub(super) struct Line {
    tree: RBTree<u64, Entry>,
    /// How many there are.
    len: u32,
    /// How many of them have requests to be woken.
    waiting: u32,
}

impl Line {
    pub(super) fn new() -> Self {
        Self {
            tree: RBTree::new(),
            len: 0,
            waiting: 0,
        }
    }

    /// Whether a member in it has requests to be woken.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting != 0
    }

    /// The first one whose turn is not before `turn`.
    fn from(&self, turn: u64) -> Option<(u64, Entry)> {
        let cursor = if turn == 0 {
            self.tree.cursor_front()
        } else {
            self.tree.cursor_lower_bound(&turn)
        }?;
        let (&turn, entry) = cursor.current();
        Some((turn, entry.clone()))
    }

    fn insert(&mut self, node: Node, turn: u64, entry: Entry) {
        // No two members have the same turn.
        drop(self.tree.insert(node.into_node(turn, entry)));
        self.len += 1;
    }

    fn remove(&mut self, turn: u64) -> Option<Node> {
        let node = self.tree.remove_node(&turn)?;
        self.len -= 1;
        Some(node.into_reservation())
    }
}

/// Requests that wait for the same, and where they stand in line.
pub(super) struct Seat {
    requests: Fifo,
    place: Place,
    /// Whether the line counts it as waiting.
    is_waiting: bool,
}

impl Seat {
    /// An empty one. May sleep.
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            requests: Fifo::new(),
            place: Place::new()?,
            is_waiting: false,
        })
    }

    /// How many slots its first request needs, if it is a send.
    pub(super) fn first_needs(&self) -> u32 {
        self.requests.first_needs()
    }
}

/// What a member has of this.
pub(super) struct Seats {
    receives: Seat,
    sends: Seat,
    /// In line while it has watchers for messages that were not told of one since they have looked.
    watch: Place,
    /// In line while one of its receives is awake and others wait.
    hold: Place,
    /// The turn of its receives where they do not take turns: the order of attaching.
    rank: u64,
    /// One of its receives is awake for a message that only this member can get, and has not looked.
    is_awake: bool,
    /// Requests that wait for the end of a member.
    pub(super) watches: Watches,
    /// Its calls that wait for answers.
    pub(super) calls: Fifo,
    /// Its last call that was answered, for the next one.
    pub(super) spare: Option<Arc<Call>>,
}

impl Seats {
    /// Those of a new member. May sleep.
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            receives: Seat::new()?,
            sends: Seat::new()?,
            watch: Place::new()?,
            hold: Place::new()?,
            rank: 0,
            is_awake: false,
            watches: Watches::new()?,
            calls: Fifo::new(),
            spare: None,
        })
    }
}

/// What waits in a channel. See [`Waiting`] for what may be awake.
pub(super) struct Parking {
    /// Members with receives that wait. In a broadcast, only those of which no request is awake.
    receivers: Line,
    /// Members with sends that wait, and the channel. In a fair channel each account has a line.
    senders: Line,
    /// Accounts of a fair channel with sends that wait.
    pub(super) groups: Groups,
    /// Members with watchers.
    watched: Line,
    /// Members whose receives wait for one of them that is awake: its task may be stopped.
    held: Line,
    /// Sends of senders that are not attached.
    unattached: Seat,
    /// The last turn that was given.
    turn: u64,
    /// The member of which a receive is awake for a message for anybody, and has not looked; or 0.
    awake_receiver: u32,
    /// The same for a send: the member, or the channel.
    pub(super) awake_sender: u32,
    /// How many times running the tick has found a receive awake that had not looked.
    receiver_stalls: u32,
    /// The same for a send.
    sender_stalls: u32,
    /// There are watchers for room that were not told of any since they have looked.
    is_room_watched: bool,
    /// Calls that have no answer.
    pub(super) calls: Calls,
}

impl Parking {
    /// Nothing waits. May sleep.
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            receivers: Line::new(),
            senders: Line::new(),
            groups: Groups::new(),
            watched: Line::new(),
            held: Line::new(),
            unattached: Seat::new()?,
            turn: 0,
            awake_receiver: 0,
            awake_sender: 0,
            receiver_stalls: 0,
            sender_stalls: 0,
            is_room_watched: false,
            calls: Calls::new(),
        })
    }

    pub(super) fn next_turn(&mut self) -> u64 {
        self.turn += 1;
        self.turn
    }
}

/// Which seat of a member.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// For its receives.
    Receives,
    /// For its sends.
    Sends,
}

/// Stores a mark, but leaves its cache line alone if nothing changes.
fn set_mark(mark: &Atomic<u32>, value: u32) {
    if mark.load(Relaxed) != value {
        mark.store(value, Relaxed);
    }
}

/// How many requests a task takes out before it unlocks and wakes them.
pub(super) const BATCH: usize = 16;

/// How many members may stand in a line and wait for nothing: a waker passes over all of them.
const MAX_IDLE: u32 = 16;

/// At most 2 to the power of this many requests are woken at once, if stopped tasks may have many.
const MAX_STALLS: u32 = 10;

impl Channel {
    /// The seat for the sends of `member`, or of senders that are not attached.
    pub(super) fn seat<'a>(
        &self,
        parking: &'a mut Parking,
        member: Option<&'a Member>,
        side: Side,
    ) -> &'a mut Seat {
        match (member, side) {
            (Some(member), Side::Receives) => &mut member.seats(parking).receives,
            (Some(member), Side::Sends) => &mut member.seats(parking).sends,
            (None, _) => &mut parking.unattached,
        }
    }

    /// The line for a side of `member`, or of senders that are not attached.
    fn line<'a>(
        &'a self,
        parking: &'a mut Parking,
        member: Option<&'a Member>,
        side: Side,
    ) -> &'a mut Line {
        match side {
            Side::Receives => &mut parking.receivers,
            Side::Sends => {
                self.line_of_sends(parking, self.account(member).map(|account| &**account))
            }
        }
    }

    /// The line for sends, of an account if the channel is fair.
    fn line_of_sends<'a>(
        &self,
        parking: &'a mut Parking,
        account: Option<&'a Account>,
    ) -> &'a mut Line {
        match account {
            Some(account) => &mut account.group(parking).line,
            None => &mut parking.senders,
        }
    }

    /// Counts a seat as waiting or not, and sets the mark of its side. A seat that waits stands in line.
    fn settle(&self, parking: &mut Parking, member: Option<&Member>, side: Side) {
        let mut is_held_up = false;
        if let (Some(member), Side::Receives) = (member, side) {
            let seats = member.seats(parking);
            let waits = !seats.receives.requests.is_empty() && !seats.is_awake;
            let is_watched = seats.watch.node.is_none();
            set_mark(&member.wants, (waits || is_watched).into());
            is_held_up = self.mode == Mode::Broadcast && seats.is_awake;
            let is_held = seats.is_awake && !seats.receives.requests.is_empty();
            if is_held != seats.hold.node.is_none() {
                self.set_held(parking, member, is_held);
            }
        }
        let seat = self.seat(parking, member, side);
        let waits = !seat.requests.is_empty() && !is_held_up;
        if waits != seat.is_waiting {
            seat.is_waiting = waits;
            let is_in_line = seat.place.node.is_none();
            if !waits {
                let line = self.line(parking, member, side);
                line.waiting -= 1;
                if line.len - line.waiting > MAX_IDLE {
                    self.leave_line(parking, member, side);
                }
            } else {
                let line = self.line(parking, member, side);
                line.waiting += 1;
                if !is_in_line || (self.is_by_ticket(side) && line.len > 1) {
                    self.line_up(parking, member, side);
                }
            }
        }
        if side == Side::Sends {
            if let Some(account) = self.account(member) {
                self.settle_group(parking, account, false);
            }
        }
        self.set_mark_of(parking, side);
    }

    /// Lets a member enter or leave the line of those that are held.
    #[cold]
    fn set_held(&self, parking: &mut Parking, member: &Member, is_held: bool) {
        if is_held {
            let turn = parking.next_turn();
            let hold = &mut member.seats(parking).hold;
            hold.turn = turn;
            if let Some(node) = hold.node.take() {
                let entry = self.entry(member);
                parking.held.insert(node, turn, entry);
            }
            self.arm_tick();
        } else {
            let turn = member.seats(parking).hold.turn;
            let node = parking.held.remove(turn);
            member.seats(parking).hold.node = node;
        }
    }

    /// Whether the members of a line stand in the order in which they came. Receivers of a unicast
    /// stand in the order in which they have attached, and in a broadcast the order does not matter.
    fn is_by_ticket(&self, side: Side) -> bool {
        side == Side::Sends || self.mode == Mode::Multicast
    }

    /// Puts a seat at the end of its line, or where it belongs.
    fn line_up(&self, parking: &mut Parking, member: Option<&Member>, side: Side) {
        self.leave_line(parking, member, side);
        let turn = match member {
            Some(member) if !self.is_by_ticket(side) => member.seats(parking).rank,
            _ => parking.next_turn(),
        };
        let place = &mut self.seat(parking, member, side).place;
        place.turn = turn;
        if let Some(node) = place.node.take() {
            let entry = member.and_then(|member| self.entry(member));
            self.line(parking, member, side).insert(node, turn, entry);
        }
    }

    /// A reference to a member that is in the channel.
    fn entry(&self, member: &Member) -> Entry {
        let guard = rcu::read_lock();
        // It leaves the lines before it leaves the channel, so the channel has a reference.
        self.members.get(member.id(), &guard).map(ARef::from)
    }

    fn leave_line(&self, parking: &mut Parking, member: Option<&Member>, side: Side) {
        let place = &self.seat(parking, member, side).place;
        if place.node.is_none() {
            let turn = place.turn;
            let node = self.line(parking, member, side).remove(turn);
            self.seat(parking, member, side).place.node = node;
        }
    }

    /// Sets the mark for messages or for room.
    #[inline]
    fn set_mark_of(&self, parking: &Parking, side: Side) {
        let mut value = 0;
        match side {
            Side::Receives => {
                if parking.receivers.waiting != 0 {
                    let is_any_awake = parking.awake_receiver != 0;
                    value |= if is_any_awake { OTHERS } else { REQUESTS };
                }
                if parking.watched.len != 0 {
                    value |= WATCHERS;
                }
                set_mark(&self.receivers_wait, value);
            }
            Side::Sends => {
                let waits = parking.senders.waiting != 0 || !parking.groups.is_empty();
                if waits && parking.awake_sender == 0 {
                    value |= REQUESTS;
                }
                if parking.is_room_watched {
                    value |= WATCHERS;
                }
                set_mark(self.senders_wait(), value);
            }
        }
    }

    /// The first one in line that waits and whose turn is not before `turn`. On the way, others leave
    /// the line.
    fn first_waiting(&self, parking: &mut Parking, side: Side, turn: u64) -> Option<(u64, Entry)> {
        self.first_waiting_in(parking, None, side, turn)
    }

    /// The same in the line of an account, if there is one.
    pub(super) fn first_waiting_in(
        &self,
        parking: &mut Parking,
        account: Option<&Account>,
        side: Side,
        turn: u64,
    ) -> Option<(u64, Entry)> {
        loop {
            let line = match side {
                Side::Receives => &mut parking.receivers,
                Side::Sends => self.line_of_sends(parking, account),
            };
            let (turn, entry) = line.from(turn)?;
            if self.seat(parking, member_of(&entry), side).is_waiting {
                return Some((turn, entry));
            }
            self.leave_line(parking, member_of(&entry), side);
        }
    }

    /// Takes the first request out of a seat. If it has more, it goes to the end of the line.
    fn take(&self, parking: &mut Parking, member: Option<&Member>, side: Side) -> Option<Woken> {
        let seat = self.seat(parking, member, side);
        let woken = seat.requests.pop()?;
        let has_more = !seat.requests.is_empty();
        if has_more && self.is_by_ticket(side) && self.line(parking, member, side).len > 1 {
            self.line_up(parking, member, side);
        }
        Some(woken)
    }

    /// Gives a new member its rank.
    pub(super) fn rank(&self, member: &Member) {
        let mut parking = self.parking.lock();
        let rank = parking.next_turn();
        member.seats(&mut parking).rank = rank;
    }

    /// Parks a request of `member`, or a send without an attachment. `comes_back` if it was woken in
    /// vain. Returns false if nothing would wake the request, because the channel or the membership has
    /// ended.
    pub(super) fn enter(
        &self,
        member: Option<&Member>,
        side: Side,
        request: &Parkable<'_>,
        comes_back: bool,
    ) -> bool {
        let mut parking = self.parking.lock();
        if self.ring.is_closed() || member.is_some_and(|member| self.is_detached(member)) {
            return false;
        }
        let seat = self.seat(&mut parking, member, side);
        seat.requests.push(request, comes_back);
        self.settle(&mut parking, member, side);
        let awake = match side {
            Side::Receives => parking.awake_receiver,
            Side::Sends => parking.awake_sender,
        };
        drop(parking);
        if awake != 0 {
            // That one may be stopped.
            self.arm_tick();
        }
        true
    }

    /// Takes a request out again. Returns false if a waker was faster.
    pub(super) fn leave(
        &self,
        member: Option<&Member>,
        side: Side,
        request: &Parkable<'_>,
    ) -> bool {
        let mut parking = self.parking.lock();
        let is_parked = self
            .seat(&mut parking, member, side)
            .requests
            .remove(request);
        if is_parked {
            self.settle(&mut parking, member, side);
        }
        is_parked
    }

    /// A request of `member`, or a send without an attachment, was woken and is about to look.
    pub(super) fn looks(&self, member: Option<&Member>, side: Side) {
        let mut parking = self.parking.lock();
        let id = member.map_or(self.id, |member| member.id());
        let awake = match side {
            Side::Receives => &mut parking.awake_receiver,
            Side::Sends => &mut parking.awake_sender,
        };
        if *awake == id {
            *awake = 0;
        }
        if side == Side::Sends {
            self.stall_no_more(&mut parking, member);
        }
        if let (Some(member), Side::Receives) = (member, side) {
            let is_awake = &mut member.seats(&mut parking).is_awake;
            if *is_awake {
                *is_awake = false;
                self.settle(&mut parking, Some(member), side);
                return;
            }
        }
        self.set_mark_of(&parking, side);
    }

    /// A membership has ended: its seats leave their lines. The caller has woken what was there.
    pub(super) fn leave_lines(&self, member: &Member) {
        let mut parking = self.parking.lock();
        self.leave_line(&mut parking, Some(member), Side::Receives);
        self.leave_line(&mut parking, Some(member), Side::Sends);
        self.unwatch(&mut parking, member);
    }

    /// Wakes requests of a side of `member`, or of senders that are not attached, because the
    /// membership or the channel has ended. Returns whether more of them may be left.
    pub(super) fn end_some(&self, member: Option<&Member>, side: Side) -> bool {
        let mut batch = [const { None }; BATCH];
        let mut parking = self.parking.lock();
        let mut count = 0;
        for woken in &mut batch {
            *woken = self.take(&mut parking, member, side);
            count += u32::from(woken.is_some());
        }
        self.settle(&mut parking, member, side);
        drop(parking);
        if count > 0 {
            trace::wake(|| (self.id, member.map_or(0, |member| member.id()), count));
        }
        count as usize == BATCH
    }

    /// Notes that watchers of `member` for messages are about to look.
    pub(super) fn watch(&self, member: &Member) {
        let mut parking = self.parking.lock();
        if !self.is_detached(member) {
            self.watch_locked(&mut parking, member);
        }
    }

    fn watch_locked(&self, parking: &mut Parking, member: &Member) {
        let node = member.seats(parking).watch.node.take();
        if let Some(node) = node {
            let turn = parking.next_turn();
            member.seats(parking).watch.turn = turn;
            let entry = self.entry(member);
            parking.watched.insert(node, turn, entry);
        }
        self.settle(parking, Some(member), Side::Receives);
    }

    /// The opposite. Returns whether they were waiting.
    fn unwatch(&self, parking: &mut Parking, member: &Member) -> bool {
        let watch = &member.seats(parking).watch;
        if watch.node.is_some() {
            return false;
        }
        let turn = watch.turn;
        let node = parking.watched.remove(turn);
        member.seats(parking).watch.node = node;
        self.settle(parking, Some(member), Side::Receives);
        true
    }

    /// Notes that watchers for room are about to look.
    pub(super) fn watch_room(&self) {
        let mut parking = self.parking.lock();
        parking.is_room_watched = true;
        self.set_mark_of(&parking, Side::Sends);
    }

    /// Tells the watchers of `member` of a message.
    fn tell(&self, member: &Member, to_all: bool) {
        if member.readable.wake(to_all) {
            // The one that was told may be stopped.
            self.watch(member);
            self.arm_tick();
        }
    }

    /// See [`Waiting::tell_of_messages`].
    pub(super) fn tell_watchers(&self, to_all: bool) {
        let mut limit = None;
        loop {
            let mut parking = self.parking.lock();
            let Some((turn, entry)) = parking.watched.from(0) else {
                return;
            };
            let Some(member) = member_of(&entry) else {
                return;
            };
            // Those that look again have later turns.
            if turn > *limit.get_or_insert(parking.turn) {
                return;
            }
            self.unwatch(&mut parking, member);
            drop(parking);
            self.tell(member, to_all);
        }
    }

    /// See [`Waiting::wake_any`].
    pub(super) fn wake_first_receivers(&self, count: u32) {
        for number in 0..count {
            let mut parking = self.parking.lock();
            if number == 0 && parking.awake_receiver != 0 {
                return;
            }
            let Some((_, entry)) = self.first_waiting(&mut parking, Side::Receives, 0) else {
                return;
            };
            let Some(member) = member_of(&entry) else {
                return;
            };
            let woken = self.take(&mut parking, Some(member), Side::Receives);
            parking.awake_receiver = member.id();
            self.settle(&mut parking, Some(member), Side::Receives);
            let is_any_left = parking.receivers.waiting != 0;
            drop(parking);
            if is_any_left {
                self.arm_tick();
            }
            trace::wake(|| (self.id, member.id(), 1));
            drop(woken);
        }
    }

    /// See [`Waiting::wake_each`].
    pub(super) fn wake_each_receiver(&self) {
        let (mut next, mut limit) = (0, None);
        loop {
            let mut parking = self.parking.lock();
            let Some((turn, entry)) = self.first_waiting(&mut parking, Side::Receives, next) else {
                return;
            };
            let Some(member) = member_of(&entry) else {
                return;
            };
            // Those that enter the line after the start have later turns.
            if turn > *limit.get_or_insert(parking.turn) {
                return;
            }
            next = turn + 1;
            let woken = self.take(&mut parking, Some(member), Side::Receives);
            member.seats(&mut parking).is_awake = true;
            self.settle(&mut parking, Some(member), Side::Receives);
            drop(parking);
            trace::wake(|| (self.id, member.id(), 1));
            drop(woken);
        }
    }

    /// See [`Waiting::wake_one_of`].
    pub(super) fn wake_receive_of(&self, member: &Member) {
        let mut parking = self.parking.lock();
        let mut woken = None;
        if !member.seats(&mut parking).is_awake {
            woken = self.take(&mut parking, Some(member), Side::Receives);
            member.seats(&mut parking).is_awake = woken.is_some();
        }
        let is_watched = self.unwatch(&mut parking, member);
        self.settle(&mut parking, Some(member), Side::Receives);
        drop(parking);
        if woken.is_some() {
            trace::wake(|| (self.id, member.id(), 1));
        }
        drop(woken);
        if is_watched {
            self.tell(member, false);
        }
    }

    /// See [`Waiting::wake_senders`].
    pub(super) fn wake_first_senders(&self, count: u32) {
        for number in 0..count {
            let mut parking = self.parking.lock();
            if number == 0 && parking.awake_sender != 0 {
                return;
            }
            let Some((_, entry)) = self.first_waiting(&mut parking, Side::Sends, 0) else {
                return;
            };
            let woken = self.wake_sender_of(&mut parking, member_of(&entry));
            let is_any_left = parking.senders.waiting != 0;
            drop(parking);
            if is_any_left {
                self.arm_tick();
            }
            trace::wake(|| (self.id, 0, 1));
            drop(woken);
        }
    }

    /// Takes out a send of `member`, or of a sender that is not attached, which is awake then.
    pub(super) fn wake_sender_of(
        &self,
        parking: &mut Parking,
        member: Option<&Member>,
    ) -> Option<Woken> {
        let woken = self.take(parking, member, Side::Sends);
        parking.awake_sender = member.map_or(self.id, |member| member.id());
        self.settle(parking, member, Side::Sends);
        woken
    }

    /// See [`Waiting::tell_of_room`].
    pub(super) fn tell_of_some_room(&self, to_all: bool) {
        {
            let mut parking = self.parking.lock();
            parking.is_room_watched = false;
            self.set_mark_of(&parking, Side::Sends);
        }
        if self.room.wake(to_all) {
            // The one that was told may be stopped.
            self.watch_room();
            self.arm_tick();
        }
    }

    /// See [`Waiting::wait_no_longer`].
    pub(super) fn forget_awake(&self) -> (u32, u32) {
        let mut parking = self.parking.lock();
        self.stall(&mut parking);
        let Parking {
            awake_receiver,
            awake_sender,
            receiver_stalls,
            sender_stalls,
            ..
        } = &mut *parking;
        let forget = |awake: &mut u32, stalls: &mut u32| {
            *stalls = if *awake == 0 {
                0
            } else {
                (*stalls + 1).min(MAX_STALLS)
            };
            *awake = 0;
            1 << *stalls
        };
        let receives = forget(awake_receiver, receiver_stalls);
        let sends = forget(awake_sender, sender_stalls);
        self.set_mark_of(&parking, Side::Receives);
        self.set_mark_of(&parking, Side::Sends);
        (receives, sends)
    }

    /// See [`Waiting::let_go`].
    pub(super) fn let_go_of_held(&self, mut each: impl FnMut(&Member)) {
        let mut limit = None;
        loop {
            let mut parking = self.parking.lock();
            let Some((turn, entry)) = parking.held.from(0) else {
                return;
            };
            let Some(member) = member_of(&entry) else {
                return;
            };
            // Those that are held again have later turns.
            if turn > *limit.get_or_insert(parking.turn) {
                return;
            }
            member.seats(&mut parking).is_awake = false;
            self.settle(&mut parking, Some(member), Side::Receives);
            drop(parking);
            each(member);
        }
    }

    /// See [`Waiting::next_send_needs`].
    pub(super) fn first_send_needs(&self) -> u32 {
        let mut parking = self.parking.lock();
        let Some((_, entry)) = self.first_waiting(&mut parking, Side::Sends, 0) else {
            return 1;
        };
        let seat = self.seat(&mut parking, member_of(&entry), Side::Sends);
        let slots = seat.requests.first_needs();
        drop(parking);
        slots
    }

    /// The member that is the next one to be woken for a message.
    pub(super) fn first_in_line(&self) -> Entry {
        let mut parking = self.parking.lock();
        self.first_waiting(&mut parking, Side::Receives, 0)?.1
    }
}

/// The member of an entry, or `None` for the channel.
pub(super) fn member_of(entry: &Entry) -> Option<&Member> {
    entry.as_ref().map(|member| -> &Member { member })
}

/// The seats of a member, which the lock of its channel protects.
pub(super) type LockedSeats = LockedBy<Seats, Parking>;
