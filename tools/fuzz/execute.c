// SPDX-License-Identifier: GPL-2.0
/*
 * The fuzzer turns a step into a request or a command.  The model predicts the result,
 * an actor runs the step, and the fuzzer compares.  Then each waiting request that can
 * go on must complete, and no other request.
 *
 * Where two processes would race, so that more than one result is right, the fuzzer
 * makes a step smaller until only one is:
 * - at most one send waits in a channel, and it has one message if receivers could
 *   receive other messages meanwhile,
 * - a vector has one message if several requests wait for it, or if the channel has no
 *   room for all of it.
 *
 * main.c calls this file.  This file calls the steps in commands.c, requests.c and files.c,
 * and settle() in waiting.c.  All of these call run.c, which calls actor.c and model.c.
 */

#include "execute.h"

#include <errno.h>
#include <string.h>

#include "steps.h"
#include "waiting.h"

unsigned long execute_steps;

static void step_reopen(const struct step *step)
{
	static const unsigned int flags[] = {
		0, IORING_SETUP_SQPOLL, IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
		IORING_SETUP_SINGLE_ISSUER,
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
		IORING_SETUP_SUBMIT_ALL, IORING_SETUP_NO_SQARRAY,
	};
	struct place place = place_of(step);
	unsigned int setup = flags[step->a % ARRAY_SIZE(flags)];

	trace("actor %u ring %u: close, and open with %#x\n", place.actor, place.ring, setup);
	close_ring(place);
	if (!failed)
		open_ring(place, setup);
}

static void step_provide(const struct step *step)
{
	struct place place = place_of(step);
	struct ring_state *state;
	unsigned int count = 1 + step->a % 4, first;

	use(place);
	state = state_of(place);
	if (state->provided_count + count > PROVIDED || failed)
		return;
	/* The buffers that are left have consecutive numbers, so that the next numbers are free. */
	first = state->provided_count ? state->provided[state->provided_count - 1] + 1 : 0;
	trace("actor %u ring %u: provide %u buffers\n", place.actor, place.ring, count);
	state->changed = true;
	provide(place, first, count);
}

/* Removes everything that a case has left. */
static void clean_up(void)
{
	for (unsigned int i = 0; i < MAX_REQUESTS; i++) {
		struct request *request = &requests[i];

		while (request->waits && !failed)
			cancel(request, request->place);
	}
	for (unsigned int i = 0; i < model.subscriber_count && !failed; i++) {
		struct subscriber *subscriber = &model.subscribers[i];

		if (subscriber->region)
			unmap(subscriber->place, subscriber->region, subscriber->region_size);
		if (subscriber->cursor_page)
			unmap(subscriber->place, subscriber->cursor_page, 4096);
		close_fd(subscriber->place, subscriber->fd);
		if (subscriber->attached)
			expect("DETACH", 0, register_command(subscriber->place,
							     IOIPC_REGISTER_DETACH, NULL,
							     subscriber->id));
	}
	for (unsigned int i = 0; i < model.channel_count && !failed; i++) {
		struct channel *channel = &model.channels[i];

		if (!channel->destroyed)
			expect("DESTROY", 0, register_command(channel->creator,
							      IOIPC_REGISTER_DESTROY, NULL,
							      channel->id));
	}
	model_reset(&model);
	for (unsigned int i = 0; i < ACTORS * RINGS && !failed; i++) {
		struct place place = { i / RINGS, i % RINGS };
		struct ring_state *state = state_of(place);

		if (!state->open)
			continue;
		if (state->flags != default_flags[place.ring]) {
			close_ring(place);
		} else if (state->changed) {
			shared_of(place);
			expect("taking buffers back", 0, call(place, COMMAND_UNPROVIDE));
			state->provided_count = 0;
			state->changed = false;
			provide(place, 0, 4);
		}
	}
}

/* Whether root can create a channel with a key and a name. */
static bool is_free(uint64_t key, const char *name)
{
	struct place root = { ACTOR_ROOT, CONTROL_RING };
	struct io_uring_ipc_channel_create *create;

	use(root);
	create = &shared_of(root)->argument.create;
	*create = (struct io_uring_ipc_channel_create) {
		.ring_entries = 1,
		.max_msg_size = 1,
		.key = key,
	};
	if (name)
		extend(root, name, &create->ext_size, &create->ext);
	return !register_command(root, IOIPC_REGISTER_CREATE, create, 1) &&
	       !register_command(root, IOIPC_REGISTER_DESTROY, NULL, create->channel_id_out);
}

/* Starts new actors, in whatever state the old ones are. */
static void start_again(void)
{
	bool was_failed = failed;

	actors_stop();
	actors_start();
	memset(requests, 0, sizeof(requests));
	memset(rings, 0, sizeof(rings));
	model_reset(&model);
	failed = false;
	/* Channels hold their keys and names until their rings have ended. */
	for (unsigned int i = 0; i < KEYS; i++)
		wait_until("end of a key", is_free(keys[i], NULL));
	for (unsigned int i = 1; i < NAMES; i++)
		wait_until("end of a name", is_free(0, names[i]));
	failed = was_failed || failed;
}

static void (*const step_functions[STEP_KINDS])(const struct step *step) = {
	[STEP_CREATE] = step_create,
	[STEP_ATTACH] = step_attach,
	[STEP_DETACH] = step_detach,
	[STEP_DESTROY] = step_destroy,
	[STEP_SEND] = step_send,
	[STEP_RECEIVE] = step_receive,
	[STEP_CANCEL] = step_cancel,
	[STEP_POLL] = step_poll,
	[STEP_MAP] = step_map,
	[STEP_STORE] = step_store,
	[STEP_FDINFO] = step_fdinfo,
	[STEP_REOPEN] = step_reopen,
	[STEP_PROVIDE] = step_provide,
	[STEP_WATCH] = step_watch,
	[STEP_CALL] = step_call,
	[STEP_ANSWER] = step_answer,
};

const char *execute_failure(void)
{
	return failure;
}

bool execute_hangs(void)
{
	return hangs;
}

bool execute(const struct test_case *test, bool trace_steps)
{
	tracing = trace_steps;
	failed = false;
	serial = 0;
	for (unsigned int i = 0; i < test->count && !failed; i++) {
		const struct step *step = &test->steps[i];

		step_functions[step->kind % STEP_KINDS](step);
		if (!failed)
			settle();
		execute_steps++;
	}
	tracing = false;
	if (!failed)
		clean_up();
	if (!failed)
		return true;
	if (!hangs)
		start_again();
	return false;
}
