// SPDX-License-Identifier: GPL-2.0
/*
 * main.c calls job_run(), which forks the processes of a job.  The processes call the
 * mechanism and message.c, and neither of these calls this file.  All of them call
 * failure.c if they cannot go on.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "job.h"
#include "process.h"

#define NS_PER_SECOND		1000000000ULL
#define MAX_ROUND_TRIP_NS	(60 * (int64_t)NS_PER_SECOND)
#define HISTOGRAM_DIGITS	3

#define MIN_ROUND_TRIPS		200
#define WARM_UP_ROUND_TRIPS	112
#define MAX_MESSAGES		0x400000
/* The slow receiver sleeps each time after this many messages. */
#define SLOW_PAUSE_EVERY	4

/* All processes go through these phases together. */
enum phase {
	/* Senders write all words of each message, and receivers check them. */
	PHASE_VERIFY,
	/* Measures how many messages the next phase needs. */
	PHASE_WARM_UP,
	PHASE_MEASURE,
	NR_PHASES,
};

/* What one process did in a phase. */
struct tally {
	_Alignas(CACHE_LINE) uint64_t start_ns;
	uint64_t end_ns;
	/* Processor time. */
	uint64_t busy_ns;
	uint64_t sent;
	uint64_t sent_sum;
	uint64_t received;
	uint64_t received_sum;
	uint64_t lost;
};

/* Shared by the processes of a job and the process that runs jobs. */
static struct board {
	struct barrier barrier;
	/* Ids of threads; the id of a process with one thread is the id of this thread. */
	pid_t tids[MAX_PROCESSES];
	/* How many messages all senders together send in a phase; 0 skips the phase. */
	uint64_t messages[NR_PHASES];
	struct tally tallies[NR_PHASES][MAX_PROCESSES];
	struct crowd crowd;
	struct failure failure;
	struct hdr_histogram histogram;
} *board;

static bool has_crowd(const struct work *work)
{
	return work->receivers > 1 && !work->to_all;
}

/* Sets up a link.  The second link of a ping-pong is the way back. */
static void make_link(const struct job *job, struct link *link, bool back)
{
	const struct work *work = job->work;

	*link = (struct link){
		.job = job,
		.senders = back ? work->receivers : work->senders,
		.receivers = back ? work->senders : work->receivers,
		.to_all = work->to_all,
		.first_sender = back ? work->senders : 0,
		.first_receiver = back ? 0 : work->senders,
	};
	job->mechanism->setup(link);
}

static void exchange(struct endpoint *endpoint)
{
	const struct mechanism *mechanism = endpoint->job->mechanism;

	endpoint->sink.remaining = 1;
	if (mechanism->exchange) {
		mechanism->exchange(endpoint);
	} else {
		mechanism->send(endpoint, 1);
		mechanism->receive(endpoint);
	}
}

static void ping(struct endpoint *endpoint, uint64_t round_trips, enum phase phase)
{
	uint64_t before = now_ns(), after;

	for (; round_trips; round_trips--) {
		exchange(endpoint);
		after = now_ns();
		if (phase == PHASE_MEASURE && !endpoint->process)
			hdr_record_value(&board->histogram, (int64_t)(after - before));
		before = after;
	}
}

static void pong(struct endpoint *endpoint, uint64_t round_trips)
{
	const struct mechanism *mechanism = endpoint->job->mechanism;

	endpoint->sink.remaining = 1;
	mechanism->receive(endpoint);
	while (--round_trips)
		exchange(endpoint);
	mechanism->send(endpoint, 1);
}

/* Ends receivers that wait for messages which none of them will get. */
static void stop_crowd(const struct endpoint *endpoint)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	struct crowd *crowd = &board->crowd;
	unsigned int i;

	while (!atomic_load(&crowd->complete))
		futex_wait(&crowd->complete, 0);
	atomic_store(&crowd->stopped, true);
	/* A signal may come just before the call that it must interrupt. */
	while (!barrier_others_wait(&board->barrier)) {
		for (i = 0; i < endpoint->out->receivers; i++)
			syscall(SYS_tkill, board->tids[endpoint->out->first_receiver + i], SIGUSR1);
		nanosleep(&pause, NULL);
	}
}

static void begin_phase(struct endpoint *endpoint, enum phase phase)
{
	const struct work *work = endpoint->job->work;
	struct sink *sink = &endpoint->sink;

	endpoint->source.full = phase == PHASE_VERIFY;
	endpoint->source.count = 0;
	endpoint->source.sum = 0;
	*sink = (struct sink){
		.size = endpoint->job->size,
		.full = phase == PHASE_VERIFY,
		.remaining = board->messages[phase],
		.crowd = has_crowd(work) ? &board->crowd : NULL,
	};
	if (work->slow && endpoint->in && !endpoint->in_index)
		sink->pause_every = SLOW_PAUSE_EVERY;
}

