/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Senders and receivers whose requests are parked if they have to wait, while one of
 * them is cancelled, detaches, dies, is stopped, or cannot do what it was woken for.
 * spin goes through all orders of their steps. loom, which runs the source itself, goes
 * through the orders with few switches between threads.
 *
 * Each of these is a step: a section under the lock, with the marks that it sets; a
 * waker looks at a mark and, if the mark says so, does its section; a waker that wakes
 * for what is left looks at the mark and at the ring, and does its section in a later
 * step; a parked request looks; a receiver looks for a message and claims it, or is done
 * with it; a sender looks for room and reserves a slot, or publishes it; one message is
 * dropped. A receiver moves head in two steps, a look and a swap. All processes see each
 * step at once: loom checks memory order and what happens inside a step.
 *
 * A waker takes any request out of any seat. So one model covers unicast and multicast,
 * and all orders of requests in a seat. MODE is QUEUE or BROADCAST. Marks are what the
 * state under the lock says. The tick runs only in scenarios with a stopped task, with
 * exclusive watchers, or in which little room wakes no sender: without these, nothing
 * may depend on it.
 *
 * The model leaves out: positions that wrap; receivers that attach; channels that
 * overwrite; bundles; multishot; reading in place; lines, ranks and tickets; a tick
 * that wakes more than two requests at once; messages behind which a receiver stops
 * looking.
 * Names are those of the source: an inline is a function of src/ring or src/channel, a
 * process is a request as io_uring runs it, a command, a watcher, or the tick.
 *
 * A task may be stopped after one of its requests was woken, and before that looks. The
 * requests of a member belong to one task, but in HELD and in those like it, to two.
 *
 * The model checks at each step: a sender reserves a slot only when all receivers of
 * its last message are done with that message; no receiver reads an incomplete message;
 * no receiver gets a message twice, or a message for another receiver; head and cursors
 * move only forward. The model checks when no process can go on: no request is parked
 * for a message or for room that is there, or although its membership or the channel
 * has ended; no watcher waits for what is there; no message was left out; no message is
 * left for a receiver that has detached.
 *
 * A scenario says which request does what, and a mutant breaks one rule. tests/model/run
 * lists the scenarios, and how many slots and processes there are.
 */
#define QUEUE		1
#define BROADCAST	2
#define is_broadcast	(MODE == BROADCAST)

/* Scenarios. */
#define NOTHING			1
#define CANCEL_RECEIVE		2
#define CANCEL_SEND		3
#define CANCEL_ONE		4
#define ONE_RECEIVER		5
#define TARGETS			6
#define ONE_TARGET		7
#define TARGET_AND_ANY		8
#define GIVE_UP			9
#define PUT_BACK		10
#define DETACH			11
#define DETACH_TARGET		12
#define DETACH_PUT_BACK		13
#define DETACH_PUT_BACK_ANY	14
#define DIE			15
#define EVICT_STOPPED		16
#define CLOSE			17
#define WATCH_ROOM		18
#define WATCH_MESSAGES		19
#define WATCH_OTHER		20
#define WATCH_EDGE		21
/* From here on, the tick runs. */
#define HALF			22
#define STOP_RECEIVER		23
#define STOP_SENDER		24
#define EXCLUSIVE		25
#define EXCLUSIVE_TARGET	26
#define HELD			27
#define HELD_TARGET		28
#define HELD_AND_ANY		29
byte scenario, slots, senders, receivers;
#define in2(a, b)	(scenario == a || scenario == b)
#define has_tick	(scenario >= HALF)
#define is_held		(scenario >= HELD)

