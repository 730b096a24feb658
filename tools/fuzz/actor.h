/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The actors: processes with different users, two of them in their own namespaces.  An
 * actor runs one command at a time, and does not know the model.
 *
 * All memory that requests use is shared with the process that gives the commands, at
 * the same address in both.  So that process fills in an SQE, and the actor submits it.
 */
#ifndef FUZZ_ACTOR_H
#define FUZZ_ACTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <liburing.h>
#include <linux/io_uring/ipc.h>

enum {
	ACTOR_ROOT,		/* has CAP_IPC_OWNER */
	ACTOR_OWNER,		/* uid 1000 */
	ACTOR_GROUP,		/* uid 1001, group 1000 as a supplementary one */
	ACTOR_CONTAINER,	/* uid 1000, in a user and pid namespace */
	ACTOR_ISOLATED,		/* the same, and in an IPC namespace */
	ACTORS,
};

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))
#endif

/* Rings of an actor for cases, and one more that cases do not use. */
#define RINGS		2
#define CONTROL_RING	RINGS

/* Buffers for requests. */
#define SLOTS		24
#define SLOT_SIZE	8192
/* Buffers that are provided to a ring, as group 0. */
#define PROVIDED	8
#define PROVIDED_SIZE	192
/* Room for the copy of a mapping. */
#define COPY_SIZE	(256 << 10)
#define EDGE_SIZE	4096
/* Descriptors of a message. */
#define MAX_FDS		3

enum actor_command {
	COMMAND_OPEN,		/* ring, flags */
	COMMAND_CLOSE,		/* ring */
	COMMAND_SUBMIT,		/* ring, count: of sqes */
	COMMAND_REAP,		/* ring, count: to wait for */
	COMMAND_REGISTER,	/* ring, flags: opcode, address, count */
	COMMAND_MAP,		/* fd, size, offset, flags: PROT_*, count: MAP_* */
	COMMAND_UNMAP,		/* address, size */
	COMMAND_CLOSE_FD,	/* fd */
	COMMAND_POLL,		/* fd, flags: events */
	COMMAND_FDINFO,		/* fd: into copy */
	COMMAND_COPY,		/* address, size: into copy */
	COMMAND_STORE,		/* address, flags: the value */
	COMMAND_PROVIDE,	/* ring, count: how many, flags: the first one */
	COMMAND_UNPROVIDE,	/* ring: all that are left */
};

struct actor_cqe {
	uint64_t user_data;
	int32_t res;
	uint32_t flags;
};

struct actor_shared {
	/* Whose turn it is: a futex. */
	uint32_t turn;
	/* The command, and its result: a negative errno if it failed. */
	uint32_t command, ring, count, flags;
	int32_t fd;
	uint64_t address, size, offset;
	int64_t result;
	struct io_uring_sqe sqes[2];
	uint32_t cqe_count;
	struct actor_cqe cqes[256];
	/* For commands of io_uring_register(2). */
	union {
		struct io_uring_ipc_channel_create create;
		struct io_uring_ipc_channel_attach attach;
	} argument __attribute__((aligned(4096)));
	/* Their extension, with room for a later version, and the name in it. */
	struct {
		union {
			struct io_uring_ipc_channel_ext create;
			struct io_uring_ipc_attach_ext attach;
		};
		uint8_t later[16];
	} extension;
	char name[IOIPC_MAX_NAME + 1];
	/* Descriptors to send, and those that were received. */
	int32_t fds[MAX_FDS], got_fds[MAX_FDS];
	uint8_t slots[SLOTS][SLOT_SIZE] __attribute__((aligned(4096)));
	uint8_t provided[RINGS][PROVIDED][PROVIDED_SIZE];
	char copy[COPY_SIZE];
	/* Ends before a page without memory. */
	uint8_t edge[EDGE_SIZE] __attribute__((aligned(4096)));
};

/* An actor. */
struct actor {
	struct actor_shared *shared;
	/* The argument once more, mapped read-only. */
	void *read_only;
	int pid;
};

extern struct actor actors[ACTORS];

/* Allocates the shared memory.  Ends the program if that fails. */
void actors_prepare(void);
/* Starts the processes. */
void actors_start(void);
/* Kills the processes, in any state. */
void actors_stop(void);
/*
 * Gives the command in the shared memory to an actor, and returns the result.  Returns
 * -ETIME if there is no result for a long time: the actor hangs.
 */
int64_t actor_call(unsigned int actor, enum actor_command command);

#endif
