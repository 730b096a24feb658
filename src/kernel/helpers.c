// SPDX-License-Identifier: GPL-2.0
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/anon_inodes.h>
#include <linux/build_bug.h>
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/debugfs.h>
#include <linux/fault-inject-usercopy.h>
#include <linux/futex.h>
#include <linux/ipc_namespace.h>
#include <linux/mm.h>
#include <linux/nsproxy.h>
#include <linux/pagemap.h>
#include <linux/percpu.h>
#include <linux/ratelimit.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>
#include <linux/user_namespace.h>
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

void ioipc_xa_mark(struct xarray *xa, unsigned long index)
{
	xa_set_mark(xa, index, XA_MARK_1);
}

int ioipc_xa_insert(struct xarray *xa, unsigned long index, void *entry,
		    bool marked)
{
	int ret;

	ret = xa_insert(xa, index, entry, IOIPC_GFP);
	if (!ret && marked)
		ioipc_xa_mark(xa, index);
	return ret;
}

void *ioipc_xa_first_marked(struct xa_state *xas, struct xarray *xa,
			    unsigned long index)
{
	*xas = (struct xa_state)__XA_STATE(xa, index, 0, 0);
	return ioipc_xa_next_marked(xas);
}

void *ioipc_xa_next_marked(struct xa_state *xas)
{
	void *entry;

	do {
		/*
		 * Others set and clear marks meanwhile, and xarray reads them
		 * as if they did not.  Whoever is not seen yet looks at the
		 * ring after it has attached: (C) and (D) in src/ring.
		 */
		entry = data_race(xas_next_marked(xas, ULONG_MAX, XA_MARK_1));
	} while (xas_retry(xas, entry));
	return entry;
}

int ioipc_xa_reserve_cyclic(struct xarray *xa, u32 *index, u32 *next)
{
	return xa_alloc_cyclic(xa, index, NULL, XA_LIMIT(1, INT_MAX), next,
			       IOIPC_GFP);
}

bool ioipc_is_memory_left(unsigned long nr_pages)
{
	return si_mem_available() > nr_pages;
}

void *ioipc_vmap(struct page **pages, unsigned int nr_pages)
{
	/* as vmalloc() does it, so that page tables fail and kill nobody */
	unsigned int flags = memalloc_noreclaim_save();
	void *base = vmap(pages, nr_pages, VM_MAP, PAGE_KERNEL);

	memalloc_noreclaim_restore(flags);
	return base;
}

/* Up to here, a few moves are faster than starting a string instruction. */
#define SMALL_COPY	128

/* Reads the first and the last byte. */
static __always_inline bool probe_ends(const u8 __user *from,
				       unsigned long size)
{
	u8 byte;

	if (!user_read_access_begin(from, size))
		return false;
	unsafe_get_user(byte, from, fault);
	unsafe_get_user(byte, from + size - 1, fault);
	user_read_access_end();
	return true;
fault:
	user_read_access_end();
	return false;
}