/* Mutants. */
#define PARK_AFTER_END			1
#define NO_LOOK_AFTER_PARK		2
#define NO_LOOK_AFTER_MARK		3
#define KEEP_AWAKE			4
#define WAKE_BEFORE_PUBLISH		5
#define NO_WAKE_AFTER			6
#define NO_WAKE_SENDER			7
#define NO_WAKE_NEXT_SENDER		8
#define WAKE_ONLY_AT_HEAD		9
#define NO_PASS_ON			10
#define NO_PASS_ON_MESSAGE		11
#define NO_PASS_ON_TARGETED		12
#define NO_PASS_ON_AFTER_PUT_BACK	13
#define NO_ROOM_AFTER_PUT_BACK		14
#define NO_PASS_ON_AT_DETACH		15
#define NO_ROOM_AT_DETACH		16
#define NO_WAKE_AT_DETACH		17
#define KEEP_AWAKE_AT_DETACH		18
#define NO_WAKE_AT_CLOSE		19
#define NO_DROP_AT_DETACH		20
#define NO_DROP_AFTER_SEND		21
#define NO_DROP_AFTER_PUT_BACK		22
#define RECLAIM_PAST_CLAIMED		23
#define RELEASE_BEFORE_READ		24
#define ONE_MARK			25
#define TELL_ONLY_WITHOUT_REQUESTS	26
#define NO_MARK_WHEN_FULL		27
#define LOOK_WHEN_FULL			28
#define NO_TICK				29
#define NO_TICK_FOR_PARKED_RECEIVE	30
#define NO_TICK_FOR_PARKED_SEND		31
#define NO_TICK_AFTER_RECEIVER		32
#define NO_TICK_AFTER_SENDER		33
#define NO_TICK_BELOW_HALF		34
#define NO_TICK_AFTER_TELL		35
#define NO_MARK_AFTER_TELL		36
#define NO_EXPIRY_OF_RECEIVER		37
#define NO_EXPIRY_OF_SENDER		38
#define TICK_TELLS_NOBODY		39
#define TICK_TELLS_FOR_ANYBODY		40
#define NO_WAKE_RECEIVER_AT_TICK	41
#define NO_WAKE_SENDER_AT_TICK		42
#define NO_TICK_WHEN_HELD		43
#define NO_LET_GO			44
#define NO_WAKE_AFTER_LET_GO		45
byte mutant;
#define no(name)	(mutant == name)
#define ok(name)	(mutant != name)

/* State of a slot, in one word with its position plus one. */
#define READY		1
#define CLAIMED		2
#define FREE		3
#define word(position, state)	(((position) + 1) * 4 + (state))
#define slot_of(position)	slot[(position) % slots]
#define target_of(position)	target[(position) % slots]
#define is(position, state)	(slot_of(position) == word(position, state))
#define is_published(position)	(slot_of(position) / 4 == (position) + 1)
#define is_for(position, id)	\
	(is(position, READY) && (target_of(position) == 0 || target_of(position) == id))

/* Flags of a cursor. */
#define BUSY		1
#define DETACHED	2
#define LEAVING		4

/* The ring. Positions start with START, so that none is 0. Receivers are 1 and 2. */
#define START	2
#define END	6
byte head = START, tail = START, slot[2], target[2], cursor[3] = START, flags[3];
bool is_closed;
/* Whether the channel finds a receiver, and whether its io_uring instance does. */
bool attached[3] = true, known[3] = true;
/* How many requests of a receiver are in a read-side critical section. */
byte guards[3];

/*
 * Under the lock. Seats hold requests of 1 or 2 that wait for a message, or requests
 * that wait for room, with the sender that each one is `from`. A request is a bit.
 */
#define ROOM	0
byte seat[3], from[5], awake_receiver, awake_sender;
bool is_awake[3];
/* Whether watchers have to be told, and the watchers that were not told. */
bool watched[3], is_exclusive;
byte watchers[3];
bool is_armed;

#define waits(id)	(seat[id] != 0 && !is_awake[id])
#define wants(id)	(waits(id) || watched[id])
#define receivers_wait	\
	((is_broadcast -> waits(1) || waits(2) : (seat[1] != 0 || seat[2] != 0) && awake_receiver == 0) || \
	 watched[1] || watched[2])
#define senders_wait	(seat[ROOM] != 0 && awake_sender == 0 || watched[ROOM])

/* Requests that are cancelled, and requests that have ended: a send is SEND times its bit. */
#define SEND	8
byte cancelled, ended;

/* For assertions: what became of the message at a position; a program has found the ring full. */
bool is_message[END], is_dropped[END];
byte only[END], received[END], reading[END];
bool has_failed;
#define has_had(position, id)	\
	(received[position] & id || only[position] == 3 - id || flags[id] == DETACHED)
#define is_done(position)	\
	(reading[position] == 0 && (!is_message[position] || is_dropped[position] || \
	 (is_broadcast -> has_had(position, 1) && has_had(position, 2) : received[position] != 0)))

/* The variables of a process: 0 when not in use. */
#define LOCALS	byte at, old, to, found, mine, whom; bool again

#define when(condition, statement)	if :: condition -> statement :: else fi

