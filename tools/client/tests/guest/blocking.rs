// SPDX-License-Identifier: MIT

//! Senders and receivers that block.

use std::{
    io::IoSlice,
    os::fd::{AsFd, AsRawFd},
    sync::mpsc,
    time::Duration,
};

use io_uring_ipc::{
    Address, Channel, Error, InPlace, MappedReceiver, Options, Receiver, ReceiverOptions, Sender,
    SubscriberId, Typed,
};

use crate::{
    process::{become_nobody, thread_id, wait_until_in, Child},
    Test,
};

pub const TESTS: &[Test] = &[
    ("a message comes with its sender", message_and_sender),
    ("a channel is found by name, key and number", addresses),
    ("empty and full", empty_and_full),
    ("a target gets its message alone", targets),
    ("a vector sends what fits", vectors),
    ("a bundle has all messages in order", bundles),
    ("messages of the largest size", largest),
    ("a receive waits for another process", waits_for_process),
    ("a send waits for room", waits_for_room),
    ("a timeout loses nothing", timeouts),
    ("a signal does not end a wait", signals),
    ("what is left after the end", the_end),
    ("an evicted receiver", eviction),
    ("permissions", permissions),
    ("errors of create and open", errors),
    ("poll", poll),
    ("options of receivers", options),
    ("in place", in_place),
    ("a slot stays as long as its guard", slot_stays),
    (
        "in place: a waiting sender is told of room",
        waiting_sender_of_mapped,
    ),
    ("in place: what was overwritten", in_place_overwritten),
    ("in place: the end and eviction", in_place_end),
    ("in place: which channels", not_in_place),
    ("values", values),
];

