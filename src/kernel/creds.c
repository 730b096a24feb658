// SPDX-License-Identifier: GPL-2.0
/*
 * Credentials, namespaces and limits of the current task, and the pid of a sender.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/ipc_namespace.h>
#include <linux/nsproxy.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/sched/signal.h>
#include <linux/user_namespace.h>

#include "helpers.h"

/* kernel/identity.rs; the kernel crate has no struct pid and no current_egid(). */
struct ioipc_sender ioipc_current_sender(void)
{
	return (struct ioipc_sender) {
		.pid = task_tgid(current),
		.uid = current_euid(),
		.gid = current_egid(),
	};
}

/* kernel/identity.rs; get_pid() is an inline function. */
void ioipc_get_sender(const struct ioipc_sender *sender)
{
	get_pid(sender->pid);
}

/* kernel/identity.rs; the kernel crate does not translate pids and gids. */
void ioipc_translate_sender(const struct ioipc_sender *sender,
			    struct io_uring_ipc_msg_info *info)
{
	struct user_namespace *user_ns = current_user_ns();

	info->pid = pid_nr_ns(sender->pid, task_active_pid_ns(current));
	info->uid = from_kuid_munged(user_ns, sender->uid);
	info->gid = from_kgid_munged(user_ns, sender->gid);
}

/* channel/cred.rs; rlimit() is an inline function. */
unsigned long ioipc_max_open_files(void)
{
	return rlimit(RLIMIT_NOFILE);
}

/* channel/cred.rs; current_fsuid() is a macro. */
kuid_t ioipc_current_fsuid(void)
{
	return current_fsuid();
}

/* channel/cred.rs; the kernel crate has no overflow uid. */
uid_t ioipc_current_translates_uid(kuid_t uid)
{
	return from_kuid_munged(current_user_ns(), uid);
}

/* channel/cred.rs; current_fsgid() is a macro. */
kgid_t ioipc_current_fsgid(void)
{
	return current_fsgid();
}

/*
 * channel/cred.rs; the kernel crate has no IPC namespaces.
 *
 * A task has no namespaces late in its exit.  No namespace has the number 0.
 */
u64 ioipc_current_ipc_ns_id(void)
{
	return current->nsproxy ? current->nsproxy->ipc_ns->ns.ns_id : 0;
}

/*
 * channel/cred.rs; the kernel crate has no IPC namespaces.
 *
 * The number is that of the link /proc/PID/ns/ipc.
 */
unsigned int ioipc_current_ipc_ns_inum(void)
{
	return current->nsproxy ? current->nsproxy->ipc_ns->ns.inum : 0;
}

/* channel/cred.rs; the kernel crate has no IPC namespaces. */
bool ioipc_current_is_ipc_owner(void)
{
	return current->nsproxy &&
	       ns_capable(current->nsproxy->ipc_ns->user_ns, CAP_IPC_OWNER);
}