/* Moves a cursor over slots that have no message for its receiver. Part of a step. */
inline skip_useless(id)
{
	do
	:: flags[id] == 0 && is_published(cursor[id]) && !is_for(cursor[id], id) -> cursor[id]++
	:: else -> break
	od
}

/* Part of Ring::reclaim_broadcast. */
inline look_at_cursor(id)
{
	skip_useless(id);
	when(flags[id] != DETACHED && cursor[id] < to, to = cursor[id])
}

/*
 * Channel::reclaim looks how far head can move. In a broadcast: by one or a quarter of
 * the slots.
 */
inline look_at_slots()
{
	old = head;
#if MODE == BROADCAST
	to = tail;
	when(attached[1], look_at_cursor(1));
	when(attached[2], look_at_cursor(2));
	to = (to > old && is_published(old) -> old + 1 : old)
#else
	to = old;
	do
	:: is(to, FREE) || no(RECLAIM_PAST_CLAIMED) && is(to, CLAIMED) -> to++
	:: else -> break
	od
#endif
}

/* Ring::move_head, in a later step: if another process has moved head since, looks again. */
inline move_head()
{
	if
	:: to != old && head == old ->
		assert(head <= to && to <= tail);
		head = to;
		to = old
	:: else
	fi
}

/* Channel::reclaim */
inline reclaim()
{
	do
	:: atomic { look_at_slots(); when(to == old, old = 0; to = 0; break) };
	   atomic { move_head(); when(to == old, old = 0; to = 0; break) }
	od
}

/* The same in one step. Part of a step. */
inline reclaim_at_once()
{
	do
	:: look_at_slots(); head = to; when(to == old, break)
	od;
	old = 0;
	to = 0
}

/* Waiting::has_room, with its result in `found`. Part of a step. */
inline has_room()
{
	when(tail - head >= slots, reclaim_at_once());
	found = (tail - head < slots)
}

/* Channel::next: `found` is the position of the next message for a receiver, or 0. */
inline next_message(id)
{
	d_step {
#if MODE == BROADCAST
		skip_useless(id);
		found = (flags[id] == 0 && is(cursor[id], READY) -> cursor[id] : 0)
#else
		at = head;
		do
		:: is_published(at) && !is_for(at, id) -> at++
		:: else -> break
		od;
		found = (is_published(at) -> at : 0);
		at = 0
#endif
	}
}

/* Waiting::has_targeted: `found` is whether there is a message for this receiver alone. */
inline has_targeted(id)
{
	d_step {
		at = head;
		do
		:: at < tail && !(is(at, READY) && target_of(at) == id) -> at++
		:: else -> break
		od;
		found = (at < tail);
		at = 0
	}
}

/* Waiting::arm_tick, unless a mutant leaves it out. Part of a step. */
#define arm(rule, condition)	when(has_tick && ok(rule) && (condition), is_armed = true)

/* Channel::take: any request of a seat. Part of a step. */
inline take(id)
{
	if
	:: seat[id] & 1 -> at = 1
	:: seat[id] & 2 -> at = 2
	:: seat[id] & 4 -> at = 4
	fi;
	seat[id] = seat[id] & ~at
}

/*
 * Channel::tell: all watchers in the same step, unless they want to be told alone. Then
 * they are told later, and `again` is true.
 */
inline tell(id)
{
	when(watched[id],
	     watched[id] = false;
	     again = again || is_exclusive;
	     when(!is_exclusive, watchers[id] = 0))
}

/* Tells one watcher. Exclusive ones watch member 1. */
inline tell_one()
{
	if
	:: watchers[1] & 1 -> watchers[1] = watchers[1] & ~1
	:: watchers[1] & 2 -> watchers[1] = watchers[1] & ~2
	:: watchers[1] == 0
	fi;
	when(watchers[1], watched[1] = ok(NO_MARK_AFTER_TELL); arm(NO_TICK_AFTER_TELL, true));
	again = false
}

/* The tick tells all of them, also those that want to be told alone. */
inline tell_all(id)
{
	when(watched[id], watched[id] = false; watchers[id] = 0)
}

/* Waiting::wake_each in a broadcast, and part of Waiting::wake_one_of. Part of a step. */
inline wake_receive_of(id)
{
	when(waits(id), take(id); is_awake[id] = true; arm(NO_TICK_WHEN_HELD, seat[id]))
}