fn pair(options: &Options<'_>) -> (Channel, Sender, Receiver) {
    let channel = Channel::create(options).unwrap();
    let (sender, receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    (channel, sender, receiver)
}

fn message_and_sender() {
    let (_channel, mut sender, mut receiver) = pair(&Options::unicast(8, 64));
    sender.set_data(42);
    sender.send(b"hello").unwrap();
    sender.send(b"").unwrap();
    let message = receiver.recv().unwrap();
    assert_eq!(message.data, b"hello");
    assert_eq!(message.info.id, 1);
    assert_eq!(message.info.sender_data, 42);
    assert_eq!(message.info.sender, Some(sender.id()));
    assert_eq!(message.info.pid, std::process::id());
    assert_eq!((message.info.uid, message.info.gid), (0, 0));
    assert!(!message.info.is_targeted);
    assert_eq!(message.info.lost, 0);
    assert_eq!(receiver.recv().unwrap().data, b"");
    assert_ne!(sender.id(), receiver.id());
}

fn addresses() {
    let options = Options::broadcast(8, 64).name("bus/a").key(4711);
    let channel = Channel::create(&options).unwrap();
    let all = [
        Address::from("bus/a"),
        Address::Name(b"bus/a"),
        Address::Key(4711),
        Address::Id(channel.id()),
    ];
    let mut receivers = all.map(|address| Receiver::open(address).unwrap());
    for address in all {
        Sender::open(address).unwrap().send(b"x").unwrap();
    }
    for receiver in &mut receivers {
        assert_eq!(receiver.try_recv_bundle().unwrap().count(), all.len());
    }
    channel.destroy().unwrap();
    for address in all {
        assert!(matches!(Sender::open(address), Err(Error::NoChannel)));
    }
}

fn empty_and_full() {
    let (_channel, mut sender, mut receiver) = pair(&Options::unicast(2, 64));
    assert!(matches!(receiver.try_recv(), Err(Error::Empty)));
    assert!(matches!(receiver.try_recv_bundle(), Err(Error::Empty)));
    sender.try_send(b"1").unwrap();
    sender.try_send(b"2").unwrap();
    assert!(matches!(sender.try_send(b"3"), Err(Error::Full)));
    assert!(matches!(
        sender.try_send_vec(&[IoSlice::new(b"3")]),
        Err(Error::Full)
    ));
    assert_eq!(receiver.try_recv().unwrap().data, b"1");
    sender.try_send(b"3").unwrap();
    assert_eq!(receiver.try_recv().unwrap().data, b"2");
    assert_eq!(receiver.try_recv().unwrap().data, b"3");
}

fn targets() {
    let (channel, mut sender, mut first) = pair(&Options::unicast(8, 64));
    let mut second = channel.receiver().unwrap();
    sender.send_to(second.id(), b"second").unwrap();
    sender.try_send_to(second.id(), b"again").unwrap();
    assert!(matches!(first.try_recv(), Err(Error::Empty)));
    let message = second.try_recv().unwrap();
    assert_eq!(message.data, b"second");
    assert!(message.info.is_targeted);
    assert_eq!(second.try_recv().unwrap().data, b"again");
    let gone = second.id();
    drop(second);
    assert!(matches!(
        sender.send_to(gone, b"gone"),
        Err(Error::NoSubscriber)
    ));
    assert!(matches!(
        sender.send_to(sender.id(), b"self"),
        Err(Error::NoSubscriber)
    ));
    assert!(matches!(first.try_recv(), Err(Error::Empty)));
}

fn vectors() {
    let (_channel, mut sender, mut receiver) = pair(&Options::unicast(4, 64));
    let texts: Vec<String> = (0..6).map(|number: u32| number.to_string()).collect();
    let messages: Vec<_> = texts
        .iter()
        .map(|text| IoSlice::new(text.as_bytes()))
        .collect();
    assert_eq!(sender.send_vec(&[]).unwrap(), 0);
    assert_eq!(sender.send_vec(&messages).unwrap(), 4);
    assert!(matches!(
        sender.try_send_vec(&messages[4..]),
        Err(Error::Full)
    ));
    for text in &texts[..4] {
        assert_eq!(receiver.try_recv().unwrap().data, text.as_bytes());
    }
    assert_eq!(sender.try_send_vec(&messages[4..]).unwrap(), 2);
    // More than the kernel takes at once.
    let (_channel, mut sender, _receiver) = pair(&Options::unicast(2048, 64));
    assert_eq!(
        sender.send_vec(&vec![IoSlice::new(b"x"); 1500]).unwrap(),
        1024
    );
}

fn bundles() {
    let (_channel, mut sender, mut receiver) = pair(&Options::unicast(64, 64));
    let texts: Vec<String> = (0..50).map(|number| "x".repeat(number)).collect();
    for text in &texts {
        sender.send(text.as_bytes()).unwrap();
    }
    let bundle = receiver.recv_bundle().unwrap();
    let found: Vec<_> = bundle.map(|message| message.data.to_vec()).collect();
    assert_eq!(
        found,
        texts
            .iter()
            .map(|text| text.as_bytes().to_vec())
            .collect::<Vec<_>>()
    );
    // A buffer for two messages.
    let channel = Channel::create(&Options::broadcast(8, 64)).unwrap();
    let options = ReceiverOptions::new().buffer(2 * (48 + 64));
    let mut receiver = options.open(Address::Id(channel.id())).unwrap();
    let mut sender = channel.sender().unwrap();
    for _ in 0..5 {
        sender.send(&[7; 64]).unwrap();
    }
    for expected in [2, 2, 1] {
        assert_eq!(receiver.recv_bundle().unwrap().count(), expected);
    }
}

fn largest() {
    for options in [
        Options::unicast(2, 1 << 20),
        Options::unicast(2, 1 << 20).private(),
    ] {
        let (_channel, mut sender, mut receiver) = pair(&options);
        let bytes: Vec<u8> = (0..1 << 20)
            .map(|index: u32| index.to_le_bytes()[1])
            .collect();
        sender.send(&bytes).unwrap();
        assert!(receiver.recv().unwrap().data == bytes);
        assert!(matches!(
            sender.send(&[&bytes[..], b"x"].concat()),
            Err(Error::TooLong)
        ));
    }
}

fn waits_for_process() {
    let (channel, _sender, mut receiver) = pair(&Options::unicast(8, 64));
    let id = channel.id();
    let child = Child::start(|| {
        let mut sender = Sender::open(Address::Id(id)).unwrap();
        for number in 0..100_u32 {
            sender.send(&number.to_ne_bytes()).unwrap();
        }
    });
    for number in 0..100_u32 {
        let message = receiver.recv().unwrap();
        assert_eq!(message.data, number.to_ne_bytes());
        assert_eq!(message.info.pid, child.pid());
    }
    child.join();
}

fn waits_for_room() {
    let (_channel, mut sender, mut receiver) = pair(&Options::unicast(2, 64));
    sender.send(b"1").unwrap();
    sender.send(b"2").unwrap();
    std::thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        let waiting = scope.spawn(move || {
            tell.send(thread_id()).unwrap();
            sender.send(b"3").unwrap();
            sender.send_vec(&[IoSlice::new(b"4")]).unwrap()
        });
        wait_until_in(told.recv().unwrap(), libc::SYS_io_uring_enter);
        for text in [b"1", b"2", b"3", b"4"] {
            assert_eq!(receiver.recv().unwrap().data, text);
        }
        assert_eq!(waiting.join().unwrap(), 1);
    });
}

