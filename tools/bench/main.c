// SPDX-License-Identifier: GPL-2.0
/*
 * Measures each mechanism in each work with messages of each size.  The runs of one
 * mechanism are spread between those of all others.  So load on the host affects all of
 * them.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "job.h"
#include "options.h"
#include "process.h"
#include "progress.h"
#include "report.h"

#define NS_PER_MS		1000000ULL
#define TARGET_MS		100
#define QUICK_TARGET_MS		10
#define GIVE_UP_SECONDS_REAL	60
/* Seconds of the guest, on a host that runs 100 million instructions in a second. */
#define GIVE_UP_SECONDS_ICOUNT	6

/* The space between senders and receivers, within these numbers of slots. */
#define BUFFER_SIZE		(4U << 20)
#define MIN_SLOTS		16
#define MAX_SLOTS		128

static const size_t all_sizes[] = { 64, 256, 1024, 4096, 16384, 32768, 262144 };
/* For works with many processes. */
static const size_t some_sizes[] = { 64, 4096, 32768 };
/* In the quick mode, for a stream, and for all other works. */
static const size_t two_sizes[] = { 64, 4096 };
static const size_t one_size[] = { 64 };

#define COUNT(array)	(sizeof(array) / sizeof(*(array)))

static void set_sizes(struct table *table, const size_t *sizes, size_t count)
{
	memcpy(table->sizes, sizes, count * sizeof(*sizes));
	table->nr_sizes = (unsigned int)count;
}

static void choose_sizes(struct table *table, const struct options *options)
{
	bool pair = work_processes(table->work) == 2 && !table->work->to_all;

	if (options->nr_sizes)
		set_sizes(table, options->sizes, options->nr_sizes);
	else if (!options->quick && pair)
		set_sizes(table, all_sizes, COUNT(all_sizes));
	else if (!options->quick)
		set_sizes(table, some_sizes, COUNT(some_sizes));
	else if (pair && !table->work->ping_pong)
		set_sizes(table, two_sizes, COUNT(two_sizes));
	else
		set_sizes(table, one_size, COUNT(one_size));
}

static void make_table(struct table *table, const struct work *work, const struct options *options)
{
	const struct mechanism *mechanisms[MAX_MECHANISMS];
	unsigned int i, j, count = all_mechanisms(mechanisms);

	*table = (struct table){ .work = work };
	choose_sizes(table, options);
	for (i = 0; i < count; i++) {
		if (wants_mechanism(options, mechanisms[i]) &&
		    !(work->ping_pong && mechanisms[i]->flags & MECHANISM_STREAMS) &&
		    !(!work->slow && mechanisms[i]->flags & MECHANISM_LOSSY) &&
		    !(work->calls && !(mechanisms[i]->flags & MECHANISM_CALLS)) &&
		    !(!work->calls && mechanisms[i]->flags & MECHANISM_ONLY_CALLS))
			table->mechanisms[table->nr_mechanisms++] = mechanisms[i];
	}
	table->cells = calloc(MAX_MECHANISMS * MAX_SIZES, sizeof(*table->cells));
	if (!table->cells)
		die("out of memory");
	for (i = 0; i < table->nr_mechanisms && work->ping_pong; i++) {
		for (j = 0; j < table->nr_sizes; j++)
			table_cell(table, i, j)->histogram = job_histogram();
	}
}

/* Returns a power of two. */
static unsigned int nr_slots(const struct work *work, size_t size)
{
	unsigned int slots = MIN_SLOTS;

	if (work->slots)
		return work->slots;
	while (slots < MAX_SLOTS && 2 * slots * size <= BUFFER_SIZE)
		slots *= 2;
	return slots;
}

/* Why the mechanism is not even tried, or NULL. */
static const char *unfit(const struct mechanism *mechanism, const struct work *work, size_t size)
{
	if (mechanism->flags & MECHANISM_POLLS && work_processes(work) > nr_processors())
		return "there are not as many processors as processes that poll";
	return mechanism->unfit ? mechanism->unfit(mechanism, work, size) : NULL;
}