/* Part of Waiting::wake_any. Part of a step. */
inline wake_first_receiver()
{
	if
	:: seat[1] -> take(1); awake_receiver = 1; arm(NO_TICK_AFTER_RECEIVER, seat[1] || seat[2])
	:: seat[2] -> take(2); awake_receiver = 2; arm(NO_TICK_AFTER_RECEIVER, seat[1] || seat[2])
	:: else
	fi;
	at = 0
}

/* Part of Waiting::wake_senders. Part of a step. */
inline wake_first_sender()
{
	when(seat[ROOM], take(ROOM); awake_sender = from[at]; arm(NO_TICK_AFTER_SENDER, seat[ROOM]));
	at = 0
}

/* Waiting::wake_any in a queue, or wake_each; and tell_of_messages. */
inline wake_for_any()
{
	do
	:: atomic {
		when(ok(TELL_ONLY_WITHOUT_REQUESTS) || !(seat[1] || seat[2]) || awake_receiver, tell(1); tell(2));
#if MODE == BROADCAST
		wake_receive_of(1);
		wake_receive_of(2);
		at = 0;
#else
		when(!awake_receiver, wake_first_receiver());
#endif
		when(!again, break)
	   };
	   atomic { tell_one(); break }
	od
}

/* Waiting::wake_one_of */
inline wake_one_of(id)
{
	do
	:: atomic {
		when(ok(TELL_ONLY_WITHOUT_REQUESTS) || !waits(id), tell(id));
		wake_receive_of(id);
		at = 0;
		when(!again, break)
	   };
	   atomic { tell_one(); break }
	od
}

/*
 * wake_for_room, for one request, or for two if `has_stalled`: the request that was awake
 * has not looked until the tick.
 */
inline wake_for_room(wants_much, has_stalled)
{
	do
	:: atomic {
		if
		:: senders_wait ->
			has_room();
			when(!found, break);
			when(ok(TELL_ONLY_WITHOUT_REQUESTS) || !seat[ROOM] || awake_sender, tell(ROOM));
			again = false;
			if
			:: !seat[ROOM] || awake_sender -> found = 0; break
			:: wants_much && seat[ROOM] && !awake_sender ->
				reclaim_at_once();
				when(tail - head > (scenario == HALF -> 0 : slots / 2),
				     arm(NO_TICK_BELOW_HALF, true);
				     found = 0;
				     break)
			:: else
			fi;
			found = 0
		:: else -> break
		fi
	   };
	   atomic { when(awake_sender, break); wake_first_sender(); when(!(has_stalled), break) };
	   atomic { wake_first_sender(); break }
	od
}

/* Waiting::wake_sender, or wake_sender_for_much. */
#define wake_sender(wants_much)	wake_for_room(wants_much, false)

/* Waiting::wake_receivers for the message at `mine` with target `whom`, and wake_receivers_after. */
#define ANYBODY	0
#define NOBODY	3
inline wake_receivers()
{
	do
	:: if
		:: whom == ANYBODY && receivers_wait -> wake_for_any()
		:: whom != ANYBODY && whom != NOBODY && (no(ONE_MARK) -> receivers_wait : wants(whom)) ->
			wake_one_of(whom)
		:: else
		fi;
		atomic {
			mine++;
			if
			:: mine < tail && is_published(mine) && ok(NO_WAKE_AFTER) ->
				whom = (is(mine, READY) && attached[target_of(mine)] ->
					target_of(mine) : NOBODY)
			:: else -> mine = 0; whom = 0; break
			fi
		}
	od
}

/* wake_own, unless a mutant leaves it out. */
inline wake_own(id, is_left_out)
{
	do
	:: atomic {
#if MODE == BROADCAST
		when(wants(id) && !(is_left_out), next_message(id));
#else
		when(wants(id) && !(is_left_out), has_targeted(id));
#endif
		when(!found, break);
		found = 0
	   };
	   wake_one_of(id);
	   break
	od
}

/* Waiting::pass_on_message */
inline pass_on_message(id)
{
#if MODE != BROADCAST
	do
	:: atomic { when(receivers_wait, next_message(0)); when(!found, break); found = 0 };
	   wake_for_any();
	   break
	od;
#endif
	wake_own(id, !is_broadcast && no(NO_PASS_ON_TARGETED))
}

/* Channel::drop_targeted_if_detached */
inline drop_targeted_if_detached(id)
{
	if
	:: flags[id] & DETACHED && !(is_broadcast && flags[id] & BUSY) ->
		atomic { at = (is_broadcast && cursor[id] > head -> cursor[id] : head); to = tail };
		do
		:: at < to ->
			atomic {
				when(is(at, READY) && target_of(at) == id,
				     slot_of(at) = word(at, FREE); is_dropped[at] = true);
				at++
			}
		:: else -> break
		od;
		atomic { at = 0; to = 0 };
#if MODE != BROADCAST
		reclaim()
#endif
	:: else
	fi
}

