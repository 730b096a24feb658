// SPDX-License-Identifier: GPL-2.0

//! The files of messages. The ring does not know of them.
//!
//! A channel has a table of them once a sender has passed files. Readers of the table are in an RCU
//! read-side critical section. A message owns its files from before it is published. In a queue its
//! receiver takes them, while it has its claim. In a broadcast each receiver shares them, while it has
//! its claim, and they go when the slot of the message is reclaimed. A message that is dropped gives its
//! files up.
//!
//! To release a file can take as long as its owner likes. So a task releases only files of its own
//! user, or those that it has asked for and got. A workqueue releases the others, a grace period later.
//!
//! Locking: the spinlocks [`FileTable::slots`] and [`Held::files`], inside which there is no other lock.

use kernel::{
    new_spinlock,
    prelude::*,
    sync::{aref::ARef, rcu, Arc, SpinLock},
};

use super::{in_flight::Charge, Channel};
use crate::{
    kernel::{alloc::GFP_MAYFAIL, bindings, fds::PassedFile, rcu::RcuObject},
    memory::{region::Region, user_buffer::UserBuffer},
    observe::trace,
    ring::{Memory, Mode},
    uapi,
};

/// At how many slots of a table a task looks while it holds the lock.
const MAX_LOOKS: u32 = 64;

/// The size of a descriptor in user memory.
pub(crate) const FD_SIZE: u32 = size_of::<i32>() as u32;

/// Files, in the order in which they were sent.
pub(crate) struct Files {
    list: KVec<PassedFile>,
    _charge: Charge,
}

impl Files {
    /// How many there are, at most [`uapi::IOIPC_MAX_FDS`].
    pub(crate) fn len(&self) -> u32 {
        // CAST: They are few.
        self.list.len() as u32
    }

    /// Gives the current task a descriptor of each file, as far as its limits allow and there is room
    /// for the numbers in `array`. May sleep.
    pub(crate) fn receive(&self, array: UserBuffer) -> Descriptors {
        let mut received = Descriptors {
            numbers: [0; uapi::IOIPC_MAX_FDS as usize],
            count: 0,
        };
        let places = (array.len() / FD_SIZE) as usize;
        for (file, number) in self.list.iter().zip(&mut received.numbers).take(places) {
            let to = array.beyond(received.count * FD_SIZE, FD_SIZE).address();
            let Ok(fd) = file.receive(to) else {
                break;
            };
            *number = fd;
            received.count += 1;
        }
        received
    }
}

/// Descriptors that the current task has got.
pub(crate) struct Descriptors {
    numbers: [u32; uapi::IOIPC_MAX_FDS as usize],
    count: u32,
}

impl Descriptors {
    /// How many there are.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Closes them: their task does not learn how many there are. May sleep.
    pub(crate) fn close(self) {
        for &fd in self.numbers.iter().take(self.count as usize) {
            // Another thread may have closed it already.
            let _ = bindings::close_fd(fd);
        }
    }
}

/// What a message has of its files. The workqueue drops it, and with it the files that nobody has taken.
#[pin_data]
pub(crate) struct Held {
    count: u32,
    /// The user that has sent them.
    uid: u32,
    #[pin]
    files: SpinLock<Option<Arc<Files>>>,
}

/// The files of a message.
pub(crate) type Parcel = ARef<RcuObject<Held>>;

impl Held {
    /// Puts files into a parcel. The charge is for as many. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(list: KVec<PassedFile>, charge: Charge) -> Result<Parcel> {
        let uid = charge.uid();
        let files = Files {
            list,
            _charge: charge,
        };
        let (count, files) = (files.len(), Arc::new(files, GFP_MAYFAIL)?);
        RcuObject::new(try_pin_init!(Self {
            count,
            uid,
            files <- new_spinlock!(Some(files)),
        }? Error))
    }

    /// Takes the files out. Dropping them releases them at once, if no receiver shares them.
    pub(crate) fn take(&self) -> Option<Arc<Files>> {
        self.files.lock().take()
    }

    fn share(&self) -> Option<Arc<Files>> {
        self.files.lock().clone()
    }
}

