// SPDX-License-Identifier: GPL-2.0

//! The wake rules: which requests a waker wakes after it has changed the ring.
//!
//! A request that waits is parked: receives in a queue of their receiver, sends in queues that all
//! senders share. A lock protects these queues. This file does not know what they are. Like the ring,
//! it runs wherever there are atomics.

use core::mem;

use super::{Atomic, Memory, NoMessage, Published, Ring};

/// Which receivers get a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One receiver.
    Unicast,
    /// One receiver, waiting ones in turn.
    Multicast,
    /// All receivers.
    Broadcast,
}

impl Mode {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unicast => "unicast",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
        }
    }
}

/// A mark has this if requests wait, and none of them is awake that has not looked.
pub const REQUESTS: u32 = 1;
/// A mark has this if there are watchers to tell.
pub const WATCHERS: u32 = 2;
/// [`Waiting::receivers_wait`] has this if requests wait, and one of them is awake: some of them may
/// wait for messages that only their receiver can get.
pub const OTHERS: u32 = 4;

/// How often a look for room begins again because others have moved `head`.
const MOST_LOOKS: u32 = 8;

/// A ring with requests that can wait.
///
/// A request that waits is parked under the lock, which sets a mark. Then it looks at the ring. A waker
/// changes the ring, and then looks at the mark. Both have a full barrier in between (D), so one of
/// them sees the other. Only the holder of the lock writes marks.
///
/// Of the requests that wait for messages for any receiver, at most one is awake that has not looked
/// at the ring yet. As long as there is one, the mark is 0: it will look, and wakes the next one if it
/// leaves a message. The same holds for requests that wait for room, and for the receives of one
/// receiver that wait for messages which only this receiver can get.
///
/// A task that is stopped may keep such a request. So whenever others are parked then, [`Self::tick`]
/// runs a moment later, and wakes the next one.
///
/// A watcher takes nothing, so a waker tells all watchers, besides the request. They are told only
/// once: a watcher that looks again is told again.
pub trait Waiting {
    /// Of the ring.
    type Memory: Memory;
    /// A receiver.
    type Receiver;
    /// Receivers stay valid as long as the guard under which they were found.
    type Guard;

    /// The ring.
    fn ring(&self) -> &Ring<Self::Memory>;
    /// Which receivers get a message.
    fn mode(&self) -> Mode;
    /// What wants to know of messages: [`REQUESTS`] and [`WATCHERS`] of a message for any receiver. It is
    /// 0 if nothing waits for messages at all.
    fn receivers_wait(&self) -> &<Self::Memory as Memory>::U32;
    /// Not 0 if `receiver` wants to know of a message for itself.
    fn wants<'a>(&'a self, receiver: &'a Self::Receiver) -> &'a <Self::Memory as Memory>::U32;
    /// What wants to know of room: [`REQUESTS`] and [`WATCHERS`].
    fn senders_wait(&self) -> &<Self::Memory as Memory>::U32;
    /// Finds the receiver with a number.
    fn receiver<'a>(&'a self, id: u32, guard: &'a Self::Guard) -> Option<&'a Self::Receiver>;
    /// Whether the next receiver in line sees that the ring of a queue may have a message that any
    /// receiver can claim.
    fn is_any_left(&self) -> bool;
    /// Finds the next message for a receiver.
    fn next(&self, receiver: &Self::Receiver) -> Result<u32, NoMessage>;
    /// Whether the ring of a queue may have a message that any receiver can claim. `receiver` looks
    /// from its place on.
    fn may_have_any(&self, receiver: &Self::Receiver) -> bool;
    /// Whether `receiver` of a broadcast may have made room when it moved its cursor from `position` on.
    fn made_room(&self, receiver: &Self::Receiver, position: u32) -> bool;
    /// Whether the ring may have messages for this receiver alone. A sender counts such a message
    /// before it publishes it.
    fn has_targeted(&self, receiver: &Self::Receiver) -> bool;
    /// Moves the head of the ring if possible, for a sender that is `missing` so many slots.
    fn reclaim(&self, missing: u32, guard: &Self::Guard);
    /// How many slots the send needs that is the next one in line for room. Those that park later do
    /// not overtake it, so nobody is woken for less room.
    fn next_send_needs(&self) -> u32;
    /// Whether a sender can take the slots that it is `missing`, the oldest ones of a full ring, from the
    /// receivers that have not received the messages there.
    fn may_overwrite(&self, missing: u32, guard: &Self::Guard) -> bool;

