// SPDX-License-Identifier: GPL-2.0

//! `IOIPC_F_FAIR`: no uid takes all slots of a queue, and no target either.
//!
//! Each uid that has subscribers has an [`Account`]: a [`Share`] of the slots, and the requests that
//! wait for it. Senders that are not attached have one account together. [`Places`](super::places::Places)
//! keeps the account of a uid as long as the uid has a place or uses slots. So a uid that detaches and
//! attaches again finds its messages still counted.
//!
//! # Waiting
//!
//! A send that waits is parked in the seat of its subscriber, as in any channel. But the seats of one uid
//! stand in a line of their own, and the uids stand in a tree, by the room that the first send of each
//! uid needs: the slots of its message, and those that the uid has to leave. A waker looks at the first
//! uid in the tree. If there is too little room for that one, there is too little for all. So no uid
//! waits behind another one, and a waker looks at few uids, however many wait.
//!
//! The room that a uid needs becomes less when a receiver gives slots of it back. That receiver then
//! moves the uid in the tree: it sees in the word of the share that requests wait, or the request that
//! parks sees the new value of this word. The room that a uid needs becomes more when it sends. Nobody
//! moves it then: the waker that finds it does, and looks at the next one.
//!
//! So when nothing happens any more, no request waits that could go on: whatever gives it room or share
//! (a receive, a drop, a send that gives back what it took, a woken request that takes nothing) is
//! followed by a full barrier and a look at the mark, as in any channel (D). If nobody is woken then, the
//! tick looks again. `tests/model/fair.pml` checks this.
//!
//! A uid whose request was woken and has not looked when the tick runs comes after all others, until one
//! of its requests looks. So uids with stopped tasks hold up nobody else.
//!
//! Locking: [`Account::group`] is behind the spinlock `Channel::parking`. Nothing else here locks.

use kernel::{
    prelude::*,
    rbtree::{RBTree, RBTreeNodeReservation},
    sync::{atomic::Atomic, rcu, Arc, LockedBy, SpinLock},
};

use super::{
    member::Member,
    parking::{member_of, Line, Parking, Side},
    sending::{Outgoing, Payload, SendFailure},
    Channel,
};
use crate::{
    kernel::{
        alloc::GFP_MAYFAIL,
        arc_cell::ArcCell,
        compat::{EDQUOT, ENOBUFS},
        identity::CurrentIdentity,
    },
    memory::region::Region,
    observe::trace,
    ring::{Memory, NoRoom, Reservations, Share, Waiting},
};

/// The messages for one target hold at most one in so many slots.
const TARGET_PART: u32 = 4;

/// How many uids a waker looks at before it leaves the rest to the tick.
const MAX_LOOKS: u32 = 4;

/// The number by which a uid stands in the tree: whether it is stalled, the room that it needs, and when
/// it came.
const STALLED: u64 = 1 << 63;
const TICKET_BITS: u32 = 46;
const MAX_ROOM: u32 = (1 << (63 - TICKET_BITS)) - 1;

/// The senders of one uid, or those that are not attached.
pub(super) struct Account {
    share: Share<Region>,
    group: LockedBy<Group, Parking>,
}

/// What an account needs to be in the tree.
type Node = RBTreeNodeReservation<u64, Arc<Account>>;

/// The requests of an account that wait.
pub(super) struct Group {
    /// Members with sends that wait; or the channel, for senders that are not attached.
    pub(super) line: Line,
    /// There while it is not in the tree.
    node: Option<Node>,
    /// Its number in the tree.
    number: u64,
    /// A request of it was woken, and had not looked when the tick ran. None has looked since.
    is_stalled: bool,
}

/// Accounts with requests that wait, by the room that they need.
pub(super) struct Groups(RBTree<u64, Arc<Account>>);