static void measure(const struct table *table, unsigned int mechanism, unsigned int size,
		    const struct options *options)
{
	struct cell *cell = table_cell(table, mechanism, size), *smaller;
	struct job_result result = { .outcome = OUTCOME_NA };
	struct job job = {
		.mechanism = table->mechanisms[mechanism],
		.work = table->work,
		.size = table->sizes[size],
		.slots = nr_slots(table->work, table->sizes[size]),
		.batch = table->work->ping_pong ? 1 : table->mechanisms[mechanism]->batch,
		.verify = !cell->runs,
		.threads = options->threads,
		.target_ns = (options->quick ? QUICK_TARGET_MS : TARGET_MS) * NS_PER_MS,
		.give_up_seconds = options->icount ? GIVE_UP_SECONDS_ICOUNT : GIVE_UP_SECONDS_REAL,
	};
	const char *why;

	/* A failure stays, and a timeout takes long. */
	if (cell->outcome != OUTCOME_OK)
		return;
	smaller = size ? table_cell(table, mechanism, size - 1) : cell;
	why = unfit(job.mechanism, job.work, job.size);
	if (smaller->outcome == OUTCOME_TIMEOUT)
		why = "not tried after a timeout with smaller messages";
	if (why)
		snprintf(result.reason, sizeof(result.reason), "%s", why);
	else
		job_run(&job, cell->histogram, &result);
	cell_add(cell, &result);
}

static void measure_table(const struct table *table, const struct options *options)
{
	unsigned int size, run, mechanism;

	for (size = 0; size < table->nr_sizes; size++) {
		for (run = 0; run < options->runs; run++) {
			for (mechanism = 0; mechanism < table->nr_mechanisms; mechanism++) {
				progress_step("%s, %zu bytes, run %u of %u: %s", table->work->name,
					      table->sizes[size], run + 1, options->runs,
					      table->mechanisms[mechanism]->name);
				measure(table, mechanism, size, options);
			}
		}
	}
}

/* Ends the table; returns whether no mechanism has failed. */
static bool finish_table(const struct table *table)
{
	unsigned int size, mechanism;
	bool ok = true;

	for (size = 0; size < table->nr_sizes; size++) {
		for (mechanism = 0; mechanism < table->nr_mechanisms; mechanism++) {
			struct cell *cell = table_cell(table, mechanism, size);

			cell_finish(cell);
			ok &= cell->outcome == OUTCOME_OK || cell->outcome == OUTCOME_NA;
		}
	}
	return ok;
}

int main(int argc, char **argv)
{
	static struct table tables[MAX_MECHANISMS];
	unsigned int nr_tables = 0, steps = 0, i;
	struct circumstances about;
	struct options options;
	const struct work *work;
	bool ok = true;

	parse_options(argc, argv, &options);
	/* The processes of all jobs inherit it: a woken process does not preempt its waker. */
	if (options.icount && sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){}))
		die("sched_setscheduler: %s", strerror(errno));
	for (work = works; work->name; work++) {
		if (!wants_work(&options, work))
			continue;
		make_table(&tables[nr_tables], work, &options);
		steps += tables[nr_tables].nr_mechanisms * tables[nr_tables].nr_sizes *
			 options.runs;
		nr_tables++;
	}
	about = (struct circumstances){
		.machine = options.machine,
		.command = options.command,
		.unit = options.icount ? "instructions" : "ns",
		.note = options.note,
		.runs = options.runs,
	};
	progress_start(steps, options.bar);
	for (i = 0; i < nr_tables; i++) {
		measure_table(&tables[i], &options);
		ok &= finish_table(&tables[i]);
		progress_clear();
		report_table(stdout, &tables[i], &about);
	}
	report_circumstances(stdout, &about);
	if (options.json)
		report_json(stdout, tables, nr_tables, &about);
	return ok ? 0 : 1;
}