fn timeouts() {
    let (_channel, mut sender, mut receiver) = pair(&Options::unicast(2, 64));
    let short = Some(Duration::from_millis(1));
    receiver.set_timeout(short);
    sender.set_timeout(short);
    for timeout in [short, Some(Duration::ZERO)] {
        receiver.set_timeout(timeout);
        assert!(matches!(receiver.recv(), Err(Error::TimedOut)));
        assert!(matches!(receiver.recv_bundle(), Err(Error::TimedOut)));
    }
    sender.send(b"1").unwrap();
    sender.send(b"2").unwrap();
    assert!(matches!(sender.send(b"not sent"), Err(Error::TimedOut)));
    // What is there is received, also without time.
    assert_eq!(receiver.recv().unwrap().data, b"1");
    assert_eq!(receiver.recv().unwrap().data, b"2");
    assert!(matches!(receiver.recv(), Err(Error::TimedOut)));
    receiver.set_timeout(Some(Duration::MAX));
    sender.send(b"3").unwrap();
    assert_eq!(receiver.recv().unwrap().data, b"3");

    // A receive that ends again and again while messages come.
    receiver.set_timeout(Some(Duration::from_micros(50)));
    sender.set_timeout(None);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for number in 0..2000_u32 {
                sender.send(&number.to_ne_bytes()).unwrap();
            }
        });
        for number in 0..2000_u32 {
            let bytes = loop {
                match receiver.recv() {
                    Err(Error::TimedOut) => (),
                    result => break result.unwrap().data.to_vec(),
                }
            };
            assert_eq!(bytes, number.to_ne_bytes());
        }
    });
}

extern "C" fn ignore(_signal: i32) {}

fn signals() {
    let (_channel, mut sender, mut receiver) = pair(&Options::unicast(2, 64));
    // SAFETY: The function does nothing.
    unsafe { libc::signal(libc::SIGUSR1, ignore as *const () as libc::sighandler_t) };
    std::thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        let waiting = scope.spawn(move || {
            tell.send(thread_id()).unwrap();
            receiver.recv().unwrap().data.to_vec()
        });
        let thread = told.recv().unwrap();
        for _ in 0..3 {
            wait_until_in(thread, libc::SYS_io_uring_enter);
            let process = std::process::id();
            // SAFETY: The call has no memory.
            let result = unsafe { libc::syscall(libc::SYS_tgkill, process, thread, libc::SIGUSR1) };
            assert_eq!(result, 0);
        }
        assert!(!waiting.is_finished());
        sender.send(b"after the signals").unwrap();
        assert_eq!(waiting.join().unwrap(), b"after the signals");
    });
}

fn the_end() {
    let (channel, mut sender, mut receiver) = pair(&Options::unicast(8, 64));
    sender.send(b"last").unwrap();
    drop(channel);
    assert!(matches!(sender.send(b"too late"), Err(Error::Destroyed)));
    assert_eq!(receiver.recv().unwrap().data, b"last");
    assert!(matches!(receiver.recv(), Err(Error::Destroyed)));
    assert!(matches!(receiver.try_recv(), Err(Error::Destroyed)));
}

fn eviction() {
    let (mut channel, mut sender, mut receiver) = pair(&Options::broadcast(2, 64));
    sender.send(b"1").unwrap();
    sender.send(b"2").unwrap();
    assert!(matches!(sender.try_send(b"3"), Err(Error::Full)));
    channel.evict(receiver.id()).unwrap();
    sender.try_send(b"3").unwrap();
    assert!(matches!(receiver.recv(), Err(Error::NoSubscriber)));
    assert!(matches!(
        channel.evict(receiver.id()),
        Err(Error::NoSubscriber)
    ));
    channel.evict(sender.id()).unwrap();
    assert!(matches!(sender.send(b"4"), Err(Error::NoSubscriber)));
}

