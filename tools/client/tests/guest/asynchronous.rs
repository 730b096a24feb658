// SPDX-License-Identifier: MIT

//! Senders and receivers for tokio.

use std::{
    future::Future,
    io::IoSlice,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Waker},
};

use futures_util::{stream, SinkExt, StreamExt};
use io_uring_ipc::{
    tokio::{MappedReceiver, Peer, Receiver, Sender},
    Address, Channel, Error, Options, Typed,
};
use tokio::task::yield_now;

use crate::{process::Child, Test};

pub const TESTS: &[Test] = &[
    ("async: messages, bundles, vectors", || run(messages())),
    ("async: a dropped receive", || run(dropped_receives())),
    ("async: a dropped send", || run(dropped_sends())),
    ("async: aborted tasks", || run(aborted_tasks())),
    ("async: a stream and a sink", || run(stream_and_sink())),
    ("async: the end of a stream", || run(stream_end())),
    ("async: in place", || run(in_place())),
    ("async: values", || run(values())),
    ("async: a peer answers a peer", || run(peers())),
    ("async: the end of a wait", || run(end_of_waits())),
];

/// Runs a test without other threads, so that it can start processes.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(test);
}

fn pair(channel: &Channel) -> (Sender, Receiver) {
    let sender = channel.sender().unwrap().try_into().unwrap();
    (sender, open_receiver(channel))
}

fn open_receiver(channel: &Channel) -> Receiver {
    channel.receiver().unwrap().try_into().unwrap()
}

/// Polls a future until it waits for something else than its turn, and drops it.
async fn abandon<T>(future: impl Future<Output = T>) {
    let mut future = pin!(future);
    // The first time tokio does not know yet whether the file is ready, and the driver tells it
    // between the tasks.
    for _ in 0..4 {
        let mut context = Context::from_waker(Waker::noop());
        assert!(future.as_mut().poll(&mut context).is_pending());
        yield_now().await;
    }
}

async fn messages() {
    let channel = Channel::create(&Options::unicast(4, 64)).unwrap();
    let (mut sender, mut receiver) = pair(&channel);
    sender.get_mut().set_data(3);
    sender.send(b"one").await.unwrap();
    sender
        .send_to(receiver.get_ref().id(), b"two")
        .await
        .unwrap();
    let message = receiver.recv().await.unwrap();
    assert_eq!((message.data, message.info.sender_data), (&b"one"[..], 3));
    assert!(receiver.recv().await.unwrap().info.is_targeted);
    assert_eq!(sender.send_vec(&[IoSlice::new(b"x"); 6]).await.unwrap(), 4);
    assert_eq!(receiver.recv_bundle().await.unwrap().count(), 4);

    // Another process, and both sides wait often.
    let id = channel.id();
    let child = Child::start(move || {
        let mut sender = io_uring_ipc::Sender::open(Address::Id(id)).unwrap();
        for number in 0..300_u32 {
            sender.send(&number.to_ne_bytes()).unwrap();
        }
    });
    for number in 0..300_u32 {
        assert_eq!(receiver.recv().await.unwrap().data, number.to_ne_bytes());
    }
    child.join();
    drop(receiver);
    let child = Child::start(move || {
        let mut receiver = io_uring_ipc::Receiver::open(Address::Id(id)).unwrap();
        for number in 0..300_u32 {
            assert_eq!(receiver.recv().unwrap().data, number.to_ne_bytes());
        }
    });
    for number in 0..300_u32 {
        sender.send(&number.to_ne_bytes()).await.unwrap();
    }
    child.join();
}

async fn dropped_receives() {
    let channel = Channel::create(&Options::unicast(4, 64)).unwrap();
    let (mut sender, mut receiver) = pair(&channel);
    // The only place where a receive waits is for the file. A message may come at any time after.
    for _ in 0..10 {
        abandon(receiver.recv()).await;
        abandon(receiver.recv_bundle()).await;
        sender.send(b"1").await.unwrap();
        sender.send(b"2").await.unwrap();
        assert_eq!(receiver.recv().await.unwrap().data, b"1");
        assert_eq!(
            receiver.recv_bundle().await.unwrap().next().unwrap().data,
            b"2"
        );
    }
    // A future that was told of a message, and is dropped before it takes it.
    for _ in 0..10 {
        {
            let mut future = pin!(receiver.recv());
            let mut context = Context::from_waker(Waker::noop());
            assert!(future.as_mut().poll(&mut context).is_pending());
            sender.send(b"1").await.unwrap();
            for _ in 0..3 {
                yield_now().await;
            }
        }
        // Without the receiver, as in a task that is aborted, the message stays for others.
        drop(receiver);
        receiver = open_receiver(&channel);
        assert_eq!(receiver.get_mut().try_recv().unwrap().data, b"1");
    }
}

