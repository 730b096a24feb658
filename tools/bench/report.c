// SPDX-License-Identifier: GPL-2.0
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "report.h"

static const struct {
	const char *name;
	double value;
} percentiles[] = {
	{ "p50", 50 },
	{ "p99", 99 },
	{ "p99.9", 99.9 },
	{ "max", 100 },
};

#define NR_PERCENTILES	(sizeof(percentiles) / sizeof(*percentiles))

static const char *const outcome_names[] = {
	[OUTCOME_OK] = "ok",
	[OUTCOME_NA] = "n/a",
	[OUTCOME_FAILED] = "error",
	[OUTCOME_TIMEOUT] = "timeout",
};

struct cell *table_cell(const struct table *table, unsigned int mechanism, unsigned int size)
{
	return &table->cells[mechanism * MAX_SIZES + size];
}

void cell_add(struct cell *cell, const struct job_result *result)
{
	cell->outcome = result->outcome;
	memcpy(cell->reason, result->reason, sizeof(cell->reason));
	if (result->outcome != OUTCOME_OK)
		return;
	cell->senders_ns[cell->runs] = result->senders_ns_per_message;
	cell->ns[cell->runs++] = result->ns_per_message;
	cell->messages += result->messages;
	cell->lost += result->lost;
}

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

void cell_finish(struct cell *cell)
{
	memcpy(cell->sorted, cell->ns, sizeof(cell->sorted));
	qsort(cell->sorted, cell->runs, sizeof(*cell->sorted), compare);
	qsort(cell->senders_ns, cell->runs, sizeof(*cell->senders_ns), compare);
}

static double median_of(const double *sorted, unsigned int count)
{
	unsigned int middle = count / 2;

	if (count % 2)
		return sorted[middle];
	return (sorted[middle - 1] + sorted[middle]) / 2;
}

static double median(const struct cell *cell)
{
	return median_of(cell->sorted, cell->runs);
}

static double spread(const struct cell *cell)
{
	return (cell->sorted[cell->runs - 1] - cell->sorted[0]) / median(cell);
}

/* How many times as long as the reference; 0 if this is not known. */
static double ratio(const struct table *table, unsigned int mechanism, unsigned int size)
{
	const struct cell *cell;
	unsigned int i;

	for (i = 0; i < table->nr_mechanisms; i++) {
		cell = table_cell(table, i, size);
		if (!strcmp(table->mechanisms[i]->name, REFERENCE_MECHANISM) &&
		    cell->outcome == OUTCOME_OK)
			return median(table_cell(table, mechanism, size)) / median(cell);
	}
	return 0;
}

/* Prints sizes such as 64 or 4K. */
static void format_size(char *text, size_t len, size_t size)
{
	if (size % 1024)
		snprintf(text, len, "%zu", size);
	else
		snprintf(text, len, "%zuK", size / 1024);
}

static void print_cell(FILE *out, const struct table *table, unsigned int mechanism,
		       unsigned int size)
{
	const struct cell *cell = table_cell(table, mechanism, size);
	double times;

	if (cell->outcome != OUTCOME_OK) {
		fprintf(out, " %9s        ", outcome_names[cell->outcome]);
		return;
	}
	times = ratio(table, mechanism, size);
	fprintf(out, " %9.*f", median(cell) < 100, median(cell));
	if (times)
		fprintf(out, " %6.*fx", times < 0.1 ? 3 : 2, times);
	else
		fprintf(out, "        ");
}

/* The largest spread of a row. */
static void print_spread(FILE *out, const struct table *table, unsigned int mechanism)
{
	const struct cell *cell;
	double worst = -1;
	unsigned int i;

	for (i = 0; i < table->nr_sizes; i++) {
		cell = table_cell(table, mechanism, i);
		if (cell->outcome == OUTCOME_OK && spread(cell) > worst)
			worst = spread(cell);
	}
	if (worst >= 0)
		fprintf(out, " %5.1f%%", 100 * worst);
}

/* Whether an earlier cell has the same reason. */
static bool is_told(const struct table *table, unsigned int mechanism, unsigned int size)
{
	const char *reason = table_cell(table, mechanism, size)->reason;
	unsigned int i, j;

	for (i = 0; i <= mechanism; i++) {
		for (j = 0; j < (i < mechanism ? table->nr_sizes : size); j++) {
			if (!strcmp(table_cell(table, i, j)->reason, reason))
				return true;
		}
	}
	return false;
}

