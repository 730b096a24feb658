// SPDX-License-Identifier: GPL-2.0
#include "mechanism.h"

unsigned int all_mechanisms(const struct mechanism *list[MAX_MECHANISMS])
{
	static const struct mechanism *const files[] = {
		pipe_mechanisms,
		unix_mechanisms,
		mq_mechanisms,
		shm_mechanisms,
		msg_ring_mechanisms,
		ipc_mechanisms,
		ipc_call_mechanisms,
		call_mechanisms,
	};
	const struct mechanism *mechanism;
	unsigned int i, count = 0;

	for (i = 0; i < sizeof(files) / sizeof(*files); i++) {
		for (mechanism = files[i]; mechanism->name; mechanism++)
			list[count++] = mechanism;
	}
	return count;
}