fn permissions() {
    let create =
        |mode, name| Channel::create(&Options::unicast(8, 64).mode(mode).name(name)).unwrap();
    let mut channel = create(0o602, "perm/send");
    let _other = create(0o604, "perm/receive");
    let mut receiver = channel.receiver().unwrap();
    let id = receiver.id();
    Child::start(move || {
        become_nobody();
        Sender::open("perm/send")
            .unwrap()
            .send(b"from nobody")
            .unwrap();
        assert!(matches!(Receiver::open("perm/send"), Err(Error::Denied)));
        Receiver::open("perm/receive").unwrap();
        assert!(matches!(Sender::open("perm/receive"), Err(Error::Denied)));
        let mut own = Channel::create(&Options::unicast(8, 64)).unwrap();
        assert!(matches!(own.evict(id), Err(Error::NotOwner)));
    })
    .join();
    assert_eq!(receiver.recv().unwrap().info.uid, 65534);
    channel.evict(id).unwrap();
}

fn errors() {
    let create = |options: Options<'_>| Channel::create(&options).map(|channel| channel.id());
    let _first = Channel::create(&Options::unicast(8, 64).name("taken").key(7)).unwrap();
    assert!(matches!(
        create(Options::unicast(8, 64).name("taken")),
        Err(Error::Exists)
    ));
    assert!(matches!(
        create(Options::unicast(8, 64).key(7)),
        Err(Error::Exists)
    ));
    assert!(matches!(
        create(Options::unicast(3, 64)),
        Err(Error::Invalid)
    ));
    assert!(matches!(
        create(Options::unicast(8, 64).overwrite()),
        Err(Error::Invalid)
    ));
    assert!(matches!(
        create(Options::unicast(8, 64).name(&[b'x'; 128])),
        Err(Error::Invalid)
    ));
    assert!(matches!(
        create(Options::unicast(8, 64).name("a\0b")),
        Err(Error::Invalid)
    ));
    assert!(matches!(Sender::open("nothing"), Err(Error::NoChannel)));
    assert!(matches!(
        Sender::open(Address::Key(0)),
        Err(Error::NoChannel)
    ));
    let receiver = ReceiverOptions::new().history().open("taken");
    assert!(matches!(receiver, Err(Error::Invalid)));
    let error = Sender::open("nothing").err().unwrap();
    assert_eq!(error.errno(), libc::ENOENT);
    assert!(error.to_string().contains("create it first"));
}

