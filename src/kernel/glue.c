// SPDX-License-Identifier: GPL-2.0
/*
 * Files, debugfs, log, workqueue and memory of the module.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/anon_inodes.h>
#include <linux/build_bug.h>
#include <linux/cred.h>
#include <linux/debugfs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/ratelimit.h>
#include <linux/sched/mm.h>
#include <linux/seq_file.h>
#include <linux/string_helpers.h>
#include <linux/user_namespace.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

#include <uapi/linux/io_uring.h>
#include <uapi/linux/io_uring/bpf_filter.h>
#include <uapi/linux/io_uring/ipc.h>
#include <uapi/linux/io_uring/query.h>

#include "helpers.h"

/* The UAPI header of the module has its own names for the numbers of io_uring. */
static_assert(IOIPC_OP_SEND == IORING_OP_IPC_SEND);
static_assert(IOIPC_OP_RECV == IORING_OP_IPC_RECV);
static_assert(IOIPC_REGISTER_CREATE == IORING_REGISTER_IPC_CHANNEL_CREATE);
static_assert(IOIPC_REGISTER_ATTACH == IORING_REGISTER_IPC_CHANNEL_ATTACH);
static_assert(IOIPC_REGISTER_DETACH == IORING_REGISTER_IPC_CHANNEL_DETACH);
static_assert(IOIPC_REGISTER_DESTROY == IORING_REGISTER_IPC_CHANNEL_DESTROY);
static_assert(offsetof(struct io_uring_bpf_ctx, ipc.id) == IOIPC_FILTER_ID);
static_assert(offsetof(struct io_uring_bpf_ctx, ipc.target) ==
	      IOIPC_FILTER_FILE_INDEX);
static_assert(offsetof(struct io_uring_bpf_ctx, ipc.flags) ==
	      IOIPC_FILTER_RW_FLAGS);
static_assert(offsetof(struct io_uring_bpf_ctx, ipc.len) == IOIPC_FILTER_LEN);
static_assert(sizeof(struct io_uring_bpf_ipc) == IOIPC_FILTER_SIZE);
static_assert(IOIPC_QUERY == IO_URING_QUERY_IPC);

/*
 * kernel/file.rs; FMODE_NOWAIT is a macro with a cast: no operation of the file
 * blocks, unless its caller asks for that.  The inode belongs to this file alone,
 * so that security modules can label it.
 */
struct file *ioipc_getfile(const char *name,
			   const struct file_operations *operations,
			   void *private)
{
	struct file *file;

	file = anon_inode_create_getfile(name, operations, private, O_RDWR,
					 NULL);
	if (!IS_ERR(file))
		file->f_mode |= FMODE_NOWAIT;
	return file;
}

/* kernel/seq_table.rs; some kernels have debugfs_create_file() only inline. */
struct dentry *ioipc_debugfs_create(const char *directory, const char *file,
				    const struct file_operations *operations,
				    void *data)
{
	struct dentry *parent = debugfs_create_dir(directory, NULL);

	debugfs_create_file(file, 0400, parent, data, operations);
	return parent;
}

/* kernel/seq_table.rs; some kernels have debugfs_remove() only inline. */
void ioipc_debugfs_remove(struct dentry *directory)
{
	debugfs_remove(directory);
}

/* kernel/seq_table.rs; DEFINE_SEQ_ATTRIBUTE() is a macro. */
int ioipc_seq_open(struct inode *inode, struct file *file,
		   const struct seq_operations *operations)
{
	int ret = seq_open(file, operations);

	if (!ret)
		((struct seq_file *)file->private_data)->private = inode->i_private;
	return ret;
}

/* The usual burst is too small: refusals are rare, and each has its own rule. */
#undef DEFAULT_RATELIMIT_BURST
#define DEFAULT_RATELIMIT_BURST	50

#define NAME_ESCAPES	(ESCAPE_HEX | ESCAPE_NAP | ESCAPE_APPEND)
#define NAME_SPECIAL	"\\ "

/* observe/trace.h and the log below; the kernel crate does not escape strings. */
void ioipc_escape(char *to, size_t size, const char *name)
{
	int len = string_escape_str(name, to, size - 1, NAME_ESCAPES, NAME_SPECIAL);

	to[min_t(size_t, len, size - 1)] = 0;
}

