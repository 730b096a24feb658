/* SPDX-License-Identifier: GPL-2.0 */
/* The completions that requests must have, at once or after they have waited. */
#ifndef FUZZ_WAITING_H
#define FUZZ_WAITING_H

#include "run.h"

/* An unused request, with its own buffer, or NULL if all are used. */
struct request *new_request(struct place place);

/* What a receive would get now. */
extern struct delivery delivery;

/* Predicts the next completion of a receive, with at most `limit` messages. */
void predict(struct request *request, unsigned int limit);
/* Whether the request would wait, by the prediction. */
bool must_wait(const struct request *request);
/* Takes all completions that a receive must have now. `waited`: it was waiting. */
void receive_now(struct request *request, bool waited);
/* Takes the completion of a request of another kind. */
void simple_completion(struct request *request, const char *what, int expected);

/* How many requests wait in a channel. */
unsigned int waiting(const struct channel *channel, bool receives);
/* Completes all requests that can go on, and checks that no other request completes. */
void settle(void);

#endif