    /// Under the lock: unless a request is awake that has not looked, takes the next `count` ones out
    /// that wait for a message for any receiver, and wakes them.
    fn wake_any(&self, count: u32);
    /// The same for one request of each receiver of a broadcast.
    fn wake_each(&self);
    /// The same for a request of `receiver`, and tells its watchers.
    fn wake_one_of(&self, receiver: &Self::Receiver);
    /// The same for `count` requests that wait for room.
    fn wake_senders(&self, count: u32);
    /// Whether senders have shares. Then the next send in line is not the one that has waited longest, and
    /// [`Self::wake_fair_senders`] stands for [`Self::wake_senders`].
    fn is_fair(&self) -> bool {
        false
    }
    /// Under the lock: unless a request is awake that has not looked, takes the next `count` sends out
    /// that have share and room, and wakes them. `wants_much` if each should have more than it needs;
    /// then the tick wakes what waits otherwise.
    fn wake_fair_senders(&self, _wants_much: bool, _count: u32) {}
    /// Under the lock: takes the watchers for messages out, and wakes them. Of those that want to be
    /// woken alone it wakes one of each receiver, unless it is `to_all`.
    fn tell_of_messages(&self, to_all: bool);
    /// The same with those for room.
    fn tell_of_room(&self, to_all: bool);
    /// Under the lock: the same as [`Self::wait_no_longer`] for messages that only one receiver can get.
    /// Calls `each`, without the lock, for each receiver that has others parked.
    fn let_go(&self, each: impl FnMut(&Self::Receiver));
    /// Under the lock: the requests that are awake may be those of stopped tasks, so others may be
    /// woken from now on. Returns how many receives and sends to wake at once: the more, the longer
    /// none of those has looked that are awake.
    fn wait_no_longer(&self) -> (u32, u32);
    /// Has [`Self::tick`] called a moment later.
    fn arm_tick(&self);

    /// Whether there is room for a message that takes so many slots. It reclaims only if there is too
    /// little. So messages that all receivers have received stay in the ring, for receivers that want
    /// the history.
    #[inline]
    fn has_room(&self, slots: u32, guard: &Self::Guard) -> bool {
        self.has_room_beside(slots, 0, guard)
    }

    /// The same if so many more slots have to stay free. If others move `head` each time that it looks, it
    /// says yes after [`MOST_LOOKS`]: the request then looks again by itself.
    #[inline(never)]
    fn has_room_beside(&self, slots: u32, to_leave: u32, guard: &Self::Guard) -> bool {
        let ring = self.ring();
        for _ in 0..MOST_LOOKS {
            // Before the look: another one may move `head` after it, and leave nothing to reclaim.
            let head = ring.head_position();
            let missing = ring.missing_beside(slots, to_leave);
            if missing == 0 {
                return true;
            }
            self.reclaim(missing, guard);
            if ring.head_position() == head {
                return self.may_overwrite(missing, guard);
            }
        }
        true
    }

    /// Whether there is room for any message: what a watcher for room wants to know.
    #[inline]
    fn has_room_for_any(&self, guard: &Self::Guard) -> bool {
        self.has_room(self.ring().memory().largest(), guard)
    }

    /// Whether there is room for the next send in line.
    fn has_room_for_next(&self, guard: &Self::Guard) -> bool {
        let needs = match self.ring().memory().largest() {
            1 => 1,
            _ => self.next_send_needs(),
        };
        self.has_room(needs, guard)
    }

