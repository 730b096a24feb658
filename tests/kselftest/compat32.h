/* SPDX-License-Identifier: GPL-2.0 */
#ifndef COMPAT32_H
#define COMPAT32_H

struct ipc_map;
struct io_uring_ipc_channel_attach;

/* ipc_map() in a program that was built without -D_FILE_OFFSET_BITS=64. */
int map_with_short_off_t(struct ipc_map *map,
			 const struct io_uring_ipc_channel_attach *attach);

#endif /* COMPAT32_H */
