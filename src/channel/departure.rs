// SPDX-License-Identifier: GPL-2.0

//! Departures: requests that wait until a member has left, see `IOIPC_RECV_GONE`.
//!
//! Such a request is one of the watcher, which is a member too. It is in a list of the member that it
//! watches, and in one of the watcher, so that the end of either finds it.
//!
//! The task that ends a membership does nothing for each of the watchers. It gives a reference up, and a
//! grace period later a workqueue wakes them. Then no request of the member publishes a message any
//! more: each one looks for the member in the read-side critical section in which it publishes.
//!
//! Locking: the spinlock `Channel::parking` protects the lists.

use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{Atomic, Relaxed},
        rcu,
    },
};

use super::{member::Member, parking::BATCH, subscriber::Subscriber, Channel};
use crate::{
    kernel::{
        paired::{self, First, Second},
        parked::{Parkable, Woken},
        rcu::{let_others_run, RcuObject},
    },
    observe::trace,
};

/// Wakes the watchers of a subscriber when it is dropped: a grace period after its membership has ended.
pub(super) struct Departure {
    subscriber: Subscriber,
    /// The subscriber had this one, and has let go of it. Two tasks may make one at the same time.
    has_left: Atomic<bool>,
}

impl Drop for Departure {
    fn drop(&mut self) {
        if !self.has_left.load(Relaxed) {
            return;
        }
        let (channel, member) = (self.subscriber.channel(), self.subscriber.member());
        while channel.end_some_watches(member, Watches::pop_watcher) {
            let_others_run();
        }
    }
}

/// What a member has of this.
pub(super) struct Watches {
    /// Requests that wait for its end.
    watchers: First,
    /// Its own requests that wait for the end of a member.
    own: Second,
    /// There as long as it is a member, once a request has asked for its end.
    departure: Option<ARef<RcuObject<Departure>>>,
}

impl Watches {
    /// Those of a new member. May sleep.
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            watchers: First::new()?,
            own: Second::new()?,
            departure: None,
        })
    }

    fn pop_watcher(&mut self) -> Option<Woken> {
        self.watchers.pop()
    }

    fn pop_own(&mut self) -> Option<Woken> {
        self.own.pop()
    }
}

impl Subscriber {
    /// The subscriber of the same channel that has the number `id`, if it is not detached.
    pub(crate) fn peer(&self, id: u32, guard: &rcu::Guard) -> Option<Self> {
        let member = self.channel().member(id, guard)?;
        Some(self.with_member(ARef::from(member)))
    }

    /// Lets requests wait for its end. May sleep.
    ///
    /// # Errors
    ///
    /// `EPIPE` if the channel is destroyed, `ENOMEM`.
    pub(crate) fn expect_departure(&self) -> Result {
        let channel = self.channel();
        if channel.ring.is_closed() {
            return Err(EPIPE);
        }
        if channel.expects_departure(self.member()) {
            return Ok(());
        }
        let departure = RcuObject::new(try_init!(Departure {
            subscriber: self.clone(),
            has_left: Atomic::new(false),
        }? Error))?;
        channel.set_departure(self.member(), departure);
        Ok(())
    }
}

impl Channel {
    /// The member that has the number `id`, if it is not detached.
    pub(super) fn member<'a>(
        &self,
        id: u32,
        guard: &'a rcu::Guard,
    ) -> Option<&'a RcuObject<Member>> {
        let member = self.members.get(id, guard)?;
        (!self.is_detached(member)).then_some(member)
    }

    fn expects_departure(&self, member: &Member) -> bool {
        let mut parking = self.parking.lock();
        member.seats(&mut parking).watches.departure.is_some()
    }

    /// Gives a member what it lets go of at its end, unless it has that or has ended.
    fn set_departure(&self, member: &Member, departure: ARef<RcuObject<Departure>>) {
        let mut parking = self.parking.lock();
        let watches = &mut member.seats(&mut parking).watches;
        // `detach` marks the member, and then looks here.
        if watches.departure.is_none() && !self.is_detached(member) {
            watches.departure = Some(departure);
        }
    }

    /// Parks a request of `watcher` that waits for the end of the member `id`. Returns false if nothing
    /// would wake the request. Does not sleep.
    pub(crate) fn park_watch(
        &self,
        watcher: &Member,
        id: u32,
        request: &Parkable<'_>,
        guard: &rcu::Guard,
    ) -> bool {
        let Some(member) = self.member(id, guard) else {
            return false;
        };
        let mut parking = self.parking.lock();
        // A task that ends one of these marks it, and then looks here.
        if self.ring.is_closed() || self.is_detached(watcher) || self.is_detached(member) {
            return false;
        }
        let watches = &mut member.seats(&mut parking).watches;
        if watches.departure.is_none() {
            return false;
        }
        let Some(entered) = watches.watchers.insert(request) else {
            return false;
        };
        watcher.seats(&mut parking).watches.own.insert(entered);
        drop(parking);
        watcher.count_wait();
        true
    }

    /// Takes such a request out. Returns false if it was woken. Does not sleep.
    pub(crate) fn unpark_watch(&self, request: &Parkable<'_>) -> bool {
        let _parking = self.parking.lock();
        paired::remove(request)
    }

    /// Wakes requests of `watcher` that wait like that, because its membership or the channel has ended.
    /// Returns whether more of them may be left.
    pub(super) fn end_some_own_watches(&self, watcher: &Member) -> bool {
        self.end_some_watches(watcher, Watches::pop_own)
    }

    fn end_some_watches(
        &self,
        member: &Member,
        pop: impl Fn(&mut Watches) -> Option<Woken>,
    ) -> bool {
        let mut batch = [const { None }; BATCH];
        let mut parking = self.parking.lock();
        let mut count = 0;
        for woken in &mut batch {
            *woken = pop(&mut member.seats(&mut parking).watches);
            count += u32::from(woken.is_some());
        }
        drop(parking);
        if count > 0 {
            trace::wake(|| (self.id, member.id(), count));
        }
        count as usize == BATCH
    }

    /// The membership of `member` has ended: its watchers are woken a grace period from now. Does not
    /// sleep.
    pub(super) fn depart(&self, member: &Member) {
        let departure = {
            let mut parking = self.parking.lock();
            member.seats(&mut parking).watches.departure.take()
        };
        if let Some(departure) = departure {
            departure.has_left.store(true, Relaxed);
        }
    }
}
