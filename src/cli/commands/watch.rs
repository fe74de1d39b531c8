use std::io;

use crossbeam_channel::select;

use super::Session;
use crate::cli::Exit;
use crate::cli::args::WatchArgs;
use crate::cli::render::{self, Shown};
use crate::client::{Watch, WatchEvent, WatchOptions, proto::TaskUpdate};

/// What an update of a watch is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Forget what you know.
    Reset,
    /// A task that was there before.
    Snapshot,
    /// The snapshot is complete.
    Synced,
    /// Something happened.
    Change,
}

pub fn mark(update: &TaskUpdate) -> Mark {
    match &*update.action {
        "RESET" => Mark::Reset,
        "SNAPSHOT" => Mark::Snapshot,
        "SYNCED" => Mark::Synced,
        _ => Mark::Change,
    }
}

pub fn run(args: &WatchArgs, session: &mut Session<'_>) -> io::Result<Exit> {
    // The snapshot is not shown. It is asked for because a stream says nothing until
    // something happens: its first message tells that the watch is registered.
    let options = WatchOptions { snapshot: true, ..WatchOptions::default() };
    match session.client.watch(options) {
        Ok(watch) => follow(&watch, args.count, session),
        Err(e) => {
            session.out.message(&format!("cannot start a thread: {e}"));
            Ok(Exit::Failure)
        }
    }
}

fn follow(watch: &Watch, count: Option<u64>, session: &mut Session<'_>) -> io::Result<Exit> {
    let started = format!("watching {}\n", Shown(session.client.server()));
    let mut ended = "";
    let mut left = count;
    while left != Some(0) {
        let event = select! {
            recv(watch.events()) -> event => event,
            recv(session.interrupted) -> _ => return Ok(Exit::Interrupted),
        };
        match event {
            Ok(WatchEvent::Connected { is_todod }) => {
                ended = "the watch ended: ";
                if !is_todod {
                    session.out.notice(&started);
                }
            }
            Ok(WatchEvent::Update(update)) => match mark(&update) {
                Mark::Reset => session.out.notice(&started),
                Mark::Snapshot | Mark::Synced => {}
                Mark::Change => {
                    print(&update, session)?;
                    left = left.map(|left| left - 1);
                }
            },
            Ok(WatchEvent::Lost(e)) => return Ok(session.out.failed(ended, &e)),
            // It says Lost before it ends.
            Err(_) => return Ok(Exit::Failure),
        }
    }
    Ok(Exit::Ok)
}

fn print(update: &TaskUpdate, session: &mut Session<'_>) -> io::Result<()> {
    let line = match session.out.json {
        true => render::update_json(update),
        false => render::update(update),
    };
    session.out.line(line)?;
    session.out.flush()
}
