// SPDX-License-Identifier: GPL-2.0
/*
 * Files that a message carries.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/io_uring.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/sched/user.h>
#include <net/sock.h>

#include "helpers.h"

static bool is_unix_socket(struct file *file)
{
	struct socket *sock = NULL;

	if (IS_ENABLED(CONFIG_UNIX))
		sock = sock_from_file(file);
	return sock && sock->sk && sock->sk->sk_family == AF_UNIX;
}

/*
 * A message that is never received holds its files.  The files that it must not
 * hold are those that could hold the channel in turn: then neither would ever be
 * freed.  Subscribers have the only files of this module that have descriptors.
 */
static bool may_hold_channel(struct file *file)
{
	return file->f_op->owner == THIS_MODULE || io_is_uring_fops(file) ||
	       is_unix_socket(file);
}

/* kernel/fds.rs; the kernel crate knows neither these files nor those of paths. */
struct file *ioipc_get_file_to_pass(unsigned int fd)
{
	struct file *file = fget_raw(fd);

	if (!file)
		return ERR_PTR(-EBADF);
	if (may_hold_channel(file)) {
		fput(file);
		return ERR_PTR(-EINVAL);
	}
	return file;
}

/* channel/in_flight.rs; the kernel crate has no struct user_struct. */
uid_t ioipc_current_real_user(void)
{
	return from_kuid(&init_user_ns, current_user()->uid);
}

/* channel/in_flight.rs; as for files that AF_UNIX passes. */
bool ioipc_current_may_exceed_files(void)
{
	return capable(CAP_SYS_RESOURCE) || capable(CAP_SYS_ADMIN);
}