/* Channel::looks. Part of a step. */
inline receive_looks(id)
{
	when(awake_receiver == id && ok(KEEP_AWAKE), awake_receiver = 0);
	is_awake[id] = is_awake[id] && no(KEEP_AWAKE)
}

inline send_looks(id)
{
	when(awake_sender == id && ok(KEEP_AWAKE), awake_sender = 0)
}

/* What all senders have instead of an id that are not attached. */
#define UNATTACHED	3
#define has_ended(id)	(is_closed || id != UNATTACHED && flags[id] & DETACHED)

/*
 * IPC_SEND to a receiver, or to all. A sender that gives up has a slot and cannot fill
 * it. A sender that does not wait fails if there is no room.
 */
proctype Send(byte me; byte id; byte receiver; bool gives_up; bool stops; bool fails)
{
	LOCALS;
	bool was_woken, fills;

issue:
	atomic {
		when(has_ended(id) || receiver && flags[receiver] & DETACHED, goto fail);
		has_room();
		when(!found && fails, has_failed = true; goto end);
		when(!found, goto park);
		found = 0;
		/* Ring::reserve */
		mine = tail;
		tail++;
		fills = (tail - head == slots);
		assert(slot_of(mine) / 4 <= mine && (mine < START + slots || is_done(mine - slots)));
		whom = (gives_up -> NOBODY : receiver)
	};
	when(no(WAKE_BEFORE_PUBLISH), old = mine; wake_receivers(); mine = old; whom = NOBODY);
	/* Reservation::publish */
	atomic {
		old = 0;
		target_of(mine) = receiver;
		only[mine] = receiver;
		is_message[mine] = !gives_up;
		slot_of(mine) = (gives_up -> word(mine, FREE) : word(mine, READY))
	};
	when(receiver && ok(NO_DROP_AFTER_SEND), drop_targeted_if_detached(receiver));
	/* Channel::has_filled */
	if
	:: fills && scenario == WATCH_EDGE && ok(NO_MARK_WHEN_FULL) ->
		/* The mark comes first: if there is room again, the watcher has to be told. */
		when(no(LOOK_WHEN_FULL), atomic { has_room(); when(found, found = 0; goto filled) });
		watched[ROOM] = true;
		wake_sender(true)
	:: else
	fi;
filled:	wake_receivers();
	when(ok(NO_WAKE_NEXT_SENDER), wake_sender(true));
	goto end;
park:
	atomic {
		when(has_ended(id) && ok(PARK_AFTER_END), goto fail);
		seat[ROOM] = seat[ROOM] | me;
		from[me] = id;
		was_woken = false;
		arm(NO_TICK_FOR_PARKED_SEND, awake_sender);
		when(no(NO_LOOK_AFTER_PARK), goto wait)
	};
	atomic { has_room(); when(!found, goto wait); found = 0 };
	atomic { when(seat[ROOM] & me, seat[ROOM] = seat[ROOM] & ~me; goto issue) };
wait:
end_wait:
	atomic {
		(!(seat[ROOM] & me) || cancelled & (me * SEND));
		when(seat[ROOM] & me, seat[ROOM] = seat[ROOM] & ~me; goto end);
		if
		:: stops -> goto end
		:: was_woken = true
		fi
	};
	atomic {
		send_looks(id);
		if
		:: goto issue
		:: cancelled & (me * SEND) -> goto fail
		fi
	};
fail:
	/* Waiting::pass_on */
	when(was_woken && ok(NO_PASS_ON), wake_sender(false));
end:	atomic { ended = ended | (me * SEND);
end_it:	false }
}

#define detaches	(scenario >= DETACH && scenario <= EVICT_STOPPED)

/*
 * IPC_RECV. A receiver that puts back finds its buffer gone when it copies for the first
 * time. A receiver that repeats receives two messages, one after the other.
 */
