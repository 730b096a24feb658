// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "failure.h"
#include "harness.h"
#include "message.h"
#include "process.h"

#define PAUSE_NS	1000000

void source_init(struct source *source, unsigned int sender, unsigned int nr_buffers, size_t size)
{
	size_t stride = (size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;

	*source = (struct source){
		/* Page aligned, and not shared with other processes. */
		.buffers = mmap(NULL, nr_buffers * stride, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
		.nr_buffers = nr_buffers,
		.words = size / sizeof(uint64_t),
		.stride = stride / sizeof(uint64_t),
		/* As TAG_STEP is odd, two senders have the same tag only after 2^59 messages. */
		.tag = (uint64_t)sender << 59,
	};
	if (source->buffers == MAP_FAILED)
		job_failed("mmap: %s", strerror(errno));
	memset(source->buffers, 0x5a, nr_buffers * stride);
}

void crowd_complete(struct crowd *crowd)
{
	crowd->end_ns = now_ns();
	atomic_store(&crowd->complete, 1);
	futex_wake(&crowd->complete, 1);
}

void sink_wrong_length(const struct sink *sink, size_t length)
{
	job_failed("a message of %zu bytes was received, not of %zu", length, sink->size);
}

void sink_pause(void)
{
	struct timespec pause = { .tv_nsec = PAUSE_NS };

	nanosleep(&pause, NULL);
}
