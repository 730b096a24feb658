// SPDX-License-Identifier: GPL-2.0
/*
 * Random sequences of all operations on channels, checked against a model; see --help.
 */
#include <errno.h>
#include <getopt.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "actor.h"
#include "case.h"
#include "coverage.h"
#include "execute.h"

/* Cases that the fuzzer keeps and mutates. */
#define MAX_CORPUS	8192
/* Seconds for making a case smaller. */
#define MINIMISE	60
/* After this many different failures, the fuzzer stops. */
#define MAX_FAILURES	8

static struct test_case corpus[MAX_CORPUS];
static size_t corpus_count;

/* Cases with names, each a separate test. */
static struct {
	char name[80];
	struct test_case test;
} named[256];
static size_t named_count;

static size_t results, failures;

static const char help[] =
	"usage: fuzz [OPTION]...\n"
	"\n"
	"Runs the cases of all files *.cases in the directory of this program: cases with\n"
	"names one by one, the others as the first cases of a corpus.  Then makes new cases\n"
	"and changes old ones.  Keeps a case that reaches new code, if the kernel has KCOV.\n"
	"Makes a case that fails as small as possible, and prints it.  Prints results as\n"
	"TAP.\n"
	"\n"
	"  --seconds N    how long the random part takes (default: $FUZZ_SECONDS, or 10)\n"
	"  --seed N       start with other random numbers (default: the time)\n"
	"  --replay HEX   run only this case, and print all steps\n"
	"  --save         print the cases that have reached new code\n"
	"  --functions    print all functions of the module, reached or not\n"
	"\n"
	"exit status: 0, 1 if a case fails, 2 for wrong usage\n";

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void result(bool good, const char *name)
{
	printf("%s %zu %s\n", good ? "ok" : "not ok", ++results, name);
	fflush(stdout);
	failures += !good;
}

static void print_hex(const char *what, const struct test_case *test)
{
	char hex[CASE_HEX];

	case_print(test, hex);
	printf("# %s: %s\n", what, hex);
	fflush(stdout);
}

static void without(const struct test_case *test, unsigned int at, unsigned int count,
		    struct test_case *smaller)
{
	*smaller = *test;
	smaller->count -= count;
	memmove(&smaller->steps[at], &smaller->steps[at + count],
		(smaller->count - at) * sizeof(struct step));
}

/* Whether a case fails, with the same message. */
static bool fails(const struct test_case *test, const char *how)
{
	return !execute(test, false) && !strcmp(how, execute_failure());
}

/* Removes steps and bytes as long as the case still fails. */
static void minimise(struct test_case *test)
{
	char how[512];
	double end = now() + MINIMISE;
	struct test_case smaller;

	snprintf(how, sizeof(how), "%s", execute_failure());
	for (unsigned int size = test->count / 2; size; size /= 2) {
		for (unsigned int at = 0; at + size <= test->count && size < test->count;) {
			if (now() > end || execute_hangs())
				return;
			without(test, at, size, &smaller);
			if (fails(&smaller, how))
				*test = smaller;
			else
				at += size;
		}
	}
	for (size_t i = 0; i < test->count * sizeof(struct step); i++) {
		smaller = *test;
		if (!((uint8_t *)smaller.steps)[i])
			continue;
		if (now() > end || execute_hangs())
			return;
		((uint8_t *)smaller.steps)[i] = 0;
		if (fails(&smaller, how))
			*test = smaller;
	}
}

/* Reports a case that has failed, unless another one has failed in the same way. */
static void report(const struct test_case *test)
{
	static char known[MAX_FAILURES][256];
	static size_t count;
	struct test_case smaller = *test;

	for (size_t i = 0; i < count; i++)
		if (!strcmp(known[i], execute_failure()))
			return;
	if (count < MAX_FAILURES)
		snprintf(known[count++], sizeof(known[0]), "%s", execute_failure());
	printf("# failed: %s\n", execute_failure());
	print_hex("case", test);
	if (!execute_hangs()) {
		minimise(&smaller);
		print_hex("minimised", &smaller);
		if (!execute_hangs() && execute(&smaller, true))
			printf("# it did not fail again\n");
	}
}

static void load(const char *path)
{
	char line[CASE_HEX + 200], hex[CASE_HEX];
	FILE *file = fopen(path, "r");

	if (!file) {
		fprintf(stderr, "fuzz: %s: %s\n", path, strerror(errno));
		exit(2);
	}
	while (fgets(line, sizeof(line), file)) {
		struct test_case test;
		char name[80] = "";
		int fields;

		if (line[0] == '#' || line[0] == '\n')
			continue;
		fields = sscanf(line, "%1024s %79s", hex, name);
		if (fields < 1 || !case_parse(hex, &test)) {
			fprintf(stderr, "fuzz: %s: this is no case: %s", path, line);
			exit(2);
		}
		if (fields == 2 && named_count < ARRAY_SIZE(named)) {
			strcpy(named[named_count].name, name);
			named[named_count++].test = test;
		}
		if (corpus_count < MAX_CORPUS)
			corpus[corpus_count++] = test;
	}
	fclose(file);
}

