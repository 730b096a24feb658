// SPDX-License-Identifier: GPL-2.0
/*
 * A kernel that has the hook but not the module: all operations fail with
 * EOPNOTSUPP.  If the module is loaded, this test unloads it for a while:
 * IPC_MODULE=FILE is the module.
 */
#include "module.h"

FIXTURE(no_module) {
	struct io_uring ring;
	bool loaded;
};

FIXTURE_SETUP(no_module)
{
	if (ipc_module_loaded()) {
		if (geteuid())
			SKIP(return, "needs to be root");
		if (access(ipc_module_path(), R_OK))
			SKIP(return, "no %s", ipc_module_path());
		/* Rings of earlier tests may not be gone yet. */
		ASSERT_TRUE(ipc_poll(!ipc_module_unload()));
		self->loaded = true;
	}
	ASSERT_EQ(0, ipc_open(&self->ring));
}

FIXTURE_TEARDOWN(no_module)
{
	io_uring_queue_exit(&self->ring);
	if (self->loaded)
		EXPECT_EQ(0, ipc_module_load());
}

TEST_F_TIMEOUT(no_module, commands, IPC_TIMEOUT)
{
	struct io_uring_ipc_channel_create create;
	struct ipc_sub sub;

	create = ipc_create_args(0, 8, 64);
	EXPECT_EQ(-EOPNOTSUPP, io_uring_ipc_channel_create(&self->ring,
							   &create));
	EXPECT_EQ(0, create.channel_id_out);
	EXPECT_EQ(-EOPNOTSUPP, ipc_attach(&self->ring, 1, IOIPC_SUB_BOTH,
					  &sub));
	EXPECT_EQ(-EOPNOTSUPP, io_uring_ipc_channel_detach(&self->ring, 1));
	EXPECT_EQ(-EOPNOTSUPP, io_uring_ipc_channel_destroy(&self->ring, 1));
}

/* The kernel does not check the arguments. */
TEST_F_TIMEOUT(no_module, bad_commands, IPC_TIMEOUT)
{
	int command;

	for (command = IOIPC_REGISTER_CREATE;
	     command <= IOIPC_REGISTER_DESTROY; command++) {
		EXPECT_EQ(-EOPNOTSUPP, ipc_register(&self->ring, command,
						    NULL, 0));
		EXPECT_EQ(-EOPNOTSUPP, ipc_register(&self->ring, command,
						    (void *)8, 7));
	}
}

TEST_F_TIMEOUT(no_module, requests, IPC_TIMEOUT)
{
	__u64 num = 7;

	EXPECT_EQ(-EOPNOTSUPP, ipc_send_num(&self->ring, 1, num));
	EXPECT_EQ(-EOPNOTSUPP, ipc_recv(&self->ring, 1, &num, sizeof(num)));
	EXPECT_EQ(7, num);
}

TEST_F_TIMEOUT(no_module, probe, IPC_TIMEOUT)
{
	struct io_uring_probe *probe = io_uring_get_probe_ring(&self->ring);

	ASSERT_NE(NULL, probe);
	/* The kernel knows the opcodes, but does not support them. */
	EXPECT_LE(IOIPC_OP_RECV, probe->last_op);
	EXPECT_FALSE(io_uring_opcode_supported(probe, IOIPC_OP_SEND));
	EXPECT_FALSE(io_uring_opcode_supported(probe, IOIPC_OP_RECV));
	io_uring_free_probe(probe);
}

/* The helper has an answer all the same. */
TEST_F_TIMEOUT(no_module, query, IPC_TIMEOUT)
{
	struct io_uring_query_ipc query, answer;

	EXPECT_EQ(-EOPNOTSUPP, io_uring_ipc_query(&query));
	EXPECT_EQ(IOIPC_OP_SEND, query.op_send);
	EXPECT_EQ(IOIPC_REGISTER_DESTROY, query.register_destroy);
	EXPECT_EQ(IOIPC_MAX_NAME, query.max_name);
	if (!self->loaded)
		return;
	/* With the module, the answer is the same, but comes from the kernel. */
	io_uring_queue_exit(&self->ring);
	ASSERT_EQ(0, ipc_module_load());
	self->loaded = false;
	ASSERT_EQ(0, ipc_open(&self->ring));
	EXPECT_EQ(0, io_uring_ipc_query(&answer));
	EXPECT_EQ(0, memcmp(&query, &answer, sizeof(query)));
}

IPC_HARNESS_MAIN
