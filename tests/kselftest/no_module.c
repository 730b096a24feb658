// SPDX-License-Identifier: GPL-2.0
/*
 * A kernel that has the hook but not the module: everything is not supported,
 * and says so.  Called with --no-module only; with the module loaded, this
 * cannot work.
 */
#include "ipc_test.h"

FIXTURE(no_module) {
	struct io_uring ring;
};

FIXTURE_SETUP(no_module)
{
	ASSERT_EQ(0, ipc_open(&self->ring));
}

FIXTURE_TEARDOWN(no_module)
{
	io_uring_queue_exit(&self->ring);
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

/* Nothing of the arguments is looked at. */
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
	/* The numbers are known, what they stand for is not there. */
	EXPECT_LE(IOIPC_OP_RECV, probe->last_op);
	EXPECT_FALSE(io_uring_opcode_supported(probe, IOIPC_OP_SEND));
	EXPECT_FALSE(io_uring_opcode_supported(probe, IOIPC_OP_RECV));
	io_uring_free_probe(probe);
}

int main(int argc, char **argv)
{
	if (argc < 2 || strcmp(argv[1], "--no-module")) {
		ksft_print_header();
		ksft_set_plan(1);
		ksft_test_result_skip("for a kernel without the module: call with --no-module\n");
		ksft_finished();
	}
	argv[1] = argv[0];
	return test_harness_run(argc - 1, argv + 1);
}
