// SPDX-License-Identifier: MIT

//! `ioipc bench`: one thread sends, and another one receives. Each message is for that receiver
//! alone, so no other receiver of the channel gets one.

use std::{
    io::IoSlice,
    thread,
    time::{Duration, Instant},
};

use io_uring_ipc::{Error, Peer};
use serde::Serialize;

use crate::{
    cli::{Bench, Channel},
    failure::Failure,
    output::Output,
};

/// How many messages a vector has.
const VECTOR: usize = 32;

/// How fast messages go through the channel.
#[derive(Serialize)]
struct Speed {
    what: &'static str,
    size: usize,
    count: u64,
    seconds: f64,
    per_second: f64,
}

/// How long a message and its answer take, in microseconds.
#[derive(Serialize)]
struct RoundTrips {
    what: &'static str,
    size: usize,
    count: u64,
    median_us: f64,
    p99_us: f64,
}

pub(crate) fn run(options: &Bench, out: &mut Output) -> Result<(), Failure> {
    let about = |error: Error| Failure::from(error).about(&options.channel);
    for what in ["one message per call", "vectors and bundles"] {
        let seconds = stream(options, what != "one message per call")
            .map_err(about)?
            .as_secs_f64();
        // CAST: A rate need not be exact.
        #[expect(clippy::cast_precision_loss)]
        let per_second = options.count as f64 / seconds;
        let speed = Speed {
            what,
            size: options.size,
            count: options.count,
            seconds,
            per_second,
        };
        let line = format!(
            "{what:<22} {per_second:>10.0} messages of {} bytes per second",
            options.size
        );
        out.either(&speed, line)?;
    }
    let mut times = round_trips(options).map_err(about)?;
    times.sort_unstable();
    let at = |percent: usize| {
        let index = (times.len() * percent / 100).min(times.len().saturating_sub(1));
        times
            .get(index)
            .map_or(0.0, |time| time.as_secs_f64() * 1e6)
    };
    let trips = RoundTrips {
        what: "round trip",
        size: options.size,
        count: times.len() as u64,
        median_us: at(50),
        p99_us: at(99),
    };
    let line = format!(
        "{:<22} {:>10.1} us, and 1 of 100 takes {:.1} us or longer",
        trips.what, trips.median_us, trips.p99_us
    );
    out.either(&trips, line)
}

fn open(channel: &Channel) -> Result<Peer, Error> {
    Peer::open(channel.address())
}

/// Streams messages from one thread to another one.
fn stream(options: &Bench, in_vectors: bool) -> Result<Duration, Error> {
    let mut receiver = open(&options.channel)?;
    let mut sender = open(&options.channel)?;
    let (count, target) = (options.count, receiver.id());
    let message = vec![0; options.size];
    // If this fails, so does each of the others.
    sender.send_to(target, &message)?;
    receive(&mut receiver, 1, false)?;
    let start = Instant::now();
    thread::scope(|scope| {
        let sending = scope.spawn(move || {
            let messages = [IoSlice::new(&message); VECTOR];
            let mut left = count;
            while left > 0 {
                if in_vectors {
                    let some = left.min(VECTOR as u64);
                    let some = &messages[..usize::try_from(some).unwrap_or(VECTOR)];
                    left -= sender.send_vec_to(target, some)? as u64;
                } else {
                    sender.send_to(target, &message)?;
                    left -= 1;
                }
            }
            Ok(())
        });
        let result = receive(&mut receiver, count, in_vectors);
        // Without its receiver the sender ends too.
        drop(receiver);
        match sending.join() {
            Ok(sent) => sent.and(result),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })?;
    Ok(start.elapsed())
}

/// Receives so many messages that were sent to this receiver, and others that come meanwhile.
fn receive(receiver: &mut Peer, count: u64, in_bundles: bool) -> Result<(), Error> {
    // A sender that fails must not leave the receiver waiting.
    receiver.set_timeout(Some(Duration::from_secs(10)));
    let mut left = count;
    while left > 0 {
        left = left.saturating_sub(if in_bundles {
            receiver
                .recv_bundle()?
                .filter(|message| message.info.is_targeted)
                .count() as u64
        } else {
            u64::from(receiver.recv()?.info.is_targeted)
        });
    }
    Ok(())
}

/// How long it takes until a message is answered. A hundredth of the messages is enough for that.
fn round_trips(options: &Bench) -> Result<Vec<Duration>, Error> {
    let mut server = open(&options.channel)?;
    let mut client = open(&options.channel)?;
    let (there, back) = (server.id(), client.id());
    let count = options.count.div_ceil(100);
    let message = vec![0; options.size];
    let answer = message.clone();
    thread::scope(|scope| {
        let serving = scope.spawn(move || {
            for _ in 0..count {
                receive(&mut server, 1, false)?;
                server.send_to(back, &answer)?;
            }
            Ok(())
        });
        let trip = |_| {
            let start = Instant::now();
            client.send_to(there, &message)?;
            receive(&mut client, 1, false)?;
            Ok(start.elapsed())
        };
        let times = (0..count).map(trip).collect::<Result<_, Error>>();
        match serving.join() {
            Ok(result) => result.and(times),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
