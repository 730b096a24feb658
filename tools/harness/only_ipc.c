// SPDX-License-Identifier: GPL-2.0
/*
 * Runs a command that may use IPC channels, and nothing else of io_uring:
 *
 *	only_ipc COMMAND [ARGUMENT]...
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "only_ipc.h"

int main(int argc, char **argv)
{
	int ret;

	if (argc < 2) {
		fprintf(stderr, "usage: %s COMMAND [ARGUMENT]...\n", argv[0]);
		return 2;
	}
	ret = only_ipc();
	if (ret) {
		fprintf(stderr, "%s: cannot restrict io_uring: %s\n", argv[0], strerror(-ret));
		return 2;
	}
	execvp(argv[1], argv + 1);
	fprintf(stderr, "%s: cannot run %s: %s\n", argv[0], argv[1], strerror(errno));
	return 127;
}
