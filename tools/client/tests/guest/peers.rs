// SPDX-License-Identifier: MIT

//! Subscribers that send and receive, senders without a subscriber, and what a process does to
//! subscribers and channels of others.

use std::{io::IoSlice, time::Duration};

use io_uring_ipc::{
    destroy, evict, Address, Channel, Error, Limits, MappedReceiver, Options, Peer, Poster,
    Receiver, Sender, SubscriberId,
};

use crate::{
    process::{become_nobody, thread_id, wait_until_in, Child},
    Test,
};

pub const TESTS: &[Test] = &[
    ("a peer answers a peer", answers),
    ("a peer of a broadcast gets its own messages", own_messages),
    ("a peer needs both permissions", peer_permissions),
    ("a vector for one receiver", vector_to_target),
    ("a poster sends to several channels", poster),
    ("a poster waits for room", poster_waits),
    ("a poster and permissions", poster_permissions),
    ("a subscriber that is gone", gone),
    ("all messages come before the end", gone_after_messages),
    ("waiting for an end has a timeout", gone_timeout),
    ("one of many creates, and all open", open_or_create),
    ("what open_or_create cannot do", open_or_create_errors),
    (
        "another process of the owner evicts and destroys",
        by_number,
    ),
    ("messages of several slots, copied and in place", large),
    ("limits", limits),
];

fn answers() {
    let channel = Channel::create(&Options::unicast(8, 64)).unwrap();
    let mut server = Peer::open(Address::Id(channel.id())).unwrap();
    let (id, number) = (channel.id(), server.id());
    let child = Child::start(move || {
        let mut client = Peer::open(Address::Id(id)).unwrap();
        client.set_data(5);
        for text in ["one", "two", "three"] {
            client.send_to(number, text.as_bytes()).unwrap();
            let answer = client.recv().unwrap();
            assert_eq!(answer.data, text.to_ascii_uppercase().as_bytes());
            assert_eq!(answer.info.sender, Some(number));
            assert!(answer.info.is_targeted);
        }
        assert!(matches!(client.try_recv(), Err(Error::Empty)));
        assert!(matches!(client.try_recv_bundle(), Err(Error::Empty)));
    });
    for _ in 0..3 {
        let request = server.recv().unwrap();
        assert_eq!(request.info.sender_data, 5);
        let (client, answer) = (
            request.info.sender.unwrap(),
            request.data.to_ascii_uppercase(),
        );
        server.send_to(client, &answer).unwrap();
    }
    child.join();
}

fn own_messages() {
    let channel = Channel::create(&Options::broadcast(8, 64)).unwrap();
    let mut peer = Peer::open(Address::Id(channel.id())).unwrap();
    let mut other = channel.receiver().unwrap();
    peer.send(b"1").unwrap();
    peer.send(b"2").unwrap();
    assert_eq!(peer.recv_bundle().unwrap().count(), 2);
    assert_eq!(other.recv_bundle().unwrap().count(), 2);
}

fn peer_permissions() {
    for (mode, may) in [(0o602, false), (0o604, false), (0o606, true)] {
        let channel = Channel::create(&Options::unicast(8, 64).mode(mode)).unwrap();
        let id = channel.id();
        Child::start(move || {
            become_nobody();
            match Peer::open(Address::Id(id)) {
                Ok(_) => assert!(may),
                Err(error) => assert!(!may && matches!(error, Error::Denied)),
            }
        })
        .join();
    }
}

fn vector_to_target() {
    let channel = Channel::create(&Options::unicast(4, 64)).unwrap();
    let mut sender = channel.sender().unwrap();
    let mut first = channel.receiver().unwrap();
    let mut second = channel.receiver().unwrap();
    let sent = sender.send_vec_to(second.id(), &[IoSlice::new(b"x"); 6]);
    assert_eq!(sent.unwrap(), 4);
    assert!(matches!(first.try_recv(), Err(Error::Empty)));
    assert!(second
        .recv_bundle()
        .unwrap()
        .all(|message| message.info.is_targeted));
    let gone = second.id();
    drop(second);
    assert!(matches!(
        sender.send_vec_to(gone, &[IoSlice::new(b"x")]),
        Err(Error::NoSubscriber)
    ));
}