proctype Receive(byte me; byte id; bool puts_back; bool stops; bool repeats)
{
	LOCALS;
	bool was_woken;

issue:
	atomic { when(!known[id], goto fail); guards[id]++; when(!detaches, goto look) };
	atomic {
		true;
look:		next_message(id);
		if
		:: !found -> guards[id]--; when(is_closed, goto fail); goto park
		:: found && is_broadcast -> flags[id] = BUSY
		:: else -> slot_of(found) = word(found, CLAIMED)
		fi;
		mine = found;
		found = 0;
		assert(is_message[mine] && (only[mine] == 0 || only[mine] == id) && !is_dropped[mine]);
		assert(!(received[mine] & (is_broadcast -> id : 3)));
		reading[mine]++
	};
	when(no(RELEASE_BEFORE_READ), slot_of(mine) = word(mine, FREE); cursor[id] = mine + 1);
	/* The receiver has copied the message. */
	atomic {
		reading[mine]--;
		received[mine] = received[mine] | (puts_back -> 0 : id);
		if
		:: is_broadcast -> flags[id] = flags[id] & ~BUSY; cursor[id] = mine + !puts_back
		:: else -> slot_of(mine) = (puts_back -> word(mine, READY) : word(mine, FREE))
		fi;
		when(!puts_back, goto taken);
		mine = 0;
		puts_back = false
	};
	when(ok(NO_DROP_AFTER_PUT_BACK), drop_targeted_if_detached(id));
	when(flags[id] & DETACHED,
	     when(ok(NO_ROOM_AFTER_PUT_BACK), wake_sender(false));
	     when(ok(NO_PASS_ON_AFTER_PUT_BACK), pass_on_message(id)));
	atomic { guards[id]--; when(!known[id], goto fail) };
	/* The request may sleep in a page fault now. */
	guards[id]++;
	when(ok(NO_PASS_ON), wake_sender(false); pass_on_message(id));
	atomic { guards[id]--; goto issue };
taken:
	was_woken = false;
#if MODE != BROADCAST
	reclaim();
	atomic { mine = 0; when(no(NO_WAKE_SENDER), goto pass_on) };
#else
	atomic {
		when(head < mine || head != mine && no(WAKE_ONLY_AT_HEAD) || no(NO_WAKE_SENDER),
		     mine = 0; goto pass_on);
		mine = 0
	};
#endif
	wake_sender(true);
	goto pass_on;
park:
	atomic {
		when((is_closed || flags[id] & DETACHED) && ok(PARK_AFTER_END), goto fail);
		arm(NO_TICK_FOR_PARKED_RECEIVE, awake_receiver);
		arm(NO_TICK_WHEN_HELD, is_awake[id] && !seat[id]);
		seat[id] = seat[id] | me;
		was_woken = false;
		when(no(NO_LOOK_AFTER_PARK), goto parked)
	};
	atomic { next_message(id); when(!found, goto parked); found = 0 };
	atomic { when(seat[id] & me, seat[id] = seat[id] & ~me; goto issue) };
parked:
	wake_sender(false);
end_wait:
	atomic {
		(!(seat[id] & me) || cancelled & me);
		when(seat[id] & me, seat[id] = seat[id] & ~me; goto end);
		if
		:: stops -> goto end
		:: was_woken = true
		fi
	};
	atomic {
		receive_looks(id);
		if
		:: goto issue
		:: cancelled & me -> goto fail
		fi
	};
fail:
	atomic { when(!was_woken || no(NO_PASS_ON), goto end); guards[id]++ };
	/* Waiting::pass_on */
	wake_sender(false);
pass_on:
	when(ok(NO_PASS_ON_MESSAGE), pass_on_message(id));
	atomic {
		guards[id]--;
		when(repeats, repeats = false; goto issue)
	};
end:	atomic { ended = ended | me;
end_it:	false }
}

/* Channel::end_requests, one request in a step. `id` may be UNATTACHED. */
#define is_from(me, id)	(seat[ROOM] & me && from[me] == id)
inline end_sends(id)
{
	do
	:: atomic { is_from(1, id) -> seat[ROOM] = seat[ROOM] & ~1 }
	:: atomic { !is_from(1, id) && is_from(2, id) -> seat[ROOM] = seat[ROOM] & ~2 }
	:: atomic { else -> break }
	od
}

inline end_requests(id)
{
	do
	:: atomic { seat[id] -> take(id); at = 0 }
	:: atomic { else -> break }
	od;
	end_sends(id);
	atomic {
		when(ok(KEEP_AWAKE_AT_DETACH), receive_looks(id); send_looks(id));
		watched[id] = false
	}
}

