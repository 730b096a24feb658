// SPDX-License-Identifier: GPL-2.0
#include <linux/build_bug.h>
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/futex.h>
#include <linux/ipc_namespace.h>
#include <linux/nsproxy.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include <asm/futex.h>

#include <uapi/linux/io_uring.h>
#include <uapi/linux/io_uring/ipc.h>

#include "helpers.h"

/* The UAPI header has the numbers under names of its own. */
static_assert(IOIPC_OP_SEND == IORING_OP_IPC_SEND);
static_assert(IOIPC_OP_RECV == IORING_OP_IPC_RECV);
static_assert(IOIPC_REGISTER_CREATE == IORING_REGISTER_IPC_CHANNEL_CREATE);
static_assert(IOIPC_REGISTER_ATTACH == IORING_REGISTER_IPC_CHANNEL_ATTACH);
static_assert(IOIPC_REGISTER_DETACH == IORING_REGISTER_IPC_CHANNEL_DETACH);
static_assert(IOIPC_REGISTER_DESTROY == IORING_REGISTER_IPC_CHANNEL_DESTROY);

int ioipc_xa_insert(struct xarray *xa, unsigned long index, void *entry)
{
	return xa_insert(xa, index, entry, GFP_KERNEL_ACCOUNT);
}

int ioipc_xa_reserve_cyclic(struct xarray *xa, u32 *index, u32 *next)
{
	return xa_alloc_cyclic(xa, index, NULL, XA_LIMIT(1, INT_MAX), next,
			       GFP_KERNEL_ACCOUNT);
}

void *ioipc_vmap(struct page **pages, unsigned int nr_pages)
{
	return vmap(pages, nr_pages, VM_MAP, PAGE_KERNEL);
}

unsigned long ioipc_probe_readable(const void __user *from, unsigned long size)
{
	unsigned long missing;

	pagefault_disable();
	missing = fault_in_readable(from, size);
	pagefault_enable();
	return missing;
}

/*
 * Writes a word of each page with the value that it has.  fault_in_writeable()
 * would write zeroes, and a receive that finds no message after all must not
 * change its buffer.
 */
unsigned long ioipc_probe_writable(void __user *to, unsigned long size)
{
	unsigned long address = (unsigned long)to;
	unsigned long end = address + size;
	unsigned long missing = 0;

	if (!size)
		return 0;
	if (!access_ok(to, size))
		return size;

	pagefault_disable();
	while (address < end) {
		u32 __user *word = (u32 __user *)ALIGN_DOWN(address, sizeof(u32));
		u32 old, current_value;

		if (__get_user(old, word) ||
		    futex_atomic_cmpxchg_inatomic(&current_value, word, old, old)) {
			missing = end - address;
			break;
		}
		address = ALIGN_DOWN(address, PAGE_SIZE) + PAGE_SIZE;
	}
	pagefault_enable();
	return missing;
}

unsigned long ioipc_copy_in(void *to, const void __user *from,
			    unsigned long size)
{
	unsigned long missing;

	if (!size)
		return 0;
	if (!access_ok(from, size))
		return size;
	pagefault_disable();
	missing = __copy_from_user_inatomic(to, from, size);
	pagefault_enable();
	return missing;
}

unsigned long ioipc_copy_out(void __user *to, const void *from,
			     unsigned long size)
{
	unsigned long missing;

	if (!size)
		return 0;
	if (!access_ok(to, size))
		return size;
	pagefault_disable();
	missing = __copy_to_user_inatomic(to, from, size);
	pagefault_enable();
	return missing;
}

bool ioipc_fatal_signal_pending(void)
{
	return fatal_signal_pending(current);
}

void ioipc_init_waitqueue(struct wait_queue_head *queue)
{
	init_waitqueue_head(queue);
}

bool ioipc_waitqueue_active(struct wait_queue_head *queue)
{
	/* callers have a full barrier before this, see poll() in channel.rs */
	return waitqueue_active(queue);
}

int ioipc_wake(struct wait_queue_head *queue, int nr, unsigned int events)
{
	return __wake_up(queue, TASK_NORMAL, nr,
			 poll_to_key((__force __poll_t)events));
}

unsigned int ioipc_poll_requested_events(struct poll_table_struct *table)
{
	return (__force unsigned int)poll_requested_events(table);
}

/* Says that operations on the file do not block unless they are told to. */
void ioipc_set_nowait(struct file *file)
{
	file->f_mode |= FMODE_NOWAIT;
}

kuid_t ioipc_current_fsuid(void)
{
	return current_fsuid();
}

kgid_t ioipc_current_fsgid(void)
{
	return current_fsgid();
}

/*
 * The namespace of a task is NULL late in its exit.  No namespace has the
 * number 0.
 */
u64 ioipc_current_ipc_ns_id(void)
{
	return current->nsproxy ? current->nsproxy->ipc_ns->ns.ns_id : 0;
}

bool ioipc_current_is_ipc_owner(void)
{
	return current->nsproxy &&
	       ns_capable(current->nsproxy->ipc_ns->user_ns, CAP_IPC_OWNER);
}

struct workqueue_struct *ioipc_alloc_workqueue(void)
{
	return alloc_workqueue("io_uring_ipc", WQ_UNBOUND, 0);
}

void ioipc_queue_rcu_work(struct workqueue_struct *queue, struct rcu_work *work,
			  work_func_t function)
{
	INIT_RCU_WORK(work, function);
	queue_rcu_work(queue, work);
}
