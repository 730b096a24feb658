/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the steps of a case share: what is known of rings and requests, commands for
 * actors, and the first thing that went wrong.  After that nothing is done any more.
 */
#ifndef FUZZ_RUN_H
#define FUZZ_RUN_H

#include "actor.h"
#include "case.h"
#include "model.h"

#define MAX_REQUESTS	16
/* What buffers contain before something is received. */
#define UNTOUCHED	0xa5
/* Seconds until a request hangs. */
#define DEADLINE	20

/* A request that waits, or is just being made. */
struct request {
	bool waits, receives, multishot, selects;
	struct place place;
	uint64_t user_data;
	unsigned int slot;
	/* Where it receives, and how much behind that must stay as it is. */
	uint8_t *buffer;
	size_t guard;
	/* In which order they came. */
	unsigned long order;
	/* What it is waiting for. */
	struct channel *channel;
	struct outgoing outgoing;
	struct incoming incoming;
};

/* A ring of an actor, as far as it is known here. */
struct ring_state {
	bool open;
	unsigned int flags;
	/* Provided buffers that are left, in the order in which they are taken. */
	unsigned int provided[PROVIDED], provided_count;
	/* Completions that nobody has asked for. */
	struct actor_cqe stash[64];
	unsigned int stashed;
	/* Whether its buffers are not those of the start any more. */
	bool changed;
};

extern struct model model;
extern struct request requests[MAX_REQUESTS];
/* The last one is the one that cases do not use. */
extern struct ring_state rings[ACTORS][RINGS + 1];
extern const unsigned int default_flags[RINGS + 1];
/* Those of channels, 0 is none. */
#define KEYS	4
extern const uint64_t keys[KEYS];
/* The last number that was given to a request or a message. */
extern uint32_t serial;
extern bool tracing, failed, hangs;
/* What went wrong last. */
extern char failure[512];

/* Prints it if that is wanted. */
void trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Says what went wrong, unless something did before. */
void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void expect(const char *what, int64_t expected, int64_t got);
double now(void);

/* Where the commands for a ring are filled in. */
struct actor_shared *shared_of(struct place place);
struct ring_state *state_of(struct place place);
int64_t call(struct place place, enum actor_command command);

void open_ring(struct place place, unsigned int flags);
/* Opens a ring, unless it is open. */
void use(struct place place);
/* Closes a ring, and waits for the end of what it had. */
void close_ring(struct place place);
/* Gives so many buffers to a ring, from a number on. */
void provide(struct place place, unsigned int first, unsigned int count);

int64_t register_command(struct place place, unsigned int opcode, const void *argument,
			 uint32_t count);

/* Submits the SQEs in what is shared. */
void submit(struct place place, unsigned int count);
/* Takes completions from a ring, after it has waited a while for so many. */
void reap(struct place place, unsigned int count);
/* Whether the completion of a request is among those that were taken, and its result. */
bool has_completed(struct place place, uint64_t user_data, int *res);
/* The completion of a request, which has to come. */
struct actor_cqe completion(struct place place, uint64_t user_data);
/* Submits one request that completes at once, and compares the result. */
void run_request(struct place place, const char *what, int expected);
/* Cancels a request, or with NULL one that is not there. */
void cancel(struct request *request, struct place place);

/* Waits until a condition that an actor can see is true. */
#define wait_until(what, condition) do {				\
	double __end = now() + DEADLINE;				\
									\
	while (!failed && !(condition)) {				\
		nanosleep(&(struct timespec) { .tv_nsec = 1000000 }, NULL);	\
		if (now() > __end)					\
			fail("%s hangs", what);				\
	}								\
} while (0)

/* Maps a file; the address, or a negative errno. */
int64_t map(struct place place, int fd, uint64_t size, uint64_t offset, int prot);
void unmap(struct place place, uint64_t address, uint64_t size);
void close_fd(struct place place, int fd);
/* Copies from the memory of an actor to where it can be seen. */
const void *copy_of(struct place place, uint64_t address, uint64_t size);

#endif
