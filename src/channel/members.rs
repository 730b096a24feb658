// SPDX-License-Identifier: GPL-2.0

//! The members of a channel: which callers may attach, detach, evict and destroy, and how a member
//! comes and goes.

use kernel::{
    prelude::*,
    sync::{aref::ARef, atomic::Relaxed, rcu, Arc},
};

use super::{fair::Account, member::Member, parking::Side, Channel};
use crate::{
    kernel::{
        compat::{synchronize_rcu, EUSERS},
        rcu::{let_others_run, RcuObject},
    },
    memory::{cursor_page::CursorPage, region::Region},
    observe::{
        refusal::{refuse, Asked},
        trace,
    },
    ring::{Memory, Mode, Waiting},
    uapi,
};

impl Channel {
    /// Checks that the caller, from the io_uring instance `instance`, may find the channel by its
    /// id.
    ///
    /// # Errors
    ///
    /// `ENOENT`.
    #[inline]
    pub(crate) fn check_visible(&self, instance: usize) -> Result {
        let refused = |rule| Err(refuse(Asked::Channel(self.id), rule, ENOENT));
        if !self.permissions.caller_is_inside() {
            return refused(c"it is in another IPC namespace");
        }
        if self.private && self.creator != instance && !self.permissions.caller_is_owner() {
            return refused(c"it is private, and the caller is not its owner");
        }
        Ok(())
    }

    /// Checks that the caller, from the io_uring instance `instance`, may send without being
    /// attached.
    ///
    /// # Errors
    ///
    /// `ENOENT`, `EACCES`.
    pub(crate) fn check_unattached(&self, instance: usize) -> Result {
        self.check_visible(instance)?;
        if self.private {
            let rule = c"it is private, and the sender has not attached";
            return Err(refuse(Asked::Channel(self.id), rule, EACCES));
        }
        self.check_mode(uapi::IOIPC_SUB_SEND)
    }

    /// Checks that the caller may send and receive as `flags`, of `IOIPC_SUB_*`, asks for.
    ///
    /// # Errors
    ///
    /// `EACCES`.
    #[inline]
    pub(crate) fn check_mode(&self, flags: u32) -> Result {
        self.permissions.check(flags).map_err(|error| {
            let rule = if flags & uapi::IOIPC_SUB_SEND == 0 {
                c"its mode does not let the caller receive"
            } else if flags & uapi::IOIPC_SUB_RECV == 0 {
                c"its mode does not let the caller send"
            } else {
                c"its mode does not let the caller send and receive"
            };
            refuse(Asked::Channel(self.id), rule, error)
        })
    }

    /// Checks that the caller, from the io_uring instance `instance`, may destroy the channel and
    /// detach its subscribers. `rule` is for the log if the caller may not.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the caller must not know of it, `EPERM`.
    pub(crate) fn check_control(&self, instance: usize, rule: &CStr) -> Result {
        if self.ring.is_closed() {
            // The creator may be gone, and another instance may be at the same address.
            return Err(ENOENT);
        }
        if self.creator == instance {
            return Ok(());
        }
        self.check_visible(instance)?;
        if self.permissions.caller_is_owner() {
            return Ok(());
        }
        Err(refuse(Asked::Channel(self.id), rule, EPERM))
    }