/// The files of a message that a receiver has received. If it is dropped, the receiver does not want
/// them.
pub(crate) struct Incoming {
    files: Arc<Files>,
    /// Those of the message, unless other receivers share them.
    parcel: Option<Parcel>,
}

impl Incoming {
    /// The files.
    pub(crate) fn files(&self) -> &Files {
        &self.files
    }

    /// The receiver has all of them. So they are not released, unless the receiver closes them.
    pub(crate) fn finish(self) {
        if let Some(parcel) = &self.parcel {
            drop(parcel.take());
        }
    }
}

/// What the message in a slot has.
#[derive(Default)]
struct Slot {
    position: u32,
    parcel: Option<Parcel>,
}

struct Slots {
    slots: KVVec<Slot>,
    /// In a broadcast, the messages before this position have none.
    reclaimed: u32,
    /// How many files all of them have.
    count: u32,
}

impl Slots {
    fn slot(&mut self, position: u32) -> Option<&mut Slot> {
        let index = position as usize & self.slots.len().wrapping_sub(1);
        self.slots.get_mut(index)
    }

    fn take(&mut self, position: u32) -> Option<Parcel> {
        let slot = self.slot(position)?;
        let parcel = slot.parcel.take_if(|_| slot.position == position)?;
        self.count -= parcel.count;
        Some(parcel)
    }
}

/// The files of the messages of a channel.
#[pin_data]
pub(crate) struct FileTable {
    #[pin]
    slots: SpinLock<Slots>,
}

impl FileTable {
    /// A table that [`Channel::lacks_table`] asks for. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(size: TableSize) -> Result<ARef<RcuObject<Self>>> {
        let TableSize { entries, head } = size;
        let mut slots = KVVec::with_capacity(entries as usize, GFP_MAYFAIL)?;
        for _ in 0..entries {
            slots.push(Slot::default(), GFP_MAYFAIL)?;
        }
        RcuObject::new(try_pin_init!(Self {
            slots <- new_spinlock!(Slots {
                slots,
                reclaimed: head,
                count: 0,
            }),
        }? Error))
    }

    /// Gives the message at a position files. Returns those of an earlier message in the same slot.
    fn put(&self, position: u32, parcel: Parcel) -> Option<Parcel> {
        let mut slots = self.slots.lock();
        let count = parcel.count;
        let slot = slots.slot(position)?;
        slot.position = position;
        let displaced = slot.parcel.replace(parcel);
        slots.count += count;
        slots.count -= displaced.as_ref().map_or(0, |parcel| parcel.count);
        displaced
    }

    fn has(&self, position: u32) -> bool {
        let mut slots = self.slots.lock();
        slots
            .slot(position)
            .is_some_and(|slot| slot.position == position && slot.parcel.is_some())
    }

    fn take(&self, position: u32) -> Option<Parcel> {
        self.slots.lock().take(position)
    }

    fn share(&self, position: u32) -> Option<Arc<Files>> {
        let mut slots = self.slots.lock();
        let slot = slots.slot(position)?;
        let parcel = slot.parcel.as_ref().filter(|_| slot.position == position)?;
        parcel.share()
    }

    /// Looks for files of messages of a broadcast before `head`, in a few slots. Returns those of one
    /// message if it finds any, and nothing if there are none left.
    fn take_before(&self, head: u32) -> Option<Option<Parcel>> {
        let mut slots = self.slots.lock();
        let is_before_head = |position: u32| (head.wrapping_sub(position) as i32) > 0;
        if !is_before_head(slots.reclaimed) {
            return None;
        }
        for _ in 0..MAX_LOOKS {
            let position = slots.reclaimed;
            if !is_before_head(position) {
                break;
            }
            slots.reclaimed = position.wrapping_add(1);
            // A later message may have the slot by now. Then its sender has taken the files.
            let parcel = slots.take(position);
            if parcel.is_some() {
                return Some(parcel);
            }
        }
        Some(None)
    }
}

/// How large a table has to be.
#[derive(Clone, Copy)]
pub(crate) struct TableSize {
    entries: u32,
    head: u32,
}

impl Channel {
    /// Whether it needs a table before a sender can pass files, and which.
    pub(crate) fn lacks_table(&self) -> Option<TableSize> {
        self.files.is_empty().then(|| TableSize {
            entries: self.entries(),
            head: self.ring.head_position(),
        })
    }

