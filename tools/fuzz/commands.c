// SPDX-License-Identifier: GPL-2.0

#include "steps.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* An argument of a command, or an invalid one. */
static const void *argument_of(struct place place, uint8_t choice, int *error)
{
	*error = 0;
	switch (choice) {
	case 0xff:
		*error = -EINVAL;
		return NULL;
	case 0xfe:
		*error = -EFAULT;
		return (void *)4096;
	case 0xfd:
		*error = -EFAULT;
		return (void *)0xffff888000000000;
	case 0xfc:
		/* This fails only when the kernel writes the result. */
		return actors[place.actor].read_only;
	default:
		return &actors[place.actor].shared->argument;
	}
}

/*
 * Fills in an extension with a name, or none without a name.  The last byte of the step
 * may spoil it.
 */
static struct extension extension_of(struct place place, const struct step *step,
				     unsigned int name, uint32_t *size, __u64 *address)
{
	struct actor_shared *shared = shared_of(place);
	struct io_uring_ipc_channel_ext *fields = &shared->extension.create;
	struct extension says = { .name = name };

	if (!name && (step->e < 0xee || step->e > 0xfa))
		return says;
	extend(place, names[name], size, address);
	switch (step->e) {
	case 0xfa:
		*size = 0;
		says.error = -EINVAL;
		break;
	case 0xf9:
		*address = 0;
		says.error = -EINVAL;
		break;
	case 0xf8:
		*size = 15;
		says.error = -EINVAL;
		break;
	case 0xf7:
		*size = 4097;
		says.error = -E2BIG;
		break;
	case 0xf6:
		*size = sizeof(shared->extension);
		shared->extension.later[15] = 1;
		says.error = -E2BIG;
		break;
	case 0xf5:
		*size = sizeof(shared->extension);
		break;
	case 0xf4:
		/* More than a slot can have, and reserved in ATTACH. */
		fields->slot_size = UINT32_MAX;
		says.slot_size = UINT32_MAX;
		break;
	case 0xf3:
		*address = 0xffff888000000000;
		says.error = -EFAULT;
		break;
	case 0xf2:
		fields->name = 4096;
		fields->name_len = 1;
		says.error = -EFAULT;
		break;
	case 0xf1:
		fields->name = (uintptr_t)shared->name;
		fields->name_len = IOIPC_MAX_NAME + 1;
		says.error = -EINVAL;
		break;
	case 0xf0:
		/* The NUL behind the name. */
		fields->name = (uintptr_t)shared->name;
		fields->name_len++;
		says.error = -EINVAL;
		break;
	case 0xef:
		fields->name = 0;
		fields->name_len = 1;
		says.error = -EINVAL;
		break;
	case 0xee:
		fields->name = (uintptr_t)shared->name;
		fields->name_len = 0;
		says.error = -EINVAL;
		break;
	}
	return says;
}

static bool is_new_id(uint32_t id)
{
	if (!id)
		return false;
	for (unsigned int i = 0; i < model.channel_count; i++)
		if (model.channels[i].id == id)
			return false;
	for (unsigned int i = 0; i < model.subscriber_count; i++)
		if (model.subscribers[i].id == id)
			return false;
	return true;
}

/* The size of the slots that CREATE asks for, 0 for none. */
static uint32_t slot_size_of(const struct io_uring_ipc_channel_create *create, unsigned int choice)
{
	const uint32_t max = create->max_msg_size;
	const uint32_t sizes[] = { 0, max / 4, 0, max / 2, 64, max, max / 3 + 1, 0 };

	/* A ring with fewer slots has no messages of several ones. */
	return create->ring_entries < 8 && choice != 4 ? 0 : sizes[choice];
}