/// Which events a file has.
fn events(file: &impl AsFd) -> i16 {
    let mut poll = libc::pollfd {
        fd: file.as_fd().as_raw_fd(),
        events: libc::POLLIN | libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: This is one `struct pollfd`.
    assert!(unsafe { libc::poll(&raw mut poll, 1, 0) } >= 0);
    poll.revents
}

fn poll() {
    let (mut channel, mut sender, mut receiver) = pair(&Options::unicast(2, 64));
    assert_eq!((events(&sender), events(&receiver)), (libc::POLLOUT, 0));
    sender.send_vec(&[IoSlice::new(b"x"); 2]).unwrap();
    assert_eq!((events(&sender), events(&receiver)), (0, libc::POLLIN));
    receiver.recv_bundle().unwrap();
    assert_eq!((events(&sender), events(&receiver)), (libc::POLLOUT, 0));
    channel.evict(receiver.id()).unwrap();
    assert_eq!(events(&receiver), libc::POLLHUP);
    drop(channel);
    assert_ne!(events(&sender) & libc::POLLHUP, 0);
}

fn options() {
    let channel = Channel::create(&Options::broadcast(4, 64).name("options")).unwrap();
    let mut sender = channel.sender().unwrap();
    let mut lossy = ReceiverOptions::new().lossy().open("options").unwrap();
    for number in 0..10_u8 {
        sender.try_send(&[number]).unwrap();
    }
    let mut late = ReceiverOptions::new()
        .lossy()
        .history()
        .open("options")
        .unwrap();
    let mut now = Receiver::open("options").unwrap();
    let first = lossy.recv().unwrap();
    assert_eq!(u64::from(first.data[0]), first.info.lost);
    assert!(first.info.lost >= 6);
    assert_eq!(late.try_recv_bundle().unwrap().last().unwrap().data, [9]);
    assert!(matches!(now.try_recv(), Err(Error::Empty)));
}

/// The numbers that messages consist of.
fn numbers(mut messages: InPlace<'_>) -> Vec<u8> {
    messages
        .iter()
        .map(|message| message.to_vec().unwrap()[0])
        .collect()
}

fn in_place() {
    let channel = Channel::create(&Options::broadcast(8, 64).name("in-place")).unwrap();
    let mut sender = channel.sender().unwrap();
    let mut receiver = MappedReceiver::open("in-place").unwrap();
    let mut copying = channel.receiver().unwrap();
    assert!(receiver.peek().is_none());
    assert!(matches!(receiver.try_recv(), Err(Error::Empty)));
    sender.set_data(9);
    sender.send(b"hello, world").unwrap();
    sender.send_to(copying.id(), b"for another").unwrap();
    sender.send_to(receiver.id(), b"").unwrap();
    {
        let mut messages = receiver.recv().unwrap();
        let mut iter = messages.iter();
        let message = iter.next().unwrap();
        assert_eq!(
            (message.len(), message.id(), message.sender_data()),
            (12, 1, 9)
        );
        assert_eq!(message.sender(), Some(sender.id()));
        let mut part = [0; 5];
        assert!(message.read(7, &mut part));
        assert_eq!(&part, b"world");
        assert_eq!(message.to_vec().unwrap(), b"hello, world");
        // SAFETY: The message has a byte.
        assert_eq!(unsafe { message.as_ptr().read_volatile() }, b'h');
        let empty = iter.next().unwrap();
        assert!(empty.is_empty() && empty.is_intact());
        assert!(iter.next().is_none());
    }
    assert!(receiver.peek().is_none());
    copying.recv_bundle().unwrap();
    // Many times round the ring, and with a process that waits. The process must not inherit what
    // this one is going to drop.
    drop(copying);
    let id = channel.id();
    let child = Child::start(move || {
        let mut sender = Sender::open(Address::Id(id)).unwrap();
        for number in 0..1000_u32 {
            sender.send(&number.to_le_bytes()).unwrap();
        }
    });
    let mut expected = 0_u32;
    while expected < 1000 {
        for message in receiver.recv().unwrap().iter() {
            assert_eq!(message.to_vec().unwrap(), expected.to_le_bytes());
            expected += 1;
        }
    }
    child.join();
    assert_eq!(receiver.lost(), 0);
}

fn slot_stays() {
    let channel = Channel::create(&Options::broadcast(4, 64)).unwrap();
    let mut sender = channel.sender().unwrap();
    let mut receiver = channel.receiver().unwrap().into_mapped().unwrap();
    for number in 0..4 {
        sender.try_send(&[number]).unwrap();
    }
    let mut messages = receiver.recv().unwrap();
    assert_eq!(messages.iter().count(), 4);
    assert!(matches!(sender.try_send(b"no room"), Err(Error::Full)));
    drop(messages);
    sender.try_send(&[4]).unwrap();
    // Only what the iterator has returned is consumed.
    let mut messages = receiver.recv().unwrap();
    assert_eq!(messages.iter().next().unwrap().to_vec().unwrap(), [4]);
    drop(messages);
    for number in 5..9 {
        sender.try_send(&[number]).unwrap();
    }
    let mut messages = receiver.recv().unwrap();
    assert_eq!(messages.iter().take(2).count(), 2);
    drop(messages);
    sender.try_send(&[9]).unwrap();
    sender.try_send(&[10]).unwrap();
    assert!(matches!(sender.try_send(b"no room"), Err(Error::Full)));
    assert_eq!(numbers(receiver.recv().unwrap()), [7, 8, 9, 10]);
    // A guard whose messages nobody has looked at.
    sender.try_send(&[11]).unwrap();
    drop(receiver.recv().unwrap());
    assert_eq!(numbers(receiver.recv().unwrap()), [11]);
}

fn waiting_sender_of_mapped() {
    let channel = Channel::create(&Options::broadcast(4, 64)).unwrap();
    let mut sender = channel.sender().unwrap();
    let mut receiver = channel.receiver().unwrap().into_mapped().unwrap();
    for number in 0..4 {
        sender.try_send(&[number]).unwrap();
    }
    std::thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        let waiting = scope.spawn(move || {
            tell.send(thread_id()).unwrap();
            sender.send(&[4]).unwrap();
        });
        wait_until_in(told.recv().unwrap(), libc::SYS_io_uring_enter);
        // No function of the receiver waits, or asks the kernel itself.
        assert_eq!(numbers(receiver.peek().unwrap()), [0, 1, 2, 3]);
        waiting.join().unwrap();
        assert_eq!(numbers(receiver.peek().unwrap()), [4]);
    });
}

