/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Two senders and two receivers that wait if they have to, while one of them is
 * cancelled, detaches, dies, or cannot do what it was woken for. spin goes through all
 * orders of their steps. loom, which runs the source itself, goes through the orders
 * with few switches between threads.
 *
 * Each of these is a step: a request looks at a mark or changes it; a request enters a
 * queue; a waker looks at the queues of receivers, and wakes a request that it finds
 * there; a waker wakes a sender; a receiver looks for a message and claims it, or is
 * done with it; a sender looks for room and reserves a slot, or publishes it; one
 * message is dropped. A receiver moves head in two steps, a look and a swap. All
 * processes see each step at once: loom checks memory order and what happens inside a
 * step.
 *
 * The model leaves out: positions that wrap; receivers that attach; channels that are
 * closed or overwrite; bundles; multishot; reading in place; and receivers with so many
 * requests that one takes a message that another one was woken for, see
 * tests/host/waking.rs. A watcher polls, once in a while or until it is woken, and
 * takes no message. Names are those of the source: an inline is a function of src/ring
 * or src/channel, a process is a request as io_uring runs it, or a command.
 *
 * The model checks at each step: a sender reserves a slot only when all receivers of
 * its last message are done with that message; no receiver reads an incomplete message;
 * no receiver gets a message twice, or a message for another receiver; head and cursors
 * move only forward. The model checks when no process can go on: no request waits for a
 * message or for room that is there; no message was left out; no message is left for a
 * receiver that has detached.
 *
 * MODE is UNICAST, MULTICAST or BROADCAST. A scenario says which request does what, and
 * a mutant breaks one rule. tests/model/run lists the scenarios and mutants, and how
 * many slots and processes there are.
 */
#define UNICAST		1
#define MULTICAST	2
#define BROADCAST	3
#define is_broadcast	(MODE == BROADCAST)

/* Scenarios, of a ring with one slot or two. */
#define NOTHING		1
#define CANCEL_RECEIVE	2
#define CANCEL_SEND	3
#define DETACH		4
#define DIE		5
#define GIVE_UP		6
#define PUT_BACK	7
#define TARGETS		8
#define DETACH_TARGET	9
#define DETACH_PUT_BACK	10
#define ONE_RECEIVER	11
#define CANCEL_ONE	12
#define DETACH_PUT_BACK_ANY	13
#define WATCH_ROOM	14
#define WATCH_MESSAGES	15
#define POLL_ROOM	16
byte scenario, slots, senders, receivers;

/* Mutants. */
#define NO_MARK			1
#define LOOK_BEFORE_QUEUE	2
#define NO_SECOND_LOOK		3
#define NO_WAKE_ALL		4
#define NO_WAKE_AFTER		5
#define WAKE_BEFORE_PUBLISH	6
#define NO_WAKE_SENDER		7
#define NO_PASS_ON		8
#define NO_PASS_ON_MESSAGE	9
#define NO_WAKE_AT_DETACH	10
#define NO_DROP_AT_DETACH	13
#define NO_DROP_AFTER_SEND	14
#define NO_DROP_AFTER_PUT_BACK	15
#define RECLAIM_PAST_CLAIMED	17
#define RELEASE_BEFORE_READ	19
#define NO_PASS_ON_AFTER_PUT_BACK	21
#define WAKE_ONLY_AT_HEAD	22
#define NO_WAKE_WATCHERS	23
#ifndef MUTANT
#define MUTANT	0
#endif
#define no(name)	(MUTANT == name)
#define ok(name)	(MUTANT != name)

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
#define END	4
byte head = START, tail = START, slot[2], target[2], cursor[3] = START, flags[3];
/* Whether the channel finds a receiver, and whether its io_uring instance does. */
bool attached[3] = true, known[3] = true;
/* How many requests of a receiver are in a read-side critical section. */
byte guards[3];
bool receivers_wait, senders_wait;
byte last_woken;
/* Requests that wait for a message for 1 or 2, or for room: bits 1 and 2. */
#define ROOM	0
byte queue[3];
/* Watchers in a queue, and watchers that are blocked there. */
bool watching[3], watcher_blocked[3];
/* Requests that are cancelled, and requests that have ended: bits 1 and 2 receive, 4 and 8 send. */
byte cancelled, ended;