void step_create(const struct step *step)
{
	static const uint32_t flags[] = {
		0, 0, IOIPC_F_MULTICAST, IOIPC_F_MULTICAST, IOIPC_F_BROADCAST, IOIPC_F_BROADCAST,
		IOIPC_F_BROADCAST | IOIPC_F_OVERWRITE, IOIPC_F_BROADCAST | IOIPC_F_OVERWRITE,
		IOIPC_F_PRIVATE, IOIPC_F_PRIVATE | IOIPC_F_BROADCAST,
		IOIPC_F_PRIVATE | IOIPC_F_MULTICAST,
		IOIPC_F_PRIVATE | IOIPC_F_BROADCAST | IOIPC_F_OVERWRITE,
		IOIPC_F_BROADCAST | IOIPC_F_MULTICAST, IOIPC_F_OVERWRITE,
		IOIPC_F_OVERWRITE | IOIPC_F_MULTICAST, 1U << 5,
	};
	static const uint32_t entries[] = { 4, 1, 2, 8, 16, 4, 2, 8, 0, 3, 65536, 32768 };
	static const uint32_t sizes[] = { 64, 8, 1, 100, 4096, 200, 64, 16, 0, (1 << 20) + 1 };
	static const uint32_t modes[] = { 0666, 0666, 0600, 0660, 0622, 0644, 0400, 0606, 0 };
	struct place place = place_of(step);
	struct io_uring_ipc_channel_create *create = &shared_of(place)->argument.create;
	struct channel *channel = NULL;
	struct extension extension;
	const void *argument;
	uint32_t slot_size;
	int expected;

	/* Most of the time, the values are valid unless the last byte changes them. */
	*create = (struct io_uring_ipc_channel_create) {
		.flags = flags[step->a % ARRAY_SIZE(flags)],
		.ring_entries = entries[step->b % 4 ? step->b % 8 : step->b % ARRAY_SIZE(entries)],
		.max_msg_size = sizes[step->c % 4 ? step->c % 8 : step->c % ARRAY_SIZE(sizes)],
		.mode = modes[step->d % ARRAY_SIZE(modes)],
		.key = keys[step->object % KEYS],
	};
	/* A third of the queues. */
	if (step->a >= 0xb0 && !(create->flags & IOIPC_F_BROADCAST && step->a < 0xf0))
		create->flags |= IOIPC_F_FAIR;
	if (create->ring_entries == 32768)
		/* Both together are larger than the limit. */
		create->max_msg_size = 1 << 20;
	extension = extension_of(place, step, step->object < 0x80 ? 0 : step->object / 4 % NAMES,
				 &create->ext_size, &create->ext);
	slot_size = slot_size_of(create, step->d / 32);
	if (slot_size && !extension.error && !extension.slot_size) {
		if (!create->ext)
			extend(place, names[0], &create->ext_size, &create->ext);
		shared_of(place)->extension.create.slot_size = slot_size;
		extension.slot_size = slot_size;
	}
	if (model.channel_count == MAX_CHANNELS)
		return;
	use(place);
	argument = argument_of(place, step->e, &expected);
	if (step->e == 0xfb)
		expected = -EINVAL;
	if (!expected)
		expected = model_create(&model, place, create, extension, &channel);
	if (!expected && argument != create) {
		expected = -EFAULT;
		model.channel_count--;
	}
	trace("actor %u ring %u: CREATE flags %#x entries %u size %u", place.actor, place.ring,
	      create->flags, create->ring_entries, create->max_msg_size);
	trace(" slots %u mode %o key %#llx name %u argument %#x -> %d\n", extension.slot_size,
	      create->mode, (unsigned long long)create->key, extension.name, step->e, expected);
	expect("CREATE", expected,
	       register_command(place, IOIPC_REGISTER_CREATE, argument, step->e == 0xfb ? 2 : 1));
	if (expected || failed)
		return;
	if (!is_new_id(create->channel_id_out))
		fail("CREATE: the id %u is not new", create->channel_id_out);
	channel->id = create->channel_id_out;
}

/*
 * Finds the oldest message in the ring, for a receiver that attaches with history.  The
 * kernel may keep more messages than receivers can still receive, and decides how many,
 * within limits.  Returns whether the actor can see the oldest message.
 */
static bool look_for_oldest(struct channel *channel)
{
	struct place place = { channel->creator.actor, CONTROL_RING };
	struct io_uring_ipc_channel_attach *attach = &shared_of(place)->argument.attach;
	const struct io_uring_ipc_ring *ring;
	struct io_uring_ipc_channel_attach copy;
	uint32_t step = channel->entries / 4 ? channel->entries / 4 : 1, kept, head;
	uint32_t largest = model_slots(channel, channel->max_msg_size);
	int64_t address;

	if (channel->flags & IOIPC_F_PRIVATE || channel->destroyed)
		return false;
	use(place);
	*attach = (struct io_uring_ipc_channel_attach) {
		.channel_id = channel->id,
		.flags = IOIPC_SUB_RECV,
	};
	if (register_command(place, IOIPC_REGISTER_ATTACH, attach, 1))
		return false;
	copy = *attach;
	address = map(place, copy.channel_fd, copy.region_size, 0, PROT_READ);
	if (address < 0) {
		fail("mmap: %lld", (long long)address);
		return false;
	}
	ring = copy_of(place, (uint64_t)address, sizeof(*ring));
	head = ring->consumer.head;
	unmap(place, (uint64_t)address, copy.region_size);
	close_fd(place, copy.channel_fd);
	expect("DETACH", 0,
	       register_command(place, IOIPC_REGISTER_DETACH, NULL, copy.local_id_out));

	/* A sender has reclaimed what a long message needed, and the rest of the oldest. */
	if (largest > 1)
		step += 3 * largest;
	kept = channel->tail - head;
	trace("#   %u messages of %u are kept\n", kept, channel->tail);
	if (head > model_last(&model, channel))
		fail("messages before %u are gone that were not received", head);
	else if (kept > channel->entries)
		fail("%u messages are kept in %u slots", kept, channel->entries);
	else if (kept + step < channel->entries && kept < channel->tail)
		fail("only %u messages are kept in %u slots", kept, channel->entries);
	else if (head < channel->oldest)
		fail("message %u has come back", head);
	channel->oldest = head;
	return !failed;
}