fn in_place_overwritten() {
    let channel = Channel::create(&Options::broadcast(4, 64).overwrite()).unwrap();
    let mut sender = channel.sender().unwrap();
    let mut receiver = channel.receiver().unwrap().into_mapped().unwrap();
    sender.send(&[0]).unwrap();
    let mut messages = receiver.recv().unwrap();
    let message = messages.iter().next().unwrap();
    assert!(message.is_intact());
    for number in 1..9 {
        sender.try_send(&[number]).unwrap();
    }
    assert!(!message.is_intact());
    assert_eq!(message.to_vec(), None);
    drop(messages);
    let found = numbers(receiver.recv().unwrap());
    assert_eq!(found.last(), Some(&8));
    let found = u64::try_from(found.len()).unwrap();
    assert_eq!(receiver.lost() + found, 8);
}

fn in_place_end() {
    let mut channel = Channel::create(&Options::broadcast(4, 64)).unwrap();
    let mut sender = channel.sender().unwrap();
    let mut receivers = [(); 2].map(|()| channel.receiver().unwrap().into_mapped().unwrap());
    sender.send(&[1]).unwrap();
    channel.evict(receivers[0].id()).unwrap();
    drop(channel);
    assert_eq!(numbers(receivers[1].recv().unwrap()), [1]);
    assert!(matches!(receivers[1].recv(), Err(Error::Destroyed)));
    assert!(matches!(receivers[1].try_recv(), Err(Error::Destroyed)));
    while receivers[0]
        .peek()
        .is_some_and(|mut messages| messages.iter().count() > 0)
    {}
    assert!(matches!(receivers[0].recv(), Err(Error::NoSubscriber)));
}

fn not_in_place() {
    for options in [Options::unicast(4, 64), Options::broadcast(4, 64).private()] {
        let channel = Channel::create(&options).unwrap();
        let receiver = channel.receiver().unwrap();
        assert!(matches!(receiver.into_mapped(), Err(Error::NotInPlace)));
    }
}

#[derive(Debug, PartialEq, serde::Deserialize, serde::Serialize)]
struct Price {
    symbol: String,
    cents: Option<u64>,
}

fn values() {
    let (_channel, sender, receiver) = pair(&Options::unicast(8, 64));
    let mut sender = Typed::<Price, _>::new(sender);
    let mut receiver = Typed::<Price, _>::new(receiver);
    let price = |cents| Price {
        symbol: "ACME".into(),
        cents,
    };
    sender.send(&price(None)).unwrap();
    sender.try_send(&price(Some(u64::MAX))).unwrap();
    sender
        .send_to(receiver.get_ref().id(), &price(Some(1)))
        .unwrap();
    assert_eq!(receiver.recv().unwrap().data, price(None));
    assert_eq!(receiver.try_recv().unwrap().data, price(Some(u64::MAX)));
    let message = receiver.recv().unwrap();
    assert_eq!(message.data, price(Some(1)));
    assert!(message.info.is_targeted);
    // A message of another type is an error, and the next one is received.
    sender.get_mut().send(b"\xff").unwrap();
    sender.send(&price(None)).unwrap();
    assert!(matches!(receiver.recv(), Err(Error::Codec(_))));
    assert_eq!(receiver.recv().unwrap().data, price(None));
    let long = Price {
        symbol: "x".repeat(100),
        cents: None,
    };
    assert!(matches!(sender.send(&long), Err(Error::TooLong)));
    assert!(SubscriberId::new(0).is_none());
}
