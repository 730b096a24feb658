/* SPDX-License-Identifier: GPL-2.0 */
/* The steps of a case: each function runs a step and compares. */
#ifndef FUZZ_STEPS_H
#define FUZZ_STEPS_H

#include "run.h"

/* steps.c */

/* The ring that a step names. */
struct place place_of(const struct step *step);
/* An id that no channel and no subscriber has. */
uint32_t no_id(uint8_t choice);
/* The channel that a step names, if any. */
struct channel *channel_of(const struct step *step, uint32_t *id);
/* The subscriber that a step names, if any, and the ring that uses it: sometimes another one. */
struct subscriber *subscriber_of(const struct step *step, uint32_t *id, struct place *place);

/* commands.c */
void step_create(const struct step *step);
void step_attach(const struct step *step);
void step_detach(const struct step *step);
void step_destroy(const struct step *step);

/* requests.c */
void step_send(const struct step *step);
void step_receive(const struct step *step);
void step_watch(const struct step *step);
void step_cancel(const struct step *step);

/* calls.c */
void step_call(const struct step *step);
void step_answer(const struct step *step);

/* files.c */
void step_poll(const struct step *step);
void step_map(const struct step *step);
void step_store(const struct step *step);
void step_fdinfo(const struct step *step);

#endif
