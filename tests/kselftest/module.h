/* SPDX-License-Identifier: GPL-2.0 */
/* Loading and unloading the module, for the tests that do so. */
#ifndef IPC_TEST_MODULE_H
#define IPC_TEST_MODULE_H

#include "ipc_test.h"

/* The file of the module: IPC_MODULE, or in the directory of the tests. */
static inline const char *ipc_module_path(void)
{
	return getenv("IPC_MODULE") ?: IPC_MODULE ".ko";
}

static inline bool ipc_module_loaded(void)
{
	return !access("/sys/module/" IPC_MODULE, F_OK);
}

/* Returns 0 or a negative errno. */
static inline int ipc_module_load(void)
{
	int fd = open(ipc_module_path(), O_RDONLY | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return -errno;
	ret = syscall(__NR_finit_module, fd, "", 0) ? -errno : 0;
	close(fd);
	return ret;
}

/* Returns 0 or a negative errno, -EWOULDBLOCK while it has users. */
static inline int ipc_module_unload(void)
{
	return syscall(__NR_delete_module, IPC_MODULE, O_NONBLOCK) ?
		-errno : 0;
}

#endif /* IPC_TEST_MODULE_H */
