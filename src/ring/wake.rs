// SPDX-License-Identifier: GPL-2.0

//! The wake rules: which requests a waker wakes after it has changed the ring.
//!
//! Each receiver has a queue for its requests, and all senders share one queue for theirs. This file
//! does not know what these queues are. Like the ring, it runs wherever there are atomics.

use super::{Atomic, Memory, NoMessage, Ring};

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

/// What a wake-up has reached.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Woken {
    /// All queues are empty.
    Nothing,
    /// Only watchers: poll, epoll.
    Watchers,
    /// A request that waits, of the receiver with this number.
    Request(u32),
}

impl<M: Memory> Ring<M> {
    /// Sets the mark of the queues. The caller has entered a queue, and looks at the ring next.
    pub fn mark_waiting(mark: &M::U32) {
        // Pairs with `wake_marked` (D).
        mark.swap_full(1);
    }

    /// Calls `wake` if `mark` is set: a request may be waiting. `wake` returns whether a queue had an
    /// entry. Seldom it calls `wake_all` as well, which wakes all requests that can go on.
    ///
    /// The caller has changed the ring, and had a full barrier after that (D).
    #[inline]
    pub fn wake_marked(mark: &M::U32, mut wake: impl FnMut() -> bool, wake_all: impl FnOnce()) {
        if mark.load_relaxed() == 0 || wake() {
            return;
        }
        mark.store_relaxed(0);
        // Pairs with `mark_waiting` (D): if a request has entered a queue before the mark was
        // cleared, `wake` sees it now.
        M::full_barrier();
        if wake() {
            // Another waker may have changed the ring since the mark was cleared. It has seen no
            // mark, and has woken no request.
            mark.swap_full(1);
            wake_all();
        }
    }
}

/// A receiver, with the queue where its requests wait for a message.
pub trait Receiver {
    /// Its number, which is not 0.
    fn id(&self) -> u32;
    /// Whether the queue has an entry.
    fn is_active(&self) -> bool;
    /// Whether the ring may have messages for this receiver alone. A sender counts such a message
    /// before it publishes it.
    fn has_targeted(&self) -> bool;
    /// Wakes all watchers, and one request that waits. Returns whether there was one.
    fn wake_one(&self) -> bool;
    /// Wakes all watchers and requests.
    fn wake_all(&self);
}

/// A ring with requests that can wait.
///
/// A request that waits enters a queue, sets the mark, and then looks at the ring. A waker changes
/// the ring, and then looks at the mark. Both have a full barrier in between (D), so one of them sees
/// the other. A waker that finds all queues empty clears the mark in the same way: it looks at the
/// queues once more after a full barrier.
pub trait Waiting {
    /// Of the ring.
    type Memory: Memory;
    /// A receiver.
    type Receiver: Receiver;
    /// Receivers stay valid as long as the guard under which they were found.
    type Guard;

    /// The ring.
    fn ring(&self) -> &Ring<Self::Memory>;
    /// Which receivers get a message.
    fn mode(&self) -> Mode;
    /// Not 0 if receivers may be waiting.
    fn receivers_wait(&self) -> &<Self::Memory as Memory>::U32;
    /// Not 0 if senders may be waiting.
    fn senders_wait(&self) -> &<Self::Memory as Memory>::U32;
    /// Number of the receiver that a waker has woken last.
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
    /// Whether the queue of senders has an entry.
    fn are_senders_active(&self) -> bool;
    /// Wakes all watchers for room, and one request that waits for room.
    fn wake_one_sender(&self);
    /// Finds the next message for a receiver.
    fn next(&self, receiver: &Self::Receiver) -> Result<u32, NoMessage>;
    /// Whether the ring of a queue may have a message that any receiver can claim. `receiver` looks
    /// from its place on.
    fn may_have_any(&self, receiver: &Self::Receiver) -> bool;
    /// Moves the head of the ring if possible.
    fn reclaim(&self, guard: &Self::Guard);
    /// Whether a sender can take the oldest slot of a full ring from the receivers that have not
    /// received its message.
    fn may_overwrite(&self, guard: &Self::Guard) -> bool;

    /// Looks for a message for a request that has entered the queue of `receiver`. If there is none,
    /// the request waits.
    #[inline]
    fn wait_for_message(&self, receiver: &Self::Receiver) -> Result<u32, NoMessage> {
        // After the queue, before the look at the ring (D).
        Ring::<Self::Memory>::mark_waiting(self.receivers_wait());
        self.next(receiver)
    }

    /// Looks for room for a request that has entered the queue of senders. If there is none, the
    /// request waits.
    #[inline]
    fn wait_for_room(&self, guard: &Self::Guard) -> bool {
        // After the queue, before the look at the ring (D).
        Ring::<Self::Memory>::mark_waiting(self.senders_wait());
        self.has_room(guard)
    }

