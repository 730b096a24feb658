// SPDX-License-Identifier: GPL-2.0
#include "work.h"

const struct work works[] = {
	{
		.name = "stream",
		.what = "1 sender, 1 receiver",
		.senders = 1, .receivers = 1, .daily = true,
	}, {
		.name = "ping-pong",
		.what = "2 processes answer each other; round trips",
		.senders = 1, .receivers = 1, .ping_pong = true, .daily = true,
	}, {
		.name = "call",
		.what = "1 client calls a service; round trips",
		.senders = 1, .receivers = 1, .ping_pong = true, .calls = true,
	}, {
		.name = "call-16",
		.what = "16 clients call a service; time of all",
		.senders = 16, .receivers = 1, .ping_pong = true, .calls = true,
	}, {
		.name = "fan-out-1",
		.what = "1 sender to all of 1 receiver",
		.senders = 1, .receivers = 1, .to_all = true,
	}, {
		.name = "fan-out-2",
		.what = "1 sender, each message to all 2 receivers",
		.senders = 1, .receivers = 2, .to_all = true,
	}, {
		.name = "fan-out-4",
		.what = "1 sender, each message to all 4 receivers",
		.senders = 1, .receivers = 4, .to_all = true,
	}, {
		.name = "fan-out-8",
		.what = "1 sender, each message to all 8 receivers",
		.senders = 1, .receivers = 8, .to_all = true,
	}, {
		.name = "fan-out-16",
		.what = "1 sender, each message to all 16 receivers",
		.senders = 1, .receivers = 16, .to_all = true, .daily = true,
	}, {
		.name = "fan-in-16",
		.what = "16 senders, 1 receiver",
		.senders = 16, .receivers = 1, .daily = true,
	}, {
		.name = "multicast-16",
		.what = "1 sender, each message to one of 16 receivers",
		.senders = 1, .receivers = 16, .daily = true,
	}, {
		.name = "slow-4",
		.what = "1 sender, each message to all 4 receivers, 1 is slow; time of the others",
		/* Few slots, so that the slow receiver has an effect soon. */
		.senders = 1, .receivers = 4, .to_all = true, .slow = true,
		.slots = 32,
	},
	{}
};

unsigned int work_processes(const struct work *work)
{
	return work->senders + work->receivers;
}