    /// A member that the caller has not attached yet, see [`Member::new`].
    pub(super) fn new_member(&self, id: u32, flags: u32) -> impl PinInit<Member, Error> + '_ {
        Member::new(id, flags, &self.parking)
    }

    /// Takes a place for a subscriber of the caller. May sleep.
    ///
    /// # Errors
    ///
    /// As [`Places::take`].
    fn take_place(&self, uid: u32) -> Result<Option<Arc<Account>>> {
        let account = match self.is_fair() {
            true => Some(Account::new(&self.parking)?),
            false => None,
        };
        self.places
            .take(uid, account, || self.permissions.caller_is_owner())
            .inspect_err(|&error| {
                if error == EUSERS {
                    let rule = c"no place is left, or the caller's uid has its share of them";
                    refuse(Asked::Channel(self.id), rule, error);
                }
            })
    }

    /// Makes a subscriber of the caller a member. May sleep.
    ///
    /// # Errors
    ///
    /// `EUSERS` if the channel has too many members, or too many of the caller's uid; `ENOMEM`.
    pub(crate) fn attach(&self, member: &ARef<RcuObject<Member>>) -> Result {
        if let Some(account) = self.take_place(member.uid())? {
            member.set_account(account);
        }
        // Until the member has joined, it holds the slots from its cursor on. So the cursor starts
        // at the latest slot.
        member.cursor.store(self.ring.new_cursor(), Relaxed);
        self.rank(member);
        self.members
            .insert(member.id(), member.clone(), member.can_receive())
            .inspect_err(|_| self.places.give_back(member.uid()))?;
        if member.is_lossy() {
            self.lossy.fetch_add(1, Relaxed);
        }
        if self.mode != Mode::Broadcast {
            self.ring.queue_join(&member.cursor);
        } else if member.wants_history() {
            // A sender that may overwrite this receiver's messages needs no room left for it.
            let room = if self.may_take_from(member) {
                0
            } else {
                (self.entries() / 4).max(1)
            };
            self.ring.broadcast_join_at_oldest(&member.cursor, room);
        } else {
            self.ring.broadcast_join(&member.cursor);
        }
        // Until now the member may have held more slots than from now on. Pairs with the requests
        // that park (D).
        Region::full_barrier();
        self.wake_sender(&rcu::read_lock());
        Ok(())
    }

    /// Ends a membership. Returns whether `member` was a member until now; otherwise another caller
    /// has ended the membership. Requests of the member that have started go on. Requests that start
    /// later find that it is detached. May sleep.
    pub(crate) fn detach(&self, member: &Member) -> bool {
        let _membership = member.membership.lock();
        if self.is_detached(member) {
            return false;
        }
        if self.ring.broadcast_leave(&member.cursor) {
            // A request is reading the message at the cursor. It does so in one read-side critical
            // section.
            synchronize_rcu();
        }
        self.drop_targeted_if_detached(member);
        self.ring.broadcast_let_go(&member.cursor);
        self.counts.add(member.take_counts());
        self.leave_calls(member);
        // None of its requests parks any more. They leave their line before it leaves the channel.
        while self.end_requests(member) {
            let_others_run();
        }
        self.members.remove(member.id());
        if member.is_lossy() {
            self.lossy.fetch_sub(1, Relaxed);
        }
        self.places.give_back(member.uid());
        trace::detach(|| (self.id, member.id()));
        self.depart(member);
        self.drop_files_at_the_end();

        member.tell_the_end();
        self.pass_on(member.can_receive().then_some(member), &rcu::read_lock());
        true
    }

    /// Ends requests that wait for `member`, because the membership or the channel has ended. Returns
    /// whether more of them may be left.
    fn end_requests(&self, member: &Member) -> bool {
        if self.end_some(Some(member), Side::Receives)
            || self.end_some(Some(member), Side::Sends)
            || self.end_some_own_watches(member)
            || self.end_some_own_calls(member)
        {
            return true;
        }
        // A request that is awake finds out by itself, and wakes no other one.
        self.looks(Some(member), Side::Receives);
        self.looks(Some(member), Side::Sends);
        self.leave_lines(member);
        false
    }

    /// Whether a subscriber of this channel is detached.
    #[inline]
    pub(crate) fn is_detached(&self, member: &Member) -> bool {
        self.ring.is_detached(&member.cursor)
    }

    /// Drops the messages that only `member` could receive, if it has detached. Returns whether it
    /// has.
    ///
    /// [`Self::detach`] calls this after it has marked the member. A request calls it after it may
    /// have put a message for the member into the ring. Their barriers pair with each other, so one
    /// of them sees the mark and the message.
    ///
    /// One message can stay uncounted. In a broadcast nothing holds a message for a member that has
    /// detached. If the sender is preempted before this call, and others go once round the ring
    /// meanwhile, the sender does not find its message. To wait for such senders would take a grace
    /// period for each receiver that detaches.
    pub(super) fn drop_targeted_if_detached(&self, member: &Member) -> bool {
        Region::full_barrier();
        if !member.can_receive() || !self.is_detached(member) {
            return false;
        }
        let id = member.id();
        let drop_files = |position| self.drop_files(position);
        let count = if self.mode == Mode::Broadcast {
            self.ring
                .broadcast_drop_targeted(&member.cursor, id, drop_files)
        } else {
            let pending = member.pending();
            let dropped = self
                .ring
                .queue_drop_targeted(&member.cursor, id, pending, |claim| {
                    self.give_back(claim.position(), member);
                    drop_files(claim.position());
                });
            member.uncount_pending(dropped);
            dropped
        };
        self.dropped.add(u64::from(count), Relaxed);
        true
    }

    /// Takes over what requests have counted of a member since it has detached. May sleep.
    pub(crate) fn take_late_counts(&self, member: &Member) {
        let _membership = member.membership.lock();
        self.counts.add(member.take_counts());
    }

    /// Ends sending, and wakes all that wait or watch. Receivers still get what is queued. May sleep.
    pub(crate) fn close(&self) {
        self.ring.close();
        self.drop_files_at_the_end();
        // Pairs with `poll`: a watcher that enters a queue after this sees that the ring is closed.
        Region::full_barrier();
        while self.end_some(None, Side::Sends) {
            let_others_run();
        }
        let mut id = 0;
        loop {
            {
                let guard = rcu::read_lock();
                let Some(member) = self.member_from(id, &guard) else {
                    return;
                };
                if !self.end_requests(member) {
                    member.tell_the_end();
                    id = member.id() + 1;
                }
            }
            let_others_run();
        }
    }

    /// The page in which a receiver of a broadcast says how far it has read. Makes one if there is
    /// none. May sleep.
    ///
    /// # Errors
    ///
    /// As [`Member::make_cursor_page`].
    pub(crate) fn cursor_page<'a>(&self, member: &'a Member) -> Result<&'a CursorPage> {
        let position = self.ring.cursor_position(&member.cursor);
        let page = member.make_cursor_page(position)?;
        // The page may be old, and requests may have received messages since.
        page.catch_up(position);
        Ok(page)
    }

    /// Finds the member with the lowest id from `id` on. It stays valid as long as the read-side
    /// critical section.
    pub(crate) fn member_from<'a>(&self, id: u32, guard: &'a rcu::Guard) -> Option<&'a Member> {
        Some(self.members.get_from(id, guard)?)
    }

    /// Calls `each` for all members. There may be many, so each call has a read-side critical section
    /// of its own. May sleep.
    pub(super) fn for_each_member(&self, mut each: impl FnMut(&Member)) {
        let mut id = 0;
        loop {
            {
                let guard = rcu::read_lock();
                let Some(member) = self.member_from(id, &guard) else {
                    return;
                };
                each(member);
                id = member.id() + 1;
            }
            let_others_run();
        }
    }

    /// Calls `is_wanted` for receivers until it returns true: from number `first` on, and then for
    /// those before.
    #[inline]
    pub(super) fn find_receiver<'a>(
        &self,
        first: u32,
        guard: &'a rcu::Guard,
        mut is_wanted: impl FnMut(&'a Member) -> bool,
    ) {
        let mut is_found = false;
        self.members.find_marked(first, guard, |receiver| {
            is_found = is_wanted(receiver);
            is_found
        });
        if !is_found && first != 0 {
            self.members.find_marked(0, guard, |receiver| {
                receiver.id() >= first || is_wanted(receiver)
            });
        }
    }
}