fn poster() {
    let channels = [(); 3].map(|()| Channel::create(&Options::unicast(1, 64)).unwrap());
    let mut poster = Poster::new().unwrap();
    for channel in &channels {
        let mut receiver = channel.receiver().unwrap();
        poster.send(channel.id(), b"to all").unwrap();
        assert!(matches!(
            poster.try_send(channel.id(), b"full"),
            Err(Error::Full)
        ));
        let message = receiver.recv().unwrap();
        assert_eq!((message.data, message.info.sender), (&b"to all"[..], None));
        assert_eq!(message.info.pid, std::process::id());
        poster
            .send_to(channel.id(), receiver.id(), b"to one")
            .unwrap();
        assert!(receiver.recv().unwrap().info.is_targeted);
    }
    assert!(matches!(
        poster.send(channels[0].id(), &[0; 65]),
        Err(Error::TooLong)
    ));
    let id = channels[0].id();
    drop(channels);
    assert!(matches!(poster.send(id, b"gone"), Err(Error::NoChannel)));
}

fn poster_waits() {
    let channel = Channel::create(&Options::unicast(1, 64)).unwrap();
    let mut receiver = channel.receiver().unwrap();
    let mut poster = Poster::new().unwrap();
    poster.send(channel.id(), b"1").unwrap();
    poster.set_timeout(Some(Duration::from_millis(1)));
    assert!(matches!(
        poster.send(channel.id(), b"not sent"),
        Err(Error::TimedOut)
    ));
    poster.set_timeout(None);
    std::thread::scope(|scope| {
        let (tell, told) = std::sync::mpsc::channel();
        let id = channel.id();
        let waiting = scope.spawn(move || {
            tell.send(thread_id()).unwrap();
            poster.send(id, b"2").unwrap();
        });
        wait_until_in(told.recv().unwrap(), libc::SYS_io_uring_enter);
        assert_eq!(receiver.recv().unwrap().data, b"1");
        assert_eq!(receiver.recv().unwrap().data, b"2");
        waiting.join().unwrap();
    });
}

fn poster_permissions() {
    let private = Channel::create(&Options::unicast(8, 64).private()).unwrap();
    let own = Channel::create(&Options::unicast(8, 64)).unwrap();
    let mut poster = Poster::new().unwrap();
    assert!(matches!(
        poster.send(private.id(), b"x"),
        Err(Error::Denied)
    ));
    let id = own.id();
    Child::start(move || {
        become_nobody();
        let mut poster = Poster::new().unwrap();
        assert!(matches!(poster.send(id, b"x"), Err(Error::Denied)));
    })
    .join();
}

fn gone() {
    let channel = Channel::create(&Options::unicast(8, 64)).unwrap();
    let mut receiver = channel.receiver().unwrap();
    let mut sender = channel.sender().unwrap();
    // A process that ends.
    let id = channel.id();
    let child = Child::start(move || {
        let own = Sender::open(Address::Id(id)).unwrap();
        Poster::new()
            .unwrap()
            .send(id, &own.id().get().to_ne_bytes())
            .unwrap();
    });
    let other = u32::from_ne_bytes(receiver.recv().unwrap().data.try_into().unwrap());
    let other = SubscriberId::new(other).unwrap();
    match receiver.wait_gone(other) {
        // It may have ended before.
        Ok(()) | Err(Error::NoSubscriber) => (),
        Err(error) => panic!("{error}"),
    }
    child.join();
    assert!(matches!(
        receiver.wait_gone(other),
        Err(Error::NoSubscriber)
    ));

    // One that another thread drops while this one waits.
    let other = channel.receiver().unwrap();
    let number = other.id();
    let waiting = thread_id();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            wait_until_in(waiting, libc::SYS_io_uring_enter);
            drop(other);
        });
        sender.wait_gone(number).unwrap();
    });

    // The channel is destroyed while it waits.
    let other = channel.receiver().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            wait_until_in(waiting, libc::SYS_io_uring_enter);
            drop(channel);
        });
        assert!(matches!(
            sender.wait_gone(other.id()),
            Err(Error::Destroyed)
        ));
    });
}

fn gone_after_messages() {
    let channel = Channel::create(&Options::broadcast(64, 64)).unwrap();
    let mut receiver = channel.receiver().unwrap();
    for round in 0..20 {
        let mut sender = channel.sender().unwrap();
        let number = sender.id();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for _ in 0..round {
                    sender.send(b"x").unwrap();
                }
            });
            match receiver.wait_gone(number) {
                Ok(()) | Err(Error::NoSubscriber) => (),
                Err(error) => panic!("{error}"),
            }
        });
        let count = receiver.try_recv_bundle().map_or(0, Iterator::count);
        assert_eq!(count, round);
    }
}

fn gone_timeout() {
    let channel = Channel::create(&Options::unicast(8, 64)).unwrap();
    let mut receiver = channel.receiver().unwrap();
    let other = channel.sender().unwrap();
    receiver.set_timeout(Some(Duration::from_millis(1)));
    assert!(matches!(
        receiver.wait_gone(other.id()),
        Err(Error::TimedOut)
    ));
}