/* Prints each reason, and the mechanisms that gave it. */
static void print_reasons(FILE *out, const struct table *table)
{
	unsigned int i, j, k, l;
	const struct cell *cell;

	for (i = 0; i < table->nr_mechanisms; i++) {
		for (j = 0; j < table->nr_sizes; j++) {
			cell = table_cell(table, i, j);
			if (cell->outcome == OUTCOME_OK || is_told(table, i, j))
				continue;
			fprintf(out, "%s: %s:", outcome_names[cell->outcome], cell->reason);
			for (k = i; k < table->nr_mechanisms; k++) {
				for (l = 0; l < table->nr_sizes; l++) {
					if (strcmp(table_cell(table, k, l)->reason, cell->reason))
						continue;
					fprintf(out, " %s", table->mechanisms[k]->name);
					break;
				}
			}
			fprintf(out, "\n");
		}
	}
}

static void print_lost(FILE *out, const struct table *table)
{
	const struct cell *cell;
	unsigned int i, j;
	char size[24];

	for (i = 0; i < table->nr_mechanisms; i++) {
		for (j = 0; j < table->nr_sizes; j++) {
			cell = table_cell(table, i, j);
			if (cell->outcome != OUTCOME_OK || !cell->lost)
				continue;
			format_size(size, sizeof(size), table->sizes[j]);
			fprintf(out, "%s, %s: %.1f%% of what all should get was overwritten\n",
				table->mechanisms[i]->name, size,
				100 * (double)cell->lost /
				(double)(cell->messages * table->work->receivers));
		}
	}
}

/* Prints percentiles for the smallest messages. The JSON object has the others. */
static void print_percentiles(FILE *out, const struct table *table,
			      const struct circumstances *about)
{
	const struct cell *cell;
	unsigned int i, j;
	char size[24];

	format_size(size, sizeof(size), table->sizes[0]);
	fprintf(out, "\nround trips of %s bytes, %s\n%-17s", size, about->unit, "mechanism");
	for (j = 0; j < NR_PERCENTILES; j++)
		fprintf(out, " %9s", percentiles[j].name);
	fprintf(out, "\n");
	for (i = 0; i < table->nr_mechanisms; i++) {
		cell = table_cell(table, i, 0);
		if (cell->outcome != OUTCOME_OK)
			continue;
		fprintf(out, "%-17s", table->mechanisms[i]->name);
		for (j = 0; j < NR_PERCENTILES; j++)
			fprintf(out, " %9" PRId64,
				hdr_value_at_percentile(cell->histogram, percentiles[j].value));
		fprintf(out, "\n");
	}
}

/* Prints the processor time of the senders, which includes waking receivers. */
static void print_senders(FILE *out, const struct table *table, const struct circumstances *about)
{
	const struct cell *cell;
	unsigned int i, j;

	fprintf(out, "of that in the %s, %s per message\n",
		table->work->senders > 1 ? "senders" : "sender", about->unit);
	for (i = 0; i < table->nr_mechanisms; i++) {
		fprintf(out, "%-17s", table->mechanisms[i]->name);
		for (j = 0; j < table->nr_sizes; j++) {
			cell = table_cell(table, i, j);
			if (cell->outcome == OUTCOME_OK)
				fprintf(out, " %9.0f        ",
					median_of(cell->senders_ns, cell->runs));
			else
				fprintf(out, " %9s        ", outcome_names[cell->outcome]);
		}
		fprintf(out, "\n");
	}
}

void report_table(FILE *out, const struct table *table, const struct circumstances *about)
{
	unsigned int i, j;
	char size[24];

	fprintf(out, "\n%s: %s\n%s per %s, median of %u, and how many times as many as %s\n",
		table->work->name, table->work->what, about->unit,
		table->work->ping_pong ? "round trip" : "message", about->runs,
		REFERENCE_MECHANISM);
	fprintf(out, "%-17s", "bytes");
	for (j = 0; j < table->nr_sizes; j++) {
		format_size(size, sizeof(size), table->sizes[j]);
		fprintf(out, " %9s        ", size);
	}
	fprintf(out, " spread\n");
	for (i = 0; i < table->nr_mechanisms; i++) {
		fprintf(out, "%-17s", table->mechanisms[i]->name);
		for (j = 0; j < table->nr_sizes; j++)
			print_cell(out, table, i, j);
		print_spread(out, table, i);
		fprintf(out, "\n");
	}
	if (table->work->ping_pong)
		print_percentiles(out, table, about);
	else
		print_senders(out, table, about);
	print_lost(out, table);
	print_reasons(out, table);
	fflush(out);
}

