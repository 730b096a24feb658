// SPDX-License-Identifier: MIT

//! The tests, with each transport.

use std::{
    io::{Seek, Write},
    panic::{catch_unwind, AssertUnwindSafe},
};

use futures_util::{future::join_all, StreamExt};
use io_uring_ipc::Sender;

use crate::{
    process::{become_nobody, Child},
    service::{block_on, Address, TestProxy},
    shared::Shared,
};

type Test = (&'static str, fn(&Address));

const TESTS: &[Test] = &[
    ("calls, a property, signals", calls_and_signals),
    ("a descriptor", a_descriptor),
    ("long messages", long_messages),
    ("the service is killed in a call", service_killed),
    ("a client is killed", client_killed),
    ("some clients flood the service", flood),
    ("the other one, as the kernel says", credentials),
    ("a client closes its connection", client_closes),
];

/// Over a channel.
const CHANNEL: &[Test] = &[("a stranger sends to both ends", stranger)];

pub fn run() {
    let mut all: Vec<(&str, &Test, Address)> = Vec::new();
    let addresses = [
        ("channel", Address::Channel("org.example.Test".into())),
        ("AF_UNIX", Address::Unix("/tmp/bus-test".into())),
    ];
    for (name, address) in &addresses {
        all.extend(TESTS.iter().map(|test| (*name, test, address.clone())));
    }
    all.extend(
        CHANNEL
            .iter()
            .map(|test| ("channel", test, addresses[0].1.clone())),
    );
    println!("1..{}", all.len());
    let mut failed = 0;
    for (transport, (name, test), address) in all {
        if catch_unwind(AssertUnwindSafe(|| test(&address))).is_ok() {
            println!("ok - {transport}: {name}");
        } else {
            println!("not ok - {transport}: {name}");
            failed += 1;
        }
    }
    std::process::exit(i32::from(failed > 0));
}

/// Starts the service.
pub fn serve(address: &Address) -> Killed {
    Killed(Child::start(|| block_on(address.serve())))
}

/// A process that is killed in the end.
pub struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let pid = self.0.pid().cast_signed();
        // SAFETY: The calls have no memory of ours.
        unsafe { libc::kill(pid, libc::SIGKILL) };
        // SAFETY: As above.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
    }
}

/// Runs a client in this process.
fn with_client<F: AsyncFnOnce(TestProxy<'static>)>(address: &Address, run: F) {
    block_on(async {
        let connection = address.connect().await;
        run(TestProxy::new(&connection).await.unwrap()).await;
    });
}

fn calls_and_signals(address: &Address) {
    let _service = serve(address);
    with_client(address, async |test| {
        assert_eq!(test.echo(b"hello").await.unwrap(), b"hello");
        assert_eq!(test.level().await.unwrap(), 7);
        test.set_level(8).await.unwrap();
        assert_eq!(test.level().await.unwrap(), 8);
        let ticks = test.receive_tick().await.unwrap();
        test.tick_all(3, 5).await.unwrap();
        let numbers = ticks.take(5).map(|tick| tick.args().unwrap().number);
        assert_eq!(numbers.collect::<Vec<_>>().await, [3, 4, 5, 6, 7]);
    });
}

fn a_descriptor(address: &Address) {
    let _service = serve(address);
    with_client(address, async |test| {
        for number in 0..3 {
            let path = format!("/tmp/bus-file-{number}");
            let mut options = std::fs::OpenOptions::new();
            let options = options.read(true).write(true).create(true).truncate(true);
            let mut file = options.open(&path).unwrap();
            file.write_all(path.as_bytes()).unwrap();
            file.rewind().unwrap();
            assert_eq!(test.read((&file).into()).await.unwrap(), path);
        }
    });
}

/// Longer than what the transport holds, in both directions at once.
fn long_messages(address: &Address) {
    let _service = serve(address);
    with_client(address, async |test| {
        let calls = (0..8usize).map(|number| {
            let bytes: Vec<u8> = (0..300_000 + number)
                .map(|i| ((i * 7 + number) % 251).to_le_bytes()[0])
                .collect();
            let test = test.clone();
            async move { assert!(test.echo(&bytes).await.unwrap() == bytes) }
        });
        join_all(calls).await;
    });
}

