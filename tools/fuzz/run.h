/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by the steps of a case: the known state of rings and requests, commands for
 * actors, and the first error.  After an error the fuzzer runs no more steps.
 */
#ifndef FUZZ_RUN_H
#define FUZZ_RUN_H

#include "actor.h"
#include "case.h"
#include "model.h"

#define MAX_REQUESTS	16
/* The contents of buffers before a receive. */
#define UNTOUCHED	0xa5
/* Seconds until a request counts as hung. */
#define DEADLINE	20

/* A request that waits, or that the fuzzer is making. */
struct request {
	bool waits, receives, multishot, selects, watches;
	struct place place;
	uint64_t user_data;
	unsigned int slot;
	/* Where the request receives, and how many bytes behind that must not change. */
	uint8_t *buffer;
	size_t guard;
	/* The order in which requests began to wait. */
	unsigned long order;
	/* The channel that the request is waiting for; NULL if it watches a subscriber. */
	struct channel *channel;
	struct outgoing outgoing;
	struct incoming incoming;
	/* A request that watches: its subscriber, and the one whose end it waits for. */
	uint32_t watcher, target;
};

/* The known state of a ring of an actor. */
struct ring_state {
	bool open;
	unsigned int flags;
	/* Provided buffers that are left, in the order in which the kernel takes them. */
	unsigned int provided[PROVIDED], provided_count;
	/* Completions that were taken while looking for another one. */
	struct actor_cqe stash[64];
	unsigned int stashed;
	/* Whether its buffers have changed since the start. */
	bool changed;
};

extern struct model model;
extern struct request requests[MAX_REQUESTS];
/* The last one is the ring that cases do not use. */
extern struct ring_state rings[ACTORS][RINGS + 1];
extern const unsigned int default_flags[RINGS + 1];
/* Keys of channels; 0 is no key. */
#define KEYS	4
extern const uint64_t keys[KEYS];
/* Names of channels; the first one is no name. */
#define NAMES	4
extern const char *const names[NAMES];
/* How fdinfo shows them. */
extern const char *const shown_names[NAMES];
/* The last number of a request or a message. */
extern uint32_t serial;
extern bool tracing, failed, hangs;
/* The last error. */
extern char failure[512];

/* Prints a line with --trace. */
void trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Records an error, unless there was one before. */
void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void expect(const char *what, int64_t expected, int64_t got);
double now(void);

/* The shared memory where commands for a ring are filled in. */
struct actor_shared *shared_of(struct place place);
struct ring_state *state_of(struct place place);
int64_t call(struct place place, enum actor_command command);

void open_ring(struct place place, unsigned int flags);
/* Opens a ring, unless it is open. */
void use(struct place place);
/* Closes a ring, and waits for the end of its subscribers and channels. */
void close_ring(struct place place);
/* Provides `count` buffers to a ring, from number `first` on. */
void provide(struct place place, unsigned int first, unsigned int count);

/* Fills in the extension of a command in the shared memory, with a name or none. */
void extend(struct place place, const char *name, uint32_t *size, __u64 *address);
int64_t register_command(struct place place, unsigned int opcode, const void *argument,
			 uint32_t count);

/* Submits the SQEs in the shared memory. */
void submit(struct place place, unsigned int count);
/* Takes completions from a ring.  First waits a while for `count` completions. */
void reap(struct place place, unsigned int count);
/* The first completion of a request that was taken, or NULL. */
const struct actor_cqe *find_completion(struct place place, uint64_t user_data);
/* Waits for the completion of a request, and returns it. */
struct actor_cqe completion(struct place place, uint64_t user_data);
/* Submits one request that completes at once, and compares the result. */
void run_request(struct place place, const char *what, int expected);
/* Cancels a request, or with NULL a request that does not exist. */
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

/* Maps a file.  Returns the address, or a negative errno. */
int64_t map(struct place place, int fd, uint64_t size, uint64_t offset, int prot);
void unmap(struct place place, uint64_t address, uint64_t size);
void close_fd(struct place place, int fd);
/* Copies from the memory of an actor to memory that the fuzzer can read. */
const void *copy_of(struct place place, uint64_t address, uint64_t size);

#endif
