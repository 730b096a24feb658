// SPDX-License-Identifier: GPL-2.0

//! Calls: messages whose sends complete with an answer, see `IOIPC_SEND_CALL`.
//!
//! A call is in a tree by its callee and the number of its message, from the moment before the message
//! is published until it ends. The callee is 0 as long as no receiver has the message, unless it has a
//! target. So an answer finds the call only if it comes from the callee, and the end of a membership
//! finds all calls of a callee in one place. `tests/model/call.pml` goes through all orders of these
//! steps.
//!
//! The request of the call owns the memory for the answer, and lends it to the request that answers. The
//! latter copies without the lock, and never sleeps meanwhile.
//!
//! Locking: the spinlock `Channel::parking` protects all of this. Nobody frees memory for an answer while
//! holding it, or in an RCU read-side critical section: that may sleep.

use core::mem;

use kernel::{
    prelude::*,
    rbtree::{Entry, RBTree, RBTreeNode, RBTreeNodeReservation},
    sync::{aref::ARef, rcu, Arc, LockedBy},
};

use super::{
    member::Member,
    parking::{Parking, BATCH},
    sending::{Payload, SendFailure},
    subscriber::Subscriber,
    Channel,
};
use crate::{
    kernel::{
        alloc::GFP_MAYFAIL,
        identity::{CurrentIdentity, Identity},
        parked::{Parkable, Ticket, Woken},
        rcu::RcuObject,
    },
    memory::user_buffer::NotPresent,
    observe::trace,
    ring::Waiting,
    uapi::{self, MessageInfo},
};

/// The calls of a channel that have no answer yet.
pub(super) struct Calls {
    tree: RBTree<u64, Arc<Call>>,
    /// A callee has left calls that have not ended.
    is_any_left: bool,
    /// How many there have been.
    sent: u64,
    /// How many answers reached no caller.
    late: u64,
}

/// Where a call is in the tree. `callee` is 0 if no receiver has it yet.
const fn key(callee: u32, msg_id: u32) -> u64 {
    (callee as u64) << 32 | msg_id as u64
}

impl Calls {
    /// There are none.
    pub(super) fn new() -> Self {
        Self {
            tree: RBTree::new(),
            is_any_left: false,
            sent: 0,
            late: 0,
        }
    }
}

/// What a caller gets.
pub(crate) struct Answer {
    bytes: KVVec<u8>,
    info: MessageInfo,
    sender: Identity,
}

impl Answer {
    /// What the caller's buffer has room for.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What the caller is told if it gets `stored` bytes, as the current task sees it.
    pub(crate) fn info(&self, stored: u32) -> MessageInfo {
        let mut info = self.info;
        self.sender.translate(&mut info);
        if stored < info.len {
            info.flags |= uapi::IOIPC_INFO_TRUNCATED;
        }
        info
    }

    /// Length of the whole answer.
    pub(crate) fn len(&self) -> u32 {
        self.info.len
    }
}

enum Phase {
    /// It was not sent, or its request has ended.
    Idle,
    /// It is in the tree.
    Out,
    /// The callee is copying the answer.
    Answering,
    /// Its request ends with this.
    Done(Result<Answer>),
}

struct State {
    phase: Phase,
    /// While it is in the tree.
    key: u64,
    /// While it is not.
    node: Option<RBTreeNodeReservation<u64, Arc<Call>>>,
    /// For the answer, until the callee takes it.
    room: KVVec<u8>,
    /// Its request, once that has been parked.
    request: Option<Ticket>,
    /// The caller wants to know of the callee.
    wants_info: bool,
}

/// A call, from before it is sent until its request has ended.
pub(crate) struct Call {
    caller: ARef<RcuObject<Subscriber>>,
    state: LockedBy<State, Parking>,
}

