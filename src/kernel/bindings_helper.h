/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads for src/bindings.rs: the hook, the UAPI, and what the
 * kernel crate's own bindings do not have.
 */
#include <linux/anon_inodes.h>
#include <linux/io_uring/ipc.h>
#include <linux/vmalloc.h>
#include <linux/xarray.h>

#include <uapi/linux/io_uring/ipc.h>

#include "helpers.h"
#include "trace.h"

/* Macros with casts, which bindgen cannot read. */
static const gfp_t IOIPC_GFP_MAYFAIL = IOIPC_GFP;
static const gfp_t IOIPC_XA_FLAGS_IDS = XA_FLAGS_ALLOC1 | XA_FLAGS_ACCOUNT;
static const gfp_t IOIPC_XA_FLAGS_TABLE = XA_FLAGS_ACCOUNT;
static const u16 IOIPC_CMD_WAIT = IO_URING_IPC_WAIT;
static const u16 IOIPC_CMD_MULTISHOT = IO_URING_IPC_MULTISHOT;
static const u16 IOIPC_CMD_ALIGN = IO_URING_IPC_ALIGN;
static const u16 IOIPC_CMD_REST = IO_URING_IPC_REST;
static const u16 IOIPC_CMD_WOKEN = IO_URING_IPC_WOKEN;
static const u16 IOIPC_CMD_MORE = IO_URING_IPC_MORE;
static const u32 IOIPC_EPOLLIN = (__force u32)(EPOLLIN | EPOLLRDNORM);
static const u32 IOIPC_EPOLLOUT = (__force u32)(EPOLLOUT | EPOLLWRNORM);
static const u32 IOIPC_EPOLLHUP = (__force u32)EPOLLHUP;
static const u8 IOIPC_SQE_BUFFER_SELECT = IOSQE_BUFFER_SELECT;