async fn dropped_sends() {
    let channel = Channel::create(&Options::unicast(2, 64)).unwrap();
    let (mut sender, mut receiver) = pair(&channel);
    for _ in 0..10 {
        let target = receiver.get_ref().id();
        sender.send(b"1").await.unwrap();
        sender.send(b"2").await.unwrap();
        abandon(sender.send(b"no")).await;
        abandon(sender.send_to(target, b"no")).await;
        abandon(sender.send_vec(&[IoSlice::new(b"no")])).await;
        {
            // A future that was told of room, and is dropped before it sends.
            let mut future = pin!(sender.send(b"no"));
            let mut context = Context::from_waker(Waker::noop());
            assert!(future.as_mut().poll(&mut context).is_pending());
            assert_eq!(receiver.recv().await.unwrap().data, b"1");
            for _ in 0..3 {
                yield_now().await;
            }
        }
        assert_eq!(receiver.recv().await.unwrap().data, b"2");
        assert!(matches!(receiver.get_mut().try_recv(), Err(Error::Empty)));
    }
}

async fn aborted_tasks() {
    const MESSAGES: u32 = 300;
    let channel = Channel::create(&Options::multicast(16, 64)).unwrap();
    let (mut sender, _) = pair(&channel);
    let found = Arc::new(Mutex::new(Vec::new()));
    let sending = tokio::spawn(async move {
        for number in 0..MESSAGES {
            sender.send(&number.to_ne_bytes()).await.unwrap();
            if number % 3 == 0 {
                yield_now().await;
            }
        }
    });
    for round in 0.. {
        if sending.is_finished() {
            break;
        }
        let mut receiver = open_receiver(&channel);
        let into = found.clone();
        let task = tokio::spawn(async move {
            loop {
                let message = receiver.recv().await.unwrap();
                let number = u32::from_ne_bytes(message.data.try_into().unwrap());
                into.lock().unwrap().push(number);
            }
        });
        // Another moment each time.
        for _ in 0..round % 7 {
            yield_now().await;
        }
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }
    sending.await.unwrap();
    let mut found = found.lock().unwrap().clone();
    let mut receiver = channel.receiver().unwrap();
    while let Ok(message) = receiver.try_recv() {
        found.push(u32::from_ne_bytes(message.data.try_into().unwrap()));
    }
    assert!(found.into_iter().eq(0..MESSAGES));
}

async fn stream_and_sink() {
    let channel = Channel::create(&Options::unicast(4, 64)).unwrap();
    let (mut sender, mut receiver) = pair(&channel);
    for number in 0..4_u8 {
        sender.send(&[number]).await.unwrap();
    }
    // The sink keeps one message, and no more.
    sender.feed(vec![4]).await.unwrap();
    abandon(sender.feed(vec![0xff])).await;
    abandon(sender.flush()).await;
    for expected in 0..5_u8 {
        if expected == 1 {
            sender.flush().await.unwrap();
        }
        assert_eq!(receiver.next().await.unwrap().unwrap().data, [expected]);
    }
    abandon(receiver.next()).await;
    let mut numbers = stream::iter((0..100_u8).map(|number| Ok(vec![number])));
    let sending = async {
        sender.send_all(&mut numbers).await.unwrap();
        sender.close().await.unwrap();
    };
    let receiving = async {
        for expected in 0..100_u8 {
            assert_eq!(receiver.next().await.unwrap().unwrap().data, [expected]);
        }
    };
    tokio::join!(sending, receiving);
}

async fn stream_end() {
    let channel = Channel::create(&Options::unicast(4, 64)).unwrap();
    let (mut sender, receiver) = pair(&channel);
    let collecting = tokio::spawn(receiver.map(|message| message.unwrap().data).collect());
    sender.send(b"1").await.unwrap();
    yield_now().await;
    sender.send(b"2").await.unwrap();
    drop(channel);
    let all: Vec<_> = collecting.await.unwrap();
    assert_eq!(all, [b"1", b"2"]);
}