impl Call {
    /// A call of `caller` that stores at most `room` bytes of its answer. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(
        caller: ARef<RcuObject<Subscriber>>,
        room: u32,
        wants_info: bool,
    ) -> Result<Arc<Self>> {
        let size = size_for(&caller, room);
        let state = State {
            phase: Phase::Idle,
            key: 0,
            node: Some(RBTreeNodeReservation::new(GFP_MAYFAIL)?),
            room: KVVec::with_capacity(size as usize, GFP_MAYFAIL)?,
            request: None,
            wants_info,
        };
        let state = LockedBy::new(&caller.channel().parking, state);
        Ok(Arc::new(Self { caller, state }, GFP_MAYFAIL)?)
    }

    /// The last call of `caller`, if it has one left that will do: most callers make the same call
    /// again, and to allocate one takes as long as to send it.
    pub(crate) fn again(caller: &Subscriber, room: u32, wants_info: bool) -> Option<Arc<Self>> {
        let size = size_for(caller, room) as usize;
        let mut parking = caller.channel().parking.lock();
        let call = caller.member().seats(&mut parking).spare.take()?;
        let state = call.state(&mut parking);
        state.wants_info = wants_info;
        let will_do = state.room.capacity() >= size;
        drop(parking);
        will_do.then_some(call)
    }

    /// Leaves a call, whose answer the caller has stored, for the next one. May sleep.
    pub(crate) fn keep(call: Arc<Self>, answer: Answer) {
        let mut room = answer.bytes;
        if room.capacity() > MAX_KEPT {
            return;
        }
        room.clear();
        let (channel, caller) = (call.channel(), call.caller.member());
        let mut parking = channel.parking.lock();
        let state = call.state(&mut parking);
        state.room = room;
        // `leave_calls` does not find it later.
        if state.node.is_none() || channel.is_detached(caller) {
            return;
        }
        let spare = &mut caller.seats(&mut parking).spare;
        let older = spare.replace(call.clone());
        drop(parking);
        drop(older);
    }

    fn channel(&self) -> &Channel {
        self.caller.channel()
    }

    /// The state. `parking` is that of its channel, whose lock the caller holds.
    ///
    /// Not inlined for the reason that `Member::seats` is not.
    #[inline(never)]
    fn state<'a>(&'a self, parking: &'a mut Parking) -> &'a mut State {
        self.state.access_mut(parking)
    }

    /// How the call has ended. It says so once.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if it has not; otherwise what the request ends with.
    pub(crate) fn outcome(&self) -> Result<Answer> {
        let channel = self.channel();
        let mut parking = channel.parking.lock();
        let state = self.state(&mut parking);
        if matches!(state.phase, Phase::Done(_)) {
            state.request = None;
            if let Phase::Done(result) = mem::replace(&mut state.phase, Phase::Idle) {
                return result;
            }
        }
        drop(parking);
        let error = if self.caller.is_detached() {
            ENOENT
        } else if channel.ring.is_closed() {
            EPIPE
        } else {
            return Err(EAGAIN);
        };
        self.give_up();
        Err(error)
    }

    /// Parks its request, unless the call has ended. The call forgets the ticket of the request when it
    /// ends, or is given up. Does not sleep.
    pub(crate) fn park(&self, request: &Parkable<'_>, ticket: Ticket) -> bool {
        let (channel, caller) = (self.channel(), self.caller.member());
        let mut parking = channel.parking.lock();
        if channel.ring.is_closed() || channel.is_detached(caller) {
            return false;
        }
        let state = self.state(&mut parking);
        if !matches!(state.phase, Phase::Out | Phase::Answering) {
            return false;
        }
        state.request = Some(ticket);
        caller.seats(&mut parking).calls.push(request, false);
        drop(parking);
        caller.count_wait();
        true
    }

    /// Takes its request out, which is canceled. Returns false if it was woken. Does not sleep.
    pub(crate) fn unpark(&self, request: &Parkable<'_>) -> bool {
        let mut parking = self.channel().parking.lock();
        let seats = self.caller.member().seats(&mut parking);
        let is_parked = seats.calls.remove(request);
        // It has no answer then, which it could take time to free.
        let left = is_parked.then(|| self.leave(&mut parking));
        drop(parking);
        drop(left);
        is_parked
    }

    /// Its request ends, and wants no answer any more. May sleep.
    pub(crate) fn give_up(&self) {
        let mut parking = self.channel().parking.lock();
        let left = self.leave(&mut parking);
        drop(parking);
        drop(left);
    }

    /// The same. Returns what the caller drops when it has unlocked.
    fn leave(&self, parking: &mut Parking) -> (Option<RBTreeNode<u64, Arc<Self>>>, Phase) {
        let state = self.state(parking);
        state.request = None;
        let phase = mem::replace(&mut state.phase, Phase::Idle);
        let key = state.key;
        let node = match &phase {
            Phase::Out => parking.calls.tree.remove_node(&key),
            _ => None,
        };
        if let Phase::Done(Ok(_)) = phase {
            parking.calls.late += 1;
        }
        (node, phase)
    }

    /// Ends the call, which the caller has taken out of the tree. Returns its request if that is parked.
    fn finish(&self, parking: &mut Parking, result: Result<Answer>) -> Option<Woken> {
        let state = self.state(parking);
        state.phase = Phase::Done(result);
        let request = state.request?;
        self.caller.member().seats(parking).calls.take(request)
    }
}

/// Answers of at most so many bytes leave their memory for the next call of the same caller.
const MAX_KEPT: usize = 512;