/*
 * How long a phase took: from the first message sent to the last message received, by
 * receiver number `receiver` and those after it.
 */
static uint64_t elapsed_ns(const struct work *work, enum phase phase, unsigned int receiver)
{
	const struct tally *tallies = board->tallies[phase];
	uint64_t start_ns = UINT64_MAX, end_ns = 0;
	unsigned int i;

	for (i = 0; i < work->senders; i++) {
		if (tallies[i].start_ns < start_ns)
			start_ns = tallies[i].start_ns;
	}
	if (has_crowd(work))
		return board->crowd.end_ns - start_ns;
	for (i = work->senders + receiver; i < work_processes(work); i++) {
		if (tallies[i].end_ns > end_ns)
			end_ns = tallies[i].end_ns;
	}
	return end_ns - start_ns;
}

/* How many messages take as long as the measured phase should take. */
static uint64_t plan_messages(const struct job *job)
{
	const struct work *work = job->work;
	/* The other receivers are ahead of a slow one by the messages in the slots. */
	uint64_t ns = elapsed_ns(work, PHASE_WARM_UP, 0);
	/* A phase that fills the slots and does not empty them would look fast. */
	uint64_t min = work->ping_pong ? MIN_ROUND_TRIPS : 4 * job->slots;
	uint64_t messages = job->target_ns * board->messages[PHASE_WARM_UP] / (ns ? ns : 1);

	if (messages < min)
		messages = min;
	if (messages > MAX_MESSAGES)
		messages = MAX_MESSAGES;
	return (messages + work->senders - 1) / work->senders * work->senders;
}

/* The processor time of this process so far, with its SQPOLL thread, or of this thread. */
static uint64_t busy_ns(const struct job *job)
{
	struct timespec ts;

	clock_gettime(job->threads ? CLOCK_THREAD_CPUTIME_ID : CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_SECOND + (uint64_t)ts.tv_nsec;
}

/* The plugin that counts instructions looks for calls of these two functions. */
__attribute__((noipa)) static void measuring_begins(void)
{
}

__attribute__((noipa)) static void measuring_ends(void)
{
}

static void run_phase(struct endpoint *endpoint, enum phase phase)
{
	const struct job *job = endpoint->job;
	struct tally *tally = &board->tallies[phase][endpoint->process];
	uint64_t messages, busy_before;

	if (!endpoint->process)
		board->crowd = (struct crowd){ .goal = board->messages[phase] };
	barrier_wait(&board->barrier);
	messages = board->messages[phase];
	begin_phase(endpoint, phase);

	busy_before = busy_ns(job);
	if (phase == PHASE_MEASURE)
		measuring_begins();
	tally->start_ns = now_ns();
	if (job->work->ping_pong && endpoint->process < job->work->senders)
		ping(endpoint, messages / job->work->senders, phase);
	else if (job->work->ping_pong)
		pong(endpoint, messages);
	else if (endpoint->out)
		job->mechanism->send(endpoint, messages / job->work->senders);
	else
		job->mechanism->receive(endpoint);
	tally->end_ns = now_ns();
	if (phase == PHASE_MEASURE)
		measuring_ends();
	tally->busy_ns = busy_ns(job) - busy_before;

	if (endpoint->sink.torn)
		job_failed("the first and the last word of a message did not match");
	if (endpoint->out) {
		tally->sent = endpoint->source.count;
		tally->sent_sum = endpoint->source.sum;
	}
	tally->received = endpoint->sink.count;
	tally->received_sum = endpoint->sink.sum;
	tally->lost = endpoint->sink.lost;
	if (endpoint->out && endpoint->sink.crowd)
		stop_crowd(endpoint);
	barrier_wait(&board->barrier);
	if (!endpoint->process && phase == PHASE_WARM_UP)
		board->messages[PHASE_MEASURE] = plan_messages(job);
}

static void interrupt(int signal)
{
	(void)signal;
}

/* Makes this process end with the process that made it. */
static void depend_on(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL))
		job_failed("prctl: %s", strerror(errno));
	if (getppid() != parent)
		_exit(1);
}

