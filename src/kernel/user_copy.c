// SPDX-License-Identifier: GPL-2.0
/*
 * Copies from and to user memory.  All but the last one fail on a page that is not
 * present: the module copies while it holds a slot of a ring, where it must not
 * sleep.
 */
#include <linux/fault-inject-usercopy.h>
#include <linux/futex.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/uaccess.h>

#include <asm/futex.h>

#include "helpers.h"

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

/*
 * memory/user_buffer.rs asks whether it can read; in Rust there is neither
 * pagefault_disable() nor unsafe_get_user().
 */
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
 * memory/user_buffer.rs asks whether it can write; in Rust there is neither
 * pagefault_disable() nor the futex operation.
 *
 * This adds 0 to a word of each page. fault_in_writeable() would write zeroes, and
 * a receive that finds no message must not change its buffer.
 */
unsigned long ioipc_probe_writable(void __user *to, unsigned long size)
{
	unsigned long address = (unsigned long)to;
	unsigned long end = address + size;
	unsigned long missing = 0;
	int old;

	if (!size)
		return 0;

	/* The operation checks the address, and the next page is one. */
	pagefault_disable();
	do {
		u32 __user *word = (u32 __user *)ALIGN_DOWN(address, sizeof(u32));

		if (arch_futex_atomic_op_inuser(FUTEX_OP_ADD, 0, &old, word)) {
			missing = end - address;
			break;
		}
		address = ALIGN_DOWN(address, PAGE_SIZE) + PAGE_SIZE;
	} while (address < end);
	pagefault_enable();
	return missing;
}

/* Not all architectures have an unsafe_copy_from_user(). */
static __always_inline unsigned long
copy_in_small(void *to, const void __user *from, unsigned long size)
{
	if (!user_read_access_begin(from, size))
		return size;
	for (; size >= 4 * sizeof(u64); size -= 4 * sizeof(u64)) {
		const u64 __user *words = from;
		u64 *copy = to;

		/* or the compiler computes each address anew */
		OPTIMIZER_HIDE_VAR(words);
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

		OPTIMIZER_HIDE_VAR(copy);
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

/*
 * memory/user_buffer.rs copies a message in; the kernel crate only copies where
 * page faults are allowed.
 */
unsigned long ioipc_copy_in(void *to, const void __user *from,
			    unsigned long size)
{
	unsigned long missing;

	/* __copy_from_user_inatomic() does not inject faults either */
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

/*
 * memory/user_buffer.rs copies a message out; the kernel crate only copies where
 * page faults are allowed.
 */
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

/*
 * memory/user_buffer.rs copies a message out behind its info; two calls from
 * Rust would open user memory twice.
 */
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

/* uapi.rs; copy_struct_from_user() is an inline function. */
int ioipc_copy_struct_in(void *to, unsigned long known, const void __user *from,
			 unsigned long size)
{
	if (size > PAGE_SIZE)
		return -E2BIG;
	return copy_struct_from_user(to, known, from, size);
}
