// SPDX-License-Identifier: GPL-2.0
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

#define RUNS		5
#define QUICK_RUNS	3

static const char help[] =
	"usage: bench [OPTION]...\n"
	"\n"
	"Measures IPC channels and other mechanisms for messages between processes, on this\n"
	"kernel, and prints tables.  tools/bench/run calls it in a virtual machine.\n"
	"\n"
	"  --quick           fewer works, sizes and runs\n"
	"  --icount          the clock counts instructions: leave out mechanisms that poll\n"
	"  --threads         threads of one process instead of processes\n"
	"  --only NAME,...   only these mechanisms; \"ipc\" is all whose names begin with ipc-\n"
	"  --work NAME,...   only these works; \"fan-out\" is all whose names begin with fan-out-\n"
	"  --sizes N,...     only messages of these sizes in bytes, such as 64,4K\n"
	"  --runs N          how often each is measured (default: 5, with --quick 3,\n"
	"                    with --quick --icount 1)\n"
	"  --list            print the names of all works and mechanisms\n"
	"  --json            print a JSON object too, after the tables\n"
	"  --bar             draw a progress bar, for a terminal\n"
	"  --machine TEXT    what to print for the machine\n"
	"  --command TEXT    what to print for the command line\n"
	"  --note TEXT       what to print with the results\n"
	"\n"
	"exit status: 0, 1 if a mechanism has failed or was too slow, 2 for wrong usage\n";

__attribute__((noreturn, format(printf, 1, 2)))
static void usage(const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "bench: ");
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "; see --help\n");
	exit(2);
}

/* Names of works or mechanisms. */
struct names {
	const char *what;
	const char *list[MAX_MECHANISMS];
	unsigned int count;
};

static const struct names *mechanism_names(void)
{
	static struct names names = { .what = "mechanism" };
	const struct mechanism *mechanisms[MAX_MECHANISMS];
	unsigned int i;

	if (!names.count) {
		names.count = all_mechanisms(mechanisms);
		for (i = 0; i < names.count; i++)
			names.list[i] = mechanisms[i]->name;
	}
	return &names;
}

static const struct names *work_names(void)
{
	static struct names names = { .what = "work" };
	const struct work *work;

	if (!names.count) {
		for (work = works; work->name; work++)
			names.list[names.count++] = work->name;
	}
	return &names;
}

/* Whether an item of a list is a name, or the part of a name before a hyphen. */
static bool item_is(const char *item, size_t len, const char *name, bool exactly)
{
	return !strncmp(item, name, len) && (!name[len] || (!exactly && name[len] == '-'));
}

/* An item that is itself a name does not stand for others. */
static bool item_selects(const char *item, size_t len, const char *name, const struct names *names)
{
	unsigned int i;

	for (i = 0; i < names->count; i++) {
		if (item_is(item, len, names->list[i], true))
			return item_is(item, len, name, true);
	}
	return item_is(item, len, name, false);
}

/* Returns the next item of a comma-separated list and its length, or NULL at the end. */
static const char *next_item(const char **list, size_t *len)
{
	const char *item = *list;

	if (!*item)
		return NULL;
	*len = strcspn(item, ",");
	*list += *len + (item[*len] == ',');
	return item;
}

static bool list_selects(const char *list, const char *name, const struct names *names)
{
	const char *item;
	size_t len;

	while ((item = next_item(&list, &len))) {
		if (item_selects(item, len, name, names))
			return true;
	}
	return false;
}

static void check_list(const char *list, const struct names *names)
{
	const char *item;
	unsigned int i;
	size_t len;

	if (!*list)
		usage("no %s is named", names->what);
	while ((item = next_item(&list, &len))) {
		for (i = 0; i < names->count; i++) {
			if (len && item_selects(item, len, names->list[i], names))
				break;
		}
		if (i == names->count)
			usage("there is no %s %.*s", names->what, (int)len, item);
	}
}

bool wants_mechanism(const struct options *options, const struct mechanism *mechanism)
{
	if (options->icount && mechanism->flags & MECHANISM_POLLS)
		return false;
	return !options->only || list_selects(options->only, mechanism->name, mechanism_names());
}

bool wants_work(const struct options *options, const struct work *work)
{
	if (!options->work)
		return !options->quick || work->daily;
	return list_selects(options->work, work->name, work_names());
}

