// SPDX-License-Identifier: GPL-2.0
#undef _FILE_OFFSET_BITS
#include "compat32.h"
#include "liburing_ipc.h"

_Static_assert(sizeof(off_t) == 4, "off_t has 32 bits");

int map_with_short_off_t(struct ipc_map *map,
			 const struct io_uring_ipc_channel_attach *attach)
{
	return ipc_map(map, attach);
}
