/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sends that wait in a fair channel (IOIPC_F_FAIR): each uid leaves as many slots free as
 * it uses. The messages of several uids, a receiver, a request that is canceled, a task
 * that dies when it was woken, a send that gives its slot up, and the tick. spin goes
 * through all orders of their steps.
 *
 * Names are those of src/channel/fair.rs, parking.rs and src/ring/wake.rs. Each of these
 * is a step: a section under the lock of the channel, a change of the word of a share, a
 * reservation, and a look at a mark. All processes see each step at once.
 *
 * The model checks, when no process can go on, that no request waits that could send, and
 * that the shares use just the slots with messages. The tick runs only where a waker has
 * asked for it.
 */
#define UIDS		2
#define SENDERS		3
#define NONE		255

/* States of a request. */
#define RUNS		0
#define PARKED		1
#define WOKEN		2
#define ENDED		3

/* What happens. */
#define NOTHING		0
#define CANCEL		1
#define DIE		2
#define GIVE_UP		3
byte scenario;

/* Mutants: each one breaks a rule. */
#define NO_MARK_IN_SHARE	1
#define NO_LOOK_AFTER_PARKING	2
#define NO_MOVE_IN_TREE		3
#define NO_WAKE_AFTER_FAILURE	4
#define NO_PASS_ON		5
#define NO_TICK			6
byte mutant;

byte slots, receives;
/* The uid of each sender. Senders 0 and 1 have the same. */
#define uid_of(s)	((s) / 2)

/* The word of each share: what it uses, and whether requests wait for it. */
byte used[UIDS];
bool waits[UIDS];
/* Where each uid stands in the tree: what it needed when somebody looked. 0: nowhere. */
byte place[UIDS];
/* Slots that are reserved or hold a message; messages that are published, in order. */
byte in_use;
chan messages = [4] of { byte };
/* Senders that wait, of each uid in order. */
byte state[SENDERS];
/* `awake_sender`, and the mark for room. */
bool is_awake, mark, is_tick_armed;
byte left;
bool is_canceled;

/* Share::to_leave, with the slot itself. */
#define needs(u)	(used[u] == 0 -> 1 : used[u] + 2)
#define room		(slots - in_use)
#define has_share(u)	(needs(u) <= room)
#define is_parked(s)	(state[s] == PARKED)
#define any_of(u)	((u) == 0 -> (is_parked(0) || is_parked(1)) : is_parked(2))
#define first_of(u)	((u) == 1 -> 2 : (is_parked(0) -> 0 : 1))

/* Channel::settle_group and set_mark_of */
inline settle_group(u)
{
	if
	:: mutant != NO_MARK_IN_SHARE -> waits[u] = any_of(u)
	:: else
	fi;
	place[u] = (any_of(u) -> needs(u) : 0);
	mark = !is_awake && (place[0] || place[1])
}

/* Channel::find_group, for one that has room: `found`. */
inline find_group()
{
	found = NONE;
	if
	:: place[0] && (!place[1] || place[0] <= place[1]) -> u = 0
	:: place[1] && (!place[0] || place[1] < place[0]) -> u = 1
	:: else -> u = NONE
	fi;
	if
	:: u == NONE || place[u] > room
	:: else ->
		if
		:: has_share(u) -> found = u
		:: else ->
			/* It has sent since. Then look at the other one. */
			settle_group(u);
			u = 1 - u;
			if
			:: place[u] && place[u] <= room && has_share(u) -> found = u
			:: else
			fi
		fi
	fi
}

/* Channel::wake_fairly. `wants_much` finds nobody if it likes, and arms the tick. */
inline wake_fairly(wants_much)
{
	if
	:: mark ->
		atomic {
			if
			:: is_awake
			:: else ->
				find_group();
				if
				:: found != NONE && wants_much -> found = NONE
				:: true
				fi;
				if
				:: found != NONE ->
					w = first_of(found);
					state[w] = WOKEN;
					is_awake = true;
					settle_group(found);
					is_tick_armed = is_tick_armed || place[0] || place[1]
				:: found == NONE && wants_much && mutant != NO_TICK ->
					is_tick_armed = true
				:: else
				fi
			fi;
			found = NONE; u = 0; w = 0
		}
	:: else
	fi
}