static void run_endpoint(const struct job *job, struct link links[2], unsigned int process)
{
	/* No SA_RESTART: the interrupted call must return. */
	struct sigaction action = { .sa_handler = interrupt };
	const struct work *work = job->work;
	struct endpoint endpoint = {
		.job = job,
		.process = process,
	};
	unsigned int phase;

	sigaction(SIGUSR1, &action, NULL);
	if (work->ping_pong) {
		bool pings = process < work->senders;

		endpoint.out = &links[!pings];
		endpoint.in = &links[pings];
		endpoint.out_index = pings ? process : 0;
		endpoint.in_index = endpoint.out_index;
	} else if (process < work->senders) {
		endpoint.out = &links[0];
		endpoint.out_index = process;
	} else {
		endpoint.in = &links[0];
		endpoint.in_index = process - work->senders;
	}
	/* If there are more processes than processors, the kernel places them better. */
	if (work_processes(work) <= nr_processors())
		pin_to_processor(process);

	board->tids[process] = (pid_t)syscall(SYS_gettid);
	if (endpoint.out)
		source_init(&endpoint.source, process, job->batch, job->size);
	if (job->mechanism->open)
		job->mechanism->open(&endpoint);
	for (phase = 0; phase < NR_PHASES; phase++) {
		if (phase != PHASE_VERIFY || job->verify)
			run_phase(&endpoint, phase);
	}
}

static void run_processes(const struct job *job, struct link links[2])
{
	unsigned int i, processes = work_processes(job->work);
	pid_t self = getpid(), pid;
	int status;

	for (i = 0; i < processes; i++) {
		pid = fork();
		if (pid < 0)
			job_failed("fork: %s", strerror(errno));
		if (!pid) {
			depend_on(self);
			run_endpoint(job, links, i);
			_exit(0);
		}
	}
	while (processes--) {
		if (wait(&status) < 0)
			job_failed("wait: %s", strerror(errno));
		if (WIFSIGNALED(status))
			job_failed("a process was killed by signal %d", WTERMSIG(status));
		if (WEXITSTATUS(status))
			job_failed("a process has ended with status %d", WEXITSTATUS(status));
	}
}

struct thread {
	pthread_t id;
	const struct job *job;
	struct link *links;
	unsigned int number;
};

static void *run_thread(void *argument)
{
	const struct thread *thread = argument;

	run_endpoint(thread->job, thread->links, thread->number);
	return NULL;
}

static void run_threads(const struct job *job, struct link links[2])
{
	unsigned int i, count = work_processes(job->work);
	struct thread threads[MAX_PROCESSES];
	int ret;

	for (i = 0; i < count; i++) {
		threads[i] = (struct thread){ .job = job, .links = links, .number = i };
		ret = pthread_create(&threads[i].id, NULL, run_thread, &threads[i]);
		if (ret)
			job_failed("pthread_create: %s", strerror(ret));
	}
	for (i = 0; i < count; i++)
		pthread_join(threads[i].id, NULL);
}

/*
 * The parent of the processes.  They inherit links from it.  When it ends, because one
 * of them has failed, all others end.
 */
static _Noreturn void lead(const struct job *job, pid_t parent)
{
	struct link links[2];

	depend_on(parent);
	make_link(job, &links[0], false);
	if (job->work->ping_pong)
		make_link(job, &links[1], true);
	if (job->threads)
		run_threads(job, links);
	else
		run_processes(job, links);
	_exit(0);
}

/*
 * Checks that each receiver has the messages of all senders, or that all receivers have
 * them together.
 */
static const char *check_link(const struct job *job, const struct tally *tallies, bool back)
{
	unsigned int senders = back ? job->work->receivers : job->work->senders;
	unsigned int receivers = back ? job->work->senders : job->work->receivers;
	unsigned int first_sender = back ? job->work->senders : 0;
	unsigned int first_receiver = back ? 0 : job->work->senders;
	struct tally sent = {}, received = {};
	const struct tally *tally;
	unsigned int i;

	for (i = 0; i < senders; i++) {
		sent.sent += tallies[first_sender + i].sent;
		sent.sent_sum += tallies[first_sender + i].sent_sum;
	}
	for (i = 0; i < receivers; i++) {
		tally = &tallies[first_receiver + i];
		if (job->work->to_all)
			received = (struct tally){};
		received.received += tally->received;
		received.received_sum += tally->received_sum;
		received.lost += tally->lost;
		if (!job->work->to_all && i < receivers - 1)
			continue;
		if (received.received + received.lost != sent.sent)
			return "messages were lost or received twice";
		if (received.lost && !(job->mechanism->flags & MECHANISM_LOSSY))
			return "messages were dropped";
		if (!received.lost && received.received_sum != sent.sent_sum)
			return "the received messages have another sum than the sent ones";
	}
	return NULL;
}

static void check_phase(const struct job *job, enum phase phase, struct job_result *result)
{
	const struct tally *tallies = board->tallies[phase];
	const char *wrong;

	if (!board->messages[phase])
		return;
	wrong = check_link(job, tallies, false);
	if (!wrong && job->work->ping_pong)
		wrong = check_link(job, tallies, true);
	if (wrong) {
		result->outcome = OUTCOME_FAILED;
		snprintf(result->reason, sizeof(result->reason), "%s", wrong);
	}
}

