// SPDX-License-Identifier: GPL-2.0

//! Who is woken when: the requests that wait for a message or for room.
//!
//! Where they wait is not known here, only that each receiver has a queue of its own, and that all
//! senders have one together. As the ring, this runs wherever there are atomics.

use super::{distance, Atomic, Memory, NoMessage, Ring};

/// Who gets a message.
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
    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unicast => "unicast",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
        }
    }
}

/// Whom a wake-up has reached.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Woken {
    /// There is nobody.
    Nobody,
    /// Those who only watch.
    Watchers,
    /// A request that waits, of the receiver with this number.
    Request(u32),
}

impl<M: Memory> Ring<M> {
    /// Marks in `mark` that somebody waits, who has entered a queue and looks at the ring next.
    pub fn mark_waiting(mark: &M::U32) {
        // Pairs with `wake_marked` (D).
        mark.swap_full(1);
    }

    /// Calls `wake` if `mark` says that somebody may be waiting. It returns whether anybody was.
    /// Seldom `wake_all` is called as well, which shall wake everybody who can go on.
    ///
    /// Follows a change of the ring and a full barrier (D).
    #[inline]
    pub fn wake_marked(mark: &M::U32, mut wake: impl FnMut() -> bool, wake_all: impl FnOnce()) {
        if mark.load_relaxed() == 0 || wake() {
            return;
        }
        mark.store_relaxed(0);
        // Pairs with `mark_waiting` (D): who has entered before the mark was taken back is seen
        // now.
        M::full_barrier();
        if wake() {
            // Whoever has changed the ring since then, for whomever, has seen no mark and woken
            // nobody.
            mark.swap_full(1);
            wake_all();
        }
    }
}

/// Who receives, with the queue where its requests wait for a message.
pub trait Receiver {
    /// Its number, which is not 0.
    fn id(&self) -> u32;
    /// Whether anybody waits there.
    fn is_active(&self) -> bool;
    /// Whether a queue may have messages for this receiver alone. A sender counts such a message
    /// before it publishes that.
    fn has_targeted(&self) -> bool;
    /// Wakes all who only watch, and one request that waits. Returns whether there was one.
    fn wake_one(&self) -> bool;
    /// Wakes everybody.
    fn wake_all(&self);
}

/// A ring with requests that can wait.
///
/// Whoever waits enters a queue, marks the ring and then looks at it. Whoever changes the ring
/// looks at the mark after that. With a full barrier in between on both sides (D), one of them sees
/// the other. The mark is taken back by who finds all queues empty, in the same way: a full barrier
/// later it looks once more.
pub trait Waiting {
    /// Of the ring.
    type Memory: Memory;
    /// Who receives.
    type Receiver: Receiver;
    /// As long as there is one, receivers that are found stay valid.
    type Guard;

    /// The ring.
    fn ring(&self) -> &Ring<Self::Memory>;
    /// Who gets a message.
    fn mode(&self) -> Mode;
    /// Not 0 if receivers may be waiting.
    fn receivers_wait(&self) -> &<Self::Memory as Memory>::U32;
    /// Not 0 if senders may be waiting.
    fn senders_wait(&self) -> &<Self::Memory as Memory>::U32;
    /// Number of the receiver that was woken last.
    fn last_woken(&self) -> &<Self::Memory as Memory>::U32;
    /// Finds the receiver with a number.
    fn receiver<'a>(&'a self, id: u32, guard: &'a Self::Guard) -> Option<&'a Self::Receiver>;
    /// Calls `done` for the receivers from number `id` on, in this order, until it returns true.
    fn find_receiver(
        &self,
        id: u32,
        guard: &Self::Guard,
        done: impl FnMut(&Self::Receiver) -> bool,
    );
    /// Whether anybody waits for room.
    fn are_senders_active(&self) -> bool;
    /// Wakes all who only watch for room, and one request that waits.
    fn wake_one_sender(&self);
    /// Finds the next message for a receiver.
    fn next(&self, receiver: &Self::Receiver) -> Result<u32, NoMessage>;
    /// Whether a queue may have a message that anybody can claim, as far as `receiver` can tell.
    fn may_have_any(&self, receiver: &Self::Receiver) -> bool;
    /// Moves the head of the ring if possible.
    fn reclaim(&self, guard: &Self::Guard);
    /// Whether a sender can take the oldest slot of a full ring from the receivers that have not
    /// received its message.
    fn may_overwrite(&self, guard: &Self::Guard) -> bool;

    /// Looks for a message for a request that has entered the queue of `receiver` and waits if
    /// there is none.
    #[inline]
    fn wait_for_message(&self, receiver: &Self::Receiver) -> Result<u32, NoMessage> {
        // After the queue, before the look at the ring (D).
        Ring::<Self::Memory>::mark_waiting(self.receivers_wait());
        self.next(receiver)
    }

    /// Looks whether there is room for a request that has entered the queue of senders and waits if
    /// there is none.
    #[inline]
    fn wait_for_room(&self, guard: &Self::Guard) -> bool {
        // After the queue, before the look at the ring (D).
        Ring::<Self::Memory>::mark_waiting(self.senders_wait());
        self.has_room(guard)
    }

    /// Whether there is room for a message, after a look at who has received what. As long as
    /// there is, messages that all have received stay for who comes to see them.
    #[inline]
    fn has_room(&self, guard: &Self::Guard) -> bool {
        if !self.ring().is_full() {
            return true;
        }
        self.reclaim(guard);
        !self.ring().is_full() || self.may_overwrite(guard)
    }