/* Instance::detach and Channel::detach. The requests of a process that dies end before. */
proctype Detach(byte id; byte requests)
{
	LOCALS;

	atomic { cancelled = requests };
	atomic { (ended & requests) == requests; known[id] = false };
	atomic {
		found = flags[id] & BUSY;
		flags[id] = flags[id] | DETACHED | LEAVING
	};
	/* synchronize_rcu() */
	atomic { (!found || guards[id] == 0); found = 0 };
	when(ok(NO_DROP_AT_DETACH), drop_targeted_if_detached(id));
	flags[id] = flags[id] & ~LEAVING;
	when(ok(NO_WAKE_AT_DETACH), end_requests(id));
	atomic { attached[id] = false; watchers[id] = 0 };
	when(ok(NO_ROOM_AT_DETACH), wake_sender(false));
	when(ok(NO_PASS_ON_AT_DETACH), pass_on_message(id));
end_it:	false
}

/* Channel::close */
proctype Close()
{
	LOCALS;

	is_closed = true;
	if
	:: ok(NO_WAKE_AT_CLOSE) ->
		end_sends(UNATTACHED);
		watchers[ROOM] = 0;
		end_requests(1);
		watchers[1] = 0;
		end_requests(2);
		watchers[2] = 0
	:: else
	fi;
end_it:	false
}

/*
 * A watcher enters the queue, and Channel::poll looks. A watcher that is told calls it
 * again. WATCH_EDGE: it goes on when it finds something, and then waits until it is told.
 */
proctype Watch(byte me; byte id; bool stops)
{
	LOCALS;

enter:
	atomic {
		watchers[id] = watchers[id] | me;
		when(id == ROOM, has_room(); when(found || is_closed, goto done))
	};
	atomic { watched[id] = (id == ROOM || !(flags[id] & DETACHED)); when(no(NO_LOOK_AFTER_MARK), goto wait) };
	atomic {
		if
		:: id == ROOM -> has_room()
		:: else -> next_message(id)
		fi;
		when(found || is_closed || flags[id] & DETACHED, goto done)
	};
wait:
end_wait:
	atomic {
		!(watchers[id] & me);
		when(stops, goto end_it);
		goto enter
	};
done:
	atomic {
		found = 0;
		when(scenario == WATCH_EDGE, has_failed = false; goto wait);
		watchers[id] = watchers[id] & ~me
	};
end_it:	false
}

/* Part of Waiting::let_go: a receiver that is held. */
inline let_go(id)
{
	do
	:: atomic {
		when(!is_awake[id] || !seat[id] || no(NO_LET_GO), break);
		is_awake[id] = false
	   };
	   wake_own(id, no(NO_WAKE_AFTER_LET_GO));
	   break
	od
}

/* Waiting::tick */
proctype Tick()
{
	LOCALS;
	bool receive_stalls, send_stalls;

start:
end_wait:
	atomic {
		is_armed && ok(NO_TICK) -> is_armed = false;
		/* Waiting::wait_no_longer */
		receive_stalls = (awake_receiver != 0);
		send_stalls = (awake_sender != 0);
		when(ok(NO_EXPIRY_OF_RECEIVER), awake_receiver = 0);
		when(ok(NO_EXPIRY_OF_SENDER), awake_sender = 0)
	};
	let_go(1);
	let_go(2);
	when(ok(NO_WAKE_SENDER_AT_TICK), wake_for_room(false, send_stalls));
#if MODE != BROADCAST
	do
	:: atomic {
		/* Waiting::is_any_left */
		when(receivers_wait && ok(NO_WAKE_RECEIVER_AT_TICK), next_message(0));
		when(!found, break);
		found = 0
	   };
	   atomic { when(awake_receiver, break); wake_first_receiver(); when(!receive_stalls, break) };
	   atomic { wake_first_receiver(); break }
	od;
#endif
	atomic {
		when(receivers_wait && (is_broadcast || head != tail) && ok(TICK_TELLS_NOBODY),
		     found = 1;
		     when(no(TICK_TELLS_FOR_ANYBODY), next_message(0));
		     when(found, tell_all(1); tell_all(2); found = 0));
		receive_stalls = false;
		send_stalls = false;
		goto start
	}
}