static void summarize(const struct job *job, struct hdr_histogram *histogram,
		      struct job_result *result)
{
	const struct tally *tallies = board->tallies[PHASE_MEASURE];
	uint64_t senders_ns = 0;
	unsigned int i;

	result->messages = board->messages[PHASE_MEASURE];
	for (i = 0; i < job->work->senders; i++)
		senders_ns += tallies[i].busy_ns;
	result->senders_ns_per_message = (double)senders_ns / (double)result->messages;
	for (i = 0; i < work_processes(job->work); i++)
		result->lost += tallies[i].lost;
	if (job->work->ping_pong)
		hdr_add(histogram, &board->histogram);
	if (job->work->ping_pong && job->work->senders == 1) {
		result->ns_per_message =
			(double)hdr_value_at_percentile(&board->histogram, 50.0);
	} else {
		uint64_t ns = elapsed_ns(job->work, PHASE_MEASURE, job->work->slow);

		result->ns_per_message = (double)ns / (double)result->messages;
	}
}

/* Waits for a child; returns false if it takes too long. */
static bool wait_seconds(pid_t pid, unsigned int seconds, int *status)
{
	uint64_t now = now_ns(), end = now + seconds * NS_PER_SECOND;
	struct timespec left;
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	while (!waitpid(pid, status, WNOHANG)) {
		now = now_ns();
		if (now >= end)
			return false;
		left.tv_sec = (time_t)((end - now) / NS_PER_SECOND);
		left.tv_nsec = (long)((end - now) % NS_PER_SECOND);
		sigtimedwait(&child, NULL, &left);
	}
	return true;
}

static void histogram_init(struct hdr_histogram *histogram)
{
	struct hdr_histogram_bucket_config config;

	if (hdr_calculate_bucket_config(1, MAX_ROUND_TRIP_NS, HISTOGRAM_DIGITS, &config))
		die("hdr_calculate_bucket_config failed");
	hdr_init_preallocated(histogram, &config);
}

struct hdr_histogram *job_histogram(void)
{
	struct hdr_histogram *histogram;

	if (hdr_init(1, MAX_ROUND_TRIP_NS, HISTOGRAM_DIGITS, &histogram))
		die("hdr_init failed");
	return histogram;
}

static void board_init(const struct job *job)
{
	int64_t *counts;

	if (!board) {
		board = shared_alloc(sizeof(*board));
		failure_store_in(&board->failure);
		histogram_init(&board->histogram);
		counts = shared_alloc((size_t)board->histogram.counts_len * sizeof(*counts));
		/* Processes whose parent has ended become children of this process. */
		if (prctl(PR_SET_CHILD_SUBREAPER, 1))
			die("prctl: %s", strerror(errno));
	} else {
		counts = board->histogram.counts;
		memset(board, 0, sizeof(*board));
		histogram_init(&board->histogram);
	}
	board->histogram.counts = counts;
	hdr_reset(&board->histogram);
	board->barrier.parties = work_processes(job->work);
	board->messages[PHASE_VERIFY] = job->verify ? job->slots + job->work->senders : 0;
	board->messages[PHASE_WARM_UP] =
		job->work->ping_pong ? WARM_UP_ROUND_TRIPS : 2 * job->slots;
}

void job_run(const struct job *job, struct hdr_histogram *histogram, struct job_result *result)
{
	pid_t self = getpid(), leader;
	int status, phase;

	board_init(job);
	*result = (struct job_result){};
	leader = fork();
	if (leader < 0)
		die("fork: %s", strerror(errno));
	if (!leader) {
		setpgid(0, 0);
		lead(job, self);
	}
	setpgid(leader, leader);

	if (!wait_seconds(leader, job->give_up_seconds, &status)) {
		result->outcome = OUTCOME_TIMEOUT;
		snprintf(result->reason, sizeof(result->reason),
			 "there was no result after %u seconds", job->give_up_seconds);
	} else if (status) {
		result->outcome = OUTCOME_FAILED;
		snprintf(result->reason, sizeof(result->reason), "the job ended with status %#x",
			 (unsigned int)status);
		if (atomic_load(&board->failure.claimed)) {
			result->outcome = board->failure.outcome;
			memcpy(result->reason, board->failure.reason, sizeof(result->reason));
		}
	}
	/* Kills also the processes whose parent has just ended. */
	kill(-leader, SIGKILL);
	while (wait(NULL) > 0)
		;
	for (phase = 0; phase < NR_PHASES && result->outcome == OUTCOME_OK; phase++)
		check_phase(job, phase, result);
	if (result->outcome == OUTCOME_OK)
		summarize(job, histogram, result);
}
