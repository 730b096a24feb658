// SPDX-License-Identifier: GPL-2.0
/*
 * Wait queues, and what a task does that runs for long.
 */
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/wait.h>

#include "helpers.h"

/* kernel/wait.rs; init_waitqueue_head() is a macro with a lock class of its own. */
void ioipc_init_waitqueue(struct wait_queue_head *queue)
{
	init_waitqueue_head(queue);
}

/* kernel/wait.rs; looks at fields of wait queues. */
bool ioipc_wake(struct wait_queue_head *queue, bool to_all)
{
	struct wait_queue_entry *last;
	unsigned long flags;
	bool is_left;

	/* no events: a watcher that is told of them does not look for itself */
	if (!__wake_up(queue, TASK_NORMAL, to_all ? 0 : 1, NULL) || to_all)
		return false;
	spin_lock_irqsave(&queue->lock, flags);
	/* exclusive waiters enter the queue behind the others */
	last = list_empty(&queue->head) ? NULL :
	       list_last_entry(&queue->head, struct wait_queue_entry, entry);
	is_left = last && (last->flags & WQ_FLAG_EXCLUSIVE);
	spin_unlock_irqrestore(&queue->lock, flags);
	return is_left;
}

/* kernel/wait.rs; poll_to_key() is a macro. */
void ioipc_wake_all(struct wait_queue_head *queue, unsigned int events)
{
	__wake_up(queue, TASK_NORMAL, 0, poll_to_key((__force __poll_t)events));
}

/* kernel/file.rs; poll_requested_events() is an inline function. */
unsigned int ioipc_poll_requested_events(struct poll_table_struct *table)
{
	return (__force unsigned int)poll_requested_events(table);
}

/* kernel/rcu.rs; cond_resched() is a macro or an inline function. */
void ioipc_cond_resched(void)
{
	cond_resched();
}

/* kernel/rcu.rs and memory/region.rs; fatal_signal_pending() is an inline function. */
bool ioipc_fatal_signal_pending(void)
{
	return fatal_signal_pending(current);
}