/// How many bytes of an answer a caller stores at most that has so much room.
fn size_for(caller: &Subscriber, room: u32) -> u32 {
    // No answer is longer than a message.
    room.min(caller.channel().region().max_msg_size())
}

/// A call that its callee is answering.
struct Taken {
    call: Arc<Call>,
    node: RBTreeNode<u64, Arc<Call>>,
    room: KVVec<u8>,
    wants_info: bool,
}

impl Channel {
    /// How many calls there have been, and how many answers that reached no caller.
    pub(crate) fn call_counts(&self) -> (u64, u64) {
        let parking = self.parking.lock();
        (parking.calls.sent, parking.calls.late)
    }

    /// A call is about to be published as the message `msg_id`. Fails if its target has left, or an old
    /// call has the same number.
    #[cold]
    pub(super) fn register_call(
        &self,
        call: &Arc<Call>,
        target: u32,
        msg_id: u32,
    ) -> Result<(), NotPresent> {
        let guard = rcu::read_lock();
        let mut parking = self.parking.lock();
        // `detach` marks the member, and then looks for its calls.
        if target != 0 && self.member(target, &guard).is_none() {
            return Err(NotPresent);
        }
        let key = key(target, msg_id);
        let state = call.state(&mut parking);
        let Some(node) = state.node.take() else {
            return Err(NotPresent);
        };
        state.phase = Phase::Out;
        state.key = key;
        match parking.calls.tree.entry(key) {
            Entry::Vacant(place) => {
                place.insert(call.clone(), node);
                parking.calls.sent += 1;
                Ok(())
            }
            Entry::Occupied(_) => {
                let state = call.state(&mut parking);
                state.phase = Phase::Idle;
                state.node = Some(node);
                Err(NotPresent)
            }
        }
    }

    /// `callee` has received the call `msg_id`, which had no target.
    #[cold]
    pub(super) fn received_call(&self, callee: &Member, msg_id: u32) {
        let mut woken = [None, None];
        let mut parking = self.parking.lock();
        let Some(entry) = parking.calls.tree.find_mut(&key(0, msg_id)) else {
            // The caller has given it up.
            return;
        };
        // Its request has another reference until it has given the call up, which takes the lock.
        let call = entry.get().clone();
        let node = entry.remove_node().into_reservation();
        let key = key(callee.id(), msg_id);
        if self.is_detached(callee) {
            woken = [call.finish(&mut parking, Err(EPIPE)), None];
        } else {
            match parking.calls.tree.entry(key) {
                Entry::Vacant(place) => {
                    place.insert(call.clone(), node);
                    call.state(&mut parking).key = key;
                }
                // An answer could be meant for either of them: 2^32 slots have passed.
                Entry::Occupied(old) => {
                    let old = old.remove();
                    woken = [&call, &old].map(|call| call.finish(&mut parking, Err(EPIPE)));
                }
            }
        }
        drop(call);
        drop(parking);
        drop(woken);
    }

    /// The call `msg_id` was overwritten before `callee` has received it.
    #[cold]
    pub(super) fn lost_call(&self, callee: &Member, msg_id: u32) {
        let mut parking = self.parking.lock();
        let woken = parking
            .calls
            .tree
            .remove(&key(callee.id(), msg_id))
            .and_then(|call| call.finish(&mut parking, Err(EPIPE)));
        drop(parking);
        drop(woken);
    }

    /// Ends calls that only `callee` could answer, which has left. Returns whether more may be left.
    fn end_some_calls(&self, callee: u32) -> bool {
        let mut batch = [const { None }; BATCH];
        let mut parking = self.parking.lock();
        let mut count = 0;
        for woken in &mut batch {
            let first = parking.calls.tree.cursor_lower_bound(&key(callee, 0));
            let Some(found) = first.map(|cursor| *cursor.current().0) else {
                break;
            };
            if found > key(callee, u32::MAX) {
                break;
            }
            *woken = parking
                .calls
                .tree
                .remove(&found)
                .and_then(|call| call.finish(&mut parking, Err(EPIPE)));
            count += 1;
        }
        drop(parking);
        count == BATCH
    }

    /// The membership of `callee` has ended. Others may have called it very often: a few of these calls
    /// end now, and [`Self::end_calls_left`] ends the rest a moment later. Does not sleep.
    pub(super) fn leave_calls(&self, callee: &Member) {
        // A call refers to its caller.
        let spare = {
            let mut parking = self.parking.lock();
            callee.seats(&mut parking).spare.take()
        };
        drop(spare);
        if self.end_some_calls(callee.id()) {
            self.parking.lock().calls.is_any_left = true;
            self.arm_tick();
        }
    }

