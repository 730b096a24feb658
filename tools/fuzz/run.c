// SPDX-License-Identifier: GPL-2.0
/* This file calls actor.c and the model.  execute.c, waiting.c and the steps call it. */

#include "run.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

struct model model;
struct request requests[MAX_REQUESTS];
struct ring_state rings[ACTORS][RINGS + 1];
uint32_t serial;
bool tracing, failed, hangs;
char failure[512];

const unsigned int default_flags[RINGS + 1] = {
	0, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, 0,
};

const uint64_t keys[KEYS] = { 0, 0, 7, 0x10000000000 };
#define TEN	"0123456789"
#define LONGEST	TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "0123456"
_Static_assert(sizeof(LONGEST) == IOIPC_MAX_NAME + 1, "the longest name");
const char *const names[NAMES] = { NULL, "a", "a\n\xff", LONGEST };
const char *const shown_names[NAMES] = { "", "a", "a\\x0a\\xff", LONGEST };

void trace(const char *format, ...)
{
	va_list list;

	if (!tracing)
		return;
	va_start(list, format);
	vprintf(format, list);
	va_end(list);
	fflush(stdout);
}

void fail(const char *format, ...)
{
	va_list list;

	if (failed)
		return;
	failed = true;
	va_start(list, format);
	vsnprintf(failure, sizeof(failure), format, list);
	va_end(list);
	trace("#   ^ %s\n", failure);
}

struct actor_shared *shared_of(struct place place)
{
	struct actor_shared *shared = actors[place.actor].shared;

	shared->ring = place.ring;
	return shared;
}

struct ring_state *state_of(struct place place)
{
	return &rings[place.actor][place.ring];
}

int64_t call(struct place place, enum actor_command command)
{
	int64_t ret = actor_call(place.actor, command);

	if (ret == -ETIME) {
		hangs = true;
		fail("actor %u hangs in command %d", place.actor, command);
	}
	return ret;
}

void expect(const char *what, int64_t expected, int64_t got)
{
	if (expected != got)
		fail("%s: %lld, and not %lld", what, (long long)got, (long long)expected);
}

void provide(struct place place, unsigned int first, unsigned int count)
{
	struct actor_shared *shared = shared_of(place);
	struct ring_state *state = state_of(place);

	shared->flags = first;
	shared->count = count;
	for (unsigned int i = 0; i < count; i++) {
		unsigned int id = (first + i) % PROVIDED;

		memset(shared->provided[place.ring][id], UNTOUCHED, PROVIDED_SIZE);
		state->provided[state->provided_count++] = id;
	}
	expect("providing buffers", 0, call(place, COMMAND_PROVIDE));
}

void open_ring(struct place place, unsigned int flags)
{
	struct actor_shared *shared = shared_of(place);
	struct ring_state *state = state_of(place);

	if (state->open)
		return;
	shared->flags = flags;
	expect("opening a ring", 0, call(place, COMMAND_OPEN));
	*state = (struct ring_state) { .open = true, .flags = flags };
	if (place.ring != CONTROL_RING && !failed)
		provide(place, 0, 4);
}

void use(struct place place)
{
	open_ring(place, default_flags[place.ring]);
}

void extend(struct place place, const char *name, uint32_t *size, __u64 *address)
{
	struct actor_shared *shared = shared_of(place);

	memset(&shared->extension, 0, sizeof(shared->extension));
	memset(shared->name, 0, sizeof(shared->name));
	if (name) {
		strcpy(shared->name, name);
		shared->extension.create.name = (uintptr_t)shared->name;
		shared->extension.create.name_len = strlen(name);
	}
	*size = sizeof(shared->extension.create);
	*address = (uintptr_t)&shared->extension;
}

int64_t register_command(struct place place, unsigned int opcode, const void *argument,
			 uint32_t count)
{
	struct actor_shared *shared = shared_of(place);

	shared->flags = opcode;
	shared->address = (uintptr_t)argument;
	shared->count = count;
	return call(place, COMMAND_REGISTER);
}

void reap(struct place place, unsigned int count)
{
	struct actor_shared *shared = shared_of(place);
	struct ring_state *state = state_of(place);

	shared->count = count;
	expect("waiting for completions", 0, call(place, COMMAND_REAP));
	for (uint32_t i = 0; i < shared->cqe_count && !failed; i++) {
		if (state->stashed == ARRAY_SIZE(state->stash)) {
			fail("too many completions");
			return;
		}
		state->stash[state->stashed++] = shared->cqes[i];
	}
}

const struct actor_cqe *find_completion(struct place place, uint64_t user_data)
{
	const struct ring_state *state = state_of(place);

	for (unsigned int i = 0; i < state->stashed; i++) {
		if (state->stash[i].user_data == user_data)
			return &state->stash[i];
	}
	return NULL;
}

double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Waits for the completion of a request, and returns it. */
struct actor_cqe completion(struct place place, uint64_t user_data)
{
	struct ring_state *state = state_of(place);
	double end = now() + DEADLINE;

	while (!failed) {
		for (unsigned int i = 0; i < state->stashed; i++) {
			struct actor_cqe cqe = state->stash[i];

			if (cqe.user_data != user_data)
				continue;
			state->stashed--;
			memmove(&state->stash[i], &state->stash[i + 1],
				(state->stashed - i) * sizeof(cqe));
			return cqe;
		}
		if (now() > end)
			fail("request %#llx hangs", (unsigned long long)user_data);
		else
			reap(place, 1);
	}
	return (struct actor_cqe) {};
}

void submit(struct place place, unsigned int count)
{
	struct actor_shared *shared = shared_of(place);

	shared->count = count;
	expect("submitting", 0, call(place, COMMAND_SUBMIT));
}

