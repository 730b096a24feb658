/* SPDX-License-Identifier: GPL-2.0 */
/* The completions that requests have to have, at once or after they have waited. */
#ifndef FUZZ_WAITING_H
#define FUZZ_WAITING_H

#include "run.h"

/* A request that is not in use, with a buffer of its own; NULL if there are too many. */
struct request *new_request(struct place place);

/* What a receive would get now. */
extern struct delivery delivery;

/* What the next completion of a receive has to be, with at most so many messages. */
void predict(struct request *request, unsigned int limit);
/* Whether it would wait, by what was predicted. */
bool must_wait(const struct request *request);
/* Takes all completions that a receive has to have now; waited says that it was waiting. */
void receive_now(struct request *request, bool waited);
void send_completion(struct request *request, int expected);

/* How many requests wait in a channel. */
unsigned int waiting(const struct channel *channel, bool receives);
/* Lets all complete that can, and sees that nobody else does. */
void settle(void);

#endif