async fn in_place() {
    let channel = Channel::create(&Options::broadcast(4, 64)).unwrap();
    let (mut sender, _) = pair(&channel);
    let mut receiver = MappedReceiver::open(Address::Id(channel.id())).unwrap();
    abandon(receiver.recv()).await;
    let sending = async {
        for number in 0..100_u8 {
            sender.send(&[number]).await.unwrap();
        }
    };
    let receiving = async {
        let mut expected = 0_u8;
        while expected < 100 {
            for message in receiver.recv().await.unwrap().iter() {
                assert_eq!(message.to_vec().unwrap(), [expected]);
                expected += 1;
            }
        }
    };
    tokio::join!(sending, receiving);
    abandon(receiver.recv()).await;
}

async fn values() {
    let channel = Channel::create(&Options::unicast(4, 64)).unwrap();
    let (sender, receiver) = pair(&channel);
    let mut sender = Typed::<(u32, String), _>::new(sender);
    let mut receiver = Typed::<(u32, String), _>::new(receiver);
    abandon(receiver.recv()).await;
    sender.send(&(7, "seven".into())).await.unwrap();
    assert_eq!(receiver.recv().await.unwrap().data, (7, "seven".into()));
}

/// Why a receive has failed.
async fn failure(mut receiver: Receiver) -> Error {
    receiver.recv().await.unwrap_err()
}

/// The same in place.
async fn failure_in_place(mut receiver: MappedReceiver) -> Error {
    receiver.recv().await.err().unwrap()
}

async fn end_of_waits() {
    let mut channel = Channel::create(&Options::broadcast(1, 64)).unwrap();
    let evicted = open_receiver(&channel);
    let id = evicted.get_ref().id();
    let mapped = MappedReceiver::open(Address::Id(channel.id())).unwrap();
    let mapped_id = mapped.get_ref().id();
    let (mut sender, mut receiver) = pair(&channel);
    let tasks = [
        tokio::spawn(failure(evicted)),
        tokio::spawn(failure_in_place(mapped)),
    ];
    abandon(receiver.recv()).await;
    channel.evict(id).unwrap();
    channel.evict(mapped_id).unwrap();
    for task in tasks {
        assert!(matches!(task.await.unwrap(), Error::NoSubscriber));
    }
    // A sender that waits for room, and a receiver that waits for a message.
    sender.send(b"1").await.unwrap();
    let mut sending = tokio::spawn(async move { sender.send(b"2").await.unwrap_err() });
    abandon(&mut sending).await;
    let late = open_receiver(&channel);
    let mut receiving = tokio::spawn(failure(late));
    abandon(&mut receiving).await;
    drop(channel);
    assert!(matches!(sending.await.unwrap(), Error::Destroyed));
    assert!(matches!(receiving.await.unwrap(), Error::Destroyed));
    assert_eq!(receiver.recv().await.unwrap().data, b"1");
}

async fn peers() {
    let channel = Channel::create(&Options::unicast(1, 64)).unwrap();
    let mut server = Peer::open(Address::Id(channel.id())).unwrap();
    let (id, number) = (channel.id(), server.get_ref().id());
    let client = tokio::spawn(async move {
        let mut client = Peer::open(Address::Id(id)).unwrap();
        for text in ["one", "two", "three"] {
            client.send_to(number, text.as_bytes()).await.unwrap();
            let answer = client.recv().await.unwrap();
            assert_eq!(answer.data, text.to_ascii_uppercase().as_bytes());
        }
    });
    for _ in 0..3 {
        let request = server.recv().await.unwrap();
        let (client, answer) = (
            request.info.sender.unwrap(),
            request.data.to_ascii_uppercase(),
        );
        server.send_to(client, &answer).await.unwrap();
    }
    client.await.unwrap();
    // A send that waits for room.
    server.send(b"first").await.unwrap();
    abandon(server.send(b"abandoned")).await;
    assert_eq!(server.recv().await.unwrap().data, b"first");
    abandon(server.recv()).await;
    server.send(b"second").await.unwrap();
    assert_eq!(server.recv().await.unwrap().data, b"second");
}
