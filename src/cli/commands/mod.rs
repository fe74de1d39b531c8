//! The commands of the shell and of the REPL.

mod add;
mod connection;
mod edit;
mod history;
mod list;
mod wait;
mod watch;
mod web;

use std::io;

use clap::CommandFactory;
use crossbeam_channel::Receiver;
use jiff::tz::TimeZone;

use super::args::{Cli, Command};
use super::output::Out;
use super::{Exit, render};
use crate::client::{Client, Edit};

/// What a command works with.
pub(crate) struct Session<'a> {
    pub(crate) client: &'a Client,
    pub(crate) out: &'a mut Out,
    /// Receives after Ctrl-C, where that does not end the program.
    pub(crate) interrupted: &'a Receiver<()>,
}

/// Runs a command. An error means that stdout cannot be written.
pub(crate) fn run(command: &Command, session: &mut Session<'_>) -> io::Result<Exit> {
    let exit = match command {
        Command::Add(args) => add::run(args, session),
        Command::List(args) => list::run(args, session),
        Command::Show(task) => show(task.id, session),
        Command::Done(tasks) => edit::each(&tasks.ids, &Edit::Complete, session),
        Command::Reopen(tasks) => edit::each(&tasks.ids, &Edit::Reopen, session),
        Command::Edit(args) => {
            edit::each(&[args.task.id], &Edit::Retitle(args.title.join(" ")), session)
        }
        Command::Rm(tasks) => edit::each(&tasks.ids, &Edit::Delete, session),
        Command::Restore(tasks) => edit::each(&tasks.ids, &Edit::Restore, session),
        Command::Purge(tasks) => edit::each(&tasks.ids, &Edit::Purge, session),
        Command::Watch(args) => watch::run(args, session),
        Command::Wait(args) => wait::run(args, session),
        Command::History(args) => history::run(args, session),
        Command::Web(args) => web::run(&args.url, session),
        Command::Completions { shell } => completions(*shell, session.out),
    }?;
    session.out.flush()?;
    Ok(exit)
}

fn show(id: i32, session: &mut Session<'_>) -> io::Result<Exit> {
    match session.client.get(id) {
        Ok(task) if session.out.json => session.out.line(render::json(&task))?,
        Ok(task) => session.out.text(render::details(&task, &TimeZone::system()))?,
        Err(e) => return Ok(session.out.failed(&format!("{id}: "), &e)),
    }
    Ok(Exit::Ok)
}

fn completions(shell: clap_complete::Shell, out: &mut Out) -> io::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "todo", &mut script);
    out.text(String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}