    /// Gives it a table of this size, unless another sender was faster.
    pub(crate) fn add_table(&self, size: TableSize, table: ARef<RcuObject<FileTable>>) {
        if size.entries == self.entries() {
            self.files.fill(table);
        }
    }

    /// How many files its messages have.
    pub(crate) fn files_held(&self) -> u32 {
        let guard = rcu::read_lock();
        let table = self.files.get(&guard);
        table.map_or(0, |table| table.slots.lock().count)
    }

    /// Gives the message at a position files, before it is published. Returns those of an earlier message
    /// in the same slot. There is no table any more if nobody can receive the message.
    pub(super) fn put_files(
        &self,
        position: u32,
        parcel: &Parcel,
        guard: &rcu::Guard,
    ) -> Option<Parcel> {
        let displaced = self.files.get(guard)?.put(position, parcel.clone());
        trace::files(|| (self.id, Region::message_id(position), parcel.count));
        displaced
    }

    /// Whether the message at a position, which the caller has claimed, has files.
    #[cold]
    #[inline(never)]
    pub(super) fn has_files(&self, position: u32) -> bool {
        let guard = rcu::read_lock();
        let table = self.files.get(&guard);
        table.is_some_and(|table| table.has(position))
    }

    /// Calls `take` with the files of the message at a position, if it has any, and with the flags of its
    /// info. Its receiver has claimed it, and is going to consume it.
    #[cold]
    #[inline(never)]
    pub(super) fn take_files(
        &self,
        position: u32,
        info_flags: u32,
        take: &mut impl FnMut(Incoming, u32),
    ) {
        if let Some(incoming) = self.files_of(position) {
            take(incoming, info_flags);
        }
    }

    fn files_of(&self, position: u32) -> Option<Incoming> {
        let guard = rcu::read_lock();
        let table = self.files.get(&guard)?;
        if self.mode == Mode::Broadcast {
            let files = table.share(position)?;
            return Some(Incoming {
                files,
                parcel: None,
            });
        }
        let parcel = table.take(position)?;
        Some(Incoming {
            files: parcel.share()?,
            parcel: Some(parcel),
        })
    }

    /// The message at a position was dropped.
    #[cold]
    pub(super) fn drop_files(&self, position: u32) {
        let guard = rcu::read_lock();
        drop(
            self.files
                .get(&guard)
                .and_then(|table| table.take(position)),
        );
    }

    /// Senders can use slots of a broadcast again, so the files of their messages go.
    ///
    /// The caller releases some files that its own user has sent, about as many as a message can have:
    /// they do not count as in flight any more when this returns.
    #[cold]
    #[inline(never)]
    pub(super) fn drop_reclaimed_files(&self, guard: &rcu::Guard) {
        let Some(table) = self.files.get(guard) else {
            return;
        };
        let head = self.ring.head_position();
        let uid = bindings::ioipc_current_real_user();
        let mut released = 0;
        while let Some(found) = table.take_before(head) {
            let Some(parcel) = found else {
                continue;
            };
            if parcel.uid == uid && released < uapi::IOIPC_MAX_FDS {
                drop(parcel.take());
                released += parcel.count;
            }
        }
    }

    /// Its sender has as many files in flight as it may have. Those of messages that all receivers of a
    /// broadcast have received are only there for receivers that join later.
    pub(crate) fn give_up_files(&self, guard: &rcu::Guard) {
        if self.mode == Mode::Broadcast && !self.files.is_empty() {
            self.reclaim(0, guard);
        }
    }

    /// Drops all files if nobody can receive them any more: the channel was destroyed, and has no
    /// receiver. The kernel may keep the channel for as long as somebody maps it.
    pub(super) fn drop_files_at_the_end(&self) {
        if self.files.is_empty() {
            return;
        }
        // `close` and `detach` change one of them each, and then come here.
        Region::full_barrier();
        let mut is_any_left = false;
        self.members.find_marked(0, &rcu::read_lock(), |_| {
            is_any_left = true;
            true
        });
        if self.ring.is_closed() && !is_any_left {
            drop(self.files.take());
        }
    }
}
