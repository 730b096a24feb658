// SPDX-License-Identifier: GPL-2.0
/* The objects that a step names.  All steps call these functions. */
#include "steps.h"

struct place place_of(const struct step *step)
{
	return (struct place) { step->who % ACTORS, step->who / ACTORS % RINGS };
}

uint32_t no_id(uint8_t choice)
{
	static const uint32_t ids[] = { 0, UINT32_MAX, 0x7fffffff };

	return ids[choice % ARRAY_SIZE(ids)];
}

struct channel *channel_of(const struct step *step, uint32_t *id)
{
	struct channel *channel;

	*id = no_id(step->object);
	if (step->object >= 0xf0 || !model.channel_count)
		return NULL;
	channel = &model.channels[step->object % model.channel_count];
	*id = channel->id;
	return channel;
}

/* The id may be that of a channel if there is no subscriber. */
struct subscriber *subscriber_of(const struct step *step, uint32_t *id, struct place *place)
{
	struct subscriber *subscriber;

	*id = no_id(step->object);
	*place = place_of(step);
	if (step->object >= 0xf8 && model.channel_count)
		*id = model.channels[step->object % model.channel_count].id;
	if (step->object >= 0xf0 || !model.subscriber_count)
		return NULL;
	subscriber = &model.subscribers[step->object % model.subscriber_count];
	*id = subscriber->id;
	if (step->who < 0xe0)
		*place = subscriber->place;
	return subscriber;
}
