/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A policy for containers: of io_uring, a task may use IPC channels and what waiting
 * for them takes, and nothing else. docs/containers.md says how to apply the policy.
 */
#ifndef ONLY_IPC_H
#define ONLY_IPC_H

#include <errno.h>
#include <stddef.h>
#include <sys/prctl.h>

#include <liburing.h>
#include <linux/io_uring/ipc.h>

/* None of these opens a file, reads from one or writes to one. */
static const uint8_t only_ipc_opcodes[] = {
	IOIPC_OP_SEND, IOIPC_OP_RECV, IORING_OP_NOP, IORING_OP_ASYNC_CANCEL,
	IORING_OP_TIMEOUT, IORING_OP_TIMEOUT_REMOVE, IORING_OP_LINK_TIMEOUT,
	IORING_OP_POLL_ADD, IORING_OP_POLL_REMOVE,
};

static const uint8_t only_ipc_commands[] = {
	IOIPC_REGISTER_CREATE, IOIPC_REGISTER_ATTACH, IOIPC_REGISTER_DETACH,
	IOIPC_REGISTER_DESTROY, IORING_REGISTER_PROBE, IORING_REGISTER_ENABLE_RINGS,
	IORING_REGISTER_RING_FDS, IORING_UNREGISTER_RING_FDS,
	IORING_REGISTER_BUFFERS, IORING_UNREGISTER_BUFFERS,
	IORING_REGISTER_PBUF_RING, IORING_UNREGISTER_PBUF_RING,
	IORING_REGISTER_PBUF_STATUS, IORING_REGISTER_SYNC_CANCEL,
};

/* No fixed files: an IPC request has none. */
#define ONLY_IPC_FLAGS	(IOSQE_IO_DRAIN | IOSQE_IO_LINK | IOSQE_IO_HARDLINK | IOSQE_ASYNC | \
			 IOSQE_BUFFER_SELECT | IOSQE_CQE_SKIP_SUCCESS)

#define ONLY_IPC_RULES	(sizeof(only_ipc_opcodes) + sizeof(only_ipc_commands) + 1)

/*
 * Restricts the rings that the calling task creates from now on, and those of its future
 * threads and children, also after execve(2). Nothing takes that back. Rings that exist
 * already stay as they are. Returns 0 or a negative errno: -EPERM or
 * -EACCES if the task is restricted already.
 */
static inline int only_ipc(void)
{
	struct {
		struct io_uring_task_restriction head;
		struct io_uring_restriction rules[ONLY_IPC_RULES];
	} policy = { .head.nr_res = ONLY_IPC_RULES };
	struct io_uring_restriction *rule = policy.rules;
	size_t i;

	for (i = 0; i < sizeof(only_ipc_opcodes); i++) {
		rule->opcode = IORING_RESTRICTION_SQE_OP;
		rule++->sqe_op = only_ipc_opcodes[i];
	}
	for (i = 0; i < sizeof(only_ipc_commands); i++) {
		rule->opcode = IORING_RESTRICTION_REGISTER_OP;
		rule++->register_op = only_ipc_commands[i];
	}
	rule->opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
	rule->sqe_flags = ONLY_IPC_FLAGS;
	/* Without this, only CAP_SYS_ADMIN may restrict a task. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	return io_uring_register(-1, IORING_REGISTER_RESTRICTIONS, &policy, 1);
}

#endif /* ONLY_IPC_H */