    /// Wakes requests for messages that the caller has published for `target`, or for any receiver.
    ///
    /// The caller has had a full barrier after that (D).
    #[inline]
    fn wake_receivers(&self, target: Option<&Self::Receiver>) {
        match target {
            Some(target) => {
                if self.wants(target).load_relaxed() != 0 {
                    self.wake_one_of(target);
                }
            }
            None => {
                if self.receivers_wait().load_relaxed() & (REQUESTS | WATCHERS) != 0 {
                    wake_for_any(self);
                }
            }
        }
    }

    /// Wakes requests for messages from `position` on that other senders have published already. Those
    /// senders have woken receivers in vain: a receiver looks no further than to the first slot that
    /// is not published, and the caller has only now published that slot.
    ///
    /// The caller has had a full barrier after that (D).
    #[inline]
    fn wake_receivers_after(&self, mut position: u32, guard: &Self::Guard) {
        // A sender that reserves after this load publishes later and wakes for its message.
        let end = self.ring().tail_position();
        while position != end {
            let Some(message) = self.ring().published(position) else {
                return;
            };
            let mut slots = 1;
            match message {
                Published::Message(0) => {
                    self.wake_receivers(None);
                    if self.mode() == Mode::Broadcast {
                        // Each woken receiver goes on to the messages that follow.
                        return;
                    }
                }
                Published::Message(id) => {
                    if let Some(target) = self.receiver(id, guard) {
                        self.wake_receivers(Some(target));
                    }
                }
                Published::Nothing(count) => slots = count,
            }
            position = position.wrapping_add(slots);
        }
    }

    /// A receiver has taken messages. Wakes a sender if at most half of the ring is in use: a sender
    /// that wakes up for each single slot costs more than its message. If there is less room, the
    /// tick wakes a sender, unless a receiver parks before. Watchers are told of any room.
    ///
    /// The caller has had a full barrier before this (D).
    #[inline]
    fn wake_sender_for_much(&self, guard: &Self::Guard) {
        if self.senders_wait().load_relaxed() != 0 {
            wake_for_room(self, true, 1, guard);
        }
    }

    /// Wakes a sender if there is any room that is enough for it. The caller has had a full barrier
    /// before this (D).
    #[inline]
    fn wake_sender(&self, guard: &Self::Guard) {
        if self.senders_wait().load_relaxed() != 0 {
            wake_for_room(self, false, 1, guard);
        }
    }

    /// A send that was parked is not the next one in line any more, although nothing was received. The
    /// one that is the next now may need less room: wakes it if so.
    fn next_may_fit(&self, guard: &Self::Guard) {
        if self.ring().memory().largest() != 1 {
            // After the lock, before the marks and the ring (D).
            Self::Memory::full_barrier();
            self.wake_sender(guard);
        }
    }

    /// `receiver` has taken messages from `position` on. Wakes a sender for the room, and a receiver
    /// for the messages that are left.
    #[inline]
    fn has_received(&self, receiver: &Self::Receiver, position: u32, guard: &Self::Guard) {
        // After the messages, before the marks (D).
        Self::Memory::full_barrier();
        if self.mode() != Mode::Broadcast {
            // Of two receivers that have freed neighbors at once, one sees both slots by now.
            self.reclaim(1, guard);
        }
        // In a broadcast only the receiver that was farthest behind makes room. A sender that waits
        // has moved `head` to the position of this receiver.
        if self.senders_wait().load_relaxed() != 0
            && (self.mode() != Mode::Broadcast || self.made_room(receiver, position))
        {
            self.wake_sender_for_much(guard);
        }
        self.pass_on_message(receiver);
    }

    /// Wakes a receiver if `receiver` still sees a message, for itself or for any receiver. The caller
    /// has had a full barrier before this (D).
    #[inline]
    fn pass_on_message(&self, receiver: &Self::Receiver) {
        if self.mode() == Mode::Broadcast {
            wake_own(self, receiver);
            return;
        }
        if self.receivers_wait().load_relaxed() & (REQUESTS | WATCHERS) != 0
            && self.may_have_any(receiver)
        {
            wake_for_any(self);
        }
        // No other receiver looks for the messages that only this one can receive.
        wake_own(self, receiver);
    }