static void kernel_version(char *text, size_t len)
{
	struct utsname name;

	uname(&name);
	snprintf(text, len, "%s %s %s", name.sysname, name.release, name.machine);
}

void report_circumstances(FILE *out, const struct circumstances *about)
{
	char kernel[256];

	kernel_version(kernel, sizeof(kernel));
	fprintf(out, "\n");
	if (about->note && *about->note)
		fprintf(out, "%s\n", about->note);
	fprintf(out, "%s\n%s\n%s\n", about->machine, kernel, about->command);
	fflush(out);
}

static void json_string(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fprintf(out, "\\%c", *text);
		else if ((unsigned char)*text < ' ')
			fprintf(out, "\\u%04x", (unsigned int)*text);
		else
			fputc(*text, out);
	}
	fputc('"', out);
}

static void json_field(FILE *out, const char *name, const char *text)
{
	fprintf(out, "\"%s\": ", name);
	json_string(out, text);
	fprintf(out, ", ");
}

static void json_measured(FILE *out, const struct table *table, unsigned int mechanism,
			  unsigned int size)
{
	const struct cell *cell = table_cell(table, mechanism, size);
	double times = ratio(table, mechanism, size);
	unsigned int i;

	fprintf(out, "\"median\": %.2f, \"min\": %.2f, \"max\": %.2f, \"runs\": [", median(cell),
		cell->sorted[0], cell->sorted[cell->runs - 1]);
	for (i = 0; i < cell->runs; i++)
		fprintf(out, "%s%.2f", i ? ", " : "", cell->ns[i]);
	fprintf(out, "], \"senders\": %.2f, ", median_of(cell->senders_ns, cell->runs));
	if (times)
		fprintf(out, "\"ratio\": %.4f, ", times);
	if (table->work->ping_pong) {
		fprintf(out, "\"percentiles\": {");
		for (i = 0; i < NR_PERCENTILES; i++)
			fprintf(out, "%s\"%s\": %" PRId64, i ? ", " : "", percentiles[i].name,
				hdr_value_at_percentile(cell->histogram, percentiles[i].value));
		fprintf(out, "}, ");
	}
	fprintf(out, "\"messages\": %" PRIu64 ", \"lost\": %" PRIu64, cell->messages, cell->lost);
}

static void json_cell(FILE *out, const struct table *table, unsigned int mechanism,
		      unsigned int size)
{
	const struct cell *cell = table_cell(table, mechanism, size);
	const struct work *work = table->work;

	fprintf(out, "{");
	json_field(out, "work", work->name);
	fprintf(out, "\"senders\": %u, \"receivers\": %u, \"to_all\": %s, ", work->senders,
		work->receivers, work->to_all ? "true" : "false");
	json_field(out, "mechanism", table->mechanisms[mechanism]->name);
	json_field(out, "what", table->mechanisms[mechanism]->what);
	fprintf(out, "\"size\": %zu, ", table->sizes[size]);
	json_field(out, "outcome", outcome_names[cell->outcome]);
	if (cell->outcome == OUTCOME_OK) {
		json_measured(out, table, mechanism, size);
	} else {
		fprintf(out, "\"reason\": ");
		json_string(out, cell->reason);
	}
	fprintf(out, "}");
}

void report_json(FILE *out, const struct table *tables, unsigned int nr_tables,
		 const struct circumstances *about)
{
	const char *separator = "";
	unsigned int t, i, j;
	char kernel[256];

	kernel_version(kernel, sizeof(kernel));
	fprintf(out, "{\n");
	json_field(out, "machine", about->machine);
	fprintf(out, "\n");
	json_field(out, "kernel", kernel);
	fprintf(out, "\n");
	json_field(out, "command", about->command);
	fprintf(out, "\n");
	json_field(out, "note", about->note ? about->note : "");
	fprintf(out, "\n");
	json_field(out, "unit", about->unit);
	fprintf(out, "\n\"runs\": %u,\n\"reference\": \"%s\",\n\"results\": [\n", about->runs,
		REFERENCE_MECHANISM);
	for (t = 0; t < nr_tables; t++) {
		for (i = 0; i < tables[t].nr_mechanisms; i++) {
			for (j = 0; j < tables[t].nr_sizes; j++) {
				fprintf(out, "%s", separator);
				json_cell(out, &tables[t], i, j);
				separator = ",\n";
			}
		}
	}
	fprintf(out, "\n]\n}\n");
	fflush(out);
}
