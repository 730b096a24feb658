// SPDX-License-Identifier: GPL-2.0
/*
 * A plugin of QEMU that counts how often the guest executes each instruction while the
 * benchmark measures.  ../budget sums the counts by parts of the system.
 *
 * Arguments: begin and end are the addresses of measuring_begins() and measuring_ends()
 * in the benchmark, see job.c.  Each process of a job calls both functions.  After the
 * last process has called the second one, the plugin appends a line "window" to the file
 * output, and a line with an address and a count for each instruction that was executed.
 *
 * The plugin needs one virtual processor, as with -icount.  QEMU does not count the
 * instructions of a plugin.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qemu-plugin.h"

int qemu_plugin_version = QEMU_PLUGIN_VERSION;

/* Instructions that are executed one after the other. */
struct block {
	struct block *next;
	uint64_t executed;
	size_t length;
	uint64_t addresses[];
};

/* QEMU can translate a block again, which is another block here. */
static struct block *blocks;
static uint64_t begin, end;
static FILE *output;
/* Processes that measure. */
static unsigned int measuring;

static void write_window(void)
{
	struct block *block;
	size_t i;

	fprintf(output, "window\n");
	for (block = blocks; block; block = block->next) {
		for (i = 0; i < block->length && block->executed; i++)
			fprintf(output, "%016" PRIx64 " %" PRIu64 "\n", block->addresses[i],
				block->executed);
		block->executed = 0;
	}
	fflush(output);
}

static void executed(unsigned int cpu, void *data)
{
	struct block *block = data;

	(void)cpu;
	if (block->addresses[0] == begin)
		measuring++;
	if (measuring)
		block->executed++;
	if (block->addresses[0] == end && measuring && !--measuring)
		write_window();
}

static void translated(uint64_t id, struct qemu_plugin_tb *tb)
{
	size_t i, length = qemu_plugin_tb_n_insns(tb);
	struct block *block = malloc(sizeof(*block) + length * sizeof(*block->addresses));

	(void)id;
	if (!block)
		abort();
	block->next = blocks;
	block->executed = 0;
	block->length = length;
	for (i = 0; i < length; i++)
		block->addresses[i] = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, i));
	blocks = block;
	qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, QEMU_PLUGIN_CB_NO_REGS, block);
}

int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
	int i;

	(void)info;
	for (i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "begin=", 6))
			begin = strtoull(argv[i] + 6, NULL, 16);
		else if (!strncmp(argv[i], "end=", 4))
			end = strtoull(argv[i] + 4, NULL, 16);
		else if (!strncmp(argv[i], "output=", 7))
			output = fopen(argv[i] + 7, "w");
	}
	if (!begin || !end || !output) {
		fprintf(stderr, "count: begin, end and output are needed\n");
		return 1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
