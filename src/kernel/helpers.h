/* SPDX-License-Identifier: GPL-2.0 */
/*
 * C that Rust cannot call directly: macros and inline functions that the
 * kernel crate has no wrapper for.  Each helper does the one thing that its
 * name says after the prefix.  The C files say which Rust file calls a helper,
 * and why Rust cannot do it.
 */
#ifndef _IOIPC_HELPERS_H
#define _IOIPC_HELPERS_H

#include <linux/fs.h>
#include <linux/poll.h>
#include <linux/seq_file.h>
#include <linux/uidgid.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include <uapi/linux/io_uring/ipc.h>

/*
 * For all that the module allocates because user space wants it: the allocation
 * fails where there is no memory, also none in the cgroup, and kills no process.
 */
#define IOIPC_GFP	(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

/*
 * user_copy.c: access to user memory that fails on a page that is not present.
 * Each returns 0, or how many bytes are missing at least.
 */
unsigned long ioipc_probe_readable(const void __user *from, unsigned long size);
unsigned long ioipc_probe_writable(void __user *to, unsigned long size);
unsigned long ioipc_copy_in(void *to, const void __user *from,
			    unsigned long size);
unsigned long ioipc_copy_out(void __user *to, const void *from,
			     unsigned long size);

/* The same for @info and @size bytes after it. */
unsigned long ioipc_copy_out_with_info(void __user *to,
				       const struct io_uring_ipc_msg_info *info,
				       const void *from, unsigned long size);

/*
 * Copies a struct of @size bytes to one of which @known bytes are known.  Bytes
 * that are missing are zero.  Returns 0, -EFAULT, or -E2BIG if other bytes than
 * the known ones are not zero, or there are more bytes than in a page.  May sleep.
 */
int ioipc_copy_struct_in(void *to, unsigned long known, const void __user *from,
			 unsigned long size);

/* creds.c */

/* The sender of a message. */
struct ioipc_sender {
	struct pid *pid;
	kuid_t uid;
	kgid_t gid;
};

/* The current task, without a reference. */
struct ioipc_sender ioipc_current_sender(void);
/* Takes a reference to the process. */
void ioipc_get_sender(const struct ioipc_sender *sender);
/* Fills in what the current task sees of a sender in its namespaces. */
void ioipc_translate_sender(const struct ioipc_sender *sender,
			    struct io_uring_ipc_msg_info *info);

unsigned long ioipc_max_open_files(void);
kuid_t ioipc_current_fsuid(void);
uid_t ioipc_current_translates_uid(kuid_t uid);
kgid_t ioipc_current_fsgid(void);
u64 ioipc_current_ipc_ns_id(void);
unsigned int ioipc_current_ipc_ns_inum(void);
bool ioipc_current_is_ipc_owner(void);

/* fds.c */

/*
 * Takes a reference to the file of a descriptor: fails with -EBADF if there is
 * none, with -EINVAL if no message may hold the file.
 */
struct file *ioipc_get_file_to_pass(unsigned int fd);
/* The user that files in flight count for, as the initial user namespace has it. */
uid_t ioipc_current_real_user(void);
/* Whether the current task may have more files in flight than its limit says. */
bool ioipc_current_may_exceed_files(void);

/* wait.c */

void ioipc_init_waitqueue(struct wait_queue_head *queue);
/*
 * Wakes all waiters, but of the exclusive ones only the first that cares, unless
 * @to_all; returns whether others of these are left.
 */
bool ioipc_wake(struct wait_queue_head *queue, bool to_all);
/* Wakes all waiters. */
void ioipc_wake_all(struct wait_queue_head *queue, unsigned int events);
unsigned int ioipc_poll_requested_events(struct poll_table_struct *table);
void ioipc_cond_resched(void);
bool ioipc_fatal_signal_pending(void);

/* xarray.c */

/* An array, and the index that it tries next when it reserves one. */
struct ioipc_xarray {
	struct xarray xa;
	u32 next;
};

void ioipc_xa_init(struct ioipc_xarray *array, gfp_t flags);
/* Puts @entry in a place that is @reserved, or else in an empty one. */
int ioipc_xa_put(struct xarray *xa, unsigned long index, void *entry,
		 bool reserved, bool marked);
int ioipc_xa_reserve_cyclic(struct ioipc_xarray *array, u32 *index);

/* Go through the marked entries from @index on; for RCU readers. */
void *ioipc_xa_first_marked(struct xa_state *xas, struct xarray *xa,
			    unsigned long index);
void *ioipc_xa_next_marked(struct xa_state *xas);

/* glue.c */

struct file *ioipc_getfile(const char *name,
			   const struct file_operations *operations,
			   void *private);

/* Makes a directory with a file that only root can read. */
struct dentry *ioipc_debugfs_create(const char *directory, const char *file,
				    const struct file_operations *operations,
				    void *data);
void ioipc_debugfs_remove(struct dentry *directory);
/* Opens a file whose inode refers to what the operations need. */
int ioipc_seq_open(struct inode *inode, struct file *file,
		   const struct seq_operations *operations);

/*
 * Show a name as one word of printable ASCII: all else, spaces and backslashes
 * are hexadecimal.  ioipc_escape() cuts the name if there is not enough room.
 */
void ioipc_escape(char *to, size_t size, const char *name);
void ioipc_seq_escape(struct seq_file *out, const char *name);

/*
 * Logs what the kernel refuses the current task, if dynamic debug is on: the
 * first 50 refusals in five seconds, and how many it left out.  What the task has
 * asked for has a @name, or if that is NULL a @number.
 */
void ioipc_debug_refusal(const char *what, u64 number, const char *name,
			 const char *rule, int error);

struct workqueue_struct *ioipc_alloc_workqueue(void);
void ioipc_queue_rcu_work(struct workqueue_struct *queue, struct rcu_work *work,
			  work_func_t function);

void ioipc_init_later(struct delayed_work *work, work_func_t function);
/* Has the work done 10 ms from now, unless it is going to be done anyway. */
void ioipc_arm_later(struct delayed_work *work);

/* Whether there are more pages than those that the kernel keeps in reserve. */
bool ioipc_is_memory_left(unsigned long nr_pages);
void *ioipc_vmap(struct page **pages, unsigned int nr_pages);
void *ioipc_page_address(struct page *page);

u64 __percpu *ioipc_alloc_percpu_counter(void);
void ioipc_free_percpu_counter(u64 __percpu *counter);
void ioipc_percpu_counter_add(u64 __percpu *counter, u32 count);
u64 ioipc_percpu_counter_sum(u64 __percpu *counter);

#endif