impl Groups {
    pub(super) fn new() -> Self {
        Self(RBTree::new())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first one whose number is not before `number`.
    fn from(&self, number: u64) -> Option<(u64, Arc<Account>)> {
        let cursor = self.0.cursor_lower_bound(&number)?;
        let (&number, account) = cursor.current();
        Some((number, account.clone()))
    }
}

impl Account {
    /// One that uses nothing. `parking` is that of its channel. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn new(parking: &SpinLock<Parking>) -> Result<Arc<Self>> {
        let group = Group {
            line: Line::new(),
            node: Some(RBTreeNodeReservation::new(GFP_MAYFAIL)?),
            number: 0,
            is_stalled: false,
        };
        Ok(Arc::new(
            Self {
                share: Share::new(Atomic::new(0)),
                group: LockedBy::new(parking, group),
            },
            GFP_MAYFAIL,
        )?)
    }

    /// How many slots it uses.
    pub(super) fn used(&self) -> u32 {
        self.share.used()
    }

    /// How many slots have to stay free beside those of a message of `slots`.
    pub(super) fn to_leave(&self, slots: u32) -> u32 {
        self.share.to_leave(slots)
    }

    /// Its requests that wait, as [`Member::seats`].
    #[inline(never)]
    pub(super) fn group<'a>(&'a self, parking: &'a mut Parking) -> &'a mut Group {
        self.group.access_mut(parking)
    }
}

/// What a fair channel has beside others.
pub(super) struct Shares {
    unattached: Arc<Account>,
    /// The account that uses each slot. Only the holder of a reservation puts one in, and only the holder
    /// of a claim takes it out. A slot that its sender gave up keeps one until the next sender comes.
    by_slot: KVVec<ArcCell<Account>>,
}

impl Shares {
    /// Those of a channel with so many slots. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn new(entries: u32, parking: &SpinLock<Parking>) -> Result<Self> {
        let mut by_slot = KVVec::with_capacity(entries as usize, GFP_MAYFAIL)?;
        for _ in 0..entries {
            by_slot.push(ArcCell::new(), GFP_MAYFAIL)?;
        }
        Ok(Self {
            unattached: Account::new(parking)?,
            by_slot,
        })
    }

    /// The account of a sender: of `member`, or of those that are not attached.
    #[inline(always)]
    fn account<'a>(&'a self, member: Option<&'a Member>) -> &'a Arc<Account> {
        // A member without an account is one that is just being attached: nobody sends for it.
        member.and_then(Member::account).unwrap_or(&self.unattached)
    }

    /// Notes which account uses a slot. The caller has reserved it, and taken it of the share.
    #[inline(always)]
    fn use_slot(&self, index: u32, account: &Arc<Account>) {
        if let Some(user) = self.by_slot.get(index as usize) {
            user.put(account.clone());
        }
    }
}

/// Slots that a sender has taken of a share, and for a target. Dropping this gives those back that the
/// sender has not used.
struct Charge<'a> {
    account: &'a Account,
    target: Option<&'a Member>,
    /// How many messages, and how many slots each of them takes.
    count: u32,
    slots: u32,
    /// The account has used nothing before, and there is one message.
    was_unused: bool,
}

impl<'a> Charge<'a> {
    /// For `count` messages if they fit, otherwise for fewer: at least one.
    ///
    /// # Errors
    ///
    /// `EDQUOT` if the target has its part.
    #[inline(always)]
    fn new(
        channel: &Channel,
        account: &'a Account,
        target: Option<&'a Member>,
        mut count: u32,
        slots: u32,
    ) -> Result<Self> {
        if count > 1 {
            count = account.share.at_once(count, channel.ring.room());
        }
        if let Some(target) = target {
            let most = (channel.entries() / TARGET_PART).max(1);
            count = target.hold(count, slots, most).ok_or(EDQUOT)?;
        }
        let used = account.share.take(count * slots);
        Ok(Self {
            account,
            target,
            count,
            slots,
            was_unused: used == 0 && count == 1,
        })
    }
}

impl Drop for Charge<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.count != 0 {
            let slots = self.count * self.slots;
            // If requests of the account wait, they need less room now than its place in the tree says.
            // The sender moves it then, with `Channel::gave_back`.
            self.account.share.give_back(slots);
            if let Some(target) = self.target {
                target.let_go(slots);
            }
        }
    }
}