fn open_or_create() {
    let options = Options::broadcast(8, 64).name("all/open");
    let (mut receiver, created) = Channel::open_or_create(&options, Receiver::open).unwrap();
    let created = created.unwrap();
    let (mut sender, none) = Channel::open_or_create(&options, Sender::open).unwrap();
    assert!(none.is_none());
    sender.send(b"x").unwrap();
    assert_eq!(receiver.recv().unwrap().data, b"x");
    drop(created);

    // Many at once: one of them has created it.
    let created = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let options = Options::unicast(8, 64).name("all/threads");
                    Channel::open_or_create(&options, Peer::open).unwrap()
                })
            })
            .collect();
        let opened: Vec<_> = threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect();
        opened
            .iter()
            .filter(|(_, created)| created.is_some())
            .count()
    });
    assert_eq!(created, 1);
}

fn open_or_create_errors() {
    let options = Options::unicast(3, 64).name("all/invalid");
    assert!(matches!(
        Channel::open_or_create(&options, Receiver::open),
        Err(Error::Invalid)
    ));
    // The other channel is private, so nobody finds it, and its name is in use.
    let _private = Channel::create(&Options::unicast(8, 64).name("all/private").private()).unwrap();
    Child::start(|| {
        become_nobody();
        let options = Options::unicast(8, 64).name("all/private");
        assert!(matches!(
            Channel::open_or_create(&options, Receiver::open),
            Err(Error::Exists)
        ));
    })
    .join();
}

fn by_number() {
    let channel = Channel::create(&Options::unicast(8, 64)).unwrap();
    let mut receiver = channel.receiver().unwrap();
    let (id, number) = (channel.id(), receiver.id());
    Child::start(move || {
        Child::start(move || {
            become_nobody();
            assert!(matches!(evict(number), Err(Error::NotOwner)));
            assert!(matches!(destroy(id), Err(Error::NotOwner)));
        })
        .join();
        evict(number).unwrap();
        assert!(matches!(evict(number), Err(Error::NoSubscriber)));
        destroy(id).unwrap();
        assert!(matches!(destroy(id), Err(Error::NoChannel)));
    })
    .join();
    assert!(matches!(receiver.recv(), Err(Error::NoSubscriber)));
    assert!(matches!(channel.destroy(), Err(Error::NoChannel)));
}

fn limits() {
    let limits = Limits::of_kernel().unwrap();
    assert!(limits.max_entries.is_power_of_two());
    let name = "x".repeat(limits.max_name as usize);
    drop(Channel::create(&Options::unicast(limits.max_entries, 1).name(&name)).unwrap());
    let longer = name.clone() + "x";
    let too_much = [
        Options::unicast(limits.max_entries * 2, 1),
        Options::unicast(1, limits.max_message + 1),
        Options::unicast(1, 1).name(&longer),
    ];
    for options in too_much {
        assert!(matches!(Channel::create(&options), Err(Error::Invalid)));
    }
}

fn large() {
    let options = Options::broadcast(64, 64 * 1024).slot_size(4096);
    let channel = Channel::create(&options).unwrap();
    let mut sender = channel.sender().unwrap();
    let mut copies = channel.receiver().unwrap();
    let mut mapped = MappedReceiver::open(Address::Id(channel.id())).unwrap();
    // Again and again round the ring, also with messages that do not fit in front of its end.
    for round in 0..100_usize {
        let len = [64 * 1024, 1, 10_000, 0, 4096, 4097][round % 6];
        let bytes: Vec<u8> = (0..len)
            .map(|byte| (byte + round).to_le_bytes()[0])
            .collect();
        sender.send(&bytes).unwrap();
        assert!(copies.recv().unwrap().data == bytes);
        let mut found = mapped.recv().unwrap();
        let messages: Vec<_> = found
            .iter()
            .map(|message| message.to_vec().unwrap())
            .collect();
        assert!(messages == [bytes]);
    }
    assert!(matches!(
        sender.send(&vec![0; 64 * 1024 + 1]),
        Err(Error::TooLong)
    ));
    // A receiver that cannot map the channel.
    let options = Options::unicast(64, 2 << 20).slot_size(128 << 10).private();
    let channel = Channel::create(&options).unwrap();
    let mut receiver = channel.receiver().unwrap();
    channel.sender().unwrap().send(&vec![7; 2 << 20]).unwrap();
    assert!(receiver.recv().unwrap().data == vec![7; 2 << 20]);
    assert!(Channel::create(&Options::unicast(64, 64 * 1024).slot_size(2048)).is_err());
}