/* kernel/seq_table.rs; the kernel crate does not escape strings. */
void ioipc_seq_escape(struct seq_file *out, const char *name)
{
	seq_escape_mem(out, name, strlen(name), NAME_ESCAPES, NAME_SPECIAL);
}

static const char *text_of(char *text, size_t size, u64 number, const char *name)
{
	if (name)
		ioipc_escape(text, size, name);
	else
		snprintf(text, size, "%llu", number);
	return text;
}

/* kernel/log.rs; the kernel crate has neither dynamic debug nor ratelimits. */
void ioipc_debug_refusal(const char *what, u64 number, const char *name,
			 const char *rule, int error)
{
	char text[IOIPC_MAX_NAME + 1];

	pr_debug_ratelimited("pid %d, uid %u: %pe for %s %s: %s\n",
			     task_tgid_nr(current),
			     from_kuid(&init_user_ns, current_fsuid()),
			     ERR_PTR(error), what,
			     text_of(text, sizeof(text), number, name), rule);
}

/* kernel/rcu.rs; alloc_workqueue() is a macro. */
struct workqueue_struct *ioipc_alloc_workqueue(void)
{
	return alloc_workqueue("io_uring_ipc", WQ_UNBOUND, 0);
}

/* kernel/rcu.rs; INIT_RCU_WORK() is a macro with a lock class of its own. */
void ioipc_queue_rcu_work(struct workqueue_struct *queue, struct rcu_work *work,
			  work_func_t function)
{
	INIT_RCU_WORK(work, function);
	queue_rcu_work(queue, work);
}

/* kernel/later.rs; INIT_DELAYED_WORK() is a macro with a lock class of its own. */
void ioipc_init_later(struct delayed_work *work, work_func_t function)
{
	INIT_DELAYED_WORK(work, function);
}

/* kernel/later.rs; queue_delayed_work() is an inline function. */
void ioipc_arm_later(struct delayed_work *work)
{
	queue_delayed_work(system_dfl_wq, work, msecs_to_jiffies(10));
}

/*
 * memory/region.rs; the kernel crate does not wrap si_mem_available().
 *
 * si_mem_available() takes off the high watermarks as they were at boot. Where
 * memory is fragmented, the kernel raises the watermarks up to two and a half
 * times that, and kills processes below them. 1/32 of the memory is more, from
 * 128 MiB on.
 */
bool ioipc_is_memory_left(unsigned long nr_pages)
{
	return si_mem_available() > nr_pages + totalram_pages() / 32;
}

/* kernel/mapping.rs; the kernel crate has neither vmap() nor memalloc scopes. */
void *ioipc_vmap(struct page **pages, unsigned int nr_pages)
{
	/* as vmalloc() does it, so that page tables fail and kill no process */
	unsigned int flags = memalloc_noreclaim_save();
	void *base = vmap(pages, nr_pages, VM_MAP, PAGE_KERNEL);

	memalloc_noreclaim_restore(flags);
	return base;
}

/* memory/cursor_page.rs; page_address() is a macro or an inline function. */
void *ioipc_page_address(struct page *page)
{
	return page_address(page);
}

/* kernel/percpu.rs; the kernel crate has no per-CPU memory. */
u64 __percpu *ioipc_alloc_percpu_counter(void)
{
	return alloc_percpu_gfp(u64, IOIPC_GFP);
}

/* kernel/percpu.rs; the kernel crate has no per-CPU memory. */
void ioipc_free_percpu_counter(u64 __percpu *counter)
{
	free_percpu(counter);
}

/* kernel/percpu.rs; this_cpu_add() is a macro. */
void ioipc_percpu_counter_add(u64 __percpu *counter, u32 count)
{
	this_cpu_add(*counter, count);
}

/* kernel/percpu.rs; per_cpu_ptr() is a macro. */
u64 ioipc_percpu_counter_sum(u64 __percpu *counter)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(*per_cpu_ptr(counter, cpu));
	return sum;
}

/* The macro module! in main.rs has no version.  docs/CHANGELOG.md has the same. */
MODULE_VERSION("0.1.0");