/* Submits one request that completes at once, and compares the result. */
void run_request(struct place place, const char *what, int expected)
{
	struct actor_shared *shared = shared_of(place);
	struct actor_cqe cqe;

	submit(place, 1);
	cqe = completion(place, shared->sqes[0].user_data);
	if (!failed)
		expect(what, expected, cqe.res);
}

/* Maps a file. Returns the address, or a negative errno. */
int64_t map(struct place place, int fd, uint64_t size, uint64_t offset, int prot)
{
	struct actor_shared *shared = shared_of(place);

	shared->fd = fd;
	shared->size = size;
	shared->offset = offset;
	shared->flags = (uint32_t)prot;
	shared->count = MAP_SHARED;
	return call(place, COMMAND_MAP);
}

void unmap(struct place place, uint64_t address, uint64_t size)
{
	struct actor_shared *shared = shared_of(place);

	shared->address = address;
	shared->size = size;
	expect("munmap", 0, call(place, COMMAND_UNMAP));
}

void close_fd(struct place place, int fd)
{
	shared_of(place)->fd = fd;
	expect("close", 0, call(place, COMMAND_CLOSE_FD));
}

/* Copies from the memory of an actor to memory that the fuzzer can read. */
const void *copy_of(struct place place, uint64_t address, uint64_t size)
{
	struct actor_shared *shared = shared_of(place);

	shared->address = address;
	shared->size = size;
	expect("copying", 0, call(place, COMMAND_COPY));
	return shared->copy;
}

void cancel(struct request *request, struct place place)
{
	uint64_t which = request ? request->user_data : 1;
	struct actor_shared *shared;
	struct actor_cqe cqe;

	if (request)
		place = request->place;
	use(place);
	shared = shared_of(place);
	memset(&shared->sqes[0], 0, sizeof(shared->sqes[0]));
	shared->sqes[0].opcode = IORING_OP_ASYNC_CANCEL;
	shared->sqes[0].addr = which;
	shared->sqes[0].user_data = ++serial;
	trace("actor %u ring %u: ASYNC_CANCEL %#llx\n", place.actor, place.ring,
	      (unsigned long long)which);
	run_request(place, "cancelling", request ? 0 : -ENOENT);
	if (!request || failed)
		return;
	request->waits = false;
	cqe = completion(place, which);
	if (failed)
		return;
	expect("request that was cancelled", -ECANCELED, cqe.res);
	expect("flags of the completion", 0, cqe.flags);
}

static bool hung_up(const struct subscriber *subscriber)
{
	struct actor_shared *shared = shared_of(subscriber->place);

	shared->fd = subscriber->fd;
	shared->flags = 0;
	return call(subscriber->place, COMMAND_POLL) & POLLHUP;
}

/* Whether a process with the same credentials finds a channel no more. */
static bool is_gone(const struct channel *channel)
{
	struct place place = { channel->creator.actor, CONTROL_RING };
	struct io_uring_ipc_channel_attach *attach, copy;
	int64_t ret;

	use(place);
	attach = &shared_of(place)->argument.attach;
	*attach = (struct io_uring_ipc_channel_attach) {
		.channel_id = channel->id,
		.flags = IOIPC_SUB_SEND,
	};
	ret = register_command(place, IOIPC_REGISTER_ATTACH, attach, 1);
	copy = *attach;
	if (!ret) {
		register_command(place, IOIPC_REGISTER_DETACH, NULL, copy.local_id_out);
		close_fd(place, copy.channel_fd);
	}
	return ret == -ENOENT;
}

/* Whether a subscriber has visibly detached. */
static bool has_detached(struct subscriber *subscriber)
{
	int64_t address;

	/* All files of a destroyed channel have hung up, but an attached subscriber can map it. */
	if (!subscriber->channel->destroyed || !subscriber->region_size)
		return hung_up(subscriber);
	address = map(subscriber->place, subscriber->fd, subscriber->region_size, 0, PROT_READ);
	if (address < 0)
		return true;
	unmap(subscriber->place, (uint64_t)address, subscriber->region_size);
	return false;
}

void close_ring(struct place place)
{
	bool attached[MAX_SUBSCRIBERS] = {}, existed[MAX_CHANNELS] = {};

	if (!state_of(place)->open)
		return;
	/* The fuzzer would not see the end of such a request. */
	for (unsigned int i = 0; i < MAX_REQUESTS; i++) {
		struct request *request = &requests[i];

		if (request->waits && same_place(request->place, place) && !request->receives &&
		    !request->watches && !model_subscriber(&model, place, request->outgoing.id))
			cancel(request, place);
	}
	for (unsigned int i = 0; i < model.subscriber_count; i++)
		attached[i] = model.subscribers[i].attached &&
			      same_place(model.subscribers[i].place, place);
	for (unsigned int i = 0; i < model.channel_count; i++)
		existed[i] = !model.channels[i].destroyed &&
			     same_place(model.channels[i].creator, place);
	shared_of(place);
	expect("closing a ring", 0, call(place, COMMAND_CLOSE));
	model_exit(&model, place);
	*state_of(place) = (struct ring_state) {};
	for (unsigned int i = 0; i < MAX_REQUESTS; i++)
		if (same_place(requests[i].place, place))
			requests[i].waits = false;
	/* The kernel closes the ring in the background. */
	for (unsigned int i = 0; i < model.subscriber_count; i++)
		if (attached[i])
			wait_until("end of a subscriber", has_detached(&model.subscribers[i]));
	for (unsigned int i = 0; i < model.channel_count; i++)
		if (existed[i])
			wait_until("end of a channel", is_gone(&model.channels[i]));
}
