// SPDX-License-Identifier: MIT

//! `ioipc` shows and uses message channels between processes. Its man page is
//! `docs/man/ioipc.1`.

mod bench;
mod cli;
mod create;
mod doctor;
mod failure;
mod finding;
mod list;
mod output;
mod receive;
mod send;
mod table;
mod top;
mod watch;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::{
    cli::{Arguments, Command},
    failure::Failure,
    output::Output,
};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    let out = &mut Output::new(arguments.json);
    match arguments.command {
        Command::Ls(options) => list::all(&options, out),
        Command::Show(options) => list::one(&options, out),
        Command::Top(options) => top::run(&options, out),
        Command::Create(options) => create::run(&options, out),
        Command::Send(options) => send::run(&options, out),
        Command::Recv(options) => receive::run(&options, out),
        Command::Evict(options) => finding::evict(&options, out),
        Command::Rm(options) => finding::remove(&options, out),
        Command::Bench(options) => bench::run(&options, out),
        Command::Watch(options) => watch::run(&options, out),
        Command::Doctor => doctor::run(out),
        Command::Completions(options) => {
            let mut script = Vec::new();
            clap_complete::generate(
                options.shell,
                &mut Arguments::command(),
                "ioipc",
                &mut script,
            );
            out.bytes(&script)?;
            out.flush()
        }
    }
}