/* Loads all files in the directory of this program. */
static void load_all(const char *program)
{
	const char *slash = strrchr(program, '/');
	char pattern[4096];
	glob_t found;

	snprintf(pattern, sizeof(pattern), "%.*s*.cases", slash ? (int)(slash - program + 1) : 0,
		 program);
	if (glob(pattern, 0, NULL, &found))
		return;
	for (size_t i = 0; i < found.gl_pathc; i++)
		load(found.gl_pathv[i]);
	globfree(&found);
}

/* Runs the cases of the corpus, and then other cases for `seconds`. */
static void run_random(double seconds, uint64_t seed, bool save)
{
	double start = now(), said = start;
	unsigned long cases = 0, failed = 0;
	size_t known = corpus_count;
	uint64_t state = seed;

	while ((cases < known || now() - start < seconds) && failed < MAX_FAILURES) {
		size_t before = coverage_count();
		struct test_case test;

		if (cases < known) {
			test = corpus[cases];
		} else if (corpus_count && case_random(&state) % 4) {
			test = corpus[case_random(&state) % corpus_count];
			case_mutate(&test, &corpus[case_random(&state) % corpus_count], &state);
		} else {
			case_make(&test, &state);
		}
		if (!execute(&test, false)) {
			failed++;
			printf("# after %.0f seconds and %lu cases\n", now() - start, cases);
			report(&test);
			if (execute_hangs())
				break;
		} else if (cases >= known && coverage_count() > before &&
			   corpus_count < MAX_CORPUS) {
			corpus[corpus_count++] = test;
			if (save)
				print_hex("new", &test);
		}
		cases++;
		if (now() - said >= 60) {
			said = now();
			printf("# %.0f seconds: %lu cases, %lu steps, %zu places, corpus of %zu\n",
			       said - start, cases, execute_steps, coverage_count(), corpus_count);
			fflush(stdout);
		}
	}
	printf("# %lu cases, %lu steps in %.0f seconds, corpus of %zu\n", cases, execute_steps,
	       now() - start, corpus_count);
	result(!failed, "random cases do what the model does");
}

static long parse(const char *text, long least)
{
	char *end;
	long value = strtol(text, &end, 0);

	if (*end || value < least) {
		fprintf(stderr, "fuzz: %s is not a number that makes sense here\n", text);
		exit(2);
	}
	return value;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seconds", required_argument, NULL, 's' },
		{ "seed", required_argument, NULL, 'n' },
		{ "replay", required_argument, NULL, 'r' },
		{ "save", no_argument, NULL, 'a' },
		{ "functions", no_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	long seconds = parse(getenv("FUZZ_SECONDS") ?: "10", 0);
	long seed = getenv("FUZZ_SEED") ? parse(getenv("FUZZ_SEED"), 0) : time(NULL);
	bool save = false, functions = false, covered;
	const char *replay = NULL;
	struct test_case test;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (option) {
		case 's':
			seconds = parse(optarg, 0);
			break;
		case 'n':
			seed = parse(optarg, 0);
			break;
		case 'r':
			replay = optarg;
			break;
		case 'a':
			save = true;
			break;
		case 'f':
			functions = true;
			break;
		case 'h':
			fputs(help, stdout);
			return 0;
		default:
			return 2;
		}
	}
	if (optind < argc || (replay && !case_parse(replay, &test))) {
		fprintf(stderr, "fuzz: %s\n", replay ? "this is no case" : "too many arguments");
		return 2;
	}

	covered = coverage_prepare();
	actors_prepare();
	actors_start();
	if (replay) {
		printf("1..1\n");
		result(execute(&test, true), "replay");
	} else {
		load_all(argv[0]);
		printf("1..%zu\n# seed %ld, %s\n", named_count + 1, seed,
		       covered ? "guided by coverage" : "this kernel does not tell the coverage");
		for (size_t i = 0; i < named_count && !execute_hangs(); i++) {
			bool good = execute(&named[i].test, false);

			if (!good)
				report(&named[i].test);
			result(good, named[i].name);
		}
		if (!execute_hangs())
			run_random((double)seconds, (uint64_t)seed, save);
	}
	if (covered)
		coverage_report(functions);
	if (!execute_hangs())
		actors_stop();
	return failures != 0;
}
