/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Requests that wait until a member has left (IOIPC_RECV_GONE), beside all that may end
 * them: the end of the member, the end of the watcher, a cancel, and the end of the
 * channel. Each of these may happen or not. spin goes through all orders of their steps.
 *
 * Names are those of src/channel/departure.rs and members.rs. Each of these is a step: a
 * section under the lock of the channel, and a look at a mark. All processes see each
 * step at once. A grace period ends when the read-side section that was running at its
 * start has ended.
 *
 * The model checks that each request ends once, and that a woken one finds why; that the
 * member publishes no message after a request has ended because the member has left;
 * and when no process can go on, that no request waits for an end that has come, and
 * that no departure is left.
 */
#define REQUESTS	2

/* Members. All requests are those of the watcher, and watch either of the two. */
#define PEER		0
#define WATCHER		1
#define MEMBERS		2

/* States of a request. */
#define RUNS		0
#define PARKED		1
#define ENDED		2

/* What may happen: a sum of these. */
#define CANCEL		1
#define DETACH_PEER	2
#define DETACH_WATCHER	4
#define CLOSE		8

/* Mutants: each one breaks a rule. */
#define NO_LOOK_AT_TARGET	1
#define NO_LOOK_AT_WATCHER	2
#define NO_LOOK_AT_CHANNEL	3
#define NO_GRACE_PERIOD		4
#define SPARE_WAKES		5
#define LATE_DEPARTURE		6
#define MARK_AFTER_DEPARTURE	7
#define STAYS_IN_OTHER_LIST	8
byte mutant;

/* What may happen. */
byte events;

bool is_detached[MEMBERS], is_closed;
/* There is a Departure in the member. */
bool departure[MEMBERS];
byte target[REQUESTS], state[REQUESTS];
/* The two lists that a request is in: of its target and of the watcher. */
bool in_watchers[REQUESTS], in_own[REQUESTS];
bool is_woken[REQUESTS], is_canceled[REQUESTS];
/* The peer is in its read-side section number `section`. */
bool in_section;
byte section;
/* A request has ended because the peer has left. */
bool is_told;
/* Commands that have begun and not ended. */
byte busy;

inline take_out(r)
{
	assert(state[r] == PARKED && !is_woken[r]);
	in_watchers[r] = false;
	in_own[r] = false
}

/* Wakes a request that is in a list. */
inline wake(r)
{
	if
	:: mutant == STAYS_IN_OTHER_LIST && in_own[r] && in_watchers[r] ->
		in_watchers[r] = false
	:: else -> take_out(r)
	fi;
	is_woken[r] = true
}

#define of_peer(r)	(in_watchers[r] && target[r] == member)
#define own(r)		in_own[r]

/* Wakes all requests in a list, one at a time. */
#define end_watches(is_in)					\
	do							\
	:: atomic { is_in(0) -> wake(0) }			\
	:: atomic { is_in(1) -> wake(1) }			\
	:: atomic { !is_in(0) && !is_in(1) -> break }		\
	od

/* Departure::drop, a grace period after `since`. */
proctype drop_departure(byte member, since; bool has_left)
{
	mutant == NO_GRACE_PERIOD || !in_section || section != since;
	if
	:: has_left || (mutant == SPARE_WAKES && is_detached[member]) ->
		end_watches(of_peer)
	:: else
	fi;
	busy--
}

inline let_go(member, has_left)
{
	busy++;
	run drop_departure(member, section, has_left)
}

/* Subscriber::expect_departure */
inline expect_departure(member)
{
	if
	:: departure[member]
	:: else ->
		atomic {
			if
			:: !departure[member] &&
			   (!is_detached[member] || mutant == LATE_DEPARTURE) ->
				departure[member] = true
			:: else -> let_go(member, false)
			fi
		}
	fi
}

/* A request, as io_uring runs it. */
proctype request(byte r)
{
	bool has_waited;
look:
	atomic {
		if
		:: is_canceled[r] || is_detached[WATCHER] -> goto done
		:: else
		fi;
		if
		:: is_detached[target[r]] ->
			if
			:: has_waited && !is_closed && target[r] == PEER ->
				is_told = true
			:: else
			fi;
			goto done
		:: is_closed -> goto done
		:: else -> assert(!has_waited)
		fi
	}
	expect_departure(target[r]);
	/* Channel::park_watch */
	atomic {
		if
		:: (is_closed && mutant != NO_LOOK_AT_CHANNEL) ||
		   (is_detached[WATCHER] && mutant != NO_LOOK_AT_WATCHER) ||
		   (is_detached[target[r]] && mutant != NO_LOOK_AT_TARGET) ||
		   (!departure[target[r]] && mutant != NO_LOOK_AT_TARGET) -> goto look
		:: else
		fi;
		assert(!in_watchers[r] && !in_own[r]);
		in_watchers[r] = true;
		in_own[r] = true;
		state[r] = PARKED
	}
end_parked:
	atomic {
		is_woken[r] || state[r] == ENDED;
		if
		:: state[r] == ENDED -> goto out
		:: else
		fi;
		is_woken[r] = false;
		state[r] = RUNS;
		has_waited = true
	}
	goto look;
done:
	assert(state[r] == RUNS);
	state[r] = ENDED;
out:
	skip
}

/* Cancels a request. */
proctype cancel(byte r)
{
	atomic {
		if
		:: in_own[r] -> take_out(r); state[r] = ENDED
		:: !in_own[r] && is_woken[r] -> is_canceled[r] = true
		:: else
		fi
	}
	busy--
}

/* Channel::detach */
proctype detach(byte member)
{
	bool had;

	if
	:: mutant != MARK_AFTER_DEPARTURE -> is_detached[member] = true
	:: else
	fi;
	if
	:: member == WATCHER -> end_watches(own)
	:: else
	fi;
	atomic {
		if
		:: departure[member] -> departure[member] = false; let_go(member, true)
		:: else
		fi
	}
	is_detached[member] = true;
	busy--
}

/* Channel::close */
proctype close()
{
	is_closed = true;
	end_watches(own);
	busy--
}

/* The peer sends. */
proctype send()
{
	atomic {
		if
		:: is_detached[PEER] -> goto out
		:: else -> section++; in_section = true
		fi
	}
	assert(!is_told);
	in_section = false;
out:
	skip
}

/* An end that may come or not. */
#define maybe(bit, command)					\
	if							\
	:: events & bit -> busy++; run command			\
	:: true							\
	fi

init
{
	atomic {
		c_code {
			now.events = atoi(getenv("EVENTS"));
			now.mutant = atoi(getenv("MUTANT"));
		}
		if
		:: target[0] = PEER
		:: target[0] = WATCHER
		fi;
		target[1] = PEER;
		run request(0);
		run request(1);
		run send();
		maybe(CANCEL, cancel(0));
		maybe(DETACH_PEER, detach(PEER));
		maybe(DETACH_WATCHER, detach(WATCHER));
		maybe(CLOSE, close())
	}
	timeout;
	assert(!busy);
	byte i;
	for (i : 0 .. REQUESTS - 1) {
		assert(state[i] == ENDED || (in_watchers[i] && in_own[i]));
		assert(state[i] == ENDED || !(is_detached[WATCHER] ||
					      is_detached[target[i]] || is_closed ||
					      is_canceled[i]))
	}
	for (i : 0 .. MEMBERS - 1) {
		assert(!(is_detached[i] && departure[i]))
	}
}