    /// Whether there is room for a message. It reclaims only if the ring is full. So messages that all
    /// receivers have received stay in the ring, for receivers that want the history.
    #[inline]
    fn has_room(&self, guard: &Self::Guard) -> bool {
        if !self.ring().is_full() {
            return true;
        }
        self.reclaim(guard);
        !self.ring().is_full() || self.may_overwrite(guard)
    }

    /// Wakes requests for messages that the caller has published for `target`, or for any receiver.
    ///
    /// The caller has had a full barrier after that (D).
    #[inline]
    fn wake_receivers(&self, target: Option<&Self::Receiver>, guard: &Self::Guard) {
        let wake = || match target {
            Some(target) => {
                target.wake_one();
                true
            }
            None => wake_any_receivers(self, guard) != Woken::Nothing,
        };
        Ring::<Self::Memory>::wake_marked(self.receivers_wait(), wake, || {
            self.find_receiver(0, guard, |receiver| {
                receiver.wake_all();
                false
            });
        });
    }

    /// Wakes requests for messages from `position` on that other senders have published already. Those
    /// senders have woken receivers in vain: a receiver looks no further than to the first slot that
    /// is not published, and the caller has only now published that slot.
    ///
    /// The caller has had a full barrier after that (D).
    #[inline]
    fn wake_receivers_after(&self, mut position: u32, guard: &Self::Guard) {
        if self.receivers_wait().load_relaxed() == 0 {
            return;
        }
        // A sender that reserves after this load publishes later and wakes for its message.
        let end = self.ring().tail_position();
        while position != end {
            let Some(message) = self.ring().published(position) else {
                return;
            };
            match message {
                Some(0) => {
                    self.wake_receivers(None, guard);
                    if self.mode() == Mode::Broadcast {
                        // Each woken receiver goes on to the messages that follow.
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

    /// Wakes a sender if there is room. The caller has had a full barrier before this (D).
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

    /// `receiver` has taken messages from `position` on. Wakes a sender for the room, and a receiver
    /// for the messages that are left.
    #[inline]
    fn has_received(&self, receiver: &Self::Receiver, position: u32, guard: &Self::Guard) {
        // Pairs with `mark_waiting` (D).
        Self::Memory::full_barrier();
        // In a broadcast only the receiver that was farthest behind makes room. A sender that waits
        // has moved `head` to the position of this receiver.
        if self.senders_wait().load_relaxed() != 0
            && (self.mode() != Mode::Broadcast
                || self.ring().broadcast_made_room(receiver.id(), position))
        {
            self.wake_sender(guard);
        }
        self.pass_on_message(receiver, guard);
    }

    /// Wakes a receiver if `receiver` still sees a message, for itself or for any receiver. The caller
    /// has had a full barrier before this (D).
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
        let mut woken = Woken::Nothing;
        if self.may_have_any(receiver) {
            woken = wake_any_receivers(self, guard);
        }
        // No other receiver looks for the messages that only this one can receive.
        if woken != Woken::Request(receiver.id()) && receiver.is_active() && receiver.has_targeted()
        {
            receiver.wake_one();
        }
    }

    /// A request ends, and a waker may have woken it for a message or for room that it has not taken.
    /// Wakes another request if the message or the room is still there. `receiver` is the receiver of
    /// the request, if it has one.
    fn pass_on(&self, receiver: Option<&Self::Receiver>, guard: &Self::Guard) {
        // Pairs with `mark_waiting` (D).
        Self::Memory::full_barrier();
        self.wake_sender(guard);
        if let Some(receiver) = receiver {
            self.pass_on_message(receiver, guard);
        }
    }
}

/// Wakes one receiver, or all receivers of a broadcast. Returns what the wake-up has reached.
///
/// A woken receiver of a queue takes one message or many. If it leaves some, it wakes the next
/// receiver.
fn wake_any_receivers<W: Waiting + ?Sized>(waiting: &W, guard: &W::Guard) -> Woken {
    match waiting.mode() {
        Mode::Broadcast => {
            let mut woken = Woken::Nothing;
            waiting.find_receiver(0, guard, |receiver| {
                if receiver.is_active() {
                    woken = woken.max(wake(receiver));
                }
                false
            });
            woken
        }
        // The receiver that attached first.
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

/// Wakes one request of a receiver, and its watchers. Its queue has an entry.
fn wake<R: Receiver>(receiver: &R) -> Woken {
    if receiver.wake_one() {
        Woken::Request(receiver.id())
    } else {
        Woken::Watchers
    }
}

/// Wakes the first receiver from number `id` on that has a request waiting.
///
/// On its way it wakes all watchers: a watcher need not take the message, but a request does.
fn wake_receiver_from<W: Waiting + ?Sized>(waiting: &W, id: u32, guard: &W::Guard) -> Woken {
    let mut woken = Woken::Nothing;
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