    /// Whether members have left calls that have not ended. The caller ends them.
    pub(super) fn take_calls_left(&self) -> bool {
        mem::take(&mut self.parking.lock().calls.is_any_left)
    }

    /// Ends some calls of members that have left. `from` is 1 in the first call. Returns whether there is
    /// more to do. Does not sleep.
    pub(super) fn end_calls_left(&self, from: &mut u32, guard: &rcu::Guard) -> bool {
        let callee = {
            let parking = self.parking.lock();
            let first = parking.calls.tree.cursor_lower_bound(&key(*from, 0));
            // CAST: The upper half of a key.
            first.map(|cursor| (cursor.current().0 >> 32) as u32)
        };
        let Some(callee) = callee else {
            return false;
        };
        let has_left = self.member(callee, guard).is_none();
        *from = if has_left && self.end_some_calls(callee) {
            callee
        } else {
            callee + 1
        };
        true
    }

    /// Wakes requests of `caller` that wait for answers, because its membership or the channel has ended.
    /// Returns whether more of them may be left.
    pub(super) fn end_some_own_calls(&self, caller: &Member) -> bool {
        let mut batch = [const { None }; BATCH];
        let mut parking = self.parking.lock();
        let mut count = 0;
        for woken in &mut batch {
            *woken = caller.seats(&mut parking).calls.pop();
            count += usize::from(woken.is_some());
        }
        drop(parking);
        count == BATCH
    }

    /// Takes the call `msg_id` that `callee` has.
    fn take_call(&self, callee: &Member, msg_id: u32) -> Option<Taken> {
        let mut parking = self.parking.lock();
        let Some(entry) = parking.calls.tree.find_mut(&key(callee.id(), msg_id)) else {
            parking.calls.late += 1;
            return None;
        };
        let call = entry.get().clone();
        let node = entry.remove_node();
        let state = call.state(&mut parking);
        state.phase = Phase::Answering;
        let room = mem::take(&mut state.room);
        let wants_info = state.wants_info;
        drop(parking);
        Some(Taken {
            call,
            node,
            room,
            wants_info,
        })
    }

    /// Puts a call back that could not be answered now.
    fn put_back_call(&self, callee: &Member, taken: Taken) {
        let Taken {
            call, node, room, ..
        } = taken;
        let mut parking = self.parking.lock();
        let state = call.state(&mut parking);
        state.room = room;
        let mut woken = None;
        if matches!(state.phase, Phase::Answering) {
            // As in `register_call`.
            if self.is_detached(callee) {
                woken = call.finish(&mut parking, Err(EPIPE));
            } else {
                state.phase = Phase::Out;
                let _ = parking.calls.tree.insert(node);
            }
        }
        drop(parking);
        drop(woken);
    }

    /// Answers the call `msg_id` that `callee` has received. May sleep, but not while it has the call.
    ///
    /// # Errors
    ///
    /// `EMSGSIZE`; `ENOENT` if `callee` has no such call; or [`SendFailure::NotPresent`].
    pub(crate) fn answer(
        &self,
        callee: &Member,
        msg_id: u32,
        payload: Payload<'_>,
        sender_data: u64,
    ) -> Result<(), SendFailure> {
        let len = payload.len();
        if len > self.region().max_msg_size() {
            return Err(EMSGSIZE.into());
        }
        let mut taken = self.take_call(callee, msg_id).ok_or(ENOENT)?;
        if payload.append_to(&mut taken.room).is_err() {
            self.put_back_call(callee, taken);
            return Err(SendFailure::NotPresent);
        }
        let Taken {
            call,
            node,
            room,
            wants_info,
        } = taken;
        let mut answer = Answer {
            bytes: room,
            info: MessageInfo {
                len,
                msg_id,
                sender_data,
                sender: callee.id(),
                ..MessageInfo::default()
            },
            sender: Identity::default(),
        };
        if wants_info {
            answer.sender.clone_from(&CurrentIdentity::new());
        }
        // Its own reference to the call is not the last one.
        let node = node.into_reservation();
        let mut parking = self.parking.lock();
        let mut unused = None;
        let state = call.state(&mut parking);
        state.node = Some(node);
        let woken = if matches!(state.phase, Phase::Answering) {
            call.finish(&mut parking, Ok(answer))
        } else {
            parking.calls.late += 1;
            unused = Some(answer);
            None
        };
        drop(parking);
        if unused.is_none() {
            let caller = call.caller.member().id();
            trace::answer(|| (self.id, callee.id(), caller, msg_id, len));
        }
        drop(woken);
        drop((unused, call));
        Ok(())
    }
}