unsigned long ioipc_probe_readable(const void __user *from, unsigned long size)
{
	unsigned long missing;

	if (!size)
		return 0;
	pagefault_disable();
	if (size <= PAGE_SIZE)
		missing = probe_ends(from, size) ? 0 : size;
	else
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

/* There is an unsafe_copy_to_user(), but not this on all architectures. */
static __always_inline unsigned long
copy_in_small(void *to, const void __user *from, unsigned long size)
{
	if (!user_read_access_begin(from, size))
		return size;
	for (; size >= 4 * sizeof(u64); size -= 4 * sizeof(u64)) {
		const u64 __user *words = from;
		u64 *copy = to;

		unsafe_get_user(copy[0], &words[0], fault);
		unsafe_get_user(copy[1], &words[1], fault);
		unsafe_get_user(copy[2], &words[2], fault);
		unsafe_get_user(copy[3], &words[3], fault);
		to += 4 * sizeof(u64);
		from += 4 * sizeof(u64);
	}
	for (; size >= sizeof(u64); size -= sizeof(u64)) {
		unsafe_get_user(*(u64 *)to, (const u64 __user *)from, fault);
		to += sizeof(u64);
		from += sizeof(u64);
	}
	for (; size; size--) {
		unsafe_get_user(*(u8 *)to, (const u8 __user *)from, fault);
		to++;
		from++;
	}
	user_read_access_end();
	return 0;
fault:
	user_read_access_end();
	return size;
}

/* Without @info if that is NULL. */
static __always_inline unsigned long
copy_out_small(void __user *to, const struct io_uring_ipc_msg_info *info,
	       const void *from, unsigned long size)
{
	unsigned long all = size + (info ? sizeof(*info) : 0);

	if (should_fail_usercopy() || !user_write_access_begin(to, all))
		return all;
	if (info) {
		unsafe_copy_to_user(to, (const void *)info, sizeof(*info), fault);
		to += sizeof(*info);
	}
	for (; size >= 4 * sizeof(u64); size -= 4 * sizeof(u64)) {
		u64 __user *copy = to;
		const u64 *words = from;

		unsafe_put_user(words[0], &copy[0], fault);
		unsafe_put_user(words[1], &copy[1], fault);
		unsafe_put_user(words[2], &copy[2], fault);
		unsafe_put_user(words[3], &copy[3], fault);
		to += 4 * sizeof(u64);
		from += 4 * sizeof(u64);
	}
	if (size)
		unsafe_copy_to_user(to, from, size, fault);
	user_write_access_end();
	return 0;
fault:
	user_write_access_end();
	return all;
}

unsigned long ioipc_copy_in(void *to, const void __user *from,
			    unsigned long size)
{
	unsigned long missing;

	/* __copy_from_user_inatomic() does not ask for it either */
	if (should_fail_usercopy())
		return size;

	pagefault_disable();
	if (size <= SMALL_COPY)
		missing = copy_in_small(to, from, size);
	else if (access_ok(from, size))
		missing = __copy_from_user_inatomic(to, from, size);
	else
		missing = size;
	pagefault_enable();
	return missing;
}

unsigned long ioipc_copy_out(void __user *to, const void *from,
			     unsigned long size)
{
	unsigned long missing;

	pagefault_disable();
	if (size <= SMALL_COPY)
		missing = copy_out_small(to, NULL, from, size);
	else if (access_ok(to, size))
		missing = __copy_to_user_inatomic(to, from, size);
	else
		missing = size;
	pagefault_enable();
	return missing;
}

unsigned long ioipc_copy_out_with_info(void __user *to,
				       const struct io_uring_ipc_msg_info *info,
				       const void *from, unsigned long size)
{
	unsigned long missing;

	if (size > SMALL_COPY) {
		missing = ioipc_copy_out(to, info, sizeof(*info));
		return missing ?: ioipc_copy_out(to + sizeof(*info), from, size);
	}
	pagefault_disable();
	missing = copy_out_small(to, info, from, size);
	pagefault_enable();
	return missing;
}

bool ioipc_fatal_signal_pending(void)
{
	return fatal_signal_pending(current);
}

void ioipc_cond_resched(void)
{
	cond_resched();
}

void ioipc_init_waitqueue(struct wait_queue_head *queue)
{
	init_waitqueue_head(queue);
}

bool ioipc_waitqueue_active(struct wait_queue_head *queue)
{
	/* callers have a full barrier before this, see (D) in src/ring/wake.rs */
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

/* A file whose operations do not block unless they are told to. */
struct file *ioipc_getfile(const char *name,
			   const struct file_operations *operations,
			   void *private)
{
	return anon_inode_getfile_fmode(name, operations, private, O_RDWR,
					FMODE_NOWAIT);
}

void *ioipc_page_address(struct page *page)
{
	return page_address(page);
}

void ioipc_current_sender(struct ioipc_sender *sender)
{
	sender->pid = task_tgid(current);
	sender->uid = current_euid();
	sender->gid = current_egid();
}

void ioipc_get_pid(struct pid *pid)
{
	get_pid(pid);
}

void ioipc_translate_sender(const struct ioipc_sender *sender,
			    struct io_uring_ipc_msg_info *info)
{
	struct user_namespace *user_ns = current_user_ns();

	info->pid = pid_nr_ns(sender->pid, task_active_pid_ns(current));
	info->uid = from_kuid_munged(user_ns, sender->uid);
	info->gid = from_kgid_munged(user_ns, sender->gid);
}

unsigned long ioipc_max_open_files(void)
{
	return rlimit(RLIMIT_NOFILE);
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

/* As in the links of /proc/PID/ns. */
unsigned int ioipc_current_ipc_ns_inum(void)
{
	return current->nsproxy ? current->nsproxy->ipc_ns->ns.inum : 0;
}

u64 __percpu *ioipc_alloc_percpu_counter(void)
{
	return alloc_percpu_gfp(u64, IOIPC_GFP);
}

void ioipc_free_percpu_counter(u64 __percpu *counter)
{
	free_percpu(counter);
}

void ioipc_percpu_counter_add(u64 __percpu *counter, u32 count)
{
	this_cpu_add(*counter, count);
}

u64 ioipc_percpu_counter_sum(u64 __percpu *counter)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(*per_cpu_ptr(counter, cpu));
	return sum;
}

struct dentry *ioipc_debugfs_create(const char *directory, const char *file,
				    const struct file_operations *operations,
				    void *data)
{
	struct dentry *parent = debugfs_create_dir(directory, NULL);

	debugfs_create_file(file, 0400, parent, data, operations);
	return parent;
}

void ioipc_debugfs_remove(struct dentry *directory)
{
	debugfs_remove(directory);
}

/* More than usual: they are told apart by their rules, and are seldom. */
#undef DEFAULT_RATELIMIT_BURST
#define DEFAULT_RATELIMIT_BURST	50

void ioipc_debug_refusal(const char *what, u64 number, const char *rule,
			 int error)
{
	pr_debug_ratelimited("pid %d, uid %u: %pe for %s %llu: %s\n",
			     task_tgid_nr(current),
			     from_kuid(&init_user_ns, current_fsuid()),
			     ERR_PTR(error), what, number, rule);
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