static int compare_sizes(const void *a, const void *b)
{
	size_t left = *(const size_t *)a, right = *(const size_t *)b;

	return (left > right) - (left < right);
}

/* Sizes must be whole words: receivers add up words. */
static void parse_sizes(struct options *options, const char *list)
{
	const char *item;
	unsigned long size;
	char *end;
	size_t len;

	while ((item = next_item(&list, &len))) {
		size = strtoul(item, &end, 10);
		if (*end == 'K' || *end == 'k') {
			size *= 1024;
			end++;
		}
		if (item[0] == '-' || end != item + len || size < MIN_SIZE || size > MAX_SIZE ||
		    size % sizeof(uint64_t))
			usage("%.*s is not a multiple of 8 from %zu to %u", (int)len, item,
			      MIN_SIZE, MAX_SIZE);
		if (options->nr_sizes == MAX_SIZES)
			usage("there are more than %d sizes", MAX_SIZES);
		options->sizes[options->nr_sizes++] = size;
	}
	if (!options->nr_sizes)
		usage("no size is given");
	qsort(options->sizes, options->nr_sizes, sizeof(*options->sizes), compare_sizes);
}

static void print_names(void)
{
	const struct mechanism *mechanisms[MAX_MECHANISMS];
	unsigned int i, count = all_mechanisms(mechanisms);
	const struct work *work;

	printf("works:\n");
	for (work = works; work->name; work++)
		printf("  %-17s %s\n", work->name, work->what);
	printf("mechanisms:\n");
	for (i = 0; i < count; i++)
		printf("  %-17s %s\n", mechanisms[i]->name, mechanisms[i]->what);
}

static unsigned int parse_runs(const char *text)
{
	char *end;
	unsigned long runs = strtoul(text, &end, 10);

	if (*text == '-' || end == text || *end || !runs || runs > MAX_RUNS)
		usage("%s is not a number of runs from 1 to %d", text, MAX_RUNS);
	return (unsigned int)runs;
}

void parse_options(int argc, char **argv, struct options *options)
{
	static const struct option longs[] = {
		{ "quick", no_argument, NULL, 'q' },
		{ "icount", no_argument, NULL, 'i' },
		{ "threads", no_argument, NULL, 't' },
		{ "only", required_argument, NULL, 'o' },
		{ "work", required_argument, NULL, 'w' },
		{ "sizes", required_argument, NULL, 's' },
		{ "runs", required_argument, NULL, 'r' },
		{ "list", no_argument, NULL, 'l' },
		{ "json", no_argument, NULL, 'j' },
		{ "bar", no_argument, NULL, 'b' },
		{ "machine", required_argument, NULL, 'm' },
		{ "command", required_argument, NULL, 'c' },
		{ "note", required_argument, NULL, 'n' },
		{ "help", no_argument, NULL, 'h' },
		{}
	};
	int option;

	*options = (struct options){
		.machine = "this machine",
		.command = argv[0],
	};
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", longs, NULL)) != -1) {
		switch (option) {
		case 'q':
			options->quick = true;
			break;
		case 'i':
			options->icount = true;
			break;
		case 't':
			options->threads = true;
			break;
		case 'o':
			check_list(optarg, mechanism_names());
			options->only = optarg;
			break;
		case 'w':
			check_list(optarg, work_names());
			options->work = optarg;
			break;
		case 's':
			parse_sizes(options, optarg);
			break;
		case 'r':
			options->runs = parse_runs(optarg);
			break;
		case 'l':
			print_names();
			exit(0);
		case 'j':
			options->json = true;
			break;
		case 'b':
			options->bar = true;
			break;
		case 'm':
			options->machine = optarg;
			break;
		case 'c':
			options->command = optarg;
			break;
		case 'n':
			options->note = optarg;
			break;
		case 'h':
			fputs(help, stdout);
			exit(0);
		case ':':
			usage("%s needs a value", argv[optind - 1]);
		default:
			usage("there is no option %s", argv[optind - 1]);
		}
	}
	if (optind < argc)
		usage("%s is not an option", argv[optind]);
	if (!options->runs)
		options->runs = !options->quick ? RUNS : options->icount ? 1 : QUICK_RUNS;
}
