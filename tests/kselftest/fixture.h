/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by the fixtures of many tests: a variant for each kind of channel, and
 * a channel with a sender and a receiver.
 */
#ifndef FIXTURE_H
#define FIXTURE_H

#include "ipc_test.h"

/* Adds the three kinds of channels to a fixture whose variants have .flags. */
#define FIXTURE_ADD_KINDS(fixture)					\
	FIXTURE_VARIANT_ADD(fixture, unicast) {				\
		.flags = 0,						\
	};								\
	FIXTURE_VARIANT_ADD(fixture, multicast) {			\
		.flags = IOIPC_F_MULTICAST,				\
	};								\
	FIXTURE_VARIANT_ADD(fixture, broadcast) {			\
		.flags = IOIPC_F_BROADCAST,				\
	}

/* The fixture has these variants; .flags are for CREATE. */
#define FIXTURE_KINDS(fixture)						\
	FIXTURE_VARIANT(fixture) {					\
		__u32 flags;						\
	};								\
	FIXTURE_ADD_KINDS(fixture)

/*
 * For FIXTURE_SETUP(): the first ring creates self->channel with variant->flags
 * and attaches self->sender. The second ring, which can be the same, attaches
 * self->receiver.
 */
#define SET_UP_CHANNEL(sending, receiving, entries, size) do {		\
	ASSERT_EQ(0, ipc_create(sending, variant->flags, entries, size,	\
				&self->channel));			\
	ASSERT_EQ(0, ipc_attach(sending, self->channel, IOIPC_SUB_SEND,	\
				&self->sender));			\
	ASSERT_EQ(0, ipc_attach(receiving, self->channel,		\
				IOIPC_SUB_RECV, &self->receiver));	\
} while (0)

#endif /* FIXTURE_H */