    /// A request ends, and a waker may have woken it for a message or for room that it has not taken.
    /// Wakes another request if the message or the room is still there. `receiver` is the receiver of
    /// the request, if it has one.
    fn pass_on(&self, receiver: Option<&Self::Receiver>, guard: &Self::Guard) {
        // After the lock, before the marks and the ring (D).
        Self::Memory::full_barrier();
        self.wake_sender(guard);
        if let Some(receiver) = receiver {
            self.pass_on_message(receiver);
        }
    }

    /// A moment has passed since a request was woken while others were parked, or since there was
    /// little room: wakes the next requests if there is something for them.
    fn tick(&self, guard: &Self::Guard) {
        let (receives, sends) = self.wait_no_longer();
        self.let_go(|receiver| {
            // As below.
            Self::Memory::full_barrier();
            wake_own(self, receiver);
        });
        // As in `pass_on`.
        Self::Memory::full_barrier();
        if self.senders_wait().load_relaxed() & WATCHERS != 0 && self.has_room_for_any(guard) {
            self.tell_of_room(true);
        }
        if self.senders_wait().load_relaxed() != 0 {
            wake_for_room(self, false, sends, guard);
        }
        if self.receivers_wait().load_relaxed() & (REQUESTS | WATCHERS) == 0 {
            return;
        }
        if self.mode() == Mode::Broadcast {
            self.tell_of_messages(true);
            return;
        }
        if self.is_any_left() {
            self.wake_any(receives);
        }
        if !self.ring().is_empty() {
            self.tell_of_messages(true);
        }
    }
}

/// Wakes a request of `receiver` if there is a message that only this receiver can get.
#[inline]
fn wake_own<W: Waiting + ?Sized>(waiting: &W, receiver: &W::Receiver) {
    if waiting.wants(receiver).load_relaxed() == 0 {
        return;
    }
    let is_any_left = match waiting.mode() {
        Mode::Broadcast => waiting.next(receiver).is_ok(),
        Mode::Unicast | Mode::Multicast => waiting.has_targeted(receiver),
    };
    if is_any_left {
        waiting.wake_one_of(receiver);
    }
}

#[cold]
fn wake_for_room<W: Waiting + ?Sized>(waiting: &W, wants_much: bool, count: u32, guard: &W::Guard) {
    let mark = waiting.senders_wait().load_relaxed();
    if mark & WATCHERS != 0 && waiting.has_room_for_any(guard) {
        waiting.tell_of_room(false);
    }
    if mark & REQUESTS == 0 {
        return;
    }
    if waiting.is_fair() {
        return waiting.wake_fair_senders(wants_much, count);
    }
    if wants_much {
        // In a queue, the receiver that has freed a slot reclaims.
        if waiting.mode() == Mode::Broadcast {
            reclaim_half(waiting, guard);
        }
        if !waiting.ring().is_half_free() {
            waiting.arm_tick();
            return;
        }
    } else if !waiting.has_room_for_next(guard) {
        return;
    }
    waiting.wake_senders(count);
}

/// Reclaims until half of the ring of a broadcast is free, or `head` stands where the slowest receiver
/// does: [`Waiting::made_room`] looks for that receiver there.
#[inline(never)]
fn reclaim_half<W: Waiting + ?Sized>(waiting: &W, guard: &W::Guard) {
    let ring = waiting.ring();
    let mut head = ring.head_position();
    // Others may move `head` and `tail` meanwhile, but this does not follow them around the ring.
    for _ in 0..=ring.memory.entries() / ring.reclaim_step() {
        waiting.reclaim(1, guard);
        let before = mem::replace(&mut head, ring.head_position());
        if head == before || ring.is_half_free() {
            return;
        }
    }
}

#[cold]
fn wake_for_any<W: Waiting + ?Sized>(waiting: &W) {
    let mark = waiting.receivers_wait().load_relaxed();
    if waiting.mode() == Mode::Broadcast {
        waiting.wake_each();
    } else {
        waiting.wake_any(1);
    }
    if mark & WATCHERS != 0 {
        waiting.tell_of_messages(false);
    }
}