/* When no process can go on. */
inline check_end()
{
	at = START;
	do
	:: at < tail ->
		/*
		 * The message was received or dropped, or it is there for a receiver
		 * that does not wait.
		 */
		assert(reading[at] == 0 && (is_done(at) || at >= head && is(at, READY)));
		assert(is_broadcast || is_done(at) || !is_for(at, 1) || !seat[1]);
		assert(is_broadcast || is_done(at) || !is_for(at, 2) || !seat[2]);
		assert(is_done(at) || !only[at] || !(flags[only[at]] & DETACHED));
		at++
	:: else -> break
	od;
	skip_useless(1);
	skip_useless(2);
	assert(!is_broadcast || !seat[1] || !is(cursor[1], READY));
	assert(!is_broadcast || !seat[2] || !is(cursor[2], READY));
	assert(!(flags[1] & DETACHED) || !seat[1] && !watchers[1]);
	assert(!is_closed || !seat[ROOM] && !seat[1] && !seat[2] && !watchers[ROOM] && !watchers[1] && !watchers[2]);
	/* There is no room, and a receiver has yet to receive the oldest message. */
	has_room();
	assert(!seat[ROOM] && !has_failed && (!watchers[ROOM] || scenario == WATCH_EDGE) || !found && !is_done(head));
	next_message(1);
	assert(!watchers[1] || !found);
	next_message(2);
	assert(!watchers[2] || !found)
}

init {
	LOCALS;
	byte member;

	atomic {
		c_code {
			now.scenario = atoi(getenv("SCENARIO"));
			now.mutant = atoi(getenv("MUTANT"));
			now.slots = atoi(getenv("SLOTS"));
			now.senders = atoi(getenv("SENDERS"));
			now.receivers = atoi(getenv("RECEIVERS"));
		};
		slot[0] = word(2 - slots, FREE);
		slot[1] = word(1, FREE);
		do
		:: in2(HALF, STOP_SENDER) && tail < START + slots ->
			/* The ring is full at the start. */
			slot_of(tail) = word(tail, READY);
			is_message[tail] = true;
			tail++
		:: else -> break
		od;
		/* Who does not receive does not keep others from room. */
		when(receivers < 2 && !in2(WATCH_OTHER, EXCLUSIVE_TARGET), attached[2] = false; flags[2] = DETACHED);
		member = (detaches || scenario == CLOSE -> 1 : UNATTACHED);
		whom = (in2(TARGETS, DETACH_TARGET) || in2(DETACH_PUT_BACK, ONE_TARGET) ||
			in2(EXCLUSIVE_TARGET, HELD_TARGET) || scenario == HELD_AND_ANY -> 1 : 0);
		run Send(1, member, whom, scenario == GIVE_UP, scenario == STOP_SENDER, false);
		when(senders >= 2,
		     run Send(2, (scenario == STOP_SENDER -> 1 : UNATTACHED), (in2(TARGETS, TARGET_AND_ANY) -> 2 : (in2(ONE_TARGET, HELD_TARGET) -> 1 : 0)),
			      false, false, scenario == WATCH_EDGE));
		when(senders >= 3, run Send(4, 1, 0, false, false, false));
		member = (scenario == EXCLUSIVE_TARGET -> 2 : 1);
		when(receivers >= 1,
		     run Receive(1, member, in2(PUT_BACK, DETACH_PUT_BACK) || scenario == DETACH_PUT_BACK_ANY,
				 in2(STOP_RECEIVER, EVICT_STOPPED) || scenario == WATCH_OTHER || is_held, scenario == STOP_SENDER));
		member = (in2(ONE_RECEIVER, CANCEL_ONE) || scenario == ONE_TARGET || is_held -> 1 : 2);
		when(receivers >= 2, run Receive(2, member, false, false, scenario == STOP_RECEIVER || is_held));
		when(receivers >= 3, run Receive(4, member, false, false, false));
		cancelled = (in2(CANCEL_RECEIVE, CANCEL_ONE) -> 1 : (scenario == CANCEL_SEND -> SEND : 0));
		when(has_tick, run Tick());
		if
		:: detaches -> run Detach(1, (scenario == DIE -> 1 : 0))
		:: scenario == CLOSE -> run Close()
		:: in2(WATCH_ROOM, WATCH_EDGE) ->
			run Watch(1, ROOM, false)
		:: scenario == WATCH_MESSAGES -> run Watch(1, 1, false)
		:: scenario == WATCH_OTHER -> run Watch(1, 2, false)
		:: in2(EXCLUSIVE, EXCLUSIVE_TARGET) ->
			is_exclusive = true;
			run Watch(1, 1, true);
			run Watch(2, 1, false)
		:: else
		fi;
		member = 0;
		whom = 0
	};
	timeout;
	d_step { check_end() }
}