/* Gives a slot of a share back, which needs less room then. */
inline give_back(u_)
{
	atomic {
		used[u_]--;
		had_mark = waits[u_]
	}
	if
	:: had_mark && mutant != NO_MOVE_IN_TREE -> atomic { settle_group(u_); had_mark = false }
	:: else -> had_mark = false
	fi
}

proctype sender(byte s)
{
	byte u, w, found = NONE, me = uid_of(s);
	bool had_mark, was_unused, comes_back, was_woken, is_sent;

attempt:
	/* Charge::new, Ring::reserve_share */
	atomic { was_unused = used[me] == 0; used[me]++ }
	atomic {
		is_sent = in_use + 1 + (was_unused -> 0 : used[me]) <= slots;
		if
		:: is_sent -> in_use++
		:: else
		fi
	}
	if
	:: is_sent && scenario == GIVE_UP && s == 0 ->
		/* The page is not there: a free slot, which the next receive reclaims. */
		give_back(me);
		messages ! NONE;
		wake_fairly(true);
		goto ended
	:: is_sent && !(scenario == GIVE_UP && s == 0) ->
		messages ! me;
		wake_fairly(true);
		goto ended
	:: else
	fi;
	give_back(me);
	/* Channel::gave_back */
	if
	:: mutant != NO_WAKE_AFTER_FAILURE ->
		atomic { if :: place[me] -> settle_group(me) :: else fi }
		wake_fairly(true)
	:: else
	fi;

	/* Channel::park_send */
	atomic {
		state[s] = PARKED;
		settle_group(me);
		/* Channel::enter */
		is_tick_armed = is_tick_armed || is_awake
	}
	if
	:: mutant != NO_LOOK_AFTER_PARKING && has_share(me) ->
		atomic {
			if
			:: state[s] == PARKED ->
				state[s] = RUNS;
				settle_group(me);
				goto attempt
			:: else
			fi
		}
	:: else
	fi;
	if
	:: mutant != NO_WAKE_AFTER_FAILURE && mutant != NO_LOOK_AFTER_PARKING ->
		wake_fairly(false)
	:: else
	fi;
end_parked:
	atomic { state[s] == WOKEN || state[s] == ENDED };
	if
	:: state[s] == ENDED -> goto out
	:: else
	fi;
	if
	:: (scenario == DIE && s == 0) || (is_canceled && s == 0) ->
		/* Instance::pass_on */
		atomic { is_awake = false; settle_group(me) }
		if
		:: mutant != NO_PASS_ON -> wake_fairly(false)
		:: else
		fi;
		goto ended
	:: else
	fi;
	/* Channel::send_looks */
	atomic { state[s] = RUNS; is_awake = false; settle_group(me) }
	goto attempt;
ended:
	atomic { state[s] = ENDED; left-- }
out:
	skip
}

/* Channel::unpark_send */
proctype cancel()
{
	atomic {
		if
		:: state[0] == PARKED -> state[0] = ENDED; left--; settle_group(0)
		:: state[0] == WOKEN -> is_canceled = true
		:: else
		fi
	}
}

/* Takes messages, as long as there are any or will be. */
proctype receiver(byte most)
{
	byte u, w, found = NONE, m;
	bool had_mark;

end_receive:
	do
	:: most > 0 && messages ? [m] ->
		messages ? m;
		if
		:: m != NONE -> give_back(m)
		:: else
		fi;
		in_use--;
		most--;
		wake_fairly(true)
	:: most == 0 -> break
	od
}

/* Waiting::tick */
proctype tick()
{
	byte u, w, found = NONE;

end_tick:
	do
	:: is_tick_armed ->
		is_tick_armed = false;
		wake_fairly(false)
	od
}

init
{
	atomic {
		byte i;
		c_code {
			now.scenario = atoi(getenv("SCENARIO"));
			now.mutant = atoi(getenv("MUTANT"));
			now.slots = atoi(getenv("SLOTS"));
			now.receives = atoi(getenv("RECEIVES"));
		}
		left = SENDERS;
		for (i : 0 .. SENDERS - 1) { run sender(i) }
		run receiver(receives);
		run tick();
		if
		:: scenario == CANCEL -> run cancel()
		:: else
		fi
	}
	timeout;
	/* No request waits that could go on. */
	assert(!(any_of(0) && has_share(0)));
	assert(!(any_of(1) && has_share(1)));
	assert(!is_tick_armed && !is_awake);
	assert(used[0] + used[1] <= in_use);
	assert(in_use - used[0] - used[1] == 0 || scenario == GIVE_UP)
}
