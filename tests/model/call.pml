/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A call (IOIPC_SEND_CALL) and its answer, beside all that may end it: a cancel, the end
 * of the caller, the end of the callee, and the end of the channel. Each of these may
 * happen or not. spin goes through all orders of their steps.
 *
 * Names are those of src/channel/calls.rs. Each of these is a step: a section under the
 * lock of the channel, and a look at a mark. All processes see each step at once.
 *
 * The model checks that the request of the call ends once; that nobody but the callee
 * that has received the call answers it, once, and that an answer that was taken reaches
 * the caller or counts as late; that nobody uses the request after its end; and when no
 * process can go on, that no request waits for what has come.
 */
/* Where a call is in the tree. */
#define NOWHERE		0
#define UNRECEIVED	1
#define AT_CALLEE	2
byte place;

/* Phases of a call. */
#define OUT		0
#define ANSWERING	1
#define ANSWERED	2
#define FAILED		3
#define GIVEN_UP	4
byte phase;

/* States of its request. */
#define RUNS		0
#define PARKED		1
#define ENDED		2
byte state;

/* What may happen: a sum of these. */
#define CANCEL		1
#define DETACH_CALLER	2
#define DETACH_CALLEE	4
#define CLOSE		8
#define TARGETED	16

/* Mutants: each one breaks a rule. */
#define PARKS_BLINDLY		1
#define NO_LOOK_AT_CALLEE	2
#define NO_LOOK_AT_CALLER	3
#define NO_LOOK_AT_CHANNEL	4
#define ANSWERS_TWICE		5
#define KEEPS_REQUEST		6
#define LOSES_PUT_BACK		7
#define NO_LOOK_AFTER_FAULT	8
#define LEAVES_CALL		9
#define NO_LOOK_AT_TARGET	10
byte mutant;

/* What may happen. */
byte events;

bool caller_left, callee_left, is_closed;
/* The message is in the ring. */
bool is_sent;
/* The request was woken, and its task has not seen that yet. */
bool is_woken, is_canceled;
/* The call knows its request. */
bool has_request;
/* The answer: how often it was taken from the callee, and what became of it. */
byte taken, reached, late;
/* Commands that have begun and not ended. */
byte busy;

#define is_done		(phase == ANSWERED || phase == FAILED)

/* Takes the request out, if it is parked. Its waker owns it then. */
inline take_out()
{
	if
	:: has_request ->
		assert(state != ENDED);
		if
		:: state == PARKED && !is_woken -> is_woken = true
		:: else
		fi
	:: else
	fi
}

inline finish(result)
{
	place = NOWHERE;
	phase = result;
	take_out()
}

/* Calls::give_up: the request ends. */
inline give_up()
{
	if
	:: phase == ANSWERED -> late++
	:: else
	fi;
	if
	:: mutant != LEAVES_CALL -> place = NOWHERE; phase = GIVEN_UP
	:: else
	fi;
	has_request = (mutant == KEEPS_REQUEST && has_request)
}

/* The request of the call, as io_uring runs it. */
proctype request()
{
	atomic {
		if
		:: is_closed || caller_left -> goto done
		:: (events & TARGETED) && callee_left && mutant != NO_LOOK_AT_TARGET ->
			goto done
		:: else
		fi;
		place = ((events & TARGETED) -> AT_CALLEE : UNRECEIVED);
		phase = OUT;
		is_sent = true
	}
look:
	atomic {
		if
		:: is_canceled -> goto done
		:: phase == ANSWERED -> reached++; phase = GIVEN_UP; goto done
		:: phase == FAILED || caller_left || is_closed -> goto done
		:: else
		fi
	}
	/* Channel::park_call, after others have gone on */
	state == RUNS;
	atomic {
		if
		:: is_done && mutant != PARKS_BLINDLY -> goto look
		:: is_closed && mutant != NO_LOOK_AT_CHANNEL -> goto look
		:: caller_left && mutant != NO_LOOK_AT_CALLER -> goto look
		:: else
		fi;
		has_request = true;
		state = PARKED
	}
end_parked:
	atomic {
		is_woken || state == ENDED;
		if
		:: state == ENDED -> goto out
		:: else
		fi;
		is_woken = false;
		state = RUNS
	}
	goto look;
done:
	atomic {
		assert(state == RUNS);
		give_up();
		state = ENDED
	}
out:
	skip
}

/* A request of the callee that answers. */
proctype answer()
{
	bool has_faulted;

take:
	/* Calls::take */
	atomic {
		if
		:: callee_left || place != AT_CALLEE -> goto out
		:: else
		fi;
		if
		:: mutant != ANSWERS_TWICE -> place = NOWHERE
		:: else
		fi;
		phase = ANSWERING
	}
	/* The copy may need a page. */
	if
	:: !has_faulted ->
		has_faulted = true;
		/* Calls::put_back */
		atomic {
			if
			:: phase == GIVEN_UP
			:: phase != GIVEN_UP && callee_left && mutant != NO_LOOK_AFTER_FAULT ->
				finish(FAILED)
			:: else ->
				phase = OUT;
				place = (mutant != LOSES_PUT_BACK -> AT_CALLEE : NOWHERE)
			fi
		}
		goto take
	:: true
	fi;
	/* Calls::answer */
	atomic {
		taken++;
		if
		:: phase == GIVEN_UP -> late++
		:: else -> finish(ANSWERED)
		fi
	}
out:
	skip
}

/* The callee: receives, and answers twice or not. */
proctype callee()
{
end_idle:
	is_sent;
	/* Calls::received */
	atomic {
		if
		:: place == UNRECEIVED ->
			if
			:: callee_left && mutant != NO_LOOK_AT_CALLEE -> finish(FAILED)
			:: else -> place = AT_CALLEE
			fi
		:: else
		fi
	}
	/* It may also leave the call alone. */
	if
	:: run answer(); run answer()
	:: true
	fi
}

/* Cancels the request. */
proctype cancel()
{
	atomic {
		if
		:: state == PARKED && !is_woken -> state = ENDED; give_up()
		:: state == PARKED && is_woken -> is_canceled = true
		:: else
		fi
	}
	busy--
}

proctype detach_caller()
{
	caller_left = true;
	atomic { take_out() };
	busy--
}

/* The first calls at once, more of them later: both are this. */
proctype detach_callee()
{
	callee_left = true;
	atomic {
		if
		:: place == AT_CALLEE -> finish(FAILED)
		:: else
		fi
	};
	busy--
}

proctype close()
{
	is_closed = true;
	atomic { take_out() };
	busy--
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
		run request();
		run callee();
		maybe(CANCEL, cancel());
		maybe(DETACH_CALLER, detach_caller());
		maybe(DETACH_CALLEE, detach_callee());
		maybe(CLOSE, close())
	}
	timeout;
	assert(!busy);
	assert(taken == reached + late);
	assert(taken <= 1);
	assert(state == ENDED || state == PARKED);
	assert(state == PARKED || place == NOWHERE);
	assert(state == ENDED || (!is_done && !caller_left && !callee_left && !is_closed &&
				  !is_canceled && place != NOWHERE))
}