void step_attach(const struct step *step)
{
	static const uint32_t flags[] = {
		IOIPC_SUB_BOTH, IOIPC_SUB_BOTH, IOIPC_SUB_RECV, IOIPC_SUB_RECV, IOIPC_SUB_SEND,
		IOIPC_SUB_BOTH | IOIPC_SUB_HISTORY, IOIPC_SUB_RECV | IOIPC_SUB_HISTORY,
		IOIPC_SUB_BOTH, IOIPC_SUB_RECV, IOIPC_SUB_SEND | IOIPC_SUB_HISTORY, 0, 16,
		IOIPC_SUB_HISTORY, IOIPC_SUB_SEND,
		IOIPC_SUB_BOTH | IOIPC_SUB_LOSSY, IOIPC_SUB_RECV | IOIPC_SUB_LOSSY,
		IOIPC_SUB_RECV | IOIPC_SUB_LOSSY | IOIPC_SUB_HISTORY,
		IOIPC_SUB_SEND | IOIPC_SUB_LOSSY,
	};
	struct place place = place_of(step);
	struct io_uring_ipc_channel_attach *attach = &shared_of(place)->argument.attach;
	struct subscriber *subscriber = NULL;
	struct extension extension;
	struct channel *channel;
	const void *argument;
	unsigned int name = 0;
	uint32_t id;
	int expected;

	channel = channel_of(step, &id);
	if (model.subscriber_count == MAX_SUBSCRIBERS)
		return;
	use(place);
	*attach = (struct io_uring_ipc_channel_attach) {
		.channel_id = id,
		.flags = flags[step->a % ARRAY_SIZE(flags)],
	};
	if (channel && step->b >= 0xc0)
		attach->key = channel->key;
	else if (!channel && step->b >= 0xc0)
		attach->key = 99;
	/* A name instead of the key, or both. */
	if (step->b >= 0xa0 && (step->b < 0xc0 || step->b >= 0xf8))
		name = channel ? channel->name : step->b % NAMES;
	extension = extension_of(place, step, name, &attach->ext_size, &attach->ext);
	if (extension.slot_size)
		extension.error = -E2BIG;
	channel = model_named(&model, place, attach, extension);
	if (attach->flags & IOIPC_SUB_HISTORY && channel && channel->flags & IOIPC_F_BROADCAST) {
		struct io_uring_ipc_channel_attach saved = *attach;

		if (!look_for_oldest(channel))
			saved.flags &= ~IOIPC_SUB_HISTORY;
		*attach = saved;
	}
	argument = argument_of(place, step->e, &expected);
	if (step->e == 0xfb)
		expected = -EINVAL;
	if (!expected)
		expected = model_attach(&model, place, attach, extension, &subscriber);
	if (!expected && argument != attach) {
		expected = -EFAULT;
		model.subscriber_count--;
	}
	trace("actor %u ring %u: ATTACH channel %u key %#llx name %u", place.actor, place.ring, id,
	      (unsigned long long)attach->key, extension.name);
	trace(" flags %#x argument %#x -> %d\n", attach->flags, step->e, expected);
	expect("ATTACH", expected,
	       register_command(place, IOIPC_REGISTER_ATTACH, argument, step->e == 0xfb ? 0 : 1));
	if (expected || failed)
		return;
	if (!is_new_id(attach->local_id_out))
		fail("ATTACH: the id %u is not new", attach->local_id_out);
	subscriber->id = attach->local_id_out;
	subscriber->fd = attach->channel_fd;
	subscriber->region_size = attach->region_size;
	trace("#   subscriber %u\n", subscriber->id);
	if (attach->mmap_offset_out)
		fail("ATTACH: the offset is %llu", (unsigned long long)attach->mmap_offset_out);
	if (!attach->region_size != (!(attach->flags & IOIPC_SUB_RECV) ||
				     subscriber->channel->flags & IOIPC_F_PRIVATE))
		fail("ATTACH: %u bytes can be mapped", attach->region_size);
}

void step_detach(const struct step *step)
{
	struct place place;
	uint32_t id;
	int expected;

	subscriber_of(step, &id, &place);
	/* Sometimes another actor calls, which may be allowed to detach or not. */
	if (step->a >= 0xa0)
		place = place_of(step);
	use(place);
	expected = id ? model_detach(&model, place, id) : -EINVAL;
	trace("actor %u ring %u: DETACH %u -> %d\n", place.actor, place.ring, id, expected);
	expect("DETACH", expected, register_command(place, IOIPC_REGISTER_DETACH, NULL, id));
}

void step_destroy(const struct step *step)
{
	struct place place = place_of(step);
	struct channel *channel;
	uint32_t id;
	int expected;

	channel = channel_of(step, &id);
	if (channel && step->a < 0x80)
		place = channel->creator;
	if (step->a >= 0xf0 && model.subscriber_count)
		id = model.subscribers[step->a % model.subscriber_count].id;
	use(place);
	expected = id ? model_destroy(&model, place, id) : -EINVAL;
	trace("actor %u ring %u: DESTROY %u -> %d\n", place.actor, place.ring, id, expected);
	expect("DESTROY", expected, register_command(place, IOIPC_REGISTER_DESTROY, NULL, id));
}