fn service_killed(address: &Address) {
    let service = serve(address);
    with_client(address, async |test| {
        let kill = async {
            // The service has all calls before this one.
            test.echo(b"").await.unwrap();
            drop(service);
        };
        let (hung, ()) = tokio::join!(test.hang(), kill);
        hung.unwrap_err();
        test.echo(b"").await.unwrap_err();
    });
    // Its name is free again.
    let _service = serve(address);
    with_client(address, async |test| {
        test.echo(b"").await.unwrap();
    });
}

fn client_killed(address: &Address) {
    let _service = serve(address);
    let numbers = Shared::new(2);
    let client = Killed(Child::start(|| {
        with_client(address, async |test| {
            // The parent has its connection first.
            numbers.wait(0, 1).await;
            test.echo(b"").await.unwrap();
            numbers.add(1, 1);
            test.hang().await.unwrap();
        });
    }));
    with_client(address, async |test| {
        numbers.add(0, 1);
        numbers.wait(1, 1).await;
        drop(client);
        while test.connections().await.unwrap() > 1 {}
        test.echo(b"").await.unwrap();
    });
}

fn client_closes(address: &Address) {
    let _service = serve(address);
    with_client(address, async |test| {
        let other = address.connect().await;
        assert_eq!(test.connections().await.unwrap(), 2);
        other.close().await.unwrap();
        while test.connections().await.unwrap() != 1 {}
        let other = address.connect().await;
        drop(other);
        while test.connections().await.unwrap() != 1 {}
    });
}

/// Each client gets answers, also beside those that send calls without end.
fn flood(address: &Address) {
    let _service = serve(address);
    let answers = Shared::new(4);
    let start = |place, many| {
        let answers = &answers;
        Killed(Child::start(move || {
            become_nobody();
            with_client(address, async |test| loop {
                let calls = (0..many).map(|_| test.echo(&[0; 100]));
                for answer in join_all(calls).await {
                    answers.add(place, u64::from(answer.is_ok()));
                }
            });
        }))
    };
    let _flood = [start(0, 50), start(1, 50), start(2, 50)];
    block_on(async {
        for place in 0..3 {
            answers.wait(place, 100).await;
        }
    });
    let _polite = start(3, 1);
    block_on(answers.wait(3, 20));
}

fn credentials(address: &Address) {
    let server = serve(address);
    with_client(address, async |test| {
        assert_eq!(test.caller().await.unwrap(), (std::process::id(), 0));
        let service = test.inner().connection().peer_creds().await.unwrap();
        assert_eq!(service.process_id(), Some(server.0.pid()));
        assert_eq!(service.unix_user_id(), Some(0));
    });
    let other = Child::start(|| {
        become_nobody();
        with_client(address, async |test| {
            assert_eq!(test.caller().await.unwrap(), (std::process::id(), 65534));
        });
    });
    other.join();
}

/// The names of the inboxes that this process receives from or sends to.
fn inboxes() -> Vec<String> {
    let mut names = Vec::new();
    for file in std::fs::read_dir("/proc/self/fdinfo").unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap_or_default();
        let name = text
            .lines()
            .find_map(|line| line.strip_prefix("ioipc-name:"));
        names.extend(
            name.map(str::trim)
                .filter(|name| name.starts_with("zbus/"))
                .map(str::to_owned),
        );
    }
    names.sort();
    names.dedup();
    names
}

/// It knows the names of both inboxes, and is root. The connection takes nothing of what it sends.
fn stranger(address: &Address) {
    let _service = serve(address);
    with_client(address, async |test| {
        let names = inboxes();
        assert_eq!(names.len(), 2);
        Child::start(move || {
            for name in names {
                let mut sender = Sender::open(name.as_str()).unwrap();
                for bytes in [&b"l\x01\0\x01 this is no message"[..], &[], &[0; 4096]] {
                    sender.try_send(bytes).unwrap();
                }
            }
        })
        .join();
        assert_eq!(test.echo(b"hello").await.unwrap(), b"hello");
    });
}
