// SPDX-License-Identifier: GPL-2.0
/*
 * XArrays that readers search under RCU.
 */
#include <linux/xarray.h>

#include "helpers.h"

/* kernel/rcu_xarray.rs; xa_init_flags() is an inline function. */
void ioipc_xa_init(struct ioipc_xarray *array, gfp_t flags)
{
	xa_init_flags(&array->xa, flags);
	array->next = 0;
}

/* kernel/rcu_xarray.rs; xa_insert() and xa_err() are inline functions. */
int ioipc_xa_put(struct xarray *xa, unsigned long index, void *entry,
		 bool reserved, bool marked)
{
	int ret;

	if (reserved)
		ret = xa_err(xa_store(xa, index, entry, IOIPC_GFP));
	else
		ret = xa_insert(xa, index, entry, IOIPC_GFP);
	if (!ret && marked)
		xa_set_mark(xa, index, XA_MARK_1);
	return ret;
}

/* kernel/rcu_xarray.rs; xa_alloc_cyclic() is an inline function. */
int ioipc_xa_reserve_cyclic(struct ioipc_xarray *array, u32 *index)
{
	return xa_alloc_cyclic(&array->xa, index, NULL, XA_LIMIT(1, INT_MAX),
			       &array->next, IOIPC_GFP);
}

/* kernel/rcu_xarray.rs; XA_STATE() is a macro. */
void *ioipc_xa_first_marked(struct xa_state *xas, struct xarray *xa,
			    unsigned long index)
{
	*xas = (struct xa_state)__XA_STATE(xa, index, 0, 0);
	return ioipc_xa_next_marked(xas);
}

/* kernel/rcu_xarray.rs; xas_next_marked() is an inline function. */
void *ioipc_xa_next_marked(struct xa_state *xas)
{
	void *entry;

	do {
		/*
		 * Other tasks set and clear marks at the same time, and xarray
		 * reads the marks with plain loads.  A receiver that this
		 * search misses looks at the ring after it has attached: (C)
		 * and (D) in src/ring.
		 */
		entry = data_race(xas_next_marked(xas, ULONG_MAX, XA_MARK_1));
	} while (xas_retry(xas, entry));
	return entry;
}