impl Channel {
    /// The account of a sender, see [`Shares::account`]; `None` if the channel is not fair.
    #[inline(always)]
    pub(super) fn account<'a>(&'a self, member: Option<&'a Member>) -> Option<&'a Arc<Account>> {
        Some(self.shares.as_ref()?.account(member))
    }

    /// Whether its senders have shares.
    pub(crate) fn is_fair(&self) -> bool {
        self.shares.is_some()
    }

    /// How many slots the uid of a member uses, if the channel is fair.
    pub(crate) fn used_by_uid_of(&self, member: &Member) -> Option<u32> {
        self.account(Some(member)).map(|account| account.used())
    }

    #[inline(always)]
    fn reserve_fairly(
        &self,
        count_and_slots: (u32, u32),
        account: &Account,
        was_unused: bool,
        guard: &rcu::Guard,
    ) -> Result<Reservations<'_, Region>> {
        let is_exact = self.room.is_active();
        self.ring
            .reserve_share(
                count_and_slots,
                &account.share,
                was_unused,
                is_exact,
                |_, missing| self.reclaim(missing, guard),
            )
            .map_err(|reason| match reason {
                NoRoom::Closed => EPIPE,
                NoRoom::Full => ENOBUFS,
            })
    }

    /// As [`Channel::send_one`], for a fair channel.
    #[inline(always)]
    pub(super) fn send_one_fairly(
        &self,
        shares: &Shares,
        payload: &Payload<'_>,
        outgoing: &Outgoing<'_>,
        sender: Option<&Member>,
        target: Option<&Member>,
        guard: &rcu::Guard,
    ) -> Result<(), SendFailure> {
        if target.is_some() || !self.region().is_single(payload.len()) {
            let payloads = core::slice::from_ref(payload);
            let sent = self.send_fairly(shares, payloads, outgoing, sender, guard, &mut |_| ());
            return sent.map(|_| ());
        }
        if payload.is_readable().is_err() {
            return Err(SendFailure::NotPresent);
        }
        let current = CurrentIdentity::new();
        let account = shares.account(sender);
        let was_unused = account.share.take(1) == 0;
        let reserved = self.reserve_fairly((1, 1), account, was_unused, guard);
        let (slot, end, fill_the_ring) = match reserved {
            Ok(mut reserved) => {
                let (end, fill_the_ring) = (reserved.end(), reserved.fill_the_ring());
                (reserved.next(), end, fill_the_ring)
            }
            Err(error) => {
                account.share.give_back(1);
                self.gave_back(account, guard);
                return Err(error.into());
            }
        };
        let is_sent = slot.is_some_and(|slot| {
            shares.use_slot(slot.index(), account);
            self.fill(slot, payload, outgoing, None, &current, |_| ())
                .is_ok()
        });
        if !is_sent {
            account.share.give_back(1);
            self.gave_back(account, guard);
        }
        self.has_sent(is_sent.into(), None, end, fill_the_ring, guard);
        if is_sent {
            Ok(())
        } else {
            Err(SendFailure::NotPresent)
        }
    }

    /// As [`Channel::send`], for a fair channel. `attach` is for [`Channel::fill`].
    ///
    /// # Errors
    ///
    /// `EDQUOT` if the messages for the target hold their part of the slots.
    #[inline(never)]
    pub(super) fn send_fairly(
        &self,
        shares: &Shares,
        payloads: &[Payload<'_>],
        outgoing: &Outgoing<'_>,
        sender: Option<&Member>,
        guard: &rcu::Guard,
        attach: &mut dyn FnMut(u32),
    ) -> Result<u32, SendFailure> {
        let target = self.target(outgoing, guard)?;
        let (mut count, mut slots) = (self.count_ready(payloads), 1);
        if count == 0 {
            let first = payloads.first().ok_or(EINVAL)?;
            slots = self.region().slots(first.len()).ok_or(EMSGSIZE)?;
            if first.is_readable().is_err() {
                return Err(SendFailure::NotPresent);
            }
            count = 1;
        }
        let current = CurrentIdentity::new();
        let account = shares.account(sender);
        let charge = Charge::new(self, account, target, count, slots);
        // Of the two, that is the reason that stays.
        let mut charge = charge.map_err(|error| match self.ring.is_closed() {
            true => EPIPE,
            false => error,
        })?;
        let reserved =
            match self.reserve_fairly((charge.count, slots), account, charge.was_unused, guard) {
                Ok(reserved) => reserved,
                Err(error) => {
                    drop(charge);
                    self.gave_back(account, guard);
                    return Err(error.into());
                }
            };
        let (end, fill_the_ring) = (reserved.end(), reserved.fill_the_ring());
        let mut sent = 0;
        for (slot, payload) in reserved.zip(payloads) {
            shares.use_slot(slot.index(), account);
            if self
                .fill(slot, payload, outgoing, target, &current, &mut *attach)
                .is_err()
            {
                break;
            }
            sent += 1;
        }
        charge.count -= sent;
        let is_rest = charge.count != 0;
        drop(charge);
        if is_rest {
            self.gave_back(account, guard);
        }
        self.has_sent(sent, target, end, fill_the_ring, guard);
        if sent == 0 {
            return Err(SendFailure::NotPresent);
        }
        Ok(sent)
    }

    /// A sender has given slots back that it took and did not use, or has moved `head` for them: others
    /// may have seen too little left, and parked.
    #[cold]
    fn gave_back(&self, account: &Arc<Account>, guard: &rcu::Guard) {
        // After the slots, before the mark. Pairs with the requests that park (D).
        Region::full_barrier();
        if self.is_any_waiting() {
            self.needs_less(account);
            self.wake_sender_for_much(guard);
        }
    }

    /// Gives the slots of the message at a position back. The caller has claimed it, and is about to consume
    /// it: for `receiver`, or because `receiver` has left.
    #[inline(always)]
    pub(super) fn give_back(&self, position: u32, receiver: &Member) {
        if let Some(shares) = &self.shares {
            self.give_back_to(shares, position, receiver);
        }
    }

    #[cold]
    #[inline(never)]
    fn give_back_to(&self, shares: &Shares, position: u32, receiver: &Member) {
        let index = position & (self.entries() - 1);
        let len = self.region().message_len(index);
        let slots = self.region().slots(len).unwrap_or(1);
        if self.ring.target(position) != 0 {
            receiver.let_go(slots);
        }
        let user = shares.by_slot.get(index as usize).and_then(ArcCell::take);
        let Some(account) = user else {
            return;
        };
        if account.share.give_back(slots) {
            self.needs_less(&account);
        }
    }

    /// Moves an account in the tree whose requests wait, because it uses fewer slots now.
    #[cold]
    fn needs_less(&self, account: &Account) {
        let mut parking = self.parking.lock();
        let number = account.group(&mut parking).number;
        if let Some((_, found)) = parking.groups.from(number) {
            if core::ptr::eq(&*found, account) {
                self.settle_group(&mut parking, &found, false);
            }
        }
    }

    /// How many slots the first request of an account needs that waits, and how many it has to leave.
    fn group_needs(&self, parking: &mut Parking, account: &Account) -> (u32, u32) {
        let mut slots = 1;
        if self.region().largest() != 1 {
            if let Some((_, entry)) = self.first_waiting_in(parking, Some(account), Side::Sends, 0)
            {
                let seat = self.seat(parking, member_of(&entry), Side::Sends);
                slots = seat.first_needs();
            }
        }
        (slots, account.share.to_leave(slots))
    }

    /// Puts an account where it belongs in the tree: behind those that need as much room, if `was_served`.
    pub(super) fn settle_group(
        &self,
        parking: &mut Parking,
        account: &Arc<Account>,
        was_served: bool,
    ) {
        let waits = account.group(parking).line.is_waiting();
        // Before the look at what it uses, see `Share`.
        account.share.set_waits(waits);
        let (slots, to_leave) = self.group_needs(parking, account);
        let group = account.group(parking);
        let mut place = u64::from((slots + to_leave).min(MAX_ROOM)) << TICKET_BITS;
        if group.is_stalled {
            place |= STALLED;
        }
        if group.node.is_none() {
            let number = group.number;
            if waits && !was_served && number >> TICKET_BITS == place >> TICKET_BITS {
                return;
            }
            let node = parking.groups.0.remove_node(&number);
            account.group(parking).node = node.map(|node| node.into_reservation());
        }
        if waits {
            let ticket = parking.next_turn() & ((1 << TICKET_BITS) - 1);
            let group = account.group(parking);
            if let Some(node) = group.node.take() {
                group.number = place | ticket;
                let node = node.into_node(group.number, account.clone());
                // No two have the same number.
                drop(parking.groups.0.insert(node));
            }
        }
    }

    /// Finds the first account in the tree with a request that has room. If `wants_much`, the account has
    /// to leave twice as much: to be woken for each single slot costs more than to send a message.
    ///
    /// # Errors
    ///
    /// Whether there may be another one.
    fn find_group(
        &self,
        parking: &mut Parking,
        wants_much: bool,
    ) -> core::result::Result<Arc<Account>, bool> {
        let mut from = 0;
        for _ in 0..MAX_LOOKS {
            let Some((number, account)) = parking.groups.from(from) else {
                return Err(false);
            };
            // It needs at least as much as its place says, and so do those behind it.
            if (number & !STALLED) >> TICKET_BITS > u64::from(self.ring.room()) {
                if number & STALLED != 0 {
                    return Err(false);
                }
                from = STALLED;
                continue;
            }
            let (slots, to_leave) = self.group_needs(parking, &account);
            let more = if wants_much && to_leave != 0 {
                slots + to_leave
            } else {
                0
            };
            if self.ring.missing_beside(slots, to_leave + more) == 0 {
                return Ok(account);
            }
            // It may have sent more since.
            self.settle_group(parking, &account, false);
            from = number + 1;
        }
        Err(true)
    }

    /// See [`Waiting::wake_fair_senders`].
    #[cold]
    pub(super) fn wake_fairly(&self, wants_much: bool, count: u32) {
        self.ring.queue_reclaim();
        for number in 0..count {
            let mut parking = self.parking.lock();
            if number == 0 && parking.awake_sender != 0 {
                return;
            }
            let account = match self.find_group(&mut parking, wants_much) {
                Ok(account) => account,
                Err(is_unsure) => {
                    let is_any = !parking.groups.is_empty();
                    drop(parking);
                    if is_any && (wants_much || is_unsure) {
                        self.arm_tick();
                    }
                    return;
                }
            };
            let first = self.first_waiting_in(&mut parking, Some(&account), Side::Sends, 0);
            let Some((_, entry)) = first else {
                return;
            };
            let woken = self.wake_sender_of(&mut parking, member_of(&entry));
            self.settle_group(&mut parking, &account, true);
            let is_any_left = !parking.groups.is_empty();
            drop(parking);
            if is_any_left {
                self.arm_tick();
            }
            trace::wake(|| (self.id, 0, 1));
            drop(woken);
        }
    }

    /// The sender that is awake has not looked for a while: its uid comes after the others.
    pub(super) fn stall(&self, parking: &mut Parking) {
        let guard = rcu::read_lock();
        let id = parking.awake_sender;
        let member = self.members.get(id, &guard);
        if id == 0 || (member.is_none() && id != self.id) {
            return;
        }
        if let Some(account) = self.account(member.map(|member| -> &Member { member })) {
            account.group(parking).is_stalled = true;
            self.settle_group(parking, account, false);
        }
    }

    /// A sender of `member` looks, or one that is not attached.
    pub(super) fn stall_no_more(&self, parking: &mut Parking, member: Option<&Member>) {
        if let Some(account) = self.account(member) {
            if account.group(parking).is_stalled {
                account.group(parking).is_stalled = false;
                self.settle_group(parking, account, false);
            }
        }
    }
}
