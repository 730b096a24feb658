// SPDX-License-Identifier: GPL-2.0
/* Kernel memory as a buffer: the address is mapped, so only a check helps. */
#include "ipc_test.h"

FIXTURE(kernel_memory) {
	struct io_uring ring;
};

FIXTURE_SETUP(kernel_memory)
{
	ASSERT_EQ(0, ipc_open(&self->ring));
}

FIXTURE_TEARDOWN(kernel_memory)
{
	io_uring_queue_exit(&self->ring);
}

/* The address of a section of the module, or 0 if the caller is not root. */
static void *section(const char *name)
{
	unsigned long address = 0;
	char path[100];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/module/io_uring_ipc/sections/%s",
		 name);
	file = fopen(path, "r");
	if (file && fscanf(file, "%lx", &address) != 1)
		address = 0;
	if (file)
		fclose(file);
	return (void *)address;
}

TEST_F_TIMEOUT(kernel_memory, defect_01_kernel_memory_that_is_there, IPC_TIMEOUT)
{
	static const char *const names[] = { ".data", ".bss", ".rodata", ".text" };
	struct ipc_sub both;
	int i, seen = 0;
	__u32 channel;

	ASSERT_EQ(0, ipc_create(&self->ring, 0, 8, 64, &channel));
	ASSERT_EQ(0, ipc_attach(&self->ring, channel, IOIPC_SUB_BOTH, &both));
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		void *there = section(names[i]);

		if (!there)
			continue;
		TH_LOG("%s at %p", names[i], there);
		seen++;
		EXPECT_EQ(-EFAULT, ipc_send(&self->ring, both.id, there, 8));
		EXPECT_EQ(-EAGAIN, ipc_recv_num(&self->ring, both.id));
		/* A message of zeros, in case it is written there after all. */
		ASSERT_EQ(IPC_NUM, ipc_send_num(&self->ring, both.id, 0));
		EXPECT_EQ(-EFAULT, ipc_recv(&self->ring, both.id, there, 8));
		EXPECT_EQ(0, ipc_recv_num(&self->ring, both.id));
	}
	if (!seen)
		SKIP(return, "no addresses of sections");
}

IPC_HARNESS_MAIN