/* For assertions: blocked requests of each queue, and what became of the message at a position. */
byte blocked[3];
bool is_message[END], is_dropped[END];
byte only[END], received[END], reading[END];
#define has_had(position, id)	\
	(received[position] & id || only[position] == 3 - id || flags[id] == DETACHED)
#define is_done(position)	\
	(reading[position] == 0 && (!is_message[position] || is_dropped[position] || \
	 (is_broadcast -> has_had(position, 1) && has_had(position, 2) : received[position] != 0)))

/* The variables of a process: 0 when not in use. */
#define LOCALS	byte at, old, to, found, mine, whom; bool any, woken, waits, has_waited

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
	:: atomic { look_at_slots(); when(to == old, break) };
	   atomic { move_head(); when(to == old, break) }
	od;
	atomic { old = 0; to = 0 }
}

/* Waiting::has_room, with its result in `found`. Here it is one step. */
inline has_room()
{
	if
	:: tail - head >= slots -> look_at_slots(); head = to; old = 0; to = 0
	:: else
	fi;
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

/* WaitQueue::wake_one: all watchers, and any of the requests that wait. */
inline wake_one(id)
{
	atomic {
		when(ok(NO_WAKE_WATCHERS), watching[id] = false);
		woken = (queue[id] != 0);
		if
		:: queue[id] & 1 -> queue[id] = queue[id] & ~1
		:: queue[id] & 2 -> queue[id] = queue[id] & ~2
		:: else
		fi
	}
}

inline wake_all_receivers()
{
	atomic { queue[1] = 0; queue[2] = 0; watching[1] = false; watching[2] = false }
}

/* Part of wake_any_receivers. In a queue one request that takes the message is enough. */
inline wake_receiver(id)
{
	if
	:: attached[id] && (queue[id] || watching[id]) && (is_broadcast || !woken) ->
		any = true;
		wake_one(id);
		when(woken, to = id; last_woken = (MODE == MULTICAST -> id : 0))
	:: else
	fi
}

/*
 * wake_any_receivers: `any` is whether it has found a receiver, and `to` whose request
 * it has woken.
 */
inline wake_any_receivers()
{
	atomic {
		at = (MODE == MULTICAST && last_woken == 1 -> 2 : 1);
		wake_receiver(at);
		wake_receiver(3 - at);
		at = 0;
		woken = false
	}
}

/* Ring::wake_marked */
#define wake_marked(mark, wake, wake_all)				\
	if								\
	:: mark ->							\
		wake;							\
		if							\
		:: any							\
		:: else ->						\
			mark = false;					\
			when(ok(NO_SECOND_LOOK), wake);			\
			if						\
			:: any ->					\
				mark = true;				\
				when(ok(NO_WAKE_ALL), wake_all)		\
			:: else						\
			fi						\
		fi;							\
		any = false						\
	:: else								\
	fi

/*
 * Waiting::wake_receivers for the message at `mine` with target `whom`, and
 * wake_receivers_after.
 */
#define ANYBODY	0
#define NOBODY	3
inline wake_receivers()
{
	do
	:: if
		:: whom == ANYBODY ->
			wake_marked(receivers_wait, wake_any_receivers(), wake_all_receivers());
			to = 0
		:: whom != ANYBODY && whom != NOBODY && receivers_wait ->
			wake_one(whom);
			woken = false
		:: else
		fi;
		atomic {
			mine++;
			if
			:: receivers_wait && mine < tail && is_published(mine) && ok(NO_WAKE_AFTER) ->
				whom = (is(mine, READY) && attached[target_of(mine)] ->
					target_of(mine) : NOBODY)
			:: else -> mine = 0; whom = 0; break
			fi
		}
	od
}

inline wake_sender_if_room()
{
	atomic { any = (queue[ROOM] != 0 || watching[ROOM]); when(any, has_room()) };
	when(found, atomic { wake_one(ROOM); found = 0; woken = false })
}

/* Waiting::wake_sender */
inline wake_sender()
{
	wake_marked(senders_wait, wake_sender_if_room(), wake_sender_if_room())
}

/* Receiver::has_targeted: `found` is whether there is a message for this receiver alone. */
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

/* Waiting::pass_on_message */
inline pass_on_message(id)
{
	if
	:: receivers_wait ->
#if MODE == BROADCAST
		next_message(id);
		when(found, wake_one(id));
#else
		next_message(0);
		when(found, wake_any_receivers());
		has_targeted(id);
		when(found && to != id, wake_one(id));
#endif
		atomic { found = 0; any = false; woken = false; to = 0 }
	:: else
	fi
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

/*
 * What io_uring does with a request that has found nothing: the request enters a queue,
 * sets the mark, and looks once more. If there is still nothing, the request is blocked
 * until it is woken or cancelled. A request that was woken can still be cancelled.
 */
#define enter(id, mark)							\
	when(ok(LOOK_BEFORE_QUEUE), queue[id] = queue[id] | me);	\
	when(ok(NO_MARK), mark = true);					\
	atomic { waits = true; has_waited = true }

#define block(id, bit)							\
	when(no(LOOK_BEFORE_QUEUE), queue[id] = queue[id] | me);	\
	atomic {							\
		blocked[id] = blocked[id] | me;				\
end_wait:	(!(queue[id] & me) || cancelled & bit);			\
		blocked[id] = blocked[id] & ~me;			\
		waits = false;						\
		if							\
		:: !(queue[id] & me) -> goto issue			\
		:: cancelled & bit ->					\
			queue[id] = queue[id] & ~me;			\
			goto fail					\
		fi							\
	}

#define leave(id)	atomic { queue[id] = queue[id] & ~me; waits = false; found = 0 }

/* IPC_SEND to a receiver, or to all. A sender that gives up has a slot and cannot fill it. */
proctype Send(byte me; byte receiver; bool gives_up)
{
	LOCALS;

issue:
	when(receiver, when(flags[receiver] & DETACHED, goto fail));
look:
	atomic {
		has_room();
		if
		:: waits && found -> leave(ROOM); goto issue
		:: waits && !found -> goto wait
		:: !waits && !found -> goto no_room
		:: else -> found = 0
		fi;
		/* Ring::reserve */
		mine = tail;
		tail++;
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
	wake_receivers();
	has_waited = has_waited && gives_up;
	goto finish;
no_room:
	enter(ROOM, senders_wait);
	goto look;
wait:
	block(ROOM, me * 4);
fail:
	/* Waiting::pass_on, if io_uring has let the request wait. */
	when(!has_waited || no(NO_PASS_ON), goto end);
finish:
	wake_sender();
end:	atomic { ended = ended | (me * 4);
end_it:	false }
}

/* IPC_RECV. A receiver that puts back finds its buffer gone when it copies for the first time. */
proctype Receive(byte me; byte id; bool puts_back)
{
	LOCALS;

issue:
	atomic {
		when(!known[id], goto fail);
		guards[id]++
	};
look:
	atomic {
		next_message(id);
		if
		:: waits && (found || flags[id] & DETACHED) -> leave(id); goto issue
		:: waits && !found && !(flags[id] & DETACHED) -> goto wait
		:: !waits && !found -> guards[id]--; goto nothing
		:: !waits && found && is_broadcast -> flags[id] = BUSY
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
		fi
	};
	if
	:: puts_back ->
		atomic { mine = 0; puts_back = false }
		when(ok(NO_DROP_AFTER_PUT_BACK), drop_targeted_if_detached(id));
		when(flags[id] & DETACHED && ok(NO_PASS_ON_AFTER_PUT_BACK),
		     wake_sender(); pass_on_message(id));
		guards[id]--;
		goto issue
	:: else
	fi;
	has_waited = false;
#if MODE != BROADCAST
	reclaim();
	atomic { mine = 0; when(no(NO_WAKE_SENDER), goto pass_on) }
#else
	atomic {
		when(head < mine || head != mine && no(WAKE_ONLY_AT_HEAD) || no(NO_WAKE_SENDER),
		     mine = 0; goto pass_on);
		mine = 0
	}
#endif
	goto finish;
nothing:
	enter(id, receivers_wait);
	goto look;
wait:
	block(id, me);
fail:
	/* Waiting::pass_on, if io_uring has let the request wait. */
	when(!has_waited || no(NO_PASS_ON), goto end);
	guards[id]++;
finish:
	wake_sender();
pass_on:
	when(has_waited || ok(NO_PASS_ON_MESSAGE), pass_on_message(id); has_waited = false);
	atomic { guards[id]--; ended = ended | me; goto end_it }
end:	atomic { ended = ended | me;
end_it:	false }
}

/* Instance::detach and Channel::detach. The requests of a process that dies end before. */
proctype Detach(byte id; byte requests)
{
	LOCALS;

	cancelled = requests;
	(ended & requests) == requests;
	known[id] = false;
	atomic {
		found = flags[id] & BUSY;
		flags[id] = flags[id] | DETACHED | LEAVING
	};
	/* synchronize_rcu() */
	when(found, guards[id] == 0);
	found = 0;
	when(ok(NO_DROP_AT_DETACH), drop_targeted_if_detached(id));
	flags[id] = flags[id] & ~LEAVING;
	attached[id] = false;
	when(ok(NO_WAKE_AT_DETACH), queue[id] = 0; queue[ROOM] = 0; watching[id] = false; watching[ROOM] = false);
	wake_sender();
	pass_on_message(id);
end_it:	false
}

/* Channel::poll for a watcher, which polls until it finds something, or polls twice. */
proctype Watch(byte id; bool waits_for_it)
{
	LOCALS;
	byte polls;

look:
	when(waits_for_it, watching[id] = true);
	if
	:: id == ROOM -> senders_wait = true; atomic { has_room(); polls++ }
	:: else -> receivers_wait = true; next_message(id); polls++
	fi;
	if
	:: found || polls == 2 && !waits_for_it -> watching[id] = false
	:: else ->
		atomic {
			polls = (waits_for_it -> 0 : polls);
			watcher_blocked[id] = waits_for_it;
end_wait:		(!waits_for_it || !watching[id]);
			watcher_blocked[id] = false;
			goto look
		}
	fi;
end_it:	false
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
		assert(is_broadcast || is_done(at) || !is_for(at, 1) || !blocked[1]);
		assert(is_broadcast || is_done(at) || !is_for(at, 2) || !blocked[2]);
		assert(is_done(at) || !only[at] || !(flags[only[at]] & DETACHED));
		at++
	:: else -> break
	od;
	skip_useless(1);
	skip_useless(2);
	assert(!is_broadcast || !blocked[1] || !is(cursor[1], READY));
	assert(!is_broadcast || !blocked[2] || !is(cursor[2], READY));
	assert(!(flags[1] & DETACHED) || !blocked[1]);
	/* There is no room, and a receiver has yet to receive the oldest message. */
	assert(!(blocked[ROOM] || watcher_blocked[ROOM]) || tail - head == slots && !is_done(head));
	next_message(1);
	assert(!watcher_blocked[1] || !found)
}

#define in2(a, b)	(scenario == a || scenario == b)

init {
	byte at, found;

	atomic {
		c_code {
			now.scenario = atoi(getenv("SCENARIO"));
			now.slots = atoi(getenv("SLOTS"));
			now.senders = atoi(getenv("SENDERS"));
			now.receivers = atoi(getenv("RECEIVERS"));
		};
		slot[0] = word(2 - slots, FREE);
		slot[1] = word(1, FREE);
		run Send(1, (in2(TARGETS, DETACH_TARGET) || scenario == DETACH_PUT_BACK), scenario == GIVE_UP);
		when(senders == 2, run Send(2, (scenario == TARGETS -> 2 : 0), false));
		when(receivers >= 1, run Receive(1, 1, in2(PUT_BACK, DETACH_PUT_BACK) || scenario == DETACH_PUT_BACK_ANY));
		when(receivers == 2, run Receive(2, (in2(ONE_RECEIVER, CANCEL_ONE) -> 1 : 2), false));
		cancelled = (in2(CANCEL_RECEIVE, CANCEL_ONE) -> 1 : 0);
		if
		:: scenario == CANCEL_SEND -> cancelled = 4
		:: in2(DETACH, DETACH_TARGET) || in2(DETACH_PUT_BACK, DETACH_PUT_BACK_ANY) -> run Detach(1, 0)
		:: scenario == DIE -> run Detach(1, 1)
		:: in2(WATCH_ROOM, POLL_ROOM) ->
			/* Only one receiver makes room. */
			attached[2] = false;
			flags[2] = DETACHED;
			run Watch(ROOM, scenario == WATCH_ROOM)
		:: scenario == WATCH_MESSAGES -> run Watch(1, true)
		:: else
		fi
	};
	timeout;
	d_step { check_end() }
}