    /// Wakes who waits for messages that were just published for `target`, or for anybody.
    ///
    /// Follows a full barrier (D).
    #[inline]
    fn wake_receivers(&self, target: Option<&Self::Receiver>, guard: &Self::Guard) {
        let wake = || match target {
            Some(target) => {
                target.wake_one();
                true
            }
            None => wake_any_receivers(self, guard) != Woken::Nobody,
        };
        Ring::<Self::Memory>::wake_marked(self.receivers_wait(), wake, || {
            self.find_receiver(0, guard, |receiver| {
                receiver.wake_all();
                false
            });
        });
    }

    /// Wakes who waits for messages from `position` on that were published before those in front of
    /// them: receivers that were woken for them have found nothing, because they look no further
    /// than to the first slot that is not published.
    ///
    /// Follows a full barrier (D).
    #[inline]
    fn wake_receivers_after(&self, mut position: u32, guard: &Self::Guard) {
        if self.receivers_wait().load_relaxed() == 0 {
            return;
        }
        // Who reserves later publishes later too, and wakes for that.
        let end = self.ring().tail_position();
        while position != end {
            let Some(message) = self.ring().published(position) else {
                return;
            };
            match message {
                Some(0) => {
                    self.wake_receivers(None, guard);
                    if self.mode() == Mode::Broadcast {
                        // Each of them goes on to what follows.
                        return;
                    }
                }
                Some(id) => {
                    if let Some(target) = self.receiver(id, guard) {
                        self.wake_receivers(Some(target), guard);
                    }
                }
                None => (),
            }
            position = position.wrapping_add(1);
        }
    }

    /// Wakes a sender if there is room. Follows a full barrier (D).
    #[inline]
    fn wake_sender(&self, guard: &Self::Guard) {
        let wake = || {
            if !self.are_senders_active() {
                return false;
            }
            if self.has_room(guard) {
                self.wake_one_sender();
            }
            true
        };
        Ring::<Self::Memory>::wake_marked(self.senders_wait(), wake, || {
            wake();
        });
    }

    /// `receiver` has taken messages from `position` on: wakes a sender for the room, and a receiver
    /// for what is left.
    #[inline]
    fn has_received(&self, receiver: &Self::Receiver, position: u32, guard: &Self::Guard) {
        // Pairs with `mark_waiting` (D).
        Self::Memory::full_barrier();
        // In a broadcast only the receiver that was farthest behind makes room. A sender that waits
        // has moved `head` to the position of that one. Others may have moved `head` past it since
        // then, a watcher for example, and they wake nobody.
        let is_behind = distance(self.ring().head_position(), position) > 0;
        if self.mode() != Mode::Broadcast || !is_behind {
            self.wake_sender(guard);
        }
        self.pass_on_message(receiver, guard);
    }

    /// Wakes a receiver if there is still a message that `receiver` can see: for itself, or for
    /// anybody. Follows a full barrier (D).
    #[inline]
    fn pass_on_message(&self, receiver: &Self::Receiver, guard: &Self::Guard) {
        if self.receivers_wait().load_relaxed() == 0 {
            return;
        }
        if self.mode() == Mode::Broadcast {
            if self.next(receiver).is_ok() {
                receiver.wake_one();
            }
            return;
        }
        let mut woken = Woken::Nobody;
        if self.may_have_any(receiver) {
            woken = wake_any_receivers(self, guard);
        }
        // No other receiver looks for what only this one can receive.
        if woken != Woken::Request(receiver.id()) && receiver.is_active() && receiver.has_targeted()
        {
            receiver.wake_one();
        }
    }

    /// A request that may have been woken ends without having taken what it was woken for: wakes
    /// another one if that is still there. `receiver` is there if the request was one of a receiver.
    fn pass_on(&self, receiver: Option<&Self::Receiver>, guard: &Self::Guard) {
        // Pairs with `mark_waiting` (D).
        Self::Memory::full_barrier();
        self.wake_sender(guard);
        if let Some(receiver) = receiver {
            self.pass_on_message(receiver, guard);
        }
    }
}

/// Wakes a receiver, in a broadcast all. Returns whom that has reached.
///
/// In the other modes the one that is woken takes one message or many. If it does not take all that
/// there are, it wakes the next one.
fn wake_any_receivers<W: Waiting + ?Sized>(waiting: &W, guard: &W::Guard) -> Woken {
    match waiting.mode() {
        Mode::Broadcast => {
            let mut woken = Woken::Nobody;
            waiting.find_receiver(0, guard, |receiver| {
                if receiver.is_active() {
                    woken = woken.max(wake(receiver));
                }
                false
            });
            woken
        }
        // The one that attached first.
        Mode::Unicast => wake_receiver_from(waiting, 0, guard),
        // In turn.
        Mode::Multicast => {
            let next = waiting.last_woken().load_relaxed().wrapping_add(1);
            match wake_receiver_from(waiting, next, guard) {
                request @ Woken::Request(_) => request,
                others => others.max(wake_receiver_from(waiting, 0, guard)),
            }
        }
    }
}

/// Wakes one request of a receiver where somebody waits, and who only watches.
fn wake<R: Receiver>(receiver: &R) -> Woken {
    if receiver.wake_one() {
        Woken::Request(receiver.id())
    } else {
        Woken::Watchers
    }
}

/// Wakes the first receiver that waits and has at least this number.
///
/// Those who only watch may be many for one message, but a request takes it for sure.
fn wake_receiver_from<W: Waiting + ?Sized>(waiting: &W, id: u32, guard: &W::Guard) -> Woken {
    let mut woken = Woken::Nobody;
    waiting.find_receiver(id, guard, |receiver| {
        if !receiver.is_active() {
            return false;
        }
        woken = wake(receiver);
        if woken == Woken::Watchers {
            return false;
        }
        waiting.last_woken().store_relaxed(receiver.id());
        true
    });
    woken
}
